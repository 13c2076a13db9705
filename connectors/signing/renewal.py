"""Credentials that a platform gives for a time: renewed early, by one request for all, and never before need lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from connectors.decoding import decode_text
from connectors.json_tree import Tree, parse_json
from connectors.wire import WireReply
from schemas.errors import (
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamServerError,
    UpstreamStatus,
)

_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Issued:
    """A token or secret. ``early`` and ``until`` are on the monotonic clock: renewed from the one on, of no use from
    the other on."""

    value: str
    early: float
    until: float


def issued(value: str, asked_at: float, lifetime: float) -> Issued:
    """Renewed one minute before its end, or a tenth of its life where that is shorter."""
    return Issued(value, asked_at + lifetime - min(60.0, lifetime / 10), asked_at + lifetime)


class Renewal:
    """Holds one credential. However many requests need a new one, one of them fetches it.

    While the old one is still good the others go on with it, and so do all where the fetching fails. It is kept beside
    the new one until its own end, and comes back where the platform refuses the new one. Where there is none left,
    those who waited for a fetch that failed fail the same way instead of asking again one after the other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._current: Issued | None = None
        self._previous: Issued | None = None
        self._not_before = float("-inf")
        self._lock = asyncio.Lock()
        self._failures = 0
        self._last_failure: UpstreamError | None = None

    async def get(self, fetch: Callable[[], Awaitable[Issued]]) -> str:
        if (value := self._usable()) is not None:
            return value
        failures_seen = self._failures
        async with self._lock:
            if (value := self._usable(waited=True)) is not None:
                return value
            if self._failures != failures_seen and self._last_failure is not None:
                raise type(self._last_failure)(**self._last_failure.details)
            try:
                fresh = await fetch()
            except UpstreamError as err:
                self._failures += 1
                self._last_failure = err
                if (held := self._good(self._current)) is None:
                    raise
                self._not_before = self.clock() + _PAUSE
                return held.value
            self._previous, self._current = self._good(self._current), fresh
            return fresh.value

    def held(self) -> Iterator[str]:
        """The newest first."""
        return (one.value for one in (self._current, self._previous) if one is not None)

    def refused(self, value: str) -> None:
        """The platform did not accept ``value``. Of no effect where it is the current one no longer, so that a burst
        of refusals costs one renewal."""
        if self._current is None or self._current.value != value:
            return
        self._current, self._previous = self._good(self._previous), None
        self._not_before = self.clock() + _PAUSE

    def _usable(self, *, waited: bool = False) -> str | None:
        held = self._good(self._current)
        if held is None:
            return None
        now = self.clock()
        busy = self._lock.locked() and not waited
        return held.value if now < held.early or now < self._not_before or busy else None

    def _good(self, one: Issued | None) -> Issued | None:
        return one if one is not None and self.clock() < one.until else None


def read_answer(reply: WireReply, at: str) -> Mapping[str, Tree]:
    """The JSON object of a reply that issues a credential; ``at`` names the credential in errors.

    UpstreamDenied, UpstreamBusy, UpstreamServerError or UpstreamStatus by HTTP status, UpstreamMalformed or
    UpstreamCharset where a successful reply is not as it must be.
    """
    if reply.status in (400, 401, 403):
        raise UpstreamDenied(at=at, status=reply.status)
    if reply.status in (429, 503):
        raise UpstreamBusy(at=at, status=reply.status)
    if reply.status != 200:
        error = UpstreamServerError if reply.status >= 500 else UpstreamStatus
        raise error(at=at, status=reply.status)
    answer = parse_json(decode_text(reply.body, None, ("utf-8",)))
    if not isinstance(answer, dict):
        raise UpstreamMalformed(at=at)
    return answer


def read_lifetime(end: object, now: float, at: str) -> float:
    """Seconds from ``now`` (Unix seconds, when it was asked for) to ``end`` (Unix milliseconds, number or text)."""
    if isinstance(end, str) and end.isascii() and end.isdigit() and len(end) < 16:
        end = int(end)
    if type(end) is not int or not now < end / 1000 < now + 366 * 86400:
        raise UpstreamMalformed(at=at)
    return end / 1000 - now
