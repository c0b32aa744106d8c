"""The commands `xds submit`, `xds find` and `xds fetch`: the client at a terminal and in scripts.

`xds.cli` registers them with `add_commands`. Each takes its parsed arguments and returns the exit status:
results go to standard output, as a table or with --json as JSON; everything else is said on standard error.
Wrong use ends in argparse's exit 2; a ClientError rises to `xds.cli.main`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from xds.client import defaults
from xds.client.client import (
    ANY_STATUS,
    APPROVED,
    Client,
    Entries,
    Fetched,
    IncompleteFetch,
    IncompleteFind,
)
from xds.client.patients import patient_id
from xds.client.submission import Document, build
from xds.client.terminal import Progress, moment, printable, show_json, size, table
from xds.errors import ClientError, DataTypeError
from xds.metadata import names
from xds.metadata.datatypes import (
    HD,
    XCN,
    XON,
    check_dtm,
    check_mime_type,
    check_oid,
    check_uuid,
)
from xds.metadata.model import Author, Code, DocumentEntry

_STATUS: Final = {"approved": APPROVED, "deprecated": (names.DEPRECATED,), "any": ANY_STATUS}

_CODE: Final = re.compile(r"([^^]+)(?:\^\^([^^]+)(?:\^\^(.+))?)?")

Commands = Any  # argparse keeps the type of what add_subparsers returns to itself


def submit(arguments: argparse.Namespace) -> int:
    """Submit files as documents of one patient, in one submission set."""
    if arguments.replace and len(arguments.files) > 1:
        _wrong(arguments, "--replace takes the place of one document: give one FILE")
    given: dict[str, Any] = {}
    for coded in defaults.CODES:
        codes = getattr(arguments, coded.field) or [coded.code]
        given[coded.field] = tuple(codes) if coded.field == "confidentiality_codes" else codes[-1]
    class_code = arguments.class_code or defaults.class_code(given["type_code"])
    if class_code is None:
        _wrong(arguments, "--class-code is needed: the group of this --type-code is not known")
    authors = _authors(arguments)
    documents = [
        Document(
            content=file,
            mime_type=arguments.mime_type or _mime_type(arguments, file),
            class_code=class_code,
            language_code=arguments.language,
            creation_time=datetime.fromtimestamp(file.stat().st_mtime, UTC),
            title=arguments.title or file.stem[:128],
            comments=arguments.comments,
            authors=authors,
            replaces=arguments.replace or "",
            **given,
        )
        for file in arguments.files
    ]
    submission = build(documents, patient_id=arguments.patient, source_id=arguments.source_id)
    with _client(arguments) as client, Progress("Sending") as progress:
        receipt = client.send(submission, sent=progress)
    if arguments.json:
        show_json(
            {
                "submission_set_unique_id": receipt.submission_set_unique_id,
                "documents": [
                    {
                        "file": str(file),
                        "entry_uuid": entry.entry_uuid,
                        "unique_id": entry.unique_id,
                        "size": entry.size,
                        "hash": entry.hash,
                    }
                    for file, entry in zip(arguments.files, submission.document_entries, strict=True)
                ],
            }
        )
    else:
        rows = [
            (file.name, size(entry.size), entry.entry_uuid)
            for file, entry in zip(arguments.files, submission.document_entries, strict=True)
        ]
        print(table(("FILE", "SIZE", "ENTRYUUID"), rows))
    return 0


def find(arguments: argparse.Namespace) -> int:
    """List the documents of one patient."""
    problem: ClientError | None = None
    with _client(arguments) as client:
        try:
            found = client.find(
                arguments.patient,
                status=_STATUS[arguments.status],
                type_code=arguments.type_code,
                class_code=arguments.class_code,
                author_person=[f"%{part}%" for part in arguments.author],
                created_from=arguments.created_from,
                created_to=arguments.created_to,
                home=arguments.home,
            )
        except IncompleteFind as incomplete:
            found, problem = Entries(incomplete.found), incomplete
    entries = tuple(sorted(found, key=lambda entry: entry.creation_time or ""))
    if arguments.json:
        show_json([_as_json(entry) for entry in entries])
    elif entries:
        print(
            table(
                (*_COLUMNS, "COMMUNITY") if arguments.gateway else _COLUMNS,
                [(*_row(each), each.home or "") if arguments.gateway else _row(each) for each in entries],
            )
        )
    else:
        print("No documents.", file=sys.stderr)
    _warn(found)
    if problem:
        raise problem
    return 0


_COLUMNS: Final = ("STATUS", "CREATED (UTC)", "TYPE", "TITLE", "FORMAT", "SIZE", "ENTRYUUID")


def fetch(arguments: argparse.Namespace) -> int:
    """Fetch documents into a folder, or one to standard output."""
    if arguments.stdout and (len(arguments.ids) > 1 or arguments.json):
        _wrong(arguments, "--stdout gives the bytes of one document and nothing else")
    with _client(arguments) as client, tempfile.TemporaryDirectory(prefix="xds-") as folder:
        entries = client.get_documents(*arguments.ids, home=arguments.home)
        _warn(entries)
        known = {each for entry in entries for each in (entry.entry_uuid, entry.unique_id)}
        unknown = [each for each in arguments.ids if each not in known and each.lower() not in known]
        problem: ClientError | None = None
        if unknown:
            problem = ClientError(
                "\n".join(("The registry does not have:", *(f"  {printable(each)}" for each in unknown)))
            )
        fetched: tuple[Fetched, ...] = ()
        try:
            with Progress("Fetching") as progress:
                into = Path(folder) if arguments.stdout else arguments.to
                fetched = client.fetch(entries, into, received=progress)
        except IncompleteFetch as incomplete:
            fetched = incomplete.fetched
            problem = ClientError("\n".join(filter(None, (str(problem or ""), str(incomplete)))))
        if arguments.stdout:
            for each in fetched:
                with each.path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer, 256 * 1024)
            sys.stdout.flush()
        elif arguments.json:
            show_json(
                [
                    {
                        "file": str(each.path),
                        "mime_type": each.mime_type,
                        "size": each.size,
                        "hash": each.sha1,
                        "repository_unique_id": each.address.repository_unique_id,
                        "unique_id": each.address.document_unique_id,
                    }
                    for each in fetched
                ]
            )
        elif fetched:
            print(
                table(("FILE", "FORMAT", "SIZE"), [(str(f.path), f.mime_type, size(f.size)) for f in fetched])
            )
    if problem:
        raise problem
    return 0


# ---- arguments


def add_commands(commands: Commands) -> None:
    """Add the client commands to the subparsers of `xds`."""
    command = _command(commands, "submit", submit, "Submit files as documents of one patient.")
    command.add_argument("files", nargs="+", type=_file, metavar="FILE", help="documents, one each")
    _add_patient(command)
    command.add_argument("--title", help="title of the documents (default: the file's name)")
    command.add_argument("--comments", help="a remark, shown with the documents")
    for coded in defaults.CODES:
        code = coded.code
        command.add_argument(
            coded.option,
            dest=coded.field,
            type=_code(code),
            action="append",
            metavar="CODE",
            help=f"{coded.purpose}: CODE[^^SCHEME[^^NAME]] (default: {code.code}, {code.display})",
        )
    command.add_argument(
        "--class-code",
        type=_code(Code("", defaults.DOCUMENT_TYPES)),
        metavar="CODE",
        help="the group it belongs to (default: that of a Norwegian type code)",
    )
    command.add_argument("--author", type=_person, metavar="NAME", help="'Given Family', or an HL7 XCN")
    command.add_argument(
        "--institution",
        type=_organisation,
        metavar="NAME",
        help="the author's: a name, 'NAME (organisation number)', or an HL7 XON",
    )
    command.add_argument("--language", default="nb-NO", help="language of the documents (default: nb-NO)")
    command.add_argument("--mime-type", type=_mime, help="default: by the file's extension")
    command.add_argument(
        "--replace",
        type=_entry_uuid,
        metavar="ENTRYUUID",
        help="the document that this one takes the place of",
    )
    command.add_argument(
        "--source-id",
        type=_oid,
        default=os.environ.get("XDS_SOURCE_ID") or _this_machine(),
        metavar="OID",
        help="the submitting system (default: XDS_SOURCE_ID, or one made from this machine's name)",
    )

    command = _command(commands, "find", find, "List the documents of one patient.")
    _add_patient(command)
    command.add_argument(
        "--status",
        choices=tuple(_STATUS),
        default="approved",
        help="approved (default), deprecated (replaced ones), or any",
    )
    for option in ("--type-code", "--class-code"):
        command.add_argument(
            option,
            type=_code(Code("", defaults.DOCUMENT_TYPES)),
            action="append",
            default=[],
            metavar="CODE",
            help="CODE[^^SCHEME]; may be repeated, one must match",
        )
    command.add_argument(
        "--author", action="append", default=[], metavar="TEXT", help="part of the author's name or number"
    )
    for option, text in (("--created-from", "included"), ("--created-to", "not included")):
        command.add_argument(option, type=_time, metavar="TIME", help=f"YYYY-MM-DD[THH:MM], UTC, {text}")

    _add_gateway(command, "ask this community alone (its homeCommunityId, as COMMUNITY shows it)")

    command = _command(commands, "fetch", fetch, "Fetch documents.")
    command.add_argument(
        "ids", nargs="+", metavar="ID", help="entryUUIDs or uniqueIds, as `xds find` shows them"
    )
    command.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="folder (default: this one)")
    command.add_argument(
        "--stdout", action="store_true", help="write the bytes of one document to standard output"
    )
    _add_gateway(command, "the community that has them; with --gateway it must be given")


def _command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run, parser=command)
    command.add_argument(
        "--url",
        default=os.environ.get("XDS_URL", "http://127.0.0.1:8080"),
        help="the node (default: XDS_URL, or http://127.0.0.1:8080)",
    )
    command.add_argument("--cert", type=_file, metavar="FILE", help="our client certificate, PEM")
    command.add_argument("--key", type=_file, metavar="FILE", help="its key, PEM")
    command.add_argument(
        "--ca", type=_file, metavar="FILE", help="authorities to trust instead of the system's, PEM"
    )
    command.add_argument(
        "--ticket",
        type=_file,
        default=os.environ.get("XDS_TICKET") or None,
        metavar="FILE",
        help="our security ticket, a SAML assertion (default: XDS_TICKET)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _add_gateway(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument(
        "--gateway", action="store_true", help="ask all communities through the node's initiating gateway"
    )
    command.add_argument("--home", default="", metavar="OID", help=text)


def _add_patient(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--patient",
        required=True,
        type=_argument(patient_id),
        metavar="ID",
        help="the patient: a national number of 11 digits, or 'ID^^^&OID&ISO'",
    )


def _wrong(arguments: argparse.Namespace, text: str) -> NoReturn:
    """Wrong use that only shows when the arguments are seen together: exit 2, as argparse does."""
    arguments.parser.error(text)
    raise AssertionError("argparse exits")


def _argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader for argparse: a broken data type becomes wrong use, said without the value."""

    def read_argument(text: str) -> Any:
        try:
            return read(text)
        except DataTypeError as error:
            raise argparse.ArgumentTypeError(str(error).replace("%", "%%")) from None

    return read_argument


def _checked(check: Callable[[str], object]) -> Callable[[str], Any]:
    def read(text: str) -> str:
        check(text)
        return text

    return _argument(read)


_mime: Final = _checked(check_mime_type)
_oid: Final = _checked(check_oid)
_entry_uuid: Final = _checked(check_uuid)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return path


def _code(default: Code) -> Callable[[str], Code]:
    """A reader of CODE[^^SCHEME[^^NAME]], in the default's scheme when none is given."""

    def code(text: str) -> Code:
        match = _CODE.fullmatch(text)
        if match is None:
            raise argparse.ArgumentTypeError("a code is written CODE, CODE^^SCHEME or CODE^^SCHEME^^NAME")
        code, scheme, name = match.groups()
        if not scheme and code == default.code:
            return default
        # Senders give every code a name (ITI TF-3 4.2.3.1.2); the code itself is better than an invented one.
        return Code(code, scheme or default.scheme, name or code)

    return code


def _person(text: str) -> str:
    if "^" in text:
        return _argument(XCN.parse)(text) and text
    given, _, family = text.strip().rpartition(" ")
    return str(XCN(family=family, given=given))


def _organisation(text: str) -> str:
    if "^" in text:
        return _argument(XON.parse)(text) and text
    name, _, number = text.strip().removesuffix(")").rpartition("(")
    if name and len(number) == 9 and number.isdigit():
        return str(XON(name.strip(), number, HD("", "2.16.578.1.12.4.1.4.101", "ISO")))
    return str(XON(text.strip()))


@_argument
def _time(text: str) -> str:
    dtm = text.translate(str.maketrans("", "", "-:T ")).removesuffix("Z")
    check_dtm(dtm)
    return dtm


def _this_machine() -> str:
    """An OID under 2.25 that stays the same on this machine (ITU-T X.667)."""
    digest = hashlib.sha256(b"xds submit " + socket.gethostname().encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def _mime_type(arguments: argparse.Namespace, file: Path) -> str:
    known = defaults.MIME_TYPES.get(file.suffix.lower())
    if known is None:
        _wrong(
            arguments,
            f"the MIME type of {file.name} is not known by its extension: give --mime-type"
            f" (known: {' '.join(defaults.MIME_TYPES)})",
        )
    return known


def _authors(arguments: argparse.Namespace) -> tuple[Author, ...]:
    if not (arguments.author or arguments.institution):
        return ()
    return (Author(arguments.author, (arguments.institution,) if arguments.institution else ()),)


def _client(arguments: argparse.Namespace) -> Client:
    if arguments.key and not arguments.cert:
        _wrong(arguments, "--key belongs to a --cert: give both")
    ticket = arguments.ticket.read_bytes() if arguments.ticket else ""
    return Client(
        arguments.url,
        gateway=getattr(arguments, "gateway", False),
        ca_file=arguments.ca,
        certificate=arguments.cert,
        key=arguments.key,
        ticket=ticket,
    )


# ---- results


def _warn(entries: Entries) -> None:
    """Say on standard error what the registry says about its answer: that it is not all, for one."""
    for warning in entries.warnings:
        print(f"Warning: {warning.code}: {warning.context}", file=sys.stderr)


def _row(entry: DocumentEntry) -> tuple[str, ...]:
    return (
        (entry.availability_status or "").rpartition(":")[2],
        moment(entry.creation_time),
        entry.type_code.display or entry.type_code.code,
        _shortened(entry.title or "", 40),
        entry.mime_type,
        size(entry.size),
        entry.entry_uuid,
    )


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _as_json(entry: DocumentEntry) -> dict[str, Any]:
    """Every field by its name in `DocumentEntry`, absent ones left out."""
    values = asdict(replace(entry, received=None))
    return {name: value for name, value in values.items() if value not in (None, (), "")}
