"""The text that the enterprise reads and agrees to, made from what the lender asks, in one language.

The page shows these lines and nothing else as the text of the authorisation, and ``text`` joins the very same lines:
what is hashed is what was shown (PIPL 14, 17, 23, 29; 征信业管理条例 18). Another wording here is a new ``VERSION``.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consent.text_rows import PAGE
from consent.texts import RegisterText
from gateway.authorize.asked import ConsentAsk, Language, sensitive_of, words
from schemas.consent import Scope
from schemas.records import CATALOGUE

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Section:
    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """``separate`` holds one tick per sensitive data set: its name and the line beside the tick."""

    language: Language
    title: str
    sections: tuple[Section, ...]
    separate_heading: str
    separate_note: str
    separate: tuple[tuple[str, str], ...]
    agree: str
    withdraw: str
    """The line of ``sections`` that says what a withdrawal brings about."""

    @property
    def version(self) -> str:
        return f"{PAGE}-{VERSION}-{self.language}"

    @property
    def text(self) -> str:
        lines = [self.title]
        for section in self.sections:
            lines += [section.heading, *section.lines]
        if self.separate:
            lines += [self.separate_heading, self.separate_note, *(line for _, line in self.separate)]
        return "\n".join([*lines, self.agree])

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


_FORMS: Mapping[Language, Mapping[str, str]] = {
    "zh": {
        "title": "企业数据查询授权书",
        "who": "谁来查询",
        "who_line": "{lender}申请查询{name}（统一社会信用代码 {uscc}）的数据。",
        "recipients": "查询结果还将提供给：{names}。",
        "no_recipients": "查询结果不提供给其他人。",
        "what": "从哪里查询哪些数据",
        "scope": "{platform}：{dataset}（{fields}）",
        "via": "，经由 {names} 转接",
        "lookback": "只查询最近 {months} 个月（含本月）的数据。",
        "why": "为什么查询",
        "application": "业务编号：{application}。不用于其他用途。",
        "long": "有效多久、保存多久",
        "valid": "自您同意之时起 {days} 天内有效。",
        "uses": "最多查询 {n} 次。",
        "any_uses": "有效期内查询次数不限。",
        "kept": "查询结果保存 {days} 天。到期处理方式：{disposal}",
        "otherwise": "不同意会怎样、怎样撤回",
        "otherwise_line": "您可以不同意。不同意时，{lender}不能通过本系统查询，"
        "可能需要您自行提供材料，也可能因此无法办理该业务。",
        "withdraw": "同意之后，您可以随时在本页面撤回，与同意一样方便。撤回后不再查询；"
        "此前已完成的查询不受影响，其记录依法保存。",
        "seen": "每一次查询都有记录，您可以在本页面查看。",
        "separate_heading": "须单独同意的敏感信息",
        "separate_note": "不勾选则不查询该项，不影响其余数据。",
        "separate": "我单独同意{lender}从{platforms}查询“{dataset}”中的{fields}。",
        "agree": "我已阅读以上全部内容，并有权代表{name}同意授权。",
        "comma": "、",
        "stop": "。",
    },
    "en": {
        "title": "Authorisation to query enterprise data",
        "who": "Who asks",
        "who_line": "{lender} asks to query data about {name} (unified social credit code {uscc}).",
        "recipients": "The results will also be given to: {names}.",
        "no_recipients": "The results are given to nobody else.",
        "what": "Which data, and from where",
        "scope": "{platform}: {dataset} ({fields})",
        "via": ", passed on by {names}",
        "lookback": "Only data of the last {months} months, the present one included.",
        "why": "What for",
        "application": "Application number: {application}. For nothing else.",
        "long": "How long it is valid, how long data is kept",
        "valid": "Valid for {days} days from the moment you agree.",
        "uses": "At most {n} queries.",
        "any_uses": "No limit to the number of queries while it is valid.",
        "kept": "Results are kept for {days} days. After that: {disposal}",
        "otherwise": "If you do not agree, and how to withdraw",
        "otherwise_line": "You may say no. Then {lender} cannot query through this system, may ask you to bring "
        "documents yourself, and may be unable to handle this application.",
        "withdraw": "After you agree you can withdraw on this page at any time, as easily as you agreed. Nothing is "
        "queried after that; queries already done stay as they are, and their records are kept as the law asks.",
        "seen": "Every query is recorded, and you can see it on this page.",
        "separate_heading": "Sensitive information that needs your separate consent",
        "separate_note": "What you do not tick is not queried; the rest is not affected.",
        "separate": "I separately agree that {lender} queries from {platforms}, of “{dataset}”: {fields}.",
        "agree": "I have read all of the above and am entitled to agree on behalf of {name}.",
        "comma": ", ",
        "stop": ".",
    },
}


def form_of(language: Language, actor: str) -> RegisterText:
    """The wording with its open places, as the registered text that a consent of the page names."""
    lines = "\n".join(f"{place}: {line}" for place, line in _FORMS[language].items())
    return RegisterText(PAGE, VERSION, language, lines.encode(), actor)


def dataset_title(name: str, language: Language) -> str:
    known = CATALOGUE.get(name)
    return name if known is None else known.zh if language == "zh" else known.en


def _field_title(dataset: str, name: str, language: Language) -> str:
    info: Any = CATALOGUE[dataset].model.model_fields[name]
    title: str = info.json_schema_extra["zh"] if language == "zh" else info.title
    return title


def statement_of(
    ask: ConsentAsk, lender: str, platforms: Mapping[str, Mapping[str, str]], language: Language
) -> Statement:
    """``lender`` is its registered name; ``platforms`` gives the names {zh, en} of those that are known here."""
    form = _FORMS[language]
    comma = form["comma"]
    outlets = {one.id: one.name for one in ask.intermediaries}

    def platform(name: str) -> str:
        return platforms[name][language] if name in platforms else name

    def fields(dataset: str, names: Iterable[str]) -> str:
        wanted = set(names)
        return comma.join(_field_title(dataset, n, language) for n in CATALOGUE[dataset].fields if n in wanted)

    def scope_line(scope: Scope) -> str:
        line = form["scope"].format(
            platform=platform(scope.platform),
            dataset=dataset_title(scope.dataset, language),
            fields=fields(scope.dataset, scope.fields),
        )
        via = form["via"].format(names=comma.join(outlets[name] for name in scope.via)) if scope.via else ""
        return line + via + form["stop"]

    def separate_line(dataset: str, scopes: list[Scope]) -> str:
        return form["separate"].format(
            lender=lender,
            platforms=comma.join(dict.fromkeys(platform(s.platform) for s in scopes)),
            dataset=dataset_title(dataset, language),
            fields=fields(dataset, frozenset().union(*map(sensitive_of, scopes))),
        )

    to = form["recipients"].format(names=comma.join(ask.recipients)) if ask.recipients else form["no_recipients"]
    uses = form["any_uses"] if ask.max_uses is None else form["uses"].format(n=ask.max_uses)
    name = ask.subject.name
    sections = (
        Section(form["who"], (form["who_line"].format(lender=lender, name=name, uscc=ask.subject.uscc), to)),
        Section(
            form["what"],
            (*map(scope_line, ask.scopes), form["lookback"].format(months=ask.lookback_months)),
        ),
        Section(
            form["why"], (words(ask.purpose_text, language), form["application"].format(application=ask.application))
        ),
        Section(
            form["long"],
            (
                form["valid"].format(days=ask.valid_days),
                uses,
                form["kept"].format(days=ask.retention_days, disposal=words(ask.disposal, language)),
            ),
        ),
        Section(form["otherwise"], (form["otherwise_line"].format(lender=lender), form["withdraw"], form["seen"])),
    )
    return Statement(
        language,
        form["title"],
        sections,
        form["separate_heading"],
        form["separate_note"],
        tuple((dataset, separate_line(dataset, scopes)) for dataset, scopes in ask.sensitive.items()),
        form["agree"].format(name=name),
        form["withdraw"],
    )
