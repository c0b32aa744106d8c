"""Every bad input of bad.py: the exact answer, a reference number, nothing echoed, nothing stored, the node
unharmed."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.blackbox import messages as m
from tests.blackbox.bad import CASES, LIMITS, Case, Fault, Http, Refused
from tests.blackbox.state import counts
from tests.blackbox.wire import FAILURE, SEVERITY, SOAP12, SUCCESS, WSA, Reply, send
from tests.nodes import Node

_TRACES = re.compile(
    rb"Traceback|File \"|\.py\b|line \d+, in |Exception|lxml|sqlalchemy|sqlite", re.IGNORECASE
)


@pytest.fixture(scope="module")
def small(new_node: Callable[..., Node]) -> Node:
    """A node with the small limits of bad.py and one document in it."""
    node = new_node(**{f"limits__{name}": value for name, value in LIMITS.items()})
    assert send(node, m.mtom([m.Document()])).outcome == SUCCESS
    return node


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_with_its_exact_code_and_nothing_is_stored(case: Case, small: Node) -> None:
    """The answer is the one the table gives, and afterwards the node is as it was."""
    if case.before is not None:
        send(small, case.before())  # the second time it is known already
    before, logged = counts(small), small.log.stat().st_size
    request = case.request()
    reply = send(small, request)
    log = _log_since(small, logged)
    references = _CHECKS[type(case.expected)](reply, case.expected)
    assert counts(small) == before, "something was stored"
    for marker in case.markers:
        assert marker.encode() not in reply.body, f"the answer echoes {marker!r}"
        assert marker not in log, f"the log holds {marker!r}"
    assert not _TRACES.search(reply.body), reply.body
    assert "Traceback" not in log, log
    assert " failed\n" not in log, log
    for reference in references:
        assert reference in log, "the reference number is not in the log"
    _answers_well(small)


def _log_since(node: Node, position: int) -> str:
    with node.log.open("rb") as log:
        log.seek(position)
        return log.read().decode(errors="replace")


def _fault(reply: Reply, expected: Fault) -> set[str]:
    assert reply.content_type in ("application/soap+xml", "text/xml"), reply.body
    fault = reply.fault
    assert (expected.status, expected.code, list(expected.subcodes)) == (
        reply.status,
        fault.code,
        fault.subcodes,
    )
    assert expected.says in fault.reason, fault.reason
    addressing = any(code.startswith(f"{{{WSA}}}") for code in (fault.code, *fault.subcodes))
    assert reply.header("Action") == f"{WSA}/fault" if addressing else f"{WSA}/soap/fault"
    return {fault.reference}


def _refused(reply: Reply, expected: Refused) -> set[str]:
    assert (reply.status, reply.outcome) == (200, FAILURE)
    errors = reply.errors
    if expected.schema:
        assert {(code, rule) for code, _, rule in expected.errors} == {(e.code, e.rule) for e in errors}
        assert all(e.location.startswith("/") for e in errors)
    else:
        assert sorted(expected.errors) == sorted((e.code, e.location, e.rule) for e in errors)
    listed = reply.content().find(".//{*}RegistryErrorList")
    assert listed.get("highestSeverity") == SEVERITY
    assert {each.get("severity") for each in listed} == {SEVERITY}
    assert len({e.reference for e in errors}) == 1, "one reference number names the request"
    return {e.reference for e in errors}


def _http(reply: Reply, expected: Http) -> set[str]:
    assert (expected.status, "text/plain") == (reply.status, reply.content_type)
    assert reply.body.strip(), "a reason"
    if expected.status == 405:
        assert "POST" in (reply.headers["Allow"] or "")
    return set()


_CHECKS: dict[type, Callable[..., set[str]]] = {Fault: _fault, Refused: _refused, Http: _http}


def _answers_well(node: Node) -> None:
    assert send(node, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS


# -- what takes a socket of its own --------------------------------------------------------------------------


def _talk(node: Node, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes, then (end) close our side, and read what comes until the node closes or 8 seconds are
    gone."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=8) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
                head, _, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                if length and len(body) >= int(length[1]):
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return received


def _head(length: int | None, *more: str, path: str = m.REPOSITORY, content_type: str | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type or m.media_type('x')}"]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, *more, "", ""]).encode()


@pytest.mark.parametrize("kind", ["plain", "MTOM"])
def test_a_content_length_that_promises_too_much_is_refused_after_the_idle_time(
    kind: str, small: Node
) -> None:
    """The sender falls silent; after limits.idle_seconds it is told, and nothing stays staged."""
    good = m.mtom([m.Document()]) if kind == "MTOM" else m.plain(m.find_documents(), "ITI-18")
    assert isinstance(good.body, bytes)
    before, began = counts(small), time.monotonic()
    head = _head(len(good.body) + 100, path=good.path, content_type=good.content_type)
    answer = _talk(small, head + good.body)
    assert answer.startswith(b"HTTP/1.1 500"), answer[:200]
    assert b"limits.idle_seconds" in answer
    assert b"reference" in answer
    assert time.monotonic() - began < LIMITS["idle_seconds"] + 4
    assert before == counts(small)
    _answers_well(small)


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing(small: Node) -> None:
    """A connection that is closed half way: no staged file stays and the node goes on."""
    good = m.mtom([m.Document(content=bytes(900_000))])
    assert isinstance(good.body, bytes)
    before = counts(small)
    with socket.create_connection(("127.0.0.1", small.port), timeout=8) as connection:
        connection.sendall(_head(len(good.body), content_type=good.content_type) + good.body[:500_000])
    deadline = time.monotonic() + 10
    while counts(small) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert before == counts(small)
    _answers_well(small)


def test_a_content_length_that_promises_too_little_is_refused(small: Node) -> None:
    """What is cut off by a Content-Length is a message that is cut short; the rest is not another
    request's."""
    good = m.mtom([m.Document()])
    assert isinstance(good.body, bytes)
    before = counts(small)
    answer = _talk(small, _head(len(good.body) - 40, content_type=good.content_type) + good.body, end=True)
    assert answer.startswith(b"HTTP/1.1 500"), answer[:300]
    assert b"cut short" in answer
    assert before == counts(small)
    _answers_well(small)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: many",),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ],
)
def test_contradicting_lengths_never_become_a_message(lines: tuple[str, ...], small: Node) -> None:
    """Request smuggling: the server closes or answers an error, and stores nothing."""
    before = counts(small)
    good = m.mtom([m.Document()])
    assert isinstance(good.body, bytes)
    answer = _talk(small, _head(None, *lines, content_type=good.content_type) + good.body, end=True)
    assert not answer.startswith(b"HTTP/1.1 2"), answer[:200]
    assert before == counts(small)
    _answers_well(small)


def test_a_multipart_that_is_cut_off_is_refused_wherever_that_is(small: Node) -> None:
    """60 places over the whole message and each of the last 60 bytes: only what misses no more than the last
    line end is whole."""
    good = m.mtom([m.Document(content=b"\r\n--MIMEBoundary_0123456789abcde\x00" * 20)])
    body = good.body
    assert isinstance(body, bytes)
    before = counts(small)
    length = len(body)
    for end in sorted({length * n // 60 for n in range(60)} | set(range(length - 60, length - 2))):
        reply = send(small, replace(good, body=body[:end]))
        assert (reply.status, reply.fault.code) == (500, f"{{{SOAP12}}}Sender"), end
    assert before == counts(small)
    for end in (length - 2, length):
        assert send(small, replace(good, body=body[:end])).outcome == SUCCESS
