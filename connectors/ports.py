"""What a connector needs from outside, so that it knows neither consent nor databases."""

import time
from collections.abc import Callable
from typing import Protocol


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


class OpenGuard:
    """Lets everything through: for the developer's bench and tests, where no real platform is asked."""

    async def may_send(self) -> None:
        return

    async def may_keep(self) -> None:
        return
