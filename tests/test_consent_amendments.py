"""Amending: another consent takes the place of one, by a new act, in one commit."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from consent import evidence as evidence_module
from consent.amendments import AmendConsent
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.permits import OpenPermit
from schemas.consent import Consent, ConsentGrant, ConsentState
from schemas.errors import (
    ConsentConflict,
    ConsentFrequencyExceeded,
    ConsentMissing,
    ConsentSuperseded,
    ConsentTextMismatch,
    InvalidValue,
)
from tests.consent_world import CAPTURED, LENDER, PAGE_TEXT, Clock, ask, grant, person, uscc, world

ANEW: dict[str, Any] = {
    "given_at": "2026-11-01T00:00:00+00:00",
    "evidence": {"sha256": "a" * 64, "media_type": "application/pdf"},
}


@pytest.fixture(autouse=True)
def _no_lease_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_module, "LEASE_SECONDS", 0.0)


def anew(**changes: Any) -> ConsentGrant:
    return grant(**{**ANEW, **changes})


async def amend(evidence: Evidence, consent_id: str, new: ConsentGrant) -> Consent:
    return await evidence.change_consent(AmendConsent(consent_id, GrantConsent(new, LENDER)))


async def test_the_new_consent_is_in_force_and_the_old_one_superseded_in_one_commit(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(max_uses=1), LENDER))
        await evidence.submit(ask("p1", old.id))
        new = await amend(evidence, old.id, anew(max_uses=2))
        assert (new.state, new.version, new.uses, new.amends) == (ConsentState.ACTIVE, 1, 0, [old.id])
        was = await evidence.consent(old.id)
        assert was is not None
        assert (was.state, was.uses) == (ConsentState.SUPERSEDED, 1)
        with pytest.raises(ConsentSuperseded):
            await evidence.submit(ask("p2", old.id))
        await evidence.submit(ask("p3", new.id))
        (granted,) = [orjson.loads(e.entry) for e in (await evidence.entries_about(new.id))[:1]]
        (ended,) = [orjson.loads(e.entry) for e in (await evidence.entries_about(old.id))[-2:-1]]
        assert (granted["event"], granted["amends"]) == ("consent.granted", old.id)
        assert (ended["event"], ended["by"], ended["time"]) == ("consent.superseded", new.id, granted["time"])
        assert await evidence.audit() == []


async def test_the_history_of_an_amended_consent_tells_of_both(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        clock.forward(minutes=1)
        new = await amend(evidence, old.id, anew())
        clock.forward(minutes=1)
        latest = anew(given_at="2026-11-02T00:00:00+00:00", evidence={"sha256": "b" * 64, "media_type": "a/b"})
        third = await amend(evidence, new.id, latest)
        assert third.amends == [new.id, old.id]
        told = [(h.consent_id, h.state.value) for h in await evidence.consent_history(third.id)]
        first = [(old.id, "active"), (new.id, "active"), (old.id, "superseded")]
        assert told == [*first, (third.id, "active"), (new.id, "superseded")]
        assert [(h.consent_id, h.state.value) for h in await evidence.consent_history(old.id)] == [first[0], first[2]]


async def test_sent_twice_it_is_one_amendment(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        new = await amend(evidence, old.id, anew())
        size = evidence.size
        assert await amend(evidence, old.id, anew()) == new
        assert evidence.size == size


async def test_a_consent_that_stands_by_itself_is_not_made_an_amendment(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        await evidence.submit(GrantConsent(anew(), LENDER))
        for new in (anew(), grant()):
            with pytest.raises(ConsentConflict) as caught:
                await amend(evidence, old.id, new)
            assert caught.value.details == {"what": "content"}


@pytest.mark.parametrize(
    ("at", "before", "changes"),
    [
        ("evidence", {}, {"evidence": {"sha256": "1" * 64, "media_type": "application/pdf"}}),
        ("given_at", {}, {"given_at": "2026-01-01T00:00:00+00:00"}),
        ("subject", {}, {"subject": {"uscc": uscc(1), "name": "另一家虚构企业"}}),
        ("grantee", {}, {"grantee": "bank-b"}),
        ("persons[0].evidence", {"persons": [person(0)]}, {"persons": [person(0, text_sha256="8" * 64)]}),
    ],
)
async def test_what_nobody_agreed_to_anew_is_no_amendment(
    tmp_path: Path, at: str, before: dict[str, Any], changes: dict[str, Any]
) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(**before), LENDER))
        with pytest.raises(ConsentConflict) as caught:
            await amend(evidence, old.id, anew(**changes))
        assert caught.value.details == {"what": "amendment", "at": at}
        held = await evidence.consent(old.id)
        assert held is not None
        assert held.state is ConsentState.ACTIVE


async def test_a_persons_part_may_stay_as_it_is_or_change_with_a_new_document(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(persons=[person(0), person(1)]), LENDER))
        changed = person(1, text_sha256="8" * 64, evidence={"sha256": "c" * 64, "media_type": "application/pdf"})
        new = await amend(evidence, old.id, anew(persons=[person(0), changed]))
        assert [p.subject for p in new.persons] == [p.subject for p in old.persons]
        assert await evidence.audit() == []


async def test_a_lenders_word_does_not_take_the_place_of_what_the_page_captured(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(PAGE_TEXT)
        old = await evidence.submit(GrantConsent(grant(**CAPTURED), "enterprise"))
        with pytest.raises(ConsentConflict) as caught:
            await amend(evidence, old.id, anew())
        assert caught.value.details == {"what": "amendment", "at": "assurance"}


@pytest.mark.parametrize("state", [ConsentState.REVOKED, ConsentState.SUSPENDED])
async def test_only_an_active_consent_is_amended(tmp_path: Path, state: ConsentState) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        await evidence.change_consent(ChangeConsent(old.id, state, LENDER, "r"))
        with pytest.raises(ConsentConflict) as caught:
            await amend(evidence, old.id, anew())
        assert caught.value.details == {"what": "state", "state": state.value}


async def test_a_grant_that_is_refused_leaves_the_old_consent_as_it_was(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        size = evidence.size
        with pytest.raises(ConsentTextMismatch):
            await amend(evidence, old.id, anew(text_version="page-1-zh"))
        with pytest.raises(ConsentMissing):
            await amend(evidence, "unknown", anew())
        with pytest.raises(InvalidValue):
            AmendConsent("c-1", GrantConsent(anew(), LENDER, "c-1"))
        with pytest.raises(TypeError):
            await evidence.submit(AmendConsent(old.id, GrantConsent(anew(), LENDER)))
        assert evidence.size == size


def uses(consent_id: str, *names: str) -> list[OpenPermit]:
    return [ask(name, consent_id) for name in names]


async def test_the_frequency_counts_the_uses_before_the_amendment(tmp_path: Path) -> None:
    clock = Clock()
    weekly = {"frequency": {"uses": 3, "days": 7}}
    async with world(tmp_path / "e.db", clock) as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        for permit in uses(old.id, "p1", "p2"):
            await evidence.submit(permit)
        new = await amend(evidence, old.id, anew(**weekly))
        await evidence.submit(ask("p3", new.id))
        with pytest.raises(ConsentFrequencyExceeded):
            await evidence.submit(ask("p4", new.id))
        clock.forward(days=7, seconds=1)
        await evidence.submit(ask("p5", new.id))


async def test_the_frequency_counts_uses_of_the_very_commit_that_amends(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        old = await evidence.submit(GrantConsent(grant(), LENDER))
        new = anew(frequency={"uses": 2, "days": 7})
        amendment = AmendConsent(old.id, GrantConsent(new, LENDER, "c-new"))
        answers = await asyncio.gather(
            evidence.submit(ask("p1", old.id)),
            evidence.change_consent(amendment),
            evidence.submit(ask("p2", "c-new")),
            evidence.submit(ask("p3", "c-new")),
            return_exceptions=True,
        )
        assert [type(one).__name__ for one in answers] == ["Permit", "Consent", "Permit", "ConsentFrequencyExceeded"]
