"""Spans of requests, as a receiver of OTLP gets them: the tree, the trace over nodes, what is not in it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.collector import Collector, Span, collector
from tests.gateway.region import HOME, HOMES, INITIATING, RESPONDING, Region, community, urn
from tests.nodes import Node
from tests.ports import free_port
from xds.demo.tickets import TicketService

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{CALLER}-01"),)
HIDDEN = [m.NUMBER, m.FAMILY, m.TITLE, m.COMMENT, m.FILE, "Assertion", "saml"]


@pytest.fixture
def region(tmp_path: Path, new_node: Callable[..., Node]) -> Region:
    """Communities that believe one ticket service."""
    return Region(TicketService(tmp_path / "tickets"), new_node, tmp_path)


def below(spans: list[Span], span: Span) -> set[str]:
    """The names of what a span is made of."""
    return {each.name for each in spans if each.parent == span.id}


def one(spans: list[Span], name: str, node: str = "") -> Span:
    """The only span of that name, of a node."""
    (found,) = [each for each in spans if each.name == name and (not node or each.node == node)]
    return found


def test_a_request_is_a_span_of_its_senders_trace(region: Region) -> None:
    """With its steps, the document's way to the folder, and the reference number of the log; nothing of the
    message is in the bytes that were sent.
    """
    with collector() as there:
        node = region.node(HOME, otel__endpoint=there.url)
        document = m.Document()
        body = m.provide([document], m.inline([document]))
        asked = region.request("/xds/repository", "ITI-41", body, headers=TRACEPARENT)
        assert send(node, asked).outcome == SUCCESS
        fetched = region.ask(
            node, "/xds/repository", "ITI-43", m.retrieve(document.unique_id, repository=f"{HOME}.2")
        )
        assert fetched.outcome == SUCCESS
        spans = there.wait(lambda spans: {"ITI-41", "ITI-43"} <= {each.name for each in spans})
        put = one(spans, "ITI-41")
        assert (put.trace, put.parent) == (TRACE, CALLER)
        assert below(spans, put) == {"ticket", "metadata", "access", "do", "write"}
        assert below(spans, one([each for each in spans if each.parent == put.id], "do")) == {"document put"}
        assert one(spans, "document put").attributes == {"xds.bytes": len(document.content)}
        line = next(each for each in node.log.read_text().splitlines() if "ProvideAndRegister" in each)
        assert f"{put.attributes.pop('xds.reference')} endpoint=/xds/repository" in line
        assert put.attributes == {
            "xds.transaction": "ITI-41",
            "xds.outcome": "success",
            "xds.endpoint": "/xds/repository",
            "xds.bytes": len(asked.body),
        }
        got = one(spans, "ITI-43")
        assert got.trace != TRACE
        assert got.parent == ""
        assert "document open" in {each.name for each in spans if each.trace == got.trace}
        assert not any(each.failed or each.events for each in spans)
        assert_nothing_is_told(there, document.unique_id, document.id)


def test_denials_and_faults_say_why_by_rule_alone(region: Region) -> None:
    """Gate 1, gate 2, and a message that is none; over FHIR the query of the URL is nowhere."""
    with collector() as there:
        node = region.node(HOME, otel__endpoint=there.url)
        assert region.ask(node, "/xds/registry", "ITI-18", m.find_documents(), ticket="").fault
        assert region.ask(node, "/xds/registry", "ITI-51", m.find_documents(m.OTHER)).outcome != SUCCESS
        assert region.ask(node, "/xds/registry", "ITI-18", m.find_documents(m.OTHER)).errors
        path = f"/fhir/DocumentReference?patient.identifier=urn:oid:{m.AUTHORITY}|{m.NUMBER}"
        assert urllib3.request("GET", node.url + path, retries=False).status == 401
        path = f"/fhir/{m.NUMBER}/{m.NUMBER}"
        assert urllib3.request("GET", node.url + path, retries=False).status == 401
        broken = m.plain(f"<{m.NUMBER}", "ITI-18")
        assert send(node, broken).status >= 400
        spans = there.wait(lambda spans: len([each for each in spans if not each.parent]) == 6)
        roots = [each for each in spans if not each.parent]
        assert [
            (each.name, each.attributes["xds.outcome"], each.attributes.get("xds.rule")) for each in roots
        ] == [
            ("ITI-18", "denied", "ticket-missing"),
            ("ITI-51", "refused", "access-patient"),
            ("ITI-18", "refused", "access-patient"),
            ("ITI-67", "denied", "token-missing"),
            ("unknown", "denied", "token-missing"),
            ("unknown", "fault", None),
        ]
        assert [each.attributes["xds.endpoint"] for each in roots[3:5]] == [
            "/fhir/DocumentReference",
            "/fhir",
        ]
        assert_nothing_is_told(there, m.OTHER_NUMBER)


def test_a_trace_goes_on_to_the_communities(region: Region) -> None:
    """The caller, the gateway, its call, the other community: one trace, each under the one before."""
    with collector() as there:
        other = region.node(HOMES[0], otel__endpoint=there.url)
        region.file(other, m.Document())
        away = f"http://127.0.0.1:{free_port()}{RESPONDING}"
        gateway = region.gateway(
            community(HOMES[0], other.url + RESPONDING) + community(HOMES[1], away),
            otel__endpoint=there.url,
        )
        region.ask(gateway, INITIATING, "ITI-18", m.find_documents(), headers=TRACEPARENT)
        spans = there.wait(
            lambda spans: (
                {"ITI-38"} <= {each.name for each in spans}
                and sum(each.name == "community" for each in spans) == 2
                and any(each.parent == CALLER for each in spans)
            )
        )
        asked = one([each for each in spans if each.trace == TRACE], "ITI-18")
        assert asked.parent == CALLER
        calls = {each.attributes["xds.community"]: each for each in spans if each.name == "community"}
        assert {each.parent for each in calls.values()} == {asked.id}
        reached, missed = calls[urn(HOMES[0])], calls[urn(HOMES[1])]
        assert (reached.attributes["xds.outcome"], reached.failed) == ("success", False)
        assert (missed.attributes["xds.outcome"], missed.failed) == ("community-unreached", True)
        remote = one(spans, "ITI-38")
        assert (remote.trace, remote.parent, remote.node) == (TRACE, reached.id, f"node-of-{HOMES[0]}")
        assert_nothing_is_told(there)


def test_a_receiver_that_is_away_or_hangs_keeps_nobody_waiting(new_node: Callable[..., Node]) -> None:
    """Requests are answered as ever; the log says once that spans are lost, and the node ends by itself."""
    release = threading.Event()
    with collector(release) as there:
        node = new_node(otel__endpoint=there.url)
        for _ in range(30):
            assert send(node, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
        deadline = time.monotonic() + 20
        while "otel.endpoint takes no spans" not in node.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert send(node, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
        began = time.monotonic()
        node.stop(seconds=60)  # and is killed then
        assert time.monotonic() - began < 60
        assert "Traceback" not in node.log.read_text()
        assert node.log.read_text().count("takes no spans") == 1
        release.set()


def test_what_waits_is_sent_when_the_node_is_told_to_end(new_node: Callable[..., Node]) -> None:
    """SIGTERM right after the answer."""
    with collector() as there:
        node = new_node(otel__endpoint=there.url, node__workers=2)
        for _ in range(20):
            assert send(node, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
        node.stop()
        assert sum(each.name == "ITI-18" for each in there.spans()) == 20


def test_a_share_of_requests_is_traced(new_node: Callable[..., Node]) -> None:
    """None of those that come without a trace; one whose sender wants it all the same."""
    with collector() as there:
        node = new_node(otel__endpoint=there.url, otel__percent=0)
        plain = m.plain(m.find_documents(), "ITI-18")
        assert send(node, plain).outcome == SUCCESS
        traced = type(plain)(plain.path, plain.content_type, plain.body, TRACEPARENT)
        assert send(node, traced).outcome == SUCCESS
        node.stop()
        assert {each.trace for each in there.spans()} == {TRACE}


def test_without_the_setting_no_library_is_loaded(tmp_path: Path) -> None:
    """The worker's own process: neither tracing.py nor anything of OpenTelemetry or protobuf."""
    node = Node(tmp_path)
    code = (
        "import sys; from xds.cli import main; from xds.app import create_app; from xds.config import load;"
        "main(['migrate']); create_app(load());"
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'google')"
        " or name == 'xds.tracing'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=node.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_spans_go_over_a_secure_line(tmp_path: Path) -> None:
    """Outside a test http:// is for this machine alone, and xds check says so."""
    node = Node(
        tmp_path, environment="production", otel__endpoint="http://collector.example.org:4318/v1/traces"
    )
    assert "otel.endpoint is not encrypted" in node.command("check").stderr
    node = Node(tmp_path, environment="production", otel__endpoint="http://127.0.0.1:4318/v1/traces")
    assert "otel.endpoint" not in node.command("check").stderr


def assert_nothing_is_told(there: Collector, *more: str) -> None:
    """No value of a message in any byte that was sent."""
    sent = b"".join(there.bodies)
    assert sent
    assert [each for each in (*HIDDEN, *more) if each.encode() in sent] == []
