"""Any resource that R4's table of elements allows, for tests of what must hold of all of them.

Names, types, repetitions and primitive extensions are right, and every value is of its type; what must be
there may be missing, codes are any codes, and invariants are not kept. Expected results never come from here.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from xds.fhir.r4.elements import RESOURCES, TYPES, Element

#: Letters of every kind that XML can hold, with those that it has to escape.
_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r<>&\"' "),
    min_size=1,
    max_size=12,
)
_DIV = st.sampled_from(
    [
        '<div xmlns="http://www.w3.org/1999/xhtml"/>',
        '<div xmlns="http://www.w3.org/1999/xhtml">a &lt; b\n <br/>c</div>',
        '<div xmlns="http://www.w3.org/1999/xhtml" lang="nb"><table><tr><td>a</td></tr></table> &amp; </div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><p title="&quot;&#10;">\u00a0</p>&#13;</div>',
    ]
)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "decimal": st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "positiveInt": st.integers(1, 2**31 - 1),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "xhtml": _DIV,
}
_EXTENSION = st.fixed_dictionaries(
    {"url": st.just("urn:x:a")}, optional={"valueString": _TEXT, "valueBoolean": st.booleans(), "id": _TEXT}
)
#: What stands beside a primitive.
_BESIDE = st.fixed_dictionaries({"id": _TEXT}) | st.fixed_dictionaries(
    {"extension": st.lists(_EXTENSION, min_size=1, max_size=2)}
)


@st.composite
def resources(draw: st.DrawFn, kind: str | None = None, depth: int = 3) -> dict[str, Any]:
    """A resource of the type, or of any."""
    name = draw(st.sampled_from(sorted(RESOURCES))) if kind is None else kind
    return {"resourceType": name} | draw(_contents(name, depth))


@st.composite
def _contents(draw: st.DrawFn, kind: str, depth: int) -> dict[str, Any]:
    """Some elements of a type; in the depth only primitives."""
    usable = [element for element in TYPES[kind].values() if depth or element.primitive]
    made: dict[str, Any] = {}
    for element in draw(st.lists(st.sampled_from(usable), max_size=5, unique_by=_name)):
        made |= draw(_members(kind, element, depth))
    return made


def _name(element: Element) -> str:
    return element.name


@st.composite
def _members(draw: st.DrawFn, kind: str, element: Element, depth: int) -> dict[str, Any]:
    """What JSON has for one element: with its extensions, where it is a primitive, up to two members."""
    name = element.name
    if not element.primitive:
        one = resources(depth=depth - 1) if element.kind == "Resource" else _contents(element.kind, depth - 1)
        return {name: draw(st.lists(one, min_size=1, max_size=2)) if element.many else draw(one)}
    value = PRIMITIVES.get(element.kind, _TEXT)
    if element.attribute or element.kind == "xhtml" or (kind in RESOURCES and name == "id"):
        return {name: draw(value)}
    pair = st.tuples(value, st.none()) | st.tuples(st.none(), _BESIDE) | st.tuples(value, _BESIDE)
    pairs = draw(st.lists(pair, min_size=1, max_size=3)) if element.many else [draw(pair)]
    values, beside = [one for one, _ in pairs], [extra for _, extra in pairs]
    made: dict[str, Any] = {}
    if any(one is not None for one in values):
        made[name] = values if element.many else values[0]
    if any(extra is not None for extra in beside):
        made[f"_{name}"] = beside if element.many else beside[0]
    return made
