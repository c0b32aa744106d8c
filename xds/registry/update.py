"""Changing what is registered: new versions, statuses and associations, in one transaction (ITI-57, ITI-92).

`update` runs inside the caller's write transaction: look, lock every patient concerned, know a repeat, look
again, check, write. Nothing is ever overwritten but a status, `latest` and lastUpdateTime: the versions
before stay as they were. docs/metadata-update.md has the rules in words, and where we had to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam
from sqlalchemy import update as change

from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.updates import NewVersion, Update
from xds.registry import patients
from xds.registry.elements import STATUSES
from xds.registry.objects import KINDS, UUIDS, VERSIONED, versions
from xds.registry.prepare import Prepared, Reading, numbered, prepare, words_of
from xds.registry.propagation import Copy, copies
from xds.registry.register import claim, file_documents, is_repeat
from xds.registry.sight import open_among
from xds.registry.storing import store
from xds.registry.update_checks import (
    NOT_ASSEMBLED,
    Change,
    assembled,
    check_changes,
    check_submitted,
    check_versions,
    resolve,
)
from xds.registry.update_rules import broken
from xds.registry.update_scene import Registered, Scene, locked, scene_of
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.codes import Codes
from xds.store.keys import uuid_bytes
from xds.store.schema import document_entry, uid_claim


def prepare_update(request: Update, reading: Reading) -> Prepared:
    """All work on a valid update that needs no lock: PreviousVersion already tells which version it makes."""
    numbers = {each.entry.entry_uuid: each.previous + 1 for each in request.versions}
    return prepare(request.content, replace(reading, limited_metadata=False), numbers)


def update(
    connection: Connection,
    request: Update,
    prepared: Prepared,
    codes: Codes,
    domain: patients.Domain,
    visibility: Visibility,
) -> bool:
    """Carry out an update; True when it was done, False when it is an identical repeat.

    What it names and `visibility` does not open is not there.

    Runs in the caller's write transaction. Raises RegistryFailure with every error found; the caller's
    transaction then rolls back and nothing has happened.
    """
    patient_pk, registered = locked(connection, request, prepared, domain)
    if is_repeat(connection, prepared):
        return False
    taken = registered.named.keys()
    registered = _opened(connection, registered, visibility)
    numbers = codes.intern(connection, words_of(prepared))
    rows = {
        name: [numbered(row, numbers, patient_pk=patient_pk) for row in rows]
        for name, rows in prepared.rows.items()
    }
    scene = scene_of(connection, request, prepared, patient_pk, registered, rows)
    errors = [
        broken("registry-entry-uuid-new", location)
        for new, location in prepared.new_uuids.items()
        if new in taken
    ]
    # Versions claim no uniqueId: that of the first one is theirs.
    errors += claim(connection, replace(prepared, claims=()), patient_pk)[1]
    _assemble(scene)
    errors += check_versions(scene)
    changes = [resolve(scene, each) for each in request.status_changes]
    errors += check_changes(scene, changes)
    errors += check_submitted(scene)
    carried, carry_errors = copies(scene)
    errors += carry_errors
    if errors:
        raise RegistryFailure(*errors)
    _write_versions(scene)
    _write_links(scene, carried)
    _write_statuses(scene, changes)
    return True


_FOLLOW: Final = {
    kind: change(table)
    .where(table.c.entry_uuid == bindparam("of"), table.c.latest == 1, table.c.version == bindparam("was"))
    .values(latest=0, status=schema.STATUS_DEPRECATED)
    for kind in VERSIONED
    for table in (KINDS[kind].table,)
}
_SET_STATUS: Final = {
    kind: change(table)
    .where(table.c.entry_uuid == bindparam("of"), table.c.status == bindparam("was"))
    .values(status=bindparam("becomes"))
    for kind in (*VERSIONED, schema.KIND_ASSOCIATION)
    for table in (KINDS[kind].table,)
}


def _opened(connection: Connection, registered: Registered, visibility: Visibility) -> Registered:
    """What of it is open to the caller."""
    uuids = {bytes(row.entry_uuid) for row in (*registered.latest.values(), *registered.named.values())}
    opened = open_among(connection, visibility, sorted(uuids))
    return Registered(
        {key: row for key, row in registered.latest.items() if bytes(row.entry_uuid) in opened},
        {uuid: row for uuid, row in registered.named.items() if uuid in opened},
    )


#: The latest version decides what may be seen of all versions: a document that becomes blocked does not stay
#: readable in its history.
_RESTRICT: Final = (
    change(document_entry)
    .where(document_entry.c.entry_uuid.in_(versions(document_entry, UUIDS)))
    .values(restrictions=bindparam("said"), release_time=bindparam("until"))
)
_ASSEMBLE: Final = (
    change(uid_claim)
    .where(
        uid_claim.c.key == bindparam("of"),
        uid_claim.c.hash == NOT_ASSEMBLED[0],
        uid_claim.c.size == NOT_ASSEMBLED[1],
    )
    .values(hash=bindparam("new_hash"), size=bindparam("new_size"))
)


def _assemble(scene: Scene) -> None:
    """The bytes of a uniqueId become known, once (delayed assembly), before the versions are checked by them.

    The condition decides between two that assemble the same document at once; they wait for each other in the
    order of the keys.
    """
    known = [
        {"of": row["uid_key"], "new_hash": row["hash"], "new_size": row["size"]} for row in assembled(scene)
    ]
    if known:
        scene.connection.execute(_ASSEMBLE, sorted(known, key=lambda bound: bound["of"]))


def _write_versions(scene: Scene) -> None:
    """All that came in the message; what each new version follows is no longer the latest."""
    for each in scene.request.versions:
        _inherit(scene, each)
    for name, rows in scene.rows.items():
        if rows:
            store(scene.connection, name, rows)
    for each in scene.request.versions:
        kind, _ = scene.made[each.entry.entry_uuid]
        old = scene.before(each)
        # The condition is redundant under the patient's lock; it is the second guard.
        bound = {"of": old.entry_uuid, "was": old.version}
        if scene.connection.execute(_FOLLOW[kind], bound).rowcount != 1:
            detail = f"({each.entry.entry_uuid})"
            raise RegistryFailure(broken("update-version", f"{each.member}/PreviousVersion", detail))
        if kind == schema.KIND_DOCUMENT_ENTRY:
            _, row = scene.made[each.entry.entry_uuid]
            said = {"said": row["restrictions"], "until": row["release_time"]}
            scene.connection.execute(_RESTRICT, {"uuids": [row["logical_uuid"]], **said})


def _inherit(scene: Scene, each: NewVersion) -> None:
    """What a new version has from the one before it, whatever was sent."""
    kind, row = scene.made[each.entry.entry_uuid]
    old = scene.before(each)
    if kind == schema.KIND_FOLDER:
        row["last_update_time"] = old.last_update_time
    else:
        row["uid_first"] = 0
    if scene.request.restricted:
        row["status"], row["home_pk"] = old.status, old.home_pk


def _write_links(scene: Scene, carried: Sequence[Copy]) -> None:
    """The copies, and what comes with every membership among them and among what was submitted."""
    submitted = [each for each in scene.request.submitted if each.type == names.HAS_MEMBER]
    filed = [uuid_bytes(scene.prepared.uuids[each.entry_uuid]) for each in submitted]
    grown = {scene.ends(each)[0] for each in submitted}
    grown |= {each.row["source_uuid"] for each in carried if each.grows}
    file_documents(
        scene.connection,
        scene.prepared.set_uuid,
        scene.patient_pk,
        [each.row for each in carried],
        sorted(grown),
        filed,
    )


def _write_statuses(scene: Scene, changes: Sequence[Change]) -> None:
    """Last, so that they hold for what this update has made."""
    for each in changes:
        bound = {
            "of": each.uuid,
            "was": STATUSES[each.command.original],
            "becomes": STATUSES[each.command.new],
        }
        scene.connection.execute(_SET_STATUS[each.kind], bound)
