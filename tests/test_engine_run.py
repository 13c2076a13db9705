"""connectors.engine.run: periods, months, pages and tickets."""

import asyncio
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Reply
from connectors.manifest import load
from schemas.errors import (
    ConsentRevoked,
    DeadlineExceeded,
    PeriodMismatch,
    SchemaDrift,
    SubjectMismatch,
    UpstreamDenied,
    UpstreamRejected,
    XinqiaoError,
)
from tests.engine_world import (
    BASE,
    FUND,
    NONE,
    OTHER,
    PERIOD,
    SECRETS,
    Answer,
    Naps,
    Scripted,
    Watch,
    ask,
    body,
    connector,
    edited,
    fetch,
    folder,
    row,
)

# --- Time ---

NAMED = (*PERIOD, ('body = { uscc = "{uscc}" }', 'body = { uscc = "{uscc}", f = "{from:yyyyMM}" }'))


async def test_rows_outside_the_period_are_left_out_where_the_platform_was_not_told_of_it(tmp_path: Path) -> None:
    rows = [row("202608"), row("202609"), row("202610"), row("202611")]
    reply = await ask(tmp_path, body(rows), changes=PERIOD)
    assert [r["month"] for r in reply.records] == ["2026-09", "2026-10"]
    assert reply.as_of == date(2026, 10, 31)


async def test_rows_outside_the_period_that_was_asked_are_a_mismatch(tmp_path: Path) -> None:
    with pytest.raises(PeriodMismatch):
        await ask(tmp_path, body([row("202610"), row("202608")]), changes=NAMED)


async def test_the_period_is_held_also_where_its_field_is_not_consented(tmp_path: Path) -> None:
    rows = [row("202608", 1), row("202610", 2)]
    reply = await ask(tmp_path, body(rows), changes=PERIOD, fields={"persons"})
    assert reply.records == ({"persons": 2},)
    assert reply.as_of == date(2026, 10, 31)


async def test_as_of_is_never_after_today(tmp_path: Path) -> None:
    reply = await ask(tmp_path, body([row("202611")]), changes=PERIOD, last=(2026, 11))
    assert reply.as_of == date(2026, 11, 24)


@pytest.mark.parametrize(
    ("declared", "data", "as_of"),
    [
        ('head = "data.d", forms = ["yyyy-MM-dd"]', {"d": "2026-11-20"}, date(2026, 11, 20)),
        ('head = "data.d", forms = ["yyyy-MM-dd"]', {"d": None}, None),
        ('head = "data.d", forms = ["yyyy-MM-dd"]', {}, None),
        ('from = "d", forms = ["yyyyMMdd"]', {}, date(2026, 11, 2)),
    ],
)
async def test_as_of_is_what_the_reply_says(tmp_path: Path, declared: str, data: Any, as_of: date | None) -> None:
    changes = ((PERIOD[0][0], f"{PERIOD[0][1]}\nas_of = {{ {declared} }}"),)
    rows = [{**row("202609"), "d": "20261102"}, {**row("202610"), "d": "20261101"}]
    assert (await ask(tmp_path, body(rows, **data), changes=changes)).as_of == as_of


async def test_an_as_of_in_another_form_is_drift(tmp_path: Path) -> None:
    changes = ((PERIOD[0][0], f'{PERIOD[0][1]}\nas_of = {{ head = "data.d", forms = ["yyyyMMdd"] }}'),)
    with pytest.raises(SchemaDrift) as caught:
        await ask(tmp_path, body([row()], d="2026-11-20"), changes=changes)
    assert caught.value.details["at"] == "data.d"


# --- Months side by side ---

MONTHLY = (
    *PERIOD,
    ('encode = "json", body = { uscc = "{uscc}" }', 'per = "month", encode = "json", body = { ny = "{month:yyyyMM}" }'),
)


def monthly(answers: dict[str, Answer]) -> Scripted:
    return Scripted(by=lambda request: answers[json.loads(request.body)["ny"]])


async def months(tmp_path: Path, answers: dict[str, Answer], **more: Any) -> Reply:
    return await fetch(connector(edited(tmp_path, *MONTHLY), monthly(answers)), first=(2026, 8), **more)


async def test_one_call_per_month_gives_the_months_in_their_order(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {m: body([row(m)]) for m in ("202608", "202609", "202610")}
    reply = await months(tmp_path, answers)
    assert [r["month"] for r in reply.records] == ["2026-08", "2026-09", "2026-10"]
    assert (reply.found, reply.attempts) == (Found.FOUND, 3)
    digests = [hashlib.sha256(json.dumps(a, ensure_ascii=False).encode()).digest() for a in answers.values()]
    assert reply.raw_digest == hashlib.sha256(b"".join(digests)).digest()


async def test_a_month_without_record_is_no_gap_and_all_without_are_absent(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {"202608": NONE, "202609": body([row("202609")]), "202610": NONE}
    assert (await months(tmp_path, answers)).found is Found.FOUND
    assert (await months(tmp_path, dict.fromkeys(answers, NONE))).found is Found.ABSENT


async def test_a_month_that_could_not_be_had_makes_the_answer_partial(tmp_path: Path) -> None:
    failed: dict[str, Answer] = {"202608": {"code": "500"}, "202609": body([row("202609")]), "202610": NONE}
    reply = await months(tmp_path, failed)
    assert (reply.found, len(reply.records)) == (Found.PARTIAL, 1)
    reply = await months(tmp_path, {**failed, "202609": NONE})
    assert (reply.found, reply.records) == (Found.PARTIAL, ())


async def test_no_month_at_all_is_a_failure_and_not_an_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(UpstreamRejected):
        await months(tmp_path, {month: {"code": "500"} for month in ("202608", "202609", "202610")})


@pytest.mark.parametrize(
    ("spoiled", "error"),
    [
        ({"code": "0", "data": {"uscc": OTHER, "list": [row("202609")]}}, SubjectMismatch),
        (body([row("202607")]), PeriodMismatch),
        ({"code": "denied"}, UpstreamDenied),
        (body([{"ny": "202609"}]), SchemaDrift),
    ],
)
async def test_a_month_that_is_wrong_spoils_the_whole_and_leaves_no_task(
    tmp_path: Path, spoiled: Answer, error: type[XinqiaoError]
) -> None:
    before = asyncio.all_tasks()
    answers: dict[str, Answer] = {"202608": body([row("202608")]), "202609": spoiled, "202610": NONE}
    with pytest.raises(error):
        await months(tmp_path, answers)
    assert asyncio.all_tasks() == before


async def test_the_guard_s_no_stops_all_months(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {m: body([row(m)]) for m in ("202608", "202609", "202610")}
    with pytest.raises(ConsentRevoked):
        await months(tmp_path, answers, guard=Watch(send=2))


# --- Pages ---


def paged(style: str, placeholder: str = "{page:number}") -> tuple[tuple[str, str], ...]:
    return (
        ('rows = { at = "data.list" }', f'rows = {{ at = "data.list" }}\npaging = {{ {style} }}'),
        ('body = { uscc = "{uscc}" }', f'body = {{ p = "{placeholder}", s = "{{page_size}}" }}'),
    )


MONTHS = ["202601", "202602", "202603", "202604", "202605"]


def page(months: list[str], **more: Any) -> dict[str, Any]:
    return body([row(m) for m in months], **more)


@pytest.mark.parametrize(
    ("style", "placeholder", "replies", "asked"),
    [
        (
            "size = 2, total_rows = 'data.total'",
            "{page:number}",
            [page(MONTHS[:2], total=5), page(MONTHS[2:4], total="5"), page(MONTHS[4:], total=5)],
            [{"p": 1, "s": "2"}, {"p": 2, "s": "2"}, {"p": 3, "s": "2"}],
        ),
        (
            "first = 0, size = 3, total_pages = 'data.pages'",
            "{page}",
            [page(MONTHS[:3], pages=2), page(MONTHS[3:], pages=2)],
            [{"p": "0", "s": "3"}, {"p": "1", "s": "3"}],
        ),
        (
            "cursor = 'data.next'",
            "{cursor}",
            [page(MONTHS[:3], next="c1"), page(MONTHS[3:4], next=7), page(MONTHS[4:], next=None)],
            [{"s": "100"}, {"p": "c1", "s": "100"}, {"p": "7", "s": "100"}],
        ),
        (
            "more = { at = 'data.more', equals = 'Y' }, last = { at = 'data.more', equals = 'N' }",
            "{page:number}",
            [page(MONTHS[:3], more="Y"), page(MONTHS[3:], more="N")],
            [{"p": 1, "s": "100"}, {"p": 2, "s": "100"}],
        ),
    ],
)
async def test_every_style_of_paging_collects_all_rows(
    tmp_path: Path, style: str, placeholder: str, replies: list[Answer], asked: list[Any]
) -> None:
    script = Scripted(list(replies))
    reply = await fetch(connector(edited(tmp_path, *paged(style, placeholder)), script))
    assert [r["month"] for r in reply.records] == [f"{m[:4]}-{m[4:]}" for m in MONTHS]
    assert reply.found is Found.FOUND
    assert script.bodies() == asked
    assert len({request.headers["x-tif-nonce"] for request in script.requests}) == len(asked)


TOTAL = paged("size = 2, total_rows = 'data.total'")


async def test_a_later_page_that_fails_makes_the_answer_partial_and_a_first_is_a_failure(tmp_path: Path) -> None:
    reply = await ask(tmp_path, page(MONTHS[:2], total=5), {"code": "500"}, changes=TOTAL)
    assert (reply.found, len(reply.records)) == (Found.PARTIAL, 2)
    with pytest.raises(UpstreamRejected):
        await ask(tmp_path, {"code": "500"}, changes=TOTAL)


async def test_a_refusal_or_another_enterprise_on_a_later_page_spoils_the_whole(tmp_path: Path) -> None:
    with pytest.raises(UpstreamDenied):
        await ask(tmp_path, page(MONTHS[:2], total=5), {"code": "denied"}, changes=TOTAL)
    other = {"code": "0", "data": {"uscc": OTHER, "list": [row()], "total": 5}}
    with pytest.raises(SubjectMismatch):
        await ask(tmp_path, page(MONTHS[:2], total=5), other, changes=TOTAL)


async def test_fewer_rows_than_the_total_promises_are_partial(tmp_path: Path) -> None:
    reply = await ask(tmp_path, page(MONTHS[:2], total=5), page([], total=5), changes=TOTAL)
    assert reply.found is Found.PARTIAL


MORE = paged("more = { at = 'data.more', equals = 'Y' }, last = { at = 'data.more', equals = 'N' }")
CURSOR = paged("cursor = 'data.next'", "{cursor}")


async def test_no_record_on_a_later_page_is_a_gap_where_more_was_promised_and_the_end_after_a_cursor(
    tmp_path: Path,
) -> None:
    reply = await ask(tmp_path / "a", page(MONTHS[:2], total=5), NONE, changes=TOTAL)
    assert (reply.found, len(reply.records)) == (Found.PARTIAL, 2)
    reply = await ask(tmp_path / "b", page(MONTHS[:2], more="Y"), NONE, changes=MORE)
    assert (reply.found, len(reply.records)) == (Found.PARTIAL, 2)
    reply = await ask(tmp_path / "c", page(MONTHS[:2], next="c1"), NONE, changes=CURSOR)
    assert (reply.found, len(reply.records)) == (Found.FOUND, 2)
    reply = await ask(tmp_path / "d", NONE, changes=TOTAL)
    assert reply.found is Found.ABSENT


@pytest.mark.parametrize("total", [None, "many", -1, True, [5]])
async def test_a_total_that_is_no_count_is_drift(tmp_path: Path, total: Any) -> None:
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, page(MONTHS[:2], total=total), changes=TOTAL)


async def test_pages_and_rows_are_capped_and_the_cap_makes_the_answer_partial(tmp_path: Path) -> None:
    for number, limit in enumerate(("max_pages = 2", "max_rows = 3")):
        made = edited(tmp_path / str(number), *TOTAL, base=(("[outcome]", f"[limits]\n{limit}\n\n[outcome]"),))
        script = Scripted([page(MONTHS[:2], total=99), page(MONTHS[2:4], total=99)])
        reply = await fetch(connector(made, script))
        assert (reply.found, len(reply.records)) == (Found.PARTIAL, 4)


@pytest.mark.parametrize("cursor", ["c1", True, [1]])
async def test_a_cursor_that_comes_again_or_is_no_text_is_drift(tmp_path: Path, cursor: Any) -> None:
    with pytest.raises(SchemaDrift):
        await ask(
            tmp_path,
            page(MONTHS[:1], next="c1"),
            page(MONTHS[1:2], next=cursor),
            changes=paged("cursor = 'data.next'", "{cursor}"),
        )


# --- Tickets ---

TICKET = (
    (
        'request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }',
        'strategy = "ticket"\n'
        'submit = { path = "/q", encode = "json", body = { uscc = "{uscc}" }, ticket = "ticket" }\n'
        'poll = { path = "/r/{ticket}", pending = [{ at = "code", equals = "wait" }], every = "2s", give_up = "20s",'
        ' encode = "json", body = { p = "{page:number}" } }\n'
        "paging = { size = 2, total_rows = 'data.total' }",
    ),
)
TAKEN: dict[str, Any] = {"code": "0", "ticket": "t/1"}
WAIT: dict[str, Any] = {"code": "wait"}


async def test_a_ticket_is_polled_until_it_is_ready_and_then_paged(tmp_path: Path) -> None:
    script, naps = Scripted([TAKEN, WAIT, WAIT, page(MONTHS[:2], total=3), page(MONTHS[2:3], total=3)]), Naps()
    guard = Watch()
    reply = await fetch(connector(edited(tmp_path, *TICKET), script, sleep=naps), guard=guard)
    assert [r["month"] for r in reply.records] == ["2026-01", "2026-02", "2026-03"]
    assert [r.url.removeprefix("https://bureau.invalid") for r in script.requests] == ["/q"] + ["/r/t%2F1"] * 4
    assert naps.taken == [2, 2]
    assert guard.asked == ["send", "send", "keep"] * 5


async def test_a_ticket_that_is_never_ready_ends_with_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await ask(tmp_path, TAKEN, WAIT, changes=TICKET, patience=1)
    assert caught.value.details == {"waiting_for": "ticket"}


async def test_a_submit_may_say_at_once_that_there_is_no_record(tmp_path: Path) -> None:
    assert (await ask(tmp_path, NONE, changes=TICKET)).found is Found.ABSENT


@pytest.mark.parametrize("ticket", [None, "", True, {}])
async def test_a_submit_without_a_ticket_is_drift(tmp_path: Path, ticket: Any) -> None:
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, {"code": "0", "ticket": ticket}, changes=TICKET)


def test_the_secrets_of_the_tests_are_those_that_the_manifest_names(tmp_path: Path) -> None:
    assert set(load(folder(tmp_path / "x", BASE + FUND)).manifest.auth.secrets) == set(SECRETS)
