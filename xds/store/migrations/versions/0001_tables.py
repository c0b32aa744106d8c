"""The registry's and the repository's tables.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
#: Whether nodes of the version before may go on while it is done, and afterwards.
ALONGSIDE = True

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UUID = sa.LargeBinary(16)
SMALL = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "association",
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("assoc_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("entry_uuid", UUID, nullable=False),
        sa.Column("type", SMALL, nullable=False),
        sa.Column("status", SMALL, nullable=False),
        sa.Column("source_uuid", UUID, nullable=False),
        sa.Column("target_uuid", UUID, nullable=False),
        sa.Column("home_pk", sa.Integer()),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("patient_pk", "assoc_pk", name=op.f("pk_association")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_association_source", "association", ["source_uuid"], unique=False)
    op.create_index("ix_association_target", "association", ["target_uuid"], unique=False)
    op.create_index("uq_association_uuid", "association", ["entry_uuid"], unique=True)
    op.create_table(
        "code",
        sa.Column("code_pk", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code_pk", name=op.f("pk_code")),
        sqlite_strict=True,
    )
    op.create_index("uq_code_code_scheme", "code", ["code", "scheme"], unique=True)
    op.create_table(
        "document_entry",
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("doc_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("entry_uuid", UUID, nullable=False),
        sa.Column("logical_uuid", UUID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("latest", SMALL, nullable=False),
        sa.Column("status", SMALL, nullable=False),
        sa.Column("availability", SMALL, nullable=False),
        sa.Column("object_type", SMALL, nullable=False),
        sa.Column("uid_first", SMALL, nullable=False),
        sa.Column("class_code", sa.Integer(), nullable=False),
        sa.Column("type_code", sa.Integer(), nullable=False),
        sa.Column("practice_code", sa.Integer(), nullable=False),
        sa.Column("facility_code", sa.Integer(), nullable=False),
        sa.Column("format_code", sa.Integer(), nullable=False),
        sa.Column("repo_pk", sa.Integer(), nullable=False),
        sa.Column("mime_pk", sa.Integer(), nullable=False),
        sa.Column("home_pk", sa.Integer()),
        sa.Column("creation_time", BIG),
        sa.Column("service_start", BIG),
        sa.Column("service_stop", BIG),
        sa.Column("size", BIG),
        sa.Column("uid_key", UUID, nullable=False),
        sa.Column("hash", sa.LargeBinary()),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("patient_pk", "doc_pk", name=op.f("pk_document_entry")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_document_entry_find",
        "document_entry",
        ["patient_pk", "status", "creation_time", "type_code", "class_code"],
        unique=False,
    )
    op.create_index("ix_document_entry_class", "document_entry", ["class_code", "status"])
    op.create_index("ix_document_entry_facility", "document_entry", ["facility_code", "status"])
    op.create_index(
        "ix_document_entry_logical_uuid",
        "document_entry",
        ["logical_uuid"],
        unique=False,
        sqlite_where=sa.text("version > 1"),
        postgresql_where=sa.text("version > 1"),
    )
    op.create_index(
        "ix_document_entry_uid_key_again",
        "document_entry",
        ["uid_key"],
        unique=False,
        sqlite_where=sa.text("uid_first = 0"),
        postgresql_where=sa.text("uid_first = 0"),
    )
    op.create_index("uq_document_entry_uuid", "document_entry", ["entry_uuid"], unique=True)
    op.create_table(
        "folder",
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("folder_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("entry_uuid", UUID, nullable=False),
        sa.Column("logical_uuid", UUID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("latest", SMALL, nullable=False),
        sa.Column("status", SMALL, nullable=False),
        sa.Column("home_pk", sa.Integer()),
        sa.Column("last_update_time", BIG, nullable=False),
        sa.Column("uid_key", UUID, nullable=False),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("patient_pk", "folder_pk", name=op.f("pk_folder")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("uq_folder_uuid", "folder", ["entry_uuid"], unique=True)
    op.create_index("ix_folder_logical_uuid", "folder", ["logical_uuid"])
    op.create_index("ix_folder_uid_key", "folder", ["uid_key"])
    op.create_table(
        "listed_code",
        sa.Column("kind", SMALL, autoincrement=False, nullable=False),
        sa.Column("code_pk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("obj_pk", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("kind", "code_pk", "patient_pk", "obj_pk", name=op.f("pk_listed_code")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "maintenance",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_maintenance")),
        sqlite_strict=True,
    )
    op.create_table(
        "patient",
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("pid", sa.Text(), nullable=False),
        sa.Column("announced", SMALL, nullable=False),
        sa.Column("merged_into", BIG),
        sa.Column("survivor_pk", BIG, nullable=False),
        sa.PrimaryKeyConstraint("patient_pk", name=op.f("pk_patient")),
        sa.UniqueConstraint("pid", name=op.f("uq_patient_pid")),
        sqlite_strict=True,
    )
    op.create_index("ix_patient_survivor", "patient", ["survivor_pk"])
    op.create_table(
        "patient_merge",
        sa.Column("merge_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("subsumed_pk", BIG, nullable=False),
        sa.Column("surviving_pk", BIG, nullable=False),
        sa.Column("merged_at", BIG, nullable=False),
        sa.Column("undone_at", BIG),
        sa.PrimaryKeyConstraint("merge_pk", name=op.f("pk_patient_merge")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_patient_merge_subsumed", "patient_merge", ["subsumed_pk"])
    op.create_table(
        "stored_document",
        sa.Column("doc_uid", sa.Text(), nullable=False),
        sa.Column("blob_key", sa.Text(), nullable=False),
        sa.Column("sha1", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("stored_at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("doc_uid", name=op.f("pk_stored_document")),
        sa.UniqueConstraint("blob_key", name=op.f("uq_stored_document_blob_key")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "submission_set",
        sa.Column("patient_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("set_pk", BIG, autoincrement=False, nullable=False),
        sa.Column("entry_uuid", UUID, nullable=False),
        sa.Column("status", SMALL, nullable=False),
        sa.Column("home_pk", sa.Integer()),
        sa.Column("submission_time", BIG, nullable=False),
        sa.Column("source_pk", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.Integer(), nullable=False),
        sa.Column("uid_key", UUID, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("facets", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("patient_pk", "set_pk", name=op.f("pk_submission_set")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("uq_submission_set_uuid", "submission_set", ["entry_uuid"], unique=True)
    op.create_table(
        "uid_claim",
        sa.Column("key", UUID, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("patient_pk", BIG, nullable=False),
        sa.Column("obj_pk", BIG, nullable=False),
        sa.Column("hash", sa.LargeBinary()),
        sa.Column("size", BIG),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_uid_claim")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        # Bodies are compressed by the node (store/bodies.py): the server shall not try again.
        for table in ("document_entry", "submission_set", "folder", "association"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in (
        "stored_document",
        "uid_claim",
        "listed_code",
        "association",
        "folder",
        "submission_set",
        "document_entry",
        "code",
        "patient_merge",
        "patient",
        "maintenance",
    ):
        op.drop_table(table)
