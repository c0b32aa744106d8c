"""What stands on the screen."""

from __future__ import annotations

import pytest

from xds.client.terminal import moment, printable, size, table


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1500, "1.5 kB"),
        (999_499, "999.5 kB"),
        (999_500, "1.0 MB"),
        (200_000_000, "200.0 MB"),
        (3 * 10**15, "3000.0 TB"),
    ],
)
def test_sizes_are_in_decimal_units(octets: int | None, shown: str):
    """1000, not 1024, and one digit after the point."""
    assert size(octets) == shown


@pytest.mark.parametrize(
    ("dtm", "shown"),
    [
        (None, ""),
        ("2026", "2026"),
        ("202603", "2026-03"),
        ("20260311", "2026-03-11"),
        ("2026031109", "2026-03-11 09:00"),
        ("20260311094530", "2026-03-11 09:45"),
    ],
)
def test_times_are_as_precise_as_they_are(dtm: str | None, shown: str):
    """A date is not given hours that nobody stated."""
    assert moment(dtm) == shown


def test_columns_are_as_wide_as_they_must_be():
    """Two blanks between columns, none at the end of a line."""
    assert table(("A", "BB"), [("long", "x"), ("æ", "yyy")]) == "A     BB\nlong  x\næ     yyy"


def test_control_characters_do_not_reach_the_terminal():
    """A title could else clear the screen or move the cursor."""
    assert printable("a\x1b[2Jb\nc\u202e") == "a [2Jb c "
    assert "\x1b" not in table(("A",), [("\x1b[31m",)])
