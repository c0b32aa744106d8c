"""WS-Addressing 1.0: what a message says about itself, and what ours say.

message.py reads the properties of a message here and writes those of its answer. Only anonymous replies are
given. It must never follow an address that a message names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from lxml import etree

from xds.errors import Fault, FaultCode
from xds.transport.soap import Version, for_us
from xds.transport.xml import escape

WSA: Final = "http://www.w3.org/2005/08/addressing"
ANONYMOUS: Final = f"{WSA}/anonymous"
#: The actions of messages that carry a fault (SOAP binding, 6).
FAULT_ACTION: Final = f"{WSA}/fault"
SOAP_FAULT_ACTION: Final = f"{WSA}/soap/fault"

_HEADERS = ("To", "From", "ReplyTo", "FaultTo", "Action", "MessageID", "RelatesTo")
#: Header blocks that this module understands, as tags.
UNDERSTOOD: Final = frozenset(f"{{{WSA}}}{name}" for name in _HEADERS)
_PREFIX = len(f"{{{WSA}}}")
#: At most one of each for one recipient (SOAP binding, 3.2); RelatesTo may repeat.
_SINGLE = frozenset(_HEADERS) - {"RelatesTo"}
_REPLY = f"{WSA}/reply"


class AddressingFault(Fault):
    """A fault of WS-Addressing (SOAP binding, 6.4); `problem` is the local name of the header at fault.

    `detail` is the more exact subcode that InvalidAddressingHeader carries, as a local name.
    """

    def __init__(self, subcode: str, reason: str, problem: str, detail: str = "") -> None:
        super().__init__(FaultCode.SENDER, reason, subcode=(WSA, subcode))
        self.problem = problem
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Addressing:
    """The message addressing properties we use; absent ones are empty."""

    action: str = ""
    message_id: str = ""
    relates_to: str = ""


def message_id(header: etree._Element | None, version: Version) -> str:
    """The MessageID if there is one, with no check at all: for answers to messages that are refused."""
    blocks = () if header is None else header.iterchildren(f"{{{WSA}}}MessageID")
    return next(((block.text or "").strip() for block in blocks if for_us(block, version)), "")


def read(header: etree._Element | None, version: Version, *, answer: bool = False) -> Addressing:
    """The addressing properties of a message, checked. Raises AddressingFault.

    In an `answer` nobody will be replied to, so its reply addresses may say what they like.
    """
    found: dict[str, list[etree._Element]] = {}
    for block in () if header is None else header:
        if block.tag in UNDERSTOOD and for_us(block, version):
            found.setdefault(str(block.tag)[_PREFIX:], []).append(block)
    for name, blocks in found.items():
        if len(blocks) > 1 and name in _SINGLE:
            raise AddressingFault(
                "InvalidAddressingHeader",
                f"The header wsa:{name} stands more than once.",
                name,
                "InvalidCardinality",
            )
    values = {name: (blocks[0].text or "").strip() for name, blocks in found.items()}
    if not values.get("Action"):
        raise AddressingFault(
            "MessageAddressingHeaderRequired",
            "The header wsa:Action (WS-Addressing 2005/08) is required and is missing or empty.",
            "Action",
        )
    for name in ("ReplyTo", "FaultTo"):
        if name in found and not answer:
            _check_anonymous(name, found[name][0])
    replies = [b for b in found.get("RelatesTo", ()) if b.get("RelationshipType", _REPLY).strip() == _REPLY]
    return Addressing(
        values["Action"], values.get("MessageID", ""), (replies[0].text or "").strip() if replies else ""
    )


def _check_anonymous(name: str, endpoint: etree._Element) -> None:
    addresses = endpoint.findall(f"{{{WSA}}}Address")
    if len(addresses) != 1:
        detail = "InvalidEPR" if addresses else "MissingAddressInEPR"
        raise AddressingFault(
            "InvalidAddressingHeader",
            f"The header wsa:{name} must have exactly one wsa:Address.",
            name,
            detail,
        )
    if (addresses[0].text or "").strip() != ANONYMOUS:
        raise AddressingFault(
            "InvalidAddressingHeader",
            f"The header wsa:{name} names another address than anonymous: answers go on the same connection.",
            name,
            "OnlyAnonymousAddressSupported",
        )


def new_id() -> str:
    """A new MessageID."""
    return f"urn:uuid:{uuid4()}"


def write(action: str, message_id: str, *, relates_to: str = "", to: str = "") -> str:
    """Header blocks as XML text, for `soap.envelope`; wsa:Action is mustUnderstand (ITI TF-2 V.3)."""
    return (
        f'<a:Action s:mustUnderstand="1">{escape(action)}</a:Action>'
        + f"<a:MessageID>{escape(message_id)}</a:MessageID>"
        + (f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else "")
        + (
            f"<a:To>{escape(to)}</a:To><a:ReplyTo><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>"
            if to
            else ""
        )
    )
