"""What each error code means to the one who meets it: HTTP status, title, and what to do next, in two languages.

One row per code of schemas.errors. Upstream codes end in a section's ``reason``; their status is used only where a
single source is asked directly.
"""

from typing import NamedTuple

from schemas.errors import XinqiaoError

MEDIA_TYPE = "application/problem+json"


class Problem(NamedTuple):
    status: int
    title: str
    title_zh: str
    detail: str
    """What to do next."""
    detail_zh: str


_ASK_CONSENT = "Ask the enterprise for a consent that covers this request."
_ASK_CONSENT_ZH = "请取得能够覆盖本次请求的企业授权。"
_RETRY = "Ask again later; the same request may then succeed."
_RETRY_ZH = "请稍后重试，同一请求届时可能成功。"
_REPORT = "Report it to the gateway's operator with the request id."
_REPORT_ZH = "请将请求编号告知网关运营方。"
_OPERATOR = "The gateway's operator must look at this platform's connection; asking again will not help."
_OPERATOR_ZH = "需由网关运营方检查与该平台的对接，重复请求无效。"

PROBLEMS: dict[str, Problem] = {
    "invalid_request": Problem(
        400,
        "The request is not valid",
        "请求无效",
        "Mend what the details name and send it again.",
        "请按详情所指修正后重新提交。",
    ),
    "invalid_value": Problem(
        400,
        "A value does not have the form it must have",
        "取值格式不符",
        "Send the value in the form that the details name.",
        "请按详情所指的格式填写。",
    ),
    "invalid_identifier": Problem(
        400,
        "An identifier is malformed or its check character fails",
        "证照号码格式或校验码有误",
        "Compare the number with the licence and send it again.",
        "请与证照核对号码后重新提交。",
    ),
    "not_found": Problem(
        404,
        "Nothing of yours is found here",
        "未找到您名下的该对象",
        "Check the id; objects of other callers are not shown.",
        "请核对编号；其他调用方的对象不可见。",
    ),
    "shredded": Problem(
        410,
        "The content was destroyed on purpose",
        "内容已依规销毁",
        "It cannot come back; request a new profile under a valid consent.",
        "内容不可恢复；如有需要，请凭有效授权重新请求。",
    ),
    "method_not_allowed": Problem(
        405,
        "The method is not allowed here",
        "不支持的请求方法",
        "Use a method that the Allow header names.",
        "请使用 Allow 头所列的方法。",
    ),
    "not_acceptable": Problem(
        406,
        "No form of the answer fits the Accept header",
        "无法按所要求的格式应答",
        "Accept a media type that the documentation lists for this path.",
        "请改用文档为该路径列出的媒体类型。",
    ),
    "unsupported_media_type": Problem(
        415,
        "The body's media type is not supported",
        "不支持的内容类型",
        "Send the media type that the documentation lists for this path.",
        "请按文档所列的内容类型提交。",
    ),
    "payload_too_large": Problem(
        413, "The body is too large", "请求体过大", "Send a smaller body.", "请缩小请求体后重新提交。"
    ),
    "unauthenticated": Problem(
        401,
        "The caller is not known",
        "调用方身份未通过验证",
        "Get a new access token and send it with the request.",
        "请重新获取访问令牌后再请求。",
    ),
    "invalid_client": Problem(
        401,
        "The client assertion was not accepted",
        "客户端断言未被接受",
        "Check key, audience, expiry and that the assertion is used once.",
        "请检查密钥、受众、有效期，且断言只可使用一次。",
    ),
    "forbidden": Problem(
        403,
        "The caller may not do this",
        "无权执行此操作",
        "Ask the gateway's operator for the right, or use another account.",
        "请向网关运营方申请权限，或换用有权限的账号。",
    ),
    "idempotency_mismatch": Problem(
        422,
        "The Idempotency-Key was used with another body",
        "幂等键已用于不同的请求",
        "Use a new key for a new request.",
        "新的请求请使用新的幂等键。",
    ),
    "idempotency_running": Problem(
        409,
        "The first request with this Idempotency-Key is still at work",
        "使用该幂等键的首个请求仍在处理",
        "Wait and send the same request again to get its answer.",
        "请稍候以同一请求取回结果。",
    ),
    "profile_not_made": Problem(
        409,
        "The request ended without a profile",
        "该申请未能形成画像",
        "The details say why; a new request is needed.",
        "原因见详情；请重新申请。",
    ),
    "callback_refused": Problem(
        401,
        "The callback's signature does not hold",
        "回调的签名校验未通过",
        "Nothing of it was read. Sign anew as agreed; the details say which test failed.",
        "回调内容未被读取。请按约定重新签名，详情说明何项校验未通过。",
    ),
    "callback_conflict": Problem(
        409,
        "Another answer was given under this ticket",
        "该取件地址已收到不同的应答",
        "Nothing of it was kept. Do not send it again; the gateway's operator will ask you.",
        "内容未被保存，请勿重发；网关运营方将与贵方联系。",
    ),
    "callback_ended": Problem(
        410,
        "Nothing is waited for under this ticket any more",
        "该取件地址已不再接收应答",
        "Nothing of it was kept. Do not send it again.",
        "内容未被保存，请勿重发。",
    ),
    "callback_early": Problem(
        503,
        "The answer cannot be taken yet",
        "暂时不能接收该应答",
        "Send it again after the time that Retry-After names.",
        "请在 Retry-After 所示时间之后重发。",
    ),
    "consent_conflict": Problem(
        409,
        "The consent's present state or content does not allow this change",
        "授权的现有状态或内容不允许此变更",
        "Read the consent and decide anew.",
        "请先查询该授权的现状，再行处理。",
    ),
    "consent_signature_invalid": Problem(
        422,
        "The consent is not signed as it says",
        "授权签名核验未通过",
        "Have the signers sign this very document with keys that the gateway trusts, or register it as "
        "lender_asserted.",
        "请由签署人使用网关信任的密钥对该授权原文签名，或按银行声明方式登记。",
    ),
    "consent_text_mismatch": Problem(
        422,
        "The authorisation text is not the registered one",
        "授权文本与登记的文本不一致",
        "Name the registered text that was shown, with its digest; register the text first where there is none.",
        "请填写所展示的已登记授权文本及其摘要；尚未登记的，请先登记文本。",
    ),
    "manifest_invalid": Problem(
        500,
        "A connector's manifest is wrong",
        "连接器清单有误",
        "Mend the file at the place that the details name.",
        "请按详情所指位置修正清单文件。",
    ),
    "configuration_invalid": Problem(
        500,
        "The gateway's settings are wrong",
        "网关配置有误",
        "Mend the setting that the details name and start again.",
        "请修正详情所指的配置项后重新启动。",
    ),
    "log_broken": Problem(
        500,
        "The evidence log does not verify",
        "存证日志校验未通过",
        "Stop, keep the data as it is, and run the stand-alone verifier.",
        "请停止服务、保全现有数据，并运行独立校验程序。",
    ),
    "log_behind": Problem(
        500,
        "The database is older than what this gateway has signed",
        "数据库早于本网关已签发的日志",
        "Put the newest database back; where it is lost, set another `origin` and run `xinqiao log resume`.",
        "请恢复最新的数据库；如已丢失，请另设 `origin` 后运行 `xinqiao log resume`。",
    ),
    "under_hold": Problem(
        409,
        "A legal hold stands; nothing is destroyed",
        "已依法冻结，不得销毁",
        "Release the hold first (`xinqiao consent release`), or wait until it is released.",
        "请先解除冻结（`xinqiao consent release`），或待其解除。",
    ),
    "consent_missing": Problem(
        404, "There is no such consent", "不存在该授权", "Check the consent's id. " + _ASK_CONSENT, _ASK_CONSENT_ZH
    ),
    "consent_pending": Problem(
        403,
        "The consent was asked for and is not yet given",
        "授权已发起，尚未确认",
        "Wait until the enterprise has answered the consent request.",
        "请等待企业确认授权。",
    ),
    "consent_not_yet_valid": Problem(
        403,
        "The consent is not yet valid",
        "授权尚未生效",
        "Ask again after the consent's first day.",
        "请在授权生效后重试。",
    ),
    "consent_expired": Problem(403, "The consent has expired", "授权已过期", _ASK_CONSENT, _ASK_CONSENT_ZH),
    "consent_revoked": Problem(
        403,
        "The enterprise has withdrawn the consent",
        "企业已撤回授权",
        "Stop using what was asked for under it. " + _ASK_CONSENT,
        "请停止该授权项下的使用；如仍需要，请重新取得授权。",
    ),
    "consent_suspended": Problem(
        403,
        "The consent is suspended",
        "授权已中止",
        "Wait until it is resumed, or settle the reason with the enterprise.",
        "请待授权恢复，或与企业核实中止原因。",
    ),
    "consent_superseded": Problem(
        403,
        "A newer consent took this one's place",
        "该授权已被新的授权取代",
        "Use the newer consent.",
        "请使用新的授权。",
    ),
    "consent_exhausted": Problem(
        403, "All agreed uses are spent", "授权的使用次数已用完", _ASK_CONSENT, _ASK_CONSENT_ZH
    ),
    "consent_frequency_exceeded": Problem(
        403,
        "The consent was used as often as agreed for this time",
        "已达到授权约定的使用频率",
        "Ask again when the agreed number of days has passed.",
        "请在约定的天数之后重试。",
    ),
    "consent_subject_mismatch": Problem(
        403,
        "The consent is another enterprise's",
        "授权主体与被查询企业不一致",
        "Use a consent that this enterprise gave.",
        "请使用该企业本身出具的授权。",
    ),
    "consent_purpose_mismatch": Problem(
        403, "The consent was given for another purpose", "授权用途不符", _ASK_CONSENT, _ASK_CONSENT_ZH
    ),
    "consent_out_of_scope": Problem(
        403,
        "The consent does not cover what was asked",
        "请求超出授权范围",
        "Ask for less, or " + _ASK_CONSENT[0].lower() + _ASK_CONSENT[1:],
        "请缩小请求范围，或取得覆盖更广的授权。",
    ),
    "consent_separate_required": Problem(
        403,
        "Sensitive data needs a consent of its own",
        "敏感信息须取得单独同意",
        "Ask the enterprise to agree to the named data separately.",
        "请就详情所列信息取得单独同意。",
    ),
    "storage_unavailable": Problem(503, "The store could not commit", "存储暂不可用", _RETRY, _RETRY_ZH),
    "keys_unavailable": Problem(
        503,
        "The key that seals the data is not at hand",
        "密封密钥暂不可用",
        "Nothing was released. " + _RETRY,
        "数据未被释放。" + _RETRY_ZH,
    ),
    "overloaded": Problem(503, "Too much is asked at once", "请求过多", _RETRY, _RETRY_ZH),
    "too_many_requests": Problem(429, "You ask too often", "请求过于频繁", _RETRY, _RETRY_ZH),
    "shutting_down": Problem(503, "The gateway is stopping", "网关正在停止", _RETRY, _RETRY_ZH),
    "upstream_connect": Problem(502, "The platform could not be reached", "无法连接平台", _RETRY, _RETRY_ZH),
    "upstream_timeout": Problem(504, "The platform did not answer in time", "平台应答超时", _RETRY, _RETRY_ZH),
    "upstream_truncated": Problem(
        502, "The platform's reply ended before its end", "平台应答不完整", _RETRY, _RETRY_ZH
    ),
    "upstream_tls": Problem(
        502, "The platform's certificate or TLS is not trusted", "平台的证书或加密连接不可信", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_redirect": Problem(
        502,
        "The platform sent us elsewhere, and we do not follow",
        "平台要求跳转，网关不予跟随",
        _OPERATOR,
        _OPERATOR_ZH,
    ),
    "upstream_address_refused": Problem(
        502, "The platform's address is not one we may connect to", "平台地址不在允许范围", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_oversize": Problem(
        502, "The platform's reply is larger than the limit", "平台应答超过大小上限", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_protocol": Problem(
        502, "The platform's reply is not proper HTTP", "平台应答不符合 HTTP 规范", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_charset": Problem(
        502,
        "The platform's reply is not in its declared character set",
        "平台应答的字符编码与声明不符",
        _OPERATOR,
        _OPERATOR_ZH,
    ),
    "upstream_malformed": Problem(
        502, "The platform's reply cannot be decoded", "平台应答无法解析", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_busy": Problem(503, "The platform asks for patience", "平台繁忙", _RETRY, _RETRY_ZH),
    "upstream_status": Problem(
        502, "The platform answered with an unexpected HTTP status", "平台返回意外的状态码", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_server_error": Problem(502, "The platform failed", "平台内部出错", _RETRY, _RETRY_ZH),
    "upstream_rejected": Problem(
        502, "The platform refused or failed the request", "平台拒绝或未能处理请求", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_denied": Problem(
        502, "The platform refused our credentials", "平台不接受网关的凭证", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_clock": Problem(
        502,
        "The platform's clock and ours are too far apart",
        "平台与网关的时钟相差过大",
        "The gateway's operator must compare the clocks (NTP) and settle it with the platform.",
        "需由网关运营方核对时钟（NTP）并与平台确认。",
    ),
    "upstream_unrecognised": Problem(
        502, "The platform's reply has a meaning we do not know", "平台应答含义不明", _OPERATOR, _OPERATOR_ZH
    ),
    "upstream_signature": Problem(
        502, "The signature of the platform's reply fails", "平台应答的签名校验未通过", _OPERATOR, _OPERATOR_ZH
    ),
    "schema_drift": Problem(
        502, "The platform's reply no longer has the declared fields", "平台应答字段与声明不符", _OPERATOR, _OPERATOR_ZH
    ),
    "subject_mismatch": Problem(
        502,
        "The platform answered about another enterprise",
        "平台返回了其他企业的数据",
        "Nothing of it is kept. " + _OPERATOR,
        "该数据未予保存。" + _OPERATOR_ZH,
    ),
    "period_mismatch": Problem(
        502, "The platform answered about another period", "平台返回了其他期间的数据", _OPERATOR, _OPERATOR_ZH
    ),
    "deadline_exceeded": Problem(
        504,
        "The request's time was used up before this source answered",
        "整体时限已到，该来源尚未应答",
        _RETRY,
        _RETRY_ZH,
    ),
    "upstream_pending": Problem(
        503,
        "The platform has not finished its answer yet",
        "平台尚未完成应答",
        "Read the profile again after the time that the details name: the answer comes as a new revision.",
        "请在详情所示时间之后再次读取画像，应答将以新修订版给出。",
    ),
    "circuit_open": Problem(
        503, "The platform failed lately and is given time to recover", "平台近期多次失败，暂停访问", _RETRY, _RETRY_ZH
    ),
    "quota_exhausted": Problem(
        503,
        "All calls that the platform allows in a day have been made",
        "该平台当日可用调用次数已用完",
        "Ask again after the time that the details name.",
        "请在详情所示时间之后重试。",
    ),
    "maintenance": Problem(
        503, "The platform is inside its announced maintenance", "平台处于公告的维护时段", _RETRY, _RETRY_ZH
    ),
    "platform_off": Problem(
        503,
        "The operator of the gateway switched the platform off",
        "网关运营方已停用该平台",
        "Ask the operator of the gateway when it will be asked again.",
        "请向网关运营方询问何时恢复。",
    ),
    "connector_fault": Problem(500, "The connector has a defect", "连接器存在缺陷", _REPORT, _REPORT_ZH),
    "internal_error": Problem(500, "The gateway has a defect", "网关存在缺陷", _REPORT, _REPORT_ZH),
}


def problem(error: XinqiaoError) -> dict[str, object]:
    """The error as RFC 9457 problem details; ``code``, the Chinese texts and ``details`` are extensions."""
    row = PROBLEMS[error.code]
    return {
        "type": f"/docs/errors#{error.code}",
        "title": row.title,
        "status": row.status,
        "detail": row.detail,
        "code": error.code,
        "title_zh": row.title_zh,
        "detail_zh": row.detail_zh,
        "details": dict(error.details),
    }
