"""The documentation says what the code does: settings, commands, endpoints, links between pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xds.app import ENDPOINTS
from xds.cli import _parser, main
from xds.config import SETTINGS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_the_settings_page_has_the_table_that_the_node_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/settings.md has what `xds check --settings` says, and no setting beside it."""
    assert main(["check", "--settings"]) == 0
    table, page = capsys.readouterr().out, (ROOT / "docs/settings.md").read_text()
    assert f"\n\n{table}\n" in page
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| `(XDS_\w+)` \|", page, re.MULTILINE)
    assert rows == [(each.key, each.variable) for each in SETTINGS]
    for row in (
        "| `environment` | `XDS_ENVIRONMENT` | `production` | `production` `test` | Test loosens ",
        "| `node.workers` | `XDS_NODE__WORKERS` | `1` | 1 to 1000 | Worker ",
        "| `limits.parts` | `XDS_LIMITS__PARTS` | `1000` | 1 or more | MIME ",
        "| `trust` | `XDS_TRUST` | – | – | The trust file",
    ):
        assert f"\n{row}" in table


def test_every_endpoint_and_transaction_is_documented() -> None:
    """docs/transactions.md names each address, number and action; the README each number."""
    text, readme = ((ROOT / page).read_text() for page in ("docs/transactions.md", "README.md"))
    for address, (_, transactions) in ENDPOINTS.items():
        assert f"`{address}`" in text
        for transaction in transactions:
            assert transaction.number in text
            assert transaction.number in readme
            assert f"`{transaction.action}`" in text


def test_every_command_is_in_the_readme() -> None:
    """Someone who reads the README alone knows what there is."""
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"\{([a-z,]+)\}|^    ([a-z]+) ", _parser().format_help(), re.M)
    names = {name for pair in commands for part in pair for name in part.split(",") if name}
    assert names >= {"serve", "migrate", "check", "sweep", "submit", "find", "fetch"}
    assert [name for name in sorted(names) if f"`xds {name}" not in text] == []


def _metrics() -> set[str]:
    """The names of all metrics in the modules that make some."""
    found = set()
    for path in (ROOT / "xds").rglob("*.py"):
        text = path.read_text()
        if path.name == "metrics.py" or "from xds.metrics import" in text:
            found |= set(re.findall(r'"(xds_[a-z0-9_]+)"', text))
    return found


def test_every_metric_is_documented() -> None:
    """docs/operations.md has a row for each, and no other; its alert rules name none that is not there."""
    text = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `(xds_[a-z0-9_]+)` \|", text, re.M)
    assert sorted(rows) == sorted(_metrics())
    named = set(re.findall(r"xds_[a-z0-9_]+", text))
    assert {re.sub(r"(?<=_seconds)_(count|bucket|sum)$", "", each) for each in named} - {"xds_"} == set(rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_source_files_that_a_page_names_are_there(page: Path) -> None:
    """A page that says where something is must be right."""
    for name in re.findall(r"`((?:xds|tests|wsdl|bench|docs)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / name).exists(), name
