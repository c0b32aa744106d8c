"""A document by itself: ITI-105 Simplified Publish, and ITI-106 Generate Metadata from a CDA document.

Both make the submission set that ITI-65 would have brought, and go on as provide.py does. The set's uniqueId
is made of the document's, so that publishing a document once more is told as the repeat that it is; the
entryUUID is not, as it would be told as an id that is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from xds.errors import RegistryError, RegistryFailure
from xds.fhir import mapping
from xds.fhir.datatypes import unique_id
from xds.fhir.document_references import KIND, by_id, document_references
from xds.fhir.interaction import Answer, Interaction, Json, Request
from xds.fhir.mapping import Findings, Reader, Registered, resource_id
from xds.fhir.outcomes import issue_of, outcome
from xds.fhir.provide import (
    Asked,
    Draft,
    MakeAnswer,
    asked,
    asks,
    checked,
    do,
    new_unique_id,
    of_findings,
    patient,
    prohibited,
    relations,
)
from xds.fhir.rules import broken
from xds.metadata import cda
from xds.metadata.ebrim import new_id
from xds.metadata.model import DocumentEntry, SubmissionSet
from xds.registry.view import Visibility
from xds.transactions.transaction import Node
from xds.transport.staged import Staged

_PLACE: Final = "DocumentReference"


def _draft(request: Request, entry: DocumentEntry, staged: Staged | None, place: str) -> Draft:
    """A submission of one document, whose set says who wrote it and of what kind it is."""
    own = new_unique_id()
    if entry.unique_id:
        # With the patient, so that nobody takes the id of a document of somebody else that is to come.
        own = new_unique_id(f"{entry.patient_id}|{entry.unique_id}|published")
    the_set = SubmissionSet(
        entry_uuid=new_id(),
        unique_id=own,
        patient_id=entry.patient_id,
        source_id=request.options.source_id,
        submission_time=datetime.now(UTC).strftime("%Y%m%d%H%M%S"),
        content_type_code=entry.type_code,
        authors=entry.authors,
    )
    draft = Draft(the_set, entries=[entry])
    draft.places[the_set.entry_uuid] = draft.places[entry.entry_uuid] = place
    if staged is not None:
        draft.documents[entry.entry_uuid] = staged
    draft.member(entry.entry_uuid, "Original")
    return draft


#: Rules of what a set has from its document, of which the document's own rules say the same.
_TAKEN: Final = ("SS-author", "SS-contentTypeCode-", "SS-patientId-")


def _asked(
    node: Node, draft: Draft, errors: Sequence[RegistryError], request: Request, answer: MakeAnswer
) -> Asked:
    """The submission when it is valid; what is wrong with the document is told of the document alone."""
    try:
        found = asked(node, draft, errors, request.reference, answer)
    except RegistryFailure as failure:
        told = _of_document(failure.errors)
        raise RegistryFailure(*(told or failure.errors)) from None
    return replace(found, warnings=_of_document(found.warnings))


def _of_document(errors: Sequence[RegistryError]) -> tuple[RegistryError, ...]:
    return tuple(each for each in errors if not each.rule.startswith(_TAKEN))


# ---- ITI-105


def read(node: Node, request: Request) -> Asked:
    """The submission of a DocumentReference that has its document inside."""
    received = request.body()
    resource = received.resource
    if resource.get("resourceType") != "DocumentReference":
        raise RegistryFailure(broken("mhd-publish", "Resource"))
    name = _data(resource)
    checked(resource)
    findings = Findings()
    errors: list[RegistryError] = [*prohibited(resource, _PLACE)]
    attachment = resource["content"][0]["attachment"]
    if not name or "url" in attachment or len(resource["content"]) > 1:
        errors.append(broken("mhd-publish", f"{_PLACE}.content[0].attachment"))
    reader = Reader(resource, _PLACE, findings, lambda reference: None)
    entry = mapping.read_document_reference(reader, new_id())
    draft = _draft(request, entry, received.staged.get(name), _PLACE)
    errors += relations(draft, entry, resource, _PLACE, lambda reference: "", request.place.base)
    errors += of_findings(findings)

    def answer(draft: Draft, warnings: Sequence[RegistryError], visibility: Visibility) -> Answer:
        own = resource_id(entry.entry_uuid)
        page = node.registry.search(by_id(KIND, own), visibility)
        created = next(iter(document_references(node, page, visibility, request)), None)
        if created is None:
            # The patient was nobody's when it was asked what may be seen, or it is hidden from whoever
            # published it, who has just said all this.
            staged = draft.documents[entry.entry_uuid]
            stored = replace(
                entry, hash=staged.sha1, size=staged.size, repository_unique_id=node.repository.unique_id
            )
            at = round(datetime.now(UTC).timestamp() * 1000)
            created = mapping.document_reference(stored, Registered(own, 1, at), request.place)
        return Answer(created, 201, {"Location": f"{request.place.base}/{_PLACE}/{own}", "ETag": 'W/"1"'})

    return _asked(node, draft, errors, request, answer)


def _data(resource: Json) -> str:
    """The name of the document inside, which is no base64 any more."""
    content = resource.get("content")
    first = content[0] if isinstance(content, list) and content else None
    attachment = first.get("attachment") if isinstance(first, dict) else None
    data = attachment.pop("data", "") if isinstance(attachment, dict) else ""
    return data if isinstance(data, str) else ""


# ---- ITI-106


def read_generate(node: Node, request: Request) -> Asked:
    """The submission of a CDA document, whose header says all that is to be said of it."""
    received = request.body()
    resource = received.resource
    parameters = resource.get("parameter") if resource.get("resourceType") == "Parameters" else None
    documents = [
        each.get("resource")
        for each in (parameters if isinstance(parameters, list) else ())
        if isinstance(each, dict) and each.get("name") == "document"
    ]
    given = documents[0] if len(documents) == 1 and isinstance(documents[0], dict) else {}
    if given.get("resourceType") == "Bundle":
        raise RegistryFailure(broken("mhd-fhir-document", "Parameters.parameter.resource"))
    name = given.pop("data", "") if given.get("resourceType") == "Binary" else ""
    staged = received.staged.get(name) if isinstance(name, str) else None
    if staged is None:
        raise RegistryFailure(broken("mhd-generate", "Parameters.parameter"))
    checked(resource)
    with staged.open() as file:
        beginning = file.read(cda.LONGEST + 1)
    try:
        header = cda.read_header(beginning, new_id(), test=node.registry.options.synthetic)
    except cda.CdaError as error:
        raise RegistryFailure(
            *(broken("mhd-cda", each.location, f"({each.sentence})") for each in error.findings)
        ) from None
    place = "Parameters.parameter[0].resource.ofType(Binary)"
    draft = _draft(request, header.entry, staged, place)
    before = {"replaces": header.replaces, "appends": header.appends, "transforms": header.transforms}
    related: Json = {
        "relatesTo": [
            {"code": code, "target": {"identifier": unique_id(others[0])}}
            for code, others in before.items()
            if others
        ]
    }
    errors = tuple(relations(draft, header.entry, related, place, lambda _: "", request.place.base))

    def answer(draft: Draft, warnings: Sequence[RegistryError], visibility: Visibility) -> Answer:
        url = f"{_PLACE}/{resource_id(header.entry.entry_uuid)}"
        parameter: list[Json] = [
            {"name": "DocumentReference", "valueReference": {"reference": url, "type": _PLACE}}
        ]
        remarks = [broken("mhd-not-saved", place, f"({each})", warning=True) for each in header.remarks]
        if told := [*warnings, *remarks]:
            parameter.append({"name": "outcome", "resource": outcome(map(issue_of, told), request.reference)})
        return Answer({"resourceType": "Parameters", "parameter": parameter})

    return _asked(node, draft, errors, request, answer)


INTERACTIONS: Final = (
    Interaction(
        number="ITI-105",
        method="POST",
        path="DocumentReference",
        code="create",
        read=read,
        asks=asks,
        patient=patient,
        do=do,
    ),
    Interaction(
        number="ITI-106",
        method="POST",
        path="DocumentReference/$generate-metadata",
        code="$generate-metadata",
        read=read_generate,
        asks=asks,
        patient=patient,
        do=do,
    ),
)
