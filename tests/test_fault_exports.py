"""An export that lost, gained or changed a file on its way: the command says which, ends with 1 and never raises."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from consent.log.tiles import export
from consent.log.verify import main
from tests.log_export import Log, exported

FILES = sorted(exported(Log.of(300, witnessed=True)))


def put(file: Path, link: str | None) -> None:
    """In the place of the file: a symbolic link, or a folder."""
    file.unlink()
    if link is None:
        file.mkdir()
    else:
        file.symlink_to(link)


def keep_elsewhere(file: Path) -> None:
    kept = file.parents[3] / "kept"
    shutil.move(file, kept)
    file.symlink_to(kept)


def cut(file: Path, part: int) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * part // 16])


WAYS: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "a folder": partial(put, link=None),
    "a link to what was there": keep_elsewhere,
    "a link to nothing": partial(put, link="nowhere"),
    "a link to itself": lambda file: put(file, file.name),
    **{f"cut after {part} of 16 parts": partial(cut, part=part) for part in range(16)},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "a" / "b" / "c" / "log"
    export(Log.of(300, witnessed=True), out)
    return out


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_what_it_was_is_named(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder)]) == 0
    capsys.readouterr()
    for way, spoil in WAYS.items():
        copy = tmp_path / "x" / "y" / "z" / way
        shutil.copytree(folder, copy)
        spoil(copy / name)
        assert main([str(copy)]) == 1, way
        told = capsys.readouterr()
        assert name in told.out.splitlines()[0], (way, told.out)
        assert told.err == ""


def test_a_file_too_many_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ("notes", "tile/0/001", "tile/2/000.p/1", "tile/entries/001.p/45", "checkpoint.old"):
        (folder / extra).parent.mkdir(parents=True, exist_ok=True)
        (folder / extra).write_bytes(b"")
        assert main([str(folder)]) == 1
        assert extra in capsys.readouterr().out.splitlines()[0]
        (folder / extra).unlink()
    assert main([str(folder)]) == 0
