"""Each call that writes or syncs fails once or is the last of its process: ``python -m tests.faults.syscalls HOW``.
``HOW`` is ``it is``, or ``folding`` (tests.faults.forks.AS).

One consent and one profile over HTTP, again and again; each time the N-th call of one kind gives EIO or ENOSPC, or is
met by SIGKILL (strace counts per thread). Afterwards a gateway must be ready, give back everything that was ever
acknowledged, and its log and rows must hold; without any fault the next round must succeed.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.faults.nursery import nursery
from tests.faults.tracing import WRITES, counted, traced, why_not
from tests.faults.world import UNTYPED, Acknowledged, Gateway, Place, place

FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "SIGKILL": "signal=SIGKILL"}
HEAL_SECONDS = 5.0
MOST = 400
Fault = tuple[str, str, int]
"""The call, what befalls it, and its number."""


class Syscalls:
    """Faults in rounds of one gateway after another in one place."""

    def __init__(self, at: Place, how: str = "it is", judging: asyncio.Lock | None = None) -> None:
        self.at, self.how = at, how
        self.told = Acknowledged()
        self.wrong: list[str] = []
        self.fired: Counter[str] = Counter()
        self.slowest = 0.0
        self._judging = judging or asyncio.Lock()
        self._gateway: Gateway | None = None

    async def _alive(self) -> Gateway:
        if self._gateway is None or not self._gateway.alive:
            self._gateway = await self.at.start(self.how)
        return self._gateway

    async def numbers(self) -> Counter[str]:
        """How many calls of each kind one undisturbed round makes in the thread that makes most."""
        gateway = await self._alive()
        await self._round(gateway, self.told)
        async with traced(gateway, "-e", "trace=" + ",".join(WRITES)) as said:
            await self._round(gateway, self.told)
        return counted(said[0])

    async def _round(self, gateway: Gateway, told: Acknowledged) -> None:
        with suppress(aiohttp.ClientError):
            await self.at.round(self.at.lender(gateway), told)

    async def strike(self, fault: Fault) -> bool:
        """One round under the fault, and what must hold afterwards; False where the round made fewer such calls."""
        call, what, number = fault
        gateway, told = await self._alive(), Acknowledged()
        lender = self.at.lender(gateway)
        await lender.authorization()
        inject = f"inject={call}:{FAULTS[what]}:when={number}"
        async with traced(gateway, "-e", f"trace={call}", "-e", inject) as said:
            with suppress(aiohttp.ClientError):
                await self.at.round(lender, told)
        struck = "(INJECTED)" in said[0] or "SIGKILL" in said[0]
        if not struck:
            self.told.add(told)
            return False
        self.fired[f"{call} {what}"] += 1
        await self._holds(f"{call} {number} {what}", told)
        return True

    async def opening(self, fault: Fault) -> bool:
        """The same while a gateway starts on what is there. It may refuse to; the next one must not."""
        call, what, number = fault
        if self._gateway is not None:
            await self._gateway.end()
        gateway = await self.at.halted()
        inject = f"inject={call}:{FAULTS[what]}:when={number}"
        async with traced(gateway, "-e", f"trace={call}", "-e", inject) as said:
            gateway.signalled(signal.SIGCONT)
            with suppress(AssertionError, aiohttp.ClientError):
                await self.at.wait_for(gateway)
        await gateway.end()
        struck = "(INJECTED)" in said[0] or "SIGKILL" in said[0]
        if struck:
            self.fired[f"opening: {call} {what}"] += 1
            await self._holds(f"opening: {call} {number} {what}", Acknowledged())
        return struck

    async def _holds(self, name: str, told: Acknowledged) -> None:
        self.told.add(told)
        gateway = await self._alive()
        began = time.monotonic()
        while await self.at.status(gateway, "/readyz") != 200:
            if time.monotonic() - began > HEAL_SECONDS:
                self.wrong.append(f"{name}: not ready after {HEAL_SECONDS} s")
                return
            await asyncio.sleep(0.02)
        self.slowest = max(self.slowest, time.monotonic() - began)
        after = Acknowledged()
        await self._round(gateway, after)
        if not (after.consents and after.profiles):
            self.wrong.append(f"{name}: no round after it: {dict(after.refused)}")
        told.add(after)
        self.told.add(after)
        defects = told.refused.keys() & {UNTYPED, "internal_error"}
        self.wrong += [f"{name}: {flaw}" for flaw in [*defects, *await self.at.unserved(gateway, told)]]
        async with self._judging:
            self.wrong += [f"{name}: {flaw}" for flaw in await self.at.judged(self.told)]

    async def every(self, calls: Iterable[str], what: str, strike: str = "strike") -> None:
        for call in calls:
            for number in range(1, MOST):
                if not await getattr(self, strike)((call, what, number)):
                    break


async def main(how: str) -> int:
    if reason := why_not():
        print(reason)
        return 1
    wrong: list[str] = []
    judging = asyncio.Lock()  # the migrations that open a database are one at a time in a process
    with tempfile.TemporaryDirectory() as temporary, nursery() as forks:

        async def every(what: str) -> None:
            async with place(Path(temporary) / what, forks) as at:
                faults = Syscalls(at, how, judging)
                numbers = await faults.numbers()
                await faults.every(numbers, what)
                await faults.every([call for call in WRITES if call != "write"], what, "opening")
            wrong.extend(faults.wrong)
            print(
                f"{how}: calls of a round {dict(numbers)}; {faults.fired.total()} faults {dict(faults.fired)}; "
                f"{len(faults.told.entries())} acknowledged; slowest to be ready again {faults.slowest:.2f} s; "
                f"{len(faults.wrong)} wrong {faults.wrong[:5]}",
                flush=True,
            )

        # Side by side, each in a place of its own: most of the time is waiting for a gateway to heal.
        await asyncio.gather(*(every(what) for what in FAULTS))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(" ".join(sys.argv[1:]))))
