"""Why a request is turned away at gate 1: every reason, and the words of the standards for it.

Each check of this package raises `denied(…)` with an id from this table. docs/tickets.md lists the same
table. The sender learns the standard's code and nothing else, so that nobody can feel their way to a ticket
that fits; the log has the id and its sentence under the request's reference number. No sentence holds
anything from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xds.errors import Denied
from xds.transport.soap import WSSE, WSU


class Wss(StrEnum):
    """Fault codes of WS-Security (SOAP Message Security 1.1, 12); the value is the local name."""

    UNSUPPORTED_SECURITY_TOKEN = "UnsupportedSecurityToken"  # noqa: S105
    UNSUPPORTED_ALGORITHM = "UnsupportedAlgorithm"
    INVALID_SECURITY = "InvalidSecurity"
    INVALID_SECURITY_TOKEN = "InvalidSecurityToken"  # noqa: S105
    FAILED_AUTHENTICATION = "FailedAuthentication"
    FAILED_CHECK = "FailedCheck"
    SECURITY_TOKEN_UNAVAILABLE = "SecurityTokenUnavailable"  # noqa: S105
    MESSAGE_EXPIRED = "MessageExpired"  # in WSU, not WSSE

    @property
    def namespace(self) -> str:
        """Of the QName in Subcode/Value."""
        return WSU if self is Wss.MESSAGE_EXPIRED else WSSE

    @property
    def qname(self) -> str:
        """With the prefix that the standard uses, for people to read."""
        return f"{'wsu' if self is Wss.MESSAGE_EXPIRED else 'wsse'}:{self.value}"


#: What the sender reads: the standard's own meaning of the code (SOAP Message Security 1.1, 12).
MEANINGS: Final[Mapping[Wss, str]] = {
    Wss.UNSUPPORTED_SECURITY_TOKEN: "The kind of security token is not supported here.",
    Wss.UNSUPPORTED_ALGORITHM: "An algorithm of the signature or encryption is not supported here.",
    Wss.INVALID_SECURITY: "The wsse:Security header is not there or has an error:"
    " send one with one signed saml2:Assertion.",
    Wss.INVALID_SECURITY_TOKEN: "The security token is not valid here and now.",
    Wss.FAILED_AUTHENTICATION: "The security token could not be authenticated.",
    Wss.FAILED_CHECK: "The signature is not valid.",
    Wss.SECURITY_TOKEN_UNAVAILABLE: "A security token that the message refers to is not there.",
    Wss.MESSAGE_EXPIRED: "The message has expired.",
}


class Oauth(StrEnum):
    """`error` of WWW-Authenticate (RFC 6750 3.1, RFC 9449 7.1); NONE when there was no token at all."""

    NONE = ""
    INVALID_REQUEST = "invalid_request"
    INVALID_TOKEN = "invalid_token"  # noqa: S105
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INVALID_DPOP_PROOF = "invalid_dpop_proof"


#: The same for tokens; RFC 6750 3.1 and RFC 9449 7.1 give the codes, not which part of a token was wrong.
TOKEN_MEANINGS: Final[Mapping[Oauth, str]] = {
    Oauth.NONE: "The request needs an access token.",
    Oauth.INVALID_REQUEST: "The Authorization header cannot be read: send one token, as DPoP or Bearer.",
    Oauth.INVALID_TOKEN: "The access token is not valid here and now.",
    Oauth.INVALID_DPOP_PROOF: "The DPoP proof is not valid for this request.",
    Oauth.INSUFFICIENT_SCOPE: "The access token does not have a scope for this operation.",
}


@dataclass(frozen=True, slots=True)
class Denial:
    """One reason: the sentence for the log, and the code for the sender (a SAML ticket's, or a token's)."""

    sentence: str
    code: Wss | Oauth


def _saml(code: Wss, sentence: str) -> Denial:
    return Denial(sentence, code)


def _token(code: Oauth, sentence: str) -> Denial:
    return Denial(sentence, code)


DENIALS: Final[Mapping[str, Denial]] = {
    # -- the wsse:Security header
    "ticket-missing": _saml(Wss.INVALID_SECURITY, "There is no wsse:Security header with a SAML assertion."),
    "ticket-header-many": _saml(
        Wss.INVALID_SECURITY, "There are several wsse:Security headers for this node."
    ),
    "ticket-many": _saml(Wss.INVALID_SECURITY, "There is more than one SAML assertion in the message."),
    "ticket-remarks": _saml(
        Wss.INVALID_SECURITY, "There is a comment or a processing instruction in the wsse:Security header."
    ),
    "ticket-size": _saml(
        Wss.INVALID_SECURITY, "The wsse:Security header is larger than 256 KiB, or has too many elements."
    ),
    "ticket-kind": _saml(Wss.UNSUPPORTED_SECURITY_TOKEN, "The security token is not a SAML 2.0 assertion."),
    "ticket-encrypted": _saml(
        Wss.UNSUPPORTED_SECURITY_TOKEN,
        "The assertion, or a part of it, is encrypted: this node has no key for it.",
    ),
    "ticket-reference": _saml(
        Wss.SECURITY_TOKEN_UNAVAILABLE, "The header refers to a security token that is not in it."
    ),
    "timestamp-form": _saml(Wss.INVALID_SECURITY, "The wsu:Timestamp is not one, or there are several."),
    "timestamp-expired": _saml(Wss.MESSAGE_EXPIRED, "The wsu:Timestamp has expired, or is in the future."),
    # -- the assertion's form
    "ticket-form": _saml(
        Wss.INVALID_SECURITY_TOKEN,
        "The assertion does not have the elements and attributes that SAML asks for.",
    ),
    "ticket-ids": _saml(
        Wss.INVALID_SECURITY_TOKEN, "The assertion has no ID of its own: it is missing or stands twice."
    ),
    # -- its signature
    "ticket-unsigned": _saml(Wss.INVALID_SECURITY_TOKEN, "The assertion has no signature of its own."),
    "ticket-signature-form": _saml(
        Wss.FAILED_CHECK,
        "The signature does not cover the whole assertion and nothing else: it must be the assertion's child,"
        " with one reference to the assertion's ID, and no transforms but enveloped and exclusive"
        " canonicalisation.",
    ),
    "ticket-algorithm": _saml(
        Wss.UNSUPPORTED_ALGORITHM, "The signature uses an algorithm that is not on the list of this node."
    ),
    "ticket-signature": _saml(
        Wss.FAILED_CHECK, "The signature does not fit the assertion and the issuer's keys."
    ),
    "ticket-certificate": _saml(
        Wss.FAILED_AUTHENTICATION,
        "The signer's certificate is not valid now, is revoked, or does not lead to the issuer's authority.",
    ),
    # -- who issued it, for whom, when
    "ticket-issuer": _saml(
        Wss.FAILED_AUTHENTICATION, "The issuer is not in the trust file, or not for SAML."
    ),
    "ticket-keys": _saml(Wss.FAILED_AUTHENTICATION, "There is no valid key of the issuer at the moment."),
    "ticket-audience": _saml(Wss.INVALID_SECURITY_TOKEN, "The assertion is for another audience."),
    "ticket-early": _saml(Wss.INVALID_SECURITY_TOKEN, "The assertion is not valid yet."),
    "ticket-expired": _saml(Wss.INVALID_SECURITY_TOKEN, "The assertion has expired."),
    "ticket-lifetime": _saml(
        Wss.INVALID_SECURITY_TOKEN, "The assertion is valid for longer than the trust file allows its issuer."
    ),
    "ticket-attestation": _saml(
        Wss.INVALID_SECURITY_TOKEN,
        "The attestation or the login is older than the trust file allows (attestation_has_expired).",
    ),
    "ticket-confirmation": _saml(
        Wss.INVALID_SECURITY_TOKEN,
        "No subject confirmation of the assertion is of a method that the trust file allows its issuer and"
        " holds for this request.",
    ),
    "ticket-holder": _saml(
        Wss.FAILED_CHECK, "The sender did not prove to hold the key that the assertion names (holder-of-key)."
    ),
    "ticket-used": _saml(Wss.INVALID_SECURITY_TOKEN, "The assertion was used before (replay)."),
    "ticket-content": _saml(
        Wss.INVALID_SECURITY_TOKEN,
        "The assertion lacks what a ticket of its kind must say of the caller, or says it in two ways.",
    ),
    # -- access tokens
    "token-missing": _token(Oauth.NONE, "There is no Authorization header with an access token."),
    "token-header": _token(
        Oauth.INVALID_REQUEST, "There is not one Authorization header with one token, as Bearer or DPoP."
    ),
    "token-size": _token(Oauth.INVALID_TOKEN, "The token is larger than 64 KiB."),
    "token-form": _token(Oauth.INVALID_TOKEN, "The token is not a signed JWT with claims as JSON."),
    "token-type": _token(Oauth.INVALID_TOKEN, "The token's typ is not at+jwt or JWT."),
    "token-algorithm": _token(
        Oauth.INVALID_TOKEN, "The token's alg is not on the list of this node, or does not fit the key."
    ),
    "token-header-field": _token(
        Oauth.INVALID_TOKEN,
        "The token's header has fields that are not allowed: jwk, jku, x5u, x5c, or crit.",
    ),
    "token-issuer": _token(Oauth.INVALID_TOKEN, "The issuer is not in the trust file, or not for tokens."),
    "token-key": _token(
        Oauth.INVALID_TOKEN, "The issuer has no key with the token's kid, or none that is valid."
    ),
    "token-signature": _token(
        Oauth.INVALID_TOKEN, "The signature does not fit the token and the issuer's key."
    ),
    "token-audience": _token(Oauth.INVALID_TOKEN, "The token is for another audience."),
    "token-early": _token(Oauth.INVALID_TOKEN, "The token is not valid yet, or was issued in the future."),
    "token-expired": _token(Oauth.INVALID_TOKEN, "The token has expired."),
    "token-lifetime": _token(
        Oauth.INVALID_TOKEN, "The token is valid for longer than the trust file allows its issuer."
    ),
    "token-attestation": _token(
        Oauth.INVALID_TOKEN, "The attestation is older than the trust file allows (attestation_has_expired)."
    ),
    "token-content": _token(
        Oauth.INVALID_TOKEN, "A claim is missing, or is not of the form that HelseID gives it."
    ),
    "token-scope": _token(Oauth.INSUFFICIENT_SCOPE, "The token does not have a scope for this operation."),
    "token-scheme": _token(
        Oauth.INVALID_TOKEN,
        "The token came as Bearer where the trust file wants DPoP, or the other way round.",
    ),
    "proof-missing": _token(Oauth.INVALID_DPOP_PROOF, "There is not one DPoP header."),
    "proof-form": _token(Oauth.INVALID_DPOP_PROOF, "The DPoP proof is not a signed JWT of type dpop+jwt."),
    "proof-algorithm": _token(
        Oauth.INVALID_DPOP_PROOF, "The proof's alg is not on the list of this node, or does not fit its key."
    ),
    "proof-key": _token(
        Oauth.INVALID_DPOP_PROOF, "The proof's key is not a public key of a kind that is accepted here."
    ),
    "proof-binding": _token(Oauth.INVALID_DPOP_PROOF, "The proof's key is not the one that the token names."),
    "proof-signature": _token(Oauth.INVALID_DPOP_PROOF, "The proof's signature does not fit its key."),
    "proof-request": _token(Oauth.INVALID_DPOP_PROOF, "The proof is for another method or URL."),
    "proof-token": _token(Oauth.INVALID_DPOP_PROOF, "The proof is for another token (ath)."),
    "proof-time": _token(Oauth.INVALID_DPOP_PROOF, "The proof is too old, or from the future."),
    "proof-used": _token(Oauth.INVALID_DPOP_PROOF, "The proof was used before (replay)."),
}


def denied(rule: str) -> Denied:
    """The error to raise for a reason of this table."""
    return Denied(rule, DENIALS[rule].sentence)
