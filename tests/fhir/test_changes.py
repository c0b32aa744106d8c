"""PATCH and DELETE of a DocumentReference on a real node: what changes, what stays, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from lxml import etree

from tests.blackbox import messages as m
from tests.blackbox.state import counts, rows
from tests.blackbox.state import published as published_files
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir.messages import (
    JSON,
    XML,
    Bundle,
    Json,
    ask,
    concept,
    document,
    folder,
    got,
    items,
    published,
    refused,
    resource_of,
    told,
)
from tests.nodes import Node
from xds.fhir.r4.validation import problems

V3 = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
NORMAL, RESTRICTED = concept("N", V3, "normal"), concept("R", V3, "restricted")
BLOCKED = concept("NORS", "urn:oid:2.16.578.1.12.4.1.1.9603")
PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def here(new_node: Callable[..., Node]) -> Node:
    """A node that these tests share."""
    return new_node()


@pytest.fixture(scope="module")
def busy(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with two workers on each database engine, for what happens at the same moment."""
    with nodes(engine, tmp_path_factory) as make:
        yield make(node__workers=2)


def new(node: Node, content: bytes = b"content", **changes: Any) -> str:
    """The path of a new document."""
    bundle = Bundle()
    bundle.document(content, **changes)
    return published(node, bundle)[1]


def labels(resource: Json) -> list[tuple[str, str]]:
    """(system, code) of each label."""
    return [(each["coding"][0]["system"], each["coding"][0]["code"]) for each in resource["securityLabel"]]


def parameters(*operations: Json) -> Json:
    """A FHIRPath Patch."""
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": parts(**each)} for each in operations],
    }


def parts(
    type: str, path: str, name: str = "", value: Json | None = None, index: int | None = None
) -> list[Json]:
    """The parts of an operation of FHIRPath Patch."""
    found: list[Json] = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    if name:
        found.append({"name": "name", "valueString": name})
    if value is not None:
        found.append({"name": "value", "valueCodeableConcept": value})
    if index is not None:
        found.append({"name": "index", "valueInteger": index})
    return found


def partial(*given: Json) -> Json:
    """A DocumentReference with labels alone."""
    return {"resourceType": "DocumentReference", "securityLabel": list(given)}


LABEL = "DocumentReference.securityLabel"
#: Changes of [N, R]: body, its type, and the codes afterwards.
CHANGES: dict[str, tuple[Any, str, list[str]]] = {
    "replace all": ([{"op": "replace", "path": "/securityLabel", "value": [BLOCKED]}], PATCH, ["NORS"]),
    "add all": ([{"op": "add", "path": "/securityLabel", "value": [BLOCKED]}], PATCH, ["NORS"]),
    "replace one": ([{"op": "replace", "path": "/securityLabel/0", "value": BLOCKED}], PATCH, ["NORS", "R"]),
    "add first": ([{"op": "add", "path": "/securityLabel/0", "value": BLOCKED}], PATCH, ["NORS", "N", "R"]),
    "add last": ([{"op": "add", "path": "/securityLabel/-", "value": BLOCKED}], PATCH, ["N", "R", "NORS"]),
    "add behind the last": (
        [{"op": "add", "path": "/securityLabel/2", "value": BLOCKED}],
        PATCH,
        ["N", "R", "NORS"],
    ),
    "remove one": ([{"op": "remove", "path": "/securityLabel/1"}], PATCH, ["N"]),
    "test and remove": (
        [
            {"op": "test", "path": "/securityLabel/1/coding/0/code", "value": "R"},
            {"op": "remove", "path": "/securityLabel/1"},
        ],
        PATCH,
        ["N"],
    ),
    "remove and add": (
        [
            {"op": "remove", "path": "/securityLabel"},
            {"op": "add", "path": "/securityLabel", "value": [BLOCKED]},
        ],
        PATCH,
        ["NORS"],
    ),
    "replace a code": (
        [{"op": "replace", "path": "/securityLabel/1/coding/0/code", "value": "V"}],
        PATCH,
        ["N", "V"],
    ),
    "FHIRPath add": (
        parameters({"type": "add", "path": "DocumentReference", "name": "securityLabel", "value": BLOCKED}),
        JSON,
        ["N", "R", "NORS"],
    ),
    "FHIRPath replace": (
        parameters({"type": "replace", "path": f"{LABEL}[0]", "value": BLOCKED}),
        JSON,
        ["NORS", "R"],
    ),
    "FHIRPath delete": (parameters({"type": "delete", "path": f"{LABEL}[1]"}), JSON, ["N"]),
    "FHIRPath twice": (
        parameters(
            {"type": "delete", "path": f"{LABEL}[0]"},
            {"type": "replace", "path": f"{LABEL}[0]", "value": BLOCKED},
        ),
        JSON,
        ["NORS"],
    ),
    "FHIRPath in XML": (parameters({"type": "delete", "path": f"{LABEL}[1]"}), XML, ["N"]),
    "partial": (partial(BLOCKED, NORMAL), JSON, ["NORS", "N"]),
    "partial in XML": (partial(BLOCKED), XML, ["NORS"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_labels_are_changed_in_three_forms(here: Node, what: str) -> None:
    """JSON Patch, FHIRPath Patch, and a resource with the labels alone; the answer is the new version."""
    body, content_type, codes = CHANGES[what]
    path = new(here, securityLabel=[NORMAL, RESTRICTED])
    before = got(here, path)
    answer = ask(here, "PATCH", path, body, content_type)
    assert answer.status == 200, answer.data
    assert answer.headers["ETag"] == 'W/"2"'
    changed = resource_of(answer)
    assert problems(changed) == []
    assert [code for _, code in labels(changed)] == codes
    assert changed == got(here, path)
    assert (changed["id"], changed["meta"]["versionId"]) == (before["id"], "2")
    for resource in (before, changed):
        for name in ("meta", "date", "securityLabel"):
            del resource[name]
        # The entryUUID is the version's, and the other identifier the document's.
        assert resource["identifier"][0].pop("value") is not None
    assert changed == before


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ([], PATCH),
        ([{"op": "test", "path": "/securityLabel/0/coding/0/code", "value": "N"}], PATCH),
        ([{"op": "replace", "path": "/securityLabel", "value": [NORMAL, RESTRICTED]}], PATCH),
        ({"resourceType": "Parameters"}, JSON),
        (partial(NORMAL, RESTRICTED), JSON),
    ],
)
def test_a_change_that_changes_nothing_makes_no_version(here: Node, body: Any, content_type: str) -> None:
    """So a repeat is harmless."""
    path = new(here, securityLabel=[NORMAL, RESTRICTED])
    before = counts(here)
    answer = ask(here, "PATCH", path, body, content_type)
    assert answer.status == 200, answer.data
    assert resource_of(answer) == got(here, path)
    assert counts(here) == before


def test_a_partial_resource_may_name_itself(here: Node) -> None:
    """id and meta are read and not written."""
    path = new(here)
    own = got(here, path)
    body = {**partial(RESTRICTED), "id": own["id"], "meta": own["meta"]}
    assert labels(resource_of(ask(here, "PATCH", path, body))) == [(V3, "R")]


REFUSED: dict[str, tuple[Any, str, int, list[str]]] = {
    "another element": ([{"op": "replace", "path": "/type", "value": BLOCKED}], PATCH, 422, ["mhd-change"]),
    "all of it": ([{"op": "replace", "path": "", "value": {}}], PATCH, 422, ["mhd-change"]),
    "a longer name": ([{"op": "remove", "path": "/securityLabels"}], PATCH, 422, ["mhd-change"]),
    "copy": ([{"op": "copy", "from": "/type", "path": "/securityLabel/-"}], PATCH, 422, ["mhd-change"]),
    "move": ([{"op": "move", "from": "/type", "path": "/securityLabel/-"}], PATCH, 422, ["mhd-change"]),
    "one good and one bad": (
        [{"op": "remove", "path": "/securityLabel/1"}, {"op": "remove", "path": "/subject"}],
        PATCH,
        422,
        ["mhd-change"],
    ),
    "no such label": ([{"op": "remove", "path": "/securityLabel/7"}], PATCH, 422, [""]),
    "beyond the end": ([{"op": "add", "path": "/securityLabel/3", "value": BLOCKED}], PATCH, 422, [""]),
    "a test that fails": ([{"op": "test", "path": "/securityLabel/0", "value": BLOCKED}], PATCH, 422, [""]),
    "a path into a text": (
        [{"op": "replace", "path": "/securityLabel/0/coding/0/code/0", "value": "x"}],
        PATCH,
        422,
        [""],
    ),
    "a path into what is not there": (
        [{"op": "replace", "path": "/securityLabel/0/text/0", "value": "x"}],
        PATCH,
        422,
        [""],
    ),
    "the end of what is replaced": (
        [{"op": "replace", "path": "/securityLabel/-", "value": BLOCKED}],
        PATCH,
        422,
        [""],
    ),
    "no label": (
        [{"op": "replace", "path": "/securityLabel", "value": []}],
        PATCH,
        422,
        ["DE-confidentialityCode-required"],
    ),
    "no value": ([{"op": "add", "path": "/securityLabel/-"}], PATCH, 400, [""]),
    "a label that is a text": (
        [{"op": "add", "path": "/securityLabel/-", "value": "Kvakkelund"}],
        PATCH,
        422,
        [""],
    ),
    "labels that are a text": (
        [{"op": "replace", "path": "/securityLabel", "value": "Kvakkelund"}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "labels that are a number": (
        [{"op": "replace", "path": "/securityLabel", "value": 1}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "labels that are nothing": (
        [{"op": "replace", "path": "/securityLabel", "value": None}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "labels that are an object": (
        [{"op": "replace", "path": "/securityLabel", "value": BLOCKED}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "a label with odd members": (
        [
            {
                "op": "add",
                "path": "/securityLabel/-",
                "value": {"coding": [{"code": 1, "system": ["Kvakkelund"]}]},
            }
        ],
        PATCH,
        422,
        ["", ""],
    ),
    "a label with a display that is none": (
        [
            {
                "op": "add",
                "path": "/securityLabel/-",
                "value": {"coding": [{"code": "R", "system": V3, "display": 1}]},
            }
        ],
        PATCH,
        422,
        [""],
    ),
    "a label without code": (
        [{"op": "add", "path": "/securityLabel/-", "value": {"text": "Kvakkelund"}}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "a label of no system": (
        [{"op": "add", "path": "/securityLabel/-", "value": {"coding": [{"code": "R"}]}}],
        PATCH,
        422,
        ["mhd-value"],
    ),
    "a label that its system does not have": (
        [
            {
                "op": "add",
                "path": "/securityLabel/-",
                "value": concept("Kvakkelund", BLOCKED["coding"][0]["system"]),
            }
        ],
        PATCH,
        422,
        ["DE-confidentialityCode-code"],
    ),
    "no list": ({"op": "remove"}, PATCH, 400, [""]),
    "an operation that is none": (["Kvakkelund"], PATCH, 422, ["mhd-change"]),
    "an operation without path": ([{"op": "remove"}], PATCH, 422, ["mhd-change"]),
    "no JSON": (b"[Kvakkelund", PATCH, 400, [""]),
    "too many": ([{"op": "test", "path": "/securityLabel", "value": []}] * 101, PATCH, 400, [""]),
    "too long": (b"[" + b" " * 70_000 + b"]", PATCH, 400, [""]),
    "FHIRPath of another element": (
        parameters({"type": "replace", "path": "DocumentReference.type", "value": BLOCKED}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "FHIRPath that adds another element": (
        parameters({"type": "add", "path": "DocumentReference", "name": "type", "value": BLOCKED}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "FHIRPath that deletes the whole": (
        parameters({"type": "delete", "path": "DocumentReference"}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "FHIRPath insert": (
        parameters({"type": "insert", "path": LABEL, "index": 0, "value": BLOCKED}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "FHIRPath beyond the end": (parameters({"type": "delete", "path": f"{LABEL}[7]"}), JSON, 422, [""]),
    "FHIRPath that deletes several": (parameters({"type": "delete", "path": LABEL}), JSON, 422, [""]),
    "FHIRPath without value": (
        parameters({"type": "replace", "path": f"{LABEL}[0]"}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "FHIRPath function": (
        parameters({"type": "delete", "path": "DocumentReference.securityLabel.where(text='x')"}),
        JSON,
        422,
        ["mhd-change"],
    ),
    "a whole resource": ({**document(), "securityLabel": [BLOCKED]}, JSON, 422, ["mhd-change"]),
    "a partial one with more": ({**partial(BLOCKED), "description": m.COMMENT}, JSON, 422, ["mhd-change"]),
    "a partial one without labels": (
        {"resourceType": "DocumentReference"},
        JSON,
        422,
        ["DE-confidentialityCode-required"],
    ),
    "another resource": (folder(), JSON, 422, ["mhd-change"]),
    "another type": (b"Kvakkelund", "text/plain", 415, [""]),
    "nothing": (b"", JSON, 400, [""]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_other_change_is_made(here: Node, what: str) -> None:
    """Of a document whose labels are N and R; it keeps its version."""
    body, content_type, status, rules = REFUSED[what]
    path = new(here, securityLabel=[NORMAL, RESTRICTED])
    answer = refused(here, lambda: ask(here, "PATCH", path, body, content_type))
    assert (answer.status, [rule for _, rule, _ in told(answer)]) == (status, rules)
    assert got(here, path)["meta"]["versionId"] == "1"


@pytest.mark.parametrize("own", ["00000000-0000-4000-8000-00000000dead", "Kvakkelund", "1"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_is_not_there_is_not_found(here: Node, method: str, own: str) -> None:
    """404, whatever the id looks like."""
    body = json.dumps(partial(BLOCKED)).encode() if method == "PATCH" else None
    answer = refused(here, lambda: ask(here, method, f"DocumentReference/{own}", body))
    assert (answer.status, told(answer)) == (404, [("not-found", "", "")])


# ---- versions


@pytest.mark.parametrize(
    ("if_match", "status"),
    [('W/"1"', 200), ('"1"', 200), ("1", 200), ("*", 200), ('W/"7", W/"1"', 200),
     ('W/"2"', 412), ('W/"0"', 412), ('"Kvakkelund"', 412)],
)  # fmt: skip
def test_a_change_may_be_of_one_version_only(here: Node, if_match: str, status: int) -> None:
    """If-Match; 412 when it has changed since (FHIR R4 3.1.0.5)."""
    path = new(here)
    if status == 200:
        answer = ask(here, "PATCH", path, partial(RESTRICTED), If_Match=if_match)
    else:
        answer = refused(here, lambda: ask(here, "PATCH", path, partial(RESTRICTED), If_Match=if_match))
        assert told(answer) == [("conflict", "mhd-change-version", "")]
    assert answer.status == status


def test_a_change_of_an_old_version_is_refused_after_another(here: Node) -> None:
    """The version that was read counts, and not the id."""
    path = new(here)
    assert ask(here, "PATCH", path, partial(RESTRICTED), If_Match='W/"1"').status == 200
    assert ask(here, "PATCH", path, partial(NORMAL), If_Match='W/"1"').status == 412
    assert ask(here, "PATCH", path, partial(NORMAL), If_Match='W/"2"').status == 200
    assert got(here, path)["meta"]["versionId"] == "3"


def entries(node: Node, unique_id: str, level: str = "2") -> dict[str, etree._Element]:
    """The versions of a document over SOAP, by number."""
    asked = m.query(
        m.GET_DOCUMENTS,
        {"$XDSDocumentEntryUniqueId": f"('{unique_id}')", "$MetadataLevel": level},
    )
    reply = send(node, m.plain(asked, "ITI-18"))
    assert reply.outcome == SUCCESS
    return {
        each.find("{*}VersionInfo").get("versionName"): each
        for each in reply.content().iterfind(".//{*}ExtrinsicObject")
    }


RICH = (
    '<rim:Slot name="urn:example:a"><rim:ValueList><rim:Value>A</rim:Value><rim:Value/>'
    "<rim:Value> B &amp; C </rim:Value></rim:ValueList></rim:Slot>"
)
UNKNOWN_CLASSIFICATION = (
    '<rim:Classification id="local" classificationScheme="urn:uuid:11111111-2222-4333-8444-555555555555"'
    ' classifiedObject="Document01" nodeRepresentation="Ω"><rim:Slot name="codingScheme"><rim:ValueList>'
    "<rim:Value>lokalt</rim:Value></rim:ValueList></rim:Slot><rim:Name>"
    '<rim:LocalizedString xml:lang="nb-NO" value="En"/><rim:LocalizedString xml:lang="en" value="One"/>'
    "</rim:Name></rim:Classification>"
)


def test_all_other_metadata_stay_as_they_are(busy: Node) -> None:
    """Texts in several languages, slots with empty values, classifications that nobody busy knows: all but
    ids, the labels and the version are the same bytes.
    """
    sent = m.Document(content=b"rich")
    request = m.provide([sent], m.inline([sent]))
    request = request.replace('<rim:Slot name="creationTime">', f'{RICH}<rim:Slot name="creationTime">', 1)
    title = f'<rim:LocalizedString value="{m.TITLE}"/>'
    assert title in request
    several = (
        f'<rim:LocalizedString xml:lang="nb-NO" charset="UTF-8" value="{m.TITLE}"/>'
        '<rim:LocalizedString xml:lang="en" value="Discharge &#10; letter"/>'
    )
    request = request.replace(title, several, 1)
    start = request.index("<rim:Classification", request.index("<rim:ExtrinsicObject"))
    request = request[:start] + UNKNOWN_CLASSIFICATION + request[start:]
    assert send(busy, m.plain(request, "ITI-41")).outcome == SUCCESS
    found = got(busy, f"DocumentReference?identifier=urn:oid:{sent.unique_id}")["entry"][0]["resource"]
    path = f"DocumentReference/{found['id']}"
    assert ask(busy, "PATCH", path, partial(RESTRICTED, BLOCKED)).status == 200
    versions = entries(busy, sent.unique_id)
    assert set(versions) == {"1", "2"}
    assert (versions["1"].get("status"), versions["2"].get("status")) == (m.DEPRECATED, m.APPROVED)
    assert {each.get("lid") for each in versions.values()} == {f"urn:uuid:{found['id']}"}
    scheme = m.CODES["confidentialityCode"][0]
    told_codes = {
        number: [
            each.get("nodeRepresentation") for each in entry.iterfind(f"*[@classificationScheme='{scheme}']")
        ]
        for number, entry in versions.items()
    }
    assert told_codes == {"1": ["N"], "2": ["R", "NORS"]}
    first, second = (_without_ids(versions[number], scheme) for number in ("1", "2"))
    assert first == second
    assert "Discharge" in first.decode()
    assert "Ω".encode() in first


def _without_ids(entry: etree._Element, scheme: str) -> bytes:
    """The element without what a new version has anew, its children in a fixed order."""
    for each in entry.findall(f"*[@classificationScheme='{scheme}']"):
        entry.remove(each)
    for name in ("id", "status"):
        del entry.attrib[name]
    entry.remove(entry.find("{*}VersionInfo"))
    for each in entry.iter("{*}Classification", "{*}ExternalIdentifier"):
        for name in ("id", "classifiedObject", "registryObject"):
            each.attrib.pop(name, None)
    return b"".join(etree.tostring(each, method="c14n") for each in [entry])


def test_both_versions_are_there_for_those_who_ask_for_both(here: Node) -> None:
    """$MetadataLevel 2 shows them; 1, and FHIR, the current one."""
    path = new(here)
    unique_id = got(here, path)["masterIdentifier"]["value"].removeprefix("urn:oid:")
    first = got(here, path)["identifier"][0]["value"]
    ask(here, "PATCH", path, partial(BLOCKED))
    second = got(here, path)["identifier"][0]["value"]
    assert first != second
    assert {number: each.get("id") for number, each in entries(here, unique_id).items()} == {
        "1": first,
        "2": second,
    }
    assert list(entries(here, unique_id, "1")) == ["2"]
    found = got(here, f"DocumentReference?identifier=urn:oid:{unique_id}")
    assert [each["resource"]["identifier"][0]["value"] for each in found["entry"]] == [second]
    assert ask(here, "GET", path.replace("DocumentReference", "Binary")).data == b"content"


def test_changes_at_the_same_moment_follow_each_other_or_are_refused(busy: Node) -> None:
    """With If-Match one of eight wins; without, whoever loses is told so, and no change is half made."""
    path = new(busy)
    codes = [concept(code, V3) for code in ("R", "V")] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda code: ask(busy, "PATCH", path, partial(code), If_Match='W/"1"').status, codes)
        )
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 412, 503}
    assert got(busy, path)["meta"]["versionId"] == "2"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda code: ask(busy, "PATCH", path, partial(code)).status, codes))
    assert set(answers) <= {200, 409, 503}
    assert got(busy, path)["meta"]["versionId"] == str(2 + answers.count(200))


# ---- DELETE


def gone(node: Node, path: str, unique_id: str) -> None:
    """Assert that a document is nowhere."""
    assert ask(node, "GET", path).status == 404
    assert ask(node, "GET", path.replace("DocumentReference", "Binary")).status == 404
    assert entries(node, unique_id) == {}
    assert send(node, m.mtom_retrieve(unique_id)).documents() == {}


def own_id(node: Node, path: str) -> str:
    """The uniqueId of a document."""
    return str(got(node, path)["masterIdentifier"]["value"]).removeprefix("urn:oid:")


def test_a_document_goes_with_all_that_is_about_it_alone(busy: Node) -> None:
    """All its versions, their memberships, the sets that would be empty, and the bytes: as if it had never
    been.
    """
    new(busy)  # codes and the patient stay
    before = counts(busy)
    path = new(busy)
    unique_id = own_id(busy, path)
    for label in (RESTRICTED, BLOCKED):
        assert ask(busy, "PATCH", path, partial(label)).status == 200
    grown = counts(busy)
    assert (grown["document_entry"], grown["submission_set"]) == (
        before["document_entry"] + 3,
        before["submission_set"] + 3,
    )
    answer = ask(busy, "DELETE", path)
    assert (answer.status, answer.data) == (204, b"")
    after = counts(busy)
    assert {name for name in after if after[name] != before[name]} <= {"code", "replies/"}
    gone(busy, path, unique_id)
    assert ask(busy, "DELETE", path).status == 404


def test_other_documents_of_its_set_and_folder_stay(here: Node) -> None:
    """The set and the folder hold one less."""
    bundle = Bundle()
    first, second = bundle.document(b"first"), bundle.document(b"second")
    bundle.folder(first, second)
    the_set, one, _, two, bytes_of_two, the_folder = published(here, bundle)
    unique_id = own_id(here, one)
    assert ask(here, "DELETE", one).status == 204
    gone(here, one, unique_id)
    for each in (the_folder, the_set):
        held = [item["item"]["reference"] for item in got(here, each)["entry"]]
        assert one not in held
        assert two in held
    assert ask(here, "GET", bytes_of_two).data == b"second"
    answer = refused(here, lambda: ask(here, "POST", "", bundle.json))
    assert answer.status == 409  # it is not the submission any more that it was


def test_a_folder_that_holds_nothing_else_stays(here: Node) -> None:
    """It was made to be filled."""
    bundle = Bundle()
    first = bundle.document()
    bundle.folder(first)
    _, one, _, the_folder = published(here, bundle)
    assert ask(here, "DELETE", one).status == 204
    assert "entry" not in got(here, the_folder)


def test_a_document_that_replaced_another_can_go(here: Node) -> None:
    """What it replaced stays as it is: superseded, and for the archive."""
    first = new(here)
    later = Bundle()
    later.document(b"later", relatesTo=[{"code": "replaces", "target": {"reference": first}}])
    second = published(here, later)[1]
    assert ask(here, "DELETE", second).status == 204
    assert got(here, first)["status"] == "superseded"
    assert ask(here, "DELETE", first).status == 204


@pytest.mark.parametrize("code", ["replaces", "appends"])
def test_what_stands_alone_stays_when_its_origin_goes(here: Node, code: str) -> None:
    """A replacement and an addendum lose their relation."""
    first, second = related(here, code)
    assert ask(here, "DELETE", first).status == 204
    assert "relatesTo" not in got(here, second)
    assert ask(here, "GET", second.replace("DocumentReference", "Binary")).data == b"later"


@pytest.mark.parametrize("code", ["transforms", "signs"])
def test_what_others_are_made_of_stays_while_they_do(here: Node, code: str) -> None:
    """A transformation or signature must not be parted from its origin: 409. It goes first."""
    first, second = related(here, code)
    answer = refused(here, lambda: ask(here, "DELETE", first))
    assert (answer.status, told(answer)) == (409, [("conflict", "remove-source", "DocumentReference")])
    assert ask(here, "DELETE", second).status == 204
    assert ask(here, "DELETE", first).status == 204


def related(node: Node, code: str) -> tuple[str, str]:
    """The paths of a document and of one that is related to it."""
    first = new(node)
    later = Bundle()
    later.document(b"later", relatesTo=[{"code": code, "target": {"reference": first}}])
    return first, published(node, later)[1]


def test_bytes_that_another_entry_needs_stay(here: Node) -> None:
    """The same uniqueId registered twice: the bytes go with the last of them."""
    sent = document()
    one, two = Bundle(), Bundle()
    one.document(b"shared", sent)
    two.document(b"shared", json.loads(json.dumps(sent)))
    first, second = published(here, one)[1], published(here, two)[1]
    assert first != second
    files = len(published_files(here))
    assert ask(here, "DELETE", first).status == 204
    assert len(published_files(here)) == files
    assert ask(here, "GET", second.replace("DocumentReference", "Binary")).data == b"shared"
    assert ask(here, "DELETE", second).status == 204
    assert len(published_files(here)) == files - 1


def test_documents_are_removed_once_at_the_same_moment(busy: Node) -> None:
    """One of eight removes it; the others find nothing."""
    path = new(busy)
    before = counts(busy)
    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(lambda _: ask(busy, "DELETE", path).status, range(8)))
    assert answers.count(204) == 1
    assert set(answers) <= {204, 404, 409, 503}
    after = counts(busy)
    assert after["document_entry"] == before["document_entry"] - 1
    assert after["documents/"] == before["documents/"] - 1


#: The key of each document, and nothing for each entry.
_KEYS_AND_ENTRIES = "SELECT blob_key FROM stored_document UNION ALL SELECT '' FROM document_entry"


@pytest.mark.slow
def test_a_node_that_is_killed_while_it_removes_keeps_all_of_a_document_or_nothing_to_be_seen(
    new_node: Callable[..., Node],
) -> None:
    """A row without bytes is never there; bytes without a row are swept."""
    node = new_node(node__workers=2)
    bundle = Bundle()
    for number in range(150):
        bundle.document(bytes([number]) * 3000)
    waiting = [path for path in published(node, bundle) if path.startswith("DocumentReference")]
    removed: list[str] = []
    failed: list[tuple[str, int, str]] = []
    lock = threading.Lock()

    def remove_all() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                path = waiting.pop()
            for _ in range(5000):
                try:
                    answer = ask(node, "DELETE", path)
                except urllib3.exceptions.HTTPError:
                    time.sleep(0.05)
                    continue
                if answer.status in (204, 404):  # 404: it was done, and not heard
                    break
                time.sleep(0.02)
            else:
                failed.append((path, answer.status, answer.data.decode()))
            with lock:
                removed.append(path)

    removers = [threading.Thread(target=remove_all, daemon=True) for _ in range(4)]
    for each in removers:
        each.start()
    for kill in range(4):
        while len(removed) < 15 + 30 * kill and any(each.is_alive() for each in removers):
            time.sleep(0.001)
        node.kill()
        # In one look: a worker that was told to die may be in the middle of a commit.
        there = [str(key) for (key,) in rows(node, _KEYS_AND_ENTRIES)]
        keys = {key for key in there if key}
        assert keys <= published_files(node)
        assert len(keys) == there.count("")
        node.start()
    for each in removers:
        each.join()
    assert failed == []
    assert len(removed) == 150
    found = counts(node)
    assert (found["document_entry"], found["stored_document"], found["submission_set"]) == (0, 0, 0)
    assert node.command("sweep", "--grace-hours", "0").returncode == 0
    assert published_files(node) == set()
    node.stop()


@pytest.mark.embedded
def test_bytes_that_cannot_be_deleted_are_nobodys_and_are_told(here: Node) -> None:
    """The metadata is gone, so the removal is done; the log tells what is left for `xds sweep`."""
    before = published_files(here)
    path = new(here, b"stubborn")
    unique_id = own_id(here, path)
    (key,) = published_files(here) - before
    file = here.documents / "documents" / key
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    assert ask(here, "DELETE", path).status == 204
    gone(here, path, unique_id)
    assert "ITI-86 not deleted (IsADirectoryError)" in here.log.read_text()
    (file / "in the way").rmdir()
    file.rmdir()


def test_a_set_that_only_refers_to_it_goes_too(here: Node) -> None:
    """There is nothing left in it."""
    path = new(here)
    other = Bundle()
    other.set["entry"] = items(path)
    (reference_set,) = published(here, other)
    assert ask(here, "DELETE", path).status == 204
    assert ask(here, "GET", reference_set).status == 404


@pytest.mark.parametrize(("if_match", "status"), [('W/"1"', 204), ("*", 204), ('W/"7"', 412)])
def test_a_removal_of_another_version_is_refused(here: Node, if_match: str, status: int) -> None:
    """If-Match holds for DELETE too (RFC 9110, 13.1.1)."""
    path = new(here)
    answer = ask(here, "DELETE", path, If_Match=if_match)
    assert answer.status == status
    assert ask(here, "GET", path).status == (404 if status == 204 else 200)


def test_a_later_page_counts_for_itself(here: Node) -> None:
    """What a cursor does not hold, it cannot tell to somebody who may see less."""
    paths = [new(here, title.encode()) for title in ("one", "two", "three")]
    ids = ",".join(path.rpartition("/")[2] for path in paths)
    first = got(here, f"DocumentReference?_id={ids}&_count=1")
    assert first["total"] == 3
    (following,) = [each["url"] for each in first["link"] if each["relation"] == "next"]
    assert ask(here, "DELETE", paths[0]).status == 204
    second = got(here, following.partition("/fhir/")[2])
    assert (second["total"], len(second["entry"])) == (2, 1)
