"""Registry objects of any kind by entryUUID: their tables, and the look at them before something is written.

register.py, update.py and remove.py look through here, with the patients locked (patients.py); queries/ never
do, as nothing here hides what a caller may not see (rows.py has that). Nothing here judges or writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    CompoundSelect,
    Connection,
    Executable,
    Integer,
    Select,
    Table,
    bindparam,
    cast,
    literal,
    literal_column,
    null,
    select,
    union_all,
)

from xds.store import schema
from xds.store.keys import uuid_bytes
from xds.store.schema import association, document_entry, folder, patient, submission_set


class Kind(NamedTuple):
    """Where one kind of object lies: its table, the key there beside patient_pk, and the letter of those
    facets that are in listed_code too.
    """

    table: Table
    key: str
    listed: str = ""


KINDS: Final[Mapping[int, Kind]] = {
    schema.KIND_DOCUMENT_ENTRY: Kind(document_entry, "doc_pk", "e"),
    schema.KIND_SUBMISSION_SET: Kind(submission_set, "set_pk"),
    schema.KIND_FOLDER: Kind(folder, "folder_pk", "c"),
    schema.KIND_ASSOCIATION: Kind(association, "assoc_pk"),
}
#: The kinds of object that have versions.
VERSIONED: Final = (schema.KIND_DOCUMENT_ENTRY, schema.KIND_FOLDER)

#: The parameter of every statement that is about objects by entryUUID.
UUIDS: Final[BindParameter[Any]] = bindparam("uuids", expanding=True)
#: Values in one statement, which may use them several times: SQLite takes 32,766, PostgreSQL 65,535.
_TOGETHER: Final = 1000

_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def read_uuid(text: str) -> bytes | None:
    """The UUID that a sender asks for, in lower or upper case (RFC 4122, 3); None when it is none."""
    return uuid_bytes(text) if _UUID.fullmatch(text) else None


def batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Any number of values, as many at a time as one statement takes."""
    iterator = iter(values)
    while some := list(islice(iterator, _TOGETHER)):
        yield some


def fetch(connection: Connection, statement: Executable, uuids: Iterable[bytes]) -> Iterator[Any]:
    """The rows of a statement about any number of `uuids`."""
    for some in batches(uuids):
        yield from connection.execute(statement, {"uuids": some}).all()


def looking_at(*columns: str) -> CompoundSelect[Any]:
    """A statement for `locate` that looks at these columns; a kind that lacks one gives null."""
    return union_all(*(_of_kind(kind, columns) for kind in KINDS))


def locate(
    connection: Connection, statement: CompoundSelect[Any], uuids: Iterable[bytes]
) -> dict[bytes, Any]:
    """The objects with these entryUUIDs, whatever they are.

    Rows have kind, entry_uuid, patient_pk, survivor_pk (the patient after merges), obj_pk, and the columns of
    the statement.
    """
    return {bytes(row.entry_uuid): row for row in fetch(connection, statement, dict.fromkeys(uuids))}


def latest_versions(*columns: str) -> CompoundSelect[Any]:
    """Rows like those of `looking_at`, of the latest versions of logical objects by `uuids`."""
    return union_all(
        *(
            _of_kind(kind, columns, among=versions(KINDS[kind].table, UUIDS)).where(
                KINDS[kind].table.c.latest == literal_column("1")
            )
            for kind in VERSIONED
        )
    )


def versions(table: Table, logical: BindParameter[Any] | Select[Any]) -> CompoundSelect[Any]:
    """The entryUUIDs of all versions of logical objects.

    The first version is the logical object's namesake; only later ones are in the index by logical_uuid,
    which is used where the planner sees the condition: literals, not bound values.
    """
    first, later = table.alias("first"), table.alias("later")
    return union_all(
        select(first.c.entry_uuid).where(
            first.c.entry_uuid.in_(logical), first.c.version == literal_column("1")
        ),
        select(later.c.entry_uuid).where(
            later.c.logical_uuid.in_(logical), later.c.version > literal_column("1")
        ),
    )


def _of_kind(kind: int, columns: Iterable[str], among: Any = UUIDS) -> Select[Any]:
    table, key, _ = KINDS[kind]
    return (
        select(
            literal(kind, Integer).label("kind"),
            table.c.entry_uuid,
            table.c.patient_pk,
            patient.c.survivor_pk,
            table.c[key].label("obj_pk"),
            *(_column(table, name).label(name) for name in columns),
        )
        .join_from(table, patient, table.c.patient_pk == patient.c.patient_pk)
        .where(table.c.entry_uuid.in_(among))
    )


def _column(table: Table, name: str) -> Any:
    if name in table.c:
        return table.c[name]
    like: Column[Any] = next(kind.table.c[name] for kind in KINDS.values() if name in kind.table.c)
    return cast(null(), like.type)


#: Approved associations that begin, and that end, at some objects: each end has an index of its own.
TOUCHING: Final = tuple(
    select(association).where(end.in_(UUIDS), association.c.status == schema.STATUS_APPROVED)
    for end in (association.c.source_uuid, association.c.target_uuid)
)


def ends_of(row: Any) -> tuple[bytes, bytes]:
    """The UUIDs that an association links."""
    return bytes(row.source_uuid), bytes(row.target_uuid)
