"""The log holds listed keys only, and nothing in it looks like an identifier, a credential or a control character."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import telemetry
from gateway.telemetry import ALLOWED, Metrics, configure_logging, redact

# Each is invented, in the form of a real one.
CANARIES = {
    "resident id": "110101199003070011",
    "resident id with X": "11010119900307001X",
    "resident id in a word": "id11010119900307001X",
    "old resident id": "110101900307001",
    "grouped resident id": "110101 19900307 0011",
    "mobile number": "13800138000",
    "mobile number with country": "+8613800138000",
    "grouped mobile number": "138-0013-8000",
    "mobile number in a path": "/users/13800138000/x",
    "card": "6222020200112230001",
    "grouped card": "6222 0202 0011 2230 001",
    "credit code": "91310000MA1FL0000X",
    "credit code in lower case": "91310000ma1fl0000x",
    "credit code in a query": "https://a.invalid/?code=91310000MA1FL0000X&page=1",
    "registration number": "310000400000000",
    "full-width digits": "１３８００１３８０００",
    "bearer": "Bearer abc.def-ghi",
    "bearer in lower case": "authorization: bearer abc.def-ghi",
    "jwt": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    "jwt in a text": 'token="eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"',
    "two in one": "13800138000,11010119900307001X",
    "behind a long text": "x" * 290 + "11010119900307001X",
}
LEVELS = ["debug", "info", "warning", "error", "critical", "exception"]


def remains(canary: str, text: str) -> bool:
    """Whether eleven of the canary's signs in a row, or its credential, can be read in ``text``."""
    signs = re.sub(r"[^0-9A-Za-z０-９]", "", canary)
    seen = re.sub(r"[^0-9A-Za-z０-９]", "", text)
    digits = [signs[i : i + 11] for i in range(len(signs) - 10) if re.fullmatch(r"\d{8}.*", signs[i : i + 11])]
    return any(part in seen for part in digits) or "abc.def" in text or "c2lnbmF0dXJl" in text


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging(stream, level=logging.DEBUG)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root = logging.getLogger()
        for handler in [h for h in root.handlers if type(h).__module__ == "gateway.telemetry"]:
            root.removeHandler(handler)


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES.keys())
def test_no_canary_gets_through_at_any_level_or_key(lines: io.StringIO, level: str, canary: str) -> None:
    say = getattr(structlog.get_logger(), level)
    for key in sorted(ALLOWED - {"event", "level", "timestamp"}):
        say("request", **{key: canary})
    say(canary)
    say("request", body=canary, name="张三", **{canary: 1})
    text = lines.getvalue()
    assert not remains(canary, text)
    assert "张三" not in text
    assert len(parsed(lines)) == len(ALLOWED) - 1
    assert all("***" in json.dumps(line) for line in parsed(lines)[:-1] if len(canary) < 290)


@pytest.mark.parametrize("number", [13800138000, 13800138000.0, -6222020200112230001, float("inf"), float("nan")])
def test_a_number_as_long_as_an_identifier_is_masked_too(lines: io.StringIO, number: float) -> None:
    structlog.get_logger().info("request", count=number)
    assert parsed(lines)[0]["count"] == "***"


def test_an_exception_leaves_neither_text_nor_trace(lines: io.StringIO) -> None:
    try:
        raise RuntimeError("CANARY text")
    except RuntimeError:
        structlog.get_logger().exception("defect", error_type="RuntimeError")
    (line,) = parsed(lines)
    assert "CANARY" not in lines.getvalue()
    assert line["error_type"] == "RuntimeError"
    assert line["dropped_keys"] == 1


def test_what_is_not_listed_is_dropped_and_counted(lines: io.StringIO) -> None:
    structlog.get_logger().info("request", route="GET /v1/consents", status=200, body={"a": 1}, subject="张三")
    (line,) = parsed(lines)
    assert line.keys() == {"event", "level", "timestamp", "route", "status", "dropped_keys"}
    assert (line["dropped_keys"], line["status"]) == (2, 200)


def test_ordinary_values_pass_unchanged(lines: io.StringIO) -> None:
    given_ = {
        "request_id": "0a1b2c3d4e5f6071",
        "profile_id": "p" + "1" * 29 + "a",
        "consent_id": "c" + "123456789012345678" + "a" * 12,
        "version": "2.1+a12345678901",
        "route": "POST /v1/profiles",
        "status": 200,
        "duration_ms": 12.5,
        "code": None,
        "where": "gateway.api.routing:120",
    }
    structlog.get_logger().info("request", **given_)
    (line,) = parsed(lines)
    assert {k: line[k] for k in given_} == given_
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\x00", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\x7f"])
def test_no_control_character_gets_through(lines: io.StringIO, sign: str) -> None:
    structlog.get_logger().info("request", reason=f"a{sign}b")
    (line,) = parsed(lines)
    assert line["reason"] == "a?b"
    assert len(lines.getvalue().splitlines()) == 1


@given(st.dictionaries(st.sampled_from(sorted(ALLOWED)), st.text() | st.integers() | st.floats() | st.none()))
@settings(max_examples=100, deadline=None)
def test_whatever_is_logged_is_one_line_of_json_of_limited_length(event: dict[str, Any]) -> None:
    kept = redact(None, "info", dict(event))
    assert kept.keys() == event.keys()
    assert all(len(value) <= 300 for value in kept.values() if isinstance(value, str))
    json.dumps(kept, allow_nan=False)


def test_no_line_that_the_gateway_writes_loses_a_key() -> None:
    writes = re.compile(r"\b(log|get_logger\(\))\.(info|warning|error)$")
    for file in Path(telemetry.__file__).parent.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        keys = {word.arg for call in calls if writes.search(ast.unparse(call.func)) for word in call.keywords}
        assert keys - {None} <= ALLOWED, file


def test_what_a_library_says_is_reduced_to_the_fact(lines: io.StringIO) -> None:
    logger = logging.getLogger("some.library")
    logger.warning("failed for https://user:CANARY@a.invalid/13800138000")
    try:
        raise ValueError("CANARY")
    except ValueError:
        logger.exception("CANARY")
    logger.info("CANARY, and below the level")
    first, second = parsed(lines)
    assert "CANARY" not in lines.getvalue()
    assert (first["event"], first["where"], first["error_type"]) == ("library_message", "some.library", None)
    assert second["error_type"] == "ValueError"


def test_a_level_keeps_what_is_below_it_out(lines: io.StringIO) -> None:
    configure_logging(lines, level=logging.ERROR)
    structlog.get_logger().warning("request")
    structlog.get_logger().error("defect")
    assert [line["event"] for line in parsed(lines)] == ["defect"]


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("w") as full:
        configure_logging(full)
        structlog.get_logger().info("request")
        configure_logging(lines := io.StringIO())
        structlog.get_logger().info("request")
        with suppress(OSError):
            full.close()
    assert json.loads(lines.getvalue())["event"] == "request"


def test_two_sets_of_metrics_fit_in_one_process() -> None:
    first, second = Metrics(), Metrics()
    first.requests.labels("GET /healthz", 200).inc()
    assert first.registry.get_sample_value("xinqiao_requests_total", {"route": "GET /healthz", "status": "200"}) == 1
    assert (
        second.registry.get_sample_value("xinqiao_requests_total", {"route": "GET /healthz", "status": "200"}) is None
    )
