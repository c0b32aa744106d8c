"""A node that is killed in the middle of its work: docs/decisions/0004-bytes-first.md.

Run by hand, from the repository's root: .venv/bin/python -m bench.decisions.bytes_first [rounds]
Four senders submit documents while the node is ended with SIGKILL at a random moment, again and again.
Then everything is counted: a document that was acknowledged and is not there would be a bug.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.nodes import Node
from xds.client import Client, ClientError, Code, Document, build

_TYPES = "2.16.578.1.12.4.1.1.9602"
_PATIENT = "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"  # nobody has this number: its month is raised by 80
_SENDERS = 4


def document(size: int) -> Document:
    """A text of random bytes."""
    return Document(
        content=random.randbytes(size),
        mime_type="application/octet-stream",
        title="Epikrise",
        class_code=Code("A00-1", _TYPES, "Epikriser og sammenfatninger"),
        type_code=Code("A03-2", _TYPES, "Epikrise"),
        practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
        healthcare_facility_type_code=Code(
            "86.101", "2.16.578.1.12.4.1.1.1303", "Alminnelige somatiske sykehus"
        ),
    )


def send(node: Node, stop: threading.Event, acknowledged: list[None]) -> None:
    """Submit until told to stop; count what was answered with Success."""
    while not stop.is_set():
        submission = build(
            [document(random.choice((1_000, 50_000, 2_000_000)))],
            patient_id=_PATIENT,
            source_id="2.16.578.1.12.4.5.480.1.2",
        )
        try:
            with Client(node.url) as client:
                client.send(submission)
            acknowledged.append(None)
        except ClientError:
            time.sleep(0.02)


def count(node: Node) -> dict[str, int]:
    """What is in the database and in the folder."""
    with sqlite3.connect(node.folder / "xds.db") as database:
        rows = database.execute("SELECT blob_key, sha256 FROM stored_document").fetchall()
        entries = database.execute("SELECT count(*) FROM document_entry").fetchone()[0]
    folder = node.documents / "documents"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        "entries registered": entries,
        "documents recorded": len(rows),
        "recorded without bytes": sum(key not in files for key, _ in rows),
        "recorded with other bytes": sum(
            key in files and hashlib.sha256(files[key].read_bytes()).digest() != sha for key, sha in rows
        ),
        "bytes nobody recorded": len(files.keys() - {key for key, _ in rows}),
        "files still in staging": sum(1 for _ in (node.documents / "staging").iterdir()),
    }


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node, acknowledged = Node(Path(folder)), [None] * 0
        for _ in range(rounds):
            node.start()
            stop = threading.Event()
            senders = [
                threading.Thread(target=send, args=(node, stop, acknowledged)) for _ in range(_SENDERS)
            ]
            for each in senders:
                each.start()
            time.sleep(random.uniform(0.1, 1.2))
            node.kill()
            stop.set()
            for each in senders:
                each.join()
        print(f"{rounds} times SIGKILL, {len(acknowledged)} submissions acknowledged")
        for name, number in count(node).items():
            print(f"  {name:<28}{number:>6}")
        print(node.command("sweep", "--all", "--grace-hours", "0").stdout.strip())
        for name, number in count(node).items():
            print(f"  {name:<28}{number:>6}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 40)
