"""What platforms know that is not monthly: the register, property, courts, credit lists, guarantees."""

from datetime import date, timedelta
from decimal import Decimal

from connectors.sandbox.identity import name_of, other_firm, person
from connectors.sandbox.population import Enterprise
from connectors.sandbox.series import Row, before, yuan

_CITY = "虚构市"
_COURT = f"{_CITY}人民法院"


def registration(e: Enterprise) -> list[Row]:
    since = e.established
    representative = person(e.representative)
    if "new-representative" in e.noise:
        since = e.today - timedelta(days=12)
        representative = person(e.representative + 1)
    name = name_of(e.n + 1_000_003, e.trade[0]) if e.conflict == "identity-name" else e.name
    return [
        {
            "uscc": e.uscc,
            "name": name,
            "former_names": [e.former_name] if e.former_name else None,
            "registration_number": e.registration_number,
            "enterprise_type": "有限责任公司(自然人投资或控股)",
            "legal_representative": representative,
            "representative_since": since,
            "established": e.established,
            "approved": since if "new-representative" in e.noise else before(e, 200),
            "term_from": e.established,
            "registered_capital": yuan(e.capital) * (10_000 if e.conflict == "unit-capital" else 1),
            "capital_currency": "人民币",
            "industry_section": e.trade[1],
            "industry_code": e.trade[2],
            "address": f"{_CITY}虚构区虚构路{e.n % 900 + 1}号",
            "business_scope": f"{e.trade[0]}的研发、生产与销售（虚构）",
            "authority": f"{_CITY}市场监督管理局",
            "state": "active",
        }
    ]


def shareholders(e: Enterprise) -> list[Row]:
    return [
        {
            "name": person(e.representative + offset),
            "kind": "自然人股东",
            "subscribed": yuan(e.capital * share // 100),
            "paid_in": yuan(e.capital * share * 8 // 1000),
            "share": Decimal(share).scaleb(-2),
            "subscribed_on": e.established,
        }
        for offset, share in ((0, 60), (7, 40))
    ]


def key_persons(e: Enterprise) -> list[Row]:
    listed = e.representative + (3 if e.conflict == "identity-representative" else 0)
    return [
        {"name": person(listed), "position": "执行董事兼总经理", "is_representative": True},
        {"name": person(e.representative + 7), "position": "监事", "is_representative": False},
    ]


def abnormal_list(e: Enterprise) -> list[Row]:
    return [
        {
            "listed_on": before(e, 700 + 30 * i),
            "reason": "通过登记的住所无法联系",
            "authority": f"{_CITY}市场监督管理局",
            "removed_on": before(e, 500),
            "removal_reason": "已办理住所变更登记",
        }
        for i in range(e.counts["abnormal"])
    ]


def real_estate(e: Enterprise) -> list[Row]:
    owner = (e.asked_name if "former-name" in e.noise else e.name, e.uscc)
    if e.conflict == "property-owner":
        owner = other_firm(e.n)
    return [
        {
            "unit_number": x.unit_number,
            "certificate": f"虚（2020）虚构市不动产权第{e.n % 10**7:07d}{i:02d}号",
            "owner": owner[0],
            "owner_uscc": owner[1],
            "location": f"{_CITY}虚构区虚构路{e.n % 900 + 1}号{i + 1}幢",
            "area": Decimal(x.area_cm2).scaleb(-4).quantize(Decimal("0.01")),
            "use": "工业" if e.trade[1] == "C" else "办公",
            "registered_on": before(e, 1500 + i),
            "assessed_value": yuan(x.value),
            "current": True,
        }
        for i, x in enumerate(e.estates)
    ]


def mortgages(e: Enterprise) -> list[Row]:
    factor = 10_000 if e.conflict == "unit-mortgage" else 1

    def row(i: int, secured: int, current: bool) -> Row:
        return {
            "unit_number": e.estates[i].unit_number,
            "certificate": f"虚（{2023 if current else 2016}）虚构市不动产证明第{e.n % 10**7:07d}{i:02d}号",
            "mortgagee": f"{_CITY}第{i % 3 + 1}银行（沙箱）",
            "secured_amount": yuan(secured) * factor,
            "debt_from": before(e, 300 if current else 3000),
            "debt_to": before(e, -1500 if current else 1200),
            "registered_on": before(e, 295 if current else 2995),
            "current": current,
        }

    rows = [row(0, e.estates[0].value // 2_000_000 * 1_000_000, False)] if "history-mortgage" in e.noise else []
    return rows + [row(i, x.secured, True) for i, x in enumerate(e.estates) if x.secured]


def seizures(e: Enterprise) -> list[Row]:
    """Only lifted ones: a seizure in force would be a finding of its own."""
    return [
        {
            "unit_number": x.unit_number,
            "authority": _COURT,
            "document": f"(2019)虚9901执保{e.n % 1000}号",
            "seized_from": before(e, 2400),
            "seized_to": before(e, 2000),
            "current": False,
        }
        for x in e.estates[:1]
        if e.n % 23 == 0
    ]


def tax_credit(e: Enterprise) -> list[Row]:
    grade = "C" if e.counts["arrears"] else "AB"[e.n % 2]
    score = {"A": "93.5", "B": "81.0", "C": "58.5"}[grade]
    newest = e.today.year - 1 if e.today.month > 4 else e.today.year - 2
    return [{"year": year, "grade": grade, "score": Decimal(score)} for year in (newest - 1, newest)]


def tax_arrears(e: Enterprise) -> list[Row]:
    last = e.today.year - 1
    return [
        {
            "tax": "vat",
            "amount": yuan(1_234_567 + e.n % 1000 * 100),
            "period_from": date(last, 9 + i, 1),
            "period_to": date(last, 9 + i, 30),
            "announced_on": date(last, 12, 20),
        }
        for i in range(e.counts["arrears"])
    ]


def _case(e: Enterprise, kind: str, i: int, closed: bool) -> Row:
    judgment = kind == "judgment"
    return {
        "kind": kind,
        "case_number": f"({e.today.year - 2})虚9901{'民初' if judgment else '执'}{e.n % 9000 + i}号",
        "name": e.name,
        "court": _COURT,
        "basis": None if judgment else f"({e.today.year - 3})虚9901民初{e.n % 9000 + i}号",
        "filed_on": before(e, 500 + i),
        "published_on": before(e, 430 + i),
        "amount": yuan(20_000_000 + (e.n % 5000) * 12_350 + i * 100_050),
        "performance": None if judgment else "全部未履行" if kind == "dishonest_debtor" else "部分履行",
        "role": "plaintiff" if judgment else "defendant",
        "closed": closed,
    }


def judicial(e: Enterprise) -> list[Row]:
    """Judgments are all won as a plaintiff: they burden nobody."""
    rows = [_case(e, "judgment", i, True) for i in range(e.counts["judgments"])]
    if e.conflict == "dishonest-debtor":
        rows.append(_case(e, "dishonest_debtor", 90, False))
    if e.conflict == "undeclared-enforcement" or "declared-enforcement" in e.noise:
        rows.append(_case(e, "enforcement", 90, False))
    return rows


def permits(e: Enterprise) -> list[Row]:
    return [
        {
            "document": f"虚许可〔2022〕{e.n % 10**6}-{i}号",
            "name": "虚构生产经营许可证",
            "content": f"准予从事{e.trade[0]}经营活动（虚构）",
            "decided_on": before(e, 900 + i),
            "valid_to": None if i % 2 else before(e, -900),
            "authority": f"{_CITY}行政审批局",
        }
        for i in range(e.counts["permits"])
    ]


def penalties(e: Enterprise) -> list[Row]:
    return [
        {
            "document": f"虚罚〔2021〕{e.n % 10**6}-{i}号",
            "name": "未按规定公示年度报告（虚构）",
            "cause": "逾期公示",
            "fine": yuan(500_000 + i * 125_000),
            "decided_on": before(e, 1000 + i),
            "public_until": None if i % 2 else before(e, 635),
            "authority": f"{_CITY}市场监督管理局",
        }
        for i in range(e.counts["penalties"])
    ]


def credit_lists(e: Enterprise) -> list[Row]:
    def row(kind: str, name: str, authority: str, removed: date | None) -> Row:
        return {
            "kind": kind,
            "name": name,
            "listed_on": before(e, 420),
            "removed_on": removed,
            "authority": authority,
            "document": f"虚名单〔2024〕{e.n % 10**6}号",
        }

    rows = [row("red", "纳税信用A级纳税人", f"{_CITY}税务局", None)] * e.counts["red"]
    if e.conflict == "dishonest-debtor":
        rows.append(row("black", "失信被执行人", _COURT, None))
    if "closed-listing" in e.noise:
        rows.append(row("black", "严重违法失信企业名单", f"{_CITY}市场监督管理局", before(e, 100)))
    return rows


def guarantees(e: Enterprise) -> list[Row]:
    def row(i: int, role: str) -> Row:
        state = "active" if i % 3 != 1 else "released"
        amount = 100_000_000 + (e.n % 40) * 5_000_000 + i * 20_000_000
        return {
            "number": f"虚保2025-{e.n:06d}-{i + 1}",
            "role": role,
            "institution": f"{_CITY}融资担保有限公司（沙箱）",
            "creditor": f"{_CITY}第{i % 3 + 1}银行（沙箱）",
            "amount": yuan(amount),
            "outstanding": yuan(amount * 8 // 10 if state == "active" else 0),
            "risk_share": Decimal("0.2"),
            "starts_on": before(e, 250 + i),
            "ends_on": before(e, -480 + i),
            "compensated": Decimal(0),
            "state": state,
        }

    received = [row(i, "guaranteed") for i in range(e.counts["guaranteed"])]
    return received + [row(9 + i, "guarantor") for i in range(e.counts["guarantor"])]
