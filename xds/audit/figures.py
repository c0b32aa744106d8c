"""What an operator watches of the outbox: `/metrics` asks for it.

app.py gives it to Metrics. It counts events and says nothing of what is in them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from xds.audit.outbox import waiting
from xds.metrics import Sample
from xds.store.database import Database


def samples(database: Database, receivers: Sequence[str]) -> Iterator[Sample]:
    """Of each receiver: how many events wait and are dead, how old the oldest is, and failures in a row."""
    if not receivers:
        return
    with database.read() as connection:
        found = {each.receiver: each for each in waiting(connection)}
    of = [(name, found.get(name)) for name in receivers]
    for name, each in of:
        yield _sample(
            "xds_audit_outbox_waiting",
            "Events that a receiver has not taken yet.",
            name,
            each.waiting if each else 0,
        )
    for name, each in of:
        yield _sample(
            "xds_audit_outbox_dead", "Events that a receiver has refused.", name, each.dead if each else 0
        )
    for name, each in of:
        age = 0.0 if each is None or each.oldest is None else time.time() - each.oldest / 1e6
        yield _sample(
            "xds_audit_outbox_oldest_seconds", "Age of the oldest event that waits.", name, max(age, 0.0)
        )
    for name, each in of:
        yield _sample(
            "xds_audit_outbox_failures",
            "Failures of a receiver in a row.",
            name,
            each.failures if each else 0,
        )


def _sample(metric: str, purpose: str, receiver: str, value: float) -> Sample:
    return Sample(metric, purpose, value, {"receiver": receiver})
