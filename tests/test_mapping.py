"""connectors.mapping: one row of a dialect to one canonical record."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from connectors.base import Row
from connectors.columns import Field, read_columns
from connectors.decoding import MISSING
from connectors.engine.rules import compile_path
from connectors.mapping import SKIP, Notes, RowMap, converter, last_day, overlaps, read_fields, within
from schemas.errors import InvalidValue, SchemaDrift
from schemas.manifest import ConstSpec, ReadSpec, Spec

SPECS: TypeAdapter[Spec] = TypeAdapter(Spec)
REQUIRED = frozenset({"month"})


def spec(**keys: Any) -> ReadSpec:
    made = SPECS.validate_python({"from": "x", **keys}, strict=True)
    assert not isinstance(made, ConstSpec)
    return made


def convert(value: Any, longest: int = 20, **keys: Any) -> Any:
    return converter("f", spec(**keys), longest).read(value, Notes())


@pytest.mark.parametrize(
    ("keys", "value", "canonical"),
    [
        ({"type": "text"}, " 虚构\u3000", "虚构"),
        ({"type": "uscc"}, "91990000MA0000015Q", "91990000MA0000015Q"),
        ({"type": "names"}, "甲; 乙；丙", ["甲", "乙", "丙"]),
        ({"type": "names"}, ["甲 ", ""], ["甲"]),
        ({"type": "names"}, [], None),
        ({"type": "names", "separators": "/"}, "甲/乙;丙", ["甲", "乙;丙"]),
        ({"type": "money", "unit": "万元"}, Decimal("219857.506700"), "2198575067.00"),
        ({"type": "money", "unit": "万元"}, "200.0", "2000000.0"),
        ({"type": "money", "unit": "元"}, "1,234.50", "1234.50"),
        ({"type": "money", "unit": "亿元"}, "0.0300", "3000000.00"),
        ({"type": "money", "unit": "元"}, "１２００００．００", "120000.00"),
        ({"type": "decimal"}, "8118.68", "8118.68"),
        ({"type": "ratio", "form": "percent"}, "20%", "0.20"),
        ({"type": "ratio", "form": "fraction"}, "0.07", "0.07"),
        ({"type": "count"}, "30", 30),
        ({"type": "day", "forms": ["epoch-ms"]}, 946483200000, "1999-12-30"),
        ({"type": "day", "forms": ["yyyy-MM-dd"]}, "9999-12-31", None),
        ({"type": "month", "forms": ["yyyy年M月"]}, "2009年2月", "2009-02"),
        ({"type": "year"}, "2025", 2025),
        ({"type": "year"}, 2025, 2025),
        ({"type": "code", "table": {"110": "pension"}}, "110", "pension"),
        ({"type": "code", "table": {"110": "pension"}}, 110, "pension"),
        ({"type": "code", "table": {"吊销,未注销": "x"}}, "吊销，未注销", "x"),
        ({"type": "code", "table": {"1": "a", "*": "other"}}, "9", "other"),
        ({"type": "code", "table": {"1": "a"}, "else": "keep"}, "9 ", "9"),
        ({"type": "code", "table": {"1": "a"}, "else": "skip"}, "9", SKIP),
        ({"type": "flag", "true": ["1"], "false": ["0"]}, "1", True),
        ({"type": "flag", "true": ["1"], "false": ["0"]}, "1 ", True),
        ({"type": "flag", "true": [1], "false": [0]}, 0, False),
    ],
)
def test_a_value_becomes_its_canonical_form(keys: dict[str, Any], value: Any, canonical: Any) -> None:
    assert convert(value, **keys) == canonical


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"type": "text"}, 7),
        ({"type": "text"}, "x" * 21),
        ({"type": "uscc"}, 7),
        ({"type": "uscc"}, "91990000MA00000159"),
        ({"type": "uscc"}, "340000000016368"),
        ({"type": "names"}, 7),
        ({"type": "names"}, [7]),
        ({"type": "names"}, "x" * 21),
        ({"type": "money", "unit": "元"}, True),
        ({"type": "money", "unit": "元"}, [1]),
        ({"type": "money", "unit": "元"}, "12.5万元"),
        ({"type": "money", "unit": "元"}, "1,23"),
        ({"type": "count"}, "-1"),
        ({"type": "count"}, Decimal("12.5")),
        ({"type": "ratio", "form": "fraction"}, "7%"),
        ({"type": "day", "forms": ["yyyyMMdd"]}, "20230230"),
        ({"type": "day", "forms": ["yyyy-MM-dd"]}, "2023-02-30"),
        ({"type": "day", "forms": ["yyyy-MM-dd"]}, True),
        ({"type": "month", "forms": ["yyyyMM"]}, "202613"),
        ({"type": "year"}, "二〇二三"),
        ({"type": "code", "table": {"1": "a"}}, "2"),
        ({"type": "code", "table": {"1": "a"}}, True),
        ({"type": "code", "table": {"1": "a"}}, ["1"]),
        ({"type": "flag", "true": ["1"], "false": ["0"]}, 1),
        ({"type": "flag", "true": [1], "false": [0]}, True),
    ],
)
def test_another_form_than_declared_is_refused(keys: dict[str, Any], value: Any) -> None:
    with pytest.raises(InvalidValue):
        convert(value, **keys)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
EVERY = [
    spec(type="text"),
    spec(type="uscc"),
    spec(type="names"),
    spec(type="money", unit="万元"),
    spec(type="decimal"),
    spec(type="ratio", form="percent"),
    spec(type="count"),
    spec(type="day", forms=["yyyyMMdd", "yyyy-MM-dd"]),
    spec(type="month", forms=["yyyyMM"]),
    spec(type="year"),
    spec(type="code", table={"1": "a"}),
    spec(type="flag", true=["1"], false=["0"]),
]


@given(value=json_values, which=st.integers(0, len(EVERY) - 1))
def test_no_value_of_a_platform_brings_anything_but_a_canonical_form_or_invalid_value(value: Any, which: int) -> None:
    try:
        found = converter("f", EVERY[which], 20).read(value, Notes())
    except InvalidValue:
        return
    assert found is None or isinstance(found, str | int | list)


PLAIN = st.one_of(
    json_values,
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.sampled_from(
        ["", " ", "1", "0", "1 ", "12.50", "1,234.50", "-3", "0.07", "20%", "甲", " 甲 ", "甲;乙", "202610"]
    ),
    st.sampled_from(
        ["20261001", "2026-10-01", "9999-12-31", "91990000MA0000015Q", "91990000ma0000015q", 2026, 1, True]
    ),
)


FIELDS = [
    (f"f{n}", f"k{n}" if n % 2 else f"deep.k{n}", None if n % 2 else compile_path(f"deep.k{n}"))
    for n in range(len(EVERY))
]


@given(data=st.data(), which=st.integers(0, len(EVERY) - 1), needed=st.booleans())
def test_a_column_is_what_the_field_by_field_reader_makes_of_its_rows(
    data: st.DataObject, which: int, needed: bool
) -> None:
    """And whatever it gives up is read, or refused with its path, by that reader."""
    one, other = [
        Field(*FIELDS[n], *converter(f"f{n}", EVERY[n], 20), n == which and needed)
        for n in (which, (which + 1) % len(EVERY))
    ]
    rows = []
    for _ in range(data.draw(st.integers(1, 4))):
        deep: dict[str, Any] = {}
        row: dict[str, Any] = {"deep": deep}
        for field in (one, other):
            if data.draw(st.integers(0, 9)):
                (row if field.get is None else deep)[field.key.removeprefix("deep.")] = data.draw(PLAIN)
        rows.append(row)
    before, after = Notes(), Notes()
    found = read_columns([one, other], rows, after, MISSING, SKIP)
    if found is not None:
        assert found == [read_fields([one, other], row, {}, "rows", before) for row in rows]
        assert sorted(after.repairs) == sorted(before.repairs)
        assert after.drift == before.drift == {}


@pytest.mark.parametrize(
    ("keys", "values", "canonical"),
    [
        ({"type": "text"}, [" 虚构 ", "某"], ["虚构", "某"]),
        ({"type": "money", "unit": "元"}, ["12.50", "21,840.00"], ["12.50", "21840.00"]),
        ({"type": "money", "unit": "万元"}, ["0.50", "1,234", "0"], ["5000.00", "12340000", "0"]),
        ({"type": "decimal"}, ["820.50", "0"], ["820.50", "0"]),
        ({"type": "count"}, [3, 0], [3, 0]),
        ({"type": "count"}, ["3", "0"], [3, 0]),
        ({"type": "day", "forms": ["yyyyMMdd"]}, ["20261001", "99991231"], ["2026-10-01", None]),
        ({"type": "code", "table": {"1": "a", "2": "b"}}, ["1", "2"], ["a", "b"]),
        ({"type": "flag", "true": ["1"], "false": ["0"]}, ["0", "1"], [False, True]),
    ],
)
def test_a_usual_column_is_read_in_one_step(keys: Any, values: Any, canonical: Any) -> None:
    assert converter("f", spec(**keys), 20).column(values) == canonical


@pytest.mark.parametrize("values", [["3", 4], [1, True], [1, -1], ["-1", "1"], ["007", "1"], ["３", "1"], [2**53, 1]])
def test_an_unusual_column_of_counts_is_left_to_the_reader_of_values(values: Any) -> None:
    assert converter("f", spec(type="count"), 20).column(values) is None


def test_what_names_hold_is_never_run() -> None:
    field = Field("f'): 1}; raise SystemExit #\n{", "x", None, *converter("f", spec(type="text"), 20), False)
    assert read_columns([field], [{"x": "虚构"}], Notes(), MISSING, SKIP) == [{field.name: "虚构"}]


def row_map(fields: set[str], **more: Any) -> RowMap:
    specs: dict[str, Spec] = {
        "month": spec(**{"from": "ny"}, type="month", forms=["yyyyMM"]),
        "persons": spec(**{"from": "deep.rs"}, type="count"),
        "state": spec(**{"from": "zt"}, type="code", table={"1": "paying"}, **{"else": "skip"}),
        "kind": SPECS.validate_python({"type": "const", "value": "fund"}),
        "owner": SPECS.validate_python({"type": "text", "head": "head.name"}),
    }
    made = {name: converter(name, s, 200) for name, s in specs.items() if not isinstance(s, ConstSpec)}
    known = frozenset({"ny", "deep", "zt", "skip_me"})
    required = more.pop("required", REQUIRED)
    hidden = frozenset(more.pop("hidden", ()))
    return RowMap("data.list", specs, made, required, frozenset(fields), hidden, known)


ALL = {"month", "persons", "state", "kind", "owner"}
TREE = {"head": {"name": "虚构"}}
ROW = {"ny": "202610", "deep": {"rs": 3}, "zt": "1", "skip_me": 1}


def read(fields: set[str], row: Any, tree: Any = TREE, **more: Any) -> tuple[Any, Notes]:
    """The record of the row, the same alone and as one of two, or None."""
    notes = Notes()
    made = row_map(fields, **more)
    head = made.head(tree, notes)
    assert head is not None
    alone = made.records([row], head, notes)
    assert made.records([row, row], head, Notes()) == alone * 2
    return (alone[0] if alone else None), notes


def test_a_row_becomes_a_record_of_the_fields_consented_and_no_other() -> None:
    whole, notes = read(ALL, ROW)
    assert whole == {"month": "2026-10", "persons": 3, "state": "paying", "kind": "fund", "owner": "虚构"}
    assert notes == Notes()
    for name in ALL:
        part, _ = read({name}, ROW, required=frozenset())
        assert part == {name: whole[name]}


def test_constants_alone_make_records_too() -> None:
    record, _ = read({"kind"}, ROW, required=frozenset())
    assert record == {"kind": "fund"}


def test_a_row_without_a_value_has_no_such_field_beside_rows_that_do() -> None:
    made = row_map({"month", "persons"})
    rows = [ROW, {"ny": "202611"}, {"ny": "202612", "deep": {"rs": " "}}]
    assert made.records(rows, {}, Notes()) == [
        {"month": "2026-10", "persons": 3},
        {"month": "2026-11"},
        {"month": "2026-12"},
    ]


def test_one_unusual_row_among_others_is_found_by_its_path_or_left_out() -> None:
    made = row_map({"month", "state"}, required=frozenset({"state"}))
    notes = Notes()
    assert len(made.records([ROW, {**ROW, "zt": "9"}, ROW], {}, notes)) == 2
    assert notes.drift == {"data.list.zt": 1}
    with pytest.raises(SchemaDrift) as caught:
        made.records([ROW, {**ROW, "ny": "?"}], {}, Notes())
    assert caught.value.details == {"at": "data.list.ny", "expected": "month"}


def test_a_field_that_is_not_consented_is_not_even_looked_at() -> None:
    record, _ = read({"month"}, {"ny": "202610", "deep": "not an object", "zt": ["?"]}, {"head": 7})
    assert record == {"month": "2026-10"}


@pytest.mark.parametrize("blank", [None, "", "  ", "\u3000"])
def test_blank_is_absent_and_absent_where_required_is_drift(blank: Any) -> None:
    record, _ = read({"month", "persons"}, {"ny": "202610", "deep": {"rs": blank}})
    assert record == {"month": "2026-10"}
    with pytest.raises(SchemaDrift) as caught:
        read({"month"}, {"ny": blank})
    assert caught.value.details == {"at": "data.list.ny"}


def test_an_open_end_in_a_required_field_is_drift() -> None:
    with pytest.raises(SchemaDrift):
        read({"month"}, {"ny": "999912"})


def test_drift_names_the_path_and_never_the_value() -> None:
    with pytest.raises(SchemaDrift) as caught:
        read(ALL, {**ROW, "deep": {"rs": "张三"}})
    assert caught.value.details == {"at": "data.list.deep.rs", "expected": "count"}
    assert "张三" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(SchemaDrift) as caught:
        read(ALL, ROW, {"head": {"name": 7}})
    assert caught.value.details["at"] == "head.name"


@pytest.mark.parametrize("row", [None, "text", 7, ["ny"]])
def test_a_row_that_is_no_object_is_drift(row: Any) -> None:
    with pytest.raises(SchemaDrift):
        read({"month"}, row)


def test_unknown_fields_are_kept_out_and_counted_by_path() -> None:
    notes = Notes()
    made = row_map({"month"})
    head = made.head(TREE, notes)
    assert head is not None
    row = {**ROW, "new": "x", "130 1234 5678": 1}
    assert made.records([row, row], head, notes) == [{"month": "2026-10"}] * 2
    assert notes.drift == {"data.list.new": 2, "data.list.*": 2}


def test_an_unlisted_code_leaves_the_value_out_and_the_row_too_where_it_is_required() -> None:
    record, notes = read({"month", "state"}, {**ROW, "zt": "9"})
    assert record == {"month": "2026-10"}
    assert notes.drift == {"data.list.zt": 1}
    record, notes = read({"month", "state"}, {**ROW, "zt": "9"}, required=frozenset({"state"}))
    assert record is None
    assert notes.drift == {"data.list.zt": 1}


def test_what_only_places_the_row_in_time_is_taken_off_again() -> None:
    made = row_map({"persons"}, hidden={"month"})
    record, _ = read({"persons"}, ROW, hidden={"month"})
    assert record == {"persons": 3, "month": "2026-10"}
    made.uncover([record])
    assert record == {"persons": 3}


def test_repairs_are_said_once() -> None:
    notes = Notes()
    mend = converter("debtor_uscc", spec(type="uscc"), 200)
    for _ in range(2):
        assert mend.read("91990000MA0000015Q ", notes) == "91990000MA0000015Q"
    assert notes.repairs == ["debtor_uscc: trailing blank"]


@pytest.mark.parametrize(
    ("record", "months"),
    [
        ({"a": "2026-10", "b": "2026-10"}, {(2026, 10)}),
        ({"a": "2026-10-05", "b": "2026-10-31"}, {(2026, 10)}),
        ({"a": "2026-08-31", "b": "2026-10-01"}, {(2026, 8), (2026, 9), (2026, 10)}),
        ({"a": "2026-10-01"}, {(2026, 10), (2026, 11), (2026, 12), (2027, 1)}),
        ({"b": "2026-08-01"}, {(2026, 7), (2026, 8)}),
        ({}, {(2026, 7), (2026, 8), (2026, 9), (2026, 10), (2026, 11), (2026, 12), (2027, 1)}),
        ({"a": 2026, "b": 2026}, {(2026, 7), (2026, 8), (2026, 9), (2026, 10), (2026, 11), (2026, 12)}),
        ({"a": 2025, "b": 2025}, set()),
    ],
)
def test_a_record_is_placed_by_its_months_days_or_years(record: Row, months: set[tuple[int, int]]) -> None:
    window = [(2026, month) for month in range(7, 13)] + [(2027, 1)]
    assert {m for m in window if overlaps(("a", "b"), m, m)(record)} == months


@given(
    a=st.tuples(st.integers(2000, 2030), st.integers(1, 12)),
    b=st.tuples(st.integers(2000, 2030), st.integers(1, 12)),
    month=st.tuples(st.integers(2000, 2030), st.integers(1, 12)),
)
def test_a_month_is_inside_when_it_is_not_before_the_first_nor_after_the_last(
    a: tuple[int, int], b: tuple[int, int], month: tuple[int, int]
) -> None:
    first, last = sorted((a, b))
    text = f"{month[0]}-{month[1]:02}"
    assert overlaps(("m", "m"), first, last)({"m": text}) is (first <= month <= last)


@given(
    st.lists(st.fixed_dictionaries({}, optional={k: st.sampled_from(["2026-09", "2026-10", "2026-11"]) for k in "ab"}))
)
def test_all_records_are_placed_as_each_is(records: list[Row]) -> None:
    first, last = (2026, 9), (2026, 10)
    asked = overlaps(("a", "b"), first, last)
    assert within(records, ("a", "b"), first, last) == [record for record in records if asked(record)]


def test_the_last_day_of_a_day_a_month_and_a_year() -> None:
    assert last_day("2024-02") == date(2024, 2, 29)
    assert last_day("2024-02-03") == date(2024, 2, 3)
    assert last_day(2024) == date(2024, 12, 31)
    assert last_day(None) is None
