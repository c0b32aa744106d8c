"""No read goes through a whole table: the plan of each statement is looked at, in every form it can take.

The stored queries are here, and what the gates, the repository and the access log ask on the way of each
request; test_search.py has the searches over FHIR. SQLite plans without statistics, so an empty database says
it all. PostgreSQL plans by what is in the tables, so it is asked about 40,000 documents of 20,000 patients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, event, literal_column, select

from tests import postgres
from tests.conftest import ENGINES, PARTITIONED, new_database
from xds.access import known
from xds.audit import search
from xds.registry.objects import TOUCHING, latest_versions, looking_at
from xds.registry.owners import OWNERS
from xds.registry.queries import (
    MULTI_PATIENT_QUERIES,
    STORED_QUERIES,
    find_documents,
    find_documents_by_reference_id,
    find_documents_for_multiple_patients,
)
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.sight import documents_by_key
from xds.registry.view import EVERYTHING, View, Visibility
from xds.repository import documents
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

#: Of one patient's, whoever else has such documents.
OWN = Visibility(
    "own", values={"own": [7]}, owner=lambda patient_pk: patient_pk.in_(bindparam("own", expanding=True))
)

#: What may be gone through whole: the parts of a statement that it works out itself, and the table of codes,
#: which stays small. A table that grows, under whatever alias, is nothing of these.
SMALL = {
    "anon_1", "code", "documents", "ends", "found", "inner_links", "members", "memberships", "objects",
    "related", "sets", "the_folder", "the_set",
}  # fmt: skip


def scanned(steps: list[str]) -> list[str]:
    """The steps that read all of something that grows."""
    return [each for each in steps if each.startswith("SCAN ") and each.split()[1] not in SMALL]


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
INSERT INTO stored_document
    SELECT '1.2.' || n, md5('b' || n), '\\x00', '\\x00', 1, 'text/plain', 20240101000000
    FROM generate_series(1, 40000) n;
INSERT INTO audit_chain SELECT n, 'node' || n, 20000, '\\x00', 0, 0, '\\x00' FROM generate_series(1, 2) n;
INSERT INTO audit_event SELECT mod(n, 2) + 1, n, n, 'p' || mod(n, 20000), 'd' || mod(n, 400), 'ITI-18', 0,
    '\\x00', decode(repeat('00', 300), 'hex') FROM generate_series(1, 40000) n;
INSERT INTO used_ticket SELECT decode(md5('t' || n), 'hex'), n FROM generate_series(1, 40000) n;
INSERT INTO privacy_setting SELECT n, n, 1, '', NULL, NULL, NULL, '', 20240101000000, '', NULL, NULL
    FROM generate_series(0, 19999) n;
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
    return explained(database, compiled.text, compiled.values(bound))


def explained(database: Database, text: str, values: Any) -> list[str]:
    """The steps of the plan for a statement as the driver takes it."""
    explain = "EXPLAIN QUERY PLAN" if database.is_embedded else "EXPLAIN (FORMAT JSON)"
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"{explain} {text}", values).all()
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
        assert scanned(steps) == [], view
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


# ---- beside the stored queries

#: What is asked about some keys on the way of a request: statement, and values.
ON_THE_WAY = {
    "whose documents these are": (OWNERS, {"keys": [b"0" * 16] * 2}),
    "whether they may be seen": (documents_by_key(EVERYTHING), {"keys": [b"0" * 16] * 2}),
    "whether they may be seen by some": (documents_by_key(HIDING), {"keys": [b"0" * 16] * 2, "hidden": "x"}),
    "whether they may be seen of one's own": (documents_by_key(OWN), {"keys": [b"0" * 16] * 2, "own": [7]}),
    "which objects these are": (looking_at("status"), {"uuids": [b"0" * 16] * 2}),
    "which versions they have": (latest_versions("status"), {"uuids": [b"0" * 16] * 2}),
    "what begins at these objects": (TOUCHING[0], {"uuids": [b"0" * 16] * 2}),
    "what ends at these objects": (TOUCHING[1], {"uuids": [b"0" * 16] * 2}),
    "who a patient is": (known._FAMILY, {"pid": "p7"}),
    "what a patient has set": (known._SETTINGS, {"keys": [7, 8]}),
    "where bytes are": (documents._FIND, {"uids": ["1.2.7", "1.2.8"]}),
}


@pytest.mark.parametrize("what", ON_THE_WAY)
def test_what_is_asked_on_the_way_is_found_by_an_index(planned: Database, what: str) -> None:
    """By the gates, by whatever writes, and by the repository."""
    statement, bound = ON_THE_WAY[what]
    compiled = planned.compile(statement, bound)
    steps = explained(planned, compiled.text, compiled.values(bound))
    assert scanned(steps) == []
    assert any(step.startswith("SEARCH") for step in steps)


SEARCHES = {
    "of a patient": search.Search(pids=(frozenset({"p7"}),)),
    "of a person": search.Search(persons=frozenset({"d7"})),
    "of whomever": search.Search(),
    "of a time": search.Search(since=100, until=200),
    # Without a time they are looked for in the whole log, which is for operators and rare.
    "of failures of a time": search.Search(outcomes=frozenset({8}), since=100, until=200),
}


@pytest.mark.parametrize("what", SEARCHES)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("cursor", [None, (20_000, 1)])
def test_the_access_log_is_searched_by_an_index(
    planned: Database, what: str, descending: bool, cursor: tuple[int, int] | None
) -> None:
    """A page of it, from whatever place, without sorting what lies before."""
    asked = replace(SEARCHES[what], descending=descending, cursor=cursor)
    with planned.read() as connection:
        sent = statements(lambda: next(search._rows(connection, asked, search.Scope(), [1, 2]), None))
    assert sent
    for text, values in sent:
        assert scanned(explained(planned, text, values)) == [], text


def statements(act: Callable[[], object]) -> list[tuple[str, Any]]:
    """Every statement that is sent while something is done, with its values."""
    sent: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, text: str, values: Any, *_: Any) -> None:
        sent.append((text, values))

    event.listen(Engine, "before_cursor_execute", keep)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", keep)
    return sent
