"""One other community's responding gateway, as this worker reaches it: ITI-38 and ITI-39 going out.

initiating.py holds a `RemoteGateway` for each community of the file. A call has a thread of its own and is
over at its deadline, whatever the other side does. However it ends, whoever waits gets an answer or the error
that stands for it, and never waits for longer than it wants. Of a community that answers later, the answer
comes by awaited.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from xds.errors import ClientError, RegistryError
from xds.gateway.answers import Handed, Listed, TooMany, Unreadable, read_handed, read_listed
from xds.gateway.awaited import AwaitedReplies, Unrecorded
from xds.gateway.breaker import Breaker, Leave, State
from xds.gateway.communities import Community
from xds.gateway.rules import broken
from xds.gateway.threads import Threads
from xds.metrics import Sample
from xds.transport import addressing
from xds.transport.client import Faulted, NoAnswer, SoapClient, Trouble
from xds.transport.limits import Limits
from xds.transport.message import Message
from xds.transport.soap import WSSE, write_security
from xds.transport.staged import StagingFolder
from xds.transport.trace import Call

log = logging.getLogger("xds")

_ITI: Final = "urn:ihe:iti:2007:"
#: Header blocks of an answer that we process: a ticket in it is nobody's.
UNDERSTOOD: Final = frozenset((f"{{{WSSE}}}Security",))
#: Seconds after its deadline in which a call may still report how it ended.
_GRACE: Final = 0.25

_RULES: Final = {
    Trouble.UNREACHED: "community-unreached",
    Trouble.BROKEN: "community-unreached",
    Trouble.UNTRUSTED: "community-secure",
    Trouble.LATE: "community-late",
    Trouble.TOO_LARGE: "community-size",
    Trouble.UNREADABLE: "community-readable",
}

#: Of these nothing went out.
_NOT_SENT: Final = frozenset(("community-ticket", "community-record"))

#: Of all communities: each has at most `connections`.
_threads: Final = Threads()

#: Gives the assertion with which a community is asked: of the one that came, and the community's id.
Exchange = Callable[[bytes, str], bytes]

A = TypeVar("A", Listed, Handed)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a community: the Body, the assertion that came with it or nothing, its trace, and
    the time.monotonic() at which nobody waits any more.
    """

    body: bytes
    assertion: bytes
    trace: Call
    deadline: float


@dataclass(frozen=True, slots=True)
class Reply(Generic[A]):
    """What came of a call: an answer, or the error in its place; without `message_id` nothing was sent."""

    gateway: RemoteGateway
    url: str
    message_id: str
    answer: A | None
    error: RegistryError | None


class Pending(Generic[A]):
    """A call that is under way."""

    def __init__(self, gateway: RemoteGateway, url: str, message_id: str, deadline: float) -> None:
        self._gateway, self._url, self._message_id = gateway, url, message_id
        self._deadline = deadline
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reply: Reply[A] | None = None

    def end(self, answer: A | None, error: RegistryError | None = None) -> None:
        """The call ended like this. Only the first end counts; documents of a later one are removed."""
        message_id = "" if error is not None and error.rule in _NOT_SENT else self._message_id
        reply = Reply(self._gateway, self._url, message_id, answer, error)
        with self._lock:
            kept = self._reply is None
            if kept:
                self._reply = reply
        self._ended.set()
        if not kept and isinstance(answer, Handed):
            answer.message.discard()

    def reply(self) -> Reply[A]:
        """What came of it, at the deadline at the latest."""
        if not self._ended.wait(max(0.0, self._deadline + _GRACE - time.monotonic())):
            self.end(None, broken("community-late", self._gateway.community.urn))
        assert self._reply is not None
        return self._reply

    def discard(self) -> None:
        """Nobody wants the answer any more, or its documents, which have been sent."""
        self.end(None, broken("community-late", self._gateway.community.urn))
        reply = self._reply
        if reply is not None and isinstance(reply.answer, Handed):
            reply.answer.message.discard()


class RemoteGateway:
    """The responding gateway of one community. Threads may share it; `exchange` gives its tickets.

    `awaited` is for the answers of a community that is `asynchronous`. `most` is how many objects one
    answer may have.
    """

    def __init__(
        self,
        community: Community,
        limits: Limits,
        staging: StagingFolder,
        exchange: Exchange | None = None,
        awaited: AwaitedReplies | None = None,
        *,
        most: int = 10_000,
    ) -> None:
        self._most = most
        self.community: Final = community
        self._labels = {"community": community.urn, "name": community.name}
        self._limits = limits
        self._staging = staging
        self._exchange = exchange
        self._awaited = awaited if community.asynchronous else None
        self._breaker = Breaker(community.failures, community.pause_seconds)
        self._free = threading.Semaphore(community.connections)
        self._client = SoapClient(
            ca_file=community.ca,
            certificate=community.certificate,
            key=community.key,
            connect_seconds=community.query_seconds,
            connections=community.connections,
        )

    @property
    def state(self) -> State:
        """Of its circuit."""
        return self._breaker.state

    def circuit(self) -> Sample:
        """The state of its circuit, for /metrics."""
        return Sample(
            "xds_gateway_circuit",
            "A community's circuit: 0 closed, 1 half-open, 2 open (it is not asked).",
            (State.CLOSED, State.HALF_OPEN, State.OPEN).index(self.state),
            self._labels,
        )

    def failures(self) -> Sample:
        """How often in a row it has failed, for /metrics."""
        return Sample(
            "xds_gateway_failures",
            "Failures of a community in a row.",
            self._breaker.failures,
            self._labels,
        )

    def query(self, request: Request, *, leaf: bool) -> Pending[Listed]:
        """ITI-38."""
        home, seconds = self.community.urn, self.community.query_seconds
        read: _Reader[Listed] = _Reader(
            lambda message: read_listed(
                message, home, leaf=leaf, most=self._most, most_bytes=self._limits.root_bytes
            ),
            keeps=False,
        )
        return self._begin("CrossGatewayQuery", self.community.query, seconds, request, read)

    def retrieve(self, request: Request) -> Pending[Handed]:
        """ITI-39."""
        home, seconds = self.community.urn, self.community.retrieve_seconds
        read: _Reader[Handed] = _Reader(lambda message: read_handed(message, home), keeps=True)
        return self._begin("CrossGatewayRetrieve", self.community.retrieve, seconds, request, read)

    def close(self) -> None:
        """No more calls; what is under way ends by itself."""
        self._client.close()

    def _begin(
        self, transaction: str, url: str, seconds: float, request: Request, read: _Reader[A]
    ) -> Pending[A]:
        message_id = addressing.new_id()
        deadline = min(request.deadline, time.monotonic() + seconds)
        if not self._free.acquire(blocking=False):
            return self._refused("community-busy", request)
        leave = self._breaker.begin()
        if leave is None:
            self._free.release()
            return self._refused("community-resting", request)
        pending: Pending[A] = Pending(self, url, message_id, deadline)
        call = _Call(_ITI + transaction, url, message_id, deadline, request, read.keeps)

        def work() -> None:
            answer, rule = None, "community-readable"
            try:
                answer, rule = self._call(call, read, leave)
            except Exception as error:
                log.error(
                    "community %s: %s failed (%s)", self.community.name, transaction, type(error).__name__
                )
                leave.failed()
            finally:
                self._free.release()
                request.trace.ended(rule)
                pending.end(answer, broken(rule, self.community.urn) if rule else None)

        try:
            _threads.run(work)
        except RuntimeError:  # no more threads
            self._free.release()
            return self._refused("community-busy", request)
        return pending

    def _refused(self, rule: str, request: Request) -> Pending[Any]:
        request.trace.ended(rule)
        return self.not_asked(broken(rule, self.community.urn))

    def not_asked(self, error: RegistryError) -> Pending[Any]:
        """In the place of a call that is not made."""
        pending: Pending[Any] = Pending(self, "", "", time.monotonic())
        pending.end(None, error)
        return pending

    def _call(self, call: _Call, read: _Reader[A], leave: Leave) -> tuple[A | None, str]:
        """The answer, or the rule that says why there is none."""
        assertion = call.request.assertion
        if self._exchange is not None and assertion:
            try:
                assertion = self._exchange(assertion, self.community.urn)
            except Exception as error:  # it is somebody else's code
                log.error("gateway.ticket_exchange failed (%s)", type(error).__name__)
                return None, "community-ticket"
        try:
            if self._awaited is None:
                message = self._ask(call, assertion)
            else:
                message = self._ask_and_wait(call, assertion, self._awaited)
        except Unrecorded:
            log.error("community %s: a call could not be put on record", self.community.name)
            return None, "community-record"
        except Faulted:
            # About this one request, more often than not its ticket: others may well be answered.
            leave.succeeded()
            return None, "community-fault"
        except NoAnswer as error:
            if error.kind is Trouble.TOO_LARGE:
                leave.succeeded()  # one question too wide says nothing of the next
            else:
                leave.failed()
            return None, _RULES[error.kind]
        except ClientError as error:  # a file of ours, of which the community knows nothing
            return None, self._no_room(error.__cause__)
        try:
            answer = read.read(message)
        except TooMany:
            message.discard()
            leave.succeeded()
            return None, "community-size"
        except Unreadable:
            message.discard()
            leave.failed()
            return None, "community-readable"
        except OSError as error:
            message.discard()
            return None, self._no_room(error)
        except BaseException:
            message.discard()
            raise
        leave.succeeded()
        if not read.keeps:
            message.discard()
        return answer, ""

    def _no_room(self, error: BaseException | None) -> str:
        log.error("community %s: no room for its answer (%s)", self.community.name, type(error).__name__)
        return "community-room"

    def _ask(self, call: _Call, assertion: bytes) -> Message:
        """The answer on the same connection."""
        return self._client.call(
            *call.sent(assertion),
            self._limits,
            self._staging,
            understood=UNDERSTOOD,
            deadline=call.deadline,
            fields=call.fields,
            repeat=True,
            message_id=call.message_id,
        )

    def _ask_and_wait(self, call: _Call, assertion: bytes, awaited: AwaitedReplies) -> Message:
        """The answer that comes to our own address (ITI TF-2 V.3), perhaps before `send` returns.

        What keeps a community from taking the message at all it says at once.
        """
        awaited.expect(call.message_id, self.community.urn, call.deadline)
        try:
            at_once = self._client.send(
                *call.sent(assertion),
                self._limits,
                self._staging,
                reply_to=awaited.url,
                understood=UNDERSTOOD,
                deadline=call.deadline,
                fields=call.fields,
                message_id=call.message_id,
            )
            return at_once or awaited.wait(
                call.message_id, call.deadline, f"{call.action}Response", UNDERSTOOD
            )
        finally:
            awaited.forget(call.message_id)


@dataclass(frozen=True, slots=True)
class _Call:
    """A request as it goes out; `mtom`: its answer has documents."""

    action: str
    url: str
    message_id: str
    deadline: float
    request: Request
    mtom: bool

    def sent(self, assertion: bytes) -> tuple[str, str, tuple[bytes], bool, bytes]:
        """Address, action, body, whether it is MTOM, and header blocks."""
        security = write_security(assertion) if assertion else b""
        return self.url, self.action, (self.request.body,), self.mtom, security

    @property
    def fields(self) -> dict[str, str]:
        """Of the HTTP header."""
        return {"traceparent": self.request.trace.traceparent}


@dataclass(frozen=True, slots=True)
class _Reader(Generic[A]):
    """How an answer is read; `keeps`: it has documents, which come as MTOM and stay."""

    read: Callable[[Message], A]
    keeps: bool
