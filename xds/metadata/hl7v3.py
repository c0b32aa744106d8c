"""The data types of HL7 v3 as a CDA header writes them, read into those of document metadata.

cda.py finds the elements and asks here what they hold. What is there and cannot be read is None, or raises
DataTypeError where the difference matters; an element with a nullFlavor is not there. Nothing here knows what
a value is for, and no error quotes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from urllib.parse import unquote
from uuid import UUID
from zoneinfo import ZoneInfo

from lxml import etree

from xds.errors import DataTypeError
from xds.metadata.datatypes import XTN, bare_oid, dtm_low, escape
from xds.metadata.identifiers import read_oid
from xds.metadata.model import Code

V3: Final = "urn:hl7-org:v3"

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME: Final = re.compile(
    r"(?P<digits>[0-9]{4}(?:[0-9]{2}){0,5})(?P<fraction>\.[0-9]+)?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?"
)
_OSLO: Final = ZoneInfo("Europe/Oslo")
#: No place on earth is further from UTC.
_FURTHEST: Final = timedelta(hours=14)
_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().-]*")

#: The scheme of a TEL -> the telecommunication equipment type of an XTN (HL7 v2.5 table 0202).
_EQUIPMENT: Final = {"tel": "PH", "fax": "FX", "mailto": "Internet"}
#: The use of a TEL -> the use code of an XTN (HL7 v2.5 table 0201).
_USES: Final = {"WP": "WPN", "H": "PRN", "HP": "PRN", "HV": "VHN", "EC": "EMR", "AS": "ASN"}
#: Administrative sex as HL7 v3 and Volven 3101 have it -> HL7 v2 (table 0001).
_SEXES: Final = {
    ("2.16.840.1.113883.5.1", "M"): "M",
    ("2.16.840.1.113883.5.1", "F"): "F",
    ("2.16.840.1.113883.5.1", "UN"): "O",
    ("2.16.578.1.12.4.1.1.3101", "0"): "U",
    ("2.16.578.1.12.4.1.1.3101", "1"): "M",
    ("2.16.578.1.12.4.1.1.3101", "2"): "F",
    ("2.16.578.1.12.4.1.1.3101", "9"): "O",
}


# ---- elements


def tag(name: str) -> str:
    """The name of an element of HL7 v3 as lxml has it."""
    return f"{{{V3}}}{name}"


def elements(parent: etree._Element, path: str) -> Iterator[etree._Element]:
    """The elements at `a/b/c` below `parent`, in document order; none that a nullFlavor empties."""
    name, _, rest = path.partition("/")
    for child in parent.iterchildren(tag(name)):
        if child.get("nullFlavor") is None:
            if rest:
                yield from elements(child, rest)
            else:
                yield child


def first(parent: etree._Element, path: str) -> etree._Element | None:
    """The first of `elements`, None when there is none."""
    return next(elements(parent, path), None)


def attribute(element: etree._Element, name: str) -> str:
    """The value without white space around it; empty when there is none."""
    return (element.get(name) or "").strip()


def text(element: etree._Element) -> str:
    """All text in the element, with single blanks (ST, ED, ON)."""
    return " ".join("".join(element.itertext()).split())


# ---- identifiers and codes


@dataclass(frozen=True, slots=True)
class InstanceIdentifier:
    """An II: a root, which is an OID or a UUID, and perhaps an extension, which is unique under it."""

    root: str
    extension: str

    @property
    def authority(self) -> str:
        """The root as an OID; a UUID is one below 2.25 (ITU-T X.667, 7)."""
        return f"2.25.{UUID(self.root).int}" if _UUID.fullmatch(self.root) else self.root

    @property
    def unique_id(self) -> str:
        """`root` or `root^extension` (IHE PCC TF-2 4.1, uniqueId); here HL7 escapes nothing."""
        return f"{self.root}^{self.extension}" if self.extension else self.root


def identifier(element: etree._Element) -> InstanceIdentifier | None:
    """The II of an element; None when its root is neither OID nor UUID."""
    sent = attribute(element, "root")
    root = sent if _UUID.fullmatch(sent) else read_oid(sent)
    return InstanceIdentifier(root, attribute(element, "extension")) if root else None


def identifiers(parent: etree._Element, path: str) -> list[InstanceIdentifier]:
    """The IIs at a path that can be read."""
    return [found for element in elements(parent, path) if (found := identifier(element)) is not None]


def codes(element: etree._Element) -> list[Code]:
    """The code of a CD and its translations, each with its system; a code without one means nothing."""
    found = []
    for each in (element, *elements(element, "translation")):
        code, scheme = attribute(each, "code"), bare_oid(attribute(each, "codeSystem"))
        if code and scheme:
            found.append(Code(code, scheme, " ".join(attribute(each, "displayName").split()) or None))
    return found


def preferred(codes: Iterable[Code], systems: Sequence[str]) -> Code | None:
    """The first code of the first of these systems of which there is one."""
    found = [code for code in codes if code.scheme in systems]
    return min(found, key=lambda code: systems.index(code.scheme), default=None)


def sex(element: etree._Element) -> str:
    """F, M, O or U; empty for a code of which this is not known."""
    sent = [(code.scheme, code.code) for code in codes(element)]
    return next((_SEXES[each] for each in sent if each in _SEXES), "")


# ---- times


@dataclass(frozen=True, slots=True)
class Moment:
    """A TS as DTM in UTC; `day` is the date as it was written, where it was written.

    `assumed` tells that it had no zone and was read as Norwegian time.
    """

    dtm: str
    day: str
    assumed: bool = False


def moment(value: str) -> Moment:
    """The DTM of a TS; raises DataTypeError.

    A time of the day without a zone is Norwegian time: so its sender's clock went, and as UTC it would lie
    up to two hours in the future. Of an hour that comes twice in autumn the earlier is meant, likewise so
    that it is not in the future. A date stays the date it is, with or without a zone; fractions are dropped.
    """
    match = _TIME.fullmatch(value)
    if match is None or (match["fraction"] and len(match["digits"]) < 14):
        raise _not_a_time()
    digits = match["digits"]
    dtm_low(digits)
    zone = _zone(match)
    if len(digits) <= 8:
        return Moment(digits, digits)
    local = datetime.strptime(f"{digits:0<14}", "%Y%m%d%H%M%S")
    try:
        utc = local.replace(tzinfo=zone or _OSLO).astimezone(UTC)
    except OverflowError:
        raise _not_a_time() from None
    # An hour in a zone such as +0530 ends within an hour of UTC.
    length = 12 if len(digits) == 10 and utc.minute else len(digits)
    return Moment(f"{utc.year:04}{utc:%m%d%H%M%S}"[:length], digits[:8], assumed=zone is None)


def _zone(match: re.Match[str]) -> timezone | None:
    if not match["zone"]:
        return None
    if match["zone"] == "Z":
        return UTC
    hours, minutes = int(match["hours"]), int(match["minutes"] or 0)
    offset = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or offset > _FURTHEST:
        raise _not_a_time()
    return timezone(-offset if match["sign"] == "-" else offset)


def _not_a_time() -> DataTypeError:
    return DataTypeError("A time is YYYY[MM[DD[hh[mm[ss]]]]], a real one, and its zone, such as +0100.")


def interval(element: etree._Element) -> tuple[Moment | None, Moment | None]:
    """Begin and end of an IVL_TS; a point in time is both. Raises DataTypeError."""
    if value := attribute(element, "value"):
        return moment(value), moment(value)
    ends = [first(element, name) for name in ("low", "high")]
    values = ["" if end is None else attribute(end, "value") for end in ends]
    low, high = (moment(value) if value else None for value in values)
    return low, high


def birth_date(element: etree._Element) -> str:
    """The date of a TS as it was written there, whatever its zone; raises DataTypeError."""
    return moment(attribute(element, "value")).day


# ---- people, places, telecommunication


@dataclass(frozen=True, slots=True)
class PersonName:
    """A PN; one that names no family name in a part of its own is a family name as a whole."""

    family: str
    given: str = ""
    further: str = ""
    suffix: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        """The XPN."""
        parts = (self.family, self.given, self.further, self.suffix, self.prefix)
        return _components(parts)


def person_name(element: etree._Element) -> PersonName | None:
    """The name in a PN; None when there is none."""
    family, given, suffix, prefix = (
        _parts(element, name) for name in ("family", "given", "suffix", "prefix")
    )
    if family:
        return PersonName(
            " ".join(family), "".join(given[:1]), " ".join(given[1:]), " ".join(suffix), " ".join(prefix)
        )
    # A line break or nothing may part the elements, where a reader sees a blank.
    whole = " ".join(" ".join(element.itertext()).split())
    return PersonName(whole) if whole else None


def address(element: etree._Element) -> str:
    """The XAD of an AD: street, city, state, postal code, country; empty when there is none of them."""
    lines = _parts(element, "streetAddressLine")
    street = ", ".join(lines) or " ".join([*_parts(element, "streetName"), *_parts(element, "houseNumber")])
    city, state, code, country = (
        " ".join(_parts(element, name)) for name in ("city", "state", "postalCode", "country")
    )
    found = (street, "", city, state, code, country)
    return _components(found if any(found) else (text(element),))


def telecommunication(element: etree._Element) -> XTN | None:
    """The XTN of a TEL; None for what is neither telephone, fax nor e-mail."""
    value = attribute(element, "value")
    scheme, separator, rest = value.partition(":")
    equipment = _EQUIPMENT.get(scheme.lower(), "") if separator else ""
    if not separator and (_NUMBER.fullmatch(value) or "@" in value):  # no URL, but it can only be meant so
        equipment, rest = "Internet" if "@" in value else "PH", value
    where = " ".join(unquote(rest.partition("?")[0]).split())
    if not equipment or not where:
        return None
    if equipment == "Internet":
        return XTN(("", "", equipment, where))
    uses = attribute(element, "use").split()
    use = next((_USES[each] for each in uses if each in _USES), "")
    if equipment == "PH" and "MC" in uses:
        equipment = "CP"
    # The whole number, unformatted, is component 12.
    return XTN(("", use, equipment, *[""] * 8, where))


def _parts(element: etree._Element, name: str) -> list[str]:
    return [found for each in elements(element, name) if (found := text(each))]


def _components(parts: Sequence[str]) -> str:
    return "^".join(map(escape, parts)).rstrip("^")
