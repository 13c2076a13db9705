"""sh-hpf: SM2 over sorted parameters (raw, default user id), business text under SM4, one call per month."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from connectors import sm2
from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, route
from connectors.sandbox.series import booked_until
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, form, load, month_index, plain, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_CODES = {
    Why.MISSING: ("4001", "缺少参数"),
    Why.UNKNOWN: ("4001", "应用未授权"),
    Why.FORGED: ("4001", "验签失败"),
    Why.STALE: ("4002", "请求超时"),
    Why.REPLAYED: ("4003", "重复请求"),
    Why.MALFORMED: ("4005", "业务参数无法解析"),
    Why.BUSY: ("5001", "系统繁忙"),
}


class Hpf(Platform):
    id = "sh-hpf"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)
        self._public = sm2.PrivateKey(bytes.fromhex(secrets["private_key"])).public
        self._sm4 = bytes.fromhex(secrets["sm4_key"])

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"gateway.do": True})
        given = form(call.body)
        app, method, ts, nonce, biz, sign = verify.need(given, "app_id", "method", "timestamp", "nonce", "biz", "sign")
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, verify.unix(ts, 1000), _WINDOW, _WINDOW)
        text = verify.sorted_parameters(given, "sign").encode()
        if not self._public.verify(unhex(sign, Why.FORGED), text):
            raise Refused(Why.FORGED)
        self._nonces.use(nonce, call.now)
        if method != "gjj.unit.month":
            raise Refused(Why.MALFORMED)
        asked = load(self._open(biz))
        uscc, month = text_of(asked, "tyshxydm"), month_index(text_of(asked, "ny"))
        e, rows = self.world.rows(self.id, "provident_fund", uscc, month, month)
        if e is None or not rows:
            return Answer(dump({"ret": "2001", "msg": "无缴存记录", "result": None}), "no_record", uscc=uscc)
        data = {
            "tyshxydm": e.uscc,
            "dwmc": e.name,
            "sjrq": booked_until(e).isoformat(),
            "list": [_row(e.n, row) for row in rows],
        }
        return Answer(dump({"ret": "0", "msg": "成功", "result": {"data": data}}), "answered", uscc=uscc)

    def _open(self, biz: str) -> bytes:
        opened = Cipher(SM4(self._sm4), ECB()).decryptor()  # noqa: S305 - the dialect's mode
        unpadder = PKCS7(128).unpadder()
        try:
            padded = opened.update(unhex(biz, Why.MALFORMED)) + opened.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise Refused(Why.MALFORMED) from None

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return Answer(dump({"ret": code, "msg": message, "result": None}), why)


def unhex(text: str, otherwise: Why) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refused(otherwise) from None


def _row(n: int, r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "dwzh": f"99{n:010d}", "ny": r["month"], "dwjcrs": r["persons"], "dwfcrs": r["sealed"],
        "jcjs": f"{r['base']:,.2f}", "yjce": f"{r['amount']:,.2f}", "dwjcbl": plain(r["employer_rate"]),
        "grjcbl": plain(r["employee_rate"]), "jzny": r["paid_up_to"], "dwzt": r["state"],
    }  # fmt: skip
