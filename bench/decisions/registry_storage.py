"""How registry objects are stored, against other ways: docs/decisions/0003-registry-storage.md.

Run by hand, from the repository's root: .venv/bin/python -m bench.decisions.registry_storage
Takes about a minute. It uses this package's own code and tables on synthetic documents; trust the ratios, not
the absolute numbers, and run it on a quiet machine.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import statistics
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zstandard
from lxml import etree

from bench import content
from xds.metadata import names
from xds.metadata.ebrim import write_object
from xds.metadata.entries import registry_object
from xds.metadata.model import Slot
from xds.registry import elements
from xds.registry.queries import find_documents
from xds.registry.registry import Options, Registry, StoredQuery
from xds.registry.view import EVERYTHING
from xds.store import bodies, schema
from xds.store.database import Database
from xds.transport import xml


def microseconds(run: Callable[[], object], calls: int = 500) -> float:
    """The best of five rounds, per call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - began) / calls)
    return best * 1e6


def body(number: int) -> bytes:
    """What is kept of one document entry's element."""
    obj = registry_object(content.entry(content.pid(number), number, random.Random(number)))
    own = f"urn:uuid:{uuid.UUID(int=random.Random(number).getrandbits(128), version=4)}"
    return elements.lasting(schema.KIND_DOCUMENT_ENTRY, obj, {obj.id: own})


def compression() -> None:
    """Bytes and time of one body, by codec."""
    many = [body(number) for number in range(200)]
    plain = zstandard.ZstdCompressor(level=3)
    codecs: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
        "zlib level 6": (lambda data: zlib.compress(data, 6), zlib.decompress),
        "zstd level 3": (plain.compress, zstandard.ZstdDecompressor().decompress),
        "zstd level 3, our dictionary": (bodies.pack, lambda data: bodies.unpack([data])[0]),
    }
    print(f"One document's element: {statistics.mean(map(len, many)):,.0f} bytes (mean of {len(many)})")
    print(f"  {'':<32}{'bytes':>8}{'pack µs':>9}{'unpack µs':>11}")
    for name, (pack, unpack) in codecs.items():
        packed = [pack(each) for each in many]
        assert [unpack(each) for each in packed] == many
        one, stored = many[0], packed[0]
        into = microseconds(lambda pack=pack, one=one: pack(one))  # type: ignore[misc]
        out = microseconds(lambda unpack=unpack, stored=stored: unpack(stored))  # type: ignore[misc]
        print(f"  {name:<32}{statistics.mean(map(len, packed)):>8.0f}{into:>9.1f}{out:>11.1f}")


def answer() -> None:
    """The RegistryObjectList of 450 entries, by three ways to make it."""
    objects = [body(number) for number in range(450)]
    stored = [bodies.pack(each) for each in objects]
    entries = [registry_object(content.entry(content.pid(n), n, random.Random(n))) for n in range(450)]

    def parsed() -> bytes:
        root = etree.Element(f"{{{names.RIM}}}RegistryObjectList")
        for each in stored:
            (lasting,) = (each.decode() for each in bodies.unpack([each]))
            head = f'<rim:ExtrinsicObject xmlns:rim="{names.RIM}" status="{names.APPROVED}"'
            root.append(xml.parse(f'{head}{lasting}1"/></rim:ExtrinsicObject>'.encode()))
        return etree.tostring(root)

    ways: dict[str, Callable[[], bytes]] = {
        "unpack and join bytes (what we do)": lambda: b"".join(bodies.unpack(stored)),
        "unpack, parse, append, serialise": parsed,
        "write each from plain data": lambda: b"".join(map(write_object, entries)),
    }
    print("450 entries as XML")
    for name, run in ways.items():
        print(f"  {name:<40}{microseconds(run, 5) / 1000:>8.2f} ms")


def queries() -> None:
    """FindDocuments as the registry answers it, and the size of the file."""
    filled = content.filled(9_590)
    database = Database(f"sqlite:///{filled.path}")
    registry = Registry(database, Options(patients="open"))
    print(f"FindDocuments, {filled.documents:,} documents registered, one thread, no HTTP")
    for size in sorted(filled.patients):
        patient = filled.patients[size][0]
        slots = [
            Slot("$XDSDocumentEntryPatientId", (f"'{patient}'",)),
            Slot("$XDSDocumentEntryStatus", (f"('{names.APPROVED}')",)),
        ]
        author = Slot("$XDSDocumentEntryAuthorPerson", ("('%Fjell%')",))
        for name, given in (("all approved", slots), ("and author LIKE", [*slots, author])):
            query = StoredQuery(find_documents.ID, given)
            found = sum(len(batch) // 2 for batch in registry.query(query, EVERYTHING).elements)
            spent = microseconds(lambda query=query: list(registry.query(query, EVERYTHING).elements), 20)  # type: ignore[misc]
            print(f"  {size:>4} documents, {name:<18}{found:>4} found {spent / 1000:>8.2f} ms")
    print(f"  file: {filled.path.stat().st_size / filled.documents:,.0f} bytes for each document, all tables")
    database.close()


def _write_for(path: str, seconds: float, queue: bool, waits: Any) -> None:
    database = Database(f"sqlite:///{path}")
    if not queue:
        database._queue.turn = _no_queue  # type: ignore[method-assign]
    registry = Registry(database, Options(patients="open"))
    chance = random.Random()
    spent = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = chance.randrange(10**12)
        prepared = registry.prepare(content._submission(content.pid(number % 10**8), number, chance))
        began = time.perf_counter()
        with database.write() as connection:
            registry.register(connection, prepared, EVERYTHING)
        spent.append(time.perf_counter() - began)
    waits.put(spent)


@contextmanager
def _no_queue() -> Iterator[None]:
    yield


def writers(folder: Path) -> None:
    """Four processes registering at once, with and without the file lock before BEGIN IMMEDIATE."""
    print("Four writing processes for 8 s, synchronous=FULL, submissions of 5 documents")
    context = multiprocessing.get_context("spawn")
    for queue in (False, True, False, True):
        path = folder / f"writers-{time.monotonic_ns()}.db"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        waits: Any = context.Queue()
        processes = [
            context.Process(target=_write_for, args=(str(path), 8.0, queue, waits)) for _ in range(4)
        ]
        for each in processes:
            each.start()
        spent = sorted(one for _ in processes for one in waits.get(timeout=60))
        for each in processes:
            each.join()
        print(
            f"  {'with' if queue else 'without'} the lock:".ljust(22),
            f"{len(spent) / 8:>6.0f} submissions/s, p50 {spent[len(spent) // 2] * 1000:.1f},"
            f" p99 {spent[int(len(spent) * 0.99)] * 1000:.0f}, worst {spent[-1] * 1000:,.0f} ms",
        )


def main() -> None:
    print(f"SQLite {sqlite3.sqlite_version}, zstandard {zstandard.__version__}")
    compression()
    answer()
    queries()
    with tempfile.TemporaryDirectory() as folder:
        writers(Path(folder))


if __name__ == "__main__":
    main()
