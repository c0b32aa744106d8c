"""A real streaming standby answers queries, and never with less than was acknowledged (decision 17).

Two `Database` objects that share nothing stand for two nodes behind a load balancer. That the replica
answered is read in its own log, which has every statement that it was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import text, update

from tests import postgres
from tests.access.house import ANNA, BO, House, citizen, doctor
from tests.access.people import pid
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node as RealNode
from tests.postgres import Cluster
from tests.registry.conftest import Desk
from tests.test_app import settings
from tests.waiting import eventually
from xds.config import check_to_serve, load
from xds.errors import SettingsError
from xds.metadata import names
from xds.metadata.confidentiality import Restriction
from xds.registry.queries import find_documents
from xds.store.database import Compiled, Database
from xds.store.schema import BLOCK, document_entry

FHIR_PATIENT = f"urn:oid:{m.AUTHORITY}%7C{m.NUMBER}"
ONE = Compiled("SELECT 1", (), {})
#: What a server has in its log of FindDocuments, and of nothing else that is asked of a replica.
ASKED = "document_entry.body"


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    with postgres.cluster(synchronous_commit="on") as one:
        yield one


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Cluster]:
    one = primary.standby("replica", log_statement="all")
    one.start()
    yield one
    one.stop()


_numbers = count(1)  # of documents, as nodes file them in one registry


class Node:
    """A database with a replica, and what answered each read."""

    def __init__(self, primary: Cluster, replica: str) -> None:
        self.answers: list[tuple[str, str]] = []
        self.database = Database(
            primary.url, 2, replica, lambda answered_by, reason: self.answers.append((answered_by, reason))
        )
        self.house = House(self.database)
        self.house.desk.replica = True
        self.house._numbers = _numbers

    def read(self) -> tuple[str, str]:
        """What answers a read, and the reason when it is not the replica."""
        assert self.database.fetch(ONE, {}, replica=True) == [(1,)]
        return self.answers[-1]

    def reads_there(self) -> bool:
        """Whether the replica answers."""
        return self.read() == ("replica", "")


@pytest.fixture
def nodes(primary: Cluster, standby: Cluster) -> Iterator[tuple[Node, Node]]:
    """Two nodes, on an empty registry that the standby has."""
    postgres.empty(primary.url)
    both = Node(primary, standby.url), Node(primary, standby.url)
    assert all(eventually(each.reads_there) for each in both)
    yield both
    standby.sql("SELECT pg_wal_replay_resume()")
    for each in both:
        each.database.close()


def titles(node: Node, who: object = None) -> list[str]:
    """What FindDocuments shows of Anna to herself, or to somebody else."""
    return node.house.seen(who or citizen(ANNA))  # type: ignore[arg-type]


def is_shown_there(node: Node, *expected: str) -> bool:
    """Whether the replica shows these. If it is behind again, as a server writes by itself now and then, the
    database shows the same.
    """
    assert titles(node) == list(expected)
    return node.answers[-1] == ("replica", "")


def test_queries_are_answered_by_the_replica_and_writes_are_not(
    nodes: tuple[Node, Node], standby: Cluster
) -> None:
    """FindDocuments is in the standby's own log; the document came by the primary."""
    node, other = nodes
    node.house.file("One")
    assert eventually(other.reads_there)
    before = standby.log().count(ASKED)
    assert eventually(lambda: is_shown_there(other, "One"))
    assert standby.log().count(ASKED) == before + 1
    assert "INSERT" not in standby.log()
    assert "privacy_setting" not in standby.log(), "what gate 2 decides by is asked of the database"


def test_what_was_acknowledged_is_found_at_once_on_every_node(
    nodes: tuple[Node, Node], standby: Cluster
) -> None:
    """The standby has stopped to replay: the database answers, on the node that wrote and on the other."""
    standby.sql("SELECT pg_wal_replay_pause()")
    for number, (writer, reader) in enumerate((nodes, nodes[::-1], (nodes[0], nodes[0])), 1):
        assert writer.house.file(str(number))
        assert titles(reader) == [str(each) for each in range(1, number + 1)]
        assert reader.answers[-1] == ("database", "behind")
    standby.sql("SELECT pg_wal_replay_resume()")
    assert all(eventually(each.reads_there) for each in nodes)
    assert eventually(lambda: is_shown_there(nodes[1], "1", "2", "3"))


def test_three_hundred_commits_are_each_found_by_the_next_query(nodes: tuple[Node, Node]) -> None:
    """Without anybody holding the standby up: whichever answers, it has the row that was committed before."""
    writer, reader = nodes
    statement = "SELECT count(*) FROM maintenance"
    reader.answers.clear()
    for number in range(1, 301):
        with writer.database.write() as connection:
            connection.execute(text(f"INSERT INTO maintenance (name, value) VALUES ('{number}', '')"))
        assert reader.database.fetch(Compiled(statement, (), {}), {}, replica=True) == [(number,)]
    assert {("replica", "")} <= set(reader.answers), "the standby has answered some of them"


def test_what_is_blocked_refused_or_merged_counts_at_once(nodes: tuple[Node, Node], standby: Cluster) -> None:
    """A setting, the codes of a document, and a merge, from the moment that they are acknowledged."""
    node, other = nodes
    node.house.file("Open")
    node.house.file("Of Bo", BO)
    assert eventually(other.reads_there)
    standby.sql("SELECT pg_wal_replay_pause()")
    assert titles(other, doctor()) == ["Open"]
    key = node.house.set(BLOCK, "personnel")
    assert titles(other, doctor()) == ["Sperret"]
    node.house.withdraw(key)
    assert titles(other, doctor()) == ["Open"]
    with node.database.write() as connection:  # the node's own column of what the codes of a document say
        connection.execute(update(document_entry).values(restrictions=int(Restriction.N | Restriction.NORS)))
    assert titles(other, doctor()) == ["Sperret"]
    node.house.merge(BO, ANNA)
    assert len(titles(other, doctor())) == 2
    node.house.unmerge(BO)
    assert len(titles(other, doctor())) == 1


def test_a_replica_that_is_killed_is_missed_by_nobody(
    nodes: tuple[Node, Node],
    standby: Cluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers go on; it is told once; when the replica is back it is used again, and that is told too."""
    caplog.set_level(logging.INFO, "xds")
    monkeypatch.setattr("xds.store.replica._TROUBLE_REST", 1.0)
    node, other = nodes
    node.house.file("One")
    assert eventually(other.reads_there)
    caplog.clear()
    standby.kill()
    assert [titles(other) for _ in range(3)] == [["One"]] * 3
    assert other.answers[-3:] == [("database", "away")] * 3
    node.house.file("Two")
    assert titles(other) == ["One", "Two"]
    standby.start()
    assert eventually(other.reads_there)
    assert eventually(lambda: is_shown_there(other, "One", "Two"))
    told = [record.getMessage() for record in caplog.records if "replica" in record.getMessage()]
    assert len(told) == 2
    assert "store.replica is not used: it cannot be reached" in told[0]
    assert told[1] == "store.replica is used again"


def test_a_failed_statement_is_answered_by_the_database(nodes: tuple[Node, Node]) -> None:
    """A standby cancels what stands in the way of its replay; it is asked again the next time."""
    failing = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 / (pg_backend_pid() - pg_backend_pid()) ELSE 2 END"
    node = nodes[0]
    assert node.database.fetch(Compiled(failing, (), {}), {}, replica=True) == [(2,)]
    assert node.answers[-1] == ("database", "failed")
    assert eventually(node.reads_there)


def _refused(primary: Cluster, replica: str) -> tuple[str, str]:
    """The reason for which a replica is not used, and what `xds check` says of it."""
    node = Node(primary, replica)
    answered_by, reason = node.read()
    assert answered_by == "database"
    trouble = node.database.trouble_of_replica()
    node.database.close()
    return reason, trouble


def test_what_is_no_copy_of_the_database_is_never_asked(primary: Cluster, standby: Cluster) -> None:
    """The database itself, another database of the standby, other tables, a cluster of others, nobody."""
    nobody = primary.url.replace(str(primary.port), "1")
    assert _refused(primary, primary.url)[0] == "primary"
    assert _refused(primary, standby.url.replace("xds_template", "postgres"))[0] == "other"
    assert _refused(primary, standby.url + "?options=-csearch_path%3Dpg_catalog")[0] == "other"
    assert _refused(primary, nobody) == ("away", "it cannot be reached (OperationalError)")
    with postgres.cluster() as stranger:
        own = stranger.standby("own")
        own.start()
        reason, trouble = _refused(primary, own.url)
        own.stop()
    assert (reason, trouble[:27]) == ("other", "it is no copy of store.data")


def test_a_replica_that_did_not_follow_a_failover_is_not_asked(primary: Cluster, standby: Cluster) -> None:
    """It may be further than the new primary, and on another course: positions cannot be compared."""
    new = primary.standby("promoted")
    new.start()
    new.promote()
    node = Node(new, standby.url)
    with node.database.write() as connection:
        connection.execute(text("INSERT INTO maintenance (name, value) VALUES ('only here', '')"))
    for number in range(50):  # the old course goes on, further than the new one
        primary.sql(f"INSERT INTO maintenance (name, value) VALUES ('old {number}', repeat('x', 9000))")
    position = new.sql("SELECT pg_current_wal_insert_lsn()")
    assert eventually(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() > '{position}'"))
    assert node.read() == ("database", "timeline")
    node.database.close()
    new.stop()


def test_without_a_primary_to_compare_with_nothing_is_read(primary: Cluster, standby: Cluster) -> None:
    """A database that is a standby itself tells no position: it answers alone, as it did before."""
    node = Node(standby, standby.url)
    assert node.read() == ("database", "standby")
    node.database.close()


def test_only_reads_that_allow_it_go_there(nodes: tuple[Node, Node]) -> None:
    """Whatever is judged before something is written is read where it is written."""
    node = nodes[0]
    desk = Desk(node.database)
    node.house.file("One")
    node.answers.clear()
    found = desk.ask(
        find_documents.ID,
        XDSDocumentEntryPatientId=f"'{pid(ANNA)}'",
        XDSDocumentEntryStatus=f"('{names.APPROVED}')",
    )
    assert len(found) == 1
    assert node.answers == []


def test_a_real_node_asks_it_counts_it_and_checks_it(
    primary: Cluster, standby: Cluster, tmp_path: Path
) -> None:
    """ITI-41, then ITI-18 and ITI-67: in `/metrics`, and `xds check` says whether it is fit."""
    node = RealNode(tmp_path, store__database=primary.url, store__replica=standby.url)
    try:
        node.start()
        document = m.Document()
        assert send(node, m.mtom([document])).outcome == SUCCESS

        def answered_by_the_replica() -> bool:
            found = send(node, m.plain(m.find_documents(), "ITI-18"))
            assert document.unique_id.encode() in found.body
            return b'xds_replica_reads_total{answered_by="replica",reason=""}' in _metrics(node)

        assert eventually(answered_by_the_replica)
        reads = standby.log().count(ASKED)
        searched = urllib3.request(
            "GET", f"{node.url}/fhir/DocumentReference?patient.identifier={FHIR_PATIENT}"
        )
        assert searched.status == 200, searched.data
        assert document.unique_id.encode() in searched.data
        assert standby.log().count(ASKED) > reads
        checked = node.command("check")
        assert (checked.returncode, "replica    has everything" in checked.stdout) == (0, True), checked
        standby.sql("SELECT pg_wal_replay_pause()")
        primary.sql("INSERT INTO maintenance (name, value) VALUES ('more', '')")
        checked = node.command("check")
        assert checked.returncode == 1
        assert "replica    not used, the database answers: it is behind the database" in checked.stdout
    finally:
        standby.sql("SELECT pg_wal_replay_resume()")
        node.stop()


def _metrics(node: RealNode) -> bytes:
    return bytes(urllib3.request("GET", node.url + "/metrics").data)


def test_a_replica_of_a_file_is_refused(tmp_path: Path) -> None:
    """By `xds check` and `xds serve`, before anything is opened."""
    given = settings(tmp_path, XDS_STORE__REPLICA="postgresql+psycopg://xds@127.0.0.1:1/xds")
    with pytest.raises(SettingsError, match=r"store\.replica is for PostgreSQL"):
        check_to_serve(load(None, given))
