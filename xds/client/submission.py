"""A submission in the making: documents and what is said of them, turned into entries with ids of their own.

`build` is called first and its result is handed to `Client.send`, as often as it takes: every id is made
here, once, so that a repeat after a time-out is the same submission. Nothing here talks to anyone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from xds.errors import ClientError
from xds.metadata import names
from xds.metadata.ebrim import new_id
from xds.metadata.model import Association, Author, Code, DocumentEntry, SubmissionSet
from xds.transport.message import Attachment

_CHUNK: Final = 256 * 1024

#: The document's MIME type says all there is about its format (IHE's format code for that).
MIME_TYPE_SUFFICIENT: Final = Code(
    "urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3", "mimeType Sufficient"
)
NORMAL: Final = Code("N", "2.16.840.1.113883.5.25", "normal")

#: A moment, or a time of any precision as YYYY[MM[DD[hh[mm[ss]]]]] in UTC.
Time = datetime | str


def new_oid() -> str:
    """A new globally unique OID: 2.25 and a random UUID as a number (ITU-T X.667, 7)."""
    return f"2.25.{uuid4().int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document to submit: its bytes, or the file that holds them, and its metadata (ITI TF-3 4.2.3.2).

    Ids, hash, size and the patient are not given: `build` fills them in. `unique_id` is for a caller who
    has an id of his own for the document. `replaces` is the entryUUID of the document that this one takes
    the place of.
    """

    content: Path | bytes
    mime_type: str
    class_code: Code
    type_code: Code
    practice_setting_code: Code
    healthcare_facility_type_code: Code
    format_code: Code = MIME_TYPE_SUFFICIENT
    confidentiality_codes: tuple[Code, ...] = (NORMAL,)
    language_code: str = "nb-NO"
    creation_time: Time | None = None
    service_start_time: Time | None = None
    service_stop_time: Time | None = None
    title: str | None = None
    comments: str | None = None
    authors: tuple[Author, ...] = ()
    legal_authenticator: str | None = None
    event_codes: tuple[Code, ...] = ()
    reference_ids: tuple[str, ...] = ()
    source_patient_info: tuple[str, ...] = ()
    unique_id: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """A submission that is ready to be sent, and sent again: the same ids and hashes each time.

    `contents` are the documents' bytes in the order of `document_entries`.
    """

    submission_set: SubmissionSet
    document_entries: tuple[DocumentEntry, ...]
    associations: tuple[Association, ...]
    contents: tuple[Attachment, ...]


#: The fields that an entry takes over from a document as they are.
_SAME: Final = tuple(
    field.name
    for field in fields(Document)
    if field.name not in ("content", "creation_time", "service_start_time", "service_stop_time")
    and field.name not in ("unique_id", "replaces")
)


def build(
    documents: Sequence[Document],
    *,
    patient_id: str,
    source_id: str,
    source_patient_id: str = "",
    title: str | None = None,
    comments: str | None = None,
    content_type_code: Code | None = None,
    authors: tuple[Author, ...] = (),
    intended_recipients: tuple[str, ...] = (),
) -> PreparedSubmission:
    """Documents of one patient as one submission set.

    `patient_id` is `id^^^&OID&ISO`; `source_id` is the OID of the system that submits. The set takes its
    authors and its content type from the first document unless they are given. Files are read once, for
    hash and size. Raises ClientError when one cannot be read.
    """
    if not documents:
        raise ClientError("There is nothing to submit: give at least one document.")
    now = as_dtm(datetime.now(UTC))
    entries, contents = [], []
    for document in documents:
        content, sha1 = _content(document.content, document.mime_type)
        contents.append(content)
        entries.append(
            DocumentEntry(
                **{name: getattr(document, name) for name in _SAME},
                entry_uuid=new_id(),
                unique_id=document.unique_id or new_oid(),
                patient_id=patient_id,
                source_patient_id=source_patient_id or patient_id,
                creation_time=as_dtm(document.creation_time) or now,
                service_start_time=as_dtm(document.service_start_time),
                service_stop_time=as_dtm(document.service_stop_time),
                hash=sha1,
                size=content.size,
            )
        )
    head = SubmissionSet(
        entry_uuid=new_id(),
        unique_id=new_oid(),
        patient_id=patient_id,
        source_id=source_id,
        submission_time=str(now),
        content_type_code=content_type_code or documents[0].type_code,
        title=title,
        comments=comments,
        authors=authors or documents[0].authors,
        intended_recipients=intended_recipients,
    )
    members = [
        _link(names.HAS_MEMBER, head.entry_uuid, entry.entry_uuid, submission_set_status="Original")
        for entry in entries
    ]
    replacements = [
        _link(names.RPLC, entry.entry_uuid, document.replaces)
        for entry, document in zip(entries, documents, strict=True)
        if document.replaces
    ]
    return PreparedSubmission(head, tuple(entries), (*members, *replacements), tuple(contents))


def _link(type: str, source: str, target: str, **more: Any) -> Association:
    return Association(entry_uuid=new_id(), type=type, source=source, target=target, **more)


def as_dtm(when: Time | None) -> str | None:
    """A moment as DTM in UTC, to the second; one without a zone would be a guess, so it is refused."""
    if not isinstance(when, datetime):
        return when
    if when.tzinfo is None:
        raise ClientError("A time has no zone: give an aware datetime, e.g. datetime.now(UTC).")
    return when.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def _content(content: Path | bytes, mime_type: str) -> tuple[Attachment, str]:
    """The bytes as they will be sent, and their SHA-1."""
    if isinstance(content, bytes):
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        data, pieces = content, range(0, len(content), _CHUNK)
        return Attachment(mime_type, len(data), lambda: (data[at : at + _CHUNK] for at in pieces)), sha1
    path = content
    with _open(path) as file:
        try:
            sha1 = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
            size = file.tell()
        except OSError as error:
            raise _unreadable(path, error) from None

    def chunks() -> Iterator[bytes]:
        left = size
        with _open(path) as file:
            while left and (chunk := _read(file, path, min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
            if left or _read(file, path, 1):
                raise ClientError(f"{path.name} changed while it was sent: submit it again.")

    return Attachment(mime_type, size, chunks), sha1


def _open(path: Path) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _read(file: FileIO, path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ClientError:
    return ClientError(f"{path.name} cannot be read: {error.strerror}.")
