"""`xds ticket`, and the tickets of the other commands: as an integrator uses them on a laptop."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.client.documents import new_number
from tests.nodes import Node
from tests.test_cli import Run, Said
from xds.cli import main
from xds.demo.commands import KINDS
from xds.demo.tickets import CLINICIAN, GUARDIAN, PATIENT, SAMPLES, TicketService


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ticket service."""
    return tmp_path_factory.mktemp("service") / "xds-demo"


@pytest.fixture
def run(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run `xds` in this process and in a new folder, without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDS_TICKET", "XDS_TRUST", "XDS_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture
def issue(run: Run, folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """The file of a new ticket."""

    def issue(kind: str, *options: object) -> Path:
        file = tmp_path / f"{kind}.ticket"
        said = run("ticket", "issue", "--kind", kind, "--folder", folder, "--out", file, *options)
        assert (said.status, said.out) == (0, "")
        return file

    return issue


EXPECTED = {
    "personnel": ("personnel", CLINICIAN),
    "citizen": ("citizen", PATIENT),
    "representative": ("representative", GUARDIAN),
    "hso": ("personnel", CLINICIAN),
    "xua": ("personnel", CLINICIAN),
    "system": ("machine", None),
    "token": ("personnel", CLINICIAN),
    "machine-token": ("machine", None),
}


def test_the_kinds_are_those_that_are_issued():
    """The command line knows them by heart, so that it starts without the ticket service."""
    assert set(KINDS) == {*SAMPLES, "token", "machine-token"} == set(EXPECTED)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_issued_is_shown_and_verified(run: Run, issue: Callable[..., Path], folder: Path, kind: str):
    """Each kind: by the trust file that was written beside the keys, as lines and as JSON; and without."""
    file = issue(kind)
    caller, person = EXPECTED[kind]
    said = run("ticket", "show", file, "--trust", folder / "trust.toml")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("Verified: ")
    assert said.out.splitlines()[1].split() == ["Kind:", caller]
    shown = run("ticket", "show", file, "--trust", folder / "trust.toml", "--json").json
    assert shown["verified"] is True
    assert shown["kind"] == caller
    assert shown.get("person", {}).get("value") == person
    unverified = run("ticket", "show", file)
    assert (unverified.status, unverified.err) == (0, "")
    assert unverified.out.startswith("NOT VERIFIED: ")
    assert unverified.out.splitlines()[1:] == said.out.splitlines()[1:]
    assert run("ticket", "show", file, "--json").json == shown | {"verified": False}


def test_a_ticket_goes_to_standard_output_or_to_a_file_of_one_s_own(run: Run, folder: Path, tmp_path: Path):
    """Where its keys are trusted is said on standard error; the file has mode 0600."""
    said = run("ticket", "issue", "--kind", "xua", "--folder", folder)
    assert said.out.startswith("<saml2:Assertion ")
    assert str(folder / "trust.toml") in said.err
    file = tmp_path / "ticket.xml"
    run("ticket", "issue", "--kind", "xua", "--folder", folder, "--out", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["ticket.xml"]


def test_the_folder_is_xds_demo_unless_said(run: Run, tmp_path: Path):
    """Beside whatever one is doing."""
    assert run("ticket", "issue", "--kind", "system").status == 0
    assert (tmp_path / "xds-demo" / "trust.toml").is_file()


def test_a_proof_comes_on_a_line_of_its_own(run: Run, folder: Path, tmp_path: Path):
    """Token, then proof, each a JWT; `show` reads the first line."""
    said = run(
        "ticket", "issue", "--kind", "token", "--folder", folder, "--proof-for", "GET", "http://h/fhir"
    )
    token, proof = said.out.splitlines()
    assert token.count(".") == proof.count(".") == 2
    (tmp_path / "both").write_text(said.out)
    assert run("ticket", "show", tmp_path / "both", "--trust", folder / "trust.toml").status == 0
    (tmp_path / "header").write_text(f"Authorization: DPoP {token}\n")
    assert run("ticket", "show", tmp_path / "header", "--trust", folder / "trust.toml").status == 0


def test_what_is_said_of_the_ticket_is_in_it(run: Run, issue: Callable[..., Path]):
    """Every option of `issue`."""
    person, patient = new_number(), new_number()
    file = issue(
        "personnel", "--person", person, "--name", "Ask Berg", "--patient", patient, "--hpr", "1234567",
        "--purpose", "BTG", "--acp", "7", "--minutes", "5",
    )  # fmt: skip
    shown = run("ticket", "show", file, "--json").json
    assert (shown["person"]["value"], shown["name"], shown["hpr"]) == (person, "Ask Berg", "1234567")
    assert (shown["patient"]["value"], shown["purpose"]["code"]) == (patient, "BTG")
    assert shown["acp"] == "2.16.578.1.12.4.1.7.2.1.7"
    left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)


def test_the_node_s_own_trust_file_is_used(
    run: Run, issue: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """From XDS_TRUST, or from the settings file."""
    file = issue("hso")
    (tmp_path / "xds.toml").write_text(f'trust = "{folder / "trust.toml"}"\n')
    assert run("ticket", "show", file, "--config", tmp_path / "xds.toml").out.startswith("Verified: ")
    monkeypatch.setenv("XDS_TRUST", str(folder / "trust.toml"))
    assert run("ticket", "show", file).out.startswith("Verified: ")


def test_a_whole_message_is_shown_by_its_assertion(run: Run, issue: Callable[..., Path], folder: Path):
    """As it stands in a trace: the envelope around it is nobody's business here."""
    file = issue("citizen")
    ticket = file.read_text()
    file.write_text(
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header><w:Security xmlns:w="urn:w">'
        f"{ticket}</w:Security></s:Header><s:Body/></s:Envelope>"
    )
    assert run("ticket", "show", file, "--trust", folder / "trust.toml").status == 0
    file.write_text(f"<two>{ticket}{ticket}</two>")
    assert run("ticket", "show", file).err.startswith("xds: ticket-many: ")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_nobody_has_signed_cannot_drive_the_terminal(
    run: Run, issue: Callable[..., Path], form: tuple[str, ...]
):
    """An issuer's name is shown without what a terminal obeys, and on one line."""
    file = issue("xua")
    file.write_text(file.read_text().replace("urn:xds:demo:xua<", "a&#x9b;2J&#10;Kind: x&#x2028;<"))
    said = run("ticket", "show", file, *form)
    assert said.status == 0
    assert "a 2J Kind: x " in said.out
    assert "\x9b" not in said.out


#: (kind, how its text is spoiled, the reason): verified against the trust file.
SPOILED: list[tuple[str, Callable[[str], str], str]] = [
    ("personnel", lambda text: text.replace("Tuva", "Tova"), "ticket-signature"),
    ("personnel", lambda text: text.replace("<saml:Issuer>urn:", "<saml:Issuer>urm:"), "ticket-issuer"),
    ("xua", lambda text: re.sub("<ds:Signature.*</ds:Signature>", "", text, flags=re.S), "ticket-unsigned"),
    ("xua", lambda text: text.replace("Fjell<", "Fj<!-- -->ell<"), "ticket-remarks"),
    ("hso", lambda text: "<nothing/>", "ticket-kind"),
    ("token", lambda text: text[:30] + ("A" if text[30] != "A" else "B") + text[31:], "token-"),
    ("token", lambda text: "nothing", "token-form"),
    ("token", lambda text: " \n", "token-form"),
]


@pytest.mark.parametrize(("kind", "spoil", "reason"), SPOILED)
def test_a_bad_ticket_is_said_with_its_reason(
    run: Run,
    issue: Callable[..., Path],
    folder: Path,
    kind: str,
    spoil: Callable[[str], str],
    reason: str,
):
    """Exit 1; the id and sentence of docs/tickets.md, and nothing of the ticket."""
    file = issue(kind)
    file.write_text(spoil(file.read_text()))
    said = run("ticket", "show", file, "--trust", folder / "trust.toml")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith(f"xds: {reason}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "data", [b"", b"<", b"<a", b"\x00\xff", b"\xff\xfe<\x00", b"a.b.c", b"<!DOCTYPE a><a/>", b"." * 100_000]
)
def test_a_file_that_is_no_ticket_is_said(run: Run, folder: Path, tmp_path: Path, data: bytes):
    """With a trust file and without: exit 1 and a sentence."""
    TicketService(folder)
    (tmp_path / "file").write_bytes(data)
    for trust in ((), ("--trust", folder / "trust.toml")):
        said = run("ticket", "show", tmp_path / "file", *trust)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("xds: ")
        assert "Traceback" not in said.err


WRONG_USE = [
    (("issue",), 2, "required: --kind"),
    (("issue", "--kind", "doctor"), 2, "invalid choice"),
    (("issue", "--kind", "citizen", "--hpr", "1"), 2, "--hpr has no meaning in a ticket of --kind citizen"),
    (("issue", "--kind", "hso", "--acp", "4"), 2, "--acp has no meaning"),
    (("issue", "--kind", "xua", "--proof-for", "GET", "http://h"), 2, "--proof-for has no meaning"),
    (("issue", "--kind", "machine-token", "--person", CLINICIAN), 2, "--person has no meaning"),
    (("issue", "--kind", "xua", "--minutes", "many"), 2, "invalid int"),
    (("issue", "--kind", "xua", "--minutes", "0"), 1, "1 to 1440 minutes"),
    (("issue", "--kind", "xua", "--person", "12345678901"), 1, "synthetic people only"),
    (("issue", "--kind", "xua", "--folder", __file__), 2, "argument --folder: keys cannot be kept there: "),
    (
        ("issue", "--kind", "xua", "--out", "gone/ticket.xml"),
        2,
        "argument --out: it cannot be written: No such",
    ),
    (("show", "gone.xml"), 2, "there is no file gone.xml"),
    (("show", __file__, "--trust", "gone.toml"), 2, "there is no file gone.toml"),
    (("show", __file__, "--trust", __file__), 1, "is not TOML"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), WRONG_USE)
def test_wrong_use_is_said(run: Run, arguments: tuple[str, ...], status: int, said: str):
    """Exit 2 for what the command line cannot take, 1 for what is not issued; no number is repeated."""
    answer = run("ticket", *arguments)
    assert (answer.status, answer.out) == (status, "")
    assert said in answer.err
    assert "12345678901" not in answer.err
    assert "Traceback" not in answer.err


def test_the_other_commands_start_without_what_reads_tickets():
    """Signatures and keys take a fifth of a second to import, which `xds find` does not need."""
    program = (
        "import sys, xds.cli; xds.cli._parser();"
        "print({'signxml', 'joserfc', 'cryptography', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---- against a node that wants tickets


@pytest.fixture(scope="module")
def strict_node(new_node: Callable[..., Node], folder: Path) -> Iterator[Node]:
    """A node that believes the service."""
    node = new_node(access__ticket="required", trust=TicketService(folder).trust)
    yield node
    node.stop()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A text file."""
    file = tmp_path / "notat.txt"
    file.write_text("Blåbær.")
    return file


#: Kind of ticket -> what its holder may do.
MAY = {
    "personnel": {"submit", "find", "fetch"},
    "citizen": {"find", "fetch"},
    "representative": {"find", "fetch"},
    "hso": {"submit", "find", "fetch"},
    "xua": {"submit", "find", "fetch"},
    "system": {"submit", "find"},
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_submit_find_and_fetch_show_the_ticket(
    run: Run, issue: Callable[..., Path], strict_node: Node, note: Path, tmp_path: Path, kind: str
):
    """With --ticket, whatever its kind: what its holder may do is done, and the rest is refused as such."""
    patient = new_number()
    about = () if kind == "system" else ("--patient", patient)
    shown = ("--url", strict_node.url, "--ticket", issue(kind, *about))
    others = ("--url", strict_node.url, "--ticket", issue("personnel", "--patient", patient, "--name", "Ask"))
    submitted = run("submit", note, "--patient", patient, "--json", *shown)
    if "submit" not in MAY[kind]:
        assert_not_permitted(submitted)
        submitted = run("submit", note, "--patient", patient, "--json", *others)
    document = submitted.json["documents"][0]
    (entry,) = run("find", "--patient", patient, "--json", *shown).json
    assert entry["entry_uuid"] == document["entry_uuid"]
    said = run("fetch", entry["entry_uuid"], "--to", tmp_path / "out", "--json", *shown)
    if "fetch" not in MAY[kind]:
        assert_not_permitted(said)
        return
    (fetched,) = said.json
    assert Path(fetched["file"]).read_bytes() == note.read_bytes()


def assert_not_permitted(said: Said) -> None:
    """Exit 1, nothing done, and the policy's refusal in words."""
    assert said.status == 1
    assert said.out in ("", "[]\n")
    assert "[access-policy;" in said.err


def test_the_ticket_may_be_named_in_the_environment(
    run: Run, issue: Callable[..., Path], strict_node: Node, monkeypatch: pytest.MonkeyPatch
):
    """XDS_TICKET is the path of its file; a file that is not there is wrong use."""
    patient = new_number()
    monkeypatch.setenv("XDS_TICKET", str(issue("personnel", "--patient", patient)))
    assert run("find", "--patient", patient, "--url", strict_node.url).status == 0
    monkeypatch.setenv("XDS_TICKET", "gone.xml")
    assert run("find", "--patient", patient, "--url", strict_node.url).status == 2


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (None, "InvalidSecurity: show one (--ticket FILE, or XDS_TICKET), or"),
        (lambda text: text.replace("Tuva", "Tova"), "FailedCheck:"),
        (lambda text: text.replace("<saml:Issuer>urn:", "<saml:Issuer>urm:"), "FailedAuthentication:"),
    ],
)
def test_a_refusal_is_told_with_its_code(
    run: Run,
    issue: Callable[..., Path],
    strict_node: Node,
    spoil: Callable[[str], str] | None,
    code: str,
):
    """Exit 1; the code of WS-Security, and what to do."""
    arguments: list[object] = ["find", "--patient", new_number(), "--url", strict_node.url]
    if spoil is not None:
        file = issue("personnel")
        file.write_text(spoil(file.read_text()))
        arguments += ["--ticket", file]
    said = run(*arguments)
    assert (said.status, said.out) == (1, "")
    assert said.err.endswith(f"\n  {code} ask for a new ticket.\n")


def test_a_file_that_is_no_assertion_is_not_sent(run: Run, strict_node: Node, tmp_path: Path):
    """An empty file too: a ticket was meant to be shown."""
    for content in ("", json.dumps({})):
        (tmp_path / "ticket").write_text(content)
        said = run(
            "find", "--patient", new_number(), "--url", strict_node.url, "--ticket", tmp_path / "ticket"
        )
        assert said.status == 1
        assert "not one SAML 2.0 assertion" in said.err
