"""The access policy: which callers may do what at all, from a file that the operator can change.

gate.py asks `judge` before anything else of gate 2; policy.toml beside this file holds for a node that has
none of its own. Deny overrides, and where no policy applies the answer is no. What a caller sees when they
may read is not decided here, but by the national rules (decision.py), which no policy can loosen.
"""

from __future__ import annotations

import logging
import threading
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from xds.access.rule_table import purpose_of, role_of
from xds.errors import SettingsError
from xds.security.caller import Caller, CallerKind, Unit

log = logging.getLogger("xds")

_DEFAULT: Final = Path(__file__).with_name("policy.toml")
#: Seconds between two looks at the file.
_LOOK: Final = 1.0


class Action(StrEnum):
    """What a request does (norwegian-profile 5)."""

    READ_LIST = "read-list"
    READ_DOCUMENT = "read-document"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ADMINISTER = "administer"
    READ_LOG = "read-log"


#: What changes anything but the access log.
WRITING: Final = frozenset((Action.CREATE, Action.UPDATE, Action.DELETE, Action.ADMINISTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One `[[policy]]`; policy.toml tells what each key says. What is None is not asked."""

    id: str
    permits: bool
    actions: frozenset[str]
    callers: frozenset[str] | None = None
    issuers: frozenset[str] | None = None
    level: int = 0
    roles: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    scopes: frozenset[str] | None = None
    organisations: frozenset[str] | None = None
    any_patient: bool = False

    def applies(self, caller: Caller, action: Action) -> bool:
        """Whether all that it says is so."""
        return (
            action.value in self.actions
            and (self.callers is None or caller.kind.value in self.callers)
            and (self.issuers is None or caller.issuer_kind in self.issuers)
            and (caller.security_level or 0) >= self.level
            and (self.roles is None or role_of(caller.role) in self.roles)
            and (self.purposes is None or purpose_of(caller.purpose) in self.purposes)
            and (self.scopes is None or not self.scopes.isdisjoint(caller.scopes))
            and (
                self.organisations is None
                or not self.organisations.isdisjoint(map(_number, (caller.organisation, caller.unit)))
            )
        )


def _number(unit: Unit | None) -> str:
    return unit.identifier.value if unit is not None and unit.identifier is not None else ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policies say of a request: whether it may be done, by which of them, and of whom."""

    permitted: bool
    policy: str
    any_patient: bool = False


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of one reading of the file."""

    policies: tuple[Policy, ...]

    @property
    def scopes(self) -> frozenset[str]:
        """Those that any of them names."""
        return frozenset().union(*(each.scopes for each in self.policies if each.scopes))

    def judge(self, caller: Caller, action: Action) -> Judgement:
        """Deny overrides; of several that permit, one for any patient counts before others."""
        applying = [each for each in self.policies if each.applies(caller, action)]
        for each in applying:
            if not each.permits:
                return Judgement(False, each.id)
        if not applying:
            return Judgement(False, "")
        # Each policy that permits could stand alone, so a wider one is not narrowed by another.
        widest = max(applying, key=lambda each: each.any_patient)
        return Judgement(True, widest.id, widest.any_patient)


class PolicyFile:
    """The policies of a file, read again when it has changed; safe to share between threads.

    A change that cannot be read is logged and the last good reading stays. Raises SettingsError at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path or _DEFAULT
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._mark = _mark(self._path)
        self._policies = read_policies(self._path)

    @property
    def policies(self) -> Policies:
        """The current ones."""
        if time.monotonic() - self._looked > _LOOK and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._policies

    def _look(self) -> None:
        self._looked = time.monotonic()
        mark = _mark(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._policies = read_policies(self._path)
        except SettingsError as error:
            log.error("access.policy was not taken over, the last good one stays: %s", error)
        else:
            log.info("access.policy was read again: %s policies", len(self._policies.policies))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# ---- reading the file

_LISTS: Final[Mapping[str, frozenset[str] | None]] = {
    "actions": frozenset(Action),
    "callers": frozenset(CallerKind),
    "issuers": frozenset(("kjernejournal", "helsenorge", "hso", "xua", "system", "helseid")),
    "roles": None,
    "purposes": None,
    "scopes": None,
    "organisations": None,
}
_KEYS: Final = frozenset(("id", "effect", "level", "patient", *_LISTS))
#: What all others may see depends on what they are to the patient whom their ticket names.
_UNBOUND: Final = frozenset({CallerKind.MACHINE.value})


def read_policies(path: Path) -> Policies:
    """The policies of a file; raises SettingsError with everything that is wrong, by policy and key."""
    try:
        found = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SettingsError(f"access.policy: {path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"access.policy: {path.name}: is not TOML in UTF-8: {error}") from None
    errors = [f"{key}: there is no such table: write [[policy]]" for key in found if key != "policy"]
    rows = found.get("policy", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        rows, errors = [], [*errors, "policy: is not a list of tables: write [[policy]]"]
    policies = []
    ids: set[str] = set()
    for position, row in enumerate(rows, 1):
        name = row.get("id")
        wrong = _wrong(row)
        if isinstance(name, str) and name in ids:
            wrong.append("id: stands twice: give each policy its own")
        ids.add(str(name))
        where = f"policy {position}" + (f" ({name})" if isinstance(name, str) and name.isprintable() else "")
        errors += [f"{where}: {each}" for each in wrong]
        if not wrong:
            policies.append(_policy(row))
    if errors:
        raise SettingsError("\n".join(f"access.policy: {path.name}: {each}" for each in errors))
    return Policies(tuple(policies))


def _wrong(row: Mapping[str, Any]) -> list[str]:
    errors = [f"{key}: there is no such key" for key in row if key not in _KEYS]
    if not isinstance(row.get("id"), str) or not row["id"] or not row["id"].isprintable():
        errors.append("id: is missing, or no text")
    if row.get("effect") not in ("permit", "deny"):
        errors.append("effect: is neither permit nor deny")
    if "actions" not in row:
        errors.append("actions: is missing: name what the policy is about")
    if row.get("level", 1) not in (1, 2, 3, 4) or isinstance(row.get("level"), bool):
        errors.append("level: is not a number from 1 to 4")
    if row.get("patient", "ticket") not in ("ticket", "any"):
        errors.append("patient: is neither ticket nor any")
    for key, known in _LISTS.items():
        if key not in row:
            continue
        value = row[key]
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(each, str) and each for each in value)
        ):
            errors.append(f'{key}: is not a list of texts: write ["…"]')
        elif known is not None and (strange := [each for each in value if each not in known]):
            errors.append(f"{key}: does not know {', '.join(strange)}: {', '.join(sorted(known))}")
    callers = row.get("callers", list(CallerKind))
    if (
        row.get("patient") == "any"
        and row.get("actions") != [Action.READ_LOG.value]
        and not (isinstance(callers, list) and _UNBOUND.issuperset(map(str, callers)))
    ):
        errors.append(
            'patient: any is for callers = ["machine"] only, or for actions = ["read-log"] alone: what all'
            " others see depends on what they are to the patient of their ticket"
        )
    return errors


def _policy(row: Mapping[str, Any]) -> Policy:
    lists = {key: frozenset(row[key]) for key in _LISTS if key in row}
    return Policy(
        id=row["id"],
        permits=row["effect"] == "permit",
        level=row.get("level", 0),
        any_patient=row.get("patient") == "any",
        **lists,
    )
