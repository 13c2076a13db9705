"""unit: two amounts that should be alike and disagree by about 10^4, as 元 taken for 万元 does."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from gateway.profile.checks.base import CONFLICT, CONSISTENT, INFO, SERIOUS, Dict, finding, stated, unknown
from gateway.profile.material import Answer, Material
from gateway.profile.measures import sum_of
from gateway.profile.policy import CheckPolicy


class Side(NamedTuple):
    measure: str
    section: str
    ref: str
    amount: Decimal
    period: str | None = None


class Pair(NamedTuple):
    """Two amounts in 元; ``low`` and ``high`` bound left / right when both units are right."""

    left: Side
    right: Side
    low: Decimal
    high: Decimal


def is_unit_error(pair: Pair, policy: CheckPolicy) -> bool:
    left, right = pair.left.amount, pair.right.amount
    if left <= 0 or right <= 0:
        return False
    ratio = left / right
    return pair.low <= ratio / policy.unit_factor <= pair.high or pair.low <= ratio * policy.unit_factor <= pair.high


def agrees(pair: Pair) -> bool:
    left, right = pair.left.amount, pair.right.amount
    return left > 0 and right > 0 and pair.low <= left / right <= pair.high


class UnitResult(NamedTuple):
    findings: list[Dict]
    doubtful: frozenset[str]
    """Measures whose unit is in doubt: they disagree by about 10^4 with one source and no other bears them out."""


def check(pairs: Sequence[Pair], policy: CheckPolicy) -> UnitResult:
    tolerance = f"10^4 times {policy.unit_low}..{policy.unit_high} (policy {policy.version})"
    suspects = [pair for pair in pairs if is_unit_error(pair, policy)]
    borne_out = {side.measure for pair in pairs if agrees(pair) for side in (pair.left, pair.right)}
    findings = [
        finding(
            "unit",
            CONFLICT,
            SERIOUS,
            [side.section for side in (pair.left, pair.right) if side.section],
            [stated(side.ref, side.amount, "元", side.period) for side in (pair.left, pair.right)],
            "两处金额相差约一万倍，疑为元与万元混用；两值均保留，不合并、不取平均。",
            "Two amounts differ by a factor of about 10^4, as 元 taken for 万元 does; both are kept, neither is merged"
            " nor averaged.",
            tolerance=tolerance
            if pair.low == policy.unit_low
            else f"10^4 times {pair.low}..{pair.high} (policy {policy.version})",
        )
        for pair in suspects
    ]
    doubtful = {side.measure for pair in suspects for side in (pair.left, pair.right)} - borne_out
    if findings:
        return UnitResult(findings, frozenset(doubtful))
    if not pairs:
        nothing = unknown("unit", [], "没有可用于核对计量单位的成对金额。", "No two amounts to check units by.")
        return UnitResult([nothing], frozenset())
    sections = [side.section for pair in pairs for side in (pair.left, pair.right) if side.section]
    fine = finding(
        "unit",
        CONSISTENT,
        INFO,
        sections,
        [],
        f"已核对{len(pairs)}组金额，未见万倍差异。",
        f"{len(pairs)} pairs of amounts were checked; none differs by a factor of about 10^4.",
        tolerance=tolerance,
    )
    return UnitResult([fine], frozenset())


def pairs_of(
    material: Material, secured_total: Sequence[tuple[Answer, Decimal | None]], policy: CheckPolicy
) -> list[Pair]:
    """Capital against what shareholders subscribed, secured claims against assessed values and the declaration."""
    return [*_capital(material, policy), *_secured(material, policy), *_declared(material, secured_total, policy)]


def _capital(material: Material, policy: CheckPolicy) -> list[Pair]:
    capitals = [
        Side("registered_capital", "registration", answer.ref(0), Decimal(str(answer.rows[0]["registered_capital"])))
        for answer in material.of("registration")
        if answer.rows and "registered_capital" in answer.rows[0]
    ]
    if not capitals:
        return []
    pairs = [Pair(other, capitals[0], policy.unit_low, policy.unit_high) for other in capitals[1:]]
    for answer in material.of("shareholders"):
        total = sum_of(answer.rows, "subscribed") if answer.rows and answer.whole else None
        if total is not None:
            side = Side("subscribed", "shareholders", answer.source, total)
            pairs.append(Pair(capitals[0], side, policy.unit_low, policy.unit_high))
    return pairs


def _secured(material: Material, policy: CheckPolicy) -> list[Pair]:
    """One pair per mortgage source: a real-estate unit whose amounts are 10^4 apart, else the first one."""
    pairs: list[Pair] = []
    estates = [estate for estate in material.of("real_estate")[:1] if estate.knows("current")]
    for answer in material.of("mortgages"):
        if not answer.knows("current"):
            continue
        claims: dict[str, tuple[Decimal, int]] = {}
        for number, row in enumerate(answer.rows):
            if row.get("current") is not False and "secured_amount" in row and "unit_number" in row:
                unit, amount = str(row["unit_number"]), Decimal(str(row["secured_amount"]))
                before = claims.get(unit)
                claims[unit] = (amount, number) if before is None else (before[0] + amount, before[1])
        per_unit = [
            Pair(
                Side("secured", "mortgages", answer.ref(claims[unit][1]), claims[unit][0]),
                Side("assessed", "real_estate", estate.ref(number), Decimal(str(row["assessed_value"]))),
                policy.secured_low,
                policy.secured_high,
            )
            for estate in estates
            for number, row in enumerate(estate.rows)
            if (unit := str(row.get("unit_number"))) in claims
            and "assessed_value" in row
            and row.get("current") is not False
        ]
        wrong = [pair for pair in per_unit if is_unit_error(pair, policy)]
        pairs += wrong[:1] or per_unit[:1]
    return pairs


def _declared(
    material: Material, secured_total: Sequence[tuple[Answer, Decimal | None]], policy: CheckPolicy
) -> list[Pair]:
    declared = material.declared.get("mortgage_amount")
    if declared is None:
        return []
    right = Side("declared_mortgage", "", "declared/mortgage_amount", Decimal(str(declared)))
    return [
        Pair(Side("secured", "mortgages", answer.source, total), right, policy.unit_low, policy.unit_high)
        for answer, total in secured_total
        if total
    ]
