"""The HTML report: one file that needs no network, for whoever has to mend the endpoint.

commands.py writes it. Everything that came from a case or an endpoint goes through `escape`; tickets are
taken out by redact.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Final

from xds.conformance import redact
from xds.conformance.cases import PROFILES, Case
from xds.conformance.runner import Exchange, Outcome, Result

_STYLE: Final = """
:root { color-scheme: light dark; --good: #1b6e2e; --bad: #a61b1b; --none: #6b5900; --line: #8888; }
@media (prefers-color-scheme: dark) { :root { --good: #7fd494; --bad: #ff9a9a; --none: #e2cd6d; } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; }
.passed { color: var(--good); } .failed { color: var(--bad); } .skipped { color: var(--none); }
.state { display: inline-block; font-weight: bold; min-width: 5rem; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; }
summary code { font-size: .9rem; }
dl { display: grid; gap: .2rem 1rem; grid-template-columns: max-content 1fr; }
dt { font-weight: bold; } dd { margin: 0; }
pre { border: 1px solid var(--line); max-height: 24rem; overflow: auto; padding: .5rem; }
pre { white-space: pre-wrap; word-break: break-all; }
fieldset { border: 1px solid var(--line); margin: 1rem 0; }
label { margin-right: 1rem; }
[hidden] { display: none; }
"""
#: Filters by status and by text; without it everything is shown, and can be read all the same.
_SCRIPT: Final = """
const boxes = [...document.querySelectorAll('input[name=state]')], words = document.getElementById('words');
const cases = [...document.querySelectorAll('details.case')], shown = document.getElementById('shown');
function filter() {
  const states = new Set(boxes.filter(box => box.checked).map(box => box.value));
  const text = words.value.toLowerCase();
  let count = 0;
  for (const each of cases) {
    each.hidden = !(states.has(each.dataset.state) && each.dataset.words.includes(text));
    if (!each.hidden) count += 1;
  }
  shown.textContent = count + ' of ' + cases.length + ' cases are shown.';
}
document.getElementById('filter').hidden = false;
for (const each of [...boxes, words]) each.addEventListener('input', filter);
filter();
"""


def html(
    results: Sequence[Result],
    facts: Mapping[str, str],
    secrets: Collection[str] = (),
    remarks: Sequence[str] = (),
) -> str:
    """The whole report; `facts` are shown as they are, such as the target and the time."""
    numbers = {state: sum(each.outcome is state for each in results) for state in Outcome}
    title = "Conformance report"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    told = "".join(f"<li>{escape(each)}</li>" for each in remarks)
    boxes = "".join(
        f'<label><input type="checkbox" name="state" value="{state}" checked> '
        f'<span class="{state}">{state}</span> ({numbers[state]})</label>'
        for state in Outcome
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
        f'<p id="summary">{_summary(numbers)}</p>\n<dl>{listed}</dl>\n'
        + (f"<ul>{told}</ul>\n" if told else "")
        + f"</header>\n<main>\n<h2>Profiles</h2>\n{_profiles(results)}\n<h2>Cases</h2>\n"
        f'<form id="filter" hidden><fieldset><legend>Show</legend>{boxes}'
        '<label>with the words <input id="words" type="search"></label></fieldset>'
        '<p id="shown" role="status"></p></form>\n'
        + "\n".join(_case(each, secrets) for each in results)
        + f"\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _summary(numbers: Mapping[Outcome, int]) -> str:
    return ", ".join(f'<span class="{state}">{numbers[state]} {state}</span>' for state in Outcome)


def _profiles(results: Sequence[Result]) -> str:
    rows = ""
    for profile, what in PROFILES.items():
        of_it = [each.outcome for each in results if profile in each.case.profiles]
        if of_it:
            cells = "".join(
                f'<td class="n{f" {state}" if of_it.count(state) else ""}">{of_it.count(state)}</td>'
                for state in Outcome
            )
            rows += f'<tr><th scope="row">{profile}</th><td>{escape(what)}</td>{cells}</tr>'
    head = "".join(f'<th scope="col" class="n">{state}</th>' for state in Outcome)
    return (
        f'<table><thead><tr><th scope="col">Profile</th><th scope="col">What</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _case(result: Result, secrets: Collection[str]) -> str:
    case, state = result.case, result.outcome
    words = escape(f"{case.id} {case.title} {' '.join(case.profiles)} {case.section}".lower(), quote=True)
    reason = f'<p class="{state}">{escape(result.reason)}</p>' if result.reason else ""
    return (
        f'<details class="case" id="{escape(case.id, quote=True)}" data-state="{state}" data-words="{words}"'
        f"{' open' if state is Outcome.FAILED and result.exchanges else ''}>"
        f'<summary><span class="state {state}">{state}</span> {escape(case.title)} '
        f"<code>{escape(case.id)}</code>"
        f"</summary>{reason}<dl>{_facts(case)}</dl>"
        + "".join(_exchange(number, each, secrets) for number, each in enumerate(result.exchanges, start=1))
        + "</details>"
    )


def _facts(case: Case) -> str:
    facts = {
        "Why it matters": case.why,
        "Section": case.section,
        "Rule": case.rule,
        "Actor": case.actor,
        "Profiles": ", ".join(case.profiles),
    }
    return "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)


def _exchange(number: int, exchange: Exchange, secrets: Collection[str]) -> str:
    request, answer = exchange.request, exchange.answer
    failures = "".join(f'<li class="failed">{escape(each)}</li>' for each in exchange.failures)
    sent = f"{request.method} {redact.url(request.url, secrets)}\n"
    sent += f"{redact.headers(request.headers, secrets)}\n\n"
    sent += redact.text(request.body, secrets)
    came = "There was no answer."
    if answer is not None:
        came = (
            f"HTTP {answer.status}\n{redact.headers(answer.headers, secrets)}\n\n"
            f"{redact.text(answer.body, secrets)}"
        )
    return (
        f"<section><h3>Step {number}: {escape(exchange.title)}</h3>"
        + (f"<ul>{failures}</ul>" if failures else "")
        + f'<details><summary>What was sent</summary><pre tabindex="0">{escape(sent)}</pre></details>'
        f"<details{' open' if failures else ''}><summary>What came back</summary>"
        f'<pre tabindex="0">{escape(came)}</pre></details></section>'
    )
