"""Answers between communities that wait: to be sent, and for those who asked.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = True

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "outgoing_reply",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("made_at", BIG, nullable=False),
        sa.Column("until", BIG, nullable=False),
        sa.Column("due", BIG, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_outgoing_reply"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("ix_outgoing_reply_due", "outgoing_reply", ["node", "due"])
    op.create_table(
        "awaited_reply",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("until", BIG, nullable=False),
        sa.Column("reply", sa.Text()),
        sa.PrimaryKeyConstraint("message_id", name="pk_awaited_reply"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )


def downgrade() -> None:
    for table in ("awaited_reply", "outgoing_reply"):
        op.drop_table(table)
