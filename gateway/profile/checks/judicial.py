"""judicial: court records against the credit list and against the enterprise's own declaration."""

from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    SERIOUS,
    UNKNOWN,
    Dict,
    finding,
    stated,
    took,
)
from gateway.profile.material import Answer, Material

DISHONEST = "失信被执行人"
ENFORCED = ("enforcement", "dishonest_debtor")
"""What a declared number of cases is about: open cases of enforcement, not every judgment."""


def check(material: Material) -> list[Dict]:
    return [_dishonest(material), _declared(material)]


def _telling(answers: tuple[Answer, ...], *fields: str) -> tuple[Answer, ...]:
    """The sources that can tell: one whose fields the consent withholds neither accuses nor clears."""
    return tuple(answer for answer in answers if answer.knows(*fields))


def _court_hits(answers: tuple[Answer, ...]) -> list[str]:
    return [
        answer.ref(number)
        for answer in answers
        for number, row in enumerate(answer.rows)
        if row.get("kind") == "dishonest_debtor" and row.get("closed") is not True
    ]


def _list_hits(answers: tuple[Answer, ...], today: str) -> list[str]:
    return [
        answer.ref(number)
        for answer in answers
        for number, row in enumerate(answer.rows)
        if row.get("kind") == "black"
        and DISHONEST in str(row.get("name", ""))
        and ("removed_on" not in row or str(row["removed_on"]) > today)
    ]


def _side(answers: tuple[Answer, ...], hits: list[str], dataset: str) -> list[Dict]:
    if hits:
        return [stated(hits[0], True)]
    if answers:
        return [stated(answers[0].source, False if all(a.whole for a in answers) else None)]
    return [stated(f"none/{dataset}", None)]


def _dishonest(material: Material) -> Dict:
    courts, all_lists = material.of("judicial"), material.of("credit_lists")
    court, lists = _telling(courts, "kind", "closed"), _telling(all_lists, "kind", "name", "removed_on")
    in_court, on_list = _court_hits(court), _list_hits(lists, material.today.isoformat())
    values = _side(court, in_court, "judicial") + _side(lists, on_list, "credit_lists")
    hits = in_court + on_list
    sections = ["judicial", "credit_lists"]
    taken = took(
        hits[0] if hits else court[0].source if court else "none/judicial",
        "任一来源命中即按命中处理。",
        "A hit in any source counts as a hit.",
    )
    if in_court and on_list:
        return finding(
            "judicial",
            CONSISTENT,
            SERIOUS,
            sections,
            values,
            "法院与信用名单均列其为失信被执行人。",
            "Court and credit list both name it a dishonest debtor.",
            taken=taken,
        )
    known = bool(court) and bool(lists) and all(a.whole for a in (*court, *lists))
    known = known and (court, lists) == (courts, all_lists)
    if hits and court and lists:
        return finding(
            "judicial",
            CONFLICT,
            SERIOUS,
            sections,
            values,
            "一处列其为失信被执行人，另一处没有。",
            "One source names it a dishonest debtor and the other does not.",
            taken=taken,
        )
    if hits:
        return finding(
            "judicial",
            UNKNOWN,
            SERIOUS,
            sections,
            values,
            "一处列其为失信被执行人；没有另一处的应答。",
            "One source names it a dishonest debtor; of the other there is no answer.",
            taken=taken,
        )
    if not known:
        return finding(
            "judicial",
            UNKNOWN,
            INFO,
            sections,
            values,
            "未同时取得法院与信用名单的完整应答，不能断定没有失信记录。",
            "There are not whole answers of both court and credit list: «no record» cannot be concluded.",
        )
    return finding(
        "judicial",
        CONSISTENT,
        INFO,
        sections,
        values,
        "法院与信用名单均无失信被执行人记录。",
        "Neither court nor credit list names it a dishonest debtor.",
        taken=taken,
    )


def _declared(material: Material) -> Dict:
    courts = material.of("judicial")
    court = _telling(courts, "kind", "case_number", "role", "closed")
    declared = material.declared.get("judicial_cases")
    cases = {
        str(row.get("case_number", answer.ref(number)))
        for answer in court
        for number, row in enumerate(answer.rows)
        if row.get("kind") in ENFORCED and row.get("role") != "plaintiff" and row.get("closed") is not True
    }
    source = court[0].source if court else "none/judicial"
    values = [stated(source, len(cases) if court else None, "件"), stated("declared/judicial_cases", declared, "件")]

    def result(outcome: str, severity: str, zh: str, en: str, taken: Dict | None = None) -> Dict:
        return finding(
            "judicial",
            outcome,
            severity,
            ["judicial"],
            values,
            zh,
            en,
            tolerance="court cases <= declared cases",
            taken=taken,
        )

    court_rules = took(source, "案件以法院记录为准。", "The court's records decide which cases there are.")
    if not court or declared is None:
        return result(
            UNKNOWN,
            INFO,
            "没有法院的应答，或企业未申报案件数。",
            "There is no answer of the court, or the enterprise declared no number of cases.",
        )
    if isinstance(declared, int) and len(cases) > declared:
        return result(
            CONFLICT,
            SERIOUS,
            "法院记录的未结执行案件多于企业申报。",
            "The court knows of more open enforcement cases than the enterprise declared.",
            court_rules,
        )
    if court != courts or not all(answer.whole for answer in court):
        return result(
            UNKNOWN, INFO, "法院记录不完整，不能得出结论。", "The court's records are incomplete: no conclusion."
        )
    return result(
        CONSISTENT,
        INFO,
        "法院记录的未结执行案件不多于企业申报。",
        "The court knows of no more open enforcement cases than the enterprise declared.",
        court_rules,
    )
