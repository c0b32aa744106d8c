"""The command `xds conformance`: which cases, against what, and what comes of it.

`xds.cli` registers it with `add_commands`; the rest is imported when it runs. Exit status: 0 all passed,
1 some failed, 2 wrong use or nothing could be run.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xds.client.terminal import printable, table
from xds.errors import DataTypeError, XdsError

if TYPE_CHECKING:
    from xds.conformance.cases import Case
    from xds.conformance.runner import Result
    from xds.conformance.target import Target

_TEXT: Final = "Check an endpoint of XDS, XCA, MHD or XUA against the standards, by cases."
_ACTORS: Final = ("registry", "repository", "responding", "initiating", "fhir", "pix")
_OFFERS: Final = ("on-demand", "log", "simplified-publish")


def conformance(arguments: argparse.Namespace) -> int:
    """Run the cases, or list them."""
    from xds.conformance import vectors
    from xds.conformance.cases import PROFILES, CaseError, read

    try:
        cases = read()
        for folder in arguments.cases:
            cases += read(folder)
        if arguments.vectors:
            cases = [*vectors.read(arguments.vectors), *cases]
    except CaseError as error:
        return _wrong(str(error))
    except XdsError as error:
        return _wrong(str(error))
    if strange := sorted(set(arguments.profile) - set(PROFILES)):
        return _wrong(f"there is no profile {', '.join(strange)}: there are {', '.join(PROFILES)}")
    for pattern in arguments.case:
        if not fnmatch.filter((each.id for each in cases), pattern):
            return _wrong(f"no case fits --case {pattern}; --list shows them all")
    chosen = _chosen(cases, arguments.profile, arguments.case)
    if not chosen:
        return _wrong("no case fits --profile and --case; --list shows them all")
    if arguments.list:
        return _list(chosen)
    try:
        target = _target(arguments)
    except XdsError as error:
        return _wrong(str(error))
    return _run(arguments, chosen, target)


def _chosen(cases: Sequence[Case], profiles: Sequence[str], patterns: Sequence[str]) -> list[Case]:
    return [
        each
        for each in cases
        if (not profiles or set(profiles) & set(each.profiles))
        and (not patterns or any(fnmatch.fnmatchcase(each.id, pattern) for pattern in patterns))
    ]


def _list(cases: Sequence[Case]) -> int:
    print(table(("Case", "Profiles", "Title"), ((c.id, ", ".join(c.profiles), c.title) for c in cases)))
    counted = Counter(profile for each in cases for profile in each.profiles)
    print(f"\n{len(cases)} cases: " + ", ".join(f"{name} {number}" for name, number in counted.items()))
    return 0


def _target(arguments: argparse.Namespace) -> Target:
    from xds.client.patients import patient_id
    from xds.conformance.target import Target, Tickets, addresses

    found = addresses(arguments.target or "", {name: getattr(arguments, name) for name in _ACTORS})
    if not found:
        raise XdsError("say what is to be checked: --target URL, or --registry URL and others")
    for url in found.values():
        if not url.startswith(("http://", "https://")):
            raise XdsError("an address is written http://host:port/path or https://host:port/path")
    if bool(arguments.certificate) != bool(arguments.key) and arguments.key:
        raise XdsError("--key goes with --certificate")
    try:
        patients = [patient_id(each) for each in arguments.patient]
    except DataTypeError as error:
        raise XdsError(str(error)) from None
    if arguments.ticket and not patients:
        raise XdsError("--ticket is for one patient: say who, with --patient")
    offers = set(arguments.offers) | ({"administrator"} if arguments.administrator else set())
    home = arguments.home
    return Target(
        addresses=found,
        supposed=frozenset(name for name in found if not getattr(arguments, name)),
        tickets=Tickets(arguments.keys, arguments.ticket, arguments.token),
        home=f"urn:oid:{home.removeprefix('urn:oid:')}" if home else "",
        repository=arguments.repository_id or "",
        authority=arguments.patient_authority or "",
        patients=patients,
        offers=frozenset(offers),
        feed=arguments.feed,
    )


def _run(arguments: argparse.Namespace, cases: Sequence[Case], target: Target) -> int:
    from xds.conformance import report, results
    from xds.conformance.redact import url
    from xds.conformance.runner import Outcome, Result, Runner, find_out, leave_out
    from xds.conformance.sending import Http

    try:
        sender = Http(
            seconds=arguments.seconds,
            ca=arguments.ca,
            certificate=arguments.certificate,
            key=arguments.key,
        )
    except XdsError as error:
        return _wrong(str(error))
    begun = datetime.now(UTC)
    runner = Runner(sender, target)
    remarks = leave_out(runner)
    found: list[Result] = []
    first = [each for each in cases if each.id.startswith("ticket-")]
    terminal = sys.stderr.isatty()
    # Proofs of possession are good for seconds: what has them comes before everything else.
    broken_off = False
    try:
        for result in runner.run(first):
            found.append(result)
            _tell(result, len(found), len(cases), terminal)
        remarks += find_out(runner) if len(first) < len(cases) else []
        for each in remarks:
            print(f"xds: {each}", file=sys.stderr)
        for result in runner.run(cases[len(first) :]):
            found.append(result)
            _tell(result, len(found), len(cases), terminal)
    except KeyboardInterrupt:  # what there is goes into the reports
        broken_off = True
        found += [Result(each, Outcome.SKIPPED, "broken off before it") for each in cases[len(found) :]]
    facts = {
        "Target": ", ".join(f"{name} {url(address)}" for name, address in target.addresses.items()),
        "Begun": f"{begun:%Y-%m-%d %H:%M:%S} UTC",
        "Took": f"{(datetime.now(UTC) - begun).total_seconds():.1f} s",
        "homeCommunityId": target.home or "not known",
        "repositoryUniqueId": target.repository or "not known",
        "Tickets": "of the sample service" if target.tickets.are_sampled
        else "of a file" if target.tickets.are_used else "none",
    }  # fmt: skip
    secrets = target.tickets.secrets
    written: tuple[tuple[Path | None, str], ...] = (
        (arguments.html, report.html(found, facts, secrets, remarks) if arguments.html else ""),
        (arguments.junit, results.as_junit(found)),
        (arguments.json, results.as_json(found, facts, secrets, remarks)),
    )
    for path, text in written:
        if path:
            try:
                # What an endpoint gave as JSON may have half a character, which UTF-8 cannot write.
                path.write_text(text, encoding="utf-8", errors="replace")
            except OSError as error:
                return _wrong(f"{path} cannot be written: {error.strerror}")
    numbers = Counter(each.outcome for each in found)
    _summary(found, terminal)
    print(", ".join(f"{numbers[state]} {state}" for state in Outcome))
    if broken_off:
        return 130
    if numbers[Outcome.FAILED]:
        return 1
    return 0 if numbers[Outcome.PASSED] else _wrong("no case could be run: see why each was skipped")


def _tell(result: Result, done: int, all_: int, terminal: bool) -> None:
    """On a terminal, one line that changes; failures stay."""
    if not terminal:
        return
    line = f"{done}/{all_} {result.case.id}"
    print(f"\r\x1b[K{printable(line)[:78]}", end="", file=sys.stderr, flush=True)
    if done == all_:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _summary(found: Sequence[Result], terminal: bool) -> None:
    from xds.conformance.runner import Outcome

    for each in found:
        if each.outcome is Outcome.FAILED:
            print(
                "\n        ".join(
                    ("FAILED  " + each.case.id, *map(printable, (each.case.title, each.reason)))
                )
            )
            print(f"        {printable(each.case.section)}")
    skipped = Counter(each.reason for each in found if each.outcome is Outcome.SKIPPED)
    for reason, number in skipped.items():
        print(f"skipped {number}: {printable(reason)}")


def _wrong(text: str) -> int:
    print(f"xds: {text}", file=sys.stderr)
    return 2


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return path


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError("write a number of seconds, more than 0 and at most 600")
    return seconds


def add_commands(commands: Any) -> None:
    """Add `conformance` to the subparsers of `xds`."""
    command = commands.add_parser("conformance", help=_TEXT, description=_TEXT)
    command.set_defaults(run=conformance)
    group = command.add_argument_group("what is checked")
    group.add_argument(
        "--target", metavar="URL", help="a node with this project's paths, such as http://host:8080"
    )
    for name in _ACTORS:
        group.add_argument(f"--{name}", metavar="URL", help=f"the address of the actor: {name}")
    group.add_argument("--home", metavar="OID", help="its homeCommunityId (default: found out)")
    group.add_argument("--repository-id", metavar="OID", help="its repositoryUniqueId (default: found out)")
    group.add_argument(
        "--offers", action="append", default=[], choices=_OFFERS, help="what else it has; repeatable"
    )
    group = command.add_argument_group("which cases")
    group.add_argument(
        "--profile", action="append", default=[], metavar="NAME", help="of these profiles; repeatable"
    )
    group.add_argument(
        "--case", action="append", default=[], metavar="GLOB", help="with such ids; repeatable"
    )
    group.add_argument(
        "--cases",
        action="append",
        default=[],
        type=_folder,
        metavar="DIR",
        help="more cases: a folder of TOML files",
    )
    group.add_argument(
        "--vectors", type=_folder, metavar="DIR", help="a fresh set of ticket vectors, each of them a case"
    )
    group.add_argument("--list", action="store_true", help="list the cases and run none")
    group = command.add_argument_group("as whom, about whom")
    group.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="tickets of the sample service with these keys (`xds ticket issue --folder`)",
    )
    group.add_argument("--ticket", type=_file, metavar="FILE", help="a SAML assertion for every SOAP request")
    group.add_argument("--token", type=_file, metavar="FILE", help="a bearer token for every FHIR request")
    group.add_argument(
        "--administrator",
        action="store_true",
        help="the tickets may change and remove everything, of any patient",
    )
    group.add_argument(
        "--patient",
        action="append",
        default=[],
        metavar="ID",
        help="use this patient in place of new ones; twice for two",
    )
    group.add_argument(
        "--patient-authority",
        metavar="OID",
        help="new patients have ids of this authority (default: synthetic national numbers)",
    )
    group.add_argument(
        "--feed", action="store_true", help="announce each new patient by ITI-44 first (--pix)"
    )
    group = command.add_argument_group("connection")
    group.add_argument(
        "--seconds", type=_seconds, default=30.0, metavar="N", help="for each answer (default: 30)"
    )
    group.add_argument(
        "--ca", type=_file, metavar="FILE", help="trust these authorities instead of the machine's (PEM)"
    )
    group.add_argument("--certificate", type=_file, metavar="FILE", help="our client certificate (PEM)")
    group.add_argument("--key", type=_file, metavar="FILE", help="its key (PEM)")
    group = command.add_argument_group("results")
    group.add_argument("--html", type=Path, metavar="FILE", help="write a report to read")
    group.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    group.add_argument("--json", type=Path, metavar="FILE", help="write JSON")
