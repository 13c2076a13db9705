"""Processes behind one port: they start one after the other, end together, and serve what the others wrote."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.postgres_server import PostgresServer
from connectors.sandbox.server import start_sandbox
from consent.storage import open_store
from gateway import migrations
from gateway.auth.tokens import public_jwk
from gateway.client import LenderClient
from gateway.demo import LENDER, profile_ask, sample_grant, subject_of
from gateway.workers import Workers, _tell, reserved
from tests.faults.restarts import recomputed_by
from tests.gateway_world import SMALL
from tests.test_cli import XINQIAO

ROOT = Path(__file__).parent.parent
# Nothing of the process that is forked is used in the child but the worker itself.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def running(count: int, act: Callable[[int], int | None]) -> tuple[int, int]:
    """The status of ``count`` workers, and how often all were said to listen; ``act`` gets the worker's number, and a
    status ends it. The parent is told to stop once all listen and the first has had its time."""
    told = 0

    def worker(ready: Callable[[], None]) -> int:
        mine = len(workers._children)
        if mine != 0 or act(-1) is None:
            ready()
        status = act(mine)
        while status is None:
            time.sleep(60)
        return status

    def ready() -> None:
        nonlocal told
        told += 1
        if act(-2) is None:
            os.kill(os.getpid(), signal.SIGTERM)

    workers = Workers(worker)
    return workers.run(count, ready), told


def test_workers_that_are_told_to_stop_stop_and_it_ends_with_0() -> None:
    assert running(3, lambda _: None) == (0, 1)


def test_where_one_ends_by_itself_all_are_stopped_and_its_status_is_the_answer() -> None:
    assert running(3, lambda number: {1: 3, -2: 0}.get(number)) == (3, 1)


def test_one_that_is_killed_ends_them_all_with_1() -> None:
    def act(number: int) -> int | None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {-2: 0}.get(number)

    assert running(3, act) in {(1, 0), (1, 1)}


def test_where_the_first_one_refuses_no_other_is_started() -> None:
    assert running(3, lambda number: {-1: 0, 0: 2}.get(number)) == (2, 0)


def test_told_to_stop_while_the_first_one_starts_it_starts_no_other_and_ends_with_0() -> None:
    def act(number: int) -> None:
        if number == -1:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(60)

    assert running(3, act) == (0, 0)


def test_a_worker_says_once_that_it_listens() -> None:
    listening, says = os.pipe()
    _tell(says)
    with os.fdopen(listening, "rb") as end:
        assert end.read() == b"1"


def test_a_worker_that_breaks_says_why_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Callable[[], None]) -> int:
        raise RuntimeError("why")

    monkeypatch.setattr(os, "_exit", sys.exit)
    workers = Workers(broken)
    monkeypatch.setattr(workers, "_end_with_parent", lambda: None)
    with pytest.raises(SystemExit) as end:
        workers._be_child(0)
    assert end.value.code == 1
    assert "RuntimeError: why" in capsys.readouterr().err


def test_a_worker_whose_parent_is_gone_tells_itself_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *told_: told.append(told_))
    workers = Workers(lambda _: 0)
    os.close(workers._ours)
    workers._end_with_parent()
    os.close(workers._lifeline)
    assert told == [(os.getpid(), signal.SIGTERM)]


def test_a_port_that_somebody_listens_on_is_not_shared_with_him() -> None:
    with reserved("127.0.0.1", 0) as (host, port):
        assert host == "127.0.0.1"
        with (
            socket.create_server((host, port), reuse_port=True),
            pytest.raises(OSError, match="in use"),
            reserved(host, port),
        ):
            pass


ORPHANS = """
import os, time
from gateway.workers import Workers

def worker(ready):
    print(os.getpid(), flush=True)
    ready()
    time.sleep(600)

Workers(worker).run(2, lambda: print("ready", flush=True))
"""


def test_workers_do_not_outlive_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHANS], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)][-1] == "ready\n"
        process.kill()
        # Their standard output is ours: it ends when they do.
        assert process.stdout.read() == ""


PROFILES = 64


def serving(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """``xinqiao serve`` with the environment's settings, and the URL that it says it listens on."""
    process = subprocess.Popen([XINQIAO, "serve", "--port", "0", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    while not (match := re.search(r"http://[0-9.:]+", said)):
        line = process.stderr.readline()
        assert line, said
        said += line
    return process, match[0]


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    """The URL of an empty database."""
    return asyncio.run(postgres_server.new_database(template="template0"))


async def test_four_gateway_processes_serve_the_same_consents_and_leave_one_dense_log(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await start_sandbox(0)
    async with aiohttp.ClientSession() as session, session.get(sandbox.url + "/_sandbox/credentials") as reply:
        credentials = (await reply.json())["sh-hrss"]
    key = Ed25519PrivateKey.generate()
    for name, value in {
        "lenders": {LENDER: {"name": "虚构银行 (invented)", "jwks": {"keys": [public_jwk(key)]}}},
        "platforms": {"sh-hrss": {"base_url": f"{sandbox.url}/sh-hrss", "credentials": credentials}},
        "allow_connectors": ["sh-hrss"],
        "allow_private": [sandbox.url.removeprefix("http://")],
    }.items():
        monkeypatch.setenv(f"XINQIAO_{name.upper()}", json.dumps(value))
    monkeypatch.setenv("XINQIAO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XINQIAO_DATABASE", database)
    store = open_store(database)
    await asyncio.get_running_loop().run_in_executor(store.writing, store.create, migrations.upgrade)
    await store.close()
    process, url = await asyncio.to_thread(serving, "--workers", "4")
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            client = LenderClient(session, url, LENDER, key, "https://xinqiao.invalid")
            async with session.get(sandbox.url + "/_sandbox/scenarios") as reply:
                firm = next(f for f in await reply.json() if f["scenario"] == "clean")
            offers = {"sh-hrss": {SMALL: frozenset({"month", "persons"})}}
            consent = await client.register(
                sample_grant(subject_of(firm), offers, datetime.now(UTC), max_uses=PROFILES)
            )
            ask = profile_ask(firm, consent["id"]) | {"datasets": [SMALL]}
            made = await asyncio.gather(*(client.profile(ask) for _ in range(PROFILES)))
            assert sorted(m["log"]["index"] for m in made) == sorted({m["log"]["index"] for m in made})
            for one in made:
                assert (await client.jws(one["id"])).count(".") == 2
            shown = json.loads(await client.call("GET", f"/v1/consents/{consent['id']}"))
            assert (shown["uses"], shown["state"]) == (PROFILES, "exhausted")
            # Each process counts for itself: none did it all.
            for _ in range(40):
                async with session.get(url + "/metrics") as reply:
                    found = re.findall(r'xinqiao_requests_total\{[^}]*/v1/profiles"[^}]*\} (\d+)', await reply.text())
                    assert sum(map(int, found)) < PROFILES
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.to_thread(process.communicate)
        await sandbox.close()
    assert process.returncode == 0, said
    store = open_store(database)
    told = await asyncio.to_thread(store.read, recomputed_by)
    await store.close()
    assert sorted(e["use"] for e in told if e["event"] == "permit.granted") == list(range(1, PROFILES + 1))
