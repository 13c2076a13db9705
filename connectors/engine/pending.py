"""Tickets of one fetch: kept where a restart does not lose them, asked about at the platform's pace, in its hours."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from connectors.engine import plan
from connectors.engine.window import changes
from connectors.ports import Expected, StateStore, Ticket
from schemas.base import utc_text
from schemas.dates import YearMonth
from schemas.errors import DeadlineExceeded, UpstreamError, UpstreamPending


def ticket_key(ticket: str) -> str:
    """What is kept of a ticket of ours; 256 random bits need no salt."""
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Tickets:
    """Those of one data set of one platform under ``use``; without a use nothing outlives the fetch."""

    state: StateStore
    use: str | None
    place: str
    callback_base: str

    async def held(self, terms: plan.Ticket, month: YearMonth | None) -> "Held | None":
        place = self._at(month)
        ticket = None if self.use is None else await self.state.ticket(self.use, place)
        return None if ticket is None else Held(self, terms, place, ticket)

    async def keep(self, terms: plan.Ticket, month: YearMonth | None, ticket: Ticket) -> "Held":
        place = self._at(month)
        if self.use is not None:
            await self.state.keep_ticket(self.use, place, ticket)
        return Held(self, terms, place, ticket)

    async def expected(self) -> Expected | None:
        """DeadlineExceeded where nobody will be there to hear the platform."""
        if self.use is None:
            raise DeadlineExceeded(waiting_for="callback")
        return await self.state.callback(self.use, self.place)

    async def callback_url(self) -> str:
        """Where the platform is to send its answer. The ticket in it is known to it alone: here is only its hash."""
        ticket = secrets.token_urlsafe(32)
        await self.state.expect_callback(str(self.use), self.place, ticket_key(ticket))
        return f"{self.callback_base}/{ticket}"

    async def open_callback(self, terms: plan.Callback, ticket: Ticket) -> Expected:
        await self.state.open_callback(str(self.use), self.place, ticket, terms.give_up)
        found = await self.state.callback(str(self.use), self.place)
        if found is None:
            # Shredded, or its permit has ended, since the platform was asked.
            raise DeadlineExceeded(waiting_for="callback")
        # Where it has come already, it is the late answer's all the same: what reads it also destroys it.
        return replace(found, arrived=None)

    async def drop_callback(self) -> None:
        await self.state.drop_callback(str(self.use), self.place)

    def _at(self, month: YearMonth | None) -> str:
        return self.place if month is None else f"{self.place}/{month[0]:04}-{month[1]:02}"


class Held:
    """One ticket while it is asked about. The time that passes here is counted by the loop's monotonic clock: a step of
    the wall clock neither ends a ticket nor gives it longer."""

    def __init__(self, tickets: Tickets, terms: plan.Ticket, place: str, ticket: Ticket) -> None:
        self.ticket = ticket
        self._tickets = tickets
        self._terms = terms
        self._place = place
        self._since = asyncio.get_running_loop().time()
        self._age: float | None = None

    async def check_hours(self, now: float) -> None:
        """``now``: Unix seconds. UpstreamPending where the platform may not be asked at this hour."""
        moment, hours = datetime.fromtimestamp(now, UTC), self._terms.hours
        if hours and not any(window.covers(moment) for window in hours):
            opens = changes(hours, moment)
            raise await self._later(now, 0.0 if opens is None else opens.timestamp() - now)

    async def wait(self, now: float, deadline: float) -> float:
        """Seconds until it may be asked about again, where that lies before ``deadline`` (the loop's clock).

        Raises UpstreamPending where it does not, and DeadlineExceeded where nobody will come back for it.
        """
        every = self._terms.every
        if asyncio.get_running_loop().time() + every >= deadline or self._left(now) <= every:
            raise await self._later(now, every)
        return every

    async def again(self, now: float, failure: UpstreamError) -> None:
        """A try to ask failed and may succeed later: raise UpstreamPending, or return where nobody will come back."""
        asked = failure.details.get("retry_after", 0)
        later = await self._later(now, max(self._terms.every, asked if isinstance(asked, int) else 0))
        if isinstance(later, UpstreamPending):
            raise later from None

    async def _later(self, now: float, seconds: float) -> UpstreamPending | DeadlineExceeded:
        if self._tickets.use is None:
            return DeadlineExceeded(waiting_for="ticket")
        if self._left(now) <= seconds:
            await self._tickets.state.drop_ticket(self._tickets.use, self._place)
            return DeadlineExceeded(waiting_for="ticket")
        return UpstreamPending(next_attempt_at=utc_text(datetime.fromtimestamp(now + seconds, UTC)))

    def _left(self, now: float) -> float:
        if self._age is None:
            self._age = max(0.0, now - self.ticket.given_at)
        return self._terms.give_up - self._age - (asyncio.get_running_loop().time() - self._since)
