"""Bytes as they were saved: with the head of an HTTP message, with MIME headers, or the body alone.

kinds.py asks what came; the capture of a node writes what is read here. Nothing is parsed of a body but its
beginning, and whatever is not understood is taken for the body itself.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_START: Final = re.compile(
    rb"(?:(?P<method>[A-Z]{3,10}) (?P<target>[^ \r\n]{1,8000}) HTTP/1\.[01]"
    rb"|HTTP/1\.[01] (?P<status>\d{3})[^\r\n]*)\r?\n"
)
_HEADER: Final = re.compile(
    rb"([!#$%&'*+.^_`|~A-Za-z0-9-]{1,100}):[ \t]*+([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)\r?\n"
)
#: Of a MIME file without a request line the first header is one of these.
_MIME: Final = re.compile(rb"(?:content-[a-z-]+|mime-version|authorization|dpop):", re.IGNORECASE)
_MOST_HEAD: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Saved:
    """A body and what was saved of its head; header names are in lower case.

    `method` and `target` are those of a request, `status` that of an answer; empty where there is none.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    target: str = ""
    status: str = ""

    @property
    def content_type(self) -> str:
        """The Content-Type that came with it, or nothing."""
        return self.headers.get("content-type", "")

    @property
    def path(self) -> str:
        """The path of the request."""
        return re.sub(r"^https?://[^/]*", "", self.target).partition("?")[0]

    def stream(self) -> io.BytesIO:
        """The body, to be read from its start."""
        return io.BytesIO(self.body)


def taken_apart(data: bytes) -> Saved:
    """Head and body; without a head all of it is the body."""
    start = _START.match(data)
    if start is None and not _MIME.match(data):
        return Saved(data)
    at = start.end() if start else 0
    headers: dict[str, str] = {}
    while at < _MOST_HEAD and (match := _HEADER.match(data, at, _MOST_HEAD)):
        name, value = match[1].decode("ascii").lower(), re.sub(rb"\r?\n[ \t]+", b" ", match[2])
        text = value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
        at = match.end()
    body = data[at:]
    body = body.removeprefix(b"\r\n") if body.startswith(b"\r\n") else body.removeprefix(b"\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _whole(body)
    given = {name: (start[name] or b"").decode("latin-1") for name in start.groupdict()} if start else {}
    return Saved(body, headers, **given)


def _whole(data: bytes) -> bytes:
    """The chunks of a body put together (RFC 9112, 7.1), as far as they are chunks; else what was given."""
    pieces: list[bytes] = []
    at = 0
    while match := re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n").match(data, at):
        size = int(match[1], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(data[match.end() : match.end() + size])
        at = match.end() + size + 2
    return data
