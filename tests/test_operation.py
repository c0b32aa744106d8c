"""What operators see and set: requests counted, the log as JSON, a node that takes nothing in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.blackbox import messages as m
from tests.blackbox.test_remove_documents import submit
from tests.nodes import Node
from xds.metrics import Requests

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
    requests = Requests()
    requests.observe("", "fault", 0.2)
    requests.observe("ITI-18", "success", 0.02)
    text = requests.text()
    assert 'xds_request_seconds_count{outcome="fault",transaction="unknown"} 1.0' in text
    assert 'xds_request_seconds_bucket{le="0.025",outcome="success",transaction="ITI-18"} 1.0' in text


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
