"""A bureau that gives tickets, over real sockets, and a gateway that knows no other platform."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from pydantic import SecretStr

from consent.consents import GrantConsent
from gateway.demo import sample_grant
from gateway.profile.request import ProfileRequest, request_profile
from gateway.services import Services, open_services
from gateway.settings import Limits, Platform, Settings
from schemas.consent import ConsentGrant
from tests.engine_world import BASE, FIRM, FUND, SECRETS, body, folder, row

LENDER = "bank-a"
REQUEST = 'request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }'
TICKET = """strategy = "ticket"
submit = { path = "/q", encode = "json", body = { uscc = "{uscc}" }, ticket = "ticket" }
poll = { path = "/r/{ticket}", pending = [{ at = "code", equals = "wait" }], every = "300ms", give_up = "6h" }"""
WAIT = {"code": "wait"}


@dataclass
class Bureau:
    """Not ready until ``answer`` is set."""

    answer: dict[str, Any] | None = None
    submits: int = 0
    polls: list[str] = field(default_factory=list)
    url: str = ""
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited before a poll is answered."""

    def ready(self) -> None:
        self.answer = body([row()])

    async def submit(self, _: web.Request) -> web.Response:
        self.submits += 1
        return web.json_response({"code": "0", "ticket": f"t-{self.submits}"})

    async def poll(self, request: web.Request) -> web.Response:
        self.polls.append(request.match_info["ticket"])
        self.polled.set()
        if self.before:
            await self.before()
        return web.Response(body=orjson.dumps(self.answer or WAIT), content_type="application/json")


@asynccontextmanager
async def bureau() -> AsyncIterator[Bureau]:
    made = Bureau()
    app = web.Application()
    app.router.add_post("/q", made.submit)
    app.router.add_post("/r/{ticket}", made.poll)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


def settings(at: Path, url: str, *, ticket: str = TICKET, limits: str = "", **more: Any) -> Settings:
    assert FUND.count(REQUEST) == 1
    connector = folder(at / "connectors" / "xx-bureau", BASE + limits + FUND.replace(REQUEST, ticket))
    credentials = {name: SecretStr(value) for name, value in SECRETS.items()}
    return Settings(
        data=at / "data",
        connectors=[connector],
        allow_connectors=["xx-bureau"],
        allow_private=[url.removeprefix("http://")],
        platforms={"xx-bureau": Platform(base_url=url, credentials=credentials)},
        limits=Limits(**{"deadline_seconds": 0.7, "permit_seconds": 600, **more}),
    )


class Watch:
    """The gateway's clock: the real time, moved by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def gateway(made: Settings, watch: Watch) -> AsyncIterator[Services]:
    async with open_services(made, now=watch) as services:
        yield services


async def consent(services: Services, **changes: Any) -> str:
    offers = {c.id: c.datasets for c in services.connectors.values()}
    subject = {"uscc": FIRM.uscc, "name": FIRM.name}
    grant = sample_grant(subject, offers, services.now(), grantee=LENDER, **changes)
    model = ConsentGrant.model_validate_json(orjson.dumps(grant))
    return (await services.evidence.submit(GrantConsent(model, actor=LENDER))).id


async def ask(services: Services, consent_id: str, key: str | None = None) -> dict[str, Any]:
    """The profile as it is answered."""
    asked = ProfileRequest.model_validate(
        {
            "subject": {"uscc": FIRM.uscc, "name": FIRM.name},
            "consent_id": consent_id,
            "purpose": "credit_assessment",
            "datasets": ["provident_fund"],
            "months": 12,
        }
    )
    issued = await request_profile(services, LENDER, asked, body=b"{}", idempotency_key=key, wait=None)
    found: dict[str, Any] = orjson.loads(issued.json_bytes())
    return found
