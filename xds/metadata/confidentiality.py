"""What the confidentiality codes of a document entry say, as one number that a statement can test.

The registry works the number out when an entry is registered, and the access rules name its parts; the codes
themselves stay in the entry as they were sent. It must never take a code for another system's: `N` is a
level of HL7 and a code of 9603, and `V` of an unknown system says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag, auto
from typing import Final

from xds.metadata.model import Code

#: HL7 v3 Confidentiality, by its OID and the name that FHIR has for it.
LEVELS: Final = "2.16.840.1.113883.5.25"
_LEVELS_FHIR: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
#: Sperring og nekting av dokumenter (Volven 9603), by its OID and its canonical address.
REFUSALS: Final = "2.16.578.1.12.4.1.1.9603"
_REFUSALS_FHIR: Final = "http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603"

_OID_URN: Final = "urn:oid:"


class Restriction(IntFlag):
    """The codes that a document entry carries. The numbers are stored: none may ever be given anew.

    UNSTATED: it carries no code at all. UNKNOWN: it carries one that neither system knows; nobody can tell
    what it asks for.
    """

    UNSTATED = auto()
    UNKNOWN = auto()
    U = auto()
    L = auto()
    M = auto()
    N = auto()
    R = auto()
    V = auto()
    NORN_FFL = auto()
    NORN_KUT = auto()
    NORN_EPO = auto()
    NORN_ALL = auto()
    NORN_FOR = auto()
    NORN_FORANS = auto()
    NORN_UNGDOM = auto()
    NORN_FFH = auto()
    NORN_FPB = auto()
    NORN_DUP = auto()
    NORN_ANG = auto()
    NORU = auto()
    NORS = auto()
    NORMAL_9603 = auto()


_LEVEL_CODES: Final = {name: Restriction[name] for name in ("U", "L", "M", "N", "R", "V")}
_REFUSAL_CODES: Final = {
    "N": Restriction.NORMAL_9603,
    **{
        name: each
        for name, each in Restriction.__members__.items()
        if name.startswith("NOR") and each is not Restriction.NORMAL_9603
    },
    # Inactive spellings (norwegian-profile 3.1), which mean what they always meant.
    **{name.replace("_", "-"): Restriction[name] for name in ("NORN_ANG", "NORN_FPB", "NORN_DUP")},
}
_SYSTEMS: Final = {
    LEVELS: _LEVEL_CODES,
    _LEVELS_FHIR: _LEVEL_CODES,
    REFUSALS: _REFUSAL_CODES,
    _REFUSALS_FHIR: _REFUSAL_CODES,
}


def codes_of(said: Restriction) -> tuple[Code, ...]:
    """The codes that a number stands for, each by its present name; what is unknown or unstated is none."""
    return tuple(
        Code("N", REFUSALS)
        if each is Restriction.NORMAL_9603
        else Code(each.name or "", LEVELS if each in _LEVEL_CODES.values() else REFUSALS)
        for each in said
        if each not in (Restriction.UNSTATED, Restriction.UNKNOWN)
    )


def restrictions(codes: Iterable[Code]) -> Restriction:
    """What these confidentiality codes say together."""
    found = Restriction(0)
    for code in codes:
        system = _SYSTEMS.get(code.scheme.removeprefix(_OID_URN), {})
        found |= system.get(code.code, Restriction.UNKNOWN)
    return found or Restriction.UNSTATED
