"""Everything under /fhir: gate 1 first, then the resource that was asked for.

app.py mounts it as one sink, so that no address below /fhir can be reached beside the gate but `metadata`,
which tells what there is. What cannot be answered is an OperationOutcome, and on record as what is answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import falcon
import orjson

from xds.audit.search import Unusable
from xds.audit.trail import Trail
from xds.errors import Denied, Fault, RegistryFailure
from xds.fhir.audit_events import AuditEvents, MethodNotAllowed, NotThere
from xds.fhir.capability import statement
from xds.fhir.gate import http_request, refusal
from xds.fhir.outcomes import MEDIA_TYPE, outcome
from xds.security.denials import Oauth
from xds.security.gate import FhirGate
from xds.store.trouble import is_busy, no_room
from xds.transport.endpoint import trace
from xds.transport.message import new_reference

log = logging.getLogger("xds")

BASE: Final = "/fhir"


class FhirBase:
    """The sink of /fhir.

    `public_url` is the node's own scheme and authority as its clients know it: DPoP proofs are for that URL,
    and never for what a Host header says. Without a gate (access.ticket = none) everybody is let in.
    `begin` opens the trail of a request; `resources` answer by the name of their type.
    """

    def __init__(
        self,
        gate: FhirGate | None,
        public_url: str,
        begin: Callable[[falcon.Request], Trail],
        resources: Mapping[str, AuditEvents],
    ) -> None:
        self._gate = gate
        self._public_url = public_url.rstrip("/")
        self._begin = begin
        self._resources = resources
        self._statement = orjson.dumps(statement(f"{self._public_url}{BASE}"))

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        """Answer one request."""
        resp.content_type = MEDIA_TYPE
        if req.method == "GET" and req.path == f"{BASE}/metadata":
            resp.data = self._statement
            return
        resp.set_header("Cache-Control", "no-store")
        trail = self._begin(req)
        trail.context.reference = new_reference()
        trail.context.message_id = _request_id(req)
        try:
            self._answer(req, resp, trail)
        finally:
            trail.close()

    def _answer(self, req: falcon.Request, resp: falcon.Response, trail: Trail) -> None:
        started, reference = time.perf_counter(), trail.context.reference
        detail = ""
        try:
            kind, *rest = req.path.removeprefix(BASE).strip("/").split("/")
            resource = self._resources.get(kind)
            # The path may hold anything: it is on record as far as there is such a resource.
            trail.context.number, trail.context.endpoint = (
                ("", BASE) if resource is None else ("ITI-81", f"{BASE}/{kind}")
            )
            if self._gate is not None:
                caller = self._gate.caller(http_request(req, self._public_url))
                trail.context.caller = caller
                detail = f" kind={caller.kind} issuer={caller.issuer}"
            if resource is None:
                trail.refused_for("not-supported")
                resp.status = 404
                resp.data = outcome("not-supported", "There is no such resource here.", reference)
            else:
                resp.data = resource.answer(req, rest, trail)
        except NotThere:
            trail.refused_for("not-found")
            resp.status = 404
            resp.data = outcome("not-found", "There is nothing of this id for you here.", reference)
        except MethodNotAllowed as error:
            trail.refused_for("not-supported")
            resp.status = 405
            resp.set_header("Allow", error.allowed)
            resp.data = outcome("not-supported", "This cannot be done with the resource.", reference)
        except Unusable as error:
            trail.refused_for(
                f"cannot be read: {' '.join(sorted({each.parameter for each in error.problems}))}"
            )
            resp.status = 400
            resp.data = outcome("invalid", str(error), reference)
        except Fault as fault:
            trail.refused_for("cannot be read")
            resp.status = 400
            resp.data = outcome("invalid", fault.reason, reference)
        except RegistryFailure as failure:
            trail.refused(failure.errors)
            resp.status = 403
            text = " ".join(f"{each.context} [{each.rule}]" for each in failure.errors)
            resp.data = outcome("forbidden", text, reference)
            detail += f" refused {' '.join(each.rule for each in failure.errors)}"
        except Denied as denial:
            trail.denied(denial.rule)
            assert self._gate is not None
            told = refusal(denial, self._gate)
            resp.status = told.status
            for each in told.challenges:
                resp.append_header("WWW-Authenticate", each)
            issue = "forbidden" if told.code is Oauth.INSUFFICIENT_SCOPE else "login"
            resp.data = outcome(issue, told.meaning, reference)
            detail = f" denied {denial.rule} {denial.sentence}"
        except Exception as error:
            busy = is_busy(error) or bool(no_room(error))
            if busy:
                trail.refused_for("node-busy")
            else:
                trail.fault(type(error).__name__)
            resp.status = 503 if busy else 500
            if busy:
                resp.set_header("Retry-After", "1")
                resp.data = outcome(
                    "transient", "The node is busy or full: send the request again.", reference
                )
            else:
                log.error("%s endpoint=/fhir failed\n%s", reference, trace(error))
                resp.data = outcome("exception", "The node could not process the request.", reference)
        log.info(
            "%s endpoint=/fhir status=%s ms=%.1f%s",
            reference,
            resp.status,
            (time.perf_counter() - started) * 1000,
            detail,
        )


def _request_id(req: falcon.Request) -> str:
    """X-Request-Id, when it can stand in the log (FHIR R4 3.1.0.8)."""
    given = req.get_header("X-Request-Id", default="")
    return given if 0 < len(given) <= 200 and given.isascii() and given.isprintable() else ""
