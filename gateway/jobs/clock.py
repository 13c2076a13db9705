"""Steps of the clock that the log's times come from, seen beside the monotonic one and written into the log.

A time limit, a lease, a breaker or a token of a platform goes by the monotonic clock and does not notice. The times in
the log do: an entry says by how much, so that whoever reads the entries around it can tell.
"""

from dataclasses import dataclass
from datetime import datetime

from consent.batch import Batch, Command

LEAST = 1.0
"""Seconds. Less is what a clock does that is being kept right without a step."""


class Steps:
    def __init__(self) -> None:
        self._last: tuple[datetime, float, float] | None = None

    def seen(self, told: datetime, before: float, after: float) -> int:
        """Whole seconds that the clock was moved by since it was told last, backwards negative; 0 where it was not.

        It told at some moment between ``before`` and ``after`` (monotonic seconds), so how long ago it was told last
        is known within bounds: a step is what goes beyond them.
        """
        last, self._last = self._last, (told, before, after)
        if last is None:
            return 0
        went = (told - last[0]).total_seconds()
        step = max(0.0, went - (after - last[1])) + min(0.0, went - (before - last[2]))
        return round(step) if abs(step) >= LEAST else 0


@dataclass(frozen=True, slots=True)
class Stepped(Command[None]):
    """That a process saw the log's clock move by ``seconds`` beside its own monotonic one."""

    seconds: int

    def decide(self, batch: Batch) -> None:
        batch.append("clock.stepped", "gateway", None, None, {"seconds": self.seconds})
