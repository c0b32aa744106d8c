"""The least that each request can cost: its parts, done by hand and one at a time.

Parse the request with lxml; run the same SQL on the same database with sqlite3; for documents, write or read
the file. Sending the bytes is measured with nothing.py. What is left out is all that makes it a node: SOAP,
validation, unpacking and rendering, hashing on the way in, errors. It must never be tuned to look slow or
fast.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lxml import etree

_PRAGMAS: Final = ("cache_size=-16384", "mmap_size=1073741824", "wal_autocheckpoint=4000", "synchronous=FULL")

_ROW: Final = """
    SELECT d.entry_uuid, d.home_pk, d.status, d.logical_uuid, d.object_type, d.mime_pk, p.pid, d.body
    FROM document_entry d JOIN patient p ON p.patient_pk = d.patient_pk
"""
FIND: Final = f"{_ROW} WHERE p.pid = ? AND d.status = 1 AND d.object_type = 1 ORDER BY d.doc_pk"
_STORED: Final = "SELECT blob_key, size, mime, sha256 FROM stored_document WHERE doc_uid = ?"

#: Tables with the rows of one submission, and the columns that are new in each copy of it.
_TABLES: Final = ("document_entry", "submission_set", "association", "uid_claim")
_KEYS: Final = frozenset({"doc_pk", "set_pk", "assoc_pk", "obj_pk"})
_UUIDS: Final = frozenset({"entry_uuid", "logical_uuid", "uid_key", "key", "source_uuid", "target_uuid"})
_TEXTS: Final = frozenset({"doc_uid", "blob_key"})


def get_sql(count: int) -> str:
    """GetDocuments for a number of UUIDs."""
    return f"{_ROW} WHERE d.entry_uuid IN ({','.join('?' * count)}) ORDER BY d.doc_pk"


def parse(xml: bytes) -> None:
    """The request's XML, as lxml reads it with nothing switched on or off but entities."""
    etree.fromstring(xml, etree.XMLParser(resolve_entities=False))


def reader(path: Path) -> sqlite3.Connection:
    """A read-only connection with the node's settings."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    for pragma in _PRAGMAS[:2]:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def select(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    """All rows."""
    return connection.execute(sql, values).fetchall()


def retrieve(connection: sqlite3.Connection, documents: Path, unique_id: str) -> None:
    """A document's row, its bytes, and whether they are the right ones."""
    ((key, _, _, sha256),) = select(connection, _STORED, (unique_id,))
    if hashlib.sha256((documents / "documents" / key).read_bytes()).digest() != sha256:
        raise RuntimeError("a document is not what was stored")


def write_file(folder: Path, document: bytes) -> None:
    """The bytes on the disk, under a temporary name and then a final one."""
    unfinished, final = folder / "unfinished", folder / os.urandom(16).hex()
    with open(unfinished, "wb", buffering=0) as file:
        file.write(document)
        os.fsync(file.fileno())
    unfinished.rename(final)


def inserter(node: Path, own: Path, unique_id: str) -> Callable[[], None]:
    """A function that writes, into `own`, new copies of the rows that the node wrote for one submission.

    `unique_id` is that of a document that was submitted alone, for a patient of its own.
    """
    rows = list(_submitted(reader(node), unique_id))
    target = sqlite3.connect(own, isolation_level=None)
    for pragma in ("journal_mode=WAL", *_PRAGMAS):
        target.execute(f"PRAGMA {pragma}")
    patients = [pk for (pk,) in target.execute("SELECT patient_pk FROM patient")]
    next_key = 1 << 62

    def insert() -> None:
        nonlocal next_key
        patient = random.choice(patients)
        target.execute("BEGIN IMMEDIATE")
        for sql, names, values in rows:
            next_key += 1
            target.execute(sql, [_new(*each, next_key, patient) for each in zip(names, values, strict=True)])
        target.execute("COMMIT")

    return insert


def _submitted(
    connection: sqlite3.Connection, unique_id: str
) -> Iterator[tuple[str, list[str], Sequence[Any]]]:
    key = hashlib.sha256(unique_id.encode()).digest()[:16]
    (patient,) = connection.execute("SELECT patient_pk FROM uid_claim WHERE key = ?", (key,)).fetchone()
    found = [(table, "patient_pk", patient) for table in _TABLES]
    for table, column, value in (*found, ("stored_document", "doc_uid", unique_id)):
        cursor = connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,))
        names = [description[0] for description in cursor.description]
        marks = ",".join("?" * len(names))
        for values in cursor:
            yield f"INSERT INTO {table} ({','.join(names)}) VALUES ({marks})", names, values


def _new(name: str, value: Any, key: int, patient: int) -> Any:
    if name in _KEYS:
        return key
    if name in _UUIDS:
        return os.urandom(16)
    if name in _TEXTS:
        return os.urandom(len(value) // 2).hex()
    return patient if name == "patient_pk" else value
