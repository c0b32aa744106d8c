"""Norwegian national numbers: which of them are valid, and who gave them out.

The registry asks `is_valid` about the ids of patients; the command line makes a patient id of a bare number
with `authority_of`, and the demo a number that nobody has. It never says why a number is wrong, and must
never quote one. Nothing can be read from a number but its kind: from 2032 neither sex nor century can.
"""

from __future__ import annotations

from datetime import date
from typing import Final

#: Who gives out the numbers (Norwegian identifier systems under 2.16.578.1.12.4.1.4): fødselsnummer,
#: D-nummer, felles hjelpenummer.
NATIONAL: Final = "2.16.578.1.12.4.1.4.1"
TEMPORARY: Final = "2.16.578.1.12.4.1.4.2"
SHARED_HELP: Final = "2.16.578.1.12.4.1.4.3"
AUTHORITIES: Final = frozenset({NATIONAL, TEMPORARY, SHARED_HELP})

#: What is added to the month. Tenor (80) and Norsk helsenett (65) have series of synthetic persons.
_SYNTHETIC: Final = (80, 65)
#: Also added to the month: by NAV's synthetic Dolly, and by each enterprise for help numbers of its own.
_LOCAL: Final = 40

_FIRST: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0)
_SECOND: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
#: From 2032 the first control digit may leave any of these (Skatteetaten); until then only 0 is given out.
_REMAINDERS: Final = frozenset({0, 1, 2, 3})


def is_valid(number: str, authority: str, *, local: bool = False) -> bool:
    """Whether this is a number that `authority`, one of AUTHORITIES, gives out, or a synthetic one like it.

    Without `local`, a month raised by 40 is refused: such a number means somebody else in each enterprise
    (KITH 1001:2010), and so must not be a patient id between them.
    """
    return (
        authority in AUTHORITIES
        and has_control_digits(number)
        and authority == authority_of(number)
        and (authority == SHARED_HELP or _has_date(number, local=local))
    )


def authority_of(number: str) -> str:
    """Who gives out numbers that begin like these 11 digits."""
    if number[0] in "89":
        return SHARED_HELP
    return TEMPORARY if number[0] in "4567" else NATIONAL


def is_local(number: str) -> bool:
    """Whether the month of these 11 digits is raised by 40."""
    return number[0] not in "89" and number[2] in "45"


def has_control_digits(number: str) -> bool:
    """Whether this is 11 digits of which the last two fit the others."""
    return (
        len(number) == 11
        and number.isascii()
        and number.isdigit()
        and _sum(_FIRST, number) % 11 in _REMAINDERS
        and _sum(_SECOND, number) % 11 == 0
    )


def with_control_digits(nine: str) -> str | None:
    """The number of 11 digits that begins with these nine; None when no such number is given out."""
    first = -_sum(_FIRST, nine) % 11
    if first == 10:
        return None
    second = -_sum(_SECOND, f"{nine}{first}") % 11
    return None if second == 10 else f"{nine}{first}{second}"


def _has_date(number: str, *, local: bool) -> bool:
    """Whether the first six digits are a date; the day may be raised by 40, the month by a series."""
    day, month, year = int(number[:2]), int(number[2:4]), int(number[4:6])
    for more in (*_SYNTHETIC, _LOCAL) if local else _SYNTHETIC:
        if month > more:
            month -= more
            break
    try:
        date(2000 + year, month, day - 40 if day > 40 else day)  # a leap year in one century is one in 2000's
    except ValueError:
        return False
    return True


def _sum(weights: tuple[int, ...], digits: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False))
