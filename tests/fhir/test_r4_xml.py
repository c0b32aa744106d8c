"""FHIR's XML, both ways: by hand, against another library, and there and back for whatever is R4."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from fhir.resources import R4B
from lxml import etree

from tests.fhir import r4_samples as samples
from tests.fhir.r4_samples import Resource
from xds.fhir.r4.xml import from_xml, to_xml

PATIENT = """<?xml version="1.0" encoding="UTF-8"?>
<Patient xmlns="http://hl7.org/fhir">
 <id value="pat"/>
 <text>
  <status value="generated"/>
  <div xmlns="http://www.w3.org/1999/xhtml"><p>Line &amp; <b>Danser</b><br/>
Oslo</p></div>
 </text>
 <identifier>
  <system value="urn:oid:2.16.578.1.12.4.1.4.1"/>
  <value value="13116900216"/>
 </identifier>
 <active value="true"/>
 <name>
  <use value="official"/>
  <family value="Danser"/>
  <given value="Line"/>
  <given>
   <extension url="urn:x:unknown">
    <valueCode value="unknown"/>
   </extension>
  </given>
  <given value="Åse" id="g3"/>
 </name>
 <telecom>
  <system value="phone"/>
  <value value="+47 22 00 00 00"/>
  <rank value="1"/>
 </telecom>
 <gender value="female"/>
 <birthDate value="1969-11-13">
  <extension url="urn:x:time">
   <valueDateTime value="1969-11-13T04:30:00+01:00"/>
  </extension>
 </birthDate>
 <deceasedBoolean value="false"/>
 <multipleBirthInteger value="2"/>
</Patient>
"""


def _flat(xml: str) -> str:
    """Without the white space between elements."""
    return re.sub(r">\n *<", "><", xml.strip()).replace("?><", "?><", 1)


def test_a_patient_is_written_as_in_r4() -> None:
    """Ids, extensions of primitives, arrays with gaps, a choice and a narrative."""
    assert _flat(PATIENT) == to_xml(samples.patient()).decode()


def test_a_patient_is_read_as_in_r4() -> None:
    """White space between elements means nothing, inside the narrative it stays."""
    assert samples.patient() == from_xml(PATIENT.encode())


@pytest.mark.parametrize("make", samples.ALL, ids=lambda make: make.__name__)
def test_a_resource_comes_back_as_it_was(make: Callable[[], Resource]) -> None:
    """To XML and back is the same JSON."""
    assert make() == from_xml(to_xml(make()))


@pytest.mark.parametrize("make", samples.ALL, ids=lambda make: make.__name__)
def test_any_order_is_read_and_the_right_one_written(make: Callable[[], Resource]) -> None:
    """Elements in any order are the same resource."""
    right = to_xml(make())
    root = etree.fromstring(right)
    shuffle = random.Random(1).shuffle
    for element in list(root.iter("{http://hl7.org/fhir}*")):
        # What is repeated has an order of its own, which stays.
        names = list({child.tag: None for child in element})
        shuffle(names)
        element[:] = [child for name in names for child in element if child.tag == name]
    shuffled = etree.tostring(root)

    assert make() == from_xml(shuffled)
    assert right == to_xml(from_xml(shuffled))


@pytest.mark.parametrize(
    "make",
    [samples.document_reference, samples.submission_set, samples.bundle, samples.answer],
    ids=lambda make: make.__name__,
)
def test_another_library_writes_the_same_elements_in_the_same_order(make: Callable[[], Resource]) -> None:
    """fhir.resources is of R4B, in which these resources are as in R4."""
    resource = make()
    model = R4B.get_fhir_model_class(resource["resourceType"])
    theirs = etree.fromstring(model.model_validate(resource).model_dump_xml())
    ours = etree.fromstring(to_xml(resource))

    assert [element.tag for element in theirs.iter()] == [element.tag for element in ours.iter()]
