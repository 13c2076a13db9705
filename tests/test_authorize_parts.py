"""The parts behind the authorisation pages: buckets, the sandbox's code, the text, and the words around it."""

import asyncio
import string
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize import buckets
from gateway.authorize.asked import ConsentAsk, agreed_scopes, check_ask, trial_grant
from gateway.authorize.buckets import Buckets
from gateway.authorize.desk import HERE, open_desk
from gateway.authorize.identity import Person, SandboxCode
from gateway.authorize.statement import statement_of
from gateway.authorize.words import WORDS, local_time, outcome_words
from schemas.errors import InvalidRequest, TooManyRequests
from schemas.profile import Both
from schemas.records import CATALOGUE
from tests.consent_world import NAME, NOW, uscc

PERSON = Person("r1", "visit", "u", "legal_representative", "p-1")
PLATFORMS = {"sh-hrss": {"zh": "人社", "en": "HRSS"}}
SCOPES = [
    {"platform": "sh-hrss", "dataset": name, "fields": list(data_set.fields)} for name, data_set in CATALOGUE.items()
]


def made(**changes: Any) -> ConsentAsk:
    return ConsentAsk.model_validate(
        {
            "subject": {"uscc": uscc(), "name": NAME},
            "signer": {"role": "legal_representative", "person_ref": "p-1"},
            "purpose": "loan_review",
            "purpose_text": Both(zh="贷款审批", en="Loan review"),
            "application": "LN-1",
            "scopes": SCOPES,
            "lookback_months": 12,
            "valid_days": 30,
            "retention_days": 100,
            "disposal": Both(zh="销毁", en="Destroyed"),
            **changes,
        }
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_then_one_at_a_time() -> None:
    clock = Clock()
    held = Buckets(3, 2.0, clock)
    for _ in range(3):
        held.take("a")
    with pytest.raises(TooManyRequests) as refused:
        held.take("a")
    assert refused.value.details["retry_after"] == 2
    held.take("b")
    clock.now = 2.0
    held.take("a")
    with pytest.raises(TooManyRequests):
        held.take("a")
    clock.now = 1000.0
    for _ in range(3):
        held.take("a")
    with pytest.raises(TooManyRequests):
        held.take("a")


def test_buckets_forget_who_was_longest_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "KEPT", 2)
    held = Buckets(1, 100.0, Clock())
    for key in ("a", "b", "c", "a"):
        held.take(key)
    with pytest.raises(TooManyRequests):
        held.take("c")


@given(
    answer=st.text(string.digits, min_size=6, max_size=6),
    minutes=st.integers(0, 60),
    other=st.sampled_from([{"request_id": "r2"}, {"visit": "else"}]),
)
@settings(max_examples=50, deadline=None)
def test_the_sandbox_code_is_of_one_request_one_visit_and_some_minutes(
    answer: str, minutes: int, other: dict[str, str]
) -> None:
    async def go() -> None:
        check = SandboxCode(b"secret")
        code = await check.begin(PERSON, NOW)
        assert code is not None
        assert len(code) == 6
        later = NOW + timedelta(minutes=minutes)
        assert await check.holds(PERSON, f" {code} ", later) == (minutes < 20)
        before = await check.begin(PERSON, NOW - timedelta(minutes=10))
        assert await check.holds(PERSON, answer, NOW) == (answer in {code, before})
        assert await SandboxCode(b"other").begin(PERSON, NOW) != code
        someone = Person(**{f: getattr(PERSON, f) for f in ("request_id", "visit", "uscc", "role", "ref")} | other)
        assert await check.begin(someone, NOW) != code

    asyncio.run(go())


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_text_names_every_data_set_and_field_that_is_asked(language: Any) -> None:
    statement = statement_of(made(), "银行 Bank", PLATFORMS, language)
    for data_set in CATALOGUE.values():
        assert (data_set.zh if language == "zh" else data_set.en) in statement.text
        for info in data_set.model.model_fields.values():
            extra = cast(dict[str, Any], info.json_schema_extra)
            assert (extra["zh"] if language == "zh" else str(info.title)) in statement.text
    assert [name for name, _ in statement.separate] == [n for n, d in CATALOGUE.items() if d.sensitive]
    assert statement.version == f"page-1-{language}"


@given(
    st.sampled_from(["purpose", "application", "disposal", "recipients", "lender", "scopes", "lookback_months"]),
    st.sampled_from(["zh", "en"]),
)
@settings(max_examples=30, deadline=None)
def test_whatever_is_asked_otherwise_is_another_text(part: str, language: Any) -> None:
    changes: dict[str, Any] = {
        "purpose": {"purpose_text": Both(zh="营销", en="Marketing")},
        "application": {"application": "LN-2"},
        "disposal": {"disposal": Both(zh="保留", en="Kept")},
        "recipients": {"recipients": ["另一家"]},
        "lender": {},
        "scopes": {"scopes": SCOPES[1:]},
        "lookback_months": {"lookback_months": 13},
    }
    other = statement_of(made(**changes[part]), "Other" if part == "lender" else "Bank", PLATFORMS, language)
    assert other.sha256 != statement_of(made(), "Bank", PLATFORMS, language).sha256


def test_a_platform_that_is_not_known_any_more_is_shown_by_its_id() -> None:
    assert "sh-hrss: " in statement_of(made(), "Bank", {}, "en").text


def test_without_separate_consents_no_sensitive_field_is_left() -> None:
    ask = made()
    assert agreed_scopes(ask, ask.sensitive) == ask.scopes
    for scope in agreed_scopes(ask, ()):
        assert not CATALOGUE[scope.dataset].sensitive & set(scope.fields)
    assert trial_grant(ask, "bank-a", NOW).separate_consents == sorted(ask.sensitive)


@pytest.mark.parametrize("unseen", ["\x00", "\n", "\u202e", "\u200b", "\ue000", "\u2028", "\ufeff"])
def test_text_with_characters_that_are_not_seen_is_refused_with_its_place(unseen: str) -> None:
    offers = {"sh-hrss": dict.fromkeys(CATALOGUE, frozenset[str]())}
    check_ask(made(), offers)
    with pytest.raises(InvalidRequest) as refused:
        check_ask(made(subject={"uscc": uscc(), "name": NAME + unseen}), offers)
    assert refused.value.details["at"] == "subject.name"


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["zh"].keys() == WORDS["en"].keys()
    for word in WORDS["zh"]:
        fields = [{n for _, n, _, _ in string.Formatter().parse(WORDS[lang][word]) if n} for lang in ("zh", "en")]
        assert fields[0] == fields[1], word


def test_an_outcome_is_told_in_words_and_an_unknown_one_by_its_code() -> None:
    assert outcome_words("issued", "zh") == "已生成画像"
    assert outcome_words("consent_revoked", "en") == "The enterprise has withdrawn the consent"
    assert outcome_words("deadline_exceeded", "zh")
    assert outcome_words("no_such_code", "en") == "no_such_code"
    assert local_time("2026-11-24T17:30:00.000+00:00", "zh") == "2026-11-25 01:30（北京时间）"


@pytest.mark.parametrize(("production", "name"), [(True, None), (False, "sandbox_code")])
def test_in_production_the_sandbox_code_does_not_stand_in(production: bool, name: str | None) -> None:
    services: Any = SimpleNamespace(
        keys=SimpleNamespace(pseudonym=bytes(32)), settings=SimpleNamespace(production=production), connectors={}
    )
    desk = open_desk(services, None)
    assert (desk.identity.name if desk.identity else None) == name
    given_one = SandboxCode(b"x")
    assert open_desk(services, given_one).identity is given_one
    assert desk.form_secret("a", "b") != desk.form_secret("a", "c")


def test_every_template_is_escaped_and_none_says_that_something_is_safe() -> None:
    services: Any = SimpleNamespace(
        keys=SimpleNamespace(pseudonym=bytes(32)), settings=SimpleNamespace(production=False), connectors={}
    )
    assert open_desk(services, None).templates.autoescape is True
    for path in (HERE / "templates").iterdir():
        assert "safe" not in path.read_text("utf-8"), path.name
