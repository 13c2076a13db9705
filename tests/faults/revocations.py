"""Withdrawal against everything that a request does, in seeded interleavings: ``python -m tests.faults.revocations N``.

Two gateways' worth of evidence on one log. Per seed one consent, three requests and one withdrawal, each step after a
pause that the seed picks; the requests send, take what arrives, fail and come again under the same permit, and release.
A lease lasts five milliseconds here, so that ten thousand withdrawals do not take half an hour.
"""

import asyncio
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from consent import evidence as evidence_module
from consent import leases as leases_module
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.permits import CloseFailed
from consent.profiles import IssueProfile
from schemas.consent import ConsentState
from schemas.errors import ConsentRevoked
from tests.consent_world import LENDER, ask, grant, world

LEASE = 0.005
PAUSES = (0.0, 0.0, 0.001, 0.002, 0.005, 0.01)
AT_ONCE = 40


@dataclass(slots=True)
class Seen:
    """What was done before a withdrawal, what the withdrawal stopped, and what came after its acknowledgement."""

    done: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    late: list[str] = field(default_factory=list)


class Interleaving:
    def __init__(self, seed: int, processes: list[Evidence], seen: Seen) -> None:
        self.seed, self.processes, self.seen = seed, processes, seen
        self.random = random.Random(seed)
        self.acknowledged = False

    async def run(self) -> None:
        consent = f"c{self.seed}"
        await self.processes[0].submit(GrantConsent(grant(self.seed % 50, application=consent), LENDER, consent))
        await asyncio.gather(self._withdraw(consent), *(self._request(consent, n) for n in range(3)))

    async def _pause(self, times: int = 1) -> None:
        await asyncio.sleep(sum(self.random.choice(PAUSES) for _ in range(times)))

    async def _withdraw(self, consent: str) -> None:
        await self._pause(4)
        one = self.random.choice(self.processes)
        await one.change_consent(ChangeConsent(consent, ConsentState.REVOKED, LENDER, "asked to"))
        self.acknowledged = True

    def _did(self, what: str) -> None:
        self.seen.done[what] += 1
        if self.acknowledged:
            self.seen.late.append(f"seed {self.seed}: {what}")

    async def _request(self, consent: str, number: int) -> None:
        one, step = self.random.choice(self.processes), "permit"
        name = f"{self.seed}-{number}"
        try:
            for attempt in range(1 + (self.random.random() < 0.6)):
                step = "reuse" if attempt else "permit"
                await self._pause()
                permit = await one.submit(ask(f"p{name}-{attempt}", consent, self.seed % 50, idempotency_key=name))
                guard = one.guard(permit)
                for _ in range(2):
                    await self._pause()
                    step = "send"
                    await guard.may_send()
                    self._did(step)
                    await self._pause()
                    step = "arrival"
                    await guard.may_keep()
                    self._did(step)
                if attempt == 0 and self.random.random() < 0.6:
                    await one.submit(CloseFailed(permit.id, "upstream_busy"))
                    continue
                step = "release"
                await self._pause()
                await guard.may_keep()
                await one.submit(IssueProfile(permit.id, f"f{name}", 1, b"jws", (), ()))
                # As gateway/profile/request.py does: a withdrawal may overtake the commit on its way back.
                await guard.may_keep()
                self._did(step)
                return
        except ConsentRevoked:
            self.seen.stopped[step] += 1


async def stored_late(evidence: Evidence) -> list[str]:
    """Permits and profiles that stand in the log behind the withdrawal of their consent."""
    revoked, found = set(), []
    for one in await evidence.entries(0, evidence.size):
        entry = orjson.loads(one.entry)
        if entry["event"] == "consent.revoked":
            revoked.add(entry["consent"])
        elif entry["event"] in ("permit.granted", "profile.issued") and entry["consent"] in revoked:
            found.append(f"{entry['event']} {entry['id']}")
    return found


async def interleavings(path: Path, seeds: range) -> Seen:
    seen = Seen()
    async with world(path) as one, world(path) as two:
        for first in range(seeds.start, seeds.stop, AT_ONCE):
            some = range(first, min(first + AT_ONCE, seeds.stop))
            await asyncio.gather(*(Interleaving(seed, [one, two], seen).run() for seed in some))
        seen.late += await stored_late(one)
    return seen


async def main(count: int) -> int:
    for module in (leases_module, evidence_module):
        vars(module)["LEASE_SECONDS"] = LEASE
    with tempfile.TemporaryDirectory() as temporary:
        seen = await interleavings(Path(temporary) / "e.db", range(count))
    print(
        f"{count} interleavings: done {dict(seen.done)}, stopped by the withdrawal {dict(seen.stopped)}, "
        f"after its acknowledgement {len(seen.late)} {seen.late[:5]}"
    )
    return 1 if seen.late else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
