"""Time-stamps in an export: each stamped head is held against the log, and nothing of it or beside it goes unseen. What
the authority signed is in test_stamping.py."""

from hashlib import sha256

import pytest

from consent.log.note import Checkpoint, Note, Vkey, sign_checkpoint
from consent.log.report import Report
from consent.log.tiles import Stamp
from consent.log.verify import verify_files
from tests.log_export import KEY, ORIGIN, OTHER_KEY, VKEY, Log, Memory, exported, flipped
from tests.test_log_rotation import NEW, ONCE, log
from tests.test_log_rotation import head as rotated_head

SIZES = (1, 2, 255, 256, 257, 300, 512, 600)


def head(size: int, log: Log | None = None) -> str:
    part = Log(log.stored[:size]) if log else Log.of(size)
    return part.checkpoint_text()


def stamp(size: int, text: str | None = None) -> Stamp:
    """Not a reply, but what the verifier looks at of one."""
    text = head(size) if text is None else text
    return Stamp(size, text, b"\x30" + sha256(text.encode()).digest() + b"the rest")


def with_stamps(*stamps: Stamp, size: int = 600) -> Memory:
    log = Log.of(size)
    log.stamped = list(stamps)
    return exported(log)


def blamed(files: Memory, old: str | None = None) -> tuple[str, str, str]:
    report = verify_files(files, [VKEY], old)
    assert report.problem is not None
    return report.problem.kind, report.problem.path, report.problem.text


def accepted(files: Memory, old: str | None = None) -> Report:
    report = verify_files(files, [VKEY], old)
    assert report.ok, report.text()
    return report


def test_stamped_heads_of_any_size_are_held_against_the_log() -> None:
    files = with_stamps(*map(stamp, SIZES))
    assert {p for p in files if p.startswith("timestamp/")} == {
        f"timestamp/{size}.{end}" for size in SIZES for end in ("checkpoint", "tsr")
    }
    report = accepted(files)
    assert report.stamped == SIZES
    assert "time-stamped: 8 heads, the newest of 600 entries" in report.text()
    # A remembered head beside them, of a size that has a stamp and of one that has none.
    for size in (256, 299):
        assert accepted(files, head(size)).stamped == SIZES


def test_a_log_without_stamps_says_nothing_of_them() -> None:
    report = accepted(with_stamps())
    assert report.stamped == ()
    assert "time-stamped" not in report.text()


def test_every_flipped_bit_of_a_stamped_head_is_seen() -> None:
    files = with_stamps(stamp(3), size=4)
    path = "timestamp/3.checkpoint"
    for bit in range(8 * len(files[path])):
        problem = verify_files(flipped(files, path, bit), [VKEY]).problem
        assert problem is not None
        assert problem.kind == "timestamp"


@pytest.mark.parametrize(
    ("made", "end", "text"),
    [
        (stamp(300, head(300, Log([b"{}"] * 300))), "checkpoint", "rewritten: its first 300 entries"),
        (stamp(601), "checkpoint", "rolled back or cut off: it was stamped with 601 entries and has 600"),
        (stamp(300, head(299)), "checkpoint", "of another size than its name says"),
        (stamp(300, sign_checkpoint(Log.of(300).head, ORIGIN, OTHER_KEY)), "checkpoint", "the stamped checkpoint: "),
        (
            stamp(300, sign_checkpoint(Checkpoint("o.test", 300, Log.of(300).head.root), ORIGIN, KEY)),
            "checkpoint",
            "of another log",
        ),
        (stamp(300, "not a note"), "checkpoint", "the stamped checkpoint: "),
        (Stamp(300, head(300), b"over something else"), "tsr", "is not over the SHA-256 of timestamp/300.checkpoint"),
    ],
)
def test_a_stamped_head_that_is_none_of_the_logs_past_is_broken(made: Stamp, end: str, text: str) -> None:
    kind, path, told = blamed(with_stamps(stamp(2), made))
    assert (kind, path) == ("timestamp", f"timestamp/{made.size}.{end}")
    assert text in told


def test_a_stamped_head_that_is_no_text_is_broken() -> None:
    files = with_stamps(stamp(2))
    files["timestamp/2.checkpoint"] = b"\xff"
    files["timestamp/2.tsr"] = sha256(b"\xff").digest()
    assert blamed(files) == ("timestamp", "timestamp/2.checkpoint", "not UTF-8")


@pytest.mark.parametrize("end", ["checkpoint", "tsr"])
def test_half_a_stamp_is_broken(end: str) -> None:
    files = with_stamps(stamp(2))
    del files[f"timestamp/2.{end}"]
    report = verify_files(files)
    assert report.problem is not None
    assert (report.problem.kind, report.problem.path) == ("file", f"timestamp/2.{end}")


@pytest.mark.parametrize("name", ["02.tsr", "0.tsr", "2", "2.txt", "x/2.tsr", f"{10**19}.tsr"])
def test_other_files_beside_stamps_do_not_belong_to_the_export(name: str) -> None:
    files = with_stamps(stamp(2))
    files[f"timestamp/{name}"] = files["timestamp/2.tsr"]
    assert blamed(files) == ("file", f"timestamp/{name}", "does not belong to this export")


@pytest.mark.parametrize("trusted", [VKEY, NEW])
def test_a_stamped_head_is_good_when_the_key_of_its_time_signed_it(trusted: Vkey) -> None:
    def stamped(text: str) -> Report:
        files = log(600, ONCE, OTHER_KEY)
        size = Checkpoint.parse(Note.parse(text).text).size
        files[f"timestamp/{size}.checkpoint"] = text.encode()
        files[f"timestamp/{size}.tsr"] = stamp(size, text).reply
        return verify_files(files, [trusted])

    for good in (rotated_head(300, ONCE, KEY), rotated_head(301, ONCE, OTHER_KEY)):
        assert stamped(good).ok
    problem = stamped(rotated_head(301, ONCE, KEY)).problem
    assert problem is not None
    assert (problem.kind, problem.path) == ("timestamp", "timestamp/301.checkpoint")
    assert "a key that was replaced at entry 300" in problem.text
