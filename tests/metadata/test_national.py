"""National numbers: every number here is synthetic, or belongs to nobody."""

from __future__ import annotations

import pytest

from xds.metadata import national
from xds.metadata.national import NATIONAL, SHARED_HELP, TEMPORARY, is_valid, with_control_digits


def made(nine: str) -> str:
    """The whole number that begins with these nine digits."""
    number = with_control_digits(nine)
    assert number is not None
    return number


@pytest.mark.parametrize(
    "number",
    ["17855599120", "29844697323", "27888498775", "06828399789", "29698496140", "13717404089"],
)
def test_synthetic_persons_have_national_numbers(number: str) -> None:
    """The series of Tenor (month + 80) and of Norsk helsenett (month + 65)."""
    assert is_valid(number, NATIONAL)


@pytest.mark.parametrize(
    ("nine", "authority"),
    [
        ("178555991", NATIONAL),
        ("578555991", TEMPORARY),  # day 17 + 40, month 5 + 80
        ("570855993", TEMPORARY),
        ("878555991", SHARED_HELP),  # carries no date
        ("999999991", SHARED_HELP),
    ],
)
def test_a_number_is_valid_under_the_oid_of_its_kind_only(nine: str, authority: str) -> None:
    """A fødselsnummer under the D-number's OID names nobody."""
    number = made(nine)
    assert [each for each in sorted(national.AUTHORITIES) if is_valid(number, each)] == [authority]


def test_a_month_raised_by_40_is_valid_only_where_it_is_asked_for() -> None:
    """It is a help number of some enterprise, or one of Dolly's persons; nobody can tell which."""
    assert not is_valid("13527248013", NATIONAL)
    assert is_valid("13527248013", NATIONAL, local=True)
    assert not is_valid("68467038838", TEMPORARY)
    assert is_valid("68467038838", TEMPORARY, local=True)


@pytest.mark.parametrize(
    "nine",
    [
        "328555991",  # 32 May
        "728555991",  # 32 + 40
        "009355991",  # day 0
        "179355991",  # month 93 = 13 + 80
        "176555991",  # month 65: the synthetic month 0
        "171355991",  # month 13
        "308255991",  # 30 February
        "298255991",  # 29 February 1955, 1855 or 2055: none was or will be a leap year
    ],
)
def test_a_number_without_a_date_is_not_valid(nine: str) -> None:
    """Right control digits are not enough."""
    number = with_control_digits(nine)
    if number is None:  # no such number is given out at all
        number = next(filter(None, (with_control_digits(nine[:8] + digit) for digit in "0123456789")))
    authority = national.authority_of(number)
    assert authority in (NATIONAL, TEMPORARY)
    assert national.has_control_digits(number)
    assert not is_valid(number, authority)


def test_the_leap_day_of_2000_is_a_date() -> None:
    """Year 00 may be 2000, which had one."""
    number = next(filter(None, (with_control_digits(f"29820050{digit}") for digit in range(10))))
    assert is_valid(number, NATIONAL)


@pytest.mark.parametrize("number", ["", "1785559912", "178555991200", "1785559912a", "١٧٨٥٥٥٩٩١٢٠"])
def test_what_is_not_eleven_digits_is_not_valid(number: str) -> None:
    """Nor do digits of other scripts count."""
    assert not is_valid(number, NATIONAL)


def test_another_authority_gives_out_no_national_numbers() -> None:
    """Whatever the number looks like."""
    assert not is_valid("17855599120", "1.2.3")


@pytest.mark.parametrize("place", range(11))
def test_every_single_wrong_digit_is_noticed(place: int) -> None:
    """What control digits are for; from 2032 the first one notices less, the second still all."""
    right = "17855599120"
    for digit in "0123456789":
        wrong = right[:place] + digit + right[place + 1 :]
        assert is_valid(wrong, NATIONAL) == (digit == right[place])
