"""The oracle of the access log: every way in which one AuditEvent is wrong.

Tests of the access log call `problems` on each event that the node wrote, and expect an empty list. It is
made from the standards alone and takes nothing from the code under test, neither constants nor functions: the
one must not excuse the other. Rules come from five modules, each saying where a rule is written: `r4` (FHIR
itself), `norwegian` (the trust framework), `ihe` (transactions), `balp` (tickets and tokens), `house` (our
own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.audit import balp, house, ihe, norwegian, r4
from tests.audit.reading import found

__all__ = ["problems"]


def problems(event: Mapping[str, Any], *, must_claim: bool = False) -> list[str]:
    """What is wrong with an event, each as `where: what [source]`; nothing if it is right.

    With `must_claim` it must claim the Norwegian profile: a person of health personnel, with all that the
    profile asks for, acted on a patient. An event cannot tell what was known when it was written; a test can.
    """
    return [
        *r4.schema_problems(event),
        *found(r4.CHECKS, event),
        *norwegian.problems(event, must_claim=must_claim),
        *ihe.problems(event),
        *balp.problems(event),
        *house.problems(event),
    ]
