"""Every metadata attribute in one table: its name, where it is coded, its type, and who must send it.

The reader, the writer, the validator and its list of rules all run from these tables (ITI TF-3 4.2.3 and
tables 4.2.3.2-1, 4.3.1-3, 4.3.2.1-3); a change of the standard is a change of a line here.
Nothing here may decide anything: it is data, and the grouping of an object's children that finds the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from xds.metadata import names
from xds.metadata.model import Author, Code, RegistryObject


class Coding(Enum):
    """Where in the ebRIM object an attribute stands."""

    XML = "XML attribute"
    SLOT = "Slot"
    NAME = "Name"
    DESCRIPTION = "Description"
    VERSION = "VersionInfo"
    CODE = "Classification by classificationScheme, a code"
    AUTHOR = "Classification by classificationScheme, an author"
    NODE = "Classification by classificationNode, a label"
    IDENTIFIER = "ExternalIdentifier by identificationScheme"


#: The columns of `Attribute.use`, in order: who sends, or that a registry answers.
#: A new version by metadata update must say what a registered entry says.
COLUMNS: Final = {"ITI-41": 0, "ITI-42": 1, "LIM": 2, "ITI-61": 3, "query": 4, "ITI-57": 1, "ITI-92": 1}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One line of a table.

    `name` is IHE's; `key` the XML attribute, slot name or scheme UUID by which it is found.
    `type` is a key of `datatypes.CHECKS`, or names a type that is checked by its shape or not at all.
    `field` is the attribute of the model class, empty when the model has none.
    `many` tells whether it may be repeated.
    `use` has one mark per column of `COLUMNS`: R required, R2 required if known, O optional, X prohibited,
    R3 required for stable and prohibited for on-demand documents, - not defined there.
    `maximum` is the greatest length in characters, 0 for none beyond the schema's.
    """

    name: str
    coding: Coding
    key: str
    type: str
    field: str
    many: bool
    use: tuple[str, ...]
    maximum: int = 0

    def required(self, column: str) -> bool:
        """Whether a sender of `column` must give it."""
        return self.use[COLUMNS[column]] == "R"

    def prohibited(self, column: str) -> bool:
        """Whether a sender of `column` must not give it."""
        return self.use[COLUMNS[column]] == "X"


@dataclass(frozen=True, slots=True)
class Table:
    """The attributes of one kind of object.

    `name` is IHE's name, `prefix` begins its rule ids, `kind` is its ebRIM element,
    `node` the classification node that labels it (packages only), `source` the section of the standard.
    """

    name: str
    prefix: str
    kind: str
    node: str
    source: str
    attributes: tuple[Attribute, ...]

    def identifier_name(self, attribute: Attribute) -> str:
        """The fixed Name of an ExternalIdentifier (ITI TF-3 4.2.3.1.3)."""
        return f"XDS{self.name}.{attribute.name}"

    def scheme(self, name: str) -> str:
        """The key of the attribute that IHE calls `name`."""
        return next(a.key for a in self.attributes if a.name == name)


def _line(
    name: str, coding: Coding, key: str, type: str, n: str, use: str, field: str = "", maximum: int = 0
) -> Attribute:
    return Attribute(name, coding, key, type, field, n.endswith("*"), tuple(use.split()), maximum)


_X, _S, _C, _I = Coding.XML, Coding.SLOT, Coding.CODE, Coding.IDENTIFIER

# fmt: off
DOCUMENT_ENTRY: Final = Table("DocumentEntry", "DE", "ExtrinsicObject", "", "ITI TF-3 4.2.3.2", (
    # name, coding, key, type, cardinality, "ITI-41 ITI-42 LIM ITI-61 query", field of the model, length
    _line("author", Coding.AUTHOR, names.AUTHOR_DOCUMENT, "Author", "0..*", "R2 R2 R2 R2 R2", "authors"),
    _line("availabilityStatus", _X, "status", "URN", "1", "O O O O R", "availability_status"),
    _line("classCode", _C, "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "Code", "1",
          "R R R2 R R", "class_code"),
    _line("comments", Coding.DESCRIPTION, "", "String", "0..1", "O O O O O", "comments"),
    _line("confidentialityCode", _C, "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f", "Code", "1..*",
          "R R R2 R R", "confidentiality_codes"),
    _line("creationTime", _S, "creationTime", "DTM", "1", "R R R2 X R3", "creation_time"),
    _line("documentAvailability", _S, "documentAvailability", "Document availability", "0..1", "O O - - O",
          "document_availability"),
    _line("entryUUID", _X, "id", "Object id", "1", "R R R R R", "entry_uuid"),
    _line("eventCodeList", _C, "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4", "Code", "0..*", "O O O O O",
          "event_codes"),
    _line("formatCode", _C, "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d", "Code", "1", "R R R2 R R",
          "format_code"),
    _line("hash", _S, "hash", "SHA-1", "1", "O R O X R3", "hash"),
    _line("healthcareFacilityTypeCode", _C, "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1", "Code", "1",
          "R R R2 R R", "healthcare_facility_type_code"),
    _line("homeCommunityId", _X, "home", "OID URN", "0..1", "O O O O O", "home"),
    _line("languageCode", _S, "languageCode", "Language", "1", "R R R2 R R", "language_code"),
    _line("legalAuthenticator", _S, "legalAuthenticator", "XCN", "0..1", "O O O O O", "legal_authenticator"),
    _line("limitedMetadata", Coding.NODE, "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85", "Flag", "0..1",
          "X X R X X"),
    _line("logicalID", _X, "lid", "URN", "1", "- - - - -", "logical_id"),
    _line("mimeType", _X, "mimeType", "MIME type", "1", "R R R R R", "mime_type"),
    _line("objectType", _X, "objectType", "Object type", "1", "R R R R R", "object_type"),
    _line("patientId", _I, names.DOCUMENT_PATIENT_ID, "CX", "1", "R R R2 R R", "patient_id"),
    _line("practiceSettingCode", _C, "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead", "Code", "1",
          "R R R2 R R", "practice_setting_code"),
    _line("referenceIdList", _S, "urn:ihe:iti:xds:2013:referenceIdList", "CXi", "0..*", "O O O O O",
          "reference_ids"),
    _line("repositoryUniqueId", _S, "repositoryUniqueId", "OID", "1", "O R O R R", "repository_unique_id"),
    _line("serviceStartTime", _S, "serviceStartTime", "DTM", "0..1", "R2 R2 R2 O R2", "service_start_time"),
    _line("serviceStopTime", _S, "serviceStopTime", "DTM", "0..1", "R2 R2 R2 O R2", "service_stop_time"),
    _line("size", _S, "size", "Integer", "1", "O R O X R3", "size"),
    _line("sourcePatientId", _S, "sourcePatientId", "CX", "1", "R R R2 R R", "source_patient_id"),
    _line("sourcePatientInfo", _S, "sourcePatientInfo", "Field", "0..*", "O O R2 O O", "source_patient_info"),
    _line("title", Coding.NAME, "", "String", "0..1", "O O O O O", "title", 128),
    _line("typeCode", _C, "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983", "Code", "1",
          "R R R2 R R", "type_code"),
    _line("uniqueId", _I, names.DOCUMENT_UNIQUE_ID, "Identifier", "1", "R R R R R", "unique_id"),
    _line("URI", _S, "URI", "URI", "0..1", "O O O O O", "uri"),
    _line("version", Coding.VERSION, "versionName", "String", "1", "- - - - -", "version"),
))

SUBMISSION_SET: Final = Table(
    "SubmissionSet", "SS", "RegistryPackage", names.SUBMISSION_SET_NODE, "ITI TF-3 4.2.3.3", (
    _line("author", Coding.AUTHOR, names.AUTHOR_SUBMISSION_SET, "Author", "0..*",
          "R2 R2 R2 R2 R2", "authors"),
    _line("availabilityStatus", _X, "status", "URN", "1", "O O O O R", "availability_status"),
    _line("comments", Coding.DESCRIPTION, "", "String", "0..1", "O O O O O", "comments"),
    _line("contentTypeCode", _C, "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500", "Code", "1", "R R R2 R R",
          "content_type_code"),
    _line("entryUUID", _X, "id", "Object id", "1", "R R R R R", "entry_uuid"),
    _line("homeCommunityId", _X, "home", "OID URN", "0..1", "O O O O O", "home"),
    _line("intendedRecipient", _S, "intendedRecipient", "Recipient", "0..*",
          "O O R2 O O", "intended_recipients"),
    _line("limitedMetadata", Coding.NODE, "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707", "Flag", "0..1",
          "X X R X X"),
    _line("patientId", _I, names.SUBMISSION_SET_PATIENT_ID, "CX", "1", "R R R2 R R", "patient_id"),
    _line("sourceId", _I, names.SUBMISSION_SET_SOURCE_ID, "OID", "1", "R R R R R", "source_id"),
    _line("submissionTime", _S, "submissionTime", "DTM", "1", "R R R R R", "submission_time"),
    _line("title", Coding.NAME, "", "String", "0..1", "O O O O O", "title", 256),
    _line("uniqueId", _I, names.SUBMISSION_SET_UNIQUE_ID, "OID", "1", "R R R R R", "unique_id"),
))

FOLDER: Final = Table("Folder", "FD", "RegistryPackage", names.FOLDER_NODE, "ITI TF-3 4.2.3.4", (
    _line("availabilityStatus", _X, "status", "URN", "1", "O O O O R", "availability_status"),
    _line("codeList", _C, "urn:uuid:1ba97051-7806-41a8-a48b-8fce7af683c5", "Code", "1..*",
          "R R R2 R R", "codes"),
    _line("comments", Coding.DESCRIPTION, "", "String", "0..1", "O O O O O", "comments"),
    _line("entryUUID", _X, "id", "Object id", "1", "R R R R R", "entry_uuid"),
    _line("homeCommunityId", _X, "home", "OID URN", "0..1", "O O O O O", "home"),
    _line("lastUpdateTime", _S, "lastUpdateTime", "DTM to the second", "1", "O O O O O", "last_update_time"),
    _line("limitedMetadata", Coding.NODE, "urn:uuid:2c144a76-29a9-4b7c-af54-b25409fe7d03", "Flag", "0..1",
          "X X R X X"),
    _line("logicalID", _X, "lid", "URN", "1", "- - - - -", "logical_id"),
    _line("patientId", _I, names.FOLDER_PATIENT_ID, "CX", "1", "R R R2 R R", "patient_id"),
    _line("title", Coding.NAME, "", "String", "1", "R R O R R", "title", 256),
    _line("uniqueId", _I, names.FOLDER_UNIQUE_ID, "OID", "1", "R R R R R", "unique_id"),
    _line("version", Coding.VERSION, "versionName", "String", "1", "- - - - -", "version"),
))

ASSOCIATION: Final = Table("Association", "AS", "Association", "", "ITI TF-3 4.2.2", (
    _line("associationDocumentation", _C, names.ASSOCIATION_DOCUMENTATION, "Code", "0..1", "O O O O O",
          "documentation"),
    _line("associationType", _X, "associationType", "URN", "1", "R R R R R", "type"),
    _line("availabilityStatus", _X, "status", "URN", "1", "O O O O R", "availability_status"),
    _line("entryUUID", _X, "id", "Object id", "1", "R R R R R", "entry_uuid"),
    _line("sourceObject", _X, "sourceObject", "Object id", "1", "R R R R R", "source"),
    _line("submissionSetStatus", _S, "SubmissionSetStatus", "String", "0..1",
          "O O O O O", "submission_set_status"),
    _line("targetObject", _X, "targetObject", "Object id", "1", "R R R R R", "target"),
))
# fmt: on

TABLES: Final = (DOCUMENT_ENTRY, SUBMISSION_SET, FOLDER, ASSOCIATION)

#: The labels by which a Metadata-Limited Document Source says that it leaves attributes out.
_LIMITED: Final = frozenset(
    a.key for table in TABLES for a in table.attributes if a.name == "limitedMetadata"
)

#: The slots of an author Classification (ITI TF-3 4.2.3.1.4): name, type, field of `Author`, repeated or not.
#: Roles and specialties are plain or coded strings, which means any text.
AUTHOR_SLOTS: Final = (
    ("authorPerson", "XCN", "person", False),
    ("authorInstitution", "XON", "institutions", True),
    ("authorRole", "String", "roles", True),
    ("authorSpecialty", "String", "specialties", True),
    ("authorTelecommunication", "XTN", "telecommunications", True),
)

#: At least one of these says who an author is.
AUTHOR_IDENTITIES: Final = ("authorPerson", "authorInstitution", "authorTelecommunication")


def table_of(obj: RegistryObject) -> Table | None:
    """The table of a top-level object, None for what is not document-sharing metadata.

    A RegistryPackage must carry exactly one of the two labels; its labels must be inside it already.
    """
    if obj.kind == "ExtrinsicObject":
        return DOCUMENT_ENTRY
    if obj.kind == "Association":
        return ASSOCIATION
    if obj.kind == "RegistryPackage":
        nodes = {c.attributes.get("classificationNode") for c in obj.classifications}
        labelled = [table for table in (SUBMISSION_SET, FOLDER) if table.node in nodes]
        if len(labelled) == 1:
            return labelled[0]
    return None


def is_limited(obj: RegistryObject) -> bool:
    """Whether the object carries the label of limited metadata (ITI TF-3 4.2.3.1.10)."""
    return any(child.attributes.get("classificationNode") in _LIMITED for child in obj.classifications)


class Children:
    """An object's children by name, scheme or node, as they came; of equal slots the first counts."""

    __slots__ = ("classifications", "identifiers", "nodes", "obj", "slots")

    def __init__(self, obj: RegistryObject) -> None:
        self.obj: Final = obj
        self.slots: Final[Mapping[str, tuple[str, ...]]] = slot_values(obj)
        self.classifications: Final[dict[str, list[RegistryObject]]] = {}
        self.nodes: Final[set[str]] = set()
        self.identifiers: Final[dict[str, list[RegistryObject]]] = {}
        for child in obj.classifications:
            scheme = child.attributes.get("classificationScheme")
            if scheme is not None:
                self.classifications.setdefault(scheme, []).append(child)
            else:
                self.nodes.add(child.attributes.get("classificationNode", ""))
        for child in obj.external_identifiers:
            self.identifiers.setdefault(child.attributes.get("identificationScheme", ""), []).append(child)

    def texts(self, attribute: Attribute) -> tuple[str, ...]:
        """The values of an attribute that is plain text; nothing for codes, authors and labels.

        Names without text are left out: an empty Name says no more than none.
        """
        match attribute.coding:
            case Coding.SLOT:
                return self.slots.get(attribute.key, ())
            case Coding.XML:
                value = self.obj.attributes.get(attribute.key)
                return () if value is None else (value,)
            case Coding.IDENTIFIER:
                return tuple([i.attributes.get("value", "") for i in self.identifiers.get(attribute.key, ())])
            case Coding.NAME:
                return tuple([text.value for text in self.obj.name if text.value])
            case Coding.DESCRIPTION:
                return tuple([text.value for text in self.obj.description if text.value])
            case Coding.VERSION:
                value = (self.obj.version_info or {}).get(attribute.key)
                return () if value is None else (value,)
            case _:
                return ()


def slot_values(obj: RegistryObject) -> dict[str, tuple[str, ...]]:
    """Slot name -> values; of slots with the same name the first counts."""
    found: dict[str, tuple[str, ...]] = {}
    for slot in obj.slots:
        found.setdefault(slot.name, slot.values)
    return found


def code_of(classification: RegistryObject) -> Code:
    """The code that a validated Classification holds."""
    scheme = slot_values(classification).get("codingScheme", ())
    display = classification.name[0].value if classification.name else None
    return Code(classification.attributes.get("nodeRepresentation", ""), scheme[0] if scheme else "", display)


def author_of(classification: RegistryObject) -> Author:
    """The author that a validated Classification holds."""
    slots = slot_values(classification)
    person = slots.get("authorPerson", ())
    return Author(
        person[0] if person else None,
        slots.get("authorInstitution", ()),
        slots.get("authorRole", ()),
        slots.get("authorSpecialty", ()),
        slots.get("authorTelecommunication", ()),
    )
