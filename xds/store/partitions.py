"""Partitions by patient, for a PostgreSQL that is to hold hundreds of millions of documents.

`xds migrate --partitions` makes them in an empty database; from then on every statement is what it was. A
partitioned table cannot keep entryUUIDs unique by an index, as they say nothing of the patient, so those who
insert objects ask `is_partitioned` and claim them in `entry_claim`. Nothing here moves a row.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Connection, Table, select, text

from xds.errors import SettingsError
from xds.store.schema import association, document_entry, entry_claim, folder, submission_set, uid_claim

#: What is divided, by which column: a patient's objects lie together, and claims are looked up by their key.
DIVIDED: Final[tuple[tuple[Table, str], ...]] = (
    (document_entry, "patient_pk"),
    (submission_set, "patient_pk"),
    (folder, "patient_pk"),
    (association, "patient_pk"),
    (uid_claim, "key"),
    (entry_claim, "entry_uuid"),
)
#: More make each look-up by uuid dearer, and no table handier (docs/decisions/0018-partitions.md).
MOST: Final = 64

#: What a connection's own notes call it.
_KNOWN: Final = "xds_partitioned"
_COUNT: Final = text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass('document_entry')")
_INDEXES: Final = text(
    "SELECT pg_get_indexdef(i.indexrelid) AS definition, i.indisunique AS is_unique,"
    " pg_get_constraintdef(k.oid) AS key, k.conname AS name,"
    " (SELECT attnum FROM pg_attribute WHERE attrelid = i.indrelid AND attname = :column)"
    " = ANY (i.indkey::int2[]) AS has_column"
    " FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid"
    " WHERE i.indrelid = to_regclass(:table) ORDER BY i.indexrelid"
)


def is_partitioned(connection: Connection) -> bool:
    """Whether entryUUIDs have to be claimed here; asked once for each connection."""
    if connection.dialect.name != "postgresql":
        return False
    known: dict[Any, Any] = connection.info
    if _KNOWN not in known:
        known[_KNOWN] = partitions(connection) > 0
    return bool(known[_KNOWN])


def partitions(connection: Connection) -> int:
    """How many partitions a table has; 0: it is whole."""
    return int(connection.execute(_COUNT).scalar_one())


def divide(connection: Connection, number: int) -> None:
    """Divide the tables of a database of this version, which must be empty. Raises SettingsError."""
    there = partitions(connection)
    if there == number:
        return
    if there:
        raise SettingsError(f"store.database has {there} partitions, and that cannot be changed: xds copy")
    if _is_in_use(connection):
        raise SettingsError("store.database is in use: stop the nodes before it is partitioned")
    for table, _ in DIVIDED:
        if connection.execute(select(table).limit(1)).first():
            raise SettingsError("store.database is not empty: partition an empty one, and xds copy into it")
    for table, column in DIVIDED:
        _divide(connection, table.name, column, number)
    connection.info.pop(_KNOWN, None)


def _is_in_use(connection: Connection) -> bool:
    """Whether somebody else stays connected, and might take the tables for whole."""
    for pause in (0, 0.05, 0.1, 0.2, 0.4):  # a connection that was closed may be listed a moment longer
        time.sleep(pause)
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        if not connection.scalar(text(_OTHERS)):
            return False
    return True


_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def _divide(connection: Connection, name: str, column: str, number: int) -> None:
    indexes = connection.execute(_INDEXES, {"table": name, "column": column}).all()
    run = connection.exec_driver_sql
    run(f"ALTER TABLE {name} RENAME TO {name}_whole")
    run(
        f"CREATE TABLE {name} (LIKE {name}_whole INCLUDING DEFAULTS INCLUDING STORAGE)"
        f" PARTITION BY HASH ({column})"
    )
    run(f"DROP TABLE {name}_whole")
    for own in range(number):
        run(
            f"CREATE TABLE {name}_{own:03} PARTITION OF {name}"
            f" FOR VALUES WITH (MODULUS {number}, REMAINDER {own})"
        )
    for each in indexes:
        if each.key:
            run(f"ALTER TABLE {name} ADD CONSTRAINT {each.name} {each.key}")
        elif each.is_unique and not each.has_column:
            run(each.definition.replace("CREATE UNIQUE INDEX", "CREATE INDEX", 1))
        else:
            run(each.definition)
