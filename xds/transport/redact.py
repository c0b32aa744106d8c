"""Messages without the tickets in them: whoever has what is left can do nothing with it.

capture.py writes by it what is kept of requests and answers, the conformance report what it shows. What may
hide a ticket from it, as compression or base64 would, is found out before, and nothing of that is kept.
"""

from __future__ import annotations

import base64
import mmap
import re
from collections.abc import Iterator
from typing import Final

#: HTTP header fields that let somebody in, in lower case.
SECRET_HEADERS: Final = frozenset({"authorization", "dpop", "cookie", "set-cookie", "proxy-authorization"})
#: What stands in their place.
MARK: Final = "[ticket taken out]"
TAKEN_OUT: Final = b"<!-- ticket taken out -->"
#: Without spaces: it may stand in a request line.
MARK_IN_LINE: Final = "[token-taken-out]"
_NAMES: Final = rb"Security|Assertion|EncryptedAssertion|BinarySecurityToken|UsernameToken"
_START: Final = re.compile(
    rb"<((?:[^\s<>/!?:]++:)?(?:" + _NAMES + rb"))(?=[\s/>])"
    # What only begins like a token is taken up to its end too, so that nothing in it is looked at again.
    rb"|eyJ[\w-]{8}(?:[\w-]*+(\.[\w-]{8,}+\.[\w-]*+)|[\w-]*+)"
)
#: A body may have a document in base64 that begins like a token, or is XML; a line has none, but tickets, and
#: what is left of them.
_IN_LINE: Final = re.compile(
    r"eyJ[\w-]{8,}+(?:\.[\w-]*+)*+"
    r"|(?:(?<![\w+/-])|(?<=%3D)|(?<=%3d))P[C-H](?:[\w+/-]|%2[BbFf]){60,}+(?:=|%3[Dd])*+"
)
#: What stands behind the name in a tag; in values there may be `>`.
_REST: Final = re.compile(rb"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>""")
#: What opens in an element and hides tags, and how it ends.
_NO_TAGS: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}


def _in_base64(text: bytes) -> bytes:
    """A pattern for a text within base64, of either alphabet and in lines, wherever in it the text begins."""
    found = []
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + text)
        whole = coded[-(-before * 8 // 6) : (before + len(text)) * 8 // 6]
        signs = (re.escape(bytes((each,))) for each in whole)
        found.append(rb"[\r\n]{0,2}".join(signs).replace(rb"\+", b"[+-]").replace(b"/", b"[/_]"))
    return b"|".join(found)


#: What a compressed body begins with.
_GZIP: Final = b"\x1f\x8b"
#: A part that is text in base64 or another code; an assertion in base64, as a bearer of FHIR is one; what
#: holds tickets as the text of something else; and its names in UTF-16 and UTF-32, in either order of bytes.
_HIDDEN: Final = re.compile(
    rb"(?i:content-transfer-encoding:\s*+(?!7bit|8bit|binary)\S)|"
    + _in_base64(b"oasis:names:tc:SAML")
    + rb"|(?i:&lt;|&#0*60;|&#x0*3c;|\\u003c|%3c)(?:[\w.-]{1,100}(?::|%3[Aa]))?(?:"
    + _NAMES
    + rb")\b|"
    + b"|".join(
        b"\0{1,3}".join(re.escape(bytes((each,))) for each in name) for name in (b"Security", b"Assertion")
    )
)


def pieces(data: bytes | mmap.mmap) -> Iterator[bytes]:
    """The message, with a comment where a wsse:Security header, an assertion or a token was.

    What opens and does not end takes all that follows with it.
    """
    at = 0
    while start := _START.search(data, at):
        if start.lastindex is None:  # no token
            yield data[at : start.end()]
            at = start.end()
            continue
        yield data[at : start.start()]
        if start[1] is None:
            yield MARK_IN_LINE.encode()
            at = start.end()
            continue
        yield TAKEN_OUT
        at = _end(data, start.start(), start[1])
    yield data[at:]


def line(text: str) -> str:
    """An address, a header field's value or a sentence without tokens and assertions, whole or cut off."""
    return _IN_LINE.sub(MARK_IN_LINE, text)


def _end(data: bytes | mmap.mmap, at: int, name: bytes) -> int:
    """Where the element ends that begins at `at`; the end of everything if it does not end well."""
    tag = re.compile(rb"<!--|<!\[CDATA\[|<\?|<(/?)" + re.escape(name) + rb"(?=[\s/>])")
    depth = 0
    while found := tag.search(data, at):
        if found[1] is None:
            at = data.find(_NO_TAGS[found[0]], found.end())
            if at < 0:
                break
            continue
        rest = _REST.match(data, found.end())
        if rest is None:
            break
        at = rest.end()
        if found[1]:
            depth -= 1
        elif not rest[0].endswith(b"/>"):
            depth += 1
        if depth <= 0:
            return at
    return len(data)


def hides(data: bytes | mmap.mmap) -> bool:
    """Whether a ticket may be in the message in a form that `pieces` does not know."""
    return data[:2] == _GZIP or _HIDDEN.search(data) is not None
