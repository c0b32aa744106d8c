"""The same of XML: test_body.py has what is common to all bodies."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.fhir.bodies import (
    EVERY_SIGN,
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
from xds.errors import Fault
from xds.fhir.xml_sieve import XmlSieve
from xds.transport import xml
from xds.transport.staged import StagingFolder


@pytest.fixture
def staging(tmp_path: Path) -> StagingFolder:
    """An empty staging folder."""
    return StagingFolder(tmp_path / "staging")


FHIR = 'xmlns="http://hl7.org/fhir"'
PREFIX = "å" * 64


def binary(inner: str) -> str:
    return f'<Binary {FHIR}><contentType value="text/plain"/>{inner}</Binary>'


def prefixed(prefix: str) -> str:
    tag = f"{prefix}:Binary"
    return f'<{tag} xmlns:{prefix}="http://hl7.org/fhir"><{prefix}:data value="YWJj"/></{tag}>'


def entry(text: str) -> str:
    return f'<entry><resource><Binary><data value="{text}"/></Binary></resource></entry>'


LINES = base64.encodebytes(EVERY_SIGN * 3).decode()
BINARY = {"resourceType": "Binary", "contentType": "text/plain"}
ONE = BINARY | {"data": "urn:xds:staged:0"}
PREFIXED = {"resourceType": "Binary", "data": "urn:xds:staged:0"}
ONE_TAG = '<data value="YWJj"/>'
NO_TAGS = (
    "<!----><!-- <data value='YWJj'/> - -><data value='!'><?x?> -->"
    "<?data value='!'?><?x > <data value='!'/> > ?>"
)
BUNDLE = {
    "resourceType": "Bundle",
    "entry": [
        {"resource": {"resourceType": "Binary", "data": "urn:xds:staged:0"}},
        {"resource": {"resourceType": "Binary", "data": "urn:xds:staged:1"}},
    ],
}

TAKEN_XML: dict[str, tuple[str, Any, list[bytes]]] = {
    "no document": (binary(""), BINARY, []),
    "one": (binary('<data value="YWJj"/>'), ONE, [b"abc"]),
    "in single marks": (binary("<data value='YWI='/>"), ONE, [b"ab"]),
    "empty": (binary('<data value=""/>'), ONE, [b""]),
    "white space in the tag": (binary('<data\r\n\tvalue \n=\r"YWJj" \t/>'), ONE, [b"abc"]),
    "with an end tag": (binary('<data value="YWJj"></data >'), ONE, [b"abc"]),
    "with an id before": (
        binary('<data id="value=&quot;x" value="YWJj"/>'), ONE | {"_data": {"id": 'value="x'}}, [b"abc"]
    ),
    "with an id behind": (
        binary("<data value='YWJj' id=\"' value='x\"></data>"),
        ONE | {"_data": {"id": "' value='x"}},
        [b"abc"],
    ),
    "with no value": (binary('<data id="value"/>'), BINARY | {"_data": {"id": "value"}}, []),
    "a prefix": (prefixed("f"), PREFIXED, [b"abc"]),
    "a prefix like the name": (prefixed("data"), PREFIXED, [b"abc"]),
    "the longest prefix": (prefixed(PREFIX), PREFIXED, [b"abc"]),
    "what is no tag": (
        f"<?xml version='1.0'?>{NO_TAGS}{binary(f'{NO_TAGS}{ONE_TAG}{NO_TAGS}')}{NO_TAGS}", ONE, [b"abc"]
    ),
    "a section": (binary('<![CDATA[ ]]><data value="YWJj"/><![CDATA[]]>'), ONE, [b"abc"]),
    "a text like a tag": (
        binary('<data value="YWJj"/>').replace("text/plain", "&lt;data value='x'/>>"),
        ONE | {"contentType": "<data value='x'/>>"}, [b"abc"],
    ),
    "a byte order mark": ("\ufeff" + binary('<data value="YWJj"/>'), ONE, [b"abc"]),
    "in lines": (binary(f'<data value="{LINES}"/>'), ONE, [EVERY_SIGN * 3]),
    "in lines by number": (
        binary('<data value="{}"/>'.format(LINES.replace("\n", "&#xD;&#xA;"))), ONE, [EVERY_SIGN * 3]
    ),
    "in lines by decimal number": (
        binary('<data value="{}"/>'.format(LINES.replace("\n", "&#13;&#10;"))), ONE, [EVERY_SIGN * 3]
    ),
    "white space of every kind": (
        binary('<data value=" Y&#10;W&#13;J\tj&#9;&#32; Z &#x9; G&#x20; \r\n V&#xa;m"/>'), ONE, [b"abcdef"]
    ),
    "references to signs": (
        binary('<data value="&#43;&#x2B;&#x2b;&#47;&#x00002F;&#65;&#x41;&#000061;"/>'),
        ONE, [base64.b64decode("+++//AA=")],
    ),
    "as many attributes as may be": (
        binary("<data value='YWJj'" + "".join(f" xmlns:p{number}='urn:x'" for number in range(15)) + "/>"),
        ONE, [b"abc"],
    ),
    "two": (f"<Bundle {FHIR}>{entry('YWJj')}{entry('ZGVm')}</Bundle>", BUNDLE, [b"abc", b"def"]),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 137, 1000, 1 << 20])
@pytest.mark.parametrize("case", TAKEN_XML)
def test_documents_are_taken_out_of_xml(staging: StagingFolder, case: str, size: int) -> None:
    """As those of JSON."""
    text, resource, contents = TAKEN_XML[case]
    received = read(text.encode(), staging, size, content_type=XML)

    assert received.resource == resource
    assert documents(received) == {f"urn:xds:staged:{number}": one for number, one in enumerate(contents)}
    assert list(staging.path.iterdir()) == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+xml; fhirVersion=4.0",
        "application/xml; charset=UTF-8",
        "text/xml",
    ],
)
def test_xml_is_known_by_its_types(staging: StagingFolder, content_type: str) -> None:
    """FHIR's own and the general ones."""
    assert read(binary("").encode(), staging, content_type=content_type).resource == BINARY


def xml_data(text: str) -> bytes:
    """A body whose second document is `text`."""
    return f"<Bundle {FHIR}>{entry('YWJj')}<!--{SECRET}-->{entry(text)}</Bundle>".encode()


def upto(end: str) -> bytes:
    """A body cut short behind the last `end`, in or near its second document."""
    before, found, _ = f"<Bundle {FHIR}>{entry('YWJj')}{entry('ZGVm&#10;')}".rpartition(end)
    return (before + found).encode()


NOT_XML = "The XML is not well-formed at line"

REFUSED_XML: dict[str, tuple[bytes, int, str]] = {
    # not base64
    "a name of ours": (xml_data("urn:xds:staged:0"), 400, NOT_BASE64),
    "a name of ours by number": (xml_data("urn&#58;xds&#58;staged&#58;0"), 400, NOT_BASE64),
    "no padding": (xml_data("YWI"), 400, NOT_BASE64),
    "padding in the middle": (xml_data("YQ==&#10;YWJj"), 400, NOT_BASE64),
    "a JSON escape": (xml_data("YWJj\\n"), 400, NOT_BASE64),
    "an entity": (xml_data("YWJj&lt;"), 400, NOT_BASE64),
    "another entity": (xml_data("YWJj&e;"), 400, NOT_BASE64),
    "an ampersand": (xml_data("YWJj&"), 400, NOT_BASE64),
    "half a reference": (xml_data("YWJj&#1"), 400, NOT_BASE64),
    "a reference in a reference": (xml_data("YWJj&#1&#10;0;"), 400, NOT_BASE64),
    "a reference made of references": (xml_data("YWJj&#38;#10;"), 400, NOT_BASE64),
    "a reference to no sign of it": (xml_data("YWJ&#45;"), 400, NOT_BASE64),
    "a reference to NUL": (xml_data("YWJ&#0;"), 400, NOT_BASE64),
    "a reference beyond ASCII": (xml_data("YWJ&#x141;"), 400, NOT_BASE64),
    "a reference of 321, which is no A": (xml_data("YWJ&#321;"), 400, NOT_BASE64),
    "a reference with many zeros": (xml_data("YWJ&#x000000041;"), 400, NOT_BASE64),
    "a reference in capitals": (xml_data("YWJ&#X41;"), 400, NOT_BASE64),
    "a vertical tab": (xml_data("YWJj\v"), 400, NOT_BASE64),
    "another blank": (xml_data("YWJj\xa0"), 400, NOT_BASE64),
    "a tag": (xml_data("YWJj<"), 400, NOT_BASE64),
    # cut short
    "cut in a document": (upto("ZG"), 400, "in the middle of `data` number 2"),
    "cut in a reference": (upto("&#1"), 400, "in the middle of `data` number 2"),
    "cut after a document": (upto('&#10;"'), 400, NOT_XML),
    "cut in a name": (upto("<da"), 400, NOT_XML),
    "cut in a comment": (b"<!-- <data value='YWJj'/>", 400, NOT_XML),
    "empty": (b"", 400, "The body is empty"),
    "blanks": (b" \r\n", 400, "The body is empty"),
    # not XML, or not of the kind that is read here
    "text": (SECRET.encode(), 400, NOT_XML),
    "JSON": (b'{"data":"YWJj"}', 400, NOT_XML),
    "text behind": (xml_data("YWJj") + b"x", 400, NOT_XML),
    "a document behind": (xml_data("YWJj") + b"<data value='YWJj'/>", 400, NOT_XML),
    "a value twice": (xml_data("YWJj' value='YWJj").replace(b'"', b"'"), 400, NOT_XML),
    "no blank between attributes": (xml_data("YWJj'id='x").replace(b'"', b"'"), 400, NOT_XML),
    "no quotation marks": (xml_data("YWJj").replace(b'"', b""), 400, NOT_XML),
    "no equals sign": (xml_data("YWJj").replace(b"value=", b"value "), 400, NOT_XML),
    "a tag in a tag": (xml_data("YWJj").replace(b"<data ", b"<data <data "), 400, NOT_XML),
    "a tag in an attribute": (binary('<data id="<data value=\'YWJj\'/>"/>').encode(), 400, NOT_XML),
    "no such prefix": (xml_data("YWJj").replace(b"<data", b"<x:data"), 400, NOT_XML),
    "two prefixes": (xml_data("YWJj").replace(b"<data", b"<x:y:data"), 400, NOT_XML),
    "a comment within a tag": (binary("<data <!-- --> value='YWJj'/>").encode(), 400, NOT_XML),
    "a document type": (
        b"<!DOCTYPE Binary [<!ENTITY e '<data value=\"YWJj\"/>'>]>" + binary("&e;").encode(), 400, "DOCTYPE"
    ),
    "no FHIR": (b"<data xmlns='urn:x' value='YWJj'/>", 400, "FHIR"),
    "no resource": (f"<data {FHIR} value='YWJj'/>".encode(), 400, "no FHIR resource"),
    "an element R4 does not know": (binary("<Data value='YWJj'/>").encode(), 400, "R4 does not know"),
    "another value": (
        binary("<data xmlns:f='http://hl7.org/fhir' f:value='urn:xds:staged:0'/>").encode(),
        400, "R4 does not know",
    ),
    "invalid UTF-8": (xml_data("YWJj").replace(SECRET.encode(), b"\xff"), 400, NOT_XML),
    "another encoding": (b'<?xml version="1.0" encoding="iso-8859-1"?>' + xml_data("YWJj"), 400, "encoding"),
    "UTF-16": (xml_data("YWJj").decode().encode("utf-16"), 415, "UTF-16"),
    "UTF-16 without a mark": (xml_data("YWJj").decode().encode("utf-16-be"), 415, "UTF-16"),
    "UTF-16 of the other order": (xml_data("YWJj").decode().encode("utf-16-le"), 415, "UTF-16"),
    "a NUL first": (b"\x00" + xml_data("YWJj"), 415, "UTF-16"),
    "too deep": (xml_data("YWJj") + b"<a>" * 10_000, 400, NOT_XML),
    "far too deep": (b"<a>" * 10_000 + b"</a>" * 5000, 400, "deeper than 256 levels"),
    "too long a name": (b"<" + b"x" * 129, 400, "a name longer than 128 bytes"),
    "too long a prefix": (prefixed(PREFIX + "x").encode(), 400, "a name longer than 128 bytes"),
    "too long an attribute's name": (
        binary(f"<data value='YWJj' {'x' * 129}='x'/>").encode(), 400, "a name longer than 128 bytes"
    ),
    "too many attributes": (
        binary("<data value='YWJj' a='' b='' c='' d=''" + " a=''" * 12 + "/>").encode(),
        400, "more than 16 attributes",
    ),
    # too large
    "the text": (xml_data("YWJj").replace(SECRET.encode(), b"x" * 50_000), 413, "limits.root_bytes"),
    "blanks in a tag": (b"<data" + b" " * 50_000, 413, "limits.root_bytes"),
    "blanks before a mark": (b"<data value" + b" " * 50_000, 413, "limits.root_bytes"),
    "an id": (b"<data id='" + b"x" * 50_000, 413, "limits.root_bytes"),
    "a comment": (b"<!--" + b"x" * 50_000, 413, "limits.root_bytes"),
    "a document": (xml_data(b64(b"x" * 3001)), 413, "limits.document_bytes"),
    "the body": (xml_data(" " * 90_000), 413, "limits.total_bytes"),
    "the number of tags": (binary(ONE_TAG + "<data/>" * 5).encode(), 413, "limits.parts (5)"),
    "the number": (f"<Bundle {FHIR}>{entry('YWJj') * 6}</Bundle>".encode(), 413, "limits.parts (5)"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 137, 1 << 20])
@pytest.mark.parametrize("case", REFUSED_XML)
def test_xml_that_is_refused_leaves_nothing_behind(staging: StagingFolder, case: str, size: int) -> None:
    """As those of JSON."""
    body, status, sentence = REFUSED_XML[case]
    check_refusal(staging, body, XML, status, sentence, size)


Tree = tuple[str, dict[str, str], str | None, str | None, list["Tree"]]


def tree(element: etree._Element) -> Tree:
    """An element as what can be compared."""
    attributes = {str(name): str(value) for name, value in element.attrib.items()}
    return str(element.tag), attributes, element.text, element.tail, [tree(child) for child in element]


def plain_xml(text: bytes) -> tuple[Tree, list[bytes]]:
    """The XML with the `value` of every `data` taken out; and what they said."""
    root = xml.parse(text)
    found = []
    for element in root.iter("{*}data"):
        if (value := element.get("value")) is not None:
            found.append(base64.b64decode("".join(value.split(" ")).translate(NO_SPACE), validate=True))
            element.set("value", f"urn:xds:staged:{len(found) - 1}")
    return tree(root), found


NO_SPACE = str.maketrans("", "", " \t\r\n")
TEXTS = [
    "<",
    ">",
    "&",
    '"',
    "'",
    "]]>",
    "data",
    "value",
    "=",
    "/",
    "-->",
    "?>",
    "å",
    "\n",
    " ",
    "<data value='x'/>",
    "x",
]
BETWEEN = [
    "<!--<data value='!'/>-->", "<!---->", "<!-- <![CDATA[ -->", "<![CDATA[<data value='!'>]]>",
    "<![CDATA[<!--]]>", "<![CDATA[]]]]>", "<![CDATA[]><data value='!'/>]]>", "<?data value='!'?>",
    "<?x > <data value='!' ?>", "<?x ??>", "value='YWJj'", "&lt;data ", "&#10;", "",
]  # fmt: skip
TAGS = [
    "data",
    "data",
    "data",
    "data",
    "f:data",
    "f:data",
    "a",
    "Data",
    "f:a",
    "data-a",
    "a.data",
    "data1",
    "adata",
]
ATTRIBUTES = ["id", "f:value", "values", "Value", "data"]


@st.composite
def elements(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    tag = draw(st.sampled_from(TAGS))
    blanks = st.sampled_from(["", "", " ", "\n\t"])
    attributes = ""
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=2, unique=True))
    for name in draw(st.permutations(["value", *names])):
        if name == "value":
            text = draw(base64_texts())
        else:
            text = "".join(draw(st.lists(st.sampled_from(TEXTS), max_size=4)))
        mark = draw(st.sampled_from("\"'"))
        signs = "".join(draw(st.sampled_from(ways(sign, mark))) for sign in text)
        attributes += f"{draw(blanks)} {name}{draw(blanks)}={draw(blanks)}{mark}{signs}{mark}"
    content = "".join(draw(st.lists(st.one_of(inner, st.sampled_from(BETWEEN)), max_size=4)))
    if not content and draw(st.booleans()):
        return f"<{tag}{attributes}{draw(blanks)}/>"
    return f"<{tag}{attributes}{draw(blanks)}>{content}</{tag}{draw(blanks)}>"


def ways(sign: str, mark: str) -> list[str]:
    """How a sign may be written in an attribute, the usual way more than once."""
    numbers = [f"&#{ord(sign)};", f"&#x{ord(sign):X};", f"&#x{ord(sign):04x};"]
    return numbers if sign in ("<", "&", mark) else [sign] * 20 + numbers


XMLS = st.lists(st.recursive(elements(st.just("x")), elements, max_leaves=4), max_size=3).map(
    lambda inner: f'<r xmlns:f="urn:f" xmlns="urn:r">{"".join(inner)}</r>'
)


def sifted(text: bytes, staging: StagingFolder, sizes: list[int]) -> tuple[Tree, list[bytes]]:
    """What XmlSieve makes of it, and the documents."""
    sieve = XmlSieve(ROOMY, staging, ROOMY.parts)
    stream = Chunked(text, *sizes)
    try:
        while piece := stream.read(1000):
            sieve.feed(piece)
        sieve.close()
        found = [one.path.read_bytes() for one in sieve.staged.values()]
        return tree(xml.parse(bytes(sieve.root))), found
    finally:
        sieve.discard()
        assert list(staging.path.iterdir()) == []


@property_of
@given(text=XMLS, sizes=SIZES)
def test_any_xml_in_any_pieces_is_read_as_a_plain_reader_would(
    staging: StagingFolder, text: str, sizes: list[int]
) -> None:
    """Whatever stands in texts, comments and attributes, and wherever the network cuts."""
    assert sifted(text.encode(), staging, sizes) == plain_xml(text.encode())


NOISE = [
    *"<>/\"'=&;!?-[]:# \nYx", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>",
    "<data value='urn:xds:staged:0'/>", "<data ", "value=", "&#10;",
    "<!DOCTYPE r [<!ENTITY e 'YWJj'>]>", "&e;", "data", "f:", "YWJj",
]  # fmt: skip


@property_of
@given(text=XMLS, sizes=SIZES, noise=damage(NOISE))
def test_damaged_xml_is_refused_or_read_as_a_plain_reader_would(
    staging: StagingFolder, text: str, sizes: list[int], noise: list[tuple[int, int, str]]
) -> None:
    """No text that is XML at all holds a `data` value that was not taken out; a refusal leaves no file."""
    damaged = with_noise(text, noise).encode()
    try:
        found = sifted(damaged, staging, sizes)
    except Fault:
        return
    assert found == plain_xml(damaged)
