"""The rules of MHD itself: what the parts of a bundle must be to each other, and what is not done here.

The modules that publish report by these ids; docs/errors.md lists them. Locations are FHIRPath. What valid
metadata is, the rules of XDS say; no sentence holds anything from a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata.rules import Rule

_BUNDLE: Final = "MHD 3.65.4.1.2"
_METADATA: Final = Code.REPOSITORY_METADATA_ERROR

RULES: Final[Mapping[str, Rule]] = {
    "mhd-bundle": Rule(
        "What is posted here is a Bundle of type transaction (ITI-65).", _BUNDLE, Code.INVALID_REQUEST
    ),
    "mhd-entry": Rule(
        "An entry is one of: List (submission set or folder), DocumentReference and Binary by POST; a folder"
        " also by PUT; Patient by GET, POST or PUT; Parameters by PATCH of what is replaced. None but a"
        " Patient has conditions.",
        _BUNDLE,
        _METADATA,
    ),
    "mhd-one-set": Rule("A bundle has exactly one submission set.", _BUNDLE, _METADATA),
    "mhd-full-url": Rule(
        "Every entry but GET and PATCH must have a fullUrl of its own, such as urn:uuid: and a new UUID.",
        _BUNDLE,
        _METADATA,
    ),
    "mhd-value": Rule("The value must be one that the metadata of XDS can hold.", "MHD mapping", _METADATA),
    "mhd-document": Rule(
        "attachment.url must be the fullUrl of a Binary in the bundle, or cid: and the Content-ID of a part:"
        " nothing is fetched from elsewhere.",
        _BUNDLE,
        Code.MISSING_DOCUMENT,
    ),
    "mhd-document-data": Rule(
        "The Binary must have its bytes in data, as base64.", _BUNDLE, Code.MISSING_DOCUMENT
    ),
    "mhd-document-once": Rule(
        "Every Binary and every part must be the document of exactly one DocumentReference.",
        _BUNDLE,
        Code.MISSING_DOCUMENT_METADATA,
    ),
    "mhd-document-inside": Rule(
        "attachment.data is for ITI-105: put the document into a Binary of the bundle, and its fullUrl into"
        " attachment.url.",
        _BUNDLE,
        _METADATA,
    ),
    "mhd-fhir-document": Rule(
        "Documents that are FHIR Bundles are not taken: send the document as a Binary.",
        "MHD 3.65.4.1.3",
        Code.FHIR_DOCUMENT_NOT_SUPPORTED,
    ),
    "mhd-status": Rule(
        "What is published is current: the status of a DocumentReference or List is no other.",
        "MHD 3.65.4.1.2",
        _METADATA,
    ),
    "mhd-prohibited": Rule(
        "MHD does not allow this element here: leave it out.", "MHD, Comprehensive metadata", _METADATA
    ),
    "mhd-single": Rule(
        "There is one of this in what MHD publishes: send one.", "MHD, Comprehensive metadata", _METADATA
    ),
    "mhd-folder": Rule(
        "A folder that is put names one that is registered, List/id, and its entries are documents.",
        _BUNDLE,
        _METADATA,
    ),
    "mhd-item": Rule(
        "An entry of a List must be a DocumentReference of the bundle or of this node; a submission set may"
        " hold its folders too.",
        _BUNDLE,
        Code.UNRESOLVED_REFERENCE,
    ),
    "mhd-related": Rule(
        "relatesTo must name a DocumentReference of the bundle or of this node that may be seen: by its"
        " address, or by an identifier.",
        "MHD 3.65.4.1.2",
        Code.UNRESOLVED_REFERENCE,
    ),
    "mhd-patch": Rule(
        "A PATCH in a bundle does nothing but set DocumentReference.status to superseded, of a document that"
        " another one of the bundle replaces.",
        _BUNDLE,
        Code.METADATA_UPDATE_ERROR,
    ),
    "mhd-home": Rule(
        "The homeCommunityId names another community than this one: send it there, or leave it out.",
        "norwegian-profile 2.7",
        Code.UNKNOWN_COMMUNITY,
    ),
    "mhd-publish": Rule(
        "What is published by itself is a DocumentReference with the document in attachment.data, without"
        " attachment.url.",
        "MHD 3.105.4.1.2",
        _METADATA,
    ),
    "mhd-generate": Rule(
        "The operation takes Parameters with one parameter document: a Binary with a CDA document.",
        "MHD 3.106.4.1.2",
        _METADATA,
    ),
    "mhd-cda": Rule(
        "The header of the CDA document must say what a document entry needs.",
        "MHD 3.106.4.1.3",
        Code.INVALID_DOCUMENT_CONTENT,
    ),
    "mhd-change": Rule(
        "Of a DocumentReference only securityLabel can be changed: by a JSON Patch, by FHIRPath Patch"
        " Parameters, or by a DocumentReference with nothing else in it.",
        "norwegian-profile 8",
        Code.UNMODIFIABLE_METADATA,
    ),
    "mhd-change-version": Rule(
        "The DocumentReference has changed since it was read (If-Match): read it again.",
        "FHIR R4 3.1.0.5",
        Code.METADATA_VERSION_ERROR,
    ),
    "mhd-not-saved": Rule(
        "The registry has no place for this element, and it is not kept.",
        "MHD 3.65.4.1.3",
        Code.EXTRA_METADATA_NOT_SAVED,
    ),
}


def broken(rule_id: str, expression: str, detail: str = "", *, warning: bool = False) -> RegistryError:
    """The error of a broken rule at an element."""
    return RULES[rule_id].error(rule_id, expression, "ITI-41", detail, warning=warning)
