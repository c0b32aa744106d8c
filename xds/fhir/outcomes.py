"""OperationOutcome: what a FHIR client reads when it does not get what it asked for (FHIR R4).

Every error answer under /fhir is written here. It holds fixed sentences and a reference number, never a value
from the request.
"""

from __future__ import annotations

import json
from typing import Final

MEDIA_TYPE: Final = "application/fhir+json; charset=utf-8"


def outcome(code: str, text: str, reference: str) -> bytes:
    """One error issue; `code` is of http://hl7.org/fhir/issue-type."""
    issue = {"severity": "error", "code": code, "diagnostics": f"{text} (reference {reference})"}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}, ensure_ascii=False).encode()
