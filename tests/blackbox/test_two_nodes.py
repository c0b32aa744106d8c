"""Two nodes over one PostgreSQL and one folder, with nginx in front: restarted one by one under load.

No request fails, nothing that was acknowledged is missing, and everything is on record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import urllib3

from tests import postgres
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nginx import balancer
from tests.nodes import Node

pytestmark = pytest.mark.slow
SECONDS = 12


class Load:
    """Threads that submit, search and fetch through the balancer until told to stop."""

    def __init__(self, port: int) -> None:
        self.url, self.port = f"http://127.0.0.1:{port}", port
        self.acknowledged: dict[str, bytes] = {}
        self.failed: list[str] = []
        self.searched = 0
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(own,)) for own in range(4)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for each in self._threads:
            each.join(60)

    def _work(self, own: int) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            content = f"document {own} {number}".encode() * 50
            document = m.Document(content=content)
            try:
                reply = send(self, m.mtom([document], m.new_oid()))
                if reply.status != 200 or reply.outcome != SUCCESS:
                    self._fail(f"ITI-41 {reply.status}")
                    continue
            except OSError as error:
                self._fail(f"ITI-41 {type(error).__name__}")
                continue
            with self._lock:
                self.acknowledged[document.unique_id] = content
            try:
                found = fhir(self.url, document.unique_id)
                if found["total"] != 1:
                    self._fail(f"not found by {document.unique_id}")
                with self._lock:
                    self.searched += 1
            except (urllib3.exceptions.HTTPError, AssertionError) as error:
                self._fail(f"ITI-67 {error}")

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failed.append(what)


def fhir(url: str, unique_id: str) -> Any:
    """The Bundle of a search for one document."""
    asked = "patient.identifier=urn:oid:2.16.578.1.12.4.1.4.1|17855599120"
    answer = urllib3.request(
        "GET",
        f"{url}/fhir/DocumentReference?{asked}&identifier=urn:oid:{unique_id}",
        retries=False,
        timeout=30,
    )
    assert answer.status == 200, answer.status
    return answer.json()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Two nodes of one database and one folder of documents."""
    url = postgres.new_database()
    some = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        some.append(
            Node(
                tmp_path / name,
                store__database=url,
                store__documents=f"file://{tmp_path / 'documents'}",
                node__name=name,
            )
        )
    for each in some:
        each.start(60)
    yield some
    for each in some:
        each.stop()


def test_nodes_are_restarted_one_by_one_under_load(nodes: list[Node], tmp_path: Path) -> None:
    """As an upgrade does it, twice round."""
    with balancer(tmp_path / "nginx", [each.port for each in nodes]) as port:
        with Load(port) as load:
            began = time.monotonic()
            for each in (*nodes, *nodes):
                time.sleep(1)
                each.stop()
                time.sleep(0.5)
                each.start(60)
            time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
        assert load.failed == []
        assert len(load.acknowledged) > 20
        for unique_id, content in load.acknowledged.items():
            for node in nodes:
                found = fhir(node.url, unique_id)
                own = found["entry"][0]["resource"]["id"]
            answer = urllib3.request("GET", f"http://127.0.0.1:{port}/fhir/Binary/{own}", retries=False)
            assert (answer.status, answer.data) == (200, content)
    said = nodes[0].command("log", "verify")
    assert said.returncode == 0, said.stdout
    listed = nodes[0].command("log", "--transaction", "ITI-67", "--limit", "100000", "--json").stdout
    assert len(listed.splitlines()) >= load.searched + 2 * len(load.acknowledged)
    print(f"{len(load.acknowledged)} submissions and {load.searched} searches, four restarts, none failed")
