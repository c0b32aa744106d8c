"""W3C Trace Context: the id by which one request is known in every node that it goes through.

audit/trail.py reads it of a request, the gateway passes it on. It is kept with what was asked, so what is not
of the standard's form is no trace. A `Span` is what is measured of a request: nothing, unless otel.endpoint
is set and xds/tracing.py does it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

#: Version, trace-id, parent-id, flags; all zeros are no id (Trace Context level 1, 3.2.2).
_FORM: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read(traceparent: str) -> str:
    """The header's value, or nothing for what is none."""
    return traceparent if _FORM.fullmatch(traceparent) else ""


def new() -> str:
    """The traceparent of a request that came with none."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def onward(traceparent: str) -> str:
    """That of a call which is made for a request: of the same trace, with us as the parent (4.3)."""
    return f"00-{trace_id(traceparent)}-{secrets.token_hex(8)}-{traceparent[-2:]}"


def trace_id(traceparent: str) -> str:
    """What is the same in the whole chain: 32 hexadecimal digits."""
    return traceparent[3:35]


def _unseen(rule: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to another node: its traceparent, and who is told by which rule it failed; "" is success."""

    traceparent: str = ""
    ended: Callable[[str], None] = _unseen


class Span(Protocol):
    """Told of one request as it goes on: names, ids of ours and sizes, never a value of a message."""

    @property
    def traceparent(self) -> str:
        """Its own, or nothing when nobody collects spans."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """A part of the work, by one of a few names."""

    def call(self, community: str) -> Call:
        """A call that is made for the request; empty when nobody collects spans."""

    def end(self, transaction: str, outcome: str, **attributes: str | int) -> None:
        """The answer goes out."""


class Unmeasured:
    """The Span of a node that sends none."""

    __slots__ = ()
    traceparent: Final = ""
    _nothing: Final = nullcontext()

    def step(self, name: str) -> AbstractContextManager[None]:
        return self._nothing

    def call(self, community: str) -> Call:
        return Call()

    def end(self, transaction: str, outcome: str, **attributes: str | int) -> None:
        pass


_UNMEASURED: Final = Unmeasured()


def unmeasured(traceparent: str) -> Span:
    """No span, of any request."""
    return _UNMEASURED
