"""The body of a FHIR request: what is taken out of it, however it arrives; and each way to be refused."""

from __future__ import annotations

import base64
import json
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fhir.bodies import (
    EVERY_SIGN,
    JSON,
    LIMITS,
    NOT_BASE64,
    ROOMY,
    SECRET,
    SIZES,
    XML,
    Chunked,
    b64,
    base64_texts,
    check_refusal,
    damage,
    documents,
    property_of,
    read,
    with_noise,
)
from xds.errors import Fault, FaultCode
from xds.fhir.body import MOST_LEVELS, receive
from xds.transport.staged import StagingFolder


@pytest.fixture
def staging(tmp_path: Path) -> StagingFolder:
    """An empty staging folder."""
    return StagingFolder(tmp_path / "staging")


# ---- what is taken out, and what stays

TAKEN: dict[str, tuple[str, Any, list[bytes]]] = {
    "no document": ('{"a": "data"}', {"a": "data"}, []),
    "one": ('{"data":"YWJj"}', {"data": "urn:xds:staged:0"}, [b"abc"]),
    "padded once": ('{"data":"YWI="}', {"data": "urn:xds:staged:0"}, [b"ab"]),
    "padded twice": ('{"data":"YQ=="}', {"data": "urn:xds:staged:0"}, [b"a"]),
    "unused bits": ('{"data":"YR=="}', {"data": "urn:xds:staged:0"}, [b"a"]),
    "empty": ('{"data":""}', {"data": "urn:xds:staged:0"}, [b""]),
    "white space around the colon": ('{"data" \r\n\t: \r\n\t"YWJj"}', {"data": "urn:xds:staged:0"}, [b"abc"]),
    "two": (
        '{"data":"YWJj","b":[{"data":"ZGVm"}]}',
        {"data": "urn:xds:staged:0", "b": [{"data": "urn:xds:staged:1"}]},
        [b"abc", b"def"],
    ),
    "padded, and another": (
        '{"data":"YQ==","b":{"data":"YWJj"}}',
        {"data": "urn:xds:staged:0", "b": {"data": "urn:xds:staged:1"}},
        [b"a", b"abc"],
    ),
    "a member twice": ('{"data":"YWJj","data":"ZGVm"}', {"data": "urn:xds:staged:1"}, [b"abc", b"def"]),
    "an escaped name": (
        '{"\\u0064a\\u0074\\u0061":"YWJj"}',
        {"data": "urn:xds:staged:0"},
        [b"abc"],
    ),
    "null": ('{"data":null}', {"data": None}, []),
    "number": ('{"data":12}', {"data": 12}, []),
    "array of strings": ('{"data":["urn:xds:staged:0"]}', {"data": ["urn:xds:staged:0"]}, []),
    "object": ('{"data":{"data":"YWJj"}}', {"data": {"data": "urn:xds:staged:0"}}, [b"abc"]),
    "a value called data": ('{"a":["data","YWJj"],"b":"data"}', {"a": ["data", "YWJj"], "b": "data"}, []),
    "other names": (
        '{"_data":"x","Data":"x","data ":"x","datas":"x","\\"data":"x","\\\\data":"x"}',
        {"_data": "x", "Data": "x", "data ": "x", "datas": "x", '"data': "x", "\\data": "x"},
        [],
    ),
    "data in a text": (
        '{"a":"{\\"data\\":\\"YWJj\\"}","b\\\\":"\\\\\\"data","c":"\\""}',
        {"a": '{"data":"YWJj"}', "b\\": '\\"data', "c": '"'},
        [],
    ),
    "after a text that ends with a backslash": (
        '{"a":"\\\\","data":"YWJj"}',
        {"a": "\\", "data": "urn:xds:staged:0"},
        [b"abc"],
    ),
    "escaped as .NET does": (
        json.dumps({"data": b64(EVERY_SIGN)}).replace("+", "\\u002B"),
        {"data": "urn:xds:staged:0"},
        [EVERY_SIGN],
    ),
    "escaped in lower case": (
        json.dumps({"data": b64(EVERY_SIGN)}).replace("+", "\\u002b").replace("/", "\\u002f"),
        {"data": "urn:xds:staged:0"},
        [EVERY_SIGN],
    ),
    "escaped as PHP does": (
        json.dumps({"data": b64(EVERY_SIGN)}).replace("/", "\\/"),
        {"data": "urn:xds:staged:0"},
        [EVERY_SIGN],
    ),
    "escaped altogether": (
        json.dumps({"data": b64(EVERY_SIGN + b"a")}).replace(
            b64(EVERY_SIGN + b"a"), "".join(f"\\u{ord(sign):04X}" for sign in b64(EVERY_SIGN + b"a"))
        ),
        {"data": "urn:xds:staged:0"},
        [EVERY_SIGN + b"a"],
    ),
    "in lines": (
        json.dumps({"data": base64.encodebytes(EVERY_SIGN * 3).decode().replace("\n", "\r\n")}),
        {"data": "urn:xds:staged:0"},
        [EVERY_SIGN * 3],
    ),
    "line ends within a group": (
        '{"data":"\\nY\\r\\nWJ\\u000Aj\\u000d"}',
        {"data": "urn:xds:staged:0"},
        [b"abc"],
    ),
    "the largest": (
        json.dumps({"data": b64(b"x" * LIMITS.document_bytes)}),
        {"data": "urn:xds:staged:0"},
        [b"x" * LIMITS.document_bytes],
    ),
    "as many as may be": (
        json.dumps({"a": [{"data": "YWJj"}] * LIMITS.parts}),
        {"a": [{"data": f"urn:xds:staged:{number}"} for number in range(LIMITS.parts)]},
        [b"abc"] * LIMITS.parts,
    ),
    "as deep as may be": (
        '{"a":' * MOST_LEVELS + "1" + "}" * MOST_LEVELS,
        json.loads('{"a":' * MOST_LEVELS + "1" + "}" * MOST_LEVELS),
        [],
    ),
    "wide and not deep": (json.dumps({"a": [[]] * 400}), {"a": [[]] * 400}, []),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 25, 26, 27, 1000, 1 << 20])
@pytest.mark.parametrize("case", TAKEN)
def test_documents_are_taken_out_of_json(staging: StagingFolder, case: str, size: int) -> None:
    """In pieces of every size: each document decoded in its file, and its name in its place."""
    text, resource, contents = TAKEN[case]
    received = read(text.encode(), staging, size)

    assert received.resource == resource
    assert documents(received) == {f"urn:xds:staged:{number}": one for number, one in enumerate(contents)}
    assert list(staging.path.iterdir()) == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/json",
        "Application/FHIR+JSON; charset=UTF-8",
        'application/fhir+json; fhirVersion=4.0; charset="utf-8"',
        "application/json;charset=utf8",
    ],
)
def test_json_is_known_by_its_types(staging: StagingFolder, content_type: str) -> None:
    """FHIR's own and the general one, with the parameters that say nothing else."""
    assert read(b'{"a":1}', staging, content_type=content_type).resource == {"a": 1}


# ---- what is refused


def data(text: str) -> bytes:
    """A body whose second document is `text`."""
    return f'{{"data":"YWJj","pid":"{SECRET}","b":{{"data":"{text}"}}}}'.encode()


NOT_JSON = "The body is not JSON at line"

REFUSED: dict[str, tuple[bytes, int, str]] = {
    # not base64
    "a name of ours": (data("urn:xds:staged:0"), 400, NOT_BASE64),
    "a name of ours, escaped": (data("urn\\u003Axds:staged:0"), 400, NOT_BASE64),
    "a name of ours under an escaped name": (
        b'{"data":"YWJj","b":{"d\\u0061ta":"urn:xds:staged:0"}}',
        400,
        NOT_BASE64,
    ),
    "another alphabet": (data("YW-_"), 400, NOT_BASE64),
    "no padding": (data("YWI"), 400, NOT_BASE64),
    "half the padding": (data("YQ="), 400, NOT_BASE64),
    "one sign": (data("Y"), 400, NOT_BASE64),
    "too much padding": (data("YWJj="), 400, NOT_BASE64),
    "a group of padding": (data("YWJj===="), 400, NOT_BASE64),
    "only padding": (data("===="), 400, NOT_BASE64),
    "three of padding": (data("Y==="), 400, NOT_BASE64),
    "padding first": (data("=YWJ"), 400, NOT_BASE64),
    "padding in the middle": (data("YQ==YWJj"), 400, NOT_BASE64),
    "padding and a sign": (data("YQ=a"), 400, NOT_BASE64),
    "padding and a rest": (data("YQ==Y"), 400, NOT_BASE64),
    "twice padded": (data("YQ==YQ=="), 400, NOT_BASE64),
    "a blank": (data("YW Jj"), 400, NOT_BASE64),
    "blanks for a group": (data("YWJj    "), 400, NOT_BASE64),
    "a tab": (data("YW\\tJj"), 400, NOT_BASE64),
    "a tab by number": (data("YW\\u0009Jj"), 400, NOT_BASE64),
    "a NUL": (data("YWJ\\u0000"), 400, NOT_BASE64),
    "letters that are none of it": (data("YWåj"), 400, NOT_BASE64),
    "the same, escaped": (data("YW\\u00e5j"), 400, NOT_BASE64),
    "letters beyond": (data("YWJ\\u0143"), 400, NOT_BASE64),
    "an escaped backslash": (data("YWJ\\\\"), 400, NOT_BASE64),
    "an escaped backslash before a slash": (data("YWJ\\\\/"), 400, NOT_BASE64),
    "an escaped backslash before a line end": (data("YWJj\\\\n"), 400, NOT_BASE64),
    "a backslash by number": (data("YWJ\\u005C"), 400, NOT_BASE64),
    "an escaped quotation mark": (data('YWJ\\"'), 400, NOT_BASE64),
    "an escape that is none": (data("YWJ\\u00"), 400, NOT_BASE64),
    "an escape within an escape": (data("YWJ\\u00\\n2B"), 400, NOT_BASE64),
    "an escape made of escapes": (data("YWJ\\u\\u0030\\u0030\\u0032\\u0042"), 400, NOT_BASE64),
    "another escape": (data("YWJ\\b"), 400, NOT_BASE64),
    "a line end as it is": (data("YWJj\n"), 400, NOT_BASE64),
    "a line end as it is, with escapes": (data("YWJj\n\\n"), 400, NOT_BASE64),
    "an escape in capitals": (data("YWJ\\U002B"), 400, NOT_BASE64),
    # cut short
    "cut in a document": (b'{"data":"YWJj","data":"YWJj', 400, "in the middle of `data` number 2"),
    "cut in an escape": (b'{"data":"YWJj\\u00', 400, "in the middle of `data` number 1"),
    "cut after a document": (b'{"data":"YWJj"', 400, NOT_JSON),
    "cut after the name": (b'{"data":"YWJj","data"', 400, NOT_JSON),
    "cut after the colon": (b'{"data":"YWJj","data" : ', 400, NOT_JSON),
    "empty": (b"", 400, "The body is empty"),
    "blanks": (b" \r\n", 400, "The body is empty"),
    # not JSON, or not of the kind that is read here
    "no object": (b'[{"data":"YWJj"}]', 400, "no object"),
    "a string": (b'"data"', 400, "no object"),
    "a number": (b"1", 400, "no object"),
    "null": (b"null", 400, "no object"),
    "text behind": (b'{"data":"YWJj"} x', 400, NOT_JSON),
    "two resources": (b'{"data":"YWJj"}{}', 400, NOT_JSON),
    "a document behind": (b'{"data":"YWJj"}"data":"YWJj"', 400, NOT_JSON),
    "a document with no member": (b'["data":"YWJj"]', 400, NOT_JSON),
    "a document behind a text": (b'{"a":"x"data":"YWJj"}', 400, NOT_JSON),
    "NaN": (b'{"data":"YWJj","a":NaN}', 400, NOT_JSON),
    "Infinity": (b'{"data":"YWJj","a":-Infinity}', 400, NOT_JSON),
    "too large a number": (b'{"data":"YWJj","a":1e999}', 400, NOT_JSON),
    "single quotation marks": (b"{'data':'YWJj'}", 400, NOT_JSON),
    "a comment": (b'{"data"/**/:"YWJj"}', 400, NOT_JSON),
    "a comma too many": (b'{"data":"YWJj",}', 400, NOT_JSON),
    "a line end in a text": (b'{"data":"YWJj","a":"\n"}', 400, NOT_JSON),
    "a backslash outside": (b'{\\"data":"YWJj"}', 400, NOT_JSON),
    "a lone surrogate": (b'{"data":"YWJj","a":"\\ud800"}', 400, NOT_JSON),
    "a byte order mark": (b'\xef\xbb\xbf{"data":"YWJj"}', 400, "byte order mark"),
    "invalid UTF-8": (b'{"data":"YWJj","a":"\xff"}', 400, "not UTF-8"),
    "a surrogate in UTF-8": (b'{"data":"YWJj","a":"\xed\xa0\x80"}', 400, "not UTF-8"),
    "an overlong quotation mark": (b'{"a":"\xc0\xa2data":"YWJj"}', 400, "not UTF-8"),
    "UTF-16": ('{"data":"YWJj"}'.encode("utf-16"), 400, "not UTF-8"),
    "UTF-16 without a mark": ('{"data":"YWJj"}'.encode("utf-16-le"), 400, NOT_JSON),
    "too deep": (b'{"data":"YWJj","a":' + b'{"a":' * 256 + b"1" + b"}" * 257, 400, "deeper than 256"),
    "too deep of arrays": (b'{"data":"YWJj","a":' + b"[" * 256 + b"]" * 256 + b"}", 400, "deeper than 256"),
    "far too deep": (b'{"data":"YWJj","a":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, NOT_JSON),
    "far too deep, and cut": (b'{"data":"YWJj","a":' + b'{"a":' * 9000, 400, NOT_JSON),
    "pid in the text": (f'{{"data":"YWJj","{SECRET}":{SECRET}x'.encode(), 400, NOT_JSON),
    # too large
    "the text": (b'{"data":"YWJj","a":"' + b"x" * 50_000 + b'"}', 413, "limits.root_bytes (50000 bytes)"),
    "blanks before a document": (
        b'{"data":"YWJj","data"' + b" " * 50_000,
        413,
        "limits.root_bytes (50000 bytes)",
    ),
    "a document": (data(b64(b"x" * 3001)), 413, "limits.document_bytes (3000 bytes)"),
    "a document without an end": (b'{"data":"' + b"YWJj" * 10_000, 413, "limits.document_bytes (3000 bytes)"),
    "the body": (data("\\n" * 45_000), 413, "limits.total_bytes (90000 bytes)"),
    "the number": (json.dumps([{"data": "YWJj"}] * 6).encode(), 413, "limits.parts (5)"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 26, 1 << 20])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing_behind(staging: StagingFolder, case: str, size: int) -> None:
    """The status and the sentence are right, hold nothing of the body, and the folder is empty."""
    body, status, sentence = REFUSED[case]
    check_refusal(staging, body, JSON, status, sentence, size)


TYPES = [
    "",
    "text/plain",
    "application/json-patch+json",
    "application/pdf",
    "multipart/form-data; boundary=B",
    "application/soap+xml",
    "application/fhir+json; fhirVersion=3.0",
    "application/fhir+json; fhirVersion=5.0",
    "application/fhir+json; charset=iso-8859-1",
    "application/json; charset=utf-16",
    'multipart/related; boundary=B; type="application/xop+xml"',
    'multipart/related; boundary=B; type="application/fhir+json; fhirVersion=5.0"',
]


@pytest.mark.parametrize("content_type", TYPES)
def test_other_types_are_refused_before_anything_is_read(staging: StagingFolder, content_type: str) -> None:
    """415, with a sentence that says what is read."""
    stream = Chunked(b'{"data":"YWJj"}', 7)
    with pytest.raises(Fault) as caught:
        receive(stream, content_type, LIMITS, staging)

    assert (caught.value.code, caught.value.status) == (FaultCode.SENDER, 415)
    assert caught.value.reason.startswith("The Content-Type ")
    assert stream.data.tell() == 0


class Breaking:
    """A stream that fails after its bytes."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        self.pieces: Iterator[bytes] = iter([data])
        self.error = error

    def read(self, size: int, /) -> bytes:
        if (piece := next(self.pieces, None)) is not None:
            return piece
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "no room"), KeyboardInterrupt()])
@pytest.mark.parametrize("body", [b'{"data":"YWJj","data":"YWJj', b'{"data":"YWJj","data"'])
def test_a_stream_that_breaks_leaves_nothing_behind(
    staging: StagingFolder, body: bytes, error: BaseException
) -> None:
    """Neither a finished document nor the one at hand."""
    with pytest.raises(type(error)):
        receive(Breaking(body, error), JSON, LIMITS, staging)

    assert list(staging.path.iterdir()) == []


def test_a_fault_of_the_node_keeps_its_status(staging: StagingFolder) -> None:
    """Only what the sender has to mend becomes 400."""
    with pytest.raises(Fault) as caught:
        receive(Breaking(b"{", Fault(FaultCode.RECEIVER, "x")), JSON, LIMITS, staging)

    assert caught.value.status == 500


class Long:
    """A stream of one piece between two others, again and again."""

    def __init__(self, before: bytes, piece: bytes, times: int, after: bytes) -> None:
        self.pieces = chain([before], repeat(piece, times), [after])

    def read(self, size: int, /) -> bytes:
        return next(self.pieces, b"")


@pytest.mark.parametrize(
    ("content_type", "before", "plus", "after"),
    [
        (JSON, b'{"data":"', b"+", b'"}'),
        (JSON, b'{"data":"', b"\\u002B", b'"}'),
        (XML, b'<Binary xmlns="http://hl7.org/fhir"><data value="', b"&#43;", b'"/></Binary>'),
    ],
)
def test_memory_does_not_grow_with_a_document(
    staging: StagingFolder, content_type: str, before: bytes, plus: bytes, after: bytes
) -> None:
    """20 MB go through less than 4."""
    piece = base64.b64encode(EVERY_SIGN * 1365).replace(b"+", plus)
    limits = replace(LIMITS, document_bytes=30_000_000, total_bytes=50_000_000)
    tracemalloc.start()
    try:
        received = receive(Long(before, piece, 300, after), content_type, limits, staging)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [staged.size for staged in received.staged.values()] == [len(EVERY_SIGN) * 1365 * 300]
    assert peak < 4_000_000
    received.discard()


# ---- against a plain reading

Pairs = list[tuple[str, Any]]


class Object:
    """A JSON object with its members in order, double ones too."""

    def __init__(self, members: Pairs) -> None:
        self.members = members


def plainly(value: Any, found: list[bytes]) -> Any:
    """The value with every `data` string taken out, in the order in which they stand."""
    if isinstance(value, list):
        return [plainly(each, found) for each in value]
    if not isinstance(value, Object):
        return value
    plain = {}
    for name, member in value.members:
        if name == "data" and isinstance(member, str):
            found.append(base64.b64decode(member.replace("\n", "").replace("\r", ""), validate=True))
            plain[name] = f"urn:xds:staged:{len(found) - 1}"
        else:
            plain[name] = plainly(member, found)
    return plain


def written(value: Any, chance: random.Random) -> str:
    """JSON with white space and escapes wherever the grammar allows some."""

    def blank() -> str:
        return chance.choice(["", "", "", " ", "\n", "\r\n\t "])

    def string(text: str) -> str:
        signs = []
        for sign in text:
            if sign in '"\\' or sign < " ":
                signs.append(json.dumps(sign)[1:-1])
            elif sign == "/" and chance.random() < 0.3:
                signs.append("\\/")
            elif chance.random() < 0.1 and sign < "\ud800":
                number = f"{ord(sign):04x}"
                signs.append("\\u" + chance.choice([number, number.upper()]))
            else:
                signs.append(sign)
        return f'"{"".join(signs)}"'

    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return f"[{blank()}{f'{blank()},'.join(written(each, chance) for each in value)}{blank()}]"
    if isinstance(value, Object):
        members = [
            f"{blank()}{string(name)}{blank()}:{blank()}{written(member, chance)}{blank()}"
            for name, member in value.members
        ]
        return f"{{{','.join(members)}}}"
    return json.dumps(value)


PIECES = [
    '"',
    "\\",
    "{",
    "}",
    "data",
    '"data":"',
    '\\"data":"YWJj"',
    ":",
    ",",
    "/",
    "å",
    "😀",
    "\n",
    "u0061",
    " ",
]
STRINGS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
NAMES = st.one_of(
    st.sampled_from(["data", "data", "_data", "Data", "a", '"data', "data\\", "\\data"]), STRINGS
)


def members(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Pairs]:
    """Members of one object, of which `data` is no text other than base64."""
    document = st.tuples(st.just("data"), base64_texts())
    other = st.tuples(NAMES, values).map(
        lambda member: ("data", [member[1]]) if member[0] == "data" and isinstance(member[1], str) else member
    )
    return st.lists(st.one_of(document, other), min_size=1, max_size=5)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(STRINGS, STRINGS, st.none(), st.booleans(), NUMBERS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), members(inner).map(Object)),
    max_leaves=20,
)
OBJECTS = members(VALUES).map(Object)


@property_of
@given(value=OBJECTS, sizes=SIZES, chance=st.randoms(use_true_random=False))
def test_any_json_in_any_pieces_is_read_as_a_plain_reader_would(
    staging: StagingFolder, value: Object, sizes: list[int], chance: random.Random
) -> None:
    """Whatever stands in names and texts, and wherever the network cuts."""
    text = written(value, chance)
    contents: list[bytes] = []
    resource = plainly(json.loads(text, object_pairs_hook=Object), contents)
    received = read(text.encode(), staging, *sizes, limits=ROOMY)

    assert received.resource == resource
    assert documents(received) == {f"urn:xds:staged:{number}": one for number, one in enumerate(contents)}


NOISE = [
    *'"\\:,{}[]=/ \n+AYx',
    '"data"',
    '"data":"',
    "\\u0061",
    "\\u002B",
    '"\\u0064ata":"urn:xds:staged:0"',
    "YWJj",
]


@property_of
@given(value=OBJECTS, sizes=SIZES, chance=st.randoms(use_true_random=False), noise=damage(NOISE))
def test_damaged_json_is_refused_or_read_as_a_plain_reader_would(
    staging: StagingFolder,
    value: Object,
    sizes: list[int],
    chance: random.Random,
    noise: list[tuple[int, int, str]],
) -> None:
    """No text that is JSON at all holds a `data` string that was not taken out; a refusal leaves no file."""
    text = with_noise(written(value, chance), noise)
    try:
        received = read(text.encode(), staging, *sizes, limits=ROOMY)
    except Fault:
        pass
    else:
        contents: list[bytes] = []
        assert received.resource == plainly(json.loads(text, object_pairs_hook=Object), contents)
        assert list(documents(received).values()) == contents
    assert list(staging.path.iterdir()) == []


# ---- multipart/related


def part(identifier: str, content_type: str, body: bytes) -> bytes:
    return f"Content-ID: <{identifier}>\r\nContent-Type: {content_type}\r\n\r\n".encode() + body


def multipart(*parts: bytes) -> bytes:
    return b"".join(b"--B\r\n" + one + b"\r\n" for one in parts) + b"--B--\r\n"


ROOT = part("root", JSON, b'{"url":"cid:d1@x","data":"YWJj"}')
NO_TYPE = b"Content-ID: <root>\r\n\r\n{}"
RELATED = f'multipart/related; boundary=B; type="{JSON}"; start="<root>"'


@pytest.mark.parametrize("content_type", [RELATED, "multipart/related; boundary=B; start=root"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_parts_are_staged_by_their_content_id(staging: StagingFolder, content_type: str, size: int) -> None:
    """Beside what stands in the resource itself; the root need not come first."""
    body = multipart(part("d1@x", "application/pdf", b"\x00pdf"), ROOT, part("d2@x", "text/plain", b""))
    received = read(body, staging, size, content_type=content_type)

    assert received.resource == {"url": "cid:d1@x", "data": "urn:xds:staged:0"}
    assert documents(received) == {"cid:d1@x": b"\x00pdf", "cid:d2@x": b"", "urn:xds:staged:0": b"abc"}
    assert list(staging.path.iterdir()) == []


def test_a_root_without_a_type_has_that_of_the_message(staging: StagingFolder) -> None:
    """RFC 2387 wants the type in both places; one is enough."""
    assert read(multipart(NO_TYPE), staging, content_type=RELATED).resource == {}


DOCUMENT = part("d", "application/pdf", b"x")
FOUR = [part(str(number), "application/pdf", b"x" * 2900) for number in range(4)]


def root(body: bytes, content_type: str = JSON) -> bytes:
    return part("root", content_type, body)


REFUSED_PARTS: dict[str, tuple[bytes, int, str]] = {
    "cut short": (multipart(ROOT, DOCUMENT)[:-8], 400, "cut short"),
    "no root": (multipart(DOCUMENT), 400, "no root part"),
    "a root that is a document": (
        multipart(DOCUMENT, root(b"x", "application/pdf")),
        415,
        "The Content-Type",
    ),
    "a root that is not JSON": (multipart(DOCUMENT, root(b'{"data":"YWJj"')), 400, NOT_JSON),
    "a root with bad base64": (multipart(DOCUMENT, root(b'{"data":"!"}')), 400, "`data` number 1"),
    "too large a document": (multipart(ROOT, part("d", "a/b", b"x" * 3001)), 413, "limits.document_bytes"),
    "too large a root": (multipart(DOCUMENT, root(b" " * 50_001)), 413, "limits.root_bytes"),
    "too many parts": (multipart(ROOT, DOCUMENT, *FOUR), 413, "limits.parts"),
    "too many documents": (multipart(*FOUR, root(b'{"data":"","a":{"data":""}}')), 413, "limits.parts"),
    "too large altogether": (multipart(ROOT, *FOUR) + b"x" * 90_000, 413, "limits.total_bytes"),
    "a part twice": (multipart(ROOT, DOCUMENT, DOCUMENT), 400, "the same Content-ID"),
}


@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("case", REFUSED_PARTS)
def test_a_multipart_body_that_is_refused_leaves_nothing_behind(
    staging: StagingFolder, case: str, size: int
) -> None:
    """The parts that were staged are gone, whatever is wrong and wherever."""
    body, status, sentence = REFUSED_PARTS[case]
    check_refusal(staging, body, RELATED, status, sentence, size)


@pytest.mark.parametrize(
    ("content_type", "status", "sentence"),
    [
        ("multipart/related", 400, "boundary"),
        ("multipart/related; boundary=B; start=root", 415, "The Content-Type"),
    ],
)
def test_a_multipart_body_that_says_too_little_is_refused(
    staging: StagingFolder, content_type: str, status: int, sentence: str
) -> None:
    """Without a boundary, and without a type in either place."""
    check_refusal(staging, multipart(DOCUMENT, NO_TYPE), content_type, status, sentence)
