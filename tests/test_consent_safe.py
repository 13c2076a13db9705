"""What lies outside the database: where it cannot be read or written, nothing goes on without it."""

from pathlib import Path

import pytest

from consent.safe import Safe, Tombstone
from schemas.errors import ConfigurationError, KeysUnavailable


def test_where_the_folder_cannot_be_written_every_step_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    safe = Safe(tmp_path / "file")
    stone = Tombstone("s", "payload", 1, "withdrawn", "x")
    for step in (
        lambda: safe.add_epoch(1),
        lambda: safe.bury([stone]),
        lambda: safe.keep_keys([]),
        lambda: list(safe.kept_keys()),
        lambda: safe.remember("head", "vkey"),
    ):
        with pytest.raises((KeysUnavailable, ConfigurationError)):
            step()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    safe = Safe(tmp_path)
    for name, read in (("checkpoint", safe.checkpoint), ("tombstones", safe.tombstones)):
        (tmp_path / "anchor" / name).mkdir(parents=True)
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert caught.value.details["at"] == f"keys/anchor/{name}"
        (tmp_path / "anchor" / name).rmdir()
    (tmp_path / "anchor" / "tombstones").write_text("nonsense\n")
    with pytest.raises(ConfigurationError):
        safe.tombstones()


def test_an_epoch_whose_attempt_was_interrupted_is_taken_up_and_half_a_key_is_none(tmp_path: Path) -> None:
    safe = Safe(tmp_path)
    safe.add_epoch(1)
    key = safe.kek(1)
    safe.add_epoch(1)
    assert safe.kek(1) == key
    (tmp_path / "kek.2").write_text("00")
    with pytest.raises(KeysUnavailable):
        safe.add_epoch(2)
