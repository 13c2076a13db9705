"""A process of its own for the crash and race tests: ``python -m tests.consent_worker crash|race FILE NAME``.

It says ``ready`` and waits for a line; each line it prints after that was acknowledged before it was printed.
"""

import asyncio
import sys
from pathlib import Path

from consent.consents import GrantConsent
from consent.profiles import IssueProfile, SealedSource
from schemas.errors import ConsentExhausted
from tests.consent_world import LENDER, ask, grant, world


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def crash(path: Path, name: str) -> None:
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


async def race(path: Path, name: str) -> None:
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


if __name__ == "__main__":
    say("ready")
    sys.stdin.readline()
    asyncio.run({"crash": crash, "race": race}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]))
