"""The command of `make bench`: fills a registry, starts the servers, measures, prints and writes JSON.

It must never leave a process or a folder behind, nor say a host name or a path in its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import access, content, floor, gateway, handing_on, messages, mhd, servers
from bench.measure import Act, Case, Result, compare, in_turn, measure, same
from bench.messages import Request
from bench.servers import Connection, on_the_wire
from xds.demo.tickets import TicketService
from xds.transport.soap import WSSE

_RESULTS: Final = Path(__file__).parent / "results"
_PACKAGES: Final = ("xds", "falcon", "granian", "lxml", "python-multipart", "sqlalchemy", "zstandard")
_DOCUMENT_BYTES: Final = 200_000
#: Patients and documents that are asked about in turn, so that no answer is of one row that is always hot.
_VARIETY: Final = 50
#: Above every number that content.py gives away: patients and documents of this run.
_OWN: Final = 50_000_000


def _asked(connection: Connection, message: bytes) -> None:
    if b"ResponseStatusType:Success" not in bytes(connection.ask(message)[:4096]):
        raise RuntimeError("a node refused a request")


class Bench:
    """A node, a do-nothing application and a database of each kind, and the cases made of them."""

    def __init__(self, filled: content.Filled, folder: Path, stack: ExitStack) -> None:
        self._filled = filled
        self._database, self._copy = folder / "node.db", folder / "floor.db"
        for path in (self._database, self._copy):
            shutil.copyfile(filled.path, path)
        self._documents, self._files = folder / "documents", folder / "files"
        self._files.mkdir()
        node = stack.enter_context(servers.node(self._database, self._documents, folder / "node.log"))
        nothing = stack.enter_context(servers.nothing(folder / "nothing.log"))
        self._service = TicketService(folder / "tickets")
        guarded = stack.enter_context(
            servers.node(self._database, self._documents, folder / "guarded.log", self._service.trust)
        )
        self._nothing_port = nothing
        self._node, self._nothing = Connection(node), Connection(nothing)
        stack.callback(self._node.close)
        stack.callback(self._nothing.close)
        self._stack, self._guarded_port, self._folder = stack, guarded, folder
        self._of_log: dict[bool, Connection] = {}
        self._ports: dict[bool, int] = {}
        self._reader = floor.reader(self._database)
        stack.callback(self._reader.close)
        self._chance = random.Random(2)
        self._document = self._chance.randbytes(_DOCUMENT_BYTES)
        self._numbers = iter(range(_OWN, 10 * _OWN))

    def cases(self) -> Iterator[Case]:
        """Every row of the table; each is made when it is its turn."""
        for size in sorted(content.SHARES):
            patients = self._filled.patients[size][:_VARIETY]
            arguments = [(pid,) for pid in patients]
            yield self._query(
                f"FindDocuments, {size}", size, [*map(messages.find, patients)], floor.FIND, arguments
            )
        for count in (1, 10):
            uuids = self._uuids(count)
            requests = [messages.get([_urn(each) for each in some]) for some in uuids]
            sql = floor.get_sql(count)
            yield self._query(f"GetDocuments, {count} uuid{'s' * (count > 1)}", count, requests, sql, uuids)
        yield self._provide()
        yield self._retrieve()

    def tickets(self) -> dict[str, Act]:
        """FindDocuments, 50: without a ticket, with the same one for a patient, with a new one each time."""
        # Only now: a node ends connections that say nothing for a minute.
        self._guarded = Connection(self._guarded_port)
        self._stack.callback(self._guarded.close)
        pids = self._filled.patients[50][:_VARIETY]

        def asking(pid: str) -> bytes:
            """With a new ticket, which is for this patient alone."""
            ticket = self._service.saml("personnel", patient=pid)
            security = f'<o:Security xmlns:o="{WSSE}" s:mustUnderstand="1">{ticket}</o:Security>'
            return on_the_wire(messages.find(pid, security))

        fresh = map(asking, in_turn(pids))
        repeated = [*map(asking, pids)]
        return {
            "no ticket": self._asking([*map(messages.find, pids)]),
            "the same ticket": (in_turn(repeated), self._ask_guarded),
            "a new ticket": (fresh, self._ask_guarded),
        }

    def recorded(self) -> dict[str, Act]:
        """FindDocuments with tickets, of nodes without and with an access log; small and large answers."""
        for recorded in (False, True):
            database = self._folder / f"recorded-{recorded}.db"
            shutil.copyfile(self._filled.path, database)
            port = self._stack.enter_context(
                servers.node(
                    database,
                    self._documents,
                    self._folder / f"recorded-{recorded}.log",
                    self._service.trust,
                    recorded=recorded,
                )
            )
            self._of_log[recorded] = Connection(port)
            self._stack.callback(self._of_log[recorded].close)
            self._ports[recorded] = port
        return {
            f"{size} documents, {'with' if recorded else 'without'}": (
                in_turn(self._with_tickets(size)),
                partial(self._ask_of_log, recorded),
            )
            for size in (50, 500)
            for recorded in (False, True)
        }

    def traced(self) -> dict[str, Act]:
        """FindDocuments with tickets, of nodes that make no spans, and that send all to a receiver."""
        acts: dict[str, Act] = {}
        for name, spans in (("no spans", 0), ("spans of every request", self._nothing_port)):
            database = self._folder / f"traced-{spans}.db"
            shutil.copyfile(self._filled.path, database)
            log = self._folder / f"traced-{spans}.log"
            port = self._stack.enter_context(
                servers.node(database, self._documents, log, self._service.trust, spans=spans)
            )
            connection = Connection(port)
            self._stack.callback(connection.close)
            acts[name] = (in_turn(self._with_tickets(50)), partial(_asked, connection))
        return acts

    def _with_tickets(self, size: int) -> list[bytes]:
        """One ticket for each patient, which is used again and again."""
        found = []
        for pid in self._filled.patients[size][:_VARIETY]:
            ticket = self._service.saml("personnel", patient=pid)
            security = f'<o:Security xmlns:o="{WSSE}" s:mustUnderstand="1">{ticket}</o:Security>'
            found.append(on_the_wire(messages.find(pid, security)))
        return found

    def _ask_of_log(self, recorded: bool, message: bytes) -> None:
        _asked(self._of_log[recorded], message)

    def under_load(self, seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
        """The same of eight connections at once: requests/s, and how many times fewer with a log."""
        rates: dict[bool, list[float]] = {False: [], True: []}
        requests = self._with_tickets(50)
        for _ in range(rounds):
            for recorded, rate in rates.items():
                rate.append(servers.rate(self._ports[recorded], requests, 8, seconds / rounds))
        ratio = median(a / b for a, b in zip(rates[False], rates[True], strict=True))
        return {"without": (median(rates[False]), 1.0), "with": (median(rates[True]), ratio)}

    def access(self) -> dict[str, Act]:
        """FindDocuments, 500, in process: without access rules, and as callers whom they are about."""
        acts, end = access.acts(self._copy, self._filled.patients[500][:_VARIETY])
        self._stack.callback(end)
        return acts

    def _query(self, name: str, count: int, requests: list[Request], sql: str, arguments: list[Any]) -> Case:
        reply = self._checked(requests[0])
        if reply.count(b"<rim:ExtrinsicObject ") != count:
            raise RuntimeError(f"{name}: the node found another number of documents")
        return Case(
            name,
            self._asking(requests),
            {
                "parse": (in_turn([each.xml for each in requests]), floor.parse),
                "sql": (in_turn(arguments), lambda values: floor.select(self._reader, sql, values)),
                "http": self._sending(requests[0], len(reply)),
            },
        )

    def _uuids(self, count: int) -> list[list[bytes]]:
        """UUIDs of `count` documents of one patient, for several patients."""
        pids = self._filled.patients[50][:_VARIETY]
        return [[row[0] for row in floor.select(self._reader, floor.FIND, (pid,))][:count] for pid in pids]

    def _provide(self) -> Case:
        first = self._new()
        reply = self._checked(first)
        unique_id = f"{content.entry('', _OWN, self._chance).unique_id}"
        insert = floor.inserter(self._database, self._copy, unique_id)
        return Case(
            "ITI-41, 200 kB",
            ((on_the_wire(self._new()) for _ in iter(int, 1)), self._ask),
            {
                "parse": (same(first.xml), floor.parse),
                "sql": (same(None), lambda _: insert()),
                "file": (same(self._document), lambda bytes_: floor.write_file(self._files, bytes_)),
                "http": self._sending(first, len(reply)),
            },
        )

    def _retrieve(self) -> Case:
        unique_ids = []
        for _ in range(10):
            request = self._new()
            self._checked(request)
            unique_ids.append(content.entry("", self._last, self._chance).unique_id)
        requests = [*map(messages.retrieve, unique_ids)]
        reply = self._checked(requests[0])
        if self._document not in reply:
            raise RuntimeError("the node gave back another document")
        return Case(
            "ITI-43, 200 kB",
            self._asking(requests),
            {
                "parse": (in_turn([each.xml for each in requests]), floor.parse),
                "sql and file": (
                    in_turn(unique_ids),
                    lambda each: floor.retrieve(self._reader, self._documents, each),
                ),
                "http": self._sending(requests[0], len(reply)),
            },
        )

    def _new(self) -> Request:
        """A submission that nobody has made, for a patient without any; its number is kept in `_last`."""
        self._last = next(self._numbers)
        return messages.provide(content.pid(self._last), self._last, self._document, self._chance)

    def _checked(self, request: Request) -> bytes:
        reply = bytes(self._node.ask(on_the_wire(request)))
        if b"ResponseStatusType:Success" not in reply[:4096]:
            raise RuntimeError(f"the node refused a request: {reply[:2000].decode(errors='replace')}")
        return reply

    def _asking(self, requests: list[Request]) -> tuple[Iterator[bytes], Callable[[bytes], object]]:
        return in_turn([*map(on_the_wire, requests)]), self._ask

    def _ask(self, message: bytes) -> None:
        # A find in the first bytes is all the judging that costs nothing.
        reply = self._node.ask(message)
        if b"ResponseStatusType:Success" not in bytes(reply[:4096]):
            raise RuntimeError("the node refused a request")

    def _ask_guarded(self, message: bytes) -> None:
        if b"ResponseStatusType:Success" not in bytes(self._guarded.ask(message)[:4096]):
            raise RuntimeError("the node with tickets refused a request")

    def _sending(
        self, request: Request, reply_bytes: int
    ) -> tuple[Iterator[bytes], Callable[[bytes], object]]:
        return same(on_the_wire(request, reply_bytes)), self._nothing.ask


def _urn(value: bytes) -> str:
    text = value.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_HEAD: Final = f"{'':22}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'floor ms':>10}{'ratio':>7}   floor is"


def _line(result: Result) -> str:
    parts = " + ".join(f"{name} {value:.2f}" for name, value in result.parts.items())
    return (
        f"{result.name:22}{result.per_second:11.0f}{result.p50:9.2f}{result.p99:9.2f}"
        f"{result.floor:10.2f}{result.ratio:7.2f}   {parts}"
    )


def _gateway_lines(found: gateway.FanOuts) -> str:
    latency = f"{gateway.LATENCY * 1000:.0f} ms"
    head = f"FindDocuments over {gateway.COMMUNITIES} communities, ms"
    lines = [f"\n{head:42}{'0 ms':>10}{latency:>10}{'latencies':>12}"]
    for name, (without, with_it), latencies in (
        ("one request", found.alone, found.latencies[0]),
        (f"{gateway.CLIENTS} at the same time, until the last", found.together, found.latencies[1]),
    ):
        lines.append(f"{name:42}{without:10.1f}{with_it:10.1f}{latencies:12.2f}")
    own, others = found.cpu
    lines.append(f"processor time for each: gateway {own:.1f} ms, the communities together {others:.1f} ms")
    return "\n".join(lines)


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000, help="documents in the registry, about")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of the node's time for each row")
    parser.add_argument("--rounds", type=int, default=10, help="turns between node and floor")
    parser.add_argument("--quick", action="store_true", help="1000 documents, 1 second: to see that it works")
    parser.add_argument(
        "--json", type=Path, help="where the figures go (default: a new file in bench/results)"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.documents, arguments.seconds, arguments.rounds = 1_000, 1.0, 3
    return arguments


def main() -> int:
    """Measure everything once."""
    arguments = _arguments()
    now = datetime.now(UTC)
    figures: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: version(name) for name in _PACKAGES},
        },
        "machine": _machine(),
        "settings": {"workers": servers.WORKERS, "threads": servers.THREADS, "connections": 1},
    }
    filled = content.filled(arguments.documents)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="xds-bench-") as folder, ExitStack() as stack:
        bench = Bench(filled, Path(folder), stack)
        print(f"A registry of {filled.documents:,} documents; one connection.\n{_HEAD}", flush=True)
        for case in bench.cases():
            results.append(measure(case, arguments.seconds, arguments.rounds))
            print(_line(results[-1]), flush=True)
        compared = {}
        for what, title, acts in (
            ("tickets", "FindDocuments, 50", bench.tickets),
            ("access", "FindDocuments, 500", bench.access),
            ("log", "FindDocuments, access log", bench.recorded),
            ("spans", "FindDocuments, 50", bench.traced),
        ):
            compared[what] = compare(acts(), arguments.seconds, arguments.rounds)
            print(f"\n{title:26}  p50 ms  ratio")
            for name, (p50, ratio) in compared[what].items():
                print(f"{name:26}{p50:8.2f}{ratio:7.2f}", flush=True)
        compared["log under load"] = bench.under_load(arguments.seconds, min(arguments.rounds, 5))
        print("\nFindDocuments, 50, access log, eight connections    requests/s  ratio")
        for name, (per_second, ratio) in compared["log under load"].items():
            print(f"{name:52}{per_second:10.0f}{ratio:7.2f}", flush=True)
        large = min(mhd.LARGE, arguments.documents * 10)
        compared["FHIR"] = mhd.pages(Path(folder), large, arguments.seconds, arguments.rounds)
        print("\nITI-67, a page of 50        p50 ms  ratio")
        for name, (p50, ratio) in compared["FHIR"].items():
            print(f"{name:26}{p50:8.2f}{ratio:7.2f}", flush=True)
        walked, grown = mhd.walked(Path(folder), large)
        figures["FHIR, all pages"] = {"pages": walked, "memory": grown}
        print(f"All of them in {walked} pages: memory of the node {grown / 2**20:+.1f} MiB", flush=True)
        handed_on = handing_on.events_per_second(Path(folder))
        print(f"\nAuditEvents handed on to a receiver on this machine: {handed_on:.0f}/s", flush=True)
        figures["events handed on per second"] = handed_on
        fan_outs = gateway.fan_outs(Path(folder), min(arguments.rounds, 7))
        print(_gateway_lines(fan_outs), flush=True)
        figures["fan-outs"] = asdict(fan_outs)
    figures |= {
        "documents": filled.documents,
        "results": [asdict(each) for each in results],
        **{
            what: {name: {"p50": p50, "ratio": ratio} for name, (p50, ratio) in rows.items()}
            for what, rows in compared.items()
        },
    }
    path = arguments.json or _RESULTS / f"{now:%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
