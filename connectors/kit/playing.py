"""One fixture through the real engine: the question and its reply, and where the platform calls back, what it sends."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from connectors.base import Progress, Reply
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.fixtures import Fixture, Unexpected, query_of
from connectors.manifest import Loaded
from connectors.ports import Arrived, MemoryState, OpenGuard
from connectors.wire import WireReply, WireRequest
from schemas.errors import UpstreamPending, UpstreamSignature

_USE = "fixture"


async def played(
    made: DeclarativeConnector,
    state: MemoryState,
    loaded: Loaded,
    fixture: Fixture,
    deadline: float,
    change: Callable[[WireReply], bytes] | None = None,
) -> Reply:
    """``state`` is what ``made`` remembers by; ``change`` makes another body of what is called back. Raises
    UpstreamError, and Unexpected for a callback that could not come so."""
    query, guard = query_of(loaded, fixture), OpenGuard()
    receiver = made.receivers.get(fixture.dataset)
    if receiver is None:
        if fixture.callback is not None:
            raise Unexpected("the data set is not called back")
        return await made.fetch(query, guard, deadline, Progress())
    state.expected.clear()
    query = replace(query, use=_USE)
    try:
        return await made.fetch(query, guard, deadline, Progress())
    except UpstreamPending:
        if fixture.callback is None:
            raise
    due = fixture.callback.read(loaded.fixtures)
    kind, place = due.headers["content-type"], f"{made.id}/{fixture.dataset}"
    if receiver.named(receiver.decoded(due.body, kind)) != state.expected[_USE, place].ticket.value:
        raise Unexpected("the callback names another ticket than the reply to the submit")
    body = due.body if change is None else change(due)
    state.arrive(_USE, place, Arrived(hashlib.sha256(body).digest(), kind, body))
    return await made.fetch(query, guard, deadline, Progress())


async def unsigned(made: DeclarativeConnector, loaded: Loaded, fixture: Fixture) -> str:
    """Empty where the callback of a fixture is refused without a signature; else what was done with it."""
    receiver = made.receivers.get(fixture.dataset)
    if fixture.callback is None or receiver is None:
        return ""
    due = fixture.callback.read(loaded.fixtures)
    try:
        await receiver.hear(WireRequest("POST", made.base_url, due.headers, due.body), made.heard_at())
    except UpstreamSignature:
        return ""
    return "it was let in"
