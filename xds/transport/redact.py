"""Messages without the tickets in them: whoever has what is left can do nothing with it.

capture.py writes by it what is kept of requests and answers, the conformance report what it shows. What may
hide a ticket from it, as compression or base64 would, is found out before, and nothing of that is kept.
"""

from __future__ import annotations

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
#: A body may have a document in base64 that begins like a token; a line has none, but what is left of tokens.
_IN_LINE: Final = re.compile(r"eyJ[\w-]{8,}+(?:\.[\w-]*+)*+")
#: What stands behind the name in a tag; in values there may be `>`.
_REST: Final = re.compile(rb"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>""")
#: What opens in an element and hides tags, and how it ends.
_NO_TAGS: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
#: A part that is text in base64 or another code, and the names of what holds tickets in UTF-16, whichever
#: byte comes first.
_HIDDEN: Final = re.compile(
    rb"(?i:content-transfer-encoding:\s*+(?!7bit|8bit|binary)\S)|"
    + b"|".join(
        re.escape(b"\0".join(bytes((each,)) for each in name)) for name in (b"Security", b"Assertion")
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
    """An address, a header field's value or a sentence without tokens, whole ones or cut off."""
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
    return _HIDDEN.search(data) is not None
