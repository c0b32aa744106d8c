"""Messages of metadata updates for tests, and a look at what they leave in the registry's rows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Table, select

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.errors import RegistryFailure
from xds.metadata import names, updates
from xds.metadata.entries import registry_object
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, Slot
from xds.registry.view import EVERYTHING
from xds.store import schema
from xds.store.keys import uuid_bytes, uuid_urn

SET = "SubmissionSet01"
_sets = count(1)


def uuid(number: int) -> str:
    """A UUID that is easy to tell from others."""
    return f"urn:uuid:00000000-0000-4000-8000-{number:012x}"


def document(own: str, unique: int = 1, **changes: Any) -> DocumentEntry:
    """A document whose uniqueId ends with `unique`."""
    return s.document_entry(entry_uuid=own, unique_id=f"1.2.3.{unique}", **changes)


def folder(own: str, unique: int = 1, **changes: Any) -> Folder:
    """A folder whose uniqueId ends with `unique`."""
    return s.folder(entry_uuid=own, unique_id=f"1.2.4.{unique}", **changes)


def member(of: str, previous: object = 1, propagation: str | None = None, **changes: Any) -> Association:
    """The HasMember of a new version, named `to-…` after it."""
    slots = [Slot("PreviousVersion", (str(previous),))] if previous is not None else []
    if propagation is not None:
        slots.append(Slot("AssociationPropagation", (propagation,)))
    changes = {"status": "Original", "entry_uuid": f"to-{of}"} | changes
    return s.member(SET, of, changes.pop("status"), extra_slots=tuple(slots), **changes)


def status(
    target: str, original: str = names.APPROVED, new: str = names.DEPRECATED, **changes: Any
) -> Association:
    """An UpdateAvailabilityStatus."""
    slots = (Slot("OriginalStatus", (original,)), Slot("NewStatus", (new,)))
    changes = {"source": SET, "entry_uuid": f"status-{target}", "extra_slots": slots} | changes
    return s.association(names.UPDATE_AVAILABILITY_STATUS, changes.pop("source"), target, **changes)


def submitted(type: str, source: str, target: str, **changes: Any) -> tuple[Association, Association]:
    """A new association and its SubmitAssociation."""
    new = s.association(type, source, target, **({"entry_uuid": "new"} | changes))
    command = s.association(
        names.SUBMIT_ASSOCIATION, SET, new.entry_uuid, entry_uuid=f"submit-{new.entry_uuid}"
    )
    return new, command


def message(
    *parts: DocumentEntry | Folder | Association, patient: str = s.PATIENT, **of: Any
) -> tuple[RegistryObject, ...]:
    """An update under a set of its own: entries and associations as given."""
    own = s.submission_set(**({"unique_id": f"1.2.9.{next(_sets)}", "patient_id": patient} | of))
    return tuple(map(registry_object, (own, *parts)))


def register(desk: Desk, *parts: DocumentEntry | Folder, links: Iterable[Association] = ()) -> None:
    """Register documents and folders under a set of their own, each a member of it."""
    documents = [each for each in parts if isinstance(each, DocumentEntry)]
    folders = [each for each in parts if isinstance(each, Folder)]
    own = s.submission_set(unique_id=f"1.2.8.{next(_sets)}", patient_id=parts[0].patient_id)
    assert desk.submit(s.submission(*documents, folders=folders, links=links, of=own))


def filed(into: str, document: str, own: str) -> list[Association]:
    """A HasMember of a folder with its companion, for a submission."""
    return [
        s.member(into, document, entry_uuid=own),
        s.member(SET, own, entry_uuid=f"companion-{own}"),
    ]


def send(desk: Desk, objects: tuple[RegistryObject, ...], transaction: Any = "ITI-57") -> bool:
    """Carry out a valid update; False when it was a repeat."""
    assert updates.check(objects, transaction=transaction) == ()
    return desk.update(updates.update(objects, transaction=transaction), EVERYTHING)


def refused(
    desk: Desk, objects: tuple[RegistryObject, ...], transaction: Any = "ITI-57"
) -> list[tuple[str, str, str]]:
    """(code, rule, location) of every error of an update; nothing may have been stored."""
    before = contents(desk)
    errors = updates.check(objects, transaction=transaction)
    if not errors:
        with pytest.raises(RegistryFailure) as caught:
            desk.update(updates.update(objects, transaction=transaction), EVERYTHING)
        errors = caught.value.errors
    assert contents(desk) == before
    return [(str(error.code), error.rule, error.location) for error in errors]


def contents(desk: Desk) -> dict[str, list[Any]]:
    """Every row of the tables that an update may write, in any order."""
    tables = (
        schema.document_entry,
        schema.submission_set,
        schema.folder,
        schema.association,
        schema.uid_claim,
        schema.listed_code,
        schema.patient,
    )
    with desk.database.read() as connection:
        return {
            table.name: sorted(repr(tuple(map(_plain, row))) for row in connection.execute(select(table)))
            for table in tables
        }


def rows(desk: Desk, table: Table, **values: Any) -> list[Any]:
    """The rows with these values (UUIDs as URNs), oldest first."""
    conditions = [
        table.c[name] == (uuid_bytes(value) if isinstance(value, str) and value.startswith("urn:") else value)
        for name, value in values.items()
    ]
    with desk.database.read() as connection:
        return list(connection.execute(select(table).where(*conditions).order_by(list(table.c)[1])))


def history(desk: Desk, table: Table, logical: str) -> list[tuple[str, int, int, str]]:
    """(entryUUID, version, latest, status) of each version of an object."""
    found = sorted(rows(desk, table, logical_uuid=logical), key=lambda row: row.version)
    return [(uuid_urn(bytes(r.entry_uuid)), r.version, r.latest, STATUS[r.status]) for r in found]


def links(desk: Desk, type: int | None = None) -> set[tuple[str, str, str]]:
    """(source, target, status) of every association, or of those of a type."""
    found = rows(desk, schema.association, **({} if type is None else {"type": type}))
    return {(uuid_urn(bytes(r.source_uuid)), uuid_urn(bytes(r.target_uuid)), STATUS[r.status]) for r in found}


STATUS = {schema.STATUS_APPROVED: "Approved", schema.STATUS_DEPRECATED: "Deprecated"}


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
