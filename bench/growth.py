"""What a registry costs as it grows: 10,000 to 5,000,000 document entries, asked through a running node.

`make bench SIZES="10000 100000 1000000 5000000"` runs it: it fills a registry on PostgreSQL and one on SQLite
step by step, measures at each size, writes the figures to bench/results and, with `--publish docs`, the page
and the charts (report.py). It must never leave a process or a database behind, nor name a host or a path.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

import psycopg

from bench import content, copies, load, messages, mhd, report, servers
from bench.clients import Asking, Crowd, EachNew, InTurn, Load, Meter, quantile
from bench.population import Population
from bench.servers import on_the_wire
from tests.postgres import Cluster
from xds.store.database import Database
from xds.store.keys import uuid_urn

_RESULTS: Final = Path(__file__).parent / "results"
#: Submissions of each kind that all others are copies of.
_MASTERS: Final = 500
THREADS: Final = 32
CLASSES: Final = (5, 50, 500)
#: Different patients, or documents, that one measurement asks about at most.
_ASKED: Final = 20_000
DOCUMENT_BYTES: Final = 50_000
#: Documents that one process loads alone.
_ALONE: Final = 20_000
#: Documents that are submitted to be retrieved.
_RETRIEVED: Final = 200
#: Numbers of what is submitted while measuring: above all that copies.py gives away, a million for each load.
_OWN: Final = 50_000_000
_LOADS: Final = 1_000_000

#: Nothing is lost when loading is broken off: it begins anew.
_LOADING: Final = {"wal_level": "minimal", "max_wal_senders": "0", "maintenance_work_mem": "512MB"}
#: As docs/operations.md has it; the rest is PostgreSQL's default.
MEASURING: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "random_page_cost": "1.1",
}


class Engine(Protocol):
    """A kind of database with two registries: one that grows, and one that stays as large as at first."""

    name: str
    grown: str
    small: str

    def load(self) -> None:
        """Be ready to be filled."""

    def serve(self) -> None:
        """Be as in use, with nothing in the database's own cache."""

    def pids(self) -> list[int]:
        """Its processes that work for the node, but for the node's own."""

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Table -> bytes of it and of its indexes, of the registry that grows."""

    def version(self) -> str:
        """What it is."""


class OnPostgresql:
    """A server of the bench's own."""

    name = "PostgreSQL"

    def __init__(self, stack: ExitStack, buffers: str) -> None:
        # What clients are told they see themselves.
        self._own = {"shared_buffers": buffers, "log_min_messages": "panic"}
        # Of its own: the server's user must be able to come to it.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xds-bench-postgresql-"))
        self._cluster = Cluster(Path(folder))
        self._cluster.make()
        stack.callback(self._cluster.stop)
        self._cluster.start(**self._own, **_LOADING)
        self.grown, self.small = self._cluster.add("grown"), self._cluster.add("small")

    def load(self) -> None:
        self._cluster.stop()
        self._cluster.start(**self._own, **_LOADING)

    def serve(self) -> None:
        self._cluster.stop()
        os.sync()  # what was loaded without fsync
        self._cluster.start(**self._own, **MEASURING)

    def pids(self) -> list[int]:
        return [self._cluster.pid]

    def sizes(self) -> dict[str, tuple[int, int]]:
        with psycopg.connect(self.grown.replace("+psycopg", "")) as connection:
            rows = connection.execute(
                "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            ).fetchall()
        return {name: (table, index) for name, table, index in rows}

    def version(self) -> str:
        with psycopg.connect(self.grown.replace("+psycopg", "")) as connection:
            (text,) = connection.execute("SHOW server_version").fetchone() or ("",)
        return re.match(r"[\d.]*", text)[0]  # type: ignore[index]


class OnSqlite:
    """Two files."""

    name = "SQLite"

    def __init__(self, stack: ExitStack) -> None:
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xds-bench-sqlite-")))
        self.grown, self.small = (f"sqlite:///{self._folder}/{name}.db" for name in ("grown", "small"))
        for url in (self.grown, self.small):
            database = Database(url)
            database.migrate()
            database.close()

    def load(self) -> None:
        pass

    def serve(self) -> None:
        os.sync()

    def pids(self) -> list[int]:
        return []

    def sizes(self) -> dict[str, tuple[int, int]]:
        with closing(sqlite3.connect(self._folder / "grown.db")) as connection:
            tables = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
            found: dict[str, tuple[int, int]] = {}
            try:
                rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
            except sqlite3.OperationalError:  # SQLite can be built without dbstat
                return {"all": ((self._folder / "grown.db").stat().st_size, 0)}
        for name, size in rows:
            table = tables.get(name, name)
            own, indexes = found.get(table, (0, 0))
            found[table] = (own + size, indexes) if name == table else (own, indexes + size)
        return found

    def version(self) -> str:
        return sqlite3.sqlite_version


class Growth:
    """One engine's run."""

    def __init__(self, engine: Engine, crowd: Crowd, arguments: argparse.Namespace, folder: Path) -> None:
        self._engine, self._crowd, self._arguments, self._folder = engine, crowd, arguments, folder
        self._people = {engine.grown: Population(), engine.small: Population()}
        self._masters: dict[str, dict[int, list[copies.Master]]] = {}
        self._numbers = iter(range(_OWN, 100_000_000, _LOADS))
        self._chance = random.Random(3)
        self._document = self._chance.randbytes(DOCUMENT_BYTES)

    def run(self, sizes: list[int]) -> dict[str, Any]:
        """Figures at each size, of many clients at the largest, and of it beside the smallest."""
        engine = self._engine
        self._grow(engine.small, sizes[0])
        found: dict[str, Any] = {"sizes": []}
        for size in sizes:
            engine.load()
            began = time.monotonic()
            self._grow(engine.grown, size)
            seconds = time.monotonic() - began
            _tell(f"{engine.name}: {size:,} documents, loaded in {seconds:.0f} s")
            measured = {
                "documents": size,
                "patients": self._people[engine.grown].patients,
                "load_seconds": seconds,
                "bytes": engine.sizes(),
            }
            engine.serve()
            with ExitStack() as stack:
                port, meter = self._node(stack, engine.grown)
                asked = dict(self._asked(port))
                measured["asked"] = self._alone(port, meter, asked)
                found["sizes"].append(measured)
                if size == sizes[-1]:
                    found["clients"] = self._together(port, meter, asked)
                    found["beside"] = self._beside(port, meter, self._node(stack, engine.small))
        return found

    def _grow(self, url: str, size: int) -> None:
        if url not in self._masters:
            database = Database(url)
            self._masters[url] = copies.masters(database, self._arguments.masters)
            database.close()
        people = self._people[url]
        done, told = people.documents, time.monotonic()

        def tell(more: int) -> None:
            nonlocal done, told
            done += more
            if time.monotonic() > told + 15:
                told = time.monotonic()
                _tell(f"  {done:,} of {size:,}")

        # A process begins with seconds of importing.
        processes = min(os.cpu_count() or 1, 4) if size - done > _ALONE else 1
        load.grow(url, self._masters[url], people, size, tell, processes)

    # ---- what is asked

    def _reads(self, url: str, most: int = _ASKED) -> dict[str, list[bytes]]:
        """Name -> messages about different patients or documents of a registry."""
        people, chance = self._people[url], self._chance
        found = {
            f"FindDocuments, {size}": [
                on_the_wire(messages.find(content.pid(each))) for each in people.of(size, most, chance)
            ]
            for size in CLASSES
        }
        found["GetDocuments, 1"] = [
            on_the_wire(messages.get([uuid_urn(each)])) for each in people.some_documents(most, chance)
        ]
        found["ITI-67, 50"] = [mhd.search(content.pid(each)) for each in people.of(50, most, chance)]
        return {name: some for name, some in found.items() if some}

    def _new(self) -> EachNew:
        """Submissions that nobody has made, each of a patient of its own."""
        first = next(self._numbers)
        request = messages.provide(content.pid(_OWN), _OWN, self._document, random.Random(4))
        return EachNew(on_the_wire(request), b"%d" % _OWN, first)

    def _retrievals(self, port: int) -> InTurn:
        """Retrievals of documents that are submitted for it."""
        new = self._new()
        with closing(servers.Connection(port)) as connection:
            for _, message in zip(range(_RETRIEVED), new.messages(0, 1), strict=False):
                connection.ask(message)
        return InTurn(
            [
                on_the_wire(messages.retrieve(f"{content.OID}.2.{number}"))
                for number in range(new.first, new.first + _RETRIEVED)
            ]
        )

    def _asked(self, port: int) -> Iterator[tuple[str, Asking]]:
        for name, some in self._reads(self._engine.grown).items():
            yield name, InTurn(some)
        yield "ITI-41", self._new()
        yield "ITI-43", self._retrievals(port)

    # ---- measuring

    def _node(self, stack: ExitStack, url: str) -> tuple[int, Meter]:
        name = url.rpartition("/")[2].removesuffix(".db")
        port, process = stack.enter_context(
            servers.registry(
                url,
                self._folder / f"documents-{self._engine.name}-{name}",
                self._folder / f"{name}.log",
                workers=self._arguments.workers,
                threads=THREADS,
            )
        )
        return port, Meter(process.pid, *self._engine.pids())

    def _alone(self, port: int, meter: Meter, asked: Mapping[str, Asking]) -> dict[str, Any]:
        """One client that waits for each answer: figures by what was asked."""
        found = {}
        for name, asking in asked.items():
            found[name] = self._crowd.ask(port, asking, 1, self._arguments.seconds, meter).figures()
            _tell(f"  {name:20} {_line(found[name])}")
        return found

    def _together(
        self, port: int, meter: Meter, asked: Mapping[str, Asking]
    ) -> dict[str, list[dict[str, Any]]]:
        """More and more clients."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, asking in asked.items():
            for clients in self._arguments.clients:
                # What was submitted before would be known.
                asks = self._new() if isinstance(asking, EachNew) else asking
                load_ = self._crowd.ask(port, asks, clients, self._arguments.seconds, meter)
                found.setdefault(name, []).append(load_.figures())
                _tell(f"  {name:20} {clients:3} clients  {_line(found[name][-1])}")
        return found

    def _beside(self, port: int, meter: Meter, small: tuple[int, Meter]) -> list[dict[str, Any]]:
        """The largest registry and the smallest in turn, each asked about many and about few of its own."""
        engine = self._engine
        nodes = {engine.small: small, engine.grown: (port, meter)}
        reads = {url: self._reads(url) for url in nodes}
        found = []
        for name, of_small in reads[engine.small].items():
            of_grown = reads[engine.grown][name]
            for few in (False, True):
                asked = {engine.small: of_small, engine.grown: of_grown[: len(of_small)] if few else of_grown}
                loads = self._in_turn(nodes, asked)
                found.append(_compared(name, few, *(loads[url] for url in nodes)))
                _tell(f"  {name:20} {'few ' if few else 'many'}  {_ratios(found[-1])}")
        return found

    def _in_turn(
        self, nodes: Mapping[str, tuple[int, Meter]], asked: Mapping[str, list[bytes]]
    ) -> dict[str, list[Load]]:
        rounds = self._arguments.rounds
        loads: dict[str, list[Load]] = {url: [] for url in nodes}
        for number in range(rounds):
            # Whoever is first in one round is last in the next.
            for url in sorted(nodes, reverse=bool(number % 2)):
                port, meter = nodes[url]
                share = asked[url][number::rounds] if len(asked[url]) > 1_000 else asked[url]
                loads[url].append(self._crowd.ask(port, InTurn(share), 1, self._arguments.seconds / 2, meter))
        return loads


def _compared(name: str, few: bool, small: list[Load], grown: list[Load]) -> dict[str, Any]:
    figures: dict[str, Any] = {"name": name, "few": few}
    for which, loads in (("small", small), ("grown", grown)):
        ordered = sorted(each for load_ in loads for each in load_.times)
        figures[which] = {"requests": len(ordered)} | {
            f"p{part}": quantile(ordered, part) * 1000 for part in (50, 95, 99)
        }
    for part in (50, 95, 99):
        figures[f"ratio{part}"] = figures["grown"][f"p{part}"] / figures["small"][f"p{part}"]
        figures[f"rounds{part}"] = [
            quantile(sorted(after.times), part) / quantile(sorted(before.times), part)
            for before, after in zip(small, grown, strict=True)
        ]
    return figures


def _line(figures: Mapping[str, Any]) -> str:
    per_core = figures["per_core"]
    return (
        f"{figures['per_second']:8.0f}/s  p50 {figures['p50']:7.2f}  p95 {figures['p95']:7.2f}"
        f"  p99 {figures['p99']:7.2f} ms  {per_core or 0:7.0f} per core"
    )


def _ratios(figures: Mapping[str, Any]) -> str:
    return "  ".join(
        f"p{part} {figures['small'][f'p{part}']:.2f} -> {figures['grown'][f'p{part}']:.2f} ms, "
        f"{figures[f'ratio{part}']:.2f} (rounds {median(figures[f'rounds{part}']):.2f})"
        for part in (50, 99)
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _machine() -> dict[str, Any]:
    processor = ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        processor = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""
        )
    return {
        "processor": processor,
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory() / 2**30),
        "system": platform.system(),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000], help="documents at which it is measured"
    )
    parser.add_argument(
        "--sqlite-most", type=int, default=1_000_000, help="sizes beyond that are for PostgreSQL only"
    )
    parser.add_argument("--engines", nargs="+", choices=_ENGINES, default=list(_ENGINES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2, help="of the node")
    parser.add_argument("--rounds", type=int, default=10, help="turns between the largest and the smallest")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--masters", type=int, default=_MASTERS, help="different submissions of each kind")
    parser.add_argument(
        "--buffers", help="PostgreSQL's shared_buffers (default: an eighth of memory, 2 GB at most)"
    )
    parser.add_argument(
        "--json", type=Path, help="where the figures go (default: a new file in bench/results)"
    )
    parser.add_argument("--publish", type=Path, help="the folder in which page and charts are written anew")
    parser.add_argument("--of", type=Path, help="publish the figures of an earlier run, and measure nothing")
    arguments = parser.parse_args()
    arguments.sizes = sorted(set(arguments.sizes))
    return arguments


_ENGINES: Final = (OnPostgresql.name, OnSqlite.name)


def main() -> int:
    """Measure, and write down what was found."""
    arguments = _arguments()
    if arguments.of:
        report.publish(json.loads(arguments.of.read_text()), arguments.publish)
        return 0
    # Whoever ends it this way wants it gone, with all that it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: told to end"))
    now = datetime.now(UTC)
    buffers = arguments.buffers or f"{min(2048, _memory() // 2**23)}MB"
    figures: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": {"Python": platform.python_version(), "xds": version("xds")},
        "settings": {
            "workers": arguments.workers,
            "threads": THREADS,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
            "shared_buffers": buffers,
        },
        "engines": {},
    }
    path = arguments.json or _RESULTS / f"growth-{now:%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Crowd() as crowd:
        for name in arguments.engines:
            most = arguments.sqlite_most if name == OnSqlite.name else arguments.sizes[-1]
            sizes = [each for each in arguments.sizes if each <= most]
            if not sizes:
                continue
            with ExitStack() as stack:
                engine: Engine = (
                    OnPostgresql(stack, buffers) if name == OnPostgresql.name else OnSqlite(stack)
                )
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xds-bench-")))
                figures["engines"][name] = Growth(engine, crowd, arguments, folder).run(sizes)
                figures["versions"][name] = engine.version()
            # Now: an hour's figures need not go with what fails later.
            path.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.publish:
        report.publish(figures, arguments.publish)
    return 0


if __name__ == "__main__":
    sys.exit(main())
