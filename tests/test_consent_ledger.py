"""The log in the database: its head is held against everything it can be held against, and proofs are short reads."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from consent.ledger import Head, Ledger, hash_at, nodes, read_head, root_at
from consent.log.merkle import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from consent.log.note import open_checkpoint
from consent.opening import prepare
from consent.storage import Database
from consent.vault import Vault
from schemas.errors import LogBroken
from tests.consent_world import KEK, LOG_KEY, NOW, ORIGIN, PSEUDONYM_KEY, Keks, safe_of


class Book:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.database, self.ledger = Database(path), Ledger(ORIGIN, LOG_KEY)
        prepare(self.database, self.ledger, Vault(Keks(KEK), PSEUDONYM_KEY), safe_of(path), NOW)
        self.leaves: list[bytes] = []

    def append(self, count: int, ledger: Ledger | None = None) -> Head:
        with self.database.connect() as connection, connection.begin():
            page = (ledger or self.ledger).open(connection)
            for n in range(len(self.leaves), len(self.leaves) + count):
                index, entry = page.append(
                    "permit.closed",
                    id=f"n{n}",
                    time="t",
                    actor="a",
                    consent=None,
                    subject=None,
                    data={"permit": "", "code": "c"},
                )
                assert index == n
                self.leaves.append(leaf_hash(entry))
            head, growth = page.write()
        (ledger or self.ledger).remember(growth.range)
        return head

    def check(self, known: Head | None = None, ledger: Ledger | None = None) -> Head:
        with self.database.readers.begin() as connection:
            return (ledger or self.ledger).check(connection, known)

    def tamper(self, statement: str) -> None:
        connection = sqlite3.connect(self.path)
        assert connection.execute(statement).rowcount > 0
        connection.commit()
        connection.close()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "l.db")
    yield made
    made.database.dispose()


def test_an_empty_log_has_a_signed_head_and_grows_from_it(book: Book) -> None:
    assert book.check().size == 0
    book.append(3)
    head = book.append(4)
    assert (head.size, head.root) == (7, root_of(book.leaves))
    assert book.check() == head
    checkpoint, _ = open_checkpoint(head.checkpoint, [book.ledger.vkey])
    assert (checkpoint.size, checkpoint.root) == (7, head.root)


def test_appending_nothing_changes_nothing(book: Book) -> None:
    head = book.append(2)
    assert book.append(0) == head


def test_a_writer_whose_range_is_stale_goes_on_from_the_stored_head(book: Book) -> None:
    other = Ledger(ORIGIN, LOG_KEY)
    book.append(5)
    book.append(5, other)
    assert book.append(5).root == root_of(book.leaves)


def _older(book: Book) -> list[str]:
    """What puts back the log as it is now."""
    with sqlite3.connect(book.path) as connection:
        size, root, span, checkpoint = connection.execute(
            "SELECT size, root, range, checkpoint FROM log_head"
        ).fetchone()
    connection.close()
    head = f"size = {size}, root = x'{root.hex()}', range = x'{span.hex()}', checkpoint = '{checkpoint}'"
    return [f"DELETE FROM log_entries WHERE position >= {size}", f"UPDATE log_head SET {head}"]


def test_an_older_state_put_back_under_a_running_writer_is_not_signed_on(book: Book) -> None:
    book.append(5)
    older = _older(book)
    book.append(3)
    for statement in older:
        book.tamper(statement)
    with pytest.raises(LogBroken) as caught:
        book.append(3)
    assert caught.value.details == {"at": "head", "known": 8, "size": 5}


def test_a_longer_log_of_the_same_key_that_does_not_continue_the_known_one_is_not_signed_on(book: Book) -> None:
    book.append(8)
    forked = Ledger(ORIGIN, LOG_KEY)
    forked.remember(CompactRange().extend([leaf_hash(b"another")] * 5).range)
    with pytest.raises(LogBroken) as caught:
        book.append(1, forked)
    assert caught.value.details == {"at": "head", "known": 5, "size": 8}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_head SET size = 0, root = x'00', range = x'ff'",
        "UPDATE log_head SET root = x'00'",
        "DELETE FROM log_head",
    ],
)
def test_a_head_that_was_changed_under_a_running_writer_is_a_broken_log(book: Book, statement: str) -> None:
    book.append(5)
    book.tamper(statement)
    with pytest.raises(LogBroken):
        book.append(1)


def test_a_head_that_is_gone_is_a_broken_log_for_readers_too(book: Book) -> None:
    book.tamper("DELETE FROM log_head")
    with pytest.raises(LogBroken), book.database.readers.begin() as connection:
        read_head(connection)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_head SET size = size + 1",
        "UPDATE log_head SET size = size - 1",
        "UPDATE log_head SET root = zeroblob(32)",
        "UPDATE log_head SET range = zeroblob(8)",
        "UPDATE log_head SET range = x'00'",
        "UPDATE log_head SET checkpoint = replace(checkpoint, '5', '6')",
        "UPDATE log_head SET checkpoint = 'x'",
        "DELETE FROM log_entries WHERE position = 4",
        "DELETE FROM log_entries",
    ],
)
def test_a_head_that_does_not_hold_together_is_found_at_opening(book: Book, statement: str) -> None:
    book.append(5)
    book.tamper(statement)
    with pytest.raises(LogBroken):
        book.check()


def test_a_head_of_another_key_or_origin_is_not_ours(book: Book) -> None:
    book.append(5)
    with pytest.raises(LogBroken):
        book.check(ledger=Ledger(ORIGIN, Ed25519PrivateKey.generate()))
    with pytest.raises(LogBroken):
        book.check(ledger=Ledger("another.test/log", LOG_KEY))


def test_a_checkpoint_of_an_earlier_head_does_not_pass_for_this_one(book: Book) -> None:
    old = book.append(5)
    book.append(1)
    book.tamper(f"UPDATE log_head SET checkpoint = '{old.checkpoint}'")
    with pytest.raises(LogBroken):
        book.check()


def test_a_head_must_continue_the_last_one_we_know(book: Book) -> None:
    known = book.append(5)
    book.append(3)
    assert book.check(known).size == 8
    with pytest.raises(LogBroken):
        book.check(Head(9, known.root, known.checkpoint))
    with pytest.raises(LogBroken):
        book.check(Head(5, bytes(32), known.checkpoint))


def test_proofs_hold_across_tile_borders(book: Book) -> None:
    for count in (200, 100, 300, 1):
        book.append(count)
    size = len(book.leaves)
    with book.database.readers.begin() as connection:
        at = lambda level, index: hash_at(connection, level, index)  # noqa: E731
        for end in (1, 255, 256, 257, 512, size):
            root = root_at(connection, end)
            assert root == root_of(book.leaves[:end])
            for index in {0, end // 2, end - 1}:
                proof = inclusion_proof(index, end, at)
                verify_inclusion(index, end, book.leaves[index], proof, root)
            proof = consistency_proof(end, size, at)
            verify_consistency(end, size, proof, root, root_of(book.leaves))


def test_tiles_of_tiles_are_kept_so_that_a_large_log_needs_few_rows(book: Book) -> None:
    for count in (65_000, 600):
        book.append(count)
    with book.database.readers.begin() as connection:
        assert nodes(connection, 2, 0, 1) == [root_of(book.leaves[:65_536])]
        assert hash_at(connection, 16, 0) == root_of(book.leaves[:65_536])
        assert len(nodes(connection, 1, 0, 256)) == 256
        assert root_at(connection, 65_600) == root_of(book.leaves)
        read: list[int] = []
        counted(connection, read)
        inclusion_proof(3, 65_600, lambda level, index: hash_at(connection, level, index))
        assert max(read) <= 2 * 128


def counted(connection: Connection, read: list[int]) -> None:
    """Count the rows that a read may touch, from the bounds it was given."""
    original = connection.scalars

    def scalars(statement: object, parameters: dict[str, int]) -> object:
        read.append(parameters["stop"] - parameters["start"])
        return original(statement, parameters)  # type: ignore[call-overload]

    connection.scalars = scalars  # type: ignore[assignment, method-assign]


def test_a_missing_row_is_a_broken_log_and_not_another_root(book: Book) -> None:
    book.append(300)
    book.tamper("DELETE FROM log_tiles")
    with book.database.readers.begin() as connection, pytest.raises(LogBroken):
        hash_at(connection, 8, 0)


def test_the_root_of_nothing_is_that_of_the_empty_tree(book: Book) -> None:
    with book.database.readers.begin() as connection:
        assert root_at(connection, 0) == CompactRange().root()
