"""What python-jose and joserfc accept and refuse, and how fast they are.

The figures of docs/decisions/0002-token-layer-not-python-jose.md. Run by hand; the project's environment
has both packages (python-jose for the tests only):

    .venv/bin/python bench/decisions/token_layer.py

Keys are made on the spot. A line per question, a column per package. python-jose is called with the
algorithm, audience and issuer, joserfc with the algorithm and a JWTClaimsRegistry that makes aud, iss and exp
essential, each as its documentation shows; where a line says otherwise, otherwise.
"""

from __future__ import annotations

import base64
import hmac
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import requires, version
from typing import Any

import joserfc.jwk
import joserfc.jws
import joserfc.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk as jose_jwk
from jose import jwt as jose_jwt
from jose.constants import ALGORITHMS

ISSUER, AUDIENCE = "https://issuer.example", "urn:bench"


def pem(key: Any, private: bool) -> bytes:
    if private:
        return bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
NOW = int(time.time())
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "iat": NOW, "exp": NOW + 3600}


def made(claims: dict[str, Any], header: dict[str, Any] | None = None, algorithm: str = "RS256") -> str:
    """A token signed with RSA (or EC), by neither package, so that its header can hold anything."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, utils

    head = {"alg": algorithm, "typ": "JWT", **(header or {})}
    text = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, claims)
    )
    if algorithm == "HS256":
        signature = hmac.digest(pem(RSA, False), text, "sha256")
    elif algorithm == "ES256":
        r, s = utils.decode_dss_signature(EC.sign(text, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    elif algorithm == "PS256":
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        signature = RSA.sign(text, pss, hashes.SHA256())
    else:
        signature = RSA.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name not in names}


def by_jose(token: str, key: Any = None, algorithms: Any = ("RS256",), **more: Any) -> Any:
    key = pem(RSA, False) if key is None else key
    return jose_jwt.decode(
        token,
        key,
        algorithms=None if algorithms is None else list(algorithms),
        audience=AUDIENCE,
        issuer=ISSUER,
        **more,
    )


REGISTRY = joserfc.jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
)


def by_joserfc(token: str, key: Any = None, algorithms: Any = ("RS256",), claims: bool = True) -> Any:
    if key is None:
        key = joserfc.jwk.RSAKey.import_key(pem(RSA, False))
    decoded = joserfc.jwt.decode(token, key, algorithms=None if algorithms is None else list(algorithms))
    if claims:
        REGISTRY.validate(decoded.claims)
    return decoded


def verdict(run: Callable[[], object]) -> str:
    try:
        run()
    except Exception as error:
        return f"refuses: {type(error).__name__}"
    return "accepts"


def row(name: str, jose: Callable[[], object], rfc: Callable[[], object]) -> None:
    print(f"  {name:<52} {verdict(jose):<40} {verdict(rfc)}")


def microseconds(run: Callable[[], object], calls: int = 2000) -> float:
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - began) / calls)
    return best * 1e6


def jwks() -> dict[str, Any]:
    """A key set whose key `right` made the token and whose key `wrong` did not."""
    keys = [
        {**jose_jwk.construct(pem(key, False), "RS256").to_dict(), "kid": name}
        for key, name in ((RSA, "right"), (OTHER, "wrong"))
    ]
    return {"keys": keys}


def main() -> None:
    print(
        f"Python {sys.version.split()[0]}, python-jose {version('python-jose')}, joserfc {version('joserfc')}"
    )
    print("Needs (requirements without extras)")
    for name in ("python-jose", "joserfc"):
        print(f"  {name}: {[each for each in requires(name) or [] if 'extra' not in each]}")
    backend = type(jose_jwk.construct(pem(RSA, False), "RS256")).__module__
    print(f"  python-jose verifies RS256 with {backend}")

    print(f"  {'':<52} {'python-jose':<40} joserfc")
    row("a good token", lambda: by_jose(made(CLAIMS)), lambda: by_joserfc(made(CLAIMS)))
    row("ES256", *both(made(CLAIMS, algorithm="ES256"), pem(EC, False), "ES256"))
    row("PS256", *both(made(CLAIMS, algorithm="PS256"), pem(RSA, False), "PS256"))
    print(f"  python-jose knows PS256: {'PS256' in ALGORITHMS.SUPPORTED}")
    print(
        f"  key thumbprint (RFC 7638): python-jose"
        f" {any('thumb' in name for name in dir(jose_jwk.construct(pem(RSA, False), 'RS256')))},"
        f" joserfc {bool(joserfc.jwk.RSAKey.import_key(pem(RSA, False)).thumbprint())}"
    )
    for name in ("aud", "exp", "iss"):
        row(f"no {name}", partial(by_jose, made(without(name))), partial(by_joserfc, made(without(name))))
    required = {f"require_{name}": True for name in ("aud", "exp", "iss")}
    row(
        "no aud, exp: python-jose told require_…, joserfc nothing",
        lambda: by_jose(made(without("aud", "exp")), options=required),
        lambda: by_joserfc(made(without("aud", "exp")), claims=False),
    )
    crit = made(CLAIMS, {"crit": ["urn:x"], "urn:x": 1})
    row("crit with an unknown extension (RFC 7515 4.1.11)", lambda: by_jose(crit), lambda: by_joserfc(crit))
    named = made(CLAIMS, {"kid": "wrong"})
    key_set = joserfc.jwk.KeySet.import_key_set(jwks())  # type: ignore[arg-type]
    row(
        "kid names another key of the set than the signer's",
        lambda: by_jose(named, jwks()),
        lambda: by_joserfc(named, key_set),
    )
    unknown = made(CLAIMS, {"kid": "nobody"})
    row("kid that is not in the set", lambda: by_jose(unknown, jwks()), lambda: by_joserfc(unknown, key_set))
    row(
        "no list of algorithms given",
        lambda: by_jose(made(CLAIMS), algorithms=None),
        lambda: by_joserfc(made(CLAIMS), algorithms=None),
    )
    confused = made(CLAIMS, algorithm="HS256")
    row(
        "HS256 keyed with the public key, no list of algorithms",
        lambda: by_jose(confused, algorithms=None),
        lambda: by_joserfc(confused, algorithms=None),
    )
    row(
        "typ is not what is wanted (at+jwt): nobody asks",
        lambda: by_jose(made(CLAIMS, {"typ": "logout+jwt"})),
        lambda: by_joserfc(made(CLAIMS, {"typ": "logout+jwt"})),
    )

    print("RS256 verification, 2048 bit, claims checked, best of five rounds")
    token = made(CLAIMS)
    jose_key = jose_jwk.construct(pem(RSA, False), "RS256")
    rfc_key = joserfc.jwk.RSAKey.import_key(pem(RSA, False))
    public = RSA.public_key()
    for name, run in {
        "python-jose, key prepared": lambda: by_jose(token, jose_key),
        "python-jose, key as PEM": lambda: by_jose(token),
        "joserfc, key prepared": lambda: by_joserfc(token, rfc_key),
        "cryptography alone, the signature": lambda: verify_only(public, token),
    }.items():
        print(f"  {name:<52} {microseconds(run):.0f} µs")


def both(token: str, key: bytes, algorithm: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same token and key for both packages."""
    kind = joserfc.jwk.ECKey if algorithm == "ES256" else joserfc.jwk.RSAKey
    return (
        lambda: by_jose(token, key, (algorithm,)),
        lambda: by_joserfc(token, kind.import_key(key), (algorithm,)),
    )


def verify_only(public: Any, token: str) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    text, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    public.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())


if __name__ == "__main__":
    main()
