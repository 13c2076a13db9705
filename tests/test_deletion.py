"""Deletion through the real main job: platforms, a gateway process, the command line, and the raw files afterwards."""

import asyncio
import hashlib
import json
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from connectors.sandbox.server import start_sandbox
from consent.log.archive import unpack
from consent.log.bundle import DESTROYED, verify_bundle
from consent.log.commitment import commit
from consent.log.note import Vkey
from consent.safe import Safe
from consent.vault import RetentionClass, Sealed, Vault
from gateway.cli.main import main
from gateway.cli.shared import State
from gateway.client import LenderClient, LenderError
from gateway.demo import demo_settings, lender_key, profile_ask, sample_grant, subject_of
from gateway.keys import load_keys
from gateway.services import open_services, utc_now
from tests.faults.nursery import Nursery
from tests.faults.world import Gateway, Place

BASIS = "个人信息保护法第47条"
CODE = "invented-canary-application"


class Whole(Place):
    """Every platform of the sandbox, and two of its firms."""

    other: dict[str, Any]
    origin: str

    def environment(self) -> dict[str, str]:
        platforms = {
            name: {
                "base_url": platform.base_url,
                "credentials": {key: value.get_secret_value() for key, value in platform.credentials.items()},
            }
            for name, platform in self.settings.platforms.items()
            if platform.base_url
        }
        return {
            **{key: value for key, value in super().environment().items() if key != "XINQIAO_ALLOW_CONNECTORS"},
            "XINQIAO_PLATFORMS": json.dumps(platforms),
            "XINQIAO_ORIGIN": self.origin,
            "XINQIAO_LIMITS": json.dumps({"deadline_seconds": 60}),
        }

    async def profiled(self, lender: LenderClient, firm: dict[str, Any], application: str) -> dict[str, Any]:
        grant = sample_grant(subject_of(firm), self.offers, utc_now(), application=application)
        return await lender.profile(profile_ask(firm, (await lender.register(grant))["id"]))


@asynccontextmanager
async def whole(folder: Path, nursery: Nursery) -> AsyncIterator[Whole]:
    sandbox = await start_sandbox(0, seed=1)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with session.get(sandbox.url + "/_sandbox/scenarios") as reply:
                clean, *others = orjson.loads(await reply.read())
            settings = demo_settings(folder, sandbox.url, sandbox.secrets, lender_key(folder))
            made = Whole(folder, nursery, settings, session, clean)
            made.origin = settings.origin
            made.other = next(one for one in others if one["uscc"] != clean["uscc"])
            async with open_services(settings) as services:
                made.offers = {c.id: c.datasets for c in services.connectors.values() if c.id != "bank-internal"}
            try:
                yield made
            finally:
                await made.close()
    finally:
        await sandbox.close()


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    elif isinstance(value, str):
        yield value


def canaries(profile: dict[str, Any], other: dict[str, Any], firm: dict[str, Any]) -> list[bytes]:
    """Forty texts that came through the platforms and the consent and tell this firm from the other: names, numbers,
    amounts, addresses. Neither dates nor words that any record may have."""
    foreign = json.dumps(other, ensure_ascii=False)
    records = [section["records"] for section in profile["sections"].values()]
    found = {text for text in leaves(records) if len(text) >= 6 and text not in foreign}
    found = {text for text in found if not re.fullmatch(r"\d{4}-\d\d.*|[A-Z]?[a-z_]+", text)}
    said = [firm["uscc"], firm["name"], CODE]
    return [text.encode() for text in (*said, *sorted(found - set(said), key=lambda t: (-len(t), t)))][:40]


def hidden(needles: list[bytes], *folders: Path) -> list[bytes]:
    """Those of the needles that a raw file holds."""
    files = [file.read_bytes() for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return [needle for needle in needles if any(needle in file for file in files)]


def secrets_of(place: Whole, firm: dict[str, Any]) -> list[bytes]:
    """The unwrapped payload key of a firm, the key-encryption key, both also as hex, and the wrapped key."""
    folder = place.folder / "keys"
    safe, keys = Safe(folder), load_keys(folder, create=False)
    vault = Vault(safe, keys.pseudonym)
    subject = vault.pseudonym(firm["uscc"])
    with closing(sqlite3.connect(place.database)) as database:
        row = database.execute(
            "SELECT version, epoch, wrapped FROM subject_keys WHERE subject = ? AND class = 'payload'", (subject,)
        ).fetchone()
    secret, kek = vault.secret(subject, RetentionClass.PAYLOAD, *row), safe.kek(row[1])
    return [secret, secret.hex().encode(), kek, kek.hex().encode(), row[2]]


def backup(place: Whole, to: Path) -> None:
    with closing(sqlite3.connect(place.database)) as database:
        database.execute("VACUUM INTO ?", (str(to),))


class Commands:
    """``xinqiao`` in this process, with the settings of the gateway."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    async def run(self, place: Whole, *words: str) -> int:
        with self._patch.context() as patched:
            for name, value in place.environment().items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["xinqiao", *words])

            def run() -> int:
                with pytest.raises(SystemExit) as end:
                    main()
                return end.value.code if isinstance(end.value.code, int) else 0

            return await asyncio.to_thread(run)


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    yield Commands(monkeypatch)
    State.config = State.data = None


async def states(lender: LenderClient, profile_id: str) -> list[tuple[int, str, str]]:
    """What reading a profile and its JWS answers."""
    found = []
    for accept in ("application/json", "application/jose"):
        with pytest.raises(LenderError) as caught:
            await lender.call("GET", f"/v1/profiles/{profile_id}", headers={"Accept": accept})
        problem = caught.value.problem
        found.append((caught.value.status, problem["code"], problem["details"]["state"]))
    return found


async def evidence_of(place: Whole, gateway: Gateway, profile_id: str) -> tuple[bytes, list[str]]:
    """The bundle, proven with the keys that the gateway publishes, and what in it was destroyed."""
    bundle = await place.lender(gateway).call("GET", f"/v1/profiles/{profile_id}/evidence")
    return bundle, proven(bundle, *await published(place, gateway))


async def published(place: Whole, gateway: Gateway) -> tuple[Vkey, dict[str, Any]]:
    async with place.session.get(gateway.url + "/log/vkey") as reply:
        vkey = Vkey.parse((await reply.text()).strip())
    async with place.session.get(gateway.url + "/.well-known/jwks.json") as reply:
        return vkey, orjson.loads(await reply.read())


def proven(bundle: bytes, vkey: Vkey, jwks: dict[str, Any]) -> list[str]:
    report = verify_bundle(bundle, [vkey], jwks)
    assert report.ok, report.text()
    assert report.log_trusted
    assert (DESTROYED in report.text()) == bool(report.destroyed)
    return [name for _, name in report.destroyed]


def disclosed(bundle: bytes) -> list[bytes]:
    entries = json.loads(unpack(bundle)["log.json"])["entries"]
    return [bytes.fromhex(key) for one in entries for key in one["keys"].values() if key]


async def test_what_a_firm_gave_is_gone_from_every_raw_file_and_from_an_older_backup_and_nothing_else_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery, xinqiao: Commands
) -> None:
    aside = tmp_path_factory.mktemp("aside")
    async with whole(tmp_path / "data", nursery) as at:
        gateway = await at.start()
        lender = at.lender(gateway)
        mine = await at.profiled(lender, at.firm, CODE)
        other = await at.profiled(lender, at.other, "invented-other-application")
        planted = canaries(mine, other, at.firm)
        assert len(planted) == 40, mine["sources"]
        before, whole_then = await evidence_of(at, gateway, mine["id"])
        assert whole_then == []
        keys = await published(at, gateway)
        # The scanner finds them where they are in clear: in what was handed out.
        (aside / "bundle").mkdir()
        for path, data in unpack(before).items():
            (aside / "bundle" / path.replace("/", "_")).write_bytes(data)
        assert hidden(planted, aside / "bundle") == planted
        secrets = secrets_of(at, at.firm)
        assert secrets[3] in hidden(secrets, tmp_path), "the key-encryption key lies in its file"
        backup(at, aside / "backup")
        shutil.copytree(at.folder / "keys", aside / "keys")

        uscc = at.firm["uscc"]
        order = ("consent", "shred", "--uscc", uscc, "--reason", "withdrawn", "--basis", BASIS)
        assert await xinqiao.run(at, *order) == 0
        assert await states(lender, mine["id"]) == [(410, "shredded", "shred_pending")] * 2
        assert await xinqiao.run(at, "keys", "rotate", "--kek") == 0
        assert await states(lender, mine["id"]) == [(410, "shredded", "shredded")] * 2
        after, gone = await evidence_of(at, gateway, mine["id"])
        assert "profile" in gone
        assert at.firm["name"] in unpack(after)["index.html"].decode(), "its consent opens"
        assert proven(before, *keys) == [], "what was handed out before still opens"
        assert json.loads(await lender.call("GET", f"/v1/profiles/{other['id']}"))["sections"] == other["sections"]
        # With every key that the bundle discloses, the true payloads of the other firm's entries confirm nothing.
        theirs, _ = await evidence_of(at, gateway, other["id"])
        payloads = [data for path, data in unpack(theirs).items() if path.startswith("payload/")]
        told = unpack(theirs)["log.json"].decode()
        assert len(disclosed(theirs)) == len(payloads) > 5
        digests = [hashlib.sha256(data).digest() for data in payloads]
        assert any(commit(key, digest) in told for key in disclosed(theirs) for digest in digests)
        assert not any(commit(key, digest) in told for key in disclosed(before) for digest in digests)
        assert await xinqiao.run(at, "log", "export", str(tmp_path / "export")) == 0
        assert hidden([*planted, *secrets], tmp_path) == []
        await gateway.end(signal.SIGTERM)
        assert await xinqiao.run(at, "log", "verify") == 0
        assert hidden([*planted, *secrets], tmp_path) == []

        # An older backup is put back: it is not signed on, and what was destroyed does not come back with it.
        for beside in ("-wal", "-shm"):
            at.database.with_name(at.database.name + beside).unlink(missing_ok=True)
        shutil.copy(aside / "backup", at.database)
        assert await xinqiao.run(at, "log", "verify") == 2
        at.origin = "xinqiao.local/second"
        assert await xinqiao.run(at, "log", "resume") == 0
        again = await at.start()
        assert await states(at.lender(again), mine["id"]) == [(410, "shredded", "shredded")] * 2
        _, gone = await evidence_of(at, again, mine["id"])
        assert "profile" in gone
        _, gone = await evidence_of(at, again, other["id"])
        assert gone == []
        await again.end(signal.SIGTERM)
        assert await xinqiao.run(at, "log", "verify", "--vkey", str(vkey_file(aside, keys[0]))) == 0
        assert hidden([*planted, *secrets], tmp_path) == []
    # The limit that is told: who had copied both folders before can open the copies.
    assert opened(aside, at.firm["uscc"], mine["id"]) in unpack(before).values()


def vkey_file(folder: Path, vkey: Vkey) -> Path:
    (folder / "vkey").write_text(vkey.text() + "\n")
    return folder / "vkey"


def opened(folder: Path, uscc: str, profile_id: str) -> bytes:
    """The profile, from copies of the key folder and of the database."""
    vault = Vault(Safe(folder / "keys"), load_keys(folder / "keys", create=False).pseudonym)
    subject, place = vault.pseudonym(uscc), f"{profile_id}.1/profile"
    with closing(sqlite3.connect(folder / "backup")) as database:
        (row,) = database.execute(
            "SELECT version, epoch, wrapped FROM subject_keys WHERE subject = ? AND class = 'payload'", (subject,)
        ).fetchall()
        (sealed,) = database.execute(
            "SELECT key_version, nonce, ciphertext FROM sealed WHERE id = ?", (place,)
        ).fetchall()
    return vault.unwrap(subject, RetentionClass.PAYLOAD, *row).open("sealed", place, Sealed(*sealed))
