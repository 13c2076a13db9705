"""connectors.sandbox.calling: the platform that calls back, over real sockets."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
import pytest
from aiohttp import web

from connectors.sandbox.calling import HOWS
from tests.callback_world import Bureau, bureau


@dataclass
class Ears:
    """What was called back, and what it is answered."""

    statuses: list[int] = field(default_factory=list)
    heard: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append((await request.read(), dict(request.headers)))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.called.set()
        return web.Response(status=status)


@asynccontextmanager
async def listening() -> AsyncIterator[Ears]:
    ears = Ears()
    app = web.Application()
    app.router.add_post("/here", ears.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    ears.url = f"http://{host}:{port}/here"
    try:
        yield ears
    finally:
        await runner.cleanup()


async def apply(platform: Bureau, tree: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    body, secrets = orjson.dumps(tree), platform.secrets
    ts, nonce = str(int(time.time())), "0123456789abcdef"
    text = f"{secrets['app_id']}&{ts}&{nonce}&{sha256(body).hexdigest()}"
    sign = hmac.digest(secrets["app_key"].encode(), text.encode(), "sha256").hex()
    sent = {"X-App": secrets["app_id"], "X-Time": ts, "X-Nonce": nonce, "X-Sign": sign, **headers}
    async with platform.session.post(platform.url + "/calling/apply", data=body, headers=sent) as reply:
        return reply.status, orjson.loads(await reply.read())


async def test_it_calls_back_by_itself_until_it_is_not_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        return

    async with bureau() as platform, listening() as ears:
        monkeypatch.setattr("connectors.sandbox.calling.asyncio.sleep", at_once)
        await platform.set(delay=0, does=["none"])
        ears.statuses = [503, 503]
        status, told = await apply(platform, {"tyshxydm": platform.firm["uscc"], "notify": ears.url})
        assert (status, told) == (200, {"code": "0", "lsh": "L00000000"})
        async with asyncio.timeout(10):
            await ears.called.wait()
            while len((await platform.asked())[0]["told"]) < 3:
                pass
        assert (await platform.asked())[0]["told"] == [["none", 503], ["none", 503], ["none", 200]]
        # Each time signed anew.
        assert len({headers["X-Nonce"] for _, headers in ears.heard}) == 3


async def test_each_way_to_call_is_what_it_says() -> None:
    async with bureau() as platform, listening() as ears:
        await apply(platform, {"tyshxydm": platform.firm["uscc"], "notify": ears.url})
        for how in HOWS:
            assert await platform.calls(0, how) == (200, "")
        heard = dict(zip(HOWS, ears.heard, strict=True))
        codes = {how: orjson.loads(body)["code"] for how, (body, _) in heard.items()}
        assert {how for how, code in codes.items() if code != "0"} == {"busy", "failed", "none"}
        assert heard["replay"][0] == heard["stale"][0]
        assert heard["replay"][1]["X-Sign"] == heard["stale"][1]["X-Sign"]
        assert heard["repeat"][0] == heard["send"][0] != heard["other"][0]
        assert orjson.loads(heard["other_id"][0])["lsh"] != "L00000000"
        assert "X-Sign" not in heard["unsigned"][1]
        for how, (body, headers) in heard.items():
            if how == "unsigned":
                continue
            text = f"{headers['X-Time']}\n{headers['X-Nonce']}\n".encode() + body
            right = hmac.digest(platform.secrets["callback_key"].encode(), text, "sha256").hex()
            assert (headers["X-Sign"] == right) is (how != "forged")


async def test_it_takes_questions_of_its_caller_alone() -> None:
    async with bureau() as platform:
        good = {"tyshxydm": "99", "notify": "http://127.0.0.1:1/"}
        assert (await apply(platform, good, **{"X-Sign": "0"}))[0] == 401
        assert (await apply(platform, {"tyshxydm": "99"}))[0] == 400
        assert await platform.asked() == []
        assert (await apply(platform, good))[1]["code"] == "9"  # the nonce came before
        assert (await platform.asked()) == []


async def test_whom_it_does_not_know_has_no_record_and_who_does_not_listen_is_told_nothing() -> None:
    async with bureau() as platform, listening() as ears:
        await apply(platform, {"tyshxydm": "91310000425006133D", "notify": ears.url})
        await platform.calls(0, "send")
        assert orjson.loads(ears.heard[0][0]) == {"code": "1", "lsh": "L00000000"}
        assert await platform.calls(0, "send", "http://127.0.0.1:1/") == (0, "")
        for path in ("9/send", "0/sing"):
            async with platform.session.post(f"{platform.url}/_sandbox/calling/{path}") as reply:
                assert reply.status == 404
        async with platform.session.put(platform.url + "/_sandbox/calling", data=b'{"does":["sing"]}') as reply:
            assert reply.status == 400
