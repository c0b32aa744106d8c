"""Syslog over TLS: octets counted, receivers that hang up, refuse, are silent, are somebody else."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.test_tls import Authority
from xds.audit import syslog
from xds.audit.syslog import SyslogSender, frame

SECONDS = 5.0
#: For receivers that never do what is waited for.
SHORT = 0.4
A, B, C = b"<A>\xc3\xa5</A>", b"<B/>", b"<C/>"


# ---- the message (RFC 5424, 6; RFC 5425, 4.3; ITI TF-2 3.20.4.1.2)


def test_a_frame_as_written_by_hand() -> None:
    """Facility 10, severity 5; UTC; å is two octets; the count is of octets."""
    moment = datetime(2026, 3, 1, 11, 11, 12, 345000, timezone(timedelta(hours=1)))
    # <85>1: 5, time 27, host 14, xds 3, id 4, IHE+RFC-3881 12, nil 1, seven spaces, <A>å</A> 9 octets.
    assert frame("ev-1", A, moment, "xds.example.no") == (
        b"82 <85>1 2026-03-01T10:11:12.345000Z xds.example.no xds ev-1 IHE+RFC-3881 - <A>\xc3\xa5</A>"
    )


def test_a_field_holds_only_printable_ascii_and_is_never_empty() -> None:
    """PRINTUSASCII of RFC 5424, 6; the nil value where nothing is left."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    written = frame("a b\nø", B, moment, "").split(b" ", 1)[1]
    assert written == b"<85>1 2026-03-01T00:00:00.000000Z - xds ab IHE+RFC-3881 - <B/>"
    fields = frame("i" * 200, B, moment, "h" * 300).split(b" ")
    assert (len(fields[3]), len(fields[5])) == (255, 128)


# ---- receivers


class Receiver:
    """Takes connections one after the other and does with each what the next of `plays` says."""

    def __init__(self, *plays: Callable[[Receiver, socket.socket], None], tls: ssl.SSLContext | None) -> None:
        self._plays, self._tls = plays, tls
        self.streams: list[bytearray] = []
        self.troubles: list[str] = []
        self.released = threading.Event()
        self.played = [threading.Event() for _ in plays]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for play, played in zip(self._plays, self.played, strict=True):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(SECONDS)
            self.streams.append(bytearray())
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                play(self, connection)
            except OSError as error:
                self.troubles.append(type(error).__name__)
            finally:
                connection.close()
                played.set()

    def end(self) -> None:
        self.released.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    @property
    def messages(self) -> list[bytes]:
        """The XML of each frame, in the order of arrival; every octet must belong to one."""
        return [message.rsplit(b" - ", 1)[1] for stream in self.streams for message in frames(bytes(stream))]


def frames(stream: bytes) -> list[bytes]:
    """RFC 5425, 4.3: MSG-LEN without leading zero, one space, so many octets; and again."""
    found = []
    while stream:
        head = re.match(rb"([1-9][0-9]*) ", stream)
        assert head is not None, stream[:20]
        end = head.end() + int(head[1])
        assert end <= len(stream)
        found.append(stream[head.end() : end])
        stream = stream[end:]
    return found


def read(receiver: Receiver, connection: socket.socket, octets: int = 0) -> None:
    """To the end, or until so many octets are there."""
    stream = receiver.streams[-1]
    while (not octets or len(stream) < octets) and (data := connection.recv(4096)):
        stream += data


def good(receiver: Receiver, connection: socket.socket) -> None:
    """Reads to the goodbye and answers it (RFC 5425, 4.4)."""
    read(receiver, connection)
    if isinstance(connection, ssl.SSLSocket):
        connection.unwrap().close()


def curt(receiver: Receiver, connection: socket.socket) -> None:
    """Reads to the goodbye and closes without one, as rsyslog with GnuTLS does."""
    read(receiver, connection)


def slow(receiver: Receiver, connection: socket.socket) -> None:
    """One octet at a time."""
    while data := connection.recv(1):
        receiver.streams[-1] += data


def after_one(receiver: Receiver, connection: socket.socket) -> None:
    """Reads the first message whole and closes, as a receiver does that ends idle connections."""
    read(receiver, connection, octets=20)


def reset(receiver: Receiver, connection: socket.socket) -> None:
    """Dies: what it has not read is gone."""
    read(receiver, connection, octets=20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def deaf(receiver: Receiver, connection: socket.socket) -> None:
    """Reads nothing; its kernel acknowledges all the same."""
    receiver.released.wait(SECONDS)


def gone(receiver: Receiver, connection: socket.socket) -> None:
    """Closes at once."""


def half(receiver: Receiver, connection: socket.socket) -> None:
    """Half-closes, unasked, and later dies with what came after that unread."""
    connection.shutdown(socket.SHUT_WR)
    receiver.released.wait(SECONDS)


def refusing(context: ssl.SSLContext) -> Callable[[Receiver, socket.socket], None]:
    """Reads all that there is before it looks at our certificate, and ends in good order after the alert."""

    def play(receiver: Receiver, connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(4096))
            except ssl.SSLError as error:
                receiver.troubles.append(str(error.reason))
                read(receiver, connection)
                connection.sendall(outgoing.read())
                return

    return play


Start = Callable[..., Receiver]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server_files(authority: Authority) -> tuple[Path, Path]:
    """Certificate and key for localhost, and for no address."""
    return authority.issue("repository", ExtendedKeyUsageOID.SERVER_AUTH)


@pytest.fixture
def serving(server_files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_files)
    return context


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


@pytest.fixture
def start(serving: ssl.SSLContext) -> Iterator[Start]:
    started: list[Receiver] = []

    def run(*plays: Callable[[Receiver, socket.socket], None], tls: bool = True) -> Receiver:
        started.append(Receiver(*plays, tls=serving if tls else None))
        return started[-1]

    yield run
    for receiver in started:
        receiver.end()


@pytest.fixture
def sender_to(trusting: ssl.SSLContext) -> Iterator[Callable[..., SyslogSender]]:
    made: list[SyslogSender] = []

    def make(receiver: Receiver, *, seconds: float = SECONDS, tls: bool = True) -> SyslogSender:
        made.append(SyslogSender("localhost", receiver.port, trusting if tls else None, seconds))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


# ---- what arrives


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("play", [good, curt, slow])
def test_a_batch_arrives_over_one_connection(
    start: Start,
    sender_to: Callable[..., SyslogSender],
    serving: ssl.SSLContext,
    version: ssl.TLSVersion,
    play: Callable[[Receiver, socket.socket], None],
) -> None:
    """Every octet belongs to a counted frame, whether or not the receiver says goodbye."""
    serving.maximum_version = version
    receiver = start(play, play)
    sender = sender_to(receiver)
    for number, message in enumerate((A, B, C)):
        sender.send(f"event-{number}", message)
    sender.confirm()
    assert receiver.messages == [A, B, C]
    sender.send("event-3", A)
    sender.confirm()
    assert [len(frames(bytes(stream))) for stream in receiver.streams] == [3, 1]
    assert receiver.troubles == []


def test_the_event_can_be_told_by_its_id(start: Start, sender_to: Callable[..., SyslogSender]) -> None:
    """HOSTNAME APP-NAME PROCID MSGID SD; the time of sending in UTC with six digits."""
    receiver = start(good)
    sender = sender_to(receiver)
    sender.send("0192f0c1-0000-7000-8000-000000000001", B)
    sender.confirm()
    (message,) = frames(bytes(receiver.streams[0]))
    assert re.fullmatch(
        rb"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]+ xds "
        rb"0192f0c1-0000-7000-8000-000000000001 IHE\+RFC-3881 - <B/>",
        message,
    )


def test_a_large_message_arrives_whole(start: Start, sender_to: Callable[..., SyslogSender]) -> None:
    """More than a TLS record and more than the kernel's buffers hold at once."""
    large = b"<A>" + bytes(range(33, 60)) * 200_000 + b"</A>"
    receiver = start(good)
    sender = sender_to(receiver)
    sender.send("large", large)
    sender.send("small", B)
    sender.confirm()
    assert receiver.messages == [large, B]


def test_clear_text_is_for_tests_and_is_confirmed_alike(
    start: Start, sender_to: Callable[..., SyslogSender]
) -> None:
    """Without a context there is no TLS; the end of the connection says the same."""
    receiver = start(good, tls=False)
    sender = sender_to(receiver, tls=False)
    sender.send("1", A)
    sender.confirm()
    assert receiver.messages == [A]


def test_nothing_sent_needs_no_confirmation() -> None:
    """Nor a receiver: port 1 of this machine has none."""
    sender = SyslogSender("localhost", 1, None, SHORT)
    sender.confirm()
    sender.close()


# ---- receivers that hang up


@pytest.mark.parametrize("tls", [True, False])
def test_a_receiver_that_has_read_and_hung_up_has_taken_it(
    start: Start, sender_to: Callable[..., SyslogSender], tls: bool
) -> None:
    """The second message goes over a new connection, and both are confirmed: nothing comes twice."""
    receiver = start(after_one, good, tls=tls)
    sender = sender_to(receiver, tls=tls)
    sender.send("1", A)
    assert receiver.played[0].wait(SECONDS)
    sender.send("2", B)
    sender.confirm()
    assert receiver.messages == [A, B]


@pytest.mark.parametrize("tls", [True, False])
def test_to_a_receiver_that_has_hung_up_nothing_more_is_said(
    start: Start, sender_to: Callable[..., SyslogSender], tls: bool
) -> None:
    """A goodbye would be answered with a reset, and put in doubt what was taken."""
    receiver = start(after_one, tls=tls)
    sender = sender_to(receiver, tls=tls)
    sender.send("1", A)
    assert receiver.played[0].wait(SECONDS)
    sender.confirm()
    assert receiver.messages == [A]


@pytest.mark.parametrize("tls", [True, False])
def test_a_receiver_that_was_reset_leaves_a_doubt(
    start: Start, sender_to: Callable[..., SyslogSender], tls: bool
) -> None:
    """The second message arrives, but the first may not have been taken: the batch is not confirmed."""
    receiver = start(reset, good, good, tls=tls)
    sender = sender_to(receiver, tls=tls)
    sender.send("1", A)
    assert receiver.played[0].wait(SECONDS)
    sender.send("2", B)
    with pytest.raises(OSError, match="before it had taken"):
        sender.confirm()
    # The next batch begins anew.
    sender.send("1", A)
    sender.confirm()
    assert receiver.messages[-1] == A


@pytest.mark.parametrize("tls", [True, False])
def test_a_message_to_a_receiver_that_has_just_closed_is_not_lost_unseen(
    start: Start, sender_to: Callable[..., SyslogSender], monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """dcm4che#1355: the look came too early, the write succeeds, reading shows an end in good order."""
    receiver = start(after_one, tls=tls)
    sender = sender_to(receiver, tls=tls)
    sender.send("1", A)
    assert receiver.played[0].wait(SECONDS)
    with monkeypatch.context() as patch:
        patch.setattr(syslog._Connection, "has_ended", lambda _: False)
        sender.send("2", B)
    time.sleep(0.05)  # for the reset to come
    with pytest.raises(OSError, match=r"."):
        sender.confirm()
    assert receiver.messages == [A]


def test_an_end_in_good_order_with_a_reset_behind_it_is_not_believed(
    start: Start, sender_to: Callable[..., SyslogSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is acknowledged, and reading shows the end only: the socket's error says that it was not read."""
    receiver = start(half, good, tls=False)
    sender = sender_to(receiver, tls=False)
    with monkeypatch.context() as patch:
        patch.setattr(syslog._Connection, "has_ended", lambda _: False)
        sender.send("1", A)
        sender.send("1", A)
    time.sleep(0.05)
    receiver.released.set()
    assert receiver.played[0].wait(SECONDS)
    sender.send("2", B)
    with pytest.raises(OSError, match="before it had taken"):
        sender.confirm()


@pytest.mark.parametrize(("unacknowledged", "is_taken"), [([9, 9, 0], True), ([9] * 10_000, False)])
def test_what_is_not_acknowledged_is_waited_for(
    start: Start,
    sender_to: Callable[..., SyslogSender],
    monkeypatch: pytest.MonkeyPatch,
    unacknowledged: list[int],
    is_taken: bool,
) -> None:
    """An end has been seen and no reset yet, but some bytes are still on the way: they may be lost."""
    receiver = start(good)
    sender = sender_to(receiver, seconds=SHORT)
    sender.send("1", A)
    rest = iter(unacknowledged)
    monkeypatch.setattr(syslog._Connection, "_unacknowledged", lambda _: next(rest))
    if is_taken:
        sender.confirm()
        assert list(rest) == []
    else:
        with pytest.raises(TimeoutError):
            sender.confirm()


def test_the_kernel_tells_what_is_not_acknowledged(start: Start) -> None:
    """Nothing at first; something when the receiver's window is full."""
    receiver = start(deaf, tls=False)
    connection = syslog._Connection(("localhost", receiver.port), None, SECONDS)
    assert connection._unacknowledged() == 0
    with pytest.raises(TimeoutError):
        connection.write(b"x" * 50_000_000, time.monotonic() + SHORT)
    assert connection._unacknowledged() > 0
    connection.close()


def test_a_receiver_that_stops_reading_is_not_believed(
    start: Start, sender_to: Callable[..., SyslogSender]
) -> None:
    """Its TCP acknowledges, its process never sees the message: no end, no confirmation."""
    receiver = start(deaf)
    sender = sender_to(receiver, seconds=SHORT)
    sender.send("1", A)
    with pytest.raises(TimeoutError):
        sender.confirm()


def test_a_receiver_that_closes_unread_is_not_believed(
    start: Start, sender_to: Callable[..., SyslogSender]
) -> None:
    """It is stopped while the message lies in its kernel, which answers with a reset."""
    receiver = start(deaf)
    sender = sender_to(receiver)
    sender.send("1", A)
    time.sleep(0.05)
    receiver.released.set()
    with pytest.raises(OSError, match=r"."):
        sender.confirm()


def test_a_full_receiver_makes_send_fail_in_time(
    start: Start, sender_to: Callable[..., SyslogSender]
) -> None:
    """What the buffers do not hold is not written; the time-out is for the whole message."""
    receiver = start(deaf)
    sender = sender_to(receiver, seconds=SHORT)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        sender.send("1", b"x" * 50_000_000)
    assert time.monotonic() - began < SHORT + 30


def test_a_message_that_could_not_be_written_is_no_doubt_about_the_next(
    start: Start, sender_to: Callable[..., SyslogSender]
) -> None:
    """The caller knows of it already: `send` has raised."""
    receiver = start(deaf, good)
    sender = sender_to(receiver, seconds=1.0)
    with pytest.raises(TimeoutError):
        sender.send("1", b"x" * 50_000_000)
    receiver.released.set()
    sender.send("1", A)
    sender.confirm()
    assert receiver.messages[-1:] == [A]


def test_closing_confirms_nothing(start: Start, sender_to: Callable[..., SyslogSender]) -> None:
    """A goodbye is said, no answer is waited for, and what was sent stays in doubt."""
    receiver = start(good)
    sender = sender_to(receiver)
    sender.send("1", A)
    sender.close()
    with pytest.raises(OSError, match="before it had taken"):
        sender.confirm()
    assert receiver.played[0].wait(SECONDS)


# ---- receivers that do not take us, or are not who they should be


def test_nobody_listens() -> None:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        SyslogSender("localhost", port, None, SHORT).send("1", A)


@pytest.mark.parametrize("play", [gone, deaf])
def test_no_handshake(
    start: Start,
    sender_to: Callable[..., SyslogSender],
    play: Callable[[Receiver, socket.socket], None],
) -> None:
    """A receiver that closes or is silent before TLS begins."""
    receiver = start(play, tls=False)
    sender = sender_to(receiver, seconds=SHORT)
    with pytest.raises(OSError, match=r"."):
        sender.send("1", A)
    sender.confirm()  # nothing was sent, nothing is in doubt


def test_an_unknown_authority(start: Start) -> None:
    """Its certificate is good, but not by those that we trust."""
    receiver = start(good)
    sender = SyslogSender("localhost", receiver.port, ssl.create_default_context(), SECONDS)
    with pytest.raises(ssl.SSLCertVerificationError):
        sender.send("1", A)


def test_another_host_name(start: Start, trusting: ssl.SSLContext) -> None:
    """The certificate names localhost and not its address."""
    receiver = start(good)
    sender = SyslogSender("127.0.0.1", receiver.port, trusting, SECONDS)
    with pytest.raises(ssl.SSLCertVerificationError):
        sender.send("1", A)
    assert receiver.played[0].wait(SECONDS)
    assert receiver.messages == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_receiver_that_wants_a_certificate(
    start: Start,
    sender_to: Callable[..., SyslogSender],
    serving: ssl.SSLContext,
    authority: Authority,
    version: ssl.TLSVersion,
) -> None:
    """In TLS 1.3 the refusal comes after the handshake and after the first write: `confirm` must see it."""
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_verify_locations(str(authority.file))
    serving.maximum_version = version
    receiver = start(good)
    sender = sender_to(receiver)

    def deliver() -> None:
        sender.send("1", A)
        sender.confirm()

    with pytest.raises(OSError, match=r"."):
        deliver()
    assert receiver.messages == []


def test_a_refusal_that_comes_after_the_goodbye(
    start: Start, sender_to: Callable[..., SyslogSender], serving: ssl.SSLContext
) -> None:
    """TCP ends in good order and all is acknowledged: only the alert says that nothing was taken."""
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.minimum_version = ssl.TLSVersion.TLSv1_3
    receiver = start(refusing(serving), tls=False)
    sender = sender_to(receiver)
    sender.send("1", A)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
        sender.confirm()
    assert receiver.troubles == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]


def test_a_receiver_that_talks_without_end(start: Start, sender_to: Callable[..., SyslogSender]) -> None:
    """A few words are read and forgotten; what never stops is no audit repository."""

    def chatty(receiver: Receiver, connection: socket.socket) -> None:
        connection.sendall(b"x" * 10_000_000)

    receiver = start(chatty, tls=False)
    sender = sender_to(receiver, seconds=SHORT, tls=False)
    sender.send("1", A)
    time.sleep(0.05)
    with pytest.raises(OSError, match=r"."):
        sender.confirm()


def _lax_host() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def _lax_certificate() -> ssl.SSLContext:
    context = _lax_host()
    context.verify_mode = ssl.CERT_NONE
    return context


def _old() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


@pytest.mark.parametrize("make", [_lax_host, _lax_certificate, _old])
def test_a_lax_context_is_refused(make: Callable[[], ssl.SSLContext]) -> None:
    """Patients' names go over it: neither an unchecked receiver nor TLS before 1.2 (ITI TF-2 3.19)."""
    with pytest.raises(ValueError, match=r"TLS 1\.2"):
        SyslogSender("localhost", 6514, make(), SECONDS)


def test_a_host_that_is_no_name() -> None:
    """Labels have at most 63 characters; what the name's coding says is an OSError like all else."""
    with pytest.raises(OSError, match="no host name"):
        SyslogSender("å" * 70, 6514, None, SHORT).send("1", A)


def test_the_host_is_looked_up_for_each_connection(
    start: Start, sender_to: Callable[..., SyslogSender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that moves is found again."""
    asked: list[object] = []
    real = socket.getaddrinfo

    def lookup(host: str, *rest: object) -> object:
        asked.append(host)
        return real(host, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    receiver = start(good, good)
    sender = sender_to(receiver)
    for _ in range(2):
        sender.send("1", A)
        sender.send("2", B)
        sender.confirm()
    assert asked == ["localhost", "localhost"]
