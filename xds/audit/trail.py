"""One request on its way through the node, and what is written about it: no path leaves without a record.

app.py opens a `Trail` before the first byte of a request is read and closes it when the answer goes out. What
was done is written in the transaction that did it (`done`), what was only looked at in one of its own before
anything is shown (`seen`), and what failed when it has failed. It must never let a record that cannot be
written pass for one that was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import falcon
from sqlalchemy import Connection

from xds.audit.event import DENIED, Node, entry
from xds.audit.facts import Context, Deed, Outcome, Subject, for_each_patient, reason_of
from xds.audit.store import AuditLog
from xds.errors import RegistryError
from xds.store.trouble import is_busy, no_room
from xds.transport import trace

log = logging.getLogger("xds")


#: How the rules of gate 2 begin.
_GATE_2: Final = "access-"

#: Bytes of a query that is told more than once.
_SHORT: Final = 2_048


class Counts(Protocol):
    """Who counts requests, for /metrics."""

    def ended(self, transaction: str, outcome: str, seconds: float) -> None:
        """A request has ended."""

    def denied(self, gate: str, rule: str) -> None:
        """It ended because a gate, `ticket` or `access`, did not let it in, by this rule."""


def _ended(deeds: Sequence[Deed]) -> str:
    """In a word: partial, when some of it was not done."""
    done = [each.outcome is Outcome.SUCCESS for each in deeds]
    return "success" if all(done) else "partial" if any(done) else "refused"


class Trails:
    """Opens the trail of each request of a node."""

    def __init__(
        self,
        audit: AuditLog,
        node: Node,
        counts: Counts | None = None,
        spans: Callable[[str], trace.Span] = trace.unmeasured,
    ) -> None:
        self.audit = audit
        self.node = node
        self._counts = counts
        self._spans = spans

    def __call__(self, req: falcon.Request) -> Trail:
        """Of an HTTP request, before it is read."""
        context = Context(
            endpoint=req.path,
            remote=req.remote_addr or "",
            trace=trace.read(req.get_header("traceparent", default="")),
        )
        return self._open(context)

    def of(self, endpoint: str, remote: str) -> Trail:
        """Of a request that came in another way."""
        return self._open(Context(endpoint=endpoint, remote=remote))

    def _open(self, context: Context) -> Trail:
        span = self._spans(context.trace)
        context.trace = context.trace or span.traceparent
        return Trail(self.audit, self.node, context, self._counts, span)


class Trail:
    """What the access log gets to know of one request; `context` is filled in as it becomes known."""

    def __init__(
        self,
        audit: AuditLog,
        node: Node,
        context: Context,
        counts: Counts | None = None,
        span: trace.Span | None = None,
    ) -> None:
        self.context = context
        self._span = span or trace.unmeasured("")
        #: A part of the work for the request, for whoever measures; a context manager.
        self.step = self._span.step
        self._audit = audit
        self._node = node
        self._counts = counts
        self._began = time.perf_counter()
        self._ended = "success"
        self._told = self._came_to_nothing = self._told_why = False
        self._kept_out: tuple[str, str] | None = None  # by which gate, and its rule

    def done(self, connection: Connection, *deeds: Deed) -> None:
        """Write what is being done, in the transaction that does it and as the last thing in it."""
        self._audit.add(connection, [entry(self._node, self.context, each) for each in deeds])
        self._told = True
        self._ended = _ended(deeds)

    def seen(self, *deeds: Deed) -> None:
        """Write what is about to be shown, and what is not, with why; whoever calls it shows nothing when it
        raises.
        """
        self._audit.write([entry(self._node, self.context, each) for each in deeds])
        self._told = True
        self._told_why = all(each.outcome is not Outcome.SUCCESS for each in deeds)
        self._ended = _ended(deeds)

    def refused(self, errors: Sequence[RegistryError]) -> None:
        """The request came to nothing, for these reasons."""
        self._ended = "refused"
        if rule := next((each.rule for each in errors if each.rule.startswith(_GATE_2)), ""):
            self.not_let_in(rule)
        self._failed(Deed(outcome=Outcome.MINOR, reason=reason_of(errors)))

    def not_let_in(self, rule: str) -> None:
        """Gate 2 said no, by this rule; what the sender gets to know of it is told besides."""
        self._kept_out = self._kept_out or ("access", rule)

    def refused_for(self, reason: str) -> None:
        """The same in words, which hold no value of the message.

        Where `seen` has told that nothing is shown, and why, this is only the answer.
        """
        self._ended = "refused"
        if not self._told_why:
            self._failed(Deed(outcome=Outcome.MINOR, reason=reason))

    def denied(self, rule: str) -> None:
        """Gate 1 let nobody in. Whom the message would have been about is not believed, and not written."""
        self._ended = "denied"
        self._kept_out = ("ticket", rule)
        self._failed(Deed(outcome=Outcome.SERIOUS, reason=f"{DENIED}{rule}"))

    def elsewhere(self) -> None:
        """It is on record with the request that it belongs to."""
        self._told = True

    def fault(self, reason: str, reference: str = "") -> None:
        """It ended in a fault, or in an error of the node; `reason` holds no value of the message.

        Of what had come to nothing before, the fault is only the answer.
        """
        if self._came_to_nothing:
            return
        self.context.reference = self.context.reference or reference
        self._ended = "fault"
        self._failed(Deed(outcome=Outcome.SERIOUS, reason=reason))

    def close(self, received: int = 0) -> None:
        """The end, whatever came, after so many bytes: what nobody told of was broken off."""
        if not self._told:
            self.fault("broken off")
        if self._counts is not None:
            self._counts.ended(self.context.number, self._ended, time.perf_counter() - self._began)
            if self._kept_out:
                self._counts.denied(*self._kept_out)
        self._span.end(
            self.context.number,
            self._ended,
            endpoint=self.context.endpoint,
            reference=self.context.reference,
            rule=self._kept_out[1] if self._kept_out else "",
            bytes=received,
        )

    def onward(self, community: str) -> trace.Call:
        """The trace of a call that is made for the request; one that came without gets a trace here."""
        call = self._span.call(community)
        if call.traceparent:
            return call
        self.context.trace = self.context.trace or trace.new()
        return trace.Call(trace.onward(self.context.trace))

    @property
    def patients(self) -> tuple[str, ...]:
        """Whom the request is about (CX texts): those it names, else the one of the ticket."""
        caller = self.context.caller
        if self.context.subject.patients or caller is None or caller.patient is None:
            return self.context.subject.patients
        return (caller.patient.cx,)

    def _failed(self, deed: Deed) -> None:
        context = self.context
        self._told = self._came_to_nothing = True
        deed = Deed(outcome=deed.outcome, reason=deed.reason, documents=context.subject.documents)
        patients, query = self.patients, context.subject.query
        if len(patients) > 1 and query is not None:
            # Told once for each of them, so not at length.
            context.subject = replace(context.subject, query=replace(query, text=query.text[:_SHORT]))
        try:
            deeds = for_each_patient(deed, patients)
            try:
                self._audit.write([entry(self._node, context, each) for each in deeds])
            except Exception as error:
                if is_busy(error) or no_room(error):
                    raise
                # Something of the message cannot be written: it is on record without what it says.
                context.subject = Subject()
                bare = Deed(outcome=deed.outcome, reason=deed.reason)
                self._audit.write([entry(self._node, context, bare)])
        except Exception as error:
            # Nothing was done and nothing shown; the sender gets the same answer as with a record.
            log.error("%s no audit record (%s)", context.reference or "-", type(error).__name__)
