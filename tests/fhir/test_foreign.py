"""A FHIR client and a validator that are not ours: fhirpy makes the tour, Lantana's judges answers."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import ResourceNotFound

from tests.access.people import number, turning
from tests.nodes import Node
from xds.client import Author, Client, Code, Document, build
from xds.client.defaults import DOCUMENT_TYPES
from xds.demo.tickets import TicketService
from xds.fhir.r4.validation import problems

HERE = Path(__file__).parent
AUTHORITY = "2.16.578.1.12.4.1.4.1"
PATIENT = number(turning(40), 7)
WHO = f"urn:oid:{AUTHORITY}|{PATIENT}"
IDENTIFIER = {"system": f"urn:oid:{AUTHORITY}", "value": PATIENT}
NOTE = b"Alt vel.\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> TicketService:
    """A ticket service that the node trusts."""
    return TicketService(tmp_path_factory.mktemp("tickets"))


@pytest.fixture(scope="module")
def node(new_node: Callable[..., Node], service: TicketService) -> Node:
    """A node that wants tickets."""
    return new_node(
        access__ticket="required",
        trust=service.trust,
        patients__source="national",
        node__home_community_id="2.16.578.1.12.4.5.100",
    )


@pytest.fixture(scope="module")
def client(node: Node, service: TicketService) -> SyncFHIRClient:
    """fhirpy with a clinician's assertion as its bearer token."""
    ticket = service.saml("personnel", patient=PATIENT)
    token = base64.urlsafe_b64encode(ticket.encode()).rstrip(b"=").decode()
    return SyncFHIRClient(f"{node.url}/fhir", authorization=f"Bearer {token}")


def reference(title: str) -> dict[str, Any]:
    """A DocumentReference with its document inside, as ITI-105 wants it."""

    def coded(system: str, code: str) -> dict[str, Any]:
        return {"coding": [{"system": f"urn:oid:{system}", "code": code}]}

    return {
        "contained": [{"resourceType": "Practitioner", "id": "a", "name": [{"family": "Fjell"}]}],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:2.25.{uuid4().int}"},
        "status": "current",
        "type": coded("2.16.578.1.12.4.1.1.9602", "B02-2"),
        "category": [coded("2.16.578.1.12.4.1.1.9602", "B00-1")],
        "subject": {"identifier": IDENTIFIER},
        "author": [{"reference": "#a"}],
        "securityLabel": [coded("2.16.840.1.113883.5.25", "N")],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "language": "nb-NO",
                    "data": base64.b64encode(NOTE + title.encode()).decode(),
                    "title": title,
                    "creation": "2026-11-01T10:00:00+01:00",
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {
            "facilityType": coded("2.16.578.1.12.4.1.1.1303", "86.101"),
            "practiceSetting": coded("2.16.578.1.12.4.1.1.8655", "S03"),
        },
    }


@pytest.fixture(scope="module")
def published(client: SyncFHIRClient) -> list[Any]:
    """Five documents, published by fhirpy one by one (ITI-105)."""
    found = []
    for count in range(5):
        resource = client.resource("DocumentReference", **reference(f"Notat {count}"))
        resource.save()
        assert resource.id
        found.append(resource)
    return found


def test_a_client_that_is_not_ours_publishes_and_finds(client: SyncFHIRClient, published: list[Any]) -> None:
    """Search, count, and all pages by their links; nothing twice, nothing left out."""
    search = client.resources("DocumentReference").search(**{"patient.identifier": WHO, "status": "current"})
    assert search.count() == 5
    assert [each.id for each in search.limit(2).fetch_all()] == [each.id for each in reversed(published)]
    (one,) = search.search(identifier=published[3]["masterIdentifier"]["value"]).fetch()
    assert one["content"][0]["attachment"]["title"] == "Notat 3"


def test_a_client_that_is_not_ours_reads_and_fetches(client: SyncFHIRClient, published: list[Any]) -> None:
    """By reference, and the bytes from attachment.url with the same header."""
    resource = client.reference("DocumentReference", published[0].id).to_resource()
    assert resource["subject"]["identifier"]["value"] == PATIENT
    url = resource["content"][0]["attachment"]["url"]
    answer = requests.get(url, headers={"Authorization": client.authorization}, timeout=30)
    assert (answer.status_code, answer.content) == (200, NOTE + b"Notat 0")
    assert answer.headers["Content-Type"] == "text/plain"
    with pytest.raises(ResourceNotFound):
        client.reference("DocumentReference", str(uuid4())).to_resource()


def test_a_client_that_is_not_ours_posts_a_bundle(client: SyncFHIRClient, published: list[Any]) -> None:
    """ITI-65 with a replacement; the one before is superseded, and the List has the new one."""
    before, urls = published[4], [f"urn:uuid:{uuid4()}" for _ in range(3)]
    given = reference("Notat 4, rettet")
    attachment = given["content"][0]["attachment"]
    data = attachment.pop("data")
    attachment["url"] = urls[2]
    given |= {
        "resourceType": "DocumentReference",
        "relatesTo": [{"code": "replaces", "target": {"reference": f"DocumentReference/{before.id}"}}],
    }
    mhd = "https://profiles.ihe.net/ITI/MHD"
    the_set = {
        "resourceType": "List",
        "extension": [
            {
                "url": f"{mhd}/StructureDefinition/ihe-designationType",
                "valueCodeableConcept": given["type"],
            },
            {
                "url": f"{mhd}/StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.16.578.1.12.4.5.9"},
            },
        ],
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": f"{mhd}/CodeSystem/MHDlistTypes", "code": "submissionset"}]},
        "subject": {"identifier": IDENTIFIER},
        "date": "2026-11-02T10:00:00Z",
        "entry": [{"item": {"reference": urls[1]}}],
    }
    resources = [the_set, given, {"resourceType": "Binary", "contentType": "text/plain", "data": data}]
    answer = client.execute(
        "",
        method="post",
        data={
            "resourceType": "Bundle",
            "meta": {"profile": [f"{mhd}/StructureDefinition/IHE.MHD.Comprehensive.ProvideBundle"]},
            "type": "transaction",
            "entry": [
                {"fullUrl": url, "resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
                for url, each in zip(urls, resources, strict=True)
            ],
        },
    )
    statuses = [each["response"]["status"][:3] for each in answer["entry"]]
    assert statuses == ["201", "201", "201"]
    assert client.reference("DocumentReference", before.id).to_resource()["status"] == "superseded"
    listed = client.reference("List", answer["entry"][0]["response"]["location"].rpartition("/")[2])
    (item,) = listed.to_resource()["entry"]
    new = client.reference("DocumentReference", item["item"]["reference"].rpartition("/")[2]).to_resource()
    assert new["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{before.id}"


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Any]], list[Any]]:
    """Lantana's validator, from its package registry; without npm it is left out, but not in CI."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("npm is not installed, so the validator cannot be had")
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("validator")
    for each in (HERE / "validator").iterdir():
        shutil.copy(each, folder)
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )

    def judge(resources: list[Any]) -> list[Any]:
        done = subprocess.run(
            ["node", "validate.js"],
            cwd=folder,
            input=json.dumps(resources).encode(),
            check=True,
            capture_output=True,
            timeout=120,
        )
        return json.loads(done.stdout)

    return judge


def test_a_validator_that_is_not_ours_finds_nothing(
    node: Node,
    client: SyncFHIRClient,
    published: list[Any],
    service: TicketService,
    validate: Callable[[list[Any]], list[Any]],
) -> None:
    """Every kind of resource that the node makes is R4, of a document that came by SOAP too."""
    ticket = service.saml("personnel", patient=PATIENT)
    document = Document(
        content=b"%PDF-1.4",
        mime_type="application/pdf",
        type_code=Code("A03-2", DOCUMENT_TYPES),
        class_code=Code("A00-1", DOCUMENT_TYPES),
        practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655"),
        healthcare_facility_type_code=Code("86.101", "2.16.578.1.12.4.1.1.1303"),
        authors=(Author("1^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO", ("Sykehuset",), ("LE",)),),
        creation_time=datetime(2026, 3, 1, tzinfo=UTC),
    )
    with Client(node.url, ticket=ticket) as soap:
        soap.send(build([document], patient_id=f"{PATIENT}^^^&{AUTHORITY}&ISO", source_id="2.16.578.1.1"))

    def get(path: str, **headers: str) -> Any:
        answer = requests.get(
            f"{node.url}/fhir/{path}",
            headers={"Authorization": client.authorization, **headers},
            timeout=30,
        )
        return answer.json()

    resources = {
        "search": get(f"DocumentReference?patient.identifier={WHO}&unknown=1"),
        "sets": get(f"List?code=submissionset&patient.identifier={WHO}"),
        "nothing": get(f"List?code=folder&patient.identifier={WHO}"),
        "document": get(f"DocumentReference/{published[0].id}"),
        "bytes": get(f"Binary/{published[0].id}", Accept="application/fhir+json"),
        "not there": get(f"DocumentReference/{uuid4()}"),
        "refused": get("DocumentReference?creation=never"),
        "log": get("AuditEvent?date=ge2020-01-01"),
        "metadata": get("metadata"),
    }
    assert {name: problems(each) for name, each in resources.items()} == {name: [] for name in resources}
    judged = dict(zip(resources, validate(list(resources.values())), strict=True))
    assert judged == {name: {"valid": True, "errors": []} for name in resources}
    spoiled = {**resources["document"], "status": "perhaps", "strange": 1}
    (told,) = validate([spoiled])
    assert not told["valid"]
