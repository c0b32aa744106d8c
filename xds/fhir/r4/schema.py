"""R4's JSON schema, tightened, and its validator: both made when they are first needed and then kept.

`validation.py` judges and tells errors by them; `rules.py` takes the names of all types of resource. The
validator may be called by many threads, but never with what is nested deeper than its stack: see
validation.py.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

_making = threading.Lock()


@cache
def _document() -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text())
    return document


@cache
def _validator() -> jsonschema_rs.Validator:
    # This engine's time is linear in the text, whatever the text is; the patterns are written for it. The
    # mask keeps what was sent out of the messages, which nobody reads, and so the messages small.
    return jsonschema_rs.validator_for(
        dict(_document()), pattern_options=jsonschema_rs.RegexOptions(), mask="it", validate_formats=False
    )


def document() -> Mapping[str, Any]:
    """The schema itself, made by tests/fhir/make_r4.py."""
    with _making:
        return _document()


def validator() -> jsonschema_rs.Validator:
    """Judges any resource of the types that elements.RESOURCES names."""
    with _making:
        return _validator()


@cache
def resource_types() -> frozenset[str]:
    """The names of all types of resource of R4, also of those that are not read here."""
    return frozenset(document()["definitions"]["resource-types"]["enum"])
