"""The SOAP client against peers of every kind, over real sockets and real TLS; time is test_deadline.py's."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.ports import free_port
from tests.test_tls import Authority
from tests.transport.hostile import (
    WSA,
    XOP_TYPE,
    Connection,
    Peer,
    Request,
    answering,
    envelope,
    fault,
    http,
    saying,
)
from xds.errors import ClientError
from xds.transport import dial, http1
from xds.transport.client import Faulted, NoAnswer, SoapClient, Trouble
from xds.transport.limits import Limits
from xds.transport.message import Attachment, Message
from xds.transport.soap import Version
from xds.transport.staged import StagingFolder

BODY = (b"<t:Ask xmlns:t='urn:test'/>",)
LIMITS = Limits()
REPLY_TO = "https://gateway.example/reply"
ID = "urn:uuid:22222222-2222-4222-8222-222222222222"


@pytest.fixture
def soap() -> Iterator[SoapClient]:
    """A client with its own connections."""
    client = SoapClient(connections=4)
    yield client
    client.close()


@pytest.fixture
def ask(soap: SoapClient, staging: StagingFolder) -> Callable[..., Message]:
    """Call with next to nothing; nothing may stay staged, whatever comes of it."""

    def ask(peer: Peer | str, limits: Limits = LIMITS, **more: Any) -> Message:
        url = peer if isinstance(peer, str) else peer.url
        try:
            message = soap.call(url, "urn:ask", BODY, False, b"", limits, staging, **more)
            message.discard()
            return message
        finally:
            assert list(staging.path.iterdir()) == []

    return ask


Ask = Callable[..., Message]


def kind_of(ask: Callable[..., object], *args: Any, match: str | None = None, **more: Any) -> Trouble:
    """Why there is no answer."""
    with pytest.raises(NoAnswer, match=match) as caught:
        ask(*args, **more)
    return caught.value.kind


# ---- what is sent


def test_a_connection_is_used_again(ask: Ask) -> None:
    """Three calls, one connection; each answer belongs to its call."""
    with Peer(answering) as peer:
        for _ in range(3):
            assert ask(peer).body.tag == "{urn:test}Done"
    assert (len(peer.connections), len(peer.requests)) == (1, 3)
    assert len({request.message_id for request in peer.requests}) == 3


def test_what_the_caller_chooses_is_sent(ask: Ask) -> None:
    """The MessageID and further fields of the HTTP header."""
    with Peer(answering) as peer:
        assert ask(peer, message_id=ID, fields={"traceparent": "00-1-2-01"}).relates_to == ID
    (request,) = peer.requests
    assert request.message_id == ID
    lines = request.head.decode().split("\r\n")
    assert lines[:2] == ["POST /soap HTTP/1.1", f"Host: localhost:{peer.port}"]
    assert "traceparent: 00-1-2-01" in lines
    assert "Accept-Encoding: identity" in lines


@pytest.mark.parametrize(
    "fields", [{"a": "b\r\nX: y"}, {"a": "b\0"}, {"a b": "c"}, {"": "c"}, {"Transfer-Encoding": "chunked"}]
)
def test_fields_cannot_smuggle(ask: Ask, fields: dict[str, str]) -> None:
    """What a field must not hold is refused before anything is sent."""
    with Peer(answering) as peer, pytest.raises(ValueError, match="header field"):
        ask(peer, fields=fields)
    assert peer.connections == []


def test_addresses_are_written_as_http_wants_them(ask: Ask) -> None:
    """Path and query are encoded, a user is not sent, an IPv6 host keeps its brackets."""
    with Peer(answering) as peer:
        ask(f"http://someone:secret@127.0.0.1:{peer.port}/å b?c=%20d")
        ask(f"http://127.0.0.1:{peer.port}")
    first, second = (request.head for request in peer.requests)
    assert first.startswith(b"POST /%C3%A5%20b?c=%20d HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"secret" not in first
    assert second.startswith(b"POST / HTTP/1.1\r\n")
    assert "\r\nHost: [::1]:8080\r\n" in dial.address("http://[::1]:8080/").opening
    assert dial.address("https://sykehus-å.example/").host == "xn--sykehus--h0a.example"


@pytest.mark.parametrize(
    "url", ["", "ftp://host/", "http://", "http://host:0/", "http://host:x/", "http://a\r\nb/"]
)
def test_what_is_no_address_is_told(ask: Ask, url: str) -> None:
    """In a sentence."""
    assert kind_of(ask, url, match="An address is written") is Trouble.UNREACHED


def test_version_1_1_names_its_action(ask: Ask) -> None:
    """In SOAPAction, with quotes."""

    def answer(request: Request) -> bytes:
        body = envelope(request).replace(
            b"http://www.w3.org/2003/05/soap-envelope", b"http://schemas.xmlsoap.org/soap/envelope/"
        )
        return http(body, content_type="text/xml")

    with Peer(saying(answer)) as peer:
        assert ask(peer, version=Version.SOAP11).version is Version.SOAP11
    assert b'SOAPAction: "urn:ask"' in peer.requests[0].head


# ---- connections


def test_more_connections_than_are_kept_serve_a_burst_and_the_next(
    soap: SoapClient, staging: StagingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 calls at a time where 4 are kept open no more than 32 connections; later only 4 stay."""
    together = threading.Barrier(32)

    def serve(connection: Connection) -> None:
        while (request := connection.request()) is not None:
            if b"urn:together" in request.body:
                together.wait(20)
            connection.send(http(envelope(request)))

    def call(peer: Peer, action: str) -> None:
        soap.call(peer.url, action, BODY, False, b"", Limits(), staging).discard()

    with Peer(serve) as peer:
        for _ in range(3):
            threads = [threading.Thread(target=call, args=(peer, "urn:together")) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert (len(peer.requests), len(peer.connections)) == (96, 32)
        monkeypatch.setattr(http1, "SPARE_SECONDS", 0.0)
        call(peer, "urn:alone")
        (line,) = soap._connections._lines.values()
        assert len(line) == 4
        monkeypatch.setattr(http1, "KEPT_SECONDS", 0.0)
        call(peer, "urn:alone")
        assert (len(peer.connections), len(line)) == (33, 1)


def test_a_connection_that_was_closed_while_it_waited_is_not_used(ask: Ask) -> None:
    """The client sees it before it sends: nothing is repeated, nothing is lost."""

    def serve(connection: Connection) -> None:
        request = connection.request()
        assert request is not None
        connection.send(http(envelope(request)))

    with Peer(serve) as peer:
        for _ in range(3):
            ask(peer)
            while peer.connections[-1].socket.fileno() >= 0:
                time.sleep(0.01)
    assert (len(peer.connections), len(peer.requests)) == (3, 3)


@pytest.mark.parametrize("close", ["fields", "version", "more", "late more"])
def test_a_connection_that_cannot_be_kept_is_not(ask: Ask, close: str) -> None:
    """The peer says that it closes, speaks HTTP/1.0, or says more than it was asked."""

    def serve(connection: Connection) -> None:
        while (request := connection.request()) is not None:
            answer = http(
                envelope(request), *(["Connection: keep-alive, Close"] if close == "fields" else [])
            )
            if close == "version":
                answer = answer.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
            connection.send(answer + (http(envelope(request)) if close == "more" else b""))
            if close == "late more":
                connection.send(http(envelope(request)))

    with Peer(serve) as peer:
        for _ in range(2):
            ask(peer)
            time.sleep(0.1)  # for what comes late
    assert len(peer.connections) == 2


class HangingUp:
    """Answers the first request of a connection, and hangs up on the second: `times` in all."""

    def __init__(self, times: int, after: bytes = b"", *, reset: bool = False) -> None:
        self.left = times
        self._after = after
        self._reset = reset

    def __call__(self, connection: Connection) -> None:
        kept = 0
        while (request := connection.request()) is not None:
            if (kept or b"urn:first" in request.body) and self.left:
                self.left -= 1
                connection.send(self._after)
                if self._reset:
                    connection.reset()
                return
            kept += 1
            connection.send(http(envelope(request)))


@pytest.mark.parametrize("reset", [False, True])
def test_a_request_on_a_kept_connection_is_repeated_once(ask: Ask, reset: bool) -> None:
    """When it was closed before a byte of the answer came; on a fresh connection, with the same MessageID."""
    with Peer(HangingUp(1, reset=reset)) as peer:
        ask(peer, repeat=True)
        ask(peer, repeat=True, message_id=ID)
    assert [request.message_id for request in peer.requests[1:]] == [ID, ID]
    assert len(peer.connections) == 2


def test_a_request_is_repeated_once_only(ask: Ask, soap: SoapClient) -> None:
    """The fresh connection is closed as well, whatever others are kept."""

    def serve(connection: Connection) -> None:
        if (request := connection.request()) is not None and connection.number == 1:
            connection.send(http(envelope(request)))
            connection.request()

    with Peer(serve) as peer:
        ask(peer, repeat=True)
        assert kind_of(ask, peer, repeat=True) is Trouble.BROKEN
    assert (len(peer.requests), len(peer.connections)) == (3, 2)


@pytest.mark.parametrize(
    ("after", "more"),
    [(b"H", {"repeat": True}), (b"HTTP/1.1 200 OK\r\n", {"repeat": True}), (b"", {"repeat": False})],
)
def test_a_request_is_not_repeated_after_a_byte_or_unasked(
    ask: Ask, after: bytes, more: dict[str, bool]
) -> None:
    """Then somebody may be at work on it already."""
    with Peer(HangingUp(1, after)) as peer:
        ask(peer)
        assert kind_of(ask, peer, match="broke off", **more) is Trouble.BROKEN
    assert len(peer.requests) == 2


def test_a_request_on_a_fresh_connection_is_not_repeated(ask: Ask) -> None:
    """It is not the connection that was too old."""
    with Peer(lambda connection: connection.request() and None) as peer:
        assert kind_of(ask, peer, repeat=True, match="broke off") is Trouble.BROKEN
    assert (len(peer.requests), len(peer.connections)) == (1, 1)


def test_a_streamed_request_is_not_repeated(ask: Ask, soap: SoapClient, staging: StagingFolder) -> None:
    """Its attachments were read already."""
    attachment = Attachment("text/plain", 3, lambda: iter([b"abc"]))
    with Peer(HangingUp(1)) as peer:
        ask(peer)
        with pytest.raises(NoAnswer, match="broke off"):
            soap.call(
                peer.url, "urn:a", (b"<a>", attachment, b"</a>"), True, b"", Limits(), staging, repeat=True
            )
    assert len(peer.requests) == 2


def test_an_answer_that_comes_before_the_request_is_read_is_heard(
    soap: SoapClient, staging: StagingFolder
) -> None:
    """The peer refuses the first bytes of 50 MB and hangs up."""
    request = Request(b"", b"")

    def serve(connection: Connection) -> None:
        connection.socket.recv(100)
        connection.send(http(envelope(request, fault()), status="500 Too Large"))
        connection.socket.shutdown(socket.SHUT_WR)
        while connection.socket.recv(65_536) and not connection.peer.over.is_set():
            pass

    large = Attachment("text/plain", 50_000_000, lambda: iter([b"x" * 1_000_000] * 50))
    with Peer(serve) as peer, pytest.raises(Faulted, match="No such place"):
        soap.call(peer.url, "urn:a", (b"<a>", large, b"</a>"), True, b"", Limits(), staging)


def test_a_process_that_was_forked_has_connections_of_its_own(
    soap: SoapClient, ask: Ask, staging: StagingFolder
) -> None:
    """The parent's goes on as if nothing had happened."""
    with Peer(answering) as peer:
        ask(peer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads
            child = os.fork()
        if child == 0:
            code = 1
            try:
                soap.call(peer.url, "urn:ask", BODY, False, b"", Limits(), staging)
                soap.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        ask(peer)
    assert (len(peer.requests), len(peer.connections)) == (3, 2)


def test_a_closed_client_leaves_nothing_open(soap: SoapClient, ask: Ask) -> None:
    """Connections that wait end at once, one in use after its answer."""
    with Peer(answering) as peer:
        ask(peer)
        soap.close()
        ask(peer)
        (line,) = soap._connections._lines.values()
        assert len(line) == 0
    assert len(peer.connections) == 2


# ---- who cannot be reached or trusted


def test_nobody_listens(ask: Ask) -> None:
    """Or there is no such host."""
    url = f"http://127.0.0.1:{free_port()}/"
    assert kind_of(ask, url, match="could not be reached: check") is Trouble.UNREACHED


def test_a_host_that_has_no_address(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a name that could have one."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert kind_of(ask, "http://nowhere.example/", match="nowhere.example could not") is Trouble.UNREACHED
    monkeypatch.undo()
    assert kind_of(ask, f"http://{'a' * 64}.example/") is Trouble.UNREACHED
    assert dial._lookups == {}


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Unavailable", "504 Gateway Timeout"])
def test_a_proxy_with_nobody_behind_it(ask: Ask, status: str) -> None:
    """Is as good as nobody."""
    with Peer(saying(http(b"<html/>", status=status, content_type="text/html"))) as peer:
        assert kind_of(ask, peer, match=f"HTTP {status[:3]}") is Trouble.UNREACHED


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the client trusts."""
    return Authority(tmp_path_factory.mktemp("servers"), "servers")


@pytest.fixture
def context(servers: Authority) -> ssl.SSLContext:
    """Of a server with a good certificate."""
    return server_context(servers)


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("peer", ExtendedKeyUsageOID.SERVER_AUTH))
    return context


def call_with(staging: StagingFolder, url: str, **more: Any) -> None:
    client = SoapClient(**more)
    try:
        client.call(url, "urn:ask", BODY, False, b"", Limits(), staging).discard()
        client.call(url, "urn:ask", BODY, False, b"", Limits(), staging).discard()
    finally:
        client.close()


def test_calls_over_tls(servers: Authority, context: ssl.SSLContext, staging: StagingFolder) -> None:
    """Two on one connection."""
    with Peer(answering, context) as peer:
        call_with(staging, peer.url, ca_file=servers.file)
    assert (len(peer.requests), len(peer.connections)) == (2, 1)


def test_a_certificate_that_nobody_vouches_for(context: ssl.SSLContext, staging: StagingFolder) -> None:
    """The system's authorities do not know it. Not a byte of the message is sent."""
    with Peer(answering, context) as peer:
        assert kind_of(call_with, staging, peer.url, match="No secure connection") is Trouble.UNTRUSTED
    assert peer.requests == []


def test_a_certificate_of_another_host(
    servers: Authority, context: ssl.SSLContext, staging: StagingFolder
) -> None:
    """It is for localhost, and the address says 127.0.0.1."""
    with Peer(answering, context) as peer:
        url = peer.url.replace("localhost", "127.0.0.1")
        assert kind_of(call_with, staging, url, ca_file=servers.file) is Trouble.UNTRUSTED
    assert peer.requests == []


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_required(
    servers: Authority, staging: StagingFolder, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    """With it the client is served; without it, or with another authority's, nobody is."""
    clients = Authority(tmp_path, "clients")
    context = server_context(servers)
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.file)
    certificate, key = clients.issue("gateway", ExtendedKeyUsageOID.CLIENT_AUTH)
    with Peer(answering, context) as peer:
        call_with(staging, peer.url, ca_file=servers.file, certificate=certificate, key=key)
        assert len(peer.requests) == 2
        (tmp_path / "other").mkdir()
        stranger = Authority(tmp_path / "other", "clients").issue("gateway", ExtendedKeyUsageOID.CLIENT_AUTH)
        # The alert that says so can be lost when the peer hangs up on what was sent meanwhile.
        told = (Trouble.UNTRUSTED, Trouble.BROKEN)
        assert kind_of(call_with, staging, peer.url, ca_file=servers.file) in told
        assert (
            kind_of(
                call_with, staging, peer.url, ca_file=servers.file, certificate=stranger[0], key=stranger[1]
            )
            in told
        )
        assert len(peer.requests) == 2


def test_tls_1_1_is_not_spoken(servers: Authority, staging: StagingFolder) -> None:
    """By a peer that has nothing newer."""
    context = server_context(servers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Peer(answering, context) as peer:
        assert kind_of(call_with, staging, peer.url, ca_file=servers.file) is Trouble.UNTRUSTED
        old = ssl.create_default_context(cafile=servers.file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", peer.port)) as sock:
            try:
                sock = old.wrap_socket(sock, server_hostname="localhost")
                assert sock.version() == "TLSv1.1"  # so that it is our client that does not want to
                sock.close()
            except ssl.SSLError:
                pytest.skip("this OpenSSL has no TLS 1.1 at all")


def test_a_peer_that_does_not_speak_tls(ask: Ask) -> None:
    """It answers in clear, or hangs up: then it is nobody rather than somebody untrusted."""
    with Peer(lambda connection: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        url = peer.url.replace("http:", "https:")
        assert kind_of(ask, url, match="No secure connection") is Trouble.UNTRUSTED
    with Peer(lambda connection: connection.socket.recv(10_000) and None) as peer:
        assert kind_of(ask, peer.url.replace("http:", "https:")) is Trouble.UNREACHED


@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_breaks_off_under_tls(
    servers: Authority, context: ssl.SSLContext, staging: StagingFolder, reset: bool
) -> None:
    """In the middle of a large message: that is no question of trust."""

    def serve(connection: Connection) -> None:
        connection.socket.recv(100)
        if reset:
            connection.reset()

    large = Attachment("text/plain", 50_000_000, lambda: iter([b"x" * 1_000_000] * 50))
    client = SoapClient(ca_file=servers.file)
    with Peer(serve, context) as peer, pytest.raises(NoAnswer, match="broke off") as caught:
        client.call(peer.url, "urn:a", (b"<a>", large, b"</a>"), True, b"", Limits(), staging)
    client.close()
    assert caught.value.kind is Trouble.BROKEN


# ---- what is not read


def test_a_redirect_is_not_followed(ask: Ask, soap: SoapClient) -> None:
    """Neither with a call, nor with the halves of one that is answered elsewhere."""
    with Peer(answering) as other:
        there = http(b"", f"Location: {other.url}", status="307 Temporary Redirect", content_type="")
        with Peer(saying(there)) as peer:
            told = "answers with a redirect, which is not followed"
            assert kind_of(ask, peer, match=told) is Trouble.UNREADABLE
            assert kind_of(send, soap, peer, match=told) is Trouble.UNREADABLE
            assert kind_of(deliver, soap, peer, match=told) is Trouble.UNREADABLE
    assert other.connections == []


def test_a_compressed_answer_is_not_unpacked(ask: Ask) -> None:
    """Nothing is decompressed, not even a bomb."""
    bomb = gzip.compress(b" " * 10_000_000)
    with Peer(saying(http(bomb, "Content-Encoding: gzip"))) as peer:
        assert kind_of(ask, peer, match="it is compressed") is Trouble.UNREADABLE
    with Peer(saying(lambda request: http(envelope(request), "Content-Encoding: identity"))) as peer:
        ask(peer)


def multipart(request: Request, *documents: bytes) -> bytes:
    """An answer with documents."""
    parts = [
        (f"Content-Type: {XOP_TYPE}", envelope(request)),
        *(("Content-ID: <d>", each) for each in documents),
    ]
    body = b"".join(b"--B\r\n%b\r\n\r\n%b\r\n" % (head.encode(), data) for head, data in parts) + b"--B--\r\n"
    return http(body, content_type=f'multipart/related; type="{XOP_TYPE}"; boundary=B')


@pytest.mark.parametrize(
    ("limits", "answer", "named"),
    [
        (Limits(root_bytes=1000), lambda r: http(envelope(r, f"<a>{'x' * 1000}</a>")), "root_bytes"),
        (Limits(document_bytes=1000), lambda r: multipart(r, b"x" * 1001), "document_bytes"),
        (Limits(total_bytes=1000), lambda r: multipart(r, b"x" * 1001), "total_bytes"),
        (Limits(total_bytes=1000), lambda r: http(b"x" * 1001), "total_bytes"),
        (Limits(parts=2), lambda r: multipart(r, b"x", b"x"), "parts"),
        (
            Limits(total_bytes=1000),
            lambda r: chunked(multipart(r, b"x" * 1001)),
            "total_bytes",
        ),
    ],
)
def test_an_answer_that_is_larger_than_allowed(
    ask: Ask, limits: Limits, answer: Callable[[Request], bytes], named: str
) -> None:
    """It is told which limit it passes."""
    with Peer(saying(answer)) as peer:
        assert kind_of(ask, peer, limits, match=rf"limits\.{named}") is Trouble.TOO_LARGE


def test_an_answer_as_large_as_allowed(soap: SoapClient, staging: StagingFolder) -> None:
    """Its document is there."""
    with Peer(saying(lambda request: multipart(request, b"x" * 1000))) as peer:
        limits = Limits(document_bytes=1000)
        message = soap.call(peer.url, "urn:ask", BODY, False, b"", limits, staging)
    assert message.unreferenced == ("d",)
    assert [path.stat().st_size for path in staging.path.iterdir()] == [1000]
    message.discard()


def chunked(answer: bytes, size: int = 1, extension: str = "", trailers: str = "") -> bytes:
    """The same answer in chunks."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return (
        b"\r\n".join([*lines, b"Transfer-Encoding: Chunked", b"", b""])
        + b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension.encode(), piece) for piece in pieces)
        + b"0\r\n%b\r\n" % trailers.encode()
    )


EARLY = b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
FOLDED = 'application/soap+xml;\r\n\taction="urn:x";\r\n charset=utf-8'
FORMS: dict[str, Callable[[Request], bytes]] = {
    "chunks of one byte": lambda r: chunked(http(envelope(r))),
    "chunks of many": lambda r: chunked(http(envelope(r)), 300),
    "one chunk": lambda r: chunked(http(envelope(r)), 10_000),
    "chunks with extensions": lambda r: chunked(http(envelope(r)), 7, " ;a=b"),
    "trailers": lambda r: chunked(http(envelope(r)), 7, trailers="A: b\r\nC: d\r\n"),
    "a large one in chunks": lambda r: chunked(http(envelope(r, f"<a>{'x' * 300_000}</a>")), 65_537),
    "a large one": lambda r: http(envelope(r, f"<a>{'x' * 300_000}</a>")),
    "first 100, then 103": lambda r: EARLY + http(envelope(r)),
    "no reason": lambda r: http(envelope(r)).replace(b"200 OK", b"200"),
    "a folded field": lambda r: http(envelope(r), content_type=FOLDED),
    "no spaces": lambda r: http(envelope(r)).replace(b": ", b":"),
    "MTOM": lambda r: multipart(r),
    "MTOM in chunks": lambda r: chunked(multipart(r, b"x" * 5000), 13),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pieces", [False, True])
def test_forms_in_which_an_answer_may_come(ask: Ask, form: str, pieces: bool) -> None:
    """All in one piece or in many; and the connection is good for another."""

    def serve(connection: Connection) -> None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (request := connection.request()) is not None:
            answer = FORMS[form](request)
            step = max(3, len(answer) // 200) if pieces else len(answer)
            for at in range(0, len(answer), step):
                connection.send(answer[at : at + step])

    with Peer(serve) as peer:
        ask(peer)
        ask(peer)
    assert len(peer.connections) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_that_ends_with_the_connection(ask: Ask, version: str) -> None:
    """No length, no chunks."""

    def serve(connection: Connection) -> None:
        request = connection.request()
        assert request is not None
        head = f"HTTP/{version} 200 OK\r\nContent-Type: application/soap+xml\r\n\r\n"
        connection.send(head.encode() + envelope(request))

    with Peer(serve) as peer:
        ask(peer)
        ask(peer)
    assert len(peer.connections) == 2


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
UNREADABLE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a version that is not ours": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "another protocol from now on": b"HTTP/1.1 101 Switching\r\n\r\n",
    "lines that end in LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n",
    "a line without a colon": OK + b"Content-Length 5\r\n\r\n",
    "a field without a name": OK + b": 5\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\n",
    "a folded line with no field before it": b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    "a control character": OK + b"A: b\0c\r\n\r\n",
    "a carriage return": OK + b"A: b\rc\r\n\r\n",
    "a length that is no number": OK + b"Content-Length: 5x\r\n\r\n12345",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    "a length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an encoding on the way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKS + b"\r\nabc\r\n0\r\n\r\n",
    "a chunk of a size that is none": CHUNKS + b"-1\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKS + b"2\r\nabc\r\n0\r\n\r\n",
    "a line of a chunk that is too long": CHUNKS + b"1;" + b"x" * 300 + b"\r\na\r\n0\r\n\r\n",
    "a header that is too long": OK + b"A: " + b"x" * 70_000 + b"\r\n\r\n",
    "a header without an end": OK + b"A: b\r\n" * 20_000,
    "trailers without an end": CHUNKS + b"1\r\n<\r\n0\r\n" + b"A: b\r\n" * 20_000,
    "nothing in it": OK + b"Content-Length: 0\r\n\r\n",
    "nothing at all in it": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content type": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>",
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_cannot_be_read(ask: Ask, name: str) -> None:
    """Is told as such; the connection is not used again."""
    with Peer(saying(UNREADABLE[name])) as peer:
        for _ in range(2):
            assert kind_of(ask, peer) is Trouble.UNREADABLE
    if name not in ("nothing in it", "nothing at all in it"):
        assert len(peer.connections) == 2


@pytest.mark.parametrize(
    "part",
    [
        b"", b"HTT", OK, OK + b"Content-Length: 100\r\n\r\n", OK + b"Content-Length: 100\r\n\r\n<a>",
        CHUNKS, CHUNKS + b"5", CHUNKS + b"5\r\n<a>", CHUNKS + b"3\r\n<a>\r\n", CHUNKS + b"4\r\n<a/>\r\n0\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_breaks_off(ask: Ask, part: bytes, reset: bool) -> None:
    """Wherever that is."""

    def serve(connection: Connection) -> None:
        connection.request()
        connection.send(part)
        if reset:
            time.sleep(0.02)  # a reset overtakes what was sent
            connection.reset()

    with Peer(serve) as peer:
        assert kind_of(ask, peer, match="broke off") is Trouble.BROKEN


def test_the_answer_to_another_message(ask: Ask) -> None:
    """Is not ours."""
    with Peer(saying(http(envelope(Request(b"", b"MessageID>urn:other<"))))) as peer:
        assert kind_of(ask, peer, match="RelatesTo") is Trouble.UNREADABLE


def test_a_fault_is_no_trouble_of_the_connection(ask: Ask) -> None:
    """It is Faulted, with its code, and the connection is used again."""
    with Peer(saying(lambda request: http(envelope(request, fault()), status="500 X"))) as peer:
        for _ in range(2):
            with pytest.raises(Faulted, match="refused the message: No such place") as caught:
                ask(peer)
            assert caught.value.subcode == (WSA, "DestinationUnreachable")
    assert len(peer.connections) == 1


def test_a_disk_that_fails_is_told_as_ours(soap: SoapClient, staging: StagingFolder) -> None:
    """With the error for those who have to know."""
    with Peer(saying(lambda request: multipart(request, b"x"))) as peer:
        staging.path.rmdir()
        with pytest.raises(ClientError, match="A file cannot be read or written") as caught:
            soap.call(peer.url, "urn:ask", BODY, False, b"", Limits(), staging)
    assert not isinstance(caught.value, NoAnswer)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_progress_is_told_of_an_answer(ask: Ask) -> None:
    """With the length when it was announced."""
    told: list[tuple[int, int | None]] = []
    with Peer(saying(lambda request: http(envelope(request, f"<a>{'x' * 200_000}</a>")))) as peer:
        ask(peer, received=lambda count, total: told.append((count, total)))
    assert len(told) > 2
    assert told[-1][0] == told[-1][1]


# ---- answers that go elsewhere


def send(soap: SoapClient, peer: Peer, **more: Any) -> Message | None:
    with tempfile.TemporaryDirectory() as folder:
        staging = StagingFolder(Path(folder))
        to: dict[str, Any] = {"reply_to": REPLY_TO, "message_id": ID, **more}
        message = soap.send(peer.url, "urn:ask", BODY, False, b"", Limits(), staging, **to)
        if message is not None:
            message.discard()
        assert list(staging.path.iterdir()) == []
        return message


def deliver(soap: SoapClient, peer: Peer, data: bytes = b"<a/>", **more: Any) -> None:
    soap.deliver(peer.url, "application/soap+xml", len(data), lambda: iter([data]), **more)


TAKEN = {
    "202": http(b"", status="202 Accepted", content_type=""),
    "202 with the type of a message": http(b"", status="202 Accepted"),
    "202 in chunks": chunked(http(b"", status="202 Accepted")),
    "202 with a remark": http(b"Thank you.", status="202 Accepted", content_type="text/plain"),
    "200": http(b"", content_type=""),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_message_whose_answer_goes_elsewhere_is_taken(soap: SoapClient, name: str) -> None:
    """ReplyTo says where; it is not mandatory to understand it."""
    with Peer(saying(TAKEN[name])) as peer:
        assert send(soap, peer, fields={"traceparent": "00-1-2-01"}) is None
        assert send(soap, peer) is None
    assert len(peer.connections) == 1
    first = peer.requests[0]
    assert first.message_id == ID
    assert f"<a:ReplyTo><a:Address>{REPLY_TO}</a:Address></a:ReplyTo>".encode() in first.body
    assert b"traceparent: 00-1-2-01" in first.head


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda r: http(b"<html/>", content_type="text/html"), Trouble.UNREADABLE),
        (lambda r: http(b"x" * 9000, status="202 Accepted", content_type="text/plain"), Trouble.UNREADABLE),
        (lambda r: http(b"x" * 300_000), Trouble.UNREADABLE),
        (lambda r: http(b"", status="404 Not Found", content_type="text/html"), Trouble.UNREADABLE),
        (lambda r: http(b"", status="500 Error", content_type="text/html"), Trouble.UNREADABLE),
        (lambda r: http(b"<", status="500 Error"), Trouble.UNREADABLE),
        (lambda r: http(envelope(r).replace(r.message_id.encode(), b"urn:uuid:0")), Trouble.UNREADABLE),
        (lambda r: http(b"", status="503 Unavailable", content_type=""), Trouble.UNREACHED),
    ],
)
def test_a_message_whose_answer_goes_elsewhere_is_not_taken(
    soap: SoapClient, answer: Callable[[Request], bytes], kind: Trouble
) -> None:
    """What comes at once is neither a receipt nor an answer to the message."""
    with Peer(saying(answer)) as peer:
        assert kind_of(send, soap, peer) is kind


@pytest.mark.parametrize(
    "answer",
    [
        lambda r: http(envelope(r)),
        lambda r: http(envelope(r), status="202 Accepted"),
        lambda r: chunked(http(envelope(r, f"<a>{'x' * 20_000}</a>"), status="202 Accepted")),
        lambda r: multipart(r, b"x"),
    ],
)
def test_an_answer_that_comes_at_once_is_one(soap: SoapClient, answer: Callable[[Request], bytes]) -> None:
    """Who refuses a message before it is taken has no other way."""
    with Peer(saying(answer)) as peer:
        message = send(soap, peer)
    assert message is not None
    assert message.relates_to == ID


@pytest.mark.parametrize("half", [send, deliver])
@pytest.mark.parametrize(
    "answer",
    [
        lambda r: http(envelope(r, fault()), status="500 Error"),
        lambda r: http(envelope(r, fault()), status="400 Bad Request"),
        lambda r: multipart_fault(r),
    ],
)
def test_a_fault_comes_at_once(
    soap: SoapClient, half: Callable[..., None], answer: Callable[[Request], bytes]
) -> None:
    """As MTOM too."""
    with Peer(saying(answer)) as peer:
        with pytest.raises(Faulted, match="No such place") as caught:
            half(soap, peer)
        assert caught.value.subcode == (WSA, "DestinationUnreachable")


def multipart_fault(request: Request) -> bytes:
    body = b"--B\r\nContent-Type: %b\r\n\r\n%b\r\n--B--\r\n" % (XOP_TYPE.encode(), envelope(request, fault()))
    return http(body, status="500 Error", content_type=f'multipart/related; type="{XOP_TYPE}"; boundary=B')


def test_a_fault_with_a_good_status(soap: SoapClient) -> None:
    """Is a fault all the same."""
    answer = saying(lambda request: http(envelope(request, fault()), status="202 Accepted"))
    with Peer(answer) as peer, pytest.raises(Faulted):
        send(soap, peer)


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content", "299 Fine"])
@pytest.mark.parametrize("remark", [b"", b"Thank you."])
def test_a_kept_message_is_delivered(soap: SoapClient, status: str, remark: bytes) -> None:
    """Byte for byte; what is remarked is not looked at."""
    data = os.urandom(100_000)
    answer = http(remark, status=status, content_type="text/plain")
    with Peer(saying(answer)) as peer:
        soap.deliver(
            peer.url,
            "multipart/related; boundary=B",
            len(data),
            lambda: (data[at : at + 7000] for at in range(0, len(data), 7000)),
            fields={"traceparent": "00-1-2-01"},
        )
    (request,) = peer.requests
    assert request.body == data
    assert b"Content-Type: multipart/related; boundary=B\r\n" in request.head
    assert b"traceparent: 00-1-2-01" in request.head


def test_a_kept_message_is_not_taken(soap: SoapClient) -> None:
    """By another status; what a 2xx says beside is of no matter."""
    with Peer(saying(http(b"<html/>", status="404 Not Found", content_type="text/html"))) as peer:
        assert kind_of(deliver, soap, peer, match="HTTP 404") is Trouble.UNREADABLE
    with Peer(saying(http(b"x" * 9000, content_type="text/html"))) as peer:
        deliver(soap, peer)


def test_an_empty_message_is_sent_too(soap: SoapClient) -> None:
    """The peer says what it thinks of it."""
    with Peer(saying(http(b"", status="202 Accepted", content_type=""))) as peer:
        soap.deliver(peer.url, "text/plain", 0, lambda: ())
    assert peer.requests[0].body == b""


def test_a_file_of_another_size_is_not_taken_for_whole(soap: SoapClient, tmp_path: Path) -> None:
    """Shorter, longer, or not there: no other request goes out on that connection."""
    with Peer(saying(http(b"", status="202 Accepted", content_type=""))) as peer:
        for size in (3, 5):
            with pytest.raises(RuntimeError, match="size it was announced with"):
                soap.deliver(peer.url, "text/plain", size, lambda: iter([b"1234"]))
        with pytest.raises(ClientError, match="A file cannot be read"):
            soap.deliver(
                peer.url, "text/plain", 4, lambda: (path.read_bytes() for path in [tmp_path / "none"])
            )
        deliver(soap, peer)
    assert peer.requests[-1].body == b"<a/>"
    assert len(peer.connections) == 4
