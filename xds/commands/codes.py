"""The commands `xds codes list`, `show`, `check` and `import`: the code tables of a node.

`xds.cli` registers them with `add_commands`. They need no running node; a node reads its tables when it
starts. `import` writes a table whole or not at all, and never into the built-in ones.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from xds.client.terminal import printable, show_json, table
from xds.commands import code_import
from xds.errors import DataTypeError, SettingsError, XdsError
from xds.metadata.codesystems import (
    NATIONAL,
    CodeSystem,
    CodeTables,
    Concept,
    load,
    read_bytes,
    read_json,
    read_system,
    write_system,
)

#: The folder that the node's settings name, if any.
FolderSetting = Callable[[argparse.Namespace], Path | None]

_COMPLETE: Final = {True: "yes", False: "no"}


def list_(arguments: argparse.Namespace, folder: Path | None) -> int:
    """List the code systems."""
    systems = list(load(folder).systems.values())
    if arguments.json:
        show_json(
            [
                {
                    "id": each.id,
                    "name": each.name,
                    "codes": len(each.codes),
                    "complete": each.complete,
                    "version": each.version,
                    "source": each.source,
                }
                for each in systems
            ]
        )
        return 0
    rows = [
        (each.id, each.name, str(len(each.codes)), _COMPLETE[each.complete], _source(each))
        if each.codes
        else (each.id, each.name or "(name not known)", "-", "-", "no table: any code is accepted")
        for each in systems
    ]
    print(table(("SYSTEM", "NAME", "CODES", "COMPLETE", "SOURCE"), rows))
    return 0


def show(arguments: argparse.Namespace, folder: Path | None) -> int:
    """Show a code system, or one code of it."""
    system = _system(load(folder), arguments.system)
    concepts = list(system.codes.values())
    if arguments.code is not None:
        concepts = [each for each in concepts if each.code == arguments.code]
        if not concepts:
            raise XdsError(_unknown(system))
    for label, text in (
        ("system", system.id),
        ("name", system.name),
        ("edition", system.version),
        ("complete", _COMPLETE[system.complete] if system.codes else "no table: any code is accepted"),
        ("source", system.source),
        ("also called", ", ".join(system.names()[1:])),
        ("note", system.note),
    ):
        if text:
            print(f"{label:12} {printable(text)}")
    if concepts:
        print()
        print(table(("CODE", "DISPLAY", ""), [(each.code, each.display, _more(each)) for each in concepts]))
    return 0


def check(arguments: argparse.Namespace, folder: Path | None) -> int:
    """Say whether a code is in a code system."""
    system = _system(load(folder), arguments.system)
    concept = system.codes.get(arguments.code)
    if not system.codes:
        print(f"There is no table of {_called(system)}: any code is accepted.")
    elif concept is None:
        raise XdsError(_unknown(system))
    elif not concept.active:
        print(f"It is in {_called(system)}: {printable(concept.display)}. It is withdrawn.")
    else:
        print(f"It is in {_called(system)}: {printable(concept.display)}.")
    return 0


def import_(arguments: argparse.Namespace, folder: Path | None) -> int:
    """Take over a code table."""
    if folder is None:
        raise SettingsError("codes.folder is not set: name the folder in which this node has its own tables")
    folder.mkdir(parents=True, exist_ok=True)
    tables = load(folder)
    try:
        value = read_json(read_bytes(arguments.file))
        system = code_import.read(value, tables, complete=True if arguments.complete else None)
        data = write_system(system)
        read_system(read_json(data), system.id)
    except (DataTypeError, RecursionError) as error:
        reason = str(error) if isinstance(error, DataTypeError) else "it is nested too deeply"
        raise XdsError(f"the file was not taken over: {reason}") from None
    before = tables.systems.get(system.id)
    path = folder / f"{system.id}.json"
    _write(path, data)
    kind = "complete" if system.complete else "not complete: a code that is not in it is warned of only"
    print(f"{_called(system)}: {len(system.codes)} codes, {kind}.")
    found = list(code_import.changes(before, system))
    if before is not None and before.codes and before.complete != system.complete:
        print(f"The table before was {'complete' if before.complete else 'not complete'}.")
    for each in found:
        print(printable(f"  {each.sign} {each.code}  {each.text}"))
    if not found:
        print("No code was added, removed or renamed.")
    print(f"Written to {path}. A node reads it when it starts.")
    return 0


def add_commands(commands: Any, folder_setting: FolderSetting) -> None:
    """Add `codes` to the subparsers of `xds`."""
    text = "Show the code tables that codes are checked against, and import newer ones."
    among = commands.add_parser("codes", help=text, description=text).add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )

    def command(
        name: str, run: Callable[[argparse.Namespace, Path | None], int], text: str
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = among.add_parser(name, help=text, description=text)
        made.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
        made.set_defaults(run=lambda arguments: run(arguments, folder_setting(arguments)), parser=made)
        return made

    system = "its OID, its number (9602), or another name of it"
    made = command("list", list_, "List the code systems.")
    made.add_argument("--json", action="store_true", help="print JSON")
    made = command("show", show, "Show a code system, or one code of it.")
    made.add_argument("system", metavar="SYSTEM", help=system)
    made.add_argument("code", metavar="CODE", nargs="?", help="only this code")
    made = command("check", check, "Say whether a code is in a code system: exit status 0 or 1.")
    made.add_argument("system", metavar="SYSTEM", help=system)
    made.add_argument("code", metavar="CODE", help="the code")
    made = command(
        "import",
        import_,
        "Take over a table: a FinnKode code list, or a FHIR CodeSystem or ValueSet, in JSON.",
    )
    made.add_argument("file", type=Path, metavar="FILE", help="the file, as it was published")
    made.add_argument(
        "--complete", action="store_true", help="the file has every code, though it does not say so"
    )


def _system(tables: CodeTables, text: str) -> CodeSystem:
    found = tables.system(text) or tables.system(f"{NATIONAL}.{text}") or tables.systems.get(text)
    if found is None:
        raise XdsError("this code system is not known here: `xds codes list` shows those that are")
    return found


def _called(system: CodeSystem) -> str:
    return f"{system.id} {printable(system.name)}".rstrip()


def _source(system: CodeSystem) -> str:
    return ", ".join(filter(None, (system.source, system.version)))


def _unknown(system: CodeSystem) -> str:
    if not system.codes:
        return f"there is no table of {_called(system)}: any code is accepted"
    if system.complete:
        return f"the code is not in {_called(system)}, whose table is complete: it is refused"
    return f"the code is not in {_called(system)}, whose table is not complete: it is warned of"


def _more(concept: Concept) -> str:
    marks = (
        "" if concept.active else "withdrawn",
        concept.usage and f"for {concept.usage}",
        concept.parent and f"of {concept.parent}",
        *(f"{language}: {text}" for language, text in concept.designations.items()),
    )
    return ", ".join(filter(None, marks))


def _write(path: Path, data: bytes) -> None:
    """A node that starts at this moment finds the table before or this one."""
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
