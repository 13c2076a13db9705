"""A server that misbehaves on purpose, over real sockets.

    async with hostile(reply(200, b"{}")) as server:
        ...  # server.url, server.origin, server.requests, server.connections

A behaviour is a coroutine function that gets one accepted connection as a ``Peer``; most are made by the functions
below.
The server stops, and every connection with it, at the end of the block.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast


@dataclass(slots=True)
class Peer:
    """One accepted connection, the server's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "Server"

    async def request(self) -> bytes:
        """Read one whole request, head and body, and record it. Raises IncompleteReadError at the end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = await self.reader.readexactly(length)
        self.server.requests.append(head + body)
        self.server.heard.set()
        return head + body

    async def send(self, data: bytes) -> None:
        self.server.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Cut the connection with a TCP reset instead of an orderly end."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Wait until the client has hung up."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Behaviour = Callable[[Peer], Awaitable[None]]


@dataclass(slots=True)
class Server:
    port: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    sent: int = 0
    """Bytes handed to the socket."""
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a whole request has come."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a behaviour has come to its end, or lost its client."""

    @property
    def origin(self) -> str:
        """``host:port``, as the transport's ``allowed_private`` wants it."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.origin}"


@contextlib.asynccontextmanager
async def hostile(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = cast("asyncio.Task[None]", asyncio.current_task())
        tasks.add(task)
        try:
            await behaviour(Peer(reader, writer, server))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            tasks.discard(task)
            server.ended.set()
            writer.close()

    listener = await asyncio.start_server(serve, server.host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """``host:port`` of a listener whose queue is full, so that the kernel drops every new SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


# --- Behaviours ------------------------------------------------------------------------------------------------


def raw(data: bytes, *, then: str = "close") -> Behaviour:
    """Read a request, send ``data`` as it stands; ``then`` close, reset or hang."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if then == "reset":
            peer.reset()
        elif then == "hang":
            await peer.until_gone()

    return behave


def message(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """One well-formed HTTP/1.1 reply."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Because\r\n{head}\r\n".encode("latin-1") + body


def reply(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer every request of a connection alike, and keep it open."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(message(status, body, headers))

    return behave


def redirect(status: int, location: str) -> Behaviour:
    return reply(status, b"", {"Location": location})


async def reset_before_reply(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def close_before_reply(peer: Peer) -> None:
    await peer.request()


async def mute(peer: Peer) -> None:
    """Accept and never say a word: for TLS clients, a handshake without an answer."""
    await peer.until_gone()


def dribble(start: bytes, drop: bytes, every: float = 0.02) -> Behaviour:
    """Slowloris from the other side: ``start``, then ``drop`` again and again without end."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(drop)
            await asyncio.sleep(every)

    return behave


def flood(head: bytes, block: bytes) -> Behaviour:
    """As fast as the client takes it, without end."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        while True:
            await peer.send(block)

    return behave
