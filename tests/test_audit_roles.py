"""Who may call what: every route with the token of every role, and what a refusal leaves behind."""

import re
from collections.abc import AsyncIterator
from typing import Any, get_args

import orjson
import pytest
import pytest_asyncio

from gateway.api.routing import Route
from gateway.app import ROUTES
from gateway.authorize.desk import DESK
from gateway.client import LenderClient
from gateway.settings import Role
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")
GUARDED = [route for route in ROUTES if route.lender]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("roles"), refused_burst=10_000) as made:
        yield made


def client(world: World, role: Role) -> LenderClient:
    clients: dict[Role, LenderClient] = {"lender": world.lender, "operator": world.operator, "auditor": world.auditor}
    return clients[role]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


async def last_entry(world: World) -> dict[str, Any]:
    evidence = world.demo.services.evidence
    (found,) = await evidence.entries(evidence.size - 1, evidence.size)
    entry: dict[str, Any] = orjson.loads(found.entry)
    return entry


@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("route", GUARDED, ids=named)
async def test_a_route_is_closed_to_every_role_but_its_own_and_the_attempt_is_in_the_log(
    world: World, route: Route, role: Role
) -> None:
    size = world.demo.services.evidence.size
    path = re.sub(r"{[^}]+}", "nothing-of-yours", route.path)
    body = b"{" if route.takes else None
    reply = await world.send(route.method, path, body, lender=client(world, role))
    if role in route.roles:
        # Whatever it is that is wrong with so poor a request, it is not the role.
        assert reply.status in {200, 400, 404}
        return
    assert (reply.status, reply.json["code"], reply.json["details"]["at"]) == (403, "forbidden", "role")
    assert world.demo.services.evidence.size == size + 1
    entry = await last_entry(world)
    assert (entry["event"], entry["code"], entry["operation"]) == ("access.refused", "forbidden", named(route))
    assert entry["actor"] == {"lender": "demo-bank", "operator": "the-operator", "auditor": "the-auditor"}[role]


async def not_theirs(world: World) -> list[str]:
    """Ids of everything that another lender has, and one of nothing."""
    consent = await world.consent(world.other)
    profile = await world.other.profile(world.ask(consent["id"]))
    asked = {"url": "https://hook.example.com/in", "events": ["consent.revoked"]}
    webhook = await world.send("POST", "/v1/webhooks", asked, lender=world.other)
    evidence = world.demo.services.evidence
    of = [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]
    permit = next(entry["permit"] for entry in of if entry["event"] == "permit.granted")
    return ["nothing-of-yours", "m" + "0" * 30, consent["id"], profile["id"], webhook.json["id"], permit]


async def test_every_404_and_403_of_every_route_is_one_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.app[DESK], "identity", None)
    ids = await not_theirs(world)
    bodies: dict[str, Any] = {
        "POST /v1/consents": world.grant(grantee="other-bank"),
        "POST /v1/consents/{id}/amend": world.grant(),
        **{f"POST /v1/consents/{{id}}/{act}": {"reason": "x"} for act in ("revoke", "suspend", "resume")},
        "POST /v1/consent-requests": {},
        "POST /v1/profiles": world.ask("c" + "0" * 30),
        "POST /v1/log/unmask": {"index": 10**9, "reason": "x"},
    }
    evidence = world.demo.services.evidence
    silent = []
    for route in GUARDED:
        for one in ids if "{" in route.path else ids[:1]:
            size = evidence.size
            path = re.sub(r"{[^}]+}", one, route.path)
            reply = await world.send(route.method, path, bodies.get(named(route)), lender=client(world, route.roles[0]))
            if "{" in route.path or {403, 404} & {*route.errors}:
                assert reply.status in (403, 404), (named(route), reply.body)
                entry = await last_entry(world)
                refused = entry["event"] in ("access.refused", "permit.refused")
                silent += [] if refused and evidence.size == size + 1 else [named(route)]
            else:
                assert reply.status not in (403, 404), named(route)
    assert silent == []


async def test_there_is_something_to_refuse_for_every_role() -> None:
    for role in ("operator", "auditor"):
        assert any(role not in route.roles for route in GUARDED)
        assert any(role in route.roles for route in GUARDED)


async def test_a_wrong_assertion_is_in_the_log_and_names_nobody(world: World) -> None:
    form = b"grant_type=client_credentials&client_assertion_type=x&client_assertion=demo-bank"
    reply = await world.send("POST", "/oauth/token", form, Content_Type="application/x-www-form-urlencoded")
    assert (reply.status, reply.json["code"]) == (401, "invalid_client")
    entry = await last_entry(world)
    assert (entry["event"], entry["actor"], entry["code"]) == ("access.refused", "unknown", "invalid_client")
