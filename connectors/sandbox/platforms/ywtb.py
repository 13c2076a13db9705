"""sh-ywtb: the outlet. A token by form, one service per data set, the bureaus' rows under names of its own."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from hashlib import sha256

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.views import MONTHLY, PLATFORM_OF
from connectors.sandbox.wire import Answer, Call, dump, form, load, month_index, number_of, plain, text_of
from connectors.sandbox.world import World

_LIFETIME = 1200
_MOST = 50
_BUREAUS = ("sh-registry", "sh-hrss", "sh-hpf", "sh-housing", "sh-tax", "sh-court", "credit-sh")
PASSED_ON = {dataset: bureau for dataset, bureau in PLATFORM_OF.items() if bureau in _BUREAUS}
"""What the outlet re-publishes, and of whom."""

_SERVICES = {f"share/{dataset}": dataset for dataset in PASSED_ON}


class Ywtb(Platform):
    id = "sh-ywtb"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._tokens: dict[str, float] = {}
        """Token -> Unix time of its end, oldest first."""

    def serve(self, call: Call) -> Answer:
        if call.service == "oauth2/getToken" and call.method == "POST":
            return self._token(call)
        dataset = route(call, "POST", _SERVICES)
        token = (call.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) <= call.now:
            raise Refused(Why.TOKEN)
        asked = load(call.body)
        uscc = text_of(asked, "creditCode")
        monthly = dataset in MONTHLY
        first, last = (month_index(text_of(asked, k)) if monthly else 0 for k in ("from", "to"))
        page, size = number_of(asked, "pageNum", 10**6), number_of(asked, "pageSize", _MOST)
        e, rows = self.world.rows(self.id, dataset, uscc, first, last)
        shown, pages = page_of(rows, page, size)
        data = {
            "creditCode": e.uscc if e else uscc,
            "source": PASSED_ON[dataset],
            "updateTime": f"{self.world.today():%Y%m%d}000000",
            "total": len(rows),
            "pages": pages,
            "rows": [{k.upper(): _text(v) for k, v in row.items()} for row in shown],
        }
        return _reply("200", "成功", data, "answered" if rows else "no_record", uscc)

    def _token(self, call: Call) -> Answer:
        given = form(call.body)
        try:
            verify.known(given.get("client_id", ""), self.secrets["client_id"])
            verify.signed(given.get("client_secret", ""), self.secrets["client_secret"])
        except Refused as refused:
            return Answer(dump({"error": "invalid_client"}), refused.why, status=401)
        while self._tokens and self._tokens[oldest := next(iter(self._tokens))] <= call.now:
            del self._tokens[oldest]
        seed = f"{self.world.seed} {call.now} {len(self._tokens)} {self.secrets['client_secret']}"
        token = sha256(seed.encode()).hexdigest()
        self._tokens[token] = call.now + _LIFETIME
        return Answer(dump({"access_token": token, "token_type": "bearer", "expires_in": _LIFETIME}), "token")

    def refuse(self, why: Why) -> Answer:
        if why is Why.TOKEN:
            return Answer(dump({"code": "401", "msg": "token无效"}), why, status=401)
        return _reply("503" if why is Why.BUSY else "400", "繁忙" if why is Why.BUSY else "参数错误", None, why, None)


def _text(value: object) -> object:
    """Decimals and days as text; what is not given is null."""
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def _reply(code: str, message: str, data: Row | dict[str, object] | None, verdict: str, uscc: str | None) -> Answer:
    return Answer(dump({"code": code, "msg": message, "data": data}), verdict, uscc=uscc)
