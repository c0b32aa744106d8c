"""Everything under /fhir is behind gate 1, on a real node; errors are OperationOutcomes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.nodes import Node
from xds.demo.tickets import TicketService

PATHS = ("/fhir/Nothing", "/fhir/Nothing/", "/fhir/Patient?_id=1", "/fhir/Binary/1/2")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> TicketService:
    """A ticket service that the node of this module trusts."""
    return TicketService(tmp_path_factory.mktemp("tickets"))


@pytest.fixture(scope="module")
def guarded(new_node: Callable[..., Node], service: TicketService) -> Node:
    """A node that wants tickets, known to its clients by another name."""
    return new_node(
        access__ticket="required", trust=service.trust, node__public_url="https://xds.example.org"
    )


def _ask(node: Node, path: str, headers: dict[str, str], method: str = "GET") -> Any:
    return urllib3.request(method, node.url + path, headers=headers, retries=False)


def _headers(service: TicketService, path: str, method: str = "GET", **more: Any) -> dict[str, str]:
    token = service.token(**more)
    url = "https://xds.example.org" + path
    return {"Authorization": f"DPoP {token}", "DPoP": service.proof(method, url, token)}


def _issue(answer: Any) -> dict[str, str]:
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    outcome = json.loads(answer.data)
    assert outcome["resourceType"] == "OperationOutcome"
    (issue,) = outcome["issue"]
    assert issue["severity"] == "error"
    assert re.search(r"\(reference [0-9a-f]{12}\)$", issue["diagnostics"])
    return dict(issue)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_without_a_token_there_is_a_challenge_and_nothing_else(guarded: Node, path: str, method: str) -> None:
    """401; the scheme and its algorithms, and no error, as there was no token (RFC 6750 3)."""
    answer = _ask(guarded, path, {}, method)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == (
        'DPoP realm="xds", algs="RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512"'
    )
    if method != "HEAD":
        assert _issue(answer)["code"] == "login"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("machine", [False, True])
def test_with_a_good_token_there_is_no_such_resource(
    guarded: Node, service: TicketService, path: str, machine: bool
) -> None:
    """The gate lets personnel and machines through, and nothing is there."""
    answer = _ask(guarded, path, _headers(service, path, machine=machine))
    assert answer.status == 404
    assert _issue(answer)["code"] == "not-supported"


def test_a_proof_for_the_nodes_own_address_is_for_another_url(guarded: Node, service: TicketService) -> None:
    """Whatever Host says, the public URL counts."""
    token = service.token()
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": service.proof("GET", f"{guarded.url}/fhir/List", token),
        "Host": "xds.example.org",
    }
    answer = _ask(guarded, "/fhir/List", headers)
    assert answer.status == 401
    assert 'error="invalid_dpop_proof"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("change", "status", "error", "code"),
    [
        ({"Authorization": "Basic dGVzdDp0ZXN0"}, 400, "invalid_request", "login"),
        ({"Authorization": "DPoP not.a.token"}, 401, "invalid_token", "login"),
        ({"DPoP": "not.a.proof"}, 401, "invalid_dpop_proof", "login"),
        ({"DPoP": ""}, 401, "invalid_dpop_proof", "login"),
    ],
)
def test_the_error_says_what_kind_of_thing_was_wrong_and_no_more(
    guarded: Node, service: TicketService, change: dict[str, str], status: int, error: str, code: str
) -> None:
    """RFC 6750 3.1 and RFC 9449 7.1; the reason is in the log under the reference."""
    answer = _ask(guarded, "/fhir/List", _headers(service, "/fhir/List") | change)
    assert answer.status == status
    assert f'error="{error}"' in answer.headers["WWW-Authenticate"]
    issue = _issue(answer)
    assert issue["code"] == code
    reference = issue["diagnostics"][-13:-1]
    (line,) = re.findall(rf"{reference} .* denied (\S+)", guarded.log.read_text())
    assert line in ("token-header", "token-form", "proof-form", "proof-missing")


def test_a_token_without_the_issuers_scope_is_forbidden(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    """403 insufficient_scope, which is about rights and not about who asks."""
    service = TicketService(tmp_path)
    text = service.trust.read_text()
    service.trust.write_text(text.replace('token = "dpop"', 'token = "dpop"\nscopes = ["other:scope"]'))
    node = new_node(
        access__ticket="required", trust=service.trust, node__public_url="https://xds.example.org"
    )
    answer = _ask(node, "/fhir/List", _headers(service, "/fhir/List"))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert _issue(answer)["code"] == "forbidden"
    node.stop()


def test_no_address_beside_the_sink_is_part_of_fhir(guarded: Node) -> None:
    """/fhirx is nobody's, and tells nothing."""
    assert _ask(guarded, "/fhirx", {}).status == 404


@pytest.mark.parametrize(
    "path", ["/%66hir/List", "//fhir/List", "/fhir//List", "/fhir/%2e%2e/metrics", "/FHIR"]
)
def test_another_spelling_of_an_address_is_no_way_round(guarded: Node, path: str) -> None:
    """Refused, or unknown."""
    assert _ask(guarded, path, {}).status in (401, 404)


def test_metrics_tell_of_the_keys(guarded: Node) -> None:
    """When each ends, and how many are good."""
    text = _ask(guarded, "/metrics", {}).data.decode()
    assert re.search(r'^xds_trust_usable_keys\{issuer="urn:xds:demo:helseid"\} 1\.0$', text, re.M)
    assert re.search(r"^xds_trust_not_after_seconds\{.*\} 2\d{9}\.0$", text, re.M)


def test_a_node_without_tickets_has_no_challenge(node: Node) -> None:
    """access.ticket = none: nobody is asked."""
    answer = _ask(node, "/fhir/Nothing", {})
    assert (answer.status, answer.headers.get("WWW-Authenticate")) == (404, None)
