"""Two senders at the same moment, on both engines, in threads and processes: one wins, the other hears why.

Each contest has two sides that start at the same instant (a barrier), 50 contests of a kind one after
another. What must come out is in ITI TF-2 3.42.4.1.3 and 3.42.4.1.4.
"""

from __future__ import annotations

import multiprocessing
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import ENGINES, PARTITIONED
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.entries import registry_object
from xds.metadata.model import Code, DocumentEntry, RegistryObject
from xds.registry.view import EVERYTHING
from xds.store.database import Database
from xds.store.schema import code, patient

pytestmark = pytest.mark.parametrize("engine", [*ENGINES, PARTITIONED], indirect=True, scope="session")

CONTESTS = 50
SIDES = 2
HASHES = ("a" * 40, "b" * 40)


def _uuid(number: int, side: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{number:06d}{side:06d}"


def _set(number: int, side: int, **changes: Any) -> Any:
    return s.submission_set(**({"unique_id": f"1.2.9.{number}.{side + 1}"} | changes))


def _document(number: int, side: int, **changes: Any) -> DocumentEntry:
    own: dict[str, Any] = {"entry_uuid": _uuid(number, side), "unique_id": f"1.2.3.{number}.{side + 1}"}
    return s.document_entry(**(own | changes))


def _patient(number: int) -> str:
    return f"{number}^^^&1.2.4.5&ISO"


def _original(number: int) -> tuple[RegistryObject, ...]:
    return s.submission(_document(number, 8), of=_set(number, 8))


def _replaces(number: int, side: int) -> tuple[RegistryObject, ...]:
    link = s.association(names.RPLC, _uuid(number, side), _uuid(number, 8))
    return s.submission(_document(number, side), links=[link], of=_set(number, side))


def _same_unique_id(number: int, side: int) -> tuple[RegistryObject, ...]:
    new = _document(number, side, unique_id=f"1.2.3.{number}", hash=HASHES[side])
    return s.submission(new, of=_set(number, side))


def _same_unique_id_of_two_patients(number: int, side: int) -> tuple[RegistryObject, ...]:
    owner = (s.PATIENT, s.OTHER_PATIENT)[side]
    new = _document(number, side, unique_id=f"1.2.3.{number}", hash=HASHES[side], patient_id=owner)
    return s.submission(new, of=_set(number, side, patient_id=owner))


def _same_entry_uuid_of_two_patients(number: int, side: int) -> tuple[RegistryObject, ...]:
    """No lock is common to the two: the database's own constraint decides."""
    owner = (s.PATIENT, s.OTHER_PATIENT)[side]
    new = _document(number, side, entry_uuid=_uuid(number, 7), patient_id=owner)
    return s.submission(new, of=_set(number, side, patient_id=owner))


def _same_set(number: int, side: int) -> tuple[RegistryObject, ...]:
    return s.submission(_document(number, side), of=_set(number, side, unique_id=f"1.2.9.{number}"))


def _same_folder(number: int, side: int) -> tuple[RegistryObject, ...]:
    folder = s.folder(entry_uuid=_uuid(number, side), unique_id=f"1.2.8.{number}")
    return s.submission(folders=[folder], of=_set(number, side))


def _new_patient_and_codes(number: int, side: int) -> tuple[RegistryObject, ...]:
    codes = tuple(Code(f"{number}-{each}", "1.2.7", "Ny") for each in range(5))[:: 1 - 2 * side]
    owner = _patient(number)
    return s.submission(
        _document(number, side, patient_id=owner, event_codes=codes),
        of=_set(number, side, patient_id=owner),
    )


def _opposite_orders(number: int, side: int) -> tuple[RegistryObject, ...]:
    """Ten documents that both sides have, with the same bytes, each for a patient of its own."""
    owner = (s.PATIENT, s.OTHER_PATIENT)[side]
    documents = [
        _document(number, 10 * side + each, unique_id=f"1.2.3.{number}.{each + 1}", patient_id=owner)
        for each in range(10)
    ]
    return s.submission(*documents[:: 1 - 2 * side], of=_set(number, side, patient_id=owner))


def _document_and_folder(number: int) -> tuple[RegistryObject, ...]:
    folder = s.folder(entry_uuid=_uuid(number, 9), unique_id=f"1.2.8.{number}")
    return s.submission(_document(number, 8), folders=[folder], of=_set(number, 8))


def _files(number: int, side: int) -> tuple[RegistryObject, ...]:
    into = s.member(_uuid(number, 9), _uuid(number, 8), entry_uuid="into")
    return tuple(
        map(registry_object, (_set(number, side), into, s.member("SubmissionSet01", into.entry_uuid)))
    )


@dataclass(frozen=True)
class Kind:
    """What a side submits, what is there before, and the error of the side that loses (None: both win)."""

    submit: Callable[[int, int], Sequence[RegistryObject]]
    loser: str | None
    before: Callable[[int], Sequence[RegistryObject]] | None = None


KINDS = {
    "two replacements of a document": Kind(_replaces, "XDSRegistryDeprecatedDocumentError", _original),
    "two memberships of a document in a folder": Kind(
        _files, "XDSRegistryMetadataError", _document_and_folder
    ),
    "a uniqueId with two contents": Kind(_same_unique_id, "XDSNonIdenticalHash"),
    "a uniqueId with two contents, two patients": Kind(
        _same_unique_id_of_two_patients, "XDSNonIdenticalHash"
    ),
    "an entryUUID of two patients": Kind(_same_entry_uuid_of_two_patients, "XDSRegistryMetadataError"),
    "a uniqueId of two sets": Kind(_same_set, "XDSDuplicateUniqueIdInRegistry"),
    "a uniqueId of two folders": Kind(_same_folder, "XDSDuplicateUniqueIdInRegistry"),
    "a new patient and new codes": Kind(_new_patient_and_codes, None),
    "ten uniqueIds in opposite orders": Kind(_opposite_orders, None),
}

Outcome = list[str] | None


_barrier: Any = None


def _take_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _side(url: str, kind: str, side: int) -> list[Outcome]:
    """One sender's part of all contests: None for success, else the codes of its errors."""
    desk = Desk(Database(url))
    outcomes: list[Outcome] = []
    for number in range(CONTESTS):
        objects = KINDS[kind].submit(number + 1, side)
        _barrier.wait(60)
        try:
            desk.submit(objects)
            outcomes.append(None)
        except RegistryFailure as failure:
            outcomes.append([str(error.code) for error in failure.errors])
        except Exception as error:
            outcomes.append([f"{type(error).__name__}: {error}"])
    desk.database.close()
    return outcomes


@pytest.fixture(scope="module")
def senders() -> Iterator[Mapping[str, Executor]]:
    """A sender for each side: threads of this process, or processes that wait for each other."""
    context = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(SIDES, initializer=_take_barrier, initargs=(threading.Barrier(SIDES),)) as threads,
        ProcessPoolExecutor(SIDES, context, _take_barrier, (context.Barrier(SIDES),)) as processes,
    ):
        yield {"threads": threads, "processes": processes}


@pytest.mark.parametrize("how", ["threads", "processes"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_two_that_cannot_both_be_one_wins(
    kind: str,
    how: str,
    engine: str,
    desk: Desk,
    senders: Mapping[str, Executor],
    record_property: Callable[[str, Any], None],
) -> None:
    """And the other gets its exact code; no deadlock, no error of a driver, no third outcome."""
    before = KINDS[kind].before
    for number in range(CONTESTS) if before else ():
        desk.submit(before(number + 1))
    deadlocks = _deadlocks(desk, engine)
    url = desk.database.url.render_as_string(hide_password=False)
    outcomes = [
        each.result() for each in [senders[how].submit(_side, url, kind, side) for side in range(SIDES)]
    ]
    assert _deadlocks(desk, engine) == deadlocks, "patients and uniqueIds are locked in one order"
    loser = KINDS[kind].loser
    expected = [None, None] if loser is None else [None, [loser]]
    contests = [sorted(contest, key=bool) for contest in zip(*outcomes, strict=True)]
    assert contests == [expected] * CONTESTS
    won = [sum(outcome is None for outcome in side) for side in outcomes]
    record_property("figure", f"race on {engine} in {how}: {kind}: {won[0]} + {won[1]} of {CONTESTS} won")

    assert desk.count("submission_set") == sum(won) + (CONTESTS if before else 0)
    with desk.database.read() as connection:
        for table, key in ((code, ("code", "scheme")), (patient, ("pid",))):
            rows = connection.execute(select(*(table.c[name] for name in key))).all()
            assert len(rows) == len(set(rows)), f"two rows of {table.name} for one"


def _deadlocks(desk: Desk, engine: str) -> int:
    """How many the server has broken up; `transact` would hide them."""
    if engine == "sqlite":
        return 0
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with desk.database.read() as connection:
        return int(connection.exec_driver_sql(counted).scalar_one())


def test_the_last_two_documents_of_a_set_removed_at_once_take_it_with_them(desk: Desk) -> None:
    """Whoever comes second finds the set with nothing else in it, and nobody is refused for an orphan."""
    for number in range(1, CONTESTS + 1):
        both = [_document(number, side) for side in range(SIDES)]
        desk.submit(s.submission(*both, of=_set(number, 0)))
        at_once = threading.Barrier(SIDES)

        def remove(document: DocumentEntry, at_once: threading.Barrier = at_once) -> None:
            at_once.wait(60)
            desk.database.transact(
                lambda connection: desk.registry.remove_document(
                    connection,
                    uuid.UUID(document.entry_uuid).bytes,
                    document.unique_id,
                    EVERYTHING,
                )
            )

        with ThreadPoolExecutor(SIDES) as pool:
            for done in [pool.submit(remove, each) for each in both]:
                done.result()
    left = {table: desk.count(table) for table in ("document_entry", "submission_set", "association")}
    assert left == dict.fromkeys(left, 0)
