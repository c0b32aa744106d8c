"""Every outcome that docs/access-rules.md tells, and a no to everything that it does not tell.

The tables of the page are the input: which rule fits each caller, purpose, policy and age, over the whole
product of them; and what each rule shows of each kind of document, asked of the reasons in words, of the list
that a query gives and of the permission to fetch. The three must say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from tests import postgres
from tests.access.people import (
    ACP,
    DAY,
    HPR,
    LEGAL_ROLE,
    NOON,
    ORGANISATION,
    OTHER_HPR,
    OTHER_ORGANISATION,
    caller,
    person,
    pid,
    turning,
)
from tests.access.tables import Row, tables
from tests.metadata import samples
from tests.registry.conftest import Desk
from xds.access import privacy
from xds.access.decision import Decision, Entry, decide, reasons
from xds.access.known import Known, Patients
from xds.access.rule_table import national_rules
from xds.access.visibility import DOCUMENT_TYPES, visibility_of
from xds.metadata import names
from xds.metadata.codesystems import built_in
from xds.metadata.confidentiality import LEVELS, REFUSALS, restrictions
from xds.metadata.entries import document_entry
from xds.metadata.model import Code, DocumentEntry, Slot
from xds.metadata.validation import submission
from xds.registry.prepare import Reading
from xds.registry.queries import find_documents
from xds.registry.registry import Options
from xds.registry.sight import Sight
from xds.registry.view import EVERYTHING, Visibility
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store.codes import Codes
from xds.store.database import Database

TABLES = tables()
FITTING, LEVEL = TABLES["When anything is seen"]
OF_PATIENT, OF_CALLER = TABLES["Ages"]
(CODES,) = TABLES["What the confidentiality codes do"]
(SETTINGS,) = TABLES["What the patient's settings do"]
(LIMITS,) = TABLES["How old a document may be"]
(SOURCES,) = TABLES["What it rests on"]

RULES = {rule.id: rule for rule in national_rules().rules}
PERMITTING = [rule.id for rule in RULES.values() if not rule.deny]
NO = "–"
TEST = {"environment": "test", "youth": "none"}

# ---- the words of the page -> what they stand for

KINDS = {
    "citizen": CallerKind.CITIZEN,
    "representative": CallerKind.REPRESENTATIVE,
    "personnel": CallerKind.PERSONNEL,
    "machine": CallerKind.MACHINE,
}
HL7 = "2.16.840.1.113883.1.11.20448"
ISO_14265 = "1.0.14265.1"
PURPOSES: dict[str, Code | None] = {
    "other": Code("TREAT", "1.2.3"),
    "none": None,
    **{code: Code(code, HL7) for code in ("TREAT", "COC", "CAREMGT", "ETREAT", "BTG")},
    **{code: Code(code, HL7) for code in ("PATRQT", "FAMRQT", "PWATRNY")},
    **{f"14265:{code}": Code(code, ISO_14265) for code in ("1", "2", "5", "13")},
}
POLICIES = {"none": "", "foreign": "1.2.3.5", **{each: ACP + each for each in "123456789"}}


def _birthdays() -> Iterator[tuple[str, date]]:
    for years in (12, 16, 18):
        for word, days in (("−1", -1), ("", 0), ("+1", 1)):
            yield f"{years} {word}".strip(), turning(years, days)


BORN = dict(_birthdays())
#: Their last digit is wrong, so they say nothing of a birth date.
UNKNOWN = (
    Identifier("12867012108", "2.16.578.1.12.4.1.4.1"),
    Identifier("12867012109", "2.16.578.1.12.4.1.4.1"),
)


def _somebody(age: str, which: int) -> Identifier:
    return UNKNOWN[which] if age == "unknown" else person(BORN[age], which)


# ---- which rule fits


def _expected() -> Mapping[tuple[str, str, str], str]:
    """(caller, ACP, purpose) -> the rules that come into question, or NO."""
    found = {}
    for row in FITTING:
        for acp in row["ACP"].split(", "):
            for purpose in PURPOSES:
                key = row["Caller"], acp, purpose
                assert key not in found, f"two rows of the page are about {key}"
                found[key] = row[purpose]
    return found


EXPECTED = _expected()
CALLERS = {row["Caller"] for row in FITTING}


def _by_rules(rows: list[Row]) -> Mapping[str, Row]:
    return {row["Rules"]: row for row in rows}


def _fitting(who: Caller, own: bool, options: Mapping[str, str]) -> str:
    """The rule that permits, as the node decides; or NO, with the rule that says so if one does."""
    pids = set() if who.patient is None else {pid(who.patient)}
    if own and who.person is not None:
        pids.add(pid(who.person))
    decision = decide(who, Known(frozenset(pids), (1,)), national_rules(), NOON, options)
    if decision.rule is None:
        return NO
    return f"{NO} {decision.rule.id}" if decision.rule.deny else decision.rule.id


def test_the_page_tells_of_every_caller_policy_and_purpose():
    """No combination is left out, so that a no is one that somebody has written down."""
    assert set(EXPECTED) == set(product(CALLERS, POLICIES, PURPOSES))
    assert {each.partition(",")[0] for each in CALLERS} == set(KINDS)


@pytest.mark.parametrize("youth", ["none", "own"])
def test_the_rule_of_the_page_fits_and_no_other(youth: str):
    """Every caller × ACP × purpose × age of the patient × age of the caller, at each birthday."""
    options = TEST | {"youth": youth}
    of_patient, of_caller = _by_rules(OF_PATIENT), _by_rules(OF_CALLER)
    wrong, asked = [], 0
    for (whose, acp, purpose), rules in EXPECTED.items():
        kind, _, record = whose.partition(", ")
        own = record == "own record"
        named = f"{rules}, where access.youth = own" if (rules, youth) == ("self", "own") else rules
        for patient_age, caller_age in product([*BORN, "unknown"], repeat=2):
            if own and caller_age != patient_age:
                continue
            patient = _somebody(patient_age, 0)
            who = caller(
                KINDS[kind],
                patient if own else _somebody(caller_age, 1),
                patient,
                purpose=PURPOSES[purpose],
                acp=POLICIES[acp],
            )
            expected = NO if rules == NO else of_patient[named][patient_age]
            # A no to the patient's age is one to callers of any age.
            if not own and not expected.startswith(NO) and of_caller[rules][caller_age] == NO:
                expected = NO
            found = _fitting(who, own, options)
            asked += 1
            if found != expected:
                wrong.append(
                    f"{whose}, {acp}, {purpose}, {patient_age}, {caller_age}: {found}, not {expected}"
                )
    assert not wrong, "\n".join([f"{len(wrong)} of {asked}", *wrong[:20]])
    assert asked > 60_000


#: The columns of the second table.
CREDENTIALS: Mapping[str, Mapping[str, Any]] = {
    "level 4 and a role": {},
    "level 4, no role": {"role": None},
    "level 3": {"security_level": 3},
    "no level": {"security_level": None},
}
ADULT, CHILD, YOUTH = turning(40), turning(5), turning(14)


def test_level_and_role_are_asked_for():
    """Whatever else is so, at any age; a role of another system is none."""
    by_caller = {row["Caller"]: row for row in LEVEL}
    wrong, reached = [], set()
    for (whose, acp, purpose), youth, born in product(EXPECTED, ("none", "own"), (ADULT, CHILD, YOUTH)):
        kind, _, record = whose.partition(", ")
        own, options = record == "own record", TEST | {"youth": youth}
        patient = person(born)
        who = caller(
            KINDS[kind],
            patient if own else person(ADULT, 1),
            patient,
            purpose=PURPOSES[purpose],
            acp=POLICIES[acp],
        )
        rule = _fitting(who, own, options)
        if rule == NO:
            continue
        reached.add(rule.removeprefix(f"{NO} "))
        for column, change in CREDENTIALS.items():
            expected = rule if by_caller[whose][column] == "yes" else NO
            if (found := _fitting(replace(who, **change), own, options)) != expected:
                wrong.append(f"{whose}, {acp}, {purpose}, {born}, {column}: {found}, not {expected}")
        strange = replace(who, role=Code(LEGAL_ROLE.code, "1.2.3"))
        if kind == "personnel" and _fitting(strange, own, options) != NO:
            wrong.append(f"{whose}, {acp}, {purpose}: a role of another system")
    assert not wrong, wrong[:20]
    assert reached == set(RULES)


def test_every_rule_is_on_the_page():
    """With the day from which it holds; and the page names no rule that there is not."""
    assert {row["Rule"]: row["In force from"] for row in SOURCES} == {
        rule.id: rule.valid_from.isoformat() for rule in RULES.values()
    }
    for rows in (CODES, SETTINGS):
        assert list(rows[0])[1:] == PERMITTING
    reached = {cell for row in OF_PATIENT for column, cell in row.items() if column != "Rules"}
    denying = {f"{NO} {rule.id}" for rule in RULES.values() if rule.deny}
    assert reached - {NO} == set(PERMITTING) | denying


# ---- who asks by each rule


@dataclass(frozen=True)
class Asking:
    """A caller for whom a rule fits, and the settings of the node that it needs."""

    kind: CallerKind
    purpose: str
    patient: date = ADULT
    own: bool = False
    acp: str = "none"
    youth: str = "none"

    def caller(self, patient: Identifier) -> Caller:
        """The caller who asks about this patient."""
        return caller(
            self.kind,
            patient if self.own else person(ADULT, 1),
            patient,
            purpose=PURPOSES[self.purpose],
            acp=POLICIES[self.acp],
        )


ASKING = {
    "self-16": Asking(CallerKind.CITIZEN, "14265:13", own=True),
    "self-youth-own": Asking(CallerKind.CITIZEN, "14265:13", YOUTH, own=True, youth="own"),
    "parent-child": Asking(CallerKind.REPRESENTATIVE, "14265:13", CHILD, acp="1"),
    "consent": Asking(CallerKind.REPRESENTATIVE, "14265:13", acp="2"),
    "unable": Asking(CallerKind.REPRESENTATIVE, "14265:13", acp="3"),
    "personnel-self": Asking(CallerKind.PERSONNEL, "TREAT", own=True),
    "personnel": Asking(CallerKind.PERSONNEL, "TREAT"),
    "personnel-consent": Asking(CallerKind.PERSONNEL, "TREAT", acp="5"),
    "personnel-emergency": Asking(CallerKind.PERSONNEL, "ETREAT"),
    "personnel-emergency-policy": Asking(CallerKind.PERSONNEL, "TREAT", acp="7"),
    "machine": Asking(CallerKind.MACHINE, "none"),
}

# ---- documents with every code of the page

RELEASE = "urn:no:xds:releaseTime"
PAST, TO_COME = "20260615095959", "20260615100001"  # a second before and after NOON


def _codes(cell: str) -> tuple[Code, ...]:
    """The confidentiality codes of a row."""
    named = cell.partition(",")[0]
    return () if named == "none" else tuple(_code(each) for each in named.split(" + "))


def _code(word: str) -> Code:
    strange = {"no system": Code("N", ""), "foreign": Code("N", "1.2.3"), "9603 N": Code("N", REFUSALS)}
    return strange.get(word) or Code(word, REFUSALS if word.startswith("NOR") else LEVELS)


def _release(cell: str) -> tuple[Slot, ...]:
    times = {"time past": PAST, "time to come": TO_COME}
    _, _, word = cell.partition(", ")
    return (Slot(RELEASE, (times[word],)),) if word else ()


class Record:
    """A registry whose patients have one document for each row, and what it shows of them."""

    def __init__(self, url: str) -> None:
        database = Database(url)
        database.migrate()
        self.desk = Desk(
            database, Options(patients="open", synthetic=True, reading=Reading(release_slot=RELEASE))
        )
        self._patients = Patients(database)
        self._codes = Codes(database)
        self._numbers = iter(range(1, 100_000))

    def file(self, patient: Identifier, cell: str, **changes: Any) -> DocumentEntry:
        """A document entry of the codes of a row, registered."""
        entry = self.entry(patient, cell, **changes)
        the_set = samples.submission_set(
            unique_id=f"2.16.578.1.12.4.5.480.2.{next(self._numbers)}", patient_id=pid(patient)
        )
        # Not `Desk.submit`, which checks: a code without a system is refused there, and older rows have them.
        registry = self.desk.registry
        prepared = registry.prepare(submission(samples.submission(entry, of=the_set)))
        assert self.desk.database.transact(lambda c: registry.register(c, prepared, EVERYTHING))
        return entry

    def entry(self, patient: Identifier, cell: str, **changes: Any) -> DocumentEntry:
        """A document entry of the codes of a row."""
        return samples.document_entry(
            **{
                "unique_id": f"2.16.578.1.12.4.5.480.1.{next(self._numbers)}",
                "patient_id": pid(patient),
                "source_patient_id": pid(patient),
                "confidentiality_codes": _codes(cell),
                "extra_slots": _release(cell),
                "title": cell,
                **changes,
            }
        )

    def decide(self, who: Caller, options: Mapping[str, str]) -> Decision:
        """What the caller may see, with all that the registry knows of the patient."""
        assert who.patient is not None
        return decide(who, self._patients.look(who.patient), national_rules(), NOON, options)

    def outcomes(
        self, who: Caller, entries: Mapping[str, DocumentEntry], options: Mapping[str, str]
    ) -> tuple[str, Mapping[str, str]]:
        """The rule, and what each entry (by any key) is: shown, masked or hidden, agreed in three ways."""
        assert who.patient is not None
        decision = self.decide(who, options)
        assert decision.rule is not None
        visibility = visibility_of(decision, self._patients.look(who.patient).keys, self._codes)
        listed = {each.unique_id: each.title for each in self.find(who.patient, visibility)}
        sights = self.desk.registry.sight([each.unique_id for each in entries.values()], visibility)
        found = {}
        for key, entry in entries.items():
            title = listed.get(entry.unique_id)
            by_list = "hidden" if title is None else "masked" if title == "Sperret" else "shown"
            by_sight = {Sight.OPEN: "shown", Sight.MASKED: "masked", Sight.HIDDEN: "hidden"}[
                sights[entry.unique_id]
            ]
            by_reason = self._by_reason(decision, entry)
            ways = {by_list, by_sight, by_reason}
            found[key] = (
                by_list if len(ways) == 1 else f"list {by_list}, fetch {by_sight}, reasons {by_reason}"
            )
        assert set(listed) <= {each.unique_id for each in entries.values()}
        return decision.rule.id, found

    def find(self, patient: Identifier, visibility: Visibility = EVERYTHING) -> list[DocumentEntry]:
        """What FindDocuments lists."""
        return [
            document_entry(each)
            for each in self.desk.ask(
                find_documents.ID,
                visibility=visibility,
                XDSDocumentEntryPatientId=f"'{pid(patient)}'",
                XDSDocumentEntryStatus=f"('{names.APPROVED}')",
            )
        ]

    def _by_reason(self, decision: Decision, entry: DocumentEntry) -> str:
        times = [int(slot.values[0]) for slot in entry.extra_slots if slot.name == RELEASE]
        found = reasons(
            decision,
            Entry(
                restrictions(entry.confidentiality_codes),
                times[0] if times else None,
                logical_uuid=b"",
                organisations=_organisations(entry),
                class_code=entry.class_code.code if entry.class_code else "",
                service_start=int(entry.service_start_time.ljust(14, "0"))
                if entry.service_start_time
                else None,
            ),
        )
        return "hidden" if any(each.hides for each in found) else "masked" if found else "shown"


def _organisations(entry: DocumentEntry) -> frozenset[str]:
    return frozenset(
        institution.rpartition("^")[2]
        for author in entry.authors
        for institution in author.institutions
        if institution.rpartition("^")[2].isdigit()
    )


@pytest.fixture(scope="module")
def record(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """On each engine: the same condition is two databases' to judge."""
    if engine == "postgresql":
        url = postgres.new_database()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('record')}/xds.db"
    made = Record(url)
    yield made
    made.desk.database.close()
    if engine == "postgresql":
        postgres.drop_database(url)


@pytest.fixture(scope="module")
def filed(record: Record) -> Mapping[date, Mapping[str, DocumentEntry]]:
    """For an adult, a youth and a child: a document of each row but that of NORN_ALL."""
    rows = [row["Codes"] for row in CODES if row["Codes"] != "NORN_ALL"]
    return {born: {cell: record.file(person(born), cell) for cell in rows} for born in (ADULT, YOUTH, CHILD)}


@pytest.mark.parametrize("rule", PERMITTING)
def test_each_code_does_what_the_page_says(
    rule: str, record: Record, filed: Mapping[date, Mapping[str, DocumentEntry]]
):
    """In words, in the list and for the bytes."""
    asking = ASKING[rule]
    patient = person(asking.patient)
    fitting, found = record.outcomes(
        asking.caller(patient), filed[asking.patient], TEST | {"youth": asking.youth}
    )
    assert fitting == rule
    assert found == {row["Codes"]: row[rule] for row in CODES if row["Codes"] != "NORN_ALL"}


@pytest.mark.parametrize("rule", PERMITTING)
def test_one_document_that_refuses_all_hides_all(rule: str, record: Record):
    """From those whom the page says, the ones of other codes too."""
    asking = ASKING[rule]
    patient = person(asking.patient, 2)
    if not _filed_for(record, patient):
        record.file(patient, "NORN_ALL")
        record.file(patient, "N")
    entries = _filed_for(record, patient)
    (row,) = [row for row in CODES if row["Codes"] == "NORN_ALL"]
    expected = "hidden" if row[rule] == "all hidden" else row[rule]
    _, found = record.outcomes(asking.caller(patient), entries, TEST | {"youth": asking.youth})
    assert found == dict.fromkeys(entries, expected)
    assert len(found) == 2


def _filed_for(record: Record, patient: Identifier) -> Mapping[str, DocumentEntry]:
    return {each.unique_id: each for each in record.find(patient)}


def test_the_page_has_every_code():
    """Of 9603 and of HL7's levels, the spellings that are no more, and what is no code."""
    there = {row["Codes"] for row in CODES}
    table = built_in().system(REFUSALS)
    assert table is not None
    known = set(table.codes)
    assert len(known) >= 14
    assert {f"9603 {code}" if code == "N" else code for code in known} <= there
    assert {"U", "L", "M", "N", "R", "V", "NORN-ANG", "NORN-FPB", "NORN-DUP", "none", "foreign"} <= there


# ---- settings

WHOM = {
    "personnel": "personnel",
    "citizen": "citizen",
    "youth": "youth",
    "parent": "parent",
    "representative": "representative",
    "organisation: the caller's": f"organisation:{ORGANISATION}",
    "organisation: another": f"organisation:{OTHER_ORGANISATION}",
    "hpr: the caller": f"hpr:{HPR}",
    "hpr: another": f"hpr:{OTHER_HPR}",
}


def _whom(cell: str, who: Caller) -> str:
    if cell.startswith("person: "):
        assert who.person is not None
        return f"person:{who.person.value if cell.endswith('caller') else person(ADULT, 3).value}"
    return WHOM[cell]


@pytest.mark.parametrize("rule", PERMITTING)
def test_each_setting_does_what_the_page_says(rule: str, record: Record):
    """It holds while it is in effect, and no longer."""
    asking = ASKING[rule]
    patient = person(asking.patient, 4)
    entries = dict(_filed_for(record, patient)) or {"": record.file(patient, "N")}
    who, options = asking.caller(patient), TEST | {"youth": asking.youth}
    kinds = {kind.name: number for number, kind in privacy.KINDS.items()}
    domain = record.desk.registry.domain
    found, after = {}, set()
    for row in SETTINGS:
        kind, _, whom = row["Setting"].partition(" ")

        def change(work: Callable[..., Any], *arguments: Any) -> Any:
            return record.desk.database.transact(lambda c: work(c, *arguments, by="kari"))

        made = change(privacy.make, domain, pid(patient), kinds[kind], _whom(whom, who))
        ((_, found[row["Setting"]]),) = record.outcomes(who, entries, options)[1].items()
        change(privacy.withdraw, made.key)
        after |= set(record.outcomes(who, entries, options)[1].values())
    assert found == {row["Setting"]: row[rule] for row in SETTINGS}
    assert after == {"shown"}


# ---- time limits

LIMITED = [rule for rule in PERMITTING if rule.startswith("personnel") and rule != "personnel-self"]
AGES = {"to the day": 0, "a day more": 1}


@pytest.fixture(scope="module")
def aged(record: Record) -> Mapping[tuple[str, str], DocumentEntry]:
    """A document of each class and age of the page."""
    patient = person(ADULT, 5)
    made = {}
    for row in LIMITS:
        group, _, years = row["Class"].partition(", ")
        for column in (*AGES, "no service start"):
            start = ""
            if column in AGES:
                last = DAY.replace(year=DAY.year - int(years.split()[0])) - timedelta(days=AGES[column])
                start = f"{last:%Y%m%d}"
            made[group, column] = record.file(
                patient,
                "N",
                class_code=Code(group, DOCUMENT_TYPES),
                service_start_time=start or None,
                service_stop_time=None,
            )
    return made


@pytest.mark.parametrize("rule", [rule for rule in PERMITTING if ASKING[rule].patient is ADULT])
@pytest.mark.parametrize("switch", ["off", "kjernejournal"])
def test_time_limits_are_those_of_the_page(
    rule: str, switch: str, record: Record, aged: Mapping[tuple[str, str], DocumentEntry]
):
    """For health personnel, when they are switched on."""
    asking = ASKING[rule]
    patient = person(ADULT, 5)
    keyed = {f"{group} {column}": entry for (group, column), entry in aged.items()}
    _, found = record.outcomes(asking.caller(patient), keyed, TEST | {"time_limits": switch})
    if switch == "off" or rule not in LIMITED:
        assert set(found.values()) == {"shown"}
        return
    expected = {
        f"{row['Class'].partition(',')[0]} {column}": row[column]
        for row in LIMITS
        for column in (*AGES, "no service start")
    }
    assert found == expected
