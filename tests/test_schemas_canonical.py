"""Canonical JSON against an independent implementation of RFC 8785, and what it refuses."""

from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical
from schemas.errors import InvalidValue
from schemas.identifiers import NameMatch

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = st.text(st.characters(max_codepoint=127), max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=12)


@settings(max_examples=200, deadline=None)
@given(trees)
def test_the_bytes_are_those_of_rfc_8785(tree: Any) -> None:
    assert canonical(tree) == rfc8785.dumps(tree)


def test_control_characters_quotes_and_chinese_are_written_as_rfc_8785_writes_them() -> None:
    tree = {"b": '\x00\b\t\n\f\r\x1f"\\/\x7f\u2028 信桥 𠮷', "a": (1, -1, True, None), "A": {}, "": []}
    assert canonical(tree) == rfc8785.dumps(tree)


def test_tuples_and_names_of_enumerations_are_lists_and_text() -> None:
    assert (
        canonical({"match": NameMatch.SAME, "pair": ("a", NameMatch.FORMER)})
        == b'{"match":"same","pair":["a","former"]}'
    )


def test_the_order_of_keys_does_not_matter() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == canonical({"a": {"c": 3, "d": 2}, "b": 1})


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        10**30,
        Decimal(1),
        b"bytes",
        {1, 2},
        object(),
        "\ud800",
        {"公": 1},
        {"\ud800": 1},
        {1: "a"},
        {None: "a"},
    ],
)
def test_what_is_outside_the_restriction_is_refused_at_any_depth(value: Any) -> None:
    for tree in (value, [value], {"a": {"b": ["c", (value,)]}}):
        with pytest.raises(InvalidValue, match="what=canonical_json"):
            canonical(tree)


def test_a_tree_without_end_is_refused() -> None:
    with pytest.raises(InvalidValue, match="what=canonical_json"):
        canonical(CYCLE)
