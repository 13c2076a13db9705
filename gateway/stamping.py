"""The newest head of the log is time-stamped now and then (RFC 3161), beside all other work: nothing waits for it.

A stamp proves, by somebody whom neither the log nor its witnesses control, that a head existed at a time; and with it
everything before it. No entry of the log tells of it: that entry would be the next thing to stamp.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from connectors.transport import AioTransport
from connectors.wire import WireRequest
from consent.evidence import Evidence
from consent.log.note import Checkpoint, Note
from consent.log.tiles import MAX_STAMP, Stamp
from consent.timestamps import StoreTimestamp, TimedStamp, newest_timestamp
from gateway.services import Now, Services
from gateway.settings import Timestamps
from gateway.telemetry import Metrics, trying_again
from schemas.base import utc_text
from schemas.errors import ConfigurationError, XinqiaoError

try:
    import rfc3161_client as rfc3161
except ImportError:  # the extra `timestamps` is not installed
    rfc3161 = None  # type: ignore[assignment]

LOOK_SECONDS = 30.0
"""Between two looks whether a stamp is due, on average: processes on one database should not look at once."""
RETRY_SECONDS = 300.0
TIMEOUT_SECONDS = 10.0
SKEW = timedelta(minutes=5)
"""How far the time of a stamp may be from ours: further off, one of the two clocks is wrong."""
SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")

log = structlog.get_logger()


class NotStamped(Exception):
    """``code``: ``refused``, ``malformed``, ``mismatched`` (not what was asked), ``untrusted`` or ``clock``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def authority(terms: Timestamps) -> list[x509.Certificate]:
    """The certificates that a stamp's signature must lead to. Raises ConfigurationError."""
    if rfc3161 is None:
        raise ConfigurationError(at="timestamps", mend="time-stamps need the extra `timestamps`")
    try:
        return x509.load_pem_x509_certificates(terms.certificates.read_bytes())
    except (OSError, ValueError):
        raise ConfigurationError(at="timestamps.certificates", mend="a file of certificates as PEM") from None


def verified(
    body: bytes, asked: "rfc3161.TimeStampRequest", data: bytes, roots: Sequence[x509.Certificate], now: datetime
) -> datetime:
    """When an authority under ``roots`` says that it stamped ``data``, as it was asked to (RFC 3161 section 2.4.2).
    Raises NotStamped."""
    try:
        reply = rfc3161.decode_timestamp_response(body)
        if reply.status != rfc3161.PKIStatus.GRANTED:
            raise NotStamped("refused")
        said = reply.tst_info
        # The library compares the digests and leaves it open of which hash function they are.
        same = said.message_imprint.hash_algorithm == SHA256 and said.nonce == asked.nonce
        if not same or said.message_imprint.message != asked.message_imprint.message:
            raise NotStamped("mismatched")
        rfc3161.VerifierBuilder(roots=list(roots)).build().verify_message(reply, data)
    except rfc3161.VerificationError:
        raise NotStamped("untrusted") from None
    except ValueError:
        raise NotStamped("malformed") from None
    if abs(said.gen_time - now) > SKEW:
        raise NotStamped("clock")
    return said.gen_time


def _size(head: str) -> int:
    return Checkpoint.parse(Note.parse(head).text).size


class Stamper:
    """One time-stamping authority. ``roots`` are its certificates, self-signed ones and those between."""

    def __init__(
        self, url: str, roots: Sequence[x509.Certificate], evidence: Evidence, transport: AioTransport, now: Now
    ) -> None:
        self._url = url
        self._roots = roots
        self._evidence = evidence
        self._transport = transport
        self._now = now

    async def stamp(self, head: str) -> TimedStamp:
        """The authority's stamp over the SHA-256 of a signed head, verified and stored. Raises NotStamped, or
        XinqiaoError where the authority or the storage does not answer."""
        data = head.encode()
        asked = rfc3161.TimestampRequestBuilder().data(data).hash_algorithm(rfc3161.HashAlgorithm.SHA256).build()
        headers = {"Content-Type": "application/timestamp-query"}
        request = WireRequest("POST", self._url, headers, asked.as_bytes())
        reply = await self._transport.send(request, timeout=TIMEOUT_SECONDS)
        if reply.status != 200:
            raise NotStamped("refused")
        time = verified(reply.body, asked, data, self._roots, self._now())
        held = TimedStamp(Stamp(_size(head), head, reply.body), utc_text(time))
        await self._evidence.submit(StoreTimestamp(held))
        return held

    async def due(self, every: timedelta) -> str | None:
        """The newest head, where the newest stamp is older than that and the log has grown since. A stamp of a time to
        come is none: whoever can write a row into the database could end all stamping by it."""
        head = (await self._evidence.signed_head()).plain
        newest = await self._evidence.read(newest_timestamp)
        if newest is not None and self._now() - every < datetime.fromisoformat(newest.time) <= self._now() + SKEW:
            return None
        return head if _size(head) > (newest.stamp.size if newest else 0) else None

    async def keep_stamping(self, every: timedelta, metrics: Metrics) -> None:
        """Until cancelled."""
        while True:
            pause = RETRY_SECONDS
            with trying_again("log_not_stamped"):
                try:
                    if (head := await self.due(every)) is not None:
                        await self.stamp(head)
                        metrics.timestamps.labels("stamped").inc()
                    pause = LOOK_SECONDS
                except (NotStamped, XinqiaoError) as error:
                    metrics.timestamps.labels("failed").inc()
                    log.warning("log_not_stamped", code=error.code)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


@asynccontextmanager
async def stamping(services: Services) -> AsyncIterator[None]:
    """While it is open, the log's head is time-stamped where the settings name an authority. Raises
    ConfigurationError."""
    terms = services.settings.timestamps
    if terms is None:
        yield
        return
    roots = authority(terms)
    transport = AioTransport(allowed_private=services.settings.allow_private, max_body=MAX_STAMP)
    stamper = Stamper(terms.url, roots, services.evidence, transport, services.now)
    task = asyncio.create_task(stamper.keep_stamping(timedelta(minutes=terms.every_minutes), services.metrics))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await transport.close()
