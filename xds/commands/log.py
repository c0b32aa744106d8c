"""The commands `xds log`, and `xds log verify`, `outbox`, `resend` and `expire`.

`xds.cli` registers them with `add_commands`. They need the database only, and the node may run meanwhile.
What is shown is about people and for the terminal alone; that it was read, and what was deleted, is itself in
the log, with the name of whoever is logged in.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xds.client.patients import patient_id
from xds.client.terminal import printable, table
from xds.commands.privacy import user
from xds.config import Settings, audit_node, audit_receiver_names
from xds.errors import DataTypeError, XdsError

# What only a node needs is imported when a command runs: the client starts faster without.
if TYPE_CHECKING:
    from xds.store.database import Database

ReadSettings = Callable[[argparse.Namespace], Settings]
OpenDatabase = Callable[[Settings], "AbstractContextManager[Database]"]

#: Days back that are shown when nothing is said.
_DAYS: Final = 7


def show(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Print what happened, in plain words."""
    from xds.audit.facts import Context, Deed, Query, Subject, for_each_patient
    from xds.audit.search import Scope, Unusable, find, read, read_cursor
    from xds.audit.store import AuditLog
    from xds.audit.trail import Trail
    from xds.audit.words import line

    settings = read_settings(arguments)
    since = arguments.since or (datetime.now(UTC) - timedelta(days=_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    parameters = [("date", f"ge{since}"), ("_count", str(arguments.limit))]
    parameters += [("date", f"le{arguments.until}")] if arguments.until else []
    if arguments.patient:
        number, _, authority = arguments.patient.partition("^^^&")
        parameters.append(("patient.identifier", f"urn:oid:{authority.removesuffix('&ISO')}|{number}"))
    for name, value in (
        ("agent.identifier", arguments.person),
        ("subtype", arguments.transaction),
        ("entity.identifier", arguments.about),
        ("outcome", "4,8,12" if arguments.failed else ""),
    ):
        parameters += [(name, value)] if value else []
    try:
        search = read(parameters)
    except Unusable as error:
        raise XdsError(str(error)) from None
    with open_database(settings) as database:
        page = find(database, search, Scope())
        found = list(page.found)
        while page.following is not None and len(found) < arguments.limit:
            more = replace(search, count=arguments.limit - len(found), cursor=read_cursor(page.following))
            page = find(database, more, Scope())
            found += page.found
        context = Context(
            endpoint="xds log",
            number="log",
            operator=user(),
            subject=Subject(
                query=Query(
                    id="", name="Security Audit Log", text=" ".join(sys.argv[1:]).encode(errors="replace")
                )
            ),
        )
        trail = Trail(
            AuditLog(database, settings["node.name"], audit_receiver_names(settings)),
            audit_node(settings),
            context,
        )
        pids = [each.pid for each in found if each.pid] or [arguments.patient or ""]
        trail.seen(*for_each_patient(Deed(objects=len(found)), pids))
    if arguments.json:
        for each in found:
            print(json.dumps(each.event, ensure_ascii=False))
        return 0
    if not found:
        print("Nothing of this kind is in the log; --since shows more than the last week.")
        return 0
    lines = [line(each.event) for each in found]
    head = ["WHEN (UTC)", "WHO", "FROM WHERE", "WHY", "WHAT", "PATIENT", "HOW IT WENT", "ID"]
    print(
        table(
            head,
            [
                [
                    printable(part)
                    for part in (
                        each.at,
                        each.who,
                        each.place,
                        each.why,
                        each.what,
                        each.patient,
                        each.outcome,
                        each.id,
                    )
                ]
                for each in lines
            ],
        )
    )
    if page.following is not None:
        print("There is more: --limit shows more of it, --until begins with what is older.")
    return 0


def verify(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Print whether every chain is whole, and its head; 1 when one is not."""
    from xds.audit.verify import Head
    from xds.audit.verify import verify as read_chains

    try:
        noted = [Head.parse(each) for each in arguments.head]
    except ValueError:
        raise XdsError("A head is written as `xds log verify` prints it: node:number:hash.") from None
    with open_database(read_settings(arguments)) as database:
        chains = read_chains(database, noted)
    whole = True
    for each in chains:
        whole = whole and not each.problems
        state = "whole" if not each.problems else "NOT WHOLE"
        print(f"{printable(each.head.node)}: {each.events} events from number {each.first} on, {state}")
        for problem in each.problems:
            print(f"  {problem}")
        if not each.problems:
            print(f"  head {each.head}")
    if not chains:
        print("The log is empty.")
    return 0 if whole else 1


def outbox(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Print what waits for each receiver."""
    from xds.audit.event import instant
    from xds.audit.outbox import waiting

    with open_database(read_settings(arguments)) as database, database.read() as connection:
        rows = waiting(connection)
    if not rows:
        print("Nothing waits: every event has been taken, or there is no receiver.")
        return 0
    head = ["RECEIVER", "WAITING", "DEAD", "OLDEST (UTC)", "FAILURES", "REASON"]
    print(
        table(
            head,
            [
                [
                    each.receiver,
                    str(each.waiting),
                    str(each.dead),
                    "" if each.oldest is None else instant(each.oldest)[:19].replace("T", " "),
                    str(each.failures),
                    each.reason or "",
                ]
                for each in rows
            ],
        )
    )
    return 0


def resend(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Put events into the outbox again."""
    from xds.audit.outbox import resend as put_again

    settings = read_settings(arguments)
    receivers = [arguments.receiver] if arguments.receiver else audit_receiver_names(settings)
    if not receivers:
        raise XdsError("There is no receiver: set audit.fhir_receiver or audit.syslog_receiver.")
    if bool(arguments.id) == bool(arguments.since) and (arguments.id or not arguments.dead):
        raise XdsError(
            "Name events by their ids, or a period with --since and --until; or --dead, all of those."
        )
    period = None
    if not arguments.id:
        period = (0, 2**62)
    if arguments.since:
        period = (_moment(arguments.since)[0], _moment(arguments.until)[1] if arguments.until else 2**62)
    with open_database(settings) as database:
        count = database.transact(
            lambda connection: put_again(
                connection, receivers, event_ids=arguments.id, period=period, dead_only=arguments.dead
            )
        )
    print(f"{count} events will be sent again.")
    return 0


def expire(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Delete what is older than audit.keep_days."""
    from xds.audit.event import microseconds
    from xds.audit.retention import expire as delete

    settings = read_settings(arguments)
    days = settings["audit.keep_days"]
    if not days:
        raise XdsError("audit.keep_days is 0, so that nothing is ever deleted: set how long events are kept.")
    before = microseconds(datetime.now(UTC) - timedelta(days=days))
    with open_database(settings) as database:
        gone = delete(database, audit_node(settings), before, user(), audit_receiver_names(settings))
    print(f"{gone} events older than {days} days were deleted.")
    return 0


def _moment(text: str) -> tuple[int, int]:
    from xds.audit.search import span

    try:
        return span(text)
    except ValueError as error:
        raise XdsError(f"The time {error}.") from None


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 100_000):
        raise argparse.ArgumentTypeError("write a number from 1 to 100000")
    return int(text)


def _patient(text: str) -> str:
    try:
        return patient_id(text)
    except DataTypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_commands(commands: Any, read_settings: ReadSettings, open_database: OpenDatabase) -> None:
    """Register the commands with a parser's subcommands."""
    text = "Show the access log in plain words; or check it, hand it on again, delete what is old."
    log = commands.add_parser("log", help=text, description=text)
    log.add_argument("--config", type=Path, help="settings file (default: XDS_CONFIG)")
    log.add_argument("--patient", type=_patient, help="national number, or a whole CX")
    log.add_argument("--person", metavar="NUMBER", help="who did it: national number or HPR number")
    log.add_argument("--transaction", metavar="ITI-43", help="one transaction only")
    log.add_argument(
        "--about", metavar="ID", help="a document's uniqueId, a message id or a reference number"
    )
    log.add_argument("--failed", action="store_true", help="only what was refused or failed")
    log.add_argument(
        "--since", metavar="TIME", help=f"as 2026-03-01 or 2026-03-01T10:00Z (default: {_DAYS} days)"
    )
    log.add_argument("--until", metavar="TIME", help="the same")
    log.add_argument("--limit", type=_limit, default=50, metavar="N", help="at most so many (default: 50)")
    log.add_argument("--json", action="store_true", help="the AuditEvents themselves, one on a line")
    log.set_defaults(run=partial(show, read_settings=read_settings, open_database=open_database))
    more = log.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, work: Callable[..., int], said: str) -> Any:
        one = more.add_parser(name, help=said, description=said)
        one.add_argument(
            "--config", type=Path, help="settings file (default: XDS_CONFIG)", default=argparse.SUPPRESS
        )
        one.set_defaults(run=partial(work, read_settings=read_settings, open_database=open_database))
        return one

    one = command("verify", verify, "Check that nothing in the log was changed or taken away.")
    one.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="NODE:NUMBER:HASH",
        help="a head noted earlier, which must still hold",
    )
    command("outbox", outbox, "Show what receivers have not taken yet.")
    one = command("resend", resend, "Hand events on again.")
    one.add_argument("id", nargs="*", metavar="ID", help="ids of events")
    one.add_argument("--since", metavar="TIME", help="all events of a period")
    one.add_argument("--until", metavar="TIME", help="its end")
    one.add_argument("--receiver", choices=("fhir", "syslog"), help="only to this one")
    one.add_argument("--dead", action="store_true", help="only those that were refused")
    command("expire", expire, "Delete events older than audit.keep_days; that is itself an event.")
