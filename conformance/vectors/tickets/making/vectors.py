"""What one vector is, and the answers that the refusals get.

saml_vectors.py and jwt_vectors.py make them; generate.py writes them down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from making.signatures import Signer

ACCEPTED = "accepted"
#: Not SOAP at all: refused before any ticket is looked for.
MALFORMED = "malformed"

#: Reason of a refusal -> the fault code of WS-Security, or the `error` of WWW-Authenticate.
ANSWERS: Mapping[str, str] = {
    ACCEPTED: "",
    MALFORMED: "env:Sender",
    "ticket-missing": "wsse:InvalidSecurity",
    "ticket-header-many": "wsse:InvalidSecurity",
    "ticket-many": "wsse:InvalidSecurity",
    "ticket-remarks": "wsse:InvalidSecurity",
    "ticket-size": "wsse:InvalidSecurity",
    "ticket-kind": "wsse:UnsupportedSecurityToken",
    "ticket-encrypted": "wsse:UnsupportedSecurityToken",
    "timestamp-form": "wsse:InvalidSecurity",
    "timestamp-expired": "wsu:MessageExpired",
    "ticket-form": "wsse:InvalidSecurityToken",
    "ticket-ids": "wsse:InvalidSecurityToken",
    "ticket-unsigned": "wsse:InvalidSecurityToken",
    "ticket-signature-form": "wsse:FailedCheck",
    "ticket-algorithm": "wsse:UnsupportedAlgorithm",
    "ticket-signature": "wsse:FailedCheck",
    "ticket-issuer": "wsse:FailedAuthentication",
    "ticket-audience": "wsse:InvalidSecurityToken",
    "ticket-early": "wsse:InvalidSecurityToken",
    "ticket-expired": "wsse:InvalidSecurityToken",
    "ticket-lifetime": "wsse:InvalidSecurityToken",
    "ticket-attestation": "wsse:InvalidSecurityToken",
    "ticket-confirmation": "wsse:InvalidSecurityToken",
    "ticket-used": "wsse:InvalidSecurityToken",
    "ticket-content": "wsse:InvalidSecurityToken",
    "token-form": "invalid_token",
    "token-type": "invalid_token",
    "token-algorithm": "invalid_token",
    "token-header-field": "invalid_token",
    "token-issuer": "invalid_token",
    "token-key": "invalid_token",
    "token-signature": "invalid_token",
    "token-audience": "invalid_token",
    "token-early": "invalid_token",
    "token-expired": "invalid_token",
    "token-lifetime": "invalid_token",
    "token-attestation": "invalid_token",
    "token-content": "invalid_token",
    "token-scope": "insufficient_scope",
    "token-scheme": "invalid_token",
    "proof-missing": "invalid_dpop_proof",
    "proof-form": "invalid_dpop_proof",
    "proof-algorithm": "invalid_dpop_proof",
    "proof-key": "invalid_dpop_proof",
    "proof-binding": "invalid_dpop_proof",
    "proof-signature": "invalid_dpop_proof",
    "proof-request": "invalid_dpop_proof",
    "proof-token": "invalid_dpop_proof",
    "proof-time": "invalid_dpop_proof",
    "proof-used": "invalid_dpop_proof",
}


@dataclass(frozen=True)
class Vector:
    """One thing to send, and what must come of it.

    `content` is the HTTP body of a SAML vector, or the token of a JWT vector; `more` are further lines of the
    index: content_type for the one; scheme, method, url and proof for the other. `sends` times it is
    sent, and `expected` is the outcome of the last. `caller` is what must be understood of a good one.
    """

    name: str
    kind: str
    what: str
    expected: str
    content: bytes
    more: Mapping[str, str] = field(default_factory=dict)
    sends: int = 1
    caller: Mapping[str, str] = field(default_factory=dict)

    def entry(self, file: str, at: datetime) -> dict[str, Any]:
        """Its lines in index.json."""
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "what": self.what,
            "file": file,
            "expected": self.expected,
            "answer": ANSWERS[self.expected],
            "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sends": self.sends,
            **self.more,
        }
        return found | ({"caller": dict(self.caller)} if self.caller else {})


@dataclass(frozen=True)
class Keys:
    """Every key pair of a set; `stranger` is no issuer's."""

    kjernejournal: Signer
    kjernejournal_ec: Signer
    helsenorge: Signer
    hso: Signer
    xua: Signer
    system: Signer
    helseid: Signer
    helseid_ec: Signer
    helseid_bearer: Signer
    stranger: Signer
    client: Signer
    other_client: Signer
