"""Money, shares and counts in the forms of real replies, and everything that must not be guessed."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schemas.amounts import (
    RatioForm,
    Unit,
    compile_amount,
    compile_amounts,
    compile_ratio,
    decimal_text,
    parse_amount,
    parse_count,
    parse_ratio,
    shares,
)
from schemas.base import Decimal_
from schemas.errors import InvalidValue

MANY = settings(max_examples=80, deadline=None)
canonical_decimal = TypeAdapter(Decimal_)


@pytest.mark.parametrize(
    ("value", "unit", "yuan"),
    [
        # Real replies: a JSON number, and texts, of registered capital.
        (Decimal("219857.506700"), "万元", "2198575067.00"),
        ("258683", "万元", "2586830000"),
        ("200.0", "万元", "2000000.0"),
        (12345, "分", "123.45"),
        ("0", "亿元", "0"),
        (Decimal("1.5"), "亿元", "150000000.0"),
        (Decimal("1E+3"), "元", "1000"),
        (7, "元", "7"),
        ("1,234.00", "元", "1234.00"),
        ("１，２３４．５０", "元", "1234.50"),
        ("１２３４", "万元", "12340000"),
        ("¥1,234.00", "元", "1234.00"),
        ("￥ 12 元", "元", "12"),
        ("人民币12", "元", "12"),
        ("RMB 12.5", "元", "12.5"),
        ("¥200万元", "万元", "2000000"),
        ("200万", "万元", "2000000"),
        ("200万元人民币", "万元", "2000000"),
        ("3亿", "亿元", "300000000"),
        ("5分", "分", "0.05"),
        ("-1,000.10", "元", "-1000.10"),
        ("－５", "元", "-5"),
        (".50", "元", "0.50"),
        ("-0.00", "元", "0.00"),
        ("\u3000 12 ", "元", "12"),
        ("0.123456", "万元", "1234.56"),
        ("0.12345678", "元", "0.12345678"),
        ("999999999999999999", "元", "999999999999999999"),
    ],
)
def test_amounts_come_out_in_yuan_with_their_digits(value: str | int | Decimal, unit: str, yuan: str) -> None:
    assert decimal_text(parse_amount(value, Unit(unit))) == yuan


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-",
        ".",
        "5.",
        "+5",
        "--5",
        "007",
        "1,23",
        "1,2345",
        "0,123",
        ",123",
        "1,234,5",
        "1234,567",
        "1.234,50",
        "1 234",
        "1e5",
        "1e400",
        "NaN",
        "Infinity",
        "²",
        "٣",
        "12美元",
        "$12",
        "USD12",
        "￥12人民币",
        "人民币12元人民币",
        "12元元",
        "锟斤拷",
        "9" * 65,
        "1000000000000000000",
        "0.123456789",
        10**18,
        -(10**18),
        pytest.param(10**5000, id="integer of 5,001 digits"),
        True,
        False,
        1.5,
        None,
        [],
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1e400"),
        Decimal("1e-400"),
        Decimal("0." + "1" * 70),
        Decimal("0.123456789"),
    ],
)
def test_what_is_not_clearly_an_amount_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="what=amount"):
        parse_amount(value, Unit.YUAN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "unit"),
    [("12万元", "元"), ("12元", "万元"), ("12亿", "万元"), ("12万", "亿元"), ("¥200", "万元"), ("12分", "元")],
)
def test_a_written_unit_that_contradicts_the_declared_one_is_refused(text: str, unit: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_amount(text, Unit(unit))
    assert caught.value.details == {"what": "amount", "unit": unit}


@MANY
@given(st.decimals(-(10**9), 10**9, places=4, allow_nan=False), st.sampled_from(Unit))
def test_the_declared_unit_scales_exactly(value: Decimal, unit: Unit) -> None:
    factor = {Unit.FEN: Decimal("0.01"), Unit.YUAN: 1, Unit.WAN: 10**4, Unit.YI: 10**8}[unit]
    assert parse_amount(value, unit) == value * factor
    assert parse_amount(format(value, ",f"), unit) == value * factor


@MANY
@given(st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(-(10**18) + 1, 10**18 - 1, places=8))
def test_every_canonical_text_has_the_form_of_the_schema_and_reads_back_the_same(value: Decimal) -> None:
    try:
        text = decimal_text(value)
    except InvalidValue:
        return
    assert canonical_decimal.validate_python(text) == text
    assert Decimal(text) == value
    assert decimal_text(Decimal(text)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.50", "1.50"), ("-0", "0"), ("1E2", "100"), ("1E-8", "0.00000001"), ("1.2000000000", "1.20000000")],
)
def test_canonical_text_keeps_digits_and_has_no_exponent(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1E18", "1E-9", "1E999999", "0.123456789"])
def test_what_the_canonical_text_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue, match="what=decimal"):
        decimal_text(Decimal(value))


@pytest.mark.parametrize(
    ("value", "form", "share"),
    [
        ("0.07", "fraction", "0.07"),
        (Decimal("0.070"), "fraction", "0.070"),
        (1, "fraction", "1"),
        (7, "percent", "0.07"),
        ("7", "percent", "0.07"),
        ("7%", "percent", "0.07"),
        ("７．５ ％", "percent", "0.075"),
        (Decimal("12.50"), "percent", "0.1250"),
    ],
)
def test_shares_come_out_as_fractions_of_one(value: str | int | Decimal, form: str, share: str) -> None:
    assert decimal_text(parse_ratio(value, RatioForm(form))) == share


@pytest.mark.parametrize("value", ["7%", "", "%", "7‰", "seven", True, 0.07, None, Decimal("NaN")])
def test_a_share_that_contradicts_its_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="what=ratio"):
        parse_ratio(value, RatioForm.FRACTION)  # type: ignore[arg-type]


def test_a_plain_number_keeps_its_digits() -> None:
    assert decimal_text(parse_ratio("8118.68", RatioForm.FRACTION)) == "8118.68"
    with pytest.raises(InvalidValue):
        parse_ratio("8118.68元", RatioForm.FRACTION)


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), ("12", 12), ("1,234", 1234), ("１２", 12), (Decimal("12.0"), 12), ("12.00", 12), (2**53 - 1, 2**53 - 1)],
)
def test_counts_are_whole(value: str | int | Decimal, count: int) -> None:
    assert parse_count(value) == count


@pytest.mark.parametrize(
    "value", [-1, "-1", "12.5", Decimal("0.5"), 2**53, "9" * 20, "9" * 65, "", "many", "12人", True, 1.0, None]
)
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="what=count"):
        parse_count(value)  # type: ignore[arg-type]


@MANY
@given(st.text(max_size=70))
def test_any_text_is_read_or_refused_without_another_error(text: str) -> None:
    for parse in (lambda t: parse_amount(t, Unit.WAN), lambda t: parse_ratio(t, RatioForm.PERCENT), parse_count):
        try:
            value = parse(text)
        except InvalidValue:
            continue
        canonical_decimal.validate_python(decimal_text(Decimal(value)))


@MANY
@given(
    st.one_of(
        st.decimals(min_value=-(10**10), max_value=10**10, places=2, allow_nan=False, allow_infinity=False),
        st.integers(min_value=-(10**12), max_value=10**12),
        st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,4})?", fullmatch=True),
        st.from_regex(r"[0-9]{1,3}(,[0-9]{3}){1,3}(\.[0-9]{1,3})?", fullmatch=True),
        st.sampled_from(
            [
                "1,234.00",
                "21,840.00",
                "1,234,567",
                "１２３４",
                "-0.00",
                "0",
                "0.0",
                "00",
                "1.",
                "",
                "¥3",
                "3万元",
                "1e3",
            ]
        ),
    ),
    st.sampled_from(list(Unit)),
)
def test_the_compiled_reader_of_amounts_says_what_the_parser_says(value: str | int | Decimal, unit: Unit) -> None:
    read = compile_amount(unit)
    try:
        expected = decimal_text(parse_amount(value, unit))
    except InvalidValue:
        with pytest.raises(InvalidValue):
            read(value)
    else:
        assert read(value) == expected


@MANY
@given(
    st.one_of(
        st.decimals(min_value=-(10**10), max_value=10**10, places=3, allow_nan=False, allow_infinity=False),
        st.integers(min_value=-(10**12), max_value=10**12),
        st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,10})?%?", fullmatch=True),
        st.sampled_from(["1,234.00", "０.０７", "-0.00", "0", "0.0", "00", "1.", "", ".5", "7 %", "1e3"]),
    ),
    st.sampled_from(list(RatioForm)),
)
def test_the_compiled_reader_of_shares_says_what_the_parser_says(value: str | int | Decimal, form: RatioForm) -> None:
    read = compile_ratio(form)
    try:
        expected = decimal_text(parse_ratio(value, form))
    except InvalidValue:
        with pytest.raises(InvalidValue):
            read(value)
    else:
        assert read(value) == expected


@pytest.mark.parametrize("value", [True, 1.5, None])
def test_the_compiled_reader_of_amounts_refuses_what_is_no_number(value: object) -> None:
    with pytest.raises(InvalidValue):
        compile_amount(Unit.YUAN)(value)  # type: ignore[arg-type]


LINES = st.lists(
    st.sampled_from(["0", "0.5", "12.50", "1,234", "1,234,567.8", "12,34", "1234567890", "12345678901", "1.234", "-1"])
    | st.from_regex(r"[0-9,.\n]{0,8}", fullmatch=True),
    min_size=1,
    max_size=4,
)


@given(LINES, st.sampled_from(Unit))
def test_many_amounts_are_read_as_each_is_or_not_at_all(values: list[str], unit: Unit) -> None:
    found = compile_amounts(unit)(values)
    if found is not None:
        assert found == [compile_amount(unit)(value) for value in values]


@given(LINES)
def test_many_shares_are_read_as_each_is_or_not_at_all(values: list[str]) -> None:
    found = shares(values)
    if found is not None:
        assert found == [compile_ratio(RatioForm.FRACTION)(value) for value in values]


def test_many_usual_amounts_are_read_at_once() -> None:
    assert compile_amounts(Unit.YUAN)(["1", "1,234.50"]) == ["1", "1234.50"]
    assert compile_amounts(Unit.YI)(["0.05", "12"]) == ["5000000.00", "1200000000"]
    assert compile_amounts(Unit.FEN)(["1"]) is None
    assert compile_amounts(Unit.WAN)(["1\n2", "3"]) is None
    assert compile_amounts(Unit.YUAN)(["0."]) is None
    assert shares(["0."]) is None
    assert shares(["0.07", "1"]) == ["0.07", "1"]
    with pytest.raises(TypeError):
        shares(["0.07", 1])  # type: ignore[list-item]
