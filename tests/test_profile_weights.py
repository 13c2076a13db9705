"""Which of two platforms is believed, and how old a platform's data may be, where the operator said it."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Found, Row
from gateway.profile.collect import Gathered
from gateway.profile.crosschecks import cross_check
from gateway.profile.measures import figures
from tests.profiles import POLICY, TODAY, clean, gathered, insured, material_of, profile_of, reply, vat


def of(dataset: str, rows: Sequence[Row], platform: str, weight: int = 1, **more: Any) -> Gathered:
    found, days = more.pop("found", None), more.pop("fresh_days", None)
    one = gathered(dataset, reply(rows, more.pop("as_of", date(2026, 11, 20)), found), platform)
    return replace(one, item=replace(one.item, weight=weight, fresh_days=days))


def registration(**fields: Any) -> list[Row]:
    return [{**clean()["registration"][0], **fields}]


def capital(sources: Sequence[Gathered]) -> Any:
    return profile_of(sources)["sections"]["registration"]["values"]["registered_capital"]


def whys(sources: Sequence[Gathered], rule: str) -> list[dict[str, Any]]:
    held = material_of(sources)
    found = cross_check(held, figures(held), POLICY).findings
    return [one["taken"] for one in found if one["rule"] == rule and one["taken"] and len(one["values"]) == 2]


def test_the_heavier_of_two_that_disagree_is_taken_and_its_values_shown() -> None:
    later = of("registration", registration(registered_capital="9", address="乙路1号"), "aa-register")
    older = of("registration", registration(address="甲路1号"), "zz-register", as_of=date(2026, 11, 1))
    assert capital([older, later])["sources"] == ["aa-register/registration#0"]
    heavy = replace(older, item=replace(older.item, weight=3))
    assert capital([heavy, later]) == {
        "value": "5000000",
        "unit": "元",
        "period": None,
        "sources": ["zz-register/registration#0"],
    }
    (before,) = [one for one in whys([older, later], "identity") if one["source"] == "aa-register/registration#0"][-1:]
    assert "weights" not in before["why"]["en"]
    after = whys([heavy, later], "identity")[-1]
    assert after["source"] == "zz-register/registration#0"
    assert "(zz-register 3, aa-register 1)" in after["why"]["en"]
    assert "权重" in after["why"]["zh"]


def test_head_counts_and_sales_of_two_platforms_go_by_the_weight() -> None:
    for dataset, few, many, rule in (
        ("social_insurance", insured(10), insured(90), "headcount"),
        ("tax_returns", vat("100000.00"), vat("900000.00"), "revenue"),
    ):
        sources = [of(dataset, few, "aa-bureau"), of(dataset, many, "zz-bureau", 2)]
        (taken,) = whys(sources, rule)
        assert taken["source"].startswith("zz-bureau/")
        assert "(zz-bureau 2, aa-bureau 1)" in taken["why"]["en"]
        values = profile_of(sources)["sections"][dataset]["values"]
        assert {ref.partition("/")[0] for one in values.values() for ref in one["sources"]} == {"zz-bureau"}


def test_a_weight_makes_nothing_whole_and_is_not_the_reason_where_the_state_is() -> None:
    whole = of("social_insurance", insured(10), "aa-bureau")
    cut = of("social_insurance", insured(90), "zz-bureau", 100, found=Found.PARTIAL)
    section = profile_of([whole, cut])["sections"]["social_insurance"]
    assert section["state"] == "present"
    assert section["values"]["persons_latest"]["value"] == 10
    (taken,) = whys([whole, cut], "headcount")
    assert taken["source"].startswith("aa-bureau/")
    assert "weights" not in taken["why"]["en"]


def test_data_sets_that_differ_are_compared_by_their_own_rule_whatever_the_weights() -> None:
    firm = clean()
    sources = [
        of("tax_returns", firm["tax_returns"], "sh-tax"),
        of("annual_report", firm["annual_report"], "sh-registry", 100),
    ]
    assert {one["source"].partition("/")[0] for one in whys(sources, "revenue")} == {"sh-tax"}


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    days=st.lists(st.integers(0, 40), min_size=3, max_size=3),
    seed=st.randoms(use_true_random=False),
)
def test_in_whatever_order_sources_come_the_profile_is_the_same_and_the_heaviest_of_the_strongest_is_taken(
    weights: list[int], days: list[int], seed: random.Random
) -> None:
    sources = [
        of("registration", registration(registered_capital=str(number)), name, weight, as_of=TODAY - timedelta(age))
        for number, (name, weight, age) in enumerate(zip(("aa", "bb", "cc"), weights, days, strict=True))
    ]
    mixed = list(sources)
    seed.shuffle(mixed)
    first = profile_of(sources)
    again = profile_of(mixed)
    assert first["findings"] == again["findings"]
    assert first["sections"] == again["sections"]
    fresh = [one for one, age in zip(sources, days, strict=True) if age <= 31] or sources
    heaviest = max(one.item.weight for one in fresh)
    (taken,) = capital(sources)["sources"]
    assert taken.partition("/")[0] in {one.item.platform for one in fresh if one.item.weight == heaviest}


def test_how_old_data_may_be_is_the_operators_to_say_and_a_lender_may_ask_for_less() -> None:
    rows: list[Row] = [{"kind": "judgment", "case_number": "1"}]

    def state(days: int | None, max_age: int | None = None) -> str:
        one = of("judicial", rows, "sh-court", as_of=date(2026, 10, 15), fresh_days=days)
        found: str = profile_of([one], max_age=max_age)["sections"]["judicial"]["state"]
        return found

    assert (state(None), state(40), state(39)) == ("stale", "present", "stale")
    assert (state(40, 39), state(39, 90)) == ("stale", "stale")


def test_the_finding_says_by_whose_figure_data_is_old() -> None:
    rows: list[Row] = [{"kind": "judgment", "case_number": "1"}]

    def tolerances(days: int | None) -> list[str]:
        held = material_of([of("judicial", rows, "sh-court", as_of=date(2026, 10, 15), fresh_days=days)])
        found = cross_check(held, figures(held), POLICY).findings
        return [str(one["tolerance"]) for one in found if one["rule"] == "freshness" and one["outcome"] == "conflict"]

    assert tolerances(10) == ["10 days (settings)"]
    assert tolerances(None) == [f"31 days (policy {POLICY.version})"]
