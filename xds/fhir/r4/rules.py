"""What R4 asks of a resource that no JSON schema can state, told by place.

`validation.py` calls it beside the schema. It walks the resource once, from a list and not by recursion, and
must judge what has any form: the schema may have found it wrong, and then what is not as R4 says is passed
over here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from xds.fhir.r4 import narrative
from xds.fhir.r4.elements import TYPES, Element, Place, resource_type
from xds.fhir.r4.schema import resource_types

#: A reference to a resource on some server (R4, references: literal references).
_LITERAL: Final = re.compile(
    r"(?:https?://\S+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?"
)
_DEFINITION: Final = "http://hl7.org/fhir/StructureDefinition/"
_INTEGERS: Final = frozenset({"integer", "unsignedInt", "positiveInt"})
#: Primitive types that may refer to a contained resource, beside Reference.reference (dom-3).
_LOCAL: Final = frozenset({"uri", "url", "canonical"})
_ALL: Final[frozenset[str]] = frozenset()


_EMPTY: Final = "The element has neither a value nor anything else in it (ele-1)."
_FRACTION: Final = "The number is written with a fraction or an exponent, which an integer does not have."
_PADDING: Final = (
    "The values and what stands beside them are not two arrays of one length, with something at each place."
)
_DANGLING: Final = "The resource contains none that this refers to (ref-1)."
_UNUSED: Final = (
    "The contained resource is not referred to from elsewhere in the resource, and does not refer to it "
    "(dom-3)."
)
_TWICE: Final = "The id of the contained resource is that of another one, too."
_ANOTHER_TYPE: Final = "The type of the Reference is not the type of what it refers to."
_WRONG_TARGET: Final = "R4 does not let this refer to a resource of that type."
_PERIOD: Final = "The period ends before it starts (per-1)."
_FULL_URL: Final = "The fullUrl of the entry is that of another one, too (bdl-7)."


class Broken(NamedTuple):
    """A rule that is broken: where, what kind of issue, and the sentence for it."""

    place: Place | None
    code: str
    text: str


class _Reference(NamedTuple):
    """A reference to a contained resource, which can be judged when all of them are known."""

    place: Place
    to: str
    said: Any
    targets: frozenset[str]


@dataclass(slots=True)
class _Scope:
    """A resource with all that it contains: as far as a reference such as #a reaches."""

    contained: list[tuple[Place, dict[str, Any]]] = field(default_factory=list)
    references: list[_Reference] = field(default_factory=list)
    #: Ids that something refers to, and those of contained resources that refer to the outer one.
    used: set[str] = field(default_factory=set)


#: An object that is still to be looked at: itself, its type, where it stands, the resource that references in
#: it reach, what it may refer to where it is a Reference, and the id of the contained resource that it is in.
_Node = tuple[dict[str, Any], str, Place, _Scope, frozenset[str], str | None]


def broken(resource: Mapping[str, Any], kind: str) -> Iterator[Broken]:
    """Every rule that a resource of this type breaks."""
    scopes = [_Scope()]
    todo: list[_Node] = [(dict(resource), kind, (None, kind, None), scopes[0], _ALL, None)]
    # A resource has hundreds of values and most of them break no rule: here nothing is called for those.
    while todo:
        node = todo.pop()
        value, kind, place, scope, _, inside = node
        if (check := _CHECKS.get(kind)) is not None:
            yield from check(node)
        if len(value) == 1 and "id" in value and kind != "Element":
            yield Broken(place, "structure", _EMPTY)
        elements = TYPES[kind]
        below: Place
        for key, item in value.items():
            form = type(item)
            if form is str and "#" not in item:
                continue
            element = elements.get(key)
            if element is None:
                yield from _beside(node, key, item, todo)
            elif element.primitive:
                yield from _primitive(node, element, item)
            elif element.kind == "Resource":
                _resources(node, element, item, scopes, todo)
            elif form is dict:
                below = (place, element.path_name, None)
                todo.append((item, element.kind, below, scope, element.targets, inside))
            elif form is list:
                for number, one in enumerate(item):
                    if type(one) is dict:
                        below = (place, element.path_name, number)
                        todo.append((one, element.kind, below, scope, element.targets, inside))
    for scope in scopes:
        yield from _references(scope)
        yield from _contained(scope)


def _primitive(node: _Node, element: Element, item: Any) -> Iterator[Broken]:
    """A value that is no text, or begins as a reference does."""
    value, _, place, scope, _, _ = node
    if isinstance(item, list):
        if None in item and f"_{element.name}" not in value:
            yield Broken((place, element.path_name, None), "structure", _PADDING)
    elif isinstance(item, float) and element.kind in _INTEGERS and item.is_integer():
        yield Broken((place, element.path_name, None), "value", _FRACTION)
    if element.kind in _LOCAL:
        several = item if isinstance(item, list) else [item]
        scope.used.update(one[1:] for one in several if isinstance(one, str) and one[:1] == "#")


def _resources(node: _Node, element: Element, item: Any, scopes: list[_Scope], todo: list[_Node]) -> None:
    """Look at resources later; each begins a new scope, unless it is contained."""
    _, _, above, scope, _, inside = node
    for number, resource in enumerate(item if isinstance(item, list) else [item]):
        kind = resource_type(resource)
        if kind is None:
            continue
        place = (above, element.path_name, number if element.many else None)
        if element.name == "contained":
            if inside is None:
                scope.contained.append((place, resource))
            name = resource.get("id")
            todo.append((resource, kind, place, scope, _ALL, name if isinstance(name, str) else None))
        else:
            scopes.append(_Scope())
            todo.append((resource, kind, place, scopes[-1], _ALL, None))


def _beside(node: _Node, key: str, item: Any, todo: list[_Node]) -> Iterator[Broken]:
    """What stands beside a primitive: `_x` beside `x`."""
    value, kind, above, scope, _, inside = node
    element = TYPES[kind].get(key[1:]) if key[:1] == "_" else None
    if element is None or not element.primitive:
        return
    place: Place = (above, element.path_name, None)
    values = value.get(element.name)
    if isinstance(item, list):
        given = values if isinstance(values, list) else [None] * len(item)
        if (
            len(given) != len(item)
            or any(one is None and extra is None for one, extra in zip(given, item, strict=False))
            or (values is not None and all(one is None for one in given))
            or all(extra is None for extra in item)
        ):
            yield Broken(place, "structure", _PADDING)
    elif isinstance(item, dict) and values is None and list(item) == ["id"]:
        yield Broken(place, "structure", _EMPTY)
    for number, extra in enumerate(item if isinstance(item, list) else [item]):
        if isinstance(extra, dict):
            below = (above, element.path_name, number if isinstance(item, list) else None)
            todo.append((extra, "Element", below, scope, _ALL, inside))


def _reference(node: _Node) -> Iterable[Broken]:
    value, _, place, scope, targets, inside = node
    to, said = value.get("reference"), value.get("type")
    if isinstance(said, str):
        said = said.removeprefix(_DEFINITION)
    if not isinstance(to, str):
        return _target(place, said, said, targets)
    if to == "#" and inside is not None:
        # The resource that contains this one.
        scope.used.add(inside)
    elif to[:1] == "#":
        scope.references.append(_Reference(place, to[1:], said, targets))
        scope.used.add(to[1:])
    else:
        literal = _LITERAL.fullmatch(to)
        return _target(place, literal[1] if literal else said, said, targets)
    return ()


def _target(place: Place, kind: Any, said: Any, targets: frozenset[str]) -> Iterator[Broken]:
    """Whether a Reference may refer to a resource of this type, and says the same of it."""
    known = resource_types()
    if not isinstance(kind, str) or kind not in known:
        return
    if isinstance(said, str) and said in known and said != kind:
        yield Broken((place, "type", None), "value", _ANOTHER_TYPE)
    if targets and kind not in targets:
        yield Broken(place, "value", _WRONG_TARGET)


def _references(scope: _Scope) -> Iterator[Broken]:
    found: dict[str, Any] = {}
    for _, resource in scope.contained:
        if isinstance(name := resource.get("id"), str):
            found.setdefault(name, resource)
    for place, to, said, targets in scope.references:
        if to in found:
            yield from _target(place, found[to].get("resourceType"), said, targets)
        else:
            yield Broken((place, "reference", None), "invariant", _DANGLING)


def _contained(scope: _Scope) -> Iterator[Broken]:
    seen = set()
    for place, resource in scope.contained:
        name = resource.get("id")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Broken(place, "invariant", _TWICE)
        elif name not in scope.used:
            yield Broken(place, "invariant", _UNUSED)
        seen.add(name)


def _period(node: _Node) -> Iterator[Broken]:
    value, _, place, _, _, _ = node
    start, end = value.get("start"), value.get("end")
    if isinstance(start, str) and isinstance(end, str) and _later(start, end):
        yield Broken(place, "invariant", _PERIOD)


def _later(one: str, other: str) -> bool:
    """Whether a dateTime is certainly later: days to their common precision, moments exactly."""
    if "T" in one and "T" in other:
        try:
            return datetime.fromisoformat(one) > datetime.fromisoformat(other)
        except (ValueError, TypeError):  # not of this form, which the schema has found, or a leap second
            return False
    common = min(len(one), len(other))
    return "T" not in one + other and one[:common] > other[:common]


def _narrative(node: _Node) -> Iterator[Broken]:
    value, _, place, _, _, _ = node
    div = value.get("div")
    if isinstance(div, str) and (text := narrative.wrong(div)):
        yield Broken((place, "div", None), "invariant", text)


def _bundle(node: _Node) -> Iterator[Broken]:
    value, _, place, _, _, _ = node
    entries = value.get("entry")
    if value.get("type") == "history" or not isinstance(entries, list):
        return
    seen = set()
    for number, entry in enumerate(entries):
        url = entry.get("fullUrl") if isinstance(entry, dict) else None
        if not isinstance(url, str):
            continue
        resource = entry.get("resource")
        meta = resource.get("meta") if isinstance(resource, dict) else None
        version = meta.get("versionId") if isinstance(meta, dict) else None
        name = (url, version if isinstance(version, str) else None)
        if name in seen:
            yield Broken((place, "entry", number), "invariant", _FULL_URL)
        seen.add(name)


_CHECKS: Final[Mapping[str, Callable[[_Node], Iterable[Broken]]]] = {
    "Bundle": _bundle,
    "Narrative": _narrative,
    "Period": _period,
    "Reference": _reference,
}
