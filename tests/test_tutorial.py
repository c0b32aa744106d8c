"""The tutorial's commands, run as they stand there, one after the other in one shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/tutorial.md").read_text()
_MARK = "=== command"
#: The tests have made .venv, and tests/demo runs the demo.
_DONE_ALREADY = "make demo "


def _steps() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines that it should print."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = each.splitlines()
            length = _length(lines)
            steps.append(("\n".join(lines[:length]), lines[length:]))
    return steps


def _length(lines: list[str]) -> int:
    """How many lines the command takes: as bash reads on until a here-document or a group has ended."""
    for count in range(1, len(lines) + 1):
        text = "\n".join(lines[:count])
        open_documents = [end for end in re.findall(r"<<'?(END)'?", text) if f"\n{end}" not in text]
        syntax = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False)
        if not open_documents and syntax.returncode == 0 and not text.endswith("\\"):
            return count
    raise AssertionError(f"a command does not end: {lines[0]}")


def _as_printed(expected: list[str], printed: str) -> bool:
    """Whether it is what the page shows, where … stands for anything."""
    pattern = re.escape("\n".join(expected)).replace("…", ".*")
    return bool(re.fullmatch(pattern, printed.strip(), re.DOTALL))


def test_every_command_of_the_tutorial_works_and_prints_what_it_shows(tmp_path: Path) -> None:
    """Word for word, but for the folder and the port, which another test may be using."""
    steps = _steps()
    assert len(steps) > 20
    script = "set -eu -o pipefail\n" + "".join(
        f"printf '\\n{_MARK} {number}\\n'\n{command}\n"
        for number, (command, _) in enumerate(steps)
        if not command.startswith(_DONE_ALREADY)
    )
    script = script.replace("/tmp/my-node", str(tmp_path / "my-node")).replace("8080", str(free_port()))
    # `kill %1` is the last command; whatever fails before it must not leave the node behind.
    script = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n" + script.replace(
        "$PWD/.venv/bin", _bin()
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDS_")}
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-c", script],
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    printed = {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}
    shown = {number: expected for number, (_, expected) in enumerate(steps) if expected}
    assert len(shown) >= 6
    for number, expected in shown.items():
        assert _as_printed(expected, printed[number]), (steps[number][0], expected, printed[number])


def _bin() -> str:
    return str(Path(sys.executable).parent)
