"""What is asked of whom: gateway.profile.plan."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.policy import PermitItem
from gateway.profile.plan import Plan, Strategy, Way, plan, within
from schemas.consent import Consent
from schemas.errors import InvalidRequest
from schemas.profile import State
from schemas.records import CATALOGUE
from tests.profiles import NAME, USCC

FIRST, LAST = (2024, 12), (2026, 11)


def consent(*scopes: tuple[str, str, list[str]], via: tuple[str, ...] = ()) -> Consent:
    return Consent.model_validate_json(
        json.dumps(
            {
                "subject": {"uscc": USCC, "name": NAME},
                "signers": [{"role": "legal_representative", "person_ref": "r-1", "identity_check": "in_person"}],
                "grantee": "test-bank",
                "purpose": "loan_origination",
                "application": "a-1",
                "text_version": "1",
                "text_sha256": "ab" * 32,
                "scopes": [{"platform": p, "dataset": d, "fields": f, "via": list(via)} for p, d, f in scopes],
                "intermediaries": [{"id": outlet, "name": "outlet (invented)"} for outlet in via],
                "lookback_months": 24,
                "valid_from": "2026-11-01T00:00:00.000+00:00",
                "valid_to": "2027-11-01T00:00:00.000+00:00",
                "retention_days": 1825,
                "disposal": "destroyed",
                "revocation_effect": "nothing more is queried",
                "channel": "branch",
                "given_at": "2026-11-01T00:00:00.000+00:00",
                "evidence": {"sha256": "cd" * 32, "media_type": "application/pdf"},
                "id": "c-1",
                "version": 1,
                "state": "active",
                "uses": 0,
                "registered_at": "2026-11-01T00:00:00.000+00:00",
            }
        )
    )


OFFERS = {
    "sh-hrss": {"social_insurance": frozenset({"month", "kind", "persons", "base"})},
    "sh-tax": {"tax_returns": frozenset({"tax", "sales"}), "invoices": frozenset({"month", "amount"})},
    "sh-ywtb": {"social_insurance": frozenset({"month", "persons"})},
}


def test_an_item_names_the_fields_that_the_platform_has_and_the_consent_withholds() -> None:
    planned = plan(consent(("sh-hrss", "social_insurance", ["month", "persons", "arrears"])), None, OFFERS, FIRST, LAST)
    assert [i.withheld for i in planned.items] == [frozenset({"kind", "base"})]


def test_an_item_holds_the_fields_that_are_both_consented_and_offered() -> None:
    planned = plan(consent(("sh-hrss", "social_insurance", ["month", "persons", "arrears"])), None, OFFERS, FIRST, LAST)
    assert [(i.platform, i.dataset, i.fields) for i in planned.items] == [
        ("sh-hrss", "social_insurance", frozenset({"month", "persons"}))
    ]
    assert planned.items[0].source == "sh-hrss/social_insurance"
    assert (planned.first, planned.last) == (FIRST, LAST)


def test_two_scopes_of_one_platform_and_data_set_add_up() -> None:
    both = consent(("sh-hrss", "social_insurance", ["month"]), ("sh-hrss", "social_insurance", ["persons"]))
    assert plan(both, None, OFFERS, FIRST, LAST).items[0].fields == {"month", "persons"}


def test_several_platforms_may_give_one_data_set_and_stand_in_order_of_their_names() -> None:
    two = consent(("sh-ywtb", "social_insurance", ["persons"]), ("sh-hrss", "social_insurance", ["persons"]))
    assert [i.platform for i in plan(two, None, OFFERS, FIRST, LAST).items] == ["sh-hrss", "sh-ywtb"]


def test_a_data_set_that_was_asked_and_is_not_consented_is_out_of_scope() -> None:
    planned = plan(consent(("sh-hrss", "social_insurance", ["month"])), ["tax_returns"], OFFERS, FIRST, LAST)
    assert planned.items == ()
    assert planned.absent["tax_returns"] == (State.OUT_OF_SCOPE, "consent_out_of_scope")
    assert planned.absent["social_insurance"] == (State.NOT_REQUESTED, None)
    assert planned.asked == {"tax_returns"}


@pytest.mark.parametrize(
    "scope",
    [
        ("sh-nobody", "social_insurance", ["month"]),
        ("sh-tax", "social_insurance", ["month"]),
        ("sh-hrss", "social_insurance", ["arrears"]),
    ],
    ids=["no such connector", "another platform's data set", "no consented field offered"],
)
def test_a_data_set_that_no_connector_can_give_is_unavailable(scope: tuple[str, str, list[str]]) -> None:
    planned = plan(consent(scope), None, OFFERS, FIRST, LAST)
    assert planned.items == ()
    assert planned.absent["social_insurance"] == (State.UNAVAILABLE, "no_connector")
    assert planned.asked == {"social_insurance"}


def test_a_data_set_outside_the_catalogue_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        plan(consent(("sh-hrss", "social_insurance", ["month"])), ["horoscopes"], OFFERS, FIRST, LAST)


def test_a_scope_about_no_data_set_of_the_catalogue_covers_nothing() -> None:
    planned = plan(
        consent(("sh-hrss", "horoscopes", ["month"])),
        None,
        {"sh-hrss": {"horoscopes": frozenset({"month"})}},
        FIRST,
        LAST,
    )
    assert (planned.items, planned.asked) == ((), frozenset())


NAMES = st.sampled_from(sorted(CATALOGUE)[:6])
PLATFORMS = st.sampled_from(["a", "b", "c"])
FIELDS = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3)


@given(
    scopes=st.lists(st.tuples(PLATFORMS, NAMES, FIELDS), min_size=1, max_size=6),
    offers=st.dictionaries(PLATFORMS, st.dictionaries(NAMES, FIELDS.map(frozenset), max_size=4), max_size=3),
    asked=st.none() | st.lists(NAMES, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_a_plan_never_leaves_the_consent_and_names_every_data_set_once(
    scopes: list[tuple[str, str, list[str]]], offers: Any, asked: list[str] | None
) -> None:
    planned = plan(consent(*scopes), asked, offers, FIRST, LAST)
    for item in planned.items:
        allowed = {f for p, d, fields in scopes if (p, d) == (item.platform, item.dataset) for f in fields}
        assert item.fields
        assert item.fields <= allowed & offers[item.platform][item.dataset]
        assert asked is None or item.dataset in asked
    assert {i.dataset for i in planned.items}.isdisjoint(planned.absent)
    assert {i.dataset for i in planned.items} | set(planned.absent) == set(CATALOGUE)


OUTLETS = frozenset({"sh-ywtb"})
PERSONS = ("sh-hrss", "social_insurance", ["month", "persons"])


def ways(*texts: str) -> Strategy:
    parts = (text.partition(" via ") for text in texts)
    return Strategy({"social_insurance": tuple(Way(p, o or None) for p, _, o in parts)}, frozenset({"sh-x"}), OUTLETS)


def test_an_outlet_is_not_asked_by_itself_even_where_a_consent_names_it_as_a_platform() -> None:
    both = consent(PERSONS, ("sh-ywtb", "social_insurance", ["persons"]))
    assert [i.platform for i in plan(both, None, OFFERS, FIRST, LAST, Strategy(outlets=OUTLETS)).items] == ["sh-hrss"]


def test_a_data_set_goes_through_the_outlet_where_settings_say_so_and_the_consent_names_it() -> None:
    planned = plan(consent(PERSONS, via=("sh-ywtb",)), None, OFFERS, FIRST, LAST, ways("sh-hrss via sh-ywtb"))
    (item,) = planned.items
    assert (item.platform, item.outlet, item.connector) == ("sh-hrss", "sh-ywtb", "sh-ywtb")
    assert (item.source, item.fallback) == ("sh-hrss/social_insurance", False)
    assert item.fields == {"month", "persons"}


@pytest.mark.parametrize("via", [(), ("another",)])
def test_an_outlet_that_the_consent_does_not_name_is_out_of_scope(via: tuple[str, ...]) -> None:
    planned = plan(consent(PERSONS, via=via), None, OFFERS, FIRST, LAST, ways("sh-hrss via sh-ywtb"))
    assert planned.items == ()
    assert planned.absent["social_insurance"] == (State.OUT_OF_SCOPE, "consent_out_of_scope")


def test_ways_are_tried_in_the_operators_order_and_all_but_the_first_are_fallbacks() -> None:
    strategy = ways("sh-hrss via sh-ywtb", "sh-hrss")
    planned = plan(consent(PERSONS, via=("sh-ywtb",)), None, OFFERS, FIRST, LAST, strategy)
    assert [(i.connector, i.fallback) for i in planned.items] == [("sh-ywtb", False), ("sh-hrss", True)]
    planned = plan(consent(PERSONS), None, OFFERS, FIRST, LAST, strategy)
    assert [(i.connector, i.fallback) for i in planned.items] == [("sh-hrss", False)]


def test_an_ailing_way_is_asked_after_the_others_and_alone_it_is_asked_all_the_same() -> None:
    strategy, named = ways("sh-hrss via sh-ywtb", "sh-hrss"), consent(PERSONS, via=("sh-ywtb",))
    planned = plan(named, None, OFFERS, FIRST, LAST, strategy, frozenset({"sh-ywtb"}))
    assert [(i.connector, i.fallback) for i in planned.items] == [("sh-hrss", False), ("sh-ywtb", True)]
    for ailing in ({"sh-hrss"}, {"sh-hrss", "sh-ywtb"}):
        planned = plan(named, None, OFFERS, FIRST, LAST, strategy, frozenset(ailing))
        assert [(i.connector, i.fallback) for i in planned.items] == [("sh-ywtb", False), ("sh-hrss", True)]


def test_a_platform_that_the_order_leaves_out_is_not_asked() -> None:
    offers = OFFERS | {"sh-x": {"social_insurance": frozenset({"persons"})}}
    both = consent(PERSONS, ("sh-x", "social_insurance", ["persons"]))
    planned = plan(both, None, offers, FIRST, LAST, ways("sh-x"))
    assert [(i.platform, i.optional) for i in planned.items] == [("sh-x", True)]


def test_a_way_without_a_connector_is_not_asked_and_says_so() -> None:
    planned = plan(consent(PERSONS), None, {}, FIRST, LAST, ways("sh-hrss"))
    assert planned.absent["social_insurance"] == (State.UNAVAILABLE, "no_connector")


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["sh-hrss", "sh-x", "sh-hrss via sh-ywtb", "sh-x via sh-ywtb"]), min_size=1, unique=True),
    st.booleans(),
    st.sets(st.sampled_from(["month", "persons", "base"]), min_size=1),
)
def test_no_order_leads_outside_the_consent(order: list[str], named: bool, fields: set[str]) -> None:
    offers = OFFERS | {"sh-x": {"social_insurance": frozenset({"persons", "base"})}}
    given_ = consent(("sh-hrss", "social_insurance", sorted(fields)), via=("sh-ywtb",) if named else ())
    for item in plan(given_, None, offers, FIRST, LAST, ways(*order)).items:
        assert item.platform == "sh-hrss"
        assert item.fields <= fields
        assert item.outlet is None or named


def granted_of(planned: Plan, **changes: Any) -> list[PermitItem]:
    asked = [PermitItem(i.platform, i.dataset, i.fields, None, i.outlet) for i in planned.items]
    return [item._replace(**changes) for item in asked]


def test_what_is_asked_is_what_was_granted_for_just_that_way() -> None:
    strategy = ways("sh-hrss via sh-ywtb", "sh-hrss")
    planned = plan(consent(PERSONS, via=("sh-ywtb",)), None, OFFERS, FIRST, LAST, strategy)
    passed_on, direct = granted_of(planned)
    assert within(planned, [passed_on, direct]) == planned
    (left,) = within(planned, [direct]).items
    assert (left.outlet, left.fallback) == (None, False)
    (left,) = within(planned, [passed_on._replace(fields=frozenset({"month"}))]).items
    assert (left.outlet, set(left.fields)) == ("sh-ywtb", {"month"})
    assert left.withheld == {"persons", *planned.items[0].withheld}
    assert [i.fallback for i in within(planned, [passed_on, direct]).items] == [False, True]


def test_a_data_set_without_a_granted_way_is_out_of_scope() -> None:
    planned = plan(consent(PERSONS), None, OFFERS, FIRST, LAST)
    for lent in ([], granted_of(planned, outlet="sh-ywtb"), granted_of(planned, person="someone")):
        left = within(planned, lent)
        assert left.items == ()
        assert left.absent["social_insurance"] == (State.OUT_OF_SCOPE, "consent_out_of_scope")
