"""The national rules (rules.toml) as values, and which of them fits a request.

decision.py asks `fitting` for each request; explain.py asks `misfits` why the others do not. The table is
data: a change of law is a new row with the day from which it holds. Nothing here may fill in what a ticket
does not say: what is not known fits no rule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from xds.metadata.confidentiality import Restriction
from xds.metadata.model import Code
from xds.security.caller import Caller, CallerKind

_FILE: Final = Path(__file__).with_name("rules.toml")

#: The arc of access control policies (norwegian-profile 4.6).
_ACP: Final = "2.16.578.1.12.4.1.7.2.1."
#: Roles of health personnel.
ROLES: Final = "2.16.578.1.12.4.1.1.9060"
#: Systems of purposes of use (norwegian-profile 4.7) -> what stands before their codes in the rules.
_PURPOSES: Final = {
    "2.16.840.1.113883.1.11.20448": "",
    "2.16.840.1.113883.5.8": "",
    "http://terminology.hl7.org/CodeSystem/v3-ActReason": "",
    "1.0.14265.1": "14265:",
}


class Relation(StrEnum):
    """What a caller is to the patient; UNKNOWN fits no rule."""

    SELF = "self"
    PARENT = "parent"
    CONSENT = "consent"
    UNABLE = "unable"
    PERSONNEL = "personnel"
    PERSONNEL_SELF = "personnel-self"
    MACHINE = "machine"
    UNKNOWN = "unknown"


_REPRESENTING: Final = {"1": Relation.PARENT, "2": Relation.CONSENT, "3": Relation.UNABLE}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules ask about a request, once and for all: ages in completed years on the day, or None.

    `purpose` is as in the rules, empty when it is of no system that they know. `acp` is the last digits of
    the policy, 0 without one, empty when it is none of the national ones. `options`: settings of the node.
    """

    day: date
    relation: Relation
    purpose: str = ""
    acp: str = "0"
    patient_age: int | None = None
    caller_age: int | None = None
    level: int = 0
    role: str = ""
    options: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table; rules.toml tells what each field says. What is None is not asked."""

    id: str
    nb: str
    en: str
    source: str
    valid_from: date
    valid_until: date | None
    relation: Relation
    purposes: frozenset[str] | None
    acp: frozenset[str] | None
    patient_age: tuple[int, int] | None
    caller_age: tuple[int, int] | None
    level: int
    role: bool
    option: tuple[str, str] | None
    deny: bool
    hides: Restriction
    hides_all: Restriction
    delays: Restriction
    masks: Restriction
    settings: tuple[str, ...]
    opens: str
    limits: bool

    def misfits(self, situation: Situation) -> Iterator[str]:
        """What of the rule is not so: the names of its criteria."""
        if not (
            self.valid_from <= situation.day and (not self.valid_until or situation.day < self.valid_until)
        ):
            yield "day"
        if self.relation is not situation.relation:
            yield "relation"
        if self.purposes is not None and situation.purpose not in self.purposes:
            yield "purpose"
        if self.acp is not None and situation.acp not in self.acp:
            yield "acp"
        if not _in(self.patient_age, situation.patient_age):
            yield "patient-age"
        if not _in(self.caller_age, situation.caller_age):
            yield "caller-age"
        if situation.level < self.level:
            yield "level"
        if self.role and not situation.role:
            yield "role"
        if self.option is not None and (situation.options or {}).get(self.option[0]) != self.option[1]:
            yield "option"


def _in(ages: tuple[int, int] | None, age: int | None) -> bool:
    """Half-open: whoever has completed the years of the end is outside."""
    return ages is None or (age is not None and ages[0] <= age < ages[1])


@dataclass(frozen=True, slots=True)
class RuleTable:
    """All rules, and the years that documents of a class (9602) are shown when time limits hold."""

    rules: tuple[Rule, ...]
    limits: Mapping[str, int]

    def fitting(self, situation: Situation) -> Rule | None:
        """The one rule that fits. Two that fit, as a slip in the table could make them, are none."""
        fitting = [
            rule
            for rule in self.rules
            if rule.relation is situation.relation and next(rule.misfits(situation), None) is None
        ]
        return fitting[0] if len(fitting) == 1 else None


@cache
def national_rules() -> RuleTable:
    """The table of this version."""
    return read(_FILE.read_text(encoding="utf-8"))


def read(text: str) -> RuleTable:
    """The table in a text; raises ValueError, because a rule that is misread is worse than none."""
    found = tomllib.loads(text)
    rules = tuple(_rule(row) for row in found.get("rule", ()))
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules have the same id")
    return RuleTable(rules, dict(found.get("limits", {})))


def _rule(row: Mapping[str, Any]) -> Rule:
    if unknown := row.keys() - _KEYS:
        raise ValueError(f"rule {row.get('id')}: there is no such key: {', '.join(sorted(unknown))}")
    option = str(row.get("option", "")).split("=")
    return Rule(
        id=row["id"],
        nb=row["nb"],
        en=row["en"],
        source=row["source"],
        valid_from=row["from"],
        valid_until=row.get("until"),
        relation=Relation(row["relation"]),
        purposes=frozenset(row["purposes"]) if "purposes" in row else None,
        acp=frozenset(row["acp"]) if "acp" in row else None,
        patient_age=_ages(row.get("patient_age")),
        caller_age=_ages(row.get("caller_age")),
        level=row.get("level", 0),
        role=row.get("role", False),
        option=(option[0], option[1]) if "option" in row else None,
        deny=row.get("deny", False),
        hides=_codes(row.get("hides", ())),
        hides_all=_codes(row.get("hides_all", ())),
        delays=_codes(row.get("delays", ())),
        masks=_codes(row.get("masks", ())),
        settings=tuple(row.get("settings", ())),
        opens=row.get("opens", ""),
        limits=row.get("limits", False),
    )


_KEYS: Final = frozenset(
    ("id", "nb", "en", "source", "from", "until", "relation", "purposes", "acp", "patient_age", "caller_age")
) | frozenset(
    (
        "level",
        "role",
        "option",
        "deny",
        "hides",
        "hides_all",
        "delays",
        "masks",
        "settings",
        "opens",
        "limits",
    )
)


def _ages(given: list[int] | None) -> tuple[int, int] | None:
    return None if given is None else (given[0], given[1])


def _codes(names: Iterable[str]) -> Restriction:
    found = Restriction(0)
    for name in names:
        found |= Restriction[name]
    return found


# ---- from a Caller to what the rules ask


def purpose_of(code: Code | None) -> str:
    """A purpose of use as the rules and the policy write it; empty for none, and for one without a system."""
    if code is None or (prefix := _PURPOSES.get(code.scheme)) is None:
        return ""
    return prefix + code.code


def role_of(code: Code | None) -> str:
    """A role of health personnel; empty for none, and for another system's."""
    return code.code if code is not None and code.scheme == ROLES else ""


def policy_of(acp: str) -> str:
    """The last digits of an access control policy: 0 without one, empty for one that is not national."""
    if not acp:
        return "0"
    return acp.removeprefix(_ACP) if acp.startswith(_ACP) else ""


def relation_of(caller: Caller, *, own: bool | None) -> Relation:
    """What the caller is to the patient; `own`: whether they are the same person, None when nobody knows."""
    match caller.kind:
        case CallerKind.MACHINE:
            return Relation.MACHINE
        case CallerKind.CITIZEN if own:
            return Relation.SELF
        case CallerKind.REPRESENTATIVE if own is False:
            return _REPRESENTING.get(policy_of(caller.acp), Relation.UNKNOWN)
        case CallerKind.PERSONNEL if own is not None:
            return Relation.PERSONNEL_SELF if own else Relation.PERSONNEL
        case _:
            return Relation.UNKNOWN
