"""National numbers: every number here is synthetic, or made by the rule and looked up nowhere.

`Maker` follows the text of the rule (Skatteetaten; norwegian-profile 1.4) and nothing of the code that is
tested: it tries every control digit and keeps those that fit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from operator import mul

import pytest

from xds.metadata import national
from xds.metadata.national import (
    NATIONAL,
    SHARED_HELP,
    TEMPORARY,
    Kind,
    NationalNumber,
    Series,
    age,
    age_on,
    is_surely_synthetic,
    is_valid,
    parse,
    with_control_digits,
)

FNR, DNR, HNR, FHNR = Kind.FODSELSNUMMER, Kind.D_NUMMER, Kind.H_NUMMER, Kind.FH_NUMMER
MANY = 10_000
DAY = timedelta(days=1)


K1, K2 = (3, 7, 6, 1, 8, 9, 4, 5, 2), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def weighed(digits: str, weights: tuple[int, ...]) -> int:
    """The weighted sum of the rule, to which the control digit is added with the weight 1."""
    return sum(map(mul, map(int, digits), weights))


def numbers(nine: str, remainders: set[int]) -> list[str]:
    """Every number of eleven digits that begins with these nine and leaves one of these remainders."""
    total = weighed(nine, K1)
    tens = [f"{nine}{first}" for first in range(10) if (total + first) % 11 in remainders]
    return [f"{ten}{second}" for ten in tens for second in range(10) if (weighed(ten, K2) + second) % 11 == 0]


OLD, NEW = {0}, {1, 2, 3}


@dataclass(frozen=True)
class Maker:
    """How numbers of one sort are written: what is added to day and month, and what they are."""

    day: int
    month: int
    kind: Kind
    authority: str
    series: Series = Series.NONE
    test: bool = False

    def nine(self, born: date, individual: int) -> str:
        """The nine digits before the control digits."""
        return f"{born.day + self.day:02}{born.month + self.month:02}{born.year % 100:02}{individual:03}"


MAKERS = {
    "fødselsnummer": Maker(0, 0, FNR, NATIONAL),
    "D-nummer": Maker(40, 0, DNR, TEMPORARY),
    "H-nummer": Maker(0, 40, HNR, ""),
    "D + H": Maker(40, 40, HNR, ""),
    "Tenor": Maker(0, 80, FNR, NATIONAL, Series.TENOR, test=True),
    "D + Tenor": Maker(40, 80, DNR, TEMPORARY, Series.TENOR, test=True),
    "NHN": Maker(0, 65, FNR, NATIONAL, Series.NHN, test=True),
    "D + NHN": Maker(40, 65, DNR, TEMPORARY, Series.NHN, test=True),
    "Dolly": Maker(0, 40, FNR, NATIONAL, Series.DOLLY, test=True),
    "D + Dolly": Maker(40, 40, DNR, TEMPORARY, Series.DOLLY, test=True),
}
SYNTHETIC = [name for name, maker in MAKERS.items() if maker.test]
#: The years of birth of each hundred of individual numbers, as the rule's table has them.
BORN = (
    (1854, 1899, 500, 749),
    (1900, 1999, 0, 499),
    (1940, 1999, 900, 999),
    (2000, 2039, 500, 999),
)


def people(seed: str, count: int) -> Iterator[tuple[date, int]]:
    """Birth dates with an individual number that the rule gives to them."""
    chance = random.Random(seed)
    for _ in range(count):
        first, last, low, high = chance.choice(BORN)
        days = (date(last, 12, 31) - date(first, 1, 1)).days
        yield date(first, 1, 1) + DAY * chance.randint(0, days), chance.randint(low, high)


def made(nine: str) -> str:
    """The whole number that begins with these nine digits."""
    number = with_control_digits(nine)
    assert number is not None
    return number


def some(nine: str) -> str:
    """A number that begins with these eight digits, whatever the ninth must be."""
    return next(number for last in range(10) for number in numbers(f"{nine[:8]}{last}", OLD))


# ---- many numbers of each kind


@pytest.mark.parametrize("era", ["old", "new"])
@pytest.mark.parametrize("sort", MAKERS)
def test_generated_numbers_are_what_they_were_made_to_be(sort: str, era: str) -> None:
    """With the OID of their kind; the birth date is in numbers of before 2032 only, and in no H-number."""
    maker, chance = MAKERS[sort], random.Random(f"{sort} {era}")
    remainders = OLD if era == "old" else NEW
    count = MANY // 2 // sum(each.kind is maker.kind for each in MAKERS.values())  # MANY of each kind
    seen = 0
    for born, individual in people(f"{sort}{era}", 2 * count):
        if seen == count:
            break
        if not (fitting := numbers(maker.nine(born, individual), remainders)):
            continue  # such a number is not given out
        seen += 1
        number = chance.choice(fitting)
        told = born if era == "old" and maker.kind is not HNR else None
        expected = NationalNumber(number, maker.kind, maker.series, maker.authority, told)
        assert parse(number, test=maker.test) == expected
        assert expected.is_synthetic == maker.test
        if seen % 10 == 0:
            for authority in national.AUTHORITIES:
                assert is_valid(number, authority, test=maker.test) == (authority == maker.authority)
    assert seen == count


def test_generated_felles_hjelpenummer_have_no_date() -> None:
    """The first digit is 8 or 9, and the rest says nothing: in every era, in a test or not."""
    chance = random.Random("FH")
    for _ in range(MANY // 2):
        nine = f"{chance.choice('89')}{chance.randrange(10**8):08}"
        for number in numbers(nine, OLD | NEW):
            expected = NationalNumber(number, FHNR, Series.NONE, SHARED_HELP, None)
            assert parse(number) == expected
            assert parse(number, test=True) == expected


def test_ten_thousand_numbers_of_today_have_the_control_digits_that_are_made_here() -> None:
    """Nine digits either have the one number that the rule makes, or none at all."""
    chance = random.Random("control digits")
    for _ in range(MANY):
        nine = f"{chance.randrange(10**9):09}"
        number = with_control_digits(nine)
        first, second = -weighed(nine, K1) % 11, None
        if first < 10:
            second = -weighed(f"{nine}{first}", K2) % 11
        assert number == (f"{nine}{first}{second}" if second is not None and second < 10 else None)


@pytest.mark.parametrize("sort", MAKERS)
def test_a_number_with_another_control_digit_is_none(sort: str) -> None:
    """Each of the nine others in either place, for numbers of both eras."""
    maker = MAKERS[sort]
    for born, individual in people(f"wrong {sort}", 20):
        for number in numbers(maker.nine(born, individual), OLD | NEW):
            for place, digit in product((9, 10), "0123456789"):
                wrong = f"{number[:place]}{digit}{number[place + 1 :]}"
                assert (parse(wrong, test=True) is not None) == (digit == number[place])


@pytest.mark.parametrize("place", range(11))
def test_every_single_wrong_digit_is_noticed(place: int) -> None:
    """What control digits are for; from 2032 the first one notices less, the second still all."""
    right = "17855599120"
    for digit in "0123456789":
        wrong = right[:place] + digit + right[place + 1 :]
        assert is_valid(wrong, NATIONAL, test=True) == (digit == right[place])


@pytest.mark.parametrize("remainder", range(11))
def test_the_first_control_digit_may_leave_0_to_3(remainder: int) -> None:
    """Both rules hold side by side; what leaves more is given out in neither time."""
    for number in [
        each for born, tail in people("r", 20) for each in numbers(f"{born:%d%m%y}{tail:03}", {remainder})
    ]:
        assert (parse(number) is not None) == (remainder <= 3)


# ---- synthetic people


@pytest.mark.parametrize(
    ("number", "series"),
    [
        *((number, Series.TENOR) for number in ("17855599120", "29844697323", "27888498775", "06828399789")),
        *((number, Series.TENOR) for number in ("05898597468", "02850097219", "11845599620", "10915596784")),
        *((number, Series.NHN) for number in ("29698496140", "13717404089")),
    ],
)
def test_the_published_synthetic_people_are_numbers_in_tests_only(number: str, series: Series) -> None:
    """The samples of norwegian-profile 1.4."""
    found = parse(number, test=True)
    assert found is not None
    assert (found.kind, found.series, found.authority) == (FNR, series, NATIONAL)
    assert is_surely_synthetic(number)
    assert parse(number) is None
    assert not is_valid(number, NATIONAL)


@pytest.mark.parametrize(
    ("number", "kind", "authority"), [("13527248013", FNR, NATIONAL), ("68467038838", DNR, TEMPORARY)]
)
def test_a_month_raised_by_40_is_dollys_in_tests_and_an_enterprises_elsewhere(
    number: str, kind: Kind, authority: str
) -> None:
    """Nobody can tell which by the number, so outside a test no authority's OID fits it."""
    dolly = parse(number, test=True)
    assert dolly is not None
    assert (dolly.kind, dolly.series, dolly.authority) == (kind, Series.DOLLY, authority)
    local = parse(number)
    assert local is not None
    assert (local.kind, local.series, local.authority, local.birth_date) == (HNR, Series.NONE, "", None)
    assert not local.is_synthetic
    assert not any(is_valid(number, each) for each in (*national.AUTHORITIES, ""))
    assert not is_surely_synthetic(number)
    assert is_valid(number, authority, test=True)


@pytest.mark.parametrize("sort", SYNTHETIC)
def test_generated_synthetic_numbers_are_nobodys_outside_a_test(sort: str) -> None:
    """No authority gives them out, and no age is read from them."""
    for born, individual in people(f"outside {sort}", 200):
        for number in numbers(MAKERS[sort].nine(born, individual), OLD | NEW):
            assert not any(is_valid(number, authority) for authority in national.AUTHORITIES)
            assert age(number, MAKERS[sort].authority, date(2040, 1, 1)) is None


# ---- dates


@pytest.mark.parametrize("raised", [0, 40], ids=["", "D"])
@pytest.mark.parametrize("series", [0, 80, 65, 40], ids=["", "Tenor", "NHN", "Dolly or H"])
def test_a_number_has_a_date_that_exists(series: int, raised: int) -> None:
    """Every day from 00 to 39 and month from 00 to 14, in a leap year, in another, and in 1900 or 2000."""
    for day, month, year in product(range(40), range(15), (0, 55, 56)):
        try:
            exists = bool(date(2000 + year, month, day))
        except ValueError:
            exists = False
        number = some(f"{day + raised:02}{month + series:02}{year:02}00")
        assert (parse(number, test=True) is not None) == exists


@pytest.mark.parametrize(
    ("date_part", "individual", "born"),
    [
        ("010154", 500, date(1854, 1, 1)),
        ("311299", 749, date(1899, 12, 31)),
        ("010153", 500, None),  # neither 1853 nor 1953 nor 2053
        ("010199", 750, None),
        ("010100", 0, date(1900, 1, 1)),
        ("311299", 499, date(1999, 12, 31)),
        ("010140", 900, date(1940, 1, 1)),
        ("311299", 999, date(1999, 12, 31)),
        ("010139", 900, date(2039, 1, 1)),
        ("010140", 899, None),
        ("010140", 500, None),
        ("010100", 500, date(2000, 1, 1)),
        ("311239", 999, date(2039, 12, 31)),
        ("290200", 500, date(2000, 2, 29)),
        ("290200", 0, None),  # 1900 was no leap year
        ("290296", 500, date(1896, 2, 29)),
        ("290204", 499, date(1904, 2, 29)),
    ],
)
def test_the_century_is_in_the_individual_number(date_part: str, individual: int, born: date | None) -> None:
    """At each end of each series; what no series has, tells no date."""
    found = parse(
        next(n for tail in (individual, *_near(individual)) for n in numbers(f"{date_part}{tail:03}", OLD))
    )
    assert found is not None
    assert found.birth_date == born


def _near(individual: int) -> range:
    """Others of the same series, for when the very one is not given out: away from the nearer end."""
    up = individual in (0, 500, 750, 900)
    return range(individual + 1, individual + 20) if up else range(individual - 1, individual - 20, -1)


def test_a_number_of_the_rule_from_2032_tells_no_date() -> None:
    """The register does: the same nine digits may be somebody's of another century."""
    found = parse(numbers("170555991", NEW)[0])
    assert found is not None
    assert found.birth_date is None
    old = parse(some("17055599"))
    assert old is not None
    assert old.birth_date == date(1955, 5, 17)


@pytest.mark.parametrize("number", ["", "1785559912", "178555991200", "1785559912a", "١٧٨٥٥٥٩٩١٢٠"])
def test_what_is_not_eleven_digits_is_not_valid(number: str) -> None:
    """Nor do digits of other scripts count."""
    assert parse(number, test=True) is None
    assert not is_valid(number, NATIONAL, test=True)
    assert not is_surely_synthetic(number)


def test_another_authority_gives_out_no_national_numbers() -> None:
    """Whatever the number looks like."""
    assert not is_valid("17855599120", "1.2.3", test=True)


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
    fitting = [each for each in sorted(national.AUTHORITIES) if is_valid(number, each, test=True)]
    assert fitting == [authority]
    assert national.authority_of(number) == authority


def test_a_number_is_not_shown_in_a_log() -> None:
    """Neither it nor the birth date."""
    assert not any(part in repr(parse("17855599120", test=True)) for part in ("1785", "1955", "datetime"))


# ---- ages


@pytest.mark.parametrize("years", [0, 1, 12, 13, 15, 16, 18, 100])
@pytest.mark.parametrize(
    "born",
    [
        date(2001, 5, 17),
        date(2000, 1, 1),
        date(1999, 12, 31),
        date(2004, 2, 28),
        date(2003, 3, 1),
        date(1900, 3, 1),
    ],
)
def test_a_year_is_complete_as_the_birthday_begins(born: date, years: int) -> None:
    """The day before, on the day, and the day after."""
    birthday = born.replace(year=born.year + years)
    before = years - 1 if years else None
    assert [age_on(born, birthday + DAY * n) for n in (-1, 0, 1)] == [before, years, years]


@pytest.mark.parametrize("years", [1, 2, 3, 5, 13, 15, 18, 99])
@pytest.mark.parametrize("born", [date(2000, 2, 29), date(2004, 2, 29)])
def test_whoever_was_born_on_a_leap_day_is_a_year_older_on_1_march(born: date, years: int) -> None:
    """In years that do not have the day."""
    first_of_march = date(born.year + years, 3, 1)
    ages = [age_on(born, first_of_march + DAY * n) for n in (-1, 0, 1)]
    assert ages == [years - 1, years, years]


@pytest.mark.parametrize(
    ("born", "years"),
    [(date(2012, 2, 29), 12), (date(2008, 2, 29), 16), (date(1996, 2, 29), 4), (date(1988, 2, 29), 12)],
)
def test_in_a_leap_year_the_leap_day_is_the_birthday(born: date, years: int) -> None:
    """2000 was a leap year, and 12 and 16 years lead from one to another."""
    birthday = date(born.year + years, 2, 29)
    assert [age_on(born, birthday + DAY * n) for n in (-1, 0, 1)] == [years - 1, years, years]


def test_1900_had_no_leap_day() -> None:
    """So those of 1896 were four on 1 March, although four years lead to leap years else."""
    assert [age_on(date(1896, 2, 29), date(1900, 2, 28)), age_on(date(1896, 2, 29), date(1900, 3, 1))] == [
        3,
        4,
    ]


def test_nobody_has_an_age_before_being_born() -> None:
    """Not even on the day before."""
    assert age_on(date(2026, 5, 17), date(2026, 5, 16)) is None
    assert age_on(date(2026, 5, 17), date(2026, 5, 17)) == 0


def test_an_age_is_read_from_a_number_under_its_own_oid() -> None:
    """17 May 1955, in a test; everything else has none."""
    today = date(2026, 5, 17)
    assert age("17855599120", NATIONAL, today, test=True) == 71
    assert age("17855599120", NATIONAL, today - DAY, test=True) == 70
    assert age("17855599120", NATIONAL, date(1955, 5, 16), test=True) is None
    for number, authority, test in (
        ("17855599120", NATIONAL, False),  # synthetic
        ("17855599120", TEMPORARY, True),
        ("17855599121", NATIONAL, True),
        ("17855599155", NATIONAL, True),  # of the rule from 2032
        ("88888810182", SHARED_HELP, False),
        ("13527248013", "", False),  # an enterprise's own
        ("", NATIONAL, True),
    ):
        assert age(number, authority, today, test=test) is None


def test_the_legal_ages_of_generated_people() -> None:
    """−1, 0 and +1 day around every twelfth and sixteenth birthday, read from the number."""
    for born, individual in people("ages", 300):
        for number in numbers(f"{born:%d%m%y}{individual:03}", OLD):
            for years in (12, 16, 18):
                try:
                    birthday = born.replace(year=born.year + years)
                except ValueError:
                    birthday = date(born.year + years, 3, 1)
                ages = [age(number, NATIONAL, birthday + DAY * n) for n in (-1, 0, 1)]
                assert ages == [years - 1, years, years]
