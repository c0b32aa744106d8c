"""What ITI-18 returns, submitted to an empty registry, gives the same answers again.

The objects of an answer are put back into messages by their submission sets, in an order in which the life
cycle allows them, and travel as XML. Then both registries are asked the same questions: ids, statuses,
versions, contents, links, those that the first registry made itself too, must be the same. The second runs on
either engine, the first on SQLite.

One thing may differ, and nothing else: Folder.lastUpdateTime is the registry's own (ITI TF-2 3.42.4.1.3.6).
Second versions are submitted by ITI-57, here without association propagation: the links that it makes are
the registry's own too, and get new ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry import world
from tests.registry.conftest import Desk
from xds.errors import RegistryFailure
from xds.metadata import attributes, names, updates
from xds.metadata.ebrim import read_object_list
from xds.metadata.entries import registry_object
from xds.metadata.model import RegistryObject, Slot
from xds.registry import queries
from xds.registry.view import EVERYTHING as ALL_SEEN
from xds.store.database import Database

PATIENTS = (world.ANNA, world.BO, world.CARL)
BOTH = f"('{names.APPROVED}','{names.DEPRECATED}')"
TYPES = f"('{names.STABLE}','{names.ON_DEMAND}')"
RELATIONSHIPS = "('" + "','".join(names.RELATIONSHIPS) + "')"
EVERYTHING = {"MetadataLevel": "2", "XDSAssociationStatus": BOTH}


@pytest.fixture
def original(tmp_path: Path) -> Iterator[Desk]:
    """A registry with the world of tests/registry/world.py in it."""
    database = Database(f"sqlite:///{tmp_path}/original.db")
    database.migrate()
    desk = Desk(database)
    world.fill(desk)
    yield desk
    database.close()


# -- from an answer back to submissions ----------------------------------------------------------------------


def ends(link: RegistryObject) -> tuple[str, str]:
    return link.attributes["sourceObject"], link.attributes["targetObject"]


def submissions(objects: Sequence[RegistryObject]) -> list[list[RegistryObject]]:
    """Everything in as many messages as there are sets: the set, what it brought, and the links of these."""
    by_id = {each.id: each for each in objects}
    links = [each for each in objects if each.kind == "Association"]
    found = []
    for the_set in objects:
        if attributes.table_of(the_set) is attributes.SUBMISSION_SET:
            memberships = [each for each in links if ends(each)[0] == the_set.id]
            members = [by_id[ends(each)[1]] for each in memberships if not is_by_reference(each)]
            brought = {each.id for each in members if each.kind != "Association"}
            relationships = [
                each
                for each in links
                if each.attributes["associationType"] != names.HAS_MEMBER and ends(each)[0] in brought
            ]
            found.append([the_set, *members, *memberships, *relationships])
    return found


def is_by_reference(link: RegistryObject) -> bool:
    return attributes.slot_values(link).get("SubmissionSetStatus") == ("Reference",)


def in_order(pending: list[list[RegistryObject]]) -> Iterator[list[RegistryObject]]:
    """The messages so that each finds what it names, and none names what another has deprecated."""
    sent: set[str] = set()
    while pending:
        message = next(each for each in pending if may_be_sent(each, pending, sent))
        pending = [each for each in pending if each is not message]
        sent |= {each.id for each in message}
        yield message


def may_be_sent(message: list[RegistryObject], pending: list[list[RegistryObject]], sent: set[str]) -> bool:
    later = [each for other in pending if other is not message for each in other]
    own = {each.id for each in message}
    return named(message) - own <= sent and not replaced(message) & named(later)


def named(objects: Iterable[RegistryObject]) -> set[str]:
    links = {end for each in objects if each.kind == "Association" for end in ends(each)}
    return links | {each.attributes["lid"] for each in objects if "lid" in each.attributes}


def replaced(objects: Iterable[RegistryObject]) -> set[str]:
    """What a message deprecates: documents that it replaces (nothing hangs on them in this world), and first
    versions.
    """
    links = [each for each in objects if each.attributes.get("associationType") in names.REPLACEMENTS]
    return {ends(each)[1] for each in links} | {
        each.attributes["lid"] for each in objects if each.attributes.get("lid", each.id) != each.id
    }


def over_the_wire(objects: Iterable[RegistryObject]) -> tuple[RegistryObject, ...]:
    """What a receiver reads of what a sender writes."""
    return read_object_list(s.element(s.object_list(objects)))


def send_again(objects: Sequence[RegistryObject], desk: Desk) -> None:
    for message in in_order(submissions(objects)):
        received = over_the_wire(message)
        if any("PreviousVersion" in attributes.slot_values(each) for each in received):
            assert update(desk, received)
        else:
            on_demand = any(each.attributes.get("objectType") == names.ON_DEMAND for each in received)
            assert desk.submit(received, "ITI-61" if on_demand else "ITI-42")


def update(desk: Desk, objects: Sequence[RegistryObject]) -> bool:
    assert updates.check(objects, transaction="ITI-57") == ()
    return desk.update(updates.update(objects, transaction="ITI-57"), ALL_SEEN)


# -- the questions -------------------------------------------------------------------------------------------


def everything(desk: Desk) -> tuple[RegistryObject, ...]:
    """All objects of all patients, each once."""
    found = {each.id: each for patient in PATIENTS for each in of_patient(desk, patient, **EVERYTHING)}
    return tuple(found.values())


def of_patient(desk: Desk, patient: str, **more: str) -> tuple[RegistryObject, ...]:
    return desk.ask(
        queries.get_all.ID,
        patientId=f"'{patient}'",
        XDSDocumentEntryStatus=BOTH,
        XDSSubmissionSetStatus=BOTH,
        XDSFolderStatus=BOTH,
        XDSDocumentEntryType=TYPES,
        **more,
    )


def questions(objects: Iterable[RegistryObject]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each stored query for each patient or object that it can be asked about."""
    for patient in PATIENTS:
        own = {"XDSDocumentEntryPatientId": f"'{patient}'", "XDSDocumentEntryStatus": BOTH}
        yield queries.find_documents, {**own, "XDSDocumentEntryType": TYPES}
        yield queries.find_documents_by_reference_id, {**own, "XDSDocumentEntryReferenceIdList": "('%')"}
        yield queries.find_documents_for_multiple_patients, own
        own = {"XDSFolderPatientId": f"'{patient}'", "XDSFolderStatus": BOTH}
        yield queries.find_folders, own
        yield queries.find_folders_for_multiple_patients, own
        own = {"XDSSubmissionSetPatientId": f"'{patient}'", "XDSSubmissionSetStatus": BOTH}
        yield queries.find_submission_sets, own
        own = {"patientId": f"'{patient}'", "XDSDocumentEntryStatus": BOTH}
        own |= {"XDSSubmissionSetStatus": BOTH, "XDSFolderStatus": BOTH}
        yield queries.get_all, own
    for each in objects:
        table, uuid = attributes.table_of(each), {"uuid": f"('{each.id}')"}
        yield queries.get_associations, uuid
        if table is attributes.DOCUMENT_ENTRY:
            own = {"XDSDocumentEntryEntryUUID": f"('{each.id}')"}
            yield queries.get_documents, own
            yield queries.get_documents_and_associations, own
            yield queries.get_folders_for_document, own
            yield queries.get_related_documents, own | {"AssociationTypes": RELATIONSHIPS}
            yield queries.get_submission_sets, uuid
        elif table is attributes.FOLDER:
            own = {"XDSFolderEntryUUID": f"('{each.id}')"}
            yield queries.get_folders, own
            yield queries.get_folder_and_contents, own
            yield queries.get_submission_sets, uuid
        elif table is attributes.SUBMISSION_SET:
            own = {"XDSSubmissionSetEntryUUID": f"('{each.id}')"}
            yield queries.get_submission_set_and_contents, own


def comparable(obj: RegistryObject) -> RegistryObject:
    """An object without the one thing that is the registry's own."""
    slots = [slot for slot in obj.slots if slot.name != "lastUpdateTime"]
    if slots != [*obj.slots]:
        slots.append(Slot("lastUpdateTime", ("set by the registry",)))
    return replace(obj, slots=tuple(slots))


def answer(desk: Desk, query: Any, parameters: dict[str, Any], *, leaf: bool) -> Any:
    """The objects by their ids, or why there are none: Anna's set that took in Bo's letter mixes patients."""
    try:
        found = desk.ask(query.ID, leaf, **parameters)
    except RegistryFailure as failure:
        return [str(error.code) for error in failure.errors]
    by_id = {each.id: comparable(each) for each in found}
    assert len(by_id) == len(found)
    return by_id


def assert_same_answers(one: Desk, other: Desk) -> None:
    asked = 0
    for query, parameters in questions(everything(one)):
        for level in ("1", "2"):
            more = parameters | {"MetadataLevel": level}
            for leaf in (True, False):
                expected = answer(one, query, more, leaf=leaf)
                assert expected == answer(other, query, more, leaf=leaf), query.NAME
                asked += 1
    assert asked > 600


# -- the tests -----------------------------------------------------------------------------------------------


def test_a_registry_filled_from_anothers_answers_gives_the_same_answers(original: Desk, desk: Desk) -> None:
    """Every object with every attribute, every status and every link, at both metadata levels."""
    send_again(everything(original), desk)
    assert_same_answers(original, desk)


def test_second_versions_come_back_with_their_history(original: Desk, desk: Desk) -> None:
    """A document and a folder that were updated: both versions, who brought them, and what links to which."""
    slots = (Slot("PreviousVersion", ("1",)), Slot("AssociationPropagation", ("no",)))
    the_set = world.submission_set("s_update", world.BO)
    letter = world.document("b_letter", world.BO, title="Rettet", class_code=world.NOTES)
    stay = world.folder("b_stay", world.BO, world.NOTES)
    new = [
        replace(old, entry_uuid=world.uuid(f"{old.entry_uuid} 2"), logical_id=old.entry_uuid)
        for old in (letter, stay)
    ]
    members = [
        s.member(
            the_set.entry_uuid,
            each.entry_uuid,
            status,
            entry_uuid=world.uuid(f"member {each.entry_uuid}"),
            extra_slots=slots,
        )
        for each, status in zip(new, ("Original", None), strict=True)
    ]
    assert update(original, tuple(map(registry_object, (the_set, *new, *members))))
    send_again(everything(original), desk)
    assert_same_answers(original, desk)


def test_what_came_back_is_a_repeat_of_nothing_and_of_itself(original: Desk, desk: Desk) -> None:
    """The original registry refuses its own objects, as their ids are taken; the copy knows a repeat."""
    (first, *_) = in_order(submissions(everything(original)))
    message = over_the_wire(first)
    assert {code for code, _, _ in original.refused(message)} >= {"XDSDuplicateUniqueIdInRegistry"}
    assert desk.submit(message)
    assert not desk.submit(message)


def test_merged_patients_come_back_as_one(original: Desk, desk: Desk) -> None:
    """Objects are shown under the surviving id (ITI TF-2 3.18.4.1.2.3.9), and so they are submitted."""
    original.database.transact(lambda at: original.registry.merge(at, world.BO, world.ANNA))
    send_again(everything(original), desk)
    assert_same_answers(original, desk)
    assert of_patient(desk, world.BO) == ()
