"""Reads attributes.txt: what the standard says of each attribute, as the tests know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Expected:
    """One line of attributes.txt."""

    prefix: str
    name: str
    coding: str
    key: str
    n: str
    use: tuple[str, ...]

    @property
    def many(self) -> bool:
        return self.n.endswith("*")


def _read() -> tuple[Expected, ...]:
    lines = (Path(__file__).parent / "attributes.txt").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line and not line.startswith("#")]
    return tuple(Expected(*row[:5], tuple(row[5].split())) for row in rows)


EXPECTED = _read()
