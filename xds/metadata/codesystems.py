"""Code tables: which codes a code system has, what they mean, and by which names messages call the system.

`built_in` reads the tables of the folder codesystems/ once for each process; `load` lays the operator's own
over them (setting `codes.folder`). code_rules.py judges by them and the command `xds codes` shows them.
A table is data: nothing here may know which attribute takes which system, nor alter what a table says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from xds.errors import DataTypeError, SettingsError
from xds.metadata.datatypes import check_oid
from xds.metadata.model import LocalizedString

#: The arc under which the Norwegian code systems have their numbers.
NATIONAL: Final = "2.16.578.1.12.4.1.1"
#: The languages of the built-in tables (BCP 47).
LANGUAGES: Final = ("nb", "en")
#: Code systems that messages use and of which there is no table here, by OID; some have no known name.
#: Licensed, or very large: an operator who may use one can import it.
WITHOUT_TABLE: Final[Mapping[str, str]] = {
    f"{NATIONAL}.7010": "NORPAT",
    f"{NATIONAL}.7110": "ICD-10",
    f"{NATIONAL}.7210": "",
    f"{NATIONAL}.7220": "",
    f"{NATIONAL}.7270": "NCRP",
    f"{NATIONAL}.7280": "Norsk laboratoriekodeverk",
}

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
#: As in a message: a slot value and a code are 256 characters at most, a localized text 1024 (ebRIM 3.0).
_CODE_LENGTH: Final = 256
_TEXT_LENGTH: Final = 1024
#: The largest file that is read; the greatest system in use here would need a tenth of it.
LARGEST: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Concept:
    """One code.

    `display` is in the language of its system, `designations` has it in others, by language.
    `parent` is the code of the group it belongs to, `usage` the attribute it is made for, if any.
    `active` is False for a code that is withdrawn. `properties` are facts that the node does not act on.
    """

    code: str
    display: str
    designations: Mapping[str, str] = field(default_factory=lambda: _NONE)
    definition: str = ""
    parent: str = ""
    usage: str = ""
    active: bool = True
    properties: Mapping[str, str | bool] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """One code system as a table of this edition has it.

    `id` is the OID, or a name of ours where there is none; it is the name of the file.
    `complete` tells whether a code that is not in `codes` does not exist.
    `alternatives` are names that messages use beside OID and `canonical`.
    A system without codes is known by name only.
    """

    id: str
    oid: str
    name: str
    complete: bool
    codes: Mapping[str, Concept]
    source: str = ""
    version: str = ""
    language: str = "nb"
    canonical: str = ""
    alternatives: tuple[str, ...] = ()
    note: str = ""

    def names(self) -> tuple[str, ...]:
        """Everything by which a message may call it."""
        own = (self.oid, f"urn:oid:{self.oid}") if self.oid else (self.id,)
        return (*own, *filter(None, (self.canonical,)), *self.alternatives)

    def text(self, code: str, language: str) -> LocalizedString | None:
        """The display of a code in a language, or in the system's own; None for an unknown code."""
        concept = self.codes.get(code)
        if concept is None:
            return None
        if language in concept.designations:
            return LocalizedString(concept.designations[language], language)
        return LocalizedString(concept.display, self.language)


@dataclass(frozen=True, slots=True)
class CodeTables:
    """All code systems by their ids; `aliases` has every name of each, with its id."""

    systems: Mapping[str, CodeSystem]
    aliases: Mapping[str, str] = field(repr=False)

    def system(self, scheme: str) -> CodeSystem | None:
        """The system that a message calls `scheme`: OID with or without urn:oid:, URL, or another name."""
        own = self.aliases.get(scheme)
        return None if own is None else self.systems[own]

    def concept(self, code: str, scheme: str) -> Concept | None:
        """The code in that system; None when one of the two is unknown."""
        system = self.system(scheme)
        return None if system is None else system.codes.get(code)

    def display(self, code: str, scheme: str, language: str) -> str | None:
        """What the code means, in that language when there is a text in it."""
        system = self.system(scheme)
        text = None if system is None else system.text(code, language)
        return None if text is None else text.value


@cache
def built_in() -> CodeTables:
    """The tables that come with this version, and the systems that are known by name only."""
    from importlib import resources  # which the client's commands do without

    files = resources.files("xds").joinpath("codesystems")
    found = [
        _parse(file.read_bytes(), file.name.removesuffix(".json"))
        for file in files.iterdir()
        if file.name.endswith(".json")
    ]
    named = [CodeSystem(oid, oid, name, False, _NONE) for oid, name in WITHOUT_TABLE.items()]
    return _tables(sorted([*found, *named], key=_order))


def load(folder: Path | None = None) -> CodeTables:
    """The built-in tables, those of the folder instead of them or beside them; raises SettingsError."""
    tables = built_in()
    if folder is None:
        return tables
    own: dict[str, CodeSystem] = {}
    errors: list[str] = []
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".json" and path.name[0] != ".")
    except OSError as error:
        raise SettingsError(f"codes.folder cannot be read: {error.strerror}") from None
    for path in files:
        try:
            own[path.stem] = _parse(read_bytes(path), path.stem)
        except DataTypeError as error:
            errors.append(f"codes.folder: {path.name}: {error}")
        except OSError as error:
            errors.append(f"codes.folder: {path.name} cannot be read: {error.strerror}")
    if errors:
        raise SettingsError("\n".join(errors))
    # What a message may call a system does not depend on who wrote its table.
    for key, system in own.items():
        if before := tables.systems.get(key):
            own[key] = with_names(system, before.names())
    try:
        return _tables(sorted((dict(tables.systems) | own).values(), key=_order))
    except DataTypeError as error:
        raise SettingsError(f"codes.folder: {error}") from None


def with_names(system: CodeSystem, names: Iterable[str]) -> CodeSystem:
    """The system, known by these names too."""
    more = tuple(name for name in names if name not in system.names())
    return replace(system, alternatives=(*system.alternatives, *more)) if more else system


def read_bytes(path: Path) -> bytes:
    """The content of a file of codes; raises DataTypeError when it is too large to be one."""
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise DataTypeError(f"it is larger than {LARGEST:,} bytes")
    return data


def read_json(data: bytes) -> dict[str, Any]:
    """The JSON object that the bytes hold; raises DataTypeError."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataTypeError("it is not UTF-8") from None
    except (ValueError, RecursionError):
        raise DataTypeError("it is not JSON") from None
    if not isinstance(value, dict):
        raise DataTypeError("it is not a JSON object")
    return value


def read_system(value: Mapping[str, Any], id: str) -> CodeSystem:
    """The table that an object in our format holds (docs/codes.md); raises DataTypeError."""
    _only(value, _SYSTEM_KEYS, "the table")
    oid = _text(value, "oid", "", _CODE_LENGTH)
    if oid:
        check_oid(oid)
    if id != (oid or id):
        raise DataTypeError(f"the file of a table is named by its OID: {oid}.json")
    codes: dict[str, Concept] = {}
    for number, item in enumerate(_list(value, "codes"), 1):
        place = f"code {number}"
        if not isinstance(item, dict):
            raise DataTypeError(f"{place} is not an object")
        concept = _concept(item, place)
        if codes.setdefault(concept.code, concept) is not concept:
            raise DataTypeError(f"{place} stands in the table twice")
    if not codes:
        raise DataTypeError("the table has no codes")
    for number, concept in enumerate(codes.values(), 1):
        if concept.parent and (concept.parent == concept.code or concept.parent not in codes):
            raise DataTypeError(f"the parent of code {number} is no other code of the table")
    alternatives = tuple(_list(value, "alternatives")) if "alternatives" in value else ()
    if not all(isinstance(name, str) and name.strip() for name in alternatives):
        raise DataTypeError("alternatives is not a list of names")
    return CodeSystem(
        id,
        oid,
        _text(value, "name"),
        _flag(value, "complete"),
        MappingProxyType(codes),
        _text(value, "source", ""),
        _text(value, "version", ""),
        _text(value, "language", "nb"),
        _text(value, "canonical", ""),
        alternatives,
        _text(value, "note", "", 10 * _TEXT_LENGTH),
    )


def write_system(system: CodeSystem) -> bytes:
    """The table in our format: a line for each code, so that a comparison of two editions is readable."""
    head: dict[str, Any] = {
        "oid": system.oid,
        "name": system.name,
        "source": system.source,
        "version": system.version,
        "complete": system.complete,
        "language": system.language,
        "canonical": system.canonical,
        "alternatives": list(system.alternatives),
        "note": system.note,
    }
    given = {key: value for key, value in head.items() if value not in ("", [])}
    rows = []
    for concept in system.codes.values():
        row: dict[str, Any] = {"code": concept.code, "display": concept.display}
        if concept.designations:
            row["designations"] = dict(concept.designations)
        if not concept.active:
            row["active"] = False
        for key in ("definition", "parent", "usage"):
            if text := getattr(concept, key):
                row[key] = text
        if concept.properties:
            row["properties"] = dict(concept.properties)
        rows.append("    " + json.dumps(row, ensure_ascii=False))
    top = json.dumps(given, indent=2, ensure_ascii=False).removesuffix("\n}")
    return (f'{top},\n  "codes": [\n' + ",\n".join(rows) + "\n  ]\n}\n").encode()


_SYSTEM_KEYS: Final = frozenset(
    ("oid", "name", "source", "version", "complete", "language", "canonical", "alternatives", "note", "codes")
)
_CONCEPT_KEYS: Final = frozenset(
    ("code", "display", "designations", "definition", "parent", "usage", "active", "properties")
)


def _parse(data: bytes, id: str) -> CodeSystem:
    return read_system(read_json(data), id)


def _concept(item: Mapping[str, Any], place: str) -> Concept:
    _only(item, _CONCEPT_KEYS, place)
    designations, properties = item.get("designations", _NONE), item.get("properties", _NONE)
    if not (
        isinstance(designations, Mapping)
        and all(isinstance(text, str) and text.strip() for text in designations.values())
    ):
        raise DataTypeError(f"designations of {place} is not an object of language and text")
    if not (
        isinstance(properties, Mapping) and all(isinstance(each, str | bool) for each in properties.values())
    ):
        raise DataTypeError(f"properties of {place} is not an object of texts and truth values")
    return Concept(
        _text(item, "code", None, _CODE_LENGTH, place),
        _text(item, "display", None, _TEXT_LENGTH, place),
        designations,
        _text(item, "definition", "", 10 * _TEXT_LENGTH, place),
        _text(item, "parent", "", _CODE_LENGTH, place),
        _text(item, "usage", "", _CODE_LENGTH, place),
        _flag(item, "active", True, place),
        properties,
    )


def _tables(systems: Iterable[CodeSystem]) -> CodeTables:
    by_id = {system.id: system for system in systems}
    aliases: dict[str, str] = {}
    for system in by_id.values():
        for name in system.names():
            if aliases.setdefault(name, system.id) != system.id:
                raise DataTypeError(f"{system.id} and {aliases[name]} have a name in common")
    return CodeTables(MappingProxyType(by_id), MappingProxyType(aliases))


def _order(system: CodeSystem) -> tuple[bool, list[int], str]:
    """OIDs by their numbers, then the systems that have none."""
    return not system.oid, [int(arc) for arc in system.oid.split(".") if arc], system.id


def _only(value: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    if not value.keys() <= known:
        raise DataTypeError(
            f"{place} has a member that is not known here; known are {', '.join(sorted(known))}"
        )


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise DataTypeError(f"{key} is not a list")
    return found


def _text(
    value: Mapping[str, Any],
    key: str,
    default: str | None = None,
    most: int = _TEXT_LENGTH,
    place: str = "the table",
) -> str:
    found = value.get(key, default)
    if not isinstance(found, str) or found != found.strip() or (default is None and not found):
        raise DataTypeError(f"{key} of {place} is not a text, or begins or ends with a blank")
    if len(found) > most:
        raise DataTypeError(f"{key} of {place} is longer than {most} characters")
    return found


def _flag(value: Mapping[str, Any], key: str, default: bool | None = None, place: str = "the table") -> bool:
    found = value.get(key, default)
    if not isinstance(found, bool):
        raise DataTypeError(f"{key} of {place} is not true or false")
    return found
