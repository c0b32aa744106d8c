"""Patient ids as people write them: a national number alone, or the whole `id^^^&OID&ISO`.

The command line reads its `--patient` with `patient_id`, and the demo makes a number nobody has. An error
must never quote the number.
"""

from __future__ import annotations

from typing import Final

from xds.errors import DataTypeError
from xds.metadata.datatypes import CX

#: Who gives out the numbers (Norwegian identifier systems under 2.16.578.1.12.4.1.4).
NATIONAL: Final = "2.16.578.1.12.4.1.4.1"
TEMPORARY: Final = "2.16.578.1.12.4.1.4.2"
SHARED_HELP: Final = "2.16.578.1.12.4.1.4.3"

_FIRST: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0)
_SECOND: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
#: From 2032 the first control digit may leave any of these (Skatteetaten); until then only 0 is given out.
_REMAINDERS: Final = frozenset({0, 1, 2, 3})


def patient_id(text: str) -> str:
    """`id^^^&OID&ISO` for an 11-digit national number, a D-number or an FH-number; a whole id is only
    checked.

    Raises DataTypeError.
    """
    text = text.strip()
    if "^" in text:
        return str(CX.parse(text))
    if not (len(text) == 11 and text.isascii() and text.isdigit()):
        raise DataTypeError("A patient is a number of 11 digits, or any other id written as 'ID^^^&OID&ISO'.")
    if not _has_control_digits(text):
        raise DataTypeError("The control digits of the number are wrong: look for a slip of the pen.")
    if text[0] in "89":
        return str(CX(text, SHARED_HELP))
    if text[2] in "45":
        # KITH 1001:2010: an H-number means something in one enterprise only, so no national OID fits it.
        raise DataTypeError(
            "This is a local help number (month + 40): write it with its authority, 'ID^^^&OID&ISO'."
        )
    return str(CX(text, TEMPORARY if text[0] in "4567" else NATIONAL))


def with_control_digits(nine: str) -> str | None:
    """The number of 11 digits that begins with these nine; None when no such number is given out."""
    first = -_sum(_FIRST, nine) % 11
    if first == 10:
        return None
    second = -_sum(_SECOND, f"{nine}{first}") % 11
    return None if second == 10 else f"{nine}{first}{second}"


def _has_control_digits(number: str) -> bool:
    return _sum(_FIRST, number) % 11 in _REMAINDERS and _sum(_SECOND, number) % 11 == 0


def _sum(weights: tuple[int, ...], digits: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False))
