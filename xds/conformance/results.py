"""Results for other programs: JSON, and JUnit's XML for whatever shows test results.

commands.py writes them. Neither holds messages; sentences and addresses, which may quote one, hold no ticket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from xds.conformance import redact
from xds.conformance.messages import quoteattr
from xds.conformance.runner import Outcome, Result
from xds.transport.xml import escape

#: What XML 1.0 has no way to write.
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(
    results: Sequence[Result],
    facts: Mapping[str, str],
    secrets: Collection[str] = (),
    remarks: Sequence[str] = (),
) -> str:
    """`{"facts", "remarks", "numbers", "results": [{"id", "outcome", "reason", …}]}`."""
    listed = [
        {
            "id": each.case.id,
            "title": each.case.title,
            "outcome": each.outcome,
            "reason": each.reason,
            "why": each.case.why,
            "section": each.case.section,
            "rule": each.case.rule,
            "actor": each.case.actor,
            "profiles": list(each.case.profiles),
            "seconds": round(each.seconds, 3),
            "steps": [
                {
                    "sent": step.title,
                    "url": redact.url(step.request.url, secrets),
                    "http": step.answer.status if step.answer else None,
                    "failures": list(step.failures),
                }
                for step in each.exchanges
            ],
        }
        for each in results
    ]
    numbers = {state: sum(each.outcome is state for each in results) for state in Outcome}
    made = {"facts": dict(facts), "remarks": list(remarks), "numbers": numbers, "results": listed}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def as_junit(results: Sequence[Result]) -> str:
    """One testsuite with a testcase for each case; `classname` is its first profile."""
    cases = ""
    for each in results:
        inner = ""
        if each.outcome is Outcome.FAILED:
            told = "\n".join(text for step in each.exchanges for text in step.failures)
            told += f"\n\nWhy it matters: {each.case.why}\nSection: {each.case.section}\n"
            inner = f"<failure message={quoteattr(_clean(each.reason))}>{escape(_clean(told))}</failure>"
        elif each.outcome is Outcome.SKIPPED:
            inner = f"<skipped message={quoteattr(_clean(each.reason))}/>"
        name = f"{each.case.id}: {each.case.title}"
        cases += (
            f'<testcase classname="{each.case.profiles[0]}" name={quoteattr(_clean(name))} '
            f'time="{each.seconds:.3f}">'
            f"{inner}</testcase>\n"
        )
    failed = sum(each.outcome is Outcome.FAILED for each in results)
    skipped = sum(each.outcome is Outcome.SKIPPED for each in results)
    seconds = sum(each.seconds for each in results)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites><testsuite name="xds conformance" tests="{len(results)}" failures="{failed}" '
        f'errors="0" '
        f'skipped="{skipped}" time="{seconds:.3f}">\n{cases}</testsuite></testsuites>\n'
    )


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
