"""Answers that come after the profile was issued: pending, asked for again, and a new revision; also after a kill."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, func, select

from connectors.base import Found, Reply
from connectors.ports import Ticket
from consent.consents import ChangeConsent
from consent.shredding import Reason
from gateway.jobs import late as module
from gateway.jobs.late import LateAnswers
from gateway.jobs.pending import ClaimLate, ReleaseLate, due
from gateway.jobs.state import DatabaseState
from gateway.jobs.tables import late_profiles, tickets
from gateway.profile.carried import Carried, unpacked
from gateway.profile.request import read_profile
from gateway.services import Services
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import NotFound, Shredded
from schemas.profile import Profile
from tests.late_world import LENDER, TICKET, Watch, ask, bureau, consent, gateway, settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0.0)


@asynccontextmanager
async def asking(services: Services) -> AsyncIterator[LateAnswers]:
    async with module.late_answers(services):
        yield LateAnswers(services)


async def profile(services: Services, profile_id: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((await read_profile(services, profile_id, LENDER)).payload)
    return found


async def revision(services: Services, profile_id: str, number: int) -> dict[str, Any]:
    """The profile, once it has come to this revision."""

    async def there() -> bool:
        return bool((await profile(services, profile_id))["revision"] >= number)

    await until(there)
    found = await profile(services, profile_id)
    assert found["revision"] == number
    return found


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await done():  # noqa: ASYNC110 - another process, or the database, is what is waited for
            await asyncio.sleep(0.02)


def left(connection: Connection) -> tuple[int, int]:
    """Profiles with something to come, and tickets."""
    late, held = (connection.scalar(select(func.count()).select_from(t)) for t in (late_profiles, tickets))
    return late or 0, held or 0


async def nothing_left(services: Services) -> None:
    async def nothing() -> bool:
        return await services.evidence.read(left) == (0, 0)

    await until(nothing)


async def one_left(services: Services) -> bool:
    return (await services.evidence.read(left))[0] == 1


async def events(services: Services, consent_id: str) -> list[str]:
    return [orjson.loads(one.entry)["event"] for one in await services.evidence.entries_about(consent_id)]


async def test_what_is_not_ready_is_pending_with_its_next_attempt_and_comes_as_a_new_revision(tmp_path: Path) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        consent_id = await consent(services, max_uses=1)
        first = await ask(services, consent_id)
        Profile.model_validate_json(orjson.dumps({k: v for k, v in first.items() if k != "log"}))
        (source,) = first["sources"]
        assert (source["state"], source["reason"]) == ("pending", "upstream_pending")
        assert utc_text(datetime.now(UTC) - timedelta(seconds=5)) < source["next_attempt_at"]
        assert first["sections"]["provident_fund"]["state"] == "pending"
        assert first["completeness"]["missing"] == {"provident_fund": "upstream_pending"}
        platform.ready()
        async with asking(services):
            second = await revision(services, first["id"], 2)
        (source,) = second["sources"]
        assert (source["state"], source["next_attempt_at"]) == ("present", None)
        assert second["sections"]["provident_fund"]["records"] == [
            {"month": "2026-10", "persons": 30, "base": "312000.00"}
        ]
        assert second["completeness"]["complete"] is True
        steps = [(step["what"], step["outcome"]) for step in source["timeline"]]
        assert steps == [("submit", "answered"), ("poll", "pending"), ("poll", "answered")]
        assert sum(step["times"] for step in source["timeline"]) == source["attempts"] == len(platform.polls) + 1
        earlier, rest = first["sources"][0]["timeline"], source["timeline"]
        assert [step["what"] for step in earlier] == ["submit", "poll"]
        assert earlier[0] == rest[0]
        # One question, one use, whatever number of polls.
        assert (platform.submits, set(platform.polls)) == (1, {"t-1"})
        held = await services.evidence.consent(consent_id)
        assert held is not None
        assert held.uses == 1
        told = await events(services, consent_id)
        assert [e for e in told if e != "profile.read"][-3:] == ["permit.granted", "profile.issued", "profile.issued"]
        await nothing_left(services)


async def test_while_it_is_not_ready_nothing_is_issued_and_the_pace_is_kept(tmp_path: Path) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        first = await ask(services, await consent(services))
        before = len(platform.polls)
        async with asking(services):

            async def polled() -> bool:
                return len(platform.polls) >= before + 4

            await until(polled)
            assert (await profile(services, first["id"]))["revision"] == 1
            platform.ready()
            await revision(services, first["id"], 2)
        assert platform.submits == 1


@pytest.mark.parametrize("to", [ConsentState.REVOKED, ConsentState.SUSPENDED])
async def test_under_a_withdrawn_consent_nothing_is_asked_any_more(tmp_path: Path, to: ConsentState) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        consent_id = await consent(services)
        first = await ask(services, consent_id)
        platform.ready()
        await services.evidence.change_consent(ChangeConsent(consent_id, to, LENDER, "示例"))
        before = len(platform.polls)
        async with asking(services):
            if to is ConsentState.REVOKED:
                await nothing_left(services)
            else:
                later = utc_text(services.now() + timedelta(seconds=50))

                async def rests() -> bool:
                    found = await services.evidence.read(lambda c: c.scalar(select(late_profiles.c.due)))
                    return bool(found and found > later)

                await until(rests)
        assert len(platform.polls) == before
        assert (await profile(services, first["id"]))["revision"] == 1


async def test_a_consent_that_rested_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUSPENDED_SECONDS", 0.05)
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        consent_id = await consent(services)
        first = await ask(services, consent_id)
        platform.ready()
        await services.evidence.change_consent(ChangeConsent(consent_id, ConsentState.SUSPENDED, LENDER, "示例"))
        async with asking(services):
            await asyncio.sleep(0.2)
            await services.evidence.change_consent(ChangeConsent(consent_id, ConsentState.ACTIVE, LENDER, "示例"))
            await revision(services, first["id"], 2)


async def test_a_withdrawal_between_poll_and_arrival_releases_nothing(tmp_path: Path) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        consent_id = await consent(services)
        first = await ask(services, consent_id)

        async def withdraw() -> None:
            platform.before = None
            await services.evidence.change_consent(ChangeConsent(consent_id, ConsentState.REVOKED, LENDER, "示例"))

        platform.ready()
        platform.before, before = withdraw, len(platform.polls)
        async with asking(services):
            await nothing_left(services)
        assert len(platform.polls) == before + 1
        assert (await profile(services, first["id"]))["revision"] == 1


async def test_what_would_come_after_the_permit_is_not_pending(tmp_path: Path) -> None:
    made = TICKET.replace("300ms", "1h")
    async with bureau() as platform, gateway(settings(tmp_path, platform.url, ticket=made), Watch()) as services:
        (source,) = (await ask(services, await consent(services)))["sources"]
        assert (source["state"], source["reason"]) == ("unavailable", "deadline_exceeded")
        assert await services.evidence.read(lambda c: left(c)[0]) == 0


async def test_what_is_not_ready_when_the_permit_ends_is_said_so_in_a_last_revision(tmp_path: Path) -> None:
    async with bureau() as platform:
        watch = Watch()
        made = settings(tmp_path, platform.url, ticket=TICKET.replace("300ms", "1s"), permit_seconds=10)
        async with gateway(made, watch) as services:
            # The permit ends two and a half seconds from now.
            watch.ahead = timedelta(seconds=-7.5)
            first = await ask(services, await consent(services))
            assert first["sources"][0]["state"] == "pending"
            watch.ahead = timedelta(0)
            async with asking(services):
                last = await revision(services, first["id"], 2)
            assert (last["sources"][0]["state"], last["sources"][0]["reason"]) == ("unavailable", "deadline_exceeded")
            await nothing_left(services)


async def test_what_nobody_asked_for_in_time_is_forgotten_with_its_permit(tmp_path: Path) -> None:
    watch = Watch()
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), watch) as services:
        await ask(services, await consent(services))
        assert await services.evidence.read(left) == (1, 1)
        watch.ahead = timedelta(seconds=700)
        before = len(platform.polls)
        async with asking(services):
            await nothing_left(services)
        assert len(platform.polls) == before


async def test_one_process_asks_at_a_time_and_another_takes_over_when_its_lease_lapses(tmp_path: Path) -> None:
    watch = Watch()
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), watch) as services:
        first = await ask(services, await consent(services))
        watch.ahead = timedelta(seconds=1)
        evidence = services.evidence
        (permit_id,) = await evidence.read(due, utc_text(watch()))
        assert await evidence.submit(ClaimLate(permit_id, "one", 60)) is not None
        assert await evidence.submit(ClaimLate(permit_id, "two", 60)) is None
        assert await evidence.read(due, utc_text(watch())) == []
        watch.ahead = timedelta(seconds=62)
        assert await evidence.submit(ClaimLate(permit_id, "two", 60)) is not None
        await evidence.submit(ReleaseLate("one"))
        assert await evidence.submit(ClaimLate(permit_id, "one", 60)) is None
        await evidence.submit(ReleaseLate("two"))
        platform.ready()
        async with asking(services):
            await revision(services, first["id"], 2)


async def test_a_process_that_is_killed_leaves_its_tickets_to_the_next_one(tmp_path: Path) -> None:
    async with bureau() as platform:
        async with gateway(settings(tmp_path, platform.url), Watch()) as services:
            consent_id = await consent(services)
        command = [sys.executable, "-m", "tests.late_worker", str(tmp_path), platform.url, consent_id]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        profile_id = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        platform.polled.clear()
        await asyncio.wait_for(platform.polled.wait(), 20)
        process.kill()
        await process.wait()
        platform.ready()
        # It held the lease: that has to lapse first.
        watch = Watch()
        watch.ahead = timedelta(seconds=90)
        async with gateway(settings(tmp_path, platform.url), watch) as services, asking(services):
            second = await revision(services, profile_id, 2)
        assert second["sources"][0]["state"] == "present"
        assert (platform.submits, set(platform.polls)) == (1, {"t-1"})


async def test_what_was_pending_at_a_platform_that_is_gone_after_a_restart_is_said_to_be_unavailable(
    tmp_path: Path,
) -> None:
    async with bureau() as platform:
        made = settings(tmp_path, platform.url)
        async with gateway(made, Watch()) as services:
            first = await ask(services, await consent(services))
        polls = len(platform.polls)
        without = made.model_copy(update={"connectors": [], "allow_connectors": [], "platforms": {}})
        later = Watch()
        later.ahead = timedelta(seconds=30)
        async with gateway(without, later) as services, asking(services):
            found = await revision(services, first["id"], 2)
        assert [(s["state"], s["reason"]) for s in found["sources"]] == [("unavailable", "connector_fault")]
        assert found["sections"]["provident_fund"]["state"] == "unavailable"
        assert len(platform.polls) == polls


async def test_a_late_answer_takes_the_place_of_what_an_outlet_passed_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on = Reply(Found.FOUND, ({"month": "2026-10", "persons": 29},), None, datetime.now(UTC), 1, bytes(32), None)

    def answered(work: bytes) -> Carried:
        carried = unpacked(work)
        (waiting,) = carried.gathered
        through = replace(waiting.item, outlet="xx-outlet", fallback=True)
        return replace(carried, gathered=(waiting, replace(waiting, item=through, reply=passed_on, error=None)))

    monkeypatch.setattr(module, "unpacked", answered)
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        first = await ask(services, await consent(services))
        platform.ready()
        async with asking(services):
            second = await revision(services, first["id"], 2)
        assert [(source["via"], source["state"]) for source in second["sources"]] == [(None, "present")]
        assert [row["persons"] for row in second["sections"]["provident_fund"]["records"]] == [30]


async def test_a_ticket_is_found_again_by_a_request_that_goes_on_under_its_permit(tmp_path: Path) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        await ask(services, await consent(services))
        (permit_id,) = await services.evidence.read(lambda c: list(c.scalars(select(tickets.c.permit_id))))
        state = DatabaseState()
        state.open(services.evidence)
        held = await state.ticket(permit_id, "xx-bureau/provident_fund")
        assert held is not None
        assert held.value == "t-1"
        await state.keep_ticket(permit_id, "x", Ticket("a", 5, b"d"))
        await state.keep_ticket(permit_id, "x", Ticket("b", 6, b"e"))
        assert await state.ticket(permit_id, "x") == Ticket("b", 6, b"e")
        await state.drop_ticket(permit_id, "x")
        assert await state.ticket(permit_id, "x") is None
        assert await state.ticket("nobody", "x") is None
        with pytest.raises(NotFound):
            await state.keep_ticket("nobody", "x", Ticket("b", 6, b"e"))


async def test_what_is_kept_of_a_ticket_cannot_be_read_in_the_database(tmp_path: Path) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        await ask(services, await consent(services))
        rows = await services.evidence.read(
            lambda c: [*c.scalars(select(tickets.c.ticket)), *c.scalars(select(late_profiles.c.work))]
        )
        assert len(rows) == 2
        assert not any(b"t-1" in one or b"uscc" in one for one in rows)


@pytest.mark.parametrize("ready", [True, False])
async def test_what_was_shredded_while_its_late_answer_was_on_its_way_does_not_come_back(
    tmp_path: Path, ready: bool
) -> None:
    async with bureau() as platform, gateway(settings(tmp_path, platform.url), Watch()) as services:
        consent_id = await consent(services)
        first = await ask(services, consent_id)
        done = asyncio.Event()

        async def shred() -> None:
            platform.before = None
            await services.evidence.keeper.shred(first["subject"]["uscc"], Reason.REQUESTED, "an invented law")
            # From here on the enterprise has a new key.
            await ask(services, consent_id)
            if ready:
                platform.ready()
            done.set()

        platform.before = shred
        async with asking(services), asyncio.timeout(20):
            await done.wait()
            if not ready:
                await until(lambda: one_left(services))
            platform.ready()
            await nothing_left(services)
        with pytest.raises(Shredded):
            await profile(services, first["id"])
        assert platform.polls.index("t-2") > max(n for n, ticket in enumerate(platform.polls) if ticket == "t-1")
        assert await services.evidence.audit() == []
