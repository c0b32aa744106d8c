"""PostgreSQL goes away and comes back while a node runs: nobody has to touch the node."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
import urllib3

from tests import postgres
from tests.blackbox import messages as m
from tests.blackbox.state import counts
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node
from tests.waiting import eventually

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")


def _is_ready(node: Node) -> bool:
    try:
        return node.is_ready()
    except urllib3.exceptions.HTTPError:  # nobody listens yet
        return False


def test_a_node_outlives_its_database_even_when_a_worker_dies_meanwhile(
    new_node: Callable[..., Node],
) -> None:
    """While it is away the node says that it is busy; a new worker waits for it and does not give up."""
    with postgres.cluster() as server:
        node = new_node(store__database=server.url.replace("postgresql://", "postgresql+psycopg://"))
        first = m.Document(unique_id="2.25.77.1")
        assert send(node, m.mtom([first], "2.25.77.2")).outcome == SUCCESS
        server.stop()
        busy = send(node, m.plain(m.register([first], "2.25.77.3"), "ITI-42"), timeout=90)
        assert b"XDSRegistryBusy" in busy.body
        assert not node.is_ready()
        (worker,) = [each for each in node.workers() if "resource_tracker" not in " ".join(each.cmdline())]
        worker.kill()
        assert eventually(lambda: "waiting for the database" in node.log.read_text())
        server.start()
        assert eventually(lambda: _is_ready(node))
        assert send(node, m.mtom([m.Document(unique_id="2.25.77.4")], "2.25.77.5")).outcome == SUCCESS
        assert send(node, m.mtom_retrieve("2.25.77.1")).documents()["2.25.77.1"] == first.content
        node.stop()


def test_a_database_that_takes_no_writes_stores_nothing_and_comes_back(new_node: Callable[..., Node]) -> None:
    """Each request is busy, by its rule, and has left nothing behind; the same is taken afterwards."""
    with postgres.cluster() as server:
        url = server.url.replace("postgresql://", "postgresql+psycopg://")
        node = new_node(store__database=url)
        submission = m.mtom([m.Document(unique_id="2.25.78.1")], "2.25.78.2")
        before = {name: count for name, count in counts(node).items() if count}
        with psycopg.connect(f"{server.address}/postgres", autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
            assert eventually(lambda: not _is_ready(node))
            (error,) = send(node, submission).errors
            assert (error.code, error.rule) == ("XDSRepositoryBusy", "node-busy")
            assert {name: count for name, count in counts(node).items() if count} == before
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
        assert eventually(lambda: _is_ready(node))
        assert send(node, submission).outcome == SUCCESS
        node.stop()
