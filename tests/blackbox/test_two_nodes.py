"""Two nodes over one PostgreSQL and one folder or bucket behind nginx, while nodes and database restart.

bench/soak.py is the whole of it; here it runs for some seconds, in the nightly form for half an hour.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import soak

pytestmark = [pytest.mark.slow, pytest.mark.grown]


def test_restarts_under_load_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Every document is found and fetched from both nodes, and every answer is on record."""
    seen = soak.run(tmp_path, 9)
    print(seen)
    assert soak.failures(seen) == []
    assert seen.restarts == 6
    assert all(seen.answers[each] > 20 for each in ("ITI-18", "ITI-41", "ITI-43", "ITI-67"))
