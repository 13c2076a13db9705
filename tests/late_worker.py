"""A gateway that asks for a profile, says its id and goes on asking until it is killed: ``… FOLDER URL CONSENT``."""

import asyncio
import sys
from pathlib import Path

from gateway.jobs.late import LateAnswers
from tests.late_world import Watch, ask, gateway, settings


async def main(at: Path, url: str, consent_id: str) -> None:
    async with gateway(settings(at, url), Watch()) as services:
        sys.stdout.write((await ask(services, consent_id))["id"] + "\n")
        sys.stdout.flush()
        await LateAnswers(services).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
