"""The commands `xds ticket issue` and `xds ticket show`: sample tickets, and what a ticket says.

`xds.cli` registers them with `add_commands`. They import what reads and signs tickets only when they run, so
that the other commands start as fast as without. What is shown of a ticket goes to the terminal and nowhere
else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from xds.client.terminal import show_json
from xds.errors import Denied

#: What `--kind` may be, and the options that each takes; a test holds it equal to what is issued.
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "personnel": frozenset({"person", "name", "hpr", "patient", "purpose", "acp"}),
    "citizen": frozenset({"person", "name", "patient"}),
    "representative": frozenset({"person", "name", "patient", "acp"}),
    "hso": frozenset({"person", "name", "hpr", "patient", "purpose"}),
    "xua": frozenset({"person", "name", "hpr", "patient", "purpose", "acp"}),
    "system": frozenset({"person"}),
    "token": frozenset({"person", "name", "hpr", "purpose", "acp", "proof_for"}),
    "machine-token": frozenset({"proof_for"}),
}
_OPTIONS: Final = (
    ("--person", "N", "who asks: a synthetic national number; for a system its id"),
    ("--name", "NAME", "the name of who asks"),
    ("--patient", "ID", "the patient: a synthetic national number, or 'ID^^^&OID&ISO'"),
    ("--hpr", "N", "the number in the register of health personnel; '' for none"),
    ("--purpose", "CODE", "why: TREAT (default), ETREAT, COC or BTG"),
    ("--acp", "N", "the access policy 2.16.578.1.12.4.1.7.2.1.N"),
)
#: A ticket is a few thousand bytes, a whole message with documents much more.
_LARGEST: Final = 16 * 1024 * 1024

#: The trust file that the node's settings name, if any.
TrustSetting = Callable[[argparse.Namespace], Path | None]


def issue(arguments: argparse.Namespace) -> int:
    """Issue a sample ticket."""
    options = ("person", "name", "patient", "hpr", "purpose", "acp", "proof_for")
    given = {name: getattr(arguments, name) for name in options if getattr(arguments, name) is not None}
    if strange := sorted(given.keys() - KINDS[arguments.kind]):
        option = strange[0].replace("_", "-")
        _wrong(arguments, f"--{option} has no meaning in a ticket of --kind {arguments.kind}")

    from xds.demo.tickets import TicketService

    try:
        service = TicketService(arguments.folder)
    except OSError as error:
        _wrong(arguments, f"argument --folder: keys cannot be kept there: {error.strerror}")
    request = given.pop("proof_for", None)
    if arguments.kind.endswith("token"):
        machine = arguments.kind == "machine-token"
        ticket = service.token(machine=machine, minutes=arguments.minutes, **given)
    else:
        ticket = service.saml(arguments.kind, minutes=arguments.minutes, **given)
    if arguments.out:
        try:
            _write(arguments.out, ticket)
        except OSError as error:
            _wrong(arguments, f"argument --out: it cannot be written: {error.strerror}")
    else:
        print(ticket)
    if request:
        print(service.proof(request[0], request[1], ticket))
    print(
        f"A node believes it with environment = test and trust = {service.trust.resolve()}", file=sys.stderr
    )
    return 0


def show(arguments: argparse.Namespace, trust_setting: TrustSetting) -> int:
    """Say what a ticket says, and whether it is good."""
    from xds.security import show as reading
    from xds.security.describe import as_json, describe
    from xds.security.trust_store import TrustStore

    with arguments.file.open("rb") as file:
        data = file.read(_LARGEST)
    trust = arguments.trust or trust_setting(arguments)
    try:
        if trust is None:
            caller = reading.unverified(data)
        else:
            caller = reading.verified(data, TrustStore(trust), datetime.now(UTC))
    except Denied as denial:
        print(f"xds: {denial.rule}: {denial.sentence}", file=sys.stderr)
        return 1
    if arguments.json:
        show_json({"verified": trust is not None, **as_json(caller)})
    else:
        print("Verified: signature, issuer, audience and times." if trust else _UNVERIFIED)
        print(describe(caller))
    return 0


_UNVERIFIED: Final = "NOT VERIFIED: anybody can have written this; give a trust file to check it."


def add_commands(commands: Any, trust_setting: TrustSetting) -> None:
    """Add `ticket` to the subparsers of `xds`."""
    text = "Issue sample tickets, and show what a ticket says."
    among = commands.add_parser("ticket", help=text, description=text).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    text = "Issue a sample ticket or token for a test, with keys made for it."
    command = among.add_parser("issue", help=text, description=text)
    command.set_defaults(run=issue, parser=command)
    command.add_argument("--kind", required=True, choices=tuple(KINDS), help="what kind of ticket")
    for option, metavar, help_ in _OPTIONS:
        command.add_argument(option, metavar=metavar, help=help_)
    command.add_argument(
        "--minutes", type=int, default=60, metavar="N", help="how long it holds (default: 60)"
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("xds-demo"),
        metavar="DIR",
        help="where its keys and the trust file are, made when they are not (default: ./xds-demo)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="write the ticket there, for this user only"
    )
    command.add_argument(
        "--proof-for",
        nargs=2,
        metavar=("METHOD", "URL"),
        help="for a token: print a DPoP proof for this request too, on a line of its own",
    )

    text = "Show what a ticket says, and whether it is good."
    command = among.add_parser("show", help=text, description=text)
    command.set_defaults(run=lambda arguments: show(arguments, trust_setting), parser=command)
    command.add_argument(
        "file", type=_file, metavar="FILE", help="a SAML assertion, a whole SOAP message, or a token"
    )
    command.add_argument(
        "--trust", type=_file, metavar="FILE", help="the trust file (default: the node's setting `trust`)"
    )
    command.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
    command.add_argument("--json", action="store_true", help="print JSON")


def _write(path: Path, ticket: str) -> None:
    """Whoever can read a ticket can use it: the file is there at once, and for this user alone."""
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(ticket + "\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def _wrong(arguments: argparse.Namespace, text: str) -> NoReturn:
    arguments.parser.error(text)
    raise AssertionError("argparse exits")
