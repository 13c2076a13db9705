"""Webhooks over HTTP: registered, found, rotated and deleted by their lender, and told of what happens."""

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import pytest_asyncio

import gateway.webhooks.sending as sending
from connectors.kit.hostile import Server, hostile, reply
from gateway.profile import request as request_module
from tests.gateway_world import World, gateway_world
from tests.test_webhooks_sending import heard, signed_by, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Told:
    world: World
    server: Server

    async def register(self, *events: str, path: str = "/", **changes: Any) -> dict[str, Any]:
        body = {"url": self.server.url + path, "events": list(events), **changes}
        made = await self.world.send("POST", "/v1/webhooks", body, lender=self.world.lender)
        assert made.status == 201, made.json
        assert made.headers["Cache-Control"] == "no-store"
        shown: dict[str, Any] = made.json
        return shown

    async def deliveries(self, webhook: str, query: str = "") -> list[dict[str, Any]]:
        path = f"/v1/webhooks/{webhook}/deliveries{query}"
        found: list[dict[str, Any]] = (await self.world.send("GET", path, lender=self.world.lender)).json["deliveries"]
        return found

    async def delivered(self, webhook: str, count: int = 1) -> list[dict[str, Any]]:
        """The deliveries, newest first, once so many are done."""

        async def so() -> list[dict[str, Any]] | None:
            found = await self.deliveries(webhook)
            return found if [d["state"] for d in found].count("delivered") == count else None

        return await until(so)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "LOOK_SECONDS", 0.01)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hostile(reply(200, b"")))
        folder = tmp_path_factory.mktemp("webhooks")
        yield Told(await stack.enter_async_context(gateway_world(folder, allow=[server.origin])), server)


async def remove(told: Told, webhook: str) -> int:
    return (await told.world.send("DELETE", f"/v1/webhooks/{webhook}", lender=told.world.lender)).status


async def test_a_webhook_is_registered_found_without_its_secret_and_deleted(told: Told) -> None:
    made = await told.register("consent.revoked", "profile.issued", path="/hook")
    assert made["secret"].startswith("whsec_")
    assert (made["state"], made["old_secret_until"]) == ("active", None)
    shown = {k: v for k, v in made.items() if k not in ("secret", "old_secret_until")}
    listed = await told.world.send("GET", "/v1/webhooks", lender=told.world.lender)
    assert shown in listed.json["webhooks"]
    assert made["secret"] not in listed.body.decode()
    others = await told.world.send("GET", "/v1/webhooks", lender=told.world.other)
    assert others.json == {"webhooks": []}
    assert await remove(told, made["id"]) == 204
    assert await remove(told, made["id"]) == 404
    listed = await told.world.send("GET", "/v1/webhooks", lender=told.world.lender)
    assert made["id"] not in listed.body.decode()


async def test_the_lender_is_told_of_a_profile_and_of_a_withdrawal_in_their_order(told: Told) -> None:
    made = await told.register("profile.issued", "consent.revoked", "consent.revoked")
    assert made["events"] == ["consent.revoked", "profile.issued"]
    consent = await told.world.consent()
    profile = await told.world.lender.profile(told.world.ask(consent["id"]))
    path = f"/v1/consents/{consent['id']}/revoke"
    await told.world.send("POST", path, {"reason": "示例"}, lender=told.world.lender)
    done = await told.delivered(made["id"], 2)
    assert [d["type"] for d in done] == ["consent.revoked", "profile.issued"]
    assert done[1]["index"] == profile["log"]["index"]
    sent = {one.headers["webhook-id"]: orjson.loads(one.body) for one in heard(told.server)}
    data = sent[done[1]["id"]]["data"]
    assert data.pop("permit_id").startswith("m")
    assert data == {"consent_id": consent["id"], "profile_id": profile["id"], "revision": 1}
    assert sent[done[0]["id"]]["data"] == {"consent_id": consent["id"], "state": "revoked", "version": 2}
    for private in (told.world.firm["uscc"], told.world.firm["name"]):
        assert private.encode() not in b"".join(told.server.requests)
    assert await told.deliveries(made["id"], f"?before={done[0]['index']}") == done[1:]
    assert 'xinqiao_webhooks_total{outcome="delivered"}' in (await told.world.send("GET", "/metrics")).body.decode()
    assert await remove(told, made["id"]) == 204


async def test_a_rotated_secret_signs_beside_the_old_one(told: Told) -> None:
    made = await told.register("consent.suspended")
    rotated = await told.world.send("POST", f"/v1/webhooks/{made['id']}/rotate", lender=told.world.lender)
    assert rotated.status == 200
    assert rotated.headers["Cache-Control"] == "no-store"
    new = rotated.json
    assert new["secret"] != made["secret"]
    assert new["old_secret_until"] is not None
    consent = await told.world.consent()
    told.server.requests.clear()
    path = f"/v1/consents/{consent['id']}/suspend"
    await told.world.send("POST", path, {"reason": "示例"}, lender=told.world.lender)
    await told.delivered(made["id"])
    (one,) = heard(told.server)
    assert signed_by(one, key(made["secret"]))
    assert signed_by(one, key(new["secret"]))
    assert await remove(told, made["id"]) == 204


def key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "http://bank.example.cn/x"}, "url"),
        ({"url": "https://bank.example.cn/" + "x" * 2048}, "url"),
        ({"url": None}, "url"),
        ({"events": []}, "events"),
        ({"events": ["profile.read"]}, "events.0"),
        ({"events": "consent.revoked"}, "events"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
async def test_a_webhook_that_is_never_sent_to_is_not_taken(told: Told, changes: dict[str, Any], at: str) -> None:
    body = {"url": "https://bank.example.cn/x", "events": ["consent.revoked"], **changes}
    refused = await told.world.send("POST", "/v1/webhooks", body, lender=told.world.lender)
    assert (refused.status, refused.json["details"]["at"]) == (400, at)


async def test_what_platforms_are_reached_at_is_no_place_for_a_webhook(told: Told) -> None:
    """A lender would otherwise send what it likes to an inner address that only platforms are allowed."""
    platform = told.world.demo.sandbox_url
    assert platform.removeprefix("http://") in told.world.demo.services.settings.allow_private
    for url in (platform, platform.replace("http:", "https:")):
        body = {"url": url + "/x", "events": ["consent.revoked"]}
        refused = await told.world.send("POST", "/v1/webhooks", body, lender=told.world.lender)
        assert (refused.status, refused.json["details"]["at"]) == (400, "url")


async def test_a_request_that_ends_without_a_profile_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError

    made = await told.register("profile.failed")
    consent = await told.world.consent()
    monkeypatch.setattr(request_module, "collect", broken)
    await told.world.send("POST", "/v1/profiles", told.world.ask(consent["id"]), lender=told.world.lender)
    (done,) = await told.delivered(made["id"])
    sent = {one.headers["webhook-id"]: orjson.loads(one.body) for one in heard(told.server)}[done["id"]]
    assert sent["type"] == "profile.failed"
    assert (sent["data"]["consent_id"], sent["data"]["code"]) == (consent["id"], "internal_error")
    assert await remove(told, made["id"]) == 204


@pytest.mark.parametrize("before", ["x", "-1", "1.5"])
async def test_a_page_begins_at_a_number(told: Told, before: str) -> None:
    path = f"/v1/webhooks/w/deliveries?before={before}"
    assert (await told.world.send("GET", path, lender=told.world.lender)).status == 400


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/rotate"), ("GET", "/deliveries")])
async def test_the_webhook_of_another_lender_is_not_there_and_the_attempt_is_in_the_log(
    told: Told, method: str, path: str
) -> None:
    made = await told.register("consent.revoked")
    evidence = told.world.demo.services.evidence
    answers = []
    for webhook in (made["id"], "w-nothing"):
        size = evidence.size
        reply = await told.world.send(method, f"/v1/webhooks/{webhook}{path}", lender=told.world.other)
        answers.append((reply.status, reply.json))
        entries = [orjson.loads(e.entry) for e in await evidence.entries(size, evidence.size)]
        refused = [(e["actor"], e["operation"]) for e in entries if e["event"] == "access.refused"]
        assert refused == [("other-bank", f"{method} /v1/webhooks/{{id}}{path}")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert await remove(told, made["id"]) == 204
