"""core-enterprise: the X-HMAC headers of old APISIX over a GET, its own books in 元 numbers, pages by limit."""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, month_index, number_of, pairs, text_of

_WINDOW = 90
_MOST = 50
_UNAUTHORISED = {
    Why.MISSING: "Missing header",
    Why.UNKNOWN: "Invalid access key",
    Why.FORGED: "Invalid signature",
    Why.STALE: "Clock skew exceeded",
}


def _payable(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "no": r["number"], "buyer": r["debtor"], "buyerCode": r["debtor_uscc"], "amount": float(r["amount"]),
        "open": float(r["outstanding"]), "invoiced": _day(r["invoiced_on"]), "due": _day(r["due_on"]),
        "confirmed": _day(r["confirmed_on"]), "status": r["state"], "assigned": r["pledged"],
        "assignee": r["financier"],
    }  # fmt: skip


def _trade(r: Mapping[str, Any]) -> dict[str, object]:
    amounts = {name: float(r[name]) for name in ("orders", "purchases", "paid", "outstanding", "overdue")}
    return {"month": r["month"], "role": "supplier" if r["side"] == "upstream" else "dealer", **amounts}


def _day(day: Any) -> str | None:
    return None if day is None else str(day.isoformat())


_SERVICES: dict[str, tuple[str, Callable[[Row], dict[str, object]]]] = {
    "scf/payables": ("receivables", _payable),
    "scf/trade": ("core_trade", _trade),
}


class Core(Platform):
    id = "core-enterprise"

    def serve(self, call: Call) -> Answer:
        dataset, project = route(call, "GET", _SERVICES)
        key, algorithm, sign, when = verify.need(
            call.headers, "X-HMAC-ACCESS-KEY", "X-HMAC-ALGORITHM", "X-HMAC-SIGNATURE", "Date"
        )
        verify.known(key, self.secrets["access_key"])
        if algorithm != "hmac-sha256":
            raise Refused(Why.FORGED)
        verify.fresh(call.now, verify.http_date(when), _WINDOW, _WINDOW)
        verify.signed(sign, verify.bg(self.secrets["secret_key"], call.method, call.path, call.query, key, when))
        asked = pairs(call.query)
        uscc = text_of(asked, "partner")
        page, size = number_of(asked, "page", 10**6), number_of(asked, "limit", _MOST)
        first, last = (month_index(text_of(asked, k)) for k in ("from", "to")) if dataset == "core_trade" else (0, 0)
        e, rows = self.world.rows(self.id, dataset, uscc, first, last)
        body = {
            "ok": True,
            "partner": e.uscc if e else uscc,
            "core": rows[0].get("core_enterprise") if rows else None,
            "asOf": self.world.today().isoformat(),
            "total": len(rows),
            "items": [project(row) for row in page_of(rows, page, size)[0]],
        }
        return Answer(dump(body), "answered" if rows else "no_record", uscc=uscc)

    def refuse(self, why: Why) -> Answer:
        if why in _UNAUTHORISED:
            return Answer(dump({"message": _UNAUTHORISED[why]}), why, status=401)
        error = "BUSY" if why is Why.BUSY else "BAD_REQUEST"
        return Answer(dump({"ok": False, "error": error}), why)
