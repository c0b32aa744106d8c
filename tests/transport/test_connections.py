"""Hanging up: silent and dripping connections that came in, and no others."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import pytest

from xds.transport.connections import SilentConnections, StalledReceivers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="hanging up asks the Linux kernel")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def pair(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A connection's two ends: the client's, and the one that the server accepted."""
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    accepted.settimeout(2)
    client.settimeout(0.2)
    return client, accepted


def test_a_silent_sender_is_hung_up_on_and_can_still_be_answered(server: socket.socket) -> None:
    """Its reader sees the end of the data; the way back stays open."""
    client, accepted = pair(server)
    with client, accepted:
        client.sendall(b"abc")
        time.sleep(0.3)
        assert SilentConnections().hang_up(0.25, 9) == 1
        assert accepted.recv(10) == b"abc"
        assert accepted.recv(10) == b""
        accepted.sendall(b"why")
        assert client.recv(10) == b"why"


def test_a_sender_that_is_sending_is_left_alone(server: socket.socket) -> None:
    """Data came a moment ago."""
    client, accepted = pair(server)
    with client, accepted:
        time.sleep(1.6)
        client.sendall(b"abc")
        assert SilentConnections().hang_up(1.5, 9) == 0
        client.sendall(b"def")
        time.sleep(0.05)
        assert accepted.recv(10) == b"abcdef"


def test_a_sender_that_drips_is_hung_up_on_at_the_second_look(server: socket.socket) -> None:
    """A byte since the last look is not silence by the clock, and still less than a read needs."""
    client, accepted = pair(server)
    with client, accepted:
        connections = SilentConnections()
        client.sendall(b"a")
        assert connections.hang_up(60, 9) == 0
        client.sendall(b"b")
        time.sleep(0.05)
        assert connections.hang_up(60, 9) == 1


def test_a_sender_that_keeps_its_pace_is_left_alone(server: socket.socket) -> None:
    """Kilobytes between two looks."""
    client, accepted = pair(server)
    with client, accepted:
        connections = SilentConnections()
        assert connections.hang_up(60, 9) == 0
        client.sendall(b"a" * 5000)
        time.sleep(0.05)
        assert connections.hang_up(60, 9) == 0


def test_connections_that_this_process_opened_are_not_touched(server: socket.socket) -> None:
    """The client's end of the connection is silent too, and is not the server's to close."""
    client, accepted = pair(server)
    with client:
        time.sleep(0.3)
        assert SilentConnections().hang_up(0.25, 9) == 1  # the accepted end
        accepted.sendall(b"x")
        assert client.recv(10) == b"x"
        accepted.close()


def test_no_more_are_hung_up_on_than_there_are_late_reads_the_longest_silent_first(
    server: socket.socket,
) -> None:
    """A request that only waits for a thread is silent too, and came later."""
    first, accepted = pair(server)
    with first, accepted:
        first.sendall(b"a")
        time.sleep(0.2)
        second, other = pair(server)
        with second, other:
            second.sendall(b"b")
            time.sleep(0.3)
            connections = SilentConnections()
            assert connections.hang_up(0.25, 1) == 1
            assert (accepted.recv(10), accepted.recv(10)) == (b"a", b"")
            assert other.recv(10) == b"b"
            other.settimeout(0.1)
            with pytest.raises(TimeoutError):
                other.recv(10)
            assert connections.hang_up(0.25, 1) == 1  # nobody is told twice
            assert other.recv(10) == b""


def test_whoever_was_answered_comes_after_those_who_wait_for_an_answer(server: socket.socket) -> None:
    """An idle connection is hung up on when nobody else is left."""
    idle, answered = pair(server)
    with idle, answered:
        idle.sendall(b"a")
        time.sleep(0.1)
        answered.sendall(b"b")
        time.sleep(0.1)
        client, accepted = pair(server)
        with client, accepted:
            client.sendall(b"c")
            time.sleep(0.3)
            connections = SilentConnections()
            assert connections.hang_up(0.25, 1) == 1
            assert (accepted.recv(10), accepted.recv(10)) == (b"c", b"")
            assert connections.hang_up(0.25, 1) == 1
            assert (answered.recv(10), answered.recv(10)) == (b"a", b"")


def test_a_connection_that_is_being_sent_on_is_left_alone(server: socket.socket) -> None:
    """Its client has been silent for long: it is receiving."""
    client, accepted = pair(server)
    with client, accepted:
        client.sendall(b"a")
        time.sleep(1.6)
        accepted.sendall(b"b")
        assert SilentConnections().hang_up(1.5, 9) == 0


def fill(accepted: socket.socket) -> None:
    """Send until nothing more fits."""
    accepted.settimeout(0.05)
    with pytest.raises(TimeoutError):  # noqa: PT012
        while True:
            accepted.sendall(b"x" * 65536)


def test_a_receiver_that_takes_nothing_is_ended(server: socket.socket) -> None:
    """Both ways, but only when it took nothing between two looks and its thread is late."""
    client, accepted = pair(server)
    with client, accepted:
        fill(accepted)
        receivers = StalledReceivers()
        time.sleep(0.3)
        assert receivers.end(0.25, 9) == 0  # nothing to compare with yet
        time.sleep(0.3)
        assert receivers.end(0.25, 0) == 0  # no thread is late
        assert receivers.end(0.25, 9) == 1
        with pytest.raises(BrokenPipeError):
            accepted.sendall(b"x")


def test_a_receiver_that_takes_something_is_left_alone(server: socket.socket) -> None:
    """The window stays nearly shut and the sender blocked, and yet it reads."""
    client, accepted = pair(server)
    with client, accepted:
        fill(accepted)
        receivers = StalledReceivers()
        assert receivers.end(0.25, 9) == 0
        for _ in range(3):
            taken = 0
            while taken < 1_000_000:
                taken += len(client.recv(65536))
            time.sleep(0.3)
            fill(accepted)
            assert receivers.end(0.25, 9) == 0


def test_a_connection_that_is_owed_nothing_is_not_a_receiver(server: socket.socket) -> None:
    """It has everything, and is idle by right; so is the other end that this process opened."""
    client, accepted = pair(server)
    with client, accepted:
        accepted.sendall(b"answer")
        time.sleep(0.05)
        receivers = StalledReceivers()
        for _ in range(2):
            assert receivers.end(0.1, 9) == 0
            time.sleep(0.15)


def test_no_more_receivers_are_ended_than_threads_are_late_the_longest_stalled_first(
    server: socket.socket,
) -> None:
    """The second is stalled as well, and has to wait for its turn."""
    (first, one), (second, other) = pair(server), pair(server)
    with first, one, second, other:
        receivers = StalledReceivers()
        fill(one)
        assert receivers.end(0.1, 9) == 0
        time.sleep(0.05)
        fill(other)
        assert receivers.end(60, 9) == 0
        time.sleep(0.15)
        assert receivers.end(0.1, 1) == 1
        with pytest.raises(BrokenPipeError):
            one.sendall(b"x")
        with pytest.raises(TimeoutError):
            other.sendall(b"x")
        assert receivers.end(0.1, 1) == 1
        with pytest.raises(BrokenPipeError):
            other.sendall(b"x")


def test_no_descriptor_is_left_open(server: socket.socket) -> None:
    """Looking is free."""
    import os

    client, accepted = pair(server)
    with client, accepted:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            SilentConnections().hang_up(60, 9)
        assert len(os.listdir("/proc/self/fd")) <= before  # fewer when the collector comes by
