"""The data types of HL7 v3, value by value."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.metadata.samples import element as parsed
from xds.errors import DataTypeError
from xds.metadata import hl7v3
from xds.metadata.hl7v3 import Moment
from xds.metadata.model import Code


def element(inner: str, attributes: str = "") -> etree._Element:
    """An element with this content, in the namespace of HL7 v3."""
    return parsed(f'<x xmlns="urn:hl7-org:v3" {attributes}>{inner}</x>'.encode())


@pytest.mark.parametrize(
    ("value", "dtm"),
    [
        ("20260311094500+0000", "20260311094500"),
        ("20260311094500Z", "20260311094500"),
        ("20260311104500+0100", "20260311094500"),
        ("20260311104500+01:00", "20260311094500"),
        ("20260311104500+01", "20260311094500"),
        ("20260311044500-0500", "20260311094500"),
        ("20260311104500.999+0100", "20260311094500"),
        ("202603110030+0100", "202603102330"),
        ("2026031110+0100", "2026031109"),
        ("2026031110+0530", "202603110430"),
        ("20260101003000+0100", "20251231233000"),
    ],
)
def test_a_time_with_a_zone_becomes_utc(value: str, dtm: str) -> None:
    """At the precision it had, but for minutes that its zone brings in."""
    found = hl7v3.moment(value)

    assert (found.dtm, found.assumed) == (dtm, False)


@pytest.mark.parametrize(
    ("value", "dtm"),
    [
        ("20260311104500", "20260311094500"),
        ("20260711104500", "20260711084500"),
        ("202607111045", "202607110845"),
        ("2026071110", "2026071108"),
        # The hour that comes twice: the earlier one; the hour that never comes: as winter time has it.
        ("20251026023000", "20251026003000"),
        ("20260329023000", "20260329013000"),
    ],
)
def test_a_time_without_a_zone_is_norwegian(value: str, dtm: str) -> None:
    """In winter an hour before UTC, in summer two."""
    assert hl7v3.moment(value) == Moment(dtm, value[:8], assumed=True)


@pytest.mark.parametrize("value", ["2026", "202603", "20260311"])
@pytest.mark.parametrize("zone", ["", "+0100", "-1200", "Z"])
def test_a_date_stays_the_date_it_is(value: str, zone: str) -> None:
    """There is no midnight to convert."""
    assert hl7v3.moment(value + zone) == Moment(value, value)


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "26", "20261", "20261301", "20260230", "20260311240000", "20260311235960",
        "20260311104500+1500", "20260311104500+0160", "20260311104500 +0100", "2026.5", "20260311.1",
        "2026-03-11", "2026-03-11T10:45:00Z", "00000101", "000101010000+0100", "999912312359-0100",
        "٢٠٢٦", "20260311104500+01000",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: str) -> None:
    """Nothing is guessed of it, and it is not quoted."""
    with pytest.raises(DataTypeError) as caught:
        hl7v3.moment(value)

    assert not value or value not in str(caught.value)


@pytest.mark.parametrize(
    ("inner", "attributes", "low", "high"),
    [
        ('<low value="20260309"/><high value="20260311"/>', "", "20260309", "20260311"),
        ('<low value="20260309"/><high nullFlavor="UNK"/>', "", "20260309", None),
        ('<high value="20260311"/>', "", None, "20260311"),
        ("", 'value="20260310"', "20260310", "20260310"),
        ('<center value="20260310"/>', "", None, None),
        ("<low/><high/>", "", None, None),
    ],
)
def test_an_interval_has_the_ends_it_names(
    inner: str, attributes: str, low: str | None, high: str | None
) -> None:
    """A point in time begins and ends; a centre tells neither."""
    found = hl7v3.interval(element(inner, attributes))

    assert [None if each is None else each.dtm for each in found] == [low, high]


@pytest.mark.parametrize(
    ("root", "extension", "unique_id", "authority"),
    [
        ("2.16.578.1.12", "A/1", "2.16.578.1.12^A/1", "2.16.578.1.12"),
        (" 2.16.578.1.12 ", " ", "2.16.578.1.12", "2.16.578.1.12"),
        ("urn:oid:2.16.578.1.12", "", "2.16.578.1.12", "2.16.578.1.12"),
        ("00000000-0000-0000-0000-00000000000A", "", "00000000-0000-0000-0000-00000000000A", "2.25.10"),
    ],
)
def test_an_identifier_is_a_root_and_perhaps_an_extension(
    root: str, extension: str, unique_id: str, authority: str
) -> None:
    """A UUID is an OID too, where one is asked for."""
    found = hl7v3.identifier(element("", f'root="{root}" extension="{extension}"'))

    assert found is not None
    assert (found.unique_id, found.authority) == (unique_id, authority)


@pytest.mark.parametrize("root", ["", "1", "1..2", "LOCAL", "http://example.org", "1.2.03", "2.16.^"])
def test_a_root_that_is_neither_oid_nor_uuid_identifies_nothing(root: str) -> None:
    """Such an id is not there."""
    assert hl7v3.identifier(element("", f'root="{root}" extension="1"')) is None


def test_a_code_has_its_translations_behind_it() -> None:
    """Those without a system are no codes."""
    found = hl7v3.codes(
        element(
            '<translation code="B" codeSystem="1.2.4" displayName=" To  ord "/>'
            '<translation code="C"/><translation nullFlavor="UNK" code="D" codeSystem="1.2.5"/>',
            'code="A" codeSystem="urn:oid:1.2.3"',
        )
    )

    assert found == [Code("A", "1.2.3"), Code("B", "1.2.4")]
    assert [each.display for each in found] == [None, "To ord"]


@pytest.mark.parametrize(
    ("inner", "xpn"),
    [
        ("<given>Tuva</given><family>Fjell</family>", "Fjell^Tuva"),
        (
            "<given>A</given><given>B</given><given>C</given><family>De</family><family>F</family>",
            "De F^A^B C",
        ),
        ("<prefix>Dr.</prefix><given>A</given><family>B</family><suffix>jr.</suffix>", "B^A^^jr.^Dr."),
        ("Tuva\n Fjell", "Tuva Fjell"),
        ("<given>Tuva</given><given nullFlavor='UNK'/>", "Tuva"),
        ("<given>A^B</given><family>C&amp;D</family>", r"C\T\D^A\S\B"),
        ("<given> </given>", ""),
        ("", ""),
    ],
)
def test_a_name_is_read_by_its_parts(inner: str, xpn: str) -> None:
    """Or as a whole when it has no family name."""
    assert str(hl7v3.person_name(element(inner)) or "") == xpn


@pytest.mark.parametrize(
    ("inner", "xad"),
    [
        ("<streetAddressLine>Gata 1</streetAddressLine><city>Oslo</city>", "Gata 1^^Oslo"),
        ("<streetName>Gata</streetName><houseNumber>1</houseNumber>", "Gata 1"),
        ("<postalCode>0155</postalCode>", "^^^^0155"),
        ("<state>Viken</state><country>NO</country>", "^^^Viken^^NO"),
        ("Gata 1, Oslo", "Gata 1, Oslo"),
        ("", ""),
    ],
)
def test_an_address_is_read_by_its_parts(inner: str, xad: str) -> None:
    """Or as a whole when it has none."""
    assert hl7v3.address(element(inner)) == xad


@pytest.mark.parametrize(
    ("attributes", "xtn"),
    [
        ('value="tel:+4722000000" use="WP"', "^WPN^PH^^^^^^^^^+4722000000"),
        ('value="tel:91000000" use="HP MC"', "^PRN^CP^^^^^^^^^91000000"),
        ('value="fax:22000001"', "^^FX^^^^^^^^^22000001"),
        ('value="22 00 00 00"', "^^PH^^^^^^^^^22 00 00 00"),
        ('value="MAILTO:a@example.org"', "^^Internet^a@example.org"),
        ('value="a@example.org"', "^^Internet^a@example.org"),
        ('value="mailto:a%5Eb@example.org"', r"^^Internet^a\S\b@example.org"),
        ('value="http://example.org"', None),
        ('value="tel:"', None),
        ('value="ring meg"', None),
        ("", None),
    ],
)
def test_a_telecommunication_is_read_by_its_scheme(attributes: str, xtn: str | None) -> None:
    """Addresses on the web are none."""
    found = hl7v3.telecommunication(element("", attributes))

    assert (None if found is None else str(found)) == xtn


@pytest.mark.parametrize(
    ("code", "scheme", "sex"),
    [
        ("M", "2.16.840.1.113883.5.1", "M"),
        ("UN", "2.16.840.1.113883.5.1", "O"),
        ("2", "2.16.578.1.12.4.1.1.3101", "F"),
        ("0", "2.16.578.1.12.4.1.1.3101", "U"),
        ("M", "1.2.3", ""),
    ],
)
def test_sex_is_told_by_both_systems(code: str, scheme: str, sex: str) -> None:
    """The letter of an unknown system says nothing."""
    assert hl7v3.sex(element("", f'code="{code}" codeSystem="{scheme}"')) == sex


def test_what_a_null_flavor_empties_is_not_there() -> None:
    """Nor what stands in it."""
    root = element('<a nullFlavor="NI"><b/></a><a><b nullFlavor="UNK"/><b code="1"/></a><c/>')

    assert [each.get("code") for each in hl7v3.elements(root, "a/b")] == ["1"]
    assert hl7v3.first(root, "a/b/c") is None
