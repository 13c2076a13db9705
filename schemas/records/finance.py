"""What counts beside the bureaus: receivables, trade, guarantees, honours, support, the bank itself."""

from schemas.base import Count, Day, Month, Name, Ratio, ShortText, Text, Uscc, Yuan
from schemas.records.base import Record, f, need


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
    financier: ShortText | None = f("质权人或受让人", "To whom it is pledged or transferred")


class Voucher(Record):
    title = ("供应链凭证", "Supply-chain vouchers")
    number: ShortText = need("凭证编号", "Number")
    issuer: ShortText | None = f("开具人", "Issuer")
    holder: ShortText | None = f("持有人", "Holder")
    amount: Yuan = need("金额", "Amount")
    level: Count | None = f("拆分层级", "Split level")
    parent: ShortText | None = f("上级凭证编号", "Parent voucher")
    promised_on: Day | None = f("承诺付款日", "Promised payment date")
    state: Name | None = f("状态", "held, split, transferred, financed, settled")
    receivable: ShortText | None = f("基础应收账款编号", "Number of the receivable that it pays")
    financier: ShortText | None = f("融资机构", "Who financed it")


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
    kind: Name | None = f("类别", "membership, honour, recommendation")
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


class InternalListing(Record):
    title = ("行内名单", "Bank-internal lists")
    kind: Name = need("名单类别", "white, grey or black")
    name: ShortText = need("名单名称", "Name of the list")
    listed_on: Day | None = f("列入日期", "Listed on")
    removed_on: Day | None = f("移出日期", "Removed on")
    reason: Text | None = f("原因", "Reason")
