"""What an answer is held to: one function for each word of `expect`.

runner.py calls `judge` after each step. Each function gives sentences about what differs, none when all is as
expected; a test sees to it that every word is here and that every case can fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from xds.conformance import words
from xds.conformance.answers import NS, Answer, Unreadable
from xds.conformance.messages import Message

#: What is shown of a text in a sentence.
_LONGEST: Final = 160


@dataclass(frozen=True)
class Seen:
    """What a check may know beside the answer: the message, and the ids that the case has made."""

    message: Message
    made: frozenset[str]


Check = Callable[[Answer, Any, Seen], Iterable[str]]


def judge(answer: Answer, expect: Mapping[str, Any], seen: Seen) -> list[str]:
    """What is not as expected, as sentences."""
    found: list[str] = []
    for word, wanted in expect.items():
        try:
            found += [f"{word}: {each}" for each in CHECKS[word](answer, wanted, seen)]
        except Unreadable as error:
            found.append(f"{word}: the answer cannot be read: {error}")
        except RecursionError:  # JSON that could just be read may be too deep to be written
            found.append(f"{word}: the answer cannot be read: its JSON is nested too deeply")
        except etree.XPathError as error:
            found.append(f"{word}: the path of the case is wrong: {error}")
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _differ(wanted: object, got: object, what: str = "") -> list[str]:
    return [] if wanted == got else [f"{what}wanted {_short(wanted)}, got {_short(got)}"]


def _one_of(wanted: str, got: str) -> list[str]:
    return (
        []
        if got in wanted.split("|")
        else [f"wanted {wanted.replace('|', ' or ')}, got {_short(got or 'nothing')}"]
    )


def _said(answer: Answer) -> str:
    """The errors of an answer, for a sentence."""
    listed = "; ".join(f"{_short(each.code)} {_short(each.context)}" for each in answer.errors[:3])
    return f" ({listed})" if listed else ""


# ---- HTTP


def _http(answer: Answer, wanted: int | list[int], _: Seen) -> list[str]:
    allowed = wanted if isinstance(wanted, list) else [wanted]
    if answer.status in allowed:
        return []
    return [f"wanted {' or '.join(map(str, allowed))}, got {answer.status}"]


def _content_type(answer: Answer, wanted: str, _: Seen) -> list[str]:
    found = re.search(wanted, answer.content_type, re.I)
    return [] if found else [f"wanted {wanted}, got {_short(answer.content_type or 'none')}"]


def _headers(answer: Answer, wanted: Mapping[str, str], _: Seen) -> Iterable[str]:
    for name, pattern in wanted.items():
        got = answer.raw.headers.get(name.lower())
        if pattern == "-":
            if got is not None:
                yield f"{name} should not be there, and is {_short(got)}"
        elif got is None:
            yield f"{name} is missing"
        elif not re.search(pattern, got):
            yield f"{name}: wanted {pattern}, got {_short(got)}"


def _body(answer: Answer, wanted: str, _: Seen) -> list[str]:
    if answer.raw.body == wanted.encode():
        return []
    return [f"other bytes: {len(answer.raw.body)} in place of {len(wanted.encode())} (HTTP {answer.status})"]


def _without(answer: Answer, wanted: Sequence[str], _: Seen) -> Iterable[str]:
    if not answer.raw.body and answer.status == 200:
        yield "the answer is empty"
    for text in wanted:
        if text.encode() in answer.raw.body:
            yield f"the answer tells {_short(text)}"


def _with(answer: Answer, wanted: Sequence[str], _: Seen) -> Iterable[str]:
    for text in wanted:
        if text.encode() not in answer.raw.body:
            yield f"the answer does not tell {_short(text)}"


# ---- SOAP


def _status(answer: Answer, wanted: str, _: Seen) -> list[str]:
    return [each + _said(answer) for each in _one_of(wanted, answer.outcome)]


def _errors(answer: Answer, wanted: Sequence[str], _: Seen) -> Iterable[str]:
    codes = [each.code for each in answer.errors]
    for each in wanted:
        if not set(each.split("|")) & set(codes):
            got = _short(", ".join(codes) or "no error")
            yield f"wanted {each.replace('|', ' or ')}, got {got}{_said(answer)}"
    for error in answer.errors:
        if not error.context or error.severity not in ("Error", "Warning"):
            yield f"{_short(error.code)} has no codeContext, or its severity is none of the standard's"


def _location(answer: Answer, wanted: str, _: Seen) -> Iterable[str]:
    if not answer.errors:
        yield "there is no error"
    for error in answer.errors:
        if error.location != wanted:
            yield f"wanted {wanted}, got {_short(error.location or 'none')}"


def _fault(answer: Answer, wanted: str, _: Seen) -> list[str]:
    if answer.fault is None:
        return [f"wanted a fault ({wanted}), got {_short(etree.QName(answer.content).localname)}"]
    return _one_of(wanted, answer.fault[0])


def _subcode(answer: Answer, wanted: str, _: Seen) -> list[str]:
    return _one_of(wanted, answer.fault[1] if answer.fault else "no fault")


def _refused(answer: Answer, wanted: bool, _: Seen) -> list[str]:
    """By HTTP, by a fault, or by a Failure that gives nothing away; or, if not wanted, none of these."""
    if answer.status in (400, 401, 403, 404, 415) or (answer.status >= 500 and not _is_soap(answer)):
        how = f"HTTP {answer.status}" if answer.status < 500 else ""
    elif answer.fault is not None:
        how = f"a fault ({_short(answer.fault[1] or answer.fault[0])})"
    elif "status" in answer.content.attrib or answer.content.find("rs:RegistryResponse", NS) is not None:
        empty = not answer.count(".//rim:ExtrinsicObject|.//rim:ObjectRef|.//xds:Document")
        how = "a Failure" if answer.outcome == "Failure" and empty else ""
    else:
        how = ""
    if wanted:
        return [] if how else ["the request should be refused, and was not"]
    return [f"the request should be let in, and the answer is {how}"] if how else []


def _is_soap(answer: Answer) -> bool:
    try:
        return answer.envelope is not None
    except Unreadable:
        return False


def _let_in(answer: Answer, _: bool, __: Seen) -> list[str]:
    """Whoever asks is believed; what they may do is another question."""
    if answer.status in (401, 403):
        return [f"the token should be taken, and the answer is HTTP {answer.status}"]
    if answer.status >= 500:
        return [f"the answer is HTTP {answer.status}"]
    if not answer.raw.body:
        return ["the answer is empty"]
    return []


def _answer(answer: Answer, wanted: str, _: Seen) -> list[str]:
    return _one_of(wanted, etree.QName(answer.content).localname)


def _action(answer: Answer, wanted: bool | str, seen: Seen) -> list[str]:
    expected = seen.message.answer if wanted is True else str(wanted)
    return _one_of(expected, answer.header("Action"))


def _relates_to(answer: Answer, _: bool, seen: Seen) -> list[str]:
    return _differ(seen.message.message_id, answer.header("RelatesTo"))


def _multipart(answer: Answer, wanted: bool, _: Seen) -> list[str]:
    kind = "multipart/related" if wanted else "one part"
    if answer.is_multipart != wanted:
        return [f"wanted {kind}, got {_short(answer.content_type or 'no Content-Type')}"]
    return [] if answer.envelope is not None else ["there is no envelope"]


# ---- ebRIM


def _listed(kind: str, scheme: str) -> Check:
    def check(answer: Answer, wanted: Sequence[str], seen: Seen) -> list[str]:
        got = [each for each in answer.unique_ids(kind, scheme) if each in seen.made]
        if answer.fault is not None:
            return ["it is a SOAP fault"]
        return _differ(sorted(wanted), sorted(got), "uniqueIds: ")

    return check


def _refs(answer: Answer, wanted: Sequence[str], seen: Seen) -> list[str]:
    if answer.fault is not None:
        return ["it is a SOAP fault"]
    ids = [
        str(each) for each in answer.content.xpath("rim:RegistryObjectList/rim:ObjectRef/@id", namespaces=NS)
    ]
    return _differ(sorted(wanted), sorted(each for each in ids if each in seen.made), "ObjectRefs: ")


def _associations(answer: Answer, wanted: Sequence[Sequence[str]], seen: Seen) -> list[str]:
    got = []
    for each in answer.content.iterfind(".//rim:Association", NS):
        ends = each.get("sourceObject", ""), each.get("targetObject", "")
        if set(ends) <= seen.made:
            got.append((each.get("associationType", ""), *ends))
    return _differ(sorted(map(tuple, wanted)), sorted(got), "associations (type, source, target): ")


def _retrieved(answer: Answer, wanted: Mapping[str, str], _: Seen) -> Iterable[str]:
    got = answer.documents()
    if set(got) != set(wanted):
        yield f"documents: wanted {_short(sorted(wanted))}, got {_short(sorted(got))}"
    for name, text in wanted.items():
        if name in got and got[name] != text.encode():
            yield f"the bytes of {name} are others than were sent ({len(got[name])} for {len(text.encode())})"


def _count(answer: Answer, wanted: Mapping[str, int | str], _: Seen) -> Iterable[str]:
    for path, number in wanted.items():
        yield from _number(path, number, answer.count(path))


def _number(path: str, wanted: int | str, got: int) -> list[str]:
    if isinstance(wanted, str):
        least = int(wanted.removeprefix(">="))
        return [] if got >= least else [f"{path}: wanted at least {least}, got {got}"]
    return [] if got == wanted else [f"{path}: wanted {wanted}, got {got}"]


def _text(answer: Answer, wanted: Mapping[str, str | list[str]], _: Seen) -> Iterable[str]:
    for path, texts in wanted.items():
        expected = sorted(texts) if isinstance(texts, list) else [texts]
        yield from _differ(expected, sorted(answer.xpath(path)), f"{path}: ")


# ---- FHIR


def _json(answer: Answer, wanted: Mapping[str, Any], _: Seen) -> Iterable[str]:
    for path, value in wanted.items():
        expected = value if isinstance(value, list) else [value]
        yield from _differ(
            sorted(map(_plain, expected)), sorted(map(_plain, answer.values(path))), f"{path}: "
        )


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json_count(answer: Answer, wanted: Mapping[str, int | str], _: Seen) -> Iterable[str]:
    for path, number in wanted.items():
        yield from _number(path, number, len(answer.values(path)))


def _matches(answer: Answer, wanted: Mapping[str, str], _: Seen) -> Iterable[str]:
    for path, pattern in wanted.items():
        values = answer.values(path)
        if not values:
            yield f"{path}: there is nothing"
        for each in values:
            if not re.search(pattern, str(each)):
                yield f"{path}: wanted {pattern}, got {_short(each)}"


def _issues(answer: Answer, wanted: Sequence[str], _: Seen) -> Iterable[str]:
    if answer.values("resourceType") != ["OperationOutcome"]:
        yield f"wanted an OperationOutcome, got {_short(answer.values('resourceType'))}"
    if not set(map(str, answer.values("issue.*.severity"))) & {"error", "fatal"}:
        yield "no issue is an error"
    codes = list(map(str, answer.values("issue.*.code")))
    for each in wanted:
        if not set(each.split("|")) & set(codes):
            yield f"wanted issue.code {each.replace('|', ' or ')}, got {_short(', '.join(codes) or 'none')}"


CHECKS: Final[Mapping[str, Check]] = {
    "http": _http,
    "content_type": _content_type,
    "headers": _headers,
    "status": _status,
    "errors": _errors,
    "location": _location,
    "fault": _fault,
    "subcode": _subcode,
    "refused": _refused,
    "let_in": _let_in,
    "answer": _answer,
    "action": _action,
    "relates_to": _relates_to,
    "multipart": _multipart,
    "documents": _listed("ExtrinsicObject", words.ENTRY_UNIQUE),
    "folders": _listed("RegistryPackage", words.FOLDER_UNIQUE),
    "sets": _listed("RegistryPackage", words.SET_UNIQUE),
    "refs": _refs,
    "associations": _associations,
    "retrieved": _retrieved,
    "count": _count,
    "text": _text,
    "json": _json,
    "json_count": _json_count,
    "matches": _matches,
    "issues": _issues,
    "body": _body,
    "with": _with,
    "without": _without,
}
