"""Calls whose answers come later, as messages of their own, at whichever worker of the node they reach.

remote.py puts a call on record before it goes out (`expect`), has its answer (`wait`) and ends it (`forget`);
the endpoint /xca/replies gives each message that comes to `take`. A row of the database joins the two, and
files beside it hold the answer: whoever deletes the row owns the files. It must never keep an answer that
nobody waits for, and never give one call two.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, OperationalError

from xds.errors import ClientError, Fault, XdsError
from xds.gateway.replies import now
from xds.store.database import Database
from xds.store.schema import awaited_reply
from xds.store.trouble import DatabaseBusy, nothing_written
from xds.transport import soap, xml
from xds.transport.client import NoAnswer, Trouble, open_answer
from xds.transport.limits import Limits
from xds.transport.message import Message, Received
from xds.transport.staged import Staged, StagingFolder

log = logging.getLogger("xds")

#: Seconds between two looks for what came in at other workers.
_LOOK: Final = 0.05
#: Seconds between two looks for rows whose call has died, and how long after its end one counts as dead.
_CLEAN: Final = 30.0
_MARGIN: Final = 10_000

_IS_ROW: Final = awaited_reply.c.message_id == bindparam("name")
_OPEN: Final = (
    _IS_ROW,
    awaited_reply.c.reply.is_(None),
    awaited_reply.c.until > bindparam("at"),
)
_KNOWN: Final = select(awaited_reply.c.home).where(*_OPEN)
#: Exactly one message becomes the answer: the second finds that it has come.
_ANSWER: Final = update(awaited_reply).where(*_OPEN).values(reply=bindparam("text"))
_COME: Final = select(awaited_reply.c.message_id).where(
    awaited_reply.c.message_id.in_(bindparam("names", expanding=True)), awaited_reply.c.reply.is_not(None)
)
_END: Final = delete(awaited_reply).where(_IS_ROW).returning(awaited_reply.c.reply)
_DEAD: Final = (
    delete(awaited_reply)
    .where(awaited_reply.c.node == bindparam("own"), awaited_reply.c.until < bindparam("at"))
    .returning(awaited_reply.c.reply)
)


class Unrecorded(XdsError):
    """The call could not be put on record, so it was not made; or its answer could not be looked up."""


class AwaitedReplies:
    """The calls of one worker whose answers come later, and the answers to those of all workers.

    Threads may share it. `url` is where answers are to be sent. `folder` is for answers that wait to be read,
    `staging` for what is made of them.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        url: str,
        folder: StagingFolder,
        staging: StagingFolder,
        limits: Limits,
    ) -> None:
        self.url: Final = url
        self._database = database
        self._node = node
        self._folder = folder
        self._staging = staging
        self._limits = limits
        self._lock = threading.Lock()  # guards the next
        self._waiting: dict[str, threading.Event] = {}
        self._awaited = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xca-awaited", daemon=True)

    def start(self) -> None:
        """Begin to look for what comes in at other workers."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._awaited.set()
        if self._thread.is_alive():
            self._thread.join(2)

    # -- the call ------------------------------------------------------------------------------------

    def expect(self, message_id: str, home: str, deadline: float) -> None:
        """Put a call to a community on record until `deadline` (time.monotonic). Raises Unrecorded."""
        row = {
            "message_id": message_id,
            "node": self._node,
            "home": home,
            "until": now() + max(0, round((deadline - time.monotonic()) * 1000)),
        }
        try:
            self._database.transact(lambda connection: connection.execute(insert(awaited_reply), row))
        except (OSError, OperationalError, DatabaseBusy) as error:
            raise Unrecorded from error
        with self._lock:
            self._waiting[message_id] = threading.Event()
        self._awaited.set()

    def wait(self, message_id: str, deadline: float, action: str, understood: frozenset[str]) -> Message:
        """The answer to a call, checked as one that comes on the same connection is, and its wsa:Action too.

        The caller discards it. Raises Faulted, Unrecorded, and NoAnswer: at the deadline, or of an answer
        that cannot be read.
        """
        with self._lock:
            come = self._waiting[message_id]
        if not come.wait(max(0.0, deadline - time.monotonic())):
            raise NoAnswer(Trouble.LATE, "The answer did not come in time.")
        try:
            text = self._end(message_id)
        except (OSError, OperationalError, DatabaseBusy) as error:
            raise Unrecorded from error
        self._drop(message_id)
        if text is None:  # its time was over, for somebody whose clock is ahead
            raise NoAnswer(Trouble.LATE, "The answer did not come in time.")
        return self._opened(text, message_id, action, understood)

    def forget(self, message_id: str) -> None:
        """The call has ended, however that was: its row goes, and an answer that came too late."""
        with self._lock:
            ended = message_id not in self._waiting
        if ended:
            return
        try:
            self._discard(self._end(message_id))
        except Exception as error:  # the row's time ends by itself
            log.info("a call to a community is still on record (%s)", type(error).__name__)
        finally:
            self._drop(message_id)

    def _end(self, message_id: str) -> str | None:
        """Delete the row; what came for it, whose files are the caller's now."""
        given = {"name": message_id}
        row = self._database.transact(lambda connection: connection.execute(_END, given).first())
        return None if row is None else row.reply

    def _drop(self, message_id: str) -> None:
        """It is not looked for any more."""
        with self._lock:
            self._waiting.pop(message_id, None)
            if not self._waiting:
                self._awaited.clear()

    def _opened(self, text: str, message_id: str, action: str, understood: frozenset[str]) -> Message:
        root, parts, mtom = _read(text, self._folder.path)
        try:
            data = root.path.read_bytes()
            root.discard()
            for each in parts.values():
                each.path.stat()
            tree = xml.parse(data)
            version = soap.version_of(tree)
            received = Received(version, tree, parts, mtom)
            message = open_answer(
                received, message_id, "the community", self._limits, self._staging, understood
            )
            if message.action != action:
                raise NoAnswer(Trouble.UNREADABLE, "The answer is one to another kind of message.")
            return message
        except BaseException as error:
            self._discard(text)
            if isinstance(error, Fault | FileNotFoundError):
                raise NoAnswer(Trouble.UNREADABLE, "The answer cannot be read.") from error
            if isinstance(error, OSError):  # as SoapClient says it
                raise ClientError("A file cannot be read or written.") from error
            raise

    # -- the answer ----------------------------------------------------------------------------------

    def take(self, message: Message) -> bool:
        """Hand a message to the call that waits for it; False when none does, or it has its answer.

        The message's parts are gone then. Raises OSError, OperationalError, DatabaseBusy.
        """
        open_ = {"name": message.relates_to, "at": now()}
        with self._database.read() as connection:
            if connection.execute(_KNOWN, open_).first() is None:
                return False
        kept: list[Staged] = []
        try:
            kept.append(self._written(message.envelope))
            for staged in message.parts.values():
                kept.append(self._folder.take_over(staged))
            text = _write(kept[0], zip(message.parts, kept[1:], strict=True), message.mtom)
            given = {"name": message.relates_to, "at": now(), "text": text}
            taken = self._database.transact(
                lambda connection: connection.execute(_ANSWER, given).rowcount == 1
            )
        except BaseException as error:
            # A commit that broke may have been one: then the row needs them, else the sweep removes them.
            if not isinstance(error, DBAPIError) or nothing_written(error):
                _remove(kept)
            raise
        if not taken:
            _remove(kept)
            return False
        with self._lock:
            come = self._waiting.get(message.relates_to)
        if come is not None:  # it waits in this process; another one looks for it
            come.set()
        return True

    def _written(self, data: bytes) -> Staged:
        writer = self._folder.create()
        try:
            writer.write(data)
            return writer.finish()
        except BaseException:
            writer.discard()
            raise

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        cleaned, trouble = -_CLEAN, ""
        while not self._stop.is_set():
            try:
                if time.monotonic() - cleaned >= _CLEAN:
                    self._clean()
                    cleaned = time.monotonic()
                if self._awaited.wait(_CLEAN):
                    self._look()
                trouble = ""
            except Exception as error:  # the thread must live on, whatever the database does
                if trouble != (trouble := type(error).__name__):
                    log.error("replies cannot be looked for (%s)", trouble)
            self._stop.wait(1.0 if trouble else _LOOK)

    def _look(self) -> None:
        with self._lock:
            names = [name for name, come in self._waiting.items() if not come.is_set()]
        if not names:
            return
        with self._database.read() as connection:
            come = connection.execute(_COME, {"names": names}).scalars().all()
        with self._lock:
            for name in come:
                if (waiting := self._waiting.get(name)) is not None:
                    waiting.set()

    def _clean(self) -> None:
        """Remove what is left of calls that have ended with their process."""
        given = {"own": self._node, "at": now() - _MARGIN}
        dead = self._database.transact(lambda connection: connection.execute(_DEAD, given).scalars().all())
        for text in dead:
            self._discard(text)

    def _discard(self, text: str | None) -> None:
        _remove(files(text, self._folder.path))


# -- the text of an answer in its row: which files it is


def _write(root: Staged, parts: Iterable[tuple[str, Staged]], mtom: bool) -> str:
    def told(staged: Staged) -> list[Any]:
        return [staged.path.name, staged.size, staged.sha1, staged.sha256]

    return json.dumps({"root": told(root), "parts": {cid: told(each) for cid, each in parts}, "mtom": mtom})


def _read(text: str, folder: Path) -> tuple[Staged, dict[str, Staged], bool]:
    def staged(name: str, size: int, sha1: str, sha256: str) -> Staged:
        return Staged(folder / name, size, sha1, sha256)

    found = json.loads(text)
    return staged(*found["root"]), {cid: staged(*each) for cid, each in found["parts"].items()}, found["mtom"]


def files(text: str | None, folder: Path) -> Iterator[Staged]:
    """The files of an answer, by the text of its row."""
    if text is not None:
        root, parts, _ = _read(text, folder)
        yield root
        yield from parts.values()


def _remove(some: Iterable[Staged]) -> None:
    for each in some:
        each.discard()
