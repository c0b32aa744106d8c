"""Mixed load on two nodes behind nginx, restarted in turn, with the database restarted in the middle.

`python -m bench.soak 30` runs for so many minutes and prints what it saw, with documents in one folder or,
with XDS_TEST_STORES=grown, in one bucket; tests/blackbox/test_two_nodes.py runs it for some seconds. Whoever
is told that the node is busy sends the same bytes again; anything else that is no answer is a failure. It
talks to 127.0.0.1 alone, and ends what it started by its id.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psutil
import urllib3

from tests import ceph, postgres, stores
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, Reply, Request, send
from tests.nginx import balancer
from tests.nodes import Node

THREADS: Final = 4
#: Documents asked for at once when all are looked for at the end.
AT_ONCE: Final = 100
#: How long one request may be sent again before it counts as failed, in seconds.
PATIENCE: Final = 90
_BUSY: Final = (b"XDSRegistryBusy", b"XDSRepositoryBusy")


@dataclass(slots=True)
class Seen:
    """Answers by transaction, repeats after "busy", failures, memory over each node's last life, and the
    seconds that the longest answer took.
    """

    answers: Counter[str] = field(default_factory=Counter)
    recorded: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    restarts: int = 0
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    longest: float = 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.answers.items()))
        memory = ", ".join(f"{first:.0f} to {last:.0f}" for first, last in self.memory)
        return (
            f"{counts}; {self.restarts} restarts; {self.busy} repeats; "
            f"{len(self.failed)} failed; {len(self.lost)} lost; MiB {memory}"
        )


class Load:
    """Threads that submit a document, find it over FHIR and by ITI-18, and fetch it, until told to stop."""

    def __init__(self, port: int, seen: Seen) -> None:
        self.port, self.seen = port, seen
        self.acknowledged: dict[str, str] = {}
        self._http = urllib3.PoolManager(maxsize=THREADS)
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(own,)) for own in range(THREADS)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for each in self._threads:
            each.join(PATIENCE + 60)
            assert not each.is_alive()

    def _work(self, own: int) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            content = f"document {own} {number} ".encode() * (1 + number % 7 * 1000)
            document = m.Document(content=content)
            submission = m.mtom([document], m.new_oid())
            if not self._ask("ITI-41", lambda sent=submission: self._soap(sent, _succeeded)):
                continue
            with self._lock:
                self.acknowledged[document.unique_id] = hashlib.sha256(content).hexdigest()
            name = document.unique_id
            self._ask("ITI-67", lambda name=name: self._search(name))
            found = m.plain(m.get_documents(name), "ITI-18")
            self._ask("ITI-18", lambda sent=found, name=name: self._soap(sent, lambda it: _lists(it, [name])))
            fetched = m.mtom_retrieve(name)
            self._ask(
                "ITI-43",
                lambda sent=fetched, name=name, content=content: self._soap(
                    sent, lambda it: it.documents() == {name: content}
                ),
            )

    def _ask(self, transaction: str, attempt: Callable[[], bool]) -> bool:
        """Try until there is an answer: False is "busy", and any other answer than was expected is raised."""
        begun = time.monotonic()
        while True:
            try:
                answered = attempt()
            except Exception as error:
                return self._failed(f"{transaction} {type(error).__name__} {error}")
            if answered:
                with self._lock:
                    self.seen.answers[transaction] += 1
                    self.seen.longest = max(self.seen.longest, time.monotonic() - begun)
                return True
            if time.monotonic() > begun + PATIENCE:
                return self._failed(f"{transaction} was busy too long")
            with self._lock:
                self.seen.busy += 1
            time.sleep(0.2)

    def _failed(self, what: str) -> bool:
        with self._lock:
            self.seen.failed.append(what[:300])
        return False

    def _soap(self, request: Request, is_good: Callable[[Reply], bool]) -> bool:
        reply = send(self, request, PATIENCE)
        if any(each in reply.body for each in _BUSY):
            return False
        if not is_good(reply):
            raise AssertionError(f"{reply.status} {reply.body[-300:]!r}")
        return True

    def _search(self, unique_id: str) -> bool:
        answer = self._http.request(
            "GET",
            f"http://127.0.0.1:{self.port}/fhir/DocumentReference"
            f"?patient.identifier=urn:oid:{m.AUTHORITY}|{m.NUMBER}&identifier=urn:oid:{unique_id}",
            retries=False,
            timeout=PATIENCE,
        )
        if answer.status == 503:
            return False
        if answer.status != 200 or answer.json()["total"] != 1:
            raise AssertionError(f"{answer.status} {answer.data[-300:]!r}")
        return True


def _succeeded(reply: Reply) -> bool:
    return reply.status == 200 and reply.outcome == SUCCESS


def _lists(reply: Reply, names: list[str]) -> bool:
    return reply.outcome == SUCCESS and all(each.encode() in reply.body for each in names)


def run(folder: Path, seconds: float) -> Seen:
    """Load for about so long; needs PostgreSQL and nginx, else the test or the bench is skipped."""
    seen = Seen()
    with postgres.cluster() as cluster:
        shared = {"store__database": cluster.url}
        shared |= stores.settings(folder, shared)
        nodes = [_node(folder, name, shared) for name in ("one", "two")]
        try:
            for each in nodes:
                each.start()
            with balancer(folder / "nginx", [each.port for each in nodes]) as port, Load(port, seen) as load:
                _disturb(cluster, nodes, seen, seconds)
            look_for_all(nodes, load.acknowledged, seen)
            count_recorded(nodes[0], seen)
        finally:
            for each in nodes:
                each.stop()
    return seen


def _node(folder: Path, name: str, shared: dict[str, object]) -> Node:
    own = folder / name
    own.mkdir()
    work = {"store__work": f"file://{own / 'documents'}"} if "store__work" in shared else {}
    return Node(own, **(shared | work), node__name=name)


def _disturb(cluster: postgres.Cluster, nodes: list[Node], seen: Seen, seconds: float) -> None:
    """Four restarts of a node, then the database's, two more, and quiet to see the memory."""
    step = seconds / 12
    for each in (*nodes, *nodes):
        time.sleep(step)
        _restart(each, seen)
    time.sleep(step)
    cluster.stop()
    time.sleep(1)
    cluster.start()
    for each in nodes:
        time.sleep(step)
        _restart(each, seen)
    time.sleep(step)
    before = [_memory(each) for each in nodes]
    time.sleep(step * 4)
    seen.memory = list(zip(before, (_memory(each) for each in nodes), strict=True))


def _restart(node: Node, seen: Seen) -> None:
    node.stop()
    time.sleep(0.3)
    node.start()
    seen.restarts += 1


def _memory(node: Node) -> float:
    """MiB of its workers together."""
    return sum(psutil.Process(each.pid).memory_info().rss for each in node.workers()) / 2**20


def look_for_all(nodes: list[Node], acknowledged: dict[str, str], seen: Seen) -> None:
    """Each node lists and hands out each document, byte by byte."""
    names = list(acknowledged)
    for node in nodes:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            if not _lists(
                send(
                    node,
                    m.plain(
                        m.query(
                            m.GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": [f"('{each}')" for each in some]}
                        ),
                        "ITI-18",
                    ),
                ),
                some,
            ):
                seen.lost += [f"not listed, one of {some[0]} and those that follow"]
            got = send(node, m.mtom_retrieve(*some)).documents()
            seen.lost += [
                each for each in some if hashlib.sha256(got.get(each, b"")).hexdigest() != acknowledged[each]
            ]


def count_recorded(node: Node, seen: Seen) -> None:
    """Events of the access log by transaction, and that its chain holds."""
    said = node.command("log", "verify", timeout=900)
    if said.returncode != 0:
        seen.lost.append(f"the log does not verify: {said.stdout[-300:]}")
    for transaction in seen.answers:
        listed = node.command(
            "log", "--transaction", transaction, "--limit", "100000000", "--json", timeout=900
        ).stdout
        seen.recorded[transaction] = len(listed.splitlines())


def failures(seen: Seen) -> list[str]:
    """What must not have happened; empty when all is well."""
    found = [*seen.failed[:20], *seen.lost[:20]]
    found += [
        f"{count} answers of {name}, {seen.recorded[name]} in the log"
        for name, count in seen.answers.items()
        if seen.recorded[name] < count
    ]
    return found


def main(minutes: float) -> None:
    """Print what was seen; status 1 if something was wrong."""
    ceph.KEPT.configure(None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            seen = run(Path(folder), minutes * 60)
    finally:
        ceph.KEPT.unconfigure(None)
    print(seen)
    sys.exit("\n".join(failures(seen)) or 0)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
