"""No stored query reads a whole table: the plan of each statement is looked at, in every form it can take."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest

from tests.registry.conftest import Desk
from xds.registry.queries import STORED_QUERIES
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.view import EVERYTHING, View

TABLES = (
    "document_entry",
    "submission_set",
    "folder",
    "association",
    "uid_claim",
    "patient",
    "again",
    "first",
)


def _forms() -> list[Any]:
    """(query, the parameters given): the least that each choice of alternatives allows, and everything."""
    forms = []
    for module in STORED_QUERIES.values():
        choices = [set(each) for group in module.ALTERNATIVES for each in zip(group, strict=True)] or [set()]
        excluded = {name for group in module.ALTERNATIVES for name in group}
        for chosen in choices:
            every = [p for p in module.PARAMETERS if p.name not in excluded - chosen]
            least = [p for p in every if p.required or p.default or p.name in chosen]
            for words, given in (("least", least), ("all", every)):
                forms.append(pytest.param(module, given, id=f"{module.NAME}-{'-'.join(chosen)}-{words}"))
    return forms


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize(("module", "given"), _forms())
def test_a_stored_query_searches_by_an_index(
    desk: Desk, module: ModuleType, given: list[Parameter], leaf: bool, level: int
) -> None:
    """SQLite's plan says SEARCH for every table; SCAN is for the query's own small intermediate results."""
    statement = module.statement(
        Shape(View(leaf, level, EVERYTHING), tuple((parameter, 1) for parameter in given))
    )
    names = statement.compile(dialect=desk.database.engine.dialect).binds
    bound = {
        name: ["1", "2"] if bind.expanding else "1" for name, bind in names.items() if bind.value is None
    }
    sql = statement.params(**bound).compile(
        dialect=desk.database.engine.dialect, compile_kwargs={"render_postcompile": True}
    )
    with desk.database.read() as connection:
        text = str(sql)
        plan = [
            row[-1]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("1",) * text.count("?"))
        ]
    scanned = [step for step in plan if re.match(rf"SCAN ({'|'.join(TABLES)})\b", step)]
    assert scanned == []
    assert any(step.startswith("SEARCH") for step in plan)


def test_find_documents_needs_no_sorting(desk: Desk) -> None:
    """A patient's rows lie in the order in which they are answered."""
    module = STORED_QUERIES["urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"]
    given = tuple((p, 1) for p in module.PARAMETERS if p.required or p.default)
    statement = module.statement(Shape(View(True, 1, EVERYTHING), given))
    bound = {
        "XDSDocumentEntryPatientId_0": "x",
        "XDSDocumentEntryStatus_0": [1],
        "XDSDocumentEntryType_0": [1],
    }
    sql = statement.params(**bound).compile(
        dialect=desk.database.engine.dialect, compile_kwargs={"render_postcompile": True}
    )
    with desk.database.read() as connection:
        text = str(sql)
        plan = [
            row[-1]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("1",) * text.count("?"))
        ]
    assert not [step for step in plan if "TEMP B-TREE" in step]
