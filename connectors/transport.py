"""Hardened HTTP: one request's bytes out, one reply's bytes in, every foreign failure turned into a typed error.

Built on the lower half of aiohttp's client: its connector (names, TCP, TLS, pool) and its parser, which is llhttp. The
upper half, ClientSession, is not used. It follows redirects (a 307 re-sends body and headers to another origin), sends
a GET twice on a stale connection (the same signature and nonce, behind the consent guard's back), keeps cookies, takes
proxies from the environment, and costs twice as much as all the rest of a call (docs/performance.md).
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from connectors.addresses import is_public
from connectors.http_head import DEFAULTS, plain, request_head
from connectors.inflate import inflater
from connectors.tls import Peers, Tls, checked, default_ssl_context
from connectors.wire import Leave, WireReply, WireRequest
from schemas.errors import (
    ConnectorFault,
    UpstreamAddressRefused,
    UpstreamConnect,
    UpstreamError,
    UpstreamOversize,
    UpstreamProtocol,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
)

MAX_BODY = 2 * 1024 * 1024
"""Bytes of a reply body, both as it came and after content decoding."""

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where to connect. ``place`` is the request that the connector takes its address from; it is never sent."""

    connector: aiohttp.TCPConnector
    place: aiohttp.ClientRequest
    defaults: tuple[tuple[str, str], ...]
    """Headers that are sent unless the request has its own: lower-case name and line."""


class AioTransport:
    """Sends through pooled connections. Made inside a running event loop; ``close`` gives the connections back.

    ``allowed_private`` lists ``host:port`` exactly as they stand in a URL (with the port, also where it is the scheme's
    own): for these, and only these, the address may be a non-public one. ``max_body`` and ``max_header_field`` are
    bytes, ``connect_timeout`` is seconds for name, TCP and TLS together, ``per_host`` is connections.
    """

    def __init__(
        self,
        *,
        allowed_private: Collection[str] = (),
        max_body: int = MAX_BODY,
        max_header_field: int = 8190,
        max_headers: int = 64,
        connect_timeout: float = 2.0,
        ssl_context: ssl.SSLContext | None = None,
        pins: frozenset[bytes] = frozenset(),
        per_host: int = 256,
    ) -> None:
        self._allowed = frozenset(entry.lower() for entry in allowed_private)
        self._max_body = max_body
        self._max_header_field = max_header_field
        self._max_headers = max_headers
        # The whole exchange is bounded by send's own timer, which is exact; aiohttp rounds its up to full seconds.
        self._timeouts = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=connect_timeout)
        self._connect_timeout = connect_timeout
        self._ssl = checked(ssl_context) if ssl_context else default_ssl_context()
        self._peers = Peers(pins)
        self._own: list[tuple[AioTransport, Tls]] = []
        self._per_host = per_host
        self._public = self._connector(guarded=True)
        self._private = self._connector(guarded=False)
        self._origins: dict[str, _Origin] = {}

    def secured(self, tls: Tls) -> "AioTransport":
        """One like this with a platform's own terms for TLS, and so with connections of its own; closed with this."""
        made = AioTransport(
            allowed_private=self._allowed,
            max_body=self._max_body,
            max_header_field=self._max_header_field,
            max_headers=self._max_headers,
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

    def _connector(self, *, guarded: bool) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            ssl=self._ssl,
            limit=0,
            limit_per_host=self._per_host,
            socket_factory=_public_socket if guarded else None,
        )

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
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(request, leave)
        except UpstreamError:
            raise
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as err:
            # `from None`: the texts of these carry URLs and, with them, signatures.
            raise _translated(err) from None

    async def _exchange(self, request: WireRequest, leave: Leave | None) -> WireReply:
        url = request.url
        end = url.find("/", 8)
        name = url if end < 0 else url[:end]
        origin = self._origins.get(name) or self._origin(name)
        head = request_head(request, "/" if end < 0 else url[end:], origin.defaults)
        try:
            connection = await origin.connector.connect(origin.place, [], self._timeouts)
        except TimeoutError:
            raise UpstreamConnect from None
        try:
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - the connector gives out what is connected
            assert protocol.transport is not None  # noqa: S101
            self._peers.look(name, protocol.transport)
            protocol.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=self._max_header_field,
                max_field_size=self._max_header_field,
                max_headers=self._max_headers,
            )
            if leave is not None:
                await leave()
            protocol.transport.write(head + request.body)
            reply = await self._reply(protocol)
        except BaseException:
            connection.close()
            raise
        # The pool takes it back only where the protocol says that nothing is left unread.
        connection.release()
        return reply

    async def _reply(self, protocol: ResponseHandler) -> WireReply:
        message, content = await protocol.read()
        while 100 <= message.code < 200 and message.code != 101:
            message, content = await protocol.read()
        headers = plain(message.headers)
        if 300 <= message.code < 400 and "location" in headers:
            raise UpstreamRedirect(status=message.code)
        if message.code < 200:
            raise UpstreamProtocol(what="status")
        return WireReply(message.code, headers, await self._body(protocol, headers, content))

    def _origin(self, name: str) -> _Origin:
        match = _ORIGIN.fullmatch(name)
        if match is None:
            raise ConnectorFault(what="url")
        scheme, host, port = match.groups()
        own = "443" if scheme == "https" else "80"
        connector = self._private if f"{host.lower()}:{port or own}" in self._allowed else self._public
        place = aiohttp.ClientRequest("GET", URL(name), loop=asyncio.get_running_loop())
        authority = host if port in (None, own) else f"{host}:{port}"
        origin = _Origin(connector, place, (("host", f"Host: {authority}"), *DEFAULTS))
        self._origins[name] = origin
        return origin

    async def _body(self, protocol: ResponseHandler, headers: Mapping[str, str], content: StreamReader) -> bytes:
        inflate = inflater(headers.get("content-encoding"), self._max_body)
        length = headers.get("content-length")
        if length is not None and int(length) > self._max_body:
            raise UpstreamOversize(limit=self._max_body)
        until_end = length is None and "chunked" not in headers.get("transfer-encoding", "").lower()
        end = _connection_end(protocol) if until_end else None
        chunks: list[bytes] = []
        came = 0
        while not content.at_eof():
            chunk = await content.readany()
            came += len(chunk)
            if came > self._max_body:
                raise UpstreamOversize(limit=self._max_body)
            chunks.append(inflate.feed(chunk) if inflate else chunk)
        # aiohttp takes a reset for the orderly end of a body that ends with its connection.
        if until_end and came and (end is None or not end.done() or end.exception()):
            raise UpstreamTruncated
        if inflate and came:
            inflate.finish()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def close(self) -> None:
        for made, _ in self._own:
            await made.close()
        await self._public.close()
        await self._private.close()


class _NotPublic(OSError):
    """An OSError, because while it races addresses the connector loses any other kind."""


def _public_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    family, kind, proto, _, address = info
    if not is_public(str(address[0])):
        raise _NotPublic
    return socket.socket(family, kind, proto)


def _translated(err: BaseException) -> UpstreamError:
    """The one table from foreign errors to ours."""
    cause = err.__cause__
    if isinstance(cause, _NotPublic):
        return UpstreamAddressRefused()
    if isinstance(err, ssl.SSLError | aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return UpstreamTls()
    if isinstance(err, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return UpstreamConnect()
    if isinstance(err, TimeoutError):
        return UpstreamTimeout()
    if isinstance(err, aiohttp.ClientResponseError | HttpProcessingError):
        return UpstreamProtocol(what="header")
    if isinstance(err, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return UpstreamTruncated()
    return ConnectorFault(what="request")


def _connection_end(protocol: ResponseHandler) -> "asyncio.Future[None] | None":
    """Done when the connection has ended, with an exception unless orderly. To be asked before the body is read."""
    end = protocol.closed
    if end is not None:
        # asyncio complains of an exception that nobody looked at.
        end.add_done_callback(asyncio.Future.exception)
    return end
