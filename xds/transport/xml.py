"""The only place where this package parses XML.

Everyone who has bytes and wants elements calls `parse`; `schema` compiles our own XSD files, and `escape` is
for those who write XML as text. It must never load a DTD, expand an entity, open a network address or lift
libxml2's limits, and no error of it quotes the text that was read. tests/test_one_parser.py keeps
it the only place.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final

from lxml import etree

from xds.errors import sender

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

_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)
_SPECIAL = re.compile(r'[&<>"\r\n\t]')

# libxml2 2.14 makes its table of built-in schema types at the first compilation, without a lock: two at once
# leave the table broken for as long as the process lives, and no schema compiles any more.
compiling = threading.Lock()


def _parser(*, remarks: bool = False) -> etree.XMLParser:
    # The encoding is given, so that libxml2 neither guesses nor follows a declaration to another one.
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=not remarks,
        remove_pis=not remarks,
        collect_ids=False,
    )


def parse(data: bytes, *, remarks: bool = False) -> etree._Element:
    """Return the root element of `data`, which must be UTF-8 or UTF-16.

    Comments and processing instructions are dropped, unless `remarks` are wanted: then `drop_remarks` must
    be called before anything is read, because they split texts. At most 256 levels and 10 million characters
    of one text are read. Raises Fault(Sender) with line and column for anything else.
    """
    if not data:
        raise sender("The message is empty.")
    if (codec := _UTF16.get(data[:2])) is not None:
        try:
            data = data.decode(codec).encode()
        except UnicodeError:
            raise sender("The XML is not valid UTF-16.") from None
    elif (declared := _ENCODING.match(data.removeprefix(_UTF8_BOM))) and declared[1].upper() not in (
        b"UTF-8",
        b"UTF8",
    ):
        raise sender("The XML declares an encoding that is not read here: send UTF-8 or UTF-16.")
    if _DOCTYPE.match(data.removeprefix(_UTF8_BOM)):
        raise sender("The XML has a document type declaration (DOCTYPE), which SOAP forbids: leave it out.")
    try:
        root = etree.fromstring(data, _parser(remarks=remarks))
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


def escape(text: str) -> str:
    """`text` for element content or a double-quoted attribute value; line ends and tabs survive both."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text
