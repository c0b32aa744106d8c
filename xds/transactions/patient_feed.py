"""What an identity feed does to the registry, whichever way it comes: HL7 v2 (ITI-8) or v3 (ITI-44).

Both transactions read their messages into `Named` ids and call `announce` or `merge`, so that both know and
refuse the same. Each does its work in one database transaction, which is committed when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from xds.audit.facts import Deed, Subject, for_each_patient
from xds.audit.trail import Trail
from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata.datatypes import CX
from xds.registry.patients import ANNOUNCED, SUBSUMED, SURVIVING
from xds.transactions import about
from xds.transactions.rules import broken
from xds.transactions.transaction import Node

#: As in ebRIM, where a patient id has to fit into an attribute of 256 characters with its authority.
_LONGEST: Final = 180
#: Ids of one message that are taken: it is about one person, and announcing keeps other writers waiting.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Named:
    """A patient id of a message, as plain text, and its assigning authority's OID; empty: none is given."""

    id: str
    authority: str


def announce(node: Node, ids: Sequence[Named], place: str, trail: Trail) -> None:
    """Make the ids known that are of an authority whose ids are used here; others are passed over.

    Raises RegistryFailure with errors at `place` when one of them is wrong or none is left.
    """
    pids = announced(node, ids, place)

    def work(connection: Connection) -> None:
        node.registry.announce(connection, pids)
        trail.done(connection, *for_each_patient(Deed(action="C"), pids))

    _transact(node, work, {ANNOUNCED: place})


def merge(
    node: Node,
    subsumed: Sequence[Named],
    surviving: Sequence[Named],
    places: Mapping[str, str],
    trail: Trail,
) -> None:
    """Merge the subsumed into the surviving id; each must be one, of those whose authority is used here.

    `places` says where the two stand (patients.SUBSUMED, SURVIVING). Raises RegistryFailure.
    """
    pids = pair(node, subsumed, surviving, places)

    def work(connection: Connection) -> None:
        node.registry.merge(connection, pids[SUBSUMED], pids[SURVIVING])
        # The one record is no more, the other has what it had (ITI TF-2 3.8.5.1).
        gone = Deed(patient=pids[SUBSUMED], action="D")
        trail.done(connection, gone, Deed(patient=pids[SURVIVING], action="U"))

    _transact(node, work, places)


def announced(node: Node, ids: Sequence[Named], place: str) -> list[str]:
    """The ids (CX text) that a message announces here. Raises RegistryFailure with errors at `place`."""
    pids, errors = _ours(node, ids, place)
    if not pids and not errors:
        errors = [broken("feed-patient-id", place)]
    if len(pids) > _MOST:
        errors.append(broken("feed-patient-ids-many", place))
    if errors:
        raise RegistryFailure(*errors)
    return pids


def pair(
    node: Node, subsumed: Sequence[Named], surviving: Sequence[Named], places: Mapping[str, str]
) -> Mapping[str, str]:
    """The two ids (CX text) of a merge, by their place in `places`. Raises RegistryFailure."""
    pids: dict[str, str] = {}
    errors: list[RegistryError] = []
    for role, ids in ((SUBSUMED, subsumed), (SURVIVING, surviving)):
        found, wrong = _ours(node, ids, places[role])
        errors += wrong
        if len(found) == 1:
            pids[role] = found[0]
        elif not wrong:
            errors.append(broken("feed-one-pair" if found else "feed-patient-id", places[role]))
    if errors:
        raise RegistryFailure(*errors)
    return pids


def subject(node: Node, ids: Iterable[Named]) -> Subject:
    """Whom a message is about, of authorities whose ids are used here: for a record of its failure."""
    pids, _ = _ours(node, list(ids)[:_MOST], "")
    # One person, or the two of a merge: what names more is wrong, and is no word about all of them.
    sound = [pid for pid in pids if len(pid) <= about.LONGEST and pid.isprintable()]
    return Subject(patients=tuple(sound[:2]))


def _ours(node: Node, ids: Sequence[Named], place: str) -> tuple[list[str], list[RegistryError]]:
    """The ids (CX text) of authorities whose ids are used here, and what is wrong with some of these."""
    pids: dict[str, None] = {}
    errors = []
    for each in ids:
        if not each.authority or not node.registry.domain.takes(each.authority):
            continue
        try:
            pids[str(CX.parse(str(CX(each.id, each.authority))))] = None
            sound = each.id.isprintable() and len(each.id) <= _LONGEST
        except DataTypeError:
            sound = False
        if not sound:
            errors.append(broken("feed-patient-id-form", place))
    return list(pids), list(dict.fromkeys(errors))


def _transact(node: Node, work: Callable[[Connection], None], places: Mapping[str, str]) -> None:
    """Do the work; the registry's errors say which id is at fault, and `places` where it stands."""
    try:
        node.database.transact(work)
    except RegistryFailure as failure:
        raise RegistryFailure(
            *(replace(error, location=places.get(error.location, "")) for error in failure.errors)
        ) from None
