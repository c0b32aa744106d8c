"""HTTP to the endpoint under test, with bounds on time and size, and the ways in which there is no answer.

runner.py calls `Http.send`; tests put other senders in its place. Whatever the endpoint does, the outcome is
an Answer or a NoReply whose sentence can be shown: it may be slow, hang up, or send without end.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import urllib3

from xds.errors import XdsError

#: Of an answer not more is read.
_MOST: Final = 64 * 1024 * 1024
_PIECE: Final = 64 * 1024


class NoReply(XdsError):
    """There is no answer that could be judged, and why."""


@dataclass(frozen=True)
class Request:
    """What goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


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
            context = ssl.create_default_context(cafile=ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if certificate is not None:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise XdsError(f"the certificates cannot be used: {error}") from None
        self._pool = urllib3.PoolManager(ssl_context=context, maxsize=4)
        self._seconds = seconds

    def send(self, request: Request) -> Raw:
        """One request, one answer. Raises NoReply."""
        until = time.monotonic() + self._seconds
        try:
            answer = self._pool.request(
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
            raise NoReply(_why(error, self._seconds)) from None
        try:
            body = bytearray()
            while piece := answer.read1(_PIECE, decode_content=True):
                body += piece
                if len(body) > _MOST:
                    raise NoReply(
                        f"The answer is larger than {_MOST // 1024 // 1024} MiB; the rest was not read."
                    )
                if time.monotonic() > until:
                    raise NoReply(f"The answer did not end within {self._seconds:g} s.")
            answer.drain_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NoReply(_why(error, self._seconds, "In the middle of the answer: ")) from None
        finally:
            answer.release_conn()
        headers = {name.lower(): text for name, text in answer.headers.items()}
        return Raw(answer.status, headers, bytes(body))


def _why(error: Exception, seconds: float, when: str = "") -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return f"{when}Nobody can be reached there."
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return f"{when}There was no answer within {seconds:g} s."
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
        return f"{when}No secure connection came about; give --ca, --certificate and --key if it needs them."
    if isinstance(error, urllib3.exceptions.LocationValueError | urllib3.exceptions.LocationParseError):
        return "The address is none: it is written http://host:port/path or https://host:port/path."
    return f"{when}The connection was broken off, or what came is no HTTP ({type(error).__name__})."
