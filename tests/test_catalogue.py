"""The nine connectors of the catalogue: their own fixtures, and against the sandbox over a real socket."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from connectors.base import Found, Progress, Query, Reply, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.conformance import check
from connectors.manifest import Loaded, load
from connectors.ports import OpenGuard
from connectors.registry import BUILT_IN
from connectors.sandbox.population import Enterprise
from connectors.sandbox.server import Running, start_sandbox
from connectors.sandbox.views import PLATFORM_OF, truth
from connectors.signing.base import new_nonce
from connectors.transport import AioTransport
from schemas.errors import SubjectMismatch, UpstreamBusy, UpstreamDenied
from schemas.records import CATALOGUE

LOADED: dict[str, Loaded] = {folder.name: load(folder) for folder in sorted(BUILT_IN.iterdir()) if folder.is_dir()}
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC).timestamp()
FIRST, LAST = (2024, 12), (2026, 11)
RSA_OF_ANOTHER = (Path(__file__).parent / "keys" / "rsa2_test_only.pem").read_text().partition("\n")[2]
SM2_OF_ANOTHER = "1bf1edab1b97120f0a7b55984a04ff6209499b586a2fc235282ddc9389e70c66"
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Bench:
    """A sandbox that listens, the time on both sides, and connectors to it."""

    def __init__(self, sandbox: Running, transport: AioTransport, hour: list[float]) -> None:
        self.sandbox = sandbox
        self.hour = hour
        self._transport = transport

    def connector(
        self,
        platform: str,
        changed: Mapping[str, str] | None = None,
        behind: float = 0.0,
        nonce: Callable[[], str] = new_nonce,
    ) -> DeclarativeConnector:
        """``changed``: secrets that are not what they should be. ``behind``: seconds our clock is slow."""
        return DeclarativeConnector(
            LOADED[platform],
            self._transport,
            {**self.sandbox.secrets[platform], **(changed or {})},
            base_url=f"{self.sandbox.url}/{platform}",
            clock=lambda: self.hour[0] - behind,
            nonce=nonce,
        )

    async def verdicts(self, platform: str) -> dict[str, int]:
        async with ClientSession() as session, session.get(f"{self.sandbox.url}/_sandbox/requests") as reply:
            counts: dict[str, int] = (await reply.json())[platform]
            return counts


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    hour = [NOW]
    sandbox = await start_sandbox(clock=lambda: hour[0])
    transport = AioTransport(allowed_private=[urlsplit(sandbox.url).netloc])
    yield Bench(sandbox, transport, hour)
    await transport.close()
    await sandbox.close()


async def fetch(
    connector: DeclarativeConnector, e: Enterprise, dataset: str, progress: Progress | None = None
) -> Reply:
    query = Query(Subject(e.uscc, e.asked_name), dataset, connector.datasets[dataset], FIRST, LAST)
    deadline = asyncio.get_running_loop().time() + 20
    return await connector.fetch(query, OpenGuard(), deadline, progress or Progress())


def datasets(platform: str) -> list[str]:
    return [dataset for dataset, its in PLATFORM_OF.items() if its == platform]


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts by value: 5000000.0 and 5000000.00 are one amount."""
    return {k: Decimal(v) if isinstance(v, str) and _NUMBER.fullmatch(v) else v for k, v in record.items()}


@pytest.mark.parametrize("platform", LOADED)
def test_a_connector_passes_its_own_fixtures(platform: str) -> None:
    results = check(BUILT_IN / platform)
    assert [result for result in results if not result.ok] == []
    assert len(results) > 3


def test_the_catalogue_holds_the_nine_platforms_and_their_data_sets() -> None:
    assert set(LOADED) == set(PLATFORM_OF.values())
    assert {d: p for p, loaded in LOADED.items() for d in loaded.plans} == PLATFORM_OF


def test_no_connector_claims_a_published_specification() -> None:
    assert {loaded.manifest.assurance for loaded in LOADED.values()} == {"assumed"}


def test_no_two_platforms_sign_alike() -> None:
    ways = [(loaded.manifest.auth.scheme, repr(loaded.manifest.auth.options)) for loaded in LOADED.values()]
    assert len(set(ways)) == len(ways) == 9


@pytest.mark.parametrize("platform", LOADED)
def test_every_field_of_a_data_set_is_mapped(platform: str) -> None:
    for dataset, plan in LOADED[platform].plans.items():
        assert set(plan.specs) == set(CATALOGUE[dataset].fields)


def telling(bench: Bench) -> list[tuple[Enterprise, dict[str, list[dict[str, Any]]]]]:
    """The first enterprises beyond the scenarios that show each data set with rows, without any, and over pages."""
    chosen = []
    seen: set[tuple[str, str]] = set()
    for n in range(10, 300):
        e = bench.sandbox.world.enterprise(n)
        known = truth(e)
        assert (known["first"], known["last"]) == ("2024-12", "2026-11")
        rows = known["datasets"]
        shows = {(d, "none" if not r else "many" if len(r) > 20 else "some") for d, r in rows.items()}
        if shows - seen:
            seen |= shows
            chosen.append((e, rows))
    return chosen


async def test_every_data_set_reads_as_the_sandboxs_truth_says(bench: Bench) -> None:
    connectors = {platform: bench.connector(platform) for platform in LOADED}
    found: dict[str, set[Found]] = {dataset: set() for dataset in PLATFORM_OF}
    for e, rows in telling(bench):
        for dataset, platform in PLATFORM_OF.items():
            reply = await fetch(connectors[platform], e, dataset)
            expected = rows[dataset]
            if dataset == "annual_report":
                expected = [row for row in expected if row["year"] >= FIRST[0]]
            assert [comparable(r) for r in reply.records] == [comparable(r) for r in expected], (e.n, dataset)
            assert reply.found is (Found.FOUND if expected else Found.ABSENT), (e.n, dataset)
            assert (reply.as_of is not None) == bool(expected), (e.n, dataset)
            assert (dict(reply.drift), reply.repairs, reply.signature_held) == ({}, (), None), (e.n, dataset)
            found[dataset].add(reply.found)
    assert {dataset for dataset, states in found.items() if Found.FOUND not in states} == set()
    # The sandbox always has these; the rest was also seen to be absent.
    always = {"registration", "shareholders", "key_persons", "annual_report", "social_insurance", "provident_fund",
              "tax_returns", "tax_credit", "invoices"}  # fmt: skip
    assert {dataset for dataset, states in found.items() if Found.ABSENT not in states} == always


WRONG = {
    "sh-registry": {"app_secret": "of another"},
    "sh-hrss": {"app_key": "of another"},
    "sh-hpf": {"private_key": SM2_OF_ANOTHER},
    "sh-housing": {"secret_key": "of another"},
    "sh-tax": {"private_key": RSA_OF_ANOTHER},
    "sh-court": {"client_secret": "of another"},
    "credit-sh": {"token": "of another"},
    "ccrc-receivables": {"client_secret": "of another"},
    "guarantee-fund": {"private_key": SM2_OF_ANOTHER},
}
UNKNOWN = {
    "sh-registry": "rid",
    "sh-hrss": "app_id",
    "sh-hpf": "app_id",
    "sh-housing": "access_key",
    "sh-tax": "app_id",
    "sh-court": "client_id",
    "credit-sh": "paasid",
    "ccrc-receivables": "client_id",
    "guarantee-fund": "app_id",
}


@pytest.mark.parametrize("platform", LOADED)
async def test_a_signature_with_another_key_is_denied(platform: str, bench: Bench) -> None:
    e = bench.sandbox.world.enterprise(13)
    for dataset in datasets(platform):
        with pytest.raises(UpstreamDenied):
            await fetch(bench.connector(platform, WRONG[platform]), e, dataset)
    verdicts = await bench.verdicts(platform)
    verdicts.pop("total")
    assert set(verdicts) == {"bad_signature"}


async def test_a_wrong_key_behind_the_signed_text_is_denied(bench: Bench) -> None:
    with pytest.raises(UpstreamDenied):
        await fetch(
            bench.connector("guarantee-fund", {"secret": "of another"}),
            bench.sandbox.world.enterprise(13),
            "guarantees",
        )


@pytest.mark.parametrize("platform", LOADED)
async def test_an_application_that_the_platform_does_not_know_is_denied(platform: str, bench: Bench) -> None:
    connector = bench.connector(platform, {UNKNOWN[platform]: "somebody"})
    with pytest.raises(UpstreamDenied):
        await fetch(connector, bench.sandbox.world.enterprise(13), datasets(platform)[0])


@pytest.mark.parametrize("platform", [platform for platform in LOADED if platform != "sh-court"])
@pytest.mark.parametrize("behind", [3600.0, -3600.0])
async def test_a_request_from_another_hour_is_denied(platform: str, behind: float, bench: Bench) -> None:
    with pytest.raises(UpstreamDenied):
        await fetch(bench.connector(platform, behind=behind), bench.sandbox.world.enterprise(13), datasets(platform)[0])
    assert (await bench.verdicts(platform)).get("stale")


@pytest.mark.parametrize("platform", [platform for platform in LOADED if platform not in ("sh-court", "sh-housing")])
async def test_a_nonce_that_was_used_before_is_denied(platform: str, bench: Bench) -> None:
    """Where the scheme has no nonce, the same request in the same millisecond. sh-housing's one-second dates cannot
    tell a replay from a lawful repeat, and a bearer token is meant to be used again."""
    connector = bench.connector(platform, nonce=lambda: "0123456789abcdef")
    e = bench.sandbox.world.enterprise(13)
    dataset = datasets(platform)[0]

    async def twice() -> None:
        for _ in range(2):
            await fetch(connector, e, dataset)

    with pytest.raises(UpstreamDenied):
        await twice()
    assert (await bench.verdicts(platform)).get("replayed")


async def test_a_token_that_expired_at_the_platform_is_renewed_once_and_the_answer_comes(bench: Bench) -> None:
    connector = bench.connector("sh-court")
    e = next(
        e for e in map(bench.sandbox.world.enterprise, range(10, 300)) if len(truth(e)["datasets"]["judicial"]) == 1
    )
    first, again, later = Progress(), Progress(), Progress()
    before = await fetch(connector, e, "judicial", first)
    await fetch(connector, e, "judicial", again)
    bench.hour[0] += 3600
    after = await fetch(connector, e, "judicial", later)
    assert (first.calls, again.calls) == (2, 1)
    assert later.calls == 3  # refused, a new token, answered
    assert (later.attempts, (await bench.verdicts("sh-court"))["bad_token"]) == (2, 1)
    assert after.records == before.records


async def test_the_scenarios_trouble_shows_as_typed_errors(bench: Bench) -> None:
    world = bench.sandbox.world
    with pytest.raises(UpstreamBusy):
        await fetch(bench.connector("sh-tax"), world.enterprise(6), "tax_credit")
    with pytest.raises(SubjectMismatch):
        await fetch(bench.connector("sh-hrss"), world.enterprise(8), "social_insurance")
    for dataset, platform in PLATFORM_OF.items():
        assert (await fetch(bench.connector(platform), world.enterprise(9), dataset)).found is Found.ABSENT
