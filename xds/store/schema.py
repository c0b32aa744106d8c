"""The tables (docs/decisions/0003-registry-storage.md gives the measurements behind them).

One row per registry object: the columns that are searched or can change, and the lasting text of its element
as bytes. Imported by the registry, the repository and the migrations; the only place, with database.py and
the migrations, that knows SQL types. It must never hold a statement.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

#: Every constraint has a name, so that a migration can find it on both engines.
NAMES: Final = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}

metadata = MetaData(naming_convention=NAMES)

# SQLite's STRICT tables know INTEGER only; it holds 64 bits.
Big: Final = BigInteger().with_variant(Integer, "sqlite")
Small: Final = SmallInteger().with_variant(Integer, "sqlite")


#: A UUID as its 16 bytes, on every engine: no conversion on the way in or out.
UuidBytes: Final = LargeBinary(16)


def _clustered(name: str, *content: Any) -> Table:
    """A table that SQLite stores in the order of its primary key: one patient's rows lie together."""
    return Table(name, metadata, *content, sqlite_with_rowid=False, sqlite_strict=True)


patient = Table(
    "patient",
    metadata,
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("pid", Text, nullable=False, unique=True),  # the full CX text
    Column("announced", Small, nullable=False),  # 1: an identity feed has named it
    Column("merged_into", Big),  # the patient it was merged into, else null
    Column("survivor_pk", Big, nullable=False),  # the end of that chain; its own key when it survives
    Index("ix_patient_survivor", "survivor_pk"),
    sqlite_strict=True,
)

#: What the identity feed merged, and what was taken back: rows of registry objects never move.
patient_merge = _clustered(
    "patient_merge",
    Column("merge_pk", Big, primary_key=True, autoincrement=False),
    Column("subsumed_pk", Big, nullable=False),
    Column("surviving_pk", Big, nullable=False),
    Column("merged_at", Big, nullable=False),  # YYYYMMDDhhmmss, UTC
    Column("undone_at", Big),
    Index("ix_patient_merge_subsumed", "subsumed_pk"),
)

code = Table(
    "code",
    metadata,
    Column("code_pk", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Index("uq_code_code_scheme", "code", "scheme", unique=True),
    sqlite_strict=True,
)

document_entry = _clustered(
    "document_entry",
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("doc_pk", Big, primary_key=True, autoincrement=False),
    Column("entry_uuid", UuidBytes, nullable=False),
    Column("logical_uuid", UuidBytes, nullable=False),
    Column("version", Integer, nullable=False),
    Column("latest", Small, nullable=False),  # 1: no later version is registered
    Column("status", Small, nullable=False),
    Column("availability", Small, nullable=False),  # documentAvailability: 1 online, 0 offline
    Column("object_type", Small, nullable=False),
    Column("uid_first", Small, nullable=False),  # 1: uid_claim leads to this row; 0: same uniqueId again
    Column("class_code", Integer, nullable=False),
    Column("type_code", Integer, nullable=False),
    Column("practice_code", Integer, nullable=False),
    Column("facility_code", Integer, nullable=False),
    Column("format_code", Integer, nullable=False),
    Column("repo_pk", Integer, nullable=False),
    Column("mime_pk", Integer, nullable=False),
    Column("home_pk", Integer),
    Column("creation_time", Big),  # YYYYMMDDhhmmss, missing parts lowest
    Column("service_start", Big),
    Column("service_stop", Big),
    Column("size", Big),
    Column("uid_key", UuidBytes, nullable=False),
    Column("hash", LargeBinary),  # SHA-1, 20 bytes
    # metadata/confidentiality.py; a new version decides about the old ones too. 2: unknown.
    Column("restrictions", Integer, nullable=False, server_default="2"),
    Column("release_time", Big),  # YYYYMMDDhhmmss, UTC: when NORU ends; null: not before somebody says so
    Column("facets", Text, nullable=False),  # what is searched and repeats: registry/facets.py
    Column("body", LargeBinary, nullable=False),  # compressed element: registry/elements.py
    Index("uq_document_entry_uuid", "entry_uuid", unique=True),
    Index("ix_document_entry_find", "patient_pk", "status", "creation_time", "type_code", "class_code"),
    # For multi-patient queries (ITI-51), which may name no patient; event codes are in listed_code.
    Index("ix_document_entry_class", "class_code", "status"),
    Index("ix_document_entry_facility", "facility_code", "status"),
)
#: Patients of whom nothing may be shown to them (NORN_ALL), which few have.
Index(
    "ix_document_entry_all_refused",
    document_entry.c.patient_pk,
    sqlite_where=text("(restrictions & 2048) <> 0"),
    postgresql_where=text("(restrictions & 2048) <> 0"),
)
Index(
    "ix_document_entry_logical_uuid",
    document_entry.c.logical_uuid,
    sqlite_where=document_entry.c.version > 1,
    postgresql_where=document_entry.c.version > 1,
)
Index(
    "ix_document_entry_uid_key_again",
    document_entry.c.uid_key,
    sqlite_where=document_entry.c.uid_first == 0,
    postgresql_where=document_entry.c.uid_first == 0,
)

submission_set = _clustered(
    "submission_set",
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("set_pk", Big, primary_key=True, autoincrement=False),
    Column("entry_uuid", UuidBytes, nullable=False),
    Column("status", Small, nullable=False),
    Column("home_pk", Integer),
    Column("submission_time", Big, nullable=False),
    Column("source_pk", Integer, nullable=False),
    Column("content_type", Integer, nullable=False),
    Column("uid_key", UuidBytes, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),  # SHA-256 of the whole submission: knows a repeat
    Column("facets", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("uq_submission_set_uuid", "entry_uuid", unique=True),
)

folder = _clustered(
    "folder",
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("folder_pk", Big, primary_key=True, autoincrement=False),
    Column("entry_uuid", UuidBytes, nullable=False),
    Column("logical_uuid", UuidBytes, nullable=False),
    Column("version", Integer, nullable=False),
    Column("latest", Small, nullable=False),
    Column("status", Small, nullable=False),
    Column("home_pk", Integer),
    Column("last_update_time", Big, nullable=False),
    Column("uid_key", UuidBytes, nullable=False),
    Column("facets", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("uq_folder_uuid", "entry_uuid", unique=True),
    Index("ix_folder_logical_uuid", "logical_uuid"),
    Index("ix_folder_uid_key", "uid_key"),
)

#: Codes that repeat within an object, for multi-patient queries: eventCodeList and Folder.codeList.
listed_code = _clustered(
    "listed_code",
    Column("kind", Small, primary_key=True, autoincrement=False),
    Column("code_pk", Integer, primary_key=True, autoincrement=False),
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("obj_pk", Big, primary_key=True, autoincrement=False),
)

association = _clustered(
    "association",
    Column("patient_pk", Big, primary_key=True, autoincrement=False),
    Column("assoc_pk", Big, primary_key=True, autoincrement=False),
    Column("entry_uuid", UuidBytes, nullable=False),
    Column("type", Small, nullable=False),
    Column("status", Small, nullable=False),
    Column("source_uuid", UuidBytes, nullable=False),
    Column("target_uuid", UuidBytes, nullable=False),
    Column("home_pk", Integer),
    Column("body", LargeBinary, nullable=False),
    Index("uq_association_uuid", "entry_uuid", unique=True),
    Index("ix_association_source", "source_uuid"),
    Index("ix_association_target", "target_uuid"),
)

#: The only guard that makes uniqueIds unique, across all patients and kinds. It leads to the first object
#: with the uniqueId; further ones (the same bytes again, later versions) have uid_first = 0.
uid_claim = _clustered(
    "uid_claim",
    Column("key", UuidBytes, primary_key=True),  # keys.unique_id_key
    Column("kind", Small, nullable=False),
    Column("patient_pk", Big, nullable=False),
    Column("obj_pk", Big, nullable=False),
    Column("hash", LargeBinary),  # null, as size is, for an on-demand document
    Column("size", Big),
)

#: In a partitioned database the only guard that makes entryUUIDs unique (store/partitions.py); else empty.
entry_claim = _clustered(
    "entry_claim",
    Column("entry_uuid", UuidBytes, primary_key=True),
    Column("patient_pk", Big, nullable=False),
)

stored_document = _clustered(
    "stored_document",
    Column("doc_uid", Text, primary_key=True),
    Column("blob_key", Text, nullable=False, unique=True),
    Column("sha1", LargeBinary, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("size", Big, nullable=False),
    Column("mime", Text, nullable=False),
    Column("stored_at", Big, nullable=False),  # YYYYMMDDhhmmss, UTC
)

#: Tickets and DPoP proofs that are good for one use, and were used; `until` is when they end by themselves.
used_ticket = _clustered(
    "used_ticket",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("until", Big, nullable=False),  # seconds since 1970, UTC
    Index("ix_used_ticket_until", "until"),
)

#: What a patient, or somebody for the patient, has decided about their documents (access/privacy.py); a row
#: is only ever withdrawn, never changed or deleted: it is its own history.
privacy_setting = _clustered(
    "privacy_setting",
    Column("setting_pk", Big, primary_key=True, autoincrement=False),
    Column("patient_pk", Big, nullable=False),
    Column("kind", Small, nullable=False),  # 1 block, 2 refusal, 3 reservation, 4 release
    Column("whom", Text, nullable=False),  # against whom: access/privacy.py has the words
    Column("logical_uuid", UuidBytes),  # of the one document it is about, else null
    Column("organisation", Text),  # whose documents it is about (organisation number), else null
    Column("release_time", Big),  # of a release: when NORU ends, YYYYMMDDhhmmss, UTC
    Column("source", Text, nullable=False),  # who told us: the operator, or another system's name of it
    Column("made_at", Big, nullable=False),  # YYYYMMDDhhmmss, UTC
    Column("made_by", Text, nullable=False),
    Column("withdrawn_at", Big),  # null: in effect
    Column("withdrawn_by", Text),
    Index("ix_privacy_setting_patient", "patient_pk"),
)

#: The access log: only ever appended to (audit/store.py). Each row is chained by its hash to the one before.
audit_event = _clustered(
    "audit_event",
    Column("chain_pk", Integer, primary_key=True, autoincrement=False),
    # Microseconds since 1970, UTC; grows with every row of a chain.
    Column("recorded", Big, primary_key=True, autoincrement=False),
    Column("seq", Big, nullable=False),  # 1, 2, 3 … within its chain
    Column("pid", Text),  # the patient's CX text
    Column("person", Text),  # who asked: audit/event.py, person_of
    Column("code", Text, nullable=False),  # the transaction
    Column("outcome", Small, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),  # compressed AuditEvent, without id and recorded
    Index("ix_audit_event_pid", "pid", "recorded"),
    Index("ix_audit_event_person", "person", "recorded"),
)

#: The head of each node's chain, and where it was cut by retention; what was cut ended with that hash.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("chain_pk", Integer, primary_key=True),
    Column("node", Text, nullable=False, unique=True),
    Column("seq", Big, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("recorded", Big, nullable=False),
    Column("cut_seq", Big, nullable=False),
    Column("cut_hash", LargeBinary(32), nullable=False),
    sqlite_strict=True,
)

#: Events that a receiver has not taken yet, and those that it refuses (dead = 1).
audit_outbox = _clustered(
    "audit_outbox",
    Column("receiver", Text, primary_key=True),
    Column("dead", Small, primary_key=True, autoincrement=False),
    Column("recorded", Big, primary_key=True, autoincrement=False),
    Column("chain_pk", Integer, primary_key=True, autoincrement=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),  # why it is dead
)

#: Each receiver's state: who hands on to it now, until when, and when it is tried again.
audit_receiver = Table(
    "audit_receiver",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("held_until", Big, nullable=False),  # milliseconds since 1970, UTC
    Column("failures", Integer, nullable=False),  # in a row
    Column("due", Big, nullable=False),  # milliseconds since 1970, UTC
    Column("reason", Text),  # of the last failure
    sqlite_strict=True,
)

#: Answers that wait to be sent to the address in wsa:ReplyTo (gateway/replies.py); times are milliseconds
#: since 1970, UTC.
outgoing_reply = _clustered(
    "outgoing_reply",
    Column("file", Text, primary_key=True),  # its name; only this node has it
    Column("node", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reference", Text, nullable=False),  # of the request
    Column("size", Big, nullable=False),
    Column("made_at", Big, nullable=False),
    Column("until", Big, nullable=False),  # when it is given up
    Column("due", Big, nullable=False),  # when it is tried; whoever is at it moves this
    Column("attempts", Integer, nullable=False),
    Index("ix_outgoing_reply_due", "node", "due"),
)

#: Calls to other communities whose answers come as messages of their own (gateway/awaited.py).
awaited_reply = _clustered(
    "awaited_reply",
    Column("message_id", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("home", Text, nullable=False),  # the community asked
    Column("until", Big, nullable=False),  # milliseconds since 1970, UTC: nobody waits any more
    Column("reply", Text),  # null: has not come; JSON that names its files
)

#: One value per name for maintenance tasks, e.g. how far the sweep has come.
maintenance = Table(
    "maintenance",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_strict=True,
)

# -- the small numbers in the columns, and what they mean ---------------------------------------------------

#: Kinds of privacy_setting.
BLOCK: Final = 1
REFUSAL: Final = 2
RESERVATION: Final = 3
RELEASE: Final = 4

STATUS_APPROVED: Final = 1
STATUS_DEPRECATED: Final = 2

ONLINE: Final = 1
OFFLINE: Final = 0

KIND_DOCUMENT_ENTRY: Final = 1
KIND_SUBMISSION_SET: Final = 2
KIND_FOLDER: Final = 3
KIND_ASSOCIATION: Final = 4
