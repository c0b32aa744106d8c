"""HelseID access tokens: whether one was signed by an issuer we trust, for us, now (RFC 9068).

The gate calls `verify` for a token that it does not remember, and `check_times` and `check_scopes` at every
use. claims.py reads what a verified token says of the caller. It must never take a key, an algorithm or
anything else that is believed from the token itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, validate_compact

from xds.security import jws
from xds.security.denials import denied
from xds.security.jws import ALGORITHMS
from xds.security.keys import RSA_BITS
from xds.security.trust import Issuer, Key, PublicKey, Trust

MOST_CHARACTERS: Final = 64 * 1024
#: The claim of the trust framework (norwegian-profile 4.11): an object, or the text of one.
TRUST_FRAMEWORK: Final = "nhn:tillitsrammeverk:parameters"
#: Claims that only a token for a person has, in HelseID's and in IHE's words (IUA 3.71.4.2.2.1).
PERSONAL: Final = (
    ("helseid://claims/identity/pid",),
    ("helseid://claims/identity/pid_pseudonym",),
    ("helseid://claims/hpr/hpr_number",),
    ("helseid://claims/identity/security_level",),
    ("name",),
    ("idp",),
    (TRUST_FRAMEWORK, "practitioner", "identifier"),
    (TRUST_FRAMEWORK, "practitioner", "hpr_nr"),
    ("extensions", "ihe_iua", "person_id"),
    ("extensions", "ihe_iua", "national_provider_identifier"),
)

#: What the header may have besides; all else could bring a key, or change what the signature is about.
_FIELDS: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt", "jwt"})
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PREPARED: Final[dict[int, tuple[PublicKey, RSAKey | ECKey]]] = {}
_MOST_PREPARED: Final = 2048
_REGISTRY: Final = JWSRegistry(algorithms=list(ALGORITHMS))


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A token that was found good.

    `id` is jti; the times are aware. `thumbprint` is that of the key the token is bound to (cnf.jkt), or
    empty. `attested_at` is when the care relation was attested (toa), or else when the person logged in.
    `claims` are as signed, but for the trust framework's, which is an object always.
    """

    issuer: Issuer
    id: str
    claims: Mapping[str, Any]
    expires_at: datetime
    not_before: datetime | None
    issued_at: datetime
    attested_at: datetime | None
    thumbprint: str


def verify(token: str, trust: Trust, now: datetime) -> Token:
    """The token, found good by everything but its proof and its scopes. Raises Denied."""
    if len(token) > MOST_CHARACTERS:
        raise denied("token-size")
    try:
        compact = jws.read(token)
    except ValueError:
        raise denied("token-form") from None
    algorithm = check_header(compact.header)
    name = compact.claims.get("iss")
    issuer = trust.issuers.get(name) if isinstance(name, str) else None
    if issuer is None or not issuer.kind.is_token:
        raise denied("token-issuer")
    keys = [key.public for key in _keys(issuer, compact.header, now)]
    if not keys:
        raise denied("token-key")
    if not (fitting := [key for key in keys if fits(algorithm, key)]):
        raise denied("token-algorithm")
    if not any(is_signed(compact, key) for key in fitting):
        raise denied("token-signature")
    if not issuer.audiences & _audiences(compact.claims.get("aud")):
        raise denied("token-audience")
    verified = of_claims(issuer, compact.claims)
    start = verified.not_before or verified.issued_at
    if not timedelta(0) < verified.expires_at - start <= issuer.lifetime:
        raise denied("token-lifetime")
    check_times(verified, now)
    return verified


def issuer_name(token: str) -> str:
    """The name that a token gives for its issuer, whether true or not; empty when there is none.

    It is for asking the trust store for new keys, and for nothing else.
    """
    if len(token) > MOST_CHARACTERS:
        return ""
    try:
        name = jws.read(token).claims.get("iss")
    except ValueError:
        return ""
    return name if isinstance(name, str) else ""


def check_times(token: Token, now: datetime) -> None:
    """What may be otherwise at each use: exp, nbf, iat, and the age of the attestation. Raises Denied."""
    skew = token.issuer.skew
    if now - skew >= token.expires_at:
        raise denied("token-expired")
    for time in (token.not_before, token.issued_at, token.attested_at):
        if time is not None and time > now + skew:
            raise denied("token-early")
    if (most := token.issuer.attestation) is None:
        return
    if token.attested_at is None:
        if any(at(token.claims, path) is not None for path in PERSONAL):
            raise denied("token-attestation")  # a person's, and nobody says since when
    elif now - token.attested_at > most + skew:
        raise denied("token-attestation")


def check_scopes(token_scopes: frozenset[str], wanted: frozenset[str]) -> None:
    """At least one of `wanted` must be there; nothing is needed when it is empty. Raises Denied."""
    if wanted and not wanted & token_scopes:
        raise denied("token-scope")


def fits(algorithm: str, key: PublicKey) -> bool:
    """Whether this algorithm of ALGORITHMS is one for keys of this type, curve and strength."""
    if isinstance(key, RSAPublicKey):
        return ALGORITHMS[algorithm] is None and key.key_size in RSA_BITS
    return ALGORITHMS[algorithm] == key.curve.name


def is_signed(compact: jws.Compact, key: PublicKey) -> bool:
    """Whether the key made the signature, with the header's algorithm; `fits` must have been asked before."""
    header, claims, signature = compact.parts
    signed = CompactSignature(compact.header, b"")  # joserfc takes nothing apart again: it sees the parts
    signed.segments.update({"header": header, "payload": claims, "signature": signature})
    try:
        return validate_compact(signed, _prepared(key), registry=_REGISTRY)
    except (JoseError, ValueError):
        return False


def _prepared(key: PublicKey) -> RSAKey | ECKey:
    """joserfc's form of a key, made once: keys have no hash, so they are known by being the same object."""
    known = _PREPARED.get(id(key))
    if known is None:
        if len(_PREPARED) >= _MOST_PREPARED:
            _PREPARED.clear()
        made = RSAKey.import_key(key) if isinstance(key, RSAPublicKey) else ECKey.import_key(key)
        known = _PREPARED[id(key)] = key, made  # the key is held, so that no other takes its id
    return known[1]


def at(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands at the end of a path of names; None when it is null or missing. Raises Denied."""
    value: Any = claims
    for name in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise denied("token-content")
        value = value.get(name)
    return value


def check_header(header: Mapping[str, Any]) -> str:
    """The algorithm, when the header has what it must and nothing that it must not."""
    if not header.keys() <= _FIELDS:
        raise denied("token-header-field")
    typ, algorithm = header.get("typ"), header.get("alg")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise denied("token-type")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise denied("token-algorithm")
    return algorithm


def _keys(issuer: Issuer, header: Mapping[str, Any], now: datetime) -> list[Key]:
    """The issuer's keys that the token may have been signed with: those that its kid names.

    An issuer's only key needs no kid in the token, and a nameless one (from a file) fits any.
    """
    kid = header.get("kid")
    if "kid" in header and (not isinstance(kid, str) or not kid):
        return []
    only = len(issuer.keys) == 1
    return [
        key
        for key in issuer.keys
        if key.is_valid(now) and (only if kid is None else key.id == kid or (only and not key.id))
    ]


def _audiences(aud: object) -> frozenset[str]:
    """aud is one text or a list of them (RFC 7519, 4.1.3); empty when it is neither."""
    names = [aud] if isinstance(aud, str) else aud
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return frozenset()
    return frozenset(names)


def of_claims(issuer: Issuer, claims: dict[str, Any]) -> Token:
    """The claims that every token has, verified or not: only `verify` and show.py may ask. Raises Denied."""
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not identifier.isprintable() or not 0 < len(identifier) <= 512:
        raise denied("token-content")
    try:
        framework = claims.get(TRUST_FRAMEWORK)
        if isinstance(framework, str):
            claims = {**claims, TRUST_FRAMEWORK: jws.read_json(framework)}
        attested = at(claims, (TRUST_FRAMEWORK, "toa"))
        attested = claims.get("auth_time") if attested is None else attested
        return Token(
            issuer,
            identifier,
            MappingProxyType(claims),
            expires_at=jws.time(claims.get("exp")),
            not_before=jws.time(claims["nbf"]) if "nbf" in claims else None,
            issued_at=jws.time(claims.get("iat")),
            attested_at=None if attested is None else jws.time(attested),
            thumbprint=_thumbprint(claims.get("cnf")),
        )
    except ValueError:
        raise denied("token-content") from None


def _thumbprint(confirmation: object) -> str:
    """cnf.jkt; a token that is bound in another way (RFC 7800, RFC 8705) is nothing we could check."""
    if confirmation is None:
        return ""
    if not isinstance(confirmation, dict) or confirmation.keys() != {"jkt"}:
        raise denied("token-content")
    thumbprint = confirmation["jkt"]
    if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
        raise denied("token-content")
    return thumbprint
