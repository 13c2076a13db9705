"""sh-hrss: HMAC-SM3 over a text template, GB18030 XML whose reply holds JSON text."""

import json
import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, unescape

from connectors import sm2
from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, month_index, number_of, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_MOST = 100
_CODES = {
    Why.MISSING: ("2001", "缺少签名信息"),
    Why.UNKNOWN: ("2001", "应用未登记"),
    Why.FORGED: ("2001", "签名错误"),
    Why.STALE: ("2002", "时间戳超出范围"),
    Why.REPLAYED: ("2003", "随机数已使用"),
    Why.MALFORMED: ("3001", "请求报文错误"),
    Why.BUSY: ("9001", "系统繁忙"),
}
_KINDS = {"pension": "110", "unemployment": "210", "medical": "310", "injury": "410", "maternity": "510"}
_REQUEST = re.compile(r"<\?xml[^>]*\?>\s*<Request>(.*)</Request>\s*", re.DOTALL)
_LEAF = re.compile(r"\s*<([A-Za-z0-9]+)>([^<]*)</\1>\s*")


def hrss_signature(app_key: str, app_id: str, ts: str, nonce: str, body: bytes) -> str:
    text = f"{app_id}\n{ts}\n{nonce}\n{sm2.sm3(body).hex()}\n"
    return sm2.hmac_sm3(app_key.encode(), text.encode("utf-8", "replace")).hex().upper()


def leaves(body: bytes) -> dict[str, str]:
    """The flat request document; anything else (attributes, nesting, other charsets) is malformed."""
    try:
        document = _REQUEST.fullmatch(body.decode("gb18030"))
    except UnicodeDecodeError:
        raise Refused(Why.MALFORMED) from None
    if not document or _LEAF.sub("", document[1]).strip():
        raise Refused(Why.MALFORMED)
    return {name: unescape(text) for name, text in _LEAF.findall(document[1])}


class Hrss(Platform):
    id = "sh-hrss"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"service": True})
        app, ts, nonce, sign = verify.need(call.headers, "X-App", "X-Ts", "X-Nonce", "X-Sign")
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, verify.unix(ts, 1000), _WINDOW, _WINDOW)
        verify.signed(sign, hrss_signature(self.secrets["app_key"], app, ts, nonce, call.body))
        self._nonces.use(nonce, call.now)
        asked = leaves(call.body)
        uscc = text_of(asked, "aab003")
        first, last = month_index(text_of(asked, "ksny")), month_index(text_of(asked, "jsny"))
        page, size = number_of(asked, "pageNo", 10**6), number_of(asked, "pageSize", _MOST)
        e, rows = self.world.rows(self.id, "social_insurance", uscc, first, last)
        if e is None or not rows:
            return _reply("1004", "未查询到参保信息", {"total": 0, "list": []}, "no_record", uscc)
        shown = [
            {"aab001": f"99{e.n:010d}", "aae140": _KINDS[str(r["kind"])], "aae003": str(r["month"]).replace("-", ""),
             "cbrs": r["persons"], "aac031": "1", "aae180": float(r["base"]), "aae120": 0}  # type: ignore[arg-type]
            for r in page_of(rows, page, size)[0]
        ]  # fmt: skip
        body = {"aab003": e.uscc, "aab004": e.name, "total": len(rows), "list": shown}
        return _reply("0000", "成功", body, "answered", uscc)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return _reply(code, message, None, why, None)


def _reply(rtn: str, msg: str, body: object, verdict: str, uscc: str | None) -> Answer:
    head: dict[str, object] = {"rtn": rtn, "msg": msg}
    if rtn == "9001":
        head["wait"] = 1
    inner = json.dumps({"head": head, "body": body}, ensure_ascii=False, separators=(",", ":"))
    text = f'<?xml version="1.0" encoding="GB18030"?><Envelope><resp>{escape(inner)}</resp></Envelope>'
    return Answer(text.encode("gb18030"), verdict, "text/xml; charset=GB18030", uscc=uscc)
