"""The example in the client's own documentation runs as it stands there."""

from __future__ import annotations

import doctest
from pathlib import Path

from tests.nodes import Node

import xds.client


def test_the_example_of_the_client_runs(node: Node, tmp_path: Path):
    """Every statement gives what the docstring says."""
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(xds.client, extraglobs={"url": node.url, "folder": tmp_path})
    outcome = doctest.DocTestRunner().run(example)
    assert outcome.attempted > 5
    assert outcome.failed == 0
