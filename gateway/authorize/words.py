"""What the pages say around the text of the authorisation, in both languages."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from gateway.authorize.asked import Language
from schemas.problems import PROBLEMS

SHANGHAI = timezone(timedelta(hours=8))

WORDS: Mapping[Language, Mapping[str, str]] = {
    "zh": {
        "product": "信桥 · 企业授权",
        "other": "English",
        "open_until": "请在 {time} 前答复。",
        "not_ticked": "请先阅读，并勾选同意一项。",
        "nothing_left": "所查数据全部属于敏感信息，须至少勾选一项单独同意，或选择不同意。",
        "confirm_heading": "确认",
        "go_on": "同意，去核验身份",
        "decline": "不同意",
        "identity_title": "核验身份",
        "identity_for": "为确认是企业本人操作，请输入收到的验证码。",
        "sandbox": "沙箱演示：不发送短信，验证码直接显示如下。",
        "code": "验证码",
        "confirm": "确认授权",
        "back": "返回",
        "wrong_code": "验证码不正确，还可再试 {left} 次。",
        "no_more_tries": "验证码多次不正确，此链接已失效。请联系{lender}重新发起。",
        "declined_title": "您未同意授权",
        "declined": "已记录您的选择。{lender}不能通过本系统查询。如改变主意，请联系{lender}重新发起。",
        "expired_title": "链接已失效",
        "expired": "此链接已过答复时间，或身份核验多次未通过。如需授权，请联系{lender}重新发起。",
        "receipt_title": "授权回执",
        "receipt_given": "您已于 {time} 同意授权。",
        "receipt_withdrawn": "您已撤回此授权，不再有新的查询。",
        "consent_id": "授权编号",
        "state": "当前状态",
        "until": "有效期至",
        "digest": "回执文件摘要（SHA-256）",
        "download": "下载回执",
        "keep": "请保存回执文件。其中有您看到的全文、勾选情况、时间与签名，可脱离本系统核验。",
        "separate_given": "单独同意",
        "separate_refused": "未同意",
        "to_uses": "查看使用记录",
        "to_receipt": "查看回执",
        "to_withdraw": "撤回授权",
        "uses_title": "使用记录",
        "uses_none": "尚无查询。",
        "uses_count": "共 {n} 条，最近的在前。",
        "by": "查询方",
        "datasets": "数据",
        "older": "更早的记录",
        "newer": "更近的记录",
        "gone": "清单已依规销毁",
        "period": "数据月份",
        "outcome": "结果",
        "passed_on": "（经由 {name} 转接）",
        "reads": "之后再次读取 {n} 次",
        "issued": "已生成画像",
        "open": "查询中",
        "outcome_unknown": "未完成",
        "withdraw_title": "撤回授权？",
        "withdraw_line": "撤回后，{lender}不能再依此授权查询，正在进行的查询也会停止。"
        "此前已完成的查询记录依法保存。撤回后不能恢复，需要时可重新授权。",
        "withdraw_now": "确认撤回",
        "active": "有效",
        "suspended": "已暂停",
        "revoked": "已撤回",
        "exhausted": "次数已用完",
        "superseded": "已被新授权替代",
        "error_title": "无法完成",
        "lost": "此链接不存在。请核对地址，或联系发起方。",
    },
    "en": {
        "product": "Xinqiao · Consent",
        "other": "中文",
        "open_until": "Please answer before {time}.",
        "not_ticked": "Please read first, and tick the line with which you agree.",
        "nothing_left": "All the data asked for is sensitive: tick at least one separate consent, or say no.",
        "confirm_heading": "Your answer",
        "go_on": "Agree and verify identity",
        "decline": "I do not agree",
        "identity_title": "Verify your identity",
        "identity_for": "To make sure that the enterprise itself is acting, enter the code that you received.",
        "sandbox": "Sandbox: no message is sent, the code is shown here.",
        "code": "One-time code",
        "confirm": "Give consent",
        "back": "Back",
        "wrong_code": "The code is wrong. Tries left: {left}.",
        "no_more_tries": "The code was wrong too often and this link is closed. Ask {lender} for a new one.",
        "declined_title": "You did not agree",
        "declined": "Your answer is recorded. {lender} cannot query through this system. If you change your mind, ask "
        "{lender} for a new link.",
        "expired_title": "This link is closed",
        "expired": "The time to answer has passed, or the identity check failed too often. "
        "Ask {lender} for a new link.",
        "receipt_title": "Receipt of consent",
        "receipt_given": "You agreed at {time}.",
        "receipt_withdrawn": "You have withdrawn this consent; there are no new queries.",
        "consent_id": "Consent number",
        "state": "State",
        "until": "Valid until",
        "digest": "Digest of the receipt file (SHA-256)",
        "download": "Download receipt",
        "keep": "Keep the receipt file. It holds the full text that you saw, your ticks, the time and a signature, and "
        "can be checked without this system.",
        "separate_given": "separately agreed",
        "separate_refused": "not agreed",
        "to_uses": "See every use",
        "to_receipt": "See the receipt",
        "to_withdraw": "Withdraw consent",
        "uses_title": "Uses of this consent",
        "uses_none": "No queries yet.",
        "uses_count": "Entries: {n}, newest first.",
        "by": "By",
        "datasets": "Data",
        "older": "Earlier entries",
        "newer": "Later entries",
        "gone": "the list was destroyed as the rules ask",
        "period": "Months",
        "outcome": "Outcome",
        "passed_on": " (passed on by {name})",
        "reads": "read again {n} times",
        "issued": "Profile issued",
        "open": "In progress",
        "outcome_unknown": "Not completed",
        "withdraw_title": "Withdraw consent?",
        "withdraw_line": "After that {lender} can query nothing more under this consent, and queries in progress stop. "
        "Records of earlier queries are kept as the law asks. A withdrawal cannot be undone; you can "
        "give a new consent.",
        "withdraw_now": "Yes, withdraw",
        "active": "valid",
        "suspended": "suspended",
        "revoked": "withdrawn",
        "exhausted": "all uses spent",
        "superseded": "replaced by a newer one",
        "error_title": "This cannot be done",
        "lost": "There is no such link. Check the address, or ask who sent it.",
    },
}


def local_time(text: str, language: Language) -> str:
    """A stored UTC time as people in China read it."""
    local = datetime.fromisoformat(text).astimezone(SHANGHAI)
    return f"{local:%Y-%m-%d %H:%M}" + ("（北京时间）" if language == "zh" else " (Beijing time)")


def outcome_words(outcome: str, language: Language) -> str:
    """How a use ended: our own words, else the title of the error that ended it."""
    if known := WORDS[language].get(outcome):
        return known
    problem = PROBLEMS.get(outcome)
    if problem is None:
        return outcome
    return problem.title_zh if language == "zh" else problem.title
