"""What a patient has decided about their documents: the one place that writes privacy settings.

`xds privacy` and the push of Personvernkomponenten (fhir/privacy.py) call it inside a write transaction;
known.py reads what is in effect. A setting is made and withdrawn, and must never be changed or deleted
otherwise: the rows are the history. No error holds anything of what was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, insert, select, update

from xds.errors import Code, DataTypeError, RegistryError, RegistryFailure
from xds.metadata.identifiers import authority_of_patient, hpr_number, is_organisation_number
from xds.metadata.rules import Rule
from xds.registry import patients
from xds.registry.owners import pids_of
from xds.registry.patients import Domain
from xds.store import schema
from xds.store.keys import new_key, now, uuid_bytes, uuid_urn
from xds.store.schema import document_entry, patient, privacy_setting

#: The source of settings that an operator makes.
OPERATOR: Final = "operator"

_OWN: Final = "this registry's own"

RULES: Final[Mapping[str, Rule]] = {
    "privacy-whom": Rule(
        "A setting must be against somebody whom its kind knows: a block against personnel,"
        " organisation:NUMBER, hpr:NUMBER or person:NUMBER; a refusal against citizen, parent, youth,"
        " representative or person:NUMBER; a reservation against personnel; a release is for citizen.",
        _OWN,
        Code.REGISTRY_ERROR,
    ),
    "privacy-organisation": Rule(
        "An organisation must be given by its organisation number: nine digits, the last of which fits the"
        " others.",
        "norwegian-profile 1.4",
        Code.REGISTRY_ERROR,
    ),
    "privacy-hpr": Rule(
        "An HPR number must be one to nine digits.", "norwegian-profile 1.4", Code.REGISTRY_ERROR
    ),
    "privacy-person": Rule(
        "A person must be given by a valid national number, synthetic ones in a test only.",
        "norwegian-profile 1.4",
        Code.REGISTRY_ERROR,
    ),
    "privacy-document": Rule(
        "The document must be one of the patient's: give the entryUUID of any version, as urn:uuid:.",
        _OWN,
        Code.UNRESOLVED_REFERENCE,
    ),
    "privacy-part": Rule(
        "A setting must be about all documents, one document or one organisation's documents, and a"
        " reservation about all.",
        _OWN,
        Code.REGISTRY_ERROR,
    ),
    "privacy-release-time": Rule(
        "A release must say from when, as YYYYMMDDhhmmss in UTC, and no other setting may.",
        _OWN,
        Code.REGISTRY_ERROR,
    ),
    "privacy-by": Rule(
        "A change must say who made it: one to 100 characters that can be printed.", _OWN, Code.REGISTRY_ERROR
    ),
    "privacy-key": Rule(
        "The key must be that of a privacy setting: list the patient's settings to find it.",
        _OWN,
        Code.UNRESOLVED_REFERENCE,
    ),
}


def broken(rule_id: str) -> RegistryError:
    """The error of a broken rule."""
    return RULES[rule_id].error(rule_id, "")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of setting: against whom it can be, as words and as numbers of these sorts.

    `usual`: against whom it is when nobody is named. `parts`: it can be about some documents only. `timed`:
    it has a release time.
    """

    name: str
    words: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    usual: str = ""
    parts: bool = True
    timed: bool = False


#: By their numbers in privacy_setting.kind.
KINDS: Final[Mapping[int, Kind]] = {
    schema.BLOCK: Kind("block", ("personnel",), ("organisation", "hpr", "person"), usual="personnel"),
    schema.REFUSAL: Kind("refusal", ("citizen", "parent", "youth", "representative"), ("person",)),
    schema.RESERVATION: Kind("reservation", ("personnel",), usual="personnel", parts=False),
    schema.RELEASE: Kind("release", ("citizen",), usual="citizen", timed=True),
}


def _organisation(number: str, test: bool) -> str:
    return number if is_organisation_number(number) else ""


def _person(number: str, test: bool) -> str:
    return number if authority_of_patient(number, test=test) else ""


#: What stands before a number -> the number as tickets have it, or nothing. The rule is privacy-<word>.
_NUMBERS: Final[Mapping[str, Callable[[str, bool], str]]] = {
    "organisation": _organisation,
    "hpr": lambda number, test: hpr_number(number),
    "person": _person,
}


@dataclass(frozen=True, slots=True)
class PrivacySetting:
    """One setting, in effect until it is withdrawn; times are YYYYMMDDhhmmss in UTC.

    `kind` as in KINDS, `whom` as decision.py compares it. `document` is the logical UUID of the one document,
    `organisation` the number of the one organisation whose documents it is about; without both: all.
    """

    kind: int
    whom: str = field(repr=False)
    document: str | None
    organisation: str | None
    release_time: int | None
    source: str
    made_at: int
    made_by: str = field(repr=False)
    withdrawn_at: int | None
    withdrawn_by: str | None = field(repr=False)
    key: int

    @property
    def is_in_effect(self) -> bool:
        """Whether nobody has withdrawn it."""
        return self.withdrawn_at is None

    @property
    def content(self) -> tuple[object, ...]:
        """What it says: two in effect with the same content would be one too many."""
        return self.kind, self.whom, self.document, self.organisation, self.release_time, self.source


def read_time(text: str) -> int:
    """YYYYMMDDhhmmss in UTC of a date or time in ISO 8601; without a zone it is Norwegian time.

    Raises DataTypeError.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_OSLO)
        if moment.year < 1900:
            raise ValueError
        return int(moment.astimezone(UTC).strftime("%Y%m%d%H%M%S"))
    except (ValueError, OverflowError):
        raise DataTypeError(
            "A time is written as 2026-03-11, 2026-03-11T09:45 or 2026-03-11T09:45:00Z."
        ) from None


_OSLO: Final = ZoneInfo("Europe/Oslo")


# ---- what is there

_named: Final = patient.alias("named")
#: Everybody who is one person with the named. Uses ix_patient_survivor.
_FAMILY: Final = (
    select(patient.c.patient_pk, patient.c.pid, patient.c.merged_into, patient.c.survivor_pk)
    .join_from(_named, patient, patient.c.survivor_pk == _named.c.survivor_pk)
    .where(_named.c.pid == bindparam("pid"))
)
#: The columns of PrivacySetting in their order.
_COLUMNS: Final = (
    privacy_setting.c.kind,
    privacy_setting.c.whom,
    privacy_setting.c.logical_uuid,
    privacy_setting.c.organisation,
    privacy_setting.c.release_time,
    privacy_setting.c.source,
    privacy_setting.c.made_at,
    privacy_setting.c.made_by,
    privacy_setting.c.withdrawn_at,
    privacy_setting.c.withdrawn_by,
    privacy_setting.c.setting_pk,
)
#: Uses ix_privacy_setting_patient.
_HISTORY: Final = (
    select(*_COLUMNS)
    .where(privacy_setting.c.patient_pk.in_(bindparam("keys", expanding=True)))
    .order_by(privacy_setting.c.made_at, privacy_setting.c.setting_pk)
)
_ONE: Final = select(*_COLUMNS).where(privacy_setting.c.setting_pk == bindparam("key"))


def history(connection: Connection, pid: str) -> list[PrivacySetting]:
    """Every setting that the person with this id (CX text) ever had, under whatever id, oldest first."""
    rows = connection.execute(_FAMILY, {"pid": pid}).all()
    return _settings(connection, [row.patient_pk for row in rows])


def _settings(connection: Connection, keys: Sequence[int]) -> list[PrivacySetting]:
    return [_setting(row) for row in connection.execute(_HISTORY, {"keys": list(keys)})]


def _setting(row: Any) -> PrivacySetting:
    kind, whom, document, *others = row
    return PrivacySetting(kind, whom, None if document is None else uuid_urn(bytes(document)), *others)


# ---- what an operator does


def make(
    connection: Connection,
    domain: Domain,
    pid: str,
    kind: int,
    whom: str = "",
    *,
    by: str,
    document: str = "",
    organisation: str = "",
    release_time: int | None = None,
    source: str = OPERATOR,
) -> PrivacySetting:
    """The setting, made now; one of the same content and source that is in effect stays the only one.

    `pid` (CX text) may have been merged: the setting then holds for the whole person, and stays with that id
    if the merge is taken back. `document` is an entryUUID of any version, `whom` empty for the usual one.
    Raises RegistryFailure with everything that is wrong.
    """
    own, family = _hold(connection, domain, pid)
    rules: list[str] = []
    whom = _whom(KINDS[kind], whom or KINDS[kind].usual, domain.synthetic, rules)
    if not _is_name(by):
        rules.append("privacy-by")
    if organisation and not is_organisation_number(organisation):
        rules.append("privacy-organisation")
    if (document and organisation) or (not KINDS[kind].parts and (document or organisation)):
        rules.append("privacy-part")
    if not _is_time(release_time) if KINDS[kind].timed else release_time is not None:
        rules.append("privacy-release-time")
    logical = None
    if document:
        found = _document(connection, document, family)
        if found is None:
            rules.append("privacy-document")
        else:  # with the document's own id, so that they stay together whatever becomes of a merge
            own, logical = found
    if rules:
        raise RegistryFailure(*map(broken, dict.fromkeys(rules)))
    made = PrivacySetting(
        kind,
        whom,
        logical,
        organisation or None,
        release_time,
        source,
        now(),
        by,
        withdrawn_at=None,
        withdrawn_by=None,
        key=new_key(),
    )
    for each in _settings(connection, family):
        if each.is_in_effect and each.content == made.content:
            return each
    _insert(connection, own, made)
    return made


_OWNER: Final = (
    select(patient.c.survivor_pk)
    .join_from(privacy_setting, patient, privacy_setting.c.patient_pk == patient.c.patient_pk)
    .where(privacy_setting.c.setting_pk == bindparam("key"))
)
_WITHDRAW: Final = (
    update(privacy_setting)
    .where(privacy_setting.c.setting_pk == bindparam("key"), privacy_setting.c.withdrawn_at.is_(None))
    .values(withdrawn_at=bindparam("at"), withdrawn_by=bindparam("by"))
)


def patient_of(connection: Connection, key: int) -> str:
    """Whose setting it is (CX text); empty when there is none with this key."""
    chosen = select(privacy_setting.c.patient_pk).where(privacy_setting.c.setting_pk == key)
    return "".join(pids_of(connection, connection.execute(chosen).scalars().all()).values())


def withdraw(connection: Connection, key: int, by: str) -> PrivacySetting:
    """The setting with this key, withdrawn now, or earlier if it has been.

    Raises RegistryFailure when there is none.
    """
    rules = [] if _is_name(by) else ["privacy-by"]
    # What is longer is no number for the database.
    if not 0 < key < 2**63 or not _lock_owner(connection, key):
        rules.append("privacy-key")
    if rules:
        raise RegistryFailure(*map(broken, rules))
    connection.execute(_WITHDRAW, {"key": key, "at": now(), "by": by})
    return _setting(connection.execute(_ONE, {"key": key}).one())


def _lock_owner(connection: Connection, key: int) -> set[int]:
    def look() -> tuple[set[int], set[int]]:
        owners = set(connection.execute(_OWNER, {"key": key}).scalars())
        return owners, owners

    return patients.lock_until_settled(connection, look)


# ---- what another system tells us


def replicate(
    connection: Connection,
    domain: Domain,
    pid: str,
    kind: int,
    source: str,
    *,
    active: bool,
    at: int | None,
    by: str,
) -> bool:
    """Bring what this source says of the patient to what it said `at` that time; whether anything changed.

    What is older than the newest that is known of source and patient changes nothing; `at` None is newer than
    all. So that the newest is always known, a setting that is confirmed at a later time is withdrawn and made
    anew, and the end of one that never was in effect is kept as one that ended when it began.
    """
    own, family = _hold(connection, domain, pid)
    known = [each for each in _settings(connection, family) if each.source == source]
    newest = max((max(each.made_at, each.withdrawn_at or 0) for each in known), default=0)
    when = max(now(), newest) if at is None else at
    in_effect = [each for each in known if each.is_in_effect]
    is_so = {each.kind for each in in_effect} == ({kind} if active else set())
    if when < newest or (is_so and (at is None or when == newest)):
        return False
    for each in in_effect:
        connection.execute(_WITHDRAW, {"key": each.key, "at": when, "by": by})
    if active or not in_effect:
        setting = PrivacySetting(
            kind,
            KINDS[kind].usual,
            document=None,
            organisation=None,
            release_time=None,
            source=source,
            made_at=when,
            made_by=by,
            withdrawn_at=None if active else when,
            withdrawn_by=None if active else by,
            key=new_key(),
        )
        _insert(connection, own, setting)
    return True


# ---- the parts


def _hold(connection: Connection, domain: Domain, pid: str) -> tuple[int, list[int]]:
    """The key of this id, and of all ids of the person, who is locked until the transaction ends.

    Raises RegistryFailure when the id is not known here.
    """

    def look() -> tuple[Sequence[Any], set[int]]:
        rows = connection.execute(_FAMILY, {"pid": pid}).all()
        return rows, {row.survivor_pk for row in rows}

    if not any(row.pid == pid and row.merged_into is not None for row in look()[0]):
        patients.admit(connection, domain, pid)
    family = patients.lock_until_settled(connection, look)
    return next(row.patient_pk for row in family if row.pid == pid), [row.patient_pk for row in family]


def _whom(kind: Kind, text: str, test: bool, rules: list[str]) -> str:
    """Against whom, as decision.py compares it; what is wrong is added to `rules`."""
    if text in kind.words:
        return text
    word, _, number = text.partition(":")
    if word not in kind.numbers:
        rules.append("privacy-whom")
        return ""
    read = _NUMBERS[word](number, test)
    if not read:
        rules.append(f"privacy-{word}")
    return f"{word}:{read}"


_DOCUMENT: Final = select(document_entry.c.patient_pk, document_entry.c.logical_uuid).where(
    document_entry.c.entry_uuid == bindparam("uuid")
)


def _document(connection: Connection, urn: str, family: Sequence[int]) -> tuple[int, str] | None:
    """The patient key and logical UUID of a document of the family. Uses uq_document_entry_uuid."""
    try:
        uuid = uuid_bytes(urn)
    except ValueError:
        return None
    row = connection.execute(_DOCUMENT, {"uuid": uuid}).one_or_none()
    if uuid_urn(uuid) != urn.lower() or row is None or row.patient_pk not in family:
        return None
    return row.patient_pk, uuid_urn(bytes(row.logical_uuid))


def _insert(connection: Connection, owner: int, setting: PrivacySetting) -> None:
    connection.execute(
        insert(privacy_setting),
        {
            "setting_pk": setting.key,
            "patient_pk": owner,
            "kind": setting.kind,
            "whom": setting.whom,
            "logical_uuid": None if setting.document is None else uuid_bytes(setting.document),
            "organisation": setting.organisation,
            "release_time": setting.release_time,
            "source": setting.source,
            "made_at": setting.made_at,
            "made_by": setting.made_by,
            "withdrawn_at": setting.withdrawn_at,
            "withdrawn_by": setting.withdrawn_by,
        },
    )


def _is_name(by: str) -> bool:
    return 0 < len(by.strip()) <= len(by) <= 100 and by.isprintable()


def _is_time(value: int | None) -> bool:
    try:
        return (
            value is not None
            and len(str(value)) == 14
            and bool(datetime.strptime(str(value), "%Y%m%d%H%M%S"))
        )
    except ValueError:
        return False
