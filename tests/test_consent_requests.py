"""Requests to an enterprise for its consent: opened, and then given, declined or expired, once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.permits import CloseFailed
from consent.policy import PermitItem
from consent.profiles import IssueProfile, RecordEvent
from consent.requests import (
    TRIES,
    CountTry,
    DeclineRequest,
    ExpireRequests,
    GiveConsent,
    OpenRequest,
    RefuseIdentity,
    RequestState,
)
from consent.uses import Use, tell
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import ConsentConflict, ConsentOutOfScope, InvalidValue, NotFound
from schemas.records import CATALOGUE
from tests.consent_world import CAPTURED, LENDER, PAGE_TEXT, Clock, ask, grant, uscc, world

TOKEN = "ab" * 32
ASKED = '{"asked":"示例"}'.encode()
ACT = b"head.act.signature"


@pytest_asyncio.fixture
async def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def evidence(tmp_path: Path, clock: Clock) -> AsyncIterator[Evidence]:
    async with world(tmp_path / "x.sqlite", clock) as opened:
        yield opened


async def opened(evidence: Evidence, clock: Clock, request_id: str = "r1", token: str = TOKEN, n: int = 0) -> str:
    clock_end = clock()
    expires = utc_text(clock_end.replace(hour=clock_end.hour + 2))
    await evidence.submit(PAGE_TEXT)
    await evidence.submit(OpenRequest(request_id, token, LENDER, uscc(n), expires, ASKED))
    return request_id


def given(request_id: str = "r1", n: int = 0, **changes: Any) -> GiveConsent:
    return GiveConsent(request_id, GrantConsent(grant(n, **{**CAPTURED, **changes}), actor="enterprise"), ACT)


async def events(evidence: Evidence) -> list[dict[str, Any]]:
    """What the log says, except that the page's text was registered."""
    entries = [orjson.loads(e.entry) for e in await evidence.entries(0, 10_000)]
    return [entry for entry in entries if entry["event"] != "text.registered"]


async def test_an_opened_request_is_found_by_the_hash_of_its_token_and_by_its_id(
    evidence: Evidence, clock: Clock
) -> None:
    await opened(evidence, clock)
    for found in (await evidence.request_by_token(TOKEN), await evidence.request("r1")):
        assert found is not None
        assert (found.id, found.lender, found.state, found.asked) == ("r1", LENDER, RequestState.OPEN, ASKED)
    assert await evidence.request_by_token("cd" * 32) is None
    assert await evidence.request("r2") is None
    assert await evidence.act("r1") is None
    assert await evidence.act("r2") is None


async def test_neither_file_nor_log_names_the_enterprise_before_it_agreed(
    evidence: Evidence, clock: Clock, tmp_path: Path
) -> None:
    await opened(evidence, clock)
    raw = await asyncio.to_thread(lambda: b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()))
    assert uscc().encode() not in raw
    assert "示例".encode() not in raw
    assert (await events(evidence))[0]["event"] == "request.opened"


async def test_giving_registers_the_consent_and_keeps_the_act_in_one_commit(evidence: Evidence, clock: Clock) -> None:
    await opened(evidence, clock)
    consent = await evidence.submit(given())
    assert consent.state is ConsentState.ACTIVE
    held = await evidence.request("r1")
    assert held is not None
    assert (held.state, held.consent_id) == (RequestState.GIVEN, consent.id)
    assert await evidence.act("r1") == ACT
    assert [(e["event"], e["actor"], e["consent"]) for e in (await events(evidence))[1:]] == [
        ("consent.granted", "enterprise", consent.id),
        ("request.given", "enterprise", consent.id),
    ]
    assert await evidence.audit() == []


async def test_of_many_answers_at_once_exactly_one_counts(evidence: Evidence, clock: Clock) -> None:
    await opened(evidence, clock)
    answers = [given(max_uses=n + 1) for n in range(8)] + [DeclineRequest("r1") for _ in range(8)]
    results = await asyncio.gather(*map(evidence.submit, answers), return_exceptions=True)
    assert sum(isinstance(r, ConsentConflict) for r in results) == 15
    assert len(await evidence.consents_of(None)) == 1
    assert await evidence.audit() == []


async def test_a_declined_request_cannot_be_given_and_leaves_no_consent(evidence: Evidence, clock: Clock) -> None:
    await opened(evidence, clock)
    await evidence.submit(DeclineRequest("r1"))
    for late in (given(), DeclineRequest("r1"), CountTry("r1"), RefuseIdentity("r1")):
        with pytest.raises(ConsentConflict) as refused:
            await evidence.submit(late)
        assert refused.value.details["state"] == "declined"
    assert await evidence.consents_of(None) == []


async def test_after_its_time_a_request_is_expired_at_once_and_closed_by_the_sweep(
    evidence: Evidence, clock: Clock
) -> None:
    await opened(evidence, clock)
    await opened(evidence, clock, "r2", "cd" * 32)
    await evidence.submit(DeclineRequest("r2"))
    await evidence.submit(ExpireRequests())
    clock.forward(hours=2)
    with pytest.raises(ConsentConflict):
        await evidence.submit(given())
    held = await evidence.request("r1")
    assert held is not None
    assert held.state is RequestState.EXPIRED
    for _ in range(2):
        await evidence.submit(ExpireRequests())
    ended = [e for e in await events(evidence) if e["event"] == "request.expired"]
    assert [(e["code"], e["request"]) for e in ended] == [("time", "r1")]
    assert await evidence.audit() == []


async def test_an_answer_that_comes_in_the_same_commit_as_the_sweep_closes_the_request_once(
    evidence: Evidence, clock: Clock
) -> None:
    await opened(evidence, clock)
    clock.forward(hours=2)
    sweeps = [ExpireRequests(), DeclineRequest("r1"), ExpireRequests()]
    _, late, _ = await asyncio.gather(*map(evidence.submit, sweeps), return_exceptions=True)
    assert isinstance(late, ConsentConflict)
    assert [e["event"] for e in await events(evidence)] == ["request.opened", "request.expired"]


async def test_tries_are_counted_before_they_are_looked_at_also_in_parallel(evidence: Evidence, clock: Clock) -> None:
    await opened(evidence, clock)
    results = await asyncio.gather(*(evidence.submit(CountTry("r1")) for _ in range(20)), return_exceptions=True)
    assert [r for r in results if isinstance(r, int)] == list(range(TRIES - 1, -1, -1))
    assert sum(isinstance(r, ConsentConflict) for r in results) == 20 - TRIES


async def test_the_last_wrong_answer_closes_the_request(evidence: Evidence, clock: Clock) -> None:
    await opened(evidence, clock)
    for _ in range(TRIES):
        await evidence.submit(CountTry("r1"))
        await evidence.submit(RefuseIdentity("r1"))
    names = [e["event"] for e in await events(evidence)]
    assert names == ["request.opened", *["request.refused"] * TRIES, "request.expired"]
    with pytest.raises(ConsentConflict):
        await evidence.submit(given())
    assert await evidence.audit() == []


@pytest.mark.parametrize("command", [given("r9"), DeclineRequest("r9"), CountTry("r9"), RefuseIdentity("r9")])
async def test_a_request_that_does_not_exist_is_not_found(evidence: Evidence, command: Any) -> None:
    with pytest.raises(NotFound):
        await evidence.submit(command)
    assert await evidence.consents_of(None) == []


@pytest.mark.parametrize("changes", [{"n": 1}, {"grantee": "bank-b"}])
async def test_a_grant_about_another_enterprise_or_lender_is_refused(
    evidence: Evidence, clock: Clock, changes: dict[str, Any]
) -> None:
    await opened(evidence, clock)
    with pytest.raises(ConsentConflict):
        await evidence.submit(given(**changes))
    assert await evidence.consents_of(None) == []


async def test_a_consent_id_that_is_taken_by_other_content_leaves_the_request_open(
    evidence: Evidence, clock: Clock
) -> None:
    await opened(evidence, clock)
    await evidence.submit(GrantConsent(grant(1), actor=LENDER, consent_id="c-1"))
    captured = GrantConsent(grant(**CAPTURED), actor="enterprise", consent_id="c-1")
    with pytest.raises(ConsentConflict):
        await evidence.submit(GiveConsent("r1", captured, ACT))
    held = await evidence.request("r1")
    assert held is not None
    assert held.state is RequestState.OPEN


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("UPDATE consent_requests SET state = 'open'", ("consent_requests", "r1", "state")),
        ("UPDATE consent_requests SET lender = 'bank-b'", ("consent_requests", "r1", "lender")),
        ("UPDATE consent_requests SET consent_id = NULL", ("consent_requests", "r1", "consent_id")),
        ("DELETE FROM consent_requests", ("consent_requests", "r1", "missing")),
        ("DELETE FROM sealed WHERE kind = 'act'", ("sealed", "r1.given/act", "missing")),
        ("UPDATE sealed SET nonce = zeroblob(12) WHERE kind = 'act'", ("sealed", "r1.given/act", "payload")),
    ],
)
async def test_a_changed_row_is_named_by_the_audit(
    evidence: Evidence, clock: Clock, tmp_path: Path, change: str, flaw: tuple[str, str, str]
) -> None:
    await opened(evidence, clock)
    await evidence.submit(given())
    with sqlite3.connect(tmp_path / "x.sqlite") as file:
        file.execute(change)
    file.close()
    assert [(f.table, f.id, f.what) for f in await evidence.audit()] == [flaw]


@pytest.mark.parametrize(("assurance", "actor"), [("gateway_captured", LENDER), ("signed", "enterprise")])
def test_only_the_enterprises_own_page_makes_a_consent_that_the_gateway_captured(assurance: str, actor: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        GrantConsent(grant(assurance=assurance), actor=actor)
    assert refused.value.details["at"] == "assurance"


async def test_the_enterprise_sees_every_use_and_refusal_of_its_consent(evidence: Evidence, clock: Clock) -> None:
    consent = await evidence.submit(GrantConsent(grant(), actor=LENDER))
    await evidence.submit(ask("p1", consent.id))
    await evidence.submit(IssueProfile("p1", "f1", 1, b"a.b.c", (), ()))
    await evidence.submit(RecordEvent("profile.read", LENDER, consent.id, None, {"profile": "f1", "revision": 1}))
    await evidence.submit(ask("p2", consent.id))
    await evidence.submit(CloseFailed("p2", "deadline_exceeded"))
    with pytest.raises(ConsentOutOfScope):
        await evidence.submit(ask("p3", consent.id, items=(PermitItem("sh-tax", "tax_returns", frozenset({"tax"})),)))
    items = (("sh-hrss", "social_insurance", None), ("sh-registry", "registration", None))
    when = utc_text(clock())
    assert await evidence.uses_of(consent.id) == [
        Use(when, LENDER, "issued", "2025-12", "2026-11", items, reads=1),
        Use(when, LENDER, "deadline_exceeded", "2025-12", "2026-11", items),
        Use(when, LENDER, "consent_out_of_scope"),
    ]


async def test_a_list_too_large_for_an_entry_is_opened_and_unknown_once_its_key_or_row_is_gone(
    evidence: Evidence, tmp_path: Path
) -> None:
    scopes = [
        {"platform": f"sh-{place}", "dataset": name, "fields": list(data_set.fields)}
        for place in ("one", "two")
        for name, data_set in CATALOGUE.items()
    ]
    consent = await evidence.submit(GrantConsent(grant(scopes=scopes, separate_consents=list(CATALOGUE)), actor=LENDER))
    items = tuple(PermitItem(s["platform"], s["dataset"], frozenset(s["fields"])) for s in scopes)
    await evidence.submit(ask("p1", consent.id, items=items))
    (use,) = await evidence.uses_of(consent.id)
    assert use.items is not None
    assert set(use.items) == {(i.platform, i.dataset, None) for i in items}
    for change in ("UPDATE sealed SET nonce = zeroblob(12)", "DELETE FROM sealed"):
        with sqlite3.connect(tmp_path / "x.sqlite") as file:
            file.execute(change)
        file.close()
        (use,) = await evidence.uses_of(consent.id)
        assert use.items is None


async def test_a_withdrawn_consent_withholds_a_running_use_and_the_enterprise_sees_that(evidence: Evidence) -> None:
    consent = await evidence.submit(GrantConsent(grant(), actor=LENDER))
    await evidence.submit(ask("p1", consent.id))
    await evidence.change_consent(ChangeConsent(consent.id, ConsentState.REVOKED, "enterprise", "page"))
    outcome = await asyncio.gather(
        evidence.submit(IssueProfile("p1", "f1", 1, b"a.b.c", (), ())), return_exceptions=True
    )
    assert isinstance(outcome[0], Exception)
    assert [u.outcome for u in await evidence.uses_of(consent.id)] == ["consent_revoked"]


def test_a_resumed_permit_is_the_same_use_and_a_withheld_revision_leaves_the_issued_one() -> None:
    about = {"actor": LENDER, "time": "t1", "permit": "p1", "first": "2026-01", "last": "2026-02"}
    told = tell(
        [
            {"event": "consent.granted"},
            {**about, "event": "permit.granted", "items": [["a", "b", ["c"]]]},
            {
                **about,
                "event": "permit.granted",
                "permit": "p2",
                "items": [["a", "b", ["c"]], ["a", "b", ["c"], None, "o"]],
            },
            {**about, "event": "permit.closed", "code": "deadline_exceeded"},
            {**about, "event": "permit.resumed", "time": "t2", "items": None, "last": "2026-03"},
            {**about, "event": "profile.issued", "profile": "f1"},
            {**about, "event": "profile.withheld", "profile": "f1", "code": "consent_revoked"},
        ]
    )
    ways = (("a", "b", None), ("a", "b", "o"))
    assert told == [
        Use("t1", LENDER, "issued", "2026-01", "2026-03", None),
        Use("t1", LENDER, "open", "2026-01", "2026-02", ways),
    ]
