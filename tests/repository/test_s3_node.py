"""A node whose documents are in S3, from outside: what goes in comes out, and what fails fails whole."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests import ceph, postgres
from tests.beneath import PREFIX, InBucket, Server
from tests.blackbox import messages as m
from tests.blackbox import test_documents as large
from tests.blackbox.messages import Document
from tests.blackbox.state import counts, rows
from tests.blackbox.test_remove_documents import ask, remove
from tests.blackbox.wire import FAILURE, SUCCESS, Reply, send
from tests.nodes import Node
from tests.ports import free_port
from tests.repository import proxy
from tests.repository.proxy import Mood, Proxy
from xds.repository.s3 import PART

MB = 1_000_000
ONLY_CEPH = pytest.mark.parametrize("s3", ["ceph"], indirect=True)
SHARED_CEPH = pytest.mark.parametrize("lasting_s3", ["ceph"], indirect=True, scope="module")


def in_s3(folder: Path, server: Server, bucket: str, **settings: object) -> Node:
    """A node with its documents in a bucket; what is arriving stays in its folder."""
    given: dict[str, object] = {
        "store__documents": f"s3://{bucket}/{PREFIX}",
        "store__work": f"file://{folder}/documents",
        "s3__endpoint": server.endpoint,
        "s3__access_key": server.access_key,
        "s3__secret_key": server.secret_key,
        "limits__document_bytes": 250 * MB,
        "limits__total_bytes": 300 * MB,
    }
    return Node(folder, **(given | settings))


@contextmanager
def running(node: Node) -> Iterator[Node]:
    """Started, and stopped at the end."""
    try:
        node.start()
        yield node
    finally:
        node.stop()


@dataclass
class Rig:
    """A running node, the proxy between it and its server, and its bucket."""

    node: Node
    proxy: Proxy
    beneath: InBucket

    def put(self, content: bytes, **more: Any) -> tuple[Document, Reply]:
        """ITI-41 of one document."""
        document = Document(content=content, **more)
        return document, send(self.node, m.mtom([document]))

    def everything(self) -> object:
        """What there is of documents: rows, bytes, uploads, staged files."""
        return counts(self.node), self.beneath.keys(), self.beneath.uploads()


@pytest.fixture(scope="module")
def _rig(lasting_s3: tuple[Server, InBucket], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server, beneath = lasting_s3
    with ExitStack() as stack:
        front = stack.enter_context(proxy.before(int(server.endpoint.rpartition(":")[2])))
        folder = tmp_path_factory.mktemp("s3")
        node = in_s3(folder, server.through(front.port), beneath.bucket)
        yield Rig(stack.enter_context(running(node)), front, beneath)


@pytest.fixture
def rig(_rig: Rig) -> Iterator[Rig]:
    """A node behind a proxy, which tests share."""
    yield _rig
    _rig.proxy.calm()
    _rig.proxy.listen()


def _binary(node: Node, document: Document, **headers: str) -> urllib3.BaseHTTPResponse:
    found = send(node, m.plain(m.get_documents(document.unique_id), "ITI-18")).content()
    (entry,) = found.iterfind(".//{*}ExtrinsicObject")
    url = f"{node.url}/fhir/Binary/{entry.get('id').removeprefix('urn:uuid:')}"
    return urllib3.request("GET", url, headers={"Accept": "*/*"} | headers, retries=False, timeout=60)


def _errors(reply: Reply) -> list[tuple[str, str]]:
    return [(each.code, each.rule) for each in reply.errors]


def _is_ready(node: Node) -> bool:
    return urllib3.request("GET", f"{node.url}/health/ready", retries=False, timeout=20).status == 200


def _wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.1)


# -- good days -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 50_000, PART, 2 * PART + 1])
def test_a_document_goes_in_and_out_and_is_removed(rig: Rig, size: int) -> None:
    """ITI-41, ITI-43, Binary with a range, ITI-86: as from a folder, and the bucket is empty after."""
    before = rig.beneath.keys()
    document, reply = rig.put(os.urandom(size))
    assert reply.outcome == SUCCESS
    (key,) = set(rig.beneath.keys()) - set(before)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\d\d/[0-9a-f]{32}", key)
    reply = send(rig.node, m.mtom_retrieve(document.unique_id))
    assert reply.documents() == {document.unique_id: document.content}
    whole = _binary(rig.node, document)
    assert (whole.status, whole.data) == (200, document.content)
    if size:
        part = _binary(rig.node, document, Range="bytes=10-49")
        assert (part.status, part.data) == (206, document.content[10:50])
        assert part.headers["Content-Range"] == f"bytes 10-49/{size}"
        end = _binary(rig.node, document, Range="bytes=-7")
        assert (end.status, end.data) == (206, document.content[-7:])
    assert ask(rig.node, remove(document.unique_id)).outcome == SUCCESS
    assert rig.beneath.keys() == before
    assert counts(rig.node)["staging/"] == 0


@SHARED_CEPH
def test_a_repeat_keeps_one_copy(rig: Rig) -> None:
    """The bytes that nobody needs are removed at once."""
    document = Document(content=b"x" * 50_000)
    message = m.mtom([document])
    assert send(rig.node, message).outcome == SUCCESS
    before = rig.everything()
    assert send(rig.node, message).outcome == SUCCESS
    assert rig.everything() == before


@pytest.mark.slow
@ONLY_CEPH
def test_a_large_document_goes_in_and_out_in_little_memory(
    s3: tuple[Server, InBucket], tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """200 MB: byte for byte, and the node's resident memory grows by less than 32 MB."""
    with running(in_s3(tmp_path, s3[0], s3[1].bucket)) as node:
        warm = large.Pattern(12 * MB)
        for _ in range(3):
            large._take_out(node, large._put_in(node, warm), warm)
        pattern = large.Pattern(200 * MB)
        with large.Memory(node) as memory:
            began = time.perf_counter()
            unique_id = large._put_in(node, pattern)
            seconds_in = time.perf_counter() - began
            began = time.perf_counter()
            large._take_out(node, unique_id, pattern)
            seconds_out = time.perf_counter() - began
        figure = (
            f"200 MB in S3: in {seconds_in:.1f} s, out {seconds_out:.1f} s, "
            f"resident memory +{memory.growth / 1048576:.1f} MiB"
        )
        record_property("figure", figure)
        assert memory.growth < large.ROOM, figure
        assert counts(node)["staging/"] == 0


@ONLY_CEPH
def test_nodes_share_a_bucket_and_a_database(s3: tuple[Server, InBucket], tmp_path: Path) -> None:
    """What one takes the other gives; each has a folder of its own for what is arriving."""
    server, beneath = s3
    database = postgres.new_database()
    try:
        with ExitStack() as stack:
            one, other = (
                stack.enter_context(
                    running(in_s3(tmp_path / name, server, beneath.bucket, store__database=database))
                )
                for name in map(_folder(tmp_path), ("one", "other"))
            )
            document = Document(content=os.urandom(3 * MB))
            assert send(one, m.mtom([document])).outcome == SUCCESS
            reply = send(other, m.mtom_retrieve(document.unique_id))
            assert reply.documents() == {document.unique_id: document.content}
    finally:
        postgres.drop_database(database)


def _folder(above: Path) -> Callable[[str], str]:
    def make(name: str) -> str:
        (above / name).mkdir()
        return name

    return make


@ONLY_CEPH
def test_a_sweep_removes_what_a_crash_has_left(s3: tuple[Server, InBucket], tmp_path: Path) -> None:
    """A node is killed in the middle of an upload: the staged file, the parts, and a stray document go."""
    server, beneath = s3
    with proxy.before(int(server.endpoint.rpartition(":")[2])) as front, ExitStack() as stack:
        node = in_s3(tmp_path, server.through(front.port), beneath.bucket)
        stack.callback(node.stop)
        node.start()
        kept = Document(content=b"kept")
        assert send(node, m.mtom([kept])).outcome == SUCCESS
        front.be(Mood("partNumber=3", answer=b""))

        def submit() -> None:
            with suppress(OSError, http.client.HTTPException):
                send(node, m.mtom([Document(content=os.urandom(4 * PART))]))

        sender = threading.Thread(target=submit)
        sender.start()
        _wait(lambda: any("partNumber=3" in line for line in front.lines))
        node.kill()
        sender.join()
        front.calm()
        assert len(beneath.uploads()) == 1
        beneath.plant("2026/01/01/00/" + "a" * 32, b"stray")
        young = node.command("sweep", "--grace-hours", "1")
        assert "Removed 0 unfinished and 0 unregistered documents" in young.stdout
        swept = node.command("sweep", "--grace-hours", "0", "--all")
        size = 6 * PART + 5  # staged, two parts, and the stray
        assert f"Removed 2 unfinished and 1 unregistered documents, {size} bytes in all." in swept.stdout
        node.start()
        assert beneath.uploads() == []
        assert len(beneath.keys()) == 1
        reply = send(node, m.mtom_retrieve(kept.unique_id))
        assert reply.documents() == {kept.unique_id: b"kept"}
        assert counts(node)["staging/"] == 0


# -- bad days ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mood", "error"),
    [
        (None, ("XDSRepositoryBusy", "node-busy")),
        (
            Mood("^PUT", answer=proxy.error("503 Slow Down", "SlowDown")),
            ("XDSRepositoryBusy", "node-busy"),
        ),
        (Mood("^PUT", cut_request=1000), ("XDSRepositoryBusy", "node-busy")),
        (Mood("^HEAD", answer=proxy.answer("503 Slow Down")), ("XDSRepositoryBusy", "node-busy")),
        (
            Mood("^PUT", answer=proxy.error("403 Forbidden", "QuotaExceeded")),
            ("XDSRepositoryOutOfResources", "node-full"),
        ),
        (
            Mood("^PUT", answer=proxy.answer("507 Insufficient Storage")),
            ("XDSRepositoryOutOfResources", "node-full"),
        ),
    ],
    ids=["down", "SlowDown", "cut", "no look", "quota", "507"],
)
@SHARED_CEPH
def test_a_submission_that_cannot_be_stored_has_stored_nothing(
    rig: Rig, mood: Mood | None, error: tuple[str, str]
) -> None:
    """It is answered as busy or full; sent again when the server is well it is taken, without a restart."""
    documents = [
        Document(id=f"Document{n}", content=os.urandom(size)) for n, size in enumerate((50_000, 2 * PART))
    ]
    message, before = m.mtom(documents), rig.everything()
    rig.proxy.be(mood) if mood else rig.proxy.down()
    reply = send(rig.node, message)
    assert (reply.status, reply.outcome, _errors(reply)) == (200, FAILURE, [error])
    if mood:
        rig.proxy.calm()
    else:
        rig.proxy.listen()
    assert rig.everything() == before
    assert send(rig.node, message).outcome == SUCCESS
    assert rig.everything() != before
    log = rig.node.log.read_text()
    assert "ERROR xds documents: the S3 server" in log
    assert "Traceback" not in log
    assert rig.beneath.bucket not in log


@SHARED_CEPH
def test_a_document_that_cannot_be_read_is_not_called_damaged(rig: Rig) -> None:
    """ITI-43 and Binary say that it can be asked for again, and then it can be had."""
    document, _ = rig.put(os.urandom(50_000))
    rig.proxy.be(Mood("^GET", cut_answer=1000))
    reply = send(rig.node, m.mtom_retrieve(document.unique_id))
    assert (reply.outcome, _errors(reply)) == (FAILURE, [("XDSRepositoryBusy", "node-busy")])
    assert _binary(rig.node, document).status == 503
    rig.proxy.calm()
    reply = send(rig.node, m.mtom_retrieve(document.unique_id))
    assert reply.documents() == {document.unique_id: document.content}


@SHARED_CEPH
def test_a_large_document_that_is_cut_is_broken_off(rig: Rig) -> None:
    """It was whole when it was verified, and is read again: the receiver sees that it is not all."""
    document, _ = rig.put(os.urandom(3 * MB))
    rig.proxy.be(Mood("^GET", skip=1, cut_answer=2 * MB))
    with pytest.raises(http.client.IncompleteRead):
        send(rig.node, m.mtom_retrieve(document.unique_id))
    rig.proxy.be(Mood("^GET", skip=1, cut_answer=2 * MB))
    with pytest.raises(urllib3.exceptions.HTTPError):
        _binary(rig.node, document)
    rig.proxy.calm()
    assert _binary(rig.node, document).data == document.content


@SHARED_CEPH
def test_a_removal_that_the_server_does_not_hear_of(rig: Rig) -> None:
    """The row is gone, so that nobody sees the document; its bytes are told, and are for the sweep."""
    before = rig.beneath.keys()
    document, _ = rig.put(b"x")
    rig.proxy.down()
    reply = ask(rig.node, remove(document.unique_id))
    assert _errors(reply) == [("XDSRemoveDocumentsError", "remove-document-bytes")]
    rig.proxy.listen()
    gone = f"SELECT * FROM stored_document WHERE doc_uid = '{document.unique_id}'"
    assert rows(rig.node, gone) == []
    assert rig.beneath.keys() != before
    assert "and 1 unregistered documents" in rig.node.command("sweep", "--grace-hours", "0").stdout
    assert rig.beneath.keys() == before


@SHARED_CEPH
def test_readiness_follows_the_server(rig: Rig) -> None:
    """Not ready while it is away, and ready again by itself."""
    _wait(lambda: _is_ready(rig.node))
    rig.proxy.down()
    _wait(lambda: not _is_ready(rig.node))
    assert "ERROR xds not ready: documents StoreBusy" in rig.node.log.read_text()
    told = urllib3.request("GET", f"{rig.node.url}/metrics", retries=False).data.decode()
    assert re.search(r'^xds_s3_failures_total\{deed="look at the bucket"\} [1-9]', told, re.M)
    rig.proxy.listen()
    _wait(lambda: _is_ready(rig.node))


# -- xds check, xds serve ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"s3__secret_key": "wrong-secret"}, "s3.secret_key is not the one of s3.access_key"),
        ({"s3__access_key": "nobody"}, "the S3 server does not know s3.access_key"),
        ({"store__documents": f"s3://t{secrets.token_hex(8)}"}, "the S3 server has no such bucket"),
        (
            {"s3__endpoint": f"http://127.0.0.1:{free_port()}"},
            "the S3 server cannot be reached, or breaks off",
        ),
        ({"store__work": "file:///dev/null/work"}, "Not a directory"),
    ],
    ids=["good", "secret", "key", "bucket", "away", "work"],
)
@ONLY_CEPH
def test_check_and_serve_say_what_is_in_the_way(
    s3: tuple[Server, InBucket], tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    """In the same words, by setting; nothing is left in the bucket, and no secret is printed."""
    node = in_s3(tmp_path, s3[0], s3[1].bucket, **changes)
    assert node.command("migrate").returncode == 0
    done = node.command("check")
    if not sentence:
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "documents  writable")
    else:
        for each in (done, node.command("serve")) if "bucket" in sentence else (done,):
            assert each.returncode == 1
            assert f"store.documents cannot be used: {sentence}" in each.stderr
            assert "secret" not in each.stderr.replace("s3.secret_key", "")
    assert s3[1].keys() == []


@ONLY_CEPH
def test_a_key_that_may_not_write_is_found_by_check(s3: tuple[Server, InBucket], tmp_path: Path) -> None:
    """Another user's bucket, as its policy lets this node read only."""
    server, beneath = s3
    other = f"u{secrets.token_hex(6)}"
    keys = (f"--access-key={other}", "--secret-key=of-other")
    ceph.admin(ceph.running(), "user", "create", f"--uid={other}", f"--display-name={other}", *keys)
    beneath.client.set_bucket_policy(
        beneath.bucket,
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",'
        f' "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::{beneath.bucket}",'
        f' "arn:aws:s3:::{beneath.bucket}/*"]}}]}}',
    )
    node = in_s3(tmp_path, server, beneath.bucket, s3__access_key=other, s3__secret_key="of-other")
    done = node.command("check")
    assert "the S3 server does not let s3.access_key write" in done.stderr
