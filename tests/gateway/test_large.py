"""A document of 200 MB goes through the initiating gateway, and its memory does not grow with it.

The community is one of peers.py, which makes the bytes while it sends them, and a node of ours. What comes
back is hashed piece by piece; nothing here holds it whole.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import staged
from tests.blackbox.test_documents import MB, ROOM, Memory, Pattern, _put_in
from tests.blackbox.wire import SUCCESS, element
from tests.gateway.peers import Peer, document_id, pattern_sha1
from tests.gateway.region import HOME, HOMES, INITIATING, RESPONDING, community, repository, retrieve, urn
from tests.nodes import Node
from tests.waiting import eventually

LARGE = 200 * MB
PEER, OURS = HOMES[:2]
#: Raised, as docs/settings.md says, for documents of this size.
LIMITS = {"limits__document_bytes": 250 * MB, "limits__total_bytes": 300 * MB}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """A community that has documents of any size."""
    with Peer(PEER, keep=0) as started:
        yield started


@pytest.fixture(scope="module")
def ours(new_node: Callable[..., Node]) -> Node:
    """A node of ours as a community."""
    return new_node(node__home_community_id=OURS, node__repository_unique_id=repository(OURS), **LIMITS)


@pytest.fixture(scope="module")
def gateway(
    peer: Peer, ours: Node, new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory
) -> Node:
    """A gateway in front of both, with time enough."""
    file = tmp_path_factory.mktemp("large") / "communities.toml"
    file.write_text(
        "retrieve_seconds = 300\n"
        + community(PEER, peer.url, retrieve_seconds=300)
        + community(OURS, ours.url + RESPONDING, retrieve_seconds=300)
    )
    return new_node(node__home_community_id=HOME, communities=file, **LIMITS)


class Answer:
    """An answer to ITI-43 with one document, whose bytes are read once."""

    def __init__(self, node: Node, home: str, unique_id: str, *, mtom: bool) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=300)
        envelope = m.envelope(retrieve((urn(home), unique_id)), "ITI-43")
        kind, body = m.multipart(envelope) if mtom else (m.media_type(m.SOAP12), envelope)
        self._connection.request("POST", INITIATING, body, {"Content-Type": kind})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        self._mtom = mtom

    def sha1_and_size(self) -> tuple[str, int]:
        """Of the document."""
        digest, size = hashlib.sha1(usedforsecurity=False), 0
        for piece in self._parts() if self._mtom else self._inline():
            digest.update(piece)
            size += len(piece)
        self._connection.close()
        return digest.hexdigest(), size

    def _parts(self) -> Iterator[bytes]:
        boundary = self._answer.headers["Content-Type"].split('boundary="')[1].split('"')[0]
        head = b""
        while head.count(b"\r\n\r\n") < 2:
            head += self._answer.read(1)
        root = head.split(b"\r\n\r\n", 1)[1].split(f"\r\n--{boundary}".encode())[0]
        assert element(root).find(".//{*}RegistryResponse").get("status") == SUCCESS
        end, held = f"\r\n--{boundary}--\r\n".encode(), b""
        while piece := self._answer.read(MB):
            held += piece
            yield held[: -len(end)]
            held = held[-len(end) :]
        assert held == end

    def _inline(self) -> Iterator[bytes]:
        opening, closing = b"<xds:Document>", b"</xds:Document>"
        text = b""
        while opening not in text:
            piece = self._answer.read(1024)
            assert piece
            text += piece
        before, _, text = text.partition(opening)
        assert SUCCESS.encode() in before
        while closing not in text[-2000:]:
            whole = len(text) - len(text) % 4
            # The closing tag may have come in part: it is no base64, and stands at the end.
            whole = min(whole, text.find(b"<") // 4 * 4) if b"<" in text else whole
            yield base64.b64decode(text[:whole], validate=True)
            piece = self._answer.read(MB)
            assert piece
            text = text[whole:] + piece
        yield base64.b64decode(text.partition(closing)[0], validate=True)


def figure(what: str, memory: Memory, seconds: float) -> str:
    """A line for the summary."""
    return (
        f"{what}: {seconds:.1f} s, resident memory of the gateway +{memory.growth / 1048576:.1f} MiB"
        f" (before {memory.before / 1048576:.0f} MiB)"
    )


def warm(peer: Peer, gateway: Node) -> None:
    """What the first documents leave behind is not what a large one takes."""
    peer.behave("big", megabytes=1)
    for mtom in (True, False) * 3:
        got = Answer(gateway, PEER, document_id(PEER, 1), mtom=mtom).sha1_and_size()
        assert got == (pattern_sha1(MB), MB)


@pytest.mark.parametrize(("mtom", "megabytes"), [(True, 200), (False, 60)])
def test_a_large_document_goes_through_in_little_memory(
    mtom: bool, megabytes: int, peer: Peer, gateway: Node, record_property: Callable[[str, Any], None]
) -> None:
    """200 MB as MTOM, 60 MB as base64: byte for byte, and memory grows by less than 32 MB."""
    warm(peer, gateway)
    peer.behave("big", megabytes=megabytes)
    with Memory(gateway) as memory:
        began = time.perf_counter()
        got = Answer(gateway, PEER, document_id(PEER, 1), mtom=mtom).sha1_and_size()
        seconds = time.perf_counter() - began
    told = figure(f"{megabytes} MB through the gateway as {'MTOM' if mtom else 'base64'}", memory, seconds)
    record_property("figure", told)
    assert got == (pattern_sha1(megabytes * MB), megabytes * MB)
    assert memory.growth < ROOM, told
    assert eventually(lambda: not staged(gateway))  # a moment after the last byte is here


def test_a_large_document_of_a_node_of_ours(
    peer: Peer, ours: Node, gateway: Node, record_property: Callable[[str, Any], None]
) -> None:
    """200 MB, filed in another community's node and fetched through the gateway."""
    warm(peer, gateway)
    pattern = Pattern(LARGE)
    unique_id = _put_in(ours, pattern)
    with Memory(gateway) as memory, Memory(ours) as other:
        began = time.perf_counter()
        got = Answer(gateway, OURS, unique_id, mtom=True).sha1_and_size()
        seconds = time.perf_counter() - began
    told = figure("200 MB through the gateway from a node of ours", memory, seconds)
    record_property("figure", f"{told}, of the other node +{other.growth / 1048576:.1f} MiB")
    assert got == (pattern.digest("sha1"), LARGE)
    assert memory.growth < ROOM, told
    assert other.growth < ROOM
    assert eventually(lambda: not staged(gateway))  # a moment after the last byte is here
