"""``make bench``: the full job against the bare one, interleaved in one run; then the log alone.

Servers run on one core, callers and upstream on the other. Each round takes (a), (b), (c) in turn; figures are medians
over the rounds, ratios are of CPU per profile within the same round.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks import journal, sm2, verify
from benchmarks.load import Round, load, percentile
from benchmarks.processes import ROOT, python, server
from benchmarks.upstream import replies
from gateway.client import LenderClient
from gateway.demo import LENDER, PURPOSE, sample_grant
from gateway.keys import new_signing_key_pem, signing_key, write_private
from gateway.services import utc_now
from gateway.settings import Settings
from schemas.identifiers import uscc_check

NAME = "虚构基准测试有限公司（沙箱）"


def uscc(number: int) -> str:
    first = f"91990000{number:08d}X"
    return first + uscc_check(first)


def node_ready() -> str | None:
    """None when (b) can run, else why it is skipped."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "Node.js is not installed"
    folder = ROOT / "benchmarks/node"
    if not (folder / "node_modules").is_dir():
        done = subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=False)
        if done.returncode:
            return "npm could not install its packages"
    return None


async def consents(url: str, key_file: Path, offers: Any, numbers: range) -> tuple[list[str], dict[str, str]]:
    """One consent per enterprise, registered before anything is measured, and the lender's header."""
    key = signing_key(key_file)
    async with aiohttp.ClientSession() as session:
        client = LenderClient(session, url, LENDER, key, Settings().issuer)
        queue = iter(numbers)
        held: dict[int, str] = {}

        async def register() -> None:
            for n in queue:
                grant = sample_grant({"uscc": uscc(n), "name": NAME}, offers, utc_now())
                held[n] = (await client.register(grant))["id"]

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(register())
        return [held[n] for n in numbers], await client.authorization()


def bodies(numbers: range, ids: list[str]) -> list[bytes]:
    return [
        orjson.dumps({"subject": {"uscc": uscc(n), "name": NAME}, "consent_id": c, "purpose": PURPOSE})
        for n, c in zip(numbers, ids, strict=True)
    ]


def measure(rounds: int, requests: int, callers: int, say: Callable[[str], None]) -> dict[str, Any]:
    found: dict[str, list[Round]] = {"a": [], "b": [], "c": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        key_file = folder / "lender.pem"
        write_private(key_file, new_signing_key_pem())
        upstream, _ = stack.enter_context(server(python("benchmarks.upstream"), 1))
        bare, _ = stack.enter_context(server(python("benchmarks.bare", upstream.url), 0))
        full, lines = stack.enter_context(server(python("benchmarks.full", upstream.url, str(key_file)), 0, 1))
        running = {"a": bare, "c": full}
        if why := node_ready():
            say(f"(b) fastify + undici skipped: {why}")
        else:
            node = ["node", "benchmarks/node/server.mjs", upstream.url, *replies()]
            running["b"], _ = stack.enter_context(server(node, 0))
        headers: dict[str, str] = {}
        for turn in range(rounds + 1):
            numbers = range(turn * requests, (turn + 1) * requests)
            ids, headers = asyncio.run(consents(full.url, key_file, json.loads(lines[0]), numbers))
            sent = bodies(numbers, ids)
            for name, one in sorted(running.items()):
                result = asyncio.run(load(one.url + "/v1/profiles", sent, headers, callers, one.pid))
                if turn:  # the first round warms up
                    found[name].append(result)
                    say(f"round {turn} ({name}) {result.cpu / result.requests * 1000:.2f} ms CPU per profile")
    return {name: _figures(rounds_) for name, rounds_ in found.items() if rounds_} | _ratios(found)


def _figures(rounds: list[Round]) -> dict[str, float]:
    waits = [wait for one in rounds for wait in one.latencies]
    return {
        "profiles_per_second_per_core": statistics.median(one.requests / one.wall for one in rounds),
        "cpu_ms_per_profile": statistics.median(one.cpu / one.requests for one in rounds) * 1000,
        "p50_ms": percentile(waits, 0.5) * 1000,
        "p99_ms": percentile(waits, 0.99) * 1000,
    }


def _ratios(found: dict[str, list[Round]]) -> dict[str, float]:
    """Throughput of (c) over that of the other, by CPU time, round by round."""
    ratios = {}
    for other in ("a", "b"):
        if found[other]:
            pairs = zip(found[other], found["c"], strict=True)
            ratios[f"c/{other}"] = statistics.median((o.cpu / o.requests) / (c.cpu / c.requests) for o, c in pairs)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries of the log to verify")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    def say(text: str) -> None:
        if not given.json:
            print(text, flush=True)

    say(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    os.sched_setaffinity(0, {1})
    result = measure(given.rounds, given.requests, given.callers, say)
    os.sched_setaffinity(0, {0, 1})
    result["journal"] = journal.run()
    result["sm2"] = sm2.run()
    started = time.perf_counter()
    result["verify"] = verify.run(given.entries) | {"seconds_all": round(time.perf_counter() - started, 1)}
    if given.json:
        print(json.dumps(result, indent=2))
        return
    print(f"\n{'':28}{'profiles/s/core':>17}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}")
    titles = {"a": "(a) bare aiohttp", "b": "(b) fastify + undici", "c": "(c) full job"}
    for name, title in titles.items():
        if name in result:
            f = result[name]
            print(
                f"{title:28}{f['profiles_per_second_per_core']:17.0f}{f['cpu_ms_per_profile']:9.2f}"
                f"{f['p50_ms']:9.1f}{f['p99_ms']:9.1f}"
            )
    for name in ("c/a", "c/b"):
        if name in result:
            print(f"{name} = {result[name]:.2f}")
    print("journal:", json.dumps(result["journal"]))
    print("sm2:", json.dumps(result["sm2"]))
    print("verify:", json.dumps(result["verify"]))


if __name__ == "__main__":
    main()
