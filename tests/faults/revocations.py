"""Withdrawal against everything that a request does, in seeded interleavings: ``python -m tests.faults.revocations N``.

Two gateways' worth of evidence on one log. Per seed one consent with a profile, three requests and one withdrawal, each
step after a pause that the seed picks; the requests send, take what arrives, share a call that is under way, use again
what an earlier one stored, fail and come again under the same permit, and release.
A lease lasts five milliseconds here, so that ten thousand withdrawals do not take half an hour.
"""

import asyncio
import math
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.base import Found, Reply
from consent import evidence as evidence_module
from consent import leases as leases_module
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.leases import PermitGuard
from consent.permits import CloseFailed
from consent.profiles import IssueProfile, SealedSource
from consent.reuse import Leave, Way
from gateway.profile.flights import Flights, Question
from gateway.profile.plan import Item
from gateway.profile.sign import ProfileSigner
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import ConsentRevoked, StorageUnavailable
from tests.consent_world import LENDER, NOW, ask, grant, world

LEASE = 0.005
WAY = Way("sh-hrss", "social_insurance", None)
ITEM = Item(WAY.platform, WAY.dataset, frozenset({"month"}))
PERIOD = {"first": "2025-12", "last": "2026-11"}
SOURCE = {"platform": WAY.platform, "dataset": WAY.dataset, "via": None, "state": "present", "origin": None}
SOURCE |= {"commitment": "ab" * 32, "fetched_at": "2026-11-24T06:00:00.000+00:00"}
SIGNER = ProfileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
ANSWER = Reply(Found.FOUND, ({"month": "2026-10"},), None, NOW, 1, bytes(32), None)
PAUSES = (0.0, 0.0, 0.001, 0.002, 0.005, 0.01)
AT_ONCE = 40


@dataclass(slots=True)
class Seen:
    """What was done before a withdrawal, what the withdrawal stopped, and what came after its acknowledgement."""

    done: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    late: list[str] = field(default_factory=list)


class Interleaving:
    def __init__(self, seed: int, processes: list[tuple[Evidence, Flights]], seen: Seen) -> None:
        self.seed, self.processes, self.seen = seed, processes, seen
        self.random = random.Random(seed)
        self.acknowledged = False

    async def run(self) -> None:
        consent = f"c{self.seed}"
        await self.processes[0][0].submit(GrantConsent(grant(self.seed % 50, application=consent), LENDER, consent))
        await self.processes[0][0].submit(ask(f"p{self.seed}", consent, self.seed % 50))
        await self._issue(self.processes[0][0], f"{self.seed}", f"p{self.seed}")
        await asyncio.gather(self._withdraw(consent), *(self._request(consent, n) for n in range(3)))

    async def _pause(self, times: int = 1) -> None:
        await asyncio.sleep(sum(self.random.choice(PAUSES) for _ in range(times)))

    async def _withdraw(self, consent: str) -> None:
        await self._pause(4)
        one, _ = self.random.choice(self.processes)
        await one.change_consent(ChangeConsent(consent, ConsentState.REVOKED, LENDER, "asked to"))
        self.acknowledged = True

    def _did(self, what: str) -> None:
        self.seen.done[what] += 1
        if self.acknowledged:
            self.seen.late.append(f"seed {self.seed}: {what}")

    async def _request(self, consent: str, number: int) -> None:
        (one, flights), step = self.random.choice(self.processes), "permit"
        leave = Leave(consent, 1, LENDER, "loan_review", PERIOD["first"], PERIOD["last"])
        name = f"{self.seed}-{number}"
        try:
            for attempt in range(1 + (self.random.random() < 0.6)):
                step = "resume" if attempt else "permit"
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
                step = "again"
                if await one.earlier(leave, utc_text(NOW - timedelta(days=1)), frozenset({WAY}), lambda *_: True):
                    await self._pause()
                    await guard.may_keep()
                    self._did(step)
                step = "share"
                call = partial(self._call, guard)
                _, origin = await flights.once(Question.of(leave, ITEM, "1.0"), permit.id, math.inf, call)
                await guard.may_keep()
                if origin is not None:
                    self._did(step)
                if attempt == 0 and self.random.random() < 0.6:
                    await one.submit(CloseFailed(permit.id, "upstream_busy"))
                    continue
                step = "release"
                await self._pause()
                await guard.may_keep()
                await self._issue(one, name, permit.id)
                # As gateway/profile/request.py does: a withdrawal may overtake the commit on its way back.
                await guard.may_keep()
                self._did(step)
                return
        except ConsentRevoked:
            self.seen.stopped[step] += 1
        except StorageUnavailable:
            # The turn of another thread may take as long as a lease does here; then nothing is promised.
            self.seen.stopped["busy"] += 1

    async def _issue(self, one: Evidence, name: str, permit_id: str) -> None:
        kept = SealedSource(WAY.platform, WAY.dataset, b'{"records":[]}')
        # An invented profile, as far as it is read when it is used again.
        told = {"consent_id": f"c{self.seed}", "purpose": "loan_review", "period": PERIOD, "sources": [SOURCE]}
        await one.submit(IssueProfile(permit_id, f"f{name}", 1, SIGNER.sign(told).jws, (kept,), ()))

    async def _call(self, guard: PermitGuard) -> Reply:
        await guard.may_send()
        self._did("send")
        await self._pause()
        await guard.may_keep()
        self._did("arrival")
        return ANSWER


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
            processes = [(one, Flights()), (two, Flights())]
            await asyncio.gather(*(Interleaving(seed, processes, seen).run() for seed in some))
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
