"""The cases as data: each is whole, says where it is from, and can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.endpoints import Always, broken, no, silent, yes
from tests.security.vectors import FOLDER as VECTORS
from xds.conformance import checks, vectors, words
from xds.conformance.cases import PROFILES, Case, CaseError, read
from xds.conformance.runner import Outcome, Runner
from xds.conformance.target import Target, Tickets, addresses

ROOT = Path(__file__).parents[2]
CASES = [*read(), *vectors.read(VECTORS)]
FAKES = {"yes": yes, "no": no, "broken": broken, "silent": silent}


def test_there_are_as_many_cases_as_promised() -> None:
    """More than 150 beside the ticket vectors, and some in each profile."""
    assert len(CASES) - 143 >= 350
    assert {name for each in CASES for name in each.profiles} == set(PROFILES)


def test_each_expectation_has_a_check_and_is_used_by_a_case() -> None:
    """No word of the vocabulary is left over."""
    assert set(checks.CHECKS) == words.EXPECTATIONS
    assert {word for each in CASES for step in each.steps for word in step.expect} == words.EXPECTATIONS


def test_each_rule_is_one_of_the_documentation() -> None:
    """A rule id leads to docs/errors.md."""
    known = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/errors.md").read_text(), re.M))
    named = {each.rule for each in CASES if each.rule and "docs/tickets.md" not in each.rule}
    assert named - known == set()


@pytest.fixture(scope="module")
def anybody(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """An endpoint that has everything and lets everybody do everything."""
    return Target(
        addresses("http://endpoint.test", {}),
        tickets=Tickets(tmp_path_factory.mktemp("keys")),
        home="urn:oid:2.999.1",
        repository="2.999.2",
        offers=frozenset({"administrator", "log", "on-demand", "simplified-publish"}),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_case_fails_where_it_must(case: Case, anybody: Target) -> None:
    """An endpoint that always says yes, or no, or nothing, fails each case, by what the case asks for."""
    results = {name: Runner(Always(fake), anybody).one(case) for name, fake in FAKES.items()}
    assert all(each.outcome is not Outcome.SKIPPED for each in results.values()), results["yes"].reason
    told = [
        text
        for result in results.values()
        for step in result.exchanges
        for text in step.failures
        if "no answer" not in text
    ]
    assert told


GOOD = """
[[case]]
id = "x"
title = "t"
why = "w"
section = "s"
actor = "Document Registry"
profiles = ["soap"]
[[case.step]]
send = "ITI-18"
expect = { status = "Success" }
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('why = "w"', "", "why is missing"),
        ('why = "w"', 'whi = "w"', "there is no key whi"),
        ("Document Registry", "Registry", "no actor"),
        ('["soap"]', '["sope"]', "no profile sope"),
        ("ITI-18", "ITI-99", "send is one of"),
        ("status =", "statos =", "no expectation statos"),
        ('expect = { status = "Success" }', "", "expects nothing"),
        ('"Success"', '"{nobody}"', "nothing gives {nobody} a value"),
        ('send = "ITI-18"', 'send = "ITI-18"\nqueri = "x"', "ITI-18 has no queri"),
        ('send = "ITI-18"', 'send = "ITI-42"\ndocuments = [{ omitt = ["hash"] }]', "documents have no omitt"),
        ("[[case]]", "[[case", "is no TOML"),
    ],
)
def test_a_case_that_is_spelt_wrong_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    """It is named, and not run as one that checks less."""
    assert old in GOOD
    (tmp_path / "x.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CaseError, match=re.escape(told)):
        read(tmp_path)


def test_a_case_is_there_once(tmp_path: Path) -> None:
    """An id names one case."""
    (tmp_path / "x.toml").write_text(GOOD + GOOD)
    with pytest.raises(CaseError, match="more than one case is called x"):
        read(tmp_path)


def test_a_row_makes_a_case(tmp_path: Path) -> None:
    """`for` gives one case for each row."""
    text = GOOD.replace('id = "x"', 'id = "x-<n>"\nfor = [{ n = "1" }, { n = "2" }]')
    (tmp_path / "x.toml").write_text(text)
    assert [each.id for each in read(tmp_path)] == ["x-1", "x-2"]
