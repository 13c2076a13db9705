"""The HTTP around a witness: ``POST /add-checkpoint`` of https://c2sp.org/tlog-witness."""

import asyncio

from aiohttp import web

from consent.log.witness import MAX_REQUEST, SIZE_TYPE, Refusal, Witness


def witness_app(witness: Witness) -> web.Application:
    async def add_checkpoint(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            # In a thread: what is given out was synced to the disk before.
            line = await asyncio.to_thread(witness.add_checkpoint, body)
        except Refusal as refusal:
            if refusal.size is not None:
                return web.Response(status=409, body=b"%d\n" % refusal.size, headers={"Content-Type": SIZE_TYPE})
            return web.Response(status=refusal.status, text=refusal.reason + "\n")
        except OSError:
            return web.Response(status=503, text="what is co-signed cannot be kept\n")
        return web.Response(text=line)

    app = web.Application(client_max_size=MAX_REQUEST)
    app.router.add_post("/add-checkpoint", add_checkpoint)
    return app
