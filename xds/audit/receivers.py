"""Whom events are handed on to: a FHIR audit repository (ITI-20, RESTful ATNA) and a syslog one.

delivery.py calls `deliver` and acts on what came of it; app.py makes the receivers that the settings name. An
event is refused only by a word about that event: what may be the fault of the receiver, of a proxy before it,
or of a certificate is no refusal. Nothing here may follow a redirect, repeat a request, or put anything of an
event or of an answer into a reason.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import orjson
import urllib3

from xds.audit import dicom
from xds.audit.syslog import SyslogSender
from xds.security.fetch import check_url

#: Attempts, while other events are taken, after which an event is given up: one that is answered with an
#: error; one that is not answered at all, which an overloaded receiver does to any event.
ERROR_ATTEMPTS: Final = 10
SILENCE_ATTEMPTS: Final = 30


@dataclass(frozen=True, slots=True)
class Event:
    """An AuditEvent as it is handed on: `body` is its JSON, with id and recorded time."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take this event."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not now. `stops`: nor will it take any other event now.

    `attempts`: how many of them, while others are taken, say that it is the event; None: however many, it is
    the receiver. `after` is when the receiver wants to be asked again, in seconds.
    """

    reason: str
    stops: bool = False
    attempts: int | None = None
    after: float = 0.0


Result = Taken | Refused | Unavailable
TAKEN: Final = Taken()


class Receiver(Protocol):
    """Somebody whom events are handed on to. `name` is theirs in the outbox."""

    @property
    def name(self) -> str:
        """In the outbox, in the log and in metrics."""

    @property
    def lanes(self) -> int:
        """How many threads may call `deliver` at the same time."""

    @property
    def together(self) -> bool:
        """Whether one `deliver` takes many events, all or none; else it takes one."""

    def deliver(self, events: Sequence[Event]) -> Sequence[Result]:
        """What came of each, in order; it ends with the first that is `Unavailable`."""

    def close(self) -> None:
        """End every connection; nobody is in `deliver`."""


# ---- FHIR

_FHIR: Final = "application/fhir+json"
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": _FHIR,
    "Accept": _FHIR,
    "Accept-Encoding": "identity",
    "Prefer": "return=minimal",
}
#: What is read of an answer.
_MOST_BYTES: Final = 64 * 1024
#: Seconds after which a connection that nobody used is not used again: a firewall may have forgotten it.
_IDLE: Final = 20.0
#: Longest time that a receiver may ask us to stay away, in seconds.
_LONGEST_AFTER: Final = 600.0

_ANSWERED: Final = range(200, 300)
#: About the one event. 400 too, if it is a FHIR server that says so: nginx says 400 to whoever has no
#: client certificate, or speaks HTTP where TLS is spoken.
_REFUSING: Final = frozenset((413, 422))
_BAD_REQUEST: Final = 400
_OUTCOME: Final = b"OperationOutcome"
#: About the receiver, whichever event it is.
_STOPPING: Final = frozenset((401, 407, 429, 503))
#: Those that may say when to come again (RFC 9110, 10.2.3; RFC 6585, 4).
_LATER: Final = frozenset((429, 503))
#: What a proxy says of a receiver that broke off or took too long.
_SILENT: Final = frozenset((408, 502, 504))
_CONFLICT: Final = 409

_UNREACHABLE: Final = "cannot be reached"
_NO_ANSWER: Final = "no answer in time"
_BROKEN: Final = "the connection broke, or the answer is none"


class FhirReceiver:
    """POST {url}/AuditEvent for each event, over connections that are kept.

    `seconds` is how long connecting may take, and how long the answer may be silent. The host name is looked
    up anew for each connection. Safe to share between threads. Raises ValueError for a URL that is not one.
    """

    name: Final = "fhir"
    lanes: Final = 4
    together: Final = False

    def __init__(self, url: str, context: ssl.SSLContext | None, seconds: float) -> None:
        check_url(url)
        parts = urlsplit(url)
        if parts.query:
            raise ValueError("is a URL with parameters: leave them out")
        self._secure = parts.scheme == "https"
        self._host, self._port = str(parts.hostname), parts.port
        self._path = parts.path.rstrip("/") + "/AuditEvent"
        self._context = context
        self._seconds = seconds
        self._lock = threading.Lock()
        self._used = time.monotonic()
        self._pool = self._new_pool()

    def deliver(self, events: Sequence[Event]) -> Sequence[Result]:
        """One request for each."""
        results: list[Result] = []
        for each in events:
            results.append(self._post(each))
            if isinstance(results[-1], Unavailable):
                break
        return results

    def close(self) -> None:
        """End every connection."""
        self._pool.close()

    def _post(self, event: Event) -> Result:
        try:
            status, content, after = self._ask("POST", self._path, event)
            if status == _CONFLICT:
                return self._settle_conflict(event)
        # Most of these are also HTTPErrors of others: the order matters.
        except urllib3.exceptions.SSLError as error:
            return Unavailable(_tls(error.args[0] if error.args else error), stops=True)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            return Unavailable(_UNREACHABLE, stops=True)
        except (urllib3.exceptions.TimeoutError, TimeoutError):
            return Unavailable(_NO_ANSWER, attempts=SILENCE_ATTEMPTS)
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return Unavailable(_BROKEN, attempts=SILENCE_ATTEMPTS)
        if status in _ANSWERED:
            return TAKEN
        reason = f"HTTP {status}"
        if status in _REFUSING or (status == _BAD_REQUEST and _OUTCOME in content):
            return Refused(reason)
        if status in _STOPPING:
            return Unavailable(reason, stops=True, after=after if status in _LATER else 0.0)
        return Unavailable(reason, attempts=SILENCE_ATTEMPTS if status in _SILENT else ERROR_ATTEMPTS)

    def _settle_conflict(self, event: Event) -> Result:
        """409: there already, when an earlier answer was lost; or whatever else a server calls a conflict.

        Ids are ours alone, so that an event with this id is this event.
        """
        status, _, _ = self._ask("GET", f"{self._path}/{event.id}", event)
        return TAKEN if status in _ANSWERED else Unavailable(f"HTTP {_CONFLICT}", attempts=ERROR_ATTEMPTS)

    def _ask(self, method: str, path: str, event: Event) -> tuple[int, bytes, float]:
        """Status, the beginning of the content, and the seconds of Retry-After."""
        deadline = time.monotonic() + 2 * self._seconds
        with self._kept_pool().urlopen(
            method,
            path,
            body=event.body if method == "POST" else None,
            headers={**_HEADERS, "X-Request-Id": event.id},
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
        ) as answer:
            content = bytearray()
            # To the end: an answer that breaks off is none, and a connection with unread bytes is not kept.
            for piece in answer.stream(_MOST_BYTES, decode_content=False):
                content += piece
                if len(content) > _MOST_BYTES:
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError
            return answer.status, bytes(content), _seconds_of(answer.headers.get("Retry-After", ""))

    def _kept_pool(self) -> urllib3.HTTPConnectionPool:
        with self._lock:
            now = time.monotonic()
            if now - self._used > _IDLE:
                self._pool.close()
                self._pool = self._new_pool()
            self._used = now
            return self._pool

    def _new_pool(self) -> urllib3.HTTPConnectionPool:
        timeout = urllib3.Timeout(connect=self._seconds, read=self._seconds)
        if not self._secure:
            return urllib3.HTTPConnectionPool(self._host, self._port, timeout=timeout, maxsize=self.lanes)
        return urllib3.HTTPSConnectionPool(
            self._host,
            self._port,
            timeout=timeout,
            maxsize=self.lanes,
            ssl_context=self._context or tls(None, None, None),
        )


def _seconds_of(retry_after: str) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date; within bounds, and 0 for what is neither."""
    seconds = 0.0
    with suppress(ValueError, OverflowError):
        if retry_after.strip().isdecimal():
            seconds = float(retry_after)
        elif retry_after:
            moment = parsedate_to_datetime(retry_after)
            seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_AFTER)


def _tls(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return f"TLS: {error.verify_message}"  # of OpenSSL: at most our own name for the host is in it
    return "TLS: not to be agreed upon, or our certificate is not taken"


# ---- syslog


class _InOrder(SyslogSender):
    """Sends nothing more of a batch once some of it is in doubt: an event would overtake a lost one."""

    def _drop_if_ended(self) -> None:
        super()._drop_if_ended()
        if self._in_doubt:
            raise ConnectionError("The receiver ended a connection before it had taken what was sent.")


class SyslogReceiver:
    """DICOM messages over syslog, all of a batch or none: syslog.py says why."""

    name: Final = "syslog"
    lanes: Final = 1
    together: Final = True

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, seconds: float) -> None:
        self._sender = _InOrder(host, port, context, seconds)

    def deliver(self, events: Sequence[Event]) -> Sequence[Result]:
        """Send all, then ask whether they were taken."""
        results: list[Result] = []
        try:
            for each in events:
                message = _message(each)
                if isinstance(message, Refused):
                    results.append(message)
                else:
                    self._sender.send(each.id, message)
                    results.append(TAKEN)
            self._sender.confirm()
        except OSError as error:
            with suppress(OSError):
                self._sender.confirm()  # what went before is in doubt, and not to be that of the next batch
            return [Unavailable(_reason(error), stops=True, attempts=SILENCE_ATTEMPTS)]
        return results

    def close(self) -> None:
        """End the connection."""
        self._sender.close()


def _message(event: Event) -> bytes | Refused:
    try:
        return dicom.message(orjson.loads(event.body))
    except Exception as error:  # one event must not stand before all that come after it
        return Refused(f"cannot be written as a DICOM audit message ({type(error).__name__})")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, TimeoutError):
        return _NO_ANSWER
    return _UNREACHABLE if isinstance(error, (ConnectionRefusedError, socket.gaierror)) else _BROKEN


# ---- of the settings


def tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later, to receivers whose certificate `ca` vouches for (None: the machine's authorities).

    `certificate` and `key` are what we show. Raises OSError, ssl.SSLError among it, for what cannot be read.
    """
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(str(certificate), str(key) if key else None)
    return context


def receivers(
    *,
    fhir_receiver: str = "",
    syslog_receiver: str = "",
    receiver_ca: Path | None = None,
    receiver_certificate: Path | None = None,
    receiver_key: Path | None = None,
    receiver_seconds: float = 10.0,
) -> tuple[Receiver, ...]:
    """The receivers that the settings of these names give; none is asked anything yet.

    Raises ValueError for an address that cannot be, OSError for a certificate that cannot be read.
    """
    if not fhir_receiver and not syslog_receiver:
        return ()
    context = tls(receiver_ca, receiver_certificate, receiver_key)
    found: list[Receiver] = []
    if fhir_receiver:
        found.append(FhirReceiver(fhir_receiver, context, receiver_seconds))
    if syslog_receiver:
        found.append(SyslogReceiver(*_host_and_port(syslog_receiver), context, receiver_seconds))
    return tuple(found)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("is not host:port, e.g. audit.example.no:6514")
    return host, int(port)
