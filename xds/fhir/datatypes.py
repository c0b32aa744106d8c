"""FHIR R4's data types and those of XDS, both ways: codes, ids, times, people and organisations.

mapping.py makes resources of them, parameters.py reads searches with them. What FHIR cannot say of a text of
HL7 v2 stands beside it in an extension, so that it comes back as it was; what a sender wrote there counts
only while it says the same as the element. Readers raise DataTypeError, whose sentence holds no value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote, unquote

from xds.errors import DataTypeError
from xds.metadata.datatypes import CX, HD, XCN, XON, XTN, CXi, check_oid, dtm_low
from xds.metadata.identifiers import NAMED_DEPARTMENT
from xds.metadata.model import Code
from xds.registry.masking import MASK

Json = dict[str, Any]

#: The namespace of ids that are URIs themselves.
URI: Final = "urn:ietf:rfc:3986"
_OID: Final = "urn:oid:"
#: A text of HL7 v2 that the element beside it does not say all of.
ORIGINAL: Final = "urn:no:xds:original"
#: Names that are no URI, as a URI.
_NAMED: Final = "urn:no:xds:name:"
_URI_FORM: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
MASKED: Final = {"url": _ABSENT, "valueCode": "masked"}

#: Code systems that have a URI of their own in FHIR; all others go by their OID.
SYSTEMS: Final[Mapping[str, str]] = {
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "1.3.6.1.4.1.19376.1.2.3": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
    "2.16.840.1.113883.5.25": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "2.16.840.1.113883.5.8": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "2.16.840.1.113883.5.1": "http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender",
    "2.16.840.1.113883.5.1008": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
}
_OIDS: Final = {uri: oid for oid, uri in SYSTEMS.items()}

T = TypeVar("T")

#: People, organisations and ids come again in every document of a list; what is made of them is made once,
#: and never changed by whoever gets it.
_REMEMBERED: Final = 2048


def _refuse(sentence: str) -> NoReturn:
    raise DataTypeError(sentence)


def is_oid(text: str) -> bool:
    """Dotted integers (ITI TF-3 4.2.3.1.7)."""
    try:
        check_oid(text)
    except DataTypeError:
        return False
    return True


# ---- systems


def system_of(scheme: str) -> str:
    """The URI of a codingScheme or of an assigning authority."""
    bare = scheme.removeprefix(_OID)
    if is_oid(bare):
        return SYSTEMS.get(bare, f"{_OID}{bare}")
    return scheme if _is_uri(scheme) else f"{_NAMED}{quote(scheme, safe='')}"


def _is_uri(text: str) -> bool:
    return _URI_FORM.fullmatch(text) is not None


def scheme_of(system: str) -> str:
    """The codingScheme of a URI: the OID where there is one."""
    if system.startswith(_NAMED):
        return unquote(system.removeprefix(_NAMED))
    return _OIDS.get(system, system.removeprefix(_OID))


def schemes_of(system: str) -> tuple[str, ...]:
    """Every way to write the codingScheme of a URI: senders write OIDs with urn:oid: and without."""
    scheme = scheme_of(system)
    if not is_oid(scheme):
        return (scheme,)
    return tuple(dict.fromkeys((scheme, f"{_OID}{scheme}", *filter(None, (SYSTEMS.get(scheme),)))))


# ---- codes


def coding(code: Code) -> Json:
    """A Coding; a masked code is one without system and code."""
    if code.code == MASK:
        return {"extension": [MASKED], "display": MASK}
    found = {"system": system_of(code.scheme), **primitive("code", code.code, _token)}
    return {**found, "display": code.display} if (code.display or "").strip() else found


def concept(code: Code) -> Json:
    """A CodeableConcept with one Coding."""
    if code.code == MASK:
        return {"extension": [MASKED], "text": MASK}
    return {"coding": [coding(code)]}


def read_coding(given: Json) -> Code:
    """The code of a Coding."""
    if not given.get("code") or not given.get("system"):
        _refuse("A Coding has system and code.")
    return Code(read_token(given, "code"), scheme_of(given["system"]), given.get("display"))


def read_concept(given: Json) -> Code:
    """The first Coding of a CodeableConcept that has a system; its text stands in for a display."""
    for each in given.get("coding", ()):
        if each.get("code") and each.get("system"):
            code = read_coding(each)
            return code if code.display else Code(code.code, code.scheme, given.get("text"))
    _refuse("A CodeableConcept has a coding with system and code.")


# ---- times


_PRECISIONS: Final = {
    4: "{0}",
    6: "{0}-{1}",
    8: "{0}-{1}-{2}",
    10: "{0}-{1}-{2}T{3}:00:00Z",
    12: "{0}-{1}-{2}T{3}:{4}:00Z",
    14: "{0}-{1}-{2}T{3}:{4}:{5}Z",
}
_TIME: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?", re.ASCII
)


def date_time(dtm: str) -> str:
    """A dateTime of a DTM in UTC; FHIR knows no hour without minutes and seconds."""
    dtm_low(dtm)
    parts = (dtm[:4], dtm[4:6], dtm[6:8], dtm[8:10], dtm[10:12], dtm[12:14])
    return _PRECISIONS[len(dtm)].format(*parts)


def read_date_time(given: str) -> str:
    """The DTM, in UTC and without fractions, of a date, dateTime or instant."""
    match = _TIME.fullmatch(given)
    if match is None:
        _refuse("A time is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with its zone.")
    year, month, day, hour, minute, second, zone = match.groups()
    dtm = f"{year}{month or ''}{day or ''}"
    if hour:
        try:
            moment = datetime.fromisoformat(
                f"{year}-{month}-{day}T{hour}:{minute}:{second}{'+00:00' if zone == 'Z' else zone}"
            )
            dtm = moment.astimezone(UTC).strftime("%Y%m%d%H%M%S").rjust(14, "0")
        except (ValueError, OverflowError):
            _refuse("The time does not exist.")
    dtm_low(dtm)
    return dtm


def time_of(name: str, dtm: str) -> Json:
    """The element of this name for a DTM, with the DTM beside it where FHIR has to say more than it does."""
    return primitive(name, dtm, date_time, read_date_time)


def read_time(element: Json, name: str) -> str:
    """The DTM of an element."""
    return read_primitive(element, name, date_time) or read_date_time(element[name])


def instant(milliseconds: int) -> str:
    """An instant of milliseconds since 1970."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- what FHIR cannot say


def kept(element: Json, original: str, read: Callable[[Json], str]) -> Json:
    """The element, with the original text beside it when reading it gives another."""
    try:
        if read(element) == original:
            return element
    except DataTypeError:
        pass
    return {**element, "extension": [*element.get("extension", ()), _original(original)]}


def _itself(text: str) -> str:
    return text


def primitive(
    name: str, text: str, write: Callable[[str], str], read: Callable[[str], str] = _itself
) -> Json:
    """The element of this name, with the text beside it when reading it gives another."""
    shown = write(text)
    if read(shown) == text:
        return {name: shown}
    return {name: shown, f"_{name}": {"extension": [_original(text)]}}


def read_primitive(element: Json, name: str, write: Callable[[str], str]) -> str:
    """The text beside an element, if it says what the element says; else nothing."""
    for each in extensions(element.get(f"_{name}", {}), ORIGINAL):
        with suppress(DataTypeError):
            if isinstance(text := each.get("valueString"), str) and write(text) == element.get(name):
                return text
    return ""


def _token(text: str) -> str:
    """FHIR's code: words with one blank between them."""
    return " ".join(text.split())


def token(name: str, text: str) -> Json:
    """The element of this name for a code; nothing for one of blanks alone."""
    return primitive(name, text, _token) if text.strip() else {}


def read_token(element: Json, name: str) -> str:
    """The code of an element."""
    return read_primitive(element, name, _token) or str(element.get(name, ""))


def _original(text: str) -> Json:
    return {"url": ORIGINAL, "valueString": text}


def original_of(element: Json, write: Callable[[str], Json]) -> str | None:
    """The text beside an element, if it says what the element says."""
    found = [each.get("valueString") for each in element.get("extension", ()) if each.get("url") == ORIGINAL]
    if len(found) != 1 or not isinstance(found[0], str):
        return None
    with suppress(DataTypeError):
        if write(found[0]) == element:
            return found[0]
    return None


def extensions(element: Mapping[str, Any], *urls: str) -> Iterator[Json]:
    """The element's extensions of these urls."""
    for each in element.get("extension", ()):
        if each.get("url") in urls:
            yield each


# ---- ids


def identifier(value: str, authority: str = "", **more: Any) -> Json:
    """An Identifier: of an authority by its OID, or a URI by itself."""
    if not authority:
        return {**more, "system": URI, "value": f"{_OID}{value}" if is_oid(value) else value}
    return {**more, "system": system_of(authority), "value": value}


def read_identifier(given: Json) -> tuple[str, str]:
    """(value, OID of the authority or nothing) of an Identifier that is no URI."""
    system, value = given.get("system", ""), given.get("value", "")
    if not value:
        _refuse("An Identifier has a value.")
    if system == URI:
        return str(value).removeprefix(_OID), ""
    if not is_oid(oid := scheme_of(str(system))):
        _refuse("The system of an Identifier is urn:oid: and the OID of whoever gave it out.")
    return str(value), oid


def cx(text: str, **more: Any) -> Json:
    """An Identifier of a patient id; a masked one has neither system nor value."""
    if text == MASK:
        return {"extension": [MASKED]}
    parsed = CX.parse(text)
    return identifier(parsed.id, parsed.authority, **more)


def read_cx(given: Json) -> str:
    """The patient id (CX text) of an Identifier."""
    value, oid = read_identifier(given)
    if not oid:
        _refuse("A patient's Identifier has the OID of its authority as system.")
    return str(CX.parse(str(CX(value, oid))))


def unique_id(text: str) -> Json:
    """The Identifier of a uniqueId: an OID or another URI, or root^extension."""
    return kept(_unique_id(text), text, _read_unique_id)


def _unique_id(text: str) -> Json:
    root, caret, extension = text.partition("^")
    if caret and is_oid(root) and extension.strip():
        return {"system": f"{_OID}{root}", "value": extension}
    if is_oid(text) or _is_uri(text):
        return identifier(text)
    return {"system": f"{_NAMED}uniqueId", "value": text}


def read_unique_id(given: Json) -> str:
    """The uniqueId of an Identifier."""
    plain = {name: value for name, value in given.items() if name not in ("id", "use", "type")}
    return original_of(plain, unique_id) or _read_unique_id(given)


def _read_unique_id(given: Json) -> str:
    system, value = given.get("system", ""), given.get("value", "")
    if not value:
        _refuse("A uniqueId is an Identifier with system and value.")
    if system in (URI, f"{_NAMED}uniqueId"):
        return str(value).removeprefix(_OID)
    root = str(system).removeprefix(_OID)
    if not is_oid(root):
        _refuse("The system of a uniqueId is urn:ietf:rfc:3986, or urn:oid: and the OID of its root.")
    return f"{root}^{value}"


_TYPE_CODE: Final = "urn:ihe:iti:xds:"
ENCOUNTER: Final = "urn:ihe:iti:xds:2015:encounterId"


@lru_cache(_REMEMBERED)
def cxi(text: str) -> Json:
    """An Identifier of a reference id (ITI TF-2 Z.9.1.2)."""
    return kept(_cxi(text), text, _read_cxi)


def _cxi(text: str) -> Json:
    parsed = CXi.parse(text)
    found: Json = {"type": {"coding": [{"system": URI, **token("code", parsed.type_code)}]}}
    if parsed.authority.universal_id:
        found["system"] = system_of(parsed.authority.universal_id)
    elif parsed.authority.namespace:
        found["system"] = system_of(parsed.authority.namespace)
    elif _is_uri(parsed.id) or is_oid(parsed.id):
        return {**found, **identifier(parsed.id)}
    return {**found, "value": parsed.id} if parsed.id.strip() else found


def read_cxi(given: Json, type_code: str = "") -> str:
    """The reference id (CXi text) of an Identifier, of the type that it names or else of `type_code`."""
    return original_of(given, cxi) or _read_cxi(given, type_code)


def _read_cxi(given: Json, type_code: str = "") -> str:
    codings = given.get("type", {}).get("coding", ())
    named = next((each["code"] for each in codings if each.get("system") == URI and each.get("code")), "")
    value, system = given.get("value", ""), given.get("system", "")
    if not value:
        _refuse("An Identifier has a value.")
    authority = HD()
    if system == URI:
        value = str(value).removeprefix(_OID)
    elif system:
        scheme = scheme_of(system)
        authority = HD("", scheme, "ISO") if is_oid(scheme) else HD(scheme)
    text = str(CXi(str(value), named or type_code or "urn:ihe:iti:xds:2013:uniqueId", authority))
    CXi.parse(text)
    return text


# ---- people and organisations


def human_name(person: XCN) -> Json:
    """A HumanName; nothing of it when the person has no name."""
    name: Json = {"family": person.family} if person.family.strip() else {}
    if given := [each for each in (person.given, *person.further.split()) if each.strip()]:
        name["given"] = given
    if person.prefix.strip():
        name["prefix"] = [person.prefix]
    if person.suffix.strip():
        name["suffix"] = [person.suffix]
    return name


def words(element: Json, name: str) -> list[str]:
    """The texts of an element that is repeated; those that have extensions only are none."""
    return [each for each in element.get(name, ()) if each is not None]


@lru_cache(_REMEMBERED)
def practitioner(text: str) -> Json:
    """A Practitioner, but for its id, of a person (XCN)."""
    return kept(_practitioner(text), text, _read_practitioner)


def _practitioner(text: str) -> Json:
    if set(text) <= set(f"{MASK}^"):
        return {"resourceType": "Practitioner", "extension": [MASKED]}
    person = XCN.parse(text)
    found: Json = {"resourceType": "Practitioner"}
    if person.id.strip():
        found["identifier"] = [_assigned(person.id, person.authority)]
    if name := human_name(person):
        found["name"] = [name]
    return found


def read_practitioner(given: Json) -> str:
    """The person (XCN text) of a Practitioner, Patient or RelatedPerson."""
    plain = {name: value for name, value in given.items() if name != "id"}
    return original_of(plain, practitioner) or _read_practitioner(given)


def _read_practitioner(given: Json) -> str:
    value, authority = _read_assigned(given.get("identifier", ()))
    name = _first(given.get("name", ()))
    names = words(name, "given")
    family = name.get("family") or (name.get("text", "") if not names else "")
    person = XCN(
        id=value,
        family=family,
        given=names[0] if names else "",
        further=" ".join(names[1:]),
        suffix=" ".join(words(name, "suffix")),
        prefix=" ".join(words(name, "prefix")),
        authority=authority,
    )
    text = str(person)
    XCN.parse(text)
    return text


@lru_cache(_REMEMBERED)
def organization(text: str) -> Json:
    """An Organization, but for its id, of an organisation (XON)."""
    return kept(_organization(text), text, _read_organization)


def _organization(text: str) -> Json:
    if text == MASK:
        return {"resourceType": "Organization", "extension": [MASKED], "name": MASK}
    parsed = XON.parse(text)
    found: Json = {"resourceType": "Organization"}
    if parsed.id.strip():
        found["identifier"] = [_assigned(parsed.id, parsed.authority)]
    return {**found, "name": parsed.name}


def read_organization(given: Json) -> str:
    """The organisation (XON text) of an Organization.

    A department without number may have its name as an id of its own system (norwegian-profile 2.7).
    """
    plain = {name: value for name, value in given.items() if name != "id"}
    return original_of(plain, organization) or _read_organization(given)


def _read_organization(given: Json) -> str:
    identifiers = given.get("identifier", ())
    named = f"{_OID}{NAMED_DEPARTMENT}"
    by_name = next((each.get("value", "") for each in identifiers if each.get("system") == named), "")
    value, authority = _read_assigned([each for each in identifiers if each.get("system") != named])
    text = str(XON(given.get("name") or by_name, value, authority))
    XON.parse(text)
    return text


def _assigned(value: str, authority: HD) -> Json:
    if authority.universal_id and authority.universal_id_type == "ISO":
        return identifier(value, authority.universal_id)
    if not authority and is_oid(value):
        return identifier(value)
    if authority.namespace:
        return {"system": system_of(authority.namespace), "value": value}
    return {"value": value}


def _read_assigned(identifiers: Sequence[Json]) -> tuple[str, HD]:
    """The first id that has a value, those of an OID before others."""
    with_value = [each for each in identifiers if each.get("value")]
    with_value.sort(key=lambda each: not str(each.get("system", "")).startswith(_OID))
    if not with_value:
        return "", HD()
    system, value = with_value[0].get("system", ""), str(with_value[0]["value"])
    if system == URI:
        return value.removeprefix(_OID), HD()
    scheme = scheme_of(system) if system else ""
    return value, HD("", scheme, "ISO") if is_oid(scheme) else HD(scheme)


@lru_cache(_REMEMBERED)
def contact_point(text: str) -> Json:
    """A ContactPoint of a telecommunication (XTN)."""
    return kept(_contact_point(text), text, _read_contact_point)


def _contact_point(text: str) -> Json:
    parsed = XTN.parse(text)
    system, value = ("email", parsed.email) if parsed.email else ("phone", parsed.number)
    return {"system": system, "value": value} if value.strip() else {"system": system}


def read_contact_point(given: Json) -> str:
    """The telecommunication (XTN text) of a ContactPoint."""
    return original_of(given, contact_point) or _read_contact_point(given)


def _read_contact_point(given: Json) -> str:
    value = given.get("value", "")
    if not value:
        _refuse("A ContactPoint has a value.")
    parts = ("", "", "Internet", value) if given.get("system") == "email" else (value, "PRN", "PH")
    text = str(XTN(tuple(parts)))
    XTN.parse(text)
    return text


@lru_cache(_REMEMBERED)
def coded_text(text: str) -> Json:
    """A CodeableConcept of a role or specialty: a code with its authority (CX), or words."""
    found: Json = {"text": text}
    if text != MASK:
        with suppress(DataTypeError):
            parsed = CX.parse(text)
            found = {"coding": [{"system": system_of(parsed.authority), "code": _token(parsed.id)}]}
    return kept(found, text, _read_coded_text)


def read_coded_text(given: Json) -> str:
    """The role or specialty of a CodeableConcept."""
    return original_of(given, coded_text) or _read_coded_text(given)


def _read_coded_text(given: Json) -> str:
    for each in given.get("coding", ()):
        if each.get("code") and is_oid(oid := scheme_of(each.get("system", ""))):
            return str(CX(each["code"], oid))
    for words in (given.get("text"), *(each.get("display") for each in given.get("coding", ()))):
        if words:
            return str(words)
    _refuse("A role or a specialty has a code with the OID of its system, or a text.")


# ---- hashes


def hash_of(sha1: str) -> str:
    """base64 of the 20 bytes whose hexadecimal form XDS has."""
    return base64.b64encode(bytes.fromhex(sha1)).decode()


def read_hash(given: str) -> str:
    """The SHA-1 in hexadecimal."""
    try:
        digest = base64.b64decode(given, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 20:
        _refuse("A hash is the base64 of the 20 bytes of a SHA-1.")
    return digest.hex()


def _first(some: Sequence[Json]) -> Json:
    return some[0] if some else {}
