"""Whatever is sent, the node says what is wrong: no 500, nothing stored of what is refused, R4 in the answer.

A bounded run each time; `make fuzz` draws more examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.blackbox.state import counts
from tests.fhir.messages import Bundle
from tests.fuzzing import examples
from tests.nodes import Node
from xds.fhir import document_references, lists
from xds.fhir.r4.validation import problems
from xds.fhir.r4.xml import to_xml

EXAMPLES = examples(120)
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: What stands in the place of something.
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "\x00", "é", "#", "urn:uuid:", "urn:oid:1", "Patient/1", "2026-02-31", "a" * 5000]
    ),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def node(new_node: Callable[..., Node]) -> Node:
    """A node for everybody."""
    return new_node()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything inside."""
    found = [path] if path else []
    if isinstance(value, dict):
        for name, each in value.items():
            found += places(each, (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            found += places(each, (*path, number))
    return found


def spoiled(value: Any, path: tuple[Any, ...], change: str, odd: Any) -> Any:
    """The value with one thing replaced, removed, doubled or renamed."""
    changed = json.loads(json.dumps(value))
    at = changed
    for step in path[:-1]:
        at = at[step]
    last = path[-1]
    if change == "replace":
        at[last] = odd
    elif change == "remove":
        del at[last]
    elif change == "double" and isinstance(at, list):
        at.insert(last, at[last])
    elif change == "rename" and isinstance(at, dict):
        at[str(odd)[:50]] = at.pop(last)
    return changed


def post(node: Node, path: str, body: bytes, content_type: str) -> urllib3.BaseHTTPResponse:
    """One request."""
    return urllib3.request(
        "POST", node.url + path, body=body, headers={"Content-Type": content_type}, retries=False, timeout=60
    )


def is_well(answer: urllib3.BaseHTTPResponse) -> bool:
    """Neither an error of the node, nor an answer that is no R4."""
    return answer.status < 500 and problems(json.loads(answer.data)) == []


@bounded
@given(st.data())
def test_bundles(node: Node, data: st.DataObject) -> None:
    """One or two things of a good bundle are other than they should be; as JSON, or XML where that can be."""
    bundle = Bundle()
    bundle.folder(bundle.document())
    whole = bundle.json
    for _ in range(data.draw(st.integers(1, 2))):
        whole = spoiled(
            whole,
            (some := places(whole))[data.draw(st.integers(0, 100_000)) % len(some)],
            data.draw(st.sampled_from(["replace", "replace", "remove", "double", "rename"])),
            data.draw(ODD),
        )
    before = counts(node)
    body, kind = json.dumps(whole).encode(), "json"
    if data.draw(st.booleans()):
        try:
            body, kind = to_xml(whole), "xml"
        except Exception:
            kind = "json"
    answer = urllib3.request(
        "POST",
        f"{node.url}/fhir?_format=json",
        body=body,
        headers={"Content-Type": f"application/fhir+{kind}"},
        retries=False,
        timeout=60,
    )
    assert is_well(answer), (answer.status, answer.data[:2000])
    if answer.status != 200:
        after = counts(node)
        assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {}


@bounded
@given(st.data())
def test_bytes(node: Node, data: st.DataObject) -> None:
    """A good body with bytes of it gone, changed or put in."""
    bundle = Bundle()
    bundle.document()
    body = bytearray(json.dumps(bundle.json).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, 100_000)) % len(body)  # ids are new each time, and so is the length
        body[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    answer = post(node, "/fhir", bytes(body), "application/fhir+json")
    assert is_well(answer), (answer.status, answer.data[:2000])
    assert counts(node)["staging/"] == 0


NAMES = sorted(
    {
        *document_references.PARAMETERS,
        *lists.PARAMETERS,
        *("_count", "_sort", "_total", "_summary", "_page", "_format", "_cursor", "_include", "fhirVersion"),
    }
)
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            *("ge2026", "lt2026-02-30", "ap9999-12-31T23:59:59Z", "eb0001", "2026-01-01T00:00:00+14:00"),
            *(
                "urn:oid:1.2.3|x",
                "|x",
                "x|",
                "a,b\\,c",
                "\\",
                "true",
                "submissionset",
                "folder,submissionset",
            ),
            *("current,superseded", "-date", "count", "0", "-1", "99999999999999999999", "Patient/1", "*"),
        ]
    ),
)
MODIFIERS = st.sampled_from(
    ["", "", "", ":not", ":missing", ":exact", ":contains", ":text", ".identifier", ":"]
)


@bounded
@given(
    st.sampled_from(["DocumentReference", "List"]),
    st.lists(st.tuples(st.sampled_from(NAMES), MODIFIERS, VALUES), max_size=6),
    st.booleans(),
)
def test_searches(node: Node, kind: str, given_: list[tuple[str, str, str]], posted: bool) -> None:
    """Any parameter, modifier and value, beside a patient."""
    asked = urlencode(
        [("patient.identifier", "urn:oid:2.16.578.1.12.4.1.4.1|17855599120")]
        + [(name + modifier, value) for name, modifier, value in given_]
        + [("_format", "json")],
        errors="surrogatepass",
    )
    if posted:
        answer = post(
            node, f"/fhir/{kind}/_search", asked.encode("ascii"), "application/x-www-form-urlencoded"
        )
    else:
        answer = urllib3.request("GET", f"{node.url}/fhir/{kind}?{asked}", retries=False, timeout=60)
    assert is_well(answer), (answer.status, answer.data[:2000])


@bounded
@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.sampled_from(["GET", "DELETE", "PATCH"]))
def test_addresses(node: Node, parts: list[str], method: str) -> None:
    """Any path below /fhir."""
    path = "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="") for part in parts)
    answer = urllib3.request(
        method,
        f"{node.url}/fhir/{path}",
        body=b"[]" if method == "PATCH" else None,
        retries=False,
        timeout=60,
    )
    assert answer.status < 500
