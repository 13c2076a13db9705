"""How often a platform may be called in a day, by all processes together."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connectors.ports import StateStore
from schemas.base import utc_text
from schemas.errors import QuotaExhausted

SHANGHAI = ZoneInfo("Asia/Shanghai")
SLICE = 20
"""A process takes calls in slices of a part of the day's quota, so that few calls wait for the database."""
MOST = 50


class Quota:
    """``daily`` calls in a day of Asia/Shanghai. A slice that a process took and did not use is not used by another:
    never more than the quota, at most a slice per process less."""

    def __init__(self, state: StateStore, platform: str, daily: int) -> None:
        self._state = state
        self._platform = platform
        self._daily = daily
        self._slice = max(1, min(MOST, daily // SLICE))
        self._day = ""
        self._left = 0
        self._asking = asyncio.Lock()

    async def take(self, now: float) -> None:
        """Count one call at ``now`` (Unix seconds). Raises QuotaExhausted."""
        local = datetime.fromtimestamp(now, SHANGHAI)
        day = local.date().isoformat()
        if day != self._day or not self._left:
            async with self._asking:
                if day != self._day or not self._left:
                    self._left = await self._state.take_quota(self._platform, day, self._slice, self._daily)
                    self._day = day
        if not self._left:
            tomorrow = datetime.combine(local.date() + timedelta(days=1), time(), SHANGHAI)
            raise QuotaExhausted(next_attempt_at=utc_text(tomorrow.astimezone(UTC)))
        self._left -= 1
