"""«Is the consent still good?» without a database read per call.

A good check grants a lease of at most 200 ms on the monotonic clock, counted from before the read, and a send must
start inside it. A revocation is acknowledged after its commit plus one lease, so no process can start a call after the
acknowledgement (PIPL 15: withdrawal takes effect).

On SQLite the read does not give way, a point read of some tens of microseconds that the event loop makes itself:
between it and the send nothing else runs, so a busy loop makes a lease lapse more often but never keeps a good consent
from sending. On PostgreSQL the loop waits for the answer; one that it comes to too late to be a lease is asked for
again, and after that nothing is sent: a loop that lags by a lease is too busy to promise anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from weakref import WeakValueDictionary

from consent.permits import Permit
from schemas.errors import CONSENT_ERRORS, ConsentExpired, StorageUnavailable

LEASE_SECONDS = 0.2
_TRIES = 3

ReadStanding = Callable[[str], Awaitable[str | None]]
"""What stops a consent now, by its refusal code, or None: consent.policy.standing on the stored row."""


class Lease:
    """One consent's lease, shared by everything in this process that acts on the consent."""

    def __init__(self, consent_id: str, read: ReadStanding, monotonic: Callable[[], float]) -> None:
        self._consent_id = consent_id
        self._read = read
        self._monotonic = monotonic
        self._until = float("-inf")
        self._since = float("-inf")
        self._asking = asyncio.Lock()

    def grant(self, checked_at: float) -> None:
        """A check that began at ``checked_at`` was good. One that began before the last drop counts for nothing."""
        if checked_at >= self._since:
            self._until = max(self._until, checked_at + LEASE_SECONDS)

    def drop(self) -> None:
        self._since, self._until = self._monotonic(), float("-inf")

    async def check(self) -> None:
        """Return inside a lease. Raises the ConsentError of what stops the consent, or StorageUnavailable."""
        if self._monotonic() < self._until:
            return
        # One asks for all that wait; what it found may be enough for the next.
        async with self._asking:
            tries = 0
            while (now := self._monotonic()) >= self._until:
                if tries == _TRIES:
                    # Reads that take longer than a lease prove nothing about now.
                    raise StorageUnavailable(retry_after=1)
                tries += 1
                if code := await self._read(self._consent_id):
                    raise CONSENT_ERRORS[code]
                self.grant(now)


class PermitGuard:
    """One permit as a connector sees it: asked before every single send and on every arrival."""

    def __init__(self, lease: Lease, valid_until: datetime, clock: Callable[[], datetime]) -> None:
        self._lease = lease
        self._valid_until = valid_until
        self._clock = clock

    async def may_send(self) -> None:
        """Return when a send may start now; raise ConsentError when it may not."""
        if self._clock() >= self._valid_until:
            raise ConsentExpired(what="permit")
        await self._lease.check()

    async def may_keep(self) -> None:
        """Return when an answer that arrived now may be kept; raise ConsentError when it may not."""
        await self.may_send()


class Leases:
    """The leases that somebody in this process holds; one that nobody holds any more is forgotten."""

    def __init__(
        self,
        read: ReadStanding,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._monotonic = monotonic
        self._leases: WeakValueDictionary[str, Lease] = WeakValueDictionary()

    def guard(self, permit: Permit) -> PermitGuard:
        """The decision that granted the permit was itself a good check."""
        lease = self._leases.get(permit.consent.id)
        if lease is None:
            lease = self._leases[permit.consent.id] = Lease(permit.consent.id, self._read, self._monotonic)
        lease.grant(permit.checked_at)
        return PermitGuard(lease, permit.valid_until, self._clock)

    def drop(self, consent_id: str) -> None:
        """Nothing more starts in this process on what was known of this consent."""
        if lease := self._leases.get(consent_id):
            lease.drop()
