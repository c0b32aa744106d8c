"""The command `xds`: run the node, look after it, and use it as a client.

Each command is one function; `main` turns errors into a sentence on standard error and an exit status
(0 done, 1 refused or failed, 2 wrong use). It must never print a stack trace for what a user can mend.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xds import __version__
from xds.client.commands import add_commands
from xds.client.patients import patient_id
from xds.client.terminal import moment, table
from xds.commands import codes as code_commands
from xds.commands import explain as explain_commands
from xds.commands import log as log_commands
from xds.commands import privacy as privacy_commands
from xds.config import (
    MOST_GRACE_HOURS,
    Settings,
    audit_node,
    audit_receiver_names,
    check_to_serve,
    document_store,
    load,
    reference,
)
from xds.conformance import commands as conformance_commands
from xds.demo import commands as ticket_commands
from xds.errors import DataTypeError, RegistryFailure, SettingsError, XdsError
from xds.validate import commands as validate_commands

# What only a node needs is imported by its commands: the client starts in a third of the time without.
if TYPE_CHECKING:
    from sqlalchemy import Connection

    from xds.audit.operators import Operator
    from xds.registry.parting import Parted
    from xds.registry.patients import Domain
    from xds.repository.store import DocumentStore
    from xds.store.database import Database

T = TypeVar("T")

#: metrics.FOLDER, which is not imported here: it must be there before what reads it is.
_COUNTS = "PROMETHEUS_MULTIPROC_DIR"


def serve(arguments: argparse.Namespace) -> int:
    """Start the node and answer until it is told to stop."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    if arguments.capture:
        os.environ["XDS_NODE__CAPTURE"] = str(arguments.capture)  # for the workers too
    settings, path = _settings(arguments)
    check_to_serve(settings)
    host, port = settings["node.listen"]
    _try_to_listen("node.listen", host, port)  # before the database is touched: a running node may have it
    if settings["patients.mllp_listen"]:
        _try_to_listen("patients.mllp_listen", *settings["patients.mllp_listen"])
    if settings["node.capture"]:
        _try_to_keep(settings["node.capture"])
    with _documents(settings), _database(settings) as database:
        if database.is_embedded:
            database.migrate()  # it is the node's own
        elif not database.is_current():
            raise SettingsError(
                "store.database is not of this version: run `xds migrate`, which says so when it is newer"
            )
    if settings["access.ticket"] == "none":
        print("xds: access.ticket = none: requests are NOT checked for security tickets", file=sys.stderr)
    if path:
        os.environ["XDS_CONFIG"] = str(path.resolve())
    server = Granian(
        "xds.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        factory=True,
        # transport/connections.py knows one request to a connection; HTTP/2 would hide many in one.
        http=HTTPModes.http1,
        workers=settings["node.workers"],
        blocking_threads=settings["node.threads"],
        websockets=False,
        respawn_failed_workers=True,
        log_level=LogLevels.error,
        http1_settings=HTTP1Settings(header_read_timeout=30_000),
        ssl_protocol_min=SSLProtocols.tls12,
        ssl_cert=settings["tls.certificate"],
        ssl_key=settings["tls.key"],
        ssl_ca=settings["tls.client_ca"],
        ssl_client_verify=settings["tls.client_ca"] is not None,
    )
    print(f"xds {__version__}: listening on {host}:{port}", file=sys.stderr)
    if settings["patients.mllp_listen"]:
        print("xds: patient feed (MLLP) on {}:{}".format(*settings["patients.mllp_listen"]), file=sys.stderr)
    os.register_at_fork(after_in_child=_end_when_told)
    # Until the server has handlers of its own: the folder goes whenever the end comes.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="xds-metrics-") as folder:
        os.environ[_COUNTS] = folder  # for the workers, who count together
        server.serve()
    return 0


def _end_when_told() -> None:
    """Until a worker has handlers of its own it would have its parent's, which only note the signal: it would
    go on for ever, and the parent wait for it. It has answered nobody yet, and may simply end.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the database to this version."""
    settings, _ = _settings(arguments)
    with _database(settings) as database:
        if arguments.plan:
            return _plan(database)
        database.migrate(arguments.partitions)
    print("The database is up to date.")
    return 0


def _plan(database: Database) -> int:
    """What would be done, and whether the nodes have to be stopped for it."""
    steps = database.pending()
    for each in steps:
        print(f"{each.revision}  {each.what}" + ("" if each.alongside else "  [stop the nodes]"))
    if not steps:
        print("The database is up to date.")
    elif all(each.alongside for each in steps):
        print("Nodes of the version before may go on meanwhile and afterwards; then restart them one by one.")
    else:
        print("Stop the nodes first: a step changes what the version before writes.")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say whether the node could start: settings, database, document store."""
    if arguments.settings:
        print(reference())
        return 0
    settings, _ = _settings(arguments)
    check_to_serve(settings)
    print("settings   in order")
    with _documents(settings), _database(settings) as database:
        current = database.is_current()
        trouble = database.trouble_of_replica() if current else ""
    old = "not there, or of another version: `xds migrate` makes it"
    print("database   " + ("up to date" if current else old))
    if settings["store.replica"] and current:
        print("replica    " + (f"not used, the database answers: {trouble}" if trouble else "has everything"))
    print("documents  writable")
    return 0 if current and not trouble else 1


_COPY = "Copy a registry and its documents to another database and store; goes on where it was broken off."


def copy_all(arguments: argparse.Namespace) -> int:
    """Copy a registry and its documents to other engines, and compare both sides."""
    from xds.commands.copy import Side, run

    @contextmanager
    def opened(settings: Settings) -> Iterator[Side]:
        with _documents(settings) as documents, _database(settings) as database:
            yield Side(database, documents)

    return run(arguments, _settings(arguments)[0], opened)


def sweep(arguments: argparse.Namespace) -> int:
    """Remove bytes that were staged or put and never registered, and replies that nobody has use for."""
    from xds.gateway import strays
    from xds.repository import sweep

    settings, _ = _settings(arguments)
    hours = settings["store.sweep_grace_hours"] if arguments.grace_hours is None else arguments.grace_hours
    with _current_database(settings) as database, _documents(settings) as documents:
        swept = sweep.sweep(
            database,
            documents,
            grace=timedelta(hours=hours),
            everything=arguments.all,
            force=arguments.force,
        )
        replies = strays.sweep(
            database, documents.replies, grace=timedelta(hours=hours), force=arguments.force
        )
    print(
        f"Removed {swept.staged} unfinished and {swept.unregistered} unregistered documents,"
        f" {swept.bytes} bytes in all."
    )
    if replies:
        print(f"Removed {replies} files of replies between communities that nobody waits for.")
    return 0


def merges(arguments: argparse.Namespace) -> int:
    """List which patient ids were merged into which."""
    from xds.registry import patients

    with _current_database(_settings(arguments)[0]) as database, database.read() as connection:
        found = patients.merges(connection, arguments.patient or "")
    rows = [
        (each.subsumed, each.surviving, *(moment(str(at or "")) for at in (each.merged_at, each.undone_at)))
        for each in found
    ]
    print(table(("MERGED", "INTO", "AT", "UNDONE AT"), rows) if rows else "No patient id was merged.")
    return 0


def merge(arguments: argparse.Namespace) -> int:
    """Merge a patient id into another, as a message of the patient feed does."""
    from xds.audit.facts import Deed
    from xds.registry import patients

    settings, _ = _settings(arguments)
    domain = _domain(settings)

    def work(connection: Connection, operator: Operator) -> None:
        patients.merge(connection, domain, arguments.patient, arguments.into)
        gone = Deed(patient=arguments.patient, action="D")
        operator.done(connection, "merge", gone, Deed(patient=arguments.into))

    _change_patients(settings, work)
    print("Merged: everything of the two ids is found under the one that stays.")
    return 0


def unmerge(arguments: argparse.Namespace) -> int:
    """Take the merge of a patient id back."""
    from xds.audit.facts import Deed
    from xds.registry import patients

    settings, _ = _settings(arguments)

    def work(connection: Connection, operator: Operator) -> tuple[str, Parted]:
        surviving, parted = patients.unmerge(connection, arguments.patient)
        operator.done(
            connection, "unmerge", Deed(patient=arguments.patient, action="C"), Deed(patient=surviving)
        )
        return surviving, parted

    surviving, parted = _change_patients(settings, work)
    print(
        f"Taken back: the id is no longer merged into {surviving}, and has its own documents again.\n"
        "What was registered since then under the other id stays there."
    )
    if parted.links:
        print(f"Associations between the two, deprecated now: {parted.links}.")
    if parted.replaced:
        print(
            "Deprecated, because a document of the other one had replaced them; approve those (ITI-57) that"
        )
        print("are still valid:")
        print("\n".join(f"  {each}" for each in parted.replaced))
    return 0


def _change_patients(settings: Settings, work: Callable[[Connection, Operator], T]) -> T:
    """What `work` gives, done in one transaction on the node's database."""
    with _current_database(settings) as database:
        try:
            operator = _operator(settings, database, "patients")
            return database.transact(lambda connection: work(connection, operator))
        except RegistryFailure as failure:
            raise XdsError(" ".join(error.context for error in failure.errors)) from None


def _domain(settings: Settings) -> Domain:
    """Which patient ids belong to the node."""
    from xds.registry.patients import Domain

    return Domain(
        settings["patients.source"],
        settings["patients.authorities"].oids,
        synthetic=settings["environment"] == "test",
    )


@contextmanager
def _registry(arguments: argparse.Namespace) -> Iterator[tuple[Database, Domain, Operator]]:
    """The node's database, which patient ids belong to it, and who uses it."""
    settings, _ = _settings(arguments)
    with _current_database(settings) as database:
        yield (
            database,
            _domain(settings),
            _operator(settings, database, "privacy", getattr(arguments, "by", "")),
        )


def _operator(settings: Settings, database: Database, number: str, name: str = "") -> Operator:
    """Whoever is logged in; the name that they give, when they act for somebody, is what they said."""
    from xds.audit.operators import Operator

    user = privacy_commands.user()
    return Operator(
        database,
        audit_node(settings),
        audit_receiver_names(settings),
        user,
        f"xds {number}" if name in ("", user) else f"xds {number} --by {name}",
        number,
    )


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Path | None]:
    """The settings, and the file that they are from."""
    path: Path | None = arguments.config
    if path is None and (named := os.environ.get("XDS_CONFIG")):
        path = Path(named)
    return load(path), path


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    """The node's database; what is wrong with it is said by the name of its setting."""
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import ArgumentError, DatabaseError

    from xds.store.database import Database
    from xds.store.trouble import DatabaseBusy, is_busy

    try:
        database = Database(settings["store.database"], replica=settings["store.replica"])
    except (ArgumentError, ImportError, ValueError):
        raise SettingsError(
            "store.database is not a database URL; write sqlite:///… with a path, or postgresql+psycopg://…"
        ) from None
    try:
        yield database
    except CommandError:  # the only one there can be: a revision that this version does not know
        raise SettingsError("store.database is of a newer version: install that version of xds") from None
    except DatabaseBusy:
        raise XdsError("store.database is being written by somebody else: try again later") from None
    except DatabaseError as error:
        if is_busy(error):
            raise XdsError(
                "store.database does not answer, does not let us in, or is locked: look there, or try later"
            ) from None
        raise SettingsError(
            "store.database cannot be opened or written, or is not a database of this node"
        ) from None
    except OSError as error:
        raise SettingsError(f"store.database cannot be used: {error.strerror}") from None
    finally:
        database.close()


@contextmanager
def _current_database(settings: Settings) -> Iterator[Database]:
    """The node's database, when it is of this version."""
    with _database(settings) as database:
        if not database.is_current():
            raise SettingsError("store.database is not there or of another version: run `xds migrate`")
        yield database


@contextmanager
def _documents(settings: Settings) -> Iterator[DocumentStore]:
    """The node's document store, which took, gave and removed something a moment ago."""
    try:
        store = document_store(settings)
        store.try_out()
        yield store
    except OSError as error:
        raise SettingsError(f"store.documents cannot be used: {error.strerror}") from None


def _try_to_listen(key: str, host: str, port: int) -> None:
    """Raise SettingsError when nobody could listen there: the server would end in a trace, or share it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections are in nobody's way
            trial.bind((host, port))
            trial.listen()
    except OSError as error:
        raise SettingsError(f"{key}: the node cannot listen there: {error.strerror}") from None


def _try_to_keep(folder: Path) -> None:
    """Raise SettingsError when nothing could be captured there: later only the log would say so."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SettingsError(f"node.capture: nothing can be kept there: {error.strerror}") from None


def _patient(text: str) -> str:
    try:
        return patient_id(text)
    except DataTypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _partitions(text: str) -> int:
    from xds.store.partitions import MOST

    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 2 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"write a number from 2 to {MOST}")
    return number


def _grace_hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1
    if not 0 <= hours <= MOST_GRACE_HOURS:  # neither is "nan"
        raise argparse.ArgumentTypeError(f"write a number of hours from 0 to {MOST_GRACE_HOURS}")
    return hours


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xds", description="A document-sharing node: IHE XDS.b registry and repository."
    )
    parser.add_argument("--version", action="version", version=f"xds {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def node_command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, among: Any = commands
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = among.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
        command.set_defaults(run=run)
        return command

    serving = node_command("serve", serve, "Start the node.")
    serving.add_argument(
        "--capture",
        type=Path,
        metavar="DIR",
        help="keep every request and answer there, without tickets (node.capture; test environments only)",
    )
    migrating = node_command("migrate", migrate, "Bring the database to this version.")
    migrating.add_argument(
        "--plan", action="store_true", help="only say what would be done, and whether nodes may go on"
    )
    migrating.add_argument(
        "--partitions",
        type=_partitions,
        default=0,
        metavar="NUMBER",
        help="divide the tables of an empty PostgreSQL database by patient (docs/operations.md)",
    )
    checking = node_command("check", check, "Say whether the node could start, and what is in the way.")
    checking.add_argument(
        "--settings",
        action="store_true",
        help="only list all settings there are, as a table (docs/settings.md)",
    )
    command = node_command("sweep", sweep, "Remove bytes that were received and never registered.")
    command.add_argument(
        "--grace-hours",
        type=_grace_hours,
        metavar="HOURS",
        help="remove what is older than this (default: store.sweep_grace_hours)",
    )
    command.add_argument(
        "--all", action="store_true", help="look at all hours, not only those since the last sweep"
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="remove even when most documents are not registered in the database",
    )
    text = "Look after merged patient ids."
    commands_of_patients = commands.add_parser("patients", help=text, description=text).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    command = node_command("merges", merges, "List merged patient ids.", commands_of_patients)
    command.add_argument("--patient", type=_patient, metavar="ID", help="only merges in which this id stands")
    command = node_command("merge", merge, "Merge a patient id into another.", commands_of_patients)
    command.add_argument("--patient", type=_patient, metavar="ID", required=True, help="the id that goes")
    command.add_argument("--into", type=_patient, metavar="ID", required=True, help="the id that stays")
    command = node_command("unmerge", unmerge, "Take back the merge of a patient id.", commands_of_patients)
    command.add_argument("--patient", type=_patient, metavar="ID", required=True, help="the merged id")
    add_commands(commands)
    code_commands.add_commands(commands, lambda arguments: _settings(arguments)[0]["codes.folder"])
    explain_commands.add_commands(commands, lambda arguments: _settings(arguments)[0], _current_database)
    log_commands.add_commands(commands, lambda arguments: _settings(arguments)[0], _current_database)
    privacy_commands.add_commands(commands, _registry, _patient)
    copy = commands.add_parser("copy", help=_COPY, description=_COPY)
    copy.add_argument("--config", type=Path, help="settings file of the source (default: XDS_CONFIG)")
    copy.add_argument(
        "--to", type=Path, required=True, help="settings file of the target; XDS_TO_… goes before it"
    )
    copy.add_argument("--stopped", action="store_true", help="no node of the source is running")
    copy.add_argument("--skip-damaged", action="store_true", help="leave out documents that are damaged")
    copy.add_argument("--no-read-back", action="store_true", help="do not read the target's documents again")
    copy.add_argument("--quiet", action="store_true", help="no progress")
    copy.set_defaults(run=copy_all)
    conformance_commands.add_commands(commands)
    ticket_commands.add_commands(commands, lambda arguments: _settings(arguments)[0]["trust"])
    validate_commands.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of one command."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="xds: %(message)s")
    os.umask(0o077)  # whatever the node writes holds health records: the database, its lock, documents
    try:
        return int(arguments.run(arguments))
    except SettingsError as error:
        print("xds: the settings are not right:", *str(error).splitlines(), sep="\n  ", file=sys.stderr)
        return 1
    except XdsError as error:
        print(f"xds: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); what is still buffered goes nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"xds: {error.strerror or type(error).__name__}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
