"""The catalogue of events, its entries and its page."""

import re
from pathlib import Path

import pytest

from consent.log.entry import MAX_ENTRY as VERIFIER_MAX
from consent.log.entry import check_entry
from schemas.canonical import canonical
from schemas.errors import InvalidValue
from schemas.events import COMMON, EVENTS, MAX_ENTRY, entry_bytes

PAGE = (Path(__file__).parent.parent / "docs" / "audit-events.md").read_text("utf-8")


def entry(event: str, data: dict[str, object]) -> bytes:
    return entry_bytes(event, id="e1", time="t", actor="a", consent=None, subject=None, data=data)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_makes_a_canonical_entry_that_the_verifier_accepts(name: str) -> None:
    data: dict[str, object] = dict.fromkeys(EVENTS[name].fields, "值")
    made = entry(name, data)
    check_entry(made)
    expected = {"v": 1, "id": "e1", "event": name, "time": "t", "actor": "a", "consent": None, "subject": None}
    assert made == canonical({**expected, **data})


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_with_a_field_missing_or_too_many_is_refused(name: str) -> None:
    fields = EVENTS[name].fields
    with pytest.raises(InvalidValue):
        entry(name, dict.fromkeys([*fields, "extra"], "x"))
    with pytest.raises(InvalidValue):
        entry(name, dict.fromkeys(list(fields)[1:], "x"))


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(InvalidValue):
        entry("consent.eaten", {})


def test_an_entry_holds_4096_bytes_and_not_one_more() -> None:
    room = MAX_ENTRY - len(entry("permit.closed", {"permit": "", "code": ""}))
    assert len(entry("permit.closed", {"permit": "x" * room, "code": ""})) == MAX_ENTRY == VERIFIER_MAX
    with pytest.raises(InvalidValue):
        entry("permit.closed", {"permit": "x" * (room + 1), "code": ""})


def test_no_event_has_a_field_named_like_a_common_one() -> None:
    assert [e.name for e in EVENTS.values() if e.fields.keys() & COMMON.keys()] == []


def test_the_page_lists_every_event_with_exactly_its_fields() -> None:
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.+?) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {name: (zh, en) for name, zh, en, _ in rows} == {e.name: (e.zh, e.en) for e in EVENTS.values()}
    for name, _, _, fields in rows:
        assert re.findall(r"`([a-z_]+)`: ", fields) == list(EVENTS[name].fields)
    for name in COMMON:
        assert f"| `{name}` |" in PAGE
