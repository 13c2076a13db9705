"""The decision: every refusal, their order, and that nothing outside the consent is ever granted."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.policy import (
    Ask,
    Granted,
    PermitItem,
    Refused,
    Terms,
    View,
    check_grant,
    covered,
    decide,
    shown_state,
    standing,
)
from schemas.consent import ConsentState, PersonTerms, Scope
from schemas.errors import CONSENT_ERRORS, InvalidValue
from schemas.records import CATALOGUE
from tests.consent_world import ITEMS, LENDER, NAME, NOW, SCOPES, document, grant, person, uscc

ASK = Ask(LENDER, uscc(), NAME, "loan_review", ITEMS, (2025, 12), (2026, 11))
DIRECTOR = {"role": "director", "person_ref": "d-1", "identity_check": "video"}
OUTLET = {"id": "outlet-a", "name": "示例数据出口 (invented)"}
PERSONAL: dict[str, Any] = person()["scopes"][0]
LIMITS: dict[str, Any] = {"max_uses": 3, "frequency": {"uses": 2, "days": 7}}


def view(state: ConsentState = ConsentState.ACTIVE, uses: int = 0, recent: int = 0, **changes: Any) -> View:
    return View(Terms.of(document(**changes)), state, uses, recent)


def code(decision: Granted | Refused) -> str:
    return decision.code if isinstance(decision, Refused) else "granted"


def test_what_is_asked_and_agreed_is_granted() -> None:
    assert decide(view(), ASK, NOW) == Granted(ITEMS)


SENSITIVE = (PermitItem("sh-hrss", "social_insurance", frozenset({"month", "kind", "persons", "base"})),)
CASES: list[tuple[str, View | None, Ask, datetime]] = [
    ("consent_missing", None, ASK, NOW),
    ("consent_missing", view(), ASK._replace(lender="bank-b"), NOW),
    ("consent_revoked", view(ConsentState.REVOKED), ASK, NOW),
    ("consent_superseded", view(ConsentState.SUPERSEDED), ASK, NOW),
    ("consent_suspended", view(ConsentState.SUSPENDED), ASK, NOW),
    ("consent_pending", view(ConsentState.REQUESTED), ASK, NOW),
    ("consent_not_yet_valid", view(valid_from="2026-11-24T06:00:01+00:00"), ASK, NOW),
    ("consent_expired", view(valid_to="2026-11-24T06:00:00+00:00"), ASK, NOW),
    ("consent_subject_mismatch", view(), ASK._replace(uscc=uscc(1)), NOW),
    ("consent_subject_mismatch", view(), ASK._replace(name="另一家虚构企业"), NOW),
    ("consent_subject_mismatch", view(), ASK._replace(name="虚构***有限公司"), NOW),
    ("consent_purpose_mismatch", view(), ASK._replace(purpose="marketing"), NOW),
    ("consent_out_of_scope", view(), ASK._replace(items=()), NOW),
    ("consent_out_of_scope", view(), ASK._replace(items=(PermitItem("sh-tax", "registration", ITEMS[0].fields),)), NOW),
    ("consent_out_of_scope", view(), ASK._replace(items=(ITEMS[0]._replace(fields=frozenset()),)), NOW),
    ("consent_out_of_scope", view(), ASK._replace(items=(ITEMS[0]._replace(fields=frozenset({"address"})),)), NOW),
    ("consent_out_of_scope", view(), ASK._replace(first=(2024, 11)), NOW),
    ("consent_out_of_scope", view(), ASK._replace(first=(2026, 11), last=(2026, 10)), NOW),
    ("consent_separate_required", view(), ASK._replace(items=SENSITIVE), NOW),
    ("consent_exhausted", view(uses=3, **LIMITS), ASK, NOW),
    ("consent_frequency_exceeded", view(uses=2, recent=2, **LIMITS), ASK, NOW),
]


@pytest.mark.parametrize(("expected", "held", "ask", "now"), CASES)
def test_each_reason_has_its_own_code(expected: str, held: View | None, ask: Ask, now: datetime) -> None:
    assert code(decide(held, ask, now)) == expected


def test_every_code_of_the_error_tree_is_reachable() -> None:
    assert {case[0] for case in CASES} == set(CONSENT_ERRORS)


def test_the_look_back_counts_whole_months_in_shanghai() -> None:
    # As a request counts them (gateway.profile.request.months_back): 24 months are this one and the 23 before it.
    oldest = ASK._replace(first=(2024, 12))
    assert code(decide(view(), oldest, NOW)) == "granted"
    # 2026-11-30 16:00 UTC is already December in Shanghai.
    assert code(decide(view(), oldest, datetime.fromisoformat("2026-11-30T15:59:59+00:00"))) == "granted"
    late = decide(view(), oldest, datetime.fromisoformat("2026-11-30T16:00:00+00:00"))
    assert late == Refused("consent_out_of_scope", {"at": "period", "lookback_months": 24})


def test_a_sensitive_field_passes_with_its_separate_consent_or_when_it_is_not_asked() -> None:
    asked = ASK._replace(items=SENSITIVE)
    assert code(decide(view(separate_consents=["social_insurance"]), asked, NOW)) == "granted"
    assert decide(view(separate_consents=["provident_fund"]), asked, NOW) == Refused(
        "consent_separate_required", {"dataset": "social_insurance"}
    )
    assert code(decide(view(), ASK, NOW)) == "granted"


def test_a_retry_of_a_counted_use_is_not_stopped_by_the_counts_but_by_everything_else() -> None:
    used_up = view(uses=3, recent=2, **LIMITS)
    assert code(decide(used_up, ASK, NOW, counted=False)) == "granted"
    assert code(decide(view(ConsentState.REVOKED, 3, 2, **LIMITS), ASK, NOW, counted=False)) == "consent_revoked"


def test_the_name_is_compared_without_brackets_width_and_blanks() -> None:
    assert code(decide(view(), ASK._replace(name="虚构测试企业(上海) 有限公司"), NOW)) == "granted"


def test_scopes_of_one_place_add_up() -> None:
    scopes = [
        {"platform": "sh-registry", "dataset": "registration", "fields": ["uscc"]},
        {"platform": "sh-registry", "dataset": "registration", "fields": ["name"]},
    ]
    decision = decide(view(scopes=scopes), ASK, NOW)
    assert decision == Granted((ITEMS[0],))


# Worst first: (makes the view or the ask fail with this code), in the documented order.
FAULTS: list[tuple[str, Callable[[dict[str, Any], Ask], tuple[dict[str, Any], Ask]]]] = [
    ("consent_missing", lambda v, a: (v, a._replace(lender="bank-b"))),
    ("consent_revoked", lambda v, a: ({**v, "state": ConsentState.REVOKED}, a)),
    ("consent_expired", lambda v, a: ({**v, "valid_to": "2026-02-01T00:00:00+00:00"}, a)),
    ("consent_subject_mismatch", lambda v, a: (v, a._replace(uscc=uscc(1)))),
    ("consent_purpose_mismatch", lambda v, a: (v, a._replace(purpose="marketing"))),
    ("consent_out_of_scope", lambda v, a: (v, a._replace(first=(2020, 1)))),
    ("consent_exhausted", lambda v, a: ({**v, "uses": 3}, a)),
    ("consent_frequency_exceeded", lambda v, a: ({**v, "recent": 2}, a)),
]


@given(st.sets(st.integers(0, len(FAULTS) - 1), min_size=1))
@settings(max_examples=60, deadline=None)
def test_of_several_reasons_the_first_in_the_documented_order_is_given(chosen: set[int]) -> None:
    values, ask = dict(LIMITS), ASK
    for n in chosen:
        values, ask = FAULTS[n][1](values, ask)
    assert code(decide(view(**values), ask, NOW)) == FAULTS[min(chosen)][0]


datasets = st.sampled_from(sorted(CATALOGUE))
items = st.builds(
    lambda platform, dataset, picks: PermitItem(
        platform,
        dataset,
        frozenset(CATALOGUE[dataset].fields[n % len(CATALOGUE[dataset].fields)] for n in picks) | {"unknown_field"},
    ),
    st.sampled_from(["p-one", "p-two", "p-three"]),
    datasets,
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
)


@given(st.lists(items, min_size=1, max_size=6), st.lists(items, max_size=6))
@settings(max_examples=80, deadline=None)
def test_what_is_granted_is_never_more_than_what_was_agreed_nor_than_what_was_asked(
    agreed: list[PermitItem], asked: list[PermitItem]
) -> None:
    scopes = [
        {"platform": i.platform, "dataset": i.dataset, "fields": sorted(i.fields - {"unknown_field"})} for i in agreed
    ]
    terms = Terms.of(document(scopes=scopes, separate_consents=sorted(CATALOGUE)))
    decision = decide(View(terms, ConsentState.ACTIVE, 0, 0), ASK._replace(items=tuple(asked)), NOW)
    allowed = {(i.platform, i.dataset, f) for i in agreed for f in i.fields if f != "unknown_field"}
    wanted = {(i.platform, i.dataset, f) for i in asked for f in i.fields}
    if isinstance(decision, Granted):
        given_out = {(i.platform, i.dataset, f) for i in decision.items for f in i.fields}
        assert decision.items
        assert given_out == wanted & allowed
    else:
        assert decision.code == "consent_out_of_scope"
        assert not wanted & allowed


def test_nothing_is_covered_of_nothing() -> None:
    assert covered(Terms.of(document()).parts, ()).items == ()


def test_an_active_consent_shows_as_expired_or_exhausted_without_a_change() -> None:
    terms = Terms.of(document(max_uses=2))
    assert shown_state(terms, ConsentState.ACTIVE, 1, NOW) is ConsentState.ACTIVE
    assert shown_state(terms, ConsentState.ACTIVE, 2, NOW) is ConsentState.EXHAUSTED
    assert shown_state(terms, ConsentState.ACTIVE, 2, NOW + timedelta(days=365)) is ConsentState.EXPIRED
    assert shown_state(terms, ConsentState.REVOKED, 2, NOW) is ConsentState.REVOKED
    assert shown_state(Terms.of(document()), ConsentState.ACTIVE, 9, NOW) is ConsentState.ACTIVE


def test_a_standing_consent_has_no_code() -> None:
    assert standing(Terms.of(document()), ConsentState.ACTIVE, NOW) is None


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        ("subject.uscc", {"subject": {"uscc": uscc()[:-1] + ("1" if uscc()[-1] != "1" else "2"), "name": NAME}}),
        ("valid_to", {"valid_to": "2026-01-01T00:00:00+00:00"}),
        ("scopes[0].dataset", {"scopes": [{"platform": "p", "dataset": "horoscopes", "fields": ["x"]}]}),
        ("scopes[0].fields", {"scopes": [{"platform": "p", "dataset": "registration", "fields": ["all"]}]}),
        ("separate_consents", {"separate_consents": ["horoscopes"]}),
        ("scopes[1].via", {"scopes": [SCOPES[0], {**SCOPES[1], "via": ["outlet-b"]}], "intermediaries": [OUTLET]}),
        ("intermediaries", {"intermediaries": [OUTLET, {**OUTLET, "name": "别名 (invented)"}]}),
        ("signers", {"signers": [DIRECTOR, DIRECTOR]}),
        ("signers", {"signers": [DIRECTOR], "signers_required": 2}),
        ("persons[1].ref", {"persons": [person(0), person(0, evidence=person(1)["evidence"])]}),
        ("persons[0].evidence", {"persons": [person(0, evidence={"sha256": "1" * 64, "media_type": "a/b"})]}),
        ("persons[1].evidence", {"persons": [person(0), person(1, evidence=person(0)["evidence"])]}),
        ("persons[0].signer", {"persons": [person(0, signer=person(1)["signer"])]}),
        ("persons[0].scopes[0].fields", {"persons": [person(0, scopes=[{**PERSONAL, "fields": ["all"]}])]}),
        ("persons[0].scopes[0].via", {"persons": [person(0, scopes=[{**PERSONAL, "via": ["outlet-b"]}])]}),
        ("persons[0].separate_consents", {"persons": [person(0, separate_consents=["horoscopes"])]}),
    ],
)
def test_a_grant_that_could_never_be_honoured_is_refused_with_its_place(at: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_grant(grant(**changes))
    assert caught.value.details["at"] == at


def test_a_plain_grant_passes_the_check() -> None:
    check_grant(grant(separate_consents=["social_insurance"]))


def test_a_grant_with_two_directors_a_named_outlet_and_two_persons_passes_the_check() -> None:
    attorney = {**person(0)["signer"], "power_of_attorney": "9" * 64}
    check_grant(
        grant(
            signers=[DIRECTOR, {**DIRECTOR, "person_ref": "d-2"}],
            signers_required=2,
            intermediaries=[OUTLET],
            scopes=[{**SCOPES[0], "via": ["outlet-a"]}],
            persons=[person(0), person(1, signer=attorney, scopes=[{**PERSONAL, "via": ["outlet-a"]}])],
        )
    )


# --- Persons ----------------------------------------------------------------------------------------------

WHO, OTHER_WHO = "pseudonym-1", "pseudonym-2"
COURT = frozenset({"kind", "case_number"})
INSURED = frozenset({"month", "kind", "persons", "base"})


def with_persons(*persons: PersonTerms) -> View:
    return View(Terms.of(document().model_copy(update={"persons": list(persons)})), ConsentState.ACTIVE, 0, 0)


def part(subject: str = WHO, separate: list[str] | None = None, **scope: Any) -> PersonTerms:
    agreed = Scope.model_validate({**PERSONAL, **scope})
    return PersonTerms(
        role="actual_controller",
        subject=subject,
        scopes=[agreed],
        separate_consents=separate or [],
        part="0",
        document="0",
    )


def about(person: str | None, dataset: str = "judicial", fields: frozenset[str] = COURT) -> PermitItem:
    return PermitItem({"judicial": "sh-court"}.get(dataset, "sh-hrss"), dataset, fields, person)


def test_an_item_about_a_person_is_granted_by_that_persons_part() -> None:
    asked = ASK._replace(items=(*ITEMS, about(WHO)), persons=frozenset({WHO}))
    assert decide(with_persons(part()), asked, NOW) == Granted((*ITEMS, about(WHO)))
    more = asked._replace(items=(about(WHO, fields=COURT | {"amount"}),))
    assert decide(with_persons(part()), more, NOW) == Granted((about(WHO),))


@pytest.mark.parametrize("lent", [about(None), about(OTHER_WHO), about(WHO, "social_insurance", frozenset({"month"}))])
def test_no_part_lends_to_another(lent: PermitItem) -> None:
    held = with_persons(part(), part(OTHER_WHO, dataset="penalties", fields=["document"]))
    assert code(decide(held, ASK._replace(items=(lent,)), NOW)) == "consent_out_of_scope"


def test_a_person_who_is_named_without_a_part_or_without_anything_to_ask_is_out_of_scope() -> None:
    refused = Refused("consent_out_of_scope", {"at": "subject.persons"})
    named = ASK._replace(persons=frozenset({WHO}))
    assert decide(view(), named, NOW) == refused
    assert decide(with_persons(part()), named, NOW) == refused
    assert decide(with_persons(part()), named._replace(persons=frozenset({WHO, OTHER_WHO})), NOW) == refused


def test_the_separate_consent_of_the_enterprise_does_not_stand_for_a_persons() -> None:
    agreed = {"platform": "sh-hrss", "dataset": "social_insurance", "fields": sorted(INSURED)}
    asked = ASK._replace(items=(about(WHO, "social_insurance", INSURED),), persons=frozenset({WHO}))
    terms = document(separate_consents=["social_insurance"]).model_copy(update={"persons": [part(**agreed)]})
    decision = decide(View(Terms.of(terms), ConsentState.ACTIVE, 0, 0), asked, NOW)
    assert decision == Refused("consent_separate_required", {"dataset": "social_insurance"})
    assert code(decide(with_persons(part(separate=["social_insurance"], **agreed)), asked, NOW)) == "granted"


THROUGH = ITEMS[1]._replace(outlet="outlet-a")


def passed_on(*scopes: dict[str, Any], **changes: Any) -> View:
    outlets = [OUTLET, {**OUTLET, "id": "outlet-b"}]
    return view(scopes=[SCOPES[0], *scopes], intermediaries=outlets, **changes)


def test_an_item_through_an_outlet_needs_a_scope_that_names_the_outlet() -> None:
    asked = ASK._replace(items=(THROUGH,))
    assert code(decide(view(), asked, NOW)) == "consent_out_of_scope"
    assert code(decide(passed_on({**SCOPES[1], "via": ["outlet-b"]}), asked, NOW)) == "consent_out_of_scope"
    named = passed_on({**SCOPES[1], "via": ["outlet-b", "outlet-a"]})
    assert decide(named, asked, NOW) == Granted((THROUGH,))
    # The platform itself may be asked all the same.
    assert decide(named, ASK, NOW) == Granted(ITEMS)


def test_fields_agreed_for_one_way_are_not_lent_to_another() -> None:
    held = passed_on(
        {**SCOPES[1], "fields": ["month"], "via": ["outlet-a"]},
        {**SCOPES[1], "fields": ["kind"], "via": ["outlet-b"]},
        {**SCOPES[1], "fields": ["persons"]},
    )
    items = (ITEMS[1], THROUGH, THROUGH._replace(outlet="outlet-b"))
    assert covered(held.terms.parts, items).items == (
        ITEMS[1],
        THROUGH._replace(fields=frozenset({"month"})),
        THROUGH._replace(outlet="outlet-b", fields=frozenset({"kind"})),
    )


def test_an_outlet_that_a_persons_part_names_is_that_persons_alone() -> None:
    held = with_persons(part(via=["outlet-a"]))
    through = about(WHO)._replace(outlet="outlet-a")
    assert covered(held.terms.parts, (through, through._replace(outlet="outlet-b"))).items == (through,)
    assert covered(held.terms.parts, (through._replace(person=None),)).items == ()


def test_a_sensitive_field_through_an_outlet_needs_the_separate_consent_too() -> None:
    agreed = {**SCOPES[1], "fields": sorted(SENSITIVE[0].fields), "via": ["outlet-a"]}
    asked = ASK._replace(items=(SENSITIVE[0]._replace(outlet="outlet-a"),))
    assert code(decide(passed_on(agreed), asked, NOW)) == "consent_separate_required"
    assert code(decide(passed_on(agreed, separate_consents=["social_insurance"]), asked, NOW)) == "granted"
