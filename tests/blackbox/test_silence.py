"""Silent or dripping senders, and receivers that do not read: they are ended, and nobody else suffers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node

#: Connections are the matter here, whatever the database.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")

IDLE = 2
#: The beginning of a request that promises 100,000 bytes and sends one.
BEGUN = (
    b"POST /xds/registry HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/soap+xml\r\n"
    b"Content-Length: 100000\r\n\r\n<"
)


@pytest.fixture(scope="module")
def impatient(new_node: Callable[..., Node]) -> Node:
    """A node with few threads that waits two seconds for silent senders."""
    return new_node(node__threads=4, limits__idle_seconds=IDLE)


@contextlib.contextmanager
def silent(node: Node, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which a request was begun."""
    with contextlib.ExitStack() as held:
        found = [
            held.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=20))
            for _ in range(count)
        ]
        for each in found:
            each.sendall(BEGUN)
        yield found


def test_more_silent_senders_than_threads_do_not_keep_a_good_request_waiting(impatient: Node) -> None:
    """Each gets its fault, and the good request that queued behind them all its answer, in a few seconds."""
    with silent(impatient, 8) as connections:
        time.sleep(0.2)
        began = time.monotonic()
        assert send(impatient, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
        assert time.monotonic() - began < 30
        for each in connections:
            assert each.recv(100).startswith(b"HTTP/1.1 500")


def test_a_sender_that_drips_is_ended_and_told_so(impatient: Node) -> None:
    """A byte every 0.2 seconds is never silent for long, and is ended all the same."""
    with silent(impatient, 1) as (connection,):
        connection.settimeout(0.2)
        answer, began = b"", time.monotonic()
        while not answer and time.monotonic() - began < 30:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(4096)
        assert b"limits.idle_seconds" in answer
        assert time.monotonic() - began < 30


@pytest.fixture(scope="module")
def document(impatient: Node) -> m.Document:
    """A registered document that is larger than all the buffers between the node and a client."""
    found = m.Document(content=bytes(range(256)) * 160_000)
    assert send(impatient, m.mtom([found])).outcome == SUCCESS
    return found


@contextlib.contextmanager
def asked(node: Node, document: m.Document, buffer: int = 0) -> Iterator[socket.socket]:
    """A connection on which ITI-43 was asked for `document`, with a receive buffer of `buffer` bytes."""
    request = m.mtom_retrieve(document.unique_id)
    with socket.socket() as connection:
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", node.port))
        connection.sendall(
            f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: {request.content_type}\r\n"
            f"Content-Length: {len(request.body)}\r\n\r\n".encode()
            + bytes(request.body)  # type: ignore[arg-type]
        )
        yield connection


def test_a_slow_receiver_is_not_taken_for_a_silent_sender(impatient: Node, document: m.Document) -> None:
    """It has sent nothing for long, as it is being answered; whoever is silent beside it is ended alone."""
    with ThreadPoolExecutor(1) as pool, silent(impatient, 1) as (other,):
        told = pool.submit(other.recv, 100)
        with asked(impatient, document) as connection:
            received = bytearray(connection.recv(1000))
            began = time.monotonic()
            while piece := connection.recv(65536):
                received += piece
                if time.monotonic() - began < 5:
                    time.sleep(0.02)
        assert told.result().startswith(b"HTTP/1.1 500")
    assert document.content in received


def test_a_client_that_keeps_its_connection_is_not_ended_in_a_senders_place(impatient: Node) -> None:
    """Idle between two requests is its right: it is served again on the same connection."""
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as kept:
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(0.2)
        with silent(impatient, 1) as (other,):
            assert other.recv(100).startswith(b"HTTP/1.1 500")
        kept.sendall(request)
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")


def test_receivers_that_do_not_read_do_not_keep_a_good_request_waiting(
    impatient: Node, document: m.Document
) -> None:
    """Six of them on four threads: all are ended within seconds, though none of them ever hangs up."""
    before = impatient.log.read_text().count("receiver went away")
    with contextlib.ExitStack() as held:
        for _ in range(6):
            held.enter_context(asked(impatient, document, buffer=4096))
        time.sleep(0.5)
        began = time.monotonic()
        assert send(impatient, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
        assert time.monotonic() - began < 30
        ended = 0
        while ended < 6 and time.monotonic() - began < 60:
            time.sleep(0.2)
            ended = impatient.log.read_text().count("receiver went away") - before
        assert ended == 6


def test_a_slow_but_steady_receiver_is_not_ended_beside_one_that_does_not_read(
    impatient: Node, document: m.Document
) -> None:
    """64 kB every 0.1 s for 5 s: the chunks are late, the receiver is not, and it gets every byte."""
    before = impatient.log.read_text().count("receiver went away")
    with asked(impatient, document, buffer=4096), asked(impatient, document, buffer=65536) as steady:
        received, began = bytearray(), time.monotonic()
        while piece := steady.recv(65536, socket.MSG_WAITALL):
            received += piece
            if time.monotonic() - began < 5:
                time.sleep(0.1)
        assert document.content in received
        assert impatient.log.read_text().count("receiver went away") == before + 1
