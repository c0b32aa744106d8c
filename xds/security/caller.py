"""Who is asking: what a security ticket says, in one shape, whatever kind of ticket it was.

attributes.py makes a `Caller` of a SAML assertion and claims.py one of an access token, both only after the
signature was found good; the access rules and the access log read it. It must never be made of anything that
was not signed, and never be changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from xds.metadata.model import Code


class CallerKind(StrEnum):
    """What a caller is to the patient (norwegian-profile 4.1, 4.6)."""

    PERSONNEL = "personnel"  # health personnel
    CITIZEN = "citizen"  # asks about themselves
    REPRESENTATIVE = "representative"  # a citizen who asks about somebody else
    MACHINE = "machine"  # a system, without a person behind this request


@dataclass(frozen=True, slots=True)
class Identifier:
    """A number and who gave it out: `authority` is an OID without `urn:oid:`, or empty if none was named."""

    value: str
    authority: str = ""

    @property
    def cx(self) -> str:
        """As the registry writes a patient id (CX)."""
        return f"{self.value}^^^&{self.authority}&ISO"


@dataclass(frozen=True, slots=True)
class Unit:
    """A legal entity, a point of care or a department; either half may be unknown."""

    identifier: Identifier | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The local access decision that a look-up rests on; `user_selected`: the user gave themselves access."""

    id: str
    user_selected: bool | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Everything that is known of who asks; what a ticket did not say is None or empty, never guessed.

    `kind` decides how the rest is read. `issuer` and `ticket_id` name the ticket (Assertion/@ID, or jti);
    `issuer_kind` is the kind that the trust file gives the issuer. `subject` is its NameID or sub, `person`
    the national number of the human, `hpr` the number in the register of health personnel without leading
    zeros. `organisation` is the legal entity, `unit` the point of care. `purpose` is why (TREAT, ETREAT …),
    `purpose_details` and `health_service` more of the same.
    `patient` is whom the ticket is for. `acp` and `consent_document` are OIDs without prefix
    (urn:ihe:iti:xua:2012:acp, urn:ihe:iti:bppc:2007:docid). `security_level` is 1 to 4. `client` is the
    system's own id. `home` is the home community that asks. `attested_at` is when the care relation was
    attested, `expires_at` when the ticket ends; both are aware times.
    """

    kind: CallerKind
    issuer: str
    ticket_id: str
    subject: str
    expires_at: datetime
    person: Identifier | None = None
    name: str = ""
    hpr: str = ""
    role: Code | None = None
    organisation: Unit | None = None
    unit: Unit | None = None
    department: Unit | None = None
    purpose: Code | None = None
    purpose_details: Code | None = None
    health_service: Code | None = None
    decision: Decision | None = None
    security_level: int | None = None
    patient: Identifier | None = None
    patient_unit: Unit | None = None
    patient_department: Unit | None = None
    acp: str = ""
    consent_document: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    client: str = ""
    home: str = ""
    issuer_kind: str = ""
    attested_at: datetime | None = None
