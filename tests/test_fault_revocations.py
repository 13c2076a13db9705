"""Withdrawal against send, arrival, what is used again or shared, and release: seeded interleavings on a real log."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.revocations import LEASE, interleavings


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("leases", "evidence"):
        monkeypatch.setattr(f"consent.{module}.LEASE_SECONDS", LEASE)


async def test_nothing_is_sent_kept_returned_or_stored_after_an_acknowledged_withdrawal(tmp_path: Path) -> None:
    done: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    # The races are real ones: each step was done before a withdrawal, and stopped by one. On a busy machine that takes
    # more of them.
    steps = {"send", "arrival", "again", "share", "release"}
    for first in range(0, 2000, 200):
        seen = await interleavings(tmp_path / f"{first}.db", range(first, first + 200))
        assert seen.late == []
        done, stopped = done + seen.done, stopped + seen.stopped
        if steps <= done.keys() and steps | {"permit"} <= stopped.keys():
            return
    pytest.fail(f"done {done}, stopped {stopped}")


async def test_an_acknowledgement_that_does_not_wait_for_the_leases_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.leases.LEASE_SECONDS", 0.2)
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0)
    monkeypatch.setattr("consent.leases.Lease.drop", lambda _: None)
    for first in range(0, 4000, 100):
        if (await interleavings(tmp_path / f"{first}.db", range(first, first + 100))).late:
            return
    pytest.fail("no interleaving showed it")
