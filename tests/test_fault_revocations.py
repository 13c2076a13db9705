"""Withdrawal against send, arrival, what is used again or shared, and release: seeded interleavings on a real log."""

from pathlib import Path

import pytest

from tests.faults.revocations import LEASE, interleavings


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("leases", "evidence"):
        monkeypatch.setattr(f"consent.{module}.LEASE_SECONDS", LEASE)


async def test_nothing_is_sent_kept_returned_or_stored_after_an_acknowledged_withdrawal(tmp_path: Path) -> None:
    seen = await interleavings(tmp_path / "e.db", range(200))
    assert seen.late == []
    # The races are real ones: each step was done before a withdrawal, and stopped by one.
    for step in ("send", "arrival", "again", "share", "release"):
        assert seen.done[step] > 0, step
        assert seen.stopped[step] > 0, step
    assert seen.stopped["permit"] > 0


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
