"""ccrc-receivables: HMAC-SHA256 over a text template, SOAP replies, full-width digits now and then."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, cents, compact, load, number_of, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_PAGE = 5
_CODES = {
    Why.MALFORMED: ("E400", "请求格式错误"),
    Why.MISSING: ("E401", "缺少签名头"),
    Why.UNKNOWN: ("E401", "客户端未授权"),
    Why.FORGED: ("E401", "签名错误"),
    Why.STALE: ("E408", "请求时间无效"),
    Why.REPLAYED: ("E409", "重复请求"),
    Why.BUSY: ("E503", "系统繁忙"),
}
_STATES = {"open": "01", "confirmed": "02", "financed": "03", "settled": "04", "disputed": "05"}
_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")


class Ccrc(Platform):
    id = "ccrc-receivables"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"services/receivable": True})
        client, ts, nonce, sign = verify.need(call.headers, "X-Zd-Client", "X-Zd-Time", "X-Zd-Nonce", "X-Zd-Signature")
        verify.nonce_form(nonce, 8, 64)
        verify.known(client, self.secrets["client_id"])
        verify.fresh(call.now, verify.unix(ts), _WINDOW, _WINDOW)
        verify.signed(sign, verify.ccrc(self.secrets["client_secret"], call.method, call.path, ts, nonce, call.body))
        self._nonces.use(nonce, call.now)
        asked = load(call.body)
        uscc, page = text_of(asked, "CreditCode"), number_of(asked, "Page", 10**6)
        e, rows = self.world.rows(self.id, "receivables", uscc)
        shown, pages = page_of(rows, page, _PAGE)
        data = {
            "CreditCode": e.uscc if e else uscc,
            "AsOf": _moment(self.world.today()),
            "RecordCount": str(len(rows)),
            "HasMore": "Y" if page < pages else "N",
        }
        results = "".join(f"<Result>{_elements(_row(row))}</Result>" for row in shown)
        payload = f"<PayLoad><Data>{_elements(data)}{results}</Data></PayLoad>"
        return _reply("0000", "成功", payload, "answered" if rows else "no_record", uscc)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return _reply(code, message, "", why, None)


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{k}>{escape(v)}</{k}>" for k, v in values.items())


def _moment(day: date | None) -> str:
    return compact(day) + "000000" if day else "99999999999999"


def _money(amount: Decimal, full_width: bool) -> str:
    return cents(amount).translate(_FULL_WIDTH) if full_width else cents(amount)


def _row(r: Mapping[str, Any]) -> dict[str, str]:
    odd = int(r["amount"]) % 3 == 0
    return {
        "Number": r["number"], "Debtor": r["debtor"], "DebtorCode": r["debtor_uscc"],
        "Amount": _money(r["amount"], odd), "Balance": _money(r["outstanding"], odd),
        "InvoiceDate": _moment(r["invoiced_on"]), "DueDate": _moment(r["due_on"]),
        "UploadTime": _moment(r["uploaded_on"]), "ConfirmTime": _moment(r["confirmed_on"]),
        "Status": _STATES[r["state"]], "Pledged": "Y" if r["pledged"] else "N",
        "Pledgee": r["financier"] or "",
    }  # fmt: skip


def _reply(code: str, message: str, payload: str, verdict: str, uscc: str | None) -> Answer:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><QueryResponse>'
        f"<Return><Code>{code}</Code><Message>{message}</Message></Return>{payload}"
        "</QueryResponse></soap:Body></soap:Envelope>"
    )
    return Answer(text.encode(), verdict, "text/xml; charset=utf-8", uscc=uscc)
