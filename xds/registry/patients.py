"""The patients of the registry: who is known, who was merged into whom, and the lock that every writer takes.

register.py, update.py and remove.py lock through here before they look at anything (docs/decisions/0003):
whoever holds the surviving patient's row is alone with all that belongs to the patient. The identity feed
(ITI-8, ITI-44) announces and merges through here, and only an operator undoes a merge. Merging moves no row
of a registry object: it changes under which id these are found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, bindparam, insert, null, select, update

from xds.errors import RegistryError, RegistryFailure
from xds.metadata import national
from xds.metadata.datatypes import CX
from xds.registry.parting import Parted, part
from xds.registry.rules import broken
from xds.store.dialect import insert_new
from xds.store.keys import new_key, now
from xds.store.schema import patient, patient_merge


@dataclass(frozen=True, slots=True)
class Domain:
    """Which patient ids belong here: the settings `patients.source` and `patients.authorities`.

    `synthetic`: whether this is a test, in which people who do not exist are patients (metadata/national.py).
    """

    source: str
    authorities: frozenset[str] = frozenset()
    synthetic: bool = False

    def takes(self, authority: str) -> bool:
        """Whether ids of this authority (OID) are patient ids here."""
        if self.source == "national":
            return authority in national.AUTHORITIES
        if self.source == "feed":
            return authority in (self.authorities or national.AUTHORITIES)
        return not self.authorities or authority in self.authorities

    def permits(self, pid: str) -> bool:
        """Whether this (CX text) can be a patient's id here, as far as can be seen from the id."""
        cx = CX.parse(pid)
        if not self.takes(cx.authority):
            return False
        if self.source == "national":
            return national.is_valid(cx.id, cx.authority, test=self.synthetic)
        nobodys = cx.authority in national.AUTHORITIES and national.is_surely_synthetic(cx.id)
        return self.source == "open" or self.synthetic or not nobodys


_PATIENT: Final = (
    select(patient.c.patient_pk, patient.c.announced, patient.c.merged_into)
    .where(patient.c.pid == bindparam("pid"))
    .with_for_update(key_share=True)
)


def lock(connection: Connection, pid: str, location: str = "") -> int:
    """The key of the patient with this id (CX text), locked until the transaction ends; made when new.

    Raises RegistryFailure for one that was merged into another.
    """
    row = connection.execute(_PATIENT, {"pid": pid}).one_or_none()
    if row is None:
        _make(connection, [pid])
        row = connection.execute(_PATIENT, {"pid": pid}).one()
    if row.merged_into is not None:
        raise RegistryFailure(broken("registry-patient-merged", location))
    return int(row.patient_pk)


_ALL: Final = (
    select(patient.c.patient_pk)
    .where(patient.c.patient_pk.in_(bindparam("keys", expanding=True)))
    .order_by(patient.c.patient_pk)
    .with_for_update(key_share=True)
)


def lock_all(connection: Connection, patient_pks: Iterable[int]) -> None:
    """Lock patients until the transaction ends, in the order of their keys: two writers never cross."""
    ordered = sorted(set(patient_pks))
    for start in range(0, len(ordered), 1000):
        connection.execute(_ALL, {"keys": ordered[start : start + 1000]}).all()


_Seen = TypeVar("_Seen")


def lock_until_settled(
    connection: Connection, look: Callable[[], tuple[_Seen, Set[int]]], held: Set[int] = frozenset()
) -> _Seen:
    """What `look` sees once all patients that it says have a part in it are locked; `held` are so already.

    Whom to lock is known only after a look, which may be out of date by the time the lock is there (a merge,
    a removal): so it is looked again until nobody is missing. Only such a second round can lock a lower key
    after a higher one and so meet another writer crosswise; Database.transact then begins anew.
    """
    while True:
        seen, concerned = look()
        if concerned <= held:
            return seen
        held = held | concerned
        lock_all(connection, held)


_OWN: Final = select(patient.c.patient_pk).where(patient.c.pid == bindparam("pid"))


def keys_of(connection: Connection, pid: str) -> set[int]:
    """The key of the patient with this id (CX text), not locked; nothing when there is none yet."""
    return set(connection.execute(_OWN, {"pid": pid}).scalars())


def admit(connection: Connection, domain: Domain, pid: str, location: str = "") -> int:
    """`lock` for a patient of whom something new is said: it must be known (ITI TF-2 3.42.4.1.3.3.2).

    The error does not name the id, although the standard lets codeContext hold it: it may be a person's
    national number, and answers and what is made of them are no place for that.
    """
    check_permitted(domain, pid, location)
    if domain.source == "feed":
        row = connection.execute(_PATIENT, {"pid": pid}).one_or_none()
        if row is None or not row.announced:
            raise RegistryFailure(broken("registry-patient-known", location))
    return lock(connection, pid, location)


def check_permitted(domain: Domain, pid: str, location: str = "") -> None:
    """What can be said of a patient without a look at who is known. Raises RegistryFailure."""
    if not domain.permits(pid):
        raise RegistryFailure(broken("registry-patient-known", location))


# ---- the identity feed

#: Where an error of `announce` and `merge` lies: which of the ids that were given.
ANNOUNCED: Final = "announced"
SURVIVING: Final = "surviving"
SUBSUMED: Final = "subsumed"

#: Locked in the order of patient_pk, as by everyone who locks several: no deadlocks.
_NAMED: Final = (
    select(patient.c.announced, patient.c.merged_into)
    .where(patient.c.pid.in_(bindparam("pids", expanding=True)))
    .order_by(patient.c.patient_pk)
)
_NAMED_LOCKED: Final = _NAMED.with_for_update(key_share=True)
_ANNOUNCE: Final = (
    update(patient).where(patient.c.pid.in_(bindparam("pids", expanding=True))).values(announced=1)
)
_named: Final = patient.alias("named")
#: Everybody who is one person with the named: the survivors and all that were merged into them. Uses
#: ix_patient_survivor.
_FAMILY: Final = select(
    patient.c.patient_pk,
    patient.c.pid,
    patient.c.announced,
    patient.c.merged_into,
    patient.c.survivor_pk,
).where(
    patient.c.survivor_pk.in_(
        select(_named.c.survivor_pk).where(_named.c.pid.in_(bindparam("pids", expanding=True)))
    )
)


def announce(connection: Connection, domain: Domain, pids: Collection[str]) -> None:
    """Make these ids known; one that is known already is left as it is (ITI TF-2 3.8.4.1.3).

    Raises RegistryFailure for ids that cannot be known here, and for one that was merged into another.
    """
    if not all(map(domain.permits, pids)):
        raise RegistryFailure(broken("registry-patient-known", ANNOUNCED))
    bound = {"pids": sorted(pids)}
    rows = connection.execute(_NAMED, bound).all()
    if len(rows) == len(pids) and all(row.announced and row.merged_into is None for row in rows):
        return  # as nearly always: a feed repeats itself, and nobody needs to wait for that
    _make(connection, pids)
    if any(row.merged_into is not None for row in connection.execute(_NAMED_LOCKED, bound)):
        raise RegistryFailure(broken("registry-patient-merged", ANNOUNCED))
    connection.execute(_ANNOUNCE, bound)


def merge(connection: Connection, domain: Domain, subsumed: str, surviving: str) -> None:
    """From now on the surviving id stands for both; what was merged into the subsumed one comes along.

    Raises RegistryFailure, and nothing has changed, when an id is not known and active here, when both are
    the same, or when either was merged before (ITI TF-2 3.8.4.2.4). A valid national number is known without
    having been announced, so that a D-number can give way to a new fødselsnummer.
    """
    pids = {SUBSUMED: subsumed, SURVIVING: surviving}
    errors = [broken("registry-patient-known", role) for role, pid in pids.items() if not domain.permits(pid)]
    if subsumed == surviving:
        errors.append(broken("registry-merge-self", SUBSUMED))
    if errors:
        raise RegistryFailure(*errors)
    if domain.source != "feed":
        _make(connection, pids.values())
    family = _lock_family(connection, list(pids.values()))
    rows = {row.pid: row for row in family}
    if _is_done(rows.get(subsumed), rows.get(surviving)):
        return  # the message came again, because its acknowledgement was lost
    errors = [
        error for role, pid in pids.items() if (error := _inactive(domain, rows.get(pid), role)) is not None
    ]
    if errors:
        raise RegistryFailure(*errors)
    old, new = rows[subsumed].patient_pk, rows[surviving].patient_pk
    connection.execute(_MERGE, {"key": old, "into": new})
    _set_survivors(connection, {row.patient_pk: new for row in family if row.survivor_pk == old})
    connection.execute(
        insert(patient_merge),
        {"merge_pk": new_key(), "subsumed_pk": old, "surviving_pk": new, "merged_at": now()},
    )


_MERGE: Final = (
    update(patient).where(patient.c.patient_pk == bindparam("key")).values(merged_into=bindparam("into"))
)
_SURVIVE: Final = (
    update(patient).where(patient.c.patient_pk == bindparam("key")).values(survivor_pk=bindparam("survivor"))
)


def _is_done(subsumed: Any, surviving: Any) -> bool:
    """Whether the one is merged into the other already, which still stands for itself."""
    return (
        subsumed is not None
        and surviving is not None
        and subsumed.merged_into == surviving.patient_pk
        and surviving.merged_into is None
    )


def _inactive(domain: Domain, row: Any, role: str) -> RegistryError | None:
    """Why this id cannot take part in a merge, or None."""
    if row is None or (domain.source == "feed" and not row.announced):
        return broken("registry-patient-known", role)
    if row.merged_into is not None:
        return broken(f"registry-merge-{role}", role)
    return None


def _make(connection: Connection, pids: Iterable[str]) -> None:
    """Rows for ids that have none; in one order, as two that insert the same ids wait for each other."""
    statement = insert_new(patient, connection.dialect)
    for pid in sorted(pids):
        own = new_key()
        connection.execute(statement, {"patient_pk": own, "pid": pid, "announced": 0, "survivor_pk": own})


def _lock_family(connection: Connection, pids: list[str]) -> Sequence[Any]:
    """The rows of everybody who is one person with these, locked: nobody can change who they are."""

    def look() -> tuple[Sequence[Any], set[int]]:
        rows = connection.execute(_FAMILY, {"pids": pids}).all()
        return rows, {row.patient_pk for row in rows}

    return lock_until_settled(connection, look)


def _set_survivors(connection: Connection, survivors: Mapping[int, int]) -> None:
    for key in sorted(survivors):
        connection.execute(_SURVIVE, {"key": key, "survivor": survivors[key]})


# ---- the operator


@dataclass(frozen=True, slots=True)
class Merge:
    """One line of the history: the two ids as CX text, and times as YYYYMMDDhhmmss in UTC."""

    subsumed: str
    surviving: str
    merged_at: int
    undone_at: int | None


_old: Final = patient.alias("old")
_new: Final = patient.alias("new")
_HISTORY: Final = (
    select(
        _old.c.pid.label("subsumed"),
        _new.c.pid.label("surviving"),
        patient_merge.c.merged_at,
        patient_merge.c.undone_at,
    )
    .join_from(patient_merge, _old, patient_merge.c.subsumed_pk == _old.c.patient_pk)
    .join(_new, patient_merge.c.surviving_pk == _new.c.patient_pk)
    .order_by(patient_merge.c.merge_pk)
)
_UNDONE: Final = (
    update(patient_merge)
    .where(patient_merge.c.subsumed_pk == bindparam("key"), patient_merge.c.undone_at.is_(null()))
    .values(undone_at=bindparam("now"))
)


def merges(connection: Connection, pid: str = "") -> list[Merge]:
    """What was merged and what was undone, oldest first; with `pid`, only where that id stands."""
    statement = _HISTORY.where((_old.c.pid == pid) | (_new.c.pid == pid)) if pid else _HISTORY
    return [Merge(*row) for row in connection.execute(statement)]


def unmerge(connection: Connection, subsumed: str) -> tuple[str, Parted]:
    """Take the merge of this id back; returns the id that it had been merged into, and what links were cut.

    What was merged into this id earlier goes with it; what was registered in between under the surviving id
    stays there. Raises RegistryFailure when the id is not merged into another.
    """
    family = _lock_family(connection, [subsumed])
    parents = {row.patient_pk: row.merged_into for row in family}
    pids = {row.patient_pk: row.pid for row in family}
    own = next((row for row in family if row.pid == subsumed), None)
    if own is None or own.merged_into is None:
        raise RegistryFailure(broken("registry-merge-undone", SUBSUMED))
    connection.execute(_MERGE, {"key": own.patient_pk, "into": None})
    parents[own.patient_pk] = None
    ends = {key: _end(key, parents) for key in parents}
    _set_survivors(
        connection,
        {row.patient_pk: end for row in family if (end := ends[row.patient_pk]) != row.survivor_pk},
    )
    connection.execute(_UNDONE, {"key": own.patient_pk, "now": now()})
    leaving = {key for key, end in ends.items() if end == own.patient_pk}
    return str(pids[own.merged_into]), part(connection, leaving, ends.keys() - leaving)


def _end(key: int, parents: Mapping[int, int | None]) -> int:
    """The end of the chain that begins at this patient."""
    while (parent := parents[key]) is not None:
        key = parent
    return key
