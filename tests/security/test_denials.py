"""The reasons of gate 1: documented, and telling the sender no more than the standard does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xds.security.denials import DENIALS, MEANINGS, TOKEN_MEANINGS, Oauth, Wss, denied

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tickets.md").read_text()


def _name(code: Wss | Oauth) -> str:
    if isinstance(code, Wss):
        return f"`{'wsu' if code is Wss.MESSAGE_EXPIRED else 'wsse'}:{code}`"
    return f"`{code}`" if code else "–"


def test_every_reason_is_documented_as_it_is():
    """docs/tickets.md has the table of reasons, in order, and no other row."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (\S+) \| (.+) \|$", PAGE, re.M)
    assert rows == [(rule, _name(each.code), each.sentence) for rule, each in DENIALS.items()]


def test_every_code_of_the_standard_is_documented_with_its_sentence():
    """All of WS-Security's codes have a row and a sentence, and OAuth's a sentence."""
    assert set(MEANINGS) == set(Wss)
    assert set(TOKEN_MEANINGS) == set(Oauth)
    for code, sentence in MEANINGS.items():
        assert f"| {_name(code)} | {sentence} |" in PAGE


@pytest.mark.parametrize("rule", DENIALS)
def test_every_reason_is_raised_somewhere(rule: str):
    """A reason that no check gives is none."""
    sources = "".join(path.read_text() for path in (ROOT / "xds").rglob("*.py"))
    assert sources.count(f'"{rule}"') >= 2


def test_a_denial_carries_its_id_for_whoever_catches_it_and_its_sentence_for_the_log():
    """str() of it is the id alone: an accident with it shows nothing."""
    denial = denied("ticket-expired")
    assert str(denial) == denial.rule == "ticket-expired"
    assert denial.sentence == "The assertion has expired."
