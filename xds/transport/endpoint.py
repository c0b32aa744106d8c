"""A SOAP endpoint on Falcon: one address, one `handle`.

app.py makes one for each address and gives it the function that does the work. Whatever happens, the sender
gets a SOAP answer with a reference number, the log one line, its witness the end, and no staged file is left.
Neither answer nor log ever shows a stack trace's message or a value from the request.
"""

from __future__ import annotations

import errno
import logging
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

import falcon

from xds.errors import Fault, FaultCode
from xds.transport.addressing import Elsewhere
from xds.transport.faults import write_fault
from xds.transport.limits import Limits
from xds.transport.message import (
    Answer,
    Message,
    Refused,
    expected_version,
    new_reference,
    read_message,
    write_answer,
)
from xds.transport.mime import too_large
from xds.transport.staged import StagingFolder
from xds.transport.timed import ReceiverClock, TimedStream
from xds.transport.wsdl import Description

log = logging.getLogger("xds.transport")


class Witness(Protocol):
    """Who is told how a request ended that came to no answer of its own; app.py gives the access log's."""

    def fault(self, reason: str, reference: str) -> None:
        """It is answered with a fault."""

    def close(self, received: int) -> None:
        """The answer is made, or nobody will make one; so many bytes came."""


W = TypeVar("W", bound=Witness)

#: A sender that is still sending when it is refused is listened to for this long, so that it can read why.
DRAIN_SECONDS = 5.0
#: The disk or the quota is full, or there are too many open files: nothing is wrong with the request.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_POST_ONLY = (
    "This is a SOAP endpoint: send a SOAP message with POST, or read its description with GET and ?wsdl."
)


class SoapEndpoint(Generic[W]):
    """The Falcon resource of one SOAP address.

    `witness` is asked for one before the first byte is read. `handle` gets a Message and it, and returns the
    Answer and whether it goes out as MTOM, or raises Fault; it must not keep the message. None says that the
    message is taken and that nothing more is said here: HTTP 202 (ITI TF-2 V.3). `understood` are
    the tags ("{namespace}name") of header blocks that it processes. `actions` are the wsa:Action values that
    may stand in the log. `name` is the endpoint's name there. `elsewhere`: where answers may go but back.
    `answers`: what comes here are answers to messages of ours.
    """

    def __init__(
        self,
        handle: Callable[[Message, W], tuple[Answer, bool] | None],
        witness: Callable[[falcon.Request], W],
        limits: Limits,
        staging: StagingFolder,
        *,
        name: str = "soap",
        understood: frozenset[str] = frozenset(),
        actions: Collection[str] = (),
        wsdl: Description | None = None,
        elsewhere: Elsewhere | None = None,
        answers: bool = False,
    ) -> None:
        self._handle = handle
        self._witness = witness
        self._limits = limits
        self._staging = staging
        self._name = name
        self._understood = understood
        self._actions = frozenset(actions)
        self._wsdl = wsdl
        self._elsewhere = elsewhere
        self._answers = answers

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The WSDL for `?wsdl`, else 405."""
        if self._wsdl is None or req.query_string.lower() != "wsdl":
            raise falcon.HTTPMethodNotAllowed(["POST"], description=_POST_ONLY)
        resp.content_type = "text/xml; charset=utf-8"
        resp.data = self._wsdl.read(req)

    def on_options(self, req: falcon.Request, resp: falcon.Response) -> None:
        """405: nothing here is for browsers."""
        raise falcon.HTTPMethodNotAllowed(["POST"], description=_POST_ONLY)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Read the message, have it handled, write the answer."""
        witness = self._witness(req)
        stream = TimedStream(req.stream.read, self._limits, req.content_length)
        try:
            self._answer(req, resp, stream, witness)
        finally:
            witness.close(stream.count)

    def _answer(self, req: falcon.Request, resp: falcon.Response, stream: TimedStream, witness: W) -> None:
        started = time.perf_counter()
        length = req.content_length
        content_type = req.content_type or ""
        message: Message | None = None
        version, message_id, action, reference = expected_version(content_type), "", "", ""

        def done(status: int, trouble: str = "") -> None:
            if message is not None:
                message.discard()
            log.info(
                "%s endpoint=%s%s status=%d ms=%.1f in=%d%s",
                reference,
                self._name,
                f" action={action}" if action in self._actions else "",
                status,
                (time.perf_counter() - started) * 1000,
                stream.count,
                trouble and f" {trouble}",
            )

        try:
            if req.get_header("Content-Encoding", default="identity").lower() != "identity":
                raise Fault(
                    FaultCode.SENDER,
                    "The message is compressed: send it without Content-Encoding.",
                    status=415,
                )
            if length is not None and length > self._limits.total_bytes:
                raise too_large("The message", "total_bytes", self._limits.total_bytes)
            message = read_message(
                stream,
                content_type,
                self._limits,
                self._staging,
                self._understood,
                elsewhere=self._elsewhere,
                answer=self._answers,
            )
            version, message_id = message.version, message.message_id
            action, reference = message.action, message.reference
            handled = self._handle(message, witness)
            if handled is None:
                resp.status, resp.content_type = 202, "text/plain"  # of nothing, but Falcon would say JSON
                done(202)
                return
            answer, mtom = handled
            resp.content_type, size, chunks = write_answer(answer, message, mtom)
        except Exception as error:
            reference = reference or new_reference()
            if isinstance(error, Refused):
                version, message_id, fault = error.version, error.message_id, error.fault
            elif isinstance(error, Fault):
                fault = error
            elif isinstance(error, OSError) and error.errno in NO_ROOM:
                log.error("%s endpoint=%s failed: %s", reference, self._name, errno.errorcode[error.errno])
                fault = Fault(
                    FaultCode.RECEIVER, "The node has no room for the request now: send it again later."
                )
            else:
                log.error("%s endpoint=%s failed\n%s", reference, self._name, trace(error))
                fault = Fault(
                    FaultCode.RECEIVER, "The request could not be processed because of an error in this node."
                )
            resp.content_type, resp.data = write_fault(
                fault, version, reference, message_id=message_id, action=action
            )
            resp.status = fault.status
            witness.fault(f"{fault.code} {fault.reason}", reference)
            if message is None:
                stream.drain(DRAIN_SECONDS)
            done(fault.status, f"fault={fault.code} {fault.reason}")
            # Its traceback holds this frame and that the message: megabytes that nobody would collect.
            del fault
            return
        if isinstance(chunks, list):
            resp.data = chunks[0]
            done(200)
        else:
            if size is not None:
                resp.content_length = size
            clock = ReceiverClock(self._limits.idle_seconds)
            resp.stream = Outgoing(chunks, lambda trouble: done(200, trouble), reference, clock)


class Outgoing:
    """A streamed answer that ends exactly once: when it is sent, fails, or the receiver goes away."""

    __slots__ = ("_chunks", "_clock", "_done", "_reference")

    def __init__(
        self, chunks: Iterable[bytes], done: Callable[[str], None], reference: str, clock: ReceiverClock
    ) -> None:
        self._chunks = iter(chunks)
        self._done: Callable[[str], None] | None = done
        self._reference = reference
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._clock.stop()
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._end("")
            raise
        except Exception as error:
            # The status line is gone: breaking off is the only way left to say that the answer is not whole.
            log.error("%s answer broken off\n%s", self._reference, trace(error))
            self._end("broken off")
            raise ConnectionAbortedError("answer broken off") from None
        self._clock.start()
        return chunk

    def close(self) -> None:
        """Called by the server at the end; before the end of the chunks the receiver went away."""
        self._end("receiver went away")

    def _end(self, trouble: str) -> None:
        """Close the open attachment and remove what is staged."""
        self._clock.stop()
        done, self._done = self._done, None
        if done is not None:
            if close := getattr(self._chunks, "close", None):
                close()
            done(trouble)


def trace(error: BaseException) -> str:
    """Where an exception came from and its class, without its text, which may quote a message."""
    lines: list[str] = []
    link: BaseException | None = error
    while link is not None and len(lines) < 200:
        lines += traceback.format_tb(link.__traceback__)
        cause = f" {errno.errorcode.get(link.errno or 0, '')}" if isinstance(link, OSError) else ""
        lines.append(f"{type(link).__module__}.{type(link).__qualname__}{cause}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "".join(lines)


def plain_errors(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Make Falcon's own errors (404, 405, …) one line of text, and an unexpected one a reference number."""

    def write(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
        resp.content_type = "text/plain; charset=utf-8"
        resp.text = f"{error.title}. {error.description or ''}".strip() + "\n"

    def unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, params: object) -> None:
        reference = new_reference()
        log.error("%s failed\n%s", reference, trace(error))
        resp.status = 500
        resp.content_type = "text/plain; charset=utf-8"
        resp.text = (
            f"The request could not be processed because of an error in this node (reference {reference}).\n"
        )

    app.add_error_handler(Exception, unexpected)
    app.set_error_serializer(write)
