"""The page docs/benchmarks.md and its charts, from the figures of one run of growth.py.

Everything on the page is written here, so that a new run changes figures and nothing else;
tests/bench/test_growth.py compares the page's text with what this module writes. It must never round a figure
to look better, and says what a reader needs to judge it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.charts import Chart, Series

Figures = Mapping[str, Any]

PAGE: Final = "benchmarks.md"
CHARTS: Final = "benchmarks"

_INTRO: Final = """\
# Benchmarks: a registry that grows

<!-- Written by bench/report.py from one run: change the text there. -->

What a node costs when its registry grows, asked over HTTP as its users ask it: `xds serve` on the database,
on the machine below. How fast one request is beside the least that it could cost is on another page,
[performance](performance.md).
"""

_REPEAT: Final = """\
## How to repeat

    make bench SIZES="{sizes}"

fills the registries, measures and writes this page and its charts anew; the figures themselves go to
`bench/results`, which git ignores. `.venv/bin/python -m bench.growth --help` has the rest: other sizes, one
engine alone, shorter measurements, and a page from the figures of an earlier run. The largest size needs
about 3 kB of disk in the system's temporary folder for each document, and PostgreSQL's server binaries
(Debian: `postgresql`). Nothing is left behind.
"""

_WHAT: Final = """\
## What is measured

**Content.** Synthetic patients, most of whom have few documents, while most documents are those of patients
with many: of a thousand documents 84 belong to patients with 2,000, 260 to patients with 500, 280 with 120,
240 with 50, 80 with 20, 30 with 10, 20 with 5, and the rest to patients with one or two. They came in
submissions of one to five, in random order of patients, so what is asked for together was not written
together. Types, practice settings and confidentiality codes are those of the national tables; one document
of fifty is blocked; one of twenty-five was replaced and is deprecated; times lie in twelve years, most in
the last four; sizes are log-normal. Each entry is about 7 kB of ebRIM.

**Rows.** They are the node's own: three thousand submissions are prepared by the registry's code, and
copied with ids, patients, times and hashes of their own in columns and in compressed texts alike. A test
submits what was generated to another registry and compares every row. They are put in with COPY or in large
transactions, all indexes in place, so that these are as full as those of a registry that has grown. Of the
generated documents there are no bytes.

**The database.** PostgreSQL is a server of the benchmark's own, with `shared_buffers` of {shared_buffers},
`random_page_cost` of 1.1 and else its defaults. It is filled without `fsync`, then vacuumed and analysed,
and restarted; what is measured is measured **with** `fsync` and with nothing in `shared_buffers` at the
beginning. What does not fit there comes from the system's cache of files, which holds all of it: no figure
here has a wait for a disk to read, and every one has the waits for a disk to write. SQLite is as the node
opens it: WAL, `synchronous=FULL`.

**Asking.** Clients, node and database share the cores of one machine; what else was on it shows in the load
before. The node asks for no tickets, and every look is put on record in the access log, as ever, so each
search waits for one `fsync`. A client sends its next request when it has the whole answer. Patients are
drawn from all that have the number of documents named, and each is asked about once in a measurement of
{seconds} s, as long as there are enough of them. The node has {workers} workers of {threads} threads.

- **FindDocuments, n**: full entries of the approved documents of a patient who has n, of which one of
  twenty-five is not approved.
- **GetDocuments, 1**: a full entry by its entryUUID, any patient's.
- **ITI-67, 50**: the same over FHIR, for a patient who has 50.
- **ITI-41**: one new document of 50 kB for a new patient. **ITI-43**: such a document, one of two
  hundred.

**per core** is requests for each second of processor time that node *and* database took together, so it
does not matter who else was on the cores: the clients' share of all processor time is in the last column.
`p50`, `p95` and `p99` are the times in milliseconds that half, nineteen of twenty and ninety-nine of a
hundred requests did not exceed.
"""

_BESIDE: Final = """\
The two registries in turn, in {rounds} rounds within the same minutes, each by a node of its own on the
same server: what the machine does otherwise hits both. *Many* asks each time about somebody else, *few*
again and again about as many as the small registry has. The ratio is that of all requests of all rounds;
beside it stands the median of the rounds'.

What *many* costs more than *few* is reading: the documents of one patient came over years, so each lies on a
page of its own, which nobody else has asked for lately. At five hundred documents for one answer that is
felt, and there alone the largest registry may miss the aim of 1.5 times the smallest.
"""

_CLIENTS: Final = """\
At {documents} documents, one client and more, up to what the node's threads take at the same time.
"""

_SIZE: Final = """\
Bytes for each document entry, tables and their indexes, with all that belongs to it: its part of the
submission set, its association, its claims of unique ids, its codes, its place in the repository. The
compressed text is 0.4 kB of it.
"""


def publish(figures: Figures, folder: Path) -> None:
    """Write the page into a folder, and the charts into one below it."""
    charts = folder / CHARTS
    charts.mkdir(parents=True, exist_ok=True)
    for name, chart in _charts(figures):
        (charts / f"{name}.svg").write_text(chart.svg(), encoding="utf-8")
    (folder / PAGE).write_text("\n".join(_page(figures)), encoding="utf-8")


def _page(figures: Figures) -> Iterator[str]:
    settings = figures["settings"]
    sizes = sorted({each["documents"] for own in figures["engines"].values() for each in own["sizes"]})
    yield _INTRO
    yield from _summary(figures)
    yield from _machine(figures)
    yield _REPEAT.format(sizes=" ".join(map(str, sizes)))
    yield _WHAT.format(
        shared_buffers=settings["shared_buffers"],
        seconds=f"{settings['seconds']:g}",
        workers=settings["workers"],
        threads=settings["threads"],
    )
    for name, own in figures["engines"].items():
        yield from _engine(name, own, settings)


def _summary(figures: Figures) -> Iterator[str]:
    yield "## In short\n"
    heads = ("documents", "FindDocuments, 50: p50, p99", "p99 beside the smallest", "per core")
    yield _row("", *heads, "ITI-41 per core")
    yield _row("---", *["---:"] * 5)
    for name, own in figures["engines"].items():
        last = own["sizes"][-1]
        found = last["asked"].get("FindDocuments, 50")
        ratio = next(
            (row for row in own["beside"] if row["name"] == "FindDocuments, 50" and not row["few"]), None
        )
        yield _row(
            name,
            _count(last["documents"]),
            f"{_ms(found['p50'])}, {_ms(found['p99'])} ms" if found else "–",
            f"{ratio['ratio99']:.2f}" if ratio else "–",
            _per(found["per_core"]) if found else "–",
            _per(last["asked"]["ITI-41"]["per_core"]),
        )
    yield ""


def _machine(figures: Figures) -> Iterator[str]:
    machine, versions = figures["machine"], figures["versions"]
    yield "## The machine\n"
    yield "| | |"
    yield "| --- | --- |"
    yield _row("processor", f"{machine['processor'] or machine['architecture']}, {machine['cores']} cores")
    yield _row("memory", f"{machine['memory_gib']} GiB")
    yield _row("kernel", f"{machine['system']} {machine['kernel']}")
    yield _row("versions", ", ".join(f"{name} {value}" for name, value in versions.items()))
    yield _row("when", figures["at"][:10])
    yield _row("load before", f"{machine['load_before']:g}")
    yield ""


def _engine(name: str, own: Figures, settings: Figures) -> Iterator[str]:
    sizes, low = own["sizes"], name.lower()
    yield f"## {name}\n"
    yield f"### Growth on {name}\n"
    yield "One client. Milliseconds, and requests for a second of processor time.\n"
    heads = [_count(each["documents"]) for each in sizes]
    yield _row(
        "",
        *(f"{head}: p50" for head in heads),
        *(f"p99, {head}" for head in heads),
        *(f"per core, {head}" for head in heads),
    )
    yield _row("---", *["---:"] * (3 * len(sizes)))
    for asked in _names(sizes):
        cells = [each["asked"].get(asked) for each in sizes]
        yield _row(
            asked,
            *(_ms(each["p50"]) if each else "–" for each in cells),
            *(_ms(each["p99"]) if each else "–" for each in cells),
            *(_per(each["per_core"]) if each else "–" for each in cells),
        )
    yield ""
    for what in ("p50", "p99", "per-core"):
        yield f"![{name}: {_TITLES[what]}]({CHARTS}/growth-{what}-{low}.svg)\n"
    yield f"### The largest beside the smallest on {name}\n"
    yield _BESIDE.format(rounds=settings["rounds"])
    first, last = heads[0], heads[-1]
    yield _row("", "asked about", f"p50, {first}", f"p50, {last}", "ratio", f"p99, {first}", f"p99, {last}",
               "ratio", "of the rounds", f"requests, {last}")  # fmt: skip
    yield _row("---", "---", *["---:"] * 8)
    for row in own["beside"]:
        yield _row(
            row["name"],
            "few" if row["few"] else "many",
            _ms(row["small"]["p50"]),
            _ms(row["grown"]["p50"]),
            f"{row['ratio50']:.2f}",
            _ms(row["small"]["p99"]),
            _ms(row["grown"]["p99"]),
            f"**{row['ratio99']:.2f}**",
            f"{median(row['rounds99']):.2f}",
            f"{row['grown']['requests']:,}",
        )
    yield ""
    yield f"### Clients on {name}\n"
    yield _CLIENTS.format(documents=f"{sizes[-1]['documents']:,}")
    yield _row("", "clients", "requests/s", "per core", "p50", "p95", "p99", "clients' share")
    yield _row("---", *["---:"] * 7)
    for asked, loads in own["clients"].items():
        for each in loads:
            yield _row(
                asked,
                str(each["clients"]),
                _per(each["per_second"]),
                _per(each["per_core"]),
                *(_ms(each[part]) for part in ("p50", "p95", "p99")),
                f"{each['clients_share'] * 100:.0f} %",
            )
    yield ""
    for what in ("rate", "p99"):
        yield f"![{name}: {_TITLES[f'clients {what}']}]({CHARTS}/clients-{what}-{low}.svg)\n"
    yield f"### Size on {name}\n"
    yield _SIZE
    tables = sorted(sizes[-1]["bytes"], key=lambda each: -sum(sizes[-1]["bytes"][each]))
    large = [each for each in tables if sum(sizes[-1]["bytes"][each]) / sizes[-1]["documents"] >= 10]
    yield _row("", *(f"{head}: table" for head in heads), *(f"indexes, {head}" for head in heads))
    yield _row("---", *["---:"] * (2 * len(sizes)))
    for table in large:
        yield _row(table, *(
            f"{each['bytes'].get(table, (0, 0))[part] / each['documents']:.0f}"
            for part in (0, 1)
            for each in sizes
        ))  # fmt: skip
    yield _row("**all**", *(
        f"**{sum(both[part] for both in each['bytes'].values()) / each['documents']:.0f}**"
        for part in (0, 1)
        for each in sizes
    ))  # fmt: skip
    yield ""
    yield _row("", *heads)
    yield _row("---", *["---:"] * len(heads))
    yield _row("patients", *(f"{each['patients']:,}" for each in sizes))
    yield _row("MB in all", *(f"{_total(each) / 1e6:,.0f}" for each in sizes))
    yield _row("seconds to load what was new", *(f"{each['load_seconds']:.0f}" for each in sizes))
    yield ""


_TITLES: Final = {
    "p50": "median time by documents in the registry",
    "p99": "the time that 99 of 100 requests keep to",
    "per-core": "requests for a second of processor time",
    "clients rate": "requests a second by clients",
    "clients p99": "the time that 99 of 100 requests keep to, by clients",
}


def _charts(figures: Figures) -> Iterator[tuple[str, Chart]]:
    for name, own in figures["engines"].items():
        low, sizes = name.lower(), own["sizes"]
        for what, key, up in (
            ("p50", "p50", "milliseconds"),
            ("p99", "p99", "milliseconds"),
            ("per-core", "per_core", "requests per CPU second"),
        ):
            lines = [
                Series(
                    asked,
                    [
                        (each["documents"], each["asked"][asked][key])
                        for each in sizes
                        if each["asked"].get(asked, {}).get(key)
                    ],
                )
                for asked in _names(sizes)
            ]
            title = f"{name}: {_TITLES[what]}"
            yield f"growth-{what}-{low}", Chart(title, "document entries", up, _drawn(lines), steep=True)
        for what, key, up in (("rate", "per_second", "requests a second"), ("p99", "p99", "milliseconds")):
            lines = [
                Series(asked, [(each["clients"], each[key]) for each in loads if each[key]])
                for asked, loads in own["clients"].items()
            ]
            title = f"{name}: {_TITLES[f'clients {what}']}"
            yield f"clients-{what}-{low}", Chart(title, "clients", up, _drawn(lines), steep=True)


def _drawn(lines: Sequence[Series]) -> list[Series]:
    return [each for each in lines if each.points]


def _names(sizes: Sequence[Figures]) -> list[str]:
    """What was asked, in order; a small registry has not all classes of patients."""
    return list(sizes[-1]["asked"])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _count(number: int) -> str:
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number:,}"


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _per(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _total(size: Figures) -> int:
    return sum(sum(both) for both in size["bytes"].values())
