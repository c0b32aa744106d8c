"""What a node has stored, seen from beside it: rows of its tables and files of its folder.

The tests of this folder use it to prove that nothing was stored, or that nothing is half there.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.nodes import Node


def rows(node: Node, statement: str) -> list[tuple[object, ...]]:
    """The rows of a SELECT, read only."""
    connection = sqlite3.connect(f"file:{node.database}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def counts(node: Node) -> dict[str, int]:
    """Rows of every table, and files of documents/ and staging/."""
    tables = [str(name) for (name,) in rows(node, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: int(str(rows(node, f'SELECT count(*) FROM "{name}"')[0][0])) for name in tables}
    return found | {"documents/": len(published(node)), "staging/": len(staged(node))}


def published(node: Node) -> dict[str, Path]:
    """The files of documents/, by key."""
    folder = node.documents / "documents"
    return {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}


def staged(node: Node) -> list[Path]:
    """The files of staging/."""
    return [each for each in (node.documents / "staging").rglob("*") if each.is_file()]
