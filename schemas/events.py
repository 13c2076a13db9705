"""The events of the evidence log and the canonical bytes of their entries (docs/audit-events.md).

An entry is one line of canonical JSON (RFC 8785 for what occurs here: sorted ASCII keys, no floats, integers below
2^53), at most 4 KiB. It names lenders and operators by their registered name, enterprises by a pseudonym, payloads by
a keyed commitment, and holds nothing else about a firm or a person: 网络安全法 21 and 征信业管理条例 22 ask who, when,
what and why; PIPL 6 asks for no more than that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson

from schemas.base import Json
from schemas.errors import InvalidValue

MAX_ENTRY = 4096
"""Bytes of one entry; what is larger goes into a sealed payload of which the entry holds the commitment."""

EntryValue = Json | orjson.Fragment
"""What an entry may hold; a fragment is canonical JSON already."""

COMMON: Mapping[str, str] = MappingProxyType(
    {
        "v": "version of this form, 1",
        "id": "the entry's own id, unique in the log",
        "event": "the event's name",
        "time": "UTC, milliseconds; the index is the order, not the time",
        "actor": "registered name of the lender, operator or auditor who acted; `operator` at the command line; "
        "`enterprise` where it did so itself on its page; `gateway` where it tells of itself; `unknown` where nobody "
        "could be told",
        "consent": "consent id, or null",
        "subject": "pseudonym of the enterprise or person, or null",
    }
)


@dataclass(frozen=True, slots=True)
class EventType:
    """One event: what it says happened, and what its entry holds beside ``COMMON``."""

    name: str
    zh: str
    en: str
    fields: Mapping[str, str]


_COMMITMENT = "commitment to the consent record, keyed under the consent-evidence class"
_STATUS = {
    "version": "the consent's version after the change",
    "commitment": "commitment to the status record with its reason, keyed under the consent-evidence class",
}
_REQUEST = {"request": "request id"}
_WEBHOOK = {"webhook": "webhook id"}
_OFFICER = {"officer": "pseudonym of who of the lender asked, or null where the lender named nobody"}
_ASKED = {
    **_OFFICER,
    "first": "first month of the period asked",
    "last": "last month of the period asked",
    "items": "[platform, data set, [fields]] each, with the pseudonym of the person where a person's part is used, and "
    "with that or null and the outlet where an outlet passes it on, or "
    "a commitment to that list where it is too large for an entry",
}

EVENTS: Mapping[str, EventType] = MappingProxyType(
    {
        e.name: e
        for e in (
            EventType(
                "consent.granted",
                "登记授权",
                "A consent was registered",
                {
                    "version": "1",
                    "purpose": "what the data may be used for",
                    "assurance": "how sure we are: lender_asserted, signed, gateway_captured",
                    "valid_from": "start of validity",
                    "valid_to": "end of validity",
                    "text": "the registered authorisation text, or null where the text is not registered",
                    "amends": "the consent whose place it takes, or null",
                    "commitment": _COMMITMENT,
                },
            ),
            EventType(
                "part.granted",
                "登记个人授权",
                "A person's own part of a consent was registered with it; the subject is the person",
                {
                    "role": "the person's role beside the enterprise",
                    "commitment": "commitment to the person's part, keyed under its own consent-evidence class",
                },
            ),
            EventType("consent.revoked", "撤回授权", "A consent was withdrawn", _STATUS),
            EventType("consent.suspended", "暂停授权", "A consent was suspended", _STATUS),
            EventType("consent.resumed", "恢复授权", "A suspended consent was resumed", _STATUS),
            EventType(
                "consent.superseded",
                "变更授权",
                "An amended consent took this one's place, registered in the same commit",
                {**_STATUS, "by": "the consent that took its place"},
            ),
            EventType(
                "text.registered",
                "登记授权文本",
                "A version of an authorisation text was registered",
                {"text": "id, version and language of the text", "digest": "SHA-256 of the text, hex"},
            ),
            EventType(
                "request.opened",
                "发起授权请求",
                "A lender asked an enterprise for its consent; a link was made",
                {
                    "request": "request id",
                    "expires": "the link is good until then",
                    "commitment": "commitment to what is asked, keyed under the consent-evidence class",
                },
            ),
            EventType(
                "request.given",
                "确认授权",
                "The enterprise agreed on its page; the consent was registered in the same commit",
                {
                    "request": "request id",
                    "commitment": "commitment to the signed record of the act, keyed under the consent-evidence class",
                },
            ),
            EventType("request.declined", "拒绝授权", "The enterprise said no on its page", _REQUEST),
            EventType(
                "request.refused",
                "身份核验未通过",
                "An answer to the identity check of a request was wrong",
                {**_REQUEST, "code": "identity_not_shown"},
            ),
            EventType(
                "request.expired",
                "授权请求失效",
                "A request ended without an answer of the enterprise",
                {**_REQUEST, "code": "time, or identity_not_shown after too many wrong answers"},
            ),
            EventType(
                "uses.read",
                "企业查看使用记录",
                "The enterprise read on its page what was done under its consent",
                _REQUEST,
            ),
            EventType(
                "permit.granted",
                "准许查询",
                "One use was counted and these platforms may be asked",
                {
                    "permit": "permit id",
                    "version": "the consent's version it was decided on",
                    "use": "which use of the consent this is, from 1",
                    "purpose": "the purpose asked and agreed",
                    "assurance": "the consent's assurance",
                    "valid_until": "no call starts and no answer is released after it",
                    **_ASKED,
                },
            ),
            EventType(
                "permit.resumed",
                "续用准许",
                "A failed request came again with its idempotency key: the same use, no new one",
                {"permit": "permit id", **_ASKED},
            ),
            EventType(
                "permit.refused",
                "拒绝查询",
                "The consent does not allow what was asked; no platform was called",
                {
                    "code": "the refusal's code",
                    "purpose": "the purpose asked",
                    "items": "how many items were asked",
                    **_OFFICER,
                },
            ),
            EventType(
                "permit.closed",
                "关闭准许",
                "A permit ended without a profile",
                {"permit": "permit id", "code": "why; outcome_unknown where nobody closed it in time"},
            ),
            EventType(
                "profile.issued",
                "签发画像",
                "A signed profile was sealed and may be released",
                {
                    "permit": "permit id",
                    "profile": "profile id",
                    "revision": "from 1",
                    "commitment": "commitment to the JWS, keyed under the payload class",
                    "sources": "[platform, data set, state, reason, commitment] each, or a commitment to that list "
                    "where it is too large for an entry; an answer that no call under this permit brought has a sixth "
                    "part: [reused, permit, entry, commitment] of the earlier profile, or [shared, permit, null, null] "
                    "of the call under way",
                },
            ),
            EventType(
                "profile.withheld",
                "扣留画像",
                "The consent no longer held when the profile was ready; it was discarded",
                {"permit": "permit id", "profile": "profile id", "code": "the refusal's code"},
            ),
            EventType(
                "callback.refused",
                "拒收回调",
                "What a platform sent by itself was not kept: the consent had ended, or it had given another answer",
                {
                    "permit": "permit id",
                    "platform": "connector",
                    "dataset": "data set",
                    "code": "the refusal's code, or `callback_conflict`",
                },
            ),
            EventType(
                "profile.read",
                "读取画像",
                "A stored profile was read again",
                {"profile": "profile id", "revision": "which revision"},
            ),
            EventType(
                "profile.exported",
                "导出证据",
                "An evidence bundle of a profile was made",
                {"profile": "profile id", "revision": "the newest revision in it"},
            ),
            EventType(
                "log.read",
                "读取日志",
                "Entries of this log were read",
                {"first": "first index", "last": "last index"},
            ),
            EventType(
                "hold.placed",
                "冻结销毁",
                "A legal hold was placed on a consent: nothing of its enterprise is destroyed",
                {"commitment": "commitment to the reason, keyed under the consent-evidence class"},
            ),
            EventType(
                "hold.released", "解除冻结", "A legal hold was released", {"hold": "id of the entry that placed it"}
            ),
            EventType(
                "subject.shredded",
                "销毁数据",
                "The key of a subject and what was sealed under it were destroyed; gone for good when its epoch ends",
                {
                    "class": "retention class: payload, evidence",
                    "version": "of the key",
                    "reason": "purpose_met, retention_ended, withdrawn, unlawful or requested (PIPL 47)",
                    "basis": "the legal basis, by name",
                },
            ),
            EventType(
                "keys.begun",
                "启用新密钥期",
                "Subject keys are wrapped under a new key-encryption key from here on",
                {"epoch": "its number"},
            ),
            EventType(
                "keys.ended",
                "销毁旧密钥期",
                "The key-encryption keys of earlier epochs were destroyed: what was shredded under them is gone",
                {"first": "first epoch", "last": "last epoch"},
            ),
            EventType(
                "log.resumed",
                "续接日志",
                "The log goes on under another origin, from a database older than what was signed, or from none",
                {"checkpoint": "the last head known of the log before, as a signed note"},
            ),
            EventType(
                "log.searched",
                "检索日志",
                "Entries of this log were looked for, and what was found was read, masked",
                {
                    "by": "names of the conditions",
                    "filter": "SHA-256 of the conditions as canonical JSON, an enterprise as its pseudonym",
                    "count": "how many entries were given",
                    "first": "index that the search began at",
                    "last": "index that it ended at",
                },
            ),
            EventType(
                "log.exported",
                "导出日志",
                "Entries of this log were exported to a file",
                {
                    "by": "names of the conditions",
                    "filter": "as of log.searched",
                    "count": "how many entries are in the file",
                    "first": "index that the search began at",
                    "end": "index that it ended before",
                    "complete": "whether the file took all that was found",
                    "digest": "SHA-256 of the file",
                    "masked": "version of the rule by which ids and pseudonyms are shortened in it, 0: it is whole",
                },
            ),
            EventType(
                "log.unmasked",
                "查看完整日志",
                "One entry was read whole, and which enterprise it is about",
                {
                    "index": "index of the entry",
                    "commitment": "commitment to the reason given, keyed under the consent-evidence class",
                },
            ),
            EventType(
                "log.rekeyed",
                "轮换日志密钥",
                "From this entry on another key signs the heads of this log",
                {"statement": "signed note of both keys on origin, index of this entry, old key and new key"},
            ),
            EventType(
                "clock.stepped",
                "时钟跳变",
                "A gateway process saw the clock that the times of the log come from move beside its monotonic one",
                {"seconds": "by how many whole seconds since it looked last, negative where it was put back"},
            ),
            EventType(
                "webhook.registered",
                "登记回调",
                "From here on a lender is told of these events",
                {**_WEBHOOK, "events": "the names of the events"},
            ),
            EventType(
                "webhook.rotated",
                "轮换回调密钥",
                "A webhook got a new secret; the old one signs beside it for a while",
                _WEBHOOK,
            ),
            EventType(
                "webhook.closed",
                "关闭回调",
                "Nothing is sent to a webhook any more",
                {**_WEBHOOK, "code": "deleted by its lender, or gone: its endpoint answered 410"},
            ),
            EventType(
                "webhook.acknowledged",
                "回调已确认",
                "A lender's endpoint took the message about a change of a consent",
                {**_WEBHOOK, "about": "index of the entry that the message tells of", "attempts": "which attempt"},
            ),
            EventType(
                "webhook.dead",
                "回调未送达",
                "A message was given up after its last attempt",
                {
                    **_WEBHOOK,
                    "about": "index of the entry that the message tells of",
                    "attempts": "how many there were",
                    "code": "why the last one failed",
                },
            ),
            EventType(
                "access.limited",
                "限制访问",
                "A client was refused so often that its requests, or its wrong assertions, were no longer looked at",
                {"count": "how many there were since the last such entry of this client"},
            ),
            EventType(
                "access.refused",
                "拒绝访问",
                "A lender reached for a consent or profile that is not its own, or that does not exist",
                {"code": "the error's code", "operation": "what was tried, by name"},
            ),
        )
    }
)


def entry_bytes(
    event: str,
    *,
    id: str,
    time: str,
    actor: str,
    consent: str | None,
    subject: str | None,
    data: Mapping[str, EntryValue],
) -> bytes:
    """The canonical entry. Raises InvalidValue for an unknown event, other fields than its own, or over 4 KiB."""
    kind = EVENTS.get(event)
    if kind is None or data.keys() != kind.fields.keys():
        raise InvalidValue(what="event")
    # The bytes of schemas.canonical without its walk: the keys are the catalogue's, and Json has no floats.
    entry = orjson.dumps(
        {
            "v": 1,
            "id": id,
            "event": event,
            "time": time,
            "actor": actor,
            "consent": consent,
            "subject": subject,
            **data,
        },
        option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER,
    )
    if len(entry) > MAX_ENTRY:
        raise InvalidValue(what="log entry", bytes=len(entry))
    return entry
