"""The data-set catalogue: one canonical record per data set.

A record is what a connector makes of one row of a platform's reply: canonical names, canonical text forms
(schemas.base), money in 元. On the way of a request a record is a plain ``dict`` of these fields, so that a
row costs one dict; these models are its contract: the JSON Schema, the conformance suite and the consent's
field names come from here. A field that a platform did not give is absent, never zero and never an empty text.

Field names and code meanings follow docs/data-sets.md; ``zh`` titles are what people are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field

from schemas.base import (
    Count,
    Day,
    Model,
    Month,
    Name,
    Ratio,
    ShortText,
    SquareMetres,
    Text,
    Uscc,
    Year,
    Yuan,
)


def f(zh: str, en: str, *, sensitive: bool = False, personal: bool = False) -> Any:
    """An optional field with its titles; ``sensitive`` needs separate consent (PIPL 29), ``personal`` is masked."""
    return Field(default=None, title=en, json_schema_extra={"zh": zh, "sensitive": sensitive, "personal": personal})


def need(zh: str, en: str, *, sensitive: bool = False, personal: bool = False) -> Any:
    """A field without which the row has no meaning."""
    return Field(title=en, json_schema_extra={"zh": zh, "sensitive": sensitive, "personal": personal})


class Record(Model):
    """One canonical row. ``title`` is (zh, en); ``many`` says whether a subject may have several rows."""

    title: ClassVar[tuple[str, str]]
    many: ClassVar[bool] = True


class RegistrationState(StrEnum):
    ACTIVE = "active"  # 存续（在营、开业、在册）
    REVOKED = "revoked_not_deregistered"  # 吊销,未注销
    REVOKED_DEREGISTERED = "revoked_deregistered"  # 吊销，已注销
    DEREGISTERED = "deregistered"  # 注销
    MOVED_OUT = "moved_out"  # 迁出
    SUSPENDED = "suspended"  # 歇业 / 停业


class Registration(Record):
    title = ("登记信息", "Registration")
    many = False
    uscc: Uscc = need("统一社会信用代码", "Unified social credit code")
    name: ShortText = need("企业名称", "Registered name")
    former_names: list[ShortText] | None = f("曾用名", "Former names")
    registration_number: ShortText | None = f("注册号", "Registration number")
    enterprise_type: ShortText | None = f("企业类型", "Enterprise type")
    legal_representative: ShortText | None = f("法定代表人", "Legal representative", personal=True)
    representative_since: Day | None = f("法定代表人任职日期", "Legal representative since")
    established: Day | None = f("成立日期", "Established")
    approved: Day | None = f("核准日期", "Approved")
    term_from: Day | None = f("营业期限自", "Term from")
    term_to: Day | None = f("营业期限至", "Term to; absent when open-ended")
    registered_capital: Yuan | None = f("注册资本", "Registered capital")
    capital_currency: ShortText | None = f("注册资本币种", "Capital currency")
    industry_section: ShortText | None = f("行业门类", "Industry section (GB/T 4754)")
    industry_code: ShortText | None = f("行业代码", "Industry code (GB/T 4754)")
    address: Text | None = f("住所", "Registered address")
    business_scope: Text | None = f("经营范围", "Business scope")
    authority: ShortText | None = f("登记机关", "Registration authority")
    state: RegistrationState | None = f("登记状态", "Registration state")


class Shareholder(Record):
    title = ("股东及出资", "Shareholders")
    name: ShortText = need("股东名称", "Shareholder", personal=True)
    kind: ShortText | None = f("股东类型", "Kind of shareholder")
    subscribed: Yuan | None = f("认缴出资额", "Subscribed capital")
    paid_in: Yuan | None = f("实缴出资额", "Paid-in capital")
    share: Ratio | None = f("出资比例", "Share")
    subscribed_on: Day | None = f("认缴日期", "Subscribed on")


class KeyPerson(Record):
    title = ("主要人员", "Key persons")
    name: ShortText = need("姓名", "Name", personal=True)
    position: ShortText | None = f("职务", "Position")
    is_representative: bool | None = f("是否法定代表人", "Is the legal representative")


class AbnormalListing(Record):
    title = ("经营异常名录", "Abnormal list")
    listed_on: Day = need("列入日期", "Listed on")
    reason: Text | None = f("列入原因", "Reason")
    authority: ShortText | None = f("列入机关", "Authority")
    removed_on: Day | None = f("移出日期", "Removed on")
    removal_reason: Text | None = f("移出原因", "Removal reason")


class AnnualReport(Record):
    title = ("企业年报", "Annual report")
    year: Year = need("年度", "Year")
    filed_on: Day | None = f("填报日期", "Filed on")
    staff: Count | None = f("从业人数", "Staff")
    insured_staff: Count | None = f("参保人数", "Insured staff as declared")
    revenue: Yuan | None = f("营业总收入", "Revenue")
    total_assets: Yuan | None = f("资产总额", "Total assets")
    total_liabilities: Yuan | None = f("负债总额", "Total liabilities")
    net_profit: Yuan | None = f("净利润", "Net profit")
    tax_paid: Yuan | None = f("纳税总额", "Tax paid")
    has_external_guarantee: bool | None = f("是否对外担保", "Has given guarantees")


class InsuranceKind(StrEnum):
    PENSION = "pension"
    UNEMPLOYMENT = "unemployment"
    MEDICAL = "medical"
    INJURY = "injury"
    MATERNITY = "maternity"


class SocialInsurance(Record):
    title = ("社会保险", "Social insurance")
    month: Month = need("费款所属期", "Month")
    kind: InsuranceKind = need("险种", "Kind")
    persons: Count = need("参保人数", "Insured persons")
    base: Yuan | None = f("缴费基数合计", "Total contribution base", sensitive=True)
    arrears: Yuan | None = f("欠缴金额", "Arrears")
    state: ShortText | None = f("参保状态", "State")


class ProvidentFund(Record):
    title = ("住房公积金", "Housing provident fund")
    month: Month = need("汇缴月份", "Month")
    persons: Count = need("缴存人数", "Contributing persons")
    sealed: Count | None = f("封存人数", "Sealed accounts")
    base: Yuan | None = f("缴存基数合计", "Total contribution base", sensitive=True)
    amount: Yuan | None = f("月缴存额", "Monthly contribution")
    employer_rate: Ratio | None = f("单位缴存比例", "Employer rate")
    employee_rate: Ratio | None = f("个人缴存比例", "Employee rate")
    paid_up_to: Month | None = f("缴至年月", "Paid up to")
    state: ShortText | None = f("账户状态", "Account state")


class RealEstate(Record):
    title = ("不动产权利", "Real-estate ownership")
    unit_number: ShortText = need("不动产单元号", "Real-estate unit number")
    certificate: ShortText | None = f("不动产权证号", "Certificate number")
    owner: ShortText | None = f("权利人", "Owner")
    owner_uscc: Uscc | None = f("权利人统一社会信用代码", "Owner's USCC")
    location: Text | None = f("坐落", "Location")
    area: SquareMetres | None = f("面积", "Area")
    use: ShortText | None = f("用途", "Use")
    registered_on: Day | None = f("登记日期", "Registered on")
    assessed_value: Yuan | None = f("评估价值", "Assessed value")
    current: bool | None = f("是否现势", "Current, not history")


class Mortgage(Record):
    title = ("不动产抵押", "Mortgages")
    unit_number: ShortText = need("不动产单元号", "Real-estate unit number")
    certificate: ShortText | None = f("不动产登记证明号", "Certificate number")
    mortgagee: ShortText | None = f("抵押权人", "Mortgagee")
    secured_amount: Yuan | None = f("被担保主债权数额", "Secured claim")
    debt_from: Day | None = f("债务履行起始时间", "Debt from")
    debt_to: Day | None = f("债务履行结束时间", "Debt to")
    registered_on: Day | None = f("登记日期", "Registered on")
    current: bool | None = f("是否现势", "Current, not history")


class Seizure(Record):
    title = ("不动产查封", "Seizures")
    unit_number: ShortText = need("不动产单元号", "Real-estate unit number")
    authority: ShortText | None = f("查封机关", "Authority")
    document: ShortText | None = f("查封文号", "Document number")
    seized_from: Day | None = f("查封起始时间", "From")
    seized_to: Day | None = f("查封结束时间", "To")
    current: bool | None = f("是否现势", "Current, not history")


class TaxReturn(Record):
    title = ("纳税申报", "Tax returns")
    tax: Name = need("税种", "Tax: vat, income_tax, individual_income_tax, stamp_duty, other")
    period_from: Day = need("税款所属期起", "Period from")
    period_to: Day = need("税款所属期止", "Period to")
    sales: Yuan | None = f("申报销售额或营业收入", "Declared sales or revenue, without tax")
    payable: Yuan | None = f("应纳税额", "Tax payable")
    relief: Yuan | None = f("减免税额", "Relief")
    due: Yuan | None = f("应补退税额", "Due or refundable")
    persons: Count | None = f("个税申报人数", "Persons in the individual income tax return")
    filed_on: Day | None = f("申报日期", "Filed on")
    correction: bool | None = f("是否更正申报", "A correction of an earlier return")
    void: bool | None = f("是否作废", "Void")


class TaxGrade(StrEnum):
    A = "A"
    B = "B"
    M = "M"  # a new taxpayer
    C = "C"
    D = "D"


class TaxCredit(Record):
    title = ("纳税信用", "Tax credit grade")
    year: Year = need("评价年度", "Year")
    grade: TaxGrade = need("信用等级", "Grade")
    score: Ratio | None = f("得分", "Score")


class TaxArrears(Record):
    title = ("欠税", "Tax arrears")
    tax: Name = need("税种", "Tax")
    amount: Yuan = need("欠税余额", "Balance owed")
    period_from: Day | None = f("税款所属期起", "Period from")
    period_to: Day | None = f("税款所属期止", "Period to")
    announced_on: Day | None = f("公告日期", "Announced on")


class InvoiceSummary(Record):
    title = ("发票汇总", "Invoices by month")
    month: Month = need("开票月份", "Month")
    direction: Name = need("方向", "sales or purchases")
    count: Count | None = f("份数", "Count")
    amount: Yuan = need("金额", "Amount without tax, red invoices not taken off")
    tax: Yuan | None = f("税额", "Tax")
    red_amount: Yuan | None = f("红字金额", "Amount of red invoices, not negative")
    void_count: Count | None = f("作废份数", "Void count")


class JudicialKind(StrEnum):
    ENFORCEMENT = "enforcement"  # 被执行人
    DISHONEST = "dishonest_debtor"  # 失信被执行人
    JUDGMENT = "judgment"  # 裁判文书


class Judicial(Record):
    title = ("司法信息", "Judicial records")
    kind: JudicialKind = need("类别", "Kind")
    case_number: ShortText = need("案号", "Case number")
    name: ShortText | None = f("当事人", "Party")
    court: ShortText | None = f("法院", "Court")
    basis: ShortText | None = f("执行依据文号", "Basis of enforcement")
    filed_on: Day | None = f("立案日期", "Filed on")
    published_on: Day | None = f("发布日期", "Published on")
    amount: Yuan | None = f("执行标的", "Amount")
    performance: ShortText | None = f("履行情况", "Performance")
    role: Name | None = f("诉讼地位", "defendant, plaintiff or third_party")
    closed: bool | None = f("是否结案", "Closed")


class Permit(Record):
    title = ("行政许可", "Administrative permits")
    document: ShortText = need("许可文书号", "Document number")
    name: ShortText | None = f("许可文件名称", "Name")
    content: Text | None = f("许可内容", "Content")
    decided_on: Day | None = f("许可决定日期", "Decided on")
    valid_to: Day | None = f("有效期至", "Valid to")
    authority: ShortText | None = f("许可机关", "Authority")


class Penalty(Record):
    title = ("行政处罚", "Administrative penalties")
    document: ShortText = need("处罚决定书文号", "Document number")
    name: ShortText | None = f("处罚名称", "Name")
    cause: Text | None = f("处罚事由", "Cause")
    fine: Yuan | None = f("罚款金额", "Fine")
    decided_on: Day | None = f("处罚决定日期", "Decided on")
    public_until: Day | None = f("公示截止期", "Public until")
    authority: ShortText | None = f("处罚机关", "Authority")


class CreditListing(Record):
    title = ("红黑名单", "Red and black lists")
    kind: Name = need("名单类别", "red or black")
    name: ShortText = need("名单名称", "Name of the list, e.g. 失信被执行人")
    listed_on: Day | None = f("列入日期", "Listed on")
    removed_on: Day | None = f("移出日期", "Removed on")
    authority: ShortText | None = f("认定机关", "Authority")
    document: ShortText | None = f("依据文号", "Document number")


class Receivable(Record):
    title = ("应收账款", "Receivables")
    number: ShortText = need("账款编号", "Number")
    debtor: ShortText | None = f("债务人", "Debtor")
    debtor_uscc: Uscc | None = f("债务人统一社会信用代码", "Debtor's USCC")
    amount: Yuan = need("账款金额", "Amount")
    outstanding: Yuan | None = f("未结清余额", "Outstanding")
    invoiced_on: Day | None = f("开票日期", "Invoiced on")
    due_on: Day | None = f("到期日", "Due on")
    uploaded_on: Day | None = f("上传日期", "Uploaded on")
    confirmed_on: Day | None = f("确权日期", "Confirmed on by the debtor")
    state: Name | None = f("状态", "open, confirmed, financed, settled, disputed")
    pledged: bool | None = f("是否已质押或转让", "Pledged or transferred")


class Voucher(Record):
    title = ("供应链凭证", "Supply-chain vouchers")
    number: ShortText = need("凭证编号", "Number")
    issuer: ShortText | None = f("开具人", "Issuer")
    holder: ShortText | None = f("持有人", "Holder")
    amount: Yuan = need("金额", "Amount")
    level: Count | None = f("拆分层级", "Split level")
    parent: ShortText | None = f("上级凭证编号", "Parent voucher")
    promised_on: Day | None = f("承诺付款日", "Promised payment date")
    state: Name | None = f("状态", "State")


class CoreTrade(Record):
    title = ("核心企业交易", "Trade with a core enterprise")
    month: Month = need("月份", "Month")
    side: Name = need("方向", "upstream (supplier) or downstream (dealer)")
    core_enterprise: ShortText | None = f("核心企业", "Core enterprise")
    orders: Yuan | None = f("订单金额", "Orders")
    purchases: Yuan | None = f("采购金额", "Purchases")
    paid: Yuan | None = f("已付金额", "Paid")
    outstanding: Yuan | None = f("应付余额", "Outstanding")
    overdue: Yuan | None = f("逾期金额", "Overdue")


class Guarantee(Record):
    title = ("融资担保", "Guarantees")
    number: ShortText = need("保函或合同编号", "Contract number")
    role: Name | None = f("角色", "guaranteed (被担保人) or guarantor (担保人)")
    institution: ShortText | None = f("担保机构", "Guarantee institution")
    creditor: ShortText | None = f("债权人", "Creditor")
    amount: Yuan = need("担保金额", "Amount guaranteed")
    outstanding: Yuan | None = f("在保余额", "Outstanding")
    risk_share: Ratio | None = f("风险分担比例", "Share of risk")
    starts_on: Day | None = f("起始日", "Starts on")
    ends_on: Day | None = f("到期日", "Ends on")
    compensated: Yuan | None = f("代偿金额", "Compensation paid")
    state: Name | None = f("状态", "active, released, compensated")


class Honour(Record):
    title = ("荣誉与推荐", "Honours and recommendations")
    name: ShortText = need("名称", "Name")
    authority: ShortText | None = f("授予单位", "Authority")
    granted_on: Day | None = f("授予日期", "Granted on")
    valid_to: Day | None = f("有效期至", "Valid to")


class PolicySupport(Record):
    title = ("政策扶持", "Policy support")
    name: ShortText = need("名称", "Name")
    kind: Name | None = f("类别", "subsidy, evaluation, white_list, financing_need")
    amount: Yuan | None = f("金额", "Amount")
    authority: ShortText | None = f("部门", "Authority")
    granted_on: Day | None = f("日期", "Date")
    result: ShortText | None = f("结果", "Result")


class BankInternal(Record):
    title = ("行内数据", "Bank-internal data")
    month: Month = need("月份", "Month")
    inflow: Yuan | None = f("流入", "Inflow")
    outflow: Yuan | None = f("流出", "Outflow")
    average_balance: Yuan | None = f("日均余额", "Average balance")
    credit_outstanding: Yuan | None = f("授信余额", "Credit outstanding")
    overdue: Yuan | None = f("逾期金额", "Overdue")
    list_hit: ShortText | None = f("内部名单", "Internal list")


@dataclass(frozen=True, slots=True)
class DataSet:
    """One entry of the catalogue. ``fields`` are the names a consent may list, in the record's order."""

    name: str
    zh: str
    en: str
    many: bool
    model: type[Record]
    fields: tuple[str, ...]
    required: frozenset[str]
    sensitive: frozenset[str]
    personal: frozenset[str]


def _data_set(name: str, model: type[Record]) -> DataSet:
    def marked(key: str) -> frozenset[str]:
        return frozenset(
            n
            for n, info in model.model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra[key]
        )

    required = frozenset(n for n, info in model.model_fields.items() if info.is_required())
    zh, en = model.title
    return DataSet(
        name,
        zh,
        en,
        model.many,
        model,
        tuple(model.model_fields),
        required,
        marked("sensitive"),
        marked("personal"),
    )


_MODELS: dict[str, type[Record]] = {
    "registration": Registration,
    "shareholders": Shareholder,
    "key_persons": KeyPerson,
    "abnormal_list": AbnormalListing,
    "annual_report": AnnualReport,
    "social_insurance": SocialInsurance,
    "provident_fund": ProvidentFund,
    "real_estate": RealEstate,
    "mortgages": Mortgage,
    "seizures": Seizure,
    "tax_returns": TaxReturn,
    "tax_credit": TaxCredit,
    "tax_arrears": TaxArrears,
    "invoices": InvoiceSummary,
    "judicial": Judicial,
    "permits": Permit,
    "penalties": Penalty,
    "credit_lists": CreditListing,
    "receivables": Receivable,
    "vouchers": Voucher,
    "core_trade": CoreTrade,
    "guarantees": Guarantee,
    "honours": Honour,
    "policy_support": PolicySupport,
    "bank_internal": BankInternal,
}

CATALOGUE: Mapping[str, DataSet] = MappingProxyType({n: _data_set(n, m) for n, m in _MODELS.items()})
"""Every data set by name, in the order in which a profile shows them."""
