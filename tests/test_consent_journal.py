"""The durable writer: batches, what one bad command does to the others, and every way the storage can fail."""

import asyncio
import errno
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from consent import journal as journal_module
from consent import storage as storage_module
from consent.batch import After, Batch, Command
from consent.journal import Journal
from consent.ledger import Head, Ledger, root_at
from consent.log.merkle import Growth
from consent.opening import prepare
from consent.storage import Database, Store, open_store
from consent.tables import consent_texts
from consent.vault import Vault
from schemas.errors import LogBroken, Overloaded, ShuttingDown, StorageUnavailable
from tests.consent_world import KEK, LENDER, LOG_KEY, NOW, ORIGIN, PSEUDONYM_KEY, Clock, Keks, safe_of


@dataclass(frozen=True, slots=True)
class Note(Command[int]):
    """Append one entry under a chosen id; answers with its index."""

    id: str

    def decide(self, batch: Batch) -> int:
        return batch.append("permit.closed", LENDER, None, None, {"permit": self.id, "code": "c"}, id=self.id)[0]


@dataclass(frozen=True, slots=True)
class Row(Command[int]):
    """The same, with a row whose primary key it is."""

    id: str

    def decide(self, batch: Batch) -> int:
        text = {"name": self.id, "language": "zh", "sha256": "", "content": b"", "registered_at": "", "log_index": 0}
        batch.insert(consent_texts, text)
        return Note(self.id).decide(batch)


@dataclass(frozen=True, slots=True)
class Fault(Command[int]):
    """Appends, then fails as a defect would."""

    error: type[Exception]

    def decide(self, batch: Batch) -> int:
        batch.append("permit.closed", LENDER, None, None, {"permit": "fault", "code": "c"})
        raise self.error


@dataclass(frozen=True, slots=True)
class Size(Command[int]):
    """Writes nothing; answers with the size of the committed head."""

    def decide(self, batch: Batch) -> After[int]:
        def size(head: Head, growth: Growth) -> int:
            assert growth.size == head.size
            return head.size

        return After(size)


def parts(place: Path | str) -> tuple[Store, Ledger]:
    database, ledger = open_store(place), Ledger(ORIGIN, LOG_KEY)
    database.writing.submit(
        partial(prepare, database, ledger, Vault(Keks(KEK), PSEUDONYM_KEY), safe_of(place), NOW)
    ).result()
    return database, ledger


@asynccontextmanager
async def opened(place: Path | str) -> AsyncIterator[tuple[Journal, Any]]:
    database, ledger = parts(place)
    new_batch = partial(Batch, vault=Vault(Keks(KEK), PSEUDONYM_KEY), permit_validity=timedelta(minutes=15))
    journal = Journal(database, ledger, new_batch, Clock())
    try:
        await journal.open()
        try:
            yield journal, database
        finally:
            await journal.close()
    finally:
        await database.close()


async def stored(place: Path | str) -> list[str]:
    """The ids in the log in order, after holding the head against the entries."""
    database, ledger = parts(place)

    def ids(connection: Connection) -> list[str]:
        head = ledger.check(connection, None)
        assert root_at(connection, head.size) == head.root
        rows = connection.exec_driver_sql("SELECT position, id FROM log_entries ORDER BY position").all()
        assert [position for position, _ in rows] == list(range(head.size))
        return [id for _, id in rows]

    try:
        return database.read(ids)
    finally:
        await database.close()


async def test_commands_handed_in_together_are_committed_together_in_order(place: Path | str) -> None:
    async with opened(place) as (journal, database):
        commits: list[Connection] = []
        event.listen(database._writers, "commit", commits.append)
        assert await asyncio.gather(*(journal.submit(Note(f"n{n}")) for n in range(300))) == list(range(300))
        assert len(commits) == 2
        assert journal.head.size == 300
    assert await stored(place) == [f"n{n}" for n in range(300)]


async def test_a_batch_that_writes_nothing_signs_nothing(place: Path | str) -> None:
    async with opened(place) as (journal, _):
        await journal.submit(Note("one"))
        before = journal.head
        assert await journal.submit(Size()) == 1
        assert journal.head == before


@pytest.mark.parametrize("error", [KeyError, RuntimeError])
async def test_a_defect_hurts_only_its_own_command(place: Path | str, error: type[Exception]) -> None:
    async with opened(place) as (journal, _):
        commands: list[Command[int]] = [Note(f"n{n}") for n in range(40)]
        commands.insert(17, Fault(error))
        found = await asyncio.gather(*(journal.submit(c) for c in commands), return_exceptions=True)
        assert isinstance(found.pop(17), error)
        assert found == list(range(40))
        assert journal.writable
    assert await stored(place) == [f"n{n}" for n in range(40)]


async def test_a_row_that_the_database_refuses_hurts_only_its_own_command(place: Path | str) -> None:
    async with opened(place) as (journal, _):
        await journal.submit(Row("taken"))
        ids = ["a", "b", "taken", "c"]
        found = await asyncio.gather(*(journal.submit(Row(i)) for i in ids), return_exceptions=True)
        assert isinstance(found.pop(2), StorageUnavailable)
        assert found == [1, 2, 3]
    assert await stored(place) == ["taken", "a", "b", "c"]


async def test_a_caller_that_left_before_its_turn_wrote_nothing(place: Path | str) -> None:
    async with opened(place) as (journal, _):
        task = asyncio.create_task(journal.submit(Note("gone")))
        await asyncio.sleep(0)
        task.cancel()
        assert await journal.submit(Note("stays")) == 0
        assert task.cancelled()


async def test_a_caller_that_left_during_the_commit_disturbs_nobody(place: Path | str) -> None:
    async with opened(place) as (journal, database):
        loop, began = asyncio.get_running_loop(), asyncio.Event()
        event.listen(database._writers, "commit", lambda _: loop.call_soon_threadsafe(began.set))
        left, stays = (asyncio.create_task(journal.submit(Note(i))) for i in ("left", "stays"))
        await began.wait()
        left.cancel()
        await stays
    assert await stored(place) == ["left", "stays"]


async def test_closing_commits_what_was_handed_in_and_takes_no_more(place: Path | str) -> None:
    async with opened(place) as (journal, _):
        waiting = [asyncio.create_task(journal.submit(Note(f"n{n}"))) for n in range(5)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [0, 1, 2, 3, 4]
    with pytest.raises(ShuttingDown):
        await journal.submit(Note("late"))


async def test_a_full_queue_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "QUEUE", 3)
    async with opened(tmp_path / "j.db") as (journal, _):
        found = await asyncio.gather(*(journal.submit(Note(f"n{n}")) for n in range(5)), return_exceptions=True)
        assert found[:3] == [0, 1, 2]
        assert [type(f) for f in found[3:]] == [Overloaded, Overloaded]


async def test_two_journals_on_one_file_share_one_dense_log(place: Path | str) -> None:
    async with opened(place) as (one, _), opened(place) as (two, _):
        found = await asyncio.gather(
            *(journal.submit(Note(f"{name}{n}")) for n in range(150) for name, journal in (("a", one), ("b", two)))
        )
        assert sorted(found) == list(range(300))
    assert sorted(await stored(place)) == sorted(f"{name}{n}" for n in range(150) for name in "ab")


async def heals(journal: Journal) -> None:
    """Wait until the writer has healed by itself, with nobody asking it to write."""
    for _ in range(500):
        if journal.writable:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the journal did not heal")


async def outcome(journal: Journal, command: Command[int]) -> int | Exception:
    (found,) = await asyncio.gather(journal.submit(command), return_exceptions=True)
    assert isinstance(found, int | Exception)
    return found


def input_output_error(_: Connection) -> None:
    raise OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error"))


def no_space(_: Connection) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failure", [input_output_error, no_space])
async def test_after_a_failed_commit_nothing_is_acknowledged_until_the_head_was_checked_again(
    place: Path | str, monkeypatch: pytest.MonkeyPatch, failure: Callable[[Connection], None]
) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.01)
    async with opened(place) as (journal, database):
        await journal.submit(Note("before"))
        event.listen(database._writers, "commit", failure)
        found = await asyncio.gather(*(journal.submit(Note(f"n{n}")) for n in range(5)), return_exceptions=True)
        assert [type(f) for f in found] == [StorageUnavailable] * 5
        assert not journal.writable
        with pytest.raises(StorageUnavailable):
            await journal.submit(Note("during"))
        event.remove(database._writers, "commit", failure)
        await heals(journal)
        assert await journal.submit(Note("after")) == 1
    assert await stored(place) == ["before", "after"]


@pytest.mark.parametrize("took_place", [True, False])
async def test_a_commit_whose_reply_was_lost_is_looked_up_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took_place: bool
) -> None:
    async with opened(tmp_path / "j.db") as (journal, database):
        dialect = database._writers.dialect
        commit = dialect.do_commit

        def once(connection: Any) -> None:
            monkeypatch.setattr(dialect, "do_commit", commit)
            (commit if took_place else dialect.do_rollback)(connection)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(dialect, "do_commit", once)
        if took_place:
            assert await asyncio.gather(*(journal.submit(Note(i)) for i in "ab")) == [0, 1]
        else:
            with pytest.raises(StorageUnavailable):
                await journal.submit(Note("a"))
            assert await journal.submit(Note("a")) == 0
            assert await journal.submit(Note("b")) == 1
        assert await journal.submit(Note("c")) == 2
    assert await stored(tmp_path / "j.db") == ["a", "b", "c"]


async def test_a_failed_commit_of_no_entry_is_never_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "j.db") as (journal, database):
        await journal.submit(Note("a"))
        event.listen(database._writers, "commit", input_output_error)
        with pytest.raises(StorageUnavailable):
            await journal.submit(Size())


async def test_a_full_disk_refuses_and_heals_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.01)
    full = True
    connect = Database._write_connection

    def small(database: Database) -> sqlite3.Connection:
        connection = connect(database)
        if full:
            # The real SQLITE_FULL: no page may be added to what the file has.
            connection.execute("PRAGMA max_page_count=1")
        return connection

    path = tmp_path / "j.db"
    await stored(path)
    monkeypatch.setattr(Database, "_write_connection", small)
    async with opened(path) as (journal, _):
        found = [await outcome(journal, Note(f"{n:0200}")) for n in range(200)]
        acknowledged = [f for f in found if isinstance(f, int)]
        assert {type(f) for f in found} == {int, StorageUnavailable}
        full = False
        await journal.submit(Note("after"))
        assert journal.writable
    assert len(await stored(path)) == len(acknowledged) + 1


async def test_a_lock_held_too_long_is_a_bounded_wait_then_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "BUSY_SECONDS", 0.05)
    path = tmp_path / "j.db"
    async with opened(path) as (journal, _):
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageUnavailable) as caught:
                await journal.submit(Note("waits"))
            assert "locked" not in str(caught.value)
            other.execute("ROLLBACK")
        finally:
            other.close()
        assert await journal.submit(Note("goes on")) == 0


async def test_a_file_that_was_moved_away_is_noticed_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.01)
    path = tmp_path / "j.db"
    async with opened(path) as (journal, _):
        await journal.submit(Note("before"))
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(StorageUnavailable):
            await journal.submit(Note("lost"))
        assert not path.exists()
        (tmp_path / "elsewhere.db").rename(path)
        await heals(journal)
        assert await journal.submit(Note("after")) == 1


async def test_an_older_copy_of_the_file_is_never_signed_on(tmp_path: Path) -> None:
    path, copy = tmp_path / "j.db", tmp_path / "copy.db"
    async with opened(path) as (journal, _):
        await journal.submit(Note("one"))
    shutil.copy(path, copy)
    async with opened(path) as (journal, _):
        await journal.submit(Note("two"))
        copy.replace(path)
        for wal in (tmp_path / "j.db-wal", tmp_path / "j.db-shm"):
            wal.unlink()
        with pytest.raises(StorageUnavailable):
            await journal.submit(Note("three"))
        for _ in range(2):
            with pytest.raises(LogBroken):
                await journal.submit(Note("three"))
        assert not journal.writable
    assert await stored(path) == ["one"]


async def test_a_log_found_broken_inside_a_batch_stops_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with opened(path) as (journal, _):
        await asyncio.gather(*(journal.submit(Note(f"n{n}")) for n in range(200)))
        other = sqlite3.connect(path)
        other.execute("DELETE FROM log_entries WHERE position = 100")
        other.commit()
        other.close()
        # The 256th entry closes a tile, which needs the leaf that is gone.
        found = await asyncio.gather(*(journal.submit(Note(f"m{n}")) for n in range(60)), return_exceptions=True)
        assert {type(f) for f in found} == {LogBroken}
        with pytest.raises(LogBroken):
            await journal.submit(Note("more"))


async def test_a_journal_does_not_open_on_a_broken_or_missing_log(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    database, ledger = parts(path)
    new_batch = partial(Batch, vault=Vault(Keks(KEK), PSEUDONYM_KEY), permit_validity=timedelta(minutes=15))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE log_head SET size = 5")
    other.close()
    with pytest.raises(LogBroken):
        await Journal(database, ledger, new_batch, Clock()).open()
    shutil.rmtree(tmp_path)
    with pytest.raises(StorageUnavailable):
        await Journal(database, ledger, new_batch, Clock()).open()
    await database.close()


async def test_a_defect_at_reopening_is_not_taken_for_a_storage_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, ledger = parts(tmp_path / "j.db")
    new_batch = partial(Batch, vault=Vault(Keks(KEK), PSEUDONYM_KEY), permit_validity=timedelta(minutes=15))
    monkeypatch.setattr(Ledger, "check", lambda *_: 1 / 0)
    journal = Journal(database, ledger, new_batch, Clock())
    with pytest.raises(ZeroDivisionError):
        await journal.open()
    await journal.close()
    await database.close()


async def test_a_storage_that_failed_is_one_alarm_with_its_reason_and_one_line_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.01)
    path = tmp_path / "j.db"
    with capture_logs() as lines:
        async with opened(path) as (journal, _):
            await journal.submit(Note("before"))
            path.rename(tmp_path / "elsewhere.db")
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    await journal.submit(Note("lost"))
            assert lines == [{"event": "log_not_writable", "reason": "FileNotFoundError", "log_level": "error"}]
            (tmp_path / "elsewhere.db").rename(path)
            await heals(journal)
            await journal.submit(Note("after"))
    assert lines[1:] == [{"event": "log_writable_again", "log_level": "warning"}]


async def test_after_a_failure_a_reader_of_the_past_keeps_the_log_from_being_written_until_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEAL_SECONDS", 0.01)
    monkeypatch.setattr(storage_module, "BUSY_SECONDS", 0.01)
    path = tmp_path / "j.db"
    async with opened(path) as (journal, database):
        await journal.submit(Note("one"))
        reader = sqlite3.connect(path, isolation_level=None)
        try:
            reader.execute("BEGIN")
            assert reader.execute("SELECT size FROM log_head").fetchone() == (1,)
            await journal.submit(Note("two"))
            event.listen(database._writers, "commit", input_output_error)
            with pytest.raises(StorageUnavailable):
                await journal.submit(Note("lost"))
            event.remove(database._writers, "commit", input_output_error)
            # What is not yet in the file itself may stand in pages that were never written.
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    await journal.submit(Note("waits"))
        finally:
            reader.close()
        await heals(journal)
        assert await journal.submit(Note("three")) == 2
    assert await stored(path) == ["one", "two", "three"]


async def test_what_is_tried_before_writing_goes_on_is_a_real_write(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with opened(path) as (one, _):
        await one.submit(Note("before"))
        wal = path.with_name("j.db-wal")
        size = wal.stat().st_size
        async with opened(path) as (two, _):
            assert two.writable
            assert wal.stat().st_size > size
