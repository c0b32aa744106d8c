"""What a verified access token says of the caller: claims -> `Caller`, by one table.

The gate calls `caller` after tokens.py found the token good. Where a token says one thing in two places, the
two must agree. It must never be given claims that were not signed, and never guess what a claim of
the wrong form could mean. Client name and tenancy are not read: they are for logs only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from xds.errors import DataTypeError
from xds.metadata.datatypes import CX, check_oid
from xds.metadata.identifiers import ENTERPRISE
from xds.metadata.model import Code
from xds.metadata.national import AUTHORITIES
from xds.security import jws
from xds.security.caller import Caller, CallerKind, Decision, Identifier, Unit
from xds.security.denials import denied
from xds.security.tokens import PERSONAL, TRUST_FRAMEWORK, Token, at
from xds.security.values import national

Path = tuple[str, ...]
#: A place in the claims, and how its value is read; the value is never None. Raises ValueError.
Source = tuple[Path, Callable[[Any], Any]]

#: ISO 6523, in which HelseID names the organisation of a multi-tenant client (norwegian-profile 4.10).
_ISO6523: Final = "1.0.6523"
_NO_ORGNR: Final = re.compile(r"NO:ORGNR:([0-9]{9})(?::([0-9]{9}))?")
_ORGNR: Final = re.compile(r"[0-9]{9}")
#: Characters that no text of a token has: they would be taken for something else in a log or a database.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_MOST_HPR: Final = 9  # digits of a number in the register of health personnel
_HELSEID: Final = "helseid://claims/"
_PRACTITIONER: Final = (TRUST_FRAMEWORK, "practitioner")
_PATIENTS: Final = (TRUST_FRAMEWORK, "patients")
_IUA: Final = ("extensions", "ihe_iua")
_BPPC: Final = ("extensions", "ihe_bppc")


# ---- how a value is read: each takes a value of JSON and raises ValueError when it is not of its form


def _text(value: Any) -> str:
    if not isinstance(value, str) or _CONTROL.search(value):
        raise ValueError("not a text")
    return value.strip()


def _oid_or_text(value: Any) -> str:
    return _text(value).removeprefix("urn:oid:")


def _oid(value: Any) -> str:
    if text := _oid_or_text(value):
        check_oid(text)
    return text


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    return value


def _optional(value: Mapping[str, Any], name: str, read: Callable[[Any], str] = _text) -> str:
    """A text that may be missing or null."""
    return "" if value.get(name) is None else read(value[name])


def _only(value: Any) -> Any:
    """The one element of a list, or the thing itself; None when the list is empty."""
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise ValueError("more than one")
    return value[0] if value else None


def _authority(system: str) -> str:
    """An OID, or empty: Identifier.authority has no place for other systems, as local departments have."""
    try:
        check_oid(system)
    except DataTypeError:
        return ""
    return system


def _identifier(value: str, authority: str) -> Identifier:
    if authority in AUTHORITIES:
        return _national(value)
    if authority == ENTERPRISE and not _ORGNR.fullmatch(value):
        raise ValueError("not an organisation's number")
    return Identifier(value, authority)


def _national(number: str) -> Identifier:
    """With the authority of its kind, whichever was named; `caller` looks at synthetic people."""
    if (found := national(number, test=True)) is None:
        raise ValueError("not a national number")
    return found


def _id(value: Any) -> Identifier | None:
    """{id, system} of the trust framework."""
    text = _optional(_object(value), "id")
    return _identifier(text, _authority(_optional(value, "system", _oid_or_text))) if text else None


def _unit(value: Any) -> Unit | None:
    """{id, name, system} of the trust framework."""
    identifier, name = _id(value), _optional(value, "name")
    return Unit(identifier, name) if identifier or name else None


def _code(value: Any) -> Code | None:
    """{code, text, system}: the trust framework's, or one of IHE's list of {code, system, display}."""
    value = _only(value)
    if value is None:
        return None
    code = _optional(_object(value), "code")
    text = _optional(value, "text") or _optional(value, "display")
    return Code(code, _optional(value, "system", _oid_or_text), text or None) if code else None


def _decision(value: Any) -> Decision | None:
    """{id, description, user_selected}; the identifier has been called ref_id."""
    named, once = _optional(_object(value), "id"), _optional(value, "ref_id")
    selected = value.get("user_selected")
    if (named and once and named != once) or not (selected is None or isinstance(selected, bool)):
        raise ValueError("not a decision")
    return Decision(named or once, selected, _optional(value, "description")) if named or once else None


def _person(value: Any) -> Identifier | None:
    """A national number, bare or as CX."""
    text = _text(value)
    number = CX.parse(text).id if "^" in text else text
    return _national(number) if number else None


def _person_of(value: Any) -> Identifier | None:
    return None if (number := _object(value).get("id")) is None else _person(number)


def _patient(value: Any) -> Identifier | None:
    """A CX."""
    if not (text := _text(value)):
        return None
    patient = CX.parse(text)
    return _identifier(patient.id, patient.authority)


def _of_patient(name: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Something of `patients`: an empty object, or a list with one patient at most."""

    def read_patients(value: Any) -> Any:
        patient = _only(value)
        part = None if patient is None else _object(patient).get(name)
        return None if part is None else read(part)

    return read_patients


def _hpr(value: Any) -> str:
    text = _text(value)
    number = text.lstrip("0")
    if text and not (number.isascii() and number.isdigit() and len(number) <= _MOST_HPR):
        raise ValueError("not an HPR number")
    return number


def _hpr_of(value: Any) -> str:
    return "" if (number := _object(value).get("id")) is None else _hpr(number)


def _orgnr(value: Any) -> Unit | None:
    """A bare number of Enhetsregisteret."""
    text = _text(value)
    return Unit(_identifier(text, ENTERPRISE)) if text else None


def _tenant(group: int) -> Callable[[Any], Unit | None]:
    """The organisation that HelseID was told the client acts for; 1: the legal entity, 2: the sub-unit."""

    def read(claims: Any) -> Unit | None:
        details = claims.get("authorization_details")
        details = [each for each in (details if isinstance(details, list) else [details]) if each is not None]
        stated = [each for each in details if _object(each).get("type") == "helseid_authorization"]
        if (claim := claims.get("helseid_authorization")) is not None:
            stated.append(jws.read_json(claim) if isinstance(claim, str) else claim)
        if (one := _only(stated)) is None:
            return None
        identifier = _object(at(_object(one), ("practitioner_role", "organization", "identifier")))
        system, number = _optional(identifier, "system", _oid_or_text), _text(identifier.get("value"))
        if system == ENTERPRISE:
            return _orgnr(number) if group == 1 else None
        match = _NO_ORGNR.fullmatch(number)
        if system != _ISO6523 or match is None:
            raise ValueError("not an organisation")
        return _orgnr(match[group]) if match[group] else None

    return read


def _iua_organisation(value: Any) -> Unit | None:
    number, name = (_optional(_object(value), f"subject_organization{end}") for end in ("_id", ""))
    return Unit(Identifier(number) if number else None, name) if number or name else None


def _full_name(claims: Any) -> str:
    names = (_optional(claims, f"{each}_name") for each in ("given", "middle", "family"))
    return " ".join(name for name in names if name)


def _level(value: Any) -> int | None:
    """Security level 1 to 4, which HelseID writes as a text."""
    if value in ("1", "2", "3", "4"):
        return int(value)
    if type(value) is int and 1 <= value <= 4:
        return value
    raise ValueError("not a security level")


def _scopes(value: Any) -> frozenset[str]:
    """A list of texts (HelseID), or one text with blanks between (RFC 9068, 2.2.3)."""
    texts = value.split(" ") if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise ValueError("not scopes")
    return frozenset(_text(text) for text in texts) - {""}


#: Where each field of `Caller` is said (norwegian-profile 4.10, 4.11). The first place
#: that says it is taken, and all others must say the same, but for _FREE. The empty path is all claims.
FIELDS: Final[Mapping[str, tuple[Source, ...]]] = {
    "person": (
        ((f"{_HELSEID}identity/pid",), _person),
        ((*_PRACTITIONER, "identifier"), _person_of),
        ((*_IUA, "person_id"), _person),
    ),
    "name": (
        ((*_PRACTITIONER, "identifier", "name"), _text),
        (("name",), _text),
        ((), _full_name),
        ((*_IUA, "subject_name"), _text),
    ),
    "hpr": (
        ((f"{_HELSEID}hpr/hpr_number",), _hpr),
        ((*_PRACTITIONER, "hpr_nr"), _hpr_of),
        ((*_IUA, "national_provider_identifier"), _hpr),
    ),
    "role": (
        ((*_PRACTITIONER, "authorization"), _code),
        ((*_IUA, "subject_role"), _code),
    ),
    "organisation": (
        ((*_PRACTITIONER, "legal_entity"), _unit),
        ((f"{_HELSEID}client/claims/orgnr_parent",), _orgnr),
        ((), _tenant(1)),
        (_IUA, _iua_organisation),
    ),
    "unit": (
        ((*_PRACTITIONER, "point_of_care"), _unit),
        ((f"{_HELSEID}client/claims/orgnr_child",), _orgnr),
        ((), _tenant(2)),
    ),
    "department": (((*_PRACTITIONER, "department"), _unit),),
    "purpose": (
        ((TRUST_FRAMEWORK, "care_relationship", "purpose_of_use"), _code),
        ((TRUST_FRAMEWORK, "care_relation", "purpose_of_use"), _code),
        ((*_IUA, "purpose_of_use"), _code),
    ),
    "purpose_details": (
        ((TRUST_FRAMEWORK, "care_relationship", "purpose_of_use_details"), _code),
        ((TRUST_FRAMEWORK, "care_relation", "purpose_of_use_details"), _code),
    ),
    "health_service": (
        ((TRUST_FRAMEWORK, "care_relationship", "healthcare_service"), _code),
        ((TRUST_FRAMEWORK, "care_relation", "healthcare_service"), _code),
    ),
    "decision": (
        ((TRUST_FRAMEWORK, "care_relationship", "decision_ref"), _decision),
        ((TRUST_FRAMEWORK, "care_relation", "decision_ref"), _decision),
    ),
    "security_level": (((f"{_HELSEID}identity/security_level",), _level),),
    "patient": (
        (_PATIENTS, _of_patient("identifier", _id)),
        ((*_BPPC, "patient_id"), _patient),
    ),
    "patient_unit": ((_PATIENTS, _of_patient("point_of_care", _unit)),),
    "patient_department": ((_PATIENTS, _of_patient("department", _unit)),),
    "acp": (
        (("xua-acp",), _oid),
        ((*_BPPC, "acp"), _oid),
    ),
    "consent_document": (((*_BPPC, "doc_id"), _oid),),
    "scopes": ((("scope",), _scopes),),
    "client": ((("client_id",), _text),),
    "home": (
        (("homeCommunityId",), _oid),
        ((*_IUA, "home_community_id"), _oid),
    ),
    "attested_at": (((TRUST_FRAMEWORK, "toa"), jws.time),),
}
#: A name is written in many ways; and a point of care need not be the sub-unit that the client is of.
_FREE: Final = frozenset({"name", "unit"})


def caller(token: Token) -> Caller:
    """Who asks. Raises Denied("token-content").

    Health personnel is whose national number or HPR number the token has; a token that names nobody at all,
    but a client, is a machine's; anything between the two is refused. So is a legal entity of the trust
    framework that is not the parent organisation of the client: in HelseID's multi-tenant clients the
    parent is the tenant, and an attestation made elsewhere is not theirs.
    """
    claims = token.claims
    try:
        said = {name: value for name in FIELDS if (value := _field(name, claims)) not in (None, "")}
        subject = _optional(claims, "sub")
    except (ValueError, DataTypeError):
        raise denied("token-content") from None
    people = [said[name] for name in ("person", "patient") if name in said]
    if not token.issuer.test and any(
        each.authority in AUTHORITIES and national(each.value, test=False) is None for each in people
    ):
        # Synthetic, or somebody else in each enterprise (KITH 1001:2010).
        raise denied("token-content")
    client = said.get("client", "")
    if said.keys() & {"person", "hpr"}:
        kind = CallerKind.PERSONNEL
    elif client and subject in ("", client) and all(at(claims, path) is None for path in PERSONAL):
        kind = CallerKind.MACHINE
    else:
        raise denied("token-content")
    return Caller(
        kind=kind,
        issuer=token.issuer.name,
        issuer_kind=token.issuer.kind.value,
        ticket_id=token.id,
        subject=subject or client,
        expires_at=token.expires_at,
        **said,
    )


def _field(name: str, claims: Mapping[str, Any]) -> Any:
    """What the claims say of one field; None when they say nothing."""
    said = []
    for path, read in FIELDS[name]:
        value = at(claims, path)
        if value is not None and (one := read(value)) not in (None, ""):
            said.append(one)
    if name not in _FREE and len({_compared(value) for value in said}) > 1:
        raise ValueError("said in two ways")
    return said[0] if said else None


def _compared(value: Any) -> Any:
    """What two places must agree about: of a unit and an identifier the number, whoever is named for it."""
    if isinstance(value, Unit):
        value = value.identifier
    return value.value if isinstance(value, Identifier) else value
