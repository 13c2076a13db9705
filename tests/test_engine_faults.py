"""Faults U10 to U16: what a hostile platform says over a real socket, and what the engine makes of it."""

import json
import ssl
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress, Reply
from connectors.kit.hostile import close_before_reply, hostile, reply
from connectors.transport import AioTransport, default_ssl_context
from schemas.errors import (
    PeriodMismatch,
    SchemaDrift,
    SubjectMismatch,
    UpstreamCharset,
    UpstreamError,
    UpstreamMalformed,
    UpstreamOversize,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnrecognised,
)
from tests.engine_world import BASE, FIRM, FUND, OTHER, PERIOD, body, bureau, connector, edited, fetch, row

JSON = {"Content-Type": "application/json"}


@cache
def tls() -> ssl.SSLContext:
    """Reading the system's authorities takes longer than all else here, and no test speaks TLS."""
    return default_ssl_context()


async def over_the_wire(loaded: Any, raw: bytes, content_type: str = "application/json", **more: Any) -> Reply:
    async with hostile(reply(200, raw, {"Content-Type": content_type})) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=tls())
        try:
            return await fetch(connector(loaded, transport, base_url=server.url), **more)
        finally:
            await transport.close()


async def failure(loaded: Any, raw: bytes, content_type: str = "application/json", **more: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await over_the_wire(loaded, raw, content_type, **more)
    return caught.value


def sent(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode()


# --- U12, U13: failed is not «no record» ---


@pytest.mark.parametrize(
    ("raw", "content_type", "error"),
    [
        (b"<!DOCTYPE html><html><body><form>login</form></body></html>", "text/html", UpstreamMalformed),
        ("<html><title>访问被拦截</title></html>".encode(), "text/html; charset=utf-8", UpstreamMalformed),
        (b"", "application/json", UpstreamMalformed),
        (b"   ", "application/json", UpstreamMalformed),
        (b"null", "application/json", UpstreamUnrecognised),
        (b"{}", "application/json", UpstreamUnrecognised),
        (b"[]", "application/json", UpstreamUnrecognised),
        (b'{"code":500,"total":0,"data":null}', "application/json", UpstreamRejected),
        (b'{"code":0,"data":{"list":[]}}', "application/json", UpstreamRejected),
        (b'"{\\"code\\":\\"none\\"}"', "application/json", UpstreamUnrecognised),
    ],
)
async def test_u12_a_page_an_empty_body_or_a_failure_code_with_status_200_is_a_failure(
    tmp_path: Path, raw: bytes, content_type: str, error: type[UpstreamError]
) -> None:
    assert type(await failure(bureau(tmp_path), raw, content_type)) is error


async def test_u12_json_text_inside_json_is_read_where_declared_and_a_failure_where_broken(
    tmp_path: Path,
) -> None:
    decode = '[decode]\nsteps = ["json", "within:data", "json"]\n\n[outcome]'
    loaded = edited(tmp_path, base=(("[outcome]", decode),))
    whole = {**body([row()]), "data": json.dumps(body([row()])["data"])}
    assert (await over_the_wire(loaded, sent(whole))).found is Found.FOUND
    assert (await over_the_wire(loaded, sent({"code": "none", "data": ""}))).found is Found.ABSENT
    assert isinstance(await failure(loaded, sent({"code": "0", "data": "<html>"})), UpstreamMalformed)
    assert isinstance(await failure(loaded, sent({"code": "0", "data": ""})), SchemaDrift)


async def test_u13_found_absent_and_unknown_are_three(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    assert (await over_the_wire(loaded, sent(body([row()])))).found is Found.FOUND
    assert (await over_the_wire(loaded, sent({"code": "none"}))).found is Found.ABSENT
    assert isinstance(await failure(loaded, sent(body([]))), UpstreamUnrecognised)
    assert isinstance(await failure(loaded, sent({"code": "1"})), UpstreamRejected)


async def test_u13_a_platform_that_hangs_up_is_unknown_and_every_attempt_is_counted(tmp_path: Path) -> None:
    progress = Progress()
    async with hostile(close_before_reply) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=tls())
        try:
            made = connector(bureau(tmp_path), transport, base_url=server.url)
            with pytest.raises(UpstreamTruncated):
                await fetch(made, progress=progress)
        finally:
            await transport.close()
        assert (progress.attempts, progress.calls, len(server.requests)) == (3, 3, 3)


# --- U14: another enterprise ---


@pytest.mark.parametrize(
    "data",
    [
        {"uscc": OTHER, "name": FIRM.name},
        {"uscc": FIRM.uscc, "name": "虚构二号（沙箱）有限公司"},
        {"uscc": FIRM.uscc, "name": FIRM.name + "浦东分公司"},
        {"uscc": FIRM.uscc[:-1] + ("0" if FIRM.uscc[-1] != "0" else "1"), "name": FIRM.name},
        {"uscc": "", "name": "虚构二号（沙箱）***"},
    ],
)
async def test_u14_another_enterprise_is_a_mismatch_and_its_data_is_nowhere_in_the_error(
    tmp_path: Path, data: dict[str, str]
) -> None:
    error = await failure(bureau(tmp_path), sent({"code": "0", "data": {**data, "list": [row()]}}))
    assert type(error) is SubjectMismatch
    assert set(error.details) == {"at"}
    assert error.details["at"] in ("data.uscc", "data.name")


@pytest.mark.parametrize(
    "dressed",
    [
        "".join(chr(ord(c) + 0xFEE0) for c in FIRM.uscc),
        FIRM.uscc.lower(),
        f"\u3000{FIRM.uscc}\u200b",
        FIRM.uscc.replace("0", "O", 1),
        FIRM.uscc.replace("1", "I", 1),
    ],
)
async def test_u14_a_code_that_the_rules_mend_is_the_same_enterprise_and_the_repair_is_said(
    tmp_path: Path, dressed: str
) -> None:
    found = await over_the_wire(bureau(tmp_path), sent({"code": "0", "data": {"uscc": dressed, "list": [row()]}}))
    assert found.found is Found.FOUND
    assert found.repairs


# --- U15: units ---


@pytest.mark.parametrize(
    ("unit", "value", "yuan"),
    [
        ("元", "1,234.00", "1234.00"),
        ("元", "１２３４", "1234"),
        ("元", "¥200", "200"),
        ("元", "200元", "200"),
        ("万元", "200", "2000000"),
        ("万元", "200万元", "2000000"),
        ("亿元", "0.5", "50000000.0"),
    ],
)
async def test_u15_an_amount_is_read_in_its_declared_unit(tmp_path: Path, unit: str, value: str, yuan: str) -> None:
    loaded = edited(tmp_path, ('unit = "元"', f'unit = "{unit}"'))
    found = await over_the_wire(loaded, sent(body([{**row(), "js": value}])))
    assert found.records[0]["base"] == yuan


@pytest.mark.parametrize(
    "value", ["200万元", "2亿元", "$200", "20%", "1,23.00", "1.2.3", "约200", "1e3", True, [200], {"v": 200}]
)
async def test_u15_an_amount_that_contradicts_its_unit_is_drift_and_never_converted(tmp_path: Path, value: Any) -> None:
    error = await failure(bureau(tmp_path), sent(body([{**row(), "js": value}])))
    assert type(error) is SchemaDrift
    assert error.details["at"] == "data.list.js"


# --- U16: dates and periods ---


@pytest.mark.parametrize(
    "value", ["202613", "2026-10", "二〇二六年十月", "20261", 1795500000, True, "２０２６１０", "2026100"]
)
async def test_u16_a_month_in_another_form_is_drift(tmp_path: Path, value: Any) -> None:
    error = await failure(bureau(tmp_path), sent(body([{**row(), "ny": value}])))
    assert type(error) is SchemaDrift
    assert error.details["at"] == "data.list.ny"


REGISTRATION = """
[[dataset]]
name = "registration"
request = { path = "/r", encode = "json", body = { u = "{uscc}" } }
rows = { at = "data.list" }
[dataset.fields]
uscc = { from = "u", type = "uscc" }
name = { from = "n", type = "text" }
established = { from = "d", type = "day", forms = [FORM] }
"""


@pytest.mark.parametrize(
    ("form", "value", "day"),
    [
        ("yyyy-MM-dd", "2024-02-29", "2024-02-29"),
        ("yyyy-MM-dd", "9999-12-31", None),
        ("yyyyMMdd", "99991231", None),
        ("epoch-ms", 946483200000, "1999-12-30"),
        ("epoch-s", 946483200, "1999-12-30"),
        ("rfc3339", "1999-12-29T16:00:00Z", "1999-12-30"),
        ("yyyy-MM-dd HH:mm:ss", "2014-05-31 00:00:00.000000000", "2014-05-31"),
        ("yyyy年M月d日", "2019年07月13日", "2019-07-13"),
    ],
)
async def test_u16_a_day_is_that_of_shanghai_and_an_open_end_is_absent(
    tmp_path: Path, form: str, value: Any, day: str | None
) -> None:
    loaded = bureau(tmp_path, REGISTRATION.replace("FORM", f'"{form}"'))
    raw = sent(body([{"u": FIRM.uscc, "n": FIRM.name, "d": value}]))
    found = await over_the_wire(loaded, raw, dataset="registration")
    assert found.records[0].get("established") == day


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("yyyy-MM-dd", "2023-02-30"),
        ("yyyyMMdd", "20230230"),
        ("yyyyMMdd", "2023-02-28"),
        ("yyyy年M月d日", "二〇二三年一月一日"),
        ("yyyy-MM-dd", "2023-02-29"),
        ("epoch-ms", 1e3),
        ("epoch-ms", True),
        ("yyyy-MM-dd", "10000-01-01"),
    ],
)
async def test_u16_a_day_that_is_none_is_drift(tmp_path: Path, form: str, value: Any) -> None:
    loaded = bureau(tmp_path, REGISTRATION.replace("FORM", f'"{form}"'))
    raw = sent(body([{"u": FIRM.uscc, "n": FIRM.name, "d": value}]))
    assert type(await failure(loaded, raw, dataset="registration")) is SchemaDrift


async def test_u16_another_period_than_asked_is_a_mismatch(tmp_path: Path) -> None:
    named = (*PERIOD, ('body = { uscc = "{uscc}" }', 'body = { uscc = "{uscc}", f = "{from:yyyyMM}" }'))
    error = await failure(edited(tmp_path, *named), sent(body([row("202510")])))
    assert type(error) is PeriodMismatch


# --- U10: charset ---

GBK = BASE.replace("[outcome]", '[decode]\ncharset = ["gb18030"]\nsteps = ["json"]\n\n[outcome]')
NAMED = FUND.replace("[dataset.fields]", '[dataset.fields]\nstate = { from = "zt", type = "text" }')


@pytest.mark.parametrize("header", ["application/json", "application/json; charset=gbk", "text/plain; charset=utf-8"])
async def test_gb18030_is_read_where_declared_whatever_the_header_says(tmp_path: Path, header: str) -> None:
    raw = sent(body([{**row(), "zt": "正常"}])).decode().encode("gb18030")
    found = await over_the_wire(bureau(tmp_path, NAMED, GBK), raw, header)
    assert found.records[0]["state"] == "正常"


@pytest.mark.parametrize(
    "raw",
    [
        sent(body([{**row(), "zt": "正常"}])).decode().encode("gb18030"),
        sent(body([{**row(), "zt": "锟斤拷"}])),
        sent(body([{**row(), "zt": "\ufffd"}])),
        sent({"code": "none", "msg": "无记录"})[:-3] + b'"}',
        sent(body([{**row(), "zt": "正常"}])).decode().encode("utf-16"),
    ],
    ids=["gb18030 unannounced", "mojibake", "replacement character", "half a character", "utf-16"],
)
async def test_another_charset_or_broken_characters_are_refused_and_never_guessed(tmp_path: Path, raw: bytes) -> None:
    assert type(await failure(bureau(tmp_path, NAMED), raw)) is UpstreamCharset


async def test_u10_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    found = await over_the_wire(bureau(tmp_path, NAMED), b"\xef\xbb\xbf" + sent(body([{**row(), "zt": "正常"}])))
    assert found.records[0]["state"] == "正常"


# --- U11: JSON ---

WHOLE = sent(body([row()])).decode()


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace('"rs": 30', '"rs": 30, "rs": 31'),
        WHOLE.replace('"rs": 30', '"rs": NaN'),
        WHOLE.replace('"rs": 30', '"rs": -Infinity'),
        WHOLE.replace('"rs": 30', '"rs": 1e400'),
        WHOLE.replace('"rs": 30', '"rs": ' + "9" * 5000),
        WHOLE.replace('"rs": 30', '"rs": ' + "[" * 99_000 + "]" * 99_000),
        WHOLE.replace('"312000.00"', '"\\ud800"'),
        WHOLE + "garbage",
        WHOLE + WHOLE,
        WHOLE[:-1],
        WHOLE.replace('"rs"', "'rs'"),
        WHOLE.replace('"rs": 30', '"rs": 030'),
        WHOLE.replace('"rs": 30', '"rs": 30 // all'),
        WHOLE + "\x00",
    ],
    ids=[
        "a key twice",
        "NaN",
        "minus infinity",
        "beyond every number",
        "5,000 digits",
        "99,000 deep",
        "half a surrogate pair",
        "text behind",
        "two documents",
        "cut",
        "single quotes",
        "leading zero",
        "comment",
        "NUL behind",
    ],
)
async def test_u11_what_is_not_strict_json_is_refused_whole(tmp_path: Path, text: str) -> None:
    assert type(await failure(bureau(tmp_path), text.encode())) is UpstreamMalformed


async def test_u11_json_of_more_than_100_000_arrays_is_refused_before_it_is_read(tmp_path: Path) -> None:
    text = WHOLE.replace('"rs": 30', '"rs": ' + "[" * 100_000 + "]" * 100_000)
    assert type(await failure(bureau(tmp_path), text.encode())) is UpstreamOversize


async def test_u11_numbers_keep_every_digit_and_minus_zero_is_zero(tmp_path: Path) -> None:
    for number, text in (
        ("0.1", "0.1"),
        ("219857.50670000000000001", None),
        ("312000.10", "312000.10"),
        ("-0.0", "0"),
    ):
        raw = WHOLE.replace('"312000.00"', number)
        if text is None:
            assert isinstance(await failure(bureau(tmp_path), raw.encode()), SchemaDrift)
        else:
            found = await over_the_wire(bureau(tmp_path), raw.encode())
            assert found.records[0]["base"] == text
