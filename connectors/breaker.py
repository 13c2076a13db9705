"""Leaving a platform alone while it is down: nothing is sent until it has had time, and then a little at first."""

import random
import time
from collections.abc import Callable

from connectors.resilience import Clock
from schemas.errors import CircuitOpen


class Breaker:
    """Opens where at least ``FAILURES`` calls of ten seconds, and half of all, failed: no connection, cut off, no reply
    in time, or HTTP 5xx. What a platform answers, 4xx or unreadable, never opens it.

    Open for ``SECONDS`` and a random part of a second more, so that several do not come back at one moment. Then at
    most ``PROBES`` calls at a time go through, until as many have succeeded; one that fails opens it again.
    """

    FAILURES = 5
    WINDOW = 10.0
    SECONDS = 5.0
    PROBES = 2

    def __init__(self, clock: Clock = time.monotonic, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._since = clock()
        self._calls = 0
        self._failures = 0
        self._until: float | None = None
        self._probing = 0
        self._good = 0

    @property
    def closed(self) -> bool:
        return self._until is None

    @property
    def wait(self) -> float:
        """Seconds until something may be sent; 0 also while probes are let through."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def hold(self, seconds: float) -> None:
        """Another process found the platform down, and lets nothing through for ``seconds``."""
        if seconds > self.wait:
            self._open(seconds)

    def enter(self) -> bool:
        """Whether this call is a probe. Raises CircuitOpen where nothing may be sent."""
        if self._until is None:
            return False
        if self._clock() < self._until or self._probing >= self.PROBES:
            raise CircuitOpen
        self._probing += 1
        return True

    def leave(self, probe: bool, good: bool | None) -> None:
        """The call that ``enter`` let through has ended; None where that says nothing about the platform."""
        if probe:
            self._probing -= 1
        if good is None:
            return
        if self._until is not None:
            # A call from before it opened says nothing new.
            if probe:
                self._probed(good)
            return
        now = self._clock()
        if now - self._since >= self.WINDOW:
            self._since, self._calls, self._failures = now, 0, 0
        self._calls += 1
        if not good:
            self._failures += 1
            if self._failures >= self.FAILURES and 2 * self._failures >= self._calls:
                self._open(self.SECONDS + self._chance())

    def _probed(self, good: bool) -> None:
        if not good:
            self._open(self.SECONDS + self._chance())
            return
        self._good += 1
        if self._good >= self.PROBES:
            self._until, self._since, self._calls, self._failures = None, self._clock(), 0, 0

    def _open(self, seconds: float) -> None:
        self._until, self._good = self._clock() + seconds, 0
