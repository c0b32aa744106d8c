"""The push of Personvernkomponenten: what a citizen has decided there about their documents holds here too.

app.py gives it its address, behind the same gate as /fhir. It answers 200 only when what was sent is stored,
or known already; any other answer makes the sender send it again. No answer and no line of the log holds
anything that was sent.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import falcon
from sqlalchemy import Connection

from xds.access import privacy
from xds.access.gate import Access
from xds.audit.facts import Deed, Query, Subject
from xds.audit.trail import Trail
from xds.errors import DataTypeError, Denied, Fault, RegistryFailure
from xds.fhir.gate import http_request, refusal
from xds.metadata.datatypes import CX
from xds.metadata.identifiers import authority_of_patient
from xds.registry.patients import Domain
from xds.security.caller import Caller
from xds.security.gate import FhirGate
from xds.store import schema
from xds.store.database import Database
from xds.store.trouble import is_busy, no_room
from xds.transport.endpoint import DRAIN_SECONDS, trace
from xds.transport.limits import Limits
from xds.transport.message import new_reference
from xds.transport.timed import TimedStream

log = logging.getLogger("xds")

ADDRESS: Final = "/personvern/Personverninnstillinger/LagreInnbyggersPersonvernInnstilling/v2"

#: A push is a few hundred bytes.
MOST_BYTES: Final = 64 * 1024
#: How far the sender's clock may be ahead; what is later would make everything after it too old.
_AHEAD: Final = timedelta(minutes=10)

#: What `privacy.definitions` may say that a definition means -> the kind of setting; consent is none.
MEANINGS: Final[Mapping[str, int | None]] = {
    "block": schema.BLOCK,
    "reservation": schema.RESERVATION,
    "consent": None,
}
#: typePi -> the meanings that a definition of that type can have.
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "samtykke": frozenset({"consent"}),
    "reservasjon": frozenset({"block", "reservation"}),
    "tilgangsbegrensning": frozenset({"block", "reservation"}),
}
_STATES: Final[Mapping[str, bool]] = {"piAktiv": True, "piIkkeAktiv": False}


@dataclass(frozen=True, slots=True)
class Push:
    """What was sent. `at` is YYYYMMDDhhmmss in UTC, None when the sender did not say."""

    pid: str = field(repr=False)
    definition: str
    part: str
    type: str
    active: bool
    at: int | None

    @property
    def source(self) -> str:
        """Under which name the registry keeps it."""
        return f"pvk {self.definition} {self.part}"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, in words that hold nothing of it."""

    field: str
    detail: str


class Unusable(Exception):
    """A push that cannot be read."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__()
        self.errors = errors


# ---- reading

_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _citizen(value: Any, test: bool) -> str:
    number = value if isinstance(value, str) else ""
    authority = authority_of_patient(number, test=test)
    if not authority:
        raise ValueError
    return str(CX(number, authority))


def _guid(value: Any, test: bool) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not _GUID.fullmatch(text):
        raise ValueError
    return text


def _part(value: Any, test: bool) -> str:
    if not (isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable() and " " not in value):
        raise ValueError
    return value


def _type(value: Any, test: bool) -> str:
    if not isinstance(value, str) or value not in _TYPES:
        raise ValueError
    return value


def _active(value: Any, test: bool) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _state(value: Any, test: bool) -> bool:
    if not isinstance(value, str) or value not in _STATES:
        raise ValueError
    return _STATES[value]


def _time(value: Any, test: bool) -> int:
    if not isinstance(value, str) or "T" not in value:
        raise ValueError
    try:
        found = privacy.read_time(value)
    except DataTypeError:
        raise ValueError from None
    if found > int((datetime.now(UTC) + _AHEAD).strftime("%Y%m%d%H%M%S")):
        raise ValueError
    return found


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read (raises ValueError), what it must be, and whether it may be left out."""

    read: Callable[[Any, bool], Any]
    wanted: str
    optional: bool = False


_FIELDS: Final[Mapping[str, _Field]] = {
    "innbyggerFnr": _Field(_citizen, "must be a valid national number of 11 digits, as a text."),
    "definisjonGuid": _Field(_guid, "must be a GUID."),
    "partKode": _Field(_part, "must be a text of 1 to 100 characters without spaces."),
    "typePi": _Field(_type, f"must be one of: {', '.join(_TYPES)}."),
    "aktiv": _Field(_active, "must be true or false.", optional=True),
    "status": _Field(_state, f"must be one of: {', '.join(_STATES)}.", optional=True),
    "tidspunkt": _Field(
        _time,
        "must be a time in ISO 8601, not more than ten minutes ahead of this node's clock.",
        optional=True,
    ),
}


def read(body: bytes, *, test: bool) -> Push:
    """The push in a body; fields that are not known are passed over. Raises Unusable with every error."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable(FieldError("", "The body must be JSON in UTF-8.")) from None
    if not isinstance(given, dict):
        raise Unusable(FieldError("", "The body must be one JSON object."))
    values: dict[str, Any] = {}
    errors = []
    for name, each in _FIELDS.items():
        if given.get(name) is None:
            if not each.optional:
                errors.append(FieldError(name, f"{name} is missing: it {each.wanted}"))
            continue
        try:
            values[name] = each.read(given[name], test)
        except ValueError:
            errors.append(FieldError(name, f"{name} {each.wanted}"))
    states = {values[name] for name in ("aktiv", "status") if name in values}
    if len(states) != 1 and not any(each.field in ("aktiv", "status") for each in errors):
        errors.append(
            FieldError("aktiv", "aktiv must say whether the setting is active, and status no other.")
        )
    if errors:
        raise Unusable(*errors)
    return Push(
        values["innbyggerFnr"],
        values["definisjonGuid"],
        values["partKode"],
        values["typePi"],
        states.pop(),
        values.get("tidspunkt"),
    )


# ---- answering


@dataclass(frozen=True, slots=True)
class _Answer:
    """The HTTP status, what it means in words, the errors if there are any, and what the log adds."""

    status: int
    text: str
    logged: str
    errors: Sequence[FieldError] = ()
    challenges: Sequence[str] = ()


class PrivacyPush:
    """The resource at ADDRESS.

    `definitions` is the setting of that name: GUID -> a key of MEANINGS. `gate` is gate 1 and `public_url`
    the node's, as for FhirBase; without a gate everybody is let in. `may` is gate 2: what a caller may,
    or RegistryFailure. `begin` opens the trail of a request.
    """

    def __init__(
        self,
        database: Database,
        domain: Domain,
        definitions: Mapping[str, str],
        gate: FhirGate | None,
        public_url: str,
        may: Callable[[Caller | None, Trail], Access],
        begin: Callable[[falcon.Request], Trail],
        limits: Limits,
    ) -> None:
        self._database = database
        self._domain = domain
        self._definitions = definitions
        self._gate = gate
        self._public_url = public_url.rstrip("/")
        self._may = may
        self._begin = begin
        self._limits = limits

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store one push."""
        trail = self._begin(req)
        trail.context.number, trail.context.reference = "PVK", new_reference()
        try:
            self._post(req, resp, trail)
        finally:
            trail.close()

    def _post(self, req: falcon.Request, resp: falcon.Response, trail: Trail) -> None:
        started, reference = time.perf_counter(), trail.context.reference
        stream = TimedStream(req.stream.read, self._limits, req.content_length)
        answer = self._answer(req, stream, trail)
        stream.drain(DRAIN_SECONDS)
        resp.status = answer.status
        resp.set_header("Cache-Control", "no-store")
        for each in answer.challenges:
            resp.append_header("WWW-Authenticate", each)
        if answer.status == 503:
            resp.set_header("Retry-After", "1")
        resp.content_type, resp.data = _written(answer, reference)
        log.info(
            "%s endpoint=/personvern status=%d ms=%.1f %s",
            reference,
            answer.status,
            (time.perf_counter() - started) * 1000,
            answer.logged,
        )

    def _answer(self, req: falcon.Request, stream: TimedStream, trail: Trail) -> _Answer:
        try:
            caller = trail.context.caller = self._caller(req)  # GATE 1
            access = self._may(caller, trail)  # GATE 2
            if (req.content_length or 0) > MOST_BYTES or len(body := _read(stream)) > MOST_BYTES:
                trail.refused_for("too large")
                return _Answer(413, f"The body must not be larger than {MOST_BYTES} bytes.", "too large")
            push = read(body, test=self._domain.synthetic)  # GATE 0
            trail.context.subject = Subject(patients=(push.pid,))
            access.check_patients([push.pid], "innbyggerFnr")
            return self._store(push, "pvk" if caller is None else caller.client or "pvk", trail)
        except Denied as denial:
            trail.denied(denial.rule)
            return self._denied(denial)
        except Unusable as error:
            fields = ",".join(each.field or "body" for each in error.errors)
            trail.refused_for(f"cannot be read: {fields}")
            return _Answer(400, "The setting cannot be read.", f"bad={fields}", error.errors)
        except Fault as fault:
            trail.fault("broken off")
            return _Answer(400, fault.reason, "broken off")
        except RegistryFailure as failure:
            trail.refused(failure.errors)
            forbidden = any(each.rule.startswith("access-") for each in failure.errors)
            return _Answer(
                403 if forbidden else 422,
                "The setting is refused.",
                f"rule={','.join(each.rule for each in failure.errors)}",
                [FieldError(each.location, f"{each.context} [{each.rule}]") for each in failure.errors],
            )
        except Exception as error:
            reference = trail.context.reference
            trail.fault(type(error).__name__)
            if is_busy(error) or no_room(error):
                return _Answer(503, "The node is busy or full: send the setting again.", "busy")
            log.error("%s endpoint=/personvern failed\n%s", reference, trace(error))
            return _Answer(500, "The node could not process the setting.", "failed")

    def _caller(self, req: falcon.Request) -> Caller | None:
        if self._gate is None:
            return None
        return self._gate.caller(http_request(req, self._public_url))

    def _denied(self, denial: Denied) -> _Answer:
        assert self._gate is not None
        told = refusal(denial, self._gate)
        logged = f"denied {denial.rule} {denial.sentence}"
        return _Answer(told.status, told.meaning, logged, challenges=told.challenges)

    def _store(self, push: Push, by: str, trail: Trail) -> _Answer:
        """200 follows the commit."""
        meaning = self._definitions.get(push.definition)
        if meaning is None or meaning not in _TYPES[push.type]:
            text = (
                "The setting privacy.definitions of this node does not say what the definition means."
                if meaning is None
                else "The setting privacy.definitions of this node gives the definition a meaning that its"
                " typePi cannot have."
            )
            trail.refused_for("definition")
            return _Answer(422, "The setting is refused.", "definition", [FieldError("definisjonGuid", text)])
        kind = MEANINGS[meaning]
        if kind is None:
            trail.seen(Deed(patient=push.pid, query=Query(id="", name=push.source)))
            return _Answer(200, "", "consent: nothing to store")

        def work(connection: Connection) -> bool:
            changed = privacy.replicate(
                connection,
                self._domain,
                push.pid,
                kind,
                push.source,
                active=push.active,
                at=push.at,
                by=by,
            )
            trail.done(connection, Deed(patient=push.pid, query=Query(id="", name=push.source)))
            return bool(changed)

        changed = self._database.transact(work)
        return _Answer(200, "", "stored" if changed else "nothing new")


def _read(stream: TimedStream) -> bytes:
    """The body, or a little more of it than is allowed."""
    parts, size = [], 0
    while size <= MOST_BYTES and (part := stream.read(MOST_BYTES + 1 - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _written(answer: _Answer, reference: str) -> tuple[str, bytes]:
    """Media type and body: the reference alone, or a problem (RFC 9457)."""
    if answer.status == 200:
        return "application/json", json.dumps({"reference": reference}).encode()
    problem = {
        "type": "about:blank",
        "title": falcon.code_to_http_status(answer.status).partition(" ")[2],
        "status": answer.status,
        "detail": answer.text,
        "errors": [{"field": each.field, "detail": each.detail} for each in answer.errors],
        "reference": reference,
    }
    return "application/problem+json", json.dumps(problem, ensure_ascii=False).encode()
