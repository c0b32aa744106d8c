"""Every bad input of bad.py and bad_registry.py: the exact answer, a reference number, nothing echoed,
nothing stored, the node unharmed; and at least one for every errorCode.
"""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy
from lxml import etree

from tests.blackbox import bad, bad_registry
from tests.blackbox import messages as m
from tests.blackbox.bad import NODES, Case, Fault, Http, NotAccepted, Partial, Refused
from tests.blackbox.state import TABLES, beneath, counts, published, rows, staged
from tests.blackbox.wire import FAILURE, PARTIAL, SEVERITY, SOAP12, SUCCESS, WSA, Reply, send
from tests.nodes import Node
from xds.errors import Code

CASES = [*bad.CASES, *bad_registry.CASES]
#: Codes that no message can bring about by itself, and the file of the test that does.
ELSEWHERE = {
    Code.REMOVE_DOCUMENTS_ERROR: ("the disk will not delete a file", "test_remove_documents.py"),
    Code.REGISTRY_BUSY: ("somebody else writes for too long", "test_bad_input.py"),
    Code.REPOSITORY_BUSY: ("somebody else writes for too long", "test_bad_input.py"),
    Code.REPOSITORY_ERROR: ("the bytes are damaged", "test_bad_input.py"),
    Code.REGISTRY_OUT_OF_RESOURCES: ("the disk is full", "test_full_disk.py"),
    Code.REPOSITORY_OUT_OF_RESOURCES: ("the disk is full", "test_full_disk.py"),
    Code.FHIR_DOCUMENT_NOT_SUPPORTED: ("only over FHIR", "../fhir/test_publish.py"),
    Code.INVALID_DOCUMENT_CONTENT: ("only over FHIR", "../fhir/test_publish.py"),
    Code.EXTRA_METADATA_NOT_SAVED: ("only over FHIR", "../fhir/test_publish.py"),
}

_CODES = re.compile("|".join(Code).encode())
_TRACES = re.compile(
    rb"Traceback|File \"|\.py\b|line \d+, in |Exception|lxml|sqlalchemy|sqlite|psycopg", re.IGNORECASE
)
#: What every node holds, and takes again as a repeat that changes nothing.
_good = m.Document()
GOOD = m.mtom([_good])
WARNING = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning"
HL7 = {"h": bad_registry.HL7}
_FEED_SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[2] / "wsdl" / "schema" / "hl7v3.xsd"))


@pytest.fixture(scope="module")
def node_named(new_node: Callable[..., Node]) -> Callable[[str], Node]:
    """One of NODES, with one document in it."""
    made: dict[str, Node] = {}

    def named(name: str) -> Node:
        if name not in made:
            made[name] = node = new_node(**NODES[name])
            for each in bad_registry.announced(m.NUMBER) if name == "feed" else ():
                _succeeds(node, each)
            _succeeds(node, GOOD)
        return made[name]

    return named


@pytest.fixture
def small(node_named: Callable[[str], Node]) -> Node:
    """The node with the small limits of bad.py."""
    return node_named("small")


def test_every_code_has_a_bad_message() -> None:
    """In the tables, or in a test of its own where it takes more than a message."""
    given = {
        code
        for case in CASES
        if isinstance(case.expected, Refused | Partial)
        for code, _, _ in case.expected.errors
    }
    assert given.isdisjoint(ELSEWHERE)
    assert given | set(ELSEWHERE) == set(Code)
    for code, (_, file) in ELSEWHERE.items():
        assert f'"{code}"' in (Path(__file__).parent / file).read_text(), code
    names = Counter(case.name for case in CASES)
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_with_its_exact_code_and_nothing_is_stored(
    case: Case, node_named: Callable[[str], Node]
) -> None:
    """The answer is the one the table gives, and afterwards the node is as it was."""
    node = node_named(case.node)
    for each in case.before:
        _succeeds(node, each)
    before, logged = _everything(node), node.log.stat().st_size
    reply = send(node, case.request())
    log = _log_since(node, logged)
    references = _CHECKS[type(case.expected)](reply, case.expected)
    _is_discreet(reply, log, case.markers)
    for reference in references:
        assert reference in log, "the reference number is not in the log"
    _answers_well(node)
    assert _everything(node) == before, "something was stored"


def _succeeds(node: Node, request: m.Request) -> None:
    reply = send(node, request)
    if request.path == "/pix/feed":
        assert _acknowledged(reply) == ("CA", [])
    else:
        assert reply.outcome == SUCCESS, reply.errors


def _everything(node: Node) -> dict[str, list[str]]:
    """Every row of every table, every document, and every other file with its size and time."""
    found = {
        name: sorted(
            repr([bytes(value) if isinstance(value, memoryview) else value for value in row])
            for row in rows(node, f"SELECT * FROM {name}")
        )
        for name in TABLES
    }
    files = {path: path.stat() for path in staged(node)}
    found["files"] = sorted(f"{path} {s.st_size} {s.st_mtime_ns}" for path, s in files.items())
    under, keys = beneath(node), sorted(published(node))
    return found | {"documents": [f"{key} {sha256(under.read(key)).hexdigest()}" for key in keys]}


def _is_discreet(reply: Reply, log: str, markers: Sequence[str]) -> None:
    """Neither answer nor log says anything of the message, nor how the node is made."""
    for marker in markers:
        assert marker.encode() not in reply.body, f"the answer echoes {marker!r}"
        assert marker not in log, f"the log holds {marker!r}"
    assert not _TRACES.search(_CODES.sub(b"", reply.body)), reply.body
    assert "Traceback" not in log, log
    assert " failed\n" not in log, log


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
    if expected.schema:
        errors = reply.errors
        assert {(code, rule) for code, _, rule in expected.errors} == {(e.code, e.rule) for e in errors}
        assert all(e.location.startswith("/") for e in errors)
    return _listed(reply, () if expected.schema else expected.errors, SEVERITY)


def _partial(reply: Reply, expected: Partial) -> set[str]:
    assert (reply.status, reply.outcome) == (200, PARTIAL)
    return _listed(reply, expected.errors, WARNING if expected.warning else SEVERITY)


def _listed(reply: Reply, expected: Sequence[tuple[str, str, str]], severity: str) -> set[str]:
    errors = reply.errors
    if expected:
        assert sorted(expected) == sorted((e.code, e.location, e.rule) for e in errors)
    assert all(error.context.partition(" [")[0] for error in errors), "codeContext says what to do"
    listed = reply.content().find(".//{*}RegistryErrorList")
    assert listed.get("highestSeverity") == severity
    assert {each.get("severity") for each in listed} == {severity}
    assert len({e.reference for e in errors}) == 1, "one reference number names the request"
    return {e.reference for e in errors}


def _not_accepted(reply: Reply, expected: NotAccepted) -> set[str]:
    code, details = _acknowledged(reply)
    assert (code, details) == ("CE", list(expected.details))
    references = re.findall(r">Reference ([0-9a-f]{12})<", reply.body.decode())
    assert len(references) == 1
    return set(references)


def _acknowledged(reply: Reply) -> tuple[str, list[tuple[str, str, str]]]:
    """typeCode, and of each error its code, location and rule; the answer is valid by the node's schema."""
    assert reply.status == 200, reply.body
    (content,) = reply.envelope().find("{*}Body")
    assert _FEED_SCHEMA.validate(content), _FEED_SCHEMA.error_log
    details = content.findall("h:acknowledgement/h:acknowledgementDetail[@typeCode='E']", HL7)
    found = []
    for each in details:
        rule = re.search(r"\[([\w-]+)\]$", each.findtext("h:text", "", HL7))
        assert rule
        found.append((each.find("h:code", HL7).get("code"), each.findtext("h:location", "", HL7), rule[1]))
    return content.find("h:acknowledgement/h:typeCode", HL7).get("code"), found


def _http(reply: Reply, expected: Http) -> set[str]:
    assert (expected.status, "text/plain") == (reply.status, reply.content_type)
    assert reply.body.strip(), "a reason"
    if expected.status == 405:
        assert "POST" in (reply.headers["Allow"] or "")
    return set()


_CHECKS: dict[type, Callable[..., set[str]]] = {
    Fault: _fault,
    Refused: _refused,
    Partial: _partial,
    NotAccepted: _not_accepted,
    Http: _http,
}


def _answers_well(node: Node) -> None:
    """A good query is answered, and a good submission taken as the repeat that it is."""
    found = send(node, m.plain(m.get_documents(_good.unique_id), "ITI-18"))
    assert found.outcome == SUCCESS
    assert found.content().xpath("count(//*[local-name()='ExtrinsicObject'])") == 1
    _succeeds(node, GOOD)


# -- what takes more than a message --------------------------------------------------------------------------


def test_a_damaged_document_is_an_error_of_the_repository(new_node: Callable[..., Node]) -> None:
    """It is withheld, nothing is changed by asking for it, and the others come."""
    node, damaged = new_node(), m.Document(content=b"soon other bytes")
    _succeeds(node, GOOD)
    _succeeds(node, m.mtom([damaged]))
    ((key,),) = rows(node, f"SELECT blob_key FROM stored_document WHERE doc_uid = '{damaged.unique_id}'")
    beneath(node).plant(str(key), b"now other bytes!")
    before, logged = _everything(node), node.log.stat().st_size
    reply = send(node, m.mtom_retrieve(damaged.unique_id, _good.unique_id))
    errors = [("XDSRepositoryError", "DocumentRequest[1]/DocumentUniqueId", "retrieve-intact")]
    (reference,) = _partial(reply, Partial(errors))
    log = _log_since(node, logged)
    assert reference in log
    _is_discreet(reply, log, m.MARKERS)
    assert _everything(node) == before


@pytest.mark.parametrize(
    "engine", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"], indirect=True
)
def test_who_waits_too_long_for_another_writer_is_told_that_the_node_is_busy(
    engine: str, new_node: Callable[..., Node]
) -> None:
    """By the registry and by the repository, each under its own code; the same requests succeed afterwards.

    On PostgreSQL the waiting is made short; on SQLite it is half a minute.
    """
    node = new_node()
    if engine == "postgresql":
        node.stop()
        node.environment["XDS_STORE__DATABASE"] += "?options=-c%20lock_timeout%3D300ms"
        node.start()
    _succeeds(node, GOOD)
    node.environment["XDS_STORE__DATABASE"] = node.database_url.partition("?")[0]
    before = _everything(node)
    requests = [m.plain(m.register([m.Document()]), "ITI-42"), m.mtom([m.Document()])]
    with sqlalchemy.create_engine(node.database_url, poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.exec_driver_sql("UPDATE patient SET pid = pid")
        with ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda request: send(node, request, timeout=120), requests))
    assert _everything(node) == before
    for reply, code in zip(replies, ("XDSRegistryBusy", "XDSRepositoryBusy"), strict=True):
        (reference,) = _refused(reply, Refused([(code, "", "node-busy")]))
        log = node.log.read_text()
        assert reference in log
        _is_discreet(reply, log, m.MARKERS)
    for request in requests:
        _succeeds(node, request)


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
    assert time.monotonic() - began < 40  # and not 60
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
