"""From an address to a connection: name, TCP, TLS; no step takes longer than is left of the time.

http1.py calls `connected`, and asks the `Clock` before each wait of its own. It must never use a proxy of the
environment, or go on without TLS where an address says https.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from xds.transport.trouble import NoAnswer, Trouble, insecure, late, unreached

#: No line of a head holds these, but for the tab.
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Where `quote` leaves a path or query as it is (RFC 3986, 3.3 and 3.4, and what is encoded already).
_SAFE: Final = "/?:@!$&'()*+,;=%~-._"


class Clock:
    """How long the next wait may take: at most `idle_seconds`, and never past the deadline.

    `deadline` is a moment of time.monotonic(), or None.
    """

    __slots__ = ("_idle_seconds", "until")

    def __init__(self, deadline: float | None, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self.until = float("inf") if deadline is None else deadline

    def within(self, seconds: float) -> None:
        """The deadline is at most so far away from now on."""
        self.until = min(self.until, time.monotonic() + seconds)

    def left(self, most: float | None = None) -> float:
        """Seconds, more than 0; `most` takes the place of `idle_seconds`. Raises TimeoutError."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self._idle_seconds if most is None else most)


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart: `name` is what users are told, `opening` how every request to it begins."""

    secure: bool
    host: str
    port: int
    name: str
    opening: str


@lru_cache(maxsize=1024)
def address(url: str) -> Address:
    """Where a URL leads. Raises NoAnswer when it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if not host or parts.scheme not in ("http", "https") or port == 0 or CONTROL.search(url):
            raise ValueError
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # UnicodeError is one
        raise NoAnswer(
            Trouble.UNREACHED, "An address is written http://host:port or https://host:port."
        ) from None
    secure = parts.scheme == "https"
    target = quote(parts.path or "/", safe=_SAFE) + (
        "?" + quote(parts.query, safe=_SAFE) if parts.query else ""
    )
    shown = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    opening = (
        f"POST {target} HTTP/1.1\r\nHost: {quote(shown, safe=_SAFE + '[]')}\r\n"
        "User-Agent: xds\r\nAccept-Encoding: identity\r\n"
    )
    name = parts.netloc.rpartition("@")[2]
    return Address(secure, host, port or (443 if secure else 80), name, opening)


_lookups: dict[tuple[int, str, int], Future[list[Any]]] = {}


def _addresses(host: str, port: int, clock: Clock, seconds: float) -> list[Any]:
    """getaddrinfo, which knows no time-out; who waits for one host waits together. Raises OSError."""
    with suppress(ValueError):
        ip_address(host)  # nothing has to be looked up
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    key = os.getpid(), host, port  # of a lookup that was under way at a fork, the child sees no end
    ours: Future[list[Any]] = Future()
    found = _lookups.setdefault(key, ours)
    if found is ours:
        try:
            threading.Thread(target=_look_up, args=(key, ours), name="xds-lookup", daemon=True).start()
        except RuntimeError as error:  # no more threads
            _found(key, ours, OSError(str(error)))
    return found.result(clock.left(seconds))


def _look_up(key: tuple[int, str, int], found: Future[list[Any]]) -> None:
    try:
        addresses = socket.getaddrinfo(key[1], key[2], type=socket.SOCK_STREAM)
    except Exception as error:  # OSError, or a name that cannot be one
        _found(key, found, error if isinstance(error, OSError) else OSError(str(error)))
    else:
        _found(key, found, addresses)


def _found(key: tuple[int, str, int], future: Future[list[Any]], what: list[Any] | OSError) -> None:
    del _lookups[key]  # first, so that nobody is told of it who asks later
    if isinstance(what, OSError):
        future.set_exception(what)
    else:
        future.set_result(what)


def _plain(to: Address, clock: Clock, seconds: float) -> socket.socket:
    last = OSError("no address")
    for family, kind, protocol, _, where in _addresses(to.host, to.port, clock, seconds):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(clock.left(seconds))
            sock.connect(where)
            return sock
        except OSError as error:
            sock.close()
            last = error
    raise last


def _secured(
    sock: socket.socket, to: Address, context: ssl.SSLContext, clock: Clock, seconds: float
) -> socket.socket:
    try:
        secured = context.wrap_socket(sock, server_hostname=to.host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        secured.settimeout(clock.left(seconds))
        secured.do_handshake()
    except BaseException:
        secured.close()
        raise
    return secured


def connected(to: Address, context: ssl.SSLContext, clock: Clock, seconds: float) -> socket.socket:
    """A connection, with TLS when the address says so; `seconds` bounds each step. Raises NoAnswer."""
    try:
        sock = _plain(to, clock, seconds)
        return _secured(sock, to, context, clock, seconds) if to.secure else sock
    except ssl.SSLEOFError:
        raise insecure(to.name, Trouble.UNREACHED) from None
    except ssl.SSLError:
        raise insecure(to.name) from None
    except (OSError, ValueError):
        raise (late if time.monotonic() >= clock.until else unreached)(to.name) from None
