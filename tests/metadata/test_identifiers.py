"""Norwegian identifiers: forms, OIDs, and what HL7 text names; national numbers are in test_national.py."""

from __future__ import annotations

import random

import pytest

from tests.metadata.test_national import MAKERS, OLD, numbers, people
from xds.errors import DataTypeError
from xds.metadata.datatypes import CX, XCN, XON
from xds.metadata.identifiers import (
    DUF,
    ENTERPRISE,
    HER,
    HPR,
    NAMED_DEPARTMENT,
    PHARMACY,
    RESH,
    Identifier,
    Organisation,
    Person,
    authority_of_patient,
    department,
    hpr_number,
    is_duf_number,
    is_organisation_number,
    is_register_id,
    organisation,
    patient,
    person,
    read_oid,
    write_patient,
)
from xds.metadata.national import NATIONAL, SHARED_HELP, TEMPORARY

KNOWN = ["994598759", "993467049", "874716782", "983974880", "914637651", "975298744", "974589095"]
TENOR, D_TENOR, DOLLY, FH = "17855599120", "57855599114", "13527248013", "88888810182"

# ---- numbers


@pytest.mark.parametrize("number", KNOWN)
def test_known_organisation_numbers_are_such(number: str) -> None:
    """And none is with another digit in any place."""
    assert is_organisation_number(number)
    for place in range(9):
        for digit in "0123456789":
            wrong = f"{number[:place]}{digit}{number[place + 1 :]}"
            assert is_organisation_number(wrong) == (wrong == number)


def test_generated_organisation_numbers_follow_the_rule() -> None:
    """Eleven less the remainder; 11 is written 0, and 10 makes no number."""
    chance = random.Random("organisations")
    for _ in range(2_000):
        eight = f"{chance.randrange(10**8):08}"
        rest = sum(int(digit) * weight for digit, weight in zip(eight, (3, 2, 7, 6, 5, 4, 3, 2), strict=True))
        check = 11 - rest % 11
        expected = [] if check == 10 else [f"{eight}{check % 11}"]
        assert [
            f"{eight}{digit}" for digit in range(10) if is_organisation_number(f"{eight}{digit}")
        ] == expected


@pytest.mark.parametrize("text", ["", "99459875", "9945987590", "99459875a", "994 598 759", "٩٩٤٥٩٨٧٥٩"])
def test_what_is_not_nine_digits_is_no_organisation_number(text: str) -> None:
    """The rule says digits; readers take blanks away before they ask."""
    assert not is_organisation_number(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9144889", "9144889"),
        ("009144897", "9144897"),
        ("0009144900", "9144900"),
        ("1", "1"),
        ("999999990", "999999990"),
        ("1234567890", ""),
        ("0", ""),
        ("000", ""),
        ("", ""),
        ("914488a", ""),
        ("-1", ""),
        ("٩", ""),
    ],
)
def test_an_hpr_number_has_one_to_nine_digits_after_its_zeros(text: str, number: str) -> None:
    """Some systems fill it up to nine digits, others do not."""
    assert hpr_number(text) == number


@pytest.mark.parametrize(("text", "right"), [("4208723", True), ("1", True), ("", False), ("42a", False)])
def test_ids_of_registers_are_digits(text: str, right: bool) -> None:
    """RESH-id and HER-id."""
    assert is_register_id(text) == right
    assert Identifier(text, RESH).is_well_formed() == Identifier(text, HER).is_well_formed() == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("201512345678", True),
        ("199912345678", True),
        ("301512345678", False),
        ("20151234567", False),
        ("2015123456789", False),
        ("", False),
    ],
)
def test_a_duf_number_begins_with_a_year(text: str, right: bool) -> None:
    """Twelve digits in all."""
    assert is_duf_number(text) == right


@pytest.mark.parametrize(
    ("identifier", "right"),
    [
        (Identifier(KNOWN[0], ENTERPRISE), True),
        (Identifier("994598758", ENTERPRISE), False),
        (Identifier("9144889", HPR), True),
        (Identifier("914488a", HPR), False),
        (Identifier("201512345678", DUF), True),
        (Identifier("123", DUF), False),
        (Identifier("Avdeling for testing", NAMED_DEPARTMENT), True),
        (Identifier("A-17", PHARMACY), True),  # no source tells its form
        (Identifier("anything", "1.2.3"), True),
        (Identifier("anything"), True),
        (Identifier(FH, SHARED_HELP), True),
        (Identifier(FH, NATIONAL), False),
        (Identifier(TENOR, NATIONAL), False),
    ],
)
def test_each_system_has_numbers_of_its_form(identifier: Identifier, right: bool) -> None:
    """A system whose form is not known takes what it gave out."""
    assert identifier.is_well_formed() == right


def test_a_synthetic_number_is_well_formed_in_a_test() -> None:
    """As everywhere."""
    assert Identifier(TENOR, NATIONAL).is_well_formed(test=True)


# ---- whose a bare number is


@pytest.mark.parametrize("sort", MAKERS)
def test_a_bare_number_belongs_to_the_authority_of_its_kind(sort: str) -> None:
    """Synthetic ones to nobody outside a test."""
    maker = MAKERS[sort]
    for born, individual in people(f"bare {sort}", 100):
        for number in numbers(maker.nine(born, individual), OLD):
            assert authority_of_patient(number, test=maker.test) == maker.authority
            if maker.test:
                assert authority_of_patient(number) == ""


@pytest.mark.parametrize("number", ["", "4711", "17855599121", "201512345678", "994598759", "abc"])
def test_what_is_no_national_number_belongs_to_nobody_that_can_be_told(number: str) -> None:
    """Twelve digits may be a DUF-nummer, or anything else."""
    assert authority_of_patient(number, test=True) == ""


# ---- OIDs


@pytest.mark.parametrize(
    ("text", "oid"),
    [
        ("2.16.578.1.12.4.1.4.4", HPR),
        ("urn:oid:2.16.578.1.12.4.1.4.4", HPR),
        ("oid:2.16.578.1.12.4.1.4.4", HPR),
        ("urn: oid:2.16.578.1.12.4.1.4.4", HPR),
        (" URN:OID:2.16.578.1.12.4.1.4.4 ", HPR),
        ("2.16.578.1.12.4.1.101", ENTERPRISE),
        ("urn:oid:2.16.578.1.12.4.1.102", RESH),
        ("http://hl7.no/fhir/NamingSystem/HPR", ""),
        ("Ukjent", ""),
        ("*****", ""),
        ("", ""),
        ("urn:oid:", ""),
        ("1", ""),
        ("1..2", ""),
        ("2.16.578.1.12.4.1.4.04", ""),
        ("2.16.578.1.12.4.1.4.4 HPR", ""),
    ],
)
def test_an_oid_is_read_in_each_of_the_forms_that_are_sent(text: str, oid: str) -> None:
    """What is none is none."""
    assert read_oid(text) == oid


# ---- people


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"9144889^Fjell^Tuva^^^^^^&{HPR}&ISO", Person(Identifier("9144889", HPR), "Fjell", "Tuva")),
        (f"009144889^Fjell^Tuva^^^^^^&{HPR}&ISO", Person(Identifier("9144889", HPR), "Fjell", "Tuva")),
        (f"9144889^Fjell^Tuva^^^^^^HPR&{HPR}&ISO", Person(Identifier("9144889", HPR), "Fjell", "Tuva")),
        (f"9144889^Fjell^^^^^^^&urn:oid:{HPR}&ISO", Person(Identifier("9144889", HPR), "Fjell")),
        (f"9144889^Fjell^^^^^^^&{HPR}", Person(Identifier("9144889", HPR), "Fjell")),
        (f"9144889^Fjell^^^^^^^{HPR}", Person(Identifier("9144889", HPR), "Fjell")),
        (f"9144889^Fjell^^^^^^^&amp;{HPR}&amp;ISO", Person(Identifier("9144889", HPR), "Fjell")),
        (f"9144889^Fjell^^^^^^^&amp;amp;{HPR}&amp;amp;ISO", Person(Identifier("9144889", HPR), "Fjell")),
        (f"9144889^Fjell^^^^^^^\\u0026{HPR}\\u0026ISO", Person(Identifier("9144889", HPR), "Fjell")),
        ("9144889^Fjell^^^^^^^Ukjent", Person(Identifier("9144889"), "Fjell")),
        (f"9144889^Fjell^^^^^^^{HPR}&1.2.3&ISO", Person(Identifier("9144889"), "Fjell")),  # which of the two?
        ("9144889^Fjell", Person(Identifier("9144889"), "Fjell")),  # whoever gave it out
        ("9144889", Person(Identifier("9144889"))),
        ("^Fjell^Tuva^Maria^jr.^dr.^ph.d.", Person(None, "Fjell", "Tuva", "Maria", "jr.", "dr.", "ph.d.")),
        ("^Fjell&van", Person(None, "Fjell")),
        ("^^Tuva", Person(None, "", "Tuva")),
        ("Tuva Fjell", Person(None, "Tuva Fjell")),
        ("tuva", Person(Identifier("tuva"))),  # component 1 is an id, and this may be one
        ("^Fjell\\T\\Berg", Person(None, "Fjell&Berg")),
        ("^Fjell\\Berg", Person(None, "Fjell\\Berg")),
        (f"{D_TENOR}^Fjell^^^^^^^&{NATIONAL}&ISO", Person(Identifier(D_TENOR, TEMPORARY), "Fjell")),
        ("  ", None),
        ("", None),
        ("^^^^^^^^", None),
        (f"^^^^^^^^&{HPR}&ISO", None),
    ],
)
def test_a_person_is_read_from_what_can_only_be_meant_one_way(text: str, expected: Person | None) -> None:
    """Nothing is guessed, and nothing raises."""
    assert person(text, test=True) == expected


@pytest.mark.parametrize(
    "expected",
    [
        Person(Identifier("9144889", HPR), "Fjell", "Tuva"),
        Person(Identifier("9144889"), "Fjell"),
        Person(None, "Fjell & Berg", "T^uva", "x|y", "~", "dr.", "a\\b"),
    ],
)
def test_a_person_is_written_as_a_strict_xcn(expected: Person) -> None:
    """Which the strict type reads, and the tolerant reader as well."""
    assert str(XCN.parse(str(expected))) == str(expected)
    assert person(str(expected)) == expected


def test_a_person_is_written_as_the_profile_has_it() -> None:
    """norwegian-profile 1.5."""
    written = str(Person(Identifier("9144889", HPR), "Fjell", "Tuva"))
    assert written == "9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"


# ---- organisations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"NORSK HELSENETT SF^^^^^&{ENTERPRISE}&ISO^^^^994598759",
            Organisation("NORSK HELSENETT SF", Identifier("994598759", ENTERPRISE)),
        ),
        (
            "NHN^^^^^&2.16.578.1.12.4.1.101&ISO^^^^994 598 759",
            Organisation("NHN", Identifier("994598759", ENTERPRISE)),
        ),
        (f"Medisin^^^^^&{RESH}&ISO^^^^4208723", Organisation("Medisin", Identifier("4208723", RESH))),
        (
            "Medisin^^^^^&2.16.578.1.12.4.1.102&ISO^^^^4208723",
            Organisation("Medisin", Identifier("4208723", RESH)),
        ),
        (f"Medisin^^4208723^^^&{RESH}&ISO", Organisation("Medisin", Identifier("4208723", RESH))),
        (f"^^^^^&{RESH}&ISO^^^^4208723", Organisation("", Identifier("4208723", RESH))),
        (f"Medisin^L^^^^&{RESH}&ISO^XX^^^4208723", Organisation("Medisin", Identifier("4208723", RESH))),
        (f"Medisin^^^^^&{NAMED_DEPARTMENT}&ISO^^^^Medisin", department("Medisin")),
        (f"Medisin^^^^^&{NAMED_DEPARTMENT}&ISO", department("Medisin")),
        (f"^^^^^&{NAMED_DEPARTMENT}&ISO^^^^Medisin", department("Medisin")),
        ("Medisin", Organisation("Medisin")),
        ("Øre\\T\\nese", Organisation("Øre&nese")),
        ("Øre\\nese", Organisation("Øre\\nese")),
        (f"Medisin^^^^^&{RESH}&ISO", Organisation("Medisin")),
        ("NHN^^^^^^^^^994598759", Organisation("NHN", Identifier("994598759"))),
        ("NHN^^^^^http://x^^^^994598759", Organisation("NHN", Identifier("994598759"))),
        ("NHN^^^^^^^^^1.2.3", Organisation("NHN", Identifier("1.2.3"))),
        (f"NHN^^^^^&{ENTERPRISE}&ISO^^^^ukjent", Organisation("NHN", Identifier("ukjent", ENTERPRISE))),
        ("", None),
        (f"^^^^^&{RESH}&ISO", None),
        (f"^^^^^&{NAMED_DEPARTMENT}&ISO", None),
    ],
)
def test_an_organisation_is_read_from_what_can_only_be_meant_one_way(
    text: str, expected: Organisation | None
) -> None:
    """Nothing is guessed, and nothing raises."""
    assert organisation(text) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            Organisation("NORSK HELSENETT SF", Identifier("994598759", ENTERPRISE)),
            "NORSK HELSENETT SF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^994598759",
        ),
        (
            Organisation("Medisin", Identifier("4208723", RESH)),
            "Medisin^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4208723",
        ),
        (department("Øre & nese"), "Øre \\T\\ nese^^^^^&2.16.578.1.12.4.5.390&ISO^^^^Øre \\T\\ nese"),
        (Organisation("Medisin"), "Medisin"),
    ],
)
def test_an_organisation_is_written_as_the_profile_has_it(value: Organisation, text: str) -> None:
    """A strict XON (norwegian-profile 1.5), which is read back as it was."""
    assert str(value) == text == str(XON.parse(text))
    assert organisation(text) == value


# ---- patients


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{TENOR}^^^&{NATIONAL}&ISO", Identifier(TENOR, NATIONAL)),
        (f"{TENOR}^^^&urn:oid:{NATIONAL}&ISO", Identifier(TENOR, NATIONAL)),
        (f"{TENOR}^^^&amp;amp;{NATIONAL}&amp;amp;ISO", Identifier(TENOR, NATIONAL)),
        (f"{TENOR}^^^\\u0026{NATIONAL}\\u0026ISO", Identifier(TENOR, NATIONAL)),
        (f"{TENOR}^^^&{NATIONAL}&ISO^FNR^x", Identifier(TENOR, NATIONAL)),
        (f"{D_TENOR}^^^&{NATIONAL}&ISO", Identifier(D_TENOR, TEMPORARY)),
        (f"{FH}^^^&{NATIONAL}&ISO", Identifier(FH, SHARED_HELP)),
        (f"{DOLLY}^^^&{SHARED_HELP}&ISO", Identifier(DOLLY, NATIONAL)),
        (f" {TENOR} ", Identifier(TENOR, NATIONAL)),
        (D_TENOR, Identifier(D_TENOR, TEMPORARY)),
        (FH, Identifier(FH, SHARED_HELP)),
        (f"17855599121^^^&{NATIONAL}&ISO", Identifier("17855599121", NATIONAL)),  # is_well_formed says no
        ("4711", Identifier("4711")),
        ("4711^^^PAS", Identifier("4711")),
        ("47\\S\\11^^^&1.2.3&ISO", Identifier("47^11", "1.2.3")),
        (f"201512345678^^^&{DUF}&ISO", Identifier("201512345678", DUF)),
        ("", None),
        ("^^^&1.2.3&ISO", None),
    ],
)
def test_a_patient_is_read_from_what_can_only_be_meant_one_way(
    text: str, expected: Identifier | None
) -> None:
    """A national number under the OID of its kind, whichever of the three was named."""
    assert patient(text, test=True) == expected


def test_outside_a_test_an_h_number_has_no_authority() -> None:
    """Some send it as a felles hjelpenummer, and its enterprise did not say which it is."""
    for text in (DOLLY, f"{DOLLY}^^^&{SHARED_HELP}&ISO", f"{DOLLY}^^^&{NATIONAL}&ISO"):
        assert patient(text) == Identifier(DOLLY)
    assert patient(f"{DOLLY}^^^&1.2.3&ISO") == Identifier(DOLLY, "1.2.3")


def test_outside_a_test_a_synthetic_number_is_as_it_was_sent() -> None:
    """Alone it has no authority; with one it is not well formed."""
    assert patient(TENOR) == Identifier(TENOR)
    named = patient(f"{TENOR}^^^&{NATIONAL}&ISO")
    assert named == Identifier(TENOR, NATIONAL)
    assert not named.is_well_formed()


@pytest.mark.parametrize("value", [Identifier(FH, SHARED_HELP), Identifier("a&b", "1.2.3")])
def test_a_patient_is_written_as_a_strict_cx(value: Identifier) -> None:
    """Which is read back as it was."""
    text = write_patient(value)
    assert CX.parse(text) == CX(value.value, value.authority)
    assert patient(text) == value


@pytest.mark.parametrize("value", [Identifier("4711"), Identifier("", "1.2.3"), Identifier("1", "x")])
def test_a_patient_without_number_or_authority_is_not_written(value: Identifier) -> None:
    """A patient id is both, and the error quotes neither."""
    with pytest.raises(DataTypeError) as caught:
        write_patient(value)
    assert "4711" not in str(caught.value)
