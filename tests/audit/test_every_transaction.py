"""Every transaction, every way in which it can end, on a real node: exactly the right events are on record.

What is expected is worked out from IHE's audit messages (ihe-rules 7.2, fhir-rules 2.1 to 2.4) and from what
the access log is for: one event for each patient and request; of partial success a success and a failure,
each with its own documents; success, denial, fault, masking and break-glass alike. Every event, also those of
the preparations, must besides have no fault in the eyes of tests/audit/profiles.py.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from joserfc import jwt

from tests.access.people import number
from tests.audit import vocabulary as v
from tests.audit.profiles import problems
from tests.audit.reading import text, texts
from tests.audit.reading_log import OWN_CODES, Logged, digits, problems_of_chain, rows
from tests.blackbox import messages as m
from tests.blackbox.state import beneath, published
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS, Reply, Request, send
from tests.conftest import nodes
from tests.gateway.region import query, urn
from tests.nodes import Node
from tests.ports import free_port
from tests.transactions.feed import OURS, Mllp, new_id, pid, v2, v2_id
from tests.transactions.test_iti44 import ADDED, HL7, RESOLVED, REVISED, ii, message
from xds.demo.keys import AUDIENCE, issuer
from xds.demo.tickets import CLINICIAN, GUARDIAN, HPR, SYSTEM, TicketService
from xds.fhir.privacy import ADDRESS as PUSH
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.security.denials import WSSE
from xds.security.trust import TicketKind
from xds.validate.audit_events import judge

URL = "https://xds.example.org"
HOME = "2.16.578.1.12.4.5.100.1"
#: A community that is not this one.
STRANGERS = "2.16.578.1.12.4.5.100.77"
#: No answer holds more objects, and no message more XML.
RESULTS, ROOT_BYTES = 6, 100_000
#: What stands in every document, and in no event and no line of the log.
CONTENT = "Kvakkelunds innerste"
BLOCK, CONSENT, UNSET = (f"8a0f6f0e-3c0c-4a3e-9a53-1f0c6f5d2b1{each}" for each in (1, 3, 5))

POLICY = """
[[policy]]
id = "all"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete", "read-log"]
callers = ["citizen", "representative", "personnel"]

[[policy]]
id = "systems"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete", "administer"]
callers = ["machine"]
patient = "any"

[[policy]]
id = "controller"
effect = "permit"
actions = ["read-log"]
callers = ["machine"]
scopes = ["xds:audit/read-all"]
patient = "any"

[[policy]]
id = "nobody-coordinates"
effect = "deny"
actions = ["read-list", "read-document", "create", "update", "delete", "administer", "read-log"]
callers = ["personnel"]
purposes = ["COC"]
"""

#: Of whoever answers: DCM type and action (ihe-rules 7.2).
KINDS = {
    "ITI-8": ("110110", "U"),
    "ITI-18": ("110112", "E"),
    "ITI-38": ("110112", "E"),
    "ITI-39": ("110106", "R"),
    "ITI-41": ("110107", "C"),
    "ITI-42": ("110107", "C"),
    "ITI-43": ("110106", "R"),
    "ITI-44": ("110110", "U"),
    "ITI-51": ("110112", "E"),
    "ITI-57": ("110107", "U"),
    "ITI-61": ("110107", "C"),
    "ITI-62": ("110110", "D"),
    "ITI-80": ("110107", "C"),
    "ITI-81": ("110101", "R"),
    "ITI-86": ("110110", "D"),
    "ITI-92": ("110107", "U"),
    "PVK": ("110110", "U"),
    "ITI-65": ("110107", "C"),
    "ITI-66": ("rest", "E"),
    "ITI-67": ("rest", "E"),
    "ITI-68": ("rest", "R"),
    "ITI-105": ("rest", "C"),
    "ITI-106": ("rest", "C"),
    "validate": ("rest", "E"),
}
AUTHENTICATION = "110114"
#: Transactions that are none of IHE's, and what the oracle says of their events for that alone.
NOT_OF_IHE = ("", "PVK", "validate")
_NO_TRANSACTION = re.compile(r"subtype: (no transaction of|a denial names)")

_patients = itertools.count()


def new_patient() -> str:
    """The number of a grown-up whom no other test knows."""
    count = next(_patients)
    return number(date(1950 + count // 300, 3, 4), count % 300)


def cx(patient: str, authority: str = m.AUTHORITY) -> str:
    """The number as metadata have it."""
    return f"{patient}^^^&{authority}&ISO"


def traceparent(trace: str) -> str:
    """The HTTP header of a trace-id (W3C Trace Context, 3.2)."""
    return f"00-{trace}-00f067aa0ba902b7-01"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one event must say. `patient` is a number, `reason` are ids of rules; `ended` are the rules by
    which gate 1 turned somebody away, or a fault. `number` is another transaction than the request's,
    `restful` what it is in FHIR's terms; a submission set of which nobody can know the id is `*`.
    """

    outcome: str = "0"
    patient: str = ""
    authority: str = m.AUTHORITY
    who: str = "personnel"
    purpose: str = "TREAT"
    action: str = ""
    documents: Sequence[str] = ()
    submission_set: str = ""
    query: str = ""
    shown: Iterable[str] = ()
    masked: Iterable[str] = ()
    objects: str = ""
    reason: Iterable[str] = ()
    opened: bool = False
    denied: bool = False
    number: str = ""
    restful: str = ""

    def refused(self, *rules: str, **more: Any) -> Expected:
        """The same request, when it came to nothing for these reasons."""
        nothing: dict[str, Any] = {"shown": (), "masked": (), "objects": "", "action": "", "outcome": "4"}
        return replace(self, **(nothing | {"reason": rules} | more))


@dataclass(frozen=True)
class Marked(m.Document):
    """A document of a confidentiality code."""

    code: str = "N"

    def xml(self) -> str:
        """With the code in the place of N."""

        def classified(code: str, system: str) -> str:
            return f'nodeRepresentation="{code}">{m.slot("codingScheme", system)}'

        text = super().xml()
        assert text.count(classified("N", LEVELS)) == 1
        system = LEVELS if self.code == "N" else REFUSALS
        return text.replace(classified("N", LEVELS), classified(self.code, system))


class World:
    """A node that wants tickets, what is sent to it, and what it has on record."""

    def __init__(self, node: Node, service: TicketService, mllp_port: int) -> None:
        self.node = node
        self.service = service
        self.mllp_port = mllp_port
        self.secrets: list[str] = [CONTENT, m.FAMILY, m.TITLE, m.COMMENT, m.FILE]
        self.personal: set[str] = {CLINICIAN, GUARDIAN, HPR, "Tuva Fjell", "Ask Berg"}
        self._seen = 0
        self._recorded = 0
        self._ids: set[str] = set()
        self._wrong: list[str] = []
        self.sent: dict[str, str] = {}
        self.ticket_id = ""

    # -- tickets

    def ticket(self, kind: str = "personnel", patient: str = "", **more: Any) -> str:
        """A ticket of a kind; what it is signed with must never be seen again."""
        if kind == "citizen":
            more = {"person": patient} | more
        elif kind != "system":
            more = {"patient": patient} | more
        made = self.service.saml(kind, **more)
        (signature,) = re.findall(r"SignatureValue>([^<]+)<", made)
        self.secrets.append(signature.split()[0][:40])
        return made

    def token(self, *scopes: str, **more: Any) -> str:
        """A machine's access token with these scopes."""
        made = self.service.token(machine=True, **more)
        head, payload, _ = made.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims["scope"] = list(scopes)
        header = json.loads(base64.urlsafe_b64decode(head + "=="))
        token = jwt.encode(header, claims, self.service._token_key)
        self.secrets.append(token.rpartition(".")[2])
        self.ticket_id = claims["jti"]
        return token

    # -- sending

    def ask(
        self,
        number: str,
        body: str,
        ticket: str | None,
        *,
        action: str = "",
        header: str = "",
        change: Callable[[bytes], bytes] = lambda data: data,
    ) -> Reply:
        """One SOAP request, whose ids are then in `sent`."""
        self.sent = {
            "message": m.new_message_id(),
            "trace": secrets.token_hex(16),
        }
        if ticket is not None:
            (self.ticket_id,) = re.findall(r'Assertion [^>]*\bID="(_[^"]+)"', ticket)
            header += f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'
        path = "/pix/feed" if number == "ITI-44" else m.PATHS[number]
        data = m.envelope(body, action or number, header=header, message_id=self.sent["message"])
        headers = (("traceparent", traceparent(self.sent["trace"])),)
        return send(self.node, Request(path, m.media_type(m.SOAP12), change(data), headers))

    def http(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        """One request of the kind that is no SOAP."""
        self.sent = {
            "message": f"request-{secrets.token_hex(4)}",
            "trace": secrets.token_hex(16),
        }
        own = {"traceparent": traceparent(self.sent["trace"]), "X-Request-Id": self.sent["message"]}
        if path == PUSH:
            del self.sent["message"]
        return urllib3.request(
            method, self.node.url + path, headers={**own, **headers}, body=body, retries=False
        )

    def bearer(self, ticket: str) -> dict[str, str]:
        """An assertion as an access token."""
        (self.ticket_id,) = re.findall(r'Assertion [^>]*\bID="(_[^"]+)"', ticket)
        encoded = base64.urlsafe_b64encode(ticket.encode()).decode().rstrip("=")
        self.secrets.append(encoded[-60:])
        return {"Authorization": f"Bearer {encoded}"}

    def dpop(self, token: str, method: str, path: str) -> dict[str, str]:
        """A token with its proof."""
        proof = self.service.proof(method, URL + path, token)
        self.secrets.append(proof.rpartition(".")[2])
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    # -- preparing

    def file(self, patient: str, *documents: m.Document, set_id: str = "") -> None:
        """Documents of a patient, by the system."""
        pid = cx(patient)
        body = m.provide(documents, m.inline(documents), set_id or m.new_oid(), pid)
        reply = self.ask("ITI-41", body, self.ticket("system"))
        assert reply.outcome == SUCCESS, reply.errors

    def filed(self, patient: str, count: int = 1, code: str = "N") -> list[Marked]:
        """New documents of a code that are there."""
        documents = [document(patient, code) for _ in range(count)]
        self.file(patient, *documents)
        return documents

    # -- what is on record

    def new(self) -> list[Logged]:
        """Events since this was last asked; what is wrong with each by itself is kept for `check`."""
        found = [each for each in rows(self.node.database_url) if each.seq > self._seen]
        for each in found:
            self._wrong += [f"{each}: {problem}" for problem in self._look(each)]
        return found

    def _look(self, event: Logged) -> Iterator[str]:
        if event.seq != self._seen + 1 or event.recorded <= self._recorded:
            yield "number or time out of order"
        if event.event["id"] in self._ids:
            yield "its id is another one's too"
        self._seen, self._recorded = event.seq, event.recorded
        self._ids.add(event.event["id"])
        for secret in self.secrets:
            forms = (secret, base64.b64encode(secret.encode()).decode().rstrip("=")[:-2])
            if any(form in said for form in forms for said in (event.raw.decode(), event.query_text)):
                yield f"there is {secret} in it"
        # IHE's own ticket names no legal entity of Norway, without which the profile cannot be followed.
        is_full = text(event.requestor, "who.identifier.system") != f"{AUDIENCE}:xua"
        of_personnel = text(event.requestor, "who.reference") == "#role" and is_full
        for problem in problems(event.event, must_claim=of_personnel and event.pid is not None):
            if event.code not in NOT_OF_IHE or not _NO_TRANSACTION.match(problem):
                yield problem
        # And by what `xds validate` would say of it.
        yield from (f"{each.location}: {each.rule}" for each in judge(event.event))

    def check_each(self, but: str = "") -> None:
        """No event since `check` has anything wrong with it by itself, but for what is named."""
        self.new()
        wrong, self._wrong = [each for each in self._wrong if not but or but not in each], []
        assert not wrong, "\n".join(wrong)

    def check(self, number: str, *expected: Expected) -> list[Logged]:
        """There are exactly these events since `new` was last asked, in any order."""
        found = self.new()
        wrong, self._wrong = self._wrong, []
        if len(found) != len(expected):
            wrong.append(f"{len(found)} events, not {len(expected)}: {'; '.join(map(str, found))}")
        left = list(found)
        for each in expected if left else ():
            best = min(left, key=lambda event: len(differences(number, each, event)))
            wrong += [f"{best}: {one}" for one in differences(number, each, best)]
            wrong += [f"{best}: {one}" for one in self._of_request(best, each)]
            if len(left) > 1:
                left.remove(best)
        assert not wrong, "\n".join(wrong)
        return found

    def _of_request(self, event: Logged, expected: Expected) -> Iterator[str]:
        ids = event.request_ids()
        if not re.fullmatch(r"[0-9a-f]{12}", ids.pop("reference", "")):
            yield "no reference number of the node's own"
        sent = dict(self.sent)
        if event.code == "":
            sent.pop("message", None)
            ids.pop("message", None)  # it may have been read, or not
        if ids != sent:
            yield f"the request is named {ids} and not {sent}"
        policy = texts(event.requestor, "policy")
        own = [self.ticket_id], [f"urn:ietf:params:oauth:jti:{self.ticket_id}"]
        if expected.who == "nobody" and policy:
            yield "a ticket that was not believed is named"
        if expected.who != "nobody" and policy not in own:
            yield "the ticket is not named"


def differences(number: str, expected: Expected, event: Logged) -> list[str]:
    """In what an event is not as expected."""
    number = expected.number or number
    kind, action = KINDS.get(number, ("110113", "E"))
    systems = OWN_CODES if number in NOT_OF_IHE else v.EVENT_TYPE
    subtypes = [(systems, number)] if number else []
    if expected.restful:
        subtypes.insert(0, (v.RESTFUL, expected.restful))
        action = "R" if expected.restful == "read" else action
    if expected.denied:
        kind, action = AUTHENTICATION, "E"
        subtypes.insert(0, (v.EVENT_TYPE, "ITI-40"))
    if expected.opened:
        subtypes.append((OWN_CODES, "break-glass"))
    pairs: dict[str, tuple[Any, Any]] = {
        "code": (number, event.code),
        "type": ((v.AUDIT_EVENT_TYPE if kind == "rest" else v.DICOM, kind), event.type),
        "subtype": (subtypes, event.subtypes),
        "action": (expected.action or action, event.event["action"]),
        "outcome": (expected.outcome, event.event["outcome"]),
        "outcome of the row": (int(expected.outcome), event.outcome),
        "patient": ({expected.patient} - {""}, event.patients),
        "pid": (cx(expected.patient, expected.authority) if expected.patient else None, event.pid),
        "documents": (sorted(expected.documents), sorted(event.documents)),
        "submission set": (
            [expected.submission_set] if expected.submission_set else [],
            ["*"] if expected.submission_set == "*" and event.submission_sets else event.submission_sets,
        ),
        "query": (expected.query, text(event.queries[0], "what.identifier.value") if event.queries else ""),
        "shown": ({digits(each) for each in expected.shown}, event.listed("shown")),
        "masked": ({digits(each) for each in expected.masked}, event.listed("masked")),
        "resultCount": (expected.objects, event.detail("resultCount")),
        "reason": (set(expected.reason), set(re.findall(r" \[([A-Za-z][\w-]+)\]", event.reason))),
        "whether there is a reason": (expected.outcome != "0", event.reason != ""),
        "lifecycle": (
            number in ("ITI-62", "ITI-86") and expected.outcome == "0" and bool(expected.documents),
            bool(event.documents)
            and all("lifecycle" in each for each in event.entities(v.SYSTEM_OBJECT, "3")),
        ),
    } | _of_person(expected, event)
    return [f"{name}: {got} and not {wanted}" for name, (wanted, got) in pairs.items() if wanted != got]


#: Who asks: to what the agent refers, their numbers there, and by what the row finds them.
PEOPLE: Mapping[str, tuple[str, set[str], str | None]] = {
    "personnel": ("#role", {CLINICIAN, HPR}, CLINICIAN),
    "representative": ("#rep", {GUARDIAN}, GUARDIAN),
    "system": ("", set(), f"{issuer(TicketKind.SYSTEM)}|{SYSTEM}"),
    "machine": ("", set(), f"{issuer(TicketKind.HELSEID)}|urn:xds:demo:client"),
    "nobody": ("", set(), None),
}


def _of_person(expected: Expected, event: Logged) -> dict[str, tuple[Any, Any]]:
    if expected.who == "citizen":
        reference, numbers, person = "#pat", {expected.patient}, expected.patient
    else:
        reference, numbers, person = PEOPLE[expected.who]  # type: ignore[assignment]
    purposes = {
        each["code"]
        for each in event.event.get("purposeOfEvent", [{"coding": []}])[0]["coding"]
        if each.get("system") == v.ACT_REASON
    }
    purpose = {"personnel": {expected.purpose}, "citizen": {"PATRQT"}, "representative": {"PATRQT"}}
    return {
        "who": (reference, text(event.requestor, "who.reference")),
        "numbers of who asked": (numbers, event.person_numbers if reference else set()),
        "person": (person, event.person),
        "purpose": (purpose.get(expected.who, set()), purposes),
    }


def document(patient: str, code: str = "N", **more: Any) -> Marked:
    """A new document of a patient."""
    content = f"{CONTENT} {secrets.token_hex(4)}".encode()
    return Marked(content, **({"id": m.new_uuid(), "patient": cx(patient), "code": code} | more))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> TicketService:
    """A ticket service that the nodes of this module trust."""
    return TicketService(tmp_path_factory.mktemp("tickets"))


def _world(make: Callable[..., Node], service: TicketService, folder: Path, **more: Any) -> World:
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    port = free_port()
    node = make(
        access__ticket="required",
        access__policy=policy,
        trust=service.trust,
        node__public_url=URL,
        node__home_community_id=HOME,
        patients__mllp_listen=f"127.0.0.1:{port}",
        privacy__definitions=f"{BLOCK}=block,{CONSENT}=consent",
        registry__results=RESULTS,
        limits__root_bytes=ROOT_BYTES,
        **more,
    )
    return World(node, service, port)


def _check_the_end(world: World) -> None:
    """When all is done: the chain is whole, and nothing of anybody is in the node's own log."""
    world.check_each()
    assert problems_of_chain(world.node.database_url) == []
    log = world.node.log.read_text()
    said = [each for each in (*world.personal, *world.secrets) if each in log]
    assert said == []
    assert "no audit record" not in log
    assert "Traceback" not in log, world.node.errors()


@pytest.fixture(scope="module")
def world(
    new_node: Callable[..., Node], service: TicketService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The node of this module; at the end its whole log is looked at."""
    made = _world(new_node, service, tmp_path_factory.mktemp("policy"))
    yield made
    _check_the_end(made)
    made.node.stop()


# ---- the table: a good request of each transaction, one that breaks a rule, and the events of both


@dataclass(frozen=True)
class Sent:
    """A message, and the events of its success; or those of its failure, if it breaks a rule.

    `about` is what can be read of the message, whatever comes of it: for requests that are refused before
    anything is done.
    """

    body: str
    events: tuple[Expected, ...]
    about: Expected
    status: str = SUCCESS
    patient: str = ""
    action: str = ""
    header: str = ""


@dataclass(frozen=True)
class Way:
    """One transaction: a good message, and one that breaks a rule."""

    number: str
    good: Callable[[World], Sent]
    invalid: Callable[[World], Sent]
    name: str = ""
    kind: str = "personnel"
    #: A body that breaks the schema is a failure of the request, and no fault.
    softly: bool = True

    def __str__(self) -> str:
        return self.name or self.number

    def ticket(self, world: World, sent: Sent, **more: Any) -> str:
        """The one that the message is sent with."""
        if self.kind == "system":
            return world.ticket("system")
        return world.ticket(self.kind, sent.patient, **more)

    def ask(self, world: World, sent: Sent, ticket: str | None, **more: Any) -> Reply:
        """Send it; preparations are over."""
        world.personal |= {sent.patient} - {""}
        world.new()
        return world.ask(
            self.number, sent.body, ticket, **({"action": sent.action, "header": sent.header} | more)
        )


def _found(world: World, query_id: str, parameters: Callable[[str], Mapping[str, str]]) -> Sent:
    patient = new_patient()
    (one,) = world.filed(patient)
    about = Expected(patient=patient, query=query_id)
    body = m.query(query_id, parameters(cx(patient)))
    return Sent(body, (replace(about, shown=(one.id,), objects="1"),), about, patient=patient)


def _find(world: World) -> Sent:
    return _found(
        world,
        m.FIND_DOCUMENTS,
        lambda pid: {
            "$XDSDocumentEntryPatientId": f"'{pid}'",
            "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
        },
    )


def _find_without_status(world: World) -> Sent:
    patient = new_patient()
    about = Expected(patient=patient, query=m.FIND_DOCUMENTS)
    body = m.query(m.FIND_DOCUMENTS, {"$XDSDocumentEntryPatientId": f"'{cx(patient)}'"})
    return Sent(body, (about.refused("query-parameter-required"),), about, FAILURE, patient)


def _find_of_several(world: World) -> Sent:
    return _found(
        world,
        m.FIND_FOR_MULTIPLE_PATIENTS,
        lambda pid: {
            "$XDSDocumentEntryPatientId": f"('{pid}')",
            "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
        },
    )


def _find_of_several_by_unknown_query(world: World) -> Sent:
    sent = _find(world)
    about = sent.about
    return replace(sent, events=(about.refused("query-known"),), status=FAILURE)


def _submission(
    make: Callable[[Sequence[m.Document], str, str], str], *documents: Marked, patient: str = ""
) -> Sent:
    patient = patient or new_patient()
    documents = documents or (document(patient), document(patient))
    set_id = m.new_oid()
    about = Expected(
        patient=patient, submission_set=set_id, documents=tuple(each.unique_id for each in documents)
    )
    return Sent(make(documents, set_id, cx(patient)), (about,), about, patient=patient)


def _provided(documents: Sequence[m.Document], set_id: str, patient: str) -> str:
    return m.provide(documents, m.inline(documents), set_id, patient)


def _promised(documents: Sequence[m.Document], set_id: str, patient: str) -> str:
    return m.register(documents, set_id, patient).replace(m.STABLE, m.ON_DEMAND)


def _promise(patient: str, **more: Any) -> Marked:
    return document(patient, slots=dict.fromkeys(("creationTime", "hash", "size")), **more)


def _refused(sent: Sent, *rules: str) -> Sent:
    return replace(sent, events=(sent.about.refused(*rules),), status=FAILURE)


def _provide_with_another_hash(world: World) -> Sent:
    patient = new_patient()
    wrong = document(patient, slots={"hash": "0" * 40})
    return _refused(_submission(_provided, wrong, patient=patient), "document-hash")


def _register_without_type(world: World) -> Sent:
    patient = new_patient()
    wrong = document(patient, without=("typeCode",))
    return _refused(_submission(m.register, wrong, patient=patient), "DE-typeCode-required")


def _promise_on_demand(world: World) -> Sent:
    patient = new_patient()
    return _submission(_promised, _promise(patient), patient=patient)


def _promise_without_type(world: World) -> Sent:
    patient = new_patient()
    wrong = _promise(patient, without=("typeCode",))
    return _refused(_submission(_promised, wrong, patient=patient), "DE-typeCode-required")


def _update(world: World, home: str = "", previous: str = "1") -> Sent:
    patient = new_patient()
    (old,) = world.filed(patient)
    new = replace(old, id=m.new_uuid(), lid=old.id, title="Ny tittel")
    set_id = m.new_oid()
    body = m.submit(
        m.submission_set(set_id, cx(patient), home=home),
        new.xml(),
        m.member("as1", new.id, PreviousVersion=previous),
    )
    about = Expected(patient=patient, submission_set=set_id, documents=(new.unique_id,))
    return Sent(body, (about,), about, patient=patient)


def _update_of_another_version(world: World) -> Sent:
    return _refused(_update(world, previous="7"), "update-version")


def _update_at_home(world: World) -> Sent:
    return _update(world, home=f"urn:oid:{HOME}")


def _update_elsewhere(world: World) -> Sent:
    return _refused(_update(world, home="urn:oid:1.2.3.4"), "restricted-home")


def _remove_metadata(world: World) -> Sent:
    patient, set_id = new_patient(), m.new_oid()
    world.file(patient, document(patient), set_id=set_id)
    asked = m.query(m.GET_SET_AND_CONTENTS, {"$XDSSubmissionSetUniqueId": f"'{set_id}'"}, "ObjectRef")
    reply = world.ask("ITI-18", asked, world.ticket("personnel", patient))
    ids = tuple(each.get("id") for each in reply.content().iter("{*}ObjectRef"))
    assert len(ids) == 3
    about = Expected(patient=patient, documents=ids)
    return Sent(m.remove_metadata(*ids), (about,), about, patient=patient)


def _remove_unknown_metadata(world: World) -> Sent:
    patient, ids = new_patient(), (m.new_uuid(), m.new_uuid())
    about = Expected(patient=patient, documents=ids)
    return _refused(Sent(m.remove_metadata(*ids), (), about, patient=patient), "remove-known")


def _by_unique_id(world: World, make: Callable[..., str], documents: Sequence[str] = (), **more: Any) -> Sent:
    patient = new_patient()
    ids = documents or tuple(each.unique_id for each in world.filed(patient, 2))
    about = Expected(patient=patient, documents=ids)
    return Sent(make(*ids, **more), (about,), about, patient=patient)


def _retrieve_unknown(world: World) -> Sent:
    return _refused(_by_unique_id(world, m.retrieve, (m.new_oid(), m.new_oid())), "retrieve-document")


def _remove_unknown(world: World) -> Sent:
    sent = _by_unique_id(world, m.remove_documents, (m.new_oid(), m.new_oid()))
    return _refused(sent, "remove-document-known")


def retrieve(transaction: str, *unique_ids: str, home: str = HOME) -> str:
    """The body of ITI-43, or of ITI-39, which says of which community each document is."""
    return m.retrieve(*unique_ids, home=home and urn(home) if transaction == "ITI-39" else "")


def _retrieve_of_here(world: World) -> Sent:
    return _by_unique_id(world, lambda *ids: retrieve("ITI-39", *ids))


def _retrieve_unknown_of_here(world: World) -> Sent:
    ids = (m.new_oid(), m.new_oid())
    sent = _by_unique_id(world, lambda *ids: retrieve("ITI-39", *ids), ids)
    return _refused(sent, "retrieve-document")


def addressed(sent: Sent, home: str = HOME) -> Sent:
    """A submission for a community, which stands in the header (ITI TF-2 3.80.4.1.2)."""
    return replace(sent, header=m.home_block(urn(home), ' s:mustUnderstand="1"'))


def _fed(name: str, body: str, *events: Expected) -> Sent:
    return Sent(body, events, *events[:1], action=f"{HL7}:{name}")


def _of_feed(patient: str, **more: Any) -> Expected:
    return Expected(**({"who": "system", "patient": patient, "authority": OURS} | more))


def _add(world: World) -> Sent:
    patient = new_id()
    return _fed(ADDED, message(ADDED, ii(patient)), _of_feed(patient, action="C"))


def _add_nobody(world: World) -> Sent:
    return _fed(ADDED, message(ADDED, ""), _of_feed("").refused("feed-patient-id"))


def _revise(world: World) -> Sent:
    patient = new_id()
    return _fed(REVISED, message(REVISED, ii(patient)), _of_feed(patient, action="U"))


def _announce(world: World, *ids: str) -> None:
    for each in ids:
        reply = world.ask("ITI-44", message(ADDED, ii(each)), world.ticket("system"), action=f"{HL7}:{ADDED}")
        assert b'typeCode code="CA"' in reply.body


def _resolve(world: World) -> Sent:
    old, new = new_id(), new_id()
    _announce(world, old, new)
    return _fed(
        RESOLVED,
        message(RESOLVED, ii(new), ii(old)),
        _of_feed(old, action="D"),
        _of_feed(new, action="U"),
    )


def _resolve_again(world: World) -> Sent:
    old, new, third = new_id(), new_id(), new_id()
    _announce(world, old, new, third)
    ticket = world.ticket("system")
    world.ask("ITI-44", message(RESOLVED, ii(new), ii(old)), ticket, action=f"{HL7}:{RESOLVED}")
    return _fed(
        RESOLVED,
        message(RESOLVED, ii(third), ii(old)),
        _of_feed(old).refused("registry-merge-subsumed"),
        _of_feed(third).refused("registry-merge-subsumed"),
    )


WAYS = (
    Way("ITI-18", _find, _find_without_status, softly=False),
    Way("ITI-51", _find_of_several, _find_of_several_by_unknown_query, softly=False),
    Way("ITI-41", lambda world: _submission(_provided), _provide_with_another_hash),
    Way("ITI-42", lambda world: _submission(m.register), _register_without_type),
    Way("ITI-61", _promise_on_demand, _promise_without_type),
    Way("ITI-57", _update, _update_of_another_version),
    Way("ITI-92", _update_at_home, _update_elsewhere),
    Way("ITI-62", _remove_metadata, _remove_unknown_metadata),
    Way("ITI-43", lambda world: _by_unique_id(world, m.retrieve), _retrieve_unknown, softly=False),
    Way("ITI-86", lambda world: _by_unique_id(world, m.remove_documents), _remove_unknown),
    Way("ITI-38", _find, _find_without_status, softly=False),
    Way("ITI-39", _retrieve_of_here, _retrieve_unknown_of_here, softly=False),
    Way(
        "ITI-80",
        lambda world: addressed(_submission(_provided)),
        lambda world: addressed(_provide_with_another_hash(world)),
    ),
    Way("ITI-44", _add, _add_nobody, "ITI-44 added", kind="system", softly=False),
    Way("ITI-44", _revise, _add_nobody, "ITI-44 revised", kind="system", softly=False),
    Way("ITI-44", _resolve, _resolve_again, "ITI-44 resolved", kind="system", softly=False),
)
ways = pytest.mark.parametrize("way", WAYS, ids=str)
#: What a community is asked for in its own house and by others.
QUERIES, RETRIEVALS, SUBMISSIONS = ("ITI-18", "ITI-38"), ("ITI-43", "ITI-39"), ("ITI-41", "ITI-80")
queries = pytest.mark.parametrize("transaction", QUERIES)
retrievals = pytest.mark.parametrize("transaction", RETRIEVALS)
submissions = pytest.mark.parametrize("transaction", SUBMISSIONS)
#: Looking for a document and fetching it.
looks = pytest.mark.parametrize(("listing", "fetching"), list(zip(QUERIES, RETRIEVALS, strict=True)))


def _answered(way: Way, sent: Sent, reply: Reply) -> None:
    assert reply.status == 200, reply.fault.reason
    if way.number == "ITI-44":
        code = "CA" if sent.status == SUCCESS else "CE"
        assert f'typeCode code="{code}"'.encode() in reply.body
    else:
        assert reply.outcome == sent.status, reply.errors


@ways
def test_success(way: Way, world: World) -> None:
    """Each transaction: what was done is on record, with whom it was done to and by whom."""
    sent = way.good(world)
    _answered(way, sent, way.ask(world, sent, way.ticket(world, sent)))
    world.check(way.number, *sent.events)


@pytest.fixture(scope="module")
def postgresql(service: TicketService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same node on the other engine."""
    with nodes("postgresql", tmp_path_factory) as make:
        made = _world(make, service, tmp_path_factory.mktemp("policy"))
        yield made
        _check_the_end(made)


@pytest.mark.embedded
@ways
def test_success_on_postgresql(way: Way, postgresql: World) -> None:
    """The other engine."""
    test_success(way, postgresql)


@ways
def test_a_broken_rule(way: Way, world: World) -> None:
    """The request was understood and came to nothing; the ids of the rules are the reason."""
    sent = way.invalid(world)
    sent = replace(sent, status=FAILURE)
    _answered(way, sent, way.ask(world, sent, way.ticket(world, sent)))
    world.check(way.number, *sent.events)


# ---- gate 1


def _unsigned(ticket: str) -> str:
    """With a signature that is not the one that was made."""
    found = re.search(r"SignatureValue>\s*(\S)", ticket)
    assert found
    other = "B" if found[1] == "A" else "A"
    return ticket[: found.start(1)] + other + ticket[found.end(1) :]


NOBODY = Expected(who="nobody", outcome="8", denied=True)


def _is_refused(way: Way, reply: Reply) -> bool:
    """By a fault, which is all that ITI-44 has for it, or as the transaction has it."""
    return bool(reply.fault.code) if way.number == "ITI-44" else reply.outcome == FAILURE


@ways
@pytest.mark.parametrize("bad", ["no ticket", "a bad signature"])
def test_whoever_is_not_let_in(way: Way, bad: str, world: World) -> None:
    """One event, an authentication that failed, of nobody and about nobody: what the message says is not
    believed.
    """
    sent = way.good(world)
    ticket = None if bad == "no ticket" else _unsigned(way.ticket(world, sent))
    reply = way.ask(world, sent, ticket)
    (event,) = world.check(way.number, NOBODY)
    assert event.request_ids()["reference"] == reply.fault.reference
    assert event.reason == f"denied: {'ticket-missing' if bad == 'no ticket' else 'ticket-signature'}"


@pytest.fixture(scope="module")
def soft(
    new_node: Callable[..., Node], service: TicketService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A node that answers whom it does not let in as the transaction has it."""
    made = _world(new_node, service, tmp_path_factory.mktemp("policy"), access__denial="registry-error")
    yield made
    _check_the_end(made)
    made.node.stop()


@ways
def test_whoever_is_not_let_in_and_told_so_by_an_error(way: Way, soft: World) -> None:
    """The answer is another one, the record the same."""
    sent = way.good(soft)
    assert _is_refused(way, way.ask(soft, sent, None))
    (event,) = soft.check(way.number, NOBODY)
    assert event.reason == "denied: ticket-missing"


# ---- gate 2


@ways
def test_a_policy_that_denies(way: Way, world: World) -> None:
    """Who asked is known, and about whom: whom the message names, and if it names nobody the ticket."""
    sent = way.good(world)
    ticket = world.ticket("personnel", sent.patient or new_patient(), purpose="COC")
    reply = way.ask(world, sent, ticket)
    assert _is_refused(way, reply)
    about = sent.events if way.number == "ITI-44" else (sent.about,)
    world.check(
        way.number,
        *(replace(each, who="personnel", purpose="COC").refused("access-policy") for each in about),
    )


#: What a request about another patient than the ticket's ends with; by ids alone there is nothing there.
ELSEWHERE = {
    "ITI-18": "access-patient",
    "ITI-38": "access-patient",
    "ITI-51": "access-patient",
    "ITI-80": "access-patient",
    "ITI-41": "access-patient",
    "ITI-42": "access-patient",
    "ITI-61": "access-patient",
    "ITI-57": "access-patient",
    "ITI-92": "access-patient",
    "ITI-62": "remove-known",
    "ITI-39": "retrieve-document",
    "ITI-43": "retrieve-document",
    "ITI-86": "remove-document-known",
}


@pytest.mark.parametrize("way", [way for way in WAYS if way.number in ELSEWHERE], ids=str)
def test_a_ticket_for_somebody_else(way: Way, world: World) -> None:
    """On record with the patient whom the message names, or whose the document is, else with the one of the
    ticket.
    """
    sent = way.good(world)
    rule, other = ELSEWHERE[way.number], new_patient()
    world.personal.add(other)
    reply = way.ask(world, sent, world.ticket("personnel", other))
    assert {each.rule for each in reply.errors} == {rule}
    world.check(way.number, sent.about.refused(rule, patient=sent.patient))


@queries
def test_a_rule_that_fits_nobody(transaction: str, world: World) -> None:
    """A youth's own look at their record: the national rules say no."""
    patient = number(date.today().replace(year=date.today().year - 13, day=1), 5)
    about = Expected(patient=patient, who="citizen", query=m.FIND_DOCUMENTS)
    world.new()
    reply = world.ask(transaction, m.find_documents(cx(patient)), world.ticket("citizen", patient))
    assert [each.rule for each in reply.errors] == ["access-rule"]
    world.check(transaction, about.refused("access-rule"))


@dataclass(frozen=True)
class Stray:
    """A request at the gateway that names no community, or another one, and the rule that it breaks."""

    number: str
    home: str
    rule: str
    make: Callable[[World, str], Sent]

    def __str__(self) -> str:
        return f"{self.number} {self.rule}"


def _find_at(world: World, home: str) -> Sent:
    sent = _find(world)
    return replace(sent, body=query(sent.body, home and urn(home)))


def _get_at(world: World, home: str) -> Sent:
    patient = new_patient()
    (one,) = world.filed(patient)
    about = Expected(patient=patient, query=m.GET_DOCUMENTS)
    body = query(m.get_documents(one.unique_id), home and urn(home))
    return Sent(body, (replace(about, shown=(one.id,), objects="1"),), about, patient=patient)


def _retrieve_at(world: World, home: str) -> Sent:
    return _by_unique_id(world, lambda *ids: retrieve("ITI-39", *ids, home=home))


def _provide_at(world: World, home: str) -> Sent:
    sent = _submission(_provided)
    return addressed(sent, home) if home else sent


STRAYS = (
    Stray("ITI-38", "", "community-named", _get_at),
    Stray("ITI-38", STRANGERS, "query-home", _get_at),
    Stray("ITI-38", STRANGERS, "query-home", _find_at),
    Stray("ITI-39", "", "community-of-document", _retrieve_at),
    Stray("ITI-39", STRANGERS, "community-own", _retrieve_at),
    Stray("ITI-80", "", "community-addressed", _provide_at),
    Stray("ITI-80", STRANGERS, "community-own", _provide_at),
)


@pytest.mark.parametrize("stray", STRAYS, ids=str)
def test_a_request_for_another_community(stray: Stray, world: World) -> None:
    """Refused, and on record with all that it was about; a document with the community that it named."""
    sent = stray.make(world, stray.home)
    way = next(each for each in WAYS if each.number == stray.number)
    assert way.ask(world, sent, way.ticket(world, sent)).outcome == FAILURE
    (event,) = world.check(stray.number, sent.about.refused(stray.rule))
    assert _homes(event) == ({urn(stray.home)} if stray.home and stray.number != "ITI-80" else set())


@pytest.mark.parametrize("make", [_find_at, _get_at])
def test_a_query_that_names_this_community(make: Callable[[World, str], Sent], world: World) -> None:
    """With and without a patient: the community is on record with the query."""
    sent = make(world, HOME)
    world.new()
    assert world.ask("ITI-38", sent.body, world.ticket("personnel", sent.patient)).outcome == SUCCESS
    (event,) = world.check("ITI-38", *sent.events)
    assert _homes(event) == {urn(HOME)}


@pytest.mark.parametrize("kind", ["system", "personnel"])
def test_a_document_of_ours_that_is_asked_for_as_a_strangers(kind: str, world: World) -> None:
    """The repository hands it out all the same: on record with its patient and its codes, whoever asks."""
    patient = new_patient()
    (one,) = world.filed(patient)
    world.new()
    body = m.retrieve(one.unique_id, home=urn(STRANGERS))
    assert world.ask("ITI-43", body, world.ticket(kind, patient)).outcome == SUCCESS
    (event,) = world.check("ITI-43", Expected(patient=patient, who=kind, documents=(one.unique_id,)))
    (entity,) = event.entities(v.SYSTEM_OBJECT, "3")
    assert [each["code"] for each in entity["securityLabel"]] == ["N"]


def _homes(event: Logged) -> set[str]:
    """The communities that entities name."""
    return {
        each["valueString"]
        for entity in event.entities(v.SYSTEM_OBJECT)
        for each in entity.get("detail", ())
        if "homecommunityid" in each["type"].lower()
    }


# ---- faults

UNREAD = Expected(who="nobody", outcome="8")


@ways
def test_xml_that_cannot_be_read(way: Way, world: World) -> None:
    """One event, of a request that nobody could read."""
    sent = way.good(world)
    reply = way.ask(world, sent, way.ticket(world, sent), change=lambda data: data[:-20])
    assert reply.fault.code
    (event,) = world.check("", UNREAD)
    assert event.request_ids()["reference"] == reply.fault.reference


@ways
def test_an_action_that_the_endpoint_does_not_have(way: Way, world: World) -> None:
    """One event; the message says by its id which it was."""
    sent = way.good(world)
    reply = way.ask(world, sent, way.ticket(world, sent), action="urn:ihe:iti:2007:NothingOfThis")
    assert reply.fault.code
    (event,) = world.check("", UNREAD)
    assert event.request_ids()["reference"] == reply.fault.reference
    assert event.request_ids()["message"] == world.sent["message"]


@ways
def test_a_message_that_is_too_large(way: Way, world: World) -> None:
    """One event, though it was never read to its end."""
    sent = way.good(world)
    many = b" " * (ROOT_BYTES + 1)
    reply = way.ask(
        world,
        sent,
        way.ticket(world, sent),
        change=lambda data: data.replace(b"<s:Body>", many + b"<s:Body>"),
    )
    assert reply.fault.code
    world.check("", UNREAD)


@ways
def test_a_body_that_breaks_the_schema(way: Way, world: World) -> None:
    """Who asked is known by then, and what can be read of the message; refused, or a fault."""
    sent = way.good(world)
    end = sent.body.rindex("</")
    sent = replace(sent, body=f"{sent.body[:end]}<nothing-of-this/>{sent.body[end:]}")
    reply = way.ask(world, sent, way.ticket(world, sent))
    if way.softly:
        assert {each.rule for each in reply.errors} == {"schema"}
        world.check(way.number, sent.about.refused("schema"))
    else:
        assert reply.fault.code
        about = sent.events if way.number == "ITI-44" else (sent.about,)
        world.check(way.number, *(each.refused(outcome="8") for each in about))


@ways
def test_a_body_of_another_transaction(way: Way, world: World) -> None:
    """The action says one thing, the Body another: a fault, with whoever asked."""
    sent = way.good(world)
    other = m.remove_metadata(m.new_uuid()) if way.number != "ITI-62" else m.retrieve(m.new_oid())
    reply = way.ask(world, replace(sent, body=other), way.ticket(world, sent))
    assert reply.fault.code
    (event,) = world.new()
    assert (event.code, event.outcome) == (way.number, 8)
    assert event.pid == (cx(sent.patient) if sent.patient else None)


def test_a_request_that_breaks_off(world: World) -> None:
    """The sender hangs up in the middle of it."""
    world.new()
    with socket.create_connection(("127.0.0.1", world.node.port), timeout=10) as connection:
        connection.sendall(
            f"POST {m.REGISTRY} HTTP/1.1\r\nHost: x\r\nContent-Type: {m.media_type(m.SOAP12)}\r\n"
            "Content-Length: 5000\r\n\r\n<s:Envelope".encode()
        )
        time.sleep(0.3)
    (event,) = _soon(world)
    assert (event.code, event.outcome, event.pid) == ("", 8, None)


def _soon(world: World, seconds: float = 10) -> list[Logged]:
    """The events of a request whose answer nobody waits for."""
    deadline = time.monotonic() + seconds
    while not (found := world.new()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


# ---- parts: of success, of a list, of what may be seen


@retrievals
def test_documents_of_which_some_are_there(transaction: str, world: World) -> None:
    """Two events: what was fetched, with its type and codes, and what was not, with why."""
    patient, unknown = new_patient(), m.new_oid()
    (one,) = world.filed(patient)
    world.new()
    ticket = world.ticket("personnel", patient)
    reply = world.ask(transaction, retrieve(transaction, unknown, one.unique_id), ticket)
    assert reply.outcome == PARTIAL
    about = Expected(patient=patient)
    done, left = world.check(
        transaction,
        replace(about, documents=(one.unique_id,)),
        replace(about, documents=(unknown,)).refused("retrieve-document"),
    )
    (entity,) = done.entities(v.SYSTEM_OBJECT, "3")
    assert [(each["code"], each["system"]) for each in entity["securityLabel"]] == [
        ("N", f"urn:oid:{LEVELS}")
    ]
    details = {each["type"]: each["valueString"] for each in entity["detail"]}
    home = {"ihe:homeCommunityID": urn(HOME)} if transaction == "ITI-39" else {}
    assert details == {"Repository Unique Id": m.REPOSITORY_ID, "mimeType": "application/pdf"} | home
    assert done.request_ids()["reference"] == left.request_ids()["reference"]


def _damage(world: World, document: m.Document) -> None:
    under = beneath(world.node)
    for key in sorted(published(world.node)):
        if under.read(key) == document.content:
            under.plant(key, b"x" * len(document.content))


@retrievals
def test_documents_of_which_one_is_damaged(transaction: str, world: World) -> None:
    """The one that is not sent is not on record as fetched."""
    patient = new_patient()
    one, other = world.filed(patient, 2)
    _damage(world, one)
    world.new()
    body = retrieve(transaction, one.unique_id, other.unique_id)
    reply = world.ask(transaction, body, world.ticket("personnel", patient))
    assert reply.outcome == PARTIAL
    about = Expected(patient=patient)
    world.check(
        transaction,
        replace(about, documents=(other.unique_id,)),
        replace(about, documents=(one.unique_id,)).refused("retrieve-intact"),
    )


@retrievals
def test_a_damaged_document_that_a_system_asks_for(transaction: str, world: World) -> None:
    """Nobody's ticket names the patient, but the registry knows whose the document is."""
    patient = new_patient()
    (one,) = world.filed(patient)
    _damage(world, one)
    world.new()
    reply = world.ask(transaction, retrieve(transaction, one.unique_id), world.ticket("system"))
    assert reply.outcome == FAILURE
    about = Expected(patient=patient, who="system", documents=(one.unique_id,))
    world.check(transaction, about.refused("retrieve-intact"))


@retrievals
def test_documents_that_are_not_sent_for_several_reasons(transaction: str, world: World) -> None:
    """Each patient's event says why theirs were not, and not why somebody else's."""
    patient, unknown = new_patient(), m.new_oid()
    (one,) = world.filed(patient)
    _damage(world, one)
    world.new()
    body = retrieve(transaction, unknown, one.unique_id)
    assert world.ask(transaction, body, world.ticket("system")).outcome == FAILURE
    about = Expected(who="system")
    world.check(
        transaction,
        replace(about, patient=patient, documents=(one.unique_id,)).refused("retrieve-intact"),
        replace(about, documents=(unknown,)).refused("retrieve-document"),
    )


@retrievals
def test_documents_of_several_patients(transaction: str, world: World) -> None:
    """A system fetches and removes for two: one event for each patient, each with their own documents."""
    first, second = new_patient(), new_patient()
    of_first, of_second = world.filed(first, 2), world.filed(second)
    ids = [each.unique_id for each in (*of_first, *of_second)]
    world.new()
    expected = (
        Expected(patient=first, who="system", documents=tuple(each.unique_id for each in of_first)),
        Expected(patient=second, who="system", documents=tuple(each.unique_id for each in of_second)),
    )
    reply = world.ask(transaction, retrieve(transaction, *ids), world.ticket("system"))
    assert len(reply.documents()) == 3
    world.check(transaction, *expected)
    assert world.ask("ITI-86", m.remove_documents(*ids), world.ticket("system")).outcome == SUCCESS
    world.check("ITI-86", *expected)


def test_removed_of_which_some_are_there(world: World) -> None:
    """ITI-86: two events, and only what is gone is marked as gone."""
    patient, unknown = new_patient(), m.new_oid()
    (one,) = world.filed(patient)
    world.new()
    ticket = world.ticket("personnel", patient)
    reply = world.ask("ITI-86", m.remove_documents(one.unique_id, unknown), ticket)
    assert reply.outcome == PARTIAL
    about = Expected(patient=patient)
    world.check(
        "ITI-86",
        replace(about, documents=(one.unique_id,)),
        replace(about, documents=(unknown,)).refused("remove-document-known"),
    )


@retrievals
def test_a_document_that_is_asked_for_twice(transaction: str, world: World) -> None:
    """It is sent twice and, of one patient and one request, in one event."""
    patient = new_patient()
    (one,) = world.filed(patient)
    world.new()
    body = retrieve(transaction, one.unique_id, one.unique_id)
    reply = world.ask(transaction, body, world.ticket("personnel", patient))
    assert reply.outcome == SUCCESS
    (event,) = world.new()
    assert set(event.documents) == {one.unique_id}


@queries
def test_a_list_that_is_cut_off(transaction: str, world: World) -> None:
    """Two events: what was shown, and that there was more."""
    patient = new_patient()
    documents = [each for _ in range(RESULTS + 1) for each in world.filed(patient)]
    world.new()
    reply = world.ask(transaction, m.find_documents(cx(patient)), world.ticket("personnel", patient))
    assert reply.outcome == PARTIAL
    listed = {each.get("id") for each in reply.content().iter("{*}ExtrinsicObject")}
    assert len(listed) == RESULTS
    assert listed < {each.id for each in documents}
    about = Expected(patient=patient, query=m.FIND_DOCUMENTS)
    world.check(
        transaction,
        replace(about, shown=tuple(listed), objects=str(RESULTS)),
        about.refused("query-too-many"),
    )


@queries
def test_a_list_of_references(transaction: str, world: World) -> None:
    """ObjectRef: the ids are what is shown, so they are on record as those of whole entries are."""
    patient = new_patient()
    documents = world.filed(patient, 2)
    world.new()
    body = m.find_documents(cx(patient), "ObjectRef")
    assert world.ask(transaction, body, world.ticket("personnel", patient)).outcome == SUCCESS
    about = Expected(patient=patient, query=m.FIND_DOCUMENTS)
    world.check(transaction, replace(about, shown=[each.id for each in documents], objects="2"))


@queries
def test_a_list_of_nothing(transaction: str, world: World) -> None:
    """That there is nothing is an answer too."""
    patient = new_patient()
    world.new()
    body = m.find_documents(cx(patient))
    assert world.ask(transaction, body, world.ticket("personnel", patient)).outcome == SUCCESS
    world.check(transaction, Expected(patient=patient, query=m.FIND_DOCUMENTS, objects="0"))


def test_lists_of_several_patients(world: World) -> None:
    """ITI-51 of a system: one event for each patient who was asked for, also for the one who has nothing."""
    first, second, third = new_patient(), new_patient(), new_patient()
    of_first, of_second = world.filed(first, 2), world.filed(second)
    world.new()
    asked = ",".join(f"'{cx(each)}'" for each in (first, second, third))
    body = m.query(
        m.FIND_FOR_MULTIPLE_PATIENTS,
        {"$XDSDocumentEntryPatientId": f"({asked})", "$XDSDocumentEntryStatus": f"('{m.APPROVED}')"},
    )
    assert world.ask("ITI-51", body, world.ticket("system")).outcome == SUCCESS
    about = Expected(who="system", query=m.FIND_FOR_MULTIPLE_PATIENTS)
    world.check(
        "ITI-51",
        replace(about, patient=first, shown=[each.id for each in of_first], objects="2"),
        replace(about, patient=second, shown=[each.id for each in of_second], objects="1"),
        replace(about, patient=third, objects="0"),
    )


def test_several_patients_of_whom_one_is_somebody_else(world: World) -> None:
    """Refused, and on record with each of those whom it was about."""
    first, second = new_patient(), new_patient()
    world.new()
    body = m.query(
        m.FIND_FOR_MULTIPLE_PATIENTS,
        {
            "$XDSDocumentEntryPatientId": f"('{cx(first)}','{cx(second)}')",
            "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
        },
    )
    assert world.ask("ITI-51", body, world.ticket("personnel", first)).outcome == FAILURE
    about = Expected(query=m.FIND_FOR_MULTIPLE_PATIENTS).refused("access-patient")
    world.check("ITI-51", replace(about, patient=first), replace(about, patient=second))


@queries
def test_a_blocked_document_in_a_list(transaction: str, world: World) -> None:
    """Health personnel see that there is one: it is on record as masked, the others as shown."""
    patient = new_patient()
    (plain,), (blocked,) = world.filed(patient), world.filed(patient, code="NORS")
    world.new()
    reply = world.ask(transaction, m.find_documents(cx(patient)), world.ticket("personnel", patient))
    assert reply.outcome == SUCCESS
    about = Expected(patient=patient, query=m.FIND_DOCUMENTS, objects="2")
    world.check(transaction, replace(about, shown=(plain.id,), masked=(blocked.id,)))


@retrievals
def test_a_blocked_document_that_is_asked_for(transaction: str, world: World) -> None:
    """It is not handed out: a failure, beside the success of the other."""
    patient = new_patient()
    (plain,), (blocked,) = world.filed(patient), world.filed(patient, code="NORS")
    world.new()
    ticket = world.ticket("personnel", patient)
    body = retrieve(transaction, blocked.unique_id)
    assert world.ask(transaction, body, ticket).outcome == FAILURE
    about = Expected(patient=patient, documents=(blocked.unique_id,)).refused("retrieve-blocked")
    world.check(transaction, about)
    body = retrieve(transaction, blocked.unique_id, plain.unique_id)
    assert world.ask(transaction, body, ticket).outcome == PARTIAL
    world.check(transaction, about, Expected(patient=patient, documents=(plain.unique_id,)))


@looks
@pytest.mark.parametrize("purpose", ["ETREAT", "BTG"])
def test_a_blocked_document_that_is_opened(purpose: str, listing: str, fetching: str, world: World) -> None:
    """In an emergency: everything is shown, and every event is marked; the document has its code."""
    patient = new_patient()
    (blocked,) = world.filed(patient, code="NORS")
    world.new()
    ticket = world.ticket("personnel", patient, purpose=purpose)
    about = Expected(patient=patient, purpose=purpose, opened=True)
    assert world.ask(listing, m.find_documents(cx(patient)), ticket).outcome == SUCCESS
    world.check(listing, replace(about, query=m.FIND_DOCUMENTS, shown=(blocked.id,), objects="1"))
    reply = world.ask(fetching, retrieve(fetching, blocked.unique_id), ticket)
    assert reply.documents() == {blocked.unique_id: blocked.content}
    (event,) = world.check(fetching, replace(about, documents=(blocked.unique_id,)))
    (entity,) = event.entities(v.SYSTEM_OBJECT, "3")
    labels = [(each["code"], each["system"]) for each in entity["securityLabel"]]
    assert labels == [("NORS", f"urn:oid:{REFUSALS}")]
    (access,) = event.entities(v.CONSENT)
    details = {each["type"]: each["valueString"] for each in access["detail"]}
    assert (details["policy"], details["rule"]) == ("all", "personnel-emergency")


@looks
def test_what_is_hidden_is_on_record_as_if_it_were_not_there(
    listing: str, fetching: str, world: World
) -> None:
    """A document that is not to be seen by the patient: no list of theirs has it, shown or masked."""
    patient = new_patient()
    (plain,), (hidden,) = world.filed(patient), world.filed(patient, code="NORN_FFL")
    world.new()
    ticket = world.ticket("citizen", patient)
    about = Expected(patient=patient, who="citizen")
    assert world.ask(listing, m.find_documents(cx(patient)), ticket).outcome == SUCCESS
    world.check(listing, replace(about, query=m.FIND_DOCUMENTS, shown=(plain.id,), objects="1"))
    assert world.ask(fetching, retrieve(fetching, hidden.unique_id), ticket).outcome == FAILURE
    world.check(fetching, replace(about, documents=(hidden.unique_id,)).refused("retrieve-document"))


@submissions
def test_a_repeat(transaction: str, world: World) -> None:
    """The same submission again changes nothing, and is on record as what it is: a request that succeeded."""
    way = next(each for each in WAYS if each.number == transaction)
    sent = way.good(world)
    ticket = way.ticket(world, sent)
    for _ in range(2):
        assert way.ask(world, sent, ticket).outcome == SUCCESS
        world.check(way.number, *sent.events)


def test_a_status_that_is_changed(world: World) -> None:
    """ITI-57 without a new version: the set is on record, and so is the document that it is about."""
    patient, set_id = new_patient(), m.new_oid()
    (one,) = world.filed(patient)
    body = m.submit(
        m.submission_set(set_id, cx(patient)),
        m.association(
            "as1", m.UPDATE_STATUS, m.SET, one.id, NewStatus=m.DEPRECATED, OriginalStatus=m.APPROVED
        ),
    )
    world.new()
    assert world.ask("ITI-57", body, world.ticket("personnel", patient)).outcome == SUCCESS
    (event,) = world.new()
    assert (event.pid, event.submission_sets) == (cx(patient), [set_id])
    assert event.documents in ([one.id], [one.unique_id])


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("personnel", "personnel"),
        ("hso", "personnel"),
        ("xua", "personnel"),
        ("citizen", "citizen"),
        ("representative", "representative"),
        ("system", "system"),
    ],
)
@queries
def test_every_kind_of_ticket(transaction: str, kind: str, who: str, world: World) -> None:
    """What the ticket says of who asks is in the event, in each shape that a ticket has."""
    sent = _find(world)
    world.new()
    reply = world.ask(transaction, sent.body, world.ticket(kind, sent.patient))
    assert reply.outcome == SUCCESS, reply.errors
    world.check(transaction, replace(sent.events[0], who=who))


@dataclass(frozen=True)
class Odd:
    """A request with an id that is none, which is refused and must not make an event that is none."""

    name: str
    number: str
    body: str
    #: What may be said against its event.
    but: str = ""


_NO_HOME = "a home community that is no urn:oid:"  # on record is what was asked for
ODD = (
    Odd("a patient id that is none", "ITI-18", m.find_documents("Kari")),
    Odd("a patient id without authority", "ITI-18", m.find_documents("13116900216")),
    Odd("a uniqueId of one digit", "ITI-43", m.retrieve("1")),
    Odd("a uniqueId with leading zeros", "ITI-43", m.retrieve("1.02.3")),
    Odd("a uniqueId that is text", "ITI-86", m.remove_documents("Ære være^1")),
    Odd("an object id that is no URN", "ITI-62", m.remove_metadata("Document01")),
    Odd(
        "an object id in capitals",
        "ITI-62",
        m.remove_metadata("urn:uuid:6E6F2F5A-0000-4000-8000-00000000000A"),
    ),
    Odd(
        "a query id that is none",
        "ITI-18",
        m.query("urn:uuid:1", {"$x": "'1'"}),
        "is no id of a stored query",  # so that what was asked for is what is on record
    ),
    Odd(
        "a home that is no URN",
        "ITI-43",
        m.retrieve("1.2.3").replace(
            "<xds:DocumentRequest>", "<xds:DocumentRequest><xds:HomeCommunityId>1.2.3</xds:HomeCommunityId>"
        ),
    ),
    Odd("a patient id that is none, at the gateway", "ITI-38", m.find_documents("Kari")),
    Odd("a uniqueId that is text, at the gateway", "ITI-39", retrieve("ITI-39", "Ære være^1")),
    Odd("a home that is no URN, at the gateway", "ITI-39", m.retrieve("1.2.3", home="Kari"), _NO_HOME),
    Odd("a home of a query that is none", "ITI-38", query(m.find_documents(), "Kari"), _NO_HOME),
    Odd(
        "a submission set whose id is text",
        "ITI-42",
        m.register([m.Document(id="Document01")], "Innsending 1", m.PATIENT),
    ),
    Odd("a patient of a submission who is none", "ITI-42", m.register([m.Document()], None, "Kari")),
)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_ids_that_are_none(odd: Odd, world: World) -> None:
    """Refused, on record once, by an event that follows FHIR all the same."""
    patient = new_patient()
    world.new()
    reply = world.ask(odd.number, odd.body, world.ticket("personnel", patient))
    assert reply.outcome == FAILURE
    found = world.new()
    assert [(each.code, each.outcome) for each in found] == [(odd.number, 4)]
    world.check_each(odd.but)


# ---- ITI-8


def _over_mllp(world: World, data: bytes) -> str:
    world.sent = {"message": re.findall(rb"^MSH(?:\|[^|]*){8}\|([^|\r]*)", data)[0].decode()}
    with Mllp(world.mllp_port) as connection:
        answer = connection.ask(data)
    return next(segment[1] for segment in answer if segment[0] == "MSA")


def _v2(event: str, *segments: str) -> bytes:
    return v2(event, *segments, control=f"MSG{secrets.token_hex(5)}")


def _of_v2(patient: str, **more: Any) -> Expected:
    return _of_feed(patient, who="nobody", **more)


@dataclass(frozen=True)
class Feed:
    """A message of the feed, and its events; `{0}` and `{1}` are ids in the patient's segments."""

    name: str
    event: str
    segments: tuple[str, ...]
    code: str
    expected: tuple[Callable[[str, str], Expected], ...]
    announced: bool = True


_MRG = f"MRG|{{1}}^^^Sykehuset&{OURS}&ISO"
_PID = f"PID|||{{0}}^^^Sykehuset&{OURS}&ISO"
FEEDS = (
    *(
        Feed(f"announced by {event}", event, (_PID,), "AA", (lambda a, b: _of_v2(a, action="C"),), False)
        for event in ("A01", "A04", "A05")
    ),
    Feed("revised", "A08", (_PID,), "AA", (lambda a, b: _of_v2(a, action="U"),)),
    Feed(
        "merged",
        "A40",
        (_PID, _MRG),
        "AA",
        (lambda a, b: _of_v2(b, action="D"), lambda a, b: _of_v2(a, action="U")),
    ),
    Feed("nobody", "A04", ("PID|||",), "AE", (lambda a, b: _of_v2("").refused("feed-patient-id"),)),
    Feed(
        "an event that is not known", "A99", (_PID,), "AR", (lambda a, b: _of_v2("").refused("feed-event"),)
    ),
    Feed(
        "two ids in a merge",
        "A40",
        (f"{_PID}~{{1}}^^^&{OURS}&ISO", _MRG),
        "AE",
        (
            lambda a, b: _of_v2(a).refused("feed-one-pair"),
            lambda a, b: _of_v2(b).refused("feed-one-pair"),
        ),
    ),
)


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_the_feed_over_mllp(feed: Feed, world: World) -> None:
    """ITI-8 has no ticket: who asks is the system at the other end, the message is named by MSH-10."""
    one, other = new_id(), new_id()
    world.personal |= {one, other}
    if feed.announced:
        for each in (one, other):
            assert _over_mllp(world, _v2("A04", pid(v2_id(each)))) == "AA"
    world.new()
    assert (
        _over_mllp(world, _v2(feed.event, *(each.format(one, other) for each in feed.segments))) == feed.code
    )
    world.check("ITI-8", *(each(one, other) for each in feed.expected))


def test_two_ids_of_one_announcement(world: World) -> None:
    """Two records begin: two events."""
    one, other = new_id(), new_id()
    world.new()
    assert _over_mllp(world, _v2("A04", pid(v2_id(one), v2_id(other), v2_id(new_id(), "2.999.1")))) in (
        "AA",
        "AE",
    )
    found = {each.pid for each in world.new()}
    assert {cx(one, OURS), cx(other, OURS)} <= found


@pytest.mark.parametrize(
    "data", [b"MSH|^~", b"\xff\xfe\x00", b"x" * 1000], ids=["cut off", "binary", "no HL7"]
)
def test_what_is_no_message_of_the_feed(data: bytes, world: World) -> None:
    """One event of a message that says nothing."""
    world.new()
    world.sent = {}
    with Mllp(world.mllp_port) as connection:
        connection.ask(data)
    (event,) = world.check("ITI-8", _of_v2("").refused("feed-header"))
    assert text(event.requestor, "network.address") == "127.0.0.1"


@pytest.mark.parametrize("what", ["too long", "broken off"])
def test_a_message_of_the_feed_that_does_not_come_to_its_end(what: str, world: World) -> None:
    """Somebody began to say something about a patient, and nothing was done."""
    world.new()
    world.sent = {}
    data = _v2("A04", pid(v2_id(new_id())))
    with Mllp(world.mllp_port) as connection:
        connection.send(b"\x0b" + data + (b"x" * 70_000 if what == "too long" else b""))
        time.sleep(0.2)
    (event,) = _soon(world, 3)
    assert (event.code, event.outcome) == ("ITI-8", 8)


# ---- ITI-81


def _search(patient: str = "", date: str = "ge2020-01-01") -> str:
    asked = f"&patient.identifier=urn:oid:{m.AUTHORITY}|{patient}" if patient else ""
    return f"/fhir/AuditEvent?date={date}{asked}"


@dataclass(frozen=True)
class Look:
    """A request to /fhir by a patient, and how it ends."""

    name: str
    path: Callable[[str], str]
    status: int
    reason: tuple[str, ...] = ()
    method: str = "GET"
    outcome: str = "4"


LOOKS = (
    Look("their own log", lambda patient: _search(), 200, outcome="0"),
    Look("their own log, by their number", _search, 200, outcome="0"),
    Look("no date", lambda patient: "/fhir/AuditEvent", 400),
    Look("a date that is none", lambda patient: _search(date="nais"), 400),
    Look("no such event", lambda patient: f"/fhir/AuditEvent/{m.new_uuid()[9:]}", 404),
    Look("a URN for an id", lambda patient: f"/fhir/AuditEvent/{m.new_uuid()}", 404),
    Look("a number for an id", lambda patient: f"/fhir/AuditEvent/{patient}", 404),
    Look("more than an id", lambda patient: f"/fhir/AuditEvent/{m.new_uuid()[9:]}/_history", 404),
    Look(
        "an event is not deleted",
        lambda patient: f"/fhir/AuditEvent/{m.new_uuid()[9:]}",
        405,
        method="DELETE",
    ),
    Look("an event is not written", lambda patient: "/fhir/AuditEvent", 405, method="POST"),
)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_look_at_the_log(look: Look, world: World) -> None:
    """Who reads the log is in it; FHIR R4 has 4 for what ends with a status from 400 on, and 8 from 500."""
    patient = new_patient()
    world.personal.add(patient)
    (one,) = world.filed(patient)
    assert (
        world.ask("ITI-43", m.retrieve(one.unique_id), world.ticket("personnel", patient)).outcome == SUCCESS
    )
    world.new()
    path = look.path(patient)
    answer = world.http(look.method, path, world.bearer(world.ticket("citizen", patient)))
    assert answer.status == look.status, answer.data
    expected = Expected(patient=patient, who="citizen", outcome=look.outcome, reason=look.reason)
    if look.outcome == "0":
        expected = replace(expected, objects="2")
        assert len(json.loads(answer.data)["entry"]) == 2
    is_address = look.name != "more than an id"  # which is no transaction's
    (event,) = world.check("ITI-81" if is_address else "", expected)
    if look.status != 405 and is_address:
        assert f"GET {URL}{path.partition('?')[0]}" in event.query_text


def test_one_event_is_read(world: World) -> None:
    """By its id; that it was read is on record with the patient whom it is about."""
    patient = new_patient()
    world.filed(patient)
    world.new()
    ticket = world.ticket("citizen", patient)
    found = json.loads(world.http("GET", _search(), world.bearer(ticket)).data)["entry"]
    world.check("ITI-81", Expected(patient=patient, who="citizen", objects="1"))
    path = f"/fhir/AuditEvent/{found[0]['resource']['id']}"
    assert world.http("GET", path, world.bearer(ticket)).status == 200
    world.check("ITI-81", Expected(patient=patient, who="citizen", objects="1"))


def test_a_data_controller_reads_everybodys_log(world: World) -> None:
    """One event for each patient whose events were shown."""
    first, second = new_patient(), new_patient()
    world.filed(first)
    world.filed(second)
    since = world.new()[-2].event["recorded"]
    token = world.token("xds:audit/read-all")
    path = f"/fhir/AuditEvent?date=ge{since}&_count=2&_sort=date"
    answer = world.http("GET", path, world.dpop(token, "GET", "/fhir/AuditEvent"))
    assert answer.status == 200, answer.data
    shown = json.loads(answer.data)["entry"]
    assert len(shown) == 2
    about = Expected(who="machine")
    found = world.check(
        "ITI-81", replace(about, patient=first, objects="2"), replace(about, patient=second, objects="2")
    )
    assert all(path.partition("&")[0].partition("=ge")[0] in each.query_text for each in found)


@pytest.mark.parametrize("path", ["/fhir/AuditEvent?date=ge2020", "/fhir/Patient/1"])
@pytest.mark.parametrize("bad", ["no ticket", "a bad signature", "a bad token"])
def test_whoever_may_not_come_to_the_log(path: str, bad: str, world: World) -> None:
    """An authentication that failed, with the transaction when it is one."""
    world.new()
    ticket = _unsigned(world.ticket("citizen", new_patient()))
    headers = {
        "no ticket": {},
        "a bad signature": world.bearer(ticket),
        "a bad token": {"Authorization": "DPoP a.b.c", "DPoP": "a.b.c"},
    }[bad]
    assert world.http("GET", path, headers).status == 401
    world.check("ITI-81" if "AuditEvent" in path else "", NOBODY)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_resource_that_there_is_none_of(method: str, world: World) -> None:
    """On record with who asked, and with nothing of the address that could be a person's."""
    patient = new_patient()
    world.new()
    path = f"/fhir/Patient/{patient}"
    assert world.http(method, path, world.bearer(world.ticket("citizen", patient))).status == 404
    world.check("", Expected(patient=patient, who="citizen", outcome="4"))


def test_a_look_at_the_log_that_a_policy_denies(world: World) -> None:
    """Gate 2."""
    patient = new_patient()
    world.new()
    ticket = world.ticket("personnel", patient, purpose="COC")
    assert world.http("GET", _search(), world.bearer(ticket)).status == 403
    world.check("ITI-81", Expected(patient=patient, purpose="COC").refused("access-policy"))


def test_personnel_look_at_what_they_did(world: World) -> None:
    """The Norwegian profile is for this too."""
    patient = new_patient()
    world.filed(patient)
    world.ask("ITI-18", m.find_documents(cx(patient)), world.ticket("personnel", patient))
    world.new()
    answer = world.http("GET", _search(), world.bearer(world.ticket("personnel", patient)))
    assert answer.status == 200
    assert len(json.loads(answer.data)["entry"]) == 1
    world.check("ITI-81", Expected(patient=patient, objects="1"))


# ---- the push of privacy settings


@dataclass(frozen=True)
class Push:
    """What is pushed, and how it ends."""

    name: str
    change: Mapping[str, Any]
    status: int
    outcome: str = "4"
    reason: tuple[str, ...] = ()
    named: bool = True


PUSHES = (
    Push("a block", {}, 200, "0"),
    Push("a consent, which is not stored", {"definisjonGuid": CONSENT, "typePi": "samtykke"}, 200, "0"),
    Push("nobody's number", {"innbyggerFnr": "17855599121"}, 400, named=False),
    Push("a field that is missing", {"partKode": None}, 400, named=False),
    Push("a definition that is not known", {"definisjonGuid": UNSET}, 422),
    Push("too large", {"definisjonNavn": "x" * 70_000}, 413, named=False),
)


def _pushed(patient: str, **change: Any) -> bytes:
    good = {
        "innbyggerFnr": patient,
        "definisjonGuid": BLOCK,
        "definisjonNavn": m.TITLE,
        "partKode": "sperre-part",
        "typePi": "tilgangsbegrensning",
        "aktiv": True,
        "tidspunkt": "2026-03-11T09:45:00Z",
    }
    return json.dumps(good | change).encode()


@pytest.mark.parametrize("push", PUSHES, ids=lambda push: push.name)
def test_a_push_of_a_privacy_setting(push: Push, world: World) -> None:
    """With the patient whose setting it is, and the system that sent it."""
    patient = new_patient()
    world.personal.add(patient)
    world.new()
    token = world.token("xds:privacy/replicate")
    answer = world.http("POST", PUSH, world.dpop(token, "POST", PUSH), _pushed(patient, **push.change))
    assert answer.status == push.status, answer.data
    expected = Expected(who="machine", patient=patient if push.named else "", outcome=push.outcome)
    world.check("PVK", replace(expected, reason=push.reason))


@pytest.mark.parametrize(
    "bad", ["no ticket", "a bad signature", "a bad token", "an assertion that ended", "a good assertion"]
)
def test_a_push_of_whoever_is_not_let_in(bad: str, world: World) -> None:
    """401 and one event."""
    patient = new_patient()
    world.new()
    headers: dict[str, str] = {}
    if bad == "a bad signature":
        headers = world.bearer(_unsigned(world.ticket("system")))
    elif bad == "a bad token":
        headers = {"Authorization": "DPoP a.b.c", "DPoP": "a.b.c"}
    elif bad == "an assertion that ended":
        ended = datetime.now(UTC) - timedelta(days=1)
        headers = world.bearer(world.ticket("system", now=ended))
    elif bad == "a good assertion":  # which is for reading the log, and not for this
        headers = world.bearer(world.ticket("system"))
    answer = world.http("POST", PUSH, headers, _pushed(patient))
    assert answer.status == 401, answer.data
    world.check("PVK", NOBODY)


def test_a_push_that_a_policy_denies(world: World) -> None:
    """Personnel do not push: the body is not read, so nobody knows whom it is about."""
    world.new()
    token = world.service.token(purpose="COC")
    world.ticket_id = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"]
    assert world.http("POST", PUSH, world.dpop(token, "POST", PUSH), _pushed(new_patient())).status == 403
    world.check("PVK", Expected(purpose="COC").refused("access-policy"))
