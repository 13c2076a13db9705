"""(c) The full job: the gateway as it is served, its eight platforms on the quiet upstream."""

import asyncio
import sys
import tempfile
from pathlib import Path

import orjson
from aiohttp import web
from pydantic import SecretStr

from benchmarks.platforms import SECRETS, write_platforms
from gateway import memory
from gateway.app import create_app
from gateway.auth.tokens import public_jwk
from gateway.demo import LENDER
from gateway.keys import signing_key
from gateway.services import SERVICES
from gateway.settings import Lender, Limits, Platform, Settings
from gateway.telemetry import configure_logging


async def main(upstream: str, lender_pem: str) -> None:
    with tempfile.TemporaryDirectory(prefix="xinqiao-bench-") as temporary:
        folder = Path(temporary)
        connectors = write_platforms(folder / "connectors", upstream)
        names = [place.name for place in connectors]
        settings = Settings(
            data=folder / "data",
            lenders={LENDER: Lender(name="benchmark", jwks={"keys": [public_jwk(signing_key(Path(lender_pem)))]})},
            platforms={name: Platform(credentials={k: SecretStr(v) for k, v in SECRETS.items()}) for name in names},
            connectors=connectors,
            allow_connectors=names,
            allow_private=[upstream.removeprefix("http://")],
            limits=Limits(deadline_seconds=30),
        )
        with (folder / "gateway.log").open("w") as log:
            configure_logging(log)
            app = create_app(settings)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            memory.settle()  # as `xinqiao serve` does
            print(runner.addresses[0][1])
            offers = {c.id: {d: sorted(f) for d, f in c.datasets.items()} for c in app[SERVICES].connectors.values()}
            print(orjson.dumps(offers).decode(), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
