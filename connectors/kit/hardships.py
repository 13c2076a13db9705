"""What a platform can do to a connector, done to it over real sockets: its «found» cases with a fault put in.

Whatever comes, the connector gives a typed failure: never records, never «no record», never another exception.
"""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors.base import Reply
from connectors.decoding import decode_text
from connectors.kit.fixtures import Fixture, Replay, Unexpected, connector_of
from connectors.kit.hostile import Behaviour, Peer, Server, hostile, message
from connectors.kit.playing import played
from connectors.kit.result import Result
from connectors.local import SCHEME
from connectors.manifest import Loaded
from connectors.ports import MemoryState
from connectors.transport import MAX_BODY, AioTransport
from connectors.wire import WireReply, WireRequest
from schemas.errors import UpstreamCharset, UpstreamError
from schemas.records import CATALOGUE

_TIMEOUT = "300ms"
_PATIENCE = 20.0
_OTHER = "91990000MA000002XK"
_OTHER_NAME = "虚构另一家（沙箱）有限公司"
Fault = Callable[[Peer, WireReply], Awaitable[None]]
"""Instead of the reply that was due."""
Body = Callable[[WireReply], bytes]
"""Another body for it."""


def _sends(make: Callable[[WireReply], bytes], *, reset: bool = False) -> Fault:
    async def fault(peer: Peer, due: WireReply) -> None:
        await peer.send(make(due))
        if reset:
            peer.reset()
        else:
            await peer.until_gone()

    return fault


def _with(body: Callable[[WireReply], bytes], status: int = 200, headers: Mapping[str, str] | None = None) -> Fault:
    def make(due: WireReply) -> bytes:
        return message(status, body(due), {"Content-Type": due.headers["content-type"], **(headers or {})})

    return _sends(make)


async def _resets(peer: Peer, _: WireReply) -> None:
    peer.reset()


async def _dribbles(peer: Peer, due: WireReply) -> None:
    head = message(200, due.body, {"Content-Type": due.headers["content-type"]})
    for at in range(len(head)):
        await peer.send(head[at : at + 1])
        await asyncio.sleep(0.05)


async def _floods(peer: Peer, _: WireReply) -> None:
    await peer.send(b"HTTP/1.1 200 Because\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    while True:
        await peer.send(b" " * 65536)


_PAGE = "<!DOCTYPE html><html><head><title>登录</title></head><body>请登录 please log in</body></html>".encode()
FAULTS: Mapping[str, Fault] = {
    "reset before the reply": _resets,
    "reset in mid-body": _sends(lambda due: message(200, due.body)[:-1], reset=True),
    "one byte at a time": _dribbles,
    "500": _with(lambda _: b"", 500),
    "503 with Retry-After": _with(lambda _: b"", 503, {"Retry-After": "86400"}),
    "429": _with(lambda _: b"", 429),
    "redirect to another origin": _with(lambda _: b"", 307, {"Location": "http://other.invalid/"}),
    "a log-in page with 200": _with(lambda _: _PAGE),
    "an empty body with 200": _with(lambda _: b""),
    "no content": _sends(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "half of the body, whole by its length": _with(lambda due: due.body[: len(due.body) // 2]),
    "bytes of no charset": _with(lambda due: b"\xff\xff\xff" + due.body),
    "endless body": _floods,
    "compressed bomb": _with(lambda _: gzip.compress(b" " * (MAX_BODY + 1)), headers={"Content-Encoding": "gzip"}),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A «found» fixture. Those exchanges that come before the first to its own path, such as a token's, are left in
    peace. ``heard`` gets the text of every error."""

    loaded: Loaded
    fixture: Fixture
    heard: list[str]

    @property
    def path(self) -> str:
        return self.fixture.exchanges[-1].request.path


def found_cases(fixtures: list[Fixture]) -> list[Fixture]:
    """The first «found» one of each data set."""
    held: dict[str, Fixture] = {}
    for fixture in fixtures:
        if fixture.expect.outcome == "found":
            held.setdefault(fixture.dataset, fixture)
    return list(held.values())


async def hardships(loaded: Loaded, fixtures: list[Fixture], heard: list[str]) -> list[Result]:
    """Every check that needs a hostile server. ``heard`` gets the text of every error that the connector raises."""
    if loaded.manifest.base_url.startswith(SCHEME):
        return [Result("faults", True, "exempt: nothing goes over a network")]
    results: list[Result] = []
    for fixture in found_cases([f for f in fixtures if f.dataset in loaded.plans]):
        case, name = Case(loaded, fixture, heard), fixture.dataset
        if why := await _quiet(case):
            results.append(Result(f"{name}: over a socket", False, why))
            continue
        for fault, does in FAULTS.items():
            results.append(Result(f"{name}: {fault}", not (why := await _refuses(case, does)), why))
        results.append(await _other_enterprise(case))
        results += await _drifts(case)
        results.append(Result(f"{name}: cancelled", not (why := await _cancelled(case)), why))
    return results


def _server(case: Case, fault: Fault | None) -> Behaviour:
    replay = Replay(case.loaded.fixtures, case.fixture.exchanges)

    async def behave(peer: Peer) -> None:
        while True:
            request = _wire(await peer.request())
            try:
                due = replay.reply_to(request)
            except Unexpected:
                await peer.send(message(500, b""))
                continue
            if fault is None or urlsplit(request.url).path != case.path:
                await peer.send(message(due.status, due.body, {k.title(): v for k, v in due.headers.items()}))
            else:
                await fault(peer, due)

    return behave


def _wire(raw: bytes) -> WireRequest:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ", 2)
    # The names that Replay looks for are those that the engine writes.
    headers = {name.title(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    return WireRequest(method, target, headers, body)


async def _fetch(
    case: Case,
    server: Server,
    transport: AioTransport,
    timeout: str = _TIMEOUT,  # noqa: ASYNC109
    change: Body | None = None,
) -> Reply:
    state = MemoryState()
    made = connector_of(case.loaded, transport, case.fixture, base_url=server.url, timeout=timeout, state=state)
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    return await played(made, state, case.loaded, case.fixture, deadline, change)


async def _outcome(case: Case, fault: Fault | None, change: Body | None = None) -> Reply | UpstreamError:
    """``change`` is done to what is called back. Raises whatever else the connector raises."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hostile(_server(case, fault)))
        transport = AioTransport(allowed_private=[server.origin])
        stack.push_async_callback(transport.close)
        try:
            return await _fetch(case, server, transport, change=change)
        except UpstreamError as err:
            case.heard.append(f"{err} {err.details}")
            return err


async def _quiet(case: Case) -> str:
    """Without a fault the case must hold, else the faults would show nothing."""
    got = await _outcome(case, None)
    return f"{got.code} without any fault" if isinstance(got, UpstreamError) else ""


async def _refuses(case: Case, fault: Fault | None, change: Body | None = None) -> str:
    try:
        got = await _outcome(case, fault, change)
    except Exception as err:
        return f"{type(err).__name__} instead of a typed failure"
    return "" if isinstance(got, UpstreamError) else f"taken for {got.found.value}"


def _text(case: Case, due: WireReply) -> tuple[str, str] | None:
    """The reply's text and the codec that gives its bytes again, or None."""
    for charset in case.loaded.manifest.decode.charset:
        codec = "gb18030" if charset.lower().startswith("gb") else charset
        try:
            return decode_text(due.body, due.headers["content-type"], [charset]), codec
        except UpstreamCharset:
            continue
    return None


def _changed(case: Case, change: Callable[[str], str], seen: list[bool]) -> tuple[Fault | None, Body | None]:
    """For ``_outcome``: where the platform calls back, it is what it sends then."""

    def body(due: WireReply) -> bytes:
        read = _text(case, due)
        if read is None:
            return due.body
        text, codec = change(read[0]), read[1]
        seen.append(text != read[0])
        return text.encode(codec)

    async def fault(peer: Peer, due: WireReply) -> None:
        # Not only one: the other pages come over the same connection.
        headers = {name.title(): value for name, value in due.headers.items()}
        await peer.send(message(due.status, body(due), headers))

    return (None, body) if case.fixture.callback else (fault, None)


async def _other_enterprise(case: Case) -> Result:
    name = f"{case.fixture.dataset}: another enterprise's data"
    dataset = next(d for d in case.loaded.manifest.dataset if d.name == case.fixture.dataset)
    if dataset.unechoed:
        return Result(name, True, f"exempt: {dataset.unechoed}")
    subject, seen = case.fixture.subject, list[bool]()

    def change(text: str) -> str:
        text = text.replace(subject.uscc, _OTHER).replace(subject.name, _OTHER_NAME)
        return text.replace(subject.registration_number, "0") if subject.registration_number else text

    why = await _refuses(case, *_changed(case, change, seen))
    return Result(name, not why, why) if any(seen) else Result(name, True, "exempt: the reply is closed to the suite")


async def _drifts(case: Case) -> list[Result]:
    """Each field under another name: a required one must be missed, an optional one must not vanish in silence."""
    results = []
    required = CATALOGUE[case.fixture.dataset].required if case.fixture.dataset in CATALOGUE else frozenset()
    for field, spec in case.loaded.plans[case.fixture.dataset].specs.items():
        path = getattr(spec, "from_", None)
        if not path:
            continue
        key = re.compile(rf"(?<=[\"</]){re.escape(path.rsplit('.', 1)[-1])}(?=\\*[\"> /])")
        seen: list[bool] = []
        fault = _changed(case, lambda text, key=key: key.sub("renamed_by_the_suite", text), seen)  # type: ignore[misc]
        name = f"{case.fixture.dataset}: {field} renamed"
        try:
            got = await _outcome(case, *fault)
        except Exception as err:
            results.append(Result(name, False, f"{type(err).__name__} instead of a typed failure"))
            continue
        if not any(seen):
            results.append(Result(name, True, "exempt: not in this reply, or the reply is closed to the suite"))
        elif isinstance(got, UpstreamError):
            results.append(Result(name, True, got.code))
        elif field in required:
            results.append(Result(name, False, "a required field was not missed"))
        else:
            results.append(Result(name, bool(got.drift), "counted" if got.drift else "it vanished in silence"))
    return results


async def _cancelled(case: Case) -> str:
    """In mid-call: the connection is hung up on, and no task is left."""

    asked, gone = asyncio.Event(), asyncio.Event()

    async def hangs(peer: Peer, _: WireReply) -> None:
        asked.set()
        await peer.until_gone()
        gone.set()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hostile(_server(case, hangs)))
        transport = AioTransport(allowed_private=[server.origin])
        stack.push_async_callback(transport.close)
        before = asyncio.all_tasks()
        fetch = asyncio.create_task(_fetch(case, server, transport, timeout="20s"))
        try:
            async with asyncio.timeout(_PATIENCE):
                await asked.wait()
                fetch.cancel()
                await asyncio.wait([fetch])
                await gone.wait()
        except TimeoutError:
            fetch.cancel()
            return "the connection stayed open" if asked.is_set() else "the call never came"
        left = [task for task in asyncio.all_tasks() - before if "hostile" not in repr(task.get_coro())]
        return "" if fetch.cancelled() and not left else f"{len(left)} tasks are left"
