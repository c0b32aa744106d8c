"""Everything under /fhir: gate 1 first, then the resource that was asked for.

app.py mounts it as one sink, so that no address below /fhir can be reached beside the gate. There is no
resource yet: a request with a good token is told so.
"""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote

import falcon

from xds.errors import Denied
from xds.fhir.outcomes import MEDIA_TYPE, outcome
from xds.security.denials import DENIALS, TOKEN_MEANINGS, Oauth
from xds.security.gate import FhirGate, HttpRequest
from xds.security.jws import ALGORITHMS
from xds.store.trouble import is_busy
from xds.transport.endpoint import trace
from xds.transport.message import new_reference

log = logging.getLogger("xds")

#: What a path may hold as it is (RFC 3986, 3.3): it comes decoded, and a ? in it is no query's.
URL_PATH: Final = "/:@!$&'()*+,;="


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
                    url=self._public_url + quote(req.root_path + req.path, safe=URL_PATH),
                    authorization=req.get_header("Authorization"),
                    dpop=req.get_header("DPoP"),
                )
                caller = self._gate.caller(request)
                detail = f" kind={caller.kind} issuer={caller.issuer}"
            resp.status = 404
            resp.data = outcome("not-supported", "There is no such resource here.", reference)
        except Denied as denial:
            code = DENIALS[denial.rule].code
            assert isinstance(code, Oauth)
            assert self._gate is not None
            resp.status = {Oauth.INVALID_REQUEST: 400, Oauth.INSUFFICIENT_SCOPE: 403}.get(code, 401)
            for scheme in self._gate.challenges:
                resp.append_header("WWW-Authenticate", challenge(scheme, code))
            issue = "forbidden" if code is Oauth.INSUFFICIENT_SCOPE else "login"
            resp.data = outcome(issue, TOKEN_MEANINGS[code], reference)
            detail = f" denied {denial.rule} {denial.sentence}"
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


def challenge(scheme: str, code: Oauth) -> str:
    """A WWW-Authenticate value; without a token there is no error to tell of (RFC 6750 3)."""
    parts = ['realm="xds"']
    if code is not Oauth.NONE:
        parts.append(f'error="{code}"')
    if scheme == "DPoP":
        parts.append(f'algs="{" ".join(ALGORITHMS)}"')
    return f"{scheme} {', '.join(parts)}"
