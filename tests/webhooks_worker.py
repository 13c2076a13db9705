"""A process that sends webhooks until it is killed: ``python -m tests.webhooks_worker DATABASE HOST:PORT``."""

import asyncio
import sys
from pathlib import Path

from connectors.transport import AioTransport
from gateway.telemetry import Metrics
from gateway.webhooks.sending import Sender
from tests.consent_world import Clock, world


async def main(database: Path, origin: str) -> None:
    clock = Clock()
    async with world(database, clock) as evidence:
        await Sender(evidence, Metrics(), clock, AioTransport(allowed_private=[origin])).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
