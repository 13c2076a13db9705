"""Check characters against published samples, what they catch, and what the repair rules mend."""

import string
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InvalidIdentifier
from schemas.identifiers import (
    USCC_ALPHABET,
    NameMatch,
    Reading,
    compare_names,
    is_uscc,
    normalise_name,
    organisation_code_check,
    parse_organisation_code,
    parse_registration_number,
    parse_resident_id,
    parse_uscc,
    registration_check,
    resident_check,
    uscc_check,
)

# Public register facts: four real codes of listed companies, and one of a rural collective's form.
CODES = ["91110000600037341L", "91340000711771143J", "91110108MA00478Q15", "9144030071526726XG"]
MANY = settings(max_examples=60, deadline=None)


@st.composite
def usccs(draw: st.DrawFn) -> str:
    head = draw(st.text(USCC_ALPHABET, min_size=2, max_size=2))
    region = draw(st.text("0123456789", min_size=6, max_size=6))
    organisation = draw(st.text(USCC_ALPHABET, min_size=8, max_size=8))
    inner = organisation_code_check(organisation)
    code = head + region + organisation + inner
    return "91" + "0" * 15 + uscc_check("91" + "0" * 15) if code == "0" * 17 else code + uscc_check(code)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


@pytest.mark.parametrize("code", CODES)
def test_real_codes_hold(code: str) -> None:
    assert is_uscc(code)
    assert parse_uscc(code) == Reading(code, (), ())


def test_letters_are_legal_in_the_first_two_places() -> None:
    first17 = "N2310115MA1K4B5X4"
    assert is_uscc(first17 + uscc_check(first17))


@MANY
@given(usccs())
def test_every_code_with_its_computed_check_character_is_read_unrepaired(code: str) -> None:
    assert is_uscc(code)
    assert parse_uscc(code) == Reading(code, (), ())


@MANY
@given(usccs(), st.integers(0, 17), st.sampled_from(USCC_ALPHABET))
def test_every_change_of_a_single_character_is_caught(code: str, place: int, char: str) -> None:
    """31 is prime and no weight is a multiple of it, so one changed value always changes the sum."""
    changed = code[:place] + char + code[place + 1 :]
    assert is_uscc(changed) == (changed == code)


@MANY
@given(usccs(), st.integers(0, 16))
def test_every_swap_of_neighbours_is_caught(code: str, place: int) -> None:
    """Neighbouring weights differ modulo 31, the check character's own weight 1 included."""
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert is_uscc(swapped) == (swapped == code)


DIRT = st.sampled_from(["", " ", "\u3000", "\ufeff", "\u200b", "\t", "\u00a0"])


@MANY
@given(usccs(), DIRT, DIRT, st.booleans(), st.booleans(), st.booleans())
def test_dirt_of_every_kind_is_mended_and_named_and_mending_twice_changes_nothing(
    code: str, before: str, after: str, wide: bool, lower: bool, letters: bool
) -> None:
    dirty = code.lower() if lower else code
    dirty = dirty.replace("1", "I").replace("0", "o") if letters else dirty
    reading = parse_uscc(before + (full_width(dirty) if wide else dirty) + after)
    assert reading.value == code
    assert bool(reading.repairs) == (before + dirty + after != code or wide)
    assert parse_uscc(reading.value) == Reading(code, (), reading.warnings)


@pytest.mark.parametrize(
    ("dirty", "repairs"),
    [
        ("91340100728497523W ", ("trailing blank",)),
        ("\u300091340100728497523W", ("leading blank",)),
        ("9134\u200b0100728497523W", ("zero-width mark",)),
        ("９１３４０１００７２８４９７５２３Ｗ", ("full-width",)),
        ("91340100728497523w", ("lower case",)),
        ("9I340100728497523W", ("I read as 1",)),
        ("9134O1OO728497523W", ("O read as 0",)),
        ("9i34o1OO728497523w", ("lower case", "I read as 1", "O read as 0")),
    ],
)
def test_each_repair_has_its_phrase(dirty: str, repairs: tuple[str, ...]) -> None:
    assert parse_uscc(dirty) == Reading("91340100728497523W", repairs, ())


@pytest.mark.parametrize(
    "dirty",
    ["", "空", "11111111", "110108020854380", "0" * 18, "null", "91340100728497523", "9134010072849*523W", "9" * 65],
)
def test_what_is_no_code_is_refused_for_its_form(dirty: str) -> None:
    assert not is_uscc(dirty)
    with pytest.raises(InvalidIdentifier) as caught:
        parse_uscc(dirty)
    assert caught.value.details == {"what": "uscc", "fault": "form"}


def test_a_repair_never_stands_in_for_a_failing_check_character() -> None:
    with pytest.raises(InvalidIdentifier, match="fault=check"):
        parse_uscc("9I340100728497523X")


def test_a_failing_organisation_code_inside_is_a_warning() -> None:
    first17 = "913401007284975" + "24"
    assert organisation_code_check(first17[8:16]) != first17[16]
    assert parse_uscc(first17 + uscc_check(first17)).warnings == ("organisation code check fails",)


@pytest.mark.parametrize("first17", ["", "9134010072849752", "9134010072849752I", "9134010072849752３"])
def test_no_check_character_is_computed_for_what_is_not_seventeen_places(first17: str) -> None:
    with pytest.raises(InvalidIdentifier):
        uscc_check(first17)


@pytest.mark.parametrize("code", ["711771143", "71177114-3", "71526726X", " 71526726x "])
def test_organisation_codes_are_read_with_and_without_hyphen(code: str) -> None:
    assert parse_organisation_code(code).value == code.strip().replace("-", "").upper()


def test_the_letters_i_and_o_belong_to_an_organisation_code() -> None:
    check = organisation_code_check("OI000000")
    assert parse_organisation_code("OI000000" + check) == Reading("OI000000" + check, (), ())


@pytest.mark.parametrize(("code", "fault"), [("711771144", "check"), ("71177114", "form"), ("空", "form")])
def test_wrong_organisation_codes_are_refused(code: str, fault: str) -> None:
    with pytest.raises(InvalidIdentifier, match=f"fault={fault} what=organisation_code"):
        parse_organisation_code(code)


@pytest.mark.parametrize("first8", ["7117711", "7117711４", "7117711a", "7117-711"])
def test_no_organisation_check_is_computed_for_another_form(first8: str) -> None:
    with pytest.raises(InvalidIdentifier):
        organisation_code_check(first8)


@pytest.mark.parametrize("number", ["110108020854380", "340000000016368", "340100000160899"])
def test_real_registration_numbers_hold(number: str) -> None:
    assert parse_registration_number(number) == Reading(number, (), ())


@MANY
@given(st.text("0123456789", min_size=14, max_size=14), st.integers(0, 14), st.sampled_from(string.digits))
def test_every_change_of_a_single_digit_of_a_registration_number_is_caught(
    first14: str, place: int, digit: str
) -> None:
    """ISO/IEC 7064 promises it for its hybrid systems."""
    number = "1" + first14[1:] + registration_check("1" + first14[1:])
    changed = number[:place] + digit + number[place + 1 :]
    if changed == number:
        assert parse_registration_number(changed).value == number
    else:
        with pytest.raises(InvalidIdentifier):
            parse_registration_number(changed)


def test_a_registration_number_is_mended_by_the_same_rules() -> None:
    assert parse_registration_number("34OOOOOOOOI6368") == Reading(
        "340000000016368", ("I read as 1", "O read as 0"), ()
    )


@pytest.mark.parametrize(
    ("number", "fault"),
    [("340000000016369", "check"), ("34000000001636", "form"), ("0" * 15, "form"), ("空", "form")],
)
def test_wrong_registration_numbers_are_refused(number: str, fault: str) -> None:
    with pytest.raises(InvalidIdentifier, match=f"fault={fault} what=registration_number"):
        parse_registration_number(number)


@pytest.mark.parametrize("first14", ["3400000000163", "3400000000163６", "3400000000163X"])
def test_no_registration_check_is_computed_for_another_form(first14: str) -> None:
    with pytest.raises(InvalidIdentifier):
        registration_check(first14)


def test_the_sample_of_the_identity_number_standard_holds() -> None:
    """GB 11643-1999 prints 11010519491231002X."""
    assert parse_resident_id("11010519491231002X") == Reading("11010519491231002X", (), ())
    assert parse_resident_id(" 11010519491231002x") == Reading(
        "11010519491231002X", ("leading blank", "lower case"), ()
    )


@MANY
@given(
    st.integers(100000, 999999),
    st.dates(date(1900, 1, 1), date(2026, 11, 24)),
    st.integers(0, 999),
    st.integers(0, 17),
    st.sampled_from("0123456789X"),
)
def test_every_change_of_a_single_character_of_an_identity_number_is_caught(
    region: int, birth: date, serial: int, place: int, char: str
) -> None:
    first17 = f"{region}{birth:%Y%m%d}{serial:03}"
    number = first17 + resident_check(first17)
    assert parse_resident_id(number).value == number
    changed = number[:place] + char + number[place + 1 :]
    if changed != number:
        with pytest.raises(InvalidIdentifier):
            parse_resident_id(changed)


def test_an_old_identity_number_is_read_with_a_warning_since_it_has_no_check() -> None:
    assert parse_resident_id("110105491231002") == Reading("110105491231002", (), ("15-digit form has no check",))


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("110105194912310021", "check"),
        ("110105194902300020", "date"),
        ("110105490230002", "date"),
        ("110105000012310029", "date"),
        ("1101051949123100", "form"),
        ("110105********002X", "form"),
        ("I10105491231002", "form"),
        ("010105491231002", "form"),
    ],
)
def test_wrong_identity_numbers_are_refused_with_their_fault(number: str, fault: str) -> None:
    with pytest.raises(InvalidIdentifier) as caught:
        parse_resident_id(number)
    assert caught.value.details == {"what": "resident_id", "fault": fault}


@pytest.mark.parametrize("first17", ["1101051949123100", "1101051949123100X", "1101051949123100２"])
def test_no_identity_check_is_computed_for_another_form(first17: str) -> None:
    with pytest.raises(InvalidIdentifier):
        resident_check(first17)


def test_an_error_never_repeats_the_identifier() -> None:
    for parse in (parse_uscc, parse_resident_id, parse_registration_number, parse_organisation_code):
        with pytest.raises(InvalidIdentifier) as caught:
            parse("11010519491231002Y")
        assert "1101" not in str(caught.value)
        assert "1101" not in repr(caught.value.details)


# Invented companies.
PARENT = "上海示例（集团）有限公司"


@pytest.mark.parametrize(
    ("found", "registered", "former", "verdict"),
    [
        (PARENT, PARENT, (), "same"),
        ("上海示例(集团)有限公司", PARENT, (), "same"),
        ("上海示例〔集团〕有限公司", PARENT, (), "same"),
        ("上海示例 （集团）\u3000有限公司\u200b", PARENT, (), "same"),
        ("ＡＢＣ示例公司", "ABC示例公司", (), "same"),
        ("上海旧名有限公司", PARENT, ("别名公司", "上海旧名 有限公司"), "former"),
        ("上海示例（集团）有限公司徐汇分公司", PARENT, (), "different"),
        (PARENT, "上海示例（集团）有限公司徐汇分公司", (), "different"),
        ("上海**（集团）有限公司", PARENT, (), "masked"),
        (PARENT, "上海＊（集团）有限公司", (), "masked"),
        ("上海*公司", "上海*有限公司", (), "masked"),
        ("上海旧*公司", PARENT, ("上海旧名有限公司",), "masked"),
        ("北京**（集团）有限公司", PARENT, (), "different"),
        ("陈*", "陈某某", (), "masked"),
        ("陈*", "陈", (), "different"),
        ("陈*", "李某", (), "different"),
        ("*", "陈某", (), "masked"),
        ("陈*", "陈*", (), "masked"),
        ("*甲", "乙*", (), "masked"),
        ("*甲", "*乙", (), "different"),
        ("", PARENT, (), "different"),
        (" ", "\u3000", (), "different"),
    ],
)
def test_names_are_compared_as_people_would(found: str, registered: str, former: tuple[str, ...], verdict: str) -> None:
    assert compare_names(found, registered, former) is NameMatch(verdict)


names = st.text("甲乙丙*", min_size=0, max_size=6)


@MANY
@given(names, names)
def test_comparison_has_no_direction(a: str, b: str) -> None:
    assert compare_names(a, b) == compare_names(b, a)


@MANY
@given(st.text("甲乙丙", min_size=1, max_size=8), st.data())
def test_a_mask_over_any_part_of_a_name_never_makes_it_different(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 1))
    end = data.draw(st.integers(start + 1, len(name)))
    masked = name[:start] + "*" * data.draw(st.integers(1, 4)) + name[end:]
    assert compare_names(masked, name) is NameMatch.MASKED


@MANY
@given(st.text(max_size=30))
def test_normalising_a_name_twice_changes_nothing(text: str) -> None:
    once = normalise_name(text)
    assert normalise_name(once) == once


@MANY
@given(st.text(max_size=70))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_uscc, parse_resident_id, parse_registration_number, parse_organisation_code):
        try:
            value = parse(text).value
        except InvalidIdentifier:
            continue
        assert parse(value).repairs == ()
