"""What every test suite may ask for: a real node; and the figures that tests measured, at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.nodes import Node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node for the whole session, one for each xdist worker; tests share it, so they never stop
    it.
    """
    running = Node(tmp_path_factory.mktemp("node"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def new_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Node]]:
    """Make a node of one's own with settings as keywords; it is running, and is stopped at the latest at
    the end.
    """
    made: list[Node] = []

    def make(**settings: object) -> Node:
        one = Node(tmp_path_factory.mktemp("node"), **settings)
        made.append(one)
        one.start()
        return one

    yield make
    for one in made:
        one.stop()


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
