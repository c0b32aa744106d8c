"""A ticket service for a laptop: it issues each kind of ticket and token, signed with keys of its own.

The demo, the tests and `xds ticket issue` use it where no national test account is at hand. It believes
whatever it is told, so its keys must never be trusted outside a test; and it refuses to name a person who
may exist, because a sample ticket ends up in logs and mails.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner

from xds.client.patients import patient_id
from xds.demo import assertions
from xds.demo.assertions import REASONS, Said
from xds.demo.keys import AUDIENCE, Keys, TicketRefused, issuer
from xds.errors import DataTypeError
from xds.metadata import identifiers, national
from xds.security import values
from xds.security.trust import TicketKind
from xds.transport import xml

#: People of Tenor's synthetic series, and a number that the register of health personnel does not give out.
CLINICIAN: Final = "12867012107"
GUARDIAN: Final = "23848112186"
PATIENT: Final = "17855599120"
HPR: Final = "999999990"
SYSTEM: Final = f"{AUDIENCE}:system:1"
_LONGEST: Final = 24 * 60
_SCOPES: Final = (
    "nhn:phr/mhd/read-documentreferences",
    "nhn:phr/mhd/read-document",
    "nhn:phr/mhd/create-documents-with-reference",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A kind of ticket: whose, as which TicketKind, and what is assumed of who asks.

    `policies` are the access policies (`acp`) that it may carry. A ticket without a `person` is for the
    patient's own.
    """

    ticket: TicketKind
    purpose: str
    person: str = ""
    name: str = "Tuva Fjell"
    hpr: str = ""
    policies: str = ""
    acp: str = ""


#: The kinds that `saml` issues, by the words of `xds ticket issue --kind`.
SAMPLES: Final[Mapping[str, Sample]] = {
    "personnel": Sample(
        TicketKind.KJERNEJOURNAL, "health personnel, as of HelseID", CLINICIAN, hpr=HPR, policies="45678"
    ),
    "citizen": Sample(TicketKind.HELSENORGE, "a citizen about themselves", name="Syntetisk Prøvepasient"),
    "representative": Sample(
        TicketKind.HELSENORGE, "a citizen about another", GUARDIAN, "Ask Berg", policies="123", acp="2"
    ),
    "hso": Sample(TicketKind.HSO, "health personnel, as of Helse Sør-Øst", CLINICIAN, hpr=HPR),
    "xua": Sample(TicketKind.XUA, "health personnel, with IHE's names", CLINICIAN, hpr=HPR, policies="45678"),
    "system": Sample(TicketKind.SYSTEM, "a system without a person", SYSTEM, ""),
}


class TicketService:
    """Issues tickets with the keys of `folder`, which are made when they are not there yet.

    `trust` is the trust file for a node that is to believe them. Every method raises TicketRefused for what
    cannot be issued.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = Keys(folder)
        self._token_key = RSAKey.import_key(self._keys.token, {"use": "sig", "alg": "RS256"})
        self._token_key.ensure_kid()
        self._keys.publish(lambda: {"keys": [self._token_key.as_dict(private=False)]})
        self.trust = self._keys.trust

    def saml(
        self,
        kind: str,
        *,
        person: str = "",
        name: str = "",
        hpr: str | None = None,
        patient: str = "",
        purpose: str = "TREAT",
        acp: str = "",
        minutes: int = 60,
        now: datetime | None = None,
    ) -> str:
        """A signed assertion of a kind of SAMPLES, as XML.

        `person` is a number of 11 digits (or a system's id), `patient` the same or a whole CX, `hpr` empty
        for nobody in that register, `purpose` a key of REASONS, `acp` the last digit of an access policy
        (2.16.578.1.12.4.1.7.2.1.N), `minutes` how long it holds from `now` on. What is not given is assumed.
        """
        sample = SAMPLES.get(kind)
        if sample is None:
            raise TicketRefused(f"There is no such kind of ticket: {', '.join(SAMPLES)}.")
        asked = _patient(patient or (person if kind == "citizen" else "") or PATIENT)
        about = asked.partition("^")[0]
        person = person or sample.person or about
        if sample.ticket is not TicketKind.SYSTEM:
            _check_synthetic(person)
        _check_words(person, name)
        if sample.ticket is TicketKind.HELSENORGE and (person == about) != (kind == "citizen"):
            raise TicketRefused("A citizen asks about themselves, a representative about somebody else.")
        acp = acp or sample.acp
        if acp and (len(acp) > 1 or acp not in sample.policies):
            allowed = ", ".join(sample.policies) or "none"
            raise TicketRefused(f"An access policy that this kind of ticket may carry: {allowed}.")
        said = Said(
            person=person,
            name=name or sample.name,
            hpr=_hpr(sample.hpr if hpr is None else hpr),
            patient=asked,
            purpose=_reason(purpose),
            acp=acp,
            decision=str(uuid4()),
        )
        begin, end = _times(now, minutes)
        text, identifier = assertions.assertion(sample.ticket, said, begin, end)
        return self._signed(text, identifier)

    def token(
        self,
        *,
        machine: bool = False,
        person: str = CLINICIAN,
        name: str = "Tuva Fjell",
        hpr: str = HPR,
        purpose: str = "TREAT",
        acp: str = "",
        scopes: Sequence[str] = _SCOPES,
        minutes: int = 60,
        now: datetime | None = None,
    ) -> str:
        """An access token as HelseID gives them (norwegian-profile 4.10, 4.11), bound to `proof_key`.

        The client is a multi-tenant one. A `machine` has no person: the rest but the times is not said then.
        """
        _check_words(name)
        begin, end = _times(now, minutes)
        issued = int(begin.timestamp())
        client = f"{AUDIENCE}:client"
        claims: dict[str, Any] = {
            "iss": issuer(TicketKind.HELSEID),
            "aud": AUDIENCE,
            "nbf": issued,
            "iat": issued,
            "exp": int(end.timestamp()),
            "jti": uuid4().hex,
            "cnf": {"jkt": self.proof_key().thumbprint()},
            "scope": list(scopes),
            "client_id": client,
            "client_amr": "private_key_jwt",
            "helseid://claims/client/client_name": "Eksempel-EPJ",
            "helseid://claims/client/client_tenancy": "multi-tenant",
            "helseid://claims/client/claims/orgnr_parent": assertions.ENTERPRISE[0],
            "helseid://claims/client/claims/orgnr_child": assertions.POINT_OF_CARE[0],
        }
        if not machine:
            _check_synthetic(person)
            claims |= {
                "sub": hashlib.sha256(person.encode()).hexdigest(),
                "auth_time": issued,
                "idp": "testidp-oidc",
                "amr": ["pwd"],
                "name": name,
                "helseid://claims/identity/pid": person,
                "helseid://claims/identity/security_level": "4",
                "helseid://claims/identity/assurance_level": "high",
                "helseid://claims/identity/network": "internett",
                "nhn:tillitsrammeverk:parameters": _attest(person, name, _hpr(hpr), _reason(purpose), issued),
            }
            if hpr:
                claims["helseid://claims/hpr/hpr_number"] = hpr
            if acp:
                if len(acp) > 1 or acp not in SAMPLES["personnel"].policies:
                    raise TicketRefused("An access policy of health personnel is one of 4 to 8.")
                claims["xua-acp"] = f"urn:oid:{values.ACP}{acp}"
        header = {"alg": "RS256", "typ": "at+jwt", "kid": self._token_key.kid}
        return jwt.encode(header, claims, self._token_key)

    def proof_key(self) -> ECKey:
        """The private key that the tokens are bound to."""
        return ECKey.import_key(self._keys.proof)

    def proof(self, method: str, url: str, token: str, *, now: datetime | None = None) -> str:
        """A DPoP proof for one request with the token (RFC 9449, 4.2); it is good for some seconds."""
        key = self.proof_key()
        claims = {
            "htm": method,
            "htu": re.split(r"[?#]", url, maxsplit=1)[0],
            "iat": int((now or datetime.now(UTC)).timestamp()),
            "jti": uuid4().hex,
            "ath": _base64url(hashlib.sha256(token.encode()).digest()),
        }
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
        return jwt.encode(header, claims, key, algorithms=["ES256"])

    def _signed(self, assertion: str, identifier: str) -> str:
        """With an enveloped signature over the assertion, where its shape has a place for it."""
        signer = XMLSigner(
            signature_algorithm="rsa-sha256",
            digest_algorithm="sha256",
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        signed = signer.sign(
            xml.parse(assertion.encode()),
            key=self._keys.saml,
            cert=[self._keys.certificate],
            reference_uri=f"#{identifier}",
            id_attribute="ID",
        )
        return etree.tostring(signed, encoding="unicode")


def _attest(person: str, name: str, hpr: str, purpose: str, issued: int) -> dict[str, Any]:
    """The claim of the trust framework (norwegian-profile 4.11)."""

    def identified(unit: tuple[str, str], system: str, authority: str) -> dict[str, str]:
        return {"id": unit[0], "name": unit[1], "system": f"urn:oid:{system}", "authority": authority}

    def coded(unit: tuple[str, str], system: str, assigner: str) -> dict[str, str]:
        return {"code": unit[0], "text": unit[1], "system": f"urn:oid:{system}", "assigner": assigner}

    practitioner: dict[str, Any] = {
        "identifier": identified((person, name), national.NATIONAL, "Skatteetaten"),
        "legal_entity": identified(assertions.ENTERPRISE, identifiers.ENTERPRISE, "Brønnøysundregistrene"),
        "point_of_care": identified(
            assertions.POINT_OF_CARE, identifiers.ENTERPRISE, "Brønnøysundregistrene"
        ),
        "department": identified(assertions.DEPARTMENT, identifiers.RESH, "RESH"),
    }
    if hpr:
        practitioner["hpr_nr"] = {
            "id": hpr,
            "system": f"urn:oid:{identifiers.HPR}",
            "authority": "Helsedirektoratet",
        }
        practitioner["authorization"] = coded(assertions.ROLE, assertions.ROLES, "Helsedirektoratet")
    return {
        "type": "nhn:tillitsrammeverk:parameters",
        "toa": issued,
        "practitioner": practitioner,
        "care_relationship": {
            "healthcare_service": coded(assertions.SERVICE, assertions.SERVICES, "Helsedirektoratet"),
            "purpose_of_use": coded((purpose, REASONS[purpose][0]), assertions.PURPOSES, "HL7"),
            "decision_ref": {"id": str(uuid4()), "user_selected": False},
        },
        "patients": [],
    }


def _patient(text: str) -> str:
    """The CX of a number or of a CX, when its number is synthetic or not a national one at all."""
    try:
        patient = patient_id(text)
    except DataTypeError as error:
        raise TicketRefused(str(error)) from None
    number, _, rest = patient.partition("^")
    # Whatever authority is named: what looks like somebody's number is treated as one.
    if (
        national.has_control_digits(number)
        or rest.partition("&")[2].partition("&")[0] in national.AUTHORITIES
    ):
        _check_synthetic(number)
    return patient


def _check_synthetic(number: str) -> None:
    if not national.is_surely_synthetic(number):
        raise TicketRefused(
            "Sample tickets name synthetic people only: a number of 11 digits whose month is raised by 80"
            " (Tenor) or 65 (Norsk helsenett)."
        )


def _check_words(*texts: str) -> None:
    """Free text names nobody's number either, not even in the midst of digits."""
    for text in texts:
        for start in range(len(text) - 10):
            if national.has_control_digits(text[start : start + 11]):
                _check_synthetic(text[start : start + 11])


def _hpr(number: str) -> str:
    if number and not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise TicketRefused("An HPR number has at most 9 digits.")
    return number


def _reason(purpose: str) -> str:
    if purpose not in REASONS:
        raise TicketRefused(f"There is no such purpose: {', '.join(REASONS)}.")
    return purpose


def _times(now: datetime | None, minutes: int) -> tuple[datetime, datetime]:
    if not 1 <= minutes <= _LONGEST:
        raise TicketRefused(f"A ticket is good for 1 to {_LONGEST} minutes.")
    begin = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    return begin, begin + timedelta(minutes=minutes)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
