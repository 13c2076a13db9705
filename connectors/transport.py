"""Hardened HTTP: one request's bytes out, one reply's bytes in, every foreign failure turned into a typed error.

A small client of its own over asyncio and llhttp (connectors.http_connection). The usual ones follow redirects (a 307
re-sends body and headers to another origin), send a GET twice on a stale connection (the same signature and nonce,
behind the consent guard's back), keep cookies, take proxies from the environment, and cost several times as much as
all the rest of a call (docs/performance.md).
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from aiohappyeyeballs import start_connection

from connectors.addresses import is_public
from connectors.http_connection import Connection
from connectors.http_head import DEFAULTS, request_head
from connectors.tls import Peers, Tls, checked, default_ssl_context
from connectors.wire import Leave, WireReply, WireRequest
from schemas.errors import (
    ConnectorFault,
    UpstreamAddressRefused,
    UpstreamConnect,
    UpstreamTimeout,
    UpstreamTls,
)

MAX_BODY = 2 * 1024 * 1024
"""Bytes of a reply body, both as it came and after content decoding."""

_MAX_PORT = 65535
_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


KEPT = 15.0
"""Seconds that a connection is kept for the next request; platforms close idle ones after 20 and more."""
_HAPPY = 0.25
"""Seconds until the next address is tried beside the one before (RFC 8305 section 5)."""


_Address = tuple[int, int, int, str, tuple[Any, ...]]
"""As the loop's ``getaddrinfo`` gives it."""


@dataclass(slots=True)
class _Origin:
    """Where to connect, and the connections there. ``guarded``: only to public addresses."""

    name: str
    host: str
    port: int
    literal: "list[_Address]"
    """Where the host is an address and no name."""
    secure: bool
    guarded: bool
    defaults: tuple[tuple[str, str], ...]
    """Headers that are sent unless the request has its own: lower-case name and line."""
    places: asyncio.Semaphore
    idle: list[Connection] = field(default_factory=list)


class AioTransport:
    """Sends through pooled connections. Made inside a running event loop; ``close`` gives the connections back.

    ``allowed_private`` lists ``host:port`` exactly as they stand in a URL (with the port, also where it is the scheme's
    own): for these, and only these, the address may be a non-public one. ``max_body`` is bytes, ``connect_timeout`` is
    seconds for name, TCP and TLS together, ``per_host`` is connections.
    """

    def __init__(
        self,
        *,
        allowed_private: Collection[str] = (),
        max_body: int = MAX_BODY,
        connect_timeout: float = 2.0,
        ssl_context: ssl.SSLContext | None = None,
        pins: frozenset[bytes] = frozenset(),
        per_host: int = 256,
    ) -> None:
        self._allowed = frozenset(entry.lower() for entry in allowed_private)
        self._max_body = max_body
        self._connect_timeout = connect_timeout
        self._ssl = checked(ssl_context) if ssl_context else default_ssl_context()
        self._peers = Peers(pins)
        self._own: list[tuple[AioTransport, Tls]] = []
        self._per_host = per_host
        self._origins: dict[str, _Origin] = {}
        self._open: set[Connection] = set()
        self._tidying: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    def secured(self, tls: Tls) -> "AioTransport":
        """One like this with a platform's own terms for TLS, and so with connections of its own; closed with this."""
        made = AioTransport(
            allowed_private=self._allowed,
            max_body=self._max_body,
            connect_timeout=self._connect_timeout,
            ssl_context=tls.context,
            pins=tls.pins,
            per_host=self._per_host,
        )
        self._own.append((made, tls))
        return made

    def certificate_ends(self) -> dict[str, float]:
        """When certificates end, in Unix seconds: by origin those that servers showed, and as ``client:ID`` ours."""
        ends = dict(self._peers.ends)
        for made, tls in self._own:
            ends |= {**made.certificate_ends(), **tls.ends}
        return ends

    async def send(
        self,
        request: WireRequest,
        *,
        timeout: float,  # noqa: ASYNC109 - the seam's contract
        leave: Leave | None = None,
    ) -> WireReply:
        """Send once and read the whole reply, within ``timeout`` seconds. Never follows, never repeats.

        ``leave`` is asked once more when the connection stands, right before the first byte: waiting for a connection
        may take longer than a lease lasts. Raises what it raises, and schemas.errors.UpstreamError: one of the
        transport's own (connect, timeout, truncated, tls, redirect, address refused, oversize, protocol), or
        ConnectorFault when the request itself cannot be sent.
        """
        if timeout <= 0:
            raise UpstreamTimeout
        until = self._loop.time() + timeout
        url = request.url
        end = url.find("/", 8)
        name = url if end < 0 else url[:end]
        origin = self._origins.get(name) or self._origin(name)
        head = request_head(request, "/" if end < 0 else url[end:], origin.defaults)
        await self._place(origin, until)
        try:
            connection = self._kept(origin) or await self._connected(origin, until)
            try:
                if leave is not None:
                    await leave()
                reply = await connection.ask(head + request.body, until, bodiless=request.method == "HEAD")
            except BaseException:
                connection.abort()
                raise
            self._keep(origin, connection)
            return reply
        finally:
            origin.places.release()

    async def _place(self, origin: _Origin, until: float) -> None:
        if origin.places.locked():
            try:
                async with asyncio.timeout_at(until):
                    await origin.places.acquire()
            except TimeoutError:
                raise UpstreamTimeout from None
        else:
            await origin.places.acquire()

    def _kept(self, origin: _Origin) -> Connection | None:
        while origin.idle:
            connection = origin.idle.pop()
            if connection.usable:
                return connection
        return None

    def _keep(self, origin: _Origin, connection: Connection) -> None:
        if not connection.usable:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        origin.idle.append(connection)
        if self._tidying is None:
            self._tidying = self._loop.call_later(KEPT, self._tidy)

    def _tidy(self) -> None:
        """Close what nobody used for a while."""
        self._tidying = None
        oldest = self._loop.time() - KEPT
        for origin in self._origins.values():
            for connection in origin.idle:
                if connection.idle_since <= oldest:
                    connection.abort()
            origin.idle = [connection for connection in origin.idle if connection.usable]
        if any(origin.idle for origin in self._origins.values()):
            self._tidying = self._loop.call_later(KEPT, self._tidy)

    async def _connected(self, origin: _Origin, until: float) -> Connection:
        try:
            async with asyncio.timeout_at(min(until, self._loop.time() + self._connect_timeout)):
                connection = await self._connect(origin)
        except ssl.SSLError:
            # `from None`, here and below: the texts of these name hosts.
            raise UpstreamTls from None
        except TimeoutError:
            raise (UpstreamConnect if self._loop.time() < until else UpstreamTimeout) from None
        except OSError:
            raise UpstreamConnect from None
        except UnicodeError:  # a name that no name server can be asked for
            raise ConnectorFault(what="url") from None
        self._open.add(connection)
        try:
            self._peers.look(origin.name, connection.transport)
        except (UpstreamTls, ValueError) as err:
            connection.abort()
            raise (err if isinstance(err, UpstreamTls) else UpstreamTls) from None
        if self._closed:
            connection.abort()
            raise UpstreamConnect
        return connection

    async def _connect(self, origin: _Origin) -> Connection:
        # What is connected to is what was checked: a name's next answer may be another.
        places = origin.literal or await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        if origin.guarded:
            places = [place for place in places if is_public(str(place[4][0]))]
            if not places:
                raise UpstreamAddressRefused
        stream = await start_connection(places, happy_eyeballs_delay=_HAPPY, interleave=1, loop=self._loop)
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._max_body, self._open.discard),
            sock=stream,
            ssl=self._ssl if origin.secure else None,
            server_hostname=origin.host if origin.secure else None,
        )
        return connection

    def _origin(self, name: str) -> _Origin:
        match = _ORIGIN.fullmatch(name)
        if match is None:
            raise ConnectorFault(what="url")
        scheme, host, port = match.groups()
        own = "443" if scheme == "https" else "80"
        bare, number = host.strip("[]"), int(port or own)
        literal = _literal(bare, number)
        # «Ends in a number» (WHATWG URL): resolvers take it for an address.
        if number > _MAX_PORT or (not literal and bare.rstrip(".").rpartition(".")[2].isdigit()):
            raise ConnectorFault(what="url")
        origin = _Origin(
            name=name,
            host=bare,
            port=number,
            literal=literal,
            secure=scheme == "https",
            guarded=f"{host.lower()}:{port or own}" not in self._allowed,
            defaults=(("host", f"Host: {host if port in (None, own) else f'{host}:{port}'}"), *DEFAULTS),
            places=asyncio.Semaphore(self._per_host),
        )
        self._origins[name] = origin
        return origin

    async def close(self) -> None:
        self._closed = True
        for made, _ in self._own:
            await made.close()
        if self._tidying is not None:
            self._tidying.cancel()
        for connection in list(self._open):
            connection.abort()
        while self._open:  # noqa: ASYNC110 - a turn of the loop or two, and never again
            await asyncio.sleep(0)


def _literal(host: str, port: int) -> list[_Address]:
    try:
        version = ip_address(host).version
    except ValueError:
        return []
    family, address = (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
