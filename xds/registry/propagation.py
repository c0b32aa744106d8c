"""Association propagation: what links the version before links the version that follows it, unless it is told
not to (XDS Metadata Update 3.57.4.1.3.3.1.5 and .3.5).

update.py asks for the copies and stores them. The associations of the version before are read only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xds.errors import RegistryError
from xds.metadata.ebrim import new_id
from xds.registry.elements import renamed
from xds.registry.objects import TOUCHING, ends_of, fetch
from xds.registry.prepare import HAS_MEMBER, Row
from xds.registry.update_rules import broken
from xds.registry.update_scene import Scene, by_uuid
from xds.store import schema
from xds.store.keys import new_key, uuid_bytes, uuid_urn


@dataclass(frozen=True, slots=True)
class Copy:
    """An association for a new version; `grows`: it gives a folder a document's new version."""

    row: Row
    grows: bool


def copies(scene: Scene) -> tuple[list[Copy], list[RegistryError]]:
    """The approved associations of the versions before, for those that follow them, and what forbids it.

    Both ends may be followed in one request; an end that is not must still be a latest version, and for a
    folder's content approved too. One that belongs to another patient is an error.
    """
    heirs = {
        bytes(old.entry_uuid): uuid_bytes(scene.prepared.uuids[each.entry.entry_uuid])
        for each in scene.request.versions
        if each.propagate and (old := scene.before(each)) is not None
    }
    found = {row.assoc_pk: row for statement in TOUCHING for row in fetch(scene.connection, statement, heirs)}
    ends = by_uuid(scene.connection, [end for row in found.values() for end in ends_of(row)])
    made: list[Copy] = []
    errors: dict[RegistryError, None] = {}
    for _, row in sorted(found.items()):
        if _carries_over(row, heirs, ends, scene.followed):
            errors |= dict.fromkeys(_between_patients(row, heirs, ends, scene))
            made.append(Copy(_copy(row, heirs), row.type == HAS_MEMBER and bytes(row.target_uuid) in heirs))
    return made, list(errors)


def _carries_over(
    row: Any, heirs: Mapping[bytes, bytes], ends: Mapping[bytes, Any], followed: Mapping[bytes, str]
) -> bool:
    pair = ends_of(row)
    content = row.type == HAS_MEMBER
    if content and ends[pair[0]].kind != schema.KIND_FOLDER:
        return False  # a set keeps what it brought
    return all(
        end in heirs
        or (
            end not in followed  # by a version that leaves its associations behind
            and bool(ends[end].latest)
            and (not content or ends[end].status == schema.STATUS_APPROVED)
        )
        for end in pair
    )


def _between_patients(
    row: Any, heirs: Mapping[bytes, bytes], ends: Mapping[bytes, Any], scene: Scene
) -> list[RegistryError]:
    pair = ends_of(row)
    sent = next(scene.followed[end] for end in pair if end in heirs)
    detail = f"({sent}; {uuid_urn(bytes(row.entry_uuid))})"
    return [
        broken("update-reconciliation", f"{sent}/patientId", detail)
        for end in pair
        if end not in heirs and ends[end].survivor_pk != scene.patient_pk
    ]


def _copy(row: Any, heirs: Mapping[bytes, bytes]) -> Row:
    own = uuid_bytes(new_id())
    source, target = ends_of(row)
    others = {end: heirs[end] for end in (source, target) if end in heirs}
    return {
        "assoc_pk": new_key(),
        "entry_uuid": own,
        "type": row.type,
        "status": schema.STATUS_APPROVED,
        "source_uuid": heirs.get(source, source),
        "target_uuid": heirs.get(target, target),
        "home_pk": row.home_pk,
        "body": renamed(row.body, {bytes(row.entry_uuid): own} | others),
    }
