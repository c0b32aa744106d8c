"""Everything under /fhir: gate 1 first, then the resource that was asked for.

app.py mounts it as one sink, so that no address below /fhir can be reached beside the gate. There is no
resource yet: a request with a good token is told so.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import falcon

from xds.errors import Denied
from xds.fhir.outcomes import MEDIA_TYPE, outcome
from xds.security.denials import DENIALS, Oauth
from xds.security.gate import FhirGate, HttpRequest
from xds.security.tokens import ALGORITHMS
from xds.store.trouble import is_busy
from xds.transport.endpoint import trace
from xds.transport.message import new_reference

log = logging.getLogger("xds")

#: What the client reads; RFC 6750 3.1 and RFC 9449 7.1 give the codes, not which part of a token was wrong.
_SENTENCES: Final = {
    Oauth.NONE: "The request needs an access token.",
    Oauth.INVALID_REQUEST: "The Authorization header cannot be read: send one token, as DPoP or Bearer.",
    Oauth.INVALID_TOKEN: "The access token is not valid here and now.",
    Oauth.INVALID_DPOP_PROOF: "The DPoP proof is not valid for this request.",
    Oauth.INSUFFICIENT_SCOPE: "The access token does not have a scope for this operation.",
}


class FhirBase:
    """The sink of /fhir.

    `public_url` is the node's own scheme and authority as its clients know it: DPoP proofs are for that URL,
    and never for what a Host header says. Without a gate (access.ticket = none) everybody is let in.
    """

    def __init__(self, gate: FhirGate | None, public_url: str) -> None:
        self._gate = gate
        self._public_url = public_url.rstrip("/")

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: str) -> None:
        """Answer one request."""
        started, reference = time.perf_counter(), new_reference()
        resp.content_type = MEDIA_TYPE
        resp.set_header("Cache-Control", "no-store")
        detail = ""
        try:
            if self._gate is not None:
                request = HttpRequest(
                    method=req.method,
                    url=self._public_url + req.root_path + req.path,
                    authorization=req.get_header("Authorization"),
                    dpop=req.get_header("DPoP"),
                )
                caller = self._gate.caller(request)
                detail = f" caller={caller.kind} issuer={caller.issuer}"
            resp.status = 404
            resp.data = outcome("not-supported", "There is no such resource here.", reference)
        except Denied as denial:
            code = DENIALS[denial.rule].code
            assert isinstance(code, Oauth) and self._gate is not None
            resp.status = {Oauth.INVALID_REQUEST: 400, Oauth.INSUFFICIENT_SCOPE: 403}.get(code, 401)
            for challenge in self._gate.challenges:
                resp.append_header("WWW-Authenticate", _challenge(challenge, code))
            issue = "forbidden" if code is Oauth.INSUFFICIENT_SCOPE else "login"
            resp.data = outcome(issue, _SENTENCES[code], reference)
            detail = f" denied={denial.rule} {denial.sentence}"
        except Exception as error:
            busy = is_busy(error)
            resp.status = 503 if busy else 500
            if busy:
                resp.set_header("Retry-After", "1")
                resp.data = outcome("transient", "The node is busy: send the request again.", reference)
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


def _challenge(scheme: str, code: Oauth) -> str:
    """A WWW-Authenticate value; without a token there is no error to tell of (RFC 6750 3)."""
    parts = ['realm="xds"']
    if code is not Oauth.NONE:
        parts.append(f'error="{code}"')
    if scheme == "DPoP":
        parts.append(f'algs="{" ".join(ALGORITHMS)}"')
    return f"{scheme} {', '.join(parts)}"
