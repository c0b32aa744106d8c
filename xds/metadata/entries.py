"""Registry objects in ebRIM's terms and in IHE's, both ways, by the attribute tables.

The registry, the gates and the client read entries with it; the client and the tests write objects with it.
Readers must never judge: validation does, and in a peer's answer an absent required attribute reads as an
empty one. What they do not know stays in `extra_slots` and `received`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, replace
from typing import Any, Final

from xds.metadata import attributes, names
from xds.metadata.attributes import Attribute, Children, Coding, Table
from xds.metadata.ebrim import OWNER
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    LocalizedString,
    RegistryObject,
    Slot,
    SubmissionSet,
)

Entry = DocumentEntry | SubmissionSet | Folder | Association

_TABLES: Final[dict[type, Table]] = {
    DocumentEntry: attributes.DOCUMENT_ENTRY,
    SubmissionSet: attributes.SUBMISSION_SET,
    Folder: attributes.FOLDER,
    Association: attributes.ASSOCIATION,
}
_SLOT_NAMES: Final = {
    table.name: frozenset(a.key for a in table.attributes if a.coding is Coding.SLOT)
    for table in _TABLES.values()
}
_INTEGERS: Final = ("size", "version")
#: What a reader gives for a required attribute that is not there, as in the answer of a careless peer.
_ABSENT: Final = {
    table.name: {
        a.field: () if a.many else Code("", "") if a.coding is Coding.CODE else ""
        for a in table.attributes
        if a.field in {f.name for f in fields(model) if f.default is MISSING and f.default_factory is MISSING}
    }
    for model, table in _TABLES.items()
}


def document_entry(obj: RegistryObject) -> DocumentEntry:
    """The document entry that an ExtrinsicObject describes."""
    return DocumentEntry(**_values(obj, attributes.DOCUMENT_ENTRY))


def submission_set(obj: RegistryObject) -> SubmissionSet:
    """The submission set that a RegistryPackage describes."""
    return SubmissionSet(**_values(obj, attributes.SUBMISSION_SET))


def folder(obj: RegistryObject) -> Folder:
    """The folder that a RegistryPackage describes."""
    return Folder(**_values(obj, attributes.FOLDER))


def association(obj: RegistryObject) -> Association:
    """The association that an ebRIM Association describes."""
    return Association(**_values(obj, attributes.ASSOCIATION))


def _values(obj: RegistryObject, table: Table) -> dict[str, Any]:
    children = Children(obj)
    known = _SLOT_NAMES[table.name]
    values: dict[str, Any] = {
        **_ABSENT[table.name],
        "received": obj,
        "extra_slots": tuple([slot for slot in obj.slots if slot.name not in known]),
    }
    for attribute in table.attributes:
        if not attribute.field:
            continue
        found: tuple[Any, ...]
        if attribute.coding is Coding.CODE:
            found = tuple([attributes.code_of(c) for c in children.classifications.get(attribute.key, ())])
        elif attribute.coding is Coding.AUTHOR:
            found = tuple([attributes.author_of(c) for c in children.classifications.get(attribute.key, ())])
        else:
            found = children.texts(attribute)
            if attribute.field in _INTEGERS:
                # A schema-aware sender's parser may have filled in versionName="1.1": no version of ours.
                found = tuple([int(text) for text in found if text.isascii() and text.isdigit()])
        if attribute.many:
            values[attribute.field] = found
        elif found:
            values[attribute.field] = found[0]
    return values


def registry_object(entry: Entry) -> RegistryObject:
    """The ebRIM object that says what `entry` says; children get new random ids, slots the order of the
    table.

    `received` is not looked at.
    """
    table = _TABLES[type(entry)]
    xml: dict[str, str] = {}
    slots: list[Slot] = []
    texts: dict[Coding, tuple[LocalizedString, ...]] = {}
    version_info: dict[str, str] | None = None
    classifications: list[RegistryObject] = []
    identifiers: list[RegistryObject] = []
    owner = entry.entry_uuid
    if table.kind != "ExtrinsicObject":
        xml["objectType"] = names.OBJECT_TYPE + table.kind
    for attribute in table.attributes:
        values = _as_tuple(entry, attribute)
        if not values:
            continue
        match attribute.coding:
            case Coding.XML:
                xml[attribute.key] = values[0]
            case Coding.SLOT:
                slots.append(Slot(attribute.key, tuple(map(str, values))))
            case Coding.NAME | Coding.DESCRIPTION:
                texts[attribute.coding] = (LocalizedString(values[0]),)
            case Coding.VERSION:
                version_info = {attribute.key: str(values[0])}
            case Coding.CODE:
                classifications += [_code(code, attribute.key, owner) for code in values]
            case Coding.AUTHOR:
                classifications += [_author(author, attribute.key, owner) for author in values]
            case Coding.IDENTIFIER:
                identifiers.append(
                    _identifier(values[0], attribute.key, table.identifier_name(attribute), owner)
                )
    if table.node:
        classifications.append(_child("Classification", owner, classificationNode=table.node))
    return RegistryObject(
        table.kind,
        xml,
        (*slots, *entry.extra_slots),
        texts.get(Coding.NAME, ()),
        texts.get(Coding.DESCRIPTION, ()),
        version_info,
        tuple(_numbered(classifications, owner, "c")),
        tuple(_numbered(identifiers, owner, "i")),
    )


def with_repository_values(
    obj: RegistryObject, *, repository_unique_id: str, size: int, hash: str
) -> RegistryObject:
    """The ExtrinsicObject as the repository passes it on: its own id set, hash and size added where absent.

    A repositoryUniqueId that was sent is replaced, in its place (ITI TF-2 3.41.4.1.3).
    `size` is in octets, `hash` the SHA-1 in hexadecimal; comparing them with what was sent is the caller's.
    """
    present = {slot.name for slot in obj.slots if slot.values}
    own = Slot("repositoryUniqueId", (repository_unique_id,))
    added = {"hash": hash, "size": str(size)}
    slots = [
        own if slot.name == own.name else slot
        for slot in obj.slots
        if slot.values or slot.name not in (*added, own.name)
    ]
    if own.name not in present:
        slots.append(own)
    slots += [Slot(name, (value,)) for name, value in added.items() if name not in present]
    return replace(obj, slots=tuple(slots))


def _as_tuple(entry: Entry, attribute: Attribute) -> tuple[Any, ...]:
    value = getattr(entry, attribute.field) if attribute.field else None
    if value is None:
        return ()
    return value if attribute.many else (value,)


def _numbered(children: Iterable[RegistryObject], owner: str, letter: str) -> Iterator[RegistryObject]:
    """The children with symbolic ids that no other object of the message has."""
    for number, child in enumerate(children, 1):
        own = f"{owner.removeprefix('urn:uuid:')}-{letter}{number}"
        yield replace(child, attributes={**child.attributes, "id": own})


def _child(kind: str, owner: str, **given: str) -> RegistryObject:
    own = {"id": "", "objectType": names.OBJECT_TYPE + kind, OWNER[kind]: owner}
    return RegistryObject(kind, own | given)


def _code(code: Code, scheme: str, owner: str) -> RegistryObject:
    return replace(
        _child("Classification", owner, classificationScheme=scheme, nodeRepresentation=code.code),
        slots=(Slot("codingScheme", (code.scheme,)),),
        name=() if code.display is None else (LocalizedString(code.display),),
    )


def _author(author: Author, scheme: str, owner: str) -> RegistryObject:
    slots = []
    for name, _, field, many in attributes.AUTHOR_SLOTS:
        value = getattr(author, field)
        if value:
            slots.append(Slot(name, value if many else (value,)))
    child = _child("Classification", owner, classificationScheme=scheme, nodeRepresentation="")
    return replace(child, slots=tuple(slots))


def _identifier(value: str, scheme: str, name: str, owner: str) -> RegistryObject:
    child = _child("ExternalIdentifier", owner, identificationScheme=scheme, value=value)
    return replace(child, name=(LocalizedString(name),))
