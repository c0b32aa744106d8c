"""What may be seen of a document entry, as columns, and what patients have decided about theirs.

Entries that are there get the numbers that they would have been registered with. None says when its delayed
access ends: until a new version or a setting of the patient says so, it stays hidden.

Revision: 0003, after 0002
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from xds.metadata.confidentiality import restrictions
from xds.metadata.model import Code
from xds.store.bodies import unpack

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = False

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
UUID = sa.LargeBinary(16)

_TOGETHER = 500
_ENTRIES = sa.table(
    "document_entry",
    sa.column("patient_pk"),
    sa.column("doc_pk"),
    sa.column("facets"),
    sa.column("body"),
    sa.column("restrictions"),
    sa.column("entry_uuid"),
    sa.column("logical_uuid"),
    sa.column("version"),
    sa.column("latest"),
)
_CODES = sa.table("code", sa.column("code_pk"), sa.column("code"), sa.column("scheme"))
_INSTITUTIONS = re.compile(rb'<rim:Slot name="authorInstitution"[^>]*>(.*?)</rim:Slot>', re.DOTALL)
#: The tenth component of an XON is the number (ITI TF-3 table 4.2.3.1.7-2).
_NUMBER = re.compile(rb"<rim:Value>(?:[^<^]*\^){9}([0-9]+)(?:\^[^<]*)?</rim:Value>")


def upgrade() -> None:
    op.add_column(
        "document_entry", sa.Column("restrictions", sa.Integer(), nullable=False, server_default="2")
    )
    op.add_column("document_entry", sa.Column("release_time", BIG))
    op.create_index(
        "ix_document_entry_all_refused",
        "document_entry",
        ["patient_pk"],
        sqlite_where=sa.text("(restrictions & 2048) <> 0"),
        postgresql_where=sa.text("(restrictions & 2048) <> 0"),
    )
    op.create_table(
        "privacy_setting",
        sa.Column("setting_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("patient_pk", BIG, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("whom", sa.Text(), nullable=False),
        sa.Column("logical_uuid", UUID),
        sa.Column("organisation", sa.Text()),
        sa.Column("release_time", BIG),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("made_at", BIG, nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", BIG),
        sa.Column("withdrawn_by", sa.Text()),
        sa.PrimaryKeyConstraint("setting_pk", name=op.f("pk_privacy_setting")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_privacy_setting_patient", "privacy_setting", ["patient_pk"], unique=False)
    _fill(op.get_bind())
    _let_the_newest_decide(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """The columns and facets of the entries that are there."""
    codes = {row.code_pk: Code(row.code, row.scheme) for row in connection.execute(sa.select(_CODES))}
    change = (
        sa.update(_ENTRIES)
        .where(_ENTRIES.c.patient_pk == sa.bindparam("p"), _ENTRIES.c.doc_pk == sa.bindparam("d"))
        .values(restrictions=sa.bindparam("said"), facets=sa.bindparam("packed"))
    )
    for rows in _all(connection):
        bodies = unpack([bytes(row.body) for row in rows])
        values = []
        for row, body in zip(rows, bodies, strict=True):
            listed = [part for part in row.facets.split("\x1f") if part]
            said = restrictions([codes[int(part[1:])] for part in listed if part.startswith("c")])
            written_by = {
                f"o{number.decode()}"
                for slot in _INSTITUTIONS.findall(body)
                for number in _NUMBER.findall(slot)
            }
            packed = "\x1f".join(["", *listed, *sorted(written_by), ""]) if listed or written_by else ""
            values.append({"p": row.patient_pk, "d": row.doc_pk, "said": int(said), "packed": packed})
        connection.execute(change, values)


def _let_the_newest_decide(connection: sa.Connection) -> None:
    """What was blocked by a later version must not be read in its history."""
    newest = sa.select(_ENTRIES.c.logical_uuid, _ENTRIES.c.restrictions).where(
        _ENTRIES.c.latest == 1, _ENTRIES.c.version > 1
    )
    older = sa.or_(
        _ENTRIES.c.entry_uuid == sa.bindparam("logical"),
        sa.and_(_ENTRIES.c.logical_uuid == sa.bindparam("logical"), _ENTRIES.c.version > 1),
    )
    change = (
        sa.update(_ENTRIES).where(_ENTRIES.c.latest == 0, older).values(restrictions=sa.bindparam("said"))
    )
    for row in connection.execute(newest).all():
        connection.execute(change, {"logical": row.logical_uuid, "said": row.restrictions})


def _all(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    """Every entry, some at a time, in the order of the primary key."""
    key = sa.tuple_(_ENTRIES.c.patient_pk, _ENTRIES.c.doc_pk)
    statement = (
        sa.select(_ENTRIES.c.patient_pk, _ENTRIES.c.doc_pk, _ENTRIES.c.facets, _ENTRIES.c.body)
        .order_by(_ENTRIES.c.patient_pk, _ENTRIES.c.doc_pk)
        .limit(_TOGETHER)
    )
    rows = connection.execute(statement).all()
    while rows:
        yield rows
        after = sa.tuple_(sa.literal(rows[-1].patient_pk), sa.literal(rows[-1].doc_pk))
        rows = connection.execute(statement.where(key > after)).all()


def downgrade() -> None:
    op.drop_table("privacy_setting")
    op.drop_index("ix_document_entry_all_refused", "document_entry")
    op.drop_column("document_entry", "release_time")
    op.drop_column("document_entry", "restrictions")
