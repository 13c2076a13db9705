"""sh-registry: national signature, JSON, 万元 numbers, epoch milliseconds."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Why
from connectors.sandbox.wire import Answer, Call, dump, epoch_ms, load, text_of, wan
from connectors.sandbox.world import World

_WINDOW = 300
_CODES = {
    Why.MALFORMED: (300, "请求格式错误"),
    Why.MISSING: (301, "缺少签名参数"),
    Why.UNKNOWN: (301, "请求者未授权"),
    Why.FORGED: (301, "签名校验失败"),
    Why.STALE: (302, "请求已过期"),
    Why.REPLAYED: (302, "重复请求"),
    Why.BUSY: (305, "系统繁忙"),
}


def _wan(amount: Any) -> float:
    return float(wan(amount))


def _entinfo(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "entname": r["name"], "usedname": r["former_names"] or [], "regno": r["registration_number"],
        "enttype": r["enterprise_type"], "lerep": r["legal_representative"],
        "lerepdate": epoch_ms(r["representative_since"]), "estdate": epoch_ms(r["established"]),
        "apprdate": epoch_ms(r["approved"]), "opfrom": epoch_ms(r["term_from"]), "opto": None,
        "regcap": _wan(r["registered_capital"]), "regcapcur": r["capital_currency"],
        "industryphy": r["industry_section"], "industryco": r["industry_code"], "dom": r["address"],
        "opscope": r["business_scope"], "regorg": r["authority"], "regstate": "存续（在营、开业、在册）",
    }  # fmt: skip


def _investor(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "inv": r["name"], "invtype": r["kind"], "subconam": _wan(r["subscribed"]), "acconam": _wan(r["paid_in"]),
        "conprop": float(r["share"]), "condate": epoch_ms(r["subscribed_on"]),
    }  # fmt: skip


def _keyperson(r: Mapping[str, Any]) -> dict[str, object]:
    return {"name": r["name"], "position": r["position"], "lerepsign": "1" if r["is_representative"] else "2"}


def _abnormal(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "abntime": epoch_ms(r["listed_on"]), "specause": r["reason"], "decorg": r["authority"],
        "remdate": epoch_ms(r["removed_on"]), "remexcpres": r["removal_reason"],
    }  # fmt: skip


def _annual_report(r: Mapping[str, Any]) -> dict[str, object]:
    return {
        "ancheyear": r["year"], "anchedate": epoch_ms(r["filed_on"]), "empnum": r["staff"],
        "insnum": r["insured_staff"], "vendinc": _wan(r["revenue"]), "assgro": _wan(r["total_assets"]),
        "liagro": _wan(r["total_liabilities"]), "netinc": _wan(r["net_profit"]), "ratgro": _wan(r["tax_paid"]),
        "guasign": "1" if r["has_external_guarantee"] else "2",
    }  # fmt: skip


_SERVICES: dict[str, tuple[str, Callable[[Row], dict[str, object]]]] = {
    "api/entinfo": ("registration", _entinfo),
    "api/investor": ("shareholders", _investor),
    "api/keyperson": ("key_persons", _keyperson),
    "api/abnormal": ("abnormal_list", _abnormal),
    "api/annualreport": ("annual_report", _annual_report),
}


class Registry(Platform):
    id = "sh-registry"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._seen = world.nonces(self.id, 2 * _WINDOW)

    def serve(self, call: Call) -> Answer:
        dataset, project = route(call, "POST", _SERVICES)
        rid, sid, rtime, sign = verify.need(
            call.headers, "gjzwfwpt_rid", "gjzwfwpt_sid", "gjzwfwpt_rtime", "gjzwfwpt_sign"
        )
        verify.known(rid, self.secrets["rid"])
        verify.known(sid, f"s_990000_{call.service.removeprefix('api/')}")
        verify.fresh(call.now, verify.unix(rtime, 1000), _WINDOW, _WINDOW)
        verify.signed(sign, verify.national(self.secrets["app_secret"], sid, rid, rtime))
        # There is no nonce, so a replay is the same signed headers with the same body.
        self._seen.use(f"{sign} {sha256(call.body).hexdigest()}", call.now)
        uscc = text_of(load(call.body), "uniscid")
        e, rows = self.world.rows(self.id, dataset, uscc)
        data = [{"uniscid": e.uscc, **project(row)} for row in rows] if e else []
        verdict = "answered" if data else "no_record"
        reply = {"code": 200, "message": "成功", "datatime": epoch_ms(self.world.today()), "data": data}
        return Answer(dump(reply), verdict, uscc=uscc)

    def refuse(self, why: Why) -> Answer:
        code, message = _CODES[why]
        return Answer(dump({"code": code, "message": message, "data": None}), why)
