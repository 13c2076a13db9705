"""The page of an evidence bundle for people: HTML in Chinese and English, without scripts and without other files.

Made of the verified parts alone and always in the same way, so the verifier makes it again and compares: nothing can
stand on the page that the evidence does not hold.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from consent.log.chain import Chain, Link
from consent.log.note import Checkpoint
from consent.log.origins import Origin, origin_of

_GONE = "已销毁，内容无法核验 included, content unverifiable (destroyed)"
_HEAD = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>信用画像证据 Evidence of a credit profile</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #1a1a1a; background: #fff }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { border: 1px solid #888; padding: .3rem .5rem; text-align: left; vertical-align: top; unicode-bidi: isolate }
td:last-child { overflow-wrap: anywhere }
th { background: #eee }
main { overflow-x: auto }
</style>
</head>
<body>
<main>
<h1>信用画像证据 Evidence of a credit profile</h1>
<p>本页由同一文件中的证据生成，仅供阅读。要确认证据属实，请使用从别处取得的公钥运行核验程序。</p>
<p lang="en">This page is made of the evidence in the same file and is for reading. To know that the evidence holds, run
the verifier with keys that you got elsewhere:</p>
<pre>python -m consent.log.verify --bundle FILE --vkey FILE --jwks FILE</pre>
"""
_FOOT = "</main>\n</body>\n</html>\n"

_ITEM = ("平台 Platform", "数据集 Data set", "字段 Fields")
_CONSENT = {
    "grantee": "被授权人 Given to",
    "purpose": "用途 Purpose",
    "application": "申请编号 Application",
    "valid_from": "生效 Valid from",
    "valid_to": "失效 Valid to",
    "max_uses": "最多次数 Uses at most",
    "lookback_months": "回溯月数 Months back",
    "given_at": "授权时间 Given at",
    "channel": "渠道 Channel",
    "assurance": "可信程度 Assurance",
    "text_version": "授权书版本 Version of the text",
    "text_sha256": "授权书摘要 SHA-256 of the text",
}


def page(chain: Chain, head: Checkpoint) -> bytes:
    parts = [
        _HEAD,
        *_consent(chain.consents),
        *_permit(chain.permits),
        *(line for at, issued in enumerate(chain.issued) for line in _profile(chain, issued, chain.profiles[at])),
        *_readings(chain.readings),
        *_log(chain, head),
        _FOOT,
    ]
    return "".join(parts).encode()


def _cell(value: object) -> str:
    return "—" if value is None else escape(str(value))


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{name}</th>' for name in columns)
    yield f"<h2>{title}</h2>\n<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>\n"
    yield "</tbody>\n</table>\n"


def _facts(title: str, facts: Mapping[str, object]) -> Iterator[str]:
    yield f"<h2>{title}</h2>\n<table>\n<tbody>\n"
    for name, value in facts.items():
        yield f'<tr><th scope="row">{name}</th><td>{_cell(value)}</td></tr>\n'
    yield "</tbody>\n</table>\n"


def _consent(links: Sequence[Link]) -> Iterator[str]:
    first = links[0]
    entry = first.entry
    facts: dict[str, object] = {"授权编号 Consent": entry["consent"], "企业代号 Pseudonym": entry["subject"]}
    document = first.json("consent")
    if document is None:
        yield from _facts("授权 Consent", {**facts, "内容 Content": _GONE})
    else:
        facts |= {"企业 Enterprise": document["subject"]["name"], "统一社会信用代码 Code": document["subject"]["uscc"]}
        yield from _facts("授权 Consent", facts | {name: document[key] for key, name in _CONSENT.items()})
        scopes = [[s["platform"], s["dataset"], ", ".join(s["fields"]), _names(s["via"])] for s in document["scopes"]]
        yield from _table("授权范围 What was agreed", [*_ITEM, "可经由 Also through"], scopes)
    states = [[link.entry["time"], link.event, link.entry["actor"], _reason(link)] for link in links]
    yield from _table("授权状态 States", ["时间 Time", "事件 Event", "操作人 Actor", "原因 Reason"], states)


def _names(outlets: Sequence[str]) -> str | None:
    return ", ".join(outlets) or None


def _reason(link: Link) -> object:
    if "status" not in link.payloads:
        return None
    status = link.json("status")
    return _GONE if status is None else status["reason"]


def _permit(links: Sequence[Link]) -> Iterator[str]:
    entry, asked = links[0].entry, links[-1]
    yield from _facts(
        "准许 Permit",
        {
            "准许编号 Permit": entry["permit"],
            "时间 Time": entry["time"],
            "有效至 Valid until": entry["valid_until"],
            "第几次使用 Use": entry["use"],
            "期间 Period": f"{asked.entry['first']} – {asked.entry['last']}",
        },
    )
    rows: list[list[object]] = [[_GONE]]
    if (items := asked.asked()) is not None:
        rows = [[i.platform, i.dataset, ", ".join(i.fields), i.person, i.outlet] for i in items]
    yield from _table("准许查询 What could be asked", [*_ITEM, "个人代号 Person", "经由 Through"], rows)


def _profile(chain: Chain, issued: Link, profile: Mapping[str, Any] | None) -> Iterator[str]:
    entry = issued.entry
    told = {"画像编号 Profile": entry["profile"], "版本 Revision": entry["revision"], "签发 Issued": entry["time"]}
    if profile is None:
        yield from _facts("画像 Profile", {**told, "内容 Content": _GONE})
    else:
        done = profile["completeness"]
        yield from _facts("画像 Profile", {**told, "完整性 Answered": f"{done['answered']}/{done['asked']}"})
    answers = {(platform, dataset): _answer(reply) for platform, dataset, reply in chain.replies(issued)}
    columns = ["平台 Platform", "数据集 Data set", "状态 State", "原因 Reason", "来历 Origin", "记录 Records"]
    columns.append("应答摘要 SHA-256")
    sources = issued.listed("sources")
    rows = [[*s[:4], _came(origin_of(s)), *answers.get((s[0], s[1]), (None, None))] for s in sources or ()]
    yield from _table("平台应答 What the platforms answered", columns, rows if sources is not None else [[_GONE]])
    if profile is not None:
        yield from _contents(profile)


def _came(origin: Origin | None) -> str | None:
    """None where the platform was asked for this profile."""
    if origin is None:
        return None
    if origin.entry is None:
        return f"与准许 {origin.permit} 共用一次查询 one call with permit {origin.permit}"
    return f"沿用第 {origin.entry} 条的应答 answer of entry {origin.entry} used again"


def _answer(reply: Any) -> tuple[object, object]:
    return (_GONE, _GONE) if reply is None else (len(reply["records"]), reply["digest"])


def _contents(profile: Mapping[str, Any]) -> Iterator[str]:
    values = [
        [dataset, name, f"{value['value']} {value.get('unit') or ''}".rstrip(), ", ".join(value["sources"])]
        for dataset, section in profile["sections"].items()
        for name, value in section["values"].items()
    ]
    yield from _table("数值 Values", ["数据集 Data set", "名称 Name", "值 Value", "来源 Sources"], values)
    found = [[f["rule"], f["outcome"], f["message"]["zh"], f["message"]["en"]] for f in profile["findings"]]
    yield from _table("核验结果 Findings", ["规则 Rule", "结论 Outcome", "说明", "Explanation"], found)


def _readings(links: Sequence[Link]) -> Iterator[str]:
    rows = [[link.entry["time"], link.event, link.entry["actor"], link.entry["revision"]] for link in links]
    columns = ["时间 Time", "事件 Event", "操作人 Actor", "版本 Revision"]
    yield from _table("读取与导出 Readings and exports", columns, rows)


def _log(chain: Chain, head: Checkpoint) -> Iterator[str]:
    yield from _facts(
        "证据日志 Log", {"名称 Origin": head.origin, "条数 Size": head.size, "树根 Root": head.root.hex()}
    )
    rows = [[link.index, link.event, link.entry["time"], sha256(link.data).hexdigest()] for link in chain.links()]
    columns = ["序号 Index", "事件 Event", "时间 Time", "条目摘要 SHA-256 of the entry"]
    yield from _table("日志条目 Entries", columns, rows)
