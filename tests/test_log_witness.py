"""A witness co-signs only a log that grew, keeps what it signed before it gives it out, and never signs a fork."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.log.merkle import consistency_proof, leaf_hash, root_of
from consent.log.note import Checkpoint, Note, Vkey, sign_checkpoint
from consent.log.verify import verify_files
from consent.log.witness import MAX_PROOF, Folder, Offer, Refusal, StateError, Witness, request_body
from tests.log_export import (
    COSIGNED_AT,
    ORIGIN,
    OTHER_KEY,
    VKEY,
    WITNESS,
    WITNESS_KEY,
    WITNESS_VKEY,
    Log,
    entry,
    exported,
)

OTHER_LOG = "other.example.test/invented"
LOGS = {ORIGIN: [VKEY], OTHER_LOG: [Vkey.of(OTHER_LOG, OTHER_KEY)]}
LOG = [entry(index) for index in range(40)]
FORK = [*LOG[:5], entry(999), *LOG[6:]]


def witness_in(folder: Folder, name: str = WITNESS) -> Witness:
    return Witness(name, WITNESS_KEY, LOGS, folder, lambda: COSIGNED_AT)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    held = Folder(tmp_path / "witness")
    yield held
    held.close()


@pytest.fixture
def witness(folder: Folder) -> Witness:
    return witness_in(folder)


def note_of(entries: list[bytes], size: int) -> str:
    return Log(entries[:size]).checkpoint_text()


def proof_of(entries: list[bytes], old: int, size: int) -> tuple[bytes, ...]:
    leaves = [leaf_hash(e) for e in entries[:size]]
    return consistency_proof(old, size, lambda level, n: root_of(leaves[n << level : (n + 1) << level])) if old else ()


def grown(entries: list[bytes], old: int, size: int) -> bytes:
    return request_body(old, proof_of(entries, old, size), note_of(entries, size))


def refusal(witness: Witness, body: bytes) -> Refusal:
    with pytest.raises(Refusal) as refused:
        witness.add_checkpoint(body)
    return refused.value


def test_a_log_that_grows_is_co_signed_at_every_step(witness: Witness) -> None:
    for old, size in ((0, 1), (1, 2), (2, 8), (8, 8), (8, 21), (21, 40)):
        line = witness.add_checkpoint(grown(LOG, old, size))
        note = Note.parse(note_of(LOG, size) + line)
        assert note.cosigners([WITNESS_VKEY]) == ((WITNESS_VKEY, COSIGNED_AT),)


def test_the_empty_tree_is_co_signed_and_grows_without_a_proof(witness: Witness) -> None:
    assert witness.add_checkpoint(grown(LOG, 0, 0))
    assert witness.add_checkpoint(grown(LOG, 0, 3))
    bad = sign_checkpoint(Checkpoint(OTHER_LOG, 0, bytes(32)), OTHER_LOG, OTHER_KEY)
    assert refusal(witness, request_body(0, (), bad)).status == 409


def test_another_size_than_the_last_is_a_conflict_that_tells_the_last(witness: Witness) -> None:
    refused = refusal(witness, grown(LOG, 4, 8))
    assert (refused.status, refused.size) == (409, 0)
    witness.add_checkpoint(grown(LOG, 0, 8))
    for old, size in ((0, 8), (0, 9), (4, 9), (9, 12), (4, 4)):
        refused = refusal(witness, grown(LOG, old, size))
        assert (refused.status, refused.size) == (409, 8)


def test_a_fork_is_refused_however_it_is_offered(witness: Witness) -> None:
    witness.add_checkpoint(grown(LOG, 0, 8))
    same = refusal(witness, request_body(8, (), note_of(FORK, 8)))
    assert (same.status, same.size) == (409, 8)
    for body in (grown(FORK, 8, 12), request_body(8, proof_of(LOG, 8, 12), note_of(FORK, 12))):
        assert refusal(witness, body).status == 422
    assert witness.add_checkpoint(grown(LOG, 8, 12))


def test_a_proof_too_much_too_short_or_bent_is_refused(witness: Witness) -> None:
    assert refusal(witness, request_body(0, (bytes(32),), note_of(LOG, 8))).status == 422
    witness.add_checkpoint(grown(LOG, 0, 7))
    proof = proof_of(LOG, 7, 20)
    for bad in ((), proof[:-1], (*proof, bytes(32)), (bytes(32), *proof[1:]), proof[::-1]):
        assert refusal(witness, request_body(7, bad, note_of(LOG, 20))).status == 422
    assert refusal(witness, request_body(7, (bytes(32),), note_of(LOG, 7))).status == 422
    assert witness.add_checkpoint(grown(LOG, 7, 20))


def test_an_unknown_log_and_a_wrong_key_are_told_apart(witness: Witness) -> None:
    stranger = Log(LOG[:3], origin="unknown.example.test")
    assert refusal(witness, request_body(0, (), stranger.checkpoint_text())).status == 404
    forged = Log(LOG[:3], key=OTHER_KEY)
    assert refusal(witness, request_body(0, (), forged.checkpoint_text())).status == 403
    note = note_of(LOG, 3)
    spoiled = note.replace(note.split("\n\n")[0].split("\n")[2], Log(LOG[:4]).checkpoint_text().split("\n")[2])
    assert refusal(witness, request_body(0, (), spoiled)).status == 403


GOOD = note_of(LOG, 3)
HASH = "A" * 43 + "="


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 0\n",
        b"old 0\n\n",
        f"old 0\n{GOOD}".encode(),
        f"old -1\n\n{GOOD}".encode(),
        f"old 00\n\n{GOOD}".encode(),
        f"old 0 \n\n{GOOD}".encode(),
        f"Old 0\n\n{GOOD}".encode(),
        f"old  0\n\n{GOOD}".encode(),
        f"old ٠\n\n{GOOD}".encode(),
        f"old 4\n\n{GOOD}".encode(),
        f"old 0\r\n\r\n{GOOD}".encode(),
        f"old 0\nnot base64\n\n{GOOD}".encode(),
        f"old 0\nAAAA\n\n{GOOD}".encode(),
        ("old 0\n" + f"{HASH}\n" * (MAX_PROOF + 1) + f"\n{GOOD}").encode(),
        f"old 0\n\n{GOOD[:-1]}".encode(),
        "old 0\n\nx\n\n— a AAAAAAAA\n".encode(),
        b"old 0\n\n\xff",
    ],
)
def test_what_is_not_such_a_request_is_a_bad_one(witness: Witness, body: bytes) -> None:
    assert refusal(witness, body).status == 400


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_request_or_a_refusal(body: bytes) -> None:
    for prefix in (b"", b"old 3\n", b"old 0\n\n"):
        # Anything but a Refusal would end the test.
        with suppress(Refusal):
            assert isinstance(Offer.parse(prefix + body), Offer)


def test_what_was_co_signed_is_remembered_by_the_next_witness_in_the_folder(tmp_path: Path) -> None:
    first = Folder(tmp_path)
    line = witness_in(first).add_checkpoint(grown(LOG, 0, 8))
    first.close()
    second = Folder(tmp_path)
    again = witness_in(second)
    assert refusal(again, grown(LOG, 0, 9)).size == 8
    assert refusal(again, request_body(8, (), note_of(FORK, 8))).status == 409
    kept = second.read(ORIGIN)
    assert kept is not None
    assert kept.decode() == note_of(LOG, 8) + line
    second.close()


def test_signature_lines_of_others_are_not_kept(witness: Witness, folder: Folder) -> None:
    more = note_of(LOG, 8) + "— stranger.example AAAAAAAAAAAA\n"
    witness.add_checkpoint(request_body(0, (), more))
    assert b"stranger" not in (folder.read(ORIGIN) or b"")


def test_each_log_has_a_memory_of_its_own(witness: Witness) -> None:
    witness.add_checkpoint(grown(LOG, 0, 8))
    other = Log(LOG[:3], key=OTHER_KEY, origin=OTHER_LOG)
    assert witness.add_checkpoint(request_body(0, (), other.checkpoint_text()))
    assert witness.add_checkpoint(grown(LOG, 8, 9))


def test_one_folder_has_one_witness(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="another witness"):
        Folder(tmp_path / "witness")


@pytest.mark.parametrize("how", ["flipped", "cut", "not text", "of another log", "of another witness"])
def test_a_witness_does_not_start_on_a_memory_that_is_not_its_own(how: str, tmp_path: Path) -> None:
    held = Folder(tmp_path)
    judge = witness_in(held)
    judge.add_checkpoint(grown(LOG, 0, 8))
    other = Log(LOG[:3], key=OTHER_KEY, origin=OTHER_LOG)
    judge.add_checkpoint(request_body(0, (), other.checkpoint_text()))
    file = tmp_path / f"{sha256(ORIGIN.encode()).hexdigest()}.checkpoint"
    data = file.read_bytes()
    name = WITNESS
    if how == "of another witness":
        name = "another.example"
    elif how == "of another log":
        file.write_bytes((tmp_path / f"{sha256(OTHER_LOG.encode()).hexdigest()}.checkpoint").read_bytes())
    else:
        bent = {"flipped": data.replace(b"\n8\n", b"\n7\n"), "cut": data[:-3], "not text": b"\xff"}
        file.write_bytes(bent[how])
    with pytest.raises(StateError, match=ORIGIN):
        witness_in(held, name)
    held.close()


@pytest.mark.parametrize("call", ["file", "folder"])
def test_nothing_is_given_out_that_could_not_be_kept(
    call: str, witness: Witness, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness.add_checkpoint(grown(LOG, 0, 8))
    synced: list[int] = []
    real = os.fsync

    def failing(handle: int) -> None:
        synced.append(handle)
        if len(synced) == (1 if call == "file" else 2):
            raise OSError
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError):  # noqa: PT011 - that it is one is all that matters
        witness.add_checkpoint(grown(LOG, 8, 12))
    monkeypatch.setattr(os, "fsync", real)
    assert witness.add_checkpoint(grown(LOG, 8, 13)), "what was not given out binds nobody"
    assert Checkpoint.parse(Note.parse((folder.read(ORIGIN) or b"").decode()).text).size == 13


def test_of_many_who_come_at_once_with_one_size_one_is_co_signed(witness: Witness) -> None:
    outcomes: list[str] = []

    def offer(size: int) -> None:
        try:
            witness.add_checkpoint(grown(LOG, 0, size))
            outcomes.append("signed")
        except Refusal as refused:
            outcomes.append(str(refused.status))

    threads = [threading.Thread(target=offer, args=(size,)) for size in range(1, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["409"] * 23 + ["signed"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 40)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_offered_in_whatever_order_all_that_is_co_signed_is_one_growing_log(
    tmp_path_factory: pytest.TempPathFactory, offers: list[tuple[bool, int, int]]
) -> None:
    held = Folder(tmp_path_factory.mktemp("w"))
    judge = witness_in(held)
    signed: list[tuple[list[bytes], int]] = []
    for forked, old, size in offers:
        entries = FORK if forked else LOG
        try:
            judge.add_checkpoint(grown(entries, min(old, size), size))
        except Refusal:
            continue
        signed.append((entries[:size], size))
    held.close()
    for (before, smaller), (after, larger) in pairwise(signed):
        assert smaller <= larger
        assert after[:smaller] == before


REWRITTEN = {
    "deleted": [*LOG[:7], *LOG[8:]],
    "inserted": [*LOG[:7], entry(999), *LOG[7:]],
    "swapped": [*LOG[:7], LOG[20], *LOG[8:20], LOG[7], *LOG[21:]],
    "duplicated": [*LOG[:7], LOG[6], *LOG[7:]],
    "replaced": [*LOG[:7], entry(999), *LOG[8:]],
    "cut off": LOG[:25],
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_log_rewritten_with_its_own_key_gets_no_witness_and_is_betrayed_by_what_the_witness_kept(
    how: str, witness: Witness, folder: Folder
) -> None:
    witness.add_checkpoint(grown(LOG, 0, 30))
    bad = REWRITTEN[how]
    files = exported(Log(bad))
    assert verify_files(files, [VKEY]).ok, "nothing in such an export is wrong by itself"
    assert not verify_files(files, [VKEY], None, [WITNESS_VKEY]).ok
    if len(bad) > 30:
        assert refusal(witness, grown(bad, 30, len(bad))).status == 422
    assert refusal(witness, grown(bad, 0, len(bad))).status == 409
    remembered = (folder.read(ORIGIN) or b"").decode()
    report = verify_files(files, [VKEY], remembered)
    assert report.problem is not None
    assert report.problem.kind == "history"
    assert report.heads == (remembered, Log(bad).checkpoint_text())
    for line in [*remembered.splitlines(), *report.heads[1].splitlines()]:
        assert line in report.text().splitlines()
