"""Who holds up the event loop is named: the platform whose connector it is, and the place in the code.

A connector that computes or waits without awaiting holds up every other request of its process, and no deadline can
interrupt it. A thread asks the loop for a sign of life; where none comes, it looks at what the loop's thread is doing.
Code that keeps the interpreter lock for all that time (a C extension) cannot be caught at it.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import structlog

from gateway.profile import collect

EVERY = 0.5
"""Seconds between two questions."""
PATIENCE = 1.0
"""Seconds that the loop has for its answer."""

log = structlog.get_logger()


@asynccontextmanager
async def watchdog() -> AsyncIterator[None]:
    stop = threading.Event()
    watched = asyncio.get_running_loop(), threading.get_ident()
    thread = threading.Thread(target=_watch, args=(*watched, stop), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)


def _watch(loop: asyncio.AbstractEventLoop, thread: int, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        alive = threading.Event()
        loop.call_soon_threadsafe(alive.set)
        if not alive.wait(PATIENCE):
            platform, where = _doing(sys._current_frames()[thread])
            log.error("loop_held_up", platform=platform, where=where)
            alive.wait()


def _doing(frame: FrameType | None) -> tuple[str | None, str]:
    """The platform that a frame of this stack fetches from, if any, and the innermost file and line."""
    assert frame is not None  # noqa: S101 - a thread that runs has a frame
    where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    while frame is not None:
        if frame.f_globals is vars(collect) and "connector" in frame.f_locals:
            return str(frame.f_locals["connector"].id), where
        frame = frame.f_back
    return None, where
