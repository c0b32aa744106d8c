"""Gate 2 on a real database: whose request is taken, why one is not, and what may be seen of whom.

test_matrix.py has what each rule shows. Here are the parts between the rules: tickets for nobody and for
others, merges, settings, versions, policies, systems, and what is logged of it all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.access.house import (
    ANNA,
    BO,
    CREATING,
    D_NUMBER,
    DOCTOR,
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
from tests.access.people import (
    ACP,
    HPR,
    NOON,
    ORGANISATION,
    OTHER_ORGANISATION,
    person,
    pid,
    turning,
)
from tests.audit.trails import trail
from tests.metadata import samples as s
from tests.registry.updates import SET, message, send, status
from tests.test_app import settings
from xds import app
from xds.access.gate import UNASKED, AccessGate, about_patient
from xds.access.policy import Action, read_policies
from xds.config import load
from xds.demo.tickets import TicketService
from xds.errors import RegistryFailure
from xds.metadata.confidentiality import LEVELS
from xds.metadata.model import Code, Slot
from xds.registry.sight import Sight
from xds.registry.view import EVERYTHING
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store import schema
from xds.store.database import Database

LIST, FETCH, CREATE, UPDATE, DELETE, ADMINISTER, READ_LOG = Action
OPEN, MASKED, HIDDEN = Sight


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    database = Database(database_url)
    yield House(database)
    database.close()


# ---- whose ticket it is


def test_a_request_gets_what_was_decided_and_why(house: House) -> None:
    """The policy, the decision and the patient's ids come along, for the log and for other gates."""
    house.file("note")
    found = house.ask(doctor())
    assert found.policy == "personnel-read"
    assert found.decision is not None
    assert found.decision.rule is not None
    assert found.decision.rule.id == "personnel"
    assert found.pids == {pid(ANNA)}
    assert house.seen(found) == ["note"]


@pytest.mark.parametrize("who", [doctor(None), citizen(ANNA, None)])
def test_a_ticket_for_nobody_gets_nothing(house: House, who: Caller) -> None:
    """Unless a policy is for any patient: not even an empty list."""
    assert house.refused(who) == ("access-patient", "XDSRegistryError", "")


def test_a_patient_whom_nobody_knows_has_nothing(house: House) -> None:
    """That is an empty answer and no error: whether somebody is known here is not told."""
    house.file("note")
    access = house.ask(doctor(NOBODY))
    assert access.pids == {pid(NOBODY)}
    assert house.seen(access, NOBODY) == house.seen(access, ANNA) == []
    assert house.sight(doctor(NOBODY), 1, 2) == [HIDDEN, HIDDEN]
    access.check_patients([pid(NOBODY)], "AdhocQuery")


def test_a_ticket_is_for_its_patient_alone(house: House) -> None:
    """Whatever the query asks for, the statement shows no other patient's rows; and asking is an error."""
    house.file("hers")
    house.file("his", BO)
    access = house.ask(doctor(ANNA))
    assert (house.seen(access, ANNA), house.seen(access, BO)) == (["hers"], [])
    assert house.sight(doctor(ANNA), 1, 2) == [OPEN, HIDDEN]
    access.check_patients([], "AdhocQuery")
    access.check_patients([pid(ANNA), pid(ANNA)], "AdhocQuery")


#: Whom a request is about beside, or instead of, Anna; nobody of these is she.
OTHERS = {
    "another": [pid(BO)],
    "her and another": [pid(ANNA), pid(BO)],
    "nobody": [""],
    "another authority": [f"{ANNA.value}^^^&2.16.578.1.12.4.1.4.2&ISO"],
    "without an authority": [ANNA.value],
    "with a component more": [pid(ANNA) + "^x"],
}


def test_another_patient_in_the_request_is_refused(house: House) -> None:
    """With the location of what names them, and without their number."""
    access = house.ask(doctor(ANNA))
    for pids, (transaction, code) in product(
        OTHERS.values(), (("ITI-18", "XDSRegistryError"), ("ITI-43", "XDSRepositoryError"))
    ):
        with pytest.raises(RegistryFailure) as caught:
            access.check_patients(pids, "AdhocQuery/$XDSDocumentEntryPatientId", transaction)
        (error,) = caught.value.errors
        assert (error.rule, str(error.code)) == ("access-patient", code)
        assert error.location == "AdhocQuery/$XDSDocumentEntryPatientId"
        assert BO.value not in error.context


# ---- merged patients


@pytest.mark.parametrize("of", [ANNA, D_NUMBER], ids=["surviving", "merged"])
def test_a_merged_patient_is_one_person(house: House, of: Identifier) -> None:
    """Under whichever of the two ids the ticket names them, and whichever a document came with (A40)."""
    house.file("new id")
    house.file("old id", D_NUMBER)
    house.file("his", BO)
    before = house.ask(doctor(of))
    assert before.pids == {pid(of)}
    house.merge(D_NUMBER, ANNA)
    access = house.ask(doctor(of))
    assert access.pids == {pid(ANNA), pid(D_NUMBER)}
    access.check_patients([pid(ANNA), pid(D_NUMBER)], "AdhocQuery")
    assert house.seen(access, ANNA) == ["new id", "old id"]
    assert house.sight(doctor(of), 1, 2, 3) == [OPEN, OPEN, HIDDEN]
    house.unmerge(D_NUMBER)
    after = house.ask(doctor(of))
    assert after.pids == {pid(of)}
    assert house.seen(after, of) == (["new id"] if of is ANNA else ["old id"])
    with pytest.raises(RegistryFailure):
        after.check_patients([pid(D_NUMBER if of is ANNA else ANNA)], "AdhocQuery")


def test_a_chain_of_merges_is_one_person(house: House) -> None:
    """Of three ids; taking one back parts only that one."""
    for who, title in ((ANNA, "a"), (D_NUMBER, "d"), (NOBODY, "n")):
        house.file(title, who)
    house.merge(NOBODY, D_NUMBER)
    house.merge(D_NUMBER, ANNA)
    assert house.seen(doctor(NOBODY)) == ["a", "d", "n"]
    house.unmerge(NOBODY)
    assert house.seen(doctor(D_NUMBER)) == ["a", "d"]
    assert house.seen(doctor(NOBODY), NOBODY) == ["n"]


def test_a_citizen_is_herself_under_either_id(house: House) -> None:
    """A ticket in her new number about the old one is about herself; before the merge it is about another."""
    house.file("old id", D_NUMBER)
    who = citizen(ANNA, D_NUMBER)
    assert house.refused(who) == ("access-rule", "XDSRegistryError", "no rule fits")
    house.merge(D_NUMBER, ANNA)
    assert house.seen(who, ANNA) == ["old id"]
    house.unmerge(D_NUMBER)
    assert house.refused(who)[0] == "access-rule"


def test_personnel_are_themselves_under_either_id(house: House) -> None:
    """Health personnel see no more of their own record, though it is registered under an older number."""
    house.file("refused", D_NUMBER, NORN_ANG)
    who = replace(doctor(D_NUMBER), person=ANNA)
    assert house.seen(who, D_NUMBER) == ["refused"]
    house.merge(D_NUMBER, ANNA)
    assert house.seen(who, ANNA) == []


def test_what_was_set_under_one_id_holds_for_the_person(house: House) -> None:
    """Settings and NORN_ALL, and both part again with the ids."""
    house.file("new id")
    house.file("old id", D_NUMBER)
    house.set(schema.BLOCK, of=D_NUMBER)
    assert house.seen(doctor()) == ["new id"]
    house.merge(D_NUMBER, ANNA)
    assert house.seen(doctor()) == ["Sperret", "Sperret"]
    house.file("refuses all", NOBODY, NORN_ALL)
    assert house.seen(citizen()) == ["new id", "old id"]
    house.merge(NOBODY, ANNA)
    assert house.seen(citizen()) == []
    house.unmerge(NOBODY)
    house.unmerge(D_NUMBER)
    assert (house.seen(doctor()), house.seen(citizen())) == (["new id"], ["new id"])


# ---- who is refused, and by what


def test_a_policy_that_denies_is_named(house: House) -> None:
    """So that whoever asks why finds it in the file: each role that is denied, whatever it wants to do."""
    said = ("access-policy", "XDSRegistryError", "policy personnel-roles denies it")
    for role in ("XX", "VE", "FB"):
        who = doctor(role=Code(role, "2.16.578.1.12.4.1.1.9060"))
        assert [house.refused(who, action) for action in Action] == [said] * len(Action)


#: What no policy permits.
UNPERMITTED = [
    (doctor(), DELETE),
    (doctor(), ADMINISTER),
    (doctor(security_level=3), LIST),
    (doctor(purpose="CAREMGT"), LIST),
    (citizen(), CREATE),
    (citizen(security_level=3), FETCH),
    (machine(ANNA), LIST),
    (machine(ANNA, CREATING), FETCH),
    (machine(ANNA, CREATING), DELETE),
]


def test_where_no_policy_permits_none_is_named(house: House) -> None:
    """The policy comes first: what the rules would say is not asked."""
    found = [house.refused(who, action) for who, action in UNPERMITTED]
    assert found == [("access-policy", "XDSRegistryError", "none permits it")] * len(UNPERMITTED)


#: What the policy permits and the national rules do not: the rule that denies, or none that fits.
UNFIT = [
    (citizen(BO, ANNA), "no rule fits"),
    (citizen(person(turning(12)), person(turning(12))), "rule self-youth"),
    (citizen(person(turning(12, -1)), person(turning(12, -1))), "rule self-child"),
    (citizen(purpose=Code("FAMRQT", HL7)), "no rule fits"),
    (citizen(acp=f"{ACP}2"), "no rule fits"),
    (doctor(acp=f"{ACP}1"), "no rule fits"),
    (doctor(acp="1.2.3"), "no rule fits"),
    (replace(doctor(), person=None), "no rule fits"),
    (
        replace(
            citizen(BO, person(turning(12)), acp=f"{ACP}1", purpose=Code("FAMRQT", HL7)),
            kind=CallerKind.REPRESENTATIVE,
        ),
        "rule parent-12",
    ),
]


def test_a_rule_that_denies_is_named_and_none_is_said(house: House) -> None:
    """In the code of who answers; the sentence holds no number and no name."""
    for who, detail in UNFIT:
        assert house.refused(who) == ("access-rule", "XDSRegistryError", detail)
        assert house.refused(who, FETCH, "ITI-43") == ("access-rule", "XDSRepositoryError", detail)
        with pytest.raises(RegistryFailure) as caught:
            house.ask(who)
        said = f"{caught.value} {caught.value.errors}"
        assert not any(each in said for each in (ANNA.value, BO.value, DOCTOR.value, HPR))


def test_a_birthday_begins_at_midnight_in_norway(house: House) -> None:
    """The gate's clock is in UTC: two hours before its midnight, in summer, the youth is sixteen."""
    young = person(turning(16))
    house.file("note", young)
    midnight = datetime(2026, 6, 14, 22, 0, tzinfo=NOON.tzinfo)
    house.now = midnight - timedelta(seconds=1)
    assert house.refused(citizen(young, young))[2] == "rule self-youth"
    house.now = midnight
    assert house.seen(citizen(young, young), young) == ["note"]


# ---- what is logged


@pytest.mark.parametrize(
    ("who", "rule"),
    [
        (doctor(purpose="ETREAT"), "personnel-emergency"),
        (doctor(purpose="BTG"), "personnel-emergency"),
        (doctor(acp=f"{ACP}7"), "personnel-emergency-policy"),
        (doctor(acp=f"{ACP}5"), "personnel-consent"),
    ],
)
def test_opening_what_is_blocked_is_logged(
    house: House, caplog: pytest.LogCaptureFixture, who: Caller, rule: str
) -> None:
    """By the reference of the request and the rule; who it was is in the log of gate 1, never here."""
    caplog.set_level(logging.DEBUG)
    house.file("blocked", ANNA, N, NORS)
    caplog.clear()
    assert house.seen(who) == ["blocked"]
    (record,) = [each for each in caplog.records if each.name == "xds"]
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"ref-1 opened blocked documents by rule {rule}"


@pytest.mark.parametrize("who", [doctor(), citizen(), doctor(NOBODY)])
def test_what_opens_nothing_is_not_logged(
    house: House, caplog: pytest.LogCaptureFixture, who: Caller
) -> None:
    """Every day would hide the one day."""
    caplog.set_level(logging.DEBUG, "xds")
    house.ask(who)
    assert [each for each in caplog.records if each.name == "xds"] == []


def test_a_refusal_is_told_to_the_caller_and_not_logged_here(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The endpoint logs every error by its rule."""
    caplog.set_level(logging.DEBUG, "xds")
    house.refused(citizen(BO, ANNA))
    house.refused(doctor(purpose="ETREAT", security_level=3))
    assert [each for each in caplog.records if each.name == "xds"] == []


# ---- settings of the patient


def test_a_setting_is_in_effect_until_it_is_withdrawn(house: House) -> None:
    """From the next request on, for documents that are there and for those that come later."""
    house.file("before")
    key = house.set(schema.BLOCK)
    house.file("after")
    assert house.seen(doctor()) == ["Sperret", "Sperret"]
    assert house.sight(doctor(), 1, 2) == [MASKED, MASKED]
    assert house.seen(doctor(purpose="BTG")) == ["after", "before"]
    assert house.seen(citizen()) == ["after", "before"]
    house.withdraw(key)
    assert house.seen(doctor()) == ["after", "before"]
    assert house.sight(doctor(), 1, 2) == [OPEN, OPEN]


def test_a_setting_about_an_organisation_holds_for_its_later_documents(house: House) -> None:
    """By the number of any of the authors' institutions, and not for a number that merely holds it."""
    authored = {ORGANISATION: "theirs", OTHER_ORGANISATION: "others"}
    house.set(schema.BLOCK, organisation=ORGANISATION)
    for organisation, title in authored.items():
        institution = f"X^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^{organisation}"
        house.file(title, authors=(replace(s.AUTHOR, institutions=(institution,)),))
    house.file("nobody's", authors=(replace(s.AUTHOR, institutions=("X",)),))
    assert house.seen(doctor()) == ["Sperret", "nobody's", "others"]


def test_a_setting_about_a_document_holds_for_all_its_versions(house: House) -> None:
    """Also for one that is made later, and for no other document."""
    first = house.file("one")
    house.file("two")
    house.set(schema.REFUSAL, "citizen", document=first)
    assert house.seen(citizen(), level=2) == ["two"]
    house.renew("one, corrected", first, 1, N)
    assert house.seen(citizen(), level=2) == ["two"]
    assert house.seen(doctor(), level=2) == ["one", "one, corrected", "two"]


def test_a_reservation_leaves_personnel_nothing_but_what_a_rule_opens(house: House) -> None:
    """Not listed, not fetched; the citizen has lost nothing."""
    house.file("note")
    house.set(schema.RESERVATION)
    assert (house.seen(doctor()), house.sight(doctor(), 1)) == ([], [HIDDEN])
    assert house.seen(doctor(purpose="ETREAT")) == ["note"]
    assert house.seen(citizen()) == ["note"]


def test_a_setting_of_another_patient_does_nothing(house: House) -> None:
    """However many there are."""
    house.file("hers")
    house.file("his", BO)
    for kind, whom in ((schema.BLOCK, ""), (schema.RESERVATION, ""), (schema.REFUSAL, "citizen")):
        house.set(kind, whom, BO)
    assert (house.seen(doctor()), house.seen(citizen())) == (["hers"], ["hers"])
    assert house.seen(doctor(BO), BO) == []


def test_delayed_access_ends_by_the_document_s_time_or_else_by_a_setting(house: House) -> None:
    """To the second; a setting does not shorten what a document says, and one alone is enough."""
    until = int((NOON + timedelta(hours=1)).strftime("%Y%m%d%H%M%S"))
    house.file("own time", ANNA, NORU, extra_slots=(Slot(RELEASE, (str(until),)),))
    house.file("no time", ANNA, NORU)
    assert house.seen(citizen()) == []
    assert house.seen(doctor()) == ["no time", "own time"]
    house.now = NOON + timedelta(minutes=59, seconds=59)
    assert house.seen(citizen()) == []
    house.now = NOON + timedelta(hours=1)
    assert house.seen(citizen()) == ["own time"]
    house.now = NOON
    key = house.set(schema.RELEASE, release_time=until)
    assert house.seen(citizen()) == []
    house.now = NOON + timedelta(hours=1)
    assert house.seen(citizen()) == ["no time", "own time"]
    house.withdraw(key)
    assert house.seen(citizen()) == ["own time"]
    house.now = NOON
    house.set(schema.RELEASE, release_time=20200101000000)
    assert house.seen(citizen()) == ["no time"]


# ---- refusal of everything, and versions


def test_one_document_that_refuses_all_leaves_the_citizen_nothing(house: House) -> None:
    """Deprecated or an old version: until its code is changed. Personnel see everything."""
    first = house.file("refuses all", ANNA, N, NORN_ALL)
    house.file("note")
    house.file("his", BO)
    assert (house.seen(citizen()), house.sight(citizen(), 1, 2)) == ([], [HIDDEN, HIDDEN])
    assert house.seen(citizen(BO, BO), BO) == ["his"]
    assert send(house.desk, message(status(first, source=SET), patient=pid(ANNA)))
    assert (house.seen(citizen()), house.sight(citizen(), 1, 2)) == ([], [HIDDEN, HIDDEN])
    assert house.seen(doctor()) == ["note", "refuses all"]


def test_all_are_shown_again_when_a_new_version_refuses_nothing(house: House) -> None:
    """The old version said so once, and is shown with the others: the newest decides about all."""
    first = house.file("refuses all", ANNA, N, NORN_ALL)
    house.file("note")
    house.renew("refuses nothing", first, 1, N)
    assert house.seen(citizen(), level=2) == ["note", "refuses all", "refuses nothing"]
    house.renew("refuses again", first, 2, NORN_ALL)
    assert house.seen(citizen(), level=2) == []


#: What the newest version says, and what is seen of both: by a citizen, and by personnel.
NEWEST = [
    ((N,), ["new", "old"], ["new", "old"]),
    ((N, NORS), ["new", "old"], ["Sperret", "Sperret"]),
    ((N, NORN_ANG), [], ["new", "old"]),
    ((Code("V", LEVELS),), [], ["new", "old"]),
    ((Code("x", "1.2.3"),), [], ["Sperret", "Sperret"]),
    ((NORU,), [], ["new", "old"]),
]


@pytest.mark.parametrize(("codes", "to_citizen", "to_personnel"), NEWEST)
def test_a_new_version_decides_about_the_old_ones(
    house: House, codes: tuple[Code, ...], to_citizen: list[str], to_personnel: list[str]
) -> None:
    """At level 2, where the history is seen: what was open and is blocked does not stay readable in it."""
    first = house.file("old")
    assert house.seen(citizen(), level=2) == house.seen(doctor(), level=2) == ["old"]
    house.renew("new", first, 1, *codes)
    assert house.seen(citizen(), level=2) == to_citizen
    assert house.seen(doctor(), level=2) == to_personnel
    house.renew("newest", first, 2, N)
    assert house.seen(citizen(), level=2) == house.seen(doctor(), level=2) == ["new", "newest", "old"]


def test_a_time_of_the_new_version_holds_for_the_old_ones(house: House) -> None:
    """What was to be shown later is shown later, in all its versions."""
    first = house.file("old", ANNA, NORU, extra_slots=(Slot(RELEASE, ("20200101",)),))
    assert house.seen(citizen(), level=2) == ["old"]
    house.renew("new", first, 1, NORU, extra_slots=(Slot(RELEASE, ("20300101",)),))
    assert house.seen(citizen(), level=2) == []
    house.renew("newest", first, 2, NORU, extra_slots=(Slot(RELEASE, ("20260615",)),))
    assert house.seen(citizen(), level=2) == ["new", "newest", "old"]


# ---- systems, and nodes that ask nobody


def test_a_system_may_be_about_any_patient(house: House) -> None:
    """With the scope that the policy asks for, whoever the ticket is for or for nobody."""
    house.file("hers", ANNA, NORS, NORN_ALL)
    house.file("his", BO)
    for patient in (None, ANNA, NOBODY):
        access = house.ask(machine(patient, CREATING))
        assert (access.policy, access.pids) == ("machine-submit", None)
        access.check_patients([pid(ANNA), pid(BO)], "AdhocQuery")
        assert (house.seen(access, ANNA), house.seen(access, BO)) == (["hers"], ["his"])


def test_a_system_without_such_a_policy_is_held_to_its_ticket(house: House, tmp_path: Path) -> None:
    """Like everybody: the patient of the ticket, and nobody without one."""
    house.file("hers")
    house.file("his", BO)
    own = tmp_path / "own.toml"
    own.write_text(
        '[[policy]]\nid = "own"\neffect = "permit"\nactions = ["read-list"]\ncallers = ["machine"]\n'
    )
    house.policies = read_policies(own)
    access = house.ask(machine(ANNA))
    assert (access.policy, access.pids) == ("own", {pid(ANNA)})
    assert (house.seen(access, ANNA), house.seen(access, BO)) == (["hers"], [])
    assert house.refused(machine()) == ("access-patient", "XDSRegistryError", "")


def test_a_change_of_the_policy_holds_from_the_next_request_on(house: House, tmp_path: Path) -> None:
    """The gate asks for the policies each time."""
    assert house.ask(doctor()).policy == "personnel-read"
    own = tmp_path / "own.toml"
    own.write_text('[[policy]]\nid = "closed"\neffect = "deny"\nactions = ["read-list"]\n')
    house.policies = read_policies(own)
    assert house.refused(doctor())[2] == "policy closed denies it"


def test_who_is_not_asked_sees_everything(house: House) -> None:
    """Where systems trust each other (access.ticket = none)."""
    house.file("blocked", ANNA, NORS, NORN_ALL)
    house.file("his", BO)
    assert UNASKED.visibility is EVERYTHING
    assert (UNASKED.pids, UNASKED.policy, UNASKED.decision) == (None, "", None)
    UNASKED.check_patients([pid(ANNA), pid(BO), "nobody"], "AdhocQuery")
    assert (house.seen(UNASKED, ANNA), house.seen(UNASKED, BO)) == (["blocked"], ["his"])


def test_only_a_node_without_tickets_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting decides, and nothing of a request: with tickets, there is no way without a caller."""
    made = []
    gates = app._gates

    def keep(*given: Any) -> Any:
        made.append(gates(*given))
        return made[-1]

    monkeypatch.setattr(app, "_gates", keep)
    trust = TicketService(tmp_path / "tickets").trust
    Database(settings(tmp_path)["XDS_STORE__DATABASE"]).migrate()
    for ticket in ("none", "required"):
        app.create_app(load(None, settings(tmp_path, XDS_ACCESS__TICKET=ticket, XDS_TRUST=str(trust))))
    without, with_tickets = made
    asked = trail(Database(settings(tmp_path)["XDS_STORE__DATABASE"]))
    assert without.may(None, DELETE, asked) is UNASKED
    assert isinstance(with_tickets.access, AccessGate)
    with pytest.raises(AssertionError):
        with_tickets.may(None, LIST, asked)
    with pytest.raises(RegistryFailure):
        with_tickets.may(machine(), LIST, asked)


def test_who_may_say_by_the_request_whom_it_is_about(house: House) -> None:
    """Personnel with a token of HelseID that names nobody, and no other: each other ticket is for whom it
    names, or for nobody.
    """
    of_helseid = doctor(None, issuer_kind="helseid")
    assert about_patient(of_helseid, pid(BO)).patient == BO
    for other in (
        of_helseid,
        replace(of_helseid, patient=ANNA),
        doctor(None, issuer_kind="kjernejournal"),
        citizen(patient=None),
        citizen(patient=None, issuer_kind="helseid"),
        machine(issuer_kind="helseid"),
        machine(issuer_kind="system"),
    ):
        named = "" if other is of_helseid else pid(BO)
        assert about_patient(other, named) is other


def test_what_is_about_no_record_is_for_whom_a_policy_permits_it(house: House) -> None:
    """No patient is needed and no national rule asked; whatever it does, it sees nothing of anybody."""
    house.file("anything")
    for who in (doctor(None, issuer_kind="helseid"), machine(None, CREATING)):
        access = house.gate.access_to_nobody(who, Action.CREATE, "validate")
        assert (access.pids, access.policy) == (
            frozenset(),
            "personnel-submit" if who.role else "machine-submit",
        )
        assert house.seen(access) == []
    for who in (citizen(), doctor(role=None), machine()):
        with pytest.raises(RegistryFailure) as caught:
            house.gate.access_to_nobody(who, Action.CREATE, "validate")
        assert caught.value.errors[0].rule == "access-policy"
