"""The parser: what it reads, and what it refuses without a trace of the text."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import xds
from xds.errors import Fault, FaultCode
from xds.transport import xml

SECRET = "13116900216"
BOMB = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>'
EMPTY_DOCTYPE = "<!DOCTYPE a><a/>"
REMOTE = '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>'
PARAMETER = '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]><a/>'


def refusal(data: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        xml.parse(data)
    return caught.value


@pytest.mark.parametrize("text", [BOMB, EXTERNAL, EMPTY_DOCTYPE, REMOTE, PARAMETER])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["", '<?xml version="1.0"?>', "<!-- c -->\n<?p <!DOCTYPE ?>", " \r\n\t"])
def test_a_document_type_declaration_is_refused(text: str, encoding: str, before: str) -> None:
    """SOAP forbids a DTD (SOAP 1.2 part 1, 5), whatever encoding hides it."""
    fault = refusal((before + text).encode(encoding))

    assert fault.code is FaultCode.SENDER
    assert "DOCTYPE" in fault.reason or "not well-formed" in fault.reason
    assert "etc" not in fault.reason


def test_the_word_doctype_in_text_is_no_declaration() -> None:
    """Only a declaration before the root element counts."""
    assert xml.parse(b"<a><![CDATA[<!DOCTYPE b>]]></a>").text == "<!DOCTYPE b>"


def test_an_undeclared_entity_is_not_well_formed() -> None:
    """XML 1.0, 4.1: entity declared."""
    assert "line 2, column" in refusal(b"<a>\n&secret;</a>").reason


@pytest.mark.parametrize(
    "text",
    [
        f"<a>{SECRET}",
        f"<a{SECRET}></b>",
        f"<a b='{SECRET}' b='1'/>",
        f"{SECRET}",
        f"<a>&{SECRET};</a>",
        "",
        f"<{SECRET}>",
    ],
)
def test_malformed_xml_is_refused_with_a_place_and_no_content(text: str) -> None:
    """Nothing of the text comes back."""
    reason = refusal(text.encode()).reason

    assert SECRET not in reason
    assert "line" in reason or "empty" in reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf_8_and_utf_16_are_read(encoding: str) -> None:
    """Both encodings that every XML processor reads (XML 1.0, 4.3.3), with or without a byte order mark."""
    assert xml.parse("<a>blåbær €</a>".encode(encoding)).text == "blåbær €"


def test_a_utf_16_declaration_is_followed() -> None:
    """The declaration agrees with the bytes."""
    assert xml.parse('<?xml version="1.0" encoding="UTF-16"?><a>å</a>'.encode("utf-16")).text == "å"


@pytest.mark.parametrize("name", ["ISO-8859-1", "windows-1252", "UTF-7", "EBCDIC-CP-US", "utf-32"])
def test_other_encodings_are_refused(name: str) -> None:
    """An encoding is never guessed."""
    assert "encoding" in refusal(f'<?xml version="1.0" encoding="{name}"?><a/>'.encode()).reason


def test_bytes_that_are_not_their_encoding_are_refused() -> None:
    """Latin-1 bytes without a declaration are malformed UTF-8; half a pair is malformed UTF-16."""
    assert "not well-formed" in refusal("<a>å</a>".encode("latin-1")).reason
    assert "UTF-16" in refusal("<a/>".encode("utf-16") + b"x").reason


def test_comments_and_processing_instructions_are_dropped() -> None:
    """Text around a comment is one text."""
    root = xml.parse(b"<?p?><!-- 1 --><a>b<!-- 2 -->c<?q?>d</a><!-- 3 -->")

    assert etree.tostring(root) == b"<a>bcd</a>"
    assert root.text == "bcd"


def test_depth_is_limited() -> None:
    """256 levels are read, more are refused."""
    assert xml.parse(b"<a>" * 256 + b"</a>" * 256).tag == "a"
    assert "256 levels" in refusal(b"<a>" * 257 + b"</a>" * 257).reason


def test_one_huge_text_is_refused_with_advice() -> None:
    """libxml2's bound on one text stays in force."""
    assert "MTOM" in refusal(b"<a>" + b"x" * 10_000_001 + b"</a>").reason


def test_a_long_prologue_takes_linear_time() -> None:
    """A megabyte of comments before the root is no way to keep us busy."""
    began = time.thread_time()
    xml.parse(b"<!---->" * 150_000 + b"<a/>")
    refusal(b"<?x ?>" * 150_000 + b"<!--")

    assert time.thread_time() - began < 2


def test_the_first_schemas_of_a_process_compile_in_many_threads_at_once() -> None:
    """libxml2 sets up its schema types on first use, unguarded: a race broke one start in some twenty."""
    script = """if True:
        import sys, threading
        from pathlib import Path
        from xds.transport import xml
        sys.setswitchinterval(1e-6)
        together = threading.Barrier(6)
        made = []
        def make():
            together.wait()
            made.append(xml.schema(Path(sys.argv[1])))
        threads = [threading.Thread(target=make) for _ in range(6)]
        for each in threads: each.start()
        for each in threads: each.join()
        sys.exit(len(made) != 6)
    """
    path = Path(xds.__file__).parent / "wsdl" / "schema" / "all.xsd"
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_schemas_compile_one_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same, without luck: whoever compiles is alone."""
    inside: list[int] = []
    met: list[int] = []
    compile_ = etree.XMLSchema

    def slow(document: Any) -> etree.XMLSchema:
        met.append(len(inside))
        inside.append(1)
        time.sleep(0.02)
        inside.pop()
        return compile_(document)

    monkeypatch.setattr(xml.etree, "XMLSchema", slow)
    path = tmp_path / "a.xsd"
    path.write_text(
        '<schema xmlns="http://www.w3.org/2001/XMLSchema"><element name="a" type="int"/></schema>'
    )
    threads = [threading.Thread(target=xml.schema, args=(path,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert met == [0, 0, 0, 0]


def test_a_schema_judges_elements(tmp_path: Path) -> None:
    """What the schema says is valid, and nothing else."""
    path = tmp_path / "a.xsd"
    path.write_text(
        '<schema xmlns="http://www.w3.org/2001/XMLSchema"><element name="a" type="int"/></schema>'
    )
    path.chmod(0o444)

    assert xml.schema(path).validate(xml.parse(b"<a>1</a>"))
    assert not xml.schema(path).validate(xml.parse(b"<a>b</a>"))


@pytest.mark.parametrize("text", ["plain", "a & b", "<tag>", 'say "hi"', "'", "]]>", "\r\n\t", "æ€😀", ""])
def test_escaped_text_is_read_back_the_same(text: str) -> None:
    """In element content and in an attribute."""
    root = xml.parse(f'<a b="{xml.escape(text)}">{xml.escape(text)}</a>'.encode())

    assert (root.get("b"), root.text or "") == (text, text)


def test_too_many_namespaces_at_once_are_refused_and_many_one_after_another_are_not():
    """libxml2 compares each with each when it writes: 256 may hold for one element."""
    names = [f'xmlns:n{number}="u"' for number in range(257)]
    with pytest.raises(Fault, match="256 namespaces"):
        xml.parse(f"<a {' '.join(names)}/>".encode())
    with pytest.raises(Fault, match="256 namespaces"):
        xml.parse(f"<a {' '.join(names[:200])}><b {' '.join(names[200:])}/></a>".encode())
    with pytest.raises(Fault, match="256 namespaces"):
        xml.parse(f"<a {' '.join(names)}/>".encode("utf-16"))
    one = '<b xmlns:x="u"/>'
    assert len(xml.parse(f"<a>{one * 1000}</a>".encode())) == 1000
    xml.parse(f"<a {' '.join(names[:256])}/>".encode())


# ---- the beginning of a document


def at_body(element: etree._Element) -> bool:
    """Whether the body begins here."""
    return element.tag == "body"


def beginning(data: bytes, limit: int = 100_000) -> etree._Element:
    """The document up to its body."""
    return xml.parse_until(data, at_body, limit=limit)


def refused_beginning(data: bytes, limit: int = 100_000) -> str:
    """Why the beginning cannot be read."""
    with pytest.raises(Fault) as caught:
        beginning(data, limit)
    assert caught.value.code is FaultCode.SENDER
    return caught.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("rest", ["", "<", "</b>", "&e;", "\x00", "x" * 200_000 + "</body></a>"])
def test_a_beginning_is_read_whatever_follows(encoding: str, rest: str) -> None:
    """Even when what follows is no XML."""
    root = beginning(("<a><!-- 1 --><h>bl<!-- 2 -->å</h><?p?><body k='v'>" + rest).encode(encoding))

    assert [child.tag for child in root] == ["h", "body"]
    assert (root[0].text, root[1].get("k")) == ("blå", "v")


def test_a_document_without_that_end_is_read_whole() -> None:
    """And must be well-formed."""
    assert [child.tag for child in beginning(b"<a><b/><c/></a>")] == ["b", "c"]
    for data in (b"<a><b/>", b"<a></b>", b"<a/><a/>", b"\xef\xbb\xbf", b"<a>\xe5</a>"):
        assert "not well-formed" in refused_beginning(data)
    assert "empty" in refused_beginning(b"")


@pytest.mark.parametrize("text", [BOMB, EXTERNAL, EMPTY_DOCTYPE, REMOTE, PARAMETER])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("before", ["", "<!-- c -->\n<?p <!DOCTYPE ?>"])
def test_a_beginning_has_no_document_type_either(text: str, encoding: str, before: str) -> None:
    """Nothing of it is read."""
    reason = refused_beginning((before + text).encode(encoding))

    assert "DOCTYPE" in reason
    assert "etc" not in reason


@pytest.mark.parametrize(
    "data",
    [
        b"<a>" + b"<b/>" * 100,
        b"<a b='" + b"x" * 200,
        b"<!--" + b" " * 200,
        b" " * 200 + b"<a><body>",
        "<a>blåbær".encode("utf-16") * 20,
        b"<a>" + "å".encode() * 99,
    ],
)
def test_a_beginning_longer_than_its_limit_is_refused(data: bytes) -> None:
    """Wherever the limit cuts it, within a character too."""
    for limit in (98, 99):
        assert "more than" in refused_beginning(data, limit)


def test_a_deep_beginning_is_refused() -> None:
    """At the depth at which a message is."""
    assert beginning(b"<a>" * 255 + b"<body>").tag == "a"
    assert "256 levels" in refused_beginning(b"<a>" * 257 + b"<body>")


def test_a_beginning_takes_linear_time() -> None:
    """Whatever fills it."""
    fillings = (
        b"<a " + b" ".join(b"n%d=''" % each for each in range(90_000)) + b"><body>",
        b"<a " + b" ".join(b"xmlns:n%d='u'" % each for each in range(60_000)) + b"><body>",
        b"<a b='" + b"x" * 1_000_000 + b"'><body>",
        b"<!---->" * 140_000 + b"<a><body>",
        b"<a>" + b"<b/>" * 240_000 + b"<body>",
    )
    began = time.thread_time()
    for each in fillings:
        beginning(each, 2_000_000)

    assert time.thread_time() - began < 5
