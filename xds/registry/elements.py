"""A registry object's element as it is stored and as it is answered: the same text, but for what can change.

Stored is everything from behind the start tag's `status` and `home` up to the patient id: it never changes,
so it is rendered once, when the object is registered (`stored`). An answer puts what can change around it
(`write`): nothing is parsed or formatted to answer a query, bytes are joined. Both sides of that format stand
here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.ebrim import child_id, escape_attribute, stored_body, write_attributes
from xds.metadata.model import RegistryObject
from xds.registry.masking import MASK, mask
from xds.registry.rows import FRAME
from xds.registry.rules import broken
from xds.store import schema
from xds.store.bodies import pack, unpack
from xds.store.codes import Codes
from xds.store.keys import uuid_urn


@dataclass(frozen=True, slots=True)
class _Form:
    """What the elements of one kind of object have in common; `scheme` and `name` are of their patientId."""

    tag: str
    scheme: str = ""
    name: str = ""
    versions: bool = False


_FORMS: Final = {
    schema.KIND_DOCUMENT_ENTRY: _Form(
        "ExtrinsicObject", names.DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId", versions=True
    ),
    schema.KIND_SUBMISSION_SET: _Form(
        "RegistryPackage", names.SUBMISSION_SET_PATIENT_ID, "XDSSubmissionSet.patientId"
    ),
    schema.KIND_FOLDER: _Form(
        "RegistryPackage", names.FOLDER_PATIENT_ID, "XDSFolder.patientId", versions=True
    ),
    schema.KIND_ASSOCIATION: _Form("Association"),
}
STATUSES: Final = {names.APPROVED: schema.STATUS_APPROVED, names.DEPRECATED: schema.STATUS_DEPRECATED}
_STATUS_URN: Final = {number: urn for urn, number in STATUSES.items()}

#: The registry sets and changes Folder.lastUpdateTime (ITI TF-2 3.42.4.1.3.6). It is the first Slot, so its
#: place is the first one of its kind in the stored text.
_UPDATED: Final = b">00000000000000<"
_UPDATED_SLOT: Final = (
    '<rim:Slot name="lastUpdateTime">'
    "<rim:ValueList><rim:Value>00000000000000</rim:Value></rim:ValueList></rim:Slot>"
)


def stored(kind: int, obj: RegistryObject, ids: Mapping[str, str], version: int = 1) -> bytes:
    """The stored form of an object, compressed; `ids` maps ids as sent to UUIDs.

    Raises RegistryFailure for one that is too large: answers hold some objects in memory at a time.
    """
    text = lasting(kind, obj, ids, version)
    if len(text) > MOST_BYTES:
        raise RegistryFailure(broken("registry-object-size", obj.id))
    return pack(text)


def lasting(kind: int, obj: RegistryObject, ids: Mapping[str, str], version: int = 1) -> bytes:
    """What of an object's element never changes."""
    form = _FORMS[kind]
    own = ids[obj.id]
    attributes = {name: value for name, value in obj.attributes.items() if name not in ("status", "home")}
    attributes["id"] = own
    if kind != schema.KIND_DOCUMENT_ENTRY:  # whose objectType says something (ITI TF-3 4.2.3.1.2)
        attributes["objectType"] = names.OBJECT_TYPE + form.tag
    for end in ("sourceObject", "targetObject"):
        if end in attributes:
            attributes[end] = ids.get(attributes[end], attributes[end])
    if form.versions:
        # A first version names the logical object after itself (XDS Metadata Update).
        logical = attributes.get("lid", obj.id)
        attributes["lid"] = ids.get(logical, logical)
    parts: list[str] = []
    write_attributes(parts, attributes)
    parts.append(">")
    if kind == schema.KIND_FOLDER:
        parts.append(_UPDATED_SLOT)
    body = stored_body(
        obj,
        ids=ids,
        own_id=own,
        version=version if form.versions else None,
        omit_identifier=form.scheme,
        omit_slots=("lastUpdateTime",) if kind == schema.KIND_FOLDER else (),
    )
    patient = ""
    if form.scheme:
        patient = (
            f'<rim:ExternalIdentifier id="{child_id(own, _PATIENT_ID)}"'
            f' objectType="{names.OBJECT_TYPE}ExternalIdentifier"'
            f' registryObject="{own}" identificationScheme="{form.scheme}" value="'
        )
    return "".join(parts).encode() + body + patient.encode()


#: The most that one object may say; an ordinary document entry is 8 kB.
MOST_BYTES: Final = 1_000_000
#: The number of the patientId identifier among an object's children: after all others.
_PATIENT_ID: Final = 0x7FFF
#: Objects made at a time: about 200 kB.
_TOGETHER: Final = 25


_NAMED: Final = re.compile(rb'(?<==")urn:uuid:[0-9a-f-]{36}(?=")')


def renamed(body: bytes, uuids: Mapping[bytes, bytes]) -> bytes:
    """The stored form of an association as that of another: other UUIDs for itself and for its ends."""
    urns = {uuid_urn(old).encode(): uuid_urn(new).encode() for old, new in uuids.items()}
    (text,) = unpack([bytes(body)])
    return pack(_NAMED.sub(lambda found: urns.get(found[0], found[0]), text))


def slot_texts(body: bytes, name: str) -> list[bytes]:
    """What a stored form says in the slots of this name, as text: equal when the values are."""
    (text,) = unpack([bytes(body)])
    slot = re.escape(f'<rim:Slot name="{escape_attribute(name)}"'.encode())
    return re.findall(slot + rb"[^>]*>(.*?)</rim:Slot>", text, re.DOTALL)


def write(rows: Sequence[Sequence[Any]], codes: Codes, home: str = "") -> Iterator[list[bytes]]:
    """Leaf rows (see rows.py) as pieces of their elements in order, some at a time, made when asked for.

    `home` stands on every one of them; without, that with which it was registered, if any.

    The prefix `rim` must be declared around them.
    """
    for first in range(0, len(rows), _TOGETHER):
        made: list[bytes] = []
        # Neighbours mostly differ in nothing but their bodies: what stands between is made once for them all.
        for frame, alike in groupby(rows[first : first + _TOGETHER], FRAME):
            kind, status, home_pk, pid, updated, masked = frame
            form = _FORMS[kind]
            head = f'<rim:{form.tag} status="{_STATUS_URN[status]}"{_home(home_pk, codes, home)}'.encode()
            tail = _tail(form, MASK if masked else pid)
            bodies = unpack([row[-1] for row in alike])
            if masked:
                bodies = [mask(body) for body in bodies]
            if updated is not None:
                bodies = [body.replace(_UPDATED, f">{updated}<".encode(), 1) for body in bodies]
            pieces = [tail + head] * (2 * len(bodies) + 1)
            pieces[0], pieces[1::2], pieces[-1] = head, bodies, tail
            made += pieces
        yield made


def write_references(rows: Sequence[Sequence[Any]], codes: Codes, home: str = "") -> Iterator[list[bytes]]:
    """Reference rows as rim:ObjectRef elements, in their order; `home` as above."""
    for first in range(0, len(rows), 1000):
        yield [
            f'<rim:ObjectRef id="{uuid_urn(entry_uuid)}"{_home(home_pk, codes, home)}/>'.encode()
            for _, entry_uuid, home_pk, _, _ in rows[first : first + 1000]
        ]


def _home(home_pk: int | None, codes: Codes, home: str) -> str:
    if not home and home_pk is not None:
        home = codes.word(home_pk).text
    return f' home="{escape_attribute(home)}"' if home else ""


def _tail(form: _Form, pid: str | None) -> bytes:
    end = f"</rim:{form.tag}>"
    if pid is not None:
        end = (
            f'{escape_attribute(pid)}"><rim:Name><rim:LocalizedString value="{form.name}"/></rim:Name>'
            f"</rim:ExternalIdentifier>{end}"
        )
    return end.encode()
