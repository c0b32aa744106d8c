"""The WSDLs the node serves: the standard's names, actions and elements, readable by another stack."""

from __future__ import annotations

import socket
from itertools import chain

import pytest
import zeep
from lxml import etree

from xds.app import ENDPOINTS

from .schemas import BODIES, NAMESPACES, ORACLE, OURS, WSDL, needs_published, schema

IHE = "urn:ihe:iti:2007:"
MULTI, UPDATE, RESTRICTED, REMOVAL = (f"urn:ihe:iti:{year}:" for year in (2009, 2010, 2018, 2017))
XDS, RIM, RS, RMD = (f"{{{NAMESPACES[prefix]}}}" for prefix in ("xds", "rim", "rs", "rmd"))
QUERY, LCM = f"{{{NAMESPACES['query']}}}", f"{{{NAMESPACES['lcm']}}}"

#: ITI TF-2 3.18, 3.41, 3.42, 3.43, 3.51, 3.61, the supplements for update (3.57), restricted update (3.92)
#: and removal (3.62, 3.86): operation -> action and element of the request, then of the answer.
STANDARD = {
    "registry": {
        "DocumentRegistry_RegistryStoredQuery": (
            IHE + "RegistryStoredQuery", QUERY + "AdhocQueryRequest",
            IHE + "RegistryStoredQueryResponse", QUERY + "AdhocQueryResponse"),
        "DocumentRegistry_RegisterDocumentSet-b": (
            IHE + "RegisterDocumentSet-b", LCM + "SubmitObjectsRequest",
            IHE + "RegisterDocumentSet-bResponse", RS + "RegistryResponse"),
        "DocumentRegistry_MultiPatientStoredQuery": (
            MULTI + "MultiPatientStoredQuery", QUERY + "AdhocQueryRequest",
            MULTI + "MultiPatientStoredQueryResponse", QUERY + "AdhocQueryResponse"),
        "DocumentRegistry_UpdateDocumentSet": (
            UPDATE + "UpdateDocumentSet", LCM + "SubmitObjectsRequest",
            UPDATE + "UpdateDocumentSetResponse", RS + "RegistryResponse"),
        "DocumentRegistry_RegisterOnDemandDocumentEntry": (
            UPDATE + "RegisterOnDemandDocumentEntry", LCM + "SubmitObjectsRequest",
            UPDATE + "RegisterOnDemandDocumentResponse", RS + "RegistryResponse"),
        "DocumentRegistry_DeleteDocumentSet": (
            UPDATE + "DeleteDocumentSet", LCM + "RemoveObjectsRequest",
            UPDATE + "DeleteDocumentSetResponse", RS + "RegistryResponse"),
        "UpdateResponder_RestrictedUpdateDocumentSet": (
            RESTRICTED + "RestrictedUpdateDocumentSet", LCM + "SubmitObjectsRequest",
            RESTRICTED + "RestrictedUpdateDocumentSetResponse", RS + "RegistryResponse"),
    },
    "repository": {
        "DocumentRepository_ProvideAndRegisterDocumentSet-b": (
            IHE + "ProvideAndRegisterDocumentSet-b", XDS + "ProvideAndRegisterDocumentSetRequest",
            IHE + "ProvideAndRegisterDocumentSet-bResponse", RS + "RegistryResponse"),
        "DocumentRepository_RetrieveDocumentSet": (
            IHE + "RetrieveDocumentSet", XDS + "RetrieveDocumentSetRequest",
            IHE + "RetrieveDocumentSetResponse", XDS + "RetrieveDocumentSetResponse"),
        "DocumentRepository_RemoveDocuments": (
            REMOVAL + "RemoveDocuments", RMD + "RemoveDocumentsRequest",
            REMOVAL + "RemoveDocumentsResponse", RS + "RegistryResponse"),
    },
}  # fmt: skip

PUBLISHED_FILES = {
    "registry": ("iti18", "iti42", "iti51", "iti57", "iti61", "iti62", "iti92"),
    "repository": ("iti41", "iti43", "iti86"),
}

NS = {
    "w": "http://schemas.xmlsoap.org/wsdl/",
    "soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "soap11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "xs": "http://www.w3.org/2001/XMLSchema",
}
#: The attribute of the recommendation, which ours have, and that of the draft before it (published ITI-92).
ACTION, DRAFT_ACTION = (
    f"{{http://www.w3.org/{of}}}Action" for of in ("2007/05/addressing/metadata", "2006/05/addressing/wsdl")
)
WSA = "{http://www.w3.org/2005/08/addressing}"
SOAP12 = "{http://www.w3.org/2003/05/soap-envelope}"
SOAP11 = "{http://schemas.xmlsoap.org/soap/envelope/}"


def find(node, path):
    """The elements at `path`."""
    return node.xpath(path, namespaces=NS)


def operations(path):
    """The operations of a WSDL's port types, in the form of STANDARD."""
    wsdl = etree.parse(path).getroot()

    def exchange(step):
        message = step.get("message").partition(":")[2]
        [part] = find(wsdl, f"w:message[@name='{message}']/w:part")
        prefix, _, name = part.get("element").partition(":")
        return step.get(ACTION, step.get(DRAFT_ACTION)), f"{{{part.nsmap[prefix]}}}{name}"

    return {
        operation.get("name"): tuple(
            chain.from_iterable(map(exchange, find(operation, "w:input | w:output")))
        )
        for operation in find(wsdl, "w:portType/w:operation")
    }


@pytest.fixture
def offline(monkeypatch):
    """Every attempt to reach the network fails."""

    def refuse(*_):
        raise AssertionError("a schema or WSDL was looked for on the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", ["xml", "rim", "rs", "lcm", "query", "xds", "rmd", "all"])
def test_each_schema_compiles_by_itself(offline, name):
    """A schema imports all it refers to, from its own folder."""
    schema(WSDL / "schema" / f"{name}.xsd")


@pytest.mark.parametrize(
    "path", [*WSDL.glob("*.wsdl"), *WSDL.glob("schema/*.xsd")], ids=lambda path: path.name
)
def test_every_import_is_served_by_the_node(path):
    """WSDLs import schema/<name>.xsd, schemas each other by bare name: the addresses work when served."""
    folder = "schema/" if path.suffix == ".wsdl" else ""
    for location in etree.parse(path).xpath("//@schemaLocation"):
        assert location.startswith(folder)
        assert "/" not in location.removeprefix(folder)
        assert (path.parent / location).is_file()


@pytest.mark.parametrize("path", sorted((WSDL / "schema").glob("*.xsd")), ids=lambda path: path.name)
def test_no_schema_fills_in_what_the_sender_left_out(path):
    """No default and no fixed value: IHE gives absence its own meaning."""
    assert etree.parse(path).xpath("//xs:attribute[@default or @fixed] | //xs:element[@default or @fixed]",
                                   namespaces=NS) == []  # fmt: skip


@pytest.mark.parametrize("name", STANDARD)
def test_operations_are_those_of_the_standard(name):
    """Names, actions and elements of each operation, as ITI TF-2 gives them."""
    assert operations(WSDL / f"{name}.wsdl") == STANDARD[name]


@needs_published
@pytest.mark.parametrize("name", STANDARD)
def test_operations_are_those_of_the_published_wsdl(name):
    """Names, actions and elements of each operation, as in the WSDLs published per transaction."""
    published = {}
    for file in PUBLISHED_FILES[name]:
        published |= operations(ORACLE / f"{file}.wsdl")

    assert operations(WSDL / f"{name}.wsdl") == published


@pytest.mark.parametrize("name", STANDARD)
def test_the_node_does_what_its_wsdl_promises(name):
    """Each operation is a transaction of the endpoint with these actions and this element, and no other."""
    file, offered = ENDPOINTS[f"/xds/{name}"]

    assert {(each.action, each.element, each.response_action) for each in offered} == {
        exchange[:3] for exchange in operations(WSDL / file).values()
    }


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("soap", ["soap12", "soap11"])
def test_every_operation_is_bound_to_both_versions_of_soap(name, soap):
    """Document/literal; SOAPAction equals the Action, and SOAP 1.2 does not ask for it (TF-2 App. V.3.2)."""
    wsdl = etree.parse(WSDL / f"{name}.wsdl").getroot()
    [binding] = find(wsdl, f"w:binding[{soap}:binding]")

    assert find(binding, f"string({soap}:binding/@style)") == "document"
    assert find(binding, "w:operation/@name") == list(STANDARD[name])
    for operation, (action, *_) in zip(find(binding, "w:operation"), STANDARD[name].values(), strict=True):
        required = {"soapActionRequired": "false"} if soap == "soap12" else {}
        assert dict(find(operation, f"{soap}:operation")[0].attrib) == {"soapAction": action, **required}
        assert find(operation, f"w:input/{soap}:body/@use") == ["literal"]
        assert find(operation, f"w:output/{soap}:body/@use") == ["literal"]
    [port] = find(wsdl, f"w:service/w:port[{soap}:address]")
    assert port.get("binding") == f"xds:{binding.get('name')}"
    assert find(port, f"string({soap}:address/@location)") == f"http://localhost:8080/xds/{name}"


NAME = {"LocalizedString": [{"value": "text"}]}
SLOT = {"name": "codingScheme", "ValueList": {"Value": ["2.999.9"]}}
CODE = {
    "id": "cl", "classifiedObject": "de", "classificationScheme": "urn:s", "nodeRepresentation": "N",
    "Slot": [SLOT], "Name": NAME,
}  # fmt: skip
IDENTIFIER = {"id": "ei", "registryObject": "de", "identificationScheme": "urn:s", "value": "1", "Name": NAME}
LINK = {"id": "as", "associationType": "urn:a", "sourceObject": "ss", "targetObject": "de", "Slot": [SLOT]}
PARTS = {"Slot": [SLOT], "Name": NAME, "Classification": [CODE, CODE], "ExternalIdentifier": [IDENTIFIER]}

OBJECTS = {
    "_value_1": [
        {"ExtrinsicObject": {"id": "de", "mimeType": "text/plain", **PARTS}},
        {"RegistryPackage": {"id": "ss", **PARTS}},
        {"Classification": CODE},
        {"Association": LINK | {"Classification": [CODE]}},
    ]
}

SUBMITTED = {"RegistryObjectList": OBJECTS}
ASKED = {
    "ResponseOption": {"returnType": "LeafClass", "returnComposedObjects": True},
    "AdhocQuery": {"id": "urn:uuid:q", "Slot": [{"name": "$patientId", "ValueList": {"Value": ["'1'"]}}]},
}
DOCUMENTS = {"DocumentRequest": [{"RepositoryUniqueId": "2.999.2", "DocumentUniqueId": "2.999.5.1"}]}

CALLS = {
    "DocumentRegistry_RegistryStoredQuery": ASKED,
    "DocumentRegistry_RegisterDocumentSet-b": SUBMITTED,
    "DocumentRegistry_MultiPatientStoredQuery": ASKED,
    "DocumentRegistry_UpdateDocumentSet": SUBMITTED,
    "DocumentRegistry_RegisterOnDemandDocumentEntry": SUBMITTED,
    "DocumentRegistry_DeleteDocumentSet": {"ObjectRefList": {"ObjectRef": [{"id": "urn:uuid:a"}]}},
    "UpdateResponder_RestrictedUpdateDocumentSet": SUBMITTED,
    "DocumentRepository_ProvideAndRegisterDocumentSet-b": {
        "SubmitObjectsRequest": {"RegistryObjectList": OBJECTS},
        "Document": [{"_value_1": b"bytes", "id": "de"}],
    },
    "DocumentRepository_RetrieveDocumentSet": DOCUMENTS,
    "DocumentRepository_RemoveDocuments": DOCUMENTS,
}


@pytest.mark.parametrize("soap", ["Soap12", "Soap11"])
@pytest.mark.parametrize(("name", "operation"), [(name, op) for name in STANDARD for op in STANDARD[name]])
def test_zeep_writes_valid_requests_from_our_wsdl(offline, name, operation, soap):
    """An independent client makes a schema-valid body with the right Action, in both versions of SOAP."""
    client = zeep.Client(str(WSDL / f"{name}.wsdl"))
    service = next(iter(client.wsdl.services))
    proxy = client.bind(service, service.replace("_Service", f"_Port_{soap}"))

    envelope = client.create_message(proxy, operation, **CALLS[operation])

    action, element, *_ = STANDARD[name][operation]
    soap_ns = SOAP12 if soap == "Soap12" else SOAP11
    [content] = envelope.find(f"{soap_ns}Body")
    assert envelope.tag == f"{soap_ns}Envelope"
    assert envelope.findtext(f"{soap_ns}Header/{WSA}Action") == action
    assert content.tag == element
    OURS.assertValid(content)
    if content.find(f".//{RIM}RegistryObjectList") is not None:
        assert len(content.findall(f".//{RIM}Classification/{RIM}Slot")) == 6
        assert len(content.findall(f".//{RIM}ExternalIdentifier/{RIM}Name")) == 2


def test_zeep_reads_the_objects_of_an_answer(offline):
    """Every kind of object in a query answer reaches an independent client, in the order sent."""
    client = zeep.Client(str(WSDL / "registry.wsdl"))
    answer = etree.fromstring(BODIES["iti18-response-leaf-class"])

    objects = client.get_element(QUERY + "AdhocQueryResponse").parse(answer, client.wsdl.types)

    items = objects.RegistryObjectList._value_1
    kinds = [next(kind for kind, value in item.items() if value) for item in items]
    assert kinds == ["ExtrinsicObject"] * 2 + ["RegistryPackage"] * 2 + ["Association"] * 2 + ["ObjectRef"]
