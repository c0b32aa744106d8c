"""What confidentiality codes say as one number: every code by every name of its system.

The numbers lie in databases, so they are written down here once more and for good. A code counts within its
own system only: what nobody knows must never pass for a level or a refusal, nor for none.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from xds.metadata.codesystems import built_in
from xds.metadata.confidentiality import LEVELS, REFUSALS, Restriction, restrictions
from xds.metadata.model import Code

R = Restriction

#: As they are stored. A line is never changed or removed; a new code gets the next number.
STORED = {
    "UNSTATED": 1,
    "UNKNOWN": 2,
    "U": 4,
    "L": 8,
    "M": 16,
    "N": 32,
    "R": 64,
    "V": 128,
    "NORN_FFL": 256,
    "NORN_KUT": 512,
    "NORN_EPO": 1024,
    "NORN_ALL": 2048,
    "NORN_FOR": 4096,
    "NORN_FORANS": 8192,
    "NORN_UNGDOM": 16384,
    "NORN_FFH": 32768,
    "NORN_FPB": 65536,
    "NORN_DUP": 131072,
    "NORN_ANG": 262144,
    "NORU": 524288,
    "NORS": 1048576,
    "NORMAL_9603": 2097152,
}

#: Every name that a system goes by in messages.
HL7_NAMES = (
    "2.16.840.1.113883.5.25",
    "urn:oid:2.16.840.1.113883.5.25",
    "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
)
NATIONAL_NAMES = (
    "2.16.578.1.12.4.1.1.9603",
    "urn:oid:2.16.578.1.12.4.1.1.9603",
    "http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603",
)
HL7_CODES = {"U": R.U, "L": R.L, "M": R.M, "N": R.N, "R": R.R, "V": R.V}
NATIONAL_CODES = {
    "N": R.NORMAL_9603,
    "NORN_FFL": R.NORN_FFL,
    "NORN_KUT": R.NORN_KUT,
    "NORN_EPO": R.NORN_EPO,
    "NORN_ALL": R.NORN_ALL,
    "NORN_FOR": R.NORN_FOR,
    "NORN_FORANS": R.NORN_FORANS,
    "NORN_UNGDOM": R.NORN_UNGDOM,
    "NORN_FFH": R.NORN_FFH,
    "NORN_FPB": R.NORN_FPB,
    "NORN_DUP": R.NORN_DUP,
    "NORN_ANG": R.NORN_ANG,
    "NORU": R.NORU,
    "NORS": R.NORS,
    # Inactive spellings.
    "NORN-ANG": R.NORN_ANG,
    "NORN-FPB": R.NORN_FPB,
    "NORN-DUP": R.NORN_DUP,
}
KNOWN = [
    (code, system, said)
    for names, codes in ((HL7_NAMES, HL7_CODES), (NATIONAL_NAMES, NATIONAL_CODES))
    for system in names
    for code, said in codes.items()
]


def test_the_stored_numbers_are_those_of_always() -> None:
    """Every database says so, and a new code fills none of the gaps."""
    assert {each.name: each.value for each in Restriction} == STORED


def test_each_number_is_a_bit_of_its_own() -> None:
    """They are stored together, in a signed column of 32 bits."""
    assert all(one & other == 0 for one, other in combinations(STORED.values(), 2))
    assert sum(STORED.values()) < 2**31


@pytest.mark.parametrize(("code", "system", "said"), KNOWN)
def test_a_code_is_known_by_every_name_of_its_system(code: str, system: str, said: Restriction) -> None:
    """Alone; the display name is never looked at."""
    assert restrictions([Code(code, system)]) is said
    assert restrictions([Code(code, system, "Normal")]) is said


@pytest.mark.parametrize(
    ("system", "codes"), [(LEVELS, HL7_CODES), (REFUSALS, NATIONAL_CODES)], ids=["HL7", "9603"]
)
def test_every_code_of_the_code_tables_is_known(system: str, codes: dict[str, Restriction]) -> None:
    """By every name: what gate 0 takes says something here, so a new edition must be read here too."""
    table = built_in().system(system)
    assert table is not None
    assert {
        (name, code): restrictions([Code(code, name)]) for name in table.names() for code in table.codes
    } == {(name, code): codes[code] for name in table.names() for code in table.codes}


#: Nobody knows what these ask for.
UNKNOWN = {
    "no system": Code("N", ""),
    "a system that nobody knows": Code("N", "1.2.3.4"),
    "a level by a system that nobody knows": Code("V", "2.16.840.1.113883.5.26"),
    "a system that begins like HL7's": Code("N", "2.16.840.1.113883.5.250"),
    "the OID without its beginning": Code("N", "5.25"),
    "the prefix in capitals": Code("N", "URN:OID:2.16.840.1.113883.5.25"),
    "the prefix twice": Code("N", "urn:oid:urn:oid:2.16.840.1.113883.5.25"),
    "the address with a blank": Code("N", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality "),
    "a level in 9603": Code("V", REFUSALS),
    "R in 9603": Code("R", REFUSALS),
    "a block in HL7's system": Code("NORS", LEVELS),
    "a refusal in HL7's system": Code("NORN_FFL", LEVELS),
    "our own word for N of 9603": Code("NORMAL_9603", REFUSALS),
    "our word for none": Code("UNSTATED", LEVELS),
    "our word for unknown": Code("UNKNOWN", REFUSALS),
    "a lower-case level": Code("n", LEVELS),
    "a level with a blank": Code("N ", LEVELS),
    "an empty code": Code("", LEVELS),
    "a hyphen that was never used": Code("NORN-FFL", REFUSALS),
    "a new code of 9603": Code("NORN_NYTT", REFUSALS),
    "the beginning of a code": Code("NORN", REFUSALS),
}


@pytest.mark.parametrize("code", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_nobody_knows_is_unknown(code: Code) -> None:
    """It is neither left out nor taken for a code of another system."""
    assert restrictions([code]) is R.UNKNOWN
    assert restrictions([code, Code("N", LEVELS)]) == R.UNKNOWN | R.N


def test_without_a_code_it_is_unstated() -> None:
    """That is not N, and not unknown either."""
    assert restrictions([]) is R.UNSTATED
    assert restrictions(iter(())) is R.UNSTATED


def test_n_of_the_one_system_is_not_n_of_the_other() -> None:
    """HL7's is a level; that of 9603 says only that nobody has blocked or refused."""
    assert restrictions([Code("N", LEVELS)]) is R.N
    assert restrictions([Code("N", REFUSALS)]) is R.NORMAL_9603
    assert restrictions([Code("N", REFUSALS), Code("N", LEVELS)]) == R.N | R.NORMAL_9603


def test_codes_add_up_in_any_order() -> None:
    """No code takes anything from another, and twice is once."""
    codes = [Code("N", LEVELS), Code("NORS", REFUSALS), Code("NORN_FFL", NATIONAL_NAMES[2]), Code("x", "1.2")]
    together = R.N | R.NORS | R.NORN_FFL | R.UNKNOWN
    assert restrictions(codes) == together
    assert restrictions(reversed(codes)) == together
    assert restrictions([*codes, *codes]) == together
    assert R.UNSTATED not in together
