"""district-*: one dialect for all: HMAC-SM3 over method, path and body, POST form, Chinese kinds, 元 text."""

from collections.abc import Mapping
from typing import Any

from connectors import sm2
from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, route
from connectors.sandbox.support import DISTRICTS
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, cents, compact, dump, form, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_CODES = {
    Why.MALFORMED: "40",
    Why.MISSING: "41",
    Why.UNKNOWN: "41",
    Why.FORGED: "41",
    Why.STALE: "42",
    Why.REPLAYED: "43",
    Why.BUSY: "90",
}
_KINDS = {"subsidy": "补贴", "evaluation": "评价", "white_list": "白名单", "financing_need": "融资需求"}


class District(Platform):
    """``id`` comes from the subclass of each district."""

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"api/qyfc": True})
        app, ts, nonce, sign = verify.need(call.headers, "X-Qx-Id", "X-Qx-Time", "X-Qx-Nonce", "X-Qx-Sign")
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, verify.unix(ts, 1000), _WINDOW, _WINDOW)
        text = f"{call.method}\n{call.path}\n{ts}\n{nonce}\n{sm2.sm3(call.body).hex()}".encode("utf-8", "replace")
        verify.signed(sign, sm2.hmac_sm3(self.secrets["app_key"].encode(), text).hex())
        self._nonces.use(nonce, call.now)
        uscc = text_of(form(call.body), "tyshxydm")
        e, rows = self.world.rows(self.id, "policy_support", uscc)
        if e is None or not rows:
            return _reply("20", None, "no_record", uscc)
        result = {"tyshxydm": e.uscc, "sjrq": compact(e.today), "zc": [_row(row) for row in rows]}
        return _reply("00", result, "answered", uscc)

    def refuse(self, why: Why) -> Answer:
        return _reply(_CODES[why], None, why, None)


def _row(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "lb": _KINDS[r["kind"]], "mc": r["name"], "je": cents(r["amount"]), "bm": r["authority"],
        "rq": compact(r["granted_on"]), "jg": r["result"] or "",
    }  # fmt: skip


def _reply(code: str, result: object, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"code": code, "result": result}), verdict, uscc=uscc)


def district(name: str) -> type[Platform]:
    return type(f"District{name.capitalize()}", (District,), {"id": f"district-{name}"})


ALL: tuple[type[Platform], ...] = tuple(district(name) for name in DISTRICTS)
