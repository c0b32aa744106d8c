"""Norwegian national numbers: which of them are valid, who gave them out, and what can be read from them.

The registry asks `is_valid` about the ids of patients, the readers of tickets `parse` about people, and the
gates `age`; the command line makes a patient id of a bare number with `authority_of`, and the demo a number
that nobody has. It never says why a number is wrong, and must never quote one. What cannot be read from a
number for certain (from 2032 sex and century, in an enterprise's own number everything) is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Final

#: Who gives out the numbers (Norwegian identifier systems under 2.16.578.1.12.4.1.4): fødselsnummer,
#: D-nummer, felles hjelpenummer.
NATIONAL: Final = "2.16.578.1.12.4.1.4.1"
TEMPORARY: Final = "2.16.578.1.12.4.1.4.2"
SHARED_HELP: Final = "2.16.578.1.12.4.1.4.3"
AUTHORITIES: Final = frozenset({NATIONAL, TEMPORARY, SHARED_HELP})


class Kind(Enum):
    """What kind of number it is; the value is its name in Norwegian."""

    FODSELSNUMMER = "fødselsnummer"
    D_NUMMER = "D-nummer"
    #: Of one enterprise only: the same number is somebody else in the next (KITH 1001:2010).
    H_NUMMER = "H-nummer"
    FH_NUMMER = "felles hjelpenummer"


class Series(Enum):
    """Whose synthetic person it is; the value is what the series adds to the month."""

    NONE = 0
    #: Skatteetaten's Tenor and TestID.
    TENOR = 80
    #: Norsk helsenett's.
    NHN = 65
    #: NAV's. Its numbers look like H-numbers, so that only a test can tell that they are none.
    DOLLY = 40


#: The greatest first, as what one adds is more than another does too.
_BY_MONTH: Final = (Series.TENOR, Series.NHN, Series.DOLLY)
#: Who gives out each kind. No OID fits an H-number: it must not leave its enterprise.
_AUTHORITY: Final = {
    Kind.FODSELSNUMMER: NATIONAL,
    Kind.D_NUMMER: TEMPORARY,
    Kind.H_NUMMER: "",
    Kind.FH_NUMMER: SHARED_HELP,
}

#: Added to the day in D-numbers.
_TEMPORARY_DAY: Final = 40
_FIRST: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0)
_SECOND: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
#: From 2032 the first control digit may leave any of these (Skatteetaten); until then only 0 is given out.
_REMAINDERS: Final = frozenset({0, 1, 2, 3})
#: Digits 7 to 9, and the years of birth for which they are given out (Skatteetaten, until 2032).
_YEARS: Final = (
    (range(500, 750), range(1854, 1900)),
    (range(0, 500), range(1900, 2000)),
    (range(900, 1000), range(1940, 2000)),
    (range(500, 1000), range(2000, 2040)),
)


@dataclass(frozen=True, slots=True)
class NationalNumber:
    """A valid number. Its repr tells the kind only, because it may end in a log.

    `authority`: the OID of who gives out its kind; empty for an H-number, which means nothing elsewhere.
    `birth_date`: None where the number does not tell for certain.
    """

    number: str = field(repr=False)
    kind: Kind
    series: Series
    authority: str
    birth_date: date | None = field(repr=False)

    @property
    def is_synthetic(self) -> bool:
        """Whether nobody has this number."""
        return self.series is not Series.NONE


def parse(number: str, *, test: bool = False) -> NationalNumber | None:
    """What this number is; None when there is no such number here.

    Synthetic numbers are numbers in a `test` only. There a month raised by 40 makes a person of Dolly's,
    elsewhere an H-number.
    """
    if not has_control_digits(number):
        return None
    if number[0] in "89":
        return NationalNumber(number, Kind.FH_NUMMER, Series.NONE, SHARED_HELP, None)
    day, month, year, individual = int(number[:2]), int(number[2:4]), int(number[4:6]), int(number[6:9])
    kind = Kind.FODSELSNUMMER
    if day > _TEMPORARY_DAY:
        kind, day = Kind.D_NUMMER, day - _TEMPORARY_DAY
    series = next((each for each in _BY_MONTH if month > each.value), Series.NONE)
    month -= series.value
    try:
        date(2000 + year, month, day)  # a leap year in any century is one in 2000's
    except ValueError:
        return None
    if series is Series.DOLLY and not test:
        # An enterprise may have guessed the date of somebody it could not ask.
        return NationalNumber(number, Kind.H_NUMMER, Series.NONE, _AUTHORITY[Kind.H_NUMMER], None)
    if series is not Series.NONE and not test:
        return None
    born = _birth_date(year, month, day, individual) if _is_of_the_old_rule(number) else None
    return NationalNumber(number, kind, series, _AUTHORITY[kind], born)


def is_valid(number: str, authority: str, *, test: bool = False) -> bool:
    """Whether this is a number that `authority`, one of AUTHORITIES, gives out, or in a `test` like it.

    A number in one enterprise only (KITH 1001:2010) is none: it must not be a patient id between them.
    """
    found = parse(number, test=test)
    return found is not None and found.authority == authority and authority in AUTHORITIES


def is_surely_synthetic(number: str) -> bool:
    """Whether nobody can have this number, in a test or not: Tenor's and Norsk helsenett's.

    Not Dolly's, which may be somebody's number in some enterprise.
    """
    found = parse(number, test=True)
    return found is not None and found.series in (Series.TENOR, Series.NHN)


def authority_of(number: str) -> str:
    """Who gives out numbers that begin like these 11 digits."""
    if number[0] in "89":
        return SHARED_HELP
    return TEMPORARY if number[0] in "4567" else NATIONAL


def is_local(number: str) -> bool:
    """Whether the month of these 11 digits is raised by 40."""
    return number[0] not in "89" and number[2] in "45"


def has_control_digits(number: str) -> bool:
    """Whether this is 11 digits of which the last two fit the others, by the rule of today or of 2032."""
    return (
        len(number) == 11
        and number.isascii()
        and number.isdigit()
        and _sum(_FIRST, number) % 11 in _REMAINDERS
        and _sum(_SECOND, number) % 11 == 0
    )


def with_control_digits(nine: str) -> str | None:
    """The number of 11 digits that begins with these nine; None when no such number is given out.

    By the rule of today: the nine begin up to three others from 2032.
    """
    first = -_sum(_FIRST, nine) % 11
    if first == 10:
        return None
    second = -_sum(_SECOND, f"{nine}{first}") % 11
    return None if second == 10 else f"{nine}{first}{second}"


def _is_of_the_old_rule(number: str) -> bool:
    """Whether the number may be older than 2032; the date in a newer one is the register's to tell."""
    return _sum(_FIRST, number) % 11 == 0


def _birth_date(year: int, month: int, day: int, individual: int) -> date | None:
    """The date by the series of individual numbers; None when no series, or not this date, fits."""
    fitting = [
        full
        for individuals, years in _YEARS
        if individual in individuals and (full := years.start // 100 * 100 + year) in years
    ]
    if len(fitting) != 1:
        return None
    try:
        return date(fitting[0], month, day)
    except ValueError:  # 29 February 1900
        return None


def _sum(weights: tuple[int, ...], digits: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False))


# ---- ages


def age_on(birth_date: date, day: date) -> int | None:
    """The years that somebody born then has completed when `day` begins; None when not yet born.

    A year is complete as the birthday begins. Whoever was born on 29 February completes it on 1 March in
    years without that day: no Norwegian statute says otherwise, and only then are all days of the year
    over. The ages of 12 and 16 come in leap years (but for 2100), so the choice bears on 13 to 15 and 18.
    """
    if birth_date > day:
        return None
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def age(number: str, authority: str, day: date, *, test: bool = False) -> int | None:
    """The age on `day` of who has this number; None whenever the number does not tell for certain."""
    found = parse(number, test=test)
    if found is None or found.birth_date is None or found.authority != authority:
        return None
    return age_on(found.birth_date, day)
