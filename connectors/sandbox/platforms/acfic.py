"""acfic-sh: rio signature (the twin of tif in upper case), GET, Chinese dates, one page."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, route
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, dump, pairs, text_of
from connectors.sandbox.world import World

_PAST, _FUTURE = 180, 1
_CODES = {
    Why.MALFORMED: "4000",
    Why.MISSING: "4001",
    Why.UNKNOWN: "4001",
    Why.FORGED: "4001",
    Why.STALE: "4002",
    Why.REPLAYED: "4003",
    Why.BUSY: "5003",
}
_KINDS = {"membership": "会员", "honour": "荣誉", "recommendation": "推荐"}


class Acfic(Platform):
    id = "acfic-sh"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _PAST)

    def serve(self, call: Call) -> Answer:
        route(call, "GET", {"open/member": True})
        app, stamp, nonce, sign = verify.need(
            call.headers, "x-rio-paasid", "x-rio-timestamp", "x-rio-nonce", "x-rio-signature"
        )
        verify.nonce_form(nonce, 10, 20)
        verify.known(app, self.secrets["paasid"])
        verify.fresh(call.now, verify.unix(stamp), _PAST, _FUTURE)
        verify.signed(sign, verify.tif(self.secrets["token"], stamp, nonce).upper())
        self._nonces.use(nonce, call.now)
        uscc = text_of(pairs(call.query), "creditCode")
        e, rows = self.world.rows(self.id, "honours", uscc)
        if e is None or not rows:
            return _reply("1001", "无会员记录", None, "no_record", uscc)
        data = {"creditCode": e.uscc, "updated": _day(e.today), "items": [_row(row) for row in rows]}
        return _reply("0", "ok", data, "answered", uscc)

    def refuse(self, why: Why) -> Answer:
        return _reply(_CODES[why], why, None, why, None)


def _day(day: date | None) -> str | None:
    return None if day is None else f"{day.year}年{day.month}月{day.day}日"


def _row(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "lb": _KINDS[r["kind"]], "mc": r["name"], "dw": r["authority"], "rq": _day(r["granted_on"]),
        "yxq": _day(r["valid_to"]),
    }  # fmt: skip


def _reply(code: str, message: str, data: object, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"retCode": code, "retMsg": message, "resultData": data}), verdict, uscc=uscc)
