"""What every test suite may ask for: a real node."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from nodes import Node


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
