"""`xds copy` of many documents to other engines and back, killed again and again on the way.

`python -m bench.copying [DOCUMENTS] [KILLS]` copies from SQLite and a folder to PostgreSQL and S3 (after
`.ci/ceph`), and from there to another SQLite and folder, and holds all three against each other: every row,
and every document byte by byte. It talks to 127.0.0.1 alone, and ends what it started by its id.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import ceph, postgres, stores
from tests.commands.test_copy import equal, fill
from xds.commands.copy import Side
from xds.config import document_store, load
from xds.store.database import Database


def settings_file(folder: Path, settings: dict[str, object]) -> Path:
    """The settings, whose names are `section__key`, as a node's file."""
    lines = [f'{key.replace("__", ".")} = "{value}"' for key, value in settings.items()]
    path = folder / "xds.toml"
    path.write_text("\n".join(['environment = "test"', 'node.read_only = "on"', *lines, ""]))
    return path


@contextmanager
def opened(path: Path) -> Iterator[Side]:
    """The registry and the documents of a node with these settings, past it."""
    settings = load(path, {})
    database = Database(settings["store.database"])
    try:
        yield Side(database, document_store(settings))
    finally:
        database.close()


def copied(source: Path, target: Path, kills: int) -> tuple[float, str]:
    """Seconds of work, and what was said at the end; SIGKILL ends each run but the last."""
    command = [sys.executable, "-m", "xds.cli", "copy", "--stopped", "--config", str(source)]
    begun = time.monotonic()
    for _ in range(kills):
        with subprocess.Popen([*command, "--to", str(target)], stdout=subprocess.DEVNULL) as running:
            with suppress(subprocess.TimeoutExpired):
                running.wait(random.uniform(2, 20))
            running.kill()
    done = subprocess.run([*command, "--to", str(target)], stdout=subprocess.PIPE, text=True, check=True)
    return time.monotonic() - begun, done.stdout.strip()


def run(folder: Path, documents: int, kills: int) -> None:
    """Fill, copy there and back, compare."""
    places = [folder / name for name in ("first", "second", "third")]
    for each in places:
        each.mkdir()
    first, third = (
        settings_file(
            each,
            {"store__database": f"sqlite:///{each / 'xds.db'}", "store__documents": f"file://{each / 'd'}"},
        )
        for each in (places[0], places[2])
    )
    second = settings_file(
        places[1],
        {"store__database": postgres.new_database(template="template0"), **stores.in_s3(places[1])},
    )
    with opened(first) as one:
        one.database.migrate()
        contents = fill(one, documents)
    print(f"{documents:,} documents of {sum(map(len, contents.values())):,} bytes")
    for source, target in ((first, second), (second, third)):
        seconds, told = copied(source, target, kills)
        print(f"copied in {seconds:.0f} s, killed {kills} times: {told}")
        with opened(source) as one, opened(target) as other:
            equal(one, other, contents)
        print("equal, row by row and byte by byte")


def main(documents: int = 20_000, kills: int = 3) -> None:
    """Print what was seen."""
    for each in (postgres.KEPT, ceph.KEPT):
        each.configure(None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), documents, kills)
    finally:
        for each in (ceph.KEPT, postgres.KEPT):
            each.unconfigure(None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
