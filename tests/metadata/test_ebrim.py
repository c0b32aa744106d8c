"""ebRIM read and written: nothing lost, children re-issued, submissions recognised."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.metadata import samples
from xds.metadata import ebrim, names
from xds.metadata.ebrim import (
    adopt_siblings,
    fingerprint,
    read_object,
    read_object_list,
    stored_body,
    write_object,
)
from xds.metadata.model import LocalizedString, RegistryObject, Slot

OWN_ID = "urn:uuid:11111111-1111-4111-8111-111111111111"
KEPT_ID = "urn:uuid:22222222-2222-4222-8222-222222222222"

#: Everything an object can hold, in the order of the schema, with awkward characters and unknown slots.
EVERYTHING = f"""<r:RegistryObjectList xmlns:r="{names.RIM}"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <r:ObjectRef id="urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"/>
  <r:ExtrinsicObject status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
  xsi:type="r:ExtrinsicObjectType"
      id="Document01" mimeType="text/plain" isOpaque="false" lid="Document01" home="urn:oid:1.2.3"
      objectType="{names.STABLE}">
    <r:Slot name="urn:example:b" slotType="urn:example:type"><r:ValueList>
      <r:Value>  two blanks before &amp; a bracket &lt;</r:Value><r:Value/><r:Value>æøå &#13;&#10; 𝄞</r:Value>
    </r:ValueList></r:Slot>
    <r:Slot name="unknownAndNotUrn"><r:ValueList><!-- gone --><r:Value>1<!-- not here either
    -->2</r:Value></r:ValueList></r:Slot> <r:Slot name="urn:example:a"><r:ValueList/></r:Slot>
    <r:Name><r:LocalizedString xml:lang="nb-NO" charset="UTF-8" value="Tittel &quot;A&quot;&#10;&#9;B"/>
      <r:LocalizedString value="Title"/></r:Name>
    <r:Description><r:LocalizedString value=""/></r:Description>
    <r:VersionInfo versionName="1.1" comment="c"/>
    <r:Classification id="c1" classificationScheme="urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
        classifiedObject="Document01" nodeRepresentation="A00-1" objectType="urn:x">
      <r:Slot name="codingScheme"><r:ValueList><r:Value>1.2</r:Value></r:ValueList></r:Slot>
      <r:Name><r:LocalizedString value="Epikriser"/></r:Name>
    </r:Classification>
    <r:ExternalIdentifier id="{KEPT_ID}" registryObject="Document01" value="1.2.3^æ"
        identificationScheme="{names.DOCUMENT_UNIQUE_ID}">
      <r:Name><r:LocalizedString value="XDSDocumentEntry.uniqueId"/></r:Name>
    </r:ExternalIdentifier>
    <r:ExternalIdentifier id="i2" registryObject="Document01" value="17855599120^^^&amp;1.2&amp;ISO"
        identificationScheme="{names.DOCUMENT_PATIENT_ID}"/>
  </r:ExtrinsicObject>
</r:RegistryObjectList>""".encode()

EVERYTHING_READ = RegistryObject(
    kind="ExtrinsicObject",
    attributes={
        "status": "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved",
        "id": "Document01",
        "mimeType": "text/plain",
        "isOpaque": "false",
        "lid": "Document01",
        "home": "urn:oid:1.2.3",
        "objectType": "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1",
    },
    slots=(
        Slot("urn:example:b", ("  two blanks before & a bracket <", "", "æøå \r\n 𝄞"), "urn:example:type"),
        Slot("unknownAndNotUrn", ("12",)),
        Slot("urn:example:a", ()),
    ),
    name=(LocalizedString('Tittel "A"\n\tB', "nb-NO", "UTF-8"), LocalizedString("Title")),
    description=(LocalizedString(""),),
    version_info={"versionName": "1.1", "comment": "c"},
    classifications=(
        RegistryObject(
            "Classification",
            {
                "id": "c1",
                "classificationScheme": "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a",
                "classifiedObject": "Document01",
                "nodeRepresentation": "A00-1",
                "objectType": "urn:x",
            },
            slots=(Slot("codingScheme", ("1.2",)),),
            name=(LocalizedString("Epikriser"),),
        ),
    ),
    external_identifiers=(
        RegistryObject(
            "ExternalIdentifier",
            {
                "id": KEPT_ID,
                "registryObject": "Document01",
                "value": "1.2.3^æ",
                "identificationScheme": "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab",
            },
            name=(LocalizedString("XDSDocumentEntry.uniqueId"),),
        ),
        RegistryObject(
            "ExternalIdentifier",
            {
                "id": "i2",
                "registryObject": "Document01",
                "value": "17855599120^^^&1.2&ISO",
                "identificationScheme": "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427",
            },
        ),
    ),
)


def _body(
    obj: RegistryObject, *, ids: dict[str, str] | None = None, version: int | None = 1, **more
) -> RegistryObject:
    """The stored body read back, as the children of an otherwise empty object."""
    given = {
        "ids": ids or {},
        "own_id": OWN_ID,
        "version": version,
        "omit_identifier": names.DOCUMENT_PATIENT_ID,
    }
    body = stored_body(obj, **(given | more))
    declared = f'<rim:ExtrinsicObject xmlns:rim="{names.RIM}">'.encode()
    return read_object(samples.element(declared + body + b"</rim:ExtrinsicObject>"))


def test_everything_in_an_object_is_read() -> None:
    """Attributes, slots in order with their empty values, texts, version and children arrive as sent."""
    assert (EVERYTHING_READ,) == read_object_list(samples.element(EVERYTHING))


def test_a_comment_does_not_cut_a_value_short() -> None:
    """A value is its whole text even when the parser left comments in the tree."""
    assert (EVERYTHING_READ,) == read_object_list(etree.fromstring(EVERYTHING))


def test_everything_written_is_read_back_equal() -> None:
    """Writing loses nothing, line ends and blanks in values included."""
    assert (EVERYTHING_READ,) == read_object_list(samples.element(samples.object_list([EVERYTHING_READ])))


def test_attributes_and_children_are_written_in_the_order_of_the_schema() -> None:
    """The prefix is rim, nothing is declared, and the order does not depend on how it was sent."""
    obj = replace(
        EVERYTHING_READ,
        slots=(Slot("a", ("1",)),),
        description=(),
        classifications=(),
        external_identifiers=(),
    )
    assert (
        b'<rim:ExtrinsicObject id="Document01" home="urn:oid:1.2.3" lid="Document01"'
        b' objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"'
        b' status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"'
        b' mimeType="text/plain" isOpaque="false">'
        b'<rim:Slot name="a"><rim:ValueList><rim:Value>1</rim:Value></rim:ValueList></rim:Slot>'
        b'<rim:Name><rim:LocalizedString xml:lang="nb-NO" charset="UTF-8"'
        b' value="Tittel &quot;A&quot;&#10;&#9;B"/>'
        b'<rim:LocalizedString value="Title"/></rim:Name>'
        b'<rim:VersionInfo versionName="1.1" comment="c"/></rim:ExtrinsicObject>'
    ) == write_object(obj)


def test_an_object_without_children_is_an_empty_element() -> None:
    """An Association without slots is one tag."""
    link = RegistryObject(
        "Association", {"sourceObject": "a", "id": "x", "targetObject": "b", "associationType": "t"}
    )
    assert b'<rim:Association id="x" associationType="t" sourceObject="a" targetObject="b"/>' == write_object(
        link
    )


def test_symbolic_ids_are_replaced_where_they_name_objects_and_nowhere_else() -> None:
    """Ids, ends and owners are mapped; a code that happens to read like an id is not."""
    code = RegistryObject(
        "Classification",
        {"id": "c", "classifiedObject": "a", "classificationScheme": "urn:s", "nodeRepresentation": "a"},
    )
    link = RegistryObject(
        "Association",
        {"id": "a", "associationType": "a", "sourceObject": "b", "targetObject": "urn:z"},
        (Slot("a", ("a",)),),
        classifications=(code,),
    )
    written = write_object(link, {"a": "urn:A", "b": "urn:B"}).decode()
    assert (
        '<rim:Association id="urn:A" associationType="a" sourceObject="urn:B" targetObject="urn:z">'
        in written
    )
    assert 'classifiedObject="urn:A" nodeRepresentation="a"' in written
    assert '<rim:Slot name="a"><rim:ValueList><rim:Value>a</rim:Value>' in written


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), include_characters="\t\n\r")
).filter(lambda text: not set(text) & set("\ufffe\uffff"))
_SLOTS = st.lists(
    st.builds(Slot, _TEXT, st.lists(_TEXT, max_size=3).map(tuple), st.none() | _TEXT), max_size=3
)
_STRINGS = st.lists(st.builds(LocalizedString, _TEXT, st.none() | _TEXT, st.none() | _TEXT), max_size=2).map(
    tuple
)
_NAMES = st.sampled_from(["id", "home", "status", "classificationScheme", "value", "local"])


def _objects(kind: str, children: bool) -> st.SearchStrategy[RegistryObject]:
    nested = ("Classification", "ExternalIdentifier")
    lists = [st.lists(_objects(k, False), max_size=2).map(tuple) if children else st.just(()) for k in nested]
    return st.builds(
        RegistryObject,
        st.just(kind),
        st.dictionaries(_NAMES, _TEXT),
        _SLOTS.map(tuple),
        _STRINGS,
        _STRINGS,
        st.none() | st.dictionaries(st.sampled_from(["versionName", "comment"]), _TEXT),
        *lists,
    )


@given(_objects("ExtrinsicObject", True))
def test_any_object_survives_writing_and_reading(obj: RegistryObject) -> None:
    """Whatever XML can carry comes back equal, character for character."""
    assert (obj,) == read_object_list(samples.element(samples.object_list([obj])))


@given(_objects("ExtrinsicObject", True))
def test_any_stored_body_gives_back_slots_texts_and_codes(obj: RegistryObject) -> None:
    """The body keeps slots, names and every child's own content, in order."""
    back = _body(obj, version=None)
    assert (obj.slots, obj.name, obj.description, obj.version_info) == (
        back.slots,
        back.name,
        back.description,
        back.version_info,
    )
    assert [(c.slots, c.name) for c in obj.classifications] == [
        (c.slots, c.name) for c in back.classifications
    ]


def test_objects_nested_in_a_package_are_read_as_its_neighbours() -> None:
    """ebRIM's nested list is not used by IHE; what is in it is seen by validation all the same."""
    xml = f"""<RegistryObjectList xmlns="{names.RIM}"><RegistryPackage id="p"><RegistryObjectList>
        <ExtrinsicObject id="d"/></RegistryObjectList></RegistryPackage><Association
        id="a"/></RegistryObjectList>"""
    assert ["p", "d", "a"] == [o.id for o in read_object_list(samples.element(xml.encode()))]


def test_an_element_of_another_namespace_is_not_taken_for_ebrim() -> None:
    """Its kind is its full name, which validation refuses."""
    xml = f'<r:RegistryObjectList xmlns:r="{names.RIM}"><x:Other xmlns:x="urn:x"/></r:RegistryObjectList>'
    assert ["{urn:x}Other"] == [o.kind for o in read_object_list(samples.element(xml.encode()))]


# ---- adopt_siblings


def _label(owner: str, node: str) -> RegistryObject:
    return RegistryObject(
        "Classification", {"id": "l", "classifiedObject": owner, "classificationNode": node}
    )


def test_a_label_beside_its_package_moves_inside() -> None:
    """The marker Classification may be a sibling (ITI TF-3 4.2.1.2.1); order of the rest stays."""
    label = _label("p", names.SUBMISSION_SET_NODE)
    package = RegistryObject("RegistryPackage", {"id": "p"})
    other = RegistryObject("ExtrinsicObject", {"id": "d"})
    expected = (other, replace(package, classifications=(label,)))
    assert expected == adopt_siblings((other, label, package))
    assert expected == adopt_siblings(adopt_siblings((other, package, label)))


@pytest.mark.parametrize(
    "stray",
    [
        _label("elsewhere", names.FOLDER_NODE),
        _label("d", names.FOLDER_NODE),
        RegistryObject(
            "Classification", {"id": "c", "classifiedObject": "p", "classificationScheme": "urn:s"}
        ),
    ],
    ids=["no such package", "not a package", "a code, which must be nested"],
)
def test_a_classification_that_has_no_place_stays_for_validation(stray: RegistryObject) -> None:
    """Only labels of packages in the message are adopted."""
    objects = (
        RegistryObject("RegistryPackage", {"id": "p"}),
        RegistryObject("ExtrinsicObject", {"id": "d"}),
        stray,
    )
    assert objects == adopt_siblings(objects)


def test_a_label_sent_twice_counts_once() -> None:
    """Inside and beside at once is said twice, not two things."""
    label = _label("p", names.FOLDER_NODE)
    package = RegistryObject("RegistryPackage", {"id": "p"}, classifications=(label,))
    assert (package,) == adopt_siblings((package, label))


# ---- stored_body


def test_stored_children_name_their_object_and_carry_their_object_type() -> None:
    """classifiedObject, registryObject and objectType are right in every answer (ITI TF-3 4.2.3.1.2)."""
    body = _body(EVERYTHING_READ, ids={"Document01": OWN_ID})
    code, identifier = body.classifications[0], body.external_identifiers[0]
    prefix = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"
    assert (OWN_ID, prefix + "Classification") == (
        code.attributes["classifiedObject"],
        code.attributes["objectType"],
    )
    assert (OWN_ID, prefix + "ExternalIdentifier") == (
        identifier.attributes["registryObject"],
        identifier.attributes["objectType"],
    )


def test_stored_children_keep_uuids_and_get_new_ones_for_the_rest() -> None:
    """A child id is never global: valid ones stay, symbolic ones get one each, made from their object's."""
    body = _body(EVERYTHING_READ)
    assert KEPT_ID == body.external_identifiers[0].id
    ids = [child.id for child in (*body.classifications, *body.external_identifiers)]
    assert all(map(ebrim.is_uuid, ids))
    assert len(set(ids)) == len(ids)


def test_child_ids_differ_from_each_other_and_from_their_objects() -> None:
    """As many as an object can have children, and the same at every look."""
    owner = "urn:uuid:00000000-0000-4000-8000-000000000001"
    ids = [ebrim.child_id(owner, number) for number in range(1, 0x8000)]
    assert len({owner, *ids}) == 0x8000
    assert all(map(ebrim.is_uuid, ids[:100]))
    assert ids[0] == ebrim.child_id(owner, 1)


def test_the_omitted_identifier_is_not_stored() -> None:
    """The patient id can change by a merge and is written from its column."""
    kept = _body(EVERYTHING_READ).external_identifiers
    assert [names.DOCUMENT_UNIQUE_ID] == [i.attributes["identificationScheme"] for i in kept]


def test_omitted_slots_are_not_stored() -> None:
    """A slot that changes, such as a folder's lastUpdateTime, can be left to its column."""
    slots = _body(EVERYTHING_READ, omit_slots=("urn:example:b",)).slots
    assert ["unknownAndNotUrn", "urn:example:a"] == [slot.name for slot in slots]


@pytest.mark.parametrize(
    ("version", "expected"), [(1, {"versionName": "1"}), (None, {"versionName": "1.1", "comment": "c"})]
)
def test_the_registrys_version_stands_instead_of_the_senders(
    version: int | None, expected: dict[str, str]
) -> None:
    """A given version replaces VersionInfo; without one it stays as sent."""
    assert expected == _body(EVERYTHING_READ, version=version).version_info


def test_a_childs_own_lid_follows_its_new_id() -> None:
    """A lid equal to the symbolic id would dangle once the id is replaced."""
    child = RegistryObject("Classification", {"id": "c", "lid": "c", "classificationScheme": "s"})
    stored = _body(RegistryObject("ExtrinsicObject", {"id": "d"}, classifications=(child,))).classifications[
        0
    ]
    assert stored.id == stored.attributes["lid"]
    assert ebrim.is_uuid(stored.id)


def test_the_body_follows_the_order_of_the_schema() -> None:
    """Slot, Name, Description, VersionInfo, Classification, ExternalIdentifier."""
    wrapped = f'<o xmlns:rim="{names.RIM}">'.encode()
    body = stored_body(EVERYTHING_READ, ids={}, own_id=OWN_ID, version=1, omit_identifier="")
    tags = [etree.QName(child).localname for child in samples.element(wrapped + body + b"</o>")]
    assert ["Slot"] * 3 + ["Name", "Description", "VersionInfo", "Classification"] + [
        "ExternalIdentifier"
    ] * 2 == tags


# ---- fingerprint


def _changed_child(obj: RegistryObject, **attributes: str) -> RegistryObject:
    first, *rest = obj.classifications
    return replace(
        obj, classifications=(replace(first, attributes={**first.attributes, **attributes}), *rest)
    )


SAME = {
    "child id": _changed_child(EVERYTHING_READ, id="another"),
    "child objectType": _changed_child(EVERYTHING_READ, objectType="urn:y"),
    "status": replace(EVERYTHING_READ, attributes={**EVERYTHING_READ.attributes, "status": "urn:other"}),
    "attribute order": replace(
        EVERYTHING_READ, attributes=dict(reversed(EVERYTHING_READ.attributes.items()))
    ),
    "charset": replace(EVERYTHING_READ, name=tuple(replace(n, charset=None) for n in EVERYTHING_READ.name)),
    "version": replace(EVERYTHING_READ, version_info=None),
    "slot type": replace(
        EVERYTHING_READ, slots=tuple(replace(s, slot_type=None) for s in EVERYTHING_READ.slots)
    ),
}
DIFFERENT = {
    "object id": replace(EVERYTHING_READ, attributes={**EVERYTHING_READ.attributes, "id": "Document02"}),
    "mimeType": replace(EVERYTHING_READ, attributes={**EVERYTHING_READ.attributes, "mimeType": "text/html"}),
    "home": replace(
        EVERYTHING_READ, attributes={k: v for k, v in EVERYTHING_READ.attributes.items() if k != "home"}
    ),
    "code": _changed_child(EVERYTHING_READ, nodeRepresentation="B00-1"),
    "scheme": _changed_child(EVERYTHING_READ, classificationScheme="urn:s"),
    "title": replace(EVERYTHING_READ, name=(LocalizedString("Other"),)),
    "language": replace(EVERYTHING_READ, name=(LocalizedString("Title", "nn"),)),
    "no title": replace(EVERYTHING_READ, name=()),
    "title as description": replace(EVERYTHING_READ, name=(), description=EVERYTHING_READ.name),
    "slot order": replace(EVERYTHING_READ, slots=EVERYTHING_READ.slots[::-1]),
    "values joined": replace(
        EVERYTHING_READ, slots=(Slot("urn:example:b", ("".join(EVERYTHING_READ.slots[0].values),)),)
    ),
    "fewer identifiers": replace(
        EVERYTHING_READ, external_identifiers=EVERYTHING_READ.external_identifiers[:1]
    ),
}


@pytest.mark.parametrize("same", SAME.values(), ids=SAME)
def test_form_does_not_change_the_fingerprint(same: RegistryObject) -> None:
    """What the registry re-issues or overwrites does not make a repeat another submission."""
    assert fingerprint([EVERYTHING_READ]) == fingerprint([same])


@pytest.mark.parametrize("different", DIFFERENT.values(), ids=DIFFERENT)
def test_content_changes_the_fingerprint(different: RegistryObject) -> None:
    """Anything that means something makes it another submission."""
    assert fingerprint([EVERYTHING_READ]) != fingerprint([different])


def test_the_fingerprint_is_32_bytes_and_knows_the_order_of_the_objects() -> None:
    """SHA-256 over the objects as they stand in the message."""
    other = DIFFERENT["object id"]
    assert 32 == len(fingerprint([]))
    assert fingerprint([EVERYTHING_READ, other]) != fingerprint([other, EVERYTHING_READ])
    assert fingerprint(iter([EVERYTHING_READ, other])) == fingerprint((EVERYTHING_READ, other))


def test_the_fingerprint_stays_the_same_from_release_to_release() -> None:
    """It is stored with the submission; the value is sha256sum's, for the text below."""
    obj = RegistryObject("Association", {"id": "a", "status": "x"}, (Slot("n", ("v",)),))
    # printf '[["Association",[["id","a"]],[["n",["v"]]],[],[],[],[]]]' | sha256sum
    expected = "b09300af23a2f6068f154c97fed5c0414cb5dcf4519d5133056a382dc3eec5c2"
    assert expected == fingerprint([obj]).hex()
