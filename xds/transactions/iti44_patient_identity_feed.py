"""ITI-44 Patient Identity Feed HL7 V3: patients are announced, revised and merged by SOAP (ITI TF-2 3.44).

Three messages, one answer: the accept acknowledgement MCCI_IN000002UV01, with CA when all is done and CE,
with every error, when nothing was changed. The schema asks for what an acknowledgement needs; what is missing
of the patient is said in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from lxml import etree

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, Subject, for_each_patient
from xds.audit.trail import Trail
from xds.errors import DataTypeError, Fault, FaultCode, RegistryError, RegistryFailure
from xds.metadata.datatypes import CX
from xds.registry.patients import SUBSUMED, SURVIVING
from xds.transactions import about, patient_feed
from xds.transactions.patient_feed import Named
from xds.transactions.schema import required
from xds.transactions.transaction import Body, Node, Transaction, always, log_refusal
from xds.transport.message import Message
from xds.transport.xml import escape

HL7: Final = "urn:hl7-org:v3"
NUMBER: Final = "ITI-44"

_EVENT: Final = "controlActProcess/subject/registrationEvent"
_PATIENT: Final = f"{_EVENT}/subject1/patient"
_PATIENT_ID: Final = f"{_PATIENT}/id"
_OTHER_ID: Final = f"{_PATIENT}/patientPerson/asOtherIDs/id"
_PRIOR_ID: Final = f"{_EVENT}/replacementOf/priorRegistration/subject1/priorRegisteredRole/id"
_PLACES: Final = {SURVIVING: f"/{_PATIENT_ID}", SUBSUMED: f"/{_PRIOR_ID}"}

#: Rule -> AcknowledgementDetailCode; the rules that are not here are about an id that is not known.
_CONDITIONS: Final = dict.fromkeys(
    ("feed-one-pair", "feed-patient-id-form", "feed-patient-ids-many"), "SYN102"
)
_UNKNOWN: Final = "KEY204"
_DETAIL_CODES: Final = "2.16.840.1.113883.5.1100"
_INTERACTIONS: Final = "2.16.840.1.113883.1.6"
_ACKNOWLEDGEMENT: Final = "MCCI_IN000002UV01"


@dataclass(frozen=True, slots=True)
class Request:
    """What is read of a message: the attributes of II elements that the answer repeats, and patient ids."""

    reference: str
    control_id: str
    id: str
    sender: str
    receiver: str
    processing: str
    patient: tuple[Named, ...]
    others: tuple[Named, ...]
    prior: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request and why it was not done, if it was not."""

    request: Request
    errors: Sequence[RegistryError]


def read(node: Node, message: Message) -> Request:
    """The ids of a message; whether they are there and right is for `do` to say."""
    body = message.body
    code = required(body, _path("processingCode")).get("code", "")
    return Request(
        reference=message.reference,
        control_id="^".join(filter(None, map(required(body, _path("id")).get, ("root", "extension")))),
        id=_ii(required(body, _path("id"))),
        sender=_ii(body.find(_path("sender/device/id"))),
        receiver=_ii(body.find(_path("receiver/device/id"))),
        processing=code if code in ("D", "P", "T") else "P",
        patient=_ids(body, _PATIENT_ID),
        others=_ids(body, _OTHER_ID),
        prior=_ids(body, _PRIOR_ID),
    )


def _about(message: Message) -> Subject:
    """The first patient id that can be one, and the first that is merged; `do` knows whose are used here."""
    found = []
    for path in (_PRIOR_ID, _PATIENT_ID):
        for named in _ids(message.body, path)[:1]:
            with suppress(DataTypeError):
                if len(named.id) + len(named.authority) > about.LONGEST:
                    continue
                found.append(str(CX.parse(str(CX(named.id, named.authority)))))
    return Subject(patients=tuple(found))


def _path(path: str) -> str:
    return "/".join(f"{{{HL7}}}{step}" for step in path.split("/"))


def _ids(body: etree._Element, path: str) -> tuple[Named, ...]:
    """v3's root and extension are CX's authority and id; a root alone is no id of an authority."""
    found: Iterable[etree._Element] = body.iterfind(_path(path))
    return tuple(
        Named(each.get("extension", ""), each.get("root", "")) for each in found if each.get("extension")
    )


def _ii(element: etree._Element | None) -> str:
    """The attributes of an instance identifier, to be written again."""
    given = {} if element is None else {name: element.get(name) for name in ("root", "extension")}
    text = "".join(f' {name}="{escape(value)}"' for name, value in given.items() if value)
    return text or ' nullFlavor="NI"'


_Work = Callable[[Node, Request, Trail], None]


def _doing(work: _Work) -> Callable[[Node, Request, Access, Trail], Outcome]:
    def do(node: Node, request: Request, access: Access, trail: Trail) -> Outcome:
        trail.context.subject = patient_feed.subject(node, (*request.patient, *request.prior))
        trail.context.control_id = request.control_id
        try:
            work(node, request, trail)
        except RegistryFailure as failure:
            log_refusal(request.reference, NUMBER, failure.errors)
            trail.refused(failure.errors)
            return Outcome(request, failure.errors)
        return Outcome(request, ())

    return do


def _add(node: Node, request: Request, trail: Trail) -> None:
    patient_feed.announce(node, (*request.patient, *request.others), f"/{_PATIENT_ID}", trail)


def _revise(node: Node, request: Request, trail: Trail) -> None:
    """Other demographics, of which a registry keeps none; an id is never changed so."""
    trail.seen(*for_each_patient(Deed(), trail.patients))


def _resolve(node: Node, request: Request, trail: Trail) -> None:
    patient_feed.merge(node, request.prior, request.patient, _PLACES, trail)


def write(outcome: Outcome) -> Body:
    """The accept acknowledgement, which itself is never acknowledged (ITI TF-2 O.1.3)."""
    request = outcome.request
    details = "".join(map(_detail, outcome.errors))
    if details:
        details += (
            f'<acknowledgementDetail typeCode="I"><text>Reference {request.reference}</text>'
            "</acknowledgementDetail>"
        )
    return (
        f'<{_ACKNOWLEDGEMENT} xmlns="{HL7}" ITSVersion="XML_1.0"><id root="{uuid4()}"/>'
        f'<creationTime value="{datetime.now(UTC):%Y%m%d%H%M%S}+0000"/>'
        f'<interactionId root="{_INTERACTIONS}" extension="{_ACKNOWLEDGEMENT}"/>'
        f'<processingCode code="{request.processing}"/><processingModeCode code="T"/>'
        f'<acceptAckCode code="NE"/>{_device("receiver", "RCV", request.sender)}'
        f"{_device('sender', 'SND', request.receiver)}"
        f'<acknowledgement><typeCode code="{"CE" if outcome.errors else "CA"}"/>'
        f"<targetMessage><id{request.id}/></targetMessage>{details}</acknowledgement>"
        f"</{_ACKNOWLEDGEMENT}>".encode(),
    )


def _device(name: str, code: str, ii: str) -> str:
    return (
        f'<{name} typeCode="{code}"><device classCode="DEV" determinerCode="INSTANCE">'
        f"<id{ii}/></device></{name}>"
    )


def _detail(error: RegistryError) -> str:
    code = _CONDITIONS.get(error.rule, _UNKNOWN)
    return (
        f'<acknowledgementDetail typeCode="E"><code code="{code}" codeSystem="{_DETAIL_CODES}"/>'
        f"<text>{escape(error.context)} [{error.rule}]</text>"
        f"<location>{escape(error.location)}</location></acknowledgementDetail>"
    )


def refuse(errors: Sequence[RegistryError], reference: str) -> Body:
    """What comes here is the node's own trouble, and no word on the message: a fault, so that it is sent
    again.
    """
    raise Fault(FaultCode.RECEIVER, " ".join(error.context for error in errors))


def _judge_added(node: Node, request: Request) -> None:
    patient_feed.announced(node, (*request.patient, *request.others), f"/{_PATIENT_ID}")


def _judge_resolved(node: Node, request: Request) -> None:
    patient_feed.pair(node, request.prior, request.patient, _PLACES)


def _transaction(
    name: str, work: _Work, judge: Callable[[Node, Request], None] = lambda node, request: None
) -> Transaction:
    return Transaction(
        number=NUMBER,
        action=f"{HL7}:{name}",
        response_action=f"{HL7}:{_ACKNOWLEDGEMENT}",
        element=f"{{{HL7}}}{name}",
        streams=False,
        fails_softly=False,
        about=_about,
        read=read,
        asks=always(Action.ADMINISTER),
        do=_doing(work),
        write=write,
        refuse=refuse,
        judge=judge,
    )


#: Patient Registry Record Added, Record Revised, Duplicates Resolved.
TRANSACTIONS: Final = (
    _transaction("PRPA_IN201301UV02", _add, _judge_added),
    _transaction("PRPA_IN201302UV02", _revise),
    _transaction("PRPA_IN201304UV02", _resolve, _judge_resolved),
)
