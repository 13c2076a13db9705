"""What holds for every route: who may call, what a wrong request gets, and that no answer repeats what was sent."""

import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.api.routing import Route
from gateway.app import ROUTES
from gateway.auth.tokens import ASSERTION_TYPE, client_assertion
from gateway.services import SERVICES
from schemas.consent import ConsentGrant
from schemas.problems import PROBLEMS
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

LENDER_ROUTES = [r for r in ROUTES if r.lender and "lender" in r.roles]
OPEN_ROUTES = [r for r in ROUTES if not r.lender]
BODY_ROUTES = [r for r in LENDER_ROUTES if r.takes]
SECRET = "CANARY-7f3e9d"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("http"), body_bytes=8192) as made:
        yield made


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def at(route: Route, value: str = "nothing-of-yours") -> str:
    return re.sub(r"{[^}]+}", value, route.path)


def is_problem(reply: Any, status: int, code: str) -> dict[str, Any]:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    body: dict[str, Any] = reply.json
    assert body.keys() == {"type", "title", "status", "detail", "code", "title_zh", "detail_zh", "details"}
    assert body["status"] == PROBLEMS[code].status == status
    assert re.fullmatch("[0-9a-f]{16}", reply.headers["X-Request-Id"])
    return body


async def test_every_route_of_the_router_is_in_the_table(world: World) -> None:
    routed = {(r.method, r.resource.canonical) for r in world.app.router.routes() if r.resource}
    assert routed == {(r.method, re.sub(r":[^}]+}", "}", r.path)) for r in ROUTES}


@pytest.mark.parametrize("route", LENDER_ROUTES, ids=name)
async def test_without_a_token_a_lenders_route_says_nothing_else(world: World, route: Route) -> None:
    body = b"{" if route.takes else None
    reply = await world.send(route.method, at(route) + "?unknown=1", body)
    is_problem(reply, 401, "unauthenticated")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    is_problem(await world.send(route.method, at(route), body, Authorization="Bearer x.y.z"), 401, "unauthenticated")


@pytest.mark.parametrize("route", OPEN_ROUTES, ids=name)
async def test_an_open_route_answers_without_a_token(world: World, route: Route) -> None:
    assert (await world.send(route.method, at(route))).status in {200, 404, 415}


@pytest.mark.parametrize("route", [r for r in LENDER_ROUTES if "{" in r.path], ids=name)
async def test_what_belongs_to_another_lender_is_not_there(world: World, route: Route) -> None:
    """The same answer as for what does not exist, so that nobody learns which ids there are."""
    body: dict[str, Any] | None = {"reason": "none of my business"} if route.takes else None
    if route.takes is ConsentGrant:
        body = world.grant()
    foreign = world.demo.services
    consent = await world.consent(world.other)
    profile = await world.other.profile(world.ask(consent["id"]))
    for one in (consent["id"], profile["id"]):
        theirs = await world.send(route.method, at(route, one), body, lender=world.lender)
        nothing = await world.send(route.method, at(route), body, lender=world.lender)
        assert theirs.status == nothing.status == 404
        assert theirs.json == nothing.json
    assert (await foreign.evidence.consent(consent["id"])).state == "active"  # type: ignore[union-attr]


@pytest.mark.parametrize("route", LENDER_ROUTES, ids=name)
@pytest.mark.parametrize("query", ["unknown=1", "index=1&index=2", "from=1&from=1"])
async def test_a_query_that_the_route_does_not_know_is_refused(world: World, route: Route, query: str) -> None:
    body: dict[str, Any] | None = {} if route.takes else None
    reply = await world.send(route.method, f"{at(route)}?{query}", body, lender=world.lender)
    assert is_problem(reply, 400, "invalid_request")["details"]["at"] == "query"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/consents/", "/v2/profiles", "/docs/../keys", "/%00", f"/{SECRET}"])
async def test_a_path_that_is_not_there_is_a_problem(world: World, path: str) -> None:
    reply = await world.send("GET", path, lender=world.lender)
    is_problem(reply, 404, "not_found")
    assert SECRET.encode() not in reply.body


@pytest.mark.parametrize("route", ROUTES, ids=name)
async def test_a_method_that_the_path_has_not_is_a_problem_that_names_the_others(world: World, route: Route) -> None:
    reply = await world.send("PATCH", at(route), b"", lender=world.lender)
    is_problem(reply, 405, "method_not_allowed")
    assert set(reply.headers["Allow"].split(", ")) == {r.method for r in ROUTES if r.path == route.path}


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"<xml/>",
    "half of it": b'{"reason": "x"',
    "something behind it": b'{"reason": "x"} {}',
    "a list": b"[]",
    "a text": b'"CANARY-7f3e9d"',
    "a key twice": b'{"reason": "CANARY-7f3e9d", "reason": "CANARY-7f3e9d"}',
    "NaN": b'{"reason": NaN}',
    "Infinity": b'{"reason": -Infinity}',
    "an endless number": b'{"reason": 1' + b"0" * 500 + b"}",
    "nested too deeply": b"[" * 4000,
    "not UTF-8": b'{"reason": "\xff\xfeCANARY-7f3e9d"}',
    "a byte order mark": b'\xef\xbb\xbf{"reason": "x"}',
    "half a surrogate pair": b'{"reason": "\\ud800"}',
    "an unknown key": b'{"reason": "x", "CANARY-7f3e9d \xe5\xbc\xa0": 1}',
    "a wrong type": b'{"reason": ["CANARY-7f3e9d"], "subject": "CANARY-7f3e9d"}',
    "an empty object": b"{}",
}


@pytest.mark.parametrize("route", BODY_ROUTES, ids=name)
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_that_is_not_what_the_route_takes_is_refused(world: World, route: Route, body: bytes) -> None:
    reply = await world.send(route.method, at(route), body, lender=world.lender)
    assert is_problem(reply, 400, "invalid_request")["details"]["at"]
    assert b"CANARY" not in reply.body


@pytest.mark.parametrize("route", BODY_ROUTES, ids=name)
async def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not(world: World, route: Route) -> None:
    reply = await world.send(route.method, at(route), b" " * 9000, lender=world.lender)
    assert is_problem(reply, 413, "payload_too_large")["details"] == {"limit": 8192}

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 1000

    headers = {**await world.lender.authorization(), "Content-Type": "application/json"}
    url = world.demo.gateway_url + at(route)
    async with world.demo.session.request(route.method, url, data=pieces(), headers=headers) as streamed:
        assert (streamed.status, (await streamed.json(content_type=None))["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("route", BODY_ROUTES, ids=name)
@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
async def test_only_json_is_taken(world: World, route: Route, media: str) -> None:
    reply = await world.send(route.method, at(route), b"{}", lender=world.lender, Content_Type=media)
    is_problem(reply, 415, "unsupported_media_type")


def token_form(world: World, **changes: str) -> dict[str, str]:
    endpoint = world.demo.services.settings.issuer + "/oauth/token"
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": client_assertion("demo-bank", world.keys["demo-bank"], endpoint),
        **changes,
    }


async def exchange(world: World, data: Any, **headers: str) -> tuple[int, dict[str, Any], Any]:
    async with world.demo.session.post(world.demo.gateway_url + "/oauth/token", data=data, headers=headers) as reply:
        return reply.status, orjson.loads(await reply.read()), reply.headers


async def test_a_token_is_given_for_an_assertion_and_is_not_to_be_stored(world: World) -> None:
    form = token_form(world)
    status, body, headers = await exchange(world, form)
    assert (status, body["token_type"], body["expires_in"]) == (200, "Bearer", 600)
    assert headers["Cache-Control"] == "no-store"
    reply = await world.send("GET", "/v1/platforms", Authorization=f"Bearer {body['access_token']}")
    assert reply.status == 200
    status, body, _ = await exchange(world, form)
    assert (status, body["code"], body["error"]) == (401, "invalid_client", "invalid_client")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"", FORM),
        (b"grant_type=client_credentials", FORM),
        (b"grant_type=client_credentials&grant_type=client_credentials", FORM),
        (b"client_assertion=%FF%FE&grant_type=client_credentials", FORM),
        (b"client_assertion=\xff\xfe", FORM),
        (b"grant_type=x", FORM + "; charset=no-such-charset"),
        (b"client_assertion=" + b"[" * 4000, FORM),
    ],
    ids=["empty", "half", "a parameter twice", "escaped rubbish", "raw rubbish", "no such charset", "brackets"],
)
async def test_a_form_that_is_none_gets_no_token(world: World, body: bytes, media: str) -> None:
    status, problem, _ = await exchange(world, body, **{"Content-Type": media})
    assert (status, problem["code"]) == (401, "invalid_client")


async def test_a_repeated_parameter_beside_a_good_assertion_gets_no_token(world: World) -> None:
    pairs = [*token_form(world).items(), ("client_id", "demo-bank"), ("client_id", "demo-bank")]
    status, problem, _ = await exchange(world, pairs)
    assert (status, problem["code"]) == (401, "invalid_client")


@pytest.mark.parametrize("media", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_the_token_endpoint_takes_forms_only(world: World, media: str) -> None:
    status, problem, _ = await exchange(world, b"{}", **{"Content-Type": media})
    assert (status, problem["code"]) == (415, "unsupported_media_type")


async def test_a_form_over_the_limit_is_refused(world: World) -> None:
    status, problem, _ = await exchange(world, b"a=" + b"b" * 9000, **{"Content-Type": FORM})
    assert (status, problem["code"]) == (413, "payload_too_large")


async def test_a_defect_is_a_problem_with_the_request_id_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(type(world.demo.services.evidence), "consents_of", broken)
    reply = await world.send("GET", "/v1/consents", lender=world.lender)
    body = is_problem(reply, 500, "internal_error")
    assert body["details"] == {}
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert reply.headers["X-Request-Id"] in told.out
    assert "RuntimeError" in told.out
    assert f"{__name__}:" in told.out


async def test_an_http_error_of_the_library_is_a_problem_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def teapot(*_: object) -> None:
        raise web.HTTPExpectationFailed(text=SECRET)

    monkeypatch.setattr(type(world.demo.services.evidence), "consents_of", teapot)
    reply = await world.send("GET", "/v1/consents", lender=world.lender)
    assert is_problem(reply, 400, "invalid_request")["details"] == {"status": 417}


async def test_requests_are_counted_by_route_and_never_by_what_was_sent(world: World) -> None:
    await world.send("GET", f"/{SECRET}")
    await world.send("GET", f"/v1/consents/{SECRET}", lender=world.lender)
    text = (await world.send("GET", "/metrics")).body.decode()
    assert SECRET not in text
    assert 'route="GET /v1/consents/{id}",status="404"' in text
    assert 'route="unmatched",status="404"' in text


async def test_a_gateway_opened_again_on_its_data_goes_on(tmp_path: Any) -> None:
    async with gateway_world(tmp_path) as first:
        consent = await first.consent()
        size = first.demo.services.evidence.size
    async with gateway_world(tmp_path) as second:
        assert second.app[SERVICES].evidence.size == size
        reply = await second.send("GET", f"/v1/consents/{consent['id']}", lender=second.lender)
        assert reply.json["id"] == consent["id"]
