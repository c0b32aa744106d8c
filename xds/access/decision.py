"""The one decision: what this caller may see of this patient's documents at this moment, and why.

gate.py makes a `Decision` for each request; visibility.py turns it into the SQL of every read and explain.py
into words. Everything in it is said by a row of the national rules or by a setting of the patient. Days are
Norwegian days: a birthday begins at midnight in Oslo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from xds.access.known import Known, Setting
from xds.access.rule_table import (
    Relation,
    Rule,
    RuleTable,
    Situation,
    policy_of,
    purpose_of,
    relation_of,
    role_of,
)
from xds.metadata import national
from xds.metadata.confidentiality import Restriction
from xds.security.caller import Caller, Identifier, Unit
from xds.store import schema

_OSLO: Final = ZoneInfo("Europe/Oslo")


@dataclass(frozen=True, slots=True)
class Decision:
    """What may be seen, by `rule`; without one, or with one that denies, nothing.

    `settings` are those of the patient's that hold against the caller: blocks mask, refusals and reservations
    hide, releases end a delay. `oldest` gives, when time limits hold, the first service start (YYYYMMDD...,
    UTC) of each class (9602) that is shown, 0 for any. `now` is YYYYMMDDhhmmss in UTC.
    """

    rule: Rule | None
    situation: Situation
    now: int
    settings: tuple[Setting, ...] = ()
    all_refused: bool = False
    oldest: Mapping[str, int] | None = None

    @property
    def permitted(self) -> bool:
        """Whether there may be anything to see."""
        return self.rule is not None and not self.rule.deny


def day_of(moment: datetime) -> date:
    """The day in Norway."""
    return moment.astimezone(_OSLO).date()


def decide(
    caller: Caller, known: Known | None, table: RuleTable, moment: datetime, options: Mapping[str, str]
) -> Decision:
    """What the caller may see of the patient of their ticket; `known` is None when it names none.

    `options` are the node's settings that rules name: youth, time_limits; `test`: synthetic people exist.
    """
    situation = situation_of(caller, known, moment, options)
    now = int(moment.astimezone(UTC).strftime("%Y%m%d%H%M%S"))
    rule = table.fitting(situation)
    if rule is None or rule.deny or known is None:
        return Decision(rule, situation, now)
    words = _words(caller, rule)
    return Decision(
        rule,
        situation,
        now,
        settings=tuple(
            each
            for each in known.settings
            if _is_against(each.whom, words) or (each.kind == schema.RELEASE and rule.delays)
        ),
        all_refused=known.all_refused and bool(rule.hides_all),
        oldest=_oldest(table, situation.day)
        if rule.limits and options.get("time_limits") == "kjernejournal"
        else None,
    )


def situation_of(
    caller: Caller, known: Known | None, moment: datetime, options: Mapping[str, str]
) -> Situation:
    """What the rules ask about the request."""
    day = day_of(moment)
    test = options.get("environment") == "test"
    own = None
    if known is not None and caller.person is not None:
        own = caller.person.cx in known.pids
    return Situation(
        day=day,
        relation=relation_of(caller, own=own),
        purpose=purpose_of(caller.purpose),
        acp=policy_of(caller.acp),
        patient_age=_age(caller.patient, day, test=test),
        caller_age=_age(caller.person, day, test=test),
        level=caller.security_level or 0,
        role=role_of(caller.role),
        options=options,
    )


def _age(who: Identifier | None, day: date, *, test: bool) -> int | None:
    return None if who is None else _age_of(who.value, who.authority, day, test)


@lru_cache(maxsize=1024)
def _age_of(number: str, authority: str, day: date, test: bool) -> int | None:
    return national.age(number, authority, day, test=test)


#: The word of a setting against health personnel in general; rules.toml names the words against others.
PERSONNEL: Final = "personnel"


def _words(caller: Caller, rule: Rule) -> frozenset[str]:
    """Against whom a setting must be to be against this caller."""
    if not rule.settings:
        return frozenset()
    words = set(rule.settings) if rule.relation not in (Relation.PERSONNEL,) else {PERSONNEL}
    if caller.person is not None:
        words.add(f"person:{caller.person.value}")
    if rule.relation is Relation.PERSONNEL:
        if caller.hpr:
            words.add(f"hpr:{caller.hpr}")
        words.update(
            f"organisation:{number}"
            for number in map(_number, (caller.organisation, caller.unit, caller.department))
            if number
        )
        # Whoever does not say who they are may be the one who is meant.
        words.update(each for each in ("hpr:", "organisation:") if not any(map(_begins(each), words)))
    return frozenset(words)


def _begins(with_this: str) -> Callable[[str], bool]:
    return lambda word: word.startswith(with_this)


def _is_against(whom: str, words: frozenset[str]) -> bool:
    """Whether a setting against `whom` is against a caller of these words; `hpr:` is any such number."""
    kind, colon, _ = whom.partition(":")
    return whom in words or kind + colon in words


def _number(unit: Unit | None) -> str:
    return unit.identifier.value if unit is not None and unit.identifier is not None else ""


def _oldest(table: RuleTable, day: date) -> Mapping[str, int]:
    """The first service start of each class that is shown; a year ago on 29 February is 1 March."""
    found = {}
    for group, years in table.limits.items():
        try:
            first = day.replace(year=day.year - years)
        except ValueError:
            first = date(day.year - years, 3, 1)
        found[group] = int(first.strftime("%Y%m%d000000")) if years else 0
    return found


# ---- the decision about one entry, in words: what visibility.py says in SQL


@dataclass(frozen=True, slots=True)
class Entry:
    """What of a document entry the decision is about; times YYYYMMDDhhmmss in UTC."""

    restrictions: Restriction
    release_time: int | None
    logical_uuid: bytes
    organisations: frozenset[str]
    class_code: str
    service_start: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an entry is hidden or masked: `what` is a code, or one of the words that explain.py knows."""

    hides: bool
    what: str


def reasons(decision: Decision, entry: Entry) -> list[Reason]:
    """Everything that hides or masks the entry; nothing when it is open."""
    rule = decision.rule
    if rule is None or rule.deny:
        return [Reason(True, "no-rule" if rule is None else "denied")]
    # What refuses all hides itself, even when it came after the look at the patient.
    hides = rule.hides | rule.hides_all
    found = [Reason(True, each.name or "") for each in hides & entry.restrictions]
    if decision.all_refused:
        found.append(Reason(True, "all-refused"))
    if rule.delays & entry.restrictions and not _is_released(decision, entry):
        found.append(Reason(True, "delayed"))
    if decision.oldest is not None:
        first = decision.oldest.get(entry.class_code)
        if first is None or (first and (entry.service_start is None or entry.service_start < first)):
            found.append(Reason(True, "time-limit"))
    found += [Reason(False, each.name or "") for each in rule.masks & entry.restrictions]
    for each in decision.settings:
        if each.kind != schema.RELEASE and _is_about(each, entry):
            found.append(Reason(each.kind != schema.BLOCK, _WORDS[each.kind]))
    return found


_WORDS: Final = {schema.BLOCK: "block", schema.REFUSAL: "refusal", schema.RESERVATION: "reservation"}


def _is_about(setting: Setting, entry: Entry) -> bool:
    return setting.document in (None, entry.logical_uuid) and (
        setting.organisation is None or setting.organisation in entry.organisations
    )


def _is_released(decision: Decision, entry: Entry) -> bool:
    """By its own time, or else by a setting of the patient."""
    if entry.release_time is not None:
        return entry.release_time <= decision.now
    return any(
        each.kind == schema.RELEASE
        and each.release_time is not None
        and each.release_time <= decision.now
        and _is_about(each, entry)
        for each in decision.settings
    )
