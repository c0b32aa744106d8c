"""Cases carried out against a target: the request, the answer, what differs.

commands.py gives it the cases and shows what comes of them. One case never stops another, and nothing that an
endpoint does ends in a traceback.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from xds.conformance import checks, messages, redact, words
from xds.conformance.answers import Answer, Unreadable
from xds.conformance.cases import NEEDS, Case, Step, case
from xds.conformance.messages import Message
from xds.conformance.sending import NoReply, Raw, Request, Sender, TooSlow, same_origin
from xds.conformance.target import Names, Skipped, Target
from xds.metadata import national


class Outcome(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Exchange:
    """One step as it was carried out; `answer` is None when there was none."""

    title: str
    request: Request
    answer: Raw | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One case as it was carried out; `reason` says why it was skipped, or what failed first."""

    case: Case
    outcome: Outcome
    reason: str = ""
    exchanges: tuple[Exchange, ...] = ()
    seconds: float = 0.0


#: Who answers nothing in time so often is not waited for any more: there are hundreds of cases.
_PATIENCE: Final = 5
#: Whose ticket a request has when its step does not say.
_WHO: Final = {"ITI-44": "system", "http": "token", "ITI-65": "token"}


@dataclass
class Runner:
    """Carries out cases with a sender against a target."""

    sender: Sender
    target: Target
    _announced: set[str] = field(default_factory=set)
    #: How often in a row an address was too slow.
    _late: Counter[str] = field(default_factory=Counter)

    def run(self, cases: Iterable[Case]) -> Iterator[Result]:
        """The result of each case, in order."""
        for each in cases:
            yield self.one(each)

    def one(self, case: Case) -> Result:
        """The result of one case."""
        if why := missing(case, self.target):
            return Result(case, Outcome.SKIPPED, why)
        begun = time.monotonic()
        names = Names(self.target, self._announce if self.target.feed else None)
        exchanges: list[Exchange] = []
        outcome, reason = Outcome.PASSED, ""
        try:
            for number, step in enumerate(case.steps, start=1):
                exchange = self._step(step, names)
                exchanges.append(exchange)
                if exchange.failures:
                    outcome = Outcome.FAILED
                    reason = f"step {number} ({exchange.title}): {exchange.failures[0]}"
                    break
        except Skipped as skipped:
            outcome, reason = Outcome.SKIPPED, str(skipped)
        except NoReply as error:
            outcome, reason = Outcome.FAILED, f"the patient could not be announced (ITI-44): {error}"
        return Result(case, outcome, reason, tuple(exchanges), time.monotonic() - begun)

    def _step(self, step: Step, names: Names) -> Exchange:
        names.forget("message")
        message, request = self._written(step.send, names.fill(dict(step.says)), names)
        # A sentence quotes the answer, and a path may be out of one: either may have the ticket in it.
        secrets = self.target.tickets.secrets
        title = step.send
        if step.send in ("http", "vector"):
            title = f"{request.method} {redact.url(message.path or '/', secrets)}"
        address = self.target.addresses[message.at]
        if self._late[address] >= _PATIENCE:
            raise Skipped(f"{redact.url(address)} was too slow {_PATIENCE} times in a row: not asked again")
        try:
            raw = self.sender.send(request)
        except NoReply as error:
            self._late[address] += isinstance(error, TooSlow)
            return Exchange(title, request, None, (f"no answer: {error}",))
        del self._late[address]
        answer = Answer(raw)
        failures = checks.judge(answer, names.fill(dict(step.expect)), checks.Seen(message, names.made))
        for name, path in step.bind.items():
            if failures:
                break
            try:
                names.bind(name, taken(answer, names.fill(path)))
            except Unreadable as error:
                failures.append(f"{name}: {error}")
        if failures and self.target.tickets.are_used and not self._is_for_target(message, request.url):
            failures.append("no ticket was sent: the address is of another host than the target")
        told = tuple(redact.sentence(each, secrets) for each in failures)
        return Exchange(title, request, _kept(raw), told)

    def _written(self, send: str, says: dict[str, Any], names: Names) -> tuple[Message, Request]:
        who = says.get("as", _WHO.get(send, "personnel"))
        is_soap = send in words.TRANSACTIONS
        patient = ""
        if self.target.tickets.are_used and send != "vector":
            patient = says.get("patient_of_ticket") or (
                self.target.patients[0] if self.target.patients else names.value("patient")
            )
        security = self.target.tickets.security(who, patient) if is_soap else ""
        message = messages.write(send, says, names.value, security)
        base = self.target.addresses[message.at]
        url = message.path
        if not url.startswith(("http://", "https://")):
            # A location may be relative to the base (FHIR R4, Bundle.entry.response.location).
            url = base + ("" if url[:1] in ("", "/", "?") else "/") + url
        headers = dict(message.headers)
        if message.content_type:
            headers["Content-Type"] = message.content_type
        is_known = self._is_for_target(message, url)
        if send in ("http", "ITI-65") and is_known:
            for name, text in self.target.tickets.headers(who, patient, message.method, url).items():
                headers.setdefault(name, text)
        return message, Request(message.method, url, headers, message.body, anonymous=not is_known)

    def _is_for_target(self, message: Message, url: str) -> bool:
        """Whether a ticket may go there: an address out of an answer may be of any host."""
        return same_origin(url, self.target.addresses[message.at])

    def _announce(self, patient: str) -> None:
        if patient in self._announced:
            return
        self._announced.add(patient)
        names = Names(replace(self.target, patients=(patient,)))
        _, request = self._written("ITI-44", {"patient": patient}, names)
        answer = Answer(self.sender.send(request))
        try:
            if answer.xpath("//hl7:acknowledgement/hl7:typeCode/@code") not in (["CA"], ["AA"]):
                raise NoReply("it was not accepted")
        except Unreadable as error:
            raise NoReply(str(error)) from None


def _kept(raw: Raw) -> Raw:
    """As much of an answer as a report shows: whole ones of a hostile endpoint would fill the memory."""
    headers = {name: text[: redact.KEPT_OF_HEADER] for name, text in raw.headers.items()}
    return Raw(raw.status, headers, raw.body[: redact.KEPT])


def taken(answer: Answer, path: str) -> str:
    """What `bind` takes from an answer: `header:Name`, `json:path`, or an XPath. Raises Unreadable."""
    kind, colon, rest = path.partition(":")
    found: Sequence[Any]
    if kind == "header" and colon:
        found = [answer.raw.headers[rest.lower()]] if rest.lower() in answer.raw.headers else []
    elif kind == "json" and colon:
        found = answer.values(rest)
    else:
        found = answer.xpath(path)
    if not found or found[0] in (None, ""):
        raise Unreadable(f"there is nothing at {path}")
    if not isinstance(found[0], str | int | float):
        raise Unreadable(f"what stands at {path} is no text")
    return str(found[0]).encode("utf-8", "replace").decode()  # JSON may have half a character


def missing(case: Case, target: Target) -> str:
    """Why the case cannot be run against the target; nothing when it can."""
    actors = {
        str(
            step.says.get("at")
            or (words.TRANSACTIONS[step.send].at if step.send in words.TRANSACTIONS else "fhir")
        )
        for step in case.steps
    }
    if absent := sorted(actors - set(target.addresses)):
        return f"there is no address of {', '.join(absent)}"
    tickets = target.tickets
    here: dict[str, bool] = {
        "plain": not tickets.are_used or "administrator" in target.offers,
        "tickets": tickets.are_sampled,
        "on-demand": "on-demand" in target.offers,
        "simplified-publish": "simplified-publish" in target.offers,
        "log": "log" in target.offers,
        "many-patients": not tickets.are_used or "administrator" in target.offers,
        "national-patients": target.authority in ("", *national.AUTHORITIES),
    }
    if lacking := sorted(each for each in case.needs if not here[each]):
        return "needs " + "; ".join(NEEDS[each] for each in lacking)
    return ""


def leave_out(runner: Runner) -> list[str]:
    """Forget the addresses that were only supposed and that nothing is at; a sentence about each.

    A node need not have every actor. What its tester names is there, or its cases fail.
    """
    target, told = runner.target, []
    for name in sorted(target.supposed):
        url = target.addresses[name]
        try:
            status = runner.sender.send(
                Request("GET", url + ("/metadata" if name == "fhir" else "?wsdl"))
            ).status
        except NoReply:
            continue
        if status == 404:
            told.append(f"nothing is at {redact.url(url)}: cases of it are skipped, or give --{name}")
            target.addresses = {key: each for key, each in target.addresses.items() if key != name}
    return told


def find_out(runner: Runner) -> list[str]:
    """Fill in what the target's tester did not say, by asking; sentences about what could not be found."""
    target, told = runner.target, []
    asks = {
        "id": "x",
        "title": "x",
        "why": "x",
        "section": "x",
        "actor": "any SOAP endpoint",
        "profiles": ["soap"],
    }
    names: list[tuple[str, str, str, dict[str, Any]]] = []
    good = {"status": "Success"}
    provide = {"send": "ITI-41", "documents": [{"name": "a"}], "expect": {"status": "Success"}}
    if not target.repository and {"repository", "registry"} <= set(target.addresses):
        path = "//rim:Slot[@name='repositoryUniqueId']/rim:ValueList/rim:Value"
        query = {"send": "ITI-18", "query": "GetDocuments", "bind": {"found": path}, "expect": good,
                 "parameters": {"$XDSDocumentEntryUniqueId": "('{oid:a}')"}}  # fmt: skip
        names.append(("repository", "repositoryUniqueId", "--repository-id", query))
    if not target.home and {"repository", "responding"} <= set(target.addresses):
        query = {
            "send": "ITI-38",
            "bind": {"found": "//rim:ExtrinsicObject/@home"},
            "expect": {"status": "Success"},
        }
        names.append(("home", "homeCommunityId", "--home", query))
    for key, title, option, query in names:
        found = _asked(runner, case({**asks, "step": [provide, query]}))
        if found:
            setattr(target, key, found)
        else:
            told.append(f"the {title} could not be found out: give {option}")
    return told


def _asked(runner: Runner, case: Case) -> str:
    """What the last step of a case binds as `found`; nothing when it fails."""
    names = Names(runner.target, runner._announce if runner.target.feed else None)
    try:
        for step in case.steps:
            if runner._step(step, names).failures:
                return ""
        return names.value("found")
    except (Skipped, NoReply):
        return ""
