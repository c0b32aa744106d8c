"""The clock on request bodies."""

from __future__ import annotations

import io
import time

import pytest

from xds.errors import Fault
from xds.transport.limits import Limits
from xds.transport.timed import LARGEST_READ, TimedStream


def read_all(stream: TimedStream, size: int = LARGEST_READ) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 3_000_000])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [1000, LARGEST_READ])
def test_all_bytes_come_through(length: int, known: bool, size: int) -> None:
    """With and without a Content-Length, however little is asked for at a time."""
    data = bytes(range(256)) * (length // 256 + 1)
    stream = TimedStream(io.BytesIO(data[:length]).read, Limits(), length if known else None)

    assert read_all(stream, size) == data[:length]
    assert stream.count == length
    assert stream.read() == b""


def test_nothing_is_read_beyond_the_content_length() -> None:
    """What follows belongs to the next request."""
    body = io.BytesIO(b"x" * 100)

    assert len(read_all(TimedStream(body.read, Limits(), 40))) == 40
    assert body.tell() == 40


def test_a_body_shorter_than_its_content_length_is_refused() -> None:
    """The sender went away."""
    with pytest.raises(Fault, match="Content-Length"):
        read_all(TimedStream(io.BytesIO(b"x" * 39).read, Limits(), 40))


def test_a_sender_that_was_hung_up_on_is_told_why() -> None:
    """The read ends late with little or nothing, and that is the sender's silence."""
    for rest in (b"", b"x"):

        def read(size: int, rest: bytes = rest) -> bytes:
            time.sleep(0.12)
            return rest

        stream = TimedStream(read, Limits(idle_seconds=0.1), 100)
        with pytest.raises(Fault, match=r"limits\.idle_seconds"):
            stream.read()
        assert stream.read() == b""


def test_a_sender_that_drips_is_given_up() -> None:
    """Never silent for long, but slower than the whole request may take."""

    def read(size: int) -> bytes:
        time.sleep(0.02)
        return b"x"

    with pytest.raises(Fault, match=r"limits\.seconds"):
        read_all(TimedStream(read, Limits(idle_seconds=1, seconds=0.2)))


def test_an_error_of_the_server_comes_through() -> None:
    """A broken connection is not hidden."""

    def read(size: int) -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        TimedStream(read, Limits()).read()


def test_draining_ends_in_time_and_never_fails() -> None:
    """An endless sender is listened to for the given time only."""
    began = time.monotonic()
    stream = TimedStream(lambda size: b"x" * size, Limits())
    stream.drain(0.1)

    assert time.monotonic() - began < 30
    assert stream.read() == b""
