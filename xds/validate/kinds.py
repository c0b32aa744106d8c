"""What a message is, told from its content: the table of all kinds that are judged here.

`recognise` looks at the beginning alone. It must never refuse: what is recognised may be as wrong as it
likes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds import transactions
from xds.errors import Fault
from xds.metadata import cda, names
from xds.security import saml, wsse
from xds.transactions.iti44_patient_identity_feed import HL7
from xds.transactions.transaction import Transaction
from xds.transport import redact, soap, xml
from xds.transport.mime import media_type
from xds.validate.wire import Saved

#: What `--kind` may be, and in words.
KINDS: Final[Mapping[str, str]] = {
    "soap": "a SOAP message, plain or MTOM",
    "ebrim": "the content of a SOAP Body, or an ebRIM object list, by itself",
    "fhir": "a FHIR R4 resource, as JSON, XML or multipart/related",
    "saml": "a SAML assertion, or a wsse:Security header",
    "token": "an access token, or the headers of a request with one",
    "proof": "a DPoP proof",
    "cda": "a CDA document",
    "hl7v2": "a message of HL7 v2 (ITI-8)",
}

#: wsa:Action -> transaction, but at an initiating gateway.
ACTIONS: Final[Mapping[str, Transaction]] = {
    each.action: each
    for each in (
        transactions.ITI_18,
        transactions.ITI_38,
        transactions.ITI_39,
        transactions.ITI_41,
        transactions.ITI_42,
        transactions.ITI_43,
        *transactions.ITI_44,
        transactions.ITI_51,
        transactions.ITI_57,
        transactions.ITI_61,
        transactions.ITI_62,
        transactions.ITI_80,
        transactions.ITI_86,
        transactions.ITI_92,
    )
}
#: The address of an initiating gateway, where the same actions are other transactions.
INITIATING: Final = "/xca/initiating"
INITIATING_ACTIONS: Final = {
    each.action: each for each in (transactions.INITIATING_ITI_18, transactions.INITIATING_ITI_43)
}
OBJECT_LIST: Final = f"{{{names.RIM}}}RegistryObjectList"
_FHIR: Final = "http://hl7.org/fhir"
_NAMESPACES: Final = frozenset(
    (names.RIM, names.RS, names.LCM, names.QUERY, names.XDS, HL7, "urn:ihe:iti:rmd:2017")
)
_TOKEN: Final = re.compile(
    rb"(?:Authorization:\s*)?(?:(?:Bearer|DPoP)\s+)?([\w-]+\.[\w-]+\.[\w-]*)\s*", re.IGNORECASE
)
_BEARER: Final = re.compile(rb"(?:Authorization:\s*)?(?:Bearer\s+)?([\w-]{40,}={0,2})\s*", re.IGNORECASE)
_LOOK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recognised:
    """The kind, or nothing when it is none of KINDS; and what it looked like, in words without values."""

    kind: str
    looks: str


def recognise(saved: Saved) -> Recognised:
    """What was saved."""
    data = _begun(saved)
    kind = media_type(saved.content_type)[0]
    if not saved.body.strip():
        if saved.headers.get("authorization", redact.MARK) != redact.MARK:
            return Recognised("token", "the headers of a request")
        return Recognised("", "nothing: it is empty")
    if kind == "multipart/related" or data.startswith(b"--"):
        return _multipart(saved)
    if data.startswith(b"MSH"):
        return Recognised("hl7v2", KINDS["hl7v2"])
    if data[:1] in b"{[":
        return Recognised("fhir", "JSON")
    if data[:1] == b"<" or saved.body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _xml(saved.body)
    if match := _TOKEN.fullmatch(data):
        return Recognised("proof" if b'"dpop+jwt"' in _decoded(match[1].split(b".")[0]) else "token", "a JWT")
    if (match := _BEARER.fullmatch(data)) and _decoded(match[1]).lstrip().startswith(b"<"):
        return Recognised("saml", "an assertion in base64url")
    return Recognised("", "neither XML, JSON, multipart/related, a JWT nor HL7 v2")


def content_type(saved: Saved) -> str:
    """The Content-Type that came with it, or that its content is of."""
    if saved.content_type:
        return saved.content_type
    data = _begun(saved)
    if data.startswith(b"--"):
        boundary = data[2:4096].partition(b"\n")[0].strip().decode("latin-1")
        first = re.search(rb"content-type:\s*([^\r\n]+)", data[:4096], re.IGNORECASE)
        kind = media_type(first[1].decode("latin-1"))[0] if first else ""
        start = re.search(rb"content-id:\s*([^\r\n]+)", data[:4096].partition(b"\r\n\r\n")[0], re.IGNORECASE)
        named = f'; start="{start[1].decode("latin-1").strip()}"' if start else ""
        return f'multipart/related; type="{kind}"; boundary="{boundary}"{named}'
    if data[:1] in (b"{", b"["):
        return "application/fhir+json"
    beginning = data[:4096].replace(b"\0", b"")  # it may be UTF-16
    return "application/fhir+xml" if b"http://hl7.org/fhir" in beginning else _soap_type(beginning)


def _begun(saved: Saved) -> bytes:
    """The body without what may stand before its first character: a byte order mark, blanks, MLLP's frame."""
    return saved.body.lstrip(b"\xef\xbb\xbf \t\r\n\x0b")


def assertion(data: bytes) -> bytes:
    """The XML of an assertion that is one, or is one in base64url."""
    match = _BEARER.fullmatch(data.strip())
    return _decoded(match[1]) if match else data


def _soap_type(data: bytes) -> str:
    return "text/xml" if soap.SOAP11.encode() in data else "application/soap+xml"


def _decoded(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return b""


def _multipart(saved: Saved) -> Recognised:
    told = content_type(saved).lower()
    beginning = saved.body[:4096].lower()
    is_fhir = "fhir" in told or ("xop" not in told and b"application/fhir" in beginning)
    return Recognised("fhir" if is_fhir else "soap", "multipart/related")


def _xml(data: bytes) -> Recognised:
    try:
        tag = str(xml.parse_until(data, lambda _: True, limit=_LOOK).tag)
    except Fault:
        # Of what cannot even begin to be read: a SOAP message is what most senders mean.
        return Recognised("soap", "XML that cannot be read")
    namespace, _, name = tag.removeprefix("{").rpartition("}")
    if tag in soap.VERSION_OF or name == "Envelope":
        return Recognised("soap", "a SOAP envelope")
    if cda.is_cda(data):
        return Recognised("cda", KINDS["cda"])
    if tag in (saml.ASSERTION, saml.ASSERTION_1, wsse.TAG, *saml.ENCRYPTED):
        return Recognised("saml", KINDS["saml"])
    if namespace == _FHIR:
        return Recognised("fhir", "a FHIR resource")
    if namespace in _NAMESPACES:
        return Recognised("ebrim", "the content of a SOAP Body")
    return Recognised("", "XML of a namespace that is not known here")
