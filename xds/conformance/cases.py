"""The cases: what a TOML file of `cases/` says, read and checked once.

`read` gives them in order. A key that nobody reads, or a name in braces that nothing gives a value, is a
CaseError that names the case: a check that is spelt wrong would otherwise pass for ever.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from xds.conformance import words
from xds.errors import XdsError

FOLDER: Final = Path(__file__).parent / "cases"

#: Profile -> what it is about, in the order in which they are listed.
PROFILES: Final[Mapping[str, str]] = {
    "soap": "SOAP 1.2, WS-Addressing, MIME and MTOM, at any endpoint",
    "ihe-registry": "Document Registry: ITI-18, ITI-42, life cycle, folders",
    "ihe-repository": "Document Repository: ITI-41, ITI-43",
    "ihe-on-demand": "On-demand documents: ITI-61",
    "ihe-multi-patient": "Multi-Patient Query: ITI-51",
    "ihe-update-removal": "Metadata update and removal: ITI-57, ITI-92, ITI-62, ITI-86",
    "ihe-responding-gateway": "Responding Gateway: ITI-38, ITI-39, ITI-80",
    "ihe-initiating-gateway": "Initiating Gateway: ITI-18 and ITI-43 on it",
    "ihe-patient-feed": "Patient identity feed: ITI-44",
    "mhd": "MHD Document Recipient and Responder: ITI-65, 66, 67, 68",
    "xua": "XUA and access tokens: who is let in",
    "audit": "Access log: what was done is on record (ITI-81)",
    "norwegian-source": "Norwegian profile: what a source may send",
    "norwegian-registry": "Norwegian profile: who sees what",
}
#: What an endpoint may have and a case may need, and how to say so.
NEEDS: Final[Mapping[str, str]] = {
    "plain": "no tickets are checked, or the one that is sent may do everything (--administrator)",
    "tickets": "tickets of the sample service (--keys)",
    "on-demand": "documents are made on demand (--offers on-demand)",
    "simplified-publish": "the Simplified Publish Option of MHD (--offers simplified-publish)",
    "many-patients": "a ticket for one patient alone does not do (plain)",
    "national-patients": "patients with national numbers",
    "log": "an access log that this caller may read (--offers log)",
}
_CASE: Final = frozenset(
    {"id", "title", "why", "section", "rule", "actor", "profiles", "needs", "step", "for", "defaults"}
)
_REQUIRED: Final = ("id", "title", "why", "section", "actor", "profiles", "step")
_ACTORS: Final = frozenset(
    {
        "Document Registry", "Document Repository", "Responding Gateway", "Initiating Gateway",
        "Update Responder", "Document Recipient", "Document Responder", "X-Service Provider",
        "Audit Record Repository", "any SOAP endpoint",
    }
)  # fmt: skip
#: `{name}`, `{name.part}` or `{kind:name}`.
NAME: Final = re.compile(r"\{([a-zA-Z][\w-]*(?:[.:][\w.-]+)?)\}")
#: Kinds of `{kind:name}`: each name has one value in a case, made when it is first used.
KINDS: Final = frozenset({"oid", "uuid", "bare", "content", "sha1", "size", "base64"})
#: Given by the runner.
GIVEN: Final = frozenset(
    {"patient", "patient2", "patient.number", "patient.system", "patient2.number", "patient2.system",
     "home", "repository", "today", "message", "patient.root", "registry.url", "repository.url",
     "responding.url", "initiating.url", "fhir.url", "patient.quoted"}
)  # fmt: skip


class CaseError(XdsError):
    """A case says something that cannot be read."""


@dataclass(frozen=True)
class Step:
    """One request, what is expected of its answer, and what later steps take from it."""

    send: str
    says: Mapping[str, Any]
    expect: Mapping[str, Any]
    bind: Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """One case; `needs` are keys of NEEDS, `profiles` of PROFILES."""

    id: str
    title: str
    why: str
    section: str
    rule: str
    actor: str
    profiles: tuple[str, ...]
    needs: frozenset[str]
    steps: tuple[Step, ...]
    file: str = ""

    def names(self) -> set[str]:
        """The names in braces anywhere in its steps."""
        return set(_names([[each.says, each.expect, each.bind] for each in self.steps]))


def read(folder: Path = FOLDER) -> list[Case]:
    """Every case of a folder's *.toml, in order of files and places. Raises CaseError."""
    found: list[Case] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CaseError(f"{path.name} is no TOML: {error}") from None
        except OSError as error:
            raise CaseError(f"{path.name} cannot be read: {error.strerror}") from None
        defaults = tables.get("defaults", {})
        for table in tables.get("case", []):
            for each in _expanded({**defaults, **table}):
                found.append(case(each, path.name))
    twice = {each.id for each in found if sum(other.id == each.id for other in found) > 1}
    if twice:
        raise CaseError(f"more than one case is called {', '.join(sorted(twice))}")
    return found


def _expanded(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A case with `for` is one for each row of it: `<name>` stands for the row's value."""
    rows = table.pop("for", None)
    if rows is None:
        yield table
        return
    for row in rows:
        yield _filled(copy.deepcopy(table), row)


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {_filled(key, row): _filled(each, row) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, row) for each in value]
    if isinstance(value, str):
        whole = re.fullmatch(r"<([\w-]+)>", value)
        if whole and whole[1] in row:
            return row[whole[1]]
        return re.sub(r"<([\w-]+)>", lambda m: str(row[m[1]]) if m[1] in row else m[0], value)
    return value


def case(table: Mapping[str, Any], file: str = "") -> Case:
    """A case of one table. Raises CaseError."""
    name = str(table.get("id", f"a case of {file}"))

    def wrong(text: str) -> CaseError:
        return CaseError(f"{file}: {name}: {text}")

    if strange := set(table) - _CASE:
        raise wrong(f"there is no key {', '.join(sorted(strange))}")
    if missing := [key for key in _REQUIRED if not table.get(key)]:
        raise wrong(f"{', '.join(missing)} is missing")
    if table["actor"] not in _ACTORS:
        raise wrong(f"there is no actor {table['actor']}")
    if strange := set(table["profiles"]) - set(PROFILES):
        raise wrong(f"there is no profile {', '.join(sorted(strange))}")
    if strange := set(table.get("needs", ())) - set(NEEDS):
        raise wrong(f"there is no need {', '.join(sorted(strange))}")
    bound: set[str] = set()
    steps = []
    for number, raw in enumerate(table["step"], start=1):
        # A step that a row of `for` has as a whole stands under `row`.
        says = dict(raw.get("row", raw))
        send, expect, bind = str(says.pop("send", "")), says.pop("expect", {}), says.pop("bind", {})
        if send not in words.SENDS:
            raise wrong(f"step {number}: send is one of {', '.join(words.SENDS)}")
        if strange := set(says) - words.SENDS[send]:
            raise wrong(f"step {number}: {send} has no {', '.join(sorted(strange))}")
        for part, known in words.PARTS.items():
            each = says.get(part, [])
            if strange := {key for of in ([each] if part == "set" else each) for key in of} - known:
                raise wrong(f"step {number}: {part} have no {', '.join(sorted(strange))}")
        if strange := set(expect) - words.EXPECTATIONS:
            raise wrong(f"step {number}: there is no expectation {', '.join(sorted(strange))}")
        for used in _names([says, bind]):
            if not _is_known(used, bound):
                raise wrong(f"step {number}: nothing gives {{{used}}} a value")
        bound |= set(bind)
        for used in _names(expect):
            if not _is_known(used, bound):
                raise wrong(f"step {number}: nothing gives {{{used}}} a value")
        steps.append(Step(send, says, expect, bind))
    if not steps[-1].expect:
        raise wrong("the last step expects nothing")
    return Case(
        id=name,
        title=table["title"],
        why=table["why"],
        section=table["section"],
        rule=table.get("rule", ""),
        actor=table["actor"],
        profiles=tuple(table["profiles"]),
        needs=frozenset(table.get("needs", ())),
        steps=tuple(steps),
        file=file,
    )


def _is_known(name: str, bound: set[str]) -> bool:
    kind, colon, _ = name.partition(":")
    return (colon and kind in KINDS) or name in GIVEN or name in bound or name in words.CONSTANTS


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from NAME.findall(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _names(key)
            yield from _names(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _names(each)
