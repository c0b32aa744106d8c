"""MLLP: frames however they are cut, senders who are silent, too long, too many, and TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.test_tls import Authority
from tests.waiting import eventually
from xds.transport import mllp
from xds.transport.limits import Limits
from xds.transport.mllp import END, START, Framer, MllpListener, TooLong


def framed(*messages: bytes) -> bytes:
    return b"".join(START + message + END for message in messages)


@given(
    st.lists(st.binary(max_size=30).filter(lambda m: START not in m and b"\x1c" not in m), max_size=5),
    st.data(),
)
def test_messages_come_out_whole_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    """The network cuts where it likes, also within the two bytes of the end."""
    stream, framer, found = framed(*messages), Framer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += framer.take(stream[:size])
        stream = stream[size:]
    assert found == messages
    assert not framer.inside


def test_what_stands_outside_a_frame_is_dropped() -> None:
    """Blank lines, keep-alives, the rest of something."""
    framer = Framer()
    assert framer.take(b"\r\nhello" + framed(b"one") + b"noise\x1c\r" + framed(b"two") + b"\r\n") == [
        b"one",
        b"two",
    ]
    assert not framer.inside


def test_a_message_that_is_broken_off_is_no_part_of_the_next() -> None:
    """The head of one patient's message must not be read with the body of another's."""
    framer = Framer()
    assert framer.take(START + b"MSH|first") == []
    assert framer.inside
    assert framer.take(START + b"MSH|second" + END) == [b"MSH|second"]


def test_half_an_end_is_none() -> None:
    """0x1C without the carriage return may be followed by it later."""
    framer = Framer()
    assert framer.take(START + b"one\x1c") == []
    assert framer.take(b"\x1c\r") == [b"one\x1c"]


def test_a_message_without_end_is_given_up() -> None:
    """In pieces or at once."""
    framer = Framer()
    framer.take(START + b"x" * (mllp.MOST_BYTES - 1))
    with pytest.raises(TooLong):
        framer.take(b"x")
    with pytest.raises(TooLong):
        Framer().take(START + b"x" * mllp.MOST_BYTES)


@pytest.fixture
def listen() -> Iterator[Callable[..., MllpListener]]:
    """Start a listener that answers with what it was sent, in upper case; it is closed at the end."""
    made = []

    def start(tls: ssl.SSLContext | None = None, **limits: float) -> MllpListener:
        one = MllpListener(("127.0.0.1", 0), lambda message, _: message.upper(), Limits(**limits), tls)  # type: ignore[arg-type]
        made.append(one)
        one.start()
        return one

    yield start
    for one in made:
        one.close()


def connect(listener: MllpListener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=10)


def read(connection: socket.socket, count: int = 1) -> list[bytes]:
    """The next `count` answers."""
    framer, found = Framer(), []
    while len(found) < count:
        data = connection.recv(65536)
        assert data, "hung up"
        found += framer.take(data)
    return found


def test_messages_on_one_connection_are_answered_in_order(listen: Callable[..., MllpListener]) -> None:
    """One at a time or several in one packet."""
    with connect(listen()) as connection:
        connection.sendall(framed(b"one"))
        assert read(connection) == [b"ONE"]
        connection.sendall(framed(b"two", b"three"))
        assert read(connection, 2) == [b"TWO", b"THREE"]


def test_a_sender_who_stops_in_the_middle_is_hung_up_on(listen: Callable[..., MllpListener]) -> None:
    """And gets no answer, as nothing was understood."""
    with connect(listen(idle_seconds=0.2)) as connection:
        connection.sendall(START + b"half")
        assert connection.recv(100) == b""


def test_a_sender_who_drips_is_hung_up_on(listen: Callable[..., MllpListener]) -> None:
    """Never silent for long, never done."""
    with connect(listen(idle_seconds=5, seconds=0.3)) as connection:
        connection.sendall(START)
        connection.settimeout(0.05)
        heard = None
        while heard is None:
            try:
                connection.sendall(b"x")
                heard = connection.recv(100)
            except TimeoutError:
                pass
            except OSError:
                heard = b""
        assert heard == b""


def test_a_sender_who_rests_between_messages_is_left_alone(listen: Callable[..., MllpListener]) -> None:
    """Senders keep their connection open; only a message under way has to come on."""
    with connect(listen(idle_seconds=0.2, seconds=0.2)) as connection:
        connection.sendall(framed(b"one"))
        assert read(connection) == [b"ONE"]
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(framed(b"two"))
        assert read(connection) == [b"TWO"]


def test_a_message_that_is_too_long_ends_the_connection(listen: Callable[..., MllpListener]) -> None:
    """Others are served on."""
    listener = listen()
    heard = b""
    with connect(listener) as connection, suppress(OSError):
        connection.sendall(START + b"x" * (mllp.MOST_BYTES + 1))
        heard = connection.recv(100)
    assert heard == b""
    with connect(listener) as connection:
        connection.sendall(framed(b"one"))
        assert read(connection) == [b"ONE"]


def test_more_connections_than_there_are_places_wait(
    listen: Callable[..., MllpListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all are in the middle of a message, the one too many is heard as soon as another goes."""
    monkeypatch.setattr(mllp, "MOST_CONNECTIONS", 2)
    listener = listen()
    with connect(listener) as first, connect(listener) as second:
        assert eventually(lambda: len(listener._resting) == 2)
        for connection in (first, second):
            connection.sendall(START + b"on")
        # Who waits ends whoever rests: the third comes when nobody does.
        assert eventually(lambda: not listener._resting)
        with connect(listener) as third:
            third.sendall(framed(b"one"))
            third.settimeout(0.5)
            with pytest.raises(TimeoutError):
                third.recv(1)
            first.close()
            third.settimeout(10)
            assert read(third) == [b"ONE"]
        second.sendall(b"e" + END)
        assert read(second) == [b"ONE"]


@pytest.mark.parametrize("pause", [0, 1])
def test_who_rests_longest_makes_room(
    listen: Callable[..., MllpListener], monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """Connections that nobody uses must not keep a feed out; no other goes while one takes its time to."""
    monkeypatch.setattr(mllp, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(mllp.log, "info", lambda *_: time.sleep(pause))  # told of each that ends
    listener = listen()
    with connect(listener) as first, connect(listener) as second:
        # A connection rests from its beginning, and again a moment after its answer is here.
        assert eventually(lambda: len(listener._resting) == 2)
        first.sendall(framed(b"one"))
        assert read(first) == [b"ONE"]
        assert eventually(lambda: len(listener._resting) == 2)
        with connect(listener) as third:
            third.sendall(framed(b"one"))
            assert read(third) == [b"ONE"]
            assert second.recv(1) == b""
            first.sendall(framed(b"two"))
            assert read(first) == [b"TWO"]


def test_an_answer_that_fails_ends_the_connection_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says where, and never what the message said."""

    def fail(message: bytes, sender: str) -> bytes:
        raise ValueError(message.decode())

    listener = MllpListener(("127.0.0.1", 0), fail, Limits())
    listener.start()
    with connect(listener) as connection:
        connection.sendall(framed(b"Tuva"))
        assert connection.recv(100) == b""
    listener.close()
    assert "ValueError" in caplog.text
    assert "Tuva" not in caplog.text


def test_only_known_systems_are_heard(tmp_path: Path, listen: Callable[..., MllpListener]) -> None:
    """TLS with a client certificate; neither plain TCP nor TLS without one gets an answer."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost", ExtendedKeyUsageOID.SERVER_AUTH)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = listen(context)

    client = ssl.create_default_context(cafile=authority.file)
    with connect(listener) as plain:
        plain.sendall(framed(b"one"))
        assert framed(b"ONE") not in _rest(plain)
    heard = b""
    with (
        connect(listener) as raw,
        suppress(OSError),
        client.wrap_socket(raw, server_hostname="localhost") as stranger,
    ):
        stranger.sendall(framed(b"one"))
        heard = stranger.recv(100)
    assert heard == b""
    client.load_cert_chain(*authority.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH))
    with connect(listener) as raw, client.wrap_socket(raw, server_hostname="localhost") as known:
        known.sendall(framed(b"one"))
        assert read(known) == [b"ONE"]


def _rest(connection: socket.socket) -> bytes:
    found = b""
    try:
        while data := connection.recv(1000):
            found += data
    except ConnectionResetError:
        pass
    return found
