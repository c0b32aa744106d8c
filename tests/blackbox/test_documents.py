"""Documents of every awkward size go in and come out byte for byte, and memory does not grow with them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.blackbox import messages as m
from tests.blackbox.messages import Document
from tests.blackbox.state import counts
from tests.blackbox.wire import SUCCESS, element, send
from tests.nodes import Node

#: Bytes are the matter here, whatever the database.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")

MB = 1_000_000
SMALL = (0, 1, 2, 3, 65_535, 65_536, 65_537, MB)
LARGE = (60 * MB, 200 * MB)
#: The most by which resident memory may grow for the largest document (issue 2, "Must show").
ROOM = 32 * 1024 * 1024


@pytest.fixture(scope="module")
def roomy(new_node: Callable[..., Node]) -> Node:
    """A node that takes documents of 250 MB."""
    return new_node(limits__document_bytes=250 * MB, limits__total_bytes=300 * MB)


def _random(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize("form", ["MTOM", "plain"])
def test_a_document_comes_out_as_it_went_in(form: str, size: int, node: Node) -> None:
    """In by MTOM or inline, out by both; hash and size of the entry are those of the bytes."""
    document = Document(content=_random(size), slots={"hash": None, "size": None})
    request = (
        m.mtom([document])
        if form == "MTOM"
        else m.plain(m.provide([document], m.inline([document])), "ITI-41")
    )
    reply = send(node, request)
    assert (reply.status, reply.outcome, reply.mtom) == (200, SUCCESS, form == "MTOM")
    for ask in (m.mtom_retrieve(document.unique_id), m.plain(m.retrieve(document.unique_id), "ITI-43")):
        reply = send(node, ask)
        assert reply.outcome == SUCCESS
        assert reply.documents() == {document.unique_id: document.content}
    found = send(node, m.plain(m.get_documents(document.unique_id), "ITI-18")).content()
    slots = {
        each.get("name"): each.findtext(".//{*}Value")
        for each in found.iterfind(".//{*}ExtrinsicObject/{*}Slot")
    }
    assert (slots["hash"], slots["size"]) == (document.sha1, str(size))


def test_a_document_made_of_boundaries_comes_out_as_it_went_in(node: Node) -> None:
    """Bytes that look like delimiters, headers and XML are bytes; only the delimiter itself ends a part."""
    content = (
        b"--MIMEBoundary_0123456789abcde\r\n\r\n--MIMEBoundary_0123456789abcde--\r\n--\r\n\r\n"
        b"\r\n--MIMEBoundary_\r\nContent-ID: <root@example.org>\r\n\r\n<s:Envelope/>\r\n\r\n-"
    )
    for tail in (b"", b"\r", b"\n", b"\r\n", b"\r\n-", b"\r\n--", b"\r\n--MIMEBoundary_0123456789abcde"):
        document = Document(content=content + tail)
        assert send(node, m.mtom([document])).outcome == SUCCESS
        reply = send(node, m.plain(m.retrieve(document.unique_id), "ITI-43"))
        assert reply.documents() == {document.unique_id: document.content}


def test_many_documents_of_one_submission_come_out_each_by_its_id(node: Node) -> None:
    """40 documents in one message, in the answer in the order asked for."""
    documents = [Document(id=f"Document{n:02}", content=_random(n * 997)) for n in range(40)]
    assert send(node, m.mtom(documents)).outcome == SUCCESS
    wanted = {each.unique_id: each.content for each in reversed(documents)}
    found = send(node, m.mtom_retrieve(*wanted)).documents()
    assert list(found.items()) == list(wanted.items())


# -- large ones, streamed on both sides ----------------------------------------------------------------------


class Pattern:
    """`size` bytes that do not repeat for long, made again at each reading; 1 MB of them is ever in
    memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._block = _random(MB)

    def __iter__(self) -> Iterator[bytes]:
        for number in range(0, self.size, MB):
            piece = number.to_bytes(8, "big") + self._block[8:]
            yield piece[: self.size - number]

    def digest(self, name: str) -> str:
        """The hash of all of it."""
        found = hashlib.new(name, usedforsecurity=False)
        for piece in self:
            found.update(piece)
        return found.hexdigest()


class Memory:
    """The resident memory of the processes that answer, watched while the block runs: its growth at the
    highest."""

    def __init__(self, node: Node) -> None:
        self._processes = node.workers()
        assert self._processes, "no worker to watch"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.peak = self.looks = 0

    def _now(self) -> int:
        return sum(
            each.memory_info().rss for each in self._processes if each.status() != psutil.STATUS_ZOMBIE
        )

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self._now())
            self.looks += 1

    def __enter__(self) -> Memory:
        self.before = self.peak = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = max(self.peak, self._now())
        self._stop.set()
        self._thread.join()
        assert self.looks >= 5, "the memory was not watched"

    @property
    def growth(self) -> int:
        """Bytes."""
        return self.peak - self.before


def _put_in(node: Node, pattern: Pattern) -> str:
    """ITI-41 in MTOM, streamed; the uniqueId of the document."""
    document = Document(slots={"hash": pattern.digest("sha1"), "size": str(pattern.size)})
    empty = m.mtom([document])
    assert isinstance(empty.body, bytes)
    before, after = empty.body.split(document.content)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
    connection.putrequest("POST", m.REPOSITORY, skip_accept_encoding=True)
    connection.putheader("Content-Type", str(empty.content_type))
    connection.putheader("Content-Length", str(len(before) + pattern.size + len(after)))
    connection.endheaders()
    connection.send(before)
    for piece in pattern:
        connection.send(piece)
    connection.send(after)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert (answer.status, SUCCESS.encode() in body) == (200, True), body
    return document.unique_id


def _take_out(node: Node, unique_id: str, pattern: Pattern) -> None:
    """ITI-43 in MTOM, compared piece by piece while it arrives."""
    ask = m.mtom_retrieve(unique_id)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
    connection.request("POST", ask.path, ask.body, {"Content-Type": str(ask.content_type)})
    answer = connection.getresponse()
    assert answer.status == 200
    boundary = answer.headers["Content-Type"].split('boundary="')[1].split('"')[0].encode()
    head = b""
    while head.count(b"\r\n\r\n") < 2:
        head += answer.read(1)
    root = head.split(b"\r\n\r\n", 1)[1].split(b"\r\n--" + boundary)[0]
    assert element(root).find(".//{*}RegistryResponse").get("status") == SUCCESS
    for number, piece in enumerate(pattern):
        assert answer.read(len(piece)) == piece, f"the bytes differ in megabyte {number}"
    assert answer.read() == b"\r\n--" + boundary + b"--\r\n"
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGE, ids=[f"{size // MB} MB" for size in LARGE])
def test_a_large_document_goes_in_and_out_in_little_memory(
    size: int, roomy: Node, record_property: Callable[[str, Any], None]
) -> None:
    """60 MB and 200 MB by MTOM: byte for byte, and the node's resident memory grows by less than 32 MB."""
    warm = Pattern(MB)
    for _ in range(3):
        _take_out(roomy, _put_in(roomy, warm), warm)
    pattern = Pattern(size)
    with Memory(roomy) as going_in:
        began = time.perf_counter()
        unique_id = _put_in(roomy, pattern)
        seconds_in = time.perf_counter() - began
    with Memory(roomy) as coming_out:
        began = time.perf_counter()
        _take_out(roomy, unique_id, pattern)
        seconds_out = time.perf_counter() - began
    figure = (
        f"{size // MB} MB: in {seconds_in:.1f} s, resident memory +{going_in.growth / 1048576:.1f} MiB; "
        f"out {seconds_out:.1f} s, +{coming_out.growth / 1048576:.1f} MiB "
        f"(before {going_in.before / 1048576:.0f} MiB)"
    )
    print(figure)
    record_property("figure", figure)
    assert going_in.growth < ROOM, figure
    assert coming_out.peak - going_in.before < ROOM, figure
    assert counts(roomy)["staging/"] == 0


@pytest.mark.slow
def test_a_60_mb_document_comes_out_as_plain_soap_in_little_memory(
    roomy: Node, record_property: Callable[[str, Any], None]
) -> None:
    """Inline base64 is streamed on the way out like any other document."""
    pattern = Pattern(60 * MB)
    unique_id = _put_in(roomy, pattern)
    ask = m.plain(m.retrieve(unique_id), "ITI-43")
    connection = http.client.HTTPConnection("127.0.0.1", roomy.port, timeout=120)
    with Memory(roomy) as memory:
        connection.request("POST", ask.path, ask.body, {"Content-Type": str(ask.content_type)})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("application/soap+xml")
        found = hashlib.sha1(usedforsecurity=False)
        text = b""
        opening, closing = b"<xds:Document>", b"</xds:Document>"
        while opening not in text:
            text += answer.read(1024)
        text = text.split(opening)[1]
        while piece := answer.read(3 * 262_144):
            text += piece
            end = text.find(closing)
            usable = text if end < 0 else text[:end]
            whole = len(usable) - len(usable) % 4
            found.update(base64.b64decode(usable[:whole]))
            text = b"" if end >= 0 else text[whole:]
            if end >= 0:
                answer.read()
                break
    connection.close()
    figure = f"60 MB as base64: out, resident memory +{memory.growth / 1048576:.1f} MiB"
    print(figure)
    record_property("figure", figure)
    assert found.hexdigest() == pattern.digest("sha1")
    assert memory.growth < ROOM, figure
