"""Assertions: what was signed by a trusted issuer is read, and nothing else is."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml import XMLSigner
from signxml.algorithms import CanonicalizationMethod

from tests.security import assertions
from tests.security.assertions import (
    AUDIENCE,
    AUTHN,
    CONDITIONS,
    DS,
    ENVELOPED,
    EXCLUSIVE,
    ID,
    INCLUSIVE,
    ISSUER,
    MORE,
    MORE07,
    NOW,
    PERSON,
    SAML,
    again,
    assertion,
    at,
    certificate,
    dsa_key,
    ec_key,
    issuer,
    rsa_key,
    rsa_key_value,
    sign,
    signature,
    signed,
    trust,
    trusted,
    x509_data,
)
from xds.errors import Denied
from xds.security import saml
from xds.security.keys import wrap
from xds.security.trust import Authority, Issuer, Key, TicketKind, Trust
from xds.transport import xml

Element = etree._Element


def refusal(element: Element, known: Trust | None = None, now: datetime = NOW) -> str:
    """The id with which an assertion is refused."""
    with pytest.raises(Denied) as caught:
        saml.verify(element, known or trust(), now)
    return caught.value.rule


def replaced(element: Element, *pairs: tuple[str, str]) -> Element:
    """The element after changes in its text, as an attacker on the way makes them."""
    text = etree.tostring(element, encoding="unicode", with_tail=False)
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return xml.parse(text.encode())


# -- what is accepted ----------------------------------------------------------------------------------------


def test_a_signed_assertion_gives_a_ticket_of_what_was_signed():
    """Issuer, id, times and confirmation are those of the assertion; the element has no signature."""
    element, ticket = saml.verify(signed(), trust(), NOW)
    assert element.tag == f"{{{SAML}}}Assertion"
    assert element.find(f"{{{DS}}}Signature") is None
    assert element.findtext(f"{{{SAML}}}Subject/{{{SAML}}}NameID") == PERSON
    assert (ticket.issuer.name, ticket.id) == (ISSUER, ID)
    assert (ticket.issued_at, ticket.not_before) == (NOW, NOW)
    assert ticket.not_on_or_after == ticket.session_not_on_or_after == NOW + timedelta(hours=1)
    assert ticket.expires_at == NOW + timedelta(hours=1)
    assert ticket.authenticated_at == NOW - timedelta(minutes=5)
    assert ticket.confirmations == (
        saml.SubjectConfirmation("urn:oasis:names:tc:SAML:2.0:cm:bearer", None, None),
    )
    assert not ticket.once


ALGORITHMS = [
    (method, digest, key)
    for method, key in [
        (MORE + "rsa-sha256", rsa_key()),
        (MORE + "rsa-sha384", rsa_key()),
        (MORE + "rsa-sha512", rsa_key()),
        (MORE07 + "sha256-rsa-MGF1", rsa_key()),
        (MORE07 + "sha384-rsa-MGF1", rsa_key()),
        (MORE07 + "sha512-rsa-MGF1", rsa_key()),
        (MORE + "ecdsa-sha256", ec_key()),
        (MORE + "ecdsa-sha384", ec_key("issuer", "secp384r1")),
        (MORE + "ecdsa-sha512", ec_key("issuer", "secp521r1")),
    ]
    for digest in (assertions.SHA256, MORE + "sha384", "http://www.w3.org/2001/04/xmlenc#sha512")
]


@pytest.mark.parametrize(
    ("method", "digest", "key"),
    ALGORITHMS,
    ids=[f"{m.split('#')[1]} {d.split('#')[1]}" for m, d, _ in ALGORITHMS],
)
def test_every_algorithm_of_the_list_is_accepted(method: str, digest: str, key: Any):
    """Each signature method with each digest, with a key of its kind."""
    element = sign(assertion(), key, method=method, digest=digest)
    assert saml.verify(element, trust(issuer(keys=(trusted(key),))), NOW)[1].id == ID


def _by_signxml() -> Element:
    signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
    return signer.sign(assertion(), key=rsa_key(), cert=[certificate(rsa_key())], reference_uri=ID)


INCLUSIVE_PREFIXES = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="xs"/>'

GOOD: dict[str, Callable[[], Element]] = {
    "made by signxml": _by_signxml,
    "without KeyInfo": lambda: sign(assertion(), key_info=""),
    "with a certificate that nobody knows beside": lambda: sign(
        assertion(), key_info=x509_data(certificate(rsa_key("stranger"), "CN=stranger"))
    ),
    "with the KeyValue of a stranger": lambda: sign(
        assertion(), key_info=f"<ds:KeyInfo>{rsa_key_value(rsa_key('stranger'))}</ds:KeyInfo>"
    ),
    "with the right certificate and the KeyValue of a stranger": lambda: sign(
        assertion(),
        key_info=x509_data(certificate(rsa_key())).replace(
            "<ds:KeyInfo>", f"<ds:KeyInfo>{rsa_key_value(rsa_key('stranger'))}"
        ),
    ),
    "with InclusiveNamespaces that name no prefix in scope": lambda: sign(
        assertion(), inside_transform=INCLUSIVE_PREFIXES
    ),
    "with InclusiveNamespaces of a prefix that is declared": lambda: _with_declared_prefix(),
    "without a prefix": lambda: sign(
        xml.parse(etree.tostring(assertion()).replace(b"saml:", b"").replace(b"xmlns:saml", b"xmlns"))
    ),
    "with line ends in the signature's value": lambda: replaced(
        signed(), ("<ds:SignatureValue>", "<ds:SignatureValue>\n  ")
    ),
    "with Format entity of the Issuer": lambda: signed(
        issuer='<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">'
        f"{ISSUER}</saml:Issuer>"
    ),
    "with a tail": lambda: _with_tail(signed()),
    "with unknown namespaces around it": lambda: xml.parse(
        b'<x xmlns:q="urn:q" xmlns="urn:d">' + etree.tostring(signed()) + b"</x>"
    )[0],
    "with one of several audiences": lambda: signed(
        conditions=CONDITIONS.replace(
            "<saml:Audience>", "<saml:Audience>urn:other</saml:Audience><saml:Audience>"
        )
    ),
    "with ProxyRestriction": lambda: signed(
        conditions=CONDITIONS.replace(
            "</saml:Conditions>", '<saml:ProxyRestriction Count="0"/></saml:Conditions>'
        )
    ),
    "without AuthnStatement": lambda: signed(statements=""),
    "without NotBefore": lambda: signed(conditions=CONDITIONS.replace(f'NotBefore="{at()}"', "")),
    "with times of another zone": lambda: signed(
        conditions=CONDITIONS.replace(at(60), "2026-03-01T14:00:00+01:00")
    ),
    "with harmless Advice": lambda: signed(
        statements="<saml:Advice><saml:AssertionIDRef>_1</saml:AssertionIDRef></saml:Advice>"
    ),
    "with an attribute value that has an id": lambda: signed(
        statements='<saml:AttributeStatement><saml:Attribute Name="a"><saml:AttributeValue>'
        '<x id="17" user-selected="true"/></saml:AttributeValue></saml:Attribute></saml:AttributeStatement>'
    ),
}


def _with_declared_prefix() -> Element:
    """As .NET signs: xs is used in values alone, and InclusiveNamespaces keeps its declaration."""
    element = assertion(namespaces='xmlns:xs="http://www.w3.org/2001/XMLSchema"')
    covered = etree.tostring(element, method="c14n", exclusive=True, inclusive_ns_prefixes=["xs"])
    assert b"xmlns:xs" in covered
    return sign(element, covered=covered, inside_transform=INCLUSIVE_PREFIXES)


def _with_tail(element: Element) -> Element:
    element.tail = "\n some text \n"
    return element


@pytest.mark.parametrize("name", GOOD)
def test_what_the_standard_allows_is_accepted(name: str):
    """Each of these is a good assertion, whatever is unusual about it."""
    element, ticket = saml.verify(GOOD[name](), trust(), NOW)
    assert (element.get("ID"), ticket.id) == (ID, ID)


def test_any_of_the_issuers_valid_keys_will_do():
    """During a key rollover both keys are accepted, with and without a certificate in the message."""
    both = trust(issuer(keys=(trusted(rsa_key("old")), trusted(ec_key()), trusted(rsa_key()))))
    for key_info in (None, ""):
        assert saml.verify(sign(assertion(), key_info=key_info), both, NOW)[1].id == ID
        assert saml.verify(sign(assertion(), rsa_key("old"), key_info=key_info), both, NOW)[1].id == ID


def test_a_bare_key_of_the_trust_file_is_accepted():
    """A key without a certificate is wrapped in one by keys.py and verifies all the same."""
    public = rsa_key().public_key()
    assert saml.verify(signed(), trust(issuer(keys=(Key(public, wrap(public)),))), NOW)[1].id == ID


def test_one_time_use_makes_a_ticket_good_for_one_request():
    """The condition in the assertion and the setting of the issuer both do."""
    condition = CONDITIONS.replace("</saml:Conditions>", "<saml:OneTimeUse/></saml:Conditions>")
    assert saml.verify(signed(conditions=condition), trust(), NOW)[1].once
    assert saml.verify(signed(), trust(issuer(once=True)), NOW)[1].once


def test_the_same_ticket_verifies_in_many_threads():
    """Eight threads verify good and altered tickets at once; each gets its own answer."""
    good, bad = etree.tostring(signed()), etree.tostring(replaced(signed(), (PERSON, PERSON[::-1])))

    def judge(n: int) -> bool:
        try:
            return saml.verify(xml.parse(good if n % 2 else bad), trust(), NOW)[1].id == ID
        except Denied:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(judge, range(64))) == [bool(n % 2) for n in range(64)]


def test_signxml_writes_no_ticket_to_the_log(caplog: pytest.LogCaptureFixture):
    """Its debug log would hold whole tickets; it stays empty even when everything is logged."""
    logging.getLogger().setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        saml.verify(signed(), trust(), NOW)
    assert PERSON not in caplog.text


# -- what is refused: form and signature ---------------------------------------------------------------------


def _moved(path: str) -> Element:
    """A signed assertion whose signature was moved to the end of another element."""
    element = signed()
    found = element.find(f"{{{DS}}}Signature")
    target = element.find(path)
    assert found is not None
    assert target is not None
    target.append(found)
    return element


def _twice(path: str) -> Element:
    """A signed assertion with a second copy of its signature somewhere."""
    element = signed()
    found = element.find(f"{{{DS}}}Signature")
    target = element.find(path)
    assert found is not None
    assert target is not None
    target.append(again(found))
    return element


def _with_attribute(name: str, value: str = ID) -> Element:
    """Another element says to have the assertion's id, under some spelling; signed by the issuer itself."""
    element = assertion()
    subject = element.find(f"{{{SAML}}}Subject")
    assert subject is not None
    subject.set(name, value)
    return sign(element)


def _over_another() -> Element:
    """The signature covers the Subject alone."""
    element = assertion()
    subject = element.find(f"{{{SAML}}}Subject")
    assert subject is not None
    subject.set("ID", "_subject")
    return sign(element, uri="#_subject", covered=subject)


def _with_remark(remark: bytes) -> Element:
    parser = etree.XMLParser(remove_comments=False)
    half = PERSON[:6].encode()
    return etree.fromstring(etree.tostring(signed()).replace(half, half + remark, 1), parser)


def _empty(path: str) -> Element:
    element = signed()
    found = element.find(path.format(ds=f"{{{DS}}}"))
    assert found is not None
    found.text = None
    return element


def _text(path: str, text: str) -> Element:
    element = signed()
    found = element.find(path.format(ds=f"{{{DS}}}"))
    assert found is not None
    found.text = text
    return element


ENCRYPTED_ID = '<saml:EncryptedID><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"/></saml:EncryptedID>'
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
STRANGER = rsa_key("stranger")

HOSTILE: dict[str, tuple[Callable[[], Element], str]] = {
    # -- no good signature
    "unsigned": (assertion, "ticket-unsigned"),
    "altered after signing": (
        lambda: replaced(signed(), (PERSON, PERSON[:-1] + ("1" if PERSON[-1] == "0" else "0"))),
        "ticket-signature",
    ),
    "altered attribute": (lambda: replaced(signed(), ("Lege", "Lego")), "ticket-signature"),
    "altered digest": (
        lambda: _text("{ds}Signature/{ds}SignedInfo/{ds}Reference/{ds}DigestValue", "AAAA"),
        "ticket-signature",
    ),
    "empty digest": (
        lambda: _empty("{ds}Signature/{ds}SignedInfo/{ds}Reference/{ds}DigestValue"),
        "ticket-signature",
    ),
    "empty signature value": (lambda: _empty("{ds}Signature/{ds}SignatureValue"), "ticket-signature"),
    "signature value that is no base64": (
        lambda: _text("{ds}Signature/{ds}SignatureValue", "å%&"),
        "ticket-signature",
    ),
    "an element added": (
        lambda: replaced(
            signed(), ("</saml:AttributeStatement>", "<saml:Attribute/></saml:AttributeStatement>")
        ),
        "ticket-signature",
    ),
    "text between elements": (
        lambda: replaced(signed(), ("<saml:Subject>", "x<saml:Subject>")),
        "ticket-signature",
    ),
    "text after the signature": (
        lambda: replaced(signed(), ("</ds:Signature>", "</ds:Signature>x")),
        "ticket-signature",
    ),
    "another key, its own certificate embedded": (lambda: sign(assertion(), STRANGER), "ticket-signature"),
    "another key, the issuer's certificate embedded": (
        lambda: sign(assertion(), STRANGER, key_info=x509_data(certificate(rsa_key()))),
        "ticket-signature",
    ),
    "another key, its KeyValue embedded": (
        lambda: sign(assertion(), STRANGER, key_info=f"<ds:KeyInfo>{rsa_key_value(STRANGER)}</ds:KeyInfo>"),
        "ticket-signature",
    ),
    "an EC key for an RSA issuer": (
        lambda: sign(assertion(), ec_key(), method=MORE + "ecdsa-sha256"),
        "ticket-signature",
    ),
    # -- algorithms
    "HMAC with the public key": (lambda: sign(assertion(), method=MORE + "hmac-sha256"), "ticket-algorithm"),
    "SHA-1 signature": (lambda: sign(assertion(), method=DS + "rsa-sha1"), "ticket-algorithm"),
    "SHA-224 signature": (lambda: sign(assertion(), method=MORE + "rsa-sha224"), "ticket-algorithm"),
    "SHA-1 digest": (lambda: sign(assertion(), digest=DS + "sha1"), "ticket-algorithm"),
    "unknown digest": (
        lambda: sign(assertion(), digest="http://www.w3.org/2001/04/xmlenc#ripemd160"),
        "ticket-algorithm",
    ),
    "DSA": (
        lambda: sign(assertion(), method="http://www.w3.org/2009/xmldsig11#dsa-sha256"),
        "ticket-algorithm",
    ),
    "no algorithm": (
        lambda: replaced(signed(), (f'SignatureMethod Algorithm="{MORE}rsa-sha256"', "SignatureMethod")),
        "ticket-algorithm",
    ),
    "HMACOutputLength": (
        lambda: replaced(
            signed(),
            (
                f'<ds:SignatureMethod Algorithm="{MORE}rsa-sha256"/>',
                f'<ds:SignatureMethod Algorithm="{MORE}rsa-sha256">'
                "<ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>",
            ),
        ),
        "ticket-algorithm",
    ),
    # -- the signature's form
    "canonicalisation with comments": (
        lambda: sign(assertion(), c14n=EXCLUSIVE + "WithComments"),
        "ticket-signature-form",
    ),
    "inclusive canonicalisation of SignedInfo": (
        lambda: sign(assertion(), c14n=INCLUSIVE),
        "ticket-signature-form",
    ),
    "inclusive canonicalisation of the assertion": (
        lambda: sign(assertion(), transforms=(ENVELOPED, INCLUSIVE)),
        "ticket-signature-form",
    ),
    "an unknown parameter of the canonicalisation": (
        lambda: replaced(
            signed(),
            (
                f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>',
                f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"><x/></ds:CanonicalizationMethod>',
            ),
        ),
        "ticket-signature-form",
    ),
    "no canonicalisation": (lambda: sign(assertion(), transforms=(ENVELOPED,)), "ticket-signature-form"),
    "not enveloped": (lambda: sign(assertion(), transforms=(EXCLUSIVE,)), "ticket-signature-form"),
    "transforms in the other order": (
        lambda: sign(assertion(), transforms=(EXCLUSIVE, ENVELOPED)),
        "ticket-signature-form",
    ),
    "XSLT": (lambda: sign(assertion(), transforms=(ENVELOPED, XSLT, EXCLUSIVE)), "ticket-signature-form"),
    "XPath": (lambda: sign(assertion(), transforms=(ENVELOPED, XPATH, EXCLUSIVE)), "ticket-signature-form"),
    "base64": (
        lambda: sign(assertion(), transforms=(ENVELOPED, DS + "base64", EXCLUSIVE)),
        "ticket-signature-form",
    ),
    "an XPath inside a transform": (
        lambda: sign(assertion(), inside_transform="<ds:XPath>self::text()</ds:XPath>"),
        "ticket-signature-form",
    ),
    "two references": (
        lambda: sign(assertion(), extra_reference=assertions.reference(b"x", "#x", (ENVELOPED, EXCLUSIVE))),
        "ticket-signature-form",
    ),
    "no reference": (lambda: _unreferenced(), "ticket-signature-form"),
    "empty URI": (lambda: sign(assertion(), uri=""), "ticket-signature-form"),
    "no URI": (lambda: replaced(signed(), (f' URI="#{ID}"', "")), "ticket-signature-form"),
    "URI of a file": (lambda: sign(assertion(), uri="file:///etc/passwd"), "ticket-signature-form"),
    "XPointer": (lambda: sign(assertion(), uri=f"#xpointer(id('{ID}'))"), "ticket-signature-form"),
    "two number signs": (lambda: sign(assertion(), uri=f"##{ID}"), "ticket-signature-form"),
    "over another element": (_over_another, "ticket-signature-form"),
    "a ds:Object": (lambda: sign(assertion(), after="<ds:Object/>"), "ticket-signature-form"),
    "two KeyInfo": (lambda: sign(assertion(), after="<ds:KeyInfo/>"), "ticket-signature-form"),
    "a signature in the Subject": (lambda: _moved(f"{{{SAML}}}Subject"), "ticket-signature-form"),
    "two signatures": (lambda: _twice("."), "ticket-signature-form"),
    "a second signature in the first one's KeyInfo": (
        lambda: _twice(f"{{{DS}}}Signature/{{{DS}}}KeyInfo"),
        "ticket-signature-form",
    ),
    "a second signature in the Subject": (lambda: _twice(f"{{{SAML}}}Subject"), "ticket-signature-form"),
    "an empty signature": (
        lambda: replaced(assertion(), ("<saml:Subject>", f'<ds:Signature xmlns:ds="{DS}"/><saml:Subject>')),
        "ticket-signature-form",
    ),
    "an element in the digest": (
        lambda: replaced(signed(), ("</ds:DigestValue>", "<x/></ds:DigestValue>")),
        "ticket-signature-form",
    ),
    "an element in the value": (
        lambda: replaced(signed(), ("</ds:SignatureValue>", "<x/></ds:SignatureValue>")),
        "ticket-signature-form",
    ),
    # -- ids
    "no ID": (lambda: replaced(signed(), (f' ID="{ID}"', "")), "ticket-ids"),
    "empty ID": (lambda: replaced(signed(), (f' ID="{ID}"', ' ID=""')), "ticket-ids"),
    "ID that is no NCName": (
        lambda: signed(opening=f'Version="2.0" ID="1:a" IssueInstant="{at()}"'),
        "ticket-ids",
    ),
    "ID of 300 characters": (
        lambda: signed(opening=f'Version="2.0" ID="_{"a" * 300}" IssueInstant="{at()}"'),
        "ticket-ids",
    ),
    **{
        f"the same id again as {name}": ((lambda name=name: _with_attribute(name)), "ticket-ids")
        for name in ("ID", "Id", "id", "iD", "{http://www.w3.org/XML/1998/namespace}id", "{urn:x}ID")
    },
    "the same id again with blanks": (lambda: _with_attribute("Id", f" {ID} "), "ticket-ids"),
    # -- the assertion's form
    "SAML 1.1": (
        lambda: xml.parse(b'<Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1"/>'),
        "ticket-kind",
    ),
    "not an assertion": (lambda: xml.parse(b"<x/>"), "ticket-kind"),
    "Version 2.1": (
        lambda: signed(opening=f'Version="2.1" ID="{ID}" IssueInstant="{at()}"'),
        "ticket-form",
    ),
    "no Issuer": (lambda: signed(issuer="<saml:Advice/>"), "ticket-form"),
    "two Issuers": (lambda: signed(issuer=f"<saml:Issuer>{ISSUER}</saml:Issuer>" * 2), "ticket-form"),
    "an element in the Issuer": (
        lambda: signed(issuer=f"<saml:Issuer>{ISSUER}<x/></saml:Issuer>"),
        "ticket-form",
    ),
    "an Issuer of another Format": (
        lambda: signed(issuer=f'<saml:Issuer Format="urn:x">{ISSUER}</saml:Issuer>'),
        "ticket-form",
    ),
    "no NameID": (lambda: signed(name=""), "ticket-form"),
    "two NameIDs": (lambda: signed(name=f"<saml:NameID>{PERSON}</saml:NameID>" * 2), "ticket-form"),
    "an element in the NameID": (
        lambda: signed(name=f"<saml:NameID>{PERSON[:5]}<x/>{PERSON[5:]}</saml:NameID>"),
        "ticket-form",
    ),
    "BaseID": (lambda: signed(name="<saml:BaseID/>"), "ticket-form"),
    "no Subject": (lambda: signed(subject="<saml:Advice/>"), "ticket-form"),
    "two Subjects": (
        lambda: signed(
            statements=f"<saml:Subject><saml:NameID>{PERSON}</saml:NameID></saml:Subject>",
        ),
        "ticket-form",
    ),
    "no Conditions": (lambda: signed(conditions=""), "ticket-form"),
    "two Conditions": (lambda: signed(conditions=CONDITIONS * 2), "ticket-form"),
    "an unknown condition": (
        lambda: signed(
            conditions=CONDITIONS.replace("</saml:Conditions>", "<saml:Condition/></saml:Conditions>")
        ),
        "ticket-form",
    ),
    "an unknown child": (lambda: signed(statements='<x xmlns="urn:x"/>'), "ticket-form"),
    "an unknown statement": (lambda: signed(statements="<saml:Statement/>"), "ticket-form"),
    "an assertion as Advice": (
        lambda: signed(statements="<saml:Advice><saml:Assertion/></saml:Advice>"),
        "ticket-many",
    ),
    "a SAML 1.1 assertion inside": (
        lambda: signed(
            statements='<saml:Advice><Assertion xmlns="urn:oasis:names:tc:SAML:1.0:assertion"/></saml:Advice>'
        ),
        "ticket-many",
    ),
    "EncryptedID": (lambda: signed(name=ENCRYPTED_ID), "ticket-encrypted"),
    "EncryptedAttribute": (
        lambda: signed(
            statements="<saml:AttributeStatement><saml:EncryptedAttribute/></saml:AttributeStatement>"
        ),
        "ticket-encrypted",
    ),
    "a comment in the NameID": (lambda: _with_remark(b"<!---->"), "ticket-remarks"),
    "a processing instruction in the NameID": (lambda: _with_remark(b"<?x y?>"), "ticket-remarks"),
    # -- issuer and audience
    "an unknown issuer": (lambda: signed(issuer="<saml:Issuer>urn:other</saml:Issuer>"), "ticket-issuer"),
    "an issuer with a blank": (
        lambda: signed(issuer=f"<saml:Issuer>{ISSUER} </saml:Issuer>"),
        "ticket-issuer",
    ),
    "an empty Issuer": (lambda: signed(issuer="<saml:Issuer/>"), "ticket-issuer"),
    "another audience": (
        lambda: signed(conditions=CONDITIONS.replace(AUDIENCE, "urn:other")),
        "ticket-audience",
    ),
    "no audience": (
        lambda: signed(conditions=CONDITIONS.replace(f"<saml:Audience>{AUDIENCE}</saml:Audience>", "")),
        "ticket-audience",
    ),
    "no audience restriction": (
        lambda: signed(conditions=f'<saml:Conditions NotOnOrAfter="{at(60)}"/>'),
        "ticket-audience",
    ),
    "two audience restrictions of which one is another's": (
        lambda: signed(
            conditions=CONDITIONS.replace(
                "</saml:Conditions>",
                "<saml:AudienceRestriction><saml:Audience>urn:other</saml:Audience></saml:AudienceRestriction>"
                "</saml:Conditions>",
            )
        ),
        "ticket-audience",
    ),
    "the audience in another element": (
        lambda: signed(conditions=CONDITIONS.replace("saml:Audience>", "saml:Condition>")),
        "ticket-audience",
    ),
    # -- times
    "no NotOnOrAfter": (
        lambda: signed(conditions=CONDITIONS.replace(f'NotOnOrAfter="{at(60)}"', "")),
        "ticket-form",
    ),
    **{
        f"time {text!r}": (
            (lambda text=text: signed(opening=f'Version="2.0" ID="{ID}" IssueInstant="{text}"')),
            "ticket-form",
        )
        for text in (
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01 12:00:00Z",
            "2026-02-30T12:00:00Z",
            "2026-03-01T25:00:00Z",
            "2026-03-01T12:00:00+25:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "12026-03-01T12:00:00Z",
            "-2026-03-01T12:00:00Z",
            "٢٠٢٦-03-01T12:00:00Z",
            "2026-03-01T12:00:00.Z",
        )
    },
    "no IssueInstant": (lambda: signed(opening=f'Version="2.0" ID="{ID}"'), "ticket-form"),
    "a session's end that is no time": (
        lambda: signed(statements=AUTHN.replace(at(60), "soon")),
        "ticket-form",
    ),
    "valid for 91 minutes": (
        lambda: signed(conditions=CONDITIONS.replace(at(60), at(91))),
        "ticket-lifetime",
    ),
    "valid for 91 minutes since NotBefore": (
        lambda: signed(conditions=CONDITIONS.replace(f'NotBefore="{at()}"', f'NotBefore="{at(-31)}"')),
        "ticket-lifetime",
    ),
    "issued long before it is valid": (
        lambda: signed(opening=f'Version="2.0" ID="{ID}" IssueInstant="{at(-31)}"'),
        "ticket-lifetime",
    ),
    "valid to the end of the calendar": (
        lambda: signed(conditions=CONDITIONS.replace(at(60), "9999-12-31T23:59:59Z")),
        "ticket-lifetime",
    ),
    "issued at the end of the calendar": (
        lambda: signed(
            opening=f'Version="2.0" ID="{ID}" IssueInstant="9999-12-31T23:59:58Z"',
            conditions=CONDITIONS.replace(at(60), "9999-12-31T23:59:59Z").replace(
                at(), "9999-12-31T23:59:58Z"
            ),
        ),
        "ticket-early",
    ),
    # -- subject confirmation
    "two SubjectConfirmationData": (
        lambda: signed(
            confirmation='<saml:SubjectConfirmation Method="urn:x">'
            + "<saml:SubjectConfirmationData/>" * 2
            + "</saml:SubjectConfirmation>"
        ),
        "ticket-form",
    ),
    "a confirmation's end that is no time": (
        lambda: signed(
            confirmation='<saml:SubjectConfirmation Method="urn:x">'
            '<saml:SubjectConfirmationData NotOnOrAfter="later"/></saml:SubjectConfirmation>'
        ),
        "ticket-form",
    ),
}


def _unreferenced() -> Element:
    element = assertion()
    element.insert(1, signature("", rsa_key()))
    return element


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_assertion_is_refused(name: str):
    """Each is refused with the reason that fits, whether it stands alone or came over the wire."""
    make, rule = HOSTILE[name]
    element = make()
    assert refusal(element) == rule
    if rule != "ticket-remarks":
        assert refusal(again(element)) == rule


def test_a_comment_inside_a_name_cannot_cut_it():
    """Parsed by our rules the comment is gone, and the name that is read is the whole one that was signed."""
    element = xml.parse(etree.tostring(_with_remark(b"<!---->")))
    assert saml.verify(element, trust(), NOW)[0].findtext(f".//{{{SAML}}}NameID") == PERSON


# -- whose key -----------------------------------------------------------------------------------------------


def test_the_key_of_another_trusted_issuer_will_not_do():
    """An issuer may sign only under its own name."""
    known = trust(issuer(), issuer(name="urn:second", keys=(trusted(rsa_key("second")),)))
    assert refusal(sign(assertion(), rsa_key("second")), known) == "ticket-signature"


def test_an_issuer_of_tokens_issues_no_assertions():
    """Its name is known, but for the FHIR side only."""
    assert refusal(signed(), trust(issuer(kind=TicketKind.HELSEID))) == "ticket-issuer"


def _dated(start: float, end: float) -> Any:
    return certificate(rsa_key(), start=NOW + timedelta(days=start), end=NOW + timedelta(days=end))


SMALL = rsa_key("small", 1024)
REVOKED = ("CN=issuer", certificate(rsa_key()).serial_number)
UNUSABLE: dict[str, Issuer] = {
    "none": issuer(keys=()),
    "expired": issuer(keys=(trusted(rsa_key(), _dated(-30, -1)),)),
    "not yet valid": issuer(keys=(trusted(rsa_key(), _dated(1, 30)),)),
    "expired by the certificate, without times of its own": issuer(
        keys=(Key(rsa_key().public_key(), _dated(-30, -1)),)
    ),
    "expired by the trust file": issuer(
        keys=(Key(rsa_key().public_key(), _dated(-30, 30), not_after=NOW - timedelta(seconds=1)),)
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_is_not_valid_now_is_not_used(name: str):
    """With no other key nothing can be verified, however good the signature."""
    assert refusal(signed(), trust(UNUSABLE[name])) == "ticket-keys"


def test_a_short_rsa_key_is_not_used():
    """1024 bits are not enough, even if the trust store had let them in."""
    element = sign(assertion(), SMALL)
    assert refusal(element, trust(issuer(keys=(trusted(SMALL),)))) == "ticket-keys"


@pytest.mark.parametrize(
    ("key_info", "rule"),
    [(None, "ticket-certificate"), ("", "ticket-keys")],
    ids=["with the certificate", "without"],
)
def test_a_revoked_certificate_is_refused_though_it_is_pinned(key_info: str | None, rule: str):
    """A revocation list counts for the keys of the trust file too."""
    known = trust(issuer(revoked=frozenset({REVOKED})))
    assert refusal(sign(assertion(), key_info=key_info), known) == rule


def _versioned() -> str:
    """A certificate of a version that there is not, for which cryptography has an error of its own."""
    der = certificate(rsa_key()).public_bytes(Encoding.DER)
    odd = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a00302017c"), 1)
    assert odd != der
    return (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{base64.b64encode(odd).decode()}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )


@pytest.mark.parametrize(
    "key_info",
    [
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>å</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo>",
        _versioned(),
        x509_data(*[certificate(rsa_key())] * 9),
        x509_data(certificate(SMALL, "CN=small")),
    ],
    ids=["not a certificate", "not base64", "empty", "version 124", "nine", "short key"],
)
def test_certificates_that_cannot_be_read_are_refused(key_info: str):
    """Where a revocation list must be looked at, an unreadable certificate counts as revoked."""
    known = trust(issuer(revoked=frozenset({("CN=other", 1)})))
    assert refusal(sign(assertion(), key_info=key_info), known) == "ticket-certificate"


# -- a chain to an authority ---------------------------------------------------------------------------------

ROOT, MIDDLE, LEAF = rsa_key("root"), rsa_key("middle"), rsa_key("leaf")
YEARS = {"start": NOW - timedelta(days=900), "end": NOW + timedelta(days=900)}
ROOT_CERTIFICATE = certificate(ROOT, "CN=root", authority=True, usage="key_cert_sign", **YEARS)
MIDDLE_CERTIFICATE = certificate(
    MIDDLE, "CN=middle", ROOT, "CN=root", authority=True, usage="key_cert_sign", **YEARS
)
SUBJECT = "CN=signer,O=Made up"


def leaf(**changes: Any) -> Any:
    """The signer's certificate, by the middle authority."""
    values: dict[str, Any] = {"subject": SUBJECT, "by": MIDDLE, "by_name": "CN=middle"}
    return certificate(changes.pop("key", LEAF), **(values | changes))


GOOD_LEAF = leaf()
AUTHORITY = issuer(keys=(), authority=Authority((ROOT_CERTIFICATE,), SUBJECT))
SELF_MADE = certificate(LEAF, SUBJECT)
FALSE_MIDDLE = certificate(
    rsa_key("false"),
    "CN=middle",
    rsa_key("falser"),
    "CN=root",
    authority=True,
    usage="key_cert_sign",
    **YEARS,
)


def chained(*certificates: Any, key: Any = LEAF) -> Element:
    """An assertion signed by the leaf's key, with these certificates."""
    return sign(assertion(), key, key_info=x509_data(*certificates) if certificates else "")


@pytest.mark.parametrize(
    "certificates",
    [
        (GOOD_LEAF, MIDDLE_CERTIFICATE),
        (MIDDLE_CERTIFICATE, GOOD_LEAF),
        (GOOD_LEAF, MIDDLE_CERTIFICATE, ROOT_CERTIFICATE),
        (leaf(usage="content_commitment"), MIDDLE_CERTIFICATE),
        (leaf(usage=None), MIDDLE_CERTIFICATE),
    ],
    ids=["leaf first", "leaf last", "with the root", "for seals", "without KeyUsage"],
)
def test_a_signer_that_an_authority_certified_is_accepted(certificates: tuple[Any, ...]):
    """The subject is the one that the trust file names and the chain ends in its root."""
    assert saml.verify(chained(*certificates), trust(AUTHORITY), NOW)[1].id == ID


BAD_CHAINS: dict[str, tuple[Issuer, Element, str]] = {
    "no certificate": (AUTHORITY, chained(), "ticket-certificate"),
    "no intermediate": (AUTHORITY, chained(GOOD_LEAF), "ticket-certificate"),
    "expired": (
        AUTHORITY,
        chained(leaf(start=NOW - timedelta(days=9), end=NOW - timedelta(days=1)), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "not yet valid": (
        AUTHORITY,
        chained(leaf(start=NOW + timedelta(days=1), end=NOW + timedelta(days=9)), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "another subject": (
        AUTHORITY,
        chained(leaf(subject="CN=somebody else,O=Made up"), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "two with the subject": (
        AUTHORITY,
        chained(GOOD_LEAF, leaf(key=rsa_key("leaf 2")), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "self-signed": (AUTHORITY, chained(SELF_MADE), "ticket-certificate"),
    "self-signed with the right intermediate beside": (
        AUTHORITY,
        chained(SELF_MADE, MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "by a false intermediate": (
        AUTHORITY,
        chained(leaf(by=rsa_key("false")), FALSE_MIDDLE),
        "ticket-certificate",
    ),
    "unknown root": (
        issuer(
            keys=(),
            authority=Authority(
                (
                    certificate(
                        rsa_key("other root"), "CN=root", authority=True, usage="key_cert_sign", **YEARS
                    ),
                ),
                SUBJECT,
            ),
        ),
        chained(GOOD_LEAF, MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "for encipherment only": (
        AUTHORITY,
        chained(leaf(usage="key_encipherment"), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "a leaf that certified another": (
        AUTHORITY,
        chained(
            leaf(by=LEAF, by_name=SUBJECT, key=STRANGER),
            leaf(subject="CN=not signer"),
            MIDDLE_CERTIFICATE,
            key=STRANGER,
        ),
        "ticket-certificate",
    ),
    "revoked": (
        issuer(
            keys=(),
            authority=AUTHORITY.authority,
            revoked=frozenset({("CN=middle", GOOD_LEAF.serial_number)}),
        ),
        chained(GOOD_LEAF, MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "intermediate revoked": (
        issuer(
            keys=(),
            authority=AUTHORITY.authority,
            revoked=frozenset({("CN=root", MIDDLE_CERTIFICATE.serial_number)}),
        ),
        chained(GOOD_LEAF, MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
    "a good chain, another's key": (
        AUTHORITY,
        chained(GOOD_LEAF, MIDDLE_CERTIFICATE, key=STRANGER),
        "ticket-signature",
    ),
    "a DSA key": (
        AUTHORITY,
        chained(certificate(dsa_key(), SUBJECT, MIDDLE, "CN=middle"), MIDDLE_CERTIFICATE),
        "ticket-certificate",
    ),
}


@pytest.mark.parametrize("name", BAD_CHAINS)
def test_a_signer_without_a_good_chain_is_refused(name: str):
    """Whatever the certificates in the message say, they must lead to the root in the trust file."""
    known, element, rule = BAD_CHAINS[name]
    assert refusal(element, trust(known)) == rule


# -- times ---------------------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
SKEW = timedelta(seconds=60)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("moment", "rule"),
    [
        (NOW - SKEW - SECOND, "ticket-early"),
        (NOW - SKEW, ""),
        (NOW, ""),
        (NOW + HOUR, ""),
        (NOW + HOUR + SKEW - SECOND, ""),
        (NOW + HOUR + SKEW, "ticket-expired"),
    ],
)
def test_a_ticket_is_valid_between_its_times_and_a_little_skew(moment: datetime, rule: str):
    """From NotBefore to before NotOnOrAfter, with 60 seconds of tolerance at both ends."""
    ticket = saml.verify(signed(), trust(), NOW)[1]
    if rule:
        with pytest.raises(Denied, match=rule):
            saml.check_times(ticket, moment)
        assert refusal(signed(), now=moment) == rule
    else:
        saml.check_times(ticket, moment)


EARLY_OR_LATE: dict[str, tuple[dict[str, str], str]] = {
    "issued in the future": (
        {
            "opening": f'Version="2.0" ID="{ID}" IssueInstant="{at(2)}"',
            "conditions": CONDITIONS.replace(f'NotBefore="{at()}"', ""),
        },
        "ticket-early",
    ),
    "logged in in the future": ({"statements": AUTHN.replace(at(-5), at(2))}, "ticket-early"),
    "NotBefore in the future": ({"conditions": CONDITIONS.replace(at(), at(2))}, "ticket-early"),
    "session ended": ({"statements": AUTHN.replace(at(60), at(-1))}, "ticket-expired"),
    "one of two sessions ended": ({"statements": AUTHN + AUTHN.replace(at(60), at(-1))}, "ticket-expired"),
}


@pytest.mark.parametrize("name", EARLY_OR_LATE)
def test_every_time_of_a_ticket_counts(name: str):
    """Issue, login and session bound the ticket as its conditions do."""
    parts, rule = EARLY_OR_LATE[name]
    assert refusal(signed(**parts)) == rule


@pytest.mark.parametrize(
    ("statements", "moment", "rule"),
    [
        (AUTHN, NOW + timedelta(minutes=56), ""),
        (AUTHN, NOW + timedelta(minutes=56) + SECOND, "ticket-attestation"),
        ("", NOW + timedelta(minutes=61), "ticket-expired"),
        (AUTHN + AUTHN.replace(at(-5), at(-30)), NOW + timedelta(minutes=31) + SECOND, "ticket-attestation"),
    ],
)
def test_an_attestation_may_be_an_hour_old(statements: str, moment: datetime, rule: str):
    """Counted from the oldest AuthnInstant, 60 minutes and the skew are the limit (profile 4.5)."""
    known = trust(issuer(attestation=HOUR))
    ticket = saml.verify(signed(statements=statements), known, NOW)[1]
    if not rule:
        return saml.check_times(ticket, moment)
    with pytest.raises(Denied, match=rule):
        saml.check_times(ticket, moment)


def test_without_a_login_the_time_of_issue_counts_as_attestation():
    """An HSØ ticket has no AuthnStatement: its IssueInstant may not be older than the limit."""
    known = trust(issuer(attestation=timedelta(minutes=10)))
    ticket = saml.verify(signed(statements=""), known, NOW)[1]
    saml.check_times(ticket, NOW + timedelta(minutes=11))
    with pytest.raises(Denied, match="ticket-attestation"):
        saml.check_times(ticket, NOW + timedelta(minutes=11) + SECOND)


def test_a_lifetime_of_exactly_the_limit_is_accepted():
    """Sixty minutes are no more than sixty minutes."""
    assert saml.verify(signed(), trust(issuer(lifetime=HOUR)), NOW)[1].id == ID
    assert refusal(signed(), trust(issuer(lifetime=HOUR - SECOND))) == "ticket-lifetime"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        (" 2026-03-01T12:00:00Z\n", NOW),
        ("2026-03-01T13:00:00+01:00", NOW),
        ("2026-03-01T07:30:00-04:30", NOW),
        ("2026-03-01T12:00:00.5Z", NOW + timedelta(milliseconds=500)),
        ("2026-03-01T12:00:00.1234567Z", NOW + timedelta(microseconds=123456)),
    ],
)
def test_times_are_read_as_xml_schema_writes_them(text: str, expected: datetime):
    """UTC, offsets, and fractions of any length; the result is in UTC."""
    assert saml.instant(text) == expected
    assert saml.instant(text).tzinfo is UTC


def test_the_clock_may_be_in_any_zone():
    """A time is a time, whatever zone the clock names."""
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    assert saml.verify(signed(), trust(), there)[1].id == ID


# -- keys of a holder ----------------------------------------------------------------------------------------

HOLDER = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"


def holder(*key_infos: str) -> Element:
    """An assertion whose holder has a key that is described so."""
    inner = "".join(f'<ds:KeyInfo xmlns:ds="{DS}">{one}</ds:KeyInfo>' for one in key_infos)
    return signed(
        confirmation=f'<saml:SubjectConfirmation Method="{HOLDER}"><saml:SubjectConfirmationData>{inner}'
        "</saml:SubjectConfirmationData></saml:SubjectConfirmation>"
    )


def spki(key: Any) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _inner(key: Any) -> str:
    return x509_data(certificate(key, "CN=holder")).removeprefix("<ds:KeyInfo>").removesuffix("</ds:KeyInfo>")


@pytest.mark.parametrize(
    ("key_infos", "keys"),
    [
        ((_inner(STRANGER),), (STRANGER,)),
        ((rsa_key_value(STRANGER),), (STRANGER,)),
        ((assertions.der_key_value(STRANGER),), (STRANGER,)),
        ((assertions.ec_key_value(ec_key("holder")),), (ec_key("holder"),)),
        ((_inner(STRANGER) + rsa_key_value(STRANGER),), (STRANGER,)),
        ((rsa_key_value(STRANGER), assertions.der_key_value(ec_key("holder"))), (STRANGER, ec_key("holder"))),
        (("<ds:KeyName>a name</ds:KeyName>",), ()),
        ((), ()),
    ],
    ids=["certificate", "RSA", "DER", "EC", "twice the same", "two keys", "a name", "none"],
)
def test_the_keys_of_a_holder_are_read_in_every_form(key_infos: tuple[str, ...], keys: tuple[Any, ...]):
    """Each KeyInfo is one key, however it is described."""
    ticket = saml.verify(holder(*key_infos), trust(), NOW)[1]
    assert ticket.confirmations[0].keys == tuple(map(spki, keys))


@pytest.mark.parametrize(
    "key_info",
    [
        _inner(STRANGER) + rsa_key_value(rsa_key("other")),
        rsa_key_value(SMALL),
        "<ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue>",
        "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AAAA</ds:Modulus><ds:Exponent>AA==</ds:Exponent>"
        "</ds:RSAKeyValue></ds:KeyValue>",
        rsa_key_value(STRANGER).replace("</ds:Exponent>", "</ds:Exponent><ds:Exponent>AQAB</ds:Exponent>"),
        assertions.ec_key_value(ec_key("holder"), "urn:oid:1.3.132.0.34"),
        assertions.ec_key_value(ec_key("holder"), "urn:oid:1.3.132.0.10"),
        '<d:DEREncodedKeyValue xmlns:d="http://www.w3.org/2009/xmldsig11#">AAAA</d:DEREncodedKeyValue>',
        "<ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>",
    ],
    ids=[
        "two that differ",
        "short",
        "empty",
        "zero",
        "twice",
        "wrong curve",
        "odd curve",
        "no key",
        "no certificate",
    ],
)
def test_a_holders_key_that_cannot_be_read_is_refused(key_info: str):
    """An issuer that describes no usable key, or two at once, has made a malformed assertion."""
    assert refusal(holder(key_info)) == "ticket-form"
