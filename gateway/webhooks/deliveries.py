"""Deliveries: one message to one endpoint, until it was taken or given up.

Nothing is written with a change. Each endpoint has a place in the evidence log, and ``Spread`` makes the deliveries of
the entries from there on in the same commit that moves the place: none is lost and none made twice, whatever is killed.
One process at a time sends to an endpoint, by a lease on its row, in the order of the log.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from consent.batch import Batch, Command
from consent.tables import consent_requests, consents, log_entries, log_head, webhook_deliveries, webhooks
from gateway.webhooks.endpoints import ACTIVE, GONE, opened, want_key
from gateway.webhooks.messages import LOG_EVENTS, message_of
from schemas.base import utc_text

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"
SPREAD = 512
"""Entries of the log that one commit looks at."""
PAGE = 100
SCHEDULE = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
"""Between the attempts, as Standard Webhooks has it: ten attempts in 75 hours and more."""
JITTER = 0.2
"""What chance adds to a wait at most, as a share of it."""
LONGEST = 86400
"""Seconds that an endpoint's Retry-After may ask for."""
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=30)
"""How long what is done can still be looked up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    index: int
    message: str
    type: str
    state: str
    attempts: int
    code: str | None
    created_at: str
    attempted_at: str | None
    due: str | None


_SHOWN = tuple(
    webhook_deliveries.c[name]
    for name in ("position", "message", "type", "state", "attempts", "code", "created_at", "attempted_at", "due")
)


def deliveries_of(connection: Connection, webhook: str, lender: str, before: int) -> list[Delivery] | None:
    """Those of entries below ``before``, newest first, at most ``PAGE``; None for a webhook of somebody else."""
    if connection.scalar(select(webhooks.c.id).where(webhooks.c.id == webhook, webhooks.c.lender == lender)) is None:
        return None
    mine = select(*_SHOWN).where(webhook_deliveries.c.webhook == webhook, webhook_deliveries.c.position < before)
    return [
        Delivery(*row) for row in connection.execute(mine.order_by(webhook_deliveries.c.position.desc()).limit(PAGE))
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """``behind``: the log has entries that no delivery was made of yet; ``due``: webhooks that nobody sends to now."""

    behind: bool
    due: tuple[str, ...]


def work(connection: Connection, now: str) -> Work:
    least = connection.scalar(select(func.min(webhooks.c.position)).where(webhooks.c.state == ACTIVE))
    if least is None:
        return Work(False, ())
    size = connection.execute(select(log_head.c.size)).scalar_one()
    due = (
        select(webhook_deliveries.c.webhook)
        .distinct()
        .join_from(webhook_deliveries, webhooks)
        .where(_due(now), webhooks.c.state == ACTIVE, _free(now))
    )
    return Work(least < size, tuple(connection.scalars(due.order_by(webhook_deliveries.c.webhook))))


def _due(now: str) -> ColumnElement[bool]:
    return (webhook_deliveries.c.state == PENDING) & (webhook_deliveries.c.due <= now)


def _free(now: str) -> ColumnElement[bool]:
    return webhooks.c.leased_until.is_(None) | (webhooks.c.leased_until <= now)


@dataclass(frozen=True, slots=True)
class Spread(Command[bool]):
    """Make the deliveries of the next entries; True where more entries wait."""

    def decide(self, batch: Batch) -> bool:
        connection = batch.connection
        active = select(webhooks.c.id, webhooks.c.lender, webhooks.c.events, webhooks.c.position)
        listening = connection.execute(active.where(webhooks.c.state == ACTIVE).order_by(webhooks.c.id)).all()
        size = batch.page.size
        start = min((w.position for w in listening), default=size)
        if start >= size:
            return False
        stop = min(start + SPREAD, size)
        told = select(log_entries.c.position, log_entries.c.leaf, log_entries.c.entry).where(
            log_entries.c.position >= start, log_entries.c.position < stop, log_entries.c.event.in_(LOG_EVENTS)
        )
        found = connection.execute(told.order_by(log_entries.c.position)).all()
        entries = [orjson.loads(row.entry) for row in found]
        rows = list(_made(found, entries, listening, _lenders(connection, entries), batch.time))
        if rows:
            connection.execute(insert(webhook_deliveries), rows)
        ahead = (webhooks.c.state == ACTIVE) & (webhooks.c.position < stop)
        connection.execute(update(webhooks).where(ahead).values(position=stop))
        return stop < size


def _lenders(connection: Connection, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Whose the consents and requests are that the entries name."""
    owners: dict[str, str] = {}
    for column, owner, ids in (
        (consents.c.id, consents.c.grantee, {e["consent"] for e in entries if e["consent"]}),
        (consent_requests.c.id, consent_requests.c.lender, {e["request"] for e in entries if "request" in e}),
    ):
        owners |= {row[0]: row[1] for row in connection.execute(select(column, owner).where(column.in_(ids)))}
    return owners


def _made(
    found: Sequence[Any],
    entries: Sequence[Mapping[str, Any]],
    listening: Sequence[Any],
    lenders: Mapping[str, str],
    now: str,
) -> Iterator[dict[str, object]]:
    wanted = {webhook.id: frozenset(orjson.loads(webhook.events)) for webhook in listening}
    for row, entry in zip(found, entries, strict=True):
        lender = lenders.get(entry.get("request") or entry["consent"])
        message = message_of(entry, row.leaf)
        for webhook in listening:
            if webhook.lender == lender and webhook.position <= row.position and message.type in wanted[webhook.id]:
                yield {
                    "webhook": webhook.id,
                    "position": row.position,
                    "message": message.id,
                    "type": message.type.value,
                    "body": message.body,
                    "actor": lender,
                    "consent": entry["consent"],
                    "subject": entry["subject"],
                    "created_at": now,
                    "state": PENDING,
                    "attempts": 0,
                    "due": now,
                }


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be sent now. ``attempts`` counts this one; ``secrets`` sign it, the newest first."""

    webhook: str
    index: int
    url: str
    message: str
    body: bytes
    attempts: int
    secrets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim(Command[Attempt | None]):
    """The first due delivery of a webhook, for the one process that holds its lease. None where nothing is due or
    another process sends; with nothing due the lease is given back."""

    webhook: str
    holder: str

    def needs(self, batch: Batch) -> None:
        want_key(batch)

    def decide(self, batch: Batch) -> Attempt | None:
        mine = (webhooks.c.id == self.webhook) & (webhooks.c.state == ACTIVE)
        mine &= _free(batch.time) | (webhooks.c.leased_by == self.holder)
        row = batch.connection.execute(select(webhooks).where(mine)).one_or_none()
        if row is None:
            return None
        first = select(webhook_deliveries).where(webhook_deliveries.c.webhook == self.webhook, _due(batch.time))
        due = batch.connection.execute(first.order_by(webhook_deliveries.c.position).limit(1)).one_or_none()
        lease = (None, None) if due is None else (self.holder, utc_text(batch.now + LEASE))
        leased = {"leased_by": lease[0], "leased_until": lease[1]}
        batch.connection.execute(update(webhooks).where(webhooks.c.id == self.webhook).values(leased))
        if due is None:
            return None
        counted = {"attempts": due.attempts + 1, "attempted_at": batch.time}
        batch.connection.execute(update(webhook_deliveries).where(_one(self.webhook, due.position)).values(counted))
        secrets = [row.secret]
        if row.old_until is not None and row.old_until > batch.time:
            secrets.append(row.old_secret)
        keys = tuple(opened(batch, self.webhook, secret) for secret in secrets)
        return Attempt(self.webhook, due.position, row.url, due.message, due.body, due.attempts + 1, keys)


def _one(webhook: str, index: int) -> ColumnElement[bool]:
    return (webhook_deliveries.c.webhook == webhook) & (webhook_deliveries.c.position == index)


@dataclass(frozen=True, slots=True)
class Failure:
    """``wait`` (seconds) until the next attempt, None for none. ``gone``: the endpoint wants no more of anything."""

    code: str
    wait: float | None
    gone: bool = False


def wait_after(attempts: int, asked: int | None) -> float | None:
    """Seconds from a failed attempt to the next one; None after the last. ``asked`` is the endpoint's Retry-After."""
    if attempts > len(SCHEDULE):
        return None
    planned = SCHEDULE[attempts - 1].total_seconds() * (1 + random.random() * JITTER)  # noqa: S311 - no secret
    return max(planned, min(asked or 0, LONGEST))


@dataclass(frozen=True, slots=True)
class Settle(Command[None]):
    """What came of an attempt. Changes nothing where the webhook is gone or another process has tried since."""

    attempt: Attempt
    failure: Failure | None

    def decide(self, batch: Batch) -> None:
        attempt, failure = self.attempt, self.failure
        same = _one(attempt.webhook, attempt.index) & (webhook_deliveries.c.attempts == attempt.attempts)
        row = batch.connection.execute(
            select(webhook_deliveries).where(same, webhook_deliveries.c.state == PENDING)
        ).one_or_none()
        if row is None:
            return
        change: dict[str, object] = {"code": failure.code if failure else None, "due": None}
        told = {"webhook": row.webhook, "about": row.position, "attempts": row.attempts}
        if failure is None:
            change["state"] = DELIVERED
            if row.type.startswith("consent."):
                batch.append("webhook.acknowledged", row.actor, row.consent, row.subject, told)
        elif failure.wait is not None:
            change["due"] = utc_text(batch.now + timedelta(seconds=failure.wait))
        else:
            change["state"] = DEAD
            batch.append("webhook.dead", row.actor, row.consent, row.subject, {**told, "code": failure.code})
        batch.connection.execute(update(webhook_deliveries).where(same).values(change))
        if failure is not None and failure.gone:
            self._close(batch, row.webhook, row.actor, failure.code)

    def _close(self, batch: Batch, webhook: str, lender: str, code: str) -> None:
        of = (webhook_deliveries.c.webhook == webhook) & (webhook_deliveries.c.state == PENDING)
        batch.connection.execute(update(webhook_deliveries).where(of).values(state=DEAD, due=None, code=code))
        batch.connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(state=GONE))
        batch.append("webhook.closed", lender, None, None, {"webhook": webhook, "code": GONE})


@dataclass(frozen=True, slots=True)
class Release(Command[None]):
    """A process that ends gives its leases back."""

    holder: str

    def decide(self, batch: Batch) -> None:
        held = webhooks.c.leased_by == self.holder
        batch.connection.execute(update(webhooks).where(held).values(leased_by=None, leased_until=None))


@dataclass(frozen=True, slots=True)
class Forget(Command[None]):
    """Take away what has been done for ``KEPT``, and secrets that sign no more."""

    def decide(self, batch: Batch) -> None:
        old = webhook_deliveries.c.attempted_at < utc_text(batch.now - KEPT)
        batch.connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.state != PENDING, old))
        over = webhooks.c.old_until <= batch.time
        batch.connection.execute(update(webhooks).where(over).values(old_secret=None, old_until=None))
