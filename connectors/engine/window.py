"""Times of the day or week: when a platform says beforehand that it will not answer, or when it may be asked."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.manifest_text import KeyPath, Refusal

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(r"(\w+) (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """A window by wall clock; one that ends before it starts goes over midnight."""

    day: str
    start: int
    end: int
    zone: ZoneInfo

    def covers(self, moment: datetime) -> bool:
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        if self.start <= self.end:
            return self._on(local.weekday()) and self.start <= minute < self.end
        return (self._on(local.weekday()) and minute >= self.start) or (
            self._on((local.weekday() - 1) % 7) and minute < self.end
        )

    def edges(self, moment: datetime) -> Iterator[datetime]:
        """Where it may begin or end on the days around and in the week after ``moment``."""
        today = moment.astimezone(self.zone).date()
        for day in range(-1, 9):
            for minute in (self.start, self.end):
                at = time(minute // 60, minute % 60, tzinfo=self.zone)
                yield datetime.combine(today + timedelta(days=day), at).astimezone(UTC)

    def _on(self, weekday: int) -> bool:
        return self.day in ("daily", _WEEKDAYS[weekday])


def changes(windows: Sequence[Window], moment: datetime) -> datetime | None:
    """When it is first otherwise than at ``moment``, where one of ``windows`` covers it or none does; None where that
    is not within a week."""
    inside = any(window.covers(moment) for window in windows)
    for edge in sorted(edge for window in windows for edge in window.edges(moment)):
        if edge > moment and any(window.covers(edge) for window in windows) is not inside:
            return edge
    return None


def compile_window(text: str, at: KeyPath) -> Window:
    day, h1, m1, h2, m2, zone = _WINDOW.fullmatch(text).groups()  # type: ignore[union-attr]
    try:
        return Window(day, int(h1) * 60 + int(m1), int(h2) * 60 + int(m2), ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise Refusal(at, "use a time zone of the IANA list, e.g. `Asia/Shanghai`") from None
