"""W3C Trace Context: the id by which one request is known in every node that it goes through.

audit/trail.py reads it of a request, the gateway passes it on. It is kept with what was asked, so what is not
of the standard's form is no trace.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

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
