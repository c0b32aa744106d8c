"""Certificates, key sets, metadata and revocation lists, made on the spot for the tests of the trust."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ISSUER = "https://issuer.example"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@cache
def one_rsa_key() -> rsa.RSAPrivateKey:
    """The same for all tests that do not care which: they take long to make."""
    return rsa_key()


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate(
    key: Private,
    common: str = "signer",
    *,
    by: tuple[str, Private] | None = None,
    authority: bool = False,
    usage: str = "",
    serial: int = 0,
    before: datetime = NOW - DAY,
    after: datetime = NOW + 365 * DAY,
    addresses: Sequence[str] = (),
) -> Certificate:
    """A certificate for `key`, self-signed unless `by` names an authority and its key."""
    issuer, signer = by or (common, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if addresses:
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(text)) for text in addresses])
        builder = builder.add_extension(hosts, critical=False)
    if usage:
        names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                 "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(*(n == usage for n in names)), critical=True)
    return builder.sign(signer, hashes.SHA256())


def pem(*things: Any) -> bytes:
    """Certificates, public keys and revocation lists as PEM."""
    return b"".join(
        thing.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if hasattr(thing, "verify") or hasattr(thing, "key_size")
        else thing.public_bytes(Encoding.PEM)
        for thing in things
    )


def der(thing: Certificate | x509.CertificateRevocationList) -> bytes:
    return thing.public_bytes(Encoding.DER)


def private_pem(key: Private, password: bytes = b"", form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    cipher = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, cipher)


def private_der(key: Private, password: bytes = b"") -> bytes:
    cipher = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, cipher)


def base64url(number: int, length: int = 0) -> str:
    data = number.to_bytes(length or (number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(key: Private, kid: str = "", **more: Any) -> dict[str, Any]:
    """The public key as RFC 7517 writes it."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        found = {"kty": "RSA", "n": base64url(numbers.n), "e": base64url(numbers.e)}
    else:
        size = (public.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(public.curve.name, "x")
        point = public.public_numbers()
        found = {"kty": "EC", "crv": curve, "x": base64url(point.x, size), "y": base64url(point.y, size)}
    return found | ({"kid": kid} if kid else {}) | more


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def x5c(*certificates: Certificate) -> list[str]:
    return [base64.b64encode(der(one)).decode() for one in certificates]


def key_descriptor(*certificates: Certificate, use: str = "signing") -> str:
    inner = "".join(f"<ds:X509Certificate>\n{one}\n</ds:X509Certificate>" for one in x5c(*certificates))
    use = f' use="{use}"' if use else ""
    info = f"<ds:KeyInfo><ds:X509Data>{inner}</ds:X509Data></ds:KeyInfo>"
    return f"<md:KeyDescriptor{use}>{info}</md:KeyDescriptor>"


def entity(id: str, descriptors: str, *, role: str = "IDPSSODescriptor", attributes: str = "") -> str:
    inner = f"<md:{role}>{descriptors}</md:{role}>"
    return f'<md:EntityDescriptor entityID="{id}"{attributes}>{inner}</md:EntityDescriptor>'


def metadata(*entities: str, attributes: str = "") -> bytes:
    return (
        '<?xml version="1.0"?>\n<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
        f' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"{attributes}>{"".join(entities)}</md:EntitiesDescriptor>'
    ).encode()


def revocation_list(
    by: tuple[str, Private],
    *serials: int,
    until: datetime = NOW + 7 * DAY,
    algorithm: hashes.HashAlgorithm | None = None,
    extension: x509.ExtensionType | None = None,
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(by[0]))
        .last_update(min(NOW, until) - DAY)
        .next_update(until)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
        builder = builder.add_revoked_certificate(entry)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(by[1], algorithm or hashes.SHA256())  # type: ignore[arg-type]
