"""Gate 0: one bad message for every rule, several errors at once, and what must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.metadata import samples
from tests.metadata.expected import EXPECTED, Expected
from xds.errors import Code as ErrorCode
from xds.metadata import names
from xds.metadata.ebrim import read_object_list
from xds.metadata.entries import registry_object
from xds.metadata.model import Author, Code, LocalizedString, RegistryObject, Slot
from xds.metadata.rules import RULES
from xds.metadata.validation import check, submission

Objects = tuple[RegistryObject, ...]
Change = Callable[[RegistryObject], RegistryObject]

REGISTERED = "urn:uuid:44444444-4444-4444-8444-444444444444"
ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"

#: The id by which each kind of object stands in the good message.
IDS = {"DE": "Document01", "SS": "SubmissionSet01", "FD": "Folder01", "AS": "Transformation"}
#: The label of limited metadata of each kind of object.
LABELS = {e.prefix: e.key for e in EXPECTED if e.name == "limitedMetadata"}


def good(*links: object) -> Objects:
    """Two documents, the second a transformation of the first, and a folder with the first in it."""
    return samples.submission(
        samples.document_entry(
            reference_ids=("7^^^&1.2&ISO^urn:ihe:iti:xds:2013:order",),
            uri="a.pdf",
            home=samples.HOME,
            document_availability="urn:ihe:iti:2010:DocumentAvailability:Online",
        ),
        samples.document_entry(entry_uuid="Document02", unique_id="1.2.3.2"),
        folders=[samples.folder(home=samples.HOME, last_update_time="20260311100000")],
        links=[
            samples.member("Folder01", "Document01"),
            samples.member("SubmissionSet01", "Folder01-Document01"),
            samples.association(
                names.XFRM,
                "Document02",
                "Document01",
                entry_uuid="Transformation",
                documentation=Code("1", "1.2.3", "x"),
            ),
            *links,
        ],
        of=samples.submission_set(home=samples.HOME),
    )


def on_demand(*links: object) -> Objects:
    """The good message with documents that are made when they are asked for, as ITI-61 registers them."""
    made = {"objectType": ON_DEMAND}
    without_content = [slot("creationTime"), slot("hash"), slot("size")]
    objects = good(*links)
    for own in ("Document01", "Document02"):
        objects = changed(own, *[attribute(*each) for each in made.items()], *without_content, base=objects)
    return objects


def limited(*links: object) -> Objects:
    """The good message, labelled as limited metadata in all its objects, with all that may be left out."""
    objects = good(*links)
    for own, prefix in (
        ("Document01", "DE"),
        ("Document02", "DE"),
        ("SubmissionSet01", "SS"),
        ("Folder01", "FD"),
    ):
        objects = changed(own, label(LABELS[prefix]), base=objects)
    return objects


def changed(object_id: str, *changes: Change, base: Objects | None = None) -> Objects:
    """The good message with the object of that id changed."""
    objects = good() if base is None else base
    assert object_id in [o.id for o in objects]
    for change in changes:
        objects = tuple(change(o) if o.id == object_id else o for o in objects)
    return objects


def without(object_id: str) -> Objects:
    return tuple(o for o in good() if o.id != object_id)


def attribute(name: str, value: str | None) -> Change:
    def change(obj: RegistryObject) -> RegistryObject:
        rest = {k: v for k, v in obj.attributes.items() if k != name}
        return replace(obj, attributes=rest if value is None else rest | {name: value})

    return change


def slot(name: str, *values: str) -> Change:
    """The slot with these values, added if it is not there; none at all takes it out."""

    def change(obj: RegistryObject) -> RegistryObject:
        rest = tuple(s for s in obj.slots if s.name != name)
        return replace(obj, slots=(*rest, Slot(name, values)) if values else rest)

    return change


def more_slots(*slots: Slot) -> Change:
    return lambda obj: replace(obj, slots=(*obj.slots, *slots))


def code(scheme: str, *changes: Change | None) -> Change:
    """The Classifications of a scheme changed; None takes them out."""

    def change(obj: RegistryObject) -> RegistryObject:
        kept = []
        for child in obj.classifications:
            if child.attributes.get("classificationScheme") == scheme:
                if None in changes:
                    continue
                for each in changes:
                    child = each(child)  # type: ignore[misc]
            kept.append(child)
        return replace(obj, classifications=tuple(kept))

    return change


def doubled(obj: RegistryObject, scheme: str) -> RegistryObject:
    """Every child of the scheme twice."""
    return replace(
        obj,
        classifications=tuple(
            c
            for child in obj.classifications
            for c in [child] * (1 + (child.attributes.get("classificationScheme") == scheme))
        ),
        external_identifiers=tuple(
            i
            for child in obj.external_identifiers
            for i in [child] * (1 + (child.attributes.get("identificationScheme") == scheme))
        ),
    )


def identifier(scheme: str, *changes: Change | None) -> Change:
    def change(obj: RegistryObject) -> RegistryObject:
        kept = []
        for child in obj.external_identifiers:
            if child.attributes.get("identificationScheme") == scheme:
                if None in changes:
                    continue
                for each in changes:
                    child = each(child)  # type: ignore[misc]
            kept.append(child)
        return replace(obj, external_identifiers=tuple(kept))

    return change


def label(node: str) -> Change:
    child = RegistryObject("Classification", {"id": "l", "classificationNode": node})
    return lambda obj: replace(
        obj,
        classifications=(
            *obj.classifications,
            replace(child, attributes=child.attributes | {"classifiedObject": obj.id}),  # type: ignore[operator]
        ),
    )


def unlabelled(node: str) -> Change:
    return lambda obj: replace(
        obj,
        classifications=tuple(
            c for c in obj.classifications if c.attributes.get("classificationNode") != node
        ),
    )


def text(kind: str, *values: str) -> Change:
    strings = tuple(LocalizedString(value) for value in values)
    return lambda obj: replace(obj, **{kind: strings})


def found(objects: Objects, transaction: str = "ITI-42") -> list[tuple[str, str]]:
    """(rule, location) of every error."""
    return [(e.rule, e.location) for e in check(objects, transaction=transaction)]  # type: ignore[arg-type]


# ---- attributes, by the standard's own table

#: For attributes that have a data type to break: a value that breaks it.
BAD = {
    "creationTime": "20260230",
    "documentAvailability": "Online",
    "entryUUID": "urn:uuid:NOT-ONE",
    "hash": "abc",
    "homeCommunityId": "1",
    "intendedRecipient": "||",
    "languageCode": "nb_NO",
    "lastUpdateTime": "20260311",
    "legalAuthenticator": "^^Tuva",
    "mimeType": "pdf",
    "objectType": "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
    "patientId": "17855599120",
    "referenceIdList": "7",
    "repositoryUniqueId": "urn:oid:1.2",
    "serviceStartTime": "2026-03",
    "serviceStopTime": "yesterday",
    "size": "-1",
    "sourceId": "1",
    "sourceObject": "urn:uuid:NOT-ONE",
    "sourcePatientId": "17855599120",
    "sourcePatientInfo": "Testperson^Syntetisk",
    "submissionTime": "20261301",
    "targetObject": "urn:uuid:NOT-ONE",
    "uniqueId": " ",
    "URI": "a b",
}


def _removed(e: Expected) -> Change:
    return {
        "xml": lambda: attribute(e.key, None),
        "slot": lambda: slot(e.key),
        "code": lambda: code(e.key, None),
        "identifier": lambda: identifier(e.key, None),
        "name": lambda: text("name"),
        "node": lambda: unlabelled(e.key),
    }[e.coding]()


def _set(e: Expected, value: str) -> Change:
    return {
        "xml": lambda: attribute(e.key, value),
        "slot": lambda: slot(e.key, value),
        "identifier": lambda: identifier(e.key, attribute("value", value)),
    }[e.coding]()


def _twice(e: Expected) -> Change:
    def change(obj: RegistryObject) -> RegistryObject:
        if e.coding == "slot":
            values = next((s.values for s in obj.slots if s.name == e.key), ("x",))
            return slot(e.key, *values, *values)(obj)
        return doubled(obj, e.key)

    return change


#: A good message for each column of the standard's tables.
GOOD = {"ITI-41": good(), "ITI-42": good(), "LIM": limited(), "ITI-61": on_demand()}
#: Limited metadata comes by the ordinary transactions.
BY = {"LIM": "ITI-42"}


def _cases() -> Iterator[tuple[str, str, Objects, str]]:
    """(rule, transaction, bad message, location) for everything that can be wrong with an attribute."""
    for e in EXPECTED:
        own = IDS[e.prefix]
        rule, place = f"{e.prefix}-{e.name}-", f"{own}/{e.name}"
        for (transaction, base), use in zip(GOOD.items(), e.use[:4], strict=True):
            if use == "R":
                at = f"/{e.name}" if e.key == "id" else place
                yield f"{rule}required", transaction, changed(own, _removed(e), base=base), at
            # In ITI-41 and ITI-42 the label makes the message one of limited metadata.
            if use == "X" and e.coding == "node" and transaction == "ITI-61":
                yield f"{rule}prohibited", transaction, changed(own, label(e.key), base=base), place
            if use == "X" and e.coding == "slot":
                yield (
                    f"{rule}prohibited",
                    transaction,
                    changed(own, slot(e.key, "20260311"), base=base),
                    place,
                )
        if not e.many and e.coding in ("slot", "code", "identifier"):
            yield f"{rule}single", "ITI-42", changed(own, _twice(e)), place
        if e.name in BAD and not (e.prefix == "AS" and e.coding == "slot"):
            bad = BAD[e.name]
            at = f"{bad}/{e.name}" if e.key == "id" else place
            yield f"{rule}type", "ITI-42", changed(own, _set(e, bad)), at
        if e.coding == "name":
            limit = 128 if e.prefix == "DE" else 256
            yield f"{rule}length", "ITI-42", changed(own, text("name", "æ" * (limit + 1))), place


ATTRIBUTE_CASES = list(_cases())

# ---- rules that are not about one attribute

AUTHOR = {"DE": names.AUTHOR_DOCUMENT, "SS": names.AUTHOR_SUBMISSION_SET}
CLASS_CODE = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
BAD_AUTHORS = {
    "author-identity": (Author(roles=("LE",), specialties=("21",)), "author"),
    "authorPerson-type": (Author(person="^^Tuva"), "authorPerson"),
    "authorInstitution-type": (Author(institutions=("Avdeling", "Avdeling^x")), "authorInstitution"),
    "authorTelecommunication-type": (Author(telecommunications=("^^Internet",)), "authorTelecommunication"),
}


def _author_cases() -> Iterator[tuple[str, Objects, str]]:
    for prefix, scheme in AUTHOR.items():
        own = IDS[prefix]
        for rule, (author, name) in BAD_AUTHORS.items():
            entry = samples.document_entry if prefix == "DE" else samples.submission_set
            fresh = registry_object(entry(authors=(author,)))
            children = tuple(
                c for c in fresh.classifications if c.attributes.get("classificationScheme") == scheme
            )

            def put(
                obj: RegistryObject, children: Objects = children, scheme: str = scheme
            ) -> RegistryObject:
                rest = code(scheme, None)(obj).classifications
                return replace(obj, classifications=(*children, *rest))

            yield f"{prefix}-{rule}", changed(own, put), f"{own}/{name}"
        two = changed(own, code(scheme, slot("authorPerson", "^Fjell", "^Dal")))
        yield f"{prefix}-authorPerson-single", two, f"{own}/authorPerson"


def with_links(*links: object) -> Objects:
    return good(*links)


LINK = "Link"


def relationship(kind: str, source: str, target: str) -> Objects:
    return good(samples.association(kind, source, target, entry_uuid=LINK))


def membership(source: str, target: str, status: str | None = None) -> Objects:
    return good(samples.member(source, target, status, entry_uuid=LINK))


OTHER_CASES: list[tuple[str, Objects, str]] = [
    ("object-kind", (*good(), RegistryObject("Service", {"id": "s"})), "s"),
    ("object-kind", (*good(), RegistryObject("ExternalIdentifier", {"id": "e", "value": "v"})), "e"),
    ("object-kind", (*good(), RegistryObject("{urn:x}ExtrinsicObject", {"id": "x"})), "x"),
    (
        "object-id-length",
        samples.submission(
            samples.document_entry(entry_uuid="D" * 257), of=samples.submission_set(title="x" * 999)
        ),
        "RegistryObjectList[2]",
    ),
    ("object-id-unique", (*good(), samples.submission()[1]), "Document01"),
    ("object-lid-first", changed("Document01", attribute("lid", REGISTERED)), "Document01/logicalID"),
    ("object-lid-first", changed("Folder01", attribute("lid", REGISTERED)), "Folder01/logicalID"),
    (
        "classification-nested",
        (*good(), RegistryObject("Classification", {"id": "c", "classificationNode": names.FOLDER_NODE})),
        "c",
    ),
    (
        "classification-nested",
        (
            *good(),
            RegistryObject(
                "Classification",
                {"id": "c", "classificationScheme": CLASS_CODE, "classifiedObject": "Folder01"},
            ),
        ),
        "c",
    ),
    ("package-label", (*good(), RegistryObject("RegistryPackage", {"id": "p"})), "p"),
    ("package-label", changed("Folder01", label(names.SUBMISSION_SET_NODE)), "Folder01"),
    ("slot-unique", changed("Document01", more_slots(Slot("hash", ("a" * 40,)))), "Document01/hash"),
    (
        "slot-unique",
        changed("Document01", more_slots(Slot("urn:x", ()), Slot("urn:x", ()))),
        "Document01/urn:x",
    ),
    (
        "slot-unique",
        changed("Document01", code(names.AUTHOR_DOCUMENT, more_slots(Slot("authorRole", ("x",))))),
        "Document01/author/authorRole",
    ),
    ("value-length", changed("Document01", slot("urn:x", "a", "b" * 257, "c" * 257)), "Document01/urn:x"),
    ("value-length", changed("Document01", text("description", "æ" * 1025)), "Document01/comments"),
    (
        "value-length",
        changed("Document01", code(CLASS_CODE, attribute("nodeRepresentation", "x" * 257))),
        "Document01/classCode",
    ),
    (
        "value-length",
        changed("Document01", identifier(names.DOCUMENT_UNIQUE_ID, attribute("value", "x" * 257))),
        "Document01/uniqueId",
    ),
    (
        "value-length",
        changed("Document01", code(CLASS_CODE, slot("codingScheme", "x" * 257))),
        "Document01/classCode/codingScheme",
    ),
    (
        "DE-objectType-stable",
        changed("Document01", attribute("objectType", ON_DEMAND)),
        "Document01/objectType",
    ),
    (
        "DE-serviceTime-order",
        changed("Document01", slot("serviceStopTime", "20260308")),
        "Document01/serviceStartTime",
    ),
    (
        "DE-sourcePatientInfo-once",
        changed("Document01", slot("sourcePatientInfo", "PID-7|1955", "PID-5|A", "PID-7|1956")),
        "Document01/sourcePatientInfo",
    ),
    (
        "DE-sourcePatientInfo-once",
        changed("Document01", slot("sourcePatientInfo", "PID-8|F", "PID-8|M")),
        "Document01/sourcePatientInfo",
    ),
    (
        "AS-associationType-known",
        relationship("urn:ihe:iti:2007:AssociationType:Signs", "Document02", "Document01"),
        "Link/associationType",
    ),
    ("AS-associationType-known", relationship("RPLC", "Document02", REGISTERED), "Link/associationType"),
    (
        "AS-associationType-known",
        relationship("HasMember", "SubmissionSet01", "Document01"),
        "Link/associationType",
    ),
    ("AS-associationType-known", relationship("", "Document02", "Document01"), "Link/associationType"),
    (
        "AS-associationType-submission",
        relationship(
            "urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus", "SubmissionSet01", REGISTERED
        ),
        "Link/associationType",
    ),
    (
        "AS-associationType-submission",
        relationship(
            "urn:ihe:iti:2010:AssociationType:SubmitAssociation", "SubmissionSet01", "Transformation"
        ),
        "Link/associationType",
    ),
    (
        "AS-associationDocumentation-relationship",
        good(
            samples.member(
                "SubmissionSet01",
                REGISTERED,
                "Reference",
                entry_uuid=LINK,
                documentation=Code("a", "1.2", "b"),
            )
        ),
        "Link/associationDocumentation",
    ),
    (
        "classification-owner",
        changed("Document01", code(CLASS_CODE, attribute("classifiedObject", "Document02"))),
        "Document01/classCode",
    ),
    (
        "classification-owner",
        changed("Document01", code(CLASS_CODE, attribute("classifiedObject", None))),
        "Document01/classCode",
    ),
    (
        "classification-form",
        changed("Document01", code(CLASS_CODE, attribute("classificationNode", "urn:x"))),
        "Document01/classCode",
    ),
    ("classification-form", changed("Document01", label("")), "Document01/Classification"),
    (
        "code-value",
        changed("Document01", code(CLASS_CODE, attribute("nodeRepresentation", None))),
        "Document01/classCode",
    ),
    (
        "code-value",
        changed("Document01", code(CLASS_CODE, attribute("nodeRepresentation", ""))),
        "Document01/classCode",
    ),
    ("code-scheme", changed("Document01", code(CLASS_CODE, slot("codingScheme"))), "Document01/classCode"),
    (
        "code-scheme",
        changed("Document01", code(CLASS_CODE, slot("codingScheme", ""))),
        "Document01/classCode",
    ),
    (
        "code-scheme",
        changed("Document01", code(CLASS_CODE, slot("codingScheme", "1", "2"))),
        "Document01/classCode",
    ),
    ("code-display", changed("Document01", code(CLASS_CODE, text("name", ""))), "Document01/classCode"),
    (
        "identifier-owner",
        changed(
            "Document01", identifier(names.DOCUMENT_UNIQUE_ID, attribute("registryObject", "Document02"))
        ),
        "Document01/uniqueId",
    ),
    (
        "identifier-name",
        changed(
            "Document01", identifier(names.DOCUMENT_UNIQUE_ID, text("name", "XDSDocumentEntry.patientId"))
        ),
        "Document01/uniqueId",
    ),
    (
        "identifier-name",
        changed("Folder01", identifier(names.FOLDER_UNIQUE_ID, text("name"))),
        "Folder01/uniqueId",
    ),
    ("submission-set-one", without("SubmissionSet01"), ""),
    (
        "submission-set-one",
        (*good(), registry_object(samples.submission_set(entry_uuid="SubmissionSet02", unique_id="1.2.3.9"))),
        "SubmissionSet02",
    ),
    (
        "uniqueId-message",
        changed(
            "Document02",
            identifier(names.DOCUMENT_UNIQUE_ID, attribute("value", "2.16.578.1.12.4.5.480.1.2.1001")),
        ),
        "Document02/uniqueId",
    ),
    (
        "uniqueId-message",
        changed(
            "Folder01",
            identifier(names.FOLDER_UNIQUE_ID, attribute("value", "2.16.578.1.12.4.5.480.1.2.2001")),
        ),
        "Folder01/uniqueId",
    ),
    (
        "patientId-message",
        changed(
            "Document02", identifier(names.DOCUMENT_PATIENT_ID, attribute("value", samples.OTHER_PATIENT))
        ),
        "Document02/patientId",
    ),
    (
        "patientId-message",
        changed("Folder01", identifier(names.FOLDER_PATIENT_ID, attribute("value", samples.OTHER_PATIENT))),
        "Folder01/patientId",
    ),
    ("member-document", without("SubmissionSet01-Document02"), "Document02"),
    ("member-folder", without("SubmissionSet01-Folder01"), "Folder01"),
    ("member-resolved", membership("SubmissionSet01", "Document09", "Original"), "Link/targetObject"),
    ("member-resolved", membership("Folder09", "Document01"), "Link/sourceObject"),
    ("member-source", membership("Document01", "Document02"), "Link/sourceObject"),
    ("member-source", membership("Transformation", REGISTERED), "Link/sourceObject"),
    ("member-of-set", membership("SubmissionSet01", "SubmissionSet01"), "Link/targetObject"),
    ("member-of-set", membership("SubmissionSet01", "Transformation"), "Link/targetObject"),
    ("member-of-set", membership("SubmissionSet01", "SubmissionSet01-Document01"), "Link/targetObject"),
    (
        "member-status",
        changed("SubmissionSet01-Document01", slot("SubmissionSetStatus", "Reference")),
        "SubmissionSet01-Document01/submissionSetStatus",
    ),
    (
        "member-status",
        changed("SubmissionSet01-Document01", slot("SubmissionSetStatus")),
        "SubmissionSet01-Document01/submissionSetStatus",
    ),
    ("member-once", membership("SubmissionSet01", "Document01", "Original"), "Link"),
    ("member-once", membership("SubmissionSet01", "Folder01"), "Link"),
    ("member-once", membership("SubmissionSet01", "Folder01-Document01"), "Link"),
    (
        "member-once",
        good(
            samples.member("SubmissionSet01", REGISTERED, "Reference", entry_uuid="First"),
            samples.member("SubmissionSet01", REGISTERED, "Reference", entry_uuid=LINK),
        ),
        "Link",
    ),
    (
        "member-once",
        good(
            samples.member("Folder01", "Document01", entry_uuid=LINK),
            samples.member("SubmissionSet01", LINK),
        ),
        "Link",
    ),
    ("member-status", membership("SubmissionSet01", REGISTERED, "Original"), "Link/submissionSetStatus"),
    ("member-status", membership("SubmissionSet01", REGISTERED), "Link/submissionSetStatus"),
    ("member-companion", membership("Folder01", "Document02"), "Link"),
    ("member-companion", membership(REGISTERED, "Document02"), "Link"),
    ("relationship-source", relationship(names.APND, "Document09", "Document01"), "Link/sourceObject"),
    ("relationship-source", relationship(names.RPLC, REGISTERED, REGISTERED), "Link/sourceObject"),
    ("relationship-source", relationship(names.SIGNS, "Folder01", "Document01"), "Link/sourceObject"),
    ("relationship-target", relationship(names.APND, "Document02", "Document09"), "Link/targetObject"),
    ("relationship-target", relationship(names.SIGNS, "Document02", "Folder01"), "Link/targetObject"),
    ("relationship-target", relationship(names.XFRM, "Document01", "Document01"), "Link/targetObject"),
    ("relationship-registered", relationship(names.RPLC, "Document02", "Document01"), "Link/targetObject"),
    (
        "relationship-registered",
        relationship(names.XFRM_RPLC, "Document02", "Document01"),
        "Link/targetObject",
    ),
    (
        "relationship-registered",
        relationship(names.IS_SNAPSHOT_OF, "Document02", "Document01"),
        "Link/targetObject",
    ),
    ("relationship-registered", relationship(names.RPLC, "Document02", "Document09"), "Link/targetObject"),
    ("relationship-addendum", relationship(names.APND, "Document01", "Document02"), "Link/targetObject"),
    (
        "member-of-folder",
        good(
            samples.member("Folder01", "SubmissionSet01", entry_uuid=LINK),
            samples.member("SubmissionSet01", LINK),
        ),
        "Link/targetObject",
    ),
    *_author_cases(),
]

#: What only ITI-61 asks for.
ON_DEMAND_CASES: list[tuple[str, Objects, str]] = [
    (
        "DE-objectType-demand",
        changed("Document01", attribute("objectType", names.STABLE), base=on_demand()),
        "Document01/objectType",
    ),
    ("document-one", samples.submission(folders=[samples.folder()]), ""),
    (
        "relationship-snapshot",
        on_demand(samples.association(names.IS_SNAPSHOT_OF, "Document01", REGISTERED, entry_uuid=LINK)),
        "Link/sourceObject",
    ),
]

#: Mistakes that cannot be made alone: (rule, location) -> the rules broken with it.
TOGETHER = {
    ("object-id-unique", "Document01"): {"uniqueId-message"},
    ("package-label", "Folder01"): {"member-resolved", "member-of-set"},
    ("submission-set-one", ""): {"member-resolved"},
}


@pytest.mark.parametrize(
    ("rule", "transaction", "objects", "location"),
    ATTRIBUTE_CASES,
    ids=[f"{rule} {transaction}" for rule, transaction, _, _ in ATTRIBUTE_CASES],
)
def test_a_wrong_attribute_is_reported_by_its_rule(
    rule: str, transaction: str, objects: Objects, location: str
) -> None:
    """Missing, forbidden, doubled, ill-formed or too long: each has its rule, its place and its code."""
    errors = check(objects, transaction=BY.get(transaction, transaction))  # type: ignore[arg-type]
    assert (rule, location) in [(e.rule, e.location) for e in errors]
    (error,) = [e for e in errors if (e.rule, e.location) == (rule, location)]
    expected = "XDSRepositoryMetadataError" if transaction == "ITI-41" else "XDSRegistryMetadataError"
    assert expected == error.code


@pytest.mark.parametrize(
    ("rule", "objects", "location"),
    ON_DEMAND_CASES,
    ids=[f"{rule} {location}" for rule, _, location in ON_DEMAND_CASES],
)
def test_a_rule_of_on_demand_documents_is_reported(rule: str, objects: Objects, location: str) -> None:
    """ITI-61 has rules of its own beside those of every submission (ITI TF-2 3.61.4.1.2)."""
    errors = check(objects, transaction="ITI-61")
    assert [(rule, location, ErrorCode.REGISTRY_METADATA_ERROR)] == [
        (e.rule, e.location, e.code) for e in errors
    ]


@pytest.mark.parametrize(
    ("rule", "objects", "location"),
    OTHER_CASES,
    ids=[f"{rule} {location}" for rule, _, location in OTHER_CASES],
)
def test_a_broken_rule_is_reported_where_it_is_broken(rule: str, objects: Objects, location: str) -> None:
    """One bad message per rule, and nothing reported but what is wrong."""
    errors = found(objects)
    assert 1 == errors.count((rule, location))
    assert {rule} | TOGETHER.get((rule, location), set()) == {r for r, _ in errors}


#: What a sender need not give, and a registry must.
ANSWER_RULES = {f"{prefix}-availabilityStatus-required" for prefix in ("DE", "SS", "FD", "AS")}


def test_in_an_answer_each_object_has_a_status() -> None:
    """A submission has none, and is reported as an answer would be."""
    errors = check(good(), transaction="query")
    assert {each.rule for each in errors} >= ANSWER_RULES
    assert {each.code for each in errors} == {ErrorCode.REGISTRY_METADATA_ERROR}


def test_no_rule_goes_untested() -> None:
    """Every rule has a message that breaks it, and every tested rule exists."""
    tested = {case[0] for cases in (ATTRIBUTE_CASES, OTHER_CASES, ON_DEMAND_CASES) for case in cases}
    assert set(RULES) == tested | ANSWER_RULES


CODES = {
    "patientId-message": ["XDSPatientIdDoesNotMatch"] * 2,
    "uniqueId-message": ["XDSRepositoryDuplicateUniqueIdInMessage", "XDSRegistryDuplicateUniqueIdInMessage"],
    **dict.fromkeys(
        ["member-resolved", "relationship-source", "relationship-target", "relationship-registered"],
        ["UnresolvedReferenceException"] * 2,
    ),
}


@pytest.mark.parametrize(("rule", "objects"), [(rule, objects) for rule, objects, _ in OTHER_CASES])
def test_each_rule_has_the_code_of_the_standard(rule: str, objects: Objects) -> None:
    """The prefix says who found it: Repository in ITI-41, Registry in ITI-42 (ITI TF-3 4.2.4.1)."""
    expected = CODES.get(rule, ["XDSRepositoryMetadataError", "XDSRegistryMetadataError"])
    for transaction, code_name in zip(("ITI-41", "ITI-42"), expected, strict=True):
        codes = {e.code for e in check(objects, transaction=transaction) if e.rule == rule}  # type: ignore[arg-type]
        assert {ErrorCode(code_name)} == codes


def test_all_errors_come_at_once_in_message_and_table_order() -> None:
    """Object by object as sent, attribute by attribute as in the standard's table, then the whole."""
    objects = samples.submission()
    objects = changed("SubmissionSet01", slot("submissionTime"), base=objects)
    objects = changed(
        "Document01",
        slot("hash"),
        slot("creationTime", "2026-03-11"),
        code(CLASS_CODE, None),
        attribute("mimeType", None),
        identifier(names.DOCUMENT_PATIENT_ID, attribute("value", samples.OTHER_PATIENT)),
        base=objects,
    )
    expected = [
        ("SS-submissionTime-required", "SubmissionSet01/submissionTime"),
        ("DE-classCode-required", "Document01/classCode"),
        ("DE-creationTime-type", "Document01/creationTime"),
        ("DE-hash-required", "Document01/hash"),
        ("DE-mimeType-required", "Document01/mimeType"),
        ("patientId-message", "Document01/patientId"),
    ]
    assert expected == found(objects)
    assert [e for e in expected if e[0] != "DE-hash-required"] == found(objects, "ITI-41")
    assert expected == found(objects)


def test_an_empty_message_lacks_its_submission_set() -> None:
    """No object at all is one error, without a location."""
    assert [("submission-set-one", "")] == found(())


def test_no_error_quotes_metadata() -> None:
    """Names, persons, patient numbers and codes never reach an error; the id that must be told does."""
    secrets = ("17855599120", "29844697323", "Fjell", "Testperson", "Epikrise", "19550517", "tuva", "A00-1")
    for _, objects, _ in OTHER_CASES:
        for error in check(objects, transaction="ITI-42"):
            assert not [s for s in secrets if s in error.context + error.location]
    for _, transaction, objects, _ in ATTRIBUTE_CASES:
        for error in check(objects, transaction=BY.get(transaction, transaction)):  # type: ignore[arg-type]
            assert not [s for s in secrets if s in error.context + error.location]
    (error,) = check(
        next(objects for rule, objects, _ in OTHER_CASES if rule == "uniqueId-message"), transaction="ITI-42"
    )
    assert error.context.endswith("(2.16.578.1.12.4.5.480.1.2.1001)")


def test_a_wrong_value_among_several_is_named_by_its_position() -> None:
    """The sender of ten institutions learns which one is wrong."""
    objects = changed("Document01", slot("sourcePatientInfo", "PID-5|A", "B", "PID-8|F"))
    (error,) = check(objects, transaction="ITI-42")
    assert "(value 2)" in error.context


def test_a_rule_is_reported_once_at_a_location() -> None:
    """However often it is broken there, and with every wrong value of the first ten."""
    slots = [Slot("languageCode", ("nb-NO",))] * 20_000
    assert [("slot-unique", "Document01/languageCode")] == found(changed("Document01", more_slots(*slots)))
    (error,) = check(changed("Document01", slot("sourcePatientInfo", *"AB" * 50)), transaction="ITI-42")
    assert [f"(value {n})" in error.context for n in (1, 2, 10, 11, 100)] == [True, True, True, False, False]


_IDS = st.sampled_from(["Document01", "SubmissionSet01", "Folder01", "Link", REGISTERED, "", "urn:uuid:1"])
_URNS = [names.STABLE, names.HAS_MEMBER, names.RPLC, names.APND, names.SUBMISSION_SET_NODE, names.FOLDER_NODE]
_SCHEMES = [e.key for e in EXPECTED if e.key.startswith("urn:")]
_VALUES = _IDS | st.sampled_from(_URNS + _SCHEMES) | st.text(max_size=5)
_ATTRIBUTE_NAMES = st.sampled_from(
    [
        "id",
        "lid",
        "home",
        "objectType",
        "mimeType",
        "associationType",
        "sourceObject",
        "targetObject",
        "value",
        "classificationScheme",
        "classificationNode",
        "classifiedObject",
        "nodeRepresentation",
        "identificationScheme",
        "registryObject",
    ]
)
_SLOT_NAMES = st.sampled_from(
    [e.key for e in EXPECTED if e.coding == "slot"] + ["authorPerson", "codingScheme", ""]
)


def _any_object(kinds: list[str], depth: int) -> st.SearchStrategy[RegistryObject]:
    strings = st.lists(st.builds(LocalizedString, _VALUES), max_size=2).map(tuple)
    children = [
        st.lists(_any_object([kind], depth - 1), max_size=2).map(tuple) if depth else st.just(())
        for kind in ("Classification", "ExternalIdentifier")
    ]
    return st.builds(
        RegistryObject,
        st.sampled_from(kinds),
        st.dictionaries(_ATTRIBUTE_NAMES, _VALUES, max_size=6),
        st.lists(st.builds(Slot, _SLOT_NAMES, st.lists(_VALUES, max_size=2).map(tuple)), max_size=3).map(
            tuple
        ),
        strings,
        strings,
        st.none(),
        *children,
    )


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        _any_object(["ExtrinsicObject", "RegistryPackage", "Association", "Classification", "Service"], 1),
        max_size=4,
    )
)
def test_no_message_makes_the_check_fail(objects: list[RegistryObject]) -> None:
    """Whatever is sent, the answer is a list of known rules, the same each time."""
    errors = check(objects, transaction="ITI-42")
    assert {e.rule for e in errors} <= set(RULES)
    assert errors == check(objects, transaction="ITI-42")


# ---- what must pass

ACCEPTED: dict[str, Objects] = {
    "the good message": good(),
    "a set alone": (registry_object(samples.submission_set()),),
    "an existing document put into an existing folder": tuple(
        map(
            registry_object,
            [
                samples.submission_set(),
                samples.member(REGISTERED, "urn:uuid:55555555-5555-4555-8555-555555555555", entry_uuid="fd"),
                samples.member("SubmissionSet01", "fd"),
            ],
        )
    ),
    "an existing document put into a new folder": samples.submission(
        folders=[samples.folder()],
        links=[
            samples.member("Folder01", REGISTERED, entry_uuid="fd"),
            samples.member("SubmissionSet01", "fd"),
        ],
    ),
    "a new document put into an existing folder": samples.submission(
        links=[
            samples.member(REGISTERED, "Document01", entry_uuid="fd"),
            samples.member("SubmissionSet01", "fd"),
        ],
    ),
    "a registered document by reference": membership("SubmissionSet01", REGISTERED, "Reference"),
    **{
        f"{kind} of a registered document": relationship(kind, "Document01", REGISTERED)
        for kind in names.RELATIONSHIPS
    },
    "an addendum to a document of the message": relationship(names.APND, "Document02", "Document01"),
    "a signature of a document of the message": relationship(names.SIGNS, "Document02", "Document01"),
    "SubmissionSetStatus where it means nothing": changed(
        "SubmissionSet01-Folder01", slot("SubmissionSetStatus", "Original")
    ),
    "a code without display name": changed("Document01", code(CLASS_CODE, text("name"))),
    "several confidentiality codes": samples.submission(
        samples.document_entry(confidentiality_codes=(samples.NORMAL, samples.BLOCKED))
    ),
    "an author who is a department with only a name": samples.submission(
        samples.document_entry(authors=(Author(institutions=("Avdeling for prøver",)),))
    ),
    "no author": samples.submission(
        samples.document_entry(authors=()), of=samples.submission_set(authors=())
    ),
    "a lid equal to the id": changed("Document01", attribute("lid", "Document01")),
    "times equal at the precision given": changed(
        "Document01", slot("serviceStartTime", "202603"), slot("serviceStopTime", "20260301")
    ),
    "care that ended on the day it began": changed(
        "Document01", slot("serviceStartTime", "20260311120000"), slot("serviceStopTime", "20260311")
    ),
    "a second that began within the year of the end": changed(
        "Document01", slot("serviceStartTime", "20261231235959"), slot("serviceStopTime", "2026")
    ),
    "limited metadata with everything": limited(),
    "no service stop while care goes on": changed("Document01", slot("serviceStopTime")),
    "a title of 128 characters": changed("Document01", text("name", "æ" * 128)),
    "a folder title of 256 characters": changed("Folder01", text("name", "æ" * 256)),
    "an empty description": changed("Document01", text("description", "")),
    "a title in two languages": changed("Document01", text("name", "Epikrise", "Discharge letter")),
    "a slot value of 256 characters": changed("Document01", slot("urn:x", "æ" * 256)),
    "unknown slots, URN-named or not": changed(
        "Document01", slot("urn:example:x", "1"), slot("local", "", "2")
    ),
    "an unknown classification": changed(
        "Document01",
        lambda obj: replace(
            obj,
            classifications=(
                *obj.classifications,
                RegistryObject(
                    "Classification", {"classificationScheme": "urn:x", "classifiedObject": obj.id}
                ),
            ),
        ),
    ),
    "a hash in capitals": changed("Document01", slot("hash", "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709")),
    "a document not assembled yet": changed(
        "Document01", slot("hash", samples.EMPTY_SHA1), slot("size", "0")
    ),
    "any status": changed(
        "Document01", attribute("status", "urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted")
    ),
    "a home without urn:oid:": changed("Document01", attribute("home", "2.16.578.1.12.4.1.7.1.1")),
    "the schema's default version": changed(
        "Document01", lambda obj: replace(obj, version_info={"versionName": "1.1"})
    ),
    "a unique id with an extension": changed(
        "Document01", identifier(names.DOCUMENT_UNIQUE_ID, attribute("value", "1.2.3^a&b"))
    ),
}


@pytest.mark.parametrize("objects", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("transaction", ["ITI-41", "ITI-42"])
def test_what_the_standard_allows_passes(objects: Objects, transaction: str) -> None:
    """Every way of submitting of ITI TF-3 4.2.1 and 4.2.2, and what Norwegian senders do besides."""
    assert [] == found(objects, transaction)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in names.RELATIONSHIPS if kind != names.IS_SNAPSHOT_OF],
)
def test_on_demand_documents_may_stand_in_relationships(kind: str) -> None:
    """Only IsSnapshotOf asks for a stable source (ITI TF-3 4.2.2.2)."""
    assert [] == found(on_demand(), "ITI-61")
    assert [] == found(on_demand(samples.association(kind, "Document01", REGISTERED)), "ITI-61")


@pytest.mark.parametrize("transaction", ["ITI-41", "ITI-42"])
def test_limited_metadata_may_leave_out_what_its_column_does_not_require(transaction: str) -> None:
    """Nothing but what the column LIM marks R, and what this node cannot do without."""
    kept = {"patientId"} | ({"hash", "size", "repositoryUniqueId"} if transaction == "ITI-42" else set())
    objects = limited()
    for e in EXPECTED:
        if e.prefix != "AS" and e.use[2] != "R" and e.coding in ("slot", "code", "identifier", "name"):
            for own in ("Document01", "Document02") if e.prefix == "DE" else (IDS[e.prefix],):
                if e.name not in kept:
                    objects = changed(own, _removed(e), base=objects)
    assert [] == found(objects, transaction)
    submission(objects)  # codes and texts that are not there read as empty ones


@pytest.mark.parametrize("name", ["patientId", "hash", "size", "repositoryUniqueId"])
def test_limited_metadata_keeps_what_this_node_cannot_do_without(name: str) -> None:
    """A document without a patient could not be found, one without a hash not be told from another."""
    (e,) = [e for e in EXPECTED if (e.prefix, e.name) == ("DE", name)]
    objects = changed("Document01", _removed(e), base=limited())
    assert [(f"DE-{name}-required", f"Document01/{name}")] == found(objects)


def test_a_message_is_limited_as_a_whole() -> None:
    """One label makes the message one of limited metadata: then every object needs its own."""
    objects = changed("Document01", label(LABELS["DE"]), code(CLASS_CODE, None))
    assert [
        ("SS-limitedMetadata-required", "SubmissionSet01/limitedMetadata"),
        ("DE-limitedMetadata-required", "Document02/limitedMetadata"),
        ("FD-limitedMetadata-required", "Folder01/limitedMetadata"),
    ] == found(objects)


def test_a_document_source_need_not_know_hash_size_and_repository() -> None:
    """ITI-41 lets the repository fill them in; ITI-42 needs them."""
    objects = samples.submission(samples.document_entry(hash=None, size=None, repository_unique_id=None))
    assert [] == found(objects, "ITI-41")
    assert ["DE-hash-required", "DE-repositoryUniqueId-required", "DE-size-required"] == [
        r for r, _ in found(objects)
    ]


def test_a_label_beside_its_package_is_accepted() -> None:
    """The marker Classification as a sibling gives the same submission as inside (ITI TF-3 4.2.1.2.1)."""
    objects = good()
    package = objects[0]
    labels = tuple(c for c in package.classifications if "classificationNode" in c.attributes)
    inside = tuple(c for c in package.classifications if c not in labels)
    beside = (*labels, replace(package, classifications=inside), *objects[1:])
    assert [] == found(beside)
    assert submission(objects) == submission(beside)


# ---- submission


def test_a_valid_message_becomes_a_typed_submission() -> None:
    """The set, documents, folders and associations in message order, read from XML."""
    objects = read_object_list(samples.element(samples.object_list(good())))
    value = submission(objects)
    assert "2.16.578.1.12.4.5.480.1.2.2001" == value.submission_set.unique_id
    assert ["Document01", "Document02"] == [d.entry_uuid for d in value.document_entries]
    assert ["Folder01"] == [f.entry_uuid for f in value.folders]
    assert [
        "SubmissionSet01-Document01",
        "SubmissionSet01-Document02",
        "SubmissionSet01-Folder01",
        "Folder01-Document01",
        "SubmissionSet01-Folder01-Document01",
        "Transformation",
    ] == [a.entry_uuid for a in value.associations]
    assert "Original" == value.associations[0].submission_set_status


def test_an_id_of_any_length_is_refused_before_it_is_repeated() -> None:
    """Every location starts with an id: a long one and many errors would make an answer of any size."""
    long = "D" * 257
    objects = samples.submission(samples.document_entry(entry_uuid=long, unique_id="", language_code="???"))
    errors = check(objects, transaction="ITI-42")
    assert {error.rule for error in errors} == {"object-id-length"}
    assert all(long not in error.location + error.context for error in errors)


def test_what_replaces_its_original_is_appended_to() -> None:
    """XFRM_RPLC: nothing else is left that an addendum could belong to (ITI TF-3 4.2.2.2.1)."""
    objects = good(
        samples.association(names.XFRM_RPLC, "Document01", REGISTERED),
        samples.association(names.APND, "Document02", "Document01", entry_uuid=LINK),
    )
    assert check(objects, transaction="ITI-42") == ()
