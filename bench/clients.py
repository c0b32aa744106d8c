"""Clients that ask a node without a pause, in processes of their own, and what it cost whoever answered.

growth.py starts a `Crowd` once and has it ask for some seconds at a time. Clients and server share the
machine's cores: beside requests in a second a `Load` has the processor time of the server's processes, which
says what a core can answer whoever else was on it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, Final, Protocol, Self

import psutil

from bench.connection import Connection

PROCESSES: Final = 4
#: What every good answer of the node has near its beginning, whatever was asked.
_GOOD: Final = (b"ResponseStatusType:Success", b'"resourceType":"Bundle"')
_LOOKED_AT: Final = 4096
#: Of the seconds of a load, how many are not counted at its beginning: connections, statements, caches.
_WARM: Final = 0.15


class Asking(Protocol):
    """What is asked: for each client of `clients` messages without end, as bytes on the wire."""

    def messages(self, own: int, clients: int) -> Iterator[bytes]:
        """Those of one client."""


@dataclass(frozen=True, slots=True)
class InTurn:
    """The same messages, each again only when all have been sent."""

    some: Sequence[bytes]

    def messages(self, own: int, clients: int) -> Iterator[bytes]:
        """Every client has a share of them, if there are enough."""
        share = self.some[own::clients] or self.some
        return itertools.cycle(share)


@dataclass(frozen=True, slots=True)
class EachNew:
    """One message with another number of eight digits each time, in the place of those of `mark`."""

    message: bytes
    mark: bytes
    first: int

    def messages(self, own: int, clients: int) -> Iterator[bytes]:
        """Numbers that no other client uses."""
        pieces = self.message.split(self.mark)
        for number in itertools.count(self.first + own, clients):
            yield (b"%08d" % number).join(pieces)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of some clients in so many seconds: `times` of the requests that were begun then, however
    long they took, and how many were `answered` then; of the processor the server's `cpu` and the clients'.
    """

    clients: int
    seconds: float
    times: tuple[float, ...]
    answered: int
    cpu: float
    clients_cpu: float

    def figures(self) -> dict[str, Any]:
        """Milliseconds, requests in a second, and requests for a second of the server's processor time."""
        ordered = sorted(self.times)
        return {
            "clients": self.clients,
            "requests": len(ordered),
            **{f"p{part}": quantile(ordered, part) * 1000 for part in (50, 95, 99)},
            "per_second": self.answered / self.seconds,
            "per_core": self.answered / self.cpu if self.cpu else None,
            "clients_share": self.clients_cpu / ((self.cpu + self.clients_cpu) or 1),
        }


def quantile(ordered: Sequence[float], part: int) -> float:
    """The value that `part` of a hundred do not exceed."""
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]


class Meter:
    """The processor time of processes and of all that they have started, in seconds."""

    def __init__(self, *pids: int) -> None:
        self._parents = [psutil.Process(pid) for pid in pids]

    def read(self) -> dict[int, float]:
        """By process; one that ends between two readings is missed."""
        found = {}
        for parent in self._parents:
            for each in (parent, *parent.children(recursive=True)):
                try:
                    times = each.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                found[each.pid] = times.user + times.system
        return found

    def since(self, before: dict[int, float]) -> float:
        """The time since a reading."""
        return sum(time_ - before.get(pid, 0.0) for pid, time_ in self.read().items())


class Crowd:
    """Processes that wait to be told what to ask; a context manager. To be made before there are threads."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipes: list[Pipe] = []
        self._processes = []
        for _ in range(PROCESSES):
            here, there = context.Pipe()
            process = context.Process(target=_client, args=(there,), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            if error is None:
                pipe.send(None)
                process.join(30)
            process.terminate()
            process.join()

    def ask(self, port: int, asking: Asking, clients: int, seconds: float, meter: Meter) -> Load:
        """So many clients for so many seconds. Raises RuntimeError when one was refused."""
        used = self._pipes[: min(clients, PROCESSES)]
        for number, pipe in enumerate(used):
            pipe.send((port, asking, range(number, clients, len(used)), clients))
        for pipe in used:
            _said(pipe)
        warm = seconds * _WARM
        start = time.monotonic() + warm
        for pipe in used:
            pipe.send((start, start + seconds))
        time.sleep(max(0.0, start - time.monotonic()))
        before = meter.read()
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        cpu = meter.since(before)
        times: list[float] = []
        answered, own = 0, 0.0
        for pipe in used:
            some, of_them, spent = _said(pipe)
            times += some
            answered += of_them
            own += spent
        return Load(clients, seconds, tuple(times), answered, cpu, own)


def _said(pipe: Pipe) -> Any:
    said = pipe.recv()
    if isinstance(said, str):
        raise RuntimeError(said)
    return said


def _client(pipe: Pipe) -> None:
    """A process of a crowd; it ends when it is told so."""
    while (job := pipe.recv()) is not None:
        try:
            pipe.send(_run(pipe, *job))
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


def _run(
    pipe: Pipe, port: int, asking: Asking, own: Sequence[int], clients: int
) -> tuple[list[float], int, float]:
    connections = [Connection(port) for _ in own]
    pipe.send(())  # connected
    start, end = pipe.recv()
    times: list[list[float]] = [[] for _ in own]
    answered = [0] * len(own)
    refused: list[str] = []

    def ask(place: int) -> None:
        connection = connections[place]
        for message in asking.messages(own[place], clients):
            began = time.monotonic()
            if (began >= end and times[place]) or refused:
                break
            try:
                answer = bytes(connection.ask(message)[:_LOOKED_AT])
                if not any(good in answer for good in _GOOD):
                    raise RuntimeError("the node refused a request")
            except Exception as error:
                refused.append(f"{type(error).__name__}: {error}")
                break
            ended = time.monotonic()
            answered[place] += start <= ended < end
            if began >= start:
                times[place].append(ended - began)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(own))]
    for each in threads:
        each.start()
    time.sleep(max(0.0, start - time.monotonic()))
    before = time.process_time()
    time.sleep(max(0.0, end - time.monotonic()))
    spent = time.process_time() - before
    for each in threads:
        each.join()
    for each in connections:
        each.close()
    if refused:
        raise RuntimeError(refused[0])
    return [each for some in times for each in some], sum(answered), spent
