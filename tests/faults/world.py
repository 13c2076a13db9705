"""A place to hurt a gateway in: simulated platforms and one invented lender here, gateways as processes of their own.

What a gateway acknowledged (2xx) is written down as it arrives; ``missing`` holds it against the log and over HTTP.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from connectors.sandbox.server import start_sandbox
from consent.log.merkle import CompactRange, leaf_hash
from consent.log.note import Vkey, open_checkpoint
from consent.log.tiles import export
from consent.log.verify import verify_export
from gateway.client import LenderClient, LenderError
from gateway.demo import LENDER, demo_settings, lender_key, profile_ask, sample_grant, subject_of
from gateway.services import open_services, utc_now
from gateway.settings import Settings
from tests.faults.nursery import Nursery

XINQIAO = str(Path(sys.executable).parent / "xinqiao")
UNTYPED = "not a problem document"
PLATFORM, DATASET = "sh-hrss", "social_insurance"
READY_SECONDS = 120
"""Generous, because a machine may be busy: only a gateway that never becomes ready is missed."""


@dataclass(slots=True)
class Acknowledged:
    consents: list[str] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    """The signed checkpoints that came with the profiles."""
    asked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Answers that were no acknowledgement, by code."""

    def entries(self) -> list[str]:
        """The ids of the log entries that these stand for."""
        return [f"{id}.1" for id in (*self.consents, *self.profiles)]

    def add(self, other: "Acknowledged") -> None:
        self.consents += other.consents
        self.profiles += other.profiles
        self.heads += other.heads
        self.asked += other.asked
        self.refused += other.refused


@dataclass(frozen=True, slots=True)
class Refused:
    status: int
    retry_after: str | None
    body: bytes
    seconds: float

    @property
    def as_documented(self) -> bool:
        """503 with the code of a storage that failed, when to come again, and nothing of the cause."""
        problem = orjson.loads(self.body)
        code = (self.status, problem["code"]) == (503, "storage_unavailable")
        return code and str(self.retry_after).isdigit() and b"locked" not in self.body and b"disk" not in self.body


class Gateway:
    """One process. ``start_seconds``: from the order to the first ``/readyz`` that said ready."""

    def __init__(self, pid: int, said: Path) -> None:
        self.pid, self.said = pid, said
        self.url = ""
        self.start_seconds = 0.0

    def state(self) -> str:
        """As in /proc: Z where it is dead."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "Z"

    @property
    def alive(self) -> bool:
        return self.state() != "Z"

    def lines(self) -> list[dict[str, Any]]:
        """Its own log."""
        return [json.loads(line) for line in self.said.read_text("utf-8").splitlines() if line.startswith("{")]

    def signalled(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def end(self, number: int = signal.SIGKILL) -> None:
        self.signalled(number)
        async with asyncio.timeout(60):
            while self.alive:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.005)


class Place:
    def __init__(
        self, folder: Path, nursery: Nursery, settings: Settings, session: aiohttp.ClientSession, firm: dict[str, Any]
    ) -> None:
        self.folder, self.settings, self.session, self.firm = folder, settings, session, firm
        self._nursery = nursery
        self.said = folder.parent
        self.offers: dict[str, Mapping[str, frozenset[str]]] = {PLATFORM: {DATASET: frozenset({"month", "persons"})}}
        self._gateways: list[Gateway] = []
        self._grants = self._starts = 0

    @property
    def database(self) -> Path:
        return self.folder / "xinqiao.sqlite"

    def environment(self) -> dict[str, str]:
        shown = self.settings
        platform = shown.platforms[PLATFORM]
        secrets = {name: value.get_secret_value() for name, value in platform.credentials.items()}
        return {
            "XINQIAO_DATA": str(self.folder),
            "XINQIAO_LENDERS": json.dumps({k: v.model_dump() for k, v in shown.lenders.items()}),
            "XINQIAO_PLATFORMS": json.dumps({PLATFORM: {"base_url": platform.base_url, "credentials": secrets}}),
            "XINQIAO_ALLOW_PRIVATE": json.dumps(shown.allow_private),
            "XINQIAO_ALLOW_CONNECTORS": json.dumps([PLATFORM]),
        }

    async def start(self, how: str = "it is") -> Gateway:
        """A gateway that is ready; ``how`` as in ``tests.faults.forks.AS``."""
        started = time.monotonic()
        said = self._said()
        gateway = Gateway(self._nursery.start(self.environment(), said, how=how), said)
        await self.wait_for(gateway)
        gateway.start_seconds = time.monotonic() - started
        return gateway

    async def halted(self) -> Gateway:
        """A gateway before its first step; SIGCONT lets it go on, ``wait_for`` waits until it is ready."""
        said = self._said()
        gateway = Gateway(self._nursery.start(self.environment(), said, halted=True), said)
        self._gateways.append(gateway)
        while gateway.state() != "T":  # noqa: ASYNC110 - as in end
            await asyncio.sleep(0.005)
        return gateway

    async def start_command(self) -> Gateway:
        """The same by the command ``xinqiao serve`` itself, which imports first."""
        started = time.monotonic()
        said, environment = self._said(), {**os.environ, **self.environment()}
        with said.open("wb") as out:
            command = [XINQIAO, "serve", "--port", "0"]
            process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, env=environment)
        await self.wait_for(gateway := Gateway(process.pid, said))
        gateway.start_seconds = time.monotonic() - started
        return gateway

    def _said(self) -> Path:
        self._starts += 1
        return self.said / f"{self.folder.name}.said.{self._starts}"

    async def wait_for(self, gateway: Gateway) -> None:
        self._gateways.append(gateway)
        async with asyncio.timeout(READY_SECONDS):
            while not (found := gateway.said.exists() and re.search(rb"http://[0-9.:]+ ", gateway.said.read_bytes())):
                assert gateway.alive, gateway.said.read_text() if gateway.said.exists() else "never started"
                await asyncio.sleep(0.01)
            gateway.url = found[0].decode().strip()
            while await self.status(gateway, "/readyz") != 200:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)

    async def status(self, gateway: Gateway, path: str) -> int:
        async with self.session.get(gateway.url + path) as reply:
            await reply.read()
            return reply.status

    def lender(self, gateway: Gateway) -> LenderClient:
        return LenderClient(self.session, gateway.url, LENDER, lender_key(self.folder), self.settings.issuer)

    def grant(self, **changes: Any) -> dict[str, Any]:
        """A consent of its own each time: the same record sent again would be the same consent."""
        self._grants += 1
        application = f"INVENTED-{os.getpid()}-{self._grants}"
        return sample_grant(subject_of(self.firm), self.offers, utc_now(), application=application, **changes)

    def ask(self, consent_id: str) -> dict[str, Any]:
        return profile_ask(self.firm, consent_id) | {"datasets": [DATASET]}

    async def round(self, lender: LenderClient, told: Acknowledged) -> None:
        """One consent, one profile; whatever is acknowledged is written down."""
        try:
            told.asked += 1
            consent = await lender.register(self.grant())
            told.consents.append(consent["id"])
            told.asked += 1
            profile = await lender.profile(self.ask(consent["id"]))
            told.profiles.append(profile["id"])
            told.heads.append(profile["log"]["checkpoint"])
        except LenderError as error:
            told.refused[str(error.problem["code"])] += 1
        except orjson.JSONDecodeError:
            told.refused[UNTYPED] += 1

    async def load(self, gateway: Gateway, callers: int, until: asyncio.Event) -> Acknowledged:
        """Rounds by ``callers`` side by side until told to stop or the gateway is gone."""
        told, lender = Acknowledged(), self.lender(gateway)
        with suppress(aiohttp.ClientError, LenderError):
            await lender.authorization()

        async def caller() -> None:
            with suppress(aiohttp.ClientError):
                while not until.is_set():
                    await self.round(lender, told)

        await asyncio.gather(*(caller() for _ in range(callers)))
        return told

    async def storm(self, gateway: Gateway, callers: int, told: Acknowledged) -> list[Refused]:
        """One consent each by ``callers`` at once; the answers that were no acknowledgement."""
        authorization = await self.lender(gateway).authorization()

        async def one() -> Refused | None:
            headers = {**authorization, "Content-Type": "application/json"}
            began = time.monotonic()
            async with self.session.post(
                gateway.url + "/v1/consents", data=orjson.dumps(self.grant()), headers=headers
            ) as reply:
                body = await reply.read()
                if reply.status == 201:
                    told.consents.append(orjson.loads(body)["id"])
                    return None
                return Refused(reply.status, reply.headers.get("Retry-After"), body, time.monotonic() - began)

        found = await asyncio.gather(*(one() for _ in range(callers)))
        return [refused for refused in found if refused is not None]

    async def unserved(self, gateway: Gateway, told: Acknowledged) -> list[str]:
        """The acknowledged ids that the gateway does not give back."""
        lender, found = self.lender(gateway), []
        for path, ids in (("consents", told.consents), ("profiles", told.profiles)):
            for id in ids:
                try:
                    held = orjson.loads(await lender.call("GET", f"/v1/{path}/{id}"))
                except LenderError:
                    held = {}
                if held.get("id") != id:
                    found.append(id)
        return found

    async def judged(self, told: Acknowledged) -> list[str]:
        """What is wrong with log and rows; empty where the stand-alone verifier finds nothing, every row is what the
        log says, everything acknowledged is in the log exactly once, and every head that was given out is the head of
        a prefix of this log by an RFC 6962 tree computed anew."""
        with tempfile.TemporaryDirectory() as temporary:
            async with open_services(self.settings) as services:
                await asyncio.to_thread(export, services.evidence.log_source(), Path(temporary))
                vkey = Vkey.parse(services.evidence.vkey)
                wrong = [f"{flaw.table} {flaw.id}: {flaw.what}" for flaw in await services.evidence.audit()]
                entries = [one.entry for one in await services.evidence.entries(0, services.evidence.size)]
                keys = (await services.evidence.log_keys()).keys
            report = await asyncio.to_thread(verify_export, Path(temporary), [vkey])
        if not report.ok:
            wrong.append(report.text())
        ids = Counter(orjson.loads(entry)["id"] for entry in entries)
        wrong += [f"{id} is in the log {count} times" for id, count in ids.items() if count != 1]
        wrong += [f"{id} was acknowledged and is not in the log" for id in told.entries() if id not in ids]
        return wrong + foreign_heads(entries, told.heads, [vkey, *keys])

    async def close(self) -> None:
        for gateway in self._gateways:
            await gateway.end()


def foreign_heads(entries: list[bytes], notes: list[str], vkeys: Sequence[Vkey]) -> list[str]:
    """The signed heads among ``notes`` that are not of a prefix of these entries."""
    heads = sorted((open_checkpoint(note, vkeys)[0] for note in set(notes)), key=lambda head: head.size)
    wrong, tree, at = [], CompactRange(), 0
    for head in heads:
        if head.size > at:
            tree, at = tree.extend([leaf_hash(entry) for entry in entries[at : head.size]]).range, head.size
        if head.size > len(entries) or head.root != tree.root():
            wrong.append(f"a head of {head.size} entries is not of this log")
    return wrong


@asynccontextmanager
async def place(folder: Path, nursery: Nursery) -> AsyncIterator[Place]:
    """``folder`` becomes the data folder."""
    sandbox = await start_sandbox(0, seed=1)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with session.get(sandbox.url + "/_sandbox/scenarios") as reply:
                firm = next(one for one in orjson.loads(await reply.read()) if one["scenario"] == "clean")
            settings = demo_settings(
                folder, sandbox.url, sandbox.secrets, lender_key(folder), allow_connectors=[PLATFORM]
            )
            made = Place(folder, nursery, settings, session, firm)
            try:
                yield made
            finally:
                await made.close()
    finally:
        await sandbox.close()
