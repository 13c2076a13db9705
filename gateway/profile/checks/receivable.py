"""receivable: one receivable as two sources know it, who financed it, and whether a voucher was split into more than it
was.

Sources that share no number say nothing about each other. Two records of one financing are lawful: the factoring of a
core company is registered with the national platform too. Only two financiers are a contradiction.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from connectors.base import Row
from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    SERIOUS,
    Dict,
    finding,
    stated,
    took,
    unknown,
)
from gateway.profile.material import Answer, Material
from gateway.profile.measures import sum_of
from gateway.profile.policy import CheckPolicy
from schemas.identifiers import NameMatch, compare_names

RULE = "receivable"


class Held(NamedTuple):
    """A record with the reference it is cited by."""

    row: Row
    ref: str


def check(material: Material, policy: CheckPolicy) -> list[Dict]:
    sources = [_by_number(answer) for answer in material.of("receivables") if answer.knows("number", "amount")]
    pairs = list(combinations(sources, 2))
    return [
        _same(pairs, policy),
        _financed(
            [answer for answer in material.of("receivables") if answer.knows("number", "pledged", "state")],
            [answer for answer in material.of("vouchers") if answer.knows("state", "receivable")],
        ),
        *(_split(answer) for answer in material.of("vouchers") if answer.rows),
    ]


def _by_number(answer: Answer) -> dict[str, Held]:
    """Of two records of one number the one with the greater text, so that their order cannot decide."""
    held: dict[str, Held] = {}
    for place, row in enumerate(answer.rows):
        number = str(row.get("number", ""))
        if number and (number not in held or _text(row) > _text(held[number].row)):
            held[number] = Held(row, answer.ref(place))
    return held


def _text(row: Row) -> str:
    return str(sorted(row.items()))


def _shared(pairs: Sequence[tuple[Mapping[str, Held], Mapping[str, Held]]]) -> Iterator[tuple[Held, Held]]:
    for left, right in pairs:
        for number in sorted(left.keys() & right.keys()):
            yield left[number], right[number]


def _same(pairs: Sequence[tuple[Mapping[str, Held], Mapping[str, Held]]], policy: CheckPolicy) -> Dict:
    tolerance = f"difference / larger <= {policy.receivable_tolerance} (policy {policy.version})"
    agreeing: list[tuple[Held, Held]] = []
    for left, right in _shared(pairs):
        if (field := _apart(left.row, right.row, policy)) is None:
            agreeing.append((left, right))
            continue
        lower = min(left, right, key=lambda held: (Decimal(str(held.row.get("amount", 0))), held.ref))
        unit = "元" if field == "amount" else None
        return finding(
            RULE,
            CONFLICT,
            SERIOUS,
            ["receivables"],
            [stated(held.ref, held.row[field], unit) for held in (left, right)],
            "同一笔应收账款在两个来源中的金额、债务人或到期日不同。",
            "Two sources give one receivable another amount, debtor or due date.",
            tolerance=tolerance,
            taken=took(
                lower.ref,
                "债务人确认之前按较低金额计。",
                "Until the debtor has confirmed it, the lower amount counts.",
            ),
        )
    if not agreeing:
        return unknown(
            RULE,
            ["receivables"],
            "没有一笔应收账款同时见于两个来源，无法比对。",
            "No receivable is known to two sources: nothing to compare.",
        )
    left, right = agreeing[0]
    return finding(
        RULE,
        CONSISTENT,
        INFO,
        ["receivables"],
        [stated(held.ref, held.row.get("amount"), "元") for held in (left, right)],
        f"两个来源共有的{len(agreeing)}笔应收账款相符。",
        f"The {len(agreeing)} receivables that two sources share agree.",
        tolerance=tolerance,
        taken=took(left.ref, "两个来源相符。", "Both sources agree."),
    )


def _apart(left: Row, right: Row, policy: CheckPolicy) -> str | None:
    """The field in which both say something else; a field that one lacks says nothing."""
    for field in ("debtor_uscc", "due_on"):
        if field in left and field in right and left[field] != right[field]:
            return field
    if "amount" in left and "amount" in right:
        a, b = Decimal(str(left["amount"])), Decimal(str(right["amount"]))
        if abs(a - b) > policy.receivable_tolerance * max(abs(a), abs(b)):
            return "amount"
    return None


def _financed(receivables: Sequence[Answer], vouchers: Sequence[Answer]) -> Dict:
    """Only sources that can tell: one whose fields the consent withholds neither accuses nor clears."""
    sections = ["receivables", "vouchers"]
    sources = [_by_number(answer) for answer in receivables]
    twice = [
        (left, right)
        for left, right in [*_shared(list(combinations(sources, 2))), *_paid_by_voucher(sources, vouchers)]
        if _is_financed(left.row) and _is_financed(right.row)
    ]
    doubtful: tuple[Held, Held] | None = None
    for left, right in twice:
        names = left.row.get("financier"), right.row.get("financier")
        match = None if None in names else compare_names(str(names[0]), str(names[1]))
        if match is NameMatch.DIFFERENT:
            return finding(
                RULE,
                CONFLICT,
                SERIOUS,
                sections,
                [stated(held.ref, held.row["financier"]) for held in (left, right)],
                "同一笔应收账款由两家机构融资：重复质押或转让。",
                "One receivable was financed by two institutions: pledged or transferred twice.",
                taken=took(
                    left.ref,
                    "不能作为自由的还款来源，直至查明。",
                    "It is no free source of repayment until this is cleared up.",
                ),
            )
        if match is None or match is NameMatch.MASKED:
            doubtful = doubtful or (left, right)
    if doubtful:
        return finding(
            RULE,
            NOT_COMPARABLE,
            INFO,
            sections,
            [stated(held.ref, held.row.get("financier")) for held in doubtful],
            "同一笔应收账款在两处记为已融资，但融资机构未给出，无法判断是否重复。",
            "One receivable is recorded as financed in two places without saying by whom: whether twice is unknown.",
        )
    told = [*receivables, *vouchers]
    if not receivables or len(told) < 2 or not all(answer.whole for answer in told):
        return unknown(
            RULE,
            sections,
            "应收账款的完整来源不足两个，是否重复融资未知。",
            "Fewer than two whole sources of receivables: whether one was financed twice is unknown.",
        )
    return finding(
        RULE,
        CONSISTENT,
        INFO,
        sections,
        [stated(answer.source, len(answer.rows)) for answer in told],
        "没有一笔应收账款由两家机构融资。",
        "No receivable was financed by two institutions.",
    )


def _is_financed(row: Row) -> bool:
    return row.get("pledged") is True or row.get("state") == "financed"


def _paid_by_voucher(sources: Sequence[Mapping[str, Held]], vouchers: Sequence[Answer]) -> Iterator[tuple[Held, Held]]:
    """A receivable and each voucher that pays it: the parts of one voucher may lawfully have several financiers."""
    for answer in vouchers:
        for _, voucher in sorted(_by_number(answer).items()):
            for source in sources:
                paid = source.get(str(voucher.row.get("receivable", "")))
                if paid is not None:
                    yield paid, voucher


def _split(answer: Answer) -> Dict:
    held = _by_number(answer)
    parts: dict[str, list[Row]] = {}
    for number in sorted(held):
        parent = held[number].row.get("parent")
        if parent is not None and parent in held:
            parts.setdefault(str(parent), []).append(held[number].row)
    if not answer.knows("number", "amount", "parent") or not parts:
        return unknown(
            RULE, ["vouchers"], "没有可核对的凭证拆分。", "There is no splitting of a voucher that could be checked."
        )
    for number, rows in parts.items():
        whole, total = held[number].row.get("amount"), sum_of(rows, "amount")
        # Of parts that are not all known to amount, what is known of them is the least.
        known = sum_of([row for row in rows if "amount" in row], "amount") if total is None else total
        if whole is not None and known is not None and known > Decimal(str(whole)):
            return finding(
                RULE,
                CONFLICT,
                SERIOUS,
                ["vouchers"],
                [stated(held[number].ref, whole, "元"), stated(answer.source, known, "元")],
                "凭证拆分后的金额之和超过原凭证。",
                "The parts of a voucher add up to more than the voucher.",
                tolerance="sum of parts <= voucher",
                taken=took(held[number].ref, "以原凭证金额为限。", "The voucher that was split is the limit."),
            )
    return finding(
        RULE,
        CONSISTENT,
        INFO,
        ["vouchers"],
        [stated(answer.source, len(parts))],
        f"{len(parts)}张拆分凭证的各部分不超过原凭证。",
        f"The parts of {len(parts)} vouchers that were split do not exceed them.",
        tolerance="sum of parts <= voucher",
    )
