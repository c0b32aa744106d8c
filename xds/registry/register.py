"""Registering a submission by the registry's own rules, in one transaction (ITI TF-2 3.42.4.1.3).

`register` runs inside the caller's write transaction: lock the patient, know a repeat, resolve references,
claim the uniqueIds, insert, replace. The order of its steps is what makes it right under races
(docs/decisions/0003-registry-storage.md): nothing is looked up first and written later without the lock or
the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    cast,
    insert,
    literal,
    null,
    select,
    union_all,
    update,
)

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import names
from xds.registry import patients
from xds.registry.prepare import (
    ASSOCIATION_TYPES,
    Claim,
    Prepared,
    Reference,
    Replacement,
    link,
    numbered,
    words_of,
)
from xds.registry.rules import broken
from xds.store import schema
from xds.store.codes import Codes
from xds.store.dialect import insert_new
from xds.store.keys import now, uuid_urn
from xds.store.schema import (
    association,
    document_entry,
    folder,
    listed_code,
    patient,
    submission_set,
    uid_claim,
)


def register(connection: Connection, prepared: Prepared, codes: Codes) -> bool:
    """Write a prepared submission; True when it was written, False when it is an identical repeat.

    Runs in the caller's write transaction. Raises RegistryFailure with every error found; the caller's
    transaction then rolls back and nothing has happened.
    """
    patient_pk = patients.lock(connection, prepared.pid)
    if _is_repeat(connection, prepared):
        return False
    errors = _check_references(connection, prepared, patient_pk)
    again, claim_errors = _claim(connection, prepared, patient_pk)
    errors += claim_errors
    if errors:
        raise RegistryFailure(*errors)

    numbers = codes.intern(connection, words_of(prepared))
    for name, rows in prepared.rows.items():
        if rows:
            ready = [numbered(row, numbers, patient_pk=patient_pk) for row in rows]
            if name == "document_entry":
                ready = [{**row, "uid_first": int(row["doc_pk"] not in again)} for row in ready]
            connection.execute(_INSERTS[name], ready)
    if prepared.grown_folders:
        connection.execute(_TOUCH_FOLDERS, {"uuids": list(prepared.grown_folders), "now": now()})
    for each in prepared.replacements:
        _replace(connection, prepared.set_uuid, patient_pk, each)
    return True


_INSERTS: Final = {
    "document_entry": insert(document_entry),
    "submission_set": insert(submission_set),
    "folder": insert(folder),
    "association": insert(association),
    "listed_code": insert(listed_code),
}
_TOUCH_FOLDERS: Final = (
    update(folder)
    .where(folder.c.entry_uuid.in_(bindparam("uuids", expanding=True)))
    .values(last_update_time=bindparam("now"))
)
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
_CLAIMED: Final = select(uid_claim).where(uid_claim.c.key.in_(bindparam("keys", expanding=True)))


def _is_repeat(connection: Connection, prepared: Prepared) -> bool:
    stored = connection.execute(_SET_OF_CLAIM, {"key": prepared.set_claim.key}).scalar_one_or_none()
    return stored is not None and bytes(stored) == prepared.fingerprint


def _located(kind: int, table: Any, key: str, object_type: Any) -> Any:
    return (
        select(
            literal(kind, Integer).label("kind"),
            table.c.entry_uuid,
            table.c.patient_pk,
            patient.c.survivor_pk,
            table.c[key].label("obj_pk"),
            table.c.status,
            object_type.label("object_type"),
        )
        .join_from(table, patient, table.c.patient_pk == patient.c.patient_pk)
        .where(table.c.entry_uuid.in_(bindparam("uuids", expanding=True)))
    )


_LOCATE: Final = union_all(
    _located(schema.KIND_DOCUMENT_ENTRY, document_entry, "doc_pk", document_entry.c.object_type),
    _located(schema.KIND_SUBMISSION_SET, submission_set, "set_pk", cast(null(), Integer)),
    _located(schema.KIND_FOLDER, folder, "folder_pk", cast(null(), Integer)),
    _located(schema.KIND_ASSOCIATION, association, "assoc_pk", cast(null(), Integer)),
)


def locate(connection: Connection, uuids: Sequence[bytes]) -> dict[bytes, Any]:
    """Rows (kind, patient_pk, survivor_pk, obj_pk, status, object_type) of the objects with these UUIDs."""
    found: dict[bytes, Any] = {}
    for start in range(0, len(uuids), 1000):
        rows = connection.execute(_LOCATE, {"uuids": uuids[start : start + 1000]})
        found.update({bytes(row.entry_uuid): row for row in rows})
    return found


def _check_references(connection: Connection, prepared: Prepared, patient_pk: int) -> list[RegistryError]:
    known = locate(connection, [*prepared.new_uuids, *(each.uuid for each in prepared.references)])
    errors = [
        broken("registry-entry-uuid-new", location)
        for new, location in prepared.new_uuids.items()
        if new in known
    ]
    for each in prepared.references:
        found = known.get(each.uuid)
        rule = _broken_by(each, found if each.uuid not in prepared.new_uuids else None, patient_pk)
        if rule:
            errors.append(broken(rule, each.location, f"({uuid_urn(each.uuid)})"))
    return errors


def _broken_by(each: Reference, found: Any, patient_pk: int) -> str:
    """The rule that a reference breaks, in the order of ITI TF-2 3.42.4.1.3.5; empty when it is sound."""
    if found is None:
        return "registry-reference-known"
    if found.kind not in each.kinds or each.object_type not in (None, found.object_type):
        return "registry-reference-kind"
    if each.same_patient and found.survivor_pk != patient_pk:
        return "registry-same-patient"
    if found.status != schema.STATUS_APPROVED:
        return (
            "registry-document-approved"
            if found.kind == schema.KIND_DOCUMENT_ENTRY
            else "registry-folder-approved"
        )
    return ""


def _claim(
    connection: Connection, prepared: Prepared, patient_pk: int
) -> tuple[set[int], list[RegistryError]]:
    """Claim all uniqueIds at once; returns the keys of documents known with these bytes, and the errors."""
    claims = sorted(
        (prepared.set_claim, *prepared.claims), key=lambda claim: claim.key
    )  # one order: no deadlocks
    statement = insert_new(uid_claim, connection.dialect).returning(uid_claim.c.key)
    rows = [
        {
            "key": c.key,
            "kind": c.kind,
            "patient_pk": patient_pk,
            "obj_pk": c.obj_pk,
            "hash": c.hash,
            "size": c.size,
        }
        for c in claims
    ]
    won = {bytes(key) for key in connection.execute(statement, rows).scalars()}
    lost = {claim.key: claim for claim in claims if claim.key not in won}
    again: set[int] = set()
    errors: list[RegistryError] = []
    if lost:
        holders = connection.execute(_CLAIMED, {"keys": list(lost)})  # a new statement: it sees who won
        for holder in sorted(holders, key=lambda row: lost[bytes(row.key)].obj_pk):
            claim = lost[bytes(holder.key)]
            found = _clash(claim, holder)
            errors += found
            if not found:
                again.add(claim.obj_pk)
    return again, errors


def _clash(claim: Claim, holder: Any) -> list[RegistryError]:
    """What is wrong with a uniqueId that is taken; codeContext names it, as ITI TF-2 3.42.4.1.3.3 asks."""
    unique_id = f"({claim.unique_id})"
    if claim.kind == schema.KIND_SUBMISSION_SET:
        rules = ["registry-set-unique-id"]
    elif claim.kind == schema.KIND_FOLDER:
        rules = ["registry-folder-unique-id"]
    elif holder.kind != schema.KIND_DOCUMENT_ENTRY:
        rules = ["registry-document-unique-id-kind"]
    else:
        rules = []
        if holder.hash is not None and bytes(holder.hash) != claim.hash:
            rules.append("registry-document-same-hash")
        if holder.size is not None and holder.size != claim.size:
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
_DEPENDENTS: Final = select(association.c.source_uuid).where(
    association.c.target_uuid.in_(bindparam("targets", expanding=True)),
    association.c.type.in_((ASSOCIATION_TYPES[names.APND], ASSOCIATION_TYPES[names.XFRM])),
    association.c.status == schema.STATUS_APPROVED,
)
_FOLDERS_OF: Final = (
    select(folder.c.entry_uuid)
    .join_from(association, folder, association.c.source_uuid == folder.c.entry_uuid)
    .where(
        association.c.target_uuid == bindparam("target"),
        association.c.type == ASSOCIATION_TYPES[names.HAS_MEMBER],
        association.c.status == schema.STATUS_APPROVED,
        folder.c.status == schema.STATUS_APPROVED,
    )
)


def _folders_of(connection: Connection, document: bytes) -> set[bytes]:
    return {bytes(each) for each in connection.execute(_FOLDERS_OF, {"target": document}).scalars()}


def _replace(connection: Connection, set_uuid: bytes, patient_pk: int, each: Replacement) -> None:
    """RPLC and XFRM_RPLC: deprecate what is replaced and all that hangs on it, move into its folders.

    ITI TF-2 3.42.4.1.3.5 and TF-3 4.2.2.2.3: every addendum and transformation of the replaced document goes
    too; an addendum of an addendum is followed as well, so that nothing approved hangs on something
    deprecated.
    """
    if connection.execute(_DEPRECATE, {"target": each.replaced}).rowcount != 1:
        detail = f"({uuid_urn(each.replaced)})"
        raise RegistryFailure(broken("registry-document-approved", each.location, detail))
    seen = {each.replaced, each.replacement}
    hanging = [each.replaced]
    while hanging:
        sources = connection.execute(_DEPENDENTS, {"targets": hanging}).scalars()
        hanging = sorted({bytes(source) for source in sources} - seen)
        seen.update(hanging)
        for source in hanging:
            connection.execute(_DEPRECATE, {"target": source})

    # The folders it was in, but for those into which the submission itself puts the replacement.
    folders = sorted(_folders_of(connection, each.replaced) - _folders_of(connection, each.replacement))
    if folders:
        members = [link(uuid_urn(own), uuid_urn(each.replacement)) for own in folders]
        companions = [link(uuid_urn(set_uuid), uuid_urn(member["entry_uuid"])) for member in members]
        rows = [{**row, "patient_pk": patient_pk} for row in (*members, *companions)]
        connection.execute(_INSERTS["association"], rows)
        connection.execute(_TOUCH_FOLDERS, {"uuids": folders, "now": now()})
