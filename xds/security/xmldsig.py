"""One XML signature: its form, its algorithms, its keys, and the check of it.

saml.py uses it for the assertion's own signature, wsse.py for the one that proves a holder's key. It is the
only module of the node that calls signxml. It must never take a key from a message as one to trust, and
nothing but the elements that `verify` gives back may be read as signed.
"""

from __future__ import annotations

import base64
import functools
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, XMLVerifier

from xds.security.denials import denied
from xds.security.keys import check_strength
from xds.security.trust import PublicKey
from xds.transport import xml

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
DS11: Final = "http://www.w3.org/2009/xmldsig11#"
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = f"{DS}enveloped-signature"
SIGNATURE: Final = f"{{{DS}}}Signature"
KEY_INFO: Final = f"{{{DS}}}KeyInfo"

#: Nothing with SHA-1, no DSA, and no HMAC, which a public key could be taken for the secret of.
METHODS: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
#: Curves of keys, by the name that ds:NamedCurve has for them (RFC 5480).
CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "urn:oid:1.2.840.10045.3.1.7": ec.SECP256R1(),
    "urn:oid:1.3.132.0.34": ec.SECP384R1(),
    "urn:oid:1.3.132.0.35": ec.SECP521R1(),
}
#: A chain longer than this is no business certificate's.
MOST_CERTIFICATES: Final = 8

_METHOD_NAMES: Final = frozenset(method.value for method in METHODS)
_DIGEST_NAMES: Final = frozenset(digest.value for digest in DIGESTS)
_SIGNATURE_PARTS: Final = [f"{{{DS}}}SignedInfo", f"{{{DS}}}SignatureValue"]
_INFO_PARTS: Final = [f"{{{DS}}}CanonicalizationMethod", f"{{{DS}}}SignatureMethod"]
_REFERENCE_PARTS: Final = [f"{{{DS}}}Transforms", f"{{{DS}}}DigestMethod", f"{{{DS}}}DigestValue"]
_REFERENCE: Final = f"{{{DS}}}Reference"
_TRANSFORM: Final = f"{{{DS}}}Transform"
_CERTIFICATE: Final = f"{{{DS}}}X509Certificate"
_INCLUSIVE: Final = f"{{{EXCLUSIVE}}}InclusiveNamespaces"

# signxml writes what it canonicalises, and so whole tickets, to its debug log.
logging.getLogger("signxml").setLevel(logging.WARNING)
logging.getLogger("signxml.processor").disabled = True


@functools.cache
def prepare() -> None:
    """Compile signxml's schemas, under the lock of our own: xml.py says why there must be one."""
    with xml.compiling:
        XMLVerifier.schemas()  # type: ignore[no-untyped-call]


def references(signature: etree._Element, *transforms: str) -> tuple[str, ...]:
    """The URIs that a ds:Signature refers to, once its form is known to be one that signxml reads as we do.

    It has SignedInfo, SignatureValue and at most KeyInfo; each Reference has exactly these `transforms` in
    this order. Raises Denied: ticket-signature-form, ticket-algorithm.
    """
    if _tags(signature) not in (_SIGNATURE_PARTS, [*_SIGNATURE_PARTS, KEY_INFO]):
        raise denied("ticket-signature-form")
    info = signature[0]
    if _tags(info)[:2] != _INFO_PARTS:
        raise denied("ticket-signature-form")
    if not _is_plain(info[0]) or info[0].get("Algorithm") != EXCLUSIVE or len(signature[1]):
        raise denied("ticket-signature-form")
    if info[1].get("Algorithm") not in _METHOD_NAMES or len(info[1]):
        raise denied("ticket-algorithm")
    for reference in info[2:]:
        if reference.tag != _REFERENCE or _tags(reference) != _REFERENCE_PARTS:
            raise denied("ticket-signature-form")
        if [(step.tag, step.get("Algorithm")) for step in reference[0]] != [
            (_TRANSFORM, name) for name in transforms
        ] or not all(map(_is_plain, reference[0])):
            raise denied("ticket-signature-form")
        if reference[1].get("Algorithm") not in _DIGEST_NAMES:
            raise denied("ticket-algorithm")
        if len(reference[1]) or len(reference[2]):
            raise denied("ticket-signature-form")
    return tuple(reference.get("URI", "") for reference in info[2:])


def _tags(element: etree._Element) -> list[str]:
    return [str(child.tag) for child in element]


def _is_plain(algorithm: etree._Element) -> bool:
    """Whether an algorithm has no parameter but the prefix list of exclusive canonicalisation."""
    return _tags(algorithm) in ([], [_INCLUSIVE]) and not any(map(len, algorithm))


def verify(
    data: bytes, certificate: x509.Certificate, *, id_attribute: str, count: int, now: datetime
) -> tuple[etree._Element, ...] | None:
    """The elements that the signature among the children of `data`'s root covers, in the order of references.

    None if it was not made with the certificate's key, or does not fit. `references` comes first; the root
    may have one signature only.
    """
    prepare()
    config = SignatureConfiguration(
        location="./",
        expect_references=count,
        signature_methods=METHODS,
        digest_algorithms=DIGESTS,
        # KeyInfo is the sender's own word: the certificate comes from the trust file.
        ignore_ambiguous_key_info=True,
        verification_time=now,
    )
    try:
        found = XMLVerifier().verify(
            data, x509_cert=certificate, id_attribute=id_attribute, expect_config=config
        )
    except Exception:
        # Besides its own errors it lets out those of lxml, of base64 and of cryptography, and stumbles over
        # empty elements: whatever happened, the signature was not found good.
        return None
    results = found if isinstance(found, list) else [found]
    signed = tuple(result.signed_xml for result in results if result.signed_xml is not None)
    return signed if len(signed) == count else None


def embedded(signature: etree._Element) -> tuple[bytes, ...]:
    """The certificates (DER) in the signature's KeyInfo: a hint and no reason to trust. Raises ValueError."""
    found = signature.findall(f"{KEY_INFO}/{{{DS}}}X509Data/{_CERTIFICATE}")
    if len(found) > MOST_CERTIFICATES:
        raise ValueError("too many certificates")
    return tuple(map(_decode, found))


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate with a key of a kind that is used here. Raises ValueError."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        check_strength(certificate.public_key())
        certificate.subject.rfc4514_string()
        certificate.issuer.rfc4514_string()
    except Exception:  # cryptography has errors without a common root: InvalidVersion, UnsupportedAlgorithm …
        raise ValueError("not a certificate, or one with an unusual key") from None
    return certificate


def load_key(spki: bytes) -> PublicKey:
    """A public key from its DER form. Raises ValueError."""
    try:
        return check_strength(load_der_public_key(spki))
    except UnsupportedAlgorithm:
        raise ValueError("not a public key") from None


def described_key(key_info: etree._Element) -> bytes | None:
    """The one public key that a ds:KeyInfo describes, as SPKI in DER; None when it describes none.

    Read from X509Certificate, RSAKeyValue, ECKeyValue and DEREncodedKeyValue, in whatever combination, as
    long as they agree. Raises ValueError.
    """
    keys: list[PublicKey] = []
    for element in key_info.iter(
        _CERTIFICATE,
        f"{{{DS}}}RSAKeyValue",
        f"{{{DS11}}}ECKeyValue",
        f"{{{DS11}}}DEREncodedKeyValue",
    ):
        if element.tag == _CERTIFICATE:
            keys.append(check_strength(load_certificate(_decode(element)).public_key()))
        elif element.tag == f"{{{DS}}}RSAKeyValue":
            modulus, exponent = (_number(element, f"{{{DS}}}{name}") for name in ("Modulus", "Exponent"))
            keys.append(check_strength(rsa.RSAPublicNumbers(exponent, modulus).public_key()))
        elif element.tag == f"{{{DS11}}}ECKeyValue":
            keys.append(_point(element))
        else:
            keys.append(load_key(_decode(element)))
    found = {key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys}
    if len(found) > 1:
        raise ValueError("the key is described in two ways that differ")
    return found.pop() if found else None


def _point(element: etree._Element) -> PublicKey:
    curve = element.find(f"{{{DS11}}}NamedCurve")
    if curve is None or (known := CURVES.get(curve.get("URI", ""))) is None:
        raise ValueError("not a curve that is used here")
    point = _child(element, f"{{{DS11}}}PublicKey")
    return check_strength(ec.EllipticCurvePublicKey.from_encoded_point(known, _decode(point)))


def _number(parent: etree._Element, tag: str) -> int:
    return int.from_bytes(_decode(_child(parent, tag)), "big")


def _child(parent: etree._Element, tag: str) -> etree._Element:
    children: Sequence[etree._Element] = parent.findall(tag)
    if len(children) != 1:
        raise ValueError("a part of the key is missing, or stands twice")
    return children[0]


def _decode(element: etree._Element) -> bytes:
    """The bytes of a base64Binary element. Raises ValueError."""
    return base64.b64decode("".join((element.text or "").split()), validate=True)
