"""The connectors of the catalogue: their own fixtures, and against the sandbox over a real socket."""

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
from connectors.local import LocalTransport
from connectors.manifest import Loaded
from connectors.ports import OpenGuard
from connectors.registry import BUILT_IN, find
from connectors.sandbox.platforms.ywtb import PASSED_ON
from connectors.sandbox.population import Enterprise
from connectors.sandbox.server import Running, start_sandbox
from connectors.sandbox.views import PLATFORM_OF, canonical, holders, truth, view
from connectors.signing.base import new_nonce
from connectors.transport import AioTransport
from schemas.errors import SubjectMismatch, UpstreamBusy, UpstreamDenied
from schemas.records import CATALOGUE

LOADED: dict[str, Loaded] = find([])
SIGNING = [platform for platform in LOADED if platform != "bank-internal"]
NOT_THERE = {("core-enterprise", "receivables"): {"uploaded_on"}}
"""Nothing is uploaded to the books of the debtor."""
OWN = {(platform, dataset) for dataset in PLATFORM_OF for platform in holders(dataset)}
"""Each data set of each platform that holds it itself; the outlet only passes on."""
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
        local = platform == "bank-internal"
        secrets = {**self.sandbox.secrets[platform], **(changed or {})}
        return DeclarativeConnector(
            LOADED[platform],
            LocalTransport(secrets) if local else self._transport,
            secrets,
            base_url=None if local else f"{self.sandbox.url}/{platform}",
            clock=lambda: self.hour[0] - behind,
            nonce=nonce,
        )

    async def verdicts(self, platform: str) -> dict[str, int]:
        async with ClientSession() as session, session.get(f"{self.sandbox.url}/_sandbox/requests") as reply:
            counts: dict[str, int] = (await reply.json())[platform]
            return counts


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    hour = [NOW]
    sandbox = await start_sandbox(clock=lambda: hour[0], bank=tmp_path)
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
    return list(LOADED[platform].plans)


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts by value: 5000000.0 and 5000000.00 are one amount."""
    return {k: Decimal(v) if isinstance(v, str) and _NUMBER.fullmatch(v) else v for k, v in record.items()}


@pytest.mark.parametrize("platform", LOADED)
def test_a_connector_passes_its_own_fixtures(platform: str) -> None:
    results = check(BUILT_IN / platform)
    assert [result for result in results if not result.ok] == []
    assert len(results) > 3


def test_the_catalogue_holds_every_platform_of_the_sandbox_and_its_data_sets() -> None:
    outlets = {platform for platform, loaded in LOADED.items() if loaded.manifest.outlet}
    assert outlets == {"sh-ywtb"}
    assert {(p, d) for p, loaded in LOADED.items() if p not in outlets for d in loaded.plans} == OWN
    assert set(LOADED["sh-ywtb"].plans) == set(PASSED_ON)
    assert set(PLATFORM_OF) == set(CATALOGUE)


def test_a_district_is_one_small_file_beside_the_template() -> None:
    districts = [loaded for platform, loaded in LOADED.items() if platform.startswith("district-")]
    assert len(districts) >= 10
    for loaded in districts:
        assert [child.name for child in loaded.folder.iterdir()] == ["manifest.toml"]
        assert len((loaded.folder / "manifest.toml").read_text("utf-8").splitlines()) <= 15
        assert loaded.fixtures == BUILT_IN / "districts" / "fixtures"
    assert len({loaded.version for loaded in districts}) == len(districts)


def test_no_connector_claims_a_published_specification() -> None:
    assert {loaded.manifest.assurance for loaded in LOADED.values()} == {"assumed"}


def test_no_two_platforms_sign_alike() -> None:
    ways: dict[tuple[str, str], set[str]] = {}
    for platform, loaded in LOADED.items():
        way = loaded.manifest.auth.scheme, repr(loaded.manifest.auth.options)
        ways.setdefault(way, set()).add("district" if platform.startswith("district-") else platform)
    assert {len(same) for same in ways.values()} == {1}
    assert len(ways) == 16


@pytest.mark.parametrize("platform", LOADED)
def test_every_field_of_a_data_set_is_mapped(platform: str) -> None:
    for dataset, plan in LOADED[platform].plans.items():
        assert set(plan.specs) == set(CATALOGUE[dataset].fields) - NOT_THERE.get((platform, dataset), set())


def telling(bench: Bench) -> list[tuple[Enterprise, dict[str, list[dict[str, Any]]]]]:
    """The first enterprises beyond the scenarios that show each data set with rows, without any, and over pages."""
    chosen = []
    seen: set[tuple[str, str]] = set()
    for n in [*range(10, 300), 4]:
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
    found: dict[tuple[str, str], set[Found]] = {place: set() for place in OWN}
    for e, _ in telling(bench):
        for platform, dataset in sorted(OWN):
            reply = await fetch(connectors[platform], e, dataset)
            expected = canonical(view(e, dataset, month(FIRST), month(LAST), platform))
            if dataset == "annual_report":
                expected = [row for row in expected if int(str(row["year"])) >= FIRST[0]]
            place = e.n, platform, dataset
            assert [comparable(r) for r in reply.records] == [comparable(r) for r in expected], place
            assert reply.found is (Found.FOUND if expected else Found.ABSENT), place
            assert (reply.as_of is not None) == bool(expected), place
            assert (dict(reply.drift), reply.repairs, reply.signature_held) == ({}, (), None), place
            found[platform, dataset].add(reply.found)
    assert {dataset for (_, dataset), states in found.items() if Found.FOUND in states} == set(CATALOGUE)
    # The sandbox always has these; the rest was also seen to be absent.
    always = {"registration", "shareholders", "key_persons", "annual_report", "social_insurance", "provident_fund",
              "tax_returns", "tax_credit", "invoices"}  # fmt: skip
    assert {dataset for (_, dataset), states in found.items() if Found.ABSENT not in states} == always


def month(of: tuple[int, int]) -> int:
    return of[0] * 12 + of[1] - 1


async def test_the_outlet_passes_on_what_the_bureaus_say(bench: Bench) -> None:
    outlet = bench.connector("sh-ywtb")
    for n in (0, 13, 30):
        e = bench.sandbox.world.enterprise(n)
        for dataset, bureau in PASSED_ON.items():
            first, again = await fetch(bench.connector(bureau), e, dataset), await fetch(outlet, e, dataset)
            assert [comparable(r) for r in again.records] == [comparable(r) for r in first.records], (n, dataset)
            assert again.found is first.found


async def test_the_bank_knows_its_customers_and_of_others_says_that_it_has_no_record(bench: Bench) -> None:
    bank = bench.connector("bank-internal")
    for dataset in datasets("bank-internal"):
        assert (await fetch(bank, bench.sandbox.world.enterprise(12), dataset)).found is Found.FOUND
        assert (await fetch(bank, bench.sandbox.world.enterprise(64), dataset)).found is Found.ABSENT


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
    "yunlian": {"private_key": SM2_OF_ANOTHER},
    "core-enterprise": {"secret_key": "of another"},
    "acfic-sh": {"token": "of another"},
    "pudong-credit": {"app_key": "of another"},
    **{platform: {"app_key": "of another"} for platform in LOADED if platform.startswith("district-")},
    "sh-ywtb": {"client_secret": "of another"},
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
    "yunlian": "mer_id",
    "core-enterprise": "access_key",
    "acfic-sh": "paasid",
    "pudong-credit": "app_id",
    **{platform: "app_id" for platform in LOADED if platform.startswith("district-")},
    "sh-ywtb": "client_id",
}
BY_TOKEN = ("sh-court", "sh-ywtb")


@pytest.mark.parametrize("platform", SIGNING)
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


@pytest.mark.parametrize("platform", SIGNING)
async def test_an_application_that_the_platform_does_not_know_is_denied(platform: str, bench: Bench) -> None:
    connector = bench.connector(platform, {UNKNOWN[platform]: "somebody"})
    with pytest.raises(UpstreamDenied):
        await fetch(connector, bench.sandbox.world.enterprise(13), datasets(platform)[0])


@pytest.mark.parametrize("platform", [platform for platform in SIGNING if platform not in BY_TOKEN])
@pytest.mark.parametrize("behind", [3600.0, -3600.0])
async def test_a_request_from_another_hour_is_denied(platform: str, behind: float, bench: Bench) -> None:
    with pytest.raises(UpstreamDenied):
        await fetch(bench.connector(platform, behind=behind), bench.sandbox.world.enterprise(13), datasets(platform)[0])
    assert (await bench.verdicts(platform)).get("stale")


@pytest.mark.parametrize("platform", [p for p in SIGNING if p not in (*BY_TOKEN, "sh-housing", "core-enterprise")])
async def test_a_nonce_that_was_used_before_is_denied(platform: str, bench: Bench) -> None:
    """Where the scheme has no nonce, the same request in the same millisecond. One-second dates cannot tell a replay
    from a lawful repeat, and a bearer token is meant to be used again."""
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
    for platform, dataset in OWN:
        assert (await fetch(bench.connector(platform), world.enterprise(9), dataset)).found is Found.ABSENT
