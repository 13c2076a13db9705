"""Rows held against the log: whoever writes into the file gains nothing that nobody sees."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consent import evidence as evidence_module
from consent import sealing
from consent.audit import Flaw
from consent.consents import ChangeConsent, GrantConsent, document_of
from consent.permits import CloseFailed, Permit
from consent.profiles import IssueProfile, Outcome, SealedSource, profile_entry, reply_name
from consent.shredding import Reason, Shred
from consent.unmask import UnmaskEntry
from consent.vault import RetentionClass
from gateway.cli.main import app
from schemas.consent import ConsentState
from schemas.errors import ConfigurationError, ConsentRevoked, KeysUnavailable, XinqiaoError
from tests.consent_world import LENDER, Clock, ask, grant, safe_of, uscc, world

RECORDS = (SealedSource("sh-hrss", "social_insurance", b"[]"),)


def _issue(permit: Permit, profile_id: str, revision: int) -> IssueProfile:
    (kept,) = RECORDS
    entry, name = profile_entry(profile_id, revision), reply_name(kept.platform, kept.dataset)
    commitment = permit.key.commitment(entry, name, hashlib.sha256(kept.payload).digest())
    outcome = Outcome(kept.platform, kept.dataset, "present", None, commitment)
    silent = Outcome("sh-tax", "tax_returns", "unavailable", "timeout", None)
    return IssueProfile(permit.id, profile_id, revision, b"jws", RECORDS, (outcome, silent))


async def _live(path: Path, monkeypatch: pytest.MonkeyPatch, room: int = 90) -> list[Flaw]:
    """Everything that can happen to a consent, a permit and a profile; answers with the flaws there are.

    With little ``room`` lists are sealed and not in the entries.
    """
    monkeypatch.setattr(evidence_module, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(sealing, "ROOM", room)
    clock = Clock()
    async with world(path, clock) as evidence:
        for n in range(2):
            await evidence.submit(GrantConsent(grant(n, max_uses=9), LENDER, f"c{n}"))
        for to in (ConsentState.SUSPENDED, ConsentState.ACTIVE):
            await evidence.change_consent(ChangeConsent("c0", to, LENDER, f"now {to}"))
        permits = [await evidence.submit(ask(f"p{n}", "c0", idempotency_key=f"k{n}")) for n in range(4)]
        await evidence.submit(CloseFailed("p0", "deadline_exceeded"))
        await evidence.submit(ask("unused", "c0", idempotency_key="k0"))
        await evidence.submit(CloseFailed("p2", "deadline_exceeded"))
        for revision in (1, 2):
            await evidence.submit(_issue(permits[0], "f0", revision))
        await evidence.submit(_issue(permits[1], "f1", 1))
        await asyncio.gather(evidence.submit(ask("x", "c1")), return_exceptions=True)
        await evidence.change_consent(ChangeConsent("c0", ConsentState.REVOKED, LENDER, "asked to"))
        for permit, profile, revision in (("p3", "f3", 1), ("p1", "f1", 2)):
            with pytest.raises(ConsentRevoked):
                await evidence.submit(IssueProfile(permit, profile, revision, b"jws", (), ()))
        return await evidence.audit()


async def _flaws(path: Path) -> list[tuple[str, str, str]]:
    async with world(path) as evidence:
        return [(f.table, f.id, f.what) for f in await evidence.audit()]


def _write(path: Path, statements: Sequence[str], values: Sequence[bytes] = ()) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        assert connection.execute(statement, values).rowcount > 0
    connection.commit()
    connection.close()


async def test_whatever_happens_to_a_consent_its_rows_are_what_the_log_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _live(tmp_path / "e.db", monkeypatch) == []


TAMPERED = [
    ("UPDATE consents SET uses = 0 WHERE id = 'c0'", ("consents", "c0", "uses")),
    ("UPDATE consents SET last_permit = NULL WHERE id = 'c0'", ("consents", "c0", "last_permit")),
    ("UPDATE permits SET before = NULL WHERE before IS NOT NULL", ("permits", "p2", "before")),
    ("UPDATE consents SET state = 'active' WHERE id = 'c0'", ("consents", "c0", "state")),
    ("UPDATE consents SET version = 1 WHERE id = 'c0'", ("consents", "c0", "version")),
    ("UPDATE consents SET grantee = 'bank-b' WHERE id = 'c0'", ("consents", "c0", "grantee")),
    ("UPDATE consent_documents SET document = x'7b7d' WHERE consent_id = 'c0'", ("consents", "c0", "document")),
    ("UPDATE consents SET digest = x'' WHERE id = 'c0'", ("consents", "c0", "document")),
    ("DELETE FROM consent_documents WHERE consent_id = 'c0'", ("consents", "c0", "document")),
    ("UPDATE consents SET subject = 'other' WHERE id = 'c1'", ("consents", "c1", "document")),
    ("UPDATE consents SET valid_to = '2020' WHERE id = 'c1'", ("consents", "c1", "valid_to")),
    ("UPDATE consents SET retention_days = 1 WHERE id = 'c1'", ("consents", "c1", "retention_days")),
    ("DELETE FROM consents WHERE id = 'c1'", ("consents", "c1", "missing")),
    (
        "INSERT INTO consents SELECT 'c9', grantee, subject, digest, registered_at, valid_to, retention_days, "
        "'active', 1, 0, NULL FROM consents WHERE id = 'c1'",
        ("consents", "c9", "not in the log"),
    ),
    ("DELETE FROM consent_status WHERE version = 4", ("consent_status", "c0.4", "missing")),
    ("UPDATE consent_status SET reason = 'other' WHERE version = 2", ("consent_status", "c0.2", "reason")),
    ("UPDATE consent_status SET reason = x'00' WHERE version = 2", ("consent_status", "c0.2", "reason")),
    ("UPDATE consent_documents SET document = 'other' WHERE consent_id = 'c0'", ("consents", "c0", "document")),
    ("UPDATE consent_status SET actor = 'other' WHERE version = 1", ("consent_status", "c0.1", "actor")),
    ("UPDATE consent_status SET consent_id = 'gone' WHERE version = 4", ("consent_status", "gone.4", "reason")),
    ("DELETE FROM permits WHERE id = 'p2'", ("permits", "p2", "missing")),
    ("UPDATE permits SET outcome = 'open' WHERE id = 'p2'", ("permits", "p2", "outcome")),
    ("UPDATE permits SET valid_until = '2099' WHERE id = 'p1'", ("permits", "p1", "valid_until")),
    ("UPDATE permits SET granted_at = '2020' WHERE id = 'p1'", ("permits", "p1", "granted_at")),
    ("UPDATE profiles SET lender = 'bank-b' WHERE id = 'f1'", ("profiles", "f1.1", "lender")),
    ("DELETE FROM profiles WHERE id = 'f0' AND revision = 2", ("profiles", "f0.2", "missing")),
    ("DELETE FROM sealed WHERE id = 'f1.1/profile'", ("sealed", "f1.1/profile", "missing")),
    ("DELETE FROM sealed WHERE id = 'f1.1/sources'", ("sealed", "f1.1/sources", "missing")),
    ("DELETE FROM sealed WHERE id LIKE 'f1.1/reply%'", ("sealed", "f1.1/reply/sh-hrss/social_insurance", "missing")),
    ("UPDATE sealed SET ciphertext = zeroblob(40) WHERE id = 'f1.1/profile'", ("sealed", "f1.1/profile", "payload")),
    ("UPDATE sealed SET class = 'other' WHERE id = 'f1.1/profile'", ("sealed", "f1.1/profile", "payload")),
    (
        "UPDATE sealed SET commitment = 'other' WHERE id LIKE 'f1.1/reply%'",
        ("sealed", "f1.1/reply/sh-hrss/social_insurance", "payload"),
    ),
    (
        "UPDATE subject_keys SET wrapped = zeroblob(60) WHERE class = 'evidence' AND subject <> '-'",
        ("consents", "c0", "document"),
    ),
    ("UPDATE log_entries SET consent = 'c1' WHERE position = 5", ("log_entries", "5", "consent")),
    ("UPDATE log_entries SET entry = x'5b' WHERE position = 5", ("log_entries", "5", "not an entry of ours")),
    (
        "UPDATE log_entries SET entry = (SELECT entry FROM log_entries WHERE position = 0) WHERE position = 1",
        ("log_entries", "1", "consent granted twice"),
    ),
]


@pytest.mark.parametrize(("statement", "flaw"), TAMPERED)
async def test_a_row_that_was_changed_in_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, flaw: tuple[str, str, str]
) -> None:
    assert await _live(tmp_path / "e.db", monkeypatch) == []
    _write(tmp_path / "e.db", [statement])
    assert flaw in await _flaws(tmp_path / "e.db")


@pytest.mark.parametrize("room", [90, 3000])
async def test_a_reply_is_held_against_the_list_of_sources_wherever_that_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    assert await _live(tmp_path / "e.db", monkeypatch, room) == []
    _write(tmp_path / "e.db", ["DELETE FROM sealed WHERE id LIKE 'f0.2/reply%'"])
    assert await _flaws(tmp_path / "e.db") == [("sealed", "f0.2/reply/sh-hrss/social_insurance", "missing")]


async def test_a_wider_consent_written_into_the_file_is_named_and_nobody_can_act_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await evidence.submit(GrantConsent(grant(max_uses=1), LENDER, "c0"))
    _write(path, ["UPDATE consent_documents SET document = ?"], [document_of(grant(max_uses=99))])
    assert await _flaws(path) == [("consents", "c0", "document")]
    async with world(path) as evidence:
        with pytest.raises(KeysUnavailable):
            await evidence.submit(ask("p0", "c0"))


async def test_a_consent_whose_document_was_taken_away_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        for n in range(2):
            await evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))
        assert len(await evidence.consents_of(LENDER)) == 2
        _write(path, ["DELETE FROM consent_documents WHERE consent_id = 'c1'"])
        with pytest.raises(KeysUnavailable):
            await evidence.consents_of(LENDER)


async def test_swapped_payloads_and_keys_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e.db"
    assert await _live(path, monkeypatch) == []
    _write(
        path,
        [
            "UPDATE sealed SET (nonce, ciphertext) = (SELECT nonce, ciphertext FROM sealed WHERE id = 'f0.1/profile') "
            "WHERE id = 'f1.1/profile'",
        ],
    )
    async with world(path) as evidence:
        with pytest.raises(XinqiaoError):
            await evidence.profile("f1")
        assert Flaw("sealed", "f1.1/profile", "payload") in await evidence.audit()


@pytest.mark.parametrize("command", [["verify"], ["export", "out"]])
def test_a_folder_without_a_log_does_not_pass_for_an_intact_one(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(app, ["--data", str(tmp_path / "none"), "log", *command])
    assert isinstance(done.exception, ConfigurationError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("table", "column"), [("consents", "registered_at"), ("permits", "closed_at")])
async def test_a_time_that_receipts_and_people_are_told_is_that_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, column: str
) -> None:
    path = tmp_path / "e.db"
    assert await _live(path, monkeypatch) == []
    _write(path, [f"UPDATE {table} SET {column} = '2020-01-01T00:00:00.000+00:00'"])
    assert {(name, what) for name, _, what in await _flaws(path)} == {(table, column)}


async def test_the_reason_of_an_unmasking_that_was_destroyed_with_its_key_is_no_flaw(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(), LENDER, "c0"))
        subject = evidence.pseudonym(uscc())
        await evidence.submit(UnmaskEntry(0, subject, "auditor", "a complaint of an invented firm"))
        target = (subject, RetentionClass.EVIDENCE)
        safe = safe_of(tmp_path / "e.db")
        await evidence.submit(Shred((target,), Reason.RETENTION_ENDED, "an invented law", "operator", safe))
        assert await evidence.audit() == []
