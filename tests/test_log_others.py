"""Exports are judged by a verifier written by others, ``aics-tlog``: it accepts what is whole and refuses what is not.

It needs Python 3.12, so it lives in an environment of its own (``.tools/aics-tlog``), made on first use with any such
Python that is found; where there is none, or the package cannot be had, these tests are skipped.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consent.log.merkle import CompactRange, consistency_proof, inclusion_proof, leaf_hash, root_of
from consent.log.tiles import export
from tests.log_export import ORIGIN, OTHER_KEY, VKEY, WITNESS_VKEY, Log, entry, exported, flipped, flips

PACKAGE = "aics-tlog==0.2.1"
ROOT = Path(__file__).parent.parent
HOME = ROOT / ".tools" / "aics-tlog"


def pythons() -> Iterator[str]:
    yield sys.executable
    for name in ("python3.13", "python3.12", "python3"):
        yield from filter(None, [shutil.which(name)])
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/3.1[2-9]*/bin/python"), reverse=True))


def runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that can import the verifier of others."""
    python = HOME / "bin" / "python"
    if runs(python, "-c", "import aics_tlog"):
        return python
    found = next((p for p in pythons() if runs(p, "-c", "import sys; assert sys.version_info >= (3, 12)")), None)
    if found is None:
        pytest.skip("no Python 3.12 or later for aics-tlog")
    # Made aside and moved, so that two test processes at once do not make one between them.
    made = tmp_path_factory.mktemp("aics-tlog") / "made"
    if not (runs(found, "-m", "venv", made) and runs(made / "bin" / "python", "-m", "pip", "install", "-q", PACKAGE)):
        pytest.skip("aics-tlog cannot be installed here")
    HOME.parent.mkdir(exist_ok=True)
    with suppress(OSError):
        made.rename(HOME)
    return python if python.exists() else made / "bin" / "python"


def asked(python: Path, **question: Any) -> Any:
    command = [python, "-I", ROOT / "tests" / "others_verify.py"]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def verdicts(python: Path, folders: list[Path], **more: Any) -> list[str]:
    question = {"folders": list(map(str, folders)), "log": VKEY.text(), "witness": WITNESS_VKEY.text(), **more}
    found: list[str] = asked(python, **question)["verdicts"]
    return found


def written(files: dict[str, bytes], folder: Path) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_a_whole_export_is_accepted_with_every_earlier_head(size: int, others: Path, tmp_path: Path) -> None:
    export(Log.of(size, witnessed=True), tmp_path / "log")
    for before in {1, size // 2 or 1, size}:
        assert verdicts(others, [tmp_path / "log"], old=Log.of(before).checkpoint_text()) == ["ok"]


ENTRIES = [entry(index) for index in range(300)]
WHOLE = exported(Log(ENTRIES, witnessed=True))
TAMPERED = {
    "deleted": [*ENTRIES[:70], *ENTRIES[71:]],
    "inserted": [*ENTRIES[:70], entry(9999), *ENTRIES[70:]],
    "swapped": [*ENTRIES[:70], ENTRIES[280], *ENTRIES[71:280], ENTRIES[70], *ENTRIES[281:]],
    "duplicated": [*ENTRIES[:70], *ENTRIES[69:]],
    "replaced": [*ENTRIES[:70], entry(9999), *ENTRIES[71:]],
    "cut off": ENTRIES[:250],
}


def test_flipped_bits_are_refused_wherever_they_are(others: Path, tmp_path: Path) -> None:
    # ``vkey`` is not part of the C2SP layout: their key comes from elsewhere.
    every = [flip for flip in flips(WHOLE) if flip[0] != "vkey"]
    sample = [*every[:: len(every) // 250], *[flip for flip in every if flip[0] == "checkpoint"][::11]]
    folders = [written(flipped(WHOLE, *flip), tmp_path / str(n)) for n, flip in enumerate(sample)]
    accepted = [flip for flip, said in zip(sample, verdicts(others, folders), strict=True) if said == "ok"]
    assert accepted == []
    assert {path for path, _ in sample} == WHOLE.keys() - {"vkey"}


def test_missing_shortened_and_emptied_files_are_refused(others: Path, tmp_path: Path) -> None:
    broken = []
    for path in sorted(WHOLE.keys() - {"vkey"}):
        missing = {name: data for name, data in WHOLE.items() if name != path}
        # They read a note whose very last newline is missing; ours does not.
        broken += [missing, {**WHOLE, path: b""}, {**WHOLE, path: WHOLE[path][:-2]}]
    folders = [written(files, tmp_path / str(n)) for n, files in enumerate(broken)]
    assert "ok" not in verdicts(others, folders)


@pytest.mark.parametrize("how", TAMPERED)
def test_entries_changed_without_signing_again_are_refused(how: str, others: Path, tmp_path: Path) -> None:
    rebuilt = exported(Log(TAMPERED[how], witnessed=True)) | {"checkpoint": WHOLE["checkpoint"]}
    bundles = {path: data for path, data in exported(Log(TAMPERED[how])).items() if path.startswith("tile/entries/")}
    folders = [written(rebuilt, tmp_path / "rebuilt"), written({**WHOLE, **bundles}, tmp_path / "bundles")]
    said = verdicts(others, folders)
    # Cutting bundles at the end leaves a partial one of another width beside the right one: a stray file.
    assert said[0] != "ok"
    assert said[1] != "ok" or how == "cut off"


@pytest.mark.parametrize("how", TAMPERED)
def test_a_log_rewritten_with_its_own_key_is_refused_against_a_remembered_head(
    how: str, others: Path, tmp_path: Path
) -> None:
    folder = written(exported(Log(TAMPERED[how], witnessed=True)), tmp_path / "log")
    assert verdicts(others, [folder]) == ["ok"], "nothing in such an export is wrong by itself"
    assert verdicts(others, [folder], old=Log(ENTRIES).checkpoint_text()) != ["ok"]


def test_a_right_shape_by_the_wrong_key_or_without_its_witness_is_refused(others: Path, tmp_path: Path) -> None:
    forged = written(exported(Log(ENTRIES, key=OTHER_KEY, origin=ORIGIN, witnessed=True)), tmp_path / "forged")
    alone = written(exported(Log(ENTRIES)), tmp_path / "alone")
    assert "ok" not in verdicts(others, [forged, alone])


def test_roots_and_proofs_are_those_of_their_tree(others: Path) -> None:
    leaves = [f"leaf {n}" for n in range(70)]
    sizes = [1, 2, 3, 7, 8, 9, 31, 64, 70]
    theirs = asked(others, leaves=leaves, sizes=sizes)
    hashes = [leaf_hash(leaf.encode()) for leaf in leaves]

    def at(level: int, index: int) -> bytes:
        return root_of(hashes[index << level : (index + 1) << level])

    def texts(nodes: tuple[bytes, ...]) -> list[str]:
        return [base64.b64encode(node).decode() for node in nodes]

    assert theirs["roots"] == [base64.b64encode(CompactRange().extend(hashes[:n]).root).decode() for n in sizes]
    assert theirs["inclusion"] == {f"{i} {n}": texts(inclusion_proof(i, n, at)) for n in sizes for i in range(n)}
    assert theirs["consistency"] == {
        f"{m} {n}": texts(consistency_proof(m, n, at)) for n in sizes for m in range(1, n + 1)
    }
