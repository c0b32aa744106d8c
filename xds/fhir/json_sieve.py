"""Takes the base64 out of FHIR's JSON: every string that is the value of a member named `data`.

body.py feeds it and has orjson read what stays. It must find exactly the strings that orjson would call
`data`, however their name is written: one that it missed could name a document by its urn.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from xds.fhir.sieve import Sieve
from xds.transport.limits import Limits
from xds.transport.staged import StagingFolder

# No stack of braces is needed to find it. In JSON a quotation mark that opens a string has no backslash
# before it, one inside a string always has, and one that closes a string has neither a letter nor a backslash
# behind it. So this name is a member's, or it stands behind something that is not JSON: that stays in the
# text, and orjson refuses it. What follows the name is looked at here as well, as far as it is there: a body
# may have a million members of that name that are no strings.
_MEMBER: Final = re.compile(
    rb"""
    "(?<!\\")(?:d|\\u0064)(?:a|\\u0061)(?:t|\\u0074)(?:a|\\u0061)"
    [\ \t\r\n]*+ (?: \Z | (?P<colon>:) [\ \t\r\n]*+ (?: \Z | (?P<mark>") ) )
    """,
    re.VERBOSE,
)
#: The longest way to write the name, without its last quotation mark.
_PART_OF_NAME: Final = 25
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")

_LONGEST_ESCAPE: Final = 6


class JsonSieve(Sieve):
    """Sifts JSON. Line ends, as escapes, are all the white space that base64 may have here."""

    __slots__ = ("_awaited", "_searched")

    def __init__(self, limits: Limits, staging: StagingFolder, most: int) -> None:
        super().__init__(limits, staging, most)
        self._searched = 0  # so many bytes of what is held are there for looking back only
        self._awaited = b""

    def _search(self, window: bytes, at: int) -> int:
        found = _MEMBER.search(window, at + self._searched)
        if found is None:
            rest = len(window) - _PART_OF_NAME - 1
            if rest > at:
                self._keep(window[at:rest])
                self._searched = 1
            self._held = window[max(at, rest) :]
            return len(window)
        self._searched = 0
        self._keep(window[at : found.end()])
        if found["mark"]:
            self._begin()
            self._step = self._string
        else:
            self._awaited = b'"' if found["colon"] else b":"
            self._step = self._between
        return found.end()

    def _between(self, window: bytes, at: int) -> int:
        """After a name at the end of a piece: a colon, then a quotation mark, or there is no base64."""
        blanks = _BLANKS.match(window, at)
        assert blanks is not None
        end = blanks.end()
        sign = window[end : end + 1]
        if not sign:
            self._keep(window[at:])
            return end
        if sign != self._awaited:
            self._keep(window[at:end])
            self._step = self._search
            return end
        self._keep(window[at : end + 1])
        if sign == b":":
            self._awaited = b'"'
        else:
            self._begin()
            self._step = self._string
        return end + 1

    def _string(self, window: bytes, at: int) -> int:
        """Base64, up to the closing quotation mark; an escaped one is no base64 anyway."""
        end = window.find(b'"', at)
        if end == -1:
            self._take(self._unescaped(window[at:], more=True))
            return len(window)
        self._take(self._unescaped(window[at:end], more=False))
        self._end()
        self._keep(b'"')
        self._step = self._search
        return end + 1

    def _unescaped(self, text: bytes, *, more: bool) -> bytes:
        """The text that is meant, without line ends; .NET escapes each +, others each / (RFC 8259, 7)."""
        if b"\\" not in text:
            return text
        if more:
            cut = text.rfind(b"\\", max(0, len(text) - _LONGEST_ESCAPE + 1))
            if cut != -1 and (cut + 1 == len(text) or text[cut + 1] == ord("u")):
                self._held = text[cut:]
                text = text[:cut]
        try:
            meant: bytes = orjson.loads(b'"%b"' % text).encode("ascii")
        except ValueError:  # no JSON, or not ASCII
            raise self._invalid() from None
        return meant.translate(None, b"\r\n")
