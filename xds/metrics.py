"""`GET /metrics`: what an operator watches, in the text format of Prometheus (version 0.0.4).

app.py gives it the functions that know the figures. They are read at each request, and are those of the
worker that answers. It must never hold a value from a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import falcon

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure: the name of its metric, what that metric is in a sentence, its value and its labels."""

    name: str
    purpose: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Metrics:
    """The Falcon resource; each source gives its samples, all of one metric after each other."""

    def __init__(self, *sources: Callable[[], Iterable[Sample]]) -> None:
        self._sources = sources

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All samples, each metric with its purpose; every one is a gauge."""
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
        resp.text = "\n".join([*lines, ""])
