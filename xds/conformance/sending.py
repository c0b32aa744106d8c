"""HTTP to the endpoint under test, with bounds on time and size, and the ways in which there is no answer.

runner.py calls `Http.send`; tests put other senders in its place. Whatever the endpoint does, the outcome is
an Answer or a NoReply whose sentence can be shown: it may be slow, hang up, or send without end.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import urllib3

from xds.errors import XdsError

#: Of an answer not more is read.
_MOST: Final = 64 * 1024 * 1024
_PIECE: Final = 64 * 1024


class NoReply(XdsError):
    """There is no answer that could be judged, and why."""


class TooSlow(NoReply):
    """It did not come, or did not end, in time."""


@dataclass(frozen=True)
class Request:
    """What goes over the wire; over TLS without the client certificate when it is `anonymous`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    anonymous: bool = False


@dataclass(frozen=True)
class Raw:
    """What came back; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Sender(Protocol):
    """Whatever gives an answer to a request. Raises NoReply."""

    def send(self, request: Request) -> Raw:
        """One request, one answer."""


class Http:
    """Requests over urllib3: certificates are verified, redirects are not followed, nothing is sent twice.

    `seconds` bounds the whole of an exchange. Raises XdsError for certificates that cannot be read.
    """

    def __init__(
        self,
        *,
        seconds: float = 30,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        try:
            bare, own = (ssl.create_default_context(cafile=ca) for _ in range(2))
            if certificate is not None:
                own.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise XdsError(f"the certificates cannot be used: {error}") from None
        self._lines: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._own, self._bare = self._pool(own), self._pool(bare)
        self._seconds = seconds
        self._endless = f"The answer did not end within {seconds:g} s."

    def _pool(self, context: ssl.SSLContext) -> urllib3.PoolManager:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        pool = urllib3.PoolManager(ssl_context=context, maxsize=4)
        pool.pool_classes_by_scheme = _noting(self._lines)
        return pool

    def send(self, request: Request) -> Raw:
        """One request, one answer. Raises NoReply."""
        # urllib3 bounds each reading from the line: who sends a letter now and then is never late for it.
        over = threading.Event()
        watch = threading.Timer(self._seconds, self._hang_up, (over,))
        watch.daemon = True
        watch.start()
        try:
            return self._send(request, over)
        finally:
            watch.cancel()
            watch.join()  # or it would hang up on the next exchange

    def _hang_up(self, over: threading.Event) -> None:
        over.set()
        for line in list(self._lines):
            with suppress(OSError):  # it is closed already
                # That of ssl would take the session from under whoever is reading.
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def _send(self, request: Request, over: threading.Event) -> Raw:
        until = time.monotonic() + self._seconds
        try:
            answer = (self._bare if request.anonymous else self._own).request(
                request.method,
                request.url,
                body=request.body or None,
                headers={"User-Agent": "xds-conformance", **request.headers},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=True,
                timeout=urllib3.Timeout(total=self._seconds),
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if over.is_set():
                raise TooSlow(f"There was no answer within {self._seconds:g} s.") from None
            raise _why(error, self._seconds) from None
        whole = False
        try:
            body = bytearray()
            while piece := answer.read1(_PIECE, decode_content=True):
                body += piece
                if len(body) > _MOST:
                    raise NoReply(
                        f"The answer is larger than {_MOST // 1024 // 1024} MiB; the rest was not read."
                    )
                if time.monotonic() > until:
                    raise TooSlow(self._endless)
            if over.is_set():  # the end may be that of the line
                raise TooSlow(self._endless)
            answer.drain_conn()
            whole = True
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if over.is_set():
                raise TooSlow(self._endless) from None
            raise _why(error, self._seconds, "In the middle of the answer: ") from None
        finally:
            if not whole:  # what is left of it would be in the way of the next answer
                answer.close()
            answer.release_conn()
        headers = {name.lower(): text for name, text in answer.headers.items()}
        return Raw(answer.status, headers, bytes(body))


def same_origin(url: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port, as they are read when something is sent."""
    try:
        return _origin(url) == _origin(other)
    except urllib3.exceptions.LocationParseError:
        return False


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    parsed = urllib3.util.parse_url(url)
    return (
        parsed.scheme,
        parsed.host,
        parsed.port or urllib3.connectionpool.port_by_scheme.get(parsed.scheme or ""),
    )


def _noting(lines: weakref.WeakSet[socket.socket]) -> dict[str, Any]:
    """Pools by scheme whose connections put what they read from into `lines`."""

    class Noting:
        def _new_conn(self) -> socket.socket:
            line: socket.socket = super()._new_conn()  # type: ignore[misc]
            lines.add(line)
            self._bare = line.dup()  # TLS takes the line itself, and greets as long as the other side likes
            lines.add(self._bare)
            return line

        def connect(self) -> None:
            try:
                super().connect()  # type: ignore[misc]
            finally:
                if hasattr(self, "_bare"):
                    self._bare.close()
            lines.add(self.sock)  # type: ignore[attr-defined]

    class Plain(Noting, urllib3.connection.HTTPConnection): ...

    class Secure(Noting, urllib3.connection.HTTPSConnection): ...

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _why(error: Exception, seconds: float, when: str = "") -> NoReply:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return NoReply(f"{when}Nobody can be reached there.")
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return TooSlow(f"{when}There was no answer within {seconds:g} s.")
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
        return NoReply(
            f"{when}No secure connection came about; give --ca, --certificate and --key if it needs them."
        )
    if isinstance(error, urllib3.exceptions.LocationValueError | urllib3.exceptions.LocationParseError):
        return NoReply("The address is none: it is written http://host:port/path or https://host:port/path.")
    return NoReply(f"{when}The connection was broken off, or what came is no HTTP ({type(error).__name__}).")
