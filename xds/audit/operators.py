"""What somebody does at the machine itself, by a command: on record as what comes over the network is.

`xds privacy` and `xds patients` call `done` in the transaction of their change. Whoever is logged in is the
one who did it; nobody asks them for a ticket, because they could write to the database as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from xds.audit.event import Node
from xds.audit.facts import Context, Deed, Query, Subject
from xds.audit.store import AuditLog
from xds.audit.trail import Trail
from xds.store.database import Database


class Operator:
    """Somebody at the machine. `command` is what they use, `number` how the log has it (event.KINDS)."""

    def __init__(
        self, database: Database, node: Node, receivers: Sequence[str], name: str, command: str, number: str
    ) -> None:
        self._audit = AuditLog(database, node.name, receivers)
        self._node, self._name, self._command, self._number = node, name, command, number

    def trail(self, said: str) -> Trail:
        """Of one command; `said` is what was asked, in words."""
        query = Query(id="", name=self._command, text=said.encode(errors="replace"))
        context = Context(
            endpoint=self._command,
            number=self._number,
            operator=self._name,
            subject=Subject(query=query),
        )
        return Trail(self._audit, self._node, context)

    def done(self, connection: Connection, said: str, *deeds: Deed) -> None:
        """Write what is being done, in the transaction that does it."""
        self.trail(said).done(connection, *deeds)
