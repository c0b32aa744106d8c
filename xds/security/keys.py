"""The public keys of issuers: read from certificates, JWK sets, SAML metadata and revocation lists.

trust_file.py and trust_store.py call it, with files of the operator and with what the addresses in the trust
file answer. Every reader raises ValueError with half a sentence that fits after a file's name. A reader must
never be given anything that came with a message, and never keep a private key. Keys of messages come to
`check_strength` and `wrap` only: a ticket holder's, and those of signers whom an authority vouches for.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
)
from cryptography.x509 import Certificate
from lxml import etree

from xds.errors import Fault
from xds.security.jws import ALGORITHMS
from xds.security.trust import Key, PublicKey
from xds.transport import xml

#: RSA keys outside are too weak, or so large that a signature costs seconds.
RSA_BITS: Final = range(2048, 8192 + 1)
CURVES: Final[dict[str, type[EllipticCurve]]] = {"P-256": SECP256R1, "P-384": SECP384R1, "P-521": SECP521R1}
#: Members that only a private or a symmetric key has (RFC 7518 6.2.2, 6.3.2, 6.4.1).
PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_IS_PRIVATE: Final = "is a private key, or has one in it: the node must not have it; take it away"

#: What cryptography raises for what it cannot read; some of these are not even ValueErrors.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_PEM_BEGIN: Final = b"-----BEGIN "
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]*)-----END \1-----")

_MD: Final = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
#: The roles in which an entity issues assertions; RoleDescriptor is that of a WS-Trust service.
_ISSUING_ROLES: Final = tuple(
    _MD + name
    for name in (
        "IDPSSODescriptor",
        "AttributeAuthorityDescriptor",
        "AuthnAuthorityDescriptor",
        "RoleDescriptor",
    )
)


def fingerprint(certificate: Certificate) -> str:
    """What stands for a key in logs and metrics: the first 16 digits of its certificate's SHA-256."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:16]


def check_strength(public: object) -> PublicKey:
    """The same key, when it is of a kind and a size that is believed here."""
    if isinstance(public, RSAPublicKey):
        if public.key_size not in RSA_BITS:
            raise ValueError(
                f"has an RSA key of {public.key_size} bits: ask the issuer for one of 2048 bits or more"
                f" (at most {RSA_BITS[-1]})"
            )
        return public
    if isinstance(public, EllipticCurvePublicKey):
        if not isinstance(public.curve, tuple(CURVES.values())):
            raise ValueError("has a key on another curve than P-256, P-384 and P-521: ask for one of these")
        return public
    raise ValueError("has a key that is neither RSA nor on a curve of P-256, P-384 and P-521")


# -- certificates ----------------------------------------------------------------------------------


def read_certificates(data: bytes) -> tuple[Key, ...]:
    """The keys of certificates (PEM, one or more, or one in DER) and of public keys (PEM).

    Certificates of authorities are refused: named here by mistake, their keys could sign tickets.
    """
    certificates, bare = _parts(data)
    if any(_is_authority(certificate, certificates) for certificate in certificates):
        raise ValueError(
            "holds the certificate of an authority too: leave only that of the signer, or use authority"
        )
    for certificate in certificates:
        _check_usage(certificate)
    return tuple(key_of(certificate) for certificate in certificates) + tuple(
        Key(public, wrap(public)) for public in bare
    )


def read_roots(data: bytes) -> tuple[Certificate, ...]:
    """Certificates of authorities (PEM, one or more, or one in DER)."""
    certificates, bare = _parts(data)
    if bare or not all(map(_may_certify, certificates)):
        raise ValueError("is not the certificate of an authority (basicConstraints CA)")
    for certificate in certificates:
        check_strength(_public_key(certificate))
    return certificates


def key_of(certificate: Certificate, id: str = "") -> Key:
    """The key in a certificate, with the certificate's times."""
    return Key(
        check_strength(_public_key(certificate)),
        certificate,
        id,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def wrap(public: PublicKey) -> Certificate:
    """A certificate around a bare key, because signxml takes certificates only; it vouches for nothing.

    Within one process the same key always gets the same certificate, so that a key that is read again is
    equal to what it was.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a bare key of the trust file")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
        .sign(_throw_away_key(), None)
    )


@cache
def _throw_away_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()  # its signatures have no random part


def _parts(data: bytes) -> tuple[tuple[Certificate, ...], tuple[PublicKey, ...]]:
    """The certificates and the bare public keys of a file, PEM or DER; at least one of them."""
    certificates: list[Certificate] = []
    bare: list[PublicKey] = []
    for label, der in _blocks(data):
        if label in (b"CERTIFICATE", b""):
            certificates.append(_certificate(der))
        elif label in (b"PUBLIC KEY", b"RSA PUBLIC KEY"):
            bare.append(_bare(der))
        else:
            raise ValueError(
                "is neither a certificate nor a public key: give it as PEM, or one certificate as DER"
            )
    return tuple(certificates), tuple(bare)


def _blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Label and DER of each PEM block; or an empty label, and the data, when it is not PEM."""
    if b"PRIVATE KEY-----" in data:
        raise ValueError(_IS_PRIVATE)
    if not data.strip():
        raise ValueError("is empty")
    if _PEM_BEGIN not in data:
        if _is_private_der(data):
            raise ValueError(_IS_PRIVATE)
        return [(b"", data)]
    found = _PEM.findall(data)
    if len(found) != data.count(_PEM_BEGIN):  # e.g. while somebody is still writing it
        raise ValueError("has a PEM block that is not whole")
    try:
        return [(label, base64.b64decode(b"".join(body.split()), validate=True)) for label, body in found]
    except binascii.Error:
        raise ValueError("has a PEM block that is not base64") from None


def _is_private_der(data: bytes) -> bool:
    try:
        load_der_private_key(data, None)
    except TypeError:  # encrypted
        return True
    except _UNREADABLE:
        return False
    return True


def _certificate(der: bytes) -> Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        # What is read lazily is read now, so that nothing raises later.
        _ = certificate.extensions, certificate.subject, certificate.issuer.rfc4514_string()
    except _UNREADABLE:
        raise ValueError("is not a certificate that can be read: give it as PEM, or one as DER") from None
    return certificate


def _bare(der: bytes) -> PublicKey:
    try:
        public = load_der_public_key(der)
    except _UNREADABLE:
        raise ValueError("has a public key that cannot be read") from None
    return check_strength(public)


def _public_key(certificate: Certificate) -> object:
    try:
        return certificate.public_key()
    except _UNREADABLE:
        raise ValueError("has a certificate whose key cannot be read") from None


def _may_certify(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_authority(certificate: Certificate, others: Sequence[Certificate]) -> bool:
    """Whether it is one of a chain, and not its last. A self-signed one may say CA: many tools make it so."""
    if _may_certify(certificate) and certificate.subject != certificate.issuer:
        return True
    return any(
        other.issuer == certificate.subject and other.subject != certificate.subject for other in others
    )


def _check_usage(certificate: Certificate) -> None:
    """Norwegian enterprise certificates for signing have contentCommitment (nonRepudiation) alone."""
    with suppress(x509.ExtensionNotFound):
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            raise ValueError("has a certificate that is not for signing (keyUsage): ask for the signer's")


# -- JWK sets --------------------------------------------------------------------------------------


def read_jwks(data: bytes) -> tuple[Key, ...]:
    """The RSA and EC keys for signatures of a JWK set (RFC 7517 5); other keys are skipped.

    The first certificate of x5c gives a key its times. A private key in the set is an error.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list) or not all(isinstance(jwk, dict) for jwk in members):
        raise ValueError('is not a JWK set: {"keys": […]}')
    if any(PRIVATE_MEMBERS & jwk.keys() for jwk in members):
        raise ValueError(_IS_PRIVATE)
    keys = tuple(_jwk(jwk) for jwk in members if _is_for_signatures(jwk))
    if not keys:
        raise ValueError("has no RSA or EC key for signatures in it")
    ids = [(key.id, type(key.public)) for key in keys if key.id]
    if len(ids) != len(set(ids)):
        raise ValueError("has two keys with the same kid")
    return keys


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    return (
        (jwk.get("kty") == "RSA" or (jwk.get("kty") == "EC" and jwk.get("crv") in tuple(CURVES)))
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", "RS256") in tuple(ALGORITHMS)
        and (not isinstance(operations := jwk.get("key_ops", ["verify"]), list) or "verify" in operations)
    )


def _jwk(jwk: dict[str, Any]) -> Key:
    id = jwk.get("kid", "")
    if not isinstance(id, str):
        raise ValueError("has a kid that is not a text")
    public: PublicKey
    try:
        if jwk["kty"] == "RSA":
            public = RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
        else:
            public = EllipticCurvePublicNumbers(
                _integer(jwk, "x"), _integer(jwk, "y"), CURVES[jwk["crv"]]()
            ).public_key()
    except (*_UNREADABLE, OverflowError):
        raise ValueError("has a key whose numbers are not those of a public key") from None
    check_strength(public)
    if "x5c" not in jwk:
        return Key(public, wrap(public), id)
    chain = jwk["x5c"]
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise ValueError("has an x5c that is not a list of certificates")
    key = key_of(_base64_certificate(chain[0]), id)
    if key.public != public:  # RFC 7517 4.7
        raise ValueError("has an x5c whose first certificate is not that of the key")
    return key


def _integer(jwk: dict[str, Any], member: str) -> int:
    text = jwk.get(member)
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,2731}", text):  # 16384 bits
        raise ValueError
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _base64_certificate(text: str) -> Certificate:
    try:
        return _certificate(base64.b64decode("".join(text.split()), validate=True))
    except ValueError:  # binascii.Error is one, and so is what is not ASCII
        raise ValueError("has a certificate in it that cannot be read") from None


# -- SAML metadata ---------------------------------------------------------------------------------


def read_metadata(data: bytes, entity: str) -> tuple[Key, ...]:
    """The keys with which `entity` signs, from SAML 2.0 metadata (2.3, 2.4.1): one entity, or many in groups.

    `validUntil` bounds a key as its certificate does. The signature of the metadata is not looked at.
    """
    try:
        root = xml.parse(data)
    except Fault as fault:
        raise ValueError(f"is not XML that is read here. {fault.reason}") from None
    found = [e for e in root.iter(_MD + "EntityDescriptor") if e.get("entityID") == entity]
    if len(found) != 1:
        raise ValueError(
            "has two EntityDescriptors of the issuer"
            if found
            else "has no EntityDescriptor whose entityID is the issuer's name"
        )
    keys: list[Key] = []
    for role in found[0].iterchildren(*_ISSUING_ROLES):
        until = min(_valid_until(role), default=None)
        for descriptor in role.iterchildren(_MD + "KeyDescriptor"):
            if descriptor.get("use", "signing") == "signing":
                keys += [_until(key_of(certificate), until) for certificate in _key_info(descriptor)]
    if not keys:
        raise ValueError("has no certificate with which the issuer signs (KeyDescriptor, use=signing)")
    return tuple(keys)


def _key_info(descriptor: etree._Element) -> list[Certificate]:
    certificates = [_base64_certificate(e.text or "") for e in descriptor.iter(_DS + "X509Certificate")]
    return [c for c in certificates if len(certificates) == 1 or not _is_authority(c, certificates)]


def _valid_until(role: etree._Element) -> list[datetime]:
    """validUntil of the role, its entity and its groups: each of them holds."""
    texts = [e.get("validUntil") for e in (role, *role.iterancestors())]
    try:
        times = [datetime.fromisoformat(text) for text in texts if text is not None]
        return [(t if t.tzinfo else t.replace(tzinfo=UTC)).astimezone(UTC) for t in times]
    except (ValueError, OverflowError):
        raise ValueError("has a validUntil that is not a date and time") from None


def _until(key: Key, until: datetime | None) -> Key:
    if until is None or (key.not_after is not None and key.not_after <= until):
        return key
    return Key(key.public, key.certificate, key.id, key.not_before, until)


# -- revocation lists ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What an authority took back: (issuer as RFC 4514 text, serial number); good until `next_update`."""

    revoked: frozenset[tuple[str, int]]
    next_update: datetime


def read_revoked(data: bytes, now: datetime, trusted: Iterable[Certificate]) -> RevocationList:
    """A revocation list (RFC 5280 5), PEM or DER, signed by one of `trusted`, and not out of date."""
    blocks = _blocks(data)
    if len(blocks) != 1 or blocks[0][0] not in (b"", b"X509 CRL"):
        raise ValueError("is not one revocation list, as PEM or DER")
    try:
        found = x509.load_der_x509_crl(blocks[0][1])
        algorithm = found.signature_hash_algorithm
        extensions = found.extensions
        issuer = found.issuer.rfc4514_string()
        revoked = frozenset((issuer, entry.serial_number) for entry in found)
    except _UNREADABLE:
        raise ValueError("is not a revocation list that can be read") from None
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise ValueError("is signed with an algorithm that is not believed here (SHA-256 or better)")
    if not any(_signed(found, certificate) for certificate in trusted):
        raise ValueError(
            "is signed by nobody who is known here: name the file with the certificate of the authority"
            " that signs the list beside it, in revocation_lists"
        )
    if any(_is_partial(extension) for extension in extensions):
        raise ValueError("is a part of a list (delta, indirect, some reasons): take the whole list")
    if (until := found.next_update_utc) is None or until < now:
        raise ValueError("is out of date (nextUpdate): fetch the authority's newest list")
    return RevocationList(revoked, until)


def _signed(found: x509.CertificateRevocationList, certificate: Certificate) -> bool:
    if found.issuer != certificate.subject:
        return False
    with suppress(x509.ExtensionNotFound):
        if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign:
            return False
    try:
        return found.is_signature_valid(check_strength(_public_key(certificate)))
    except _UNREADABLE:
        return False


def _is_partial(extension: x509.Extension[x509.ExtensionType]) -> bool:
    """Whether an extension says that the list lacks something, or says something not known here."""
    if isinstance(point := extension.value, x509.IssuingDistributionPoint):
        return bool(point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs)
    return extension.critical
