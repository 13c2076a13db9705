"""A lender's endpoints: where it wants to be told, of what, and the secret that signs what it is told."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import orjson
from sqlalchemy import Connection, delete, func, insert, select, update

from connectors.addresses import is_public
from consent.batch import Batch, Command, Refusal
from consent.tables import webhook_deliveries, webhooks
from consent.vault import RetentionClass, Sealed, SubjectKey
from gateway.webhooks.messages import WebhookEvent
from gateway.webhooks.signing import new_secret
from schemas.base import utc_text
from schemas.errors import InvalidRequest, NotFound

ACTIVE = "active"
GONE = "gone"
"""The endpoint answered 410; nothing is sent to it any more."""
MOST = 16
"""Endpoints of one lender."""
OVERLAP = timedelta(hours=24)
"""How long the old secret signs beside a new one."""

_KEY_SUBJECT = "webhooks"
"""Secrets are sealed under a key of this name: no pseudonym of an enterprise, which is 32 hex digits."""
_URL = re.compile(r"(https?)://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?(?:/[!\"$-~]*)?")


def check_url(url: str, allow_private: Collection[str]) -> None:
    """Raise InvalidRequest for what is never sent to. A name is looked at again with each connection, when its address
    is known: it can change. ``allow_private`` lists ``host:port``: for those plain HTTP is good enough too."""
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[3] or 443) < 65536:
        raise InvalidRequest(at="url", mend="https://host/path without user name or fragment")
    scheme, host, port = match.groups()
    if f"{host}:{port or (443 if scheme == 'https' else 80)}".lower() in {entry.lower() for entry in allow_private}:
        return
    if scheme != "https":
        raise InvalidRequest(at="url", mend="https")
    # What ends in a number is an address, however it is written (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    bare = host.strip("[]")
    if (host != bare or bare.rstrip(".").rpartition(".")[2][:1].isdigit()) and not is_public(bare):
        raise InvalidRequest(at="url", mend="a public address")


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    url: str
    events: tuple[WebhookEvent, ...]
    state: str
    created_at: str


@dataclass(frozen=True, slots=True)
class NewSecret:
    """``old_until``: the secret before it signs too until then; None for the first one."""

    endpoint: Endpoint
    secret: bytes = field(repr=False)
    old_until: str | None


_COLUMNS = (webhooks.c.id, webhooks.c.url, webhooks.c.events, webhooks.c.state, webhooks.c.created_at)


def _endpoint(id: str, url: str, events: str, state: str, created_at: str) -> Endpoint:
    return Endpoint(id, url, tuple(WebhookEvent(name) for name in orjson.loads(events)), state, created_at)


def endpoints_of(connection: Connection, lender: str) -> list[Endpoint]:
    """Oldest first."""
    rows = select(*_COLUMNS).where(webhooks.c.lender == lender).order_by(webhooks.c.created_at, webhooks.c.id)
    return [_endpoint(*row) for row in connection.execute(rows)]


def want_key(batch: Batch) -> None:
    batch.keys.want(_KEY_SUBJECT)


def _key(batch: Batch) -> SubjectKey:
    # Both classes, as with every other subject: only a full set is remembered.
    batch.keys.get(_KEY_SUBJECT, RetentionClass.PAYLOAD)
    return batch.keys.get(_KEY_SUBJECT, RetentionClass.EVIDENCE)


def _sealed(batch: Batch, webhook: str, secret: bytes) -> bytes:
    return _key(batch).seal("webhooks", webhook, secret).packed()


def opened(batch: Batch, webhook: str, sealed: bytes) -> bytes:
    """A secret as its row holds it. Raises KeysUnavailable."""
    return _key(batch).open("webhooks", webhook, Sealed.unpacked(sealed))


@dataclass(frozen=True, slots=True)
class RegisterWebhook(Command[NewSecret]):
    """From its own entry on, the lender is told of ``events`` at ``url``. Raises InvalidRequest for one too many."""

    webhook: str
    lender: str
    url: str
    events: Sequence[WebhookEvent]

    def needs(self, batch: Batch) -> None:
        want_key(batch)

    def decide(self, batch: Batch) -> NewSecret | Refusal:
        connection = batch.connection
        held = connection.scalar(select(func.count()).where(webhooks.c.lender == self.lender)) or 0
        if held >= MOST:
            return Refusal(InvalidRequest(at="webhooks", mend=f"at most {MOST}; delete one first"))
        names = sorted({event.value for event in self.events})
        index, _ = batch.append(
            "webhook.registered", self.lender, None, None, {"webhook": self.webhook, "events": [*names]}
        )
        secret, events = new_secret(), orjson.dumps(names).decode()
        connection.execute(
            insert(webhooks).values(
                id=self.webhook,
                lender=self.lender,
                url=self.url,
                events=events,
                state=ACTIVE,
                created_at=batch.time,
                position=index + 1,
                secret=_sealed(batch, self.webhook, secret),
            )
        )
        return NewSecret(_endpoint(self.webhook, self.url, events, ACTIVE, batch.time), secret, None)


@dataclass(frozen=True, slots=True)
class RotateSecret(Command[NewSecret]):
    """A new secret; the one before signs beside it for ``OVERLAP``. Raises NotFound, also for another lender's."""

    webhook: str
    lender: str

    def needs(self, batch: Batch) -> None:
        want_key(batch)

    def decide(self, batch: Batch) -> NewSecret | Refusal:
        mine = (webhooks.c.id == self.webhook) & (webhooks.c.lender == self.lender)
        row = batch.connection.execute(select(webhooks.c.secret, *_COLUMNS).where(mine)).one_or_none()
        if row is None:
            return Refusal(NotFound(what="webhook"))
        secret, until = new_secret(), utc_text(batch.now + OVERLAP)
        changed = {"secret": _sealed(batch, self.webhook, secret), "old_secret": row.secret, "old_until": until}
        batch.connection.execute(update(webhooks).where(mine).values(changed))
        batch.append("webhook.rotated", self.lender, None, None, {"webhook": self.webhook})
        return NewSecret(_endpoint(*row[1:]), secret, until)


@dataclass(frozen=True, slots=True)
class RemoveWebhook(Command[None]):
    """Nothing is sent there any more, and what was to be sent is forgotten. Raises NotFound, as ``RotateSecret``."""

    webhook: str
    lender: str

    def decide(self, batch: Batch) -> Refusal | None:
        mine = (webhooks.c.id == self.webhook) & (webhooks.c.lender == self.lender)
        if batch.connection.scalar(select(func.count()).where(mine)) == 0:
            return Refusal(NotFound(what="webhook"))
        batch.connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook == self.webhook))
        batch.connection.execute(delete(webhooks).where(mine))
        batch.append("webhook.closed", self.lender, None, None, {"webhook": self.webhook, "code": "deleted"})
        return None
