"""The one way to write a finding (schemas.profile.Finding as a dict)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from gateway.profile.material import RANK, Answer
from schemas.amounts import decimal_text
from schemas.profile import Outcome, Severity

RULE_VERSION = "1"
Dict = dict[str, Any]

CONSISTENT, CONFLICT = Outcome.CONSISTENT.value, Outcome.CONFLICT.value
NOT_COMPARABLE, UNKNOWN = Outcome.NOT_COMPARABLE.value, Outcome.UNKNOWN.value
INFO, WARNING, SERIOUS = Severity.INFO.value, Severity.WARNING.value, Severity.SERIOUS.value


def stated(source: str, value: object, unit: str | None = None, period: str | None = None) -> Dict:
    """One side of a comparison. ``None`` says that the source did not give the value: unknown, never zero."""
    shown = decimal_text(value) if isinstance(value, Decimal) else value
    return {"source": source, "value": shown, "unit": unit, "period": period}


def took(source: str, zh: str, en: str) -> Dict:
    return {"source": source, "why": {"zh": zh, "en": en}}


def took_of_two(taken: Answer, other: Answer, ref: str, zh: str, en: str) -> Dict:
    """As ``took``; where the operator's weights decided between two sources of one data set, the reason says so."""
    if taken.dataset == other.dataset and taken.weight != other.weight and RANK[taken.state] == RANK[other.state]:
        weights = f"{taken.platform} {taken.weight}, {other.platform} {other.weight}"
        zh += f"两来源之间按设置的权重取较大者（{weights}）。"
        en += f" Between the two the operator's weights decided ({weights})."
    return took(ref, zh, en)


def finding(
    rule: str,
    outcome: str,
    severity: str,
    sections: Sequence[str],
    values: list[Dict],
    zh: str,
    en: str,
    *,
    tolerance: str | None = None,
    taken: Dict | None = None,
) -> Dict:
    return {
        "rule": rule,
        "version": RULE_VERSION,
        "outcome": outcome,
        "severity": severity,
        "sections": list(dict.fromkeys(sections)),
        "tolerance": tolerance,
        "values": values,
        "taken": taken,
        "message": {"zh": zh, "en": en},
    }


def unknown(rule: str, sections: Sequence[str], zh: str, en: str, values: list[Dict] | None = None) -> Dict:
    """Nothing to compare: a source was not asked, or gave no answer. Says so, and takes nothing."""
    return finding(rule, UNKNOWN, INFO, sections, values or [], zh, en)
