"""What FHIR R4 itself asks of a resource: the schema, and of an AuditEvent what no schema can state.

`tests/audit/profiles.py` calls it for events; other tests call `schema_problems` for bundles, outcomes and
the capability statement. It must know nothing of Norway, of IHE or of this product, and judge by R4 alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.audit.reading import Check, Node, behind, contained, everywhere, nodes, numbered, text, texts

SCHEMA = Path(__file__).with_name("r4.schema.json")

_DATE = re.compile(r"^(\d{4})-(\d{2})-(\d{2})")
_INSTANT = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$")
_ZONE = re.compile(r"(?:T.*)(Z|[+-]\d{2}:\d{2})$")
_ABSOLUTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")
_BASE64 = re.compile(r"(?:^|\.)(?:query|valueBase64Binary)$")
_DATES = re.compile(r"(?:^|\.)(?:recorded|start|end|birthDate|lastUpdated|value(?:Date|DateTime|Instant))$")
_SYSTEM = re.compile(r"(?:^|\.)system$")


@cache
def _validator() -> Any:
    return jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))


def schema_problems(resource: Any) -> list[str]:
    """Where a resource breaks the R4 schema; any resource that make_r4_schema.py names."""
    return [_told(error) for error in _validator().iter_errors(resource)]


def _told(error: Any) -> str:
    """Where it is and which keyword; for a choice, what there was to choose from."""
    place = ""
    for step in error.instance_path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    detail = error.message
    if error.kind.name in ("anyOf", "oneOf"):
        rule: Any = json.loads(SCHEMA.read_text())
        for step in error.schema_path:
            rule = rule[step]
        names = dict.fromkeys(name for path, name in everywhere(rule) if re.search(r"required\[\d+\]$", path))
        wanted = "one of" if error.kind.name == "anyOf" else "exactly one of"
        detail = f"{wanted} {', '.join(name for name in names if not name.startswith('_'))}"
    return f"{place or 'resource'}: {error.kind.name}: {detail} [R4 schema]"


def _name_or_query(event: Node) -> Iterator[str]:
    for path, entity in numbered(event, "entity"):
        if "name" in entity and "query" in entity:
            yield f"{path}: name and query exclude each other"


def _no_contained_in_contained(event: Node) -> Iterator[str]:
    for name, resource in contained(event).items():
        if "contained" in resource:
            yield f"contained {name}: contains a resource itself"


def _contained_ids(event: Node) -> Iterator[str]:
    ids = [text(resource, "id") for resource in nodes(event, "contained")]
    for name in sorted(set(ids)):
        if not name:
            yield "contained: a resource without an id"
        elif ids.count(name) > 1:
            yield f"contained {name}: the id is there twice"


def _contained_is_referenced(event: Node) -> Iterator[str]:
    # The invariant also lets through what refers to the container ("#").
    used = {
        value for path, value in everywhere(event) if path.endswith(".reference") and isinstance(value, str)
    }
    for name, resource in contained(event).items():
        to_container = any(value == "#" for path, value in everywhere(resource) if path.endswith("reference"))
        if f"#{name}" not in used and not to_container:
            yield f"contained {name}: nothing refers to it"


def _contained_meta(event: Node) -> Iterator[str]:
    for name, resource in contained(event).items():
        for key in ("versionId", "lastUpdated", "security"):
            if text(resource, f"meta.{key}") or nodes(resource, f"meta.{key}"):
                yield f"contained {name}: meta.{key} is not for contained resources"


def _references_resolve(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        if not path.endswith("reference") or not isinstance(value, str):
            continue
        if value.startswith("#") and value != "#" and value[1:] not in contained(event):
            yield f"{path}: no contained resource {value}"


@dataclass(frozen=True, slots=True)
class Target:
    """Which types of resource a Reference may point to."""

    place: str  # a regular expression for the path, below an event or a contained resource
    types: tuple[str, ...]


_ACTORS = ("PractitionerRole", "Practitioner", "Organization", "Device", "Patient", "RelatedPerson")
TARGETS = (
    Target(r"^agent\[\d+\]\.who$", _ACTORS),
    Target(r"^agent\[\d+\]\.location$", ("Location",)),
    Target(r"^source\.observer$", _ACTORS),
    Target(r"^PractitionerRole\.practitioner$", ("Practitioner",)),
    Target(r"^PractitionerRole\.organization$", ("Organization",)),
    Target(r"^PractitionerRole\.location\[\d+\]$", ("Location",)),
    Target(r"^Location\.managingOrganization$", ("Organization",)),
    Target(r"^Location\.partOf$", ("Location",)),
    Target(r"^Organization\.partOf$", ("Organization",)),
    Target(r"^Encounter\.serviceProvider$", ("Organization",)),
    Target(r"^Encounter\.location\[\d+\]\.location$", ("Location",)),
    Target(r"^Encounter\.subject$", ("Patient", "Group")),
    Target(r"^RelatedPerson\.patient$", ("Patient",)),
    Target(r"^Patient\.managingOrganization$", ("Organization",)),
    Target(r"^Device\.owner$", ("Organization",)),
    Target(r"(^|\.)assigner$", ("Organization",)),
)


def _reference_targets(event: Node) -> Iterator[str]:
    outer = {key: value for key, value in event.items() if key != "contained"}
    places = list(everywhere(outer))
    for resource in nodes(event, "contained"):
        kind = text(resource, "resourceType")
        places += [(f"{kind}.{path}", value) for path, value in everywhere(resource)]
    for path, value in places:
        for target in TARGETS if isinstance(value, dict) else ():
            if re.search(target.place, path):
                kind = _kind_of_target(event, value)
                if kind and kind not in target.types:
                    yield f"{path}: refers to a {kind}, not to {' or '.join(target.types)}"


def _kind_of_target(event: Node, reference: Any) -> str:
    """What a Reference points to, by the contained resource, the relative address or its own word for it."""
    inside = behind(event, reference)
    if inside is not None:
        return text(inside, "resourceType")
    relative = re.match(
        r"^(?:https?://\S+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}", text(reference, "reference")
    )
    return relative[1] if relative else text(reference, "type")


def _references_say_something(event: Node) -> Iterator[str]:
    # R4 references: "At least one of reference, identifier and display SHALL be present (unless an extension
    # is)".
    for path, value in everywhere(event):
        key = path.rpartition(".")[2].partition("[")[0]
        if key in (
            "who",
            "what",
            "observer",
            "valueReference",
            "practitioner",
            "managingOrganization",
        ) and not (
            {"reference", "identifier", "display", "extension"}
            & set(value if isinstance(value, dict) else ())
        ):
            yield f"{path}: a Reference without reference, identifier and display"


def _real_dates(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        match = _DATE.match(value) if isinstance(value, str) and _DATES.search(path) else None
        if match:
            try:
                date(*(int(part) for part in match.groups()))
            except ValueError:
                yield f"{path}: no such day"


def _recorded_is_an_instant(event: Node) -> Iterator[str]:
    if not _INSTANT.match(text(event, "recorded")):
        yield "recorded: not an instant to the second with its zone"


def _periods(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        if not isinstance(value, dict):
            continue
        start, end = text(value, "start"), text(value, "end")
        # As text only days, or moments in one zone, can be compared; others are let through.
        same = [_ZONE.search(moment) for moment in (start, end)]
        zones = {zone[1] if zone else "" for zone in same}
        if start and end and len(zones) == 1 and len(start) == len(end) and start > end:
            yield f"{path}: ends before it starts"


def _base64(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        if isinstance(value, str) and _BASE64.search(path):
            compact = "".join(value.split())
            try:
                again = base64.b64encode(base64.b64decode(compact, validate=True)).decode()
            except ValueError:
                again = ""
            # The decoder passes over padding that is too long, and over bits that are left.
            if again != compact:
                yield f"{path}: not base64"


def _absolute_systems(event: Node) -> Iterator[str]:
    # ContactPoint.system is a code: phone, email, url …
    for path, value in everywhere(event):
        if (
            isinstance(value, str)
            and _SYSTEM.search(path)
            and "telecom" not in path
            and not _ABSOLUTE.match(value)
        ):
            yield f"{path}: not an absolute URI"


_URNS = {
    "urn:oid:": re.compile(r"^urn:oid:[0-2](\.(0|[1-9]\d*))+$"),
    "urn:uuid:": re.compile(r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
}


def _urns(event: Node) -> Iterator[str]:
    # Systems, urls and values that say of themselves that they are URIs. A value under another system, or
    # none, may be what somebody else wrote, a wsa:MessageID for instance, and is let through.
    for path, value in everywhere(event):
        if isinstance(value, str) and re.search(r"(?:^|\.)(?:system|url)$", path):
            yield from _urn(path, value)
        if isinstance(value, dict) and value.get("system") == "urn:ietf:rfc:3986":
            told = text(value, "value")
            yield from _urn(f"{path}.value", told)
            if not _ABSOLUTE.match(told):
                yield f"{path}.value: not a URI, as its system says"


def _urn(path: str, value: str) -> Iterator[str]:
    for start, form in _URNS.items():
        if value.lower().startswith(start) and not form.match(value):
            yield f"{path}: not a right {start[:-1]}"


def _codes_without_white_space(event: Node) -> Iterator[str]:
    # R4 permits one space inside a code; none at an end, and no other white space.
    for path, value in everywhere(event):
        if isinstance(value, str) and re.search(r"(?:^|\.)code$", path) and value != " ".join(value.split()):
            yield f"{path}: white space in a code"


def _named_organizations(event: Node) -> Iterator[str]:
    for name, resource in contained(event).items():
        if resource.get("resourceType") == "Organization" and not (
            text(resource, "name") or nodes(resource, "identifier")
        ):
            yield f"contained {name}: an Organization with neither name nor identifier"


def _contact_points(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        if re.search(r"telecom\[\d+\]$", path) and texts(value, "value") and not text(value, "system"):
            yield f"{path}: a value without its system"


def _nothing_empty(event: Node) -> Iterator[str]:
    # The schema finds most of these; null and blank text are found here whatever they are of.
    for path, value in everywhere(event):
        if value is None or (
            isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value)
        ):
            yield f"{path}: empty"


CHECKS = (
    Check("R4 sev-1", _name_or_query),
    Check("R4 dom-2", _no_contained_in_contained),
    Check("R4 references, contained: id", _contained_ids),
    Check("R4 dom-3", _contained_is_referenced),
    Check("R4 dom-4, dom-5", _contained_meta),
    Check("R4 ref-1", _references_resolve),
    Check("R4 StructureDefinitions: targetProfile", _reference_targets),
    Check("R4 references", _references_say_something),
    Check("R4 datatypes: dates SHALL be valid dates", _real_dates),
    Check("R4 datatypes: instant", _recorded_is_an_instant),
    Check("R4 per-1", _periods),
    Check("R4 datatypes: base64Binary", _base64),
    Check("R4 Identifier.system, Coding.system: absolute", _absolute_systems),
    Check("R4 datatypes: oid, uuid; RFC 4122, 3061", _urns),
    Check("R4 datatypes: code", _codes_without_white_space),
    Check("R4 org-1", _named_organizations),
    Check("R4 cpt-2", _contact_points),
    Check("R4 ele-1", _nothing_empty),
)
