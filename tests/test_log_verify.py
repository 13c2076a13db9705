"""The stand-alone verifier: whatever is changed in an export, it says so and names what is wrong."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import consent
from consent.log.merkle import leaf_hash
from consent.log.note import COSIGNATURE, Checkpoint, Vkey, sign_checkpoint
from consent.log.report import Report
from consent.log.tiles import bundle, export
from consent.log.verify import main, verify_export, verify_files
from tests.log_export import (
    COSIGNED_AT,
    KEY,
    ORIGIN,
    OTHER_KEY,
    VKEY,
    WITNESS_VKEY,
    Log,
    Memory,
    blamed,
    entry,
    exported,
    flipped,
    flips,
    share_what_a_flip_leaves,
)

SIXTY = exported(Log.of(60))
WITNESSED = exported(Log.of(60, witnessed=True))
LARGE = exported(Log.of(600))
STRANGER = Vkey.of(ORIGIN, OTHER_KEY)


def problem(report: Report) -> tuple[str, str, int | None, int | None]:
    assert report.problem is not None
    return report.problem.kind, report.problem.path, report.problem.first, report.problem.last


def changed(files: Memory, **changes: bytes) -> Memory:
    return Memory({**files, **changes})


def signed(log: Log, name: str = ORIGIN) -> str:
    return sign_checkpoint(log.head, name, log.key)


def test_an_export_with_nothing_in_it_is_refused() -> None:
    assert problem(verify_files(Memory())) == ("file", "vkey", None, None)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 600])
def test_an_untouched_export_is_intact_and_trusted_only_with_a_key_from_elsewhere(size: int) -> None:
    files = exported(Log.of(size))
    report = verify_files(files)
    assert report.text() == f"intact up to entry {size - 1}\nconsistent, signer not trusted\n"
    assert (report.ok, report.trusted, report.intact) == (True, False, size)
    report = verify_files(files, [STRANGER, VKEY])
    assert report.text() == f"intact up to entry {size - 1}\nsigned by {VKEY.label()}\n"
    assert report.trusted


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_of_a_small_export_is_found_and_blamed_on_what_it_hit(bit: int) -> None:
    every = [flip for flip in flips(SIXTY) if flip[1] % 8 == bit]
    assert len(every) == sum(map(len, SIXTY.values()))
    assert [flip for flip in every if not blamed(SIXTY, *flip)] == []


def test_flipped_bits_all_over_a_larger_export_are_found_and_blamed_on_what_they_hit() -> None:
    assert [flip for flip in list(flips(LARGE))[::1283] if not blamed(LARGE, *flip)] == []


def test_what_the_long_run_of_flips_shares_between_them_changes_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [flipped(LARGE, *flip) for flip in list(flips(LARGE))[::12503]]
    alone = [verify_files(one) for one in some]
    share_what_a_flip_leaves(monkeypatch.setattr)
    assert [verify_files(one) for one in some] == alone


@pytest.mark.parametrize("path", sorted(LARGE))
def test_a_missing_emptied_shortened_or_lengthened_file_is_named(path: str) -> None:
    data = LARGE[path]
    missing = Memory(LARGE)
    del missing[path]
    assert problem(verify_files(missing)) == ("file", path, None, None)
    for bad in (b"", data[: len(data) // 2], data[:-1], data + b"\n", data + b"\x00", data + data[-32:]):
        assert problem(verify_files(changed(LARGE, **{path: bad})))[1] == path


def test_a_file_that_does_not_belong_is_named() -> None:
    for extra in ("notes.txt", "tile/0/000.p/60", "tile/entries/003", "tile/3/000"):
        report = verify_files(changed(LARGE, **{extra: b""}))
        assert problem(report) == ("file", extra, None, None)


def test_a_checkpoint_not_signed_by_a_trusted_key_is_refused() -> None:
    assert problem(verify_files(SIXTY, [STRANGER]))[:2] == ("checkpoint", "checkpoint")


def test_the_exported_keys_are_exactly_those_that_signed() -> None:
    line = SIXTY["vkey"]
    stranger = STRANGER.text().encode() + b"\n"
    for keys in (line + stranger, stranger + line, line + line, stranger):
        assert problem(verify_files(changed(SIXTY, vkey=keys)))[:2] == ("checkpoint", "checkpoint")
    for keys in (b"\n", b"\xff\n", line[:-1], line + b"\n", line.replace(b"\n", b"\r\n")):
        assert problem(verify_files(changed(SIXTY, vkey=keys)))[:2] == ("vkey", "vkey")
    note = SIXTY["checkpoint"]
    twice = note + note.split(b"\n\n")[1]
    assert not verify_files(changed(SIXTY, checkpoint=twice)).ok
    assert not verify_files(changed(SIXTY, checkpoint=twice, vkey=line + line)).ok
    assert problem(verify_files(changed(SIXTY, checkpoint=note + b"\xff")))[0] == "checkpoint"


def test_two_keys_may_sign_when_both_are_exported_in_that_order() -> None:
    log = Log.of(60)
    second = sign_checkpoint(log.head, "second.example", OTHER_KEY).split("\n\n")[1]
    files = changed(SIXTY, checkpoint=(log.checkpoint_text() + second).encode())
    keys = [VKEY.text(), Vkey.of("second.example", OTHER_KEY).text()]
    assert verify_files(changed(files, vkey="".join(f"{k}\n" for k in keys).encode())).ok
    assert not verify_files(changed(files, vkey="".join(f"{k}\n" for k in reversed(keys)).encode())).ok
    assert not verify_files(files).ok


def test_every_flipped_bit_of_the_head_that_a_witness_signed_too_is_found() -> None:
    every = [flip for flip in flips(WITNESSED) if flip[0] in ("checkpoint", "vkey")]
    assert len(every) > 8 * 500
    assert [flip for flip in every if not blamed(WITNESSED, *flip)] == []


def test_a_known_witness_is_named_with_its_time_and_one_that_did_not_sign_is_missed() -> None:
    report = verify_files(WITNESSED, [VKEY], None, [WITNESS_VKEY])
    assert report.cosigners == ((WITNESS_VKEY.label(), COSIGNED_AT),)
    assert report.text().endswith(
        f"signed by {VKEY.label()}\nco-signed by {WITNESS_VKEY.label()} at 2026-11-24T06:00:00Z\n"
    )
    assert json.loads(report.as_json())["cosigners"] == [{"name": WITNESS_VKEY.label(), "time": COSIGNED_AT}]
    assert verify_files(WITNESSED, [VKEY]).cosigners == (), "a witness that nobody vouches for is not reported"
    for files, witness in ((SIXTY, WITNESS_VKEY), (WITNESSED, Vkey.of("other.example", OTHER_KEY, COSIGNATURE))):
        report = verify_files(files, [VKEY], None, [witness])
        assert problem(report)[:2] == ("checkpoint", "checkpoint")
        assert "no known witness" in report.text()


def test_a_witness_alone_does_not_make_a_signed_head() -> None:
    note = WITNESSED["checkpoint"].decode().split("\n")
    alone = "\n".join([*note[:4], *note[5:]]).encode()
    report = verify_files(changed(WITNESSED, checkpoint=alone, vkey=WITNESS_VKEY.text().encode() + b"\n"))
    assert "signed by witnesses alone" in report.text()
    assert not verify_files(changed(WITNESSED, checkpoint=alone)).ok
    assert not verify_files(changed(WITNESSED, vkey=SIXTY["vkey"])).ok


def test_a_time_beyond_the_calendar_is_shown_as_a_number() -> None:
    text = Report(None, intact=1, cosigners=(("w", 2**62),)).text()
    assert f"co-signed by w at {2**62} s\n" in text


ENTRIES = [entry(index) for index in range(600)]
TAMPERED = {
    "deleted": ENTRIES[:70] + ENTRIES[71:],
    "inserted": [*ENTRIES[:70], entry(9999), *ENTRIES[70:]],
    "swapped": [*ENTRIES[:70], ENTRIES[300], *ENTRIES[71:300], ENTRIES[70], *ENTRIES[301:]],
    "duplicated": ENTRIES[:70] + ENTRIES[69:],
    "replaced": [*ENTRIES[:70], entry(9999), *ENTRIES[71:]],
}
CUT = ENTRIES[:500]


@pytest.mark.parametrize("how", TAMPERED)
def test_entries_changed_in_the_bundles_alone_are_named(how: str) -> None:
    files = changed(LARGE)
    for start, name in ((0, "000"), (256, "001"), (512, "002.p/88")):
        files[f"tile/entries/{name}"] = bundle(TAMPERED[how][start : start + 256])
    report = verify_files(files)
    assert problem(report) == ("entry", "tile/entries/000", 70, 70)
    assert report.intact == 70
    assert "entry 70: does not give its hash in tile/0/000" in report.text()
    assert "vouches for entries 0 to 69" in report.text()


@pytest.mark.parametrize("how", TAMPERED)
def test_a_log_rebuilt_without_signing_again_does_not_match_its_checkpoint(how: str) -> None:
    files = exported(Log(TAMPERED[how]))
    files["checkpoint"] = LARGE["checkpoint"]
    assert not verify_files(files).ok


@pytest.mark.parametrize("how", [*TAMPERED, "cut"])
def test_a_log_rewritten_with_the_same_key_is_betrayed_by_a_remembered_checkpoint(how: str) -> None:
    log = Log(TAMPERED.get(how, CUT))
    files = exported(log)
    assert verify_files(files, [VKEY]).ok, "nothing in such an export is wrong by itself"
    old = signed(Log(ENTRIES))
    report = verify_files(files, [VKEY], old)
    assert problem(report)[0] == "history"
    assert report.heads == (old, log.checkpoint_text())
    for head in report.heads:
        assert all(line in report.text() for line in head.split("\n"))
    # An old head from before the change proves nothing against it.
    assert verify_files(files, [VKEY], signed(Log(ENTRIES[:69]))).ok


def test_a_log_put_back_to_an_older_state_is_betrayed_by_a_newer_checkpoint() -> None:
    report = verify_files(SIXTY, [VKEY], signed(Log.of(600)))
    assert "remembered with 600 entries and has 60" in report.text()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 513, 599, 600])
def test_every_earlier_head_is_the_head_of_a_prefix(size: int) -> None:
    assert verify_files(LARGE, [VKEY], signed(Log.of(size))).ok
    assert verify_files(LARGE, (), signed(Log.of(size))).ok
    wrong = Log(ENTRIES[:size])
    wrong.head = Checkpoint(ORIGIN, size, bytes(32))
    assert "rewritten" in verify_files(LARGE, [VKEY], signed(wrong)).text()


def test_a_remembered_checkpoint_of_another_log_or_by_another_key_is_refused() -> None:
    other = Log(ENTRIES[:60], origin="other.example")
    report = verify_files(LARGE, [VKEY], signed(other))
    assert "of another log" in report.text()
    forged = Log(ENTRIES[:60], key=OTHER_KEY)
    for keys in ([VKEY], []):
        report = verify_files(LARGE, keys, signed(forged))
        assert problem(report)[0] == "history"
        assert "no known key" in report.text()
    assert problem(verify_files(LARGE, [VKEY], "nonsense"))[0] == "history"


def test_an_entry_and_its_hash_changed_together_are_found_one_level_up() -> None:
    files = exported(Log([entry(9999), *ENTRIES[1:]]))
    kept = changed(LARGE, **{path: files[path] for path in ("tile/0/000", "tile/entries/000")})
    assert problem(verify_files(kept)) == ("tile", "tile/1/000.p/2", 0, 511)
    small = exported(Log([entry(9999), *ENTRIES[1:60]]))
    small["checkpoint"] = SIXTY["checkpoint"]
    report = verify_files(small)
    assert problem(report) == ("checkpoint", "checkpoint", None, None)
    assert report.intact == 0


def test_where_the_signed_root_vouches_for_neither_both_are_named() -> None:
    tile = bytearray(LARGE["tile/0/001"])
    tile[0] ^= 1
    files = changed(LARGE, **{"tile/0/001": bytes(tile)})
    files["tile/entries/000"] = bundle([*ENTRIES[:255], entry(9999)])
    report = verify_files(files)
    assert problem(report) == ("entry", "tile/entries/000", 255, 255)
    assert "does not give its hash in tile/0/000, and the signed root vouches for neither" in report.text()


def test_stored_hashes_that_are_not_those_of_the_entries_export_and_are_found() -> None:
    log = Log(ENTRIES[:60], [leaf_hash(e) for e in ENTRIES[:59]] + [bytes(32)])
    assert problem(verify_files(exported(log))) == ("entry", "tile/entries/000.p/60", 59, 59)
    log.head = Log.of(60).head
    assert problem(verify_files(exported(log))) == ("tile", "tile/0/000.p/60", 0, 59)


def test_a_signed_entry_in_a_form_that_is_not_canonical_is_named() -> None:
    log = Log([*ENTRIES[:400], b'{"n": 400}', b"not json either", *ENTRIES[402:]])
    report = verify_files(exported(log))
    assert problem(report) == ("entry", "tile/entries/001", 400, 400)
    assert "not in canonical form" in report.text()
    assert not verify_files(exported(Log([b'{"n": 0}']))).ok


def test_a_checkpoint_that_claims_a_giant_log_is_refused_at_its_first_missing_file() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 2**62, bytes(32)), ORIGIN, KEY)
    assert problem(verify_files(changed(SIXTY, checkpoint=note.encode()))) == ("file", "tile/entries/000", None, None)


def test_an_empty_log_has_the_empty_root() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), ORIGIN, KEY)
    assert problem(verify_files(changed(exported(Log([])), checkpoint=note.encode())))[0] == "checkpoint"
    assert verify_files(exported(Log([])), [VKEY], signed(Log([]))).ok


def test_nothing_in_a_report_can_drive_a_terminal() -> None:
    report = verify_files(changed(SIXTY, **{"\x1b[2J\n\u202e\udcff": b""}))
    assert r"\x1b[2J\n\u202e\udcff" in report.text()
    assert json.loads(report.as_json())["problem"]["path"] == "\x1b[2J\n\u202e\udcff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(Log.of(60), tmp_path / "export")
    export(Log.of(60, witnessed=True), tmp_path / "witnessed")
    (tmp_path / "vkey").write_text(VKEY.text() + "\n")
    (tmp_path / "witness").write_text(WITNESS_VKEY.text() + "\n")
    (tmp_path / "old").write_text(signed(Log.of(20)))
    return tmp_path


def test_the_command_exits_0_when_intact_and_1_when_broken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_ = str(folder / "export")
    assert main([export_]) == 0
    assert capsys.readouterr().out == "intact up to entry 59\nconsistent, signer not trusted\n"
    assert main([export_, "--vkey", str(folder / "vkey"), "--checkpoint", str(folder / "old"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "ok": True,
        "trusted": True,
        "signers": [VKEY.label()],
        "cosigners": [],
        "rotations": [],
        "origin": ORIGIN,
        "size": 60,
        "root": Log.of(60).head.root.hex(),
        "intact": 60,
        "problem": None,
        "heads": [],
        "stamped": [],
    }
    witnessed = [str(folder / "witnessed"), "--witness", str(folder / "witness")]
    assert main(witnessed) == 0
    assert f"co-signed by {WITNESS_VKEY.label()} at" in capsys.readouterr().out
    assert main([export_, *witnessed[1:]]) == 1
    assert "no known witness" in capsys.readouterr().out
    (folder / "export/tile/0/000.p/60").unlink()
    assert main([export_]) == 1
    assert capsys.readouterr().out == "broken: tile/0/000.p/60: missing, or not a regular file\n"
    assert main([export_, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problem"]["kind"] == "file"
    (folder / "export/vkey").unlink()
    assert main([export_, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["root"] is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required"),
        (["none"], "DIR is not a folder"),
        (["vkey"], "DIR is not a folder"),
        (["export", "--vkey", "none"], "--vkey: not readable"),
        (["export", "--vkey", "old"], "--vkey: a verifier key is NAME"),
        (["export", "--vkey", "witness"], "--vkey: keys of logs belong to --vkey"),
        (["export", "--witness", "vkey"], "--witness: keys of logs belong to --vkey"),
        (["export", "--checkpoint", "none"], "--checkpoint: not readable"),
        (["export", "--checkpoint", "vkey"], "--checkpoint: not a signed checkpoint"),
        (["export", "--checkpoint", "export/tile/0/000.p/60"], "--checkpoint: not a signed checkpoint"),
    ],
)
def test_wrong_use_exits_2_and_says_why(
    arguments: list[str],
    complaint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err


def test_it_runs_alone_with_nothing_of_ours_but_its_own_folder(folder: Path) -> None:
    ours = Path(consent.__file__).parent
    shutil.copytree(ours / "log", folder / "alone/consent/log")
    shutil.copy(ours / "__init__.py", folder / "alone/consent")
    (folder / "export/信\n桥").write_bytes(b"")
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [sys.executable, "-m", "consent.log.verify", str(folder / "export")],
            cwd=folder / "alone",
            env={"PYTHONIOENCODING": encoding, "PATH": os.defpath},
            capture_output=True,
            check=False,
        )
        name = "信\\n桥" if encoding == "utf-8" else r"\u4fe1\n\u6865"
        verdict = f"broken: {name}: does not belong to this export\nthe signed root vouches for entries 0 to 59\n"
        assert (done.returncode, done.stdout.decode(), done.stderr) == (1, verdict, b"")


def test_it_is_a_module_to_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["verify", str(folder / "export")])
    monkeypatch.delitem(sys.modules, "consent.log.verify")
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("consent.log.verify", run_name="__main__")
    assert exit_.value.code == 0


def test_a_folder_that_cannot_be_listed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert problem(verify_export(folder / "export")) == ("file", ".", None, None)
