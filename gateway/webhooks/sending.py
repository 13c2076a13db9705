"""Sends what is due to lenders' endpoints, beside all other work. A sender per endpoint: a slow one delays no other.

The transport is the one that platforms are reached with: no redirect is followed, no inner address is connected to
whatever its name says at that moment, and of a reply no more is read than ``REPLY`` bytes.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from connectors.resilience import retry_after
from connectors.transport import AioTransport
from connectors.wire import WireRequest
from consent.evidence import Evidence
from gateway.services import Now, Services
from gateway.telemetry import Metrics, trying_again
from gateway.webhooks.deliveries import Attempt, Claim, Failure, Forget, Release, Settle, Spread, wait_after, work
from gateway.webhooks.signing import headers
from schemas.base import utc_text
from schemas.errors import UpstreamError, XinqiaoError

LOOK_SECONDS = 1.0
FORGET_SECONDS = 3600.0
TIMEOUT_SECONDS = 15.0
REPLY = 64 * 1024

log = structlog.get_logger()


class Sender:
    """``run`` looks for work until it is cancelled."""

    def __init__(self, evidence: Evidence, metrics: Metrics, now: Now, transport: AioTransport) -> None:
        self._evidence = evidence
        self._metrics = metrics
        self._now = now
        self._transport = transport
        self._holder = secrets.token_hex(8)
        self._sending: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        forgot = -FORGET_SECONDS
        clock = asyncio.get_running_loop().time
        while True:
            with trying_again("webhooks_wait"):
                await self._look()
                if clock() - forgot >= FORGET_SECONDS:
                    await self._evidence.submit(Forget())
                    forgot = clock()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        found = await self._evidence.read(work, utc_text(self._now()))
        if found.behind:
            while await self._evidence.submit(Spread()):
                pass
            found = await self._evidence.read(work, utc_text(self._now()))
        for webhook in found.due:
            if webhook not in self._sending:
                self._sending[webhook] = asyncio.create_task(self._send_due(webhook), name=f"webhook {webhook}")

    async def _send_due(self, webhook: str) -> None:
        try:
            with trying_again("webhooks_wait"):
                while (attempt := await self._evidence.submit(Claim(webhook, self._holder))) is not None:
                    failure = await self._send(attempt)
                    await self._evidence.submit(Settle(attempt, failure))
                    self._tell(attempt, failure)
        finally:
            del self._sending[webhook]

    async def _send(self, attempt: Attempt) -> Failure | None:
        now = self._now()
        signed = headers(attempt.message, int(now.timestamp()), attempt.body, attempt.secrets)
        request = WireRequest("POST", attempt.url, signed, attempt.body)
        try:
            reply = await self._transport.send(request, timeout=TIMEOUT_SECONDS)
        except UpstreamError as error:
            return Failure(error.code, wait_after(attempt.attempts, None))
        if 200 <= reply.status < 300:
            return None
        code = f"http_{reply.status}"
        if reply.status == 410:
            return Failure(code, None, gone=True)
        return Failure(code, wait_after(attempt.attempts, retry_after(reply.headers, now)))

    def _tell(self, attempt: Attempt, failure: Failure | None) -> None:
        outcome = "delivered" if failure is None else "failed" if failure.wait is not None else "dead"
        self._metrics.webhooks.labels(outcome).inc()
        if failure is not None:
            told = {"where": attempt.webhook, "index": attempt.index, "attempts": attempt.attempts}
            log.warning("webhook_not_delivered", code=failure.code, state=outcome, **told)

    async def stop(self) -> None:
        """What was on its way is sent again by whoever looks next."""
        sending = list(self._sending.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        with suppress(XinqiaoError):
            await self._evidence.submit(Release(self._holder))


@asynccontextmanager
async def sending(services: Services) -> AsyncIterator[None]:
    """While it is open, lenders are told what they asked to be told."""
    transport = AioTransport(allowed_private=services.settings.allow_private_webhooks, max_body=REPLY)
    sender = Sender(services.evidence, services.metrics, services.now, transport)
    task = asyncio.create_task(sender.run(), name="webhooks")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await sender.stop()
        await transport.close()
