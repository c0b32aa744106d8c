"""Measuring: node and floor in turn, in short rounds, so that noise of the machine hits both.

__main__.py gives it the cases. Times are in seconds, taken round the call alone; whatever is made for a call
is made before the clock starts.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

#: Makes the next argument, and is timed with it.
Act = tuple[Iterator[Any], Callable[[Any], object]]

_LEAST = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: what the node is asked, and the parts of its floor by name."""

    name: str
    node: Act
    parts: Mapping[str, Act]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of a case; times in milliseconds. `floor` is the sum of `parts`, each a median.

    `ratio` is the median over the rounds of node p50 / floor, `ratios` each round's.
    """

    name: str
    requests: int
    per_second: float
    p50: float
    p99: float
    floor: float
    parts: dict[str, float]
    ratio: float
    ratios: list[float]


def same(value: Any) -> Iterator[Any]:
    """One argument for every call."""
    return itertools.repeat(value)


def in_turn(values: Sequence[Any]) -> Iterator[Any]:
    """The arguments again and again."""
    return itertools.cycle(values)


def measure(case: Case, seconds: float, rounds: int) -> Result:
    """Run a case for about `seconds` of the node's time, and as long for all parts of its floor together."""
    for act in (case.node, *case.parts.values()):
        _run(act, 0)  # warm: caches, threads, statements
    node: list[float] = []
    parts: dict[str, list[float]] = {name: [] for name in case.parts}
    ratios: list[float] = []
    slice_ = seconds / rounds
    for _ in range(rounds):
        times = _run(case.node, slice_)
        node += times
        floor = 0.0
        for name, act in case.parts.items():
            part = median(_run(act, slice_ / len(case.parts)))
            parts[name].append(part)
            floor += part
        ratios.append(median(times) / floor)
    medians = {name: median(values) * 1000 for name, values in parts.items()}
    node.sort()
    return Result(
        name=case.name,
        requests=len(node),
        per_second=len(node) / sum(node),
        p50=median(node) * 1000,
        p99=node[min(len(node) - 1, int(len(node) * 0.99))] * 1000,
        floor=sum(medians.values()),
        parts=medians,
        ratio=median(ratios),
        ratios=ratios,
    )


def compare(acts: Mapping[str, Act], seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """For each, run in turn for about `seconds` of its own time: p50 in milliseconds, and ratio to the first.

    The ratio is the median over the rounds.
    """
    for act in acts.values():
        _run(act, 0)
    medians: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            medians[name].append(median(_run(act, seconds / rounds)))
    first = next(iter(medians.values()))
    return {
        name: (median(times) * 1000, median(a / b for a, b in zip(times, first, strict=True)))
        for name, times in medians.items()
    }


def _run(act: Act, seconds: float) -> list[float]:
    arguments, call = act
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < _LEAST or time.perf_counter() < deadline:
        argument = next(arguments)
        began = time.perf_counter()
        call(argument)
        times.append(time.perf_counter() - began)
    return times
