"""Maintenance windows: when a platform says beforehand that it will not answer."""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.manifest_text import KeyPath, Refusal

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(r"(\w+) (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window by wall clock; one that ends before it starts goes over midnight."""

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

    def _on(self, weekday: int) -> bool:
        return self.day in ("daily", _WEEKDAYS[weekday])


def compile_window(text: str, at: KeyPath) -> Window:
    day, h1, m1, h2, m2, zone = _WINDOW.fullmatch(text).groups()  # type: ignore[union-attr]
    try:
        return Window(day, int(h1) * 60 + int(m1), int(h2) * 60 + int(m2), ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise Refusal(at, "use a time zone of the IANA list, e.g. `Asia/Shanghai`") from None
