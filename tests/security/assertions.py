"""Assertions, good and hostile, for the tests of gate 1: made and signed by hand, without signxml.

Keys are made once per process and belong to nobody; the person has a synthetic number. What is hostile here
is made by saying so: every step of a signature can be given another value than the standard's.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from tests.client.documents import new_number
from xds.security.trust import Issuer, Key, TicketKind, Trust
from xds.transport import xml

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
DS11 = "http://www.w3.org/2009/xmldsig11#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = DS + "enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
MORE07 = "http://www.w3.org/2007/05/xmldsig-more#"
RSA_SHA256 = MORE + "rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ISSUER = "https://tickets.example"
AUDIENCE = "nhn:dokumentdeling-saml"
ID = "_5f0c7f0e6b1d4a3f"
PERSON, PATIENT = new_number(), new_number()

PrivateKey = Any
USAGES = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


# -- keys and certificates -----------------------------------------------------------------------------------


@functools.cache
def rsa_key(name: str = "issuer", bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key; another for every name."""
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(name: str = "issuer", curve: str = "secp256r1") -> ec.EllipticCurvePrivateKey:
    """A key on a curve; another for every name."""
    curves = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp521r1": ec.SECP521R1()}
    return ec.generate_private_key(curves[curve])


@functools.cache
def dsa_key() -> dsa.DSAPrivateKey:
    """A DSA key, of the smallest size that libraries still make."""
    return dsa.generate_private_key(2048)


@functools.cache
def certificate(
    key: PrivateKey,
    subject: str = "CN=issuer",
    by: PrivateKey | None = None,
    by_name: str = "",
    *,
    start: datetime = NOW - timedelta(days=30),
    end: datetime = NOW + timedelta(days=30),
    authority: bool = False,
    usage: str | None = "digital_signature",
    serial: int = 0,
) -> x509.Certificate:
    """A certificate: self-signed, unless another key is given; `usage` is one flag of KeyUsage or None."""
    signer = by or key
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .issuer_name(x509.Name.from_rfc4514_string(by_name or subject))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if usage:
        chosen = {flag: flag == usage for flag in USAGES}
        builder = builder.add_extension(x509.KeyUsage(**chosen), critical=True)
    return builder.sign(signer, hashes.SHA256())


def trusted(key: PrivateKey, cert: x509.Certificate | None = None) -> Key:
    """A key of the trust file, with its certificate's times."""
    cert = cert or certificate(key)
    return Key(
        key.public_key(), cert, not_before=cert.not_valid_before_utc, not_after=cert.not_valid_after_utc
    )


def issuer(**changes: Any) -> Issuer:
    """An issuer of tickets for health personnel whose key is `rsa_key()`."""
    values: dict[str, Any] = {
        "name": ISSUER,
        "kind": TicketKind.KJERNEJOURNAL,
        "audiences": frozenset({AUDIENCE}),
        "keys": (trusted(rsa_key()),),
        "lifetime": timedelta(minutes=90),
        "skew": timedelta(seconds=60),
    }
    return Issuer(**(values | changes))


def trust(*issuers: Issuer) -> Trust:
    """A trust file with these issuers, or with the usual one."""
    return Trust({one.name: one for one in issuers or (issuer(),)}, 1)


# -- assertions ----------------------------------------------------------------------------------------------


def at(minutes: float = 0) -> str:
    """A time as SAML writes it, so many minutes after NOW."""
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def attributes(count: int = 2) -> str:
    """An AttributeStatement with coded values escaped as HelseID does (norwegian-profile 4.3)."""
    return "".join(
        f'<saml:Attribute Name="urn:oasis:names:tc:xspa:1.0:subject:made-up-{n}"><saml:AttributeValue>'
        '&lt;Role xmlns="urn:hl7-org:v3" xsi:type="CE" code="LE"'
        f' codeSystem="urn:oid:2.16.578.1.12.4.1.1.9060" displayName="Lege nr. {n}"/&gt;'
        "</saml:AttributeValue></saml:Attribute>"
        for n in range(count)
    )


CONDITIONS = (
    f'<saml:Conditions NotBefore="{at()}" NotOnOrAfter="{at(60)}"><saml:AudienceRestriction>'
    f"<saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
)
CONFIRMATION = '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/>'
AUTHN = (
    f'<saml:AuthnStatement AuthnInstant="{at(-5)}" SessionNotOnOrAfter="{at(60)}"><saml:AuthnContext>'
    "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:X509</saml:AuthnContextClassRef>"
    "</saml:AuthnContext></saml:AuthnStatement>"
)


def assertion(
    *,
    opening: str = f'Version="2.0" ID="{ID}" IssueInstant="{at()}"',
    issuer: str = f"<saml:Issuer>{ISSUER}</saml:Issuer>",
    name: str = f"<saml:NameID>{PERSON}</saml:NameID>",
    confirmation: str = CONFIRMATION,
    subject: str = "",
    conditions: str = CONDITIONS,
    statements: str = AUTHN,
    count: int = 2,
    namespaces: str = "",
) -> etree._Element:
    """A ticket for health personnel, without a signature; each part can be given as XML."""
    subject = subject or f"<saml:Subject>{name}{confirmation}</saml:Subject>"
    return xml.parse(
        f'<saml:Assertion xmlns:saml="{SAML}" {namespaces} {opening}>{issuer}{subject}{conditions}'
        f"<saml:AttributeStatement>{attributes(count)}</saml:AttributeStatement>{statements}"
        "</saml:Assertion>".encode()
    )


# -- signatures ----------------------------------------------------------------------------------------------

Maker = Callable[[PrivateKey, bytes], bytes]


def _pkcs1(algorithm: hashes.HashAlgorithm) -> Maker:
    return lambda key, data: key.sign(data, padding.PKCS1v15(), algorithm)


def _pss(algorithm: hashes.HashAlgorithm) -> Maker:
    return lambda key, data: key.sign(
        data, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm
    )


def _raw(key: PrivateKey, der: bytes, size: int) -> bytes:
    """r and s side by side (XML Signature 1.1, 6.4.3)."""
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(der))


def _ecdsa(algorithm: hashes.HashAlgorithm) -> Maker:
    return lambda key, data: _raw(key, key.sign(data, ec.ECDSA(algorithm)), (key.key_size + 7) // 8)


def public_pem(key: PrivateKey) -> bytes:
    """What an attacker uses as the secret of an HMAC."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


MAKERS: dict[str, Maker] = {
    RSA_SHA256: _pkcs1(hashes.SHA256()),
    MORE + "rsa-sha384": _pkcs1(hashes.SHA384()),
    MORE + "rsa-sha512": _pkcs1(hashes.SHA512()),
    MORE07 + "sha256-rsa-MGF1": _pss(hashes.SHA256()),
    MORE07 + "sha384-rsa-MGF1": _pss(hashes.SHA384()),
    MORE07 + "sha512-rsa-MGF1": _pss(hashes.SHA512()),
    MORE + "ecdsa-sha256": _ecdsa(hashes.SHA256()),
    MORE + "ecdsa-sha384": _ecdsa(hashes.SHA384()),
    MORE + "ecdsa-sha512": _ecdsa(hashes.SHA512()),
    DS + "rsa-sha1": _pkcs1(hashes.SHA1()),
    MORE + "rsa-sha224": _pkcs1(hashes.SHA224()),
    MORE + "hmac-sha256": lambda key, data: hmac.digest(public_pem(key), data, "sha256"),
    "http://www.w3.org/2009/xmldsig11#dsa-sha256": lambda key, data: _raw(
        key, dsa_key().sign(data, hashes.SHA256()), 32
    ),
}
DIGESTS = {
    SHA256: "sha256",
    MORE + "sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
    DS + "sha1": "sha1",
    "http://www.w3.org/2001/04/xmlenc#ripemd160": "sha256",
}


def canonical(element: etree._Element, *, exclusive: bool = True) -> bytes:
    """Canonical XML without comments; the tail is not part of an element."""
    tail, element.tail = element.tail, None
    try:
        return etree.tostring(element, method="c14n", exclusive=exclusive, with_comments=False)
    finally:
        element.tail = tail


def x509_data(*certificates: x509.Certificate) -> str:
    """ds:KeyInfo with certificates in one X509Data."""
    inner = "".join(
        f"<ds:X509Certificate>{base64.b64encode(one.public_bytes(Encoding.DER)).decode()}</ds:X509Certificate>"
        for one in certificates
    )
    return f"<ds:KeyInfo><ds:X509Data>{inner}</ds:X509Data></ds:KeyInfo>"


def rsa_key_value(key: rsa.RSAPrivateKey) -> str:
    """ds:KeyValue of an RSA key."""
    numbers = key.public_key().public_numbers()
    modulus, exponent = (
        base64.b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode()
        for n in (numbers.n, numbers.e)
    )
    return (
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
        f"<ds:Exponent>{exponent}</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )


def der_key_value(key: PrivateKey) -> str:
    """dsig11:DEREncodedKeyValue."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f'<d:DEREncodedKeyValue xmlns:d="{DS11}">{base64.b64encode(der).decode()}</d:DEREncodedKeyValue>'


def ec_key_value(key: ec.EllipticCurvePrivateKey, curve: str = "urn:oid:1.2.840.10045.3.1.7") -> str:
    """ds:KeyValue of a key on P-256."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return (
        f'<ds:KeyValue><d:ECKeyValue xmlns:d="{DS11}"><d:NamedCurve URI="{curve}"/>'
        f"<d:PublicKey>{base64.b64encode(point).decode()}</d:PublicKey></d:ECKeyValue></ds:KeyValue>"
    )


def reference(
    covered: etree._Element | bytes,
    uri: str,
    transforms: Sequence[str],
    *,
    digest: str = SHA256,
    inside_transform: str = "",
    exclusive: bool = True,
) -> str:
    """ds:Reference to what is covered; `inside_transform` stands in the last Transform."""
    data = covered if isinstance(covered, bytes) else canonical(covered, exclusive=exclusive)
    steps = "".join(
        f'<ds:Transform Algorithm="{name}">{inside_transform if n == len(transforms) else ""}</ds:Transform>'
        for n, name in enumerate(transforms, 1)
    )
    value = base64.b64encode(hashlib.new(DIGESTS[digest], data, usedforsecurity=False).digest()).decode()
    return (
        f'<ds:Reference URI="{uri}"><ds:Transforms>{steps}</ds:Transforms><ds:DigestMethod'
        f' Algorithm="{digest}"/><ds:DigestValue>{value}</ds:DigestValue></ds:Reference>'
    )


def signature(
    references: str,
    key: PrivateKey,
    *,
    method: str = RSA_SHA256,
    c14n: str = EXCLUSIVE,
    key_info: str = "",
    after: str = "",
) -> etree._Element:
    """A ds:Signature of these references; `key_info` and `after` are XML that follows the value."""
    element = xml.parse(
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/>{references}</ds:SignedInfo><ds:SignatureValue/>'
        f"{key_info}{after}</ds:Signature>".encode()
    )
    data = canonical(element[0], exclusive=c14n.startswith(EXCLUSIVE))
    element[1].text = base64.b64encode(MAKERS[method](key, data)).decode()
    return element


def sign(
    element: etree._Element,
    key: PrivateKey | None = None,
    *,
    method: str = RSA_SHA256,
    digest: str = SHA256,
    c14n: str = EXCLUSIVE,
    transforms: Sequence[str] = (ENVELOPED, EXCLUSIVE),
    inside_transform: str = "",
    uri: str | None = None,
    covered: etree._Element | bytes | None = None,
    key_info: str | None = None,
    after: str = "",
    extra_reference: str = "",
) -> etree._Element:
    """The assertion with a signature of its own after its Issuer, as its issuer makes it by default."""
    key = key or rsa_key()
    one = reference(
        element if covered is None else covered,
        f"#{element.get('ID')}" if uri is None else uri,
        transforms,
        digest=digest,
        inside_transform=inside_transform,
    )
    made = signature(
        one + extra_reference,
        key,
        method=method,
        c14n=c14n,
        key_info=x509_data(certificate(key)) if key_info is None else key_info,
        after=after,
    )
    element.insert(1, made)
    return element


def signed(**parts: Any) -> etree._Element:
    """An assertion of these parts, signed by its issuer."""
    return sign(assertion(**parts))


def again(element: etree._Element) -> etree._Element:
    """A copy that stands alone, as it is after its way over the wire."""
    return xml.parse(etree.tostring(element, with_tail=False))
