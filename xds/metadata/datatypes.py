"""The HL7 v2.5 and IHE data types of document metadata (ITI TF-3 table 4.2.3.1.7-2).

Validation checks values with it; the registry, the gates and the client read and build values with it.
Strict where a value is searched or compared (ids, times, codes), tolerant where it is only carried.
A `DataTypeError` says what the type asks for and must never quote the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Final, NoReturn

from xds.errors import DataTypeError
from xds.metadata import names
from xds.metadata.ebrim import is_uuid

_OID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_DTM: Final = re.compile(r"[0-9]{4}(?:[0-9]{2}){0,5}")
_HASH: Final = re.compile(r"[0-9a-fA-F]{40}")
_SIZE: Final = re.compile(r"[0-9]{1,19}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
# RFC 2045 5.1: type "/" subtype *(";" parameter); a parameter's value is a token or a quoted string.
_TOKEN: Final = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"  # noqa: S105
_MIME: Final = re.compile(rf'{_TOKEN}/{_TOKEN}(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"[^"\\\r\n]*"))*')
# RFC 3986 appendix A, characters only: what a URI may be made of, not how its parts are ordered.
_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_FIELD: Final = re.compile(r"(PID-[1-9][0-9]*)\|(.*)", re.DOTALL)
_MAX_INTEGER: Final = 2**63 - 1

_ESCAPES: Final = {"F": "|", "S": "^", "R": "~", "T": "&", "E": "\\"}
_ESCAPE: Final = re.compile(r"\\([^\\]*)(\\?)")
_DELIMITERS: Final = str.maketrans({v: f"\\{k}\\" for k, v in _ESCAPES.items()})

DOCUMENT_AVAILABILITIES: Final = frozenset(
    {"urn:ihe:iti:2010:DocumentAvailability:Online", "urn:ihe:iti:2010:DocumentAvailability:Offline"}
)


def _refuse(sentence: str) -> NoReturn:
    raise DataTypeError(sentence)


# ---- HL7 text


def unescape(text: str) -> str:
    r"""The text of one component; only the escapes \F\ \S\ \R\ \T\ \E\ exist (ITI TF-3 4.2.3.1.7)."""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    if not match[2] or match[1] not in _ESCAPES:
        _refuse("A backslash must belong to one of the HL7 escapes \\F\\ \\S\\ \\R\\ \\T\\ \\E\\.")
    return _ESCAPES[match[1]]


def escape(text: str) -> str:
    """The text written as one HL7 component: delimiters as escapes."""
    return text.translate(_DELIMITERS)


def _components(text: str, separator: str = "^") -> list[str]:
    return text.split(separator)


def _component(parts: Sequence[str], number: int) -> str:
    """Component `number`, counted from 1 as HL7 does, unescaped; empty when it is not there."""
    return unescape(parts[number - 1]) if number <= len(parts) else ""


def _join(components: Sequence[str], separator: str = "^") -> str:
    return separator.join(components).rstrip(separator)


def _only(parts: Sequence[str], allowed: frozenset[int], sentence: str) -> None:
    if any(part and number not in allowed for number, part in enumerate(parts, 1)):
        _refuse(sentence)


# ---- simple types: each returns nothing and raises DataTypeError


def bare_oid(text: str) -> str:
    """An OID without urn:oid:, which may be in upper case (RFC 8141, 3.1); other texts as they are."""
    return text[8:] if text[:8].lower() == "urn:oid:" else text


def check_oid(text: str) -> None:
    """Dotted integers, at least two arcs, no leading zeros, at most 64 characters."""
    if len(text) > 64 or not _OID.fullmatch(text):
        _refuse(
            "An OID is dotted integers without leading zeros, at least two of them, at most 64 characters."
        )


def check_oid_urn(text: str) -> None:
    """`urn:oid:` and an OID; the bare OID too, which Norwegian senders write (compare without the prefix)."""
    check_oid(text.removeprefix("urn:oid:"))


def check_uuid(text: str) -> None:
    """`urn:uuid:` and a lower-case UUID."""
    if not is_uuid(text):
        _refuse("A UUID is urn:uuid: and lower-case hexadecimal digits in groups of 8-4-4-4-12.")


def check_object_id(text: str) -> None:
    """An id in a submission: a UUID, or anything that does not claim to be one (a symbolic id)."""
    if text[:9].lower() == "urn:uuid:":
        check_uuid(text)
    elif not text.strip():
        _refuse("An id is a urn:uuid: or a symbolic id that is not empty.")


def check_identifier(text: str) -> None:
    """A globally unique string that only its creator understands."""
    if not text or text != text.strip():
        _refuse("An identifier is not empty and neither begins nor ends with white space.")


def check_hash(text: str) -> None:
    """SHA-1 as 40 hexadecimal digits of either case."""
    if not _HASH.fullmatch(text):
        _refuse("A hash is the SHA-1 of the document as 40 hexadecimal digits.")


def check_size(text: str) -> None:
    """Octets as a decimal number that fits 63 bits."""
    if not _SIZE.fullmatch(text) or int(text) > _MAX_INTEGER:
        _refuse("A size is the number of octets in decimal digits.")


def check_language(text: str) -> None:
    """A language tag of BCP 47, shape only."""
    if not _LANGUAGE.fullmatch(text):
        _refuse("A language code is a BCP 47 tag such as nb-NO.")


def check_mime_type(text: str) -> None:
    """`type/subtype` with optional parameters (RFC 2045 5.1)."""
    if not _MIME.fullmatch(text):
        _refuse("A MIME type is type/subtype, with parameters after semicolons if any.")


def check_uri(text: str) -> None:
    """The characters of RFC 3986."""
    if not _URI.fullmatch(text):
        _refuse("A URI consists of the characters that RFC 3986 allows; others are percent-encoded.")


def check_document_availability(text: str) -> None:
    """Online or Offline (XDS Metadata Update)."""
    if text not in DOCUMENT_AVAILABILITIES:
        _refuse("The value is urn:ihe:iti:2010:DocumentAvailability:Online or …:Offline.")


def check_object_type(text: str) -> None:
    """The UUID of stable or of on-demand document entries."""
    if text not in (names.STABLE, names.ON_DEMAND):
        _refuse(f"The value is {names.STABLE} for a stable or {names.ON_DEMAND} for an on-demand document.")


# ---- time


def dtm_low(text: str) -> int:
    """The earliest second of a DTM, in UTC, as the number YYYYMMDDhhmmss: `2024` is 20240101000000.

    Only times that exist in the calendar; no zone and no fraction (ITI TF-3 table 4.2.3.1.7-2).
    """
    if _DTM.fullmatch(text):
        padded = text + "00000101000000"[len(text) :]
        try:
            # A leap second (60) is not in the type's range either.
            date(int(padded[:4]), int(padded[4:6]), int(padded[6:8]))
            time(int(padded[8:10]), int(padded[10:12]), int(padded[12:]))
        except ValueError:
            pass
        else:
            return int(padded)
    _refuse("A time is YYYY[MM[DD[hh[mm[ss]]]]] in UTC, a real date, without zone or fraction.")


def check_dtm(text: str) -> None:
    """A time of any precision."""
    dtm_low(text)


def check_dtm_seconds(text: str) -> None:
    """A time given to the second, as Folder.lastUpdateTime needs."""
    dtm_low(text)
    if len(text) != 14:
        _refuse("The time is given to the second: YYYYMMDDhhmmss.")


# ---- structured types


@dataclass(frozen=True, slots=True)
class HD:
    """An assigning authority: `namespace&OID&ISO`, written as one component."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @classmethod
    def parse(cls, text: str) -> HD:
        """Read `[namespace][&id&type]`; an ISO id must be an OID."""
        parts = _components(text, "&")
        if len(parts) > 3:
            _refuse("An assigning authority has three parts at most: namespace&OID&ISO.")
        value = cls(_component(parts, 1), _component(parts, 2), _component(parts, 3))
        if bool(value.universal_id) != bool(value.universal_id_type):
            _refuse("An assigning authority names the type of its universal id: &OID&ISO.")
        if value.universal_id_type == "ISO":
            check_oid(value.universal_id)
        return value

    def __str__(self) -> str:
        return _join([escape(self.namespace), escape(self.universal_id), escape(self.universal_id_type)], "&")

    def __bool__(self) -> bool:
        return bool(self.namespace or self.universal_id)


_CX: Final = re.compile(r"([^^&~|]+)\^\^\^&([0-9.]+)&ISO")


@dataclass(frozen=True, slots=True)
class CX:
    """A patient id: `id^^^&OID&ISO`, exactly."""

    id: str
    authority: str

    @classmethod
    def parse(cls, text: str) -> CX:
        """Read a CX; nothing may stand before, between or after its two parts."""
        match = _CX.fullmatch(text)
        if match is None:
            _refuse("The value is id^^^&OID&ISO and nothing else.")
        check_oid(match[2])
        if match[1] != match[1].strip():
            _refuse("The id of id^^^&OID&ISO neither begins nor ends with white space.")
        return cls(unescape(match[1]), match[2])

    def __str__(self) -> str:
        return f"{escape(self.id)}^^^&{self.authority}&ISO"


#: Reference id types whose ids are globally unique, so that no assigning authority may stand beside them.
_GLOBAL_REFERENCES: Final = frozenset(
    {"urn:ihe:iti:xdw:2013:workflowInstanceId", "urn:ihe:iti:xds:2016:studyInstanceUID"}
)


@dataclass(frozen=True, slots=True)
class CXi:
    """A reference id: `id^^^[authority]^typeCode` (ITI TF-3 table 4.2.3.1.7-2)."""

    id: str
    type_code: str
    authority: HD = HD()

    @classmethod
    def parse(cls, text: str) -> CXi:
        """Read a CXi; local type codes are allowed."""
        parts = _components(text)
        _only(parts, frozenset({1, 4, 5}), "A reference id has the components 1, 4 and 5 only.")
        value = cls(
            _component(parts, 1), _component(parts, 5), HD.parse(parts[3]) if len(parts) > 3 else HD()
        )
        if not value.id or not value.type_code:
            _refuse("A reference id has an id (component 1) and a type code (component 5).")
        if value.authority and value.type_code in _GLOBAL_REFERENCES:
            _refuse("A reference id of this type is globally unique: component 4 must be empty.")
        return value

    def __str__(self) -> str:
        return f"{escape(self.id)}^^^{self.authority}^{escape(self.type_code)}"


@dataclass(frozen=True, slots=True)
class XCN:
    """A person: id, family name, given name, further names, suffix, prefix, degree, assigning authority.

    `others` keeps further components as (number, raw text), so that the text can be written back whole.
    """

    id: str = ""
    family: str = ""
    given: str = ""
    further: str = ""
    suffix: str = ""
    prefix: str = ""
    degree: str = ""
    authority: HD = HD()
    others: tuple[tuple[int, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> XCN:
        """Read an XCN; it has an id or a family name. Of a family name in parts the first is the name."""
        parts = _components(text)
        others = tuple(
            (n, part)
            for n, part in enumerate(parts, 1)
            if part and (n == 8 or n > 9 or (n == 2 and "&" in part))
        )
        for _, part in others:
            unescape(part)
        value = cls(
            _component(parts, 1),
            unescape(parts[1].partition("&")[0]) if len(parts) > 1 else "",
            _component(parts, 3),
            _component(parts, 4),
            _component(parts, 5),
            _component(parts, 6),
            _component(parts, 7),
            authority=HD.parse(parts[8]) if len(parts) > 8 else HD(),
            others=others,
        )
        if not value.id and not value.family:
            _refuse("A person has an id (component 1) or a family name (component 2).")
        return value

    def __str__(self) -> str:
        plain = (self.id, self.family, self.given, self.further, self.suffix, self.prefix, self.degree)
        parts = [*map(escape, plain), "", str(self.authority)]
        parts += [""] * (max((n for n, _ in self.others), default=9) - 9)
        for number, raw in self.others:
            parts[number - 1] = raw
        return _join(parts)


@dataclass(frozen=True, slots=True)
class XON:
    """An organisation: name, id and the authority that gave the id.

    A department that has only a name, as the Norwegian profile knows it, is an XON with nothing but a name.
    """

    name: str
    id: str = ""
    authority: HD = HD()

    @classmethod
    def parse(cls, text: str) -> XON:
        """Read an XON; an id that is not an OID needs an ISO authority."""
        parts = _components(text)
        _only(parts, frozenset({1, 6, 10}), "An organisation has the components 1, 6 and 10 only.")
        value = cls(
            _component(parts, 1), _component(parts, 10), HD.parse(parts[5]) if len(parts) > 5 else HD()
        )
        if not value.name.strip():
            _refuse("An organisation has a name (component 1).")
        if value.id and not _OID.fullmatch(value.id) and value.authority.universal_id_type != "ISO":
            _refuse(
                "An organisation id (component 10) is an OID or has its authority &OID&ISO in component 6."
            )
        return value

    def __str__(self) -> str:
        return _join([escape(self.name), "", "", "", "", str(self.authority), "", "", "", escape(self.id)])


@dataclass(frozen=True, slots=True)
class XTN:
    """A telephone number or e-mail address; `components` are HL7's, unescaped, from component 1."""

    components: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> XTN:
        """Read an XTN; it is carried, not searched, so any form with a number or an address in it will do."""
        value = cls(tuple([unescape(part) for part in _components(text)]))
        if value.component(3) == "Internet" and not value.component(4):
            _refuse("An e-mail address stands in component 4.")
        if not (value.email or value.number):
            _refuse("A telecommunication has an e-mail address (component 4) or a number (7, 12 or 1).")
        return value

    def component(self, number: int) -> str:
        """Component `number`, counted from 1; empty when it is not there."""
        return self.components[number - 1] if number <= len(self.components) else ""

    @property
    def email(self) -> str:
        """The e-mail address, or nothing."""
        return self.component(4)

    @property
    def number(self) -> str:
        """The subscriber number (7), or the whole number unformatted (12), or, from older senders, in 1."""
        return self.component(7) or self.component(12) or self.component(1)

    def __str__(self) -> str:
        return _join([escape(part) for part in self.components])


@dataclass(frozen=True, slots=True)
class Recipient:
    """One intendedRecipient: `organisation|person|telecommunication`, at least one of them."""

    organisation: XON | None = None
    person: XCN | None = None
    telecommunication: XTN | None = None

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read an intendedRecipient; a bar is needed only before a part that comes later."""
        parts = text.split("|")
        if len(parts) > 3 or not any(parts):
            _refuse("A recipient is organisation|person|telecommunication, at least one of them.")
        organisation, person, telecommunication = [*parts, "", ""][:3]
        return cls(
            XON.parse(organisation) if organisation else None,
            XCN.parse(person) if person else None,
            XTN.parse(telecommunication) if telecommunication else None,
        )

    def __str__(self) -> str:
        parts = (self.organisation, self.person, self.telecommunication)
        return _join(["" if part is None else str(part) for part in parts], "|")


@dataclass(frozen=True, slots=True)
class PidField:
    """One sourcePatientInfo value: `PID-5|Familie^Fornavn`; the content is carried as it was sent."""

    name: str
    content: str

    @classmethod
    def parse(cls, text: str) -> PidField:
        """Read a PID field; only its name is understood here."""
        match = _FIELD.fullmatch(text)
        if match is None:
            _refuse("The value is PID-, the number of the field, a bar, and the field's content.")
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.name}|{self.content}"


#: Data type of the attribute tables -> what raises DataTypeError when a value does not follow it.
#: Types that are not here (String; URNs that the receiver overwrites) take any value.
CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "CX": CX.parse,
    "CXi": CXi.parse,
    "DTM": check_dtm,
    "DTM to the second": check_dtm_seconds,
    "Document availability": check_document_availability,
    "Field": PidField.parse,
    "Identifier": check_identifier,
    "Integer": check_size,
    "Language": check_language,
    "MIME type": check_mime_type,
    "OID": check_oid,
    "OID URN": check_oid_urn,
    "Object id": check_object_id,
    "Object type": check_object_type,
    "Recipient": Recipient.parse,
    "SHA-1": check_hash,
    "URI": check_uri,
    "XCN": XCN.parse,
    "XON": XON.parse,
    "XTN": XTN.parse,
}
