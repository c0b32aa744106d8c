"""FHIR R4 in XML: a resource of JSON's form written as XML, and XML read into JSON's form.

Those who answer call `to_xml`, those who receive call `from_xml`. Both know R4's elements and nothing else:
whether a resource is valid is for validation.py, and they must neither drop nor invent anything. No error
quotes what was read.

A div is the same XHTML afterwards, and the same text if it was written without needless white space,
comments and prefixes. A decimal is a JSON number as Python reads it: 1.50 in XML becomes 1.5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from lxml import etree

from xds.errors import DataTypeError, Fault, sender
from xds.fhir.r4 import narrative
from xds.fhir.r4.elements import RESOURCES, TYPES, Element, Place, path, resource_type
from xds.transport import xml

MEDIA_TYPE: Final = "application/fhir+xml; charset=utf-8"

_FHIR: Final = "{http://hl7.org/fhir}"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_SCHEMA_LOCATION: Final = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
#: XML 1.0, production 2; and halves of a character, which no encoding has.
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# Numbers of more digits stay text, which validation refuses: reading them takes the square of their length.
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,9})")
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,100})?(?:[eE][+-]?[0-9]{1,3})?")
#: What every JSON library reads as an integer, and writes again.
_JSON_INTEGERS: Final = range(-(2**63), 2**64)
_INTEGERS: Final = frozenset({"integer", "unsignedInt", "positiveInt"})
_BOOLEANS: Final = {"true": True, "false": False}

#: By type: its elements as XML names them, and its attributes.
_BY_TAG: Final = {
    kind: {
        (narrative.XHTML if element.kind == "xhtml" else _FHIR) + name: element
        for name, element in elements.items()
        if not element.attribute
    }
    for kind, elements in TYPES.items()
}
_ATTRIBUTES: Final = {
    kind: frozenset(name for name, element in elements.items() if element.attribute)
    for kind, elements in TYPES.items()
}


class _Part(NamedTuple):
    """An element that is still to be written, with what stands in it."""

    name: str
    kind: str
    content: Mapping[str, Any]
    place: Place | None
    #: Attributes that are not of its content: a primitive's value, the namespace of the root.
    attributes: str = ""


def to_xml(resource: Mapping[str, Any]) -> bytes:
    """Write a valid resource. Raises DataTypeError for what R4 does not know or XML cannot hold."""
    kind = _writable(resource, None)
    out = [_DECLARATION]
    # Written from a list and not by recursion: a resource may be as deep as its sender likes.
    todo: list[_Part | str] = [_Part(kind, kind, resource, (None, kind, None), f' xmlns="{_FHIR[1:-1]}"')]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            out.append(part)
        else:
            todo.extend(reversed(_written(part)))
    text = "".join(out)
    if _NO_XML.search(text):
        raise DataTypeError("A text of the resource has a character that XML cannot hold.")
    return text.encode()


def _writable(resource: Any, place: Place | None) -> str:
    kind = resource_type(resource)
    if kind is None:
        raise DataTypeError(f"{path(place) or 'This'} is no resource of a type that is written here.")
    return kind


def _written(part: _Part) -> list[_Part | str]:
    """The element, its tags as text and its children as parts."""
    elements = TYPES[part.kind]
    found: dict[str, Element] = {}
    for key in part.content:
        if key == "resourceType" and part.kind in RESOURCES:
            continue
        element = elements.get(key.removeprefix("_"))
        if element is None or (key[0] == "_" and (not element.primitive or element.attribute)):
            raise DataTypeError(f"{path(part.place)} has an element that R4 does not know there.")
        found[element.name] = element
    attributes = part.attributes
    inner: list[_Part | str] = []
    for element in sorted(found.values(), key=_position):
        if element.attribute:
            attributes += f' {element.name}="{_text(part.content[element.name], part.place)}"'
        else:
            inner += _children(part, element)
    if not inner:
        return [f"<{part.name}{attributes}/>"]
    return [f"<{part.name}{attributes}>", *inner, f"</{part.name}>"]


def _position(element: Element) -> int:
    return element.position


def _children(part: _Part, element: Element) -> list[_Part | str]:
    """All that one element of the table is in a part: once, or as often as it is repeated."""
    name = element.name
    values, extras = part.content.get(name), part.content.get(f"_{name}")
    if not element.many:
        return _child(element, values, extras, (part.place, element.path_name, None))
    for repeated in (values, extras):
        if repeated is not None and not isinstance(repeated, list):
            raise DataTypeError(f"{path((part.place, element.path_name, None))} is not an array.")
    written: list[_Part | str] = []
    values, extras = values or [], extras or []
    for number in range(max(len(values), len(extras))):
        value = values[number] if number < len(values) else None
        extra = extras[number] if number < len(extras) else None
        written += _child(element, value, extra, (part.place, element.path_name, number))
    return written


def _child(element: Element, value: Any, extra: Any, place: Place) -> list[_Part | str]:
    name = element.name
    if element.kind == "xhtml":
        try:
            return [narrative.written(narrative.read(str(value)))]
        except Fault as fault:
            raise DataTypeError(f"{path(place)}: {fault.reason}") from None
    if element.primitive:
        said = "" if value is None else f' value="{_text(value, place)}"'
        if extra is None and said:
            return [f"<{name}{said}/>"]
        value, kind, attributes = extra, "Element", said
    else:
        kind, attributes = element.kind, ""
    if not isinstance(value, Mapping):
        raise DataTypeError(f"{path(place)} has no content that could be written.")
    if kind == "Resource":
        kind = _writable(value, place)
        return [f"<{name}>", _Part(kind, kind, value, place), f"</{name}>"]
    return [_Part(name, kind, value, place, attributes)]


def _text(value: Any, place: Place | None) -> str:
    """A primitive as the value of an attribute."""
    if isinstance(value, str):
        return xml.escape(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value in _JSON_INTEGERS:
        return str(value)
    if isinstance(value, (float, Decimal)) and math.isfinite(value):
        return str(value)
    raise DataTypeError(f"{path(place)} is no value of a primitive type.")


class _Found(NamedTuple):
    """An element that is still to be read, and the object of JSON that its content goes to."""

    node: etree._Element
    kind: str
    content: dict[str, Any]
    place: Place
    #: What its attributes may be beside those of its kind: a primitive's value.
    passed: str = ""


def from_xml(data: bytes) -> dict[str, Any]:
    """Read a resource. Raises Fault for what is not R4's XML, with the place and no value.

    The order of elements does not matter. A value that is none of its type stays a text, and an element
    without content an empty object, both of which validation tells of.
    """
    root = xml.parse(data)
    kind = _named(root, None)
    if kind not in RESOURCES:
        raise sender("The XML is no FHIR resource of a type that is read here.")
    resource: dict[str, Any] = {"resourceType": kind}
    todo = [_Found(root, kind, resource, (None, kind, None), _SCHEMA_LOCATION)]
    while todo:
        todo.extend(reversed(_read(todo.pop())))
    return resource


def _named(node: etree._Element, place: Place | None) -> str:
    """The local name of an element of FHIR."""
    tag = str(node.tag)
    if not tag.startswith(_FHIR):
        where = f"In {path(place)} there" if place else "There"
        raise sender(f"{where} is an element that is not in FHIR's namespace.")
    return tag.removeprefix(_FHIR)


def _read(found: _Found) -> list[_Found]:
    """Read what stands right in an element; what is deeper is returned, to be read later."""
    outer, kind, content, place, passed = found
    elements = _BY_TAG[kind]
    for key, value in outer.items():
        if key in _ATTRIBUTES[kind]:
            content[str(key)] = value
        elif key != passed:
            raise sender(f"{path(place)} has an attribute that R4 does not know there.")
    _no_text(outer.text, place)
    deeper: list[_Found] = []
    extras: dict[str, list[dict[str, Any] | None]] = {}
    for node in outer:
        if node.tail:
            _no_text(node.tail, place)
        element = elements.get(str(node.tag))
        if element is None:
            _named(node, place)
            raise sender(f"{path(place)} has an element that R4 does not know there.")
        below = (place, element.path_name, len(content.get(element.name, ())) if element.many else None)
        if element.primitive:
            value, extra = _primitive(node, element, below, deeper)
            if element.many:
                content.setdefault(element.name, []).append(value)
                extras.setdefault(element.name, []).append(extra)
                continue
            _once(element, content, below)
            if value is not None:
                content[element.name] = value
            if extra is not None:
                content[f"_{element.name}"] = extra
            continue
        inner: dict[str, Any] = {}
        if element.many:
            content.setdefault(element.name, []).append(inner)
        else:
            _once(element, content, below)
            content[element.name] = inner
        if element.kind == "Resource":
            node = _wrapped(node, below)
            inner["resourceType"] = _named(node, below)
        deeper.append(_Found(node, inner.get("resourceType", element.kind), inner, below))
    # Two arrays side by side, with null where one has nothing (R4 JSON, representation of primitives).
    for name, beside in extras.items():
        if any(extra is not None for extra in beside):
            content[f"_{name}"] = beside
            if all(value is None for value in content[name]):
                del content[name]
    return deeper


def _no_text(text: str | None, place: Place) -> None:
    if text and text.strip(" \t\r\n"):
        raise sender(f"{path(place)} has text between its elements.")


def _once(element: Element, content: Mapping[str, Any], place: Place) -> None:
    if element.name in content or f"_{element.name}" in content:
        raise sender(f"{path(place)} is there more than once.")


def _wrapped(node: etree._Element, place: Place) -> etree._Element:
    """The resource in an element that holds nothing else."""
    _no_text(node.text, place)
    if node.attrib or len(node) != 1 or _named(node[0], place) not in RESOURCES:
        raise sender(f"{path(place)} does not hold one resource of a type that is read here.")
    _no_text(node[0].tail, place)
    return node[0]


def _primitive(
    node: etree._Element, element: Element, place: Place, deeper: list[_Found]
) -> tuple[Any, dict[str, Any] | None]:
    """The value of a primitive, and what JSON keeps beside it: an id and extensions."""
    if element.kind == "xhtml":
        try:
            return narrative.written(node), None
        except Fault as fault:
            raise sender(f"{path(place)}: {fault.reason}") from None
    value = node.get("value")
    if value is not None and not len(node) and len(node.keys()) == 1:
        _no_text(node.text, place)
        return _typed(value, element.kind), None
    extra: dict[str, Any] = {}
    deeper.append(_Found(node, "Element", extra, place, "value"))
    return None if value is None else _typed(value, element.kind), extra


def _typed(value: str, kind: str) -> Any:
    """A value as JSON has it."""
    if kind == "boolean":
        return _BOOLEANS.get(value, value)
    if kind in _INTEGERS:
        return int(value) if _INTEGER.fullmatch(value) else value
    if kind == "decimal" and _DECIMAL.fullmatch(value):
        if _WHOLE.fullmatch(value) and value != "-0" and int(value) in _JSON_INTEGERS:
            return int(value)
        number = float(value)
        return number if math.isfinite(number) else value
    return value
