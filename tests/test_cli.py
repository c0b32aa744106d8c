"""The command line as its users have it: arguments in; tables, JSON, sentences and an exit status out."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.client.documents import new_number
from tests.nodes import Node
from xds.cli import main
from xds.client import terminal


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def run(node: Node, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xds` in this process, against the session's node."""
    monkeypatch.setenv("XDS_URL", node.url)
    monkeypatch.delenv("XDS_SOURCE_ID", raising=False)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A text file of nine bytes, last changed on 11 March 2026 at 09:45 UTC."""
    file = tmp_path / "notat.txt"
    file.write_text("Blåbær.")
    moment = datetime(2026, 3, 11, 9, 45, tzinfo=UTC).timestamp()
    os.utime(file, (moment, moment))
    return file


def test_submit_find_and_fetch_go_the_whole_way(run: Run, note: Path, tmp_path: Path):
    """A table each; the file that comes back is the file that went in."""
    patient = new_number()
    submitted = run("submit", note, "--patient", patient)
    assert (submitted.status, submitted.err) == (0, "")
    head, row = submitted.out.splitlines()
    assert head.split() == ["FILE", "SIZE", "ENTRYUUID"]
    name, octets, unit, entry_uuid = row.split()
    assert (name, octets, unit) == ("notat.txt", "9", "B")

    found = run("find", "--patient", patient)
    assert (found.status, found.err) == (0, "")
    assert found.out.splitlines()[1].split() == [
        "Approved", "2026-03-11", "09:45", "Journalnotat", "notat", "text/plain", "9", "B", entry_uuid,
    ]  # fmt: skip

    fetched = run("fetch", entry_uuid, "--to", tmp_path / "out")
    assert (fetched.status, fetched.err) == (0, "")
    (file,) = (tmp_path / "out").iterdir()
    assert file.read_bytes() == note.read_bytes()
    assert str(file) in fetched.out


def test_everything_can_be_had_as_json(run: Run, note: Path, tmp_path: Path):
    """One JSON value on standard output, by the names that the Python client has."""
    patient = new_number()
    submitted = run("submit", note, "--patient", patient, "--json").json
    (document,) = submitted["documents"]
    assert document["size"] == 9
    (entry,) = run("find", "--patient", patient, "--json").json
    assert entry["entry_uuid"] == document["entry_uuid"]
    assert entry["hash"] == document["hash"]
    assert entry["type_code"]["display"] == "Journalnotat"
    assert entry["class_code"]["code"] == "B00-1"
    (fetched,) = run("fetch", document["unique_id"], "--to", tmp_path / "out", "--json").json
    assert Path(fetched["file"]).read_bytes() == note.read_bytes()
    assert fetched["unique_id"] == document["unique_id"]
    assert run("find", "--patient", new_number(), "--json").json == []


def test_no_documents_is_no_error(run: Run):
    """Nothing on standard output, a word on standard error, exit 0."""
    found = run("find", "--patient", new_number())
    assert (found.status, found.out, found.err) == (0, "", "No documents.\n")


def test_what_is_said_of_a_document_is_registered(run: Run, note: Path):
    """Every option of `submit` ends up in its attribute."""
    patient = new_number()
    said = run(
        "submit", note, "--patient", f"{patient}^^^&2.16.578.1.12.4.1.4.1&ISO", "--title", "Tittel",
        "--comments", "Merknad", "--type-code", "A03-2^^2.16.578.1.12.4.1.1.9602^^Epikrise",
        "--practice-setting", "S03", "--facility-type", "86.101^^2.16.578.1.12.4.1.1.1303",
        "--format-code", "urn:x^^1.2.3", "--confidentiality", "N",
        "--confidentiality", "NORS^^2.16.578.1.12.4.1.1.9603",
        "--author", "Tuva Fjell", "--institution", "Eksempelsykehuset HF (983974880)", "--language", "nn-NO",
        "--mime-type", "text/rtf", "--source-id", "1.2.3.4",
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    (entry,) = run("find", "--patient", patient, "--json").json
    assert entry["title"] == "Tittel"
    assert entry["comments"] == "Merknad"
    assert entry["type_code"] == {
        "code": "A03-2", "scheme": "2.16.578.1.12.4.1.1.9602", "display": "Epikrise",
    }  # fmt: skip
    assert entry["class_code"]["code"] == "A00-1"
    assert entry["practice_setting_code"]["scheme"] == "2.16.578.1.12.4.1.1.8655"
    assert entry["healthcare_facility_type_code"]["code"] == "86.101"
    assert entry["format_code"]["scheme"] == "1.2.3"
    assert [code["code"] for code in entry["confidentiality_codes"]] == ["N", "NORS"]
    assert entry["language_code"] == "nn-NO"
    assert entry["mime_type"] == "text/rtf"
    (author,) = entry["authors"]
    assert author["person"] == "^Fjell^Tuva"
    assert author["institutions"] == ["Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^983974880"]


def test_replace_deprecates_the_old_document(run: Run, note: Path):
    """`find` shows the new one; --status deprecated the old one, any both."""
    patient = new_number()
    old = run("submit", note, "--patient", patient, "--json").json["documents"][0]["entry_uuid"]
    said = run("submit", note, "--patient", patient, "--replace", old, "--json")
    new = said.json["documents"][0]["entry_uuid"]

    def shown(*status: str) -> set[str]:
        return {entry["entry_uuid"] for entry in run("find", "--patient", patient, "--json", *status).json}

    assert shown() == {new}
    assert shown("--status", "deprecated") == {old}
    assert shown("--status", "any") == {old, new}


def test_find_takes_filters(run: Run, note: Path):
    """Type, group, author and time of creation."""
    patient = new_number()
    run("submit", note, "--patient", patient, "--author", "Tuva Fjell")

    def count(*filters: str) -> int:
        return len(run("find", "--patient", patient, "--json", *filters).json)

    assert count("--type-code", "B02-2") == 1
    assert count("--type-code", "A03-2") == 0
    assert count("--type-code", "A03-2", "--type-code", "B02-2") == 1
    assert count("--class-code", "B00-1") == 1
    assert count("--author", "Fjell") == 1
    assert count("--author", "Berg") == 0
    assert count("--created-from", "2026-03-11T09:45") == 1
    assert count("--created-from", "2026-03-11T09:46") == 0
    assert count("--created-to", "2026-03-11T09:45Z") == 0
    assert count("--created-to", "2026-03-12") == 1


def test_several_files_are_one_submission(run: Run, note: Path, tmp_path: Path):
    """One set, each file under its own name and MIME type."""
    pdf = tmp_path / "Epikrise.PDF"
    pdf.write_bytes(b"%PDF-1.4")
    patient = new_number()
    documents = run("submit", note, pdf, "--patient", patient, "--json").json["documents"]
    assert [Path(each["file"]).name for each in documents] == ["notat.txt", "Epikrise.PDF"]
    found = {each["title"]: each["mime_type"] for each in run("find", "--patient", patient, "--json").json}
    assert found == {"notat": "text/plain", "Epikrise": "application/pdf"}


def test_one_document_can_go_to_standard_output(node: Node, run: Run, note: Path):
    """The bytes and nothing else, so that another program can read them."""
    entry_uuid = run("submit", note, "--patient", new_number(), "--json").json["documents"][0]["entry_uuid"]
    done = subprocess.run(
        [sys.executable, "-m", "xds.cli", "fetch", entry_uuid, "--stdout", "--url", node.url],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == note.read_bytes()
    assert done.stderr == b""


def test_a_reader_that_has_seen_enough_is_no_error(node: Node, run: Run, tmp_path: Path):
    """As with `| head -c 1`: more than a pipe holds is cut off without a trace."""
    large = tmp_path / "large.txt"
    large.write_bytes(bytes(1_000_000))
    entry_uuid = run("submit", large, "--patient", new_number(), "--json").json["documents"][0]["entry_uuid"]
    command = [sys.executable, "-m", "xds.cli", "fetch", entry_uuid, "--stdout", "--url", node.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"\0"
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode == 141


def test_an_unknown_id_is_said_and_the_others_are_fetched(run: Run, note: Path, tmp_path: Path):
    """Exit 1, the unknown id on standard error, the other document in the folder."""
    entry_uuid = run("submit", note, "--patient", new_number(), "--json").json["documents"][0]["entry_uuid"]
    said = run("fetch", "1.2.3.4.5", entry_uuid, "--to", tmp_path / "out")
    assert said.status == 1
    assert said.err == "xds: The registry does not have:\n  1.2.3.4.5\n"
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_refusal_lists_every_error_and_no_trace(run: Run, note: Path):
    """Exit 1; code, place and rule of each error, on standard error only."""
    said = run("submit", note, "--patient", new_number(), "--language", "norsk bokmål", "--title", "x" * 300)
    assert (said.status, said.out) == (1, "")
    assert "/languageCode:" in said.err
    assert "[DE-languageCode-type;" in said.err
    assert "[DE-title-length;" in said.err
    assert "Traceback" not in said.err
    assert "bokmål" not in said.err


def test_a_node_that_is_not_there_is_said(run: Run):
    """Exit 1 and the address, with what to do."""
    said = run("find", "--patient", new_number(), "--url", "http://127.0.0.1:1")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("xds: 127.0.0.1:1 ")
    assert "Traceback" not in said.err


WRONG_USE = [
    ((), "required: COMMAND"),
    (("find",), "required: --patient"),
    (("find", "--patient", "17855599121"), "control digits"),
    (("find", "--patient", "17855599120", "--created-from", "2026-02-30"), "A time is"),
    (("find", "--patient", "17855599120", "--type-code", "a^b"), "a code is written"),
    (("find", "--patient", "17855599120", "--status", "old"), "invalid choice"),
    (("fetch",), "required: ID"),
    (("fetch", "1.2", "1.3", "--stdout"), "--stdout gives the bytes of one document"),
    (("fetch", "1.2", "--key", __file__), "--key belongs to a --cert"),
    (("submit", "gone.pdf", "--patient", "17855599120"), "there is no file gone.pdf"),
    (("submit", __file__, "--patient", "17855599120"), "the MIME type of test_cli.py is not known"),
    (("submit", __file__, __file__, "--patient", "17855599120", "--replace", "urn:uuid:" + "1" * 8
      + "-1111-4111-8111-111111111111"), "give one FILE"),
    (("submit", __file__, "--patient", "17855599120", "--replace", "1.2.3"), "A UUID is"),
    (("submit", __file__, "--patient", "17855599120", "--mime-type", "pdf"), "A MIME type is"),
    (("submit", __file__, "--patient", "17855599120", "--source-id", "x"), "An OID is"),
    (("submit", __file__, "--patient", "17855599120", "--type-code", "1^^1.2"), "--class-code is needed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"), WRONG_USE, ids=lambda each: each[:40] if isinstance(each, str) else ""
)
def test_wrong_use_is_exit_2_with_a_sentence(run: Run, arguments: tuple[str, ...], said: str):
    """Before anything is sent; a number that may be somebody's is not repeated."""
    answer = run(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
    assert "17855599121" not in answer.err


def test_a_bar_shows_a_long_transfer_on_a_terminal(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It ends at 100 % and is wiped away; every other test here sees that it is not shown elsewhere."""
    monkeypatch.setattr(terminal, "_DELAY", 0)
    monkeypatch.setattr(terminal, "_INTERVAL", 0)
    large = tmp_path / "large.pdf"
    large.write_bytes(bytes(2_000_000))
    ours, theirs = pty.openpty()
    with open(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        assert run("submit", large, "--patient", new_number()).status == 0
        shown = b""
        # A terminal hands on what was written bit by bit, and a little later.
        while not shown.endswith(b"\r\x1b[K"):
            assert select.select([ours], [], [], 10)[0], shown
            shown += os.read(ours, 65_536)
    os.close(ours)
    assert shown.startswith(b"\rSending [")
    assert b"100 %  2.0 MB of 2.0 MB" in shown


def test_each_command_has_help(run: Run):
    """`xds --help` names every command, and each command explains itself."""
    overview = run("--help")
    assert overview.status == 0
    for command in ("serve", "migrate", "check", "sweep", "submit", "find", "fetch"):
        assert f"\n    {command}" in overview.out
        assert run(command, "--help").status == 0


def test_help_shows_what_is_assumed(run: Run):
    """The defaults of `submit`, code and name."""
    text = " ".join(run("submit", "--help").out.split())
    for default in ("B02-2, Journalnotat", "N, normal", "nb-NO", "XDS_URL"):
        assert default in text


def test_the_wrong_settings_of_a_node_are_all_named(run: Run, monkeypatch: pytest.MonkeyPatch):
    """`xds check` without a repository OID and with a strange setting: exit 1, both named."""
    monkeypatch.setenv("XDS_NODE__WORKERS", "none")
    monkeypatch.setenv("XDS_NODE__COLOUR", "red")
    said = run("check")
    assert said.status == 1
    assert "XDS_NODE__WORKERS" in said.err
    assert "XDS_NODE__COLOUR" in said.err


def test_migrate_check_and_sweep_look_after_a_node(new_node: Callable[..., Node]):
    """On a node that has been running: up to date, in order, nothing to remove."""
    node = new_node()
    node.stop()
    assert node.command("migrate").stdout == "The database is up to date.\n"
    assert node.command("check").stdout.splitlines() == [
        "settings   in order",
        "database   up to date",
        "documents  writable",
    ]
    assert node.command("sweep").stdout.startswith("Removed 0 unfinished and 0 unregistered documents")
