"""The canonical form of log entries, held against rfc8785 and orjson."""

import json

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.log.entry import MAX_DEPTH, MAX_ENTRY, EntryError, all_canonical, check_entry

BAD = [
    b"",
    b"1",
    b"[]",
    b"{} ",
    b" {}",
    b"{}{}",
    b'{"a" :1}',
    b'{"b":1,"a":2}',
    b'{"a":1,"a":1}',
    b'{"a":1.0}',
    b'{"a":1e3}',
    b'{"a":-0}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":9007199254740992}',
    b'{"a":-9007199254740992}',
    b'{"a":' + b"9" * 4000 + b"}",
    b'{"a":"\\u0041"}',
    b'{"a":"\\/"}',
    b'{"a":"\\u000A"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    '{"钥":1}'.encode(),
    '{"a":[{"钥":1}]}'.encode(),
    b"\xef\xbb\xbf{}",
    b'{"a":"' + b"x" * MAX_ENTRY + b'"}',
    b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"a":' + b"[" * 4000 + b"}",
]
GOOD = [
    b"{}",
    b'{"a":9007199254740991,"b":-9007199254740991,"c":[true,false,null]}',
    '{"a":"信桥 \\"\\\\ \\n\\u001f\x7f","b":{"c":[]}}'.encode(),
    b'{"a":"' + b"x" * (MAX_ENTRY - 8) + b'"}',
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_anything_but_the_one_canonical_form_is_refused(data: bytes) -> None:
    with pytest.raises(EntryError):
        check_entry(data)
    assert not all_canonical([GOOD[0], data])


@pytest.mark.parametrize("data", GOOD, ids=range(len(GOOD)))
def test_the_canonical_form_passes(data: bytes) -> None:
    check_entry(data)
    assert all_canonical([data, *GOOD])


def test_the_largest_entry_has_4096_bytes() -> None:
    assert max(map(len, GOOD)) == 4096


@pytest.mark.parametrize("inner", ["1", "{}", '"信桥"'])
def test_an_entry_nests_at_most_32_deep(inner: str) -> None:
    def nested(levels: int) -> bytes:
        lists = levels - 1 - (inner == "{}")
        return f'{{"a":{"[" * lists}{inner}{"]" * lists}}}'.encode()

    check_entry(nested(MAX_DEPTH))
    assert all_canonical([nested(MAX_DEPTH)])
    with pytest.raises(EntryError):
        check_entry(nested(MAX_DEPTH + 1))
    assert not all_canonical([nested(MAX_DEPTH + 1)])


def test_an_entry_may_be_wide_and_hold_brackets_in_its_texts() -> None:
    check_entry(b'{"a":"' + b"[{" * 50 + b'","b":[' + b",".join([b"[{}]"] * 50) + b"]}")


keys = st.text(st.characters(max_codepoint=127), max_size=4)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)


@given(objects)
@settings(max_examples=80, deadline=None)
def test_canonical_is_what_rfc_8785_and_sorted_orjson_write(value: dict[str, object]) -> None:
    data = rfc8785.dumps(value)  # type: ignore[arg-type]
    assert orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == data
    check_entry(data)


@given(
    st.lists(objects.map(lambda o: json.dumps(o, ensure_ascii=False).encode()) | objects.map(rfc8785.dumps), max_size=4)
)
@settings(max_examples=80, deadline=None)
def test_checking_many_says_what_checking_each_says(entries: list[bytes]) -> None:
    def passes(data: bytes) -> bool:
        try:
            check_entry(data)
        except EntryError:
            return False
        return True

    assert all_canonical(entries) == all(map(passes, entries))


def test_texts_that_only_join_into_canonical_json_are_refused() -> None:
    assert not all_canonical([b'{"a":[{}', b"{}]}", b"{},{}"])
    assert not all_canonical([b'{"a":1},{"b":2', b'"c":3}'])
