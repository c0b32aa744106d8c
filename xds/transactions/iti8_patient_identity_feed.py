"""ITI-8 Patient Identity Feed: ADT messages of HL7 v2.3.1 announce and merge patients (ITI TF-2 3.8).

The MLLP listener hands each message to `answer` and sends what it returns, the acknowledgement in original
mode (ITI TF-2 C.2.3), which is made after the commit. The hl7 library takes messages apart. Of that library
neither `unescape` (it logs values) nor `create_ack` (it fails on short headers) is used.
It must never write what a message says to the log, nor repeat more of it than the header of the answer needs.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import hl7

from xds.audit.facts import Deed, for_each_patient
from xds.audit.trail import Trail
from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata.datatypes import HD, unescape
from xds.registry.patients import SUBSUMED, SURVIVING
from xds.store.trouble import is_busy, no_room
from xds.transactions import patient_feed
from xds.transactions.patient_feed import Named
from xds.transactions.rules import broken
from xds.transactions.transaction import Node, log_refusal
from xds.transport.endpoint import trace
from xds.transport.message import new_reference

log = logging.getLogger("xds")

NUMBER: Final = "ITI-8"

#: MSH-1 and MSH-2 as HL7 recommends and IHE asks for (ITI TF-2 C.2.2); # is version 2.7's.
_HEAD: Final = re.compile(r"MSH\|\^~\\&#?\|")
_BREAK: Final = re.compile(r"[\r\n]+")
#: The segments that are looked at. Others are not even taken apart, which costs the library most of its time.
_READ: Final = ("MSH", "PID", "MRG")
#: MSH-18 (HL7 table 0211) -> codec. All of them leave the separators and ASCII alone, so that a message can
#: be taken apart before it is known how its text is written. Nothing given: ASCII.
_CHARSETS: Final = (
    {"": "ascii", "ASCII": "ascii", "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8"}
    | {f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 11), 15)}
)  # fmt: skip

PATIENT_ID: Final = "PID^1^3"
_PRIOR_ID: Final = "MRG^1^1"
_PLACES: Final = {SURVIVING: PATIENT_ID, SUBSUMED: _PRIOR_ID}

#: Rule -> the error of HL7 table 0357; the rules that are not here are about an id that is not known.
_CONDITIONS: Final = {
    "feed-header": "101&Required field missing",
    "feed-event": "201&Unsupported event code",
    "feed-charset": "102&Data type error",
    "feed-one-pair": "102&Data type error",
    "feed-patient-id-form": "102&Data type error",
    "feed-patient-ids-many": "102&Data type error",
    "node-busy": "206&Application record locked",
    "node-full": "207&Application internal error",
    "feed-internal": "207&Application internal error",
}
_UNKNOWN: Final = "204&Unknown key identifier"
#: Rejected: not for what the patient's data say. Sent again later, or mended in its header, it may pass.
_REJECTED: Final = frozenset({"feed-header", "feed-event", "node-busy", "node-full", "feed-internal"})


def answer(node: Node, begin: Callable[[str], Trail], data: bytes, sender: str) -> bytes:
    """The acknowledgement of one message; what it asked for is committed then, or nothing was changed.

    `begin` opens the trail of a request from this address.
    """
    started, reference = time.perf_counter(), new_reference()
    trail = begin(sender)
    trail.context.number, trail.context.reference = NUMBER, reference
    try:
        return _answer(node, trail, data, started)
    finally:
        trail.close()


def unread(begin: Callable[[str], Trail], sender: str, reason: str) -> None:
    """Put on record a message that did not come whole."""
    trail = begin(sender)
    trail.context.number, trail.context.reference = NUMBER, new_reference()
    trail.fault(reason)


def judge(node: Node, data: bytes) -> None:
    """What is wrong with a message whoever is registered. Raises RegistryFailure."""
    message = _Message(data, node.namespaces)
    message.check()
    if message.event in _ANNOUNCING:
        patient_feed.announced(node, message.ids(PATIENT_ID), PATIENT_ID)
    elif message.event == _MERGING:
        _check_pair(message)
        patient_feed.pair(node, message.ids(_PRIOR_ID), message.ids(PATIENT_ID), _PLACES)


def _answer(node: Node, trail: Trail, data: bytes, started: float) -> bytes:
    reference = trail.context.reference
    message = _Message(data, node.namespaces)
    errors: Sequence[RegistryError] = ()
    try:
        trail.context.message_id = trail.context.control_id = message.header(10)
        message.check()
        trail.context.subject = patient_feed.subject(
            node, (*message.ids(PATIENT_ID), *message.ids(_PRIOR_ID))
        )
        _EVENTS[message.event](node, message, trail)
    except RegistryFailure as failure:
        errors = failure.errors
    except Exception as error:
        if full := no_room(error):
            log.error("%s %s no room: %s", reference, NUMBER, full)
        elif not is_busy(error):
            log.error("%s %s failed\n%s", reference, NUMBER, trace(error))
        rule = "node-full" if full else "node-busy" if is_busy(error) else "feed-internal"
        errors = (broken(rule, transaction=NUMBER),)
    if errors:
        log_refusal(reference, NUMBER, errors)
        trail.refused(errors)
    event = message.event if message.event in _EVENTS else "none"
    milliseconds = (time.perf_counter() - started) * 1000
    log.info("%s %s event=%s errors=%d ms=%.1f", reference, NUMBER, event, len(errors), milliseconds)
    return message.acknowledge(errors, reference)


class _Message:
    """One message, taken apart byte by byte (Latin-1); of an id it is asked what its bytes say (MSH-18)."""

    def __init__(self, data: bytes, namespaces: Mapping[str, str]) -> None:
        self._namespaces = namespaces
        lines = [line for line in _BREAK.split(data.decode("latin-1")) if line.startswith(_READ)]
        # One header, and it comes first: two messages in one frame could be taken for one about both.
        headers = [number for number, line in enumerate(lines) if line.startswith("MSH")]
        readable = headers == [0] and _HEAD.match(lines[0]) is not None
        self._segments: list[Any] = list(hl7.parse("\r".join(lines))) if readable else []
        self._header: Any = self._segments[0] if readable else []

    @property
    def event(self) -> str:
        """The trigger event of an ADT message (MSH-9), else nothing."""
        parts = self.header(9).split("^")
        return parts[1] if len(parts) > 1 and parts[0] == "ADT" else ""

    def header(self, number: int) -> str:
        """A field of MSH as it was sent."""
        return str(self._header[number]) if number < len(self._header) else ""

    def check(self) -> None:
        """Raises RegistryFailure for a header with which nothing can be done."""
        if not self.header(9) or not self.header(10):
            raise RegistryFailure(broken("feed-header", "MSH^1^9" if self.header(10) else "MSH^1^10"))
        if self.event not in _EVENTS:
            raise RegistryFailure(broken("feed-event", "MSH^1^9"))
        if self._charset() is None:
            raise RegistryFailure(broken("feed-charset", "MSH^1^18"))

    def ids(self, place: str) -> list[Named]:
        """The patient ids in a field, such as PID^1^3; none when the segment or the field is not there."""
        name, _, number = place.split("^")
        segments = self.segments(name)
        if not segments or int(number) >= len(segments[0]):
            return []
        return [named for each in segments[0][int(number)] if (named := self._named(each)) is not None]

    def segments(self, name: str) -> list[Any]:
        """The segments of this name."""
        return [segment for segment in self._segments if str(segment[0]) == name]

    def acknowledge(self, errors: Sequence[RegistryError], reference: str) -> bytes:
        """The answer: MSH with sender and receiver changed round, MSA, and ERR when there are errors."""
        code = "AA" if not errors else "AR" if {error.rule for error in errors} & _REJECTED else "AE"
        trigger = self.header(9).split("^")[1:2]
        header = [
            "MSH", "^~\\&", self.header(5), self.header(6), self.header(3), self.header(4),
            f"{datetime.now(UTC):%Y%m%d%H%M%S}+0000", "", "^".join(("ACK", *trigger)),
            secrets.token_hex(10), self.header(11) or "P", self.header(12) or "2.3.1",
            "", "", "", "", "", self.header(18),
        ]  # fmt: skip
        said = " ".join(f"{error.context} [{error.rule}]" for error in errors)
        segments = [header, ["MSA", code, self.header(10), f"{said} [reference {reference}]" if said else ""]]
        if errors:
            segments.append(["ERR", "~".join(map(_condition, errors))])
        lines = ("|".join(segment).rstrip("|") for segment in segments)
        return "".join(f"{line}\r" for line in lines).encode("latin-1")

    def _charset(self) -> str | None:
        return _CHARSETS.get(self.header(18).partition("~")[0].upper())

    def _named(self, repetition: Any) -> Named | None:
        """One CX of a field: a list of components, or a text that has none. None when it holds no id."""
        parts = [str(each) for each in repetition] if isinstance(repetition, list) else [str(repetition)]
        if parts[0] in ("", '""'):
            return None
        try:
            id = unescape(self._decoded(parts[0]))
        except (DataTypeError, UnicodeError):
            id = ""  # nobody's: refused by patient_feed if the authority is one of ours, else passed over
        return Named("" if "&" in parts[0] else id, self._oid(parts[3]) if len(parts) > 3 else "")

    def _oid(self, authority: str) -> str:
        """An authority's OID; for a namespaceID alone the one that is set for it (ITI TF-2 3.8.4.1.4)."""
        try:
            hd = HD.parse(authority)
            if not hd.universal_id:
                return self._namespaces.get(self._decoded(hd.namespace), "")
        except (DataTypeError, UnicodeError):  # an authority that cannot be one of ours
            return ""
        return hd.universal_id if hd.universal_id_type == "ISO" else ""

    def _decoded(self, text: str) -> str:
        return text.encode("latin-1").decode(self._charset() or "ascii")


def _condition(error: RegistryError) -> str:
    """ERR-1 of version 2.3.1: segment, sequence, field, and a code of table 0357."""
    place = (error.location or "^^").split("^")
    return "^".join((*place, _CONDITIONS.get(error.rule, _UNKNOWN) + "&HL70357"))


def _announce(node: Node, message: _Message, trail: Trail) -> None:
    patient_feed.announce(node, message.ids(PATIENT_ID), PATIENT_ID, trail)


def _merge(node: Node, message: _Message, trail: Trail) -> None:
    """PID-3 survives, MRG-1 is subsumed."""
    _check_pair(message)
    patient_feed.merge(node, message.ids(_PRIOR_ID), message.ids(PATIENT_ID), _PLACES, trail)


def _check_pair(message: _Message) -> None:
    """One pair in a message (ITI TF-2 3.8.4.2)."""
    for name, place in (("PID", PATIENT_ID), ("MRG", _PRIOR_ID)):
        if len(message.segments(name)) != 1:
            raise RegistryFailure(broken("feed-one-pair", place))


def _revise(node: Node, message: _Message, trail: Trail) -> None:
    """Other demographics, of which a registry keeps none; an id is never changed so (ITI TF-2 3.8.4.1)."""
    trail.seen(*for_each_patient(Deed(), trail.patients))


_ANNOUNCING: Final = ("A01", "A04", "A05")
_MERGING: Final = "A40"
_EVENTS: Final = {**dict.fromkeys(_ANNOUNCING, _announce), "A08": _revise, _MERGING: _merge}
