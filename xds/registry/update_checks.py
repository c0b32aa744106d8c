"""May this update be? The rules that need to know what is registered (tables in docs/metadata-update.md).

update.py calls these under the locks; what the message shows by itself metadata/updates.py has judged before.
Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select

from xds.errors import RegistryError
from xds.metadata import names
from xds.metadata.model import Association
from xds.metadata.updates import NewVersion, StatusChange
from xds.registry.elements import STATUSES, slot_texts
from xds.registry.objects import TOUCHING, VERSIONED, ends_of, fetch
from xds.registry.prepare import HAS_MEMBER, OBJECT_TYPES, Row
from xds.registry.register import clash, transformations_among
from xds.registry.update_rules import broken
from xds.registry.update_scene import Scene
from xds.store import schema
from xds.store.keys import uuid_bytes
from xds.store.schema import document_entry, uid_claim

# -- new versions --------------------------------------------------------------------------------------------

#: What a new version must have as the version before it has it: attribute, column, rule. By `restricted`.
_SAME: Final = {
    False: (
        ("uniqueId", "uid_key", "update-unique-id"),
        ("objectType", "object_type", "update-object-type"),
    ),
    True: (
        ("uniqueId", "uid_key", "restricted-unique-id"),
        ("objectType", "object_type", "restricted-object-type"),
        ("repositoryUniqueId", "repo_pk", "restricted-unmodifiable"),
        ("documentAvailability", "availability", "restricted-unmodifiable"),
        ("hash", "hash", "restricted-unmodifiable"),
        ("size", "size", "restricted-unmodifiable"),
    ),
}
#: Of what must stay the same in a restricted update, that which has no column.
_SAME_SLOT: Final = "sourcePatientId"
#: Hash and size of a document that is not assembled yet (ITI TF-2 3.43.4.1.3.2): they may change, once.
NOT_ASSEMBLED: Final = (bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709"), 0)

_BODY: Final = select(document_entry.c.body).where(document_entry.c.entry_uuid == bindparam("uuid"))
_CLAIMED: Final = select(uid_claim).where(uid_claim.c.key == bindparam("of"))


def check_versions(scene: Scene) -> Iterator[RegistryError]:
    """Is each the next version of something that may be updated, and does it keep what must stay?"""
    for each in scene.request.versions:
        here = each.entry.entry_uuid
        old = scene.before(each)
        if old is None:
            yield broken("update-logical-known", f"{here}/logicalID", f"({here})")
        else:
            yield from _check_version(scene, each, old)


def _check_version(scene: Scene, each: NewVersion, old: Any) -> Iterator[RegistryError]:
    here = each.entry.entry_uuid
    detail = f"({here})"
    kind, row = scene.made[here]
    restricted = scene.request.restricted
    if old.version != each.previous:
        yield broken("update-version", f"{each.member}/PreviousVersion", detail)
    if not restricted and old.status != schema.STATUS_APPROVED:
        yield broken("update-approved", f"{here}/logicalID", detail)
    changed = [each for each in _SAME[restricted] if _differs(row, old, each[1])]
    yield from (broken(rule_id, f"{here}/{name}", detail) for name, _, rule_id in changed)
    if restricted:
        yield from (
            broken(rule_id, f"{here}/{name}", detail) for name, rule_id in _restricted(scene, each, old)
        )
    elif kind == schema.KIND_DOCUMENT_ENTRY and not changed and _has_other_bytes(row, old):
        # Those of the uniqueId: what this update has made known of them is there already.
        holder = scene.connection.execute(_CLAIMED, {"of": row["uid_key"]}).one()
        yield from clash(scene.claims[row["doc_pk"]], holder)


def _differs(row: Row, old: Any, column: str) -> bool:
    if column not in row:
        return False
    there = getattr(old, column)
    return bool(row[column] != (bytes(there) if isinstance(there, memoryview) else there))


def _restricted(scene: Scene, each: NewVersion, old: Any) -> Iterator[tuple[str, str]]:
    """(attribute, rule) of what a restricted update must not change and no column compares."""
    _, row = scene.made[each.entry.entry_uuid]
    if old.survivor_pk != scene.patient_pk:
        yield "patientId", "restricted-patient-id"
    body = scene.connection.execute(_BODY, {"uuid": old.entry_uuid}).scalar_one()
    if slot_texts(body, _SAME_SLOT) != slot_texts(row["body"], _SAME_SLOT):
        yield _SAME_SLOT, "restricted-unmodifiable"
    status, home = each.entry.availability_status, each.entry.home
    if status is not None and STATUSES.get(status) != old.status:
        yield "availabilityStatus", "restricted-unmodifiable"
    # A gateway adds this community's own to its answers, and so it comes back.
    if home not in (None, scene.request.content.submission_set.home) and _differs(row, old, "home_pk"):
        yield "homeCommunityId", "restricted-unmodifiable"


def _has_other_bytes(row: Row, old: Any) -> bool:
    return _differs(row, old, "hash") or _differs(row, old, "size")


def assembled(scene: Scene) -> list[Row]:
    """The new versions that make known the bytes of a document that was not assembled before."""
    return [
        row
        for each in scene.request.versions
        if not scene.request.restricted and (old := scene.before(each)) is not None
        for kind, row in (scene.made[each.entry.entry_uuid],)
        if kind == schema.KIND_DOCUMENT_ENTRY
        and (bytes(old.hash or b""), old.size) == NOT_ASSEMBLED
        and _has_other_bytes(row, old)
        and not any(_differs(row, old, column) for _, column, _ in _SAME[False])
    ]


# -- statuses ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A status change and what it is about: `kind` is 0 when there is no such object, `current` its status.

    `registered` is the object's row; None for one that this update makes.
    """

    command: StatusChange
    uuid: bytes
    kind: int
    current: int
    registered: Any = None


def resolve(scene: Scene, command: StatusChange) -> Change:
    """What a status change is about: a new version of this request stands for the one before."""
    sent = command.target
    if sent not in scene.prepared.uuids:
        uuid = uuid_bytes(sent)
        if uuid not in scene.followed:
            found = scene.registered.named.get(uuid)
            return (
                Change(command, uuid, found.kind, found.status, found)
                if found
                else Change(command, uuid, 0, 0)
            )
        sent = scene.followed[uuid]
    kind = scene.made[sent][0] if sent in scene.made else schema.KIND_ASSOCIATION
    return Change(command, uuid_bytes(scene.prepared.uuids[sent]), kind, schema.STATUS_APPROVED)


def check_changes(scene: Scene, changes: Sequence[Change]) -> Iterator[RegistryError]:
    """Does each name one object that may change, in the status that it has?"""
    seen: set[bytes] = set()
    patients = {row.survivor_pk for row in scene.registered.latest.values()} | {scene.patient_pk}
    for each in changes:
        place, detail = f"{each.command.id}/targetObject", f"({each.command.target})"
        if not each.kind:
            yield broken("update-resolved", place, detail)
            continue
        if each.uuid in seen:
            yield broken("update-once", place, detail)
        seen.add(each.uuid)
        if each.registered is not None and not _may_change(scene, each.registered):
            yield broken("update-status-target", place, detail)
            continue
        if each.current != STATUSES[each.command.original]:
            yield broken("update-original-status", f"{each.command.id}/OriginalStatus", detail)
        owners = _owners(scene, each)
        if len(owners) > 1 and each.command.new == names.APPROVED:
            yield broken("update-reconciliation", place, detail)
        if not owners <= patients:
            yield broken("update-patient", place, detail)


def _may_change(scene: Scene, row: Any) -> bool:
    if row.kind in VERSIONED:
        return bool(row.latest)
    if row.kind != schema.KIND_ASSOCIATION:
        return False
    source = scene.registered.named.get(bytes(row.source_uuid))
    return row.type != HAS_MEMBER or (source is not None and source.kind == schema.KIND_FOLDER)


def _owners(scene: Scene, each: Change) -> set[int]:
    """The patients of what is registered; an association is its ends'."""
    row = each.registered
    if row is None:
        return set()
    if row.kind != schema.KIND_ASSOCIATION:
        return {row.survivor_pk}
    ends = [scene.registered.named.get(end) for end in ends_of(row)]
    return {end.survivor_pk for end in ends if end is not None}


# -- new associations ----------------------------------------------------------------------------------------


def check_submitted(scene: Scene) -> Iterator[RegistryError]:
    """May these objects be linked, and are they not linked already?"""
    pairs = {each.entry_uuid: scene.ends(each) for each in scene.request.submitted}
    # By the target, which is a document: a folder may have any number of links.
    targets = {target: None for _, target in pairs.values()}
    linked = (row for statement in TOUCHING for row in fetch(scene.connection, statement, targets))
    taken = {frozenset(ends_of(row)) for row in linked}
    appended = [pairs[each.entry_uuid][1] for each in scene.request.submitted if each.type == names.APND]
    transformations = transformations_among(scene.connection, appended)
    for each in scene.request.submitted:
        pair = pairs[each.entry_uuid]
        place, detail = f"{each.entry_uuid}/targetObject", f"({each.target})"
        errors = list(_check_ends(scene, each))
        yield from errors
        if each.type == names.APND and pair[1] in transformations:
            yield broken("registry-addendum", place, detail)
        if not errors and frozenset(pair) in taken:
            yield broken("update-association-once", place, detail)
        taken.add(frozenset(pair))


def _check_ends(scene: Scene, each: Association) -> Iterator[RegistryError]:
    document = schema.KIND_DOCUMENT_ENTRY
    source = schema.KIND_FOLDER if each.type == names.HAS_MEMBER else document
    stable, on_demand = (
        (OBJECT_TYPES[names.STABLE], OBJECT_TYPES[names.ON_DEMAND])
        if each.type == names.IS_SNAPSHOT_OF
        else (None, None)
    )
    for name, end, kind, object_type in (
        ("sourceObject", each.source, source, stable),
        ("targetObject", each.target, document, on_demand),
    ):
        for rule_id in _broken_by(scene, end, kind, object_type):
            yield broken(rule_id, f"{each.entry_uuid}/{name}", f"({end})")


def _broken_by(scene: Scene, end: str, kind: int, object_type: int | None) -> Iterator[str]:
    """The rules that an end of a submitted association breaks."""
    if end in scene.made:
        own, row = scene.made[end]
        if own != kind or object_type not in (None, row.get("object_type")):
            yield "update-association-ends"
        return
    uuid = uuid_bytes(scene.prepared.uuids.get(end, end))
    found = scene.registered.named.get(uuid)
    if found is None:
        yield "update-resolved"
    elif found.kind != kind:
        yield "update-association-ends"
    else:
        if object_type not in (None, found.object_type):
            yield "update-association-ends"
        if found.status != schema.STATUS_APPROVED or not found.latest or uuid in scene.followed:
            yield "update-association-approved"
        if found.survivor_pk != scene.patient_pk:
            yield "update-association-patient"
