"""connectors.engine.call: guard, deadline, retries and credentials of every single send."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress
from connectors.engine.connector import DeclarativeConnector
from connectors.wire import WireReply, WireRequest
from schemas.errors import (
    ConsentRevoked,
    DeadlineExceeded,
    UpstreamBusy,
    UpstreamConnect,
    UpstreamDenied,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
)
from tests.engine_world import (
    BUSY,
    NONE,
    NOW,
    Answer,
    Naps,
    Scripted,
    Watch,
    ask,
    body,
    bureau,
    connector,
    edited,
    fetch,
    row,
)


async def test_no_call_is_made_when_the_guard_says_no(tmp_path: Path) -> None:
    script = Scripted([body([row()])])
    with pytest.raises(ConsentRevoked):
        await fetch(connector(bureau(tmp_path), script), guard=Watch(send=1))
    assert script.requests == []


async def test_an_answer_that_may_not_be_kept_on_arrival_is_not_read(tmp_path: Path) -> None:
    script = Scripted([{"code": "denied"}])
    with pytest.raises(ConsentRevoked):
        await fetch(connector(bureau(tmp_path), script), guard=Watch(keep=1))


async def test_no_byte_leaves_when_the_guard_says_no_while_a_connection_was_waited_for(tmp_path: Path) -> None:
    script = Scripted([body([row()])])
    with pytest.raises(ConsentRevoked):
        await fetch(connector(bureau(tmp_path), script), guard=Watch(send=2))
    assert script.requests == []


async def test_the_guard_is_asked_before_every_send_and_on_every_arrival(tmp_path: Path) -> None:
    guard, script = Watch(), Scripted([BUSY, UpstreamTimeout(), body([row()])])
    await fetch(connector(bureau(tmp_path), script), guard=guard)
    # Before a connection is sought and before the first byte on it.
    assert guard.asked == ["send", "send", "keep", "send", "send", "send", "send", "keep"]


async def test_a_retry_is_signed_afresh_with_a_new_nonce(tmp_path: Path) -> None:
    script, naps, progress = Scripted([BUSY, body([row()])]), Naps(), Progress()
    reply = await fetch(connector(bureau(tmp_path), script, sleep=naps), progress=progress)
    first, second = (request.headers["x-tif-nonce"] for request in script.requests)
    assert first != second
    assert (reply.attempts, progress.attempts, progress.calls, len(naps.taken)) == (2, 2, 2, 1)
    assert [one.outcome for one in progress.tries] == ["upstream_busy", "answered"]


async def test_a_wait_that_the_platform_asks_for_is_kept(tmp_path: Path) -> None:
    naps = Naps()
    script = Scripted([{"code": "busy", "wait": 3}, body([row()])])
    await fetch(connector(bureau(tmp_path), script, sleep=naps))
    assert naps.taken[0] >= 3


async def test_attempts_end_and_the_last_error_is_raised(tmp_path: Path) -> None:
    progress = Progress()
    with pytest.raises(UpstreamBusy):
        await ask(tmp_path, BUSY, BUSY, BUSY, progress=progress)
    assert progress.attempts == 3


TICKET = (
    'request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }',
    'strategy = "ticket"\nsubmit = { path = "/q", encode = "json", body = { uscc = "{uscc}" }, ticket = "ticket" }\n'
    'poll = { path = "/r/{ticket}", pending = [{ at = "code", equals = "wait" }], every = "2s", give_up = "20s",'
    ' encode = "json", body = {} }',
)
TAKEN = {"code": "0", "ticket": "t1"}


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        (UpstreamTruncated(), 1),
        (UpstreamTimeout(), 1),
        (WireReply(500, {}, b""), 1),
        (UpstreamConnect(), 3),
        (BUSY, 3),
    ],
    ids=["cut off", "no reply", "server error", "no connection", "busy"],
)
async def test_an_order_that_may_have_been_taken_is_not_given_again(
    tmp_path: Path, failure: Answer, times: int
) -> None:
    script = Scripted(by=lambda _: failure)
    with pytest.raises(UpstreamError):
        await fetch(connector(edited(tmp_path, TICKET), script))
    assert len(script.requests) == times


async def test_asking_for_what_was_ordered_is_tried_again(tmp_path: Path) -> None:
    script = Scripted([BUSY, TAKEN, UpstreamTruncated(), body([row()])])
    assert (await fetch(connector(edited(tmp_path, TICKET), script))).found is Found.FOUND


@pytest.mark.parametrize("failure", [{"code": "500"}, {"code": "denied"}])
async def test_what_does_not_help_is_not_tried_again(tmp_path: Path, failure: dict[str, Any]) -> None:
    progress = Progress()
    with pytest.raises(UpstreamRejected):
        await ask(tmp_path, failure, progress=progress)
    assert (progress.attempts, progress.calls, len(progress.tries)) == (1, 1, 1)


async def test_no_send_starts_after_the_deadline(tmp_path: Path) -> None:
    script = Scripted()
    with pytest.raises(DeadlineExceeded):
        await fetch(connector(bureau(tmp_path), script), patience=0)
    assert script.requests == []


async def test_one_send_may_take_the_manifest_s_time_but_never_more_than_is_left(tmp_path: Path) -> None:
    script = Scripted([NONE, NONE])
    made = connector(bureau(tmp_path), script)
    await fetch(made, patience=100)
    await fetch(made, patience=2)
    assert script.timeouts[0] == 5
    assert 0 < script.timeouts[1] <= 2


async def test_no_send_starts_when_the_deadline_passed_while_signing(tmp_path: Path) -> None:
    def slow_nonce() -> str:
        time.sleep(0.05)
        return "0123456789abcdef"

    script = Scripted()
    with pytest.raises(DeadlineExceeded):
        await fetch(connector(bureau(tmp_path), script, nonce=slow_nonce), patience=0.02)
    assert script.requests == []


async def test_a_request_id_is_new_for_every_attempt(tmp_path: Path) -> None:
    script = Scripted([BUSY, NONE])
    loaded = edited(tmp_path, ('encode = "json"', 'encode = "json", headers = { X-Id = "{request_id}" }'))
    await fetch(connector(loaded, script))
    first, second = script.requests
    assert first.headers["X-Id"] != second.headers["X-Id"] != first.headers["x-tif-nonce"]


OAUTH = (
    ('scheme = "tif"', 'scheme = "oauth2-client"\ntoken_path = "/token"'),
    ('["paasid", "token"]', '["client_id", "client_secret"]'),
)


def oauth(tmp_path: Path, script: Scripted) -> Any:
    loaded = edited(tmp_path, base=OAUTH)
    secrets = {"client_id": "invented", "client_secret": "invented"}
    return DeclarativeConnector(loaded, script, secrets, clock=lambda: NOW, sleep=Naps())


def issuer(good: Callable[[int], bool]) -> tuple[Scripted, list[str]]:
    """A platform with a token endpoint; ``good(n)`` says whether the n-th token is accepted."""
    tokens: list[str] = []

    def answer(request: WireRequest) -> Answer:
        if request.url.endswith("/token"):
            tokens.append(f"t{len(tokens) + 1}")
            return {"access_token": tokens[-1], "token_type": "Bearer", "expires_in": 1800}
        number = int(request.headers["Authorization"].removeprefix("Bearer t"))
        return body([row()]) if good(number) else WireReply(401, {}, b"{}")

    return Scripted(by=answer), tokens


async def test_a_refused_token_is_renewed_once_and_the_call_made_again(tmp_path: Path) -> None:
    script, tokens = issuer(lambda number: number > 1)
    progress, guard = Progress(), Watch()
    reply = await fetch(oauth(tmp_path, script), progress=progress, guard=guard)
    assert reply.found is Found.FOUND
    assert tokens == ["t1", "t2"]
    assert (progress.attempts, progress.calls) == (2, 4)
    assert [one.outcome for one in progress.tries] == ["upstream_denied", "answered"]
    assert guard.asked.count("send") == 2 * 4


async def test_a_second_refusal_is_final(tmp_path: Path) -> None:
    script, tokens = issuer(lambda number: False)
    with pytest.raises(UpstreamDenied):
        await fetch(oauth(tmp_path, script))
    assert tokens == ["t1", "t2"]


async def test_who_refuses_everybody_for_good_is_not_asked_for_ever_new_tokens(tmp_path: Path) -> None:
    script, tokens = issuer(lambda number: False)
    made = oauth(tmp_path, script)
    for _ in range(50):
        with pytest.raises(UpstreamDenied):
            await fetch(made)
    assert tokens == ["t1", "t2", "t3"]
    assert len(script.requests) == 50 + len(tokens) + 2


async def test_a_token_serves_all_data_sets_that_share_its_switches(tmp_path: Path) -> None:
    script, tokens = issuer(lambda number: True)
    made = oauth(tmp_path, script)
    for _ in range(3):
        await fetch(made)
    assert tokens == ["t1"]


async def test_switches_of_one_data_set_reach_its_signer(tmp_path: Path) -> None:
    base = (
        ('scheme = "tif"', 'scheme = "national"'),
        ('["paasid", "token"]', '["rid", "app_secret"]'),
    )
    loaded = edited(tmp_path, ('"provident_fund"', '"provident_fund"\nauth = { sid = "s_fund" }'), base=base)
    script = Scripted([NONE])
    made = DeclarativeConnector(loaded, script, {"rid": "r", "app_secret": "s"}, clock=lambda: NOW)
    await fetch(made)
    assert script.requests[0].headers["gjzwfwpt_sid"] == "s_fund"
