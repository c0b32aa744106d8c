"""Keys, XML signatures and JSON Web Signatures, made by hand with lxml and cryptography.

The vectors are made with it, good and hostile: every part of a signature can be another than it should be,
which no signing library allows. It uses nothing of a node under test. Private keys are never written.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from lxml import etree

DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
PSS = "http://www.w3.org/2007/05/xmldsig-more#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
RSA_SHA256, RSA_SHA1 = MORE + "rsa-sha256", DS + "rsa-sha1"
RSA_PSS_SHA256 = PSS + "sha256-rsa-MGF1"
ECDSA_SHA256 = MORE + "ecdsa-sha256"
HMAC_SHA256 = MORE + "hmac-sha256"
SHA256, SHA1 = "http://www.w3.org/2001/04/xmlenc#sha256", DS + "sha1"

#: Where the signature goes; the text of an assertion has it once.
PLACE = "<!--signature-->"
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)


@dataclass(frozen=True)
class Signer:
    """A key pair, RSA or EC P-256, and the self-signed certificate of it."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def base64(self) -> str:
        """The certificate, as X509Certificate has it."""
        return base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode()

    @property
    def public(self) -> dict[str, str]:
        """The public key as a JWK (RFC 7518 6)."""
        numbers = self.key.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"kty": "EC", "crv": "P-256", "x": _number(numbers.x, 32), "y": _number(numbers.y, 32)}

    @property
    def thumbprint(self) -> str:
        """RFC 7638: the members of the key in the order of their names."""
        return b64(
            hashlib.sha256(json.dumps(self.public, sort_keys=True, separators=(",", ":")).encode()).digest()
        )

    def public_pem(self) -> bytes:
        """The public key, as a file has it."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def new_signer(name: str, now: datetime, curve: bool = False) -> Signer:
    """A new key with a certificate from a day before `now` until ten years after it."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
        ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signing_only(), critical=True)
    )
    return Signer(key, builder.sign(key, hashes.SHA256()))


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


# -- XML


def canonical(xml: str) -> bytes:
    """Exclusive canonicalisation without comments, of one element that declares its own namespaces."""
    return etree.tostring(
        etree.fromstring(xml.encode()), method="c14n", exclusive=True, with_comments=False, with_tail=False
    )


def _rsa(hash: hashes.HashAlgorithm) -> Callable[[Signer, bytes], bytes]:
    return lambda signer, data: signer.key.sign(data, padding.PKCS1v15(), hash)


def _ecdsa(signer: Signer, data: bytes) -> bytes:
    r, s = utils.decode_dss_signature(signer.key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


SIGN: Mapping[str, Callable[[Signer, bytes], bytes]] = {
    RSA_SHA256: _rsa(hashes.SHA256()),
    RSA_SHA1: _rsa(hashes.SHA1()),
    RSA_PSS_SHA256: lambda signer, data: signer.key.sign(data, _PSS, hashes.SHA256()),
    ECDSA_SHA256: _ecdsa,
    # The confusion: a secret that everybody knows, because it is the public key.
    HMAC_SHA256: lambda signer, data: hmac.digest(signer.public_pem(), data, "sha256"),
}


def certificate_info(signer: Signer) -> str:
    """ds:KeyInfo with the certificate."""
    return (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{signer.base64}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo>"
    )


def signature(
    signer: Signer,
    covered: bytes,
    uri: str,
    *,
    method: str = RSA_SHA256,
    digest: str = SHA256,
    transforms: tuple[str, ...] = (ENVELOPED, EXCLUSIVE),
    key_info: str | None = None,
) -> str:
    """ds:Signature over the octets `covered`, whatever `uri` and `transforms` say that they are."""
    value = hashlib.new("sha1" if digest == SHA1 else "sha256", covered).digest()
    signed_info = (
        f'<ds:SignedInfo xmlns:ds="{DS}"><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="{uri}"><ds:Transforms>'
        + "".join(f'<ds:Transform Algorithm="{each}"/>' for each in transforms)
        + f'</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/>'
        f"<ds:DigestValue>{base64.b64encode(value).decode()}</ds:DigestValue>"
        "</ds:Reference></ds:SignedInfo>"
    )
    made = base64.b64encode(SIGN[method](signer, canonical(signed_info))).decode()
    return (
        f'<ds:Signature xmlns:ds="{DS}">{signed_info}<ds:SignatureValue>{made}</ds:SignatureValue>'
        f"{certificate_info(signer) if key_info is None else key_info}</ds:Signature>"
    )


def identity(assertion: str) -> str:
    """The ID of the assertion that the text begins with."""
    return assertion.partition(' ID="')[2].partition('"')[0]


def sign(assertion: str, signer: Signer, **changes: Any) -> str:
    """The assertion with a signature over itself in its place; `changes` are those of `signature`."""
    covered = canonical(assertion.replace(PLACE, ""))
    return assertion.replace(PLACE, signature(signer, covered, "#" + identity(assertion), **changes))


# -- JSON


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def private(signer: Signer) -> dict[str, str]:
    """The JWK of an EC signer with a private part, which is not its own: no key is published here."""
    return signer.public | {"d": b64(secrets.token_bytes(32))}


JWS: Mapping[str, Callable[[Signer, bytes], bytes]] = {
    "RS256": SIGN[RSA_SHA256],
    "PS256": SIGN[RSA_PSS_SHA256],
    "ES256": _ecdsa,
    "HS256": SIGN[HMAC_SHA256],
    "none": lambda signer, data: b"",
}


def jws(header: Mapping[str, Any], claims: Mapping[str, Any], signer: Signer, *, alg: str = "") -> str:
    """A JWS in compact form; `alg` signs by another algorithm than the header names."""
    parts = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return signed_parts(parts, signer, alg or header["alg"])


def signed_parts(parts: str, signer: Signer, alg: str = "RS256") -> str:
    """A JWS of a header and claims that are encoded already."""
    return f"{parts}.{b64(JWS[alg](signer, parts.encode()))}"
