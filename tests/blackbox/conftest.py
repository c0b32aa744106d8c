"""The nodes of this folder run on each database engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import nodes
from tests.nodes import Node


@pytest.fixture(scope="session")
def node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node that tests share, so they never stop it."""
    with nodes(engine, tmp_path_factory) as make:
        yield make()


@pytest.fixture(scope="session")
def new_node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Node]]:
    """Make a node of one's own with settings as keywords."""
    with nodes(engine, tmp_path_factory) as make:
        yield make
