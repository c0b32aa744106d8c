"""The only place where this package parses XML.

Everyone who has bytes and wants elements calls `parse`, or `parse_until` who wants the first of them only;
`schema` compiles our own XSD files, and `escape` is for those who write XML as text. It must never load a
DTD, expand an entity, open a network address or lift libxml2's limits, and no error of it quotes the text
that was read. tests/test_one_parser.py keeps it the only place.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lxml import etree

from xds.errors import Fault, sender

#: What may stand before the root element, and then a document type declaration (XML 1.0, production 22).
#: Atomic groups keep the time linear however many comments a sender writes.
_DOCTYPE = re.compile(rb"(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_ENCODING = re.compile(rb"""<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]*)["']""")
_UTF8_BOM = b"\xef\xbb\xbf"
#: The first bytes of an XML document in UTF-16 (XML 1.0 appendix F), and the codec that reads it.
_UTF16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\x00": "utf-16-le", b"\x00<": "utf-16-be"}
#: libxml2's XML_ERR_RESOURCE_LIMIT and XML_ERR_INTERNAL_ERROR, given for depth and text length.
_RESOURCE_CODES = frozenset({114, 1})

#: Namespace declarations that may hold for one element; libxml2 compares each with each.
MOST_NAMESPACES: Final = 256
#: What `parse_until` gives to libxml2 at a time, in bytes.
_PIECE: Final = 16 * 1024

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)
_SPECIAL = re.compile(r'[&<>"\r\n\t]')

# libxml2 2.14 makes its table of built-in schema types at the first compilation, without a lock: two at once
# leave the table broken for as long as the process lives, and no schema compiles any more.
compiling = threading.Lock()


def _options(*, remarks: bool = False) -> dict[str, Any]:
    """How a message is parsed, whole or in pieces."""
    # The encoding is given, so that libxml2 neither guesses nor follows a declaration to another one.
    return {
        "encoding": "utf-8",
        "resolve_entities": False,
        "load_dtd": False,
        "dtd_validation": False,
        "attribute_defaults": False,
        "no_network": True,
        "huge_tree": False,
        "recover": False,
        "remove_comments": not remarks,
        "remove_pis": not remarks,
        "collect_ids": False,
    }


def _utf8(data: bytes, *, whole: bool = True) -> bytes:
    """The XML in UTF-8; what is not the `whole` may end within a character."""
    if (codec := _UTF16.get(data[:2])) is not None:
        try:
            return codecs.getincrementaldecoder(codec)().decode(data, whole).encode()
        except UnicodeError:
            raise sender("The XML is not valid UTF-16.") from None
    if (declared := _ENCODING.match(data.removeprefix(_UTF8_BOM))) and declared[1].upper() not in (
        b"UTF-8",
        b"UTF8",
    ):
        raise sender("The XML declares an encoding that is not read here: send UTF-8 or UTF-16.")
    return data


def parse(data: bytes, *, remarks: bool = False) -> etree._Element:
    """Return the root element of `data`, which must be UTF-8 or UTF-16.

    Comments and processing instructions are dropped, unless `remarks` are wanted: then `drop_remarks` must
    be called before anything is read, because they split texts. At most 256 levels and 10 million characters
    of one text are read. Raises Fault(Sender) with line and column for anything else.
    """
    if not data:
        raise sender("The message is empty.")
    data = _utf8(data)
    if _DOCTYPE.match(data.removeprefix(_UTF8_BOM)):
        raise sender("The XML has a document type declaration (DOCTYPE), which SOAP forbids: leave it out.")
    try:
        root: etree._Element = etree.fromstring(data, etree.XMLParser(**_options(remarks=remarks)))
    except etree.XMLSyntaxError as error:
        line, column = error.position
        if error.code in _RESOURCE_CODES:
            raise sender(
                f"The XML is nested deeper than 256 levels or has a text longer than 10,000,000 characters "
                f"(line {line}, column {column}): send large documents as MTOM parts."
            ) from None
        raise sender(f"The XML is not well-formed at line {line}, column {column}.") from None
    if data.count(b"xmlns") > MOST_NAMESPACES:
        _check_namespaces(root)
    if root.getroottree().docinfo.internalDTD is not None:
        raise sender("The XML has a document type declaration (DOCTYPE), which SOAP forbids: leave it out.")
    return root


def parse_until(data: bytes, ends: Callable[[etree._Element], bool], *, limit: int) -> etree._Element:
    """Return the root element of `data`, read up to the first start tag that `ends` it and hardly further.

    It is for documents whose beginning says what they are: their bulk is neither parsed nor checked. `ends`
    sees each element as it begins, with its attributes and its parents; a document in which it finds none is
    read whole. Raises Fault(Sender) as `parse` does, and for a beginning longer than `limit` bytes.
    """
    if not data:
        raise sender("The XML is empty.")
    whole = len(data) <= limit
    beginning = _utf8(data[:limit], whole=whole)
    if _DOCTYPE.match(beginning.removeprefix(_UTF8_BOM)):
        raise sender("The XML has a document type declaration (DOCTYPE), which is not read: leave it out.")
    parser = etree.XMLPullParser(("start",), **_options())
    root: etree._Element | None = None
    for at in range(0, len(beginning), _PIECE):
        error: etree.XMLSyntaxError | None = None
        try:
            parser.feed(beginning[at : at + _PIECE])
        except etree.XMLSyntaxError as found:
            error = found  # perhaps behind the end, where nothing matters
        for _, element in parser.read_events():
            if root is None:
                root = element
                if root.getroottree().docinfo.internalDTD is not None:
                    raise sender("The XML has a document type declaration (DOCTYPE): leave it out.")
            if ends(element):
                return root
        if error is not None:
            raise _unreadable(error) from None
    if not whole:
        raise sender(f"The XML has more than {limit:,} bytes before the part that may be large.")
    try:
        return parser.close()
    except etree.XMLSyntaxError as error:
        raise _unreadable(error) from None


def _unreadable(error: etree.XMLSyntaxError) -> Fault:
    line, column = error.position
    if error.code in _RESOURCE_CODES:
        return sender(f"The XML is nested deeper than 256 levels (line {line}, column {column}).")
    return sender(f"The XML is not well-formed at line {line}, column {column}.")


def _check_namespaces(root: etree._Element) -> None:
    """Refuse what writing any part of the tree would take the square of the time for."""
    in_scope = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        in_scope += 1 if event == "start-ns" else -1
        if in_scope > MOST_NAMESPACES:
            raise sender(f"The XML has more than {MOST_NAMESPACES} namespaces declared at once.")


def has_remarks(element: etree._Element) -> bool:
    """Whether there is a comment or a processing instruction in it."""
    return next(element.iter(etree.Comment, etree.ProcessingInstruction), None) is not None


def drop_remarks(root: etree._Element) -> None:
    """Take every comment and processing instruction out; the texts around one become one text."""
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)


def schema(path: Path) -> etree.XMLSchema:
    """Compile one of our own schema files, with its relative imports.

    A schema object keeps the errors of its last validation in itself: threads must not share one.
    """
    with compiling:
        return etree.XMLSchema(etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True)))


def fits(element: etree._Element, schema: etree.XMLSchema) -> bool:
    """Whether the element follows the schema; in a time that grows with its length, however much is wrong.

    `validate` of the schema says where, for which libxml2 counts the siblings of what is wrong, each time.
    """
    try:
        text = etree.tostring(element, encoding="utf-8", with_tail=False)
        etree.fromstring(text, etree.XMLParser(**_options(), schema=schema))
    except etree.XMLSyntaxError:
        return False
    return True


def escape(text: str) -> str:
    """`text` for element content or a double-quoted attribute value; line ends and tabs survive both."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text
