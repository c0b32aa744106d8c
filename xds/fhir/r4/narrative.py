"""The XHTML of a Narrative: read from JSON's text, written as one text, and what it must not hold.

`xml.py` calls it in both directions, so that a div has one form whichever way it came, and `rules.py` asks
what is wrong with one. It must let nothing through that R4 does not list (txt-1): what it lets through is
shown in browsers.
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from xds.errors import Fault, sender
from xds.transport import xml

XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"

#: Both lists are those of invariant txt-1 of R4.
_ELEMENTS: Final = frozenset({
    "a", "abbr", "acronym", "b", "big", "blockquote", "br", "caption", "cite", "code", "col", "colgroup",
    "dd", "dfn", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li",
    "ol", "p", "pre", "q", "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td",
    "tfoot", "th", "thead", "tr", "tt", "ul", "var",
})  # fmt: skip
_ATTRIBUTES: Final = frozenset({
    "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellhalign", "cellpadding",
    "cellspacing", "cellvalign", "char", "charoff", "charset", "cite", "class", "colspan", "compact",
    "coords", "dir", "frame", "headers", "height", "href", "hreflang", "hspace", "id", "lang", "longdesc",
    "name", "nowrap", "rel", "rev", "rowspan", "rules", "scope", "shape", "span", "src", "start", "style",
    "summary", "tabindex", "title", "type", "valign", "value", "vspace", "width",
})  # fmt: skip
_SCRIPTS: Final = frozenset({"javascript", "vbscript", "livescript"})
#: In a text as in the sender's JSON, where xml.escape would write line ends as numbers.
_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})

NOT_XHTML: Final = "The narrative is not one div of XHTML."
TXT_1: Final = "The narrative has elements or attributes other than those that R4 permits (txt-1)."
SCRIPT: Final = "The narrative has a link that is a script, which R4 forbids in narratives."
TXT_2: Final = "The narrative has neither text nor an image (txt-2)."


def read(text: str) -> etree._Element:
    """The div of a Narrative in JSON. Raises Fault where it is no XHTML."""
    try:
        div = xml.parse(text.encode("utf-8", "surrogatepass"))
    except Fault:
        raise sender(NOT_XHTML) from None
    if div.tag != f"{XHTML}div":
        raise sender(NOT_XHTML)
    return div


def wrong(text: str) -> str:
    """What is wrong with the div of a Narrative in JSON, as a sentence; nothing if it is right."""
    try:
        div = read(text)
    except Fault as fault:
        return fault.reason
    image = False
    for element in div.iter():
        tag = str(element.tag)
        if not tag.startswith(XHTML) or tag.removeprefix(XHTML) not in _ELEMENTS:
            return TXT_1
        if not _ATTRIBUTES.issuperset(map(str, element.attrib)):
            return TXT_1
        if any(_is_script(str(element.get(name, ""))) for name in ("href", "src", "longdesc", "cite")):
            return SCRIPT
        image = image or (tag == f"{XHTML}img" and "src" in element.attrib)
    if not image and not any(part.strip() for part in div.itertext()):
        return TXT_2
    return ""


def _is_script(address: str) -> bool:
    # Browsers pass over white space and control characters in what stands before the colon.
    scheme, colon, _ = re.sub(r"[\x00-\x20]", "", address).partition(":")
    return bool(colon) and scheme.lower() in _SCRIPTS


def written(div: etree._Element) -> str:
    """The div as JSON holds it, without prefixes. Raises Fault for what is of another namespace."""
    parts: list[str] = []
    # An element to be opened, or a text that can be written as it is.
    todo: list[etree._Element | str] = [div]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        if not str(item.tag).startswith(XHTML):
            raise sender(NOT_XHTML)
        name = str(item.tag).removeprefix(XHTML)
        space = ' xmlns="http://www.w3.org/1999/xhtml"' if item is div else ""
        inner = bool(len(item) or item.text)
        parts.append(f"<{name}{space}{_attributes(item)}{'>' if inner else '/>'}")
        if inner:
            parts.append((item.text or "").translate(_TEXT))
            todo.append(f"</{name}>")
            for child in reversed(item):
                todo.append((child.tail or "").translate(_TEXT))
                todo.append(child)
    return "".join(parts)


def _attributes(element: etree._Element) -> str:
    found = []
    for key, value in element.attrib.items():
        name = str(key).replace(_XML, "xml:")
        if name.startswith("{"):
            raise sender(NOT_XHTML)
        found.append(f' {name}="{xml.escape(str(value))}"')
    return "".join(found)
