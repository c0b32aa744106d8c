"""The commands `xds privacy list`, `block`, `refuse`, `reserve`, `release` and `withdraw`.

`xds.cli` registers them with `add_commands`. They need the database only, and the node may run meanwhile.
Every change says who made it; what is listed names patients and people, and is for the terminal alone.
"""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from xds.client.terminal import moment, printable, table
from xds.errors import DataTypeError, RegistryFailure, XdsError

# What only a node needs is imported when a command runs: the client starts faster without.
if TYPE_CHECKING:
    from sqlalchemy import Connection

    from xds.access.privacy import PrivacySetting
    from xds.audit.operators import Operator
    from xds.registry.patients import Domain
    from xds.store.database import Database

T = TypeVar("T")

#: Opens the database that the node's settings name, and says which patient ids belong there and who uses it.
Registry = Callable[[argparse.Namespace], "AbstractContextManager[tuple[Database, Domain, Operator]]"]

#: Names of kinds (access/privacy.KINDS) in words, before whom they are about.
_KINDS: Final[Mapping[str, str]] = {
    "block": "blocked for",
    "refusal": "refused to",
    "reservation": "reserved against",
    "release": "released to",
}
_WHOM: Final[Mapping[str, str]] = {
    "personnel": "all health personnel",
    "citizen": "the citizen",
    "parent": "parents",
    "youth": "the citizen as youth",
    "representative": "representatives",
    "organisation": "organisation",
    "hpr": "HPR number",
    "person": "person",
}


def list_(arguments: argparse.Namespace, registry: Registry) -> int:
    """List a patient's privacy settings."""
    from xds.access import privacy
    from xds.audit.facts import Deed

    with registry(arguments) as (database, _, operator), database.read() as connection:
        found = privacy.history(connection, arguments.patient)
        operator.trail("list").seen(Deed(patient=arguments.patient, action="R", objects=len(found)))
    shown = found if arguments.all else [each for each in found if each.is_in_effect]
    if not shown:
        print(
            "This patient has had no privacy setting."
            if arguments.all or not found
            else "No privacy setting of this patient is in effect; --all shows those of the past."
        )
        return 0
    head = ["KEY", "WHAT", "MADE AT (UTC)", "BY", "SOURCE"]
    rows = [
        [str(each.key), _said(each), moment(str(each.made_at)), each.made_by, each.source] for each in shown
    ]
    if arguments.all:
        head += ["WITHDRAWN AT", "BY"]
        for row, each in zip(rows, shown, strict=True):
            row += [moment(str(each.withdrawn_at or "")), each.withdrawn_by or ""]
    print(table(head, rows))
    return 0


def make(arguments: argparse.Namespace, registry: Registry, kind: str) -> int:
    """Make a setting of the kind with this name."""
    from xds.access import privacy
    from xds.audit.facts import Deed

    number = next(number for number, each in privacy.KINDS.items() if each.name == kind)

    def work(connection: Connection, domain: Domain, operator: Operator) -> tuple[PrivacySetting, bool]:
        there = {each.key for each in privacy.history(connection, arguments.patient)}
        setting = privacy.make(
            connection,
            domain,
            arguments.patient,
            number,
            arguments.whom,
            by=arguments.by,
            document=arguments.document or "",
            organisation=arguments.organisation or "",
            release_time=arguments.at,
        )
        operator.done(connection, f"{kind} {_said(setting)}", Deed(patient=arguments.patient))
        return setting, setting.key not in there

    setting, is_new = _change(arguments, registry, work)
    print(printable(f"{'Set' if is_new else 'This is in effect already'}: {_said(setting)}."))
    print(f"`xds privacy withdraw {setting.key}` takes it back.")
    return 0


def withdraw(arguments: argparse.Namespace, registry: Registry) -> int:
    """Withdraw a setting."""
    from xds.access import privacy
    from xds.audit.facts import Deed

    def work(connection: Connection, _: Domain, operator: Operator) -> PrivacySetting:
        setting = privacy.withdraw(connection, arguments.key, arguments.by)
        pid = privacy.patient_of(connection, arguments.key)
        operator.done(connection, f"withdraw {_said(setting)}", Deed(patient=pid))
        return setting

    setting = _change(arguments, registry, work)
    at = moment(str(setting.withdrawn_at))
    print(printable(f"Withdrawn at {at} UTC by {setting.withdrawn_by}: {_said(setting)}."))
    return 0


def add_commands(commands: Any, registry: Registry, patient: Callable[[str], str]) -> None:
    """Add `privacy` to the subparsers of `xds`; `patient` reads the id of one."""
    text = "Block, refuse, reserve and release a patient's documents, as the patient has decided."
    among = commands.add_parser("privacy", help=text, description=text).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )

    def command(
        name: str, run: Callable[[argparse.Namespace, Registry], int], text: str, *, changes: bool = True
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = among.add_parser(name, help=text, description=text)
        made.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
        made.set_defaults(run=lambda arguments: run(arguments, registry))
        if name != "withdraw":
            made.add_argument("--patient", type=patient, metavar="ID", required=True, help="whose documents")
        if changes:
            made.add_argument(
                "--by", default=user(), metavar="NAME", help="who does it (default: %(default)s)"
            )
        return made

    def making(
        name: str, kind: str, text: str, *, whom: str = "", parts: bool = True, timed: bool = False
    ) -> None:
        made = command(name, partial(make, kind=kind), text)
        made.set_defaults(whom="", document=None, organisation=None, at=None)
        if whom:
            made.add_argument("--whom", default="", metavar="WHOM", required="default" not in whom, help=whom)
        if timed:
            made.add_argument(
                "--at",
                type=_time,
                metavar="TIME",
                required=True,
                help="from when, in ISO 8601; without a zone it is Norwegian time",
            )
        if parts:
            part = made.add_mutually_exclusive_group()
            part.add_argument(
                "--organisation", metavar="N", help="only documents of this organisation number"
            )
            part.add_argument("--document", metavar="UUID", help="only the document with this entryUUID")

    made = command("list", list_, "List a patient's privacy settings.", changes=False)
    made.add_argument("--all", action="store_true", help="those that were withdrawn, too")
    making(
        "block",
        "block",
        "Block documents for health personnel: listed without content, until consent or an emergency opens.",
        whom="personnel (the default), organisation:N, hpr:N or person:N",
    )
    making(
        "refuse",
        "refusal",
        "Refuse documents to citizens: they are not listed.",
        whom="citizen, parent, youth, representative or person:N",
    )
    making(
        "reserve",
        "reservation",
        "Show health personnel nothing of the record, except where a rule opens it.",
        parts=False,
    )
    making(
        "release",
        "release",
        "Say when delayed access (NORU) ends and the citizen sees the documents.",
        timed=True,
    )
    made = command("withdraw", withdraw, "Withdraw a setting; it stays in the list of --all.")
    made.add_argument("key", type=_key, metavar="KEY", help="as `xds privacy list` shows it")


def _change(
    arguments: argparse.Namespace, registry: Registry, work: Callable[[Connection, Domain, Operator], T]
) -> T:
    """What `work` gives, done in one transaction on the node's database."""
    with registry(arguments) as (database, domain, operator):
        try:
            return database.transact(lambda connection: work(connection, domain, operator))
        except RegistryFailure as failure:
            raise XdsError(" ".join(error.context for error in failure.errors)) from None


def _said(setting: PrivacySetting) -> str:
    """The setting in words."""
    from xds.access.privacy import KINDS

    word, _, number = setting.whom.partition(":")
    whom = f"{_WHOM.get(word, word)} {number}".strip()
    what = "all documents"
    if setting.document:
        what = f"document {setting.document}"
    elif setting.organisation:
        what = f"documents of organisation {setting.organisation}"
    since = f" from {moment(str(setting.release_time))} UTC" if setting.release_time else ""
    return f"{what} {_KINDS[KINDS[setting.kind].name]} {whom}{since}"


def _time(text: str) -> int:
    from xds.access.privacy import read_time

    try:
        return read_time(text)
    except DataTypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _key(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError("write the number that `xds privacy list` shows")
    return int(text)


def user() -> str:
    """The name of whoever runs the command; their number where they have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # which of the two depends on the version of Python
        return f"user {os.getuid()}"
