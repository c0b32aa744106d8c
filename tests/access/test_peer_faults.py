"""The faults of another implementation (norwegian-profile 3.5 and 3.6), each as a test in which ours does
right: somebody asks a node for a record with one document, or a few, and sees what the law says.

Ages are those of people born so many years before today, as the node goes by its own clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.access.people import number
from tests.access.test_every_path import POLICY, Marked, Walk
from tests.blackbox import messages as m
from tests.blackbox.wire import NS, SUCCESS
from tests.nodes import Node
from xds.demo import assertions
from xds.demo.assertions import Said, TicketKind
from xds.demo.tickets import CLINICIAN, HPR, TicketService
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.metadata.national import NATIONAL

TODAY = datetime.now(ZoneInfo("Europe/Oslo")).date()
N, R, V, N_9603 = ("N", LEVELS), ("R", LEVELS), ("V", LEVELS), ("N", REFUSALS)


def _refusal(code: str) -> tuple[str, str]:
    return code, REFUSALS


def birthday(years: int, days: int = 0) -> date:
    """Of somebody whose birthday of so many years is in so many days."""
    day = TODAY + timedelta(days=days)
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February: complete on 1 March
        return date(day.year - years, 3, 1)


@dataclass(frozen=True)
class Who:
    """Who asks, about somebody born then. `replaced`: texts of the ticket, before it is signed."""

    kind: str = "personnel"
    born: date = date(1950, 1, 2)
    purpose: str = "TREAT"
    acp: str = ""
    own: bool = False
    replaced: tuple[tuple[str, str], ...] = ()

    def ticket(self, service: TicketService, patient: str) -> str:
        """Their ticket."""
        if self.replaced:
            return self._rewritten(service, patient)
        if self.kind == "citizen":
            return service.saml("citizen", person=patient)
        person = patient if self.own else ""
        return service.saml(self.kind, person=person, patient=patient, purpose=self.purpose, acp=self.acp)

    def _rewritten(self, service: TicketService, patient: str) -> str:
        said = Said(
            person=CLINICIAN,
            name="Tuva Fjell",
            hpr=HPR,
            patient=f"{patient}^^^&{NATIONAL}&ISO",
            purpose=self.purpose,
            acp=self.acp,
            decision=str(uuid4()),
        )
        now = datetime.now(UTC)
        written, identifier = assertions.assertion(
            TicketKind.KJERNEJOURNAL, said, now, now + timedelta(hours=1)
        )
        for pattern, by in self.replaced:
            written, times = re.subn(pattern, by, written)
            assert times, pattern
        return service._signed(written, identifier)


#: The names that specification V2.1 took away (norwegian-profile 4.2).
OLD_NAMES = (
    "urn:oasis:names:tc:xspa:1.0:subject:subject-id",
    "urn:oasis:names:tc:xspa:2.0:subject:npi",
    "urn:oasis:names:tc:xspa:1.0:subject:role",
    "urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse",
    "urn:no:ehelse:saml:1.1:subject:healthcareservice",
    "urn:oasis:names:tc:xacml:2.0:resource:resource-id",
    "urn:no:ehelse:saml:1.0:subject:homeCommunityId",
)
WITHOUT_OLD_NAMES = tuple(
    (rf'<saml:Attribute Name="{re.escape(name)}">.*?</saml:Attribute>', "") for name in OLD_NAMES
)

CITIZEN, CLINIC = Who("citizen"), Who()
EMERGENCY, BREAK_GLASS = Who(purpose="ETREAT"), Who(purpose="BTG")


def _parent(born: date) -> Who:
    return Who("representative", born=born, acp="1")


#: What the other does wrong -> who asks, the codes of one document, and what they see: shown, masked, hidden,
#: or the rule that refuses them.
CASES: Mapping[str, tuple[Who, Sequence[tuple[str, str]], str]] = {
    # 3.5: permitted by policy, and no rule keeps anything
    "an emergency is decided by its purpose": (EMERGENCY, [N], "shown"),
    "COC is care": (Who(purpose="COC"), [N], "shown"),
    "BTG is an emergency": (BREAK_GLASS, [N], "shown"),
    "CAREMGT is care": (
        Who(replaced=(('code="TREAT"|code=&quot;TREAT&quot;', "code=&quot;CAREMGT&quot;"),)),
        [N],
        "shown",
    ),
    # 3.5: ages by the year of birth, ranges with both ends
    "whoever is 16 today sees their record": (Who("citizen", birthday(16)), [N], "shown"),
    "whoever is 16 tomorrow does not": (Who("citizen", birthday(16, 1)), [N], "access-rule"),
    "whoever became 16 yesterday does": (Who("citizen", birthday(16, -1)), [N], "shown"),
    "a parent of a child who is 12 tomorrow sees": (_parent(birthday(12, 1)), [N], "shown"),
    "a parent of a child who is 12 today does not": (_parent(birthday(12)), [N], "access-rule"),
    "nor until the year's end": (_parent(birthday(12, -1)), [N], "access-rule"),
    # 3.5: the subject was an HPR number and the resource a national one, so that they never were the same
    "personnel in their own record are a citizen": (Who(own=True), [_refusal("NORN_FFL")], "hidden"),
    "and see what a citizen sees": (Who(own=True), [N], "shown"),
    "in an emergency too": (Who(own=True, purpose="ETREAT"), [_refusal("NORN_FFL")], "hidden"),
    # 3.5: codes without their systems
    "N of 9603 alone is enough to be shown": (CITIZEN, [N_9603], "shown"),
    "NORS alone is shown to the citizen": (CITIZEN, [_refusal("NORS")], "shown"),
    "NORN alone is shown to the clinician": (CLINIC, [_refusal("NORN_FFL")], "shown"),
    "NORN beside N is hidden from the citizen": (CITIZEN, [N, _refusal("NORN_FFL")], "hidden"),
    "NORN beside R is hidden from the citizen": (CITIZEN, [R, _refusal("NORN_KUT")], "hidden"),
    "NORN beside N of 9603 is hidden from the citizen": (CITIZEN, [N_9603, _refusal("NORN_ANG")], "hidden"),
    # 3.5: only the old names of attributes fed the rules
    "new names alone say who asks": (Who(replaced=WITHOUT_OLD_NAMES), [N], "shown"),
    "and what they may not see": (Who(replaced=WITHOUT_OLD_NAMES), [_refusal("NORS")], "masked"),
    # 3.6: masked only with both N and NORS
    "NORS alone is masked": (CLINIC, [_refusal("NORS")], "masked"),
    "NORS beside R is masked": (CLINIC, [R, _refusal("NORS")], "masked"),
    "NORS beside N is masked": (CLINIC, [N, _refusal("NORS")], "masked"),
    "NORS is opened in an emergency": (EMERGENCY, [N, _refusal("NORS")], "shown"),
    "NORS is opened by breaking the glass": (BREAK_GLASS, [N, _refusal("NORS")], "shown"),
    "NORS is opened by consent to blocked data": (Who(acp="5"), [N, _refusal("NORS")], "shown"),
    "NORS is opened in a documented emergency": (Who(acp="7"), [N, _refusal("NORS")], "shown"),
    "NORS is not opened by consent alone": (Who(acp="8"), [N, _refusal("NORS")], "masked"),
    # 3.6: the citizen's V with NORN_ANG was masked only
    "V with NORN_ANG is hidden from the citizen": (CITIZEN, [V, _refusal("NORN_ANG")], "hidden"),
    "V is shown to the clinician": (CLINIC, [V], "shown"),
}


class Desk(Walk):
    """A node, and what it shows."""

    def submit(self, patient: str, *coded: Sequence[tuple[str, str]]) -> list[m.Document]:
        """A document for each set of codes, filed in one submission."""
        pid = m.PATIENT.replace(m.NUMBER, patient)
        documents = [
            Several(f"{each}".encode(), id=m.new_uuid(), patient=pid, codes=tuple(codes))
            for each, codes in enumerate(coded)
        ]
        ticket = self.service.saml("personnel", patient=patient, purpose="ETREAT")
        reply = self.ask(ticket, "ITI-41", m.provide(documents, m.inline(documents), patient=pid))
        assert reply.outcome == SUCCESS, reply.errors
        return documents

    def seen(self, ticket: str, patient: str, documents: Sequence[m.Document]) -> list[str]:
        """What each document is, by the list and by an attempt to fetch it, which must agree."""
        pid = m.PATIENT.replace(m.NUMBER, patient)
        listed = self.ask(ticket, "ITI-18", m.find_documents(pid))
        if listed.errors:
            return [each.rule for each in listed.errors]
        titles = {
            each.get("id"): each.find("rim:Name/rim:LocalizedString", NS).get("value")
            for each in listed.content().iter("{*}ExtrinsicObject")
        }
        found = []
        for each in documents:
            title = titles.get(each.id)
            by_list = "hidden" if title is None else "masked" if title == "Sperret" else "shown"
            reply = self.ask(ticket, "ITI-43", m.retrieve(each.unique_id))
            rules = [error.rule for error in reply.errors]
            by_id = {(): "shown", ("retrieve-blocked",): "masked", ("retrieve-document",): "hidden"}[
                tuple(rules)
            ]
            assert reply.documents() == ({each.unique_id: each.content} if by_id == "shown" else {})
            found.append(by_list if by_list == by_id else f"listed: {by_list}, by its id: {by_id}")
        return found


@dataclass(frozen=True)
class Several(Marked):
    """A document with any number of codes."""

    codes: tuple[tuple[str, str], ...] = (N,)

    def xml(self) -> str:
        """With a Classification for each."""
        whole = super().xml()
        scheme = m.CODES["confidentialityCode"][0]
        (own,) = re.findall(
            rf'<rim:Classification id="\w+" classificationScheme="{scheme}".*?</rim:Classification>', whole
        )
        written = "".join(
            own.replace('nodeRepresentation="N"', f'nodeRepresentation="{code}"')
            .replace(LEVELS, system)
            .replace(' id="cl', f' id="cl{position}x')
            for position, (code, system) in enumerate(self.codes)
        )
        return whole.replace(own, written)


@pytest.fixture(scope="module")
def desk(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A node whose policy is not in the way."""
    folder: Path = tmp_path_factory.mktemp("desk")
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    service = TicketService(folder)
    return Desk(new_node(access__ticket="required", access__policy=policy, trust=service.trust), service)


@pytest.mark.parametrize("fault", CASES)
def test_what_the_other_does_wrong(fault: str, desk: Desk):
    """The list and the fetch by a known id say the same."""
    who, codes, expected = CASES[fault]
    patient = number(who.born, [*CASES].index(fault))
    documents = desk.submit(patient, codes)
    assert desk.seen(who.ticket(desk.service, patient), patient, documents) == [expected]


def test_an_entry_without_a_code_is_decided_on_its_own(desk: Desk):
    """It does not end the list, nor hide those that come after it (3.5); it comes from an older registry, as
    none is taken without a code today.
    """
    patient = number(date(1951, 1, 2), 1)
    documents = desk.submit(patient, [N], [N], [N])
    with create_engine(desk.node.database_url, poolclass=NullPool).begin() as connection:
        changed = connection.execute(
            text("UPDATE document_entry SET restrictions = 1 WHERE entry_uuid = :uuid"),
            {"uuid": bytes.fromhex(documents[1].id.removeprefix("urn:uuid:").replace("-", ""))},
        )
        assert changed.rowcount == 1
    for who, expected in (
        (CLINIC, ["shown", "masked", "shown"]),
        (CITIZEN, ["shown", "hidden", "shown"]),
        (EMERGENCY, ["shown"] * 3),
    ):
        assert desk.seen(who.ticket(desk.service, patient), patient, documents) == expected


def test_a_code_without_a_system_is_not_taken(desk: Desk):
    """It says nothing, and is refused at the door; in the matrix it hides what carries it."""
    patient = number(date(1951, 1, 2), 2)
    pid = m.PATIENT.replace(m.NUMBER, patient)
    document = Marked(patient=pid)
    body = m.provide([document], m.inline([document]), patient=pid)
    without = body.replace(m.slot("codingScheme", LEVELS), "")
    assert without != body
    reply = desk.ask(CLINIC.ticket(desk.service, patient), "ITI-41", without)
    assert [(each.code, each.rule) for each in reply.errors] == [
        ("XDSRepositoryMetadataError", "code-scheme")
    ]


def test_a_masked_entry_is_valid_and_names_itself(desk: Desk):
    """The other writes the nil UUID as the classified object, so that the answer is no ebRIM any more (3.6);
    what it keeps is kept here too.
    """
    patient = number(date(1951, 1, 2), 3)
    (document,) = desk.submit(patient, [N, _refusal("NORS")])
    pid = m.PATIENT.replace(m.NUMBER, patient)
    reply = desk.ask(CLINIC.ticket(desk.service, patient), "ITI-18", m.find_documents(pid))
    (entry,) = reply.content().iter("{*}ExtrinsicObject")
    classified = {each.get("classifiedObject") for each in entry.iter("{*}Classification")}
    assert classified == {document.id}
    assert document.unique_id in {each.get("value") for each in entry.iter("{*}ExternalIdentifier")}
    slots = {each.get("name"): each.findtext(".//{*}Value") for each in entry.iterfind("{*}Slot")}
    assert {"hash", "size", "creationTime", "repositoryUniqueId"} <= set(slots)
    assert slots["hash"] == document.sha1
    assert not any(marker.encode() in reply.body for marker in (m.FAMILY, m.TITLE, m.COMMENT, m.FILE))
    codes = {each.get("nodeRepresentation") for each in entry.iter("{*}Classification")}
    assert codes == {"", "*****", "A00-1", "86.101", "N", "NORS"}
