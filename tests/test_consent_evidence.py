"""The evidence as a whole: opening it, reading it back, exporting it, crashing under it, sharing it."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent import evidence as evidence_module
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence, open_evidence
from consent.leases import LEASE_SECONDS
from consent.log.merkle import leaf_hash, verify_consistency, verify_inclusion
from consent.log.note import Vkey, open_checkpoint
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.permits import Sweep
from consent.profiles import IssueProfile, RecordEvent
from schemas.consent import ConsentState
from schemas.errors import (
    ConfigurationError,
    ConsentRevoked,
    InvalidRequest,
    KeysUnavailable,
    LogBroken,
    Overloaded,
    StorageUnavailable,
)
from tests.consent_world import LENDER, LOG_KEY, ORIGIN, PSEUDONYM_KEY, Clock, ask, grant, safe_of, world

ROOT = Path(__file__).parent.parent


async def fill(evidence: Evidence, count: int) -> None:
    await asyncio.gather(
        *(evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": n, "last": n})) for n in range(count))
    )


async def test_what_was_written_is_there_after_closing_and_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "data" / "e.db"
    async with world(path) as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        await evidence.submit(ask("p1", made.id))
        await evidence.submit(IssueProfile("p1", "f1", 1, b"jws", (), ()))
        checkpoint = await evidence.checkpoint()
    async with world(path) as evidence:
        assert evidence.writable
        assert evidence.size == 3
        assert await evidence.checkpoint() == checkpoint
        stored = await evidence.profile("f1")
        assert stored is not None
        assert stored.jws == b"jws"


async def test_without_a_clock_of_the_tests_it_is_now_in_utc(tmp_path: Path) -> None:
    async with open_evidence(
        tmp_path / "e.db", safe=safe_of(tmp_path / "e.db"), pseudonym_key=PSEUDONYM_KEY, log_key=LOG_KEY, origin=ORIGIN
    ) as evidence:
        before = datetime.now(UTC)
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        registered = datetime.fromisoformat(made.registered_at)
        assert before - timedelta(milliseconds=1) <= registered <= datetime.now(UTC)


async def test_more_orphans_than_one_sweep_takes_are_all_swept(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        await asyncio.gather(*(evidence.submit(ask(f"p{n}", made.id)) for n in range(5)))
    clock.forward(hours=1)
    monkeypatch.setattr("consent.permits.SWEEP", 2)
    async with world(place, clock) as evidence:
        for _ in range(4):
            # Queued behind the sweep that is at work: each turn lets it take its next two.
            await fill(evidence, 1)
        events = [orjson.loads(e.entry)["event"] for e in await evidence.entries(0, 100)]
        assert events.count("permit.closed") == 5


async def test_a_wrong_key_encryption_key_does_not_open_the_evidence(place: Path | str, tmp_path: Path) -> None:
    async with world(place) as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER))
    with pytest.raises(KeysUnavailable):
        async with world(place, safe=safe_of(tmp_path / "other", bytes(32))):
            pass


async def test_a_changed_subject_key_stops_its_subject_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        for n in range(2):
            await evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))
        subject = orjson.loads((await evidence.entries(0, 1))[0].entry)["subject"]
    with sqlite3.connect(path) as other:
        other.execute("UPDATE subject_keys SET wrapped = zeroblob(60) WHERE subject = ?", (subject,))
    other.close()
    async with world(path) as evidence:
        with pytest.raises(KeysUnavailable):
            await evidence.submit(ask("p0", "c0", 0))
        assert (await evidence.submit(ask("p1", "c1", 1))).id == "p1"
        assert evidence.size == 3


async def test_a_log_is_not_opened_under_another_key_or_origin(place: Path | str) -> None:
    async with world(place):
        pass
    with pytest.raises(LogBroken):
        async with world(place, log_key=Ed25519PrivateKey.generate()):
            pass
    with pytest.raises(ConfigurationError) as caught:
        async with world(place, origin="another.test/log"):
            pass
    assert caught.value.details["at"] == "origin"


async def test_a_place_that_cannot_hold_a_file_is_storage_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("not a database " * 100)
    for path in (tmp_path / "file" / "e.db", tmp_path / "folder.db", tmp_path / "text.db"):
        with pytest.raises(StorageUnavailable):
            async with world(path, safe=safe_of(tmp_path / "safe")):
                pass


async def test_a_read_that_fails_is_storage_unavailable(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        with sqlite3.connect(tmp_path / "e.db") as other:
            other.execute("DROP TABLE profiles")
        other.close()
        with pytest.raises(StorageUnavailable) as caught:
            await evidence.profile("f1")
        assert "profiles" not in str(caught.value)


def put_a_copy_in_place(path: Path) -> None:
    copy, old = path.with_name("copy.db"), path.with_name("old")
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    old.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        file.rename(old / file.name)
    copy.rename(path)


async def test_in_a_file_that_was_put_in_the_place_of_another_a_withdrawal_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence, world(path) as second:
        consent = await evidence.submit(GrantConsent(grant(), LENDER))
        guards = [one.guard(await one.submit(ask(f"p{n}", consent.id))) for n, one in enumerate((evidence, second))]
        await asyncio.sleep(LEASE_SECONDS)
        for guard in guards:
            await guard.may_send()  # a connection for such questions is open now
        assert await asyncio.gather(*(second.consent(consent.id) for _ in range(4))) != []
        put_a_copy_in_place(path)
        with pytest.raises(StorageUnavailable):
            await evidence.submit(ask("p9", consent.id))
        await evidence.change_consent(ChangeConsent(consent.id, ConsentState.REVOKED, LENDER, "asked to"))
        for guard in guards:
            with pytest.raises(ConsentRevoked):
                await guard.may_send()
        for one in (evidence, second):
            shown = await one.consent(consent.id)
            assert shown is not None
            assert shown.state is ConsentState.REVOKED


async def test_a_sweep_that_fails_is_tried_again_and_does_not_keep_the_evidence_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_module, "SWEEP_SECONDS", 0.01)
    tried, loop = asyncio.Semaphore(0), asyncio.get_running_loop()

    def broken(*_: object) -> int:
        loop.call_soon_threadsafe(tried.release)
        raise Overloaded

    monkeypatch.setattr(Sweep, "decide", broken)
    async with world(tmp_path / "e.db") as evidence:
        await tried.acquire()
        await tried.acquire()
        made = await evidence.submit(GrantConsent(grant(), LENDER))
    async with world(tmp_path / "e.db") as evidence:
        assert await evidence.consent(made.id) == made


async def test_any_entry_and_any_growth_can_be_proven(place: Path | str) -> None:
    async with world(place) as evidence:
        await fill(evidence, 3)
        old, _ = open_checkpoint(await evidence.checkpoint(), [Vkey.parse(evidence.vkey)])
        await fill(evidence, 4)
        new, _ = open_checkpoint(await evidence.checkpoint(), [Vkey.parse(evidence.vkey)])
        entries = await evidence.entries(0, 100)
        assert [e.index for e in entries] == list(range(7))
        for e in entries:
            proof = await evidence.inclusion(e.index, 7)
            verify_inclusion(e.index, 7, leaf_hash(e.entry), proof, new.root)
            assert (await evidence.place(e.index)).entry == e.entry
        verify_consistency(3, 7, await evidence.consistency(3, 7), old.root, new.root)


async def test_a_proof_of_what_is_not_there_is_the_callers_mistake(place: Path | str) -> None:
    async with world(place) as evidence:
        await fill(evidence, 3)
        for index, size in ((3, 3), (-1, 3), (0, 4), (0, 0)):
            with pytest.raises(InvalidRequest):
                await evidence.inclusion(index, size)
        for old, new in ((0, 3), (3, 2), (1, 4)):
            with pytest.raises(InvalidRequest):
                await evidence.consistency(old, new)
        with pytest.raises(InvalidRequest):
            await evidence.place(3)


async def test_tiles_are_served_at_their_own_paths_and_no_others(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await fill(evidence, 260)
        export(evidence.log_source(), tmp_path / "out")
        for path in ("0/000", "0/001.p/4", "1/000.p/1"):
            assert await evidence.tile(path) == (tmp_path / "out" / "tile" / path).read_bytes()
        assert await evidence.tile("0/000.p/7") == (tmp_path / "out" / "tile" / "0/000").read_bytes()[: 7 * 32]
        for path in (
            "0/001",
            "0/001.p/5",
            "1/000",
            "0/002.p/1",
            "00/000",
            "0/x000/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/0",
            "entries/000",
            "../checkpoint",
            "2/000.p/1",
        ):
            assert await evidence.tile(path) is None, path


async def test_the_exported_log_is_intact_for_the_stand_alone_verifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.reads.PAGE", 100)
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        await evidence.submit(ask("p1", made.id))
        await evidence.submit(IssueProfile("p1", "f1", 1, b"jws", (), ()))
        await fill(evidence, 257)
        export(evidence.log_source(), tmp_path / "out")
        vkeys = [Vkey.parse(evidence.vkey)]
    report = verify_export(tmp_path / "out", vkeys, None)
    assert report.ok
    assert not verify_export(tmp_path / "out", [Vkey.of("x", Ed25519PrivateKey.generate())], None).ok


def worker(mode: str, place: Path | str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.consent_worker", mode, str(place), name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> IO[str]:
    """Start a worker that is ready; answers with what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout


async def test_killed_at_any_moment_it_keeps_all_that_it_acknowledged_exactly_once(tmp_path: Path) -> None:
    path, acknowledged, seeded = tmp_path / "e.db", [], random.Random(11)
    # All are started at once, since starting Python is what takes long, but they write one after the other.
    workers = [worker("crash", path, f"r{n}") for n in range(3)]
    for process in workers:
        with process:
            said = go(process)
            acknowledged += [said.readline().strip() for _ in range(seeded.randrange(40, 200))]
            process.kill()
            acknowledged += [line.strip() for line in said if line.endswith("\n")]
    async with world(path) as evidence:
        found = [orjson.loads(e.entry)["id"] for e in await evidence.entries(0, 10**6)]
        assert len(acknowledged) > 100
        assert len(found) == len(set(found)) == evidence.size
        assert set(acknowledged) <= set(found)
        export(evidence.log_source(), tmp_path / "out")
        assert verify_export(tmp_path / "out", [Vkey.parse(evidence.vkey)], None).ok
        for profile_id in (i.removesuffix(".1") for i in acknowledged if "-f" in i):
            stored = await evidence.profile(profile_id)
            assert stored is not None
            assert stored.jws == b"jws" * 500
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        granted = connection.execute("SELECT id FROM log_entries WHERE event = 'permit.granted' ORDER BY id")
        assert granted.fetchall() == connection.execute("SELECT id FROM permits ORDER BY id").fetchall()
    connection.close()


async def test_two_processes_that_race_for_100_uses_get_exactly_100(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await evidence.submit(GrantConsent(grant(max_uses=100), LENDER, "shared"))
    with worker("race", path, "a") as one, worker("race", path, "b") as two:
        counts = [int(said.readline()) for said in (go(one), go(two))]
    assert sum(counts) == 100
    async with world(path) as evidence:
        held = await evidence.consent("shared")
        assert held is not None
        assert held.uses == 100
        events = [orjson.loads(e.entry)["event"] for e in await evidence.entries(0, 1000)]
        assert (events.count("permit.granted"), events.count("permit.refused")) == (100, 200)
