"""Registering a submission by the registry's own rules, in one transaction (ITI TF-2 3.42.4.1.3).

`register` runs inside the caller's write transaction: lock the patient, know a repeat, resolve references,
claim the uniqueIds, insert, replace. The order of its steps is what makes it right under races
(docs/decisions/0003-registry-storage.md): nothing is looked up first and written later without the lock or
the claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.registry import patients
from xds.registry.objects import UUIDS, batches, ends_of, fetch, locate, looking_at
from xds.registry.prepare import (
    ASSOCIATION_TYPES,
    HAS_MEMBER,
    Claim,
    Prepared,
    Reference,
    Replacement,
    Row,
    companions,
    link,
    numbered,
    words_of,
)
from xds.registry.rules import broken
from xds.registry.sight import open_among
from xds.registry.storing import store
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.codes import Codes
from xds.store.dialect import insert_new
from xds.store.keys import now, uuid_urn
from xds.store.schema import (
    association,
    document_entry,
    folder,
    patient,
    submission_set,
    uid_claim,
)


def register(
    connection: Connection,
    prepared: Prepared,
    codes: Codes,
    domain: patients.Domain,
    visibility: Visibility,
) -> bool:
    """Write a prepared submission; True when it was written, False when it is an identical repeat.

    What it names and `visibility` does not open is not there.

    Runs in the caller's write transaction. Raises RegistryFailure with every error found; the caller's
    transaction then rolls back and nothing has happened.
    """
    _lock_others(connection, prepared)
    patient_pk = patients.admit(connection, domain, prepared.pid, prepared.patient_location)
    if is_repeat(connection, prepared):
        return False
    errors = _check_references(connection, prepared, patient_pk, visibility)
    errors += _check_replacements(connection, prepared, patient_pk)
    again, claim_errors = claim(connection, prepared, patient_pk)
    errors += claim_errors
    if errors:
        raise RegistryFailure(*errors)

    numbers = codes.intern(connection, words_of(prepared))
    for name, rows in prepared.rows.items():
        if rows:
            ready = [numbered(row, numbers, patient_pk=patient_pk) for row in rows]
            if name == "document_entry":
                ready = [{**row, "uid_first": int(row["doc_pk"] not in again)} for row in ready]
            store(connection, name, ready)
    touch_folders(connection, prepared.grown_folders)
    for each in prepared.replacements:
        _replace(connection, prepared.set_uuid, patient_pk, each)
    return True


_TOUCH_FOLDERS: Final = (
    update(folder).where(folder.c.entry_uuid.in_(UUIDS)).values(last_update_time=bindparam("now"))
)


def touch_folders(connection: Connection, uuids: Iterable[bytes]) -> None:
    """These folders have gained a document: they are updated now (ITI TF-2 3.42.4.1.3.6)."""
    time = now()
    for some in batches(uuids):
        connection.execute(_TOUCH_FOLDERS, {"uuids": some, "now": time})


_SET_OF_CLAIM: Final = (
    select(submission_set.c.fingerprint)
    .join_from(
        uid_claim,
        submission_set,
        (submission_set.c.patient_pk == uid_claim.c.patient_pk)
        & (submission_set.c.set_pk == uid_claim.c.obj_pk),
    )
    .where(uid_claim.c.key == bindparam("key"), uid_claim.c.kind == schema.KIND_SUBMISSION_SET)
)
# Held until the submission is done: a removal (remove.py) must not give up a claim that it counts on.
_CLAIMED: Final = (
    select(uid_claim)
    .where(uid_claim.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(uid_claim.c.key)
    .with_for_update(read=True, key_share=True)
)


def _lock_others(connection: Connection, prepared: Prepared) -> None:
    """Lock the patients of what is taken in by reference, with our own, in order: it must not be removed
    meanwhile.
    """
    taken = [each.uuid for each in prepared.references if not each.same_patient]

    def look() -> tuple[None, set[int]]:
        others = {row.survivor_pk for row in locate(connection, _OUTSIDE, taken).values()}
        return None, others | patients.keys_of(connection, prepared.pid)

    if taken:
        patients.lock_until_settled(connection, look)


def is_repeat(connection: Connection, prepared: Prepared) -> bool:
    """Whether this very submission is registered already (docs/decisions/0007-idempotent-repeat.md)."""
    stored = connection.execute(_SET_OF_CLAIM, {"key": prepared.set_claim.key}).scalar_one_or_none()
    return stored is not None and bytes(stored) == prepared.fingerprint


_OUTSIDE: Final = looking_at("status", "object_type")


def _check_references(
    connection: Connection, prepared: Prepared, patient_pk: int, visibility: Visibility
) -> list[RegistryError]:
    references = prepared.references
    opened = open_among(connection, visibility, (each.uuid for each in references))
    known = locate(connection, _OUTSIDE, [*prepared.new_uuids, *(each.uuid for each in references)])
    transformed = transformations_among(connection, (each.uuid for each in references if each.original))
    filed = _folders_by_document(connection, (each.uuid for each in references if each.new_in is not None))
    errors = [
        broken("registry-entry-uuid-new", location)
        for new, location in prepared.new_uuids.items()
        if new in known
    ]
    for each in references:
        is_there = each.uuid in opened and each.uuid not in prepared.new_uuids
        found = known.get(each.uuid) if is_there else None
        rules = list(_broken_by(each, found, patient_pk))
        if found is not None and each.original and each.uuid in transformed:
            rules.append("registry-addendum")
        if found is not None and each.new_in is not None and (each.new_in, each.uuid) in filed:
            rules.append("registry-member-once")
        errors += [broken(rule, each.location, f"({uuid_urn(each.uuid)})") for rule in rules]
    return errors


def _broken_by(each: Reference, found: Any, patient_pk: int) -> Iterator[str]:
    """The rules that a reference breaks, in the order of ITI TF-2 3.42.4.1.3.5."""
    if found is None:
        yield "registry-reference-known"
    elif found.kind not in each.kinds:
        yield "registry-reference-kind"
    else:
        if found.status != schema.STATUS_APPROVED:
            is_document = found.kind == schema.KIND_DOCUMENT_ENTRY
            yield "registry-document-approved" if is_document else "registry-folder-approved"
        if each.same_patient and found.survivor_pk != patient_pk:
            yield "registry-same-patient"
        if each.object_type not in (None, found.object_type):
            yield "registry-reference-kind"


_TRANSFORMED: Final = select(association.c.source_uuid).where(
    association.c.source_uuid.in_(UUIDS),
    association.c.type == ASSOCIATION_TYPES[names.XFRM],
    association.c.status == schema.STATUS_APPROVED,
)


def transformations_among(connection: Connection, uuids: Iterable[bytes]) -> set[bytes]:
    """Those of these documents that are transformations; what also replaces its origin is a document in its
    own right (docs/transactions.md).
    """
    return {bytes(row.source_uuid) for row in fetch(connection, _TRANSFORMED, uuids)}


_FILED: Final = select(association.c.source_uuid, association.c.target_uuid).where(
    association.c.target_uuid.in_(UUIDS),
    association.c.type == HAS_MEMBER,
    association.c.status == schema.STATUS_APPROVED,
)


def _folders_by_document(connection: Connection, documents: Iterable[bytes]) -> set[tuple[bytes, bytes]]:
    """(folder or submission set, document) of all approved memberships of these documents."""
    return {ends_of(row) for row in fetch(connection, _FILED, documents)}


def claim(
    connection: Connection, prepared: Prepared, patient_pk: int
) -> tuple[set[int], list[RegistryError]]:
    """Claim all uniqueIds at once; returns the keys of documents known with these bytes, and the errors."""
    claims = sorted(
        (prepared.set_claim, *prepared.claims), key=lambda claim: claim.key
    )  # one order: no deadlocks
    statement = insert_new(uid_claim, connection.dialect).returning(uid_claim.c.key)
    rows = {
        c.key: {
            "key": c.key,
            "kind": c.kind,
            "patient_pk": patient_pk,
            "obj_pk": c.obj_pk,
            "hash": c.hash,
            "size": c.size,
        }
        for c in claims
    }
    by_key = {claim.key: claim for claim in claims}
    holders: list[Any] = []
    while rows:
        won = connection.execute(statement, list(rows.values())).scalars()
        new = {bytes(key) for key in won}
        rows = {key: row for key, row in rows.items() if key not in new}
        # A new statement: it sees who won. Nobody there: the claim was given up in between, so try again.
        for keys in batches(rows):
            holders += connection.execute(_CLAIMED, {"keys": keys}).all()
        known = {bytes(holder.key) for holder in holders}
        rows = {key: row for key, row in rows.items() if key not in known}
    again: set[int] = set()
    errors: list[RegistryError] = []
    for holder in sorted(holders, key=lambda row: by_key[bytes(row.key)].obj_pk):
        claim = by_key[bytes(holder.key)]
        found = clash(claim, holder)
        errors += found
        if not found:
            again.add(claim.obj_pk)
    return again, errors


def clash(claim: Claim, holder: Any) -> list[RegistryError]:
    """What is wrong with a uniqueId that is taken; codeContext names it, as ITI TF-2 3.42.4.1.3.3 asks."""
    unique_id = f"({claim.unique_id})"
    if claim.kind == schema.KIND_SUBMISSION_SET:
        rules = ["registry-set-unique-id"]
    elif claim.kind == schema.KIND_FOLDER:
        rules = ["registry-folder-unique-id"]
    elif holder.kind != schema.KIND_DOCUMENT_ENTRY:
        rules = ["registry-document-unique-id-kind"]
    elif (holder.hash is None) != (claim.hash is None):  # only on-demand documents have none
        rules = ["registry-document-unique-id-type"]
    else:
        rules = []
        if holder.hash is not None and bytes(holder.hash) != claim.hash:
            rules.append("registry-document-same-hash")
        if holder.size != claim.size:
            rules.append("registry-document-same-size")
    return [broken(rule, claim.location, unique_id) for rule in rules]


_DEPRECATE: Final = (
    update(document_entry)
    .where(
        document_entry.c.entry_uuid == bindparam("target"),
        document_entry.c.status == schema.STATUS_APPROVED,
    )
    .values(status=schema.STATUS_DEPRECATED)
)
_DEPENDENTS: Final = (
    select(document_entry.c.entry_uuid, document_entry.c.status, patient.c.survivor_pk)
    .join_from(association, document_entry, association.c.source_uuid == document_entry.c.entry_uuid)
    .join(patient, document_entry.c.patient_pk == patient.c.patient_pk)
    .where(
        association.c.target_uuid.in_(UUIDS),
        association.c.type.in_((ASSOCIATION_TYPES[names.APND], ASSOCIATION_TYPES[names.XFRM])),
        association.c.status == schema.STATUS_APPROVED,
    )
)
_FOLDERS_OF: Final = (
    select(folder.c.entry_uuid, patient.c.survivor_pk)
    .join_from(association, folder, association.c.source_uuid == folder.c.entry_uuid)
    .join(patient, folder.c.patient_pk == patient.c.patient_pk)
    .where(
        association.c.target_uuid == bindparam("target"),
        association.c.type == HAS_MEMBER,
        association.c.status == schema.STATUS_APPROVED,
        folder.c.status == schema.STATUS_APPROVED,
    )
)


def _folders_of(connection: Connection, document: bytes) -> dict[bytes, int]:
    """The approved folders that a document is in, each with its surviving patient."""
    found = connection.execute(_FOLDERS_OF, {"target": document})
    return {bytes(row.entry_uuid): row.survivor_pk for row in found}


def _hanging_on(connection: Connection, each: Replacement) -> dict[bytes, int]:
    """The approved addenda and transformations of what is replaced, and of these, each with its surviving
    patient. One that is deprecated is followed too: something may have been appended to it before.
    """
    seen = {each.replaced, each.replacement}
    found: dict[bytes, int] = {}
    reached = [each.replaced]
    while reached:
        rows = {bytes(row.entry_uuid): row for row in fetch(connection, _DEPENDENTS, reached)}
        reached = sorted(rows.keys() - seen)
        seen.update(reached)
        found |= {own: rows[own].survivor_pk for own in reached if rows[own].status == schema.STATUS_APPROVED}
    return found


def _check_replacements(connection: Connection, prepared: Prepared, patient_pk: int) -> list[RegistryError]:
    """Does all that a replacement changes belong to the patient?

    A merge that is taken back leaves no approved link between two people (parting.py), so this should never
    find anything: it stands here because nothing is worse than to deprecate somebody else's document.
    """
    errors = []
    for each in prepared.replacements:
        owners = _hanging_on(connection, each) | _folders_of(connection, each.replaced)
        if strange := [uuid_urn(own) for own in sorted(owners) if owners[own] != patient_pk]:
            errors.append(broken("registry-same-patient", each.location, f"({', '.join(strange)})"))
    return errors


def _replace(connection: Connection, set_uuid: bytes, patient_pk: int, each: Replacement) -> None:
    """RPLC and XFRM_RPLC: deprecate what is replaced and all that hangs on it, move into its folders.

    ITI TF-2 3.42.4.1.3.5 and TF-3 4.2.2.2.3: every addendum and transformation of the replaced document goes
    too; an addendum of an addendum is followed as well, so that nothing approved hangs on something
    deprecated.
    """
    if connection.execute(_DEPRECATE, {"target": each.replaced}).rowcount != 1:
        detail = f"({uuid_urn(each.replaced)})"
        raise RegistryFailure(broken("registry-document-approved", each.location, detail))
    if hanging := _hanging_on(connection, each):
        connection.execute(_DEPRECATE, [{"target": own} for own in sorted(hanging)])
    # The folders it was in, but for those into which the submission itself puts the replacement.
    holding = _folders_of(connection, each.replaced).keys() - _folders_of(connection, each.replacement).keys()
    folders = sorted(holding)
    members = [link(uuid_urn(own), uuid_urn(each.replacement)) for own in folders]
    file_documents(connection, set_uuid, patient_pk, members, folders)


def file_documents(
    connection: Connection,
    set_uuid: bytes,
    patient_pk: int,
    links: Sequence[Row],
    folders: Iterable[bytes],
    filed: Iterable[bytes] = (),
) -> None:
    """Store associations that the registry makes itself, for every membership the set's own link to it, and
    the time of the folders that grow by them. `filed`: memberships that came in the message without a link.
    """
    memberships = [each["entry_uuid"] for each in links if each["type"] == HAS_MEMBER]
    rows = [*links, *companions(set_uuid, [*filed, *memberships])]
    if rows:
        store(connection, "association", [{**row, "patient_pk": patient_pk} for row in rows])
    touch_folders(connection, folders)
