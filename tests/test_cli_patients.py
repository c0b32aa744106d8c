"""`xds patients`: what an operator sees and does about merged ids; the node may run meanwhile."""

from __future__ import annotations

import pytest

from tests.nodes import Node
from tests.transactions.feed import cx, is_known, new_id, shown


def run(node: Node, *arguments: str) -> str:
    """What a command says; it must succeed."""
    done = node.command("patients", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_merge_can_be_made_seen_and_taken_back(node: Node) -> None:
    """As an operator does who merged the wrong ones."""
    old, new = cx(new_id()), cx(new_id())
    assert is_known(node, old)
    assert is_known(node, new)
    run(node, "merge", "--patient", old, "--into", new)
    assert shown(node, new) == [new, new]
    assert new in run(node, "unmerge", "--patient", old)
    assert (shown(node, old), shown(node, new)) == ([old], [new])
    head, line = run(node, "merges", "--patient", old).splitlines()
    assert head.split() == ["MERGED", "INTO", "AT", "UNDONE", "AT"]
    assert line.startswith(f"{old}  {new}  20")
    assert line.count(":") == 2  # the time of the merge, and that of its end


def test_without_merges_it_says_so(node: Node) -> None:
    """Not an empty table."""
    assert run(node, "merges", "--patient", cx(new_id())) == "No patient id was merged.\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("unmerge", "--patient", "nobody^^^&1.2.3&ISO"), 1, "can be taken back"),
        (("merge", "--patient", "a^^^&1.2.3&ISO", "--into", "a^^^&1.2.3&ISO"), 1, "into itself"),
        (("unmerge", "--patient", "12"), 2, "11 digits"),
        (("merge", "--patient", "17855599120"), 2, "--into"),
        ((), 2, "COMMAND"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    node: Node, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """Without a trace."""
    done = node.command("patients", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
