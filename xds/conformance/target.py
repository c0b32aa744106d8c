"""The endpoint under test: its addresses, its ids, its tickets; and the values that a case's names have.

runner.py makes a `Target` once and a `Names` for each case. Nothing of a person who may exist goes out:
patients are synthetic, unless the tester names one.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from xds.conformance import people, words
from xds.conformance.cases import NAME
from xds.demo.tickets import TicketService
from xds.errors import XdsError
from xds.metadata import national

WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"


class Skipped(XdsError):
    """The case cannot be run here, and why."""


class Tickets:
    """Security tickets for the requests: of the sample service, out of files, or none.

    `keys` is the folder of the sample service; `ticket` a file with a SAML assertion, `token` one with an
    access token, each for every request. Raises XdsError for a file that cannot be read.
    """

    def __init__(
        self, keys: Path | None = None, ticket: Path | None = None, token: Path | None = None
    ) -> None:
        self._service = TicketService(keys) if keys else None
        self._ticket = _text(ticket)
        self._token = _text(token)
        #: Everything secret that was sent, for the report to take out.
        self.secrets: set[str] = {each for each in (self._ticket, self._token) if each}
        self._known: dict[tuple[str, ...], str] = {}

    @property
    def are_sampled(self) -> bool:
        """Whether tickets of every kind can be had."""
        return self._service is not None

    @property
    def are_used(self) -> bool:
        """Whether requests carry tickets at all."""
        return bool(self._service or self._ticket or self._token)

    def security(self, kind: str, patient: str) -> str:
        """The WS-Security header for a SOAP request, or nothing."""
        assertion = "" if kind == "none" else self._ticket or self._saml(kind, patient)
        if not assertion:
            return ""
        return f'<wsse:Security xmlns:wsse="{WSSE}" s:mustUnderstand="1">{assertion}</wsse:Security>'

    def headers(self, kind: str, patient: str, method: str, url: str) -> dict[str, str]:
        """The header fields for an HTTP request, which says too whom it is about."""
        if kind == "none":
            return {}
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        if self._service is None:
            return {}
        if kind in ("token", "machine-token"):
            token = self._remembered(kind, "", lambda s: s.token(machine=kind == "machine-token"))
            proof = self._service.proof(method, url, token)
            self.secrets |= {token, proof}
            number, _, rest = patient.partition("^^^&")
            named = {"nhn-patient-nin": number} if rest.partition("&")[0] in national.AUTHORITIES else {}
            return {"Authorization": f"DPoP {token}", "DPoP": proof, **named}
        bearer = base64.urlsafe_b64encode(self._saml(kind, patient).encode()).decode().rstrip("=")
        self.secrets.add(bearer)
        return {"Authorization": f"Bearer {bearer}"}

    def _saml(self, kind: str, patient: str) -> str:
        if self._service is None:
            return ""
        sample, _, options = kind.partition(" ")
        given = dict(each.split("=") for each in options.split())
        return self._remembered(kind, patient, lambda s: s.saml(sample, patient=patient, **given))  # type: ignore[arg-type]

    def _remembered(self, kind: str, patient: str, make: Callable[[TicketService], str]) -> str:
        assert self._service is not None
        key = kind, patient
        if key not in self._known:
            self._known[key] = make(self._service)
            self.secrets.add(self._known[key])
        return self._known[key]


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return re.sub(r"^<\?xml[^>]*\?>\s*", "", path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        raise XdsError(f"the file {path} cannot be read") from None


@dataclass
class Target:
    """What is known of the endpoint.

    `addresses` has an URL for each actor that is there (keys of words.PATHS), of which some may only be
    `supposed`; `home` and `repository` may be found out later. `patients` are those to use, in place of new
    ones.
    """

    addresses: Mapping[str, str]
    tickets: Tickets = field(default_factory=Tickets)
    home: str = ""
    repository: str = ""
    authority: str = ""
    patients: Sequence[str] = ()
    offers: frozenset[str] = frozenset()
    #: Whether every new patient is announced by ITI-44 first.
    feed: bool = False
    supposed: frozenset[str] = frozenset()


def addresses(base: str, given: Mapping[str, str]) -> dict[str, str]:
    """The address of each actor: those of this project's layout below `base`, and those that are given."""
    found = {name: base.rstrip("/") + path for name, path in words.PATHS.items()} if base else {}
    return found | {name: url.rstrip("/") for name, url in given.items() if url}


class Names:
    """The values of a case's names: the same name has the same value all through the case.

    `announce` is called with each new patient before it is used.
    """

    def __init__(self, target: Target, announce: Callable[[str], None] | None = None) -> None:
        self._target = target
        self._announce = announce
        self._chance = random.Random(uuid.uuid4().int)
        self._values: dict[str, str] = {}

    @property
    def made(self) -> frozenset[str]:
        """The ids that this case has made."""
        return frozenset(text for name, text in self._values.items() if name.startswith(("oid:", "uuid:")))

    def bind(self, name: str, text: str) -> None:
        """Give a name a value."""
        self._values[name] = text

    def forget(self, name: str) -> None:
        """Give a name a new value when it is used next."""
        self._values.pop(name, None)

    def value(self, name: str) -> str:
        """The value of a name. Raises Skipped when it cannot have one here."""
        if name in words.CONSTANTS:
            return words.CONSTANTS[name]
        if name not in self._values:
            self._values[name] = self._made(name)
        return self._values[name]

    def fill(self, value: Any) -> Any:
        """The same with every name in braces replaced."""
        if isinstance(value, str):
            return NAME.sub(lambda match: self.value(match[1]), value)
        if isinstance(value, dict):
            return {self.fill(key): self.fill(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        return value

    def _made(self, name: str) -> str:
        kind, colon, own = name.partition(":")
        if colon:
            return self._of_kind(kind, own)
        if name in ("patient", "patient2"):
            return self._patient(0 if name == "patient" else 1)
        first, _, part = name.partition(".")
        if part == "url":
            if first not in self._target.addresses:
                raise Skipped(f"there is no address of {first}")
            return self._target.addresses[first]
        if part:
            number, _, rest = self.value(first).partition("^^^&")
            root = rest.partition("&")[0]
            return {"number": number, "root": root, "system": f"urn:oid:{root}",
                    "quoted": f"'{self.value(first)}'"}[part]  # fmt: skip
        if name == "message":
            return f"urn:uuid:{uuid.uuid4()}"
        if name == "today":
            return datetime.now(UTC).date().isoformat()
        if name == "repository":
            # Whoever registers for a repository of their own names it as they like.
            return self._target.repository or "2.16.578.1.12.4.5.480.1.9"
        if name == "home" and self._target.home:
            return self._target.home
        raise Skipped("the homeCommunityId is not known: give --home")

    def _of_kind(self, kind: str, own: str) -> str:
        if kind == "oid":
            return f"2.25.{uuid.UUID(int=self._chance.getrandbits(128), version=4).int}"
        if kind == "uuid":
            return f"urn:uuid:{uuid.UUID(int=self._chance.getrandbits(128), version=4)}"
        if kind == "bare":
            return self.value(f"uuid:{own}").removeprefix("urn:uuid:")
        if kind == "content":
            return f"Conformance document {own}, {self._chance.getrandbits(64):016x}\n"
        data = self.value(f"content:{own}").encode()
        if kind == "sha1":
            return hashlib.sha1(data, usedforsecurity=False).hexdigest()
        return str(len(data)) if kind == "size" else base64.b64encode(data).decode()

    def _patient(self, number: int) -> str:
        if self._target.patients:
            if number >= len(self._target.patients):
                raise Skipped("the case needs a second patient: give --patient twice")
            return self._target.patients[number]
        patient = people.new_patient(self._chance, self._target.authority)
        if self._announce:
            self._announce(patient)
        return patient
