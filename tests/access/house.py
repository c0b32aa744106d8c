"""A registry with gate 2 in front of it, and people who ask: for tests of the gate and of its explanation.

Time stands still at noon of DAY until a test moves it. What a caller sees is what FindDocuments gives with
the visibility of the gate; settings, merges and new versions are made as operators and senders make them.
"""

from __future__ import annotations

import re
from datetime import date
from itertools import count
from typing import Any

import pytest

from tests.access.people import NOON, caller, number, person, pid, turning
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.updates import member, message, send, uuid
from xds.access import privacy
from xds.access.gate import Access, AccessGate
from xds.access.policy import Action, Policies, PolicyFile
from xds.access.rule_table import national_rules
from xds.errors import RegistryFailure
from xds.metadata import names
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.metadata.entries import document_entry
from xds.metadata.model import Code
from xds.registry import patients
from xds.registry.prepare import Reading
from xds.registry.queries import find_documents
from xds.registry.registry import Options
from xds.registry.sight import Sight
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store.database import Database

HL7, ISO_14265 = "2.16.840.1.113883.1.11.20448", "1.0.14265.1"
RELEASE = "urn:no:xds:releaseTime"
LIST, FETCH, *_ = Action

ANNA, BO, DOCTOR, NOBODY = (person(turning(years), 3) for years in (40, 42, 50, 60))
D_NUMBER = Identifier(number(date(1984, 2, 3), 9), "2.16.578.1.12.4.1.4.1")
N = Code("N", LEVELS)
NORS, NORU, NORN_ALL, NORN_ANG = (Code(each, REFUSALS) for each in ("NORS", "NORU", "NORN_ALL", "NORN_ANG"))


def citizen(who: Identifier = ANNA, patient: Identifier | None = ANNA, **more: Any) -> Caller:
    """Somebody with a ticket of Helsenorge, about themselves."""
    asked = {"issuer_kind": "helsenorge", "role": None, "purpose": Code("13", ISO_14265)}
    return caller(CallerKind.CITIZEN, who, patient, **(asked | more))


def doctor(patient: Identifier | None = ANNA, purpose: str = "TREAT", **more: Any) -> Caller:
    """Health personnel about a patient of theirs."""
    return caller(CallerKind.PERSONNEL, DOCTOR, patient, **({"purpose": Code(purpose, HL7)} | more))


def machine(patient: Identifier | None = None, *scopes: str, **more: Any) -> Caller:
    """A system without a person behind it."""
    asked = {"role": None, "security_level": None, "issuer_kind": "helseid", "scopes": frozenset(scopes)}
    return caller(CallerKind.MACHINE, None, patient, **(asked | more))


CREATING = "nhn:phr-repo/mhd/create"


class House:
    """A registry and the gate in front of it."""

    def __init__(self, database: Database) -> None:
        reading = Reading(release_slot=RELEASE)
        self.desk = Desk(database, Options(patients="national", synthetic=True, reading=reading))
        self.now = NOON
        self.policies: Policies = PolicyFile(None).policies
        self.database = database
        self.options = {"environment": "test", "youth": "none", "time_limits": "off"}
        self.gate = AccessGate(
            database, lambda: self.policies, national_rules(), self.options, clock=lambda: self.now
        )
        self._numbers = count(1)

    def file(self, title: str, of: Identifier = ANNA, *codes: Code, **changes: Any) -> str:
        """Register a document of code N, or of these, whose title and uniqueId tell which it is."""
        own = next(self._numbers)
        entry = s.document_entry(
            **{
                "entry_uuid": uuid(own),
                "unique_id": f"1.2.3.{own}",
                "patient_id": pid(of),
                "source_patient_id": pid(of),
                "source_patient_info": (),
                "confidentiality_codes": codes or (N,),
                "title": title,
            }
            | changes
        )
        the_set = s.submission_set(unique_id=f"1.2.4.{own}", patient_id=pid(of))
        assert self.desk.submit(s.submission(entry, of=the_set))
        return uuid(own)

    def renew(self, title: str, of: str, version: int, *codes: Code, **changes: Any) -> str:
        """A new version of Anna's first document (ITI-57)."""
        own = uuid(0x1000 + next(self._numbers))
        entry = s.document_entry(
            entry_uuid=own,
            unique_id="1.2.3.1",
            logical_id=of,
            patient_id=pid(ANNA),
            source_patient_id=pid(ANNA),
            source_patient_info=(),
            confidentiality_codes=codes,
            title=title,
            **changes,
        )
        assert send(self.desk, message(entry, member(own, version), patient=pid(ANNA)))
        return own

    def merge(self, subsumed: Identifier, surviving: Identifier) -> None:
        """What the patient feed does (A40)."""
        work = (self.desk.registry.domain, pid(subsumed), pid(surviving))
        self.desk.database.transact(lambda connection: patients.merge(connection, *work))

    def unmerge(self, subsumed: Identifier) -> None:
        """What an operator does."""
        self.desk.database.transact(lambda connection: patients.unmerge(connection, pid(subsumed)))

    def set(self, kind: int, whom: str = "", of: Identifier = ANNA, **more: Any) -> int:
        """A privacy setting of a patient; its key."""
        given = (self.desk.registry.domain, pid(of), kind, whom)
        made = self.desk.database.transact(lambda c: privacy.make(c, *given, by="kari", **more))
        return made.key

    def withdraw(self, key: int) -> None:
        """Take a setting back."""
        self.desk.database.transact(lambda connection: privacy.withdraw(connection, key, "kari"))

    def ask(self, who: Caller, action: Action = LIST, transaction: str = "ITI-18") -> Access:
        """What the caller may."""
        return self.gate.access(who, action, transaction, "ref-1")

    def refused(
        self, who: Caller, action: Action = LIST, transaction: str = "ITI-18"
    ) -> tuple[str, str, str]:
        """The rule by which a request is refused, its code and what follows the sentence."""
        with pytest.raises(RegistryFailure) as caught:
            self.ask(who, action, transaction)
        (error,) = caught.value.errors
        detail = re.search(r"[.:] \((.+)\)$", error.context)
        return error.rule, str(error.code), detail[1] if detail else ""

    def seen(self, who: Caller | Access, of: Identifier = ANNA, level: int = 1) -> list[str]:
        """The titles of this patient's documents, as FindDocuments lists them to the caller."""
        access = who if isinstance(who, Access) else self.ask(who)
        found = self.desk.ask(
            find_documents.ID,
            visibility=access.visibility,
            XDSDocumentEntryPatientId=f"'{pid(of)}'",
            XDSDocumentEntryStatus=f"('{names.APPROVED}','{names.DEPRECATED}')",
            MetadataLevel=str(level),
        )
        return sorted(str(document_entry(each).title) for each in found)

    def sight(self, who: Caller, *numbers: int) -> list[Sight]:
        """What documents are to who asks for their bytes."""
        access = self.ask(who, FETCH, "ITI-43")
        return list(
            self.desk.registry.sight([f"1.2.3.{each}" for each in numbers], access.visibility).values()
        )
