"""Whatever somebody asks in the parameters of a stored query: an answer, or errors that tell their rule.

Never another exception, and never anything of a patient who was not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.test_register import D1, D2, document, submit
from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.metadata import names
from xds.metadata.model import Slot
from xds.registry.queries import MULTI_PATIENT_QUERIES, STORED_QUERIES
from xds.registry.queries.parameters import values
from xds.registry.registry import StoredQuery
from xds.registry.view import EVERYTHING

#: What XML can carry (XML 1.0, 2.2), so that nothing else comes here.
_text = st.text(
    st.one_of(
        st.sampled_from("'\",()^&%_\\* \t\n$?:"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32),
    ),
    max_size=30,
)
_good = st.sampled_from(
    [
        f"'{s.PATIENT}'",
        f"('{names.APPROVED}')",
        f"('{names.APPROVED}','{names.DEPRECATED}')",
        f"('{D1}','{D2}')",
        f"'{D1}'",
        "'1.2.3.1'",
        "20240101",
        "('REF^^2.999.1')",
        "('%Kari%')",
        "'urn:ihe:iti:2010:StatusType:DeferredCreation'",
    ]
)
_quoted = _text.map(lambda text: "('" + text.replace("'", "''") + "')")
_values = st.lists(st.one_of(_good, _quoted, _text), max_size=4).map(tuple)
_queries = {**STORED_QUERIES, **MULTI_PATIENT_QUERIES}


@st.composite
def _slots(draw: st.DrawFn, query: str) -> list[Slot]:
    known = [each.name for each in _queries[query].PARAMETERS]
    name = st.one_of(st.sampled_from(known), st.just("$Unknown"), _text)
    return [Slot(each, draw(_values)) for each in draw(st.lists(name, max_size=6))]


@pytest.fixture
def two(desk: Desk) -> Desk:
    """A document of the sample patient, and one of another."""
    assert desk.submit(submit(document(D1)))
    assert desk.submit(submit(document(D2, patient_id="4711^^^&2.999.1&ISO")))
    return desk


def _answer(desk: Desk, asked: StoredQuery) -> tuple[bytes, Sequence[RegistryError]]:
    try:
        return b"".join(map(b"".join, desk.registry.query(asked, EVERYTHING).elements)), ()
    except RegistryFailure as failure:
        return b"", failure.errors


@settings(
    max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.data())
def test_any_parameters_are_answered_or_refused(two: Desk, data: st.DataObject) -> None:
    """Each of the sixteen queries, with its own parameters, others', and what is none."""
    query = data.draw(st.sampled_from(sorted(_queries)))
    slots = data.draw(_slots(query))
    asked = StoredQuery(query, slots, "LeafClass", multi_patient=query in MULTI_PATIENT_QUERIES)
    answer, errors = _answer(two, asked)
    assert all(each.rule and each.context for each in errors)
    named = "".join(value for slot in slots for value in slot.values)
    if D2 not in named and "1.2.3" not in named and query not in MULTI_PATIENT_QUERIES:
        assert D2.encode() not in answer


@settings(max_examples=examples(300))
@given(st.lists(_text, max_size=5))
def test_what_was_quoted_comes_back(texts: list[str]) -> None:
    """Apostrophes are doubled (ITI TF-2 3.18.4.1.2.3.5), and all else stands for itself."""
    written = "(" + ",".join("'" + each.replace("'", "''") + "'" for each in texts) + ")"
    assert values(written) == texts


@settings(max_examples=examples(500))
@given(_text)
def test_any_text_is_values_or_refused(text: str) -> None:
    """A value that cannot be read is never half read."""
    try:
        found = values(text)
    except DataTypeError:
        return
    assert all(isinstance(each, str) for each in found)
    assert sum(map(len, found)) <= len(text)
