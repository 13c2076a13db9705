"""Token buckets in memory: how often one link may be used, and one address may try links that do not exist."""

import time
from collections import OrderedDict
from collections.abc import Callable

from schemas.errors import TooManyRequests

KEPT = 10_000


class Buckets:
    """Per key ``burst`` at once, and one more every ``every`` seconds. Of more than ``KEPT`` keys the one that was
    longest unused is forgotten; each process counts for itself."""

    def __init__(self, burst: int, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._every = every
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises TooManyRequests."""
        now = self._clock()
        level, at = self._held.get(key, (float(self._burst), now))
        level = min(float(self._burst), level + (now - at) / self._every)
        allowed = level >= 1
        self._held[key] = (level - 1 if allowed else level, now)
        self._held.move_to_end(key)
        if len(self._held) > KEPT:
            self._held.popitem(last=False)
        if not allowed:
            raise TooManyRequests(retry_after=max(1, int(self._every)))
