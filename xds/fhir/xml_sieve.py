"""Takes the base64 out of FHIR's XML: the attribute `value` of every element with the local name `data`.

body.py feeds it and has r4/xml.py read what stays. It must find every such attribute that a parser would
find: one that it missed could name a document by its urn. What is not well-formed it need not understand,
because all but base64 stays, and the parser refuses it.
"""

from __future__ import annotations

import re
from typing import Final

from xds.errors import Fault, sender
from xds.fhir.sieve import Sieve
from xds.transport import xml
from xds.transport.limits import Limits
from xds.transport.staged import StagingFolder

#: The longest name of an element, a prefix or an attribute of `data`, in bytes; FHIR's have less than sixty.
#: A name must be seen as a whole, so there has to be an end to what is held.
_LONGEST_NAME: Final = 128
# No attribute and no text may hold a < as it is (XML 1.0, productions 10 and 14): each one outside of
# comments, CDATA sections and processing instructions begins a tag.
_OPENING: Final = re.compile(
    rb"""<(?:!--|!\[CDATA\[|\?
        |(?:[^\ \t\r\n<>/"'=:!?&]{1,%(n)d}+:)?+data(?=[\ \t\r\n/>])
        |(?P<long>[^\ \t\r\n<>/"'=:!?&]{%(n)d}[^\ \t\r\n<>/"'=:!?&]))"""
    % {b"n": _LONGEST_NAME},
    re.VERBOSE,
)
#: What begins with a < and is no tag, and how it ends (productions 15, 16, 20 and 21).
_CLOSING: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
#: An opening that is not complete is shorter than this: a prefix, the name, and what follows it.
_PART_OF_OPENING: Final = _LONGEST_NAME + 8
#: The most attributes of one `data`, declared prefixes included: each is a step, and FHIR has two.
_MOST_ATTRIBUTES: Final = 16
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
_ATTRIBUTE: Final = re.compile(rb"""[ \t\r\n]*+([^ \t\r\n<>/"'=]*+)""")

#: References are held as a whole; those that are longer, for the zeros in them, are refused.
_LONGEST_REFERENCE: Final = 10
_LONGER_REFERENCE: Final = re.compile(rb"&[^;]{%d}" % _LONGEST_REFERENCE)
_SPACE: Final = (b"\n", b" ", b"\t", b"\r")


class XmlSieve(Sieve):
    """Sifts XML in UTF-8. Base64 may have white space anywhere, as xs:base64Binary may."""

    __slots__ = ("_attributes", "_awaited", "_name", "_tags", "_until")

    def __init__(self, limits: Limits, staging: StagingFolder, most: int) -> None:
        super().__init__(limits, staging, most)
        self._until = b""  # what ends that which is skipped, or the attribute at hand
        self._name = b""
        self._awaited = b""
        self._tags = 0
        self._attributes = 0

    def _search(self, window: bytes, at: int) -> int:
        found = _OPENING.search(window, at)
        if found is None:
            begun = window.rfind(b"<", max(at, len(window) - _PART_OF_OPENING))
            end = len(window) if begun == -1 else begun
            self._keep(window[at:end])
            self._held = window[end:]
            return len(window)
        if found["long"]:
            raise _long_name()
        self._keep(window[at : found.end()])
        if found[0] in _CLOSING:
            self._until = _CLOSING[found[0]]
            self._step = self._skip
        else:
            self._tags += 1
            if self._tags > self._most:  # also those without base64, which cost as much
                raise self._too_many()
            self._attributes = 0
            self._step = self._tag
        return found.end()

    def _skip(self, window: bytes, at: int) -> int:
        """A comment, CDATA section or processing instruction."""
        found = window.find(self._until, at)
        if found == -1:
            end = max(at, len(window) - len(self._until) + 1)
            self._keep(window[at:end])
            self._held = window[end:]
            return len(window)
        end = found + len(self._until)
        self._keep(window[at:end])
        self._step = self._search
        return end

    def _tag(self, window: bytes, at: int) -> int:
        """In a `data` tag: the name of the next attribute, or the tag's end."""
        found = _ATTRIBUTE.match(window, at)
        assert found is not None
        name, end = found[1], found.end()
        if len(name) > _LONGEST_NAME:
            raise _long_name()
        if end == len(window):
            self._keep(window[at : found.start(1)])
            self._held = name
            return end
        self._keep(window[at:end])
        if not name:
            self._step = self._search
            return end
        self._name = name
        self._attributes += 1
        if self._attributes > _MOST_ATTRIBUTES:
            raise sender(f"An element `data` has more than {_MOST_ATTRIBUTES} attributes.")
        self._awaited = b"="
        self._step = self._between
        return end

    def _between(self, window: bytes, at: int) -> int:
        """After an attribute's name: =, then a quotation mark."""
        blanks = _BLANKS.match(window, at)
        assert blanks is not None
        end = blanks.end()
        sign = window[end : end + 1]
        if not sign:
            self._keep(window[at:])
            return end
        if sign not in self._awaited:
            self._keep(window[at:end])
            self._step = self._search
            return end
        self._keep(window[at : end + 1])
        if sign == b"=":
            self._awaited = b"\"'"
        else:
            self._until = sign
            if self._name == b"value":
                self._begin()
                self._step = self._value
            else:
                self._step = self._other
        return end + 1

    def _other(self, window: bytes, at: int) -> int:
        """The text of an attribute that is no base64."""
        end = window.find(self._until, at) + 1
        self._keep(window[at : end or len(window)])
        if end:
            self._step = self._tag
        return end or len(window)

    def _value(self, window: bytes, at: int) -> int:
        """Base64, up to the quotation mark."""
        end = window.find(self._until, at)
        if end == -1:
            self._take(self._unescaped(window[at:], more=True))
            return len(window)
        self._take(self._unescaped(window[at:end], more=False))
        self._end()
        self._keep(self._until)
        self._step = self._tag
        return end + 1

    def _unescaped(self, text: bytes, *, more: bool) -> bytes:
        """The text that is meant, without white space; many write the ends of lines as references."""
        if b"&" in text:
            if more:
                cut = text.rfind(b"&", max(0, len(text) - _LONGEST_REFERENCE))
                if cut != -1 and b";" not in text[cut:]:
                    self._held = text[cut:]
                    text = text[:cut]
            text = self._resolved(text)
        for blank in _SPACE:
            if blank in text:
                return text.translate(None, b" \t\r\n")
        return text

    def _resolved(self, text: bytes) -> bytes:
        """The text with what its references mean."""
        if b"<" in text or _LONGER_REFERENCE.search(text):
            raise self._invalid()
        try:
            return (xml.parse(b"<a>%b</a>" % text).text or "").encode("ascii")
        except (Fault, ValueError):  # not well-formed, or not ASCII
            raise self._invalid() from None


def _long_name() -> Fault:
    return sender(f"The XML has a name longer than {_LONGEST_NAME} bytes.")
