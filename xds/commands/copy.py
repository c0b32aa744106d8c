"""`xds copy`: a registry and its documents from one database and store to others, whatever engines they are.

Rows go in the order of their keys, some thousands in one transaction with the place that was reached, so a
copy that is broken off goes on where it was. Bytes are put before the row that names them is written, and
their hash is compared on the way. It must never change the source, and never take an unequal copy for done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Integer, Table, delete, func, insert, select, text, tuple_

from xds.config import Settings, load
from xds.errors import XdsError
from xds.registry.storing import claim_uuids
from xds.repository.store import DocumentStore
from xds.store import schema
from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import maintenance, stored_document

#: Rows in one transaction; an entry is about a kilobyte.
_ROWS: Final = 2_000
#: Documents in one transaction, and how many are on their way at a time.
_DOCUMENTS: Final = 100
_THREADS: Final = 4
_CHUNK: Final = 1024 * 1024

#: What grows by its key and changes while no node writes, in the order in which rows may name each other.
_LASTING: Final = (
    schema.patient,
    schema.patient_merge,
    schema.code,
    schema.document_entry,
    schema.submission_set,
    schema.folder,
    schema.listed_code,
    schema.association,
    schema.uid_claim,
    schema.privacy_setting,
    schema.audit_event,
)
#: What changes in its place, and is little: copied anew each time.
_PASSING: Final = (schema.audit_chain, schema.audit_outbox, schema.audit_receiver, schema.used_ticket)
#: Calls and answers between communities that are under way: their files are another node's.
_UNDER_WAY: Final = (schema.outgoing_reply, schema.awaited_reply)
_PLACE: Final = "copy: "
_DOCUMENTS_DONE: Final = f"{_PLACE}stored_document"
_VERIFIED: Final = f"{_PLACE}verified"
#: Of the source's own maintenance: where its sweep is says nothing of the target.
_NOT_KEPT: Final = (_PLACE, "sweep:")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """A database and the store of its documents."""

    database: Database
    documents: DocumentStore


@dataclass(slots=True)
class Copied:
    """What was done now, and the keys of documents whose bytes are not what they were."""

    rows: int = 0
    documents: int = 0
    bytes: int = 0
    damaged: list[str] | None = None


def copy(source: Side, target: Side, *, tell: Tell, skip_damaged: bool = False) -> Copied:
    """Copy what is not copied yet. Raises XdsError when the two sides do not belong together.

    A document whose bytes are missing or changed stops the copy, or is left out and told.
    """
    done = Copied(damaged=[])
    _check_target(source, target)
    _check_nothing_under_way(source)
    for table in _LASTING:
        for count in _rows(source.database, target.database, table):
            done.rows += count
            tell(f"{table.name}: {done.rows:,} rows")
    for table in _PASSING:
        done.rows += _anew(source.database, target.database, table)
    _keep_notes(source.database, target.database)
    _documents(source, target, done, tell, skip_damaged)
    _go_on_counting(target.database)
    return done


def compare(
    source: Side, target: Side, *, tell: Tell, read_back: bool = True, with_log: bool = True
) -> list[str]:
    """What is not equal on both sides, in words; nothing when all is.

    `read_back`: hash every document of the target, but those that were read back before. `with_log`: the
    access log too, which grows while a node of the source shows documents.
    """
    found = []
    for table in (*_LASTING, stored_document):
        if table is schema.audit_event and not with_log:
            continue
        counts = [_count(side.database, table) for side in (source, target)]
        if counts[0] != counts[1]:
            found.append(f"{table.name}: {counts[0]:,} rows in the source, {counts[1]:,} in the target")
    for sides in _differing_hashes(source.database, target.database):
        found.append(f"stored_document: another hash under {sides}")
    if read_back:
        found += _read_back(target, tell)
    return found


# ---- rows


def _keys(table: Table) -> list[Any]:
    return list(table.primary_key.columns)


def _plain(value: Any) -> Any:
    return value.tobytes() if isinstance(value, memoryview) else value


def _written(values: Sequence[Any]) -> str:
    return json.dumps([{"hex": bytes(each).hex()} if isinstance(each, bytes) else each for each in values])


def _read(text_: str) -> tuple[Any, ...]:
    return tuple(bytes.fromhex(each["hex"]) if isinstance(each, dict) else each for each in json.loads(text_))


def _place(connection: Connection, name: str) -> tuple[Any, ...] | None:
    found = connection.execute(select(maintenance.c.value).where(maintenance.c.name == name)).scalar()
    return None if found is None else _read(found)


def _keep_place(connection: Connection, name: str, values: Sequence[Any]) -> None:
    connection.execute(delete(maintenance).where(maintenance.c.name == name))
    connection.execute(insert(maintenance), {"name": name, "value": _written(values)})


def _batches(
    database: Database, table: Table, after: tuple[Any, ...] | None, size: int
) -> Iterator[list[dict[str, Any]]]:
    """The rows behind a place, in the order of their keys."""
    keys = _keys(table)
    while True:
        statement = select(table).order_by(*keys).limit(size)
        if after is not None:
            statement = statement.where(
                tuple_(*keys) > tuple_(*after) if len(keys) > 1 else keys[0] > after[0]
            )
        with database.read() as connection:
            rows = [
                {name: _plain(value) for name, value in row._mapping.items()}
                for row in connection.execute(statement)
            ]
        if not rows:
            return
        yield rows
        after = tuple(rows[-1][key.name] for key in keys)


def _rows(source: Database, target: Database, table: Table) -> Iterator[int]:
    name = f"{_PLACE}{table.name}"
    with target.read() as connection:
        after = _place(connection, name)
    for rows in _batches(source, table, after, _ROWS):

        def work(connection: Connection, rows: list[dict[str, Any]] = rows) -> None:
            if "entry_uuid" in table.c:
                claim_uuids(connection, rows)
            connection.execute(insert(table), rows)
            _keep_place(connection, name, [rows[-1][key.name] for key in _keys(table)])

        target.transact(work)
        yield len(rows)


def _anew(source: Database, target: Database, table: Table) -> int:
    """All rows of a small table, in the place of those that are there."""
    count = 0
    batches = list(_batches(source, table, None, _ROWS))

    def work(connection: Connection) -> None:
        connection.execute(delete(table))
        for rows in batches:
            connection.execute(insert(table), rows)

    target.transact(work)
    for rows in batches:
        count += len(rows)
    return count


def _keep_notes(source: Database, target: Database) -> None:
    """What the source has noted for all its nodes, such as the key of its cursors."""
    with source.read() as connection:
        notes = [
            dict(row._mapping)
            for row in connection.execute(select(maintenance))
            if not row.name.startswith(_NOT_KEPT)
        ]

    def work(connection: Connection) -> None:
        for note in notes:
            connection.execute(delete(maintenance).where(maintenance.c.name == note["name"]))
            connection.execute(insert_new(maintenance, connection.dialect), note)

    target.transact(work)


def _go_on_counting(target: Database) -> None:
    """PostgreSQL numbers new rows by a sequence, which knows nothing of rows that came with their number."""
    if target.is_embedded:
        return

    def work(connection: Connection) -> None:
        for table in (schema.code, schema.audit_chain, *_LASTING):
            (key, *more) = _keys(table)
            if more or not isinstance(key.type, Integer):
                continue
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": table.name, "column": key.name},
            ).scalar()
            if sequence is not None:
                last = connection.execute(select(func.max(key))).scalar()
                connection.execute(
                    text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last or 1}
                )

    target.transact(work)


def _check_target(source: Side, target: Side) -> None:
    """A target is empty, or one that this source was copied to before."""
    mark, own = f"{_PLACE}source", source.database.url.render_as_string(hide_password=True)
    with target.database.read() as connection:
        known = connection.execute(select(maintenance.c.value).where(maintenance.c.name == mark)).scalar()
        filled = any(connection.execute(select(table).limit(1)).first() for table in _LASTING)
    if known is None and filled:
        raise XdsError("The target has data of its own: copy into an empty database.")
    if known is not None and known != own:
        raise XdsError("The target was begun with another source: copy into an empty database.")
    if known is None:
        target.database.transact(
            lambda connection: connection.execute(insert(maintenance), {"name": mark, "value": own})
        )


def _check_nothing_under_way(source: Side) -> None:
    for table in _UNDER_WAY:
        if count := _count(source.database, table):
            raise XdsError(
                f"{count} messages between communities are under way ({table.name}), and their files belong"
                " to the node that has them: let them come to an end first."
            )


def _count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


# ---- documents


def _documents(source: Side, target: Side, done: Copied, tell: Tell, skip_damaged: bool) -> None:
    with target.database.read() as connection:
        after = _place(connection, _DOCUMENTS_DONE)
    with ThreadPoolExecutor(_THREADS) as pool:
        for rows in _batches(source.database, stored_document, after, _DOCUMENTS):
            keys = list(pool.map(partial(_put, source, target), rows))
            damaged = [row["blob_key"] for row, key in zip(rows, keys, strict=True) if key is None]
            if damaged and not skip_damaged:
                for key in filter(None, keys):
                    target.documents.remove(key)
                raise XdsError(
                    "The bytes of these documents are missing or changed in the source, and nothing of their"
                    f" batch was copied: {', '.join(damaged)}. Restore them, or leave them out with"
                    " --skip-damaged."
                )
            sound = [{**row, "blob_key": key} for row, key in zip(rows, keys, strict=True) if key is not None]

            def work(
                connection: Connection, sound: list[dict[str, Any]] = sound, last: str = rows[-1]["doc_uid"]
            ) -> None:
                if sound:
                    connection.execute(insert(stored_document), sound)
                _keep_place(connection, _DOCUMENTS_DONE, [last])

            target.database.transact(work)
            done.documents += len(sound)
            done.bytes += sum(row["size"] for row in sound)
            assert done.damaged is not None
            done.damaged += damaged
            tell(f"documents: {done.documents:,}, {done.bytes / 1e6:,.0f} MB")


def _put(source: Side, target: Side, row: Mapping[str, Any]) -> str | None:
    """The key of the bytes in the target; None when the source does not have those that it should."""
    writer = target.documents.staging.create()
    try:
        with source.documents.open(row["blob_key"]) as file:
            while chunk := file.read(_CHUNK):
                writer.write(chunk)
    except FileNotFoundError:
        writer.discard()
        return None
    except BaseException:
        writer.discard()
        raise
    staged = writer.finish()
    if staged.sha256 != bytes(row["sha256"]).hex() or staged.size != row["size"]:
        staged.discard()
        return None
    try:
        return target.documents.put(staged)
    except BaseException:
        staged.discard()
        raise


def _differing_hashes(source: Database, target: Database) -> Iterator[str]:
    pairs = zip(
        _batches(source, stored_document, None, _ROWS),
        _batches(target, stored_document, None, _ROWS),
        strict=False,
    )
    for ours, theirs in pairs:
        others = {row["doc_uid"]: bytes(row["sha256"]) for row in theirs}
        for row in ours:
            if row["doc_uid"] in others and others[row["doc_uid"]] != bytes(row["sha256"]):
                yield row["blob_key"]


def _read_back(target: Side, tell: Tell) -> list[str]:
    with target.database.read() as connection:
        after = _place(connection, _VERIFIED)
    found: list[str] = []
    count = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for rows in _batches(target.database, stored_document, after, _DOCUMENTS):
            wrong = [
                f"document {row['blob_key']}: the target's bytes are missing or others"
                for row, sound in zip(rows, pool.map(partial(_is_sound, target), rows), strict=True)
                if not sound
            ]
            found += wrong
            count += len(rows)
            if not found:
                last = rows[-1]["doc_uid"]
                target.database.transact(partial(_keep_place, name=_VERIFIED, values=[last]))
            tell(f"read back: {count:,} documents")
    return found


def _is_sound(side: Side, row: Mapping[str, Any]) -> bool:
    digest, size = hashlib.sha256(), 0
    try:
        with side.documents.open(row["blob_key"]) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return False
    return digest.digest() == bytes(row["sha256"]) and size == row["size"]


# ---- the command

OpenSide = Callable[[Settings], AbstractContextManager[Side]]


def run(arguments: argparse.Namespace, settings: Settings, open_side: OpenSide) -> int:
    """Copy, compare, and say what was done."""
    # The environment is the source's; that of the target has a name of its own.
    given = {
        f"XDS_{name.removeprefix('XDS_TO_')}": value
        for name, value in os.environ.items()
        if name.startswith("XDS_TO_")
    }
    other = load(arguments.to, given)
    if settings["store.database"] == other["store.database"]:
        raise XdsError("Source and target are the same database.")
    if settings["node.read_only"] != "on" and not arguments.stopped:
        raise XdsError(
            "A node that writes would be copied in part: set node.read_only = on and restart its nodes, or"
            " stop them and say --stopped."
        )
    with ExitStack() as stack:
        source, target = stack.enter_context(open_side(settings)), stack.enter_context(open_side(other))
        if not source.database.is_current():
            raise XdsError("The source is not of this version: run `xds migrate` on it first.")
        target.database.migrate()
        tell = _teller(quiet=arguments.quiet)
        began = time.monotonic()
        done = copy(source, target, tell=tell, skip_damaged=arguments.skip_damaged)
        wrong = compare(
            source,
            target,
            tell=tell,
            read_back=not arguments.no_read_back,
            with_log=arguments.stopped,
        )
    tell("")
    print(
        f"Copied {done.rows:,} rows and {done.documents:,} documents ({done.bytes / 1e6:,.1f} MB)"
        f" in {time.monotonic() - began:.0f} s."
    )
    for key in done.damaged or ():
        print(f"left out, damaged in the source: {key}")
    if arguments.skip_damaged:
        wrong = [each for each in wrong if not each.startswith("stored_document: ") or "hash" in each]
    for each in wrong:
        print(f"not equal: {each}")
    if not wrong:
        print(
            "Both sides are equal"
            + ("." if arguments.no_read_back else ", document by document, hash by hash.")
        )
    if not arguments.stopped:
        print("The access log has grown meanwhile: stop the nodes, and copy the rest of it with --stopped.")
    return 1 if wrong or done.damaged else 0


def _teller(*, quiet: bool) -> Tell:
    """Progress on one line of a terminal; elsewhere a line each ten seconds."""
    shown = sys.stderr.isatty()
    last = [time.monotonic()]

    def tell(line: str) -> None:
        if quiet:
            return
        if shown:
            print(f"\r{line:70}", end="" if line else "\r", file=sys.stderr, flush=True)
        elif line and time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    return tell
