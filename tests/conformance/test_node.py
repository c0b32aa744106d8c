"""The runner against real nodes: they pass every case, and a change of one answer makes the case fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.endpoints import Last, bared, emptied, swapped
from tests.nodes import Node
from tests.security.vectors import fresh
from xds.conformance import vectors
from xds.conformance.cases import Case, read
from xds.conformance.runner import Outcome, Result, Runner, find_out
from xds.conformance.sending import Http
from xds.conformance.target import Target, Tickets, addresses
from xds.demo.tickets import TicketService

HOME = "2.16.578.1.12.4.5.100.9"
FUNCTION = """
from xds.repository.on_demand import OnDemandDocument

def make(request):
    return OnDemandDocument(b"made now", mime_type="text/plain")
"""
CASES = read()
CHANGES = (swapped, emptied, bared)


@pytest.fixture(scope="module")
def plain(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A node without tickets that has everything."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "made_for_conformance.py").write_text(FUNCTION)
    (folder / "communities.toml").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        node = new_node(
            node__home_community_id=HOME,
            communities=folder / "communities.toml",
            patients__source="national",
            repository__on_demand="made_for_conformance:make",
        )
        yield Target(addresses(node.url, {}), offers=frozenset({"log", "on-demand", "simplified-publish"}))


@pytest.fixture(scope="module")
def guarded(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A node that wants tickets, and goes by the policy and rules that come with it."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "communities.toml").write_text("")
    node = new_node(
        node__home_community_id=HOME,
        communities=folder / "communities.toml",
        patients__source="national",
        access__ticket="required",
        trust=TicketService(folder).trust,
    )
    return Target(addresses(node.url, {}), tickets=Tickets(folder), offers=frozenset({"log"}))


def ran(target: Target) -> list[Result]:
    """Every case against a target whose ids are found out."""
    runner = Runner(Http(), target)
    assert find_out(runner) == []
    return list(runner.run(CASES))


def failures(results: list[Result]) -> dict[str, str]:
    """What failed, and why."""
    return {each.case.id: each.reason for each in results if each.outcome is Outcome.FAILED}


def test_two_nodes_pass_every_case(plain: Target, guarded: Target) -> None:
    """What one of the nodes has to skip is run on the other; nothing fails on either."""
    results = [*ran(plain), *ran(guarded)]
    assert failures(results) == {}
    passed = {each.case.id for each in results if each.outcome is Outcome.PASSED}
    assert {each.id for each in CASES} - passed == set()


def test_each_case_looks_at_its_last_answer(plain: Target) -> None:
    """Each case that the plain node passes fails when its last answer is swapped, emptied or bared."""
    http = Http()
    find_out(Runner(http, plain))
    unnoticed = []
    for case in CASES:
        if "tickets" in case.needs:
            continue
        runs = (Runner(Last(http, len(case.steps), change), plain).one(case) for change in CHANGES)
        if not any(each.outcome is Outcome.FAILED for each in runs):
            unnoticed.append(case)
    assert [each.id for each in unnoticed if not _takes_any_refusal(each)] == []


def _takes_any_refusal(case: Case) -> bool:
    """Whether nothing that refuses can be wrong: test_cases.py has these let through."""
    return case.steps[-1].expect.get("refused") is True or case.id in (
        "soap-version-answered-alike",
        "soap-get-registry",
        "soap-get-repository",
    )


def test_a_node_passes_every_ticket_vector(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """Good ones are let in, hostile ones refused."""
    folder = fresh(tmp_path / "vectors")
    node = new_node(access__ticket="required", trust=folder / "trust.toml", node__public_url=BASE)
    found = list(Runner(Http(), Target(addresses(node.url, {}))).run(vectors.read(folder)))
    assert failures(found) == {}
    assert Counter(each.outcome for each in found) == {Outcome.PASSED: 143}


#: What generate.py makes vectors for when it is told of no other address.
BASE = "https://xds.example.test"
