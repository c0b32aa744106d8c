"""Patients who do not exist, a new one for each case.

target.py asks for them. A number is of Tenor's series (month + 80), which is given to nobody; an id of
another authority is a random one.
"""

from __future__ import annotations

import random
import uuid
from typing import Final

from xds.metadata import national

_FIRST: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2)
_SECOND: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def new_number(chance: random.Random) -> str:
    """A synthetic national number of an adult born 1940 to 1989."""
    while True:
        day, month, year = chance.randint(1, 28), chance.randint(81, 92), chance.randint(40, 89)
        number = f"{day:02}{month:02}{year:02}{chance.randint(0, 499):03}"
        for weights in (_FIRST, _SECOND):
            number += str(-sum(w * int(d) for w, d in zip(weights, number, strict=False)) % 11)
        if len(number) == 11 and national.is_surely_synthetic(number):
            return number


def new_patient(chance: random.Random, authority: str = "") -> str:
    """`id^^^&OID&ISO`: a synthetic national number, or a random id of the given authority."""
    if authority in national.AUTHORITIES or not authority:
        return f"{new_number(chance)}^^^&{authority or national.NATIONAL}&ISO"
    return f"T{uuid.UUID(int=chance.getrandbits(128)).hex[:16]}^^^&{authority}&ISO"
