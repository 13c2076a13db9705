"""The log changes its key under load: nothing fails, both keys' entries verify, and the old key signs nothing more."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

from consent.evidence import Evidence
from consent.log.note import Vkey, open_checkpoint
from consent.log.rotation import EVENT, Rotation
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.logkeys import RotateLogKey, succession
from consent.profiles import RecordEvent
from consent.storage import Database
from consent.tables import log_entries
from schemas.errors import InvalidRequest, LogBehind, LogBroken, StorageUnavailable
from schemas.events import EVENTS
from tests.consent_world import LENDER, LOG_KEY, ORIGIN, safe_of, world
from tests.test_log_tampering import put, snapshot

NEW_KEY = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
THIRD_KEY = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
OLD, NEW, THIRD = (Vkey.of(ORIGIN, key) for key in (LOG_KEY, NEW_KEY, THIRD_KEY))


async def grow(evidence: Evidence, by: int = 1) -> None:
    event = RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0})
    await asyncio.gather(*(evidence.submit(event) for _ in range(by)))


def rotate(key: Ed25519PrivateKey = NEW_KEY) -> RotateLogKey:
    return RotateLogKey("operator", key)


def signer(note: str) -> Vkey:
    (vkey,) = open_checkpoint(note, [OLD, NEW, THIRD])[1]
    return vkey


def knowing(*keys: Ed25519PrivateKey) -> dict[str, Any]:
    def other() -> Sequence[Ed25519PrivateKey]:
        return keys

    return {"other_log_keys": other}


def test_the_event_of_the_verifier_is_the_one_of_the_catalogue() -> None:
    assert EVENT in EVENTS


async def test_the_entry_of_the_rotation_is_the_first_that_the_new_key_signs_for(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await grow(evidence, 3)
        assert signer(await evidence.checkpoint()) == OLD
        rotation = await evidence.submit(rotate())
        assert rotation == Rotation(ORIGIN, 3, OLD, NEW)
        (entry,) = await evidence.entries(3, 4)
        assert Rotation.open(orjson.loads(entry.entry)["statement"]) == rotation
        assert (signer(await evidence.checkpoint()), evidence.vkey) == (NEW, NEW.text())
        await grow(evidence)
        assert signer(await evidence.checkpoint()) == NEW
        await evidence.submit(rotate(THIRD_KEY))
        assert signer(await evidence.checkpoint()) == THIRD
        keys = await evidence.log_keys()
        assert (keys.keys, keys.last, keys.limit(OLD), keys.limit(NEW)) == ((OLD, NEW, THIRD), THIRD, 3, 5)
        export(evidence.log_source(), tmp_path / "out")
    for trusted in (OLD, NEW, THIRD):
        report = verify_export(tmp_path / "out", [trusted])
        assert (report.ok, report.signers) == (True, (THIRD.label(),))


async def test_a_key_that_the_log_has_or_had_is_refused_and_nothing_is_logged(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        with pytest.raises(InvalidRequest):
            await evidence.submit(rotate(LOG_KEY))
        await evidence.submit(rotate())
        for key in (LOG_KEY, NEW_KEY):
            with pytest.raises(InvalidRequest):
                await evidence.submit(rotate(key))
        assert evidence.size == 1


async def test_of_two_changes_in_one_moment_one_is_made(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await asyncio.gather(
            evidence.submit(rotate()), evidence.submit(rotate(THIRD_KEY)), return_exceptions=True
        )
        assert [type(one) for one in made] == [Rotation, InvalidRequest]
        await grow(evidence)
        assert signer(await evidence.checkpoint()) == NEW


async def test_under_load_from_two_writers_no_request_fails_and_all_entries_verify(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    others = knowing(THIRD_KEY, NEW_KEY)
    async with world(path, **others) as one, world(path, **others) as two:
        writing = [asyncio.create_task(grow(e, 300)) for e in (one, two) for _ in range(2)]
        await grow(one)
        await one.submit(rotate())
        await grow(two, 50)
        await two.submit(rotate(THIRD_KEY))
        await asyncio.gather(*writing)
        await grow(one)
        await grow(two)
        assert {one.vkey, two.vkey} == {THIRD.text()}
        export(one.log_source(), tmp_path / "out")
        assert one.size == 4 * 300 + 1 + 50 + 2 + 1
        assert two.size == one.size + 1
    report = verify_export(tmp_path / "out", [OLD])
    assert (report.ok, len(report.rotations)) == (True, 2)


async def test_a_writer_that_cannot_find_the_new_key_signs_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as one, world(path, **knowing(THIRD_KEY)) as stale:
        await grow(one, 2)
        await grow(stale)
        await one.submit(rotate())
        with pytest.raises(LogBroken):
            await grow(stale)
        assert not stale.writable
        assert signer(await one.checkpoint()) == NEW
    for key in (LOG_KEY, THIRD_KEY):
        with pytest.raises(LogBroken):
            async with world(path, log_key=key):
                pass
    async with world(path, log_key=LOG_KEY, **knowing(NEW_KEY)) as again:
        assert again.vkey == NEW.text()
        await grow(again)


async def test_a_state_from_before_the_rotation_put_back_is_not_signed_on(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await grow(evidence, 3)
    snapshot(path, tmp_path / "old.db")
    async with world(path) as evidence:
        await evidence.submit(rotate())
    put(tmp_path / "old.db", path)
    with pytest.raises(LogBehind):
        async with world(path, log_key=NEW_KEY):
            pass
    (safe_of(path).folder / "anchor" / "checkpoint").unlink()
    with pytest.raises(LogBroken):
        async with world(path, log_key=NEW_KEY):
            pass


async def test_a_change_that_is_not_committed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await grow(evidence)
        with closing(sqlite3.connect(path)) as held:
            monkeypatch.setattr("consent.storage.BUSY_SECONDS", 0.05)
            held.execute("CREATE TRIGGER full BEFORE UPDATE ON log_head BEGIN SELECT RAISE(ABORT, 'full'); END")
            held.commit()
            with pytest.raises(StorageUnavailable):
                await evidence.submit(rotate())
            held.execute("DROP TRIGGER full")
            held.commit()
        assert evidence.vkey == OLD.text()
        await grow(evidence)
        assert signer(await evidence.checkpoint()) == OLD


@pytest.mark.parametrize("entry", [b'{"event":"log.rekeyed","statement":"x"}', b"not json"])
async def test_a_rotation_in_the_file_that_does_not_hold_is_a_broken_log(entry: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path):
        pass
    database = Database(path)
    row = {"position": 0, "id": "x", "event": EVENT, "time": "", "actor": "operator", "entry": entry, "leaf": b""}
    with database.connect() as connection, connection.begin():
        connection.execute(insert(log_entries).values(**row))
        with pytest.raises(LogBroken):
            succession(connection)
    database.dispose()
