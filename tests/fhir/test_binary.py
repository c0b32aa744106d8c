"""ITI-68 on a real node: the bytes of a document, whole and in parts, and who gets something else.

What is expected comes from MHD 2:3.68, from FHIR R4 (Binary, and 3.1.0.1.11) and from RFC 9110.
"""

from __future__ import annotations

import base64
import http.client
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.beneath import Beneath
from tests.blackbox import messages as m
from tests.blackbox.state import beneath, rows, staged
from tests.blackbox.test_documents import MB, ROOM, Memory, Pattern, _put_in
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir.shelf import Entry, ask, file, replaces, search, somebody
from tests.nodes import Node
from tests.waiting import eventually

JSON, XML = "application/fhir+json", "application/fhir+xml"
PATIENT = somebody(0)
TEN = b"0123456789"


def address(node: Node, document: m.Document) -> str:
    """attachment.url, as a path."""
    (found,) = search(node, f"identifier={document.unique_id}").matches
    url = found["content"][0]["attachment"]["url"]
    assert url == f"{node.url}/fhir/Binary/{found['id']}"
    return str(url).removeprefix(node.url)


def filed(node: Node, content: bytes = TEN, **more: Any) -> tuple[Entry, str]:
    """A document and its address."""
    document = Entry(id=m.new_uuid(), patient=PATIENT, content=content, **more)
    file(node, document)
    return document, address(node, document)


@pytest.fixture(scope="module")
def ten(node: Node) -> tuple[Entry, str]:
    """A document of ten bytes."""
    return filed(node)


# ---- the bytes


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 7, 65_535, 65_536, 65_537, MB])
def test_a_document_comes_out_as_it_went_in(node: Node, size: int) -> None:
    """The bytes themselves; and as a resource in both forms, whose base64 is the same bytes."""
    content = random.Random(size).randbytes(size)
    document, path = filed(node, content)
    raw = ask(node, path)
    assert (raw.status, raw.body) == (200, content)
    assert raw.headers["Content-Type"] == "application/pdf"
    assert raw.headers["Content-Length"] == str(size)
    assert raw.headers["ETag"] == f'"{document.sha1}"'
    for form in (JSON, XML):
        got = ask(node, path, headers={"Accept": form})
        assert got.headers["Content-Type"] == f"{form}; charset=utf-8"
        assert int(got.headers["Content-Length"]) == len(got.body)
        resource = got.json
        assert (resource["resourceType"], resource["id"]) == ("Binary", path.rpartition("/")[2])
        assert resource["contentType"] == "application/pdf"
        # An element of FHIR is never empty, so nothing is no data.
        assert ("data" in resource) == (size > 0)
        assert base64.b64decode(resource.get("data", ""), validate=True) == content


def test_the_address_is_of_the_logical_document(node: Node) -> None:
    """It stays when metadata are updated, and other spellings of the id lead to the same bytes."""
    document, path = filed(node)
    new = Entry(id=m.new_uuid(), patient=PATIENT, unique_id=document.unique_id, lid=document.id, content=TEN)
    update = m.submit(
        new.xml(), m.submission_set(patient=PATIENT), m.member("as1", new.id, PreviousVersion="1")
    )
    assert send(node, m.plain(update, "ITI-57")).outcome == SUCCESS
    assert address(node, document) == path
    kind, _, own = path.rpartition("/")
    for each in (own, own.upper(), new.id.removeprefix("urn:uuid:")):
        assert ask(node, f"{kind}/{each}").body == TEN


def test_head_has_all_but_the_bytes(node: Node, ten: tuple[Entry, str]) -> None:
    """The same headers as GET; a range is for GET alone (RFC 9110 14.2)."""
    _, path = ten
    for headers in ({}, {"Range": "bytes=2-3"}, {"Accept": JSON}, {"Accept": "image/png"}):
        whole = ask(node, path, headers={name: each for name, each in headers.items() if name != "Range"})
        head = ask(node, path, "HEAD", headers=headers)
        assert (head.status, head.body) == (whole.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Accept-Ranges", "Content-Disposition"):
            assert head.headers[name] == whole.headers[name], name
        assert head.headers["Content-Range"] is None


@pytest.mark.parametrize(
    ("asked", "expected", "told"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=0-9", TEN, "bytes 0-9/10"),
        ("bytes=0-", TEN, "bytes 0-9/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-100", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-10", TEN, "bytes 0-9/10"),
        ("bytes=-100", TEN, "bytes 0-9/10"),
        ("Bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes= 2-5 ", b"2345", "bytes 2-5/10"),
        ("bytes=002-005", b"2345", "bytes 2-5/10"),
        # No range, several, or none of bytes: the whole.
        ("bytes=5-2", TEN, None),
        ("bytes=0-1,4-5", TEN, None),
        ("bytes=0-1,", TEN, None),
        ("bytes=-", TEN, None),
        ("bytes=", TEN, None),
        ("bytes=a-b", TEN, None),
        ("bytes=0x1-2", TEN, None),
        ("bytes=٢-٥", TEN, None),
        ("pages=1-2", TEN, None),
        ("2-5", TEN, None),
        ("bytes=0-99999999999999999999999", TEN, None),
    ],
)
def test_a_part_is_sent_for_a_range(
    node: Node, ten: tuple[Entry, str], asked: str, expected: bytes, told: str | None
) -> None:
    """206 and which bytes; what is no single range of bytes is passed over (RFC 9110 14.2)."""
    document, path = ten
    got = ask(node, path, headers={"Range": asked.encode().decode("latin-1")})
    assert (got.status, got.body) == (206 if told else 200, expected)
    assert got.headers["Content-Range"] == told
    assert got.headers["Content-Length"] == str(len(expected))
    assert got.headers["ETag"] == f'"{document.sha1}"'
    assert got.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=999999999999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_not_satisfiable(node: Node, ten: tuple[Entry, str], asked: str) -> None:
    """416 and the length (RFC 9110 15.5.17)."""
    got = ask(node, ten[1], headers={"Range": asked})
    assert (got.status, got.headers["Content-Range"]) == (416, "bytes */10")
    assert got.json["resourceType"] == "OperationOutcome"


def test_no_bytes_have_no_range(node: Node) -> None:
    """Of a document without any, each is behind the end."""
    _, path = filed(node, b"")
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        assert ask(node, path, headers={"Range": asked}).status == 416


def test_parts_of_a_large_document_make_the_whole(node: Node) -> None:
    """Across the pieces in which it is stored."""
    content = random.Random(68).randbytes(3 * MB + 17)
    _, path = filed(node, content)
    found = b"".join(
        ask(node, path, headers={"Range": f"bytes={first}-{first + 700_000}"}).body
        for first in range(0, len(content), 700_001)
    )
    assert found == content
    assert ask(node, path, headers={"Range": "bytes=-18"}).body == content[-18:]


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{sha1}"', 206),
        ('"other"', 200),
        ('W/"{sha1}"', 200),  # If-Range compares strongly (RFC 9110 13.1.5)
        ("Wed, 11 Mar 2026 09:45:00 GMT", 200),
        ("", 200),
    ],
)
def test_a_range_may_be_for_one_document_only(
    node: Node, ten: tuple[Entry, str], condition: str, status: int
) -> None:
    """If-Range: the part if it is still the same, and else the whole."""
    document, path = ten
    headers = {"Range": "bytes=2-5", "If-Range": condition.format(sha1=document.sha1)}
    assert ask(node, path, headers=headers).status == status


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{sha1}"', 304),
        ('W/"{sha1}"', 304),
        ('"a", "{sha1}"', 304),
        ('"a",W/"{sha1}" , "b"', 304),
        ("*", 304),
        ('"other"', 200),
        ("{sha1}", 200),
        ('"{sha1}', 200),
        ("", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_a_document_already_need_not_get_it_again(
    node: Node, ten: tuple[Entry, str], condition: str, status: int, method: str
) -> None:
    """If-None-Match by weak comparison (RFC 9110 13.1.2), before any range."""
    document, path = ten
    headers = {"If-None-Match": condition.format(sha1=document.sha1), "Range": "bytes=10-"}
    if status == 200:
        del headers["Range"]
    got = ask(node, path, method, headers=headers)
    assert got.status == status
    assert got.body == (TEN if status == 200 and method == "GET" else b"")
    assert got.headers["ETag"] == f'"{document.sha1}"'
    assert got.headers["Cache-Control"] == "private, no-store"


def test_if_unmodified_since_is_passed_over(node: Node, ten: tuple[Entry, str]) -> None:
    """MHD 2:3.68.4.1.2."""
    headers = {"If-Unmodified-Since": "Wed, 11 Mar 2020 09:45:00 GMT"}
    assert ask(node, ten[1], headers=headers).status == 200


# ---- Accept


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/pdf"),
        ("", "application/pdf"),
        ("*/*", "application/pdf"),
        ("application/*", "application/pdf"),
        ("application/pdf", "application/pdf"),
        ("Application/PDF", "application/pdf"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/pdf"),
        ("image/png, */*;q=0.1", "application/pdf"),
        (f"application/pdf, {JSON}", "application/pdf"),
        (f"{JSON};q=0.5, application/pdf", "application/pdf"),
        (JSON, JSON),
        (XML, XML),
        (f"{JSON}, application/pdf;q=0.5", JSON),
        (f"{XML}, */*;q=0.1", XML),
        ("text/*", None),
        ("image/png", None),
        ("application/json", None),
        ("application/xml", None),
        ("application/pdf;q=0", None),
        ("application/pdf;q=0, */*", None),
        ("application/pdf;q=0, application/*", None),
        (f"application/pdf;q=0, {JSON};q=0.1", JSON),
    ],
)
def test_a_document_is_sent_to_who_accepts_it(
    node: Node, ten: tuple[Entry, str], accept: str | None, expected: str | None
) -> None:
    """As it is, or as a resource for who takes nothing else; nothing is converted (MHD 2:3.68.4.1.2)."""
    got = ask(node, ten[1], headers={} if accept is None else {"Accept": accept})
    if expected is None:
        assert (got.status, [each["code"] for each in got.outcome]) == (406, ["not-supported"])
    elif expected == "application/pdf":
        assert (got.status, got.headers["Content-Type"], got.body) == (200, expected, TEN)
    else:
        assert got.headers["Content-Type"] == f"{expected}; charset=utf-8"
        assert base64.b64decode(got.json["data"]) == TEN
        assert got.headers["Accept-Ranges"] is None


@pytest.mark.parametrize(("wanted", "form"), [("json", JSON), ("xml", XML), ("application/fhir%2Bxml", XML)])
def test_a_resource_is_asked_for_by_parameter_too(
    node: Node, ten: tuple[Entry, str], wanted: str, form: str
) -> None:
    """_format goes before Accept; one that is no form of FHIR is not acceptable."""
    for accept in ("*/*", "application/pdf", "image/png"):
        got = ask(node, f"{ten[1]}?_format={wanted}", headers={"Accept": accept})
        assert got.headers["Content-Type"] == f"{form}; charset=utf-8"
        assert base64.b64decode(got.json["data"]) == TEN
    assert ask(node, f"{ten[1]}?_format=html").status == 406


def test_a_document_that_is_a_resource_is_sent_as_it_is(node: Node) -> None:
    """Its own type is accepted: nobody gets it wrapped once more."""
    content = b'{"resourceType": "Bundle", "type": "document"}'
    _, path = filed(node, content, mime_type=JSON)
    for accept in (JSON, "*/*"):
        got = ask(node, path, headers={"Accept": accept})
        assert (got.status, got.headers["Content-Type"], got.body) == (200, JSON, content)
    resource = ask(node, path, headers={"Accept": XML}).json
    assert (resource["contentType"], base64.b64decode(resource["data"])) == (JSON, content)


def test_an_outcome_is_readable_whatever_was_accepted(node: Node) -> None:
    """JSON, or XML for who takes that."""
    path = "/fhir/Binary/00000000-0000-4000-8000-000000000000"
    for accept, form in (("application/pdf", JSON), (f"application/pdf, {XML};q=0.1", XML)):
        got = ask(node, path, headers={"Accept": accept})
        assert (got.status, got.headers["Content-Type"]) == (404, f"{form}; charset=utf-8")
        assert got.json["resourceType"] == "OperationOutcome"


# ---- headers


def test_a_document_runs_nothing_and_stays_nowhere(node: Node) -> None:
    """A browser must neither guess its type, nor run it, nor keep it."""
    _, path = filed(node, b"<script>alert(1)</script>", mime_type="text/html")
    for headers in ({}, {"Range": "bytes=0-3"}, {"Accept": JSON}):
        got = ask(node, path, headers=headers)
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Cache-Control"] == "private, no-store"
        assert got.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Epikrise", "Epikrise"),
        ("Prøvesvar «blod»", "Prøvesvar «blod»"),
        ("../../etc/passwd", ".. .. etc passwd"),
        (r"C:\x", "C  x"),
        ('a"; filename="b', "a ; filename= b"),
        ("a\r\nSet-Cookie: x=1", "a  Set-Cookie  x=1"),
        ("a\tb", "a b"),
        ("gnp\u202efdp.exe", "gnp fdp.exe"),
        ("\u2028", "document"),
        ("   ", "document"),
        ("日本語 📄", "日本語 📄"),
        ("x" * 120, "x" * 100),
        ("%41%0d%0a", "%41%0d%0a"),
    ],
)
def test_a_title_becomes_a_harmless_name(node: Node, title: str, name: str) -> None:
    """filename* (RFC 6266, RFC 8187), without anything that a file system or a header takes for its own."""
    as_xml = title.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")
    document = Entry(id=m.new_uuid(), patient=PATIENT, content=TEN, title="TITLE")
    body = m.provide([document], m.inline([document]), patient=PATIENT)
    escaped = as_xml.replace('"', "&quot;")
    reply = send(node, m.plain(body.replace('"TITLE"', f'"{escaped}"'), "ITI-41"))
    assert reply.outcome == SUCCESS, reply.errors
    got = ask(node, address(node, document))
    disposition = got.headers["Content-Disposition"]
    head, _, told = disposition.partition("inline; filename*=UTF-8''")
    assert (head, unquote(told)) == ("", name)
    assert disposition.isascii()
    assert got.headers["Set-Cookie"] is None


# ---- what is not to be had


def test_what_was_replaced_is_gone(node: Node) -> None:
    """410 (MHD 2:3.68.4.1.3), whatever is asked of it; the new one is there."""
    old, path = filed(node)
    new = Entry(id=m.new_uuid(), patient=PATIENT, content=b"new")
    file(node, new, more=replaces(new, old.id))
    for headers in ({}, {"Accept": JSON}, {"Range": "bytes=0-1"}, {"If-None-Match": f'"{old.sha1}"'}):
        got = ask(node, path, headers=headers)
        assert (got.status, [each["code"] for each in got.outcome]) == (410, ["deleted"])
        assert ask(node, path, "HEAD", headers=headers).status == 410
    assert ask(node, address(node, new)).body == b"new"


def test_what_was_replaced_may_be_served(new_node: Callable[..., Node]) -> None:
    """fhir.deprecated = served, as ITI-43 does."""
    node = new_node(fhir__deprecated="served")
    old, path = filed(node)
    new = Entry(id=m.new_uuid(), patient=PATIENT)
    file(node, new, more=replaces(new, old.id))
    assert (ask(node, path).status, ask(node, path).body) == (200, TEN)
    node.stop()


def test_a_document_of_another_repository_is_not_here(node: Node) -> None:
    """Registered by ITI-42: its bytes are elsewhere, and 404 says so."""
    elsewhere = Entry(id=m.new_uuid(), patient=PATIENT, content=TEN, slots={"repositoryUniqueId": "2.999.77"})
    assert send(node, m.plain(m.register([elsewhere], patient=PATIENT), "ITI-42")).outcome == SUCCESS
    got = ask(node, address(node, elsewhere))
    assert (got.status, [each["code"] for each in got.outcome]) == (404, ["not-found"])
    assert got.outcome[0]["details"]["coding"][0]["code"] == "XDSUnknownRepositoryId"


def test_a_document_whose_bytes_were_removed_is_not_found(node: Node) -> None:
    """ITI-86 took them, the entry stays."""
    document, path = filed(node)
    assert send(node, m.plain(m.remove_documents(document.unique_id), "ITI-86")).outcome == SUCCESS
    got = ask(node, path)
    assert (got.status, [each["code"] for each in got.outcome]) == (404, ["not-found"])


#: What is done to the bytes under a key.
DAMAGE: list[Callable[[Beneath, str], object]] = [
    lambda under, key: under.delete(key),
    lambda under, key: under.plant(key, bytes(len(under.read(key)))),
    lambda under, key: under.plant(key, under.read(key)[:-1]),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=["missing", "changed", "cut off"])
def test_a_damaged_document_is_withheld(
    new_node: Callable[..., Node], damage: Callable[[Beneath, str], object]
) -> None:
    """500 with a reference before the first byte, for a part of it too; the log has the file and no id."""
    node = new_node()
    document, path = filed(node, random.Random(1).randbytes(300_000))
    ((key,),) = rows(node, "SELECT blob_key FROM stored_document")
    damage(beneath(node), str(key))
    for headers in ({}, {"Range": "bytes=0-9"}, {"Accept": JSON}):
        got = ask(node, path, headers=headers)
        assert (got.status, [each["code"] for each in got.outcome]) == (500, ["exception"])
        reference = got.told[0][-13:-1]
        log = node.log.read_text()
        assert f"ERROR xds {reference} ITI-43 damaged or missing: {key}\n" in log
        assert f"{reference} ITI-68 refused" in log
        assert document.unique_id not in log + got.body.decode()
        assert got.headers["Accept-Ranges"] is None
    node.stop()


ON_DEMAND = """
from tests.waiting import eventually
from xds.repository.on_demand import OnDemandDocument

count = 0

def make(request):
    global count
    count += 1
    what = request.entry.unique_id.rpartition(".")[2]
    if what == "1":
        return OnDemandDocument(iter((b"", b"no", b"", b"w: %d" % count, b"")), mime_type="text/plain")
    if what == "2":
        return OnDemandDocument(b"always the same", keep=True)
    if what == "4":
        return OnDemandDocument(b"")
    raise ValueError(request.entry.patient_id)
"""


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that makes documents when they are fetched."""
    folder = tmp_path_factory.mktemp("function")
    (folder / "made_over_fhir.py").write_text(ON_DEMAND)
    with pytest.MonkeyPatch.context() as patch, nodes("sqlite", tmp_path_factory) as make:
        patch.setenv("PYTHONPATH", str(folder))
        yield make(repository__on_demand="made_over_fhir:make")


def promised(node: Node, what: int) -> str:
    """The address of an on-demand document."""
    slots: dict[str, str | None] = dict.fromkeys(("creationTime", "hash", "size"))
    document = Entry(patient=PATIENT, unique_id=f"{m.new_oid()}.{what}", slots=slots, object_type=m.ON_DEMAND)
    assert send(node, m.plain(m.register([document], patient=PATIENT), "ITI-61")).outcome == SUCCESS
    return address(node, document)


def test_a_document_on_demand_is_made_for_who_fetches_it(demanding: Node) -> None:
    """Other bytes each time, so there is no ETag, and no part of it; as a resource its base64 is whole."""
    path = promised(demanding, 1)
    first, second = (ask(demanding, path, headers={"Range": "bytes=0-1"}) for _ in range(2))
    assert first.body.startswith(b"now: ")
    assert first.body != second.body
    assert (first.status, first.headers["ETag"], first.headers["Accept-Ranges"]) == (200, None, None)
    assert first.headers["Content-Length"] == str(len(first.body))
    assert ask(demanding, path, headers={"If-None-Match": "*"}).status == 200
    for form in (JSON, XML):
        resource = ask(demanding, path, headers={"Accept": form}).json
        assert base64.b64decode(resource["data"], validate=True).startswith(b"now: ")
    empty = promised(demanding, 4)
    assert ask(demanding, empty).body == b""
    assert "data" not in ask(demanding, empty, headers={"Accept": JSON}).json
    assert eventually(lambda: not staged(demanding))


def test_a_document_on_demand_may_be_kept(demanding: Node) -> None:
    """It has an entry of its own then, with a hash."""
    path = promised(demanding, 2)
    assert ask(demanding, path).body == ask(demanding, path).body == b"always the same"
    assert eventually(lambda: not staged(demanding))


def test_a_document_that_cannot_be_made_is_an_error_without_its_words(demanding: Node) -> None:
    """500; neither answer nor log says anything of the patient."""
    got = ask(demanding, promised(demanding, 3))
    assert (got.status, [each["code"] for each in got.outcome]) == (500, ["exception"])
    number = PATIENT.partition("^")[0]
    assert number not in got.body.decode() + demanding.log.read_text()


def test_a_node_without_a_function_has_no_documents_on_demand(node: Node) -> None:
    """An error, and no empty document."""
    got = ask(node, promised(node, 1))
    assert got.status in (404, 500)
    assert got.json["resourceType"] == "OperationOutcome"


# ---- large ones


@pytest.fixture(scope="module")
def roomy(new_node: Callable[..., Node]) -> Node:
    """A node that takes documents of 250 MB, and waits two seconds for nobody."""
    return new_node(limits__document_bytes=250 * MB, limits__total_bytes=300 * MB, limits__idle_seconds=2)


class _Receiver:
    """A GET whose answer is read piece by piece."""

    def __init__(self, node: Node, path: str, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status in (200, 206)

    def matches(self, pattern: Pattern) -> bool:
        """Whether what comes is the pattern, byte for byte, and no more."""
        same = all(self.answer.read(len(piece)) == piece for piece in pattern) and self.answer.read() == b""
        self.connection.close()
        return same


def large(node: Node, pattern: Pattern) -> str:
    """Filed; its address."""
    (found,) = search(node, f"identifier={_put_in(node, pattern)}").matches
    return str(found["content"][0]["attachment"]["url"]).removeprefix(node.url)


@pytest.mark.slow
def test_a_large_document_comes_out_in_little_memory(
    roomy: Node, record_property: Callable[[str, Any], None]
) -> None:
    """200 MB whole, its end by range, and as a resource: the node's memory grows by less than 32 MB."""
    warm = Pattern(MB)
    path = large(roomy, warm)
    for _ in range(3):
        assert _Receiver(roomy, path).matches(warm)
        assert ask(roomy, path, headers={"Accept": JSON}).status == 200
    pattern = Pattern(200 * MB)
    path = large(roomy, pattern)
    with Memory(roomy) as memory:
        began = time.perf_counter()
        assert _Receiver(roomy, path).matches(pattern)
        seconds = time.perf_counter() - began
        assert ask(roomy, path, headers={"Range": "bytes=199999990-"}).body == list(pattern)[-1][-10:]
        began = time.perf_counter()
        receiver, count = _Receiver(roomy, path, Accept=JSON), 0
        while piece := receiver.answer.read(MB):
            count += len(piece)
        receiver.connection.close()
        as_resource = time.perf_counter() - began
    assert count == int(receiver.answer.headers["Content-Length"]) > 266 * MB
    figure = (
        f"200 MB by ITI-68: {seconds:.1f} s, as a resource {as_resource:.1f} s,"
        f" resident memory +{memory.growth / 1048576:.1f} MiB (before {memory.before / 1048576:.0f} MiB)"
    )
    record_property("figure", figure)
    assert memory.growth < ROOM, figure
    assert eventually(lambda: not staged(roomy))


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["*/*", JSON])
def test_a_receiver_that_goes_away_leaves_nothing_behind(roomy: Node, accept: str) -> None:
    """The file is closed and the thread free; the log has one line with the request's reference."""
    path = large(roomy, Pattern(20 * MB))
    before = _open_files(roomy)
    logged = roomy.log.stat().st_size
    for _ in range(5):
        receiver = _Receiver(roomy, path, Accept=accept)
        receiver.answer.read(1000)
        receiver.answer.close()
        receiver.connection.close()
    _wait_until(lambda: roomy.log.read_bytes()[logged:].count(b"receiver went away") == 5)
    _wait_until(lambda: _open_files(roomy) <= before)
    lines = roomy.log.read_text().splitlines()
    ends = [each for each in lines if "receiver went away" in each]
    assert all("endpoint=/fhir ITI-68 status=200" in each for each in ends[-5:])
    assert eventually(lambda: not staged(roomy))
    assert ask(roomy, "/fhir/metadata").status == 200


@pytest.mark.slow
def test_a_receiver_that_takes_nothing_is_let_go(roomy: Node) -> None:
    """After limits.idle_seconds its connection ends, and what was open for it is closed."""
    path = large(roomy, Pattern(60 * MB))
    before = _open_files(roomy)
    logged = roomy.log.stat().st_size
    with socket.create_connection(("127.0.0.1", roomy.port)) as silent:
        silent.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        _wait_until(lambda: b"receiver went away" in roomy.log.read_bytes()[logged:], seconds=30)
    _wait_until(lambda: _open_files(roomy) <= before)
    assert eventually(lambda: not staged(roomy))


def _open_files(node: Node) -> int:
    """Documents that the workers have open."""
    return sum(
        str(node.documents) in each.path for process in node.workers() for each in process.open_files()
    )


def _wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
