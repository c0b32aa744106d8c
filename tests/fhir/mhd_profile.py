"""What MHD wants of the resources it hands out, written from its profiles and not from the package.

Minimal and Comprehensive (contained) metadata of MHD 4.2.3, and the types of identifiers that 4.2.4 has
instead of their use. `broken` gives a line for each rule that a resource breaks. R4 itself is judged by
xds.fhir.r4.validation, whose tests have an oracle of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

DEFINED = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
URI = "urn:ietf:rfc:3986"
ID_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
HOME = DEFINED + "ihe-HomeCommunityId"
OID = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")
UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")

#: Element -> (least, most) in Minimal metadata, least in Comprehensive; a path goes through single elements.
DOCUMENT_REFERENCE = {
    "masterIdentifier": (1, 1, 1),
    "status": (1, 1, 1),
    "docStatus": (0, 0, 0),
    "type": (0, 1, 1),
    "category": (0, 1, 1),
    "subject": (0, 1, 1),
    "date": (0, 1, 0),
    "author": (0, None, 0),
    "authenticator": (0, 1, 0),
    "relatesTo": (0, None, 0),
    "description": (0, 1, 0),
    "securityLabel": (0, None, 1),
    "content": (1, 1, 1),
    "content.attachment": (1, 1, 1),
    "content.attachment.contentType": (1, 1, 1),
    "content.attachment.language": (0, 1, 1),
    "content.attachment.data": (0, 0, 0),
    "content.attachment.url": (1, 1, 1),
    "content.attachment.size": (0, 1, 0),
    "content.attachment.hash": (0, 1, 0),
    "content.attachment.title": (0, 1, 0),
    "content.attachment.creation": (0, 1, 1),
    "content.format": (0, 1, 1),
    "context": (0, 1, 1),
    "context.period": (0, 1, 0),
    "context.facilityType": (0, 1, 1),
    "context.practiceSetting": (0, 1, 1),
    "context.sourcePatientInfo": (0, 1, 1),
}
_LIST = {
    "code": (1, 1, 1),
    "status": (1, 1, 1),
    "mode": (1, 1, 1),
    "title": (0, 1, 0),
    "subject": (0, 1, 1),
    "date": (0, 1, 0),
    "source": (0, 1, 0),
    "note": (0, 1, 0),
    "encounter": (0, 0, 0),
    "orderedBy": (0, 0, 0),
    "emptyReason": (0, 0, 0),
}
SUBMISSION_SET = _LIST | {"date": (1, 1, 1)}
FOLDER = _LIST | {"title": (0, 1, 1), "source": (0, 0, 0)}

#: Extension of MHD -> (its type, least and most in Minimal, least in Comprehensive).
SET_EXTENSIONS = {
    "ihe-designationType": ("valueCodeableConcept", 0, 1, 1),
    "ihe-sourceId": ("valueIdentifier", 1, 1, 1),
    "ihe-intendedRecipient": ("valueReference", 0, None, 0),
    "ihe-HomeCommunityId": ("valueOid", 0, 1, 0),
}
FOLDER_EXTENSIONS = {
    "ihe-designationType": ("valueCodeableConcept", 0, None, 1),
    "ihe-HomeCommunityId": ("valueOid", 0, 1, 0),
}
DOCUMENT_EXTENSIONS = {"ihe-HomeCommunityId": ("valueOid", 0, 1, 0)}

#: What may be contained, and where a Reference to it may stand.
CONTAINED = {
    "author": {"Practitioner", "PractitionerRole", "Organization", "Device", "Patient", "RelatedPerson"},
    "authenticator": {"Practitioner", "PractitionerRole", "Organization"},
    "context.sourcePatientInfo": {"Patient"},
    "source": {"Practitioner", "PractitionerRole", "Patient", "Device"},
}


def broken(resource: Json, *, comprehensive: bool = True) -> list[str]:
    """What of MHD's profiles the resource breaks, as sentences."""
    return list(_broken(resource, comprehensive))


def _broken(resource: Json, comprehensive: bool) -> Iterator[str]:
    if resource["resourceType"] == "DocumentReference":
        table, extensions = DOCUMENT_REFERENCE, DOCUMENT_EXTENSIONS
        yield from _document_reference(resource)
    elif _is(resource.get("code", {}), LIST_TYPES, "submissionset"):
        table, extensions = SUBMISSION_SET, SET_EXTENSIONS
        yield from _list(resource, {"DocumentReference", "List"})
        yield from _set(resource)
    elif _is(resource.get("code", {}), LIST_TYPES, "folder"):
        table, extensions = FOLDER, FOLDER_EXTENSIONS
        yield from _list(resource, {"DocumentReference"})
    else:
        yield "the List is neither a submission set nor a folder"
        return
    for path, (least, most, comprehensive_least) in table.items():
        number = len(at(resource, path))
        if number < (comprehensive_least if comprehensive else least) or (most is not None and number > most):
            yield f"{path}: {number} times"
    for name, (kind, least, most, comprehensive_least) in extensions.items():
        found = [each for each in resource.get("extension", ()) if each["url"] == DEFINED + name]
        wanted = comprehensive_least if comprehensive else least
        if len(found) < wanted or (most is not None and len(found) > most):
            yield f"extension {name}: {len(found)} times"
        if not all(kind in each for each in found):
            yield f"extension {name}: not {kind}"
    allowed = {DEFINED + name for name in extensions}
    for each in resource.get("extension", ()):
        if each["url"] not in allowed and not each["url"].startswith("urn:no:xds:"):
            yield "an extension of nobody"
    for path, kinds in CONTAINED.items():
        for each in at(resource, path):
            yield from _reference(resource, each, kinds, path, comprehensive)
    yield from _identifiers(resource)
    yield from _contained(resource)
    if any("modifierExtension" in each for each in walk(resource)):
        yield "a modifierExtension"
    if "security" in resource.get("meta", {}):
        yield "meta.security labels the metadata, and not the document"


def _document_reference(resource: Json) -> Iterator[str]:
    if resource["status"] not in ("current", "superseded"):
        yield "status"
    master = resource.get("masterIdentifier", {})
    if not master.get("system") or not master.get("value") or master.get("use") != "usual":
        yield "masterIdentifier: system, value and use usual"
    if not _is(master.get("type", {}), ID_TYPES, "uniqueId"):
        yield "masterIdentifier.type (4.2.4)"
    for each in resource.get("identifier", ()):
        if _is(each.get("type", {}), ID_TYPES, "uniqueId") and each != master:
            yield "identifier uniqueId is not the masterIdentifier (4.2.4)"
    for path in ("type", "category", "securityLabel", "context.event", "context.facilityType"):
        for each in at(resource, path):
            if not all(one.get("code") or "_code" in one for one in each.get("coding", [])):
                yield f"{path}: a coding without code"
    for path in ("context.related", "context.encounter"):
        for each in at(resource, path):
            codings = each.get("identifier", {}).get("type", {}).get("coding", [])
            if "reference" in each or [one.get("system") for one in codings] != [URI]:
                yield f"{path}: not an identifier with its type"
    for each in resource.get("relatesTo", ()):
        if not each["target"].get("reference", "").startswith("DocumentReference/"):
            yield "relatesTo.target is no DocumentReference"


def _list(resource: Json, items: set[str]) -> Iterator[str]:
    if resource["mode"] != "working":
        yield "mode"
    for each in resource.get("entry", ()):
        if each.keys() & {"flag", "deleted", "date"} or each["item"].get("type") not in items:
            yield "entry"


def _set(resource: Json) -> Iterator[str]:
    if resource["status"] != "current":
        yield "status of a submission set"
    for each in resource["extension"]:
        if each["url"] == DEFINED + "ihe-sourceId" and not OID.fullmatch(each["valueIdentifier"]["value"]):
            yield "sourceId is no OID"
    (unique,) = [one for one in resource["identifier"] if one["use"] == "usual"]
    if unique["system"] != URI or not OID.fullmatch(unique["value"]):
        yield "the uniqueId of a submission set is no OID"


def _identifiers(resource: Json) -> Iterator[str]:
    entry_uuids = [each for each in resource["identifier"] if each.get("use") == "official"]
    if len(entry_uuids) != 1:
        yield "identifier: not one entryUUID"
    for each in entry_uuids:
        if each["system"] != URI or not UUID.fullmatch(each["value"]):
            yield "the entryUUID is no UUID"
        if not _is(each.get("type", {}), ID_TYPES, "entryUUID"):
            yield "the type of the entryUUID (4.2.4)"
    if len([one for one in resource["identifier"] if _is(one.get("type", {}), ID_TYPES, "uniqueId")]) > 1:
        yield "identifier: several uniqueIds"


def _contained(resource: Json) -> Iterator[str]:
    held = resource.get("contained", [])
    ids = [each["id"] for each in held]
    if len(set(ids)) != len(ids):
        yield "two contained resources of one id"
    references = [
        each["reference"]
        for each in walk(resource)
        if isinstance(each.get("reference"), str) and each["reference"].startswith("#")
    ]
    if set(references) != {f"#{own}" for own in ids}:
        yield "contained resources and references to them differ"
    for each in held:
        if "contained" in each or "versionId" in each.get("meta", {}) or "text" in each:
            yield "a contained resource with contained, versionId or text"


def _reference(
    resource: Json, reference: Json, kinds: set[str], path: str, comprehensive: bool
) -> Iterator[str]:
    if path == "source" and "reference" not in reference:
        organisations = [one for one in reference["extension"] if one["url"] == DEFINED + "ihe-authorOrg"]
        if len(organisations) != 1:
            yield "source: neither a reference nor an organisation"
            return
        reference, kinds = organisations[0]["valueReference"], {"Organization"}
    target = reference.get("reference", "")
    found = [each for each in resource.get("contained", ()) if target == f"#{each['id']}"]
    if comprehensive and not found:
        yield f"{path}: not contained"
    if any(each["resourceType"] not in kinds for each in found):
        yield f"{path}: a resource of another type"


def at(resource: Json, path: str) -> list[Any]:
    """All that stands at a path."""
    found: list[Any] = [resource]
    for name in path.split("."):
        found = [each[name] for each in found if name in each]
        found = [one for each in found for one in (each if isinstance(each, list) else [each])]
    return found


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def _is(concept: Json, system: str, code: str) -> bool:
    return [(one.get("system"), one.get("code")) for one in concept.get("coding", ())] == [(system, code)]
