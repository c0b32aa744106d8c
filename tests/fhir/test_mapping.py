"""Metadata and resources are the same, element by element and both ways; docs/mhd.md has the tables."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings

from tests.fhir import mhd_profile
from tests.fhir.metadata import DOCUMENT_ENTRIES, FIRST, FOLDERS, OWN, SUBMISSION_SETS
from tests.fuzzing import examples
from tests.metadata import samples as s
from tests.registry.test_masking import SECRET, seen, text_of
from xds.errors import DataTypeError
from xds.fhir import datatypes as dt
from xds.fhir import mapping
from xds.fhir.mapping import Findings, Place, Reader, Registered, Relation
from xds.fhir.r4.validation import problems
from xds.fhir.r4.xml import from_xml, to_xml
from xds.metadata import names
from xds.metadata.model import Author, Code, DocumentEntry, Folder, Slot, SubmissionSet
from xds.registry.masking import mask

BASE = "https://xds.example.org/fhir"
PLACE = Place(BASE)
ID = FIRST.removeprefix("urn:uuid:")
OF = Registered(ID, 3, 1_773_223_200_123)
ENCOUNTER = "urn:ihe:iti:xds:2015:encounterId"
many = settings(max_examples=examples(300))

Json = dict[str, Any]
T = TypeVar("T", DocumentEntry, SubmissionSet, Folder)


def read(resource: Json, reads: Callable[[Reader, str], T]) -> T:
    """What a resource says, in which no value is of a wrong form."""
    findings = Findings()
    found = reads(Reader(resource, resource["resourceType"], findings, lambda reference: None), "")
    assert findings.wrong == []
    return found


def good(resource: Json) -> Json:
    """The resource, once it was found to be R4 and to survive XML."""
    assert problems(resource) == []
    assert from_xml(to_xml(resource)) == resource
    return resource


def is_whole(entry: DocumentEntry) -> bool:
    """Whether it has what Comprehensive metadata asks for."""
    return bool(entry.creation_time)


# ---- round trips


@many
@given(DOCUMENT_ENTRIES)
def test_a_document_entry_survives_being_a_document_reference(entry: DocumentEntry) -> None:
    """All that is the sender's comes back; encounters come before other reference ids."""
    resource = good(mapping.document_reference(entry, OF, PLACE))
    assert mhd_profile.broken(resource) == []
    references = sorted(entry.reference_ids, key=lambda each: not each.endswith(ENCOUNTER))
    expected = replace(entry, availability_status=None, reference_ids=tuple(references))
    back = read(resource, mapping.read_document_reference)
    assert back == expected
    assert str(back) == str(expected)  # display names too


@many
@given(SUBMISSION_SETS)
def test_a_submission_set_survives_being_a_list(the_set: SubmissionSet) -> None:
    """Authors in their order, whatever they are; recipients as organisation, person and telecommunication."""
    resource = good(mapping.set_list(the_set, OF, PLACE))
    assert mhd_profile.broken(resource) == []
    back = read(resource, mapping.read_set_list)
    assert back == the_set
    assert str(back) == str(the_set)


@many
@given(FOLDERS)
def test_a_folder_survives_being_a_list(folder: Folder) -> None:
    """lastUpdateTime is the registry's, and is not read."""
    resource = good(mapping.folder_list(folder, OF, PLACE))
    assert mhd_profile.broken(resource) == []
    back = read(resource, mapping.read_folder_list)
    expected = replace(folder, last_update_time=None, availability_status=None)
    assert back == expected
    assert str(back) == str(expected)


def test_what_is_the_registrys_alone_is_not_read() -> None:
    """Status, logicalID, version, availability and kind of entry are told by the resource, or not at all."""
    entry = s.document_entry(
        entry_uuid=OWN,
        availability_status=names.DEPRECATED,
        logical_id=FIRST,
        version=3,
        document_availability=names.ONLINE,
        object_type=names.ON_DEMAND,
        hash=None,
        size=None,
    )
    resource = good(mapping.document_reference(entry, OF, PLACE))
    assert mhd_profile.broken(resource) == []
    attachment = resource["content"][0]["attachment"]
    assert (resource["status"], resource["id"], resource["meta"]["versionId"]) == ("superseded", ID, "3")
    assert not attachment.keys() & {"hash", "size"}  # which is how an on-demand document is known (MHD)
    expected = replace(
        entry,
        availability_status=None,
        logical_id=None,
        version=None,
        document_availability=None,
        object_type=names.STABLE,
    )
    assert read(resource, mapping.read_document_reference) == expected


LIMITED = replace(
    s.document_entry(
        entry_uuid=OWN,
        authors=(),
        legal_authenticator=None,
        creation_time=None,
        service_start_time=None,
        service_stop_time=None,
        confidentiality_codes=(),
        language_code="",
        patient_id="",
        source_patient_id="",
        source_patient_info=(),
        title=None,
        comments=None,
    ),
    **dict.fromkeys(
        ("class_code", "type_code", "format_code", "practice_setting_code", "healthcare_facility_type_code"),
        Code("", ""),
    ),
)


def test_an_entry_with_limited_metadata_is_a_minimal_document_reference() -> None:
    """What is not there is left out, and is no empty element."""
    resource = good(mapping.document_reference(LIMITED, OF, PLACE))
    assert mhd_profile.broken(resource, comprehensive=False) == []
    assert not resource.keys() & {"type", "category", "securityLabel", "subject", "author", "context"}
    assert read(resource, mapping.read_document_reference) == LIMITED
    assert "type: 0 times" in mhd_profile.broken(resource)  # so the rules do find something


def test_texts_of_blanks_alone_are_left_out() -> None:
    """R4 has no such text, and no profile misses it."""
    entry = s.document_entry(
        entry_uuid=OWN,
        title=" ",
        comments="\u00a0",
        type_code=Code(" ", "1.2"),
        event_codes=(Code("a", "1.2", " "),),
        extra_slots=(Slot(" ", ("a",)), Slot("urn:x", ("", " ", "b"))),
        authors=(Author(person=s.DOCTOR, roles=(" ",)), Author(person=" ", telecommunications=(" ",))),
        legal_authenticator=" ",
    )
    resource = good(mapping.document_reference(entry, OF, PLACE))
    assert not resource.keys() & {"description", "type"}
    back = read(resource, mapping.read_document_reference)
    assert (back.title, back.comments, back.event_codes[0].display) == (None, None, None)
    assert back.extra_slots == (Slot("urn:x", ("b",)),)
    assert (back.authors, back.legal_authenticator) == ((Author(person=s.DOCTOR),), None)


# ---- one entry, worked out by hand (fhir-rules 1.8 to 1.11)

ENTRY = DocumentEntry(
    entry_uuid=OWN,
    unique_id="2.16.578.1.12.4.5.480.1.2.1001",
    patient_id="17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
    mime_type="application/pdf",
    class_code=Code("A00-1", "2.16.578.1.12.4.1.1.9602", "Epikriser og sammenfatninger"),
    type_code=Code("34133-9", "2.16.840.1.113883.6.1", "Summarization of Episode Note"),
    format_code=Code("urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3"),
    practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
    healthcare_facility_type_code=Code("86.101", "urn:example:virksomhet", "Sykehus"),
    confidentiality_codes=(
        Code("R", "2.16.840.1.113883.5.25", "restricted"),
        Code("NORN", "2.16.578.1.12.4.1.1.9603"),
    ),
    language_code="nb-NO",
    source_patient_id="77^^^&2.16.578.1.12.4.5.480.1.9&ISO",
    availability_status=names.APPROVED,
    home="urn:oid:2.16.578.1.12.4.5.100.1.1",
    repository_unique_id="2.16.578.1.12.4.5.100.1.1.2",
    creation_time="2026031109",
    service_start_time="20260309",
    service_stop_time="20260311101500",
    hash="da39a3ee5e6b4b0d3255bfef95601890afd80709",
    size=0,
    title="Epikrise",
    comments="Til fastlegen",
    uri="epikrise.pdf",
    legal_authenticator="9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO",
    authors=(
        Author(
            person="9144889^Fjell^Tuva^Marie^jr.^dr.^^^&2.16.578.1.12.4.1.4.4&ISO",
            institutions=(
                "Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000",
                "Avdeling A \\T\\ B",
            ),
            roles=("3^^^&2.16.578.1.12.4.1.1.9034&ISO", "Behandler"),
            specialties=("190^^^&2.16.578.1.12.4.1.1.7426&ISO",),
            telecommunications=(
                "^^Internet^tuva.fjell@example.org",
                "+47 22000000^PRN^PH",
                "^PRN^PH^^47^22^1",
            ),
        ),
        Author(institutions=("Arkivet",)),
    ),
    event_codes=(Code("FNG02", "2.16.578.1.12.4.1.1.7210", "PCI"),),
    reference_ids=(
        "3^^^&2.16.578.1.12.4.5.480.1.5&ISO^urn:ihe:iti:xds:2015:encounterId",
        "REK-1^^^&2.16.578.1.12.4.5.480.1.4&ISO^urn:ihe:iti:xds:2013:referral",
        "1.2.840.113619.2^^^^urn:ihe:iti:xds:2016:studyInstanceUID",
    ),
    source_patient_info=(
        "PID-3|77^^^&2.16.578.1.12.4.5.480.1.9&ISO",
        "PID-5|Prøve^Syntetisk^Marie",
        "PID-7|19550517",
        "PID-8|F",
        "PID-11|Storgata 1^H0101^Oslo^^0155^NO",
    ),
    extra_slots=(Slot("urn:example:arkivdel", ("A", "B")),),
)
NATIONAL = "urn:oid:2.16.578.1.12.4.1.4."
TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
EXPECTED: Json = {
    "resourceType": "DocumentReference",
    "id": "0f3c7a52-1111-4222-8333-000000000002",
    "meta": {"versionId": "3", "lastUpdated": "2026-03-11T10:00:00.123Z"},
    "contained": [
        {
            "resourceType": "Practitioner",
            "id": "practitioner1",
            "identifier": [{"system": NATIONAL + "4", "value": "9144889"}],
            "name": [{"family": "Fjell", "given": ["Tuva", "Marie"], "prefix": ["dr."], "suffix": ["jr."]}],
        },
        {
            "resourceType": "Organization",
            "id": "organization2",
            "identifier": [{"system": NATIONAL + "101", "value": "310000000"}],
            "name": "Eksempelsykehuset HF",
        },
        {"resourceType": "Organization", "id": "organization3", "name": "Avdeling A & B"},
        {
            "resourceType": "PractitionerRole",
            "id": "author4",
            "extension": [
                {"url": "urn:no:xds:organization", "valueReference": {"reference": "#organization3"}}
            ],
            "practitioner": {"reference": "#practitioner1"},
            "organization": {"reference": "#organization2"},
            "code": [
                {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9034", "code": "3"}]},
                {"text": "Behandler"},
            ],
            "specialty": [{"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.7426", "code": "190"}]}],
            "telecom": [
                {"system": "email", "value": "tuva.fjell@example.org"},
                {"system": "phone", "value": "+47 22000000"},
                {
                    "system": "phone",
                    "value": "1",
                    "extension": [{"url": "urn:no:xds:original", "valueString": "^PRN^PH^^47^22^1"}],
                },
            ],
        },
        {"resourceType": "Organization", "id": "organization5", "name": "Arkivet"},
        {
            "resourceType": "Practitioner",
            "id": "authenticator6",
            "identifier": [{"system": NATIONAL + "4", "value": "9144889"}],
            "name": [{"family": "Fjell", "given": ["Tuva"]}],
        },
        {
            "resourceType": "Patient",
            "id": "patient7",
            "identifier": [{"system": "urn:oid:2.16.578.1.12.4.5.480.1.9", "value": "77"}],
            "name": [{"family": "Prøve", "given": ["Syntetisk", "Marie"]}],
            "gender": "female",
            "birthDate": "1955-05-17",
            "address": [
                {"line": ["Storgata 1", "H0101"], "city": "Oslo", "postalCode": "0155", "country": "NO"}
            ],
        },
    ],
    "extension": [
        {
            "url": "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-HomeCommunityId",
            "valueOid": "urn:oid:2.16.578.1.12.4.5.100.1.1",
        },
        {
            "url": "urn:no:xds:slot",
            "extension": [
                {"url": "name", "valueString": "urn:example:arkivdel"},
                {"url": "value", "valueString": "A"},
                {"url": "value", "valueString": "B"},
            ],
        },
    ],
    "masterIdentifier": {
        "use": "usual",
        "type": {"coding": [{"system": TYPES, "code": "uniqueId"}]},
        "system": "urn:ietf:rfc:3986",
        "value": "urn:oid:2.16.578.1.12.4.5.480.1.2.1001",
    },
    "identifier": [
        {
            "use": "official",
            "type": {"coding": [{"system": TYPES, "code": "entryUUID"}]},
            "system": "urn:ietf:rfc:3986",
            "value": "urn:uuid:0f3c7a52-1111-4222-8333-000000000001",
        },
        {
            "use": "usual",
            "type": {"coding": [{"system": TYPES, "code": "uniqueId"}]},
            "system": "urn:ietf:rfc:3986",
            "value": "urn:oid:2.16.578.1.12.4.5.480.1.2.1001",
        },
    ],
    "status": "current",
    "type": {
        "coding": [
            {"system": "http://loinc.org", "code": "34133-9", "display": "Summarization of Episode Note"}
        ]
    },
    "category": [
        {
            "coding": [
                {
                    "system": "urn:oid:2.16.578.1.12.4.1.1.9602",
                    "code": "A00-1",
                    "display": "Epikriser og sammenfatninger",
                }
            ]
        }
    ],
    "subject": {"type": "Patient", "identifier": {"system": NATIONAL + "1", "value": "17855599120"}},
    "date": "2026-03-11T10:00:00.123Z",
    "author": [{"reference": "#author4"}, {"reference": "#organization5"}],
    "authenticator": {"reference": "#authenticator6"},
    "relatesTo": [
        {
            "code": "replaces",
            "target": {
                "reference": "DocumentReference/00000000-0000-4000-8000-00000000dead",
                "type": "DocumentReference",
            },
        }
    ],
    "description": "Til fastlegen",
    "securityLabel": [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                    "code": "R",
                    "display": "restricted",
                }
            ]
        },
        {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9603", "code": "NORN"}]},
    ],
    "content": [
        {
            "attachment": {
                "extension": [
                    {
                        "url": "urn:no:xds:repositoryUniqueId",
                        "valueOid": "urn:oid:2.16.578.1.12.4.5.100.1.1.2",
                    },
                    {"url": "urn:no:xds:uri", "valueUri": "epikrise.pdf"},
                ],
                "contentType": "application/pdf",
                "language": "nb-NO",
                "url": "https://xds.example.org/fhir/Binary/0f3c7a52-1111-4222-8333-000000000002",
                "size": 0,
                "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
                "title": "Epikrise",
                "creation": "2026-03-11T09:00:00Z",
                "_creation": {"extension": [{"url": "urn:no:xds:original", "valueString": "2026031109"}]},
            },
            "format": {
                "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
            },
        }
    ],
    "context": {
        "encounter": [
            {
                "identifier": {
                    "type": {
                        "coding": [
                            {"system": "urn:ietf:rfc:3986", "code": "urn:ihe:iti:xds:2015:encounterId"}
                        ]
                    },
                    "system": "urn:oid:2.16.578.1.12.4.5.480.1.5",
                    "value": "3",
                }
            }
        ],
        "event": [
            {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.7210", "code": "FNG02", "display": "PCI"}]}
        ],
        "period": {"start": "2026-03-09", "end": "2026-03-11T10:15:00Z"},
        "facilityType": {
            "coding": [{"system": "urn:example:virksomhet", "code": "86.101", "display": "Sykehus"}]
        },
        "practiceSetting": {
            "coding": [
                {"system": "urn:oid:2.16.578.1.12.4.1.1.8655", "code": "S03", "display": "Indremedisin"}
            ]
        },
        "sourcePatientInfo": {"reference": "#patient7"},
        "related": [
            {
                "identifier": {
                    "type": {
                        "coding": [{"system": "urn:ietf:rfc:3986", "code": "urn:ihe:iti:xds:2013:referral"}]
                    },
                    "system": "urn:oid:2.16.578.1.12.4.5.480.1.4",
                    "value": "REK-1",
                }
            },
            {
                "identifier": {
                    "type": {
                        "coding": [
                            {"system": "urn:ietf:rfc:3986", "code": "urn:ihe:iti:xds:2016:studyInstanceUID"}
                        ]
                    },
                    "system": "urn:ietf:rfc:3986",
                    "value": "urn:oid:1.2.840.113619.2",
                }
            },
        ],
    },
}


def test_a_document_entry_is_this_document_reference() -> None:
    """Every attribute, and each at its element."""
    related = Relation("DocumentReference", "00000000-0000-4000-8000-00000000dead", names.RPLC)
    resource = good(mapping.document_reference(ENTRY, replace(OF, links=(related,)), PLACE))
    assert resource == EXPECTED
    assert mhd_profile.broken(resource) == []
    back = read(resource, mapping.read_document_reference)
    assert str(back) == str(replace(ENTRY, availability_status=None))


def test_a_hash_is_the_base64_of_its_twenty_bytes() -> None:
    """And not of its forty digits, which an existing gateway writes (fhir-rules 1.8)."""
    digits = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    assert dt.hash_of(digits) == "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    assert dt.read_hash("2jmj7l5rSw0yVb/vlWAYkK/YBwk=") == digits
    for wrong in (base64.b64encode(digits.encode()).decode(), digits, "2jmj7l5rSw0yVb/vlWAYkK/YBw", ""):
        with pytest.raises(DataTypeError):
            dt.read_hash(wrong)


@pytest.mark.parametrize(
    ("relation", "code"),
    [
        (names.RPLC, "replaces"),
        (names.XFRM, "transforms"),
        (names.APND, "appends"),
        (names.XFRM_RPLC, "replaces"),
        (names.SIGNS, "signs"),
        (names.IS_SNAPSHOT_OF, "transforms"),
    ],
)
def test_a_relation_is_what_mhds_concept_map_says(relation: str, code: str) -> None:
    """AssociationTypeVsRelatesTo (fhir-rules 1.10)."""
    links = (Relation("DocumentReference", ID, relation),)
    resource = good(mapping.document_reference(ENTRY, replace(OF, links=links), PLACE))
    assert [each["code"] for each in resource["relatesTo"]] == [code]


def test_the_size_of_a_very_large_document_is_told_in_an_extension() -> None:
    """R4's unsignedInt ends at 2^31-1, so there is no size of MHD's."""
    for size, shown in ((2**31 - 1, 2**31 - 1), (2**31, None)):
        resource = mapping.document_reference(replace(ENTRY, size=size), OF, PLACE)
        assert resource["content"][0]["attachment"].get("size") == shown
        assert read(resource, mapping.read_document_reference).size == size


@pytest.mark.parametrize("told", ["1", "99999999999999999999", "-1", "2147483648x", "\u0661" * 11])
def test_a_size_that_the_extension_does_not_need_to_tell_is_none(told: str) -> None:
    """It stands only for what R4 has no number for."""
    resource = mapping.document_reference(replace(ENTRY, size=2**31), OF, PLACE)
    (size,) = [
        each for each in resource["content"][0]["attachment"]["extension"] if each["url"] == "urn:no:xds:size"
    ]
    size["valueString"] = told
    assert read(resource, mapping.read_document_reference).size is None


def test_what_stands_beside_an_element_counts_only_while_it_says_the_same() -> None:
    """Whoever changes the element need not know of the extension."""
    made = mapping.document_reference(replace(ENTRY, mime_type="text/plain;  a=b"), OF, PLACE)
    resource = deepcopy(made)  # parts of it are remembered for other documents
    attachment = resource["content"][0]["attachment"]
    assert attachment["contentType"] == "text/plain; a=b"
    attachment |= {"contentType": "text/html", "creation": "2027-01-01T10:00:00+02:00"}
    resource["contained"][3]["telecom"][2]["value"] = "22334455"
    back = read(resource, mapping.read_document_reference)
    assert (back.mime_type, back.creation_time) == ("text/html", "20270101080000")
    assert back.authors[0].telecommunications[2] == "22334455^PRN^PH"


# ---- blocked entries


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"authors": ()},
        {"authors": (Author(telecommunications=(f"{SECRET}",)),), "legal_authenticator": None},
        {"source_patient_info": (), "creation_time": "2026031109"},
        {"size": 2**40},
        {"mime_type": "text/plain;  name=x"},
    ],
)
def test_a_blocked_entry_is_a_valid_resource_without_what_is_hidden(changes: Json) -> None:
    """R4 and MHD hold of it too; what is masked has no code and no identifier, and cannot be read."""
    entry = replace(s.rich_document_entry(entry_uuid=OWN, title=SECRET, logical_id=FIRST), **changes)
    resource = good(mapping.document_reference(seen(mask(text_of(entry))), OF, PLACE))
    assert mhd_profile.broken(resource) == []
    assert SECRET not in str(resource)
    hidden = {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                "valueCode": "masked",
            }
        ]
    }
    assert resource["type"] == {**hidden, "text": "*****"}
    assert resource["content"][0]["format"] == {**hidden, "display": "*****"}
    assert resource["subject"]["identifier"] == hidden
    assert "description" not in resource
    findings = Findings()
    mapping.read_document_reference(Reader(resource, "it", findings, lambda reference: None), "")
    wrong = {place for place, _ in findings.wrong}
    assert {"it.type", "it.content[0].format", "it.subject"} <= wrong  # so it cannot be published again


# ---- reading what others write


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026", "2026"),
        ("2026-03", "202603"),
        ("2026-03-11", "20260311"),
        ("2026-03-11T10:00:00Z", "20260311100000"),
        ("2026-03-11T10:00:00.999+01:00", "20260311090000"),
        ("2026-01-01T00:30:00+01:00", "20251231233000"),
        ("2026-06-30T23:59:59-14:00", "20260701135959"),
    ],
)
def test_a_time_is_read_in_utc_without_fractions(given: str, expected: str) -> None:
    """fhir-rules 1.8, data types."""
    assert dt.read_date_time(given) == expected


@pytest.mark.parametrize(
    "given",
    ["2026-3-1", "2026-02-31", "2026-03-11T10:00Z", "2026-03-11T25:00:00Z", "0001-01-01T00:00:00+14:00", "x"],
)
def test_a_time_that_is_none_is_refused_without_being_quoted(given: str) -> None:
    """Of the form of R4, and in the calendar."""
    with pytest.raises(DataTypeError) as caught:
        dt.read_date_time(given)
    assert given not in str(caught.value)


def _document_reference(**more: Any) -> Json:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/plain"}}],
        **more,
    }


@pytest.mark.parametrize(
    ("author", "contained", "expected"),
    [
        (
            {"type": "Practitioner", "display": "Tuva Fjell"},
            [],
            Author(person="^Tuva Fjell"),
        ),
        (
            {"identifier": {"system": NATIONAL + "4", "value": "9144889"}},
            [],
            Author(person="9144889^^^^^^^^&2.16.578.1.12.4.1.4.4&ISO"),
        ),
        (
            {
                "type": "Organization",
                "display": "Sykehuset",
                "identifier": {"system": NATIONAL + "101", "value": "310000000"},
            },
            [],
            Author(institutions=("Sykehuset^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000",)),
        ),
        (
            {"reference": "#a"},
            [{"resourceType": "Device", "deviceName": [{"name": "Journal 7", "type": "model-name"}]}],
            Author(person="^Journal 7"),
        ),
        (
            {"reference": "#a"},
            [
                {
                    "resourceType": "Practitioner",
                    "name": [{"given": [None, "Tuva"], "_given": [{"id": "x"}, None], "family": "Fjell"}],
                }
            ],
            Author(person="^Fjell^Tuva"),
        ),
        (
            {"reference": "#a"},
            [
                {
                    "resourceType": "Organization",
                    "identifier": [{"system": "urn:oid:2.16.578.1.12.4.5.390", "value": "Medisinsk post"}],
                }
            ],
            Author(institutions=("Medisinsk post",)),
        ),
        (
            {"reference": "#a"},
            [
                {
                    "resourceType": "PractitionerRole",
                    "practitioner": {"display": "Tuva Fjell"},
                    "organization": {"display": "Sykehuset"},
                    "specialty": [{"coding": [{"display": "Indremedisin"}]}],
                }
            ],
            Author(person="^Tuva Fjell", institutions=("Sykehuset",), specialties=("Indremedisin",)),
        ),
    ],
)
def test_an_author_is_read_in_every_form(author: Json, contained: list[Json], expected: Author) -> None:
    """By identifier or name alone, a machine, a department without number (norwegian-profile 2.7)."""
    held = [{"id": "a", **each} for each in contained]
    resource = _document_reference(author=[author], **({"contained": held} if held else {}))
    assert problems(resource) == []
    assert read(resource, mapping.read_document_reference).authors == (expected,)


PEER = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-homeCommunityId"
OLD = "http://ihe.net/fhir/StructureDefinition/homeCommunityId"


@pytest.mark.parametrize("url", [mhd_profile.HOME, PEER, OLD])
@pytest.mark.parametrize("element", ["valueOid", "valueUri", "valueString"])
@pytest.mark.parametrize("value", ["urn:oid:1.2.3", "1.2.3"])
@pytest.mark.parametrize("on_attachment", [True, False])
def test_a_home_community_is_read_in_each_place_and_spelling(
    url: str, element: str, value: str, on_attachment: bool
) -> None:
    """MHD's, the peer's and an older one's (norwegian-profile 2.7)."""
    extension = [{"url": url, element: value}]
    resource = _document_reference()
    at = resource["content"][0]["attachment"] if on_attachment else resource
    at["extension"] = extension
    assert read(resource, mapping.read_document_reference).home == "urn:oid:1.2.3"


# ---- docs/mhd.md


def _table(heading: str) -> dict[str, str]:
    page = (Path(__file__).parents[2] / "docs/mhd.md").read_text()
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", section, re.M))


def test_the_page_has_the_tables_of_the_code() -> None:
    """docs/mhd.md, row by row."""
    assert _table("DocumentEntry and DocumentReference") == mapping.DOCUMENT_ELEMENTS
    assert _table("SubmissionSet, Folder and List") == mapping.LIST_ELEMENTS
