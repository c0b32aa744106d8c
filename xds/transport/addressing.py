"""WS-Addressing 1.0: what a message says about itself, and what ours say.

message.py reads the properties of a message here and writes those of its answer. Answers go back on the
same connection, or where `Elsewhere` says that they may. It must never follow an address that a message
names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from lxml import etree

from xds.errors import Fault, FaultCode
from xds.transport.soap import Version, for_us
from xds.transport.xml import escape

WSA: Final = "http://www.w3.org/2005/08/addressing"
ANONYMOUS: Final = f"{WSA}/anonymous"
#: Of a message that nobody wants an answer to.
_NONE: Final = f"{WSA}/none"
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
class Elsewhere:
    """Where answers may go but back: those to `actions`, to the addresses of which `is_listed` says so."""

    actions: frozenset[str]
    is_listed: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Addressing:
    """The message addressing properties we use; absent ones are empty, and so is an anonymous `reply_to`."""

    action: str = ""
    message_id: str = ""
    relates_to: str = ""
    reply_to: str = ""


def message_id(header: etree._Element | None, version: Version) -> str:
    """The MessageID if there is one, with no check at all: for answers to messages that are refused."""
    blocks = () if header is None else header.iterchildren(f"{{{WSA}}}MessageID")
    return next(((block.text or "").strip() for block in blocks if for_us(block, version)), "")


def read(
    header: etree._Element | None,
    version: Version,
    *,
    answer: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Addressing:
    """The addressing properties of a message, checked. Raises AddressingFault.

    In an `answer` nobody will be replied to, so its reply addresses may say what they like. Without
    `elsewhere` those of a request must be anonymous.
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
    reply_to = ""
    if not answer:
        addresses: dict[str, str] = {
            name: _address(name, found[name][0]) for name in ("ReplyTo", "FaultTo") if name in found
        }
        if elsewhere is not None and values["Action"] in elsewhere.actions:
            reply_to = _reply_to(addresses, elsewhere)
        else:
            _check_anonymous(addresses)
    if reply_to:
        _check_answerable(found, values)
    replies = [b for b in found.get("RelatesTo", ()) if b.get("RelationshipType", _REPLY).strip() == _REPLY]
    return Addressing(
        values["Action"],
        values.get("MessageID", ""),
        (replies[0].text or "").strip() if replies else "",
        reply_to,
    )


def _address(name: str, endpoint: etree._Element) -> str:
    addresses = endpoint.findall(f"{{{WSA}}}Address")
    if len(addresses) != 1:
        detail = "InvalidEPR" if addresses else "MissingAddressInEPR"
        raise AddressingFault(
            "InvalidAddressingHeader",
            f"The header wsa:{name} must have exactly one wsa:Address.",
            name,
            detail,
        )
    return (addresses[0].text or "").strip()


def _check_anonymous(addresses: Mapping[str, str]) -> None:
    for name, address in addresses.items():
        if address != ANONYMOUS:
            raise AddressingFault(
                "InvalidAddressingHeader",
                f"The header wsa:{name} names another address than anonymous: answers go on the same"
                " connection.",
                name,
                "OnlyAnonymousAddressSupported",
            )


def _reply_to(addresses: Mapping[str, str], elsewhere: Elsewhere) -> str:
    """Where the answer goes, "" for back: whoever asks must not choose whom we contact (ITI TF-2 V.3)."""
    reply_to = addresses.get("ReplyTo", ANONYMOUS)
    if reply_to == ANONYMOUS:
        _check_anonymous(addresses)
        return ""
    if reply_to == _NONE or not elsewhere.is_listed(reply_to):
        raise AddressingFault(
            "InvalidAddressingHeader",
            "The header wsa:ReplyTo names an address to which no answers go from here: have it listed by this"
            " node's operator (communities file, reply_to), or ask for the answer on the same connection.",
            "ReplyTo",
            "OnlyAnonymousAddressSupported",
        )
    if addresses.get("FaultTo", ANONYMOUS) not in (ANONYMOUS, reply_to):
        raise AddressingFault(
            "InvalidAddressingHeader",
            "The header wsa:FaultTo must be left out, be anonymous, or name the address of wsa:ReplyTo.",
            "FaultTo",
            "InvalidAddress",
        )
    return reply_to


def _check_answerable(found: Mapping[str, list[etree._Element]], values: Mapping[str, str]) -> None:
    """What a request whose answer goes elsewhere needs: an id to relate to, and no words to be sent back."""
    if not values.get("MessageID"):
        raise AddressingFault(
            "MessageAddressingHeaderRequired",
            "The header wsa:MessageID is required where wsa:ReplyTo names an address; it is missing.",
            "MessageID",
        )
    # They would become header blocks of the answer, in words that whoever asks has chosen.
    parameters = found["ReplyTo"][0].find(f"{{{WSA}}}ReferenceParameters")
    if parameters is not None and len(parameters):
        raise AddressingFault(
            "InvalidAddressingHeader",
            "The header wsa:ReplyTo has wsa:ReferenceParameters, which are not sent back here: leave them"
            " out.",
            "ReplyTo",
            "InvalidEPR",
        )


def new_id() -> str:
    """A new MessageID."""
    return f"urn:uuid:{uuid4()}"


def write(action: str, message_id: str, *, relates_to: str = "", to: str = "", reply_to: str = "") -> str:
    """Header blocks as XML text, for `soap.envelope`; wsa:Action is mustUnderstand (ITI TF-2 V.3).

    Who is addressed by `to` is asked to answer to `reply_to`, or on the same connection when there is none;
    but to an answer (`relates_to`) nobody answers.
    """
    return (
        f'<a:Action s:mustUnderstand="1">{escape(action)}</a:Action>'
        + f"<a:MessageID>{escape(message_id)}</a:MessageID>"
        + (f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else "")
        + (f"<a:To>{escape(to)}</a:To>" if to else "")
        + (
            f"<a:ReplyTo><a:Address>{escape(reply_to or ANONYMOUS)}</a:Address></a:ReplyTo>"
            if to and not relates_to
            else ""
        )
    )
