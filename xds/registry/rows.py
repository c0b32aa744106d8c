"""One shape of row for every kind of registry object, so that each stored query is one statement and one
writer.

Stored queries select `document_rows()`, `set_rows()` … and join them with UNION ALL; `write` turns rows into
the elements of a RegistryObjectList. The stored children are joined as bytes: nothing is parsed to answer a
query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    cast,
    literal,
    null,
    select,
)

from xds.metadata import names
from xds.store import schema
from xds.store.bodies import unpack
from xds.store.codes import Codes
from xds.store.keys import uuid_urn
from xds.store.schema import (
    UuidBytes,
    association,
    document_entry,
    folder,
    patient,
    submission_set,
)

#: association.type in the database; a number once given is never used for anything else.
ASSOCIATION_TYPES: Final = {
    names.HAS_MEMBER: 1,
    names.RPLC: 2,
    names.XFRM: 3,
    names.APND: 4,
    names.XFRM_RPLC: 5,
    names.SIGNS: 6,
    names.IS_SNAPSHOT_OF: 7,
}
STATUSES: Final = {names.APPROVED: schema.STATUS_APPROVED, names.DEPRECATED: schema.STATUS_DEPRECATED}
OBJECT_TYPES: Final = {names.STABLE: 1, names.ON_DEMAND: 2}

_ASSOCIATION_URN: Final = {number: urn for urn, number in ASSOCIATION_TYPES.items()}
_STATUS_URN: Final = {number: urn for urn, number in STATUSES.items()}
_OBJECT_TYPE_URN: Final = {number: urn for urn, number in OBJECT_TYPES.items()}

_NO_UUID: Final = cast(null(), UuidBytes)
_NO_NUMBER: Final = cast(null(), Integer)
_NO_TIME: Final = cast(null(), BigInteger)

Rows = Select[Any]


def _select(
    kind: int,
    table: Any,
    *,
    logical: ColumnElement[Any] = _NO_UUID,
    type_: ColumnElement[Any] = _NO_NUMBER,
    mime: ColumnElement[Any] = _NO_NUMBER,
    source: ColumnElement[Any] = _NO_UUID,
    target: ColumnElement[Any] = _NO_UUID,
    updated: ColumnElement[Any] = _NO_TIME,
    pid: ColumnElement[Any] = patient.c.pid,
    body: ColumnElement[Any] | None = None,
    leaf: bool,
) -> Rows:
    if not leaf:
        return select(literal(kind, Integer).label("kind"), table.c.entry_uuid, table.c.home_pk)
    return select(
        literal(kind, Integer).label("kind"),
        table.c.entry_uuid,
        table.c.home_pk,
        table.c.status,
        logical.label("logical_uuid"),
        type_.label("type"),
        mime.label("mime_pk"),
        source.label("source_uuid"),
        target.label("target_uuid"),
        updated.label("updated"),
        pid.label("pid"),
        (table.c.body if body is None else body).label("body"),
    )


def document_rows(*, leaf: bool) -> Rows:
    """Document entries with their patient; `leaf` False selects only what an ObjectRef needs."""
    d = document_entry
    return _select(
        schema.KIND_DOCUMENT_ENTRY,
        d,
        logical=d.c.logical_uuid,
        type_=d.c.object_type,
        mime=d.c.mime_pk,
        leaf=leaf,
    ).join_from(d, patient, d.c.patient_pk == patient.c.patient_pk)


def set_rows(*, leaf: bool) -> Rows:
    """Submission sets with their patient."""
    s = submission_set
    return _select(schema.KIND_SUBMISSION_SET, s, leaf=leaf).join_from(
        s, patient, s.c.patient_pk == patient.c.patient_pk
    )


def folder_rows(*, leaf: bool) -> Rows:
    """Folders with their patient."""
    f = folder
    return _select(
        schema.KIND_FOLDER, f, logical=f.c.logical_uuid, updated=f.c.last_update_time, leaf=leaf
    ).join_from(f, patient, f.c.patient_pk == patient.c.patient_pk)


def association_rows(*, leaf: bool) -> Rows:
    """Associations; they carry no patient id of their own."""
    a = association
    return _select(
        schema.KIND_ASSOCIATION,
        a,
        type_=a.c.type,
        source=a.c.source_uuid,
        target=a.c.target_uuid,
        pid=cast(null(), Text),
        body=cast(a.c.body, LargeBinary),
        leaf=leaf,
    ).select_from(a)


def write_references(rows: Iterable[Row[Any]], codes: Codes) -> list[bytes]:
    """The rows as rim:ObjectRef elements, in their order."""
    return [
        f'<rim:ObjectRef id="{uuid_urn(row.entry_uuid)}"{_home(row.home_pk, codes)}/>'.encode()
        for row in rows
    ]


def write(rows: Iterable[Sequence[Any]], codes: Codes) -> list[bytes]:
    """The rows as full registry objects, in their order; the prefix `rim` must be declared around them."""
    parts: list[bytes] = []
    # One patient's objects differ in ids and bodies and share the rest, so most of the text is made once.
    frames: dict[tuple[Any, ...], _Frame] = {}
    for (
        kind,
        entry_uuid,
        home_pk,
        status,
        logical,
        type_,
        mime_pk,
        source,
        target,
        updated,
        pid,
        body,
    ) in rows:
        urn = uuid_urn(entry_uuid)
        if kind == schema.KIND_ASSOCIATION:
            parts.append(
                f'<rim:Association id="{urn}" status="{_STATUS_URN[status]}"{_home(home_pk, codes)}'
                f' objectType="{names.OBJECT_TYPE}Association" associationType="{_ASSOCIATION_URN[type_]}"'
                f' sourceObject="{uuid_urn(source)}" targetObject="{uuid_urn(target)}">'.encode()
            )
            if body:
                parts.append(unpack(body))
            parts.append(b"</rim:Association>")
            continue
        key = (kind, home_pk, status, type_, mime_pk, updated, pid)
        frame = frames.get(key)
        if frame is None:
            frame = frames[key] = _frame(*key, codes=codes)
        start, middle, end = frame
        lid = "" if logical is None else f'" lid="{urn if logical == entry_uuid else uuid_urn(logical)}'
        # The identifier needs an id (schema), the same in every answer: the entry's own with other digits.
        other = urn[9:17].translate(_OTHER_DIGITS)
        parts += (
            f"{start}{urn}{lid}{middle}".encode(),
            unpack(body),
            f'<rim:ExternalIdentifier id="{urn[:9]}{other}{urn[17:]}" registryObject="{urn}{end}'.encode(),
        )
    return parts


def _home(home_pk: int | None, codes: Codes) -> str:
    return "" if home_pk is None else f' home="{_attribute(codes.word(home_pk))}"'


def _attribute(text: str) -> str:
    if "&" in text or "<" in text or '"' in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text


#: Every hexadecimal digit to another one.
_OTHER_DIGITS: Final = str.maketrans("0123456789abcdef", "5476103cba98fed2")

#: What stands before an object's own id, between its ids and its body, and after the id in its patientId
#: identifier.
_Frame = tuple[str, str, str]

#: The patientId identifier: a merge of patients changes it, so it is not in the stored body.
_PATIENT_IDS: Final = {
    schema.KIND_DOCUMENT_ENTRY: (names.DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId"),
    schema.KIND_SUBMISSION_SET: (names.SUBMISSION_SET_PATIENT_ID, "XDSSubmissionSet.patientId"),
    schema.KIND_FOLDER: (names.FOLDER_PATIENT_ID, "XDSFolder.patientId"),
}


def _frame(
    kind: int,
    home_pk: int | None,
    status: int,
    type_: int | None,
    mime_pk: int | None,
    updated: int | None,
    pid: str,
    *,
    codes: Codes,
) -> _Frame:
    """The text around the ids and the body of every object, but an Association, whose columns say this."""
    element, slot = "RegistryPackage", ""
    object_type = f"{names.OBJECT_TYPE}RegistryPackage"
    if mime_pk is not None and type_ is not None:
        element = "ExtrinsicObject"
        object_type = f'{_OBJECT_TYPE_URN[type_]}" mimeType="{_attribute(codes.word(mime_pk))}'
    if updated is not None:
        slot = (
            f'<rim:Slot name="lastUpdateTime"><rim:ValueList><rim:Value>{updated}</rim:Value></rim:ValueList>'
            "</rim:Slot>"
        )
    scheme, name = _PATIENT_IDS[kind]
    return (
        f'<rim:{element} id="',
        f'" status="{_STATUS_URN[status]}"{_home(home_pk, codes)} objectType="{object_type}">{slot}',
        f'" identificationScheme="{scheme}" objectType="{names.OBJECT_TYPE}ExternalIdentifier"'
        f' value="{_attribute(pid)}"><rim:Name><rim:LocalizedString value="{name}"/></rim:Name>'
        f"</rim:ExternalIdentifier></rim:{element}>",
    )
