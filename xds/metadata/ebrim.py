"""ebRIM 3.0 XML to `RegistryObject` and back, with nothing lost on the way.

Transactions read messages with it, the registry stores bodies with it, answers and the client write with it.
It takes elements that a hardened parser made and a schema passed, and gives bytes.
It must never parse, judge or repair: elements that the schema refuses are not looked for here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from typing import Final
from uuid import uuid4

from lxml import etree

from xds.metadata import names
from xds.metadata.model import LocalizedString, RegistryObject, Slot

_RIM: Final = f"{{{names.RIM}}}"
_SLOT: Final = f"{_RIM}Slot"
_VALUE: Final = f"{_RIM}Value"
_LOCALIZED_STRING: Final = f"{_RIM}LocalizedString"
_NAME: Final = f"{_RIM}Name"
_DESCRIPTION: Final = f"{_RIM}Description"
_VERSION_INFO: Final = f"{_RIM}VersionInfo"
_CLASSIFICATION: Final = f"{_RIM}Classification"
_EXTERNAL_IDENTIFIER: Final = f"{_RIM}ExternalIdentifier"
_OBJECT_REF: Final = f"{_RIM}ObjectRef"
_OBJECT_LIST: Final = f"{_RIM}RegistryObjectList"
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"

#: The attribute by which a nested object names the object it belongs to (ITI TF-3 4.2.3.1.2, 4.2.3.1.3).
OWNER: Final = {"Classification": "classifiedObject", "ExternalIdentifier": "registryObject"}

#: Attributes in the order of the schema; any other follows in the order it came.
_ORDER: Final = (
    "id", "home", "lid", "objectType", "status",
    "mimeType", "isOpaque",
    "associationType", "sourceObject", "targetObject",
    "classificationScheme", "classifiedObject", "classificationNode", "nodeRepresentation",
    "registryObject", "identificationScheme", "value",
)  # fmt: skip
_ORDERED: Final = frozenset(_ORDER)
_REFERENCES: Final = ("id", "lid", "sourceObject", "targetObject", "classifiedObject", "registryObject")

_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# A raw CR would come back as LF from text, and any of TAB, LF, CR as a blank from an attribute (XML 1.0, 2.11
# and 3.3.3), so they are written as references.
_TEXT_SPECIAL: Final = re.compile(r"[&<>\r]")
_TEXT_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE_SPECIAL: Final = re.compile(r'[&<>"\t\n\r]')
_ATTRIBUTE_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def is_uuid(text: str) -> bool:
    """Whether `text` is `urn:uuid:` and a lower-case UUID; any other id is symbolic or wrong."""
    return _UUID.fullmatch(text) is not None


def new_id() -> str:
    """A new random `urn:uuid:` id."""
    return f"urn:uuid:{uuid4()}"


def escape_text(text: str) -> str:
    """`text` as XML character data that a parser reads back unchanged."""
    return text.translate(_TEXT_ESCAPES) if _TEXT_SPECIAL.search(text) else text


def escape_attribute(text: str) -> str:
    """`text` as the content of a double-quoted XML attribute that a parser reads back unchanged."""
    return text.translate(_ATTRIBUTE_ESCAPES) if _ATTRIBUTE_SPECIAL.search(text) else text


# ---- reading


def read_object(element: etree._Element) -> RegistryObject:
    """One rim:* object with its slots, names and nested Classifications and ExternalIdentifiers, in order.

    An element of another namespace gets its full `{namespace}name` as `kind`, which validation refuses.
    Attributes of other namespaces (xsi:type, xsi:schemaLocation) are about the XML and are not kept.
    """
    slots: list[Slot] = []
    name: tuple[LocalizedString, ...] = ()
    description: tuple[LocalizedString, ...] = ()
    version_info: dict[str, str] | None = None
    classifications: list[RegistryObject] = []
    external_identifiers: list[RegistryObject] = []
    for child in element:
        tag = child.tag
        if tag == _SLOT:
            slots.append(_slot(child))
        elif tag == _NAME:
            name = _localized(child)
        elif tag == _CLASSIFICATION:
            classifications.append(read_object(child))
        elif tag == _EXTERNAL_IDENTIFIER:
            external_identifiers.append(read_object(child))
        elif tag == _DESCRIPTION:
            description = _localized(child)
        elif tag == _VERSION_INFO:
            version_info = _attributes(child)
    return RegistryObject(
        str(element.tag).removeprefix(_RIM),
        _attributes(element),
        tuple(slots),
        name,
        description,
        version_info,
        tuple(classifications),
        tuple(external_identifiers),
    )


def read_slots(element: etree._Element) -> tuple[Slot, ...]:
    """The slots of an element, in order, and nothing else of it: all that matters in an AdhocQuery."""
    return tuple([_slot(child) for child in element.iterchildren(_SLOT)])


def _slot(element: etree._Element) -> Slot:
    values = tuple([_text(value) for value_list in element for value in value_list if value.tag == _VALUE])
    return Slot(element.get("name", ""), values, element.get("slotType"))


def read_object_list(element: etree._Element) -> tuple[RegistryObject, ...]:
    """The objects of a rim:RegistryObjectList in document order, ObjectRefs left out.

    ebRIM lets a RegistryPackage hold a list of its own. IHE does not use it; its objects are read as if they
    stood after the package, so that validation sees them and nothing is dropped in silence.
    """
    found: list[RegistryObject] = []
    for child in element.iterchildren(tag=etree.Element):
        if child.tag == _OBJECT_REF:
            continue
        found.append(read_object(child))
        for nested in child.iterchildren(_OBJECT_LIST):
            found.extend(read_object_list(nested))
    return tuple(found)


def adopt_siblings(objects: Iterable[RegistryObject]) -> tuple[RegistryObject, ...]:
    """The objects with every type-label Classification moved into the RegistryPackage it classifies.

    Such a label may stand beside its package (ITI TF-3 4.2.1.2.1); all other Classifications must be nested
    and stay where they are, as does a label whose package is not here, for validation to report.
    """
    all_objects = tuple(objects)
    labels = [
        o for o in all_objects if o.kind == "Classification" and "classificationScheme" not in o.attributes
    ]
    if not labels:
        return all_objects
    packages = {o.id: o for o in all_objects if o.kind == "RegistryPackage"}
    adopted: dict[str, list[RegistryObject]] = {}
    for label in labels:
        owner = label.attributes.get("classifiedObject", "")
        if owner in packages:
            adopted.setdefault(owner, []).append(label)
    moved = {id(label) for group in adopted.values() for label in group}
    result: list[RegistryObject] = []
    for obj in all_objects:
        if id(obj) in moved:
            continue
        if obj.kind == "RegistryPackage" and obj.id in adopted:
            present = {c.attributes.get("classificationNode") for c in obj.classifications}
            new = [c for c in adopted[obj.id] if c.attributes.get("classificationNode") not in present]
            obj = replace(obj, classifications=(*obj.classifications, *new))
        result.append(obj)
    return tuple(result)


def _text(element: etree._Element) -> str:
    return (element.text or "") if not len(element) else "".join(element.xpath("text()"))


def _attributes(element: etree._Element) -> dict[str, str]:
    return {name: value for name, value in element.items() if name[0] != "{"}


def _localized(element: etree._Element) -> tuple[LocalizedString, ...]:
    return tuple(
        [
            LocalizedString(text.get("value", ""), text.get(_LANG), text.get("charset"))
            for text in element
            if text.tag == _LOCALIZED_STRING
        ]
    )


# ---- writing


def write_object(obj: RegistryObject, ids: Mapping[str, str] | None = None) -> bytes:
    """The object as XML with the prefix `rim:`, which the surrounding document must declare.

    `ids` replaces symbolic ids wherever an object is named: id, lid, source, target, classified object and
    registry object.
    """
    parts: list[str] = []
    _write(parts, obj, ids or {})
    return "".join(parts).encode()


def stored_body(
    obj: RegistryObject,
    *,
    ids: Mapping[str, str],
    own_id: str,
    version: int | None,
    omit_identifier: str,
    omit_slots: Collection[str] = (),
) -> bytes:
    """The child elements of `obj` as the registry keeps them; registry/elements.py writes the start tag.

    Every child names `own_id` as its object and carries the objectType that answers must have (ITI TF-3
    4.2.3.1.2). A child keeps its id when that is a UUID and gets one made from `own_id` otherwise: child ids
    are never global. `ids` maps symbolic ids elsewhere in a child (its lid). `version`, when given, stands
    instead of whatever VersionInfo was sent. Left out because they can change and are written from columns,
    as status and home are: the ExternalIdentifier whose scheme is `omit_identifier` (patientId) and the slots
    named in `omit_slots` (lastUpdateTime).
    """
    parts: list[str] = []
    slots = [s for s in obj.slots if s.name not in omit_slots] if omit_slots else obj.slots
    version_info = obj.version_info if version is None else {"versionName": str(version)}
    _write_head(parts, slots, obj.name, obj.description, version_info)
    kept = [
        i for i in obj.external_identifiers if i.attributes.get("identificationScheme") != omit_identifier
    ]
    children = enumerate((*obj.classifications, *kept), 1)
    _write_children(parts, [(child, child_id(own_id, number)) for number, child in children], ids, own_id)
    return "".join(parts).encode()


def _write(parts: list[str], obj: RegistryObject, ids: Mapping[str, str]) -> None:
    attributes = obj.attributes
    if ids:
        attributes = {n: ids.get(v, v) if n in _REFERENCES else v for n, v in attributes.items()}
    parts.append(f"<rim:{obj.kind}")
    write_attributes(parts, attributes)
    start = len(parts)
    parts.append(">")
    _write_head(parts, obj.slots, obj.name, obj.description, obj.version_info)
    for child in chain(obj.classifications, obj.external_identifiers):
        _write(parts, child, ids)
    _close(parts, start, obj.kind)


def child_id(owner: str, number: int) -> str:
    """The id of an object's child: the object's own UUID with its first four digits turned by the child's
    number.

    Ids of children name nothing outside their object. This way they are the same at every look, and take next
    to no room when the object is compressed.
    """
    return f"urn:uuid:{int(owner[9:13], 16) ^ (number * 0x9E37 & 0xFFFF):04x}{owner[13:]}"


def _write_children(
    parts: list[str], children: Iterable[tuple[RegistryObject, str]], ids: Mapping[str, str], own_id: str
) -> None:
    """`children` come with the id for those whose own is not a UUID."""
    for child, new in children:
        kind = child.kind
        attributes = dict(child.attributes)
        if "lid" in attributes:
            lid = attributes["lid"]
            attributes["lid"] = ids.get(lid, lid)
        if not is_uuid(child.id):
            if attributes.get("lid") == child.id:
                attributes["lid"] = new
            attributes["id"] = new
        attributes["objectType"] = names.OBJECT_TYPE + kind
        attributes[OWNER[kind]] = own_id
        parts.append(f"<rim:{kind}")
        write_attributes(parts, attributes)
        start = len(parts)
        parts.append(">")
        _write_head(parts, child.slots, child.name, child.description, child.version_info)
        for nested in (child.classifications, child.external_identifiers):
            _write_children(parts, [(each, new_id()) for each in nested], ids, attributes["id"])
        _close(parts, start, kind)


def _close(parts: list[str], start: int, kind: str) -> None:
    if len(parts) == start + 1:
        parts[start] = "/>"
    else:
        parts.append(f"</rim:{kind}>")


def write_attributes(parts: list[str], attributes: Mapping[str, str]) -> None:
    """Append ` name="value"` for each attribute, in the order of the schema."""
    written = 0
    for name in _ORDER:
        if name in attributes:
            parts.append(f' {name}="{escape_attribute(attributes[name])}"')
            written += 1
    if written < len(attributes):
        parts.extend(f' {n}="{escape_attribute(v)}"' for n, v in attributes.items() if n not in _ORDERED)


def _write_head(
    parts: list[str],
    slots: Iterable[Slot],
    name: Iterable[LocalizedString],
    description: Iterable[LocalizedString],
    version_info: Mapping[str, str] | None,
) -> None:
    for slot in slots:
        slot_type = "" if slot.slot_type is None else f' slotType="{escape_attribute(slot.slot_type)}"'
        parts.append(f'<rim:Slot name="{escape_attribute(slot.name)}"{slot_type}><rim:ValueList>')
        parts.extend([f"<rim:Value>{escape_text(value)}</rim:Value>" for value in slot.values])
        parts.append("</rim:ValueList></rim:Slot>")
    for tag, strings in (("Name", name), ("Description", description)):
        if strings:
            parts.append(f"<rim:{tag}>")
            for text in strings:
                lang = "" if text.language is None else f' xml:lang="{escape_attribute(text.language)}"'
                charset = "" if text.charset is None else f' charset="{escape_attribute(text.charset)}"'
                parts.append(f'<rim:LocalizedString{lang}{charset} value="{escape_attribute(text.value)}"/>')
            parts.append(f"</rim:{tag}>")
    if version_info is not None:
        parts.append("<rim:VersionInfo")
        parts.extend([f' {n}="{escape_attribute(v)}"' for n, v in version_info.items()])
        parts.append("/>")


# ---- comparing


def fingerprint(objects: Iterable[RegistryObject]) -> bytes:
    """32 bytes (SHA-256) that are equal when two submissions say the same.

    Counted: the objects in the order of the message with their ids as sent, and all they say. Not counted,
    because the registry sets or re-issues it or because it is only form: child ids and the attributes that
    name the parent, status, the objectType of anything but an ExtrinsicObject, VersionInfo, slot types and
    character sets.
    """
    # JSON is unambiguous whatever the values hold, and the same in every Python version, which repr is not.
    said = [_said(obj, _NOT_SAID if obj.kind == "ExtrinsicObject" else _NOT_SAID_OTHER) for obj in objects]
    return sha256(json.dumps(said, separators=(",", ":")).encode()).digest()


_NOT_SAID: Final = frozenset({"status"})
_NOT_SAID_OTHER: Final = _NOT_SAID | {"objectType"}
_NOT_SAID_CHILD: Final = _NOT_SAID_OTHER | {"id", "lid", *OWNER.values()}


def _said(obj: RegistryObject, leave_out: frozenset[str]) -> list[object]:
    return [
        obj.kind,
        sorted([item for item in obj.attributes.items() if item[0] not in leave_out]),
        [[slot.name, slot.values] for slot in obj.slots],
        [[text.language, text.value] for text in obj.name],
        [[text.language, text.value] for text in obj.description],
        [_said(child, _NOT_SAID_CHILD) for child in obj.classifications],
        [_said(child, _NOT_SAID_CHILD) for child in obj.external_identifiers],
    ]
