"""The sandbox as a real HTTP server: platforms, counts, scenarios, faults, and the back door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.sandbox.admin import states
from connectors.sandbox.conflicts import RULES
from connectors.sandbox.credentials import rsa_key, secrets_of
from connectors.sandbox.faults import Fault, FaultsError, read_faults
from connectors.sandbox.identity import CAPACITY, uscc_of
from connectors.sandbox.scenarios import SCENARIOS
from connectors.sandbox.server import PLATFORMS, Running, start_sandbox
from connectors.sandbox.views import PLATFORM_OF
from connectors.sandbox.wire import Call
from connectors.sandbox.world import World
from schemas.records import CATALOGUE
from tests.sandbox_callers import NOW, Ask, cases, credit, hpf, hrss, hrss_json, registry, tax, token

NUMBER = {scenario.name: n for n, scenario in enumerate(SCENARIOS)}


@pytest.fixture
async def sandbox() -> AsyncIterator[Running]:
    running = await start_sandbox(clock=lambda: NOW)
    yield running
    await running.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def send(http: aiohttp.ClientSession, running: Running, call: Call) -> tuple[int, bytes]:
    url = f"{running.url}{call.path}" + (f"?{call.query}" if call.query else "")
    async with http.request(call.method, url, headers=call.headers, data=call.body or None) as reply:
        return reply.status, await reply.read()


async def get(http: aiohttp.ClientSession, running: Running, path: str) -> Any:
    async with http.get(f"{running.url}/_sandbox/{path}") as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


def returns(running: Running, n: int, nonce: str = "nonce-00001") -> Call:
    return tax(Ask(running.secrets["sh-tax"], "tax_returns", uscc_of(n), nonce=nonce))


async def test_a_signed_call_over_a_socket_is_answered_and_counted(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    status, body = await send(http, sandbox, registry(Ask(sandbox.secrets["sh-registry"], "registration", uscc_of(0))))
    assert status == 200
    assert b'"code":200' in body
    bearer = await send(http, sandbox, token(sandbox.secrets["sh-court"]))
    assert bearer[0] == 200
    assert (await send(http, sandbox, cases("invented", uscc_of(0))))[0] == 401
    counts = await get(http, sandbox, "requests")
    assert set(counts) == {kind.id for kind in PLATFORMS}
    assert counts["sh-registry"] == {"total": 1, "answered": 1}
    assert counts["sh-court"] == {"total": 2, "token": 1, "bad_token": 1}
    assert counts["sh-tax"] == {"total": 0}


async def test_a_reset_forgets_the_counts_and_keeps_the_nonces(sandbox: Running, http: aiohttp.ClientSession) -> None:
    await send(http, sandbox, returns(sandbox, 0))
    async with http.post(f"{sandbox.url}/_sandbox/reset") as reply:
        assert reply.status == 204
    assert (await get(http, sandbox, "requests"))["sh-tax"] == {"total": 0}
    await send(http, sandbox, returns(sandbox, 0))
    assert (await get(http, sandbox, "requests"))["sh-tax"] == {"total": 1, "replayed": 1}


async def test_the_credentials_page_gives_what_the_server_checks_against(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    assert await get(http, sandbox, "credentials") == sandbox.secrets == secrets_of(1)


async def test_an_unknown_platform_is_not_found(sandbox: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{sandbox.url}/nowhere/x") as reply:
        assert reply.status == 404


async def test_every_scenario_says_which_states_and_findings_it_must_lead_to(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    found = {s["scenario"]: s for s in await get(http, sandbox, "scenarios")}
    assert list(found) == [
        "clean", "headcount-conflict", "revenue-conflict", "unit-error", "hidden-mortgage", "dishonest-debtor",
        "platform-down", "platform-slow", "wrong-enterprise", "no-record",
    ]  # fmt: skip
    for name, scenario in found.items():
        assert scenario["uscc"] == uscc_of(NUMBER[name])
        assert set(scenario["states"]) == set(PLATFORM_OF)
        assert set(scenario["findings"]) <= set(RULES)
    conflicts = {name: {r for r, o in s["findings"].items() if o == "conflict"} for name, s in found.items()}
    assert {name: rules for name, rules in conflicts.items() if rules} == {
        "headcount-conflict": {"headcount"},
        "revenue-conflict": {"revenue"},
        "unit-error": {"unit"},
        "hidden-mortgage": {"property"},
        "dishonest-debtor": {"judicial"},
    }
    assert found["clean"]["findings"] == dict.fromkeys(RULES, "consistent")
    assert list(found["clean"]["states"].values()).count("present") >= 9
    for name, platform in (("platform-down", "sh-tax"), ("platform-slow", "sh-hpf"), ("wrong-enterprise", "sh-hrss")):
        gone = {d for d, state in found[name]["states"].items() if state == "unavailable"}
        assert gone == {d for d, p in PLATFORM_OF.items() if p == platform}
    assert set(found["no-record"]["states"].values()) == {"empty_confirmed"}


async def test_one_platform_is_down_for_one_enterprise_only(sandbox: Running, http: aiohttp.ClientSession) -> None:
    status, _ = await send(http, sandbox, returns(sandbox, NUMBER["platform-down"]))
    assert status == 503
    status, body = await send(http, sandbox, returns(sandbox, NUMBER["clean"], "nonce-00002"))
    assert status == 200
    assert b'"code":"00"' in body


async def test_a_slow_platform_holds_one_call_and_lets_it_go_when_the_caller_hangs_up(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    call = hpf(Ask(sandbox.secrets["sh-hpf"], "provident_fund", uscc_of(NUMBER["platform-slow"]), first="2026-09"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(http, sandbox, call), 0.2)
    other = hpf(Ask(sandbox.secrets["sh-hpf"], "provident_fund", uscc_of(0), first="2026-09", nonce="another-nonce"))
    assert (await send(http, sandbox, other))[0] == 200


async def test_a_wrong_enterprise_comes_with_its_own_code(sandbox: Running, http: aiohttp.ClientSession) -> None:
    asked = uscc_of(NUMBER["wrong-enterprise"])
    _, body = await send(http, sandbox, hrss(Ask(sandbox.secrets["sh-hrss"], "social_insurance", asked)))
    reply = hrss_json(body)
    assert reply["head"]["rtn"] == "0000"
    assert reply["body"]["aab003"] == uscc_of(1) != asked


async def test_no_platform_holds_a_record_of_the_empty_one(sandbox: Running, http: aiohttp.ClientSession) -> None:
    asked = uscc_of(NUMBER["no-record"])
    _, body = await send(http, sandbox, credit(Ask(sandbox.secrets["credit-sh"], "permits", asked)))
    assert b'"total":0' in body


async def test_the_list_of_enterprises_holds_names_declarations_and_labels(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    found = await get(http, sandbox, "enterprises?start=20&count=30")
    assert [e["n"] for e in found] == list(range(20, 50))
    assert all(set(e) == {"n", "uscc", "name", "declared", "labels"} for e in found)
    assert len(await get(http, sandbox, "enterprises")) == 100


@pytest.mark.parametrize("query", ["start=-1", "start=x", "count=5001", f"start={CAPACITY}", "start=99999999999"])
async def test_a_list_that_cannot_be_is_a_bad_request(
    sandbox: Running, http: aiohttp.ClientSession, query: str
) -> None:
    async with http.get(f"{sandbox.url}/_sandbox/enterprises?{query}") as reply:
        assert reply.status == 400


async def test_the_truth_is_in_canonical_records_for_the_months_asked(
    sandbox: Running, http: aiohttp.ClientSession
) -> None:
    found = await get(http, sandbox, f"truth/{uscc_of(0)}?first=2026-01&last=2026-06")
    assert (found["first"], found["last"]) == ("2026-01", "2026-06")
    assert {r["month"] for r in found["datasets"]["provident_fund"]} == {f"2026-0{m}" for m in range(1, 7)}
    assert found["states"] == states(sandbox.world, 0)
    for dataset, rows in found["datasets"].items():
        assert all(set(row) <= set(CATALOGUE[dataset].fields) for row in rows)
    whole = await get(http, sandbox, f"truth/{uscc_of(0)}")
    assert (whole["first"], whole["last"]) == ("2024-12", "2026-11")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("truth/91340000711771143J", 404),
        (f"truth/{uscc_of(0)}?first=2026", 400),
        (f"truth/{uscc_of(0)}?last=2099-01", 400),
    ],
)
async def test_a_truth_that_cannot_be_is_refused(
    sandbox: Running, http: aiohttp.ClientSession, path: str, status: int
) -> None:
    async with http.get(f"{sandbox.url}/_sandbox/{path}") as reply:
        assert reply.status == status


@pytest.mark.parametrize(
    ("fault", "status", "verdict"),
    [
        (Fault(down=True), 503, "down"),
        (Fault(status=502), 502, "fault"),
        (Fault(busy=True), 200, "busy"),
        (Fault(delay=0.01), 200, "answered"),
    ],
)
async def test_a_whole_platform_can_be_in_trouble(
    http: aiohttp.ClientSession, fault: Fault, status: int, verdict: str
) -> None:
    running = await start_sandbox(clock=lambda: NOW, faults={"sh-tax": fault})
    try:
        assert (await send(http, running, returns(running, 0)))[0] == status
        assert (await get(http, running, "requests"))["sh-tax"] == {"total": 1, verdict: 1}
    finally:
        await running.close()


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "faults.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_faults_file_is_a_table_per_platform(tmp_path: Path) -> None:
    path = write(tmp_path, "[sh-tax]\ndown = true\n[sh-hpf]\ndelay = 1.5\n[sh-court]\nstatus = 502\nbusy = false\n")
    assert read_faults(path, [kind.id for kind in PLATFORMS]) == {
        "sh-tax": Fault(down=True),
        "sh-hpf": Fault(delay=1.5),
        "sh-court": Fault(status=502),
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[nowhere]\ndown = true", "nowhere"),
        ("sh-tax = 5", "sh-tax"),
        ("[sh-tax]\ndown = 1", "sh-tax.down"),
        ("[sh-tax]\ndelay = true", "sh-tax.delay"),
        ("[sh-tax]\ndelay = 601", "sh-tax.delay"),
        ("[sh-tax]\nstatus = 200", "sh-tax.status"),
        ("[sh-tax]\nstatus = 500.5", "sh-tax.status"),
        ("[sh-tax]\nwhat = 0", "sh-tax.what"),
        ("[", "faults.toml"),
        (b"\xff", "faults.toml"),
    ],
)
def test_a_faults_file_that_cannot_be_names_the_place(tmp_path: Path, text: str | bytes, place: str) -> None:
    with pytest.raises(FaultsError, match=place):
        read_faults(write(tmp_path, text), ["sh-tax"])


def test_secrets_come_from_the_seed_and_differ_from_seed_to_seed() -> None:
    one, two = secrets_of(1), secrets_of(2)
    assert set(one) == {kind.id for kind in PLATFORMS}
    assert secrets_of(1) == one
    values = [{v for s in all_.values() for k, v in s.items() if not v.startswith("sandbox-")} for all_ in (one, two)]
    assert not values[0] & values[1]
    assert rsa_key(1).key_size == 2048


def test_the_calendar_day_is_that_of_shanghai() -> None:
    before_midnight = datetime(2026, 11, 24, 15, 59, tzinfo=UTC).timestamp()
    assert World(1, lambda: before_midnight).today().isoformat() == "2026-11-24"
    assert World(1, lambda: before_midnight + 60).today().isoformat() == "2026-11-25"


def test_only_the_last_few_thousand_enterprises_are_remembered() -> None:
    world = World(1, lambda: NOW)
    first = world.enterprise(0)
    assert world.enterprise(0) is first
    for n in range(1, 4097):
        world.enterprise(n)
    assert world.enterprise(0) is not first
    assert world.enterprise(0) == first
