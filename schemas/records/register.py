"""Market regulation: who an enterprise is, who owns and runs it, what it reports each year."""

from enum import StrEnum

from schemas.base import Count, Day, Ratio, ShortText, Text, Uscc, Year, Yuan
from schemas.records.base import Record, f, need


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
