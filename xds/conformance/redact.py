"""Exchanges as they may be shown: readable, of bounded length, and without tickets.

report.py and results.py write them. Whoever has a report must be able to do nothing with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from xds.transport.redact import SECRET_HEADERS, pieces

#: Of a message not more is shown.
LONGEST: Final = 20_000
_JWT: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def text(data: bytes, secrets: Collection[str] = ()) -> str:
    """A body as text: tickets taken out, what is no text as dots, the end cut off when it is long."""
    shown = b"".join(pieces(data[: 8 * LONGEST])).decode("utf-8", "replace").replace("\r\n", "\n")
    for secret in secrets:
        shown = shown.replace(secret, "[ticket taken out]")
    shown = _CONTROL.sub("·", shown)
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]}\n… {len(data)} bytes in all"
    return shown


def headers(given: Mapping[str, str]) -> str:
    """Header fields, a line each, without what lets somebody in."""
    lines = []
    for name, value in given.items():
        shown = "[taken out]" if name.lower() in SECRET_HEADERS else _JWT.sub("[token taken out]", value)
        lines.append(f"{name}: {_CONTROL.sub('·', shown)}")
    return "\n".join(lines)


def url(address: str) -> str:
    """An address without a user and password."""
    return re.sub(r"(?<=//)[^/@]*@", "", address)
