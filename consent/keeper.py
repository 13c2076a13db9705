"""Destroying what is due, what is asked for, and the key-encryption keys behind it: while the evidence is open."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from consent.epochs import next_epoch
from consent.retention import Due, Rules, ShredDue, by_rule, schedule
from consent.safe import Safe
from consent.shredding import MOST, SHREDDED, Reason, Shred, Shredding
from consent.vault import RetentionClass, Vault

RETENTION_SECONDS = 3600.0
EPOCH = timedelta(days=1)
"""How long a destroyed key waits at most for the end of its epoch."""
OPERATOR = "operator"


class Keeper:
    """``submit`` is the journal's, ``read`` runs a function on a reading connection; ``fold`` leaves nothing of what
    was overwritten in the database's own write-ahead log, as far as it can."""

    def __init__(
        self,
        submit: Callable[..., Any],
        read: Callable[..., Any],
        fold: Callable[[], Awaitable[None]],
        vault: Vault,
        safe: Safe,
        rules: Rules,
        clock: Callable[[], datetime],
    ) -> None:
        self._submit = submit
        self._read = read
        self._fold = fold
        self._vault = vault
        self._safe = safe
        self._rules = rules
        self._clock = clock
        self._ending = asyncio.Lock()

    async def shred(self, uscc: str, reason: Reason, basis: str, *, now: bool = False) -> Shredding:
        """Destroy the profiles and records of an enterprise; the proof of its consents stays. With ``now`` the epoch of
        their key ends at once. Raises NotFound, UnderHold and KeysUnavailable."""
        target = (self._vault.pseudonym(uscc), RetentionClass.PAYLOAD)
        done: Shredding
        (done,) = await self._submit(Shred((target,), reason, basis, OPERATOR, self._safe))
        if not now:
            await self._fold()
            return done
        await self.next_epoch()
        return replace(done, state=SHREDDED)

    async def next_epoch(self, at_least: timedelta | None = None) -> int | None:
        """Begin an epoch of the key-encryption key and destroy those before it; with ``at_least`` only where a
        destroyed key waits for it and the epoch has lasted that long. Raises KeysUnavailable."""
        async with self._ending:
            begun = await next_epoch(self._submit, self._read, self._safe, OPERATOR, at_least)
        if begun is not None:
            await self._fold()
        return begun

    async def schedule(self) -> list[Due]:
        """What goes when, by which rule; holds are shown."""
        found: list[Due]
        after: str | None
        found, after = await self._read(schedule, self._rules)
        while after is not None:
            more, after = await self._read(schedule, self._rules, after)
            found += more
        return found

    async def destroy_due(self) -> int:
        """Destroy what is due; answers how many keys."""
        count, after = 0, ""
        while True:
            dues, last = await self._read(schedule, self._rules, after)
            for found in by_rule(dues, self._clock()).values():
                for first in range(0, len(found), MOST):
                    part = tuple(found[first : first + MOST])
                    count += len(await self._submit(ShredDue(part, self._rules, OPERATOR, self._safe)))
            if last is None:
                if count:
                    await self._fold()
                return count
            after = last

    async def run(self) -> None:
        """Every hour what is due, and once a day, where a destroyed key waits for it, the end of an epoch."""
        while True:
            # Whatever a failed storage, a hold that came meanwhile or a missing key does, the next turn tries again.
            with suppress(Exception):
                await self.destroy_due()
                await self.next_epoch(EPOCH)
            await asyncio.sleep(RETENTION_SECONDS)
