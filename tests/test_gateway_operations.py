"""What operators and browsers meet: health, readiness, metrics, platforms, and documentation without any other host."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

import gateway.app
from connectors.kit.hostile import hostile, reply
from connectors.transport import AioTransport
from connectors.wire import WireRequest
from gateway.app import create_app
from gateway.client import LenderClient, LenderError
from gateway.demo import LENDER, running_demo, sample_grant, serving, subject_of
from gateway.jobs.sharing import Sharing
from gateway.services import SERVICES, database_path, open_services
from gateway.settings import Settings
from schemas.errors import ConfigurationError
from tests.certificates import DAY, Authority
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("operations")) as made:
        yield made


async def test_a_gateway_that_works_is_alive_and_ready(world: World) -> None:
    assert (await world.send("GET", "/healthz")).json == {"status": "ok"}
    assert (await world.send("GET", "/readyz")).json == {"status": "ready"}
    text = (await world.send("GET", "/metrics")).body.decode()
    assert "xinqiao_log_writable 1.0" in text
    assert 'xinqiao_platform_clock_offset_seconds{platform="sh-tax"} 0.0' in text


async def test_while_the_log_cannot_be_written_it_is_alive_not_ready_and_releases_nothing(tmp_path: Path) -> None:
    async with gateway_world(tmp_path) as world:
        consent = await world.consent()
        database = database_path(world.demo.services.settings)
        away = database.with_suffix(".away")
        database.rename(away)
        calls = await world.calls()
        for path, body in (("/v1/consents", world.grant()), ("/v1/profiles", world.ask(consent["id"]))):
            refused = await world.send("POST", path, body, lender=world.lender)
            assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
            assert int(refused.headers["Retry-After"]) > 0
        assert await world.calls() == calls
        assert (await world.send("GET", "/healthz")).status == 200
        ready = await world.send("GET", "/readyz")
        assert (ready.status, ready.json["code"], ready.headers["Retry-After"]) == (503, "storage_unavailable", "5")
        assert "xinqiao_log_writable 0.0" in (await world.send("GET", "/metrics")).body.decode()
        away.rename(database)
        while (await world.send("GET", "/readyz")).status != 200:
            continue  # the journal opens the file again by itself
        assert (await world.send("POST", "/v1/profiles", world.ask(consent["id"]), lender=world.lender)).status == 200


async def test_sources_are_counted_by_platform_and_state(world: World) -> None:
    consent = await world.consent()
    await world.lender.profile(world.ask(consent["id"]))
    reply = await world.send("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    line = 'xinqiao_sources_total{dataset="social_insurance",platform="sh-hrss",state="present"}'
    assert line in reply.body.decode()
    for private in (world.firm["uscc"], world.firm["name"], consent["id"]):
        assert private not in reply.body.decode()


async def test_fields_that_a_manifest_does_not_know_are_counted_as_drift(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: Any = world.demo.services.connectors["sh-hrss"]
    fetch = type(held).fetch

    async def drifting(self: Any, *args: Any) -> Any:
        reply = await fetch(self, *args)
        object.__setattr__(reply, "drift", {"data.new_field": 3})
        return reply

    monkeypatch.setattr(type(held), "fetch", drifting)
    await world.lender.profile(world.ask((await world.consent())["id"]))
    text = (await world.send("GET", "/metrics")).body.decode()
    assert 'xinqiao_schema_drift_total{dataset="social_insurance",platform="sh-hrss"} 3.0' in text


async def test_the_days_until_a_certificate_ends_are_shown(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an alarm below thirty days goes by (fault U20)."""
    authority = Authority(tmp_path)
    async with hostile(reply(200, b"{}"), tls=authority.server(end=29 * DAY)) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=authority.trusting())
        await transport.send(WireRequest("GET", server.url + "/", {}, b""), timeout=5)
        await transport.close()
    services = replace(world.demo.services, certificate_ends=transport.certificate_ends)
    monkeypatch.setitem(world.app._state, SERVICES, services)
    text = (await world.send("GET", "/metrics")).body.decode()
    (days,) = re.findall(rf'^xinqiao_certificate_days{{certificate="{server.url}"}} (\S+)$', text, re.MULTILINE)
    assert 28 < float(days) < 30


async def test_the_platforms_that_can_be_asked_are_listed_with_what_they_give(world: World) -> None:
    listed = (await world.send("GET", "/v1/platforms", lender=world.lender)).json["platforms"]
    assert {p["id"]: p["datasets"] for p in listed} == {
        name: {dataset: sorted(fields) for dataset, fields in datasets.items()}
        for name, datasets in world.offers.items()
    }
    assert {p["assurance"] for p in listed} <= {"published-spec", "assumed"}


async def test_one_platform_says_how_it_is_doing(world: World) -> None:
    await world.lender.profile(world.ask((await world.consent())["id"]))
    # The gateway of the tests tells the others seldom; once, here.
    told = Sharing(world.demo.services)
    await told.report()
    await told.stop()
    one = (await world.send("GET", "/v1/platforms/sh-hrss", lender=world.lender)).json
    assert one["health"]["fetches"] > 0
    assert one["limits"]["in_force"] == one["limits"]["manifest"]
    assert one["freshness"]["in_force"]["social_insurance"] == one["freshness"]["manifest"]["social_insurance"]
    assert (one["required"], one["weight"]) == (True, 1)
    assert one["health"]["p50_ms"] > 0
    assert one["health"]["breaker"] == "closed"
    missing = await world.send("GET", "/v1/platforms/nothing", lender=world.lender)
    assert (missing.status, missing.json["code"]) == (404, "not_found")


async def test_the_documentation_page_and_its_files_come_from_the_gateway_alone(world: World) -> None:
    page = await world.send("GET", "/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    named = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert named
    for path in named:
        assert path.startswith("/docs/")
        reply = await world.send("GET", path)
        assert reply.status == 200
        kind = "text/css" if path.endswith(".css") else "text/javascript"
        assert reply.headers["Content-Type"].startswith(kind)
    assert "<script>" not in page.body.decode()


async def test_the_pages_of_ours_name_no_foreign_host() -> None:
    for name in ("docs.html", "docs.js"):
        text = (files("gateway") / "static" / name).read_text("utf-8")
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", text.replace("// ", ""))
    style = (files("gateway") / "static" / "swagger-ui" / "swagger-ui.css").read_text("utf-8")
    assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", style)


@pytest.mark.parametrize("name", ["nothing.js", "NOTICE", "LICENSE", "..%2fdocs.html", "docs.html"])
async def test_no_other_file_is_served(world: World, name: str) -> None:
    assert (await world.send("GET", f"/docs/{name}")).status == 404


async def test_every_problem_type_leads_to_its_explanation(world: World) -> None:
    problem = (await world.send("GET", "/nothing")).json
    path, _, anchor = problem["type"].partition("#")
    page = await world.send("GET", path)
    assert page.status == 200
    assert f'id="{anchor}"' in page.body.decode()
    assert problem["detail_zh"] in page.body.decode()


async def test_without_the_c_parser_production_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gateway.app, "HttpRequestParser", gateway.app.HttpRequestParserPy)
    with pytest.raises(ConfigurationError):
        create_app(Settings(production=True, data=tmp_path / "data", keys=tmp_path / "keys"))
    assert create_app(Settings(data=tmp_path / "data"))
    assert not os.listdir(tmp_path)  # noqa: PTH208


async def test_production_does_not_start_without_its_keys(tmp_path: Path) -> None:
    settings = Settings(production=True, data=tmp_path / "data", keys=tmp_path / "keys")
    runner = web.AppRunner(create_app(settings))
    with pytest.raises(ConfigurationError) as caught:
        await runner.setup()
    assert caught.value.details["at"] == "keys/kek.1"
    await runner.cleanup()


async def test_a_data_folder_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError) as caught:
        async with open_services(Settings(data=tmp_path / "file" / "data")):
            pass
    assert caught.value.details["at"] == "data"


async def test_a_lender_with_a_private_key_in_its_jwks_stops_the_start_and_closes_the_log(tmp_path: Path) -> None:
    shared = {"keys": [{"kty": "oct", "k": "c2VjcmV0" * 5}]}
    settings = Settings.model_validate({"data": tmp_path, "lenders": {"bank-a": {"name": "x", "jwks": shared}}})
    with pytest.raises(ConfigurationError):
        async with serving(create_app(settings)):
            pass
    async with open_services(settings) as services:  # not locked, not left open
        assert services.evidence.writable


async def test_the_demonstration_runs_with_a_lender_client_that_renews_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_demo(tmp_path) as demo:
        first = await demo.lender.authorization()
        assert await demo.lender.authorization() == first
        monkeypatch.setattr(demo.lender, "_renew_at", 0.0)
        assert await demo.lender.authorization() != first
        firm = (await demo.scenarios())["clean"]
        offers = {c.id: c.datasets for c in demo.services.connectors.values()}
        now = demo.services.now()
        consent = await demo.lender.register(sample_grant(subject_of(firm), offers, now))
        assert consent["grantee"] == LENDER
        with pytest.raises(LenderError) as caught:
            await demo.lender.jws("p" + "0" * 30)
        assert (caught.value.status, str(caught.value)) == (404, "404 not_found")
        # The key of another lender's client is refused at the door.
        async with aiohttp.ClientSession() as session:
            stranger = LenderClient(
                session, demo.gateway_url, "nobody", demo.services.keys.token().key, demo.services.settings.issuer
            )
            with pytest.raises(LenderError, match="invalid_client"):
                await stranger.register({})
    mode = os.stat(tmp_path / "keys" / f"{LENDER}.pem").st_mode  # noqa: PTH116
    assert mode & 0o777 == 0o600
