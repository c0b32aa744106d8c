"""AuditEvents as the node makes them, to train a compression dictionary with: of callers and deeds that vary.

Nobody in them exists: numbers are of the synthetic series, and everything else is counted or drawn.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from bench import content, messages
from xds.audit import event as events
from xds.audit.event import Node
from xds.audit.facts import Context, Deed, Document, Query, Subject
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.metadata.model import Code
from xds.security.caller import Caller, CallerKind, Decision, Identifier, Unit

NODE: Final = Node("bench-node", "urn:oid:2.16.578.1.12.4.5.100.1", "https://xds.example.org")
_NATIONAL: Final = "2.16.578.1.12.4.1.4.1"
_ENTERPRISE: Final = "2.16.578.1.12.4.1.4.101"
_HL7: Final = "2.16.840.1.113883.1.11.20448"


def _digits(chance: random.Random, count: int) -> str:
    return f"{chance.randrange(10**count):0{count}}"


def caller(chance: random.Random, patient: str) -> Caller:
    """Health personnel mostly, with all that their ticket may say; else a citizen."""
    now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**6))
    number, _, authority = patient.removesuffix("&ISO").partition("^^^&")
    known = {
        "issuer": f"https://helseid-xdssaml.{chance.choice(('nhn.no', 'test.nhn.no', 'example.no'))}",
        "ticket_id": f"_{chance.getrandbits(128):032x}",
        "expires_at": now + timedelta(hours=1),
        "patient": Identifier(number, authority),
        "security_level": 4,
    }
    if chance.random() < 0.2:
        return Caller(
            kind=CallerKind.CITIZEN,
            subject=number,
            person=Identifier(number, authority),
            name=f"Navn {_digits(chance, 3)} Navnesen",
            purpose=Code("13", "1.0.14265.1"),
            issuer_kind="helsenorge",
            **known,
        )
    person = _digits(chance, 11)
    return Caller(
        kind=CallerKind.PERSONNEL,
        subject=person,
        person=Identifier(person, _NATIONAL),
        name=f"Navn {_digits(chance, 3)} Navnesen",
        hpr=_digits(chance, 9),
        role=Code("LE", "2.16.578.1.12.4.1.1.9060", "Lege"),
        organisation=Unit(Identifier(_digits(chance, 9), _ENTERPRISE), f"Foretak {_digits(chance, 2)} HF"),
        unit=Unit(Identifier(_digits(chance, 9), _ENTERPRISE), f"Sykehus {_digits(chance, 2)}"),
        department=Unit(Identifier(_digits(chance, 6), "2.16.578.1.12.4.1.4.102"), "Akuttmottak"),
        purpose=Code(chance.choice(("TREAT", "TREAT", "ETREAT")), _HL7, "treatment"),
        health_service=Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
        patient_unit=Unit(Identifier(_digits(chance, 9), _ENTERPRISE), f"Sykehus {_digits(chance, 2)}"),
        decision=Decision(f"{chance.getrandbits(128):032x}", False, "Innlagt pasient"),
        attested_at=now,
        acp="2.16.578.1.12.4.1.7.2.1.4",
        issuer_kind="kjernejournal",
        home="2.16.578.1.12.4.5.100.1",
        **known,
    )


def context(chance: random.Random, number: str, who: Caller) -> Context:
    """A request of that transaction."""
    return Context(
        endpoint="/xds/repository" if number in ("ITI-41", "ITI-43") else "/xds/registry",
        remote=f"10.1.{chance.randrange(255)}.{chance.randrange(255)}",
        reference=f"{chance.getrandbits(48):012x}",
        message_id=f"urn:uuid:{chance.getrandbits(128):032x}",
        number=number,
        caller=who,
        policy="personnel-read",
        rule="personnel-treat",
    )


def event(chance: random.Random) -> bytes:
    """One AuditEvent."""
    patient = content.pid(chance.randrange(10**8))
    who = caller(chance, patient)
    number = chance.choice(("ITI-18", "ITI-18", "ITI-43", "ITI-41"))
    asked = context(chance, number, who)
    documents = tuple(
        Document(
            unique_id=f"2.25.{chance.getrandbits(120)}",
            repository="2.16.578.1.12.4.5.100.1.1.2",
            mime_type=chance.choice(("application/pdf", "text/xml")),
            codes=(Code("N", LEVELS), *((Code("NORS", REFUSALS),) if chance.random() < 0.1 else ())),
        )
        for _ in range(chance.choice((1, 1, 2, 3)))
    )
    if number == "ITI-18":
        text = messages.find(patient).xml
        query = Query(
            id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d", name="FindDocuments", text=text[-1200:]
        )
        asked.subject = Subject(patients=(patient,), query=query)
        shown = [chance.randbytes(16) for _ in range(chance.choice((0, 1, 5)))]
        deed = Deed(patient=patient, shown=shown, objects=len(shown))
    else:
        deed = Deed(
            patient=patient,
            documents=documents,
            submission_set=f"2.25.{chance.getrandbits(120)}" if number == "ITI-41" else "",
        )
    return events.entry(NODE, asked, deed).body
