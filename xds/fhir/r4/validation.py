"""Whether a resource is R4, and what an OperationOutcome says where it is not.

Those who receive resources call `problems`, before anything else reads them. It judges by R4 alone, of any
profile and of the addresses of other servers it knows nothing. It must never tell a value or a name that was
sent: places are made of R4's own names, and the sentences are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

import jsonschema_rs
import orjson

from xds.fhir.r4 import rules
from xds.fhir.r4.elements import TYPES, Element, Place, path, resource_type
from xds.fhir.r4.schema import document, validator

#: Members of objects and arrays up to which all errors of the schema are told: finding one costs 12 µs.
MOST_MEMBERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a resource."""

    #: Where, as FHIRPath: Bundle.entry[0].resource.status.
    expression: str
    #: A code of http://hl7.org/fhir/issue-type.
    code: str
    #: What is wrong there; it holds nothing that was sent.
    text: str


_NO_RESOURCE: Final = Problem(
    "Resource", "structure", "This is no FHIR resource of a type that is read here."
)
_NO_JSON: Final = Problem(
    "Resource",
    "structure",
    "The resource is nested deeper than 254 levels, or has a number or text that JSON cannot carry.",
)


def problems(resource: Mapping[str, Any], most: int = 100) -> list[Problem]:
    """What is wrong with a resource as JSON has it, at most so many things; nothing if it is R4.

    What is in it must be of the types that JSON is read into. It takes 10 µs for the schema and 0.5 µs for
    each object.
    """
    kind = resource_type(resource)
    if kind is None:
        return [_NO_RESOURCE]
    whole = dict(resource)
    try:
        # The schema is judged by recursion in compiled code, which a deeper resource would bring down.
        size = orjson.dumps(whole, default=str).count(b",")
    except TypeError:
        return [_NO_JSON]
    form = (_told(whole, error) for error in _errors(whole, size))
    broken = (Problem(path(place), code, text) for place, code, text in rules.broken(whole, kind))
    return list(islice(chain(form, broken), most))


def _errors(resource: dict[str, Any], size: int) -> Iterator[jsonschema_rs.ValidationError]:
    """What the schema says; of a very large resource only the first thing."""
    judge = validator()
    if judge.is_valid(resource):
        return
    if size > MOST_MEMBERS:
        try:
            judge.validate(resource)
        except jsonschema_rs.ValidationError as error:
            yield error
        return
    # What is not even an object breaks every rule of its definition: one of them is enough.
    told: set[tuple[str | int, ...]] = set()
    for found in judge.iter_errors(resource):
        place = tuple(found.instance_path)
        if place not in told:
            yield found
        if found.kind.name == "type":
            told.add(place)


#: Which keyword of the schema is which kind of issue, and what is told of it. `type` is a type of R4 or the
#: name of a value set, `missing` an element, and both are written in the schema.
_ISSUES: Final = {
    "additionalProperties": ("structure", "There is an element here that R4 does not know."),
    "array": ("structure", "The element can be repeated, but is not an array."),
    "choice": ("structure", "There are more elements than one of {missing}."),
    "day": ("value", "The value is not of the form of the type {type}, or there is no such day."),
    "enum": ("code-invalid", "The code is none of the value set {type}."),
    "maxLength": ("value", "The text is longer than the type {type} permits."),
    "maximum": ("value", "The number is too large for the type {type}."),
    "minItems": ("structure", "The array is empty: leave it out."),
    "minLength": ("value", "The text is shorter than the type {type} permits."),
    "minProperties": ("structure", "The element is empty: leave it out."),
    "minimum": ("value", "The number is too small for the type {type}."),
    "object": ("structure", "The element is not an object."),
    "pattern": ("value", "The value is not of the form of the type {type}."),
    "required": ("required", "The element {missing} is missing."),
    "resourceType": ("structure", _NO_RESOURCE.text),
    "type": ("value", "The value is not of the JSON type that belongs to {type}."),
}
_DAYS: Final = frozenset({"date", "dateTime", "instant"})


def _told(resource: dict[str, Any], error: jsonschema_rs.ValidationError) -> Problem:
    """An error of the schema in words of ours: its own quote what was sent."""
    rule: Any = document()
    above: Any = rule
    invariant = ""
    for step in error.schema_path:
        above, rule = rule, rule[step]
        # Among properties it is the element of that name and no text.
        if isinstance(rule, dict) and isinstance(told := rule.get("description"), str):
            invariant = told
    expression = _expression(resource, error.instance_path)
    if invariant:
        return Problem(expression, "invariant", invariant)
    defined = str(error.schema_path[1]).removesuffix("?").replace("Reference.type", "resource-types")
    row, missing = _row(error, defined, above)
    code, text = _ISSUES[row]
    return Problem(expression, code, text.format(type=defined, missing=missing))


def _row(error: jsonschema_rs.ValidationError, defined: str, above: Mapping[str, Any]) -> tuple[str, str]:
    """The row of _ISSUES for an error, and the element that is missing."""
    kinds, keyword = jsonschema_rs.ValidationErrorKind, error.kind.name
    if isinstance(error.kind, kinds.Required):
        missing = error.kind.property
        return ("resourceType", "") if missing == "resourceType" else ("required", missing)
    if keyword == "oneOf":
        return ("required" if isinstance(error.kind, kinds.OneOfNotValid) else "choice"), above["$comment"]
    if keyword == "anyOf":
        return ("enum", "") if defined == "resource-types" else ("required", above["anyOf"][0]["required"][0])
    if keyword == "enum" and error.instance_path[-1] == "resourceType":
        return "resourceType", ""
    if keyword == "type" and above["type"] == "array":
        return "array", ""
    if keyword == "type" and defined[0].isupper():
        return "object", ""
    return ("day" if keyword == "pattern" and defined in _DAYS else keyword), ""


def _expression(resource: Any, steps: Sequence[str | int]) -> str:
    """A path of JSON as FHIRPath, of R4's names alone."""
    place: Place = (None, resource["resourceType"], None)
    elements: Mapping[str, Element] = TYPES[resource["resourceType"]]
    for step in steps:
        resource = resource[step]
        if isinstance(step, int):
            place = (place[0], place[1], step)
        elif (element := elements.get(step) or elements.get(step.removeprefix("_"))) is not None:
            place = (place, element.path_name, None)
            elements = TYPES.get("Element" if element.primitive else element.kind, {})
        if (kind := resource_type(resource)) is not None:
            elements = TYPES[kind]
    return path(place)
