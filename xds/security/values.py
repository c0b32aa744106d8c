"""The value of a SAML attribute, in whatever shape a sender put it.

attributes.py calls `parts` for each value that it reads, and the readers below for what the parts mean.
A value is text, an HL7 element, or such an element as text, escaped once or twice (norwegian-profile 4.5, the
parsing traps). Nothing here may guess: what cannot be read is `ticket-content`, what is empty is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from lxml import etree

from xds.errors import DataTypeError, Fault
from xds.metadata import identifiers
from xds.metadata.datatypes import CX
from xds.metadata.identifiers import read_oid
from xds.metadata.model import Code
from xds.metadata.national import AUTHORITIES, parse
from xds.security.caller import Decision, Identifier
from xds.security.denials import denied
from xds.transport import xml

#: What a value says, by lower-case name without hyphens and underscores; the value's own text is under "".
Parts = Mapping[str, str]

#: Norwegian identifier systems (metadata/identifiers.py) that tickets name: health personnel,
#: Enhetsregisteret, RESH.
HPR: Final = identifiers.HPR
ENTERPRISE: Final = identifiers.ENTERPRISE
RESH: Final = identifiers.RESH
#: Code system N of Volven is this and N; some senders write N alone.
_VOLVEN: Final = "2.16.578.1.12.4.1.1."
#: The arc of access control policies; .0 stands for no policy (norwegian-profile 4.6).
ACP: Final = "2.16.578.1.12.4.1.7.2.1."

#: The longest value in characters; names and coded values are two orders of magnitude shorter.
LONGEST: Final = 16_384

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_JOINTS: Final = str.maketrans("", "", "-_")
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ENTITY: Final = re.compile(r"&(amp|lt|gt|quot|apos);")
# JSON's escapes: a pair of surrogates, or a character that is none.
_ESCAPE: Final = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u((?![dD][89a-fA-F])[0-9a-fA-F]{4})"
)
_URI: Final = re.compile(r"(?!(?:urn:)?oid:)[a-z][a-z0-9+.-]*:(?=[^a-z0-9]*[a-z0-9])[^\s*]+", re.IGNORECASE)
_VOLVEN_NUMBER: Final = re.compile(r"[0-9]{4}")
_ENTERPRISE_NUMBER: Final = re.compile(r"[0-9]{9}")
_BETWEEN_WORDS: Final = re.compile(r"[,\s]+")


# ---- from a value to its parts


def parts(value: etree._Element) -> Parts:
    """What a saml2:AttributeValue says; empty when it is nil or says nothing."""
    text, children = (value.text or "").strip(), list(value)
    if not children:
        if len(text) > LONGEST or (text and _is_nil(value)):
            raise denied("ticket-content")
        return _of_text(text) if text else _of_element(value)
    if text or len(children) > 1 or (children[0].tail or "").strip() or _is_nil(value):
        raise denied("ticket-content")
    return _of_element(children[0])


def _of_text(text: str) -> Parts:
    """Of text, which may be an element that was escaped once, or twice."""
    if text.startswith("&lt;"):
        text = _ENTITY.sub(_named, text)
    if text.startswith("<"):
        return _of_element(_parsed(text))
    if (result := plain(text)).startswith("<"):
        raise denied("ticket-content")
    return {"": result}


def _parsed(text: str) -> etree._Element:
    """The one element that `text` is, parsed strictly; HelseID's use the prefix xsi without declaring it."""
    try:
        around = xml.parse(f'<value xmlns:xsi="{_XSI}">{text}</value>'.encode())
    except Fault:
        raise denied("ticket-content") from None
    if len(around) != 1 or (around.text or "").strip() or (around[0].tail or "").strip():
        raise denied("ticket-content")
    return around[0]


def _of_element(element: etree._Element) -> Parts:
    """Of an element, by its attributes and children; its name varies between senders and does not count."""
    if not isinstance(element.tag, str):  # a comment, or an entity that was not resolved
        raise denied("ticket-content")
    if _is_nil(element):
        return {}
    # Attributes with a prefix are xsi:type and the like, whatever their prefix is bound to.
    found = [(name, str(value)) for name, value in element.attrib.items() if not str(name).startswith("{")]
    if (text := (element.text or "").strip()) or not (found or len(element)):
        found.append(("", text))
    for child in element:
        if not isinstance(child.tag, str) or text or (child.tail or "").strip():
            raise denied("ticket-content")
        found.append((etree.QName(child).localname, str(child.get("value", child.text or ""))))
    return collected(found)


def collected(found: Iterable[tuple[str, str]]) -> Parts:
    """The parts by name; a name that is there with two different texts says it in two ways."""
    result: dict[str, str] = {}
    for name, raw in found:
        key, text = str(name).translate(_JOINTS).lower(), plain(raw)
        if text and result.get(key, text) not in ("", text):
            raise denied("ticket-content")
        result[key] = text or result.get(key, "")
    return {} if result == {"": ""} else result


def _is_nil(element: etree._Element) -> bool:
    return any(
        str(name).rpartition("}")[2] == "nil" and value in _TRUE for name, value in element.attrib.items()
    )


def plain(text: str) -> str:
    r"""The text without the escapes that senders leave in it (\u00e6, &amp;amp;) and control characters."""
    if len(text) > LONGEST:
        raise denied("ticket-content")
    if "\\" in text:
        text = _ESCAPE.sub(_character, text)
    for _ in range(2 if "&" in text else 0):
        text = _ENTITY.sub(_named, text)
    text = " ".join(text.split())
    return text if text.isprintable() else "".join([c for c in text if c.isprintable()])


def _named(match: re.Match[str]) -> str:
    return _ENTITIES[match[1]]


def _character(match: re.Match[str]) -> str:
    if match[3]:
        return chr(int(match[3], 16))
    return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00)


# ---- from parts to meaning: each returns nothing (None, or empty) where the parts say nothing


def text(value: Parts) -> str:
    """The value's own text."""
    if value and "" not in value:
        raise denied("ticket-content")
    return value.get("", "")


def words(value: Parts) -> frozenset[str]:
    """Scopes: one word, or a list with commas or blanks."""
    return frozenset(filter(None, _BETWEEN_WORDS.split(text(value))))


def level(value: Parts) -> int | None:
    """A security level, 1 to 4; any other is none."""
    said = text(value)
    return int(said) if said in ("1", "2", "3", "4") else None


def uri(value: Parts) -> str:
    """A URI as sent, but an OID without its prefix."""
    said = text(value)
    return read_oid(said) or said


def only_oid(value: Parts) -> str:
    """An OID without prefix; nothing else will do."""
    said = text(value)
    if said and not read_oid(said):
        raise denied("ticket-content")
    return read_oid(said)


def policy(value: Parts) -> str:
    """An access control policy; the one that stands for none is none."""
    said = only_oid(value)
    return "" if said == f"{ACP}0" else said


def code(value: Parts) -> Code | None:
    """A CE, an id/name/system group, or a code alone."""
    said = _first(value, "code", "id", "")
    if not said:
        return None
    return Code(
        said, _scheme(_first(value, "codesystem", "system")), _first(value, "displayname", "name") or None
    )


def identifier(value: Parts) -> Identifier | None:
    """An II, a CE, an id/system group, or a number alone."""
    said = _first(value, "extension", "code", "id", "")
    if not said:
        return None
    return Identifier(said, read_oid(_first(value, "root", "codesystem", "system")))


def organisation(value: Parts) -> Identifier | None:
    """A legal entity or a part of one; nine digits alone are an enterprise number (Helsenorge)."""
    said = identifier(value)
    if said is None or said.authority:
        return said
    if _ENTERPRISE_NUMBER.fullmatch(said.value):
        return Identifier(said.value, ENTERPRISE)
    return Identifier(read_oid(said.value) or said.value)


def patient(value: Parts) -> Identifier | None:
    """A CX, an II, an id/system group, or a national number alone. What is there must be readable.

    A national number gets the authority of its kind: tickets name the one of fødselsnummer for D-numbers too.
    """
    if value and not value.keys() & {"extension", "id", ""}:
        raise denied("ticket-content")
    said = identifier(value)
    if said is None:
        return None
    if "^" in said.value:
        try:
            parsed = CX.parse(said.value)
        except DataTypeError:
            raise denied("ticket-content") from None
        said = Identifier(parsed.id, parsed.authority)
    if said.authority and said.authority not in AUTHORITIES:
        return said
    return _or_denied(national(said.value, test=True))


def national(number: str, *, test: bool) -> Identifier | None:
    """A valid national number with its authority; in a `test` also a synthetic person's."""
    found = parse(number, test=test)
    return Identifier(number, found.authority) if found is not None and found.authority else None


def hpr(said: Identifier) -> str:
    """The number in the register of health personnel without leading zeros; empty when `said` is none."""
    return identifiers.hpr_number(said.value) if said.authority in (HPR, "") else ""


def decision(value: Parts) -> Decision | None:
    """decision-ref of the trust framework, or Helse Sør-Øst's purpose-local group."""
    said = Decision(
        id=_first(value, "id", ""),
        user_selected=_truth(value.get("userselected", "")),
        description=_first(value, "description", "reason"),
    )
    return said if said.id or said.user_selected is not None or said.description else None


def _truth(text: str) -> bool | None:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _scheme(text: str) -> str:
    """A code system: an OID, the number of one of Volven's, or a URI; anything else is none."""
    if _VOLVEN_NUMBER.fullmatch(text):
        return _VOLVEN + text
    return read_oid(text) or (text if _URI.fullmatch(text) else "")


def _first(value: Parts, *names: str) -> str:
    return next((value[name] for name in names if value.get(name)), "")


def _or_denied(said: Identifier | None) -> Identifier:
    if said is None:
        raise denied("ticket-content")
    return said
