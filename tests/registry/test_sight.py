"""What a caller may touch by its id is what the queries show: `open_among`, `Registry.sight`, `strictest`.

The visibilities here are made by hand, each with one condition, so that what is asked of a document and what
comes of it can be seen side by side. Everything is asked of a database, on both engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Integer, bindparam, cast, null, select

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.updates import document, filed, folder, member, message, register, rows, send, uuid
from xds.registry import patients
from xds.registry.queries import get_associations, get_submission_set_and_contents
from xds.registry.sight import Sight, open_among, strictest
from xds.registry.view import EVERYTHING, Visibility
from xds.store import schema
from xds.store.keys import uuid_bytes, uuid_urn
from xds.store.schema import patient

OPEN, MASKED, HIDDEN = Sight
ANNA, BO = s.PATIENT, s.OTHER_PATIENT
FREE, BLOCKED, REFUSED, SECRET, BOS = map(uuid, range(1, 6))
NOTES, MIXED, LOCKED, EMPTY, BOS_FOLDER = map(uuid, range(0x11, 0x16))
NEVER = uuid(0xFF)
#: HL7's V and 9603's NORS and NORN_FFL.
V = s.Code("V", "2.16.840.1.113883.5.25")
NORN = s.Code("NORN_FFL", "2.16.578.1.12.4.1.1.9603")
_V, _NORS, _NORN = 128, 1048576, 256


def _has(bits: int) -> Callable[[Any], ColumnElement[bool]]:
    return lambda d: d.c.restrictions.bitwise_and(bits) != 0


def _lacks(bits: int) -> Callable[[Any], ColumnElement[bool]]:
    return lambda d: d.c.restrictions.bitwise_and(bits) == 0


def _nothing(document: Any) -> ColumnElement[bool]:
    """A condition that is neither so nor not so, for any document."""
    return document.c.restrictions == cast(null(), Integer)


def _owner(key: ColumnElement[int]) -> ColumnElement[bool]:
    return key.in_(bindparam("owners", expanding=True))


HIDING = Visibility("hiding", condition=_lacks(_V | _NORN))
MASKING = Visibility("masking", masked=_has(_NORS))
BOTH = Visibility("both", condition=_lacks(_V | _NORN), masked=_has(_NORS | _V))
UNSURE = Visibility("unsure", condition=_nothing)
UNSURELY_MASKED = Visibility("unsurely masked", masked=_nothing)


def of(*owners: int, mask: bool = False) -> Visibility:
    """All of these patients, or what is not blocked of them."""
    return Visibility(
        f"of {mask}", owner=_owner, values={"owners": list(owners)}, masked=_has(_NORS) if mask else None
    )


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Four documents of Anna's and one of Bo's, one of each kind, some of them in folders."""
    register(
        desk,
        document(FREE, 1),
        document(BLOCKED, 2, confidentiality_codes=(s.NORMAL, s.BLOCKED)),
        document(REFUSED, 3, confidentiality_codes=(s.NORMAL, NORN)),
        document(SECRET, 4, confidentiality_codes=(V,)),
        folder(NOTES, 1),
        folder(MIXED, 2),
        folder(LOCKED, 3),
        folder(EMPTY, 4),
        links=[
            *filed(NOTES, FREE, uuid(0x21)),
            *filed(MIXED, FREE, uuid(0x22)),
            *filed(MIXED, SECRET, uuid(0x23)),
            *filed(LOCKED, SECRET, uuid(0x24)),
        ],
    )
    register(
        desk,
        document(BOS, 5, patient_id=BO, source_patient_id=BO, source_patient_info=()),
        folder(BOS_FOLDER, 5, patient_id=BO),
    )
    return desk


def key_of(desk: Desk, pid: str) -> int:
    """The key of a patient."""
    with desk.database.read() as connection:
        return int(connection.execute(select(patient.c.patient_pk).where(patient.c.pid == pid)).scalar_one())


def opened(desk: Desk, visibility: Visibility, uuids: Iterable[str]) -> list[str]:
    """What of these a caller may touch, in their order."""
    with desk.database.read() as connection:
        found = open_among(connection, visibility, map(uuid_bytes, uuids))
    assert found <= set(map(uuid_bytes, uuids))
    return [each for each in uuids if uuid_bytes(each) in found]


def seen(desk: Desk, visibility: Visibility, *numbers: int) -> list[Sight]:
    """What the documents with these uniqueIds are to a caller."""
    asked = [f"1.2.3.{number}" for number in numbers]
    found = desk.registry.sight(asked, visibility)
    assert list(found) == asked
    return list(found.values())


DOCUMENTS = (FREE, BLOCKED, REFUSED, SECRET, BOS)

#: What of the five documents is open, and what each is to who asks for its bytes.
SEEN = [
    (EVERYTHING, DOCUMENTS, (OPEN, OPEN, OPEN, OPEN, OPEN)),
    (HIDING, (FREE, BLOCKED, BOS), (OPEN, OPEN, HIDDEN, HIDDEN, OPEN)),
    (MASKING, (FREE, REFUSED, SECRET, BOS), (OPEN, MASKED, OPEN, OPEN, OPEN)),
    # What is hidden is not masked as well: that would tell that it is there.
    (BOTH, (FREE, BOS), (OPEN, MASKED, HIDDEN, HIDDEN, OPEN)),
    (UNSURE, (), (HIDDEN,) * 5),
    (UNSURELY_MASKED, (), (MASKED,) * 5),
]


@pytest.mark.parametrize(("visibility", "expected", "sights"), SEEN, ids=[each[0].name for each in SEEN])
def test_what_is_open_may_be_touched_and_fetched(
    desk: Desk, visibility: Visibility, expected: tuple[str, ...], sights: tuple[Sight, ...]
) -> None:
    """By its entryUUID and by its uniqueId alike; a condition that comes to nothing opens nothing."""
    assert opened(desk, visibility, DOCUMENTS) == list(expected)
    assert seen(desk, visibility, 1, 2, 3, 4, 5) == list(sights)


def test_only_the_owners_documents_are_there(desk: Desk) -> None:
    """Of one patient, of two, of one who has none, and of nobody."""
    anna, bo = key_of(desk, ANNA), key_of(desk, BO)
    assert opened(desk, of(anna), DOCUMENTS) == [FREE, BLOCKED, REFUSED, SECRET]
    assert seen(desk, of(anna), 1, 5) == [OPEN, HIDDEN]
    assert opened(desk, of(bo), DOCUMENTS) == [BOS]
    assert seen(desk, of(bo, mask=True), 1, 2, 5) == [HIDDEN, HIDDEN, OPEN]
    assert opened(desk, of(anna, bo, mask=True), DOCUMENTS) == [FREE, REFUSED, SECRET, BOS]
    assert seen(desk, of(anna, bo, mask=True), 1, 2, 5) == [OPEN, MASKED, OPEN]
    for nobody in (of(), of(mask=True), of(4711)):
        assert opened(desk, nobody, (*DOCUMENTS, NOTES, EMPTY)) == []
        assert seen(desk, nobody, 1, 2, 3, 4, 5) == [HIDDEN] * 5


#: Folders that may be touched: for the sake of an open document in them, or because they are empty.
FOLDERS = [
    (EVERYTHING, (NOTES, MIXED, LOCKED, EMPTY, BOS_FOLDER)),
    (HIDING, (NOTES, MIXED, EMPTY, BOS_FOLDER)),
    (BOTH, (NOTES, MIXED, EMPTY, BOS_FOLDER)),
    (MASKING, (NOTES, MIXED, LOCKED, EMPTY, BOS_FOLDER)),
    (UNSURE, (EMPTY, BOS_FOLDER)),
]


@pytest.mark.parametrize(("visibility", "expected"), FOLDERS, ids=[each[0].name for each in FOLDERS])
def test_a_folder_is_open_for_the_sake_of_what_is_in_it(
    desk: Desk, visibility: Visibility, expected: tuple[str, ...]
) -> None:
    """One that holds nothing but what is hidden cannot be filled or removed either."""
    assert opened(desk, visibility, (NOTES, MIXED, LOCKED, EMPTY, BOS_FOLDER)) == list(expected)


def test_links_and_sets_are_open_as_the_queries_show_them(desk: Desk) -> None:
    """Each association and submission set of the registry, for each visibility."""
    links = rows(desk, schema.association)
    ends = sorted({uuid_urn(bytes(end)) for each in links for end in (each.source_uuid, each.target_uuid)})
    sets = [uuid_urn(bytes(row.entry_uuid)) for row in rows(desk, schema.submission_set)]
    named = [*sets, *(uuid_urn(bytes(each.entry_uuid)) for each in links)]
    anna = key_of(desk, ANNA)
    for visibility in (EVERYTHING, HIDING, MASKING, BOTH, UNSURE, of(anna), of(anna, mask=True), of()):
        shown = {each.id for each in desk.ask(get_associations.ID, visibility=visibility, uuid=ends)}
        for own in sets:
            asked = {"XDSSubmissionSetEntryUUID": own}
            found = desk.ask(get_submission_set_and_contents.ID, visibility=visibility, **asked)
            shown |= {each.id for each in found} & {own}
        assert set(opened(desk, visibility, named)) == shown, visibility.name


def test_what_is_not_there_is_not_open(desk: Desk) -> None:
    """Unless everything is believed; what a writer names is looked for by the writer itself."""
    assert opened(desk, HIDING, (NEVER, FREE)) == [FREE]
    assert opened(desk, EVERYTHING, (NEVER,)) == [NEVER]
    assert seen(desk, HIDING, 99) == [HIDDEN]
    assert seen(desk, MASKING, 99, 1) == [HIDDEN, OPEN]
    assert seen(desk, EVERYTHING, 99) == [OPEN]


def test_nothing_asked_is_nothing(desk: Desk) -> None:
    """Without a statement that has no end."""
    for visibility in (EVERYTHING, BOTH, of()):
        assert opened(desk, visibility, ()) == []
        assert desk.registry.sight([], visibility) == {}


def test_more_than_a_statement_takes_is_asked_in_parts(desk: Desk) -> None:
    """A thousand ids and more, of which few are there; an id may come twice."""
    others = [uuid(0x100000 + number) for number in range(1500)]
    assert opened(desk, BOTH, [*others, FREE, BLOCKED, FREE]) == [FREE, FREE]
    found = seen(desk, BOTH, *range(1000, 2500), 1, 2, 4)
    assert found == [HIDDEN] * 1500 + [OPEN, MASKED, HIDDEN]


# ---- several entries with one uniqueId

#: What two entries of the same bytes are, and what comes of both for who asks for these.
TWICE = [
    ((s.NORMAL,), (s.NORMAL,), OPEN),
    ((s.NORMAL,), (s.BLOCKED,), MASKED),
    ((s.NORMAL,), (NORN,), HIDDEN),
    ((s.BLOCKED,), (NORN,), HIDDEN),
    ((s.BLOCKED,), (s.BLOCKED,), MASKED),
    ((V,), (V,), HIDDEN),
]


@pytest.mark.parametrize(("one", "other", "expected"), TWICE)
def test_the_strictest_entry_of_a_document_decides(
    desk: Desk, one: tuple[Any, ...], other: tuple[Any, ...], expected: Sight
) -> None:
    """The same bytes registered twice by their uniqueId, in either order."""
    for number, codes in ((50, (one, other)), (60, (other, one))):
        for step, each in enumerate(codes):
            register(desk, document(uuid(number + step), number, confidentiality_codes=each))
        assert seen(desk, BOTH, number) == [expected]


def test_a_document_is_of_whoever_it_was_registered_for_first(desk: Desk) -> None:
    """Another patient's entry of the same bytes neither opens them to others nor closes them to hers."""
    anna, bo = key_of(desk, ANNA), key_of(desk, BO)
    whose = {"patient_id": BO, "source_patient_id": BO, "source_patient_info": ()}
    register(desk, document(uuid(51), 51, confidentiality_codes=(s.NORMAL,)))
    register(desk, document(uuid(52), 51, confidentiality_codes=(s.BLOCKED,), **whose))
    assert seen(desk, of(anna, mask=True), 51) == [OPEN]
    assert seen(desk, of(bo), 51) == seen(desk, of(bo, mask=True), 51) == [HIDDEN]
    assert seen(desk, of(anna, bo, mask=True), 51) == [MASKED]
    assert seen(desk, MASKING, 51) == [MASKED]
    assert opened(desk, of(bo), (uuid(51), uuid(52))) == [uuid(52)]


def test_the_newest_version_decides_about_the_bytes(desk: Desk) -> None:
    """All versions have one uniqueId, and what the newest says holds for each."""
    new = document(uuid(61), 1, logical_id=FREE, confidentiality_codes=(s.NORMAL, s.BLOCKED))
    assert send(desk, message(new, member(uuid(61))))
    assert seen(desk, BOTH, 1) == [MASKED]
    assert opened(desk, BOTH, (FREE, uuid(61))) == []
    again = document(uuid(62), 1, logical_id=FREE)
    assert send(desk, message(again, member(uuid(62), 2)))
    assert seen(desk, BOTH, 1) == [OPEN]
    assert opened(desk, BOTH, (FREE, uuid(61), uuid(62))) == [FREE, uuid(61), uuid(62)]


def test_a_merged_patient_has_two_keys(desk: Desk) -> None:
    """Rows stay with the id that they came with, so the caller's patient is both."""
    bo, anna = key_of(desk, BO), key_of(desk, ANNA)
    desk.database.transact(lambda c: patients.merge(c, desk.registry.domain, BO, ANNA))
    assert seen(desk, of(anna), 1, 5) == [OPEN, HIDDEN]
    assert seen(desk, of(anna, bo), 1, 5) == [OPEN, OPEN]


#: (listed, opened) of each entry of a document, and what it is.
ROWS = [
    ([(1, 1)], OPEN),
    ([(1, 0)], MASKED),
    ([(0, 0)], HIDDEN),
    ([(1, 1), (1, 1)], OPEN),
    ([(1, 1), (1, 0)], MASKED),
    ([(1, 0), (1, 1)], MASKED),
    ([(1, 1), (0, 0)], HIDDEN),
    ([(0, 0), (1, 0), (1, 1)], HIDDEN),
    ([(1, 0), (0, 0), (1, 1)], HIDDEN),
]


@pytest.mark.parametrize(("given", "expected"), ROWS)
def test_the_strictest_of_some_rows(given: list[tuple[int, int]], expected: Sight) -> None:
    """In any order, and apart from the rows of another document; keys may come as the driver has them."""
    key, other = b"k" * 16, b"o" * 16
    found = [(memoryview(key), *each) for each in given]
    assert strictest(found) == {key: expected}
    assert strictest([(other, 1, 1), *found, (other, 1, 0)]) == {key: expected, other: MASKED}
    assert strictest(()) == {}


def test_an_empty_list_of_owners_is_bound_as_nobody() -> None:
    """A statement with a list of nothing could not be compiled; NULL is in no list."""
    assert of().values == {"owners": [None]}
    assert of(1, 2).values == {"owners": [1, 2]}


def test_the_unique_id_of_a_folder_is_no_document(desk: Desk) -> None:
    """Only a document has bytes."""
    assert desk.registry.sight(["1.2.4.1", "1.2.3.1"], BOTH) == {"1.2.4.1": HIDDEN, "1.2.3.1": OPEN}
