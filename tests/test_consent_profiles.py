"""Issuing: nothing is released that is not sealed, logged and provable, and nothing after the consent ended."""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.log.merkle import leaf_hash, verify_inclusion
from consent.log.note import Vkey, open_checkpoint
from consent.permits import CloseFailed, Permit
from consent.profiles import IssueProfile, Outcome, RecordEvent, SealedSource, profile_entry, reply_name
from schemas.consent import ConsentState
from schemas.errors import (
    ConsentConflict,
    ConsentError,
    ConsentExpired,
    ConsentRevoked,
    ConsentSuspended,
    InvalidValue,
    NotFound,
)
from tests.consent_world import LENDER, ORIGIN, Clock, ask, grant, uscc, world

RECORDS = (SealedSource("sh-hrss", "social_insurance", b'[{"persons":12}]'),)
JWS = b"eyJhbGciOiJFZDI1NTE5In0.canary-profile.signature"


async def permitted(evidence: Evidence) -> Permit:
    consent = await evidence.submit(GrantConsent(grant(), LENDER))
    return await evidence.submit(ask("permit-1", consent.id))


def issue(profile_id: str = "profile-1", revision: int = 1, **changes: Any) -> IssueProfile:
    values: dict[str, Any] = {
        "permit_id": "permit-1",
        "jws": JWS,
        "records": RECORDS,
        "outcomes": (Outcome("sh-hrss", "social_insurance", "present", None, "0" * 64),),
    }
    return IssueProfile(profile_id=profile_id, revision=revision, **{**values, **changes})


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_an_issued_profile_is_provable_under_the_signed_checkpoint(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        permit = await permitted(evidence)
        issued = await evidence.submit(issue())
        checkpoint, _ = open_checkpoint(issued.checkpoint, [Vkey.parse(evidence.vkey)])
        assert (checkpoint.origin, checkpoint.size) == (ORIGIN, issued.size)
        proof = [base64.b64decode(node) for node in issued.proof]
        verify_inclusion(issued.index, issued.size, leaf_hash(issued.entry), proof, checkpoint.root)
        entry = orjson.loads(issued.entry)
        digest = hashlib.sha256(JWS).digest()
        assert entry["commitment"] == permit.key.commitment(profile_entry("profile-1", 1), "profile", digest)
        assert entry["sources"] == [["sh-hrss", "social_insurance", "present", None, "0" * 64]]
        assert await evidence.place(issued.index) == issued


async def test_the_stored_profile_opens_again_and_its_bytes_are_nowhere_in_the_file(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        permit = await permitted(evidence)
        issued = await evidence.submit(issue())
        stored = await evidence.profile("profile-1")
        assert stored is not None
        assert (stored.jws, stored.revision, stored.lender, stored.consent_id, stored.log_index) == (
            JWS,
            1,
            LENDER,
            permit.consent.id,
            issued.index,
        )
        assert await evidence.profile("unknown") is None
    files = everything(tmp_path)
    assert b"canary-profile" not in files
    assert b'"persons":12' not in files


async def test_side_by_side_issues_each_have_a_proof_of_their_own(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = await evidence.submit(GrantConsent(grant(), LENDER))
        await asyncio.gather(*(evidence.submit(ask(f"permit-{n}", consent.id)) for n in range(40)))
        found = await asyncio.gather(
            *(evidence.submit(issue(f"profile-{n}", permit_id=f"permit-{n}")) for n in range(40))
        )
        assert len({i.checkpoint for i in found}) < 40
        for issued in found:
            checkpoint, _ = open_checkpoint(issued.checkpoint, [Vkey.parse(evidence.vkey)])
            proof = [base64.b64decode(node) for node in issued.proof]
            verify_inclusion(issued.index, issued.size, leaf_hash(issued.entry), proof, checkpoint.root)


async def test_a_late_answer_makes_the_next_revision_and_no_other(place: Path | str) -> None:
    async with world(place) as evidence:
        await permitted(evidence)
        with pytest.raises(ConsentConflict):
            await evidence.submit(issue(revision=2))
        await evidence.submit(issue())
        for wrong in (issue(), issue(revision=3), issue("profile-2"), issue("profile-2", 2)):
            with pytest.raises(ConsentConflict):
                await evidence.submit(wrong)
        second = await evidence.submit(issue(revision=2, jws=b"second"))
        stored = await evidence.profile("profile-1")
        assert stored is not None
        assert (stored.revision, stored.jws, stored.log_index) == (2, b"second", second.index)


@pytest.mark.parametrize(
    ("to", "error"), [(ConsentState.REVOKED, ConsentRevoked), (ConsentState.SUSPENDED, ConsentSuspended)]
)
async def test_a_consent_that_ended_meanwhile_withholds_the_profile(
    tmp_path: Path, to: ConsentState, error: type[ConsentError]
) -> None:
    async with world(tmp_path / "e.db") as evidence:
        permit = await permitted(evidence)
        await evidence.change_consent(ChangeConsent(permit.consent.id, to, LENDER, "r"))
        with pytest.raises(error):
            await evidence.submit(issue())
        assert await evidence.profile("profile-1") is None
        last = orjson.loads((await evidence.entries(0, 100))[-1].entry)
        assert (last["event"], last["code"]) == ("profile.withheld", error.code)
        with pytest.raises(ConsentConflict):
            await evidence.submit(issue())


async def test_a_withheld_revision_leaves_the_one_before_it_standing(place: Path | str) -> None:
    async with world(place) as evidence:
        permit = await permitted(evidence)
        await evidence.submit(issue())
        await evidence.change_consent(ChangeConsent(permit.consent.id, ConsentState.REVOKED, LENDER, "r"))
        with pytest.raises(ConsentRevoked):
            await evidence.submit(issue(revision=2))
        stored = await evidence.profile("profile-1")
        assert stored is not None
        assert stored.revision == 1


async def test_nothing_is_released_after_the_permit_ran_out_or_was_closed(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        permit = await permitted(evidence)
        await evidence.submit(ask("permit-2", permit.consent.id))
        await evidence.submit(CloseFailed("permit-2", "deadline_exceeded"))
        with pytest.raises(ConsentConflict):
            await evidence.submit(issue(permit_id="permit-2"))
        with pytest.raises(NotFound):
            await evidence.submit(issue(permit_id="permit-3"))
        clock.forward(minutes=15)
        with pytest.raises(ConsentExpired):
            await evidence.submit(issue())


async def test_many_sources_are_sealed_beside_the_entry(place: Path | str) -> None:
    many = tuple(Outcome(f"platform-{n}", "social_insurance", "present", None, "0" * 64) for n in range(60))
    async with world(place) as evidence:
        await permitted(evidence)
        entry = orjson.loads((await evidence.submit(issue(outcomes=many))).entry)
        assert len(bytes.fromhex(entry["sources"])) == 32


async def test_an_event_is_recorded_under_the_pseudonym_of_its_subject(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        permit = await permitted(evidence)
        data: dict[str, Any] = {"profile": "profile-1", "revision": 1}
        subject = evidence.pseudonym(uscc())
        index = await evidence.submit(RecordEvent("profile.read", LENDER, permit.consent.id, subject, data))
        access: dict[str, Any] = {"code": "unauthenticated", "operation": "consent.show"}
        await evidence.submit(RecordEvent("access.refused", "unknown", None, None, access))
        read, refused = (orjson.loads(e.entry) for e in await evidence.entries(index, index + 2))
        granted = orjson.loads((await evidence.entries(0, 1))[0].entry)
        assert read["subject"] == granted["subject"]
        assert (refused["subject"], refused["consent"]) == (None, None)
        with pytest.raises(InvalidValue):
            await evidence.submit(RecordEvent("profile.read", LENDER, None, None, {"profile": "p"}))


def test_payload_names_tell_platform_and_data_set() -> None:
    assert reply_name("sh-tax", "tax_returns") == "reply/sh-tax/tax_returns"
