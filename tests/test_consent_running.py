"""What ends a consent reaches a profile that is being made: no further call, nothing that arrives late is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Progress, Query, Reply, Subject
from connectors.ports import Guard
from consent.amendments import AmendConsent
from consent.consents import ChangeConsent, GrantConsent
from consent.evidence import Evidence
from consent.policy import PermitItem
from consent.profiles import IssueProfile
from gateway.profile.collect import collect
from gateway.profile.plan import Item, Plan
from schemas.consent import ConsentState
from schemas.errors import ConsentError
from tests.consent_world import LENDER, NAME, Clock, ask, grant, uscc, world
from tests.profiles import reply

End = Callable[[Evidence, str, Clock], Awaitable[object]]
FIELDS = frozenset({"month", "persons"})


class Pages:
    """A platform with as many pages as it is asked for, each let through by the test; counts its calls."""

    id, version, assurance = "x", "1.0+0123456789ab", "assumed"
    datasets = {"provident_fund": FIELDS}  # noqa: RUF012
    names = {"zh": "x", "en": "x"}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls = 0
        self.kept = 0
        self.asked = asyncio.Event()
        self.arrive = asyncio.Event()

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        while True:
            await guard.may_send()
            self.calls += 1
            self.asked.set()
            await self.arrive.wait()
            await guard.may_keep()
            self.kept += 1
            if self.kept == 100:
                return reply([{"month": "2026-10", "persons": 4}])


def to(state: ConsentState) -> End:
    async def act(evidence: Evidence, consent_id: str, clock: Clock) -> object:
        return await evidence.change_consent(ChangeConsent(consent_id, state, LENDER, "said so"))

    return act


async def amend(evidence: Evidence, consent_id: str, clock: Clock) -> object:
    new: dict[str, Any] = {
        "given_at": "2026-11-01T00:00:00+00:00",
        "evidence": {"sha256": "a" * 64, "media_type": "a/b"},
    }
    return await evidence.change_consent(AmendConsent(consent_id, GrantConsent(grant(**new), LENDER)))


async def expire(evidence: Evidence, consent_id: str, clock: Clock) -> object:
    clock.forward(minutes=5)
    return None


ENDS: dict[str, tuple[End, str]] = {
    "revoked": (to(ConsentState.REVOKED), "consent_revoked"),
    "suspended": (to(ConsentState.SUSPENDED), "consent_suspended"),
    "superseded": (amend, "consent_superseded"),
    "expired": (expire, "consent_expired"),
}


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS.keys())
async def test_a_running_profile_of_several_sources_stops_and_keeps_nothing(
    tmp_path: Path, end: End, code: str
) -> None:
    clock = Clock()
    async with world(tmp_path / "e.db", clock) as evidence:
        scopes = [{"platform": p, "dataset": "provident_fund", "fields": sorted(FIELDS)} for p in ("one", "two")]
        terms = grant(scopes=scopes, valid_to="2026-11-24T06:05:00+00:00")
        consent = await evidence.submit(GrantConsent(terms, LENDER))
        items = tuple(Item(name, "provident_fund", FIELDS) for name in ("one", "two"))
        permit = await evidence.submit(
            ask("p1", consent.id, items=tuple(PermitItem(i.platform, i.dataset, i.fields) for i in items))
        )
        sources = {"one": Pages(), "two": Pages()}
        plan = Plan(items, frozenset({"provident_fund"}), {}, (2026, 1), (2026, 11))
        deadline = asyncio.get_running_loop().time() + 20
        running = asyncio.create_task(collect(plan, sources, Subject(uscc(), NAME), evidence.guard(permit), deadline))
        await asyncio.gather(*(source.asked.wait() for source in sources.values()))
        await end(evidence, consent.id, clock)
        before = [source.calls for source in sources.values()]
        for source in sources.values():
            source.arrive.set()
        with pytest.raises(ConsentError) as caught:
            await running
        assert caught.value.code == code
        assert [source.calls for source in sources.values()] == before == [1, 1]
        assert [source.kept for source in sources.values()] == [0, 0]
        with pytest.raises(ConsentError) as caught:
            await evidence.submit(IssueProfile("p1", "profile-1", 1, b"jws", (), ()))
        assert caught.value.code == code
        assert await evidence.profile("profile-1") is None
        assert await evidence.audit() == []
