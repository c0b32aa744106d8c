"""Resources as MHD sends them, all of them R4; the tests of the R4 package change what they need.

Each is made anew by its function. Made-up people; a test that needs something wrong makes it wrong itself.
"""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
REGISTRY_ENTRY = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
DOCUMENT = "urn:uuid:3d1a0f5e-6f6b-4a1c-9a6e-3b1f8f0f2a10"
SUBMISSION = "urn:uuid:7a4cbd10-7f0a-4a54-8a70-1c1b1f1b7c55"


def patient() -> Resource:
    """With primitive extensions, beside a single value and within an array."""
    return {
        "resourceType": "Patient",
        "id": "pat",
        "text": {
            "status": "generated",
            "div": f"<div {XHTML}><p>Line &amp; <b>Danser</b><br/>\nOslo</p></div>",
        },
        "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "13116900216"}],
        "active": True,
        "name": [
            {
                "use": "official",
                "family": "Danser",
                "given": ["Line", None, "Åse"],
                "_given": [
                    None,
                    {"extension": [{"url": "urn:x:unknown", "valueCode": "unknown"}]},
                    {"id": "g3"},
                ],
            }
        ],
        "telecom": [{"system": "phone", "value": "+47 22 00 00 00", "rank": 1}],
        "gender": "female",
        "birthDate": "1969-11-13",
        "_birthDate": {"extension": [{"url": "urn:x:time", "valueDateTime": "1969-11-13T04:30:00+01:00"}]},
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
    }


def document_reference() -> Resource:
    """A document entry with everybody contained."""
    return {
        "resourceType": "DocumentReference",
        "id": "a1b2",
        "meta": {"profile": [f"{MHD}/IHE.MHD.Comprehensive.DocumentReference"]},
        "contained": [
            patient(),
            {
                "resourceType": "PractitionerRole",
                "id": "role",
                "practitioner": {"reference": "#doctor"},
                "organization": {"reference": "#office"},
                "code": [{"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9060", "code": "LE"}]}],
            },
            {
                "resourceType": "Practitioner",
                "id": "doctor",
                "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.4.4", "value": "9144900"}],
                "name": [{"family": "Lin", "given": ["Rita"]}],
            },
            {"resourceType": "Organization", "id": "office", "name": 'Legekontoret "Øst" <1>'},
        ],
        "extension": [{"url": f"{MHD}/ihe-homeCommunityId", "valueOid": "urn:oid:1.2.3.4.5"}],
        "masterIdentifier": {"use": "usual", "system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3.4.5.6.7"},
        "identifier": [{"use": "official", "system": "urn:ietf:rfc:3986", "value": REGISTRY_ENTRY}],
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9602", "code": "A03-2"}]},
        "category": [{"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9602", "code": "A00-1"}]}],
        "subject": {"reference": "Patient/123", "type": "Patient"},
        "date": "2026-03-01T12:00:00.120+01:00",
        "author": [{"reference": "#role"}],
        "authenticator": {"reference": "#doctor"},
        "custodian": {"reference": "#office"},
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/99"}}],
        "description": "Epikrise\n\tfra medisinsk avdeling",
        "securityLabel": [{"coding": [{"code": "N", "userSelected": False}]}],
        "content": [
            {
                "attachment": {
                    "contentType": "application/pdf",
                    "language": "nb-NO",
                    "url": "https://xds.example.org/fhir/Binary/1.2.3",
                    "size": 123456,
                    "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
                    "title": "Epikrise",
                    "creation": "2026-03-01",
                },
                "format": {"code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"},
            }
        ],
        "context": {
            "encounter": [{"identifier": {"system": "urn:oid:1.2.3", "value": "7"}}],
            "period": {"start": "2026-02-28T08:00:00+01:00", "end": "2026-03-01T10:00:00Z"},
            "facilityType": {"text": "Allmenn legetjeneste"},
            "sourcePatientInfo": {"reference": "#pat"},
        },
    }


def submission_set() -> Resource:
    """A SubmissionSet as MHD's List."""
    return {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{MHD}/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
            },
            {
                "url": "urn:x:nested",
                "extension": [
                    {"url": "a", "valueDecimal": 1.25},
                    {"id": "b", "url": "b", "valuePeriod": {"start": "2026"}},
                ],
            },
        ],
        "identifier": [{"use": "usual", "value": SUBMISSION}],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": f"{MHD}/CodeSystem/MHDlistTypes", "code": "submissionset"}]},
        "subject": {"reference": "Patient/123"},
        "date": "2026-03-01T12:00:00+01:00",
        "source": {"identifier": {"value": "9144900"}},
        "note": [{"authorString": "Rita Lin", "text": "To dokumenter"}],
        "entry": [{"item": {"reference": DOCUMENT}}],
    }


def bundle() -> Resource:
    """ITI-65: what is provided, with the document itself and a status that changes."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": "2026-03-01T12:00:00Z",
        "entry": [
            {
                "fullUrl": SUBMISSION,
                "resource": submission_set(),
                "request": {"method": "POST", "url": "List"},
            },
            {
                "fullUrl": DOCUMENT,
                "resource": document_reference(),
                "request": {"method": "POST", "url": "DocumentReference"},
            },
            {
                "fullUrl": "urn:uuid:9f1f0f5e-6f6b-4a1c-9a6e-3b1f8f0f2a11",
                "resource": {
                    "resourceType": "Binary",
                    "contentType": "text/plain",
                    "data": "U3BlY2lhbA==",
                },
                "request": {"method": "POST", "url": "Binary"},
            },
            {
                "fullUrl": "urn:uuid:9f1f0f5e-6f6b-4a1c-9a6e-3b1f8f0f2a12",
                "resource": {
                    "resourceType": "Parameters",
                    "parameter": [
                        {
                            "name": "operation",
                            "part": [
                                {"name": "type", "valueCode": "replace"},
                                {"name": "path", "valueString": "DocumentReference.status"},
                                {"name": "value", "valueCode": "superseded"},
                            ],
                        }
                    ],
                },
                "request": {"method": "PATCH", "url": "DocumentReference/99"},
            },
        ],
    }


def answer() -> Resource:
    """What a transaction is answered with: nothing of it is a resource but an outcome."""
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [
            {
                "response": {
                    "status": "201 Created",
                    "location": "DocumentReference/1",
                    "outcome": {
                        "resourceType": "OperationOutcome",
                        "issue": [{"severity": "information", "code": "informational"}],
                    },
                }
            }
        ],
    }


ALL = (patient, document_reference, submission_set, bundle, answer)
