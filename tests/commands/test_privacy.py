"""`xds privacy` as its users have it: arguments in, words and an exit status out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.cli import main
from xds.registry import patients
from xds.registry.patients import Domain
from xds.registry.registry import Options
from xds.store.database import Database

ANNA, BO = (each.partition("^")[0] for each in (s.PATIENT, s.OTHER_PATIENT))
DOCUMENT = "urn:uuid:00000000-0000-4000-8000-000000000001"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A node's database with one document of Anna's."""
    found = Database(f"sqlite:///{tmp_path}/xds.db")
    found.migrate()
    document = s.document_entry(entry_uuid=DOCUMENT, source_patient_info=())
    Desk(found, Options(patients="national", synthetic=True)).submit(s.submission(document))
    return found


@pytest.fixture
def run(database: Database, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xds privacy` on it: exit status, standard output, standard error."""
    monkeypatch.delenv("XDS_CONFIG", raising=False)
    monkeypatch.setenv("XDS_STORE__DATABASE", str(database.url))
    monkeypatch.setenv("XDS_ENVIRONMENT", "test")

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            status = main(["privacy", *arguments])
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


def key_of(out: str) -> str:
    """The key that a command tells for its withdrawal."""
    match = re.search(r"`xds privacy withdraw (\d+)`", out)
    assert match is not None
    return match[1]


#: Arguments after the patient, and how the setting is told.
SAID = [
    (("block",), "all documents blocked for all health personnel"),
    (("block", "--whom", "personnel"), "all documents blocked for all health personnel"),
    (("block", "--whom", "organisation:310000000"), "all documents blocked for organisation 310000000"),
    (("block", "--whom", "hpr:009144889"), "all documents blocked for HPR number 9144889"),
    (("block", "--whom", f"person:{BO}"), f"all documents blocked for person {BO}"),
    (
        ("block", "--organisation", "310000000"),
        "documents of organisation 310000000 blocked for all health personnel",
    ),
    (("block", "--document", DOCUMENT), f"document {DOCUMENT} blocked for all health personnel"),
    (("refuse", "--whom", "citizen"), "all documents refused to the citizen"),
    (("refuse", "--whom", "parent", "--document", DOCUMENT), f"document {DOCUMENT} refused to parents"),
    (("refuse", "--whom", "youth"), "all documents refused to the citizen as youth"),
    (("refuse", "--whom", "representative"), "all documents refused to representatives"),
    (("refuse", "--whom", f"person:{BO}"), f"all documents refused to person {BO}"),
    (("reserve",), "all documents reserved against all health personnel"),
    (("release", "--at", "2030-01-01"), "all documents released to the citizen from 2029-12-31 23:00 UTC"),
    (
        ("release", "--at", "2030-01-01T10:00Z", "--document", DOCUMENT),
        f"document {DOCUMENT} released to the citizen from 2030-01-01 10:00 UTC",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), SAID)
def test_a_setting_is_made_listed_and_withdrawn(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """The same words each time; afterwards it is in the list of all."""
    status, out, err = run(arguments[0], "--patient", ANNA, *arguments[1:], "--by", "Kari Lege")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == f"Set: {said}."
    key = key_of(out)
    head, line = run("list", "--patient", ANNA)[1].splitlines()
    assert head.split("  ")[0] == "KEY"
    assert re.split(r"  +", line)[:2] == [key, said]
    assert re.split(r"  +", line)[3:] == ["Kari Lege", "operator"]
    status, out, _ = run("withdraw", key, "--by", "Ola")
    assert status == 0
    assert re.fullmatch(rf"Withdrawn at 2\d\d\d-.* UTC by Ola: {re.escape(said)}\.\n", out)
    assert "--all shows those of the past" in run("list", "--patient", ANNA)[1]
    _, line = run("list", "--patient", ANNA, "--all")[1].splitlines()
    assert re.split(r"  +", line)[1] == said
    assert re.split(r"  +", line)[-1] == "Ola"


def test_the_same_again_says_that_it_is_there(run: Run) -> None:
    """With its key, and makes no second one."""
    first, again = run("block", "--patient", ANNA)[1], run("block", "--patient", ANNA)[1]
    assert again.startswith("This is in effect already: all documents blocked")
    assert key_of(first) == key_of(again)
    assert len(run("list", "--patient", ANNA)[1].splitlines()) == 2


def test_the_first_withdrawal_counts(run: Run) -> None:
    """A second one tells of it."""
    key = key_of(run("reserve", "--patient", ANNA)[1])
    run("withdraw", key, "--by", "Ola")
    assert "by Ola: " in run("withdraw", key, "--by", "Per")[1]


def test_who_runs_the_command_makes_the_setting(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody else is named; without a name the user's number stands in."""
    monkeypatch.setattr("getpass.getuser", lambda: "sysop")
    run("block", "--patient", ANNA)
    assert "  sysop  " in run("list", "--patient", ANNA)[1]

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    run("reserve", "--patient", ANNA)
    assert re.search(r"  user \d+  ", run("list", "--patient", ANNA)[1])


def test_without_settings_it_says_so(run: Run) -> None:
    """Not an empty table."""
    for more in ((), ("--all",)):
        assert run("list", "--patient", BO, *more) == (0, "This patient has had no privacy setting.\n", "")


def test_a_merged_id_lists_what_holds_for_the_person(run: Run, database: Database) -> None:
    """Under both."""
    run("block", "--patient", BO)
    domain = Domain("national", synthetic=True)
    database.transact(lambda connection: patients.merge(connection, domain, s.OTHER_PATIENT, s.PATIENT))
    assert run("list", "--patient", ANNA) == run("list", "--patient", BO)
    assert "blocked" in run("list", "--patient", ANNA)[1]


#: Arguments, exit status, what is said.
REFUSED = [
    (("block", "--patient", ANNA, "--whom", "citizen"), 1, "against somebody whom its kind knows"),
    (("block", "--patient", ANNA, "--whom", "organisation:1"), 1, "nine digits"),
    (("block", "--patient", ANNA, "--whom", "hpr:x"), 1, "one to nine digits"),
    (("refuse", "--patient", ANNA, "--whom", "person:1"), 1, "valid national number"),
    (("block", "--patient", ANNA, "--organisation", "1"), 1, "nine digits"),
    (("block", "--patient", BO, "--document", DOCUMENT), 1, "one of the patient's"),
    (("block", "--patient", "a^^^&1.2.3&ISO"), 1, "must be known here"),
    (("block", "--patient", ANNA, "--by", ""), 1, "who made it"),
    (("withdraw", "1"), 1, "list the patient's settings"),
    (("withdraw", "9" * 19), 1, "list the patient's settings"),
    (("withdraw", "x"), 2, "write the number"),
    (("withdraw",), 2, "KEY"),
    (("block", "--patient", "12"), 2, "11 digits"),
    (("block",), 2, "--patient"),
    (("refuse", "--patient", ANNA), 2, "--whom"),
    (("release", "--patient", ANNA), 2, "--at"),
    (("release", "--patient", ANNA, "--at", "soon"), 2, "A time is written as"),
    (("reserve", "--patient", ANNA, "--organisation", "310000000"), 2, "unrecognized"),
    (("block", "--patient", ANNA, "--organisation", "310000000", "--document", DOCUMENT), 2, "not allowed"),
    ((), 2, "COMMAND"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), REFUSED)
def test_what_cannot_be_is_said_in_a_sentence(
    run: Run, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """On standard error, and nothing is set."""
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert "no privacy setting" in run("list", "--patient", ANNA, "--all")[1]


def test_a_name_cannot_drive_the_terminal(run: Run) -> None:
    """Control characters are refused."""
    status, _, err = run("block", "--patient", ANNA, "--by", "a\x1b[2J")
    assert status == 1
    assert "\x1b" not in err
