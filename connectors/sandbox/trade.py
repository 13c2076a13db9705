"""Supply chains: receivables as the national platform and the core company know them, trade with it, vouchers."""

from collections.abc import Iterator
from decimal import Decimal

from connectors.sandbox.identity import CORE, other_firm
from connectors.sandbox.population import Enterprise
from connectors.sandbox.series import TAX_LAG, Row, before, mix, month_text, months_of, revenue, yuan

_FACTOR, _BANK = "虚构市第一商业保理（沙箱）", "虚构市第二银行（沙箱）"


def _to_core(e: Enterprise) -> bool:
    """Whether the first receivable is one against the core company."""
    return e.core == "upstream" and e.counts["receivables"] > 0


def receivables(e: Enterprise) -> list[Row]:
    def rows() -> Iterator[Row]:
        for i in range(e.counts["receivables"]):
            debtor, code = CORE if i == 0 and _to_core(e) else other_firm(e.n * 16 + i)
            state = ("open", "confirmed", "financed", "settled", "confirmed")[i % 5]
            if i == 0 and (e.conflict == "receivable-pledged-twice" or "same-financing" in e.noise):
                state = "financed"
            amount = 10_000_000 + (e.n % 700) * 54_321 + i * 3_000_000
            yield {
                "number": f"虚账{e.n % 10**7:07d}{i:02d}",
                "debtor": debtor,
                "debtor_uscc": code,
                "amount": yuan(amount),
                "outstanding": yuan(0 if state == "settled" else amount - i * 100_000),
                "invoiced_on": before(e, 100 + i),
                "due_on": before(e, -400 - i),
                "uploaded_on": before(e, 90 + i),
                "confirmed_on": None if state == "open" else before(e, 75 + i),
                "state": state,
                "pledged": state == "financed",
                "financier": _FACTOR if state == "financed" else None,
            }

    return list(rows())


def payables(e: Enterprise) -> list[Row]:
    """The core company's own books: the first receivable of the other platform, and one that is only here."""
    if not _to_core(e):
        return []
    first = receivables(e)[0]
    amount = Decimal(str(first["amount"]))
    if e.conflict == "receivable-amount":
        amount = (amount * e.degree / 100).quantize(Decimal("0.01"))
    financier = {"receivable-pledged-twice": _BANK}.get(e.conflict or "")
    if "same-financing" in e.noise:
        financier = _FACTOR
    state = "financed" if financier else "confirmed"
    shared = {"debtor": CORE[0], "debtor_uscc": CORE[1], "uploaded_on": None}
    return [
        first
        | shared
        | {"amount": amount, "outstanding": amount, "confirmed_on": before(e, 75), "state": state}
        | {"pledged": financier is not None, "financier": financier},
        {
            "number": _only_here(e),
            **shared,
            "amount": yuan(_voucher_amount(e)),
            "outstanding": Decimal("0.00"),
            "invoiced_on": before(e, 160),
            "due_on": before(e, -330),
            "confirmed_on": before(e, 150),
            "state": "settled",
            "pledged": False,
            "financier": None,
        },
    ]


def core_trade(e: Enterprise, first: int, last: int) -> list[Row]:
    """Upstream: what the core company bought of the firm. Downstream: what the firm bought of it."""
    if e.core is None:
        return []
    share = 20 + e.n % 30
    if e.conflict == "revenue-core-purchases":
        share = e.degree
    elif e.core == "downstream":
        share = share * 6 // 10  # of the six tenths of its sales that the firm buys

    def bought(month: int) -> int:
        return revenue(e, month) * share // 100

    return [
        {
            "month": month_text(month),
            "side": e.core,
            "core_enterprise": CORE[0],
            "orders": yuan(bought(month) * (101 + mix(e.key, month, 30, 5)) // 100),
            "purchases": yuan(bought(month)),
            "paid": yuan(bought(month - 1)),
            "outstanding": yuan(bought(month)),
            "overdue": Decimal("0.00"),
        }
        for month in months_of(e, first, last, TAX_LAG)
    ]


def _only_here(e: Enterprise) -> str:
    return f"虚核{e.n % 10**7:07d}01"


def _voucher_amount(e: Enterprise) -> int:
    return 20_000_000 + e.n % 300 * 100_000


def vouchers(e: Enterprise) -> list[Row]:
    """One voucher of the core company (1), split by the firm (N) for itself, a bank and a supplier of its own (N)."""
    if not _to_core(e) or (e.n % 2 and e.conflict != "voucher-oversplit"):
        return []
    amount, root = _voucher_amount(e), f"虚凭{e.n % 10**7:07d}"
    parts = [amount * 5 // 10, amount * 3 // 10]
    parts.append(amount - sum(parts))
    if e.conflict == "voucher-oversplit":
        parts[2] += amount * (e.degree - 100) // 100

    def row(number: str, level: int, held_by: str, fen: int, state: str) -> Row:
        return {
            "number": number,
            "issuer": CORE[0],
            "holder": held_by,
            "amount": yuan(fen),
            "level": level,
            "parent": root if level > 1 else None,
            "promised_on": before(e, -330),
            "state": state,
            "receivable": _only_here(e),
            "financier": _BANK if state == "financed" else None,
        }

    holders = (e.name, e.name, other_firm(e.n * 16 + 15)[0])
    split = zip(holders, parts, ("held", "financed", "transferred"), strict=True)
    return [
        row(root, 1, e.name, amount, "split"),
        *(row(f"{root}-{i}", 2, *part) for i, part in enumerate(split, start=1)),
    ]
