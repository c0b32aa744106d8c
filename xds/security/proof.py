"""DPoP (RFC 9449): whether whoever sends a token also holds the key that the token is bound to.

The gate calls `check` for every request with a bound token, and remembers what it returns, so that no proof
is used twice. The URL that it compares must never come from the request's own Host header, and that a proof
was good for one request says nothing about the next.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jwk import thumbprint as calculate_thumbprint

from xds.security import jws, tokens
from xds.security.denials import denied
from xds.security.keys import CURVES, PRIVATE_MEMBERS, RSA_BITS
from xds.security.trust import PublicKey

MOST_CHARACTERS: Final = 8 * 1024
#: How long a proof is good (HelseID's rules for DPoP), and how far the sender's clock may be from ours.
VALIDITY: Final = timedelta(seconds=10)
SKEW: Final = timedelta(seconds=5)

_FIELDS: Final = frozenset({"alg", "typ", "jwk", "kid"})
#: The members that make up a public key, in the order of RFC 7638 (RFC 7518, 6.2.1 and 6.3.1).
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}
#: Bits of n and e. A larger modulus or exponent costs the verifier more than it gives the signer.
_BITS: Final = {"n": RSA_BITS, "e": range(2, 32 + 1)}
#: Keys that were made of a jwk whose thumbprint a good token names.
_KEYS: Final = 1024
_MOST_ID: Final = 512

_URL: Final = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\s]+)(?::([0-9]{1,5}))?(/[^?#\s]*)?(?:[?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_PORTS: Final = {"http": "80", "https": "443"}
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")


def check(
    proof: str,
    token: str,
    thumbprint: str,
    method: str,
    url: str,
    now: datetime,
    skew: timedelta = SKEW,
) -> tuple[str, datetime]:
    """A name for the proof that no other has, and until when it must not come again. Raises Denied.

    `token` is the access token as it was sent and `thumbprint` the one it names (cnf.jkt); `url` is the
    request's public URL, of the configured base. The cheapest checks come first (RFC 9449, 4.3).
    """
    claims = signed(proof, thumbprint)
    if claims.get("htm") != method or not _is_same(claims.get("htu"), url):
        raise denied("proof-request")
    if claims.get("ath") != _digest(token):
        raise denied("proof-token")
    try:
        issued = jws.time(claims.get("iat"))
    except ValueError:
        raise denied("proof-time") from None
    if not -skew <= now - issued <= VALIDITY + skew:
        raise denied("proof-time")
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _MOST_ID:
        raise denied("proof-form")
    # Another node's clock may be behind ours, and take the proof for that much longer.
    return _digest(f"{thumbprint} {identifier}"), issued + VALIDITY + 2 * skew


def signed(proof: str, thumbprint: str | None = None) -> Mapping[str, Any]:
    """The claims of a proof that is signed with the key in it, which must be the one of the thumbprint.

    With None for it any key will do: that is for `xds validate` and no gate. Raises Denied.
    """
    if len(proof) > MOST_CHARACTERS:
        raise denied("proof-form")
    try:
        compact = jws.read(proof)
    except ValueError:
        raise denied("proof-form") from None
    algorithm = _check_header(compact.header)
    members = _public_members(compact.header)
    if thumbprint is not None and calculate_thumbprint(dict(members)) != thumbprint:
        raise denied("proof-binding")
    key = _key(members)
    if not tokens.fits(algorithm, key):
        raise denied("proof-algorithm")
    if not tokens.is_signed(compact, key):
        raise denied("proof-signature")
    return compact.claims


def _check_header(header: Mapping[str, Any]) -> str:
    algorithm = header.get("alg")
    if header.get("typ") != "dpop+jwt" or not header.keys() <= _FIELDS:
        raise denied("proof-form")
    if not isinstance(algorithm, str) or algorithm not in jws.ALGORITHMS:
        raise denied("proof-algorithm")
    return algorithm


def _public_members(header: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The members of the header's jwk that make up the public key, which must be for such signatures."""
    jwk = header.get("jwk")
    if not isinstance(jwk, dict) or PRIVATE_MEMBERS & jwk.keys():
        raise denied("proof-key")
    names = _MEMBERS.get(jwk["kty"]) if isinstance(jwk.get("kty"), str) else None
    if names is None or jwk.get("use", "sig") != "sig" or jwk.get("alg", header["alg"]) != header["alg"]:
        raise denied("proof-key")
    members = tuple((name, jwk[name]) for name in names if isinstance(jwk.get(name), str))
    if len(members) != len(names):
        raise denied("proof-key")
    return members


@lru_cache(_KEYS)
def _key(members: tuple[tuple[str, str], ...]) -> PublicKey:
    """The key itself. It is asked for after the thumbprint was compared, so nobody else's fill the cache."""
    jwk: Any = dict(members)
    try:
        if jwk["kty"] == "EC" and jwk["crv"] in CURVES:
            return ECKey.import_key(jwk).public_key
        if jwk["kty"] == "RSA" and all(_bits(jwk[name]) in bits for name, bits in _BITS.items()):
            return RSAKey.import_key(jwk).public_key
    except (JoseError, ValueError):
        pass
    raise denied("proof-key")


def _bits(number: str) -> int:
    return int.from_bytes(jws.decode(number.encode("ascii")), "big").bit_length()


def _is_same(htu: object, url: str) -> bool:
    """Whether two URLs are one after normalisation (RFC 3986, 6.2), but for query and fragment."""
    return isinstance(htu, str) and (normal := _normal(htu)) is not None and normal == _normal(url)


def _normal(url: str) -> tuple[str, str, str, str] | None:
    """Scheme, host, port and path in one form; None when it is no such URL. Dots in a path are left alone."""
    match = _URL.fullmatch(url)
    if match is None or not (url.isascii() and url.isprintable()):
        return None
    scheme, host = match[1].lower(), match[2].lower()
    return scheme, host, match[3] or _PORTS[scheme], _PERCENT.sub(_escape, match[4] or "/")


def _escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _digest(text: str) -> str:
    """base64url(SHA-256), as `ath` has it."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
