"""S3 on bad days: each trouble has its words, leaves no half state, and ends by itself. No secret is told."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from urllib3.util import Timeout

from tests import ceph
from tests.beneath import InBucket, Server
from tests.repository import proxy, stores
from tests.repository.proxy import Mood, Proxy
from tests.repository.stores import Shelf
from tests.test_tls import Authority
from tests.waiting import eventually
from xds.repository import s3 as module
from xds.repository.documents import NewDocument
from xds.repository.s3 import PART, S3Store
from xds.repository.s3_options import S3Options
from xds.repository.sweep import sweep
from xds.store.trouble import StoreBusy, is_busy, no_room, nothing_written

ONLY_CEPH = pytest.mark.parametrize("s3", ["ceph"], indirect=True)
ONLY_MOTO = pytest.mark.parametrize("s3", ["moto"], indirect=True)
SIZES = pytest.mark.parametrize("size", [0, 50_000, 2 * PART + 1], ids=["empty", "one part", "three parts"])


@dataclass
class Rig:
    """A store behind a proxy."""

    shelf: Shelf
    proxy: Proxy
    beneath: InBucket
    options: S3Options

    @property
    def store(self) -> S3Store:
        assert isinstance(self.shelf.store, S3Store)
        return self.shelf.store

    def put(self, content: bytes = b"x") -> str:
        """Put a document."""
        return self.store.put(self.shelf.stage(content))

    def read(self, key: str) -> bytes:
        """A document's bytes."""
        with self.store.open(key) as file:
            return file.read()

    def is_untouched(self) -> bool:
        """Whether no bytes are under any key, and no upload has begun."""
        return not self.beneath.keys() and not self.beneath.uploads()


@contextmanager
def _rig(
    server: Server, beneath: InBucket, folder: Path, change: Callable[[S3Options], S3Options] = lambda o: o
) -> Iterator[Rig]:
    with ExitStack() as stack:
        front = stack.enter_context(proxy.before(int(server.endpoint.rpartition(":")[2])))
        options = change(server.through(front.port).options(beneath.bucket))
        shelf = Shelf(folder, S3Store(options, folder / "work"), beneath)
        stack.callback(shelf.database.close)
        yield Rig(shelf, front, beneath, options)


@pytest.fixture
def rig(s3: tuple[Server, InBucket], tmp_path: Path) -> Iterator[Rig]:
    """A store behind a proxy."""
    with _rig(*s3, tmp_path) as one:
        yield one


@contextmanager
def _impatient() -> Iterator[None]:
    """Stores that wait a second for a server that is silent; one that is busy with others may take longer."""
    with pytest.MonkeyPatch.context() as patch:
        how = {method: (Timeout(connect=1, read=1), retries) for method, (_, retries) in module._HOW.items()}
        patch.setattr(module, "_HOW", how)
        yield


def _busy(deed: Callable[[], object]) -> str:
    """What is said of a store that is busy; nothing in it is secret, and the node knows it as busy."""
    with pytest.raises(StoreBusy) as caught:
        deed()
    assert is_busy(caught.value)
    assert nothing_written(caught.value)
    assert "secret" not in str(caught.value).replace("s3.secret_key", "")
    return str(caught.value.strerror)


# -- the server is not there ---------------------------------------------------------------------------------


def test_a_server_that_is_down_is_busy_and_comes_back(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked of it; and no restart is needed. The log tells the trouble once, and its end."""
    caplog.set_level(logging.INFO, "xds")
    rig.shelf.keep("doc", b"kept")
    (key,) = rig.beneath.keys()
    (document,) = rig.shelf.repository.find(["doc"]).values()
    rig.proxy.down()
    for deed in (
        rig.put,
        lambda: rig.read(key),
        lambda: rig.store.size(key),
        lambda: rig.store.remove(key),
        lambda: list(rig.store.keys("", datetime.now(UTC))),
        lambda: list(rig.store.forgotten(datetime.now(UTC) - timedelta(hours=1))),
        rig.store.check,
        rig.store.try_out,
        lambda: rig.shelf.repository.verify(document),
    ):
        assert _busy(deed) == "the S3 server cannot be reached, or breaks off"
    rig.proxy.listen()
    assert rig.shelf.repository.verify(document) == b"kept"
    assert rig.beneath.keys() == [key]
    assert [each.message for each in caplog.records if each.name == "xds"] == [
        "documents: the S3 server cannot be reached, or breaks off",
        "documents: the S3 server works again",
    ]


def test_a_server_that_is_silent_is_busy_soon(rig: Rig) -> None:
    """Nothing waits without end, and what sends bytes does not begin again."""
    key = rig.put(b"kept")
    rig.proxy.be(Mood(answer=b""))
    for deed in (lambda: rig.put(b"y"), lambda: rig.read(key), lambda: rig.store.size(key)):
        rig.proxy.lines.clear()
        began = time.monotonic()
        with _impatient():
            assert _busy(deed) == "the S3 server does not answer in time"
        assert time.monotonic() - began < 25  # and not 30
        assert sum(line.startswith(("PUT", "HEAD")) for line in rig.proxy.lines) <= 1
    rig.proxy.calm()
    assert rig.beneath.keys() == [key]
    assert rig.read(key) == b"kept"


def test_a_server_that_is_stopped_and_continued(
    s3: tuple[Server, InBucket], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGSTOP leaves it connectable and dumb."""
    server, beneath = s3
    with ExitStack() as stack:
        if "ceph" in request.node.name:
            gateway = stack.enter_context(ceph.gateway())
            server, pid = replace(server, endpoint=gateway.endpoint), gateway.pid
        else:
            pid = request.getfixturevalue("moto")[1]
        store = S3Store(server.options(beneath.bucket), tmp_path / "work")
        shelf = Shelf(tmp_path, store, beneath)
        stack.callback(shelf.database.close)
        shelf.keep("doc", b"kept")
        document = shelf.repository.find(["doc"])["doc"]
        os.kill(pid, signal.SIGSTOP)
        try:
            for deed in (
                lambda: store.put(shelf.stage(b"x")),
                lambda: shelf.repository.verify(document),
                store.check,
            ):
                with _impatient():
                    assert _busy(deed) == "the S3 server does not answer in time"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert shelf.repository.verify(document) == b"kept"
        # What was sent may be done when it goes on, soon or later. Then it is a stray, and swept as one.
        strays = 0

        def is_swept() -> bool:
            nonlocal strays
            strays += sweep(shelf.database, store, grace=timedelta(0)).unregistered
            return beneath.keys() == [document.key]

        assert eventually(is_swept)
        assert strays <= 1


@pytest.mark.usefixtures("s3")
@ONLY_CEPH
def test_a_server_that_is_killed_and_started_again(tmp_path: Path, s3: tuple[Server, InBucket]) -> None:
    """Connections that were open are found to be dead, and new ones are made."""
    with ceph.gateway() as gateway, ExitStack() as stack:
        server = replace(s3[0], endpoint=gateway.endpoint)
        shelf = Shelf(tmp_path, S3Store(server.options(s3[1].bucket), tmp_path / "work"), s3[1])
        stack.callback(shelf.database.close)
        shelf.keep("one", b"1")
        gateway.kill()
        _busy(lambda: shelf.keep("two", b"2"))
        assert shelf.repository.find(["two"]) == {}
        gateway.start()
        shelf.keep("two", b"2")
        assert len(s3[1].keys()) == 2


# -- the server answers something else -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (proxy.error("503 Slow Down", "SlowDown"), "the S3 server is too busy"),
        (proxy.answer("503 Unavailable", "<html>", "text/html"), "the S3 server is too busy"),
        (proxy.answer("502 Bad Gateway"), "the S3 server is too busy"),
        (proxy.error("500 Error", "InternalError"), "the S3 server answers InternalError"),
        (proxy.error("403 Forbidden", "AccessDenied"), "the S3 server does not let s3.access_key write"),
        (proxy.error("400 Bad Request", "BadDigest"), "the S3 server answers BadDigest"),
        (proxy.error("400 Bad Request", "a\nb" * 99), "the S3 server answers an error"),
        (proxy.answer("400 Bad Request", "<Error", "application/xml"), "what answers at s3.endpoint is not"),
        (proxy.answer("404 Not Found", "<html>", "text/html"), "the S3 server answers HTTP 404"),
        (b"SMTP ready\r\n\r\n", "the S3 server cannot be reached, or breaks off"),
        (
            proxy.answer("307 Elsewhere\r\nLocation: http://127.0.0.1:1/", kind="text/plain"),
            "the S3 server answers HTTP 307",
        ),
    ],
)
@SIZES
@ONLY_MOTO
def test_an_answer_that_is_an_error_is_busy(rig: Rig, answer: bytes, sentence: str, size: int) -> None:
    """Nothing is kept, and no answer leads elsewhere; the next request is none the worse."""
    rig.proxy.be(Mood("^PUT", answer=answer))
    assert _busy(lambda: rig.put(b"x" * size)).startswith(sentence)
    rig.proxy.calm()
    assert rig.is_untouched()
    assert rig.read(rig.put(b"y")) == b"y"


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (proxy.error("403 Forbidden", "QuotaExceeded"), errno.EDQUOT),
        (proxy.error("507 Insufficient Storage", "XMinioStorageFull"), errno.ENOSPC),
        (proxy.error("507 Insufficient Storage", "Whatever"), errno.ENOSPC),
        (proxy.answer("507 Insufficient Storage"), errno.ENOSPC),
    ],
)
@SIZES
@ONLY_MOTO
def test_a_full_server_is_full(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: bytes, number: int, size: int
) -> None:
    """It has no room for some seconds, and nothing was kept."""
    monkeypatch.setattr(module, "FULL_SECONDS", 0.3)
    rig.proxy.be(Mood("^PUT", answer=answer))
    with pytest.raises(OSError, match="no room") as caught:
        rig.put(b"x" * size)
    assert no_room(caught.value) == errno.errorcode[number]
    assert not rig.store.has_room(0)
    rig.proxy.calm()
    assert rig.is_untouched()
    time.sleep(0.4)
    assert rig.store.has_room(0)


@ONLY_CEPH
def test_a_quota_of_the_server_is_a_full_disk(rig: Rig) -> None:
    """As Ceph says it."""
    folder = ceph.running()
    where = ("--uid=xds", "--quota-scope=bucket", f"--bucket={rig.beneath.bucket}")
    rig.put(b"x" * 5000)
    ceph.admin(folder, "quota", "set", *where, "--max-size=4096")
    ceph.admin(folder, "quota", "enable", *where)
    # Ceph adds up after a while.
    deeds = (time.sleep(0.25) or rig.put(b"x" * 5000) for _ in range(60))
    with pytest.raises(OSError, match="no room") as caught:
        list(deeds)
    assert no_room(caught.value) == "EDQUOT"


def test_what_is_asked_for_is_tried_again_when_the_server_is_busy_for_a_moment(rig: Rig) -> None:
    """A read, a look and a deletion change nothing when they are done twice."""
    key = rig.put(b"kept")
    for method, deed in (
        ("GET", lambda: rig.read(key)),
        ("HEAD", lambda: rig.store.size(key)),
        ("DELETE", lambda: rig.store.remove(key)),
    ):
        rig.proxy.be(Mood(f"^{method}", times=1, answer=proxy.error("503 Slow Down", "SlowDown")))
        deed()
    assert rig.is_untouched()


# -- connections that end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 49_000])
@pytest.mark.parametrize("size", [50_000, 2 * PART + 1])
def test_an_upload_that_is_cut_leaves_nothing(rig: Rig, after: int, size: int) -> None:
    """Neither bytes under a key nor an upload, and it is not begun again behind the sender's back."""
    rig.proxy.be(Mood(r"^PUT (?!.*partNumber=1\b)", times=1, cut_request=after))
    assert _busy(lambda: rig.put(b"x" * size)) == "the S3 server cannot be reached, or breaks off"
    assert rig.is_untouched()
    assert sum(line.startswith("PUT") for line in rig.proxy.lines) <= 2


@pytest.mark.parametrize(
    ("lost", "size"),
    [
        ("^PUT", 0),
        ("^PUT", 50_000),
        ("^PUT", PART + 1),
        ("^POST .*uploadId", PART + 1),
        ("^POST .*uploads", PART + 1),
    ],
)
def test_an_upload_whose_answer_is_lost_leaves_no_bytes(rig: Rig, lost: str, size: int) -> None:
    """The server has done it, and we do not know; what was done is undone."""
    rig.proxy.be(Mood(lost, times=1, cut_answer=0))
    _busy(lambda: rig.put(b"x" * size))
    assert rig.beneath.keys() == []
    if "uploads" in lost:  # nobody knows its name: it is for the sweep
        assert sweep(rig.shelf.database, rig.store, grace=timedelta(0)).staged == 2
    assert rig.is_untouched()


@pytest.mark.parametrize("answer", [b"\r\n\r\n", proxy.error("503 Slow Down", "SlowDown")])
@ONLY_CEPH  # moto has no times of uploads
def test_what_cannot_be_undone_is_swept(rig: Rig, answer: bytes) -> None:
    """The server goes away in the middle of an upload; later the sweep aborts it, and not before."""
    rig.proxy.be(Mood("^(PUT .*partNumber=2|DELETE)", answer=answer))
    _busy(lambda: rig.put(b"x" * (2 * PART)))
    assert len(rig.beneath.uploads()) == 1
    rig.proxy.calm()
    hour = timedelta(hours=1)
    assert sweep(rig.shelf.database, rig.store, grace=hour).staged == 0
    assert len(rig.beneath.uploads()) == 1
    swept = sweep(rig.shelf.database, rig.store, grace=timedelta(0))
    assert (swept.staged, swept.bytes) == (2, 3 * PART)  # and the staged file
    assert rig.is_untouched()


@ONLY_MOTO
def test_only_uploads_of_this_node_are_swept(rig: Rig) -> None:
    """Others may share the bucket."""
    replace(rig.beneath, prefix="other/documents/").begin_upload("2026/01/01/00/aa", b"x")
    rig.beneath.begin_upload("2026/01/01/00/bb", b"x")
    assert sweep(rig.shelf.database, rig.store, grace=timedelta(0)).staged == 1
    assert rig.beneath.uploads() == ["other/documents/2026/01/01/00/aa"]


@ONLY_MOTO
def test_parts_that_are_not_joined_are_no_document(rig: Rig) -> None:
    """S3 may say 200, and then in the body that it has failed."""
    rig.proxy.be(Mood("^POST .*uploadId", answer=proxy.error("200 OK", "InternalError")))
    assert _busy(lambda: rig.put(b"x" * (PART + 1))) == "the S3 server has not joined the parts of an upload"
    assert rig.beneath.keys() == []


@pytest.mark.parametrize(
    ("size", "after"), [(50_000, 1), (50_000, 49_999), (3_000_000, 1), (3_000_000, 2_999_999)]
)
def test_a_download_that_is_cut_is_never_a_whole_document(rig: Rig, size: int, after: int) -> None:
    """Nor damaged: the bytes are as they were, and can be had again."""
    content = os.urandom(size)
    rig.shelf.keep("doc", content)
    document = rig.shelf.repository.find(["doc"])["doc"]
    cut = Mood("^GET", cut_answer=after)
    rig.proxy.be(cut)
    _busy(lambda: rig.shelf.repository.verify(document))
    _busy(lambda: rig.read(document.key))
    _busy(lambda: rig.shelf.repository.damaged([NewDocument("doc", "", rig.shelf.stage(content))]))
    got: list[bytes] = []
    _busy(lambda: got.extend(rig.shelf.repository.read(document)))
    assert len(b"".join(got)) < size
    rig.proxy.calm()
    rig.shelf.repository.verify(document)
    assert b"".join(rig.shelf.repository.read(document)) == content


@ONLY_MOTO
def test_a_download_that_trickles_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that come now and then keep nobody waiting for ever."""
    key = rig.put(b"x" * 200_000)
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.5)
    rig.proxy.be(Mood("^GET", drip=(0.1, 100)))
    began = time.monotonic()
    assert _busy(lambda: rig.read(key)) == "the S3 server is too slow"
    assert time.monotonic() - began < 25  # and not 30


@ONLY_MOTO
def test_an_answer_of_unknown_length_is_refused(rig: Rig) -> None:
    """Where it ends could not be told from where it was cut."""
    key = rig.put()
    rig.proxy.be(Mood("^GET", answer=b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx"))
    assert "is not an S3 server" in _busy(lambda: rig.read(key))


def test_a_reader_that_is_left_early_harms_nobody(rig: Rig) -> None:
    """Its connection is closed; those that were read to the end are used again."""
    key = rig.put(b"x" * 3_000_000)
    for _ in range(3):
        with rig.store.open(key) as file:
            file.read(10)
    for _ in range(3):
        assert len(rig.read(key)) == 3_000_000


# -- keys, buckets, encryption -------------------------------------------------------------------------------


def _with(**changes: str) -> Callable[[S3Options], S3Options]:
    return lambda options: replace(options, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret_key": "wrong-secret"}, "s3.secret_key is not the one of s3.access_key"),
        ({"access_key": "nobody"}, "the S3 server does not know s3.access_key"),
    ],
)
@ONLY_CEPH
def test_a_wrong_key_is_said(
    s3: tuple[Server, InBucket], tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    """By the setting that is wrong; a look alone hears only that it may not."""
    with _rig(*s3, tmp_path, _with(**changes)) as rig:
        assert _busy(rig.store.try_out) == sentence
        assert _busy(rig.put) == sentence
        assert _busy(rig.store.check) == "the S3 server does not let s3.access_key look at the bucket"
        assert rig.shelf.staged() != []
        assert rig.is_untouched()


def test_a_missing_bucket_is_said(s3: tuple[Server, InBucket], tmp_path: Path) -> None:
    """By all that is done there; and when it is there, all is well."""
    server, beneath = s3
    other = f"t{secrets.token_hex(8)}"
    with _rig(server, beneath, tmp_path, lambda o: replace(o, bucket=replace(o.bucket, name=other))) as rig:
        for deed in (rig.store.try_out, rig.put, rig.store.check, lambda: rig.read("2026/01/01/00/aa")):
            assert _busy(deed) == "the S3 server has no such bucket"
        with stores.bucket(server, other) as made:
            rig.store.try_out()
            assert made.keys() == []


@pytest.mark.parametrize(
    ("s3", "changes"),
    [("moto", {"encryption": "AES256"}), ("ceph", {"encryption": "aws:kms", "encryption_key": "key-1"})],
    indirect=["s3"],
)
@SIZES
def test_the_server_is_asked_to_encrypt(
    s3: tuple[Server, InBucket], tmp_path: Path, changes: dict[str, str], size: int
) -> None:
    """And the bytes come back as they were."""
    content = os.urandom(size)
    with _rig(*s3, tmp_path, _with(**changes)) as rig:
        key = rig.put(content)
        told = rig.beneath.client.stat_object(rig.beneath.bucket, rig.beneath.prefix + key).metadata
        assert told["x-amz-server-side-encryption"] == changes["encryption"]
        assert rig.read(key) == content
        assert rig.store.size(key) == size


@SIZES
def test_a_certificate_is_always_verified(s3: tuple[Server, InBucket], tmp_path: Path, size: int) -> None:
    """With s3.ca it is that authority's; the machine does not trust it."""
    server, beneath = s3
    authority = Authority(tmp_path, "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost", ExtendedKeyUsageOID.SERVER_AUTH))
    with proxy.before(int(server.endpoint.rpartition(":")[2]), context) as front:
        secure = replace(server, endpoint=f"https://localhost:{front.port}").options(beneath.bucket)
        stranger = S3Store(secure, tmp_path / "work")
        assert "certificate" in _busy(stranger.try_out)
        store = S3Store(replace(secure, ca=authority.file), tmp_path / "work")
        writer = store.staging.create()
        content = os.urandom(size)
        writer.write(content)
        with store.open(store.put(writer.finish())) as file:
            assert file.read() == content


# -- looking after it ----------------------------------------------------------------------------------------


@ONLY_MOTO
def test_the_store_is_not_asked_at_every_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe costs the server nothing for some seconds, in good days and bad."""
    for _ in range(5):
        rig.store.check()
    assert len(rig.proxy.lines) == 1
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.3)
    time.sleep(0.4)
    rig.proxy.be(Mood(answer=proxy.error("403 Forbidden", "AccessDenied")))
    for _ in range(5):
        _busy(rig.store.check)
    assert len(rig.proxy.lines) == 2
    rig.proxy.calm()
    time.sleep(0.4)
    rig.store.check()


@ONLY_MOTO
def test_a_sweep_lists_hours_and_never_the_bucket(rig: Rig) -> None:
    """However much there is from before."""
    for key in ("2024/01/01/00/aa", "2025/06/07/08/bb", "2025/06/07/09/cc", "2025/06/08/00/dd"):
        rig.beneath.plant(key, b"x")
    found = list(rig.store.keys("2025/06/07/09", datetime.now(UTC) + timedelta(seconds=2)))
    assert found == ["2025/06/07/09/cc", "2025/06/08/00/dd"]
    asked = [line for line in rig.proxy.lines if "2024" in line or "08%2F&" in line]
    assert asked == []
    flat = [line for line in rig.proxy.lines if "delimiter=&" in line]
    assert len(flat) == 2


def test_a_read_does_not_change_what_is_recorded(rig: Rig) -> None:
    """A submission that meets a server which is gone has stored nothing, and can be sent again."""
    staged = rig.shelf.stage(b"x")
    put = rig.shelf.repository.put([NewDocument("doc", "text/plain", staged)])
    rig.proxy.be(Mood("^HEAD", answer=proxy.answer("503 Busy")))
    with pytest.raises(StoreBusy), rig.shelf.database.write() as connection:
        rig.shelf.repository.record(connection, put)
    assert rig.shelf.repository.find(["doc"]) == {}
    rig.proxy.calm()
    rig.shelf.repository.discard(each.key for each in put)
    assert rig.is_untouched()
