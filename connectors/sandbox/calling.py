"""A platform below ``/calling`` that answers later by calling back; no platform of the catalogue does so.

``POST /calling/apply`` takes the question with an address (``notify``), and gives a number (``lsh``). After ``delay``
seconds the answer goes there, signed, once for each of ``does``; what is told to come again is sent again. Everything
[A]: invented for this sandbox. ``/_sandbox/calling`` shows and sets it, and has one sent by hand.
"""

import asyncio
import hmac
import secrets as randomness
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp
from aiohttp import web

from connectors.sandbox import verify
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import dump, iso, load, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_TRIES = 5
HOWS = ("send", "forged", "unsigned", "stale", "replay", "repeat", "other", "other_id", "busy", "failed", "none")
"""``replay``: the bytes and headers of the call before; ``repeat``: the same content, signed anew; ``other``: other
content; ``other_id``: under another number; ``busy``, ``failed`` and ``none`` (no record): instead of data."""


@dataclass
class Asked:
    """One question, and how the calls about it were answered."""

    n: int
    lsh: str
    uscc: str
    notify: str
    told: list[tuple[str, int]] = field(default_factory=list)
    sent: tuple[bytes, dict[str, str]] | None = None


class Calling:
    def __init__(self, world: World) -> None:
        self._world = world
        self._used = world.nonces("calling", 2 * _WINDOW)
        self._calls: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.delay = 1.0
        self.does: list[str] = ["send"]
        self.asked: list[Asked] = []
        self.secrets = {
            name: sha256(f"xinqiao sandbox {world.seed} calling {name}".encode()).hexdigest()[:40]
            for name in ("app_key", "callback_key")
        } | {"app_id": "sandbox-calling"}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/calling/apply", self.apply),
            web.get("/_sandbox/calling", self.shown),
            web.put("/_sandbox/calling", self.set),
            web.post("/_sandbox/calling/{n:[0-9]{1,6}}/{how}", self.by_hand),
        ]

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=10)) as self._session:
            yield
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def apply(self, request: web.Request) -> web.Response:
        body, now = await request.read(), self._world.clock()
        try:
            app, ts, nonce, sign = verify.need(request.headers, "X-App", "X-Time", "X-Nonce", "X-Sign")
            verify.known(app, self.secrets["app_id"])
            verify.fresh(now, verify.unix(ts), _WINDOW, _WINDOW)
            verify.signed(sign, verify.pudong(self.secrets["app_key"], app, ts, nonce, body))
            self._used.use(nonce, now)
            given = load(body)
            uscc, notify = text_of(given, "tyshxydm"), text_of(given, "notify")
        except Refused as refused:
            return _json({"code": "9", "msg": refused.why}, 400 if refused.why is Why.MALFORMED else 401)
        asked = Asked(len(self.asked), f"L{len(self.asked):08d}", uscc, notify)
        self.asked.append(asked)
        call = asyncio.create_task(self._call(asked, self.delay, tuple(self.does)))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return _json({"code": "0", "lsh": asked.lsh})

    async def shown(self, _: web.Request) -> web.Response:
        names = ("n", "lsh", "uscc", "notify", "told")
        asked = [{name: getattr(one, name) for name in names} for one in self.asked]
        return _json({"secrets": self.secrets, "delay": self.delay, "does": self.does, "asked": asked})

    async def set(self, request: web.Request) -> web.Response:
        """``delay`` (seconds, a number) and ``does`` (a list of HOWS, which may be empty)."""
        given = load(await request.read())
        does = given.get("does", self.does)
        if not isinstance(does, list) or not set(does) <= {*HOWS}:
            raise web.HTTPBadRequest(text="does: a list of " + ", ".join(HOWS))
        self.delay, self.does = float(given.get("delay", self.delay)), does
        return web.Response(status=204)

    async def by_hand(self, request: web.Request) -> web.Response:
        """One call now; what it was answered."""
        n, how = int(request.match_info["n"]), request.match_info["how"]
        if n >= len(self.asked) or how not in HOWS:
            raise web.HTTPNotFound(text="no such question, or not a way to answer it")
        status, answer = await self.send(self.asked[n], how, request.query.get("to"))
        return _json({"status": status, "body": answer})

    async def _call(self, asked: Asked, delay: float, does: tuple[str, ...]) -> None:
        await asyncio.sleep(delay)
        for how in does:
            for _ in range(_TRIES):
                status, _answer = await self.send(asked, how)
                if status != 503:
                    break
                await asyncio.sleep(1)

    async def send(self, asked: Asked, how: str, to: str | None = None) -> tuple[int, str]:
        """``to``: another address than the one that was given. Status 0 where nobody answered."""
        assert self._session is not None  # noqa: S101 - the server runs
        if how != "replay" or asked.sent is None:
            body = dump(self._content(asked, how))
            asked.sent = (body, {} if how == "unsigned" else self._signed(body, how))
        body, headers = asked.sent
        try:
            async with self._session.post(
                to or asked.notify, data=body, headers={"Content-Type": "application/json", **headers}
            ) as reply:
                status, answer = reply.status, await reply.text()
        except (aiohttp.ClientError, TimeoutError):
            status, answer = 0, ""
        asked.told.append((how, status))
        return status, answer

    def _signed(self, body: bytes, how: str) -> dict[str, str]:
        key = "somebody else's" if how == "forged" else self.secrets["callback_key"]
        ts = str(int(self._world.clock()) - (_WINDOW + 1 if how == "stale" else 0))
        nonce = randomness.token_hex(8)
        sign = hmac.digest(key.encode(), f"{ts}\n{nonce}\n".encode() + body, "sha256").hex()
        return {"X-Time": ts, "X-Nonce": nonce, "X-Sign": sign}

    def _content(self, asked: Asked, how: str) -> dict[str, Any]:
        head = {"code": {"busy": "5", "failed": "7", "none": "1"}.get(how, "0"), "lsh": asked.lsh}
        if how == "other_id":
            head["lsh"] = "L-another"
        if head["code"] != "0":
            return head
        e, rows = self._world.rows("calling", "provident_fund", asked.uscc, 0, 10**6)
        if e is None:
            return head | {"code": "1"}
        listed = [{"ny": r["month"], "rs": r["persons"], "js": f"{r['base']:.2f}"} for r in rows]
        note = "更正" if how == "other" else ""
        return head | {"tyshxydm": e.uscc, "dwmc": e.name, "rq": iso(e.today), "bz": note, "list": listed}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=dump(value), status=status, content_type="application/json", charset="utf-8")
