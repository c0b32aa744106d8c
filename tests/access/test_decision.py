"""The decision about one patient at one moment: days in Norway, merged ids, settings, releases, time limits.

Which rule lets whom see which codes is test_matrix.py's to ask, from the page. Here are the edges of it: the
second at which a birthday begins, the second of a release, the day of a limit, whom a setting is against and
what it is about. At the end the statement of a query is held against the reasons in words, over made-up
documents and settings of every mix.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from sqlalchemy import and_, case, literal_column, select, true

from tests import postgres
from tests.access import people
from tests.access.people import (
    ACP,
    ENTERPRISE,
    HPR,
    NOON,
    ORGANISATION,
    OTHER_HPR,
    OTHER_ORGANISATION,
    caller,
    person,
    pid,
    turning,
)
from tests.metadata import samples
from tests.registry.conftest import Desk
from xds.access import privacy
from xds.access.decision import Decision, Entry, day_of, decide, reasons
from xds.access.known import Known, Patients, Setting
from xds.access.rule_table import Relation, RuleTable, national_rules
from xds.access.visibility import DOCUMENT_TYPES, visibility_of
from xds.metadata.confidentiality import LEVELS, REFUSALS, Restriction
from xds.metadata.model import Code, Slot
from xds.metadata.validation import submission
from xds.registry.facets import values as facet_values
from xds.registry.prepare import Reading
from xds.registry.registry import Options
from xds.registry.view import EVERYTHING
from xds.security.caller import Caller, CallerKind, Identifier, Unit
from xds.store.codes import Codes
from xds.store.database import Database
from xds.store.keys import uuid_urn
from xds.store.schema import BLOCK, REFUSAL, RELEASE, RESERVATION, document_entry

TEST = {"environment": "test", "youth": "none", "time_limits": "off"}
TREAT = Code("TREAT", "2.16.840.1.113883.1.11.20448")
ETREAT = Code("ETREAT", "2.16.840.1.113883.1.11.20448")
CITIZEN = Code("13", "1.0.14265.1")

ADULT, CHILD, YOUTH = (person(turning(years)) for years in (40, 5, 14))
SOMEBODY = person(turning(50))
#: Another number of the adult's, where they were merged.
MERGED = person(turning(40), 5)
DOCUMENT, OTHER_DOCUMENT = b"d" * 16, b"e" * 16

#: A second before NOON, NOON and a second after, as the node writes times.
BEFORE, NOW, AFTER = 20260615095959, 20260615100000, 20260615100001


def _own(patient: Identifier = ADULT, **more: Any) -> Caller:
    return caller(CallerKind.CITIZEN, patient, patient, **({"purpose": CITIZEN} | more))


def _parent(patient: Identifier = CHILD, **more: Any) -> Caller:
    return caller(
        CallerKind.REPRESENTATIVE, SOMEBODY, patient, **({"purpose": CITIZEN, "acp": ACP + "1"} | more)
    )


def _personnel(patient: Identifier = ADULT, **more: Any) -> Caller:
    return caller(CallerKind.PERSONNEL, SOMEBODY, patient, **({"purpose": TREAT} | more))


#: Whoever may see something -> their ticket, and how the node is set for it.
WHO: Mapping[str, tuple[Caller, Mapping[str, str]]] = {
    "self-16": (_own(), {}),
    "self-youth-own": (_own(YOUTH), {"youth": "own"}),
    "parent-child": (_parent(), {}),
    "consent": (_parent(ADULT, acp=ACP + "2"), {}),
    "unable": (_parent(ADULT, acp=ACP + "3"), {}),
    "personnel-self": (caller(CallerKind.PERSONNEL, ADULT, ADULT, purpose=TREAT), {}),
    "personnel": (_personnel(), {}),
    "personnel-consent": (_personnel(acp=ACP + "5"), {}),
    "personnel-emergency": (_personnel(purpose=ETREAT), {}),
    "personnel-emergency-policy": (_personnel(acp=ACP + "7"), {}),
    "machine": (caller(CallerKind.MACHINE, None, ADULT), {}),
}


def _known(patient: Identifier, *settings: Setting, **more: Any) -> Known:
    return Known(frozenset({pid(patient)}), (1,), settings, **more)


def _decide(
    who: Caller, *settings: Setting, moment: datetime = NOON, known: Known | None = None, **options: str
) -> Decision:
    assert who.patient is not None
    known = known or _known(who.patient, *settings)
    return decide(who, known, national_rules(), moment, TEST | options)


def _rule(decision: Decision) -> str:
    return "" if decision.rule is None else decision.rule.id


def _entry(restrictions: Restriction = Restriction.N, **more: Any) -> Entry:
    values: dict[str, Any] = {
        "restrictions": restrictions,
        "release_time": None,
        "logical_uuid": DOCUMENT,
        "organisations": frozenset({ORGANISATION}),
        "class_code": "A00-1",
        "service_start": 20260101000000,
    }
    return Entry(**(values | more))


def _outcome(decision: Decision, entry: Entry) -> str:
    found = reasons(decision, entry)
    return "hidden" if any(each.hides for each in found) else "masked" if found else "shown"


def _why(decision: Decision, entry: Entry) -> list[str]:
    return [each.what for each in reasons(decision, entry)]


def test_the_callers_of_these_tests_are_who_they_are_taken_for() -> None:
    """One for each rule that shows something."""
    for name, (who, options) in WHO.items():
        assert _rule(_decide(who, **options)) == name
    assert set(WHO) == {rule.id for rule in national_rules().rules if not rule.deny}


# ---- the day in Norway

#: A birthday, and the second in UTC at which it begins: winter, summer, and the nights when clocks change.
MIDNIGHTS = {
    "winter": (date(2026, 1, 15), datetime(2026, 1, 14, 23, tzinfo=UTC)),
    "summer": (date(2026, 7, 15), datetime(2026, 7, 14, 22, tzinfo=UTC)),
    "new year": (date(2026, 1, 1), datetime(2025, 12, 31, 23, tzinfo=UTC)),
    "to summer time": (date(2026, 3, 29), datetime(2026, 3, 28, 23, tzinfo=UTC)),
    "the day after": (date(2026, 3, 30), datetime(2026, 3, 29, 22, tzinfo=UTC)),
    "to winter time": (date(2026, 10, 25), datetime(2026, 10, 24, 22, tzinfo=UTC)),
    "the day after that": (date(2026, 10, 26), datetime(2026, 10, 25, 23, tzinfo=UTC)),
}
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("name", MIDNIGHTS)
def test_a_birthday_begins_at_midnight_in_oslo(name: str) -> None:
    """To the second, whatever the time is in UTC: at 12 for parents, at 16 for oneself, at 18 for others."""
    birthday, midnight = MIDNIGHTS[name]
    assert day_of(midnight - SECOND) == birthday - timedelta(days=1)
    assert day_of(midnight) == birthday
    twelve, sixteen, eighteen = (
        person(birthday.replace(year=birthday.year - years)) for years in (12, 16, 18)
    )
    for who, before, after in (
        (_parent(twelve), "parent-child", "parent-12"),
        (_own(twelve), "self-child", "self-youth"),
        (_own(sixteen), "self-youth", "self-16"),
        (_parent(sixteen, acp=ACP + "2"), "", "consent"),
        (_parent(ADULT, acp=ACP + "3", person=eighteen), "", "unable"),
    ):
        assert _rule(_decide(who, moment=midnight - SECOND)) == before
        assert _rule(_decide(who, moment=midnight)) == after
        assert _rule(_decide(who, moment=midnight + timedelta(days=1) - SECOND)) == after


@pytest.mark.parametrize("hours", [-11, 0, 2, 9, 14])
def test_the_zone_of_the_clock_changes_nothing(hours: int) -> None:
    """A moment is the same one in Tokyo."""
    birthday, midnight = MIDNIGHTS["summer"]
    who = _own(person(birthday.replace(year=2010)))
    zone = timezone(timedelta(hours=hours))
    assert _rule(_decide(who, moment=(midnight - SECOND).astimezone(zone))) == "self-youth"
    later = _decide(who, moment=midnight.astimezone(zone))
    assert (_rule(later), later.now) == ("self-16", 20260714220000)


#: Birth date, age, and the day on which the years are complete.
LEAP_DAYS = [
    (date(2012, 2, 29), 12, date(2024, 2, 29)),
    (date(2012, 2, 29), 16, date(2028, 2, 29)),
    (date(2012, 2, 29), 18, date(2030, 3, 1)),
    (date(2008, 2, 29), 18, date(2026, 3, 1)),
    (date(2012, 2, 28), 18, date(2030, 2, 28)),
    (date(2012, 3, 1), 16, date(2028, 3, 1)),
]


@pytest.mark.parametrize(("born", "years", "day"), LEAP_DAYS)
def test_who_is_born_on_29_february_is_older_on_1_march(born: date, years: int, day: date) -> None:
    """In years without that day; in leap years, in which 12 and 16 are reached, on the day itself."""
    who, before, after = {
        12: (_parent(person(born)), "parent-child", "parent-12"),
        16: (_own(person(born)), "self-youth", "self-16"),
        18: (_parent(person(date(1950, 1, 1)), acp=ACP + "3", person=person(born)), "", "unable"),
    }[years]
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert _rule(_decide(who, moment=noon - timedelta(days=1))) == before
    assert _rule(_decide(who, moment=noon)) == after


# ---- whose record it is


def test_a_refusal_by_age_names_its_rule() -> None:
    """The answer of the gate says which: the youth's own, the child's own, the parent's."""
    cases = [(_own(CHILD), "self-child"), (_own(YOUTH), "self-youth"), (_parent(YOUTH), "parent-12")]
    for who, rule in cases:
        decision = _decide(who)
        assert (_rule(decision), decision.permitted) == (rule, False)
        assert _why(decision, _entry()) == ["denied"]
    assert _rule(_decide(_own(YOUTH), youth="own")) == "self-youth-own"
    assert _rule(_decide(_own(YOUTH), youth="perhaps")) == ""


def test_without_a_rule_nothing_is_there() -> None:
    """And it is said so."""
    decision = _decide(_own(purpose=TREAT))
    assert not decision.permitted
    assert _why(decision, _entry()) == ["no-rule"]


@pytest.mark.parametrize(
    ("kind", "purpose", "rule"),
    [(CallerKind.CITIZEN, CITIZEN, "self-16"), (CallerKind.PERSONNEL, TREAT, "personnel-self")],
)
def test_a_merged_id_is_the_same_person(kind: CallerKind, purpose: Code, rule: str) -> None:
    """Whichever of the ids the caller goes by, and whichever the ticket is for."""
    known = Known(frozenset({pid(ADULT), pid(MERGED)}), (1, 2))
    for own, patient in product((ADULT, MERGED), repeat=2):
        who = caller(kind, own, patient, purpose=purpose)
        assert _rule(_decide(who, known=known)) == rule
        # Before the merge they were two.
        apart = _rule(_decide(who, known=_known(patient)))
        assert (apart == rule) is (own == patient)


def test_nobody_represents_themselves() -> None:
    """Not by an id that was merged either."""
    known = Known(frozenset({pid(ADULT), pid(SOMEBODY)}), (1, 2))
    for acp in "123":
        who = _parent(ADULT, acp=ACP + acp)
        assert _decide(who, known=known).situation.relation is Relation.UNKNOWN
        assert not _decide(who, known=known).permitted


def test_a_number_of_another_authority_is_another_number() -> None:
    """The digits alone make nobody the patient; nor do they tell an age."""
    strange = replace(ADULT, authority="1.2.3")
    decision = _decide(caller(CallerKind.CITIZEN, strange, ADULT, purpose=CITIZEN))
    assert decision.situation.relation is Relation.UNKNOWN
    assert decision.situation.caller_age is None


@pytest.mark.parametrize("kind", [each for each in CallerKind if each is not CallerKind.MACHINE])
def test_people_need_a_number_and_a_patient(kind: CallerKind) -> None:
    """Nobody can tell what somebody without either is to the patient."""
    purpose = TREAT if kind is CallerKind.PERSONNEL else CITIZEN
    for acp in ("", *(ACP + each for each in "12345678")):
        nameless = caller(kind, None, ADULT, purpose=purpose, acp=acp)
        assert _rule(_decide(nameless)) == ""
        nobody = caller(kind, SOMEBODY, None, purpose=purpose, acp=acp)
        assert _rule(decide(nobody, None, national_rules(), NOON, TEST)) == ""


def test_a_machine_needs_neither() -> None:
    """What it may do, the policy says."""
    found = decide(caller(CallerKind.MACHINE, None, None), None, national_rules(), NOON, TEST)
    assert (_rule(found), found.permitted, found.settings) == ("machine", True, ())


# ---- whom a setting is against

HOSPITAL, PLACE, WARD = "310000000", "311000004", "974589095"
#: A ticket of personnel that names a legal entity, a point of care and a department.
DOCTOR = _personnel(
    hpr=HPR,
    organisation=Unit(Identifier(HOSPITAL, ENTERPRISE)),
    unit=Unit(Identifier(PLACE, ENTERPRISE)),
    department=Unit(Identifier(WARD, ENTERPRISE)),
)


@pytest.mark.parametrize(
    ("whom", "holds"),
    [
        ("personnel", True),
        (f"organisation:{HOSPITAL}", True),
        (f"organisation:{PLACE}", True),
        (f"organisation:{WARD}", True),
        (f"organisation:{OTHER_ORGANISATION}", False),
        (f"hpr:{HPR}", True),
        (f"hpr:{OTHER_HPR}", False),
        (f"hpr:{HOSPITAL}", False),
        (f"organisation:{HPR}", False),
        (f"person:{SOMEBODY.value}", True),
        (f"person:{ADULT.value}", False),
        ("person:", False),
        ("organisation:", False),
        ("hpr:", False),
        ("citizen", False),
        ("parent", False),
        ("youth", False),
        ("representative", False),
        ("block", False),
        ("", False),
    ],
)
def test_a_block_is_against_those_whom_it_names(whom: str, holds: bool) -> None:
    """By their word, their own number or one of any unit that their ticket names."""
    decision = _decide(DOCTOR, Setting(BLOCK, whom))
    assert _outcome(decision, _entry()) == ("masked" if holds else "shown")
    assert _why(decision, _entry()) == (["block"] if holds else [])


#: What a ticket of personnel leaves out, and the blocks that hold then because it might be they.
NAMELESS = Unit(None, "Sykehuset")
SILENT: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"hpr": ""}, {"hpr"}),
    ({"organisation": None, "unit": None, "department": None}, {"organisation"}),
    (
        {"organisation": NAMELESS, "unit": Unit(Identifier("", ENTERPRISE)), "department": None},
        {"organisation"},
    ),
    # One unit is enough to say where somebody works.
    ({"organisation": None, "unit": None}, set()),
    ({"hpr": "", "organisation": None, "unit": None, "department": None}, {"hpr", "organisation"}),
]


@pytest.mark.parametrize(("change", "meant"), SILENT)
def test_who_does_not_say_who_they_are_may_be_the_one_who_is_meant(
    change: Mapping[str, Any], meant: set[str]
) -> None:
    """A ticket without an HPR number meets every block against one; so it is with organisations."""
    numbers = {"hpr": OTHER_HPR, "organisation": OTHER_ORGANISATION, "person": MERGED.value}
    for kind, number in numbers.items():
        decision = _decide(replace(DOCTOR, **change), Setting(BLOCK, f"{kind}:{number}"))
        assert _outcome(decision, _entry()) == ("masked" if kind in meant else "shown"), kind


#: The words of refusals -> the rules for which they hold.
REFUSED = {
    "citizen": {"self-16", "self-youth-own", "parent-child", "consent", "unable", "personnel-self"},
    "parent": {"parent-child", "unable"},
    "youth": {"self-youth-own"},
    "representative": {"consent", "unable"},
    "personnel": {"personnel"},
    "everybody": set(),
}


@pytest.mark.parametrize("whom", REFUSED)
def test_a_refusal_is_against_those_whom_its_word_means(whom: str) -> None:
    """And against no others."""
    for name, (who, options) in WHO.items():
        decision = _decide(who, Setting(REFUSAL, whom), **options)
        assert (_outcome(decision, _entry()) == "hidden") is (name in REFUSED[whom]), name


#: The rules to which no setting of the patient is an obstacle.
OPENING = {"personnel-consent", "personnel-emergency", "personnel-emergency-policy", "machine"}


@pytest.mark.parametrize("name", WHO)
@pytest.mark.parametrize(("kind", "outcome"), [(BLOCK, "masked"), (REFUSAL, "hidden")])
def test_a_person_is_meant_in_whatever_role_they_ask(name: str, kind: int, outcome: str) -> None:
    """As a parent, a representative or personnel; where a rule opens what is closed, it opens this too."""
    who, options = WHO[name]
    number = who.person.value if who.person is not None else SOMEBODY.value
    found = _outcome(_decide(who, Setting(kind, f"person:{number}"), **options), _entry())
    assert found == ("shown" if name in OPENING else outcome)
    other = _decide(who, Setting(kind, f"person:{person(turning(30)).value}"), **options)
    assert _outcome(other, _entry()) == "shown"


def test_blocks_of_personnel_are_not_against_the_patient_who_is_one() -> None:
    """In their own record they are a citizen: by no number of theirs but their own."""
    who, _ = WHO["personnel-self"]
    words = ("personnel", f"hpr:{HPR}", f"organisation:{ORGANISATION}")
    assert _decide(who, *(Setting(BLOCK, each) for each in words)).settings == ()
    assert _outcome(_decide(who, Setting(RESERVATION, "personnel")), _entry()) == "shown"
    assert _outcome(_decide(who, Setting(REFUSAL, "citizen")), _entry()) == "hidden"


@pytest.mark.parametrize("name", WHO)
def test_a_reservation_is_against_personnel_without_more_right(name: str) -> None:
    """Everything is hidden from them; consent to blocked data and an emergency lift it."""
    who, options = WHO[name]
    decision = _decide(who, Setting(RESERVATION, "personnel"), **options)
    assert _outcome(decision, _entry()) == ("hidden" if name == "personnel" else "shown")
    assert _why(decision, _entry()) == (["reservation"] if name == "personnel" else [])


# ---- what a setting is about


@pytest.mark.parametrize(
    ("about", "entry", "holds"),
    [
        ({}, {}, True),
        ({}, {"logical_uuid": OTHER_DOCUMENT, "organisations": frozenset()}, True),
        ({"document": DOCUMENT}, {}, True),
        ({"document": DOCUMENT}, {"logical_uuid": OTHER_DOCUMENT}, False),
        ({"organisation": ORGANISATION}, {}, True),
        ({"organisation": ORGANISATION}, {"organisations": frozenset()}, False),
        ({"organisation": ORGANISATION}, {"organisations": frozenset({OTHER_ORGANISATION})}, False),
        ({"organisation": ORGANISATION}, {"organisations": {OTHER_ORGANISATION, ORGANISATION}}, True),
        ({"organisation": "31000000"}, {}, False),
    ],
)
def test_a_setting_holds_for_what_it_is_about(
    about: Mapping[str, Any], entry: Mapping[str, Any], holds: bool
) -> None:
    """Everything, one document in all its versions, or what one organisation has written."""
    one = _entry(**entry)
    masked = _decide(DOCTOR, Setting(BLOCK, "personnel", **about))
    hidden = _decide(_own(), Setting(REFUSAL, "citizen", **about))
    released = _decide(_own(), Setting(RELEASE, "citizen", release_time=BEFORE, **about))
    assert _outcome(masked, one) == ("masked" if holds else "shown")
    assert _outcome(hidden, one) == ("hidden" if holds else "shown")
    delayed = replace(one, restrictions=Restriction.NORU)
    assert _outcome(released, delayed) == ("shown" if holds else "hidden")


def test_all_that_stands_in_the_way_is_said() -> None:
    """What hides counts before what masks."""
    settings = [Setting(BLOCK, "personnel"), Setting(BLOCK, f"hpr:{HPR}"), Setting(RESERVATION, "personnel")]
    decision = _decide(DOCTOR, *settings)
    entry = _entry(Restriction.NORS | Restriction.UNKNOWN)
    assert sorted(_why(decision, entry)) == ["NORS", "UNKNOWN", "block", "block", "reservation"]
    assert _outcome(decision, entry) == "hidden"


# ---- NORN_ALL


@pytest.mark.parametrize("name", WHO)
def test_one_document_that_refuses_all_refuses_all_to_citizens(name: str) -> None:
    """Whoever asks by the right of a citizen; the document that is asked about need not be that one."""
    who, options = WHO[name]
    assert who.patient is not None
    decision = _decide(who, known=_known(who.patient, all_refused=True), **options)
    citizen = name in REFUSED["citizen"]
    assert decision.all_refused is citizen
    assert _why(decision, _entry()) == (["all-refused"] if citizen else [])


# ---- NORU


def _release(time: int | None, **about: Any) -> Setting:
    return Setting(RELEASE, "citizen", release_time=time, **about)


@pytest.mark.parametrize(
    ("slot", "settings", "shown"),
    [
        (None, [], False),
        (BEFORE, [], True),
        (NOW, [], True),
        (AFTER, [], False),
        (None, [_release(BEFORE)], True),
        (None, [_release(NOW)], True),
        (None, [_release(AFTER)], False),
        (None, [_release(None)], False),
        (None, [_release(AFTER), _release(BEFORE)], True),
        # A document that says its own time is not released sooner by a setting, nor kept longer.
        (AFTER, [_release(BEFORE)], False),
        (BEFORE, [_release(AFTER)], True),
        (None, [_release(BEFORE, document=DOCUMENT)], True),
        (None, [_release(BEFORE, document=OTHER_DOCUMENT)], False),
        (None, [_release(BEFORE, document=OTHER_DOCUMENT), _release(BEFORE, document=DOCUMENT)], True),
        (None, [_release(BEFORE, organisation=ORGANISATION)], True),
        (None, [_release(BEFORE, organisation=OTHER_ORGANISATION)], False),
        # Only a release releases.
        (None, [Setting(BLOCK, "personnel", release_time=BEFORE)], False),
    ],
)
def test_delayed_access_ends_at_its_second(slot: int | None, settings: list[Setting], shown: bool) -> None:
    """By the document's time or, where it has none, by the patient's setting; by neither, never."""
    entry = _entry(Restriction.NORU, release_time=slot)
    for name in sorted(REFUSED["citizen"]):
        who, options = WHO[name]
        decision = _decide(who, *settings, **options)
        assert _outcome(decision, entry) == ("shown" if shown else "hidden"), name
        assert _why(decision, entry) == ([] if shown else ["delayed"]), name
    for name in sorted(set(WHO) - REFUSED["citizen"]):
        who, options = WHO[name]
        unblocked = [each for each in settings if each.kind != BLOCK]
        assert _outcome(_decide(who, *unblocked, **options), entry) == "shown", name


def test_a_release_opens_nothing_but_what_is_delayed() -> None:
    """Nor does a time on a document without NORU hide it."""
    released = _decide(_own(), _release(BEFORE))
    for code in (Restriction.NORN_EPO, Restriction.V, Restriction.UNKNOWN, Restriction.NORU | Restriction.V):
        assert _outcome(released, _entry(code)) == "hidden"
    assert _outcome(_decide(_own()), _entry(release_time=AFTER)) == "shown"
    refused = _decide(_own(), _release(BEFORE), Setting(REFUSAL, "citizen"))
    assert _why(refused, _entry(Restriction.NORU)) == ["refusal"]


# ---- time limits

LIMITED = {"personnel", "personnel-consent", "personnel-emergency", "personnel-emergency-policy"}


@pytest.mark.parametrize(
    ("group", "start", "shown"),
    [
        ("A00-1", 19000101000000, True),
        ("A00-1", None, True),
        ("C00-1", 20250615000000, True),
        ("C00-1", 20250614235959, False),
        ("I00-1", 20250615000000, True),
        ("I00-1", 20250614235959, False),
        ("D00-1", 20210615000000, True),
        ("D00-1", 20210614235959, False),
        ("E00-1", 20210615000000, True),
        ("E00-1", 20210614235959, False),
        ("E00-1", 20991231000000, True),
        ("C00-1", None, False),
        ("B00-1", 20260615000000, False),
        ("A03-2", 20260615000000, False),
        ("", 20260615000000, False),
    ],
)
def test_time_limits_count_from_the_day(group: str, start: int | None, shown: bool) -> None:
    """To the second in UTC; a class without a limit is not in the regulation, so it is not shown."""
    entry = _entry(class_code=group, service_start=start)
    for name, (who, options) in WHO.items():
        off, on = (_decide(who, **options, time_limits=each) for each in ("off", "kjernejournal"))
        assert _outcome(off, entry) == "shown"
        assert (off.oldest, on.oldest is not None) == (None, name in LIMITED)
        assert _outcome(on, entry) == ("shown" if shown or name not in LIMITED else "hidden"), name
        assert _why(on, entry) == ([] if shown or name not in LIMITED else ["time-limit"]), name


@pytest.mark.parametrize(
    ("moment", "one", "five"),
    [
        (datetime(2026, 6, 14, 21, 59, 59, tzinfo=UTC), 20250614000000, 20210614000000),
        (datetime(2026, 6, 14, 22, 0, 0, tzinfo=UTC), 20250615000000, 20210615000000),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 20270301000000, 20230301000000),
        (datetime(2028, 2, 28, 12, tzinfo=UTC), 20270228000000, 20230228000000),
        (datetime(2028, 3, 1, 12, tzinfo=UTC), 20270301000000, 20230301000000),
        (datetime(2029, 3, 1, 12, tzinfo=UTC), 20280301000000, 20240301000000),
        (datetime(2029, 2, 28, 12, tzinfo=UTC), 20280228000000, 20240228000000),
    ],
)
def test_a_year_ago_is_a_day_in_norway(moment: datetime, one: int, five: int) -> None:
    """A year before 29 February is 1 March."""
    found = _decide(_personnel(), moment=moment, time_limits="kjernejournal").oldest
    assert found == {"A00-1": 0, "C00-1": one, "D00-1": five, "E00-1": five, "I00-1": one}


def test_limits_that_do_not_hold_are_not_counted() -> None:
    """The switch has two positions, and anything but the one leaves it off; no class at all shows nothing."""
    assert _decide(_personnel(), time_limits="perhaps").oldest is None
    rules = RuleTable(national_rules().rules, {})
    who = _personnel()
    decision = decide(who, _known(ADULT), rules, NOON, TEST | {"time_limits": "kjernejournal"})
    assert _outcome(decision, _entry()) == "hidden"


# ---- the statement says what the reasons say

RELEASE_SLOT = "urn:no:xds:releaseTime"
CONFIDENTIALITY = [
    *(Code(each, LEVELS) for each in "ULMNRV"),
    *(Code(each, REFUSALS) for each in Restriction.__members__ if each.startswith(("NORN_", "NORU", "NORS"))),
    Code("N", REFUSALS),
    Code("X", "1.2.3"),
]
ORGANISATIONS = (ORGANISATION, OTHER_ORGANISATION)
DOCUMENTS = 150
ROUNDS = 25


def _institution(number: str) -> str:
    return f"Eksempel^^^^^&{ENTERPRISE}&ISO^^^^{number}"


class Mixture:
    """A registry with one patient, whose documents are of every mix; the same dice each time."""

    def __init__(self, url: str) -> None:
        self.dice = random.Random(9603)
        self.database = Database(url)
        self.database.migrate()
        reading = Reading(release_slot=RELEASE_SLOT)
        self.desk = Desk(self.database, Options(patients="open", synthetic=True, reading=reading))
        self.codes = Codes(self.database)
        self.patients = Patients(self.database)
        entries = [self._document(number) for number in range(DOCUMENTS)]
        the_set = samples.submission_set(patient_id=pid(ADULT))
        registry = self.desk.registry
        prepared = registry.prepare(submission(samples.submission(*entries, of=the_set)))
        assert self.database.transact(lambda c: registry.register(c, prepared, EVERYTHING))

    def _document(self, number: int) -> Any:
        dice = self.dice
        codes = dice.sample(CONFIDENTIALITY, dice.choice((0, 1, 1, 1, 2)))
        if dice.random() < 0.3:
            codes = [Code("NORU", REFUSALS), Code("N", LEVELS)]
        slot = dice.choice((None, None, BEFORE, NOW, AFTER))
        written_by = dice.sample(ORGANISATIONS, dice.choice((0, 1, 1, 2)))
        group = dice.choice(("A00-1", "B00-1", "C00-1", "D00-1", "E00-1", "I00-1"))
        start = dice.choice((None, "2026", "20250615", "20250614235959", "20210615", "20210614", "19990101"))
        return samples.document_entry(
            entry_uuid=uuid_urn(number.to_bytes(16, "big")),
            unique_id=f"2.16.578.1.12.4.5.480.3.{number}",
            patient_id=pid(ADULT),
            source_patient_id=pid(ADULT),
            confidentiality_codes=tuple(codes),
            class_code=Code(group, DOCUMENT_TYPES),
            service_start_time=start,
            service_stop_time=None,
            extra_slots=() if slot is None else (Slot(RELEASE_SLOT, (str(slot),)),),
            authors=(replace(samples.AUTHOR, institutions=tuple(map(_institution, written_by))),),
        )

    def settings(self) -> list[int]:
        """Some settings of any kind, against anybody, about anything, made now; their keys."""
        return [key for _ in range(self.dice.randrange(5)) if (key := self._setting()) is not None]

    def _setting(self) -> int | None:
        kind = self.dice.choice(list(privacy.KINDS))
        means = privacy.KINDS[kind]
        numbers = {
            "organisation": self.dice.choice(ORGANISATIONS),
            "hpr": self.dice.choice((HPR, OTHER_HPR)),
            "person": self.dice.choice((SOMEBODY, ADULT, MERGED)).value,
        }
        whom = self.dice.choice([*means.words, *(f"{each}:{numbers[each]}" for each in means.numbers)])
        about: dict[str, Any] = {}
        if means.parts:
            document = uuid_urn(self.dice.randrange(DOCUMENTS).to_bytes(16, "big"))
            about = self.dice.choice(
                ({}, {"document": document}, {"organisation": self.dice.choice(ORGANISATIONS)})
            )
        if means.timed:
            about = about | {"release_time": self.dice.choice((BEFORE, NOW, AFTER))}
        made = self.database.transact(
            lambda c: privacy.make(c, self.desk.registry.domain, pid(ADULT), kind, whom, by="kari", **about)
        )
        return made.key

    def withdraw(self, settings: list[int]) -> None:
        """They stay in the table, and hold no longer."""
        for key in settings:
            self.database.transact(lambda c, key=key: privacy.withdraw(c, key, by="kari"))

    def differences(self, name: str, options: Mapping[str, str]) -> tuple[list[str], set[str]]:
        """The documents of which the statement says something else than the reasons; and what there was."""
        who, more = WHO[name]
        assert who.patient is not None
        known = self.patients.look(ADULT)
        assert known.all_refused
        # A child's or a youth's documents would be of the same mixes. As if NORN_ALL had come just after the
        # look, because it leaves nothing to compare.
        known = replace(known, pids=frozenset({pid(who.patient)}), all_refused=False)
        decision = decide(who, known, national_rules(), NOON, TEST | more | options)
        assert _rule(decision) == name
        visibility = visibility_of(decision, known.keys, self.codes)
        rows, wrong, seen = self._rows(visibility), [], set()
        for row in rows:
            entry = Entry(
                Restriction(row.restrictions),
                row.release_time,
                bytes(row.logical_uuid),
                frozenset(facet_values(row.facets, "o")),
                self.codes.word(row.class_code).text,
                row.service_start,
            )
            said = "shown" if row.opened else "masked" if row.listed else "hidden"
            seen.add(said)
            if said != _outcome(decision, entry):
                wrong.append(f"{name}, {options}: {entry}: statement {said}, reasons {_why(decision, entry)}")
        assert len(rows) == DOCUMENTS
        return wrong, seen

    def _rows(self, visibility: Any) -> list[Any]:
        listed, opened = (
            case((and_(true(), *conditions), literal_column("1")), else_=literal_column("0"))
            for conditions in (visibility.listed(document_entry), visibility.opened(document_entry))
        )
        statement = select(document_entry, listed.label("listed"), opened.label("opened"))
        with self.database.read() as connection:
            return list(connection.execute(statement, dict(visibility.values)).all())


@pytest.fixture
def mixture(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixture]:
    """On each engine."""
    if engine == "postgresql":
        url = postgres.new_database()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('mixture')}/xds.db"
    made = Mixture(url)
    yield made
    made.database.close()
    if engine == "postgresql":
        postgres.drop_database(url)


def test_the_statement_and_the_reasons_never_differ(mixture: Mixture) -> None:
    """Over documents and settings of every mix, with and without time limits, for each rule."""
    wrong: list[str] = []
    outcomes: set[str] = set()
    compared = 0
    for _ in range(ROUNDS):
        made = mixture.settings()
        for name in WHO:
            limits = mixture.dice.choice(("off", "kjernejournal"))
            differing, seen = mixture.differences(name, {"time_limits": limits})
            wrong += differing
            outcomes |= seen
            compared += DOCUMENTS
        mixture.withdraw(made)
    assert not wrong, "\n".join([f"{len(wrong)} of {compared}", *wrong[:10]])
    assert outcomes == {"shown", "masked", "hidden"}
    assert mixture.desk.count("privacy_setting") > ROUNDS


@pytest.mark.parametrize(
    ("whom", "missing"), [("hpr:1", {"hpr": ""}), ("organisation:310000000", {"organisation": None})]
)
def test_a_caller_without_a_number_may_be_the_one_who_is_meant(whom: str, missing: dict[str, Any]):
    """Unknown means no: a ticket that says less must not open more."""
    patient, doctor = people.person(people.turning(50), 3), people.person(people.turning(40))
    who = people.caller(
        CallerKind.PERSONNEL,
        doctor,
        patient,
        purpose=Code("TREAT", "2.16.840.1.113883.1.11.20448"),
        **missing,
    )
    known = Known(frozenset({people.pid(patient)}), (1,), (Setting(BLOCK, whom),))
    decided = decide(who, known, national_rules(), people.NOON, {"environment": "test"})
    assert [each.whom for each in decided.settings] == [whom]


def test_what_refuses_all_hides_itself_when_it_came_after_the_look():
    """The patient was looked up a moment before such a document was registered."""
    citizen = people.person(people.turning(50))
    who = people.caller(CallerKind.CITIZEN, citizen, citizen, purpose=Code("13", "1.0.14265.1"))
    known = Known(frozenset({people.pid(citizen)}), (1,))
    decided = decide(who, known, national_rules(), people.NOON, {"environment": "test"})
    entry = Entry(Restriction.NORN_ALL, None, b"", frozenset(), "A00-1", None)
    assert [each.what for each in reasons(decided, entry)] == ["NORN_ALL"]
