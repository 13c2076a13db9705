"""One log on PostgreSQL: several processes, a server that stops, and connections that break where it hurts most."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from benchmarks.postgres_server import PostgresServer
from consent import journal as journal_module
from consent import storage_postgres
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence, open_evidence
from consent.keeper import Keeper
from consent.profiles import RecordEvent
from consent.storage import storage_failed
from schemas.consent import ConsentState
from schemas.errors import (
    ConsentRevoked,
    StorageUnavailable,
)
from tests.consent_world import LENDER, LOG_KEY, ORIGIN, PSEUDONYM_KEY, ask, grant, safe_of, world
from tests.faults.restarts import recomputed, survive
from tests.test_consent_evidence import go, worker


async def test_four_processes_grant_exactly_the_uses_there_are_and_leave_one_dense_log(postgres: str) -> None:
    async with world(postgres) as evidence:
        await evidence.submit(GrantConsent(grant(max_uses=100), LENDER, "shared"))
    workers = [worker("share", postgres, name) for name in "abcd"]
    counts = []
    try:
        said = [go(process) for process in workers]
        counts = [int(out.readline()) for out in said]
    finally:
        for process in workers:
            with process:
                process.wait(60)
    assert sum(counts) == 100
    assert [process.returncode for process in workers] == [0] * 4
    async with world(postgres) as evidence:
        held = await evidence.consent("shared")
        assert held is not None
        assert held.uses == 100
        events = await recomputed(evidence)
        assert [e["use"] for e in events if e["event"] == "permit.granted"] == list(range(1, 101))
        # Each of 64 tasks was refused once, and each process left its notes.
        assert sum(e["event"] == "permit.refused" for e in events) == 64
        assert sum(e["event"] == "log.read" for e in events) == 4 * 300


@pytest.fixture
def crashing() -> Iterator[PostgresServer]:
    """A server of the test's own, that it may stop."""
    server = PostgresServer()
    try:
        server.start()
        server.make_template()
        yield server
    finally:
        server.remove()


async def test_a_server_that_crashes_under_load_loses_nothing_and_doubles_nothing(
    crashing: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.1)
    made, crashed = await survive(crashing, profiles=30, crashes=2, callers=8, up=(0.3, 0.6), down=(0, 0.3))
    assert made >= 30
    assert crashed >= 2


class Wire:
    """Between gateway and server: breaks the connection at the next COMMIT, before it or before its reply."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self.cut: str | None = None
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)

        swallowing = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65536):
                if self.cut and b"COMMIT" in data:
                    self.cuts += 1
                    cut, self.cut = self.cut, None
                    if cut == "commit":
                        return
                    swallowing.set()
                to_server.write(data)
                await to_server.drain()

        async def back() -> None:
            while (data := await upstream.read(65536)) and not swallowing.is_set():
                writer.write(data)
                await writer.drain()

        both = [asyncio.ensure_future(forth())]
        both.append(asyncio.ensure_future(back()))
        with suppress(OSError):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        writer.close()
        to_server.close()


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[tuple[Wire, str]]:
    wire = Wire(url)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, url.replace(f":{urlsplit(url).port}/", f":{port}/")
    finally:
        server.close()


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No commits but those of the test; a transaction that reads ends with one too."""
    monkeypatch.setattr(Evidence, "_sweep", lambda _: asyncio.sleep(0))
    monkeypatch.setattr(Keeper, "run", lambda _: asyncio.sleep(0))


@pytest.mark.usefixtures("unswept")
async def test_reads_find_a_server_again_that_crashed_while_their_connections_were_idle(
    crashing: PostgresServer,
) -> None:
    async with world(await crashing.new_database()) as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER, "c"))
        readers = storage_postgres.READERS
        await asyncio.gather(*(evidence.entries(0, 9) for _ in range(readers)))
        await asyncio.to_thread(crashing.stop)
        await asyncio.to_thread(crashing.start)
        for _ in range(readers):
            assert len(await evidence.entries(0, 9)) == 1


@pytest.mark.usefixtures("unswept")
async def test_a_commit_whose_reply_was_cut_off_is_acknowledged_exactly_once(postgres: str) -> None:
    async with wired(postgres) as (wire, url), world(url) as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER, "c"))
        wire.cut = "reply"
        permit, other = await asyncio.gather(
            evidence.submit(ask("p", "c")),
            evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0})),
        )
        assert wire.cuts == 1
        assert (permit.id, permit.log_index, other) == ("p", 1, 2)
        assert evidence.writable
        assert evidence.size == 3
        await recomputed(evidence)


@pytest.mark.usefixtures("unswept")
async def test_a_commit_that_never_arrived_is_refused_and_may_be_asked_again(postgres: str) -> None:
    async with wired(postgres) as (wire, url), world(url) as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER, "c"))
        wire.cut = "commit"
        with pytest.raises(StorageUnavailable):
            await evidence.submit(ask("p", "c"))
        assert wire.cuts == 1
        assert (await evidence.submit(ask("p", "c"))).consent.uses == 1
        await recomputed(evidence)


async def test_the_time_of_what_is_durable_is_the_server_s(postgres_server: PostgresServer, postgres: str) -> None:
    name = postgres.rsplit("/", 1)[1]
    moment = "timestamptz '2031-01-02 03:04:05+00'"
    for statement in (
        f"CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT {moment}$$",
        f"ALTER DATABASE {name} SET search_path = public, pg_catalog",
    ):
        await postgres_server.execute(statement, name)
    keys: dict[str, Any] = {"pseudonym_key": PSEUDONYM_KEY, "log_key": LOG_KEY, "origin": ORIGIN}
    async with open_evidence(postgres, safe=safe_of(postgres), **keys) as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        assert datetime.fromisoformat(made.registered_at).year == 2031


async def test_a_lock_held_too_long_is_a_bounded_wait_then_a_refusal(
    postgres_server: PostgresServer, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(storage_postgres._SERVER, "lock_timeout", "50")
    async with world(postgres) as evidence:
        other = await evidence._database._connect()  # type: ignore[attr-defined]
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT one FROM log_head FOR UPDATE")
        with pytest.raises(StorageUnavailable):
            await evidence.submit(GrantConsent(grant(), LENDER, "c"))
        await transaction.rollback()
        await other.close()
        assert (await evidence.submit(GrantConsent(grant(), LENDER, "c"))).id == "c"


async def test_a_value_that_the_database_cannot_hold_hurts_only_its_own_command(postgres: str) -> None:
    async with world(postgres) as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER, "c"))
        found = await asyncio.gather(
            *(evidence.submit(ask(name, "c")) for name in ("a", "b\x00", "d")), return_exceptions=True
        )
        assert [type(f).__name__ for f in found] == ["Permit", "StorageUnavailable", "Permit"]
        assert evidence.writable


async def test_a_withdrawal_by_one_process_stops_the_other_and_what_cannot_be_read_stops_too(postgres: str) -> None:
    async with world(postgres) as one, world(postgres) as two:
        await one.submit(GrantConsent(grant(), LENDER, "c"))
        guard = two.guard(await two.submit(ask("p", "c")))
        await guard.may_send()
        await one.change_consent(ChangeConsent("c", ConsentState.REVOKED, LENDER, "r"))
        with pytest.raises(ConsentRevoked):
            await guard.may_send()
        assert await two.consent("nothing") is None
        two._database._points.terminate()  # type: ignore[attr-defined]
        with pytest.raises(StorageUnavailable):
            await guard.may_send()


class Refused(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "kind", "failed"),
    [
        (Refused("23505"), IntegrityError, False),
        (Refused("22021"), DataError, False),
        (ValueError("an integer out of range"), DataError, False),
        (Refused("57P01"), OperationalError, True),
        (Refused("53100"), OperationalError, True),
        (TimeoutError(), OperationalError, True),
        (ConnectionResetError(), OperationalError, True),
    ],
)
def test_only_what_a_row_or_a_value_did_wrong_is_not_the_storage_s_failure(
    error: Exception, kind: type[Exception], failed: bool
) -> None:
    translated = storage_postgres._translated(error)
    assert type(translated) is kind
    assert storage_failed(translated) is failed
    assert "integer" not in str(translated)


def test_where_no_server_listens_the_evidence_is_unavailable() -> None:
    async def opening() -> None:
        async with world("postgresql://nobody@127.0.0.1:1/none"):
            pass

    with pytest.raises(StorageUnavailable) as caught:
        asyncio.run(opening())
    assert "nobody" not in str(caught.value)
