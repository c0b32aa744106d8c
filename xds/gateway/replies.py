"""Answers that go elsewhere: each is a file and a row until it is taken, or given up.

app.py has `Replies` keep the answer to a request with an address in wsa:ReplyTo before it says HTTP 202;
courier.py sends what is kept, by these rows. The file comes before the row and goes after it, so that a crash
leaves at most a file that strays.py removes. It must never acknowledge what is not on disk, or let another
node's rows be sent here, whose files are there.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from xds.errors import RegistryFailure
from xds.gateway.communities import Communities
from xds.gateway.rules import broken
from xds.metrics import Sample
from xds.store.database import Database
from xds.store.schema import outgoing_reply
from xds.store.trouble import nothing_written
from xds.transport.message import Answer, Message, write_reply
from xds.transport.staged import StagingFolder

#: For how long it is tried to send an answer.
TRIED_SECONDS: Final = 24 * 3600
#: Answers that may wait for one address.
MOST: Final = 1000
#: And their bytes: a request is small, and its answer may not be.
MOST_BYTES: Final = 5_000_000_000
#: Nothing is due as much later as this, in milliseconds, unless the clock was put back.
_LATEST: Final = 600_000

_OWN: Final = outgoing_reply.c.node == bindparam("own")
_WAITING: Final = select(
    func.count().label("answers"), func.coalesce(func.sum(outgoing_reply.c.size), 0).label("bytes")
).where(_OWN, outgoing_reply.c.url == bindparam("to"))
_DUE: Final = (
    select(
        outgoing_reply.c.file,
        outgoing_reply.c.url,
        outgoing_reply.c.content_type,
        outgoing_reply.c.action,
        outgoing_reply.c.reference,
        outgoing_reply.c.size,
        outgoing_reply.c.until,
        outgoing_reply.c.due,
        outgoing_reply.c.attempts,
    )
    .where(
        _OWN,
        or_(outgoing_reply.c.due <= bindparam("now"), outgoing_reply.c.due > bindparam("latest")),
    )
    .order_by(outgoing_reply.c.due)
)
#: Whoever moves `due` first has the row: the second finds another one in it.
_IS_OURS: Final = (outgoing_reply.c.file == bindparam("name"), outgoing_reply.c.due == bindparam("seen"))
_CLAIM: Final = (
    update(outgoing_reply)
    .where(*_IS_OURS)
    .values(due=bindparam("then"), attempts=outgoing_reply.c.attempts + 1)
)
_MOVE: Final = update(outgoing_reply).where(*_IS_OURS).values(due=bindparam("then"))
_REMOVE: Final = delete(outgoing_reply).where(outgoing_reply.c.file == bindparam("name"))
_FIGURES: Final = select(
    func.count().label("waiting"), func.min(outgoing_reply.c.made_at).label("oldest")
).where(_OWN)


def now() -> int:
    """Milliseconds since 1970, as the rows have them."""
    return time.time_ns() // 1_000_000


class NotKept(RegistryFailure):
    """The answer could not wait to be sent, so it is not made: who asks gets this back at once."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer that waits, as its row has it."""

    file: str
    url: str
    content_type: str
    action: str
    reference: str
    size: int
    until: int
    due: int
    attempts: int


class Replies:
    """The answers that wait at one node, and where they may go. Threads and processes may share them.

    `communities` gives the current ones. `has_room`: whether the folder's disk takes so many bytes more;
    `spare` are those that must stay free.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        folder: StagingFolder,
        communities: Callable[[], Communities],
        has_room: Callable[[int], bool],
        spare: int,
    ) -> None:
        self.folder: Final = folder
        self.communities: Final = communities
        #: Set when there is something new to send.
        self.news: Final = threading.Event()
        self._database = database
        self._node = node
        self._has_room = has_room
        self._spare = spare
        self._given_up = 0

    def may_reply_to(self, url: str) -> bool:
        """Whether a community lists the address; nothing else that a message names is ever contacted."""
        return self.communities().may_reply_to(url) is not None

    def check_room(self, url: str, transaction: str) -> None:
        """Raises NotKept when as many answers as may are waiting for the address already."""
        with self._database.read() as connection:
            waiting = connection.execute(_WAITING, {"own": self._node, "to": url}).one()
        if waiting.answers >= MOST or waiting.bytes >= MOST_BYTES:
            raise NotKept(broken("reply-room", transaction=transaction))

    def keep(self, message: Message, answer: Answer, mtom: bool) -> None:
        """Write the whole answer down; when this returns it will be sent, whatever happens to this process.

        Raises OSError, OperationalError or DatabaseBusy, and then it is not kept.
        """
        content_type, size, chunks = write_reply(answer, message, mtom)
        if not self._has_room((size or 0) + self._spare):
            raise OSError(errno.ENOSPC, "no room for an answer that is to wait")
        writer = self.folder.create()
        try:
            for chunk in chunks:
                writer.write(chunk)
            staged = writer.finish()
            self.folder.make_lasting(staged)
        except BaseException:
            writer.discard()
            raise
        made_at = now()
        row = {
            "file": staged.path.name,
            "node": self._node,
            "url": message.reply_to,
            "content_type": content_type,
            "action": answer.action,
            "reference": message.reference,
            "size": staged.size,
            "made_at": made_at,
            "until": made_at + TRIED_SECONDS * 1000,
            "due": made_at,
            "attempts": 0,
        }

        def work(connection: Connection) -> None:
            connection.execute(insert(outgoing_reply), row)
            # A sweep without grace time may have taken the file, and says so before we get here (strays.py).
            staged.path.stat()

        try:
            self._database.transact(work)
        except BaseException as error:
            # A commit that broke may have been one: then the row needs its file, else the sweep removes it.
            if not isinstance(error, DBAPIError) or nothing_written(error):
                staged.discard()
            raise
        self.news.set()

    # -- for the courier -----------------------------------------------------------------------------

    def due(self) -> list[Kept]:
        """What is to be sent now and nobody is at, the longest due first."""
        moment = now()
        given = {"own": self._node, "now": moment, "latest": moment + _LATEST}
        with self._database.read() as connection:
            return [Kept(**row) for row in connection.execute(_DUE, given).mappings()]

    def claim(self, kept: Kept, until: int) -> Kept | None:
        """Be the one who sends it, until then; None when somebody else is."""
        if not self._change(_CLAIM, {"name": kept.file, "seen": kept.due, "then": until}):
            return None
        return replace(kept, due=until, attempts=kept.attempts + 1)

    def move(self, kept: Kept, due: int) -> Kept | None:
        """Stay the one who sends it, or have it tried again then; None when it is somebody else's by now."""
        moved = self._change(_MOVE, {"name": kept.file, "seen": kept.due, "then": due})
        return replace(kept, due=due) if moved else None

    def is_whole(self, kept: Kept) -> bool:
        """Whether its file is there, in its full size."""
        try:
            return (self.folder.path / kept.file).stat().st_size == kept.size
        except FileNotFoundError:
            return False

    def remove(self, kept: Kept) -> bool:
        """It was taken: row first, then file; False when somebody else was quicker."""
        removed = self._change(_REMOVE, {"name": kept.file})
        (self.folder.path / kept.file).unlink(missing_ok=True)
        return removed

    def give_up(self, kept: Kept) -> bool:
        """The same of one that nobody gets."""
        removed = self.remove(kept)
        self._given_up += removed
        return removed

    def _change(self, statement: Any, given: dict[str, Any]) -> bool:
        return self._database.transact(lambda connection: connection.execute(statement, given).rowcount == 1)

    # -- for operators -------------------------------------------------------------------------------

    def samples(self) -> Iterator[Sample]:
        """How many answers of this node wait and since when, and how many this worker has given up."""
        with self._database.read() as connection:
            found = connection.execute(_FIGURES, {"own": self._node}).one()
        age = 0.0 if found.oldest is None else max(0.0, (now() - found.oldest) / 1000)
        yield Sample(
            "xds_gateway_replies_waiting", "Answers that wait to be sent to wsa:ReplyTo.", found.waiting
        )
        yield Sample("xds_gateway_replies_oldest_seconds", "Age of the oldest of them.", age)
        yield Sample(
            "xds_gateway_replies_given_up",
            "Answers that this worker has given up since its start.",
            self._given_up,
        )
