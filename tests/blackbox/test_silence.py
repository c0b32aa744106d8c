"""Senders that fall silent or drip in the middle of a request: they are ended, and nobody else suffers."""

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

IDLE = 1
#: The beginning of a request that promises 100,000 bytes and sends one.
BEGUN = (
    b"POST /xds/registry HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/soap+xml\r\n"
    b"Content-Length: 100000\r\n\r\n<"
)


@pytest.fixture(scope="module")
def impatient(new_node: Callable[..., Node]) -> Node:
    """A node with few threads that waits a second for silent senders."""
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
        assert time.monotonic() - began < 8
        for each in connections:
            assert each.recv(100).startswith(b"HTTP/1.1 500")


def test_a_sender_that_drips_is_ended_and_told_so(impatient: Node) -> None:
    """A byte every 0.2 seconds is never silent for long, and is ended all the same."""
    with silent(impatient, 1) as (connection,):
        connection.settimeout(0.2)
        answer, began = b"", time.monotonic()
        while not answer and time.monotonic() - began < 10:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(4096)
        assert b"limits.idle_seconds" in answer
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("pause", [0.0, 3.0], ids=["slow", "paused"])
def test_a_slow_receiver_is_not_taken_for_a_silent_sender(pause: float, impatient: Node) -> None:
    """It has sent nothing for long, as it is being answered; whoever is silent beside it is ended alone."""
    document = m.Document(content=bytes(range(256)) * 160_000)  # more than all the buffers in between
    assert send(impatient, m.mtom([document])).outcome == SUCCESS
    request = m.mtom_retrieve(document.unique_id)
    with ThreadPoolExecutor(1) as pool, silent(impatient, 1) as (other,):
        told = pool.submit(other.recv, 100)
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=20) as connection:
            connection.sendall(
                f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: {request.content_type}\r\n"
                f"Content-Length: {len(request.body)}\r\n\r\n".encode()
                + bytes(request.body)  # type: ignore[arg-type]
            )
            received = bytearray(connection.recv(1000))
            time.sleep(pause)
            began = time.monotonic()
            while piece := connection.recv(65536):
                received += piece
                if not pause and time.monotonic() - began < 3:
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
