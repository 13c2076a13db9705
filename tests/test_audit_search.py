"""Searching the log: what an index serves, times under a clock that steps back, lists too large or gone."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, event, insert

from benchmarks.postgres_server import PostgresServer
from consent import search as module
from consent.consents import GrantConsent
from consent.evidence import Evidence
from consent.places import FREQUENT
from consent.policy import PermitItem
from consent.profiles import RecordEvent
from consent.search import Conditions, search
from consent.shredding import Reason, Shred
from consent.storage import Store, execute_many, open_store
from consent.tables import consents, log_entries, permits, profiles
from consent.unmask import UnmaskEntry
from consent.vault import RetentionClass, Vault
from schemas.base import utc_text
from schemas.errors import KeysUnavailable
from schemas.records import CATALOGUE
from tests.consent_world import KEK, LENDER, PSEUDONYM_KEY, Keks, ask, grant, safe_of, uscc, world

_CONSENT = {"grantee": "", "digest": b"", "registered_at": "", "valid_to": "", "retention_days": 0, "state": ""}
_CONSENT |= {"version": 1, "uses": 0, "last_permit": None}
_PERMIT = {"version": 1, "granted_at": "", "valid_until": "", "outcome": "", "revision": 1, "closed_at": None}
_PROFILE = {"revision": 1, "issued_at": ""}
VAULT = Vault(Keks(KEK), PSEUDONYM_KEY)
START = datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest_asyncio.fixture
async def evidence(place: Path | str) -> AsyncIterator[Evidence]:
    async with world(place) as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A database whose log is written by hand, without entries of its own."""
    place: Path | str = tmp_path_factory.mktemp("search") / "evidence.db"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        place = asyncio.run(server.new_database())

    async def prepare() -> None:
        async with world(place):
            pass

    asyncio.run(prepare())
    opened = open_store(place)
    yield opened
    asyncio.run(opened.close())


def fill(store: Store, entries: list[dict[str, Any]]) -> None:
    """The entries, and of permits and profiles the rows that stand beside them: of a consent where they name one."""
    rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in (consents, permits, profiles, log_entries)}
    known: dict[str, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        whole = {"id": str(position), "event": "profile.read", "actor": "bank-a", "consent": None, "subject": None}
        whole |= {"time": utc_text(START)} | entry
        columns = {name: whole[name] for name in ("id", "event", "time", "actor", "consent", "subject")}
        rows[log_entries].append({**columns, "position": position, "entry": orjson.dumps(whole), "leaf": b""})
        if whole["consent"] is None or whole["event"] not in FREQUENT:
            continue
        issued = whole["event"] == "profile.issued"
        made = {"consent_id": whole["consent"], "subject": whole["subject"], "lender": "", "log_index": position}
        if whole["consent"] not in known:
            known[whole["consent"]] = {**_CONSENT, "id": whole["consent"], "subject": whole["subject"]}
            rows[consents].append(known[whole["consent"]])
        held = known[whole["consent"]]
        # The entry of a permit whose profile this is stands elsewhere.
        place = -1 - position if issued else position
        permit = {"id": f"m{position}", "profile_id": f"p{position}" if issued else None, "log_index": place}
        rows[permits].append({**_PERMIT, **made, **permit, "before": held["last_permit"]})
        held["last_permit"] = place
        if issued:
            rows[profiles].append(_PROFILE | made | {"id": permit["profile_id"], "permit_id": permit["id"]})

    def write() -> None:
        with store.connect() as connection, connection.begin():
            for table in reversed(rows):
                connection.execute(table.delete())
            for table, some in rows.items():
                execute_many(connection, insert(table), some)

    store.writing.submit(write).result()


def found(store: Store, conditions: Conditions, stop: int) -> list[int]:
    """Every index, page after page."""
    at: int | None = 0
    seen: list[int] = []
    while at is not None:
        page = store.read(search, VAULT, conditions, at, stop, 7)
        assert len(page.entries) <= 7
        seen += [one.index for one in page.entries]
        assert page.next is None or page.next > at
        at = page.next
    return seen


MINUTES = st.integers(-50, 600)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=60), st.lists(st.integers(0, 59), max_size=60), MINUTES, MINUTES)
def test_a_time_finds_all_its_entries_though_the_clock_went_back_by_less_than_an_hour(
    store: Store, steps: list[int], back: list[int], since: int, until: int
) -> None:
    """Times grow by ``steps`` minutes and each is off by up to 59 minutes."""
    times, at = [], START
    for step, off in zip(steps, back, strict=False):
        at += timedelta(minutes=step)
        times.append(utc_text(at - timedelta(minutes=off)))
    fill(store, [{"time": time} for time in times])
    low, high = (utc_text(START + timedelta(minutes=m)) for m in (since, until))
    expected = [n for n, time in enumerate(times) if low <= time < high]
    assert found(store, Conditions(since=low, until=high), len(times)) == expected


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_conditions_together_find_what_meets_all_of_them(store: Store, data: st.DataObject) -> None:
    values: dict[str, list[str | None]] = {
        "actor": ["bank-a", "bank-b"],
        "officer": ["o1", "o2", None],
        "event": ["profile.read", "permit.granted", "profile.issued", "permit.refused"],
        "consent": ["c1", "c2", "c3"],
        "subject": ["s1", "s2"],
        "code": ["consent_revoked", "consent_expired"],
    }
    entry = st.fixed_dictionaries({name: st.sampled_from(of) for name, of in values.items()})
    entries = data.draw(st.lists(entry, max_size=40))
    for one in entries:
        if one["event"] in FREQUENT:
            # A permit is about the enterprise that its consent is about.
            one["subject"] = {"c1": "s1", "c2": "s2", "c3": "s1"}[str(one["consent"])]
    wanted = data.draw(
        st.fixed_dictionaries({}, optional={n: st.sampled_from([v for v in of if v]) for n, of in values.items()})
    )
    fill(store, entries)
    conditions = Conditions(**{"outcome" if name == "code" else name: value for name, value in wanted.items()})
    expected = [n for n, one in enumerate(entries) if all(one[name] == value for name, value in wanted.items())]
    assert found(store, conditions, len(entries)) == expected


def test_one_call_reads_a_bounded_number_of_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN", 10)
    fill(store, [{"code": "a"} for _ in range(25)] + [{"code": "b"}])
    page = store.read(search, VAULT, Conditions(outcome="b"), 0, 26, 100)
    assert (page.entries, page.next) == ([], 10)
    assert found(store, Conditions(outcome="b"), 26) == [25]


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        (Conditions(subject="s1"), "log_rare_events_by_subject"),
        (Conditions(consent="c1"), "log_rare_events_by_consent"),
        (Conditions(actor="bank-1"), "log_entries_by_actor"),
        (Conditions(actor="bank-1", officer="o1"), "log_entries_by_actor"),
        (Conditions(event="permit.refused"), "log_rare_events"),
    ],
)
def test_the_usual_conditions_are_served_by_an_index(store: Store, conditions: Conditions, index: str) -> None:
    """In a log of 3,000 entries, as each database itself plans it."""
    of = range(3000)
    fill(
        store,
        [
            {
                "subject": f"s{n % 300}",
                "consent": f"c{n % 300}",
                "actor": f"bank-{n % 100}",
                "event": "permit.refused" if n % 300 == 0 else "permit.granted",
            }
            for n in of
        ],
    )

    def analyze() -> None:
        with store.connect() as connection, connection.begin():
            connection.exec_driver_sql("ANALYZE")

    def plan(connection: Connection) -> str:
        asked: list[tuple[str, Any]] = []

        def hear(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:
            asked.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", hear)
        search(connection, VAULT, conditions, 0, len(of), 100)
        event.remove(connection, "before_cursor_execute", hear)
        ((statement, parameters),) = asked
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        return "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))

    store.writing.submit(analyze).result()
    found_by = store.read(plan)
    assert index in found_by
    if conditions.consent is not None or conditions.subject is not None:
        assert not {"SCAN permits", "Seq Scan on permits"} & set(re.findall(r"(?:SCAN|Seq Scan on) \w+", found_by))


def test_a_list_that_is_gone_leaves_open_whether_its_entry_names_the_platform(store: Store) -> None:
    gone = {"event": "permit.granted", "subject": "s1", "items": "0" * 64}
    told = {"event": "permit.granted", "items": [["sh-tax", "tax_returns", []]]}
    other = {"event": "profile.issued", "sources": [["sh-other", "x", "present", None, None]]}
    counted = {"event": "permit.refused", "items": 3}
    fill(store, [gone, told, other, counted, {}])
    page = store.read(search, VAULT, Conditions(platform="sh-tax"), 0, 5, 100)
    assert ([one.index for one in page.entries], page.unreadable) == ([1], 1)


def test_a_permit_is_found_by_the_outlet_that_it_names(store: Store) -> None:
    through: dict[str, Any] = {"event": "permit.granted", "items": [["sh-tax", "tax_returns", [], None, "outlet-a"]]}
    person = {"event": "permit.granted", "items": [["sh-tax", "tax_returns", [], "outlet-a"]]}
    issued = {"event": "profile.issued", "sources": [["sh-tax", "tax_returns", "present", None, "outlet-a"]]}
    fill(store, [through, person, issued])
    page = store.read(search, VAULT, Conditions(platform="outlet-a"), 0, 3, 100)
    assert [one.index for one in page.entries] == [0]


async def test_a_list_too_large_for_its_entry_is_opened_until_the_keys_of_its_enterprise_are_destroyed(
    place: Path | str,
) -> None:
    scopes: list[dict[str, Any]] = [
        {"platform": f"platform-number-{n}", "dataset": name, "fields": list(CATALOGUE[name].fields)}
        for n, name in enumerate(CATALOGUE)
    ]
    items = tuple(PermitItem(s["platform"], s["dataset"], frozenset(s["fields"])) for s in scopes)
    subject = VAULT.pseudonym(uscc())
    async with world(place) as evidence:

        async def seen(platform: str) -> tuple[list[int], int]:
            found = await evidence.search(Conditions(platform=platform), 0, evidence.size, 100)
            return [one.index for one in found.entries], found.unreadable

        document = grant(scopes=scopes, separate_consents=sorted(CATALOGUE))
        consent = await evidence.submit(GrantConsent(document, LENDER))
        await evidence.submit(ask("p1", consent.id, items=items))
        assert await seen("platform-number-1") == ([1], 0)
        assert await seen("platform-number-x") == ([], 0)
        assert await evidence.applications([consent.id]) == {consent.id: "LN-1"}
        assert await evidence.enterprise(subject) == consent.subject
        targets = tuple((subject, retention) for retention in RetentionClass)
        await evidence.submit(Shred(targets, Reason.RETENTION_ENDED, "an invented law", "operator", safe_of(place)))
        assert await seen("platform-number-1") == ([], 1)
        assert await evidence.applications([consent.id]) == {}
        assert await evidence.enterprise(subject) is None


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
