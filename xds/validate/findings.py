"""What is found: one thing that is wrong each, in the words and under the ids of the node's rules.

The checks make findings of what the node's own code raises, and report.py writes them. A finding must never
hold a value of the message, but for ids of objects, as the node's answers do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xds.errors import Denied, Fault, RegistryError
from xds.fhir import rules as fhir
from xds.fhir.outcomes import Issue
from xds.gateway import rules as gateway
from xds.metadata import code_rules, update_rules
from xds.metadata import rules as metadata
from xds.metadata.rules import Rule
from xds.registry import rules as registry
from xds.registry import update_rules as registry_updates
from xds.security.denials import DENIALS, Wss
from xds.transactions import rules as transactions


class Severity(StrEnum):
    """How bad it is: the node refuses errors, tells warnings, and says nothing of the rest."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. `rule` is an id of docs/errors.md or docs/tickets.md; of a SOAP fault `fault`, of what
    is not R4 `r4`.

    `code` is what the standard calls it: errorCode, fault code or issue-type. `location` is as the node tells
    it: object and attribute, XPath or FHIRPath; `line` is 0 where none is known. `source` is the section of
    the standard, and `remedy` a sentence that says what to do.
    """

    severity: Severity
    rule: str
    code: str
    location: str
    remedy: str
    source: str = ""
    line: int = 0


_ALL: Final[Mapping[str, Rule]] = {
    rule_id: rule
    for table in (
        metadata.RULES,
        update_rules.RULES,
        code_rules.RULES,
        transactions.RULES,
        registry.RULES,
        registry_updates.RULES,
        gateway.RULES,
        fhir.RULES,
    )
    for rule_id, rule in table.items()
}


def of_errors(
    errors: Iterable[RegistryError | Issue], lines: Mapping[str, int] | None = None
) -> list[Finding]:
    """The findings of errors of XDS and of issues of R4; `lines` are those of objects, by their ids."""
    return [_of_issue(each) if isinstance(each, Issue) else _of_error(each, lines or {}) for each in errors]


def _of_error(error: RegistryError, lines: Mapping[str, int]) -> Finding:
    rule = _ALL.get(error.rule)
    line = lines.get(error.location, 0) or lines.get(error.location.partition("/")[0], 0)
    severity = Severity.WARNING if error.warning else Severity.ERROR
    source = rule.source if rule else ""
    return Finding(severity, error.rule, error.code, error.location, error.context, source, line)


def _of_issue(issue: Issue) -> Finding:
    severity = Severity(issue.severity) if issue.severity != "fatal" else Severity.ERROR
    return Finding(severity, "r4", issue.code, issue.expression, issue.text, "FHIR R4")


def of_fault(fault: Fault) -> Finding:
    """The finding of what the node answers with a SOAP fault, or with HTTP 400 over FHIR."""
    code = fault.subcode[1] if fault.subcode else str(fault.code)
    return Finding(Severity.ERROR, "fault", code, "", fault.reason, "SOAP 1.2 part 1, 5.4")


def of_denial(denial: Denied, location: str = "") -> Finding:
    """The finding of a ticket that is refused, with the reason that a sender is never told."""
    found = DENIALS[denial.rule]
    code = found.code.qname if isinstance(found.code, Wss) else str(found.code)
    return Finding(Severity.ERROR, denial.rule, code, location, found.sentence, "docs/tickets.md")


def note(text: str, location: str = "") -> Finding:
    """What is worth to know, and wrong with nothing."""
    return Finding(Severity.INFORMATION, "", "", location, text)
