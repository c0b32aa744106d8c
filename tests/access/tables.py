"""The tables of docs/access-rules.md as data: the tests of the rules take what they expect from there.

A heading of the page names each table; a row is a mapping from the column's title to the cell.
"""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "access-rules.md"

Row = dict[str, str]


def tables() -> dict[str, list[list[Row]]]:
    """The tables below each heading of the page, in order."""
    found: dict[str, list[list[Row]]] = {}
    heading, titles = "", list[str]()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading, titles = line[3:], []
        if not line.startswith("|"):
            titles = []
            continue
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if not titles:
            titles = cells
            found.setdefault(heading, []).append([])
        elif set(cells) != {"---"}:
            assert len(cells) == len(titles), f"a row of another length: {line}"
            found[heading][-1].append(dict(zip(titles, cells, strict=True)))
    return found
