"""What was not asked, not consented or not answered must never read as «none» in a profile, nor as an accusation."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from connectors.base import Found, Progress, Query, Reply, Row, Subject
from connectors.ports import Guard, OpenGuard
from gateway.cli.profile import print_profile
from gateway.cli.shared import print_table
from gateway.profile.collect import Gathered, collect
from gateway.profile.plan import Item, Plan
from schemas.errors import ConnectorFault, UpstreamDenied, UpstreamError, UpstreamTimeout
from schemas.profile import Declared, Profile
from tests.profiles import NAME, NOW, PLATFORM, all_gathered, clean, gathered, profile_of, reply, vat


def without(firm: dict[str, Any], dataset: str, *fields: str) -> list[Gathered]:
    """The firm's sources under a consent that does not cover these fields of this data set."""
    rows = [{k: v for k, v in row.items() if k not in fields} for row in firm[dataset]]
    sources = all_gathered({**firm, dataset: rows})
    return [
        replace(one, item=replace(one.item, fields=one.item.fields - set(fields), withheld=frozenset(fields)))
        if one.item.dataset == dataset
        else one
        for one in sources
    ]


def values(profile: dict[str, Any], section: str) -> dict[str, Any]:
    return {name: one["value"] for name, one in profile["sections"][section]["values"].items()}


def indicator(profile: dict[str, Any], name: str) -> Any:
    (found,) = [one for one in profile["indicators"] if one["name"] == name]
    return found["value"]


def outcomes(profile: dict[str, Any], rule: str, section: str) -> list[str]:
    return [f["outcome"] for f in profile["findings"] if f["rule"] == rule and section in f["sections"]]


CASE: Row = {
    "kind": "dishonest_debtor",
    "case_number": "(2025)虚9901执118号",
    "name": NAME,
    "role": "defendant",
    "closed": False,
}
BLACK: Row = {"kind": "black", "name": "失信被执行人", "listed_on": "2025-05-06"}
MORTGAGE: Row = {"unit_number": "990000000001GB00001F00010001", "secured_amount": "90000000", "current": False}


@pytest.mark.parametrize(
    ("dataset", "rows", "field", "unknown"),
    [
        ("judicial", [CASE], "kind", {"enforcement_open", "dishonest_open", "judgment_open"}),
        ("judicial", [CASE], "closed", {"enforcement_open", "dishonest_open", "judgment_open", "amount_open"}),
        ("credit_lists", [BLACK], "kind", {"black", "red"}),
        ("credit_lists", [BLACK], "removed_on", {"black", "red"}),
        ("abnormal_list", [{"listed_on": "2020-01-01"}], "removed_on", {"listed_now"}),
        ("mortgages", [MORTGAGE], "current", {"current", "secured_total"}),
        ("seizures", [{"unit_number": "990000000001GB00001F00010001", "current": False}], "current", {"current"}),
        ("real_estate", clean()["real_estate"], "current", {"count", "area_total", "assessed_total"}),
        ("permits", [{"document": "虚1"}], "valid_to", {"valid"}),
        ("receivables", [{"number": "1", "amount": "5", "outstanding": "5", "state": "settled"}], "state",
         {"unsettled", "amount_unsettled", "outstanding_total"}),
        ("guarantees", [{"number": "1", "amount": "5", "outstanding": "5", "state": "released"}], "state",
         {"active", "outstanding_total"}),
    ],
)  # fmt: skip
def test_a_count_or_total_is_unknown_where_the_consent_withholds_the_field_that_decides_it(
    monkeypatch: pytest.MonkeyPatch, dataset: str, rows: list[Row], field: str, unknown: set[str]
) -> None:
    monkeypatch.setitem(PLATFORM, dataset, PLATFORM.get(dataset, "a-platform"))
    firm = {dataset: rows}
    told = set(values(profile_of(firm), dataset))
    assert unknown & told
    assert not unknown & set(values(profile_of(without(firm, dataset, field)), dataset))
    nothing: dict[str, Any] = {dataset: []}
    assert set(values(profile_of(without(nothing, dataset, field)), dataset)) >= unknown & told


@pytest.mark.parametrize("field", ["role", "closed", "case_number"])
def test_open_litigation_is_unknown_without_the_fields_that_decide_it(field: str) -> None:
    firm = {"judicial": [CASE]}
    assert indicator(profile_of(firm), "litigation_open") == 1
    assert indicator(profile_of(without(firm, "judicial", field)), "litigation_open") is None


@pytest.mark.parametrize("dataset", ["real_estate", "mortgages"])
def test_encumbrance_is_unknown_where_history_cannot_be_told(dataset: str) -> None:
    assert indicator(profile_of(clean()), "encumbrance_ratio") == "0.6000"
    assert indicator(profile_of(without(clean(), dataset, "current")), "encumbrance_ratio") is None


@pytest.mark.parametrize(
    ("dataset", "field"),
    [("judicial", "kind"), ("judicial", "closed"), ("credit_lists", "kind"), ("credit_lists", "name"),
     ("credit_lists", "removed_on")],
)  # fmt: skip
def test_a_source_that_cannot_tell_neither_accuses_nor_clears(dataset: str, field: str) -> None:
    firm = {"judicial": [CASE], "credit_lists": [BLACK]}
    profile = profile_of(without(firm, dataset, field))
    assert outcomes(profile, "judicial", "credit_lists") == ["unknown"]
    # The other source is clean: still nothing can be concluded.
    other = "judicial" if dataset == "credit_lists" else "credit_lists"
    profile = profile_of(without({**firm, other: []}, dataset, field))
    assert outcomes(profile, "judicial", "credit_lists") == ["unknown"]


@pytest.mark.parametrize("field", ["kind", "closed", "role", "case_number"])
def test_declared_cases_are_not_held_against_records_that_cannot_tell(field: str) -> None:
    profile = profile_of(without({"judicial": [CASE]}, "judicial", field))
    assert "conflict" not in outcomes(profile, "judicial", "judicial")
    assert "consistent" not in outcomes(profile, "judicial", "judicial")


def test_one_telling_court_and_one_that_cannot_tell_give_no_conclusion() -> None:
    blind = without({"judicial": [CASE]}, "judicial", "closed")[0]
    clear = gathered("judicial", [{**CASE, "closed": True}], platform="b-court")
    assert "consistent" not in outcomes(
        profile_of([blind, clear, gathered("credit_lists", [])]), "judicial", "judicial"
    )


@pytest.mark.parametrize(("dataset", "field"), [("mortgages", "current"), ("real_estate", "current")])
def test_history_that_cannot_be_told_makes_no_property_conflict(dataset: str, field: str) -> None:
    firm = {
        **clean(),
        "mortgages": [MORTGAGE],
        "real_estate": [{**clean()["real_estate"][0], "current": False, "owner_uscc": "91990000MA0000025R"}],
    }
    profile = profile_of(without(firm, dataset, field))
    assert outcomes(profile, "property", dataset) == ["unknown"]
    assert "conflict" not in outcomes(profile, "unit", dataset)


def test_a_seizure_is_told_by_either_field_and_unknown_without_both() -> None:
    ended = {"unit_number": "990000000001GB00001F00010001", "seized_to": "2020-01-01", "current": False}
    firm = {"seizures": [ended]}
    assert outcomes(profile_of(without(firm, "seizures", "current")), "property", "seizures") == ["consistent"]
    assert outcomes(profile_of(without(firm, "seizures", "seized_to")), "property", "seizures") == ["consistent"]
    assert outcomes(profile_of(without(firm, "seizures", "current", "seized_to")), "property", "seizures") == [
        "unknown"
    ]


def test_another_name_is_no_conflict_where_former_names_are_withheld() -> None:
    firm = {"registration": [{**clean()["registration"][0], "name": "虚构新名（测试）有限公司"}]}
    assert "conflict" in outcomes(profile_of(firm), "identity", "registration")
    found = outcomes(profile_of(without(firm, "registration", "former_names")), "identity", "registration")
    assert "not_comparable" in found
    assert "conflict" not in found


@pytest.mark.parametrize("field", ["void", "correction", "filed_on"])
def test_returns_that_cannot_be_told_from_void_or_corrected_ones_give_no_figure(field: str) -> None:
    returns = [*vat(), {**vat()[-1], "sales": "99000000.00", "void": True}]
    firm = {"tax_returns": returns}
    assert values(profile_of(firm), "tax_returns")["revenue_12m"] == "12000000.00"
    assert values(profile_of(without(firm, "tax_returns", field)), "tax_returns") == {}


def test_red_invoices_with_a_sign_do_not_add_to_sales() -> None:
    rows = [{"month": "2026-10", "direction": "sales", "amount": "100", "red_amount": "-50"}]
    assert "sales_12m" not in values(profile_of({"invoices": rows}), "invoices")
    months = [{"month": f"2026-{n:02}", "direction": "sales", "amount": "100", "red_amount": "5"} for n in range(1, 11)]
    profile = profile_of({"invoices": [*months, {**months[-1], "red_amount": "-5"}], "tax_returns": vat("95", 10)})
    (span,) = {v["period"] for f in profile["findings"] if f["rule"] == "revenue" for v in f["values"] if v["period"]}
    assert span == "2026-01..2026-09"


# --- Connectors with code of their own ---

GOOD = reply([{"month": "2026-10", "persons": 4}])
ITEM = Item("a", "provident_fund", frozenset({"month", "persons", "state"}))


def odd(**changes: Any) -> Reply:
    return replace(GOOD, **changes)


def records(**fields: Any) -> Reply:
    return odd(records=({"month": "2026-10", "persons": 4, **fields},))


@pytest.mark.parametrize(
    "answer",
    [
        odd(found=Found.ABSENT),
        odd(found="found"),
        odd(records=list(GOOD.records)),
        odd(records=None),
        odd(records=("x",)),
        odd(as_of=NOW),
        odd(as_of="2026-10-31"),
        odd(fetched_at=None),
        odd(fetched_at=NOW.replace(tzinfo=None)),
        odd(attempts="3"),
        odd(attempts=-1),
        odd(raw_digest="x"),
        odd(repairs=(3,)),
        odd(repairs=("x" * 201,)),
        odd(drift=None),
        odd(drift={"x": "y"}),
        records(base="99"),
        records(persons=4.5),
        records(persons=-4),
        records(persons=10**40),
        records(persons="4"),
        records(month="2026-13"),
        records(state="\ud800"),
    ],
    ids=map(str, range(23)),
)
async def test_an_answer_out_of_form_is_its_connector_s_fault_and_gets_nowhere(answer: Reply) -> None:
    class Source:
        id, version, assurance = "a", "1", "assumed"
        datasets: Mapping[str, frozenset[str]] = {}

        def __init__(self, given: Reply) -> None:
            self.given = given

        async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
            return self.given

    planned = Plan((ITEM,), frozenset({ITEM.dataset}), {}, (2026, 9), (2026, 10))
    later = asyncio.get_running_loop().time() + 10
    subject = Subject("91990000MA0000017Y", NAME)
    (good,) = await collect(planned, {"a": Source(GOOD)}, subject, OpenGuard(), later)
    (bad,) = await collect(planned, {"a": Source(answer)}, subject, OpenGuard(), later)
    assert good.reply is GOOD
    assert (bad.reply, type(bad.error)) == (None, ConnectorFault)


# --- Two sources of one data set, every combination of outcomes ---

TIMEOUT, DENIED = UpstreamTimeout(), UpstreamDenied()
SOURCES: dict[str, Reply | UpstreamError] = {
    "present": reply([CASE]),
    "empty": reply([]),
    "partial": reply([CASE], found=Found.PARTIAL),
    "partial without rows": reply([], found=Found.PARTIAL),
    "found without rows": reply([], found=Found.FOUND),
    "down": TIMEOUT,
    "denied": DENIED,
}
ANSWERED = {"present", "empty"}


@pytest.mark.parametrize(("left", "right"), list(product(SOURCES, repeat=2)))
def test_a_section_of_two_sources_is_complete_only_when_both_answered(left: str, right: str) -> None:
    pair = [gathered("judicial", SOURCES[one], platform=name) for one, name in ((left, "a-court"), (right, "b-court"))]
    profile, turned = profile_of(pair), profile_of(pair[::-1])
    assert {k: v for k, v in profile.items() if k != "id"} == {k: v for k, v in turned.items() if k != "id"}
    Profile.model_validate_json(orjson.dumps(profile))
    both = {left, right} <= ANSWERED
    completeness = profile["completeness"]
    assert completeness["complete"] is both
    assert (completeness["answered"], "judicial" in completeness["missing"]) == (int(both), not both)
    section, counts = profile["sections"]["judicial"], values(profile, "judicial")
    if not {left, right} & ANSWERED:
        assert section["state"] not in ("present", "empty_confirmed", "stale")
        assert counts == {}
        assert indicator(profile, "litigation_open") is None
    if "present" not in (left, right) and "partial" in (left, right):
        assert indicator(profile, "litigation_open") is None
    assert len(section["records"]) == [left, right].count("present") + [left, right].count("partial")


def test_every_data_set_that_did_not_answer_leaves_every_indicator_unknown() -> None:
    for error in (TIMEOUT, DENIED):
        profile = profile_of(dict.fromkeys(clean(), error))
        assert {one["value"] for one in profile["indicators"]} == {None}
        assert all(section["values"] == {} for section in profile["sections"].values())
        assert {f["outcome"] for f in profile["findings"]} <= {"unknown", "not_comparable"}
    empty = profile_of({dataset: [] for dataset in clean()})
    assert indicator(empty, "litigation_open") == 0
    assert all(Decimal(str(v)) == 0 for s in empty["sections"] for v in values(empty, s).values())


# --- What the lender passes on ---


@pytest.mark.parametrize(
    "amount", ["abc", "NaN", "-5", "1e5", "1,000", "５", " 5", "5\n", "", "0123", "9" * 19, 5, 5.0]
)
@pytest.mark.parametrize("field", ["mortgage_amount", "guarantee_amount"])
def test_a_declared_amount_that_is_no_amount_is_refused_before_anything_is_asked(field: str, amount: object) -> None:
    with pytest.raises(ValidationError):
        Declared.model_validate_json(orjson.dumps({field: amount}))


@pytest.mark.parametrize("amount", ["0", "0.50", "6000000", "9" * 18])
def test_a_declared_amount_gives_a_profile(amount: str) -> None:
    declared = Declared.model_validate_json(orjson.dumps({"mortgage_amount": amount})).model_dump(exclude_none=True)
    Profile.model_validate_json(orjson.dumps(profile_of(clean(), declared=declared)))


def test_a_name_can_neither_steer_the_operator_s_terminal_nor_pass_as_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    profile = profile_of(clean())
    profile["subject"]["name"] = "虚构[red]甲[/nothing]\x1b[2J\x07\u202e乙"
    print_profile(profile)
    print_table("[x]", ("a",), [["\x1b]0;t\x07[/b]"]])
    shown = capsys.readouterr().out
    assert "虚构[red]甲[/nothing]" in shown
    assert "[/b]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
