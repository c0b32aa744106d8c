"""zeep, an independent SOAP client, with nothing but the WSDL that the node serves."""

from __future__ import annotations

from typing import Any

import pytest
import zeep

from tests.blackbox import messages as m
from tests.blackbox.messages import Document
from tests.blackbox.wire import LCM, QUERY, RIM, SUCCESS, XDS, element
from tests.nodes import Node

VERSIONS = pytest.mark.parametrize("soap", ["Soap12", "Soap11"])


def _service(node: Node, which: str, soap: str) -> tuple[zeep.Client, Any]:
    """A client of the WSDL over HTTP, and its proxy for one binding.

    zeep adds the WS-Addressing headers by itself, as the WSDL's wsam:Action asks; its plugin would add them
    twice.
    """
    path = m.REGISTRY if which == "Registry" else m.REPOSITORY
    client = zeep.Client(f"{node.url}{path}?wsdl")
    service = client.bind(f"Document{which}_Service", f"Document{which}_Port_{soap}")
    assert service._binding_options["address"] == node.url + path, "the WSDL holds its own address"
    return client, service


def _typed(xml: str) -> Any:
    """An element as zeep's dicts, so that zeep and not this test writes the XML that is sent."""
    return element(xml.encode())


def _slot(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "ValueList": {"Value": list(values)}}


def _objects(client: zeep.Client, document: Document, unique_id: str) -> Any:
    """The typed RegistryObjectList of a submission: every element of `messages.object_list`, through zeep's
    types."""
    tree = _typed(m.register([document], unique_id))
    return [{_local(each): _value(each)} for each in tree[0]]


def _local(node: Any) -> str:
    return node.tag.rpartition("}")[2]


def _value(node: Any) -> dict[str, Any]:
    """A RegistryObject as the dict that zeep's types take; repeated children become lists."""
    value: dict[str, Any] = dict(node.attrib)
    for child in node:
        name = _local(child)
        if name == "Slot":
            value.setdefault("Slot", []).append(_slot(child.get("name"), *(v.text for v in child[0])))
        elif name in ("Name", "Description"):
            value[name] = {"LocalizedString": [dict(each.attrib) for each in child]}
        else:
            value.setdefault(name, []).append(_value(child))
    return value


def _query(service: Any, query_id: str, return_type: str, **parameters: str) -> Any:
    return service.DocumentRegistry_RegistryStoredQuery(
        ResponseOption={"returnType": return_type, "returnComposedObjects": True},
        AdhocQuery={
            "id": query_id,
            "Slot": [_slot(f"${name}", value) for name, value in parameters.items()],
        },
    )


def _found(answer: Any) -> list[tuple[str, Any]]:
    return [
        (name, each[name])
        for each in (answer.RegistryObjectList._value_1 if answer.RegistryObjectList else None) or []
        for name in each
    ]


@VERSIONS
def test_zeep_registers_and_finds(soap: str, node: Node) -> None:
    """ITI-42, then FindDocuments and GetDocuments, each as LeafClass and as ObjectRef."""
    client, service = _service(node, "Registry", soap)
    document, unique_id = Document(id=m.new_message_id(), content=b"zeep"), m.new_oid()
    answer = service["DocumentRegistry_RegisterDocumentSet-b"](
        RegistryObjectList={"_value_1": _objects(client, document, unique_id)}
    )
    assert (answer.status, answer.RegistryErrorList) == (SUCCESS, None)

    find = {"XDSDocumentEntryPatientId": f"'{m.PATIENT}'", "XDSDocumentEntryStatus": f"('{m.APPROVED}')"}
    get = {"XDSDocumentEntryUniqueId": f"('{document.unique_id}')"}
    for query_id, parameters in ((m.FIND_DOCUMENTS, find), (m.GET_DOCUMENTS, get)):
        references = _query(service, query_id, "ObjectRef", **parameters)
        assert references.status == SUCCESS
        assert ("ObjectRef", document.id) in [(name, each.id) for name, each in _found(references)]
        leaves = _query(service, query_id, "LeafClass", **parameters)
        entries = [each for name, each in _found(leaves) if each.id == document.id]
        assert len(entries) == 1
        entry = entries[0]
        slots = {slot.name: list(slot.ValueList.Value) for slot in entry.Slot}
        assert slots["hash"] == [document.sha1]
        assert entry.mimeType == "application/pdf"
        assert entry.status == m.APPROVED
        assert [each.value for each in entry.Name.LocalizedString] == [m.TITLE]
        identifiers = {each.identificationScheme: each.value for each in entry.ExternalIdentifier}
        assert identifiers["urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"] == document.unique_id


@VERSIONS
def test_zeep_hears_every_error(soap: str, node: Node) -> None:
    """A refused ITI-42 reaches zeep as data: codes and locations, no exception."""
    client, service = _service(node, "Registry", soap)
    document = Document(without=("classCode", "typeCode"))
    answer = service["DocumentRegistry_RegisterDocumentSet-b"](
        RegistryObjectList={"_value_1": _objects(client, document, m.new_oid())}
    )
    errors = {(each.errorCode, each.location) for each in answer.RegistryErrorList.RegistryError}
    code = "XDSRegistryMetadataError"
    assert errors == {(code, "Document01/classCode"), (code, "Document01/typeCode")}


@VERSIONS
def test_zeep_understands_our_faults(soap: str, node: Node) -> None:
    """A fault is a zeep Fault with reason and reference."""
    _, service = _service(node, "Registry", soap)
    with pytest.raises(zeep.exceptions.Fault, match=r"schema of ITI-18.*reference [0-9a-f]{12}"):
        _query(service, m.GET_DOCUMENTS, "Everything")


@VERSIONS
def test_zeep_provides_and_retrieves(soap: str, node: Node) -> None:
    """ITI-41 with inline base64 and ITI-43 as plain SOAP: the bytes are the same."""
    client, service = _service(node, "Repository", soap)
    document = Document(content=bytes(range(256)) * 41)
    answer = service["DocumentRepository_ProvideAndRegisterDocumentSet-b"](
        SubmitObjectsRequest={"RegistryObjectList": {"_value_1": _objects(client, document, m.new_oid())}},
        Document=[{"_value_1": document.content, "id": "Document01"}],
    )
    assert (answer.status, answer.RegistryErrorList) == (SUCCESS, None)
    got = service.DocumentRepository_RetrieveDocumentSet(
        DocumentRequest=[{"RepositoryUniqueId": m.REPOSITORY_ID, "DocumentUniqueId": document.unique_id}]
    )
    assert got.RegistryResponse.status == SUCCESS
    assert [each.Document for each in got.DocumentResponse] == [document.content]
    assert got.DocumentResponse[0].mimeType == "application/pdf"


def test_every_schema_of_the_wsdl_is_reachable_by_relative_import(node: Node) -> None:
    """zeep has loaded the four namespaces from the node itself."""
    client = zeep.Client(f"{node.registry}?wsdl")
    assert {RIM, LCM, QUERY} <= set(client.wsdl.types.namespaces)
    assert {RIM, LCM, XDS} <= set(zeep.Client(f"{node.repository}?wsdl").wsdl.types.namespaces)
