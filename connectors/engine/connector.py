"""The connector that a manifest describes: sign, send, decode, judge, check whose data it is, read, answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import orjson

from connectors.base import Progress, Query, Reply
from connectors.breaker import Breaker
from connectors.engine.call import Caller, Line, Transport
from connectors.engine.callback import Receiver
from connectors.engine.pending import Tickets
from connectors.engine.plan import per_second, seconds
from connectors.engine.run import Run
from connectors.engine.tuning import AS_STATED, Tuning, windows_of
from connectors.engine.window import changes
from connectors.manifest import Loaded
from connectors.ports import Guard, MemoryState, StateStore
from connectors.quota import Quota
from connectors.resilience import Gate, RetryBudget, RetryPolicy
from connectors.signing import SCHEMES
from connectors.signing.base import Signer, new_nonce
from connectors.skew import PlatformClock
from schemas.base import utc_text
from schemas.errors import ConfigurationError, InvalidRequest, Maintenance
from schemas.manifest import Manifest

EARLY = 0.2
"""Seconds."""


class DeclarativeConnector:
    """One platform, shared by all requests; made inside a running event loop.

    ``secrets`` are this connector's own, by the names that its manifest declares. ``base_url`` replaces the
    manifest's. ``clock`` gives Unix seconds; ``nonce`` 10 to 20 letters or digits that no earlier request had.
    ``state`` outlives a fetch; without it that is this object's memory. ``tuning`` is what holds here in place of what
    the manifest says. ``callback_url`` is where platforms send what they send by themselves.
    Raises ConfigurationError where a secret is missing or has not the form that the scheme needs, and where a data set
    needs ``callback_url``.
    """

    def __init__(
        self,
        loaded: Loaded,
        transport: Transport,
        secrets: Mapping[str, str],
        *,
        base_url: str | None = None,
        clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = new_nonce,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        state: StateStore | None = None,
        tuning: Tuning = AS_STATED,
        callback_url: str | None = None,
    ) -> None:
        manifest = loaded.manifest
        if missing := sorted(set(manifest.auth.secrets) - secrets.keys()):
            raise ConfigurationError(connector=manifest.id, at=f"secrets.{missing[0]}", mend="give it a value")
        loaded.reachable(callback_url)
        own = {name: secrets[name] for name in manifest.auth.secrets}
        self._loaded = loaded
        self._clock = clock
        self._sleep = sleep
        self._state = state or MemoryState()
        self.limits = limits = tuning.limits_of(manifest)
        """As they are in force; the manifest's own are in ``manifest``."""
        self.freshness = tuning.freshness_of(manifest)
        """In force too, by data set."""
        self._windows = windows_of(limits)
        reply = manifest.reply
        self._caps = (limits.max_pages, limits.max_rows)
        self._line = Line(
            base_url=base_url or manifest.base_url,
            transport=transport,
            gate=Gate(limits.concurrency, per_second(limits.rate)),
            budget=RetryBudget(),
            policy=RetryPolicy(attempts=limits.attempts),
            timeout=seconds(limits.timeout),
            clock=PlatformClock(clock),
            nonce=nonce,
            sleep=sleep,
            breaker=Breaker(),
            quota=Quota(self._state, manifest.id, limits.daily) if limits.daily else None,
            opener=SCHEMES[reply.scheme].opener(reply.options, own, bound=reply.bound) if reply else None,
        )
        scheme = SCHEMES[manifest.auth.scheme]
        # Data sets with the same switches share one signer, and with it one token.
        made: dict[bytes, Signer] = {}
        self._signers: dict[str, Signer] = {}
        for name, plan in loaded.plans.items():
            options = loaded.options(plan)
            key = orjson.dumps(options, option=orjson.OPT_SORT_KEYS)
            self._signers[name] = made[key] = made.get(key) or scheme.build(options, own)
        self._callback_base = f"{callback_url}/{manifest.id}"
        self.receivers: Mapping[str, Receiver] = {
            name: Receiver(plan, terms, SCHEMES[terms.signed.scheme].verifier(terms.signed.options, own))
            for name, plan in loaded.plans.items()
            if (terms := plan.callback)
        }
        """What hears its callbacks, by data set."""

    @property
    def id(self) -> str:
        return self._loaded.manifest.id

    @property
    def manifest(self) -> Manifest:
        return self._loaded.manifest

    @property
    def version(self) -> str:
        return self._loaded.version

    @property
    def names(self) -> Mapping[str, str]:
        names = self._loaded.manifest.names
        return {"zh": names.zh, "en": names.en}

    @property
    def assurance(self) -> str:
        return self._loaded.manifest.assurance

    @property
    def breaker(self) -> Breaker:
        return self._line.breaker

    @property
    def gate(self) -> Gate:
        return self._line.gate

    @property
    def clock_offset(self) -> float:
        """Seconds that the platform's clock is ahead of ours, as far as is known."""
        clock = self._line.clock
        return clock.offset if clock.beyond is None else clock.beyond

    @property
    def daily(self) -> int | None:
        """Calls that the platform allows in a day of Asia/Shanghai."""
        return self.limits.daily

    def maintained_until(self) -> datetime | None:
        """When the maintenance window that it is in now ends."""
        now, windows = datetime.fromtimestamp(self._clock(), UTC), self._windows
        return changes(windows, now) if any(window.covers(now) for window in windows) else None

    def heard_at(self) -> float:
        """Unix seconds of the platform's clock, as far as is known: by it a callback is fresh or stale."""
        return self._line.clock()

    @property
    def base_url(self) -> str:
        """Where it asks."""
        return self._line.base_url

    @property
    def outlet(self) -> bool:
        """Whether it passes on what other platforms hold."""
        return self._loaded.outlet

    @property
    def datasets(self) -> Mapping[str, frozenset[str]]:
        return self._loaded.datasets

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        """See connectors.base.Connector. InvalidRequest for a data set or fields that the manifest does not offer, and
        for a period without a month: asking nothing must never look like an empty answer."""
        plan = self._loaded.plans.get(query.dataset)
        if plan is None:
            raise InvalidRequest(at="dataset", connector=self.id)
        if query.first > query.last or query.fields.isdisjoint(plan.specs):
            raise InvalidRequest(at="period" if query.first > query.last else "fields", connector=self.id)
        tickets = Tickets(self._state, query.use, f"{self.id}/{query.dataset}", self._callback_base)
        # What the platform is to send, or has sent, needs no call.
        asks = plan.callback is None or await tickets.expected() is None
        if asks and self._windows:
            now = datetime.fromtimestamp(self._clock(), UTC)
            if any(window.covers(now) for window in self._windows):
                ends = changes(self._windows, now)
                raise Maintenance(connector=self.id, **({} if ends is None else {"next_attempt_at": utc_text(ends)}))
        if plan.ticket:
            # A little before the time is up, so that what was not ready is known as such and not as cut off.
            deadline -= min(EARLY, (deadline - asyncio.get_running_loop().time()) / 10)
        caller = Caller(self._line, self._signers[query.dataset], guard, deadline, progress)
        return await Run(plan, query, caller, progress, self._caps, self._clock, self._sleep, tickets).reply()
