"""Registering and changing consents, through the open evidence."""

import asyncio
from pathlib import Path

import orjson
import pytest
from pydantic import ValidationError

from consent import evidence as evidence_module
from consent.consents import ChangeConsent, GrantConsent, document_of
from consent.evidence import Evidence
from schemas.consent import Consent, ConsentState
from schemas.errors import ConsentConflict, ConsentExhausted, ConsentMissing, InvalidValue
from tests.consent_world import LENDER, Clock, ask, grant, uscc, world


@pytest.fixture(autouse=True)
def _no_lease_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_module, "LEASE_SECONDS", 0.0)


async def change(evidence: Evidence, consent_id: str, to: ConsentState) -> Consent:
    return await evidence.change_consent(ChangeConsent(consent_id, to, LENDER, "said so"))


async def events(evidence: Evidence) -> list[str]:
    return [orjson.loads(e.entry)["event"] for e in await evidence.entries(0, 1000)]


async def test_a_granted_consent_is_found_again_as_it_was_given(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(max_uses=2), LENDER))
        assert made.state is ConsentState.ACTIVE
        assert (made.version, made.uses, made.registered_at) == (1, 0, "2026-11-24T06:00:00.000+00:00")
        assert Consent.model_validate_json(made.model_dump_json()) == made
        assert await evidence.consent(made.id) == made
        assert await evidence.consents_of(LENDER) == [made]
        assert await evidence.consents_of("bank-b") == []
        assert await evidence.consent("unknown") is None
        assert (
            made.model_dump(exclude={"id", "version", "state", "uses", "registered_at", "text_registered", "amends"})
            == grant(max_uses=2).model_dump()
        )


async def test_the_log_names_the_consent_but_neither_the_code_nor_the_name_of_the_firm(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        await change(evidence, made.id, ConsentState.REVOKED)
        found = b"".join(e.entry for e in await evidence.entries_about(made.id))
    assert found.count(made.id.encode()) >= 2
    for canary in (uscc(), "虚构", "said so", "LN-1", "p-1"):
        assert canary.encode() not in found


async def test_the_same_id_and_content_is_one_consent_and_other_content_a_conflict(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        first = await evidence.submit(GrantConsent(grant(), LENDER, "consent-1"))
        assert await evidence.submit(GrantConsent(grant(), LENDER, "consent-1")) == first
        with pytest.raises(ConsentConflict):
            await evidence.submit(GrantConsent(grant(max_uses=1), LENDER, "consent-1"))
        assert await events(evidence) == ["consent.granted"]


async def test_two_consents_of_one_enterprise_share_its_keys(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = (evidence.submit(GrantConsent(grant(application=f"LN-{n}"), LENDER)) for n in range(2))
        one, two = await asyncio.gather(*made)
        three = await evidence.submit(GrantConsent(grant(application="LN-2"), LENDER))
        assert len({one.id, two.id, three.id}) == 3


async def test_a_grant_sent_twice_gives_no_second_set_of_uses_and_does_not_undo_a_withdrawal(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        grants = (evidence.submit(GrantConsent(grant(max_uses=1), LENDER)) for _ in range(2))
        one, two = await asyncio.gather(*grants)
        assert one == two
        await evidence.submit(ask("p1", one.id))
        with pytest.raises(ConsentExhausted):
            await evidence.submit(ask("p2", (await evidence.submit(GrantConsent(grant(max_uses=1), LENDER))).id))
        await change(evidence, one.id, ConsentState.REVOKED)
        again = await evidence.submit(GrantConsent(grant(max_uses=1), LENDER))
        assert (again.id, again.state, again.uses) == (one.id, ConsentState.REVOKED, 1)


async def test_the_id_made_of_a_grant_cannot_be_guessed_without_the_key(tmp_path: Path) -> None:
    async with world(tmp_path / "a.db") as evidence:
        one = await evidence.submit(GrantConsent(grant(), LENDER))
    async with world(tmp_path / "b.db", pseudonym_key=bytes(32)) as evidence:
        assert (await evidence.submit(GrantConsent(grant(), LENDER))).id != one.id


@pytest.mark.parametrize(
    "text", ["2026-01-01张00:00:00+00:00", "2026-01-01 00:00:00+00:00", "20260101T000000Z", "2026-W01-1T00:00:00+00:00"]
)
def test_a_time_that_carries_anything_but_a_time_does_not_reach_the_log(text: str) -> None:
    with pytest.raises(ValidationError):
        grant(valid_from=text)


def test_an_id_or_grant_that_cannot_be_stored_is_refused_at_once() -> None:
    for consent_id in ("", "a b", "x" * 65, "-a", "身份"):
        with pytest.raises(InvalidValue):
            GrantConsent(grant(), LENDER, consent_id)
    with pytest.raises(InvalidValue):
        GrantConsent(grant(separate_consents=["horoscopes"]), LENDER)


async def test_suspend_resume_and_revoke_leave_a_history(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        for to in (ConsentState.SUSPENDED, ConsentState.ACTIVE, ConsentState.REVOKED):
            clock.forward(minutes=1)
            changed = await change(evidence, made.id, to)
            assert changed.state is to
        assert changed.version == 4
        history = await evidence.consent_history(made.id)
        assert [(h.state.value, h.reason) for h in history] == [
            ("active", None),
            ("suspended", "said so"),
            ("active", "said so"),
            ("revoked", "said so"),
        ]
        assert [h.at[14:16] for h in history] == ["00", "01", "02", "03"]
        assert await events(evidence) == ["consent.granted", "consent.suspended", "consent.resumed", "consent.revoked"]
        assert await evidence.consent_history("unknown") == []


async def test_revoking_twice_is_one_revocation(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        first = await change(evidence, made.id, ConsentState.REVOKED)
        assert await change(evidence, made.id, ConsentState.REVOKED) == first
        assert await events(evidence) == ["consent.granted", "consent.revoked"]


@pytest.mark.parametrize(
    ("before", "to"),
    [
        (None, ConsentState.ACTIVE),
        (ConsentState.SUSPENDED, ConsentState.SUSPENDED),
        (ConsentState.REVOKED, ConsentState.ACTIVE),
        (ConsentState.REVOKED, ConsentState.SUSPENDED),
        (None, ConsentState.EXHAUSTED),
        (None, ConsentState.REQUESTED),
    ],
)
async def test_a_change_that_the_state_does_not_allow_is_a_conflict(
    tmp_path: Path, before: ConsentState | None, to: ConsentState
) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(), LENDER))
        if before:
            await change(evidence, made.id, before)
        size = evidence.size
        with pytest.raises(ConsentConflict):
            await change(evidence, made.id, to)
        assert evidence.size == size


async def test_a_consent_that_does_not_exist_cannot_be_changed(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        with pytest.raises(ConsentMissing):
            await change(evidence, "unknown", ConsentState.REVOKED)


async def test_a_change_cannot_slip_past_the_wait_for_the_leases(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        with pytest.raises(TypeError):
            await evidence.submit(ChangeConsent("c", ConsentState.REVOKED, LENDER, "r"))


def test_equal_grants_have_equal_documents() -> None:
    assert document_of(grant()) == document_of(grant())
    assert document_of(grant()) != document_of(grant(max_uses=1))
