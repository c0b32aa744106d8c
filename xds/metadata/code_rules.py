"""Which codes an attribute takes: the Norwegian profile as one table, judged against the code tables.

Gate 0 (validation.py) asks `CodeRules.check` about each object of a message; who registers calls `filled` for
the display names that the sender left out.
A display name that was sent is never looked at nor changed, whichever edition it is of (ITI TF-2
3.42.4.1.3.3.3), and nothing here may quote a value of a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from xds.errors import Code
from xds.metadata import attributes
from xds.metadata.attributes import AUTHOR_SLOTS, Children, Coding, Table, slot_values
from xds.metadata.codesystems import NATIONAL, CodeSystem, CodeTables
from xds.metadata.model import LocalizedString, RegistryObject
from xds.metadata.rules import Rule

DOCUMENT_TYPES: Final = f"{NATIONAL}.9602"
HL7_CONFIDENTIALITY: Final = "2.16.840.1.113883.5.25"
IHE_FORMATS: Final = "1.3.6.1.4.1.19376.1.2.3"
#: The id of a table without OID.
NORWEGIAN_FORMATS: Final = "no-formatcode"


@dataclass(frozen=True, slots=True)
class Coded:
    """One line of the profile: an attribute and the systems that it takes.

    `table` is the table of the object (DE, SS). `usage` is what a code of a system with levels must be for.
    `namespaces` are beginnings of codes that another table lists, with its id; a system of `systems` stands
    for it in messages. Codes that begin as one of `tolerated` are in no table.
    `withdrawn` tells whether a code that is no longer in use is taken: documents are older than editions.
    """

    table: str
    attribute: str
    systems: tuple[str, ...]
    usage: str = ""
    namespaces: tuple[tuple[str, str], ...] = ()
    tolerated: tuple[str, ...] = ()
    withdrawn: bool = True


def _national(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{NATIONAL}.{number}" for number in numbers)


_ROLES: Final = _national(9034, 9060)
_SPECIALTIES: Final = _national(7426)

# fmt: off
#: The profile, for each object in the order of its table of attributes. Attributes that are not here take
#: anything: Folder.codeList and associationDocumentation, for which the profile has nothing.
PROFILE: Final = (
    Coded("DE", "authorRole", _ROLES),
    Coded("DE", "authorSpecialty", _SPECIALTIES),
    Coded("DE", "classCode", (DOCUMENT_TYPES,), usage="classCode"),
    # A level of HL7 and a reason to block or refuse, each a code of its own; N stands in both systems.
    # Access is decided by it: an old spelling, on which nobody acts, must not pass for a refusal.
    Coded("DE", "confidentialityCode", (HL7_CONFIDENTIALITY, *_national(9603)), withdrawn=False),
    # 7210 is what the national peer looks up; of none of these is there a table here.
    Coded("DE", "eventCodeList", _national(7010, 7110, 7210, 7220, 7270, 7280)),
    # All of them are sent as codes of the IHE system or under its name FormatCodes; the namespace of a
    # KITH message is a format too.
    Coded("DE", "formatCode", (IHE_FORMATS,), namespaces=(("urn:no:", NORWEGIAN_FORMATS),),
          tolerated=("http://www.kith.no/xmlstds/", "urn:no:kith:xmlstds:")),
    Coded("DE", "healthcareFacilityTypeCode", _national(1303, 1305)),
    # 8654 and 8655 are withdrawn for addressing only.
    Coded("DE", "practiceSettingCode", _national(8651, 8653, 8654, 8655, 8663)),
    Coded("DE", "typeCode", (DOCUMENT_TYPES,), usage="typeCode"),
    Coded("SS", "authorRole", _ROLES),
    Coded("SS", "authorSpecialty", _SPECIALTIES),
    Coded("SS", "contentTypeCode", (DOCUMENT_TYPES,)),
)
# fmt: on


def systems_of(attribute: str) -> tuple[str, ...]:
    """The systems that the profile has for an attribute of a document entry."""
    return next(line.systems for line in PROFILE if line.table == "DE" and line.attribute == attribute)


_SOURCE: Final = "Norwegian profile of IHE XDS metadata (HIS 1169)"
_AUTHOR: Final = frozenset(name for name, *_ in AUTHOR_SLOTS)


def _rule(sentence: str) -> Rule:
    return Rule(sentence, _SOURCE, Code.REGISTRY_METADATA_ERROR, Code.REPOSITORY_METADATA_ERROR)


def _line_rules(line: Coded) -> Iterator[tuple[str, Rule]]:
    table = _TABLES[line.table]
    name = line.attribute if line.attribute in _AUTHOR else f"{table.name}.{line.attribute}"
    level = f", made for {line.usage}" if line.usage else ""
    start = f"{line.table}-{line.attribute}"
    yield (
        f"{start}-code",
        _rule(
            f"{name} must be a code that its code system has{level}: send one that is in use, or have this"
            " node's operator import a newer edition (docs/codes.md)."
        ),
    )
    systems = " or ".join(line.systems)
    yield (
        f"{start}-system",
        _rule(f"{name} must be a code of a code system that the profile has for it: {systems}."),
    )


_TABLES: Final = {table.prefix: table for table in attributes.TABLES}

#: Rule id -> rule. The same rule may be an error or a warning (docs/codes.md).
RULES: Final[Mapping[str, Rule]] = {
    **{rule_id: rule for line in PROFILE for rule_id, rule in _line_rules(line)},
    "DE-typeCode-class": _rule(
        "typeCode must belong to the group that classCode names: send the classCode under which the table of"
        " document types has the typeCode."
    ),
}

_LINES: Final = {
    table.name: tuple(line for line in PROFILE if line.table == table.prefix) for table in attributes.TABLES
}
_KEYS: Final = {(table.prefix, a.name): a.key for table in attributes.TABLES for a in table.attributes}
#: classificationScheme -> line of the profile, if there is one, for every coded attribute.
_CODED: Final[Mapping[str, Coded | None]] = {
    a.key: next((line for line in _LINES[table.name] if line.attribute == a.name), None)
    for table in attributes.TABLES
    for a in table.attributes
    if a.coding is Coding.CODE
}

#: A component of a coded string that names a system; shorter numbers are versions.
_NAMES_SYSTEM: Final = re.compile(r"(urn:oid:)?[0-2](\.[0-9]+){3,}|(https?://|urn:).+")


class CodeFinding(NamedTuple):
    """A broken rule: its id, where, and which value by position."""

    rule_id: str
    location: str
    detail: str
    warning: bool


@dataclass(frozen=True, slots=True)
class CodeRules:
    """The codes that a node accepts.

    `profile` is norwegian, or ihe, which takes any code. `unknown_system` is what a code of a strange system
    is: warning or error. `language` is that of the display names that are filled in.
    """

    tables: CodeTables
    profile: str = "norwegian"
    unknown_system: str = "warning"
    language: str = "nb"

    def check(self, table: Table, children: Children) -> Iterator[CodeFinding]:
        """What is wrong with the codes of one object, in the order of the profile.

        A code without a system is left to the rules about the form of a code.
        """
        if self.profile != "norwegian":
            return
        here = children.obj.id
        for line in _LINES[table.name]:
            for code, scheme, position in _sent(line, children):
                if not (code and scheme):
                    continue
                problem, warning = self._judge(line, code, scheme)
                if problem:
                    rule_id = f"{line.table}-{line.attribute}-{problem}"
                    yield CodeFinding(rule_id, f"{here}/{line.attribute}", position, warning)
        if table is attributes.DOCUMENT_ENTRY and not self._same_group(children):
            yield CodeFinding("DE-typeCode-class", f"{here}/typeCode", "", False)

    def filled(self, obj: RegistryObject) -> RegistryObject:
        """The object with a Name for each known code that came without; the same object when none did."""
        # This runs at every registration, and most senders send all names.
        for child in obj.classifications:
            if not (child.name and child.name[0].value) and self._text(child) is not None:
                return replace(obj, classifications=tuple(map(self._named, obj.classifications)))
        return obj

    def _judge(self, line: Coded, code: str, scheme: str) -> tuple[str, bool]:
        """The problem with a code, or nothing, and whether it is one to warn of only."""
        named = self.tables.system(scheme)
        if named is None or named.id not in line.systems:
            return "system", self.unknown_system == "warning"
        system = self._table_of(line, named, code)
        concept = system.codes.get(code)
        if concept is None:
            known = not system.codes or code.startswith(line.tolerated)
        else:
            known = (concept.active or line.withdrawn) and (
                not line.usage or concept.usage in ("", line.usage)
            )
        return ("", False) if known else ("code", not system.complete)

    def _table_of(self, line: Coded | None, named: CodeSystem, code: str) -> CodeSystem:
        """The table that lists a code: of the system that was named, or of one that it stands for."""
        if line is not None and named.id in line.systems and code not in named.codes:
            for beginning, other in line.namespaces:
                if code.startswith(beginning):
                    return self.tables.systems.get(other, named)
        return named

    def _same_group(self, children: Children) -> bool:
        """Whether the type belongs to the class, as far as both are known."""
        found = []
        for line in (_CLASS, _TYPE):
            sent = list(_sent(line, children))
            if len(sent) != 1:
                return True
            code, scheme, _ = sent[0]
            concept = self.tables.concept(code, scheme)
            if concept is None or self._judge(line, code, scheme)[0]:
                return True
            found.append(concept)
        group, kind = found
        # The table of a newer edition may not say the parent; the letter does.
        return kind.parent == group.code if kind.parent else kind.code[:1] == group.code[:1]

    def _named(self, child: RegistryObject) -> RegistryObject:
        text = self._text(child)
        return child if text is None else replace(child, name=(text,))

    def _text(self, child: RegistryObject) -> LocalizedString | None:
        """The display name that a Classification lacks; None when it has one, or holds no known code."""
        key = child.attributes.get("classificationScheme", "")
        if key not in _CODED or any(text.value for text in child.name):
            return None
        code, scheme = _code(child)
        named = self.tables.system(scheme)
        if named is None:
            return None
        return self._table_of(_CODED[key], named, code).text(code, self.language)


_CLASS, _TYPE = (
    next(line for line in PROFILE if line.attribute == name) for name in ("classCode", "typeCode")
)


def _sent(line: Coded, children: Children) -> Iterator[tuple[str, str, str]]:
    """Each value of the attribute: code, system, and its position in words if there are several."""
    if line.attribute in _AUTHOR:
        authors = children.classifications.get(_KEYS[line.table, "author"], ())
        for author in authors:
            values = slot_values(author).get(line.attribute, ())
            for number, value in enumerate(values, 1):
                yield *_coded_string(value), f"(value {number})" if len(values) > 1 else ""
        return
    found = children.classifications.get(_KEYS[line.table, line.attribute], ())
    for number, child in enumerate(found, 1):
        yield *_code(child), f"(value {number})" if len(found) > 1 else ""


def _code(child: RegistryObject) -> tuple[str, str]:
    for slot in child.slots:
        if slot.name == "codingScheme":
            scheme = slot.values[0] if len(slot.values) == 1 else ""
            return child.attributes.get("nodeRepresentation", ""), scheme
    return "", ""


def _coded_string(value: str) -> tuple[str, str]:
    """Code and system of an HL7 coded string; the system is empty in one that names none.

    Senders write `code^display^OID`, `code^^^^^&OID&ISO`, and `code^^^&OID&ISO` as of an identifier.
    """
    code, _, rest = value.partition("^")
    for component in rest.split("^")[1:]:
        _, separator, authority = component.partition("&")
        system = authority.partition("&")[0] if separator else component
        if _NAMES_SYSTEM.fullmatch(system):
            return code, system
    return code, ""
