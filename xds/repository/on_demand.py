"""On-demand documents: the deployment's own function that makes them, called with a clock and a measure.

`repository.on_demand` names the function and docs/on-demand.md says how to write one; ITI-43 calls `make` and
gets bytes in a staged file. Whatever the function does, the node must go on: it may raise, hang, or give too
much, and the document's request ends with an error of ours. Memory does not grow with the document.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from xds.errors import DataTypeError, XdsError
from xds.metadata.datatypes import check_mime_type
from xds.metadata.model import DocumentEntry
from xds.transport.staged import Staged, StagingFolder

#: Calls at a time in one process, those included that ran out of time and have not come back.
AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class OnDemandRequest:
    """What the function is called with.

    `entry` is the on-demand entry as the registry answers it now: its uniqueId, patientId (after merges the
    surviving one), codes, referenceIdList and own slots say what document is wanted.
    """

    entry: DocumentEntry


@dataclass(frozen=True, slots=True)
class OnDemandDocument:
    """What the function gives.

    `content` is the bytes, or an iterator of them in pieces; it is read in the same thread. `mime_type` is
    left empty when it is the entry's. With `keep` the node stores the bytes and registers a stable entry for
    them, a snapshot, before it answers.
    """

    content: bytes | Iterable[bytes]
    mime_type: str = ""
    keep: bool = False


#: None says that there is no such document now.
Function = Callable[[OnDemandRequest], OnDemandDocument | None]


@dataclass(frozen=True, slots=True)
class Made:
    """A document that was made: its bytes, which the receiver must put or discard."""

    staged: Staged
    mime_type: str
    keep: bool


class NotMade(XdsError):
    """The function gave nothing that can be handed out; `__cause__` is what it raised."""


class MadeTooLate(NotMade):
    """There was no answer in time, or too many calls are still under way."""


class MadeTooMuch(NotMade):
    """The document is larger than allowed."""


class OnDemand:
    """The function, with bounds: `seconds` for one retrieval, and `AT_ONCE` calls at a time."""

    def __init__(self, function: Function, seconds: float) -> None:
        self.seconds = seconds
        self._function = function
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def make(
        self, entry: DocumentEntry, staging: StagingFolder, *, most_bytes: int, deadline: float
    ) -> Made | None:
        """The document, or None when the function says that there is none.

        `deadline` is a time.monotonic(). Raises NotMade, and OSError when the disk does not take the bytes.
        """
        left = deadline - time.monotonic()
        if left <= 0 or not self._free.acquire(blocking=False):
            raise MadeTooLate
        outcome: Future[Made | None] = Future()
        # A thread of its own, as no other way ends the waiting; it is left behind when it does not come back.
        threading.Thread(
            target=self._run, args=(outcome, entry, staging, most_bytes), name="on-demand", daemon=True
        ).start()
        try:
            return outcome.result(left)
        except TimeoutError:
            if outcome.cancel():
                raise MadeTooLate from None
            return outcome.result()  # it came, or failed, at the last moment

    def _run(
        self, outcome: Future[Made | None], entry: DocumentEntry, staging: StagingFolder, most_bytes: int
    ) -> None:
        try:
            made = self._made(outcome, entry, staging, most_bytes)
        except BaseException as error:
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(error)
        else:
            # Nobody waits any longer after `cancel`: then the bytes are ours to remove.
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(made)
            elif made is not None:
                made.staged.discard()
        finally:
            self._free.release()

    def _made(
        self, outcome: Future[Made | None], entry: DocumentEntry, staging: StagingFolder, most_bytes: int
    ) -> Made | None:
        try:
            given = self._function(OnDemandRequest(entry))
        except BaseException as error:
            raise NotMade from error
        if given is None:
            return None
        if not isinstance(given, OnDemandDocument):
            raise NotMade from TypeError("the function must give an OnDemandDocument or None")
        mime_type = given.mime_type or entry.mime_type
        try:
            check_mime_type(mime_type)
        except DataTypeError as error:
            raise NotMade from error
        writer = staging.create()
        try:
            for piece in _pieces(given.content):
                if outcome.cancelled():
                    raise MadeTooLate
                if writer.size + len(piece) > most_bytes:
                    raise MadeTooMuch
                writer.write(piece)
            return Made(writer.finish(), mime_type, given.keep)
        except BaseException:
            writer.discard()
            raise


def _pieces(content: Any) -> Iterator[bytes]:
    """The content in pieces; whatever goes wrong in the function's own code is NotMade."""
    if isinstance(content, bytes):
        yield content
        return
    try:
        for piece in content:
            if not isinstance(piece, bytes):
                raise TypeError("the content must be bytes, or an iterator of bytes")
            yield piece
    except GeneratorExit:
        raise
    except BaseException as error:
        raise NotMade from error
    finally:
        with suppress(Exception):  # it has given what it had to give
            if close := getattr(content, "close", None):
                close()
