"""A call is over at its deadline, whatever the other side does, and leaves later calls alone.

Nothing here depends on being quick: a deadline of half a second must have ended a call within five.
"""

from __future__ import annotations

import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.test_tls import Authority
from tests.transport.hostile import XOP_TYPE, Connection, Dripping, Peer, Serve, answering, envelope, http
from xds.transport.client import NoAnswer, SoapClient, Trouble
from xds.transport.dial import Clock
from xds.transport.limits import Limits
from xds.transport.message import Attachment
from xds.transport.staged import StagingFolder

BODY = (b"<t:Ask xmlns:t='urn:test'/>",)
SECONDS = 0.5
GENEROUS = 5.0
#: Neither silence nor size ends anything here before the deadline does.
LIMITS = Limits(root_bytes=10**9, document_bytes=10**12, total_bytes=10**12, seconds=60, idle_seconds=60)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MTOM = (
    f'HTTP/1.1 200 OK\r\nContent-Type: multipart/related; type="{XOP_TYPE}"; boundary=B\r\n'
    f"Transfer-Encoding: chunked\r\n\r\n"
).encode()
LARGE = Attachment("text/plain", 10**9, lambda: iter([b"x" * 1_000_000] * 1000))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the client trusts."""
    return Authority(tmp_path_factory.mktemp("authority"), "servers")


@pytest.fixture(params=["plain", "TLS"])
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext | None:
    """Each peer speaks plainly, and over TLS."""
    return server_context(authority) if request.param == "TLS" else None


def server_context(authority: Authority) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*authority.issue("peer", ExtendedKeyUsageOID.SERVER_AUTH))
    return made


@pytest.fixture
def soap(authority: Authority) -> Iterator[SoapClient]:
    """A client that would connect for a minute."""
    client = SoapClient(ca_file=authority.file, connect_seconds=60, connections=4)
    yield client
    client.close()


def is_late(ask: Callable[..., object], *args: Any, limits: Limits = LIMITS, **more: Any) -> None:
    """It ends at its deadline, and says so."""
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="did not answer in time") as caught:
        ask(*args, limits, deadline=began + SECONDS, **more)
    ended = time.monotonic()
    assert caught.value.kind is Trouble.LATE
    assert SECONDS <= ended - began < GENEROUS


def call(soap: SoapClient, url: str, staging: StagingFolder, limits: Limits = LIMITS, **more: Any) -> None:
    soap.call(url, "urn:ask", BODY, False, b"", limits, staging, **more).discard()


# ---- hostile peers


def after_request(rest: Serve) -> Serve:
    def serve(connection: Connection) -> None:
        connection.request()
        rest(connection)

    return serve


def endlessly(opening: bytes, piece: bytes, pause: float = 0.0) -> Serve:
    """Send a beginning, and then the same again and again."""

    def serve(connection: Connection) -> None:
        connection.request()
        connection.send(opening)
        while not connection.peer.over.wait(pause):
            connection.send(piece)

    return serve


def silent(connection: Connection) -> None:
    connection.peer.over.wait()


def refusing_to_read(connection: Connection) -> None:
    connection.socket.recv(1000)
    connection.peer.over.wait()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ROOT = f"--B\r\nContent-Type: {XOP_TYPE}\r\n\r\n<a/>\r\n--B\r\nContent-ID: <d>\r\n\r\n".encode()
HOSTILE: dict[str, Serve] = {
    "says nothing": silent,
    "reads, and says nothing": after_request(silent),
    "drips the status line": after_request(lambda c: c.drip(b"HTTP/1.1 200 " + b"x" * 100_000, 0.02)),
    "drips fields": after_request(lambda c: c.drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000, 0.02)),
    "drips fields quickly": endlessly(b"HTTP/1.1 200 OK\r\nA: ", b"x", 0.001),
    "drips a body": endlessly(OK + b"Content-Length: 100000\r\n\r\n", b" ", 0.005),
    "drips a body that ends with the connection": endlessly(OK + b"\r\n", b" ", 0.01),
    "drips chunks": endlessly(CHUNKS, b"1\r\n \r\n", 0.01),
    "drips the size of a chunk": after_request(lambda c: c.drip(CHUNKS + b"0" * 200, 0.02)),
    "drips trailers": endlessly(CHUNKS + b"1\r\n<\r\n0\r\n", b"A: b\r\n", 0.02),
    "drips an attachment": endlessly(MTOM + chunk(ROOT), chunk(b"x"), 0.01),
    "says to go on, and on": endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "sends an endless body": endlessly(CHUNKS, chunk(b" " * 4096), 0.001),
    "sends an endless attachment": endlessly(MTOM + chunk(ROOT), chunk(b"x" * 65_536), 0.001),
    "stops in the middle": endlessly(OK + b"Content-Length: 100\r\n\r\n<a>", b"", 10),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_peer_keeps_nobody(
    soap: SoapClient, staging: StagingFolder, context: ssl.SSLContext | None, kind: str
) -> None:
    """The call ends, nothing stays staged, and the peer's connection is closed."""
    with Peer(HOSTILE[kind], context) as peer:
        is_late(call, soap, peer.url, staging)
        assert list(staging.path.iterdir()) == []
        assert not any(soap._connections._lines.values())


def test_a_peer_that_never_reads_keeps_nobody(
    soap: SoapClient, staging: StagingFolder, context: ssl.SSLContext | None
) -> None:
    """It takes the first bytes of a gigabyte."""

    def upload(limits: Limits, **more: Any) -> None:
        soap.call(peer.url, "urn:a", (b"<a>", LARGE, b"</a>"), True, b"", limits, staging, **more)

    with Peer(refusing_to_read, context) as peer:
        is_late(upload)


def test_a_peer_that_reads_slowly_keeps_nobody(
    soap: SoapClient, staging: StagingFolder, context: ssl.SSLContext | None
) -> None:
    """Each piece is sent in time, and the whole is not."""

    def slow(connection: Connection) -> None:
        while connection.socket.recv(20_000) and not connection.peer.over.wait(0.02):
            pass

    def upload(limits: Limits, **more: Any) -> None:
        soap.call(peer.url, "urn:a", (b"<a>", LARGE, b"</a>"), True, b"", limits, staging, **more)

    with Peer(slow, context) as peer:
        is_late(upload)


@pytest.mark.parametrize("half", ["send", "deliver"])
@pytest.mark.parametrize(
    "kind", ["reads, and says nothing", "drips fields", "drips a body", "sends an endless body"]
)
def test_halves_of_a_call_have_deadlines_too(
    soap: SoapClient, staging: StagingFolder, half: str, kind: str
) -> None:
    """A message whose answer goes elsewhere, and that answer. An endless body ends them before.

    An answer is taken when its receiver says 2xx: what else it says is of no matter, and takes no longer.
    """

    def ask(_: Limits, deadline: float) -> None:
        if half == "send":
            soap.send(
                peer.url, "urn:a", BODY, False, b"", LIMITS, staging,
                reply_to="urn:b", message_id="urn:c", deadline=deadline,
            )  # fmt: skip
        else:
            soap.deliver(peer.url, "text/plain", 1, lambda: [b"x"], deadline=deadline)

    with Peer(HOSTILE[kind]) as peer:
        if half == "deliver" and kind in ("drips a body", "sends an endless body"):
            ask(LIMITS, time.monotonic() + GENEROUS)
        elif kind == "sends an endless body":
            began = time.monotonic()
            with pytest.raises(NoAnswer):
                ask(LIMITS, began + SECONDS)
            assert time.monotonic() - began < GENEROUS
        else:
            is_late(ask)


def test_a_handshake_that_never_ends_keeps_nobody(soap: SoapClient, staging: StagingFolder) -> None:
    """The peer accepts and is silent."""
    with Peer(silent) as peer:
        is_late(call, soap, peer.url.replace("http:", "https:"), staging)


@pytest.mark.parametrize("pause", [0.01, 0.0005])
def test_tls_that_drips_keeps_nobody(
    soap: SoapClient, staging: StagingFolder, authority: Authority, pause: float
) -> None:
    """A handshake, or a record of an answer, that arrives byte for byte."""
    with Peer(saying_much, server_context(authority)) as peer, Dripping(peer.port, pause) as relay:
        is_late(call, soap, f"https://localhost:{relay.port}/", staging)


def saying_much(connection: Connection) -> None:
    while (request := connection.request()) is not None:
        connection.send(http(envelope(request, f"<a>{'x' * 200_000}</a>")))


STOPPED = """
import os, signal, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
accepted, _ = listening.accept()
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_is_frozen_keeps_nobody(soap: SoapClient, staging: StagingFolder) -> None:
    """SIGSTOP after it accepted; and the kernel goes on to accept for it."""
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/"
            for _ in range(2):
                is_late(call, soap, url, staging)
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_host_that_never_accepts_keeps_nobody(soap: SoapClient, staging: StagingFolder) -> None:
    """Its queue is full, so that the kernel does not answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        where = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(where)
        time.sleep(0.1)
        try:
            is_late(call, soap, f"http://127.0.0.1:{where[1]}/", staging)
        finally:
            for each in waiting:
                each.close()


def test_a_name_that_is_looked_up_for_ever_keeps_nobody(
    soap: SoapClient, staging: StagingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """getaddrinfo cannot be ended, so those who wait for one name share one thread."""
    found = threading.Event()
    asked = []

    def slow(*args: object, **more: object) -> list[Any]:
        asked.append(args)
        found.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with ThreadPoolExecutor(8) as threads:
        ends = [threads.submit(is_late, call, soap, "http://slow.example/", staging) for _ in range(8)]
        for end in ends:
            end.result()
    assert len(asked) == 1
    found.set()


def test_a_deadline_that_has_passed_sends_nothing(soap: SoapClient, staging: StagingFolder) -> None:
    """Neither on a fresh connection nor on a kept one."""
    with Peer(answering) as peer:
        for _ in range(2):
            with pytest.raises(NoAnswer) as caught:
                call(soap, peer.url, staging, deadline=time.monotonic())
            assert caught.value.kind is Trouble.LATE
            call(soap, peer.url, staging, deadline=time.monotonic() + 60)
    assert len(peer.requests) == 2


def test_a_repeat_has_no_more_time(soap: SoapClient, staging: StagingFolder) -> None:
    """The kept connection is closed, and the fresh one is silent."""

    def serve(connection: Connection) -> None:
        if connection.number == 1:
            request = connection.request()
            assert request is not None
            connection.send(http(envelope(request)))
            connection.request()
        else:
            silent(connection)

    with Peer(serve) as peer:
        call(soap, peer.url, staging)
        is_late(call, soap, peer.url, staging, repeat=True)
        assert len(peer.connections) == 2


def test_without_a_deadline_silence_and_the_whole_are_limited(
    soap: SoapClient, staging: StagingFolder
) -> None:
    """limits.idle_seconds; limits.seconds for an answer that drips, its head included."""
    for limits, kind in (
        (Limits(idle_seconds=SECONDS), "reads, and says nothing"),
        (Limits(seconds=SECONDS), "drips fields"),
        (Limits(seconds=SECONDS), "drips a body"),
    ):
        began = time.monotonic()
        with Peer(HOSTILE[kind]) as peer, pytest.raises(NoAnswer) as caught:
            call(soap, peer.url, staging, limits)
        assert caught.value.kind is Trouble.LATE
        assert SECONDS <= time.monotonic() - began < GENEROUS


def test_a_clock() -> None:
    """The smaller of patience and what is left; nothing is left at the deadline."""
    now = time.monotonic()
    assert Clock(None, 7).left() == 7
    assert Clock(None, 7).left(3) == 3
    assert 0 < Clock(now + 5, 7).left() <= 5
    clock = Clock(now + 50, 7)
    assert clock.left() == 7
    clock.within(60)
    assert clock.until == now + 50
    clock.within(0)
    with pytest.raises(TimeoutError):
        clock.left()


# ---- later calls


def test_an_old_deadline_does_not_end_a_later_call(
    soap: SoapClient, staging: StagingFolder, context: ssl.SSLContext | None
) -> None:
    """The second call is waiting, on the connection of the first, when the first one's deadline passes."""

    def serve(connection: Connection) -> None:
        while (request := connection.request()) is not None:
            if len(connection.peer.requests) > 1:
                connection.peer.over.wait(deadline + SECONDS - time.monotonic())
            connection.send(http(envelope(request)))

    with Peer(serve, context) as peer:
        deadline = time.monotonic() + GENEROUS / 2
        call(soap, peer.url, staging, deadline=deadline)
        assert time.monotonic() < deadline
        call(soap, peer.url, staging, deadline=time.monotonic() + 60)
        assert time.monotonic() > deadline
        call(soap, peer.url, staging)  # and no time-out of a call stays with its connection
    assert len(peer.connections) == 1


def test_deadlines_end_their_own_calls_only(
    soap: SoapClient, staging: StagingFolder, context: ssl.SSLContext | None
) -> None:
    """Many threads, few connections, deadlines just before and just after the answer: no call with time to
    spare fails, and each gets its own answer.
    """

    def serve(connection: Connection) -> None:
        rest = random.Random(connection.number)
        while (request := connection.request()) is not None:
            time.sleep(rest.random() * 0.02)
            connection.send(http(envelope(request)))

    def run(seed: int) -> tuple[int, int]:
        chance = random.Random(seed)
        late = 0
        for _ in range(60):
            in_a_hurry = chance.random() < 0.5
            seconds = chance.random() * 0.025 if in_a_hurry else 60.0
            kind = None
            try:
                call(soap, peer.url, staging, deadline=time.monotonic() + seconds)
            except NoAnswer as error:
                kind = error.kind
            assert kind is None or (in_a_hurry and kind is Trouble.LATE)
            late += kind is not None
        return late, 60

    with Peer(serve, context) as peer, ThreadPoolExecutor(16) as threads:
        ended = list(threads.map(run, range(16)))
        late, calls = (sum(each) for each in zip(*ended, strict=True))
        assert 0 < late < calls
        # Each late call costs a connection, and nothing else does.
        assert len(peer.connections) <= late + 16
    assert list(staging.path.iterdir()) == []
