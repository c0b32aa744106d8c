"""What the values of a stored-query parameter ask of a row: SQL around bound values, and how these are made.

The query modules and shared.py declare their parameters with the matches here; parameters.py reads the values
that were sent. No value ever becomes SQL text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

from xds.errors import DataTypeError
from xds.metadata.datatypes import CX, dtm_low
from xds.registry import facets
from xds.registry.objects import read_uuid, versions
from xds.registry.rows import survivor
from xds.store import schema
from xds.store.codes import Codes, Word
from xds.store.keys import unique_id_key
from xds.store.schema import document_entry, listed_code, uid_claim

#: A statement can hold so many patterns of one parameter.
MOST_PATTERNS: Final = 100


@dataclass(frozen=True, slots=True)
class Match:
    """`condition` is SQL around one bound parameter; `bind` makes its value from the texts of one Slot.

    `bind` may raise DataTypeError; None means that no value was understood, as if the parameter were absent.
    `pattern`: the value is a regular expression, which costs the engine time by its length.
    """

    condition: Callable[[str], ColumnElement[bool]]
    bind: Callable[[Sequence[str], Codes], Any]
    pattern: bool = False


def _in(column: ColumnElement[Any], bind: Callable[[Sequence[str], Codes], Any]) -> Match:
    return Match(lambda name: column.in_(bindparam(name, expanding=True)), bind)


# -- patients ------------------------------------------------------------------------------------------------


def patient_id() -> Match:
    """The patient whose surviving id this is; a merged one is nobody (ITI TF-2 3.18.4.1.2.3.9)."""
    return Match(
        lambda name: and_(survivor.c.pid == bindparam(name), survivor.c.merged_into.is_(None)),
        lambda texts, _: _pids(texts)[0],
    )


def patient_ids() -> Match:
    """Patients, each by the id that survives."""
    return Match(
        lambda name: and_(
            survivor.c.pid.in_(bindparam(name, expanding=True)), survivor.c.merged_into.is_(None)
        ),
        lambda texts, _: _pids(texts),
    )


def _pids(texts: Sequence[str]) -> list[str]:
    # One that cannot be anybody's is an error: a slip of the pen must not read as "no documents".
    return list(dict.fromkeys(str(CX.parse(text)) for text in texts))


# -- codes and words -----------------------------------------------------------------------------------------


def code_in(column: ColumnElement[Any]) -> Match:
    """One of the codes, written code^^codingScheme; a code that no object has matches nothing."""
    return _in(column, _code_numbers)


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column, for a query that has found its patient's rows already.

    Without statistics SQLite would rather read all patients' documents of a class than one patient's.
    """
    return column + literal_column("0")


def word_in(column: ColumnElement[Any], scheme: str) -> Match:
    """One of the words of a kind in store/codes.py, exactly."""
    return _in(column, lambda texts, codes: codes.numbers([Word(text, scheme) for text in texts]))


def code_facet(table: Any, letter: str) -> Match:
    """One of the codes, of an attribute that repeats."""
    return Match(
        lambda name: table.c.facets.regexp_match(bindparam(name)),
        lambda texts, codes: facets.is_one_of(letter, _code_numbers(texts, codes)),
    )


def code_listed(table: Any, kind: int, key: ColumnElement[Any]) -> Match:
    """The same by an index over all patients, for queries that may name none."""
    return Match(
        lambda name: tuple_(table.c.patient_pk, key).in_(
            select(listed_code.c.patient_pk, listed_code.c.obj_pk).where(
                listed_code.c.kind == literal_column(str(kind)),
                listed_code.c.code_pk.in_(bindparam(name, expanding=True)),
            )
        ),
        _code_numbers,
    )


def like_facet(table: Any, letter: str) -> Match:
    """LIKE one of the patterns, of an attribute that repeats; every row is held against each pattern."""

    def bind(texts: Sequence[str], _: Codes) -> str:
        if len(texts) > MOST_PATTERNS:
            raise DataTypeError(f"at most {MOST_PATTERNS} patterns can be asked for at once")
        return facets.is_like(letter, texts)

    return Match(lambda name: table.c.facets.regexp_match(bindparam(name)), bind, pattern=True)


def _code_numbers(texts: Sequence[str], codes: Codes) -> list[int]:
    words = []
    for text in texts:
        code, _, scheme = text.partition("^^")
        if not code or not scheme or "^" in scheme:
            raise DataTypeError("a code is written code^^codingScheme, with both")
        words.append(Word(code, scheme))
    return codes.numbers(words)


# -- fixed lists of names ------------------------------------------------------------------------------------


def status_in(column: ColumnElement[Any], numbers: Mapping[Any, int]) -> Match:
    """One of the statuses; unknown ones are ignored, and none but them counts as none (3.18.4.1.2.3.6)."""
    return _in(column, lambda texts, _: sorted({numbers[text] for text in texts if text in numbers}) or None)


def name_in(column: ColumnElement[Any], numbers: Mapping[Any, int]) -> Match:
    """One of the names; an unknown one matches nothing."""
    return _in(column, lambda texts, _: sorted({numbers.get(text, _NO_ROW) for text in texts}))


_NO_ROW: Final = -1


# -- times ---------------------------------------------------------------------------------------------------


def time_from(column: ColumnElement[Any]) -> Match:
    """At or after (ITI TF-2 3.18.4.1.2.3.3.1); a row without the time matches (3.18.4.1.2.3.7.1, note 6)."""
    return Match(
        lambda name: or_(column.is_(None), column >= bindparam(name)), lambda texts, _: dtm_low(texts[0])
    )


def time_to(column: ColumnElement[Any]) -> Match:
    """Before; a row without the time matches."""
    return Match(
        lambda name: or_(column.is_(None), column < bindparam(name)), lambda texts, _: dtm_low(texts[0])
    )


# -- ids -----------------------------------------------------------------------------------------------------


def uuid_in(column: ColumnElement[Any]) -> Match:
    """One of the UUIDs, written urn:uuid:…; anything else is malformed."""
    return _in(column, _uuids)


def unique_id_in(column: ColumnElement[Any]) -> Match:
    """One of the uniqueIds, by a column of their keys."""
    return _in(column, _unique_id_keys)


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


def document_logical_id() -> Match:
    """Every version of one of the logical documents (XDS Metadata Update): the first one has its UUID."""

    def condition(name: str) -> ColumnElement[bool]:
        logical: BindParameter[Any] = bindparam(name, expanding=True)
        return document_entry.c.entry_uuid.in_(versions(document_entry, logical))

    return Match(condition, _uuids)


def _uuids(texts: Sequence[str], _: Codes) -> list[bytes]:
    uuids = [uuid for text in texts if (uuid := read_uuid(text)) is not None]
    if len(uuids) < len(texts):
        raise DataTypeError(
            "an entryUUID is written urn:uuid: and 32 hexadecimal digits in the groups 8-4-4-4-12"
        )
    return uuids


def _unique_id_keys(texts: Sequence[str], _: Codes) -> list[bytes]:
    return [unique_id_key(text) for text in texts]
