"""The access log, its chains, and the outbox to those who receive it.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = True

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
HASH = sa.LargeBinary(32)


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("chain_pk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("recorded", BIG, autoincrement=False, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("pid", sa.Text()),
        sa.Column("person", sa.Text()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("outcome", SMALL, nullable=False),
        sa.Column("hash", HASH, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain_pk", "recorded", name="pk_audit_event"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Compressed already.
        op.execute("ALTER TABLE audit_event ALTER COLUMN body SET STORAGE EXTERNAL")
    op.create_index("ix_audit_event_pid", "audit_event", ["pid", "recorded"])
    op.create_index("ix_audit_event_person", "audit_event", ["person", "recorded"])
    op.create_table(
        "audit_chain",
        sa.Column("chain_pk", sa.Integer(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("hash", HASH, nullable=False),
        sa.Column("recorded", BIG, nullable=False),
        sa.Column("cut_seq", BIG, nullable=False),
        sa.Column("cut_hash", HASH, nullable=False),
        sa.PrimaryKeyConstraint("chain_pk", name="pk_audit_chain"),
        sa.UniqueConstraint("node", name="uq_audit_chain_node"),
        sqlite_strict=True,
    )
    op.create_table(
        "audit_outbox",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("dead", SMALL, autoincrement=False, nullable=False),
        sa.Column("recorded", BIG, autoincrement=False, nullable=False),
        sa.Column("chain_pk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("receiver", "dead", "recorded", "chain_pk", name="pk_audit_outbox"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_table(
        "audit_receiver",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("held_until", BIG, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due", BIG, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("receiver", name="pk_audit_receiver"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("audit_receiver", "audit_outbox", "audit_chain", "audit_event"):
        op.drop_table(table)
