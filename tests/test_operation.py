"""What operators see and set: requests counted, the log as JSON, a node that takes nothing in."""

from __future__ import annotations

import fcntl
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import urllib3

from tests import postgres
from tests.blackbox import messages as m
from tests.blackbox.test_remove_documents import submit
from tests.blackbox.wire import SUCCESS, send
from tests.gateway.region import Region
from tests.nodes import Node
from xds.demo.tickets import TicketService
from xds.metrics import Counts

FIND = "/fhir/DocumentReference?patient.identifier=urn:oid:2.16.578.1.12.4.1.4.1|17855599120"


def get(node: Node, path: str) -> urllib3.BaseHTTPResponse:
    """One request on a connection of its own, so that any worker may answer."""
    with urllib3.PoolManager() as pool:
        return pool.request("GET", node.url + path, retries=False)


def counts(node: Node) -> dict[tuple[str, str], float]:
    """(transaction, outcome) -> requests so far."""
    text = get(node, "/metrics").data.decode()
    found = re.findall(r"xds_request_seconds_count\{(.+?)\} ([0-9.]+)", text)
    return {
        tuple(
            dict(re.findall(r'(\w+)="([^"]*)"', labels))[name] for name in ("transaction", "outcome")
        ): float(value)
        for labels, value in found
    }


def test_requests_are_counted_for_all_workers_together(new_node: Callable[..., Node]) -> None:
    """By transaction and how they ended, whoever answers; and how long they took."""
    node = new_node(node__workers=2)
    submit(node, m.Document())
    for _ in range(20):
        assert get(node, FIND).status == 200
    assert get(node, "/fhir/DocumentReference").status == 400
    assert get(node, "/fhir/Binary/00000000-0000-4000-8000-000000000000").status == 404
    for _ in range(3):
        found = counts(node)
        assert found["ITI-67", "success"] == 20
        assert found["ITI-67", "refused"] == 1
        assert found["ITI-68", "refused"] == 1
        assert found["ITI-41", "success"] == 1
    text = get(node, "/metrics").data.decode()
    assert 'xds_request_seconds_bucket{le="+Inf",outcome="success",transaction="ITI-67"} 20.0' in text


def test_a_broken_request_is_counted_under_what_it_was() -> None:
    """One that never said what it was, too."""
    counted = Counts()
    counted.ended("", "fault", 0.2)
    counted.ended("ITI-18", "success", 0.02)
    text = counted.text()
    assert 'xds_request_seconds_count{outcome="fault",transaction="unknown"} 1.0' in text
    assert 'xds_request_seconds_bucket{le="0.025",outcome="success",transaction="ITI-18"} 1.0' in text


def metrics(node: Node) -> dict[str, float]:
    """Every sample as it is written, `name{labels}` -> value."""
    lines = get(node, "/metrics").data.decode().splitlines()
    return {
        name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")
    }


def eventually(node: Node, **expected: float) -> None:
    """The samples come to have these values; `_` begins the name of a state of the writers' pool."""
    names = {f'xds_database_pool{{pool="writers",state="{each}"}}': value for each, value in expected.items()}
    deadline = time.monotonic() + 20
    while (found := {name: metrics(node).get(name) for name in names}) != names:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_denials_are_counted_by_gate_and_rule(tmp_path: Path, new_node: Callable[..., Node]) -> None:
    """For all workers together, over SOAP and FHIR; whom the request was about is nowhere."""
    service = TicketService(tmp_path / "tickets")
    region = Region(service, new_node, tmp_path)
    node = region.node("2.16.578.1.12.4.5.100.9", node__workers=2)
    for _ in range(7):
        assert region.ask(node, "/xds/registry", "ITI-18", m.find_documents(), ticket="").fault
    old = region.ticket(now=datetime.now(UTC) - timedelta(hours=3))
    assert region.ask(node, "/xds/registry", "ITI-18", m.find_documents(), ticket=old).fault
    assert get(node, FIND).status == 401
    other = region.ask(node, "/xds/registry", "ITI-18", m.find_documents(m.OTHER))
    assert other.errors[0].rule == "access-patient"
    token = service.token(machine=True, scopes=["xds:audit/read-all"])
    proof = service.proof("GET", (node.url + FIND).partition("?")[0], token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    assert urllib3.request("GET", node.url + FIND, headers=headers, retries=False).status == 403
    assert region.ask(node, "/xds/registry", "ITI-18", m.find_documents()).outcome == SUCCESS
    for _ in range(4):  # whichever worker answers
        denials = {name: value for name, value in metrics(node).items() if "denials" in name}
        assert denials == {
            'xds_gate_denials_total{gate="ticket",rule="ticket-missing"}': 7,
            'xds_gate_denials_total{gate="ticket",rule="ticket-expired"}': 1,
            'xds_gate_denials_total{gate="ticket",rule="token-missing"}': 1,
            'xds_gate_denials_total{gate="access",rule="access-patient"}': 1,
            'xds_gate_denials_total{gate="access",rule="access-policy"}': 1,
        }
    assert m.NUMBER not in get(node, "/metrics").data.decode()


def test_what_is_arriving_is_measured(new_node: Callable[..., Node]) -> None:
    """Files in staging and their bytes, while a document is on its way and no longer."""
    node = new_node()
    idle = metrics(node)
    assert (idle["xds_staging_files"], idle["xds_staging_bytes"]) == (0, 0)
    request = m.mtom([m.Document(content=bytes(1_000_000))])
    body = request.body if isinstance(request.body, bytes) else b"".join(request.body)
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        head = f"POST {request.path} HTTP/1.1\r\nHost: n\r\nContent-Type: {request.content_type}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:600_000])
        deadline = time.monotonic() + 20
        while metrics(node)["xds_staging_bytes"] < 300_000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert metrics(node)["xds_staging_files"] == 1
        connection.sendall(body[600_000:])
        assert b" 200 OK" in connection.recv(65536)
    ended = metrics(node)
    assert (ended["xds_staging_files"], ended["xds_staging_bytes"]) == (0, 0)


@contextmanager
def sending(node: Node, count: int) -> Iterator[None]:
    """So many submissions at once, which all succeed when the block has ended."""
    outcomes: list[str] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(send(node, m.mtom([m.Document()])).outcome))
        for _ in range(count)
    ]
    for each in threads:
        each.start()
    yield
    for each in threads:
        each.join()
    assert outcomes == [SUCCESS] * count


@pytest.mark.embedded
def test_writers_that_wait_for_sqlite_are_told(new_node: Callable[..., Node]) -> None:
    """One is at the pen, or first in line for it; readers are not bounded, so none is told to be free."""
    node = new_node()
    assert 'xds_database_pool{pool="readers",state="free"}' not in metrics(node)
    eventually(node, in_use=0, free=1, waiting=0)
    lock = f"{node.database_url.removeprefix('sqlite:///')}.lock"
    with sending(node, 3), open(lock, "ab") as pen:
        fcntl.flock(pen, fcntl.LOCK_EX)
        eventually(node, in_use=1, free=0, waiting=2)
    eventually(node, in_use=0, free=1, waiting=0)


def test_threads_that_wait_for_a_connection_to_postgresql_are_told(new_node: Callable[..., Node]) -> None:
    """Of two connections for writing, with three submissions that a lock holds up."""
    url = postgres.new_database()
    node = new_node(store__database=url, store__connections=2)
    try:
        assert metrics(node)['xds_database_pool{pool="readers",state="free"}'] == 2
        eventually(node, in_use=0, free=2, waiting=0)
        with sending(node, 3), psycopg.connect(url.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE stored_document IN EXCLUSIVE MODE")
            eventually(node, in_use=2, free=0, waiting=1)
        eventually(node, in_use=0, free=2, waiting=0)
    finally:
        node.stop()
        postgres.drop_database(url)


def test_the_log_can_be_json(new_node: Callable[..., Node]) -> None:
    """One object a line, with the request's reference number; the same sentences as ever."""
    node = new_node(log__format="json")
    assert get(node, FIND).status == 200
    lines = [line for line in node.log.read_text().splitlines() if "/fhir" in line]
    (line,) = map(json.loads, lines)
    assert re.fullmatch(r"[0-9a-f]{12}", line["reference"])
    assert (line["level"], line["endpoint"], line["status"]) == ("INFO", "/fhir", "200")
    assert line["message"].startswith(f"{line['reference']} endpoint=/fhir ITI-67 status=200")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_a_node_that_is_read_only_takes_nothing_in(tmp_path: Path) -> None:
    """It answers as ever, and what would change anything is to be sent again later."""
    node = Node(tmp_path)
    node.start()
    submit(node, m.Document())
    node.stop()
    node.environment["XDS_NODE__READ_ONLY"] = "on"
    node.start()
    try:
        found = get(node, FIND).json()
        assert found["total"] == 1
        own = found["entry"][0]["resource"]["id"]
        assert get(node, f"/fhir/Binary/{own}").status == 200
        with pytest.raises(AssertionError, match="Failure"):
            submit(node, m.Document())
        assert "ITI-41 refused XDSRepositoryBusy/node-read-only" in node.log.read_text()
        with urllib3.PoolManager() as pool:
            for method, body in (("DELETE", b""), ("PATCH", b'[{"op":"remove","path":"/securityLabel/0"}]')):
                answer = pool.request(
                    method,
                    f"{node.url}/fhir/DocumentReference/{own}",
                    body=body,
                    headers={"Content-Type": "application/json-patch+json"},
                    retries=False,
                )
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert "node-read-only" in answer.data.decode()
        assert get(node, FIND).json()["total"] == 1
    finally:
        node.stop()
