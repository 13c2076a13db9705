"""Destroying a subject's data: gone from every file, proven all the same, and nobody else touched."""

import asyncio
import hashlib
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from consent.consents import ChangeConsent, GrantConsent
from consent.epochs import BeginEpoch
from consent.evidence import Evidence
from consent.holds import PlaceHold, ReleaseHold
from consent.keeper import EPOCH
from consent.log.bundle import verify_bundle
from consent.log.commitment import commit
from consent.log.note import Vkey
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.permits import CloseFailed, Permit
from consent.profiles import IssueProfile, Outcome, SealedSource, profile_entry, reply_name
from consent.requests import OpenRequest
from consent.retention import Rule, Rules, ShredDue
from consent.safe import Safe, Tombstone, WrappedKey
from consent.shredding import PENDING, SHREDDED, Reason, Shred
from consent.vault import RetentionClass, Sealed, Vault
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import (
    ConfigurationError,
    ConsentConflict,
    ConsentMissing,
    InvalidValue,
    KeysUnavailable,
    LogBehind,
    NotFound,
    UnderHold,
)
from tests.consent_world import (
    KEK,
    LENDER,
    PAGE_TEXT,
    PSEUDONYM_KEY,
    Clock,
    Keks,
    ask,
    grant,
    person,
    safe_of,
    uscc,
    world,
)

BASIS = "个人信息保护法第47条"
CANARIES = [f"canary-{n:02}-虚构" for n in range(40)]
SUBJECTS = [Vault(Keks(KEK), PSEUDONYM_KEY).pseudonym(uscc(n)) for n in range(2)]


async def issue(evidence: Evidence, permit: Permit, profile: str, text: str) -> None:
    payload = text.encode()
    name = reply_name("sh-hrss", "social_insurance")
    commitment = permit.key.commitment(profile_entry(profile, 1), name, hashlib.sha256(payload).digest())
    source = SealedSource("sh-hrss", "social_insurance", payload)
    outcome = Outcome("sh-hrss", "social_insurance", "present", None, commitment)
    await evidence.submit(IssueProfile(permit.id, profile, 1, payload, (source,), (outcome,)))


async def told(evidence: Evidence) -> None:
    """A consent, a permit and a profile each of two firms; the first firm's are full of canaries."""
    texts = [orjson.dumps(CANARIES).decode(), "of the other"]
    for n, text in enumerate(texts):
        await evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))
        await issue(evidence, await evidence.submit(ask(f"m{n}", f"c{n}", n)), f"p{n}", text)


async def shred(evidence: Evidence, n: int = 0, *, now: bool = False) -> str:
    return (await evidence.keeper.shred(uscc(n), Reason.WITHDRAWN, BASIS, now=now)).state


def raw(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def secrets_of(path: Path, n: int) -> list[bytes]:
    """The unwrapped payload key of a firm, and the key-encryption key."""
    with closing(sqlite3.connect(path)) as database:
        row = database.execute(
            "SELECT version, epoch, wrapped FROM subject_keys WHERE subject = ? AND class = 'payload'", (SUBJECTS[n],)
        ).fetchone()
    vault = Vault(safe_of(path), PSEUDONYM_KEY)
    return [vault.secret(SUBJECTS[n], RetentionClass.PAYLOAD, *row), row[2]]


def backup(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))


def restore(copy: Path, path: Path) -> None:
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    shutil.copy(copy, path)


async def intact(evidence: Evidence, folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    await asyncio.to_thread(export, evidence.log_source(), folder)
    report = verify_export(folder, [Vkey.parse(evidence.vkey)])
    return report.ok and report.trusted and await evidence.audit() == []


async def test_what_was_shredded_is_gone_from_every_file_and_the_log_and_everybody_else_are_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
        keys = secrets_of(path, 0)
        before = raw(tmp_path)
        # The scanner works: it finds what must be there, and nothing of what is sealed.
        assert KEK.hex().encode() in before
        assert keys[1] in before
        assert not [c for c in CANARIES if c.encode() in before]
        assert await shred(evidence) == PENDING
        gone = await evidence.profile("p0")
        assert gone is not None
        assert (gone.jws, gone.shredded) == (b"", PENDING)
        assert await evidence.keeper.next_epoch() == 2
        ended = await evidence.profile("p0")
        assert ended is not None
        assert ended.shredded == SHREDDED
        kept = await evidence.profile("p1")
        assert kept is not None
        assert (kept.jws, kept.shredded) == (b"of the other", None)
        assert (await evidence.consent("c0")) is not None
        assert await intact(evidence, tmp_path / "out")
    after = raw(tmp_path)
    hidden = [keys[0], keys[0].hex().encode(), keys[1].hex().encode(), KEK, KEK.hex().encode()]
    assert [n for n, one in enumerate([*hidden, *(c.encode() for c in CANARIES)]) if one in after] == []
    with closing(sqlite3.connect(path)) as database:
        wrapped = database.execute("SELECT wrapped FROM subject_keys WHERE subject = ?", (SUBJECTS[0],)).fetchall()
    assert sorted(len(one[0]) > 0 for one in wrapped) == [False, True]


async def test_the_scanner_finds_the_canaries_where_nothing_seals_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "consent.vault.SubjectKey.seal", lambda key, table, row, payload: Sealed(key.version, bytes(12), payload)
    )
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(0), LENDER, "c0"))
        await issue(evidence, await evidence.submit(ask("m0", "c0")), "p0", orjson.dumps(CANARIES).decode())
        found = raw(tmp_path)
        assert [c for c in CANARIES if c.encode() in found] == CANARIES


@pytest.mark.parametrize("ended", [False, True])
async def test_a_backup_from_before_the_shredding_is_resumed_without_what_was_destroyed(
    tmp_path: Path, ended: bool
) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
        backup(path, tmp_path / "backup")
        await shred(evidence, now=ended)
        old = await evidence.checkpoint()
    restore(tmp_path / "backup", path)
    with pytest.raises(LogBehind):
        async with world(path):
            pass
    with pytest.raises(ConfigurationError):
        async with world(path, resume=True):
            pass
    async with world(path, origin="xinqiao.test/second", resume=True) as evidence:
        gone, kept = await evidence.profile("p0"), await evidence.profile("p1")
        assert gone is not None
        assert gone.jws == b""
        assert gone.shredded
        assert kept is not None
        assert kept.jws == b"of the other"
        entries = [orjson.loads(e.entry) for e in await evidence.entries(0, evidence.size)]
        resumed, shredded = [e for e in entries if e["event"] in ("log.resumed", "subject.shredded")]
        assert resumed["checkpoint"] == old
        assert (shredded["reason"], shredded["basis"]) == ("withdrawn", BASIS)
        assert await intact(evidence, tmp_path / "out")
        await evidence.submit(ask("m9", "c1", 1))
    async with world(path, origin="xinqiao.test/second") as evidence:
        assert evidence.writable


async def test_a_database_that_was_deleted_begins_no_second_log_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
    for beside in ("", "-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    with pytest.raises(LogBehind):
        async with world(path):
            pass
    async with world(path, origin="xinqiao.test/second", resume=True) as evidence:
        events = [orjson.loads(one.entry)["event"] for one in await evidence.entries(0, 9)]
        assert events == ["log.rekeyed", "log.resumed"]


async def test_a_shredding_whose_commit_failed_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
        monkeypatch.setattr("consent.ledger.Page.write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await shred(evidence)
        monkeypatch.undo()
        kept = await evidence.profile("p0")
        assert kept is not None
        assert kept.jws
    async with world(path) as evidence:
        gone = await evidence.profile("p0")
        assert gone is not None
        assert gone.shredded == PENDING
        assert await evidence.audit() == []


async def test_where_no_tombstone_can_be_kept_nothing_is_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
        (safe_of(path).folder / "anchor" / "tombstones").mkdir()
        with pytest.raises(KeysUnavailable):
            await shred(evidence)
        kept = await evidence.profile("p0")
        assert kept is not None
        assert kept.jws


async def test_a_permit_that_was_open_is_closed_and_a_new_one_has_a_new_key(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(0), LENDER, "c0"))
        permit = await evidence.submit(ask("m0", "c0"))
        await shred(evidence)
        with pytest.raises(ConsentConflict):
            await issue(evidence, permit, "p0", "too late")
        again = await evidence.submit(ask("m1", "c0"))
        assert again.key.version == 2
        await issue(evidence, again, "p1", "anew")
        kept = await evidence.profile("p1")
        assert kept is not None
        assert kept.jws == b"anew"
        assert await evidence.audit() == []
        await shred(evidence, now=True)
        assert await evidence.audit() == []


async def test_under_a_hold_nothing_of_the_enterprise_is_destroyed(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await told(evidence)
        with pytest.raises(ConsentMissing):
            await evidence.submit(PlaceHold("none", "operator", "x"))
        with pytest.raises(ConsentMissing):
            await evidence.submit(ReleaseHold("none", "operator"))
        await evidence.submit(PlaceHold("c0", "operator", "虚构案件 canary-reason"))
        with pytest.raises(ConsentConflict):
            await evidence.submit(PlaceHold("c0", "operator", "again"))
        assert b"canary-reason" not in raw(tmp_path)
        with pytest.raises(UnderHold):
            await shred(evidence)
        assert await evidence.audit() == []
        await evidence.submit(ReleaseHold("c0", "operator"))
        with pytest.raises(ConsentConflict):
            await evidence.submit(ReleaseHold("c0", "operator"))
        assert await shred(evidence, now=True) == SHREDDED
        assert await evidence.audit() == []


async def test_a_subject_that_is_not_known_and_an_order_without_a_basis_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        with pytest.raises(NotFound):
            await shred(evidence)
    for targets, basis in (((), BASIS), ((("s", RetentionClass.PAYLOAD),), "")):
        with pytest.raises(InvalidValue):
            Shred(targets, Reason.WITHDRAWN, basis, "operator", safe_of(path))


async def test_what_is_due_goes_and_the_proof_of_consent_three_years_later(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        await told(evidence)
        assert await evidence.keeper.destroy_due() == 0
        await evidence.change_consent(ChangeConsent("c0", ConsentState.REVOKED, LENDER, "asked to"))
        plan = {(d.subject, d.retention.value): d for d in await evidence.keeper.schedule()}
        assert len(plan) == 4
        assert plan[SUBJECTS[0], "payload"].rule == Rules().withdrawn
        assert plan[SUBJECTS[1], "payload"].rule == Rules().payload
        clock.forward(days=31)
        assert await evidence.keeper.destroy_due() == 1
        assert await evidence.keeper.destroy_due() == 0
        gone, kept = await evidence.profile("p0"), await evidence.profile("p1")
        assert gone is not None
        assert kept is not None
        assert (gone.shredded, kept.shredded) == (PENDING, None)
        assert await evidence.consent("c0") is not None
        clock.forward(days=1100)
        assert await evidence.keeper.destroy_due() == 1
        assert await evidence.consent("c0") is None
        assert [c.id for c in await evidence.consents_of(None)] == ["c1"]
        with pytest.raises(ConsentMissing):
            await evidence.submit(ask("m9", "c0"))
        assert await intact(evidence, tmp_path / "out")


async def test_the_days_that_a_consent_agreed_to_count_where_they_are_fewer(tmp_path: Path) -> None:
    rules = Rules(payload=Rule(100, Reason.RETENTION_ENDED, BASIS))
    async with world(tmp_path / "e.db", rules=rules) as evidence:
        await evidence.submit(GrantConsent(grant(0, retention_days=7), LENDER, "c0"))
        await evidence.submit(GrantConsent(grant(1, retention_days=700), LENDER, "c1"))
        due = {d.consents: d.at[:10] for d in await evidence.keeper.schedule() if d.retention == "payload"}
        assert due == {("c0",): "2027-01-08", ("c1",): "2027-04-11"}


async def test_an_epoch_ends_by_itself_only_where_a_destroyed_key_waits_a_day(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "e.db"
    async with world(path, clock) as evidence:
        await told(evidence)
        clock.forward(days=2)
        assert await evidence.keeper.next_epoch(EPOCH) is None
        await shred(evidence)
        assert await evidence.keeper.next_epoch(EPOCH) == 2
        await shred(evidence, 1)
        assert await evidence.keeper.next_epoch(EPOCH) is None
        assert safe_of(path).epochs() == [2]


async def test_a_missing_or_wrong_key_of_the_epoch_stops_what_needs_it_and_nothing_is_half_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
    file = safe_of(path).folder / "kek.1"
    for content in (None, b"", b"00" * 32, b"\xff\xfe"):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(KeysUnavailable):
            async with world(path, safe=Safe(file.parent)):
                pass
        file.write_text(KEK.hex())
    async with world(path) as evidence:
        size = evidence.size
        await evidence.keeper.next_epoch()
        (safe_of(path).folder / "kek.2").write_text("not a key")
        evidence._vault.forget_epochs(9)
        with pytest.raises(KeysUnavailable):
            await evidence.submit(GrantConsent(grant(2), LENDER, "c2"))
        assert await evidence.consent("c2") is None
        assert evidence.size == size + 2


async def test_whoever_holds_a_bundle_confirms_no_guess_about_another_entry(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(0), LENDER, "c0"))
        keys = {}
        for n in range(2):
            permit = await evidence.submit(ask(f"m{n}", "c0"))
            await issue(evidence, permit, f"p{n}", f"truth {n}")
            keys[n] = [
                permit.key.payload_key(f"p{n}.1", name) for name in ("profile", "reply/sh-hrss/social_insurance")
            ]
        told = {e["id"]: e for e in [orjson.loads(e.entry) for e in await evidence.entries(0, evidence.size)]}
        truths = [hashlib.sha256(f"truth {n}".encode()).digest() for n in range(2)]
        made = {told["p1.1"]["commitment"], *(source[4] for source in told["p1.1"]["sources"])}
        assert {commit(k, truths[1]) for k in keys[1]} == made
        # The right guess, under every key that the bundle of the other profile discloses.
        assert not {commit(k, truths[1]) for k in keys[0]} & made


async def test_a_process_forgets_the_key_encryption_key_that_another_one_destroyed(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as one, world(path) as other:
        await told(one)
        held = backup_of_key(path, 0)
        assert (await other.profile("p0")) is not None
        assert await shred(one, now=True) == SHREDDED
        assert (await other.profile("p1")) is not None
        # Put back into the rows, what was destroyed opens in no process.
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "UPDATE subject_keys SET epoch = ?, wrapped = ? WHERE subject = ? AND class = 'payload'", held
            )
            database.commit()
        with pytest.raises(KeysUnavailable):
            await other.submit(CloseFailed("m0", "late"))


def backup_of_key(path: Path, n: int) -> tuple[int, bytes, str]:
    with closing(sqlite3.connect(path)) as database:
        epoch, wrapped = database.execute(
            "SELECT epoch, wrapped FROM subject_keys WHERE subject = ? AND class = 'payload'", (SUBJECTS[n],)
        ).fetchone()
    return epoch, wrapped, SUBJECTS[n]


async def test_a_late_answer_to_a_profile_that_was_shredded_is_refused_also_under_a_new_key(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await told(evidence)
        permits = [await evidence.submit(ask(f"late-{n}", "c0")) for n in range(2)]
        for n, permit in enumerate(permits):
            await issue(evidence, permit, f"late-{n}", "short")
        again = [IssueProfile(f"late-{n}", f"late-{n}", 2, b"jws", (), ()) for n in range(2)]
        safe = safe_of(tmp_path / "e.db")
        shred_it = Shred(((SUBJECTS[0], RetentionClass.PAYLOAD),), Reason.REQUESTED, BASIS, "operator", safe)
        # One in the very transaction that shreds, one after a new key was made.
        done = await asyncio.gather(evidence.submit(shred_it), evidence.submit(again[0]), return_exceptions=True)
        assert isinstance(done[1], ConsentConflict)
        await evidence.submit(ask("after", "c0"))
        with pytest.raises(ConsentConflict):
            await evidence.submit(again[1])
        assert await evidence.audit() == []


async def test_the_parts_of_persons_go_with_the_evidence_of_their_enterprise_and_no_other(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "e.db"
    vault = Vault(Keks(KEK), PSEUDONYM_KEY)
    mine, other = (vault.person(uscc(n), "actual_controller", "person-0") for n in range(2))
    async with world(path, clock) as evidence:
        for n in range(2):
            ends = {"valid_to": f"202{7 + n}-01-01T00:00:00+00:00"}
            await evidence.submit(GrantConsent(grant(n, persons=[person(0)], **ends), LENDER, f"c{n}"))
        clock.forward(days=1135)
        await evidence.submit(PlaceHold("c0", "operator", "invented"))
        assert await evidence.keeper.destroy_due() == 0
        await evidence.submit(ReleaseHold("c0", "operator"))
        clock.forward(days=800)
        # Payload and evidence of the first firm, and both keys of its person; of the second not yet all.
        assert await evidence.keeper.destroy_due() == 4
        assert await evidence.audit() == []
        entries = [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]
        shredded = [(one["subject"], one["class"]) for one in entries if one["event"] == "subject.shredded"]
        assert sorted(shredded) == sorted((subject, kind) for subject in (SUBJECTS[0], mine) for kind in RetentionClass)
        assert await intact(evidence, tmp_path / "out")
    with closing(sqlite3.connect(path)) as database:
        kept = database.execute("SELECT subject, length(wrapped) > 0 FROM subject_keys").fetchall()
        parts = database.execute("SELECT subject FROM sealed WHERE kind = 'part'").fetchall()
    assert {subject for subject, living in kept if not living} == {SUBJECTS[0], mine}
    assert parts == [(other,)]


async def test_a_request_that_came_to_nothing_has_an_end_too(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        await evidence.submit(PAGE_TEXT)
        expires = utc_text(clock() + timedelta(hours=2))
        await evidence.submit(OpenRequest("r1", "ab" * 32, LENDER, uscc(0), expires, b'{"asked":1}'))
        due = {d.retention.value: (d.at[:10], d.consents) for d in await evidence.keeper.schedule()}
        assert due == {"payload": ("2026-11-24", ()), "evidence": ("2029-11-23", ())}
        clock.forward(days=1)
        assert await evidence.keeper.destroy_due() == 1
        assert await evidence.request("r1") is not None
        clock.forward(days=1100)
        assert await evidence.keeper.destroy_due() == 1
        assert (await evidence.request("r1"), await evidence.request_by_token("ab" * 32)) == (None, None)
        assert await evidence.audit() == []


async def test_every_key_that_seals_what_is_of_an_enterprise_or_a_person_has_a_rule(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await evidence.submit(GrantConsent(grant(0, persons=[person(0)]), LENDER, "c0"))
        await evidence.submit(PAGE_TEXT)
        expires = utc_text(Clock()() + timedelta(hours=2))
        await evidence.submit(OpenRequest("r1", "ab" * 32, LENDER, uscc(1), expires, b'{"asked":1}'))
        plan = {(due.subject, due.retention.value) for due in await evidence.keeper.schedule()}
    with closing(sqlite3.connect(path)) as database:
        keys = set(database.execute("SELECT subject, class FROM subject_keys WHERE subject != '-'").fetchall())
        sealed = set(database.execute("SELECT DISTINCT subject FROM sealed").fetchall())
    persons = {(s, c) for s, c in keys if s not in SUBJECTS}
    assert keys - persons == plan
    assert len(persons) == 2
    assert sealed


async def test_after_a_shredding_the_write_ahead_log_is_empty_unless_somebody_reads_the_past(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    wal = path.with_name("e.db-wal")
    async with world(path) as evidence:
        await told(evidence)
        assert wal.stat().st_size > 0
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM log_head").fetchall()
            assert await shred(evidence) == PENDING
            assert wal.stat().st_size > 0
        await evidence.keeper.next_epoch()
        assert wal.stat().st_size == 0
        path.rename(path.with_name("moved"))
        await evidence._fold()
        path.with_name("moved").rename(path)


async def test_a_consent_that_comes_between_the_schedule_and_its_sweep_keeps_its_keys(tmp_path: Path) -> None:
    clock, later = Clock(), {"valid_from": "2034-01-01T00:00:00+00:00", "valid_to": "2040-01-01T00:00:00+00:00"}
    async with world(tmp_path / "e.db", clock) as evidence:
        for n in range(2):
            await evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))
        clock.forward(days=3000)
        safe, rules = safe_of(tmp_path / "e.db"), Rules()
        dues = [due for due in await evidence.keeper.schedule() if due.rule == rules.evidence]
        sweep = ShredDue(tuple(dues), rules, "operator", safe)
        await evidence.submit(GrantConsent(grant(0, **later), LENDER, "new"))
        # The other one's comes in the very transaction of the sweep.
        batch = evidence.submit(GrantConsent(grant(1, **later), LENDER, "other")), evidence.submit(sweep)
        assert (await asyncio.gather(*batch))[1] == []
        for consent_id in ("c0", "new", "c1", "other"):
            assert await evidence.consent(consent_id) is not None
        assert await evidence.audit() == []


async def test_one_hold_or_one_that_is_gone_already_does_not_keep_the_rest_of_a_sweep(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        for n in range(3):
            await evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))
        clock.forward(days=3000)
        dues = [due for due in await evidence.keeper.schedule() if due.rule == Rules().payload]
        sweep = ShredDue(tuple(dues), Rules(), "operator", safe_of(tmp_path / "e.db"))
        await evidence.submit(PlaceHold("c0", "operator", "court"))
        await shred(evidence, 1)
        done = await evidence.submit(sweep)
        assert [one.subject for one in done] == [evidence.pseudonym(uscc(2))]
        assert await evidence.submit(sweep) == []


async def test_a_consent_in_the_transaction_that_destroys_the_proof_of_those_before_is_kept_under_a_new_key(
    tmp_path: Path,
) -> None:
    async with world(tmp_path / "e.db") as evidence, world(tmp_path / "e.db") as other:
        await told(evidence)
        assert await other.consent("c0") is not None
        await other.profile("p0")
        safe = safe_of(tmp_path / "e.db")
        sweep = Shred(((SUBJECTS[0], RetentionClass.EVIDENCE),), Reason.RETENTION_ENDED, BASIS, "operator", safe)
        await asyncio.gather(evidence.submit(sweep), evidence.submit(GrantConsent(grant(), LENDER, "new")))
        for process in (evidence, other):
            assert await process.consent("c0") is None
            assert await process.consent("new") is not None
        assert await evidence.audit() == []


async def test_a_record_whose_proof_was_destroyed_does_not_come_back_by_sending_it_again(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER))
        safe = safe_of(tmp_path / "e.db")
        target = ((SUBJECTS[0], RetentionClass.EVIDENCE),)
        await evidence.submit(Shred(target, Reason.RETENTION_ENDED, BASIS, "operator", safe))
        with pytest.raises(ConsentConflict) as caught:
            await evidence.submit(GrantConsent(grant(), LENDER))
        assert caught.value.details == {"what": "state", "state": SHREDDED}


async def test_the_evidence_of_a_profile_still_verifies_when_its_consent_is_gone_and_a_later_one_has_a_new_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0.0)
    async with world(tmp_path / "e.db") as evidence:
        await told(evidence)
        await evidence.change_consent(ChangeConsent("c0", ConsentState.REVOKED, LENDER, "repaid"))
        safe = safe_of(tmp_path / "e.db")
        targets = tuple((SUBJECTS[0], retention) for retention in RetentionClass)
        await evidence.submit(Shred(targets, Reason.RETENTION_ENDED, BASIS, "operator", safe))
        await evidence.submit(GrantConsent(grant(), LENDER, "later"))
        row = await evidence.profile_row("p0")
        assert row is not None
        report = verify_bundle(await evidence.bundle("p0", row, {"keys": []}))
        assert report.problem is None
        assert {name for _, name in report.destroyed} >= {"consent", "status", "profile"}


async def test_what_a_failed_shredding_left_waits_while_a_hold_stands(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await told(evidence)
        safe_of(path).bury([Tombstone(SUBJECTS[0], "payload", 1, "withdrawn", BASIS)])
        await evidence.submit(PlaceHold("c0", "operator", "court"))
    async with world(path) as evidence:
        assert (found := await evidence.profile("p0")) is not None
        assert found.shredded is None
        await evidence.submit(ReleaseHold("c0", "operator"))
    async with world(path) as evidence:
        assert (found := await evidence.profile("p0")) is not None
        assert found.shredded == PENDING


async def test_a_backup_from_the_middle_of_a_change_of_epochs_opens_for_those_that_remain(tmp_path: Path) -> None:
    path, copy = tmp_path / "e.db", tmp_path / "copy.db"
    async with world(path) as evidence:
        await told(evidence)
        await shred(evidence)
        safe = safe_of(path)
        await evidence.submit(BeginEpoch(safe, "operator"))
        backup(path, copy)
        await evidence.keeper.next_epoch()
        with closing(sqlite3.connect(path)) as database:
            first = database.execute("SELECT epoch, wrapped FROM subject_keys WHERE subject = '-'").fetchone()
    with closing(sqlite3.connect(copy)) as database:
        # The check's own key comes first, so it is the one that was wrapped anew already.
        assert first[0] == 3
        database.execute("UPDATE subject_keys SET epoch = ?, wrapped = ? WHERE subject = '-'", first)
        database.execute("UPDATE keyring SET epoch = 3")
        database.commit()
    restore(copy, path)
    (safe.folder / "anchor" / "checkpoint").unlink()
    async with world(path) as evidence:
        assert (kept := await evidence.profile("p1")) is not None
        assert kept.shredded is None
        assert (gone := await evidence.profile("p0")) is not None
        assert gone.shredded is not None


async def test_of_two_processes_that_begin_an_epoch_at_once_the_kept_keys_are_those_of_the_last(tmp_path: Path) -> None:
    path, copy = tmp_path / "e.db", tmp_path / "copy.db"
    slow, other = safe_of(path), asyncio.Event()
    async with world(path, safe=slow) as one, world(path) as two:
        await told(one)
        backup(path, copy)
        loop, keep = asyncio.get_running_loop(), slow.keep_keys

        def late(pages: Iterable[Sequence[WrappedKey]]) -> None:
            read = [[*page] for page in pages]
            loop.call_soon_threadsafe(other.set)
            time.sleep(0.5)
            keep(read)

        slow.keep_keys = late  # type: ignore[method-assign]
        turning = asyncio.create_task(one.keeper.next_epoch())
        await other.wait()
        assert await two.keeper.next_epoch() == 3
        assert await turning == 2
    restore(copy, path)
    (slow.folder / "anchor" / "checkpoint").unlink()
    async with world(path) as evidence:
        assert (kept := await evidence.profile("p1")) is not None
        assert kept.shredded is None


async def test_a_process_that_knows_an_older_head_does_not_put_it_in_the_place_of_a_later_one(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as one, world(path) as other:
        older = other._journal.head
        await one.submit(GrantConsent(grant(), LENDER, "c0"))
        one._remember_head()
        later = safe_of(path).checkpoint()
        # As it is where the other one has written nothing since.
        other._journal._head, other._anchored = older, -1
        other._remember_head()
        assert safe_of(path).checkpoint() == later
