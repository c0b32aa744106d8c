"""Stored-query parameters: how their values are written (ITI TF-2 3.18.4.1.2.3.5) and what they mean in SQL.

Each query module declares its parameters at its head with the `Parameter`s and the matches here. `read` turns
the Slots of a request into bound values and finds all errors at once; the statement is built from the *shape*
of the request only (which parameters, how often), so that it is built once and no value ever becomes SQL
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.datatypes import dtm_low
from xds.metadata.model import Slot
from xds.registry import facets
from xds.registry.elements import STATUSES
from xds.registry.prepare import OBJECT_TYPES
from xds.registry.rows import survivor
from xds.registry.rules import broken
from xds.registry.view import View, Visibility
from xds.store import schema
from xds.store.codes import Codes, Word
from xds.store.keys import unique_id_key, uuid_bytes
from xds.store.schema import document_entry, uid_claim

#: A statement can hold so many values, and so many conditions, of one parameter.
MOST_VALUES: Final = 8_192
MOST_REPEATS: Final = 20
MOST_PATTERNS: Final = 100

_STRING = re.compile(r"\s*(?:'((?:[^']|'')*)'|\"([^\"]*)\"|([^\s,'\"()]+))\s*(?:,|$)")


def values(text: str) -> list[str]:
    """The values in one rim:Value: `'a'`, `('a','b')` or a bare number.

    Blanks, a missing parenthesis and double quotes are tolerated, as senders produce them.
    Raises DataTypeError on anything else.
    """
    inner = text.strip().removeprefix("(").removesuffix(")").strip()
    if inner[:1] == inner[-1:] == "'" and inner.count("'") == 2:  # most are one plain string
        return [inner[1:-1]]
    found = []
    position = 0
    while position < len(inner):
        match = _STRING.match(inner, position)
        if match is None:
            raise DataTypeError(
                "the value is not a quoted string, a number, or a list of these in parentheses"
            )
        quoted, double_quoted, bare = match.groups()
        found.append(
            quoted.replace("''", "'") if quoted is not None else double_quoted if bare is None else bare
        )
        position = match.end()
    return found


# -- matches: what a parameter's values ask of a row ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """`condition` is SQL around one bound parameter; `bind` makes its value from the texts of one Slot.

    `bind` may raise DataTypeError; None means that no value was understood, as if the parameter were absent.
    """

    condition: Callable[[str], ColumnElement[bool]]
    bind: Callable[[Sequence[str], Codes], Any]


def _in(column: ColumnElement[Any], bind: Callable[[Sequence[str], Codes], Any]) -> Match:
    return Match(lambda name: column.in_(bindparam(name, expanding=True)), bind)


def code_in(column: ColumnElement[Any]) -> Match:
    """One of the codes, written code^^codingScheme; a code that no object has matches nothing."""
    return _in(column, _code_numbers)


def code_facet(table: Any, letter: str) -> Match:
    """One of the codes, of an attribute that repeats."""
    return Match(
        lambda name: table.c.facets.regexp_match(bindparam(name)),
        lambda texts, codes: facets.is_one_of(letter, _code_numbers(texts, codes)),
    )


def like_facet(table: Any, letter: str) -> Match:
    """LIKE one of the patterns, of an attribute that repeats; every row is held against each pattern."""

    def bind(texts: Sequence[str], codes: Codes) -> str:
        if len(texts) > MOST_PATTERNS:
            raise DataTypeError(f"at most {MOST_PATTERNS} patterns can be asked for at once")
        return facets.is_like(letter, texts)

    return Match(
        lambda name: table.c.facets.regexp_match(bindparam(name)),
        bind,
    )


def unique_id_of(table: Any, kind: int, key: ColumnElement[Any]) -> Match:
    """An object that was submitted under one of the uniqueIds: uid_claim leads to the first of each."""
    return Match(
        lambda name: tuple_(table.c.patient_pk, key).in_(
            select(uid_claim.c.patient_pk, uid_claim.c.obj_pk).where(
                uid_claim.c.key.in_(bindparam(name, expanding=True)), uid_claim.c.kind == kind
            )
        ),
        _unique_id_keys,
    )


def document_unique_id() -> Match:
    """A document of one of the uniqueIds; it may have been registered again (ix_…_uid_key_again)."""
    first, again = document_entry.alias("first"), document_entry.alias("again")

    def condition(name: str) -> ColumnElement[bool]:
        keys: BindParameter[Any] = bindparam(name, expanding=True)
        claimed = (
            select(first.c.entry_uuid)
            .join_from(
                uid_claim,
                first,
                (first.c.patient_pk == uid_claim.c.patient_pk) & (first.c.doc_pk == uid_claim.c.obj_pk),
            )
            .where(uid_claim.c.key.in_(keys), uid_claim.c.kind == schema.KIND_DOCUMENT_ENTRY)
        )
        # A literal 0, not a bound one: the partial index is used only when the planner can see it.
        repeated = select(again.c.entry_uuid).where(
            again.c.uid_first == literal_column("0"), again.c.uid_key.in_(keys)
        )
        # By entryUUID and not by primary key: SQLite scans for a pair of columns IN a compound subquery.
        return document_entry.c.entry_uuid.in_(union_all(claimed, repeated))

    return Match(condition, _unique_id_keys)


def _unique_id_keys(texts: Sequence[str], _: Codes) -> list[bytes]:
    return [unique_id_key(text) for text in texts]


def uuid_in(column: ColumnElement[Any]) -> Match:
    """One of the UUIDs, written urn:uuid:…; anything else is malformed."""
    return _in(column, lambda texts, _: [_uuid(text) for text in texts])


def time_from(column: ColumnElement[Any]) -> Match:
    """At or after; a row without the time matches (ITI TF-2 table 3.18.4.1.2.3.7.1-1, notes)."""
    return Match(
        lambda name: or_(column.is_(None), column >= bindparam(name)), lambda texts, _: dtm_low(texts[0])
    )


def time_to(column: ColumnElement[Any]) -> Match:
    """Before; a row without the time matches."""
    return Match(
        lambda name: or_(column.is_(None), column < bindparam(name)), lambda texts, _: dtm_low(texts[0])
    )


def status_in(column: ColumnElement[Any]) -> Match:
    """One of the statuses; unknown ones are ignored, and none but them counts as none (3.18.4.1.2.3.6)."""
    return _in(column, lambda texts, _: [STATUSES[text] for text in texts if text in STATUSES] or None)


def type_in(column: ColumnElement[Any]) -> Match:
    """Stable or on-demand, by objectType; an unknown type matches nothing."""
    return _in(column, lambda texts, _: [OBJECT_TYPES[text] for text in texts if text in OBJECT_TYPES] or [0])


def _code_numbers(texts: Sequence[str], codes: Codes) -> list[int]:
    words = []
    for text in texts:
        code, _, scheme = text.partition("^^")
        if not code or not scheme or "^" in scheme:
            raise DataTypeError("a code is written code^^codingScheme, with both")
        words.append(Word(code, scheme))
    return codes.numbers(words)


_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _uuid(text: str) -> bytes:
    if not _UUID.fullmatch(text):
        raise DataTypeError(
            "an entryUUID is written urn:uuid: and 32 hexadecimal digits in the groups 8-4-4-4-12"
        )
    return uuid_bytes(text)


# -- declaring and reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One parameter of a stored query, as its table in ITI TF-2 3.18.4.1.2.3.7 gives it.

    `many`: several values mean OR. `repeat`: the Slot may be repeated, which means AND.
    `default`: what holds when the parameter is absent.
    """

    name: str
    match: Match
    required: bool = False
    many: bool = False
    repeat: bool = False
    default: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a statement's text: the view, and how often each parameter is given."""

    view: View
    given: tuple[tuple[Parameter, int], ...]

    def where(self, *parameter_names: str) -> list[ColumnElement[bool]]:
        """The conditions of the given parameters with these names; of all given parameters without names."""
        return [
            parameter.match.condition(_bind_name(parameter, index))
            for parameter, count in self.given
            if not parameter_names or parameter.name in parameter_names
            for index in range(count)
        ]


@cache
def _bind_name(parameter: Parameter, index: int) -> str:
    return f"{parameter.name.removeprefix('$')}_{index}"


def read(
    slots: Sequence[Slot],
    parameters: Sequence[Parameter],
    alternatives: Sequence[tuple[str, ...]],
    codes: Codes,
    *,
    leaf: bool,
    visibility: Visibility,
) -> tuple[Shape, dict[str, Any]]:
    """The shape of a request and the values to bind; raises RegistryFailure with every error found.

    Unknown parameters are ignored (ITI TF-2 3.18.4.1.2.3.5 leaves them to other communities and later
    editions).
    """
    sent: dict[str, list[Slot]] = {}
    for slot in slots:
        sent.setdefault(slot.name, []).append(slot)
    errors: list[RegistryError] = []
    given: list[tuple[Parameter, int]] = []
    bound: dict[str, Any] = {}
    present: set[str] = set()
    for parameter in parameters:
        if parameter.name not in sent and not parameter.required and not parameter.default:
            continue
        groups = _groups(sent.get(parameter.name, ()))
        wrong = _wrong_number(parameter, groups)
        understood = []
        for texts in groups if not wrong else ():
            try:
                understood.append(parameter.match.bind(_texts(texts), codes))
            except DataTypeError as error:
                wrong = broken("query-parameter-value", parameter.name, f"({error})")
        if not groups and parameter.default:
            understood = [parameter.match.bind(parameter.default, codes)]
        understood = [value for value in understood if value is not None]
        if wrong:
            errors.append(wrong)
        elif parameter.required and not understood:
            errors.append(broken("query-parameter-required", parameter.name))
        if wrong or understood:
            present.add(parameter.name)
        if understood:
            given.append((parameter, len(understood)))
            for index, value in enumerate(understood):
                bound[_bind_name(parameter, index)] = value
    for group in alternatives:
        errors += _check_alternatives(group, present)
    if errors:
        raise RegistryFailure(*errors)
    return Shape(View(leaf, 1, visibility), tuple(given)), {**bound, **visibility.values}


def _groups(slots: Sequence[Slot]) -> list[Sequence[str] | DataTypeError]:
    """The values of each Slot, or what is wrong with them; Slots without values count as absent."""
    groups: list[Sequence[str] | DataTypeError] = []
    for slot in slots:
        try:
            texts = [text for value in slot.values for text in values(value)]
        except DataTypeError as error:
            groups.append(error)
            continue
        if texts:
            groups.append(texts)
    return groups


def _texts(group: Sequence[str] | DataTypeError) -> Sequence[str]:
    if isinstance(group, DataTypeError):
        raise group
    return group


def _wrong_number(
    parameter: Parameter, groups: Sequence[Sequence[str] | DataTypeError]
) -> RegistryError | None:
    """The error of a parameter that is repeated, or has several values, when it may not, or far too many."""
    most = max((len(group) for group in groups if not isinstance(group, DataTypeError)), default=0)
    if len(groups) > 1 and not parameter.repeat:
        return broken("query-parameter-repeated", parameter.name)
    if most > 1 and not parameter.many:
        return broken("query-parameter-single", parameter.name, f"({most} values were given)")
    if most > MOST_VALUES or len(groups) > MOST_REPEATS:
        return broken("query-parameter-many", parameter.name)
    return None


def _check_alternatives(group: tuple[str, ...], present: set[str]) -> list[RegistryError]:
    given = [name for name in group if name in present]
    if len(given) == 1:
        return []
    rule = "query-parameter-exclusive" if given else "query-parameter-alternatives"
    return [broken(rule, " ".join(given or group))]


# -- parameters that several queries share -------------------------------------------------------------------

#: A patient by the id that survives; one that was merged into another is nobody (ITI TF-2 3.18.4.1.2.3.9).
PATIENT_ID: Final = Match(
    lambda name: and_(survivor.c.pid == bindparam(name), survivor.c.merged_into.is_(None)),
    lambda texts, _: texts[0],
)

_d = document_entry.c
DOCUMENT_STATUS: Final = Parameter("$XDSDocumentEntryStatus", status_in(_d.status), required=True, many=True)
DOCUMENT_TYPE: Final = Parameter(
    "$XDSDocumentEntryType", type_in(_d.object_type), many=True, default=(names.STABLE,)
)
FORMAT_CODE: Final = Parameter("$XDSDocumentEntryFormatCode", code_in(_d.format_code), many=True)
CONFIDENTIALITY_CODE: Final = Parameter(
    "$XDSDocumentEntryConfidentialityCode", code_facet(document_entry, "c"), many=True, repeat=True
)
#: Filters on documents that GetAll and the two …AndContents queries share.
DOCUMENT_FILTERS: Final = (FORMAT_CODE, CONFIDENTIALITY_CODE, DOCUMENT_TYPE)
