"""The SOAP envelope, both versions: taken apart when it arrives, put together when it leaves.

message.py reads and writes through it, faults.py borrows its tables. The namespace of the envelope decides
the version, whatever the content type says. It must never look inside the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import uuid4

from lxml import etree

from xds.errors import Fault, FaultCode
from xds.transport.xml import has_remarks

SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
#: Of the header block that carries a security ticket, and of the times and ids in it (WS-Security 1.1).
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
#: How long a request may be on its way.
_FRESH: Final = timedelta(minutes=5)


class Version(StrEnum):
    """The SOAP version of a message; the answer has the same one."""

    SOAP11 = "1.1"
    SOAP12 = "1.2"


@dataclass(frozen=True, slots=True)
class _Words:
    """What the two versions call the same things."""

    namespace: str
    media_type: str
    role: str
    #: Roles that are ours to act in (SOAP 1.2 part 1, 2.2; SOAP 1.1, 4.2.2).
    ours: frozenset[str]
    #: The values of mustUnderstand that mean yes: xs:boolean in SOAP 1.2; SOAP 1.1 has "1", and some write
    #: "true".
    yes: frozenset[str]
    codes: dict[FaultCode, str]


WORDS: Final = {
    Version.SOAP12: _Words(
        SOAP12,
        "application/soap+xml",
        "role",
        frozenset({"", f"{SOAP12}/role/next", f"{SOAP12}/role/ultimateReceiver"}),
        frozenset({"1", "true"}),
        {code: code.value for code in FaultCode},
    ),
    Version.SOAP11: _Words(
        SOAP11,
        "text/xml",
        "actor",
        frozenset({"", "http://schemas.xmlsoap.org/soap/actor/next"}),
        frozenset({"1", "true"}),
        {
            FaultCode.SENDER: "Client",
            FaultCode.RECEIVER: "Server",
            FaultCode.MUST_UNDERSTAND: "MustUnderstand",
            FaultCode.VERSION_MISMATCH: "VersionMismatch",
        },
    ),
}
VERSION_OF: Final = {f"{{{words.namespace}}}Envelope": version for version, words in WORDS.items()}
_HEADERS: Final = tuple(f"{{{words.namespace}}}Header" for words in WORDS.values())
BY_MEDIA_TYPE: Final = {words.media_type: version for version, words in WORDS.items()}


def version_of(root: etree._Element) -> Version:
    """The version of an envelope. Raises Fault(VersionMismatch) for other elements (part 1, 5.4.7)."""
    version = VERSION_OF.get(str(root.tag))
    if version is None:
        raise Fault(
            FaultCode.VERSION_MISMATCH,
            "The message is not a SOAP 1.2 or SOAP 1.1 envelope: its root element is another.",
        )
    return version


def split(root: etree._Element, version: Version) -> tuple[etree._Element | None, etree._Element]:
    """The Header (or None) and the single child of the Body. Raises Fault(Sender) if it is not so."""
    namespace = WORDS[version].namespace
    children = list(root)
    header = children.pop(0) if children and children[0].tag == f"{{{namespace}}}Header" else None
    if not children or children[0].tag != f"{{{namespace}}}Body":
        raise Fault(FaultCode.SENDER, "The SOAP envelope has no Body.")
    if len(children) > 1 and version is Version.SOAP12:
        raise Fault(
            FaultCode.SENDER, "The SOAP envelope has elements after its Body, which SOAP 1.2 forbids."
        )
    if len(children[0]) != 1:
        raise Fault(
            FaultCode.SENDER, f"The SOAP Body must have exactly one child element; it has {len(children[0])}."
        )
    return header, children[0][0]


def remarked(root: etree._Element) -> frozenset[str]:
    """The tags of the header blocks that hold a comment or a processing instruction."""
    header = next(root.iterchildren(*_HEADERS), None)
    if header is None:
        return frozenset()
    return frozenset(str(block.tag) for block in header.iterchildren("*") if has_remarks(block))


def for_us(block: etree._Element, version: Version) -> bool:
    """Whether a header block is addressed to us: no role, `next`, or the ultimate receiver."""
    words = WORDS[version]
    return block.get(f"{{{words.namespace}}}{words.role}", "").strip() in words.ours


def check_understood(header: etree._Element | None, version: Version, understood: frozenset[str]) -> None:
    """Refuse mandatory header blocks for us whose tag is not in `understood` (SOAP 1.2 part 1, 2.4)."""
    if header is None:
        return
    words = WORDS[version]
    attribute = f"{{{words.namespace}}}mustUnderstand"
    strange = [
        (name.namespace or "", name.localname)
        for block in header
        if block.tag not in understood
        and block.get(attribute, "").strip() in words.yes
        and for_us(block, version)
        and (name := etree.QName(block))
    ]
    if strange:
        raise Fault(
            FaultCode.MUST_UNDERSTAND,
            "The message has header blocks marked mustUnderstand that are not understood here.",
            not_understood=strange,
        )


def write_security(assertion: bytes) -> bytes:
    """The wsse:Security block that carries an assertion, byte for byte, with a wsu:Timestamp of now.

    Its prefix s is SOAP's. The assertion must be XML by itself, with every namespace that it uses.
    """
    now = datetime.now(UTC)
    return (
        f'<wsse:Security xmlns:wsse="{WSSE}" xmlns:wsu="{WSU}" s:mustUnderstand="1">'
        f'<wsu:Timestamp wsu:Id="_{uuid4()}"><wsu:Created>{_time(now)}</wsu:Created>'
        f"<wsu:Expires>{_time(now + _FRESH)}</wsu:Expires></wsu:Timestamp>".encode()
        + assertion
        + b"</wsse:Security>"
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def envelope(version: Version, header: str) -> tuple[bytes, bytes]:
    """What stands before and after the Body's content; `header` is XML that may use the prefixes s and a."""
    before = (
        f'<s:Envelope xmlns:s="{WORDS[version].namespace}" xmlns:a="http://www.w3.org/2005/08/addressing">'
        f"<s:Header>{header}</s:Header><s:Body>"
    )
    return before.encode(), b"</s:Body></s:Envelope>"
