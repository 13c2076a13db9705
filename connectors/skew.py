"""How far a platform's clock is from ours, learned from the ``Date`` of its replies where TLS vouches for them."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

MOST = 300.0
"""Seconds that are followed at most [assumed]: further apart, one of the two clocks is wrong and a person must look."""


class PlatformClock:
    """Our wall clock, moved as little as agrees with what the platform said; called, it gives the Unix seconds that the
    platform has. ``ours`` gives ours.

    A ``Date`` has whole seconds and was written at some time between question and answer, so it bounds the distance
    from both sides: within the bounds nothing moves, and clocks that agree are left alone.
    """

    def __init__(self, ours: Callable[[], float]) -> None:
        self.ours = ours
        self.offset = 0.0
        """Seconds that the platform is ahead of us, as far as it is followed."""
        self.beyond: float | None = None
        """Seconds that it is ahead, where that is too far to be followed."""

    def __call__(self) -> float:
        return self.ours() + self.offset

    def hear(self, url: str, headers: Mapping[str, str], elapsed: float) -> None:
        """A reply to ``url`` came, ``elapsed`` seconds (of a clock that nobody sets) after its request was handed over.
        Without TLS anybody could have written the date; with an ``Age`` (RFC 9111) it is that of a stored reply."""
        if not url.startswith("https://") or "age" in headers:
            return
        text = headers.get("date", "")
        try:
            said = parsedate_to_datetime(text).timestamp() if text.endswith("GMT") else None
        except ValueError:
            said = None
        if said is None:
            return
        came = self.ours()
        least, most = said - came, said + 1 - (came - elapsed)
        nearest = min(max(self.offset, least), most)
        if abs(nearest) > MOST:
            self.beyond = nearest
        else:
            self.offset, self.beyond = nearest, None
