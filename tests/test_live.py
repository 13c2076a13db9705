"""connectors.live: what changes while it serves, what does not, and what is switched off."""

import asyncio
import os
from pathlib import Path

import pytest

from connectors.engine.connector import DeclarativeConnector
from connectors.kit.scaffold import Wanted, scaffold
from connectors.live import Live, Switches
from connectors.registry import load_connectors
from connectors.wire import WireReply, WireRequest
from schemas.errors import ManifestError, PlatformOff
from tests.engine_world import Answer, Scripted, fetch

WANTED = Wanted("xx-bureau", "虚构局", "Bureau (invented)", "虚构局", ("honours",))
FIRST = scaffold(WANTED)
MANIFEST = FIRST["manifest.toml"].decode()


class World:
    def __init__(self, at: Path) -> None:
        self.folder, self.switches = at / "xx-bureau", at / "off"
        for path, content in FIRST.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        self.script = Scripted(by=lambda _: {"code": "404"})
        reach = {"xx-bureau": (True, None, {"app_id": "invented", "app_key": "invented"})}
        self.live = load_connectors(
            transport=self.script, platforms=reach, folders=[self.folder], allow=["xx-bureau"], switches=self.switches
        )

    def write(self, text: str, file: str = "manifest.toml") -> None:
        path = self.folder / file
        before = path.stat().st_mtime_ns
        path.write_text(text, "utf-8")
        os.utime(path, ns=(before + 1_000_000, before + 1_000_000))

    async def look(self) -> list[tuple[str, str]]:
        return [(change.connector, change.kind) for change in await self.live.look()]

    @property
    def version(self) -> str:
        return self.live["xx-bureau"].version


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def ask(live: Live) -> None:
    held = live["xx-bureau"]
    assert isinstance(held, DeclarativeConnector)
    await fetch(held, "honours")


async def test_what_did_not_change_is_not_read_again(world: World) -> None:
    serving = world.live["xx-bureau"]
    assert await world.look() == []
    assert world.live["xx-bureau"] is serving
    assert (list(world.live), len(world.live)) == (["xx-bureau"], 1)


async def test_a_changed_manifest_that_holds_serves(world: World) -> None:
    before, held = world.version, world.live["xx-bureau"]
    world.write(MANIFEST.replace('version = "1"', 'version = "2"'))
    assert await world.look() == [("xx-bureau", "reloaded")]
    assert world.version.startswith("2+")
    assert held.version == before  # what was taken out before is still the one version
    assert await world.look() == []


async def test_a_touched_manifest_is_the_same_version(world: World) -> None:
    serving = world.live["xx-bureau"]
    world.write(MANIFEST)
    assert await world.look() == []
    assert world.live["xx-bureau"] is serving


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ('version = "1"', 'version = "1', ""),
        ('version = "1"', 'version = "1"\ncolour = "red"', "colour"),
        ('id = "xx-bureau"', 'id = "yy-bureau"', "id"),
        ('name = "honours"', 'name = "penalties"', ""),
        ('equals = "404"', 'equals = "405"', "fixtures/honours-absent.json"),
        (
            'secrets = ["app_id", "app_key"]',
            'secrets = ["app_id", "app_key", "another"]',
            "platforms.xx-bureau.credentials.another",
        ),
    ],
    ids=["no TOML", "unknown key", "another id", "another data set", "a fixture fails", "a secret nobody gave"],
)
async def test_a_changed_manifest_with_a_mistake_changes_nothing(world: World, old: str, new: str, at: str) -> None:
    before = world.version
    assert MANIFEST.count(old) == 1
    world.write(MANIFEST.replace(old, new))
    (change,) = await world.live.look()
    assert (change.kind, change.version) == ("refused", before)
    assert change.error is not None
    assert change.error.details["at"] == at or not at
    await ask(world.live)
    assert await world.look() == []  # said once
    world.write(MANIFEST)
    assert await world.look() == [("xx-bureau", "reloaded")]
    assert world.version == before
    world.write(MANIFEST.replace('version = "1"', 'version = "3"'))
    assert await world.look() == [("xx-bureau", "reloaded")]


async def test_a_data_set_or_field_is_not_taken_away_while_it_serves(world: World) -> None:
    line = next(line for line in MANIFEST.splitlines() if line.startswith("authority = "))
    world.write(MANIFEST.replace(line, ""))
    (change,) = await world.live.look()
    assert isinstance(change.error, ManifestError)
    assert change.error.details["at"] == "dataset"


async def test_a_manifest_that_is_gone_is_a_mistake(world: World) -> None:
    (world.folder / "manifest.toml").unlink()
    assert await world.look() == [("xx-bureau", "refused")]
    await ask(world.live)


async def test_a_mended_fixture_is_enough_for_another_try(world: World) -> None:
    world.write(MANIFEST.replace('equals = "404"', 'equals = "405"').replace('version = "1"', 'version = "2"'))
    assert await world.look() == [("xx-bureau", "refused")]
    world.write('{"code": "405"}', "fixtures/absent.reply.json")
    assert await world.look() == [("xx-bureau", "reloaded")]


async def test_a_switched_platform_is_asked_no_more_until_it_is_switched_on(world: World) -> None:
    await ask(world.live)
    world.switches.mkdir()
    (world.switches / "xx-bureau").touch()
    (world.switches / "nobody").touch()
    assert await world.look() == [("xx-bureau", "off")]
    with pytest.raises(PlatformOff):
        await ask(world.live)
    world.write(MANIFEST.replace('version = "1"', 'version = "2"'))
    assert await world.look() == [("xx-bureau", "reloaded")]
    with pytest.raises(PlatformOff):
        await ask(world.live)
    assert len(world.script.requests) == 1
    (world.switches / "xx-bureau").unlink()
    assert await world.look() == [("xx-bureau", "on")]
    await ask(world.live)


async def test_a_fetch_under_way_starts_no_other_call_once_it_is_off(world: World) -> None:
    def busy(_: WireRequest) -> Answer:
        world.live.switches.off = frozenset({"xx-bureau"})
        return WireReply(503, {}, b"")

    world.script.by = busy
    with pytest.raises(PlatformOff):
        await ask(world.live)
    assert len(world.script.requests) == 1


async def test_a_switch_that_was_there_before_holds_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    (tmp_path / "off" / "xx-bureau").touch()
    with pytest.raises(PlatformOff):
        await ask(World(tmp_path).live)


async def test_the_check_of_a_manifest_runs_beside_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(turning())
    world.write(MANIFEST.replace('version = "1"', 'version = "2"'))
    await world.look()
    task.cancel()
    assert turns > 10


def test_without_a_folder_no_platform_is_off() -> None:
    assert Switches(None).off == frozenset()


def test_a_folder_that_is_not_there_switches_nothing(tmp_path: Path) -> None:
    assert Switches(tmp_path / "none").read() == frozenset()
