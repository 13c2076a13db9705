"""One fetch for equal questions that are under way in this process at the same time.

Equal is what asks for the same fields of the same source under the very same leave, so that nobody gets what was not
agreed for them. An answer is shared and a failure is not: a request that fails, is refused or runs out of time leaves
the others as they were, and the next of them asks for itself, under its own permit and within its own time. So it is
with one that does not end when its time is up: a connector that hangs holds up no later request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.base import Found, Reply
from consent.log.origins import Origin
from consent.reuse import Leave
from gateway.profile.plan import Item


class Question(NamedTuple):
    leave: Leave
    connector: str
    version: str
    platform: str
    dataset: str
    fields: frozenset[str]

    @classmethod
    def of(cls, leave: Leave, item: Item, version: str) -> "Question":
        return cls(leave, item.connector, version, item.platform, item.dataset, item.fields)


@dataclass(slots=True)
class _Flight:
    permit: str
    until: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Reply | None = None


class Flights:
    def __init__(self) -> None:
        self._under_way: dict[Question, _Flight] = {}

    async def once(
        self, question: Question, permit: str, until: float, ask: Callable[[], Awaitable[Reply]]
    ) -> tuple[Reply, Origin | None]:
        """The answer of the call that is under way, with its origin, or else of ``ask``, which has to end at ``until``
        (the loop's clock). Raises what ``ask`` does."""
        while (flight := self._under_way.get(question)) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(flight.until):
                    await flight.ended.wait()
            if flight.answer is not None:
                return flight.answer, Origin("shared", flight.permit, None, None)
            self._forget(question, flight)
        flight = self._under_way[question] = _Flight(permit, until)
        try:
            answer = await ask()
            if isinstance(answer, Reply) and answer.found is not Found.PARTIAL:
                flight.answer = answer
            return answer, None
        finally:
            self._forget(question, flight)
            flight.ended.set()

    def _forget(self, question: Question, flight: _Flight) -> None:
        if self._under_way.get(question) is flight:
            del self._under_way[question]
