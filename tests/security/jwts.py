"""Tokens and proofs for the tests, signed with cryptography alone, so that anything can stand in them."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

from xds.security.trust import Issuer, Key, TicketKind, Trust

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER = "https://issuer.example"
AUDIENCE = "example:documents"
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def _made(algorithm: str, name: str, bits: int) -> Any:
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def rsa_key(name: str = "issuer", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name."""
    return _made("RSA", name, bits)


def ec_key(algorithm: str = "ES256", name: str = "issuer") -> ec.EllipticCurvePrivateKey:
    """A key on the algorithm's curve, the same for the same name."""
    return _made(algorithm, name, 0)


def key_for(algorithm: str, name: str = "issuer") -> Any:
    """A private key that the algorithm takes."""
    return ec_key(algorithm, name) if algorithm.startswith("ES") else rsa_key(name)


@cache
def _certificate() -> x509.Certificate:
    """Any: tokens are verified with the bare key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(rsa_key().public_key())
    )
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(rsa_key(), hashes.SHA256())


def trusted(private: Any, kid: str = "one", **more: Any) -> Key:
    """The public half, as the trust store has it."""
    return Key(private.public_key(), _certificate(), kid, **more)


def issuer(**changes: Any) -> Issuer:
    """An issuer of tokens with one RSA key `one`, for tests, as the people of the tokens are synthetic."""
    values: dict[str, Any] = {
        "name": ISSUER,
        "kind": TicketKind.HELSEID,
        "audiences": frozenset({AUDIENCE, "example:other"}),
        "keys": (trusted(rsa_key()),),
        "lifetime": timedelta(minutes=10),
        "skew": timedelta(seconds=30),
        "test": True,
    }
    return Issuer(**(values | changes))


def trust(*issuers: Issuer) -> Trust:
    """These issuers, or the one of `issuer()`."""
    return Trust({each.name: each for each in issuers or (issuer(),)})


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dump(value: Any) -> bytes:
    """JSON; bytes are taken as they are."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def sign(message: bytes, algorithm: str, private: Any) -> bytes:
    """A JWS signature (RFC 7518, 3)."""
    digest = HASHES[algorithm[2:]]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        size = (private.key_size + 7) // 8
        r, s = utils.decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm.startswith("PS"):
        return bytes(private.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
    return bytes(private.sign(message, padding.PKCS1v15(), digest))


def jwt(header: Any, claims: Any, algorithm: str = "RS256", private: Any = None) -> str:
    """A JWT whose header and claims are whatever is given."""
    text = f"{encode(dump(header))}.{encode(dump(claims))}"
    return f"{text}.{encode(sign(text.encode(), algorithm, private or key_for(algorithm)))}"


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with changes; None takes a name away."""
    return {name: value for name, value in (base | changes).items() if value is not None}


HEADER = {"alg": "RS256", "kid": "one", "typ": "at+jwt"}
MACHINE = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "jti": "4711",
    "iat": AT,
    "nbf": AT,
    "exp": AT + 60,
    "client_id": "client-1",
    "scope": ["example:documents/read"],
}


def token(header: dict[str, Any] | None = None, algorithm: str = "RS256", **changes: Any) -> str:
    """A machine's token with changes."""
    return jwt(changed(HEADER, {"alg": algorithm, **(header or {})}), changed(MACHINE, changes), algorithm)


# ---- DPoP

METHOD, URL = "GET", "https://node.example/fhir/DocumentReference"


def public_jwk(private: Any) -> dict[str, Any]:
    """The public half as a JWK (RFC 7518, 6)."""
    numbers = private.public_key().public_numbers()
    if isinstance(private, ec.EllipticCurvePrivateKey):
        size = (private.key_size + 7) // 8
        x, y = (encode(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
        return {
            "kty": "EC",
            "crv": {256: "P-256", 384: "P-384", 521: "P-521"}[private.key_size],
            "x": x,
            "y": y,
        }
    size = (private.key_size + 7) // 8
    return {"kty": "RSA", "n": encode(numbers.n.to_bytes(size, "big")), "e": "AQAB"}


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638, 3: SHA-256 of the required members in the order of their names, without blanks."""
    names = ("crv", "kty", "x", "y") if jwk["kty"] == "EC" else ("e", "kty", "n")
    text = json.dumps({name: jwk[name] for name in names}, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


def proof(
    access_token: str,
    header: dict[str, Any] | None = None,
    algorithm: str = "ES256",
    private: Any = None,
    **changes: Any,
) -> str:
    """A good proof with changes."""
    private = private or key_for(algorithm, "client")
    heads = {"alg": algorithm, "typ": "dpop+jwt", "jwk": public_jwk(private)}
    claims = {
        "htm": METHOD,
        "htu": URL,
        "iat": AT,
        "jti": "p-1",
        "ath": encode(hashlib.sha256(access_token.encode()).digest()),
    }
    return jwt(changed(heads, header or {}), changed(claims, changes), algorithm, private)
