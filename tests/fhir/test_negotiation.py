"""JSON or XML, packed or not: what a client wants (FHIR R4 3.1.0.1.11, RFC 9110), and what it gets."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping

import pytest

from tests.blackbox import messages as m
from tests.fhir.shelf import Entry, Got, ask, file, query, search, somebody
from tests.nodes import Node
from xds.fhir.negotiation import Form, form_of, packed
from xds.fhir.outcomes import Refused

JSON, XML = "application/fhir+json", "application/fhir+xml"
PATIENT = somebody(0)


@pytest.fixture(scope="module")
def stocked(new_node: Callable[..., Node]) -> Node:
    """A node with some documents."""
    node = new_node()
    file(node, *(Entry(id=f"Document{each}", patient=PATIENT) for each in range(5)))
    return node


#: Accept -> the form, or None: 406.
ACCEPTS: Mapping[str, Form | None] = {
    "": Form.JSON,
    "*/*": Form.JSON,
    JSON: Form.JSON,
    XML: Form.XML,
    "application/json": Form.JSON,
    "application/xml": Form.XML,
    "text/xml": Form.XML,
    "text/json": Form.JSON,
    "APPLICATION/FHIR+XML": Form.XML,
    f"{JSON};q=0.5, {XML}": Form.XML,
    f"{XML};q=0.5, {JSON};q=0.4": Form.XML,
    f"{XML};q=0.5,{JSON};q=0.5": Form.XML,
    f"{JSON}; q=0.2 , {XML}; q=0.7, */*;q=0.1": Form.XML,
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": Form.JSON,
    "application/*": Form.JSON,
    f"{JSON};q=0, */*": Form.XML,
    f"{JSON};q=0.000, {XML};q=0.1": Form.XML,
    f"{XML};q=0, */*": Form.JSON,
    f"{JSON};q=0, {XML};q=0, */*": None,
    f"{JSON};q=0": None,
    f"{JSON};fhirVersion=4.0": Form.JSON,
    f"{XML}; fhirVersion=4.0; charset=utf-8": Form.XML,
    f'{XML}; fhirVersion="4.0"': Form.XML,
    f"{JSON};fhirVersion=4.0.1": Form.JSON,
    f"{JSON};fhirVersion=5.0": None,
    f"{JSON};fhirVersion=5.0, {XML};fhirVersion=4.0": Form.XML,
    f"{JSON};fhirVersion=3.0, {JSON};q=0.5": Form.JSON,
    "image/png": None,
    "application/pdf, image/*": None,
    f"image/png, {XML};q=0.1": Form.XML,
    f"{JSON};q=x": None,
    "application/fhir+turtle": None,
    ",": None,
}


@pytest.mark.parametrize("accept", ACCEPTS)
def test_accept_says_the_form(accept: str) -> None:
    """By quality, then by order; what is taken out of a range (q=0) is not given."""
    expected = ACCEPTS[accept]
    if expected is None:
        with pytest.raises(Refused) as caught:
            form_of(accept)
        assert caught.value.status == 406
    else:
        assert form_of(accept) is expected


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        ("json", "", Form.JSON),
        ("xml", "", Form.XML),
        (JSON, "", Form.JSON),
        (XML, "4.0", Form.XML),
        ("application/fhir xml", "", Form.XML),  # a + that came as it is in a URL
        ("text/xml", "4.0.1", Form.XML),
        (f"{XML};fhirVersion=4.0", "", Form.XML),
        (f"{XML};fhirVersion=5.0", "", None),
        ("json", "5.0", None),
        ("json", "4", None),
        ("html", "", None),
        ("ttl", "", None),
    ],
)
@pytest.mark.parametrize("accept", ["", JSON, "image/png"])
def test_a_parameter_goes_before_accept(
    wanted: str, version: str, expected: Form | None, accept: str
) -> None:
    """_format, and fhirVersion for clients that can set no header."""
    if expected is None:
        with pytest.raises(Refused):
            form_of(accept, wanted, version)
    else:
        assert form_of(accept, wanted, version) is expected


@pytest.mark.parametrize(
    ("encodings", "expected"),
    [
        ("gzip", True),
        ("gzip, br", True),
        ("br, gzip;q=0.1", True),
        ("*", True),
        ("GZIP", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
    ],
)
def test_an_answer_is_packed_for_who_takes_it(encodings: str, expected: bool) -> None:
    """And a short one for nobody."""
    data = b"x" * 2000
    found = packed(data, encodings)
    assert (found is not None) == expected
    assert found is None or gzip.decompress(found) == data
    assert packed(b"x" * 100, encodings) is None


def plain(got: Got) -> Got:
    """With its body as it was before it was packed."""
    return Got(got.status, got.headers, gzip.decompress(got.body))


def test_both_forms_say_the_same(stocked: Node) -> None:
    """A Bundle of documents and one of sets, as XML and as JSON, packed and not."""
    for kind, asked in (("DocumentReference", ""), ("List", "code=submissionset")):
        as_json = search(stocked, asked, PATIENT, kind)
        as_xml = search(stocked, asked, PATIENT, kind, Accept=XML)
        assert as_json.headers["Content-Type"] == f"{JSON}; charset=utf-8"
        assert as_xml.headers["Content-Type"] == f"{XML}; charset=utf-8"
        assert as_json.json == as_xml.json
        assert as_json.headers["Content-Encoding"] is None
        for form, whole in ((JSON, as_json), (XML, as_xml)):
            small = search(stocked, asked, PATIENT, kind, Accept=form, Accept_Encoding="gzip")
            assert small.headers["Content-Encoding"] == "gzip"
            assert int(small.headers["Content-Length"]) == len(small.body) < len(whole.body)
            assert plain(small).json == whole.json
            assert small.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/fhir/DocumentReference?{query}", 200),
        ("/fhir/DocumentReference?{query}&type:in=x", 400),
        ("/fhir/DocumentReference", 400),
        ("/fhir/List/00000000-0000-4000-8000-000000000000", 404),
        ("/fhir/Nothing", 404),
        ("/fhir/metadata", 200),
    ],
)
def test_every_answer_comes_in_the_form_that_is_wanted(stocked: Node, path: str, status: int) -> None:
    """Errors too."""
    path = path.format(query=query("", PATIENT))
    for headers, more, form in (
        ({"Accept": XML}, "", XML),
        ({"Accept": JSON}, "", JSON),
        ({}, "_format=xml", XML),
        ({"Accept": XML}, "_format=json", JSON),
    ):
        got = ask(stocked, path + (f"{'&' if '?' in path else '?'}{more}" if more else ""), headers=headers)
        assert got.status == status
        assert got.headers["Content-Type"] == f"{form}; charset=utf-8"
        assert got.json["resourceType"]


def test_a_form_in_a_posted_body_counts(stocked: Node) -> None:
    """The parameters of a posted search are in its body, and this is one of them."""
    for in_url, in_body, form in (("", "xml", XML), ("xml", "", XML), ("json", "xml", XML), ("", "", JSON)):
        body = query(f"_format={in_body}" if in_body else "", PATIENT)
        got = ask(
            stocked,
            "/fhir/DocumentReference/_search" + (f"?_format={in_url}" if in_url else ""),
            "POST",
            body,
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (got.status, len(got.matches)) == (200, 5)
        assert got.headers["Content-Type"] == f"{form}; charset=utf-8"


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"Accept": "image/png"}, ""),
        ({"Accept": f"{JSON};fhirVersion=5.0"}, ""),
        ({}, "&fhirVersion=5.0"),
        ({}, "&_format=html"),
        ({}, f"&_format={m.NUMBER}"),
    ],
)
def test_what_cannot_be_had_is_not_acceptable(stocked: Node, headers: dict[str, str], more: str) -> None:
    """406 with what can be, as JSON; by GET, by POST and of the capability statement."""
    asked = query("", PATIENT) + more
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for got in (
        ask(stocked, f"/fhir/DocumentReference?{asked}", headers=headers),
        ask(stocked, "/fhir/DocumentReference/_search", "POST", asked, headers | form),
        ask(stocked, f"/fhir/metadata?{more[1:]}", headers=headers),
    ):
        assert got.status == 406
        assert got.headers["Content-Type"] == f"{JSON}; charset=utf-8"
        assert m.NUMBER not in got.told[0]
        assert "fhir" in got.told[0]


def test_a_packed_body_is_refused(stocked: Node) -> None:
    """415: what is sent is not unpacked."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    body = gzip.compress(query("", PATIENT).encode())
    got = ask(stocked, "/fhir/DocumentReference/_search", "POST", body, headers)
    assert (got.status, [each["code"] for each in got.outcome]) == (415, ["not-supported"])
