"""gateway.watching: a real gateway under load, its manifest changed well and badly, its platform off and on."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

import gateway.watching
from connectors.registry import BUILT_IN
from connectors.sandbox.server import start_sandbox
from gateway.app import create_app
from gateway.client import LenderClient
from gateway.demo import LENDER, Demo, demo_settings, lender_key, profile_ask, sample_grant, serving, subject_of
from gateway.services import SERVICES, switches_folder, utc_now
from gateway.settings import Platform
from gateway.watching import watching

ID, SECTION = "xx-hrss", "social_insurance"


@dataclass
class World:
    demo: Demo
    manifest: Path
    consent: str
    firm: dict[str, Any]
    answers: list[dict[str, Any]] = field(default_factory=list)
    stop: bool = False

    async def load(self) -> None:
        """One caller without a pause; whatever is not an issued profile raises."""
        while not self.stop:
            ask = profile_ask(self.firm, self.consent) | {"datasets": [SECTION]}
            self.answers.append(await self.demo.lender.profile(ask))

    def write(self, old: str, new: str) -> None:
        """Over the file that stands there, as an editor does it: in place, not whole at once."""
        text = self.manifest.read_text("utf-8")
        assert text.count(old) == 1
        with self.manifest.open("w", encoding="utf-8") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            os.fsync(file.fileno())
            file.write(text[len(text) // 2 :])
            file.seek(0)
            file.truncate()
            file.write(text.replace(old, new))

    async def metric(self, line: str) -> None:
        """Wait until /metrics has the line."""
        async with asyncio.timeout(60):
            while line not in (await self.demo.get("/metrics")).decode():  # noqa: ASYNC110 - a file is what is watched
                await asyncio.sleep(0.05)

    async def more(self, fits: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until a profile answers that fits."""
        async with asyncio.timeout(60):
            while not (self.answers and fits(self.answers[-1])):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A gateway with one connector from outside, which asks the sandbox's sh-hrss."""
    monkeypatch.setattr(gateway.watching, "EVERY", 0.1)
    folder = tmp_path / "mine" / ID
    shutil.copytree(BUILT_IN / "sh-hrss", folder)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text("utf-8").replace('id = "sh-hrss"', f'id = "{ID}"'), "utf-8")
    key = lender_key(tmp_path)
    sandbox = await start_sandbox(0, seed=1)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            held = demo_settings(tmp_path, sandbox.url, {}, key, connectors=[folder], allow_connectors=[ID])
            there = Platform(base_url=f"{sandbox.url}/sh-hrss", credentials=dict(sandbox.secrets["sh-hrss"]))
            app = create_app(held.model_copy(update={"platforms": {ID: there}}))
            async with serving(app) as url:
                lender = LenderClient(session, url, LENDER, key, held.issuer)
                demo = Demo(sandbox.url, url, lender, session, app[SERVICES])
                firm = (await demo.scenarios())["clean"]
                offers = {c.id: c.datasets for c in demo.services.connectors.values()}
                grant = sample_grant(subject_of(firm), offers, utc_now(), max_uses=100_000)
                consent = (await lender.register(grant))["id"]
                yield World(demo, manifest, consent, firm)
    finally:
        await sandbox.close()


def version(answer: dict[str, Any]) -> str:
    (source,) = answer["sources"]
    assert isinstance(source["connector_version"], str)
    return source["connector_version"]


def state(answer: dict[str, Any]) -> tuple[str, str | None]:
    section = answer["sections"][SECTION]
    return section["state"], section.get("reason")


async def test_a_mistake_in_a_manifest_never_interrupts_service_under_load(world: World) -> None:
    first = world.demo.services.connectors[ID].version
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(world.load())
            try:
                await world.more(lambda answer: version(answer) == first)
                for old, new in (
                    ('steps = ["xml", "at:Envelope.resp", "json"]', 'steps = ["xlm"]'),
                    ('steps = ["xlm"]', 'steps = ["xml", "at:Envelope.resp", "json"]\ncolour = "red"'),
                    ('\ncolour = "red"', "\n]"),
                ):
                    asked = len(world.answers)
                    world.write(old, new)
                    await world.metric(f'xinqiao_manifest_refused{{platform="{ID}"}} 1.0')
                    await world.more(lambda _, asked=asked: len(world.answers) > asked + 10)  # type: ignore[misc]
                assert {version(answer) for answer in world.answers} == {first}
                # It reads well and means something else: only its fixtures show it.
                world.write("\n]", "")
                await world.metric(f'xinqiao_manifest_refused{{platform="{ID}"}} 0.0')
                world.write(
                    'no_record = [{ at = "head.rtn", equals = "1004" }]',
                    'no_record = [{ at = "head.rtn", equals = "0000" }]',
                )
                await world.metric(f'xinqiao_manifest_refused{{platform="{ID}"}} 1.0')
                asked = len(world.answers)
                await world.more(lambda _: len(world.answers) > asked + 10)
                assert {version(answer) for answer in world.answers} == {first}
                # And mended, in a new version.
                world.write('equals = "0000" }]\nsuccess', 'equals = "1004" }]\nsuccess')
                await world.metric(f'xinqiao_manifest_refused{{platform="{ID}"}} 0.0')
                world.write('version = "1"', 'version = "2"')
                await world.more(lambda answer: version(answer).startswith("2+"))
            finally:
                world.stop = True
    assert len(world.answers) > 40
    assert {state(answer)[0] for answer in world.answers} == {"present"}
    assert len({version(answer) for answer in world.answers}) == 2
    refused = [line for line in logs if line["event"] == "manifest_refused"]
    assert {line["where"] for line in refused} >= {"manifest.toml:20"}
    assert refused[-1]["reason"].startswith("fixtures/")
    assert {line["version"] for line in refused} == {first}


async def test_a_platform_is_switched_off_and_on_under_load(world: World) -> None:
    switch = switches_folder(world.demo.services.settings) / ID
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(world.load())
        try:
            await world.more(lambda answer: state(answer)[0] == "present")
            switch.parent.mkdir()
            switch.touch()
            await world.metric(f'xinqiao_platform_off{{platform="{ID}"}} 1.0')
            before = await _calls(world)
            asked = len(world.answers)
            await world.more(lambda answer: state(answer) == ("unavailable", "platform_off"))
            await world.more(lambda _: len(world.answers) > asked + 10)
            assert await _calls(world) == before
            switch.unlink()
            await world.more(lambda answer: state(answer)[0] == "present")
        finally:
            world.stop = True


async def _calls(world: World) -> int:
    async with world.demo.session.get(world.demo.sandbox_url + "/_sandbox/requests") as reply:
        counts = await reply.json()
    return sum(platform["total"] for platform in counts.values())


async def test_a_look_that_fails_does_not_end_the_looking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connectors = world.demo.services.connectors
    failed = asyncio.Event()
    usual = type(connectors).look

    async def once(self: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise PermissionError
        return await usual(self)

    monkeypatch.setattr(type(connectors), "look", once)
    with capture_logs() as logs:
        await asyncio.wait_for(failed.wait(), 30)
        world.write('version = "1"', 'version = "2"')
        await world.metric(f'xinqiao_manifests_total{{outcome="reloaded",platform="{ID}"}} 1.0')
    assert [line["error_type"] for line in logs if line["event"] == "connectors_unwatched"] == ["PermissionError"]


async def test_a_switch_from_before_the_start_is_in_the_metrics(world: World) -> None:
    services = world.demo.services
    services.connectors.switches.off = frozenset({ID, "nobody"})
    async with watching(services):
        await asyncio.sleep(0)
        assert services.metrics.registry.get_sample_value("xinqiao_platform_off", {"platform": ID}) == 1
        assert services.metrics.registry.get_sample_value("xinqiao_platform_off", {"platform": "nobody"}) is None
