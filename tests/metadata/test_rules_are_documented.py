"""docs/errors.md and the rules in the code say the same, both ways, for every layer that has rules."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import xds
from xds.metadata.rules import Rule

_PACKAGE = Path(xds.__file__).parent
_PAGE = _PACKAGE.parent / "docs" / "errors.md"


def _rules() -> dict[str, Rule]:
    """Every rule of every module of xds that has a mapping named RULES."""
    rules: dict[str, Rule] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        if re.search(r"^RULES\b", path.read_text("utf-8"), re.MULTILINE):
            name = ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
            own = importlib.import_module(name).RULES
            assert not set(rules) & set(own), f"{name} uses a rule id of another layer"
            rules |= own
    return rules


def _row(rule_id: str, rule: Rule) -> str:
    codes = ", ".join(f"`{code}`" for code in rule.codes)
    return f"| `{rule_id}` | {codes} | {rule.sentence} | {rule.source} |"


def test_the_page_lists_every_rule_as_the_code_has_it() -> None:
    """Id, codes, sentence and source of each rule stand on the page, and no rule that does not exist."""
    listed = {line for line in _PAGE.read_text("utf-8").splitlines() if line.startswith("| `")}
    expected = {_row(rule_id, rule) for rule_id, rule in _rules().items()}
    missing, stale = "\n".join(sorted(expected - listed)), "\n".join(sorted(listed - expected))
    assert expected == listed, f"docs/errors.md: add\n{missing}\nand remove\n{stale}"


def test_rule_ids_and_sentences_are_well_formed() -> None:
    """An id is a word or words joined by hyphens, and a sentence ends; a detail may follow it."""
    for rule_id, rule in _rules().items():
        assert re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*", rule_id)
        assert rule.sentence.endswith(".")
        assert "|" not in rule.sentence + rule.source
