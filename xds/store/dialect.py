"""The few words in which the engines differ: the rest of the node says what it wants and not how."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def insert_new(table: Table, dialect: Dialect) -> Any:
    """An INSERT that leaves rows alone whose key is there; RETURNING tells which ones it wrote."""
    return _INSERTS[dialect.name](table).on_conflict_do_nothing()
