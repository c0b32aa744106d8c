"""What the access log is told: plain data from those who know it, before anything of FHIR.

app.py gathers a `Context` on the way of a request, each transaction says by `Subject` what a message is about
and by `Deed` what was done; event.py makes AuditEvents of them. Nothing here looks anything up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from xds.errors import RegistryError
from xds.metadata.model import Code
from xds.security.caller import Caller


class Outcome(StrEnum):
    """AuditEvent.outcome (FHIR R4; the same numbers in DICOM)."""

    SUCCESS = "0"
    MINOR = "4"  # refused or not all done, for reasons that the answer gives
    SERIOUS = "8"  # nobody let in, or a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document by what names it: `unique_id`, or the `entry_uuid` (urn:uuid:) of any registry object.

    `codes` are its confidentiality codes, where the transaction has them at hand.
    """

    unique_id: str = ""
    entry_uuid: str = ""
    repository: str = ""
    home: str = ""
    mime_type: str = ""
    codes: Sequence[Code] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A stored query: its id (urn:uuid:), its name, the community asked, and the request as it was sent."""

    id: str
    name: str = ""
    home: str = ""
    text: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a message is about, as far as it can be read of it; `patients` are CX texts."""

    patients: tuple[str, ...] = ()
    query: Query | None = None
    submission_set: str = ""
    documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What this node, as a gateway, has asked of another community for whoever asked it.

    `number` is the transaction that went out, `home` the community (urn:oid:…), `url` its endpoint,
    `message_id` our wsa:MessageID, by which the community's log can be joined with ours.
    """

    number: str
    home: str
    url: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done, or not done, to one patient's record: one AuditEvent.

    `patient` is a CX text, empty when nobody knows. `action` is FHIR's (C R U D E), empty: the transaction's.
    `documents` are named one by one; `shown` and `masked` are entryUUIDs of a list, as 16 bytes each;
    `objects` is how many registry objects the list had in all, None when there was none. `reason` says in
    ids of codes and rules why it was not done. `asked`: it was done by asking another community.
    """

    patient: str = ""
    outcome: Outcome = Outcome.SUCCESS
    reason: str = ""
    action: str = ""
    documents: tuple[Document, ...] = ()
    submission_set: str = ""
    query: Query | None = None
    shown: Sequence[bytes] = ()
    masked: Sequence[bytes] = ()
    objects: int | None = None
    asked: Asked | None = None


@dataclass(slots=True, kw_only=True)
class Context:
    """One request, as it becomes known: it begins as an address and a time.

    `endpoint` is the path that was asked, `remote` the sender's network address. `number` is the transaction,
    empty until the message says so. `message_id` and `trace` are the sender's own ids of it (wsa:MessageID,
    MSH-10; traceparent), `control_id` is an HL7 message's own (MSH-10, II), `reference` is ours. `policy`,
    `rule` and `opened` are gate 2's reasons. `reply_to` is where the answer goes, if not back to the sender.
    `operator` is who uses a command on the machine itself.
    """

    endpoint: str
    remote: str = ""
    reference: str = ""
    message_id: str = ""
    trace: str = ""
    control_id: str = ""
    number: str = ""
    caller: Caller | None = None
    policy: str = ""
    rule: str = ""
    opened: bool = False
    operator: str = ""
    reply_to: str = ""
    subject: Subject = field(default_factory=Subject)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


#: Rules that one outcomeDesc lists.
_MOST_RULES: Final = 50


def reason_of(errors: Sequence[RegistryError]) -> str:
    """Codes and rules of what was found, each once; never a value of the message.

    An error that another community gave has no rule here.
    """
    found = sorted({f"{each.code} [{each.rule}]" if each.rule else str(each.code) for each in errors})
    more = f" and {len(found) - _MOST_RULES} more" if len(found) > _MOST_RULES else ""
    return "; ".join(found[:_MOST_RULES]) + more


def for_each_patient(deed: Deed, patients: Sequence[str]) -> tuple[Deed, ...]:
    """The same deed for each of them, or once without a patient: one AuditEvent is about one patient."""
    return tuple(replace(deed, patient=each) for each in dict.fromkeys(patients)) or (deed,)
