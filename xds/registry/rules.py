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

RULES: Final[Mapping[str, Rule]] = {
    "registry-patient-merged": Rule(
        "The patient id has been merged into another: submit under the surviving id.",
        "ITI TF-2 3.8.4.2.4",
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
        "Related documents, and a folder and its documents, must belong to one patient.",
        "ITI TF-2 3.42.4.1.3.5",
        Code.PATIENT_ID_DOES_NOT_MATCH,
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
    "query-known": Rule(
        "The AdhocQuery id must be that of a stored query of this registry.",
        "ITI TF-2 3.18.4.1.2.4",
        Code.UNKNOWN_STORED_QUERY,
    ),
    "query-return-type": Rule(
        "The returnType must be LeafClass or ObjectRef.", "ITI TF-2 3.18.4.1.2.6", Code.REGISTRY_ERROR
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
    "query-parameter-value": Rule(
        "A value is not written as its type asks: strings stand in single quotes, lists in parentheses,"
        " codes as code^^codingScheme, times as DTM, entry ids as urn:uuid:.",
        _PARAMETERS,
        Code.REGISTRY_ERROR,
    ),
    "query-single-patient": Rule(
        "A query by id that returns full objects must not mix patients: ask for each patient's by themselves,"
        " or for ObjectRef.",
        "ITI TF-2 3.18.4.1.2.3.8",
        Code.RESULT_NOT_SINGLE_PATIENT,
    ),
}


def broken(rule_id: str, location: str = "", detail: str = "") -> RegistryError:
    """The error of a broken rule at a location."""
    return RULES[rule_id].error(rule_id, location, detail=detail)
