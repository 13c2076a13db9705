"""credit-sh: tif signature, refusals as errcode on HTTP 200, UTF-8 with BOM, upper-case fields, 万元 text."""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, iso, load, number_of, plain, text_of, wan
from connectors.sandbox.world import World

_PAST, _FUTURE = 180, 1
_MOST = 10
_OPEN_END = "9999-12-31"
_CODES = {
    Why.MISSING: (400000400, "missing headers or invalid nonce"),
    Why.STALE: (400000400, "out of date"),
    Why.REPLAYED: (400000400, "invalid nonce"),
    Why.FORGED: (400000401, "bad signature"),
    Why.UNKNOWN: (400000403, "forbidden"),
    Why.NOT_FOUND: (400000404, "no such service"),
    Why.BUSY: (400000429, "too many requests"),
    Why.MALFORMED: (500000001, "malformed request"),
}


def _permit(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "XK_WSH": r["document"], "XK_XKWS": r["name"], "XK_NR": r["content"], "XK_JDRQ": iso(r["decided_on"]),
        "XK_YXQZ": iso(r["valid_to"]) or _OPEN_END, "XK_XKJG": r["authority"],
    }  # fmt: skip


def _penalty(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "CF_WSH": r["document"], "CF_CFMC": r["name"], "CF_SY": r["cause"], "CF_NR_FK": plain(wan(r["fine"])),
        "CF_JDRQ": iso(r["decided_on"]), "CF_GSJZQ": iso(r["public_until"]) or _OPEN_END, "CF_CFJG": r["authority"],
    }  # fmt: skip


def _listing(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "HHMD_LX": "1" if r["kind"] == "red" else "2", "HHMD_MC": r["name"], "HHMD_LRRQ": iso(r["listed_on"]),
        "HHMD_YCRQ": iso(r["removed_on"]) or _OPEN_END, "HHMD_RDJG": r["authority"], "HHMD_WSH": r["document"],
    }  # fmt: skip


_SERVICES: dict[str, tuple[str, Callable[[Row], dict[str, object]]]] = {
    "api/xzxk": ("permits", _permit),
    "api/xzcf": ("penalties", _penalty),
    "api/hhmd": ("credit_lists", _listing),
}


class Credit(Platform):
    id = "credit-sh"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _PAST)

    def answer(self, call: Call) -> Answer:
        """An unknown service is an errcode here too."""
        try:
            return self.serve(call)
        except Refused as refused:
            return self.refuse(refused.why)

    def serve(self, call: Call) -> Answer:
        app, stamp, nonce, sign = verify.need(
            call.headers, "x-tif-paasid", "x-tif-timestamp", "x-tif-nonce", "x-tif-signature"
        )
        verify.nonce_form(nonce, 10, 20)
        verify.known(app, self.secrets["paasid"])
        verify.fresh(call.now, verify.unix(stamp), _PAST, _FUTURE)
        verify.signed(sign.lower(), verify.tif(self.secrets["token"], stamp, nonce))
        self._nonces.use(nonce, call.now)
        dataset, project = route(call, "POST", _SERVICES)
        asked = load(call.body)
        uscc = text_of(asked, "xdr_shxym")
        page, size = number_of(asked, "pageNum", 10**6), number_of(asked, "pageSize", _MOST)
        e, rows = self.world.rows(self.id, dataset, uscc)
        shown, pages = page_of(rows, page, size)
        data = {
            "xdr_shxym": e.uscc if e else uscc,
            "asof": self.world.today().isoformat(),
            "list": [project(row) for row in shown],
            "total": len(rows),
            "pages": pages,
        }
        return _reply(0, "ok", data, "answered" if rows else "no_record", uscc)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return _reply(code, message, None, why, None)


def _reply(code: int, message: str, data: object, verdict: str, uscc: str | None) -> Answer:
    body: dict[str, object] = {"errcode": code, "errmsg": message}
    if data is not None:
        body["data"] = data
    return Answer(b"\xef\xbb\xbf" + dump(body), verdict, uscc=uscc)
