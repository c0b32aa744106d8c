"""What a metadata update is about: looked up, every patient of it locked, and looked up again.

update.py asks for it inside the write transaction; update_checks.py and propagation.py read it. Nothing here
judges or writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from xds.metadata.model import Association, DocumentEntry, Folder
from xds.metadata.updates import NewVersion, Update
from xds.registry import patients
from xds.registry.objects import KINDS, VERSIONED, ends_of, fetch, latest_versions, locate, looking_at
from xds.registry.prepare import Claim, Prepared, Row
from xds.store import schema
from xds.store.keys import uuid_bytes

# -- looking -------------------------------------------------------------------------------------------------

#: What is compared with a new version, or decides what may be done.
_COLUMNS: Final = (
    "logical_uuid",
    "version",
    "latest",
    "status",
    "availability",
    "object_type",
    "repo_pk",
    "home_pk",
    "last_update_time",
    "uid_key",
    "hash",
    "size",
    "type",
    "source_uuid",
    "target_uuid",
)
_NAMED: Final = looking_at(*_COLUMNS)
_LATEST: Final = latest_versions(*_COLUMNS)


def by_uuid(connection: Connection, uuids: Iterable[bytes]) -> dict[bytes, Any]:
    """The rows of the objects with these entryUUIDs, whatever they are."""
    return locate(connection, _NAMED, uuids)


@dataclass(frozen=True, slots=True)
class Registered:
    """What an update is about, as it is registered.

    `latest`: (kind, logical uuid) -> the latest version. `named`: entryUUID -> any object that is named, and
    the ends of associations among them.
    """

    latest: Mapping[tuple[int, bytes], Any]
    named: Mapping[bytes, Any]


def _look(connection: Connection, request: Update, prepared: Prepared) -> Registered:
    asked = {end for each in request.submitted for end in (each.source, each.target)}
    asked |= {each.target for each in request.status_changes}
    strange = [uuid_bytes(each) for each in asked if each not in prepared.uuids]
    named = by_uuid(connection, [*prepared.new_uuids, *strange])
    links = [row for row in named.values() if row.kind == schema.KIND_ASSOCIATION]
    named |= by_uuid(connection, [end for row in links for end in ends_of(row)])
    logical = [row["logical_uuid"] for kind in VERSIONED for row in prepared.rows[KINDS[kind].table.name]]
    latest = {
        (row.kind, bytes(row.logical_uuid)): row for row in fetch(connection, _LATEST, dict.fromkeys(logical))
    }
    return Registered(latest, named)


# -- locking -------------------------------------------------------------------------------------------------


def locked(
    connection: Connection, request: Update, prepared: Prepared, domain: patients.Domain
) -> tuple[int, Registered]:
    """The patient of the submission set, and what the update is about, with every patient of it locked.

    The set's own patient comes among them, or is new and so the last.
    """

    def look() -> tuple[Registered, set[int]]:
        found = _look(connection, request, prepared)
        return found, {row.survivor_pk for row in (*found.latest.values(), *found.named.values())}

    held = patients.keys_of(connection, prepared.pid) | look()[1]
    patients.lock_all(connection, held)
    patient_pk = patients.admit(connection, domain, prepared.pid, prepared.patient_location)
    return patient_pk, patients.lock_until_settled(connection, look, held | {patient_pk})


# -- all together --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """An update under its locks.

    `rows` are those of `prepared`, ready for their tables. `claims`: a document's key -> what its uniqueId
    would claim. `made`: id as sent -> kind and row of each new version. `followed`: entryUUID of a version
    before -> the id as sent of the one that follows it.
    """

    connection: Connection
    request: Update
    prepared: Prepared
    patient_pk: int
    registered: Registered
    rows: Mapping[str, list[Row]]
    claims: Mapping[int, Claim]
    made: Mapping[str, tuple[int, Row]]
    followed: Mapping[bytes, str]

    def before(self, each: NewVersion) -> Any:
        """The latest version of what this is a new one of, or None."""
        return _before(each, self.made, self.registered)

    def ends(self, each: Association) -> tuple[bytes, bytes]:
        """The UUIDs that an association of the message links."""
        source, target = (uuid_bytes(self.prepared.uuids.get(end, end)) for end in (each.source, each.target))
        return source, target


def scene_of(
    connection: Connection,
    request: Update,
    prepared: Prepared,
    patient_pk: int,
    registered: Registered,
    rows: Mapping[str, list[Row]],
) -> Scene:
    """What is known, put together for those who check and write."""
    entries: tuple[tuple[DocumentEntry | Folder, ...], ...] = (
        request.content.document_entries,
        request.content.folders,
    )
    made = {
        entry.entry_uuid: (kind, row)
        for kind, sent in zip(VERSIONED, entries, strict=True)
        for entry, row in zip(sent, rows[KINDS[kind].table.name], strict=True)
    }
    followed = {
        bytes(old.entry_uuid): each.entry.entry_uuid
        for each in request.versions
        if (old := _before(each, made, registered)) is not None
    }
    claims = {each.obj_pk: each for each in prepared.claims}
    return Scene(connection, request, prepared, patient_pk, registered, rows, claims, made, followed)


def _before(each: NewVersion, made: Mapping[str, tuple[int, Row]], registered: Registered) -> Any:
    kind, row = made[each.entry.entry_uuid]
    return registered.latest.get((kind, row["logical_uuid"]))
