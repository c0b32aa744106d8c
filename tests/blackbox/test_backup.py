"""The back-up page is true: its own commands, run while the node works, restore it on an empty machine.

The commands are read from docs/operations.md, with its folders, settings file and database replaced; so a
command that is changed there is tried here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import postgres, stores
from tests.blackbox import messages as m
from tests.blackbox.state import beneath, published
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
HEADINGS = {"sqlite": "## Backup", "postgresql": "### On PostgreSQL", "s3": "### With documents in S3"}
#: What must be installed for it, beside PostgreSQL's own programs, without which no test of these runs.
PROGRAMS = {"sqlite": "sqlite3", "s3": "rclone"}


def commands(heading: str) -> list[list[str]]:
    """The commands of each console block under a heading, up to the next one."""
    section = re.split(r"\n##+ ", PAGE.read_text().split(f"\n{heading}\n")[1])[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [[line[2:] for line in block.splitlines() if line.startswith("$ ")] for block in blocks]


def run(lines: list[str], replaced: Mapping[str, str]) -> str:
    """What a shell prints that runs these lines and stops at the first that fails."""
    script = "\n".join(lines)
    for written, real in replaced.items():
        script = script.replace(written, real)
    # Settings for S3 of whoever runs the tests are for a server of theirs.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    shell = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def settings_file(folder: Path, node: Node) -> Path:
    """The settings of a node as an operator has them."""
    tables: dict[str, list[str]] = {}
    for name, value in node.environment.items():
        if name.startswith("XDS_"):
            table, _, key = name.removeprefix("XDS_").lower().rpartition("__")
            tables.setdefault(table, []).append(f'{key} = "{value}"')
    text = "\n".join(
        f"{f'[{table}]' if table else ''}\n" + "\n".join(tables[table]) for table in sorted(tables)
    )
    path = folder / "xds.toml"
    path.write_text(text)
    return path


def submit(node: Node) -> tuple[str, bytes]:
    """A document that the node acknowledged."""
    document = m.Document(content=os.urandom(3000))
    assert send(node, m.mtom([document], m.new_oid())).outcome == SUCCESS
    return document.unique_id, document.content


def fetched(node: Node, unique_id: str) -> bytes:
    """What ITI-43 hands out."""
    return send(node, m.mtom_retrieve(unique_id)).documents()[unique_id]


@pytest.mark.embedded
@pytest.mark.parametrize("kind", HEADINGS)
def test_the_commands_of_the_page_restore_the_node_on_an_empty_machine(kind: str, tmp_path: Path) -> None:
    """All that was acknowledged before the backup, byte by byte; the log verifies."""
    program = PROGRAMS.get(kind)
    if program and shutil.which(program) is None and os.environ.get("CI") != "true":
        pytest.skip(f"the back-up page of {kind} is NOT TESTED: the program {program} is not there")
    old, new = machine(tmp_path / "old", kind), machine(tmp_path / "new", kind, empty=True)
    page = commands(HEADINGS[kind])
    assert len(page) == 3, "backing up, checking, restoring"
    back_up, check, restore = page
    names = [line for line in back_up if re.match("export |[A-Z]=", line)]
    (tmp_path / "s3-secret").write_text(f"{old.environment.get('XDS_S3__SECRET_KEY')}\n")
    everywhere = {"/backup/xds": str(tmp_path / "backup"), "/etc/xds/s3-secret": str(tmp_path / "s3-secret")}
    old.start()
    try:
        acknowledged = dict(submit(old) for _ in range(20))
        here = everywhere | places(old)
        run(back_up, here)
        late = dict(submit(old) for _ in range(3))
        assert "all there" in run([*names, *check], here)
    finally:
        old.stop()
    for each in published(old):  # the machine is lost, and the bucket
        beneath(old).delete(each)
    shutil.rmtree(old.folder)
    there = everywhere | places(new) | {"/etc/xds/xds.toml": str(settings_file(tmp_path, new))}
    run([*names, *restore], there)
    new.start()
    try:
        assert {each: fetched(new, each) for each in acknowledged} == acknowledged
        assert all(send(new, m.mtom_retrieve(each)).outcome != SUCCESS for each in late)
        submit(new)
    finally:
        new.stop()
    assert len(published(new)) == 21


@pytest.mark.embedded
def test_a_backup_of_a_bucket_is_completed(tmp_path: Path) -> None:
    """A file that was cut off is copied anew, one with other bytes is found by the check."""
    if shutil.which("rclone") is None and os.environ.get("CI") != "true":
        pytest.skip("the back-up page of s3 is NOT TESTED: the program rclone is not there")
    node = machine(tmp_path / "node", "s3")
    back_up, check, _ = commands(HEADINGS["s3"])
    names = [line for line in back_up if re.match("export |[A-Z]=", line)]
    (tmp_path / "s3-secret").write_text(node.environment["XDS_S3__SECRET_KEY"])
    here = places(node) | {
        "/backup/xds": str(tmp_path / "backup"),
        "/etc/xds/s3-secret": str(tmp_path / "s3-secret"),
    }
    node.start()
    try:
        submit(node)
        submit(node)
        run(back_up, here)
        one, other = [each for each in (tmp_path / "backup" / "documents").rglob("*") if each.is_file()]
        one.write_bytes(one.read_bytes()[:100])
        run(back_up, here)
        assert "all there" in run([*names, *check], here)
        other.write_bytes(b"?" + other.read_bytes()[1:])
        with pytest.raises(AssertionError, match="FAILED"):
            run([*names, *check], here)
    finally:
        node.stop()


def machine(folder: Path, kind: str, *, empty: bool = False) -> Node:
    """A node that is not started; `empty`: its database has no tables."""
    folder.mkdir()
    settings: dict[str, object] = {}
    if kind != "sqlite":
        database = postgres.new_database(template="template0") if empty else postgres.new_database()
        settings["store__database"] = database
    if kind == "s3":
        settings |= stores.in_s3(folder)
    return Node(folder, **settings)


def places(node: Node) -> dict[str, str]:
    """What stands in the page for where a node's data are."""
    said = {
        "/var/lib/xds": str(node.folder),
        "postgresql://xds@db.example.org/xds": node.database_url.replace("+psycopg", ""),
    }
    if "XDS_S3__ENDPOINT" in node.environment:
        said |= {
            "journal/xds": node.environment["XDS_STORE__DOCUMENTS"].removeprefix("s3://"),
            "https://s3.example.org": node.environment["XDS_S3__ENDPOINT"],
            "ACCESS_KEY_ID=xds": f"ACCESS_KEY_ID={node.environment['XDS_S3__ACCESS_KEY']}",
        }
    return said
