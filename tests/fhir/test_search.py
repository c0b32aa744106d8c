"""ITI-67 on a real node: every parameter, value and modifier, and the documents that they find.

The five documents of DOCUMENTS are told apart by letters; what each search finds was worked out from them and
from the standard (FHIR R4 3.1.1, IHE MHD 2:3.67), not from answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir.shelf import (
    Entry,
    Got,
    ask,
    file,
    number_of,
    post,
    query,
    replaces,
    search,
    somebody,
    unique_ids,
)
from tests.nodes import Node
from tests.transactions import test_iti44 as feed
from tests.transactions.feed import OURS
from xds.fhir import document_references, lists

PATIENT, OTHER, NOBODY = somebody(0), somebody(1), somebody(2)
LOINC = "2.16.840.1.113883.6.1"
CONFIDENTIALITY = "2.16.840.1.113883.5.25"
V3 = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
IHE_FORMATS = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
MINE = "2.999.3"

DOCUMENTS = {
    # All as messages.py has it: Tuva Kvakkelund, 11 March 2026 at 09:45, no period; N, A03-2.
    "a": Entry(patient=PATIENT, references=(r"x\S\y^^^&2.999.7&ISO^urn:ihe:iti:xds:2013:order",)),
    "b": Entry(
        patient=PATIENT,
        codes={"typeCode": ("34133-9", LOINC), "confidentialityCode": ("R", f"urn:oid:{CONFIDENTIALITY}")},
        events=(("E1", "2.999.6"),),
        authors=("1^Ås^René^Marie Louise",),
        references=("ACC1^^^&2.999.7&ISO^urn:ihe:iti:xds:2013:accession",),
        slots={"creationTime": "20260401", "serviceStartTime": "20260301", "serviceStopTime": "20260310"},
    ),
    "c": Entry(
        patient=PATIENT,
        codes={"typeCode": ("34133-9", f"urn:oid:{LOINC}"), "confidentialityCode": ("V", V3)},
        events=(("E1", "2.999.6"), ("E2", "2.999.6")),
        authors=("2^Åsen^Øystein",),
        references=("ENC1^^^&2.999.7&ISO^urn:ihe:iti:xds:2015:encounterId",),
        slots={"creationTime": "2025", "serviceStartTime": "20260305"},
    ),
    "d": Entry(
        patient=PATIENT,
        unique_id=m.new_uuid(),
        codes={"typeCode": ("34133-9", "http://loinc.org")},
        authors=(r"3^O\T\M^Bo",),
        references=("ACC10^^^lokal^urn:ihe:iti:xds:2013:order",),
        slots={"creationTime": "20251231235959", "serviceStopTime": "20260228"},
    ),
    "e": Entry(
        patient=PATIENT,
        unique_id="2.999.9.1^A-1",
        codes={
            "typeCode": (r"x,y|z$w\v", MINE),
            "classCode": ("K", MINE),
            "healthcareFacilityTypeCode": ("F", MINE),
            "practiceSettingCode": ("P", MINE),
            "formatCode": ("M", MINE),
        },
        authors=("4^asén^Bø", "5^Li^Per"),
        references=("1.2.3^^^^urn:ihe:iti:xds:2013:uniqueId",),
        slots={"creationTime": "20260311"},
    ),
}
LETTERS = {each.unique_id.partition("^")[2] or each.unique_id: letter for letter, each in DOCUMENTS.items()}


@pytest.fixture(scope="module")
def node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of each engine with the documents, each filed for itself; and somebody else's document."""
    with nodes(engine, tmp_path_factory) as make:
        made = make(node__home_community_id="2.999.1", node__public_url="https://xds.example.org")
        for each in DOCUMENTS.values():
            file(made, each)
        file(made, Entry(patient=OTHER))
        yield made


def letters(got: Got) -> str:
    """What was found, sorted, when all of it is on the page and counted."""
    found = [LETTERS.get(each, "?") for each in unique_ids(got)]
    assert got.json["total"] == len(found)
    return "".join(sorted(found))


TOKENS = (
    ("type=34133-9", "bcd"),
    ("type=http://loinc.org|34133-9", "bcd"),
    (f"type=urn:oid:{LOINC}|34133-9", "bcd"),
    ("type=http://loinc.org|", "bcd"),
    (f"type=urn:oid:{LOINC}|", "bcd"),
    ("type=|34133-9", ""),
    ("type=http://snomed.info/sct|34133-9", ""),
    ("type=no-such", ""),
    ("type=urn:oid:2.999.99|no-such", ""),
    ("type=A03-2", "a"),
    ("type=A03-2,34133-9", "abcd"),
    ("type=A03-2&type=34133-9", ""),
    ("type=a03-2", ""),
    ("type:not=34133-9", "ae"),
    ("type:not=http://loinc.org|34133-9,A03-2", "e"),
    ("type:not=no-such", "abcde"),
    ("type:not=|34133-9", "abcde"),
    ("type:not=urn:oid:2.999.99|no-such", "abcde"),
    (r"type=x\,y\|z\$w\\v", "e"),
    (rf"type=urn:oid:{MINE}|x\,y\|z\$w\\v", "e"),
    (rf"type=A03-2,urn:oid:{MINE}|x\,y\|z\$w\\v", "ae"),
    (r"type:not=x\,y\|z\$w\\v", "abcd"),
    (f"type=urn:oid:{MINE}|x", ""),
    ("category=A00-1", "abcd"),
    ("category:not=A00-1", "e"),
    ("category=urn:oid:2.16.578.1.12.4.1.1.9602|A00-1", "abcd"),
    ("category=urn:oid:2.16.578.1.12.4.1.1.9602|A03-2", ""),
    (f"category=urn:oid:{MINE}|", "e"),
    ("setting=S03", "abcd"),
    ("setting=P", "e"),
    ("setting:not=P", "abcd"),
    ("facility=urn:oid:2.16.578.1.12.4.1.1.1303|86.101", "abcd"),
    ("facility:not=86.101", "e"),
    ("format=M", "e"),
    (f"format={IHE_FORMATS}|urn:ihe:iti:xds:2017:mimeTypeSufficient", "abcd"),
    ("format=urn:oid:1.3.6.1.4.1.19376.1.2.3|urn:ihe:iti:xds:2017:mimeTypeSufficient", "abcd"),
    ("format:not=urn:ihe:iti:xds:2017:mimeTypeSufficient", "e"),
    ("security-label=N", "ade"),
    (f"security-label={V3}|N", "ade"),
    (f"security-label={V3}|R", "b"),
    (f"security-label={V3}|V", "c"),
    (f"security-label=urn:oid:{CONFIDENTIALITY}|V", "c"),
    (f"security-label={V3}|", "abcde"),
    ("security-label:not=N", "bc"),
    ("security-label:not=no-such", "abcde"),
    ("event=E1", "bc"),
    ("event=urn:oid:2.999.6|E1", "bc"),
    ("event=E1&event=E2", "c"),
    ("event=E1,E2", "bc"),
    ("event=urn:oid:2.999.6|", "bc"),
    ("event=E", ""),
    ("event:not=E1", "ade"),
    ("event:not=E2", "abde"),
    ("event:not=no-such", "abcde"),
    ("status=current", "abcde"),
    ("status=superseded", ""),
    ("status=entered-in-error", ""),
    ("status=superseded,current", "abcde"),
    ("status:not=superseded", "abcde"),
    ("status:not=current", ""),
    ("status:not=entered-in-error", "abcde"),
    ("status=http://hl7.org/fhir/document-reference-status|current", "abcde"),
    ("type=", "abcde"),
)
STRINGS = (
    ("author.family=kvakk", "a"),
    ("author.family=KVAKKELUND", "a"),
    ("author.family=vakk", ""),
    ("author.family=as", "bce"),
    ("author.family=ÅS", "bce"),
    ("author.family=ås", "bce"),
    ("author.family=A\u030as", "bce"),
    ("author.family=aSEN", "ce"),
    ("author.family=åsén", "ce"),
    ("author.family=li", "e"),
    ("author.family=åsenx", ""),
    ("author.family:contains=s", "bce"),
    ("author.family:contains=SE", "ce"),
    ("author.family:exact=Ås", "b"),
    ("author.family:exact=As", ""),
    ("author.family:exact=ås", ""),
    ("author.family:exact=Åsen", "c"),
    ("author.family:exact=O%26M", "d"),
    ("author.family=o%26m", "d"),
    ("author.family:contains=%26", "d"),
    ("author.family=T", ""),
    ("author.family=kvakk,ås", "abce"),
    (f"author.family={','.join(['kvakk'] * 5)}", "a"),
    (r"author.family=kvakk\,ås", ""),
    ("author:Practitioner.family=kvakk", "a"),
    ("author.given=rene", "b"),
    ("author.given=René", "b"),
    ("author.given=marie", "b"),
    ("author.given=louise", "b"),
    ("author.given=marie louise", "b"),
    ("author.given:exact=Marie Louise", "b"),
    ("author.given=ouise", ""),
    ("author.given:contains=ouis", "b"),
    ("author.given:exact=Marie", "b"),
    ("author.given:exact=Louise", "b"),
    ("author.given:exact=marie", ""),
    ("author.given:exact=René", "b"),
    ("author.given:exact=Ren", ""),
    ("author.given=bo", "d"),
    ("author.given=bø", "e"),
    ("author.given=oystein", ""),
    ("author.given=øyst", "c"),
    ("author.given=ås", ""),
    ("author.family=ås&author.given=rene", "b"),
    ("author:Practitioner.given=rene", "b"),
    ("author.family=.*", ""),
    ("author.family=(", ""),
    ("author.family=[a-z]", ""),
    ("author.family=^", ""),
    ("author.family=$", ""),
    (r"author.family=\\", ""),
    ("author.family=%25", ""),
    ("author.family=Kvakkelund^Tuva", ""),
    ("author.family:exact=.*", ""),
    ("author.family:contains=(?!x)", ""),
)
REFERENCES = (
    ("related=ACC1", "b"),
    ("related=ACC", ""),
    ("related=urn:oid:2.999.7|ACC1", "b"),
    ("related=urn:oid:2.999.8|ACC1", ""),
    ("related=|ACC1", ""),
    ("related=ENC1", "c"),
    ("related=urn:oid:2.999.7|ENC1", "c"),
    ("related=urn:no:xds:name:lokal|ACC10", "d"),
    ("related=urn:oid:2.999.7|ACC10", ""),
    ("related=1.2.3", "e"),
    ("related=urn:oid:1.2.3", "e"),
    ("related=|1.2.3", "e"),
    ("related=urn:ietf:rfc:3986|urn:oid:1.2.3", "e"),
    ("related=1.2", ""),
    ("related=x^y", "a"),
    ("related=urn:oid:2.999.7|x^y", "a"),
    ("related:identifier=urn:oid:2.999.7|ACC1", "b"),
    ("related.identifier=urn:oid:2.999.7|ACC1", "b"),
    ("related=urn:oid:2.999.7|ACC1,urn:oid:2.999.7|ENC1", "bc"),
    ("related=ACC1&related=ENC1", ""),
    ("related=.*", ""),
)
CREATIONS = (
    ("creation=2026", "abe"),
    ("creation=2026-03", "ae"),
    ("creation=2026-03-11", "ae"),
    ("creation=2026-03-11T09:45", "a"),
    ("creation=2026-03-11T09:45:00Z", "a"),
    ("creation=2026-03-11T09:45:00.000Z", "a"),
    ("creation=2026-03-11T09:45:00.999Z", "a"),
    ("creation=2026-03-11T10:45:00+01:00", "a"),
    ("creation=2026-03-11T10:45:00 01:00", "a"),
    ("creation=2026-03-11T09:45:01Z", ""),
    ("creation=eq2025-12-31T23:59:59Z", "d"),
    ("creation=2025-12-31,2026-04", "bd"),
    ("creation=ne2026", "cd"),
    ("creation=ne2026-03", "bcd"),
    ("creation=ne2026-03-11T09:45:00Z", "bcde"),
    ("creation=gt2025", "abe"),
    ("creation=gt2025-12", "abe"),
    ("creation=gt2026-03-11", "b"),
    ("creation=gt2026-03-11T09:44Z", "ab"),
    ("creation=gt2026-03-11T09:45Z", "b"),
    ("creation=gt2026-03-11T09:44:59.5Z", "ab"),
    ("creation=ge2026", "abe"),
    ("creation=ge2026-04", "b"),
    ("creation=ge2026-03-11", "abe"),
    ("creation=ge2026-03-11T09:45Z", "ab"),
    ("creation=ge2026-03-11T09:45:00Z", "ab"),
    ("creation=ge2026-03-11T09:45:01Z", "b"),
    ("creation=lt2026", "cd"),
    ("creation=lt2026-01", "cd"),
    ("creation=lt2025-12-31T23:59:59Z", "c"),
    ("creation=lt2026-03-11T09:45Z", "cde"),
    ("creation=le2025", "cd"),
    ("creation=le2025-12", "cd"),
    ("creation=le2025-12-31T23:59:58Z", "c"),
    ("creation=le2026-03-11", "acde"),
    ("creation=le2026-03-11T09:45:00Z", "acde"),
    ("creation=sa2026-03", "b"),
    ("creation=sa2026-03-11", "b"),
    ("creation=sa2026-03-11T09:44:59Z", "ab"),
    ("creation=eb2026-03-11", "cd"),
    ("creation=eb2026", "cd"),
    ("creation=eb2026-03-11T09:45:00Z", "cde"),
    ("creation=ge2026&creation=lt2026-04", "ae"),
    ("creation=gt0001", "abcde"),
    ("creation=lt9999-12-31T23:59:59Z", "abcde"),
    ("creation=9999-12", ""),
    ("creation:missing=true", ""),
    ("creation:missing=false", "abcde"),
)
#: b is from 1 to 10 March 2026 (midnight), c from 5 March on, d until 28 February; a and e have no period.
PERIODS = (
    ("period=2026", "b"),
    ("period=2026-03", "b"),
    ("period=2026-03-05", ""),
    ("period=ne2026-03", "cd"),
    ("period=gt2026-03-09", "bc"),
    ("period=gt2026-03-10", "c"),
    ("period=ge2026-03-10", "bc"),
    ("period=ge2026-03-11", "c"),
    ("period=lt2026-03-01", "d"),
    ("period=lt2026-03-02", "bd"),
    ("period=le2026-02-28", "d"),
    ("period=le2026-03-01", "bd"),
    ("period=sa2026-02-28", "bc"),
    ("period=sa2026-03-04", "c"),
    ("period=sa2026-03-05", ""),
    ("period=eb2026-02-28", ""),
    ("period=eb2026-03-01", "d"),
    ("period=eb2026-03-11", "bd"),
    ("period=ge2026-03-06&period=lt2026-03-08", "bc"),
    ("period=ge2026-02-27&period=le2026-02-27", "d"),
    ("period=ge2026-03-11&period=le2026-03-11", "c"),
    ("period=gt2026-03-09T23:59:59Z", "bc"),
    ("period=gt2026-03-10T00:00:00Z", "c"),
    ("period:missing=true", "ae"),
    ("period:missing=false", "bcd"),
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [*TOKENS, *STRINGS, *REFERENCES, *CREATIONS, *PERIODS],
    ids=lambda each: each or "-",
)
def test_a_parameter_finds_what_it_says(node: Node, asked: str, expected: str) -> None:
    """Of one patient, by GET."""
    assert letters(search(node, asked, PATIENT)) == expected


@pytest.mark.parametrize(
    ("in_url", "in_body", "expected"),
    [
        ("", "type=34133-9", "bcd"),
        ("type=34133-9", "event=E1", "bc"),
        ("event=E2", "event=E1&author.given=øyst", "c"),
        ("type=34133-9&event=E1", "", "bc"),
        ("_format=json", "author.family=o%26m&creation=2025-12-31T23:59:59%2B00:00", "d"),
    ],
)
def test_a_search_is_posted_in_url_and_body_together(
    node: Node, in_url: str, in_body: str, expected: str
) -> None:
    """The patient is in the body, and the parameters of both count (FHIR R4 3.1.1.1)."""
    assert letters(post(node, in_body, PATIENT, in_url=in_url)) == expected


def test_a_posted_search_needs_no_body(node: Node) -> None:
    """All parameters may stand in the URL, and the body may be nothing at all."""
    asked = f"patient.identifier=urn:oid:{m.AUTHORITY}|{number_of(PATIENT)}&event=E2"
    assert letters(ask(node, f"/fhir/DocumentReference/_search?{query(asked)}", "POST")) == "c"
    assert letters(post(node, in_url=asked)) == "c"


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/json", '{"type": "x"}', 415, "not-supported"),
        ("text/plain", "type=x", 415, "not-supported"),
        (None, "type=x", 415, "not-supported"),
        ("application/x-www-form-urlencoded", "type=é", 400, "structure"),
        ("application/x-www-form-urlencoded", "type=" + "x" * 70_000, 400, "structure"),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    node: Node, content_type: str | None, body: str, status: int, code: str
) -> None:
    """With the status that fits, and nothing of the body."""
    headers = {"Content-Type": content_type} if content_type else {}
    got = ask(node, "/fhir/DocumentReference/_search", "POST", body, headers)
    assert (got.status, [each["code"] for each in got.outcome]) == (status, [code])


@pytest.mark.parametrize(
    "given",
    [
        f"patient.identifier=urn:oid:{m.AUTHORITY}|{{number}}",
        f"patient:identifier=urn:oid:{m.AUTHORITY}|{{number}}",
        f"patient:Patient.identifier=urn:oid:{m.AUTHORITY}|{{number}}",
        f"subject.identifier=urn:oid:{m.AUTHORITY}|{{number}}",
        f"subject:identifier=urn:oid:{m.AUTHORITY}|{{number}}",
        f"patient=urn:oid:{m.AUTHORITY}|{{number}}",
        f"subject=urn:oid:{m.AUTHORITY}|{{number}}",
        "patient.identifier={number}",
        "patient.identifier=|{number}",
        "patient={number}",
        "patient={number}&patient.identifier={number},{number}",
    ],
)
def test_a_patient_is_named_in_several_ways(node: Node, given: str) -> None:
    """By identifier: as MHD has it, as R4 has it, and as Norwegian clients do."""
    assert letters(search(node, given.format(number=number_of(PATIENT)))) == "abcde"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("DocumentReference", "type=x"),
        ("DocumentReference", ""),
        ("DocumentReference", "patient.identifier="),
        ("DocumentReference", "identifier="),
        ("List", "code=folder"),
        ("List", "code=submissionset&status=current"),
    ],
)
def test_a_search_about_nobody_is_refused(node: Node, kind: str, given: str) -> None:
    """400 `required`, with what is missing."""
    got = search(node, given, kind=kind)
    assert got.status == 400
    (issue,) = got.outcome
    assert issue["code"] == "required"
    assert "patient.identifier" in issue["diagnostics"]


def test_a_patient_without_documents_and_one_whom_nobody_knows_are_the_same(node: Node) -> None:
    """200 with a total of 0, never 404 (MHD 2:3.67.4.2.2)."""
    got = search(node, "status=current", NOBODY)
    assert letters(got) == ""
    assert "entry" not in got.json
    assert letters(search(node, {"patient.identifier": "urn:oid:2.999.1|4711"})) == ""


# ---- when it was registered


def times(node: Node) -> dict[str, str]:
    """meta.lastUpdated by letter; `date` is the same."""
    found = search(node, "", PATIENT).matches
    by_letter = {}
    for each in found:
        value = each["masterIdentifier"]["value"].removeprefix("urn:oid:")
        assert each["meta"]["lastUpdated"] == each["date"]
        by_letter[LETTERS[value]] = each["date"]
    assert sorted(by_letter, key=by_letter.__getitem__) == list("abcde")
    return by_letter


@pytest.mark.parametrize("name", ["date", "_lastUpdated", "_lastupdated"])
@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", "c"),
        ("eq", "c"),
        ("ne", "abde"),
        ("gt", "de"),
        ("ge", "cde"),
        ("lt", "ab"),
        ("le", "abc"),
        ("sa", "de"),
        ("eb", "ab"),
    ],
)
def test_a_document_is_found_by_when_it_was_registered(
    node: Node, name: str, prefix: str, expected: str
) -> None:
    """To the millisecond, as it is told: who asks for what came after the last one misses nothing."""
    assert letters(search(node, {name: prefix + times(node)["c"]}, PATIENT)) == expected


@pytest.mark.parametrize("name", ["date", "_lastUpdated"])
def test_a_document_is_found_by_the_day_of_its_registration(node: Node, name: str) -> None:
    """All of today, at any precision, and nothing of tomorrow or of years that no computer counts in."""
    first = datetime.fromisoformat(times(node)["a"].replace("Z", "+00:00"))
    last = datetime.fromisoformat(times(node)["e"].replace("Z", "+00:00"))
    tomorrow = (last + timedelta(days=1)).strftime("%Y-%m-%d")
    for asked, expected in (
        (f"ge{first:%Y}", "abcde"),
        (f"ge{first:%Y-%m}", "abcde"),
        (f"ge{first:%Y-%m-%d}", "abcde"),
        (f"ge{first:%Y-%m-%dT%H:%M}", "abcde"),
        (f"ge{first:%Y-%m-%dT%H:%M:%S}", "abcde"),
        (f"le{last:%Y-%m-%dT%H:%M:%S}", "abcde"),
        (f"le{last:%Y}", "abcde"),
        (f"lt{first:%Y-%m-%d}", ""),
        (f"ge{tomorrow}", ""),
        (f"lt{tomorrow}", "abcde"),
        (f"ap{first:%Y-%m-%d}", "abcde"),
        ("gt0001-01-01", "abcde"),
        ("lt1969", ""),
        ("lt9999-12-31", "abcde"),
        ("gt9999", ""),
    ):
        assert letters(search(node, {name: asked}, PATIENT)) == expected, asked


def test_about_is_a_tenth_of_the_time_till_now(node: Node) -> None:
    """FHIR R4 3.1.1.4.5; the less exact, the longer ago."""
    now = datetime.now(UTC)
    created = datetime(2026, 3, 11, 9, 45, tzinfo=UTC)  # of a
    # p is about a when a - p is at most (now - p) / 10: p is not before a - (now - a) / 9.
    near = created - (now - created) / 9 * 0.99
    far = created - (now - created) / 9 * 1.02
    assert "a" in letters(search(node, {"creation": f"ap{near:%Y-%m-%dT%H:%M:%SZ}"}, PATIENT))
    assert "a" not in letters(search(node, {"creation": f"ap{far:%Y-%m-%dT%H:%M:%SZ}"}, PATIENT))
    assert letters(search(node, "period=ap2026-03-05", PATIENT)) == "bcd"
    assert letters(search(node, "period=ap1950", PATIENT)) == "d"


# ---- ids


def test_a_document_is_found_by_each_of_its_ids(node: Node) -> None:
    """With and without system, and in upper case; of whatever form its uniqueId is."""
    for letter, document in DOCUMENTS.items():
        (one,) = [
            each
            for each in search(node, "", PATIENT).matches
            if each["masterIdentifier"]["value"].removeprefix("urn:oid:") in LETTERS
            and LETTERS[each["masterIdentifier"]["value"].removeprefix("urn:oid:")] == letter
        ]
        uuid = next(each["value"] for each in one["identifier"] if each["use"] == "official")
        own = one["masterIdentifier"]
        for asked in (
            f"identifier=urn:ietf:rfc:3986|{uuid}",
            f"identifier={uuid}",
            f"identifier={uuid.upper().replace('URN:UUID', 'urn:uuid')}",
            f"identifier={own['system']}|{own['value']}",
            f"identifier={document.unique_id}",
            f"identifier=2.999.404,{document.unique_id}",
            f"_id={one['id']}",
            f"_id={one['id'].upper()}",
            f"_id={one['id']},00000000-0000-4000-8000-000000000000",
        ):
            assert letters(search(node, asked)) == letter, asked
            assert letters(search(node, asked, PATIENT)) == letter, asked
            assert letters(search(node, asked, OTHER)) == "", asked


@pytest.mark.parametrize(
    "asked",
    [
        "identifier=2.999.404",
        "identifier=urn:uuid:00000000-0000-4000-8000-000000000000",
        "identifier=urn:oid:2.999.9.1|A-2",
        "identifier=urn:oid:2.999.9|A-1",
        "_id=00000000-0000-4000-8000-000000000000",
        "_id=x",
        "_id=..%25",
    ],
)
def test_an_id_of_nothing_finds_nothing(node: Node, asked: str) -> None:
    """200 and nothing."""
    assert letters(search(node, asked)) == ""


def test_one_document_is_read_by_its_id(node: Node) -> None:
    """The same resource as in the search, with its version as ETag."""
    for one in search(node, "", PATIENT).matches:
        got = ask(node, f"/fhir/DocumentReference/{one['id']}")
        assert (got.status, got.json, got.headers["ETag"]) == (200, one, 'W/"1"')


@pytest.mark.parametrize("own", ["x", "1", "00000000-0000-4000-8000-000000000000", "a" * 36, "0" * 32])
def test_an_id_that_nobody_has_is_not_found(node: Node, own: str) -> None:
    """404, and the same for what is no id at all."""
    for kind in ("DocumentReference", "List", "Binary"):
        got = ask(node, f"/fhir/{kind}/{own}")
        assert (got.status, [each["code"] for each in got.outcome]) == (404, ["not-found"])


def _updated(document: Entry, logical: str, **slots: str) -> str:
    """The body of ITI-57 that brings version 2 of a document."""
    return m.submit(
        replace(document, lid=logical, slots={**document.slots, **slots}).xml(),
        m.submission_set(patient=document.patient),
        m.member("as1", document.id, PreviousVersion="1"),
    )


def test_the_latest_version_is_found_by_the_ids_of_all(node: Node) -> None:
    """The logicalID, the entryUUID of either version and the uniqueId; what only the old one said, not."""
    patient = somebody(3)
    old = Entry(id=m.new_uuid(), patient=patient)
    file(node, old)
    new = replace(old, id=m.new_uuid(), events=(("E9", "2.999.6"),))
    assert send(node, m.plain(_updated(new, old.id, creationTime="20200101"), "ITI-57")).outcome == SUCCESS
    own = old.id.removeprefix("urn:uuid:")
    for asked in (
        f"identifier={old.id}",
        f"identifier={new.id}",
        f"identifier={old.unique_id}",
        f"identifier={old.id},{new.id},{old.unique_id}",
        f"_id={own}",
        "event=E9",
        "creation=2020",
        "status=current",
        "event:not=E8",
    ):
        (found,) = search(node, asked, patient).matches
        assert (found["id"], found["meta"]["versionId"]) == (own, "2"), asked
        assert {each["value"] for each in found["identifier"]} == {new.id, f"urn:oid:{old.unique_id}"}
    for asked in ("creation=2026", "event:not=E9", "status=superseded"):
        assert search(node, asked, patient).matches == []
    for uuid in (own, new.id.removeprefix("urn:uuid:")):
        got = ask(node, f"/fhir/DocumentReference/{uuid}")
        assert (got.json["id"], got.headers["ETag"]) == (own, 'W/"2"')


def test_what_was_replaced_is_superseded_and_says_by_what(node: Node) -> None:
    """relatesTo stands in the document that came later (MHD 2:3.67.4.2.2); without a status all are found."""
    patient = somebody(4)
    old, new, more = (Entry(id=m.new_uuid(), patient=patient) for _ in range(3))
    file(node, old)
    file(node, new, more=replaces(new, old.id))
    file(node, more, more=replaces(more, new.id, m.APPEND))
    by_status = {
        status: unique_ids(search(node, f"status={status}", patient)) for status in ("current", "superseded")
    }
    assert by_status == {"current": [more.unique_id, new.unique_id], "superseded": [old.unique_id]}
    assert len(search(node, "", patient).matches) == 3
    assert unique_ids(search(node, "status:not=current", patient)) == [old.unique_id]
    first, second, third = search(node, "_sort=date", patient).matches
    assert (first["status"], second["status"], third["status"]) == ("superseded", "current", "current")
    assert "relatesTo" not in first
    (link,) = second["relatesTo"]
    assert (link["code"], link["target"]["reference"]) == ("replaces", f"DocumentReference/{first['id']}")
    (link,) = third["relatesTo"]
    assert (link["code"], link["target"]["reference"]) == ("appends", f"DocumentReference/{second['id']}")


def test_a_document_on_demand_has_no_creation(node: Node) -> None:
    """Found by :missing, by no date; it has neither hash nor size (MHD 2:3.67.4.2.2)."""
    patient = somebody(5)
    slots: dict[str, str | None] = dict.fromkeys(("creationTime", "hash", "size"))
    promised = Entry(patient=patient, object_type=m.ON_DEMAND, slots=slots)
    reply = send(node, m.plain(m.register([promised], patient=patient), "ITI-61"))
    assert reply.outcome == SUCCESS, reply.errors
    file(node, Entry(patient=patient))
    assert unique_ids(search(node, "creation:missing=true", patient)) == [promised.unique_id]
    assert len(search(node, "creation:missing=false", patient).matches) == 1
    for asked in ("creation=gt0001", "creation=ne2026", "creation=lt9999"):
        assert promised.unique_id not in unique_ids(search(node, asked, patient))
    (found,) = search(node, "creation:missing=true", patient).matches
    assert not {"hash", "size", "creation"} & found["content"][0]["attachment"].keys()


def test_a_merged_patients_documents_are_found_under_the_survivor(new_node: Callable[..., Node]) -> None:
    """ITI-44 joins two records; the old number finds nothing any more, as in stored queries."""
    merging = new_node(patients__source="feed", patients__authorities=OURS)
    one, two = "4711", "4712"
    for each in (one, two):
        assert feed.outcome(feed.ask(merging, feed.ADDED, feed.ii(each))) == ("CA", [])
    filed = {each: Entry(patient=f"{each}^^^&{OURS}&ISO") for each in (one, two)}
    for document in filed.values():
        file(merging, document)
    later = Entry(patient=filed[two].patient)
    assert feed.outcome(feed.ask(merging, feed.RESOLVED, feed.ii(two), prior=feed.ii(one))) == ("CA", [])
    file(merging, later)
    expected = [later.unique_id, filed[two].unique_id, filed[one].unique_id]
    asked = {"patient.identifier": f"urn:oid:{OURS}|{two}"}
    assert unique_ids(search(merging, asked)) == expected
    assert unique_ids(search(merging, asked | {"_sort": "date"})) == expected[::-1]
    assert search(merging, asked).json["total"] == 3
    assert unique_ids(search(merging, {"patient.identifier": f"urn:oid:{OURS}|{one}"})) == []
    paged, address = [], f"/fhir/DocumentReference?{query(asked | {'_count': '1'})}"
    while address:
        got = ask(merging, address)
        paged += unique_ids(got)
        address = got.links.get("next", "")
    assert paged == expected
    (found,) = search(merging, {"identifier": filed[one].unique_id}).matches
    assert found["subject"]["identifier"]["value"] == two
    merging.stop()


# ---- what is not known, and what is wrong


@pytest.mark.parametrize(
    "asked",
    [
        "foo=1",
        "foo1=1",
        "foo:not=1",
        "type.display=x",
        "_include=DocumentReference:subject",
        "_elements=id",
        "_has:List:item:code=x",
        "source.family=x",
        "author:Practitioner.name=x",
        "_summary=true",
        "_sort=type",
        "_sort=date,-_lastUpdated",
        "12345678901=1",
        "æøå=1",
        "foo=",
    ],
)
def test_an_unknown_parameter_is_left_out_and_named(node: Node, asked: str) -> None:
    """As if it were not there, in the self link too; an outcome beside the matches says so (R4 3.1.1.6)."""
    got = search(node, f"{asked}&event=E2", PATIENT)
    assert letters(got) == "c"
    (issue,) = got.outcome
    assert (issue["severity"], issue["code"]) == ("warning", "not-supported")
    name = asked.partition("=")[0]
    said = name if name.isascii() and not any(each.isdigit() for each in name) else "(a parameter)"
    assert f": {said}." in issue["diagnostics"]
    assert got.links == {
        "self": "https://xds.example.org/fhir/DocumentReference?"
        + urlencode([("patient.identifier", f"urn:oid:{m.AUTHORITY}|{number_of(PATIENT)}"), ("event", "E2")])
    }


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("foo=1", "foo"),
        ("foo=1&bar=2", "bar, foo"),
        ("foo1=1", "(a parameter)"),
        ("_include=x", "_include"),
        ("_sort=type", "_sort"),
        ("_summary=true", "_summary"),
    ],
)
@pytest.mark.parametrize("prefer", ["handling=strict", "return=minimal, handling = strict"])
def test_a_strict_client_is_told_what_is_not_known(node: Node, asked: str, named: str, prefer: str) -> None:
    """400 (R4 3.1.1.6); a lenient one is not."""
    got = search(node, asked, PATIENT, Prefer=prefer)
    assert (got.status, [each["code"] for each in got.outcome]) == (400, ["not-supported"])
    assert named in got.told[0]
    assert search(node, asked, PATIENT, Prefer="handling=lenient").status == 200


WRONG = (
    *((f"{name}:text=x", name) for name in ("type", "category", "status", "identifier", "event")),
    ("type:in=x", "type"),
    ("type:missing=true", "type"),
    ("author.family:not=x", "author.family"),
    ("author.family:missing=true", "author.family"),
    ("creation:exact=2026", "creation"),
    ("creation:not=2026", "creation"),
    ("related:missing=true", "related"),
    ("identifier:not=x", "identifier"),
    ("_id:not=x", "_id"),
    ("patient:missing=false", "patient"),
    ("patient:Group=1", "patient"),
    ("_lastUpdated:missing=true", "_lastUpdated"),
    *(
        (f"{name}={value}", name)
        for name in ("creation", "period", "date", "_lastUpdated")
        for value in (
            "x",
            "26",
            "2026-13",
            "2026-02-30",
            "2026-3-1",
            "20260311",
            "2026-03-11T25:00",
            "2026-03-11T09",
            "2026-03-11T09:45:00+25:00",
            "xx2026",
            "GE2026",
            "ge 2026",
            "2026,x",
            "0000",
            "２０２６",
        )
    ),
    ("creation:missing=yes", "creation"),
    ("period:missing=TRUE", "period"),
    ("status=final", "status"),
    ("status=current,final", "status"),
    ("type=|", "type"),
    ("type=x,", "type"),
    ("event=,", "event"),
    ("identifier=urn:oid:1.2|", "identifier"),
    ("identifier=https://x.example|1", "identifier"),
    ("related=urn:oid:1.2|", "related"),
    ("author.family=,", "author.family"),
    (f"author.family={'x' * 1001}", "author.family"),
    (f"author.given={'x' * 501}&author.given:contains={'y' * 500}", "author.given"),
    (f"author.family={','.join(['x'] * 6)}", "author.family"),
    (f"author.given={','.join(['x'] * 11)}&author.family={','.join(['y'] * 10)}", "author.family"),
    ("type=x%0Ay", "type"),
    ("author.family=%00", "author.family"),
    ("identifier=%00", "identifier"),
    ("related=x%00", "related"),
    ("patient.identifier=x", "patient.identifier"),
    ("patient.identifier=https://x.example|1", "patient.identifier"),
    (f"patient.identifier=urn:oid:{m.AUTHORITY}|", "patient.identifier"),
    ("patient=Patient/1", "patient"),
    ("patient=https://x.example/Patient/1", "patient"),
    (f"patient.identifier=urn:oid:2.999.1|{number_of(PATIENT)}", "patient.identifier"),
    ("_count=x", "_count"),
    ("_count=-1", "_count"),
    ("_count=1.5", "_count"),
    ("_count=٣", "_count"),
    ("_count=9999999999", "_count"),
    ("_page=0", "_page"),
    ("_page=x", "_page"),
    ("_page=100001&_count=1000", "_page"),
    ("_total=x", "_total"),
    ("targetCommunityIdList=urn:oid:2.999.2", "targetCommunityIdList"),
    ("targetCommunityIdList=urn:oid:2.999.1,urn:oid:2.999.2", "targetCommunityIdList"),
    ("targetCommunityIdList=urn:oid:2.999.1&targetCommunityIdList=urn:oid:2.999.1", "targetCommunityIdList"),
)


@pytest.mark.parametrize(("asked", "name"), WRONG)
def test_what_is_wrong_is_refused_by_name(node: Node, asked: str, name: str) -> None:
    """400, an issue that begins with the parameter, and no value in it."""
    got = search(node, asked, PATIENT)
    assert got.status == 400
    (issue,) = got.outcome
    assert (issue["severity"], issue["code"] in ("value", "not-supported", "too-costly")) == ("error", True)
    assert re.search(rf"(^|, ){re.escape(name)}\b|one patient", issue["diagnostics"]), issue["diagnostics"]


def test_everything_that_is_wrong_is_told_at_once(node: Node) -> None:
    """One issue each, in the order of the parameters."""
    got = search(node, "creation=x&type:in=y&status=z&event=E1", PATIENT)
    assert [each["diagnostics"].partition(" ")[0].rstrip(":") for each in got.outcome] == [
        "creation",
        "type",
        "status",
    ]


def test_this_community_may_be_named(node: Node) -> None:
    """With or without urn:oid: (MHD 4.2.4, Target Communities)."""
    for own in ("urn:oid:2.999.1", "2.999.1"):
        assert letters(search(node, f"targetCommunityIdList={own}&event=E2", PATIENT)) == "c"


@pytest.mark.parametrize(
    "asked",
    [
        "&".join(["type=x"] * 31),
        "type=" + ",".join(["x"] * 301),
        "&".join(["type=" + ",".join(["x"] * 11)] * 29),
    ],
)
def test_a_search_of_too_many_parts_is_refused(node: Node, asked: str) -> None:
    """400 `too-costly`."""
    got = post(node, asked, PATIENT)
    assert (got.status, [each["code"] for each in got.outcome]) == (400, ["too-costly"])


def test_no_value_and_no_name_of_a_request_comes_back(node: Node) -> None:
    """A national number in each place of a search: it is in no answer but the self link, and in no log."""
    secret = number_of(somebody(7))
    marked = f"<{secret}>"
    before = node.log.stat().st_size
    asked: list[tuple[str, str]] = []
    for table in (document_references.PARAMETERS, lists.PARAMETERS):
        for name in (*table, "_count", "_page", "_sort", "_total", "_summary", "_format", "fhirVersion"):
            asked += [(name, marked), (name, f"urn:oid:1.2|{marked}"), (f"{name}:{marked}", "x")]
            asked += [
                (f"{name}.{marked}", "x"),
                (marked, name),
                (f"{name}:not", marked),
                (name, f"ge{secret}"),
            ]
    asked += [("_cursor", secret), ("_cursor", marked)]
    for kind in ("DocumentReference", "List"):
        for name, value in dict.fromkeys(asked):
            for more in ({}, {"Prefer": "handling=strict"}):
                for got in (
                    search(node, [(name, value)], kind=kind, **more),
                    post(node, [(name, value)], PATIENT, kind, **more),
                ):
                    text = got.body.decode()
                    if got.status == 200:
                        links = got.json["link"]
                        text = text.replace(links[0]["url"], "")
                        text += "".join(each["diagnostics"] for each in got.outcome)
                    assert got.status in (200, 400, 406), (name, value, got.status)
                    assert secret not in text, (name, value)
    for path in (
        f"/fhir/DocumentReference/{secret}",
        f"/fhir/List/{secret}",
        f"/fhir/Binary/{secret}",
        f"/fhir/{secret}",
        f"/fhir/DocumentReference/{secret}/x",
    ):
        for method in ("GET", "POST", "PUT"):
            assert secret not in ask(node, path, method).body.decode()
    logged = node.log.read_bytes()[before:].decode()
    assert secret not in logged
    assert number_of(PATIENT) not in logged
    assert " ERROR " not in logged
