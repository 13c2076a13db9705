"""The platforms' verifiers against the published answers, and what windows and nonces let through."""

import hashlib
import hmac
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sandbox import verify
from connectors.sandbox.nonces import NonceFile
from connectors.sandbox.verify import Nonces, Refused, Why


def why(call) -> Why:  # type: ignore[no-untyped-def]
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.why


def test_tif_gives_the_published_answer() -> None:
    right = "b3a106ee8c31daebea0e6f9180ea48eae2461e299b64a0c26316b3da38daa65f"
    assert verify.tif("test-token", "1700000000", "abc123nonce") == right


def test_national_gives_the_published_answer() -> None:
    right = "63xR17hACSJcpKxvj3LhDJXhtA6WFwGAg3Yx/Wnu7vI="
    assert verify.national("test-secret", "s_test_001", "rid-001", "1700000000000") == right


def test_bg_gives_the_published_answer_whatever_the_order_of_the_query() -> None:
    path, when = "/restapi/prod/IC33000020211105003270/post", "Tue, 09 Nov 2021 08:49:20 GMT"
    right = "KJJG0L/1ilAOrfHxAsJR67f6oVm38fwREEp9hFnAcis="
    assert verify.bg("tet", "POST", path, "test=123&v=123", "test", when) == right
    assert verify.bg("tet", "POST", path, "v=123&test=123", "test", when) == right


def test_bg_writes_an_empty_value_with_its_equals_sign_and_an_empty_query_as_nothing() -> None:
    def right(query: str) -> str:
        text = f"GET\n/p\n{query}\nak\nd\n"
        return b64encode(hmac.digest(b"sk", text.encode(), "sha256")).decode()

    assert verify.bg("sk", "GET", "/p", "b=&a", "ak", "d") == right("a=&b=")
    assert verify.bg("sk", "GET", "/p", "", "ak", "d") == right("")


def test_ccrc_signs_method_path_time_nonce_and_digest_of_the_body() -> None:
    text = f"POST\n/p\n1\nn\n{hashlib.sha256(b'body').hexdigest()}"
    right = b64encode(hmac.digest(b"key", text.encode(), "sha256")).decode()
    assert verify.ccrc("key", "POST", "/p", "1", "n", b"body") == right


def test_sorted_parameters_drops_the_signature_and_empty_values() -> None:
    assert verify.sorted_parameters({"b": "2", "a": "1", "sign": "x", "e": "", "B": "0"}, "sign") == "B=0&a=1&b=2"


def test_a_time_is_fresh_inside_its_window_only() -> None:
    for age in (-1, 0, 179.9):
        verify.fresh(1000.0, 1000.0 - age, 180, 1)
    for age in (-1.5, 180, 10_000):
        assert why(lambda age=age: verify.fresh(1000.0, 1000.0 - age, 180, 1)) is Why.STALE


def test_a_time_that_is_no_number_is_stale() -> None:
    assert verify.unix("1700000000") == 1700000000
    assert verify.unix("1700000000500", 1000) == 1700000000.5
    for text in ("", "-1", "1.5", "１７", "9" * 17, "NaN"):
        assert why(lambda text=text: verify.unix(text)) is Why.STALE


def test_a_nonce_works_once_and_again_when_it_is_forgotten() -> None:
    nonces = Nonces(600)
    nonces.use("a", 1000.0)
    nonces.use("b", 1000.0)
    assert why(lambda: nonces.use("a", 1599.0)) is Why.REPLAYED
    nonces.use("a", 1600.0)
    assert why(lambda: nonces.use("a", 1601.0)) is Why.REPLAYED


def test_nonces_in_a_file_outlive_the_one_who_saw_them_and_leave_it_in_time(tmp_path: Path) -> None:
    path = tmp_path / "nonces.sqlite"
    first, second = NonceFile(path), NonceFile(path)
    first.of("a", 600).use("n", 1000.0)
    assert why(lambda: second.of("a", 600).use("n", 1599.0)) is Why.REPLAYED
    second.of("b", 600).use("n", 1599.0)
    second.of("a", 600).use("n", 1600.0)
    first.close()
    second.close()
    third = NonceFile(path)
    assert why(lambda: third.of("a", 600).use("n", 1601.0)) is Why.REPLAYED
    third.of("a", 600).use("m", 2200.0)
    third.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT application, nonce FROM nonce ORDER BY 1").fetchall() == [("a", "m"), ("b", "n")]


def test_a_time_of_shanghai_is_read_strictly() -> None:
    assert verify.shanghai("20261124140000") == 1795500000.0
    assert verify.shanghai_text(1795500000.0) == "20261124140000"
    assert why(lambda: verify.shanghai("today")) is Why.STALE


def test_old_nonces_leave_the_memory() -> None:
    nonces = Nonces(10)
    for second in range(100):
        nonces.use(f"n{second}", float(second))
    assert len(nonces) == 10


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), max_size=30))
def test_no_nonce_passes_twice_within_its_time(uses: list[tuple[str, int]]) -> None:
    nonces, now, passed = Nonces(8), 0.0, dict[str, float]()
    for nonce, wait in uses:
        now += wait
        try:
            nonces.use(nonce, now)
        except Refused:
            assert now - passed[nonce] < 8
        else:
            assert nonce not in passed or now - passed[nonce] >= 8
            passed[nonce] = now


def test_a_missing_empty_or_foreign_header_value_is_missing() -> None:
    assert verify.need({"a": "1", "b": "2"}, "b", "a") == ("2", "1")
    for values in ({"a": "1"}, {"a": "1", "b": ""}, {"a": "1", "b": 2}):
        assert why(lambda values=values: verify.need(values, "a", "b")) is Why.MISSING


def test_signatures_and_applications_are_compared_whole_and_may_hold_any_text() -> None:
    verify.signed("é", "é")
    assert why(lambda: verify.signed("abc", "abd")) is Why.FORGED
    assert why(lambda: verify.signed("\udce9", "abd")) is Why.FORGED
    assert why(lambda: verify.known("app", "apps")) is Why.UNKNOWN


def test_a_nonce_has_a_least_and_a_most_length() -> None:
    verify.nonce_form("x" * 10, 10, 20)
    for length in (9, 21):
        assert why(lambda length=length: verify.nonce_form("x" * length, 10, 20)) is Why.MISSING
