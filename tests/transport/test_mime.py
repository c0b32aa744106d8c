"""multipart/related: any chunking, any order, any boundary; and each way to get it wrong."""

from __future__ import annotations

import base64
import io
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from xds.errors import Fault, FaultCode
from xds.transport.limits import Limits
from xds.transport.mime import Parts, media_type, read_parts
from xds.transport.staged import StagingFolder

SECRET = b"13116900216"


class Chunked:
    """A stream that gives its bytes in pieces of the given sizes, again and again."""

    def __init__(self, data: bytes, *sizes: int) -> None:
        self.data = io.BytesIO(data)
        self.sizes = list(sizes)

    def read(self, size: int, /) -> bytes:
        self.sizes.append(self.sizes.pop(0))
        return self.data.read(min(size, self.sizes[-1]))


def part(identifier: str | None, data: bytes, *headers: str) -> bytes:
    lines = [*headers] + ([f"Content-ID: <{identifier}>"] if identifier is not None else [])
    return ("\r\n".join(lines) + ("\r\n" if lines else "") + "\r\n").encode() + data


def multipart(*parts: bytes, boundary: str = "B", preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    delimiter = f"--{boundary}".encode()
    return (
        preamble
        + b"".join(delimiter + b"\r\n" + one + b"\r\n" for one in parts)
        + delimiter
        + b"--"
        + epilogue
    )


def read(
    data: bytes, staging: StagingFolder, *sizes: int, limits: Limits | None = None, **parameters: str
) -> tuple[Parts, dict[str, bytes]]:
    parts = read_parts(
        Chunked(data, *(sizes or (1 << 20,))), {"boundary": "B"} | parameters, limits or Limits(), staging
    )
    contents = {}
    for name, staged in parts.staged.items():
        with staged.open() as file:
            contents[name] = file.read()
        assert staged.size == len(contents[name])
    return parts, contents


def refusal(data: bytes, staging: StagingFolder, limits: Limits | None = None, **parameters: str) -> str:
    with pytest.raises(Fault) as caught:
        read(data, staging, 7, limits=limits, **parameters)
    assert caught.value.code is FaultCode.SENDER
    assert list(staging.path.iterdir()) == []
    assert SECRET.decode() not in caught.value.reason
    return caught.value.reason


ROOT = part("root", b"<r/>")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537])
@pytest.mark.parametrize("chunk", [1, 7, 4096, 65_536, 1 << 20])
def test_documents_of_awkward_sizes_come_through(staging: StagingFolder, size: int, chunk: int) -> None:
    """Sizes around those of buffers, in pieces of every kind."""
    document = random.Random(size).randbytes(size)
    _, contents = read(multipart(ROOT, part("d", document)), staging, chunk)

    assert contents == {"d": document}


LOOKALIKES = [
    b"\r\n--", b"\r\n--b", b"\r\n--BB", b"\r\n--B-", b"\r\n--B-x",
    b"\r\n--B\rx", b"\r\n--B\r\r\n", b"--B\r\n",
    b"x--B--", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n--B\r\n", b"\n--B--", b"\r\r\n--X", b"\r\n-",
    b"\r\n--B--x"[:5], b"\r--B\r\n",
]  # fmt: skip


def may_be_sent(document: bytes) -> bool:
    """Whether the boundary B does not occur in the document as a delimiter (RFC 2046, 5.1.1)."""
    return b"\r\n--B\r\n" not in document + b"\r\n" and b"\r\n--B--" not in document


@pytest.mark.parametrize("lookalike", LOOKALIKES)
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1000])
def test_bytes_that_look_like_a_boundary_are_data(
    staging: StagingFolder, lookalike: bytes, chunk: int
) -> None:
    """In the middle, at the end, and twice."""
    for document in filter(may_be_sent, (b"a" + lookalike + b"b", b"a" + lookalike, b"a" + lookalike * 2)):
        _, contents = read(multipart(ROOT, part("d", document), part("e", b"")), staging, chunk)

        assert contents == {"d": document, "e": b""}


@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(st.lists(st.sampled_from([*LOOKALIKES, b"data", b"B", b"-"]), max_size=6), max_size=4),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_any_chunking_gives_the_same_parts(
    staging: StagingFolder, pieces: list[list[bytes]], sizes: list[int]
) -> None:
    """Whatever the network does to the bytes."""
    documents = list(filter(may_be_sent, (b"x" + b"".join(one) for one in pieces)))
    parts = [part(f"d{index}", document) for index, document in enumerate(documents)]
    _, contents = read(multipart(ROOT, *parts), staging, *sizes)

    assert contents == {f"d{index}": document for index, document in enumerate(documents)}


@pytest.mark.parametrize("start", ["root", "<root>", " <root> "])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_start_names_the_root_in_any_place(staging: StagingFolder, start: str, place: int) -> None:
    """RFC 2387, 3.2, with or without brackets."""
    parts = [part("a", b"1"), part("b", b"2")]
    parts.insert(place, part("root", b"<r/>", "Content-Type: application/xop+xml"))
    found, contents = read(multipart(*parts), staging, start=start)

    assert (found.root, found.root_type) == (b"<r/>", "application/xop+xml")
    assert contents == {"a": b"1", "b": b"2"}


def test_without_start_the_first_part_is_the_root(staging: StagingFolder) -> None:
    """RFC 2387, 3.2; it needs no Content-ID then."""
    found, contents = read(multipart(part(None, b"<r/>"), part("a", b"1")), staging)

    assert (found.root, contents) == (b"<r/>", {"a": b"1"})


def test_a_part_without_a_content_id_is_named_by_its_place(staging: StagingFolder) -> None:
    """Nobody can refer to it, which is for the transaction to judge."""
    _, contents = read(multipart(ROOT, part(None, b"1"), part(None, b"2")), staging)

    assert contents == {"part 2": b"1", "part 3": b"2"}


@pytest.mark.parametrize("boundary", ["B", "=_a b'()+,-./:=?", "x" * 70, "----=_Part_1_2.3", "uuid:1+id=1"])
def test_any_boundary_is_found(staging: StagingFolder, boundary: str) -> None:
    """All characters that RFC 2046 allows."""
    _, contents = read(multipart(ROOT, part("a", b"1"), boundary=boundary), staging, 3, boundary=boundary)

    assert contents == {"a": b"1"}


@pytest.mark.parametrize(
    "preamble", [b"\r\n", b"\r\n\r\n", b"This is MIME.\r\n", b"-- --\r\n--\r\n", b"--Bx\n\r\n"]
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_preamble_and_epilogue_are_skipped(staging: StagingFolder, preamble: bytes, chunk: int) -> None:
    """RFC 2046, 5.1.1."""
    data = multipart(ROOT, part("a", b"1"), preamble=preamble, epilogue=b"\r\nbye --B\r\n--B\r\n\r\n")
    _, contents = read(data, staging, chunk)

    assert contents == {"a": b"1"}


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7bit", "Binary", "8BIT"])
def test_identity_encodings_change_nothing(staging: StagingFolder, encoding: str) -> None:
    """RFC 2045, 6.2; the names know no case."""
    document = b"\x00\xff=\r\n=41"
    _, contents = read(
        multipart(ROOT, part("a", document, f"Content-Transfer-Encoding: {encoding}")), staging
    )

    assert contents == {"a": document}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 10_000])
@pytest.mark.parametrize("chunk", [1, 5, 76, 100_000])
def test_base64_is_decoded_as_it_arrives(staging: StagingFolder, size: int, chunk: int) -> None:
    """In lines of 76 (RFC 2045, 6.8)."""
    document = random.Random(size).randbytes(size)
    text = base64.encodebytes(document).replace(b"\n", b"\r\n")
    _, contents = read(multipart(ROOT, part("a", text, "Content-Transfer-Encoding: base64")), staging, chunk)

    assert contents == {"a": document}


@pytest.mark.parametrize(
    "text", [b"YQ", b"YQ=", b"Y", b"YQ==YQ==", b"Y*==", b"====", b"YW=j", b"YQ===", "YQå=".encode()]
)
def test_bad_base64_is_refused(staging: StagingFolder, text: bytes) -> None:
    """Never guessed."""
    reason = refusal(multipart(ROOT, part("a", text, "Content-Transfer-Encoding: base64")), staging)

    assert "base64" in reason.lower()


GOOD = multipart(ROOT, part("a", SECRET))

BAD: dict[str, tuple[bytes, dict[str, str], str]] = {
    "nothing at all": (b"", {}, "holds no part"),
    "cut in the preamble": (GOOD[:2], {}, "holds no part"),
    "cut in a header": (GOOD[:12], {}, "cut short"),
    "cut in the root": (GOOD[:30], {}, "cut short"),
    "cut in a document": (GOOD[:-8], {}, "cut short"),
    "no closing boundary": (GOOD[: -len(b"\r\n--B--\r\n")], {}, "cut short"),
    "half a closing boundary": (GOOD[:-3], {}, "cut short"),
    "no parts": (b"--B--\r\n", {}, "no root part"),
    "another boundary": (GOOD, {"boundary": "C"}, "holds no part"),
    "no boundary named": (GOOD, {"boundary": ""}, "needs a boundary"),
    "a boundary too long": (GOOD, {"boundary": "x" * 201}, "needs a boundary"),
    "a boundary that is not ASCII": (GOOD, {"boundary": "å"}, "needs a boundary"),
    "start names no part": (GOOD, {"start": "<nobody>"}, "no root part"),
    "the same Content-ID twice": (multipart(ROOT, part("a", b""), part("a", b"")), {}, "same Content-ID"),
    "the root's Content-ID twice": (multipart(ROOT, part("root", b"")), {"start": "root"}, "same Content-ID"),
    "two Content-IDs": (multipart(part("a", b"", "Content-ID: <b>")), {}, "header twice"),
    "quoted-printable": (
        multipart(part("a", b"", "Content-Transfer-Encoding: quoted-printable")),
        {},
        "binary",
    ),
    "a folded header": (multipart(part("a", b"", "Content-Type: a/b;\r\n x=1")), {}, "unfolded"),
    "a header without a colon": (multipart(part("a", b"", "Content")), {}, "malformed"),
    "lines that end with LF": (GOOD.replace(b"\r\n", b"\n"), {}, "holds no part"),
    "a part without an empty line": (multipart(ROOT, b"Content-ID: <a>\r\n"), {}, "no body"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_refused_and_leave_nothing(staging: StagingFolder, name: str) -> None:
    """Each with its reason; the staging folder is empty afterwards."""
    data, parameters, reason = BAD[name]

    assert reason in refusal(data, staging, **parameters)


LIMITED: dict[str, tuple[bytes, Limits, str]] = {
    "root": (multipart(part("r", b"x" * 101), part("a", b"")), Limits(root_bytes=100), "limits.root_bytes"),
    "document": (multipart(ROOT, part("a", b"x" * 101)), Limits(document_bytes=100), "limits.document_bytes"),
    "all": (
        multipart(ROOT, *(part(str(i), b"x" * 90) for i in range(9))),
        Limits(total_bytes=500),
        "limits.total_bytes",
    ),
    "epilogue": (multipart(ROOT, epilogue=b"x" * 900), Limits(total_bytes=500), "limits.total_bytes"),
    "parts": (multipart(ROOT, *(part(str(i), b"") for i in range(10_000))), Limits(), "limits.parts"),
    "one long header": (
        multipart(part("a", b"", "X: " + "x" * 500)),
        Limits(part_header_bytes=400),
        "malformed",
    ),
    "many headers": (
        multipart(part("a", b"", *(f"X{i}: " + "x" * 90 for i in range(9)))),
        Limits(part_header_bytes=400),
        "limits.part_header_bytes",
    ),
    "preamble": (
        multipart(ROOT, preamble=b"x" * 900 + b"\r\n"),
        Limits(part_header_bytes=400),
        "does not begin",
    ),
}


@pytest.mark.parametrize("name", LIMITED)
def test_limits_name_their_setting(staging: StagingFolder, name: str) -> None:
    """So that the reader of the fault knows what to change."""
    data, limits, reason = LIMITED[name]

    assert reason in refusal(data, staging, limits)


def test_limits_include_their_last_byte(staging: StagingFolder) -> None:
    """A limit is the largest that is read."""
    limits = Limits(root_bytes=4, document_bytes=100, parts=2)
    found, contents = read(multipart(ROOT, part("a", b"x" * 100)), staging, limits=limits)

    assert (len(found.root), len(contents["a"])) == (4, 100)


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        ("text/xml", "text/xml", {}),
        ("Text/XML;Charset=utf-8", "text/xml", {"charset": "utf-8"}),
        ('a/b; x="1;2" ; y=3', "a/b", {"x": "1;2", "y": "3"}),
        (
            'a/b; start-info="application/soap+xml; action=\\"urn:a\\""', "a/b",
            {"start-info": 'application/soap+xml; action="urn:a"'},
        ),
        (
            "a/b; start=<x@y>; type=application/xop+xml", "a/b",
            {"start": "<x@y>", "type": "application/xop+xml"},
        ),
        ('a/b; boundary=""', "a/b", {"boundary": ""}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_content_types_are_read(value: str, kind: str, parameters: dict[str, str]) -> None:
    """Quoted, unquoted, escaped, in any case (RFC 2045, 5.1)."""
    assert media_type(value) == (kind, parameters)


@pytest.mark.parametrize("chunk", [1, 1000])
def test_blanks_after_a_boundary_are_padding(staging: StagingFolder, chunk: int) -> None:
    """Transport padding (RFC 2046, 5.1.1), after the first boundary and the next."""
    data = multipart(ROOT, part("a", b"1")).replace(b"--B\r\n", b"--B \t\r\n")
    found, contents = read(data, staging, chunk)

    assert (found.root, contents) == (b"<r/>", {"a": b"1"})
