"""SIGKILL at any moment under load: ``python -m tests.faults.kills ROUNDS``."""

import asyncio
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.nursery import Nursery, nursery
from tests.faults.world import XINQIAO, Acknowledged, Place, place

EACH = 20


async def kills(
    at: Place, rounds: int, seed: int, callers: int, latest: float
) -> tuple[Acknowledged, float, list[str]]:
    """Everything that was acknowledged, the longest restart in seconds, and what was wrong after any of the kills.

    Each comes at most ``latest`` seconds after the load began: some before the first commit, some among many."""
    seeded, told, longest = random.Random(seed), Acknowledged(), 0.0
    last, wrong = Acknowledged(), list[str]()
    for number in range(rounds + 1):
        gateway = await at.start()
        longest = max(longest, gateway.start_seconds)
        if number:
            wrong += await at.unserved(gateway, last)
            wrong += await at.judged(last)
            if wrong or number == rounds:
                break
        load = asyncio.create_task(at.load(gateway, callers, asyncio.Event()))
        await asyncio.sleep(seeded.uniform(0.02, latest))
        await gateway.end()
        last = await load
        told.add(last)
    return told, longest, wrong


async def log_of(rounds: int, seed: int, forks: Nursery) -> tuple[Acknowledged, list[str]]:
    """That many kills on a log of its own; says what was seen."""
    with tempfile.TemporaryDirectory() as temporary:
        async with place(Path(temporary) / "data", forks) as at:
            told, longest, wrong = await kills(at, rounds, seed, callers=64, latest=1.2)
            wrong += await at.judged(told)
            whole = await at.start_command()
            await whole.end()
            verify = await asyncio.create_subprocess_exec(
                XINQIAO, "log", "verify", env=at.environment(), stdout=subprocess.PIPE
            )
            said, _ = await verify.communicate()
    if verify.returncode:
        wrong.append(said.decode())
    print(
        f"{rounds} kills: longest restart to ready {longest:.2f} s, of the whole command with its imports "
        f"{whole.start_seconds:.2f} s; log verify: exit {verify.returncode}, {said.decode().splitlines()[0]}",
        flush=True,
    )
    return told, wrong


async def main(rounds: int) -> int:
    told, wrong = Acknowledged(), list[str]()
    with nursery() as forks:
        # A log of its own for every twenty: the whole of it is judged after each kill.
        for seed, first in enumerate(range(0, rounds, EACH)):
            more, flaws = await log_of(min(EACH, rounds - first), seed, forks)
            told.add(more)
            wrong += flaws
    print(
        f"{rounds} kills, {told.asked} requests, {len(told.consents)} consents and {len(told.profiles)} profiles "
        f"acknowledged, other answers {dict(told.refused)}; lost, twice or without their rows: {len(wrong)} {wrong[:5]}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
