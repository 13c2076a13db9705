"""What bureaus, courts and registers know: staff, property, taxes, cases, permits and lists."""

from enum import StrEnum

from schemas.base import Count, Day, Month, Name, Ratio, ShortText, SquareMetres, Text, Uscc, Year, Yuan
from schemas.records.base import Record, f, need


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
