"""What a connector needs from outside, so that it knows neither consent nor databases."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from schemas.base import utc_text


class Guard(Protocol):
    """One permit, seen from a connector: asked before every single send and on every arrival."""

    async def may_send(self) -> None:
        """Return when a send may start now; raise schemas.errors.ConsentError when it may not."""

    async def may_keep(self) -> None:
        """Return when an answer that arrived now may be kept; raise ConsentError when it may not."""


class Nonces(Protocol):
    """What must not come twice, in one process or in several."""

    async def first(self, nonce: str, seconds: float) -> bool:
        """True once for ``nonce``, and again only after ``seconds`` have passed."""


class MemoryNonces:
    """Those of one process, each for its time and no longer. ``clock`` is monotonic: a step of the wall clock must not
    let an old one in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    async def first(self, nonce: str, seconds: float) -> bool:
        now = self._clock()
        while self._until and self._until[oldest := next(iter(self._until))] <= now:
            del self._until[oldest]
        if self._until.get(nonce, now) > now:
            return False
        self._until.pop(nonce, None)
        self._until[nonce] = now + seconds
        return True


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a platform gave in place of an answer. ``given_at``: Unix seconds; ``digest``: SHA-256 of the raw reply that
    brought it."""

    value: str
    given_at: float
    digest: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a platform sent to a callback, once its signature had held. ``body`` is without the encryption of the
    dialect, ``digest`` the SHA-256 of the raw bytes."""

    digest: bytes
    content_type: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """A callback that is waited for until ``until`` (UTC text); ``over``: until then nothing came. ``ticket`` is what
    the reply to the submit said."""

    ticket: Ticket
    until: str
    over: bool
    arrived: Arrived | None


class StateStore(Protocol):
    """What connectors remember beyond one fetch, and beyond a restart. ``use`` is the permit, as Query names it;
    ``place`` is what the ticket is for."""

    async def ticket(self, use: str, place: str) -> Ticket | None:
        """The ticket that is held, or None."""

    async def keep_ticket(self, use: str, place: str, ticket: Ticket) -> None:
        """Returns once it would survive."""

    async def drop_ticket(self, use: str, place: str) -> None:
        """It is of no use any more; there need not be one."""

    async def expect_callback(self, use: str, place: str, key: str) -> None:
        """One is asked for now, under a ticket of ours whose SHA-256 is ``key`` (hex), in place of any before it. What
        comes before ``open_callback`` is not taken."""

    async def open_callback(self, use: str, place: str, ticket: Ticket, seconds: float) -> None:
        """The platform took the question: its callback is taken for ``seconds``, and within the permit."""

    async def callback(self, use: str, place: str) -> Expected | None:
        """The one that was opened, or None."""

    async def drop_callback(self, use: str, place: str) -> None:
        """None is waited for any more; none need have been."""

    async def take_quota(self, platform: str, day: str, wanted: int, daily: int) -> int:
        """At most ``wanted`` of the ``daily`` calls that all processes together may make on ``day``; 0 where none is
        left. What was given is used up."""


class MemoryState:
    """What is remembered by one process: for the developer's bench and tests."""

    def __init__(self) -> None:
        self.tickets: dict[tuple[str, str], Ticket] = {}
        self.used: dict[tuple[str, str], int] = {}
        self.expected: dict[tuple[str, str], Expected] = {}

    async def ticket(self, use: str, place: str) -> Ticket | None:
        return self.tickets.get((use, place))

    async def keep_ticket(self, use: str, place: str, ticket: Ticket) -> None:
        self.tickets[use, place] = ticket

    async def drop_ticket(self, use: str, place: str) -> None:
        self.tickets.pop((use, place), None)

    async def expect_callback(self, use: str, place: str, key: str) -> None:  # noqa: ARG002 - nobody calls back here
        await self.drop_callback(use, place)

    async def open_callback(self, use: str, place: str, ticket: Ticket, seconds: float) -> None:
        until = utc_text(datetime.fromtimestamp(ticket.given_at + seconds, UTC))
        self.expected[use, place] = Expected(ticket, until, False, None)

    async def callback(self, use: str, place: str) -> Expected | None:
        return self.expected.get((use, place))

    def arrive(self, use: str, place: str, arrived: Arrived) -> None:
        """What ``callback`` gives from now on; one must have been opened."""
        self.expected[use, place] = replace(self.expected[use, place], arrived=arrived)

    async def drop_callback(self, use: str, place: str) -> None:
        self.expected.pop((use, place), None)

    async def take_quota(self, platform: str, day: str, wanted: int, daily: int) -> int:
        used = self.used.get((platform, day), 0)
        given = max(0, min(wanted, daily - used))
        self.used[platform, day] = used + given
        return given


class OpenGuard:
    """Lets everything through: for the developer's bench and tests, where no real platform is asked."""

    async def may_send(self) -> None:
        return

    async def may_keep(self) -> None:
        return
