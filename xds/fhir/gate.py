"""Gate 1 of what is asked over HTTP with a token: the request as the gate sees it, and how it says no.

routes.py and privacy.py ask it, each of whom writes its own form of answer. Nothing here says which part of a
token was wrong: the sender learns the standard's code and its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import falcon

from xds.errors import Denied
from xds.security.denials import DENIALS, TOKEN_MEANINGS, Oauth
from xds.security.gate import FhirGate, HttpRequest
from xds.security.jws import ALGORITHMS

#: What a path may hold as it is (RFC 3986, 3.3): it comes decoded, and a ? in it is no query's.
URL_PATH: Final = "/:@!$&'()*+,;="
_STATUSES: Final = {Oauth.INVALID_REQUEST: 400, Oauth.INSUFFICIENT_SCOPE: 403}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP status, the code, what it means in words, and the values of WWW-Authenticate."""

    status: int
    code: Oauth
    meaning: str
    challenges: Sequence[str]


def http_request(req: falcon.Request, public_url: str) -> HttpRequest:
    """What a token and its proof are about; `public_url` is the node's, and never what a Host header says."""
    return HttpRequest(
        method=req.method,
        url=public_url + quote(req.root_path + req.path, safe=URL_PATH),
        authorization=req.get_header("Authorization"),
        dpop=req.get_header("DPoP"),
    )


def refusal(denial: Denied, gate: FhirGate) -> Refusal:
    """How a denial is answered."""
    found = DENIALS[denial.rule].code
    # An assertion is a token here, whatever SOAP would say of it.
    code = found if isinstance(found, Oauth) else Oauth.INVALID_TOKEN
    challenges = [challenge(scheme, code) for scheme in gate.challenges]
    return Refusal(_STATUSES.get(code, 401), code, TOKEN_MEANINGS[code], challenges)


def challenge(scheme: str, code: Oauth) -> str:
    """A WWW-Authenticate value; without a token there is no error to tell of (RFC 6750 3)."""
    parts = ['realm="xds"']
    if code is not Oauth.NONE:
        parts.append(f'error="{code}"')
    if scheme == "DPoP":
        parts.append(f'algs="{" ".join(ALGORITHMS)}"')
    return f"{scheme} {', '.join(parts)}"
