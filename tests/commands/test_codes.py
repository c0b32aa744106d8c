"""`xds codes` as its users have it: arguments and files in, words and an exit status out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from xds.cli import main
from xds.metadata.codesystems import built_in, load

FILES = Path(__file__).parent / "code_files"
REFUSED = FILES / "refused"
N = "2.16.578.1.12.4.1.1."

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the node's own tables, which is not there yet."""
    return tmp_path / "own" / "codes"


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xds codes` with that folder: exit status, standard output, standard error."""
    monkeypatch.delenv("XDS_CONFIG", raising=False)

    def run(*arguments: object, own: bool = True) -> tuple[int, str, str]:
        if own:
            monkeypatch.setenv("XDS_CODES__FOLDER", str(folder))
        else:
            monkeypatch.delenv("XDS_CODES__FOLDER", raising=False)
        capfd.readouterr()
        try:
            status = main(["codes", *map(str, arguments)])
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        out, err = capfd.readouterr()
        return status, out, err

    return run


def lines(text: str) -> list[str]:
    """The lines that say what was added, removed or renamed."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def test_list_shows_every_system(run: Run) -> None:
    """Number, name, number of codes, completeness and source; a system without table is said to have none."""
    status, out, _ = run("list", own=False)
    assert status == 0
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows.keys() - {"SYSTEM"} == built_in().systems.keys()
    assert "Dokumenttyper" in rows[N + "9602"]
    assert "  64 " in rows[N + "9602"]
    assert "  yes " in rows[N + "9602"]
    assert "no-kodeverk-9603.fsh" in rows[N + "9603"]
    assert "NORPAT" in rows[N + "7010"]
    assert "no table" in rows[N + "7010"]


def test_list_as_json_has_the_same_systems(run: Run) -> None:
    """For whoever wants to work with it."""
    status, out, _ = run("list", "--json", own=False)
    listed = {each["id"]: each for each in json.loads(out)}
    assert status == 0
    assert listed.keys() == built_in().systems.keys()
    assert listed[N + "9602"]["codes"] == 64


@pytest.mark.parametrize("name", ["9603", N + "9603", f"urn:oid:{N}9603"])
def test_show_lists_the_codes_of_a_system(run: Run, name: str) -> None:
    """By its number, its OID or another name."""
    status, out, _ = run("show", name, own=False)
    assert status == 0
    assert "NORS" in out
    assert "Sperret" in out


def test_show_may_show_one_code(run: Run) -> None:
    """With its group and use, and no other code."""
    status, out, _ = run("show", "9602", "A03-2", own=False)
    assert status == 0
    (row,) = (line for line in out.splitlines() if line.startswith("A"))
    assert row.split() == ["A03-2", "Epikrise", "for", "typeCode,", "of", "A00-1"]


def test_show_of_a_system_without_table_says_so(run: Run) -> None:
    """There is nothing to list."""
    status, out, _ = run("show", "7010", own=False)
    assert status == 0
    assert "NORPAT" in out
    assert "any code is accepted" in out


@pytest.mark.parametrize(
    ("system", "code", "status", "words"),
    [
        ("9602", "A03-2", 0, "Epikrise."),
        ("9060", "MT", 0, "withdrawn"),
        ("7110", "J06.9", 0, "any code is accepted"),
        ("FormatCodes", "urn:ihe:pcc:xphr:2007", 0, "PCC XPHR"),
        ("9602", "X", 1, "is complete: it is refused"),
        ("9603", "NORN-ANG", 1, "is complete: it is refused"),
        ("9034", "99", 1, "is not complete: it is warned of"),
        ("1.2.3", "X", 1, "this code system is not known here"),
    ],
)
def test_check_says_in_words_whether_a_code_is_there(
    run: Run, system: str, code: str, status: int, words: str
) -> None:
    """And by its exit status."""
    found, out, err = run("check", system, code, own=False)
    assert (found, words in out + err) == (status, True)
    assert bool(out) == (status == 0)


def test_show_of_an_unknown_code_fails(run: Run) -> None:
    """As `check` does."""
    status, out, err = run("show", "9602", "X", own=False)
    assert (status, out) == (1, "")
    assert "it is refused" in err


def test_import_needs_a_folder(run: Run) -> None:
    """The built-in tables are nobody's to change."""
    status, _, err = run("import", FILES / "finnkode_9602.json", own=False)
    assert status == 1
    assert "codes.folder is not set" in err


def test_a_finnkode_list_is_taken_over(run: Run, folder: Path) -> None:
    """Its codes count; groups and levels of document types follow from the codes; other names stay."""
    status, out, _ = run("import", FILES / "finnkode_9602.json")
    assert status == 0
    system = load(folder).system(f"urn:oid:{N}9602")
    assert system is not None
    assert (system.name, system.version, system.complete) == ("Dokumenttyper", "2025-02-01", True)
    assert {c.code: (c.display, c.usage, c.parent) for c in system.codes.values()} == {
        "A00-1": ("Epikriser og sammenfatninger", "classCode", ""),
        "A03-2": ("Epikrise, ny tekst", "typeCode", "A00-1"),
        "A14-2": ("Prøvetype", "typeCode", "A00-1"),
        "K00-1": ("Prøvegruppe", "classCode", ""),
        "K01-2": ("Prøve i prøvegruppe", "typeCode", "K00-1"),
    }
    assert system.codes["A14-2"].definition == "Finnes ikke ennå"
    changes = lines(out)
    assert changes[:4] == [
        "~ A03-2  Epikrise -> Epikrise, ny tekst",
        "+ A14-2  Prøvetype",
        "+ K00-1  Prøvegruppe",
        "+ K01-2  Prøve i prøvegruppe",
    ]
    assert len(changes) == 4 + 64 - 2
    assert "- E02-2  Foto og film" in changes


def test_withdrawn_codes_of_a_finnkode_list_are_withdrawn(run: Run, folder: Path) -> None:
    """Of two editions of a code the one in use counts; an old spelling is known as withdrawn."""
    assert run("import", FILES / "finnkode_9603_with_inactive.json")[0] == 0
    codes = load(folder).systems[N + "9603"].codes
    assert {code: concept.active for code, concept in codes.items()} == {
        "N": True,
        "NORS": True,
        "NORN_ANG": True,
        "NORN-ANG": False,
    }
    assert codes["NORS"].display == "Sperret"


def test_a_fhir_code_system_is_taken_over(run: Run, folder: Path) -> None:
    """Concepts below concepts, other languages, and what is retired; it is found by all names it had."""
    assert run("import", FILES / "fhir_codesystem.json")[0] == 0
    tables = load(folder)
    system = tables.system("http://terminology.hl7.org/CodeSystem/v3-Confidentiality")
    assert system is not None
    assert (system.id, system.version, system.complete) == ("2.16.840.1.113883.5.25", "3.0.0", True)
    assert {c.code: (c.display, c.parent, c.active) for c in system.codes.values()} == {
        "_Confidentiality": ("Confidentiality", "", True),
        "N": ("normal", "_Confidentiality", True),
        "B": ("business", "_Confidentiality", False),
        "R": ("restricted", "_Confidentiality", True),
    }
    assert tables.display("N", "2.16.840.1.113883.5.25", "nb") == "vanlig"
    assert tables.display("N", "2.16.840.1.113883.5.25", "en") == "normal"


def test_the_codes_that_a_fhir_value_set_lists_are_taken_over(run: Run, folder: Path) -> None:
    """It may be a selection, so it is not complete; the system keeps its name."""
    status, out, _ = run("import", FILES / "fhir_valueset_compose.json")
    system = load(folder).systems[N + "9034"]
    assert status == 0
    assert (list(system.codes), system.complete) == (["3", "99"], False)
    assert system.name == built_in().systems[N + "9034"].name
    assert "not complete" in out
    assert "+ 99  Prøverolle" in lines(out)


def test_the_operator_may_say_that_a_value_set_has_every_code(run: Run, folder: Path) -> None:
    """Then an unknown code is refused."""
    assert run("import", FILES / "fhir_valueset_compose.json", "--complete")[0] == 0
    assert load(folder).systems[N + "9034"].complete
    status, _, err = run("check", "9034", "98")
    assert status == 1
    assert "it is refused" in err


def test_the_expansion_of_a_fhir_value_set_is_taken_over(run: Run, folder: Path) -> None:
    """Codes below codes; a system without table has one now."""
    assert run("import", FILES / "fhir_valueset_expansion.json")[0] == 0
    codes = load(folder).systems[N + "7210"].codes
    assert {code: concept.active for code, concept in codes.items()} == {"KX0123": True, "KX0124": False}


def test_importing_the_same_again_changes_nothing(run: Run, folder: Path) -> None:
    """And says so."""
    run("import", FILES / "fhir_codesystem.json")
    before = (folder / "2.16.840.1.113883.5.25.json").read_bytes()
    status, out, _ = run("import", FILES / "fhir_codesystem.json")
    assert status == 0
    assert "No code was added, removed or renamed." in out
    assert (folder / "2.16.840.1.113883.5.25.json").read_bytes() == before


#: Refused file -> what is said of it.
REASONS = {
    "patient": "neither CodeSystem nor ValueSet",
    "something_else": "neither a code list of FinnKode",
    "finnkode_without_number": "id is not the number of a code list",
    "finnkode_empty": "codeValues is not a list of objects, or is empty",
    "finnkode_twice": "code value 2 stands in the list twice",
    "finnkode_without_value": "code value 1 has no value or no name",
    "finnkode_without_name": "code value 1 has no value or no name",
    "codesystem_not_present": "it has no codes",
    "codesystem_supplement": "it has no codes",
    "codesystem_unknown": "it names no OID",
    "codesystem_of_two_names": "it names more than one code system",
    "codesystem_bad_oid": "OID",
    "codesystem_code_twice": "code 2 stands in the table twice",
    "codesystem_without_display": "a concept has no code or no display",
    "valueset_of_two_systems": "are not all of one system",
    "valueset_with_filter": "codes that it does not list",
    "valueset_whole_system": "codes that it does not list",
    "valueset_with_exclude": "excludes codes",
    "valueset_one_page": "one page of several",
    "valueset_without_codes": "neither an expansion nor compose.include",
    "valueset_without_system": "are not all of one system",
    "not_json": "it is not JSON",
    "too_deep": "it is not JSON",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in REFUSED.iterdir()))
def test_a_file_that_is_not_understood_is_refused_with_the_reason(run: Run, folder: Path, name: str) -> None:
    """And nothing is written."""
    status, out, err = run("import", REFUSED / f"{name}.json")
    assert (status, out) == (1, "")
    assert "the file was not taken over: " in err
    assert REASONS[name] in err
    assert list(folder.iterdir()) == []


def test_a_file_that_is_not_there_is_said_to_be_so(run: Run, tmp_path: Path) -> None:
    """In a sentence."""
    status, _, err = run("import", tmp_path / "none.json")
    assert status == 1
    assert "No such file" in err


def test_a_write_that_fails_leaves_the_table_before(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new table is there whole or not at all, and nothing lies about."""
    run("import", FILES / "finnkode_9602.json")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    status, _, err = run("import", FILES / "finnkode_9602.json")
    assert status == 1
    assert "No space left" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_control_characters_of_a_file_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    """A display could drive it."""
    value = json.loads((FILES / "finnkode_9602.json").read_text("utf-8"))
    value["codeValues"][1]["name"] = "Epikrise \x1b[2J"
    (tmp_path / "odd.json").write_text(json.dumps(value), "utf-8")
    status, out, _ = run("import", tmp_path / "odd.json")
    assert status == 0
    assert "\x1b" not in out
