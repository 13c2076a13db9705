"""The size standard's table, written out a second time as the standard prints it, at every boundary."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.size import Size, enterprise_size

# Codes of the row; measures; lower bounds of large, medium, small. X staff, Y revenue, Z assets in 万元.
TABLE = [
    (["01", "0511"], "Y", [(20000,), (500,), (50,)]),
    (["0610", "13", "4690"], "XY", [(1000, 40000), (300, 2000), (20, 300)]),
    (["47", "5090"], "YZ", [(80000, 80000), (6000, 5000), (300, 300)]),
    (["51"], "XY", [(200, 40000), (20, 5000), (5, 1000)]),
    (["52"], "XY", [(300, 20000), (50, 500), (10, 100)]),
    (["54", "5810"], "XY", [(1000, 30000), (300, 3000), (20, 200)]),
    (["59"], "XY", [(200, 30000), (100, 1000), (20, 100)]),
    (["60"], "XY", [(1000, 30000), (300, 2000), (20, 100)]),
    (["61", "6210"], "XY", [(300, 10000), (100, 2000), (10, 100)]),
    (["63", "6410"], "XY", [(2000, 100000), (100, 1000), (10, 100)]),
    (["65", "6513"], "XY", [(300, 10000), (100, 1000), (10, 50)]),
    (["7010"], "YZ", [(200000, 10000), (1000, 5000), (100, 2000)]),
    (["702", "7020"], "XY", [(1000, 5000), (300, 1000), (100, 500)]),
    (["71", "7299"], "XZ", [(300, 120000), (100, 8000), (10, 100)]),
    (["73", "7990", "8090", "82", "85", "90", "703", "7090"], "X", [(300,), (100,), (10,)]),
]
GRADES = [Size.LARGE, Size.MEDIUM, Size.SMALL, Size.MICRO]
CASES = [(code, measures, bounds) for codes, measures, bounds in TABLE for code in codes]


def size(code: str, measures: str, values: tuple[int | Decimal | None, ...]) -> Size | None:
    given_ = dict(zip(measures, values, strict=True))
    staff, revenue, assets = (given_.get(m) for m in "XYZ")
    return enterprise_size(
        code,
        None if staff is None else int(staff),
        None if revenue is None else Decimal(revenue),
        None if assets is None else Decimal(assets),
    )


@pytest.mark.parametrize(("code", "measures", "bounds"), CASES)
def test_a_size_begins_exactly_at_its_lower_bounds(code: str, measures: str, bounds: list[tuple[int, ...]]) -> None:
    for grade, lower in enumerate(bounds):
        assert size(code, measures, lower) is GRADES[grade]
        for place in range(len(lower)):
            step = 1 if measures[place] == "X" else Decimal("0.01")
            short = tuple(v - step if i == place else v for i, v in enumerate(lower))
            assert size(code, measures, short) in GRADES[grade + 1 :]


@pytest.mark.parametrize(("code", "measures", "bounds"), CASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_size_is_the_greatest_whose_bounds_are_all_met(
    code: str, measures: str, bounds: list[tuple[int, ...]], data: st.DataObject
) -> None:
    values = tuple(data.draw(st.integers(0, 250000)) for _ in measures)
    met = [all(v >= b for v, b in zip(values, lower, strict=True)) for lower in bounds]
    assert size(code, measures, values) is (GRADES[met.index(True)] if any(met) else Size.MICRO)


@pytest.mark.parametrize(("code", "measures", "bounds"), CASES)
def test_an_unknown_input_that_the_row_needs_leaves_the_size_unknown(
    code: str, measures: str, bounds: list[tuple[int, ...]]
) -> None:
    for place in range(len(measures)):
        values = tuple(None if i == place else v for i, v in enumerate(bounds[0]))
        assert size(code, measures, values) is None


def test_one_measure_below_takes_the_size_down_as_far_as_that_measure_says() -> None:
    assert enterprise_size("13", 5000, Decimal(299), None) is Size.MICRO
    assert enterprise_size("13", 299, Decimal(50000), None) is Size.SMALL


@pytest.mark.parametrize(
    "code", ["53", "66", "70", "704", "83", "84", "91", "97", "00", "", "1", "C13", "13111", "１３"]
)
def test_industries_outside_the_standard_have_no_size(code: str) -> None:
    assert enterprise_size(code, 10**6, Decimal(10**9), Decimal(10**9)) is None
