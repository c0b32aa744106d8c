"""How query parameters are written (ITI TF-2 3.18.4.1.2.3.5)."""

from __future__ import annotations

import pytest

from xds.client import Code, queries
from xds.errors import DataTypeError


def test_a_text_stands_in_apostrophes():
    """An apostrophe in it is written twice, so that it cannot end the text."""
    assert queries.one("Children's") == ("'Children''s'",)


def test_several_texts_stand_in_parentheses():
    """One value too; none makes no parameter."""
    assert queries.many(["a", "b"]) == ("('a','b')",)
    assert queries.many(["a"]) == ("('a')",)
    assert queries.many([]) == ()


def test_a_long_list_is_spread_over_values_of_256_characters():
    """A Slot's Value is a LongName of ebRIM: 256 characters at most."""
    texts = [f"urn:uuid:{n:032d}" for n in range(20)]
    values = queries.many(texts)
    assert max(map(len, values)) <= 256
    assert len(values) == 4  # 43 characters each with quotes, and a comma: five fit in 256
    assert "".join(values).replace(")(", ",") == "(" + ",".join(f"'{text}'" for text in texts) + ")"


def test_a_code_is_written_with_its_scheme():
    """Code, two circumflexes, coding scheme."""
    assert queries.codes([Code("A03-2", "1.2.3", "Epikrise")]) == ("('A03-2^^1.2.3')",)


def test_a_time_is_a_bare_number():
    """And nothing else passes for one."""
    assert queries.time("20260311") == ("20260311",)
    assert queries.time(None) == ()
    with pytest.raises(DataTypeError):
        queries.time("2026' OR")
