"""Platforms that answer wrongly, by accident or on purpose: «we do not know» must never read as «no record»."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Reply, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.manifest import load
from connectors.registry import BUILT_IN
from connectors.signing.tif import TifSigner
from connectors.wire import WireReply
from schemas.errors import (
    SchemaDrift,
    SubjectMismatch,
    UpstreamDenied,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnrecognised,
)
from tests.engine_world import (
    BUSY,
    FIRM,
    OTHER,
    Answer,
    Naps,
    Nonces,
    Scripted,
    ask,
    body,
    connector,
    edited,
    fetch,
    row,
)

# --- «No record» ---


@pytest.mark.parametrize("data", [{"list": [row()]}, {"list": {}}, {"list": {"0": row()}}])
async def test_no_record_that_brings_rows_or_an_object_for_a_list_is_not_believed(tmp_path: Path, data: Any) -> None:
    with pytest.raises(UpstreamUnrecognised):
        await ask(tmp_path, {"code": "none", "data": data})


@pytest.mark.parametrize("data", [{"list": []}, {"list": None}, {"list": ""}, {}, None, "", "无数据"])
async def test_no_record_without_rows_is_believed_in_every_form(tmp_path: Path, data: Any) -> None:
    assert (await ask(tmp_path, {"code": "none", "data": data})).found is Found.ABSENT


async def test_no_record_about_another_enterprise_says_nothing_about_ours(tmp_path: Path) -> None:
    with pytest.raises(SubjectMismatch):
        await ask(tmp_path, {"code": "none", "data": {"uscc": OTHER}})
    ours = {"code": "none", "data": {"uscc": FIRM.uscc, "name": ""}}
    assert (await ask(tmp_path / "ours", ours)).found is Found.ABSENT


async def test_rows_that_are_all_left_out_for_their_code_are_not_no_record(tmp_path: Path) -> None:
    month = 'month = { from = "ny", type = "month", forms = ["yyyyMM"] }'
    skipping = ((month, 'month = { from = "k", type = "code", table = { a = "2026-10" }, else = "skip" }'),)
    with pytest.raises(UpstreamUnrecognised):
        await ask(tmp_path, body([{**row(), "k": "b"}, {**row(), "k": "c"}]), changes=skipping)
    some = await ask(tmp_path / "some", body([{**row(), "k": "a"}, {**row(), "k": "c"}]), changes=skipping)
    assert (some.found, len(some.records)) == (Found.FOUND, 1)


async def test_a_ticket_refused_as_no_record_is_held_to_the_same(tmp_path: Path) -> None:
    ticket = (
        (
            'request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }',
            'strategy = "ticket"\n'
            'submit = { path = "/q", encode = "json", body = { uscc = "{uscc}" }, ticket = "ticket" }\n'
            'poll = { path = "/r/{ticket}", pending = [{ at = "code", equals = "w" }], every = "2s", give_up = "9s" }',
        ),
    )
    with pytest.raises(SubjectMismatch):
        await ask(tmp_path, {"code": "none", "data": {"uscc": OTHER}}, changes=ticket)


@pytest.mark.parametrize("masked", ["*", "**********", "虚构**********公司"])
async def test_a_masked_name_alone_does_not_say_whose_rows_they_are(tmp_path: Path, masked: str) -> None:
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, body([row()], uscc=None, name=masked))
    assert (await ask(tmp_path / "with", body([row()], name=masked))).found is Found.FOUND


# --- Pages ---


def paged(style: str, placeholder: str = "{page:number}") -> tuple[tuple[str, str], ...]:
    return (
        ('rows = { at = "data.list" }', f'rows = {{ at = "data.list" }}\npaging = {{ {style} }}'),
        ('body = { uscc = "{uscc}" }', f'body = {{ p = "{placeholder}" }}'),
    )


ROWS = [row(f"2026{n:02}", n) for n in range(1, 7)]
TOTAL = paged("total_rows = 'data.total'")
PAGES = paged("total_pages = 'data.pages'")
FLAG = paged("more = { at = 'data.more', equals = 'Y' }, last = { at = 'data.more', equals = 'N' }")
CURSOR = paged("cursor = 'data.next'", "{cursor}")
COUNTED = paged("cursor = 'data.next', total_rows = 'data.total'", "{cursor}")


@pytest.mark.parametrize(
    ("style", "more"),
    [(TOTAL, {"total": 6}), (PAGES, {"pages": 3}), (FLAG, {"more": "Y"}), (CURSOR, {"next": "c"})],
)
async def test_a_platform_that_gives_the_same_page_again_is_drift(tmp_path: Path, style: Any, more: Any) -> None:
    second = {**more, "next": "d"} if "next" in more else more
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, body(ROWS[:2], **more), body(ROWS[2:4], **second), body(ROWS[:2], **more), changes=style)


@pytest.mark.parametrize(
    ("style", "pages"),
    [
        (TOTAL, [(2, {"total": 6}), (2, {"total": 4}), (0, {"total": 4})]),
        (TOTAL, [(2, {"total": 0})]),
        (TOTAL, [(2, {"total": 4}), (3, {"total": 4})]),
        (PAGES, [(2, {"pages": 3}), (2, {"pages": 1}), (0, {"pages": 1})]),
        (PAGES, [(2, {"pages": 2}), (0, {"pages": 2})]),
        (PAGES, [(2, {"pages": 0})]),
        (FLAG, [(2, {"more": "Y"}), (0, {"more": "N"})]),
        (COUNTED, [(2, {"next": None, "total": 6})]),
    ],
)
async def test_totals_that_shrink_or_do_not_add_up_and_promised_pages_without_rows_are_partial(
    tmp_path: Path, style: Any, pages: list[tuple[int, Any]]
) -> None:
    replies, at = [], 0
    for count, more in pages:
        replies.append(body(ROWS[at : at + count], **more))
        at += count
    reply = await ask(tmp_path, *replies, changes=style)
    assert (reply.found, len(reply.records)) == (Found.PARTIAL, at)


@pytest.mark.parametrize("flag", [{}, {"more": None}, {"more": "y"}, {"more": True}, {"more": 1}, {"more": ""}])
async def test_a_flag_that_says_neither_more_nor_last_does_not_end_the_reading(tmp_path: Path, flag: Any) -> None:
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, body(ROWS[:2], **flag), changes=FLAG)


async def test_a_reply_without_its_cursor_key_is_drift_unless_a_total_vouches_for_the_rows(tmp_path: Path) -> None:
    with pytest.raises(SchemaDrift):
        await ask(tmp_path / "a", body(ROWS[:2]), changes=CURSOR)
    ended = await ask(tmp_path / "b", body(ROWS[:2], next=None), changes=CURSOR)
    counted = await ask(tmp_path / "c", body(ROWS[:2], total=2), changes=COUNTED)
    assert (ended.found, counted.found) == (Found.FOUND, Found.FOUND)


@pytest.mark.parametrize(
    ("style", "data"), [(TOTAL, {"total": 5}), (TOTAL, {"total": "5"}), (FLAG, {"more": "Y"}), (CURSOR, {"next": "c"})]
)
async def test_no_record_that_promises_rows_is_not_believed(tmp_path: Path, style: Any, data: Any) -> None:
    with pytest.raises(UpstreamUnrecognised):
        await ask(tmp_path, {"code": "none", "data": {**data, "list": []}}, changes=style)


@pytest.mark.parametrize(("style", "data"), [(TOTAL, {"total": "0"}), (TOTAL, {"total": ""}), (FLAG, {"more": "N"})])
async def test_no_record_that_promises_nothing_is_believed(tmp_path: Path, style: Any, data: Any) -> None:
    assert (await ask(tmp_path, {"code": "none", "data": data}, changes=style)).found is Found.ABSENT


# --- Asking again ---


async def test_credentials_are_renewed_once_in_a_call_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: Answer = {"code": "denied"}
    script = Scripted([refused, BUSY, refused, body([row()])])
    made = connector(edited(tmp_path), script)
    monkeypatch.setattr(TifSigner, "refused", lambda _signer, _request: True)
    with pytest.raises(UpstreamDenied):
        await fetch(made)
    assert len(script.requests) == 3


# --- The catalogue: one node of a good reply changed at a time ---


async def of_catalogue(platform: str, fixture: str, changes: dict[str, str]) -> Reply:
    """Fetch what a fixture of the catalogue asks for, with texts of its replies replaced."""
    folder = BUILT_IN / platform
    case = json.loads((folder / "fixtures" / f"{fixture}.json").read_text())
    replies: list[Answer] = []
    for exchange in case["exchanges"]:
        raw = (folder / "fixtures" / exchange["reply"]["file"]).read_bytes()
        for old, new in changes.items():
            raw = raw.replace(old.encode(), new.encode())
        replies.append(WireReply(200, {"content-type": exchange["reply"]["content_type"]}, raw))
    assert any(new.encode() in r.body for r in replies if isinstance(r, WireReply) for new in changes.values())
    loaded = load(folder)
    keys = folder / "fixtures" / "secrets.json"
    secrets = dict.fromkeys(loaded.manifest.auth.secrets, "invented") | (
        json.loads(keys.read_text()) if keys.exists() else {}
    )
    when = datetime.fromisoformat(case["now"]).timestamp()
    made = DeclarativeConnector(loaded, Scripted(replies), secrets, clock=lambda: when, nonce=Nonces(), sleep=Naps())
    first, last = ((int(m[:4]), int(m[5:])) for m in case["period"])
    subject = Subject(case["subject"]["uscc"], case["subject"]["name"])
    return await fetch(made, case["dataset"], first=first, last=last, subject=subject)


@pytest.mark.parametrize(
    ("platform", "fixture", "changes"),
    [
        ("ccrc-receivables", "receivables-found", {"<RecordCount>3<": "<RecordCount>0<"}),
        ("ccrc-receivables", "receivables-found", {"<HasMore>Y<": "<HasMore>1<"}),
        ("ccrc-receivables", "receivables-found", {"<HasMore>Y</HasMore>": "<HasMoreRows>Y</HasMoreRows>"}),
        ("ccrc-receivables", "receivables-found", {"<Code>0000<": "<Code>0<"}),
        ("credit-sh", "credit_lists-found", {'"total":2': '"total":0'}),
        ("credit-sh", "penalties-found", {'"total":1': '"total":0'}),
        ("guarantee-fund", "guarantees-found", {'"MORE":"Y"': '"MORE":"1"'}),
        ("guarantee-fund", "guarantees-found", {'"ROWCODE":"SUC0000"': '"ROWCODE":"SYS9999"'}),
        ("guarantee-fund", "guarantees-found", {'"SUC0000","MSG"': '"NOD0000","MSG"'}),
        ("sh-court", "judicial-found", {'"next":"': '"nextKey":"'}),
        ("sh-court", "judicial-absent", {'"next":null': '"next":"c10"'}),
        ("sh-court", "judicial-absent", {'"data":[]': '"data":{}'}),
        ("sh-court", "judicial-absent", {'"data":[]': '"data":""'}),
        ("sh-housing", "mortgages-found", {'"TotalCount":1': '"TotalCount":0'}),
        ("sh-housing", "seizures-found", {'"TotalCount":1': '"TotalCount":0'}),
        ("sh-hpf", "provident_fund-found", {'"ret":"0"': '"ret":"2001"'}),
        ("sh-hrss", "social_insurance-found", {'"0000"': '"1004"'}),
        ("sh-registry", "abnormal_list-absent", {'"data":[]': '"data":{}'}),
        ("sh-registry", "abnormal_list-absent", {'"data":[]': '"data":""'}),
        ("sh-tax", "tax_credit-found", {'"code":"00"': '"code":"01"'}),
    ],
)
async def test_no_platform_of_the_catalogue_turns_a_wrong_reply_into_an_answer(
    platform: str, fixture: str, changes: dict[str, str]
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await of_catalogue(platform, fixture, changes)
    assert isinstance(caught.value, SchemaDrift | UpstreamUnrecognised | UpstreamRejected)


# --- What an error may tell ---


@pytest.mark.parametrize(
    "code", ["11010119900307000X", "13800000000", "91990000MA0000015Q-a1", "card_6222021234567890"]
)
async def test_a_code_with_as_many_digits_as_a_person_s_number_is_not_repeated(tmp_path: Path, code: str) -> None:
    with pytest.raises(UpstreamUnrecognised) as caught:
        await ask(tmp_path, {"code": code})
    assert code not in str(caught.value.details)


@pytest.mark.parametrize("code", ["400000401", "SUC0000", "SIGN_ERROR", "E-401"])
async def test_a_code_that_looks_like_one_is_named(tmp_path: Path, code: str) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await ask(tmp_path, {"code": code})
    assert caught.value.details == {"platform_code": code}
