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
    "retrieve-document": Rule(
        "The DocumentUniqueId must be that of a document in this repository.",
        "ITI TF-2 3.43.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
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
