"""consent.reuse: what earlier profiles brought is found under the very same leave, and nowhere else."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.log.origins import Origin
from consent.profiles import IssueProfile, Outcome, SealedSource
from consent.reuse import MOST, Kept, Leave, Way
from consent.shredding import Reason
from gateway.profile.sign import ProfileSigner
from schemas.base import utc_text
from schemas.consent import ConsentState
from tests.consent_world import LENDER, NOW, Clock, ask, grant, uscc, world

SIGNER = ProfileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
WAY = Way("sh-hrss", "social_insurance", None)
SINCE = utc_text(NOW - timedelta(days=1))
PERIOD = {"first": "2025-12", "last": "2026-11"}


def leave(consent_id: str, version: int = 1) -> Leave:
    return Leave(consent_id, version, LENDER, "loan_review", PERIOD["first"], PERIOD["last"])


async def issue(
    evidence: Evidence, consent_id: str, name: str, persons: int | None = 11, n: int = 0, **source: Any
) -> int:
    """A profile of one source under a permit of its own; its place in the log."""
    permit = await evidence.submit(ask(f"m{name}", consent_id, n))
    told: dict[str, Any] = {
        "platform": "sh-hrss",
        "dataset": "social_insurance",
        "via": None,
        "state": "present",
        "origin": None,
    }
    told |= {"commitment": "ab" * 32, "reason": None, "fetched_at": utc_text(NOW + timedelta(seconds=int(name, 36)))}
    told |= source
    profile = {
        "id": f"p{name}",
        "consent_id": consent_id,
        "purpose": "loan_review",
        "period": PERIOD,
        "sources": [told],
    }
    payload = json.dumps({"records": [{"persons": persons}]}).encode()
    held = () if persons is None else (SealedSource("sh-hrss", "social_insurance", payload),)
    outcome = Outcome("sh-hrss", "social_insurance", told["state"], None, None)
    command = IssueProfile(permit.id, f"p{name}", 1, SIGNER.sign(profile).jws, held, (outcome,))
    return (await evidence.submit(command)).index


async def found(evidence: Evidence, under: Leave, since: str = SINCE, **fits: Any) -> Mapping[Way, Kept]:
    return await evidence.earlier(under, since, frozenset({WAY}), fits.get("fits", lambda *_: True))


async def test_the_newest_answer_is_found_with_its_origin_also_by_another_process(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence, world(place, clock) as other:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        assert await found(evidence, leave(consent)) == {}
        for number, persons in enumerate((11, 12, 13)):
            clock.forward(minutes=1)
            index = await issue(evidence, consent, str(number), persons)
        for one in (evidence, other):
            (kept,) = (await found(one, leave(consent))).values()
            assert kept.reply == {"records": [{"persons": 13}]}
            assert kept.origin == Origin("reused", "m2", index, "ab" * 32)
        (kept,) = (
            await found(evidence, leave(consent), fits=lambda _, __, r: r["records"][0]["persons"] < 13)
        ).values()
        assert kept.reply == {"records": [{"persons": 12}]}
        assert await found(evidence, leave(consent), fits=lambda *_: False) == {}
        # Not what is older than asked, and not further back than so many profiles.
        assert await found(evidence, leave(consent), utc_text(clock())) == {}
        for number in range(MOST):
            clock.forward(minutes=1)
            await issue(evidence, consent, f"x{number}", 20, platform="sh-hpf")
        assert await found(evidence, leave(consent)) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"consent_id": "c-other"},
        {"version": 2},
        {"lender": "bank-b"},
        {"purpose": "post_loan"},
        {"first": "2025-11"},
        {"last": "2026-10"},
    ],
)
async def test_whatever_differs_finds_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1")
        assert await found(evidence, leave(consent))
        assert await found(evidence, leave(consent)._replace(**changes)) == {}


@pytest.mark.parametrize(
    "source",
    [
        {"state": "partial"},
        {"state": "stale"},
        {"state": "pending"},
        {"via": "sh-ywtb"},
        {"dataset": "provident_fund"},
        {"platform": "sh-hpf"},
    ],
)
async def test_only_what_was_whole_and_came_the_same_way_is_found(tmp_path: Path, source: dict[str, Any]) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1", **source)
        assert await found(evidence, leave(consent)) == {}


@pytest.mark.parametrize("state", ["partial", "stale"])
async def test_an_answer_that_was_not_whole_is_not_passed_over_for_an_older_one(tmp_path: Path, state: str) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1", state="empty_confirmed")
        await issue(evidence, consent, "2", state=state)
        assert await found(evidence, leave(consent)) == {}


async def test_a_row_that_names_the_profile_of_another_consent_gives_nothing_of_it(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consents = [(await evidence.submit(GrantConsent(grant(application=f"LN-{n}"), LENDER))).id for n in range(2)]
        for n, consent in enumerate(consents):
            await issue(evidence, consent, f"{n}")
        with closing(sqlite3.connect(tmp_path / "e.db")) as file:
            assert file.execute("UPDATE permits SET profile_id = 'p1' WHERE id = 'm0'").rowcount == 1
            file.commit()
        assert await found(evidence, leave(consents[0])) == {}
        assert await found(evidence, leave(consents[1]))


async def test_failures_and_what_stood_in_for_silence_say_nothing_newer(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1")
        before = {"how": "reused", "permit": "m0", "entry": 4, "commitment": "cd" * 32}
        await issue(evidence, consent, "2", state="stale", origin=before)
        await issue(evidence, consent, "3", None, state="unavailable", commitment=None, fetched_at=None)
        (kept,) = (await found(evidence, leave(consent))).values()
        assert kept.origin.permit == "m1"


async def test_the_answer_that_was_fetched_last_counts_whichever_permit_was_granted_last(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1", 12, fetched_at=utc_text(NOW + timedelta(minutes=9)))
        clock.forward(minutes=1)
        await issue(evidence, consent, "2", 11, fetched_at=utc_text(NOW + timedelta(minutes=1)))
        (kept,) = (await found(evidence, leave(consent))).values()
        assert kept.reply == {"records": [{"persons": 12}]}


async def test_what_was_used_again_is_told_of_by_its_first_origin_and_what_was_shared_by_its_own_profile(
    tmp_path: Path,
) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        first: dict[str, Any] = {"how": "reused", "permit": "m0", "entry": 4, "commitment": "cd" * 32}
        await issue(evidence, consent, "1", origin=first)
        (kept,) = (await found(evidence, leave(consent))).values()
        assert kept.origin == Origin(**first)
    async with world(tmp_path / "f.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        index = await issue(
            evidence, consent, "1", origin={"how": "shared", "permit": "m0", "entry": None, "commitment": None}
        )
        (kept,) = (await found(evidence, leave(consent))).values()
        assert kept.origin == Origin("reused", "m1", index, "ab" * 32)


async def test_what_was_shredded_is_not_found_and_another_enterprise_is_left_as_it_was(place: Path | str) -> None:
    async with world(place) as evidence:
        consents = [(await evidence.submit(GrantConsent(grant(n), LENDER))).id for n in range(2)]
        for n, consent in enumerate(consents):
            await issue(evidence, consent, f"{n}", n=n)
        await evidence.keeper.shred(uscc(0), Reason.REQUESTED, "an invented law")
        assert await found(evidence, leave(consents[0])) == {}
        assert await found(evidence, leave(consents[1]))
        # A later permit gives the enterprise a new key; what the old one sealed stays closed.
        await evidence.submit(ask("m9", consents[0], 0))
        assert await found(evidence, leave(consents[0])) == {}


async def test_what_a_permit_that_is_open_or_failed_would_have_brought_is_not_there(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await evidence.submit(ask("m1", consent))
        assert await found(evidence, leave(consent)) == {}
        await issue(evidence, consent, "2", persons=None)
        assert await found(evidence, leave(consent)) == {}


async def test_a_consent_that_rested_has_another_version(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        consent = (await evidence.submit(GrantConsent(grant(), LENDER))).id
        await issue(evidence, consent, "1")
        for state in (ConsentState.SUSPENDED, ConsentState.ACTIVE):
            await evidence.change_consent(ChangeConsent(consent, state, LENDER, "an invented reason"))
        permit = await evidence.submit(ask("m2", consent))
        assert permit.consent.version == 3
        assert await found(evidence, leave(consent, version=permit.consent.version)) == {}
