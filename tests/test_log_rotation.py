"""A log that goes on under another key: who may sign what, and what a statement must hold."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.note import COSIGNATURE, Checkpoint, NoteError, Vkey, sign_checkpoint, sign_note
from consent.log.report import Report
from consent.log.rotation import EVENT, MARK, Rotation, Succession
from consent.log.verify import verify_files
from tests.log_export import KEY, ORIGIN, OTHER_KEY, VKEY, WITNESS_KEY, Log, Memory, blamed, entry, exported, flips

THIRD_KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
NEW, THIRD = Vkey.of(ORIGIN, OTHER_KEY), Vkey.of(ORIGIN, THIRD_KEY)
KEYS = {VKEY: KEY, NEW: OTHER_KEY, THIRD: THIRD_KEY}


def statement(index: int, old: Vkey = VKEY, new: Vkey = NEW, origin: str = ORIGIN) -> str:
    return Rotation(origin, index, old, new).sign(KEYS[old], KEYS[new])


def rotated(index: int, note: Any = None, event: str = EVENT, **names: Any) -> bytes:
    value = {"event": event, "n": index, "statement": note or statement(index, **names)}
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def log(size: int, rotations: dict[int, bytes], key: Ed25519PrivateKey) -> Memory:
    return exported(Log([rotations.get(index, entry(index)) for index in range(size)], key=key))


ONCE = {300: rotated(300)}
TWICE = {**ONCE, 400: rotated(400, old=NEW, new=THIRD)}


def said(report: Report) -> tuple[str, int | None]:
    assert report.problem is not None
    return report.problem.kind, report.problem.first


def head(size: int, rotations: dict[int, bytes], *keys: Ed25519PrivateKey) -> str:
    made = Log([rotations.get(index, entry(index)) for index in range(size)]).head
    notes = [sign_checkpoint(made, ORIGIN, key) for key in keys]
    return notes[0] + "".join(note.rpartition("\n\n")[2] for note in notes[1:])


def test_a_statement_is_read_back_and_its_entry_carries_the_mark() -> None:
    assert Rotation.open(statement(300)) == Rotation(ORIGIN, 300, VKEY, NEW)
    assert MARK in rotated(300)


def test_no_statement_is_a_checkpoint() -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(Rotation(ORIGIN, 300, VKEY, NEW).text())


def test_whoever_trusts_any_key_of_the_log_follows_it_to_the_key_that_signs_now() -> None:
    files = log(600, TWICE, THIRD_KEY)
    for trusted in ([VKEY], [NEW], [THIRD], []):
        report = verify_files(files, trusted)
        assert (report.ok, report.trusted, report.signers) == (True, bool(trusted), (THIRD.label(),))
        assert report.rotations == ((300, VKEY.label(), NEW.label()), (400, NEW.label(), THIRD.label()))
    assert f"key changed at entry 300: {VKEY.label()} to {NEW.label()}\n" in report.text()
    assert json.loads(report.as_json())["rotations"][0] == {"entry": 300, "old": VKEY.label(), "new": NEW.label()}
    stranger = Vkey.of(ORIGIN, Ed25519PrivateKey.generate())
    assert "no trusted key" in verify_files(files, [stranger]).text()


def test_the_old_key_is_refused_from_its_rotation_on() -> None:
    report = verify_files(log(600, ONCE, KEY), [VKEY])
    assert said(report) == ("checkpoint", None)
    assert f"signed by {VKEY.label()}, a key that was replaced at entry 300" in report.text()
    assert verify_files(log(300, {}, KEY), [VKEY]).ok
    assert not verify_files(log(301, ONCE, KEY), [VKEY]).ok
    assert verify_files(log(301, ONCE, OTHER_KEY), [VKEY]).ok
    # Signing beside the new key is signing too.
    both = log(600, ONCE, OTHER_KEY)
    both["checkpoint"] = head(600, ONCE, OTHER_KEY, KEY).encode()
    both["vkey"] = f"{NEW.text()}\n{VKEY.text()}\n".encode()
    assert said(verify_files(both, [NEW])) == ("checkpoint", None)


def test_a_key_that_no_rotation_named_does_not_sign_a_log_that_rotated() -> None:
    report = verify_files(log(600, ONCE, THIRD_KEY), [THIRD])
    assert f"not signed by {NEW.label()}" in report.text()


@pytest.mark.parametrize("trusted", [[], [VKEY], [NEW]])
def test_a_remembered_head_is_good_when_the_key_of_its_time_signed_it(trusted: list[Vkey]) -> None:
    files = log(600, ONCE, OTHER_KEY)
    assert verify_files(files, trusted, head(200, ONCE, KEY)).ok
    assert verify_files(files, trusted, head(300, ONCE, KEY)).ok
    assert verify_files(files, trusted, head(301, ONCE, OTHER_KEY)).ok
    late = verify_files(files, trusted, head(301, ONCE, KEY))
    assert said(late) == ("history", None)
    assert "a key that was replaced at entry 300" in late.text()
    assert len(late.heads) == 2


ONE = statement(300)
BENT = {
    "of another index": statement(299),
    "of another log": statement(300, origin="other.example"),
    "signed by the old key alone": sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text(), ORIGIN, KEY),
    "signed by the new key alone": sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text(), ORIGIN, OTHER_KEY),
    "signed in the other order": ""
    + sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text(), ORIGIN, OTHER_KEY)
    + sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text(), ORIGIN, KEY).rpartition("\n\n")[2],
    "signed three times": ONE + ONE.rpartition("\n\n")[2].split("\n")[0] + "\n",
    "to itself": Rotation(ORIGIN, 300, VKEY, VKEY).sign(KEY, KEY),
    "to a witness": Rotation(ORIGIN, 300, VKEY, Vkey.of(ORIGIN, OTHER_KEY, COSIGNATURE)).sign(KEY, OTHER_KEY),
    "with another header": sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text().replace("/v1", "/v2"), ORIGIN, KEY),
    "with a line more": sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text() + "more\n", ORIGIN, KEY),
    "with another number": sign_note(Rotation(ORIGIN, 300, VKEY, NEW).text().replace("300", "0300"), ORIGIN, KEY),
    "not a note": "nonsense",
    "not text": 7,
}


@pytest.mark.parametrize("how", BENT)
def test_a_statement_that_does_not_hold_is_named_by_its_entry(how: str) -> None:
    report = verify_files(log(600, {300: rotated(300, BENT[how])}, OTHER_KEY), [NEW])
    assert said(report) == ("entry", 300)


def test_a_chain_never_forks_and_never_goes_back() -> None:
    for bad in (rotated(400, old=VKEY, new=THIRD), rotated(400, old=NEW, new=VKEY)):
        for key in KEYS.values():
            assert said(verify_files(log(600, {**ONCE, 400: bad}, key))) == ("entry", 400)


def test_an_entry_that_only_mentions_the_event_is_no_rotation() -> None:
    inner = {"event": "other", "n": 1, "statement": {"event": EVENT, "statement": "x"}}
    mention = json.dumps(inner, sort_keys=True, separators=(",", ":")).encode()
    assert MARK in mention
    assert verify_files(log(600, {300: mention}, KEY), [VKEY]).ok
    empty = Succession()
    empty.add(300, mention)
    assert (empty.last, empty.keys, empty.limit(VKEY), empty.ended(ORIGIN)) == (None, (), None, None)


SECOND = "second.example.test/invented"
RESUMED, RESUMED_NEW = (Vkey.of(SECOND, key) for key in (KEY, OTHER_KEY))
KEYS |= {RESUMED: KEY, RESUMED_NEW: OTHER_KEY}
FOURTH = Vkey.of(ORIGIN, WITNESS_KEY)
KEYS |= {FOURTH: WITNESS_KEY} | {Vkey.of(name, THIRD_KEY): THIRD_KEY for name in (SECOND, "third.example")}


def resumed(index: int, old: Vkey, new: Vkey) -> bytes:
    return rotated(index, old=old, new=new, origin=old.name)


def second(size: int, rotations: dict[int, bytes], key: Ed25519PrivateKey = KEY, origin: str = SECOND) -> Memory:
    return exported(Log([rotations.get(at, entry(at)) for at in range(size)], key=key, origin=origin))


CHANGED = {300: rotated(300), 400: resumed(400, NEW, RESUMED_NEW)}


def test_a_log_that_changed_its_key_goes_on_under_another_name_and_any_key_of_the_chain_leads_there() -> None:
    files = second(600, CHANGED, OTHER_KEY)
    for trusted in ([VKEY], [NEW], [RESUMED_NEW], []):
        report = verify_files(files, trusted)
        assert (report.ok, report.signers) == (True, (RESUMED_NEW.label(),))
        assert report.rotations[1] == (400, NEW.label(), RESUMED_NEW.label())
    again = {**CHANGED, 500: rotated(500, old=RESUMED_NEW, new=Vkey.of(SECOND, THIRD_KEY), origin=SECOND)}
    assert verify_files(second(600, again, THIRD_KEY), [VKEY]).ok
    assert verify_files(second(1, {0: resumed(0, VKEY, RESUMED)}), [VKEY]).ok


def test_a_remembered_head_of_the_old_name_is_good_as_far_as_the_log_went_on() -> None:
    files = second(600, CHANGED, OTHER_KEY)
    for trusted in ([], [VKEY], [RESUMED_NEW]):
        assert verify_files(files, trusted, head(200, CHANGED, KEY)).ok
        assert verify_files(files, trusted, head(400, CHANGED, OTHER_KEY)).ok
    late = verify_files(files, [VKEY], head(401, {300: rotated(300)}, OTHER_KEY))
    assert said(late) == ("history", None)
    assert "remembered with 401 entries and went on under another name with 400" in late.text()
    other = sign_checkpoint(Checkpoint("third.example", 1, bytes(32)), ORIGIN, KEY)
    assert "of another log" in verify_files(files, [VKEY], other).text()


def test_where_the_change_of_the_key_was_lost_with_the_database_only_the_newer_keys_lead_on() -> None:
    lost = {100: rotated(100, old=THIRD, new=VKEY), 400: resumed(400, NEW, RESUMED_NEW)}
    files = second(600, lost, OTHER_KEY)
    assert verify_files(files).ok
    for trusted, good in ((NEW, True), (RESUMED_NEW, True), (VKEY, False), (THIRD, False)):
        assert verify_files(files, [trusted]).ok == good
    # Without a new name a key that nothing led to takes over nothing.
    unled = {100: lost[100], 400: rotated(400, old=NEW, new=FOURTH)}
    assert said(verify_files(log(600, unled, KEYS[FOURTH]))) == ("entry", 400)


def test_a_head_of_another_name_than_the_log_went_on_under_is_refused() -> None:
    for files in (
        second(600, CHANGED, OTHER_KEY, ORIGIN),
        second(600, CHANGED, OTHER_KEY, "third.example"),
        second(600, ONCE, OTHER_KEY),
        second(600, {400: resumed(400, VKEY, RESUMED)}, OTHER_KEY),
    ):
        assert said(verify_files(files)) == ("checkpoint", None)


@pytest.mark.parametrize(
    "bad",
    [
        rotated(500, old=NEW, new=THIRD),
        resumed(500, NEW, Vkey.of("third.example", THIRD_KEY)),
        rotated(500, old=RESUMED_NEW, new=RESUMED, origin=SECOND),
        rotated(500, old=RESUMED_NEW, new=RESUMED, origin=ORIGIN),
        rotated(500, old=VKEY, new=Vkey.of(SECOND, THIRD_KEY), origin=SECOND),
    ],
    ids=[
        "under the old name",
        "from the old name again",
        "to a replaced key",
        "of a foreign name",
        "from another name",
    ],
)
def test_after_it_went_on_nothing_of_the_old_name_or_of_a_replaced_key_is_accepted(bad: bytes) -> None:
    assert said(verify_files(second(600, {**CHANGED, 500: bad}, OTHER_KEY))) == ("entry", 500)


def test_every_flipped_bit_of_a_rotation_entry_is_found_and_named() -> None:
    files = log(20, {3: rotated(3)}, OTHER_KEY)
    every = [flip for flip in flips(files) if flip[0] == "tile/entries/000.p/20"]
    assert len(every) > 5000
    assert [flip for flip in every if not blamed(files, *flip)] == []
