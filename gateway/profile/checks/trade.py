"""revenue, as a core company's books bound it: nobody sells one customer more than it sells in all, and nobody buys of
one supplier more than it buys in all. A share of any size below that is lawful, so only this direction is checked."""

from gateway.profile.checks.base import (
    CONFLICT,
    CONSISTENT,
    INFO,
    NOT_COMPARABLE,
    SERIOUS,
    WARNING,
    Dict,
    finding,
    stated,
    took,
)
from gateway.profile.measures import Figures, common_window, period_text
from gateway.profile.policy import CheckPolicy

_BOUNDS = (
    ("core_upstream", "vat", "核心企业的采购额", "增值税申报销售额", "what the core company bought", "VAT sales"),
    ("core_downstream", "purchases", "向核心企业的采购额", "进项净额", "what it bought of the core company",
     "invoices for its purchases"),
)  # fmt: skip


def check(figures: Figures, doubtful: frozenset[str], policy: CheckPolicy) -> list[Dict]:
    """One finding for each side of which both figures are known; without them there is nothing to bound."""
    found: list[Dict] = []
    tolerance = f"part <= whole * {1 + policy.revenue_warning} (policy {policy.version})"
    for part_name, whole_name, part_zh, whole_zh, part_en, whole_en in _BOUNDS:
        for part in figures.flows.get(part_name, ()):
            if not (wholes := figures.flows.get(whole_name)):
                continue
            whole = wholes[0]
            sections = (part.answer.dataset, whole.answer.dataset)
            common = common_window(part, whole, policy.revenue_months)
            if common is None or whole_name in doubtful:
                found.append(
                    finding(
                        "revenue",
                        NOT_COMPARABLE,
                        INFO,
                        sections,
                        [stated(part.answer.source, None, "元"), stated(whole.answer.source, None, "元")],
                        f"{part_zh}与{whole_zh}没有足够的共同期间，或计量单位存疑。",
                        f"For {part_en} and {whole_en} there is no common period, or a unit is in doubt.",
                        tolerance=tolerance,
                    )
                )
                continue
            period = period_text(*common.span)
            values = [
                stated(part.ref(common.span), common.left, "元", period),
                stated(whole.ref(common.span), common.right, "元", period),
            ]
            beyond = common.left > common.right * (1 + policy.revenue_warning)
            serious = common.left > common.right * (1 + policy.revenue_serious)
            found.append(
                finding(
                    "revenue",
                    CONFLICT if beyond else CONSISTENT,
                    SERIOUS if serious else WARNING if beyond else INFO,
                    sections,
                    values,
                    f"同一期间{part_zh}{'超过' if beyond else '不超过'}{whole_zh}。",
                    f"Over the same period {part_en} {'exceeds' if beyond else 'does not exceed'} the {whole_en}.",
                    tolerance=tolerance,
                    taken=took(
                        whole.ref(common.span),
                        "纳税申报与发票负有法律责任。",
                        "Returns and invoices are made under legal liability.",
                    ),
                )
            )
    return found
