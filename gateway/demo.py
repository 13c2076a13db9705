"""The main job end to end on loopback: simulated platforms, a gateway on embedded SQLite, one lender, one profile.

Everything goes over real sockets as in production; enterprises, persons and keys are invented for the occasion.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.sandbox.server import start_sandbox
from consent.log.note import Vkey
from consent.log.report import Report
from consent.log.tiles import export
from consent.log.verify import verify_export
from gateway.app import create_app
from gateway.auth.tokens import public_jwk
from gateway.client import LenderClient
from gateway.keys import new_signing_key_pem, signing_key, write_private
from gateway.services import SERVICES, Services, utc_now
from gateway.settings import Lender, Platform, Settings
from schemas.base import utc_text
from schemas.errors import ConfigurationError
from schemas.records import CATALOGUE

LENDER = "demo-bank"
OUTLET = "sh-ywtb"
PURPOSE = "credit_assessment"
Say = Callable[[str], None]

_TEXT = "（示例授权书）本企业同意演示银行经信桥查询所列数据，仅用于本次贷款审批。Sample authorisation, invented."


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demonstration."""

    sandbox_url: str
    gateway_url: str
    lender: LenderClient
    session: aiohttp.ClientSession
    services: Services

    async def scenarios(self) -> dict[str, dict[str, Any]]:
        """Named enterprises of the sandbox, by scenario."""
        async with self.session.get(self.sandbox_url + "/_sandbox/scenarios") as reply:
            return {one["scenario"]: one for one in orjson.loads(await reply.read())}

    async def get(self, path: str) -> bytes:
        async with self.session.get(self.gateway_url + path) as reply:
            return await reply.read()


def sample_grant(
    subject: Mapping[str, str], offers: Mapping[str, Mapping[str, frozenset[str]]], now: datetime, **changes: Any
) -> dict[str, Any]:
    """A consent to everything that ``offers`` (platform, data set, fields) lists; invented, and says so."""
    passed_on = offers.get(OUTLET, {})
    scopes = [
        {"platform": platform, "dataset": dataset, "fields": sorted(fields)}
        | ({"via": [OUTLET]} if dataset in passed_on else {})
        for platform, datasets in sorted(offers.items())
        if platform != OUTLET
        for dataset, fields in sorted(datasets.items())
    ]
    asked = {dataset for datasets in offers.values() for dataset in datasets}
    return {
        "subject": dict(subject),
        "signers": [{"role": "legal_representative", "person_ref": "sandbox-person-1", "identity_check": "sandbox"}],
        "grantee": LENDER,
        "purpose": PURPOSE,
        "application": "SANDBOX-LOAN-1",
        "text_version": "sandbox-1",
        "text_sha256": sha256(_TEXT.encode()).hexdigest(),
        "scopes": scopes,
        "intermediaries": [{"id": OUTLET, "name": "上海一网通办"}] if passed_on else [],
        "lookback_months": 36,
        "valid_from": utc_text(now - timedelta(days=1)),
        "valid_to": utc_text(now + timedelta(days=90)),
        "max_uses": 5,
        "retention_days": 1825,
        "disposal": "到期销毁 destroyed when the retention ends",
        "revocation_effect": "撤回后不再查询；此前的结果依法保存 no query after a withdrawal; earlier results stay",
        "channel": "sandbox",
        "given_at": utc_text(now - timedelta(hours=1)),
        "evidence": {"sha256": sha256(b"sandbox document").hexdigest(), "media_type": "application/pdf"},
        "separate_consents": sorted(name for name in asked if CATALOGUE[name].sensitive),
        **changes,
    }


def demo_settings(
    folder: Path,
    sandbox_url: str,
    credentials: Mapping[str, Mapping[str, str]],
    lender_key: Ed25519PrivateKey,
    **more: Any,
) -> Settings:
    """Settings of a gateway whose every platform is the sandbox at ``sandbox_url``."""
    host = sandbox_url.removeprefix("http://")
    districts = [name for name in credentials if name.startswith("district-")]
    # A lender near the scenarios' firms: their own district is enough.
    connected = {name: held for name, held in credentials.items() if name not in districts[1:]}
    return Settings(
        data=folder,
        lenders={LENDER: Lender(name="演示银行 Demo Bank (invented)", jwks={"keys": [public_jwk(lender_key)]})},
        platforms={
            name: Platform(
                base_url=None if name == "bank-internal" else f"{sandbox_url}/{name}",
                credentials=dict(held),
            )
            for name, held in connected.items()
        },
        allow_private=[host],
        **more,
    )


def lender_key(folder: Path) -> Ed25519PrivateKey:
    path = folder / "keys" / f"{LENDER}.pem"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        write_private(path, new_signing_key_pem())
    return signing_key(path)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve ``app`` on a free loopback port; gives its URL."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_demo(folder: Path, *, seed: int = 1, **settings: Any) -> AsyncIterator[Demo]:
    """Sandbox, gateway and lender on loopback, with data and keys in ``folder``."""
    key = await asyncio.to_thread(lender_key, folder)
    sandbox = await start_sandbox(0, seed=seed, bank=folder / "bank")
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            held = demo_settings(folder, sandbox.url, sandbox.secrets, key, **settings)
            app = create_app(held)
            async with serving(app) as url:
                lender = LenderClient(session, url, LENDER, key, held.issuer)
                yield Demo(sandbox.url, url, lender, session, app[SERVICES])
    finally:
        await sandbox.close()


def subject_of(firm: Mapping[str, Any]) -> dict[str, str]:
    return {"uscc": firm["uscc"], "name": firm["name"]}


def profile_ask(scenario: Mapping[str, Any], consent_id: str) -> dict[str, Any]:
    return {
        "subject": subject_of(scenario),
        "consent_id": consent_id,
        "purpose": PURPOSE,
        "declared": scenario["declared"],
    }


def _make_way(folder: Path) -> None:
    if folder.exists():
        if not {"checkpoint", "vkey"} <= {child.name for child in folder.iterdir()}:
            raise ConfigurationError(at=folder.name, mend="the folder exists and holds no export of a log")
        shutil.rmtree(folder)


async def export_and_verify(services: Services, folder: Path) -> Report:
    """Export the log, in place of an earlier export, and let the stand-alone verifier judge it.

    Raises ConfigurationError where the folder holds something else: that is never deleted.
    """
    await asyncio.to_thread(_make_way, folder)
    source = services.evidence.log_source()
    await asyncio.to_thread(export, source, folder)
    return await asyncio.to_thread(verify_export, folder, [Vkey.parse(services.evidence.vkey)])


async def run_demo(folder: Path, say: Say, scenario: str = "clean") -> dict[str, Any]:
    """Consent, profile, JWS, keys and the verified log of one scenario, as ``xinqiao demo --json`` prints them."""
    async with running_demo(folder) as demo:
        say(f"模拟平台 simulated platforms  {demo.sandbox_url}")
        say(f"网关 gateway                  {demo.gateway_url}")
        firm = (await demo.scenarios())[scenario]
        offers = {c.id: c.datasets for c in demo.services.connectors.values()}
        consent = await demo.lender.register(sample_grant(subject_of(firm), offers, utc_now()))
        say(f"授权 consent registered       {consent['id']}")
        profile = await demo.lender.profile(profile_ask(firm, consent["id"]))
        say(f"画像 profile issued           {profile['id']}")
        jws = await demo.lender.jws(profile["id"])
        jwks = orjson.loads(await demo.get("/.well-known/jwks.json"))
        report = await export_and_verify(demo.services, folder / "log")
        say(f"日志 log verified             {report.text().splitlines()[0]}")
        head = report.checkpoint
        return {
            "consent": consent,
            "profile": profile,
            "jws": jws,
            "jwks": jwks,
            "log": {
                "size": head and head.size,
                "root": head and head.root.hex(),
                "verified": report.ok and report.trusted,
            },
        }
