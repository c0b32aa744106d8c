"""Code tables as others publish them: FinnKode's code lists, FHIR's CodeSystem and ValueSet, as JSON.

The command `xds codes import` reads a file with `read` and shows `changes`.
What is not understood is refused with the reason: a table that lost codes on the way would refuse documents.
Nothing here may guess which system a code is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xds.errors import DataTypeError
from xds.metadata.codesystems import NATIONAL, CodeSystem, CodeTables, Concept, read_system, with_names
from xds.metadata.datatypes import check_oid

#: System with levels -> ending of a code -> what the codes of that level are for. Neither FinnKode nor FHIR
#: says it, and a code may have the attribute of its level only (docs/codes.md).
_LEVELS: Final = {f"{NATIONAL}.9602": {"00-1": "classCode", "-2": "typeCode"}}
#: What FHIR's CodeSystem.content tells of completeness; all else has no codes of its own.
_CONTENT: Final = {"complete": True, "fragment": False, "example": False}
#: Values of a FHIR concept's property `status` with which a code is no longer in use.
_WITHDRAWN: Final = ("inactive", "retired")

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two editions: `sign` is + added, - removed, ~ renamed, and what was and is."""

    sign: str
    code: str
    text: str


def read(value: Mapping[str, Any], tables: CodeTables, *, complete: bool | None = None) -> CodeSystem:
    """The table that a published file holds; raises DataTypeError.

    `complete` stands instead of what the file says of completeness. What such a file cannot say (parents,
    usage, other languages, further names of the system) is kept from the table in force.
    """
    if value.get("resourceType") == "CodeSystem":
        found = _fhir_code_system(value, tables)
    elif value.get("resourceType") == "ValueSet":
        found = _fhir_value_set(value, tables)
    elif "resourceType" in value:
        raise DataTypeError("it is a FHIR resource that is neither CodeSystem nor ValueSet")
    elif "codeValues" in value:
        found = _finnkode(value)
    else:
        raise DataTypeError(
            "it is neither a code list of FinnKode (with codeValues) nor a FHIR CodeSystem or ValueSet"
        )
    key = found.pop("id")
    before = tables.systems.get(key)
    if complete is not None:
        found["complete"] = complete
    if before is not None:
        found.setdefault("language", before.language)
        if before.oid:
            found["oid"] = before.oid
        if before.name and value.get("resourceType") == "ValueSet":
            found["name"] = before.name  # its own name is that of a selection
    found.setdefault("language", "nb" if key.startswith("2.16.578.") else "en")
    _fill(found, before)
    system = read_system({name: each for name, each in found.items() if each not in ("", [], {})}, key)
    return system if before is None else with_names(system, before.names())


def changes(before: CodeSystem | None, after: CodeSystem) -> Iterator[Change]:
    """What is different in the new table, in the order of its codes; what was removed stands last."""
    old = {} if before is None else before.codes
    for code, concept in after.codes.items():
        earlier = old.get(code)
        if earlier is None:
            yield Change("+", code, _text(concept))
        elif _text(earlier) != _text(concept):
            yield Change("~", code, f"{_text(earlier)} -> {_text(concept)}")
    for code, concept in old.items():
        if code not in after.codes:
            yield Change("-", code, _text(concept))


def _text(concept: Concept) -> str:
    return concept.display if concept.active else f"{concept.display} (withdrawn)"


# ---- FinnKode


def _finnkode(value: Mapping[str, Any]) -> _Row:
    """A code list as `/api/code-systems/adm/codelist/<number>` gives it (schema AdministrativeCodeList)."""
    number = value.get("id")
    if not (isinstance(number, str) and number.isascii() and number.isdigit()):
        raise DataTypeError("id is not the number of a code list")
    rows: dict[str, _Row] = {}
    for position, item in enumerate(_objects(value, "codeValues"), 1):
        code = item.get("value")
        row: _Row = {"code": code, "display": item.get("name")}
        if not (isinstance(code, str) and isinstance(row["display"], str)):
            raise DataTypeError(f"code value {position} has no value or no name")
        row = {name: each.strip() for name, each in row.items()}
        if description := item.get("description"):
            row["definition"] = str(description).strip()
        if item.get("active") is False:
            row["active"] = False
        # Of a code that was changed, an export with inactive codes has every edition.
        same = rows.get(row["code"])
        if same is not None and (active := [r for r in (same, row) if r.get("active", True)]) != [row]:
            if len(active) == 2:
                raise DataTypeError(f"code value {position} stands in the list twice")
            continue
        rows[row["code"]] = row
    edition = value.get("statusLastChanged") or value.get("validFrom") or ""
    return {
        "id": f"{NATIONAL}.{int(number)}",
        "oid": f"{NATIONAL}.{int(number)}",
        "name": _name(value, "name"),
        "source": "FinnKode",
        "version": str(edition).partition("T")[0].strip(),
        "complete": True,
        "language": "nb",
        "codes": list(rows.values()),
    }


# ---- FHIR


def _fhir_code_system(value: Mapping[str, Any], tables: CodeTables) -> _Row:
    content = value.get("content")
    if content not in _CONTENT:
        raise DataTypeError("content of the CodeSystem is not complete, fragment or example: it has no codes")
    url = value.get("url") if isinstance(value.get("url"), str) else ""
    names = [url, *(each.get("value") for each in _objects(value, "identifier", required=False))]
    found = _head(value, _identified([name for name in names if isinstance(name, str)], tables))
    if url and not url.startswith("urn:oid:"):
        found["canonical"] = url
    found["complete"] = _CONTENT[content]
    found["codes"] = list(_concepts(_objects(value, "concept"), ""))
    return found


def _concepts(items: list[Mapping[str, Any]], parent: str) -> Iterator[_Row]:
    """The concepts of a CodeSystem and those below them (FHIR R4 CodeSystem.concept)."""
    for item in items:
        row = _coded(item)
        row["parent"] = parent
        properties: dict[str, str | bool] = {}
        for each in _objects(item, "property", required=False):
            name, values = each.get("code"), [v for key, v in each.items() if key.startswith("value")]
            if not (isinstance(name, str) and len(values) == 1):
                raise DataTypeError("a property of a concept has no code, or not one value")
            if name == "parent":
                row["parent"] = values[0]
            elif name == "inactive" or (name == "status" and values[0] in _WITHDRAWN):
                row["active"] = row.get("active", True) and values[0] in (False, "false")
            elif isinstance(values[0], str | bool):
                properties[name] = values[0]
        row["properties"] = properties
        yield row
        yield from _concepts(_objects(item, "concept", required=False), row["code"])


def _fhir_value_set(value: Mapping[str, Any], tables: CodeTables) -> _Row:
    """The codes of a ValueSet's expansion, or else those that it lists itself (FHIR R4 ValueSet)."""
    rows: list[tuple[Any, _Row]] = []
    expansion, compose = value.get("expansion"), value.get("compose")
    if isinstance(expansion, Mapping):
        rows = list(_expanded(_objects(expansion, "contains")))
        total = expansion.get("total")
        if expansion.get("offset") or (total is not None and total != len(rows)):
            raise DataTypeError("the expansion is one page of several: export it whole")
    elif isinstance(compose, Mapping):
        if compose.get("exclude"):
            raise DataTypeError("the ValueSet excludes codes: export it with its expansion")
        for part in _objects(compose, "include"):
            if part.get("filter") or part.get("valueSet") or not part.get("concept"):
                raise DataTypeError(
                    "the ValueSet includes codes that it does not list: export it with its expansion"
                )
            rows += [(part.get("system"), _coded(item)) for item in _objects(part, "concept")]
    else:
        raise DataTypeError("the ValueSet has neither an expansion nor compose.include")
    systems = {system for system, _ in rows}
    if len(systems) != 1 or not isinstance(system := systems.pop(), str):
        raise DataTypeError("the codes of the ValueSet are not all of one system that is named")
    found = _head(value, _identified([system], tables))
    if not system.startswith("urn:oid:"):
        found["canonical"] = system
    # A selection may leave codes out, and does not say so.
    return found | {"complete": False, "codes": [row for _, row in rows]}


def _expanded(items: list[Mapping[str, Any]]) -> Iterator[tuple[Any, _Row]]:
    for item in items:
        if not (item.get("abstract") and not item.get("code")):
            yield item.get("system"), _coded(item)
        yield from _expanded(_objects(item, "contains", required=False))


def _coded(item: Mapping[str, Any]) -> _Row:
    """What all of FHIR's elements with a code and a display have in common."""
    row: _Row = {"code": item.get("code"), "display": item.get("display")}
    if not (isinstance(row["code"], str) and isinstance(row["display"], str)):
        raise DataTypeError("a concept has no code or no display")
    row = {name: each.strip() for name, each in row.items()}
    if isinstance(definition := item.get("definition"), str):
        row["definition"] = definition.strip()
    if item.get("inactive") is True:
        row["active"] = False
    row["designations"] = {
        _language(each["language"]): each["value"]
        for each in _objects(item, "designation", required=False)
        if isinstance(each.get("language"), str) and isinstance(each.get("value"), str)
    }
    return row


def _head(value: Mapping[str, Any], key: str) -> _Row:
    found: _Row = {
        "id": key,
        "name": _name(value, "title", "name"),
        "source": f"FHIR {value['resourceType']}",
    }
    if isinstance(url := value.get("url"), str):
        found["source"] += f" {url}"
    if isinstance(version := value.get("version"), str):
        found["version"] = version.strip()
    if isinstance(language := value.get("language"), str):
        found["language"] = _language(language)
    if key[:1].isdigit():
        found["oid"] = key
    return found


def _identified(names: list[str], tables: CodeTables) -> str:
    """The id of the system that has these names: an OID that is given, or that of a system known by a URL."""
    oids = {name.removeprefix("urn:oid:") for name in names if name.startswith("urn:oid:")}
    known = {system.id for name in names if (system := tables.system(name)) is not None}
    if len(oids | known) > 1:
        raise DataTypeError("it names more than one code system")
    if not oids | known:
        raise DataTypeError("it names no OID (urn:oid:…) and no system that is known here")
    (found,) = oids | known
    if oids:
        check_oid(found)
    return found


def _fill(found: _Row, before: CodeSystem | None) -> None:
    """Put in what the table in force says and the file cannot."""
    levels = _LEVELS.get(found.get("oid", ""), {})
    codes = {row["code"] for row in found["codes"]}
    for row in found["codes"]:
        usage = next((use for ending, use in levels.items() if row["code"].endswith(ending)), "")
        group = row["code"][:1] + "00-1" if usage == "typeCode" else ""
        earlier = None if before is None else before.codes.get(row["code"])
        if earlier is not None:
            usage, group = usage or earlier.usage, group or earlier.parent
            row["designations"] = {**earlier.designations, **row.get("designations", {})}
            row["properties"] = {**earlier.properties, **row.get("properties", {})}
        row["usage"] = usage
        row["parent"] = row.get("parent") or (group if group in codes else "")
        for name in ("designations", "properties", "parent", "usage"):
            if not row.get(name):
                row.pop(name, None)


def _language(tag: str) -> str:
    """The language of a tag such as nb-NO; `no` is what senders write for nb."""
    own = tag.partition("-")[0].lower()
    return "nb" if own == "no" else own


def _name(value: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        if isinstance(name := value.get(key), str) and name.strip():
            return name.strip()
    raise DataTypeError(f"it has no {' and no '.join(keys)}")


def _objects(value: Mapping[str, Any], key: str, *, required: bool = True) -> list[Mapping[str, Any]]:
    found = value.get(key)
    if found is None and not required:
        return []
    if not (isinstance(found, list) and found and all(isinstance(item, dict) for item in found)):
        raise DataTypeError(f"{key} is not a list of objects, or is empty")
    return found
