"""The document-sharing metadata as plain data (ITI TF-3 4.1, 4.2).

Readers make these values once at the edge and everything inside the node works on them; no XML below this
line. Two layers: `RegistryObject` is an ebRIM object exactly as it was sent, in order, unknown slots and all;
`DocumentEntry`, `SubmissionSet`, `Folder` and `Association` are the same object in IHE's terms. Nothing here
reads, writes, or decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Slot:
    """A named list of values; `slot_type` is kept because it was sent, nothing uses it."""

    name: str
    values: tuple[str, ...]
    slot_type: str | None = None


@dataclass(frozen=True, slots=True)
class LocalizedString:
    """A text with the language and character set attributes it was sent with."""

    value: str
    language: str | None = None
    charset: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryObject:
    """One ebRIM object as received: the whole content, in document order.

    `kind` is the element's local name: ExtrinsicObject, RegistryPackage, Association, Classification,
    ExternalIdentifier or ObjectRef. `attributes` are the XML attributes without the child lists.
    """

    kind: str
    attributes: Mapping[str, str]
    slots: tuple[Slot, ...] = ()
    name: tuple[LocalizedString, ...] = ()
    description: tuple[LocalizedString, ...] = ()
    version_info: Mapping[str, str] | None = None
    classifications: tuple[RegistryObject, ...] = ()
    external_identifiers: tuple[RegistryObject, ...] = ()

    @property
    def id(self) -> str:
        """The id as sent: a UUID URN, or a symbolic id that lives in one message only."""
        return self.attributes.get("id", "")


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value; two codes are equal when code and scheme are (the display name never counts)."""

    code: str
    scheme: str
    display: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Author:
    """One author Classification; every value is the HL7 v2 text as sent (XCN, XON, coded string, XTN)."""

    person: str | None = None
    institutions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    specialties: tuple[str, ...] = ()
    telecommunications: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEntry:
    """One document's metadata (ITI TF-3 4.2.3.2); times are DTM texts in UTC, ids are texts as sent."""

    entry_uuid: str
    unique_id: str
    patient_id: str
    mime_type: str
    class_code: Code
    type_code: Code
    format_code: Code
    practice_setting_code: Code
    healthcare_facility_type_code: Code
    confidentiality_codes: tuple[Code, ...]
    language_code: str
    source_patient_id: str
    object_type: str = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
    availability_status: str | None = None
    logical_id: str | None = None
    version: int | None = None
    home: str | None = None
    repository_unique_id: str | None = None
    creation_time: str | None = None
    service_start_time: str | None = None
    service_stop_time: str | None = None
    hash: str | None = None
    size: int | None = None
    title: str | None = None
    comments: str | None = None
    uri: str | None = None
    legal_authenticator: str | None = None
    document_availability: str | None = None
    authors: tuple[Author, ...] = ()
    event_codes: tuple[Code, ...] = ()
    reference_ids: tuple[str, ...] = ()
    source_patient_info: tuple[str, ...] = ()
    extra_slots: tuple[Slot, ...] = ()
    received: RegistryObject | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSet:
    """What was submitted together, by whom and when (ITI TF-3 4.2.3.3)."""

    entry_uuid: str
    unique_id: str
    patient_id: str
    source_id: str
    submission_time: str
    content_type_code: Code
    availability_status: str | None = None
    home: str | None = None
    title: str | None = None
    comments: str | None = None
    authors: tuple[Author, ...] = ()
    intended_recipients: tuple[str, ...] = ()
    extra_slots: tuple[Slot, ...] = ()
    received: RegistryObject | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A named collection of documents of one patient (ITI TF-3 4.2.3.4)."""

    entry_uuid: str
    unique_id: str
    patient_id: str
    codes: tuple[Code, ...]
    title: str | None = None
    comments: str | None = None
    last_update_time: str | None = None
    availability_status: str | None = None
    logical_id: str | None = None
    version: int | None = None
    home: str | None = None
    extra_slots: tuple[Slot, ...] = ()
    received: RegistryObject | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """A typed link between two registry objects (ITI TF-3 4.2.2)."""

    entry_uuid: str
    type: str
    source: str
    target: str
    availability_status: str | None = None
    submission_set_status: str | None = None
    documentation: Code | None = None
    extra_slots: tuple[Slot, ...] = ()
    received: RegistryObject | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Submission:
    """The content of one SubmitObjectsRequest that passed validation: one set and what it holds."""

    submission_set: SubmissionSet
    document_entries: tuple[DocumentEntry, ...] = ()
    folders: tuple[Folder, ...] = ()
    associations: tuple[Association, ...] = ()
