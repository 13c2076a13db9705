"""Leases on a clock that stands still: no send starts after a revocation was acknowledged."""

import asyncio
import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from consent.consents import ChangeConsent, GrantConsent
from consent.leases import LEASE_SECONDS, Lease, Leases, PermitGuard
from consent.permits import Agreed, Permit
from consent.storage import Database
from schemas.consent import ConsentState
from schemas.errors import ConsentError, ConsentExpired, ConsentRevoked, StorageUnavailable
from tests.consent_world import LENDER, Clock, ask, document, grant, world
from tests.test_consent_vault import key


class Reads:
    """A stored consent."""

    def __init__(self) -> None:
        self.count = 0
        self.code: str | None = None

    async def __call__(self, consent_id: str) -> str | None:
        self.count += 1
        return self.code


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lease() -> tuple[Lease, Reads, Time]:
    reads, time = Reads(), Time()
    return Lease("c", reads, time), reads, time


async def test_a_good_check_lasts_200_ms_and_costs_one_read() -> None:
    held, reads, time = lease()
    for _ in range(5):
        await held.check()
    assert reads.count == 1
    time.now += LEASE_SECONDS - 0.001
    await held.check()
    assert reads.count == 1
    time.now += 0.001
    await held.check()
    assert reads.count == 2


async def test_a_bad_consent_is_its_own_error_each_time() -> None:
    held, reads, _ = lease()
    reads.code = "consent_revoked"
    for _ in range(3):
        with pytest.raises(ConsentRevoked):
            await held.check()


async def test_the_lease_counts_from_before_the_read() -> None:
    time, count = Time(), 0

    async def takes_150_ms(_: str) -> str | None:
        nonlocal count
        count += 1
        time.now += 0.15
        return None

    held = Lease("c", takes_150_ms, time)
    await held.check()
    time.now += 0.06
    await held.check()
    assert count == 2


async def test_reads_slower_than_a_lease_prove_nothing() -> None:
    time = Time()

    async def slow(_: str) -> str | None:
        time.now += LEASE_SECONDS
        return None

    with pytest.raises(StorageUnavailable):
        await Lease("c", slow, time).check()


async def test_a_drop_ends_the_lease_and_a_check_begun_before_it_grants_none() -> None:
    held, reads, time = lease()
    held.grant(time.now)
    time.now += 0.01
    held.drop()
    held.grant(time.now - 0.005)
    reads.code = "consent_revoked"
    with pytest.raises(ConsentRevoked):
        await held.check()


async def test_a_loop_that_lags_by_more_than_a_lease_still_starts_good_calls_and_never_a_revoked_one() -> None:
    reads, time, clock = Reads(), Time(), Clock()
    guard = Leases(reads, clock, time).guard(permit_of("c", time.now, clock))

    async def lagging() -> None:
        time.now += LEASE_SECONDS * 3
        await asyncio.sleep(0)

    started = 0
    for _ in range(20):
        await lagging()
        await guard.may_send()
        started += 1
    assert (started, reads.count) == (20, 20)
    reads.code = "consent_revoked"
    for _ in range(3):
        await lagging()
        with pytest.raises(ConsentRevoked):
            await guard.may_send()


def permit_of(consent_id: str, checked_at: float, clock: Clock, seconds: float = 900) -> Permit:
    end = Clock(clock.now)
    end.forward(seconds=seconds)
    return Permit("p", Agreed(consent_id, document(), 1, 1), (), end.now, 0, clock.now, None, checked_at, key())


async def test_the_decision_itself_is_a_good_check_shared_by_all_permits_of_the_consent() -> None:
    reads, time, clock = Reads(), Time(), Clock()
    leases = Leases(reads, clock, time)
    one = leases.guard(permit_of("c", time.now, clock))
    two = leases.guard(permit_of("c", time.now - 1, clock))
    other = leases.guard(permit_of("d", time.now - 1, clock))
    await one.may_send()
    await two.may_keep()
    assert reads.count == 0
    await other.may_send()
    assert reads.count == 1
    leases.drop("c")
    await two.may_send()
    assert reads.count == 2
    leases.drop("unknown")


async def test_a_lease_that_nobody_holds_is_forgotten() -> None:
    reads, time, clock = Reads(), Time(), Clock()
    leases = Leases(reads, clock, time)
    guard: PermitGuard | None = leases.guard(permit_of("c", time.now, clock))
    assert len(leases._leases) == 1
    assert guard is not None
    del guard
    gc.collect()
    assert len(leases._leases) == 0


async def test_a_permit_that_ran_out_sends_and_keeps_nothing_even_inside_a_lease() -> None:
    reads, time, clock = Reads(), Time(), Clock()
    guard = Leases(reads, clock, time).guard(permit_of("c", time.now, clock, seconds=10))
    clock.forward(seconds=10)
    for act in (guard.may_send, guard.may_keep):
        with pytest.raises(ConsentExpired):
            await act()


class Race:
    """Two processes, one consent, and a scheduler that picks every next step from a seed.

    Time passes, and the revocation may be committed, before and after the moment at which a read sees the row.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time, self.clock = Time(), Clock()
        self.revoked_at: float | None = None
        self.processes = [Leases(self._read, self.clock, self.time) for _ in range(2)]
        self.guards = [p.guard(permit_of("c", self.time.now, self.clock)) for p in self.processes]
        self.last_start = float("-inf")

    def _pass(self) -> None:
        self.time.now += self.random.choice([0.0, 0.001, 0.02, 0.07, 0.15])
        if self.revoked_at is None and self.random.random() < 0.1:
            self.revoked_at = self.time.now

    async def _read(self, _: str) -> str | None:
        self._pass()
        seen = "consent_revoked" if self.revoked_at is not None else None
        self._pass()
        return seen

    async def run(self, steps: int) -> float:
        """How long after the revocation's commit the last send started (negative: before it)."""
        for _ in range(steps):
            pick = self.random.random()
            if pick < 0.3:
                self._pass()
            elif pick < 0.95:
                await self._send(self.random.choice(self.guards))
            elif self.revoked_at is not None:
                # The commit and the drop are two moments, and only the revoking process drops.
                self.processes[0].drop("c")
        return float("-inf") if self.revoked_at is None else self.last_start - self.revoked_at

    async def _send(self, guard: PermitGuard) -> None:
        try:
            await guard.may_send()
        except (ConsentError, StorageUnavailable):
            return
        self.last_start = max(self.last_start, self.time.now)


def spans(seeds: range) -> Iterator[float]:
    async def every() -> list[float]:
        return [await Race(seed).run(50) for seed in seeds]

    yield from asyncio.run(every())


def test_in_500_interleavings_no_send_starts_a_lease_or_more_after_the_commit() -> None:
    found = list(spans(range(500)))
    assert max(found) < LEASE_SECONDS
    # The race is a real one: sends do start between the commit and the acknowledgement.
    assert sum(span > 0 for span in found) > 50


def test_the_interleavings_find_a_lease_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent.leases.LEASE_SECONDS", LEASE_SECONDS * 1.5)
    assert max(spans(range(100))) >= LEASE_SECONDS


async def test_after_an_acknowledged_revocation_no_guard_of_any_process_lets_a_send_start(place: Path | str) -> None:
    async with world(place) as one, world(place) as two:
        consent = await one.submit(GrantConsent(grant(), LENDER))
        guards = [e.guard(await e.submit(ask(f"p{n}", consent.id))) for n, e in enumerate((one, two))]
        acknowledged = False
        late = []

        async def sender(guard: PermitGuard) -> None:
            while True:
                await guard.may_send()
                late.append(acknowledged)
                await asyncio.sleep(0.001)

        senders = [asyncio.create_task(sender(g)) for g in guards]
        await asyncio.sleep(0)
        await one.change_consent(ChangeConsent(consent.id, ConsentState.REVOKED, LENDER, "r"))
        acknowledged = True
        found = await asyncio.gather(*senders, return_exceptions=True)
        assert [type(f) for f in found] == [ConsentRevoked, ConsentRevoked]
        assert late
        assert not any(late)


async def test_where_the_consent_cannot_be_read_no_send_starts(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = await evidence.submit(GrantConsent(grant(), LENDER))
        guard = evidence.guard(await evidence.submit(ask("p", consent.id)))
        evidence._leases.drop(consent.id)
        assert isinstance(evidence._database, Database)
        evidence._database.points.close()
        with pytest.raises(StorageUnavailable):
            await guard.may_send()
