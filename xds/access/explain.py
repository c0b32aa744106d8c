"""Why somebody sees what they see: the decision of gate 2 in words, in Norwegian and English.

`xds explain` calls it with the node's own database, policy and rules. It asks the very statement that a query
would ask and says beside it what decision.reasons says; should the two ever differ, it says so and not which
is right. It shows people's data to the operator, and must never be used for logs or answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, literal_column, select, true

from xds.access.decision import Decision, Entry, Reason, decide, reasons, situation_of
from xds.access.known import Known, Patients
from xds.access.policy import Action, Policies
from xds.access.rule_table import Relation, RuleTable, Situation
from xds.access.visibility import DOCUMENT_TYPES_NAMES, visibility_of
from xds.errors import XdsError
from xds.metadata.confidentiality import Restriction
from xds.registry.facets import values as facet_values
from xds.security.caller import Caller, Identifier
from xds.store import schema
from xds.store.codes import Codes
from xds.store.database import Database
from xds.store.keys import uuid_urn
from xds.store.schema import document_entry

#: What is said of a thing: Norwegian, English.
Words = tuple[str, str]

RELATIONS: Final[Mapping[Relation, Words]] = {
    Relation.SELF: ("innbygger i egen journal", "a citizen in their own record"),
    Relation.PARENT: ("forelder til pasienten", "a parent of the patient"),
    Relation.CONSENT: ("representant med fullmakt", "a representative with a power of attorney"),
    Relation.UNABLE: (
        "representant for en som ikke kan samtykke",
        "a representative of somebody who cannot consent",
    ),
    Relation.PERSONNEL: ("helsepersonell", "health personnel"),
    Relation.PERSONNEL_SELF: ("helsepersonell i egen journal", "health personnel in their own record"),
    Relation.MACHINE: ("et system uten person bak seg", "a system without a person behind it"),
    Relation.UNKNOWN: ("ukjent for pasienten", "nobody that is known to the patient"),
}
CRITERIA: Final[Mapping[str, Words]] = {
    "day": ("gjelder ikke denne dagen", "is not in force on this day"),
    "relation": ("gjelder en annen relasjon til pasienten", "is for another relation to the patient"),
    "purpose": ("formålet passer ikke", "the purpose of use does not fit"),
    "acp": ("tilgangsgrunnlaget (acp) passer ikke", "the access policy (acp) does not fit"),
    "patient-age": (
        "pasientens alder passer ikke, eller er ukjent",
        "the patient's age does not fit, or is unknown",
    ),
    "caller-age": (
        "spørrerens alder passer ikke, eller er ukjent",
        "the caller's age does not fit, or is unknown",
    ),
    "level": ("sikkerhetsnivået er for lavt", "the security level is too low"),
    "role": ("det mangler en rolle for helsepersonell", "no role of health personnel is stated"),
    "option": ("noden er innstilt annerledes", "the node is set otherwise"),
}
_CODES: Final[Mapping[str, Words]] = {
    "V": ("nivå V (strengt beskyttet)", "level V (very restricted)"),
    "UNKNOWN": ("konfidensialitetskoden er ukjent", "the confidentiality code is unknown"),
    "UNSTATED": ("konfidensialitetskode mangler", "there is no confidentiality code"),
    "NORS": ("sperret av pasienten (NORS)", "blocked by the patient (NORS)"),
    "all-refused": (
        "nektet for alle pasientens dokumenter (NORN_ALL)",
        "all documents are refused (NORN_ALL)",
    ),
    "delayed": ("utsatt innsyn (NORU)", "delayed access (NORU)"),
    "time-limit": (
        "eldre enn kjernejournalforskriften tillater",
        "older than Kjernejournalforskriften allows",
    ),
    "block": ("sperret av en innstilling", "blocked by a privacy setting"),
    "refusal": ("nektet av en innstilling", "refused by a privacy setting"),
    "reservation": ("pasienten har reservert seg", "the patient has made a reservation"),
    "no-rule": ("ingen regel passer", "no rule fits"),
    "denied": ("regelen nekter", "the rule denies"),
    "policy": ("tilgangspolicyen nekter", "the access policy denies"),
    "patient": ("billetten gjelder en annen pasient", "the ticket is for another patient"),
}
STATES: Final[Mapping[str, Words]] = {
    "shown": ("synlig", "visible"),
    "masked": ("sperret", "masked"),
    "hidden": ("skjult", "hidden"),
}


def words_for(reason: Reason) -> Words:
    """Why an entry is hidden or masked."""
    return _CODES.get(reason.what) or (f"nektet ({reason.what})", f"refused ({reason.what})")


@dataclass(frozen=True, slots=True)
class Judged:
    """The newest version of an entry: `state` is a key of STATES, with everything that makes it so."""

    entry_uuid: str
    logical_id: str
    class_code: str
    codes: tuple[str, ...]
    approved: bool
    state: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is decided about a caller and a patient; `policies`: action -> (permitted, policy)."""

    situation: Situation
    policies: Mapping[Action, tuple[bool, str]]
    same_patient: bool
    decision: Decision
    misfits: tuple[tuple[str, tuple[str, ...]], ...]
    documents: tuple[Judged, ...]


class Disagreement(XdsError):
    """The statement and the reasons say different things: a fault of this version."""


def explain(
    database: Database,
    policies: Policies,
    table: RuleTable,
    options: Mapping[str, str],
    caller: Caller,
    patient: Identifier,
    moment: datetime,
) -> Explanation:
    """What the caller would see of this patient's documents at this moment, and why."""
    codes = Codes(database)
    patients = Patients(database)
    asked = patients.look(patient)
    known = None if caller.patient is None else patients.look(caller.patient)
    judged = {action: policies.judge(caller, action) for action in (Action.READ_LIST, Action.READ_DOCUMENT)}
    reading = judged[Action.READ_LIST]
    same = reading.any_patient or (known is not None and bool(known.pids & asked.pids))
    decision = decide(caller, known, table, moment, options)
    situation = situation_of(caller, known, moment, options)
    whole = [] if reading.permitted else [Reason(True, "policy")]
    if not same:
        whole.append(Reason(True, "patient"))
    keys = None if reading.any_patient else (known.keys if known is not None else ())
    return Explanation(
        situation,
        {action: (each.permitted, each.policy) for action, each in judged.items()},
        same,
        decision,
        tuple(
            (rule.id, tuple(rule.misfits(situation)))
            for rule in table.rules
            if rule.relation is situation.relation and rule is not decision.rule
        ),
        tuple(_judge(database, codes, asked, decision, whole, keys)),
    )


_COLUMNS: Final = (
    document_entry.c.entry_uuid,
    document_entry.c.logical_uuid,
    document_entry.c.status,
    document_entry.c.class_code,
    document_entry.c.restrictions,
    document_entry.c.release_time,
    document_entry.c.service_start,
    document_entry.c.facets,
)


def _judge(
    database: Database,
    codes: Codes,
    asked: Known,
    decision: Decision,
    whole: Sequence[Reason],
    keys: Sequence[int] | None,
) -> Iterator[Judged]:
    for row in _rows(database, codes, asked, decision, keys):
        group = codes.word(row.class_code)
        entry = Entry(
            Restriction(row.restrictions),
            row.release_time,
            bytes(row.logical_uuid),
            frozenset(facet_values(row.facets, "o")),
            group.text if group.scheme in DOCUMENT_TYPES_NAMES else "",
            row.service_start,
        )
        found = reasons(decision, entry)
        state = "hidden" if any(each.hides for each in found) else "masked" if found else "shown"
        if not whole and decision.permitted and state != _state(row):
            raise Disagreement("The statement and its explanation disagree: tell the makers of this version.")
        yield Judged(
            uuid_urn(bytes(row.entry_uuid)),
            uuid_urn(entry.logical_uuid),
            group.text,
            tuple(each.name or "" for each in entry.restrictions),
            row.status == schema.STATUS_APPROVED,
            "hidden" if whole else state,
            tuple(whole) or tuple(found),
        )


def _state(row: Any) -> str:
    return "shown" if row.opened else "masked" if row.listed else "hidden"


def _rows(
    database: Database, codes: Codes, asked: Known, decision: Decision, keys: Sequence[int] | None
) -> Sequence[Any]:
    """The latest versions of the patient's entries, with what the statement of a query says of each."""
    if not asked.keys:
        return ()
    nothing: ColumnElement[int] = literal_column("0")
    listed, opened, values = nothing, nothing, dict[str, Any]()
    if decision.permitted:
        visibility = visibility_of(decision, keys, codes)
        listed, opened = (
            case((and_(true(), *conditions), literal_column("1")), else_=nothing)
            for conditions in (visibility.listed(document_entry), visibility.opened(document_entry))
        )
        values = dict(visibility.values)
    statement = (
        select(*_COLUMNS, listed.label("listed"), opened.label("opened"))
        .where(document_entry.c.patient_pk.in_(asked.keys), document_entry.c.latest == literal_column("1"))
        .order_by(document_entry.c.doc_pk)
    )
    with database.read() as connection:
        return connection.execute(statement, values).all()
