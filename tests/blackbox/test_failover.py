"""The database server is killed under load, and comes back or is followed by its standby (decision 9).

The servers sync to disk, as in production. What was acknowledged is there afterwards, what was not is told as
busy, and nobody touches the node meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import postgres
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node
from tests.postgres import Cluster
from tests.waiting import eventually

pytestmark = pytest.mark.grown

#: As a server is that must not forget: tests/postgres.py sets the opposite.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
BUSY = {"XDSRegistryBusy", "XDSRepositoryBusy"}
SENDERS = 4


class Load:
    """Senders that each provide one document after another (ITI-41); what they were told."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]
        self.acknowledged: list[m.Document] = []
        self.refused: list[str] = []
        self.strange: list[str] = []

    def _run(self) -> None:
        while not self._end.is_set():
            document = m.Document(content=m.new_oid().encode())
            try:
                reply = send(self._node, m.mtom([document]), timeout=90)
                if reply.outcome == SUCCESS:
                    self.acknowledged.append(document)
                else:
                    self.refused += {each.code for each in reply.errors}
                    time.sleep(0.05)
            except Exception as error:  # no answer, or none that can be read
                self.strange.append(repr(error))
                return

    @contextmanager
    def running(self) -> Iterator[None]:
        for each in self._threads:
            each.start()
        try:
            yield
        finally:
            self._end.set()
            for each in self._threads:
                each.join()

    def goes_on(self) -> bool:
        """Whether as many as there are senders are acknowledged from now on, and twice."""
        enough = len(self.acknowledged) + 2 * SENDERS
        return eventually(lambda: len(self.acknowledged) >= enough or bool(self.strange))


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with postgres.cluster(**DURABLE) as one:
        yield one


def _is_whole(node: Node, load: Load) -> None:
    """What was acknowledged is found and fetched, each once; nobody met anything but success or busy."""
    assert load.strange == []
    assert set(load.refused) <= BUSY
    assert load.refused, "somebody was told that the database is busy"
    wanted = {each.unique_id: each.content for each in load.acknowledged}
    assert len(wanted) >= 4 * SENDERS
    asked = {"$XDSDocumentEntryUniqueId": [f"('{each}')" for each in wanted]}
    found = send(node, m.plain(m.query(m.GET_DOCUMENTS, asked, "ObjectRef"), "ITI-18"), timeout=90)
    assert found.outcome == SUCCESS
    assert found.body.count(b"<rim:ObjectRef ") == len(wanted)
    assert send(node, m.mtom_retrieve(*wanted), timeout=90).documents() == wanted


def _processes(node: Node) -> list[int]:
    return sorted((node.pid, *(each.pid for each in node.workers())))


def test_a_standby_takes_over_and_nothing_acknowledged_is_lost(primary: Cluster, tmp_path: Path) -> None:
    """The primary is killed, its synchronous standby promoted: the node finds it by itself."""
    standby = primary.standby("standby")
    standby.start()
    # Within the primary only: the standby, once promoted, waits for nobody.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    primary.sql("SELECT pg_reload_conf()")
    assert eventually(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync")
    name = primary.url.rpartition("/")[2]
    hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (primary, standby))
    node = Node(
        tmp_path,
        store__database=f"postgresql+psycopg://xds@/{name}?{hosts}&target_session_attrs=read-write",
    )
    _run(node, primary.kill, standby.promote)
    assert standby.sql("SELECT pg_is_in_recovery()") is False
    standby.stop()


def test_a_killed_server_that_is_started_again_has_lost_nothing(primary: Cluster, tmp_path: Path) -> None:
    """It recovers from its log: no standby, no backup, no hand on the node."""
    _run(Node(tmp_path, store__database=primary.url), primary.kill, primary.start)
    assert "database system was not properly shut down; automatic recovery" in primary.log()


def _run(node: Node, kill: Callable[[], None], mend: Callable[[], None]) -> None:
    """A node under load whose server is killed, and then the other one or the same is there."""
    node.start()
    try:
        before = _processes(node)
        load = Load(node)
        with load.running():
            assert load.goes_on()
            kill()
            assert eventually(lambda: bool(load.refused or load.strange))
            mend()
            assert load.goes_on()
        _is_whole(node, load)
        assert eventually(node.is_ready)
        assert _processes(node) == before, "nobody has restarted it"
    finally:
        node.stop()
