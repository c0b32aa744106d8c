"""A report as text, JSON or HTML: the same in each. Whatever comes from a message is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from xds.client.terminal import printable
from xds.validate.findings import Finding, Severity
from xds.validate.judging import Report

_WORDS: Final = {0: "valid", 1: "not valid", 2: "not known"}
STYLE: Final = (
    "body{font:1rem/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #767676;padding:.3rem .5rem;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}textarea{width:100%;min-height:16rem}"
    ".error{background:#fde8e8}.warning{background:#fff6d6}"
)
#: The source of STYLE for a Content-Security-Policy.
STYLE_HASH: Final = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"


def as_text(report: Report) -> str:
    """For a terminal."""
    lines = [f"{report.name}: {report.what}: {_WORDS[report.status]}"]
    for each in report.findings:
        place = f" {each.location}" if each.location else ""
        line = f" (line {each.line})" if each.line else ""
        label = " ".join(filter(None, (each.rule and f"[{each.rule}]", each.code)))
        lines.append(f"  {each.severity}{place}{line} {label}".rstrip())
        lines.append(f"    {each.remedy}" + (f" ({each.source})" if each.source else ""))
    return "\n".join(map(printable, lines))


def as_json(report: Report) -> dict[str, Any]:
    """For programs; empty members are left out of findings."""
    return {
        "name": report.name,
        "kind": report.kind,
        "what": report.what,
        "valid": report.status == 0,
        "findings": [
            {name: value for name, value in _members(each).items() if value} for each in report.findings
        ],
    }


def _members(finding: Finding) -> dict[str, Any]:
    return {
        "severity": str(finding.severity),
        "rule": finding.rule,
        "code": finding.code,
        "location": finding.location,
        "line": finding.line,
        "remedy": finding.remedy,
        "source": finding.source,
    }


def as_html(reports: Sequence[Report]) -> str:
    """A page by itself."""
    return page("Validation", "".join(map(section, reports)))


def page(title: str, content: str) -> str:
    """A whole HTML page around its content, which is HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>\n"
    )


def section(report: Report) -> str:
    """One report, under a heading of its own."""
    head = f"<h2>{escape(report.name)}: {_WORDS[report.status]}</h2><p>{escape(report.what)}</p>"
    if not report.findings:
        return f"<section>{head}</section>"
    rows = "".join(
        f'<tr class="{each.severity}">'
        + "".join(
            f"<td>{escape(str(cell))}</td>"
            for cell in (
                each.severity,
                " ".join(filter(None, (each.rule, each.code))),
                each.location + (f" (line {each.line})" if each.line else ""),
                each.remedy,
                each.source,
            )
        )
        + "</tr>"
        for each in report.findings
    )
    names = ("Severity", "Rule", "Location", "Remedy", "Source")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    errors = sum(each.severity is Severity.ERROR for each in report.findings)
    return (
        f"<section>{head}<table><caption>{errors} errors, {len(report.findings)} findings in all</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )
