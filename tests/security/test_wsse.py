"""The wsse:Security header: one assertion in it, fresh, and sent by somebody who may send it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from lxml import etree

from tests.security import assertions
from tests.security.assertions import (
    DS,
    ENVELOPED,
    EXCLUSIVE,
    ID,
    NOW,
    PERSON,
    SAML,
    assertion,
    at,
    certificate,
    ec_key,
    issuer,
    reference,
    rsa_key,
    rsa_key_value,
    sign,
    signature,
    signed,
    trust,
    x509_data,
)
from xds.errors import Denied
from xds.security import saml, wsse
from xds.security.trust import Confirmation
from xds.transport import xml
from xds.transport.soap import SOAP11, SOAP12, Version

Element = etree._Element
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SKEW = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
EVIL = PERSON[:-2] + "00"


def text(element: Element) -> str:
    """An element as XML, without its tail."""
    return etree.tostring(element, encoding="unicode", with_tail=False)


def stamp(created: str = at(), expires: str = at(5), name: str = "T") -> str:
    """A wsu:Timestamp; an empty time is left out."""
    times = "".join(
        f"<wsu:{tag}>{time}</wsu:{tag}>" for tag, time in (("Created", created), ("Expires", expires)) if time
    )
    return f'<wsu:Timestamp wsu:Id="{name}">{times}</wsu:Timestamp>'


def block(*parts: str, attributes: str = "") -> str:
    """A wsse:Security block."""
    return f"<wsse:Security {attributes}>{''.join(parts)}</wsse:Security>"


def header(*blocks: str, soap: str = SOAP12) -> Element:
    """A SOAP header as it comes out of a parsed envelope."""
    envelope = xml.parse(
        f'<s:Envelope xmlns:s="{soap}" xmlns:wsse="{WSSE}" xmlns:wsu="{WSU}" xmlns:ds="{DS}"'
        f' xmlns:saml="{SAML}"><s:Header>{"".join(blocks)}</s:Header><s:Body><q/></s:Body>'
        "</s:Envelope>".encode()
    )
    return envelope[0]


def judge(element: Element | None, known: Any = None, *, known_sender: bool = False) -> saml.Ticket:
    """What the gate does with a header, as far as these two modules go."""
    security = wsse.find(element, Version.SOAP12)
    ticket = saml.verify(security.assertion, known or trust(), NOW)[1]
    wsse.check_timestamp(security, NOW, SKEW)
    wsse.confirm(security, ticket, NOW, known_sender=known_sender)
    return ticket


def refusal(element: Element | None, known: Any = None, *, known_sender: bool = False) -> str:
    """The id with which a header is refused."""
    with pytest.raises(Denied) as caught:
        judge(element, known, known_sender=known_sender)
    return caught.value.rule


# -- where the assertion stands ------------------------------------------------------------------------------

GOOD = text(signed())
ROLE = f'xmlns:s="{SOAP12}" s:role='

FOUND = {
    "alone": header(block(GOOD)),
    "with a timestamp": header(block(stamp(), GOOD)),
    "with other blocks": header('<a:To xmlns:a="urn:a">x</a:To>', block(GOOD)),
    "for the next node": header(block(GOOD, attributes=f'{ROLE}"{SOAP12}/role/next"')),
    "for the ultimate receiver": header(block(GOOD, attributes=f'{ROLE}"{SOAP12}/role/ultimateReceiver"')),
    "beside another node's block": header(block(attributes=f'{ROLE}"urn:proxy"'), block(GOOD)),
    "with a token reference": header(block(GOOD, "<wsse:SecurityTokenReference/>")),
    "with a user name token": header(block("<wsse:UsernameToken/>", GOOD)),
    "with a signature of the message": header(block(GOOD, "<ds:Signature/>")),
    "with blanks and line ends": header(block("\n  ", GOOD, "\n  ")),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_one_assertion_is_found(name: str):
    """It is the child of the one block for this node, whatever stands beside it."""
    found = wsse.find(FOUND[name], Version.SOAP12)
    assert found.assertion.get("ID") == ID
    assert found.element.tag == wsse.TAG == f"{{{WSSE}}}Security"
    assert judge(FOUND[name]).id == ID


def test_soap_1_1_has_actors():
    """In SOAP 1.1 a block for another actor is not for this node."""
    own = header(block(GOOD, attributes=f'xmlns:s="{SOAP11}" s:actor=""'), soap=SOAP11)
    assert wsse.find(own, Version.SOAP11).assertion.get("ID") == ID
    with pytest.raises(Denied, match="ticket-missing"):
        wsse.find(
            header(block(GOOD, attributes=f'xmlns:s="{SOAP11}" s:actor="urn:x"'), soap=SOAP11),
            Version.SOAP11,
        )


def test_the_exact_bytes_are_those_of_the_assertion_alone():
    """What follows the assertion does not belong to them; a changed letter does."""
    one = wsse.find(header(block(GOOD, "\n")), Version.SOAP12).exact
    other = wsse.find(header(block(GOOD, stamp())), Version.SOAP12).exact
    assert one == other
    assert one.endswith(b"Assertion>")
    changed = wsse.find(header(block(GOOD.replace("Lege", "Lego", 1))), Version.SOAP12).exact
    assert one != changed


ENCRYPTED = '<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"/>'
MISSING: dict[str, tuple[Element | None, str]] = {
    "no header": (None, "ticket-missing"),
    "an empty header": (header(), "ticket-missing"),
    "an empty block": (header(block()), "ticket-missing"),
    "a block for another node": (header(block(GOOD, attributes=f'{ROLE}"urn:proxy"')), "ticket-missing"),
    "a block of another namespace": (header(f'<Security xmlns="urn:x">{GOOD}</Security>'), "ticket-missing"),
    "an assertion outside the block": (header(GOOD, block()), "ticket-missing"),
    "an assertion deep in the block": (header(block(f"<x>{GOOD}</x>")), "ticket-missing"),
    "two blocks": (header(block(GOOD), block(stamp())), "ticket-header-many"),
    "two blocks with roles for us": (
        header(block(GOOD), block(attributes=f'{ROLE}"{SOAP12}/role/next"')),
        "ticket-header-many",
    ),
    "two assertions": (
        header(block(GOOD, text(signed(issuer="<saml:Issuer>b</saml:Issuer>")))),
        "ticket-many",
    ),
    "the same assertion twice": (header(block(GOOD, GOOD)), "ticket-many"),
    "a second one in another block": (header(block(GOOD), f'<x xmlns="urn:x">{GOOD}</x>'), "ticket-many"),
    "a second one for another node": (
        header(block(GOOD), block(GOOD, attributes=f'{ROLE}"urn:proxy"')),
        "ticket-many",
    ),
    "a SAML 1.1 assertion beside": (
        header(block(GOOD, '<Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion"/>')),
        "ticket-many",
    ),
    "a SAML 1.1 assertion": (
        header(block('<Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion"/>')),
        "ticket-kind",
    ),
    "a user name": (header(block("<wsse:UsernameToken/>")), "ticket-kind"),
    "a certificate": (header(block("<wsse:BinarySecurityToken/>")), "ticket-kind"),
    "a security context": (
        header(block('<c:SecurityContextToken xmlns:c="http://schemas.xmlsoap.org/ws/2005/02/sc"/>')),
        "ticket-kind",
    ),
    "an encrypted assertion": (
        header(block(f"<saml:EncryptedAssertion>{ENCRYPTED}</saml:EncryptedAssertion>")),
        "ticket-encrypted",
    ),
    "encrypted data": (header(block(ENCRYPTED)), "ticket-encrypted"),
    "an assertion that is elsewhere": (header(block("<wsse:SecurityTokenReference/>")), "ticket-reference"),
    "a huge attribute": (
        header(block(text(signed(statements="<saml:Advice>" + "x" * 262144 + "</saml:Advice>")))),
        "ticket-size",
    ),
    "a huge neighbour": (header(block(GOOD, f'<x y="{"x" * 262144}"/>')), "ticket-size"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_header_without_one_assertion_of_its_own_is_refused(name: str):
    """Nothing is guessed: one block for us, one assertion in it, none elsewhere."""
    element, rule = MISSING[name]
    with pytest.raises(Denied) as caught:
        wsse.find(element, Version.SOAP12)
    assert caught.value.rule == rule


def test_a_remark_in_the_block_is_refused():
    """Where a parser kept a comment, it is refused here too."""
    found = header(block(GOOD))
    found[0].append(etree.Comment("x"))
    assert refusal(found) == "ticket-remarks"


# -- signature wrapping (Somorovsky and others, 2012), for an assertion that stands by itself ----------------


def wrapped(make: Callable[[Element, Element, Element], list[str]]) -> Element:
    """A header of an evil assertion and what `make` does with it, the original and its signature."""
    original = signed()
    proof = original.find(f"{{{DS}}}Signature")
    evil = assertion(
        name=f"<saml:NameID>{EVIL}</saml:NameID>", opening=f'Version="2.0" ID="_evil" IssueInstant="{at()}"'
    )
    assert proof is not None
    return header(*make(evil, original, proof))


def _inside(parent: Element, child: Element, *tags: str) -> None:
    """Put the child into the parent, in new elements of these tags."""
    for tag in tags:
        parent = etree.SubElement(parent, tag)
    parent.append(child)


def xsw1(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original as a sibling after the evil one, which has no signature."""
    return [block(text(evil), text(original))]


def xsw2(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original as a sibling before it."""
    return [block(text(original), text(evil))]


def xsw3(evil: Element, original: Element, proof: Element) -> list[str]:
    """The signature moved to the evil one, the original without it beside."""
    evil.insert(1, proof)
    return [block(text(evil), text(original))]


def xsw4(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original with its signature as a child of the evil one."""
    evil.append(original)
    return [block(text(evil))]


def xsw5(evil: Element, original: Element, proof: Element) -> list[str]:
    """The signature in the evil one, the original in a block of its own."""
    evil.insert(1, proof)
    return [block(text(evil)), f'<x xmlns="urn:x">{text(original)}</x>']


def xsw6(evil: Element, original: Element, proof: Element) -> list[str]:
    """The signature in the evil one, the original in the signature."""
    evil.insert(1, proof)
    proof.append(original)
    return [block(text(evil))]


def xsw7(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original in Extensions of the evil one."""
    evil.insert(1, proof)
    _inside(evil, original, f"{{{SAML}}}Extensions")
    return [block(text(evil))]


def xsw8(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original in an Object of the signature, which is in the evil one."""
    evil.insert(1, proof)
    _inside(proof, original, f"{{{DS}}}Object")
    return [block(text(evil))]


def xsw_advice(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original, whole, as Advice of the evil one."""
    _inside(evil, original, f"{{{SAML}}}Advice")
    return [block(text(evil))]


def xsw_key_info(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original in the KeyInfo of the signature that the evil one has."""
    evil.insert(1, proof)
    _inside(proof[2], original, "x")
    return [block(text(evil))]


def xsw_same_id(evil: Element, original: Element, proof: Element) -> list[str]:
    """As 8, and both have the same ID."""
    evil.set("ID", ID)
    return xsw8(evil, original, proof)


def xsw_no_second(evil: Element, original: Element, proof: Element) -> list[str]:
    """The signature in the evil one under the original's ID, and no original anywhere."""
    evil.set("ID", ID)
    evil.insert(1, proof)
    return [block(text(evil))]


def xsw_other_id(evil: Element, original: Element, proof: Element) -> list[str]:
    """As before, and the evil one keeps its own ID."""
    evil.insert(1, proof)
    return [block(text(evil))]


def xsw_other_name(evil: Element, original: Element, proof: Element) -> list[str]:
    """The original in the evil one under another name, so that only the ID leads to it."""
    original.tag = f"{{{SAML}}}Advice"
    original.insert(1, proof)
    evil.append(original)
    return [block(text(evil))]


def xsw_subject(evil: Element, original: Element, proof: Element) -> list[str]:
    """A second Subject in the good one, before the signed one."""
    subject = evil.find(f"{{{SAML}}}Subject")
    assert subject is not None
    original.insert(0, subject)
    return [block(text(original))]


def xsw_body(evil: Element, original: Element, proof: Element) -> list[str]:
    """The evil one wrapped around the header block itself."""
    evil.insert(1, proof)
    return [f"<x>{block(text(original))}</x>", block(text(evil))]


SHAPES: dict[Callable[[Element, Element, Element], list[str]], str] = {
    xsw1: "ticket-many",
    xsw2: "ticket-many",
    xsw3: "ticket-many",
    xsw4: "ticket-many",
    xsw5: "ticket-many",
    xsw6: "ticket-many",
    xsw7: "ticket-many",
    xsw8: "ticket-many",
    xsw_advice: "ticket-many",
    xsw_key_info: "ticket-many",
    xsw_same_id: "ticket-many",
    xsw_no_second: "ticket-signature",
    xsw_other_id: "ticket-signature-form",
    xsw_other_name: "ticket-signature-form",
    xsw_subject: "ticket-form",
    xsw_body: "ticket-many",
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_wrapped_signature_is_refused(shape: Callable[[Element, Element, Element], list[str]]):
    """Wherever the signed original is hidden, the assertion that would be read is not taken for it."""
    assert refusal(wrapped(shape)) == SHAPES[shape]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_check_of_an_assertion_does_not_rest_on_the_header(
    shape: Callable[[Element, Element, Element], list[str]],
):
    """Given the evil assertion alone, past `find`, verify refuses it by itself."""
    found = wrapped(shape)
    for candidate in found.iter(f"{{{SAML}}}Assertion"):
        if candidate.findtext(f"{{{SAML}}}Subject/{{{SAML}}}NameID") == EVIL:
            with pytest.raises(Denied):
                saml.verify(candidate, trust(), NOW)


# -- the timestamp -------------------------------------------------------------------------------------------

FAR = "9999-12-31T23:59:59Z"
STAMPS: dict[str, tuple[str, datetime, str]] = {
    "none": ("", NOW, ""),
    "now": (stamp(), NOW, ""),
    "a minute early": (stamp(), NOW - SKEW, ""),
    "more than a minute early": (stamp(), NOW - SKEW - SECOND, "timestamp-expired"),
    "a minute late": (stamp(), NOW + timedelta(minutes=5) + SKEW - SECOND, ""),
    "too late": (stamp(), NOW + timedelta(minutes=5) + SKEW, "timestamp-expired"),
    "long validity": (stamp(expires=at(600)), NOW + timedelta(hours=9), ""),
    "without an end": (stamp(expires=""), NOW + timedelta(minutes=6) - SECOND, ""),
    "without an end, too old": (stamp(expires=""), NOW + timedelta(minutes=6), "timestamp-expired"),
    "to the end of the calendar": (stamp(expires=FAR), NOW, ""),
    "from the end of the calendar": (stamp(FAR, ""), NOW, "timestamp-expired"),
    "from the first day": (stamp("0001-01-01T00:00:00Z", ""), NOW, "timestamp-expired"),
    "from the first day to the last": (stamp("0001-01-01T00:00:00Z", FAR), NOW, ""),
    "two": (stamp() + stamp(name="U"), NOW, "timestamp-form"),
    "one that is not a child": (f"<x>{stamp()}</x>", NOW, "timestamp-form"),
    "no Created": (stamp(""), NOW, "timestamp-form"),
    "empty": (stamp("", ""), NOW, "timestamp-form"),
    "Created twice": (stamp().replace("Expires", "Created"), NOW, "timestamp-form"),
    "Expires first": (
        f"<wsu:Timestamp><wsu:Expires>{at(5)}</wsu:Expires><wsu:Created>{at()}</wsu:Created></wsu:Timestamp>",
        NOW,
        "timestamp-form",
    ),
    "no time": (stamp("now"), NOW, "timestamp-form"),
    "no zone": (stamp(at()[:-1]), NOW, "timestamp-form"),
    "another element": (stamp().replace("</wsu:Timestamp>", "<x/></wsu:Timestamp>"), NOW, "timestamp-form"),
}


@pytest.mark.parametrize("name", STAMPS)
def test_a_timestamp_holds_the_moment_or_is_refused(name: str):
    """None is no fault; one must be well-formed, not from the future and not over."""
    part, moment, rule = STAMPS[name]
    security = wsse.find(header(block(part, GOOD)), Version.SOAP12)
    if not rule:
        return wsse.check_timestamp(security, moment, SKEW)
    with pytest.raises(Denied) as caught:
        wsse.check_timestamp(security, moment, SKEW)
    assert caught.value.rule == rule


# -- who may send it -----------------------------------------------------------------------------------------

BEARER, HOLDER, VOUCHES = (way.method for way in Confirmation)
HOLDER_KEY = rsa_key("holder")


def way(method: str, data: str = "") -> str:
    """A SubjectConfirmation; `data` is the whole SubjectConfirmationData."""
    return f'<saml:SubjectConfirmation Method="{method}">{data}</saml:SubjectConfirmation>'


def times(before: float, after: float) -> str:
    """SubjectConfirmationData with times, and with what is not looked at."""
    return (
        f'<saml:SubjectConfirmationData NotBefore="{at(before)}" NotOnOrAfter="{at(after)}"'
        ' Recipient="urn:elsewhere" InResponseTo="_x" Address="192.0.2.1"/>'
    )


CONFIRMED = [
    (way(BEARER), {Confirmation.BEARER}, False, ""),
    (way(BEARER, times(0, 5)), {Confirmation.BEARER}, False, ""),
    (way(BEARER, times(-10, 0)), {Confirmation.BEARER}, False, ""),
    (way(BEARER, times(-10, -1)), {Confirmation.BEARER}, False, "ticket-confirmation"),
    (way(BEARER, times(1, 5)), {Confirmation.BEARER}, False, ""),
    (way(BEARER, times(2, 5)), {Confirmation.BEARER}, False, "ticket-confirmation"),
    ("", {Confirmation.BEARER}, False, "ticket-confirmation"),
    (way("urn:x"), set(Confirmation), True, "ticket-confirmation"),
    (way(BEARER), {Confirmation.SENDER_VOUCHES}, True, "ticket-confirmation"),
    (way(VOUCHES), {Confirmation.SENDER_VOUCHES}, True, ""),
    (way(VOUCHES), {Confirmation.SENDER_VOUCHES}, False, "ticket-confirmation"),
    (way(VOUCHES), {Confirmation.BEARER}, True, "ticket-confirmation"),
    (way(VOUCHES) + way(BEARER), {Confirmation.BEARER}, False, ""),
    (way(HOLDER), {Confirmation.HOLDER_OF_KEY}, True, "ticket-holder"),
    (way(HOLDER), {Confirmation.BEARER}, True, "ticket-confirmation"),
    (way(HOLDER) + way(BEARER), {Confirmation.HOLDER_OF_KEY, Confirmation.BEARER}, False, ""),
]


@pytest.mark.parametrize(("ways", "allowed", "known_sender", "rule"), CONFIRMED)
def test_one_way_of_confirmation_must_hold(
    ways: str, allowed: set[Confirmation], known_sender: bool, rule: str
):
    """A method counts if the trust file allows it to the issuer and it holds for this request."""
    known = trust(issuer(confirmations=frozenset(allowed)))
    element = header(block(text(signed(confirmation=ways))))
    if rule:
        assert refusal(element, known, known_sender=known_sender) == rule
    else:
        assert judge(element, known, known_sender=known_sender).id == ID


HOLDERS = trust(issuer(confirmations=frozenset({Confirmation.HOLDER_OF_KEY})))


def holders_ticket(*keys: str) -> str:
    """A ticket whose holder has these keys, each described by the content of a KeyInfo."""
    described = "".join(
        f'<ds:KeyInfo xmlns:ds="{DS}">{one}</ds:KeyInfo>' for one in keys or (rsa_key_value(HOLDER_KEY),)
    )
    data = f"<saml:SubjectConfirmationData>{described}</saml:SubjectConfirmationData>"
    return text(signed(confirmation=way(HOLDER, data)))


def proven(
    *,
    key: Any = HOLDER_KEY,
    ticket: str = "",
    time: str = "",
    others: str = "",
    covers: tuple[str, ...] = ("T",),
    transforms: tuple[str, ...] = (EXCLUSIVE,),
    where: str = "block",
    **how: Any,
) -> Element:
    """A header whose sender signed its timestamp, and whatever else has one of the ids in `covers`."""
    element = header(block(time or stamp(), ticket or holders_ticket(), others))
    parts = {
        found.get(f"{{{WSU}}}Id") or found.get("ID"): found for found in element.iter("*") if found.attrib
    }
    references = "".join(reference(parts[name], f"#{name}", transforms) for name in covers)
    made = signature(references, key, **how)
    target = {"block": element[0], "assertion": element[0][1], "header": element}[where]
    target.append(made)
    return element


PROVEN: dict[str, Callable[[], Element]] = {
    "RSA": proven,
    "with the certificate in its KeyInfo": lambda: proven(
        key_info=x509_data(certificate(HOLDER_KEY, "CN=holder"))
    ),
    "ticket with a certificate": lambda: proven(
        ticket=holders_ticket(
            x509_data(certificate(HOLDER_KEY, "CN=holder"))
            .removeprefix("<ds:KeyInfo>")
            .removesuffix("</ds:KeyInfo>")
        )
    ),
    "EC": lambda: proven(
        key=ec_key("holder"),
        ticket=holders_ticket(assertions.ec_key_value(ec_key("holder"))),
        method=assertions.MORE + "ecdsa-sha256",
    ),
    "the second of two keys": lambda: proven(
        ticket=holders_ticket(rsa_key_value(rsa_key("stranger")), rsa_key_value(HOLDER_KEY))
    ),
    "over another part too": lambda: proven(
        others='<wsse:BinarySecurityToken wsu:Id="B">AAAA</wsse:BinarySecurityToken>', covers=("B", "T")
    ),
}


@pytest.mark.parametrize("name", PROVEN)
def test_a_holder_proves_its_key_by_signing_the_timestamp(name: str):
    """The signature over the timestamp is good under a key that the signed assertion names."""
    assert judge(PROVEN[name](), HOLDERS).id == ID


def _changed(element: Element, old: str, new: str) -> Element:
    """The header after a change on the way."""
    envelope = element.getparent()
    assert envelope is not None
    assert old in text(envelope)
    return xml.parse(text(envelope).replace(old, new, 1).encode())[0]


UNPROVEN: dict[str, Callable[[], Element]] = {
    "no signature": lambda: header(block(stamp(), holders_ticket())),
    "no timestamp": lambda: header(block(holders_ticket())),
    "a stranger's key": lambda: proven(key=rsa_key("stranger")),
    "a stranger's key, its certificate beside": lambda: proven(
        key=rsa_key("stranger"), key_info=x509_data(certificate(rsa_key("stranger"), "CN=holder"))
    ),
    "a stranger's key, its KeyValue beside": lambda: proven(
        key=rsa_key("stranger"), key_info=f"<ds:KeyInfo>{rsa_key_value(rsa_key('stranger'))}</ds:KeyInfo>"
    ),
    "the issuer's own key": lambda: proven(key=rsa_key()),
    "HMAC with the holder's public key": lambda: proven(method=assertions.MORE + "hmac-sha256"),
    "SHA-1": lambda: proven(method=DS + "rsa-sha1"),
    "the timestamp changed": lambda: _changed(proven(), f"<wsu:Created>{at()}", f"<wsu:Created>{at(0.01)}"),
    "the timestamp's id changed": lambda: _changed(proven(), 'wsu:Id="T"', 'wsu:Id="U"'),
    "over another part only": lambda: proven(others='<x wsu:Id="X"/>', covers=("X",)),
    "over a part that changed": lambda: _changed(
        proven(others='<x wsu:Id="X">a</x>', covers=("T", "X")), ">a</x>", ">b</x>"
    ),
    "over the assertion only": lambda: proven(covers=(ID,)),
    "the timestamp twice": lambda: proven(covers=("T", "T")),
    "nine references": lambda: proven(
        others="".join(f'<x wsu:Id="X{n}"/>' for n in range(8)),
        covers=("T", *(f"X{n}" for n in range(8))),
    ),
    "an ambiguous id": lambda: _changed(proven(others='<x wsu:Id="X"/>'), '<x wsu:Id="X"/>', '<x Id="T"/>'),
    "enveloped": lambda: proven(transforms=(ENVELOPED, EXCLUSIVE)),
    "an Object": lambda: proven(after="<ds:Object/>"),
    "outside the block": lambda: proven(where="header"),
    "two signatures": lambda: _changed(proven(), "</wsse:Security>", "<ds:Signature/></wsse:Security>"),
    "a timestamp of six minutes ago": lambda: proven(time=stamp(at(-6), at(5))),
    "a timestamp within another part": lambda: proven(
        time=stamp(name="").replace(' wsu:Id=""', "") + f'<x wsu:Id="T">{stamp(name="U")}</x>'
    ),
    "a ticket without keys": lambda: proven(ticket=holders_ticket("<ds:KeyName>x</ds:KeyName>")),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_a_holder_without_proof_is_refused(name: str):
    """Nothing but the named key's signature over this header's own fresh timestamp is proof."""
    element = UNPROVEN[name]()
    security = wsse.find(element, Version.SOAP12)
    ticket = saml.verify(security.assertion, HOLDERS, NOW)[1]
    with pytest.raises(Denied) as caught:
        wsse.confirm(security, ticket, NOW, known_sender=True)
    assert caught.value.rule == "ticket-holder"


def test_a_signature_inside_the_assertion_is_no_proof():
    """It breaks the assertion's own form."""
    assert refusal(proven(where="assertion"), HOLDERS) == "ticket-signature-form"


def test_what_is_no_base64_in_the_proof_is_no_proof():
    """Garbage where the value should be ends in the same refusal."""
    element = proven()
    value = element.findall(f".//{{{DS}}}SignatureValue")[-1]
    for garbage in (None, "", "å", "====", base64.b64encode(b"x").decode()):
        value.text = garbage
        assert refusal(element, HOLDERS) == "ticket-holder"


def test_a_second_ticket_with_the_same_name_is_told_by_its_signature():
    """Signed anew with another person in it, it is another ticket, and both are good."""
    other = text(sign(assertion(name=f"<saml:NameID>{EVIL}</saml:NameID>")))
    assert (
        wsse.find(header(block(other)), Version.SOAP12).exact
        != wsse.find(header(block(GOOD)), Version.SOAP12).exact
    )
