"""Spans of requests for OpenTelemetry: made, and sent to a receiver of OTLP over HTTP.

app.py imports it when otel.endpoint is set, and never otherwise. A span says which transaction a request
was, how it ended, how long its steps took, and its reference number; it must never hold a value of a message,
a URL's query or the text of an exception. Nobody waits for the receiver: what does not fit into the queue, or
is not taken in time, is lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import util
from typing import Any, BinaryIO, Final, TypeVar

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from xds import __version__
from xds.repository.store import DocumentStore
from xds.transport.staged import Staged
from xds.transport.trace import Call

T = TypeVar("T")

log = logging.getLogger("xds")

#: Spans that wait to be sent; of a node that does 200 requests a second some two seconds.
QUEUE: Final = 4096
#: Spans sent in one request, and how long they wait for others, in milliseconds.
BATCH: Final = 512
DELAY_MS: Final = 1000
#: How long the receiver may take for a request, and how long the end of the worker waits for it, in seconds.
SECONDS: Final = 2.0

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one worker. `percent`: of requests that come without a traceparent, whose sender decides
    otherwise.
    """

    def __init__(self, endpoint: str, node: str, percent: int) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # _Exporter tells
        self._exporter = _Exporter(endpoint)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, schedule_delay_millis=DELAY_MS, max_export_batch_size=BATCH
        )
        names = {SERVICE_NAME: "xds", SERVICE_INSTANCE_ID: node, SERVICE_VERSION: __version__}
        provider = TracerProvider(
            resource=Resource.create(names),
            sampler=ParentBased(TraceIdRatioBased(percent / 100)),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("xds", __version__)
        # A worker is a process of multiprocessing, in which atexit does nothing.
        util.Finalize(None, self.stop, exitpriority=10)

    def __call__(self, traceparent: str) -> RequestSpan:
        """The span of a request that begins now, in the trace that it came with."""
        above = _PROPAGATOR.extract({"traceparent": traceparent}, Context()) if traceparent else Context()
        span = self._tracer.start_span("request", above, SpanKind.SERVER)
        return RequestSpan(self._tracer, span)

    def store(self, documents: DocumentStore) -> DocumentStore:
        """The same store, whose work for a request has spans of its own."""
        return _Store(documents, self._tracer)

    def stop(self) -> None:
        """Send what waits, for as long as SECONDS says."""
        self._exporter.until = time.monotonic() + SECONDS
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class RequestSpan:
    """One request (xds.transport.trace.Span)."""

    def __init__(self, tracer: api.Tracer, span: api.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._within = api.set_span_in_context(span, Context())
        self.traceparent = _traceparent(span)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A part of the work for the request."""
        with self._tracer.start_as_current_span(
            name, self._within, record_exception=False, set_status_on_exception=False
        ):
            yield

    def call(self, community: str) -> Call:
        """A call to a community, by its id in the communities file."""
        span = self._tracer.start_span("community", self._within, SpanKind.CLIENT)
        span.set_attribute("xds.community", community)

        def ended(rule: str) -> None:
            span.set_attribute("xds.outcome", rule or "success")
            if rule:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        return Call(_traceparent(span), ended)

    def end(self, transaction: str, outcome: str, **attributes: str | int) -> None:
        """The answer goes out."""
        self._span.update_name(transaction or "unknown")
        self._span.set_attributes(
            {"xds.transaction": transaction or "unknown", "xds.outcome": outcome}
            | {f"xds.{name}": value for name, value in attributes.items() if value != ""}
        )
        if outcome == "fault":
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _traceparent(span: api.Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


class _Store:
    """A DocumentStore whose `put`, `open` and `remove` have spans when a request has them done."""

    def __init__(self, documents: DocumentStore, tracer: api.Tracer) -> None:
        self._documents = documents
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    def put(self, staged: Staged) -> str:
        return self._spanned("document put", lambda: self._documents.put(staged), staged.size)

    def open(self, key: str) -> BinaryIO:
        return self._spanned("document open", lambda: self._documents.open(key))

    def remove(self, key: str) -> None:
        self._spanned("document remove", lambda: self._documents.remove(key))

    def _spanned(self, name: str, work: Callable[[], T], size: int | None = None) -> T:
        if not api.get_current_span().get_span_context().is_valid:
            return work()
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            if size is not None:
                span.set_attribute("xds.bytes", size)
            return work()


class _Exporter(SpanExporter):
    """The SDK's, with an end to the waiting; the log tells once that the receiver is away, and that it is
    back.
    """

    def __init__(self, endpoint: str) -> None:
        self._inner = OTLPSpanExporter(endpoint=endpoint, timeout=SECONDS)
        self._away = False
        #: From this moment of time.monotonic() on nothing more is sent.
        self.until = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or lose it."""
        if time.monotonic() > self.until:
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away != self._away:
            self._away = away
            log.error("otel.endpoint %s", "takes no spans: they are lost" if away else "takes spans again")
        return result

    def shutdown(self) -> None:
        """No more."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True
