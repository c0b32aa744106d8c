"""The two sets of schemas, the sample bodies, and the list of what ours leave out.

Used by the tests of this folder only. The published files are other people's work and are not part of the
project: PUBLISHED is None where they are not at hand, and then `needs_published` says what goes unchecked.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

NAMESPACES = {
    "rim": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0",
    "rs": "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0",
    "lcm": "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0",
    "query": "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0",
    "cms": "urn:oasis:names:tc:ebxml-regrep:xsd:cms:3.0",
    "rmd": "urn:ihe:iti:rmd:2017",
    "xds": "urn:ihe:iti:xds-b:2007",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}

REPOSITORY = Path(__file__).parents[2]
WSDL = REPOSITORY / "wsdl"
ORACLE = REPOSITORY.parent / "shared" / "wsdl"
BODIES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "bodies").glob("*.xml"))}

#: Whitespace between elements means nothing here; without it an edit meets only elements.
_parser = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_blank_text=True, remove_comments=True
)


def schema(path: Path) -> etree.XMLSchema:
    """The compiled schema at `path`, imports read from the folder beside it and never from the network."""
    return etree.XMLSchema(etree.parse(path, _parser))


def body(name: str) -> etree._Element:
    """A fresh tree of one sample body."""
    return etree.fromstring(BODIES[name], _parser)


OURS = schema(WSDL / "schema" / "all.xsd")
PUBLISHED = schema(ORACLE / "schema" / "all.xsd") if ORACLE.is_dir() else None

NOT_AT_HAND = (
    "the published WSDL and schemas are not beside the repository (../shared/wsdl): NOT CHECKED that ours "
    "judge every sample and mutated body as they do, nor that our operations have their actions and elements"
)
needs_published = pytest.mark.skipif(PUBLISHED is None, reason=NOT_AT_HAND)

OTHER_OBJECTS = (
    "[contains(' AuditableEvent ClassificationNode ClassificationScheme ExternalLink Federation Organization"
    " Person Registry Service ServiceBinding SpecificationLink Subscription User ',"
    " concat(' ', local-name(), ' '))]"
)

#: ebRIM that IHE document sharing does not use: why it is left out -> where a body uses it.
#: The published schema accepts these bodies and ours refuses them; nothing else may be judged differently.
LEFT_OUT = {
    "packages name their members by Association; nested ones would be overlooked":
        "//rim:RegistryPackage/rim:RegistryObjectList",
    "a query is asked, never stored as an object":
        "//rim:RegistryObjectList/rim:AdhocQuery",
    "stored queries have parameters; no query language is spoken":
        "//rim:QueryExpression",
    "ITI-62 removes by id; a removal by query could take more than was meant":
        "/lcm:RemoveObjectsRequest/rim:AdhocQuery",
    "the base classes are objects of no kind":
        "//rim:RegistryObjectList/rim:Identifiable | //rim:RegistryObjectList/rim:RegistryObject",
    "organisations, services, people, events and subscriptions are kept elsewhere":
        "//rim:RegistryObjectList/*" + OTHER_OBJECTS,
    "IHE updates and deprecates by submission, and has no replication or content management":
        "/lcm:*[not(self::lcm:SubmitObjectsRequest or self::lcm:RemoveObjectsRequest)] | /cms:*",
    "filter queries of ebRS are not part of IHE":
        "/query:*[not(self::query:AdhocQueryRequest or self::query:AdhocQueryResponse"
        " or self::query:ResponseOption)]",
    "parts that no message has at its root":
        "/rs:RegistryRequest | /rim:Identifiable | /rim:RegistryObject | /rim:*" + OTHER_OBJECTS,
    "types are told by their element, not by xsi:type":
        "//*[@xsi:type]",
}  # fmt: skip


def left_out(tree: etree._Element) -> list[str]:
    """The reasons of LEFT_OUT that apply to a body."""
    return [why for why, where in LEFT_OUT.items() if tree.xpath(where, namespaces=NAMESPACES)]
