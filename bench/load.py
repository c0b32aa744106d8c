"""Puts the rows of copies.py into a database, many at a time: COPY on PostgreSQL, executemany on SQLite.

`grow` is called by growth.py and by the tests. The indexes stay while it loads, so they are as full and as
scattered as those of a registry that has grown; on PostgreSQL a process for each core makes rows. The node's
own way of writing, one transaction for each submission, is not taken: ITI-41 is measured by itself.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger, Text, make_url

from bench.copies import TABLES, Copies, Master, Rows
from bench.population import Population, Step

#: Submissions in one transaction.
_TOGETHER: Final = 4_000
#: SQLAlchemy's type -> PostgreSQL's, for COPY in binary; the most special first.
_TYPES: Final = (
    (BigInteger, "int8"),
    (SmallInteger, "int2"),
    (Integer, "int4"),
    (LargeBinary, "bytea"),
    (Text, "text"),
)
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=OFF",
    "cache_size=-1000000",
    "mmap_size=1073741824",
    "wal_autocheckpoint=20000",
)

Write = Callable[[Rows], None]


def grow(
    url: str,
    masters: dict[int, list[Master]],
    population: Population,
    documents: int,
    tell: Callable[[int], None],
    processes: int = 1,
) -> None:
    """Load documents until there are so many; `tell` is called with how many more have been written."""
    step = population.next(documents)
    embedded = make_url(url).get_backend_name() == "sqlite"
    if embedded or processes == 1:
        uuids = _load(url, masters, step, 0, 1, tell)
    else:
        uuids = _in_processes(url, masters, step, processes, tell)
    if not embedded:
        _settle(url)
    population.add(step, uuids)


def _in_processes(
    url: str,
    masters: dict[int, list[Master]],
    step: Step,
    parts: int,
    tell: Callable[[int], None],
) -> list[bytes]:
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    processes = [
        context.Process(target=_part, args=(url, masters, step, part, parts, told)) for part in range(parts)
    ]
    uuids: list[bytes] = []
    done = 0
    for each in processes:
        each.start()
    try:
        while done < parts:
            said = told.get()
            if isinstance(said, int):
                tell(said)
            elif isinstance(said, list):
                uuids += said
                done += 1
            else:
                raise RuntimeError(f"a loading process ended: {said}")
    finally:
        for each in processes:
            if done < parts:
                each.terminate()
            each.join()
    return uuids


def _part(url: str, masters: dict[int, list[Master]], step: Step, part: int, parts: int, told: Any) -> None:
    try:
        told.put(_load(url, masters, step, part, parts, told.put))
    except BaseException as error:
        told.put(f"{type(error).__name__}: {error}")
        raise


def _load(
    url: str,
    masters: dict[int, list[Master]],
    step: Step,
    part: int,
    parts: int,
    tell: Callable[[int], None],
) -> list[bytes]:
    copies = Copies(masters, step, part, parts)
    writing = _sqlite if make_url(url).get_backend_name() == "sqlite" else _postgresql
    with writing(url) as write:
        for rows in copies.batches(_TOGETHER):
            write(rows)
            tell(len(rows["document_entry"]))
    return copies.uuids


@contextmanager
def _postgresql(url: str) -> Iterator[Write]:
    columns = {
        name: [next(word for type_, word in _TYPES if isinstance(column.type, type_)) for column in table.c]
        for name, table in TABLES.items()
    }

    def write(rows: Rows) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            for name, some in rows.items():
                with cursor.copy(
                    f"COPY {name} ({', '.join(TABLES[name].c.keys())}) FROM STDIN (FORMAT BINARY)".encode()
                ) as copy:
                    copy.set_types(columns[name])
                    for row in some:
                        copy.write_row(row)

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield write


def _settle(url: str) -> None:
    """What autovacuum would have done in the years that such a registry takes to grow."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


@contextmanager
def _sqlite(url: str) -> Iterator[Write]:
    def write(rows: Rows) -> None:
        with connection:
            for name, some in rows.items():
                marks = ",".join("?" * len(TABLES[name].c))
                connection.executemany(
                    f"INSERT INTO {name} ({', '.join(TABLES[name].c.keys())}) VALUES ({marks})", some
                )

    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        yield write
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
