"""The access log as it lies in the database: rows and their events, for tests that look from beside a node.

Nothing here searches or filters as the product does: every row of every chain is read, in its order.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import NullPool, create_engine, select

from tests.audit import vocabulary as v
from tests.audit.reading import behind, code, extensions, nodes, text, texts
from xds.audit.event import whole
from xds.audit.verify import Head, Verified, verify
from xds.store.bodies import unpack
from xds.store.database import Database
from xds.store.schema import audit_chain, audit_event

_ROWS = (
    select(audit_chain.c.node, audit_event)
    .join_from(audit_event, audit_chain, audit_chain.c.chain_pk == audit_event.c.chain_pk)
    .order_by(audit_chain.c.chain_pk, audit_event.c.recorded)
)

OWN_CODES = "urn:no:xds:audit"


@dataclass(frozen=True)
class Logged:
    """One row, and the AuditEvent as it is handed on."""

    node: str
    seq: int
    recorded: int
    pid: str | None
    person: str | None
    code: str
    outcome: int
    raw: bytes
    event: dict[str, Any]

    @property
    def type(self) -> tuple[str, str]:
        """System and code."""
        return code(self.event["type"])

    @property
    def subtypes(self) -> list[tuple[str, str]]:
        """System and code of each, in order."""
        return [code(each) for each in nodes(self.event, "subtype")]

    @property
    def is_break_glass(self) -> bool:
        """Whether it is marked as the opening of what is closed to others."""
        return (OWN_CODES, "break-glass") in self.subtypes

    @property
    def reason(self) -> str:
        """Why it was not done."""
        return text(self.event, "outcomeDesc")

    @property
    def patients(self) -> set[str]:
        """The numbers of the patients, wherever they stand: extension and entity must not differ."""
        found = set()
        for extension in extensions(self.event, v.PATIENT_EXTENSION):
            found |= set(texts(behind(self.event, extension.get("valueReference")), "identifier.value"))
        for entity in self.entities(v.PERSON):
            found |= set(texts(entity, "what.identifier.value"))
        return found

    @property
    def requestor(self) -> dict[str, Any]:
        """The agent who asked."""
        (one,) = [each for each in self.event["agent"] if each["requestor"]]
        return dict(one)

    @property
    def person_numbers(self) -> set[str]:
        """The numbers of the human who asked, by what their agent refers to."""
        target = behind(self.event, self.requestor["who"])
        if target is not None and target["resourceType"] == "PractitionerRole":
            target = behind(self.event, target["practitioner"])
        return set(texts(target, "identifier.value"))

    def entities(self, kind: tuple[str, str], role: str = "") -> list[dict[str, Any]]:
        """The entities of a type, and of a role if one is given."""
        return [
            dict(each)
            for each in nodes(self.event, "entity")
            if code(each.get("type")) == kind
            and (not role or code(each.get("role")) == (v.ENTITY_ROLE, role))
        ]

    @property
    def documents(self) -> list[str]:
        """What names each document or object, without the `urn:oid:` of a uniqueId."""
        return [
            text(each, "what.identifier.value").removeprefix("urn:oid:")
            for each in self.entities(v.SYSTEM_OBJECT, "3")
        ]

    @property
    def submission_sets(self) -> list[str]:
        """UniqueIds of submission sets."""
        return [
            text(each, "what.identifier.value").removeprefix("urn:oid:")
            for each in self.entities(v.SYSTEM_OBJECT, "20")
        ]

    @property
    def queries(self) -> list[dict[str, Any]]:
        """The entities of stored queries, and of searches of the log."""
        return [
            each
            for each in self.entities(v.SYSTEM_OBJECT)
            if code(each.get("role")) in ((v.ENTITY_ROLE, "24"), (v.ENTITY_ROLE, "13"))
        ]

    @property
    def query_text(self) -> str:
        """What was asked, as it was sent."""
        return "".join(base64.b64decode(text(each, "query")).decode() for each in self.queries)

    def detail(self, name: str) -> str:
        """The one detail of this type of the query, or nothing."""
        found = [
            text(each, "valueString")
            for query in self.queries
            for each in nodes(query, "detail")
            if each["type"] == name
        ]
        assert len(found) < 2, f"{name} is said twice"
        return "".join(found)

    def listed(self, name: str) -> set[str]:
        """The entryUUIDs of a list, as 32 digits each."""
        return set(self.detail(name).split())

    def request_ids(self) -> dict[str, str]:
        """What names the request: `message`, `reference`, `trace`."""
        return {
            text(each, "description"): text(each, "what.identifier.value")
            for each in self.entities(v.REQUEST_ID)
        }

    def __str__(self) -> str:
        return (
            f"{self.code or '-'} {self.outcome} {self.reason!r} patient={self.pid} documents={self.documents}"
        )


def rows(url: str) -> Iterator[Logged]:
    """Every row, chain by chain."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        for row in connection.execute(_ROWS):
            (body,) = unpack([bytes(row.body)])
            raw = whole(body, row.node, row.recorded)
            yield Logged(
                node=row.node,
                seq=row.seq,
                recorded=row.recorded,
                pid=row.pid,
                person=row.person,
                code=row.code,
                outcome=row.outcome,
                raw=raw,
                event=json.loads(raw),
            )


def verified(url: str, noted: Sequence[Head] = ()) -> tuple[Verified, ...]:
    """What `xds log verify` finds."""
    database = Database(url)
    try:
        return verify(database, noted)
    finally:
        database.close()


def problems_of_chain(url: str, noted: Sequence[Head] = ()) -> list[str]:
    """Everything that is wrong with the log as a whole; at least one event must be there."""
    found = verified(url, noted)
    assert sum(each.events for each in found) > 0
    return [problem for each in found for problem in each.problems]


def digits(entry_uuid: str) -> str:
    """An entryUUID as lists have it."""
    return entry_uuid.removeprefix("urn:uuid:").replace("-", "")
