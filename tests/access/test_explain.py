"""The decision in words: every state and reason, in both languages, beside what the gate really lets be seen.

Each explanation here is of a house (house.py) whose gate was asked too, so the words are held against the
answers of a query. The tables of words must be complete: whatever a rule, a setting or a criterion can say
has its words in Norwegian and in English.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.access.house import (
    ANNA,
    BO,
    CREATING,
    D_NUMBER,
    HL7,
    NOBODY,
    NORN_ALL,
    NORN_ANG,
    NORS,
    NORU,
    RELEASE,
    House,
    N,
    citizen,
    doctor,
    machine,
)
from tests.access.people import ACP, ORGANISATION, person, pid, turning
from tests.metadata import samples as s
from tests.registry.updates import SET, message, send, status
from xds.access import decision, explain, privacy
from xds.access.decision import Reason
from xds.access.explain import CRITERIA, RELATIONS, STATES, Disagreement, Explanation, words_for
from xds.access.policy import Action
from xds.access.rule_table import Relation, Rule, Situation, national_rules
from xds.errors import RegistryFailure
from xds.metadata.confidentiality import LEVELS, Restriction
from xds.metadata.model import Code, Slot
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store import schema
from xds.store.database import Database

UNTIL = "20300101000000"
RULES = {rule.id: rule for rule in national_rules().rules}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    yield House(database)
    database.close()


def told(house: House, who: Caller, patient: Identifier = ANNA) -> Explanation:
    """What is said of a caller and a patient; never into the log."""
    return explain.explain(
        house.database, house.policies, national_rules(), house.options, who, patient, house.now
    )


def why(house: House, who: Caller, patient: Identifier = ANNA) -> list[tuple[str, list[str]]]:
    """The state of each document with what makes it so; the gate must show just these."""
    found = told(house, who, patient)
    states = [each.state for each in found.documents]
    try:
        listed = house.seen(who, patient)
    except RegistryFailure:
        listed = []
    assert len(listed) == len(states) - states.count("hidden")
    assert listed.count("Sperret") == states.count("masked")
    return [(each.state, [reason.what for reason in each.reasons]) for each in found.documents]


# ---- each state and reason

#: Codes of a document, and what it is: to the citizen, to personnel, and to these in an emergency.
CODES: list[tuple[tuple[Code, ...], Any, Any, Any]] = [
    ((N,), ("shown", []), ("shown", []), ("shown", [])),
    ((N, NORS), ("shown", []), ("masked", ["NORS"]), ("shown", [])),
    ((N, NORN_ANG), ("hidden", ["NORN_ANG"]), ("shown", []), ("shown", [])),
    ((Code("V", LEVELS),), ("hidden", ["V"]), ("shown", []), ("shown", [])),
    ((NORU,), ("hidden", ["delayed"]), ("shown", []), ("shown", [])),
    ((Code("x", "1.2"),), ("hidden", ["UNKNOWN"]), ("masked", ["UNKNOWN"]), ("shown", [])),
    (
        (Code("V", LEVELS), NORS, NORN_ANG, NORU, Code("x", "1.2")),
        ("hidden", ["UNKNOWN", "V", "NORN_ANG", "delayed"]),
        ("masked", ["UNKNOWN", "NORS"]),
        ("shown", []),
    ),
]


def test_each_document_has_its_state_and_everything_that_makes_it_so(house: House) -> None:
    """In the order in which they were registered, as the citizen, as personnel and in an emergency."""
    for number, (codes, *_) in enumerate(CODES):
        house.file(str(number), ANNA, *codes)
    for who, column in ((citizen(), 1), (doctor(), 2), (doctor(purpose="BTG"), 3)):
        assert why(house, who) == [row[column] for row in CODES]


def test_what_is_told_of_a_document(house: House) -> None:
    """Its id, class and codes, and whether it is approved; nothing of its content."""
    first = house.file("old news", ANNA, N, NORS)
    (found,) = told(house, doctor()).documents
    assert (found.entry_uuid, found.class_code, found.codes) == (first, "A00-1", ("N", "NORS"))
    assert found.approved
    assert {each.name for each in fields(found)} == {
        "entry_uuid", "logical_id", "class_code", "codes", "approved", "state", "reasons",
    }  # fmt: skip
    assert send(house.desk, message(status(first, source=SET), patient=pid(ANNA)))
    (found,) = told(house, doctor()).documents
    assert not found.approved


def test_the_latest_version_is_told(house: House) -> None:
    """With its own id and with what it says, which decides about those before it."""
    first = house.file("old")
    second = house.renew("new", first, 1, N, NORS)
    assert [each.entry_uuid for each in told(house, doctor()).documents] == [second]
    assert why(house, doctor()) == [("masked", ["NORS"])]


#: A setting of the patient (kind, against whom), who asks, and what a document of code N becomes.
SETTINGS = [
    (schema.BLOCK, "", doctor(), ("masked", ["block"])),
    (schema.BLOCK, "", citizen(), ("shown", [])),
    (schema.BLOCK, "", doctor(purpose="ETREAT"), ("shown", [])),
    (schema.BLOCK, f"organisation:{ORGANISATION}", doctor(), ("masked", ["block"])),
    (schema.REFUSAL, "citizen", citizen(), ("hidden", ["refusal"])),
    (schema.REFUSAL, "parent", citizen(), ("shown", [])),
    (schema.RESERVATION, "", doctor(), ("hidden", ["reservation"])),
    (schema.RESERVATION, "", doctor(acp=f"{ACP}5"), ("shown", [])),
]


def test_each_kind_of_setting_is_told(house: House) -> None:
    """While it is in effect."""
    house.file("note")
    for kind, whom, who, expected in SETTINGS:
        key = house.set(kind, whom)
        assert why(house, who) == [expected]
        house.withdraw(key)
        assert why(house, who) == [("shown", [])]


def test_several_settings_are_all_told(house: House) -> None:
    """A refusal or reservation hides whatever a block would mask."""
    first = house.file("note", ANNA, N, NORS)
    house.file("other")
    house.set(schema.BLOCK, document=first)
    house.set(schema.BLOCK, organisation=ORGANISATION)
    assert why(house, doctor()) == [("masked", ["NORS", "block", "block"]), ("masked", ["block"])]
    house.set(schema.RESERVATION)
    (one, whats), (other, _) = why(house, doctor())
    assert (one, other) == ("hidden", "hidden")
    assert sorted(whats) == ["NORS", "block", "block", "reservation"]


def test_a_release_ends_the_delay(house: House) -> None:
    """From its time on, where the document has none of its own."""
    house.file("no time", ANNA, NORU)
    house.file("own time", ANNA, NORU, extra_slots=(Slot(RELEASE, (UNTIL,)),))
    assert why(house, citizen()) == [("hidden", ["delayed"])] * 2
    house.set(schema.RELEASE, release_time=int((house.now + timedelta(hours=1)).strftime("%Y%m%d%H%M%S")))
    assert why(house, citizen()) == [("hidden", ["delayed"])] * 2
    house.now += timedelta(hours=1)
    assert why(house, citizen()) == [("shown", []), ("hidden", ["delayed"])]


def test_a_document_that_refuses_all_is_told_of_each(house: House) -> None:
    """With its code, the one that says so."""
    house.file("refuses all", ANNA, N, NORN_ALL)
    house.file("note")
    assert why(house, citizen()) == [("hidden", ["NORN_ALL", "all-refused"]), ("hidden", ["all-refused"])]
    assert why(house, doctor()) == [("shown", [])] * 2


def test_time_limits_are_told_where_they_hold(house: House) -> None:
    """By class and service start; a class that no limit names is not shown."""
    house.options["time_limits"] = "kjernejournal"
    house.file("letter")
    house.file(
        "referral, old", class_code=Code("C00-1", s.DOCUMENT_TYPES, "x"), service_start_time="20240101"
    )
    house.file("referral", class_code=Code("C00-1", s.DOCUMENT_TYPES, "x"), service_start_time="20260101")
    house.file("note", class_code=s.NOTE_GROUP)
    hidden = ("hidden", ["time-limit"])
    assert why(house, doctor()) == [("shown", []), hidden, ("shown", []), hidden]
    assert why(house, citizen()) == [("shown", [])] * 4


@pytest.mark.parametrize("scheme", [f"urn:oid:{s.DOCUMENT_TYPES}", "1.2.3.4"])
def test_time_limits_know_a_class_by_its_system(house: House, scheme: str) -> None:
    """Another name of 9602 is 9602, another system is not; words and statement say the same of both."""
    house.options["time_limits"] = "kjernejournal"
    house.file("letter", class_code=Code("A00-1", scheme, "x"))
    expected = ("hidden", ["time-limit"]) if scheme == "1.2.3.4" else ("shown", [])
    assert why(house, doctor()) == [expected]


# ---- the request as a whole


def test_who_asks_and_what_may_be_done_is_told(house: House) -> None:
    """The situation, the policy of both kinds of reading, the rule, and what other rules lack."""
    found = told(house, doctor())
    assert found.situation.relation is Relation.PERSONNEL
    assert (found.situation.purpose, found.situation.acp, found.situation.level) == ("TREAT", "0", 4)
    assert (found.situation.patient_age, found.situation.caller_age) == (40, 50)
    assert found.policies == {
        Action.READ_LIST: (True, "personnel-read"),
        Action.READ_DOCUMENT: (True, "personnel-read"),
    }
    assert found.same_patient
    assert found.decision.rule is RULES["personnel"]
    assert found.misfits == (
        ("personnel-consent", ("acp",)),
        ("personnel-emergency", ("purpose",)),
        ("personnel-emergency-policy", ("acp",)),
    )
    assert found.documents == ()


#: Who asks about Anna, the rule, and what each rule of the same relation lacks.
MISFITS = [
    (
        citizen(purpose=Code("TREAT", HL7), security_level=3),
        None,
        {
            "self-16": ["purpose", "level"],
            "self-youth": ["purpose", "patient-age", "level"],
            "self-youth-own": ["purpose", "patient-age", "level", "option"],
            "self-child": ["purpose", "patient-age", "level"],
        },
    ),
    (
        replace(citizen(BO, ANNA, acp=f"{ACP}1"), kind=CallerKind.REPRESENTATIVE),
        "parent-12",
        {"parent-child": ["patient-age"]},
    ),
    (
        doctor(role=None),
        None,
        {
            "personnel": ["role"],
            "personnel-consent": ["acp", "role"],
            "personnel-emergency": ["purpose", "role"],
            "personnel-emergency-policy": ["acp", "role"],
        },
    ),
    (citizen(BO, ANNA), None, {}),
]


def test_what_each_rule_lacks_is_told(house: House) -> None:
    """Of those for the same relation; nobody wants to hear of all others."""
    for who, rule, misfits in MISFITS:
        found = told(house, who)
        assert (found.decision.rule.id if found.decision.rule else None) == rule
        assert {other: list(criteria) for other, criteria in found.misfits} == misfits


#: Who is shown nothing whatever the document says, and why: everything that is in the way of the request.
WHOLE = [
    (doctor(BO), ["patient"]),
    (citizen(BO, BO), ["patient"]),
    (doctor(NOBODY), ["patient"]),
    (doctor(None), ["patient"]),
    (doctor(role=Code("XX", "2.16.578.1.12.4.1.1.9060")), ["policy"]),
    (doctor(purpose="CAREMGT"), ["policy"]),
    (machine(ANNA), ["policy"]),
    (citizen(BO, BO, security_level=3), ["policy", "patient"]),
    (citizen(BO, ANNA), ["no-rule"]),
    (replace(citizen(BO, ANNA, acp=f"{ACP}1"), kind=CallerKind.REPRESENTATIVE), ["denied"]),
]


def test_what_is_in_the_way_of_the_whole_request_is_told_of_each_document(house: House) -> None:
    """Instead of what the documents say: that would not help."""
    house.file("note")
    house.file("blocked", ANNA, N, NORS)
    for who, expected in WHOLE:
        assert why(house, who) == [("hidden", expected)] * 2


def test_the_policy_that_denies_is_told(house: House) -> None:
    """By its id; where none permits, none."""
    found = told(house, doctor(role=Code("XX", "2.16.578.1.12.4.1.1.9060")))
    assert found.policies[Action.READ_LIST] == (False, "personnel-roles")
    assert told(house, doctor(purpose="CAREMGT")).policies[Action.READ_DOCUMENT] == (False, "")


def test_a_merged_patient_is_the_patient_of_the_ticket(house: House) -> None:
    """By either id, with the documents of both; parted again they are two."""
    house.file("new id")
    house.file("old id", D_NUMBER)
    assert not told(house, doctor(D_NUMBER)).same_patient
    house.merge(D_NUMBER, ANNA)
    for ticket in (ANNA, D_NUMBER):
        for asked in (ANNA, D_NUMBER):
            found = told(house, doctor(ticket), asked)
            assert found.same_patient
            assert [each.state for each in found.documents] == ["shown", "shown"]
    house.unmerge(D_NUMBER)
    assert why(house, doctor(D_NUMBER)) == [("hidden", ["patient"])]


def test_a_system_may_be_about_any_patient(house: House) -> None:
    """Whoever its ticket is for."""
    house.file("note", ANNA, NORS)
    for who in (machine(None, CREATING), machine(BO, CREATING)):
        found = told(house, who)
        assert found.same_patient
        assert found.policies[Action.READ_LIST] == (True, "machine-submit")
        assert [each.state for each in found.documents] == ["shown"]


def test_a_patient_whom_nobody_knows_has_no_documents(house: House) -> None:
    """And the rest is told all the same."""
    house.file("note")
    found = told(house, doctor(NOBODY), NOBODY)
    assert (found.documents, found.same_patient) == ((), True)
    assert found.decision.rule is RULES["personnel"]


def test_it_is_told_as_of_a_moment(house: House) -> None:
    """A year ago the youth of today was fifteen."""
    young = person(turning(16))
    house.file("note", young)
    assert told(house, citizen(young, young), young).decision.rule is RULES["self-16"]
    house.now -= timedelta(days=30)
    found = told(house, citizen(young, young), young)
    assert found.decision.rule is RULES["self-youth"]
    assert [each.reasons for each in found.documents] == [(Reason(True, "denied"),)]


def test_a_statement_that_says_something_else_is_not_explained_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is taken to be right."""
    house.file("note", ANNA, NORS)
    monkeypatch.setattr(explain, "reasons", lambda *_: [])
    with pytest.raises(Disagreement):
        told(house, doctor())


def test_nothing_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Not even that an emergency would open something: nobody has opened it."""
    caplog.set_level(logging.DEBUG, "xds")
    house.file("note", ANNA, NORS)
    caplog.clear()
    assert told(house, doctor(purpose="BTG")).decision.rule is RULES["personnel-emergency"]
    told(house, doctor(BO))
    assert [each for each in caplog.records if each.name.startswith("xds")] == []


# ---- the words

#: Everything that a decision can give as the reason of a state.
SAID = {
    each.name or ""
    for rule in national_rules().rules
    for each in rule.hides | rule.masks | rule.delays | rule.hides_all
} | {"all-refused", "delayed", "time-limit", "no-rule", "denied", "policy", "patient"}
SAID |= set(decision._WORDS.values())


def test_every_kind_of_setting_has_a_word() -> None:
    """A release is told as the delay that it has not ended."""
    assert decision._WORDS.keys() == privacy.KINDS.keys() - {schema.RELEASE}


@pytest.mark.parametrize("what", sorted(SAID | {each.name or "" for each in Restriction}))
def test_every_reason_has_words_in_both_languages(what: str) -> None:
    """A code that may hide or mask is named in them, so that it can be looked up."""
    norwegian, english = words_for(Reason(True, what))
    assert norwegian
    assert english
    assert norwegian != english
    if what.startswith("NORN_"):
        assert what in norwegian
        assert what in english


def test_no_reason_is_told_by_our_own_word() -> None:
    """What is no code of 9603 has words of its own, and does not pass for a code."""
    own = {each for each in SAID if not each.startswith("NOR")}
    assert {each for each in own if f"({each})" in words_for(Reason(True, each))[1]} == set()


def _everything_wrong(rule: Rule) -> Situation:
    day = rule.valid_from - timedelta(days=1)
    return Situation(day=day, relation=Relation.UNKNOWN, purpose="x", acp="x", level=0, role="", options={})


def test_every_criterion_has_words() -> None:
    """And no words are left of one that nobody asks any more."""
    assert {each for rule in RULES.values() for each in rule.misfits(_everything_wrong(rule))} == set(
        CRITERIA
    )


def test_every_relation_and_state_has_words() -> None:
    """In two languages."""
    assert set(RELATIONS) == set(Relation)
    assert set(STATES) == {"shown", "masked", "hidden"}
    for norwegian, english in (*RELATIONS.values(), *STATES.values(), *CRITERIA.values()):
        assert norwegian
        assert english
        assert norwegian != english


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_every_rule_has_words(rule: Rule) -> None:
    """And the law that it rests on."""
    assert rule.nb
    assert rule.en
    assert rule.nb != rule.en
    assert rule.source


def test_the_codes_of_a_refusal_are_told_by_their_names() -> None:
    """As in Volven 9603, not as the numbers that are stored."""
    assert words_for(Reason(True, "NORN_FFL")) == ("nektet (NORN_FFL)", "refused (NORN_FFL)")
