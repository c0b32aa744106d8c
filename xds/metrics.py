"""`GET /metrics`: what an operator watches, in the text format of Prometheus (version 0.0.4).

app.py gives it the functions that know the figures. They are read at each request, and are those of the
worker that answers; requests are counted for all workers of a node together, in files that `xds serve`
gives them. It must never hold a value from a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import falcon
from prometheus_client import CollectorRegistry, Histogram, generate_latest, multiprocess

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


class Requests:
    """How many requests there were of each transaction, how they ended, and how long they took."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._times = Histogram(
            "xds_request_seconds",
            "Seconds from the first byte of a request until its answer goes out; and how it ended.",
            ["transaction", "outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )

    def observe(self, transaction: str, outcome: str, seconds: float) -> None:
        """One request that has ended."""
        self._times.labels(transaction or "unknown", outcome).observe(seconds)

    def text(self) -> str:
        """Those of all workers, in Prometheus' format."""
        registry = self._registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry).decode()


class Metrics:
    """The Falcon resource; each source gives its samples, all of one metric after each other."""

    def __init__(self, *sources: Callable[[], Iterable[Sample]], requests: Requests | None = None) -> None:
        self._sources = sources
        self._requests = requests

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Requests, then all samples, each metric with its purpose; every sample is a gauge."""
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
        counted = self._requests.text() if self._requests else ""
        resp.text = counted + "\n".join([*lines, ""])
