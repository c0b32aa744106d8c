"""What the access rules cost: FindDocuments in process, without a visibility and with those of callers.

The measured call is what a request does from the gate to the last byte of the answer's objects; HTTP, the
ticket and the envelope are left out, so that the ratio is that of the condition and the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.measure import Act, in_turn
from xds.access.gate import AccessGate
from xds.access.policy import Action, PolicyFile
from xds.access.rule_table import national_rules
from xds.metadata import names
from xds.metadata.datatypes import CX
from xds.metadata.model import Code, Slot
from xds.registry.queries import find_documents
from xds.registry.registry import Options, Registry, StoredQuery
from xds.registry.view import EVERYTHING, Visibility
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store.database import Database

_PERSON: Final = Identifier("12867012107", "2.16.578.1.12.4.1.4.1")
_ROLE: Final = Code("LE", "2.16.578.1.12.4.1.1.9060")
#: The patient has consented that blocked documents are seen too.
_CONSENT: Final = "2.16.578.1.12.4.1.7.2.1.5"


def acts(database_path: Path, pids: Sequence[str]) -> tuple[dict[str, Act], Callable[[], None]]:
    """FindDocuments of these patients: without rules, as different clinicians; and the end.

    One document of fifty is blocked. In an emergency nothing is asked but whose it is; with consent each
    document is asked whether it is masked, and none is; without, the blocked ones are masked.
    """
    database = Database(f"sqlite:///{database_path}")
    registry = Registry(database, Options(patients="open"))
    policies = PolicyFile(None).policies
    gate = AccessGate(database, lambda: policies, national_rules(), {"environment": "test"})

    def find(pid: str, visibility: Visibility) -> None:
        query = StoredQuery(
            find_documents.ID,
            [
                Slot("$XDSDocumentEntryPatientId", (f"'{pid}'",)),
                Slot("$XDSDocumentEntryStatus", (f"('{names.APPROVED}')",)),
            ],
        )
        for some in registry.query(query, visibility).elements:
            b"".join(some)

    def asking(purpose: str, acp: str = "") -> Act:
        def ask(asked: tuple[str, Caller]) -> None:
            pid, caller = asked
            find(pid, gate.access(caller, Action.READ_LIST, "ITI-18", "bench").visibility)

        return in_turn([(pid, _clinician(pid, purpose, acp)) for pid in pids]), ask

    return {
        "no access rules": (in_turn(pids), lambda pid: find(pid, EVERYTHING)),
        "in an emergency": asking("ETREAT"),
        "with consent": asking("TREAT", _CONSENT),
        "some are masked": asking("TREAT"),
    }, database.close


def _clinician(pid: str, purpose: str, acp: str) -> Caller:
    patient = CX.parse(pid)
    return Caller(
        kind=CallerKind.PERSONNEL,
        issuer="bench",
        issuer_kind="kjernejournal",
        ticket_id="1",
        subject=_PERSON.value,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        person=_PERSON,
        role=_ROLE,
        purpose=Code(purpose, "2.16.840.1.113883.1.11.20448"),
        patient=Identifier(patient.id, patient.authority),
        acp=acp,
        security_level=4,
    )
