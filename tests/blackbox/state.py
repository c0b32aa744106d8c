"""What a node has stored, seen from beside it: rows of its tables, its documents, and files of its folder.

The tests of this folder use it to prove that nothing was stored, or that nothing is half there.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Executable, NullPool, create_engine

from tests import stores
from tests.beneath import Beneath
from tests.nodes import Node
from xds.store.schema import metadata

#: All tables but those of the access log, which grows with every request.
TABLES = sorted(name for name in metadata.tables if not name.startswith("audit_"))


def rows(node: Node, statement: str) -> list[tuple[object, ...]]:
    """The rows of a SELECT, read only."""
    with create_engine(node.database_url, poolclass=NullPool).connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def change(node: Node, statement: Executable) -> None:
    """Carry out what is no SELECT, as nobody but a test does."""
    with create_engine(node.database_url, poolclass=NullPool).begin() as connection:
        connection.execute(statement)


def counts(node: Node) -> dict[str, int]:
    """Rows of every one of TABLES, documents, and files of staging/ and replies/."""
    each = (f"SELECT '{name}', count(*) FROM {name}" for name in TABLES)
    found = {str(name): int(str(number)) for name, number in rows(node, " UNION ALL ".join(each))}
    return found | {
        "documents/": len(published(node)),
        "staging/": len(staged(node)),
        "replies/": len(replies(node)),
    }


def beneath(node: Node) -> Beneath:
    """Its documents, past it."""
    return stores.beneath(node.environment, node.documents)


def published(node: Node) -> set[str]:
    """The keys of its documents."""
    return set(beneath(node).keys())


def staged(node: Node) -> list[Path]:
    """The files of staging/."""
    return [each for each in (node.documents / "staging").rglob("*") if each.is_file()]


def replies(node: Node) -> list[Path]:
    """The files of replies/."""
    return [each for each in (node.documents / "replies").rglob("*") if each.is_file()]
