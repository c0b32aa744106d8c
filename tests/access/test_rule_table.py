"""The rule table: what makes a rule fit, that nothing unknown does, and that a slip in the file is found.

Whom each national rule lets see what is test_matrix.py's to ask. Here are the ways of the table itself, on
small tables that are written for one question each, and the order of the national one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from tests.access.people import ACP, DAY, NOON, caller, person, turning
from xds.access import privacy, rule_table
from xds.access.decision import situation_of
from xds.access.known import Known
from xds.access.rule_table import Relation, Rule, RuleTable, Situation
from xds.config import SETTINGS
from xds.metadata.codesystems import built_in
from xds.metadata.confidentiality import REFUSALS, Restriction
from xds.metadata.model import Code
from xds.security.caller import CallerKind

HL7, ACT_REASON, ISO_14265 = "2.16.840.1.113883.1.11.20448", "2.16.840.1.113883.5.8", "1.0.14265.1"

#: A rule that asks for everything that a rule can ask.
STRICT = """
[[rule]]
id = "strict"
nb = "Streng"
en = "Strict"
source = "a statute"
from = 2026-01-01
until = 2026-07-01
relation = "parent"
purposes = ["FAMRQT"]
acp = ["1"]
patient_age = [12, 16]
caller_age = [18, 200]
level = 4
role = true
option = "youth=own"
"""
#: One that asks for as little as a rule can.
PLAIN = """
[[rule]]
id = "plain"
nb = "Enkel"
en = "Plain"
source = "a statute"
from = 2016-01-01
relation = "machine"
"""
FITS = Situation(
    day=DAY,
    relation=Relation.PARENT,
    purpose="FAMRQT",
    acp="1",
    patient_age=12,
    caller_age=18,
    level=4,
    role="LE",
    options={"youth": "own"},
)


def _rule(text: str) -> Rule:
    (rule,) = rule_table.read(text).rules
    return rule


def _fits(text: str, situation: Situation) -> bool:
    return rule_table.read(text).fitting(situation) is not None


# ---- what makes a rule fit


@pytest.mark.parametrize("whose", ["patient_age", "caller_age"])
@pytest.mark.parametrize(
    ("age", "fits"),
    [(None, False), (0, False), (11, False), (12, True), (15, True), (16, False), (120, False)],
)
def test_ages_are_half_open(whose: str, age: int | None, fits: bool) -> None:
    """Whoever has completed the years of the end is outside; so is whose age nobody knows."""
    rule = PLAIN + f"{whose} = [12, 16]\n"
    situation = Situation(DAY, Relation.MACHINE, patient_age=14, caller_age=14)
    assert _fits(rule, replace(situation, **{whose: age})) is fits


def test_an_age_that_is_not_asked_need_not_be_known() -> None:
    """Nor one of nought be taken for none."""
    assert _fits(PLAIN, Situation(DAY, Relation.MACHINE))
    newborn = Situation(DAY, Relation.MACHINE, patient_age=0, caller_age=0)
    assert _fits(PLAIN + "patient_age = [0, 12]\ncaller_age = [0, 1]\n", newborn)


@pytest.mark.parametrize(
    ("day", "fits"),
    [
        (date(2025, 12, 31), False),
        (date(2026, 1, 1), True),
        (date(2026, 6, 30), True),
        (date(2026, 7, 1), False),
        (date(2100, 1, 1), False),
    ],
)
def test_the_day_of_the_end_is_outside(day: date, fits: bool) -> None:
    """As with ages: `from` is the first day and `until` the first day after."""
    assert _fits(STRICT, replace(FITS, day=day)) is fits


def test_a_rule_without_an_end_holds_for_good() -> None:
    """Not a day before its beginning."""
    assert not _fits(PLAIN, Situation(date(2015, 12, 31), Relation.MACHINE))
    assert _fits(PLAIN, Situation(date(2016, 1, 1), Relation.MACHINE))
    assert _fits(PLAIN, Situation(date.max, Relation.MACHINE))


def test_a_change_of_law_is_a_new_row_with_its_day() -> None:
    """The old row and the new one together leave no day out and have none twice."""
    change = date(2026, 7, 1)
    old = PLAIN + f"until = {change}\n"
    new = PLAIN.replace('"plain"', '"new"').replace("2016-01-01", f"{change}")
    table = rule_table.read(old + new)
    for days in range(-400, 400):
        found = table.fitting(Situation(change + timedelta(days), Relation.MACHINE))
        assert found is not None
        assert found.id == ("plain" if days < 0 else "new")


#: For each criterion, what does not fulfil it: something else, and what is not known.
MISFITS: Mapping[str, list[tuple[str, Any]]] = {
    "day": [("day", date(2025, 12, 31)), ("day", date(2026, 7, 1))],
    "relation": [("relation", each) for each in Relation if each is not Relation.PARENT],
    "purpose": [("purpose", each) for each in ("", "PATRQT", "famrqt", "14265:13")],
    "acp": [("acp", each) for each in ("", "0", "2", "11", "1.1")],
    "patient-age": [("patient_age", None), ("patient_age", 11), ("patient_age", 16)],
    "caller-age": [("caller_age", None), ("caller_age", 17)],
    "level": [("level", 0), ("level", 3)],
    "role": [("role", "")],
    "option": [("options", None), ("options", {}), ("options", {"youth": "none"}), ("options", {"x": "own"})],
}
CASES = [(name, *change) for name, changes in MISFITS.items() for change in changes]


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_one_thing_that_is_not_so_is_enough(name: str, field: str, value: object) -> None:
    """What is unknown is not so; and the rule says which it was."""
    situation = replace(FITS, **{field: value})
    assert list(_rule(STRICT).misfits(situation)) == [name]
    assert not _fits(STRICT, situation)


def test_all_that_is_not_so_is_said() -> None:
    """In the words that explain.py knows; and of a request of which nothing is known, everything."""
    assert list(_rule(STRICT).misfits(FITS)) == []
    nothing = Situation(date(2020, 1, 1), Relation.UNKNOWN)
    assert list(_rule(STRICT).misfits(nothing)) == list(MISFITS)


def test_more_than_the_level_is_enough() -> None:
    """It is the least that is asked."""
    assert _fits(STRICT, replace(FITS, level=5))


def test_two_rules_that_fit_are_none() -> None:
    """Neither is better than the other, and a guess would be a leak. One of them alone fits."""
    other = PLAIN.replace('"plain"', '"other"') + 'purposes = ["TREAT"]\n'
    table = rule_table.read(PLAIN + other)
    assert table.fitting(Situation(DAY, Relation.MACHINE, "TREAT")) is None
    found = table.fitting(Situation(DAY, Relation.MACHINE, "COC"))
    assert found is not None
    assert found.id == "plain"


def test_a_rule_that_denies_counts_among_two() -> None:
    """It does not lose to one that permits."""
    table = rule_table.read(PLAIN + PLAIN.replace('"plain"', '"other"') + "deny = true\n")
    assert table.fitting(Situation(DAY, Relation.MACHINE)) is None


def test_no_rules_are_a_no() -> None:
    """And nobody whose relation is unknown is let in by any of the national ones."""
    assert RuleTable((), {}).fitting(FITS) is None
    assert not [rule.id for rule in rule_table.national_rules().rules if rule.relation is Relation.UNKNOWN]


# ---- reading the file


def test_a_rule_is_read_as_it_is_written() -> None:
    """Every key, and what the keys that are not there stand for."""
    text = (
        STRICT
        + """
deny = false
hides = ["V", "NORN_FFL"]
hides_all = ["NORN_ALL"]
delays = ["NORU"]
masks = ["NORS", "UNKNOWN", "UNSTATED"]
settings = ["citizen", "parent"]
opens = "consent"
limits = true

[limits]
"A00-1" = 0
"C00-1" = 1
"""
    )
    table = rule_table.read(text)
    assert table.limits == {"A00-1": 0, "C00-1": 1}
    assert table.rules == (
        Rule(
            id="strict",
            nb="Streng",
            en="Strict",
            source="a statute",
            valid_from=date(2026, 1, 1),
            valid_until=date(2026, 7, 1),
            relation=Relation.PARENT,
            purposes=frozenset({"FAMRQT"}),
            acp=frozenset({"1"}),
            patient_age=(12, 16),
            caller_age=(18, 200),
            level=4,
            role=True,
            option=("youth", "own"),
            deny=False,
            hides=Restriction.V | Restriction.NORN_FFL,
            hides_all=Restriction.NORN_ALL,
            delays=Restriction.NORU,
            masks=Restriction.NORS | Restriction.UNKNOWN | Restriction.UNSTATED,
            settings=("citizen", "parent"),
            opens="consent",
            limits=True,
        ),
    )
    plain = _rule(PLAIN)
    assert (plain.valid_until, plain.purposes, plain.acp, plain.patient_age, plain.caller_age) == (None,) * 5
    assert (plain.level, plain.role, plain.option, plain.deny, plain.limits) == (0, False, None, False, False)
    assert not any((plain.hides, plain.hides_all, plain.delays, plain.masks, plain.settings, plain.opens))


#: What is wrong -> the text. Each would have been a rule that says something else than its writer meant.
WRONG: Mapping[str, str] = {
    "no TOML": "[[rule]",
    "a line twice": PLAIN + 'id = "again"\n',
    "unknown key": PLAIN + 'hide = ["V"]\n',
    "key in capitals": PLAIN + 'Hides = ["V"]\n',
    "two of one id": PLAIN + PLAIN,
    "unknown relation": PLAIN.replace("machine", "friend"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_could_be_misread_is_refused(name: str) -> None:
    """A rule that is misread is worse than none."""
    with pytest.raises(ValueError, match=r"."):
        rule_table.read(WRONG[name])


# ---- from a ticket to what the rules ask

NOT_PURPOSES = [
    None,
    Code("TREAT", ""),
    Code("TREAT", "1.2.3"),
    Code("TREAT", "urn:oid:" + HL7),
    Code("13", "14265"),
]


def test_a_purpose_is_one_of_a_system_that_is_known() -> None:
    """Under each of the names that HL7's have; ISO's 13 is not HL7's, nor the other way round."""
    for system in (HL7, ACT_REASON, "http://terminology.hl7.org/CodeSystem/v3-ActReason"):
        assert rule_table.purpose_of(Code("TREAT", system)) == "TREAT"
        assert rule_table.purpose_of(Code("13", system)) == "13"
    assert rule_table.purpose_of(Code("13", ISO_14265)) == "14265:13"
    assert rule_table.purpose_of(Code("TREAT", ISO_14265)) == "14265:TREAT"
    assert [rule_table.purpose_of(each) for each in NOT_PURPOSES] == [""] * len(NOT_PURPOSES)


def test_a_role_is_one_of_9060() -> None:
    """Any code of it: which of them may do what, the policy says."""
    assert rule_table.role_of(Code("LE", rule_table.ROLES)) == "LE"
    assert rule_table.role_of(Code("XX", rule_table.ROLES)) == "XX"
    assert [rule_table.role_of(each) for each in (None, Code("LE", ""), Code("LE", "1.2.3"))] == [""] * 3


def test_an_access_policy_is_a_national_one_or_none_was_sent() -> None:
    """One of another arc is not taken for no policy; nor is one below a national one for that."""
    assert rule_table.policy_of("") == "0"
    assert [rule_table.policy_of(ACP + each) for each in ("0", "1", "8", "11")] == ["0", "1", "8", "11"]
    assert [rule_table.policy_of(each) for each in ("1.2.3.5", "5", ACP[:-1], ACP)] == [""] * 4
    assert rule_table.policy_of(ACP + "5.5") == "5.5"


#: (kind, whether it is their own record, acp) -> what they are to the patient; all else is unknown.
RELATIONS = {
    **{
        (CallerKind.MACHINE, own, acp): Relation.MACHINE for own in (True, False, None) for acp in "012345678"
    },
    **{(CallerKind.CITIZEN, True, acp): Relation.SELF for acp in "012345678"},
    (CallerKind.REPRESENTATIVE, False, "1"): Relation.PARENT,
    (CallerKind.REPRESENTATIVE, False, "2"): Relation.CONSENT,
    (CallerKind.REPRESENTATIVE, False, "3"): Relation.UNABLE,
    **{(CallerKind.PERSONNEL, False, acp): Relation.PERSONNEL for acp in "012345678"},
    **{(CallerKind.PERSONNEL, True, acp): Relation.PERSONNEL_SELF for acp in "012345678"},
}


def test_what_a_caller_is_to_the_patient() -> None:
    """Nobody is taken for anything when it is not known whether they are the patient, but for machines."""
    for kind, own, acp in product(CallerKind, (True, False, None), "012345678"):
        who = caller(kind, None, None, acp=ACP + acp)
        expected = RELATIONS.get((kind, own, acp), Relation.UNKNOWN)
        assert rule_table.relation_of(who, own=own) is expected, (kind, own, acp)


def test_what_a_ticket_does_not_say_is_not_known() -> None:
    """No default fits a rule: a ticket without anything comes to the least."""
    who = caller(CallerKind.CITIZEN, None, None, purpose=None, acp="1.2.3", role=None, security_level=None)
    found = situation_of(who, None, NOON, {})
    assert found == Situation(DAY, Relation.UNKNOWN, "", "", None, None, 0, "", {})


def test_synthetic_people_have_no_age_where_there_are_none() -> None:
    """A node in production knows nothing of them, so no rule that asks for an age fits."""
    patient, parent = person(turning(5)), person(turning(40))
    who = caller(CallerKind.REPRESENTATIVE, parent, patient, acp=ACP + "1")
    known = Known(frozenset({patient.cx}))
    for options, ages in (
        ({"environment": "test"}, (5, 40)),
        ({}, (None, None)),
        ({"environment": "x"}, (None,) * 2),
    ):
        found = situation_of(who, known, NOON, options)
        assert (found.patient_age, found.caller_age) == ages


# ---- the national table is in order

NATIONAL = rule_table.national_rules()
IDS = [rule.id for rule in NATIONAL.rules]


def test_every_rule_has_a_name_of_its_own_and_says_what_it_rests_on() -> None:
    """In words that differ, in both languages."""
    assert len(set(IDS)) == len(IDS) == 14
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", each) for each in IDS)
    for texts in zip(*((rule.nb, rule.en) for rule in NATIONAL.rules), strict=True):
        assert len(set(texts)) == len(texts)
    for rule in NATIONAL.rules:
        assert all(each == each.strip() and len(each) > 10 for each in (rule.nb, rule.en, rule.source)), (
            rule.id
        )
        assert rule.valid_until is None or rule.valid_from < rule.valid_until


def test_every_relation_has_a_rule() -> None:
    """But for the unknown one."""
    assert {rule.relation for rule in NATIONAL.rules} == set(Relation) - {Relation.UNKNOWN}


def test_the_rules_ask_for_codes_that_there_are() -> None:
    """A slip in a purpose, a policy or a class would close what should be open without a word."""
    tables = built_in()

    def codes(system: str) -> set[str]:
        found = tables.system(system)
        assert found is not None
        return set(found.codes)

    purposes = codes(HL7) | {f"14265:{each}" for each in codes(ISO_14265)}
    policies = {each.rpartition(".")[2] for each in codes(ACP[:-1])}
    for rule in NATIONAL.rules:
        assert (rule.purposes or set()) <= purposes, rule.id
        assert (rule.acp or set()) <= policies, rule.id
        assert rule.level in (0, 4), rule.id
    assert set(NATIONAL.limits) <= codes("2.16.578.1.12.4.1.1.9602")
    assert all(0 <= years < 100 for years in NATIONAL.limits.values())


def test_a_rule_that_denies_shows_nothing_and_all_others_say_what_they_do() -> None:
    """What a rule hides it does not mask too, and what opens blocked documents asks for no blocks."""
    words = {word for kind in privacy.KINDS.values() for word in kind.words} | {"block"}
    for rule in NATIONAL.rules:
        effects = (
            rule.hides,
            rule.hides_all,
            rule.delays,
            rule.masks,
            rule.settings,
            rule.opens,
            rule.limits,
        )
        assert not (rule.deny and any(effects)), rule.id
        parts = (rule.hides, rule.hides_all, rule.delays, rule.masks)
        assert (
            sum(int(each).bit_count() for each in parts)
            == (parts[0] | parts[1] | parts[2] | parts[3]).bit_count()
        )
        assert rule.opens in ("", "consent", "emergency"), rule.id
        assert not (rule.opens and rule.settings), rule.id
        assert set(rule.settings) <= words, rule.id


def test_every_code_of_9603_that_asks_for_something_gets_it_from_some_rule() -> None:
    """A code that no rule names would be stored and forgotten."""
    named = Restriction(0)
    for rule in NATIONAL.rules:
        named |= rule.hides | rule.hides_all | rule.delays | rule.masks
    harmless = {Restriction[each] for each in ("U", "L", "M", "N", "R", "NORMAL_9603")}
    assert set(Restriction) - set(named) == harmless
    table = built_in().system(REFUSALS)
    assert table is not None
    assert {Restriction[code] for code in table.codes if code != "N"} <= set(named)


def test_options_are_settings_of_the_node_and_each_value_has_its_rule() -> None:
    """`youth=own` means the setting access.youth; without a rule for a value nobody would be let in."""
    settings = {each.key: each for each in SETTINGS}
    found: dict[str, set[str]] = {}
    for rule in NATIONAL.rules:
        if rule.option is not None:
            found.setdefault(rule.option[0], set()).add(rule.option[1])
    assert found == {"youth": {"none", "own"}}
    assert settings["access.youth"].default in found["youth"]


def test_no_two_rules_fit_the_same_request() -> None:
    """Over all that can be asked, at every age: where one fits, it alone does."""
    purposes = sorted({each for rule in NATIONAL.rules for each in rule.purposes or ()} | {""})
    policies = ["", *"0123456789"]
    # The ages at which some rule begins or ends, and those around them, stand for all.
    bounds = {
        age for rule in NATIONAL.rules for ages in (rule.patient_age, rule.caller_age) for age in ages or ()
    }
    ages = [None, *sorted({max(0, each + more) for each in bounds for more in (-1, 0)})]
    asked = 0
    for relation, youth in product(Relation, ("none", "own")):
        rules = [rule for rule in NATIONAL.rules if rule.relation is relation]
        for purpose, acp, patient_age, caller_age in product(purposes, policies, ages, ages):
            situation = Situation(
                DAY, relation, purpose, acp, patient_age, caller_age, 4, "LE", {"youth": youth}
            )
            fitting = [rule.id for rule in rules if not any(True for _ in rule.misfits(situation))]
            asked += 1
            assert len(fitting) <= 1, (situation, fitting)
    assert asked > 100_000
