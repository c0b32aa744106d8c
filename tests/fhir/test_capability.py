"""The CapabilityStatement promises what the node does, and the node does nothing else, on a real node.

Everything that the statement names is asked for, and everything that R4 could have besides; the tables behind
it are compared both ways. What R4 asks of a CapabilityStatement is written out here from its definition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree

from tests.access import over_fhir as f
from tests.access.over_fhir import Call, Client, Who
from tests.blackbox import messages as m
from tests.nodes import Node
from xds.audit import search as audit_search
from xds.demo.tickets import TicketService
from xds.fhir.capability import OPERATIONS, endpoints, statement
from xds.fhir.document_references import PARAMETERS as OF_DOCUMENTS
from xds.fhir.interaction import Interaction
from xds.fhir.lists import PARAMETERS as OF_LISTS
from xds.fhir.r4.xml import from_xml
from xds.fhir.resources import INTERACTIONS, SYSTEM, TYPES
from xds.fhir.smart import configuration, is_of

FHIR = "{http://hl7.org/fhir}"
OWN = "6e6f2f5a-0000-4000-8000-00000000000a"
#: R4's interactions with a type (value set type-restful-interaction): how each is asked for.
OF_TYPE = {
    "read": ("GET", "/{type}/{id}"),
    "vread": ("GET", "/{type}/{id}/_history/1"),
    "update": ("PUT", "/{type}/{id}"),
    "patch": ("PATCH", "/{type}/{id}"),
    "delete": ("DELETE", "/{type}/{id}"),
    "history-instance": ("GET", "/{type}/{id}/_history"),
    "history-type": ("GET", "/{type}/_history"),
    "create": ("POST", "/{type}"),
    "search-type": ("GET", "/{type}?{asked}"),
}
#: And with the whole system (value set system-restful-interaction).
OF_SYSTEM = {
    "transaction": ("POST", "/"),
    "batch": ("POST", "/"),
    "search-system": ("GET", "/?_type=DocumentReference"),
    "history-system": ("GET", "/_history"),
}
#: Types of R4 that are none of the node's, some that its resources refer to among them.
OTHERS = (
    "Patient",
    "Practitioner",
    "Organization",
    "DocumentManifest",
    "Subscription",
    "Parameters",
    "Basic",
)
ASKED = {
    "AuditEvent": "date=ge2020",
    "List": f"_id={OWN}",
    "DocumentReference": f"_id={OWN}",
}


@pytest.fixture(scope="module")
def client(node: Node) -> Client:
    """A node that asks nobody for a ticket."""
    return Client(node, TicketService.__new__(TicketService))


@pytest.fixture(scope="module")
def told(client: Client) -> dict[str, Any]:
    """The statement as it is answered."""
    reply = client.ask(Who(), f.get("/metadata"))
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/fhir+json; charset=utf-8")
    return dict(json.loads(reply.body))


def _does(client: Client, method: str, path: str) -> bool:
    """Whether there is such a thing: what is asked may be refused, but not as what there is not."""
    body = b"" if method in ("GET", "DELETE") else b"{}"
    reply = client.ask(Who(), Call(f"{method} ", path, body, f.FHIR_JSON))
    assert reply.status != 500, path
    if reply.status == 405:
        return False
    if path.endswith("_history"):  # what cannot be an id of anything
        return reply.status != 404
    return reply.status != 404 or f.issues(reply)[0]["code"] != "not-supported"


@pytest.mark.parametrize("name", [each.name for each in TYPES])
@pytest.mark.parametrize("code", OF_TYPE)
def test_each_interaction_is_done_or_not_promised(
    name: str, code: str, client: Client, told: dict[str, Any]
) -> None:
    """Every interaction of R4 with every type of the node."""
    (resource,) = [each for each in told["rest"][0]["resource"] if each["type"] == name]
    promised = code in [each["code"] for each in resource.get("interaction", ())]
    method, path = OF_TYPE[code]
    path = path.format(type=name, id=OWN, asked=ASKED.get(name, f"_id={OWN}"))
    assert _does(client, method, path) is promised


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("code", OF_TYPE)
def test_there_are_no_other_types(name: str, code: str, client: Client, told: dict[str, Any]) -> None:
    """A type that is not named has nothing."""
    assert name not in [each["type"] for each in told["rest"][0]["resource"]]
    method, path = OF_TYPE[code]
    assert not _does(client, method, path.format(type=name, id=OWN, asked=f"_id={OWN}"))


@pytest.mark.parametrize("code", OF_SYSTEM)
def test_each_interaction_with_the_system(code: str, client: Client, told: dict[str, Any]) -> None:
    """A transaction is taken; a batch comes to the same address, and is refused by what it says."""
    method, path = OF_SYSTEM[code]
    promised = code in [each["code"] for each in told["rest"][0].get("interaction", ())]
    if code == "batch":
        resource = {"resourceType": "Bundle", "type": "batch"}
        reply = client.ask(Who(), f.post("/", resource, ""))
        assert (reply.status, f.rules(reply), promised) == (400, {"mhd-bundle"}, False)
    else:
        assert _does(client, method, path) is promised


def _operations(told: dict[str, Any]) -> set[tuple[str, str]]:
    rest = told["rest"][0]
    of_types = {
        (each["type"], operation["name"])
        for each in rest["resource"]
        for operation in each.get("operation", ())
    }
    return of_types | {("", each["name"]) for each in rest.get("operation", ())}


@pytest.mark.parametrize("name", ["", *(each.name for each in TYPES), "Patient"])
@pytest.mark.parametrize("operation", [*OPERATIONS, "$everything", "$meta", "$docref", "$expunge"])
def test_each_operation_is_done_or_not_promised(
    name: str, operation: str, client: Client, told: dict[str, Any]
) -> None:
    """By POST; by GET there is none."""
    promised = (name, operation.removeprefix("$")) in _operations(told)
    path = f"/{name}/{operation}" if name else f"/{operation}"
    assert _does(client, "POST", path) is promised
    assert not _does(client, "PUT", path)


def _searches() -> Iterator[tuple[str, str, str]]:
    values = {"date": "ge2020", "uri": "x", "token": "x", "string": "x", "reference": "x"}
    for each in TYPES:
        for parameter in each.parameters:
            value = values[parameter.type]
            value = {"status": "current", "code": "folder", "_id": OWN, "outcome": "0"}.get(
                parameter.name, value
            )
            if parameter.name.startswith("patient"):
                value = f"{f.NATIONAL}|{m.NUMBER}"
            yield each.name, parameter.name, value


@pytest.mark.parametrize(("name", "parameter", "value"), list(_searches()))
def test_each_parameter_is_known(name: str, parameter: str, value: str, client: Client) -> None:
    """With `handling=strict`, where a parameter that is not known is an error; and in the self link."""
    asked = ASKED[name] if not ASKED[name].startswith(parameter) else ""
    path = f"/{name}?{asked}&{parameter}={quote(value)}"
    reply = client.ask(Who(), f.get(path).with_headers(Prefer="handling=strict"))
    if reply.status == 400:  # it is known, and the value is not one of its
        assert parameter in reply.body.decode()
        assert f.issues(reply)[0]["code"] in ("value", "invalid", "required", "not-supported")
        assert "Not known here" not in reply.body.decode()
        return
    bundle = json.loads(reply.body)
    (link,) = [each["url"] for each in bundle["link"] if each["relation"] == "self"]
    assert re.search(rf"[?&]{re.escape(parameter)}=", link)


@pytest.mark.parametrize("name", ["DocumentReference", "List", "AuditEvent"])
@pytest.mark.parametrize("parameter", ["subject-name", "_text", "_has:x", "_filter", "encounter", "_query"])
def test_what_is_not_promised_is_no_parameter(name: str, parameter: str, client: Client) -> None:
    """With `handling=strict` it is an error; else it is left out, and not in the self link."""
    path = f"/{name}?{ASKED[name]}&{parameter}=x"
    assert client.ask(Who(), f.get(path).with_headers(Prefer="handling=strict")).status == 400
    lenient = client.ask(Who(), f.get(path))
    assert lenient.status == 200
    (link,) = [each["url"] for each in json.loads(lenient.body)["link"] if each["relation"] == "self"]
    assert parameter not in link


# ---- the tables


def test_the_statement_is_made_of_the_tables() -> None:
    """What app.py can reach is what the statement names, type by type; and the other way round."""
    told = statement("https://xds.example.org/fhir")["rest"][0]
    named = {
        (each["type"], code["code"]) for each in told["resource"] for code in each.get("interaction", ())
    }
    named |= {("", each["code"]) for each in told.get("interaction", ())}
    named |= {(kind, f"${name}") for kind, name in _operations({"rest": [told]})}
    assert named == {(each.kind, each.code) for each in INTERACTIONS}
    assert len(INTERACTIONS) == len(SYSTEM) + sum(len(each.interactions) for each in TYPES)
    assert all(each.kind == type_.name for type_ in TYPES for each in type_.interactions)
    parameters = {
        each["type"]: [one["name"] for one in each.get("searchParam", ())] for each in told["resource"]
    }
    assert set(parameters["DocumentReference"]) == set(OF_DOCUMENTS)
    assert set(parameters["List"]) == set(OF_LISTS)
    assert {"date", "_id", *audit_search.TOKENS, *audit_search.REFERENCES} <= set(parameters["AuditEvent"])
    assert all(len(set(each)) == len(each) for each in parameters.values())


def test_no_two_interactions_are_of_one_request() -> None:
    """Method and address name one of them."""
    found = endpoints(INTERACTIONS)
    assert len(set(found)) == len(found)

    def of(each: Interaction) -> str:
        return f"{each.method} /fhir{'/' if each.path else ''}{each.path}"

    assert found == [of(each) for each in INTERACTIONS]


# ---- R4

#: Elements of a CapabilityStatement by parent: name -> (at least, at most), R4.
R4: dict[str, dict[str, tuple[int, float]]] = {
    "": {
        "resourceType": (1, 1),
        "status": (1, 1),
        "date": (1, 1),
        "kind": (1, 1),
        "instantiates": (0, 99),
        "software": (0, 1),
        "implementation": (0, 1),
        "fhirVersion": (1, 1),
        "format": (1, 99),
        "patchFormat": (0, 99),
        "implementationGuide": (0, 99),
        "rest": (0, 99),
    },
    "software": {"name": (1, 1), "version": (0, 1)},
    "implementation": {"description": (1, 1), "url": (0, 1)},
    "rest": {
        "mode": (1, 1),
        "documentation": (0, 1),
        "security": (0, 1),
        "resource": (0, 99),
        "interaction": (0, 99),
        "operation": (0, 99),
    },
    "security": {"cors": (0, 1), "service": (0, 9), "description": (0, 1)},
    "service": {"coding": (0, 9), "text": (0, 1)},
    "coding": {"system": (0, 1), "code": (0, 1), "display": (0, 1)},
    "resource": {
        "type": (1, 1),
        "profile": (0, 1),
        "supportedProfile": (0, 99),
        "documentation": (0, 1),
        "interaction": (0, 99),
        "versioning": (0, 1),
        "searchParam": (0, 99),
        "operation": (0, 99),
    },
    "interaction": {"code": (1, 1), "documentation": (0, 1)},
    "searchParam": {"name": (1, 1), "definition": (0, 1), "type": (1, 1), "documentation": (0, 1)},
    "operation": {"name": (1, 1), "definition": (1, 1), "documentation": (0, 1)},
}
CODES = {
    "status": {"active"},
    "kind": {"instance"},
    "fhirVersion": {"4.0.1"},
    "mode": {"server"},
    "versioning": {"no-version", "versioned", "versioned-update"},
    "searchParam.type": {"number", "date", "string", "token", "reference", "composite", "quantity", "uri"},
}


def _wrong(part: Any, name: str = "") -> Iterator[str]:
    for element, (least, most) in R4[name].items():
        found = part.get(element, [])
        count = len(found) if isinstance(found, list) else 1
        if not least <= count <= most or (found == [] and element in part):
            yield f"{name}.{element}: {count}"
    for element, value in part.items():
        if element not in R4[name]:
            yield f"{name}.{element} is none"
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _wrong(each, element)
            elif not isinstance(each, str) or not each.strip():
                yield f"{name}.{element} is no text"
            codes = CODES.get(f"{name}.{element}", CODES.get(element))
            if codes and not isinstance(each, dict) and each not in codes:
                yield f"{name}.{element}: {each}"


def test_the_statement_is_r4(told: dict[str, Any]) -> None:
    """Each element is one of R4's, as often as it may be; with the codes and canonicals that it wants."""
    assert list(_wrong(told)) == []
    assert told["resourceType"] == "CapabilityStatement"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["date"])
    assert told["format"] == ["application/fhir+json", "application/fhir+xml"]
    assert told["implementation"]["url"].endswith("/fhir")
    rest = told["rest"][0]
    canonicals = [*told["instantiates"]]
    for each in rest["resource"]:
        canonicals += each.get("supportedProfile", ())
        canonicals += [one["definition"] for one in each.get("operation", ())]
        canonicals += [one["definition"] for one in each.get("searchParam", ()) if "definition" in one]
    assert all(re.fullmatch(r"https?://[\w./-]+", each) for each in canonicals)
    # cpb-9: a type once; cpb-12: a parameter's name once.
    assert len({each["type"] for each in rest["resource"]}) == len(rest["resource"])
    assert rest["security"]["service"][0]["coding"][0]["code"] == "OAuth"


@pytest.mark.parametrize("how", ["?_format=xml", "?_format=application/fhir%2Bxml", "Accept"])
def test_the_statement_in_xml(how: str, client: Client, told: dict[str, Any]) -> None:
    """The same, element by element in R4's order."""
    call = f.get("/metadata" + ("" if how == "Accept" else how))
    if how == "Accept":
        call = call.with_headers(Accept="application/fhir+xml")
    reply = client.ask(Who(), call)
    assert reply.headers["Content-Type"] == "application/fhir+xml; charset=utf-8"
    root = etree.fromstring(reply.body)
    assert root.tag == f"{FHIR}CapabilityStatement"
    _check_order(root)
    assert from_xml(reply.body) == told


def _check_order(element: etree._Element, name: str = "") -> None:
    names = [etree.QName(each).localname for each in element]
    known = [each for each in R4.get(name, ()) if each != "resourceType"]
    assert names == sorted(names, key=known.index), name
    for each in element:
        if len(each):
            _check_order(each, etree.QName(each).localname)


def test_the_statement_cannot_be_had_otherwise(client: Client) -> None:
    """Another form is 406, with HEAD there is no body, and whatever else is done to it is not done."""
    assert client.ask(Who(), f.get("/metadata?_format=ttl")).status == 406
    head = client.ask(Who(), Call("HEAD ", "/metadata"))
    assert (head.status, head.body) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert not _does(client, method, "/metadata")


# ---- where tokens come from

WELL_KNOWN = "/.well-known/smart-configuration"


def test_a_client_learns_where_tokens_come_from(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """Without a ticket: the issuer, what it takes of clients, the scopes by which anybody may do anything,
    and that a proof is wanted; nothing of where the node keeps keys.
    """
    service = TicketService(tmp_path)
    text = service.trust.read_text()
    service.trust.write_text(text.replace('token = "dpop"', 'token = "dpop"\nscopes = ["own:scope"]'))
    node = new_node(
        access__ticket="required", trust=service.trust, node__public_url="https://xds.example.org"
    )
    client = Client(node, service)
    reply = client.ask(Who(), f.get(WELL_KNOWN))
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(reply.body) == {
        "resource": "https://xds.example.org/fhir",
        "issuer": "urn:xds:demo:helseid",
        "authorization_servers": ["urn:xds:demo:helseid"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": [
            "nhn:phr-repo/delete-docs-and-refs",
            "nhn:phr-repo/mhd/create",
            "own:scope",
            "xds:audit/read-all",
            "xds:privacy/replicate",
        ],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": [
            f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)
        ],
        "dpop_bound_access_tokens_required": True,
        "capabilities": ["client-confidential-asymmetric"],
    }
    assert str(tmp_path).encode() not in reply.body
    head = client.ask(Who(), Call("HEAD ", WELL_KNOWN))
    assert (head.status, head.body) == (200, b"")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.ask(Who(), Call(f"{method} ", WELL_KNOWN)).status == 401
    for path in (f"{WELL_KNOWN}/", f"{WELL_KNOWN}/x", "/.well-known", f"/x{WELL_KNOWN}", f"/{WELL_KNOWN}"):
        assert client.ask(Who(), f.get(path)).status == 401
    node.stop()


def test_a_node_that_asks_for_no_token_names_no_issuer(client: Client) -> None:
    """access.ticket = none."""
    found = json.loads(client.ask(Who(), f.get(WELL_KNOWN)).body)
    assert found == {"resource": f"{client.node.url}/fhir", "capabilities": []}


ISSUER = "https://helseid-sts.nhn.no"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"{ISSUER}/.well-known/openid-configuration/jwks", True),
        ("https://mirror.internal.example.org/jwks", False),
        ("https://helseid-sts.nhn.no.example.org/jwks", False),
        ("https://helseid-sts.nhn.no@example.org/jwks", False),
        ("http://helseid-sts.nhn.no/jwks", False),
        ("https://helseid-sts.nhn.no:8443/jwks", False),
        ("", False),
    ],
)
def test_only_an_issuers_own_address_is_told(address: str, told: bool) -> None:
    """A mirror inside is the operator's."""
    assert is_of(ISSUER, address) is told
    assert configuration("x", (), {ISSUER: address}, ()) == {"resource": "x", "capabilities": []}
