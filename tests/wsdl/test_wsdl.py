"""The WSDLs the node serves: the standard's names, actions and elements, readable by another stack."""

from __future__ import annotations

import socket
from itertools import chain

import pytest
import zeep
from lxml import etree

from xds.app import ENDPOINTS, REPLIES

from .schemas import BODIES, NAMESPACES, ORACLE, OURS, WSDL, needs_published, schema

IHE = "urn:ihe:iti:2007:"
MULTI, UPDATE, PROVIDE, REMOVAL, RESTRICTED = (
    f"urn:ihe:iti:{year}:" for year in (2009, 2010, 2015, 2017, 2018)
)
XDS, RIM, RS, RMD = (f"{{{NAMESPACES[prefix]}}}" for prefix in ("xds", "rim", "rs", "rmd"))
QUERY, LCM = f"{{{NAMESPACES['query']}}}", f"{{{NAMESPACES['lcm']}}}"
XDR = "{urn:ihe:iti:xdr:2014}"

#: ITI TF-2 3.18, 3.38, 3.39, 3.41, 3.42, 3.43, 3.51, 3.61, the supplements for update (3.57), restricted
#: update (3.92), removal (3.62, 3.86) and documents for other communities (3.80): operation -> action and
#: element of the request, then of the answer.
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
    "responding-gateway": {
        "RespondingGateway_CrossGatewayQuery": (
            IHE + "CrossGatewayQuery", QUERY + "AdhocQueryRequest",
            IHE + "CrossGatewayQueryResponse", QUERY + "AdhocQueryResponse"),
        "RespondingGateway_CrossGatewayRetrieve": (
            IHE + "CrossGatewayRetrieve", XDS + "RetrieveDocumentSetRequest",
            IHE + "CrossGatewayRetrieveResponse", XDS + "RetrieveDocumentSetResponse"),
        "RespondingGateway_CrossGatewayDocumentProvide": (
            PROVIDE + "CrossGatewayDocumentProvide", XDS + "ProvideAndRegisterDocumentSetRequest",
            PROVIDE + "CrossGatewayDocumentProvideResponse", RS + "RegistryResponse"),
    },
    "initiating-gateway": {
        "DocumentRegistry_RegistryStoredQuery": (
            IHE + "RegistryStoredQuery", QUERY + "AdhocQueryRequest",
            IHE + "RegistryStoredQueryResponse", QUERY + "AdhocQueryResponse"),
        "DocumentRepository_RetrieveDocumentSet": (
            IHE + "RetrieveDocumentSet", XDS + "RetrieveDocumentSetRequest",
            IHE + "RetrieveDocumentSetResponse", XDS + "RetrieveDocumentSetResponse"),
    },
}  # fmt: skip

#: Where the node has it.
ADDRESSES = {
    "registry": "/xds/registry",
    "repository": "/xds/repository",
    "responding-gateway": "/xca/responding",
    "initiating-gateway": "/xca/initiating",
}

#: What IHE calls the actor, which begins the names of port type, bindings, service and ports.
ACTORS = {
    "registry": "DocumentRegistry",
    "repository": "DocumentRepository",
    "responding-gateway": "RespondingGateway",
    "initiating-gateway": "InitiatingGateway",
}

#: ITI-18 and ITI-43 are published once: an initiating gateway has them as registry and repository do.
PUBLISHED_FILES = {
    "registry": ("iti18", "iti42", "iti51", "iti57", "iti61", "iti62", "iti92"),
    "repository": ("iti41", "iti43", "iti86"),
    "responding-gateway": ("iti38", "iti39", "iti80"),
    "initiating-gateway": ("iti18", "iti43"),
}

#: What an answer to a non-anonymous ReplyTo has, as the receivers of such answers are published.
PUBLISHED_RECEIVERS = {
    "RespondingGateway_CrossGatewayQuery": "iti38-asyncresponse",
    "RespondingGateway_CrossGatewayRetrieve": "iti39-asyncresponse",
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


@pytest.mark.parametrize("name", ["xml", "rim", "rs", "lcm", "query", "xds", "rmd", "xdr", "all"])
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


@needs_published
@pytest.mark.parametrize(("operation", "file"), PUBLISHED_RECEIVERS.items())
def test_an_answer_sent_later_is_the_published_receivers_request(operation, file):
    """An answer has the same action and element, whether it comes at once or to the ReplyTo."""
    [received] = operations(ORACLE / f"{file}.wsdl").values()

    assert operations(WSDL / "responding-gateway.wsdl")[operation][2:] == received


#: Operation -> action and element of its only message (ITI TF-2 V.3, 3.38.4.2, 3.39.4.2).
ANSWERS = {
    "InitiatingGateway_Async_CrossGatewayQuery": (
        IHE + "CrossGatewayQueryResponse", QUERY + "AdhocQueryResponse"),
    "InitiatingGateway_Async_CrossGatewayRetrieve": (
        IHE + "CrossGatewayRetrieveResponse", XDS + "RetrieveDocumentSetResponse"),
}  # fmt: skip


def test_the_receiver_of_answers_has_one_message_for_each():
    """Each answer that comes later is a request at our own address, and there is no answer to it."""
    wsdl = etree.parse(WSDL / "replies.wsdl").getroot()

    assert operations(WSDL / "replies.wsdl") == ANSWERS
    assert find(wsdl, "w:binding/w:operation/@name") == list(ANSWERS)
    assert find(wsdl, "w:binding/@type") == [f"xds:{find(wsdl, 'string(w:portType/@name)')}"]
    assert find(wsdl, "string(.//soap12:address/@location)") == f"http://localhost:8080{REPLIES}"


@needs_published
def test_the_receiver_of_answers_is_the_published_one():
    """Names, actions and elements; port type, binding, service and port."""
    published = {}
    for file in PUBLISHED_RECEIVERS.values():
        published |= operations(ORACLE / f"{file}.wsdl")

    assert operations(WSDL / "replies.wsdl") == published


@needs_published
def test_names_of_the_gateway_are_those_of_the_published_wsdl():
    """Port type, SOAP 1.2 binding, service and port, by which generated clients know them."""
    named = "w:portType/@name | w:binding[soap12:binding]/@name | w:service/@name | .//w:port[soap12:*]/@name"
    ours = find(etree.parse(WSDL / "responding-gateway.wsdl").getroot(), named)

    for file in PUBLISHED_FILES["responding-gateway"]:
        assert find(etree.parse(ORACLE / f"{file}.wsdl").getroot(), named) == ours


@pytest.mark.parametrize("name", STANDARD)
def test_the_node_does_what_its_wsdl_promises(name):
    """Each operation is a transaction of the endpoint with these actions and this element, and no other."""
    file, offered = ENDPOINTS[ADDRESSES[name]]

    assert file == f"{name}.wsdl"
    assert {(each.action, each.element, each.response_action) for each in offered} == {
        exchange[:3] for exchange in operations(WSDL / file).values()
    }


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("soap", ["soap12", "soap11"])
def test_every_operation_is_bound_to_both_versions_of_soap(name, soap):
    """Document/literal; SOAPAction equals the Action, and SOAP 1.2 does not ask for it (TF-2 App. V.3.2)."""
    wsdl = etree.parse(WSDL / f"{name}.wsdl").getroot()
    [binding] = find(wsdl, f"w:binding[{soap}:binding]")
    actor, version = ACTORS[name], soap.title()

    assert binding.get("name") == f"{actor}_Binding_{version}"
    assert binding.get("type") == f"xds:{find(wsdl, 'string(w:portType/@name)')}" == f"xds:{actor}_PortType"
    assert find(binding, f"string({soap}:binding/@style)") == "document"
    assert find(binding, "w:operation/@name") == list(STANDARD[name])
    for operation, (action, *_) in zip(find(binding, "w:operation"), STANDARD[name].values(), strict=True):
        required = {"soapActionRequired": "false"} if soap == "soap12" else {}
        assert dict(find(operation, f"{soap}:operation")[0].attrib) == {"soapAction": action, **required}
        assert find(operation, f"w:input/{soap}:body/@use") == ["literal"]
        assert find(operation, f"w:output/{soap}:body/@use") == ["literal"]
    [port] = find(wsdl, f"w:service[@name='{actor}_Service']/w:port[{soap}:address]")
    assert port.get("name") == f"{actor}_Port_{version}"
    assert port.get("binding") == f"xds:{binding.get('name')}"
    assert find(port, f"string({soap}:address/@location)") == f"http://localhost:8080{ADDRESSES[name]}"


@pytest.mark.parametrize("path", sorted(WSDL.glob("*.wsdl")), ids=lambda path: path.name)
def test_one_header_block_is_described(path):
    """That of ITI-80's request, in both bindings; all other headers are those of SOAP standards."""
    wsdl = etree.parse(path).getroot()
    headers = find(wsdl, ".//soap12:header | .//soap11:header")

    if path.stem != "responding-gateway":
        assert headers == []
        return
    for header in headers:
        assert find(header, "string(../../@name)") == "RespondingGateway_CrossGatewayDocumentProvide"
        assert etree.QName(header.getparent()).localname == "input"
        message = header.get("message").partition(":")[2]
        [part] = find(wsdl, f"w:message[@name='{message}']/w:part[@name='{header.get('part')}']")
        prefix, _, element = part.get("element").partition(":")
        assert f"{{{part.nsmap[prefix]}}}{element}" == XDR + "homeCommunityBlock"
        assert header.get("use") == "literal"
    assert [etree.QName(header).namespace for header in headers] == [NS["soap12"], NS["soap11"]]


HOME = "urn:oid:2.999.1"
IDENTIFIED = f"<homeCommunityId>{HOME}</homeCommunityId>"
STRANGE = f"<o:homeCommunityId xmlns:o='urn:other'>{HOME}</o:homeCommunityId>"


def home_community_block(content, attributes=""):
    """The header block with this content, in its namespace by default."""
    return etree.fromstring(
        f"<homeCommunityBlock xmlns='{XDR[1:-1]}' xmlns:s='{SOAP12[1:-1]}' {attributes}>{content}"
        "</homeCommunityBlock>"
    )


@pytest.mark.parametrize("attributes", ["", "s:mustUnderstand='true'", "s:relay='1' s:role='urn:role'"])
def test_the_header_block_names_one_community(attributes):
    """homeCommunityId is its child, and SOAP's attributes may stand on it (ITI TF-2 3.80)."""
    schema(WSDL / "schema" / "xdr.xsd").assertValid(home_community_block(IDENTIFIED, attributes))


@pytest.mark.parametrize(
    ("content", "attributes"),
    [("", ""), (HOME, ""), (IDENTIFIED * 2, ""), (STRANGE, ""), (IDENTIFIED + STRANGE, ""),
     (IDENTIFIED, "mustUnderstand='true'")],
    ids=["empty", "no child", "two", "another namespace", "something more", "an attribute of its own"],
)  # fmt: skip
def test_another_header_block_is_refused(content, attributes):
    """Nobody has to guess which community was meant."""
    assert not schema(WSDL / "schema" / "xdr.xsd").validate(home_community_block(content, attributes))


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
    "RespondingGateway_CrossGatewayQuery": ASKED | {"AdhocQuery": ASKED["AdhocQuery"] | {"home": HOME}},
    "RespondingGateway_CrossGatewayRetrieve": {
        "DocumentRequest": [DOCUMENTS["DocumentRequest"][0] | {"HomeCommunityId": HOME}]
    },
    "RespondingGateway_CrossGatewayDocumentProvide": {
        "SubmitObjectsRequest": {
            "RequestSlotList": {"Slot": [{"name": "homeCommunityId", "ValueList": {"Value": [HOME]}}]},
            "RegistryObjectList": OBJECTS,
        },
        "Document": [{"_value_1": b"bytes", "id": "de"}],
        "_soapheaders": {"homeCommunityBlock": {"homeCommunityId": HOME}},
    },
}


def connect(name, soap):
    """A zeep client of one of our files, and its proxy for one version of SOAP."""
    client = zeep.Client(str(WSDL / f"{name}.wsdl"))
    return client, client.bind(f"{ACTORS[name]}_Service", f"{ACTORS[name]}_Port_{soap}")


@pytest.mark.parametrize("soap", ["Soap12", "Soap11"])
@pytest.mark.parametrize(("name", "operation"), [(name, op) for name in STANDARD for op in STANDARD[name]])
def test_zeep_writes_valid_requests_from_our_wsdl(offline, name, operation, soap):
    """An independent client makes a schema-valid body with the right Action, in both versions of SOAP."""
    client, proxy = connect(name, soap)

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


@pytest.mark.parametrize("soap", ["Soap12", "Soap11"])
def test_zeep_writes_the_header_block_from_our_wsdl(offline, soap):
    """The community that ITI-80 is for, beside the addressing headers; a client may leave it to the Slot."""
    operation = "RespondingGateway_CrossGatewayDocumentProvide"
    client, proxy = connect("responding-gateway", soap)

    def block(**arguments):
        envelope = client.create_message(proxy, operation, **arguments)
        header = envelope.find(f"{SOAP12 if soap == 'Soap12' else SOAP11}Header")
        return header.find(f"{XDR}homeCommunityBlock")

    written = block(**CALLS[operation])
    assert written.findtext(f"{XDR}homeCommunityId") == HOME
    schema(WSDL / "schema" / "xdr.xsd").assertValid(written)
    assert block(**CALLS[operation] | {"_soapheaders": None}) is None


def test_zeep_reads_the_objects_of_an_answer(offline):
    """Every kind of object in a query answer reaches an independent client, in the order sent."""
    client = zeep.Client(str(WSDL / "registry.wsdl"))
    answer = etree.fromstring(BODIES["iti18-response-leaf-class"])

    objects = client.get_element(QUERY + "AdhocQueryResponse").parse(answer, client.wsdl.types)

    items = objects.RegistryObjectList._value_1
    kinds = [next(kind for kind, value in item.items() if value) for item in items]
    assert kinds == ["ExtrinsicObject"] * 2 + ["RegistryPackage"] * 2 + ["Association"] * 2 + ["ObjectRef"]
