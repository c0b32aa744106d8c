"""The node, wired: which addresses there are, and the order of the gates on the way of a request.

`create_app` makes the WSGI application that `xds serve` runs in each worker. `_answer` is the one way
through: every request of every transaction takes it, from the message that was read to the answer.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import falcon
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from xds import transactions
from xds.access.gate import UNASKED, Access, AccessGate, AccessRefused
from xds.access.policy import Action, PolicyFile
from xds.access.rule_table import national_rules
from xds.audit import figures
from xds.audit.delivery import Delivery
from xds.audit.store import AuditLog
from xds.audit.trail import Trail, Trails
from xds.config import (
    Settings,
    audit_node,
    audit_receivers,
    check_to_serve,
    import_function,
    load,
    server_context,
    unsafe_issuers,
)
from xds.errors import Code, Denied, Fault, FaultCode, RegistryError, RegistryFailure, SettingsError
from xds.fhir import privacy as privacy_push
from xds.fhir.audit_events import AuditEvents
from xds.fhir.routes import BASE, FhirBase
from xds.log import set_up
from xds.metadata import codesystems
from xds.metadata.code_rules import CodeRules
from xds.metrics import Metrics
from xds.registry.prepare import Reading
from xds.registry.registry import Options, Registry
from xds.repository.documents import Repository
from xds.repository.files import FolderStore
from xds.repository.on_demand import OnDemand
from xds.security import wsse
from xds.security.caller import Caller
from xds.security.denials import DENIALS, MEANINGS, Wss
from xds.security.gate import FhirGate, SoapGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.store.database import Database
from xds.store.trouble import DatabaseBusy, is_busy, no_room
from xds.transactions import iti8_patient_identity_feed as iti8
from xds.transactions import schema
from xds.transactions.rules import broken
from xds.transactions.transaction import Node, Transaction, log_refusal
from xds.transport.addressing import WSA
from xds.transport.endpoint import SoapEndpoint, plain_errors
from xds.transport.memory import collect_seldom, keep_freed
from xds.transport.message import Answer, Message
from xds.transport.mllp import MllpListener
from xds.transport.wsdl import Description, Schemas

log = logging.getLogger("xds")

App = falcon.App[falcon.Request, falcon.Response]

#: xds/wsdl is the repository's wsdl/, linked so that an installed package has it too.
_WSDL: Final = Path(__file__).parent / "wsdl"
_SCHEMA: Final = _WSDL / "schema" / "all.xsd"

#: Address -> its WSDL and the transactions it takes, told apart by wsa:Action.
ENDPOINTS: Final[Mapping[str, tuple[str, tuple[Transaction, ...]]]] = {
    "/xds/registry": (
        "registry.wsdl",
        (
            transactions.ITI_18,
            transactions.ITI_42,
            transactions.ITI_51,
            transactions.ITI_57,
            transactions.ITI_61,
            transactions.ITI_62,
            transactions.ITI_92,
        ),
    ),
    "/xds/repository": ("repository.wsdl", (transactions.ITI_41, transactions.ITI_43, transactions.ITI_86)),
    "/pix/feed": ("pix.wsdl", transactions.ITI_44),
}


def _answer(
    node: Node, gates: _Gates, known: Mapping[str, Transaction], message: Message, trail: Trail
) -> tuple[Answer, bool]:
    """One request, through the gates in their order. Raises Fault for what is no request at all."""
    transaction = known.get(message.action)
    trail.context.reference, trail.context.message_id = message.reference, message.message_id
    if transaction is None:
        raise Fault(
            FaultCode.SENDER,
            "This endpoint does not have the wsa:Action of the message; its WSDL lists those it has.",
            subcode=(WSA, "ActionNotSupported"),
        )
    mtom = message.mtom and transaction.streams
    trail.context.number = transaction.number
    try:
        caller = trail.context.caller = gates.who_asks(message)  # GATE 1, who is asking?
        trail.context.subject = transaction.about(message)
        _check_body(transaction, message)  # GATE 0, is it valid? By schema here, by IHE's rules in `read`.
        request = transaction.read(node, message)
        # GATE 2, what may they do and see? It becomes a condition in every statement of `do`.
        access = gates.may(caller, transaction.asks(request), trail)
        # GATE 3, what was done? `do` tells the trail in its own database transaction.
        result = transaction.do(node, request, access, trail)
        body = transaction.write(result)
    except Denied as denial:
        log.info("%s %s denied %s %s", message.reference, transaction.number, denial.rule, denial.sentence)
        trail.denied(denial.rule)
        body = transaction.refuse((gates.denial(denial),), message.reference)
    except RegistryFailure as failure:
        log_refusal(message.reference, transaction.number, failure.errors)
        trail.refused(failure.errors)
        body = transaction.refuse(failure.errors, message.reference)
    except (OSError, OperationalError, DatabaseBusy) as error:
        if full := no_room(error):
            log.error("%s %s no room: %s", message.reference, transaction.number, full)
        elif not is_busy(error):
            raise
        errors = (broken("node-full" if full else "node-busy", transaction=transaction.number),)
        log_refusal(message.reference, transaction.number, errors)
        trail.refused(errors)
        body = transaction.refuse(errors, message.reference)
    return Answer(transaction.response_action, body), mtom


@dataclass(frozen=True, slots=True)
class _Gates:
    """Gates 1 and 2; without, config.check_to_serve has seen that all callers are known.

    `faults`: a denial is a SOAP fault, else an error of the registry whose location is `home`.
    """

    soap: SoapGate | None
    fhir: FhirGate | None
    push: FhirGate | None
    access: AccessGate | None
    faults: bool
    home: str

    @property
    def understood(self) -> frozenset[str]:
        """The header blocks that gate 1 processes."""
        return frozenset({wsse.TAG} if self.soap else ())

    def who_asks(self, message: Message) -> Caller | None:
        """Whose ticket came with the message, None where nobody is asked. Raises Denied."""
        if self.soap is None:
            return None
        caller = self.soap.caller(message)
        log.info("%s kind=%s issuer=%s", message.reference, caller.kind, caller.issuer)
        return caller

    def may(self, caller: Caller | None, action: Action, trail: Trail) -> Access:
        """What whoever was let in may do and see. Raises RegistryFailure."""
        if self.access is None:
            return UNASKED
        assert caller is not None
        context = trail.context
        try:
            access = self.access.access(caller, action, context.number, context.reference)
        except AccessRefused as refused:
            context.policy, context.rule = refused.policy, refused.rule
            raise
        context.policy = access.policy
        if access.decision is not None and (rule := access.decision.rule) is not None:
            context.rule, context.opened = rule.id, bool(rule.opens)
        return access

    def denial(self, denial: Denied) -> RegistryError:
        """The error for the sender, in the standard's words and no others; raises it as a Fault if so set."""
        code = DENIALS[denial.rule].code
        assert isinstance(code, Wss)
        if self.faults:
            raise Fault(FaultCode.SENDER, MEANINGS[code], subcode=(code.namespace, code.value))
        return RegistryError(Code.REGISTRY_ERROR, MEANINGS[code], f"urn:oid:{self.home}", code.qname)


def _check_body(transaction: Transaction, message: Message) -> None:
    if message.body.tag != transaction.element:
        raise Fault(
            FaultCode.SENDER,
            f"The wsa:Action is that of {transaction.number}, whose Body holds one {transaction.element}.",
        )
    if message.included() - {transaction.binary}:
        raise Fault(
            FaultCode.SENDER,
            f"An xop:Include stands where {transaction.number} has no binary content:"
            " write the value itself.",
        )
    broken_at = schema.check(message.body, _SCHEMA)
    if not broken_at:
        return
    if transaction.fails_softly:
        raise RegistryFailure(
            *(broken("schema", location, transaction.number, detail) for location, detail in broken_at)
        )
    listed = " ".join(f"{location}: {detail}" for location, detail in broken_at)
    raise Fault(FaultCode.SENDER, f"The Body does not follow the schema of {transaction.number}. {listed}")


def create_app(settings: Settings | None = None) -> App:
    """The application; without `settings` they are read as the command line reads them, from XDS_CONFIG."""
    alone = settings is None  # in a worker: the process is the node's
    if settings is None:
        path = os.environ.get("XDS_CONFIG")
        settings = load(Path(path) if path else None)
        set_up()
        keep_freed()
    check_to_serve(settings)
    database = Database(settings["store.database"], settings["store.connections"])
    if not _is_current(database, patient=alone):
        raise SettingsError("store.database is not of this version: run `xds migrate`")
    documents = FolderStore(settings["store.documents"])
    codes = CodeRules(
        codesystems.load(settings["codes.folder"]),
        settings["codes.profile"],
        settings["codes.unknown_system"],
        settings["codes.language"],
    )
    node = Node(
        database=database,
        registry=Registry(
            database,
            Options(
                results=settings["registry.results"],
                patients=settings["patients.source"],
                authorities=settings["patients.authorities"].oids,
                synthetic=settings["environment"] == "test",
                home=settings["node.home_community_id"],
                reading=Reading(
                    limited_metadata=settings["registry.limited_metadata"] == "accepted",
                    release_slot=settings["access.release_slot"],
                    filled=codes.filled,
                ),
            ),
        ),
        repository=Repository(settings["node.repository_unique_id"], database, documents),
        limits=settings.limits,
        codes=codes,
        on_demand=_on_demand(settings),
        namespaces=settings["patients.authorities"].namespaces,
    )
    trust = None
    if settings["access.ticket"] == "required":
        trust = TrustStore(
            settings["trust"],
            seconds=settings["access.trust_seconds"],
            check=partial(unsafe_issuers, settings),
        )
    gates = _gates(settings, database, trust)
    handed_on = audit_receivers(settings)
    begin = _trails(settings, database, [each.name for each in handed_on])
    app = falcon.App()
    plain_errors(app)
    for address, (wsdl, offered) in ENDPOINTS.items():
        known = {transaction.action: transaction for transaction in offered}
        endpoint = SoapEndpoint(
            partial(_answer, node, gates, known),
            begin,
            settings.limits,
            documents.staging,
            name=address,
            understood=gates.understood,
            actions=known,
            wsdl=Description(_WSDL / wsdl, settings["node.public_url"]),
        )
        app.add_route(address, endpoint)
    schemas = Schemas(_WSDL / "schema")
    for folder in sorted({address.rpartition("/")[0] for address in ENDPOINTS}):
        app.add_route(f"{folder}/schema/{{name}}", schemas)
    log_of_access = AuditEvents(
        database,
        node.registry,
        lambda caller, trail: gates.may(caller, Action.READ_LOG, trail),
        f"{_public_url(settings)}{BASE}",
    )
    fhir = FhirBase(gates.fhir, _public_url(settings), begin, {"AuditEvent": log_of_access})
    app.add_sink(fhir, f"{BASE}(?:/|$)")
    app.add_route(
        privacy_push.ADDRESS,
        privacy_push.PrivacyPush(
            database,
            node.registry.domain,
            settings["privacy.definitions"],
            gates.push,
            _public_url(settings),
            lambda caller, trail: gates.may(caller, Action.ADMINISTER, trail),
            begin,
            settings.limits,
        ),
    )
    samples = [partial(figures.samples, database, [each.name for each in handed_on])]
    app.add_route("/metrics", Metrics(*samples, *([trust.samples] if trust else [])))
    app.add_route("/health/live", _Live())
    app.add_route("/health/ready", _Ready(node))
    if alone:
        collect_seldom()
        if trust:
            trust.start()  # ends with the worker, as the listener and the delivery do
        Delivery(database, handed_on).start()
        if settings["patients.mllp_listen"]:
            _mllp_listener(settings, node, begin).start()
    return app


def _gates(settings: Settings, database: Database, trust: TrustStore | None) -> _Gates:
    faults, home = settings["access.denial"] == "fault", settings["node.home_community_id"]
    if trust is None:
        return _Gates(None, None, None, None, faults, home)
    replay = Replay(database)
    soap = SoapGate(trust, replay, known_sender=settings["tls.client_ca"] is not None)
    policy = PolicyFile(settings["access.policy"])
    options = {
        "youth": settings["access.youth"],
        "time_limits": settings["access.time_limits"],
        "environment": settings["environment"],
    }
    access = AccessGate(database, lambda: policy.policies, national_rules(), options)
    # Only who reads may show an assertion in the place of a token: the push is another system's.
    push, fhir = FhirGate(trust, replay), FhirGate(trust, replay, soap)
    return _Gates(soap, fhir, push, access, faults, home)


def _public_url(settings: Settings) -> str:
    """Scheme and authority under which clients know the node; a DPoP proof is for these."""
    if settings["node.public_url"]:
        return str(settings["node.public_url"])
    host, port = settings["node.listen"]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if settings['tls.certificate'] else 'http'}://{name}:{port}"


def _trails(settings: Settings, database: Database, receivers: Sequence[str]) -> Trails:
    own = audit_node(settings, _public_url(settings))
    return Trails(AuditLog(database, own.name, receivers), own)


def _mllp_listener(settings: Settings, node: Node, begin: Trails) -> MllpListener:
    """The patient feed over MLLP (ITI-8); its gates are the client certificate and config.check_to_serve."""
    host, port = settings["patients.mllp_listen"]
    opened = partial(begin.of, f"mllp://{host}:{port}")
    answer, unread = partial(iti8.answer, node, opened), partial(iti8.unread, opened)
    return MllpListener((host, port), answer, settings.limits, server_context(settings), unread)


def _on_demand(settings: Settings) -> OnDemand | None:
    name = settings["repository.on_demand"]
    return OnDemand(import_function(name), settings["repository.on_demand_seconds"]) if name else None


def _is_current(database: Database, *, patient: bool) -> bool:
    """Whether the database is of this version; a worker waits for one that is away, as others may do well."""
    while True:
        try:
            return database.is_current()
        except (OperationalError, DatabaseBusy) as error:
            if not patient or not is_busy(error):
                raise
            log.error("waiting for the database")
            time.sleep(1)


class _Live:
    """The process answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        resp.text = "live\n"


class _Ready:
    """The process can work: its database answers, and there is room to stage a document."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        try:
            with self._node.database.read() as connection:
                connection.execute(text("SELECT 1 FROM patient LIMIT 1"))
            store = self._node.repository.store
            store.staging.create().discard()
            if not store.has_room(self._node.limits.document_bytes):
                raise OSError(errno.ENOSPC, "less than one document of limits.document_bytes")
        except Exception as error:
            log.error("not ready: %s", no_room(error) or type(error).__name__)
            resp.status = 503
            resp.text = "not ready\n"
            return
        resp.text = "ready\n"
