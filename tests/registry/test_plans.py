"""No stored query reads a whole table: the plan of each statement is looked at, in every form it can take.

SQLite plans without statistics, so an empty database says it all. PostgreSQL plans by what is in the tables,
so it is asked about 40,000 documents of 20,000 patients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import bindparam, literal_column, select

from tests import postgres
from tests.conftest import ENGINES, PARTITIONED, new_database
from xds.registry.queries import (
    MULTI_PATIENT_QUERIES,
    STORED_QUERIES,
    find_documents,
    find_documents_by_reference_id,
    find_documents_for_multiple_patients,
)
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.view import EVERYTHING, View, Visibility
from xds.store.database import Database
from xds.store.schema import code

pytestmark = pytest.mark.parametrize("engine", [*ENGINES, PARTITIONED], indirect=True, scope="session")

QUERIES = (*STORED_QUERIES.values(), *MULTI_PATIENT_QUERIES.values())

#: A condition like those of the access rules: a column, and a value of the caller's.
HIDING = Visibility(
    "hiding",
    lambda table: table.c.practice_code.not_in(
        select(code.c.code_pk).where(code.c.scheme == bindparam("hidden"))
    ),
    {"hidden": "x"},
)

#: The tables and the aliases that statements give them.
TABLES = (
    "document_entry|submission_set|folder|association|uid_claim|listed_code|patient|survivor|first|again"
    "|later|end|member"
)


def _forms() -> Iterator[Any]:
    """(query, the parameters given): the least, with each other parameter alone, and with everything.

    For a query with a choice, so for each of its alternatives.
    """
    for module in QUERIES:
        chosen_by = [name for choice in module.CHOICES for name in choice.names]
        for chosen in chosen_by or [""]:
            least = [p for p in module.PARAMETERS if p.required or p.default or p.name == chosen]
            others = [p for p in module.PARAMETERS if p not in least and p.name not in chosen_by]
            some = [p for choice in module.CHOICES if choice.several for p in module.PARAMETERS]
            label = f"{module.NAME}-{chosen}-"
            yield pytest.param(module, least, id=label + "least")
            for other in others:
                yield pytest.param(module, [*least, other], id=label + other.name)
            if others:
                yield pytest.param(module, [*least, *others], id=label + "all")
            if some:
                yield pytest.param(module, some, id=label + "everything")


@pytest.fixture(scope="module")
def planned(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that plans as one in use does."""
    if engine != "sqlite":
        url = new_database(engine)
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/xds.db"
    database = Database(url)
    database.migrate()
    if engine != "sqlite":
        with database.write() as connection:
            for statement in _FILL.split(";"):
                connection.exec_driver_sql(statement)
    yield database
    database.close()
    if engine != "sqlite":
        postgres.drop_database(url)


#: Two documents for each patient, each in a set and in the patient's folder. Bodies are of 300 bytes.
_FILL = """
INSERT INTO patient SELECT n, 'p' || n, 0, NULL, n FROM generate_series(0, 19999) n;
INSERT INTO document_entry SELECT mod(n, 20000), n, id, id, 1, 1, 1, 1, 1, 1,
    mod(n, 400), mod(n, 60), mod(n, 40), mod(n, 400), mod(n, 9), 1, 1, NULL,
    20240101000000 + n, 20240101000000 + n, 20240101000000 + n, 1,
    decode(md5('u' || n), 'hex'), '\\x00', '', decode(repeat('00', 300), 'hex')
    FROM (SELECT n, decode(md5('d' || n), 'hex') AS id FROM generate_series(1, 40000) n) AS made;
INSERT INTO submission_set SELECT mod(n, 20000), n, decode(md5('s' || n), 'hex'), 1, NULL,
    20240101000000 + n, 1, 1, decode(md5('us' || n), 'hex'), '\\x00', '', decode(repeat('00', 300), 'hex')
    FROM generate_series(1, 40000) n;
INSERT INTO folder SELECT n, n, decode(md5('f' || n), 'hex'), decode(md5('f' || n), 'hex'), 1, 1, 1, NULL,
    20240101000000, decode(md5('uf' || n), 'hex'), '', decode(repeat('00', 300), 'hex')
    FROM generate_series(0, 19999) n;
INSERT INTO association SELECT mod(n, 20000), n, decode(md5('sd' || n), 'hex'), 1, 1,
    decode(md5('s' || n), 'hex'), decode(md5('d' || n), 'hex'), NULL, '\\x00'
    FROM generate_series(1, 40000) n;
INSERT INTO association SELECT mod(n, 20000), 40000 + n, decode(md5('fd' || n), 'hex'), 1, 1,
    decode(md5('f' || mod(n, 20000)), 'hex'), decode(md5('d' || n), 'hex'), NULL, '\\x00'
    FROM generate_series(1, 40000) n;
INSERT INTO listed_code SELECT 1, mod(n, 4000), mod(n, 20000), n FROM generate_series(1, 40000) n;
INSERT INTO listed_code SELECT 3, mod(n, 4000), n, n FROM generate_series(0, 19999) n;
INSERT INTO uid_claim SELECT decode(md5('u' || n), 'hex'), 1, mod(n, 20000), n, NULL, NULL
    FROM generate_series(1, 40000) n;
INSERT INTO uid_claim SELECT decode(md5('us' || n), 'hex'), 2, mod(n, 20000), n, NULL, NULL
    FROM generate_series(1, 40000) n;
ANALYZE
"""


def plan(database: Database, module: ModuleType, given: list[Parameter], view: View) -> list[str]:
    """The steps of the engine's plan for a statement, one text for each."""
    statement = module.statement(Shape(view, tuple((p, 1) for p in given))).limit(literal_column("10001"))
    binds = statement.compile(dialect=database.engine.dialect).binds
    bound = {
        name: [_value(bind)] * 2 if bind.expanding else _value(bind)
        for name, bind in binds.items()
        if bind.value is None
    }
    compiled = database.compile(statement, bound)
    explain = "EXPLAIN QUERY PLAN" if database.is_embedded else "EXPLAIN (FORMAT JSON)"
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"{explain} {compiled.text}", compiled.values(bound)).all()
    return [row[-1] for row in rows] if database.is_embedded else list(_steps(rows[0][0][0]["Plan"]))


def _value(bind: Any) -> Any:
    return bind.type.python_type(b"0" * 16 if bind.type.python_type is bytes else 1)


def _steps(node: dict[str, Any]) -> Iterator[str]:
    """PostgreSQL's plan in the words of SQLite's: SCAN for all of a table or an index, SEARCH for a part."""
    name = node.get("Relation Name") or node.get("Index Name")
    if name:
        name = re.sub(r"^([a-z_]+)_\d{3}(?=$|_)", r"\1", name)  # a partition is its table
        searched = "Index Cond" in node or "Recheck Cond" in node
        yield f"{'SEARCH' if searched else 'SCAN'} {name}"
    yield from chain.from_iterable(map(_steps, node.get("Plans", ())))


VIEWS = [
    View(leaf, level, visibility)
    for leaf in (True, False)
    for level in (1, 2)
    for visibility in (EVERYTHING, HIDING)
]


@pytest.mark.parametrize(("module", "given"), list(_forms()))
def test_a_stored_query_searches_by_an_index(
    planned: Database, module: ModuleType, given: list[Parameter]
) -> None:
    """SEARCH for every table; SCAN is for the query's own small intermediate results."""
    for view in VIEWS:
        steps = plan(planned, module, given, view)
        scanned = [step for step in steps if re.match(rf"SCAN ({TABLES})\b", step)]
        assert scanned == [], view
        assert any(step.startswith("SEARCH") for step in steps)


@pytest.mark.parametrize(
    "module", [find_documents, find_documents_by_reference_id, find_documents_for_multiple_patients]
)
def test_a_query_for_a_patient_reads_that_patient_only(planned: Database, module: ModuleType) -> None:
    """Whatever else is asked: an index of all patients' documents of a class would be far longer."""
    steps = plan(planned, module, list(module.PARAMETERS), View(True, 1, EVERYTHING))
    assert not [step for step in steps if re.search(r"document_entry_(class|facility)", step)]


def test_find_documents_needs_no_sorting(planned: Database) -> None:
    """A patient's rows lie in the order in which they are answered."""
    least = [p for p in find_documents.PARAMETERS if p.required or p.default]
    steps = plan(planned, find_documents, least, View(True, 1, EVERYTHING))
    assert not [step for step in steps if "TEMP B-TREE" in step]
