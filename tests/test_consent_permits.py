"""Counted uses, idempotency keys, refusals in the log, and the sweep."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest

from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.permits import CloseFailed, OpenPermit, Permit, Sweep
from consent.policy import PermitItem
from consent.profiles import IssueProfile
from consent.vault import RetentionClass, Vault
from schemas.consent import ConsentDocument, ConsentState
from schemas.errors import (
    ConsentExhausted,
    ConsentFrequencyExceeded,
    ConsentMissing,
    ConsentOutOfScope,
    ConsentRevoked,
    IdempotencyMismatch,
    IdempotencyRunning,
    NotFound,
    XinqiaoError,
)
from schemas.records import CATALOGUE
from tests.consent_world import ITEMS, KEK, LENDER, SCOPES, Clock, Keks, ask, grant, person, uscc, world


async def granted(evidence: Evidence, **changes: Any) -> str:
    return (await evidence.submit(GrantConsent(grant(**changes), LENDER))).id


async def entries(evidence: Evidence) -> list[dict[str, Any]]:
    return [orjson.loads(e.entry) for e in await evidence.entries(0, 10_000)]


def issue(permit: Permit, profile_id: str, revision: int = 1) -> IssueProfile:
    return IssueProfile(permit.id, profile_id, revision, b"jws", (), ())


async def tally(evidence: Evidence, commands: list[OpenPermit]) -> list[Permit | XinqiaoError]:
    found = await asyncio.gather(*(evidence.submit(c) for c in commands), return_exceptions=True)
    assert all(isinstance(f, Permit | XinqiaoError) for f in found)
    return [f for f in found if isinstance(f, Permit | XinqiaoError)]


async def test_a_permit_is_a_counted_use_and_an_entry_that_names_what_may_be_asked(place: Path | str) -> None:
    async with world(place, permit_seconds=60) as evidence:
        consent_id = await granted(evidence)
        permit = await evidence.submit(ask("p1", consent_id))
        assert (permit.items, permit.replay, permit.consent.uses, permit.log_index) == (ITEMS, None, 1, 1)
        assert permit.valid_until.isoformat() == "2026-11-24T06:01:00+00:00"
        assert permit.granted_at.isoformat() == "2026-11-24T06:00:00+00:00"
        stored = await evidence.consent(consent_id)
        assert stored is not None
        assert (permit.consent.id, permit.consent.uses) == (stored.id, stored.uses)
        assert permit.consent.grant.model_dump() == stored.model_dump(include=set(ConsentDocument.model_fields))
        entry = (await entries(evidence))[1]
        assert entry["items"] == [
            ["sh-hrss", "social_insurance", ["kind", "month", "persons"]],
            ["sh-registry", "registration", ["name", "uscc"]],
        ]
        assert (entry["event"], entry["use"], entry["first"], entry["last"]) == (
            "permit.granted",
            1,
            "2025-12",
            "2026-11",
        )


async def test_a_permit_ends_no_later_than_its_consent(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence, valid_to="2026-11-24T06:00:30+00:00")
        permit = await evidence.submit(ask("p1", consent_id))
        assert permit.valid_until.isoformat() == "2026-11-24T06:00:30+00:00"


async def test_a_list_too_large_for_an_entry_is_sealed_and_committed_to(place: Path | str) -> None:
    scopes = [
        {"platform": f"platform-number-{n}", "dataset": name, "fields": list(CATALOGUE[name].fields)}
        for n, name in enumerate(CATALOGUE)
    ]
    items = tuple(PermitItem(s["platform"], s["dataset"], frozenset(s["fields"])) for s in scopes)  # type: ignore[arg-type]
    async with world(place) as evidence:
        consent_id = await granted(evidence, scopes=scopes, separate_consents=sorted(CATALOGUE))
        await evidence.submit(ask("p1", consent_id, items=items))
        entry = (await entries(evidence))[1]
        assert isinstance(entry["items"], str)
        assert len(bytes.fromhex(entry["items"])) == 32


async def test_the_entry_names_the_outlet_of_what_goes_through_one(place: Path | str) -> None:
    via = {"via": ["outlet-a"]}
    part = person(0, scopes=[{**person()["scopes"][0], **via}])
    async with world(place) as evidence:
        consent_id = await granted(
            evidence,
            scopes=[{**scope, **via} for scope in SCOPES],
            persons=[part],
            intermediaries=[{"id": "outlet-a", "name": "示例数据出口 (invented)"}],
        )
        made = await evidence.consent(consent_id)
        assert made is not None
        who = made.persons[0].subject
        court = PermitItem("sh-court", "judicial", frozenset({"kind"}), who, "outlet-a")
        items = (*ITEMS, ITEMS[0]._replace(outlet="outlet-a"), court, ITEMS[1]._replace(outlet="outlet-b"))
        permit = await evidence.submit(ask("p1", consent_id, items=items, persons=((part["role"], part["ref"]),)))
        assert permit.items == items[:4]
        assert (await entries(evidence))[permit.log_index]["items"] == [
            ["sh-court", "judicial", ["kind"], who, "outlet-a"],
            ["sh-hrss", "social_insurance", ["kind", "month", "persons"]],
            ["sh-registry", "registration", ["name", "uscc"]],
            ["sh-registry", "registration", ["name", "uscc"], None, "outlet-a"],
        ]


async def test_a_refusal_is_logged_before_it_is_raised_and_counts_nothing(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        with pytest.raises(ConsentOutOfScope) as caught:
            await evidence.submit(ask("p1", consent_id, first=(2020, 1)))
        assert caught.value.details == {"at": "period", "lookback_months": 24}
        with pytest.raises(ConsentMissing):
            await evidence.submit(ask("p2", consent_id, lender="bank-b"))
        with pytest.raises(ConsentMissing):
            await evidence.submit(ask("p3", "张三 310101"))
        _, first, foreign, unknown = await entries(evidence)
        assert (first["event"], first["code"], first["actor"]) == ("permit.refused", "consent_out_of_scope", LENDER)
        assert (foreign["code"], foreign["actor"], foreign["consent"]) == ("consent_missing", "bank-b", consent_id)
        assert (unknown["code"], unknown["consent"]) == ("consent_missing", None)
        held = await evidence.consent(consent_id)
        assert held is not None
        assert held.uses == 0


async def test_a_hundred_askers_at_once_get_exactly_the_uses_there_are(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence, max_uses=7)
        found = await tally(evidence, [ask(f"p{n}", consent_id) for n in range(100)])
        assert sum(isinstance(f, Permit) for f in found) == 7
        assert sum(isinstance(f, ConsentExhausted) for f in found) == 93
        held = await evidence.consent(consent_id)
        assert held is not None
        assert (held.uses, held.state) == (7, ConsentState.EXHAUSTED)
        assert sorted(e["use"] for e in await entries(evidence) if e["event"] == "permit.granted") == [*range(1, 8)]


async def test_a_frequency_counts_within_its_window_also_inside_one_batch(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence, frequency={"uses": 2, "days": 7})
        found = await tally(evidence, [ask(f"p{n}", consent_id) for n in range(3)])
        assert [type(f) for f in found] == [Permit, Permit, ConsentFrequencyExceeded]
        clock.forward(days=7, seconds=-1)
        with pytest.raises(ConsentFrequencyExceeded):
            await evidence.submit(ask("p3", consent_id))
        clock.forward(seconds=1)
        assert (await evidence.submit(ask("p4", consent_id))).consent.uses == 3


async def test_the_same_key_and_request_a_hundred_times_is_one_use(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        found = await tally(evidence, [ask(f"p{n}", consent_id, idempotency_key="k") for n in range(100)])
        assert sum(isinstance(f, Permit) for f in found) == 1
        assert sum(isinstance(f, IdempotencyRunning) for f in found) == 99
        (permit,) = (f for f in found if isinstance(f, Permit))
        await evidence.submit(issue(permit, "profile-1"))
        again = await evidence.submit(ask("p-again", consent_id, idempotency_key="k"))
        assert (again.replay, again.items, again.id, again.consent.uses) == ("profile-1", (), permit.id, 1)


async def test_a_key_with_another_request_is_a_mismatch_and_a_key_of_another_lender_invisible(
    place: Path | str,
) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        other = (await evidence.submit(GrantConsent(grant(grantee="bank-b"), "bank-b"))).id
        await evidence.submit(ask("p1", consent_id, idempotency_key="k"))
        with pytest.raises(IdempotencyMismatch):
            await evidence.submit(ask("p2", consent_id, idempotency_key="k", request_digest=b"other"))
        permit = await evidence.submit(ask("p3", other, idempotency_key="k", lender="bank-b", request_digest=b"other"))
        assert (permit.id, permit.replay) == ("p3", None)


async def test_a_failed_request_gets_its_own_permit_back_for_the_same_key_without_a_new_use(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence, max_uses=1)
        first = await evidence.submit(ask("p1", consent_id, idempotency_key="k"))
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        clock.forward(minutes=1)
        again = await evidence.submit(ask("p2", consent_id, idempotency_key="k"))
        assert (again.id, again.items, again.valid_until, again.consent.uses) == ("p1", ITEMS, first.valid_until, 1)
        with pytest.raises(IdempotencyRunning):
            await evidence.submit(ask("p3", consent_id, idempotency_key="k"))
        assert [e["event"] for e in await entries(evidence)][1:] == [
            "permit.granted",
            "permit.closed",
            "permit.resumed",
        ]


async def test_a_resumed_permit_names_what_may_be_asked_now_and_not_only_what_could_be_asked_before(
    place: Path | str,
) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id, idempotency_key="k", items=ITEMS[:1], last=(2026, 10)))
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        again = await evidence.submit(ask("p2", consent_id, idempotency_key="k"))
        resumed = (await entries(evidence))[-1]
        assert again.items == ITEMS
        assert (resumed["permit"], resumed["first"], resumed["last"]) == ("p1", "2025-12", "2026-11")
        assert [place[:2] for place in resumed["items"]] == [
            ["sh-hrss", "social_insurance"],
            ["sh-registry", "registration"],
        ]


async def test_the_keys_of_a_new_consent_are_at_hand_for_its_permit_once_they_are_durable_and_not_before(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(place) as evidence:
        with monkeypatch.context() as broken:
            broken.setattr("consent.ledger.Page.write", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await evidence.submit(GrantConsent(grant(), LENDER))
        subject = evidence.pseudonym(uscc())
        assert evidence._vault.cached(subject) is None
        consent = await evidence.submit(GrantConsent(grant(), LENDER))
        held = evidence._vault.cached(subject)
        assert held is not None
        monkeypatch.setattr("consent.vault.Vault.unwrap", lambda *_: pytest.fail("a key was read again"))
        permit = await evidence.submit(ask("p1", consent.id))
        assert permit.key is held[RetentionClass.PAYLOAD]


async def test_a_sweep_closes_what_it_can_where_a_consent_cannot_be_read_any_more(tmp_path: Path) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        for n in range(2):
            consent = await evidence.submit(GrantConsent(grant(n), LENDER))
            await evidence.submit(ask(f"p{n}", consent.id, n))
    async with world(tmp_path / "e.db", clock) as evidence:
        with sqlite3.connect(tmp_path / "e.db") as other:
            other.execute("UPDATE consent_documents SET document = x'7b7d'")
        other.close()
        clock.forward(minutes=15)
        assert await evidence.submit(Sweep()) == 2


async def test_a_retry_is_decided_again_so_a_revoked_consent_stops_it(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id, idempotency_key="k"))
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        await evidence.change_consent(ChangeConsent(consent_id, ConsentState.REVOKED, LENDER, "r"))
        with pytest.raises(ConsentRevoked):
            await evidence.submit(ask("p2", consent_id, idempotency_key="k"))


async def test_a_refused_request_leaves_no_key_behind(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        with pytest.raises(ConsentOutOfScope):
            await evidence.submit(ask("p1", consent_id, idempotency_key="k", items=()))
        assert (await evidence.submit(ask("p2", consent_id, idempotency_key="k"))).id == "p2"


async def test_a_key_is_free_again_after_its_permit_was_lost_or_after_a_day(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id, idempotency_key="k"))
        clock.forward(minutes=15)
        assert (await evidence.submit(ask("p2", consent_id, idempotency_key="k"))).id == "p2"
        await evidence.submit(issue(await evidence.submit(ask("p3", consent_id, idempotency_key="j")), "profile-3"))
        clock.forward(hours=24)
        other = ask("p4", consent_id, idempotency_key="j", request_digest=b"other")
        permit = await evidence.submit(other)
        assert (permit.id, permit.replay) == ("p4", None)
        with pytest.raises(IdempotencyRunning):
            await evidence.submit(other)


async def test_closing_is_done_once_and_only_for_what_exists(place: Path | str) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id))
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        size = evidence.size
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        assert evidence.size == size
        with pytest.raises(NotFound):
            await evidence.submit(CloseFailed("unknown", "deadline_exceeded"))


async def test_a_sweep_closes_orphans_as_unknown_and_forgets_old_keys(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence)
        for n in range(3):
            await evidence.submit(ask(f"p{n}", consent_id, idempotency_key=f"k{n}"))
        await evidence.submit(CloseFailed("p0", "deadline_exceeded"))
        assert await evidence.submit(Sweep()) == 0
        clock.forward(minutes=15)
        assert await evidence.submit(Sweep()) == 2
        assert await evidence.submit(Sweep()) == 0
        closed = [(e["permit"], e["code"]) for e in await entries(evidence) if e["event"] == "permit.closed"]
        assert closed == [("p0", "deadline_exceeded"), ("p1", "outcome_unknown"), ("p2", "outcome_unknown")]
        # The orphan's use stays spent: the same key now asks for a new one.
        assert (await evidence.submit(ask("p9", consent_id, idempotency_key="k1"))).consent.uses == 4
        clock.forward(hours=24)
        await evidence.submit(Sweep())
        assert (await evidence.submit(ask("p10", consent_id, idempotency_key="k1"))).id == "p10"


async def test_a_permit_that_is_closed_in_the_same_batch_is_not_swept_too(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id))
        clock.forward(minutes=15)
        _, swept = await asyncio.gather(evidence.submit(CloseFailed("p1", "stopped")), evidence.submit(Sweep()))
        assert swept == 0


async def test_orphans_of_a_crashed_process_are_swept_when_the_evidence_is_opened(place: Path | str) -> None:
    clock = Clock()
    async with world(place, clock) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id))
    clock.forward(minutes=15)
    async with world(place, clock) as evidence:
        # The journal is first come, first served: by now the sweep has had its turn.
        await evidence.submit(Sweep())
        assert [e["event"] for e in await entries(evidence)][-1] == "permit.closed"


async def test_who_of_the_lender_asked_is_in_each_entry_under_a_keyed_pseudonym_of_that_lender(
    place: Path | str,
) -> None:
    async with world(place) as evidence:
        consent_id = await granted(evidence)
        await evidence.submit(ask("p1", consent_id, idempotency_key="k", officer="E-1001"))
        await evidence.submit(CloseFailed("p1", "deadline_exceeded"))
        await evidence.submit(ask("p2", consent_id, idempotency_key="k", officer="E-1002"))
        for lender, officer in ((LENDER, "E-1001"), ("bank-b", "E-1001"), (LENDER, None)):
            with pytest.raises(ConsentMissing):
                await evidence.submit(ask("p3", "none", lender=lender, officer=officer))
        told = [(e["event"], e["officer"]) for e in await entries(evidence) if "officer" in e]
        mine, other = evidence.officer(LENDER, "E-1001"), evidence.officer(LENDER, "E-1002")
        theirs = evidence.officer("bank-b", "E-1001")
        assert told == [
            ("permit.granted", mine),
            ("permit.resumed", other),
            ("permit.refused", mine),
            ("permit.refused", theirs),
            ("permit.refused", None),
        ]
        assert len({mine, other, theirs}) == 3
        assert "E-100" not in str(await entries(evidence))
    assert Vault(Keks(KEK), b"q" * 32).officer(LENDER, "E-1001") != mine
