"""DocumentReference changed and removed: PATCH of securityLabel, and DELETE, as the Norwegian peer has them.

A PATCH is an ITI-57 with a new version of the entry; a DELETE is an ITI-62 and an ITI-86 in one transaction:
the bytes go when the metadata is gone, and a crash in between leaves bytes that nobody can see.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Document, Subject
from xds.audit.trail import Trail
from xds.errors import DataTypeError, RegistryFailure, sender
from xds.fhir import bundles, document_references
from xds.fhir import datatypes as dt
from xds.fhir.document_references import (
    KIND,
    about_one,
    by_id,
    check_id,
    checked_id,
    named_patient,
    not_there,
)
from xds.fhir.interaction import Answer, Interaction, Json, Request
from xds.fhir.outcomes import Issue, Refused, outcome
from xds.fhir.provide import checked, located, new_unique_id
from xds.fhir.rules import broken
from xds.metadata import attributes, names, updates
from xds.metadata.confidentiality import codes_of
from xds.metadata.ebrim import OWNER, new_id
from xds.metadata.entries import document_entry, registry_object
from xds.metadata.model import (
    Association,
    Code,
    DocumentEntry,
    RegistryObject,
    Slot,
    SubmissionSet,
)
from xds.registry.registry import Hit
from xds.store.keys import uuid_urn
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions import iti57_update_document_set as iti57
from xds.transactions.transaction import Node, always

log = logging.getLogger("xds")

_CONFIDENTIALITY: Final = attributes.DOCUMENT_ENTRY.scheme("confidentialityCode")
_KIND: Final = "DocumentReference"
_LABEL: Final = "securityLabel"
_JSON_PATCH: Final = "application/json-patch+json"

Labels = list[Json]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the security labels of one document: the new ones, made of those that are there."""

    id: str
    change: Callable[[Labels], Any]
    if_match: str
    request: Request

    @property
    def subject(self) -> Subject:
        """For the access log."""
        return Subject(documents=(Document(entry_uuid=f"urn:uuid:{self.id}"),))


# ---- reading a patch


def read(node: Node, request: Request) -> Change:
    """The change, in any of the three forms. Raises RegistryFailure for any other change."""
    (own,) = request.ids
    check_id(own)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON_PATCH:
        change = _json_patch(request.patch())
    else:
        resource = request.body().resource
        checked_resource = (
            {**resource, **_FILLED} if resource.get("resourceType") == "DocumentReference" else resource
        )
        checked(checked_resource)
        if resource.get("resourceType") == "Parameters":
            change = _fhirpath_patch(resource)
        elif resource.get("resourceType") == "DocumentReference" and resource.keys() <= _PARTIAL:
            labels = resource.get(_LABEL, [])

            def change(before: Labels) -> Labels:
                return list(labels)

        else:
            raise RegistryFailure(broken("mhd-change", "Resource"))
    return Change(own.lower(), change, request.headers.get("if-match", ""), request)


#: What a partial resource may have beside the labels, and what R4 wants of a whole one.
_PARTIAL: Final = frozenset(("resourceType", "id", "meta", _LABEL))
_FILLED: Final[Json] = {"status": "current", "content": [{"attachment": {"contentType": "text/plain"}}]}
_POINTER: Final = re.compile(r"/securityLabel(?:/(-|0|[1-9][0-9]{0,3})((?:/[A-Za-z0-9]{1,30})*))?")
_MOST_OPERATIONS: Final = 100


def _json_patch(data: bytes) -> Callable[[Labels], Any]:
    """RFC 6902, of the labels alone."""
    try:
        operations = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise sender("The patch is not JSON in UTF-8.") from None
    if not isinstance(operations, list) or len(operations) > _MOST_OPERATIONS:
        raise sender("A JSON Patch is a list of at most 100 operations (RFC 6902).")
    steps = []
    for number, each in enumerate(operations):
        path = each.get("path") if isinstance(each, dict) else None
        match = _POINTER.fullmatch(path) if isinstance(path, str) else None
        if (
            not isinstance(path, str)
            or match is None
            or each.get("op") not in ("add", "replace", "remove", "test")
        ):
            raise RegistryFailure(broken("mhd-change", f"[{number}]"))
        if each["op"] != "remove" and "value" not in each:
            raise sender("An operation of the patch has no value.")
        steps.append((each["op"], path.split("/")[1:], each.get("value")))

    def change(labels: Labels) -> Any:
        root: Json = {_LABEL: orjson.loads(orjson.dumps(labels))}
        for op, path, value in steps:
            try:
                _apply(root, op, path, value)
            except (LookupError, TypeError, ValueError):
                raise Refused(
                    422,
                    Issue("invalid", "The patch does not fit the labels that are there: read them again."),
                ) from None
        return root.get(_LABEL, [])

    return change


def _apply(root: Json, op: str, path: Sequence[str], value: Any) -> None:
    at: Any = root
    for step in path[:-1]:
        at = at[int(step)] if isinstance(at, list) else at[step]
    last: Any = path[-1]
    if isinstance(at, list):
        last = len(at) if last == "-" else int(last)
        if op == "add":
            if last > len(at):
                raise IndexError
            at.insert(last, value)
            return
    if op == "add":
        at[last] = value
        return
    found = at[last]
    if op == "test":
        if found != value:
            raise ValueError
    elif op == "replace":
        at[last] = value
    else:
        del at[last]


_FHIRPATH: Final = re.compile(r"DocumentReference(?:\.securityLabel(?:\[([0-9]{1,4})\])?)?")


def _fhirpath_patch(resource: Json) -> Callable[[Labels], Labels]:
    """FHIRPath Patch (FHIR R4 3.1.0.7.2), of the labels alone."""
    steps = []
    for number, each in enumerate(resource.get("parameter", ())):
        parts = {part.get("name", ""): part for part in each.get("part", ())}
        kind = parts.get("type", {}).get("valueCode", "")
        match = _FHIRPATH.fullmatch(parts.get("path", {}).get("valueString", ""))
        label = parts.get("value", {}).get("valueCodeableConcept")
        name = parts.get("name", {}).get("valueString", "")
        whole = match is not None and ".securityLabel" not in match[0]
        fits = (
            each.get("name") == "operation"
            and match is not None
            and (
                (kind == "add" and whole and name == _LABEL and label)
                or (kind == "replace" and not whole and match[1] and label)
                or (kind == "delete" and not whole)
            )
        )
        if not fits or match is None:
            raise RegistryFailure(broken("mhd-change", f"Parameters.parameter[{number}]"))
        steps.append((kind, None if match[1] is None else int(match[1]), label))

    def change(labels: Labels) -> Labels:
        changed = list(labels)
        for kind, index, label in steps:
            if index is not None and index >= len(changed):
                raise Refused(422, Issue("invalid", "The patch names a label that is not there."))
            if kind == "add":
                changed.append(label)
            elif kind == "replace" and index is not None:
                changed[index] = label
            elif index is None:
                if len(changed) > 1:
                    raise Refused(422, Issue("invalid", "The patch does not say which label goes."))
                changed.clear()
            else:
                del changed[index]
        return changed

    return change


# ---- ITI-57


def change(node: Node, asked: Change, access: Access, trail: Trail) -> Answer:
    """A new version of the entry, with other codes and all else as it was; none if they are no others."""
    obj, hit = _found(node, asked.id, access)
    entry = document_entry(obj)
    _check_match(asked.if_match, hit.version)
    codes = _codes(asked.change([dt.concept(each) for each in entry.confidentiality_codes]))
    if list(map(astuple, codes)) == list(map(astuple, entry.confidentiality_codes)):
        return document_references.one(node, asked.request, access, trail)
    objects = _update(asked.request, obj, entry, hit, codes)
    found = updates.check(objects, transaction="ITI-57", codes=node.codes)
    places = {each.id: "DocumentReference" for each in objects}
    remarks = iti42.valid(located(found, places), asked.request.reference)
    update = updates.update(objects, transaction="ITI-57")
    try:
        iti57.do(node, iti57.Requested(update, remarks), access, trail)
    except RegistryFailure as failure:
        raise RegistryFailure(*(replace(each, location=_KIND) for each in failure.errors)) from None
    page = node.registry.search(by_id(KIND, asked.id), access.visibility)
    if not page.hits:  # nothing for whoever changed it, from now on
        text = "It is changed, and no longer for you to see."
        return Answer(
            outcome([Issue("informational", text, severity="information")], asked.request.reference)
        )
    (resource,) = document_references.document_references(node, page, access.visibility, asked.request)
    return Answer(resource, headers=document_references.version_headers(resource))


def _codes(labels: Any) -> list[Code]:
    """The codes of labels that may be anything."""
    if not isinstance(labels, list):
        raise RegistryFailure(broken("mhd-value", f"{_KIND}.{_LABEL}"))
    if labels:
        checked({"resourceType": _KIND, _LABEL: labels, **_FILLED})
    codes = []
    for number, each in enumerate(labels):
        try:
            codes.append(dt.read_concept(each))
        except DataTypeError as error:
            raise RegistryFailure(broken("mhd-value", f"{_KIND}.{_LABEL}[{number}]", f"({error})")) from None
    return codes


def _found(node: Node, own: str, access: Access) -> tuple[RegistryObject, Hit]:
    page = node.registry.search(by_id(KIND, own), access.visibility)
    if not page.hits or page.hits[0].masked:
        raise not_there()
    ((obj, hit),) = bundles.objects_of(page)
    return obj, hit


def _check_match(header: str, version: int) -> None:
    wanted = [each.strip().removeprefix("W/").strip('"') for each in header.split(",")]
    if header and header.strip() != "*" and str(version) not in wanted:
        error = broken("mhd-change-version", "DocumentReference")
        raise Refused(412, Issue("conflict", f"{error.context} [{error.rule}]", error=str(error.code)))


def _update(
    request: Request, obj: RegistryObject, entry: DocumentEntry, hit: Hit, codes: Sequence[Code]
) -> list[RegistryObject]:
    """The message of ITI-57: the set, the new version, and what says which one it follows."""
    own = new_id()
    the_set = SubmissionSet(
        entry_uuid=new_id(),
        unique_id=new_unique_id(),
        patient_id=entry.patient_id,
        source_id=request.options.source_id,
        submission_time=datetime.now(UTC).strftime("%Y%m%d%H%M%S"),
        content_type_code=entry.type_code,
    )
    member = Association(
        entry_uuid=new_id(),
        type=names.HAS_MEMBER,
        source=the_set.entry_uuid,
        target=own,
        submission_set_status="Original",
        extra_slots=(Slot("PreviousVersion", (str(hit.version),)),),
    )
    relabelled = registry_object(replace(entry, entry_uuid=own, confidentiality_codes=tuple(codes)))
    labels = [
        each
        for each in relabelled.classifications
        if each.attributes.get("classificationScheme") == _CONFIDENTIALITY
    ]
    kept = [
        each
        for each in obj.classifications
        if each.attributes.get("classificationScheme") != _CONFIDENTIALITY
    ]
    version = replace(
        obj,
        attributes={
            **{name: value for name, value in obj.attributes.items() if name != "status"},
            "id": own,
            "lid": uuid_urn(hit.logical),
        },
        version_info=None,
        classifications=tuple(_owned([*kept, *labels], own, "k")),
        external_identifiers=tuple(_owned(obj.external_identifiers, own, "x")),
    )
    return [registry_object(the_set), version, registry_object(member)]


def _owned(children: Sequence[RegistryObject], own: str, letter: str) -> Sequence[RegistryObject]:
    return [
        replace(
            each,
            attributes={
                **each.attributes,
                "id": f"{own.removeprefix('urn:uuid:')}-{letter}{number}",
                OWNER[each.kind]: own,
            },
        )
        for number, each in enumerate(children)
    ]


# ---- ITI-62 and ITI-86


def remove(node: Node, request: Request, access: Access, trail: Trail) -> Answer:
    """Remove the metadata and the document, or neither."""
    obj, hit = _found(node, request.ids[0], access)
    _check_match(request.headers.get("if-match", ""), hit.version)
    entry = document_entry(obj)
    own = node.repository.is_own(entry.repository_unique_id or "")

    def work(connection: Connection) -> Mapping[str, str]:
        removed, stays = node.registry.remove_document(
            connection, hit.logical, entry.unique_id, access.visibility
        )
        if not removed:  # by somebody else, in between
            raise not_there()
        gone = {} if stays or not own else node.repository.withdraw(connection, [entry.unique_id])
        trail.context.number = "ITI-62"
        trail.done(
            connection,
            *(
                Deed(
                    patient=pid,
                    documents=tuple(
                        Document(entry_uuid=each, codes=codes_of(said)) for each, said in ids.items()
                    ),
                )
                for pid, ids in removed.items()
            ),
        )
        if gone:
            trail.context.number = "ITI-86"
            document = Document(
                unique_id=entry.unique_id,
                repository=entry.repository_unique_id or "",
                codes=tuple(entry.confidentiality_codes),
            )
            trail.done(connection, *(Deed(patient=pid, documents=(document,)) for pid in removed))
        return gone

    try:
        keys = node.database.transact(work)
    except RegistryFailure as failure:
        if all(each.rule == "remove-known" for each in failure.errors):
            raise not_there() from None
        raise RegistryFailure(*(replace(each, location=_KIND) for each in failure.errors)) from None
    try:
        node.repository.remove(keys.values())
    except OSError as error:  # nobody can see them; the sweep removes them
        log.error("%s ITI-86 not deleted (%s)", request.reference, type(error).__name__)
    return Answer(status=204)


INTERACTIONS: Final = (
    Interaction(
        number="ITI-57",
        method="PATCH",
        path="DocumentReference/{id}",
        code="patch",
        about=about_one,
        read=read,
        asks=always(Action.UPDATE),
        patient=lambda node, asked: named_patient(node, asked.request),
        do=change,
    ),
    Interaction(
        number="ITI-62",
        method="DELETE",
        path="DocumentReference/{id}",
        code="delete",
        about=about_one,
        read=checked_id,
        asks=always(Action.DELETE),
        patient=named_patient,
        do=remove,
    ),
)
