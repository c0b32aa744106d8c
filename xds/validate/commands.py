"""The command `xds validate`: whether messages are valid, and all that is wrong with them.

`xds.cli` registers it with `add_commands`. The rules are imported when it runs, so that other commands start
as fast as without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from xds.client.terminal import printable, show_json

_TEXT = "Say of messages and resources whether they are valid, and all that is wrong with them."
_KINDS = ("soap", "ebrim", "fhir", "saml", "token", "proof", "cda", "hl7v2")


def run(arguments: argparse.Namespace) -> int:
    """0 when all are valid, 1 when one has an error in it, 2 when one could not be read or is not known."""
    from xds.validate.desk import Settings
    from xds.validate.judging import judge
    from xds.validate.report import as_html, as_json, as_text

    settings = Settings(
        profile=arguments.profile,
        patients=arguments.patients or "",
        trust=arguments.trust,
        at=arguments.at,
        kind=arguments.kind or "",
    )
    reports, status = [], 0
    files = list(_files(arguments.files))
    if not files:
        print("xds: there is no file in what was named", file=sys.stderr)
        return 2
    for path in files:
        try:
            data = _read(path, settings.limits.total_bytes)
        except OSError as error:
            print(f"xds: {printable(str(path))}: {error.strerror}", file=sys.stderr)
            status = 2
            continue
        # A name may have bytes that are no UTF-8, which neither JSON nor a page can say.
        name = "standard input" if str(path) == "-" else str(path).encode("utf-8", "replace").decode()
        report = judge(name, data, settings)
        status = max(status, report.status)
        reports.append(report)
        if not arguments.json:
            print(as_text(report))
    if arguments.json:
        show_json([as_json(each) for each in reports])
    if arguments.html:
        try:
            arguments.html.write_text(as_html(reports), encoding="utf-8")
        except OSError as error:
            print(
                f"xds: {printable(str(arguments.html))} cannot be written: {error.strerror}", file=sys.stderr
            )
            return 2
    return status


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files; of a folder those in it, in the order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file())
        else:
            yield path


def _read(path: Path, most: int) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(most + 1)
    with path.open("rb") as file:
        return file.read(most + 1)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write a time as 2026-01-15T12:00:00Z") from None
    if found.tzinfo is None:
        raise argparse.ArgumentTypeError("the time needs a time zone: 2026-01-15T12:00:00Z")
    return found


def _trust(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def add_commands(commands: Any) -> None:
    """Add `validate` to the subparsers of `xds`."""
    command = commands.add_parser("validate", help=_TEXT, description=_TEXT)
    command.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a file, a folder, or - for standard input"
    )
    command.add_argument("--kind", choices=_KINDS, help="what it is (default: what it looks like)")
    command.add_argument(
        "--profile",
        choices=("norwegian", "ihe"),
        default="norwegian",
        help="which codes are taken (default: norwegian)",
    )
    command.add_argument(
        "--patients",
        choices=("national", "open"),
        help="which patient ids are taken (default: those of the profile)",
    )
    command.add_argument("--trust", type=_trust, metavar="FILE", help="check tickets by this trust file")
    command.add_argument(
        "--at", type=_moment, metavar="TIME", help="judge tickets at this time (default: now)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page about it there")
    command.set_defaults(run=run)
