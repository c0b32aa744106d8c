"""Whom the node believes: the issuers of tickets, their keys, and what each may issue.

saml.py and tokens.py look an issuer up here and take its keys from nowhere else. `Trust` is one reading of
the trust file; trust_store.py keeps it current. It must never hold a key that came with a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate

PublicKey = RSAPublicKey | EllipticCurvePublicKey


class TicketKind(StrEnum):
    """The kinds of ticket (norwegian-profile 4.1); the value is what stands in the trust file."""

    KJERNEJOURNAL = "kjernejournal"  # SAML: health personnel, by HelseID
    HELSENORGE = "helsenorge"  # SAML: citizens
    HSO = "hso"  # SAML: personnel of Helse Sør-Øst, hso: attributes
    XUA = "xua"  # SAML: personnel, plain IHE attribute names
    SYSTEM = "system"  # SAML: a system without a person, e.g. a patient feed
    HELSEID = "helseid"  # JWT: personnel and machines

    @property
    def is_token(self) -> bool:
        """Whether it is a JWT, for the FHIR side, and not SAML."""
        return self is TicketKind.HELSEID


class Confirmation(StrEnum):
    """Methods of SAML subject confirmation (SAML profiles 2.0, 3); the value is what stands in the file."""

    BEARER = "bearer"
    HOLDER_OF_KEY = "holder-of-key"
    SENDER_VOUCHES = "sender-vouches"

    @property
    def method(self) -> str:
        """SubjectConfirmation/@Method."""
        return f"urn:oasis:names:tc:SAML:2.0:cm:{self.value}"


@dataclass(frozen=True, slots=True)
class Key:
    """One public key of an issuer.

    `id` is its kid, or empty. `certificate` is the issuer's own, or one that keys.py wrapped around a bare
    public key, because signxml takes certificates only; the times are None where nobody set any.
    """

    public: PublicKey
    certificate: Certificate
    id: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether its times, as far as it has any, hold `now`."""
        return (self.not_before is None or self.not_before <= now) and (
            self.not_after is None or now <= self.not_after
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A signer that is known by who certified it: its certificate may change, its subject and root may not.

    `roots` are the trusted roots, `subject` the RFC 4514 text that the signer's certificate must have.
    """

    roots: tuple[Certificate, ...]
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer and what is believed of it.

    `name` is Issuer or iss, to the letter. `audiences`: one of them must be named by the ticket. `keys`, or
    for SAML an `authority`, verify its signatures; `revoked` are serial numbers by issuer name (RFC 4514).
    `lifetime` bounds how long a ticket may be valid in all, `attestation` how old its attestation or login
    may be (None: any). `skew` is the tolerance of every comparison with our clock. `once`: a SAML ticket is
    good for one request. `dpop`: a token must come with a proof. `scopes`: a token must have one of them.
    `test`: made for tests, so refused by config.check_to_serve outside test environments.
    """

    name: str
    kind: TicketKind
    audiences: frozenset[str]
    keys: tuple[Key, ...] = ()
    authority: Authority | None = None
    revoked: frozenset[tuple[str, int]] = frozenset()
    lifetime: timedelta
    attestation: timedelta | None = None
    skew: timedelta
    confirmations: frozenset[Confirmation] = frozenset({Confirmation.BEARER})
    once: bool = False
    dpop: bool = True
    scopes: frozenset[str] = frozenset()
    test: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """All issuers by name, as they were read at one moment.

    `generation` grows with each change, also when a key ends.
    """

    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    generation: int = 0
