"""Invented enterprises: valid codes, invertible, and no mistaking them for a real firm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox.identity import (
    CAPACITY,
    name_of,
    number_of,
    other_firm,
    person,
    registration_number_of,
    uscc_of,
)
from schemas.identifiers import parse_registration_number, parse_uscc

numbers = st.integers(0, CAPACITY - 1)


@settings(max_examples=200)
@given(numbers)
def test_every_code_holds_both_check_characters_and_gives_its_number_back(n: int) -> None:
    code = uscc_of(n)
    reading = parse_uscc(code)
    assert (reading.value, reading.repairs, reading.warnings) == (code, (), ())
    assert number_of(code) == n


@settings(max_examples=100)
@given(numbers, st.integers(0, 17), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_a_changed_code_is_never_taken_for_the_same_enterprise(n: int, place: int, character: str) -> None:
    code = uscc_of(n)
    changed = code[:place] + character + code[place + 1 :]
    assert number_of(changed) == n if changed == code else number_of(changed) is None


@pytest.mark.parametrize("text", ["", "91340000711771143J", "空", "91990000XQ00000D1", "91990000XQ0000*D1G", "x" * 18])
def test_what_no_enterprise_of_ours_has_gives_no_number(text: str) -> None:
    assert number_of(text) is None


@settings(max_examples=100)
@given(numbers)
def test_no_invented_firm_has_a_region_of_the_real_world(n: int) -> None:
    # GB/T 2260 assigns the province codes 11 to 82 (and none from 83 on).
    for code in (uscc_of(n), other_firm(n)[1]):
        assert int(code[2:4]) > 82
    assert int(registration_number_of(n)[:2]) > 82


@settings(max_examples=100)
@given(numbers)
def test_other_firms_are_valid_and_outside_the_population(n: int) -> None:
    name, code = other_firm(n)
    assert parse_uscc(code).warnings == ()
    assert number_of(code) is None
    assert name.startswith("虚构")
    assert "（沙箱）" in name


@settings(max_examples=100)
@given(numbers)
def test_names_say_that_they_are_invented_and_registration_numbers_check(n: int) -> None:
    name = name_of(n, "软件")
    assert name.startswith("虚构")
    assert "（沙箱）" in name
    assert parse_registration_number(registration_number_of(n)).repairs == ()


def test_two_enterprises_never_share_a_name() -> None:
    assert len({name_of(n, "软件") for n in range(3000)}) == 3000


@given(st.integers(0, 10_000))
def test_persons_are_masked(k: int) -> None:
    assert person(k).rstrip("*") != person(k)
    assert len(person(k).rstrip("*")) == 1
