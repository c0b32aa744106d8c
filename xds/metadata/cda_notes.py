"""What is said of a CDA header while it is read: what makes it unusable, and what was assumed or left out.

cda.py and cda_people.py write it; whoever asked for the metadata reads it. Both kinds are fixed sentences:
nothing here may hold a value of the document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from xds.errors import DataTypeError

#: The greatest length of one value of metadata, in characters (ebRIM 3.0).
VALUE_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """What is missing or wrong, and where: names of elements, as in `ClinicalDocument/recordTarget`."""

    location: str
    sentence: str


@dataclass(slots=True)
class Notes:
    """The findings and the remarks about one header, in order."""

    findings: list[Finding] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)

    def find(self, path: str, sentence: str) -> None:
        """Say what is wrong at `path`, which begins below the root."""
        self.findings.append(Finding(f"ClinicalDocument/{path}", sentence))

    def remark(self, sentence: str) -> None:
        """Say, once, what was assumed or left out."""
        self.remarks[sentence] = None

    def value(self, what: str, value: object, check: Callable[[str], object]) -> str:
        """The text of a value that need not be there; empty, and a remark, when metadata cannot hold it."""
        written = str(value)
        if holds(written, check):
            return written
        self.remark(f"{what} was left out: its form or its length does not fit document metadata.")
        return ""


def holds(written: str, check: Callable[[str], object]) -> bool:
    """Whether metadata can hold the text: it follows its data type and is not too long."""
    try:
        check(written)
    except DataTypeError:
        return False
    return len(written) <= VALUE_LENGTH
