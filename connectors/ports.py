"""What a connector needs from outside, so that it knows neither consent nor databases."""

from typing import Protocol


class Guard(Protocol):
    """One permit, seen from a connector: asked before every single send and on every arrival."""

    async def may_send(self) -> None:
        """Return when a send may start now; raise schemas.errors.ConsentError when it may not."""

    async def may_keep(self) -> None:
        """Return when an answer that arrived now may be kept; raise ConsentError when it may not."""


class OpenGuard:
    """Lets everything through: for the developer's bench and tests, where no real platform is asked."""

    async def may_send(self) -> None:
        return

    async def may_keep(self) -> None:
        return
