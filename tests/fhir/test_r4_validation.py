"""What is R4 and what is not, told by place and kind of issue; expected by hand from the text of R4."""

from __future__ import annotations

import calendar
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audit.r4 import schema_problems
from tests.fhir import r4_samples as samples
from tests.fhir.r4_samples import Resource
from tests.fhir.r4_strategies import resources
from tests.fuzzing import examples
from xds.fhir.r4 import schema, validation
from xds.fhir.r4.elements import RESOURCES, TYPES
from xds.fhir.r4.validation import Problem, problems

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


def holding(*contained: Resource, to: str = "Device/1") -> Resource:
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
    (doc("description", to="a\ufffe"), f"{D}.description", "value"),
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
    (doc("custodian", "reference", to="#"), f"{D}.custodian.reference", "invariant"),
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


BUNDLES: list[tuple[Resource, str]] = [
    # By the type of the bundle: what its entries must and must not have (bdl-1 to bdl-4, bdl-9 to bdl-12).
    ({"type": "searchset", "total": 0}, ""),
    ({"type": "history", "total": 0}, ""),
    ({"type": "collection", "total": 0}, "bdl-1"),
    ({"type": "searchset", "entry": [{"resource": {}, "search": {"mode": "match"}}]}, ""),
    ({"type": "collection", "entry": [{"resource": {}, "search": {"mode": "match"}}]}, "bdl-2"),
    ({"type": "batch", "entry": [{"resource": {}}]}, "bdl-3"),
    ({"type": "searchset", "entry": [{"request": {"method": "GET", "url": "List"}}]}, "bdl-3"),
    ({"type": "batch-response", "entry": [{"resource": {}}]}, "bdl-4"),
    ({"type": "collection", "entry": [{"response": {"status": "200"}}]}, "bdl-4"),
    ({"type": "collection", "entry": [{"fullUrl": "urn:x:a"}]}, "bdl-5"),
    ({"type": "document", "timestamp": "2026-03-01T12:00:00Z", "entry": [{"resource": {}}]}, "bdl-9 bdl-11"),
    ({"type": "document", "identifier": {"system": "urn:x:a", "value": "a"}}, "bdl-10 bdl-11"),
    ({"type": "message", "entry": [{"resource": {}}]}, "bdl-12"),
]


@pytest.mark.parametrize(("bundle", "keys"), BUNDLES)
def test_a_bundle_is_as_its_type_asks(bundle: Resource, keys: str) -> None:
    """Each invariant is told by R4's own sentence, which ends with its key."""
    resource = json.loads(
        json.dumps(bundle).replace('"resource": {}', '"resource": {"resourceType": "Device"}')
    )
    told = " ".join(problem.text for problem in problems({"resourceType": "Bundle"} | resource))

    assert keys.split() == re.findall(r"bdl-\d+", told)


NARRATIVES = [
    ("<div {x}>a</div>", ""),
    ("\n<div {x}><img src='#a'/></div>", ""),
    ("<div {x}><a href='https://xds.example.org/'>a</a></div>", ""),
    ("<h:div xmlns:h='http://www.w3.org/1999/xhtml'>a</h:div>", ""),
    ("<div {x}> \n<p/></div>", "txt-2"),
    ("<div {x}><img alt='a'/></div>", "txt-2"),
    ("<div {x}>a<script/></div>", "txt-1"),
    ("<div {x} onclick='a'>a</div>", "txt-1"),
    ("<div {x}>a<form><input/></form></div>", "txt-1"),
    ("<div {x}>a<b xmlns=''>b</b></div>", "txt-1"),
    ("<div {x}><a href='java\tscript:a()'>a</a></div>", "script"),
    ("<div {x}>a&nbsp;b</div>", "not one div"),
    ("<!DOCTYPE div><div {x}>a</div>", "not one div"),
    ("<p {x}>a</p>", "not one div"),
    ("a", "not one div"),
]


@pytest.mark.parametrize(("div", "word"), NARRATIVES)
def test_a_narrative_is_plain_xhtml(div: str, word: str) -> None:
    """Text and images in the elements that R4 lists, and nothing that runs."""
    narrative = {"status": "generated", "div": div.format(x=samples.XHTML)}
    told = problems({"resourceType": "Device", "text": narrative})

    assert [("Device.text.div", "invariant")] * bool(word) == [(one.expression, one.code) for one in told]
    assert all(word in one.text for one in told)


def test_a_day_exists_if_the_calendar_has_it() -> None:
    """Of every year of four centuries, just the days of Python's calendar."""
    pattern = schema.document()["definitions"]["date"]["pattern"]
    days = re.compile(pattern)
    for year in (1, 4, 100, 400, 999, 1000, 1600, 1900, *range(1996, 2013), 2100, 2400, 9999):
        for month in range(1, 13):
            last = calendar.monthrange(year, month)[1]
            right = [day for day in range(33) if days.match(f"{year:04}-{month:02}-{day:02}")]
            assert list(range(1, last + 1)) == right, (year, month)


@pytest.mark.parametrize(
    "resource",
    [
        # Each is right in a way that is easily taken for wrong.
        {"resourceType": "Parameters"},
        {"resourceType": "Patient", "birthDate": "1969", "_birthDate": {"id": "a"}},
        {"resourceType": "Patient", "name": [{"_family": {"extension": [{"url": "a", "valueCode": "b"}]}}]},
        {"resourceType": "Patient", "name": [{"given": ["A", "B"], "_given": [None, {"id": "b"}]}]},
        {"resourceType": "Patient", "multipleBirthInteger": 2},
        {"resourceType": "Patient", "extension": [{"url": "a", "valueDecimal": 2.0}]},
        {"resourceType": "Patient", "extension": [{"url": "a", "valueQuantity": {"value": 1e3}}]},
        {"resourceType": "Patient", "extension": [{"url": "a", "valueReference": {"type": "http://a.no/b"}}]},
        {"resourceType": "Patient", "extension": [{"url": "a", "valueReference": {"reference": "Blob/1"}}]},
        {"resourceType": "Patient", "birthDate": "2000-02-29"},
        {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"},
         "period": {"start": "2026-03-01", "end": "2026-03"}},
        {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"},
         "period": {"start": "2026-12-31T23:59:60Z", "end": "2026-12-31T23:59:60Z"}},
        {"resourceType": "Device", "contained": [{"resourceType": "Organization", "id": "o", "name": "a",
         "partOf": {"reference": "#"}}]},
        {"resourceType": "CapabilityStatement", "status": "active", "date": "2026", "kind": "requirements",
         "description": "a", "fhirVersion": "4.0.1", "format": ["json"], "rest": [{"mode": "server"}],
         "instantiates": ["#l"], "contained": [{"resourceType": "Location", "id": "l"}]},
        {"resourceType": "Binary", "contentType": "a/b", "data": "QUJD\r\n QUI= "},
    ],
)  # fmt: skip
def test_what_r4_permits_is_no_problem(resource: Resource) -> None:
    """The validator asks for nothing that R4 does not ask for."""
    assert problems(resource) == []


def test_a_mapping_that_is_no_dict_is_judged() -> None:
    """A resource may come in any mapping."""
    assert problems(MappingProxyType(samples.document_reference())) == []
    assert problems(MappingProxyType({"resourceType": "List"}))


def test_no_more_is_told_than_asked_for() -> None:
    """Of a thousand problems a hundred, or how many one wants."""
    resource = {"resourceType": "Patient", "name": [{"family": 5}] * 1000}

    assert 100 == len(problems(resource))
    assert [Problem("Patient.name[0].family", "value", problems(resource)[0].text)] == problems(resource, 1)


def test_of_a_very_large_resource_the_first_problem_is_told() -> None:
    """Finding all of them would take seconds, and one is enough to refuse it."""
    resource = {"resourceType": "Patient", "name": [{"family": 5}] * (validation.MOST_MEMBERS + 2)}

    assert ["Patient.name[0].family"] == [problem.expression for problem in problems(resource)]


@pytest.mark.parametrize("depth", [126, 127, 5000])
def test_what_is_nested_too_deep_is_refused_before_it_is_judged(depth: int) -> None:
    """254 levels of objects and arrays are judged; more would take more of the stack than threads have."""
    inner: Resource = {"url": "a", "valueCode": "a"}
    for _ in range(depth - 1):
        inner = {"url": "a", "extension": [inner]}
    told = problems({"resourceType": "Device", "extension": [inner]})

    assert ([] if depth == 126 else ["Resource"]) == [problem.expression for problem in told]


@pytest.mark.parametrize("value", ['"\\ud800"', "36893488147419103232"])
def test_what_json_does_not_carry_is_told_and_not_raised(value: str) -> None:
    """json.loads lets through half a character and numbers of any length."""
    resource = json.loads(f'{{"resourceType": "Device", "modelNumber": {value}}}')

    assert ["Resource"] == [problem.expression for problem in problems(resource)]


def test_many_threads_may_begin_at_once() -> None:
    """The schema is compiled when it is first needed, by whoever comes first."""
    schema._document.cache_clear()
    schema._validator.cache_clear()
    start, told = threading.Barrier(8), []

    def judge() -> None:
        start.wait()
        told.extend(problems(samples.bundle()) for _ in range(20))

    threads = [threading.Thread(target=judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [[]] * 160 == told


#: What no element of R4 has as its value, and what many have.
_JUNK = st.recursive(
    st.sampled_from([None, True, 0, -1, 1.0, 1.5, "", " ", SECRET, f"#{SECRET}", "2026-02-30", "current"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "_id", "resourceType", "reference", "extension", "url", SECRET]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=4,
)
_CODES = {"structure", "required", "value", "code-invalid", "invariant"}


def places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a resource, but not the resource itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*above, step)
        yield from places(item, (*above, step))


@settings(max_examples=examples(400), deadline=None)
@given(st.data())
def test_whatever_stands_anywhere_is_judged_and_not_told(data: st.DataObject) -> None:
    """Nothing makes the validator fail, and nothing of a message comes back, wherever it stands."""
    resource = data.draw(st.sampled_from(samples.ALL))()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(resource))))
        resource = changed(resource, *place, to=data.draw(_JUNK))
    told = problems(resource)

    assert SECRET not in repr(told)
    assert {problem.code for problem in told} <= _CODES
    for problem in told:
        assert known(problem.expression), problem.expression


def known(expression: str) -> bool:
    """Whether all names of a FHIRPath are those of R4."""
    first, *names = re.sub(r"\[\d+\]", "", expression).split(".")
    said = {element.path_name for elements in TYPES.values() for element in elements.values()}
    return first in RESOURCES | {"Resource"} and said.issuperset(names)


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(resources())
def test_any_resource_of_the_table_is_judged(resource: Resource) -> None:
    """What the table allows is never an element that the schema does not know, or of another form."""
    texts = {problem.text for problem in problems(resource)}

    assert "There is an element here that R4 does not know." not in texts
    assert "The element is not an object." not in texts
    assert "The element can be repeated, but is not an array." not in texts


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_what_the_tests_own_schema_refuses_is_refused(data: st.DataObject) -> None:
    """The schema by which the access log is tested was made in another way, of the official one."""
    event = json.loads(data.draw(st.sampled_from(EXAMPLES)).read_text())
    place = data.draw(st.sampled_from(list(places(event))))
    wrong = data.draw(st.sampled_from([None, 1, "", "a b", "2026-02-30", [], {}, True, "Patient/1"]))
    event = changed(event, *place, to=wrong)

    if schema_problems(event):
        assert problems(event)


def test_the_schema_and_the_table_have_the_same_elements() -> None:
    """What XML has a place for, JSON has one for, too."""
    definitions = schema.document()["definitions"]
    for kind, elements in TYPES.items():
        named = {key for key in definitions[kind]["properties"] if key[0] != "_" and key != "resourceType"}
        assert named == set(elements), kind
