"""What a message of a metadata update must be by itself, before a registry is asked (updates.check).

Expected rules and locations are worked out from the supplements (Metadata Update 3.57.4.1.3, RMU 3.92.4.1.3);
tests/registry/test_update.py has what the registry says, and the codes.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry.updates import (
    SET,
    document,
    folder,
    member,
    message,
    status,
    submitted,
    uuid,
)
from xds.metadata import names, updates
from xds.metadata.entries import registry_object
from xds.metadata.model import Slot

D1, D2, F1, N1, N2, A1 = map(uuid, (0xD1, 0xD2, 0xF1, 0xA1, 0xA2, 0xB1))
NEW = document(N1, logical_id=D1)
FOLDER = folder(N2, logical_id=F1)
LINK = member(N1)


def command(target: str, source: str = SET, own: str = "submit") -> Any:
    return s.association(names.SUBMIT_ASSOCIATION, source, target, entry_uuid=own)


RIGHT = {
    "a document": (NEW, LINK),
    "a document, without propagation": (NEW, member(N1, 2, "no")),
    "a folder and a document": (NEW, LINK, FOLDER, member(N2, status=None)),
    "a status": (status(D1),),
    "a status of the new version": (NEW, LINK, status(N1, new=names.DEPRECATED)),
    "an association": submitted(names.APND, D1, D2),
    "a membership": submitted(names.HAS_MEMBER, F1, D1),
    "an association that is deprecated at once": (*submitted(names.APND, D1, D2), status("new")),
}
WRONG = [
    ((document(N1),), {("update-logical-id", f"{N1}/logicalID"), ("update-member", N1)}),
    ((NEW,), {("update-member", N1)}),
    ((NEW, LINK, member(N1, entry_uuid="second")), {("update-member", N1)}),
    ((NEW, LINK, document(N2, 2, logical_id=D1), member(N2)), {("update-once", f"{N2}/logicalID")}),
    *(
        ((NEW, member(N1, value)), {("update-previous-version", f"to-{N1}/PreviousVersion")})
        for value in ("", "0", "-1", "one", "1.0", "10000000000", "١", None)
    ),
    (
        (NEW, member(N1, 1, "perhaps", status="Reference")),
        {
            ("update-propagation", f"to-{N1}/AssociationPropagation"),
            ("member-status", f"to-{N1}/submissionSetStatus"),
        },
    ),
    ((), {("update-operation", SET)}),
    (
        (s.association(names.APND, D2, D1, entry_uuid="alone"),),
        {("update-operation", SET), ("update-operation", "alone")},
    ),
    ((status(D1, source=D2),), {("update-source", f"status-{D1}/sourceObject")}),
    (
        (status(D1), status(D1, entry_uuid="again")),
        {
            ("update-once", f"status-{D1}/targetObject"),
            ("update-once", "again/targetObject"),
        },
    ),
    ((status(D1, names.APPROVED, names.APPROVED),), {("update-status-values", f"status-{D1}/NewStatus")}),
    (
        (status(D1, extra_slots=(Slot("NewStatus", ("Deprecated",)),)),),
        {
            ("update-status-values", f"status-{D1}/OriginalStatus"),
            ("update-status-values", f"status-{D1}/NewStatus"),
        },
    ),
    ((NEW, LINK, status(SET)), {("update-status-target", f"status-{SET}/targetObject")}),
    ((status("Document01"),), {("update-resolved", "status-Document01/targetObject")}),
    ((command("nowhere"),), {("update-submitted", "submit/targetObject")}),
    ((command("status-" + D1), status(D1)), {("update-submitted", "submit/targetObject")}),
    ((NEW, LINK, command(f"to-{N1}")), {("update-submitted", "submit/targetObject")}),
    (submitted(names.APND, D1, D1), {("update-association-ends", "new/targetObject")}),
    (submitted(names.APND, D1, "Document01"), {("update-association-ends", "new/targetObject")}),
    (
        (NEW, LINK, *submitted(names.HAS_MEMBER, N1, D1)),
        {
            ("update-association-ends", "new/sourceObject"),
        },
    ),
    ((NEW, LINK, *submitted(names.APND, N1, D2)), {("update-manual-propagation", "new/sourceObject")}),
]
RESTRICTED = [
    ((NEW, LINK), {"home": None}, {("restricted-home-required", f"{SET}/homeCommunityId")}),
    ((FOLDER, member(N2, status=None)), {}, {("restricted-document", SET), ("restricted-folder", N2)}),
    ((NEW, LINK, FOLDER, member(N2, status=None)), {}, {("restricted-folder", N2)}),
    ((NEW, LINK, status(D2)), {}, {("restricted-operation", f"status-{D2}")}),
    ((NEW, member(N1, 1, "no")), {}, {("restricted-propagation", f"to-{N1}/AssociationPropagation")}),
    ((), {}, {("restricted-document", SET)}),
]


def found(objects: tuple[Any, ...], transaction: Any = "ITI-57") -> set[tuple[str, str]]:
    """(rule, location) of every error."""
    return {(each.rule, each.location) for each in updates.check(objects, transaction=transaction)}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_has_nothing_found(name: str) -> None:
    """And is read as what it is."""
    objects = message(*RIGHT[name])
    assert found(objects) == set()
    read = updates.update(objects, transaction="ITI-57")
    assert len(read.versions) == name.count("document") + name.count("folder") + ("new version" in name)
    assert len(read.status_changes) == ("status" in name or "deprecated" in name)
    assert len(read.submitted) == ("association" in name or "membership" in name)
    assert read.restricted is False


@pytest.mark.parametrize(("parts", "expected"), WRONG)
def test_what_is_wrong_is_told_all_at_once(parts: tuple[Any, ...], expected: set[tuple[str, str]]) -> None:
    """Each rule where it was broken, and no other."""
    assert found(message(*parts)) == expected


@pytest.mark.parametrize(("parts", "of", "expected"), RESTRICTED)
def test_a_restricted_update_is_of_documents_alone(
    parts: tuple[Any, ...], of: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    """RMU 3.92.4.1.3: one set with the community that is asked, and new versions of its documents."""
    objects = message(*parts, **({"home": "urn:oid:1.2.3"} | of))
    assert found(objects, "ITI-92") == expected


def test_propagation_is_what_was_said() -> None:
    """Without the Slot associations are carried over (3.57.4.1.3.3.3)."""
    for value, expected in ((None, True), ("yes", True), ("no", False)):
        (version,) = updates.update(message(NEW, member(N1, 7, value)), transaction="ITI-57").versions
        assert (version.previous, version.propagate, version.member) == (7, expected, f"to-{N1}")


def test_of_two_sets_no_operation_is_told() -> None:
    """What is wrong is the sets; whose an operation would be, nobody knows."""
    second = registry_object(s.submission_set(entry_uuid="SubmissionSet02", unique_id="1.2.9.99"))
    rules = {rule for rule, _ in found((*message(status("Document01")), second))}
    assert rules
    assert not any(each.startswith("update-") for each in rules)


def test_an_id_that_cannot_be_written_ends_the_search() -> None:
    """No location could name it."""
    objects = message(s.association(names.APND, D2, D1, entry_uuid="x" * 300))
    assert {rule for rule, _ in found(objects)} == {"object-id-length"}
