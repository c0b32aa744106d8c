"""The identifiers of Norwegian health care: whose they are (OIDs), their form, and how HL7 text names them.

Readers of metadata and of tickets call it where the sender is Norwegian and the value is only read; what is
registered is checked by the strict types of datatypes.py, on which the readers here build. They take what
can only be meant one way, and leave out what cannot; they must never guess who gave out a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from xds.errors import DataTypeError
from xds.metadata import national
from xds.metadata.datatypes import CX, HD, XCN, XON, check_oid, unescape

# Identifier systems (norwegian-profile 1.1); those of national numbers stand in national.py.
#: Helsepersonellregisteret: health personnel.
HPR: Final = "2.16.578.1.12.4.1.4.4"
#: DUF-nummer: who applies to UDI for a permit.
DUF: Final = "2.16.578.1.12.4.1.4.5"
#: Organisasjonsnummer, of Enhetsregisteret.
ENTERPRISE: Final = "2.16.578.1.12.4.1.4.101"
#: RESH-id: units of specialist health care.
RESH: Final = "2.16.578.1.12.4.1.4.102"
#: The licence number of a pharmacy (konsesjonsnummer).
PHARMACY: Final = "2.16.578.1.12.4.1.4.107"
#: HER-id, of Adresseregisteret.
HER: Final = "2.16.578.1.12.4.1.2"
#: Of departments that have no number: the value is the name.
NAMED_DEPARTMENT: Final = "2.16.578.1.12.4.5.390"

#: OIDs that are sent with an arc missing.
_MISTAKEN: Final = {"2.16.578.1.12.4.1.101": ENTERPRISE, "2.16.578.1.12.4.1.102": RESH}

_OID: Final = re.compile(r"(?:urn:\s*oid:|oid:)?\s*([0-9.]+)", re.IGNORECASE)
_HPR: Final = re.compile(r"0*([1-9][0-9]{0,8})")
_DUF: Final = re.compile(r"(?:19|20)[0-9]{10}")
_DIGITS: Final = re.compile(r"[0-9]+")
_ORGANISATION: Final = re.compile(r"[0-9]{9}")
_WEIGHTS: Final = (3, 2, 7, 6, 5, 4, 3, 2, 1)
#: An HL7 escape, or a backslash that belongs to none.
_BACKSLASH: Final = re.compile(r"(\\[FSRTE]\\)|\\")
#: How senders escape the & in an authority, the longest first: `&amp;amp;` is one that was escaped twice.
_AMPERSANDS: Final = ("&amp;amp;", "&amp;", "\\u0026")


# ---- numbers


def is_organisation_number(text: str) -> bool:
    """Nine digits, the last of which fits the others."""
    return _ORGANISATION.fullmatch(text) is not None and (
        # A check digit of 10 is no digit, so that no ninth digit makes the sum divisible.
        sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, text, strict=True)) % 11 == 0
    )


def hpr_number(text: str) -> str:
    """One to nine digits without the zeros before them, by which it is compared; empty when it is none.

    No source tells a control digit, and the numbers of the national test environment follow none.
    """
    match = _HPR.fullmatch(text)
    return match[1] if match else ""


def is_register_id(text: str) -> bool:
    """Digits, as RESH-id and HER-id are."""
    return _DIGITS.fullmatch(text) is not None


def is_duf_number(text: str) -> bool:
    """Twelve digits, the first four of which are a year."""
    return _DUF.fullmatch(text) is not None


#: The form of the numbers of each system; a system that is not here tells none.
_FORMS: Final[Mapping[str, Callable[[str], object]]] = {
    HPR: hpr_number,
    DUF: is_duf_number,
    ENTERPRISE: is_organisation_number,
    RESH: is_register_id,
    HER: is_register_id,
}


def authority_of_patient(number: str, *, test: bool = False) -> str:
    """Who gave out a patient's number that stands alone, an OID; empty when that cannot be told.

    It cannot of an H-number, nor outside a `test` of a synthetic one. A DUF-nummer must name its authority:
    twelve digits may be anything.
    """
    found = national.parse(number, test=test)
    return found.authority if found is not None else ""


def read_oid(text: str) -> str:
    """The OID in `text` without `urn:oid:`, `urn: oid:` or `oid:`; empty when there is none."""
    match = _OID.fullmatch(text.strip())
    if match is None:
        return ""
    try:
        check_oid(match[1])
    except DataTypeError:
        return ""
    return _MISTAKEN.get(match[1], match[1])


# ---- what HL7 text names


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number and who gave it out: `authority` is an OID without `urn:oid:`, or empty if none was named."""

    value: str
    authority: str = ""

    def is_well_formed(self, *, test: bool = False) -> bool:
        """Whether its authority gives out numbers of this form; True where the form is not known."""
        if self.authority in national.AUTHORITIES:
            return national.is_valid(self.value, self.authority, test=test)
        return self.authority not in _FORMS or bool(_FORMS[self.authority](self.value))


@dataclass(frozen=True, slots=True)
class Person:
    """An author or a legal authenticator; `str` writes the XCN."""

    identifier: Identifier | None = None
    family: str = ""
    given: str = ""
    further: str = ""
    suffix: str = ""
    prefix: str = ""
    degree: str = ""

    def __str__(self) -> str:
        number = self.identifier or Identifier("")
        return str(
            XCN(
                number.value,
                self.family,
                self.given,
                self.further,
                self.suffix,
                self.prefix,
                self.degree,
                _hd(number.authority),
            )
        )


@dataclass(frozen=True, slots=True)
class Organisation:
    """An enterprise or a part of one; `str` writes the XON."""

    name: str = ""
    identifier: Identifier | None = None

    def __str__(self) -> str:
        number = self.identifier or Identifier("")
        return str(XON(self.name, number.value, _hd(number.authority)))


def department(name: str) -> Organisation:
    """A department that has no number."""
    return Organisation(name, Identifier(name, NAMED_DEPARTMENT))


def write_patient(identifier: Identifier) -> str:
    """The CX of a patient's number; raises DataTypeError when nobody knows who gave it out."""
    return str(CX.parse(str(CX(identifier.value, identifier.authority))))


def patient(text: str, *, test: bool = False) -> Identifier | None:
    """Who a CX or a bare number names; None when it names nobody.

    Further components are passed over. A bare number has the authority that it can be told to have.
    """
    parts = _plain(text).split("^")
    number = unescape(parts[0]).strip()
    if len(parts) == 1:
        return Identifier(number, authority_of_patient(number, test=test)) if number else None
    return _identifier(number, _authority(_component(parts, 4)), test=test)


def person(text: str, *, test: bool = False) -> Person | None:
    """Whom an XCN names; None when it names nobody. Text with a blank and nothing else is a name."""
    parts = _plain(text).split("^")
    if len(parts) == 1 and " " in parts[0]:
        parts.insert(0, "")
    authority = _authority(_component(parts, 9))
    if len(parts) > 8:
        parts[8] = str(_hd(authority))
    if not any(part.strip() for part in parts[:7]):
        return None
    # The strict type needs a number or a family name, so one that has neither lends a number.
    found = XCN.parse("^".join([parts[0] or "-", *parts[1:]]))
    return Person(
        _identifier(found.id.strip(), authority, test=test) if parts[0] else None,
        found.family.strip(),
        found.given.strip(),
        found.further.strip(),
        found.suffix.strip(),
        found.prefix.strip(),
        found.degree.strip(),
    )


def organisation(text: str) -> Organisation | None:
    """What an XON names; None when it names nothing."""
    parts = _plain(text).split("^")
    authority = _authority(_component(parts, 6))
    name = unescape(_component(parts, 1)).strip()
    # Before HL7 v2.5 the number stood in component 3.
    number = unescape(_component(parts, 10) or _component(parts, 3)).strip()
    if authority == NAMED_DEPARTMENT:
        name, number = name or number, number or name
    if not name and not number:
        return None
    return Organisation(name, _identifier(number, authority))


def _plain(text: str) -> str:
    """The text with each & as such, and with each backslash that is no HL7 escape written as one."""
    for escaped in _AMPERSANDS:
        text = text.replace(escaped, "&")
    return _BACKSLASH.sub(lambda match: match[1] or "\\E\\", text.strip())


def _component(parts: Sequence[str], number: int) -> str:
    return parts[number - 1] if number <= len(parts) else ""


def _authority(component: str) -> str:
    """The one OID that an assigning authority names, wherever in it; empty when it names none, or two."""
    found = {oid for part in component.split("&") if (oid := read_oid(part))}
    return found.pop() if len(found) == 1 else ""


def _identifier(number: str, authority: str, *, test: bool = False) -> Identifier | None:
    """The number as it is compared, under the authority of its kind.

    Of national numbers often the OID of fødselsnummer is named whatever their kind, and H-numbers have none.
    """
    if not number:
        return None
    if authority in _FORMS:
        digits = "".join(number.split())  # people write 994 598 759
        number = (hpr_number(digits) if authority == HPR else digits) or number
    elif authority in national.AUTHORITIES and (found := national.parse(number, test=test)) is not None:
        authority = found.authority
    return Identifier(number, authority)


def _hd(authority: str) -> HD:
    return HD("", authority, "ISO") if authority else HD()
