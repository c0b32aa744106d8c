"""Where a client gets its tokens, and what they must be: [base]/.well-known/smart-configuration.

routes.py answers it to everybody, as it does `metadata`. It tells what the trust file and the access policy
say of tokens (SMART App Launch 2, RFC 9728, ITI-103), and no address but an issuer's own: where an operator
keeps or mirrors keys is nobody's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from xds.security.jws import ALGORITHMS
from xds.security.trust import Issuer

#: What HelseID, the one kind of issuer of tokens, takes of clients (norwegian-profile 4.10).
_OF_HELSEID: Final[Mapping[str, Any]] = {
    "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
    "response_types_supported": ["code"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    "code_challenge_methods_supported": ["S256"],
}


def configuration(
    base: str, issuers: Iterable[Issuer], keys: Mapping[str, str], scopes: Iterable[str]
) -> dict[str, Any]:
    """The document of a node at this [base].

    `keys` are addresses of the issuers' keys as the trust file has them, by name; `scopes` those that the
    access policy names.
    """
    trusted = sorted((each for each in issuers if each.kind.is_token), key=lambda each: each.name)
    found: dict[str, Any] = {"resource": base}
    if not trusted:
        return found | {"capabilities": []}
    found["authorization_servers"] = [each.name for each in trusted]
    if len(trusted) == 1:
        (own,) = trusted
        found["issuer"] = own.name
        if is_of(own.name, address := keys.get(own.name, "")):
            found["jwks_uri"] = address
    found |= _OF_HELSEID
    found["scopes_supported"] = sorted({*scopes, *(scope for each in trusted for scope in each.scopes)})
    found["bearer_methods_supported"] = ["header"]
    if any(each.dpop for each in trusted):
        found["dpop_signing_alg_values_supported"] = list(ALGORITHMS)
        found["dpop_bound_access_tokens_required"] = all(each.dpop for each in trusted)
    found["capabilities"] = ["client-confidential-asymmetric"]
    return found


def is_of(issuer: str, address: str) -> bool:
    """Whether an address is an issuer's own: of its scheme and host, so that everybody may know it."""
    own, other = urlsplit(issuer), urlsplit(address)
    return other.scheme == "https" and (own.scheme, own.netloc) == (other.scheme, other.netloc)
