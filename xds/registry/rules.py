"""The registry's own rules: those that need to know what is registered, and those of stored queries.

register.py and queries/ report by these ids; docs/errors.md lists them.
A rule's sentence must never hold anything from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata.rules import Rule

_PARAMETERS: Final = "ITI TF-2 3.18.4.1.2.3.5"
_REMOVE: Final = "ITI TF-2 3.62.4.1.3"

RULES: Final[Mapping[str, Rule]] = {
    "registry-patient-known": Rule(
        "The patient id must be known here (patients.source): a valid national number under its own"
        " authority's OID, or an id that the identity feed has announced.",
        "ITI TF-2 3.42.4.1.3.3.2",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "registry-patient-merged": Rule(
        "The patient id has been merged into another: use the surviving id.",
        "ITI TF-2 3.8.4.2.4",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "registry-merge-self": Rule(
        "A patient id must not be merged into itself: name the id that goes and the id that stays.",
        "ITI TF-2 3.8.4.2.4",
        Code.REGISTRY_ERROR,
    ),
    "registry-merge-subsumed": Rule(
        "A patient id must be merged once: this one has been merged already.",
        "ITI TF-2 3.8.4.2.4",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "registry-merge-surviving": Rule(
        "The surviving patient id must be active: this one has itself been merged into another,"
        " so merge into that one.",
        "ITI TF-2 3.8.4.2.4",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "registry-merge-undone": Rule(
        "Only a patient id that is merged into another can be taken back: list the merges to find it.",
        "this registry's own",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "registry-object-size": Rule(
        "The metadata of one object must not be larger than 1,000,000 bytes:"
        " documents do not belong into it.",
        "this registry's own limit",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-entry-uuid-new": Rule(
        "This entryUUID is in the registry already:"
        " send a new UUID, or a symbolic id and let the registry choose.",
        "ITI TF-2 3.42.4.1.3.7",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-limited-metadata": Rule(
        "This registry does not accept limited metadata (registry.limited_metadata): take out the label"
        " limitedMetadata and send complete metadata.",
        "ITI TF-3 4.3.1-3",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-release-time": Rule(
        "The Slot that says when delayed access ends (access.release_slot) must have one time, to the day at"
        " least: YYYYMMDD, with hours, minutes and seconds if these matter, in UTC.",
        "this registry's own",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-addendum": Rule(
        "An addendum must belong to the original document: a transformation (XFRM) is not appended to.",
        "ITI TF-3 4.2.2.2.1",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-reference-known": Rule(
        "An object that is named by UUID must be in the submission or in the registry.",
        "ITI TF-2 3.42.4.1.3.5",
        Code.UNRESOLVED_REFERENCE,
    ),
    "registry-reference-kind": Rule(
        "An association must link the kinds of object that its type allows.",
        "ITI TF-3 4.2.2",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-same-patient": Rule(
        "Related documents, and a folder and its documents, must belong to one patient, and so must all that"
        " hangs on a document that is replaced.",
        "ITI TF-2 3.42.4.1.3.5",
        Code.PATIENT_ID_DOES_NOT_MATCH,
    ),
    "registry-member-once": Rule(
        "A document must be filed in a folder once: it is in this one already, so take the membership out.",
        "ITI TF-3 4.2.2.1.3",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-document-approved": Rule(
        "An association must not refer to a deprecated document: refer to the entry that replaced it.",
        "ITI TF-3 4.2.2",
        Code.REGISTRY_DEPRECATED_DOCUMENT,
    ),
    "registry-folder-approved": Rule(
        "A folder that gains a document must be approved: this one is deprecated.",
        "ITI TF-2 3.42.4.1.3.4",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-set-unique-id": Rule(
        "A SubmissionSet.uniqueId must be used once, by any kind of object; only an identical repeat"
        " of the whole submission may carry it again. Send other content under a new uniqueId.",
        "ITI TF-2 3.42.4.1.3.3.7",
        Code.DUPLICATE_UNIQUE_ID_IN_REGISTRY,
    ),
    "registry-folder-unique-id": Rule(
        "A Folder.uniqueId must be used once, by any kind of object: give the folder a new one.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.DUPLICATE_UNIQUE_ID_IN_REGISTRY,
    ),
    "registry-document-unique-id-kind": Rule(
        "A DocumentEntry.uniqueId must not be that of a submission set or folder: give the document its own.",
        "ITI TF-3 4.2.3.2.26",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-document-unique-id-type": Rule(
        "A stable and an on-demand document must not have the same uniqueId: give the new one its own.",
        "ITI TF-2 3.61.4.1.3",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "registry-document-same-hash": Rule(
        "A DocumentEntry.uniqueId that is known must come with the same hash:"
        " a changed document needs a new uniqueId.",
        "ITI TF-2 3.42.4.1.3.3.1",
        Code.NON_IDENTICAL_HASH,
    ),
    "registry-document-same-size": Rule(
        "A DocumentEntry.uniqueId that is known must come with the same size:"
        " a changed document needs a new uniqueId.",
        "ITI TF-2 3.42.4.1.3.3.1",
        Code.NON_IDENTICAL_SIZE,
    ),
    "remove-known": Rule(
        "An object that is to be removed must be in the registry: give its entryUUID.",
        _REMOVE,
        Code.UNRESOLVED_REFERENCE,
    ),
    "remove-referenced": Rule(
        "An object must not be removed while an association that stays names it: name its associations too.",
        _REMOVE,
        Code.REFERENCES_EXIST,
    ),
    "remove-source": Rule(
        "A transformation, signature or snapshot must not be parted from its origin:"
        " name the document that is the association's source too.",
        _REMOVE,
        Code.REFERENCES_EXIST,
    ),
    "remove-versions": Rule(
        "The versions of a document entry or folder must be removed together: name the others too.",
        "this registry's own rule; IHE is silent (docs/removal.md)",
        Code.REFERENCES_EXIST,
    ),
    "remove-orphan": Rule(
        "No object that stays may lose its last association:"
        " name the object too, or leave it an association.",
        _REMOVE,
        Code.UNREFERENCED_OBJECT,
    ),
    "query-known": Rule(
        "The AdhocQuery id must be that of a stored query of this transaction: ITI-51 has the queries for"
        " multiple patients, ITI-18 all others.",
        "ITI TF-2 3.18.4.1.2.4",
        Code.UNKNOWN_STORED_QUERY,
    ),
    "query-return-type": Rule(
        "The returnType must be LeafClass or ObjectRef.", "ITI TF-2 3.18.4.1.2.3.1", Code.REGISTRY_ERROR
    ),
    "query-parameter-required": Rule(
        "A required parameter must be given, with a value that is understood.",
        "ITI TF-2 3.18.4.1.2.3.7",
        Code.STORED_QUERY_MISSING_PARAM,
    ),
    "query-parameter-alternatives": Rule(
        "Of parameters that take each other's place, one must be given.",
        "ITI TF-2 3.18.4.1.2.3.7",
        Code.STORED_QUERY_MISSING_PARAM,
    ),
    "query-parameter-some": Rule(
        "At least one of the parameters that narrow a query over all patients must be given.",
        "ITI TF-2 3.51.4.1.2.1.1 and 3.51.4.1.2.1.2",
        Code.STORED_QUERY_MISSING_PARAM,
    ),
    "query-parameter-exclusive": Rule(
        "Of parameters that take each other's place, only one may be given.",
        "ITI TF-2 3.18.4.1.2.3.7",
        Code.STORED_QUERY_PARAM_NUMBER,
    ),
    "query-parameter-single": Rule(
        "A single-valued parameter must have one value.", _PARAMETERS, Code.STORED_QUERY_PARAM_NUMBER
    ),
    "query-parameter-repeated": Rule(
        "A parameter that may not be combined by AND must stand once: put alternatives in one list.",
        _PARAMETERS,
        Code.STORED_QUERY_PARAM_NUMBER,
    ),
    "query-parameter-many": Rule(
        "A parameter must not have more than 8,192 values, nor be repeated more than 20 times:"
        " ask in several queries.",
        "this registry's own limit",
        Code.STORED_QUERY_PARAM_NUMBER,
    ),
    "query-values-many": Rule(
        "All parameters together must not have more than 8,192 values, nor patterns for LIKE of more than"
        " 8,000 characters: ask in several queries.",
        "this registry's own limit",
        Code.STORED_QUERY_PARAM_NUMBER,
    ),
    "query-parameter-value": Rule(
        "A value is not written as its type asks: strings stand in single quotes, lists in parentheses,"
        " codes as code^^codingScheme, patient ids as id^^^&OID&ISO, times as DTM, entry ids as urn:uuid:.",
        _PARAMETERS,
        Code.REGISTRY_ERROR,
    ),
    "query-metadata-level": Rule(
        "A logicalID is asked for at metadata level 2 only: send $MetadataLevel 2 too.",
        "XDS Metadata Update 3.18.4.1.2.3",
        Code.REGISTRY_ERROR,
    ),
    "query-home": Rule(
        "The AdhocQuery home must be this community's id, or be left out: ask another community through a"
        " gateway.",
        "ITI TF-2 3.18.4.1.2.3.8",
        Code.UNKNOWN_COMMUNITY,
    ),
    "query-too-many": Rule(
        "There is more than one answer may hold (registry.results), and this is only a part of it: narrow the"
        " query, by time, class, type or status, until this warning is gone.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.TOO_MANY_RESULTS,
    ),
    "query-single-patient": Rule(
        "A query by id that returns full objects must not mix patients: ask for each patient's by themselves,"
        " or for ObjectRef.",
        "ITI TF-2 3.18.4.1.2.3.7.5, .6 and .8 to .11, notes",
        Code.RESULT_NOT_SINGLE_PATIENT,
    ),
}


def broken(rule_id: str, location: str = "", detail: str = "") -> RegistryError:
    """The error of a broken rule at a location."""
    return RULES[rule_id].error(rule_id, location, detail=detail)
