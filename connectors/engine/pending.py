"""Tickets of one fetch: kept where a restart does not lose them, asked about at the platform's pace, in its hours."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.engine import plan
from connectors.engine.window import changes
from connectors.ports import StateStore, Ticket
from schemas.base import utc_text
from schemas.dates import YearMonth
from schemas.errors import DeadlineExceeded, UpstreamError, UpstreamPending


@dataclass(frozen=True, slots=True)
class Tickets:
    """Those of one data set of one platform under ``use``; without a use nothing outlives the fetch."""

    state: StateStore
    use: str | None
    place: str

    async def held(self, terms: plan.Ticket, month: YearMonth | None) -> "Held | None":
        place = self._at(month)
        ticket = None if self.use is None else await self.state.ticket(self.use, place)
        return None if ticket is None else Held(self, terms, place, ticket)

    async def keep(self, terms: plan.Ticket, month: YearMonth | None, ticket: Ticket) -> "Held":
        place = self._at(month)
        if self.use is not None:
            await self.state.keep_ticket(self.use, place, ticket)
        return Held(self, terms, place, ticket)

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
