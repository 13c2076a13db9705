"""Whoever holds the database and even the log's own key: each way to change the past of a real log is found, by the log
itself where nothing was signed again, and otherwise by a remembered head or a witness; both signed heads are shown."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from consent.ledger import Ledger, Page, read_head
from consent.log.merkle import CompactRange
from consent.log.note import Note, Vkey
from consent.log.tiles import export
from consent.log.verify import main
from consent.profiles import RecordEvent
from consent.storage import Database
from consent.tables import log_entries, log_tiles
from gateway.cosigning import NotCosigned
from schemas.base import Json
from schemas.errors import LogBroken
from tests.consent_world import LENDER, LOG_KEY, ORIGIN, safe_of, world
from tests.test_cosigning import cosigner, witness_at

SIZE = 270
"""More than one tile."""
VKEY = Vkey.of(ORIGIN, LOG_KEY)

TIME = "2026-11-24T06:00:00.000Z"
WAYS: dict[str, Callable[[list[int]], list[int]]] = {
    "deleted": lambda n: [*n[:5], *n[6:]],
    "inserted": lambda n: [*n[:5], n[9], *n[5:]],
    "swapped": lambda n: [*n[:5], n[100], *n[6:100], n[5], *n[101:]],
    "duplicated": lambda n: [*n[:5], n[4], *n[5:]],
    "cut off": lambda n: n[:200],
}


async def filled(path: Path, size: int = SIZE) -> str:
    """A log of that size; answers with its signed head."""
    async with world(path) as evidence:
        for first in range(evidence.size, size):
            await evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": first, "last": first}))
        return await evidence.checkpoint()


def entries_of(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT entry FROM log_entries ORDER BY position")]


def rewrite(path: Path, way: str) -> None:
    """Write the whole log anew in another order, every row consistent, and sign it with the log's own key."""
    database, ledger = Database(path), Ledger(ORIGIN, LOG_KEY)
    with database.connect() as connection, connection.begin():
        connection.execute(log_entries.delete())
        connection.execute(log_tiles.delete())
        page = Page(ledger, connection, CompactRange(), read_head(connection))
        for position, number in enumerate(WAYS[way](list(range(SIZE)))):
            data: dict[str, Json] = {"first": number, "last": number}
            page.append("log.read", id=f"{position}", time=TIME, actor=LENDER, consent=None, subject=None, data=data)
        page.write()
    database.dispose()
    unanchor(path)


def unanchor(path: Path) -> None:
    """Whoever has the log's key also has the folder with the head outside the database, which would stop it here."""
    (safe_of(path).folder / "anchor" / "checkpoint").unlink()


def snapshot(path: Path, copy: Path) -> None:
    """What a backup of the running database holds, the write-ahead log included."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))


def put(copy: Path, path: Path) -> None:
    """Restore a database file: what SQLite keeps beside it belongs to the one that is replaced."""
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    shutil.copy(copy, path)


def judged(path: Path, folder: Path, *options: str) -> int:
    async def work() -> None:
        async with world(path) as evidence:
            await asyncio.to_thread(export, evidence.log_source(), folder / "out")

    asyncio.run(work())
    (folder / "vkey").write_text(VKEY.text() + "\n")
    return main([str(folder / "out"), "--vkey", str(folder / "vkey"), *options])


@pytest.mark.parametrize("way", WAYS)
def test_a_log_rewritten_and_signed_again_with_its_own_key_is_shown_with_both_heads(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.db"
    remembered = asyncio.run(filled(path))
    (tmp_path / "old").write_text(remembered)
    rewrite(path, way)
    assert judged(path, tmp_path) == 0, "nothing in such a log is wrong by itself"
    shutil.rmtree(tmp_path / "out")
    capsys.readouterr()
    assert judged(path, tmp_path, "--checkpoint", str(tmp_path / "old")) == 1
    told = capsys.readouterr().out
    exported = (tmp_path / "out" / "checkpoint").read_text()
    assert remembered != exported
    for head in (remembered, exported):
        assert Note.parse(head).signers([VKEY])
        assert head.rstrip("\n") in told


def test_a_database_put_back_to_an_older_copy_is_shown_with_both_heads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.db"
    asyncio.run(filled(path, 200))
    snapshot(path, tmp_path / "copy.db")
    remembered = asyncio.run(filled(path))
    (tmp_path / "old").write_text(remembered)
    put(tmp_path / "copy.db", path)
    unanchor(path)
    assert judged(path, tmp_path, "--checkpoint", str(tmp_path / "old")) == 1
    told = capsys.readouterr().out
    assert f"rolled back or cut off: it was remembered with {SIZE} entries and has 200" in told
    assert remembered.rstrip("\n") in told
    # With the copy grown again past the remembered size it is no less a fork.
    asyncio.run(filled(path, SIZE + 5))
    shutil.rmtree(tmp_path / "out")
    assert judged(path, tmp_path, "--checkpoint", str(tmp_path / "old")) == 1
    assert "rewritten: its first 270 entries are not those of the remembered checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("way", WAYS)
async def test_no_witness_co_signs_what_was_rewritten_with_the_log_s_own_key(way: str, tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    await filled(path)
    async with witness_at(tmp_path / "w") as url:
        async with world(path) as evidence, cosigner(evidence, url) as one:
            await one.offer((await evidence.signed_head()).plain)
        await asyncio.to_thread(rewrite, path, way)
        async with world(path) as evidence, cosigner(evidence, url) as one:
            for _ in range(2):
                with pytest.raises(NotCosigned) as refused:
                    await one.offer((await evidence.signed_head()).plain)
                assert refused.value.code in ("rolled_back", "inconsistent", "forked")
                await evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0}))


CHANGES = {
    "deleted": ("DELETE FROM log_entries WHERE position = 5", 5),
    "deleted at the end": (f"DELETE FROM log_entries WHERE position >= {SIZE - 3}", None),
    "changed": ("UPDATE log_entries SET entry = CAST(replace(entry, '\"first\":5', '\"first\":6') AS BLOB) "
                "WHERE position = 5", 5),
    "another hash": ("UPDATE log_entries SET leaf = zeroblob(32) WHERE position = 5", None),
    "swapped": ("UPDATE log_entries SET entry = (SELECT e.entry FROM log_entries e WHERE e.position = "
                "CASE log_entries.position WHEN 5 THEN 100 ELSE 5 END) WHERE position IN (5, 100)", 5),
    "another root": ("UPDATE log_head SET root = zeroblob(32)", None),
    "another size": ("UPDATE log_head SET size = size - 1", None),
}  # fmt: skip


@pytest.mark.parametrize("how", CHANGES)
def test_rows_changed_without_signing_again_break_the_log_by_themselves(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.db"
    asyncio.run(filled(path))
    before = entries_of(path)
    statement, named = CHANGES[how]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(statement).rowcount
        database.commit()
    unanchor(path)
    assert how.startswith("another") or entries_of(path) != before
    try:
        assert judged(path, tmp_path) == 1
    except LogBroken:
        return
    told = capsys.readouterr().out
    assert told.startswith("broken: ")
    assert named is None or f"entry {named}:" in told
