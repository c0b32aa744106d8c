"""ITI-80: a submission that another community addresses to this one (XCDR).

What is addressed rightly is ITI-41 and nothing else; whatever is not leaves nothing behind. Messages are
written by hand from ihe-rules 6.4 and from what IPF and gematik's clients send.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from tests.access.test_every_path import POLICY
from tests.blackbox import messages as m
from tests.blackbox.messages import Document
from tests.blackbox.state import counts
from tests.blackbox.wire import FAILURE, NS, RIM, RS, SOAP11, SUCCESS, Reply, Request, send
from tests.nodes import Node
from xds.demo.tickets import TicketService
from xds.security.denials import WSSE

HOME = "2.16.578.1.12.4.5.100.8"
OWN = f"urn:oid:{HOME}"
STRANGER = "urn:oid:2.999.404"
IHE = "urn:ihe:iti:xdr:2014"
#: The SOAP role of the block, as XCDR has it; IPF has it in its code, but does not send it.
ROLE = "urn:ihe:iti:xd:id"


def document(**more: object) -> Document:
    """One with bytes and ids of its own."""
    return Document(content=b"%PDF ITI-80 " + secrets.token_bytes(500), id=m.new_uuid(), **more)  # type: ignore[arg-type]


def with_slot(body: str, *homes: str) -> str:
    """The submission with a Slot that names communities."""
    listed = f'<rs:RequestSlotList xmlns:rs="{RS}">{m.slot("homeCommunityId", homes)}</rs:RequestSlotList>'
    return body.replace("<lcm:SubmitObjectsRequest>", f"<lcm:SubmitObjectsRequest>{listed}", 1)


def inline(*documents: Document, patient: str = m.PATIENT) -> str:
    """The body of a submission with the bytes in it."""
    return m.provide(documents, m.inline(documents), patient=patient)


@dataclass(frozen=True)
class Desk:
    """A community that takes submissions; `header` is that of a ticket, where it wants one."""

    node: Node
    header: str = ""

    def provide(
        self,
        body: str,
        header: str,
        *,
        parts: tuple[m.Part, ...] | None = None,
        path: str = m.RESPONDING,
        transaction: str = "ITI-80",
        soap: str = m.SOAP12,
    ) -> Reply:
        """One submission, as MTOM if it has `parts`."""
        data = m.envelope(body, transaction, soap=soap, header=header + self.header)
        if parts is None:
            return send(self.node, Request(path, m.media_type(soap), data))
        return send(self.node, Request(path, *m.multipart(data, parts, soap=soap)))

    def refuses(self, body: str, header: str, **more: object) -> Reply:
        """The answer to what must leave nothing behind."""
        before = counts(self.node)
        reply = self.provide(body, header, **more)  # type: ignore[arg-type]
        assert counts(self.node) == before, "something was stored"
        return reply

    def has(self, one: Document) -> bool:
        """Whether the registry lists it and the repository hands it out, byte for byte; both or neither."""
        asked = m.plain(m.get_documents(one.unique_id), "ITI-18", header=self.header)
        found = send(self.node, asked).content().findall(".//rim:ExtrinsicObject", NS)
        asked = m.plain(m.retrieve(one.unique_id), "ITI-43", header=self.header)
        documents = send(self.node, asked).documents()
        assert documents == ({one.unique_id: one.content} if found else {})
        assert [each.get("id") for each in found] == ([one.id] if found else [])
        return bool(found)


def failed(reply: Reply) -> list[tuple[str, str]]:
    """Code and rule of each error of a Failure; all are located at the community."""
    assert (reply.status, reply.outcome) == (200, FAILURE)
    assert {each.location for each in reply.errors} == {OWN}
    return [(each.code, each.rule) for each in reply.errors]


MISSING = [("XDSMissingHomeCommunityId", "community-addressed")]
UNKNOWN = [("XDSUnknownCommunity", "community-own")]


@pytest.fixture(scope="module")
def desk(new_node: Callable[..., Node]) -> Desk:
    """A community where nobody is asked for a ticket."""
    return Desk(new_node(node__home_community_id=HOME, registry__results=50))


# ---- addressed to us

#: The header block, and the communities in the Slot.
ADDRESSED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "in the header": (m.home_block(OWN), ()),
    "in the header, to be understood": (m.home_block(OWN, ' s:mustUnderstand="1"'), ()),
    "in the header, for the next or the last": (
        m.home_block(OWN, f' s:role="{m.SOAP12}/role/ultimateReceiver" s:relay="true"'),
        (),
    ),
    "in the Slot": ("", (OWN,)),
    "in both": (m.home_block(OWN), (OWN,)),
    "in the header, with a stranger in the Slot": (m.home_block(OWN), (STRANGER,)),
    "without urn:oid:": (m.home_block(HOME), ()),
    "with blanks around it": (m.home_block(f"\n  {OWN}\n  "), ()),
    "in the header, in IHE's own role": (m.home_block(OWN, f' s:role="{ROLE}" s:relay="true"'), ()),
}


@pytest.mark.parametrize("mtom", [False, True], ids=["inline", "MTOM"])
@pytest.mark.parametrize("how", ADDRESSED)
def test_what_is_addressed_to_us_is_registered_as_by_iti41(how: str, mtom: bool, desk: Desk) -> None:
    """Found and fetched byte for byte; the answer has the form of the request, and ITI-80's own action."""
    header, slot = ADDRESSED[how]
    two = document(), document()
    if mtom:
        contents = {each.id: m.include(f"cid:{each.id[9:]}@example.org") for each in two}
        parts = tuple((f"{each.id[9:]}@example.org", m.BINARY, each.content) for each in two)
        body = m.provide(two, contents)
    else:
        parts, body = None, inline(*two)
    reply = desk.provide(with_slot(body, *slot) if slot else body, header, parts=parts)
    assert (reply.outcome, reply.errors, reply.mtom) == (SUCCESS, [], mtom)
    assert reply.header("Action") == m.ACTIONS["ITI-80"] + "Response"
    assert all(desk.has(each) for each in two)


def test_it_comes_in_soap_1_1_too(desk: Desk) -> None:
    """Answered in the same version."""
    one = document()
    reply = desk.provide(inline(one), m.home_block(OWN, ' s:mustUnderstand="1"'), soap=SOAP11)
    assert (reply.version, reply.outcome) == (SOAP11, SUCCESS)
    assert desk.has(one)


def test_a_repeat_is_no_new_submission_whichever_address_it_comes_to(desk: Desk) -> None:
    """As with ITI-41 twice: a sender that did not get its answer sends again."""
    one = document()
    body = m.provide([one], m.inline([one]), m.new_oid())
    for transaction, path, header in (
        ("ITI-80", m.RESPONDING, m.home_block(OWN)),
        ("ITI-80", m.RESPONDING, m.home_block(OWN)),
        ("ITI-41", m.REPOSITORY, ""),
    ):
        reply = desk.provide(body, header, path=path, transaction=transaction)
        assert reply.outcome == SUCCESS, reply.errors
    assert desk.has(one)


def test_it_replaces_as_iti41_does(desk: Desk) -> None:
    """The replaced document is deprecated."""
    first, second = document(), document()
    assert desk.provide(inline(first), m.home_block(OWN)).outcome == SUCCESS
    link = m.association("as9", m.REPLACE, second.id, first.id)
    body = inline(second).replace("</rim:RegistryObjectList>", f"{link}</rim:RegistryObjectList>", 1)
    assert desk.provide(body, m.home_block(OWN)).outcome == SUCCESS
    found = send(desk.node, m.plain(m.get_documents(first.unique_id, second.unique_id), "ITI-18")).content()
    states = {each.get("id"): each.get("status") for each in found.iter(f"{{{RIM}}}ExtrinsicObject")}
    assert states == {first.id: m.DEPRECATED, second.id: m.APPROVED}


# ---- not addressed to us

#: The header block, the communities in the Slot, and the errors.
MISADDRESSED: Mapping[str, tuple[str, tuple[str, ...], list[tuple[str, str]]]] = {
    "nowhere": ("", (), MISSING),
    "in an empty header": (m.home_block(""), (), MISSING),
    "in a blank header": (m.home_block("  "), (), MISSING),
    "in a header without the id": (f'<x:homeCommunityBlock xmlns:x="{IHE}"/>', (), MISSING),
    "in a header of another namespace": (
        m.home_block(OWN).replace(IHE, "urn:ihe:iti:xds-b:2007"),
        (),
        MISSING,
    ),
    "in an element of another namespace": (
        m.home_block(OWN).replace("<x:homeCommunityId>", '<x:homeCommunityId xmlns:x="urn:example:x">'),
        (),
        MISSING,
    ),
    "in an empty Slot": ("", ("",), MISSING),
    "to a stranger": (m.home_block(STRANGER), (), UNKNOWN),
    "to a stranger in the Slot": ("", (STRANGER,), UNKNOWN),
    "to a stranger, with us in the Slot": (m.home_block(STRANGER), (OWN,), UNKNOWN),
    "to a stranger, in IHE's own role": (m.home_block(STRANGER, f' s:role="{ROLE}"'), (OWN,), UNKNOWN),
    "to something like us": (m.home_block(OWN + ".1"), (), UNKNOWN),
    "to a part of us": (m.home_block(OWN[:-2]), (), UNKNOWN),
    "to our repository": (m.home_block(f"urn:oid:{m.REPOSITORY_ID}"), (), UNKNOWN),
    "to us twice over": (m.home_block(f"urn:oid:{OWN}"), (), UNKNOWN),
    "to words": (m.home_block(m.FAMILY), (), UNKNOWN),
}


@pytest.mark.parametrize("mtom", [False, True], ids=["inline", "MTOM"])
@pytest.mark.parametrize("how", MISADDRESSED)
def test_what_is_not_addressed_to_us_is_refused(how: str, mtom: bool, desk: Desk) -> None:
    """All of it, with the one error, in the form of the request; no part of the message comes back."""
    header, slot, errors = MISADDRESSED[how]
    one = document()
    parts, body = None, inline(one)
    if mtom:
        parts = (("1@example.org", m.BINARY, one.content),)
        body = m.provide([one], {one.id: m.include("cid:1@example.org")})
    reply = desk.refuses(with_slot(body, *slot) if slot else body, header, parts=parts)
    assert (failed(reply), reply.mtom) == (errors, mtom)
    assert not any(each.encode() in reply.body for each in m.MARKERS)
    assert not desk.has(one)


def test_the_slots_of_the_objects_do_not_name_the_community(desk: Desk) -> None:
    """Nor does home of the submission set or of a document, which says whose it is."""
    one = document(slots={"homeCommunityId": OWN})
    body = inline(one).replace("<rim:ExtrinsicObject ", f'<rim:ExtrinsicObject home="{OWN}" ', 1)
    body = body.replace("<rim:RegistryPackage ", f'<rim:RegistryPackage home="{OWN}" ', 1)
    assert failed(desk.refuses(body, "")) == MISSING


# ---- wrong besides: every error is the community's, and nothing is half done

#: A submission of two documents of which one is wrong -> the errors.
WRONG: Mapping[str, tuple[Callable[[Document, Document], str], list[tuple[str, str]]]] = {
    "a hash that is not that of the bytes": (
        lambda good, bad: inline(good, replace(bad, slots={"hash": "0" * 40})),
        [("XDSRepositoryMetadataError", "document-hash")],
    ),
    "two attributes that are missing": (
        lambda good, bad: inline(good, replace(bad, without=("classCode", "typeCode"))),
        [
            ("XDSRepositoryMetadataError", "DE-classCode-required"),
            ("XDSRepositoryMetadataError", "DE-typeCode-required"),
        ],
    ),
    "a document without bytes": (
        lambda good, bad: m.provide([good, bad], m.inline([good])),
        [("XDSMissingDocument", "document-for-entry")],
    ),
    "another patient's document": (
        lambda good, bad: inline(good, replace(bad, patient=m.OTHER)),
        [("XDSPatientIdDoesNotMatch", "patientId-message")],
    ),
    "an association to nothing": (
        lambda good, bad: inline(good, bad).replace(
            "</rim:RegistryObjectList>",
            f"{m.association('as9', m.APPEND, bad.id, m.new_uuid())}</rim:RegistryObjectList>",
        ),
        [("UnresolvedReferenceException", "registry-reference-known")],
    ),
    "a Body that breaks the schema": (
        lambda good, bad: inline(good, bad).replace(
            "<rim:RegistryPackage ", "<rim:Ukjent/><rim:RegistryPackage "
        ),
        [("XDSRepositoryMetadataError", "schema")],
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_there_is_no_partial_success(fault: str, desk: Desk) -> None:
    """One wrong document of two: Failure, all errors located at the community, and nothing stored."""
    make, errors = WRONG[fault]
    good, bad = document(), document()
    reply = desk.refuses(make(good, bad), m.home_block(OWN))
    assert set(failed(reply)) == set(errors)
    assert not desk.has(good)


def test_a_known_document_with_other_bytes_is_refused(desk: Desk) -> None:
    """As by ITI-41; the first bytes stay."""
    first = document()
    assert desk.provide(inline(first), m.home_block(OWN)).outcome == SUCCESS
    other = replace(first, id=m.new_uuid(), content=secrets.token_bytes(len(first.content)))
    reply = desk.refuses(inline(other), m.home_block(OWN))
    assert failed(reply) == [("XDSNonIdenticalHash", "registry-document-same-hash")]
    assert desk.has(first)


def test_the_place_of_an_error_is_in_its_text(desk: Desk) -> None:
    """As the location is the community's."""
    bad = document(slots={"hash": "0" * 40})
    (error,) = desk.refuses(inline(bad), m.home_block(OWN)).errors
    assert f"({bad.id}/hash)" in error.context


def test_the_location_of_a_warning_is_the_community_too(new_node: Callable[..., Node]) -> None:
    """A Success with warnings, as a code of an unknown system gives them (docs/codes.md)."""
    desk = Desk(new_node(node__home_community_id=HOME, codes__profile="norwegian"))
    one = document()
    body = inline(one).replace("2.16.578.1.12.4.1.1.8655", "2.999.8655")
    reply = desk.provide(body, m.home_block(OWN))
    assert reply.outcome == SUCCESS
    assert reply.errors
    assert {each.location for each in reply.errors} == {OWN}


# ---- the block elsewhere


def test_at_the_repository_the_block_is_ignored_unless_it_must_be_understood(desk: Desk) -> None:
    """A repository is no recipient of XDR that sends on: it registers what is given to it. Who insists that
    the block is understood is told that it is not, and for a role that is not ours nobody insists (SOAP 1.2
    part 1, 2.4 and 2.6).
    """
    for header in (
        m.home_block(OWN),
        m.home_block(OWN, ' s:mustUnderstand="0"'),
        m.home_block(OWN, f' s:role="{ROLE}" s:relay="true" s:mustUnderstand="1"'),
    ):
        one = document()
        reply = desk.provide(inline(one), header, path=m.REPOSITORY, transaction="ITI-41")
        assert reply.outcome == SUCCESS
        assert desk.has(one)
    header = m.home_block(OWN, ' s:mustUnderstand="1"')
    for path, transaction in ((m.REPOSITORY, "ITI-41"), (m.REGISTRY, "ITI-42")):
        reply = desk.refuses(inline(document()), header, path=path, transaction=transaction)
        assert (reply.status, reply.fault.code) == (500, f"{{{m.SOAP12}}}MustUnderstand")


def test_other_transactions_of_the_address_understand_the_block(desk: Desk) -> None:
    """It says nothing to them: XCDR's sender may write it into every message."""
    reply = desk.provide(m.find_documents(), m.home_block(OWN, ' s:mustUnderstand="1"'), transaction="ITI-38")
    assert reply.outcome == SUCCESS


def test_iti80_is_at_the_gateway_and_nowhere_else(desk: Desk) -> None:
    """And ITI-41 is not at the gateway."""
    for path, transaction in ((m.REPOSITORY, "ITI-80"), (m.REGISTRY, "ITI-80"), (m.RESPONDING, "ITI-41")):
        reply = desk.refuses(inline(document()), m.home_block(OWN), path=path, transaction=transaction)
        assert reply.fault.subcodes == ["{http://www.w3.org/2005/08/addressing}ActionNotSupported"]


# ---- the gates


@dataclass(frozen=True)
class Guarded:
    """A community that wants tickets, with a policy that lets nobody coordinate care."""

    node: Node
    service: TicketService

    def desk(self, ticket: str) -> Desk:
        """Whoever has the ticket."""
        header = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>' if ticket else ""
        return Desk(self.node, header)


@pytest.fixture(scope="module", params=["fault", "registry-error"])
def guarded(
    request: pytest.FixtureRequest, new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """With each of the two ways to deny."""
    folder = tmp_path_factory.mktemp("guarded")
    policy = folder / "policy.toml"
    policy.write_text(
        POLICY + '\n[[policy]]\nid = "no-coc"\neffect = "deny"\nactions = ["create"]\npurposes = ["COC"]\n'
    )
    service = TicketService(folder)
    node = new_node(
        node__home_community_id=HOME,
        access__ticket="required",
        access__policy=policy,
        access__denial=request.param,
        trust=service.trust,
    )
    yield Guarded(node, service)
    node.stop()


def test_gate_1_stands_in_front(guarded: Guarded) -> None:
    """Without a ticket, and with one that has been tampered with: nothing is stored."""
    good = guarded.service.saml("personnel")
    for ticket in ("", good.replace("TREAT", "ETREAT", 1)):
        reply = guarded.desk(ticket).refuses(inline(document()), m.home_block(OWN))
        if guarded.node.environment["XDS_ACCESS__DENIAL"] == "fault":
            assert reply.status == 500
            assert reply.fault.subcodes[0].startswith(f"{{{WSSE}}}")
        else:
            ((code, _),) = failed(reply)
            assert code == "XDSRegistryError"


def test_gate_2_stands_in_front(guarded: Guarded) -> None:
    """Another patient, a policy that denies, a citizen about somebody else's record: nothing is stored."""
    for ticket, rule in (
        (guarded.service.saml("personnel", patient=m.OTHER_NUMBER), "access-patient"),
        (guarded.service.saml("personnel", purpose="COC"), "access-policy"),
        (guarded.service.saml("citizen", person=m.OTHER_NUMBER), "access-patient"),
    ):
        reply = guarded.desk(ticket).refuses(inline(document()), m.home_block(OWN))
        assert [each for _, each in failed(reply)] == [rule]


def test_what_is_wrongly_addressed_is_refused_before_it_is_looked_at(guarded: Guarded) -> None:
    """A stranger's submission is told so and nothing else, whosoever ticket comes with it."""
    for ticket in (
        guarded.service.saml("personnel"),
        guarded.service.saml("personnel", patient=m.OTHER_NUMBER),
    ):
        reply = guarded.desk(ticket).refuses(inline(document(without=("classCode",))), m.home_block(STRANGER))
        assert failed(reply) == UNKNOWN


def test_who_may_is_let_in(guarded: Guarded) -> None:
    """And finds and fetches what was sent."""
    desk, one = guarded.desk(guarded.service.saml("personnel")), document()
    assert desk.provide(inline(one), m.home_block(OWN, ' s:mustUnderstand="1"')).outcome == SUCCESS
    assert desk.has(one)
