"""The profile of codes: what is an error, what a warning, and which names are filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.metadata import samples
from xds.errors import Code as ErrorCode
from xds.metadata import names, updates, validation
from xds.metadata.code_rules import PROFILE, RULES, CodeRules
from xds.metadata.codesystems import CodeSystem, CodeTables, Concept, built_in
from xds.metadata.entries import registry_object
from xds.metadata.model import Code, LocalizedString, RegistryObject, Slot

N = "2.16.578.1.12.4.1.1."
HL7 = "2.16.840.1.113883.5.25"
IHE = "1.3.6.1.4.1.19376.1.2.3"
STRANGE = "1.2.752.99.1"
NORWEGIAN = CodeRules(built_in())

Objects = tuple[RegistryObject, ...]
#: Attribute -> a message in which it has these codes and systems, and all else is good.
Build = Callable[..., Objects]


def _entry(field: str, many: bool = False) -> Build:
    def build(*codes: tuple[str, str]) -> Objects:
        made = tuple(Code(code, scheme, "tekst") for code, scheme in codes)
        return samples.submission(samples.document_entry(**{field: made if many else made[0]}))

    return build


def _content_type(*codes: tuple[str, str]) -> Objects:
    (code,) = codes
    return samples.submission(of=samples.submission_set(content_type_code=Code(*code, "tekst")))


def _author(field: str, of: str) -> Build:
    def build(*codes: tuple[str, str]) -> Objects:
        texts = tuple(f"{code}^^^^^&{scheme.removeprefix('urn:oid:')}&ISO" for code, scheme in codes)
        return author(field, of, *texts)

    return build


def author(field: str, of: str, *texts: str) -> Objects:
    """A message in which the author of the document or the set has these roles or specialties."""
    made = (replace(samples.AUTHOR, **{field: texts}),)
    if of == "DE":
        return samples.submission(samples.document_entry(authors=made))
    return samples.submission(of=samples.submission_set(authors=made))


BUILD: dict[str, Build] = {
    "DE-authorRole": _author("roles", "DE"),
    "DE-authorSpecialty": _author("specialties", "DE"),
    "DE-classCode": _entry("class_code"),
    "DE-confidentialityCode": _entry("confidentiality_codes", many=True),
    "DE-eventCodeList": _entry("event_codes", many=True),
    "DE-formatCode": _entry("format_code"),
    "DE-healthcareFacilityTypeCode": _entry("healthcare_facility_type_code"),
    "DE-practiceSettingCode": _entry("practice_setting_code"),
    "DE-typeCode": _entry("type_code"),
    "SS-authorRole": _author("roles", "SS"),
    "SS-authorSpecialty": _author("specialties", "SS"),
    "SS-contentTypeCode": _content_type,
}


def found(objects: Objects, rules: CodeRules = NORWEGIAN) -> list[tuple[str, bool]]:
    """Rule and whether it is a warning, of everything that gate 0 finds."""
    errors = validation.check(objects, transaction="ITI-42", codes=rules)
    return [(error.rule, error.warning) for error in errors]


def test_every_attribute_of_the_profile_is_tested_here() -> None:
    """A new line of the profile gets its cases."""
    assert {f"{line.table}-{line.attribute}" for line in PROFILE} == set(BUILD)


def test_the_samples_of_all_other_tests_are_good_codes() -> None:
    """Whoever starts from them starts from a valid message."""
    rich = samples.rich_document_entry(type_code=samples.NOTE, class_code=samples.NOTE_GROUP)
    assert found(samples.submission(rich, folders=[samples.folder()])) == []


#: Every system of every attribute, with a code of it.
KNOWN = [
    ("DE-authorRole", "3", N + "9034"),
    ("DE-authorRole", "LE", N + "9060"),
    ("DE-authorSpecialty", "1", N + "7426"),
    ("DE-classCode", "A00-1", N + "9602"),
    ("DE-confidentialityCode", "N", HL7),
    ("DE-confidentialityCode", "V", HL7),
    ("DE-confidentialityCode", "N", N + "9603"),
    ("DE-confidentialityCode", "NORN_ANG", N + "9603"),
    ("DE-eventCodeList", "0123456", N + "7010"),
    ("DE-eventCodeList", "J06.9", N + "7110"),
    ("DE-eventCodeList", "KX0123", N + "7210"),
    ("DE-eventCodeList", "whatever", N + "7220"),
    ("DE-eventCodeList", "whatever", N + "7270"),
    ("DE-eventCodeList", "NPU01370", N + "7280"),
    ("DE-formatCode", "urn:ihe:iti:xds:2017:mimeTypeSufficient", IHE),
    ("DE-formatCode", "urn:no:ehelse:document:pdf", "formatCodes"),
    ("DE-formatCode", "urn:no:ehelse:document:image", "formatCodes"),
    ("DE-formatCode", "urn:no:ehelse:document:text", IHE),
    ("DE-formatCode", "urn:no:kith:xmlstds:henvisning", "formatCodes"),
    ("DE-formatCode", "urn:no:kith:xmlstds:dialogmelding", "formatCodes"),
    ("DE-formatCode", "http://www.kith.no/xmlstds/epikrise/2012-02-15", "FormatCodes"),
    ("DE-healthcareFacilityTypeCode", "86.101", N + "1303"),
    ("DE-healthcareFacilityTypeCode", "86.101", N + "1305"),
    ("DE-practiceSettingCode", "A01", N + "8651"),
    ("DE-practiceSettingCode", "7", N + "8653"),
    ("DE-practiceSettingCode", "L03", N + "8654"),
    ("DE-practiceSettingCode", "S03", N + "8655"),
    ("DE-practiceSettingCode", "KA01", N + "8663"),
    ("DE-typeCode", "A13-2", N + "9602"),
    ("SS-authorRole", "3", N + "9034"),
    ("SS-authorSpecialty", "1", N + "7426"),
    ("SS-contentTypeCode", "A03-2", N + "9602"),
    ("SS-contentTypeCode", "C00-1", N + "9602"),
]


@pytest.mark.parametrize(("attribute", "code", "system"), KNOWN)
def test_a_known_code_is_accepted(attribute: str, code: str, system: str) -> None:
    """Nothing is found in it."""
    assert found(BUILD[attribute]((code, system))) == []


@pytest.mark.parametrize(
    ("attribute", "code", "system"),
    [
        ("DE-authorRole", "ZZ", N + "9060"),
        ("DE-classCode", "Q00-1", N + "9602"),
        ("DE-classCode", "A03-2", N + "9602"),  # a code of the other level
        ("DE-confidentialityCode", "X", N + "9603"),
        ("DE-confidentialityCode", "NORN-ANG", N + "9603"),
        ("DE-confidentialityCode", "NORN-FPB", N + "9603"),
        ("DE-confidentialityCode", "NORN-DUP", N + "9603"),
        ("DE-confidentialityCode", "nors", N + "9603"),
        ("DE-formatCode", "urn:ihe:iti:xds:2017:nothing", IHE),
        ("DE-formatCode", "http://example.org/kith.no/xmlstds/", "FormatCodes"),
        ("DE-healthcareFacilityTypeCode", "99.999", N + "1303"),
        ("DE-practiceSettingCode", "A06", N + "8651"),
        ("DE-practiceSettingCode", "10", N + "8653"),
        ("DE-practiceSettingCode", "L05", N + "8654"),
        ("DE-practiceSettingCode", "KX17", N + "8655"),  # a code of 8663
        ("DE-typeCode", "A99-2", N + "9602"),
        ("DE-typeCode", "A00-1", N + "9602"),
        ("SS-authorRole", "ZZ", N + "9060"),
        ("SS-contentTypeCode", "A99-2", N + "9602"),
    ],
)
def test_an_unknown_code_of_a_complete_system_is_an_error(attribute: str, code: str, system: str) -> None:
    """One error, of that attribute."""
    assert found(BUILD[attribute]((code, system))) == [(f"{attribute}-code", False)]


@pytest.mark.parametrize(
    ("attribute", "code", "system"),
    [
        ("DE-authorRole", "99", N + "9034"),
        ("DE-authorSpecialty", "9999", N + "7426"),
        ("DE-confidentialityCode", "B", HL7),
        ("DE-formatCode", "urn:no:ehelse:document:sound", "formatCodes"),
        ("DE-healthcareFacilityTypeCode", "99.999", N + "1305"),
        ("DE-practiceSettingCode", "KX99", N + "8663"),
        ("SS-authorRole", "99", N + "9034"),
        ("SS-authorSpecialty", "9999", N + "7426"),
    ],
)
def test_an_unknown_code_of_an_incomplete_system_is_a_warning(attribute: str, code: str, system: str) -> None:
    """The table may be the one that is behind."""
    assert found(BUILD[attribute]((code, system))) == [(f"{attribute}-code", True)]


@pytest.mark.parametrize("attribute", BUILD)
@pytest.mark.parametrize("system", [STRANGE, N + "3101"], ids=["strange", "known, of something else"])
def test_a_system_that_the_attribute_does_not_take_is_what_the_setting_says(
    attribute: str, system: str
) -> None:
    """A warning, or an error; whether the node knows the system makes no difference."""
    objects = BUILD[attribute](("1", system))
    assert found(objects) == [(f"{attribute}-system", True)]
    strict = CodeRules(built_in(), unknown_system="error")
    assert found(objects, strict) == [(f"{attribute}-system", False)]


ALIASES = [
    ("DE-classCode", "A00-1", f"urn:oid:{N}9602"),
    ("DE-typeCode", "A03-2", f"urn:oid:{N}9602"),
    ("DE-confidentialityCode", "R", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"),
    ("DE-confidentialityCode", "NORS", "http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603"),
    ("DE-eventCodeList", "J06.9", f"urn:oid:{N}7110"),
    (
        "DE-formatCode",
        "urn:ihe:pcc:xphr:2007",
        "http://profiles.ihe.net/fhir/ihe.formatcode.fhir/CodeSystem-formatcode",
    ),
    (
        "DE-formatCode",
        "urn:ihe:pcc:xphr:2007",
        "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
    ),
    ("DE-formatCode", "urn:ihe:pcc:xphr:2007", "FormatCodes"),
    ("DE-healthcareFacilityTypeCode", "86.101", f"urn:oid:{N}1303"),
    ("DE-practiceSettingCode", "S03", f"urn:oid:{N}8655"),
    ("SS-contentTypeCode", "A03-2", f"urn:oid:{N}9602"),
]


@pytest.mark.parametrize(("attribute", "code", "system"), ALIASES)
def test_a_system_may_be_called_by_another_name(attribute: str, code: str, system: str) -> None:
    """The code is judged by the same table: a good one passes, a bad one does not."""
    assert found(BUILD[attribute]((code, system))) == []
    if attribute != "DE-eventCodeList":
        rules = [rule for rule, _ in found(BUILD[attribute](("urn:x", system)))]
        assert rules == [f"{attribute}-code"]


@pytest.mark.parametrize("attribute", [name for name in BUILD if "author" not in name])
def test_a_code_without_a_system_breaks_the_rule_about_its_form_alone(attribute: str) -> None:
    """It is said once what is wrong."""
    assert found(BUILD[attribute](("A00-1", ""))) == [("code-scheme", False)]


@pytest.mark.parametrize("of", ["DE", "SS"])
@pytest.mark.parametrize("field", ["roles", "specialties"])
@pytest.mark.parametrize(
    "text", ["Lege", "lege^avdelingsleder", "LE^Lege", "LE^Lege^HL70286^^^^2.5.1", "^Lege^1.2.3.4.5", ""]
)
def test_a_role_or_specialty_that_names_no_system_is_any_text(of: str, field: str, text: str) -> None:
    """The data type is a plain or a coded string."""
    assert found(author(field, of, text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"LE^^^^^&{N}9060&ISO", []),
        (f"LE^^^&{N}9060&ISO", []),
        (f"LE^Lege^{N}9060", []),
        (f"LE^Lege^urn:oid:{N}9060", []),
        (f"ZZ^^^^^&{N}9060&ISO", [("DE-authorRole-code", False)]),
        (f"ZZ^^^&{N}9060&ISO", [("DE-authorRole-code", False)]),
        (f"ZZ^Lege^{N}9060", [("DE-authorRole-code", False)]),
        (f"LE^Lege^{STRANGE}", [("DE-authorRole-system", True)]),
        ("LE^Lege^http://example.org/roles", [("DE-authorRole-system", True)]),
    ],
)
def test_a_role_is_judged_in_each_way_of_naming_its_system(
    text: str, expected: list[tuple[str, bool]]
) -> None:
    """As a coded string, and as an identifier with an authority."""
    assert found(author("roles", "DE", text)) == expected


@pytest.mark.parametrize(
    ("group", "kind", "expected"),
    [
        ("A00-1", "A03-2", []),
        ("I00-1", "I01-2", []),
        ("B00-1", "A03-2", [("DE-typeCode-class", False)]),
        ("A00-1", "S03-2", [("DE-typeCode-class", False)]),
        ("Q00-1", "A03-2", [("DE-classCode-code", False)]),
        ("A00-1", "Q03-2", [("DE-typeCode-code", False)]),
    ],
)
def test_a_type_must_be_of_the_group_in_class_code(
    group: str, kind: str, expected: list[tuple[str, bool]]
) -> None:
    """Where both are known; an unknown one is said to be unknown and nothing else."""
    entry = samples.document_entry(class_code=Code(group, N + "9602"), type_code=Code(kind, N + "9602"))
    assert found(samples.submission(entry)) == expected


def test_a_type_of_another_system_has_no_group() -> None:
    """Its system is warned of; its group is nobody's to judge."""
    entry = samples.document_entry(type_code=Code("34105-7", "2.16.840.1.113883.6.1"))
    assert found(samples.submission(entry)) == [("DE-typeCode-system", True)]


def tables(*concepts: Concept, oid: str, complete: bool = True) -> CodeTables:
    """The built-in tables with another one for one system."""
    system = CodeSystem(oid, oid, "Egen", complete, {c.code: c for c in concepts})
    return CodeTables(dict(built_in().systems) | {oid: system}, built_in().aliases)


def test_a_type_without_a_parent_is_of_the_group_with_its_letter() -> None:
    """The table of another edition may not say the group."""
    own = tables(Concept("A00-1", "g"), Concept("A03-2", "t"), Concept("B00-1", "h"), oid=N + "9602")
    rules = CodeRules(own)
    for group, expected in (("A00-1", []), ("B00-1", [("DE-typeCode-class", False)])):
        entry = samples.document_entry(
            class_code=Code(group, N + "9602"), type_code=Code("A03-2", N + "9602")
        )
        assert found(samples.submission(entry), rules) == expected


def test_a_withdrawn_code_is_taken_but_for_confidentiality() -> None:
    """A document is older than the edition; but on an old spelling of a refusal nobody would act."""
    assert found(BUILD["DE-authorRole"](("MT", N + "9060"))) == []
    own = tables(Concept("N", "n"), Concept("NORN-ANG", "Nektet", active=False), oid=N + "9603")
    objects = BUILD["DE-confidentialityCode"](("NORN-ANG", N + "9603"))
    assert found(objects, CodeRules(own)) == [("DE-confidentialityCode-code", False)]


def test_a_table_that_is_imported_for_a_system_without_one_counts() -> None:
    """An unknown event code is then an error."""
    rules = CodeRules(tables(Concept("KX0123", "k"), oid=N + "7210"))
    assert found(BUILD["DE-eventCodeList"](("KX0123", N + "7210")), rules) == []
    assert found(BUILD["DE-eventCodeList"](("X", N + "7210")), rules) == [("DE-eventCodeList-code", False)]


@pytest.mark.parametrize(
    "display", ["Bildediagnostikk", "Bildediagnostikk og andre medisinske bilder", "Noe ganske annet"]
)
def test_the_display_of_any_edition_is_accepted(display: str) -> None:
    """Only the code counts (ITI TF-2 3.42.4.1.3.3.3)."""
    entry = samples.document_entry(
        class_code=Code("E00-1", N + "9602", display),
        type_code=Code("E01-2", N + "9602", "Diagnostiske bilder"),
    )
    assert found(samples.submission(entry)) == []


def test_level_and_refusal_may_stand_together() -> None:
    """The two systems are combined on one entry."""
    assert found(BUILD["DE-confidentialityCode"](("R", HL7), ("NORN_EPO", N + "9603"))) == []


def test_a_rule_at_one_place_may_be_an_error_and_a_warning() -> None:
    """Each is reported with the positions of its own values, and no value of the message."""
    objects = BUILD["DE-confidentialityCode"](("secret1", HL7), ("N", HL7), ("secret2", N + "9603"))
    errors = validation.check(objects, transaction="ITI-42", codes=NORWEGIAN)
    rule = RULES["DE-confidentialityCode-code"].sentence
    assert [(e.warning, e.context, e.location) for e in errors] == [
        (True, f"{rule} (value 1)", "Document01/confidentialityCode"),
        (False, f"{rule} (value 3)", "Document01/confidentialityCode"),
    ]


def test_findings_come_object_by_object_with_the_codes_after_all_else() -> None:
    """The order does not change; codes stand in the order of the table."""
    entry = samples.document_entry(
        type_code=Code("X", N + "9602"), format_code=Code("X", IHE), language_code="not a language!"
    )
    objects = samples.submission(entry, of=samples.submission_set(content_type_code=Code("X", N + "9602")))
    rules = [rule for rule, _ in found(objects)]
    assert rules == [
        "SS-contentTypeCode-code",
        "DE-languageCode-type",
        "DE-formatCode-code",
        "DE-typeCode-code",
    ]


@pytest.mark.parametrize("transaction", ["ITI-41", "ITI-42"])
def test_the_error_code_is_that_of_whoever_answers(transaction: Any) -> None:
    """A repository answers with its own code."""
    objects = BUILD["DE-typeCode"](("X", N + "9602"))
    (error,) = validation.check(objects, transaction=transaction, codes=NORWEGIAN)
    repository = transaction == "ITI-41"
    assert error.code == (
        ErrorCode.REPOSITORY_METADATA_ERROR if repository else ErrorCode.REGISTRY_METADATA_ERROR
    )


@pytest.mark.parametrize("attribute", BUILD)
def test_the_profile_ihe_takes_any_code(attribute: str) -> None:
    """Of any system, and reports nothing."""
    rules = CodeRules(built_in(), profile="ihe", unknown_system="error")
    for system in (N + "9602", N + "9060", STRANGE):
        assert found(BUILD[attribute](("X", system)), rules) == []


def test_without_code_rules_codes_are_not_judged() -> None:
    """Whoever does not hand any over is answered as before."""
    objects = BUILD["DE-typeCode"](("X", N + "9602"))
    assert validation.check(objects, transaction="ITI-42") == ()


def test_folders_and_associations_take_any_code() -> None:
    """The profile has nothing for them."""
    link = samples.association(
        names.XFRM,
        "Document01",
        "urn:uuid:44444444-4444-4444-8444-444444444444",
        documentation=Code("X", "1.2"),
    )
    folder = samples.folder(codes=(Code("X", STRANGE, "x"),))
    objects = samples.submission(samples.document_entry(), folders=[folder], links=[link])
    assert not [rule for rule, _ in found(objects) if rule in RULES]


def test_an_update_is_judged_too() -> None:
    """A new version comes with codes, which are reported among its other errors."""
    objects = BUILD["DE-typeCode"](("X", N + "9602"))
    for transaction in ("ITI-57", "ITI-92"):
        errors = updates.check(objects, transaction=transaction, codes=NORWEGIAN)  # type: ignore[arg-type]
        assert "DE-typeCode-code" in [error.rule for error in errors]


# ---- display names


def unnamed(obj: RegistryObject) -> RegistryObject:
    """The object without the names of its codes."""
    return replace(obj, classifications=tuple(replace(c, name=()) for c in obj.classifications))


def given_names(obj: RegistryObject) -> list[tuple[str, str, str | None]]:
    """Code, display and language of each code of the object that has a name."""
    return [
        (c.attributes.get("nodeRepresentation", ""), text.value, text.language)
        for c in obj.classifications
        for text in c.name
    ]


def test_codes_without_a_name_are_given_that_of_the_table() -> None:
    """Each in the language of its table; authors and labels have none."""
    obj = unnamed(registry_object(samples.document_entry()))
    assert given_names(NORWEGIAN.filled(obj)) == [
        ("A00-1", "Epikriser og sammenfatninger", "nb"),
        ("N", "normal", "en"),
        ("urn:ihe:iti:xds:2017:mimeTypeSufficient", "mimeType Sufficient", "en"),
        ("86.101", "Alminnelige somatiske sykehus", "nb"),
        ("S03", "Indremedisin", "nb"),
        ("A03-2", "Epikrise", "nb"),
    ]


def test_nothing_but_missing_names_is_changed() -> None:
    """Taking the names out again gives what was sent."""
    obj = unnamed(registry_object(samples.document_entry()))
    assert unnamed(NORWEGIAN.filled(obj)) == obj


@pytest.mark.parametrize("display", ["Noe annet", "Bildediagnostikk og andre medisinske bilder", " "])
def test_names_that_were_sent_are_never_changed(display: str) -> None:
    """Whatever they say, and though other codes of the object are given a name."""
    entry = samples.document_entry(
        class_code=Code("E00-1", N + "9602", display), type_code=Code("E01-2", N + "9602")
    )
    sent = registry_object(entry)
    filled = NORWEGIAN.filled(sent)
    assert ("E00-1", display, None) in given_names(filled)
    assert ("E01-2", "Bildediagnostiske svar", "nb") in given_names(filled)
    assert [c for c in filled.classifications if c.name and c not in sent.classifications] == [
        c for c in filled.classifications if c.attributes.get("nodeRepresentation") == "E01-2"
    ]


def test_a_name_without_text_counts_as_none() -> None:
    """An empty Name says no more than none; an empty text beside a text is left alone."""
    obj = registry_object(samples.document_entry())
    empty = LocalizedString("")
    first = next(
        i for i, c in enumerate(obj.classifications) if c.attributes.get("nodeRepresentation") == "A00-1"
    )

    def with_name(*texts: LocalizedString) -> RegistryObject:
        children = list(obj.classifications)
        children[first] = replace(children[first], name=texts)
        return replace(obj, classifications=tuple(children))

    assert NORWEGIAN.filled(with_name(empty)).classifications[first].name == (
        LocalizedString("Epikriser og sammenfatninger", "nb"),
    )
    kept = with_name(empty, LocalizedString("tekst"))
    assert NORWEGIAN.filled(kept) is kept


def test_an_object_with_all_names_is_given_back_itself() -> None:
    """Most are, and nothing is built for them."""
    for obj in samples.submission(folders=[samples.folder()]):
        assert NORWEGIAN.filled(obj) is obj


def test_an_unknown_code_or_system_is_given_no_name() -> None:
    """There is no name to give, and the object stays itself."""
    entry = samples.document_entry(
        type_code=Code("X", N + "9602"),
        practice_setting_code=Code("S03", STRANGE),
        event_codes=(Code("K", N + "7210"),),
    )
    obj = registry_object(entry)
    assert NORWEGIAN.filled(obj) is obj


def test_a_code_with_two_systems_is_given_no_name() -> None:
    """Nobody knows which one is meant."""
    obj = registry_object(samples.document_entry(type_code=Code("A03-2", N + "9602")))
    children = tuple(
        replace(c, slots=(Slot("codingScheme", (N + "9602", STRANGE)),))
        if c.attributes.get("nodeRepresentation") == "A03-2"
        else c
        for c in obj.classifications
    )
    both = replace(obj, classifications=children)
    assert NORWEGIAN.filled(both) is both


def test_a_norwegian_format_under_the_name_of_ihes_system_is_given_its_name() -> None:
    """It is looked up where it is listed."""
    obj = registry_object(
        samples.document_entry(format_code=Code("urn:no:ehelse:document:pdf", "formatCodes"))
    )
    assert ("urn:no:ehelse:document:pdf", "PDF", "en") in given_names(NORWEGIAN.filled(obj))


def test_the_name_of_a_folders_code_is_filled_in_too() -> None:
    """Every coded attribute, whether or not the profile has a line for it."""
    obj = registry_object(samples.folder(codes=(Code("A00-1", N + "9602"),)))
    assert given_names(NORWEGIAN.filled(obj)) == [("A00-1", "Epikriser og sammenfatninger", "nb")]


def test_names_are_in_the_nodes_language_when_there_is_a_text_in_it() -> None:
    """A designation of that language stands before the display."""
    own = tables(
        Concept("A00-1", "Epikriser", {"en": "Summaries"}), Concept("B00-1", "Journal"), oid=N + "9602"
    )
    obj = registry_object(samples.folder(codes=(Code("A00-1", N + "9602"), Code("B00-1", N + "9602"))))
    assert given_names(CodeRules(own, language="en").filled(obj)) == [
        ("A00-1", "Summaries", "en"),
        ("B00-1", "Journal", "nb"),
    ]


def test_the_profile_ihe_fills_in_names_as_well() -> None:
    """A display helps whoever reads, whatever codes are accepted."""
    obj = registry_object(samples.folder(codes=(Code("A00-1", N + "9602"),)))
    filled = CodeRules(built_in(), profile="ihe").filled(obj)
    assert given_names(filled) == [("A00-1", "Epikriser og sammenfatninger", "nb")]
