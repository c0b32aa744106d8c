"""The run that grows a registry works from end to end on both engines, and writes the page that is in docs/.

Tried on few documents and for moments: how fast that was is not asked.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bench import report
from bench.charts import Chart, Series
from bench.clients import EachNew, InTurn, Load, quantile
from tests import postgres

ROOT = Path(__file__).parents[2]
SIZES = [200, 2_200]
ENGINES = {"PostgreSQL", "SQLite"}
READ = {"FindDocuments, 5", "FindDocuments, 50", "FindDocuments, 500", "GetDocuments, 1", "ITI-67, 50"}
WRITTEN = {"ITI-41", "ITI-43"}
CHARTS = {
    f"{what}-{engine.lower()}.svg"
    for what in ("growth-p50", "growth-p99", "growth-per-core", "clients-rate", "clients-p99")
    for engine in ENGINES
}
SVG = "{http://www.w3.org/2000/svg}"


def test_a_small_run_measures_everything_and_writes_the_page_that_is_in_docs(tmp_path: Path) -> None:
    """From end to end, in one test, as it takes some seconds."""
    if postgres.binaries() is None:
        postgres.new_database()  # skips, or fails, and says why
    written = tmp_path / "docs"
    done = subprocess.run(
        [sys.executable, "-m", "bench.growth", "--sizes", *map(str, SIZES), "--seconds=0.1", "--rounds=1",
         "--clients=3", "--masters=10", "--buffers=64MB", "--workers=1",
         f"--json={tmp_path / 'figures.json'}", f"--publish={written}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["engines"]) == ENGINES
    assert not {"host", "node", "name"} & set(figures["machine"])
    for own in figures["engines"].values():
        _check_figures(own)
    _check_charts(written)
    # A new run changes figures and nothing else.
    new, published = ((folder / report.PAGE).read_text() for folder in (written, ROOT / "docs"))
    assert _words(new) == _words(published)
    assert {each.name for each in (ROOT / "docs" / "benchmarks").iterdir()} == CHARTS


def _check_figures(own: dict[str, Any]) -> None:
    """Times, rates, processor time and bytes at each size, for all that is asked."""
    assert [each["documents"] for each in own["sizes"]] == SIZES
    for size in own["sizes"]:
        # Nobody has 500 of a few hundred.
        missing = {"FindDocuments, 500"} if size is own["sizes"][0] else set()
        assert set(size["asked"]) == (READ - missing) | WRITTEN
        for each in size["asked"].values():
            assert 0 < each["p50"] <= each["p95"] <= each["p99"]
            assert each["requests"] > 0
        table, index = size["bytes"]["document_entry"]
        assert table / size["documents"] > 400
        assert index / size["documents"] > 50
    assert {asked: [each["clients"] for each in loads] for asked, loads in own["clients"].items()} == {
        asked: [3] for asked in READ | WRITTEN
    }
    assert {(row["name"], row["few"]) for row in own["beside"]} == {
        (asked, few) for asked in READ - {"FindDocuments, 500"} for few in (True, False)
    }
    for row in own["beside"]:
        assert row["ratio99"] == pytest.approx(row["grown"]["p99"] / row["small"]["p99"])
        assert len(row["rounds99"]) == 1


def _check_charts(docs: Path) -> None:
    """Each has a title, a description in words, axes, and a name at each line, for light and dark pages."""
    assert {each.name for each in (docs / "benchmarks").iterdir()} == CHARTS
    page = (docs / "benchmarks.md").read_text()
    for name in CHARTS:
        assert f"(benchmarks/{name})" in page
        image = etree.fromstring((docs / "benchmarks" / name).read_bytes())
        texts = [each.text for each in image.iter(f"{SVG}text")]
        assert image.findtext(f"{SVG}title") in texts
        if "-p50-" in name or "-p99-" in name:  # a rate may be 0 in so short a time, and is not drawn
            assert READ | WRITTEN <= set(texts)
        assert "document entries" in texts or "clients" in texts
        assert " at " in image.findtext(f"{SVG}desc")
        assert "prefers-color-scheme:dark" in image.findtext(f"{SVG}style")


def _words(page: str) -> list[str]:
    """The text of a page, without its tables and with one sign for each figure."""
    lines = [line for line in page.splitlines() if not line.startswith("|")]
    return [re.sub(r"\d[\d,. ]*", "0", line) for line in lines]


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other() -> None:
    """Even when all lines end at the same place, at the top or at the bottom."""
    for last in (1.0, 1000.0):
        chart = Chart("t", "x", "y", [Series(str(n), [(1, 1.0), (10, last)]) for n in range(7)], steep=True)
        image = etree.fromstring(chart.svg().encode())
        places = sorted(
            float(each.get("y")) for each in image.iter(f"{SVG}text") if "name" in each.get("class", "")
        )
        assert all(after - before > 15 for before, after in itertools.pairwise(places))
        assert 0 < places[0] < places[-1] < 440


def test_what_is_asked_is_shared_between_clients() -> None:
    """No two clients send the same new submission, and each document of a list is asked for once."""
    new = EachNew(b"<a>50000000</a><b>50000000</b>", b"50000000", 60_000_000)
    sent = {next(new.messages(own, 3)) for own in range(3)}
    assert sent == {b"<a>%d</a><b>%d</b>" % (n, n) for n in range(60_000_000, 60_000_003)}
    turn = InTurn([b"a", b"b", b"c", b"d", b"e"])
    shares = [turn.messages(own, 2) for own in range(2)]
    assert {next(shares[0]), next(shares[0]), next(shares[0]), next(shares[1]), next(shares[1])} == set(
        turn.some
    )


def test_figures_are_of_all_requests() -> None:
    """Percentiles by rank; a rate by what was answered in the time, and by the server's processor time."""
    load = Load(2, 4.0, tuple(n / 1000 for n in range(1, 101)), 80, 0.5, 1.5)
    figures = load.figures()
    assert (figures["p50"], figures["p95"], figures["p99"]) == pytest.approx((51, 96, 100))
    assert figures["per_second"] == 20
    assert figures["per_core"] == 160
    assert figures["clients_share"] == 0.75
    assert quantile([7.0], 99) == 7.0
