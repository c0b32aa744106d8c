"""One message judged: what it is, and everything that is wrong with it.

The command and the page call `judge` with the bytes as they were saved. It raises nothing, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from xds.errors import Fault
from xds.metadata.validation import MOST
from xds.transport.mime import too_large
from xds.validate import fhir, soap, tickets, wire
from xds.validate.desk import Settings
from xds.validate.findings import Finding, Severity, note, of_fault
from xds.validate.kinds import KINDS, recognise
from xds.validate.wire import Saved

_Judge = Callable[[Saved, Settings], tuple[str, list[Finding]]]
#: Kind -> who judges it; the same kinds as KINDS.
JUDGES: Final[Mapping[str, _Judge]] = {
    "soap": soap.judge,
    "ebrim": soap.judge_bare,
    "fhir": fhir.judge,
    "saml": tickets.judge_saml,
    "token": tickets.judge_token,
    "proof": tickets.judge_proof,
    "cda": fhir.judge_cda,
    "hl7v2": fhir.judge_hl7v2,
}


@dataclass(frozen=True, slots=True)
class Report:
    """What was judged, by its name; what it is, by its kind (none: unknown) and in words; what was found."""

    name: str
    kind: str
    what: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """As the command exits: 0 valid, 1 with an error in it, 2 unknown."""
        if not self.kind:
            return 2
        return int(any(each.severity is Severity.ERROR for each in self.findings))


def judge(name: str, data: bytes, settings: Settings) -> Report:
    """The report about one message."""
    if len(data) > settings.limits.total_bytes:
        fault = too_large("The message", "total_bytes", settings.limits.total_bytes)
        return Report(name, settings.kind or "soap", "a message", (of_fault(fault),))
    saved = wire.taken_apart(data)
    seen = recognise(saved)
    kind = settings.kind or seen.kind
    if not kind and _says_nothing(saved):
        return Report(name, "http", "an HTTP message without a body that could be judged", ())
    if not kind:
        known = "; ".join(f"{each}: {words}" for each, words in KINDS.items())
        what = f"It looks like {seen.looks}. Known are {known}. --kind says which it is."
        return Report(name, "", what, ())
    try:
        what, found = JUDGES[kind](saved, settings)
    except Fault as fault:
        what, found = KINDS[kind], [of_fault(fault)]
    if sum(each.severity is Severity.ERROR for each in found) >= MOST:
        found.append(note(f"After {MOST:,} errors of metadata no more is looked for: there may be more."))
    order = {severity: number for number, severity in enumerate(Severity)}
    return Report(name, kind, what, tuple(sorted(found, key=lambda each: order[each.severity])))


def _says_nothing(saved: Saved) -> bool:
    """A search over FHIR, or an answer that is for people's eyes: nothing is wrong with it."""
    is_text = bool(saved.status) and saved.content_type.startswith("text/plain")
    return bool(saved.method or saved.status) and (is_text or not saved.body.strip())
