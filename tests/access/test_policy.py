"""The access policy: deny overrides, nothing applicable is no, and each key of a policy counts alone.

The table BUILT_IN was written by hand from norwegian-profile 5 and says what a node without a policy of its
own permits, over the whole product of callers, issuers, roles, purposes, levels, scopes and actions. The
files in policies/ are wrong, each in ways of its own, and beside them stands what must be said of them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.access.people import ENTERPRISE, LEGAL_ROLE, NOON
from xds.access import policy
from xds.access.policy import Action, Judgement, Policies, PolicyFile, read_policies
from xds.access.rule_table import ROLES
from xds.errors import SettingsError
from xds.metadata.model import Code
from xds.security.caller import Caller, CallerKind, Identifier, Unit
from xds.security.trust import TicketKind

HL7, ISO_14265 = "2.16.840.1.113883.1.11.20448", "1.0.14265.1"
BROKEN = Path(__file__).with_name("policies")
LIST, FETCH, CREATE, UPDATE, DELETE, ADMINISTER, READ_LOG = Action
NOBODY = Judgement(False, "")

DOCTOR = Caller(
    kind=CallerKind.PERSONNEL,
    issuer="test",
    issuer_kind="xua",
    ticket_id="1",
    subject="1",
    expires_at=NOON,
    role=LEGAL_ROLE,
    purpose=Code("TREAT", HL7),
    security_level=3,
    scopes=frozenset({"a:read", "a:write"}),
    organisation=Unit(Identifier("310000000", ENTERPRISE)),
    unit=Unit(Identifier("310000019", ENTERPRISE)),
)


class Sheet:
    """A policy file that a test writes over and over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> Path:
        """Put the text there as an editor does: a new file in the place of the old one."""
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.path)
        return self.path

    def read(self, text: str) -> Policies:
        """The policies of a text."""
        return read_policies(self.write(text))

    def complaints(self, text: str) -> list[str]:
        """What is said of a text that is wrong, without what stands before each sentence."""
        return complaints(self.write(text))


def complaints(path: Path) -> list[str]:
    """Each sentence about a file: it begins with the setting and the file's name, which are left out."""
    with pytest.raises(SettingsError) as caught:
        read_policies(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"access.policy: {path.name}: ") for line in lines)
    return [line.removeprefix(f"access.policy: {path.name}: ") for line in lines]


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    return Sheet(tmp_path / "policy.toml")


def one(id: str = "p", effect: str = "permit", actions: str = '["read-list"]', more: str = "") -> str:
    """The text of one policy; `more` are further lines."""
    return f'[[policy]]\nid = "{id}"\neffect = "{effect}"\nactions = {actions}\n{more}\n'


# ---- how several policies come to one answer

#: What applies to a request, in any order; what comes of it.
TOGETHER = [
    ((), NOBODY),
    (("permit",), Judgement(True, "permit")),
    (("deny",), Judgement(False, "deny")),
    (("permit", "deny"), Judgement(False, "deny")),
    (("permit", "any", "deny"), Judgement(False, "deny")),
    (("permit", "any"), Judgement(True, "any", True)),
    (("permit", "elsewhere"), Judgement(True, "permit")),
    (("deny-elsewhere", "permit"), Judgement(True, "permit")),
    (("elsewhere", "deny-elsewhere"), NOBODY),
]
TEXTS = {
    "permit": one("permit"),
    "deny": one("deny", "deny"),
    "any": one("any", more='callers = ["machine"]\npatient = "any"'),
    "elsewhere": one("elsewhere", actions='["delete"]'),
    "deny-elsewhere": one("deny-elsewhere", "deny", '["delete"]'),
}


@pytest.mark.parametrize(("names", "expected"), TOGETHER)
def test_deny_overrides_and_nothing_is_no(sheet: Sheet, names: tuple[str, ...], expected: Judgement) -> None:
    """In whatever order the policies stand in the file."""
    machine = replace(DOCTOR, kind=CallerKind.MACHINE)
    for order in permutations(names):
        assert sheet.read("".join(TEXTS[name] for name in order)).judge(machine, LIST) == expected


def test_several_that_deny_name_the_first(sheet: Sheet) -> None:
    """One name is enough to find it in the file."""
    assert sheet.read(one("b", "deny") + one("a", "deny")).judge(DOCTOR, LIST) == Judgement(False, "b")


@pytest.mark.parametrize("text", ["", "# nothing\n", "policy = []\n"])
def test_a_file_without_policies_permits_nothing(sheet: Sheet, text: str) -> None:
    """It is no mistake: a node may be closed that way."""
    found = sheet.read(text)
    assert [found.judge(DOCTOR, action) for action in Action] == [NOBODY] * len(Action)


# ---- each key alone


class Alone(NamedTuple):
    """A line of a policy, the changes of a caller for whom it is so, and of one for whom it is not."""

    line: str
    fits: tuple[dict[str, Any], ...]
    not_: tuple[dict[str, Any], ...]


def _unit(number: str) -> Unit:
    return Unit(Identifier(number, ENTERPRISE))


KEYS = {
    "callers": Alone(
        'callers = ["citizen", "personnel"]',
        ({}, {"kind": CallerKind.CITIZEN}),
        ({"kind": CallerKind.REPRESENTATIVE}, {"kind": CallerKind.MACHINE}),
    ),
    "issuers": Alone(
        'issuers = ["xua", "hso"]',
        ({}, {"issuer_kind": "hso"}),
        ({"issuer_kind": "helseid"}, {"issuer_kind": ""}, {"issuer_kind": "XUA"}),
    ),
    "level": Alone(
        "level = 3",
        ({}, {"security_level": 4}),
        ({"security_level": 2}, {"security_level": None}, {"security_level": 0}),
    ),
    "roles": Alone(
        'roles = ["SP", "LE"]',
        ({}, {"role": Code("SP", ROLES, "anything")}),
        (
            {"role": Code("PS", ROLES)},
            {"role": None},
            {"role": Code("LE", "1.2.3")},
            {"role": Code("LE", "")},
        ),
    ),
    "purposes of HL7": Alone(
        'purposes = ["TREAT", "BTG"]',
        (
            {},
            {"purpose": Code("BTG", HL7)},
            {"purpose": Code("TREAT", "2.16.840.1.113883.5.8")},
            {"purpose": Code("TREAT", "http://terminology.hl7.org/CodeSystem/v3-ActReason")},
        ),
        (
            {"purpose": Code("COC", HL7)},
            {"purpose": None},
            {"purpose": Code("TREAT", "1.2.3")},
            {"purpose": Code("TREAT", ISO_14265)},
            {"purpose": Code("TREAT", "")},
        ),
    ),
    "purposes of ISO": Alone(
        'purposes = ["14265:1"]',
        ({"purpose": Code("1", ISO_14265)},),
        (
            {},
            {"purpose": Code("1", HL7)},
            {"purpose": Code("13", ISO_14265)},
            {"purpose": Code("14265:1", "")},
        ),
    ),
    "scopes": Alone(
        'scopes = ["a:write", "b:write"]',
        ({}, {"scopes": frozenset({"b:write"})}),
        ({"scopes": frozenset()}, {"scopes": frozenset({"a:read"})}, {"scopes": frozenset({"a:write:more"})}),
    ),
    "organisations": Alone(
        'organisations = ["310000019", "310000027"]',
        ({}, {"organisation": _unit("310000027"), "unit": None}),
        (
            {"unit": None},
            {"organisation": None, "unit": None},
            {"unit": Unit(None, "310000019")},
            {"unit": None, "department": _unit("310000019")},
        ),
    ),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("effect", ["permit", "deny"])
def test_each_key_counts_alone(sheet: Sheet, key: str, effect: str) -> None:
    """A policy that says only this is so, or not; one that denies asks in the same way."""
    line, fits, not_ = KEYS[key]
    found = sheet.read(one("p", effect, more=line))
    expected = Judgement(effect == "permit", "p")
    assert [found.judge(replace(DOCTOR, **changes), LIST) for changes in fits] == [expected] * len(fits)
    assert [found.judge(replace(DOCTOR, **changes), LIST) for changes in not_] == [NOBODY] * len(not_)


@pytest.mark.parametrize("action", Action)
def test_an_action_is_permitted_by_its_name(sheet: Sheet, action: Action) -> None:
    """And no other with it: who may read the list may not fetch."""
    found = sheet.read(one(actions=f'["{action}"]'))
    assert [each for each in Action if found.judge(DOCTOR, each).permitted] == [action]


def test_all_that_a_policy_says_must_be_so(sheet: Sheet) -> None:
    """One thing that is not is enough, whichever."""
    fitting = {key: each for key, each in KEYS.items() if {} in each.fits}
    found = sheet.read(one(more="\n".join(each.line for each in fitting.values())))
    assert found.judge(DOCTOR, LIST).permitted
    for key, each in fitting.items():
        assert [found.judge(replace(DOCTOR, **changes), LIST) for changes in each.not_] == [NOBODY] * len(
            each.not_
        ), key
    assert not found.judge(DOCTOR, FETCH).permitted


@pytest.mark.parametrize(("line", "any_patient"), [("", False), ('patient = "ticket"', False)])
def test_a_policy_is_for_the_patient_of_the_ticket(sheet: Sheet, line: str, any_patient: bool) -> None:
    """Whether that is said or not."""
    assert sheet.read(one(more=line)).judge(DOCTOR, LIST) == Judgement(True, "p", any_patient)


def test_any_patient_is_for_machines(sheet: Sheet) -> None:
    """It is said that way or refused: the policy of another caller cannot have it."""
    text = one(more='callers = ["machine"]\npatient = "any"')
    assert sheet.read(text).judge(replace(DOCTOR, kind=CallerKind.MACHINE), LIST) == Judgement(
        True, "p", True
    )
    for callers in ("", 'callers = ["personnel"]', 'callers = ["machine", "personnel"]', "callers = 4"):
        said = sheet.complaints(one(more=f'{callers}\npatient = "any"'))
        assert any(
            each.startswith('policy 1 (p): patient: any is for callers = ["machine"] only') for each in said
        )


def test_the_issuers_are_the_kinds_of_the_trust_file() -> None:
    """A new kind of ticket can be named in a policy."""
    assert policy._LISTS["issuers"] == {each.value for each in TicketKind}


# ---- mistakes in a file

#: What must be said of each file, in this order and nothing else.
MISTAKES = {
    "every-key.toml": [
        "policy 1 (first): effect: is neither permit nor deny",
        "policy 1 (first): level: is not a number from 1 to 4",
        "policy 1 (first): patient: is neither ticket nor any",
        "policy 1 (first): actions: does not know read: administer, create, delete, read-document, read-list,"
        " read-log, update",
        "policy 1 (first): callers: does not know nurse, robot: citizen, machine, personnel, representative",
        "policy 1 (first): issuers: does not know google: helseid, helsenorge, hso, kjernejournal, system,"
        " xua",
        'policy 1 (first): roles: is not a list of texts: write ["…"]',
        'policy 1 (first): purposes: is not a list of texts: write ["…"]',
        'policy 1 (first): scopes: is not a list of texts: write ["…"]',
        'policy 1 (first): organisations: is not a list of texts: write ["…"]',
    ],
    "several-policies.toml": [
        "policies: there is no such table: write [[policy]]",
        "policy 1: purpose: there is no such key",
        "policy 1: id: is missing, or no text",
        "policy 2 (a): effect: is neither permit nor deny",
        "policy 2 (a): actions: is missing: name what the policy is about",
        "policy 4 (good): id: stands twice: give each policy its own",
        "policy 5: id: is missing, or no text",
        "policy 6: id: is missing, or no text",
    ],
    "one-table.toml": ["policy: is not a list of tables: write [[policy]]"],
    "other-things.toml": [
        "rule: there is no such table: write [[policy]]",
        "version: there is no such table: write [[policy]]",
        "policy: is not a list of tables: write [[policy]]",
    ],
}


def test_every_wrong_file_has_its_mistakes() -> None:
    """A file that nobody expects anything of would prove nothing."""
    assert {each.name for each in BROKEN.iterdir()} == set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_everything_that_is_wrong_is_said_at_once(name: str) -> None:
    """By policy and key, so that a file is corrected in one go."""
    assert sorted(complaints(BROKEN / name)) == sorted(MISTAKES[name])


#: A line of a policy, and the key that is named.
WRONG_VALUES = [
    ("level = 0", "level"),
    ("level = 5", "level"),
    ("level = true", "level"),
    ("level = 2.5", "level"),
    ('level = "4"', "level"),
    ("level = [4]", "level"),
    ('patient = "all"', "patient"),
    ("patient = true", "patient"),
    ('patient = ["ticket"]', "patient"),
    ('callers = "personnel"', "callers"),
    ("callers = []", "callers"),
    ('callers = [["personnel"]]', "callers"),
    ('callers = ["Personnel"]', "callers"),
    ('callers = [""]', "callers"),
    ('issuers = ["xua", "XUA"]', "issuers"),
    ("roles = [1]", "roles"),
    ("roles = []", "roles"),
    ('roles = [""]', "roles"),
    ("purposes = { a = 1 }", "purposes"),
    ('scopes = ""', "scopes"),
    ("organisations = [310000000]", "organisations"),
    ("role = ['LE']", "role"),
    ("Level = 4", "Level"),
]


@pytest.mark.parametrize(("line", "key"), WRONG_VALUES)
def test_a_value_that_is_wrong_is_said_by_its_key(sheet: Sheet, line: str, key: str) -> None:
    """Never taken for something like it: a policy that is misread is worse than none."""
    (said,) = sheet.complaints(one(more=line))
    assert said.startswith(f"policy 1 (p): {key}: ")


@pytest.mark.parametrize("id", ["", "\\u001b[2J", "a\\nb", "\\u2028"])
def test_an_id_can_be_printed(sheet: Sheet, id: str) -> None:
    """It stands in answers and in the log; one that cannot is not even told."""
    (said,) = sheet.complaints(one(id))
    assert said.endswith("id: is missing, or no text")
    assert said.isprintable()


#: Contents of a file that is no TOML at all.
NO_TOML = {
    "cut off": b'[[policy]]\nid = "a',
    "not UTF-8": b'[[policy]]\nid = "\xe5"',
    "UTF-16": '[[policy]]\nid = "a"'.encode("utf-16"),
    "another language": b"<policy/>",
    "a key twice": b'[[policy]]\nid = "a"\nid = "b"',
    "very deep": b"a = " + b"[" * 100_000,
    "NUL": b"\x00",
}


@pytest.mark.parametrize("content", NO_TOML.values(), ids=NO_TOML.keys())
def test_what_is_no_toml_is_said(tmp_path: Path, content: bytes) -> None:
    """One sentence with the file's name."""
    file = tmp_path / "own.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^access\.policy: own\.toml: is not TOML in UTF-8: "):
        read_policies(file)


def test_a_file_that_is_not_there_is_said_with_its_path(tmp_path: Path) -> None:
    """So is a folder in its place."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsError) as caught:
            PolicyFile(path)
        assert str(caught.value).startswith(f"access.policy: {path}: cannot be read: ")


# ---- reading again


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at each time, not once a second."""
    monkeypatch.setattr(policy, "_LOOK", -1.0)


@pytest.mark.usefixtures("looks")
def test_a_change_is_taken_over_and_a_mistake_is_not(sheet: Sheet, caplog: pytest.LogCaptureFixture) -> None:
    """Without a restart: good, broken, removed, good again; each is logged once."""
    caplog.set_level(logging.INFO, "xds")
    file = PolicyFile(sheet.write(one("first")))

    def judged() -> tuple[str, list[str]]:
        caplog.clear()
        found = file.policies.judge(DOCTOR, LIST).policy
        for _ in range(3):
            assert file.policies.judge(DOCTOR, LIST).policy == found
        return found, [f"{each.levelname} {each.getMessage()}" for each in caplog.records]

    assert judged() == ("first", [])
    sheet.write(one("second") + one("more"))
    assert judged() == ("second", ["INFO access.policy was read again: 2 policies"])
    sheet.write(one("third", effect="perhaps"))
    kept = "ERROR access.policy was not taken over, the last good one stays: access.policy: "
    assert judged() == (
        "second",
        [f"{kept}policy.toml: policy 1 (third): effect: is neither permit nor deny"],
    )
    sheet.path.unlink()
    assert judged() == ("second", [f"{kept}{sheet.path}: cannot be read: No such file or directory"])
    sheet.write(one("fourth"))
    assert judged() == ("fourth", ["INFO access.policy was read again: 1 policies"])
    sheet.write("")
    assert judged() == ("", ["INFO access.policy was read again: 0 policies"])


@pytest.mark.usefixtures("looks")
def test_what_was_read_is_not_changed_under_a_request(sheet: Sheet) -> None:
    """A request asks once and keeps what it got."""
    file = PolicyFile(sheet.write(one("first")))
    before = file.policies
    sheet.write(one("second"))
    assert file.policies.judge(DOCTOR, LIST).policy == "second"
    assert before.judge(DOCTOR, LIST).policy == "first"


def test_the_file_is_looked_at_once_a_second(sheet: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every request."""
    now = [1000.0]
    monkeypatch.setattr(policy.time, "monotonic", lambda: now[0])
    file = PolicyFile(sheet.write(one("first")))
    sheet.write(one("second"))
    now[0] += 0.9
    assert file.policies.judge(DOCTOR, LIST).policy == "first"
    now[0] += 0.2
    assert file.policies.judge(DOCTOR, LIST).policy == "second"


@pytest.mark.usefixtures("looks")
def test_threads_that_look_at_once_all_get_policies(sheet: Sheet) -> None:
    """While the file changes and is wrong now and then: each sees one that was good as a whole."""
    file = PolicyFile(sheet.write(one("0")))
    seen: list[str] = []
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            seen.append(file.policies.judge(DOCTOR, LIST).policy)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        sheet.write(one(str(number), effect="permit" if number % 2 else "perhaps"))
    sheet.write(one("last"))
    end.set()
    for thread in threads:
        thread.join()
    assert file.policies.judge(DOCTOR, LIST).policy == "last"
    assert set(seen) <= {"0", "last", *map(str, range(1, 20, 2))}


# ---- what a node goes by that has no policy of its own

READ = (LIST, FETCH)
PERSONNEL_ISSUERS = ("kjernejournal", "helseid", "hso", "xua")
TREATING = ("TREAT", "ETREAT", "COC", "BTG", "14265:1")
CREATING, DELETING = "nhn:phr-repo/mhd/create", "nhn:phr-repo/delete-docs-and-refs"
REPLICATING = "xds:privacy/replicate"
FOLLOWING_UP = "xds:audit/read-all"


class Row(NamedTuple):
    """Who may do what: the policy that is named, None for anything. The first row that fits counts."""

    policy: str
    callers: tuple[str, ...]
    actions: tuple[Action, ...]
    issuers: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    level: int = 0
    scope: str = ""
    permitted: bool = True
    any_patient: bool = False


BUILT_IN = (
    # DEFAULT_gp-deny2: whatever else would permit it, and to whatever purpose.
    Row("personnel-roles", ("personnel",), tuple(Action), roles=("XX", "VE", "FB"), permitted=False),
    # DEFAULT_cz-readdocumentlist-documents; HL7's purposes of citizens are those of its rules 1 to 5.
    Row(
        "citizen-read",
        ("citizen", "representative"),
        READ,
        ("helsenorge",),
        purposes=("14265:13", "PATRQT", "FAMRQT", "PWATRNY"),
        level=4,
    ),
    # DEFAULT_gp-readdocumentlist_readdocument
    Row("personnel-read", ("personnel",), READ, PERSONNEL_ISSUERS, ("LE", "SP", "PS"), TREATING, 4),
    # Ours: who works in a record system registers with it.
    Row(
        "personnel-submit",
        ("personnel",),
        (CREATE, UPDATE),
        PERSONNEL_ISSUERS,
        ("LE", "SP", "PS"),
        TREATING,
        4,
    ),
    # DEFAULT_machine_…: create, update and read status; delete.
    Row("machine-submit", ("machine",), (LIST, CREATE, UPDATE), scope=CREATING, any_patient=True),
    Row("machine-delete", ("machine",), (DELETE,), scope=DELETING, any_patient=True),
    # Ours: the patient feed, and the push of privacy settings.
    Row("system-administer", ("machine",), (ADMINISTER,), ("system",), any_patient=True),
    Row("machine-privacy", ("machine",), (ADMINISTER,), ("helseid",), scope=REPLICATING, any_patient=True),
    # Ours: the access log.
    Row(
        "controller-log",
        ("machine", "personnel"),
        (READ_LOG,),
        ("helseid",),
        scope=FOLLOWING_UP,
        any_patient=True,
    ),
    Row(
        "citizen-log",
        ("citizen", "representative"),
        (READ_LOG,),
        ("helsenorge",),
        purposes=("14265:13", "PATRQT", "FAMRQT", "PWATRNY"),
        level=4,
    ),
    Row("personnel-log", ("personnel",), (READ_LOG,), PERSONNEL_ISSUERS, ("LE", "SP", "PS"), TREATING, 4),
)
PURPOSES: dict[str, Code | None] = {
    "none": None,
    "foreign": Code("TREAT", "1.2.3"),
    **{each: Code(each, HL7) for each in (*TREATING[:4], "PATRQT", "FAMRQT", "PWATRNY", "CAREMGT")},
    **{f"14265:{each}": Code(each, ISO_14265) for each in ("1", "2", "5", "13")},
}
STATED_ROLES: dict[str, Code | None] = {
    "none": None,
    "foreign": Code("LE", "1.2.3"),
    "foreign denied": Code("XX", "1.2.3"),
    **{each: Code(each, ROLES) for each in ("LE", "SP", "PS", "XX", "VE", "FB", "FO")},
}
SCOPES = ("", "nhn:phr/mhd/read-document", CREATING, DELETING, REPLICATING, FOLLOWING_UP)
CALLERS = {each.value: each for each in CallerKind}
ISSUERS = tuple(each.value for each in TicketKind)


def _expected(
    kind: str, issuer: str, role: str, purpose: str, level: int, scope: str, action: Action
) -> Judgement:
    for row in BUILT_IN:
        if (
            kind in row.callers
            and action in row.actions
            and (row.issuers is None or issuer in row.issuers)
            and (row.roles is None or role in row.roles)
            and (row.purposes is None or purpose in row.purposes)
            and level >= row.level
            and row.scope in ("", scope)
        ):
            return Judgement(row.permitted, row.policy, row.any_patient)
    return NOBODY


@pytest.fixture(scope="module")
def built_in() -> Policies:
    return PolicyFile(None).policies


def _callers() -> Iterator[tuple[tuple[str, str, str, str, int, str], Caller]]:
    """Every caller of the product; who has a scope, and a machine, has little else to tell apart."""
    of_people = product(CALLERS, ISSUERS, STATED_ROLES, PURPOSES, (0, 3, 4), ("",))
    of_systems = product(CALLERS, ISSUERS, ("none", "LE", "XX"), ("none", "TREAT"), (0, 4), SCOPES)
    for said in (*of_people, *of_systems):
        kind, issuer, role, purpose, level, scope = said
        yield (
            said,
            replace(
                DOCTOR,
                kind=CALLERS[kind],
                issuer_kind=issuer,
                role=STATED_ROLES[role],
                purpose=PURPOSES[purpose],
                security_level=level or None,
                scopes=frozenset({scope} - {""}),
            ),
        )


def test_the_built_in_policy_is_that_of_the_profile(
    built_in: Policies, record_property: Callable[[str, object], None]
) -> None:
    """The whole product by the table above; what is in no row of it is denied, and no policy is named."""
    wrong, asked, named = [], 0, set()
    for said, who in _callers():
        for action in Action:
            found, expected = built_in.judge(who, action), _expected(*said, action)
            asked += 1
            named.add(expected.policy)
            if found != expected:
                wrong.append((*said, action, found, expected))
    assert wrong[:10] == []
    assert named == {"", *(row.policy for row in BUILT_IN)}
    record_property("figure", f"access policy: {asked:,} requests judged by the built-in policy")


def test_the_table_tells_of_every_policy_of_the_file(built_in: Policies) -> None:
    """And the file of every row."""
    assert {each.id for each in built_in.policies} == {row.policy for row in BUILT_IN}


@pytest.mark.parametrize("role", ["XX", "VE", "FB"])
def test_a_denied_role_overrides_what_permits_it(sheet: Sheet, role: str) -> None:
    """An operator who copies the policy and permits personnel everything does not open it to these."""
    own = policy._DEFAULT.read_text(encoding="utf-8")
    found = sheet.read(one("all", actions=str([each.value for each in Action])) + own)
    who = replace(DOCTOR, role=Code(role, ROLES))
    assert [found.judge(who, each) for each in Action] == [Judgement(False, "personnel-roles")] * len(Action)
    assert found.judge(replace(who, role=Code("FO", ROLES)), LIST) == Judgement(True, "all")


def test_no_default_policy_is_for_any_patient_but_of_machines(built_in: Policies) -> None:
    """People see who their ticket is for; the data controller's people see the log, and no document."""
    assert all(
        each.callers == {"machine"} or each.actions == {"read-log"}
        for each in built_in.policies
        if each.any_patient
    )
