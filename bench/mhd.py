"""Searches over FHIR (ITI-67): the first page of a patient with 50,000 documents beside that of a small one.

bench/__main__.py calls `pages`. The registry is one of its own, filled once and kept beside the other. A node
without tickets, so that what is compared is the search and what is made of it; the access log is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import psutil

from bench import content, servers
from bench.measure import Act, compare, in_turn
from bench.servers import Connection

#: Documents of the large patient, and of each small one, of whom there are so many.
LARGE: Final = 50_000
SMALL: Final = 50
PATIENTS: Final = 20
COUNT: Final = 50


def pages(folder: Path, documents: int, seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """p50 in milliseconds of a page of 50, and how many times that of the first row it is."""
    filled = content.uneven(documents, SMALL, PATIENTS)
    (large,) = filled.patients[documents]
    with _node(filled.path, folder) as connection:
        small = [search(pid) for pid in filled.patients[SMALL]]
        deep = _next(connection, large, steps=min(20, documents // COUNT - 1))
        acts: dict[str, Act] = {
            f"{SMALL} documents": (in_turn(small), connection.ask),
            f"{documents:,} documents": (in_turn([search(large)]), connection.ask),
            "the same, _total=none": (in_turn([search(large, _total="none")]), connection.ask),
            "the same, a later page": (in_turn([deep]), connection.ask),
            "the same, _total=accurate": (in_turn([search(large, _total="accurate")]), connection.ask),
            "the same, one type": (in_turn([search(large, type="A03-2")]), connection.ask),
        }
        return compare(acts, seconds, rounds)


def walked(folder: Path, documents: int) -> tuple[int, int]:
    """All pages of the large patient: how many, and by how many bytes the node has grown meanwhile."""
    filled = content.uneven(documents, SMALL, PATIENTS)
    (large,) = filled.patients[documents]
    with _node(filled.path, folder) as connection:
        connection.ask(search(large, _count="1000"))
        before = _memory()
        message: bytes | None = search(large, _count="1000")
        count = 0
        while message is not None:
            bundle = json.loads(bytes(connection.ask(message)))
            count += 1
            following = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
            message = _get(following[0]) if following else None
        return count, _memory() - before


def _memory() -> int:
    return sum(each.memory_info().rss for each in psutil.Process().children(recursive=True))


@contextmanager
def _node(database: Path, folder: Path) -> Iterator[Connection]:
    copy = folder / "mhd.db"
    copy.write_bytes(database.read_bytes())
    with servers.node(copy, folder / "mhd-documents", folder / "mhd.log") as port:
        connection = Connection(port)
        try:
            yield connection
        finally:
            connection.close()
            copy.unlink()


def search(pid: str, **more: str) -> bytes:
    """A search for the first page of what is current of a patient, as bytes on the wire."""
    number, _, authority = pid.partition("^^^&")
    asked = {"patient.identifier": f"urn:oid:{authority.removesuffix('&ISO')}|{number}", "status": "current"}
    return _get(f"/fhir/DocumentReference?{urlencode({**asked, **more})}")


def _get(url: str) -> bytes:
    parts = urlsplit(url)
    return f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _next(connection: Connection, pid: str, steps: int) -> bytes:
    """The request for a page that is so many pages behind the first."""
    message = search(pid)
    for _ in range(steps):
        bundle = json.loads(bytes(connection.ask(message)))
        message = _get(next(each["url"] for each in bundle["link"] if each["relation"] == "next"))
    return message
