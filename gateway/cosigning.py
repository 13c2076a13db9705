"""Every new head is offered to the configured witnesses, beside all other work: no answer waits for a witness.

The log's side of https://c2sp.org/tlog-witness. A witness that does not answer is asked again later; one that says the
log did not grow from what it co-signed is an alarm, for then this log or its storage went back or forked.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from connectors.transport import AioTransport
from connectors.wire import WireRequest
from consent.cosignatures import SignedHead, StoreCosignature
from consent.evidence import Evidence
from consent.log.note import Checkpoint, Note, NoteError, Vkey
from consent.log.witness import request_body
from gateway.services import Services
from schemas.errors import XinqiaoError

OFFER_SECONDS = 1.0
RETRY_SECONDS = 15.0
TIMEOUT_SECONDS = 5.0
TURNS = 3
"""Offers until a witness and this log agree on the size that it co-signed last."""

log = structlog.get_logger()


class NotCosigned(Exception):
    """``code``: ``rolled_back``, ``forked`` and ``inconsistent`` are alarms; the others pass."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Cosigner:
    """One witness, and the size that it co-signed last as far as this process knows."""

    def __init__(self, name: str, url: str, vkey: Vkey, evidence: Evidence, transport: AioTransport) -> None:
        self.name = name
        self.vkey = vkey
        self._url = url.rstrip("/") + "/add-checkpoint"
        self._evidence = evidence
        self._transport = transport
        self._size = 0

    async def offer(self, note: str) -> str:
        """The witness's signature line for a signed checkpoint of this log, once it is stored. Raises NotCosigned, or
        XinqiaoError where the witness or the storage does not answer."""
        head = Checkpoint.parse(Note.parse(note).text)
        for _ in range(TURNS):
            if self._size > head.size:
                raise NotCosigned("rolled_back")
            proof = await self._evidence.consistency(self._size, head.size) if self._size else ()
            request = WireRequest("POST", self._url, {}, request_body(self._size, proof, note))
            reply = await self._transport.send(request, timeout=TIMEOUT_SECONDS)
            if reply.status == 200:
                line = self._line(head, reply.body)
                await self._evidence.submit(StoreCosignature(head, self.vkey, line))
                self._size = head.size
                return line
            if reply.status == 422:
                raise NotCosigned("inconsistent")
            if reply.status != 409:
                raise NotCosigned("refused")
            self._learn(head, reply.body)
        raise NotCosigned("busy")

    def _learn(self, head: Checkpoint, body: bytes) -> None:
        text = body.strip()
        if not text.isdigit() or len(text) > 19:
            raise NotCosigned("malformed")
        if int(text) == self._size == head.size:
            raise NotCosigned("forked")
        self._size = int(text)

    def _line(self, head: Checkpoint, body: bytes) -> str:
        try:
            answered = Note.parse(f"{head.text()}\n{body.decode()}")
            if not answered.cosigners([self.vkey]):
                raise NotCosigned("unknown_key")
        except (NoteError, UnicodeDecodeError):
            raise NotCosigned("malformed") from None
        return next(s.line() for s in answered.signatures if (s.name, s.key_id) == (self.vkey.name, self.vkey.key_id))

    async def keep_offering(self) -> None:
        """Offer each new head until cancelled. A witness may be ahead because another process offered a newer head, so
        only the second refusal of that kind in a row is told."""
        offered, behind = "", False
        while True:
            pause, code = OFFER_SECONDS, None
            try:
                note = (await self._evidence.signed_head()).plain
                if note != offered:
                    await self.offer(note)
                    offered, behind = note, False
            except (NotCosigned, XinqiaoError) as error:
                code = error.code if error.code != "rolled_back" or behind else None
                behind = error.code == "rolled_back"
            if code:
                log.warning("witness_did_not_cosign", where=self.name, code=code)
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)


@asynccontextmanager
async def _cosigners(services: Services) -> AsyncIterator[list[Cosigner]]:
    settings = services.settings
    transport = AioTransport(allowed_private=settings.allow_private)
    try:
        yield [
            Cosigner(name, witness.url, Vkey.parse(witness.vkey), services.evidence, transport)
            for name, witness in settings.witnesses.items()
        ]
    finally:
        await transport.close()


@asynccontextmanager
async def cosigning(services: Services) -> AsyncIterator[None]:
    """While it is open, every new head is offered to every witness of the settings."""
    async with _cosigners(services) as witnesses:
        tasks = [asyncio.create_task(w.keep_offering(), name=f"witness {w.name}") for w in witnesses]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def cosign_now(services: Services) -> tuple[SignedHead, dict[str, str]]:
    """The newest head with the line of every witness that co-signs it now, and why the others did not."""
    async with _cosigners(services) as witnesses:
        signed, failed = await _once(services, witnesses)
        if "rolled_back" in failed.values():
            # Another process may have offered a newer head between our reading and our offer.
            signed, failed = await _once(services, witnesses)
        return signed, failed


async def _once(services: Services, witnesses: list[Cosigner]) -> tuple[SignedHead, dict[str, str]]:
    plain = (await services.evidence.signed_head()).plain
    lines, failed = {}, {}
    for witness in witnesses:
        try:
            lines[witness.vkey.text()] = await witness.offer(plain)
        except (NotCosigned, XinqiaoError) as error:
            failed[witness.name] = error.code
    return SignedHead(plain, lines), failed
