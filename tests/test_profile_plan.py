"""What is asked of whom: gateway.profile.plan."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.profile.plan import plan
from schemas.consent import Consent
from schemas.errors import InvalidRequest
from schemas.profile import State
from schemas.records import CATALOGUE
from tests.profiles import NAME, USCC

FIRST, LAST = (2024, 12), (2026, 11)


def consent(*scopes: tuple[str, str, list[str]]) -> Consent:
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
                "scopes": [{"platform": p, "dataset": d, "fields": f} for p, d, f in scopes],
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
