"""`GET /metrics`: what an operator watches, in the text format of Prometheus (version 0.0.4).

app.py gives it the functions that know the figures. They are read at each request, and are those of the
worker that answers; what is counted is counted for all workers of a node together, in files that `xds serve`
gives them. It must never hold a value from a message: labels are rule ids, transactions and the node's own
names, of which there are so many and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import falcon
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

#: Where the workers of a node write what they count; `xds serve` sets it.
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure: the name of its metric, what that metric is in a sentence, its value and its labels."""

    name: str
    purpose: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Counts:
    """What is counted since the start: requests, how they ended and how long they took, whom a gate did not
    let in, what the document server failed at, and how often the replica of the database answered.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._times = Histogram(
            "xds_request_seconds",
            "Seconds from the first byte of a request until its answer goes out; and how it ended.",
            ["transaction", "outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._denials = Counter(
            "xds_gate_denials_total",
            "Requests that a gate did not let in, by the rule that says why.",
            ["gate", "rule"],
            registry=self._registry,
        )
        self._s3_failures = Counter(
            "xds_s3_failures_total",
            "Calls to the S3 server that came to nothing; what is not there is an answer.",
            ["deed"],
            registry=self._registry,
        )
        self._reads = Counter(
            "xds_replica_reads_total",
            "Reads that the replica may answer, by what answered them and why it was not the replica.",
            ["answered_by", "reason"],
            registry=self._registry,
        )

    def ended(self, transaction: str, outcome: str, seconds: float) -> None:
        """One request that has ended."""
        self._times.labels(transaction or "unknown", outcome).observe(seconds)

    def denied(self, gate: str, rule: str) -> None:
        """One request that gate 1 (`ticket`) or gate 2 (`access`) did not let in."""
        self._denials.labels(gate, rule).inc()

    def s3_failed(self, deed: str) -> None:
        """One call to the S3 server; `deed` is what the store wanted of it, in its own words."""
        self._s3_failures.labels(deed).inc()

    def read(self, answered_by: str, reason: str) -> None:
        """One read that the replica may answer."""
        self._reads.labels(answered_by, reason).inc()

    def text(self) -> str:
        """Those of all workers, in Prometheus' format."""
        registry = self._registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry).decode()


class Metrics:
    """The Falcon resource; each source gives its samples, all of one metric after each other."""

    def __init__(self, *sources: Callable[[], Iterable[Sample]], counts: Counts | None = None) -> None:
        self._sources = sources
        self._counts = counts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What is counted, then all samples, each metric with its purpose; every sample is a gauge."""
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"
        lines: list[str] = []
        known: set[str] = set()
        for source in self._sources:
            for sample in source():
                if sample.name not in known:
                    known.add(sample.name)
                    lines += [f"# HELP {sample.name} {sample.purpose}", f"# TYPE {sample.name} gauge"]
                labels = ",".join(
                    f'{name}="{text.translate(_ESCAPES)}"' for name, text in sample.labels.items()
                )
                lines.append(f"{sample.name}{labels and f'{{{labels}}}'} {float(sample.value)!r}")
        counted = self._counts.text() if self._counts else ""
        resp.text = counted + "\n".join([*lines, ""])
