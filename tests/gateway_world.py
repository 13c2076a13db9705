"""A gateway, the simulated platforms behind it and invented clients before it, all over loopback sockets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.sandbox.server import start_sandbox
from gateway.app import create_app
from gateway.auth.tokens import public_jwk
from gateway.client import LenderClient
from gateway.demo import Demo, demo_settings, lender_key, profile_ask, sample_grant, serving, subject_of
from gateway.jobs import sharing
from gateway.services import SERVICES, utc_now
from gateway.settings import Auditor, Lender, Operator

OTHER = "other-bank"
OPERATOR = "the-operator"
AUDITOR = "the-auditor"
SMALL = "social_insurance"
"""One data set of one platform: the cheapest profile there is."""


class Watch:
    """The gateway's clock: the real time, moved by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class World:
    demo: Demo
    clients: Mapping[str, LenderClient]
    keys: Mapping[str, Ed25519PrivateKey]
    watch: Watch
    app: web.Application
    firm: dict[str, Any]
    scenarios: Mapping[str, dict[str, Any]]

    @property
    def lender(self) -> LenderClient:
        return self.demo.lender

    @property
    def other(self) -> LenderClient:
        return self.clients[OTHER]

    @property
    def operator(self) -> LenderClient:
        return self.clients[OPERATOR]

    @property
    def auditor(self) -> LenderClient:
        return self.clients[AUDITOR]

    @property
    def offers(self) -> dict[str, Mapping[str, frozenset[str]]]:
        return {c.id: c.datasets for c in self.demo.services.connectors.values()}

    def grant(self, **changes: Any) -> dict[str, Any]:
        """A consent to everything, as JSON has it."""
        return sample_grant(subject_of(self.firm), self.offers, self.watch()) | changes

    async def consent(self, lender: LenderClient | None = None, **changes: Any) -> dict[str, Any]:
        if lender is self.other:
            changes = {"grantee": OTHER, **changes}
        return await (lender or self.lender).register(self.grant(**changes))

    def ask(self, consent_id: str, **changes: Any) -> dict[str, Any]:
        """A request for the one small data set."""
        asked = profile_ask(self.firm, consent_id) | {"datasets": [SMALL]} | changes
        return {key: value for key, value in asked.items() if value is not None}

    async def calls(self) -> int:
        """How often any platform was called."""
        counts = orjson.loads(await self.get_sandbox("/_sandbox/requests"))
        return sum(platform["total"] for platform in counts.values())

    async def get_sandbox(self, path: str) -> bytes:
        async with self.demo.session.get(self.demo.sandbox_url + path) as reply:
            return await reply.read()

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        lender: LenderClient | None = None,
        **headers: str,
    ) -> Reply:
        """One request as it is: bytes are sent as they are, anything else as JSON. ``lender`` adds its token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if lender is not None:
            sent |= await lender.authorization()
        if body is not None and not isinstance(body, bytes):
            body = orjson.dumps(body)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.demo.session.request(
            method, self.demo.gateway_url + path, data=body, headers=sent, skip_auto_headers=["Accept"]
        ) as reply:
            return Reply(reply.status, reply.headers, await reply.read())


@asynccontextmanager
async def gateway_world(folder: Path, *, allow: Sequence[str] = (), **limits: Any) -> AsyncIterator[World]:
    """``limits`` are settings.Limits; ``allow`` is ``allow_private_webhooks``."""
    watch = Watch()
    keys = {"demo-bank": lender_key(folder)}
    keys |= {name: Ed25519PrivateKey.generate() for name in (OTHER, OPERATOR, AUDITOR)}
    sandbox = await start_sandbox(0, seed=1, bank=folder / "bank")
    # The clock is moved by hand, which must not turn up by itself in a log whose entries a test counts.
    seldom = patch.object(sharing, "REPORT_SECONDS", 3600.0)
    seldom.start()
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            made = demo_settings(folder, sandbox.url, sandbox.secrets, keys["demo-bank"], limits=limits)
            lender = Lender(name="另一家演示银行 (invented)", jwks={"keys": [public_jwk(keys[OTHER])]})
            settings = made.model_copy(
                update={"lenders": {**made.lenders, OTHER: lender}, "allow_private_webhooks": [*allow]}
            )
            operator = Operator(name="运营 (invented)", jwks={"keys": [public_jwk(keys[OPERATOR])]})
            auditor = Auditor(name="审计 (invented)", jwks={"keys": [public_jwk(keys[AUDITOR])]}, unmask=True)
            others = {"operators": {OPERATOR: operator}, "auditors": {AUDITOR: auditor}}
            settings = settings.model_copy(update=others)
            app = create_app(settings, now=watch)
            async with serving(app) as url:
                clients = {name: LenderClient(session, url, name, key, settings.issuer) for name, key in keys.items()}
                demo = Demo(sandbox.url, url, clients["demo-bank"], session, app[SERVICES])
                scenarios = await demo.scenarios()
                yield World(demo, clients, keys, watch, app, scenarios["clean"], scenarios)
    finally:
        seldom.stop()
        await sandbox.close()


def about(world: World, scenario: str) -> World:
    """The same world, asking about another invented enterprise."""
    return replace(world, firm=world.scenarios[scenario])
