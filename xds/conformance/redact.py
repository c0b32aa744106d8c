"""Exchanges as they may be shown: readable, of bounded length, and without tickets.

report.py and results.py write them. Whoever has a report must be able to do nothing with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Final

from xds.transport.redact import MARK, SECRET_HEADERS, hides, line, pieces

#: Of a message not more is shown.
LONGEST: Final = 20_000
#: Of a body not more is kept, and of a header field: a run has hundreds of them.
KEPT: Final = 8 * LONGEST
KEPT_OF_HEADER: Final = 4096
#: What a signature or a digest has and words of a language do not.
_LONG: Final = re.compile(r"\w{20,}")
#: The same where a sentence that quotes an answer breaks off.
_CUT: Final = re.compile(r"\w{20,}(?=…)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def text(data: bytes, secrets: Collection[str] = ()) -> str:
    """A body as text: tickets taken out, what is no text as dots, the end cut off when it is long."""
    beginning = data[:KEPT]
    if hides(beginning):  # a ticket in UTF-16, which is one in ASCII with zeros between
        beginning = beginning.replace(b"\0", b"")
    shown = b"".join(pieces(beginning)).decode("utf-8", "replace").replace("\r\n", "\n")
    shown = _CONTROL.sub("·", _without(shown, secrets))
    if len(shown) > LONGEST:
        size = f"{len(data)}" if len(data) < KEPT else f"{KEPT} or more"
        shown = f"{shown[:LONGEST]}\n… {size} bytes in all"
    return shown


def sentence(shown: str, secrets: Collection[str] = ()) -> str:
    """What is said of an exchange and may quote its answer: without secrets, tokens, control characters."""
    shown = line(_without(shown, secrets))
    shown = _CUT.sub(lambda found: MARK if any(found[0] in each for each in secrets) else found[0], shown)
    return _CONTROL.sub("·", shown)


def _without(shown: str, secrets: Collection[str]) -> str:
    """A text without the secrets, and without what of them is left where somebody quotes them escaped."""
    for secret in secrets:
        shown = shown.replace(secret, MARK)
    words = frozenset[str]().union(*map(_words, secrets))
    return _LONG.sub(lambda found: MARK if found[0] in words else found[0], shown)


@cache
def _words(secret: str) -> frozenset[str]:
    return frozenset(each for each in _LONG.findall(secret) if re.search(r"\d", each))


def headers(given: Mapping[str, str], secrets: Collection[str] = ()) -> str:
    """Header fields, a line each, without what lets somebody in."""
    lines = []
    for name, value in given.items():
        shown = "[taken out]" if name.lower() in SECRET_HEADERS else sentence(value, secrets)
        lines.append(f"{name}: {shown}")
    return "\n".join(lines)


def url(address: str, secrets: Collection[str] = ()) -> str:
    """An address without a user and password, and without tokens: an endpoint may have written it."""
    return sentence(re.sub(r"(?<=//)[^/?#]*@", "", address), secrets)
