"""connectors.engine.tuning: what the operator says holds in place of the manifest, also of one that changed since."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.engine.connector import DeclarativeConnector
from connectors.engine.tuning import AS_STATED, Tuning
from connectors.live import Live
from connectors.ports import MemoryState
from connectors.registry import Reach, find, load_connectors, reached
from schemas.errors import ConfigurationError, Maintenance, QuotaExhausted, UpstreamError
from schemas.manifest import Limits
from tests.engine_world import BASE as _BASE
from tests.engine_world import BUSY, NONE, NOW, SECRETS, Scripted, bureau, connector, fetch

REACH: dict[str, Reach] = {"xx-bureau": (True, None, SECRETS)}


async def test_what_is_not_said_is_the_manifests(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    made = connector(loaded, Scripted())
    assert (made.limits, made.freshness) == (loaded.manifest.limits, {"provident_fund": "30d"})
    tuned = connector(loaded, Scripted(), tuning=Tuning(Limits(attempts=1), {"provident_fund": "45d"}))
    assert tuned.limits == loaded.manifest.limits.model_copy(update={"attempts": 1})
    assert tuned.freshness == {"provident_fund": "45d"}
    assert tuned.manifest.limits == loaded.manifest.limits


async def test_a_limit_that_is_given_holds_even_where_it_is_the_default_of_all_manifests(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    stated = loaded.manifest.limits.model_copy(update={"attempts": 9})
    manifest = loaded.manifest.model_copy(update={"limits": stated})
    assert Tuning(Limits(attempts=Limits().attempts)).limits_of(manifest).attempts == Limits().attempts
    assert AS_STATED.limits_of(manifest) == stated


async def test_timeout_and_attempts_in_force_are_those_that_are_kept(tmp_path: Path) -> None:
    script = Scripted([BUSY, BUSY, BUSY])
    made = connector(bureau(tmp_path), script, tuning=Tuning(Limits(attempts=2, timeout="700ms")))
    with pytest.raises(UpstreamError):
        await fetch(made)
    assert script.timeouts == pytest.approx([0.7, 0.7])


async def test_the_daily_figure_in_force_is_what_is_counted_against(tmp_path: Path) -> None:
    script, state = Scripted(by=lambda _: NONE), MemoryState()
    made = connector(bureau(tmp_path), script, state=state, tuning=Tuning(Limits(daily=2)))
    assert made.daily == 2
    await fetch(made)
    await fetch(made)
    with pytest.raises(QuotaExhausted):
        await fetch(made)
    assert len(script.requests) == 2


async def test_windows_that_are_given_stand_in_place_of_all_of_the_manifests(tmp_path: Path) -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    now = f"daily {at:%H}:00-{at:%H}:59 Etc/UTC"
    script = Scripted(by=lambda _: NONE)
    with pytest.raises(Maintenance):
        await fetch(connector(bureau(tmp_path), script, tuning=Tuning(Limits(maintenance=[now]))))
    assert script.requests == []
    shut = bureau(tmp_path, base=f'{_BASE}\n[limits]\nmaintenance = ["{now}"]\n')
    with pytest.raises(Maintenance):
        await fetch(connector(shut, script))
    await fetch(connector(shut, script, tuning=Tuning(Limits(maintenance=[]))))
    assert len(script.requests) == 1


async def test_processes_part_the_rate_and_concurrency_in_force(tmp_path: Path) -> None:
    made = connector(bureau(tmp_path), Scripted(), tuning=Tuning(Limits(rate="4/s", concurrency=2)))
    await made.gate.share(2)
    async with made.gate:
        second = asyncio.ensure_future(made.gate.__aenter__())
        await asyncio.sleep(0)
        assert not second.done()
    await second


def live(at: Path, tunings: dict[str, Tuning]) -> Live:
    return load_connectors(transport=Scripted(), platforms=REACH, tunings=tunings, folders=[at], allow=["xx-bureau"])


def serving(held: Live) -> DeclarativeConnector:
    made = held["xx-bureau"]
    assert isinstance(made, DeclarativeConnector)
    return made


async def test_a_manifest_that_changes_keeps_what_the_operator_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = bureau(tmp_path)
    held = live(loaded.folder, {"xx-bureau": Tuning(Limits(rate="3/s"), {"provident_fund": "10d"})})
    monkeypatch.setattr("connectors.live.check_loaded", lambda _: [])
    file = loaded.files[0]
    file.write_text(
        file.read_text("utf-8").replace("[auth]", '[limits]\nrate = "90/s"\nattempts = 5\n\n[auth]'), "utf-8"
    )
    assert [change.kind for change in await held.look()] == ["reloaded"]
    made = serving(held)
    assert (made.manifest.limits.rate, made.limits.rate, made.limits.attempts) == ("90/s", "3/s", 5)
    assert made.freshness == {"provident_fund": "10d"}


async def test_what_there_is_not_is_named_with_what_may_have_been_meant(tmp_path: Path) -> None:
    found = find([bureau(tmp_path).folder], ["xx-bureau"])
    with pytest.raises(ConfigurationError) as caught:
        reached(found, {"xx-burea": (True, AS_STATED)})
    assert caught.value.details["at"] == "platforms.xx-burea"
    assert "`xx-bureau`" in str(caught.value.details["mend"])
    with pytest.raises(ConfigurationError) as caught:
        live(tmp_path, {"xx-bureau": Tuning(freshness={"provident_fun": "1d"})})
    assert caught.value.details["at"] == "platforms.xx-bureau.freshness.provident_fun"
    assert "`provident_fund`" in str(caught.value.details["mend"])
    with pytest.raises(ConfigurationError) as caught:
        live(tmp_path, {"xx-bureau": Tuning(freshness={"judicial": "1d"})})
    assert "`" not in str(caught.value.details["mend"])
