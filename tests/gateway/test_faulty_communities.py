"""Communities that are away, frozen, slow or wrong: the others' results come in time, each fault is named.

What each behaviour of peers.py must lead to is written down here from docs/gateways.md and docs/errors.md,
before anything ran. Times are bounds that a missing deadline would break, and no more.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape

import pytest
import urllib3

from tests.blackbox import messages as m
from tests.blackbox.state import staged
from tests.blackbox.wire import FAILURE, PARTIAL, QUERY, RIM, RS, SEVERITY, SOAP12, SUCCESS, WSA, XDS, Reply
from tests.gateway.peers import Peer, content, document_id
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    query,
    repository,
    retrieve,
    rules,
    told,
    urn,
)
from tests.nodes import Node
from xds.demo.tickets import TicketService
from xds.gateway.communities import Communities, Community
from xds.gateway.initiating import InitiatingGateway
from xds.transactions import initiating_query
from xds.transport.limits import Limits
from xds.transport.staged import StagingFolder

#: Of every community made here.
DOCUMENTS = 2
#: For one community, and for the whole; on a busy machine a good answer must come in it.
SECONDS, WHOLE = 3.0, 5.0
#: Above the deadline, and far below what would come of waiting for anybody.
GENEROUS = 10.0
#: A bound on what each community may send, so that whoever never ends is soon found out.
BOUNDS = {"limits__root_bytes": 2_000_000, "limits__document_bytes": 30_000_000, "limits__parts": 200}


def unavailable(rule: str) -> tuple[tuple[str, str], ...]:
    """What is told of a community that gave nothing."""
    return (("XDSUnavailableCommunity", f"community-{rule}"),)


UNREACHED, LATE, READABLE, SIZE, FAULT = map(unavailable, ("unreached", "late", "readable", "size", "fault"))
HOMELESS = (("XDSMissingHomeCommunityId", "community-home"),)


@dataclass(frozen=True)
class Case:
    """A behaviour, and what must come of it: errors as (code, rule of ours), and how many of its objects and
    documents.
    """

    does: str
    query: tuple[tuple[str, str], ...] = ()
    objects: int = 0
    retrieve: tuple[tuple[str, str], ...] = ()
    documents: int = 0
    how: dict[str, Any] = field(default_factory=dict)
    seconds: float = SECONDS


def nothing(does: str, errors: tuple[tuple[str, str], ...], *, seconds: float = SECONDS, **how: Any) -> Case:
    """One of which there is nothing, whatever it is asked."""
    return Case(does, errors, 0, errors, 0, how, seconds)


GOOD = Case("answers", objects=2, documents=2)
#: One community each, in the order of the file.
CASES = (
    GOOD,
    nothing("garbage", READABLE),
    nothing("html", READABLE),
    nothing("error", READABLE),
    nothing("error", UNREACHED, status="503 Service Unavailable"),
    nothing("fault", FAULT),
    nothing("endless", SIZE),
    nothing("endless_parts", SIZE),
    nothing("drip_headers", LATE),
    nothing("drip_body", LATE),
    nothing("silent", LATE),
    nothing("silent", LATE, seconds=60.0),  # the whole is over sooner
    nothing("reset", UNREACHED),
    nothing("reset", UNREACHED, after=400),
    nothing("wrong_relates_to", READABLE),
    nothing("compressed", READABLE),
    nothing("entity_bomb", READABLE),
    nothing("not_ours", READABLE),
    GOOD,
    # Nobody could fetch what a list without home describes; a document has been asked for by its ids.
    Case("no_home", query=HOMELESS, documents=2),
    Case("other_home", query=HOMELESS, documents=2),
    # What a community says itself is passed on, without a rule of ours.
    Case("failure", (("XDSRegistryError", ""),), 0, (("XDSRegistryError", ""),), 0),
    Case("partial", (("XDSRegistryError", ""),), 2, (("XDSRegistryError", ""),), 1),
    # It has nothing: of a query that is no error.
    Case("unknown_patient", retrieve=(("XDSUnknownPatientId", ""),)),
    Case("missing_part", objects=2, retrieve=READABLE),
    Case("fewer_documents", (), 2, (("XDSDocumentUniqueIdError", "community-document"),), 1),
    Case("unasked_documents", objects=2, documents=2),
    GOOD,
)


def peer_home(number: int) -> str:
    """The homeCommunityId of a case."""
    return f"2.16.578.1.12.4.5.100.{100 + number}"


def timed(ask: Callable[[], Reply]) -> tuple[Reply, float]:
    """An answer and how long it took."""
    began = time.monotonic()
    reply = ask()
    return reply, time.monotonic() - began


def until(met: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def ready(node: Node) -> dict[str, str]:
    """What /health/ready says of each community."""
    answer = urllib3.request("GET", node.url + "/health/ready", retries=False)
    assert answer.status == 200
    first, *lines = answer.data.decode().splitlines()
    assert first == "ready"
    return dict(re.fullmatch(r"community (\S+) (\S+)", line).groups() for line in lines)  # type: ignore[union-attr,misc]


def metric(node: Node, name: str, home: str) -> float:
    """A figure of one community."""
    text = urllib3.request("GET", node.url + "/metrics", retries=False).data.decode()
    found = re.search(
        rf'^{name}{{[^}}]*community="{re.escape(urn(home))}"[^}}]*}} (\S+)$', text, re.MULTILINE
    )
    assert found, text
    return float(found[1])


def freeze(node: Node, how: signal.Signals) -> None:
    """SIGSTOP and SIGCONT, to all processes of a node that this test started."""
    os.killpg(node.pid, how)


def usage(node: Node) -> tuple[int, int]:
    """Threads and open sockets of the processes that answer."""
    workers = node.workers()
    return (
        sum(each.num_threads() for each in workers),
        sum(len(each.net_connections("tcp")) for each in workers),
    )


def test_the_others_results_come_in_time(
    new_node: Callable[..., Node], tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """One node stopped, one frozen, and one community for each of CASES, all asked in one request.

    Afterwards nothing of it is left: no file, no thread, no connection; and the frozen one is back when it
    thaws.
    """
    region = Region(TicketService(tmp_path / "tickets"), new_node, tmp_path)
    well, stopped, frozen = (region.node(home) for home in HOMES[:3])
    documents = {home: m.Document(content=home.encode(), id=m.new_uuid()) for home in (HOME, *HOMES[:3])}
    lines = [f"query_seconds = {WHOLE}\nretrieve_seconds = {WHOLE}\n"]

    def add(home: str, url: str, seconds: float) -> None:
        lines.append(community(home, url, query_seconds=seconds, retrieve_seconds=seconds, failures=1000))

    for home, node in zip(HOMES, (well, stopped, frozen), strict=False):
        add(home, node.url + RESPONDING, SECONDS)
    with ExitStack() as stack:
        peers = [Peer(peer_home(number), documents=DOCUMENTS) for number in range(len(CASES))]
        with ThreadPoolExecutor(4) as starting:
            list(starting.map(stack.enter_context, peers))
        for case, peer in zip(CASES, peers, strict=True):
            add(peer.home, peer.url, case.seconds)
        gateway = region.gateway("".join(lines), **BOUNDS)
        for home, node in ((HOME, gateway), *zip(HOMES, (well, stopped, frozen), strict=False)):
            region.file(node, documents[home])
        ticket = region.ticket()

        def ask_all(transaction: str) -> tuple[Reply, float]:
            own = [(urn(home), documents[home].unique_id) for home in (HOME, *HOMES[:3])]
            theirs = [
                (peer.home, document_id(peer.home, each))
                for peer in peers
                for each in range(1, DOCUMENTS + 1)
            ]
            body = m.find_documents() if transaction == "ITI-18" else retrieve(*own, *theirs)
            return timed(
                lambda: region.ask(
                    gateway, INITIATING, transaction, body, ticket=ticket, mtom=transaction == "ITI-43"
                )
            )

        # As long as everybody is well, all of it comes.
        found = [(urn(home), documents[home].unique_id) for home in (HOME, *HOMES[:3])] + [
            (peer.home, document_id(peer.home, each)) for peer in peers for each in range(1, DOCUMENTS + 1)
        ]
        for _ in range(2):  # twice, so that what is kept is there
            reply, _ = ask_all("ITI-18")
            assert (reply.outcome, rules(reply), entries(reply)) == (SUCCESS, [], found)
            reply, _ = ask_all("ITI-43")
            assert (reply.outcome, rules(reply)) == (SUCCESS, [])
            assert list(reply.documents()) == [unique_id for _, unique_id in found]
        threads, sockets = usage(gateway)

        for case, peer in zip(CASES, peers, strict=True):
            peer.behave(case.does, **case.how)
        stopped.stop()
        freeze(frozen, signal.SIGSTOP)
        try:
            reply, seconds = ask_all("ITI-18")
            assert reply.outcome == PARTIAL
            away = [
                ("XDSUnavailableCommunity", urn(HOMES[1]), "community-unreached"),
                ("XDSUnavailableCommunity", urn(HOMES[2]), "community-late"),
            ]
            assert rules(reply) == away + [
                (code, peer.home, rule)
                for case, peer in zip(CASES, peers, strict=True)
                for code, rule in case.query
            ]
            there = [(urn(home), documents[home].unique_id) for home in (HOME, HOMES[0])]
            assert entries(reply) == there + [
                (peer.home, document_id(peer.home, each))
                for case, peer in zip(CASES, peers, strict=True)
                for each in range(1, case.objects + 1)
            ]
            assert WHOLE - 0.5 < seconds < WHOLE + GENEROUS
            query_seconds = seconds

            reply, seconds = ask_all("ITI-43")
            assert reply.outcome == PARTIAL
            assert rules(reply) == away + [
                (code, peer.home, rule)
                for case, peer in zip(CASES, peers, strict=True)
                for code, rule in case.retrieve
            ]
            expected = {documents[home].unique_id: documents[home].content for home in (HOME, HOMES[0])} | {
                document_id(peer.home, each): content(peer.home, each)
                for case, peer in zip(CASES, peers, strict=True)
                for each in range(1, case.documents + 1)
            }
            assert list(reply.documents().items()) == list(expected.items())
            assert WHOLE - 0.5 < seconds < WHOLE + GENEROUS
            retrieve_seconds = seconds

            # In their own words, and nothing else of them.
            words = {each.location: each.context for each in told(reply)}
            by_name = {case.does: peer for case, peer in zip(CASES, peers, strict=True)}
            assert words[by_name["failure"].home].startswith("It does not work")
            assert words[by_name["partial"].home].startswith("Not all of it works")
            assert "NullPointerException" not in str(words)

            # A community's own seconds count where the whole has more.
            body = query(m.find_documents(), targets=[urn(HOMES[0]), urn(HOMES[2])])
            reply, own_seconds = timed(lambda: region.ask(gateway, INITIATING, "ITI-18", body, ticket=ticket))
            assert (reply.outcome, rules(reply)) == (PARTIAL, away[1:])
            assert entries(reply) == there[1:]
            assert SECONDS - 0.5 < own_seconds < SECONDS + GENEROUS
        finally:
            freeze(frozen, signal.SIGCONT)
        record_property(
            "figure",
            f"{len(CASES) + 3} communities, {sum(not case.objects for case in CASES) + 2} of which give"
            f" nothing: a query in {query_seconds:.1f} s, a retrieval in {retrieve_seconds:.1f} s,"
            f" of {WHOLE} s that the whole may take",
        )

        until(lambda: not staged(gateway), "the staging folder is empty")
        until(
            lambda: usage(gateway)[0] <= threads + 4 and usage(gateway)[1] <= sockets + 4,
            f"threads and sockets are as they were: {threads}, {sockets}",
        )
        for case, peer in zip(CASES, peers, strict=True):
            if case.does in ("silent", "drip_headers", "drip_body", "endless", "endless_parts"):
                peer.wait(lambda figures: figures.open == 0)
        body = query(m.find_documents(), targets=[urn(HOMES[0]), urn(HOMES[2]), peers[0].home])
        reply, seconds = timed(lambda: region.ask(gateway, INITIATING, "ITI-18", body, ticket=ticket))
        assert (reply.outcome, rules(reply)) == (SUCCESS, [])
        assert [home for home, _ in entries(reply)] == [urn(HOMES[0]), urn(HOMES[2]), *[peers[0].home] * 2]
        assert seconds < SECONDS
        assert gateway.errors() == ""


# -- One gateway and a few communities that other tests drive


FRAGILE, HURRIED, NARROW, WIDE, WELL, NEW, ODD = HOMES[:7]
PAUSE = 4.0


class Scripted:
    """A community whose next answer is written out: `body` is what stands in the SOAP Body."""

    def __init__(self) -> None:
        self.body = ""
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                message_id = re.search(rb"MessageID>(.*?)<", asked)
                assert message_id
                answer = (
                    f'<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header><a:Action>urn:any</a:Action>'
                    f"<a:RelatesTo>{message_id[1].decode()}</a:RelatesTo></s:Header>"
                    f"<s:Body>{scripted.body}</s:Body></s:Envelope>"
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/soap+xml")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/xca"

    def __enter__(self) -> Scripted:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lists(self, objects: str = "", errors: str = "", status: str = SUCCESS) -> None:
        """Answer queries so."""
        self.body = (
            f'<q:AdhocQueryResponse xmlns:q="{QUERY}" xmlns:rim="{RIM}" status="{status}">{_listed(errors)}'
            f"<rim:RegistryObjectList>{objects}</rim:RegistryObjectList></q:AdhocQueryResponse>"
        )

    def hands(self, documents: str = "", errors: str = "", status: str = SUCCESS) -> None:
        """Answer retrievals so."""
        self.body = (
            f'<x:RetrieveDocumentSetResponse xmlns:x="{XDS}"><rs:RegistryResponse xmlns:rs="{RS}"'
            f' status="{status}">{_listed(errors)}</rs:RegistryResponse>{documents}'
            "</x:RetrieveDocumentSetResponse>"
        )


def _listed(errors: str) -> str:
    return f'<rs:RegistryErrorList xmlns:rs="{RS}">{errors}</rs:RegistryErrorList>' if errors else ""


def error(code: str = "XDSRegistryError", context: str = "No") -> str:
    """An rs:RegistryError, its values as they stand in XML."""
    return f'<rs:RegistryError errorCode="{code}" codeContext="{context}" severity="{SEVERITY}"/>'


def handed(
    unique_id: str, *, mime_type: str = "application/pdf", new: str = "", content: str = "aGVp"
) -> str:
    """An xds:DocumentResponse of ODD, its values as they stand in XML."""
    return (
        f"<x:DocumentResponse><x:HomeCommunityId>{urn(ODD)}</x:HomeCommunityId>"
        f"<x:RepositoryUniqueId>{repository(ODD)}</x:RepositoryUniqueId>"
        f"<x:DocumentUniqueId>{unique_id}</x:DocumentUniqueId>{new}<x:mimeType>{mime_type}</x:mimeType>"
        f"<x:Document>{content}</x:Document></x:DocumentResponse>"
    )


@dataclass(frozen=True)
class Few:
    """A gateway and its communities by home."""

    region: Region
    gateway: Node
    peers: dict[str, Peer]
    odd: Scripted
    lines: str
    ticket: str

    def ask(self, transaction: str, body: str, **how: Any) -> Reply:
        """Something of the gateway."""
        return self.region.ask(self.gateway, INITIATING, transaction, body, ticket=self.ticket, **how)

    def find(self, *homes: str) -> Reply:
        """The patient's documents in these communities."""
        return self.ask("ITI-18", query(m.find_documents(), targets=[urn(home) for home in homes]))

    def write(self, lines: str) -> None:
        """Another communities file in the place of the old one, as docs/gateways.md asks."""
        file = Path(self.gateway.environment["XDS_COMMUNITIES"])
        new = file.with_suffix(".new")
        new.write_text(lines)
        new.rename(file)


@pytest.fixture(scope="module")
def few(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Few]:
    """All of it running."""
    folder = tmp_path_factory.mktemp("few")
    region = Region(TicketService(folder / "tickets"), new_node, folder)
    with ExitStack() as stack:
        peers = {home: stack.enter_context(Peer(home, documents=DOCUMENTS)) for home in HOMES[:6]}
        odd = stack.enter_context(Scripted())
        settings: dict[str, dict[str, object]] = {
            FRAGILE: {"failures": 3, "pause_seconds": PAUSE, "connections": 8},
            HURRIED: {"failures": 2, "pause_seconds": 600, "query_seconds": 0.5},
            NARROW: {"failures": 1000, "connections": 2, "query_seconds": 5},
            WIDE: {"failures": 1000, "query_seconds": 5},
            WELL: {},
        }
        lines = "query_seconds = 30\n" + community(ODD, odd.url, failures=1000, query_seconds=20)
        lines += "".join(
            community(home, peers[home].url, **{"query_seconds": 20} | more)
            for home, more in settings.items()
        )
        gateway = region.gateway(lines, **BOUNDS)
        yield Few(region, gateway, peers, odd, lines, region.ticket())


def resting(home: str) -> list[tuple[str, str, str]]:
    """What is told of a community that is left alone."""
    return [("XDSUnavailableCommunity", urn(home), "community-resting")]


def test_a_community_that_keeps_failing_is_left_alone(few: Few) -> None:
    """After three failures nothing goes to it; after the pause one call does, and decides."""
    peer = few.peers[FRAGILE]

    def fail(does: str, rule: str) -> None:
        peer.behave(does)
        before = peer.figures.requests
        for _ in range(3):
            reply = few.find(FRAGILE)
            assert (reply.outcome, rules(reply)) == (
                FAILURE,
                [("XDSUnavailableCommunity", urn(FRAGILE), rule)],
            )
        assert peer.figures.requests == before + 3

    def is_left_alone() -> None:
        before = peer.figures.requests
        for _ in range(2):
            reply = few.find(FRAGILE, WELL)
            assert (reply.outcome, rules(reply)) == (PARTIAL, resting(FRAGILE))
            assert [home for home, _ in entries(reply)] == [urn(WELL)] * DOCUMENTS
        assert peer.figures.requests == before
        assert ready(few.gateway)[urn(FRAGILE)] == "open"
        assert metric(few.gateway, "xds_gateway_circuit", FRAGILE) == 2
        assert metric(few.gateway, "xds_gateway_failures", FRAGILE) >= 3

    def is_well() -> None:
        assert ready(few.gateway)[urn(FRAGILE)] == "closed"
        assert metric(few.gateway, "xds_gateway_circuit", FRAGILE) == 0
        assert metric(few.gateway, "xds_gateway_failures", FRAGILE) == 0
        assert (few.find(FRAGILE).outcome, rules(few.find(FRAGILE))) == (SUCCESS, [])

    is_well()
    fail("error", "community-readable")
    is_left_alone()

    # The pause is over, and it still fails: one call, and the next pause.
    time.sleep(PAUSE)
    before = peer.figures.requests
    assert rules(few.find(FRAGILE))[0][2] == "community-readable"
    assert peer.figures.requests == before + 1
    is_left_alone()

    # The pause is over, and it answers slowly: of eight at the same time one goes out.
    peer.behave("answers", delay=PAUSE - 1)
    time.sleep(PAUSE)
    before = peer.figures.requests
    with ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(few.find, FRAGILE) for _ in range(8)]
        until(lambda: peer.figures.requests > before, "one call tries")
        assert ready(few.gateway)[urn(FRAGILE)] == "half-open"
        assert metric(few.gateway, "xds_gateway_circuit", FRAGILE) == 1
        replies = [each.result() for each in asked]
    assert peer.figures.requests == before + 1
    assert sorted(reply.outcome for reply in replies) == sorted([SUCCESS, *[FAILURE] * 7])
    assert [rules(reply) for reply in replies if reply.outcome == FAILURE] == [resting(FRAGILE)] * 7
    peer.behave("answers")
    is_well()

    # Failures that are not in a row do not add up.
    for does in ("error", "reset", "answers", "reset", "error", "answers"):
        peer.behave(does)
        few.find(FRAGILE)
    is_well()


def test_lateness_opens_the_circuit(few: Few) -> None:
    """A community that does not answer in its half second is not waited for a third time.

    The whole may take half a minute: it is the community's own time that is over.
    """
    peer = few.peers[HURRIED]
    peer.behave("silent")
    before = peer.figures.requests
    for _ in range(2):
        reply, seconds = timed(lambda: few.find(HURRIED))
        assert rules(reply) == [("XDSUnavailableCommunity", urn(HURRIED), "community-late")]
        assert seconds < GENEROUS
    assert rules(few.find(HURRIED)) == resting(HURRIED)
    unique_id = document_id(HURRIED, 1)
    reply = few.ask("ITI-43", retrieve((urn(HURRIED), unique_id)))
    assert (reply.outcome, rules(reply)) == (FAILURE, resting(HURRIED))
    assert peer.figures.requests == before + 2
    peer.wait(lambda figures: figures.open == 0)


def test_faults_and_wide_questions_do_not_open_the_circuit(few: Few) -> None:
    """They are about one ticket and about one question: the next may well be answered."""
    peer = few.peers[FRAGILE]
    until(lambda: few.find(FRAGILE).outcome == SUCCESS, "the circuit is closed")
    for does, how, rule in (
        ("fault", {}, "community-fault"),
        ("fault", {"code": "Sender", "status": "400 Bad Request"}, "community-fault"),
        ("fault", {"status": "200 OK"}, "community-fault"),
        ("large", {"size": 2_000_001}, "community-size"),
    ):
        peer.behave(does, **how)
        before = peer.figures.requests
        for _ in range(5):
            reply = few.find(FRAGILE)
            assert rules(reply) == [("XDSUnavailableCommunity", urn(FRAGILE), rule)]
        assert peer.figures.requests == before + 5
        assert ready(few.gateway)[urn(FRAGILE)] == "closed"
        assert metric(few.gateway, "xds_gateway_failures", FRAGILE) == 0
    peer.behave("answers")


def test_many_clients_and_a_frozen_community(few: Few) -> None:
    """Twenty at the same time: a good community's results for all; `connections` bounds the calls."""
    for home in (NARROW, WIDE):
        few.peers[home].behave("silent")
    with ThreadPoolExecutor(20) as clients:
        began = time.monotonic()
        replies = list(clients.map(lambda _: few.find(NARROW, WIDE, WELL), range(20)))
        seconds = time.monotonic() - began
    assert {reply.outcome for reply in replies} == {PARTIAL}
    for reply in replies:
        assert [home for home, _ in entries(reply)] == [urn(WELL)] * DOCUMENTS
        assert [error[:2] for error in rules(reply)] == [
            ("XDSUnavailableCommunity", urn(NARROW)),
            ("XDSUnavailableCommunity", urn(WIDE)),
        ]
    found = sorted(rules(reply)[0][2] for reply in replies)
    assert found == ["community-busy"] * 18 + ["community-late"] * 2
    assert {rules(reply)[1][2] for reply in replies} == {"community-late"}
    assert few.peers[NARROW].figures.requests == 2
    assert few.peers[WIDE].figures.requests == 20
    assert seconds < 5 + GENEROUS
    for home in (NARROW, WIDE):
        few.peers[home].wait(lambda figures: figures.open == 0)
        few.peers[home].behave("answers")
        assert few.find(home).outcome == SUCCESS


def test_a_consumer_that_leaves_takes_its_files_along(few: Few) -> None:
    """Documents of 20 MB have come from a community when whoever asked for them hangs up."""
    peer = few.peers[WELL]
    peer.behave("big", on="retrieve", megabytes=20)
    asked = retrieve(*((urn(WELL), document_id(WELL, each)) for each in range(1, DOCUMENTS + 1)))
    request = few.region.request(INITIATING, "ITI-43", asked, ticket=few.ticket, mtom=True)
    with socket.create_connection(("127.0.0.1", few.gateway.port), timeout=60) as connection:
        head = f"POST {INITIATING} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {request.content_type}\r\n"
        connection.sendall(f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode())
        connection.sendall(request.body)  # type: ignore[arg-type]
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert len(staged(few.gateway)) == DOCUMENTS
    until(lambda: not staged(few.gateway), "the staging folder is empty")
    peer.behave("answers")


def test_the_communities_file_is_followed(few: Few) -> None:
    """A community comes, stands elsewhere in the order, moves and goes, and nobody restarts."""
    peer, unique_id = few.peers[NEW], document_id(NEW, 1)
    told_before = few.gateway.log.read_text().count("was not taken over")

    def found(homes: list[str]) -> bool:
        reply = few.find(NEW, WELL)
        return reply.outcome == SUCCESS and [home for home, _ in entries(reply)] == [
            urn(home) for home in homes for _ in range(DOCUMENTS)
        ]

    unknown = [("XDSUnknownCommunity", urn(NEW), "community-known")]
    assert rules(few.find(NEW, WELL)) == unknown
    last = few.lines + community(NEW, peer.url)
    few.write(last)
    until(lambda: found([WELL, NEW]), "the new community is asked")
    assert ready(few.gateway)[urn(NEW)] == "closed"

    whole, first_community = few.lines.split("\n", 1)
    few.write(f"{whole}\n{community(NEW, peer.url)}{first_community}")
    until(lambda: found([NEW, WELL]), "the new community is the first")

    # What cannot be read changes nothing, and is told once.
    few.write(last + "failures = 0\n")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        assert found([NEW, WELL])
        time.sleep(0.2)
    assert few.gateway.log.read_text().count("was not taken over") == told_before + 1

    with Peer(NEW, documents=1) as moved:
        few.write(few.lines + community(NEW, moved.url, retrieve=peer.url))
        until(lambda: entries(few.find(NEW)) == [(urn(NEW), unique_id)], "it has moved")
        before = peer.figures.requests
        assert entries(few.find(NEW)) == [(urn(NEW), unique_id)]
        assert peer.figures.requests == before
        reply = few.ask("ITI-43", retrieve((urn(NEW), unique_id)))
        assert reply.documents() == {unique_id: content(NEW, 1)}
        assert peer.figures.requests == before + 1

        # What is under way ends as it began.
        moved.behave("answers", delay=6)
        with ThreadPoolExecutor(1) as client:
            before = moved.figures.requests
            slow = client.submit(few.find, NEW)
            moved.wait(lambda figures: figures.requests > before)
            few.write(few.lines)
            until(lambda: urn(NEW) not in ready(few.gateway), "the community is gone")
            assert not slow.done()
            assert rules(few.find(NEW, WELL)) == unknown
            assert entries(slow.result()) == [(urn(NEW), unique_id)]
        before = moved.figures.requests
        reply = few.ask("ITI-43", retrieve((urn(NEW), unique_id)))
        assert [each[:2] for each in rules(reply)] == [("XDSUnknownCommunity", urn(NEW))]
        assert moved.figures.requests == before
        moved.wait(lambda figures: figures.open == 0)


# -- Answers that are well-formed and odd


OTHERS = [(urn(WELL), document_id(WELL, number)) for number in range(1, DOCUMENTS + 1)]


@pytest.mark.parametrize(
    ("objects", "wrong"),
    [
        ("", False),
        (
            f'<rim:Association id="{m.new_uuid()}" associationType="a" sourceObject="b" targetObject="c"/>',
            False,
        ),
        ("text", False),
        ('<e:other xmlns:e="urn:example"/>', True),
        ("<rim:ExtrinsicObject/>", True),
    ],
    ids=["nothing", "an association", "text between", "a stranger's element", "an entry without an id"],
)
def test_an_odd_list_spoils_nobody_elses(objects: str, wrong: bool, few: Few) -> None:
    """The joined answer is valid whatever one community puts into its list."""
    few.odd.lists(objects)
    reply = few.find(ODD, WELL)
    assert entries(reply) == OTHERS
    told_of = [("XDSUnavailableCommunity", urn(ODD), "community-readable")] if wrong else []
    assert (reply.outcome, rules(reply)) == (PARTIAL if wrong else SUCCESS, told_of)


def test_odd_errors_are_passed_on_as_text(few: Few) -> None:
    """Codes that nobody knows, markup, an error without any attribute; and no more than can be read."""
    few.odd.lists("", error("a&quot;b&lt;c", "x&#10;]]&gt; &amp;") + "<rs:RegistryError/>", FAILURE)
    reply = few.find(ODD, WELL)
    assert (reply.outcome, entries(reply)) == (PARTIAL, OTHERS)
    assert [(each.code, each.location, each.severity) for each in told(reply)] == [
        ('a"b<c', urn(ODD), "Error"),
        ("XDSRegistryError", urn(ODD), "Error"),
    ]
    few.odd.lists("", error(context="x" * 400) * 3000, FAILURE)
    size = few.gateway.log.stat().st_size
    reply = few.find(ODD, WELL)
    assert (reply.outcome, entries(reply)) == (PARTIAL, OTHERS)
    assert {(each.code, each.location) for each in told(reply)} == {("XDSRegistryError", urn(ODD))}
    assert few.gateway.log.stat().st_size < size + 10_000


@pytest.mark.parametrize("status", [FAILURE, PARTIAL])
def test_a_failure_without_an_error_is_told(status: str, few: Few) -> None:
    """Whoever reads PartialSuccess must find whose part is missing."""
    few.odd.lists("", "", status)
    reply = few.find(ODD, WELL)
    assert (reply.outcome, entries(reply)) == (PARTIAL, OTHERS)
    assert rules(reply) == [("XDSUnavailableCommunity", urn(ODD), "community-reason")]


#: A document that nobody handed out, if this text were written as it is.
FORGED = escape(
    "1</xds:NewDocumentUniqueId><xds:mimeType>a/b</xds:mimeType><xds:Document></xds:Document></xds:DocumentResponse>"
    "<xds:DocumentResponse><xds:RepositoryUniqueId>1.2</xds:RepositoryUniqueId><xds:DocumentUniqueId>9.9.9"
    "</xds:DocumentUniqueId><xds:NewDocumentUniqueId>1"
)


@pytest.mark.parametrize("mtom", [False, True])
@pytest.mark.parametrize(
    ("more", "data"),
    [
        ({}, b"hei"),
        ({"content": ""}, b""),
        ({"mime_type": ""}, b"hei"),
        ({"mime_type": "text/plain&#13;&#10;X-Other: 1"}, b"hei"),
        ({"mime_type": "&lt;x/&gt;"}, b"hei"),
        ({"content": "?!"}, None),
        ({"content": "<x:other/>"}, None),
        ({"mime_type": "text/" + "x" * 300}, None),
        ({"new": "<x:NewDocumentUniqueId>1.2 &amp; 3</x:NewDocumentUniqueId>"}, b"hei"),
        ({"new": "<x:NewDocumentUniqueId>1&lt;/xds:NewDocumentUniqueId&gt;</x:NewDocumentUniqueId>"}, b"hei"),
        ({"new": f"<x:NewDocumentUniqueId>{FORGED}</x:NewDocumentUniqueId>"}, None),
    ],
    ids=[
        "good",
        "empty",
        "no type",
        "a type with a line end",
        "a type with markup",
        "no base64",
        "an element for bytes",
        "a long type",
        "a new id with an ampersand",
        "a new id with an end tag",
        "a new id with a document in it",
    ],
)
def test_an_odd_document_spoils_nobody_elses(
    more: dict[str, str], data: bytes | None, mtom: bool, few: Few
) -> None:
    """It comes as it is, twice when it was asked for twice, or not at all; the answer is valid."""
    few.odd.hands(handed("1.2.3", **more))
    asked = [(urn(ODD), "1.2.3"), (urn(WELL), document_id(WELL, 1)), (urn(ODD), "1.2.3")]
    reply = few.ask("ITI-43", retrieve(*asked), mtom=mtom)
    good = {document_id(WELL, 1): content(WELL, 1)}
    came = [each.text for each in reply.content().iter("{*}DocumentUniqueId")]
    if data is None:
        assert (reply.outcome, reply.documents()) == (PARTIAL, good)
        assert rules(reply) == [("XDSUnavailableCommunity", urn(ODD), "community-readable")]
    else:
        assert came == ["1.2.3", document_id(WELL, 1), "1.2.3"]
        assert (reply.outcome, reply.documents()) == (SUCCESS, {"1.2.3": data} | good)
    until(lambda: not staged(few.gateway), "the staging folder is empty")


def test_a_community_that_changes_while_it_is_looked_up_is_asked(tmp_path: Path) -> None:
    """The file is read anew between two looks of one request: nobody named in it may be forgotten."""
    before, after = (
        Communities((Community("A", "1.2.3", url, url),))
        for url in ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    )

    class File:
        looks = 0

        @property
        def communities(self) -> Communities:
            self.looks += 1
            return before if self.looks <= self.until else after

        def __init__(self, until: int) -> None:
            self.until = until

    options = SimpleNamespace(is_home=lambda home: home == "1.2.4")
    node: Any = SimpleNamespace(registry=SimpleNamespace(options=options))
    for until_look in range(6):
        file: Any = File(until_look)
        gateway = InitiatingGateway(file, Limits(), StagingFolder(tmp_path))
        targets = initiating_query._targets(node, gateway, ["urn:oid:1.2.3"])
        assert len(targets.gateways) == 1, f"changed after look {until_look}"
