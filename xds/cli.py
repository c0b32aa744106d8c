"""The command `xds`: run the node, look after it, and use it as a client.

Each command is one function; `main` turns errors into a sentence on standard error and an exit status
(0 done, 1 refused or failed, 2 wrong use). It must never print a stack trace for what a user can mend.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from xds import __version__
from xds.client.commands import add_commands
from xds.config import Settings, check_to_serve, load
from xds.errors import SettingsError, XdsError
from xds.repository.files import FolderStore
from xds.repository.sweep import sweep
from xds.store.database import Database


def serve(arguments: argparse.Namespace) -> int:
    """Start the node and answer until it is told to stop."""
    settings = _settings(arguments)
    check_to_serve(settings)
    database = Database(settings["store.database"])
    database.migrate()  # an embedded database is the node's own
    database.close()
    if settings["access.ticket"] == "none":
        print("xds: access.ticket = none: requests are NOT checked for security tickets", file=sys.stderr)
    host, port = settings["node.listen"]
    if arguments.config:
        os.environ["XDS_CONFIG"] = str(arguments.config.resolve())
    server = Granian(
        "xds.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        factory=True,
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
    server.serve()
    return 0


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the database to this version."""
    database = Database(_settings(arguments)["store.database"])
    database.migrate()
    print("The database is up to date.")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say whether the node could start: settings, database, document folder."""
    settings = _settings(arguments)
    check_to_serve(settings)
    database = Database(settings["store.database"])
    current = database.is_current()
    print("settings   in order")
    print("database   " + ("up to date" if current else "not there or of another version: run `xds migrate`"))
    FolderStore(settings["store.documents"]).staging.create().discard()
    print("documents  writable")
    return 0 if current else 1


def sweep_(arguments: argparse.Namespace) -> int:
    """Remove bytes that were staged or put and never registered."""
    settings = _settings(arguments)
    hours = settings["store.sweep_grace_hours"] if arguments.grace_hours is None else arguments.grace_hours
    swept = sweep(
        Database(settings["store.database"]),
        FolderStore(settings["store.documents"]),
        grace=timedelta(hours=hours),
        everything=arguments.all,
    )
    print(
        f"Removed {swept.staged} unfinished and {swept.unregistered} unregistered documents,"
        f" {swept.bytes} bytes in all."
    )
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    if arguments.config is None and (path := os.environ.get("XDS_CONFIG")):
        arguments.config = Path(path)
    return load(arguments.config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xds", description="A document-sharing node: IHE XDS.b registry and repository."
    )
    parser.add_argument("--version", action="version", version=f"xds {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def node_command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
        command.set_defaults(run=run)
        return command

    node_command("serve", serve, "Start the node.")
    node_command("migrate", migrate, "Bring the database to this version.")
    node_command("check", check, "Say whether the node could start, and what is in the way.")
    command = node_command("sweep", sweep_, "Remove bytes that were received and never registered.")
    command.add_argument(
        "--grace-hours", type=float, help="remove what is older than this (default: store.sweep_grace_hours)"
    )
    command.add_argument(
        "--all", action="store_true", help="look at all hours, not only those since the last sweep"
    )
    add_commands(commands)
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


if __name__ == "__main__":
    sys.exit(main())
