"""What every test suite may ask for: a real node; and the figures that tests measured, at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import ceph, postgres, stores
from tests.fuzzing import examples
from tests.nodes import Node
from xds.store.database import Database

ENGINES = ("postgresql",) if stores.GROWN else ("sqlite", "postgresql")
#: PostgreSQL with its tables divided, for the few modules that name it (docs/decisions/0018-partitions.md).
PARTITIONED = "partitioned"

# How long a property takes says how busy the machine is: no test is timed.
settings.register_profile(
    "untimed", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """tests/postgres.py says how tests come to run on both engines; tests/ceph.py has S3."""
    postgres.KEPT.configure(config)
    ceph.KEPT.configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """tests/stores.py says what a run is of."""

    def left_out(item: Any) -> bool:
        marks = {each.name for each in item.iter_markers()}
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        engine = parameters.get("engine")
        makes_nodes = bool({"engine", "node", "new_node"} & set(item.fixturenames)) or hasattr(
            item.module, "Node"
        )
        return stores.left_out(item.path, marks, engine, makes_nodes=makes_nodes)

    config.hook.pytest_deselected(items=list(filter(left_out, items)))
    items[:] = [item for item in items if not left_out(item)]


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """No dot for each test that passes in CI: what is kept of the output is cut, and failures are in it."""
    if os.environ.get("CI") and report.when == "call" and report.passed:
        return "passed", "", "PASSED"
    return None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing that a test started stays behind."""
    postgres.KEPT.unconfigure(config)
    ceph.KEPT.unconfigure(config)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The database engine: whatever asks for it runs once on each."""
    return str(request.param)


def new_database(engine: str) -> str:
    """The URL of a new database of this version on a PostgreSQL server, whole or divided."""
    url = postgres.new_database()
    if engine == PARTITIONED:
        database = Database(url)
        database.migrate(partitions=4)
        database.close()
    return url


@pytest.fixture(scope="session")
def _emptied() -> Callable[[str], str]:
    """One PostgreSQL database of each kind for each xdist worker, emptied for each test."""
    made: dict[str, str] = {}

    def emptied(engine: str) -> str:
        if engine not in made:
            made[engine] = new_database(engine)
        postgres.empty(made[engine])
        return made[engine]

    return emptied


@pytest.fixture
def database_url(engine: str, tmp_path: Path, _emptied: Callable[[str], str]) -> str:
    """An empty database of this version, for this test alone."""
    if engine != "sqlite":
        return _emptied(engine)
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    database.close()
    return str(database.url)


@contextmanager
def nodes(engine: str, folders: pytest.TempPathFactory) -> Iterator[Callable[..., Node]]:
    """Makes running nodes, settings as keywords, each with a database of its own; stops them at the end."""
    made: list[tuple[Node, bool]] = []

    def make(**settings: object) -> Node:
        own = "store__database" not in settings
        if own and engine == "postgresql" and not stores.GROWN:
            settings["store__database"] = postgres.new_database()
        one = Node(folders.mktemp("node"), **settings)
        made.append((one, own))
        one.start()
        return one

    yield make
    for one, own in made:
        one.stop()
        if own and one.database_url.startswith("postgresql"):
            postgres.drop_database(one.database_url)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node for the whole session, one for each xdist worker; tests share it, so they never stop
    it.
    """
    with nodes("sqlite", tmp_path_factory) as make:
        yield make()


@pytest.fixture(scope="session")
def new_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Node]]:
    """Make a node of one's own with settings as keywords; it is running, and is stopped at the latest at
    the end.
    """
    with nodes("sqlite", tmp_path_factory) as make:
        yield make


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every `record_property("figure", …)`, however the run was spread over processes."""
    figures = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.line(figure)
    there = ((postgres.binaries(), postgres.MISSING), (ceph.root(), ceph.MISSING))
    if missing := [text for found, text in there if found is None]:
        terminalreporter.section("NOT TESTED", red=True, bold=True)
        for text in missing:
            terminalreporter.line(text, red=True, bold=True)
