"""Envelope, mustUnderstand, WS-Addressing, and the faults that answer their breach."""

from __future__ import annotations

import io

import pytest
from lxml import etree

from tests.transport.messages import ANONYMOUS, SOAP11, SOAP12, WSA, envelope
from xds.errors import Fault, FaultCode
from xds.transport import xml
from xds.transport.faults import write_fault
from xds.transport.limits import Limits
from xds.transport.message import Message, Refused, read_message
from xds.transport.soap import Version
from xds.transport.staged import StagingFolder

E = f"{{{SOAP12}}}"
NEXT12, ULTIMATE = f"{SOAP12}/role/next", f"{SOAP12}/role/ultimateReceiver"
NEXT11 = "http://schemas.xmlsoap.org/soap/actor/next"


def read(text: str, staging: StagingFolder, understood: frozenset[str] = frozenset()) -> Message:
    return read_message(io.BytesIO(text.encode()), "application/soap+xml", Limits(), staging, understood)


def answer_to(text: str, staging: StagingFolder) -> tuple[Refused, etree._Element]:
    """The fault, and the message that answers it."""
    with pytest.raises(Refused) as caught:
        read(text, staging)
    refused = caught.value
    _, data = write_fault(refused.fault, refused.version, "abcdefabcdef", message_id=refused.message_id)
    return refused, xml.parse(data)


def qname(element: etree._Element | None) -> str:
    """A QName in an element's text, as a tag."""
    assert element is not None
    prefix, _, name = (element.text or "").rpartition(":")
    return f"{{{element.nsmap[prefix or None]}}}{name}"


def codes(root: etree._Element) -> list[str]:
    return [qname(value) for value in root.iter(f"{E}Value")]


BROKEN_ENVELOPES = {
    "no body": (f'<s:Envelope xmlns:s="{SOAP12}"/>', "no Body"),
    "an empty body": (envelope(""), "it has 0"),
    "two elements in the body": (envelope("<a/><b/>"), "it has 2"),
    "header after body": (
        f'<s:Envelope xmlns:s="{SOAP12}"><s:Body><a/></s:Body><s:Header/></s:Envelope>', "after its Body",
    ),
    "a stranger before the body": (
        f'<s:Envelope xmlns:s="{SOAP12}"><x/><s:Body><a/></s:Body></s:Envelope>', "no Body",
    ),
    "a body of the other version": (
        f'<s:Envelope xmlns:s="{SOAP12}"><s:Body xmlns:s="{SOAP11}"/></s:Envelope>', "no Body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_ENVELOPES)
def test_a_broken_envelope_is_a_sender_fault(staging: StagingFolder, name: str) -> None:
    """SOAP 1.2 part 1, 5."""
    text, reason = BROKEN_ENVELOPES[name]
    fault, root = answer_to(text, staging)

    assert reason in fault.reason
    assert codes(root) == [f"{E}Sender"]


@pytest.mark.parametrize(
    "text", ["<a/>", "<Envelope/>", f'<s:Body xmlns:s="{SOAP12}"/>', '<s:Envelope xmlns:s="urn:soap13"/>']
)
def test_another_root_is_a_version_mismatch_with_an_upgrade(staging: StagingFolder, text: str) -> None:
    """SOAP 1.2 part 1, 5.4.7: the Upgrade header names the envelopes we read, the best first."""
    _, root = answer_to(text, staging)
    supported = [
        f"{{{e.nsmap[e.get('qname').partition(':')[0]]}}}{e.get('qname').partition(':')[2]}"
        for e in root.iterfind(f"{E}Header/{E}Upgrade/{E}SupportedEnvelope")
    ]

    assert codes(root) == [f"{E}VersionMismatch"]
    assert supported == [f"{E}Envelope", f"{{{SOAP11}}}Envelope"]


def block(soap: str, must: str, role: str | None) -> str:
    attribute = "role" if soap == SOAP12 else "actor"
    named = "" if role is None else f' s:{attribute}="{role}"'
    return f'<w:Security xmlns:w="urn:w" s:mustUnderstand="{must}"{named}/>'


@pytest.mark.parametrize(
    ("soap", "must", "role", "refused"),
    [
        (SOAP12, "1", None, True), (SOAP12, "true", None, True), (SOAP12, " true ", NEXT12, True),
        (SOAP12, "1", ULTIMATE, True), (SOAP12, "1", "", True), (SOAP12, "0", None, False),
        (SOAP12, "false", None, False), (SOAP12, "1", f"{SOAP12}/role/none", False),
        (SOAP12, "1", "urn:other", False),
        (SOAP11, "1", None, True), (SOAP11, "1", NEXT11, True), (SOAP11, "0", None, False),
        (SOAP11, "1", "urn:other", False), (SOAP11, "1", "", True),
    ],
)  # fmt: skip
def test_mandatory_headers_for_us_must_be_understood(
    staging: StagingFolder, soap: str, must: str, role: str | None, refused: bool
) -> None:
    """SOAP 1.2 part 1, 2.4 and 5.2; SOAP 1.1, 4.2."""
    text = envelope(soap=soap, header=block(soap, must, role))
    if not refused:
        assert read(text, staging).action
        return
    fault, root = answer_to(text, staging)

    assert fault.not_understood == (("urn:w", "Security"),)
    assert read(text, staging, frozenset({"{urn:w}Security"})).action
    if soap == SOAP12:
        named = root.find(f"{E}Header/{E}NotUnderstood")
        assert named is not None
        prefix, _, name = (named.get("qname") or "").partition(":")
        assert (named.nsmap[prefix], name) == ("urn:w", "Security")
        assert codes(root) == [f"{E}MustUnderstand"]
    else:
        assert qname(root.find(".//faultcode")) == f"{{{SOAP11}}}MustUnderstand"
        assert root.find(".//detail") is None


def test_all_headers_not_understood_are_named_at_once(staging: StagingFolder) -> None:
    """Not the first only."""
    two = '<a1 xmlns="urn:x" s:mustUnderstand="1"/><b1 s:mustUnderstand="1"/>'

    assert answer_to(envelope(header=two), staging)[0].not_understood == (("urn:x", "a1"), ("", "b1"))


def epr(name: str, address: str) -> str:
    return f"<a:{name}><a:Address>{address}</a:Address></a:{name}>"


INVALID = "InvalidAddressingHeader"
ADDRESSING = {
    "no Action": (envelope(action=None), ["MessageAddressingHeaderRequired"], "Action"),
    "an empty Action": (envelope(action=" "), ["MessageAddressingHeaderRequired"], "Action"),
    "two Actions": (envelope(header="<a:Action>urn:b</a:Action>"), [INVALID, "InvalidCardinality"], "Action"),
    "two MessageIDs": (
        envelope(header="<a:MessageID>x</a:MessageID>"), [INVALID, "InvalidCardinality"], "MessageID",
    ),
    "two Tos": (envelope(header="<a:To>x</a:To><a:To>x</a:To>"), [INVALID, "InvalidCardinality"], "To"),
    "a reply elsewhere": (
        envelope(header=epr("ReplyTo", "http://127.0.0.1:9/secret")),
        [INVALID, "OnlyAnonymousAddressSupported"], "ReplyTo",
    ),
    "no reply wanted": (
        envelope(header=epr("ReplyTo", f"{WSA}/none")), [INVALID, "OnlyAnonymousAddressSupported"], "ReplyTo",
    ),
    "faults elsewhere": (
        envelope(header=epr("FaultTo", "http://127.0.0.1:9/secret")),
        [INVALID, "OnlyAnonymousAddressSupported"], "FaultTo",
    ),
    "a reply without address": (envelope(header="<a:ReplyTo/>"), [INVALID, "MissingAddressInEPR"], "ReplyTo"),
    "a reply with two": (
        envelope(header=f"<a:ReplyTo>{f'<a:Address>{ANONYMOUS}</a:Address>' * 2}</a:ReplyTo>"),
        [INVALID, "InvalidEPR"], "ReplyTo",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSING)
def test_broken_addressing_is_answered_with_its_code_and_header(staging: StagingFolder, name: str) -> None:
    """WS-Addressing 1.0 SOAP binding, 6.4."""
    text, subcodes, header = ADDRESSING[name]
    fault, root = answer_to(text, staging)

    assert codes(root) == [f"{E}Sender", *(f"{{{WSA}}}{code}" for code in subcodes)]
    assert qname(root.find(f".//{E}Detail/{{{WSA}}}ProblemHeaderQName")) == f"{{{WSA}}}{header}"
    assert root.findtext(f"{E}Header/{{{WSA}}}Action") == f"{WSA}/fault"
    assert root.findtext(f"{E}Header/{{{WSA}}}RelatesTo") == "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert "secret" not in fault.reason


def test_in_soap_1_1_the_addressing_detail_is_a_header(staging: StagingFolder) -> None:
    """SOAP 1.1, 4.4: the detail element is for the Body only; the binding's FaultDetail takes its place."""
    _, root = answer_to(envelope(soap=SOAP11, action=None), staging)

    assert qname(root.find(".//faultcode")) == f"{{{WSA}}}MessageAddressingHeaderRequired"
    assert root.find(".//detail") is None
    assert qname(root.find(f".//{{{WSA}}}FaultDetail/{{{WSA}}}ProblemHeaderQName")) == f"{{{WSA}}}Action"


@pytest.mark.parametrize(
    "header",
    [
        "",
        epr("ReplyTo", ANONYMOUS),
        epr("ReplyTo", f"\n {ANONYMOUS} "),
        epr("FaultTo", ANONYMOUS),
        '<a:Action s:role="urn:other">urn:x</a:Action>',
        '<a:ReplyTo s:role="urn:other"><a:Address>http://127.0.0.1:9</a:Address></a:ReplyTo>',
        "<a:RelatesTo>urn:1</a:RelatesTo><a:RelatesTo>urn:2</a:RelatesTo>",
        '<Action xmlns="http://schemas.xmlsoap.org/ws/2004/08/addressing">urn:x</Action>',
    ],
)
def test_anonymous_replies_and_headers_for_others_are_fine(staging: StagingFolder, header: str) -> None:
    """A missing ReplyTo means anonymous; what is for another role is not ours (ITI TF-2 appendix V.3)."""
    assert read(envelope(header=header), staging).action == "urn:test:echo"


def test_the_message_id_may_be_missing(staging: StagingFolder) -> None:
    """Then there is nothing to relate to."""
    assert read(envelope(message_id=None), staging).message_id == ""


def test_a_fault_holds_reason_reference_and_code_in_soap_1_2() -> None:
    """SOAP 1.2 part 1, 5.4: Code, Reason in a language, Detail."""
    content_type, data = write_fault(
        Fault(FaultCode.SENDER, "Too <big>."), Version.SOAP12, "abc", message_id="urn:1"
    )
    root = xml.parse(data)
    text = root.find(f".//{E}Text")
    assert text is not None

    assert content_type == "application/soap+xml; charset=utf-8"
    assert (text.text, text.get("{http://www.w3.org/XML/1998/namespace}lang")) == (
        "Too <big>. (reference abc)",
        "en",
    )
    assert root.findtext(f".//{E}Detail/{{urn:xds:fault}}Reference") == "abc"
    assert root.findtext(f"{E}Header/{{{WSA}}}Action") == f"{WSA}/soap/fault"
    assert root.findtext(f"{E}Header/{{{WSA}}}RelatesTo") == "urn:1"
    fault = root.find(f"{E}Body/{E}Fault")
    assert fault is not None
    assert [etree.QName(child).localname for child in fault] == ["Code", "Reason", "Detail"]


@pytest.mark.parametrize(("code", "word"), [(FaultCode.SENDER, "Client"), (FaultCode.RECEIVER, "Server")])
def test_a_fault_in_soap_1_1_has_its_own_words(code: FaultCode, word: str) -> None:
    """SOAP 1.1, 4.4: unqualified children in this order."""
    content_type, data = write_fault(Fault(code, "No."), Version.SOAP11, "abc")
    root = xml.parse(data)
    fault = root.find(f".//{{{SOAP11}}}Fault")
    assert fault is not None

    assert content_type == "text/xml; charset=utf-8"
    assert [child.tag for child in fault] == ["faultcode", "faultstring", "detail"]
    assert qname(fault[0]) == f"{{{SOAP11}}}{word}"
    assert fault.findtext("faultstring") == "No. (reference abc)"
    assert fault.findtext("detail/{urn:xds:fault}Reference") == "abc"


@pytest.mark.parametrize(
    ("action", "echoed"),
    [
        ("urn:ihe:iti:2007:Nothing", True),
        ("urn:x?patient=1", False),
        ("Ola Nordmann", False),
        ("urn:" + "x" * 300, False),
    ],
)
def test_an_unknown_action_is_named_only_when_it_is_a_name(action: str, echoed: bool) -> None:
    """ProblemAction (SOAP binding, 6.4.4) must not carry anything else back."""
    fault = Fault(FaultCode.SENDER, "Unknown.", subcode=(WSA, "ActionNotSupported"))
    root = xml.parse(write_fault(fault, Version.SOAP12, "abc", action=action)[1])

    assert codes(root) == [f"{E}Sender", f"{{{WSA}}}ActionNotSupported"]
    assert root.findtext(f".//{{{WSA}}}ProblemAction/{{{WSA}}}Action") == (action if echoed else None)
    assert root.findtext(f"{E}Header/{{{WSA}}}Action") == f"{WSA}/fault"
