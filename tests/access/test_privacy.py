"""Privacy settings are made once, withdrawn and never lost, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.access import privacy
from xds.access.known import Patients
from xds.access.privacy import PrivacySetting
from xds.errors import DataTypeError, RegistryFailure
from xds.metadata import national
from xds.registry import patients
from xds.registry.patients import Domain
from xds.registry.registry import Options
from xds.security.caller import Identifier
from xds.store import keys, schema
from xds.store.database import Database
from xds.store.schema import document_entry, privacy_setting

DOMAIN = Domain("national", synthetic=True)
ANNA, BO = s.PATIENT, s.OTHER_PATIENT
PERSON = BO.partition("^")[0]
FIRST = "urn:uuid:00000000-0000-4000-8000-000000000001"
SECOND = "urn:uuid:00000000-0000-4000-8000-000000000002"
OTHERS = "urn:uuid:00000000-0000-4000-8000-000000000003"
UNKNOWN = "urn:uuid:00000000-0000-4000-8000-00000000000f"
ORGANISATION = "310000000"
LATER = 20300101000000
BLOCK, REFUSAL, RESERVATION, RELEASE = privacy.KINDS


class Book:
    """The settings of one database, each change in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def do(self, work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """What a function gives that works on a connection."""
        return self.database.transact(lambda connection: work(connection, *arguments, **more))

    def make(self, pid: str, kind: int, whom: str = "", **more: Any) -> PrivacySetting:
        """A setting by Kari."""
        made: PrivacySetting = self.do(privacy.make, DOMAIN, pid, kind, whom, **({"by": "kari"} | more))
        return made

    def withdraw(self, key: int, by: str = "kari") -> PrivacySetting:
        """The setting, withdrawn."""
        withdrawn: PrivacySetting = self.do(privacy.withdraw, key, by)
        return withdrawn

    def history(self, pid: str = ANNA) -> list[PrivacySetting]:
        """Everything there ever was."""
        with self.database.read() as connection:
            return privacy.history(connection, pid)

    def push(
        self, active: bool, at: int | None, kind: int = BLOCK, pid: str = ANNA, source: str = "pvk a b"
    ) -> bool:
        """One message of another system."""
        changed: bool = self.do(privacy.replicate, DOMAIN, pid, kind, source, active=active, at=at, by="pvk")
        return changed

    def in_effect(self, pid: str = ANNA) -> list[tuple[int, str]]:
        """What the access rules see: kind and whom."""
        number, _, rest = pid.partition("^^^&")
        known = Patients(self.database).look(Identifier(number, rest.removesuffix("&ISO")))
        return [(each.kind, each.whom) for each in known.settings]

    def refused(self, work: Callable[..., Any], *arguments: Any, **more: Any) -> list[str]:
        """The rules by which something is refused, with nothing written."""
        before = self.history()
        with pytest.raises(RegistryFailure) as caught:
            work(*arguments, **more)
        assert self.history() == before
        return [error.rule for error in caught.value.errors]


@pytest.fixture
def book(database_url: str) -> Iterator[Book]:
    """A registry with two documents of Anna's and one of Bo's."""
    database = Database(database_url)
    desk = Desk(database, Options(patients="national", synthetic=True))
    for number, (uuid, pid) in enumerate(((FIRST, ANNA), (SECOND, ANNA), (OTHERS, BO)), 1):
        document = s.document_entry(
            entry_uuid=uuid, unique_id=f"1.2.3.{number}", patient_id=pid, source_patient_info=()
        )
        of = s.submission_set(unique_id=f"1.2.4.{number}", patient_id=pid)
        desk.submit(s.submission(document, of=of))
    yield Book(database)
    database.close()


#: What a setting is about.
PARTS: dict[str, dict[str, str]] = {
    "all": {},
    "document": {"document": FIRST},
    "organisation": {"organisation": ORGANISATION},
}
#: Kind, against whom as it is given, and as it is kept.
WHOM = [
    (BLOCK, "", "personnel"),
    (BLOCK, "personnel", "personnel"),
    (BLOCK, f"organisation:{ORGANISATION}", f"organisation:{ORGANISATION}"),
    (BLOCK, "hpr:009144889", "hpr:9144889"),
    (BLOCK, f"person:{PERSON}", f"person:{PERSON}"),
    (REFUSAL, "citizen", "citizen"),
    (REFUSAL, "parent", "parent"),
    (REFUSAL, "youth", "youth"),
    (REFUSAL, "representative", "representative"),
    (REFUSAL, f"person:{PERSON}", f"person:{PERSON}"),
    (RELEASE, "", "citizen"),
]
ALLOWED = [(kind, given, kept, part) for kind, given, kept in WHOM for part in PARTS]
ALLOWED += [(RESERVATION, "", "personnel", "all")]


@pytest.mark.parametrize(("kind", "given", "kept", "part"), ALLOWED)
def test_a_setting_is_kept_as_it_was_made(book: Book, kind: int, given: str, kept: str, part: str) -> None:
    """Every kind, against everybody it can be against, about everything it can be about."""
    release = {"release_time": LATER} if kind == RELEASE else {}
    made = book.make(ANNA, kind, given, **PARTS[part], **release)
    assert book.history() == [made]
    assert (made.kind, made.whom, made.source, made.made_by) == (kind, kept, "operator", "kari")
    assert made.document == PARTS[part].get("document")
    assert made.organisation == PARTS[part].get("organisation")
    assert made.release_time == (LATER if kind == RELEASE else None)
    assert made.is_in_effect
    assert 0 <= keys.now() - made.made_at < 1000
    assert book.in_effect() == [(kind, kept)]
    assert book.in_effect(BO) == []


#: What is wrong, and the rules that say so.
WRONG: dict[str, tuple[int, str, dict[str, Any], list[str]]] = {
    "word of another kind": (BLOCK, "citizen", {}, ["privacy-whom"]),
    "number of another kind": (REFUSAL, "hpr:9144889", {}, ["privacy-whom"]),
    "refusal against nobody": (REFUSAL, "", {}, ["privacy-whom"]),
    "refusal of personnel": (REFUSAL, "personnel", {}, ["privacy-whom"]),
    "reservation against one": (RESERVATION, "hpr:9144889", {}, ["privacy-whom"]),
    "release to one": (RELEASE, "parent", {"release_time": LATER}, ["privacy-whom"]),
    "no word": (BLOCK, "everybody", {}, ["privacy-whom"]),
    "word in capitals": (BLOCK, "Personnel", {}, ["privacy-whom"]),
    "organisation's check digit": (BLOCK, "organisation:310000001", {}, ["privacy-organisation"]),
    "organisation too short": (BLOCK, "organisation:31000000", {}, ["privacy-organisation"]),
    "organisation missing": (BLOCK, "organisation:", {}, ["privacy-organisation"]),
    "no hpr number": (BLOCK, "hpr:12x", {}, ["privacy-hpr"]),
    "hpr number of zeros": (BLOCK, "hpr:000", {}, ["privacy-hpr"]),
    "person's control digits": (BLOCK, "person:17855599121", {}, ["privacy-person"]),
    "person too long": (REFUSAL, "person:178555991200", {}, ["privacy-person"]),
    "documents of no organisation": (BLOCK, "", {"organisation": "123456789"}, ["privacy-organisation"]),
    "somebody else's document": (BLOCK, "", {"document": OTHERS}, ["privacy-document"]),
    "unknown document": (BLOCK, "", {"document": UNKNOWN}, ["privacy-document"]),
    "no entryUUID": (BLOCK, "", {"document": "1.2.3.1"}, ["privacy-document"]),
    "bare UUID": (BLOCK, "", {"document": FIRST.removeprefix("urn:uuid:")}, ["privacy-document"]),
    "two parts": (BLOCK, "", {"document": FIRST, "organisation": ORGANISATION}, ["privacy-part"]),
    "part of a reservation": (RESERVATION, "", {"organisation": ORGANISATION}, ["privacy-part"]),
    "release without time": (RELEASE, "", {}, ["privacy-release-time"]),
    "release at no time": (RELEASE, "", {"release_time": 20301301000000}, ["privacy-release-time"]),
    "release on a day": (RELEASE, "", {"release_time": 20300101}, ["privacy-release-time"]),
    "block with time": (BLOCK, "", {"release_time": LATER}, ["privacy-release-time"]),
    "nobody made it": (BLOCK, "", {"by": " "}, ["privacy-by"]),
    "name with control character": (BLOCK, "", {"by": "a\x1bb"}, ["privacy-by"]),
    "long name": (BLOCK, "", {"by": "a" * 101}, ["privacy-by"]),
    "everything": (
        RESERVATION,
        "parent",
        {"by": "", "document": UNKNOWN, "organisation": "1", "release_time": 1},
        [
            "privacy-whom",
            "privacy-by",
            "privacy-organisation",
            "privacy-part",
            "privacy-release-time",
            "privacy-document",
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_every_rule(book: Book, name: str) -> None:
    """And nothing is written; no error quotes what was given."""
    kind, whom, more, rules = WRONG[name]
    assert rules == book.refused(book.make, ANNA, kind, whom, **more)


@pytest.mark.parametrize(
    "pid", ["17855599121^^^&2.16.578.1.12.4.1.4.1&ISO", "carl^^^&2.999.1&ISO", "17855599120^^^&2.999.1&ISO"]
)
def test_a_patient_who_cannot_be_known_here_is_refused(book: Book, pid: str) -> None:
    """By the registry's own rule."""
    assert ["registry-patient-known"] == book.refused(book.make, pid, BLOCK)


def test_outside_a_test_synthetic_people_are_nobody(book: Book) -> None:
    """Neither as patients nor as those against whom a setting is."""
    real = Domain("open")
    with pytest.raises(RegistryFailure) as caught:
        book.do(privacy.make, real, "carl^^^&2.999.1&ISO", BLOCK, f"person:{PERSON}", by="kari")
    assert [error.rule for error in caught.value.errors] == ["privacy-person"]


def test_a_patient_without_documents_can_have_settings(book: Book) -> None:
    """They hold for what comes."""
    number = next(n for i in range(999) if (n := national.with_control_digits(f"178555{i:03}")))
    new = f"{number}^^^&2.16.578.1.12.4.1.4.1&ISO"
    book.make(new, RESERVATION)
    assert book.in_effect(new) == [(RESERVATION, "personnel")]


def test_what_is_in_effect_is_not_doubled(book: Book) -> None:
    """The one that is there is given back, whoever asks; zeros in front make no other number."""
    first = book.make(ANNA, BLOCK, "hpr:9144889")
    assert book.make(ANNA, BLOCK, "hpr:09144889", by="ola") == first
    assert book.history() == [first]


def test_what_differs_in_anything_is_another_setting(book: Book) -> None:
    """Kind, whom, part, time, source."""
    made = [
        book.make(ANNA, BLOCK),
        book.make(ANNA, RESERVATION),
        book.make(ANNA, BLOCK, document=FIRST),
        book.make(ANNA, BLOCK, document=SECOND),
        book.make(ANNA, BLOCK, organisation=ORGANISATION),
        book.make(ANNA, BLOCK, source="other"),
        book.make(ANNA, RELEASE, release_time=LATER),
        book.make(ANNA, RELEASE, release_time=LATER + 1),
    ]
    assert {each.key for each in book.history()} == {each.key for each in made}
    assert len(made) == len({each.key for each in made})


def test_a_setting_is_withdrawn_once_and_stays_in_the_history(book: Book) -> None:
    """The first time counts; the rest of the row is as it was."""
    made = book.make(ANNA, BLOCK)
    gone = book.withdraw(made.key, "ola")
    assert not gone.is_in_effect
    assert (gone.withdrawn_by, gone.content, gone.made_at) == ("ola", made.content, made.made_at)
    assert book.withdraw(made.key, "per") == gone
    assert book.history() == [gone]
    assert book.in_effect() == []
    again = book.make(ANNA, BLOCK)
    assert book.history() == [gone, again]


@pytest.mark.parametrize("key", [0, -1, 1, 2**62, 2**63, 10**30])
def test_a_key_that_is_nobodys_is_refused(book: Book, key: int) -> None:
    """Also one that no database could hold."""
    assert ["privacy-key"] == book.refused(book.withdraw, key)
    assert ["privacy-by", "privacy-key"] == book.refused(book.withdraw, key, "")


def test_any_version_names_the_document(book: Book) -> None:
    """The setting is about the logical one."""

    def version(connection: Connection) -> None:
        connection.execute(
            update(document_entry)
            .where(document_entry.c.entry_uuid == keys.uuid_bytes(SECOND))
            .values(logical_uuid=keys.uuid_bytes(FIRST), version=2)
        )

    book.do(version)
    assert book.make(ANNA, BLOCK, document=SECOND.upper().replace("URN:UUID", "urn:uuid")).document == FIRST
    assert len({book.make(ANNA, BLOCK, document=each).key for each in (FIRST, SECOND)}) == 1


def test_after_a_merge_settings_hold_for_the_whole_person(book: Book) -> None:
    """Under each of the ids, without doubling, and about documents of both."""
    old = book.make(BO, BLOCK)
    book.do(patients.merge, DOMAIN, BO, ANNA)
    assert book.history(BO) == book.history(ANNA) == [old]
    assert book.make(ANNA, BLOCK) == old
    about = book.make(ANNA, BLOCK, document=OTHERS)
    assert about.document == OTHERS
    by_old_id = book.make(BO, RESERVATION)
    assert book.history() == [old, about, by_old_id]
    assert len(book.in_effect(ANNA)) == 3
    assert not book.withdraw(old.key).is_in_effect


def test_when_a_merge_is_taken_back_each_id_keeps_its_own(book: Book) -> None:
    """What was said of an id, or of its document, goes with it."""
    book.do(patients.merge, DOMAIN, BO, ANNA)
    about_bo, of_bo = book.make(ANNA, BLOCK, document=OTHERS), book.make(BO, RESERVATION)
    of_anna = book.make(ANNA, REFUSAL, "parent")
    book.do(patients.unmerge, BO)
    assert book.history(BO) == [about_bo, of_bo]
    assert book.history(ANNA) == [of_anna]
    assert ["privacy-document"] == book.refused(book.make, ANNA, BLOCK, document=OTHERS)


def test_somebody_unknown_has_no_history_and_is_not_made_by_asking(book: Book) -> None:
    """Nor is a merged id's lost."""
    assert book.history("carl^^^&2.999.1&ISO") == []


def test_only_the_withdrawal_of_a_row_is_ever_written(book: Book) -> None:
    """Whatever is done: every row that was there is there as it was, but for its end."""
    seen: dict[int, tuple[Any, ...]] = {}

    def look() -> None:
        with book.database.read() as connection:
            rows = {row.setting_pk: tuple(row)[:-2] for row in connection.execute(select(privacy_setting))}
        assert seen.items() <= rows.items()
        seen.update(rows)

    made = book.make(ANNA, BLOCK)
    for step in (
        lambda: book.withdraw(made.key),
        lambda: book.push(True, 20260101000000),
        lambda: book.push(True, 20260102000000),
        lambda: book.push(False, 20260103000000),
        lambda: book.do(patients.merge, DOMAIN, BO, ANNA),
        lambda: book.push(True, None),
        lambda: book.do(patients.unmerge, BO),
    ):
        step()
        look()
    assert len(seen) == 4


# ---- replication

ON, OFF = True, False
#: Pushes in the order of arrival (active, time); whether each changed something; what is in effect then.
ORDERS: dict[str, tuple[list[tuple[bool, int]], list[bool], bool]] = {
    "on": ([(ON, 1)], [True], ON),
    "repeat": ([(ON, 1), (ON, 1)], [True, False], ON),
    "on and off": ([(ON, 1), (OFF, 2)], [True, True], OFF),
    "off again": ([(ON, 1), (OFF, 2), (OFF, 2)], [True, True, False], OFF),
    "repeat of what is over": ([(ON, 1), (OFF, 2), (ON, 1)], [True, True, False], OFF),
    "on once more": ([(ON, 1), (OFF, 2), (ON, 3)], [True, True, True], ON),
    "end before beginning": ([(OFF, 2), (ON, 1)], [True, False], OFF),
    "end before beginning, then on": ([(OFF, 2), (ON, 1), (ON, 3)], [True, False, True], ON),
    "late off": ([(ON, 1), (ON, 3), (OFF, 2)], [True, True, False], ON),
    "late on": ([(ON, 1), (OFF, 2), (OFF, 4), (ON, 3)], [True, True, True, False], OFF),
    "same second, off last": ([(ON, 1), (OFF, 1)], [True, True], OFF),
    "same second, on last": ([(OFF, 1), (ON, 1)], [True, True], ON),
    "only off": ([(OFF, 1), (OFF, 1)], [True, False], OFF),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_newest_word_wins_whatever_the_order(book: Book, name: str) -> None:
    """As far as its time tells."""
    pushes, changed, active = ORDERS[name]
    day = 20260101000000
    assert [book.push(each, day + at) for each, at in pushes] == changed
    assert book.in_effect() == ([(BLOCK, "personnel")] if active else [])
    history = book.history()
    assert max(max(each.made_at, each.withdrawn_at or 0) for each in history) == day + max(
        at for _, at in pushes
    )
    assert all(each.source == "pvk a b" and each.made_by == "pvk" for each in history)


def test_a_push_without_time_is_newer_than_all_before(book: Book) -> None:
    """A repeat of it changes nothing."""
    future = keys.now() + 500
    assert book.push(ON, future)
    assert book.push(OFF, None)
    assert not book.push(OFF, None)
    assert book.in_effect() == []
    assert book.push(ON, None)
    assert not book.push(ON, None)
    assert book.in_effect() == [(BLOCK, "personnel")]


def test_a_push_ends_only_what_its_own_source_said(book: Book) -> None:
    """Neither what an operator made nor what another part did."""
    mine = book.make(ANNA, BLOCK)
    assert book.push(ON, 20260101000000)
    assert book.push(ON, 20260101000000, source="pvk a c")
    assert book.push(OFF, 20260102000000)
    assert [each.source for each in book.history() if each.is_in_effect] == ["pvk a c", "operator"]
    assert mine in book.history()


def test_what_an_operator_withdrew_does_not_come_back_by_a_repeat(book: Book) -> None:
    """A newer word of the citizen brings it back."""
    assert book.push(ON, 20260101000000)
    (made,) = book.history()
    book.withdraw(made.key)
    assert not book.push(ON, 20260101000000)
    assert book.in_effect() == []
    assert book.push(ON, None)


def test_a_definition_that_means_something_else_now_is_replaced(book: Book) -> None:
    """With the next push, even if it is a repeat."""
    assert book.push(ON, 20260101000000)
    assert book.push(ON, 20260101000000, RESERVATION)
    assert book.in_effect() == [(RESERVATION, "personnel")]
    assert book.push(OFF, 20260102000000)
    assert book.in_effect() == []


def test_pushes_for_a_merged_id_are_about_the_same_person(book: Book) -> None:
    """The other system may not know of the merge."""
    assert book.push(ON, 20260101000000, pid=BO)
    book.do(patients.merge, DOMAIN, BO, ANNA)
    assert book.push(OFF, 20260102000000, pid=ANNA)
    assert not book.push(ON, 20260101000001, pid=BO)
    assert book.push(ON, 20260103000000, pid=BO)
    assert book.in_effect(ANNA) == [(BLOCK, "personnel")]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-11", 20260310230000),
        ("2026-07-11", 20260710220000),
        ("2026-03-11T09:45", 20260311084500),
        ("2026-03-11T09:45:30Z", 20260311094530),
        ("2026-03-11T09:45:30.1234567+02:00", 20260311074530),
    ],
)
def test_times_are_read_as_norwegian_unless_they_say_otherwise(text: str, utc: int) -> None:
    """A day begins at midnight in Oslo."""
    assert privacy.read_time(text) == utc


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "2026-03-11T25:00", "0001-01-01", "9999-12-31T23:59-23:59"]
)
def test_what_is_no_time_is_refused_without_quoting_it(text: str) -> None:
    """In a sentence."""
    with pytest.raises(DataTypeError) as caught:
        privacy.read_time(text)
    assert str(caught.value).startswith("A time is written as")


def test_nothing_personal_is_in_an_error_or_a_repr(book: Book) -> None:
    """Both end in logs."""
    made = book.make(ANNA, BLOCK, f"person:{PERSON}")
    assert PERSON not in repr(made)
    with pytest.raises(RegistryFailure) as caught:
        book.make(ANNA, BLOCK, "person:17855599121", document=OTHERS)
    said = str(caught.value) + repr(caught.value.errors)
    assert not any(each in said for each in ("178555", "298446", OTHERS))


def test_the_kinds_are_those_of_the_schema() -> None:
    """Each number has its line."""
    assert set(privacy.KINDS) == {schema.BLOCK, schema.REFUSAL, schema.RESERVATION, schema.RELEASE}
