"""Removing registry objects by id, all or none, in one transaction (ITI-62, ITI TF-2 3.62.4.1.3).

The transaction calls `remove` inside its write transaction: look up, lock every patient concerned, look
again, check, delete. What stays must be whole: no association without both its ends, no object without an
association. It must never remove anything that was not named; documents are the repository's (ITI-86).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.confidentiality import Restriction
from xds.registry import facets, patients
from xds.registry.elements import slot_texts
from xds.registry.objects import (
    KINDS,
    UUIDS,
    VERSIONED,
    batches,
    ends_of,
    fetch,
    locate,
    looking_at,
    read_uuid,
    versions,
)
from xds.registry.owners import pids_of
from xds.registry.prepare import ASSOCIATION_TYPES, HAS_MEMBER
from xds.registry.queries.matches import document_unique_id
from xds.registry.rules import broken
from xds.registry.sight import open_among
from xds.registry.storing import give_up_uuids
from xds.registry.view import Visibility
from xds.store.keys import unique_id_key, uuid_urn
from xds.store.schema import association, document_entry, listed_code, submission_set, uid_claim

#: Without these its source would no longer say what it was made from. A replacement or addendum stands alone.
_NEEDED_BY_SOURCE: Final = {
    ASSOCIATION_TYPES[each] for each in (names.XFRM, names.SIGNS, names.IS_SNAPSHOT_OF)
}
#: Ids that one error lists.
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class _Object:
    """What removing needs to know of an object; what its kind does not have is empty."""

    kind: int
    uuid: bytes
    patient_pk: int
    obj_pk: int
    logical: bytes
    uid_key: bytes
    codes: tuple[int, ...]
    type: int
    ends: tuple[bytes, ...]
    restrictions: int


def remove(
    connection: Connection, ids: Sequence[str], visibility: Visibility
) -> Mapping[str, Mapping[str, Restriction]]:
    """Remove the objects with these entryUUIDs, each named once or more: patient -> the ids of what was
    theirs, and of documents what their codes said.

    What `visibility` does not open is not there.

    Runs in the caller's write transaction. Raises RegistryFailure with every error found, each at the id of
    the object it is about; the caller's transaction then rolls back and nothing has happened.
    """
    asked = {each: read_uuid(each) for each in ids}
    uuids = [each for each in asked.values() if each is not None]
    opened = open_among(connection, visibility, uuids)
    going = _locked(connection, [each for each in uuids if each in opened])
    errors = [broken("remove-known", each, f"({each})") for each, uuid in asked.items() if uuid not in going]
    errors += _still_referenced(connection, going)
    errors += _parted_from_source(going)
    errors += _versions_left(connection, going)
    errors += _orphans(connection, going)
    if errors:
        raise RegistryFailure(*errors)
    _delete(connection, going.values())
    pids = pids_of(connection, (each.patient_pk for each in going.values()))
    removed: dict[str, dict[str, Restriction]] = {}
    for uuid, each in going.items():
        removed.setdefault(pids[each.patient_pk], {})[uuid_urn(uuid)] = Restriction(each.restrictions)
    return removed


def going_with(connection: Connection, logical: bytes) -> list[str]:
    """The ids that a removal of a document must name, so that what stays is whole: all its versions, their
    associations, what holds these, and the submission sets that would be left with nothing.

    Their patients are locked: whether a set is left with nothing depends on who else removes from it.
    """

    def look() -> tuple[list[bytes], set[int]]:
        going = _going_with(connection, logical)
        return going, {row.survivor_pk for row in locate(connection, _OWNERS, going).values()}

    return [uuid_urn(each) for each in patients.lock_until_settled(connection, look)]


def _going_with(connection: Connection, logical: bytes) -> list[bytes]:
    entries = {
        bytes(row[0]) for row in connection.execute(versions(document_entry, UUIDS), {"uuids": [logical]})
    }
    links = {bytes(row.entry_uuid) for each in _TOUCHED_BY for row in fetch(connection, each, entries)}
    links |= {bytes(row.entry_uuid) for row in fetch(connection, _HOLDING_OF_DOCUMENT, links)}
    sets = {bytes(row.source_uuid) for row in fetch(connection, _SETS_OF, links)}
    emptied = {
        each
        for each in sets
        if all(bytes(row.entry_uuid) in links for row in fetch(connection, _HELD_BY, [each]))
    }
    return [*sorted(entries), *sorted(links), *sorted(emptied)]


_TOUCHED_BY: Final = tuple(
    select(association.c.entry_uuid).where(end.in_(UUIDS))
    for end in (association.c.source_uuid, association.c.target_uuid)
)
_HOLDING_OF_DOCUMENT: Final = select(association.c.entry_uuid).where(association.c.target_uuid.in_(UUIDS))
_SETS_OF: Final = (
    select(association.c.source_uuid)
    .join(submission_set, submission_set.c.entry_uuid == association.c.source_uuid)
    .where(association.c.entry_uuid.in_(UUIDS))
    .distinct()
)
_HELD_BY: Final = select(association.c.entry_uuid).where(association.c.source_uuid.in_(UUIDS))
_SAME_DOCUMENT: Final = select(document_entry.c.entry_uuid).where(document_unique_id().condition("keys"))


def is_registered(connection: Connection, unique_id: str) -> bool:
    """Whether any entry has this uniqueId."""
    found = connection.execute(_SAME_DOCUMENT, {"keys": [unique_id_key(unique_id)]})
    return found.first() is not None


# -- looking and locking -------------------------------------------------------------------------------------

_FIND: Final = looking_at(
    "logical_uuid", "uid_key", "facets", "type", "source_uuid", "target_uuid", "restrictions"
)
_OWNERS: Final = looking_at()


def _locked(connection: Connection, uuids: Sequence[bytes]) -> dict[bytes, _Object]:
    """The objects with these UUIDs, in this order, with every patient locked who has a part in their removal.

    These are also the patients of what a removed association links: an object must not lose its last two
    associations to two writers at once.
    """

    def look() -> tuple[dict[bytes, _Object], set[int]]:
        rows = locate(connection, _FIND, uuids)
        found = {each: _object(rows[each]) for each in uuids if each in rows}
        others = {end for each in found.values() for end in each.ends} - found.keys()
        owners = (*rows.values(), *locate(connection, _OWNERS, sorted(others)).values())
        return found, {row.survivor_pk for row in owners}

    return patients.lock_until_settled(connection, look)


def _object(row: Any) -> _Object:
    letter = KINDS[row.kind].listed
    return _Object(
        kind=row.kind,
        uuid=bytes(row.entry_uuid),
        patient_pk=row.patient_pk,
        obj_pk=row.obj_pk,
        logical=bytes(row.logical_uuid or b""),
        uid_key=bytes(row.uid_key or b""),
        codes=tuple(facets.numbers(row.facets, letter)) if letter else (),
        type=row.type or 0,
        ends=ends_of(row) if row.source_uuid else (),
        restrictions=row.restrictions or 0,
    )


# -- what must be whole afterwards ---------------------------------------------------------------------------

# One statement for each end: each has an index of its own.
_LINKS: Final = tuple(
    select(association.c.entry_uuid, association.c.source_uuid, association.c.target_uuid).where(
        end.in_(UUIDS)
    )
    for end in (association.c.source_uuid, association.c.target_uuid)
)


def _staying_links(
    connection: Connection, uuids: Collection[bytes], going: Collection[bytes]
) -> dict[bytes, set[bytes]]:
    """For each of these objects that associations name which are not going: their UUIDs."""
    found: dict[bytes, set[bytes]] = {}
    for statement in _LINKS:
        for row in fetch(connection, statement, uuids):
            link = bytes(row.entry_uuid)
            for end in ends_of(row):
                if end in uuids and link not in going:
                    found.setdefault(end, set()).add(link)
    return found


def _still_referenced(connection: Connection, going: Mapping[bytes, _Object]) -> list[RegistryError]:
    found = _staying_links(connection, going, going)
    return [_error("remove-referenced", each, "named by", found[each]) for each in going if each in found]


def _parted_from_source(going: Mapping[bytes, _Object]) -> list[RegistryError]:
    return [
        _error("remove-source", each.uuid, "its source is", each.ends[:1])
        for each in going.values()
        if each.type in _NEEDED_BY_SOURCE and each.ends[0] not in going
    ]


_VERSIONS: Final = {
    kind: select(table.c.entry_uuid, table.c.logical_uuid).where(
        table.c.entry_uuid.in_(versions(table, UUIDS))
    )
    for kind in VERSIONED
    for table in (KINDS[kind].table,)
}


def _versions_left(connection: Connection, going: Mapping[bytes, _Object]) -> list[RegistryError]:
    """Versions are history: without the latest one, or one in between, it would tell something untrue."""
    left: dict[bytes, set[bytes]] = {}
    for kind, statement in _VERSIONS.items():
        logical = {each.logical: None for each in going.values() if each.kind == kind}
        for row in fetch(connection, statement, logical):
            if bytes(row.entry_uuid) not in going:
                left.setdefault(bytes(row.logical_uuid), set()).add(bytes(row.entry_uuid))
    return [
        _error("remove-versions", each.uuid, "others are", left[each.logical])
        for each in going.values()
        if each.logical in left
    ]


def _orphans(connection: Connection, going: Mapping[bytes, _Object]) -> list[RegistryError]:
    """What loses an association and has none left, in the order in which the associations were named."""
    losing = {end: None for each in going.values() for end in each.ends if end not in going}
    kept = _staying_links(connection, losing, going)
    return [_error("remove-orphan", each) for each in losing if each not in kept]


def _error(rule: str, uuid: bytes, word: str = "", others: Iterable[bytes] = ()) -> RegistryError:
    """codeContext names the object, and what else is to be named."""
    own, listed = uuid_urn(uuid), sorted(map(uuid_urn, others))
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    detail = f"({own}; {word} {', '.join(listed[:_LISTED])}{more})" if listed else f"({own})"
    return broken(rule, own, detail)


# -- deleting ------------------------------------------------------------------------------------------------

_DELETE: Final = {
    kind: delete(table).where(table.c.entry_uuid.in_(UUIDS)) for kind, (table, _, _) in KINDS.items()
}
_UNLIST: Final = delete(listed_code).where(
    *(listed_code.c[name] == bindparam(f"own_{name}") for name in ("kind", "code_pk", "patient_pk", "obj_pk"))
)
_HOLDING: Final = select(association.c.source_uuid, association.c.body).where(
    association.c.target_uuid.in_(UUIDS), association.c.type == HAS_MEMBER
)
_FORGET: Final = update(submission_set).where(submission_set.c.entry_uuid.in_(UUIDS)).values(fingerprint=b"")
# Locked, for as long as it is open whether another object with the uniqueId remains.
_CLAIMS: Final = (
    select(uid_claim.c.key, uid_claim.c.kind, uid_claim.c.obj_pk)
    .where(uid_claim.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(uid_claim.c.key)
    .with_for_update()
)
_HEIRS: Final = (
    select(document_entry.c.uid_key, document_entry.c.patient_pk, document_entry.c.doc_pk)
    .where(
        document_entry.c.uid_key.in_(bindparam("keys", expanding=True)),
        document_entry.c.uid_first == literal_column("0"),
    )
    .order_by(document_entry.c.doc_pk.desc())
)
_UNCLAIM: Final = delete(uid_claim).where(uid_claim.c.key.in_(bindparam("keys", expanding=True)))
_PASS_ON: Final = (
    update(uid_claim)
    .where(uid_claim.c.key == bindparam("of_key"))
    .values(patient_pk=bindparam("to_patient"), obj_pk=bindparam("to_document"))
)
_MAKE_FIRST: Final = (
    update(document_entry)
    .where(
        document_entry.c.patient_pk == bindparam("to_patient"),
        document_entry.c.doc_pk == bindparam("to_document"),
    )
    .values(uid_first=1)
)


def _delete(connection: Connection, going: Collection[_Object]) -> None:
    freed = _freed_claims(connection, going)  # locked first: two who remove one document do not cross
    for kind, statement in _DELETE.items():
        for some in batches(each.uuid for each in going if each.kind == kind):
            connection.execute(statement, {"uuids": some})
    give_up_uuids(connection, (each.uuid for each in going))
    _forget_repeats(connection, going)
    listed = [
        {
            "own_kind": each.kind,
            "own_code_pk": code,
            "own_patient_pk": each.patient_pk,
            "own_obj_pk": each.obj_pk,
        }
        for each in going
        for code in dict.fromkeys(each.codes)
    ]
    if listed:
        connection.execute(_UNLIST, listed)
    for keys in batches(freed):
        _pass_on_claims(connection, keys)


def _forget_repeats(connection: Connection, going: Collection[_Object]) -> None:
    """A set that has lost something of what it brought is no longer what was sent: the same message again is
    not its repeat, or it would be acknowledged and not be there (docs/decisions/0007-idempotent-repeat.md).
    """
    links = [each for each in going if each.ends]
    brought = {each.ends[0]: None for each in links if each.type == HAS_MEMBER}
    # A relationship is no member: its set is that which brought the document at its source.
    sources = {each.ends[0]: None for each in links if each.type != HAS_MEMBER}
    for row in fetch(connection, _HOLDING, sources):
        if any(b">Original<" in text for text in slot_texts(row.body, "SubmissionSetStatus")):
            brought[bytes(row.source_uuid)] = None
    for some in batches(brought):
        connection.execute(_FORGET, {"uuids": some})


def _freed_claims(connection: Connection, going: Collection[_Object]) -> list[bytes]:
    """The keys of the claims that lead to these objects; locked."""
    keys = {(each.kind, each.obj_pk): each.uid_key for each in going if each.uid_key}
    return [
        bytes(row.key)
        for some in batches(sorted(set(keys.values())))
        for row in connection.execute(_CLAIMS, {"keys": some}).all()
        if (row.kind, row.obj_pk) in keys
    ]


def _pass_on_claims(connection: Connection, keys: Sequence[bytes]) -> None:
    """A claim goes to the oldest other entry of the same document, or away where there is none.

    It keeps its hash and size: they are those of the document, whichever entry it leads to.
    """
    rows = connection.execute(_HEIRS, {"keys": keys})
    heirs = {bytes(row.uid_key): row for row in rows}  # the last one stays: the oldest
    passed = [
        {"of_key": key, "to_patient": row.patient_pk, "to_document": row.doc_pk} for key, row in heirs.items()
    ]
    if passed:
        connection.execute(_PASS_ON, passed)
        connection.execute(_MAKE_FIRST, passed)
    if given_up := [key for key in keys if key not in heirs]:
        connection.execute(_UNCLAIM, {"keys": given_up})
