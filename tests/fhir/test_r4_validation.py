"""What is R4 and what is not, told by place and kind of issue; expected by hand from the text of R4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fhir import r4_samples as samples
from tests.fhir.r4_samples import Resource
from xds.fhir.r4.validation import problems

EXAMPLES = sorted((Path(__file__).parents[1] / "audit" / "examples").glob("*.json"))
#: Stands in resources that are wrong, and must never be told.
SECRET = "13116900216"


def found(resource: Resource) -> list[tuple[str, str]]:
    """Where and which kind of issue, in the order of places."""
    return sorted((problem.expression, problem.code) for problem in problems(resource))


def changed(resource: Resource, *steps: str | int, to: Any = None) -> Resource:
    """A resource with one place changed, or without it."""
    at: Any = resource
    for step in steps[:-1]:
        at = at[step]
    if to is None:
        del at[steps[-1]]
    else:
        at[steps[-1]] = to
    return resource


@pytest.mark.parametrize("make", samples.ALL, ids=lambda make: make.__name__)
def test_what_is_r4_has_no_problem(make: Callable[[], Resource]) -> None:
    """The samples are as R4 asks."""
    assert problems(make()) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_events_of_the_access_log_have_no_problem(example: Path) -> None:
    """What the tests of the access log hold to be right is right here."""
    assert problems(json.loads(example.read_text())) == []


def extended(extension: Resource) -> Resource:
    return samples.patient() | {"extension": [extension]}


def holding(*contained: Resource, to: str = "#") -> Resource:
    """A List with nothing but what it contains, and one item."""
    plain = {"resourceType": "List", "status": "current", "mode": "working"}
    return plain | {"contained": list(contained), "entry": [{"item": {"reference": to}}]}


def doc(*steps: str | int, to: Any = None) -> Resource:
    return changed(samples.document_reference(), *steps, to=to)


def pat(*steps: str | int, to: Any = None) -> Resource:
    return changed(samples.patient(), *steps, to=to)


def lst(*steps: str | int, to: Any = None) -> Resource:
    return changed(samples.submission_set(), *steps, to=to)


def bnd(*steps: str | int, to: Any = None) -> Resource:
    return changed(samples.bundle(), *steps, to=to)


D, P, L, B = "DocumentReference", "Patient", "List", "Bundle"
ATTACHMENT = "DocumentReference.content[0].attachment"

WRONG: list[tuple[Resource, str, str]] = [
    # Not a resource, or none that is read here.
    ({}, "Resource", "structure"),
    ({"resourceType": "Observation"}, "Resource", "structure"),
    ({"resourceType": [SECRET]}, "Resource", "structure"),
    (bnd("entry", 0, "resource", to={"resourceType": "Observation"}), f"{B}.entry[0].resource", "structure"),
    (bnd("entry", 0, "resource", to={"id": "a"}), f"{B}.entry[0].resource", "structure"),
    (bnd("entry", 0, "resource", to="List"), f"{B}.entry[0].resource", "structure"),
    # What is missing.
    (doc("status"), D, "required"),
    (doc("content"), D, "required"),
    (doc("content", 0, "attachment"), f"{D}.content[0]", "required"),
    (doc("relatesTo", 0, "target"), f"{D}.relatesTo[0]", "required"),
    (holding({"resourceType": "Location"}), f"{L}.contained[0]", "required"),
    (lst("mode"), L, "required"),
    ({"resourceType": "Bundle"}, B, "required"),
    (bnd("entry", 2, "resource", "contentType"), f"{B}.entry[2].resource", "required"),
    (bnd("entry", 1, "resource", "content"), f"{B}.entry[1].resource", "required"),
    (pat("text", "status"), f"{P}.text", "required"),
    (extended({"valueString": "a"}), f"{P}.extension[0]", "required"),
    # What R4 does not know, is empty, or is of another form.
    (doc(SECRET, to=1), D, "structure"),
    (doc("_subject", to={"id": "a"}), D, "structure"),
    (doc("content", 0, "attachment", "Size", to=1), ATTACHMENT, "structure"),
    (doc("category", to=[]), f"{D}.category", "structure"),
    (doc("author", to={"reference": "#role"}), f"{D}.author", "structure"),
    (doc("category", 0, to={}), f"{D}.category[0]", "structure"),
    (doc("category", 0, to={"id": "a"}), f"{D}.category[0]", "structure"),
    (doc("subject", to=SECRET), f"{D}.subject", "structure"),
    (pat("deceasedDateTime", to="2026"), P, "structure"),
    (pat("name", 0, "given", to=["A", None]), f"{P}.name[0].given", "structure"),
    (pat("name", 0, "_given"), f"{P}.name[0].given", "structure"),
    (pat("name", 0, "given"), f"{P}.name[0].given", "structure"),
    (pat("name", 0, to={"given": ["A"], "_given": [None]}), f"{P}.name[0].given", "structure"),
    (pat("name", 0, to={"given": [None], "_given": [{"id": "a"}]}), f"{P}.name[0].given", "structure"),
    (pat("name", 0, to={"_family": {"id": "a"}}), f"{P}.name[0].family", "structure"),
    # Values.
    (doc("date", to="2026-02-31T12:00:00Z"), f"{D}.date", "value"),
    (doc("date", to="2026-03-01T12:00Z"), f"{D}.date", "value"),
    (doc("date", to="2026-03-01T12:00:00"), f"{D}.date", "value"),
    (doc("context", "period", "start", to="2026-02-31"), f"{D}.context.period.start", "value"),
    (doc("contained", 0, "birthDate", to="1969-11-31"), f"{D}.contained[0].birthDate", "value"),
    (pat("birthDate", to="2100-02-29"), f"{P}.birthDate", "value"),
    (pat("birthDate", to="1969-00"), f"{P}.birthDate", "value"),
    (pat("birthDate", to="0000"), f"{P}.birthDate", "value"),
    (extended({"url": "a", "valueDate": "2026-04-31"}), f"{P}.extension[0].value", "value"),
    (doc("content", 0, "attachment", "size", to="12"), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "size", to=-1), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "size", to=2**31), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "size", to=12.0), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "size", to=12.5), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "size", to=True), f"{ATTACHMENT}.size", "value"),
    (doc("content", 0, "attachment", "hash", to="abc"), f"{ATTACHMENT}.hash", "value"),
    (doc("content", 0, "attachment", "url", to=f"a {SECRET}"), f"{ATTACHMENT}.url", "value"),
    (doc("description", to=" \n"), f"{D}.description", "value"),
    (doc("description", to="a\x0b"), f"{D}.description", "value"),
    (doc("description", to="a￾"), f"{D}.description", "value"),
    (doc("description", to="a" * (2**20 + 1)), f"{D}.description", "value"),
    (doc("id", to="a_b"), f"{D}.id", "value"),
    (pat("telecom", 0, "rank", to=0), f"{P}.telecom[0].rank", "value"),
    (pat("active", to="true"), f"{P}.active", "value"),
    (pat("name", 0, "given", 0, to=5), f"{P}.name[0].given[0]", "value"),
    (pat("deceasedBoolean", to=1), f"{P}.deceased", "value"),
    (doc("extension", 0, "valueOid", to="1.2.3"), f"{D}.extension[0].value", "value"),
    # Codes of required bindings.
    (doc("status", to="approved"), f"{D}.status", "code-invalid"),
    (doc("docStatus", to="done"), f"{D}.docStatus", "code-invalid"),
    (doc("relatesTo", 0, "code", to="RPLC"), f"{D}.relatesTo[0].code", "code-invalid"),
    (doc("masterIdentifier", "use", to="main"), f"{D}.masterIdentifier.use", "code-invalid"),
    (lst("status", to="approved"), f"{L}.status", "code-invalid"),
    (lst("mode", to="Working"), f"{L}.mode", "code-invalid"),
    (bnd("entry", 0, "request", "method", to="post"), f"{B}.entry[0].request.method", "code-invalid"),
    (pat("gender", to="F"), f"{P}.gender", "code-invalid"),
    (pat("telecom", 0, "system", to="tel"), f"{P}.telecom[0].system", "code-invalid"),
    (pat("telecom", 0, "use", to="private"), f"{P}.telecom[0].use", "code-invalid"),
    (pat("name", 0, "use", to="legal"), f"{P}.name[0].use", "code-invalid"),
    (pat("address", to=[{"use": "H"}]), f"{P}.address[0].use", "code-invalid"),
    (pat("address", to=[{"type": "PO"}]), f"{P}.address[0].type", "code-invalid"),
    (pat("text", "status", to="made"), f"{P}.text.status", "code-invalid"),
    (doc("subject", "type", to="Patients"), f"{D}.subject.type", "code-invalid"),
    # References.
    (doc("subject", "type", to="Group"), f"{D}.subject.type", "value"),
    (doc("subject", to={"reference": "Organization/1"}), f"{D}.subject", "value"),
    (doc("subject", to={"reference": "https://a.example/b/Location/1"}), f"{D}.subject", "value"),
    (doc("custodian", to={"reference": "#doctor"}), f"{D}.custodian", "value"),
    (doc("custodian", "type", to="Practitioner"), f"{D}.custodian.type", "value"),
    (doc("subject", to={"reference": f"#{SECRET}"}), f"{D}.subject.reference", "invariant"),
    (lst("subject", to={"reference": "#"}), f"{L}.subject.reference", "invariant"),
    (doc("author"), f"{D}.contained[1]", "invariant"),
    (
        holding({"resourceType": "Location", "id": "l"}, {"resourceType": "Device", "id": "l"}, to="#l"),
        f"{L}.contained[1]",
        "invariant",
    ),
    (bnd("entry", 1, "resource", "author"), f"{B}.entry[1].resource.contained[1]", "invariant"),
    # A reference reaches no further than the resource that it is in.
    (
        bnd("entry", 0, "resource", "subject", to={"reference": "#pat"}),
        f"{B}.entry[0].resource.subject.reference",
        "invariant",
    ),
    (
        doc("contained", 3, "contained", to=[{"resourceType": "Location", "id": "l"}]),
        f"{D}.contained[3].contained",
        "invariant",
    ),
    (doc("contained", 3, "meta", to={"versionId": "1"}), f"{D}.contained[3].meta.versionId", "invariant"),
    (
        doc("contained", 3, "meta", to={"security": [{"code": "N"}]}),
        f"{D}.contained[3].meta.security",
        "invariant",
    ),
    # Other invariants.
    (extended({"url": "a"}), f"{P}.extension[0]", "invariant"),
    (extended({"id": "a", "url": "a"}), f"{P}.extension[0]", "invariant"),
    (extended({"url": "a", "valueString": "a", "valueCode": "a"}), f"{P}.extension[0]", "invariant"),
    (
        extended({"url": "a", "valueString": "a", "extension": [{"url": "b", "valueCode": "b"}]}),
        f"{P}.extension[0]",
        "invariant",
    ),
    (
        doc("content", 0, "attachment", to={"data": "QUJD"}),
        ATTACHMENT,
        "invariant",
    ),
    (
        doc("context", "period", to={"start": "2026-03-01T10:00:00+01:00", "end": "2026-03-01T08:59:59Z"}),
        f"{D}.context.period",
        "invariant",
    ),
    (
        doc("context", "period", to={"start": "2026-03", "end": "2026-02-28"}),
        f"{D}.context.period",
        "invariant",
    ),
    (pat("telecom", 0, to={"value": "1"}), f"{P}.telecom[0]", "invariant"),
    (pat("contact", to=[{"gender": "male"}]), f"{P}.contact[0]", "invariant"),
    (doc("contained", 3, "name"), f"{D}.contained[3]", "invariant"),
    (lst("entry", 0, "deleted", to=True), L, "invariant"),
    (lst("emptyReason", to={"text": "a"}), L, "invariant"),
    (bnd("entry", 0, "request"), B, "invariant"),
    (bnd("entry", 1, "fullUrl", to=samples.SUBMISSION), f"{B}.entry[1]", "invariant"),
    (
        bnd("entry", 1, "fullUrl", to="https://a.example/List/1/_history/1"),
        f"{B}.entry[1].fullUrl",
        "invariant",
    ),
    (bnd("total", to=4), B, "invariant"),
    (bnd("entry", 3, "resource", "parameter", 0, "part"), f"{B}.entry[3].resource.parameter[0]", "invariant"),
    (pat("text", "div", to="<div>a</div>"), f"{P}.text.div", "invariant"),
    (pat("text", "div", to="<div"), f"{P}.text.div", "invariant"),
]


@pytest.mark.parametrize(("resource", "expression", "code"), WRONG)
def test_what_is_wrong_is_told_where_it_is(resource: Resource, expression: str, code: str) -> None:
    """Each resource has just one thing wrong, and just that is told."""
    assert [(expression, code)] == found(resource)


@pytest.mark.parametrize(("resource", "expression", "code"), WRONG)
def test_nothing_of_a_resource_is_told(resource: Resource, expression: str, code: str) -> None:
    """No value and no unknown name comes back, in whichever way it is wrong."""
    assert SECRET not in repr(problems(resource))
