"""Who is known, and what a merge, a merge of merges and their undoing do (ITI TF-2 3.8.4, 3.18.4.1.2.3.9)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry.conftest import OPEN, Desk
from tests.registry.test_register import D1, D2, D3, F1, document, statuses, submit
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.model import RegistryObject
from xds.registry import patients
from xds.registry.parting import Parted
from xds.registry.queries import find_documents, get_all, get_associations, get_folder_and_contents
from xds.registry.registry import Options
from xds.store.database import Database

FNR, DNR = "2.16.578.1.12.4.1.4.1", "2.16.578.1.12.4.1.4.2"
#: Tenor's synthetic persons, and a D-number with a month raised by 80.
BIRTH_NUMBER = f"17855599120^^^&{FNR}&ISO"
OTHER_BIRTH_NUMBER = f"29844697323^^^&{FNR}&ISO"
D_NUMBER = f"57855599114^^^&{DNR}&ISO"

A, B, C, D = (f"{name}^^^&1.2.3.9&ISO" for name in "abcd")
NATIONAL = Options(patients="national", synthetic=True)
PRODUCTION = Options(patients="national")
FEED = Options(patients="feed", authorities=frozenset({"1.2.3.9"}))


@pytest.fixture
def desks(database_url: str) -> Iterable[Callable[[Options], Desk]]:
    """Registries with other options, on one database."""
    database = Database(database_url)
    yield lambda options: Desk(database, options)
    database.close()


def announce(desk: Desk, *pids: str) -> None:
    desk.database.transact(lambda connection: desk.registry.announce(connection, pids))


def merge(desk: Desk, subsumed: str, surviving: str) -> None:
    desk.database.transact(lambda connection: desk.registry.merge(connection, subsumed, surviving))


def unmerge(desk: Desk, subsumed: str) -> str:
    return part(desk, subsumed)[0]


def part(desk: Desk, subsumed: str) -> tuple[str, Parted]:
    return desk.database.transact(lambda connection: patients.unmerge(connection, subsumed))


def rules(work: Callable[..., Any], *arguments: Any) -> list[tuple[str, str]]:
    """(rule, which id) of every error of something that must be refused."""
    with pytest.raises(RegistryFailure) as caught:
        work(*arguments)
    return [(error.rule, error.location) for error in caught.value.errors]


def table(desk: Desk) -> dict[str, tuple[str | None, str]]:
    """Each patient id: into whom it was merged, and who stands for it."""
    with desk.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT p.pid, m.pid, s.pid FROM patient p LEFT JOIN patient m ON m.patient_pk = p.merged_into"
            " LEFT JOIN patient s ON s.patient_pk = p.survivor_pk"
        ).all()
    return {pid: (merged, survivor) for pid, merged, survivor in rows}


def entries(desk: Desk, patient: str) -> dict[str, str]:
    """The documents found under an id, and the id that each shows."""
    both = f"('{names.APPROVED}','{names.DEPRECATED}')"
    found = desk.ask(find_documents.ID, XDSDocumentEntryPatientId=f"'{patient}'", XDSDocumentEntryStatus=both)
    return {each.id: _shown(each) for each in found}


def _shown(entry: RegistryObject) -> str:
    (shown,) = (
        each.attributes["value"]
        for each in entry.external_identifiers
        if each.attributes["identificationScheme"] == names.DOCUMENT_PATIENT_ID
    )
    return shown


# ---- who is known


@pytest.mark.parametrize("pid", [BIRTH_NUMBER, D_NUMBER, "87855599137^^^&2.16.578.1.12.4.1.4.3&ISO"])
def test_every_valid_national_number_is_known(desks: Any, pid: str) -> None:
    """Nobody has to announce a person that the national registers know."""
    desk = desks(NATIONAL)
    desk.submit(submit(document(D1, patient_id=pid)))
    assert entries(desk, pid) == {D1: pid}


@pytest.mark.parametrize(
    "pid",
    [
        f"17855599121^^^&{FNR}&ISO",  # control digits
        f"87855599137^^^&{DNR}&ISO",  # no D-number
        f"13527248013^^^&{FNR}&ISO",  # some enterprise's own help number
        "13527248013^^^&2.16.578.1.12.4.1.4.3&ISO",  # as which some send it
        BIRTH_NUMBER,  # synthetic: Tenor's
        D_NUMBER,
        f"29698496140^^^&{FNR}&ISO",  # Norsk helsenett's
        "zzyzx^^^&1.2.3.9&ISO",
    ],
)
def test_what_is_no_national_number_is_unknown(desks: Any, pid: str) -> None:
    """XDSUnknownPatientId at the set's patientId, without the id; nothing is stored."""
    desk = desks(PRODUCTION)
    objects = submit(document(D1, patient_id=pid))
    with pytest.raises(RegistryFailure) as caught:
        desk.submit(objects)
    (error,) = caught.value.errors
    the_set = next(each for each in objects if each.kind == "RegistryPackage")
    assert (error.code, error.rule) == ("XDSUnknownPatientId", "registry-patient-known")
    assert error.location == f"{the_set.id}/patientId"
    assert pid.partition("^")[0] not in error.context
    assert desk.count("patient") == desk.count("document_entry") == 0


def test_a_test_has_patients_who_do_not_exist(desks: Any) -> None:
    """Norsk helsenett's and Dolly's as well; under the wrong OID they are unknown in a test too."""
    desk = desks(NATIONAL)
    known = f"29698496140^^^&{FNR}&ISO", f"13527248013^^^&{FNR}&ISO", f"68467038838^^^&{DNR}&ISO"
    assert all(map(desk.registry.domain.permits, known))
    assert not desk.registry.domain.permits(f"17855599120^^^&{DNR}&ISO")


def test_outside_a_test_a_feed_cannot_announce_somebody_who_does_not_exist(desks: Any) -> None:
    """A synthetic person's number is none in production, whoever sends it."""
    feed = Options(patients="feed")
    desk = desks(feed)
    assert rules(announce, desk, BIRTH_NUMBER) == [("registry-patient-known", "announced")]
    announce(desk, "87855599137^^^&2.16.578.1.12.4.1.4.3&ISO")
    announce(desks(replace(feed, synthetic=True)), BIRTH_NUMBER)


def test_with_a_feed_only_the_announced_are_known(desks: Any) -> None:
    """Also an id that was seen by other means, but never announced, stays unknown."""
    desks(OPEN).submit(submit(document(D1, patient_id=A)))
    desk = desks(FEED)
    for pid in (A, B):
        assert [rule for _, rule, _ in desk.refused(submit(document(D2, patient_id=pid)))] == [
            "registry-patient-known"
        ]
    announce(desk, A, B)
    desk.submit(submit(document(D2, patient_id=A)))
    desk.submit(submit(document(D3, patient_id=B)))
    assert entries(desk, B) == {D3: B}


def test_announcing_again_changes_nothing(desks: Any) -> None:
    """Feeds repeat themselves (ITI TF-2 3.8.4.1.3)."""
    desk = desks(FEED)
    announce(desk, A)
    announce(desk, A)
    announce(desk, B, A)
    assert table(desk) == {A: (None, A), B: (None, B)}


def test_an_id_of_another_authority_cannot_be_announced(desks: Any) -> None:
    """All or nothing: the good one beside it is not announced either."""
    desk = desks(FEED)
    strange = "a^^^&1.2.3.8&ISO"
    assert rules(announce, desk, A, strange) == [("registry-patient-known", "announced")]
    assert table(desk) == {}


# ---- merging


def test_a_merge_shows_everything_under_the_surviving_id(desk: Desk) -> None:
    """Queries by the subsumed id find nothing, by the survivor all, shown as the survivor's; no row moves."""
    desk.submit(submit(document(D1, patient_id=A)))
    desk.submit(submit(document(D2, patient_id=B)))
    with desk.database.read() as connection:
        before = connection.exec_driver_sql("SELECT * FROM document_entry").all()
    merge(desk, A, B)
    assert entries(desk, A) == {}
    assert entries(desk, B) == {D1: B, D2: B}
    with desk.database.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM document_entry").all() == before


def test_nothing_more_is_registered_under_a_subsumed_id(desk: Desk) -> None:
    """It counts as unknown (ITI TF-2 3.8.4.2.4)."""
    desk.submit(submit(document(D1, patient_id=A)))
    merge(desk, A, B)
    ((code, rule, _),) = desk.refused(submit(document(D2, patient_id=A)))
    assert (code, rule) == ("XDSUnknownPatientId", "registry-patient-merged")
    assert rules(announce, desk, A) == [("registry-patient-merged", "announced")]


def test_after_a_merge_the_documents_of_both_are_one_patients(desk: Desk) -> None:
    """A document of the survivor replaces one of the subsumed id, and goes into a folder of that."""
    desk.submit(submit(document(D1, patient_id=A), folders=[s.folder(entry_uuid=F1, patient_id=A)]))
    into = s.member(F1, D2)
    links = [s.association(names.RPLC, D2, D1), into, s.member("SubmissionSet01", into.entry_uuid)]
    replacing = submit(document(D2, patient_id=B), links=links)
    assert {rule for _, rule, _ in desk.refused(replacing)} == {"registry-same-patient"}
    merge(desk, A, B)
    desk.submit(replacing)
    assert entries(desk, B) == {D1: B, D2: B}


def test_a_chain_of_merges_ends_at_its_last_survivor(desk: Desk) -> None:
    """A into B into C: each object shows C, and each id stands for nothing more."""
    for number, pid in enumerate((A, B, C)):
        desk.submit(submit(document((D1, D2, D3)[number], patient_id=pid)))
    merge(desk, A, B)
    merge(desk, B, C)
    assert table(desk) == {A: (B, C), B: (C, C), C: (None, C)}
    assert entries(desk, C) == {D1: C, D2: C, D3: C}
    assert entries(desk, B) == entries(desk, A) == {}
    found = desk.ask(
        get_all.ID,
        patientId=f"'{C}'",
        XDSDocumentEntryStatus=f"('{names.APPROVED}')",
        XDSSubmissionSetStatus=f"('{names.APPROVED}')",
        XDSFolderStatus=f"('{names.APPROVED}')",
    )
    assert sum(each.kind == "RegistryPackage" for each in found) == 3


@pytest.mark.parametrize(
    ("subsumed", "surviving", "expected"),
    [
        (A, A, [("registry-merge-self", "subsumed")]),
        (C, A, [("registry-merge-subsumed", "subsumed")]),
        (A, C, [("registry-merge-surviving", "surviving")]),
        (C, C, [("registry-merge-self", "subsumed")]),
        (B, "x^^^&1.2.3.8&ISO", [("registry-patient-known", "surviving")]),
        ("x^^^&1.2.3.8&ISO", B, [("registry-patient-known", "subsumed")]),
        (B, "x^^^&1.2.3.9&ISO", [("registry-patient-known", "surviving")]),
        ("x^^^&1.2.3.9&ISO", B, [("registry-patient-known", "subsumed")]),
        ("x^^^&1.2.3.9&ISO", C,
         [("registry-patient-known", "subsumed"), ("registry-merge-surviving", "surviving")]),
    ],
)  # fmt: skip
def test_a_merge_that_must_not_be_changes_nothing(
    desks: Any, subsumed: str, surviving: str, expected: list[tuple[str, str]]
) -> None:
    """Same, merged before, of another authority, never announced (ITI TF-2 3.8.4.2.4)."""
    desk = desks(FEED)
    announce(desk, A, B, C, D)
    merge(desk, C, D)
    before = table(desk)
    assert rules(merge, desk, subsumed, surviving) == expected
    assert table(desk) == before
    assert desk.count("patient_merge") == 1


def test_a_merge_that_comes_again_changes_nothing(desk: Desk) -> None:
    """Its acknowledgement was lost; a second merge of the same id into another is still refused."""
    merge(desk, A, B)
    before = table(desk)
    merge(desk, A, B)
    assert table(desk) == before
    assert desk.count("patient_merge") == 1
    merge(desk, B, C)
    assert rules(merge, desk, A, B) == [
        ("registry-merge-subsumed", "subsumed"),
        ("registry-merge-surviving", "surviving"),
    ]


def test_a_d_number_gives_way_to_a_birth_number_that_nobody_announced(desks: Any) -> None:
    """With national numbers a number change is a merge into an id that is new here."""
    desk = desks(NATIONAL)
    desk.submit(submit(document(D1, patient_id=D_NUMBER)))
    merge(desk, D_NUMBER, BIRTH_NUMBER)
    assert entries(desk, BIRTH_NUMBER) == {D1: BIRTH_NUMBER}
    desk.submit(submit(document(D2, patient_id=BIRTH_NUMBER)))
    assert len(entries(desk, BIRTH_NUMBER)) == 2


def test_a_number_change_is_kept_for_a_patient_who_has_no_documents_yet(desks: Any) -> None:
    """The old number is unknown from then on, though it was never seen before."""
    desk = desks(NATIONAL)
    merge(desk, D_NUMBER, BIRTH_NUMBER)
    assert desk.refused(submit(document(D1, patient_id=D_NUMBER)))[0][1] == "registry-patient-merged"


# ---- undoing


def chain(desk: Desk) -> None:
    """A into B into C, each with a document of its own time."""
    for uuid, pid in ((D1, A), (D2, B), (D3, C)):
        desk.submit(submit(document(uuid, patient_id=pid)))
    merge(desk, A, B)
    merge(desk, B, C)


def test_the_first_merge_of_a_chain_can_be_taken_back_alone(desk: Desk) -> None:
    """A stands for itself again; B stays with C."""
    chain(desk)
    assert unmerge(desk, A) == B
    assert table(desk) == {A: (None, A), B: (C, C), C: (None, C)}
    assert entries(desk, A) == {D1: A}
    assert entries(desk, C) == {D2: C, D3: C}


def test_the_last_merge_of_a_chain_is_taken_back_with_all_below(desk: Desk) -> None:
    """B stands for itself and for A again."""
    chain(desk)
    assert unmerge(desk, B) == C
    assert table(desk) == {A: (B, B), B: (None, B), C: (None, C)}
    assert entries(desk, B) == {D1: B, D2: B}
    assert entries(desk, C) == {D3: C}


def test_what_was_registered_after_the_merge_stays_with_the_survivor(desk: Desk) -> None:
    """Nobody can tell whose it is, and no row moves."""
    desk.submit(submit(document(D1, patient_id=A)))
    merge(desk, A, B)
    desk.submit(submit(document(D2, patient_id=B)))
    unmerge(desk, A)
    assert (entries(desk, A), entries(desk, B)) == ({D1: A}, {D2: B})
    desk.submit(submit(document(D3, patient_id=A)))
    assert set(entries(desk, A)) == {D1, D3}


@pytest.mark.parametrize("kind", [names.APND, names.XFRM])
def test_a_replacement_deprecates_nothing_of_another_patient(desk: Desk, kind: str) -> None:
    """What was appended while the two were one is somebody else's again, and hangs on it no more."""
    desk.submit(submit(document(D1, patient_id=A)))
    merge(desk, A, B)
    desk.submit(submit(document(D2, patient_id=B), links=[s.association(kind, D2, D1)]))
    assert part(desk, A) == (B, Parted(1, ()))
    desk.submit(submit(document(D3, patient_id=A), links=[s.association(names.RPLC, D3, D1)]))
    assert statuses(desk, A) == {D1: "Deprecated", D3: "Approved"}
    assert statuses(desk, B) == {D2: "Approved"}


def test_nothing_approved_links_two_people_after_a_merge_is_taken_back(desk: Desk) -> None:
    """A's document was replaced by one of B, which took its place in A's folder: RPLC, the place and the
    set's link to the place are deprecated; folder and documents stay as they are, and can be worked with.
    """
    into = s.member(F1, D1)
    links = [into, s.member("SubmissionSet01", into.entry_uuid)]
    desk.submit(
        submit(document(D1, patient_id=A), folders=[s.folder(entry_uuid=F1, patient_id=A)], links=links)
    )
    merge(desk, A, B)
    desk.submit(submit(document(D2, patient_id=B), links=[s.association(names.RPLC, D2, D1)]))
    assert part(desk, A) == (B, Parted(3, (D1,)))
    contents = {each.id for each in desk.ask(get_folder_and_contents.ID, XDSFolderEntryUUID=f"'{F1}'")}
    assert contents & {D1, D2, F1} == {D1, F1}
    history = desk.ask(
        get_associations.ID,
        uuid=f"('{D2}')",
        MetadataLevel="2",
        XDSAssociationStatus=f"('{names.DEPRECATED}')",
    )
    assert sorted(each.attributes["associationType"] for each in history) == [names.RPLC, names.HAS_MEMBER]
    desk.submit(submit(document(D3, patient_id=B), links=[s.association(names.RPLC, D3, D2)]))
    assert statuses(desk, B) == {D2: "Deprecated", D3: "Approved"}
    assert statuses(desk, A) == {D1: "Deprecated"}


def test_the_history_keeps_what_was_merged_and_taken_back(desk: Desk) -> None:
    """And a merge can be made anew, also the other way round."""
    merge(desk, A, B)
    unmerge(desk, A)
    merge(desk, B, A)
    with desk.database.read() as connection:
        history = patients.merges(connection)
        assert patients.merges(connection, C) == []
    assert [(each.subsumed, each.surviving, each.undone_at is None) for each in history] == [
        (A, B, False),
        (B, A, True),
    ]


@pytest.mark.parametrize("pid", [B, C])
def test_only_what_is_merged_can_be_taken_back(desk: Desk, pid: str) -> None:
    """Neither the survivor nor somebody unknown."""
    merge(desk, A, B)
    before = table(desk)
    assert rules(unmerge, desk, pid) == [("registry-merge-undone", "subsumed")]
    assert table(desk) == before


# ---- races


def at_once(*works: Callable[[], Any]) -> list[str]:
    """What each of them came to, started together: "done", or the rule that was broken."""
    start = threading.Barrier(len(works))
    outcomes = [""] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        start.wait()
        try:
            work()
            outcomes[number] = "done"
        except RegistryFailure as failure:
            outcomes[number] = failure.errors[0].rule
        except Exception as error:
            outcomes[number] = repr(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def consistent(rows: Mapping[str, tuple[str | None, str]]) -> bool:
    """Every survivor is the end of its chain."""
    for pid in rows:
        end = pid
        for _ in rows:
            end = rows[end][0] or end
        if rows[end][0] is not None or rows[pid][1] != end:
            return False
    return True


def test_of_two_crossing_merges_one_wins(desk: Desk) -> None:
    """A into B and B into A at once: one is done, the other is told that its id was merged meanwhile."""
    for number in range(20):
        one, two = (f"{name}{number}^^^&1.2.3.9&ISO" for name in "ab")
        outcomes = at_once(lambda: merge(desk, one, two), lambda: merge(desk, two, one))  # noqa: B023
        assert sorted(outcomes) == ["done", "registry-merge-subsumed"] or sorted(outcomes) == [
            "done",
            "registry-merge-surviving",
        ]
        assert consistent(table(desk))


def test_a_ring_of_merges_at_once_never_closes(desk: Desk) -> None:
    """A into B, B into C, C into A: the last one finds its end taken."""
    for number in range(10):
        ring = [f"{name}{number}^^^&1.2.3.9&ISO" for name in "abc"]
        outcomes = at_once(
            *(lambda n=n: merge(desk, ring[n], ring[(n + 1) % 3]) for n in range(3))  # type: ignore[misc] # noqa: B023
        )
        assert 1 <= outcomes.count("done") <= 2, outcomes
        assert consistent(table(desk))


def test_a_merge_during_registering_loses_nothing(desk: Desk) -> None:
    """Either it is registered and found under the survivor, or it is refused."""
    for number in range(20):
        one, two = (f"{name}{number}^^^&1.2.3.9&ISO" for name in "ab")
        uuid = f"urn:uuid:00000000-0000-4000-8000-{number + 256:012x}"
        objects = submit(document(uuid, patient_id=one))
        outcomes = at_once(lambda: desk.submit(objects), lambda: merge(desk, one, two))  # noqa: B023
        assert outcomes[1] == "done"
        found = entries(desk, two)
        assert (outcomes[0], found) in (("done", {uuid: two}), ("registry-patient-merged", {}))


def test_undoing_during_merging_leaves_every_chain_right(desk: Desk) -> None:
    """A is merged into B; at once A is taken out and B is merged into C."""
    for number in range(20):
        one, two, three = (f"{name}{number}^^^&1.2.3.9&ISO" for name in "abc")
        merge(desk, one, two)
        outcomes = at_once(lambda: unmerge(desk, one), lambda: merge(desk, two, three))  # noqa: B023
        assert outcomes == ["done", "done"]
        rows = table(desk)
        assert rows[one] == (None, one)
        assert rows[two] == (three, three)
        assert consistent(rows)
