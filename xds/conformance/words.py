"""The vocabulary of the cases: what a step may send and say, what it may expect, which names have a value.

cases.py checks a case by these tables, messages.py writes what they name, checks.py judges;
a test sees to it that each expectation has a check and is used. Values are of IHE's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Transaction:
    """How a transaction goes over the wire (ITI TF-2; action as in ihe-rules 4.1)."""

    action: str
    answer: str
    at: str
    mtom: bool = False


def _answers(action: str) -> str:
    return action + "Response"


def _of(action: str, at: str, mtom: bool = False, answer: str = "") -> Transaction:
    return Transaction(action, answer or _answers(action), at, mtom)


TRANSACTIONS: Final[Mapping[str, Transaction]] = {
    "ITI-18": _of("urn:ihe:iti:2007:RegistryStoredQuery", "registry"),
    "ITI-38": _of("urn:ihe:iti:2007:CrossGatewayQuery", "responding"),
    "ITI-39": _of("urn:ihe:iti:2007:CrossGatewayRetrieve", "responding", mtom=True),
    "ITI-41": _of("urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", "repository", mtom=True),
    "ITI-42": _of("urn:ihe:iti:2007:RegisterDocumentSet-b", "registry"),
    "ITI-43": _of("urn:ihe:iti:2007:RetrieveDocumentSet", "repository", mtom=True),
    "ITI-44": _of("urn:hl7-org:v3:PRPA_IN201301UV02", "pix", answer="urn:hl7-org:v3:MCCI_IN000002UV01"),
    "ITI-51": _of("urn:ihe:iti:2009:MultiPatientStoredQuery", "registry"),
    "ITI-57": _of("urn:ihe:iti:2010:UpdateDocumentSet", "registry"),
    "ITI-61": _of(
        "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry",
        "registry",
        answer="urn:ihe:iti:2010:RegisterOnDemandDocumentResponse",
    ),
    "ITI-62": _of("urn:ihe:iti:2010:DeleteDocumentSet", "registry"),
    "ITI-80": _of("urn:ihe:iti:2015:CrossGatewayDocumentProvide", "responding", mtom=True),
    "ITI-86": _of("urn:ihe:iti:2017:RemoveDocuments", "repository"),
    "ITI-92": _of("urn:ihe:iti:2018:RestrictedUpdateDocumentSet", "registry"),
}

_SOAP: Final = frozenset(
    {"at", "as", "action", "omit_headers", "header", "soap", "mtom", "replace", "content_type", "raw",
     "patient_of_ticket"}
)  # fmt: skip
_SUBMISSION: Final = _SOAP | {"documents", "folders", "associations", "set", "patient", "inline"}
_QUERY: Final = _SOAP | {"query", "parameters", "return", "home"}
_IDS: Final = _SOAP | {"ids"}
_RETRIEVE: Final = _SOAP | {"requests"}
_HTTP: Final = frozenset({"method", "at", "path", "headers", "json", "body", "as", "patient_of_ticket"})
_BUNDLE: Final = frozenset(
    {"documents", "folders", "patient", "change", "drop", "headers", "at", "as", "patient_of_ticket"}
)  # fmt: skip

#: What a step may send -> what it may say besides.
SENDS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("ITI-41", "ITI-42", "ITI-57", "ITI-61", "ITI-80", "ITI-92"), _SUBMISSION),
    **dict.fromkeys(("ITI-18", "ITI-38", "ITI-51"), _QUERY),
    **dict.fromkeys(("ITI-39", "ITI-43", "ITI-86"), _RETRIEVE),
    "ITI-62": _IDS,
    "ITI-44": _SOAP | {"kind", "subsumed", "patient"},
    "ITI-65": _BUNDLE,
    "http": _HTTP,
    "vector": frozenset({"method", "at", "path", "headers", "bytes"}),
}
#: What may be said of each of these in a submission, a Bundle or a retrieval.
PARTS: Final[Mapping[str, frozenset[str]]] = {
    "documents": frozenset(
        {"name", "id", "uid", "document_id", "lid", "home", "patient", "title", "mime", "object_type",
         "author", "slots", "codes", "omit", "member", "bytes", "change", "drop"}
    ),
    "folders": frozenset(
        {"name", "id", "uid", "lid", "home", "patient", "title", "slots", "omit", "member", "documents"}
    ),
    "set": frozenset(
        {
            *("name", "id", "uid", "home", "patient", "title", "slots", "omit"),
            *("sourceId", "contentTypeCode", "times"),
        }
    ),
    "associations": frozenset({"name", "type", "source", "target", "slots", "companion"}),
    "requests": frozenset({"document", "repository", "home"}),
}  # fmt: skip
EXPECTATIONS: Final = frozenset(
    {
        "http", "content_type", "headers", "status", "errors", "location", "fault", "subcode",
        "refused", "let_in", "answer", "action", "relates_to", "multipart", "documents", "folders",
        "sets", "refs", "associations", "retrieved", "count", "text", "json", "json_count", "matches",
        "issues", "body", "with", "without",
    }
)  # fmt: skip

_STATUS: Final = "urn:oasis:names:tc:ebxml-regrep:StatusType:"
_IHE: Final = "urn:ihe:iti:2007:AssociationType:"
_IHE_2010: Final = "urn:ihe:iti:2010:AssociationType:"
CONSTANTS: Final[Mapping[str, str]] = {
    "Approved": _STATUS + "Approved",
    "Deprecated": _STATUS + "Deprecated",
    "stable": "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1",
    "on-demand": "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248",
    "HasMember": "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember",
    "RPLC": _IHE + "RPLC",
    "APND": _IHE + "APND",
    "XFRM": _IHE + "XFRM",
    "XFRM_RPLC": _IHE + "XFRM_RPLC",
    "signs": _IHE + "signs",
    "IsSnapshotOf": _IHE_2010 + "IsSnapshotOf",
    "UpdateAvailabilityStatus": _IHE_2010 + "UpdateAvailabilityStatus",
    "SubmitAssociation": _IHE_2010 + "SubmitAssociation",
    "anonymous": "http://www.w3.org/2005/08/addressing/anonymous",
    "MHD": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/",
}
#: rs:RegistryResponse/@status (ITI TF-3 4.2.4.2).
STATUSES: Final[Mapping[str, str]] = {
    "Success": "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success",
    "Failure": "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure",
    "PartialSuccess": "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess",
}
#: Stored queries (ITI TF-2 table 3.18.4.1.2.4-1 and 3.51).
QUERIES: Final[Mapping[str, str]] = {
    "FindDocuments": "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
    "FindSubmissionSets": "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
    "FindFolders": "urn:uuid:958f3006-baad-4929-a4de-ff1114824431",
    "GetAll": "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
    "GetDocuments": "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
    "GetFolders": "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
    "GetAssociations": "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
    "GetDocumentsAndAssociations": "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
    "GetSubmissionSets": "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
    "GetSubmissionSetAndContents": "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
    "GetFolderAndContents": "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
    "GetFoldersForDocument": "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
    "GetRelatedDocuments": "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
    "FindDocumentsByReferenceId": "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
    "FindDocumentsForMultiplePatients": "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
    "FindFoldersForMultiplePatients": "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df",
}
_OPEN: Final = "('{Approved}')"
_PATIENT: Final = "'{patient}'"
#: Parameters that a query has unless the step says otherwise; a step takes one out with [].
PARAMETERS: Final[Mapping[str, Mapping[str, str]]] = {
    "FindDocuments": {"$XDSDocumentEntryPatientId": _PATIENT, "$XDSDocumentEntryStatus": _OPEN},
    "FindDocumentsByReferenceId": {
        "$XDSDocumentEntryPatientId": _PATIENT,
        "$XDSDocumentEntryStatus": _OPEN,
    },
    "FindSubmissionSets": {"$XDSSubmissionSetPatientId": _PATIENT, "$XDSSubmissionSetStatus": _OPEN},
    "FindFolders": {"$XDSFolderPatientId": _PATIENT, "$XDSFolderStatus": _OPEN},
    "GetAll": {
        "$patientId": _PATIENT,
        "$XDSDocumentEntryStatus": _OPEN,
        "$XDSSubmissionSetStatus": _OPEN,
        "$XDSFolderStatus": _OPEN,
    },
}
#: IHE's name -> (classificationScheme, code, codingScheme), codes that the Norwegian profile has.
CODES: Final[Mapping[str, tuple[str, str, str]]] = {
    "classCode": ("urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "A00-1", "2.16.578.1.12.4.1.1.9602"),
    "confidentialityCode": ("urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f", "N", "2.16.840.1.113883.5.25"),
    "formatCode": (
        "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
        "urn:ihe:iti:xds:2017:mimeTypeSufficient",
        "1.3.6.1.4.1.19376.1.2.3",
    ),
    "healthcareFacilityTypeCode": (
        "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
        "86.101",
        "2.16.578.1.12.4.1.1.1303",
    ),
    "practiceSettingCode": (
        "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead",
        "S03",
        "2.16.578.1.12.4.1.1.8655",
    ),
    "typeCode": ("urn:uuid:f0306f51-975f-434e-a61c-c59651d33983", "A03-2", "2.16.578.1.12.4.1.1.9602"),
}
EVENT_CODES: Final = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
CONTENT_TYPE: Final = ("urn:uuid:aa543740-bdda-424e-8c96-df4873be8500", "A03-2", "2.16.578.1.12.4.1.1.9602")
CODE_LIST: Final = ("urn:uuid:1ba97051-7806-41a8-a48b-8fce7af683c5", "A03-2", "2.16.578.1.12.4.1.1.9602")
SET_NODE: Final = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
FOLDER_NODE: Final = "urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"
ENTRY_AUTHOR: Final = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
SET_AUTHOR: Final = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
ENTRY_PATIENT: Final = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
ENTRY_UNIQUE: Final = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
SET_PATIENT: Final = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SET_UNIQUE: Final = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
SET_SOURCE: Final = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
FOLDER_PATIENT: Final = "urn:uuid:f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a"
FOLDER_UNIQUE: Final = "urn:uuid:75df8f67-9973-4fbe-a900-df66cefecc5a"
#: Where a node of this project's layout has each actor.
PATHS: Final[Mapping[str, str]] = {
    "registry": "/xds/registry",
    "repository": "/xds/repository",
    "responding": "/xca/responding",
    "initiating": "/xca/initiating",
    "fhir": "/fhir",
    "pix": "/pix/feed",
}
