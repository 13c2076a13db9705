"""A simulated platform that calls back, and a gateway that knows no other platform, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from pydantic import SecretStr

from connectors.sandbox.server import start_sandbox
from consent.consents import GrantConsent
from gateway.app import create_app
from gateway.demo import sample_grant, serving
from gateway.profile.request import ProfileRequest, read_profile, request_profile
from gateway.services import SERVICES, Services
from gateway.settings import Limits, Platform, Settings
from schemas.consent import ConsentGrant
from tests.late_world import LENDER, Watch

CITY_FUND = Path(__file__).parent / "callback_example" / "city-fund"
WHERE = "https://gateway.invalid"
"""What the platform is told; it calls the gateway that ``to`` names instead."""


@dataclass(frozen=True, slots=True)
class Bureau:
    """The platform, from behind. ``firm``: whom it knows."""

    url: str
    session: aiohttp.ClientSession
    secrets: dict[str, str]
    firm: dict[str, Any]

    async def asked(self) -> list[dict[str, Any]]:
        async with self.session.get(self.url + "/_sandbox/calling") as reply:
            found: list[dict[str, Any]] = orjson.loads(await reply.read())["asked"]
        return found

    async def set(self, **changes: Any) -> None:
        async with self.session.put(self.url + "/_sandbox/calling", data=orjson.dumps(changes)) as reply:
            assert reply.status == 204

    async def calls(self, n: int, how: str, to: str | None = None) -> tuple[int, str]:
        """One callback about question ``n``, and what it was answered."""
        query = {} if to is None else {"to": to}
        async with self.session.post(f"{self.url}/_sandbox/calling/{n}/{how}", params=query) as reply:
            told = orjson.loads(await reply.read())
        return told["status"], told["body"]


@asynccontextmanager
async def bureau() -> AsyncIterator[Bureau]:
    sandbox = await start_sandbox(0)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with session.get(sandbox.url + "/_sandbox/calling") as reply:
                secrets = orjson.loads(await reply.read())["secrets"]
            async with session.get(sandbox.url + "/_sandbox/scenarios") as reply:
                firm = orjson.loads(await reply.read())[0]
            made = Bureau(sandbox.url, session, secrets, firm)
            await made.set(does=[])
            yield made
    finally:
        await sandbox.close()


def settings(at: Path, platform: Bureau, *, folder: Path = CITY_FUND, database: str = "", **more: Any) -> Settings:
    credentials = {name: SecretStr(value) for name, value in platform.secrets.items()}
    return Settings(
        data=at / "data",
        database=SecretStr(database) if database else None,
        connectors=[folder],
        allow_connectors=["city-fund"],
        allow_private=[platform.url.removeprefix("http://")],
        callback_url=WHERE,
        platforms={"city-fund": Platform(base_url=platform.url + "/calling", credentials=credentials)},
        limits=Limits(**{"deadline_seconds": 5, "permit_seconds": 600, **more}),
    )


@dataclass(frozen=True, slots=True)
class Gateway:
    services: Services
    url: str
    platform: Bureau

    async def consent(self, **changes: Any) -> str:
        offers = {c.id: c.datasets for c in self.services.connectors.values()}
        subject = {"uscc": self.platform.firm["uscc"], "name": self.platform.firm["name"]}
        grant = sample_grant(subject, offers, self.services.now(), grantee=LENDER, **changes)
        model = ConsentGrant.model_validate_json(orjson.dumps(grant))
        return (await self.services.evidence.submit(GrantConsent(model, actor=LENDER))).id

    async def ask(self, consent_id: str) -> dict[str, Any]:
        asked = ProfileRequest.model_validate(
            {
                "subject": {"uscc": self.platform.firm["uscc"], "name": self.platform.firm["name"]},
                "consent_id": consent_id,
                "purpose": "credit_assessment",
                "datasets": ["provident_fund"],
                "months": 12,
            }
        )
        issued = await request_profile(self.services, LENDER, asked, body=b"{}", idempotency_key=None, wait=None)
        found: dict[str, Any] = orjson.loads(issued.json_bytes())
        return found

    async def profile(self, profile_id: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((await read_profile(self.services, profile_id, LENDER)).payload)
        return found

    async def calls(self, n: int, how: str, *, connector: str = "city-fund", ticket: str | None = None) -> int:
        """A callback to this gateway; its status."""
        return (await self.told(n, how, connector=connector, ticket=ticket))[0]

    async def told(
        self, n: int, how: str, *, connector: str = "city-fund", ticket: str | None = None
    ) -> tuple[int, str]:
        named = await self.ticket(n) if ticket is None else ticket
        return await self.platform.calls(n, how, f"{self.url}/v1/callbacks/{connector}/{named}")

    async def ticket(self, n: int) -> str:
        asked = (await self.platform.asked())[n]
        return str(asked["notify"]).rpartition("/")[2]

    async def events(self, consent_id: str) -> list[dict[str, Any]]:
        return [orjson.loads(one.entry) for one in await self.services.evidence.entries_about(consent_id)]


@asynccontextmanager
async def gateway(made: Settings, platform: Bureau, watch: Watch | None = None) -> AsyncIterator[Gateway]:
    app: web.Application = create_app(made, now=watch or Watch())
    async with serving(app) as url:
        yield Gateway(app[SERVICES], url, platform)
