"""How the platforms stand: what `GET /v1/platforms` and `xinqiao connectors list --health` show."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from connectors.base import Connector
from connectors.engine.connector import DeclarativeConnector
from connectors.quota import SHANGHAI
from gateway.jobs.health import Summary, summary
from gateway.jobs.sharing import Told, told, used_today
from gateway.services import Services
from schemas.base import utc_text


@dataclass(frozen=True, slots=True)
class Standing:
    """``quota_left``: calls of today that no process has taken yet, None where the platform counts none;
    ``next_attempt_at`` (UTC text): when something is sent again, None where it is sent now."""

    summary: Summary
    breaker: Literal["closed", "open", "half_open"]
    quota_left: int | None
    next_attempt_at: str | None


async def standing(services: Services) -> Callable[[Connector], Standing]:
    """As all processes on the database say, within two seconds."""
    now = services.now()
    day = now.astimezone(SHANGHAI).date()
    heard = await services.evidence.read(told, now)
    used = await services.evidence.read(used_today, day.isoformat())
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), SHANGHAI)

    def of(connector: Connector) -> Standing:
        return _of(connector, heard, used.get(connector.id, 0), now, utc_text(midnight))

    return of


def _of(connector: Connector, heard: Told, used: int, now: datetime, midnight: str) -> Standing:
    until = heard.open_until.get(connector.id)
    waits, left = [until] if until else [], None
    breaker: Literal["closed", "open", "half_open"] = "open" if until else "closed"
    if isinstance(connector, DeclarativeConnector):
        if not until and not connector.breaker.closed:
            breaker = "half_open"
        if connector.daily is not None and not (left := max(0, connector.daily - used)):
            waits.append(midnight)
        if ends := connector.maintained_until():
            waits.append(utc_text(ends))
    return Standing(summary(heard.counted.get(connector.id, ()), now), breaker, left, max(waits, default=None))
