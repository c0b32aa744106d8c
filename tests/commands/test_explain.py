"""`xds explain` as an operator has it: a ticket in, words in two languages or JSON out, and an exit status.

The tickets are those of the ticket service, for Anna, who has four documents; tests/access/test_explain.py
asks what is decided about whom. What is told is about people: it goes to the terminal, never to the log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.updates import member, message, send, uuid
from tests.test_cli import Said
from xds.access import privacy
from xds.cli import main
from xds.demo.tickets import CLINICIAN, GUARDIAN, PATIENT, TicketService
from xds.metadata.confidentiality import REFUSALS
from xds.metadata.model import Code
from xds.registry import patients
from xds.registry.registry import Options
from xds.store import schema
from xds.store.database import Database

ANNA, BO = s.PATIENT, s.OTHER_PATIENT
OTHER = BO.partition("^")[0]
OPEN, BLOCKED, REFUSED, FOREIGN, HIS = map(uuid, range(0xA1, 0xA6))
UNKNOWN = uuid(0xFF)
CODES = {
    OPEN: (s.NORMAL,),
    BLOCKED: (s.NORMAL, s.BLOCKED),
    REFUSED: (s.NORMAL, Code("NORN_FFL", REFUSALS, "x")),
    FOREIGN: (s.NORMAL, Code("x", "1.2.3", "x")),
}
NOT_VERIFIED = "xds: there is no trust file, so the ticket was not verified\n"

Explain = Callable[..., Said]
Issue = Callable[..., Path]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> TicketService:
    """Whose tickets the node believes."""
    return TicketService(tmp_path_factory.mktemp("service"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A node's registry with four documents of Anna's and one of Bo's."""
    found = Database(f"sqlite:///{tmp_path}/xds.db")
    found.migrate()
    desk = Desk(found, Options(patients="national", synthetic=True))
    for number, (own, codes) in enumerate({**CODES, HIS: (s.NORMAL,)}.items(), 1):
        pid = BO if own == HIS else ANNA
        entry = s.document_entry(
            entry_uuid=own,
            unique_id=f"1.2.3.{number}",
            patient_id=pid,
            source_patient_id=pid,
            source_patient_info=(),
            confidentiality_codes=codes,
        )
        of = s.submission_set(unique_id=f"1.2.4.{number}", patient_id=pid)
        desk.submit(s.submission(entry, of=of))
    return desk


@pytest.fixture
def run(
    desk: Desk,
    service: TicketService,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Explain:
    """Run `xds explain` on the node; whatever comes of it, nothing is logged."""
    monkeypatch.delenv("XDS_CONFIG", raising=False)
    monkeypatch.setenv("XDS_STORE__DATABASE", str(desk.database.url))
    monkeypatch.setenv("XDS_ENVIRONMENT", "test")
    monkeypatch.setenv("XDS_TRUST", str(service.trust))
    caplog.set_level(logging.DEBUG, "xds")

    def run(*arguments: object, patient: str = PATIENT) -> Said:
        capfd.readouterr()
        caplog.clear()
        try:
            status = main(["explain", "--patient", patient, *map(str, arguments)])
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        said = Said(status, *capfd.readouterr())
        assert "Traceback" not in said.err
        logged = [each for each in caplog.records if each.name.startswith("xds")]
        # The trust store tells at INFO what it has read, which the command line does not show.
        assert {(each.module, each.levelno) for each in logged} <= {("trust_store", logging.INFO)}
        return said

    return run


@pytest.fixture
def issue(service: TicketService, tmp_path: Path) -> Issue:
    """The file of a new ticket; `kind` is one of SAML's, or token or machine-token."""

    def issue(kind: str, **options: Any) -> Path:
        if kind.endswith("token"):
            text = service.token(machine=kind == "machine-token", **options)
        else:
            text = service.saml(kind, **options)
        file = tmp_path / f"{kind}.ticket"
        file.write_text(text)
        return file

    return issue


def rows(out: str) -> dict[str, tuple[str, str]]:
    """State and reasons of each document of the table, by its entryUUID."""
    found = {}
    for line in out.splitlines():
        if line.startswith("urn:uuid:"):
            own, _, _, state, *why = re.split(r"  +", line)
            found[own] = (state, why[0] if why else "")
    return found


def states(said: Said) -> dict[str, tuple[str, list[str]]]:
    """The same of the JSON."""
    return {each["entryUUID"]: (each["state"], each["reasons"]) for each in said.json["documents"]}


VISIBLE = ("synlig / visible", "")
MASKED, HIDDEN = "sperret / masked", "skjult / hidden"

#: A ticket, the rule in both languages, and what is told of the documents that are not open.
TOLD: list[tuple[str, dict[str, str], tuple[str, ...], dict[str, tuple[str, str]]]] = [
    (
        "personnel",
        {},
        (
            "helsepersonell",
            "health personnel",
            "sperrede dokumenter er skjult",
            "blocked documents are masked",
        ),
        {
            BLOCKED: (MASKED, "sperret av pasienten (NORS) / blocked by the patient (NORS)"),
            FOREIGN: (
                MASKED,
                "konfidensialitetskoden er ukjent / the confidentiality code is unknown",
            ),
        },
    ),
    (
        "personnel",
        {"purpose": "ETREAT"},
        ("  åpner det som er sperret, og det logges\n  opens what is blocked, and this is logged",),
        {},
    ),
    (
        "citizen",
        {},
        ("innbygger i egen journal", "a citizen in their own record"),
        {
            REFUSED: (HIDDEN, "nektet (NORN_FFL) / refused (NORN_FFL)"),
            FOREIGN: (
                HIDDEN,
                "konfidensialitetskoden er ukjent / the confidentiality code is unknown",
            ),
        },
    ),
    (
        "representative",
        {},
        ("representant med fullmakt", "a representative with a power of attorney"),
        {
            REFUSED: (HIDDEN, "nektet (NORN_FFL) / refused (NORN_FFL)"),
            FOREIGN: (
                HIDDEN,
                "konfidensialitetskoden er ukjent / the confidentiality code is unknown",
            ),
        },
    ),
    (
        "hso",
        {},
        ("helsepersonell", "health personnel"),
        {
            BLOCKED: (MASKED, "sperret av pasienten (NORS) / blocked by the patient (NORS)"),
            FOREIGN: (
                MASKED,
                "konfidensialitetskoden er ukjent / the confidentiality code is unknown",
            ),
        },
    ),
]


@pytest.mark.parametrize(("kind", "options", "words", "differing"), TOLD)
def test_each_document_is_told_in_both_languages(
    run: Explain,
    issue: Issue,
    kind: str,
    options: dict[str, str],
    words: tuple[str, ...],
    differing: dict[str, tuple[str, str]],
) -> None:
    """Open, masked and hidden, with why; and who the caller is taken for and by which rule."""
    said = run("--caller", issue(kind, **options))
    assert (said.status, said.err) == (0, "")
    assert rows(said.out) == dict.fromkeys(CODES, VISIBLE) | differing
    for word in words:
        assert word in said.out
    for head in ("HVEM SPØR / WHO ASKS", "TILGANGSPOLICY / POLICY", "REGEL / RULE", "DOKUMENTER / DOCUMENTS"):
        assert f"{head}\n" in said.out


def test_who_asks_is_told_by_what_the_ticket_says(run: Explain, issue: Issue) -> None:
    """Day, issuer, purpose, policy, ages, level and role; neither number nor name."""
    said = run("--caller", issue("personnel", acp="4"), "--at", datetime.now(UTC).isoformat())
    assert "  utsteder / issuer: urn:xds:demo:kjernejournal (kjernejournal)\n" in said.out
    assert "  formål / purpose: TREAT\n  tilgangsgrunnlag / acp: 4\n" in said.out
    assert re.search(r"  pasientens alder / patient's age: \d+\n", said.out)
    assert "  sikkerhetsnivå / security level: 4\n  rolle / role: LE\n" in said.out
    assert "  read-list: tillatt / permitted: personnel-read\n" in said.out
    assert "  read-document: tillatt / permitted: personnel-read\n" in said.out
    assert not any(each in said.out for each in (CLINICIAN, PATIENT, "Tuva", "Fjell"))


def test_what_other_rules_lack_is_told(run: Explain, issue: Issue) -> None:
    """In both languages, each rule on a line."""
    said = run("--caller", issue("personnel"))
    assert (
        "  - personnel-consent: tilgangsgrunnlaget (acp) passer ikke / the access policy (acp) does not fit\n"
        in said.out
    )
    assert "  - personnel-emergency: formålet passer ikke / the purpose of use does not fit\n" in said.out
    assert "self-16" not in said.out


def test_json_says_the_same(run: Explain, issue: Issue) -> None:
    """For programs: words are left out, reasons and criteria are given by their names."""
    said = run("--caller", issue("personnel"), "--json")
    assert (said.status, said.err) == (0, "")
    documents = said.json.pop("documents")
    assert documents[1] == {
        "entryUUID": BLOCKED,
        "class": "A00-1",
        "codes": ["N", "NORS"],
        "approved": True,
        "state": "masked",
        "reasons": ["NORS"],
    }
    found = json.loads(said.out)
    assert {
        key: value for key, value in found.items() if key not in ("documents", "patientAge", "callerAge")
    } == {
        "relation": "personnel",
        "purpose": "TREAT",
        "acp": "0",
        "policies": {
            "read-list": {"permitted": True, "policy": "personnel-read"},
            "read-document": {"permitted": True, "policy": "personnel-read"},
        },
        "ticketIsForThisPatient": True,
        "rule": "personnel",
        "otherRules": {
            "personnel-consent": ["acp"],
            "personnel-emergency": ["purpose"],
            "personnel-emergency-policy": ["acp"],
        },
    }
    assert isinstance(found["patientAge"], int)
    assert states(said) == {
        OPEN: ("shown", []),
        BLOCKED: ("masked", ["NORS"]),
        REFUSED: ("shown", []),
        FOREIGN: ("masked", ["UNKNOWN"]),
    }


# ---- tickets that see nothing


def test_a_ticket_for_another_patient_is_told(run: Explain, issue: Issue) -> None:
    """Of the request and of each document; the command has done what it was asked."""
    said = run("--caller", issue("personnel"), patient=OTHER)
    assert said.status == 0
    assert "  billetten gjelder en annen pasient / the ticket is for another patient\n" in said.out
    why = "billetten gjelder en annen pasient / the ticket is for another patient"
    assert rows(said.out) == {HIS: (HIDDEN, why)}
    found = run("--caller", issue("personnel"), "--json", patient=BO)
    assert found.json["ticketIsForThisPatient"] is False
    assert states(found) == {HIS: ("hidden", ["patient"])}


def test_a_policy_that_denies_is_told(
    run: Explain, issue: Issue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id, from the node's own file; where none permits, that is told."""
    own = tmp_path / "own.toml"
    own.write_text('[[policy]]\nid = "closed-today"\neffect = "deny"\nactions = ["read-list"]\n')
    monkeypatch.setenv("XDS_ACCESS__POLICY", str(own))
    said = run("--caller", issue("personnel"))
    assert said.status == 0
    assert "  read-list: nektet / denied: closed-today\n" in said.out
    assert "  read-document: nektet / denied: ingen policy passer / no policy applies\n" in said.out
    why = "tilgangspolicyen nekter / the access policy denies"
    assert rows(said.out) == dict.fromkeys(CODES, (HIDDEN, why))
    policies = run("--caller", issue("personnel"), "--json").json["policies"]
    assert policies == {
        "read-list": {"permitted": False, "policy": "closed-today"},
        "read-document": {"permitted": False, "policy": ""},
    }


def test_a_policy_file_that_is_wrong_is_told_as_by_check(
    run: Explain, issue: Issue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that is wrong in it; nothing is explained by another policy than the node's."""
    own = tmp_path / "own.toml"
    own.write_text('[[policy]]\nid = "a"\neffect = "x"\nactions = []\n')
    monkeypatch.setenv("XDS_ACCESS__POLICY", str(own))
    said = run("--caller", issue("personnel"))
    assert (said.status, said.out) == (1, "")
    assert "policy 1 (a): effect: is neither permit nor deny\n" in said.err
    assert 'policy 1 (a): actions: is not a list of texts: write ["…"]\n' in said.err


def test_where_no_rule_fits_that_is_told(
    run: Explain, issue: Issue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what each rule for the same relation lacks; here nobody says a role."""
    own = tmp_path / "own.toml"
    own.write_text('[[policy]]\nid = "all"\neffect = "permit"\nactions = ["read-list"]\n')
    monkeypatch.setenv("XDS_ACCESS__POLICY", str(own))
    said = run("--caller", issue("personnel", hpr=""))
    assert "ingen regel passer: nei\n  no rule fits: no\n" in said.out
    role = "det mangler en rolle for helsepersonell / no role of health personnel is stated"
    assert f"  - personnel: {role}\n" in said.out
    assert rows(said.out) == dict.fromkeys(CODES, (HIDDEN, "ingen regel passer / no rule fits"))
    assert run("--caller", issue("personnel", hpr=""), "--json").json["rule"] is None


def test_a_rule_that_denies_is_told(run: Explain, issue: Issue) -> None:
    """With its words, and of each document."""
    said = run("--caller", issue("representative", acp="1"))
    assert "  parent-12 (" in said.out
    assert "  From the child's 12th birthday parents have no electronic access\n" in said.out
    assert rows(said.out) == dict.fromkeys(CODES, (HIDDEN, "regelen nekter / the rule denies"))


# ---- one document


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_one_document_is_told_alone(run: Explain, issue: Issue, form: tuple[str, ...]) -> None:
    """By its entryUUID, whatever its state; also one that the caller cannot see."""
    for kind, own, state in (("personnel", BLOCKED, "masked"), ("citizen", REFUSED, "hidden")):
        said = run("--caller", issue(kind), "--document", own, *form)
        assert (said.status, said.err) == (0, "")
        if form:
            assert [(each, found[0]) for each, found in states(said).items()] == [(own, state)]
        else:
            assert [(each, found[0].endswith(state)) for each, found in rows(said.out).items()] == [
                (own, True)
            ]


@pytest.mark.parametrize("own", [UNKNOWN, HIS, "1.2.3.1"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_document_that_the_patient_has_not_is_said(
    run: Explain, issue: Issue, own: str, form: tuple[str, ...]
) -> None:
    """Whether it is another's or nobody's: exit 1, and nothing else is told."""
    said = run("--caller", issue("personnel"), "--document", own, *form)
    assert (said.status, said.out) == (1, "")
    assert said.err == "xds: The patient has no document entry with this entryUUID.\n"


def test_an_empty_entry_uuid_is_no_document(run: Explain, issue: Issue) -> None:
    """A script with an unset variable is told so, and not that there are no documents."""
    assert run("--caller", issue("personnel"), "--document", "").status == 1


def test_an_entry_uuid_may_be_written_in_capitals(run: Explain, issue: Issue) -> None:
    """As in a query (RFC 4122, 3), and in `xds privacy`."""
    own = OPEN[:9] + OPEN[9:].upper()
    assert run("--caller", issue("personnel"), "--document", own).status == 0


def test_an_older_version_is_the_patient_s_too(run: Explain, issue: Issue, desk: Desk) -> None:
    """It may stand in a log or in a complaint; its newest version decides about it."""
    new = s.document_entry(
        entry_uuid=uuid(0x10),
        unique_id="1.2.3.1",
        logical_id=OPEN,
        source_patient_info=(),
        confidentiality_codes=(s.NORMAL, s.BLOCKED),
    )
    assert send(desk, message(new, member(uuid(0x10))))
    said = run("--caller", issue("personnel"), "--document", OPEN)
    assert said.status == 0
    assert "sperret / masked" in said.out


# ---- patients and settings


def test_a_patient_may_be_written_in_either_way(run: Explain, issue: Issue) -> None:
    """As a number or as a whole CX."""
    file = issue("personnel")
    assert run("--caller", file).out == run("--caller", file, patient=ANNA).out


def test_a_patient_without_documents_is_told(run: Explain, issue: Issue) -> None:
    """Not an empty table."""
    said = run("--caller", issue("personnel", patient=GUARDIAN), patient=GUARDIAN)
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("DOKUMENTER / DOCUMENTS\n  ingen / none\n")
    assert (
        run("--caller", issue("personnel", patient=GUARDIAN), "--json", patient=GUARDIAN).json["documents"]
        == []
    )


def test_a_merged_patient_s_documents_are_told_together(run: Explain, issue: Issue, desk: Desk) -> None:
    """By either id."""
    desk.database.transact(lambda c: patients.merge(c, desk.registry.domain, BO, ANNA))
    for patient in (PATIENT, OTHER):
        assert set(rows(run("--caller", issue("personnel"), patient=patient).out)) == {*CODES, HIS}


#: A setting, who asks, and what is told of a document of code N.
SETTINGS = [
    (schema.BLOCK, "", "personnel", (MASKED, "sperret av en innstilling / blocked by a privacy setting")),
    (
        schema.REFUSAL,
        "citizen",
        "citizen",
        (HIDDEN, "nektet av en innstilling / refused by a privacy setting"),
    ),
    (
        schema.RESERVATION,
        "",
        "personnel",
        (HIDDEN, "pasienten har reservert seg / the patient has made a reservation"),
    ),
]


@pytest.mark.parametrize(("kind", "whom", "ticket", "expected"), SETTINGS)
def test_a_setting_of_the_patient_is_told(
    run: Explain, issue: Issue, desk: Desk, kind: int, whom: str, ticket: str, expected: tuple[str, str]
) -> None:
    """From the moment when it is made."""
    given = (desk.registry.domain, ANNA, kind, whom)
    desk.database.transact(lambda connection: privacy.make(connection, *given, by="kari"))
    assert rows(run("--caller", issue(ticket)).out)[OPEN] == expected


def test_it_is_told_as_of_a_time(run: Explain, issue: Issue, desk: Desk) -> None:
    """Delayed access ends later than now; the day is that of the time, in Norway."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    given = (desk.registry.domain, ANNA, schema.RELEASE)
    number = int(until.strftime("%Y%m%d%H%M%S"))
    desk.database.transact(lambda c: privacy.make(c, *given, by="kari", release_time=number))
    new = s.document_entry(
        entry_uuid=uuid(0x20),
        unique_id="1.2.3.32",
        source_patient_info=(),
        confidentiality_codes=(Code("NORU", REFUSALS, "x"),),
    )
    desk.submit(s.submission(new, of=s.submission_set(unique_id="1.2.4.32")))
    file = issue("citizen")
    for moment, expected in (
        (until - timedelta(seconds=1), (HIDDEN, "utsatt innsyn (NORU) / delayed access (NORU)")),
        (until, VISIBLE),
    ):
        said = run("--caller", file, "--at", moment.isoformat())
        assert rows(said.out)[uuid(0x20)] == expected
    said = run("--caller", file, "--at", "2026-06-14T22:00:00Z")
    assert "  dag / day: 2026-06-15\n" in said.out
    assert (
        run("--caller", file, "--at", "2026-06-14T22:00").out
        == run("--caller", file, "--at", "2026-06-14T22:00Z").out
    )


@pytest.mark.parametrize("at", ["", "soon", "2026-13-01", "2026-06-14T25:00"])
def test_a_time_that_is_none_is_said(run: Explain, issue: Issue, at: str) -> None:
    """With an example."""
    said = run("--caller", issue("citizen"), "--at", at)
    assert (said.status, said.out) == (2, "")
    assert "write a time such as" in said.err


@pytest.mark.parametrize("at", ["0001-01-01T00:00+02:00", "9999-12-31T23:59Z"])
def test_a_time_that_no_calendar_has_is_said(run: Explain, issue: Issue, at: str) -> None:
    """As `xds privacy release` says it."""
    said = run("--caller", issue("citizen"), "--at", at)
    assert (said.status, said.out) == (2, "")


# ---- what kind of file it is


def test_a_token_of_a_system_is_explained(run: Explain, issue: Issue) -> None:
    """A JWT by the same words; what it may not do is told, with every rule and document."""
    said = run("--caller", issue("machine-token"))
    assert (said.status, said.err) == (0, "")
    assert "et system uten person bak seg\n  a system without a person behind it\n" in said.out
    assert "  read-list: nektet / denied: ingen policy passer / no policy applies\n" in said.out
    assert {state for state, _ in rows(said.out).values()} == {HIDDEN}


def test_a_token_of_health_personnel_is_explained(run: Explain, issue: Issue) -> None:
    """It names no patient (norwegian-profile 4.11), so it opens nobody's record by itself."""
    said = run("--caller", issue("token"), "--json")
    assert (said.status, said.err) == (0, "")
    assert said.json["policies"]["read-list"] == {"permitted": True, "policy": "personnel-read"}
    assert (said.json["relation"], said.json["rule"]) == ("unknown", None)
    assert said.json["ticketIsForThisPatient"] is False
    assert {state for state, _ in states(said).values()} == {"hidden"}


def test_a_token_may_stand_in_its_header(run: Explain, issue: Issue) -> None:
    """As it is copied from a trace."""
    file = issue("token")
    alone = run("--caller", file)
    file.write_text(f"Authorization: DPoP {file.read_text()}\n")
    assert run("--caller", file).out == alone.out


@pytest.mark.parametrize("kind", ["personnel", "citizen", "token"])
def test_without_a_trust_file_it_is_explained_unverified(
    run: Explain, issue: Issue, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And that is said, on standard error, so that JSON stays JSON."""
    file = issue(kind)
    verified = run("--caller", file, "--json")
    monkeypatch.delenv("XDS_TRUST")
    said = run("--caller", file, "--json")
    assert (said.status, said.err) == (0, NOT_VERIFIED)
    assert said.json == verified.json


#: How a ticket is spoiled, and the reason for which the node would turn it away.
SPOILED: list[tuple[str, Callable[[str], str], str]] = [
    ("personnel", lambda text: text.replace("Tuva", "Tova"), "ticket-signature"),
    ("personnel", lambda text: text.replace("<saml:Issuer>urn:", "<saml:Issuer>urm:"), "ticket-issuer"),
    ("token", lambda text: text[:-4] + ("AAAA" if not text.endswith("AAAA") else "BBBB"), "token-signature"),
]


@pytest.mark.parametrize(("kind", "spoil", "reason"), SPOILED)
def test_a_ticket_that_is_not_good_is_explained_as_if_it_were(
    run: Explain, issue: Issue, kind: str, spoil: Callable[[str], str], reason: str
) -> None:
    """With the reason for which the node turns it away, on standard error."""
    file = issue(kind)
    file.write_text(spoil(file.read_text()))
    said = run("--caller", file)
    assert said.status == 0
    assert said.err == f"xds: this node would turn the ticket away ({reason}); as if it were good:\n"
    assert rows(said.out)


def test_a_ticket_that_has_ended_is_explained(run: Explain, issue: Issue) -> None:
    """Somebody asks tomorrow why they saw nothing today; as of then, it is good."""
    then = datetime.now(UTC) - timedelta(days=1)
    file = issue("personnel", now=then)
    said = run("--caller", file)
    assert said.status == 0
    assert "would turn the ticket away (ticket-time" in said.err or "(ticket-expired" in said.err
    assert run("--caller", file, "--at", (then + timedelta(minutes=5)).isoformat()).err == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"<", b"<a/>", b"nothing", b"a.b.c", b"\x00\xff", b"<!DOCTYPE a><a/>", b"." * 100_000],
    ids=["empty", "cut", "other XML", "a word", "no JSON", "binary", "DTD", "points"],
)
def test_a_file_that_is_no_ticket_is_said(
    run: Explain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """With a trust file and without: exit 1 and a sentence that says what helps, nothing of the file."""
    file = tmp_path / "file"
    file.write_bytes(data)
    said = run("--caller", file)
    assert (said.status, said.out) == (1, "")
    sentence = "xds: The file is no ticket that can be read: see `xds ticket show`.\n"
    assert said.err.endswith(sentence)
    monkeypatch.delenv("XDS_TRUST")
    assert run("--caller", file).err == NOT_VERIFIED + sentence


def test_a_file_that_cannot_be_read_is_said(run: Explain, tmp_path: Path) -> None:
    """One that is not there, and a folder."""
    for path in (tmp_path / "none", tmp_path):
        said = run("--caller", path)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("xds: The ticket cannot be read: ")


def test_what_nobody_has_signed_cannot_drive_the_terminal(
    run: Explain, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unverified ticket may hold anything: it is shown without what a terminal obeys, and on one line."""
    monkeypatch.delenv("XDS_TRUST")
    file = issue("xua")
    text = file.read_text()
    for old in ("urn:xds:demo:xua<", "TREAT", 'code="LE"'):
        new = old[:-1] + "&#x9b;2J&#10;REGEL / RULE" + old[-1]
        file.write_text(text.replace(old, new))
        said = run("--caller", file)
        assert "\x9b" not in said.out
        assert said.out.count("\nREGEL / RULE") <= 1


# ---- how it is called


WRONG_USE = [
    ((), PATIENT, "required: --caller"),
    (("--caller", "x"), "12", "11 digits"),
    (("--caller", "x"), "17855599121", "control digits"),
    (("--caller", "x", "--nothing"), PATIENT, "unrecognized"),
]


@pytest.mark.parametrize(("arguments", "patient", "said"), WRONG_USE)
def test_wrong_use_is_said(run: Explain, arguments: tuple[str, ...], patient: str, said: str) -> None:
    """Exit 2, and no number."""
    found = run(*arguments, patient=patient)
    assert (found.status, found.out) == (2, "")
    assert said in found.err


def test_a_node_without_a_database_is_said(
    run: Explain, issue: Issue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none is made."""
    monkeypatch.setenv("XDS_STORE__DATABASE", f"sqlite:///{tmp_path}/none.db")
    said = run("--caller", issue("personnel"))
    assert (said.status, said.out) == (1, "")
    assert "xds migrate" in said.err
    assert not (tmp_path / "none.db").exists()


def test_the_node_s_settings_hold(
    run: Explain, issue: Issue, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time limits: the class of every document here has none, and a citizen is held to none."""
    entry = s.document_entry(
        entry_uuid=uuid(0x30), unique_id="1.2.3.48", source_patient_info=(), class_code=s.NOTE_GROUP,
        type_code=s.NOTE,
    )  # fmt: skip
    desk.submit(s.submission(entry, of=s.submission_set(unique_id="1.2.4.48")))
    assert rows(run("--caller", issue("personnel")).out)[uuid(0x30)] == VISIBLE
    monkeypatch.setenv("XDS_ACCESS__TIME_LIMITS", "kjernejournal")
    found = rows(run("--caller", issue("personnel")).out)
    assert found[OPEN] == VISIBLE
    assert found[uuid(0x30)] == (
        HIDDEN,
        "eldre enn kjernejournalforskriften tillater / older than Kjernejournalforskriften allows",
    )
    assert rows(run("--caller", issue("citizen")).out)[uuid(0x30)] == VISIBLE
