"""What the registry knows of the patient that a ticket is for, before anything is decided.

gate.py looks once for each request: under which ids and keys the patient is found (merges included), which
of their privacy settings are in effect, and whether all their documents are refused. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, Executable, bindparam, exists, select, text

from xds.security.caller import Identifier
from xds.store.database import Compiled, Database
from xds.store.schema import document_entry, patient, privacy_setting


@dataclass(frozen=True, slots=True)
class Setting:
    """One privacy setting in effect; `document` is its logical UUID, None: all. `kind` as in schema.py."""

    kind: int
    whom: str
    document: bytes | None = None
    organisation: str | None = None
    release_time: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A patient: `pids` are all CX texts that mean them, `keys` their patient_pk; none: not registered.

    `all_refused`: some entry of theirs refuses all of them to citizens (NORN_ALL), whatever its status.
    """

    pids: frozenset[str]
    keys: tuple[int, ...] = ()
    settings: tuple[Setting, ...] = ()
    all_refused: bool = False


_named: Final = patient.alias("named")
# Written as in the partial index, which is used only when the planner sees its condition.
_REFUSING: Final = exists().where(
    document_entry.c.patient_pk == patient.c.patient_pk, text("(document_entry.restrictions & 2048) <> 0")
)
_SET: Final = exists().where(
    privacy_setting.c.patient_pk == patient.c.patient_pk, privacy_setting.c.withdrawn_at.is_(None)
)
_FAMILY: Final = (
    select(patient.c.patient_pk, patient.c.pid, _SET.label("has_settings"), _REFUSING.label("refuses_all"))
    .join_from(_named, patient, patient.c.survivor_pk == _named.c.survivor_pk)
    .where(_named.c.pid == bindparam("pid"))
)
_KEYS: Final[BindParameter[Any]] = bindparam("keys", expanding=True)
_SETTINGS: Final = select(
    privacy_setting.c.kind,
    privacy_setting.c.whom,
    privacy_setting.c.logical_uuid,
    privacy_setting.c.organisation,
    privacy_setting.c.release_time,
).where(privacy_setting.c.patient_pk.in_(_KEYS), privacy_setting.c.withdrawn_at.is_(None))


class Patients:
    """Looks patients up; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements: dict[tuple[str, int], Compiled] = {}

    def look(self, identifier: Identifier) -> Known:
        """What is known of the patient with this number."""
        own = identifier.cx
        rows = self._rows("family", _FAMILY, {"pid": own})
        if not rows:
            return Known(frozenset({own}))
        keys = [row[0] for row in rows]
        # Few patients have any, so most requests take one look.
        settings = self._rows("settings", _SETTINGS, {"keys": keys}) if any(row[2] for row in rows) else ()
        return Known(
            frozenset({own, *(row[1] for row in rows)}),
            tuple(keys),
            tuple(
                Setting(kind, whom, None if document is None else bytes(document), organisation, until)
                for kind, whom, document, organisation, until in settings
            ),
            any(row[3] for row in rows),
        )

    def _rows(self, name: str, statement: Executable, bound: Mapping[str, Any]) -> list[Any]:
        size = len(bound.get("keys", ()))
        compiled = self._statements.get((name, size))
        if compiled is None:
            compiled = self._statements[name, size] = self._database.compile(statement, bound)
        return self._database.fetch(compiled, bound)
