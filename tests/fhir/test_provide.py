"""ITI-65 on a real node: what a bundle becomes, in FHIR and in SOAP, and that it is all or nothing."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from tests.blackbox import messages as m
from tests.blackbox.state import counts, rows, staged
from tests.blackbox.state import published as published_files
from tests.blackbox.test_documents import MB, ROOM, Memory
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir import mhd_profile
from tests.fhir.messages import (
    CONTENT,
    JSON,
    MHD,
    NATIONAL,
    URI,
    XML,
    Bundle,
    Json,
    ask,
    document,
    folder,
    got,
    items,
    minimal,
    paths,
    published,
    resource_of,
    sha1,
    source_patient,
    subject,
    supersedes,
    urn,
)
from tests.nodes import Node
from xds.fhir.r4.validation import problems
from xds.fhir.r4.xml import to_xml

HOME = "2.16.578.1.12.4.5.100.1.1"
APPROVED, DEPRECATED = m.APPROVED, m.DEPRECATED


@pytest.fixture(scope="module")
def here(new_node: Callable[..., Node]) -> Node:
    """A node that these tests share."""
    return new_node(node__home_community_id=HOME)


@pytest.fixture(scope="module")
def busy(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with two workers on each database engine, for what happens at the same moment."""
    with nodes(engine, tmp_path_factory) as make:
        yield make(node__workers=2)


def fetched(node: Node, path: str) -> bytes:
    """The bytes of a Binary."""
    answer = ask(node, "GET", path)
    assert answer.status == 200, answer.data
    return answer.data


def unique_id(resource: Json) -> str:
    """The uniqueId (an OID) of a DocumentReference."""
    return str(resource["masterIdentifier"]["value"]).removeprefix("urn:oid:")


# ---- what a bundle becomes


@pytest.mark.parametrize("form", [JSON, XML])
@pytest.mark.parametrize("profile", ["Minimal", "Comprehensive", "UnContained.Comprehensive"])
def test_a_bundle_of_each_profile_is_published(here: Node, profile: str, form: str) -> None:
    """What is handed out is what came, in each form, and follows the profiles of MHD."""
    if profile == "Comprehensive":
        sent, bundle = document(), Bundle(profile)
    elif profile == "Minimal":
        sent, bundle = minimal(), Bundle(profile, contained=None, source=None)
    else:
        doctor = {"reference": "https://ehr.example.org/Practitioner/1", "display": "Tuva Fjell"}
        sent = document(contained=[source_patient()], author=[doctor])
        bundle = Bundle(profile, contained=None, source={"type": "Practitioner", **doctor})
    bundle.document(b"one", sent)
    the_set, reference, bytes_of = published(here, bundle, form)
    found = got(here, reference)
    assert problems(found) == []
    assert mhd_profile.broken(found) == []
    for name in ("type", "category", "securityLabel", "description"):
        without_display = json.loads(json.dumps(found.get(name)), object_hook=_without_display)
        assert without_display == sent.get(name), name
    assert found["subject"]["identifier"] == subject()["identifier"]
    attachment = found["content"][0]["attachment"]
    assert attachment["creation"] == "2026-03-11T09:45:00Z"
    assert (attachment["size"], attachment["hash"]) == (3, sha1(b"one"))
    assert attachment["url"] == f"{here.url}/fhir/{bytes_of}"
    assert fetched(here, bytes_of) == b"one"
    found_set = got(here, the_set)
    assert problems(found_set) == []
    assert mhd_profile.broken(found_set) == []
    assert [each["item"]["reference"] for each in found_set["entry"]] == [reference]
    assert found_set["identifier"][1]["value"] == bundle.set["identifier"][0]["value"]
    if profile != "Minimal":
        (author,) = [each for each in found["contained"] if each["resourceType"] == "Practitioner"]
        family = "Tuva Fjell" if profile.startswith("Un") else m.FAMILY
        assert author["name"][0]["family"] == family


def _without_display(value: Json) -> Json:
    return {name: each for name, each in value.items() if name != "display"}


def test_the_response_has_an_entry_for_each_of_the_request_in_its_order(here: Node) -> None:
    """201 and where it is (MHD 3.65.4.2.2); what has versions has an ETag."""
    bundle = Bundle()
    bundle.add(source_patient("p"), full_url="https://ehr.example.org/Patient/1")
    first = bundle.document(b"first")
    bundle.document(b"second")
    bundle.folder(first)
    answer = ask(here, "POST", "", bundle.json)
    assert answer.status == 200
    response = resource_of(answer)
    assert problems(response) == []
    assert (response["resourceType"], response["type"]) == ("Bundle", "transaction-response")
    kinds = [each["response"]["location"].split("/")[-2] for each in response["entry"]]
    assert kinds == ["List", "Patient", "DocumentReference", "Binary", "DocumentReference", "Binary", "List"]
    statuses = [each["response"]["status"][:3] for each in response["entry"]]
    assert statuses == ["201", "200", "201", "201", "201", "201", "201"]
    where = paths(here, response)
    assert [fetched(here, where[number]) for number in (3, 5)] == [b"first", b"second"]
    for number in (0, 2, 4, 6):
        answer = ask(here, "GET", where[number])
        assert answer.status == 200
        etag = response["entry"][number]["response"]["etag"]
        assert answer.headers.get("ETag", etag) == etag
    assert [each["item"]["reference"] for each in got(here, where[6])["entry"]] == [where[2]]


@pytest.mark.parametrize("how", ["relative", "absolute", "identifier", "entryUUID"])
def test_a_set_may_hold_what_is_registered_already_and_nothing_else(here: Node, how: str) -> None:
    """A submission of a reference (ITI TF-3 4.2.2.1.1): the document is in two sets now."""
    bundle = Bundle()
    bundle.document()
    _, reference, _ = published(here, bundle)
    again = Bundle()
    again.set["entry"] = [{"item": named(here, reference, how)}]
    before = counts(here)
    (the_set,) = published(here, again)
    after = counts(here)
    assert after["document_entry"] == before["document_entry"]
    assert after["submission_set"] == before["submission_set"] + 1
    assert [each["item"]["reference"] for each in got(here, the_set)["entry"]] == [reference]
    assert [bytes(source) for (source,) in rows(here, "SELECT source_uuid FROM association")].count(
        _own_uuid(got(here, the_set))
    ) == 1


def _own_uuid(resource: Json) -> bytes:
    (own,) = [each["value"] for each in resource["identifier"] if each["use"] == "official"]
    return bytes.fromhex(own[9:].replace("-", ""))


def named(node: Node, reference: str, how: str) -> Json:
    """A Reference to a DocumentReference of the node."""
    resource = got(node, reference)
    if how == "relative":
        return {"reference": reference}
    if how == "absolute":
        return {"reference": f"{node.url}/fhir/{reference}"}
    if how == "version":
        return {"reference": f"{reference}/_history/1"}
    number = 0 if how == "entryUUID" else 1
    plain = {name: resource["identifier"][number][name] for name in ("system", "value")}
    return {"identifier": plain}


def test_a_set_of_nothing_is_a_submission_too(here: Node) -> None:
    """XDS does not ask that a set holds something."""
    (the_set,) = published(here, Bundle())
    assert "entry" not in got(here, the_set)


# ---- folders


@pytest.mark.parametrize("form", [JSON, XML])
def test_a_folder_is_made_and_grows(here: Node, form: str) -> None:
    """By POST with documents of the bundle, by PUT with more; what is in it already is passed over."""
    bundle = Bundle()
    first = bundle.document(b"first")
    bundle.folder(first)
    _, one, _, the_folder = published(here, bundle, form)
    found = got(here, the_folder)
    assert mhd_profile.broken(found) == []
    assert problems(found) == []
    grown = Bundle()
    second = grown.document(b"second")
    grown.add(folder(entry=items(one, second)), "PUT", the_folder, f"{here.url}/fhir/{the_folder}")
    before = counts(here)
    _, two, _, where = published(here, grown, form)
    assert where == the_folder
    after = counts(here)
    assert after["folder"] == before["folder"]
    # The document's membership in the set, its membership in the folder, and that in the set.
    assert after["association"] == before["association"] + 3
    members = [each["item"]["reference"] for each in got(here, the_folder)["entry"]]
    assert sorted(members) == sorted([one, two])
    assert paths(here, resource_of(ask(here, "POST", "", grown.json, form)))[1] == two  # the repeat
    assert counts(here) == after


def test_a_folder_may_begin_empty_or_with_what_is_registered(here: Node) -> None:
    """A folder is made by its own submission."""
    bundle = Bundle()
    bundle.document()
    _, one, _ = published(here, bundle)
    later = Bundle()
    later.folder()
    later.folder(one)
    _, empty, filled = published(here, later)
    assert "entry" not in got(here, empty)
    assert [each["item"]["reference"] for each in got(here, filled)["entry"]] == [one]


# ---- relations


RELATIONS = {
    "replaces": (("replaces",), "superseded", ("replaces",)),
    "transforms": (("transforms",), "current", ("transforms",)),
    "appends": (("appends",), "current", ("appends",)),
    "signs": (("signs",), "current", ("signs",)),
    "transforms and replaces": (("transforms", "replaces"), "superseded", ("replaces",)),
}


@pytest.mark.parametrize("how", ["relative", "absolute", "version", "identifier", "entryUUID"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_a_document_is_related_to_one_that_is_registered(here: Node, relation: str, how: str) -> None:
    """By its address or an identifier; both of transforms and replaces is XFRM_RPLC (fhir-rules 1.10)."""
    codes, status, told = RELATIONS[relation]
    bundle = Bundle()
    bundle.document()
    _, first, _ = published(here, bundle)
    target = named(here, first, how)
    later = Bundle()
    later.document(b"later", relatesTo=[{"code": code, "target": target} for code in codes])
    _, second, _ = published(here, later)
    assert got(here, first)["status"] == status
    assert got(here, second)["status"] == "current"
    assert [(each["code"], each["target"]["reference"]) for each in got(here, second)["relatesTo"]] == [
        (each, first) for each in told
    ]
    types = {"RPLC"} if relation == "replaces" else {"XFRM_RPLC"} if status == "superseded" else set()
    if types:
        found = send(here, m.plain(m.get_documents(unique_id(got(here, second))), "ITI-18")).content()
        (entry,) = found.iterfind(".//{*}ExtrinsicObject")
        asked = m.query(
            "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",  # GetAssociations
            {"$uuid": f"('{entry.get('id')}')"},
        )
        links = send(here, m.plain(asked, "ITI-18")).content().iterfind(".//{*}Association")
        assert types == {
            each.get("associationType").rpartition(":")[2]
            for each in links
            if "HasMember" not in each.get("associationType")
        }


@pytest.mark.parametrize("url", ["relative", "absolute"])
def test_a_patch_beside_a_replacement_says_what_happens_anyway(here: Node, url: str) -> None:
    """UpdateDocumentRefs of MHD: 200, and the same as without."""
    bundle = Bundle()
    bundle.document()
    _, first, _ = published(here, bundle)
    later = Bundle()
    later.document(b"later", relatesTo=[{"code": "replaces", "target": {"reference": first}}])
    later.add(supersedes(), "PATCH", named(here, first, url)["reference"], "")
    answer = ask(here, "POST", "", later.json)
    response = resource_of(answer)
    assert (answer.status, response["entry"][3]["response"]["status"]) == (200, "200 OK")
    assert paths(here, response)[3] == first
    assert got(here, first)["status"] == "superseded"
    assert ask(here, "POST", "", later.json).status == 200  # the repeat


def test_a_document_is_related_to_another_of_the_bundle(here: Node) -> None:
    """An addendum and a transformation with what they belong to; by fullUrl."""
    bundle = Bundle()
    first = bundle.document()
    for code in ("appends", "transforms"):
        bundle.document(code.encode(), relatesTo=[{"code": code, "target": {"reference": first}}])
    where = published(here, bundle)
    for number, code in ((3, "appends"), (5, "transforms")):
        (found,) = got(here, where[number])["relatesTo"]
        assert (found["code"], found["target"]["reference"]) == (code, where[1])


# ---- people


@pytest.mark.parametrize(("method", "url"), [("POST", "Patient"), ("PUT", "Patient/1"), ("POST", "")])
def test_the_subject_may_be_a_patient_of_the_bundle(here: Node, method: str, url: str) -> None:
    """By fullUrl; her national number counts, wherever it stands among her ids. No Patient is kept."""
    bundle = Bundle()
    person = source_patient("p")
    person["identifier"].insert(0, {"system": "urn:oid:2.16.578.1.12.4.5.480.1.9", "value": "77"})
    own = bundle.add(person, method, url)
    bundle.set["subject"] = {"reference": own}
    bundle.document(subject={"reference": own})
    where = published(here, bundle)
    assert got(here, where[2])["subject"]["identifier"] == subject()["identifier"]


def test_a_patient_that_is_only_named_needs_an_identifier_beside_it(here: Node) -> None:
    """GET in a bundle asks for a Patient of this node, which has none."""
    bundle = Bundle()
    bundle.entries.append({"request": {"method": "GET", "url": "Patient/1"}})
    bundle.set["subject"] = {"reference": "Patient/1", **subject()}
    bundle.document(subject={"reference": "Patient/1", **subject()})
    assert got(here, published(here, bundle)[2])["subject"]["identifier"] == subject()["identifier"]


DEPARTMENT = {
    "resourceType": "Organization",
    "identifier": [{"system": "urn:oid:2.16.578.1.12.4.5.390", "value": "Medisinsk post B"}],
}


@pytest.mark.parametrize("contained", [True, False])
def test_a_department_without_number_writes_documents(here: Node, contained: bool) -> None:
    """Its name is its number in a system of its own; contained and by reference (norwegian-profile 2.7)."""
    bundle = Bundle()
    if contained:
        held: Json = {"contained": [source_patient(), {**DEPARTMENT, "id": "post"}]}
        author: Json = {"reference": "#post"}
    else:
        held = {"contained": [source_patient()]}
        author = {"type": "Organization", "identifier": DEPARTMENT["identifier"][0]}
    bundle.document(**held, author=[author])
    (organisation,) = [
        each
        for each in got(here, published(here, bundle)[1])["contained"]
        if each["resourceType"] == "Organization"
    ]
    assert organisation["name"] == "Medisinsk post B"
    assert "identifier" not in organisation


@pytest.mark.parametrize("place", ["resource", "attachment", "set"])
@pytest.mark.parametrize(
    "url",
    [
        f"{MHD}ihe-HomeCommunityId",
        f"{MHD}ihe-homeCommunityId",
        "http://ihe.net/fhir/StructureDefinition/homeCommunityId",
    ],
)
def test_this_communitys_id_may_stand_in_each_place_and_spelling(here: Node, place: str, url: str) -> None:
    """MHD's, the peer's, and an older one (norwegian-profile 2.7)."""
    bundle = Bundle()
    own = {"url": url, "valueOid": f"urn:oid:{HOME}"}
    sent = document()
    if place == "set":
        bundle.set["extension"].append(own)
    else:
        (sent if place == "resource" else sent["content"][0]["attachment"])["extension"] = [own]
    bundle.document(resource=sent)
    where = published(here, bundle)
    assert got(here, where[0 if place == "set" else 1])["extension"][-1]["valueOid"] == f"urn:oid:{HOME}"


# ---- documents


@pytest.mark.parametrize("form", [JSON, XML])
def test_documents_may_come_as_parts_of_a_multipart_message(here: Node, form: str) -> None:
    """attachment.url is cid: and the Content-ID; there is no Binary, and no base64."""
    bundle = Bundle()
    contents = {"first@example.org": b"\x00\r\n--first", "second@example.org": b""}
    for name in contents:
        own = bundle.add(document(attachment={"url": f"cid:{name}"}))
        bundle.hold(own)
    where = _posted_as_parts(here, bundle, contents, form)
    assert [fetched(here, each.replace("DocumentReference", "Binary")) for each in where[1:]] == [
        *contents.values()
    ]


def _posted_as_parts(node: Node, bundle: Bundle, contents: dict[str, bytes], form: str) -> list[str]:
    root = _written(bundle, form)
    pieces = [f"--b\r\nContent-Type: {form}\r\nContent-ID: <root>\r\n\r\n".encode(), root]
    for name, content in contents.items():
        pieces += [
            f"\r\n--b\r\nContent-Type: application/pdf\r\nContent-ID: <{name}>\r\n\r\n".encode(),
            content,
        ]
    kind = f'multipart/related; boundary=b; type="{form}"; start="<root>"'
    answer = ask(node, "POST", "", b"".join([*pieces, b"\r\n--b--\r\n"]), kind)
    assert answer.status == 200, answer.data
    return paths(node, resource_of(answer))


@pytest.mark.parametrize(
    "content", [b"", b"\0", bytes(range(256)) * 257, b"\xff" * 65_537], ids=["empty", "one", "64 K", "odd"]
)
def test_a_document_comes_out_as_it_went_in(here: Node, content: bytes) -> None:
    """With the hash and size that its sender gave."""
    bundle = Bundle()
    bundle.document(content, attachment={"hash": sha1(content), "size": len(content)})
    where = published(here, bundle)
    assert fetched(here, where[2]) == content
    attachment = got(here, where[1])["content"][0]["attachment"]
    assert (attachment["hash"], attachment["size"]) == (sha1(content), len(content))


@pytest.mark.slow
@pytest.mark.parametrize("form", [JSON, XML])
def test_a_document_of_60_mb_is_taken_in_little_memory(
    new_node: Callable[..., Node], form: str, record_property: Callable[[str, Any], None]
) -> None:
    """As base64 in the Bundle: the node's resident memory grows by less than 32 MB."""
    node = new_node(limits__document_bytes=100 * MB, limits__total_bytes=150 * MB)
    piece = hashlib.shake_256(b"x").digest(3 * 2**18)
    text = base64.b64encode(piece)
    for number in (1, 80):  # the first warms it
        bundle = Bundle()
        bundle.document(b"@@@")
        whole = _written(bundle, form)
        before, after = whole.split(base64.b64encode(b"@@@"))
        with Memory(node) as memory:
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
            connection.putrequest("POST", "/fhir")
            connection.putheader("Content-Type", form)
            connection.putheader("Content-Length", str(len(before) + number * len(text) + len(after)))
            connection.endheaders()
            connection.send(before)
            for _ in range(number):
                connection.send(text)
            connection.send(after)
            answer = connection.getresponse()
            body = answer.read()
            seconds = time.perf_counter() - began
        connection.close()
        assert answer.status == 200, body
    figure = f"60 MB as base64 in {form[-4:]}: {seconds:.1f} s, memory +{memory.growth / 1048576:.1f} MiB"
    record_property("figure", figure)
    attachment = got(node, paths(node, json.loads(body))[1])["content"][0]["attachment"]
    assert attachment["size"] == 80 * len(piece)
    assert attachment["hash"] == sha1(piece * 80)
    assert memory.growth < ROOM, figure
    node.stop()


def _written(bundle: Bundle, form: str) -> bytes:
    return to_xml(bundle.json) if form == XML else json.dumps(bundle.json).encode()


# ---- repeats


def without_ids(bundle: Bundle) -> None:
    """Leave open every id that may be left open."""
    bundle.set.pop("identifier")
    for each in bundle.entries:
        if each["resource"].get("code", {}).get("coding", [{}])[0].get("code") == "folder":
            each["resource"].pop("identifier")


@pytest.mark.parametrize("ids", ["given", "left open"])
def test_a_bundle_that_is_sent_again_gets_the_same_answer(busy: Node, ids: str) -> None:
    """However often, in either form; nothing more is stored."""
    bundle = Bundle()
    first = bundle.document()
    bundle.folder(first)
    if ids == "left open":
        without_ids(bundle)
    wbusy = published(busy, bundle)
    before = counts(busy)
    for form in (JSON, XML, JSON):
        assert published(busy, bundle, form) == wbusy
    assert counts(busy) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda bundle: bundle.set.update(title="x"),
        lambda bundle: bundle.resource(1).update(description="x"),
        lambda bundle: bundle.resource(2).update(data="eHg="),
        lambda bundle: (
            bundle.set.update(identifier=Bundle().set["identifier"]) or bundle.resource(2).update(data="eHg=")
        ),
    ],
    ids=["another set", "another document entry", "other bytes", "other bytes in another set"],
)
def test_what_is_sent_again_with_something_else_in_it_is_refused(
    busy: Node, change: Callable[[Bundle], object]
) -> None:
    """A uniqueId belongs to what was published with it: 409."""
    bundle = Bundle()
    bundle.document()
    published(busy, bundle)
    before = counts(busy)
    change(bundle)
    answer = ask(busy, "POST", "", bundle.json)
    assert answer.status == 409, answer.data
    assert resource_of(answer)["issue"][0]["code"] in ("duplicate", "conflict")
    assert counts(busy) == before


def test_the_same_document_in_another_set_is_registered_twice(here: Node) -> None:
    """With the same bytes, which are kept once (ITI TF-2 3.41.4.1.3.2)."""
    bundle = Bundle()
    bundle.document()
    _, first, _ = published(here, bundle)
    before = counts(here)
    other = Bundle()
    other.document(resource=bundle.resource(1))
    _, second, bytes_of = published(here, other)
    assert second != first
    after = counts(here)
    assert (after["document_entry"], after["stored_document"]) == (
        before["document_entry"] + 1,
        before["stored_document"],
    )
    assert fetched(here, bytes_of) == CONTENT


@pytest.mark.parametrize("ids", ["given", "left open"])
def test_identical_bundles_at_the_same_moment_are_published_once(busy: Node, ids: str) -> None:
    """Each gets the answer."""
    bundle = Bundle()
    first = bundle.document()
    bundle.folder(first)
    if ids == "left open":
        without_ids(bundle)
    body = json.dumps(bundle.json).encode()
    before = counts(busy)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(busy, "POST", "", body), range(16)))
    assert {each.status for each in answers} == {200}, [each.data for each in answers if each.status != 200]
    assert len({each.data for each in answers}) == 1
    after = counts(busy)
    for table in ("submission_set", "document_entry", "folder", "stored_document", "documents/"):
        assert after[table] == before[table] + 1
    assert after["staging/"] == 0


@pytest.mark.slow
def test_a_node_that_is_killed_in_the_middle_has_all_of_a_bundle_or_nothing(
    new_node: Callable[..., Node],
) -> None:
    """Four senders that repeat until they are answered, six kills: nothing is lost, nothing is half there."""
    node = new_node(node__workers=2)
    bundles = []
    for number in range(120):
        bundle = Bundle()
        references = [bundle.document(bytes([number, each]) * 5000) for each in range(3)]
        bundle.folder(*references)
        if number % 2:
            without_ids(bundle)
        bundles.append(json.dumps(bundle.json).encode())
    waiting, done, wrong = list(range(len(bundles))), set[int](), list[Any]()
    lock = threading.Lock()

    def send_all() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                number = waiting.pop()
            deadline = time.monotonic() + 90
            while True:
                try:
                    answer = ask(node, "POST", "", bundles[number])
                except urllib3.exceptions.HTTPError:
                    answer = None
                if answer is not None and answer.status == 200:
                    with lock:
                        done.add(number)
                    break
                if (answer is not None and answer.status != 503) or time.monotonic() > deadline:
                    wrong.append(answer and answer.data)
                    break
                time.sleep(0.03)

    senders = [threading.Thread(target=send_all, daemon=True) for _ in range(4)]
    for each in senders:
        each.start()
    for kill in range(6):
        while len(done) < 10 + 17 * kill and any(each.is_alive() for each in senders):
            time.sleep(0.002)
        node.kill()
        found = counts(node)
        assert found["document_entry"] == 3 * found["submission_set"]
        assert found["stored_document"] == 3 * found["submission_set"]
        assert found["folder"] == found["submission_set"]
        assert found["submission_set"] >= len(done)
        node.start()
    for each in senders:
        each.join()
    assert (wrong, len(done)) == ([], len(bundles)), node.errors()
    assert node.command("sweep", "--grace-hours", "0").returncode == 0
    found = counts(node)
    whole = {"submission_set": 1, "folder": 1, "document_entry": 3, "stored_document": 3, "documents/": 3}
    assert {name: found[name] for name in whole} == {
        name: count * len(bundles) for name, count in whole.items()
    }
    assert set(published_files(node)) == {
        str(row[0]) for row in rows(node, "SELECT blob_key FROM stored_document")
    }
    assert staged(node) == []
    node.stop()


# ---- one registry


def test_what_is_published_over_fhir_is_found_and_fetched_over_soap(here: Node) -> None:
    """The same ids, hash and codes by ITI-18, the same bytes by ITI-43."""
    content = uuid.uuid4().bytes * 1000
    bundle = Bundle()
    entry_uuid = urn()
    sent = document(identifier=[{"use": "official", "system": URI, "value": entry_uuid}])
    bundle.document(content, sent)
    _, reference, _ = published(here, bundle)
    own = unique_id(sent)
    assert reference == f"DocumentReference/{entry_uuid[9:]}"
    found = send(here, m.plain(m.get_documents(own), "ITI-18"))
    assert found.outcome == SUCCESS
    (entry,) = found.content().iterfind(".//{*}ExtrinsicObject")
    assert (entry.get("id"), entry.get("status"), entry.get("mimeType")) == (
        entry_uuid,
        APPROVED,
        "application/pdf",
    )
    slots = {
        each.get("name"): [one.text for one in each.iter("{*}Value")] for each in entry.iterfind("{*}Slot")
    }
    assert slots == {
        "creationTime": ["20260311094500"],
        "hash": [hashlib.sha1(content).hexdigest()],
        "languageCode": ["nb-NO"],
        "repositoryUniqueId": [m.REPOSITORY_ID],
        "size": [str(len(content))],
        "sourcePatientId": [m.PATIENT],
        "sourcePatientInfo": [
            f"PID-3|{m.PATIENT}",
            f"PID-5|{m.FAMILY}^Syntetisk",
            "PID-7|19550517",
            "PID-8|F",
        ],
    }
    codes = {
        each.get("classificationScheme"): (each.get("nodeRepresentation"), each.findtext(".//{*}Value"))
        for each in entry.iterfind("{*}Classification")
    }
    for scheme, code, system in m.CODES.values():
        assert codes[scheme] == (code, system)
    person = f"9144889^{m.FAMILY}^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"
    assert codes["urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"] == ("", person)
    assert send(here, m.mtom_retrieve(own)).documents() == {own: content}


def test_what_is_registered_over_soap_is_found_and_fetched_over_fhir(here: Node) -> None:
    """The id is the logical document's, the bytes are the same."""
    sent = m.Document(content=uuid.uuid4().bytes * 999, id=m.new_uuid())
    assert send(here, m.mtom([sent])).outcome == SUCCESS
    found = got(
        here,
        f"DocumentReference?identifier=urn:oid:{sent.unique_id}&patient.identifier={NATIONAL}%7C{m.NUMBER}",
    )
    (resource,) = [each["resource"] for each in found["entry"]]
    assert resource["id"] == sent.id[9:]
    assert resource["masterIdentifier"]["value"] == f"urn:oid:{sent.unique_id}"
    assert resource["content"][0]["attachment"]["hash"] == sha1(sent.content)
    assert problems(resource) == []
    assert mhd_profile.broken(resource) == []
    assert fetched(here, f"Binary/{resource['id']}") == sent.content


def test_what_was_found_can_be_published_elsewhere(here: Node, new_node: Callable[..., Node]) -> None:
    """A DocumentReference of one node, with its address changed, is what another one takes."""
    bundle = Bundle()
    bundle.document()
    _, reference, _ = published(here, bundle)
    resource = got(here, reference)
    resource["content"][0]["attachment"]["url"] = urn()
    del resource["extension"]
    other = new_node()
    second = Bundle()
    second.document(resource=resource)
    _, there, _ = published(other, second)
    assert there == reference
    again = got(other, there)
    for found in (resource, again):
        for name in ("meta", "date", "extension"):
            found.pop(name, None)
        found["content"][0]["attachment"].pop("url")
    assert again == resource
    other.stop()
