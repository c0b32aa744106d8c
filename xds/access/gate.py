"""GATE 2 itself: who was let in by gate 1 may do this, and sees that.

app.py asks `access` about every request before anything is done, and hands the `Access` on to the
transaction. Every way through ends in an Access or in RegistryFailure; there is none around it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import false

from xds.access.decision import Decision, decide
from xds.access.known import Patients
from xds.access.policy import Action, Judgement, Policies
from xds.access.rule_table import RuleTable
from xds.access.rules import broken
from xds.access.visibility import visibility_of
from xds.errors import RegistryError, RegistryFailure
from xds.metadata.datatypes import CX
from xds.registry.view import EVERYTHING, Visibility
from xds.security.caller import Caller, CallerKind, Identifier
from xds.store.codes import Codes
from xds.store.database import Database

log = logging.getLogger("xds")


@dataclass(frozen=True, slots=True)
class Access:
    """What one request may do and see; `pids` are the CX texts of the one patient it is about, None: of all.

    `policy` and `decision` are why; None where nobody asks (access.ticket = none).
    """

    visibility: Visibility
    pids: frozenset[str] | None = None
    policy: str = ""
    decision: Decision | None = None

    def check_patients(self, pids: Iterable[str], location: str, transaction: str = "") -> None:
        """Raises RegistryFailure when the request is about somebody whom the ticket is not for."""
        if self.pids is not None and not self.pids.issuperset(pids):
            raise RegistryFailure(broken("access-patient", location, transaction))


def about_patient(caller: Caller, pid: str) -> Caller:
    """Whoever asks, as somebody who asks about the patient (CX text) that their request names.

    HelseID takes no patient into its tokens; what a token attests of the care relation is meant for whom the
    request is about (norwegian-profile 4.11). Every other ticket is for the patient that it names.
    """
    if not pid or caller.patient is not None:
        return caller
    if caller.kind is not CallerKind.PERSONNEL or caller.issuer_kind != "helseid":
        return caller
    patient = CX.parse(pid)
    return replace(caller, patient=Identifier(patient.id, patient.authority))


class AccessRefused(RegistryFailure):
    """Gate 2 says no; `policy` or `rule` is what says it, empty when none says anything."""

    def __init__(self, error: RegistryError, policy: str = "", rule: str = "") -> None:
        super().__init__(error)
        self.policy = policy
        self.rule = rule


#: Where systems trust each other (access.ticket = none).
UNASKED = Access(EVERYTHING)
_NOTHING = Visibility("nothing", condition=lambda document: false())


class AccessGate:
    """Gate 2 of one node. `options` are the settings that the national rules name (decision.decide)."""

    def __init__(
        self,
        database: Database,
        policies: Callable[[], Policies],
        table: RuleTable,
        options: Mapping[str, str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._patients = Patients(database)
        self._codes = Codes(database)
        self._policies = policies
        self._table = table
        self._options = options
        self._clock = clock

    @property
    def scopes(self) -> frozenset[str]:
        """Those that the policies name, by which somebody may do something."""
        return self._policies().scopes

    def access(self, caller: Caller, action: Action, transaction: str, reference: str) -> Access:
        """What the caller may do and see. Raises RegistryFailure with the policy or rule that says no."""
        judgement = self._judge(caller, action, transaction)
        if action is Action.READ_LOG and judgement.any_patient:
            # No document is shown, but what was done: the national rules are about documents.
            return Access(EVERYTHING, None, judgement.policy)
        known = None if caller.patient is None else self._patients.look(caller.patient)
        if known is None and not judgement.any_patient:
            raise AccessRefused(broken("access-patient", "", transaction), judgement.policy)
        decision = decide(caller, known, self._table, self._clock(), self._options)
        if not decision.permitted:
            detail = f"(rule {decision.rule.id})" if decision.rule else "(no rule fits)"
            rule = decision.rule.id if decision.rule else ""
            raise AccessRefused(broken("access-rule", "", transaction, detail), judgement.policy, rule)
        assert decision.rule is not None
        if decision.rule.opens:
            log.info("%s opened blocked documents by rule %s", reference, decision.rule.id)
        bound = None if judgement.any_patient or known is None else known
        return Access(
            visibility_of(decision, None if bound is None else bound.keys, self._codes),
            None if bound is None else bound.pids,
            judgement.policy,
            decision,
        )

    def access_to_nobody(self, caller: Caller, action: Action, transaction: str) -> Access:
        """Whether the caller may do what is about no record, and shows nothing of any.

        Raises RegistryFailure with the policy that says no.
        """
        return Access(_NOTHING, frozenset(), self._judge(caller, action, transaction).policy)

    def _judge(self, caller: Caller, action: Action, transaction: str) -> Judgement:
        judgement = self._policies().judge(caller, action)
        if not judgement.permitted:
            detail = f"(policy {judgement.policy} denies it)" if judgement.policy else "(none permits it)"
            raise AccessRefused(broken("access-policy", "", transaction, detail), judgement.policy)
        return judgement
