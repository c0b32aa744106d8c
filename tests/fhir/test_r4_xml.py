"""FHIR's XML, both ways: by hand, against another library, and there and back for whatever is R4."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources import R4B
from hypothesis import HealthCheck, given, settings
from lxml import etree

from tests.fhir import r4_samples as samples
from tests.fhir.r4_samples import Resource
from tests.fhir.r4_strategies import resources
from tests.fuzzing import examples
from xds.errors import DataTypeError, Fault
from xds.fhir.r4.validation import problems
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


DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'


def patient(inner: str, *, within: str = "") -> bytes:
    """A Patient in XML with something in it, or in one of its elements."""
    if within:
        inner = f"<{within}>{inner}</{within}>"
    return f'<Patient xmlns="http://hl7.org/fhir">{inner}</Patient>'.encode()


def extension(inner: str) -> bytes:
    """A Patient in XML with an extension and its value."""
    return patient(f'<extension url="a">{inner}</extension>')


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


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(resources())
def test_every_resource_of_the_table_comes_back_as_it_was(resource: Resource) -> None:
    """Whatever R4 has a place for is the same after XML: values, gaps, extensions, resources in resources."""
    assert resource == from_xml(to_xml(resource))


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(resources())
def test_elements_are_written_in_the_order_of_r4(resource: Resource) -> None:
    """The order of members in JSON does not matter."""
    turned = _turned(resource)

    assert resource == turned
    assert to_xml(resource) == to_xml(turned)


def _turned(value: Any) -> Any:
    """With the members of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("valueBoolean", "true", True),
        ("valueBoolean", "1", "1"),
        ("valueInteger", "-5", -5),
        ("valueInteger", "+5", 5),
        ("valueInteger", "05", "05"),
        ("valueInteger", "5.0", "5.0"),
        ("valueInteger", "٣", "٣"),
        ("valueInteger", "9" * 5000, "9" * 5000),
        ("valueDecimal", "1.50", 1.5),
        ("valueDecimal", "100", 100),
        ("valueDecimal", "-0", -0.0),
        ("valueDecimal", "1e3", 1000.0),
        ("valueDecimal", "18446744073709551616", 18446744073709551616.0),
        ("valueDecimal", "1e999", "1e999"),
        ("valueDecimal", ".5", ".5"),
        ("valueDecimal", "NaN", "NaN"),
        ("valueDateTime", "2026", "2026"),
        ("valueString", "  a  ", "  a  "),
        ("valueString", "", ""),
    ],
)
def test_a_value_gets_the_type_that_it_has_in_json(kind: str, text: str, value: Any) -> None:
    """What is not of its type stays a text, for validation to tell of."""
    read = from_xml(extension(f'<{kind} value="{text}"/>'))["extension"][0]

    assert {"url": "a", kind: value} == read
    assert type(value) is type(read[kind])


def test_a_decimal_that_keeps_its_digits_is_written_with_them() -> None:
    """Python's Decimal has the zeros of 1.50, and XML gets them."""
    resource = {"resourceType": "Patient", "extension": [{"url": "a", "valueDecimal": Decimal("1.50")}]}

    assert extension('<valueDecimal value="1.50"/>') == to_xml(resource).replace(DECLARATION, b"")


def test_a_value_that_is_none_of_its_type_is_told_by_validation() -> None:
    """A number in XML that is none gets its place as in JSON."""
    told = problems(from_xml(extension('<valueInteger value="5.0"/>')))

    assert [("Patient.extension[0].value", "value")] == [(one.expression, one.code) for one in told]


@pytest.mark.parametrize(
    ("inner", "place"),
    [
        ("<gender/>", "Patient.gender"),
        ("<contact/>", "Patient.contact[0]"),
        ("<name><given/><given value='A'/></name>", "Patient.name[0].given"),
    ],
)
def test_an_element_without_content_is_told_by_validation(inner: str, place: str) -> None:
    """It is read as what it is, an element with nothing in it."""
    told = problems(from_xml(patient(inner)))

    assert place in {
        one.expression.removesuffix("[0]") if "given" in place else one.expression for one in told
    }


def test_a_narrative_is_read_without_its_prefix() -> None:
    """JSON has one form for it, whatever the names in XML."""
    data = patient(
        '<h:div xmlns:h="http://www.w3.org/1999/xhtml" xml:lang="nb"><!-- a -->'
        "<h:p>a<h:br></h:br></h:p></h:div>",
        within="text",
    )

    assert f'<div {samples.XHTML} xml:lang="nb"><p>a<br/></p></div>' == from_xml(data)["text"]["div"]


def test_a_schema_location_is_passed_over() -> None:
    """Many write one at the root."""
    data = (
        b'<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        b'xsi:schemaLocation="http://hl7.org/fhir patient.xsd"><active value="true"/></Patient>'
    )

    assert {"resourceType": "Patient", "active": True} == from_xml(data)


REFUSED = [
    # What is no resource.
    (b"", ""),
    (b"<Patient/>", "an element that is not in FHIR's namespace"),
    (b'<Observation xmlns="http://hl7.org/fhir"/>', "no FHIR resource of a type that is read here"),
    (b'<secret xmlns="http://hl7.org/fhir"/>', "no FHIR resource"),
    (b'<HumanName xmlns="http://hl7.org/fhir"/>', "no FHIR resource"),
    (b'<!DOCTYPE Patient><Patient xmlns="http://hl7.org/fhir"/>', "DOCTYPE"),
    # What R4 does not know.
    (patient("<secret/>"), "Patient has an element that R4 does not know there"),
    (patient("<secret/>", within="contact"), "Patient.contact[0] has an element"),
    (patient('<family xmlns="urn:secret"/>', within="name"), "In Patient.name[0] there is an element"),
    (patient('<url value="a"/>', within="extension"), "Patient.extension[0] has an element"),
    (patient("<resourceType/>"), "Patient has an element"),
    (patient("<div/>", within="text"), "Patient.text has an element"),
    (
        patient('<p xmlns="http://www.w3.org/1999/xhtml"/>', within="text"),
        "In Patient.text there is an element",
    ),
    (patient('<div xmlns="http://www.w3.org/1999/xhtml"/>', within="name"), "In Patient.name[0] there is"),
    (
        patient('<div xmlns="http://www.w3.org/1999/xhtml"><a xmlns=""/></div>', within="text"),
        "Patient.text.div",
    ),
    (patient('<gender value="male" secret="a"/>'), "Patient.gender has an attribute"),
    (patient('<name value="secret"/>'), "Patient.name[0] has an attribute"),
    (patient('<name><given value="a" url="secret"/></name>'), "Patient.name[0].given[0] has an attribute"),
    (b'<Patient xmlns="http://hl7.org/fhir" id="secret"/>', "Patient has an attribute"),
    # What is there twice, or in between.
    (patient('<gender value="male"/><gender value="male"/>'), "Patient.gender is there more than once"),
    (patient("<maritalStatus/><maritalStatus/>"), "Patient.maritalStatus is there more than once"),
    (
        patient("<gender><extension url='a'/></gender><gender value='male'/>"),
        "Patient.gender is there more than",
    ),
    (patient("secret"), "Patient has text between its elements"),
    (patient('<gender value="male">secret</gender>'), "Patient.gender has text"),
    (patient("<gender value='male'/>secret"), "Patient has text"),
    (patient("<given value='male'/>\u00a0", within="name"), "Patient.name[0] has text"),
    # Resources in resources.
    (patient("<contained/>"), "Patient.contained[0] does not hold one resource"),
    (patient("<contained><Patient/><Patient/></contained>"), "Patient.contained[0] does not hold one"),
    (patient("<contained><secret/></contained>"), "Patient.contained[0] does not hold one"),
    (patient('<contained id="a"><Patient/></contained>'), "Patient.contained[0] does not hold one"),
    (patient("<contained>secret<Patient/></contained>"), "Patient.contained[0] has text"),
    (patient("<contained><Patient/>secret</contained>"), "Patient.contained[0] has text"),
    (patient("<contained><Patient><secret/></Patient></contained>"), "Patient.contained[0] has an element"),
]


@pytest.mark.parametrize(("data", "sentence"), REFUSED)
def test_what_is_not_r4s_xml_is_refused_with_its_place(data: bytes, sentence: str) -> None:
    """The sentence says where, and nothing of what was sent."""
    with pytest.raises(Fault) as caught:
        from_xml(data)

    assert sentence in caught.value.reason
    assert "secret" not in caught.value.reason


UNWRITABLE: list[tuple[Any, str]] = [
    ({}, "no resource"),
    ({"resourceType": "secret"}, "no resource"),
    ({"resourceType": "Patient", "secret": 1}, "Patient has an element"),
    ({"resourceType": "Patient", "_name": [{"id": "a"}]}, "Patient has an element"),
    ({"resourceType": "Patient", "name": {"family": "secret"}}, "Patient.name is not an array"),
    ({"resourceType": "Patient", "name": ["secret"]}, "Patient.name[0] has no content"),
    ({"resourceType": "Patient", "name": [None]}, "Patient.name[0] has no content"),
    ({"resourceType": "Patient", "gender": None}, "Patient.gender has no content"),
    ({"resourceType": "Patient", "gender": {"secret": 1}}, "Patient.gender is no value"),
    ({"resourceType": "Patient", "gender": "\x00secret"}, "a character that XML cannot hold"),
    ({"resourceType": "Patient", "gender": "\ud800secret"}, "a character that XML cannot hold"),
    ({"resourceType": "Patient", "multipleBirthInteger": 10**5000}, "Patient.multipleBirth is no value"),
    ({"resourceType": "Patient", "multipleBirthInteger": float("inf")}, "Patient.multipleBirth is no value"),
    ({"resourceType": "Patient", "text": {"div": "<p>secret"}}, "Patient.text.div"),
    (
        {"resourceType": "Patient", "contained": [{"resourceType": "secret"}]},
        "Patient.contained[0] is no resource",
    ),
    ({"resourceType": "Patient", "contained": ["secret"]}, "Patient.contained[0] has no content"),
]


@pytest.mark.parametrize(("resource", "sentence"), UNWRITABLE)
def test_what_r4_has_no_xml_for_is_not_written(resource: Mapping[str, Any], sentence: str) -> None:
    """It is an error of whoever did not validate, with the place and no value."""
    with pytest.raises(DataTypeError) as caught:
        to_xml(resource)

    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_nested_as_deep_as_xml_may_be_is_read_and_written() -> None:
    """A deep resource takes no more of the stack than a flat one."""
    inner: Resource = {"url": "a", "valueCode": "a"}
    for _ in range(252):
        inner = {"url": "a", "extension": [inner]}
    resource = {"resourceType": "Patient", "extension": [inner]}

    assert resource == from_xml(to_xml(resource))


def test_what_is_nested_deeper_than_python_may_call_is_written() -> None:
    """And not read again: there the limit is the parser's."""
    inner: Resource = {"url": "a", "valueCode": "a"}
    for _ in range(20_000):
        inner = {"url": "a", "extension": [inner]}

    with pytest.raises(Fault, match="256 levels"):
        from_xml(to_xml({"resourceType": "Patient", "extension": [inner]}))
