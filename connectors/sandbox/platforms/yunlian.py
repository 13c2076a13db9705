"""yunlian: SM2 (decimal signature) over sorted parameters, POST JSON, amounts in 分, a flag for a further page."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors import sm2
from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, compact, dump, load, number_of, text_of
from connectors.sandbox.world import World

_WINDOW = 300
_PAGE = 3
_CODES = {
    Why.MISSING: "SIG0001",
    Why.UNKNOWN: "SIG0001",
    Why.FORGED: "SIG0002",
    Why.STALE: "SIG0003",
    Why.REPLAYED: "SIG0004",
    Why.MALFORMED: "PRM0001",
    Why.BUSY: "BSY0009",
}
_STATES = {"held": "1", "split": "2", "transferred": "3", "financed": "4", "settled": "5"}


class Yunlian(Platform):
    id = "yunlian"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._nonces = world.nonces(self.id, 2 * _WINDOW)
        self._public = sm2.PrivateKey(bytes.fromhex(secrets["private_key"])).public

    def serve(self, call: Call) -> Answer:
        route(call, "POST", {"yx/query": True})
        given = load(call.body)
        if not all(isinstance(value, str) for value in given.values()):
            raise Refused(Why.MALFORMED)
        merchant, ts, nonce, sign = verify.need(given, "merId", "reqTime", "reqNo", "signature")
        verify.nonce_form(nonce, 8, 64)
        verify.known(merchant, self.secrets["mer_id"])
        verify.fresh(call.now, verify.unix(ts, 1000), _WINDOW, _WINDOW)
        text = verify.sorted_parameters(given, "signature").encode("utf-8", "replace")
        if not self._public.verify(sign.encode("utf-8", "replace"), text, form="decimal"):
            raise Refused(Why.FORGED)
        self._nonces.use(nonce, call.now)
        uscc, page = text_of(given, "custCode"), number_of(given, "pageIndex", 10**6)
        e, rows = self.world.rows(self.id, "vouchers", uscc)
        if e is None or not rows:
            return _reply("NUL0000", None, "no_record", uscc)
        shown, pages = page_of(rows, page, _PAGE)
        data = {
            "custCode": e.uscc,
            "statDate": compact(e.today),
            "hasNext": "1" if page < pages else "0",
            "list": [_row(row) for row in shown],
        }
        return _reply("SUC0000", data, "answered", uscc)

    def refuse(self, why: Why) -> Answer:
        return _reply(_CODES[why], None, why, None)


def _fen(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def _row(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "pzbh": r["number"], "kjr": r["issuer"], "cyr": r["holder"], "je": _fen(r["amount"]), "cfjb": r["level"],
        "sjpz": r["parent"] or "", "cnfkr": compact(r["promised_on"]), "zt": _STATES[r["state"]],
        "yszk": r["receivable"], "rzjg": r["financier"] or "",
    }  # fmt: skip


def _reply(code: str, data: object, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"rspCode": code, "rspData": data}), verdict, uscc=uscc)
