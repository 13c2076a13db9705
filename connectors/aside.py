"""Work that would hold up the event loop, one after the other in a thread beside it."""

import asyncio
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any, TypeVar

R = TypeVar("R")


async def aside(work: Callable[..., R], *arguments: Any) -> R:
    """Run ``work`` in the one thread that all have for this; its result or its exception.

    One thread, because each further one that wants the interpreter lock lets the event loop wait up to another switch
    interval (5 ms) for it. And not asyncio's own way to a pool, which costs the loop six times as much for each task:
    where a hundred come in one turn of the loop, that is the pause which everybody else sees.
    """
    future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    _jobs().put((future, work, arguments))
    return await future


@cache
def _jobs() -> "SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]]":
    jobs: SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()

    def serve() -> None:
        while True:
            _do(*jobs.get())

    threading.Thread(target=serve, name="aside", daemon=True).start()
    return jobs


def _do(future: "asyncio.Future[Any]", work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    tell: Callable[[Any], None]
    try:
        result, tell = work(*arguments), future.set_result
    except BaseException as err:
        result, tell = err, future.set_exception
    try:
        future.get_loop().call_soon_threadsafe(_deliver, future, tell, result)
    except RuntimeError:  # its loop was closed: nobody waits any more
        return


def _deliver(future: "asyncio.Future[Any]", tell: Callable[[Any], None], result: Any) -> None:
    if not future.done():
        tell(result)
