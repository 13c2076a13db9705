"""oauth2-client: the exchange of RFC 6749 section 4.4 against a real server, and the races around a token."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.signing.oauth2_client import Oauth2Options, Oauth2Signer, read_token
from connectors.wire import Draft, WireReply, WireRequest
from schemas.errors import (
    ConsentRevoked,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamServerError,
    UpstreamStatus,
)

AT = Moment(1700000000, "abc123nonce")
# The client of RFC 6749 section 2.3.1 and its Authorization header.
CLIENT = {"client_id": "s6BhdRkqt3", "client_secret": "7Fjfp0ZBr1KtDRbnfVdmIw"}
BASIC = "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"


class TokenServer:
    """Answers as the example of section 4.4.3 does, with a new token each time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str | None, str]] = []
        self.status = 200
        self.session: ClientSession

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers.get("Authorization"), await request.text()))
        if self.status != 200:
            return web.json_response({"error": "invalid_client"}, status=self.status)
        return web.json_response(
            {"access_token": f"2YotnFZFEjr1zCsicMWpAA{len(self.asked)}", "token_type": "Bearer", "expires_in": 3600}
        )

    async def send(self, request: WireRequest) -> WireReply:
        async with self.session.request(
            request.method, request.url, headers=dict(request.headers), data=request.body
        ) as reply:
            return WireReply(reply.status, {}, await reply.read())


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    app = web.Application()
    here = TokenServer("")
    app.router.add_post("/base/oauth2/token", here.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    here.url = f"http://{host}:{port}/base"
    async with ClientSession() as here.session:
        yield here
    await runner.cleanup()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def draft(server: TokenServer) -> Draft:
    return Draft("GET", server.url, "/api/cases")


def signer(clock: Clock | None = None, **options: str) -> Oauth2Signer:
    parsed = Oauth2Options.model_validate({"token_path": "/oauth2/token", **options})
    return Oauth2Signer(parsed, CLIENT, clock or Clock())


async def test_the_exchange_of_the_standard_with_http_basic(server: TokenServer) -> None:
    made = SCHEMES["oauth2-client"].build({"token_path": "/oauth2/token"}, CLIENT)
    request = await made.sign(draft(server), AT, server.send)
    assert request == WireRequest(
        "GET", f"{server.url}/api/cases", {"Authorization": "Bearer 2YotnFZFEjr1zCsicMWpAA1"}, b""
    )
    assert server.asked == [(BASIC, "grant_type=client_credentials")]


async def test_the_client_can_stand_in_the_form_with_a_scope(server: TokenServer) -> None:
    await signer(client="form", scope="cases read").sign(draft(server), AT, server.send)
    assert server.asked == [
        (
            None,
            "grant_type=client_credentials&scope=cases+read&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw",
        )
    ]


async def test_reserved_characters_are_encoded_before_basic(server: TokenServer) -> None:
    """RFC 6749 section 2.3.1: form-encode both, then Basic."""
    odd = Oauth2Signer(Oauth2Options(token_path="/oauth2/token"), {"client_id": "a:b", "client_secret": "c d%"})
    await odd.sign(draft(server), AT, server.send)
    assert server.asked[0][0] == "Basic " + b64encode(b"a%3Ab:c+d%25").decode()


async def test_a_token_is_used_until_shortly_before_it_expires(server: TokenServer) -> None:
    clock = Clock()
    one = signer(clock)
    for at, fetched in ((1000.0, 1), (1000.0 + 3539, 1), (1000.0 + 3540, 2)):
        clock.now = at
        request = await one.sign(draft(server), AT, server.send)
        assert len(server.asked) == fetched
        assert request.headers["Authorization"].endswith(str(fetched))


async def test_a_thousand_requests_at_once_fetch_one_token(server: TokenServer) -> None:
    one = signer()
    requests = await asyncio.gather(*(one.sign(draft(server), AT, server.send) for _ in range(1000)))
    assert len(server.asked) == 1
    assert {r.headers["Authorization"] for r in requests} == {"Bearer 2YotnFZFEjr1zCsicMWpAA1"}


async def test_a_burst_of_refusals_of_one_token_costs_one_renewal(server: TokenServer) -> None:
    one = signer()
    refused = await one.sign(draft(server), AT, server.send)
    assert one.refused(refused)
    renewed = await one.sign(draft(server), AT, server.send)
    assert one.refused(refused)
    assert await one.sign(draft(server), AT, server.send) == renewed
    assert len(server.asked) == 2


async def test_those_who_waited_for_a_token_that_was_refused_do_not_ask_again(server: TokenServer) -> None:
    server.status = 401
    one = signer()
    results = await asyncio.gather(
        *(one.sign(draft(server), AT, server.send) for _ in range(50)), return_exceptions=True
    )
    assert [type(r) for r in results] == [UpstreamDenied] * 50
    assert len(server.asked) == 1
    server.status = 200
    assert (await one.sign(draft(server), AT, server.send)).headers["Authorization"].endswith("2")


async def test_a_guard_that_stops_one_caller_does_not_stop_the_next(server: TokenServer) -> None:
    one = signer()

    async def stopped(_: WireRequest) -> WireReply:
        await asyncio.sleep(0)
        raise ConsentRevoked

    first, second = await asyncio.gather(
        one.sign(draft(server), AT, stopped), one.sign(draft(server), AT, server.send), return_exceptions=True
    )
    assert isinstance(first, ConsentRevoked)
    assert isinstance(second, WireRequest)


async def test_a_cancelled_fetch_leaves_the_next_one_free_to_go(server: TokenServer) -> None:
    one = signer()
    begun = asyncio.Event()

    async def hanging(_: WireRequest) -> WireReply:
        begun.set()
        return await asyncio.Future[WireReply]()

    stuck = asyncio.create_task(one.sign(draft(server), AT, hanging))
    await begun.wait()
    waiting = asyncio.create_task(one.sign(draft(server), AT, server.send))
    await asyncio.sleep(0)
    stuck.cancel()
    assert (await waiting).headers["Authorization"] == "Bearer 2YotnFZFEjr1zCsicMWpAA1"


@pytest.mark.parametrize("client", ["basic", "form"])
def test_the_explanation_shows_the_token_request_without_secrets(client: str) -> None:
    shown = signer(client=client).explain(Draft("GET", "https://c.example", "/x"), AT)
    assert shown.canonical.startswith("POST https://c.example/oauth2/token\n")
    assert "grant_type=client_credentials" in shown.canonical
    assert "<client_secret>" in shown.canonical
    assert CLIENT["client_secret"] not in repr(shown)
    assert shown.headers == {"Authorization": "Bearer <access_token>"}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":"invalid_client"}', UpstreamDenied),
        (401, b"", UpstreamDenied),
        (403, b"", UpstreamDenied),
        (429, b"", UpstreamBusy),
        (503, b"", UpstreamBusy),
        (500, b"", UpstreamServerError),
        (302, b"", UpstreamStatus),
        (200, b"<html>", UpstreamMalformed),
        (200, b"[]", UpstreamMalformed),
        (200, b'{"token_type":"Bearer"}', UpstreamMalformed),
        (200, b'{"access_token":"","token_type":"Bearer"}', UpstreamMalformed),
        (200, b'{"access_token":"a\\r\\nb","token_type":"Bearer"}', UpstreamMalformed),
        (200, '{"access_token":"令牌","token_type":"Bearer"}'.encode(), UpstreamMalformed),
        (200, b'{"access_token":"a","token_type":"mac"}', UpstreamMalformed),
        (200, b'{"access_token":"a"}', UpstreamMalformed),
        (200, b'{"access_token":"a","token_type":"Bearer","expires_in":true}', UpstreamMalformed),
        (200, b'{"access_token":"a","token_type":"Bearer","expires_in":0}', UpstreamMalformed),
        (200, b'{"access_token":"a","token_type":"Bearer","expires_in":"soon"}', UpstreamMalformed),
    ],
)
def test_a_token_reply_that_is_no_token_is_a_typed_error(status: int, body: bytes, error: type[UpstreamError]) -> None:
    with pytest.raises(error) as caught:
        read_token(WireReply(status, {}, body), 900)
    assert type(caught.value) is error


def test_a_token_without_a_lifetime_lives_as_the_manifest_says() -> None:
    assert read_token(WireReply(200, {}, b'{"access_token":"a","token_type":"bearer"}'), 900) == ("a", 900)
