"""Which elements a FHIR R4 type has, in the order of R4: the table behind the XML and the validation.

`xml.py` and `rules.py` read it, `validation.py` names places by it. It is made from the definitions of HL7
(tests/fhir/make_r4.py) and must hold nothing that is not in R4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ENTRY: Final = re.compile(r"(?P<at>@?)(?P<name>\w+)(?P<choice>\[x\])?:(?P<kinds>[^*]+)(?P<many>\*?)")
_KIND: Final = re.compile(r"(?P<name>[\w.]+)(?:\((?P<targets>[\w,]+)\))?")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type, as it is named in JSON and in XML; each type of a choice is one."""

    name: str
    #: Its name in FHIRPath, which is without the type of a choice.
    path_name: str
    #: A primitive type, a datatype, `Resource`, or where the elements of it stand, as in Bundle.entry.
    kind: str
    primitive: bool
    many: bool
    #: In XML it is an attribute.
    attribute: bool
    #: The types of resource that a Reference may point to; none stands for all.
    targets: frozenset[str]
    #: Its place among the elements of its type.
    position: int


def _elements(line: str) -> Iterator[Element]:
    position = 0
    for entry in line.split():
        found = _ENTRY.fullmatch(entry)
        assert found is not None, entry
        for kind in _KIND.finditer(found["kinds"]):
            position += 1
            typed = kind["name"][0].upper() + kind["name"][1:] if found["choice"] else ""
            yield Element(
                name=found["name"] + typed,
                path_name=found["name"],
                kind=kind["name"],
                primitive=kind["name"][0].islower(),
                many=bool(found["many"]),
                attribute=bool(found["at"]),
                targets=frozenset((kind["targets"] or "").split(",")) - {""},
                position=position,
            )


def _types() -> dict[str, dict[str, Element]]:
    lines: dict[str, str] = json.loads(Path(__file__).with_name("elements.json").read_text())
    return {kind: {element.name: element for element in _elements(line)} for kind, line in lines.items()}


#: The elements of each type by their names in JSON.
TYPES: Final[Mapping[str, Mapping[str, Element]]] = _types()
#: The types of resource that are read here: only they have rules that they cannot be understood without.
RESOURCES: Final = frozenset(kind for kind, elements in TYPES.items() if "implicitRules" in elements)


def resource_type(value: Any) -> str | None:
    """The type of a resource in JSON's form; nothing for what is no resource that is read here."""
    kind = value.get("resourceType") if isinstance(value, Mapping) else None
    return kind if isinstance(kind, str) and kind in RESOURCES else None


#: The steps that lead to a place, from its end: the place above, the name of the element, its number.
Place = tuple["Place | None", str, int | None]


def path(place: Place | None) -> str:
    """The place as FHIRPath: DocumentReference.content[0].attachment."""
    steps = []
    while place is not None:
        above, name, number = place
        steps.append(name if number is None else f"{name}[{number}]")
        place = above
    return ".".join(reversed(steps))
