"""Claims on entryUUIDs, for databases that are partitioned.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = True

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "entry_claim",
        sa.Column("entry_uuid", sa.LargeBinary(16), nullable=False),
        sa.Column("patient_pk", BIG, nullable=False),
        sa.PrimaryKeyConstraint("entry_uuid", name="pk_entry_claim"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("entry_claim")
