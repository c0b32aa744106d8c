"""Synthetic metadata that any test suite can start from: Norwegian codes, invented people, no real document.

Typed builders take the changes as keyword arguments; `submission` makes the ebRIM objects of a good message
and `message` writes it as XML. Patient numbers are of the Tenor series (month + 80) and organisation numbers
of its 31 series, so nobody has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree

from xds.metadata import names
from xds.metadata.ebrim import write_object
from xds.metadata.entries import registry_object
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    RegistryObject,
    Slot,
    SubmissionSet,
)

PATIENT = "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"
OTHER_PATIENT = "29844697323^^^&2.16.578.1.12.4.1.4.1&ISO"
SOURCE_ID = "2.16.578.1.12.4.5.480.1.2"
REPOSITORY = "2.16.578.1.12.4.5.100.1.1.2"
HOME = "urn:oid:2.16.578.1.12.4.5.100.1.1"
EMPTY_SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

DOCUMENT_TYPES = "2.16.578.1.12.4.1.1.9602"
DISCHARGE_GROUP = Code("A00-1", DOCUMENT_TYPES, "Epikriser og sammenfatninger")
DISCHARGE_LETTER = Code("A03-2", DOCUMENT_TYPES, "Epikrise")
NOTE_GROUP = Code("B00-1", DOCUMENT_TYPES, "Kontinuerlig/løpende journal")
NOTE = Code("B02-2", DOCUMENT_TYPES, "Journalnotat")
NORMAL = Code("N", "2.16.840.1.113883.5.25", "normal")
BLOCKED = Code("NORS", "2.16.578.1.12.4.1.1.9603", "Sperret")
HOSPITAL = Code("86.101", "2.16.578.1.12.4.1.1.1303", "Alminnelige somatiske sykehus")
INTERNAL_MEDICINE = Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin")
ANY_MIME_TYPE = Code(
    "urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3", "mimeType Sufficient"
)

DOCTOR = "9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"
HOSPITAL_UNIT = "Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000"
DEPARTMENT = "Avdeling for prøver^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4201234"
AUTHOR = Author(
    person=DOCTOR,
    institutions=(HOSPITAL_UNIT, DEPARTMENT),
    roles=("3^^^&2.16.578.1.12.4.1.1.9034&ISO",),
    specialties=("190^^^&2.16.578.1.12.4.1.1.7426&ISO",),
    telecommunications=("^^Internet^tuva.fjell@example.org",),
)


def document_entry(**changes: Any) -> DocumentEntry:
    """A discharge letter in PDF with everything that ITI-42 asks for."""
    values: dict[str, Any] = {
        "entry_uuid": "Document01",
        "unique_id": "2.16.578.1.12.4.5.480.1.2.1001",
        "patient_id": PATIENT,
        "mime_type": "application/pdf",
        "class_code": DISCHARGE_GROUP,
        "type_code": DISCHARGE_LETTER,
        "format_code": ANY_MIME_TYPE,
        "practice_setting_code": INTERNAL_MEDICINE,
        "healthcare_facility_type_code": HOSPITAL,
        "confidentiality_codes": (NORMAL,),
        "language_code": "nb-NO",
        "source_patient_id": PATIENT,
        "creation_time": "20260311094500",
        "service_start_time": "20260309080000",
        "service_stop_time": "20260311",
        "hash": EMPTY_SHA1,
        "size": 0,
        "repository_unique_id": REPOSITORY,
        "title": "Epikrise, indremedisin",
        "comments": "Syntetisk prøvedokument",
        "legal_authenticator": DOCTOR,
        "authors": (AUTHOR,),
        "source_patient_info": (
            f"PID-3|{PATIENT}",
            "PID-5|Testperson^Syntetisk",
            "PID-7|19550517",
            "PID-8|M",
        ),
    }
    return DocumentEntry(**(values | changes))


def submission_set(**changes: Any) -> SubmissionSet:
    """A set by the same author for the same patient."""
    values: dict[str, Any] = {
        "entry_uuid": "SubmissionSet01",
        "unique_id": "2.16.578.1.12.4.5.480.1.2.2001",
        "patient_id": PATIENT,
        "source_id": SOURCE_ID,
        "submission_time": "20260311100000",
        "content_type_code": DISCHARGE_LETTER,
        "title": "Innsending",
        "authors": (AUTHOR,),
        "intended_recipients": ("Legekontoret^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^311000004",),
    }
    return SubmissionSet(**(values | changes))


def folder(**changes: Any) -> Folder:
    """An empty folder for the same patient."""
    values: dict[str, Any] = {
        "entry_uuid": "Folder01",
        "unique_id": "2.16.578.1.12.4.5.480.1.2.3001",
        "patient_id": PATIENT,
        "codes": (DISCHARGE_GROUP,),
        "title": "Opphold i mars",
        "comments": "Syntetisk mappe",
    }
    return Folder(**(values | changes))


def association(type: str, source: str, target: str, **changes: Any) -> Association:
    """A link; its id is symbolic and made from its ends unless `entry_uuid` is given."""
    values: dict[str, Any] = {
        "entry_uuid": f"{source}-{target}".replace("urn:uuid:", ""),
        "type": type,
        "source": source,
        "target": target,
    }
    return Association(**(values | changes))


def member(source: str, target: str, status: str | None = None, **changes: Any) -> Association:
    """A HasMember; `status` is SubmissionSetStatus."""
    return association(names.HAS_MEMBER, source, target, submission_set_status=status, **changes)


def submission(
    *documents: DocumentEntry,
    folders: Iterable[Folder] = (),
    links: Iterable[Association] = (),
    of: SubmissionSet | None = None,
) -> tuple[RegistryObject, ...]:
    """A well-formed message: set, documents, folders, their memberships in the set, then `links` as given.

    Without documents it holds `document_entry()`; with folders and no links, an empty message but for them.
    """
    chosen = documents or (() if folders else (document_entry(),))
    head = of or submission_set()
    own = head.entry_uuid
    entries = [
        head,
        *chosen,
        *folders,
        *[member(own, d.entry_uuid, "Original") for d in chosen],
        *[member(own, f.entry_uuid) for f in folders],
        *links,
    ]
    return tuple(map(registry_object, entries))


def object_list(objects: Iterable[RegistryObject]) -> bytes:
    """The objects as a rim:RegistryObjectList that declares the prefix rim."""
    body = b"".join(map(write_object, objects))
    return (
        b'<rim:RegistryObjectList xmlns:rim="'
        + names.RIM.encode()
        + b'">'
        + body
        + b"</rim:RegistryObjectList>"
    )


def message(objects: Iterable[RegistryObject]) -> bytes:
    """The objects as an lcm:SubmitObjectsRequest, which is the body of ITI-42."""
    head = f'<lcm:SubmitObjectsRequest xmlns:lcm="{names.LCM}">'.encode()
    return head + object_list(objects) + b"</lcm:SubmitObjectsRequest>"


def element(xml: bytes) -> etree._Element:
    """The XML as an element, the way the node's hardened parser would give it."""
    return etree.fromstring(
        xml, etree.XMLParser(resolve_entities=False, remove_comments=True, remove_pis=True)
    )


def rich_document_entry(**changes: Any) -> DocumentEntry:
    """An entry of a realistic size for measuring: 9 Classifications and 11 Slots, about 7 kB of ebRIM."""
    return document_entry(
        **{
            "confidentiality_codes": (NORMAL, BLOCKED),
            "event_codes": (Code("KX0123", "2.16.578.1.12.4.1.1.7210", "Eksempelkode"),),
            "extra_slots": (Slot("urn:example:arkivdel", ("A", "B")),),
        }
        | changes
    )
