"""Profiles made while nobody waits: told where they will be, found there, and never left in the dark."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import gateway.jobs.running as running
from consent.permits import Permit, Sweep
from gateway.jobs.running import JOBS, Jobs, running_jobs
from gateway.profile import request as request_module
from gateway.profile.collect import collect
from gateway.profile.issue import IssuedProfile
from gateway.services import open_services
from schemas.errors import Overloaded
from tests.gateway_world import Reply, World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

LATER = "respond-async"


@dataclass
class Gate:
    """Holds every request between its permit and the platforms until ``opened``."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    entered: int = 0
    left: int = 0

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def held(*args: Any) -> Any:
            self.entered += 1
            try:
                await self.opened.wait()
                return await collect(*args)
            finally:
                self.left += 1

        monkeypatch.setattr(request_module, "collect", held)


@pytest_asyncio.fixture(loop_scope="module")
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    made = Gate()
    made.put(monkeypatch)
    yield made
    made.opened.set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("jobs")) as made:
        yield made


async def later(world: World, consent_id: str, prefer: str = LATER, **headers: str) -> Reply:
    return await world.send(
        "POST", "/v1/profiles", world.ask(consent_id), lender=world.lender, Prefer=prefer, **headers
    )


async def at(world: World, location: str, **headers: str) -> Reply:
    return await world.send("GET", location, lender=world.lender, **headers)


async def once_done(world: World, location: str) -> Reply:
    async with asyncio.timeout(20):
        while (reply := await at(world, location)).status == 202:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.01)
        return reply


async def told(world: World, consent_id: str) -> list[dict[str, Any]]:
    return [json.loads(e.entry) for e in await world.demo.services.evidence.entries_about(consent_id)]


async def test_the_place_of_a_profile_is_told_and_says_pending_until_it_is_there(world: World, gate: Gate) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"])
    location = reply.headers["Location"]
    assert reply.status == 202
    assert location == f"/v1/profiles/{reply.json['id']}"
    assert reply.json.keys() == {"id", "state", "valid_until"}
    pending = await at(world, location)
    assert (pending.status, pending.json) == (202, reply.json)
    assert pending.json["state"] == "pending"
    assert int(pending.headers["Retry-After"]) > 0
    gate.opened.set()
    done = await once_done(world, location)
    assert done.status == 200
    assert done.json["consent_id"] == consent["id"]
    assert (await at(world, f"/v1/profiles/{done.json['id']}")).json["sections"] == done.json["sections"]
    jose = await at(world, location, Accept="application/jose")
    assert jose.headers["Content-Type"] == "application/jose"
    events = [e["event"] for e in await told(world, consent["id"])]
    assert events == ["consent.granted", "permit.granted", "profile.issued", *["profile.read"] * 3]


async def test_what_is_refused_is_told_at_once(world: World) -> None:
    refused = await later(world, "no-such-consent")
    assert (refused.status, refused.json["code"]) == (404, "consent_missing")


async def test_a_caller_that_waits_a_little_gets_the_profile_where_that_is_enough(world: World) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"], "respond-async, wait=20")
    assert reply.status == 200
    assert reply.headers["Location"] == f"/v1/profiles/{reply.json['id']}"


async def test_a_caller_that_has_waited_is_told_the_place(world: World, gate: Gate) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"], "Respond-Async,wait=1")
    assert reply.status == 202
    gate.opened.set()
    assert (await once_done(world, reply.headers["Location"])).status == 200


async def test_the_same_key_is_at_work_and_then_gets_the_profile(world: World, gate: Gate) -> None:
    consent = await world.consent()
    first = await later(world, consent["id"], Idempotency_Key="later-1")
    again = await later(world, consent["id"], Idempotency_Key="later-1")
    assert (again.status, again.json["code"]) == (409, "idempotency_running")
    gate.opened.set()
    done = await once_done(world, first.headers["Location"])
    again = await later(world, consent["id"], Idempotency_Key="later-1")
    assert (again.status, again.json["id"]) == (200, done.json["id"])


async def test_a_withdrawal_ends_the_work_and_its_place_says_so(world: World, gate: Gate) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"])
    path = f"/v1/consents/{consent['id']}/revoke"
    await world.send("POST", path, {"reason": "示例"}, lender=world.lender)
    gate.opened.set()
    ended = await once_done(world, reply.headers["Location"])
    assert (ended.status, ended.json["code"]) == (409, "profile_not_made")
    assert ended.json["details"]["why"] == "consent_revoked"
    assert "profile.issued" not in [e["event"] for e in await told(world, consent["id"])]


async def test_what_died_with_its_process_is_unknown_before_and_after_the_sweep(world: World, gate: Gate) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"])
    world.watch.ahead = timedelta(seconds=world.demo.services.settings.limits.permit_seconds + 1)
    try:
        before = await at(world, reply.headers["Location"])
        await world.demo.services.evidence.submit(Sweep())
        after = await at(world, reply.headers["Location"])
    finally:
        world.watch.ahead = timedelta(0)
    for answer in (before, after):
        assert (answer.status, answer.json["details"]["why"]) == (409, "outcome_unknown")
    # It was not dead after all: too late, nothing is released.
    gate.opened.set()
    await quiet(world)
    assert (await at(world, reply.headers["Location"])).status == 409
    assert "profile.issued" not in [e["event"] for e in await told(world, consent["id"])]


async def quiet(world: World) -> None:
    """Until no work is left that nobody waits for."""
    async with asyncio.timeout(20):
        while world.app[JOBS]._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_defect_in_the_work_is_told_without_what_it_said(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("CANARY-77aa")

    monkeypatch.setattr(request_module, "collect", broken)
    reply = await later(world, (await world.consent())["id"])
    location = reply.headers["Location"] if reply.status == 202 else None
    await quiet(world)
    said = capsys.readouterr().out
    assert "RuntimeError" in said
    assert "CANARY" not in said
    if location is not None:
        ended = await at(world, location)
        assert (ended.status, ended.json["details"]["why"]) == (409, "internal_error")


async def test_the_work_of_another_lender_is_not_there(world: World, gate: Gate) -> None:
    consent = await world.consent()
    reply = await later(world, consent["id"])
    theirs = await world.send("GET", reply.headers["Location"], lender=world.other)
    nothing = await world.send("GET", "/v1/profiles/m" + "0" * 30, lender=world.other)
    assert theirs.status == nothing.status == 404
    assert theirs.json == nothing.json
    events = await told(world, consent["id"])
    assert (events[-1]["event"], events[-1]["actor"]) == ("access.refused", "other-bank")
    gate.opened.set()
    await quiet(world)


async def test_more_than_a_process_can_hold_is_refused_before_any_permit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST", 0)
    consent = await world.consent()
    reply = await later(world, consent["id"])
    assert (reply.status, reply.json["code"]) == (503, "overloaded")
    assert [e["event"] for e in await told(world, consent["id"])] == ["consent.granted"]


@pytest.mark.parametrize("prefer", ["", LATER])
async def test_a_client_that_goes_away_leaves_work_that_comes_to_its_end(world: World, prefer: str) -> None:
    chance = random.Random(20261124)
    consent = await world.consent()
    await world.lender.authorization()
    for _ in range(20):
        task = asyncio.create_task(later(world, consent["id"], prefer))
        await asyncio.sleep(chance.random() * 0.06)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def open_permits() -> int:
        events = [e["event"] for e in await told(world, consent["id"])]
        return events.count("permit.granted") - events.count("profile.issued") - events.count("permit.closed")

    async with asyncio.timeout(20):
        while await open_permits() or world.app[JOBS]._tasks:  # noqa: ASYNC110 - asked of the log
            await asyncio.sleep(0.01)
    events = [e["event"] for e in await told(world, consent["id"])]
    assert "permit.closed" not in events
    assert events.count("profile.issued") == events.count("permit.granted") > 0


async def test_a_gateway_that_stops_closes_what_it_cannot_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    gate.put(monkeypatch)
    async with gateway_world(tmp_path, shutdown_seconds=0.05) as world:
        consent = await world.consent()
        assert (await later(world, consent["id"])).status == 202
        settings = world.demo.services.settings
    assert (gate.entered, gate.left) == (1, 1)
    async with open_services(settings) as services:
        events = [json.loads(e.entry) for e in await services.evidence.entries_about(consent["id"])]
    assert (events[-1]["event"], events[-1]["code"]) == ("permit.closed", "shutting_down")


async def test_work_is_given_its_time_when_the_gateway_stops() -> None:
    made = IssuedProfile("p1", b"", b"{}", {})
    permit: Any = object()

    async def work(granted: Any) -> IssuedProfile:
        granted(permit)
        await asyncio.sleep(0.02)
        ended.append("in time")
        return made

    ended: list[str] = []
    async with running_jobs(20) as jobs:
        begun: IssuedProfile | Permit = await jobs.begin(work, 0)
        assert begun is permit
    assert ended == ["in time"]
    assert await Jobs().begin(work, 20) is made


async def test_nothing_is_left_behind_by_work_that_was_refused() -> None:
    async def refused(_: Any) -> IssuedProfile:
        raise Overloaded

    jobs = Jobs()
    with pytest.raises(Overloaded):
        await jobs.begin(refused, 20)
    await asyncio.sleep(0)
    assert not jobs._tasks
    await jobs.stop(0)
