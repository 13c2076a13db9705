"""sh-housing: bg-hmac over a GET, replies in the shape of real city exchanges, 万元 text."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, page_of, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, number_of, pairs, plain, text_of, wan

_WINDOW = 90
_MOST = 20
_UNAUTHORISED = {
    Why.MISSING: "Missing header",
    Why.UNKNOWN: "Invalid access key",
    Why.FORGED: "Invalid signature",
    Why.STALE: "Clock skew exceeded",
}
_CODES = {Why.MALFORMED: (411, "请求参数错误"), Why.BUSY: (429, "服务繁忙")}


def _moment(day: date) -> str:
    return f"{day.isoformat()} 00:00:00.000000000"


def _current(r: Mapping[str, Any]) -> str:
    return "1" if r["current"] else "2"


def _owner(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "bdcdyh": r["unit_number"], "bdcqzh": r["certificate"], "qlrmc": r["owner"], "qlrzjh": r["owner_uscc"],
        "zl": r["location"], "mj": plain(r["area"]), "yt": r["use"], "djsj": _moment(r["registered_on"]),
        "pgjz": plain(wan(r["assessed_value"])), "qszt": _current(r),
    }  # fmt: skip


def _mortgage(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "bdcdyh": r["unit_number"], "bdcdjzmh": r["certificate"], "dyqr": r["mortgagee"],
        "bdbzzqse": plain(wan(r["secured_amount"])), "zwlxqssj": _moment(r["debt_from"]),
        "zwlxjssj": _moment(r["debt_to"]), "djsj": _moment(r["registered_on"]), "qszt": _current(r),
    }  # fmt: skip


def _seizure(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "bdcdyh": r["unit_number"], "cfjg": r["authority"], "cfwh": r["document"],
        "cfqssj": _moment(r["seized_from"]), "cfjssj": _moment(r["seized_to"]), "qszt": _current(r),
    }  # fmt: skip


_SERVICES: dict[str, tuple[str, Callable[[Row], dict[str, object]]]] = {
    "restapi/bdcqlr": ("real_estate", _owner),
    "restapi/bdcdy": ("mortgages", _mortgage),
    "restapi/bdccf": ("seizures", _seizure),
}


class Housing(Platform):
    id = "sh-housing"

    def serve(self, call: Call) -> Answer:
        dataset, project = route(call, "GET", _SERVICES)
        key, algorithm, sign, when = verify.need(
            call.headers,
            "X-BG-HMAC-ACCESS-KEY",
            "X-BG-HMAC-ALGORITHM",
            "X-BG-HMAC-SIGNATURE",
            "X-BG-DATE-TIME",
        )
        verify.known(key, self.secrets["access_key"])
        if algorithm != "hmac-sha256":
            raise Refused(Why.FORGED)
        verify.fresh(call.now, verify.http_date(when), _WINDOW, _WINDOW)
        verify.signed(sign, verify.bg(self.secrets["secret_key"], call.method, call.path, call.query, key, when))
        asked = pairs(call.query)
        uscc = text_of(asked, "tyshxydm")
        page, size = number_of(asked, "pageNo", 10**6), number_of(asked, "pageSize", _MOST)
        e, rows = self.world.rows(self.id, dataset, uscc)
        data = {"tyshxydm": e.uscc, "sjsj": _moment(e.today)} if e and rows else None
        shown = [project(row) for row in page_of(rows, page, size)[0]]
        verdict = "answered" if rows else "no_record"
        return _reply(True, len(rows), shown, data, 0, "已有效查询到数据！" if rows else "未查询到数据", verdict, uscc)

    def refuse(self, why: Why) -> Answer:
        if why in _UNAUTHORISED:
            return Answer(dump({"message": _UNAUTHORISED[why]}), why, status=401)
        code, message = _CODES[why]
        return _reply(False, 0, None, None, code, message, why, None)


def _reply(
    success: bool, total: int, rows: object, data: object, code: int, message: str, verdict: str, uscc: str | None
) -> Answer:
    body = {
        "IsSuccess": success, "Result": int(success), "TotalCount": total, "DataType": "json", "Message": message,
        "ErrorFieldList": None, "Data": data, "ExceptionMessage": "", "DataList": rows, "ErrorCode": code,
    }  # fmt: skip
    return Answer(dump(body), verdict, uscc=uscc)
