"""Removing registry objects (ITI-62, ITI TF-2 3.62.4.1.3): what is refused, and that what stays is whole."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.metadata import samples as s
from tests.registry import updates
from tests.registry.conftest import Desk
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.entries import registry_object
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject
from xds.registry.objects import KINDS, ends_of
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.queries import find_documents, get_documents
from xds.registry.view import EVERYTHING
from xds.store import schema
from xds.store.keys import new_key, unique_id_key, uuid_bytes, uuid_urn

UNRESOLVED, REFERENCED, ORPHAN = (
    "UnresolvedReferenceException",
    "ReferencesExistException",
    "XDSUnreferencedObjectException",
)
TABLES = (schema.document_entry, schema.submission_set, schema.folder, schema.association)


def urn(name: str) -> str:
    """The id of an object of these tests: `set 1` is always the same UUID."""
    kind, _, number = name.partition(" ")
    first = {"document": "d", "set": "5", "folder": "f", "link": "a"}[kind]
    return f"urn:uuid:{first * 8}-0000-4000-8000-{int(number):012x}"


def document(number: int, uid: int = 0, **changes: Any) -> DocumentEntry:
    """Document entry `number`, of the document `uid` or one of its own."""
    values = {"entry_uuid": urn(f"document {number}"), "unique_id": f"1.2.3.{uid or number}"}
    return s.document_entry(**(values | changes))


def folder(number: int, **changes: Any) -> Folder:
    """Folder `number`."""
    return s.folder(entry_uuid=urn(f"folder {number}"), unique_id=f"1.2.4.{number}", **changes)


def link(number: int, source: str, target: str, type: str = names.HAS_MEMBER, **more: Any) -> Association:
    """Association `number`, between two objects."""
    return s.association(type, urn(source), urn(target), entry_uuid=urn(f"link {number}"), **more)


def submit(
    desk: Desk,
    number: int,
    *documents: DocumentEntry,
    folders: Iterable[Folder] = (),
    links: Iterable[Association] = (),
    patient: str = s.PATIENT,
) -> None:
    """Submission set `number` with everything in it; its memberships are links `number`01, 02, …"""
    own = f"set {number}"
    the_set = s.submission_set(entry_uuid=urn(own), unique_id=f"1.2.5.{number}", patient_id=patient)
    entries = [*documents, *folders]
    members = [
        s.association(
            names.HAS_MEMBER,
            urn(own),
            each.entry_uuid,
            entry_uuid=urn(f"link {number * 100 + nth}"),
            submission_set_status="Original" if isinstance(each, DocumentEntry) else None,
        )
        for nth, each in enumerate(entries, start=1)
    ]
    desk.submit(tuple(map(registry_object, (the_set, *entries, *members, *links))))


def remove(desk: Desk, *named: str) -> None:
    """Remove objects by the names of these tests, or by ids."""
    ids = [each if ":" in each else urn(each) for each in named]
    desk.database.transact(lambda connection: desk.registry.remove(connection, ids, EVERYTHING))


def refused(desk: Desk, *named: str) -> list[tuple[str, str, str]]:
    """(code, rule, location) of every error of a removal that must be refused, and must change nothing."""
    before = everything(desk)
    with pytest.raises(RegistryFailure) as caught:
        remove(desk, *named)
    assert everything(desk) == before
    return [(str(error.code), error.rule, error.location) for error in caught.value.errors]


def everything(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that removing touches."""
    tables = (*TABLES, schema.listed_code, schema.uid_claim)
    with desk.database.read() as connection:
        return {
            table.name: sorted(
                map(_plain, connection.execute(select(*table.primary_key, *table.c))), key=repr
            )
            for table in tables
        }


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, memoryview | bytearray) else value for value in row)


def objects(desk: Desk) -> dict[str, Any]:
    """Every object's row by its id."""
    found = {}
    with desk.database.read() as connection:
        for table in TABLES:
            found |= {uuid_urn(bytes(row.entry_uuid)): row for row in connection.execute(select(table))}
    return found


def assert_whole(desk: Desk) -> None:
    """No association without both its ends, no object without an association, no claim or code of nobody."""
    there = objects(desk)
    ends = {
        uuid_urn(bytes(end))
        for row in there.values()
        if hasattr(row, "source_uuid")
        for end in (row.source_uuid, row.target_uuid)
    }
    assert ends <= there.keys()
    linkable = {own for own, row in there.items() if not hasattr(row, "source_uuid")}
    assert linkable <= ends
    keys = {
        (kind, getattr(row, key))
        for kind, (_, key, _) in KINDS.items()
        for row in there.values()
        if hasattr(row, key)
    }
    with desk.database.read() as connection:
        claims = connection.execute(select(schema.uid_claim)).all()
        listed = connection.execute(select(schema.listed_code)).all()
    assert {(row.kind, row.obj_pk) for row in (*claims, *listed)} <= keys
    led_to = {(row.kind, row.obj_pk): bytes(row.key) for row in claims}
    for row in there.values():
        if hasattr(row, "doc_pk"):
            own = schema.KIND_DOCUMENT_ENTRY, row.doc_pk
            assert row.uid_first == int(own in led_to)
            assert bytes(row.uid_key) in led_to.values()


@pytest.fixture
def filed(desk: Desk) -> Desk:
    """A set with two documents, one of them in a folder; a second set with a document of another patient."""
    submit(
        desk,
        1,
        document(1),
        document(2),
        folders=[folder(1)],
        links=[link(1, "folder 1", "document 1"), link(2, "set 1", "link 1")],
    )
    submit(
        desk,
        2,
        document(3, patient_id=s.OTHER_PATIENT, source_patient_id=s.OTHER_PATIENT),
        patient=s.OTHER_PATIENT,
    )
    return desk


FIRST = (
    "set 1",
    "document 1",
    "document 2",
    "folder 1",
    "link 1",
    "link 2",
    "link 101",
    "link 102",
    "link 103",
)
SECOND = ("set 2", "document 3", "link 201")


# -- what is removed -----------------------------------------------------------------------------------------


def test_a_whole_submission_is_removed_and_nothing_else(filed: Desk) -> None:
    """Rows of every kind go, with their codes and claims; another submission stays as it was."""
    before = everything(filed)
    remove(filed, *FIRST)
    assert objects(filed).keys() == {urn(each) for each in SECOND}
    assert_whole(filed)
    after = everything(filed)
    assert all(set(after[name]) <= set(before[name]) for name in after)
    assert {name: len(rows) for name, rows in after.items()} == {
        "document_entry": 1,
        "submission_set": 1,
        "folder": 0,
        "association": 1,
        "listed_code": 0,
        "uid_claim": 2,
    }


def test_queries_do_not_find_what_was_removed(filed: Desk) -> None:
    """Neither by patient nor by id."""
    remove(filed, "document 2", "link 102")
    approved = f"('{names.APPROVED}')"
    found = filed.ask(
        find_documents.ID, XDSDocumentEntryPatientId=f"'{s.PATIENT}'", XDSDocumentEntryStatus=approved
    )
    assert [each.id for each in found] == [urn("document 1")]
    assert filed.ask(get_documents.ID, XDSDocumentEntryUniqueId="('1.2.3.2')") == ()


def test_objects_of_several_patients_go_in_one_removal(filed: Desk) -> None:
    """All patients concerned are locked, whichever is named first."""
    remove(filed, *SECOND, *FIRST)
    assert objects(filed) == {}
    assert filed.count("uid_claim") == filed.count("listed_code") == 0


def test_an_id_may_be_named_twice(filed: Desk) -> None:
    """An ObjectRefList is a set: the object is there once, and goes once."""
    remove(filed, *SECOND, *SECOND)
    assert objects(filed).keys() == {urn(each) for each in FIRST}


def test_a_document_leaves_its_folder(filed: Desk) -> None:
    """The membership and its companion go; the folder stays, held by its set."""
    remove(filed, "link 1", "link 2")
    assert_whole(filed)
    assert urn("folder 1") in objects(filed)


def test_removing_the_replacement_does_not_approve_the_replaced_again(filed: Desk) -> None:
    """Deprecated stays deprecated: removing is no undoing."""
    submit(filed, 3, document(4), links=[link(3, "document 4", "document 2", names.RPLC)])
    remove(filed, "set 3", "document 4", "link 301", "link 3")
    assert objects(filed)[urn("document 2")].status == schema.STATUS_DEPRECATED
    assert_whole(filed)


@pytest.mark.parametrize("type", [names.RPLC, names.APND])
def test_a_replacement_and_an_addendum_can_be_parted_from_their_origin(filed: Desk, type: str) -> None:
    """The association alone goes; the document stands by itself."""
    submit(filed, 3, document(4), links=[link(3, "document 4", "document 2", type)])
    remove(filed, "link 3")
    assert_whole(filed)


def test_the_same_submission_can_be_registered_again_and_unique_ids_are_free(filed: Desk) -> None:
    """No claim is left behind: neither of the set, nor of the document, nor of the folder."""
    remove(filed, *FIRST)
    submit(filed, 1, document(2, hash="ab" * 20, size=7), folders=[folder(1)])
    assert_whole(filed)
    assert filed.count("document_entry") == 2


SET_TAKEN = ("XDSDuplicateUniqueIdInRegistry", "registry-set-unique-id", "SubmissionSet01/uniqueId")


def _without_ids(*documents: DocumentEntry, **more: Any) -> tuple[RegistryObject, ...]:
    """A submission with symbolic ids, so that nothing but uniqueIds tells that it was there before."""
    return s.submission(*documents, of=s.submission_set(unique_id="1.2.5.9"), **more)


def _pair() -> tuple[RegistryObject, ...]:
    return _without_ids(
        s.document_entry(entry_uuid="Document01", unique_id="1.2.3.91"),
        s.document_entry(entry_uuid="Document02", unique_id="1.2.3.92"),
    )


def _with_its_links(desk: Desk, unique_id: str) -> list[str]:
    """The entries of a document, and every association that names one."""
    there = objects(desk)
    key = unique_id_key(unique_id)
    own = [each for each, row in there.items() if hasattr(row, "doc_pk") and bytes(row.uid_key) == key]
    links = [
        each
        for each, row in there.items()
        if hasattr(row, "source_uuid") and {*own} & {uuid_urn(bytes(end)) for end in ends_of(row)}
    ]
    return [*own, *links]


def test_a_submission_that_has_lost_a_document_is_not_repeated(desk: Desk) -> None:
    """To acknowledge it would say that the document is there; the set's uniqueId is taken (ITI TF-2
    3.42.4.1.3.3.7).
    """
    desk.submit(_pair())
    assert desk.submit(_pair()) is False
    remove(desk, *_with_its_links(desk, "1.2.3.91"))
    before = everything(desk)
    assert desk.refused(_pair()) == [SET_TAKEN]
    assert everything(desk) == before


def test_a_submission_whose_document_left_a_folder_is_not_repeated(desk: Desk) -> None:
    """The membership was a part of what was sent."""
    into = s.member("Folder01", "Document01", entry_uuid="Into")
    filing = _without_ids(
        s.document_entry(), folders=[s.folder()], links=[into, s.member("SubmissionSet01", "Into")]
    )
    desk.submit(filing)
    there = objects(desk)
    (membership,) = (
        each
        for each, row in there.items()
        if hasattr(row, "source_uuid") and hasattr(there[uuid_urn(bytes(row.source_uuid))], "folder_pk")
    )
    companion = next(
        each
        for each, row in there.items()
        if hasattr(row, "target_uuid") and uuid_urn(bytes(row.target_uuid)) == membership
    )
    remove(desk, membership, companion)
    refused = desk.refused(filing)
    assert refused == [
        SET_TAKEN,
        ("XDSDuplicateUniqueIdInRegistry", "registry-folder-unique-id", "Folder01/uniqueId"),
    ]


def test_a_submission_that_has_lost_a_relationship_is_not_repeated(desk: Desk) -> None:
    """Which is no member of its set: the document at its source is. A set that only took that document in
    has lost nothing.
    """
    submit(desk, 1, document(1))
    submit(desk, 2, document(2), links=[link(1, "document 2", "document 1", names.APND)])
    takes_in = s.submission_set(entry_uuid=urn("set 3"), unique_id="1.2.5.3")
    taking = s.submission(
        document(3), links=[s.member(urn("set 3"), urn("document 2"), "Reference")], of=takes_in
    )
    desk.submit(taking)
    remove(desk, "link 1")
    with pytest.raises(RegistryFailure) as caught:
        submit(desk, 2, document(2), links=[link(1, "document 2", "document 1", names.APND)])
    assert "registry-set-unique-id" in [error.rule for error in caught.value.errors]
    assert desk.submit(taking) is False
    submit(desk, 1, document(1))  # a repeat too: nothing of this set is gone


def test_an_update_that_has_lost_a_document_is_not_repeated(desk: Desk) -> None:
    """Its set too says that both new versions are there."""
    desk.submit(_pair())
    logical = {bytes(row.uid_key): own for own, row in objects(desk).items() if hasattr(row, "doc_pk")}
    versions = [
        s.document_entry(entry_uuid=own, unique_id=unique_id, logical_id=logical[unique_id_key(unique_id)])
        for own, unique_id in (("N1", "1.2.3.91"), ("N2", "1.2.3.92"))
    ]
    update = updates.message(*versions, updates.member("N1"), updates.member("N2"))
    assert updates.send(desk, update) is True
    assert updates.send(desk, update) is False
    remove(desk, *_with_its_links(desk, "1.2.3.91"))
    assert [error[1] for error in updates.refused(desk, update)] == [
        "registry-set-unique-id",
        "update-logical-known",
        "update-version",
    ]


def test_an_object_is_named_in_upper_case_too(filed: Desk) -> None:
    """A UUID is read in either case (RFC 4122), as in queries; twice the same counts once."""
    upper = [urn(each).upper().replace("URN:UUID", "urn:uuid") for each in SECOND]
    remove(filed, *upper, *SECOND)
    assert objects(filed).keys() == {urn(each) for each in FIRST}


def test_thousands_of_objects_are_removed_at_once(desk: Desk) -> None:
    """More than the parameters of one statement."""
    many = [document(number) for number in range(1, 1201)]
    the_set = s.submission_set(entry_uuid=urn("set 1"))
    members = [
        s.member(urn("set 1"), each.entry_uuid, "Original", entry_uuid=urn(f"link {number}"))
        for number, each in enumerate(many)
    ]
    desk.submit(tuple(map(registry_object, (the_set, *many, *members))))
    assert refused(desk, *(each.entry_uuid for each in many[:1100]))[0][:2] == (
        REFERENCED,
        "remove-referenced",
    )
    remove(desk, "set 1", *(each.entry_uuid for each in (*many, *members)))
    assert objects(desk) == {}
    assert desk.count("uid_claim") == 0


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (("document 9",), [(UNRESOLVED, "remove-known", urn("document 9"))]),
        (("urn:oid:1.2.3",), [(UNRESOLVED, "remove-known", "urn:oid:1.2.3")]),
        (("urn:uuid:5",), [(UNRESOLVED, "remove-known", "urn:uuid:5")]),
        # The set's three memberships, and the membership of a membership, would name nothing.
        (("set 1",), [(REFERENCED, "remove-referenced", urn("set 1"))]),
        (("link 1",), [(REFERENCED, "remove-referenced", urn("link 1"))]),
        (("folder 1", "link 103"), [(REFERENCED, "remove-referenced", urn("folder 1"))]),
        # The document would be without any association.
        (("link 102",), [(ORPHAN, "remove-orphan", urn("document 2"))]),
        (("link 2",), [(ORPHAN, "remove-orphan", urn("link 1"))]),
        # The set would be empty.
        (("document 3", "link 201"), [(ORPHAN, "remove-orphan", urn("set 2"))]),
        # Everything at once.
        (
            ("document 3", "document 9", "link 102"),
            [
                (UNRESOLVED, "remove-known", urn("document 9")),
                (REFERENCED, "remove-referenced", urn("document 3")),
                (ORPHAN, "remove-orphan", urn("document 2")),
            ],
        ),
    ],
)
def test_a_removal_that_would_leave_something_broken_is_refused(
    filed: Desk, named: tuple[str, ...], expected: list[tuple[str, str, str]]
) -> None:
    """Each check with its code, at the object, all at once, and nothing is removed."""
    assert refused(filed, *named) == expected


def test_an_error_names_the_object_and_what_else_must_go(filed: Desk) -> None:
    """codeContext holds the id, as the standard asks, and the ids that mend the request."""
    with pytest.raises(RegistryFailure) as caught:
        remove(filed, "document 1")
    (error,) = caught.value.errors
    assert re.findall(r"urn:uuid:[0-9a-f-]{36}", error.context) == [
        urn("document 1"), urn("link 1"), urn("link 101"),
    ]  # fmt: skip


@pytest.mark.parametrize("type", [names.XFRM, names.SIGNS])
def test_a_transformation_or_signature_is_not_parted_from_its_origin(filed: Desk, type: str) -> None:
    """Its association goes only with it."""
    submit(filed, 3, document(4), links=[link(3, "document 4", "document 2", type)])
    assert refused(filed, "link 3") == [(REFERENCED, "remove-source", urn("link 3"))]
    remove(filed, "link 3", "document 4", "link 301", "set 3")
    assert_whole(filed)


def _second_version(desk: Desk) -> None:
    """Document 2 gets a second version (link 103's set holds it), as ITI-57 leaves the rows."""
    with desk.database.write() as connection:
        table = schema.document_entry
        row = connection.execute(
            select(table).where(table.c.entry_uuid == uuid_bytes(urn("document 2")))
        ).one()._asdict()  # fmt: skip
        changes = {
            "version": 2,
            "doc_pk": new_key(),
            "uid_first": 0,
            "entry_uuid": uuid_bytes(urn("document 22")),
        }
        connection.execute(insert(table), row | changes)
        connection.execute(
            table.update().where(table.c.entry_uuid == uuid_bytes(urn("document 2"))),
            {"latest": 0, "status": schema.STATUS_DEPRECATED},
        )
        links = schema.association
        member = connection.execute(
            select(links).where(links.c.entry_uuid == uuid_bytes(urn("link 102")))
        ).one()._asdict()  # fmt: skip
        new = {
            "assoc_pk": new_key(),
            "entry_uuid": uuid_bytes(urn("link 22")),
            "target_uuid": changes["entry_uuid"],
        }
        connection.execute(insert(links), member | new)


def test_the_versions_of_a_document_go_together(filed: Desk) -> None:
    """Neither the latest alone, nor the first: the history would tell something untrue (docs/removal.md)."""
    _second_version(filed)
    first, latest = ("document 2", "link 102"), ("document 22", "link 22")
    assert refused(filed, *first) == [(REFERENCED, "remove-versions", urn("document 2"))]
    assert refused(filed, *latest) == [(REFERENCED, "remove-versions", urn("document 22"))]
    remove(filed, *first, *latest)
    assert_whole(filed)
    assert filed.count("document_entry") == 2


# -- uniqueIds that several entries have ---------------------------------------------------------------------


def test_a_claim_passes_to_the_oldest_other_entry_of_the_same_document(filed: Desk) -> None:
    """Whichever entry goes first: the uniqueId is found, and guarded, until the last one is gone."""
    submit(filed, 3, document(4, uid=2))
    submit(filed, 4, document(5, uid=2))
    remove(filed, "document 2", "link 102")
    assert_whole(filed)
    assert objects(filed)[urn("document 4")].uid_first == 1
    found = filed.ask(get_documents.ID, XDSDocumentEntryUniqueId="('1.2.3.2')")
    assert {each.id for each in found} == {urn("document 4"), urn("document 5")}
    with pytest.raises(RegistryFailure, match="XDSNonIdenticalHash"):
        submit(filed, 5, document(6, uid=2, hash="ab" * 20))
    remove(filed, "document 5", "link 401", "set 4")
    assert_whole(filed)
    remove(filed, "document 4", "link 301", "set 3")
    assert_whole(filed)
    submit(filed, 5, document(6, uid=2, hash="ab" * 20))


def test_all_entries_of_a_document_go_at_once(filed: Desk) -> None:
    """The claim does not pass to an entry that goes too."""
    submit(filed, 3, document(4, uid=2))
    remove(filed, "document 2", "link 102", "document 4", "link 301", "set 3")
    assert_whole(filed)


def test_a_document_that_another_patients_set_took_in_is_held_by_it(filed: Desk) -> None:
    """By reference across patients (ITI TF-3 4.2.2.1.1): the other set's association counts."""
    submit(
        filed,
        3,
        patient=s.OTHER_PATIENT,
        links=[link(3, "set 3", "document 2", submission_set_status="Reference")],
    )
    assert refused(filed, "document 2", "link 102") == [(REFERENCED, "remove-referenced", urn("document 2"))]
    remove(filed, "link 102")
    assert refused(filed, "link 3", "set 3") == [(ORPHAN, "remove-orphan", urn("document 2"))]
    remove(filed, "document 2", "link 3", "set 3")
    assert_whole(filed)


# -- whatever is removed, what stays is whole ----------------------------------------------------------------


def _everything_there_is(desk: Desk) -> None:
    submit(
        desk,
        1,
        document(1),
        document(2),
        document(3),
        folders=[folder(1), folder(2)],
        links=[
            link(1, "folder 1", "document 1"),
            link(2, "set 1", "link 1"),
            link(3, "folder 2", "document 2"),
            link(4, "set 1", "link 3"),
        ],
    )
    submit(desk, 2, document(4), links=[link(5, "document 4", "document 1", names.RPLC)])
    submit(desk, 3, document(5), links=[link(6, "document 5", "document 2", names.XFRM)])
    submit(desk, 4, document(6), links=[link(7, "document 6", "document 3", names.APND)])
    submit(desk, 5, document(7), links=[link(8, "document 7", "document 3", names.SIGNS)])
    submit(desk, 6, document(8, uid=3), folders=[folder(3)])
    submit(desk, 9, document(9, uid=3))
    submit(
        desk,
        7,
        patient=s.OTHER_PATIENT,
        links=[link(9, "set 7", "document 3", submission_set_status="Reference")],
    )
    submit(desk, 8, links=[link(10, "folder 2", "document 8"), link(11, "set 8", "link 10")])


def _verdict(there: Mapping[str, Any], going: set[str]) -> set[str]:
    """The codes by which the standard refuses a removal, worked out from all the rows there are."""
    links = {
        own: {uuid_urn(bytes(row.source_uuid)), uuid_urn(bytes(row.target_uuid))}
        for own, row in there.items()
        if hasattr(row, "source_uuid")
    }
    held = set().union(*(ends for own, ends in links.items() if own not in going))
    losing = set().union(*(ends for own, ends in links.items() if own in going))
    needed = (ASSOCIATION_TYPES[names.XFRM], ASSOCIATION_TYPES[names.SIGNS])
    parted = any(
        there[own].type in needed and uuid_urn(bytes(there[own].source_uuid)) not in going
        for own in going & links.keys()
    )
    codes = {UNRESOLVED} if going - there.keys() else set()
    codes |= {REFERENCED} if going & held or parted else set()
    return codes | ({ORPHAN} if losing - going - held else set())


@pytest.mark.parametrize("seed", range(4))
def test_what_stays_is_whole_after_every_removal(desk: Desk, seed: int) -> None:
    """Any set of ids, until nothing is left: refused for exactly the reasons there are, or all is whole.

    Each round takes some ids and, as an administrator would, adds what the errors name until it is accepted.
    """
    chance = random.Random(seed)
    _everything_there_is(desk)
    while there := objects(desk):
        going = set(chance.sample(sorted(there), min(len(there), chance.randint(1, 3))))
        while expected := _verdict(there, going):
            with pytest.raises(RegistryFailure) as caught:
                remove(desk, *sorted(going))
            assert {str(error.code) for error in caught.value.errors} == expected
            assert objects(desk) == there
            for error in caught.value.errors:
                going |= set(re.findall(r"urn:uuid:[0-9a-f-]{36}", error.context))
        remove(desk, *sorted(going))
        assert objects(desk).keys() == there.keys() - going
        assert_whole(desk)
    assert desk.count("uid_claim") == desk.count("listed_code") == 0


def _at_once(*work: Any) -> list[BaseException | None]:
    """Do all of this in threads of their own; what each raised."""
    raised: list[BaseException | None] = [None] * len(work)
    gate = threading.Barrier(len(work))

    def run(number: int) -> None:
        gate.wait()
        try:
            work[number]()
        except BaseException as error:
            raised[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_of_two_that_remove_the_same_one_wins(filed: Desk) -> None:
    """The other is told that the objects are not there; no error of the engine reaches it."""
    raised = _at_once(*[lambda: remove(filed, *FIRST, *SECOND), lambda: remove(filed, *SECOND, *FIRST)] * 3)
    lost = [each for each in raised if each is not None]
    assert len(lost) == 5
    assert all(isinstance(each, RegistryFailure) for each in lost)
    assert {str(e.code) for each in lost if isinstance(each, RegistryFailure) for e in each.errors} == {
        UNRESOLVED
    }


def test_the_last_two_associations_of_a_document_are_not_removed_by_two_at_once(filed: Desk) -> None:
    """Two sets of two patients hold the document: each may let go of it, but not both."""
    for number in range(10, 30):
        submit(filed, number, document(number))
        submit(
            filed,
            number + 50,
            patient=s.OTHER_PATIENT,
            links=[
                link(number, f"set {number + 50}", f"document {number}", submission_set_status="Reference")
            ],
        )
        raised = _at_once(
            lambda n=number: remove(filed, f"set {n}", f"link {n}01"),
            lambda n=number: remove(filed, f"set {n + 50}", f"link {n}"),
        )
        assert sum(each is None for each in raised) == 1, raised
        assert_whole(filed)


def test_two_entries_of_one_document_removed_at_once_leave_no_claim(filed: Desk) -> None:
    """Of two patients, so that no lock on a patient is common to both: the claim's own lock is."""
    other = {"patient_id": s.OTHER_PATIENT, "source_patient_id": s.OTHER_PATIENT}
    for number in range(10, 30):
        submit(filed, number, document(number))
        submit(filed, number + 50, document(number + 50, uid=number, **other), patient=s.OTHER_PATIENT)
        raised = _at_once(
            lambda n=number: remove(filed, f"set {n}", f"document {n}", f"link {n}01"),
            lambda n=number + 50: remove(filed, f"set {n}", f"document {n}", f"link {n}01"),
        )
        assert raised == [None, None]
        assert_whole(filed)


def test_what_is_taken_in_by_reference_is_not_removed_meanwhile(filed: Desk) -> None:
    """Another patient's set may hold the document, or the document may go; not both."""
    for number in range(10, 50):
        submit(filed, number, document(number))
        raised = _at_once(
            lambda n=number: remove(filed, f"set {n}", f"document {n}", f"link {n}01"),
            lambda n=number: submit(
                filed,
                n + 50,
                patient=s.OTHER_PATIENT,
                links=[link(n, f"set {n + 50}", f"document {n}", submission_set_status="Reference")],
            ),
        )
        assert sum(each is None for each in raised) == 1, raised
        assert all(each is None or isinstance(each, RegistryFailure) for each in raised), raised
        assert_whole(filed)


def test_a_unique_id_that_is_registered_again_keeps_its_claim(filed: Desk) -> None:
    """While its first entry is removed, another patient's entry of the same document comes: both succeed."""
    other = {"patient_id": s.OTHER_PATIENT, "source_patient_id": s.OTHER_PATIENT}
    for number in range(10, 50):
        submit(filed, number, document(number))
        raised = _at_once(
            lambda n=number: remove(filed, f"set {n}", f"document {n}", f"link {n}01"),
            lambda n=number: submit(filed, n + 50, document(n + 50, uid=n, **other), patient=s.OTHER_PATIENT),
        )
        assert raised == [None, None]
        assert_whole(filed)
