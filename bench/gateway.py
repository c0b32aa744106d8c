"""What asking several communities at once takes: FindDocuments at the initiating gateway, which asks five.

bench/__main__.py calls `fan_outs`. The communities are those of tests/gateway/peers.py: processes of their
own that answer at once, or after a latency. The same requests with and without it, in turn, say how many
latencies a request waits for; what is left is the work of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench import messages, servers
from bench.servers import Connection, on_the_wire
from tests.gateway.peers import PATIENT, Peer

COMMUNITIES: Final = 5
#: Each community has so many documents of the patient; an entry is about 7 kB.
DOCUMENTS: Final = 3
#: Requests at the same time.
CLIENTS: Final = 100
WORKERS: Final = 2
#: Seconds that a community takes for its answer.
LATENCY: Final = 0.2
_HOME: Final = "2.16.578.1.12.4.5.100"
#: For a worker that gets all connections.
_TOGETHER: Final = CLIENTS


@dataclass(frozen=True, slots=True)
class FanOuts:
    """Medians over the rounds, in milliseconds.

    `alone` and `together` are the time for one request and until the last of 100 was answered, without
    latency and with it; `latencies` is by how many latencies these differ. `cpu` is processor time for one of
    the 100, of the gateway and of the five communities.
    """

    alone: tuple[float, float]
    together: tuple[float, float]
    latencies: tuple[float, float]
    cpu: tuple[float, float]


def fan_outs(folder: Path, rounds: int) -> FanOuts:
    """Measure it, `rounds` times each."""
    with _running(folder) as (port, communities, processes):
        message = on_the_wire(messages.find(PATIENT, path="/xca/initiating"))
        for delay in (0.0, LATENCY):
            _behave(communities, delay)
            _ask(port, CLIENTS, message)
        alone: list[tuple[float, float]] = []
        together: list[tuple[float, float]] = []
        cpu: list[tuple[float, float]] = []
        for _ in range(rounds):
            _behave(communities, 0.0)
            before = _cpu(processes), sum(each.figures.cpu for each in communities)
            at_once = _ask(port, CLIENTS, message)
            after = _cpu(processes), sum(each.figures.cpu for each in communities)
            cpu.append((after[0] - before[0], after[1] - before[1]))
            one = median(_ask(port, 1, message) for _ in range(5))
            _behave(communities, LATENCY)
            together.append((at_once, _ask(port, CLIENTS, message)))
            alone.append((one, median(_ask(port, 1, message) for _ in range(3))))
    return FanOuts(
        _milliseconds(alone),
        _milliseconds(together),
        (_latencies(alone), _latencies(together)),
        (median(each[0] for each in cpu) / CLIENTS * 1000, median(each[1] for each in cpu) / CLIENTS * 1000),
    )


def _milliseconds(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return median(each[0] for each in times) * 1000, median(each[1] for each in times) * 1000


def _latencies(times: Sequence[tuple[float, float]]) -> float:
    return median(with_it - without for without, with_it in times) / LATENCY


@contextmanager
def _running(folder: Path) -> Iterator[tuple[int, list[Peer], list[psutil.Process]]]:
    with ExitStack() as stack:
        communities = [
            stack.enter_context(Peer(f"{_HOME}.{number}", documents=DOCUMENTS, keep=0))
            for number in range(1, COMMUNITIES + 1)
        ]
        file = folder / "communities.toml"
        file.write_text(
            "query_seconds = 120\n"
            + "".join(
                f'[[community]]\nname = "{each.home}"\nhome = "{each.home}"\nquery = "{each.url}"\n'
                f"query_seconds = 120\nconnections = {_TOGETHER}\n"
                for each in communities
            )
        )
        port, parent = stack.enter_context(
            servers.gateway(folder, f"{_HOME}.9", file, workers=WORKERS, threads=_TOGETHER)
        )
        yield port, communities, parent.children(recursive=True)


def _behave(communities: Sequence[Peer], delay: float) -> None:
    for each in communities:
        each.behave("answers", delay=delay)


def _cpu(processes: Sequence[psutil.Process]) -> float:
    used = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in used)


def _ask(port: int, clients: int, message: bytes) -> float:
    """Seconds until the last of so many new connections has its answer to a request sent at the same time."""

    def ask(connection: Connection) -> None:
        reply = bytes(connection.ask(message))
        if b"ResponseStatusType:Success" not in reply or reply.count(b"<rim:ExtrinsicObject ") != _ENTRIES:
            raise RuntimeError("the gateway did not give what all communities have")

    with ExitStack() as stack:
        connections = [Connection(port) for _ in range(clients)]
        for each in connections:
            stack.callback(each.close)
        threads = stack.enter_context(ThreadPoolExecutor(clients))
        began = time.perf_counter()
        list(threads.map(ask, connections))
        return time.perf_counter() - began


_ENTRIES: Final = COMMUNITIES * DOCUMENTS
