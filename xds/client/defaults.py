"""What the command line assumes when it is not told: Norwegian codes and MIME types, as tables.

Only `commands` reads it, and the demo. A record system states its codes itself, so the Python API assumes
none of the codes that say what a document is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds.client.submission import MIME_TYPE_SUFFICIENT, NORMAL
from xds.metadata.model import Code

#: Extension -> MIME type: those that Norwegian consumers show (they take CDA as text/xml).
MIME_TYPES: Final[Mapping[str, str]] = {
    ".pdf": "application/pdf",
    ".xml": "text/xml",
    ".txt": "text/plain",
    ".rtf": "text/rtf",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}

DOCUMENT_TYPES: Final = "2.16.578.1.12.4.1.1.9602"


@dataclass(frozen=True, slots=True)
class Coded:
    """An option of `xds submit` that takes a code: the field it fills, the code and scheme assumed."""

    option: str
    field: str
    code: Code
    purpose: str


CODES: Final = (
    Coded("--type-code", "type_code", Code("B02-2", DOCUMENT_TYPES, "Journalnotat"), "what it is"),
    Coded(
        "--practice-setting",
        "practice_setting_code",
        Code("S01", "2.16.578.1.12.4.1.1.8655", "Allmennmedisin"),
        "the field of health care",
    ),
    Coded(
        "--facility-type",
        "healthcare_facility_type_code",
        Code("86.211", "2.16.578.1.12.4.1.1.1303", "Allmenn legetjeneste"),
        "the kind of institution",
    ),
    Coded("--format-code", "format_code", MIME_TYPE_SUFFICIENT, "the technical format"),
    Coded("--confidentiality", "confidentiality_codes", NORMAL, "how confidential; may be repeated"),
)

#: The groups of document types (level 1); the letter of a type code (level 2) says in which it is.
GROUPS: Final[Mapping[str, str]] = {
    "A": "Epikriser og sammenfatninger",
    "B": "Kontinuerlig/løpende journal",
    "C": "Prøvesvar, vev og væsker",
    "D": "Organfunksjon",
    "E": "Bildediagnostikk",
    "F": "Kurve, observasjon og behandling",
    "I": "Korrespondanse",
    "J": "Attester, melding og erklæringer",
    "S": "Test og scoring",
}


def class_code(type_code: Code) -> Code | None:
    """The group of a Norwegian document type; None for a type of another code system."""
    letter = type_code.code[:1]
    if type_code.scheme != DOCUMENT_TYPES or letter not in GROUPS:
        return None
    return Code(f"{letter}00-1", DOCUMENT_TYPES, GROUPS[letter])
