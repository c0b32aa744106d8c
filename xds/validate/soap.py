"""SOAP messages and their bodies: envelope, addressing, ticket, schema, and what the transaction says.

Every question is put to the code with which the node answers requests, in its order; but where the node gives
up at the first fault, what can still be asked is asked. What breaks the schema is not read any further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lxml import etree

from xds.errors import Fault, FaultCode, RegistryFailure, sender
from xds.metadata import names, validation
from xds.metadata.ebrim import read_object, read_object_list
from xds.metadata.model import RegistryObject
from xds.registry.masking import MASK
from xds.registry.queries import MULTI_PATIENT_QUERIES
from xds.security import wsse
from xds.transactions import body as bodies
from xds.transactions import iti41_provide_and_register_document_set as iti41
from xds.transactions import iti80_cross_gateway_document_provide as iti80
from xds.transactions import schema
from xds.transactions.rules import broken
from xds.transactions.transaction import Node, Transaction
from xds.transport import addressing, soap, xml
from xds.transport.message import Message, Received, open_message, receive
from xds.transport.mime import too_large
from xds.validate import kinds, tickets
from xds.validate.desk import Settings, desk
from xds.validate.findings import Finding, note, of_errors, of_fault
from xds.validate.wire import Saved

_UNDERSTOOD: Final = addressing.UNDERSTOOD | {wsse.TAG, iti80.BLOCK}
_ADDRESSED: Final = "WS-Addressing 1.0, SOAP Binding 6.4"
_SUBMISSION: Final = f"{{{names.LCM}}}SubmitObjectsRequest"
_MASKED: Final = (
    f"The entry is masked (sperret): {MASK} stands for what is not told, and the rules of metadata do not "
    "hold for it (docs/access-rules.md)."
)
_UPDATING: Final = frozenset((names.UPDATE_AVAILABILITY_STATUS, names.SUBMIT_ASSOCIATION))


def judge(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """What a whole message is, in words, and what is wrong with it."""
    with desk(settings) as node:
        staging = node.repository.store.staging
        try:
            received = receive(saved.stream(), kinds.content_type(saved), settings.limits, staging)
        except Fault as fault:
            return "a SOAP message", [of_fault(fault)]
        found: list[Finding] = []
        try:
            header, body = soap.split(received.root, received.version)
        except Fault as fault:
            return "a SOAP message", [of_fault(fault)]
        try:
            soap.check_understood(header, received.version, _UNDERSTOOD)
        except Fault as fault:
            found.append(of_fault(fault))
        action = _action(received, header, body, found)
        asked = addressing.Addressing(action=action)
        try:
            message = open_message(received, header, body, asked, settings.limits, staging)
        except Fault as fault:
            return "a SOAP message", [*found, of_fault(fault)]
        found += tickets.of_message(message, settings)
        what, more = _body(message, settings, saved.path)
        return what, found + more


def _action(
    received: Received, header: etree._Element | None, body: etree._Element, found: list[Finding]
) -> str:
    """The wsa:Action, or nothing where there is none that can be used."""
    answer = _is_answer(body)
    try:
        action = addressing.read(header, received.version, answer=answer).action
    except addressing.AddressingFault as fault:
        found.append(replace(of_fault(fault), location=f"wsa:{fault.problem}", source=_ADDRESSED))
        return ""
    if action in kinds.ACTIONS or answer:
        return action
    unknown = Fault(
        FaultCode.SENDER,
        "No endpoint has the wsa:Action of the message (docs/transactions.md).",
        subcode=(addressing.WSA, "ActionNotSupported"),
    )
    found.append(replace(of_fault(unknown), location="wsa:Action", source=_ADDRESSED))
    return ""


def judge_bare(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """The same of what stands in a Body, or of an object list."""
    if len(saved.body) > settings.limits.root_bytes:
        return "XML", [of_fault(too_large("The XML", "root_bytes", settings.limits.root_bytes))]
    try:
        root = xml.parse(saved.body)
    except Fault as fault:
        return "XML", [of_fault(fault)]
    if root.tag == kinds.OBJECT_LIST:
        return _objects(root, settings)
    received = Received(soap.Version.SOAP12, root, {}, False)
    with desk(settings) as node:
        staging = node.repository.store.staging
        try:
            message = open_message(received, None, root, addressing.Addressing(), settings.limits, staging)
        except Fault as fault:
            return "XML", [of_fault(fault)]
        return _body(message, settings, "")


def _body(message: Message, settings: Settings, path: str) -> tuple[str, list[Finding]]:
    if _is_answer(message.body):
        return _answer(message, settings)
    actions = kinds.INITIATING_ACTIONS if path == kinds.INITIATING else kinds.ACTIONS
    transaction = actions.get(message.action) or _transaction(message.body)
    if transaction is None:
        reason = "The Body holds nothing that a transaction here takes (docs/transactions.md)."
        return "a SOAP message", [of_fault(sender(reason))]
    what = f"a request of {transaction.number}"
    try:
        bodies.check_content(transaction, message)
    except Fault as fault:
        return what, [of_fault(fault)]
    if misfits := schema.check(message.body):
        errors = [broken("schema", each.location, transaction.number, each.sentence) for each in misfits]
        found = of_errors(errors)
        told = [replace(each, line=misfit.line) for each, misfit in zip(found, misfits, strict=True)]
        return what, [*told, note("What breaks the schema is not read any further: there may be more.")]
    with desk(settings, _home(message)) as node:
        return what, [*_read(node, transaction, message)]


def _read(node: Node, transaction: Transaction, message: Message) -> Iterator[Finding]:
    lines = _lines(message.body)
    try:
        request = transaction.read(node, message)
        remarks = getattr(request, "remarks", None)
        yield from of_errors(remarks.warnings if remarks else (), lines)
        transaction.judge(node, request)
    except RegistryFailure as failure:
        yield from of_errors(failure.errors, lines)
    except Fault as fault:
        yield of_fault(fault)


def _transaction(body: etree._Element) -> Transaction | None:
    """The transaction of a body that comes without an action, by what it holds."""
    fitting = [each for each in kinds.ACTIONS.values() if each.element == body.tag]
    if not fitting:
        return None
    number = fitting[0].number
    if body.tag == _SUBMISSION:
        number = _submitting(body)
    elif body.tag == iti41.TRANSACTION.element:
        number = "ITI-41"
    elif any(each.get("id") in MULTI_PATIENT_QUERIES for each in body.iter(f"{{{names.RIM}}}AdhocQuery")):
        number = "ITI-51"
    return next(each for each in fitting if each.number == number)


def _submitting(body: etree._Element) -> str:
    """Which transaction submits such objects by themselves."""
    links = {each.get("associationType") for each in body.iter(f"{{{names.RIM}}}Association")}
    slots = {each.get("name") for each in body.iter(f"{{{names.RIM}}}Slot")}
    if links & _UPDATING or "PreviousVersion" in slots:
        return "ITI-57"
    documents = {each.get("objectType") for each in body.iter(f"{{{names.RIM}}}ExtrinsicObject")}
    return "ITI-61" if documents == {names.ON_DEMAND} else "ITI-42"


def _objects(root: etree._Element, settings: Settings) -> tuple[str, list[Finding]]:
    """An object list by itself: a submission when it has a submission set of its own, else an answer's."""
    misfits = schema.check(root)
    if misfits:
        errors = [broken("schema", each.location, "ITI-42", each.sentence) for each in misfits]
        return "an ebRIM object list", of_errors(errors)
    objects = read_object_list(root)
    named = any(each.get("name") == "repositoryUniqueId" for each in root.iter(f"{{{names.RIM}}}Slot"))
    number: validation.Transaction = "ITI-42" if named else "ITI-41"
    return (
        f"an ebRIM object list, as {number} has it",
        _metadata(objects, number, root, settings),
    )


def _metadata(
    objects: tuple[RegistryObject, ...],
    number: validation.Transaction,
    root: etree._Element,
    settings: Settings,
) -> list[Finding]:
    with desk(settings) as node:
        errors = validation.check(objects, transaction=number, codes=node.codes)
    return of_errors(errors, _lines(root))


def _is_masked(obj: RegistryObject) -> bool:
    """Whether it is the entry of a document that the patient has blocked: it names no patient."""
    return any(
        each.attributes.get("identificationScheme") == names.DOCUMENT_PATIENT_ID
        and each.attributes.get("value") == MASK
        for each in obj.external_identifiers
    )


def _is_answer(body: etree._Element) -> bool:
    name = etree.QName(body).localname
    return name.endswith("Response") or name in ("Fault", "MCCI_IN000002UV01")


def _answer(message: Message, settings: Settings) -> tuple[str, list[Finding]]:
    """An answer: its form, and the metadata in it, object by object."""
    body = message.body
    name = etree.QName(body).localname
    if name == "Fault":
        return "a SOAP fault", [note("The other side refused the request: its reason stands in the fault.")]
    what = f"an answer ({name})"
    if misfits := schema.check(body):
        errors = [broken("schema", each.location, "", each.sentence) for each in misfits]
        return what, of_errors(errors)
    listed = [
        read_object(each)
        for each in body.iterfind(f"{kinds.OBJECT_LIST}/*")
        if each.tag != f"{{{names.RIM}}}ObjectRef"
    ]
    objects = tuple(each for each in listed if not _is_masked(each))
    found = _metadata(objects, "query", body, settings) if objects else []
    found += [note(_MASKED, each.id) for each in listed if _is_masked(each)]
    status = body.get("status") or body.findtext("status") or ""
    if status and status != names.SUCCESS:
        number = sum(1 for _ in body.iter(f"{{{names.RS}}}RegistryError"))
        found.append(
            note(f"The answer is {status.rpartition(':')[2]}, with {number} errors or warnings in it.")
        )
    for element in message.unresolved:
        where = body.getroottree().getpath(element)
        found.append(
            replace(of_errors([broken("document-for-entry", where)])[0], line=element.sourceline or 0)
        )
    return what, found


def _lines(body: etree._Element) -> dict[str, int]:
    """The line of each object, by its id; of several of one id the first."""
    found: dict[str, int] = {}
    for element in body.iter("*"):
        if own := element.get("id"):
            found.setdefault(own, element.sourceline or 0)
    return found


_NAMED: Final = (f"{{{names.XDS}}}HomeCommunityId",)


def _home(message: Message) -> str:
    """The community that a message says it is for, if any: it is judged as if that were this one."""
    if home := iti80.community(message):
        return home
    for element in message.body.iter("*"):
        if home := element.get("home", ""):
            return home
        if element.tag in _NAMED and element.text:
            return element.text.strip()
    return ""
