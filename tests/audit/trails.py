"""Trails for tests of what the access log is not the point: over a real log of their own database."""

from __future__ import annotations

from xds.audit.event import Node
from xds.audit.facts import Context
from xds.audit.store import AuditLog
from xds.audit.trail import Trail, Trails
from xds.store.database import Database

NODE = Node("test-node", "urn:oid:2.16.578.1.12.4.5.100.1.1.2", "http://127.0.0.1:8080")


def trails(database: Database) -> Trails:
    """As app.py makes them."""
    return Trails(AuditLog(database, NODE.name), NODE)


def trail(database: Database, number: str = "ITI-18", **known: object) -> Trail:
    """Of one request."""
    context = Context(endpoint="/xds/registry", remote="127.0.0.1", number=number, **known)  # type: ignore[arg-type]
    return Trail(AuditLog(database, NODE.name), NODE, context)
