"""Reading a JWT in JWS compact form strictly, before anything of it is believed.

tokens.py and proof.py take tokens and proofs apart with it; keys.py has from here which algorithms there are.
It must never be lenient: bytes or JSON that two readers could take in two ways are no JWT, so that what was
signed is what is read.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

#: The algorithms that are taken (RFC 7518, 3.1), and the curve of each one's key; None: an RSA key.
ALGORITHMS: Final[Mapping[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "ES256": "secp256r1",
    "ES384": "secp384r1",
    "ES512": "secp521r1",
}
#: Digits of an integer: more than any time has, and few enough to be read at once.
_MOST_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Compact:
    """A JWT taken apart: header and claims as JSON, and the three parts as they came."""

    header: dict[str, Any]
    claims: dict[str, Any]
    parts: tuple[bytes, bytes, bytes]


def read(text: str) -> Compact:
    """Take a JWT apart; raises ValueError, without a word of it, when it is not one."""
    parts = text.encode("ascii").split(b".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    header, claims, signature = parts
    decode(signature)
    return Compact(_object(decode(header)), _object(decode(claims)), (header, claims, signature))


def decode(part: bytes) -> bytes:
    """base64url without padding (RFC 7515, 2), in the one form that encoding gives; raises ValueError."""
    raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part:
        raise ValueError("not base64url")
    return raw


def read_json(text: str) -> Any:
    """JSON in which no object has a name twice (RFC 7519, 4) and every number is one; raises ValueError."""
    try:
        value = _JSON.decode(text)
        if "\\u" in text:  # half a character of two can be written as an escape, and is no text
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("too deep") from None
    return value


def time(value: object) -> datetime:
    """A NumericDate (RFC 7519, 2) as an aware time; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError):
        raise ValueError("beyond the calendar") from None


def _object(data: bytes) -> dict[str, Any]:
    value = read_json(data.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name twice")
    return value


def _no_constant(_: str) -> None:
    raise ValueError("NaN or Infinity")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("too long a number")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("too large a number")
    return number


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite
)
