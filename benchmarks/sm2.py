"""SM2 on this machine: signatures and verifications a second, and how long the event loop stands still while a hundred
platforms are signed for at once.

``python -m benchmarks.sm2``; also the last part of ``make bench``. The pause is the longest gap between two turns of a
task that does nothing but yield: what any other request would have waited. ``unbroken`` counts only the gaps in which
the operating system did not take the processor from the loop's thread (its involuntary switches), so that the work of
other processes is told apart from waiting for the interpreter lock.
"""

import asyncio
import json
import os
import platform
import resource
import statistics
import time
from typing import Any

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer, new_nonce
from connectors.sm2 import PrivateKey
from connectors.sm2.backends import Gmssl, choose
from connectors.sm2.libcrypto import OpenSsl
from connectors.wire import Draft, WireReply, WireRequest
from gateway.memory import settle

PLATFORMS, ROUNDS, MESSAGE = 100, 20, b"x" * 300
_OPTIONS: dict[str, Any] = {"add": {"app_id": "{app_id}", "timestamp": "{ts}", "nonce": "{nonce}"}}
_DRAFT = Draft("POST", "https://xx.invalid", "/q", body={"uscc": "91990000MA0000015Q"}, encode="form")


def rates(seconds: float = 1.0) -> dict[str, dict[str, int]]:
    """Per second of one thread's CPU, by backend; one that is not here is left out."""
    secret = bytes.fromhex("39" * 32)
    point = PrivateKey(secret).public.point
    found: dict[str, dict[str, int]] = {}
    for name, make in (("libcrypto", OpenSsl), ("gmssl_pyx", Gmssl)):
        try:
            backend = choose((make,))
        except Exception as err:
            print(f"{name} left out: {type(err).__name__}", flush=True)
            continue
        sign, verify = backend.signer(secret, point), backend.verifier(point)
        signature = sign(b"1234567812345678", MESSAGE)
        found[name] = {
            "sign": _rate(lambda: sign(b"1234567812345678", MESSAGE), seconds),  # noqa: B023 - called at once
            "verify": _rate(lambda: verify(b"1234567812345678", MESSAGE, signature), seconds),  # noqa: B023
        }
    return found


def _rate(work: Any, seconds: float) -> int:
    count, started = 0, time.thread_time()
    while time.thread_time() - started < seconds:
        work()
        count += 1
    return round(count / (time.thread_time() - started))


async def pauses() -> dict[str, dict[str, float]]:
    """Longest gaps in milliseconds, over the rounds: with a hundred signatures, and in as long a time of nothing."""
    signers = [
        SCHEMES["sm2-params"].build(_OPTIONS, {"app_id": "invented", "private_key": f"{n + 1:064x}"})
        for n in range(PLATFORMS)
    ]
    await asyncio.gather(*(_sign(signer) for signer in signers))  # the thread is started once
    settle()  # as the gateway does when it is up
    signing, idle = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        signing.append(await _longest(asyncio.gather(*(_sign(signer) for signer in signers))))
        idle.append(await _longest(asyncio.ensure_future(asyncio.sleep(time.perf_counter() - started))))
    return {"signing": _told(signing), "idle": _told(idle)}


async def _longest(work: "asyncio.Future[Any]") -> tuple[float, float, float]:
    """Of wall time, of wall time without involuntary switches, and of the CPU time of the loop's own thread."""
    longest = (0.0, 0.0, 0.0)
    last = _now()
    while not work.done():
        await asyncio.sleep(0)
        now = _now()
        wall = now[0] - last[0]
        gap = wall, wall if now[1] == last[1] else 0.0, now[2] - last[2]
        longest = max(longest[0], gap[0]), max(longest[1], gap[1]), max(longest[2], gap[2])
        last = now
    await work
    return longest[0] * 1000, longest[1] * 1000, longest[2] * 1000


def _now() -> tuple[float, int, float]:
    return time.perf_counter(), resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw, time.thread_time()


def _told(gaps: list[tuple[float, float, float]]) -> dict[str, float]:
    walls, unbroken, cpus = zip(*gaps, strict=True)
    return {
        "median": round(statistics.median(walls), 1),
        "worst": round(max(walls), 1),
        "unbroken_median": round(statistics.median(unbroken), 1),
        "unbroken_worst": round(max(unbroken), 1),
        "cpu_median": round(statistics.median(cpus), 1),
        "cpu_worst": round(max(cpus), 1),
    }


async def _sign(signer: Signer) -> None:
    await signer.sign(_DRAFT, Moment(time.time(), new_nonce()), _no_send)


async def _no_send(_: WireRequest) -> WireReply:
    raise AssertionError


def run() -> dict[str, Any]:
    return {"longest_pause_ms": asyncio.run(pauses()), "platforms": PLATFORMS, "per_second": rates()}


if __name__ == "__main__":
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print(json.dumps(run()))
