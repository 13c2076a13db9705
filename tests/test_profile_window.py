"""No row outside the permitted period is kept of a reply, whatever a connector gives."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Progress, Query, Reply, Subject
from connectors.ports import Guard, OpenGuard
from gateway.profile.collect import collect
from gateway.profile.plan import Item, Plan
from gateway.profile.window import PERIODS, within
from schemas.dates import month_add
from schemas.records import CATALOGUE
from tests.profiles import NAME, USCC, reply

months = st.tuples(st.integers(2015, 2027), st.integers(1, 12))


def text(month: tuple[int, int]) -> str:
    return f"{month[0]:04}-{month[1]:02}"


def row(dataset: str, start: tuple[int, int], length: int) -> dict[str, Any]:
    """A row about the months from ``start``, as its data set says so."""
    since, until = PERIODS[dataset]
    if since == "month":
        return {since: text(start)}
    if since == "year":
        return {since: start[0]}
    return {since: text(start) + "-01", until: text(month_add(start, length)) + "-28"}


def covers(dataset: str, held: dict[str, Any], month: tuple[int, int]) -> bool:
    """Written apart from what is tested: whether a row is about this one month."""
    since, until = PERIODS[dataset]
    if since == "year":
        return bool(held[since] == month[0])
    return bool(str(held[since])[:7] <= text(month) <= str(held[until])[:7])


@given(st.sampled_from(sorted(PERIODS)), st.lists(st.tuples(months, st.integers(0, 14)), max_size=8), months, st.data())
@settings(max_examples=150, deadline=None)
def test_every_kept_row_is_about_a_permitted_month_and_every_such_row_is_kept(
    dataset: str, starts: list[tuple[tuple[int, int], int]], first: tuple[int, int], data: st.DataObject
) -> None:
    asked = [month_add(first, n) for n in range(data.draw(st.integers(1, 40)))]
    rows = [row(dataset, start, length) for start, length in starts]
    kept = within(reply(rows), dataset, first, asked[-1]).records
    assert list(kept) == [one for one in rows if any(covers(dataset, one, month) for month in asked)]


def test_a_data_set_whose_rows_say_how_things_stand_is_kept_whole() -> None:
    old = reply([{"number": "M-1", "from": "2001-01-01"}])
    assert within(old, "mortgages", (2026, 1), (2026, 2)) is old


def test_every_field_that_names_a_period_is_one_of_its_data_set() -> None:
    for dataset, period in PERIODS.items():
        assert set(period) <= set(CATALOGUE[dataset].fields)


class Careless:
    """A connector that hands on whatever its platform sends."""

    id, version, assurance = "x", "1.0+0123456789ab", "assumed"
    datasets = {"provident_fund": frozenset({"month", "persons"})}  # noqa: RUF012
    names = {"zh": "x", "en": "x"}  # noqa: RUF012

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        return reply([{"month": m, "persons": 4} for m in ("2025-12", "2026-01", "2026-11", "2026-12")])


@pytest.mark.asyncio
async def test_a_connector_of_ones_own_gets_no_row_from_outside_the_period_past() -> None:
    items = (Item("x", "provident_fund", frozenset({"month", "persons"})),)
    plan = Plan(items, frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
    deadline = asyncio.get_running_loop().time() + 5
    (one,) = await collect(plan, {"x": Careless()}, Subject(USCC, NAME), OpenGuard(), deadline)
    assert one.reply is not None
    assert [held["month"] for held in one.reply.records] == ["2026-01", "2026-11"]
