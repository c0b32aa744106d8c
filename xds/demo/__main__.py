"""`python -m xds.demo`, or `make demo`: the whole way of a document, on this machine, in a few seconds.

Starts a node that answers nobody without a security ticket, submits three documents for a patient who does
not exist, replaces one, finds them, fetches one and compares the bytes; then submits two that are not for
everyone, and asks for them as several people. It tells each step in plain words, and must leave nothing
behind: no process, and no file but with --keep.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn
from urllib.parse import urlencode
from uuid import uuid4

import urllib3

from xds.client import Author, Client, Code, Document, build
from xds.client.client import ANY_STATUS
from xds.client.defaults import DOCUMENT_TYPES, class_code
from xds.client.terminal import moment, size, table
from xds.demo.documents import cda, patient, pdf
from xds.demo.node import DemoFailed, DemoNode
from xds.demo.tickets import CLINICIAN, TicketService
from xds.errors import ClientError, XdsError
from xds.metadata.model import DocumentEntry

SOURCE_ID: Final = "2.16.578.1.12.4.5.480.1.2"
DISCHARGE_LETTER: Final = Code("A03-2", DOCUMENT_TYPES, "Epikrise")
OUTPATIENT_NOTE: Final = Code("B03-2", DOCUMENT_TYPES, "Poliklinisk notat")
NOTE: Final = Code("B02-2", DOCUMENT_TYPES, "Journalnotat")
#: Sperring og nekting av dokumenter (Volven 9603).
BLOCKED: Final = Code("NORS", "2.16.578.1.12.4.1.1.9603", "Sperret")
REFUSED: Final = Code("NORN_FFL", "2.16.578.1.12.4.1.1.9603", "Nektet, fare for liv")
AUTHOR: Final = Author("^Fjell^Tuva", ("Eksempelsykehuset",))

_NEXT: Final = """\
Where to go from here
  A node of your own, for a test on this machine:
      .venv/bin/xds ticket issue --kind personnel --patient {patient} --out ticket.xml
      export XDS_ENVIRONMENT=test XDS_TRUST=$PWD/xds-demo/trust.toml
      export XDS_NODE__REPOSITORY_UNIQUE_ID=2.16.578.1.12.4.5.100.1.1.2
      export XDS_STORE__DATABASE=sqlite:///$PWD/xds.db XDS_STORE__DOCUMENTS=file://$PWD/documents
      .venv/bin/xds serve
  and in another terminal, within the hour for which the ticket is good:
      export XDS_TICKET=ticket.xml
      .venv/bin/xds ticket show ticket.xml --trust xds-demo/trust.toml
      .venv/bin/xds submit FILE.pdf --patient {patient}
      .venv/bin/xds find --patient {patient}
      .venv/bin/xds fetch ENTRYUUID
  README.md has the rest; docs/settings.md every setting; `python -m pydoc xds.client` the Python client."""


class _Steps:
    """Numbered steps, each with the time it took."""

    def __init__(self) -> None:
        self._number = 0
        self._begun = time.monotonic()

    def done(self, text: str) -> None:
        """Tell what has just been done."""
        now = time.monotonic()
        self._number += 1
        head, *more = text.splitlines()
        print(
            f"{self._number}. {head}  ({(now - self._begun) * 1000:.0f} ms)", *more, sep="\n   ", flush=True
        )
        self._begun = time.monotonic()


def run(folder: Path) -> None:
    """Every step, with the node's data and the fetched file in `folder`; raises XdsError when one fails."""
    steps, subject, now = _Steps(), patient(), datetime.now(UTC)
    service = TicketService(folder / "tickets")
    ticket = service.saml("personnel", patient=subject.id)
    steps.done("Made a ticket service with keys of its own, and had it issue a clinician's security ticket.")
    with DemoNode(folder, service.trust) as node, Client(node.url, ticket=ticket) as client:
        steps.done(
            f"Started a node at {node.url}, with an embedded database and its documents in\n{folder}"
            "\nIt answers nobody without a ticket, and believes this service because its trust file says so."
        )

        letter = pdf(["Epikrise", "", f"Pasient: {subject.given} {subject.family}", "Frisk og i god form."])
        documents = [
            _document(letter, "application/pdf", DISCHARGE_LETTER, "Epikrise", now),
            _document(
                cda(subject, now, "Poliklinisk notat", "Kontroll etter utskriving. Ingen plager."),
                "text/xml",
                OUTPATIENT_NOTE,
                "Poliklinisk notat",
                now,
            ),
            _document("Blåbær på øya: pasienten er frsk.\n".encode(), "text/plain", NOTE, "Notat", now),
        ]
        receipt = client.send(build(documents, patient_id=subject.id, source_id=SOURCE_ID))
        steps.done(
            "Submitted a PDF, a CDA document and a text note (ITI-41) for the synthetic patient\n"
            f"{subject.number}, whose number nobody has: its month is raised by 80."
        )

        corrected = _document(
            "Blåbær på øya: pasienten er frisk.\n".encode(),
            "text/plain",
            NOTE,
            "Notat, rettet",
            now,
            replaces=receipt.entry_uuids[2],
        )
        client.send(build([corrected], patient_id=subject.id, source_id=SOURCE_ID))
        steps.done("Replaced the text note, which had a slip of the pen, with a corrected one (RPLC).")

        entries = client.find(subject.id, status=ANY_STATUS)
        statuses = sorted(_status(entry) for entry in entries)
        if statuses != ["Approved", "Approved", "Approved", "Deprecated"]:
            raise DemoFailed("The registry did not find three approved documents and one replaced one.")
        rows = [
            (_status(e), moment(e.creation_time), e.title or "", e.mime_type, size(e.size)) for e in entries
        ]
        listed = table(("STATUS", "CREATED (UTC)", "TITLE", "FORMAT", "SIZE"), rows)
        steps.done(f"Found them (ITI-18): the replaced note is kept, as Deprecated.\n{listed}")

        (fetched,) = client.fetch(client.get_documents(receipt.entry_uuids[0]), into=folder / "fetched")
        if fetched.path.read_bytes() != letter:
            raise DemoFailed("The PDF did not come back as it was submitted.")
        steps.done(
            f"Fetched the PDF (ITI-43): {fetched.size} bytes, the same, byte for byte (SHA-1 {fetched.sha1})."
        )

        published = _publish(node.url, service, subject.id, now)
        over_soap = client.get_documents(published)
        (note,) = client.fetch(over_soap, into=folder / "fetched")
        if note.path.read_bytes() != _NOTE_OVER_FHIR:
            raise DemoFailed("What was published over FHIR did not come back over SOAP as it was.")
        steps.done(
            "Published a note over FHIR with a HelseID token (ITI-105), searched for it there (ITI-67), and"
            "\nfetched it over SOAP: the same document, by the same id."
        )

        confidential = [
            _document(b"Samtale.", "text/plain", NOTE, "Samtale", now, confidentiality_codes=(BLOCKED,)),
            _document(b"Vurdering.", "text/plain", NOTE, "Vurdering", now, confidentiality_codes=(REFUSED,)),
        ]
        blocked, refused = client.send(
            build(confidential, patient_id=subject.id, source_id=SOURCE_ID)
        ).entry_uuids
        steps.done(
            "Submitted two that are not for all: one that the patient has blocked, one kept from the patient."
        )
        _expect_sight(client, subject.id, (blocked, "Sperret", False), (refused, "Vurdering", True))
        steps.done(
            "Asked as the clinician: the blocked one is listed without its content, and not given out."
        )
        emergency = service.saml("personnel", patient=subject.id, purpose="ETREAT")
        with Client(node.url, ticket=emergency) as opened:
            _expect_sight(opened, subject.id, (blocked, "Samtale", True), (refused, "Vurdering", True))
        steps.done("Asked as a clinician in an emergency: it is opened, and that is on record.")
        with Client(node.url, ticket=service.saml("citizen", person=subject.number)) as citizen:
            _expect_sight(citizen, subject.id, (blocked, "Samtale", True), (refused, None, False))
        steps.done(
            "Asked as the patient: the one that is kept from them is not there at all, not by its id either."
        )

        looked = _log_of(node.url, service.saml("citizen", person=subject.number))
        if not any("Tuva Fjell" in each for each in looked) or any(CLINICIAN in each for each in looked):
            raise DemoFailed("The patient's access log does not say who looked, or says too much.")
        steps.done(f"Read the access log as the patient: {len(looked)} events, by name and never by number.")

        _expect_refusal(node.url, "", subject.id)
        steps.done("Asked without a ticket: refused.")
        _expect_refusal(node.url, ticket.replace("Tuva Fjell", "Tuva Fjelt", 1), subject.id)
        steps.done(
            "Asked with the same ticket, one letter of it altered: refused, the signature does not fit."
        )
    steps.done("Stopped the node.")
    print()
    print(_NEXT.format(patient=subject.number))


def _expect_sight(client: Client, patient_id: str, *expected: tuple[str, str | None, bool]) -> None:
    """Each document, by its entryUUID, is listed with this title (None: not at all) and given out or not."""
    listed = {entry.entry_uuid: entry for entry in client.find(patient_id)}
    for uuid, title, is_given in expected:
        entry = listed.get(uuid)
        if (entry and entry.title) != title or bool(client.get_documents(uuid)) != (entry is not None):
            raise DemoFailed("The registry showed somebody another list than the access rules say.")
        if entry is not None and _is_given(client, entry) != is_given:
            raise DemoFailed("The repository gave out what the access rules keep, or kept what they give.")


def _is_given(client: Client, entry: DocumentEntry) -> bool:
    with tempfile.TemporaryDirectory(prefix="xds-demo-") as folder:
        try:
            return bool(client.fetch([entry], into=Path(folder)))
        except ClientError as error:
            if "blocked" in str(error):
                return False
            raise


_NOTE_OVER_FHIR: Final = b"Ringt pasienten: alt vel.\n"


def _publish(url: str, service: TicketService, patient_id: str, now: datetime) -> str:
    """Publish a note over FHIR, and search for it; its entryUUID."""
    number, _, authority = patient_id.partition("^^^&")
    who = {"system": f"urn:oid:{authority.removesuffix('&ISO')}", "value": number}
    unique_id = f"urn:oid:2.25.{uuid4().int}"
    coded = {
        "type": NOTE,
        "category": class_code(NOTE),
        "practice": Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
        "facility": Code("86.101", "2.16.578.1.12.4.1.1.1303", "Alminnelige somatiske sykehus"),
        "label": Code("N", "2.16.840.1.113883.5.25", "normal"),
    }
    said = {
        name: {"coding": [{"system": f"urn:oid:{each.scheme}", "code": each.code, "display": each.display}]}
        for name, each in coded.items()
        if each is not None
    }
    reference = {
        "resourceType": "DocumentReference",
        "contained": [
            {"resourceType": "Practitioner", "id": "author", "name": [{"family": "Fjell", "given": ["Tuva"]}]}
        ],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": unique_id},
        "status": "current",
        "type": said["type"],
        "category": [said["category"]],
        "subject": {"identifier": who},
        "author": [{"reference": "#author"}],
        "securityLabel": [said["label"]],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain",
                    "language": "nb-NO",
                    "data": base64.b64encode(_NOTE_OVER_FHIR).decode(),
                    "title": "Telefonnotat",
                    "creation": now.isoformat(timespec="seconds"),
                },
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                },
            }
        ],
        "context": {"facilityType": said["facility"], "practiceSetting": said["practice"]},
    }
    token = service.token()

    def ask(method: str, path: str, **more: Any) -> Any:
        address = f"{url}/fhir/{path}"
        headers = {
            "Authorization": f"DPoP {token}",
            "DPoP": service.proof(method, address, token),
            **more.pop("headers", {}),
        }
        answer = urllib3.request(method, address, headers=headers, retries=False, **more)
        if answer.status not in (200, 201):
            raise DemoFailed(f"FHIR answered HTTP {answer.status}: {answer.data.decode()}")
        return json.loads(answer.data)

    ask(
        "POST",
        "DocumentReference",
        body=json.dumps(reference),
        headers={"Content-Type": "application/fhir+json"},
    )
    # In the body, so that no number stands in a URL.
    found = ask(
        "POST",
        "DocumentReference/_search",
        body=urlencode({"patient.identifier": f"{who['system']}|{number}", "identifier": unique_id}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    if found["total"] != 1:
        raise DemoFailed("What was published over FHIR is not found there.")
    identifiers = found["entry"][0]["resource"]["identifier"]
    return str(next(each["value"] for each in identifiers if each["use"] == "official"))


def _log_of(url: str, ticket: str) -> list[str]:
    """The events of the patient's access log, as they are answered (ITI-81)."""
    token = base64.urlsafe_b64encode(ticket.encode()).rstrip(b"=").decode()
    answer = urllib3.request(
        "GET",
        f"{url}/fhir/AuditEvent?date=ge2020-01-01",
        headers={"Authorization": f"Bearer {token}"},
        retries=False,
    )
    if answer.status != 200:
        raise DemoFailed(f"The access log was not shown to the patient (HTTP {answer.status}).")
    return [json.dumps(each["resource"], ensure_ascii=False) for each in json.loads(answer.data)["entry"]]


def _expect_refusal(url: str, ticket: str, patient_id: str) -> None:
    """Nothing may be found with this ticket."""
    with Client(url, ticket=ticket) as client:
        try:
            client.find(patient_id)
        except ClientError as error:
            if "ask for a new ticket" in str(error):
                return
            raise
    raise DemoFailed("The node answered somebody whose ticket is not good.")


def _document(
    content: bytes, mime_type: str, type_code: Code, title: str, written: datetime, **more: Any
) -> Document:
    group = class_code(type_code)
    assert group is not None
    return Document(
        content=content,
        mime_type=mime_type,
        type_code=type_code,
        class_code=group,
        practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
        healthcare_facility_type_code=Code(
            "86.101", "2.16.578.1.12.4.1.1.1303", "Alminnelige somatiske sykehus"
        ),
        title=title,
        creation_time=written,
        authors=(AUTHOR,),
        **more,
    )


def _status(entry: DocumentEntry) -> str:
    return (entry.availability_status or "").rpartition(":")[2]


def _end(number: int, _: FrameType | None) -> NoReturn:
    """A signal that asks us to end ends us through the `finally`s, so that the node ends too."""
    sys.exit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 when every step went well, 1 when one did not."""
    parser = argparse.ArgumentParser(
        prog="python -m xds.demo",
        description="Start a node that wants tickets, submit, replace, find and fetch documents.",
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with the node's data")
    keep = parser.parse_args(argv).keep
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    folder = Path(tempfile.mkdtemp(prefix="xds-demo-"))
    begun = time.monotonic()
    try:
        run(folder)
        print(f"\nAll went well, in {time.monotonic() - begun:.1f} s.")
        return 0
    except XdsError as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The demo failed: {error.strerror or type(error).__name__}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    finally:
        if keep:
            print(f"The node's data is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
