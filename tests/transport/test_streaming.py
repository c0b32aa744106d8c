"""Over a real server: large documents, chunked bodies, clients that stall or go away, and our own client."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.transport.messages import AXIS2, DOCUMENT, ZEEP, envelope
from tests.transport.node import Node, attachment
from xds.errors import ClientError
from xds.transport.client import SoapClient
from xds.transport.limits import Limits
from xds.transport.message import Attachment, Message
from xds.transport.soap import Version
from xds.transport.staged import Staged, StagingFolder

LARGE = 200_000_000
LIMITS = Limits(document_bytes=300_000_000)


@pytest.fixture(scope="module")
def soap() -> Iterator[SoapClient]:
    """A client."""
    client = SoapClient()
    yield client
    client.close()


def call(
    soap: SoapClient,
    node: Node,
    staging: StagingFolder,
    action: str,
    *documents: Attachment,
    mtom: bool = True,
    **more: object,
) -> Message:
    body: list[bytes | Attachment] = [b'<t:Call xmlns:t="urn:test">']
    for document in documents:
        body += [b"<t:Document>", document, b"</t:Document>"]
    return soap.call(node.url, action, (*body, b"</t:Call>"), mtom, b"", LIMITS, staging, **more)  # type: ignore[arg-type]


def stage(staging: StagingFolder, size: int) -> Staged:
    writer = staging.create()
    block = random.Random(size).randbytes(1_000_000)
    for start in range(0, size, len(block)):
        writer.write(block[: size - start])
    return writer.finish()


def settled(node: Node) -> int:
    """The number of staged files, after giving the server a moment to notice."""
    for _ in range(60):
        if (count := node.status()["staged"]) == 0:
            break
        time.sleep(0.1)
    return count


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("mtom", [True, False])
@pytest.mark.parametrize("version", Version)
def test_documents_come_back_byte_for_byte(
    soap: SoapClient, node: Node, staging: StagingFolder, size: int, mtom: bool, version: Version
) -> None:
    """In each form and version."""
    document = stage(staging, size)
    answer = call(soap, node, staging, "urn:test:echo", attachment(document), mtom=mtom, version=version)
    returned = answer.content(answer.body[0])

    assert (returned.size, returned.sha256) == (document.size, document.sha256)
    assert (answer.mtom, answer.version) == (mtom, version)
    assert settled(node) == 0


@pytest.mark.slow
def test_a_large_document_does_not_grow_the_server(
    soap: SoapClient, node: Node, staging: StagingFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 MB in and out, less than 32 MB of resident memory."""
    document = stage(staging, LARGE)
    call(soap, node, staging, "urn:test:echo", attachment(stage(staging, 1_000_000))).discard()
    before = node.status()["rss"]
    answer = call(soap, node, staging, "urn:test:echo", attachment(document))
    grown = node.status()["rss"] - before
    returned = answer.content(answer.body[0])
    with capsys.disabled():
        print(f"\n200 MB through the transport: resident memory grew by {grown / 1e6:.1f} MB")

    assert (returned.size, returned.sha256) == (document.size, document.sha256)
    assert grown < 32_000_000
    assert settled(node) == 0
    document.discard()
    answer.discard()


def test_progress_is_told(soap: SoapClient, node: Node, staging: StagingFolder) -> None:
    """Growing numbers that end at the total, in both directions."""
    told: dict[str, list[tuple[int, int | None]]] = {"sent": [], "received": []}
    document = attachment(stage(staging, 1_000_000))
    more = {name: lambda count, total, name=name: told[name].append((count, total)) for name in told}
    call(soap, node, staging, "urn:test:echo", document, **more).discard()

    for steps in told.values():
        assert len(steps) > 2
        assert [count for count, _ in steps] == sorted(count for count, _ in steps)
        assert steps[-1][0] == steps[-1][1]


class Raw:
    """A connection on which every byte is ours to choose."""

    def __init__(self, node: Node) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=15)

    def head(self, content_type: str, *headers: str) -> None:
        lines = ["POST /soap HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def answer(self) -> bytes:
        """What comes back until the server closes or has sent the announced length."""
        data = b""
        while True:
            piece = self.socket.recv(65_536)
            data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                (
                    int(line[15:])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                ),
                None,
            )
            if not piece or (length is not None and len(body) >= length):
                return data

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.mark.parametrize("step", [1, 13, 5000])
def test_a_chunked_request_is_read(node: Node, step: int) -> None:
    """Axis2 sends no Content-Length."""
    with Raw(node) as raw:
        raw.head(AXIS2.content_type, "Transfer-Encoding: chunked", "Connection: close")
        for start in range(0, len(AXIS2.body), step):
            piece = AXIS2.body[start : start + step]
            raw.socket.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        raw.socket.sendall(b"0\r\n\r\n")
        answer = raw.answer()

    assert answer.startswith(b"HTTP/1.1 200")
    assert DOCUMENT in answer
    assert settled(node) == 0


@pytest.mark.parametrize("headers", [["Content-Length: 100000"], ["Transfer-Encoding: chunked"]])
def test_a_client_that_stalls_keeps_nobody_else_waiting(
    soap: SoapClient, node: Node, staging: StagingFolder, headers: list[str]
) -> None:
    """Others are served while it is silent, past idle_seconds; when it leaves, nothing stays on disk."""
    with Raw(node) as raw:
        raw.head(AXIS2.content_type, *headers)
        raw.socket.sendall(AXIS2.body[:-50] if "Length" in headers[0] else b"5\r\n--MIM\r\n")
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            call(soap, node, staging, "urn:test:drop")
            time.sleep(0.1)
    assert settled(node) == 0


def test_a_client_that_goes_away_while_sending_leaves_nothing(node: Node) -> None:
    """Its parts are removed."""
    with Raw(node) as raw:
        raw.head(AXIS2.content_type, "Content-Length: 10000000")
        raw.socket.sendall(AXIS2.body[:-50] + b"x" * 100_000)
        time.sleep(0.2)

    assert settled(node) == 0


def test_a_client_that_goes_away_while_reading_leaves_nothing(node: Node, staging: StagingFolder) -> None:
    """The echo of 30 MB is broken off after its first bytes."""
    body = AXIS2.body.replace(DOCUMENT, b"x" * 30_000_000)
    with Raw(node) as raw:
        raw.head(AXIS2.content_type, f"Content-Length: {len(body)}")
        raw.socket.sendall(body)
        assert raw.socket.recv(100).startswith(b"HTTP/1.1 200")

    assert settled(node) == 0


def test_an_early_refusal_reaches_a_client_that_is_still_sending(
    soap: SoapClient, node: Node, staging: StagingFolder
) -> None:
    """The XML is refused in the first kilobyte of 20 MB."""
    document = attachment(stage(staging, 20_000_000))
    with pytest.raises(ClientError, match=r"limits\.root_bytes"):
        soap.call(node.url, "urn:test:drop", (b"<a>", document, b"</a>"), False, b"", LIMITS, staging)
    assert settled(node) == 0


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("urn:test:none", r"refused the message: The wsa:Action is not .* \(reference [0-9a-f]{12}\)"),
        ("urn:test:crash", r"error in this node\. \(reference [0-9a-f]{12}\)"),
        ("urn:test:break", "could not be reached or broke off"),
    ],
)
def test_failures_are_sentences(
    soap: SoapClient, node: Node, staging: StagingFolder, action: str, expected: str
) -> None:
    """With the reference of the server where there is one; nothing stays staged on our side."""
    with pytest.raises(ClientError, match=expected):
        call(soap, node, staging, action)
    assert list(staging.path.iterdir()) == []


def test_an_address_that_is_no_soap_endpoint_is_named(
    soap: SoapClient, node: Node, staging: StagingFolder
) -> None:
    """HTTP's own errors become a sentence."""
    with pytest.raises(ClientError, match="HTTP 404"):
        soap.call(f"http://127.0.0.1:{node.port}/none", "urn:a", (b"<a/>",), False, b"", LIMITS, staging)


def test_a_node_that_is_not_there_is_named(soap: SoapClient, staging: StagingFolder) -> None:
    """Nothing listens."""
    url = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(ClientError, match="could not be reached"):
        soap.call(url, "urn:a", (b"<a/>",), False, b"", LIMITS, staging)


class Canned:
    """A server that answers one request with given bytes, in a thread."""

    def __init__(self, answer: bytes, delay: float = 0) -> None:
        import threading

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.answer, self.delay = answer, delay
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(65_536)
            time.sleep(self.delay)
            connection.sendall(self.answer)

    def __enter__(self) -> Canned:
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.socket.close()


def http(body: bytes, content_type: str = "application/soap+xml", status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


ANSWERS = {
    "another message's answer": (
        http(envelope(header="<a:RelatesTo>urn:x</a:RelatesTo>").encode()), "RelatesTo",
    ),
    "no RelatesTo": (http(ZEEP.body), "RelatesTo"),
    "not XML": (http(b"<"), "cannot be read: The XML is not well-formed"),
    "a page": (http(b"<html/>", "text/html"), "no SOAP message"),
    "a redirect": (http(b"", status="302 Found\r\nLocation: http://127.0.0.1:9/"), "HTTP 302"),
    "cut short": (http(ZEEP.body)[:-20], "broke off"),
    "nothing": (b"", "broke off"),
    "a DTD": (http(b"<!DOCTYPE a><a/>"), "DOCTYPE"),
    "a fault without a reason": (
        http(envelope('<s:Fault/>', action=None).encode(), status="400 Bad Request"), "gave no reason",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_bad_answers_are_client_errors(soap: SoapClient, staging: StagingFolder, name: str) -> None:
    """Never anything else than a ClientError, and nothing staged."""
    data, expected = ANSWERS[name]
    with Canned(data) as server, pytest.raises(ClientError, match=expected):
        soap.call(server.url, "urn:a", (b"<a/>",), False, b"", LIMITS, staging)
    assert list(staging.path.iterdir()) == []


def test_a_silent_server_is_given_up(soap: SoapClient, staging: StagingFolder) -> None:
    """After idle_seconds."""
    with Canned(b"", 0.6) as server, pytest.raises(ClientError, match="in time"):
        soap.call(server.url, "urn:a", (b"<a/>",), False, b"", Limits(idle_seconds=0.2), staging)


def test_a_certificate_that_nobody_vouches_for_is_refused(node: Node, staging: StagingFolder) -> None:
    """https to a port that does not speak TLS, and a client certificate that is not there."""
    client = SoapClient()
    with pytest.raises(ClientError, match="secure connection"):
        client.call(node.url.replace("http:", "https:"), "urn:a", (b"<a/>",), False, b"", LIMITS, staging)
    client.close()
    with pytest.raises(OSError, match="No such file"):
        SoapClient(certificate=Path("/nonexistent.pem"))
