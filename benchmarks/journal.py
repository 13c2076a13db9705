"""Appends and permits per second through the journal, 64 producers, on SQLite and on a PostgreSQL server of its own on
the same machine, which syncs every commit: ``python -m benchmarks.journal``."""

import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.postgres_server import PostgresServer
from consent.consents import GrantConsent
from consent.evidence import open_evidence
from consent.permits import OpenPermit
from consent.policy import PermitItem
from consent.profiles import RecordEvent
from consent.safe import Safe
from gateway.memory import settle
from schemas.consent import ConsentGrant
from schemas.identifiers import uscc_check
from schemas.records import CATALOGUE

PRODUCERS = 64
APPENDS = 40_000
PERMITS = 20_000
CONSENTS = 500
DATASETS = ("registration", "social_insurance", "provident_fund", "tax_returns", "judicial", "permits", "mortgages")


def _uscc(n: int) -> str:
    first = f"91990000{n:08}X"
    return first + uscc_check(first)


def _grant(n: int) -> ConsentGrant:
    document = {
        "subject": {"uscc": _uscc(n), "name": f"虚构企业{n}号"},
        "signers": [{"role": "legal_representative", "person_ref": "p", "identity_check": "video"}],
        "grantee": "bank-a",
        "purpose": "loan_review",
        "application": f"LN-{n}",
        "text_version": "1",
        "text_sha256": "0" * 64,
        "scopes": [{"platform": "sandbox", "dataset": d, "fields": list(CATALOGUE[d].fields)} for d in DATASETS],
        "lookback_months": 120,
        "valid_from": "2020-01-01T00:00:00+00:00",
        "valid_to": "2099-01-01T00:00:00+00:00",
        "retention_days": 1825,
        "disposal": "destroyed",
        "revocation_effect": "nothing more is queried",
        "channel": "counter",
        "given_at": "2020-01-01T00:00:00+00:00",
        "evidence": {"sha256": "0" * 64, "media_type": "application/pdf"},
        "separate_consents": ["social_insurance", "provident_fund"],
    }
    return ConsentGrant.model_validate_json(json.dumps(document))


async def _measure(total: int, act: Callable[[int], Awaitable[object]]) -> dict[str, float]:
    numbers = iter(range(total))
    waits: list[float] = []

    async def producer() -> None:
        for n in numbers:
            began = time.perf_counter()
            await act(n)
            waits.append(time.perf_counter() - began)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(producer() for _ in range(PRODUCERS)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    waits.sort()
    return {
        "per_second": round(total / wall),
        "cpu_us_each": round(cpu / total * 1e6, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1e3, 2),
    }


async def _run(place: Path | str, outside: Path) -> dict[str, object]:
    items = tuple(PermitItem("sandbox", d, frozenset(CATALOGUE[d].fields)) for d in DATASETS)
    safe = Safe(outside)
    safe.add_epoch(1)
    async with open_evidence(
        place,
        safe=safe,
        pseudonym_key=os.urandom(32),
        log_key=Ed25519PrivateKey.generate(),
        origin="benchmark.invalid/log",
    ) as evidence:
        consents = [
            consent.id
            for consent in await asyncio.gather(
                *(evidence.submit(GrantConsent(_grant(n), "bank-a")) for n in range(CONSENTS))
            )
        ]

        # Beforehand: making up numbers is no part of a permit.
        enterprises = [(_uscc(n), f"虚构企业{n}号") for n in range(CONSENTS)]
        settle()  # as the gateway does when it is up

        def append(n: int) -> Awaitable[object]:
            return evidence.submit(
                RecordEvent("profile.read", "bank-a", None, None, {"profile": str(n), "revision": 1})
            )

        def permit(n: int) -> Awaitable[object]:
            return evidence.submit(_permit(n, consents[n % CONSENTS], enterprises[n % CONSENTS], items))

        return {"append": await _measure(APPENDS, append), "permit": await _measure(PERMITS, permit)}


def _permit(n: int, consent_id: str, enterprise: tuple[str, str], items: tuple[PermitItem, ...]) -> OpenPermit:
    return OpenPermit(
        f"permit-{n}",
        "bank-a",
        f"key-{n}",
        b"digest",
        consent_id,
        *enterprise,
        "loan_review",
        items,
        (2025, 1),
        (2025, 12),
    )


def run() -> dict[str, object]:
    """``append`` and ``permit``, each with per_second, cpu_us_each (without the server's), p50_ms and p99_ms, and
    rss_mib of the process so far; ``postgresql`` the same there."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = asyncio.run(_run(Path(folder) / "journal.sqlite", Path(folder)))
    sqlite["rss_mib"] = _rss()
    server = PostgresServer(fsync=True)
    try:
        server.start()
        server.make_template()
        postgresql = asyncio.run(_on(server))
    finally:
        server.remove()
    return {**sqlite, "postgresql": {**postgresql, "rss_mib": _rss()}}


async def _on(server: PostgresServer) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        return await _run(await server.new_database(), Path(folder))


def _rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
