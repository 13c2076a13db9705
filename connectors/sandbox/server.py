"""The platforms and their back door as one aiohttp application on one port."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from connectors.sandbox.admin import Admin
from connectors.sandbox.bank import write_bank
from connectors.sandbox.bureau.server import Bureau
from connectors.sandbox.calling import Calling
from connectors.sandbox.credentials import Secrets, secrets_of
from connectors.sandbox.faults import Fault
from connectors.sandbox.platforms import district
from connectors.sandbox.platforms.acfic import Acfic
from connectors.sandbox.platforms.base import Platform
from connectors.sandbox.platforms.ccrc import Ccrc
from connectors.sandbox.platforms.core import Core
from connectors.sandbox.platforms.court import Court
from connectors.sandbox.platforms.credit import Credit
from connectors.sandbox.platforms.guarantee import GuaranteeFund
from connectors.sandbox.platforms.housing import Housing
from connectors.sandbox.platforms.hpf import Hpf
from connectors.sandbox.platforms.hrss import Hrss
from connectors.sandbox.platforms.pudong import Pudong
from connectors.sandbox.platforms.registry import Registry
from connectors.sandbox.platforms.tax import Tax
from connectors.sandbox.platforms.yunlian import Yunlian
from connectors.sandbox.platforms.ywtb import Ywtb
from connectors.sandbox.scenarios import SLOW_SECONDS
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, dump
from connectors.sandbox.world import Clock, World

PLATFORMS: Final[tuple[type[Platform], ...]] = (
    Registry, Hrss, Hpf, Housing, Tax, Court, Credit, Ccrc, GuaranteeFund,
    Yunlian, Core, Acfic, Pudong, *district.ALL, Ywtb,
)  # fmt: skip

WORLD: Final = web.AppKey("world", World)
SECRETS: Final = web.AppKey("secrets", dict[str, dict[str, str]])

_MAX_BODY = 64 * 1024
_OK = Fault()


class Switchboard:
    """Takes every call to a platform, applies whole-platform faults and scenario troubles, and counts it."""

    def __init__(
        self,
        world: World,
        platforms: Mapping[str, Platform],
        faults: Mapping[str, Fault],
        counts: dict[str, Counter[str]],
    ) -> None:
        self._world = world
        self._platforms = platforms
        self._faults = faults
        self._counts = counts

    async def handle(self, request: web.Request) -> web.Response:
        platform = self._platforms.get(request.match_info["platform"])
        if platform is None:
            raise web.HTTPNotFound(text="no such platform")
        fault = self._faults.get(platform.id, _OK)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        answer = _broken(fault, platform) or await self._answer(platform, request)
        self._counts[platform.id][str(answer.verdict)] += 1
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={"Content-Type": answer.content_type, **answer.headers},
        )

    async def _answer(self, platform: Platform, request: web.Request) -> Answer:
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        answer = platform.answer(Call(request.method, path, query, request.headers, body, self._world.clock()))
        trouble = answer.uscc and self._world.trouble(platform.id, answer.uscc)
        if trouble == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return _unavailable() if trouble == "down" else answer


def _broken(fault: Fault, platform: Platform) -> Answer | None:
    if fault.down:
        return _unavailable()
    if fault.status:
        return Answer(dump({"message": "error"}), "fault", status=fault.status)
    return platform.refuse(Why.BUSY) if fault.busy else None


def _unavailable() -> Answer:
    return Answer(b"<html><body>503 Service Unavailable</body></html>", "down", "text/html", 503)


def create_sandbox(
    seed: int = 1, *, clock: Clock = time.time, faults: Mapping[str, Fault] | None = None, nonces: Path | None = None
) -> web.Application:
    """``clock`` gives Unix seconds; the same seed gives the same enterprises and the same credentials. ``nonces``: the
    file that keeps what callers used, so that nothing comes twice after a restart or in another process."""
    world = World(seed, clock, nonces)
    secrets = secrets_of(seed)
    platforms = {kind.id: kind(world, secrets[kind.id]) for kind in PLATFORMS}
    counts = {platform: Counter[str]() for platform in platforms}
    app = web.Application(client_max_size=_MAX_BODY)
    app[WORLD] = world
    app[SECRETS] = secrets
    calling = Calling(world)
    app.cleanup_ctx.append(calling.running)
    app.add_routes([*Admin(world, secrets, counts).routes(), *Bureau(world).routes(), *calling.routes()])
    app.router.add_route("*", "/{platform}/{service:.*}", Switchboard(world, platforms, faults or {}, counts).handle)
    return app


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that listens. ``url`` has no slash at its end."""

    url: str
    secrets: Secrets
    world: World
    runner: web.AppRunner

    async def close(self) -> None:
        """Stop at once; calls that a slow scenario holds are dropped."""
        await self.runner.cleanup()
        self.world.close()


async def start_sandbox(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    seed: int = 1,
    clock: Clock = time.time,
    faults: Mapping[str, Fault] | None = None,
    bank: Path | None = None,
    nonces: Path | None = None,
) -> Running:
    """Listen on ``host``; port 0 takes a free one. A caller that hangs up ends its call. ``bank``: the folder in which
    the bank's own database and files are made. ``nonces``: see ``create_sandbox``."""
    app = create_sandbox(seed, clock=clock, faults=faults, nonces=nonces)
    if bank is not None:
        app[SECRETS]["bank-internal"] = write_bank(app[WORLD], bank)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound: int = runner.addresses[0][1]
    return Running(f"http://{host}:{bound}", app[SECRETS], app[WORLD], runner)
