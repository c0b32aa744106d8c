"""Everything under /fhir: which interaction a request is for, and how its answer goes out.

app.py mounts it as one sink, so that no address below /fhir can be reached beside the gates but `metadata`,
which tells what there is. What cannot be answered is an OperationOutcome, and on record as what is answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import falcon
import orjson

from xds.audit.trail import Trail
from xds.errors import Denied, Fault, FaultCode, RegistryFailure, sender
from xds.fhir import body
from xds.fhir.capability import statement
from xds.fhir.gate import http_request, refusal
from xds.fhir.interaction import Answer, Interaction, Options, Request, matched
from xds.fhir.negotiation import Form, content_type, form_of, packed, written
from xds.fhir.outcomes import Issue, Refused, outcome, refused
from xds.security.denials import Oauth
from xds.security.gate import FhirGate, HttpRequest
from xds.store.trouble import is_busy, no_room
from xds.transport.endpoint import DRAIN_SECONDS, Outgoing, trace
from xds.transport.limits import Limits
from xds.transport.message import Discardable, new_reference
from xds.transport.staged import StagingFolder
from xds.transport.timed import ReceiverClock, TimedStream

log = logging.getLogger("xds")

BASE: Final = "/fhir"
SMART: Final = "/.well-known/smart-configuration"
#: A search in a body; a URL is bounded by the server.
MOST_BYTES: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_STATUSES: Final = {413: "too-long", 415: "not-supported"}


@dataclass(slots=True)
class _Files:
    """What was staged for one request, and is removed at its end."""

    adopted: list[Discardable] = field(default_factory=list)

    def discard(self) -> None:
        while self.adopted:
            self.adopted.pop().discard()


class FhirBase:
    """The sink of /fhir.

    `who_asks` is gate 1 alone, for what leads nowhere; `run` takes an interaction through all gates, and has
    the request read behind the first. Without
    a gate (access.ticket = none) everybody is let in. `public_url` is the node's own scheme and authority as
    its clients know it: DPoP proofs are for that URL, and never for what a Host header says. `begin` opens
    the trail of a request.
    """

    def __init__(
        self,
        gate: FhirGate | None,
        who_asks: Callable[[HttpRequest, Trail], object],
        run: Callable[[Interaction, HttpRequest, Callable[[], Request], Trail], Answer],
        interactions: Sequence[Interaction],
        begin: Callable[[falcon.Request], Trail],
        public_url: str,
        options: Options,
        limits: Limits,
        staging: StagingFolder,
        smart: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._smart = smart
        self._gate = gate
        self._who_asks = who_asks
        self._run = run
        self._interactions = interactions
        self._begin = begin
        self._public_url = public_url.rstrip("/")
        self._options = options
        self._limits = limits
        self._staging = staging
        self._statement = statement(options.place.base)

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        """Answer one request."""
        if req.method in ("GET", "HEAD") and req.path == f"{BASE}/metadata":
            self._tell(req, resp)
            return
        if req.method in ("GET", "HEAD") and req.path == f"{BASE}{SMART}":
            resp.content_type, resp.data = "application/json", orjson.dumps(self._smart())
            return
        resp.set_header("Cache-Control", "no-store")
        trail = self._begin(req)
        trail.context.reference = new_reference()
        trail.context.message_id = _request_id(req)
        stream = TimedStream(req.stream.read, self._limits, req.content_length)
        try:
            self._answer(req, resp, stream, trail)
        finally:
            trail.close(stream.count)

    def _tell(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, told = Form.JSON, self._statement
        try:
            form = _form(req)
        except Refused as error:
            resp.status, told = error.status, outcome(error.issues)
        resp.content_type, resp.data = content_type(form), written(form, told)

    def _answer(self, req: falcon.Request, resp: falcon.Response, stream: TimedStream, trail: Trail) -> None:
        started, reference, files = time.perf_counter(), trail.context.reference, _Files()
        form, detail = Form.JSON, ""

        def done(trouble: str = "") -> None:
            files.discard()
            caller = trail.context.caller
            log.info(
                "%s endpoint=%s%s status=%s ms=%.1f in=%d%s%s%s",
                reference,
                BASE,
                f" {trail.context.number}" if trail.context.number else "",
                resp.status,
                (time.perf_counter() - started) * 1000,
                stream.count,
                f" kind={caller.kind} issuer={caller.issuer}" if caller else "",
                detail,
                trouble and f" {trouble}",
            )

        try:
            form, unacceptable = _form_or_not(req)
            interaction, ids = self._find(req, trail)

            def received() -> Request:
                nonlocal form
                if unacceptable is not None:
                    raise unacceptable
                request = self._request(req, stream, ids, files, reference)
                # A search in a body may say there in which form it wants the answer.
                form = _form(req, request.parameters)
                return request

            answer = self._run(interaction, http_request(req, self._public_url), received, trail)
        except Exception as error:
            failed = self._failed(error, trail, reference)
            if isinstance(error, Denied):
                detail = f" denied {error.rule} {error.sentence}"
            elif isinstance(error, RegistryFailure):
                detail = f" refused {' '.join(each.rule for each in error.errors)}"
            answer = Answer(outcome(failed.issues, reference), failed.status, failed.headers)
            stream.drain(DRAIN_SECONDS)
        self._send(req, resp, answer, form, done, reference)

    def _send(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        answer: Answer,
        form: Form,
        done: Callable[[str], None],
        reference: str,
    ) -> None:
        resp.status = answer.status
        for name, value in answer.headers.items():
            for each in value.split("\n"):
                resp.append_header(name, each) if name == "WWW-Authenticate" else resp.set_header(name, each)
        if answer.raw is not None:
            resp.content_type = answer.raw.content_type
            resp.content_length = answer.raw.size
            if req.method == "HEAD":
                done("")
                return
            clock = ReceiverClock(self._limits.idle_seconds)
            resp.stream = Outgoing(answer.raw.chunks(), done, reference, clock)
            return
        resp.content_type = content_type(form)
        resp.set_header("Vary", "Accept, Accept-Encoding")
        if answer.resource is not None:
            data = written(form, answer.resource)
            small = packed(data, req.get_header("Accept-Encoding", default=""))
            if small is not None:
                resp.set_header("Content-Encoding", "gzip")
            resp.data = data if small is None else small
        done("")

    def _find(self, req: falcon.Request, trail: Trail) -> tuple[Interaction, tuple[str, ...]]:
        """The interaction of a request and the ids in its path. Raises Refused, after gate 1."""
        path = req.path.removeprefix(BASE).strip("/")
        method = "GET" if req.method == "HEAD" else req.method
        here = [(each, ids) for each in self._interactions if (ids := matched(each.path, path)) is not None]
        # A name in the path goes before an id: _search is nobody's.
        here.sort(key=lambda each: len(each[1]))
        here = [each for each in here if len(each[1]) == len(here[0][1])]
        trail.context.endpoint = BASE
        if here:
            # The path may hold anything: it is on record as far as there is such a resource.
            first = here[0][0]
            trail.context.number, trail.context.endpoint = first.number, f"{BASE}/{first.kind}".rstrip("/")
        for interaction, ids in here:
            if interaction.method == method:
                trail.context.number = interaction.number
                return interaction, ids
        self._who_asks(http_request(req, self._public_url), trail)
        if not here:
            raise Refused(
                404, Issue("not-supported", "There is no such resource here."), reason="not-supported"
            )
        raise Refused(
            405,
            Issue("not-supported", "This cannot be done with the resource."),
            headers={"Allow": ", ".join(sorted({each.method for each, _ in here}))},
            reason="not-supported",
        )

    def _request(
        self, req: falcon.Request, stream: TimedStream, ids: tuple[str, ...], files: _Files, reference: str
    ) -> Request:
        parameters = parse_qsl(req.query_string, keep_blank_values=True)
        headers = {name.lower(): value for name, value in req.headers.items()}
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Fault(
                FaultCode.SENDER, "The body is compressed: send it without Content-Encoding.", status=415
            )
        path = req.path.removeprefix(BASE).strip("/")
        if req.method == "POST" and path.endswith("_search"):
            parameters += _posted(req, stream)

        def received() -> body.Received:
            found = body.receive(stream, req.content_type or "", self._limits, self._staging)
            files.adopted.append(found)
            return found

        return Request(
            method=req.method,
            path=path,
            parameters=parameters,
            headers=headers,
            options=self._options,
            reference=reference,
            body=received,
            patch=partial(_short_body, stream, "The patch"),
            adopt=files.adopted.append,
            ids=ids,
        )

    def _failed(self, error: Exception, trail: Trail, reference: str) -> Refused:
        """How an error is answered; it is put on record here."""
        if isinstance(error, Refused):
            trail.refused_for(str(error))
            return error
        if isinstance(error, RegistryFailure):
            trail.refused(error.errors)
            return refused(error.errors)
        if isinstance(error, Denied):
            trail.denied(error.rule)
            assert self._gate is not None
            told = refusal(error, self._gate)
            code = "forbidden" if told.code is Oauth.INSUFFICIENT_SCOPE else "login"
            headers = {"WWW-Authenticate": "\n".join(told.challenges)}
            return Refused(told.status, Issue(code, told.meaning), headers=headers)
        if isinstance(error, Fault):
            trail.refused_for("cannot be read")
            status = 400 if error.status == 500 else error.status
            return Refused(status, Issue(_STATUSES.get(status, "structure"), error.reason))
        if full := no_room(error) or is_busy(error):
            trail.refused_for("node-busy")
            text = "The node is busy or full: send the request again."
            return Refused(503, Issue("transient", text), headers={"Retry-After": "1"}, reason=str(full))
        trail.fault(type(error).__name__)
        log.error("%s endpoint=%s failed\n%s", reference, BASE, trace(error))
        return Refused(500, Issue("exception", "The node could not process the request."))


def _form(req: falcon.Request, given: Sequence[tuple[str, str]] = ()) -> Form:
    parameters = dict(given or parse_qsl(req.query_string))
    accept = req.get_header("Accept", default="")
    if "/Binary/" in req.path:
        # What is accepted is the document; an outcome in its place is readable all the same.
        return Form.XML if "application/fhir+xml" in accept else Form.JSON
    return form_of(accept, parameters.get("_format", ""), parameters.get("fhirVersion", ""))


def _form_or_not(req: falcon.Request) -> tuple[Form, Refused | None]:
    """The form of the answer; and why it cannot be had, of which JSON tells."""
    try:
        return _form(req), None
    except Refused as error:
        return Form.JSON, error


def _posted(req: falcon.Request, stream: TimedStream) -> list[tuple[str, str]]:
    data = _short_body(stream, "The search")
    if data and (req.content_type or "").partition(";")[0].strip().lower() != _FORM:
        sentence = f"A search in a body has the Content-Type {_FORM}."
        raise Fault(FaultCode.SENDER, sentence, status=415)
    try:
        return parse_qsl(data.decode("ascii"), keep_blank_values=True)
    except ValueError:
        raise sender("The search is not a form.") from None


def _short_body(stream: TimedStream, what: str) -> bytes:
    data = b""
    while piece := stream.read():
        data += piece
        if len(data) > MOST_BYTES:
            raise sender(f"{what} is too long.")
    return data


def _request_id(req: falcon.Request) -> str:
    """X-Request-Id, when it can stand in the log (FHIR R4 3.1.0.8)."""
    given = req.get_header("X-Request-Id", default="")
    return given if 0 < len(given) <= 200 and given.isascii() and given.isprintable() else ""
