"""The push of Personvernkomponenten, on a real database, without a node around it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon.testing import Result, TestClient
from sqlalchemy.exc import OperationalError

from tests.audit.trails import trails
from tests.metadata import samples as s
from xds.access import privacy
from xds.access.gate import UNASKED, Access
from xds.access.rules import broken
from xds.audit.trail import Trail
from xds.config import load
from xds.demo.tickets import TicketService
from xds.errors import RegistryFailure, SettingsError
from xds.fhir.privacy import ADDRESS, MEANINGS, MOST_BYTES, PrivacyPush
from xds.registry import patients
from xds.registry.patients import Domain
from xds.security.caller import Caller
from xds.security.gate import FhirGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.store.database import Database
from xds.store.schema import BLOCK, RESERVATION
from xds.store.trouble import DatabaseBusy
from xds.transport.limits import Limits

URL = "https://xds.example.org"
ANNA = s.PATIENT.partition("^")[0]
PART = "sperre-part"
NAME = "Sperring av dokumenter"
GUIDS = {
    "block": "8a0f6f0e-3c0c-4a3e-9a53-1f0c6f5d2b11",
    "reservation": "8a0f6f0e-3c0c-4a3e-9a53-1f0c6f5d2b12",
    "consent": "8a0f6f0e-3c0c-4a3e-9a53-1f0c6f5d2b13",
}
UNKNOWN = "8a0f6f0e-3c0c-4a3e-9a53-1f0c6f5d2b1f"
GOOD: dict[str, Any] = {
    "innbyggerFnr": ANNA,
    "definisjonGuid": GUIDS["block"],
    "definisjonNavn": NAME,
    "partKode": PART,
    "typePi": "tilgangsbegrensning",
    "aktiv": True,
    "tidspunkt": "2026-03-11T09:45:00Z",
}


@dataclass(frozen=True)
class Desk:
    """The resource behind a client, and what it wrote."""

    database: Database
    gate: FhirGate | None = None
    may: Callable[[Caller | None, Trail], Access] = lambda caller, trail: UNASKED
    test: bool = True

    def send(self, body: Any, **more: Any) -> Result:
        """One POST; a body that is no bytes is sent as JSON."""
        domain = Domain("national", synthetic=self.test)
        definitions = {guid: meaning for meaning, guid in GUIDS.items()}
        app = falcon.App()
        app.add_route(
            ADDRESS,
            PrivacyPush(
                self.database,
                domain,
                definitions,
                self.gate,
                URL,
                self.may,
                trails(self.database),
                Limits(),
            ),
        )
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return TestClient(app).simulate_post(ADDRESS, body=data, **more)

    def history(self) -> list[privacy.PrivacySetting]:
        """All settings of Anna's."""
        with self.database.read() as connection:
            return privacy.history(connection, s.PATIENT)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = Database(f"sqlite:///{tmp_path}/xds.db")
    database.migrate()
    yield Desk(database)
    database.close()


@pytest.fixture(autouse=True)
def nothing_personal(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No line of the log, in whatever test, holds anything that was sent."""
    caplog.set_level(logging.DEBUG, logger="xds")
    yield
    assert all("Traceback" not in record.getMessage() for record in caplog.get_records("call"))
    said = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert not any(each in said for each in (ANNA, PART, NAME, *GUIDS.values(), UNKNOWN))


def problem(answer: Result, status: int) -> list[tuple[str, str]]:
    """The errors of an answer, which holds nothing that was sent, and a reference."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert not any(each in answer.text for each in (ANNA, PART, NAME, *GUIDS.values(), UNKNOWN))
    found = answer.json
    assert (found["type"], found["status"]) == ("about:blank", status)
    assert found["title"]
    assert found["detail"].endswith(".")
    assert re.fullmatch(r"[0-9a-f]{12}", found["reference"])
    return [(each["field"], each["detail"]) for each in found["errors"]]


def done(answer: Result) -> bool:
    """It is acknowledged, with a reference and nothing else."""
    assert answer.status_code == 200
    assert list(answer.json) == ["reference"]
    return True


@pytest.mark.parametrize(
    ("meaning", "type_", "kind"),
    [
        ("block", "tilgangsbegrensning", BLOCK),
        ("block", "reservasjon", BLOCK),
        ("reservation", "reservasjon", RESERVATION),
        ("reservation", "tilgangsbegrensning", RESERVATION),
    ],
)
def test_a_push_becomes_a_setting_of_the_configured_kind(
    desk: Desk, meaning: str, type_: str, kind: int
) -> None:
    """Of all documents against all personnel, made when the citizen made it."""
    assert done(desk.send(GOOD | {"definisjonGuid": GUIDS[meaning].upper(), "typePi": type_}))
    (made,) = desk.history()
    assert (made.kind, made.whom, made.document, made.organisation) == (kind, "personnel", None, None)
    assert (made.source, made.made_at, made.made_by) == (
        f"pvk {GUIDS[meaning]} {PART}",
        20260311094500,
        "pvk",
    )
    assert done(desk.send(GOOD | {"definisjonGuid": GUIDS[meaning].upper(), "typePi": type_}))
    assert desk.history() == [made]


#: Changes of a good push that mean the same; None leaves a field out.
SAME: dict[str, dict[str, Any]] = {
    "older interface": {"aktiv": None, "status": "piAktiv"},
    "both": {"status": "piAktiv"},
    "no name": {"definisjonNavn": None},
    "unknown fields": {"metadata": [{"x": ANNA}], "id": 5},
    "local time": {"tidspunkt": "2026-03-11T10:45:00"},
    "fractions": {"tidspunkt": "2026-03-11T10:45:00.1234567+01:00"},
}


@pytest.mark.parametrize("name", SAME)
def test_there_are_several_ways_to_say_the_same(desk: Desk, name: str) -> None:
    """And null is as good as nothing."""
    assert done(desk.send(GOOD))
    before = desk.history()
    assert done(desk.send(GOOD | SAME[name]))
    assert desk.history() == before


def test_without_a_time_the_push_is_of_now(desk: Desk) -> None:
    """And a repeat of it changes nothing."""
    for _ in range(2):
        assert done(desk.send(GOOD | {"tidspunkt": None}))
    (made,) = desk.history()
    assert abs(datetime.now(UTC) - datetime.strptime(f"{made.made_at}Z", "%Y%m%d%H%M%S%z")) < timedelta(
        minutes=1
    )


def test_an_inactive_setting_is_withdrawn(desk: Desk) -> None:
    """At the time that was sent; what comes late does not bring it back."""
    off = GOOD | {"aktiv": False, "tidspunkt": "2026-03-12T00:00:00Z"}
    assert done(desk.send(GOOD))
    assert done(desk.send(off))
    assert done(desk.send(GOOD))
    (made,) = desk.history()
    assert (made.withdrawn_at, made.withdrawn_by) == (20260312000000, "pvk")
    assert done(desk.send({**off, "aktiv": None, "status": "piIkkeAktiv"}))
    assert desk.history() == [made]


def test_a_consent_is_acknowledged_and_nothing_is_stored(desk: Desk) -> None:
    """Active or not."""
    for active in (True, False):
        assert done(
            desk.send(GOOD | {"definisjonGuid": GUIDS["consent"], "typePi": "samtykke", "aktiv": active})
        )
    assert desk.history() == []


@pytest.mark.parametrize(
    "change",
    [
        {"definisjonGuid": UNKNOWN},
        {"definisjonGuid": UNKNOWN, "typePi": "samtykke"},
        {"typePi": "samtykke"},
        {"definisjonGuid": GUIDS["reservation"], "typePi": "samtykke"},
        {"definisjonGuid": GUIDS["consent"]},
        {"definisjonGuid": GUIDS["consent"], "typePi": "reservasjon"},
    ],
)
def test_a_definition_that_is_not_configured_so_is_for_the_operator(
    desk: Desk, change: dict[str, Any]
) -> None:
    """422 names the setting; the sender keeps it and tries again."""
    ((field, detail),) = problem(desk.send(GOOD | change), 422)
    assert field == "definisjonGuid"
    assert "privacy.definitions" in detail
    assert desk.history() == []


AHEAD = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
#: Changes of a good push, and the fields that are wrong then.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "control digits": ({"innbyggerFnr": "17855599121"}, ["innbyggerFnr"]),
    "number as a number": ({"innbyggerFnr": 17855599120}, ["innbyggerFnr"]),
    "no number": ({"innbyggerFnr": None}, ["innbyggerFnr"]),
    "number with a space": ({"innbyggerFnr": f"{ANNA} "}, ["innbyggerFnr"]),
    "no guid": ({"definisjonGuid": "block"}, ["definisjonGuid"]),
    "guid in braces": ({"definisjonGuid": "{" + UNKNOWN + "}"}, ["definisjonGuid"]),
    "no part": ({"partKode": ""}, ["partKode"]),
    "part of two words": ({"partKode": "a b"}, ["partKode"]),
    "part with a control character": ({"partKode": "a\u0000"}, ["partKode"]),
    "part with half a character": ({"partKode": "\ud800"}, ["partKode"]),
    "long part": ({"partKode": "a" * 101}, ["partKode"]),
    "part as a list": ({"partKode": ["a"]}, ["partKode"]),
    "another type": ({"typePi": "sperring"}, ["typePi"]),
    "type as a list": ({"typePi": ["samtykke"]}, ["typePi"]),
    "active as a text": ({"aktiv": "true"}, ["aktiv"]),
    "active as a number": ({"aktiv": 1}, ["aktiv"]),
    "neither active nor status": ({"aktiv": None}, ["aktiv"]),
    "unknown status": ({"aktiv": None, "status": "aktiv"}, ["status"]),
    "two answers": ({"aktiv": True, "status": "piIkkeAktiv"}, ["aktiv"]),
    "a day": ({"tidspunkt": "2026-03-11"}, ["tidspunkt"]),
    "no time": ({"tidspunkt": "T"}, ["tidspunkt"]),
    "time as a number": ({"tidspunkt": 1773222300}, ["tidspunkt"]),
    "time before all": ({"tidspunkt": "0001-01-01T00:00:00"}, ["tidspunkt"]),
    "time ahead": ({"tidspunkt": AHEAD}, ["tidspunkt"]),
    "everything": (
        dict.fromkeys(GOOD),
        ["innbyggerFnr", "definisjonGuid", "partKode", "typePi", "aktiv"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_fields_are_all_named(desk: Desk, name: str) -> None:
    """400; none is quoted, and nothing is stored."""
    change, fields = WRONG[name]
    errors = problem(desk.send(GOOD | change), 400)
    assert [field for field, _ in errors] == fields
    assert all(detail.startswith(field) for field, detail in errors)
    assert desk.history() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b"[" * 60_000,
        ANNA.encode(),
        b'{"innbyggerFnr": "',
    ],
)
def test_what_is_no_json_object_is_refused(desk: Desk, body: bytes) -> None:
    """400, in a sentence."""
    ((field, detail),) = problem(desk.send(body), 400)
    assert field == ""
    assert "JSON" in detail


def test_a_body_has_a_limit(desk: Desk) -> None:
    """Up to it all is well; beyond it 413, said or not."""
    text = json.dumps(GOOD).encode()
    assert done(desk.send(text.ljust(MOST_BYTES)))
    problem(desk.send(text.ljust(MOST_BYTES + 1)), 413)


def test_outside_a_test_synthetic_citizens_are_refused(desk: Desk) -> None:
    """They are no patients."""
    assert [field for field, _ in problem(replace(desk, test=False).send(GOOD), 400)] == ["innbyggerFnr"]


def test_a_merged_citizen_is_the_person(desk: Desk) -> None:
    """What was sent of the old number holds for the new one."""
    assert done(desk.send(GOOD))
    domain = Domain("national", synthetic=True)
    desk.database.transact(lambda connection: patients.merge(connection, domain, s.PATIENT, s.OTHER_PATIENT))
    assert done(desk.send(GOOD | {"aktiv": False, "tidspunkt": "2026-04-01T00:00:00Z"}))
    with desk.database.read() as connection:
        (made,) = privacy.history(connection, s.OTHER_PATIENT)
    assert made.withdrawn_at == 20260401000000


def test_it_is_acknowledged_after_the_commit_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails is no 200, whatever happened in it; the reason is not in the answer."""

    def fail(work: Callable[[Any], Any]) -> None:
        with desk.database.write() as connection:
            work(connection)
            raise failures[-1]

    failures: list[Exception] = []
    monkeypatch.setattr(Database, "transact", lambda self, work: fail(work))
    for failure, status in (
        (DatabaseBusy(), 503),
        (OperationalError("x", {}, Exception("database is locked")), 503),
        (OperationalError("x", {}, Exception("database or disk is full")), 503),
        (ValueError(ANNA), 500),
    ):
        failures.append(failure)
        answer = desk.send(GOOD)
        problem(answer, status)
        assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    assert desk.history() == []


# ---- the gates


@pytest.fixture
def service(tmp_path: Path) -> TicketService:
    return TicketService(tmp_path / "tickets")


@pytest.fixture
def guarded(desk: Desk, service: TicketService) -> Desk:
    """With gate 1."""
    return replace(desk, gate=FhirGate(TrustStore(service.trust), Replay(desk.database)))


def headers(service: TicketService, url: str = URL + ADDRESS, **more: Any) -> dict[str, str]:
    """A machine's token and a proof for the address."""
    token = service.token(**({"machine": True} | more))
    return {"Authorization": f"DPoP {token}", "DPoP": service.proof("POST", url, token)}


def test_with_a_good_token_it_is_stored_under_the_name_of_the_client(
    guarded: Desk, service: TicketService
) -> None:
    """Which is a system's."""
    assert done(guarded.send(GOOD, headers=headers(service)))
    (made,) = guarded.history()
    assert made.made_by.endswith(":client")


def test_without_a_token_nothing_is_looked_at(guarded: Desk) -> None:
    """A challenge and no error, even of a body that is none."""
    answer = guarded.send(b"{")
    assert problem(answer, 401) == []
    assert answer.headers["www-authenticate"].startswith('DPoP realm="xds", algs="')


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"Authorization": "Basic dGVzdDp0ZXN0"}, 400, "invalid_request"),
        ({"Authorization": "DPoP not.a.token"}, 401, "invalid_token"),
        ({"DPoP": "not.a.proof"}, 401, "invalid_dpop_proof"),
    ],
)
def test_a_bad_token_is_refused_as_under_fhir(
    guarded: Desk, service: TicketService, change: dict[str, str], status: int, error: str
) -> None:
    """With the standard's error."""
    answer = guarded.send(GOOD, headers=headers(service) | change)
    assert problem(answer, status) == []
    assert f'error="{error}"' in answer.headers["www-authenticate"]
    assert guarded.history() == []


def test_a_proof_for_another_address_is_refused(guarded: Desk, service: TicketService) -> None:
    """The public URL counts."""
    problem(guarded.send(GOOD, headers=headers(service, "http://falconframework.org" + ADDRESS)), 401)


def test_whom_no_policy_permits_is_refused_before_the_body_is_read(
    guarded: Desk, service: TicketService
) -> None:
    """403 with the rule; gate 2 was asked with the caller and the reference."""
    asked: list[tuple[Any, str]] = []

    def may(caller: Caller | None, trail: Trail) -> Access:
        asked.append((caller, trail.context.reference))
        raise RegistryFailure(broken("access-policy", "", "PVK", "(none permits it)"))

    answer = replace(guarded, may=may).send(b"{", headers=headers(service))
    ((_, detail),) = problem(answer, 403)
    assert detail.endswith("(none permits it) [access-policy]")
    ((caller, reference),) = asked
    assert caller.kind == "machine"
    assert reference == answer.json["reference"]


def test_whoever_may_see_one_patient_may_not_set_for_another(desk: Desk) -> None:
    """A ticket is for somebody."""
    bound = replace(UNASKED, pids=frozenset({s.OTHER_PATIENT}))
    ((field, detail),) = problem(replace(desk, may=lambda *_: bound).send(GOOD), 403)
    assert (field, "[access-patient]" in detail) == ("innbyggerFnr", True)
    assert desk.history() == []


# ---- the setting


def test_definitions_are_read_from_the_setting() -> None:
    """With commas or, in the file, as a list too; GUIDs in any case."""
    text = ", ".join(f"{guid.upper()} = {meaning}" for meaning, guid in GUIDS.items())
    settings = load(None, {"XDS_PRIVACY__DEFINITIONS": text})
    assert settings["privacy.definitions"] == {guid: meaning for meaning, guid in GUIDS.items()}
    assert set(settings["privacy.definitions"].values()) == set(MEANINGS)
    assert load(None, {})["privacy.definitions"] == {}


def test_definitions_may_be_a_list_in_the_file(tmp_path: Path) -> None:
    """One item each."""
    path = tmp_path / "xds.toml"
    path.write_text(f'[privacy]\ndefinitions = ["{GUIDS["block"]}=block", "{UNKNOWN}=consent"]\n')
    assert load(path, {})["privacy.definitions"] == {GUIDS["block"]: "block", UNKNOWN: "consent"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("block", "is not GUID=block, GUID=reservation, GUID=consent"),
        (f"{UNKNOWN}=refusal", "is not GUID=block"),
        (f"{UNKNOWN}", "is not GUID=block"),
        ("1=block", "is not GUID=block"),
        (f"{UNKNOWN}=block,{UNKNOWN}=consent", "gives one definition two meanings"),
    ],
)
def test_definitions_that_mean_nothing_are_refused(text: str, said: str) -> None:
    """When the node starts."""
    with pytest.raises(SettingsError, match="XDS_PRIVACY__DEFINITIONS") as caught:
        load(None, {"XDS_PRIVACY__DEFINITIONS": text})
    assert said in str(caught.value)
