"""A platform that fails for a minute, on a real socket and by a clock that its callers drive (fault U4)."""

from pathlib import Path

import pytest

from connectors.breaker import Breaker
from connectors.resilience import RetryBudget
from gateway.jobs.clock import Steps
from tests.faults.outage import Driven, suffered, wrong


async def test_a_platform_that_is_down_is_left_alone_and_answers_all_soon_after_it_healed(tmp_path: Path) -> None:
    seen = await suffered(tmp_path, 503, 40.0, Driven())
    assert wrong(seen) == []
    callers, got = seen.outage
    assert got < callers / 2
    assert seen.openings > 1
    assert seen.most_probes == Breaker.PROBES


async def test_two_processes_that_tell_each_other_leave_it_alone_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their clock is driven, and goes faster than the machine's.
    monkeypatch.setattr(Steps, "seen", lambda *_: 0)
    seen = await suffered(tmp_path, 503, 40.0, Driven(), processes=2)
    assert wrong(seen) == []
    callers, got = seen.outage
    assert got < callers / 2


async def test_a_platform_that_is_busy_gets_no_more_than_a_fifth_on_top_of_its_callers(tmp_path: Path) -> None:
    seen = await suffered(tmp_path, 429, 40.0, Driven())
    assert wrong(seen) == []
    callers, got = seen.outage
    assert (seen.opened_after, seen.openings) == (None, 0)
    assert callers < got <= 1.2 * callers


async def test_a_gateway_that_tries_again_without_measure_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryBudget, "take", lambda self: True)
    flaws = wrong(await suffered(tmp_path, 429, 10.0, Driven()))
    assert "the platform got more than one request a caller, a fifth and three" in flaws
