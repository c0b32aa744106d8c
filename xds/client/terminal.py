"""What the command line shows: tables and JSON on standard output, progress on standard error.

Text from elsewhere (titles, names) is shown without its control characters, which could drive the terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
#: Seconds before a transfer is long enough to show, and between two updates.
_DELAY: Final = 0.5
_INTERVAL: Final = 0.1
_WIDTH: Final = 30


def printable(text: str) -> str:
    """The text with every control character as a blank."""
    return "".join([c if c.isprintable() else " " for c in text])


def size(octets: int | None) -> str:
    """`1.5 MB`; decimal units, as disks and networks are measured."""
    if octets is None:
        return ""
    number = float(octets)
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{octets} B" if unit == "B" else f"{number:.1f} {unit}"


def moment(dtm: str | None) -> str:
    """A DTM as `2026-03-11 09:45`, as precise as it is, in UTC as it is."""
    text = dtm or ""
    day = "-".join(filter(None, (text[:4], text[4:6], text[6:8])))
    return f"{day} {text[8:10]}:{text[10:12] or '00'}" if len(text) >= 10 else day


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under their heads, as wide as they must be."""
    lines = [tuple(head), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_json(value: Any) -> None:
    """One JSON value on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


class Progress:
    """A bar on standard error for a transfer that takes a while; nothing when that is not a terminal.

    Give the instance to the client as its callback and leave the `with` block to clear the line.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._begun = time.monotonic()
        self._shown = 0.0
        self._enabled = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, count: int, total: int | None) -> None:
        """`count` bytes of `total`, or of nobody knows how many, have passed."""
        now = time.monotonic()
        elapsed = now - self._begun
        if not self._enabled or elapsed < _DELAY or now - self._shown < _INTERVAL:
            return
        self._shown = now
        speed = f"{size(int(count / elapsed))}/s"
        if total:
            filled = _WIDTH * count // total
            bar = "#" * filled + "." * (_WIDTH - filled)
            text = (
                f"{self._label} [{bar}] {100 * count // total:3d} %  {size(count)} of {size(total)}  {speed}"
            )
        else:
            text = f"{self._label} {size(count)}  {speed}"
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()
