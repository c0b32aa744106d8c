"""The code tables: their content, the names by which systems are called, and the operator's own tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from xds.errors import SettingsError
from xds.metadata import codesystems
from xds.metadata.codesystems import LANGUAGES, WITHOUT_TABLE, CodeSystem, Concept, built_in, load

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "codesystems"
ORIGIN = ROOT.parent / "shared" / "reference" / "codes"
BAD = Path(__file__).parent / "code_tables"
OID = "2.16.578.1.12.4.1.1."

#: The profile's list of systems: file -> number of codes, and whether it is complete.
EXPECTED = {
    f"{OID}9602": (64, True),
    f"{OID}9603": (14, True),
    f"{OID}9060": (36, True),
    f"{OID}1303": (51, True),
    f"{OID}1305": (46, False),
    f"{OID}8651": (5, True),
    f"{OID}8653": (9, True),
    f"{OID}8654": (21, True),
    f"{OID}8655": (110, True),
    f"{OID}8663": (35, False),
    f"{OID}8451": (54, False),
    f"{OID}8666": (28, False),
    f"{OID}8668": (47, False),
    f"{OID}8660": (7, False),
    f"{OID}8662": (6, False),
    f"{OID}8664": (4, False),
    f"{OID}8627": (141, False),
    f"{OID}7750": (3, False),
    f"{OID}8254": (24, False),
    f"{OID}9034": (22, False),
    f"{OID}7426": (74, False),
    f"{OID}8116": (14, False),
    f"{OID}9051": (11, False),
    f"{OID}3101": (4, True),
    f"{OID}9151": (25, True),
    f"{OID}8624": (23, False),
    f"{OID}8661": (6, False),
    f"{OID}9040": (12, False),
    "2.16.840.1.113883.5.25": (6, False),
    "2.16.840.1.113883.1.11.20448": (59, False),
    "1.0.14265.1": (4, False),
    "2.16.578.1.12.4.1.7.2.1": (9, True),
    "2.16.578.1.12.4.1.7.2.2": (3, True),
    "dips-decisiontemplate": (38, True),
    "1.3.6.1.4.1.19376.1.2.3": (95, True),
    "no-formatcode": (4, False),
    "assigning-authorities": (10, False),
    "access-basis": (9, False),
    "security-level": (3, False),
    "personvern-setting-type": (3, True),
}


def test_every_system_of_the_profile_has_its_table() -> None:
    """Number of codes and completeness are those that the profile gives, and there is no other table."""
    found = {s.id: (len(s.codes), s.complete) for s in built_in().systems.values() if s.codes}
    assert found == EXPECTED


@pytest.mark.skipif(not ORIGIN.is_dir(), reason="the published facts are not beside the repository")
@pytest.mark.parametrize("path", sorted(ORIGIN.glob("*.json")), ids=lambda path: path.stem)
def test_a_table_says_what_its_origin_says(path: Path) -> None:
    """Every code with all that is said of it, the source and completeness are those of the origin."""
    origin = json.loads(path.read_text("utf-8"))
    system = built_in().systems[origin["oid"] or path.stem]
    name = origin["name"].removesuffix(" accepted by the peer")
    canonical = origin.get("canonical") or origin.get("system", "")
    assert (system.oid, system.name, system.source) == (origin["oid"] or "", name, origin["source"])
    assert (system.complete, system.canonical) == (origin["complete"], canonical)
    assert system.alternatives == tuple(origin.get("alternativeSystems", ()))
    # What 9603 restricts was inferred from the definitions: the access rules have it, the table does not.
    remark = r"The 'restricts' list .*? code system\. "
    assert system.note == re.sub(remark, "", origin.get("note", "")).strip()
    expected = [
        (
            each["code"],
            each["display"],
            each.get("definition") or "",
            each.get("parent") or "",
            each.get("usage") or "",
            not each.get("inactive", False),
            each.get("status", "active"),
            each.get("userSelectable", False),
            each.get("norwegianUse", False),
        )
        for each in origin["codes"]
    ]
    assert expected == [
        (
            c.code,
            c.display,
            c.definition,
            c.parent,
            c.usage,
            c.active,
            c.properties.get("status", "active"),
            c.properties.get("userSelectable", False),
            c.properties.get("norwegianUse", False),
        )
        for c in system.codes.values()
    ]


def test_the_index_lists_the_files_as_they_are() -> None:
    """codesystems/README.md has a row for each file with its name, number of codes and completeness."""
    rows = re.findall(
        r"^\| \[(.+?)\]\((.+?)\) \| (.+?) \| (\d+) \| (yes|no) \|$", (TABLES / "README.md").read_text(), re.M
    )
    expected = []
    for path in TABLES.glob("*.json"):
        table = json.loads(path.read_text("utf-8"))
        complete = "yes" if table["complete"] else "no"
        expected.append((path.stem, path.name, table["name"], str(len(table["codes"])), complete))
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.json")), ids=lambda path: path.stem)
def test_a_table_is_written_as_it_was_read(path: Path) -> None:
    """Reading and writing again gives the same bytes, so nothing of a table is lost."""
    assert codesystems.write_system(built_in().systems[path.stem]) == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "system"),
    [
        (f"{OID}9602", f"{OID}9602"),
        (f"urn:oid:{OID}9602", f"{OID}9602"),
        ("http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "2.16.840.1.113883.5.25"),
        ("urn:oid:2.16.840.1.113883.5.25", "2.16.840.1.113883.5.25"),
        ("http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603", f"{OID}9603"),
        ("FormatCodes", "1.3.6.1.4.1.19376.1.2.3"),
        ("formatCodes", "1.3.6.1.4.1.19376.1.2.3"),
        ("http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode", "1.3.6.1.4.1.19376.1.2.3"),
        (
            "http://profiles.ihe.net/fhir/ihe.formatcode.fhir/CodeSystem-formatcode",
            "1.3.6.1.4.1.19376.1.2.3",
        ),
        ("https://terminology.dips.com/decisiontemplate", "dips-decisiontemplate"),
    ],
)
def test_a_system_is_found_by_each_of_its_names(name: str, system: str) -> None:
    """OID, urn:oid:, the URLs of FHIR and the names in use lead to the same table."""
    found = built_in().system(name)
    assert found is not None
    assert found.id == system


@pytest.mark.parametrize(
    "name", ["", "9602", "1.2.3.4", "urn:oid:", "FORMATCODES", f"urn:oid:urn:oid:{OID}9602"]
)
def test_what_is_no_name_of_a_system_finds_none(name: str) -> None:
    """A name is compared as it is written."""
    assert built_in().system(name) is None


def test_the_older_edition_of_group_e_is_another_display_of_the_same_code() -> None:
    """E00-1 has the display of the newer edition, and E02-2 is there."""
    assert built_in().display("E00-1", f"{OID}9602", "nb") == "Bildediagnostikk"
    assert built_in().display("E02-2", f"{OID}9602", "nb") == "Foto og film"


def test_hyphen_spellings_of_refusals_are_not_in_the_table() -> None:
    """NORN_ANG, NORN_FPB and NORN_DUP are codes; their old spellings are none."""
    codes = built_in().systems[f"{OID}9603"].codes
    assert {"NORN_ANG", "NORN_FPB", "NORN_DUP"} <= codes.keys()
    assert not [code for code in codes if "-" in code]


def test_systems_without_a_table_are_known_by_name() -> None:
    """NORPAT, ICD-10 and the others are found, and have no codes."""
    numbers = ("7010", "7110", "7210", "7220", "7270", "7280")
    assert set(WITHOUT_TABLE) == {OID + number for number in numbers}
    for oid in WITHOUT_TABLE:
        system = built_in().system(f"urn:oid:{oid}")
        assert system is not None
        assert not system.codes


def test_a_display_is_in_the_language_asked_for_or_else_the_tables_own() -> None:
    """A designation of that language comes first; without one there is the display."""
    concept = Concept("1", "En", {"en": "One"})
    system = CodeSystem("1.2.3", "1.2.3", "Tall", True, {"1": concept, "2": Concept("2", "To")})
    assert [(t.value, t.language) for c in "12" if (t := system.text(c, "en"))] == [
        ("One", "en"),
        ("To", "nb"),
    ]
    assert [(t.value, t.language) for c in "12" if (t := system.text(c, "nb"))] == [
        ("En", "nb"),
        ("To", "nb"),
    ]
    assert system.text("3", "en") is None


def test_an_unknown_code_or_system_has_no_display() -> None:
    """There is nothing to show, and no error."""
    assert built_in().display("X", f"{OID}9602", "nb") is None
    assert built_in().display("A03-2", "1.2.3", "nb") is None
    assert built_in().concept("A03-2", "1.2.3") is None


def test_the_built_in_tables_have_the_languages_that_can_be_set() -> None:
    """Every table is in one of them, and none is there for nothing."""
    assert {system.language for system in built_in().systems.values()} == set(LANGUAGES)


def test_the_tables_are_read_once() -> None:
    """A second call gives the same tables, and so does a node without a folder."""
    assert built_in() is built_in()
    assert load(None) is built_in()


def own(folder: Path, name: str, **changes: object) -> None:
    """A table of the operator's own."""
    table = {"name": "Egen", "complete": False, "codes": [{"code": "1", "display": "En"}]} | changes
    (folder / f"{name}.json").write_text(json.dumps(table), "utf-8")


def test_an_own_table_stands_instead_of_the_built_in_one(tmp_path: Path) -> None:
    """Its codes count, and it answers to all names that the system had."""
    own(tmp_path, "2.16.840.1.113883.5.25", oid="2.16.840.1.113883.5.25")
    system = load(tmp_path).system("http://terminology.hl7.org/CodeSystem/v3-Confidentiality")
    assert system is not None
    assert (system.name, list(system.codes)) == ("Egen", ["1"])
    before = built_in().system("2.16.840.1.113883.5.25")
    assert before is not None
    assert before.name != "Egen"


def test_an_own_table_may_stand_beside_the_built_in_ones(tmp_path: Path) -> None:
    """A system that nobody knew, and one that was known by name only."""
    own(tmp_path, "1.2.3.4", oid="1.2.3.4")
    own(tmp_path, f"{OID}7210", oid=f"{OID}7210")
    tables = load(tmp_path)
    assert tables.display("1", "urn:oid:1.2.3.4", "nb") == "En"
    assert tables.display("1", f"{OID}7210", "nb") == "En"
    assert tables.display("A03-2", f"{OID}9602", "nb") == "Epikrise"


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Notes, and what a write left behind that did not end, are no tables."""
    (tmp_path / "README.txt").write_text("{")
    (tmp_path / ".1.2.3.json-abc.json").write_text("{")
    assert load(tmp_path).systems == built_in().systems


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    """The setting is named."""
    with pytest.raises(SettingsError, match=r"^codes\.folder cannot be read"):
        load(tmp_path / "none")


#: Bad table -> what is said of it.
REASONS = {
    "no_name": "name of the table is not a text",
    "no_complete": "complete of the table is not true or false",
    "complete_as_text": "complete of the table is not true or false",
    "no_codes": "the table has no codes",
    "codes_as_object": "codes is not a list",
    "code_twice": "code 2 stands in the table twice",
    "code_as_number": "code of code 1 is not a text",
    "code_without_display": "display of code 1 is not a text",
    "code_with_blank": "code of code 1 is not a text, or begins or ends with a blank",
    "code_too_long": "code of code 1 is longer than 256 characters",
    "strange_member": "the table has a member that is not known here",
    "strange_member_of_code": "code 1 has a member that is not known here",
    "no_such_parent": "the parent of code 1 is no other code of the table",
    "own_parent": "the parent of code 1 is no other code of the table",
    "no_oid": "OID",
    "other_oid": "the file of a table is named by its OID: 1.2.3.4.json",
    "designation_as_list": "designations of code 1 is not an object",
    "name_of_another": "have a name in common",
    "not_json": "it is not JSON",
    "not_utf8": "it is not UTF-8",
    "a_list": "it is not a JSON object",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.json")))
def test_a_bad_table_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    """The node does not start with it, and the operator learns which file and why."""
    (tmp_path / f"{name}.json").write_bytes((BAD / f"{name}.json").read_bytes())
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert REASONS[name] in str(caught.value)
    assert str(caught.value).startswith("codes.folder: ")
    assert name in str(caught.value)


def test_every_bad_table_is_named_at_once(tmp_path: Path) -> None:
    """Two bad files are two lines."""
    for name in ("no_name", "not_json"):
        (tmp_path / f"{name}.json").write_bytes((BAD / f"{name}.json").read_bytes())
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert len(str(caught.value).splitlines()) == 2
