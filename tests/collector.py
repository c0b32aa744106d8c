"""A receiver of OTLP over HTTP, as an operator's collector is one: it keeps what a node sends.

tests/test_tracing.py looks at the spans, and at the bytes in which they came.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """One span, its ids in hexadecimal."""

    node: str
    trace: str
    id: str
    parent: str
    name: str
    attributes: dict[str, Any]
    failed: bool
    events: int


@dataclass
class Collector:
    """What came so far."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """All of them."""
        return [span for body in self.bodies for span in _read(body)]

    def wait(self, true: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, once this holds of them."""
        deadline = time.monotonic() + 20
        while not true(spans := self.spans()):
            assert time.monotonic() < deadline, [(each.name, each.attributes) for each in spans]
            time.sleep(0.05)
        return spans


def _read(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        node = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    node["service.instance.id"],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    {
                        each.key: getattr(each.value, each.value.WhichOneof("value"))
                        for each in span.attributes
                    },
                    span.status.code == 2,
                    len(span.events),
                )


@contextmanager
def collector(answer_after: threading.Event | None = None) -> Iterator[Collector]:
    """A running one; with an event it answers nobody before that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if answer_after is not None:
                answer_after.wait(60)
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            found.bodies.append(data)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
