"""Line charts as SVG, by hand: readable without colours, on light and on dark pages.

report.py gives the series. An image in a page of Markdown sees no style of that page, so both sets of colours
are in it, and the background is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

_WIDTH, _HEIGHT = 880, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 210, 50, 56

#: Of a line, on light and on dark: told apart by whoever sees red and green alike, too.
_COLOURS: Final = (
    ("#0b62a4", "#58a6ff"),
    ("#c4450c", "#ff9248"),
    ("#1b7f4b", "#56d364"),
    ("#8a3fa0", "#d2a8ff"),
    ("#8a6d00", "#e3b341"),
    ("#b0245f", "#ff7eb6"),
    ("#4a5560", "#b1bac4"),
)
#: Marks of the points, as paths round 0,0.
_MARKS: Final = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "M-4,-4h8v8h-8z",
    "M0,-5l5,9h-10z",
    "M0,-5l5,5l-5,5l-5,-5z",
    "M0,5l5,-9h-10z",
    "M-5,-1.5h3.5v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5z",
    "M-4,-2l4,-3l4,3l-1.5,6h-5z",
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over one axis of numbers, which is logarithmic; the other is so when `steep`."""

    title: str
    across: str
    up: str
    series: Sequence[Series]
    steep: bool = False

    def svg(self) -> str:
        """The image as a text."""
        xs = sorted({x for each in self.series for x, _ in each.points})
        ys = [y for each in self.series for _, y in each.points]
        ticks = _decades(min(ys), max(ys)) if self.steep else _even(max(ys))
        place = _Places(xs[0], xs[-1], ticks[0], ticks[-1], self.steep)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{escape(self.title)}</title>",
            f"<desc>{escape(self._told())}</desc>",
            f"<style>{_style(len(self.series))}</style>",
            f'<text class="title" x="{_LEFT}" y="26">{escape(self.title)}</text>',
            *self._axes(place, xs, ticks),
        ]
        for number, each in enumerate(self.series):
            parts += _line(number, each, place)
        ends = _apart([place.y(each.points[-1][1]) for each in self.series])
        for number, (each, y) in enumerate(zip(self.series, ends, strict=True)):
            end = place.x(each.points[-1][0])
            parts.append(
                f'<text class="c{number} name" x="{end + 12:.1f}" y="{y + 4:.1f}">{escape(each.name)}</text>'
            )
        return "\n".join([*parts, "</svg>", ""])

    def _told(self) -> str:
        """What the lines show, for whoever does not see them."""
        return "; ".join(
            f"{each.name}: {', '.join(f'{y:.3g} at {x:g}' for x, y in each.points)}" for each in self.series
        )

    def _axes(self, place: _Places, xs: Sequence[float], ticks: Sequence[float]) -> list[str]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        parts = []
        for tick in ticks:
            y = place.y(tick)
            parts.append(f'<path class="grid" d="M{_LEFT},{y:.1f}H{right}"/>')
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
        for x in xs:
            parts.append(f'<path class="grid" d="M{place.x(x):.1f},{_TOP}V{bottom}"/>')
            parts.append(
                f'<text x="{place.x(x):.1f}" y="{bottom + 20}" text-anchor="middle">{_number(x)}</text>'
            )
        middle = (_LEFT + right) / 2
        parts.append(
            f'<text x="{middle:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(self.across)}</text>'
        )
        parts.append(
            f'<text transform="translate(18,{(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.up)}</text>"
        )
        return parts


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a value lies in the image."""

    left: float
    right: float
    low: float
    high: float
    steep: bool

    def x(self, value: float) -> float:
        """The distance from the left."""
        span = math.log(self.right / self.left) or 1.0
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(value / self.left) / span

    def y(self, value: float) -> float:
        """The distance from the top."""
        if self.steep:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * part


def _style(lines: int) -> str:
    def rules(shade: int, text: str) -> str:
        of_lines = "".join(
            f".c{number}{{stroke:{_COLOURS[number % len(_COLOURS)][shade]}}}"
            f".c{number}.name,.c{number}.mark{{stroke:none;fill:{_COLOURS[number % len(_COLOURS)][shade]}}}"
            for number in range(lines)
        )
        return f"text{{fill:{text}}}{of_lines}"

    return (
        "text{font:13px sans-serif}.title{font-size:16px;font-weight:600}.name{font-weight:600}"
        ".grid{stroke:#8b949e;stroke-opacity:.35;fill:none}.line{fill:none;stroke-width:2}"
        f"{rules(0, '#24292f')}@media(prefers-color-scheme:dark){{{rules(1, '#e6edf3')}}}"
    )


def _line(number: int, series: Series, place: _Places) -> list[str]:
    points = [(place.x(x), place.y(y)) for x, y in series.points]
    path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    mark = _MARKS[number % len(_MARKS)]
    return [
        f'<path class="c{number} line" d="M{path}"/>',
        *(
            f'<path class="c{number} mark" transform="translate({x:.1f},{y:.1f})" d="{mark}"/>'
            for x, y in points
        ),
    ]


def _apart(places: Sequence[float], least: float = 17) -> list[float]:
    """The places, moved so that names do not lie on each other, within the image."""
    order = sorted(range(len(places)), key=lambda each: places[each])
    moved = list(places)
    for before, own in pairwise(order):
        moved[own] = max(moved[own], moved[before] + least)
    over = max(0.0, moved[order[-1]] - (_HEIGHT - _BOTTOM)) if order else 0.0
    limit = math.inf
    for own in reversed(order):
        moved[own] = min(moved[own] - (over if limit is math.inf else 0.0), limit - least)
        limit = moved[own]
    return moved


def _even(highest: float) -> list[float]:
    """From 0, in four to eight round steps."""
    rough = (highest or 1.0) / 5
    step = 10 ** math.floor(math.log10(rough))
    step *= next(each for each in (1, 2, 5, 10) if rough <= each * step)
    return [step * number for number in range(math.ceil((highest or 1.0) / step) + 1)]


def _decades(lowest: float, highest: float) -> list[float]:
    """1, 2 and 5 of each power of ten that the values reach over."""
    found = []
    for power in range(math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 2):
        found += [each * 10.0**power for each in (1, 2, 5)]
    first = max(place for place, each in enumerate(found) if each <= lowest)
    last = min(place for place, each in enumerate(found) if each >= highest)
    return found[first : max(last, first + 1) + 1]


def _number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} M"
    if value >= 10_000:
        return f"{value / 1_000:g} k"
    return f"{value:g}"
