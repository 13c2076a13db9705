"""The headline values of each data set, each with unit, period and the source or record it came from. Pure.

Values come from one source, the one the section goes by; two sources are never merged or averaged. A count or a
total is given only where the source holds nothing back and every record it runs over has the figure; what is not
known is left out. A total names its whole source, a single figure its record.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from connectors.base import Row
from gateway.profile.material import Answer, Material, month_text
from gateway.profile.measures import Figures, Flow, Heads, period_text, sum_of
from schemas.amounts import decimal_text

Values = dict[str, dict[str, Any]]


class Where(NamedTuple):
    """Which records count, given today's date. ``needs``: the fields that decide it; where the consent withholds one
    of them, the count or total is unknown."""

    test: Callable[[Row, str], bool]
    needs: tuple[str, ...]


def value_of(value: object, unit: str | None, period: str | None, *sources: str) -> dict[str, Any]:
    shown = decimal_text(value) if isinstance(value, Decimal) else value
    return {"value": shown, "unit": unit, "period": period, "sources": list(sources)}


def _current(row: Row, today: str) -> bool:  # noqa: ARG001
    return row.get("current") is not False


def _listed(row: Row, today: str) -> bool:
    return "removed_on" not in row or str(row["removed_on"]) > today


def _valid(row: Row, today: str) -> bool:
    return "valid_to" not in row or str(row["valid_to"]) >= today


def _black(row: Row, today: str) -> bool:
    return row.get("kind") == "black" and _listed(row, today)


def _red(row: Row, today: str) -> bool:
    return row.get("kind") == "red" and _listed(row, today)


def _open(row: Row, today: str) -> bool:  # noqa: ARG001
    return row.get("closed") is not True


def _open_kind(kind: str) -> Where:
    def test(row: Row, today: str) -> bool:
        return row.get("kind") == kind and _open(row, today)

    return Where(test, ("kind", "closed"))


def _unsettled(row: Row, today: str) -> bool:  # noqa: ARG001
    return row.get("state") != "settled"


def _held(row: Row, today: str) -> bool:  # noqa: ARG001
    return row.get("state", "held") == "held"


def _active(row: Row, today: str) -> bool:  # noqa: ARG001
    return row.get("state", "active") == "active"


CURRENT = Where(_current, ("current",))
LISTED = Where(_listed, ("removed_on",))
VALID = Where(_valid, ("valid_to",))
BLACK = Where(_black, ("kind", "removed_on"))
RED = Where(_red, ("kind", "removed_on"))
OPEN = Where(_open, ("closed",))
UNSETTLED = Where(_unsettled, ("state",))
HELD = Where(_held, ("state",))
ACTIVE = Where(_active, ("state",))


class Count(NamedTuple):
    name: str
    where: Where | None = None


class Total(NamedTuple):
    name: str
    field: str
    where: Where | None = None
    unit: str = "元"


class Latest(NamedTuple):
    """The field of the newest record that has it; ``by`` orders the records and is shown as the period."""

    name: str
    field: str
    by: str
    unit: str | None = "元"


class Single(NamedTuple):
    """A field of a data set that has one record."""

    field: str
    unit: str | None = None


RULES: Mapping[str, tuple[Count | Total | Latest | Single, ...]] = {
    "registration": (Single("state"), Single("established"), Single("registered_capital", "元")),
    "shareholders": (Count("count"), Total("subscribed_total", "subscribed"), Total("paid_in_total", "paid_in")),
    "key_persons": (Count("count"),),
    "abnormal_list": (Count("listed_now", LISTED),),
    "annual_report": (
        Latest("staff", "staff", "year", "人"),
        Latest("revenue", "revenue", "year"),
        Latest("total_assets", "total_assets", "year"),
        Latest("total_liabilities", "total_liabilities", "year"),
        Latest("net_profit", "net_profit", "year"),
    ),
    "provident_fund": (Latest("amount_latest", "amount", "month"), Latest("paid_up_to", "paid_up_to", "month", None)),
    "real_estate": (
        Count("count", CURRENT),
        Total("area_total", "area", CURRENT, "m2"),
        Total("assessed_total", "assessed_value", CURRENT),
    ),
    "mortgages": (Count("current", CURRENT), Total("secured_total", "secured_amount", CURRENT)),
    "seizures": (Count("current", CURRENT),),
    "tax_credit": (Latest("grade", "grade", "year", None),),
    "tax_arrears": (Count("count"), Total("amount_total", "amount")),
    "judicial": (
        Count("enforcement_open", _open_kind("enforcement")),
        Count("dishonest_open", _open_kind("dishonest_debtor")),
        Count("judgment_open", _open_kind("judgment")),
        Total("amount_open", "amount", OPEN),
    ),
    "permits": (Count("valid", VALID),),
    "penalties": (Count("count"), Total("fines_total", "fine")),
    "credit_lists": (Count("black", BLACK), Count("red", RED)),
    "receivables": (
        Count("unsettled", UNSETTLED),
        Total("amount_unsettled", "amount", UNSETTLED),
        Total("outstanding_total", "outstanding", UNSETTLED),
    ),
    # A voucher that was split counts in its parts.
    "vouchers": (Count("held", HELD), Total("amount_held", "amount", HELD)),
    "core_trade": (Latest("outstanding_latest", "outstanding", "month"), Latest("overdue_latest", "overdue", "month")),
    "guarantees": (
        Count("active", ACTIVE),
        Total("outstanding_total", "outstanding", ACTIVE),
        Total("compensated_total", "compensated"),
    ),
    "honours": (Count("valid", VALID),),
    "policy_support": (Count("count"),),
    "bank_internal": (
        Latest("credit_outstanding", "credit_outstanding", "month"),
        Latest("overdue", "overdue", "month"),
    ),
    "internal_lists": (Count("black", BLACK),),
}


def normalise(material: Material, figures: Figures) -> dict[str, Values]:
    """Values per answered data set, in the shape of schemas.profile.Value."""
    today = material.today.isoformat()
    result = {dataset: _by_rules(answers[0], today) for dataset, answers in material.answers.items()}
    for dataset, values in result.items():
        if dataset == "social_insurance":
            values.update(_heads_values(figures.heads.get("insured", ())))
            values.update(_base_average(material.answers[dataset][0]))
        elif dataset == "provident_fund":
            values.update(_heads_values(figures.heads.get("fund", ())))
        elif dataset == "tax_returns":
            values.update(_flow_values("revenue", figures.flows.get("vat", ())))
        elif dataset == "invoices":
            values.update(_flow_values("sales", figures.flows.get("invoices", ())))
            values.update(_flow_values("purchases", figures.flows.get("purchases", ())))
    return result


def _by_rules(answer: Answer, today: str) -> Values:
    values: Values = {}
    selected: dict[Where | None, Sequence[Row]] = {None: answer.rows}
    for rule in RULES.get(answer.dataset, ()):
        if isinstance(rule, Single):
            if answer.rows and rule.field in answer.rows[0]:
                values[rule.field] = value_of(answer.rows[0][rule.field], rule.unit, None, answer.ref(0))
        elif isinstance(rule, Latest):
            found = latest(answer, rule.field, rule.by)
            if found is not None:
                row, number = found
                values[rule.name] = value_of(row[rule.field], rule.unit, str(row[rule.by]), answer.ref(number))
        elif answer.whole and (rule.where is None or answer.knows(*rule.where.needs)):
            if rule.where is not None and rule.where not in selected:
                selected[rule.where] = [row for row in answer.rows if rule.where.test(row, today)]
            rows = selected[rule.where]
            if isinstance(rule, Count):
                values[rule.name] = value_of(len(rows), None, None, answer.source)
            elif (total := sum_of(rows, rule.field)) is not None:
                values[rule.name] = value_of(total, rule.unit, None, answer.source)
    return values


def latest(answer: Answer, field: str, by: str) -> tuple[Row, int] | None:
    """The record with the greatest ``by`` (years, months) that has the field; of two, the greater text of it, so that
    the order of records cannot decide."""
    best: tuple[Row, int] | None = None
    newest: Any = None
    for number, row in enumerate(answer.rows):
        time = row.get(by)
        if time is None or field not in row:
            continue
        if best is None or time > newest or (time == newest and str(row[field]) > str(best[0][field])):
            best, newest = (row, number), time
    return best


def _heads_values(several: Sequence[Heads]) -> Values:
    if not several:
        return {}
    heads = several[0]
    last = max(heads.months)
    values = {"persons_latest": value_of(heads.months[last][0], "人", month_text(last), heads.ref(last))}
    year = [heads.months[m][0] for m in range(last - 11, last + 1) if m in heads.months]
    if len(year) == 12:
        average = (Decimal(sum(year)) / 12).quantize(Decimal("0.01"))
        values["persons_average_12m"] = value_of(average, "人", period_text(last - 11, last), heads.answer.source)
    return values


def _base_average(answer: Answer) -> Values:
    pension = [row for row in answer.rows if row.get("kind") == "pension" and "month" in row]
    if not pension:
        return {}
    month = max(str(row["month"]) for row in pension)
    rows = [row for row in pension if row["month"] == month]
    if not all("base" in row and isinstance(row.get("persons"), int) for row in rows):
        return {}
    persons = sum(int(str(row["persons"])) for row in rows)
    if not persons:
        return {}
    base = sum((Decimal(str(row["base"])) for row in rows), Decimal(0))
    average = (base / persons).quantize(Decimal("0.01"))
    return {"base_average": value_of(average, "元", month, answer.source)}


def _flow_values(name: str, several: Sequence[Flow]) -> Values:
    if not several:
        return {}
    flow, values = several[0], {}
    end = flow.last
    recent = flow.total(end - 11, end)
    if recent is not None:
        values[f"{name}_12m"] = value_of(recent, "元", period_text(end - 11, end), flow.answer.source)
    year = last_full_year(flow)
    if year is not None:
        values[f"{name}_last_year"] = value_of(
            flow.total(year * 12, year * 12 + 11), "元", str(year), flow.answer.source
        )
    return values


def last_full_year(flow: Flow) -> int | None:
    end = (flow.last + 1) // 12 - 1
    return next((y for y in (end, end - 1) if flow.total(y * 12, y * 12 + 11) is not None), None)
