"""The exported layout, against the examples and rules of c2sp.org/tlog-tiles."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.log import tiles
from consent.log.merkle import root_of
from consent.log.tiles import Folder, TileError, bundle, export, read_bundle, tile_path
from consent.log.verify import verify_export
from tests.log_export import Log, entry, exported


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 999, 256, "tile/0/999"),
        (1, 1000, 256, "tile/1/x001/000"),
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (63, 5, 17, "tile/63/005.p/17"),
        ("entries", 1234067, 1, "tile/entries/x001/x234/067.p/1"),
    ],
)
def test_paths_are_those_of_the_specification(level: int | str, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path


def widths(files: Iterable[str]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for path in files:
        if path.startswith("tile/"):
            found[path.split("/")[1], path.partition(".p/")[2] or "full"] += 1
    return found


def test_a_tree_of_70000_has_the_tiles_of_the_specifications_example(tmp_path: Path) -> None:
    log = Log.of(70_000)
    export(log, tmp_path)
    assert widths(Folder(tmp_path).paths()) == {
        ("0", "full"): 273,
        ("0", "112"): 1,
        ("1", "full"): 1,
        ("1", "17"): 1,
        ("2", "1"): 1,
        ("entries", "full"): 273,
        ("entries", "112"): 1,
    }
    assert (tmp_path / "tile/1/001.p/17").read_bytes()[:32] == root_of(log.hashes[65536 : 65536 + 256])
    assert (tmp_path / "tile/2/000.p/1").read_bytes() == root_of(log.hashes[:65536])
    report = verify_export(tmp_path)
    assert report.ok
    assert report.intact == 70_000


def test_a_tree_of_256_has_a_full_tile_and_one_hash_above_it() -> None:
    assert widths(exported(Log.of(256))) == {("0", "full"): 1, ("1", "1"): 1, ("entries", "full"): 1}


def test_an_empty_log_exports_as_a_checkpoint_and_its_key(tmp_path: Path) -> None:
    export(Log([]), tmp_path / "new")
    assert Folder(tmp_path / "new").paths() == {"checkpoint", "vkey"}
    assert verify_export(tmp_path / "new").text() == "intact: the log is empty\nconsistent, signer not trusted\n"


def test_bundles_hold_each_entry_after_its_length() -> None:
    assert bundle([b"", b"ab", b"c" * 258]) == b"\x00\x00\x00\x02ab\x01\x02" + b"c" * 258


@given(st.lists(st.binary(max_size=300), max_size=8))
@settings(max_examples=60)
def test_a_bundle_reads_back_into_its_entries(entries: list[bytes]) -> None:
    assert list(read_bundle("p", bundle(entries))) == entries


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x00\x01"])
def test_a_bundle_that_ends_inside_an_entry_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(TileError, match="p: truncated"):
        list(read_bundle("p", data))


def test_an_export_never_mixes_with_what_is_already_there(tmp_path: Path) -> None:
    export(Log.of(3), tmp_path)
    with pytest.raises(TileError, match="not empty"):
        export(Log.of(4), tmp_path)
    assert verify_export(tmp_path).intact == 3


@pytest.mark.parametrize("lost", ["entries", "leaf_hashes"])
def test_a_log_with_fewer_entries_than_its_head_says_does_not_export(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log.of(300)
    kept = list(getattr(log, lost)(0, 299))
    monkeypatch.setattr(log, lost, lambda start, stop: kept[start:stop])
    with pytest.raises(TileError, match="fewer entries") as caught:
        export(log, tmp_path)
    assert caught.value.path == "tile/entries/001.p/44"
    assert not verify_export(tmp_path).ok


def test_an_entry_larger_than_an_entry_can_be_does_not_export(tmp_path: Path) -> None:
    with pytest.raises(TileError, match="larger"):
        export(Log([entry(0), b"x" * 4097]), tmp_path)


def test_an_export_cut_short_at_any_write_fails_verification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, log = tiles._write, Log.of(300)
    total = len(exported(log))
    for allowed in range(total):
        left = [allowed]

        def failing(path: Path, data: bytes, left: list[int] = left) -> None:
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(tiles, "_write", failing)
            with pytest.raises(OSError, match="No space"):
                export(log, tmp_path / str(allowed))
        report = verify_export(tmp_path / str(allowed))
        assert report.problem
        assert report.problem.path in {"vkey", "checkpoint"}


def test_a_folder_shows_links_and_pipes_and_reads_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to(tmp_path / "deep/er/file")
    (tmp_path / "linked").symlink_to(tmp_path / "deep")
    os.mkfifo(tmp_path / "pipe")
    folder = Folder(tmp_path)
    assert folder.paths() == {"deep/er/file", "link", "linked", "pipe"}
    assert folder.read("deep/er/file", 4) == b"1234"
    with pytest.raises(TileError, match="larger"):
        folder.read("deep/er/file", 3)
    for path in ("link", "pipe", "deep", "none"):
        with pytest.raises(TileError, match=f"{path}: missing"):
            folder.read(path, 4)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tile").mkdir()
    (tmp_path / "file").write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TileError, match="file: unreadable"):
        Folder(tmp_path).read("file", 1)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(TileError, match=r"\.: unreadable"):
        Folder(tmp_path).paths()
