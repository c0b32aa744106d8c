"""Tickets and proofs that are good for one use.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = True

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "used_ticket",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_used_ticket")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_used_ticket_until", "used_ticket", ["until"], unique=False)


def downgrade() -> None:
    op.drop_table("used_ticket")
