"""The keys of the sample ticket service, in files of a folder, and the trust file that names them.

tickets.py asks for them. Each file is made when it is first asked for, at one blow and for this user alone,
so that two processes that begin at once use the same keys. No key may ever leave its folder, and nobody
trusts one but those whose settings name the trust file there.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from xds.errors import XdsError
from xds.security.trust import TicketKind

AUDIENCE: Final = "urn:xds:demo"
_YEARS: Final = timedelta(days=10 * 365)
_CERTIFICATE: Final = "saml-certificate.pem"
_JWKS: Final = "token-keys.json"


class TicketRefused(XdsError):
    """What was asked for is not issued; the text says why, and quotes nothing."""


def issuer(kind: TicketKind) -> str:
    """The issuer's name of a kind of ticket: one that no real issuer has."""
    return f"{AUDIENCE}:{kind.value}"


class Keys:
    """What is in the folder: a key for assertions with its certificate, one for tokens, one for proofs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        try:
            self.saml = _rsa(self._once("saml-key.pem", _new_rsa))
            self.certificate = x509.load_pem_x509_certificate(
                self._once(_CERTIFICATE, lambda: _certificate(self.saml))
            )
            self.token = _rsa(self._once("token-key.pem", _new_rsa))
            self.proof = self._once("proof-key.pem", _new_ec)
        except ValueError:
            raise TicketRefused(
                "A key file of the folder is damaged: remove it, or name another folder."
            ) from None
        self.trust = folder / "trust.toml"

    def publish(self, jwks: Callable[[], dict[str, object]]) -> None:
        """Write what a node reads: the public keys of tokens as a JWKS, and the trust file."""
        self._once(_JWKS, lambda: json.dumps(jwks(), indent=2).encode())
        self._once(self.trust.name, lambda: _trust_file().encode())

    def _once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes of a file, which is made when it is not there; whoever is first has made it."""
        path = self._folder / name
        if not path.exists():
            number, temporary = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")  # mode 0600
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(make())
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, path)
            finally:
                os.unlink(temporary)
        return path.read_bytes()


def _trust_file() -> str:
    tables = [
        "# Issuers for tests: their keys lie beside this file, so whoever reads it can be anybody.\n"
        "# A node outside environment = test refuses them."
    ]
    for kind in TicketKind:
        keys = f'jwks = "{_JWKS}"' if kind.is_token else f'certificates = ["{_CERTIFICATE}"]'
        tables.append(
            f'[[issuer]]\nname = "{issuer(kind)}"\nkind = "{kind.value}"\n'
            f'audiences = ["{AUDIENCE}"]\n{keys}\n'
            + ('token = "dpop"\n' if kind.is_token else "")
            + "test = true"
        )
    return "\n\n".join(tables) + "\n"


def _new_rsa() -> bytes:
    return _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _new_ec() -> bytes:
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _rsa(pem: bytes) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    """A self-signed certificate that is good for signatures and nothing else."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xds demo: for tests only")])
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
