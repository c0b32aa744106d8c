"""What is shown of a document entry that the patient has blocked (sperret): that it is there, and no more.

`elements.write` calls `mask` for each such entry while the answer is written, so it must be quick, and what
is stored stays as it is; behind the text it writes MASK instead of the patient id. What no table of this
module names is left out, and a text that is not exactly what `elements.lasting` makes of a document entry is
refused: nothing must ever pass because it was not understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from xds.errors import XdsError
from xds.metadata import names
from xds.metadata.attributes import DOCUMENT_ENTRY

MASK: Final = "*****"


class NotMaskable(XdsError):
    """A stored text is not a document entry's in today's form, and so must not be shown."""


def mask(body: bytes) -> bytes:
    """The lasting text of a document entry with nothing in it that a block hides.

    Children that stay keep their ids and name the entry as their object, so that the answer is valid ebRIM
    (the national peer writes the nil UUID there). Masking what is masked changes nothing.
    Raises NotMaskable for a text of any other form.
    """
    shown = _shown(body) or _shown(_plain(body))
    if not shown:
        raise NotMaskable("What is stored for a blocked entry does not have the form of a document entry.")
    return shown


# ---- the form of a stored text
#
# ebrim.py escapes < and > everywhere and " in attributes, so these three are markup whatever a value
# imitates. Possessive repeats (*+, ?+) never give back what they matched: any text is read once.

_ID: Final = r"urn:uuid:[0-9a-f-]{36}"
_TEXT: Final = r'[^"<>]*+'
_OTHERS: Final = rf'(?: \w++="{_TEXT}")*+'
_VALUES: Final = r"(?:<rim:Value>[^<>]*+</rim:Value>)*+"


def _attribute(name: str, value: str = _TEXT) -> str:
    """The attribute with the blank before it, or nothing."""
    return rf'(?: {name}="{value}")?+'


def _slots(name: str, values: str = _VALUES) -> str:
    return rf'<rim:Slot name="{name}"><rim:ValueList>{values}</rim:ValueList></rim:Slot>'


def _strings(tag: str) -> str:
    string = rf'<rim:LocalizedString(?: (?:xml:lang|charset)="{_TEXT}")*+ value="{_TEXT}"/>'
    return rf"<rim:{tag}>(?:{string})*+</rim:{tag}>"


def _compiled(form: str) -> re.Pattern[bytes]:
    return re.compile(form.encode())


_SLOT: Final = _compiled(_slots(rf"({_TEXT})", rf"({_VALUES})"))
_VALUE: Final = _compiled(r"<rim:Value>(?P<text>[^<>]*+)</rim:Value>")


# ---- what becomes of values

_MASK: Final = MASK.encode()
_MASKED_VALUE: Final = b"<rim:Value>%b</rim:Value>" % _MASK
_FILLED: Final = re.compile(rb"[^^]++")
#: HL7 v2.5 gives an XCN 23 components; more of them, masked, could be longer than a value may be.
_COMPONENTS: Final = 23
#: An organisation (XON) with its number: who wrote a document may be told as far as the enterprise.
_ENTERPRISE: Final = re.compile(
    rb"[^^]*+\^{5}&amp;2\.16\.578\.1\.12\.4\.1\.4\.101&amp;ISO(?:\^{4}[0-9]{9})?+\^*+"
)


def _slot(name: bytes, values: bytes) -> bytes:
    return b'<rim:Slot name="%b"><rim:ValueList>%b</rim:ValueList></rim:Slot>' % (name, values)


def _title(text: bytes) -> bytes:
    return b'<rim:Name><rim:LocalizedString value="%b"/></rim:Name>' % text


def _kept(values: bytes) -> bytes:
    return values


def _masked(values: bytes) -> bytes:
    return _MASKED_VALUE


def _masked_persons(values: bytes) -> bytes:
    return _VALUE.sub(_person, values)


def _person(value: re.Match[bytes]) -> bytes:
    # The authority goes too, as a component like any other: one without subcomponents is a readable XCN.
    components = b"^".join(value["text"].split(b"^", _COMPONENTS)[:_COMPONENTS])
    return b"<rim:Value>%b</rim:Value>" % _FILLED.sub(_MASK, components)


def _masked_institutions(values: bytes) -> bytes:
    return _VALUE.sub(_institution, values)


def _institution(value: re.Match[bytes]) -> bytes:
    return value[0] if _ENTERPRISE.fullmatch(value["text"]) else _MASKED_VALUE


# ---- what becomes of codes and authors: the code, its codingScheme, other Slots and the Name as they were ->
# all that is shown of them


def _kept_code(code: bytes, coding: bytes, slots: bytes, name: bytes) -> bytes:
    if slots:
        coding = _chosen(coding + slots, _CODE_SLOTS)
    return b"%b>%b%b" % (code, coding, name)


def _masked_code(code: bytes, coding: bytes, slots: bytes, name: bytes) -> bytes:
    return _MASKED_CODE


def _masked_author(code: bytes, coding: bytes, slots: bytes, name: bytes) -> bytes:
    shown = _chosen(slots, _AUTHOR_SLOTS)
    # Who was known by an address only is still an author, and must be somebody (ITI TF-3 4.2.3.1.4).
    return b' nodeRepresentation="">' + (shown if b"<rim:Value>" in shown else _SOMEBODY)


def _chosen(slots: bytes, rules: Mapping[bytes, Callable[[bytes], bytes]]) -> bytes:
    found = _SLOT.findall(slots)
    return b"".join([_slot(name, rules[name](values)) for name, values in found if name in rules])


_MASKED_CODE: Final = b' nodeRepresentation="%b">%b%b' % (
    _MASK,
    _slot(b"codingScheme", _MASKED_VALUE),
    _title(_MASK),
)
_SOMEBODY: Final = _slot(b"authorPerson", _MASKED_VALUE)


# ---- what is shown of an entry; whatever is not named here is not shown


def _key(name: str) -> bytes:
    return DOCUMENT_ENTRY.scheme(name).encode()


_KEPT_SLOTS: Final = (
    "creationTime",
    "documentAvailability",
    "hash",
    "languageCode",
    "repositoryUniqueId",
    "serviceStartTime",
    "serviceStopTime",
    "size",
)
_MASKED_SLOTS: Final = {
    _key("legalAuthenticator"): _masked_persons,
    _key("sourcePatientId"): _masked,
}
_CLASSIFICATIONS: Final = {
    _key("author"): _masked_author,
    _key("classCode"): _kept_code,
    _key("confidentialityCode"): _kept_code,
    _key("formatCode"): _masked_code,  # it can tell what kind of document it is
    _key("healthcareFacilityTypeCode"): _kept_code,
    _key("practiceSettingCode"): _masked_code,
    _key("typeCode"): _masked_code,
}
_CODE_SLOTS: Final = {b"codingScheme": _kept}
_AUTHOR_SLOTS: Final = {b"authorPerson": _masked_persons, b"authorInstitution": _masked_institutions}
_IDENTIFIERS: Final = {_key("uniqueId"): _title(b"XDSDocumentEntry.uniqueId")}
#: The title of every blocked entry, whether it had one or not.
_TITLE: Final = _title(b"Sperret")


# ---- from the one to the other

#: The start tag behind status and home; its id.
_START: Final = _compiled(
    rf'( id="({_ID})"{_attribute("lid")} objectType="(?:{names.STABLE}|{names.ON_DEMAND})"'
    rf"{_attribute('mimeType')}{_attribute('isOpaque', '(?:true|false|0|1)')}){_OTHERS}>"
)
#: A parameter of the MIME type can be a file's name.
_PARAMETERS: Final = re.compile(rb'( mimeType="(?:[^";&]|&#?\w++;)*+)[^"]*+')
#: What stands between it and the first child, piece by piece: the whole piece; the Slots that are kept, as
#: many as stand together; of another Slot its name and values; of a VersionInfo its beginning.
_PIECE: Final = _compiled(
    rf"(((?:{_slots('(?:' + '|'.join(map(DOCUMENT_ENTRY.scheme, _KEPT_SLOTS)) + ')')})++)"
    rf"|{_slots(rf'({_TEXT})', rf'({_VALUES})')}"
    rf"|(<rim:VersionInfo{_attribute('versionName')}){_OTHERS}/>"
    rf"|{_strings('Name')}|{_strings('Description')})"
)
_CHILD_ID: Final = _compiled(rf' id="{_ID}"')
_CHILD_ID_LENGTH: Final = len(' id="urn:uuid:01234567-0123-0123-0123-0123456789ab"')
_NAME: Final = rf"(?:{_strings('Name')})?+"
#: A Classification behind its id, up to the object; the scheme.
_CLASSIFICATION: Final = _compiled(
    rf' objectType="{names.OBJECT_TYPE}Classification" classificationScheme="({_TEXT})'
)
#: The rest of it: the code, the first Slot if that is the codingScheme, other Slots, and the Name.
_CONTENT: Final = _compiled(
    rf"({_attribute('nodeRepresentation')})>"
    rf"((?:{_slots('codingScheme')})?+)((?:{_slots(_TEXT)})*+)({_NAME})</rim:Classification>"
)
_IDENTIFIER_TYPE: Final = (
    rf' id="{_ID}" objectType="{names.OBJECT_TYPE}ExternalIdentifier" registryObject="{_ID}"'
)
#: An ExternalIdentifier: all up to its content, and the scheme.
_IDENTIFIER: Final = _compiled(
    rf'({_IDENTIFIER_TYPE} identificationScheme="({_TEXT})" value="{_TEXT}")>'
    rf"(?:{_slots(_TEXT)})*+{_NAME}</rim:ExternalIdentifier>"
)
_PATIENT: Final = _compiled(rf'{_IDENTIFIER_TYPE} identificationScheme="{names.DOCUMENT_PATIENT_ID}" value="')


def _shown(text: bytes) -> bytes:
    """What is shown of a plain text; nothing when there is anything in it that is not understood."""
    parts = text.split(b"<rim:Classification")
    parts[-1], *identifiers = parts[-1].split(b"<rim:ExternalIdentifier")
    head, *classifications = parts
    start = _START.match(head)
    if start is None or not identifiers or not _PATIENT.fullmatch(identifiers[-1]):
        return b""
    tag, own = start.groups()
    if b";" in tag:
        tag = _PARAMETERS.sub(rb"\1", tag)

    shown = [tag, b">"]
    version = b""
    understood = start.end()
    for piece, kept, slot, values, version_info in _PIECE.findall(head, understood):
        understood += len(piece)
        if kept:
            shown.append(kept)
        elif slot in _MASKED_SLOTS:
            shown.append(_slot(slot, _MASKED_SLOTS[slot](values)))
        elif version_info:
            version = version_info + b"/>"
    if understood != len(head):  # `findall` passes over what is no piece
        return b""
    shown += (_TITLE, version)

    of_own = b'" classifiedObject="%b"' % own
    for each in classifications:
        before, _, after = each.partition(of_own)
        # Codes and authors are the same in many entries of a list.
        content_of = _remembered if len(each) <= _LONGEST_REMEMBERED else _classification
        content = content_of(before[_CHILD_ID_LENGTH:], after)
        if content is None or not _CHILD_ID.match(before):
            return b""
        if content:
            shown += (b"<rim:Classification", before, of_own, content, b"</rim:Classification>")

    for each in identifiers[:-1]:
        found = _IDENTIFIER.fullmatch(each)
        if found is None:
            return b""
        before, scheme = found.groups()
        if scheme in _IDENTIFIERS:
            shown += (
                b"<rim:ExternalIdentifier",
                before,
                b">",
                _IDENTIFIERS[scheme],
                b"</rim:ExternalIdentifier>",
            )

    shown += (b"<rim:ExternalIdentifier", identifiers[-1])
    return b"".join(shown)


def _classification(start: bytes, content: bytes) -> bytes | None:
    """What is shown of a Classification: nothing when it is left out, None when it is not understood."""
    found, scheme = _CONTENT.fullmatch(content), _CLASSIFICATION.fullmatch(start)
    if found is None or scheme is None:
        return None
    rule = _CLASSIFICATIONS.get(scheme[1])
    return b"" if rule is None else rule(*found.groups())


_remembered: Final = lru_cache(maxsize=4096)(_classification)
#: In bytes; with the number of those that are remembered it says how much memory they may take.
_LONGEST_REMEMBERED: Final = 2000


# ---- what ebRIM allows, IHE has no use for, and next to nobody sends

_SLOT_TYPE: Final = _compiled(rf'(<rim:Slot name="{_TEXT}") slotType="{_TEXT}">')
_UNUSED_IN_CHILD: Final = _compiled(rf"{_strings('Description')}|<rim:VersionInfo{_OTHERS}/>")
_CHILD_TAG: Final = _compiled(rf"<(/?)rim:(Classification|ExternalIdentifier)({_OTHERS})(/?)>")
_CHILD_ATTRIBUTE: Final = _compiled(
    " (?:id|objectType|classificationScheme|classifiedObject|nodeRepresentation"
    rf'|registryObject|identificationScheme|value)="{_TEXT}"'
)


def _plain(text: bytes) -> bytes:
    """The text with children that have nothing but what is understood above, and no children of their own.

    A child without a scheme, which is a label, goes as a whole.
    """
    text = _SLOT_TYPE.sub(rb"\1>", text)
    kept: list[bytes] = []
    depth = start = 0
    shown = True
    for tag in _CHILD_TAG.finditer(text):
        end, kind, attributes, empty = tag.groups()
        before = text[start : tag.start()]
        start = tag.end()
        if depth == 0:
            kept.append(before)
            shown = b'Scheme="' in attributes
        elif depth == 1 and shown:
            kept.append(_UNUSED_IN_CHILD.sub(b"", before))
        if not end:
            depth += 1
            if depth == 1 and shown:
                kept.append(b"<rim:%b%b>" % (kind, b"".join(_CHILD_ATTRIBUTE.findall(attributes))))
        if end or empty:
            depth -= 1
            if depth == 0 and shown:
                kept.append(b"</rim:%b>" % kind)
    kept.append(text[start:])
    return b"".join(kept)
