"""Stored-query parameters: how their values are written (ITI TF-2 3.18.4.1.2.3.5), and how a request is read.

Each query module declares its parameters at its head. `read` turns the Slots of a request into bound values
and finds all errors at once; the statement is built from the *shape* of the request only (which parameters,
how often), so that it is built once and no value ever becomes SQL text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, bindparam, false, true

from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata.model import Slot
from xds.registry.queries.matches import Match
from xds.registry.rules import broken
from xds.registry.view import View, Visibility
from xds.store.codes import Codes
from xds.store.schema import document_entry

#: A statement can hold so many values, and so many conditions of one parameter.
MOST_VALUES: Final = 8_192
MOST_REPEATS: Final = 20
#: Characters of all LIKE patterns of a query, as regular expressions: PostgreSQL compiles them at each look.
MOST_PATTERN_TEXT: Final = 8_000

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


# -- declaring -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One parameter of a stored query, as its table in ITI TF-2 3.18.4.1.2.3.7 gives it.

    `many`: several values mean OR. `repeat`: the Slot may be repeated, which means AND.
    `default`: what holds when the parameter is absent. `level`: the $MetadataLevel that it needs.
    `masked`: it asks for what masking hides, so no masked entry may answer it (registry/masking.py).
    """

    name: str
    match: Match
    required: bool = False
    many: bool = False
    repeat: bool = False
    default: tuple[str, ...] = ()
    level: int = 1
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Parameters of which one must be given; `several`: at least one, else exactly one."""

    names: tuple[str, ...]
    several: bool = False

    def check(self, present: set[str]) -> list[RegistryError]:
        """What is wrong when these parameters are present."""
        given = [name for name in self.names if name in present]
        if not given:
            rule = "query-parameter-some" if self.several else "query-parameter-alternatives"
            return [broken(rule, " ".join(self.names))]
        if len(given) > 1 and not self.several:
            return [broken("query-parameter-exclusive", " ".join(given))]
        return []


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a statement's text: the view, and how often each parameter is given."""

    view: View
    given: tuple[tuple[Parameter, int], ...]

    def where(self, *parameters: Parameter) -> list[ColumnElement[bool]]:
        """The conditions of these parameters as far as they are given; of all that are given without any."""
        given = [(each, count) for each, count in self.given if not parameters or each in parameters]
        conditions = [
            parameter.match.condition(_bind_name(parameter, index))
            for parameter, count in given
            for index in range(count)
        ]
        is_masked = self.view.visibility.masked
        if is_masked is not None and any(parameter.masked for parameter, _ in given):
            conditions.append(is_masked(document_entry).is_(false()))
        return conditions

    def has(self, parameter: Parameter) -> bool:
        """Whether the parameter is given."""
        return any(each is parameter for each, _ in self.given)

    def bound(self, parameter: Parameter) -> BindParameter[Any]:
        """The values of a parameter that is a list, for a condition of the query's own."""
        return bindparam(_bind_name(parameter, 0), expanding=True)


@cache
def _bind_name(parameter: Parameter, index: int) -> str:
    return f"{parameter.name.removeprefix('$')}_{index}"


# -- reading -------------------------------------------------------------------------------------------------


def _level(texts: Sequence[str], _: Codes) -> int:
    if texts[0] not in ("1", "2"):
        raise DataTypeError("the metadata level is 1 or 2")
    return int(texts[0])


#: Every query has it (XDS Metadata Update); it decides the view and is no condition.
METADATA_LEVEL: Final = Parameter("$MetadataLevel", Match(lambda _: true(), _level), default=("1",))


def read(
    slots: Sequence[Slot],
    parameters: Sequence[Parameter],
    choices: Sequence[Choice],
    codes: Codes,
    *,
    leaf: bool,
    visibility: Visibility,
    errors: Sequence[RegistryError] = (),
) -> tuple[Shape, Mapping[str, Any]]:
    """The shape of a request and the values to bind; raises RegistryFailure with every error found.

    `errors` are those found before. Unknown parameters are ignored: the standard says nothing of them, and
    other communities and later editions have more of them (docs/transactions.md).
    """
    sent: dict[str, list[Slot]] = {}
    for slot in slots:
        sent.setdefault(slot.name, []).append(slot)
    found = [*errors]
    levels = _understood(METADATA_LEVEL, sent.get(METADATA_LEVEL.name, ()), codes, found)
    level = levels[0] if levels else 2  # a level that is wrong is reported by itself
    given: list[tuple[Parameter, int]] = []
    bound: dict[str, Any] = {}
    present: set[str] = set()
    asked = pattern_text = 0
    for parameter in parameters:
        if parameter.name not in sent and not parameter.required and not parameter.default:
            continue
        errors_before = len(found)
        understood = _understood(parameter, sent.get(parameter.name, ()), codes, found)
        if understood and parameter.level > level:
            found.append(broken("query-metadata-level", parameter.name))
        if understood or len(found) > errors_before:
            present.add(parameter.name)
        if understood:
            given.append((parameter, len(understood)))
            for index, value in enumerate(understood):
                bound[_bind_name(parameter, index)] = value
                if parameter.name in sent and isinstance(value, list):
                    asked += len(value)
                elif parameter.match.pattern:
                    pattern_text += len(value)
    for choice in choices:
        found += choice.check(present)
    if asked > MOST_VALUES or pattern_text > MOST_PATTERN_TEXT:
        found.append(broken("query-values-many", "AdhocQuery"))
    if found:
        raise RegistryFailure(*found)
    return Shape(View(leaf, level, visibility), tuple(given)), {**bound, **visibility.values}


def _understood(
    parameter: Parameter, slots: Sequence[Slot], codes: Codes, errors: list[RegistryError]
) -> list[Any]:
    """The value to bind for each Slot; nothing when it is absent or wrong, which goes to `errors`."""
    bound: list[Any] = []
    try:
        # Slots without values count as absent.
        groups = [
            texts for slot in slots if (texts := [text for each in slot.values for text in values(each)])
        ]
        wrong = _wrong_number(parameter, [len(texts) for texts in groups])
        if wrong is None:
            bound = [parameter.match.bind(texts, codes) for texts in groups]
    except DataTypeError as error:
        wrong = broken("query-parameter-value", parameter.name, f"({error})")
    if wrong is not None:
        errors.append(wrong)
        return []
    understood = [value for value in bound if value is not None]
    if not understood and parameter.default:
        return [parameter.match.bind(parameter.default, codes)]
    if not understood and parameter.required:
        errors.append(broken("query-parameter-required", parameter.name))
    return understood


def _wrong_number(parameter: Parameter, counts: Sequence[int]) -> RegistryError | None:
    """The error of a parameter that is repeated, or has several values, when it may not, or far too many.

    `counts`: how many values each of its Slots has.
    """
    most = max(counts, default=0)
    if len(counts) > 1 and not parameter.repeat:
        return broken("query-parameter-repeated", parameter.name)
    if most > 1 and not parameter.many:
        return broken("query-parameter-single", parameter.name, f"({most} values were given)")
    if most > MOST_VALUES or len(counts) > MOST_REPEATS:
        return broken("query-parameter-many", parameter.name)
    return None
