"""National numbers as patient ids; every number here is synthetic or belongs to nobody."""

from __future__ import annotations

import pytest

from xds.client.patients import patient_id
from xds.errors import DataTypeError
from xds.metadata.national import with_control_digits

FNR, DNR, FH = "2.16.578.1.12.4.1.4.1", "2.16.578.1.12.4.1.4.2", "2.16.578.1.12.4.1.4.3"


@pytest.mark.parametrize("number", ["17855599120", "29844697323", "27888498775", "29698496140"])
def test_a_synthetic_number_has_the_authority_of_national_numbers(number: str):
    """The series of Tenor (month + 80) and of NHN (month + 65)."""
    assert patient_id(f" {number} ") == f"{number}^^^&{FNR}&ISO"


@pytest.mark.parametrize(("nine", "authority"), [("578555991", DNR), ("878555991", FH), ("978555992", FH)])
def test_the_first_digit_tells_d_numbers_and_fh_numbers(nine: str, authority: str):
    """Day + 40 is a D-number; 8 or 9 is a shared help number."""
    number = with_control_digits(nine)
    assert number is not None
    assert patient_id(number) == f"{number}^^^&{authority}&ISO"


def test_control_digits_are_those_of_the_rule():
    """Worked out by hand for 178555991: 3·1+7·7+6·8+1·5+8·5+9·5+4·9+5·9+2·1 = 273 = 24·11 + 9, so K1 = 2.

    5·1+4·7+3·8+2·5+7·5+6·5+5·9+4·9+3·1+2·2 = 220 = 20·11, so K2 = 0.
    """
    assert with_control_digits("178555991") == "17855599120"


def test_some_numbers_are_never_given_out():
    """2·6 = 12, and only 10 more would make it divisible by 11: no digit is 10."""
    assert with_control_digits("000000006") is None


def test_the_first_control_digit_may_leave_a_remainder_of_three_from_2032():
    """K1 one, two or three higher than the old rule's, with the K2 that belongs to it."""
    # 178555991: K1 = 2 by the old rule. With K1 = 5 (remainder 3) the sum for K2 is 226 = 20·11 + 6, K2 = 5.
    assert patient_id("17855599155") == f"17855599155^^^&{FNR}&ISO"
    # With K1 = 6 the remainder is 4: never given out. 216 + 12 = 228 = 20·11 + 8, so K2 = 3.
    with pytest.raises(DataTypeError, match="control digits"):
        patient_id("17855599163")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("17855599121", "control digits"),
        ("1785559912", "11 digits"),
        ("", "11 digits"),
        ("1785559912a", "11 digits"),
        ("\u0661" * 11, "11 digits"),
        ("13527248013", "local help number"),
        ("1^^^1.2.3", "id^^^&OID&ISO"),
    ],
)
def test_what_is_no_patient_id_is_refused_without_being_quoted(text: str, said: str):
    """The sentence says what is wanted, and never repeats a number that may be somebody's."""
    with pytest.raises(DataTypeError) as caught:
        patient_id(text)
    assert said in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_whole_patient_id_is_taken_as_it_is():
    """Any authority, any id."""
    assert patient_id("abc^^^&1.2.3&ISO") == "abc^^^&1.2.3&ISO"
