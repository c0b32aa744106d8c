"""ebRIM answers: their shape, their statuses, and that whatever is put in them stays text."""

from __future__ import annotations

from itertools import chain

from tests.metadata import samples
from xds.errors import Code, RegistryError
from xds.metadata import names
from xds.transactions import ITI_18, ITI_42, ITI_43, ITI_51, schema
from xds.transactions.responses import adhoc_query_response, registry_response
from xds.transport.message import Text

ERROR = RegistryError(Code.MISSING_DOCUMENT, 'Say "<what>" & why.', 'D"1/hash', "some-rule")
WARNING = RegistryError(Code.REGISTRY_ERROR, "Beware.", "", "other-rule", warning=True)
ERRORS = f"{{{names.RS}}}RegistryErrorList"


def test_an_error_has_all_that_the_standard_asks() -> None:
    """Code, severity, location, and a codeContext with the rule and the reference (ITI TF-3 4.2.4.1)."""
    answer = samples.element(registry_response(names.FAILURE, [ERROR, WARNING], "abc123"))
    assert schema.check(answer) == []
    assert answer.get("status") == names.FAILURE
    (errors,) = answer
    assert errors.tag == ERRORS
    assert errors.get("highestSeverity") == names.SEVERITY_ERROR
    first, second = errors
    assert dict(first.attrib) == {
        "errorCode": "XDSMissingDocument",
        "codeContext": 'Say "<what>" & why. [some-rule; reference abc123]',
        "severity": names.SEVERITY_ERROR,
        "location": 'D"1/hash',
    }
    assert first.text is None
    assert second.get("severity") == names.SEVERITY_WARNING
    assert second.get("location") is None


def test_an_answer_has_at_most_500_errors_and_says_how_many_there_are_more() -> None:
    """The message that broke a rule a million times is not answered with a million errors."""
    for count, listed, end in ((499, 499, ""), (500, 500, ""), (501, 500, "1"), (20_000, 500, "19500")):
        (errors,) = samples.element(registry_response(names.FAILURE, [ERROR] * count, "abc123"))
        contexts = [each.get("codeContext") for each in errors]
        more = f" Errors that are not listed: {end}." if end else ""
        assert len(contexts) == listed
        assert contexts[-1] == f'Say "<what>" & why.{more} [some-rule; reference abc123]'
        assert set(contexts[:-1]) == {'Say "<what>" & why. [some-rule; reference abc123]'}


def test_warnings_alone_are_no_error() -> None:
    """The worst severity is that of a warning."""
    answer = samples.element(registry_response(names.SUCCESS, [WARNING], "abc123"))
    assert answer[0].get("highestSeverity") == names.SEVERITY_WARNING


def test_a_query_answer_always_has_an_object_list() -> None:
    """After the errors, and also when it is empty (the schema of query.xsd)."""
    for answer in (adhoc_query_response(None), adhoc_query_response(None, [ERROR], "abc123")):
        element = samples.element(b"".join(piece for piece in answer if isinstance(piece, bytes)))
        assert schema.check(element) == []
        assert element[-1].tag == f"{{{names.RIM}}}RegistryObjectList"


def test_a_query_answer_that_is_not_whole_says_so() -> None:
    """PartialSuccess, with the warning before the objects (registry.results)."""
    pieces = adhoc_query_response(Text(iter([[b'<rim:ObjectRef id="urn:uuid:1"/>']])), [WARNING], "abc123")
    made = (chain.from_iterable(piece.batches) if isinstance(piece, Text) else (piece,) for piece in pieces)
    answer = samples.element(b"".join(chain.from_iterable(made)))
    assert schema.check(answer) == []
    assert answer.get("status") == names.PARTIAL_SUCCESS
    errors, objects = answer
    assert errors.get("highestSeverity") == names.SEVERITY_WARNING
    assert len(objects) == 1
    whole = adhoc_query_response(Text(iter([])), (), "abc123")
    assert isinstance(whole[0], bytes)
    assert names.SUCCESS.encode() in whole[0]


def test_every_transaction_refuses_in_its_own_form() -> None:
    """Failure, with the error in it, in an element that its schema knows."""
    for transaction in (ITI_18, ITI_42, ITI_43, ITI_51):
        pieces = transaction.refuse([ERROR], "abc123")
        element = samples.element(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
        assert schema.check(element) == []
        assert names.FAILURE in {each.get("status") for each in element.iter()}
