"""The WSDL of the patient feed (ITI TF-2 3.44): IHE's names, the transactions of the endpoint, loadable."""

from __future__ import annotations

import pytest
import zeep
from lxml import etree

from tests.nodes import Node
from tests.wsdl.schemas import WSDL
from tests.wsdl.test_wsdl import find, operations
from xds.app import ENDPOINTS

HL7 = "urn:hl7-org:v3"
NAMES = ("PRPA_IN201301UV02", "PRPA_IN201302UV02", "PRPA_IN201304UV02")
ANSWER = "MCCI_IN000002UV01"


def test_the_operations_are_those_of_the_standard_and_of_the_endpoint() -> None:
    """Three messages, each answered with the accept acknowledgement."""
    expected = {
        f"DocumentRegistry_{name}": (
            f"{HL7}:{name}",
            f"{{{HL7}}}{name}",
            f"{HL7}:{ANSWER}",
            f"{{{HL7}}}{ANSWER}",
        )
        for name in NAMES
    }
    assert operations(WSDL / "pix.wsdl") == expected
    _, offered = ENDPOINTS["/pix/feed"]
    assert [(each.action, each.element, each.response_action) for each in offered] == [
        exchange[:3] for exchange in expected.values()
    ]


@pytest.mark.parametrize("soap", ["soap12", "soap11"])
def test_every_operation_is_bound_to_both_versions_of_soap(soap: str) -> None:
    """Document/literal, in the order of the port type."""
    wsdl = etree.parse(WSDL / "pix.wsdl").getroot()
    [binding] = find(wsdl, f"w:binding[{soap}:binding]")
    assert find(binding, "w:operation/@name") == [f"DocumentRegistry_{name}" for name in NAMES]
    assert find(binding, f".//{soap}:operation/@soapAction") == [f"{HL7}:{name}" for name in NAMES]
    assert set(find(binding, f".//{soap}:body/@use")) == {"literal"}


def test_another_stack_reads_it_from_the_node(node: Node) -> None:
    """With its schemas, at the node's own address."""
    client = zeep.Client(f"{node.url}/pix/feed?wsdl")
    (service,) = client.wsdl.services.values()
    assert {port.binding_options["address"] for port in service.ports.values()} == {f"{node.url}/pix/feed"}
