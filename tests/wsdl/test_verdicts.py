"""Sample bodies and slips in them: what the schemas accept and refuse, ours and the published ones alike."""

from __future__ import annotations

import warnings
from copy import deepcopy

import pytest
from lxml import etree

from .schemas import (
    BODIES,
    LEFT_OUT,
    NAMESPACES,
    NOT_AT_HAND,
    OURS,
    PUBLISHED,
    WSDL,
    body,
    left_out,
    needs_published,
)


def remove(node):
    """Take the node away."""
    node.getparent().remove(node)


def twice(node):
    """Put a copy beside the node."""
    node.addnext(deepcopy(node))


def last(node):
    """Make the node the last child."""
    node.getparent().append(node)


def first(node):
    """Make the node the first child."""
    node.getparent().insert(0, node)


def before_parent(node):
    """Put the node out of its parent, before it."""
    node.getparent().addprevious(node)


def text(value):
    """Give the node this text."""
    return lambda node: setattr(node, "text", value)


def named(name):
    """Call the node otherwise."""
    prefix, _, local = name.rpartition(":")
    return lambda node: setattr(node, "tag", f"{{{NAMESPACES[prefix]}}}{local}" if prefix else local)


def without(attribute):
    """Take an attribute away."""
    return lambda node: node.attrib.pop(attribute)


def given(**attributes):
    """Set attributes."""
    return lambda node: node.attrib.update(attributes)


def child(xml):
    """Append a child, written with the usual prefixes."""
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return lambda node: node.append(etree.fromstring(f"<x {declared}>{xml}</x>")[0])


FIND, ANSWER, REFUSED = "iti18-request-find-documents", "iti18-response-leaf-class", "iti18-response-failure"
PARTIAL, REGISTER, PROVIDE = "iti18-response-partial", "iti42-request", "iti41-request"
ASK, HAND_OUT, REMOVE, DONE = "iti43-request", "iti43-response", "iti62-request", "registry-response-failure"
ERASE = "iti86-request"
CROSS_ASK, CROSS_ANSWER, CROSS_PROVIDE = "iti38-request", "iti38-response-partial", "iti80-request"
CODE, IDENTIFIER, LANG = (
    "//rim:Classification",
    "//rim:ExternalIdentifier",
    "{http://www.w3.org/XML/1998/namespace}lang",
)
LONG, LONGER = "x" * 257, "x" * 1025

#: what is wrong -> body, the first node at this path, what is done to it
INVALID = {
    "Slot after Name": (REGISTER, "//rim:ExtrinsicObject/rim:Slot", last),
    "Name before Slot": (REGISTER, "//rim:ExtrinsicObject/rim:Name", first),
    "Description before Name": (ANSWER, "//rim:ExtrinsicObject/rim:Description", first),
    "VersionInfo at the end": (ANSWER, "//rim:VersionInfo", last),
    "ContentVersionInfo too early": (ANSWER, "//rim:ContentVersionInfo", first),
    "Classification after ExternalIdentifier": (REGISTER, "//rim:ExtrinsicObject/rim:Classification", last),
    "two Names": (REGISTER, "//rim:ExtrinsicObject/rim:Name", twice),
    "two Descriptions": (ANSWER, "//rim:Description", twice),
    "two VersionInfos": (ANSWER, "//rim:VersionInfo", twice),
    "ExtrinsicObject without id": (REGISTER, "//rim:ExtrinsicObject", without("id")),
    "RegistryPackage without id": (REGISTER, "//rim:RegistryPackage", without("id")),
    "Association without id": (REGISTER, "//rim:Association", without("id")),
    "Association without associationType": (REGISTER, "//rim:Association", without("associationType")),
    "Association without sourceObject": (REGISTER, "//rim:Association", without("sourceObject")),
    "Association without targetObject": (REGISTER, "//rim:Association", without("targetObject")),
    "Classification without id": (REGISTER, CODE, without("id")),
    "Classification without classifiedObject": (REGISTER, CODE, without("classifiedObject")),
    "ExternalIdentifier without id": (REGISTER, IDENTIFIER, without("id")),
    "ExternalIdentifier without registryObject": (REGISTER, IDENTIFIER, without("registryObject")),
    "ExternalIdentifier without scheme": (REGISTER, IDENTIFIER, without("identificationScheme")),
    "ExternalIdentifier without value": (REGISTER, IDENTIFIER, without("value")),
    "ObjectRef without id": (ANSWER, "//rim:ObjectRef", without("id")),
    "Slot without name": (REGISTER, "//rim:Slot", without("name")),
    "Slot without ValueList": (REGISTER, "//rim:ValueList", remove),
    "Slot with two ValueLists": (REGISTER, "//rim:ValueList", twice),
    "LocalizedString without value": (REGISTER, "//rim:LocalizedString", without("value")),
    "LocalizedString with text": (REGISTER, "//rim:LocalizedString", text("Epikrise")),
    "xml:lang that is no language": (ANSWER, "//rim:LocalizedString", given(**{LANG: "norsk bokmål"})),
    "Value of 257 characters": (REGISTER, "//rim:Value", text(LONG)),
    "Slot name of 257 characters": (REGISTER, "//rim:Slot", given(name=LONG)),
    "code of 257 characters": (REGISTER, CODE, given(nodeRepresentation=LONG)),
    "identifier of 257 characters": (REGISTER, IDENTIFIER, given(value=LONG)),
    "mimeType of 257 characters": (REGISTER, "//rim:ExtrinsicObject", given(mimeType=LONG)),
    "title of 1025 characters": (REGISTER, "//rim:LocalizedString", given(value=LONGER)),
    "version of 17 characters": (ANSWER, "//rim:VersionInfo", given(versionName="x" * 17)),
    "isOpaque that is no boolean": (ANSWER, "//rim:ExtrinsicObject", given(isOpaque="no")),
    "createReplica that is no boolean": (ANSWER, "//rim:ObjectRef", given(createReplica="yes")),
    "attribute nobody knows": (REGISTER, "//rim:ExtrinsicObject", given(hash="")),
    "element nobody knows": (REGISTER, "//rim:RegistryObjectList", child("<rim:DocumentEntry id='a'/>")),
    "object of another namespace": (REGISTER, "//rim:ExtrinsicObject", named("rs:ExtrinsicObject")),
    "object of no namespace": (REGISTER, "//rim:ExtrinsicObject", named("ExtrinsicObject")),
    "Association inside a package": (REGISTER, "//rim:RegistryPackage", child(
        "<rim:Association id='a' associationType='b' sourceObject='c' targetObject='d'/>")),
    "text between objects": (REGISTER, "//rim:RegistryObjectList", text("text")),
    "no RegistryObjectList": (REGISTER, "//rim:RegistryObjectList", remove),
    "two RegistryObjectLists": (REGISTER, "//rim:RegistryObjectList", twice),
    "RequestSlotList after the objects": ("iti42-request-slot-list", "//rs:RequestSlotList", last),
    "two RequestSlotLists": ("iti42-request-slot-list", "//rs:RequestSlotList", twice),
    "query without ResponseOption": (FIND, "//query:ResponseOption", remove),
    "two ResponseOptions": (FIND, "//query:ResponseOption", twice),
    "ResponseOption after the query": (FIND, "//query:ResponseOption", last),
    "unknown returnType": (FIND, "//query:ResponseOption", given(returnType="Everything")),
    "empty returnType": (FIND, "//query:ResponseOption", given(returnType="")),
    "returnComposedObjects that is no boolean": (
        FIND, "//query:ResponseOption", given(returnComposedObjects="maybe")),
    "no AdhocQuery": (FIND, "//rim:AdhocQuery", remove),
    "two AdhocQueries": (FIND, "//rim:AdhocQuery", twice),
    "AdhocQuery without id": (FIND, "//rim:AdhocQuery", without("id")),
    "startIndex that is no number": ("iti18-request-get-documents", "/*", given(startIndex="first")),
    "query answer without RegistryObjectList": (REFUSED, "//rim:RegistryObjectList", remove),
    "query answer without status": (ANSWER, "/*", without("status")),
    "error list after the objects": (REFUSED, "//rs:RegistryErrorList", last),
    "error list before ResponseSlotList": (PARTIAL, "//rs:RegistryErrorList", first),
    "two ResponseSlotLists": (PARTIAL, "//rs:ResponseSlotList", twice),
    "totalResultCount that is no number": (ANSWER, "/*", given(totalResultCount="1.5")),
    "answer without status": (DONE, "/*", without("status")),
    "empty error list": ("registry-response-warning", "//rs:RegistryError", remove),
    "two error lists": (DONE, "//rs:RegistryErrorList", twice),
    "error without errorCode": (DONE, "//rs:RegistryError", without("errorCode")),
    "error without codeContext": (DONE, "//rs:RegistryError", without("codeContext")),
    "element inside an error": (DONE, "//rs:RegistryError", child("<rs:RegistryError/>")),
    "objects in a plain answer": (DONE, "/*", child("<rim:RegistryObjectList/>")),
    "Document before the submission": (PROVIDE, "//xds:Document", first),
    "Document without id": (PROVIDE, "//xds:Document", without("id")),
    "Document that is not base64": (PROVIDE, "//xds:Document", text("%PDF-1.7")),
    "base64 cut short": (PROVIDE, "//xds:Document", text("SGVpI")),
    "unresolved xop:Include": (PROVIDE, "//xds:Document", child(
        "<i:Include xmlns:i='http://www.w3.org/2004/08/xop/include' href='cid:a'/>")),
    "documents without a submission": (PROVIDE, "//lcm:SubmitObjectsRequest", remove),
    "two submissions": (PROVIDE, "//lcm:SubmitObjectsRequest", twice),
    "no DocumentRequest": (ASK, "/*", lambda node: [remove(request) for request in node]),
    "DocumentRequest without RepositoryUniqueId": (ASK, "//xds:RepositoryUniqueId", remove),
    "DocumentRequest without DocumentUniqueId": (ASK, "//xds:DocumentUniqueId", remove),
    "HomeCommunityId last": (ASK, "//xds:HomeCommunityId", last),
    "two HomeCommunityIds": (ASK, "//xds:HomeCommunityId", twice),
    "DocumentUniqueId of 257 characters": (ASK, "//xds:DocumentUniqueId", text(LONG)),
    "answer without RegistryResponse": (HAND_OUT, "//rs:RegistryResponse", remove),
    "RegistryResponse last": (HAND_OUT, "//rs:RegistryResponse", last),
    "DocumentResponse without mimeType": (HAND_OUT, "//xds:mimeType", remove),
    "DocumentResponse without Document": (HAND_OUT, "//xds:Document", remove),
    "DocumentResponse with two Documents": (HAND_OUT, "//xds:Document", twice),
    "Document/@id in an answer": (HAND_OUT, "//xds:Document", given(id="a")),
    "New ids in the wrong order": (HAND_OUT, "//xds:NewRepositoryUniqueId", last),
    "removal of something that is no ObjectRef": (REMOVE, "//rim:ObjectRef", named("rim:ExtrinsicObject")),
    "two ObjectRefLists": (REMOVE, "//rim:ObjectRefList", twice),
    "ids to remove before the slot list": (REMOVE, "//rim:ObjectRefList", first),
    "reference to remove without id": (REMOVE, "//rim:ObjectRef", without("id")),
    "objects to remove in full": (REMOVE, "/*", child("<rim:RegistryObjectList/>")),
    "no document to remove": (ERASE, "/*", lambda node: [remove(request) for request in node]),
    "removal request of the namespace of XDS.b": (ERASE, "/*", named("xds:RemoveDocumentsRequest")),
    "document to remove of the namespace of RMD": (
        ERASE, "//xds:DocumentRequest", named("rmd:DocumentRequest")),
    "document to remove without RepositoryUniqueId": (ERASE, "//xds:RepositoryUniqueId", remove),
    "document to remove without DocumentUniqueId": (ERASE, "//xds:DocumentUniqueId", remove),
    "two DocumentUniqueIds to remove": (ERASE, "//xds:DocumentUniqueId", twice),
    "community after the document to remove": (ERASE, "//xds:HomeCommunityId", last),
    "community of a query on the request": (CROSS_ASK, "/*", given(home="urn:oid:2.999.1")),
    "community of an error as home": (CROSS_ANSWER, "//rs:RegistryError", given(home="urn:oid:2.999.1")),
    "slot list outside the submission": (CROSS_PROVIDE, "//rs:RequestSlotList", before_parent),
    "root of another name": (FIND, "/*", named("query:AdhocQuery")),
    "root of no namespace": (FIND, "/*", named("AdhocQueryRequest")),
}  # fmt: skip

OBJECTS, ADHOC = "//rim:RegistryObjectList", "<rim:AdhocQuery id='a'/>"

#: one body for each reason of LEFT_OUT, in its order
USES_LEFT_OUT = dict(zip(LEFT_OUT, (
    (REGISTER, "//rim:RegistryPackage", child("<rim:RegistryObjectList/>")),
    (REGISTER, OBJECTS, child(ADHOC)),
    (FIND, "//rim:AdhocQuery", child("<rim:QueryExpression queryLanguage='a'>select</rim:QueryExpression>")),
    (REMOVE, "/*", lambda node: (child(ADHOC)(node), first(node[-1]), first(node[1]))),
    (REGISTER, OBJECTS, child("<rim:RegistryObject id='a'/>")),
    (REGISTER, OBJECTS, child("<rim:Organization id='a'/>")),
    (REGISTER, "/*", named("lcm:UpdateObjectsRequest")),
    (FIND, "/*", lambda node: (named("query:PersonQuery")(node), node.attrib.clear(), node.clear())),
    (DONE, "/*", lambda node: (node.clear(), named("rs:RegistryRequest")(node))),
    (DONE, "/*", given(**{f"{{{NAMESPACES['xsi']}}}type": "cms:ContentManagementServiceResponseType"})),
), strict=True))  # fmt: skip


def edited(name, path, edit):
    """A sample body after one edit; namespaces of all prefixes declared at its root."""
    tree = body(name)
    root = etree.Element(tree.tag, tree.attrib, NAMESPACES | tree.nsmap)
    root.text = tree.text
    root.extend(tree)
    edit(root.xpath(path, namespaces=NAMESPACES)[0])
    return root


@pytest.mark.parametrize("name", BODIES)
def test_a_valid_body_is_accepted(name):
    """Requests and answers in all shapes IHE gives them."""
    OURS.assertValid(body(name))


@pytest.mark.parametrize("slip", INVALID)
def test_an_invalid_body_is_refused(slip):
    """One slip against order, cardinality, presence or type is enough."""
    assert not OURS.validate(edited(*INVALID[slip]))


@pytest.mark.parametrize("why", LEFT_OUT)
def test_what_document_sharing_does_not_use_is_refused(why):
    """Each reason of the list has a body that is refused for it alone."""
    tree = edited(*USES_LEFT_OUT[why])

    assert left_out(tree) == [why]
    assert not OURS.validate(tree)


@pytest.mark.parametrize("why", LEFT_OUT)
def test_the_readme_tells_what_is_left_out(why):
    """The list of the tests and the list for readers are the same."""
    assert f"* {why}\n" in (WSDL / "README.md").read_text(encoding="utf-8")


@needs_published
@pytest.mark.parametrize("name", BODIES)
def test_the_published_schema_accepts_the_valid_bodies(name):
    """Every sample is valid by the standard too, and uses nothing of what is left out."""
    PUBLISHED.assertValid(body(name))
    assert left_out(body(name)) == []


@needs_published
@pytest.mark.parametrize("slip", INVALID)
def test_the_published_schema_refuses_the_invalid_bodies(slip):
    """Our refusals are the standard's, not inventions."""
    assert not PUBLISHED.validate(edited(*INVALID[slip]))


@needs_published
@pytest.mark.parametrize("why", LEFT_OUT)
def test_the_published_schema_accepts_what_is_left_out(why):
    """The list names real differences only; one that is none has to go."""
    PUBLISHED.assertValid(edited(*USES_LEFT_OUT[why]))


@pytest.mark.filterwarnings("default")
def test_the_published_schemas_are_at_hand():
    """Where they are not, the run says in its summary what it did not check."""
    if PUBLISHED is None:
        warnings.warn(NOT_AT_HAND, stacklevel=1)
        pytest.skip(NOT_AT_HAND)
