"""A decision as SQL: the condition that is part of every read.

gate.py gives the `Visibility` to the registry with the request. Its text depends on the shape of the decision
only, so that statements are kept; everything of the caller and the patient is a bound value. decision.reasons
says the same in Python, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, and_, bindparam, exists, false, literal_column, or_

from xds.access.decision import Decision
from xds.registry import facets
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.codes import Codes, Word
from xds.store.schema import privacy_setting

#: Document types, whose classes the time limits are about, by the names that messages have for them.
DOCUMENT_TYPES: Final = "2.16.578.1.12.4.1.1.9602"
DOCUMENT_TYPES_NAMES: Final = (DOCUMENT_TYPES, f"urn:oid:{DOCUMENT_TYPES}")

_ZERO: Final = literal_column("0", Integer)


def visibility_of(decision: Decision, keys: Sequence[int] | None, codes: Codes) -> Visibility:
    """The visibility of a decision that permits something.

    `keys` are the patients (patient_pk) of whom anything may be seen, None: of all.
    """
    rule = decision.rule
    assert rule is not None
    assert not rule.deny
    values: dict[str, Any] = {}
    hiding: list[Callable[[Any], ColumnElement[bool]]] = []
    masking: list[Callable[[Any], ColumnElement[bool]]] = []
    shape = []
    if keys is not None:
        shape.append("patients")
        # One document that refuses all leaves no patient of whom anything is seen.
        values["access_patients"] = [] if decision.all_refused else list(keys)
    if rule.hides:
        shape.append("hides")
        # What refuses all hides itself, even when it came after the look at the patient.
        values["access_hides"] = int(rule.hides | rule.hides_all)
        hiding.append(lambda d: _has_none(d, "access_hides"))
    kinds = {each.kind for each in decision.settings}
    if rule.delays:
        releases = schema.RELEASE in kinds
        shape.append("releases" if releases else "delays")
        values |= {"access_delays": int(rule.delays), "access_now": decision.now}
        hiding.append(lambda d: _is_released(d, releases))
    if kinds & {schema.REFUSAL, schema.RESERVATION}:
        shape.append("refusals")
        hiding.append(lambda d: ~_is_set(d, (schema.REFUSAL, schema.RESERVATION)))
    if decision.oldest is not None:
        shape.append("limits")
        limits, more = _limits(decision.oldest, codes)
        hiding.append(limits)
        values |= more
    if rule.masks:
        shape.append("masks")
        values["access_masks"] = int(rule.masks)
        masking.append(lambda d: ~_has_none(d, "access_masks"))
    if schema.BLOCK in kinds:
        shape.append("blocks")
        masking.append(lambda d: _is_set(d, (schema.BLOCK,)))
    if kinds - {schema.RELEASE}:
        values["access_whom"] = sorted(
            {each.whom for each in decision.settings if each.kind != schema.RELEASE}
        )
    if kinds and keys is not None:
        values["access_setting_patients"] = list(keys)
    return Visibility(
        "access " + " ".join(shape),
        condition=(lambda d: and_(*(each(d) for each in hiding))) if hiding else None,
        values=values,
        masked=(lambda d: or_(*(each(d) for each in masking))) if masking else None,
        owner=(lambda key: key.in_(bindparam("access_patients", expanding=True)))
        if keys is not None
        else None,
    )


def _has_none(document: Any, name: str) -> ColumnElement[bool]:
    return document.c.restrictions.bitwise_and(bindparam(name, type_=Integer)) == _ZERO  # type: ignore[no-any-return]


def _is_released(document: Any, releases: bool) -> ColumnElement[bool]:
    ways = [
        _has_none(document, "access_delays"),
        and_(document.c.release_time.is_not(None), document.c.release_time <= bindparam("access_now")),
    ]
    if releases:
        setting = privacy_setting.alias("release")
        ways.append(
            and_(
                document.c.release_time.is_(None),
                exists().where(
                    *_is_about(setting, document),
                    setting.c.kind == literal_column(str(schema.RELEASE)),
                    setting.c.release_time <= bindparam("access_now"),
                ),
            )
        )
    return or_(*ways)


def _is_set(document: Any, kinds: Sequence[int]) -> ColumnElement[bool]:
    setting = privacy_setting.alias("setting")
    return exists().where(
        *_is_about(setting, document),
        setting.c.kind.in_([literal_column(str(kind)) for kind in kinds]),
        setting.c.whom.in_(bindparam("access_whom", expanding=True)),
    )


def _is_about(setting: Any, document: Any) -> tuple[ColumnElement[bool], ...]:
    """A setting of the patient that is in effect and about this entry. Uses ix_privacy_setting_patient."""
    return (
        setting.c.patient_pk.in_(bindparam("access_setting_patients", expanding=True)),
        setting.c.withdrawn_at.is_(None),
        or_(setting.c.logical_uuid.is_(None), setting.c.logical_uuid == document.c.logical_uuid),
        or_(setting.c.organisation.is_(None), facets.has(document.c.facets, "o", setting.c.organisation)),
    )


def _limits(
    oldest: Mapping[str, int], codes: Codes
) -> tuple[Callable[[Any], ColumnElement[bool]], Mapping[str, Any]]:
    """Classes with the same first day together; a class that is not there is not shown."""
    groups: dict[int, list[str]] = {}
    for group, first in oldest.items():
        groups.setdefault(first, []).append(group)
    values: dict[str, Any] = {}
    for number, (first, classes) in enumerate(groups.items()):
        values[f"access_classes_{number}"] = codes.numbers(
            [Word(each, name) for each in classes for name in DOCUMENT_TYPES_NAMES]
        )
        values[f"access_first_{number}"] = first
    ordered = list(groups)

    def condition(document: Any) -> ColumnElement[bool]:
        ways = []
        for number, first in enumerate(ordered):
            of_class = document.c.class_code.in_(bindparam(f"access_classes_{number}", expanding=True))
            since = document.c.service_start >= bindparam(f"access_first_{number}")
            ways.append(and_(of_class, since) if first else of_class)
        return or_(*ways) if ways else false()

    return condition, {
        name: value
        for name, value in values.items()
        if not (name.startswith("access_first_") and ordered[int(name.rpartition("_")[2])] == 0)
    }
