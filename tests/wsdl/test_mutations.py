"""Bodies changed step by step and at random: ours and the published schemas must judge every one the same."""

from __future__ import annotations

from copy import deepcopy
from itertools import islice

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples

from .schemas import BODIES, NAMESPACES, OURS, PUBLISHED, body, left_out, needs_published

TREES = {name: body(name) for name in BODIES}
NODES = [node for tree in TREES.values() for node in tree.iter()]
ALIKE = {tag: [node for node in NODES if node.tag == tag] for tag in {node.tag for node in NODES}}
RIM = f"{{{NAMESPACES['rim']}}}"
STRANGERS = (RIM + "Organization", RIM + "Identifiable", RIM + "Nothing", "Value")
NAMES = (*sorted({node.tag for node in NODES}), *STRANGERS)
ATTRIBUTES = (*sorted({name for node in NODES for name in node.attrib}), "nothing", RIM + "id")
#: Values at the edges of the types: lengths, booleans, numbers, names, languages, base64, URIs.
EDGES = (
    "", " ", "true", "maybe", "0", "-1", "1.5", "LeafClass", " LeafClass ", "RegistryObject", "nb-NO",
    "not a language", "SGVp", "SGVpI", "100%", "http://[", "x" * 16, "x" * 17, "x" * 256, "x" * 257,
    "å" * 256, "x" * 1024, "x" * 1025,
)  # fmt: skip
TEXTS = (*EDGES, *sorted({value for node in NODES for value in node.attrib.values()}))


def pick(options, number):
    """One of the options."""
    return options[number % len(options)]


def delete(node, _):
    """Take the node away."""
    if node.getparent() is not None:
        node.getparent().remove(node)


def duplicate(node, _):
    """Put a copy beside the node."""
    if node.getparent() is not None:
        node.addnext(deepcopy(node))


def move(node, number):
    """Put the node at another place among its siblings."""
    parent = node.getparent()
    if parent is not None:
        parent.remove(node)
        parent.insert(number % (len(parent) + 1), node)


def insert(node, number):
    """Put a copy of a node of any sample into the node."""
    node.insert(number % (len(node) + 1), deepcopy(pick(NODES, number)))


def graft(node, number):
    """Append children of a node of the same name in any sample, which may well be allowed."""
    node.extend(deepcopy(child) for child in pick(ALIKE.get(node.tag, NODES), number)[:3])


def rename(node, number):
    """Call the node by another name."""
    node.tag = pick(NAMES, number)


def drop_attribute(node, number):
    """Take one attribute away."""
    if node.attrib:
        del node.attrib[pick(sorted(node.attrib), number)]


def rename_attribute(node, number):
    """Call one attribute by another name."""
    if node.attrib:
        node.set(pick(ATTRIBUTES, number), node.attrib.pop(pick(sorted(node.attrib), number)))


def set_attribute(node, number):
    """Give an attribute, known here or not, another value."""
    known = sorted(node.attrib) if number % 2 and node.attrib else ATTRIBUTES
    node.set(pick(known, number // 2), pick(TEXTS, number))


def set_text(node, number):
    """Give the node another text."""
    node.text = pick(TEXTS, number)


EDITS = (
    delete, duplicate, move, insert, graft, rename, drop_attribute, rename_attribute, set_attribute, set_text,
)  # fmt: skip


def judged_alike(tree):
    """Whether both schemas say the same; a body that uses what is left out may be refused by ours alone."""
    ours, published = OURS.validate(tree), PUBLISHED.validate(tree)
    return ours == published or (published and bool(left_out(tree)))


def single_slips():
    """Every small edit at one node of each kind (a name within a name), as (what, tree)."""
    seen = set()
    for sample, original in TREES.items():
        for index, node in enumerate(original.iter()):
            parent = node.getparent()
            kind = (None if parent is None else parent.tag, node.tag)
            attributes = [name for name in node.attrib if (*kind, name) not in seen]
            if kind in seen and not attributes:
                continue
            edits = [(name, value) for name in attributes for value in (None, *EDGES)]
            if kind not in seen:
                edits += [(edit, number) for edit in (delete, duplicate, move) for number in range(3)]
                edits += [(set_text, number) for number in range(len(EDGES))]
                edits += [(name, "1") for name in ATTRIBUTES if name not in node.attrib]
            seen |= {kind, *((*kind, name) for name in attributes)}
            for what, value in edits:
                tree = deepcopy(original)
                target = next(islice(tree.iter(), index, None))
                if callable(what):
                    what(target, value)
                elif value is None:
                    del target.attrib[what]
                else:
                    target.set(what, value)
                yield (sample, node.tag, what, value), tree


@needs_published
def test_every_single_slip_is_judged_alike():
    """Each element deleted, doubled and moved, each attribute and text set to the edges of every type."""
    assert [slip for slip, tree in single_slips() if not judged_alike(tree)] == []


changes = st.lists(
    st.tuples(st.sampled_from(EDITS), st.integers(0, 9_999), st.integers(0, 9_999)), min_size=1, max_size=3
)


def mutated(name, edits):
    """A sample body after some edits, each (what, node number, choice number)."""
    tree = deepcopy(TREES[name])
    for edit, where, number in edits:
        edit(pick(list(tree.iter()), where), number)
    return tree


@needs_published
@settings(
    max_examples=examples(1_500), derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(st.sampled_from(sorted(TREES)), changes)
def test_ours_and_the_published_schemas_judge_alike(name, edits):
    """What ours accept the standard accepts; what only ours refuse is on the list of what is left out."""
    assert judged_alike(mutated(name, edits))
