"""The node, wired: which addresses there are, and the order of the gates on the way of a request.

`create_app` makes the WSGI application that `xds serve` runs in each worker. `_answer` is the one way
through: every request of every transaction takes it, from the message that was read to the answer.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import falcon
from sqlalchemy.exc import OperationalError

from xds import transactions
from xds.access.gate import UNASKED, Access, AccessGate, AccessRefused, about_patient
from xds.access.policy import WRITING, Action, PolicyFile
from xds.access.rule_table import national_rules
from xds.audit import figures
from xds.audit.delivery import Delivery
from xds.audit.facts import reason_of
from xds.audit.store import AuditLog
from xds.audit.trail import Trail, Trails
from xds.config import (
    Settings,
    audit_node,
    audit_receivers,
    check_to_serve,
    document_store,
    import_function,
    load,
    server_context,
    unsafe_communities,
    unsafe_issuers,
)
from xds.errors import Code, Denied, Fault, FaultCode, RegistryError, RegistryFailure, SettingsError
from xds.fhir import privacy as privacy_push
from xds.fhir import smart
from xds.fhir.cursor import Cursors
from xds.fhir.interaction import Answer as FhirAnswer
from xds.fhir.interaction import Interaction, Request
from xds.fhir.interaction import Options as FhirOptions
from xds.fhir.mapping import Place
from xds.fhir.named import check_one, hidden, named_by_header
from xds.fhir.resources import INTERACTIONS
from xds.fhir.routes import BASE, FhirBase
from xds.gateway.awaited import AwaitedReplies
from xds.gateway.communities import Communities, CommunitiesFile
from xds.gateway.courier import Courier
from xds.gateway.initiating import InitiatingGateway
from xds.gateway.remote import UNDERSTOOD
from xds.gateway.replies import NotKept, Replies
from xds.log import set_up
from xds.metadata import codesystems
from xds.metadata.code_rules import CodeRules
from xds.metrics import Counts, Metrics, Sample
from xds.registry.prepare import Reading
from xds.registry.registry import Options, Registry
from xds.repository.documents import Repository
from xds.repository.on_demand import OnDemand
from xds.repository.store import DocumentStore
from xds.security import wsse
from xds.security.caller import Caller
from xds.security.denials import DENIALS, MEANINGS, Wss
from xds.security.gate import FhirGate, HttpRequest, SoapGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.store.database import Database
from xds.store.trouble import DatabaseBusy, is_busy, no_room
from xds.transactions import body as bodies
from xds.transactions import iti8_patient_identity_feed as iti8
from xds.transactions import iti80_cross_gateway_document_provide as iti80
from xds.transactions.responses import of_community
from xds.transactions.rules import broken
from xds.transactions.transaction import Body, Node, Transaction, log_refusal
from xds.transport.addressing import WSA, AddressingFault, Elsewhere
from xds.transport.capture import Capture
from xds.transport.endpoint import SoapEndpoint, plain_errors
from xds.transport.memory import collect_seldom, keep_freed
from xds.transport.message import Answer, Message
from xds.transport.mllp import MllpListener
from xds.transport.staged import StagingFolder
from xds.transport.trace import unmeasured
from xds.transport.wsdl import Description, Schemas
from xds.validate import desk as validate_desk
from xds.validate import page as validate_page

if TYPE_CHECKING:
    from xds.tracing import Tracing

log = logging.getLogger("xds")

App = falcon.App[falcon.Request, falcon.Response]

#: The repository's wsdl/, linked so that an installed package has it too.
_WSDL: Final = Path(__file__).parent / "wsdl"

RESPONDING: Final = "/xca/responding"
INITIATING: Final = "/xca/initiating"
#: Where answers of other communities come that answer later; no transaction of its own, see _take_reply.
REPLIES: Final = "/xca/replies"

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
    RESPONDING: (
        "responding-gateway.wsdl",
        (transactions.ITI_38, transactions.ITI_39, transactions.ITI_80),
    ),
    INITIATING: (
        "initiating-gateway.wsdl",
        (transactions.INITIATING_ITI_18, transactions.INITIATING_ITI_43),
    ),
}
#: Address -> the header blocks that its transactions process.
HEADERS: Final[Mapping[str, frozenset[str]]] = {RESPONDING: frozenset((iti80.BLOCK,))}


def _absent(settings: Settings) -> frozenset[str]:
    """The addresses that a node does not have: only a community has gateways, and asks whom it knows."""
    absent = set[str]()
    if not settings["node.home_community_id"]:
        absent.add(RESPONDING)
    if not settings["communities"]:
        absent.add(INITIATING)
    return frozenset(absent)


def _answer(
    node: Node,
    gates: _Gates,
    known: Mapping[str, Transaction],
    replies: Replies | None,
    message: Message,
    trail: Trail,
) -> tuple[Answer, bool] | None:
    """One request, through the gates in their order. Raises Fault for what is no request at all.

    None: the answer goes to the message's `reply_to`, and is on disk.
    """
    transaction = known.get(message.action)
    trail.context.reference, trail.context.message_id = message.reference, message.message_id
    trail.context.reply_to = message.reply_to
    if transaction is None:
        raise Fault(
            FaultCode.SENDER,
            "This endpoint does not have the wsa:Action of the message; its WSDL lists those it has.",
            subcode=(WSA, "ActionNotSupported"),
        )
    mtom = message.mtom and transaction.streams
    trail.context.number = transaction.number

    def refused(errors: Sequence[RegistryError]) -> Body:
        if transaction.of_community:
            errors = of_community(errors, node.registry.options.home_urn)
        return transaction.refuse(errors, message.reference)

    def in_trouble(error: Exception) -> Body:
        """The answer of a node that is full or busy; raises what is another error."""
        if full := no_room(error):
            log.error("%s %s no room: %s", message.reference, transaction.number, full)
        elif not is_busy(error):
            raise error
        errors = (broken("node-full" if full else "node-busy", transaction=transaction.number),)
        log_refusal(message.reference, transaction.number, errors)
        trail.refused(errors)
        return refused(errors)

    at_once = not message.reply_to  # and on the same connection
    try:
        with trail.step("ticket"):
            caller = trail.context.caller = gates.who_asks(message)  # GATE 1, who is asking?
        trail.context.subject = transaction.about(message)
        with trail.step("metadata"):
            # GATE 0, is it valid? By schema here, by IHE's rules in `read`.
            bodies.check(transaction, message)
            request = transaction.read(node, message)
        with trail.step("access"):
            # GATE 2, what may they do and see? It becomes a condition in every statement of `do`.
            access = gates.may(caller, transaction.asks(request), trail)
        if replies is not None and message.reply_to:
            replies.check_room(message.reply_to, transaction.number)
        with trail.step("do"):
            # GATE 3, what was done? `do` tells the trail in its own database transaction.
            result = transaction.do(node, request, access, trail)
        with trail.step("write"):
            body = transaction.write(result)
    except Denied as denial:
        log.info("%s %s denied %s %s", message.reference, transaction.number, denial.rule, denial.sentence)
        trail.denied(denial.rule)
        at_once = True  # nobody who is not let in has us contact anybody
        body = refused((gates.denial(denial),))
    except RegistryFailure as failure:
        log_refusal(message.reference, transaction.number, failure.errors)
        trail.refused(failure.errors)
        # The same for gate 2, whose rules these are.
        not_let_in = any(each.rule.startswith("access-") for each in failure.errors)
        at_once = at_once or not_let_in or isinstance(failure, NotKept)
        body = refused(failure.errors)
    except (OSError, OperationalError, DatabaseBusy) as error:
        at_once = True
        body = in_trouble(error)
    answer = Answer(transaction.response_action, body)
    if at_once:
        return answer, mtom
    assert replies is not None
    try:
        replies.keep(message, answer, mtom)
    except (OSError, OperationalError, DatabaseBusy) as error:
        return Answer(transaction.response_action, in_trouble(error)), mtom
    return None


def _interact(
    node: Node,
    gates: _Gates,
    interaction: Interaction,
    http: HttpRequest,
    received: Callable[[], Request],
    trail: Trail,
) -> FhirAnswer:
    """One request over FHIR, through the same gates in the same order. Raises what routes.py answers."""
    with trail.step("ticket"):
        caller = gates.who_asks_over_http(http, trail)  # GATE 1
    request = received()
    trail.context.subject = interaction.about(request)
    named = named_by_header(request.headers, test=node.registry.options.synthetic)
    with trail.step("metadata"):
        asked = interaction.read(node, request)  # GATE 0
    trail.context.subject = getattr(asked, "subject", trail.context.subject)
    of_ticket = caller is None or caller.patient is not None
    pid = interaction.patient(node, asked) or named
    if pid:
        trail.context.subject = replace(trail.context.subject, patients=(pid,))
    check_one(named, pid)
    try:
        # GATE 2; a token that names no patient is about whom the request names.
        asking = caller and about_patient(caller, pid)
        with trail.step("access"):
            access = gates.may(asking, interaction.asks(asked), trail, of_nobody=interaction.of_nobody)
    except AccessRefused as refused:
        if request.ids and not of_ticket and refused.errors[0].rule != "access-policy":
            # One answer for what is nobody's, hidden, or a refusing patient's.
            raise hidden(reason_of(refused.errors)) from None
        raise
    if named and not interaction.of_nobody:
        access.check_patients((named,), "", interaction.number)
    with trail.step("do"):
        return interaction.do(node, asked, access, trail)  # with GATE 3 in it


#: wsa:Action of an answer that comes later -> the transaction it is of.
_LATER: Final = {each.response_action: each.number for each in (transactions.ITI_38, transactions.ITI_39)}


def _take_reply(awaited: AwaitedReplies, message: Message, trail: Trail) -> None:
    """The answer of a community to a call of ours; whoever made the call judges it, and has it on record.

    Nobody is asked for a ticket: that the wsa:MessageID of the call is named is the permission. It cannot be
    guessed (122 random bits), is told to the one community alone, and is good once, for as long as the call
    may take; where tls.client_ca is set the sender also has a client certificate. Raises Fault.
    """
    trail.context.reference, trail.context.message_id = message.reference, message.message_id
    trail.context.number = _LATER.get(message.action, "")
    try:
        taken = bool(message.relates_to) and awaited.take(message)
    except (OSError, OperationalError, DatabaseBusy) as error:
        if not (no_room(error) or is_busy(error)):
            raise
        raise Fault(
            FaultCode.RECEIVER, "The node has no room for the reply, or is busy: send it again later."
        ) from error
    if not taken:
        raise AddressingFault(
            "InvalidAddressingHeader",
            "The header wsa:RelatesTo names no request that waits for its answer here: it is not ours, its"
            " time is over, or its answer has come. Do not send the message again.",
            "RelatesTo",
        )
    log.info("%s is the answer to a call", message.reference)
    trail.elsewhere()


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
    read_only: bool = False

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

    def who_asks_over_http(self, request: HttpRequest, trail: Trail) -> Caller | None:
        """Whose token came with the request, None where nobody is asked. Raises Denied."""
        if self.fhir is None:
            return None
        caller = trail.context.caller = self.fhir.caller(request)
        return caller

    def may(self, caller: Caller | None, action: Action, trail: Trail, *, of_nobody: bool = False) -> Access:
        """What whoever was let in may do and see; `of_nobody`: nothing of any record is asked for.

        Raises RegistryFailure.
        """
        if self.read_only and action in WRITING:
            raise RegistryFailure(broken("node-read-only", transaction=trail.context.number))
        if self.access is None:
            return UNASKED
        assert caller is not None
        context = trail.context
        try:
            if of_nobody:
                access = self.access.access_to_nobody(caller, action, context.number)
            else:
                access = self.access.access(caller, action, context.number, context.reference)
        except AccessRefused as refused:
            context.policy, context.rule = refused.policy, refused.rule
            trail.not_let_in(refused.rule or refused.errors[0].rule)
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


def create_app(settings: Settings | None = None) -> App:
    """The application; without `settings` they are read as the command line reads them, from XDS_CONFIG."""
    alone = settings is None  # in a worker: the process is the node's
    if settings is None:
        path = os.environ.get("XDS_CONFIG")
        settings = load(Path(path) if path else None)
        set_up(settings["log.format"])
        keep_freed()
    check_to_serve(settings)
    counts = Counts()
    database = Database(
        settings["store.database"],
        settings["store.connections"],
        settings["store.replica"],
        counts.read,
    )
    if not _is_current(database, patient=alone):
        raise SettingsError(
            "store.database is not of this version: run `xds migrate`, which says so when it is newer"
        )
    documents = document_store(settings, counts.s3_failed)
    tracing = _tracing(settings)
    if tracing is not None:
        documents = tracing.store(documents)
    communities = _communities(settings)
    awaited = _awaited(settings, database, documents) if communities else None
    replies = _replies(settings, database, documents, communities)
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
        gateway=_initiating_gateway(settings, communities, documents.staging, awaited),
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
    begin = Trails(
        AuditLog(database, settings["node.name"], [each.name for each in handed_on]),
        audit_node(settings, _public_url(settings)),
        counts,
        tracing or unmeasured,
    )
    # In a test environment only (config.check_to_serve).
    app = falcon.App(middleware=[Capture(settings["node.capture"])] if settings["node.capture"] else None)
    plain_errors(app)
    absent = _absent(settings)
    for address, (wsdl, offered) in ENDPOINTS.items():
        if address in absent:
            continue
        known = {transaction.action: transaction for transaction in offered}
        later = frozenset(each.action for each in offered if each.asynchronous)
        endpoint = SoapEndpoint(
            partial(_answer, node, gates, known, replies),
            begin,
            settings.limits,
            documents.staging,
            name=address,
            understood=gates.understood | HEADERS.get(address, frozenset()),
            actions=known,
            wsdl=Description(_WSDL / wsdl, settings["node.public_url"]),
            elsewhere=Elsewhere(later, replies.may_reply_to) if later else None,
        )
        app.add_route(address, endpoint)
    if awaited:
        endpoint = SoapEndpoint(
            partial(_take_reply, awaited),
            begin,
            settings.limits,
            documents.staging,
            name=REPLIES,
            understood=UNDERSTOOD,
            actions=_LATER,
            wsdl=Description(_WSDL / "replies.wsdl", settings["node.public_url"]),
            answers=True,
        )
        app.add_route(REPLIES, endpoint)
    schemas = Schemas(_WSDL / "schema")
    for folder in sorted({address.rpartition("/")[0] for address in ENDPOINTS}):
        app.add_route(f"{folder}/schema/{{name}}", schemas)
    public_url = _public_url(settings)
    fhir = FhirBase(
        gates.fhir,
        gates.who_asks_over_http,
        partial(_interact, node, gates),
        INTERACTIONS,
        begin,
        public_url,
        FhirOptions(
            Place(f"{public_url}{BASE}", node.registry.options.home_urn),
            Cursors(database),
            counts_blocked=settings["fhir.nors_count"] == "told",
            serves_deprecated=settings["fhir.deprecated"] == "served",
            source_id=settings["fhir.source_id"] or settings["node.repository_unique_id"],
        ),
        settings.limits,
        documents.staging,
        partial(_smart, f"{public_url}{BASE}", trust, gates),
    )
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
    samples: list[Callable[[], Iterable[Sample]]] = [
        partial(figures.samples, database, [each.name for each in handed_on]),
        partial(_figures, database, documents.staging),
    ]
    if trust:
        samples.append(trust.samples)
    if node.gateway:
        samples.append(node.gateway.samples)
    if RESPONDING not in absent:
        samples.append(replies.samples)
    app.add_route("/metrics", Metrics(*samples, counts=counts))
    app.add_route("/health/live", _Live())
    if settings["environment"] == "test":
        app.add_route(validate_page.ADDRESS, validate_page.ValidatePage(_desk(settings), settings.limits))
    app.add_route("/health/ready", _Ready(node))
    if alone:
        collect_seldom()
        if trust:
            trust.start()  # ends with the worker, as the listener and the delivery do
        Delivery(database, handed_on).start()
        if RESPONDING not in absent:
            Courier(replies, settings.limits).start()
        if awaited:
            awaited.start()
        if settings["patients.mllp_listen"] and settings["node.read_only"] == "off":
            _mllp_listener(settings, node, begin).start()
    return app


def _gates(settings: Settings, database: Database, trust: TrustStore | None) -> _Gates:
    faults, home = settings["access.denial"] == "fault", settings["node.home_community_id"]
    read_only = settings["node.read_only"] == "on"
    if trust is None:
        return _Gates(None, None, None, None, faults, home, read_only)
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
    return _Gates(soap, fhir, push, access, faults, home, read_only)


def _smart(base: str, trust: TrustStore | None, gates: _Gates) -> dict[str, Any]:
    """Where tokens for the FHIR side come from, for clients."""
    if trust is None or gates.access is None:
        return smart.configuration(base, (), {}, ())
    return smart.configuration(base, trust.trust.issuers.values(), trust.addresses, gates.access.scopes)


def _public_url(settings: Settings) -> str:
    """Scheme and authority under which clients know the node; a DPoP proof is for these."""
    if settings["node.public_url"]:
        return str(settings["node.public_url"]).rstrip("/")
    host, port = settings["node.listen"]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if settings['tls.certificate'] else 'http'}://{name}:{port}"


def _tracing(settings: Settings) -> Tracing | None:
    if not settings["otel.endpoint"]:
        return None
    from xds.tracing import Tracing  # and its libraries, which are heavy and need not be installed

    return Tracing(settings["otel.endpoint"], settings["node.name"], settings["otel.percent"])


def _figures(database: Database, staging: StagingFolder) -> Iterator[Sample]:
    """What of the database is in use, and what is arriving."""
    purpose = "Connections to the database in_use and free, and threads that are waiting for one."
    for pool, found in database.pools().items():
        for state in ("in_use", "free", "waiting"):
            if (value := getattr(found, state)) is not None:
                yield Sample("xds_database_pool", purpose, value, {"pool": pool, "state": state})
    files, size = staging.measure()
    yield Sample("xds_staging_files", "Files that are arriving, or that a crash has left.", files)
    yield Sample("xds_staging_bytes", "Bytes in them.", size)


def _mllp_listener(settings: Settings, node: Node, begin: Trails) -> MllpListener:
    """The patient feed over MLLP (ITI-8); its gates are the client certificate and config.check_to_serve."""
    host, port = settings["patients.mllp_listen"]
    opened = partial(begin.of, f"mllp://{host}:{port}")
    answer, unread = partial(iti8.answer, node, opened), partial(iti8.unread, opened)
    return MllpListener((host, port), answer, settings.limits, server_context(settings), unread)


def _on_demand(settings: Settings) -> OnDemand | None:
    name = settings["repository.on_demand"]
    if settings["node.read_only"] == "on":
        return None  # what is made may have to be kept
    return (
        OnDemand(import_function("repository.on_demand", name), settings["repository.on_demand_seconds"])
        if name
        else None
    )


def _communities(settings: Settings) -> CommunitiesFile | None:
    path = settings["communities"]
    return CommunitiesFile(path, partial(unsafe_communities, settings)) if path else None


def _initiating_gateway(
    settings: Settings,
    communities: CommunitiesFile | None,
    staging: StagingFolder,
    awaited: AwaitedReplies | None,
) -> InitiatingGateway | None:
    if communities is None:
        return None
    exchange = settings["gateway.ticket_exchange"]
    return InitiatingGateway(
        communities,
        settings.limits,
        staging,
        import_function("gateway.ticket_exchange", exchange) if exchange else None,
        awaited,
        joins_own=settings["gateway.own"] == "joined",
        most=settings["registry.results"],
        # The rest of the threads stay free for those who ask this node alone, whatever communities do, and
        # for the answers that come later.
        requests=max(settings["node.threads"] * 3 // 4, settings["node.threads"] - 8, 1),
    )


def _awaited(settings: Settings, database: Database, documents: DocumentStore) -> AwaitedReplies:
    """Answers of communities that answer later, at this node's own address."""
    return AwaitedReplies(
        database,
        settings["node.name"],
        settings["node.public_url"].rstrip("/") + REPLIES,
        documents.replies,
        documents.staging,
        settings.limits,
    )


def _replies(
    settings: Settings, database: Database, documents: DocumentStore, communities: CommunitiesFile | None
) -> Replies:
    """Our own answers that go elsewhere; without a communities file nothing may."""
    return Replies(
        database,
        settings["node.name"],
        documents.replies,
        lambda: communities.communities if communities else Communities(),
        documents.replies.has_room,
        settings["limits.document_bytes"],
    )


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


def _desk(settings: Settings) -> validate_desk.Settings:
    """What the page for validating judges by: as the node does."""
    return validate_desk.Settings(
        profile=settings["codes.profile"],
        patients=settings["patients.source"],
        authorities=settings["patients.authorities"].oids,
        limits=settings.limits,
    )


class _Live:
    """The process answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        resp.text = "live\n"


class _Ready:
    """The process can work: its database and the store answer, and there is room to stage a document.

    Else 503, with a line for each that does not: its name and the kind of error, never an address or a path.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._needed = {
            "database": node.database.check,
            "staging": self._stage,
            "documents": node.repository.store.check,
        }

    def _stage(self) -> None:
        store = self._node.repository.store
        store.staging.create().discard()
        if not store.has_room(self._node.limits.document_bytes):
            raise OSError(errno.ENOSPC, "less than one document of limits.document_bytes")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        failing = []
        for name, ask in self._needed.items():
            try:
                ask()
            except Exception as error:
                failing.append(f"{name} {no_room(error) or type(error).__name__}")
        if failing:
            log.error("not ready: %s", ", ".join(failing))
            resp.status = 503
            resp.text = "".join(f"{line}\n" for line in ("not ready", *failing))
            return
        # A community that is away makes no node unable to work: what others have is still to be had from it.
        gateways = self._node.gateway.gateways if self._node.gateway else ()
        resp.text = "".join(
            ("ready\n", *(f"community {each.community.urn} {each.state}\n" for each in gateways))
        )
