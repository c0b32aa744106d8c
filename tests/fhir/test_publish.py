"""One document by itself: ITI-105 and ITI-106 on a real node; and $validate, which says what is wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import counts
from tests.blackbox.wire import SUCCESS, send
from tests.fhir import mhd_profile
from tests.fhir.messages import (
    CONTENT,
    JSON,
    MHD,
    NATIONAL,
    TYPES,
    URI,
    XML,
    Bundle,
    Issue,
    Json,
    ask,
    binary,
    document,
    folder,
    got,
    published,
    refused,
    resource_of,
    sha1,
    subject,
    told,
    urn,
)
from tests.metadata.cda_documents import (
    FULL,
    NUMBER,
    PLAIN,
    SCANNED,
    WRAPPED,
    replaced,
    without,
)
from tests.nodes import Node
from xds.fhir.r4.validation import problems

SOURCE_ID = "2.16.578.1.12.4.5.480.1.77"
ATTACHMENT = "DocumentReference.content[0].attachment"
HIDDEN = NUMBER.encode()


@pytest.fixture(scope="module")
def here(new_node: Callable[..., Node]) -> Node:
    """A node that these tests share."""
    return new_node(fhir__source_id=SOURCE_ID)


def simple(content: bytes = CONTENT, **changes: Any) -> Json:
    """A DocumentReference with its document inside, as ITI-105 has it."""
    data = {"data": base64.b64encode(content).decode()}
    return document(attachment=data | changes.pop("attachment", {}), **changes)


def submission_of(node: Node, resource: Json) -> Json:
    """The List of the submission set of a document."""
    number = resource["subject"]["identifier"]["value"]
    found = got(node, f"List?code=submissionset&patient.identifier={NATIONAL}%7C{number}&_count=1000")
    (one,) = [
        each["resource"]
        for each in found["entry"]
        if f"DocumentReference/{resource['id']}"
        in [item["item"]["reference"] for item in each["resource"].get("entry", ())]
    ]
    return dict(one)


# ---- ITI-105


@pytest.mark.parametrize("form", [JSON, XML])
def test_a_document_reference_with_its_document_is_published(here: Node, form: str) -> None:
    """201, where it is, and the resource as it is read there; with the hash and size of the bytes."""
    answer = ask(here, "POST", "DocumentReference", simple(b"published"), form, Accept=form)
    assert answer.status == 201, answer.data
    created = resource_of(answer)
    path = answer.headers["Location"].removeprefix(f"{here.url}/fhir/")
    assert path == f"DocumentReference/{created['id']}"
    assert answer.headers["ETag"] == 'W/"1"'
    assert created == got(here, path)
    assert problems(created) == []
    assert mhd_profile.broken(created) == []
    attachment = created["content"][0]["attachment"]
    assert (attachment["size"], attachment["hash"]) == (9, sha1(b"published"))
    assert "data" not in attachment
    assert ask(here, "GET", f"Binary/{created['id']}").data == b"published"


def test_the_submission_set_is_made_of_the_document(here: Node) -> None:
    """Author, patient and content type of the document, and the node's source id (MHD 3.105.4.1.3)."""
    created = resource_of(ask(here, "POST", "DocumentReference", simple()))
    the_set = submission_of(here, created)
    assert problems(the_set) == []
    assert mhd_profile.broken(the_set) == []
    told_of = {each["url"]: each for each in the_set["extension"]}
    (coding,) = told_of[f"{MHD}ihe-designationType"]["valueCodeableConcept"]["coding"]
    assert (coding["system"], coding["code"]) == (TYPES, "A03-2")
    assert told_of[f"{MHD}ihe-sourceId"]["valueIdentifier"]["value"] == f"urn:oid:{SOURCE_ID}"
    assert the_set["subject"]["identifier"] == subject()["identifier"]
    assert the_set["contained"][0]["name"][0]["family"] == m.FAMILY


def test_without_a_setting_the_source_is_the_repository(new_node: Callable[..., Node]) -> None:
    """fhir.source_id is empty, and the node's own id is an OID."""
    node = new_node()
    created = resource_of(ask(node, "POST", "DocumentReference", simple()))
    (source,) = [
        each["valueIdentifier"]["value"]
        for each in submission_of(node, created)["extension"]
        if each["url"] == f"{MHD}ihe-sourceId"
    ]
    assert source == f"urn:oid:{m.REPOSITORY_ID}"
    node.stop()


@pytest.mark.parametrize("identifier", [None, [{"use": "official", "system": URI, "value": urn()}]])
def test_a_document_that_is_published_again_is_told_as_such(here: Node, identifier: Any) -> None:
    """409, by its uniqueId; with the same bytes or others, and never registered twice."""
    sent = simple(identifier=identifier)
    assert ask(here, "POST", "DocumentReference", sent).status == 201
    other = simple(b"other", masterIdentifier=sent["masterIdentifier"], identifier=identifier)
    for changed in (sent, other):
        answer = refused(here, lambda changed=changed: ask(here, "POST", "DocumentReference", changed))
        assert answer.status == 409
        code, rule, _ = told(answer)[0]
        assert (code, rule) == ("duplicate", "registry-set-unique-id")
    answer = ask(here, "GET", f"DocumentReference?identifier={sent['masterIdentifier']['value']}")
    assert resource_of(answer)["total"] == 1


def test_a_document_that_was_removed_can_be_published_again(here: Node) -> None:
    """Nothing of it is left that would be in the way."""
    sent = simple()
    first = resource_of(ask(here, "POST", "DocumentReference", sent))["id"]
    assert ask(here, "DELETE", f"DocumentReference/{first}").status == 204
    again = ask(here, "POST", "DocumentReference", sent)
    assert again.status == 201, again.data
    assert resource_of(again)["id"] != first


@pytest.mark.parametrize(("code", "status"), [("replaces", "superseded"), ("appends", "current")])
def test_it_may_be_related_to_what_is_registered(here: Node, code: str, status: str) -> None:
    """As in ITI-65, and told in the answer."""
    first = resource_of(ask(here, "POST", "DocumentReference", simple()))["id"]
    target = {"reference": f"DocumentReference/{first}"}
    answer = ask(here, "POST", "DocumentReference", simple(relatesTo=[{"code": code, "target": target}]))
    (relation,) = resource_of(answer)["relatesTo"]
    assert (relation["code"], relation["target"]["reference"]) == (code, target["reference"])
    assert got(here, f"DocumentReference/{first}")["status"] == status


SIMPLE: dict[str, tuple[Callable[[Json], object], int, list[Issue]]] = {
    "no data": (
        lambda d: d["content"][0]["attachment"].pop("data"),
        422,
        [("invalid", "mhd-publish", ATTACHMENT)],
    ),
    "an address too": (
        lambda d: d["content"][0]["attachment"].update(url=urn()),
        422,
        [("invalid", "mhd-publish", ATTACHMENT)],
    ),
    "two contents": (
        lambda d: d["content"].append({"attachment": {"contentType": "text/plain"}}),
        422,
        [
            ("invalid", "mhd-single", "DocumentReference.content[1]"),
            ("invalid", "mhd-publish", ATTACHMENT),
        ],
    ),
    "no uniqueId": (
        lambda d: d.pop("masterIdentifier"),
        422,
        [("invalid", "DE-uniqueId-required", "DocumentReference.masterIdentifier")],
    ),
    "no subject": (
        lambda d: d.pop("subject"),
        422,
        [
            ("invalid", "DE-patientId-required", "DocumentReference.subject"),
        ],
    ),
    "a subject elsewhere": (
        lambda d: d.update(subject={"reference": f"Patient/{m.NUMBER}"}),
        422,
        [
            ("invalid", "mhd-value", "DocumentReference.subject"),
            ("invalid", "DE-patientId-required", "DocumentReference.subject"),
        ],
    ),
    "no type": (
        lambda d: d.pop("type"),
        422,
        [
            ("invalid", "DE-typeCode-required", "DocumentReference.type"),
        ],
    ),
    "superseded, docStatus, another hash and size": (
        lambda d: (
            d.update(status="superseded", docStatus="final"),
            d["content"][0]["attachment"].update(hash=sha1(b""), size=1),
        ),
        422,
        [
            ("invalid", "mhd-prohibited", "DocumentReference.docStatus"),
            ("invalid", "mhd-status", "DocumentReference.status"),
            ("invalid", "document-hash", "DocumentReference.content.attachment.hash"),
            ("invalid", "document-size", "DocumentReference.content.attachment.size"),
        ],
    ),
    "a relation to nothing": (
        lambda d: d.update(
            relatesTo=[{"code": "signs", "target": {"reference": "DocumentReference/Kvakkelund"}}]
        ),
        422,
        [("not-found", "mhd-related", "DocumentReference.relatesTo[0].target")],
    ),
    "not R4": (lambda d: d.update(Kvakkelund=1), 422, [("structure", "", "DocumentReference")]),
    "content that is none": (
        lambda d: d.update(content="Kvakkelund"),
        422,
        [("structure", "", "DocumentReference.content")],
    ),
    "data that is none": (
        lambda d: d["content"][0]["attachment"].update(data=1),
        422,
        [("invalid", "mhd-publish", ATTACHMENT)],
    ),
    "no base64": (
        lambda d: d["content"][0]["attachment"].update(data="Kvakkel!"),
        400,
        [("structure", "", "")],
    ),
    "a List": (
        lambda d: (d.clear(), d.update(folder())),
        422,
        [("invalid", "mhd-publish", "Resource")],
    ),
}


@pytest.mark.parametrize("what", SIMPLE)
def test_a_document_reference_with_something_wrong_is_refused(here: Node, what: str) -> None:
    """All that is wrong at once, and nothing stored."""
    change, status, issues = SIMPLE[what]
    resource = simple()
    change(resource)
    answer = refused(here, lambda: ask(here, "POST", "DocumentReference", resource))
    assert (answer.status, told(answer)) == (status, issues)


# ---- ITI-106


def generate(node: Node, content: str | bytes, form: str = JSON, **more: Any) -> Any:
    """Have metadata made of a CDA document."""
    data = content if isinstance(content, bytes) else content.encode()
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "document", "resource": binary(data, "text/xml")}],
    }
    return ask(node, "POST", "DocumentReference/$generate-metadata", parameters | more, form, Accept=form)


def numbered(document: str, number: str) -> str:
    """A CDA document with an id of its own."""
    return replaced('<id root="2.25.1"/>', f'<id root="2.25.{number}"/>', document)


def generated(node: Node, answer: Any) -> Json:
    """The DocumentReference that an operation has made."""
    assert answer.status == 200, answer.data
    outcome = resource_of(answer)
    assert problems(outcome) == []
    (reference,) = [each for each in outcome["parameter"] if each["name"] == "DocumentReference"]
    assert reference["valueReference"]["type"] == "DocumentReference"
    return got(node, reference["valueReference"]["reference"])


@pytest.mark.parametrize("form", [JSON, XML])
def test_metadata_are_made_of_the_header(here: Node, form: str) -> None:
    """The document is stored as it came, and its entry says what the header says."""
    content = numbered(PLAIN, str(1000 + (form == XML)))
    found = generated(here, generate(here, content, form))
    assert problems(found) == []
    assert mhd_profile.broken(found) == []
    assert found["type"]["coding"][0]["code"] == "B02-2"
    assert found["category"][0]["coding"][0]["code"] == "B00-1"
    assert found["subject"]["identifier"] == {"system": NATIONAL, "value": NUMBER}
    attachment = found["content"][0]["attachment"]
    assert (attachment["contentType"], attachment["creation"]) == ("text/xml", "2026-03-11T09:45:00Z")
    assert ask(here, "GET", f"Binary/{found['id']}").data == content.encode()
    own = found["masterIdentifier"]["value"].removeprefix("urn:oid:")
    assert send(here, m.mtom_retrieve(own)).documents() == {own: content.encode()}
    answer = refused_cda(here, content)
    assert (answer.status, told(answer)[0][:2]) == (409, ("duplicate", "registry-set-unique-id"))


def refused_cda(node: Node, content: str | bytes, **more: Any) -> Any:
    """The answer to what is not taken; the patient of these documents is not in it."""
    answer = refused(node, lambda: generate(node, content, **more))
    assert HIDDEN not in answer.data
    return answer


@pytest.mark.parametrize(
    "content", [WRAPPED, SCANNED.replace("2.25.1", "2.25.17")], ids=["wrapped", "scanned"]
)
def test_other_cda_documents_are_taken_or_told_what_they_lack(here: Node, content: str) -> None:
    """A scan is whole; what the national peer wraps has no facility, which is told with its place."""
    if content is WRAPPED:
        answer = refused_cda(here, content)
        assert answer.status == 422
        assert {(code, rule) for code, rule, _ in told(answer)} == {("invalid", "mhd-cda")}
        assert all(place.startswith("ClinicalDocument") for _, _, place in told(answer))
    else:
        assert (
            generated(here, generate(here, content))["content"][0]["attachment"]["contentType"] == "text/xml"
        )


def test_a_new_version_of_a_cda_document_replaces_the_one_before(here: Node) -> None:
    """relatedDocument names it by its id, which is root^extension here; unknown, it is refused."""
    alone = without("relatedDocument", without("relatedDocument", FULL))
    answer = refused_cda(here, FULL)
    assert answer.status == 422
    assert {(code, rule) for code, rule, _ in told(answer)} == {("not-found", "mhd-related")}
    before = replaced('extension="EP-2026/17"', 'extension="EP-2026/16"', alone)
    first = generated(here, generate(here, before))
    assert first["masterIdentifier"]["system"] == "urn:oid:2.16.578.1.12.4.5.480.1.2"
    assert first["masterIdentifier"]["value"] == "EP-2026/16"
    other = replaced('<id root="2.16.578.1.12.4.5.480.1.2" extension="EP-2026/17"/>',
                     '<id root="2.16.578.1.12.4.5.480.1.2.5"/>', alone)  # fmt: skip
    second = generated(here, generate(here, other))
    found = generated(here, generate(here, FULL))
    assert sorted((each["code"], each["target"]["reference"]) for each in found["relatesTo"]) == [
        ("replaces", f"DocumentReference/{first['id']}"),
        ("transforms", f"DocumentReference/{second['id']}"),
    ]
    assert got(here, f"DocumentReference/{first['id']}")["status"] == "superseded"


def test_what_was_assumed_is_told(here: Node) -> None:
    """The remarks of the reader, as warnings beside the reference."""
    answer = generate(here, numbered(PLAIN, "2000"))
    outcomes = [each for each in resource_of(answer)["parameter"] if each["name"] == "outcome"]
    for each in outcomes:
        assert {issue["severity"] for issue in each["resource"]["issue"]} <= {"warning", "information"}
    assert outcomes  # formatCode was


PLACE = "Parameters.parameter.resource"
WRONG: dict[str, tuple[Json, list[Issue]]] = {
    "a FHIR document": (
        {"parameter": [{"name": "document", "resource": {"resourceType": "Bundle", "type": "document"}}]},
        [("not-supported", "mhd-fhir-document", PLACE)],
    ),
    "no parameter": (
        {"parameter": [{"name": "other"}]},
        [("invalid", "mhd-generate", "Parameters.parameter")],
    ),
    "two documents": (
        {"parameter": [{"name": "document", "resource": binary(b"x")}] * 2},
        [("invalid", "mhd-generate", "Parameters.parameter")],
    ),
    "no Binary": (
        {"parameter": [{"name": "document", "valueString": m.FAMILY}]},
        [("invalid", "mhd-generate", "Parameters.parameter")],
    ),
    "no Parameters": (binary(PLAIN.encode()), [("invalid", "mhd-generate", "Parameters.parameter")]),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_operation_takes_one_cda_document(here: Node, what: str) -> None:
    """In a Binary, as the parameter document."""
    change, issues = WRONG[what]
    answer = refused_cda(here, PLAIN, **change)
    assert (answer.status, told(answer)) == (422, issues)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.4",
        b"<x/>",
        b"<!DOCTYPE x><x/>",
        without("recordTarget").encode(),
        replaced('code="B02-2"', 'code="X99-9"').encode(),
    ],
    ids=["nothing", "a PDF", "other XML", "a DOCTYPE", "no patient", "an unknown code"],
)
def test_a_document_whose_header_does_not_say_enough_is_refused(here: Node, content: bytes) -> None:
    """422, with what is missing and where in the document."""
    answer = refused_cda(here, content)
    assert answer.status == 422
    assert {code for code, _, _ in told(answer)} <= {"invalid", "code-invalid"}
    assert {rule for _, rule, _ in told(answer)} <= {"mhd-cda", "DE-typeCode-code"}


# ---- $validate


def validated(node: Node, kind: str, resource: Json, form: str = JSON) -> list[tuple[str, str, str]]:
    """(severity, code, rule) of what is said of a resource, which is always 200, and stores nothing."""
    before, logged = counts(node), node.log.stat().st_size
    answer = ask(node, "POST", f"{kind}/$validate", resource, form, Accept=form)
    assert answer.status == 200, answer.data
    assert counts(node) == before
    log = node.log.read_bytes()[logged:]
    assert not [each for each in m.MARKERS if each.encode() in answer.data + log]
    outcome = resource_of(answer)
    assert problems(outcome) == []
    issues = []
    for each in outcome["issue"]:
        text = each.get("details", {}).get("text", "")
        rule = text.rpartition("[")[2].rstrip("]") if text.endswith("]") else ""
        issues.append((each["severity"], each["code"], rule))
    return issues


WELL = [("information", "informational", "")]


def wrapped(resource: Json) -> Json:
    """The form of an operation."""
    return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": resource}]}


@pytest.mark.parametrize("form", [JSON, XML])
@pytest.mark.parametrize("wrap", [lambda resource: resource, wrapped], ids=["bare", "Parameters"])
def test_what_is_well_is_said_to_be(here: Node, wrap: Callable[[Json], Json], form: str) -> None:
    """A Bundle of ITI-65 and a DocumentReference of ITI-105, and what is wrong with either."""
    bundle = Bundle()
    bundle.document()
    resource = simple()
    assert validated(here, "Bundle", wrap(bundle.json), form) == WELL
    assert validated(here, "DocumentReference", wrap(resource), form) == WELL
    del bundle.resource(1)["type"]
    bundle.resource(1)["status"] = "superseded"
    del resource["type"]
    assert validated(here, "Bundle", wrap(bundle.json), form) == [
        ("error", "invalid", "mhd-status"),
        ("error", "invalid", "DE-typeCode-required"),
    ]
    assert validated(here, "DocumentReference", wrap(resource), form) == [
        ("error", "invalid", "DE-typeCode-required"),
    ]


def test_warnings_are_said_too(here: Node) -> None:
    """What would be taken and not kept: a custodian has no place in XDS."""
    resource = simple(custodian={"display": "Arkivet"})
    assert validated(here, "DocumentReference", resource) == [("warning", "informational", "mhd-not-saved")]


def test_codes_that_only_fhir_meets_stand_beside_fhirs_own(here: Node) -> None:
    """In details.coding, as those of XDS do (MHD 3.65.4.1.3, 3.106)."""
    change, _ = WRONG["a FHIR document"]
    kept = simple(custodian={"display": "Arkivet"})
    answers = {
        "FHIRDocumentNotSupported": refused_cda(here, PLAIN, **change),
        "InvalidDocumentContent": refused_cda(here, b"%PDF-1.4"),
        "XDSExtraMetadataNotSaved": ask(here, "POST", "DocumentReference/$validate", kept, JSON, Accept=JSON),
    }
    for code, answer in answers.items():
        (issue,) = resource_of(answer)["issue"]
        assert [each["code"] for each in issue["details"]["coding"]] == [code]


def test_what_is_not_r4_is_said_with_its_place(here: Node) -> None:
    """As in any answer, but with 200."""
    assert validated(here, "DocumentReference", simple(author=[])) == [
        ("error", "structure", ""),
        ("error", "invariant", ""),
    ]


def test_what_only_the_registry_knows_is_not_asked(here: Node) -> None:
    """A repeat is as well as the first."""
    bundle = Bundle()
    bundle.document()
    published(here, bundle)
    assert validated(here, "Bundle", bundle.json) == WELL


@pytest.mark.parametrize("kind", ["Bundle", "DocumentReference"])
@pytest.mark.parametrize("resource", [folder(), {"resourceType": "Parameters"}, {"x": m.FAMILY}])
def test_another_resource_is_not_validated_here(here: Node, kind: str, resource: Json) -> None:
    """400: what is posted to a type is of that type."""
    answer = refused(here, lambda: ask(here, "POST", f"{kind}/$validate", resource))
    assert (answer.status, told(answer)) == (400, [("structure", "", "")])


def test_soap_sees_what_was_published(here: Node) -> None:
    """One registry."""
    sent = simple(b"for SOAP")
    assert ask(here, "POST", "DocumentReference", sent).status == 201
    own = sent["masterIdentifier"]["value"].removeprefix("urn:oid:")
    found = send(here, m.plain(m.get_documents(own), "ITI-18"))
    assert found.outcome == SUCCESS
    assert len(list(found.content().iterfind(".//{*}ExtrinsicObject"))) == 1
    assert send(here, m.mtom_retrieve(own)).documents() == {own: b"for SOAP"}
