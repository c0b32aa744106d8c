"""What a FHIR body is sifted into while it arrives: the text that stays, and the documents taken out of it.

json_sieve.py and xml_sieve.py know where base64 begins and ends; body.py feeds them. A sieve never holds more
of a document than the piece at hand, and what it has staged is removed by `discard`.
"""

from __future__ import annotations

import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from xds.errors import Fault, FaultCode, sender
from xds.transport.limits import Limits
from xds.transport.mime import TooLarge, too_large
from xds.transport.staged import Staged, StagingFolder, Writer

#: What stands in a document's place begins with this; its number, from 0, follows.
STAGED: Final = "urn:xds:staged:"

#: Looks at a window from a position on, and says how far it has come.
Step = Callable[[bytes, int], int]


class Sieve(ABC):
    """Text that comes in pieces; `root` is what stays of it, `staged` what was taken out, by name.

    A subclass is a set of steps. A step must go on, name another `_step`, or put all that is left into
    `_held`: that is seen again with the next piece.
    """

    __slots__ = (
        "_base64",
        "_held",
        "_limits",
        "_most",
        "_padded",
        "_staging",
        "_step",
        "_writer",
        "root",
        "staged",
    )

    def __init__(self, limits: Limits, staging: StagingFolder, most: int) -> None:
        self.root = bytearray()
        self.staged: dict[str, Staged] = {}
        self._limits = limits
        self._staging = staging
        self._most = most
        self._writer: Writer | None = None
        self._base64 = b""  # what is no whole group of four yet
        self._padded = False
        self._held = b""
        self._step: Step = self._search

    @abstractmethod
    def _search(self, window: bytes, at: int) -> int:
        """The first step: look for the next document."""

    def feed(self, piece: bytes) -> None:
        """Sift the next piece. Raises Fault."""
        window = self._held + piece
        self._held = b""
        at = 0
        while at < len(window):
            at = self._step(window, at)

    def close(self) -> None:
        """There is no more. Raises Fault."""
        if self._writer is not None:
            raise sender(f"The body ends in the middle of {self._document}: it was cut short, send it again.")
        self._keep(self._held)

    def discard(self) -> None:
        """Remove every document, the unfinished one too."""
        if self._writer is not None:
            self._writer.discard()
        for staged in self.staged.values():
            staged.discard()

    def _keep(self, text: bytes) -> None:
        """`text` is no document's."""
        if len(self.root) + len(text) > self._limits.root_bytes:
            raise too_large("The body without its documents", "root_bytes", self._limits.root_bytes)
        self.root += text

    def _begin(self) -> None:
        """A document begins."""
        if len(self.staged) == self._most:
            raise self._too_many()
        self._base64, self._padded = b"", False
        self._writer = self._staging.create()

    def _take(self, text: bytes) -> None:
        """The next base64 of the document, in which no escape or white space is left."""
        text = self._base64 + text
        whole = len(text) & ~3
        self._base64 = text[whole:]
        if not whole:
            return
        # binascii's strict mode lets four signs of padding pass, and knows nothing of the pieces before.
        padding = text.find(b"=", 0, whole)
        if self._padded or (padding != -1 and text[padding:whole] not in (b"=", b"==")):
            raise self._invalid()
        self._padded = padding != -1
        try:
            data = binascii.a2b_base64(text[:whole], strict_mode=True)
        except (binascii.Error, ValueError):
            raise self._invalid() from None
        assert self._writer is not None
        if self._writer.size + len(data) > self._limits.document_bytes:
            raise too_large("A document", "document_bytes", self._limits.document_bytes)
        self._writer.write(data)

    def _end(self) -> None:
        """The document is complete: its name goes where it stood."""
        if self._base64:
            raise self._invalid()
        assert self._writer is not None
        name = f"{STAGED}{len(self.staged)}"
        self.staged[name] = self._writer.finish()
        self._writer = None
        self._keep(name.encode())

    @property
    def _document(self) -> str:
        return f"`data` number {len(self.staged) + 1} (counted from 1, from the start of the body)"

    def _invalid(self) -> Fault:
        return sender(
            f"The text of {self._document} is not base64: "
            "send the alphabet with + and /, padded with = to a multiple of four (RFC 4648, section 4)."
        )

    def _too_many(self) -> Fault:
        return TooLarge(
            FaultCode.SENDER,
            f"The body has more documents than limits.parts ({self._limits.parts}): "
            "send fewer in one message, or have the limit raised.",
        )
