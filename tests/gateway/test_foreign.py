"""Other stacks on both sides: our gateway asks one made with spyne, and zeep asks ours by its WSDL.

Neither shares code with xds. What is expected follows from what the test filed, and from the functions at the
top of peers.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import zeep
from lxml import etree

from tests.blackbox import messages as m
from tests.blackbox.test_zeep import _objects as typed_objects
from tests.blackbox.wire import FAILURE, NS, PARTIAL, SUCCESS, element
from tests.gateway import peers
from tests.gateway.peers import NO_SPYNE, SpyneGateway, content, document_id, entry_id
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    query,
    repository,
    retrieve,
    rules,
    told,
    urn,
)
from tests.nodes import Node
from xds.demo.tickets import TicketService
from xds.security.denials import WSSE

SPYNE = HOMES[0]
DOCUMENTS = 5
VERSIONS = pytest.mark.parametrize("soap", ["Soap12", "Soap11"])
FIND = {"XDSDocumentEntryPatientId": f"'{m.PATIENT}'", "XDSDocumentEntryStatus": f"('{m.APPROVED}')"}


@dataclass(frozen=True)
class World:
    """A node of ours with a document of its own, and a community on spyne that it knows."""

    region: Region
    node: Node
    own: m.Document


@pytest.fixture(scope="module")
def world(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both running; without spyne our node alone."""
    folder = tmp_path_factory.mktemp("foreign")
    region = Region(TicketService(folder / "tickets"), new_node, folder)
    own = m.Document(content=bytes(range(256)) * 41, id=m.new_uuid())
    if NO_SPYNE:
        node = region.gateway("")
        region.file(node, own)
        yield World(region, node, own)
        return
    with SpyneGateway(SPYNE, documents=DOCUMENTS) as spyne:
        # What stands between us and spyne is a slow machine: time is no matter here.
        node = region.gateway(community(SPYNE, spyne.url, query_seconds=60))
        region.file(node, own)
        yield World(region, node, own)


# -- Our gateway asks spyne


needs_spyne = pytest.mark.skipif(bool(NO_SPYNE), reason=NO_SPYNE)


@needs_spyne
def test_what_spyne_lists_is_passed_on(world: World) -> None:
    """After our own; entries with every slot and code, as they came, and references."""
    found = [(urn(HOME), world.own.unique_id)] + [
        (urn(SPYNE), document_id(SPYNE, number)) for number in range(1, DOCUMENTS + 1)
    ]
    reply = world.region.ask(world.node, INITIATING, "ITI-18", m.find_documents())
    assert (reply.outcome, rules(reply), entries(reply)) == (SUCCESS, [], found)
    for number, each in enumerate(reply.content().findall(".//rim:ExtrinsicObject", NS)[1:], 1):
        expected = peers.entry(SPYNE, number)
        slots = {
            slot.get("name"): tuple(value.text for value in slot.iterfind(".//rim:Value", NS))
            for slot in each.iterfind("rim:Slot", NS)
        }
        assert (each.get("id"), slots) == (expected.id, expected.slots)
        assert each.find("rim:Name/rim:LocalizedString", NS).get("value") == expected.title
        codes = {
            of.get("classificationScheme"): of.get("nodeRepresentation")
            for of in each.iterfind("rim:Classification", NS)
        }
        assert codes == {of.scheme: of.code for of in peers.CODES} | {peers.AUTHOR_SCHEME: ""}
    reply = world.region.ask(world.node, INITIATING, "ITI-18", m.find_documents(return_type="ObjectRef"))
    references = [(each.get("home"), each.get("id")) for each in reply.content().iter("{*}ObjectRef")]
    assert references[1:] == [(urn(SPYNE), entry_id(SPYNE, number)) for number in range(1, DOCUMENTS + 1)]


@needs_spyne
def test_spyne_is_asked_by_ids(world: World) -> None:
    """GetDocuments with its home goes there; what it does not have it says in its own words."""
    body = query(m.get_documents(document_id(SPYNE, 4), document_id(SPYNE, 2)), urn(SPYNE))
    reply = world.region.ask(world.node, INITIATING, "ITI-18", body)
    assert (reply.outcome, rules(reply)) == (SUCCESS, [])
    assert entries(reply) == [(urn(SPYNE), document_id(SPYNE, number)) for number in (2, 4)]
    unknown = query(
        m.query("urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4", {"$XDSFolderUniqueId": "('1.2')"}),
        urn(SPYNE),
    )
    reply = world.region.ask(world.node, INITIATING, "ITI-18", unknown)
    assert (reply.outcome, rules(reply)) == (FAILURE, [("XDSUnknownStoredQuery", urn(SPYNE), "")])


@needs_spyne
@pytest.mark.parametrize("mtom", [False, True])
def test_documents_of_spyne_come_byte_for_byte(mtom: bool, world: World) -> None:
    """Together with our own, in the order asked; one that is not there is told beside them."""
    numbers = range(DOCUMENTS, 0, -1)
    asked = [(urn(SPYNE), document_id(SPYNE, number)) for number in numbers] + [
        (urn(HOME), world.own.unique_id)
    ]
    reply = world.region.ask(world.node, INITIATING, "ITI-43", retrieve(*asked), mtom=mtom)
    assert (reply.outcome, rules(reply), reply.mtom) == (SUCCESS, [], mtom)
    expected = {document_id(SPYNE, number): content(SPYNE, number) for number in numbers}
    assert list(reply.documents().items()) == [*expected.items(), (world.own.unique_id, world.own.content)]
    missing = (urn(SPYNE), document_id(SPYNE, DOCUMENTS + 1))
    reply = world.region.ask(world.node, INITIATING, "ITI-43", retrieve(missing, asked[0]), mtom=mtom)
    assert reply.outcome == PARTIAL
    assert list(reply.documents()) == [asked[0][1]]
    assert [(each.code, each.location) for each in told(reply)] == [("XDSDocumentUniqueIdError", urn(SPYNE))]


# -- zeep asks us


def _service(node: Node, path: str, name: str, soap: str) -> tuple[zeep.Client, Any]:
    """A client of the WSDL over HTTP, and its proxy for one binding."""
    client = zeep.Client(f"{node.url}{path}?wsdl")
    service = client.bind(f"{name}_Service", f"{name}_Port_{soap}")
    assert service._binding_options["address"] == node.url + path, "the WSDL holds its own address"
    return client, service


def _security(world: World) -> etree._Element:
    """The header block with a ticket; zeep writes it as it is."""
    return element(f'<w:Security xmlns:w="{WSSE}">{world.region.ticket()}</w:Security>'.encode())


def _ask(
    operation: Any,
    query_id: str,
    home: str = "",
    returns: str = "LeafClass",
    *,
    soapheaders: Any,
    **parameters: str,
) -> Any:
    asked: dict[str, Any] = {
        "id": query_id,
        "Slot": [{"name": f"${name}", "ValueList": {"Value": [value]}} for name, value in parameters.items()],
    }
    if home:
        asked["home"] = home
    return operation(
        ResponseOption={"returnType": returns, "returnComposedObjects": True},
        AdhocQuery=asked,
        _soapheaders=soapheaders,
    )


def _found(answer: Any) -> list[tuple[str, str, str]]:
    """Of each object what it is, its home and its id."""
    listed = (answer.RegistryObjectList._value_1 if answer.RegistryObjectList else None) or []
    return [(name, each[name].home, each[name].id) for each in listed for name in each]


def _request(home: str, unique_id: str) -> dict[str, str]:
    return {
        "HomeCommunityId": home,
        "RepositoryUniqueId": repository(home.removeprefix("urn:oid:")),
        "DocumentUniqueId": unique_id,
    }


@VERSIONS
def test_zeep_asks_our_responding_gateway(soap: str, world: World) -> None:
    """FindDocuments, GetDocuments with home, and the document; with a ticket in the header."""
    _, service = _service(world.node, RESPONDING, "RespondingGateway", soap)
    ask, own = service.RespondingGateway_CrossGatewayQuery, world.own
    security = [_security(world)]
    for returns, kind in (("LeafClass", "ExtrinsicObject"), ("ObjectRef", "ObjectRef")):
        answer = _ask(ask, m.FIND_DOCUMENTS, "", returns, soapheaders=security, **FIND)
        assert answer.status == SUCCESS
        assert (kind, urn(HOME), own.id) in _found(answer)
        answer = _ask(
            ask,
            m.GET_DOCUMENTS,
            urn(HOME),
            returns,
            soapheaders=security,
            XDSDocumentEntryUniqueId=f"('{own.unique_id}')",
        )
        assert (answer.status, _found(answer)) == (SUCCESS, [(kind, urn(HOME), own.id)])
    (entry,) = (
        each["ExtrinsicObject"]
        for each in _ask(
            ask,
            m.GET_DOCUMENTS,
            urn(HOME),
            soapheaders=security,
            XDSDocumentEntryUniqueId=f"('{own.unique_id}')",
        ).RegistryObjectList._value_1
    )
    slots = {slot.name: list(slot.ValueList.Value) for slot in entry.Slot}
    assert (slots["hash"], slots["size"]) == ([own.sha1], [str(len(own.content))])
    assert slots["repositoryUniqueId"] == [repository(HOME)]
    got = service.RespondingGateway_CrossGatewayRetrieve(
        DocumentRequest=[_request(urn(HOME), own.unique_id)], _soapheaders=security
    )
    assert got.RegistryResponse.status == SUCCESS
    ((home, data),) = ((each.HomeCommunityId, each.Document) for each in got.DocumentResponse)
    assert (home, hashlib.sha1(data, usedforsecurity=False).hexdigest()) == (urn(HOME), own.sha1)


@VERSIONS
def test_zeep_hears_what_our_responding_gateway_refuses(soap: str, world: World) -> None:
    """As data: a query by ids without home; a stranger's document; and as a fault: no ticket."""
    _, service = _service(world.node, RESPONDING, "RespondingGateway", soap)
    ask = service.RespondingGateway_CrossGatewayQuery
    by_id = {"XDSDocumentEntryUniqueId": f"('{world.own.unique_id}')"}
    for home, code in (("", "XDSMissingHomeCommunityId"), (urn(SPYNE), "XDSUnknownCommunity")):
        answer = _ask(ask, m.GET_DOCUMENTS, home, soapheaders=[_security(world)], **by_id)
        assert answer.status == FAILURE
        errors = [(each.errorCode, each.location) for each in answer.RegistryErrorList.RegistryError]
        assert errors == [(code, urn(HOME))]
    got = service.RespondingGateway_CrossGatewayRetrieve(
        DocumentRequest=[_request(urn(SPYNE), "1.2.3"), _request(urn(HOME), world.own.unique_id)],
        _soapheaders=[_security(world)],
    )
    assert got.RegistryResponse.status == PARTIAL
    assert [each.Document for each in got.DocumentResponse] == [world.own.content]
    errors = got.RegistryResponse.RegistryErrorList.RegistryError
    assert [(each.errorCode, each.location) for each in errors] == [("XDSUnknownCommunity", urn(HOME))]
    with pytest.raises(zeep.exceptions.Fault, match=r"reference [0-9a-f]{12}"):
        _ask(ask, m.FIND_DOCUMENTS, soapheaders=[], **FIND)


@VERSIONS
def test_zeep_asks_our_initiating_gateway(soap: str, world: World) -> None:
    """Query and retrieval, over our gateway and spyne's where there is one."""
    _, service = _service(world.node, INITIATING, "InitiatingGateway", soap)
    ask, own = service.DocumentRegistry_RegistryStoredQuery, world.own
    security = [_security(world)]
    theirs = [] if NO_SPYNE else range(1, DOCUMENTS + 1)
    answer = _ask(ask, m.FIND_DOCUMENTS, soapheaders=security, **FIND)
    assert answer.status == SUCCESS
    assert _found(answer) == [("ExtrinsicObject", urn(HOME), own.id)] + [
        ("ExtrinsicObject", urn(SPYNE), entry_id(SPYNE, number)) for number in theirs
    ]
    answer = _ask(
        ask, m.GET_DOCUMENTS, urn(HOME), soapheaders=security, XDSDocumentEntryUniqueId=f"('{own.unique_id}')"
    )
    assert _found(answer) == [("ExtrinsicObject", urn(HOME), own.id)]
    got = service.DocumentRepository_RetrieveDocumentSet(
        DocumentRequest=[
            _request(urn(HOME), own.unique_id),
            *(_request(urn(SPYNE), document_id(SPYNE, number)) for number in theirs),
        ],
        _soapheaders=security,
    )
    assert got.RegistryResponse.status == SUCCESS
    assert [(each.HomeCommunityId, each.Document) for each in got.DocumentResponse] == [
        (urn(HOME), own.content),
        *((urn(SPYNE), content(SPYNE, number)) for number in theirs),
    ]
    answer = _ask(ask, m.GET_DOCUMENTS, soapheaders=security, XDSDocumentEntryUniqueId=f"('{own.unique_id}')")
    errors = [each.errorCode for each in answer.RegistryErrorList.RegistryError]
    assert (answer.status, errors) == (FAILURE, ["XDSMissingHomeCommunityId"])


@VERSIONS
def test_zeep_provides_to_our_responding_gateway(soap: str, world: World) -> None:
    """ITI-80 with the header block that the WSDL declares, and the ticket beside it."""
    client, service = _service(world.node, RESPONDING, "RespondingGateway", soap)
    block = client.get_element("{urn:ihe:iti:xdr:2014}homeCommunityBlock")
    for home, status in ((urn(HOME), SUCCESS), (urn(SPYNE), FAILURE)):
        document = m.Document(content=f"by zeep, {soap}, {home}".encode(), id=m.new_uuid())
        answer = service.RespondingGateway_CrossGatewayDocumentProvide(
            SubmitObjectsRequest={
                "RegistryObjectList": {"_value_1": typed_objects(client, document, m.new_oid())}
            },
            Document=[{"_value_1": document.content, "id": document.id}],
            _soapheaders=[block(homeCommunityId=home), _security(world)],
        )
        assert answer.status == status
        errors = answer.RegistryErrorList.RegistryError if answer.RegistryErrorList else []
        told_of = [(each.errorCode, each.location) for each in errors]
        assert told_of == ([] if status == SUCCESS else [("XDSUnknownCommunity", urn(HOME))])
        reply = world.region.ask(world.node, INITIATING, "ITI-43", retrieve((urn(HOME), document.unique_id)))
        assert list(reply.documents().values()) == ([document.content] if status == SUCCESS else [])
