"""How often a client may be refused before it is told to wait, so that neither credit codes nor ids can be walked
through (OWASP API4:2023), and so that refusals cannot fill the log.

Every refusal is an entry of its own until the client's allowance is used up. From then on its requests are answered
429 unread, and one entry a minute says how many there were.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from consent.evidence import Evidence
from consent.profiles import RecordEvent, access_refused
from schemas.errors import TooManyRequests

UNKNOWN = "unknown"
"""Who the log says did it where nobody could be told: a token was asked for with a wrong assertion."""
TELL_SECONDS = 60.0


@dataclass(slots=True)
class _Account:
    level: float
    at: float
    unwritten: int = 0
    told: float = -math.inf


class Refusals:
    """Per client ``burst`` refusals at once and ``per_minute`` more every minute. Only clients of the settings and
    ``UNKNOWN`` have an account, so the memory is bounded; each process counts for itself. ``clock`` is in seconds."""

    def __init__(
        self, evidence: Evidence, burst: int, per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._evidence = evidence
        self._burst = float(burst)
        self._rate = per_minute / 60
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def _account(self, client: str) -> _Account:
        now = self._clock()
        account = self._accounts.setdefault(client, _Account(self._burst, now))
        account.level = min(self._burst, account.level + (now - account.at) * self._rate)
        account.at = now
        return account

    def spend(self, client: str) -> bool:
        """Count one refusal; False where the allowance was used up before. What was let in side by side and is refused
        beyond it is owed: the client waits longer, so that a thousand requests at once gain no more than one by one."""
        account = self._account(client)
        left = account.level >= 1
        account.level -= 1
        return left

    async def admit(self, client: str) -> None:
        """Raises TooManyRequests while the client's allowance is used up."""
        account = self._account(client)
        if account.level >= 1:
            if account.unwritten:
                await self._tell(client, account)
            return
        retry_after = math.ceil((1 - account.level) / self._rate)
        account.unwritten += 1
        await self._tell(client, account)
        raise TooManyRequests(retry_after=retry_after)

    async def invalid_client(self, operation: str) -> None:
        """Somebody failed to show who it is. Written down like any refusal, but nobody else is made to wait for it."""
        if self._account(UNKNOWN).level >= 1:
            self.spend(UNKNOWN)
            await self._evidence.submit(access_refused(UNKNOWN, "invalid_client", operation, None))
            return
        account = self._account(UNKNOWN)
        account.unwritten += 1
        await self._tell(UNKNOWN, account)

    async def _tell(self, client: str, account: _Account) -> None:
        if account.at - account.told < TELL_SECONDS:
            return
        account.told, count, account.unwritten = account.at, account.unwritten, 0
        await self._evidence.submit(RecordEvent("access.limited", client, None, None, {"count": count}))

    async def close(self) -> None:
        """Write down what was not told yet."""
        for client, account in self._accounts.items():
            if account.unwritten:
                account.told = -math.inf
                await self._tell(client, account)
