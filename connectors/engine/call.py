"""One judged call: signed afresh for every attempt, guarded before every send, tried again where that may help."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from connectors.base import Progress, Try
from connectors.breaker import Breaker
from connectors.engine.request import Template, Values
from connectors.engine.rules import Judge, Tree, Verdict
from connectors.ports import Arrived, Guard
from connectors.quota import Quota
from connectors.resilience import Gate, RetryBudget, RetryPolicy, attempts
from connectors.signing.base import Moment, Signer
from connectors.signing.verifying import Opener
from connectors.skew import PlatformClock
from connectors.wire import Leave, WireReply, WireRequest
from schemas.base import utc_text
from schemas.errors import (
    CircuitOpen,
    DeadlineExceeded,
    UpstreamClock,
    UpstreamConnect,
    UpstreamDenied,
    UpstreamError,
    UpstreamServerError,
    UpstreamSignature,
    UpstreamTimeout,
    UpstreamTruncated,
    XinqiaoError,
)

_SUBMIT = "submit"
"""What ``Caller.ask`` is told for a question that starts work at the platform: it is not put again where it may have
been taken, for that would start it twice."""
_PERHAPS_TAKEN = (UpstreamTruncated, UpstreamTimeout, UpstreamServerError)
_ENDED = {Verdict.SUCCESS: "answered", Verdict.NO_RECORD: "no_record", Verdict.PENDING: "pending"}


class Transport(Protocol):
    async def send(self, request: WireRequest, *, timeout: float, leave: Leave) -> WireReply:  # noqa: ASYNC109
        """Send once; raises schemas.errors.UpstreamError, and what ``leave`` raises right before the first byte."""


@dataclass(frozen=True, slots=True)
class Line:
    """What all calls to one platform share. ``clock``: Unix seconds of the platform; ``nonce``: a new one
    of signing.base's form."""

    base_url: str
    transport: Transport
    gate: Gate
    budget: RetryBudget
    policy: RetryPolicy
    timeout: float
    clock: PlatformClock
    nonce: Callable[[], str]
    sleep: Callable[[float], Awaitable[None]]
    breaker: Breaker
    quota: Quota | None = None
    opener: Opener | None = None
    """For a platform that signs its replies."""


class Answer(NamedTuple):
    verdict: Verdict
    tree: Tree
    digest: bytes
    """SHA-256 of the raw reply body, as it came."""


class Caller:
    """The calls of one fetch to one data set."""

    def __init__(self, line: Line, signer: Signer, guard: Guard, deadline: float, progress: Progress) -> None:
        self.deadline = deadline
        self._line = line
        self._signer = signer
        self._guard = guard
        self._progress = progress
        self._now = asyncio.get_running_loop().time
        self.signature_held = None if line.opener is None else True
        """Of every answer that ``ask`` gives."""

    async def ask(self, template: Template, values: Values, judge: Judge, what: str = "ask") -> Answer:
        """``what`` is what the time-line calls it. Raises UpstreamError, or ConsentError as soon as the guard stops a
        send or an arrival."""

        renewed, budget = False, self._line.budget

        async def once() -> Answer:
            nonlocal renewed
            try:
                return await self._told(template, values, judge, what)
            except _Refused as refused:
                again = budget.left() and (self._signer.refused(refused.request) or refused.late)
                if renewed or not again:
                    raise refused.reason from None
            # The credentials were renewed, or we know now what time it is there: one more try in all, and its refusal
            # is final.
            renewed, before = True, self._progress.calls
            try:
                return await self._told(template, values, judge, what)
            except _Refused as refused:
                # What did not help was a retry: where we are refused for good, nobody goes on fetching tokens.
                budget.spend(self._progress.calls - before)
                raise refused.reason from None

        async def order() -> Answer:
            try:
                return await once()
            except _PERHAPS_TAKEN as err:
                raise _Final(err) from None

        line, call = self._line, order if what == _SUBMIT else once
        try:
            return await attempts(call, policy=line.policy, budget=budget, deadline=self.deadline, sleep=line.sleep)
        except _Final as final:
            raise final.reason from None

    async def take(self, arrived: Arrived, judge: Judge) -> Answer:
        """What the platform sent by itself, judged as a reply. Raises as ``ask`` does."""
        await self._guard.may_keep()
        at, outcome = self._line.clock.ours(), "arrived"
        self._progress.attempts += 1
        # It has no status: it stands for a reply that came as it should.
        reply = WireReply(min(judge.statuses), {"content-type": arrived.content_type or ""}, arrived.body)
        try:
            verdict, tree = judge.judge(reply, self._line.clock())
            outcome = _ENDED[verdict]
        except XinqiaoError as error:
            outcome = error.code
            raise
        finally:
            self._progress.tries.append(Try(at, "callback", outcome))
        self.signature_held = True
        return Answer(verdict, tree, arrived.digest)

    async def _told(self, template: Template, values: Values, judge: Judge, what: str) -> Answer:
        """One attempt, and its line."""
        at, outcome = self._line.clock.ours(), DeadlineExceeded.code  # what cuts an attempt off is the end of its time
        try:
            answer = await self._attempt(template, values, judge)
            outcome = _ENDED[answer.verdict]
            return answer
        except _Refused as refused:
            outcome = refused.reason.code
            raise
        except XinqiaoError as error:
            outcome = error.code
            raise
        finally:
            self._progress.tries.append(Try(at, what, outcome))

    async def _attempt(self, template: Template, values: Values, judge: Judge) -> Answer:
        line = self._line
        self._progress.attempts += 1
        if "request_id" in template.placeholders:
            values.request_id = line.nonce()
        draft = template.draft(line.base_url, values)
        offset = line.clock.offset
        moment = Moment(line.clock(), line.nonce())
        request = await self._signer.sign(draft, moment, self._send)
        reply = await self._send(request)
        await self._guard.may_keep()
        try:
            opened = reply if line.opener is None else await self._opened(line.opener, reply, request, moment, judge)
            verdict, tree = judge.judge(opened, line.clock())
        except UpstreamDenied as err:
            if line.clock.beyond is not None:
                raise UpstreamClock(offset_seconds=round(line.clock.beyond)) from None
            raise _Refused(request, err, line.clock.offset != offset) from None
        return Answer(verdict, tree, hashlib.sha256(reply.body).digest())

    async def _opened(
        self, opener: Opener, reply: WireReply, request: WireRequest, moment: Moment, judge: Judge
    ) -> WireReply:
        """Without its signature a reply may say why there is no answer (by HTTP status: what stands in front of the
        platform cannot sign), and never that there is nothing."""
        now = self._line.clock()
        try:
            return await opener.open(reply, request, moment.nonce, now)
        except UpstreamSignature:
            if reply.status not in judge.statuses:
                judge.judge(reply, now)
            raise

    async def _send(self, request: WireRequest) -> WireReply:
        line = self._line
        async with line.gate:
            if line.quota is not None:
                await line.quota.take(line.clock())
            left = self.deadline - self._now()
            if left <= 0:
                raise DeadlineExceeded
            probe, good = self._enter(), None
            try:
                # Last, so that no wait lies between this leave and the send.
                await self._guard.may_send()
                self._progress.calls += 1
                timeout, began = min(line.timeout, left), self._now()
                reply = await line.transport.send(request, timeout=timeout, leave=self._guard.may_send)
                line.clock.hear(request.url, reply.headers, self._now() - began)
                good = reply.status < 500
            except (UpstreamConnect, UpstreamTruncated):
                good = False
                raise
            except UpstreamTimeout:
                # A caller who cannot wait says nothing about the platform.
                good = False if left >= line.timeout else None
                raise
            finally:
                line.breaker.leave(probe, good)
            return reply

    def _enter(self) -> bool:
        breaker, now = self._line.breaker, self._line.clock.ours()
        try:
            return breaker.enter()
        except CircuitOpen:
            raise CircuitOpen(next_attempt_at=utc_text(datetime.fromtimestamp(now + breaker.wait, UTC))) from None


class _Final(Exception):
    def __init__(self, reason: UpstreamError) -> None:
        self.reason = reason


class _Refused(Exception):
    """``late``: its reply told that the platform's clock is another than the one that was signed by."""

    def __init__(self, request: WireRequest, reason: UpstreamDenied, late: bool) -> None:
        self.request = request
        self.reason = reason
        self.late = late
