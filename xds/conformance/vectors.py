"""Ticket vectors as cases: a set that conformance/vectors/tickets/generate.py has made, read by its index.

commands.py adds them with `--vectors`. What is good has to be let in, what is hostile refused; with which
code is the endpoint's own, as the standards do not say (README of the set).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from xds.conformance.cases import Case, Step
from xds.errors import XdsError

_WHY_GOOD: Final = "Who has a good ticket, and is not let in, cannot help the patient."
_WHY_HOSTILE: Final = "Whoever sends this would read the records of anybody."
_SECTIONS: Final = {
    "saml": "ITI TF-2 3.40.4.1.2; norwegian-profile 4.5",
    "jwt": "RFC 9449; norwegian-profile 4.10, 4.13",
}


def read(folder: Path) -> list[Case]:
    """The cases of a set; tokens first, as their proofs are good for seconds. Raises XdsError."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        entries = sorted(index["vectors"], key=lambda each: str(each["kind"]))
        return [_case(folder, index, each) for each in entries]
    except (OSError, ValueError, KeyError, TypeError):
        raise XdsError(f"{folder} has no set of ticket vectors: make one with generate.py") from None


def _case(folder: Path, index: Mapping[str, Any], entry: Mapping[str, Any]) -> Case:
    good = entry["expected"] == "accepted"
    data = (folder / entry["file"]).read_bytes()
    if entry["kind"] == "saml":
        says: dict[str, Any] = {"at": "registry", "method": "POST", "path": "", "bytes": data,
                                "headers": {"Content-Type": entry["content_type"]}}  # fmt: skip
        let_in: dict[str, Any] = {"http": 200, "answer": "AdhocQueryResponse"}
        refused: dict[str, Any] = {"refused": True}
    else:
        path = entry["url"].removeprefix(index["base_url"]).removeprefix("/fhir")
        headers = {"Authorization": f"{entry['scheme']} {data.decode('ascii').strip()}"}
        if "proof" in entry:
            headers["DPoP"] = (folder / entry["proof"]).read_text(encoding="ascii").strip()
        says = {"at": "fhir", "method": entry["method"], "path": path, "bytes": b"", "headers": headers}
        let_in, refused = {"let_in": True}, {"http": [400, 401, 403]}
    steps = [Step("vector", says, let_in, {})] * (entry["sends"] - 1)
    return Case(
        id=f"ticket-{entry['kind']}-{entry['name']}",
        title=f"{'Let in' if good else 'Refused'}: {entry['what']}",
        why=_WHY_GOOD if good else _WHY_HOSTILE,
        section=_SECTIONS[entry["kind"]],
        rule="" if good else f"{entry['expected']} (docs/tickets.md)",
        actor="X-Service Provider",
        profiles=("xua",),
        needs=frozenset(),
        steps=(*steps, Step("vector", says, let_in if good else refused, {})),
        file=str(folder),
    )
