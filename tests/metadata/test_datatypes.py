"""Data types: what is accepted, what is refused, and that values survive being read and written."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds.errors import DataTypeError
from xds.metadata import datatypes
from xds.metadata.datatypes import CHECKS, CX, HD, XCN, XON, XTN, CXi, PidField, Recipient

ACCEPTED = {
    "CX": [
        "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        "29698496140^^^&2.16.578.1.12.4.1.4.1&ISO",
        "a b-1^^^&1.2&ISO",
        "a\\T\\b^^^&1.2.3&ISO",
        "DOMAIN\\E\\1^^^&1.2.3&ISO",
    ],
    "CXi": [
        "2.16.578.1.12.4.5.1^^^^urn:ihe:iti:xds:2013:uniqueId",
        "A-17^^^&2.16.578.1.12.4.3.1&ISO^urn:ihe:iti:xds:2013:accession",
        "A-17^^^Lab^urn:ihe:iti:xds:2013:order",
        "A-17^^^Lab&2.16.578.1.12.4.3.1&ISO^urn:ihe:iti:xds:2013:referral",
        "2.999.1^^^^urn:ihe:iti:xdw:2013:workflowInstanceId",
        "2.999.2^^^^urn:ihe:iti:xds:2016:studyInstanceUID",
        "7^^^&1.2&ISO^urn:ihe:iti:xds:2015:encounterId",
        "7^^^^urn:example:local",
    ],
    "DTM": ["2026", "202602", "20240229", "2026022823", "202602282359", "20260228235959", "19000101"],
    "DTM to the second": ["20260228235959"],
    "Document availability": [
        "urn:ihe:iti:2010:DocumentAvailability:Online",
        "urn:ihe:iti:2010:DocumentAvailability:Offline",
    ],
    "Field": [
        "PID-3|17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        "PID-5|Testperson^Syntetisk",
        "PID-5|",
        "PID-7|19550517",
        "PID-8|F",
        "PID-11|Gata 1^^Oslo^^0001^NO~Gata 2^^Bergen",
        "PID-13|a|b",
    ],
    "Identifier": [
        "1.2.3",
        "1.2.3^ab",
        "urn:uuid:9a1b8f5e-0000-4000-8000-000000000001",
        "http://example.org/1",
        "x",
    ],
    "Integer": ["0", "1", "209715200", "9223372036854775807", "007"],
    "Language": ["nb-NO", "nn-NO", "no-NO", "NO", "nb", "en-US", "zh-Hant-TW", "i-klingon"],
    "MIME type": [
        "application/pdf",
        "text/plain",
        "text/plain; charset=utf-8",
        'multipart/related; type="text/xml"',
        "application/vnd.oasis.opendocument.text",
        "application/hl7-v3+xml",
        "image/svg+xml",
    ],
    "OID": ["1.2", "2.16.578.1.12.4.1.4.1", "0.9.2342", "2.16.578.1.12.4.1.101", "2.25." + "1" * 59],
    "OID URN": ["urn:oid:2.16.578.1.12.4.1.7.1.1", "2.16.578.1.12.4.1.7.1.1"],
    "Object id": [
        "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1",
        "Document01",
        "theDocument",
        "urn:oid:1.2",
        "1",
    ],
    "Object type": [
        "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1",
        "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248",
    ],
    "Recipient": [
        "Hosp^^^^^^^^^1.2",
        "Hosp^^^^^^^^^1.2|^Wel^Marcus",
        "|12345^James",
        "||^^Internet^x@example.org",
        "Legekontoret^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^994598759|9144889^Fjell^Tuva|^^Internet^a@example.org",
        "Legekontoret|",
    ],
    "SHA-1": ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"],
    "URI": ["DOC0001.XML", "http://example.org/a%20b?c=d#e", "urn:x:y", "a/b/../c.pdf"],
    "XCN": [
        "11375^Welby^Marcus^J^Jr. MD^Dr^^^&2.999.6.197&ISO",
        "9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO",
        "^Fjell^Tuva",
        "^Fjell",
        "11375",
        "11375^^^^^^^^&2.999.6.197&ISO",
        "^Fjell^Tuva^^^",
        "^de Vries&de&Vries^Jan",
        "1^A^B^^^^^src^&1.2&ISO^L^1^M",
    ],
    "XON": [
        "Eksempelsykehuset HF",
        "Avdeling for prøver, 2. etasje",
        "Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^983974880",
        "Avdeling^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4201234",
        "Avdeling^^^^^&2.16.578.1.12.4.5.390&ISO^^^^Avdeling",
        "Avdeling^^^^^&2.16.578.1.12.4.1.102&ISO^^^^4201234",
        "Some Hospital^^^^^^^^^1.2.3.4.5.6.7.8.9.1789.45",
        "Some Hospital^^^^^&1.2.3.4.5.6.7.8.9.1789&ISO^^^^45",
        "A \\T\\ B",
    ],
    "XTN": [
        "^^Internet^a@b.org",
        "^NET^Internet^a@b.org",
        "^PRS^PH^^31^^(042) 1123 4567",
        "^WPN^PH^^47^^22334455^12",
        "^WPN^PH^^^^^^^^^+47 22 33 44 55",
        "22334455",
    ],
}

REFUSED = {
    "CX": [
        "",
        "17855599120",
        "17855599120^^^",
        "^^^&1.2&ISO",
        " ^^^&1.2&ISO",
        "\n1^^^&1.2&ISO",
        "1 ^^^&1.2&ISO",
        "1^^^&1.2",
        "1^^^&1.2&DNS",
        "1^^^Name&1.2&ISO",
        "1^2^^&1.2&ISO",
        "1^^^&1.2&ISO^PI",
        "1^^^&1.2&ISO&",
        "1^^^&1&ISO",
        "1^^^&1.02&ISO",
        "1^^^&urn:oid:1.2&ISO",
        "1^^^&1.2&iso",
        "1^^^&1.2&ISO\n",
        "1~2^^^&1.2&ISO",
        "a\\X\\b^^^&1.2&ISO",
        "a\\b^^^&1.2&ISO",
        "1^^^&amp;1.2&amp;ISO",
    ],
    "CXi": [
        "",
        "1",
        "1^^^^",
        "^^^^urn:ihe:iti:xds:2013:order",
        "1^2^^^urn:ihe:iti:xds:2013:order",
        "1^^^&1.2^urn:ihe:iti:xds:2013:order",
        "1^^^&abc&ISO^urn:ihe:iti:xds:2013:order",
        "1^^^&1.2&ISO&x^urn:ihe:iti:xds:2013:order",
        "1^^^^urn:ihe:iti:xds:2013:order^&1.2&ISO",
        "1^^^&1.2&ISO^urn:ihe:iti:xdw:2013:workflowInstanceId",
        "1^^^&1.2&ISO^urn:ihe:iti:xds:2016:studyInstanceUID",
    ],
    "DTM": [
        "",
        "26",
        "20261",
        "202613",
        "202600",
        "20260230",
        "20250229",
        "20260431",
        "20260100",
        "2026022824",
        "202602282360",
        "20260228235960",
        "0000",
        "20260228235959.1",
        "20260228+0100",
        "20260228235959Z",
        "2026-02-28",
        " 2026",
        "2026\n",
        "٢٠٢٦",
        "202602281",
        "200601021504050",
    ],
    "DTM to the second": ["2026", "202602282359", "", "20260230000000"],
    "Document availability": ["", "Online"],
    "Field": ["", "PID", "PID-5", "PID-0|x", "PID-|x", "PV1-3|x", "pid-5|x", "Testperson^Syntetisk"],
    "Identifier": ["", " ", " 1.2", "1.2\n"],
    "Integer": ["", "-1", "+1", "1.0", "1 ", "1e3", "9223372036854775808", "٣", "1_0", "0x1"],
    "Language": ["", "nb_NO", "-NO", "nb-", "norwegianbokmaal", "nb NO", "nb-NO\n"],
    "MIME type": [
        "",
        "pdf",
        "application/",
        "/pdf",
        "application/pdf/a",
        "a b/c",
        "text/plain;",
        "text/plain; charset",
    ],
    "OID": [
        "",
        "1",
        "1.",
        ".1",
        "1..2",
        "1.02",
        "01.2",
        "1.a",
        "1.2 ",
        "urn:oid:1.2",
        "2.25." + "1" * 60,
        "1.2\n",
    ],
    "OID URN": [
        "",
        "urn:oid:",
        "urn:oid:1",
        "oid:1.2",
        "urn: oid:1.2",
        "URN:OID:1.2",
        "http://example.org",
        "Ukjent",
    ],
    "Object id": [
        "",
        " ",
        "urn:uuid:7EDCA82F-054D-47F2-A032-9B2A5B5186C1",
        "urn:uuid:7edca82f054d47f2a0329b2a5b5186c1",
        "urn:uuid:1",
        "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1\n",
        "URN:UUID:7edca82f-054d-47f2-a032-9b2a5b5186c1",
    ],
    "Object type": ["", "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd", "stable"],
    "Recipient": [
        "",
        "|",
        "||",
        "a|b|^^Internet^c@d|e",
        "Hosp^x",
        "|^^Tuva",
        "||^^Internet^",
        "Hosp^^^^^^^^^17",
    ],
    "SHA-1": ["", "da39", "g" * 40, "a" * 41, "sha1:" + "a" * 35, "a" * 40 + "\n"],
    "URI": ["", "a b", "a%zz", "http://example.org/æ", "a\nb", "<x>"],
    "XCN": ["", "^^^^", "^^Tuva", "1^A^B^^^^^^&x&ISO", "1^A^B^^^^^^&1.2", "1^A\\Q\\", "1^A^B^^^^^^a&b&c&d"],
    "XON": [
        "",
        "^^^^^&1.2&ISO^^^^1",
        "A^B",
        "A^^^^^^^^^17",
        "A^^^^^^^^^17^x",
        "A^^^^^Name^^^^17",
        "A^^^^^&1.2&DNS^^^^17",
        "A^^^^^&x.y&ISO^^^^17",
        "A\\B",
    ],
    "XTN": ["", "^^Internet", "^PRS^PH", "^^Internet^^^^22334455", "^PRS^PH^^31^042"],
}


def _pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in table.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), _pairs(ACCEPTED))
def test_a_value_of_the_type_is_accepted(name: str, text: str) -> None:
    """The samples of IHE and of the Norwegian profile follow their types."""
    CHECKS[name](text)


@pytest.mark.parametrize(("name", "text"), _pairs(REFUSED))
def test_a_value_that_breaks_the_type_is_refused_without_being_quoted(name: str, text: str) -> None:
    """The error says what the type asks for and holds nothing of the value."""
    with pytest.raises(DataTypeError) as caught:
        CHECKS[name](text)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(text) < 10 or text not in sentence


def test_every_type_has_samples() -> None:
    """No data type goes untested in either direction."""
    assert set(CHECKS) == set(ACCEPTED) == set(REFUSED)


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("2024", 20240101000000),
        ("202402", 20240201000000),
        ("20240229", 20240229000000),
        ("2024022923", 20240229230000),
        ("202402292359", 20240229235900),
        ("20240229235958", 20240229235958),
        ("0001", 10101000000),
    ],
)
def test_a_short_time_counts_as_its_first_second(text: str, low: int) -> None:
    """Missing parts take the lowest value they can have: month and day 1, the rest 0."""
    assert low == datatypes.dtm_low(text)


def test_structured_values_are_taken_apart() -> None:
    """Each component arrives in the field that HL7 gives it, with escapes resolved."""
    assert CX("1&2", "1.2.3") == CX.parse("1\\T\\2^^^&1.2.3&ISO")
    assert XCN(
        "11375", "Welby", "Marcus", "J", "Jr. MD", "Dr", "", HD("", "2.999.6.197", "ISO")
    ) == XCN.parse("11375^Welby^Marcus^J^Jr. MD^Dr^^^&2.999.6.197&ISO")
    assert XON("Avd", "4201234", HD("", "2.16.578.1.12.4.1.4.102", "ISO")) == XON.parse(
        "Avd^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4201234"
    )
    assert CXi("7", "urn:x", HD("Lab", "1.2", "ISO")) == CXi.parse("7^^^Lab&1.2&ISO^urn:x")
    assert PidField("PID-5", "Testperson^Syntetisk") == PidField.parse("PID-5|Testperson^Syntetisk")
    assert "de Vries" == XCN.parse("^de Vries&de&Vries^Jan").family
    assert ("a@b.org", "") == (XTN.parse("^^Internet^a@b.org").email, XTN.parse("^^Internet^a@b.org").number)
    assert "(042) 1123 4567" == XTN.parse("^PRS^PH^^31^^(042) 1123 4567").number
    recipient = Recipient.parse("|12345^James|^^Internet^x@y")
    assert (None, XCN("12345", "James")) == (recipient.organisation, recipient.person)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *[(CX.parse, text) for text in ACCEPTED["CX"]],
        *[(CXi.parse, text) for text in ACCEPTED["CXi"]],
        *[(XON.parse, text) for text in ACCEPTED["XON"]],
        *[(XTN.parse, text) for text in ACCEPTED["XTN"]],
        *[(PidField.parse, text) for text in ACCEPTED["Field"]],
        *[(XCN.parse, text) for text in ACCEPTED["XCN"] if not text.endswith("^")],
        *[(Recipient.parse, text) for text in ACCEPTED["Recipient"] if not text.endswith("|")],
    ],
)
def test_a_parsed_value_is_written_as_it_came(parse, text: str) -> None:
    """Reading and writing a structured value gives the same text, trailing delimiters apart."""
    assert text == str(parse(text))


@given(st.text())
def test_any_text_survives_hl7_escaping(text: str) -> None:
    """Escaped text holds no delimiter and reads back as it was."""
    escaped = datatypes.escape(text)
    assert not set("^&~|") & set(escaped)
    assert text == datatypes.unescape(escaped)


_WORD = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(
    lambda text: text == text.strip()
)
_OIDS = st.lists(st.integers(0, 99999), min_size=2, max_size=9).map(lambda arcs: ".".join(map(str, arcs)))


@given(_WORD, _WORD, _OIDS)
def test_any_person_organisation_and_patient_id_survives_writing(one: str, other: str, oid: str) -> None:
    """Values built in code, whatever characters they hold, read back equal."""
    authority = HD("", oid, "ISO")
    for value in (
        CX(one, oid),
        CXi(one, other, authority),
        XCN(one, other, given=one, authority=authority),
        XON(one, other, authority),
        XTN(("", "NET", "Internet", other)),
        Recipient(XON(one), XCN("", other), None),
    ):
        assert value == type(value).parse(str(value))


@given(st.sampled_from(sorted(CHECKS)), st.text(max_size=40))
def test_no_text_makes_a_check_fail_otherwise_than_by_its_error(name: str, text: str) -> None:
    """Whatever stands in a message, a check accepts it or raises DataTypeError."""
    with contextlib.suppress(DataTypeError):
        CHECKS[name](text)
