"""Documents and patients for the client's tests; nobody has these numbers."""

from __future__ import annotations

from itertools import count
from typing import Any

from xds.client import Code, Document
from xds.metadata.national import NATIONAL, with_control_digits

SOURCE_ID = "2.16.578.1.12.4.5.480.1.2"
DOCUMENT_TYPES = "2.16.578.1.12.4.1.1.9602"
LETTER = Code("A03-2", DOCUMENT_TYPES, "Epikrise")
NOTE = Code("B02-2", DOCUMENT_TYPES, "Journalnotat")
#: The class of each type.
CLASSES = {
    LETTER: Code("A00-1", DOCUMENT_TYPES, "Epikriser og sammenfatninger"),
    NOTE: Code("B00-1", DOCUMENT_TYPES, "Kontinuerlig/løpende journal"),
}

_numbers = count()


def document(content: Any = b"Frisk.", **changes: Any) -> Document:
    """A discharge letter as text; the class is that of the type."""
    type_code = changes.get("type_code", LETTER)
    values: dict[str, Any] = {
        "mime_type": "text/plain",
        "class_code": CLASSES[type_code],
        "type_code": type_code,
        "practice_setting_code": Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
        "healthcare_facility_type_code": Code("86.101", "2.16.578.1.12.4.1.1.1303", "Sykehus"),
        "title": "Epikrise",
    }
    return Document(content=content, **(values | changes))


def new_number() -> str:
    """A synthetic number (month + 80) that no other test of this process has."""
    while True:
        n = next(_numbers)
        if number := with_control_digits(f"{n % 28 + 1:02d}8{n // 28 % 9 + 1}55{n // 252:03d}"):
            return number


def new_patient() -> str:
    """The patient id of such a number."""
    return f"{new_number()}^^^&{NATIONAL}&ISO"
