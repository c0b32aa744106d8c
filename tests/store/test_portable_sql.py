"""What a distributed PostgreSQL (Citus, YugabyteDB, CockroachDB) refuses does not stand in our SQL.

docs/operations.md has the list; here each of its lines is looked for in the source and in the tables. Where
one is used all the same, the page says where, and so does this module.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xds.store.schema import metadata

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for path in (ROOT / "xds").rglob("*.py") if not path.is_relative_to(ROOT / "xds" / "demo")
)
PAGE = (ROOT / "docs/operations.md").read_text()

#: The page's words -> how it would look in our source, and the files that may have it.
REFUSED: dict[str, tuple[str, set[str]]] = {
    "advisory locks": (r"pg_(try_)?advisory", set()),
    "sequences": (r"nextval|\bSERIAL\b|\bSequence\(|\bIdentity\(|autoincrement=True", set()),
    "triggers": (r"CREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER", set()),
    "`LISTEN` and `NOTIFY`": (r"\"(LISTEN|NOTIFY) |pg_notify", set()),
    "`ctid`": (r"\bctid\b", set()),
    "large objects": (r"\blo_(create|open|import|put)\b", set()),
    "deferrable constraints": (r"(?i)\bdeferrable\b", set()),
    "foreign keys": (r"\bForeignKey|FOREIGN KEY", set()),
    "BRIN and covering indexes": (r"(?i)using brin|postgresql_using|postgresql_include", set()),
    "temporary and unlogged tables": (r"(?i)create (temp|temporary|unlogged) table|\bUNLOGGED\b", set()),
    "`COPY`": (r"\"COPY |\.copy\(\"", set()),
    "cursors that outlive a transaction": (r"(?i)with hold|DECLARE .* CURSOR", set()),
    "`LOCK TABLE`": (r"LOCK TABLE", {"xds/store/postgresql.py"}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_distributed_database_refuses_is_not_used(words: str) -> None:
    """But where the page says so; comments and docstrings that speak of it do not count."""
    pattern, may = REFUSED[words]
    assert words in PAGE
    found = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for line in path.read_text().splitlines()
        if re.search(pattern, line) and re.search(r"[\"'(]", line) and not line.lstrip().startswith("#")
    }
    assert found == may


def test_every_table_of_the_registry_has_its_patient_in_the_key() -> None:
    """So that it can be spread by patient; the rest are small, or spread by their own key."""
    spread = {name for name, table in metadata.tables.items() if "patient_pk" in table.primary_key.columns}
    assert spread >= {"document_entry", "submission_set", "folder", "association", "listed_code"}


def test_no_table_has_a_key_that_the_server_makes() -> None:
    """Keys come from the application (xds/store/keys.py), or from what the row is about."""
    for table in metadata.tables.values():
        assert not table.foreign_keys
        for column in table.columns:
            assert column.autoincrement is not True, column
            if column.server_default is not None:  # a constant, for rows from before the column
                assert column.server_default.arg.isdigit(), column
