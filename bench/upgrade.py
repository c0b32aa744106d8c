"""A node of an older version under load while the database is migrated, then one of this version beside it.

`python -m bench.upgrade COMMIT [SECONDS]` takes the older version from the repository's own history, loads
each step for so long, and prints what it saw; docs/operations.md has the figures. Run by hand: CI need not
have the history. It talks to 127.0.0.1 alone, and ends what it started by its id.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.soak import Load, Seen, count_recorded, failures, look_for_all
from tests import postgres
from tests.nodes import Node

ROOT: Final = Path(__file__).parent.parent


@contextmanager
def code_of(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit, in the folder until the end."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def run(code: Path, folder: Path, seconds: float) -> None:
    """Every step; ends with what must not have happened, if something did."""
    database = postgres.new_database(template="template0")
    settings = {"store__database": database, "store__documents": f"file://{folder / 'documents'}"}
    old, new = (_node(folder / name, settings, name) for name in ("old", "new"))
    old.code = code
    _say("older version", old.command("migrate"))
    seen, acknowledged = Seen(), {}
    old.start()
    try:
        with Load(old.port, seen) as load:
            time.sleep(seconds)
            seen.longest, before = 0.0, seen.longest
            begun = time.monotonic()
            _say("migrate --plan", new.command("migrate", "--plan"))
            _say("migrate", new.command("migrate"))
            took = time.monotonic() - begun
            time.sleep(1)
            during = seen.longest
            print(
                f"longest answer: {before:.2f} s before, {during:.2f} s in the {took:.1f} s of both commands"
            )
            print(f"the older node is {'ready' if old.is_ready() else 'NOT ready'} afterwards")
            new.start()
            time.sleep(seconds)
            with Load(new.port, seen) as other:
                time.sleep(seconds)
            acknowledged |= other.acknowledged
        acknowledged |= load.acknowledged
        old.stop()
        look_for_all([new], acknowledged, seen)
        count_recorded(new, seen)
        print(seen)
        try:
            old.start(20)
        except AssertionError as error:
            print(f"the older node does not start again: {str(error).splitlines()[-1]}")
        else:
            print("the older node starts again")
    finally:
        old.stop()
        new.stop()
    sys.exit("\n".join(failures(seen)) or 0)


def _node(folder: Path, settings: dict[str, object], name: str) -> Node:
    folder.mkdir()
    return Node(folder, **settings, node__name=name)


def _say(what: str, done: subprocess.CompletedProcess[str]) -> None:
    print(f"{what}: {done.returncode}", done.stdout.strip(), done.stderr.strip(), sep="\n  ")


def main(commit: str, seconds: float) -> None:
    """Print what was seen; status 1 if something was wrong."""
    postgres.KEPT.configure(None)
    try:
        with tempfile.TemporaryDirectory() as name, code_of(commit, Path(name) / "code") as code:
            run(code, Path(name), seconds)
    finally:
        postgres.KEPT.unconfigure(None)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20)
