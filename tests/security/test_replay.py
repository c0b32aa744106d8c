"""What may be used once is accepted once: in threads, in processes, on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from xds.security.replay import Replay
from xds.store.database import Database
from xds.store.schema import used_ticket

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)


@pytest.fixture
def database(database_url: str):
    """A database of this version."""
    opened = Database(database_url)
    yield opened
    opened.close()


def test_the_second_use_is_told_from_the_first(database: Database):
    """The same name twice: yes, then no; another name: yes."""
    replay = Replay(database)
    assert replay.first_use("dpop a", SOON, NOW)
    assert not replay.first_use("dpop a", SOON, NOW)
    assert replay.first_use("dpop b", SOON, NOW)


def test_another_node_on_the_same_database_knows(database: Database, database_url: str):
    """The memory is in the database and not in the process."""
    other = Database(database_url)
    try:
        assert Replay(database).first_use("saml x", SOON, NOW)
        assert not Replay(other).first_use("saml x", SOON, NOW)
    finally:
        other.close()


def test_of_many_at_the_same_moment_one_is_the_first(database: Database):
    """Sixteen threads with one name: exactly one is told yes."""
    replay = Replay(database)
    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda _: replay.first_use("dpop race", SOON, NOW), range(16)))
    assert told.count(True) == 1


def test_what_has_ended_is_deleted_and_nothing_else(database: Database):
    """A day after its end the ended one is gone from the table, and the other is still refused."""
    replay = Replay(database)
    replay.first_use("short", NOW + timedelta(seconds=10), NOW)
    replay.first_use("long", SOON, NOW)
    later = NOW + timedelta(days=1, seconds=71)
    assert replay.first_use("third", later, later)
    assert not replay.first_use("long", SOON, later)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(used_ticket)).scalar_one() == 2


def test_nothing_is_forgotten_in_its_last_second(database: Database):
    """A proof that ends at 12:00:10.9 is known at 12:00:10.8, though whole seconds are kept."""
    replay = Replay(database)
    until = NOW + timedelta(seconds=10, milliseconds=900)
    replay.first_use("edge", until, NOW - timedelta(minutes=5))
    assert not replay.first_use("edge", until, until - timedelta(milliseconds=100))
