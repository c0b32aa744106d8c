"""Fetching what an address of the trust file answers: a JWK set or SAML metadata.

trust_store.py calls `fetch`. It must never follow a redirect, use a proxy of the environment, or go anywhere
that a message names.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

#: Bounds of one fetch.
MOST_BYTES: Final = 1024 * 1024
CONNECT_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 10.0


def check_url(url: str) -> None:
    """Whether `fetch` may go there: https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is not a URL")
    if parts.username is not None or parts.fragment:
        raise ValueError("is a URL with a user or a fragment: leave it out")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("is not an https URL (http is for addresses of this machine only)")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def fetch(url: str) -> bytes:
    """What `url` answers: at most 1 MiB, within 10 seconds, by status 200; no redirect, no proxy, no repeat.

    Raises OSError with half a sentence that fits after the URL.
    """
    try:
        check_url(url)
    except ValueError as error:
        raise OSError(str(error)) from None
    parts = urlsplit(url)
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=CONNECT_SECONDS)
    pool: urllib3.HTTPConnectionPool
    host = str(parts.hostname)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        pool = urllib3.HTTPSConnectionPool(
            host, parts.port, timeout=timeout, retries=False, ssl_context=context
        )
        pool.ConnectionCls = _HttpsConnection
    else:
        pool = urllib3.HTTPConnectionPool(host, parts.port, timeout=timeout, retries=False)
        pool.ConnectionCls = _HttpConnection
    pool.conn_kw["deadline"] = deadline = _Deadline()
    data = bytearray()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with pool.urlopen(
            "GET",
            target,
            redirect=False,
            preload_content=False,
            decode_content=False,
            headers={"Accept-Encoding": "identity"},
        ) as answer:
            if answer.status != 200:
                raise OSError(
                    "answers with a redirect: write the address to which it leads"
                    if 300 <= answer.status < 400
                    else f"answers with status {answer.status}"
                )
            for piece in answer.stream(64 * 1024, decode_content=False):  # to the end, which is checked
                data += piece
                if len(data) > MOST_BYTES:
                    raise OSError(f"answers with more than {MOST_BYTES} bytes")
    except urllib3.exceptions.SSLError:
        raise OSError("has a TLS certificate that is not trusted, or does not speak TLS 1.2") from None
    except urllib3.exceptions.HTTPError:
        raise OSError("took too long" if deadline.passed else "cannot be reached, or broke off") from None
    finally:
        deadline.lift()
        pool.close()
    if deadline.passed:  # the connection was shut, so what came may not be whole
        raise OSError("took too long")
    return bytes(data)


class _Deadline:
    """Shuts the connection when the time of a fetch is over: timeouts count from byte to byte only."""

    def __init__(self) -> None:
        self.passed = False
        self._end = time.monotonic() + TOTAL_SECONDS
        self._timer: threading.Timer | None = None

    def watch(self, sock: socket.socket) -> None:
        self._timer = threading.Timer(max(self._end - time.monotonic(), 0), self._shut, (sock,))
        self._timer.daemon = True
        self._timer.start()

    def lift(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _shut(self, sock: socket.socket) -> None:
        self.passed = True
        with suppress(OSError):
            # Not SSLSocket's own shutdown: that forgets the encryption, and the reader would go on in clear.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _HttpConnection(HTTPConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _HttpsConnection(HTTPSConnection):
    def __init__(self, *args: Any, deadline: _Deadline, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)
