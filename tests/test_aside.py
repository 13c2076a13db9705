"""Work beside the event loop: results, errors, those who wait no longer, and loops that are gone."""

import asyncio
import threading
import time

import pytest

from connectors.aside import _do, aside


async def test_the_result_comes_from_another_thread() -> None:
    assert await aside(threading.get_ident) != threading.get_ident()
    assert await aside(divmod, 7, 2) == (3, 1)


async def test_an_error_comes_to_the_one_who_waits_and_the_next_is_served() -> None:
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 1, 0)
    with pytest.raises(SystemExit):
        await aside(exec, "raise SystemExit")
    assert await aside(abs, -1) == 1


async def test_one_works_after_the_other_in_the_order_in_which_they_came() -> None:
    seen: list[int] = []
    await asyncio.gather(*(aside(seen.append, n) for n in range(50)))
    assert seen == list(range(50))


async def test_the_loop_goes_on_meanwhile() -> None:
    go = threading.Event()
    waiting = asyncio.ensure_future(aside(go.wait, 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    assert await waiting


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    go, seen = threading.Event(), list[int]()
    first = asyncio.ensure_future(aside(go.wait, 10))
    second = asyncio.ensure_future(aside(seen.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    go.set()
    assert await first
    assert await aside(abs, 1) == 1
    assert seen == []


async def test_one_who_leaves_during_the_work_is_not_told() -> None:
    loop, entered, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work() -> None:
        loop.call_soon_threadsafe(entered.set)
        go.wait(10)

    waiting = asyncio.ensure_future(aside(work))
    await entered.wait()
    waiting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await aside(abs, 1) == 1


def test_a_loop_that_is_gone_is_not_told() -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[float] = loop.create_future()
    loop.close()
    _do(future, time.time, ())
    assert not future.done()
