"""A good caller of each simulated platform, and a reader of each dialect, written from docs/platforms.md alone."""

import base64
import hashlib
import hmac
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from multidict import CIMultiDict

from connectors import sm2
from connectors.sandbox.wire import Call

NOW = 1795500000.0  # 2026-11-24T05:20:00Z
Row = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """One request; the defaults are good, a test spoils one of them."""

    secrets: dict[str, str]
    dataset: str
    uscc: str
    first: str = "2024-12"
    last: str = "2026-11"
    page: int = 1
    at: float = NOW
    nonce: str = "nonce-000000001"
    without: str = ""
    """A header or parameter that is left out after signing."""
    extra: dict[str, Any] | None = None
    """Changes to the business parameters before signing."""

    def business(self, **values: Any) -> dict[str, Any]:
        return {k: v for k, v in (values | (self.extra or {})).items() if v is not None}


def _call(ask: Ask, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Call:
    path, _, query = url.partition("?")
    return Call(method, path, query, CIMultiDict({k: v for k, v in headers.items() if k != ask.without}), body, NOW)


@cache
def _private(secret: str) -> sm2.PrivateKey:
    return sm2.PrivateKey(bytes.fromhex(secret))


@cache
def _rsa(pem: str) -> Any:
    return load_pem_private_key(pem.encode(), None)


def _mac(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha256")).decode()


def registry(ask: Ask) -> Call:
    service = {
        "registration": "entinfo",
        "shareholders": "investor",
        "key_persons": "keyperson",
        "abnormal_list": "abnormal",
        "annual_report": "annualreport",
    }[ask.dataset]
    sid, rid, rtime = f"s_990000_{service}", ask.secrets["rid"], str(int(ask.at * 1000))
    headers = {
        "gjzwfwpt_rid": rid,
        "gjzwfwpt_sid": sid,
        "gjzwfwpt_rtime": rtime,
        "gjzwfwpt_sign": _mac(ask.secrets["app_secret"], sid + rid + rtime),
    }
    body = json.dumps(ask.business(uniscid=ask.uscc, entname="x")).encode()
    return _call(ask, "POST", f"/sh-registry/api/{service}", headers, body)


def hrss(ask: Ask) -> Call:
    values = ask.business(
        aab003=ask.uscc,
        aab004="虚构",
        ksny=ask.first.replace("-", ""),
        jsny=ask.last.replace("-", ""),
        pageNo=str(ask.page),
        pageSize="100",
    )
    inner = "".join(f"<{k}>{v}</{k}>" for k, v in values.items())
    body = f'<?xml version="1.0" encoding="gb18030"?><Request>{inner}</Request>'.encode("gb18030")
    app, ts = ask.secrets["app_id"], str(int(ask.at * 1000))
    text = f"{app}\n{ts}\n{ask.nonce}\n{sm2.sm3(body).hex()}\n"
    sign = sm2.hmac_sm3(ask.secrets["app_key"].encode(), text.encode()).hex().upper()
    return _call(
        ask, "POST", "/sh-hrss/service", {"X-App": app, "X-Ts": ts, "X-Nonce": ask.nonce, "X-Sign": sign}, body
    )


def hpf(ask: Ask) -> Call:
    business = json.dumps(ask.business(tyshxydm=ask.uscc, dwmc="虚构", ny=ask.first)).encode()
    given = {
        "app_id": ask.secrets["app_id"],
        "method": "gjj.unit.month",
        "timestamp": str(int(ask.at * 1000)),
        "nonce": ask.nonce,
        "biz": sm2.sm4_encrypt(bytes.fromhex(ask.secrets["sm4_key"]), business).hex(),
    } | {k: v for k, v in (ask.extra or {}).items() if k in ("method", "biz")}
    text = "&".join(f"{k}={given[k]}" for k in sorted(given))
    given["sign"] = _private(ask.secrets["private_key"]).sign(text.encode()).hex()
    given.pop(ask.without, None)
    return _call(ask, "POST", "/sh-hpf/gateway.do", {}, urlencode(given).encode())


def housing(ask: Ask) -> Call:
    service = {"real_estate": "bdcqlr", "mortgages": "bdcdy", "seizures": "bdccf"}[ask.dataset]
    path = f"/sh-housing/restapi/{service}"
    query = urlencode(ask.business(tyshxydm=ask.uscc, pageSize=20, pageNo=ask.page))
    when = format_datetime(datetime.fromtimestamp(ask.at, UTC), usegmt=True)
    key = ask.secrets["access_key"]
    ordered = "&".join(sorted(query.split("&")))
    headers = {
        "X-BG-HMAC-ACCESS-KEY": key,
        "X-BG-HMAC-ALGORITHM": "hmac-sha256",
        "X-BG-DATE-TIME": when,
        "X-BG-HMAC-SIGNATURE": _mac(ask.secrets["secret_key"], f"GET\n{path}\n{ordered}\n{key}\n{when}\n"),
    }
    return _call(ask, "GET", f"{path}?{query}", headers)


def tax(ask: Ask) -> Call:
    method = {"tax_returns": "sbxx", "tax_credit": "xydj", "tax_arrears": "qs", "invoices": "fphz"}[ask.dataset]
    local = datetime.fromtimestamp(ask.at, UTC) + timedelta(hours=8)
    given = ask.business(
        app_id=ask.secrets["app_id"],
        method=f"tax.{method}",
        timestamp=f"{local:%Y-%m-%d %H:%M:%S}",
        nonce=ask.nonce,
        sign_type="RSA2",
        shxydm=ask.uscc,
        nsrmc="虚构",
        ssqq=ask.first.replace("-", ""),
        ssqz=ask.last.replace("-", ""),
        page=str(ask.page),
    )
    text = "&".join(f"{k}={given[k]}" for k in sorted(given) if given[k])
    key = _rsa(ask.secrets["private_key"])
    given["sign"] = base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()
    given.pop(ask.without, None)
    return _call(ask, "POST", "/sh-tax/gateway", {}, urlencode(given).encode())


def credit(ask: Ask) -> Call:
    service = {"permits": "xzxk", "penalties": "xzcf", "credit_lists": "hhmd"}[ask.dataset]
    ts, nonce = str(int(ask.at)), ask.nonce
    headers = {
        "x-tif-paasid": ask.secrets["paasid"],
        "x-tif-timestamp": ts,
        "x-tif-nonce": nonce,
        "x-tif-signature": hashlib.sha256(f"{ts}{ask.secrets['token']}{nonce}{ts}".encode()).hexdigest(),
    }
    body = ask.business(xdr_shxym=ask.uscc, xdr_mc="虚构", pageNum=ask.page, pageSize=10)
    return _call(ask, "POST", f"/credit-sh/api/{service}", headers, json.dumps(body).encode())


def ccrc(ask: Ask) -> Call:
    body = json.dumps(ask.business(CreditCode=ask.uscc, EntName="虚构", Page=ask.page)).encode()
    path, ts = "/ccrc-receivables/services/receivable", str(int(ask.at))
    text = f"POST\n{path}\n{ts}\n{ask.nonce}\n{hashlib.sha256(body).hexdigest()}"
    headers = {
        "X-Zd-Client": ask.secrets["client_id"],
        "X-Zd-Time": ts,
        "X-Zd-Nonce": ask.nonce,
        "X-Zd-Signature": _mac(ask.secrets["client_secret"], text),
    }
    return _call(ask, "POST", path, headers, body)


def guarantee(ask: Ask) -> Call:
    app = ask.secrets["app_id"]
    given = ask.business(
        APPID=app,
        SERVICE="DBCX",
        TIMESTAMP=str(int(ask.at)),
        NONCE=ask.nonce,
        USCC=ask.uscc,
        NAME="虚构",
        PAGE=str(ask.page),
    )
    text = "&".join(f"{k}={given[k]}" for k in sorted(given)) + f"&key={ask.secrets['secret']}"
    key = _private(ask.secrets["private_key"])
    given["SIGN"] = base64.b64encode(key.sign(text.encode(), user_id=app.encode(), form="der")).decode()
    given.pop(ask.without, None)
    return _call(ask, "POST", "/guarantee-fund/open/api", {}, json.dumps(given).encode())


def token(secrets: dict[str, str], now: float = NOW) -> Call:
    pair = base64.b64encode(f"{secrets['client_id']}:{secrets['client_secret']}".encode()).decode()
    headers = CIMultiDict({"Authorization": f"Basic {pair}"})
    return Call("POST", "/sh-court/oauth2/token", "", headers, b"grant_type=client_credentials", now)


def cases(bearer: str, uscc: str, cursor: str = "", now: float = NOW) -> Call:
    query = urlencode({"cardNum": uscc, "iname": "虚构", "cursor": cursor})
    return Call("GET", "/sh-court/api/cases", query, CIMultiDict({"Authorization": f"Bearer {bearer}"}), b"", now)


def yunlian(ask: Ask) -> Call:
    given = ask.business(
        merId=ask.secrets["mer_id"],
        reqTime=str(int(ask.at * 1000)),
        reqNo=ask.nonce,
        custCode=ask.uscc,
        custName="虚构",
        pageIndex=str(ask.page),
    )
    text = "&".join(f"{k}={given[k]}" for k in sorted(given))
    given["signature"] = _private(ask.secrets["private_key"]).sign(text.encode(), form="decimal").decode()
    given.pop(ask.without, None)
    return _call(ask, "POST", "/yunlian/yx/query", {}, json.dumps(given).encode())


def core(ask: Ask) -> Call:
    path = "/core-enterprise/scf/" + ("trade" if ask.dataset == "core_trade" else "payables")
    months = {"from": ask.first, "to": ask.last} if ask.dataset == "core_trade" else {}
    query = urlencode(ask.business(partner=ask.uscc, page=ask.page, limit=50, **months))
    when = format_datetime(datetime.fromtimestamp(ask.at, UTC), usegmt=True)
    key = ask.secrets["access_key"]
    ordered = "&".join(sorted(query.split("&")))
    headers = {
        "X-HMAC-ACCESS-KEY": key,
        "X-HMAC-ALGORITHM": "hmac-sha256",
        "Date": when,
        "X-HMAC-SIGNATURE": _mac(ask.secrets["secret_key"], f"GET\n{path}\n{ordered}\n{key}\n{when}\n"),
    }
    return _call(ask, "GET", f"{path}?{query}", headers)


def acfic(ask: Ask) -> Call:
    ts, nonce = str(int(ask.at)), ask.nonce
    headers = {
        "x-rio-paasid": ask.secrets["paasid"],
        "x-rio-timestamp": ts,
        "x-rio-nonce": nonce,
        "x-rio-signature": hashlib.sha256(f"{ts}{ask.secrets['token']}{nonce}{ts}".encode()).hexdigest().upper(),
    }
    query = urlencode(ask.business(creditCode=ask.uscc, entName="虚构"))
    return _call(ask, "GET", f"/acfic-sh/open/member?{query}", headers)


def pudong(ask: Ask) -> Call:
    body = json.dumps(ask.business(tyshxydm=ask.uscc, qymc="虚构", pageNo=ask.page, pageSize=20)).encode()
    app, ts = ask.secrets["app_id"], str(int(ask.at))
    text = f"{app}&{ts}&{ask.nonce}&{hashlib.sha256(body).hexdigest()}"
    sign = hmac.digest(ask.secrets["app_key"].encode(), text.encode(), "sha256").hex()
    headers = {"X-PD-App": app, "X-PD-Time": ts, "X-PD-Nonce": ask.nonce, "X-PD-Sign": sign}
    return _call(ask, "POST", "/pudong-credit/fuwu/pj", headers, body)


def huangpu(ask: Ask) -> Call:
    path, ts = "/district-huangpu/api/qyfc", str(int(ask.at * 1000))
    body = urlencode(ask.business(tyshxydm=ask.uscc, qymc="虚构")).encode()
    text = f"POST\n{path}\n{ts}\n{ask.nonce}\n{sm2.sm3(body).hex()}"
    sign = sm2.hmac_sm3(ask.secrets["app_key"].encode(), text.encode()).hex()
    headers = {"X-Qx-Id": ask.secrets["app_id"], "X-Qx-Time": ts, "X-Qx-Nonce": ask.nonce, "X-Qx-Sign": sign}
    return _call(ask, "POST", path, headers, body)


CALLERS: dict[str, Callable[[Ask], Call]] = {
    "sh-registry": registry,
    "sh-hrss": hrss,
    "sh-hpf": hpf,
    "sh-housing": housing,
    "sh-tax": tax,
    "credit-sh": credit,
    "ccrc-receivables": ccrc,
    "guarantee-fund": guarantee,
    "yunlian": yunlian,
    "core-enterprise": core,
    "acfic-sh": acfic,
    "pudong-credit": pudong,
    "district-huangpu": huangpu,
}
"""Every platform that signs each request, of the districts the first; sh-court and sh-ywtb have their tokens."""


def later(call: Call, seconds: float) -> Call:
    return replace(call, now=call.now + seconds)


# --- reading ---------------------------------------------------------------------------------------------------------


def _json(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def _ms(value: int | None) -> str | None:
    return (
        None if value is None else (datetime.fromtimestamp(value / 1000, UTC) + timedelta(hours=8)).date().isoformat()
    )


def _wan(value: Any) -> Decimal:
    return Decimal(value) * 10_000


def _d8(text: str) -> str | None:
    return None if text in ("", "99999999999999") else f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def _m6(text: str) -> str:
    return f"{text[:4]}-{text[4:]}"


def _yuan(text: str) -> Decimal | None:
    return Decimal(text.replace(",", "")) if text else None


def _open(text: str) -> str | None:
    return None if text in ("", "9999-12-31") else text


def _rows_registry(dataset: str, r: Row) -> Row:
    if dataset == "registration":
        return {
            "uscc": r["uniscid"],
            "name": r["entname"],
            "former_names": r["usedname"] or None,
            "registration_number": r["regno"],
            "enterprise_type": r["enttype"],
            "legal_representative": r["lerep"],
            "representative_since": _ms(r["lerepdate"]),
            "established": _ms(r["estdate"]),
            "approved": _ms(r["apprdate"]),
            "term_from": _ms(r["opfrom"]),
            "registered_capital": _wan(r["regcap"]),
            "capital_currency": r["regcapcur"],
            "industry_section": r["industryphy"],
            "industry_code": r["industryco"],
            "address": r["dom"],
            "business_scope": r["opscope"],
            "authority": r["regorg"],
            "state": {"存续（在营、开业、在册）": "active"}[r["regstate"]],
        }
    if dataset == "shareholders":
        return {
            "name": r["inv"],
            "kind": r["invtype"],
            "subscribed": _wan(r["subconam"]),
            "paid_in": _wan(r["acconam"]),
            "share": r["conprop"],
            "subscribed_on": _ms(r["condate"]),
        }
    if dataset == "key_persons":
        return {"name": r["name"], "position": r["position"], "is_representative": r["lerepsign"] == "1"}
    if dataset == "abnormal_list":
        return {
            "listed_on": _ms(r["abntime"]),
            "reason": r["specause"],
            "authority": r["decorg"],
            "removed_on": _ms(r["remdate"]),
            "removal_reason": r["remexcpres"],
        }
    return {
        "year": r["ancheyear"],
        "filed_on": _ms(r["anchedate"]),
        "staff": r["empnum"],
        "insured_staff": r["insnum"],
        "revenue": _wan(r["vendinc"]),
        "total_assets": _wan(r["assgro"]),
        "total_liabilities": _wan(r["liagro"]),
        "net_profit": _wan(r["netinc"]),
        "tax_paid": _wan(r["ratgro"]),
        "has_external_guarantee": r["guasign"] == "1",
    }


def _row_hrss(r: Row) -> Row:
    kinds = {"110": "pension", "210": "unemployment", "310": "medical", "410": "injury", "510": "maternity"}
    return {
        "month": _m6(r["aae003"]),
        "kind": kinds[r["aae140"]],
        "persons": r["cbrs"],
        "base": r["aae180"],
        "arrears": Decimal(r["aae120"]),
        "state": {"1": "paying"}[r["aac031"]],
    }


def _row_hpf(r: Row) -> Row:
    return {
        "month": r["ny"],
        "persons": r["dwjcrs"],
        "sealed": r["dwfcrs"],
        "base": _yuan(r["jcjs"]),
        "amount": _yuan(r["yjce"]),
        "employer_rate": Decimal(r["dwjcbl"]),
        "employee_rate": Decimal(r["grjcbl"]),
        "paid_up_to": r["jzny"],
        "state": r["dwzt"],
    }


def _rows_housing(dataset: str, r: Row) -> Row:
    row = {"unit_number": r["bdcdyh"], "current": r["qszt"] == "1"}
    if dataset == "real_estate":
        return row | {
            "certificate": r["bdcqzh"],
            "owner": r["qlrmc"],
            "owner_uscc": r["qlrzjh"],
            "location": r["zl"],
            "area": Decimal(r["mj"]),
            "use": r["yt"],
            "registered_on": r["djsj"][:10],
            "assessed_value": _wan(r["pgjz"]),
        }
    if dataset == "mortgages":
        return row | {
            "certificate": r["bdcdjzmh"],
            "mortgagee": r["dyqr"],
            "secured_amount": _wan(r["bdbzzqse"]),
            "debt_from": r["zwlxqssj"][:10],
            "debt_to": r["zwlxjssj"][:10],
            "registered_on": r["djsj"][:10],
        }
    return row | {
        "authority": r["cfjg"],
        "document": r["cfwh"],
        "seized_from": r["cfqssj"][:10],
        "seized_to": r["cfjssj"][:10],
    }


_TAXES = {"10101": "vat", "10104": "income_tax", "10106": "individual_income_tax", "10111": "stamp_duty"}


def _rows_tax(dataset: str, r: Row) -> Row:
    if dataset == "tax_returns":
        return {
            "tax": _TAXES[r["zsxm_dm"]],
            "period_from": _d8(r["skssqq"]),
            "period_to": _d8(r["skssqz"]),
            "sales": _yuan(r["xse"]),
            "payable": _yuan(r["ynse"]),
            "relief": _yuan(r["jmse"]),
            "due": _yuan(r["ybtse"]),
            "persons": r["sbrs"],
            "filed_on": _d8(r["sbrq"]),
            "correction": r["gzlx_dm"] == "1",
            "void": r["zfbz"] == "N",
        }
    if dataset == "tax_credit":
        return {"year": int(r["pjnd"]), "grade": r["xydj"], "score": Decimal(r["pjfs"])}
    if dataset == "tax_arrears":
        return {
            "tax": _TAXES[r["zsxm_dm"]],
            "amount": _yuan(r["qss"]),
            "period_from": _d8(r["skssqq"]),
            "period_to": _d8(r["skssqz"]),
            "announced_on": _d8(r["ggrq"]),
        }
    return {
        "month": _m6(r["kpny"]),
        "direction": {"1": "sales", "2": "purchases"}[r["fx"]],
        "count": r["fs"],
        "amount": _yuan(r["je"]),
        "tax": _yuan(r["se"]),
        "red_amount": _yuan(r["hzje"]),
        "void_count": r["zffs"],
    }


def _han(text: str) -> str:
    return text.replace("年", "-").replace("月", "-").removesuffix("日")


def _row_court(r: Row) -> Row:
    return {
        "kind": {"被执行人": "enforcement", "失信被执行人": "dishonest_debtor", "裁判文书": "judgment"}[r["caseType"]],
        "case_number": r["caseCode"],
        "name": r["iname"],
        "court": r["courtName"],
        "basis": r["gistId"] or None,
        "filed_on": _han(r["regDate"]),
        "published_on": _han(r["publishDate"]),
        "amount": r["execMoney"],
        "performance": r["performance"] or None,
        "role": {"被告": "defendant", "原告": "plaintiff"}[r["partyRole"]],
        "closed": r["closed"] == "是",
    }


def _rows_credit(dataset: str, r: Row) -> Row:
    if dataset == "permits":
        return {
            "document": r["XK_WSH"],
            "name": r["XK_XKWS"],
            "content": r["XK_NR"],
            "decided_on": r["XK_JDRQ"],
            "valid_to": _open(r["XK_YXQZ"]),
            "authority": r["XK_XKJG"],
        }
    if dataset == "penalties":
        return {
            "document": r["CF_WSH"],
            "name": r["CF_CFMC"],
            "cause": r["CF_SY"],
            "fine": _wan(r["CF_NR_FK"]),
            "decided_on": r["CF_JDRQ"],
            "public_until": _open(r["CF_GSJZQ"]),
            "authority": r["CF_CFJG"],
        }
    return {
        "kind": {"1": "red", "2": "black"}[r["HHMD_LX"]],
        "name": r["HHMD_MC"],
        "listed_on": r["HHMD_LRRQ"],
        "removed_on": _open(r["HHMD_YCRQ"]),
        "authority": r["HHMD_RDJG"],
        "document": r["HHMD_WSH"],
    }


def _row_ccrc(r: Row) -> Row:
    return {
        "number": r["Number"],
        "debtor": r["Debtor"],
        "debtor_uscc": r["DebtorCode"],
        "amount": Decimal(r["Amount"].replace("．", ".")),
        "outstanding": Decimal(r["Balance"].replace("．", ".")),
        "invoiced_on": _d8(r["InvoiceDate"]),
        "due_on": _d8(r["DueDate"]),
        "uploaded_on": _d8(r["UploadTime"]),
        "confirmed_on": _d8(r["ConfirmTime"]),
        "state": {"01": "open", "02": "confirmed", "03": "financed", "04": "settled"}[r["Status"]],
        "pledged": r["Pledged"] == "Y",
        "financier": r["Pledgee"] or None,
    }


def _row_guarantee(r: Row) -> Row:
    return {
        "number": r["BHBH"],
        "role": {"1": "guaranteed", "2": "guarantor"}[r["JS"]],
        "institution": r["DBJG"],
        "creditor": r["ZQR"],
        "amount": Decimal(r["DBJE"]) * 10**8,
        "outstanding": Decimal(r["ZBYE"]) * 10**8,
        "risk_share": Decimal(r["FXFD"].removesuffix("%")) / 100,
        "starts_on": r["QSR"].replace("/", "-"),
        "ends_on": r["DQR"].replace("/", "-"),
        "compensated": Decimal(r["DCJE"]) * 10**8,
        "state": {"1": "active", "2": "released"}[r["ZT"]],
    }


def _row_yunlian(r: Row) -> Row:
    return {
        "number": r["pzbh"],
        "issuer": r["kjr"],
        "holder": r["cyr"],
        "amount": Decimal(r["je"]) / 100,
        "level": r["cfjb"],
        "parent": r["sjpz"] or None,
        "promised_on": _d8(r["cnfkr"]),
        "state": {"1": "held", "2": "split", "3": "transferred", "4": "financed"}[r["zt"]],
        "receivable": r["yszk"],
        "financier": r["rzjg"] or None,
    }


def _rows_core(dataset: str, head: Row, r: Row) -> Row:
    if dataset == "core_trade":
        return {
            **{k: r[k] for k in ("month", "orders", "purchases", "paid", "outstanding", "overdue")},
            "side": {"supplier": "upstream", "dealer": "downstream"}[r["role"]],
            "core_enterprise": head["core"],
        }
    return {
        "number": r["no"],
        "debtor": r["buyer"],
        "debtor_uscc": r["buyerCode"],
        "amount": r["amount"],
        "outstanding": r["open"],
        "invoiced_on": r["invoiced"],
        "due_on": r["due"],
        "confirmed_on": r["confirmed"],
        "state": r["status"],
        "pledged": r["assigned"],
        "financier": r["assignee"],
    }


def _row_acfic(r: Row) -> Row:
    def day(text: str | None) -> str | None:
        return None if text is None else "-".join(part.zfill(2) for part in _han(text).split("-"))

    return {
        "name": r["mc"],
        "kind": {"会员": "membership", "荣誉": "honour", "推荐": "recommendation"}[r["lb"]],
        "authority": r["dw"],
        "granted_on": day(r["rq"]),
        "valid_to": day(r["yxq"]),
    }


_SUPPORT = {"01": "subsidy", "02": "evaluation", "03": "white_list", "04": "financing_need", "补贴": "subsidy",
            "白名单": "white_list"}  # fmt: skip


def _row_support(r: Row, unit: int) -> Row:
    day = r["rq"] if "-" in r["rq"] else _d8(r["rq"])
    return {
        "name": r["mc"],
        "kind": _SUPPORT[r.get("lx") or r["lb"]],
        "amount": Decimal(r["je"]) * unit if r["je"] else None,
        "authority": r["bm"],
        "granted_on": day,
        "result": r["jg"] or None,
    }


def soap(body: bytes) -> tuple[dict[str, str], list[Row]]:
    """The texts of Return and Data, and the Result rows."""
    reply = ET.fromstring(body)[0][0]  # Envelope, Body, QueryResponse
    data = reply.find("PayLoad/Data")
    leaves = [*reply.iterfind("Return/*"), *(x for x in (data if data is not None else ()) if x.tag != "Result")]
    results = reply.iterfind("PayLoad/Data/Result")
    return {x.tag: x.text or "" for x in leaves}, [{x.tag: x.text or "" for x in result} for result in results]


def hrss_json(body: bytes) -> Any:
    text = body.decode("gb18030").removeprefix('<?xml version="1.0" encoding="GB18030"?>')
    return _json((ET.fromstring(text).findtext("resp") or "").encode())


def read(platform: str, dataset: str, body: bytes) -> tuple[list[Row], bool]:
    """The rows of one page in canonical form (money as Decimal), and whether there is a further page of 20 or so."""
    if platform == "sh-hrss":
        reply = hrss_json(body)["body"]
        return [_row_hrss(r) for r in reply["list"]], reply["total"] > 100
    if platform == "ccrc-receivables":
        leaves, results = soap(body)
        return [_row_ccrc(r) for r in results], leaves["HasMore"] == "Y"
    if platform == "credit-sh":
        assert body[:3] == b"\xef\xbb\xbf"
        data = _json(body[3:])["data"]
        return [_rows_credit(dataset, r) for r in data["list"]], data["pages"] > 1
    reply = _json(body)
    if platform == "sh-registry":
        return [_rows_registry(dataset, r) for r in reply["data"]], False
    if platform == "sh-hpf":
        return [_row_hpf(r) for r in reply["result"]["data"]["list"]] if reply["ret"] == "0" else [], False
    if platform == "sh-housing":
        return [_rows_housing(dataset, r) for r in reply["DataList"]], reply["TotalCount"] > 20
    if platform == "sh-tax":
        inner = json.loads(reply["datas"]) if reply["code"] == "00" else {"rows": [], "totalPage": 0}
        return [_rows_tax(dataset, r) for r in inner["rows"]], inner["totalPage"] > 1
    if platform == "sh-court":
        return [_row_court(r) for r in reply["result"]["data"]], reply["result"]["next"] is not None
    if platform == "yunlian":
        held = reply["rspData"] or {"list": [], "hasNext": "0"}
        return [_row_yunlian(r) for r in held["list"]], held["hasNext"] == "1"
    if platform == "core-enterprise":
        return [_rows_core(dataset, reply, r) for r in reply["items"]], reply["total"] > 50
    if platform == "acfic-sh":
        return [_row_acfic(r) for r in (reply["resultData"] or {"items": []})["items"]], False
    if platform == "pudong-credit":
        return [_row_support(r, 10_000) for r in reply["content"]["sj"]], False
    if platform == "district-huangpu":
        return [_row_support(r, 1) for r in (reply["result"] or {"zc": []})["zc"]], False
    body_ = reply["BODY"] or {"ROWS": [], "MORE": "N"}
    return [_row_guarantee(r) for r in body_["ROWS"] if r["ROWCODE"] == "SUC0000"], body_["MORE"] == "Y"
