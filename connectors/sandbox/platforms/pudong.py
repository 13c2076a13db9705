"""pudong-credit: HMAC-SHA256 over joined values, POST JSON, 万元 text, pages against a total."""

from collections.abc import Mapping
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, dump, iso, load, number_of, plain, text_of, wan
from connectors.sandbox.world import World

_WINDOW = 300
_MOST = 20
_CODES = {
    Why.MALFORMED: 4000,
    Why.MISSING: 4010,
    Why.UNKNOWN: 4010,
    Why.FORGED: 4011,
    Why.STALE: 4012,
    Why.REPLAYED: 4013,
    Why.BUSY: 5030,
}
_KINDS = {"subsidy": "01", "evaluation": "02", "white_list": "03", "financing_need": "04"}


class Pudong(Platform):
    id = "pudong-credit"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"fuwu/pj": True})
        app, ts, nonce, sign = verify.need(call.headers, "X-PD-App", "X-PD-Time", "X-PD-Nonce", "X-PD-Sign")
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, verify.unix(ts), _WINDOW, _WINDOW)
        verify.signed(sign, verify.pudong(self.secrets["app_key"], app, ts, nonce, call.body))
        self._nonces.use(nonce, call.now)
        asked = load(call.body)
        uscc = text_of(asked, "tyshxydm")
        page, size = number_of(asked, "pageNo", 10**6), number_of(asked, "pageSize", _MOST)
        e, rows = self.world.rows(self.id, "policy_support", uscc)
        content = {
            "tyshxydm": e.uscc if e else uscc,
            "gxsj": f"{iso(self.world.today())} 00:00:00",
            "zts": len(rows),
            "sj": [_row(row) for row in page_of(rows, page, size)[0]],
        }
        return _reply(0, "success", content, "answered" if rows else "no_record", uscc)

    def refuse(self, why: Why) -> Answer:
        return _reply(_CODES[why], "fail", None, why, None)


def _row(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "lx": _KINDS[r["kind"]], "mc": r["name"], "je": "" if r["amount"] is None else plain(wan(r["amount"])),
        "bm": r["authority"], "rq": iso(r["granted_on"]), "jg": r["result"] or "",
    }  # fmt: skip


def _reply(code: int, status: str, content: object, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"status": status, "code": code, "content": content}), verdict, uscc=uscc)
