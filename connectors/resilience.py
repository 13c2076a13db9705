"""Asking a platform again, and not asking it too often.

``attempts`` repeats a failed call with tenacity, inside a deadline and a budget; ``retry_after`` reads what the
platform wishes; ``Gate`` keeps to the concurrency and rate that a platform allows.
"""

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from schemas.errors import DeadlineExceeded, UpstreamError

T = TypeVar("T")
Clock = Callable[[], float]
"""Monotonic seconds, the event loop's clock in production."""
Sleep = Callable[[float], Awaitable[None]]

_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most ``attempts`` calls; before the n-th retry a random wait of up to ``base`` * 2^(n-1), at most ``cap``."""

    attempts: int = 3
    base: float = 0.2
    """Seconds."""
    cap: float = 2.0
    """Seconds."""


class RetryBudget:
    """Lets retries be at most a fifth of the calls of ten seconds that went well at once, or three where that is more.

    Shared by all calls to one platform. Only what goes well earns retries, so a platform in trouble gets hardly more
    than its callers, however long that lasts: in a minute at most 1.2 requests a caller, whatever share of them fails.
    """

    SHARE = 0.2
    FLOOR = 3
    WINDOW = 10.0

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._good = 0
        self._retries = 0

    def earn(self) -> None:
        """A first attempt did not have to be made again."""
        self._roll()
        self._good += 1

    def left(self) -> bool:
        self._roll()
        return self._retries + 1 <= max(self.FLOOR, self.SHARE * self._good)

    def spend(self, requests: int) -> None:
        self._retries += requests

    def take(self) -> bool:
        """Count a retry and say yes, or say no."""
        if not self.left():
            return False
        self.spend(1)
        return True

    def _roll(self) -> None:
        now = self._clock()
        if now - self._since >= self.WINDOW:
            self._since, self._good, self._retries = now, 0, 0


def retry_after(headers: Mapping[str, str], now: datetime) -> int | None:
    """Whole seconds that the platform asks us to wait (RFC 9110 section 10.2.3), a past date giving 0.

    ``headers`` has lower-case names, ``now`` is aware. None where nothing is asked, or nothing that can be read: a
    negative number, a fraction, a number of more than ten digits.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return int(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, math.ceil((moment - now).total_seconds()))


async def attempts(
    call: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    deadline: float,
    clock: Clock | None = None,
    budget: RetryBudget | None = None,
    sleep: Sleep = asyncio.sleep,
    on_attempt: Callable[[], None] | None = None,
) -> T:
    """Await ``call()``, again where its UpstreamError is retryable, until ``deadline`` on ``clock`` (the loop's).

    A wait that the error asks for (``retry_after`` in its details, seconds) comes on top of the random one; where it
    would pass the deadline there is no retry. The last error is raised as it is. DeadlineExceeded is raised when the
    time runs out inside a call. ``on_attempt`` is called at the start of every attempt.
    """
    clock = clock or asyncio.get_running_loop().time
    left = deadline - clock()
    if left <= 0:
        raise DeadlineExceeded
    try:
        async with asyncio.timeout(left) as timer:
            if on_attempt:
                on_attempt()
            try:
                answer = await call()
            except UpstreamError as err:
                if not err.retryable or policy.attempts <= 1:
                    raise
                return await _again(err, call, policy, deadline, clock, budget, sleep, on_attempt)
            if budget:
                budget.earn()
            return answer
    except TimeoutError:
        if timer.expired():
            raise DeadlineExceeded from None
        raise


async def _again(
    first: UpstreamError,
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    deadline: float,
    clock: Clock,
    budget: RetryBudget | None,
    sleep: Sleep,
    on_attempt: Callable[[], None] | None,
) -> T:
    # tenacity costs more than a whole call's bookkeeping, so a call that succeeds never meets it: the first failure
    # is handed to it as the outcome of its first attempt.
    failed: UpstreamError | None = first

    async def attempt() -> T:
        nonlocal failed
        if failed is not None:
            err, failed = failed, None
            raise err
        if on_attempt:
            on_attempt()
        return await call()

    backoff = wait_random_exponential(multiplier=policy.base, max=policy.cap)

    def wait(state: RetryCallState) -> float:
        return backoff(state) + _asked(state)

    enough = stop_after_attempt(policy.attempts)

    def stop(state: RetryCallState) -> bool:
        # Budget last: a retry that cannot be made in time takes nothing from it.
        late = clock() + state.upcoming_sleep >= deadline
        return enough(state) or late or (budget is not None and not budget.take())

    retrying = AsyncRetrying(
        sleep=sleep,
        stop=stop,
        wait=wait,
        retry=retry_if_exception(_retryable),
        reraise=True,
    )
    return await retrying(attempt)


def _retryable(err: BaseException) -> bool:
    return isinstance(err, UpstreamError) and err.retryable


def _asked(state: RetryCallState) -> float:
    err = state.outcome.exception() if state.outcome else None
    asked = err.details.get("retry_after", 0) if isinstance(err, UpstreamError) else 0
    return asked if isinstance(asked, int) else 0


class Gate:
    """``async with gate``: at most ``concurrency`` inside at once, at most ``rate`` entries in any second.

    A rate that is no whole number is kept over the time of its whole part (2.5/s: two in 0.8 s; 0.1/s: one in 10 s).
    Those who wait enter one by one. One who gives up (a deadline, a cancellation) has used nothing.
    """

    def __init__(
        self, concurrency: int, rate: float, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        burst = max(1, int(rate))
        self._rate = rate
        self._concurrency = self._allowed = concurrency
        self._owed = 0
        self._inside = asyncio.Semaphore(concurrency)
        self._entries: deque[float] = deque(maxlen=burst)
        self._span = burst / rate
        self._turn = asyncio.Lock()
        self._clock = clock
        self._sleep = sleep

    async def __aenter__(self) -> None:
        await self._inside.acquire()
        try:
            if self._turn.locked() or self._wait() > 0:
                async with self._turn:
                    while (wait := self._wait()) > 0:
                        await self._sleep(wait)
        except BaseException:
            self._leave()
            raise
        self._entries.append(self._clock())

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    async def share(self, processes: int) -> None:
        """Keep to this process's part of what the platform allows: of the rate exactly, of the concurrency at least
        one."""
        inside, burst = max(1, self._concurrency // processes), max(1, int(self._rate / processes))
        while self._allowed < inside:
            self._allowed += 1
            if self._owed:
                self._owed -= 1
            else:
                self._inside.release()
        while self._allowed > inside:
            self._allowed -= 1
            if self._inside.locked():
                self._owed += 1
            else:
                await self._inside.acquire()
        if burst != self._entries.maxlen:
            self._entries = deque(self._entries, maxlen=burst)
        self._span = burst * processes / self._rate

    def _leave(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._inside.release()

    def _wait(self) -> float:
        entries = self._entries
        return entries[0] + self._span - self._clock() if len(entries) == entries.maxlen else 0.0
