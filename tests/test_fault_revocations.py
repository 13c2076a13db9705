"""Withdrawal against send, arrival, reuse of a permit and release, in seeded interleavings on a real log."""

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
    # The races are real ones: each step was done before a withdrawal, and stopped by one, many times.
    for step in ("send", "arrival", "release"):
        assert seen.done[step] > 20, step
        assert seen.stopped[step] > 5, step
    assert seen.stopped["reuse"] > 0
    assert seen.stopped["permit"] > 5


async def test_an_acknowledgement_that_does_not_wait_for_the_leases_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.leases.LEASE_SECONDS", 0.2)
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0)
    assert (await interleavings(tmp_path / "e.db", range(120))).late != []
