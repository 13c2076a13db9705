"""connectors.engine.rules: paths, typed equality, and what a reply is."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.decoding import MISSING, compile_decoder
from connectors.engine.rules import Verdict, any_of, compile_judge, compile_path, compile_rule, is_empty, same
from connectors.wire import WireReply
from schemas.errors import (
    UpstreamBusy,
    UpstreamDenied,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamStatus,
    UpstreamUnrecognised,
)
from schemas.manifest import Outcome, Rule

TREE = {"head": {"rtn": "0", "n": 0, "ok": True, "gone": None, "text": "  "}, "list": [], "one": [1]}
NOW = 1795500000.0


def rule(**keys: Any) -> Rule:
    return Rule.model_validate(keys)


def test_a_path_is_plain_keys_and_anything_else_on_the_way_is_missing() -> None:
    assert compile_path("head.rtn")(TREE) == "0"
    assert compile_path("")(TREE) is TREE
    assert compile_path("head.rtn.x")(TREE) is MISSING
    assert compile_path("list.0")(TREE) is MISSING
    assert compile_path("nowhere")(TREE) is MISSING


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["0", "1", "", "True"]) | st.decimals(0, 2)


@given(a=scalars, b=scalars)
def test_equality_is_typed(a: object, b: object) -> None:
    assert same(a, b) == (repr(type(a)) == repr(type(b)) and a == b)


@pytest.mark.parametrize(
    ("keys", "holds"),
    [
        ({"at": "head.rtn", "equals": "0"}, True),
        ({"at": "head.rtn", "equals": 0}, False),
        ({"at": "head.n", "equals": 0}, True),
        ({"at": "head.n", "equals": False}, False),
        ({"at": "head.ok", "equals": True}, True),
        ({"at": "head.ok", "equals": 1}, False),
        ({"at": "head.rtn", "one_of": ["1", "0"]}, True),
        ({"at": "head.rtn", "one_of": ["1", 0]}, False),
        ({"at": "head.gone", "is": "missing"}, True),
        ({"at": "head.none", "is": "missing"}, True),
        ({"at": "head.text", "is": "missing"}, False),
        ({"at": "head.text", "is": "empty"}, True),
        ({"at": "list", "is": "empty"}, True),
        ({"at": "one", "is": "empty"}, False),
        ({"at": "head.n", "is": "empty"}, False),
        ({"at": "head.rtn", "is": "present"}, True),
        ({"at": "head.gone", "is": "present"}, False),
        ({"status": 200}, True),
        ({"status": 404}, False),
        ({"status": 404, "at": "head.rtn", "equals": "0"}, False),
        ({"at": "head.rtn", "equals": "0", "and": [{"at": "head.n", "equals": 0}]}, True),
        ({"at": "head.rtn", "equals": "0", "and": [{"at": "head.n", "equals": 1}]}, False),
    ],
)
def test_every_condition_of_a_rule_must_hold(keys: dict[str, Any], holds: bool) -> None:
    assert compile_rule(rule(**keys))(TREE, 200) is holds


def test_one_rule_of_several_is_enough_and_none_is_not() -> None:
    first, second = rule(at="head.rtn", equals="9"), rule(at="head.n", equals=0)
    assert any_of([first, second])(TREE, 200)
    assert not any_of([first])(TREE, 200)
    assert not any_of([])(TREE, 200)


def test_empty_is_no_value_and_zero_and_false_are_values() -> None:
    blank: list[Any] = [None, MISSING, "", " \u3000", [], {}]
    assert all(is_empty(v) for v in blank)
    assert not any(is_empty(v) for v in (0, False, "0", [None], Decimal(0)))


OUTCOME = Outcome.model_validate(
    {
        "status": [200, 404],
        "code": "code",
        "denied": [{"at": "code", "equals": "sign"}, {"status": 418}],
        "retry": [{"at": "code", "equals": "busy", "after": "wait"}, {"status": 420}],
        "no_record": [{"at": "total", "equals": 0, "and": [{"at": "code", "equals": "0"}]}, {"status": 410}],
        "success": [{"at": "code", "equals": "0"}],
    }
)
PENDING = [rule(at="code", equals="wait"), rule(status=202)]
JUDGE = compile_judge(OUTCOME, compile_decoder(("utf-8",), ("json",)), PENDING)


def judge(tree: Any, status: int = 200, **headers: str) -> Verdict:
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return JUDGE.judge(WireReply(status, named, body), NOW)[0]


def test_success_no_record_and_pending_are_what_a_rule_says() -> None:
    assert judge({"code": "0", "total": 1}) is Verdict.SUCCESS
    assert judge({"code": "0", "total": 0}) is Verdict.NO_RECORD
    assert judge({"code": "0", "total": 0}, 404) is Verdict.NO_RECORD
    assert judge({"code": "wait"}) is Verdict.PENDING
    assert judge(b"anything", 410) is Verdict.NO_RECORD
    assert judge(b"anything", 202) is Verdict.PENDING


def test_a_failure_that_also_says_zero_rows_is_a_failure() -> None:
    with pytest.raises(UpstreamRejected) as caught:
        judge({"code": "500", "total": 0})
    assert caught.value.details == {"platform_code": "500"}
    with pytest.raises(UpstreamRejected):
        judge({"code": 0, "total": 0})


@pytest.mark.parametrize("code", ["a b", "x" * 33, "张三", None, True, 1.5, ["0"]])
def test_only_what_looks_like_a_code_is_repeated_in_an_error(code: Any) -> None:
    with pytest.raises(UpstreamUnrecognised) as caught:
        judge({"code": code})
    assert caught.value.details == {"status": 200}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, UpstreamDenied),
        (403, UpstreamDenied),
        (418, UpstreamDenied),
        (420, UpstreamBusy),
        (429, UpstreamBusy),
        (503, UpstreamBusy),
        (500, UpstreamServerError),
        (400, UpstreamStatus),
        (201, UpstreamStatus),
    ],
)
def test_a_status_that_is_not_read_has_its_own_meaning(status: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        judge({"code": "0", "total": 0}, status)
    assert type(caught.value) is error


def test_a_refusal_of_ours_is_denied_before_anything_else() -> None:
    with pytest.raises(UpstreamDenied) as caught:
        judge({"code": "sign", "total": 0})
    assert caught.value.details == {"platform_code": "sign"}


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(3, 3), ("3", 3), (2.5, 2), (-1, None), (True, None), ("soon", None), ("٣", None), (10**6, None)],
)
def test_a_busy_platform_s_wish_is_read_where_it_makes_sense(wait: Any, seconds: int | None) -> None:
    with pytest.raises(UpstreamBusy) as caught:
        judge({"code": "busy", "wait": wait})
    assert caught.value.details.get("retry_after") == seconds


@pytest.mark.parametrize("status", [420, 429, 503])
def test_retry_after_of_http_is_read_too(status: int) -> None:
    with pytest.raises(UpstreamBusy) as caught:
        judge(b"", status, retry_after="7")
    assert caught.value.details == {"status": status, "retry_after": 7}


@pytest.mark.parametrize("body", [b"", b"<html><body>login</body></html>", b'"text"x', b"[1"])
def test_what_is_not_the_declared_form_is_malformed_and_never_no_record(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        judge(body)


def test_a_code_of_digits_is_named_as_text() -> None:
    with pytest.raises(UpstreamRejected) as caught:
        judge({"code": 500})
    assert caught.value.details == {"platform_code": "500"}


def test_without_a_code_path_or_a_wait_path_an_error_says_less() -> None:
    plain = Outcome.model_validate({"retry": [{"at": "busy", "equals": True}], "success": [{"at": "ok", "equals": 1}]})
    bare = compile_judge(plain, compile_decoder(("utf-8",), ("json",)))
    with pytest.raises(UpstreamBusy) as caught:
        bare.judge(WireReply(200, {}, b'{"busy": true}'), NOW)
    assert caught.value.details == {}
    with pytest.raises(UpstreamUnrecognised):
        bare.judge(WireReply(200, {}, b"{}"), NOW)
