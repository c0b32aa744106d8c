"""What is blocked, over FHIR: the same that SOAP shows of it, element by element, on a real node.

Which elements stay, and what is in the place of the others, is written out by hand from norwegian-profile
3.6; besides, the masked entry of the SOAP answer, as a DocumentReference, is the same as FHIR's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lxml import etree

from tests.access import over_fhir as f
from tests.access.over_fhir import Client, Who
from tests.access.test_every_path import BLOCKED, POLICY, TODAY, Marked, number
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from xds.demo.tickets import TicketService
from xds.fhir.mapping import Place, Registered, document_reference
from xds.metadata.ebrim import read_object_list
from xds.metadata.entries import document_entry
from xds.security.denials import WSSE

PATIENT = number(TODAY.replace(year=1953, month=1, day=2), 0)
PID = m.PATIENT.replace(m.NUMBER, PATIENT)
COUNT = "nhn-securitylabel-nors-count"
AUTHENTICATOR = "Heggelund"
REFERENCE = "2026-77^^^&2.16.578.1.12.4.5.480.9&ISO^urn:ihe:iti:xds:2013:order"
DOCUMENT = Marked(
    b"Sperret innhold",
    id=m.new_uuid(),
    patient=PID,
    mime_type="text/plain",
    code=BLOCKED,
    slots={
        "legalAuthenticator": f"9144897^{AUTHENTICATOR}^Ask^^^^^^&2.16.578.1.12.4.1.4.4&ISO",
        "serviceStartTime": "20260310080000",
        "serviceStopTime": "20260311080000",
        "urn:ihe:iti:xds:2013:referenceIdList": REFERENCE,
    },
)
#: What must not be said of it, in whatever place.
UNSAID = (m.TITLE, m.COMMENT, m.FILE, m.FAMILY, AUTHENTICATOR, "Tuva", "2026-77", PATIENT, "A03-2", "S03")


@dataclass(frozen=True)
class House:
    """A node that has the document, and who asks for it."""

    client: Client

    def find(self, who: Who, more: str = "") -> tuple[dict[str, str], dict[str, Any]]:
        """The headers of a search for the patient's documents, and the Bundle."""
        path = f"/DocumentReference?patient.identifier={f.NATIONAL}|{PATIENT}{more}"
        reply = self.client.ask(who, f.get(path))
        assert reply.status == 200, reply.body
        return {name.lower(): value for name, value in reply.headers.items()}, json.loads(reply.body)

    def ticket(self, purpose: str = "TREAT", acp: str = "") -> Who:
        """A clinician's."""
        return f.saml(self.client.service, "personnel", PATIENT, purpose=purpose, acp=acp)

    def over_soap(self) -> etree._Element:
        """The masked entry."""
        ticket = self.client.service.saml("personnel", patient=PATIENT)
        header = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'
        reply = send(self.client.node, m.plain(m.find_documents(PID), "ITI-18", header=header))
        (entry,) = reply.content().iter("{*}ExtrinsicObject")
        return entry


def _house(make: Callable[..., Any], folder: Any, **more: Any) -> House:
    service = TicketService(folder)
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    node = make(access__ticket="required", access__policy=policy, trust=service.trust, **more)
    header = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{service.saml("system")}</w:Security>'
    body = m.provide([DOCUMENT], m.inline([DOCUMENT]), patient=PID)
    assert send(node, m.plain(body, "ITI-41", header=header)).outcome == SUCCESS
    return House(Client(node, service))


@pytest.fixture(scope="module")
def house(new_node: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> House:
    """A node that tells how many documents of a page are blocked."""
    return _house(new_node, tmp_path_factory.mktemp("house"), fhir__nors_count="told")


def _only(bundle: dict[str, Any]) -> dict[str, Any]:
    (entry,) = bundle["entry"]
    return dict(entry["resource"])


def test_masked_element_by_element(house: House) -> None:
    """What stays is what it was; what is about the content says that it is masked, or is not there."""
    _, bundle = house.find(house.ticket())
    masked, whole = _only(bundle), _only(house.find(house.ticket("ETREAT"))[1])
    for name in ("resourceType", "id", "meta", "masterIdentifier", "identifier", "status", "category"):
        assert masked[name] == whole[name], name
    assert masked["securityLabel"] == whole["securityLabel"]
    (content,), (of_whole,) = masked["content"], whole["content"]
    kept = ("contentType", "language", "url", "size", "hash", "creation")
    assert {name: content["attachment"].get(name) for name in kept} == {
        name: of_whole["attachment"][name] for name in kept
    }
    assert content["attachment"]["title"] == "Sperret"
    for name in ("facilityType", "period"):
        assert masked["context"][name] == whole["context"][name]
    for name in ("description", "relatesTo", "docStatus", "date"):
        assert (name in masked) <= (name == "date"), name
    assert {"event", "related", "encounter"}.isdisjoint(masked["context"])
    for element in (masked["type"], masked["context"]["practiceSetting"], content["format"]):
        assert "masked" in json.dumps(element)
    said = json.dumps(masked, ensure_ascii=False)
    assert [each for each in UNSAID if each in said] == []
    assert [each for each in UNSAID if each not in json.dumps(whole, ensure_ascii=False)] == []


def test_masked_as_over_soap(house: House) -> None:
    """The entry that SOAP answers, as a DocumentReference, is what FHIR answers."""
    root = etree.Element("{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}RegistryObjectList")
    root.append(house.over_soap())
    (obj,) = read_object_list(etree.fromstring(etree.tostring(root)))
    masked = _only(house.find(house.ticket())[1])
    own, version = masked["id"], int(masked["meta"]["versionId"])
    of = Registered(own, version, 0, ())
    mapped = document_reference(document_entry(obj), of, Place(f"{house.client.node.url}/fhir", ""))
    for resource in (masked, mapped):
        del resource["meta"]
        resource.pop("date", None)
    # logicalID and version are what metadata level 2 shows.
    assert mapped == masked


@pytest.mark.parametrize("how", ["read", "search by id", "POST", "XML"])
def test_masked_however_it_is_read(how: str, house: House) -> None:
    """One resource, by whatever way; nothing of the document in any form."""
    own = f.bare(DOCUMENT.id)
    who = house.ticket()
    masked = _only(house.find(who)[1])
    body = f"_id={own}".encode()
    call = {
        "read": f.get(f"/DocumentReference/{own}"),
        "search by id": f.get(f"/DocumentReference?_id={own}"),
        "POST": f.Call("POST ", "/DocumentReference/_search", body, f.FORM),
        "XML": f.get(f"/DocumentReference/{own}?_format=xml"),
    }[how]
    reply = house.client.ask(who, call)
    assert reply.status == 200
    text = reply.body.decode()
    assert [each for each in UNSAID if each in text] == []
    if how != "XML":
        found = json.loads(text)
        assert (found if how == "read" else _only(found)) == masked


def _opened() -> Iterator[tuple[str, str, str]]:
    yield from (("emergency", "ETREAT", ""), ("glass broken", "BTG", ""), ("consent", "TREAT", "5"))
    yield ("emergency by policy", "TREAT", "7")


@pytest.mark.parametrize(("name", "purpose", "acp"), list(_opened()))
def test_what_is_opened_is_whole(name: str, purpose: str, acp: str, house: House) -> None:
    """By emergency or consent: title, author and bytes; and none is counted as blocked."""
    who = house.ticket(purpose, acp)
    headers, bundle = house.find(who)
    assert headers[COUNT] == "0"
    assert _only(bundle)["content"][0]["attachment"]["title"] == m.TITLE
    reply = house.client.ask(who, f.get(f"/Binary/{f.bare(DOCUMENT.id)}"))
    assert (reply.status, reply.body) == (200, DOCUMENT.content)


def test_what_is_blocked_is_not_fetched(house: House) -> None:
    """403 with the rule and none of the bytes; whatever part is asked for, and however."""
    binary = f.get(f"/Binary/{f.bare(DOCUMENT.id)}")
    for call in (
        binary,
        binary.with_headers(Range="bytes=0-0"),
        binary.with_headers(If_None_Match=f'"{DOCUMENT.sha1}"'),
        binary.with_headers(Accept="application/fhir+json"),
        binary.with_headers(Accept="image/png"),
        f.get(f"/Binary/{f.bare(DOCUMENT.id)}?_format=json"),
    ):
        reply = house.client.ask(house.ticket(), call)
        assert (reply.status, f.rules(reply)) == (403, {"retrieve-blocked"})
        assert "ETag" not in reply.headers
        assert DOCUMENT.content not in reply.body
    assert house.client.ask(house.ticket(), f.Call("HEAD ", binary.path)).status == 403


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("", "1"),
        ("&status=current", "1"),
        ("&status=superseded", "0"),
        ("&_summary=count", "0"),
        ("&category=urn:oid:2.16.578.1.12.4.1.1.9602|A00-1", "1"),
        # What masking hides is not asked: else it could be guessed.
        (f"&author.family={m.FAMILY}", "0"),
        ("&type=urn:oid:2.16.578.1.12.4.1.1.9602|A03-2", "0"),
        ("&type:not=urn:oid:2.16.578.1.12.4.1.1.9602|A03-2", "0"),
        ("&setting=S03", "0"),
        ("&related=urn:oid:2.16.578.1.12.4.5.480.9|2026-77", "0"),
        ("&format=urn:ihe:iti:xds:2017:mimeTypeSufficient", "0"),
    ],
)
def test_how_many_are_blocked(more: str, count: str, house: House) -> None:
    """As Norwegian clients count them: those on the page."""
    headers, bundle = house.find(house.ticket(), more)
    assert headers[COUNT] == count
    shown = bundle.get("entry", ())
    assert len(shown) == int(count)


def test_how_many_are_blocked_is_not_told_unless_it_is_set(
    new_node: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """fhir.nors_count: the document is listed all the same."""
    house = _house(new_node, tmp_path_factory.mktemp("untold"))
    headers, bundle = house.find(house.ticket())
    assert COUNT not in headers
    assert _only(bundle)["content"][0]["attachment"]["title"] == "Sperret"
    house.client.node.stop()
