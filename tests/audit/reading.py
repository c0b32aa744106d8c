"""How the checks of the access log look into an event, and what a check is.

Every module of checks uses it. An event under judgement may be wrong in any way, so nothing here raises: what
has not the shape that is asked for is passed over, and the schema alone says that its shape is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: where it is written, and what finds all its breaches in an event."""

    source: str
    find: Callable[[Node], Iterable[str]]


def found(checks: Iterable[Check], event: Node) -> list[str]:
    """The breaches of all these rules, each with its source."""
    return [f"{problem} [{check.source}]" for check in checks for problem in check.find(event)]


def values(node: Any, path: str = "") -> list[Any]:
    """Everything at a dotted path; arrays on the way are walked through."""
    here = [node]
    for step in path.split(".") if path else ():
        here = [item[step] for item in _flat(here) if isinstance(item, Mapping) and step in item]
    return list(_flat(here))


def nodes(node: Any, path: str = "") -> list[Node]:
    """The objects at a dotted path."""
    return [value for value in values(node, path) if isinstance(value, Mapping)]


def texts(node: Any, path: str = "") -> list[str]:
    """The strings at a dotted path."""
    return [value for value in values(node, path) if isinstance(value, str)]


def text(node: Any, path: str = "") -> str:
    """The first string at a dotted path, or an empty one."""
    return next(iter(texts(node, path)), "")


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def code(coding: Any) -> tuple[str, str]:
    """System and code of one Coding."""
    return text(coding, "system"), text(coding, "code")


def codes(concept: Any) -> set[tuple[str, str]]:
    """System and code of each coding of one CodeableConcept."""
    return {code(coding) for coding in nodes(concept, "coding")}


def everywhere(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below a node with its path, as `agent[0].who`; parents before their children."""
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(node, Mapping):
        items = [(f"{path}.{key}" if path else str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        items = [(f"{path}[{place}]", value) for place, value in enumerate(node)]
    for below, value in items:
        yield below, value
        yield from everywhere(value, below)


def numbered(event: Node, name: str) -> list[tuple[str, Node]]:
    """The objects of an array of the event, each with its path."""
    whole = event.get(name)
    items = whole if isinstance(whole, list) else []
    return [(f"{name}[{place}]", item) for place, item in enumerate(items) if isinstance(item, Mapping)]


def contained(event: Node) -> dict[str, Node]:
    """The contained resources by their ids."""
    return {text(resource, "id"): resource for resource in nodes(event, "contained")}


def behind(event: Node, reference: Any) -> Node | None:
    """The contained resource that a Reference points to."""
    target = text(reference, "reference")
    return contained(event).get(target[1:]) if target.startswith("#") else None


def extensions(node: Any, url: str) -> list[Node]:
    """The extensions of a node that have this url."""
    return [extension for extension in nodes(node, "extension") if extension.get("url") == url]


def agents_of(event: Node, kind: tuple[str, str]) -> list[tuple[str, Node]]:
    """The agents whose type has this coding."""
    return [(path, agent) for path, agent in numbered(event, "agent") if kind in codes(agent.get("type"))]
