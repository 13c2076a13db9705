"""Answers that are used again in place of a call, and calls that are shared: what the lender gets, what the platforms
see, and what the log says of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from connectors.engine.connector import DeclarativeConnector
from consent.consents import ChangeConsent
from consent.evidence import Evidence
from consent.log.archive import unpack
from consent.log.bundle import verify_bundle
from consent.log.note import Vkey
from consent.shredding import Reason
from gateway.profile.flights import Flights
from schemas.consent import ConsentState
from schemas.errors import UpstreamDenied, UpstreamError, UpstreamTimeout
from schemas.profile import Profile
from tests.gateway_world import SMALL, Reply, World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("reuse"), deadline_seconds=6) as made:
        yield made


async def ask(world: World, consent: dict[str, Any], **changes: Any) -> Reply:
    headers = changes.pop("headers", {})
    return await world.send("POST", "/v1/profiles", world.ask(consent["id"], **changes), lender=world.lender, **headers)


async def asked(world: World, consent: dict[str, Any], **changes: Any) -> tuple[dict[str, Any], int]:
    """The profile, and how often platforms were called for it."""
    before = await world.calls()
    reply = await ask(world, consent, **changes)
    assert reply.status == 200, reply.json
    profile = reply.json
    Profile.model_validate_json(json.dumps({k: v for k, v in profile.items() if k != "log"}))
    return profile, await world.calls() - before


async def test_within_the_age_asked_an_earlier_answer_is_used_again_and_says_so(world: World) -> None:
    consent = await world.consent()
    first, calls = await asked(world, consent)
    assert (calls > 0, first["sources"][0]["origin"]) == (True, None)
    again, calls = await asked(world, consent, max_age="60d")
    assert calls == 0
    (before,), (source,) = first["sources"], again["sources"]
    entry = first["log"]["index"]
    (permit,) = [
        e["permit"]
        for e in [json.loads(one.entry) for one in await world.demo.services.evidence.entries(entry, entry + 1)]
    ]
    assert source["origin"] == {
        "how": "reused",
        "permit": permit,
        "entry": entry,
        "commitment": before["commitment"],
    }
    same = ("platform", "dataset", "state", "fetched_at", "as_of", "connector_version", "records", "repairs")
    assert [source[k] for k in same] == [before[k] for k in same]
    assert (source["attempts"], [step["what"] for step in source["timeline"]]) == (0, ["reuse"])
    assert source["commitment"] != before["commitment"]
    assert again["sections"] == first["sections"]
    assert again["findings"] == first["findings"]
    assert again["indicators"] == first["indicators"]
    held = await world.demo.services.evidence.consent(consent["id"])
    assert held is not None
    assert held.uses == 2


async def test_a_whole_profile_is_made_of_earlier_answers_without_a_call_and_its_evidence_proves_them(
    world: World,
) -> None:
    consent = await world.consent()
    first, _ = await asked(world, consent, datasets=None)
    again, calls = await asked(world, consent, datasets=None, max_age="999d")
    assert calls == 0
    for part in ("sections", "findings", "indicators", "completeness"):
        assert again[part] == first[part], part
    # What was used again is still what the first profile brought.
    third, calls = await asked(world, consent, max_age="60d")
    assert (calls, third["sources"][0]["origin"]["entry"]) == (0, first["log"]["index"])
    path = f"/v1/profiles/{again['id']}/evidence"
    data = (await world.send("GET", path, lender=world.lender)).body
    vkey = Vkey.parse((await world.send("GET", "/log/vkey")).body.decode().strip())
    report = verify_bundle(data, [vkey], (await world.send("GET", "/.well-known/jwks.json")).json)
    assert (report.problem, report.profile, report.profile_trusted) == (None, again["id"], True)
    entry = first["log"]["index"]
    assert (entry, "profile.issued") in [(index, event) for index, event, _, _ in report.entries]
    assert f"answer of entry {entry} used again" in unpack(data)["index.html"].decode()


def always_asked() -> dict[str, dict[str, Any]]:
    return {
        "no age is given": {},
        "the caller says so": {"max_age": "60d", "headers": {"Cache_Control": "max-age=0, No-Cache"}},
        "other months": {"max_age": "60d", "months": 3},
        "other data sets": {"max_age": "60d", "datasets": ["provident_fund"]},
    }


@pytest.mark.parametrize("why", always_asked())
async def test_platforms_are_asked_where_anything_differs(world: World, why: str) -> None:
    consent = await world.consent()
    await asked(world, consent)
    profile, calls = await asked(world, consent, **always_asked()[why])
    assert calls > 0
    assert [source["origin"] for source in profile["sources"]] == [None]


async def test_what_was_brought_under_another_consent_is_never_used(world: World) -> None:
    await asked(world, await world.consent())
    _, calls = await asked(world, await world.consent(application="LN-2"), max_age="60d")
    assert calls > 0
    theirs = await world.consent(world.other)
    before = await world.calls()
    await world.send("POST", "/v1/profiles", world.ask(theirs["id"], max_age="60d"), lender=world.other)
    assert await world.calls() > before


async def test_what_was_brought_before_a_consent_rested_is_asked_for_again(world: World) -> None:
    consent = await world.consent()
    await asked(world, consent)
    for act in ("suspend", "resume"):
        await world.lender.call("POST", f"/v1/consents/{consent['id']}/{act}", {"reason": "示例"})
    _, calls = await asked(world, consent, max_age="60d")
    assert calls > 0


@pytest.mark.parametrize(("freshness", "age"), [("1h", "60d"), ("92d", "1d")])
async def test_what_is_too_old_by_the_manifest_or_for_the_lender_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch, freshness: str, age: str
) -> None:
    consent = await world.consent()
    await asked(world, consent)
    monkeypatch.setattr(world.demo.services.connectors["sh-hrss"], "freshness", {SMALL: freshness})
    monkeypatch.setattr(world.watch, "ahead", timedelta(hours=2 if age == "60d" else 0))
    # By its own date the answer is three weeks old or more, so within a day it would be stale.
    profile, calls = await asked(world, consent, max_age=age)
    assert (calls > 0, profile["sources"][0]["origin"]) == (True, None)


async def test_what_was_fetched_before_the_clock_was_set_back_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.watch, "ahead", timedelta(seconds=-20))
    consent = await world.consent()
    await asked(world, consent)
    profile, calls = await asked(world, consent, max_age="60d")
    assert (calls > 0, profile["sources"][0]["origin"]) == (True, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", property(lambda _: "2.0+0123456789ab")),
        ("datasets", property(lambda _: {SMALL: frozenset({"month"})})),
    ],
)
async def test_another_version_of_a_connector_and_other_fields_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    consent = await world.consent()
    await asked(world, consent)
    connector = world.demo.services.connectors["sh-hrss"]
    with monkeypatch.context() as patch:
        patch.setattr(type(connector), name, value)
        _, calls = await asked(world, consent, max_age="60d")
    assert calls > 0


async def test_a_silent_platform_is_stood_in_for_by_an_older_answer_that_is_marked_stale(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    first, _ = await asked(world, consent)
    connector = world.demo.services.connectors["sh-hrss"]
    monkeypatch.setattr(connector, "freshness", {SMALL: "1s"})
    monkeypatch.setattr(world.watch, "ahead", timedelta(seconds=5))
    monkeypatch.setattr(type(connector), "fetch", failing(UpstreamTimeout))
    profile, _ = await asked(world, consent, max_age="60d")
    section = profile["sections"][SMALL]
    assert (section["state"], section["reason"]) == ("stale", "upstream_timeout")
    assert section["records"] == first["sections"][SMALL]["records"]
    (source,) = profile["sources"]
    assert (source["origin"]["how"], source["fetched_at"]) == ("reused", first["sources"][0]["fetched_at"])
    assert [step["what"] for step in source["timeline"]] == ["reuse"]
    path = f"/v1/profiles/{profile['id']}/evidence"
    report = verify_bundle((await world.send("GET", path, lender=world.lender)).body)
    assert (report.problem, report.profile) == (None, profile["id"])
    # Nobody vouches for it any more: it is not used again in its turn.
    again, _ = await asked(world, consent, max_age="60d")
    assert again["sources"][0]["origin"]["entry"] == first["log"]["index"]
    # Without an age the lender takes no older answer, and what a refusal puts in doubt is given to nobody.
    assert (await asked(world, consent))[0]["sections"][SMALL]["state"] == "unavailable"
    monkeypatch.setattr(type(connector), "fetch", failing(UpstreamDenied))
    assert (await asked(world, consent, max_age="60d"))[0]["sections"][SMALL]["state"] == "denied"


async def test_that_there_was_no_record_is_not_said_for_a_platform_that_is_silent_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    name = next(name for name, state in world.firm["states"].items() if state == "empty_confirmed")
    first, _ = await asked(world, consent, datasets=[name])
    again, calls = await asked(world, consent, datasets=[name], max_age="60d")
    assert (calls, again["sections"][name]["state"]) == (0, "empty_confirmed")
    connector = world.demo.services.connectors[first["sources"][0]["platform"]]
    monkeypatch.setattr(connector, "freshness", {name: "1s"})
    monkeypatch.setattr(world.watch, "ahead", timedelta(seconds=5))
    monkeypatch.setattr(type(connector), "fetch", failing(UpstreamTimeout))
    silent, _ = await asked(world, consent, datasets=[name], max_age="60d")
    assert silent["sections"][name]["state"] == "unavailable"


async def test_of_a_platform_that_is_switched_off_nothing_is_used(world: World) -> None:
    consent = await world.consent()
    await asked(world, consent)
    switches = world.demo.services.connectors.switches
    assert switches.folder is not None
    switches.folder.mkdir(exist_ok=True)
    switch = switches.folder / "sh-hrss"
    switch.touch()
    switches.off = switches.read()
    try:
        profile, _ = await asked(world, consent, max_age="60d")
    finally:
        switch.unlink()
        switches.off = switches.read()
    section = profile["sections"][SMALL]
    assert (section["state"], section["reason"], section["records"]) == ("unavailable", "platform_off", [])


def failing(kind: type[UpstreamError]) -> Any:
    async def fetch(*_: Any) -> Any:
        raise kind

    return fetch


class Gate:
    """Calls of the one platform wait here; ``entered`` are the permits that want its answer."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.two = asyncio.Event(), asyncio.Event()
        self.entered: list[str] = []
        self.fetches = 0
        fetch, once = DeclarativeConnector.fetch, Flights.once

        async def waiting(connector: DeclarativeConnector, *told: Any) -> Any:
            self.fetches += 1
            await self.open.wait()
            return await fetch(connector, *told)

        async def counted(flights: Flights, question: Any, permit: str, *told: Any) -> Any:
            self.entered.append(permit)
            if len(self.entered) == 2:
                self.two.set()
            return await once(flights, question, permit, *told)

        monkeypatch.setattr(DeclarativeConnector, "fetch", waiting)
        monkeypatch.setattr(Flights, "once", counted)

    async def both(self) -> None:
        async with asyncio.timeout(10):
            await self.two.wait()


async def test_two_requests_for_the_same_at_the_same_time_make_one_call_and_are_two_uses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    gate = Gate(world, monkeypatch)
    spared = counted(world, "shared")
    requests = [asyncio.create_task(ask(world, consent)) for _ in range(2)]
    await gate.both()
    gate.open.set()
    profiles = [(await request).json for request in requests]
    assert gate.fetches == 1
    assert counted(world, "shared") == spared + 1
    held = await world.demo.services.evidence.consent(consent["id"])
    assert held is not None
    assert held.uses == 2
    profiles.sort(key=lambda profile: profile["sources"][0]["origin"] is not None)
    own, shared = (profile["sources"][0] for profile in profiles)
    assert own["origin"] is None
    assert shared["origin"] == {"how": "shared", "permit": gate.entered[0], "entry": None, "commitment": None}
    assert (shared["attempts"], [step["what"] for step in shared["timeline"]]) == (0, ["share"])
    assert profiles[0]["sections"] == profiles[1]["sections"]
    path = f"/v1/profiles/{profiles[1]['id']}/evidence"
    report = verify_bundle((await world.send("GET", path, lender=world.lender)).body)
    assert report.problem is None


async def test_a_withdrawal_stops_who_waits_for_the_call_of_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    gate = Gate(world, monkeypatch)
    before = await world.calls()
    requests = [asyncio.create_task(ask(world, consent)) for _ in range(2)]
    await gate.both()
    await world.lender.call("POST", f"/v1/consents/{consent['id']}/revoke", {"reason": "示例"})
    gate.open.set()
    assert {(await request).json["code"] for request in requests} == {"consent_revoked"}
    assert await world.calls() == before


async def test_a_withdrawal_after_the_look_for_earlier_answers_releases_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    await asked(world, consent)
    found = Evidence.earlier

    async def overtaken(self: Evidence, *told: Any) -> Any:
        held = await found(self, *told)
        assert held
        await self.change_consent(ChangeConsent(consent["id"], ConsentState.REVOKED, "demo-bank", "示例"))
        return held

    monkeypatch.setattr(Evidence, "earlier", overtaken)
    reply = await ask(world, consent, max_age="60d")
    assert (reply.status, reply.json["code"]) == (403, "consent_revoked")


async def test_what_was_shredded_is_asked_for_again(world: World) -> None:
    consent = await world.consent()
    first, _ = await asked(world, consent)
    await world.demo.services.evidence.keeper.shred(first["subject"]["uscc"], Reason.REQUESTED, "an invented law")
    _, calls = await asked(world, consent, max_age="60d")
    assert calls > 0


async def test_a_spared_call_is_counted_and_says_nothing_about_the_health_of_its_platform(world: World) -> None:
    consent = await world.consent()
    await asked(world, consent)
    health, spared = world.demo.services.health, counted(world, "reused")
    before = health.minutes["sh-hrss"]
    fetches = sum(map(sum, before.values()))
    await asked(world, consent, max_age="60d")
    assert counted(world, "reused") == spared + 1
    assert sum(map(sum, health.minutes["sh-hrss"].values())) == fetches


def counted(world: World, how: str) -> float:
    labels = {"platform": "sh-hrss", "dataset": SMALL, "how": how}
    return world.demo.services.metrics.registry.get_sample_value("xinqiao_calls_spared_total", labels) or 0.0
