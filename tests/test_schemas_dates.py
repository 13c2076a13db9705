"""Every named form of date, in and out, and all the ways in which a date can be wrong."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dates import (
    compile_day,
    compile_month,
    compile_year,
    format_date,
    month_add,
    month_end,
    month_range,
    month_text,
)
from schemas.errors import InvalidValue

MANY = settings(max_examples=80, deadline=None)
DAY_FORMS = [
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "yyyyMMdd",
    "yyyyMMddHHmmss",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy年M月d日",
    "epoch-ms",
    "epoch-s",
    "rfc3339",
]
MONTH_FORMS = ["yyyy-MM", "yyyyMM", "yyyy年M月"]


@pytest.mark.parametrize(
    ("form", "value", "day"),
    [
        # Values of real replies.
        ("epoch-ms", 946483200000, "1999-12-30"),
        ("epoch-ms", 1574647496000, "2019-11-25"),
        ("yyyy-MM-dd HH:mm:ss", "2003-12-24 00:00:00.000000000", "2003-12-24"),
        ("yyyy-MM-dd HH:mm:ss", "2014-05-31 00:00:00", "2014-05-31"),
        ("yyyyMMdd", "20171023", "2017-10-23"),
        ("yyyyMMddHHmmss", "20180608195653", "2018-06-08"),
        ("yyyy年M月d日", "2019年07月13日", "2019-07-13"),
        ("yyyy年M月d日", "2019年7月3日", "2019-07-03"),
        ("yyyy/MM/dd", "2024/02/29", "2024-02-29"),
        ("yyyyMMdd", 20171023, "2017-10-23"),
        ("epoch-ms", "946483200000", "1999-12-30"),
        ("epoch-s", 946483200, "1999-12-30"),
        ("epoch-ms", -28800000, "1970-01-01"),
        ("epoch-ms", -315648000000, "1960-01-01"),
        ("rfc3339", "2026-11-23T16:00:00Z", "2026-11-24"),
        ("rfc3339", "2026-11-23T15:59:59.999999999Z", "2026-11-23"),
        ("rfc3339", "2026-11-24T00:00:00+08:00", "2026-11-24"),
        ("yyyy-MM-dd", " 2026-11-24 ", "2026-11-24"),
    ],
)
def test_days_of_each_form(form: str, value: object, day: str) -> None:
    assert compile_day([form])(value) == day


def test_an_instant_in_the_summers_of_daylight_saving_is_read_with_it() -> None:
    """Midnight of 1 July 1988 in Shanghai was 15:00 UTC."""
    assert compile_day(["epoch-s"])(583686000) == "1988-07-01"
    assert format_date(date(1988, 7, 1), "epoch-s") == "583686000"


@pytest.mark.parametrize("form", DAY_FORMS)
@pytest.mark.parametrize(
    "value", [None, "", "  ", "9999-12-31", "99991231", 99991231, "99999999", "99999999999999", 99999999999999]
)
def test_an_open_end_is_none_in_every_form(form: str, value: object) -> None:
    assert compile_day([form])(value) is None


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("yyyy-MM-dd HH:mm:ss", "9999-12-31 00:00:00"),
        ("yyyy-MM-dd HH:mm:ss", "9999-12-31 23:59:59.0"),
        ("yyyyMMddHHmmss", "99991231235959"),
        ("yyyy年M月d日", "9999年12月31日"),
        ("yyyy/MM/dd", "9999/12/31"),
        ("epoch-ms", 253402185600000),
    ],
)
def test_the_last_day_of_9999_is_an_open_end_in_its_own_form(form: str, value: object) -> None:
    assert compile_day([form])(value) is None


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("yyyy-MM-dd", "2023-02-30"),
        ("yyyy-MM-dd", "2023-02-29"),
        ("yyyy-MM-dd", "2023-13-01"),
        ("yyyy-MM-dd", "2023-00-10"),
        ("yyyy-MM-dd", "2023-2-3"),
        ("yyyy-MM-dd", "20230203"),
        ("yyyy-MM-dd", "2023-02-03 00:00:00"),
        ("yyyy-MM-dd", "２０２３-02-03"),
        ("yyyy-MM-dd", "0001-01-01"),
        ("yyyy-MM-dd", "1899-12-31"),
        ("yyyy-MM-dd", "3000-01-01"),
        ("yyyy-MM-dd", "9999-12-30"),
        ("yyyy-MM-dd", 20230203),
        ("yyyyMMdd", "20230230"),
        ("yyyyMMdd", "00000000"),
        ("yyyyMMdd", 20230230),
        ("yyyyMMdd", True),
        ("yyyyMMdd", 20230203.0),
        ("yyyyMMdd", ["20230203"]),
        pytest.param("yyyyMMdd", 10**5000, id="integer of 5,001 digits"),
        ("yyyyMMddHHmmss", "20230203240000"),
        ("yyyyMMddHHmmss", "20230203006000"),
        ("yyyy-MM-dd HH:mm:ss", "2023-02-03 00:00:60"),
        ("yyyy-MM-dd HH:mm:ss", "2023-02-03T00:00:00"),
        ("yyyy-MM-dd HH:mm:ss", "2023-02-03 00:00:00." + "0" * 30),
        ("yyyy年M月d日", "二〇二三年二月三日"),
        ("yyyy年M月d日", "2023年2月30日"),
        ("epoch-ms", "2023-02-03"),
        ("epoch-ms", 999999999999999),
        # Seconds where milliseconds are declared, and the stand-in for «unknown».
        ("epoch-ms", 1574647496),
        ("epoch-ms", "946483200"),
        ("epoch-ms", -315648000),
        ("epoch-ms", 0),
        ("epoch-ms", -999999999999999),
        ("epoch-ms", True),
        ("epoch-s", -99999999999),
        ("rfc3339", "2026-11-24T00:00:00"),
        ("rfc3339", "2026-11-24T00:00:00+25:00"),
        ("rfc3339", "2026-02-30T00:00:00Z"),
    ],
)
def test_what_is_no_day_of_the_declared_form_is_refused(form: str, value: object) -> None:
    with pytest.raises(InvalidValue, match=r"^invalid_value what=date$"):
        compile_day([form])(value)


def test_a_field_may_declare_several_forms() -> None:
    read = compile_day(["yyyy-MM-dd", "yyyyMMdd", "yyyy年M月d日"])
    assert {read("2026-11-24"), read("20261124"), read("2026年11月24日")} == {"2026-11-24"}


@pytest.mark.parametrize(
    "forms",
    [[], ["dd/MM/yyyy"], ["yyyy-MM"], ["yyyy"], ["epoch-ms", "epoch-s"], ["epoch-s", "yyyyMMdd"]],
)
def test_forms_that_are_unknown_or_hold_no_day_or_cannot_be_told_apart_do_not_compile(forms: list[str]) -> None:
    with pytest.raises(InvalidValue, match="what=date form"):
        compile_day(forms)


@pytest.mark.parametrize(
    ("form", "value", "month"),
    [
        ("yyyy年M月", "2009年2月", "2009-02"),
        ("yyyy年M月", "2009年02月", "2009-02"),
        ("yyyy-MM", "2016-10", "2016-10"),
        ("yyyyMM", "202609", "2026-09"),
        ("yyyyMM", 202609, "2026-09"),
        ("yyyy-MM-dd", "2026-09-30", "2026-09"),
        ("epoch-ms", 946483200000, "1999-12"),
        ("yyyyMM", "999912", None),
        ("yyyyMM", "", None),
    ],
)
def test_months_of_each_form(form: str, value: object, month: str | None) -> None:
    assert compile_month([form])(value) == month


@pytest.mark.parametrize(
    ("form", "value"),
    [("yyyyMM", "202613"), ("yyyyMM", "202600"), ("yyyy-MM", "2026-9"), ("yyyyMM", False), ("yyyyMM", "999911")],
)
def test_what_is_no_month_is_refused(form: str, value: object) -> None:
    with pytest.raises(InvalidValue, match="what=month"):
        compile_month([form])(value)


def test_years_come_from_every_form() -> None:
    assert compile_year(["yyyy"])("2025") == 2025
    assert compile_year(["yyyy"])(2025) == 2025
    assert compile_year(["yyyy-MM-dd"])("2025-12-31") == 2025
    assert compile_year(["yyyy"])("9999") is None
    assert compile_year(["yyyy"])(None) is None
    with pytest.raises(InvalidValue, match="what=year"):
        compile_year(["yyyy"])("25")


@pytest.mark.parametrize("form", DAY_FORMS)
@MANY
@given(day=st.dates(date(1930, 1, 1), date(2999, 12, 31)))
def test_a_day_written_in_a_form_is_read_back_from_it(form: str, day: date) -> None:
    assert compile_day([form])(format_date(day, form)) == day.isoformat()


@pytest.mark.parametrize("form", MONTH_FORMS)
@MANY
@given(day=st.dates(date(1900, 1, 1), date(2999, 12, 31)))
def test_a_month_written_in_a_form_is_read_back_from_it(form: str, day: date) -> None:
    assert compile_month([form])(format_date(day, form)) == day.isoformat()[:7]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yyyyMM", "202602"),
        ("yyyy年M月d日", "2026年2月3日"),
        ("yyyy-MM-dd HH:mm:ss", "2026-02-03 00:00:00"),
        ("rfc3339", "2026-02-03T00:00:00+08:00"),
        ("epoch-ms", "1770048000000"),
        ("yyyy", "2026"),
    ],
)
def test_requests_write_dates_in_the_named_form(form: str, text: str) -> None:
    assert format_date(date(2026, 2, 3), form) == text


def test_an_unknown_form_is_not_written() -> None:
    with pytest.raises(InvalidValue, match="what=date form"):
        format_date(date(2026, 2, 3), "MM/yyyy")


@MANY
@given(st.text(max_size=45) | st.integers() | st.floats() | st.none() | st.booleans())
def test_any_value_is_read_or_refused_without_another_error(value: object) -> None:
    for form in DAY_FORMS:
        try:
            day = compile_day([form])(value)
        except InvalidValue:
            continue
        assert day is None or date.fromisoformat(day).isoformat() == day


def test_months_are_counted_over_the_turn_of_the_year() -> None:
    assert month_add((2026, 11), 2) == (2027, 1)
    assert month_add((2026, 1), -1) == (2025, 12)
    assert month_add((2026, 12), 0) == (2026, 12)
    assert month_range((2025, 11), (2026, 2)) == [(2025, 11), (2025, 12), (2026, 1), (2026, 2)]
    assert month_range((2026, 2), (2026, 2)) == [(2026, 2)]
    assert month_range((2026, 2), (2026, 1)) == []
    assert month_text((2026, 9)) == "2026-09"
    assert (month_end((2024, 2)), month_end((2026, 12))) == (date(2024, 2, 29), date(2026, 12, 31))


@MANY
@given(st.tuples(st.integers(1900, 2999), st.integers(1, 12)), st.integers(-600, 600))
def test_going_forth_and_back_ends_at_the_same_month(month: tuple[int, int], n: int) -> None:
    assert month_add(month_add(month, n), -n) == month
    assert len(month_range(month, month_add(month, abs(n)))) == abs(n) + 1
