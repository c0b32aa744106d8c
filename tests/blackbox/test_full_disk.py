"""A disk without room: refused in the standard's words, nothing half there, and well again once there is
room.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import counts, rows
from tests.blackbox.wire import SOAP12, SUCCESS, Request, send
from tests.nodes import Node

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small file system of its own; what it holds is gone afterwards."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            done = False
        if not done:
            pytest.skip("NOT CHECKED what a full disk does: it takes the right to mount a tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def running(node: Node) -> Iterator[Node]:
    """Started, and stopped before the disk is taken away."""
    try:
        node.start()
        yield node
    finally:
        node.stop()


def fill(folder: Path) -> Path:
    """A file in all the room there is."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def fill_names(folder: Path) -> None:
    """Empty files until no other can be made but one."""
    last = folder
    with contextlib.suppress(OSError):
        for number in range(10_000):
            last = folder / str(number)
            last.touch()
    (folder / "0").unlink()


def many() -> list[m.Document]:
    """More than fits into what a full database's log still has of its own."""
    return [m.Document(id=m.new_uuid()) for _ in range(100)]


SUBMISSIONS = [
    (lambda: m.mtom(many()), "XDSRepositoryOutOfResources"),
    (lambda: m.plain(m.register(many()), "ITI-42"), "XDSRegistryOutOfResources"),
]


def refused(node: Node, request: Request, code: str) -> None:
    """Failure by node-full, nothing stored, and an ERROR line under the answer's reference number."""
    before = counts(node)
    (error,) = send(node, request).errors
    assert (error.code, error.rule, error.location) == (code, "node-full", "")
    assert before == counts(node)
    log = node.log.read_text()
    assert f"ERROR xds {error.reference} " in log
    assert "no room: ENOSPC" in log
    assert "Traceback" not in log


def test_a_full_disk_under_the_database_is_out_of_resources(disk: Disk, tmp_path: Path) -> None:
    """ITI-41 and ITI-42 are refused without a trace; so is fetching when not even its record has room; and
    with room again all is well.
    """
    small = disk("size=2m")
    node = Node(tmp_path, store__database=f"sqlite:///{small}/xds.db")
    with running(node):
        kept = m.Document()
        assert send(node, m.mtom([kept])).outcome == SUCCESS
        filler = fill(small)
        for make, code in SUBMISSIONS * 2:
            refused(node, make(), code)
        fetched = send(node, m.mtom_retrieve(kept.unique_id))
        if fetched.outcome == SUCCESS:
            (recorded,) = rows(node, "SELECT count(*) FROM audit_event WHERE code = 'ITI-43' AND outcome = 0")
            assert recorded == (1,)
        else:
            assert [each.rule for each in fetched.errors] == ["node-full"]
        filler.unlink()
        assert send(node, m.mtom_retrieve(kept.unique_id)).documents() == {kept.unique_id: kept.content}
        for make, _ in SUBMISSIONS:
            assert send(node, make()).outcome == SUCCESS


def test_a_document_folder_that_takes_no_more_names_is_out_of_resources(disk: Disk, tmp_path: Path) -> None:
    """The bytes are staged and cannot be published: ITI-41 is refused, and the staged file goes away."""
    small = disk("size=2m,nr_inodes=100")
    node = Node(tmp_path, store__documents=f"file://{small}/documents", limits__document_bytes=100_000)
    node.documents = small / "documents"
    with running(node):
        fill_names(small)
        refused(node, m.mtom([m.Document()]), "XDSRepositoryOutOfResources")
        (small / "1").unlink()


def test_a_disk_that_fills_up_while_a_document_arrives_is_the_nodes_fault(disk: Disk, tmp_path: Path) -> None:
    """A message that could not be read cannot be refused by its rules: a Receiver fault, nothing staged."""
    small = disk("size=2m")
    node = Node(tmp_path, store__documents=f"file://{small}/documents", limits__document_bytes=1_000_000)
    node.documents = small / "documents"
    with running(node):
        assert node.is_ready()
        filler = fill(small)
        assert not node.is_ready()
        assert "not ready: staging ENOSPC" in node.log.read_text()
        before = counts(node)
        assert send(node, m.mtom([m.Document()])).fault.code == f"{{{SOAP12}}}Receiver"
        assert before == counts(node)
        filler.unlink()
        assert node.is_ready()
        assert send(node, m.mtom([m.Document()])).outcome == SUCCESS


def test_a_node_is_not_ready_when_there_is_no_room_for_one_document(disk: Disk, tmp_path: Path) -> None:
    """Less is left than limits.document_bytes: it serves, and says that it cannot take all it promises."""
    small = disk("size=2m")
    node = Node(tmp_path, store__documents=f"file://{small}/documents", limits__document_bytes=1_500_000)
    node.documents = small / "documents"
    with running(node):
        (small / "filler").write_bytes(bytes(1_000_000))
        assert not node.is_ready()
        assert send(node, m.mtom([m.Document()])).outcome == SUCCESS
