"""How each source did in the last thirty minutes: counted in memory by the minute, without anything of anybody."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import orjson

from schemas.errors import CircuitOpen, Maintenance, PlatformOff, QuotaExhausted, UpstreamError, UpstreamPending

MINUTES = 30
CLASSES = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 8000, 30000, 180000)
"""Upper bounds, in milliseconds, of the classes that answers are counted in."""
AILING_FETCHES = 10
AILING_SHARE = Decimal("0.5")
# Nothing was asked, or nothing answered yet: that says nothing about how the source is doing.
_SILENT = (CircuitOpen, Maintenance, PlatformOff, QuotaExhausted, UpstreamPending)

Minutes = dict[int, list[int]]
"""By minute since 1970: fetches that gave an answer, those that failed, and the answers in each of ``CLASSES``."""


@dataclass(frozen=True, slots=True)
class Summary:
    """``share`` of the fetches that gave an answer, to four places; ``p50``: half of the answers took at most so many
    milliseconds (the upper bound of the class that holds the median). None where there was none."""

    fetches: int
    share: Decimal | None
    p50: int | None


def summary(several: Iterable[Minutes], now: datetime) -> Summary:
    """Of the last ``MINUTES`` minutes, this one included, over all processes."""
    first = _minute(now) - MINUTES + 1
    counts = [held for minutes in several for minute, held in minutes.items() if minute >= first]
    good, failed = (sum(held[i] for held in counts) for i in (0, 1))
    share = Decimal(good) / (good + failed) if good + failed else None
    p50, seen = None, 0
    for place, bound in enumerate(CLASSES):
        seen += sum(held[2 + place] for held in counts)
        if good and 2 * seen >= good:
            p50 = bound
            break
    return Summary(good + failed, None if share is None else share.quantize(Decimal("0.0001")), p50)


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // 60


def packed(minutes: Minutes) -> str:
    return orjson.dumps({str(minute): held for minute, held in minutes.items()}).decode()


def unpacked(text: str) -> Minutes:
    return {int(minute): held for minute, held in orjson.loads(text).items()}


@dataclass(slots=True)
class Health:
    """What this process saw. ``ailing``: connectors that are asked last among those that stand in for each other."""

    minutes: dict[str, Minutes] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """Connectors whose counts changed since somebody last took them away."""
    ailing: frozenset[str] = frozenset()

    def record(self, connector: str, error: UpstreamError | None, latency_ms: int, now: datetime) -> None:
        if isinstance(error, _SILENT):
            return
        minutes, minute = self.minutes.setdefault(connector, {}), _minute(now)
        if minute not in minutes:
            minutes[minute] = [0] * (2 + len(CLASSES))
            for old in [known for known in minutes if known <= minute - MINUTES]:
                del minutes[old]
        if error is not None:
            minutes[minute][1] += 1
        else:
            minutes[minute][0] += 1
            minutes[minute][2 + min(bisect_left(CLASSES, latency_ms), len(CLASSES) - 1)] += 1
        self.changed.add(connector)

    def judge(self, open_: Iterable[str], seen: Mapping[str, Iterable[Minutes]], now: datetime) -> None:
        """``open_``: connectors that are not sent to; ``seen``: what all processes counted."""
        found = {name: summary(minutes, now) for name, minutes in seen.items()}
        weak = {
            name
            for name, one in found.items()
            if one.fetches >= AILING_FETCHES and one.share is not None and one.share < AILING_SHARE
        }
        self.ailing = frozenset(weak | set(open_))
