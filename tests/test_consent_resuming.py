"""A log whose database was put back goes on under another name: verifiers and witnesses follow it there."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.note import Checkpoint, Note, Vkey
from consent.log.rotation import Rotation
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.log.witness import Folder, Refusal, Witness, request_body
from consent.logkeys import RotateLogKey
from consent.safe import Safe
from schemas.errors import ConfigurationError, InvalidRequest, LogBehind, LogBroken
from tests.consent_world import LOG_KEY, ORIGIN, ask, safe_of, world
from tests.log_export import COSIGNED_AT, WITNESS, WITNESS_KEY, WITNESS_VKEY
from tests.test_consent_shredding import backup, restore, told

NEW_KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
SECOND, THIRD = "xinqiao.test/second", "xinqiao.test/third"
OLD, NEW = (Vkey.of(ORIGIN, key) for key in (LOG_KEY, NEW_KEY))
NEVER = ("never", "before", "after")


async def lost(path: Path, rotated: str) -> tuple[list[str], dict[str, Any]]:
    """A database that was put back from a backup, before or after which the log changed its key. Its heads at the
    backup and at the end, and the keys to go on with."""
    async with world(path) as evidence:
        await told(evidence)
        if rotated == "before":
            await evidence.submit(RotateLogKey("operator", NEW_KEY))
        heads = [await evidence.checkpoint()]
        await asyncio.to_thread(evidence._remember_head)
        backup(path, path.with_name("backup"))
        if rotated == "after":
            await evidence.submit(RotateLogKey("operator", NEW_KEY))
        for n in range(4):
            await evidence.submit(ask(f"lost{n}", "c1", 1))
        heads.append(await evidence.checkpoint())
    restore(path.with_name("backup"), path)
    keys: dict[str, Any] = {"log_key": LOG_KEY if rotated == "never" else NEW_KEY}
    with pytest.raises(LogBehind):
        async with world(path, **keys):
            pass
    return heads, keys


@pytest.mark.parametrize("rotated", NEVER)
async def test_whoever_trusts_the_key_of_the_old_name_follows_the_log_to_the_new_one(
    tmp_path: Path, rotated: str
) -> None:
    heads, keys = await lost(tmp_path / "e.db", rotated)
    async with world(tmp_path / "e.db", origin=SECOND, resume=True, **keys) as evidence:
        await evidence.submit(ask("m9", "c1", 1))
        assert await evidence.audit() == []
        await asyncio.to_thread(export, evidence.log_source(), tmp_path / "out")
        entries = [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]
        new = Vkey.parse(evidence.vkey)
        named = await evidence.log_keys()
    at = Checkpoint.parse(Note.parse(heads[0]).text).size
    assert [one["event"] for one in entries[at : at + 2]] == ["log.rekeyed", "log.resumed"]
    assert entries[at + 1]["checkpoint"] == heads[1]
    handover = Rotation.open(entries[at]["statement"])
    assert (handover.origin, handover.index, handover.new) == (ORIGIN, at, new)
    assert (named.last, named.ended(ORIGIN), named.ended(SECOND)) == (new, at, None)
    follows = {"never": [OLD], "before": [OLD, NEW], "after": [NEW]}[rotated]
    for trusted in (OLD, NEW):
        report = verify_export(tmp_path / "out", [trusted])
        assert report.ok == (trusted in follows)
    assert (
        f"key changed at entry {at}: {handover.old.label()} to {new.label()}"
        in verify_export(tmp_path / "out", [new]).text()
    )
    assert verify_export(tmp_path / "out", [*follows, OLD], heads[0]).ok
    late = verify_export(tmp_path / "out", follows, heads[1])
    assert late.problem is not None
    assert late.problem.kind == "history"
    assert f"went on under another name with {at}" in late.problem.text


async def test_a_witness_that_was_told_the_new_key_co_signs_the_new_name_and_no_older_head_of_the_old_one(
    tmp_path: Path,
) -> None:
    heads, keys = await lost(tmp_path / "e.db", "before")
    folder = Folder(tmp_path / "witness")
    logs = {ORIGIN: [OLD, NEW], SECOND: [Vkey.of(SECOND, NEW_KEY)]}
    witness = Witness(WITNESS, WITNESS_KEY, logs, folder, lambda: COSIGNED_AT)
    witness.add_checkpoint(request_body(0, (), heads[1]))
    with pytest.raises(Refusal):
        witness.add_checkpoint(request_body(0, (), heads[0]))
    async with world(tmp_path / "e.db", origin=SECOND, resume=True, **keys) as evidence:
        first = Checkpoint.parse(Note.parse(await evidence.checkpoint()).text).size
        witness.add_checkpoint(request_body(0, (), await evidence.checkpoint()))
        await evidence.submit(ask("m9", "c1", 1))
        proof = tuple(await evidence.consistency(first, evidence.size))
        line = witness.add_checkpoint(request_body(first, proof, await evidence.checkpoint()))
        assert Note.parse(await evidence.checkpoint() + line).cosigners([WITNESS_VKEY]) == (
            (WITNESS_VKEY, COSIGNED_AT),
        )
    folder.close()


async def test_a_log_that_went_on_changes_its_key_again_but_to_none_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    _, keys = await lost(path, "before")
    async with world(path, origin=SECOND, resume=True, **keys) as evidence:
        with pytest.raises(InvalidRequest):
            await evidence.submit(RotateLogKey("operator", LOG_KEY))
        await evidence.submit(RotateLogKey("operator", WITNESS_KEY))
        await asyncio.to_thread(export, evidence.log_source(), tmp_path / "out")
    assert verify_export(tmp_path / "out", [OLD]).signers == (Vkey.of(SECOND, WITNESS_KEY).label(),)
    async with world(path, origin=SECOND, log_key=WITNESS_KEY) as evidence:
        assert evidence.writable


async def test_no_name_is_taken_twice_and_a_log_that_was_lost_twice_goes_on_under_a_third(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    await lost(path, "never")
    async with world(path, origin=SECOND, resume=True) as evidence:
        second = await evidence.checkpoint()
    restore(path.with_name("backup"), path)
    for origin in (ORIGIN, SECOND):
        with pytest.raises(ConfigurationError):
            async with world(path, origin=origin, resume=True):
                pass
    async with world(path, origin=THIRD, resume=True) as evidence:
        entries = [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]
        assert entries[-1]["checkpoint"] == second
        await asyncio.to_thread(export, evidence.log_source(), tmp_path / "out")
    assert verify_export(tmp_path / "out", [OLD]).ok


async def test_going_on_that_was_killed_before_the_head_was_kept_outside_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.db"
    await lost(path, "never")
    with monkeypatch.context() as patched:
        patched.setattr(Safe, "remember", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            async with world(path, origin=SECOND, resume=True):
                pass
    with pytest.raises(LogBehind):
        async with world(path, origin=SECOND):
            pass
    async with world(path, origin=SECOND, resume=True) as evidence:
        events = [orjson.loads(one.entry)["event"] for one in await evidence.entries(0, evidence.size)]
        assert events.count("log.resumed") == 1


async def test_a_backup_that_no_key_of_this_gateway_signed_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    await lost(path, "after")
    (safe_of(path).folder / "anchor" / "vkeys").unlink()
    with pytest.raises(LogBroken):
        async with world(path, origin=SECOND, resume=True, log_key=NEW_KEY):
            pass
    (safe_of(path).folder / "anchor" / "vkeys").mkdir()
    with pytest.raises(ConfigurationError):
        async with world(path, origin=SECOND, resume=True, log_key=NEW_KEY):
            pass
