"""A PostgreSQL server that crashes again and again under load: ``python -m tests.faults.restarts PROFILES``.

Every profile is a consent, a permit and an issue, and its consent is suspended and resumed; who is told to ask again
asks again with the same ids. At the end each entry stands in the log exactly once, under a head that is theirs.
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import orjson
from sqlalchemy import Connection

from benchmarks.postgres_server import PostgresServer
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.ledger import read_head
from consent.log.merkle import CompactRange, leaf_hash
from consent.profiles import IssueProfile
from consent.reads import entries
from schemas.consent import ConsentState
from schemas.errors import ConsentConflict, IdempotencyRunning, StorageUnavailable
from tests.consent_world import LENDER, ask, grant, world

Span = tuple[float, float]


async def until_done(act: Callable[[], Awaitable[object]], done: type[Exception] | None = None) -> None:
    """As a caller does that was told to ask again: until it is done, or was done before."""
    while True:
        try:
            await act()
        except StorageUnavailable:
            await asyncio.sleep(0.02)
        except Exception as error:
            if done is None or not isinstance(error, done):
                raise
            return
        else:
            return


async def one(evidence: Evidence, n: int) -> None:
    await until_done(lambda: evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}")))
    permit = ask(f"p{n}", f"c{n}", n, idempotency_key=f"k{n}")
    await until_done(lambda: evidence.submit(permit), IdempotencyRunning)
    issue = IssueProfile(f"p{n}", f"f{n}", 1, b"jws", (), ())
    await until_done(lambda: evidence.submit(issue), ConsentConflict)
    for state in (ConsentState.SUSPENDED, ConsentState.ACTIVE):
        change = ChangeConsent(f"c{n}", state, LENDER, "invented")
        await until_done(lambda change=change: evidence.change_consent(change), ConsentConflict)  # type: ignore[misc]


async def recomputed(evidence: Evidence) -> list[dict[str, Any]]:
    """The entries, after holding the head against them: dense, and the root is theirs."""
    return await evidence.read(recomputed_by)


def recomputed_by(connection: Connection) -> list[dict[str, Any]]:
    held, head = entries(connection, 0, 10**7), read_head(connection)
    assert [e.index for e in held] == list(range(len(held)))
    tree = CompactRange().extend([leaf_hash(e.entry) for e in held])
    assert (tree.size, tree.root) == (head.size, head.root)
    return [orjson.loads(e.entry) for e in held]


async def survive(
    server: PostgresServer, *, profiles: int, crashes: int, callers: int, up: Span, down: Span, seed: int = 7
) -> tuple[int, int]:
    """Profiles made, and crashes meanwhile, at least as many as said; ``up`` and ``down``: random seconds between."""
    seeded, numbers, finished, crashed = random.Random(seed), count(), set[int](), 0

    async def caller(evidence: Evidence) -> None:
        while len(finished) < profiles or crashed < crashes:
            n = next(numbers)
            await one(evidence, n)
            finished.add(n)

    async with world(await server.new_database()) as evidence:
        working = asyncio.gather(*(caller(evidence) for _ in range(callers)))
        while not working.done():
            await asyncio.wait([working], timeout=seeded.uniform(*up))
            if not working.done():
                await asyncio.to_thread(server.stop)
                await asyncio.sleep(seeded.uniform(*down))
                await asyncio.to_thread(server.start)
                crashed += 1
        await working
        ids = [entry["id"] for entry in await recomputed(evidence)]
    expected = [i for n in finished for i in (f"c{n}.1", f"p{n}", f"f{n}.1", f"c{n}.2", f"c{n}.3")]
    assert sorted(ids) == sorted(expected), "lost, doubled or not asked for"
    return len(finished), crashed


def main(profiles: int) -> None:
    server = PostgresServer()
    try:
        server.start()
        server.make_template()
        done = asyncio.run(survive(server, profiles=profiles, crashes=3, callers=16, up=(5, 40), down=(0, 2)))
    finally:
        server.remove()
    print(f"{done[0]} profiles and {2 * done[0]} changes of consents, {done[1]} crashes: none lost, none doubled")


if __name__ == "__main__":
    main(int(sys.argv[1]))
