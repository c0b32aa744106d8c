"""The example in the client's own documentation runs as it stands there."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import xds.client
from tests.nodes import Node


def test_the_example_of_the_client_runs(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """Every statement gives what the docstring says, on a node that nobody has used."""
    node = new_node()
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(xds.client, extraglobs={"url": node.url, "folder": tmp_path})
    outcome = doctest.DocTestRunner().run(example)
    assert outcome.attempted > 5
    assert outcome.failed == 0
    node.stop()
