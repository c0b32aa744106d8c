"""The rules of the transactions themselves: what the parts of a message must be to each other.

docs/errors.md lists them with the rules of the other layers. No sentence holds anything from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata.rules import Rule

_PROVIDE: Final = "ITI TF-2 3.41.4.1.2"

RULES: Final[Mapping[str, Rule]] = {
    "schema": Rule(
        "The Body must follow the XML Schema of its transaction.",
        "the schemas served with the WSDL",
        Code.REGISTRY_METADATA_ERROR,
        Code.REPOSITORY_METADATA_ERROR,
    ),
    "document-for-entry": Rule(
        "Every DocumentEntry must come with its document: an xds:Document whose id is the"
        " entry's id, with its bytes in the message.",
        _PROVIDE,
        Code.MISSING_DOCUMENT,
    ),
    "entry-for-document": Rule(
        "Every document must come with its metadata: an ExtrinsicObject whose id is the xds:Document's id.",
        _PROVIDE,
        Code.MISSING_DOCUMENT_METADATA,
    ),
    "part-referred-to": Rule(
        "Every MIME part must be referred to by an xop:Include in an xds:Document: send no other parts.",
        "ITI TF-2 V.8",
        Code.MISSING_DOCUMENT_METADATA,
    ),
    "document-once": Rule(
        "Every xds:Document must have an id of its own.", _PROVIDE, Code.REPOSITORY_METADATA_ERROR
    ),
    "document-hash": Rule(
        "The hash in the metadata must be the SHA-1 of the document's bytes:"
        " leave it out to have it computed.",
        "ITI TF-2 3.41.4.1.3",
        Code.REPOSITORY_METADATA_ERROR,
    ),
    "document-size": Rule(
        "The size in the metadata must be the number of the document's bytes:"
        " leave it out to have it computed.",
        "ITI TF-2 3.41.4.1.3",
        Code.REPOSITORY_METADATA_ERROR,
    ),
    "document-same-bytes": Rule(
        "A uniqueId that is stored must come with the same bytes: a changed document needs a new uniqueId.",
        "ITI TF-2 3.41.4.1.3.2",
        Code.NON_IDENTICAL_HASH,
    ),
    "remove-ids": Rule(
        "A removal of metadata must name at least one object, as rim:ObjectRef in rim:ObjectRefList.",
        "ITI TF-2 3.62.4.1.2",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "remove-scope": Rule(
        "A removal of metadata must not have a deletionScope: leave it out, only what is named is removed.",
        "ITI TF-2 3.62.4.1.2",
        Code.REGISTRY_METADATA_ERROR,
    ),
    "remove-document-repository": Rule(
        "The RepositoryUniqueId must be this repository's own:"
        " send the removal to the repository that holds the document.",
        "ITI TF-2 3.86.4.1.3",
        Code.UNKNOWN_REPOSITORY_ID,
    ),
    "remove-document-known": Rule(
        "The DocumentUniqueId must be that of a document in this repository.",
        "ITI TF-2 3.86.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    "remove-document-bytes": Rule(
        "The document can no longer be fetched, but its bytes could not be deleted now:"
        " tell the operator of this node, with the reference number; `xds sweep` deletes them.",
        "ITI TF-2 3.86.4.1.3",
        Code.REMOVE_DOCUMENTS_ERROR,
    ),
    "retrieve-size": Rule(
        "One answer must not be larger than this node allows (limits.total_bytes):"
        " ask for fewer documents at once.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.TOO_MANY_RESULTS,
    ),
    "retrieve-repository": Rule(
        "The RepositoryUniqueId must be this repository's own: ask the repository that the entry names.",
        "ITI TF-2 3.43.4.1.3",
        Code.UNKNOWN_REPOSITORY_ID,
    ),
    "retrieve-on-demand": Rule(
        "The document is made on demand, and this node has no function for it (repository.on_demand):"
        " tell the operator of this node.",
        "ITI TF-2 3.43.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    "retrieve-on-demand-patient": Rule(
        "On-demand documents of several patients have this uniqueId, so it does not say which is meant: their"
        " source must register each under a uniqueId of its own.",
        "ITI TF-2 3.43.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    "retrieve-on-demand-content": Rule(
        "There is no content for this on-demand document now.",
        "ITI TF-2 3.43.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    "retrieve-on-demand-made": Rule(
        "The on-demand document could not be made: ask again later, or tell the operator of this node, with"
        " the reference number.",
        "ITI TF-2 3.43.4.1.3",
        Code.REPOSITORY_ERROR,
    ),
    "retrieve-on-demand-time": Rule(
        "The on-demand document was not made in time (repository.on_demand_seconds): ask again later, for"
        " fewer documents at once.",
        "ITI TF-2 3.43.4.1.3",
        Code.REPOSITORY_BUSY,
    ),
    "retrieve-on-demand-kept": Rule(
        "The on-demand document was made and could not be registered as a snapshot, so it is not handed out:"
        " ask again later, or tell the operator of this node, with the reference number.",
        "ITI TF-2 3.43.4.1.3",
        Code.REPOSITORY_ERROR,
    ),
    "retrieve-document": Rule(
        "The DocumentUniqueId must be that of a document in this repository.",
        "ITI TF-2 3.43.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    "retrieve-blocked": Rule(
        "Access denied for the document: the patient has blocked it (sperret). It is opened with consent"
        " to blocked data, or in an emergency, and then logged.",
        "norwegian-profile 3.6",
        Code.REPOSITORY_ERROR,
    ),
    "retrieve-intact": Rule(
        "The document's bytes are damaged or missing here, so they are not handed out: tell the"
        " operator of this node, with the reference number.",
        "ITI TF-2 3.43.4.1.3",
        Code.REPOSITORY_ERROR,
    ),
    "retrieve-number": Rule(
        "One request must not ask for more documents than this node allows (limits.parts):"
        " ask in several requests.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.TOO_MANY_RESULTS,
    ),
    "feed-header": Rule(
        "The message must begin with MSH and the separators that HL7 recommends, and name its event in MSH-9"
        " and itself in MSH-10.",
        "ITI TF-2 C.2.2",
        Code.REGISTRY_ERROR,
    ),
    "feed-event": Rule(
        "The message must be an ADT message for A01, A04, A05, A08 or A40: send no others to this port.",
        "ITI TF-2 3.8.4",
        Code.REGISTRY_ERROR,
    ),
    "feed-charset": Rule(
        "MSH-18 must be empty, ASCII, UNICODE UTF-8 or 8859/1 to 8859/10 or 8859/15.",
        "ITI TF-2 C.2.2",
        Code.REGISTRY_ERROR,
    ),
    "feed-patient-id": Rule(
        "The message must name the patient by an id of an authority whose ids are used here (patients.source,"
        " patients.authorities), by its OID or, in HL7 v2, by a namespace that is set here.",
        "ITI TF-2 3.8.4.1.3",
        Code.UNKNOWN_PATIENT_ID,
    ),
    "feed-patient-id-form": Rule(
        "A patient id must not be empty, nor longer than 180 characters, nor hold separators, control"
        " characters or blanks at its ends, and its authority must be an OID.",
        "ITI TF-2 3.8.4.1.2",
        Code.REGISTRY_ERROR,
    ),
    "feed-patient-ids-many": Rule(
        "A message must not name more than 1,000 ids of a patient: it is about one person.",
        "this node's own limit",
        Code.REGISTRY_ERROR,
    ),
    "feed-one-pair": Rule(
        "A merge must name one id that survives and one that is subsumed: send a message for each pair.",
        "ITI TF-2 3.8.4.2",
        Code.REGISTRY_ERROR,
    ),
    "feed-internal": Rule(
        "The node could not process the message because of an error of its own and has changed nothing:"
        " tell its operator, with the reference number.",
        "HL7 table 0008",
        Code.REGISTRY_ERROR,
    ),
    "node-read-only": Rule(
        "This node takes nothing in for now (node.read_only), as when its data is moved:"
        " send it again later.",
        "this node's own",
        Code.REGISTRY_BUSY,
        Code.REPOSITORY_BUSY,
    ),
    "node-busy": Rule(
        "The node could not finish the request just now and has stored nothing: send it again, unchanged.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.REGISTRY_BUSY,
        Code.REPOSITORY_BUSY,
    ),
    "node-full": Rule(
        "The node has no room left and has stored nothing:"
        " tell its operator, and send it again later, unchanged.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.REGISTRY_OUT_OF_RESOURCES,
        Code.REPOSITORY_OUT_OF_RESOURCES,
    ),
}


def broken(rule_id: str, location: str = "", transaction: str = "", detail: str = "") -> RegistryError:
    """The error of a broken rule at a location."""
    return RULES[rule_id].error(rule_id, location, transaction, detail)
