"""The other half of every scheme: a message that came, held against its signature, its age and what came before.

A platform's reply or callback that fails is schemas.errors.UpstreamSignature; its ``why`` says which test failed.
The signature is checked before its nonce is remembered, so that a forger cannot burn other people's nonces.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from connectors.aside import aside
from connectors.ports import MemoryNonces, Nonces
from connectors.wire import WireReply, WireRequest
from schemas.errors import UpstreamSignature


class Why(StrEnum):
    """Which test a signature failed; docs/signing.md says what to do about each."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    ALGORITHM = "algorithm"
    DIGEST = "digest"
    FORGED = "forged"
    STALE = "stale"
    REPLAYED = "replayed"
    NOT_OURS = "not_ours"  # signed, but as the answer to another request


def refusal(why: Why) -> UpstreamSignature:
    return UpstreamSignature(why=why.value)


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds that a signature may be old, and may lie ahead of our clock."""

    past: float
    ahead: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says of its signature, and whether that holds.

    ``canonical``: the text that the receiver holds the signature against, secrets as ``<name>``. ``unix``: when it was
    signed, by its own word. ``nonce``: what must not come twice; the signature itself where the scheme has no nonce.
    ``why``: None where the signature holds. ``opened``: the body without the encryption of the dialect, None where it
    has none.
    """

    canonical: str
    unix: float
    nonce: str
    why: Why | None
    opened: bytes | None = None


class Verifier(Protocol):
    """One scheme with one platform's options and keys, on the receiving side."""

    @property
    def window(self) -> Window: ...

    @property
    def aside(self) -> bool:
        """``read`` computes long enough to be kept off the event loop."""

    def read(self, request: WireRequest) -> Claim:
        """UpstreamSignature (missing, malformed) where the message does not even have the scheme's form."""


class Opener(Protocol):
    """Checks what a platform answered, and undoes its encryption where the dialect has one."""

    async def open(self, reply: WireReply, request: WireRequest, nonce: str, now: float) -> WireReply:
        """The reply as it is to be decoded. ``nonce`` is the one that ``request`` was signed with, ``now`` Unix
        seconds. UpstreamSignature for anything that does not hold."""


async def read(verifier: Verifier, request: WireRequest) -> Claim:
    return await aside(verifier.read, request) if verifier.aside else verifier.read(request)


async def admit(verifier: Verifier, request: WireRequest, now: float, nonces: Nonces) -> WireRequest:
    """Let one message in, once, as it is to be decoded. UpstreamSignature for a forged, stale or repeated one.

    A nonce is kept for as long as its signature could still be fresh.
    """
    claim = await read(verifier, request)
    judge(claim, verifier.window, now)
    if not await nonces.first(claim.nonce, verifier.window.past + verifier.window.ahead):
        raise refusal(Why.REPLAYED)
    return request if claim.opened is None else request._replace(body=claim.opened)


def judge(claim: Claim, window: Window, now: float) -> None:
    if claim.why is not None:
        raise refusal(claim.why)
    if not -window.ahead <= now - claim.unix < window.past:
        raise refusal(Why.STALE)


class SignedReplies:
    """Replies that are signed like requests of the same scheme: over their own headers and body, and, where the
    scheme names method and path, those of the request that they answer. Nonces are held in memory, since a reply is
    read by the process that asked for it.

    ``bound``: the reply repeats the request's nonce. Otherwise it has one of its own, which must not come twice.
    """

    def __init__(self, verifier: Verifier, *, bound: bool) -> None:
        self._verifier, self._bound = verifier, bound
        self._seen: Nonces = MemoryNonces()

    async def open(self, reply: WireReply, request: WireRequest, nonce: str, now: float) -> WireReply:
        claim = await read(self._verifier, WireRequest(request.method, request.url, reply.headers, reply.body))
        await self.accept(claim, nonce, now)
        return reply if claim.opened is None else reply._replace(body=claim.opened)

    async def accept(self, claim: Claim, nonce: str, now: float) -> None:
        window = self._verifier.window
        judge(claim, window, now)
        if self._bound:
            if claim.nonce != nonce:
                raise refusal(Why.NOT_OURS)
        elif not await self._seen.first(claim.nonce, window.past + window.ahead):
            raise refusal(Why.REPLAYED)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def required(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if not value:
        raise refusal(Why.MISSING)
    return value


def same(given: str, right: str) -> bool:
    """In constant time for texts of one length."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode("utf-8", "replace"))
