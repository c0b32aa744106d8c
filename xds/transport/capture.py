"""Requests and their answers, kept as files for integrators who look for what their system did.

app.py puts it around the application when node.capture is set, in a test environment alone. The files are
what `xds validate` reads. Tickets must never be in them, and no request may fail or wait for another because
of them: what cannot be written is missing, with a line in the log.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import falcon

from xds.transport import redact

log = logging.getLogger("xds.transport")

#: After so many bytes a worker keeps no more: a node that is forgotten must not fill the disk.
MOST_BYTES: Final = 1 << 30
#: What is no transaction, or promises to store nothing.
_LEFT_OUT: Final = ("/health/", "/metrics", "/tools/")


class Capture:
    """Middleware of Falcon's; `folder` is made when it is not there.

    Of each exchange two files: `<time>-<random>-1-request.http` and `…-2-answer.http`. A request of which the
    node did not read all is there as far as it was read.
    """

    def __init__(self, folder: Path, most: int = MOST_BYTES) -> None:
        self._folder = folder
        self._left = most

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """From here on what is read of the body is kept."""
        if self._left <= 0 or req.path.startswith(_LEFT_OUT):
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = req.context.capture = _Kept(self._folder)
        except OSError as error:
            log.error("capture failed: %s", error.strerror)
            return
        req.stream = _Read(req.stream, kept)

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: Any, ok: bool) -> None:
        """The answer is kept as it goes out."""
        request: _Kept | None = getattr(req.context, "capture", None)
        if request is None:
            return
        try:
            answer = _Kept(self._folder)
        except OSError as error:
            log.error("capture failed: %s", error.strerror)
            request.close()
            return
        stream = resp.stream
        if stream is not None:
            resp.stream = _Sent(
                cast("Iterable[bytes]", stream), answer, lambda: self._write(req, resp, request, answer)
            )
            return
        body = resp.data if resp.data is not None else (resp.text or "").encode()
        answer.add(body if req.method != "HEAD" else b"")
        self._write(req, resp, request, answer)

    def _write(self, req: falcon.Request, resp: falcon.Response, request: _Kept, answer: _Kept) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = self._folder / f"{moment}-{os.urandom(2).hex()}"
        try:
            start = f"{req.method} {req.relative_uri} HTTP/1.1"
            self._left -= request.write(Path(f"{name}-1-request.http"), start, req.headers)
            start = f"HTTP/1.1 {falcon.code_to_http_status(resp.status)}"
            self._left -= answer.write(Path(f"{name}-2-answer.http"), start, resp.headers)
            if self._left <= 0:
                log.error("capture is over: it has all the bytes that it may have; start the node anew")
        except OSError as error:
            log.error("capture failed: %s", error.strerror)
        finally:
            request.close()
            answer.close()


class _Kept:
    """The bytes of one body so far, in a file that has no name."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 its end is `close`
        self._whole = True

    def add(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except (OSError, ValueError):  # ValueError: the answer has ended, and somebody reads on
            self._whole = False

    def write(self, path: Path, start: str, headers: Mapping[str, str]) -> int:
        """Head and body without tickets, under their name when they are on disk; the bytes written."""
        self._file.flush()
        lines = [redact.line(start)]
        for name, value in headers.items():
            shown = redact.MARK if name.lower() in redact.SECRET_HEADERS else redact.line(value)
            if name.lower() != "transfer-encoding":  # the body is in one piece
                lines.append(f"{name.title()}: {shown}")
        head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
        encoding = next((value for name, value in headers.items() if name.lower() == "content-encoding"), "")
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.writelines(redact.pieces(head))
                file.writelines(self._pieces(encoding))
                size = file.tell()
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)  # nobody counts it, and what may be left when the disk is full
            raise
        return size

    def _pieces(self, encoding: str) -> Iterator[bytes]:
        if not self._whole:
            yield b"[not kept: there was no room]"
        elif os.fstat(self._file.fileno()).st_size:
            with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if encoding.lower() not in ("", "identity") or redact.hides(data):
                    yield b"[not kept: a ticket could be in it that is not found, as in base64 or UTF-16]"
                else:
                    yield from redact.pieces(data)

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


class _Readable(Protocol):
    def read(self, size: int | None = -1, /) -> bytes: ...


class _Read:
    """The body of a request; what is read of it is kept."""

    def __init__(self, stream: _Readable, kept: _Kept) -> None:
        self._stream = stream
        self._kept = kept

    def read(self, size: int | None = -1, /) -> bytes:
        """As PEP 3333 has it."""
        data = self._stream.read(size)
        self._kept.add(data)
        return data


class _Sent:
    """The body of an answer that is streamed; it is kept, and written when it has ended, whole or not."""

    def __init__(self, chunks: Iterable[bytes], kept: _Kept, ended: Any) -> None:
        self._chunks = chunks
        self._each = iter(chunks)
        self._kept = kept
        self._ended = ended

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._each)
        self._kept.add(chunk)
        return chunk

    def close(self) -> None:
        """Called by the server once, whatever happened."""
        try:
            if close := getattr(self._chunks, "close", None):
                close()
        finally:
            self._ended()
