"""A process of its own for the crash and race tests: ``python -m tests.consent_worker crash|race|share PLACE NAME``.

It says ``ready`` and waits for a line; each line it prints after that was acknowledged before it was printed.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from consent.consents import GrantConsent
from consent.profiles import IssueProfile, RecordEvent, SealedSource
from schemas.errors import ConsentExhausted
from tests.consent_world import LENDER, ask, grant, world


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def crash(path: Path | str, name: str) -> None:
    """Consents, permits and profiles without end, by eight callers."""
    async with world(path) as evidence:

        async def caller(who: int) -> None:
            for n in range(100_000):
                consent = await evidence.submit(GrantConsent(grant(who), LENDER, f"{name}-c{who}-{n}"))
                say(f"{consent.id}.1")
                permit = await evidence.submit(ask(f"{name}-p{who}-{n}", consent.id, who))
                say(permit.id)
                records = (SealedSource("sh-hrss", "social_insurance", b"[]" * 500),)
                await evidence.submit(IssueProfile(permit.id, f"{name}-f{who}-{n}", 1, b"jws" * 500, records, ()))
                say(f"{name}-f{who}-{n}.1")

        await asyncio.gather(*(caller(who) for who in range(8)))


async def race(path: Path | str, name: str) -> None:
    """Ask for 150 uses of the consent ``shared``, side by side."""
    async with world(path) as evidence:

        async def one(n: int) -> bool:
            try:
                await evidence.submit(ask(f"{name}-{n}", "shared"))
            except ConsentExhausted:
                return False
            return True

        found = await asyncio.gather(*(one(n) for n in range(150)))
    say(str(sum(found)))


async def share(place: Path | str, name: str) -> None:
    """Sixteen tasks ask for uses of the consent ``shared`` until there are none, and then leave 300 notes."""
    async with world(place) as evidence:

        async def task(who: int) -> int:
            for n in itertools.count():
                try:
                    await evidence.submit(ask(f"{name}-{who}-{n}", "shared"))
                except ConsentExhausted:
                    return n
            raise AssertionError

        found = await asyncio.gather(*(task(who) for who in range(16)))
        note = RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0})
        await asyncio.gather(*(evidence.submit(note) for _ in range(300)))
    say(str(sum(found)))


if __name__ == "__main__":
    say("ready")
    sys.stdin.readline()
    where: Path | str = sys.argv[2] if "://" in sys.argv[2] else Path(sys.argv[2])
    asyncio.run({"crash": crash, "race": race, "share": share}[sys.argv[1]](where, sys.argv[3]))
