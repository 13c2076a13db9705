"""Searching the log: what an index serves, times under a clock that steps back, lists too large or gone."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, insert

from consent import search as module
from consent.evidence import Evidence, open_evidence
from consent.profiles import RecordEvent
from consent.search import Conditions, search
from consent.tables import log_entries, metadata
from consent.unmask import UnmaskEntry
from consent.vault import Vault
from schemas.base import utc_text
from schemas.errors import KeysUnavailable
from tests.consent_world import safe_of

VAULT = Vault(bytes(32), bytes(32))
START = datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest_asyncio.fixture
async def evidence(tmp_path: Path) -> AsyncIterator[Evidence]:
    async with open_evidence(
        tmp_path / "evidence.sqlite",
        safe=safe_of(tmp_path / "evidence.sqlite"),
        pseudonym_key=bytes(32),
        log_key=Ed25519PrivateKey.generate(),
        origin="test.invalid/log",
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def connection() -> Any:
    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        metadata.create_all(opened)
        yield opened


def fill(connection: Connection, entries: list[dict[str, Any]]) -> None:
    connection.execute(log_entries.delete())
    rows = []
    for position, entry in enumerate(entries):
        whole = {"id": str(position), "event": "profile.read", "actor": "bank-a", "consent": None, "subject": None}
        whole |= {"time": utc_text(START)} | entry
        columns = {name: whole[name] for name in ("id", "event", "time", "actor", "consent", "subject")}
        rows.append({**columns, "position": position, "entry": orjson.dumps(whole), "leaf": b""})
    if rows:
        connection.execute(insert(log_entries), rows)


def found(connection: Connection, conditions: Conditions, stop: int) -> list[int]:
    """Every index, page after page."""
    at: int | None = 0
    seen: list[int] = []
    while at is not None:
        page = search(connection, VAULT, conditions, at, stop, 7)
        assert len(page.entries) <= 7
        seen += [one.index for one in page.entries]
        assert page.next is None or page.next > at
        at = page.next
    return seen


MINUTES = st.integers(-50, 600)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30), max_size=60), st.lists(st.integers(0, 59), max_size=60), MINUTES, MINUTES)
def test_a_time_finds_all_its_entries_though_the_clock_went_back_by_less_than_an_hour(
    connection: Connection, steps: list[int], back: list[int], since: int, until: int
) -> None:
    """Times grow by ``steps`` minutes and each is off by up to 59 minutes."""
    times, at = [], START
    for step, off in zip(steps, back, strict=False):
        at += timedelta(minutes=step)
        times.append(utc_text(at - timedelta(minutes=off)))
    fill(connection, [{"time": time} for time in times])
    low, high = (utc_text(START + timedelta(minutes=m)) for m in (since, until))
    expected = [n for n, time in enumerate(times) if low <= time < high]
    assert found(connection, Conditions(since=low, until=high), len(times)) == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_conditions_together_find_what_meets_all_of_them(connection: Connection, data: st.DataObject) -> None:
    values = {
        "actor": ["bank-a", "bank-b"],
        "event": ["profile.read", "permit.granted", "permit.refused"],
        "consent": ["c1", "c2"],
        "subject": ["s1", "s2"],
        "code": ["consent_revoked", "consent_expired"],
    }
    entry = st.fixed_dictionaries({name: st.sampled_from(of) for name, of in values.items()})
    entries = data.draw(st.lists(entry, max_size=40))
    wanted = data.draw(st.fixed_dictionaries({}, optional={n: st.sampled_from(of) for n, of in values.items()}))
    fill(connection, entries)
    conditions = Conditions(**{"outcome" if name == "code" else name: value for name, value in wanted.items()})
    expected = [n for n, one in enumerate(entries) if all(one[name] == value for name, value in wanted.items())]
    assert found(connection, conditions, len(entries)) == expected


def test_one_call_reads_a_bounded_number_of_rows(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN", 10)
    fill(connection, [{"code": "a"} for _ in range(25)] + [{"code": "b"}])
    page = search(connection, VAULT, Conditions(outcome="b"), 0, 26, 100)
    assert (page.entries, page.next) == ([], 10)
    assert found(connection, Conditions(outcome="b"), 26) == [25]


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        (Conditions(subject="s1"), "ix_log_entries_subject"),
        (Conditions(consent="c1"), "ix_log_entries_consent"),
        (Conditions(actor="bank-a"), "log_entries_by_actor"),
        (Conditions(event="permit.refused"), "log_rare_events"),
    ],
)
def test_the_usual_conditions_are_served_by_an_index(
    connection: Connection, conditions: Conditions, index: str
) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    asked: list[str] = []
    driver.set_trace_callback(asked.append)
    search(connection, VAULT, conditions, 0, 10**6, 100)
    driver.set_trace_callback(None)
    (query,) = [text for text in asked if text.startswith("SELECT")]
    plan = " ".join(row[3] for row in driver.execute("EXPLAIN QUERY PLAN " + query))
    assert index in plan


def test_a_list_that_is_gone_leaves_open_whether_its_entry_names_the_platform(connection: Connection) -> None:
    gone = {"event": "permit.granted", "subject": "s1", "items": "0" * 64}
    told = {"event": "permit.granted", "items": [["sh-tax", "tax_returns", []]]}
    other = {"event": "profile.issued", "sources": [["sh-other", "x", "present", None, None]]}
    counted = {"event": "permit.refused", "items": 3}
    fill(connection, [gone, told, other, counted, {}])
    page = search(connection, VAULT, Conditions(platform="sh-tax"), 0, 5, 100)
    assert ([one.index for one in page.entries], page.unreadable) == ([1], 1)


async def test_who_is_behind_a_pseudonym_is_unknown_without_a_consent(evidence: Evidence) -> None:
    assert await evidence.enterprise("no such pseudonym") is None
    assert await evidence.applications(["c1"]) == {}


async def test_an_entry_whose_subject_has_no_key_is_not_unmasked_and_nothing_is_logged(evidence: Evidence) -> None:
    data: dict[str, Any] = {"profile": "p", "revision": 1}
    await evidence.submit(RecordEvent("profile.read", "bank-a", None, None, data))
    with pytest.raises(KeysUnavailable):
        await evidence.submit(UnmaskEntry(0, "nobody", "the-auditor", "x"))
    assert evidence.size == 1


async def test_proofs_of_many_entries_are_those_of_each(evidence: Evidence) -> None:
    for _ in range(9):
        data: dict[str, Any] = {"profile": "p", "revision": 1}
        await evidence.submit(RecordEvent("profile.read", "bank-a", None, None, data))
    proven = await evidence.proofs([0, 4, 8])
    assert proven.size == 9
    assert proven.paths == [tuple(await evidence.inclusion(index, 9)) for index in (0, 4, 8)]
    assert proven.checkpoint == await evidence.checkpoint()
