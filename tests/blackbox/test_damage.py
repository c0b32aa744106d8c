"""Documents whose bytes are damaged or gone: never handed out, and the log says where to look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.beneath import Beneath
from tests.blackbox import messages as m
from tests.blackbox.state import beneath, rows
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS, send
from tests.nodes import Node

#: What is done to the bytes under a key.
DAMAGE: list[Callable[[Beneath, str], object]] = [
    lambda under, key: under.delete(key),
    lambda under, key: under.plant(key, bytes(len(under.read(key)))),
]


@pytest.fixture(scope="module")
def worn(new_node: Callable[..., Node]) -> Node:
    """A node whose documents may be damaged."""
    return new_node()


@pytest.mark.parametrize("damage", DAMAGE, ids=["missing", "changed"])
def test_a_damaged_document_is_withheld_and_named_in_the_log_by_its_key(
    damage: Callable[[Beneath, str], object], worn: Node
) -> None:
    """The others come; one ERROR line has the reference and the file, one line every rule, none the id."""
    whole, broken, unknown = m.Document(), m.Document(), m.new_oid()
    for each in (whole, broken):
        assert send(worn, m.mtom([each])).outcome == SUCCESS
    ((key,),) = rows(worn, f"SELECT blob_key FROM stored_document WHERE doc_uid = '{broken.unique_id}'")
    damage(beneath(worn), str(key))
    logged = worn.log.stat().st_size
    reply = send(worn, m.mtom_retrieve(broken.unique_id, whole.unique_id, unknown))
    assert (reply.outcome, reply.documents()) == (PARTIAL, {whole.unique_id: whole.content})
    assert [(error.code, error.rule) for error in reply.errors] == [
        ("XDSRepositoryError", "retrieve-intact"),
        ("XDSDocumentUniqueIdError", "retrieve-document"),
    ]
    log = worn.log.read_bytes()[logged:].decode()
    reference = reply.errors[0].reference
    assert f"ERROR xds {reference} ITI-43 damaged or missing: {key}\n" in log
    assert (
        f"INFO xds {reference} ITI-43 refused XDSDocumentUniqueIdError/retrieve-document"
        " XDSRepositoryError/retrieve-intact\n"
    ) in log
    for unique_id in (whole.unique_id, broken.unique_id, unknown):
        assert unique_id not in log
    assert send(worn, m.mtom_retrieve(broken.unique_id)).outcome == FAILURE
