"""The bureau of schemes below ``/schemes``: it stands in for platforms of dialects that no platform here speaks."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from connectors.sandbox.bureau.dialect import WINDOW, Dialect
from connectors.sandbox.bureau.keyed import DetachedJws, HttpSignatures, WechatpayV3
from connectors.sandbox.bureau.sealed import Envelope, Placeholder
from connectors.sandbox.bureau.shared import NewApisix, OldApisix, RotatingMd5, RotatingNational
from connectors.sandbox.nonces import Used
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Call, dump
from connectors.sandbox.world import World

DIALECTS: tuple[type[Dialect], ...] = (
    OldApisix, NewApisix, RotatingNational, RotatingMd5, WechatpayV3, HttpSignatures, DetachedJws, Envelope,
    Placeholder,
)  # fmt: skip


class Bureau:
    def __init__(self, world: World) -> None:
        self._world = world
        self._dialects: Mapping[str, Dialect] = {kind.name: kind(world.seed) for kind in DIALECTS}
        self._used: Mapping[str, Used] = {name: world.nonces(f"schemes {name}", 2 * WINDOW) for name in self._dialects}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/schemes", self.told),
            web.route("*", "/schemes/{scheme}/{service:.*}", self.handle),
        ]

    async def told(self, _: web.Request) -> web.Response:
        """By scheme what a manifest says of it (``options``, ``reply``) and what its caller holds (``secrets``)."""
        said: dict[str, Any] = {
            name: {"options": d.options, "reply": d.reply, "secrets": d.secrets} for name, d in self._dialects.items()
        }
        return web.Response(body=dump(said), content_type="application/json", charset="utf-8")

    async def handle(self, request: web.Request) -> web.Response:
        dialect = self._dialects.get(request.match_info["scheme"])
        if dialect is None:
            raise web.HTTPNotFound(text="no such scheme")
        path, _, query = request.raw_path.partition("?")
        call = Call(request.method, path, query, request.headers, await request.read(), self._world.clock())
        try:
            issued = dialect.issue(call)
            if issued is not None:
                return web.Response(body=issued, content_type="application/json")
            said, once = dialect.admit(call)
            self._used[dialect.name].use(once, call.now)
        except Refused as refused:
            return web.Response(body=dump({"code": refused.why}), status=_STATUS.get(refused.why, 401))
        text = said.decode("utf-8", "replace")
        headers, body = dialect.answer(call, dump({"code": "0", "scheme": dialect.name, "received": text}))
        return web.Response(body=body, headers=headers)


_STATUS = {Why.MALFORMED: 400, Why.MISSING: 400}
