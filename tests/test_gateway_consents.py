"""Consents over HTTP: registered by their grantee, found, withdrawn, suspended and resumed, with their history."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from gateway.client import LenderError
from schemas.base import utc_text
from tests.gateway_world import OTHER, World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("consents")) as made:
        yield made


async def change(world: World, consent_id: str, verb: str, reason: str = "示例原因") -> tuple[int, dict[str, Any]]:
    path = f"/v1/consents/{consent_id}/{verb}"
    reply = await world.send("POST", path, {"reason": reason}, lender=world.lender)
    return reply.status, reply.json


async def test_a_consent_is_registered_and_has_a_place_of_its_own(world: World) -> None:
    reply = await world.send("POST", "/v1/consents", world.grant(), lender=world.lender)
    assert reply.status == 201
    consent = reply.json
    assert reply.headers["Location"] == f"/v1/consents/{consent['id']}"
    assert (consent["state"], consent["version"], consent["uses"]) == ("active", 1, 0)
    assert consent["assurance"] == "lender_asserted"
    shown = await world.send("GET", reply.headers["Location"], lender=world.lender)
    assert (shown.status, shown.json) == (200, consent)
    listed = await world.send("GET", "/v1/consents", lender=world.lender)
    assert consent in listed.json["consents"]


async def test_a_lender_registers_only_what_was_given_to_itself(world: World) -> None:
    held = await world.demo.services.evidence.consents_of(None)
    reply = await world.send("POST", "/v1/consents", world.grant(grantee=OTHER), lender=world.lender)
    assert (reply.status, reply.json["code"], reply.json["details"]["at"]) == (403, "forbidden", "grantee")
    assert await world.demo.services.evidence.consents_of(None) == held


async def test_a_list_holds_ones_own_consents_only(world: World) -> None:
    theirs = await world.consent(world.other)
    mine = await world.consent()
    for lender, seen, unseen in ((world.lender, mine, theirs), (world.other, theirs, mine)):
        listed = (await world.send("GET", "/v1/consents", lender=lender)).json["consents"]
        ids = [c["id"] for c in listed]
        assert seen["id"] in ids
        assert unseen["id"] not in ids


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": [{"platform": "sh-tax", "dataset": "tax_returns", "fields": []}]}, "scopes.0.fields"),
        ({"scopes": [{"platform": "sh-tax", "dataset": "no_such", "fields": ["x"]}]}, "scopes[0].dataset"),
        ({"valid_to": "2020-01-01T00:00:00+00:00"}, "valid_to"),
        ({"valid_to": "2030-01-01T00:00:00+08:00"}, "valid_to"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": "5"}, "max_uses"),
        ({"purpose": "贷款"}, "purpose"),
        ({"subject": {"uscc": "91990000XQ0000005A", "name": "示例"}}, "subject.uscc"),
        ({"frequency": {"uses": 1, "days": 0}}, "frequency.days"),
        ({"assurance": "certain"}, "assurance"),
        ({"id": "c1"}, "id"),
    ],
)
async def test_a_grant_that_could_not_be_honoured_is_refused_with_its_place(
    world: World, changes: dict[str, Any], at: str
) -> None:
    size = world.demo.services.evidence.size
    reply = await world.send("POST", "/v1/consents", world.grant(**changes), lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, at), reply.json
    assert world.demo.services.evidence.size == size


async def test_a_consent_is_suspended_resumed_and_withdrawn_and_remembers_it(world: World) -> None:
    consent = await world.consent()
    steps = (("suspend", "suspended", 2), ("resume", "active", 3), ("revoke", "revoked", 4))
    for verb, state, version in steps:
        status, body = await change(world, consent["id"], verb, f"{verb} 原因")
        assert (status, body["state"], body["version"]) == (200, state, version)
        assert body["id"] == consent["id"]
    history = (await world.send("GET", f"/v1/consents/{consent['id']}/history", lender=world.lender)).json["history"]
    assert [(h["state"], h["actor"], h["reason"]) for h in history] == [
        ("active", "demo-bank", None),
        ("suspended", "demo-bank", "suspend 原因"),
        ("active", "demo-bank", "resume 原因"),
        ("revoked", "demo-bank", "revoke 原因"),
    ]
    assert [h["at"] for h in history] == sorted(h["at"] for h in history)


@pytest.mark.parametrize(
    ("before", "verb"),
    [([], "resume"), (["suspend"], "suspend"), (["revoke"], "suspend"), (["revoke"], "resume")],
    ids=["resume an active one", "suspend twice", "suspend a withdrawn one", "resume a withdrawn one"],
)
async def test_a_change_that_the_state_does_not_allow_is_a_conflict(world: World, before: list[str], verb: str) -> None:
    consent = await world.consent()
    for one in before:
        await change(world, consent["id"], one)
    status, body = await change(world, consent["id"], verb)
    assert (status, body["code"]) == (409, "consent_conflict")


async def test_withdrawing_twice_is_one_withdrawal(world: World) -> None:
    consent = await world.consent()
    first = await change(world, consent["id"], "revoke")
    assert await change(world, consent["id"], "revoke") == first


async def test_after_a_withdrawal_was_acknowledged_no_call_is_made(world: World) -> None:
    consent = await world.consent()
    await world.lender.profile(world.ask(consent["id"]))
    await change(world, consent["id"], "revoke")
    before = await world.calls()
    with pytest.raises(LenderError) as caught:
        await world.lender.profile(world.ask(consent["id"]))
    assert (caught.value.status, caught.value.problem["code"]) == (403, "consent_revoked")
    assert await world.calls() == before


async def test_uses_are_counted_where_people_see_them(world: World) -> None:
    consent = await world.consent(max_uses=1)
    await world.lender.profile(world.ask(consent["id"]))
    shown = (await world.send("GET", f"/v1/consents/{consent['id']}", lender=world.lender)).json
    assert (shown["uses"], shown["state"]) == (1, "exhausted")


def anew(world: World, **changes: Any) -> dict[str, Any]:
    """The same grant, agreed again in another document a minute ago."""
    given = utc_text(world.watch() - timedelta(minutes=1))
    return world.grant(
        **{"given_at": given, "evidence": {"sha256": "a" * 64, "media_type": "application/pdf"}, **changes}
    )


async def test_an_amended_consent_takes_the_place_of_the_old_one(world: World) -> None:
    old = await world.consent()
    path = f"/v1/consents/{old['id']}/amend"
    reply = await world.send("POST", path, anew(world, max_uses=2), lender=world.lender)
    new = reply.json
    assert (reply.status, reply.headers["Location"]) == (201, f"/v1/consents/{new['id']}")
    assert (new["amends"], new["max_uses"]) == ([old["id"]], 2)
    with pytest.raises(LenderError) as caught:
        await world.lender.profile(world.ask(old["id"]))
    assert caught.value.problem["code"] == "consent_superseded"
    await world.lender.profile(world.ask(new["id"]))
    history = (await world.send("GET", f"/v1/consents/{new['id']}/history", lender=world.lender)).json["history"]
    assert [(h["consent_id"], h["state"]) for h in history] == [
        (old["id"], "active"),
        (new["id"], "active"),
        (old["id"], "superseded"),
    ]


async def test_an_amendment_without_a_new_act_or_for_another_lender_is_refused(world: World) -> None:
    old = await world.consent()
    path = f"/v1/consents/{old['id']}/amend"
    same = await world.send("POST", path, anew(world, evidence=old["evidence"]), lender=world.lender)
    assert (same.status, same.json["code"], same.json["details"]["at"]) == (409, "consent_conflict", "evidence")
    other = await world.send("POST", path, anew(world, grantee=OTHER), lender=world.lender)
    assert (other.status, other.json["details"]["at"]) == (403, "grantee")
    shown = await world.send("GET", f"/v1/consents/{old['id']}", lender=world.lender)
    assert shown.json["state"] == "active"
