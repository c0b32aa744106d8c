"""How much one message may ask of this node.

Every reader of the transport takes one `Limits` value; the settings of the node fill it (`limits.root_bytes`
and so on). A limit is a bound on memory, disk or time and never depends on what the message says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one message; sizes in bytes, times in seconds."""

    #: The XML of the message, which is held in memory.
    root_bytes: int = 16 * 1024 * 1024
    #: One document: a MIME part, or base64 text after decoding.
    document_bytes: int = 100_000_000
    #: The whole request body.
    total_bytes: int = 2_000_000_000
    #: MIME parts of one message, the XML included.
    parts: int = 1000
    #: The header lines of one MIME part, and the text before the first part.
    part_header_bytes: int = 16 * 1024
    #: The whole request must have arrived within this time.
    seconds: float = 300
    #: The longest silence of a sender in a request, or of a receiver in an answer.
    idle_seconds: float = 60
