"""While the gateway serves: changed manifests and switched platforms are taken up, and told in log and metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from connectors.live import Change
from gateway.services import Services

EVERY = 1.0
"""Seconds between two looks."""


@asynccontextmanager
async def watching(services: Services) -> AsyncIterator[None]:
    task = asyncio.create_task(_watch(services))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(services: Services) -> None:
    log = structlog.get_logger()
    for name in services.connectors.switches.off & services.connectors.keys():
        services.metrics.platform_off.labels(name).set(1)
    while True:
        await asyncio.sleep(EVERY)
        try:
            for change in await services.connectors.look():
                _tell(services, change)
        except Exception as error:
            # A look that fails (a folder that cannot be read) must not end all later ones.
            log.error("connectors_unwatched", error_type=type(error).__name__)


def _tell(services: Services, change: Change) -> None:
    log, metrics, name = structlog.get_logger(), services.metrics, change.connector
    if change.kind in ("on", "off"):
        metrics.platform_off.labels(name).set(1 if change.kind == "off" else 0)
        log.warning("platform_switched", platform=name, state=change.kind)
        return
    metrics.manifests.labels(name, change.kind).inc()
    metrics.manifest_refused.labels(name).set(1 if change.kind == "refused" else 0)
    if change.error is None:
        log.info("manifest_reloaded", platform=name, version=change.version)
        return
    at = change.error.details
    place = f"{Path(str(at.get('file', ''))).name}:{at.get('line', '')}"
    # The version is the last good one, which serves on.
    log.error(
        "manifest_refused",
        platform=name,
        version=change.version,
        code=change.error.code,
        where=place,
        reason=": ".join(str(at[key]) for key in ("at", "mend") if at.get(key)),
    )
