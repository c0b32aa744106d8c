"""The document repository: which bytes belong to which DocumentEntry.uniqueId.

The transactions call `put`, `record`, `find` and `withdraw`. Bytes are put first and are invisible until
`record` has written their row in the same database transaction that registers the metadata; they are removed
when `withdraw` has taken the row away. What a crash leaves is for sweep.py. It must never change a byte, and
never hand out bytes that are not the ones it took in.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, update

from xds.errors import XdsError
from xds.metadata.datatypes import bare_oid
from xds.repository.store import DocumentStore
from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.keys import now
from xds.store.schema import stored_document
from xds.store.trouble import StoreBusy
from xds.transport.staged import Staged

log = logging.getLogger("xds")

_CHUNK: Final = 256 * 1024
_HEAL: Final = (
    update(stored_document)
    .where(stored_document.c.doc_uid == bindparam("uid"))
    .values(blob_key=bindparam("key"))
)
_FIND: Final = select(stored_document).where(stored_document.c.doc_uid.in_(bindparam("uids", expanding=True)))
#: So that a row which a submission counts on is not withdrawn before the submission is done.
_HOLD: Final = _FIND.with_for_update(key_share=True)
_WITHDRAW: Final = (
    delete(stored_document)
    .where(stored_document.c.doc_uid.in_(bindparam("uids", expanding=True)))
    .returning(stored_document.c.doc_uid, stored_document.c.blob_key)
)


@dataclass(frozen=True, slots=True)
class NewDocument:
    """Bytes of one document of a submission, on their way in."""

    unique_id: str
    mime_type: str
    staged: Staged


@dataclass(frozen=True, slots=True)
class PutDocument:
    """Bytes that are durable under `key` and not yet anybody's document."""

    unique_id: str
    mime_type: str
    key: str
    size: int
    sha1: str
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One document of the repository."""

    unique_id: str
    mime_type: str
    key: str
    size: int
    sha256: bytes


class OtherBytes(XdsError):
    """A uniqueId is stored with other bytes; its text is the uniqueId."""


class DamagedDocument(XdsError):
    """The bytes are missing, or are not the ones that were taken in."""


class Repository:
    """The documents of one repositoryUniqueId, in a DocumentStore and the `stored_document` table."""

    def __init__(self, unique_id: str, database: Database, store: DocumentStore) -> None:
        self.unique_id = unique_id
        self.store = store
        self._database = database

    def is_own(self, unique_id: str) -> bool:
        """Whether a repositoryUniqueId is this repository's; some write it with urn:oid:."""
        return bare_oid(unique_id) == self.unique_id

    def put(self, documents: Sequence[NewDocument]) -> tuple[PutDocument, ...]:
        """Make the bytes of a submission durable; not visible before `record`.

        All or nothing. Raises DamagedDocument, and OSError when the disk does not take them.
        """
        put: list[PutDocument] = []
        for each in documents:
            staged = each.staged
            try:
                key = self.store.put(staged)
            except OSError as error:
                self.discard(each.key for each in put)
                if isinstance(error, FileNotFoundError):  # swept away under our hands, as in `record`
                    raise DamagedDocument from None
                raise
            put.append(
                PutDocument(each.unique_id, each.mime_type, key, staged.size, staged.sha1, staged.sha256)
            )
        return tuple(put)

    def damaged(self, documents: Sequence[NewDocument]) -> frozenset[str]:
        """The uniqueIds among these that are stored already and whose stored bytes are damaged or missing.

        Asked before the transaction: reading may take a while.
        """
        found = set()
        for unique_id, document in self.find([each.unique_id for each in documents]).items():
            try:
                self.verify(document)
            except DamagedDocument:
                found.add(unique_id)
        return frozenset(found)

    def record(
        self, connection: Connection, documents: Sequence[PutDocument], damaged: frozenset[str] = frozenset()
    ) -> list[str]:
        """Make the documents visible, in the caller's transaction.

        A document that is stored already stays as it is, unless it is one of the `damaged`: then these bytes
        take the place of the old. Returns the keys that are not needed, to be removed after the commit.
        Raises DamagedDocument when bytes are gone, OtherBytes when a uniqueId is stored with other bytes.
        """
        if not documents:
            return []
        statement = insert_new(stored_document, connection.dialect).returning(stored_document.c.blob_key)
        waiting = {each.unique_id: each for each in sorted(documents, key=lambda each: each.unique_id)}
        unneeded = []
        while waiting:
            recorded = set(connection.execute(statement, [_row(each) for each in waiting.values()]).scalars())
            waiting = {own: each for own, each in waiting.items() if each.key not in recorded}
            # What is known and is not found has been withdrawn in between: then it is new after all.
            for row in connection.execute(_HOLD, {"uids": list(waiting)}).all() if waiting else ():
                new = waiting.pop(row.doc_uid)
                if bytes(row.sha256) != bytes.fromhex(new.sha256):
                    raise OtherBytes(new.unique_id)
                if new.unique_id in damaged:
                    connection.execute(_HEAL, {"uid": new.unique_id, "key": new.key})
                unneeded.append(row.blob_key if new.unique_id in damaged else new.key)
        # Now a sweep waits for our rows, or we have waited for it.
        if any(self.store.size(each.key) != each.size for each in documents):
            raise DamagedDocument  # swept away under our hands: sweep.py was given too short a grace time
        return unneeded

    def withdraw(self, connection: Connection, unique_ids: Iterable[str]) -> dict[str, str]:
        """Take the rows of documents away, in the caller's transaction: uniqueId -> key of each that had one.

        Their bytes are to be removed after the commit; what a crash in between leaves is for the sweep.
        """
        listed = sorted(set(unique_ids))
        gone: dict[str, str] = {}
        for start in range(0, len(listed), 500):
            rows = connection.execute(_WITHDRAW, {"uids": listed[start : start + 500]})
            gone |= {row.doc_uid: row.blob_key for row in rows}
        return gone

    def remove(self, keys: Iterable[str]) -> None:
        """Delete bytes that nobody's row points at."""
        for key in keys:
            self.store.remove(key)

    def discard(self, keys: Iterable[str]) -> None:
        """The same, of bytes that never became anybody's: what the store will not delete is for the sweep."""
        for key in keys:
            try:
                self.store.remove(key)
            except OSError as error:
                log.error("not needed and not deleted (%s): %s", type(error).__name__, key)

    def find(self, unique_ids: Sequence[str]) -> dict[str, StoredDocument]:
        """The stored documents among these uniqueIds."""
        found: dict[str, StoredDocument] = {}
        with self._database.read() as connection:
            for start in range(0, len(unique_ids), 500):
                for row in connection.execute(_FIND, {"uids": unique_ids[start : start + 500]}):
                    found[row.doc_uid] = StoredDocument(
                        row.doc_uid, row.mime, row.blob_key, row.size, bytes(row.sha256)
                    )
        return found

    def verify(self, document: StoredDocument) -> bytes | None:
        """Check the bytes against the hash taken when they came in; raises DamagedDocument, and StoreBusy.

        Returns them when they are few, so that they need not be read twice, else None.
        """
        try:
            with self.store.open(document.key) as file:
                if document.size <= _CHUNK * 4:
                    content = file.read(document.size + 1)
                    if len(content) != document.size or hashlib.sha256(content).digest() != document.sha256:
                        raise DamagedDocument
                    return content
                size, digest = 0, hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    digest.update(chunk)
        except StoreBusy:  # which says nothing about the bytes
            raise
        except OSError:
            raise DamagedDocument from None
        if size != document.size or digest.digest() != document.sha256:
            raise DamagedDocument
        return None

    def read(self, document: StoredDocument) -> Iterator[bytes]:
        """The bytes in chunks; memory does not grow with the document.

        They were verified, and are read a second time: the last chunk is not given before the whole is known
        to be the same. Raises OSError, and DamagedDocument.
        """
        size, digest, held = 0, hashlib.sha256(), b""
        with self.store.open(document.key) as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                digest.update(chunk)
                if held:
                    yield held
                held = chunk
        if size != document.size or digest.digest() != document.sha256:
            raise DamagedDocument
        if held:
            yield held


def _row(document: PutDocument) -> dict[str, Any]:
    return {
        "doc_uid": document.unique_id,
        "blob_key": document.key,
        "sha1": bytes.fromhex(document.sha1),
        "sha256": bytes.fromhex(document.sha256),
        "size": document.size,
        "mime": document.mime_type,
        "stored_at": now(),
    }
