"""sh-tax: RSA2 over sorted form parameters, JSON text inside JSON, yyyyMMdd, 元 with two decimals."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.sandbox import verify
from connectors.sandbox.credentials import rsa_key
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, cents, compact, dump, form, month_index, number_of, plain, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_PAGE = 20
_SHANGHAI = timezone(timedelta(hours=8))
_CODES = {
    Why.MISSING: ("11", "缺少参数"),
    Why.UNKNOWN: ("11", "应用未授权"),
    Why.FORGED: ("11", "验签失败"),
    Why.STALE: ("12", "时间戳无效"),
    Why.REPLAYED: ("13", "重复请求"),
    Why.BUSY: ("91", "系统繁忙"),
    Why.MALFORMED: ("99", "请求参数错误"),
}
_TAXES = {"vat": "10101", "income_tax": "10104", "individual_income_tax": "10106", "stamp_duty": "10111"}


def _return(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "zsxm_dm": _TAXES[r["tax"]], "skssqq": compact(r["period_from"]), "skssqz": compact(r["period_to"]),
        "xse": cents(r["sales"]), "ynse": cents(r["payable"]), "jmse": cents(r["relief"]), "ybtse": cents(r["due"]),
        "sbrs": r["persons"], "sbrq": compact(r["filed_on"]), "gzlx_dm": "1" if r["correction"] else "0",
        "zfbz": "N" if r["void"] else "Y",
    }  # fmt: skip


def _credit(r: Mapping[str, Any]) -> dict[str, object]:
    return {"pjnd": str(r["year"]), "xydj": r["grade"], "pjfs": plain(r["score"])}


def _arrears(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "zsxm_dm": _TAXES[r["tax"]], "qss": cents(r["amount"]), "skssqq": compact(r["period_from"]),
        "skssqz": compact(r["period_to"]), "ggrq": compact(r["announced_on"]),
    }  # fmt: skip


def _invoice(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "kpny": r["month"].replace("-", ""), "fx": "1" if r["direction"] == "sales" else "2", "fs": r["count"],
        "je": cents(r["amount"]), "se": cents(r["tax"]), "hzje": cents(r["red_amount"]), "zffs": r["void_count"],
    }  # fmt: skip


_METHODS: dict[str, tuple[str, Callable[[Row], dict[str, object]]]] = {
    "tax.sbxx": ("tax_returns", _return),
    "tax.xydj": ("tax_credit", _credit),
    "tax.qs": ("tax_arrears", _arrears),
    "tax.fphz": ("invoices", _invoice),
}


class Tax(Platform):
    id = "sh-tax"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)
        self._public = rsa_key(world.seed).public_key()

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"gateway": True})
        given = form(call.body)
        app, method, stamp, nonce, kind, sign = verify.need(
            given, "app_id", "method", "timestamp", "nonce", "sign_type", "sign"
        )
        verify.nonce_form(nonce, 8, 64)
        verify.known(app, self.secrets["app_id"])
        verify.fresh(call.now, _local_time(stamp), _WINDOW, _WINDOW)
        self._check(kind, sign, verify.sorted_parameters(given, "sign").encode())
        self._nonces.use(nonce, call.now)
        if method not in _METHODS:
            raise Refused(Why.MALFORMED)
        dataset, project = _METHODS[method]
        uscc = text_of(given, "shxydm")
        first, last = month_index(text_of(given, "ssqq")), month_index(text_of(given, "ssqz"))
        page = number_of(given, "page", 10**6)
        e, rows = self.world.rows(self.id, dataset, uscc, first, last)
        if e is None or not rows:
            return Answer(dump({"code": "01", "msg": "未查询到数据", "datas": ""}), "no_record", uscc=uscc)
        shown, pages = page_of(rows, page, _PAGE)
        inner = {
            "shxydm": e.uscc,
            "nsrmc": e.name,
            "sjrq": compact(e.today),
            "totalPage": pages,
            "rows": [project(row) for row in shown],
        }
        return Answer(dump({"code": "00", "msg": "成功", "datas": dump(inner).decode()}), "answered", uscc=uscc)

    def _check(self, kind: str, sign: str, text: bytes) -> None:
        try:
            self._public.verify(b64decode(sign, validate=True), text, PKCS1v15(), SHA256())
        except (ValueError, InvalidSignature):
            raise Refused(Why.FORGED) from None
        if kind != "RSA2":
            raise Refused(Why.FORGED)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return Answer(dump({"code": code, "msg": message, "datas": ""}), why)


def _local_time(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_SHANGHAI).astimezone(UTC).timestamp()
    except ValueError:
        raise Refused(Why.STALE) from None
