"""What is shown of a blocked document entry: each attribute's fate, and that nothing else ever gets out.

Secret values contain SECRET and can be looked for in the answer's bytes; values that stay contain KEPT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.metadata import samples as s
from tests.wsdl import schemas
from xds.metadata import attributes, names
from xds.metadata.datatypes import XCN, XON
from xds.metadata.ebrim import read_object
from xds.metadata.entries import document_entry, registry_object
from xds.metadata.model import Author, Code, DocumentEntry, LocalizedString, RegistryObject, Slot
from xds.registry import elements
from xds.registry.masking import MASK, NotMaskable, mask
from xds.store import schema
from xds.store.bodies import pack
from xds.store.codes import Codes

OWN = "urn:uuid:0f3c7a52-1111-4222-8333-000000000001"
FIRST = "urn:uuid:0f3c7a52-1111-4222-8333-000000000002"
SECRET = "hemmelig"
KEPT = "blir"
MASKED_CODE = Code(MASK, MASK, MASK)
EVERYTHING = s.rich_document_entry(
    entry_uuid=OWN,
    logical_id=FIRST,
    document_availability=names.ONLINE,
    reference_ids=(f"{SECRET}^^^^urn:ihe:iti:xds:2013:order",),
    uri=f"{SECRET}.pdf",
)


def text_of(entry: DocumentEntry | RegistryObject, version: int = 1) -> bytes:
    """The lasting text of an entry, as it is stored."""
    obj = registry_object(entry) if isinstance(entry, DocumentEntry) else entry
    return elements.lasting(schema.KIND_DOCUMENT_ENTRY, obj, {obj.id: OWN, FIRST: FIRST}, version)


def answered(body: bytes) -> bytes:
    """The element that is written for a row that is masked, as a document of its own."""
    row = (
        schema.KIND_DOCUMENT_ENTRY,
        schema.STATUS_APPROVED,
        None,
        f"{SECRET}^^^&1.2&ISO",
        None,
        1,
        pack(body),
    )
    xml = b"".join(b"".join(pieces) for pieces in elements.write([row], cast(Codes, None)))
    return xml.replace(b" ", f' xmlns:rim="{names.RIM}" '.encode(), 1)


def seen(body: bytes) -> DocumentEntry:
    """What a caller reads of a blocked entry, after a look at the schema."""
    element = s.element(answered(body))
    schemas.OURS.assertValid(element)
    return document_entry(read_object(element))


def code_child(scheme: str, own: str = "c", **given: Any) -> RegistryObject:
    """A Classification by scheme; `given` are fields of RegistryObject."""
    xml = {"id": own, "classifiedObject": OWN, "classificationScheme": scheme} | given.pop("attributes", {})
    return RegistryObject("Classification", xml, **given)


def with_classification(*children: RegistryObject) -> RegistryObject:
    """An entry with these Classifications beside its own."""
    obj = registry_object(EVERYTHING)
    return replace(obj, classifications=(*obj.classifications, *children))


def assert_same(one: bytes, other: bytes) -> None:
    """Callers are shown the same, but for ids of children: those are counted."""
    assert repr(seen(one)) == repr(seen(other))
    assert SECRET.encode() not in mask(one) + mask(other)


# -- each attribute ------------------------------------------------------------------------------------------

STAYS: Any = object()
#: What a caller reads of an attribute: the same as before, or this. limitedMetadata is a label: see below.
FATES: Mapping[str, Any] = {
    "author": (Author("*****^*****^*****^^^^^^*****", (s.HOSPITAL_UNIT, MASK)),),
    "availabilityStatus": names.APPROVED,
    "classCode": STAYS,
    "comments": None,
    "confidentialityCode": STAYS,
    "creationTime": STAYS,
    "documentAvailability": STAYS,
    "entryUUID": STAYS,
    "eventCodeList": (),
    "formatCode": MASKED_CODE,
    "hash": STAYS,
    "healthcareFacilityTypeCode": STAYS,
    "homeCommunityId": STAYS,
    "languageCode": STAYS,
    "legalAuthenticator": "*****^*****^*****^^^^^^*****",
    "logicalID": STAYS,
    "mimeType": STAYS,
    "objectType": STAYS,
    "patientId": MASK,
    "practiceSettingCode": MASKED_CODE,
    "referenceIdList": (),
    "repositoryUniqueId": STAYS,
    "serviceStartTime": STAYS,
    "serviceStopTime": STAYS,
    "size": STAYS,
    "sourcePatientId": MASK,
    "sourcePatientInfo": (),
    "title": "Sperret",
    "typeCode": MASKED_CODE,
    "uniqueId": STAYS,
    "URI": None,
    "version": 1,
}


def test_every_attribute_has_a_fate() -> None:
    """A new attribute of the standard is hidden until somebody has decided about it here."""
    assert FATES.keys() == {a.name for a in attributes.DOCUMENT_ENTRY.attributes if a.field}


@pytest.mark.parametrize(
    "attribute", [a for a in attributes.DOCUMENT_ENTRY.attributes if a.field], ids=lambda a: a.name
)
def test_an_attribute_is_kept_masked_or_left_out(attribute: attributes.Attribute) -> None:
    """By the table above; display names too, which do not count when codes are compared."""
    expected = FATES[attribute.name]
    if expected is STAYS:
        expected = getattr(EVERYTHING, attribute.field)
    found = getattr(seen(text_of(EVERYTHING)), attribute.field)
    assert repr(expected) == repr(found)


def test_slots_of_no_standard_are_left_out() -> None:
    """Whatever their names are."""
    assert EVERYTHING.extra_slots
    assert seen(text_of(EVERYTHING)).extra_slots == ()


def test_the_label_of_limited_metadata_is_left_out() -> None:
    """So is every Classification without a scheme."""
    label = {
        "id": "l",
        "classifiedObject": OWN,
        "classificationNode": "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85",
    }
    limited = with_classification(RegistryObject("Classification", label))
    assert_same(text_of(EVERYTHING), text_of(limited))


def test_an_on_demand_entry_stays_one() -> None:
    """It has no creationTime, hash and size, and gets none."""
    entry = replace(EVERYTHING, object_type=names.ON_DEMAND, creation_time=None, hash=None, size=None)
    found = seen(text_of(entry))
    assert (names.ON_DEMAND, None, None, None) == (
        found.object_type,
        found.creation_time,
        found.hash,
        found.size,
    )


def test_an_entry_without_title_is_titled_blocked() -> None:
    """Whether there was one is not told."""
    assert mask(text_of(replace(EVERYTHING, title=None, comments=None))) == mask(text_of(EVERYTHING))


def test_children_keep_their_ids_and_their_object() -> None:
    """So the answer is valid ebRIM, masked codes and all."""
    body = text_of(EVERYTHING)
    found = read_object(s.element(answered(body))).classifications
    assert all(f' id="{each.id}"'.encode() in body for each in found)
    assert len(found) == len({each.id for each in found})
    assert {OWN} == {each.attributes["classifiedObject"] for each in found}


# -- authors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("^Fjell", "^*****"),
        ("Fjell&von^Tuva^^^^Dr^^^&1.2&ISO^D", "*****^*****^^^^*****^^^*****^*****"),
        ("1~2^\\T\\x", "*****^*****"),
        ("^^", "^^"),
        ("^".join("abcdefghijklmnopqrstuvwxyzæøå"), "^".join([MASK] * 23)),
        ("</rim:Value>^<b/>", "*****^*****"),
    ],
)
def test_of_a_person_the_filled_components_are_masked(sent: str, shown: str) -> None:
    """Each in its place, as many as an XCN has, so that it is no longer than a value may be."""
    found = seen(text_of(replace(EVERYTHING, authors=(Author(sent),), legal_authenticator=sent)))
    assert (shown, (Author(shown),)) == (found.legal_authenticator, found.authors)


def test_a_masked_person_and_institution_can_be_read() -> None:
    """As the data types of HL7 that they are."""
    (author,) = seen(text_of(EVERYTHING)).authors
    assert MASK == XCN.parse(author.person or "").family
    assert ["Eksempelsykehuset HF", MASK] == [XON.parse(each).name for each in author.institutions]


@pytest.mark.parametrize(
    ("institution", "is_kept"),
    [
        (s.HOSPITAL_UNIT, True),
        ("Sykehus & Sønn^^^^^&2.16.578.1.12.4.1.4.101&ISO", True),
        (s.DEPARTMENT, False),
        ("Avdeling^^^^^&2.16.578.1.12.4.5.390&ISO^^^^Avdeling", False),
        ("Avdeling", False),
        ("", False),
        ("&2.16.578.1.12.4.1.4.101&ISO", False),
        ("A^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000 Avdeling", False),
        ("A^Avdeling^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000", False),
        ("A^^^^^Avdeling&2.16.578.1.12.4.1.4.101&ISO^^^^310000000", False),
        ("A^^^^^&2.16.578.1.12.4.1.4.1011&ISO^^^^310000000", False),
        ("A^^^^^&2x16.578.1.12.4.1.4.101&ISO^^^^310000000", False),
        ("A^^^^^&2.16.578.1.12.4.1.101&ISO^^^^310000000", False),
        ("A^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^&2.16.578.1.12.4.1.4.101&ISO", False),
    ],
)
def test_an_institution_is_kept_when_it_is_an_enterprise_with_its_number(
    institution: str, is_kept: bool
) -> None:
    """Only in the exact form: what is said beside name and number could be a department."""
    (author,) = seen(text_of(replace(EVERYTHING, authors=(Author(institutions=(institution,)),)))).authors
    assert (institution if is_kept else MASK,) == author.institutions


def test_an_author_known_by_an_address_only_is_still_somebody() -> None:
    """An author without person and institution would not be valid."""
    found = seen(text_of(replace(EVERYTHING, authors=(Author(telecommunications=("^^^a@example.org",)),))))
    assert (Author(MASK),) == found.authors


def test_there_are_as_many_authors_as_before() -> None:
    """In their order."""
    authors = (Author("1"), s.AUTHOR, Author("^A"))
    assert 3 == len(seen(text_of(replace(EVERYTHING, authors=authors))).authors)


# -- the unusual ---------------------------------------------------------------------------------------------

CLASS_CODE = attributes.DOCUMENT_ENTRY.scheme("classCode")
CODING = Slot("codingScheme", ("1.2",))


@pytest.mark.parametrize(
    "unusual",
    [
        {"slots": (Slot("a", (SECRET,)), CODING, Slot(SECRET, ()))},
        {"slots": (replace(CODING, slot_type=SECRET),)},
        {"slots": (CODING,), "description": (LocalizedString(SECRET, SECRET, SECRET),)},
        {"slots": (CODING,), "version_info": {"versionName": SECRET, "comment": SECRET}},
        {
            "slots": (CODING,),
            "attributes": {"lid": SECRET, "home": SECRET, "status": SECRET, "other": SECRET},
        },
        {"slots": (CODING,), "attributes": {"id": FIRST, "classificationNode": SECRET}},
        {
            "slots": (CODING,),
            "classifications": (code_child(CLASS_CODE, attributes={"nodeRepresentation": SECRET}),),
        },
        {
            "slots": (CODING,),
            "external_identifiers": (
                RegistryObject(
                    "ExternalIdentifier",
                    {"id": "i", "identificationScheme": names.DOCUMENT_UNIQUE_ID, "value": SECRET},
                    classifications=(code_child(SECRET),),
                ),
            ),
        },
    ],
)
def test_of_a_code_that_is_kept_only_the_code_is(unusual: dict[str, Any]) -> None:
    """Its scheme and display name; ebRIM has room for more, which nobody knows."""
    given = {"nodeRepresentation": f"{KEPT} <1>"} | unusual.get("attributes", {})
    child = code_child(
        CLASS_CODE, **unusual | {"attributes": given, "name": (LocalizedString("vist", "nb"),)}
    )
    obj = registry_object(EVERYTHING)
    obj = replace(obj, classifications=(child, *obj.classifications))
    body = text_of(obj)
    assert SECRET.encode() not in mask(body)
    (shown, *others) = read_object(s.element(answered(body))).classifications
    assert (KEPT + " <1>", (CODING,), "vist") == (
        shown.attributes["nodeRepresentation"],
        shown.slots,
        shown.name[0].value,
    )
    assert len(read_object(s.element(answered(text_of(EVERYTHING)))).classifications) == len(others)


def test_a_classification_may_be_by_any_scheme() -> None:
    """One that is the entry's own id is left out like every other that is not known."""
    odd = [code_child(each, attributes={"nodeRepresentation": SECRET}) for each in (OWN, "", SECRET, 'a"/>')]
    assert_same(text_of(EVERYTHING), text_of(with_classification(*odd)))


def test_a_long_child_is_masked_like_a_short_one() -> None:
    """Long ones are not remembered."""
    code = Code("1", "1.2", KEPT * 200)
    many = Author("1^a", tuple(f"{SECRET}{n}" for n in range(500)))
    entry = replace(
        EVERYTHING, type_code=replace(code, display=SECRET * 100), class_code=code, authors=(many,)
    )
    found = seen(text_of(entry))
    assert repr((code, MASKED_CODE)) == repr((found.class_code, found.type_code))
    assert (Author("*****^*****", (MASK,) * 500),) == found.authors


def test_an_entry_with_next_to_nothing_in_it_is_masked() -> None:
    """No slots, no codes, no uniqueId: old rows are not judged."""
    bare = RegistryObject("ExtrinsicObject", {"id": OWN, "objectType": names.STABLE, "isOpaque": SECRET})
    found = seen(text_of(bare))
    assert ("Sperret", "", (), MASK) == (found.title, found.unique_id, found.authors, found.patient_id)


# -- whatever may come ---------------------------------------------------------------------------------------

MARKUP = st.sampled_from(
    [
        "</rim:Value></rim:ValueList></rim:Slot>",
        "&lt;/rim:Slot&gt;",
        '"/></rim:Name><rim:Classification id="',
        '" objectType="',
        f'" classifiedObject="{OWN}"',
        f'<rim:ExternalIdentifier identificationScheme="{names.DOCUMENT_PATIENT_ID}" value="',
        "]]><!--",
        "\r\n\t",
        "&#0;&",
        OWN,
        MASK,
    ]
)
ANY = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=8)
DECORATION = st.lists(MARKUP | ANY, max_size=2).map("".join)
SECRETS = st.builds("{}{}{}".format, DECORATION, st.just(SECRET), DECORATION)
STAYING = st.builds("{}{}".format, st.just(KEPT), DECORATION) | st.just("")
SECRET_OR_EMPTY = SECRETS | st.just("")
MANY_SECRETS = st.lists(SECRET_OR_EMPTY, max_size=3).map(tuple)
OPTIONAL_SECRET = st.none() | SECRET_OR_EMPTY
PERSONS = st.lists(SECRET_OR_EMPTY, max_size=12).map("^".join)
ENTERPRISES = STAYING.map(
    lambda name: f"{name.replace('^', '')}^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000"
)
KEPT_CODES = st.builds(Code, STAYING, STAYING, st.none() | STAYING)
SECRET_CODES = st.builds(Code, SECRET_OR_EMPTY, SECRET_OR_EMPTY, OPTIONAL_SECRET)
AUTHORS = st.builds(
    Author,
    st.none() | PERSONS,
    st.lists(SECRETS | ENTERPRISES, max_size=3).map(tuple),
    MANY_SECRETS,
    MANY_SECRETS,
    MANY_SECRETS,
)
ENTRIES = st.fixed_dictionaries(
    {
        "mime_type": STAYING.map(lambda text: text.replace(";", "")),
        "unique_id": STAYING,
        "logical_id": st.sampled_from([OWN, FIRST]),
        "class_code": KEPT_CODES,
        "healthcare_facility_type_code": KEPT_CODES,
        "confidentiality_codes": st.lists(KEPT_CODES, max_size=3).map(tuple),
        "language_code": STAYING,
        "repository_unique_id": st.none() | STAYING,
        "creation_time": st.none() | STAYING,
        "service_start_time": st.none() | STAYING,
        "service_stop_time": st.none() | STAYING,
        "hash": st.none() | STAYING,
        "size": st.none() | st.integers(0, 2**63 - 1),
        "document_availability": st.none() | STAYING,
        "patient_id": SECRETS,
        "type_code": SECRET_CODES,
        "format_code": SECRET_CODES,
        "practice_setting_code": SECRET_CODES,
        "event_codes": st.lists(SECRET_CODES, max_size=3).map(tuple),
        "source_patient_id": SECRET_OR_EMPTY,
        "source_patient_info": MANY_SECRETS,
        "reference_ids": MANY_SECRETS,
        "legal_authenticator": st.none() | PERSONS,
        "authors": st.lists(AUTHORS, max_size=3).map(tuple),
        "title": OPTIONAL_SECRET,
        "comments": OPTIONAL_SECRET,
        "uri": OPTIONAL_SECRET,
    }
).map(lambda given: replace(EVERYTHING, **given))
SECRET_SLOTS = st.lists(st.builds(Slot, SECRETS, MANY_SECRETS, OPTIONAL_SECRET), max_size=2).map(tuple)
SECRET_STRINGS = st.lists(
    st.builds(LocalizedString, SECRETS, OPTIONAL_SECRET, OPTIONAL_SECRET), max_size=2
).map(tuple)
SECRET_XML = st.dictionaries(st.sampled_from(["home", "lid", "status", "comment"]), SECRETS, max_size=2)
VERSIONS = st.none() | st.dictionaries(st.sampled_from(["versionName", "comment"]), SECRETS)
#: Known schemes too: a known attribute where it does not belong.
SCHEMES = st.sampled_from([a.key for a in attributes.DOCUMENT_ENTRY.attributes if a.key]) | SECRETS


def children(kind: str, schemes: st.SearchStrategy[str]) -> st.SearchStrategy[RegistryObject]:
    """Children without children, with secrets wherever there is room."""
    scheme, value = {
        "Classification": ("classificationScheme", "nodeRepresentation"),
        "ExternalIdentifier": ("identificationScheme", "value"),
    }[kind]
    xml = st.builds(
        lambda more, own, key, text: {**more, "id": own, scheme: key, value: text},
        SECRET_XML,
        st.sampled_from([FIRST, SECRET]),
        schemes,
        SECRETS,
    )
    return st.builds(
        RegistryObject, st.just(kind), xml, SECRET_SLOTS, SECRET_STRINGS, SECRET_STRINGS, VERSIONS
    )


GRANDCHILDREN = st.lists(
    children("Classification", SCHEMES) | children("ExternalIdentifier", SCHEMES), max_size=2
)


def with_children(parent: RegistryObject, nested: list[RegistryObject]) -> RegistryObject:
    """The object with these children and no others."""
    return replace(
        parent,
        classifications=tuple(each for each in nested if each.kind == "Classification"),
        external_identifiers=tuple(each for each in nested if each.kind == "ExternalIdentifier"),
    )


def unknown(kind: str) -> st.SearchStrategy[RegistryObject]:
    """Children by a scheme that nobody knows."""
    return st.builds(with_children, children(kind, SECRETS), GRANDCHILDREN)


def stuffed(child: RegistryObject, more: RegistryObject) -> RegistryObject:
    """The child with what another has beside its scheme and value added to it."""
    unused = {n: v for n, v in more.attributes.items() if n in ("home", "lid", "status", "comment")}
    return replace(
        more,
        kind=child.kind,
        attributes=unused | dict(child.attributes),
        slots=(*more.slots[:1], *child.slots, *more.slots[1:]),
        name=child.name,
    )


@st.composite
def blocked(draw: Callable[..., Any]) -> tuple[DocumentEntry, RegistryObject]:
    """An entry and its object with, now and then, more in it than the entry says."""
    entry = draw(ENTRIES)
    obj = registry_object(entry)
    if draw(st.booleans()):
        obj = replace(
            obj,
            attributes={**obj.attributes, **draw(SECRET_XML), "lid": entry.logical_id},
            slots=(*draw(SECRET_SLOTS), *obj.slots, *draw(SECRET_SLOTS)),
            name=draw(SECRET_STRINGS),
            description=draw(SECRET_STRINGS),
        )
    if draw(st.booleans()):
        classifications, identifiers = list(obj.classifications), list(obj.external_identifiers)
        for known, kind in ((classifications, "Classification"), (identifiers, "ExternalIdentifier")):
            place = draw(st.integers(0, len(known) - 1))
            known[place] = stuffed(known[place], draw(unknown(kind)))
            known.insert(draw(st.integers(0, len(known))), draw(unknown(kind)))
        obj = replace(obj, classifications=tuple(classifications), external_identifiers=tuple(identifiers))
    return entry, obj


@settings(max_examples=examples(100), deadline=None)
@given(blocked())
def test_no_secret_gets_out_and_all_that_stays_is_the_same(
    given: tuple[DocumentEntry, RegistryObject],
) -> None:
    """Whatever an entry has in it: the schema is followed, what stays is equal, and a second mask changes
    nothing."""
    entry, obj = given
    body = text_of(obj)
    masked = mask(body)
    assert SECRET.encode() not in masked
    assert SECRET.encode() not in answered(body)
    assert masked == mask(masked)
    found = seen(body)
    for attribute in attributes.DOCUMENT_ENTRY.attributes:
        if FATES.get(attribute.name) is STAYS:
            assert repr(getattr(entry, attribute.field)) == repr(getattr(found, attribute.field)), (
                attribute.name
            )
    assert [
        [each for each in author.institutions if KEPT in each or "4.101" in each] for author in found.authors
    ] == [[each for each in author.institutions if SECRET not in each] for author in entry.authors]


# -- what is not a document entry ----------------------------------------------------------------------------


def other_texts() -> dict[str, bytes]:
    """The texts of other kinds, and of no kind."""
    made = {
        schema.KIND_SUBMISSION_SET: registry_object(s.submission_set(entry_uuid=OWN)),
        schema.KIND_FOLDER: registry_object(s.folder(entry_uuid=OWN)),
        schema.KIND_ASSOCIATION: registry_object(s.member(FIRST, FIRST, entry_uuid=OWN)),
    }
    entry = text_of(EVERYTHING)
    return {
        **{
            obj.kind + str(kind): elements.lasting(kind, obj, {OWN: OWN, FIRST: FIRST})
            for kind, obj in made.items()
        },
        "nothing": b"",
        "a whole element": answered(entry),
        "two texts": entry + entry,
        "other object type": entry.replace(names.STABLE.encode(), names.SUBMISSION_SET_NODE.encode()),
        "closed": entry + b"1",
        "child of another": entry.replace(
            f'classifiedObject="{OWN}'.encode(), f'classifiedObject="{FIRST}'.encode(), 1
        ),
        "blank between": entry.replace(b"><rim:Name>", b"> <rim:Name>", 1),
        "no slot name": entry.replace(b'<rim:Slot name="hash">', b"<rim:Slot>", 1),
    }


@pytest.mark.parametrize(("text"), other_texts().values(), ids=other_texts().keys())
def test_what_is_not_a_document_entry_is_refused(text: bytes) -> None:
    """It raises; it must not pass, and nothing of it is said."""
    with pytest.raises(NotMaskable) as caught:
        mask(text)
    assert "urn:" not in str(caught.value)


def test_a_part_of_a_text_is_refused() -> None:
    """Wherever it is cut."""
    text = text_of(EVERYTHING)
    for end in range(0, len(text), 7):
        for part in (text[:end], text[end + 1 :]):
            with pytest.raises(NotMaskable):
                mask(part)


def test_a_text_with_an_element_that_is_not_known_is_refused() -> None:
    """Wherever it stands."""
    text = text_of(EVERYTHING)
    places = [place for place in range(len(text)) if text[place : place + 1] == b"<"]
    for place in places:
        with pytest.raises(NotMaskable):
            mask(text[:place] + b"<rim:Other>1</rim:Other>" + text[place:])


def test_the_parameters_of_a_mime_type_are_left_out() -> None:
    """A name= there can be that of a file, which tells what the document is about."""
    named = replace(s.document_entry(), mime_type='application/pdf; name="epikrise.pdf"')
    assert seen(mask(text_of(named))).mime_type == "application/pdf"
