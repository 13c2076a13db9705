"""guarantee-fund: SM2 (DER, user id = app id) over sorted parameters and a key, upper-case JSON, 亿元 text."""

from base64 import b64decode
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connectors import sm2
from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, load, number_of, plain, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_PAGE = 5
_CODES = {
    Why.MISSING: ("SGN0001", "缺少参数"),
    Why.UNKNOWN: ("SGN0001", "应用未授权"),
    Why.FORGED: ("SGN0001", "验签失败"),
    Why.STALE: ("TIM0001", "时间戳无效"),
    Why.REPLAYED: ("NON0001", "随机数重复"),
    Why.MALFORMED: ("PAR0001", "参数错误"),
    Why.BUSY: ("BSY0001", "系统繁忙"),
}
_STATES = {"active": "1", "released": "2", "compensated": "3"}


class GuaranteeFund(Platform):
    id = "guarantee-fund"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)
        self._public = sm2.PrivateKey(bytes.fromhex(secrets["private_key"])).public

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"open/api": True})
        given = load(call.body)
        if not all(isinstance(value, str) for value in given.values()):
            raise Refused(Why.MALFORMED)
        app, service, ts, nonce, sign = verify.need(given, "APPID", "SERVICE", "TIMESTAMP", "NONCE", "SIGN")
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, verify.unix(ts), _WINDOW, _WINDOW)
        text = f"{verify.sorted_parameters(given, 'SIGN')}&key={self.secrets['secret']}"
        if not self._public.verify(_unbase64(sign), text.encode("utf-8", "replace"), user_id=app.encode(), form="der"):
            raise Refused(Why.FORGED)
        self._nonces.use(nonce, call.now)
        if service != "DBCX":
            raise Refused(Why.MALFORMED)
        uscc, page = text_of(given, "USCC"), number_of(given, "PAGE", 10**6)
        e, rows = self.world.rows(self.id, "guarantees", uscc)
        if e is None or not rows:
            return _reply("NOD0000", "无记录", None, "no_record", uscc)
        shown, pages = page_of(rows, page, _PAGE)
        listed = [_row(row) for row in shown]
        if e.n % 4 == 0:
            listed.append({"ROWCODE": "DEL0000", "BHBH": f"虚保2019-{e.n:06d}-0"})
        month = e.today.replace(day=1).toordinal() - 1
        body = {
            "USCC": e.uscc,
            "TJY": f"{date.fromordinal(month).year}年{date.fromordinal(month).month}月",
            "ASOF": _day(e.today),
            "MORE": "Y" if page < pages else "N",
            "ROWS": listed,
        }
        return _reply("SUC0000", "受理成功", body, "answered", uscc)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return _reply(code, message, None, why, None)


def _unbase64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Refused(Why.FORGED) from None


def _reply(code: str, message: str, body: object, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"HEAD": {"CODE": code, "MSG": message}, "BODY": body}), verdict, uscc=uscc)


def _day(day: date) -> str:
    return f"{day:%Y/%m/%d}"


def _yi(amount: Decimal) -> str:
    """元 to 亿元."""
    return plain(amount.scaleb(-8))


def _row(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "ROWCODE": "SUC0000", "BHBH": r["number"], "JS": "1" if r["role"] == "guaranteed" else "2",
        "DBJG": r["institution"], "ZQR": r["creditor"], "DBJE": _yi(r["amount"]), "ZBYE": _yi(r["outstanding"]),
        "FXFD": f"{r['risk_share'] * 100:.0f}%", "QSR": _day(r["starts_on"]), "DQR": _day(r["ends_on"]),
        "DCJE": _yi(r["compensated"]), "ZT": _STATES[r["state"]],
    }  # fmt: skip
