"""(a) The bare job: an aiohttp server that asks eight platforms with aiohttp's client, parses and merges."""

import asyncio
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from benchmarks.upstream import replies

SESSION = web.AppKey("session", aiohttp.ClientSession)


def create_bare(upstream: str) -> web.Application:
    urls = [upstream + path for path in replies()]

    async def session(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
            app[SESSION] = opened
            yield

    async def profile(request: web.Request) -> web.Response:
        uscc = (await request.json())["subject"]["uscc"]
        held = request.app[SESSION]

        async def ask(url: str) -> dict[str, object]:
            async with held.post(url, json={"uscc": uscc}) as reply:
                parsed: dict[str, object] = await reply.json()
                return parsed

        found = await asyncio.gather(*(ask(url) for url in urls))
        merged = {url.rsplit("/", 1)[1]: one["rows"] for url, one in zip(urls, found, strict=True)}
        return web.json_response({"uscc": uscc, "sections": merged})

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/v1/profiles", profile)
    return app


async def main(upstream: str) -> None:
    runner = web.AppRunner(create_bare(upstream), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
