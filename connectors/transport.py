"""Hardened HTTP: one request's bytes out, one reply's bytes in, every foreign failure turned into a typed error.

What the aiohttp client does by itself and is switched off here: following redirects (a 307 re-sends body and headers to
another origin), sending a GET twice on a stale connection (it would be the same signature and nonce, behind the consent
guard's back), cookies, proxies from the environment, decompression without a cap, and connecting to any address.
"""

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Collection, Mapping

import aiohttp
from yarl import URL

from connectors.addresses import is_public
from connectors.wire import WireReply, WireRequest
from schemas.errors import (
    ConfigurationError,
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
MAX_MEMBERS = 1000
"""Concatenated gzip members of one body (RFC 1952 section 2.2); honest servers send one."""

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "xinqiao"}


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
        per_host: int = 256,
    ) -> None:
        self._allowed = frozenset(entry.lower() for entry in allowed_private)
        self._max_body = max_body
        self._max_header_field = max_header_field
        self._max_headers = max_headers
        # The whole exchange is bounded by send's own timer, which is exact; aiohttp rounds its up to full seconds.
        self._timeouts = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=connect_timeout)
        self._ssl = _checked(ssl_context) if ssl_context else default_ssl_context()
        self._per_host = per_host
        self._public = self._session(guarded=True)
        self._private = self._session(guarded=False)
        self._by_origin: dict[str, aiohttp.ClientSession] = {}

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._ssl,
            limit=0,
            limit_per_host=self._per_host,
            socket_factory=_public_socket if guarded else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=_DEFAULT_HEADERS,
            skip_auto_headers=("Content-Type",),
            timeout=self._timeouts,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=self._max_header_field,
            max_field_size=self._max_header_field,
            max_headers=self._max_headers,
            middlewares=(_once,),
        )

    async def send(self, request: WireRequest, *, timeout: float) -> WireReply:  # noqa: ASYNC109 - the seam's contract
        """Send once and read the whole reply, within ``timeout`` seconds. Never follows, never repeats.

        Raises schemas.errors.UpstreamError: one of the transport's own (connect, timeout, truncated, tls, redirect,
        address refused, oversize, protocol), or ConnectorFault when the request itself cannot be sent.
        """
        if timeout <= 0:
            raise UpstreamTimeout
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(request)
        except UpstreamError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as err:
            # `from None`: the texts of these carry URLs and, with them, signatures.
            raise _translated(err) from None

    async def _exchange(self, request: WireRequest) -> WireReply:
        url = request.url
        end = url.find("/", 8)
        origin = url if end < 0 else url[:end]
        session = self._by_origin.get(origin) or self._session_for(origin)
        response = await session.request(
            request.method,
            URL(url, encoded=True),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        )
        try:
            status = response.status
            headers = _plain(response.headers)
            if 300 <= status < 400 and "location" in headers:
                raise UpstreamRedirect(status=status)
            if status < 200:
                raise UpstreamProtocol(what="status")
            body = await self._body(response, headers.get("content-encoding"))
        except BaseException:
            response.close()
            raise
        return WireReply(status, headers, body)

    def _session_for(self, origin: str) -> aiohttp.ClientSession:
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            raise ConnectorFault(what="url")
        scheme, host, port = match.groups()
        place = f"{host.lower()}:{port or ('443' if scheme == 'https' else '80')}"
        session = self._private if place in self._allowed else self._public
        self._by_origin[origin] = session
        return session

    async def _body(self, response: aiohttp.ClientResponse, coding: str | None) -> bytes:
        inflate = _inflater(coding, self._max_body)
        content = response.content
        length = response.content_length
        if length is not None and length > self._max_body:
            raise UpstreamOversize(limit=self._max_body)
        until_end = length is None and not _chunked(response)
        end = _connection_end(response) if until_end else None
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
        await self._public.close()
        await self._private.close()


def default_ssl_context() -> ssl.SSLContext:
    """The system's certificate authorities, host names checked, TLS 1.2 or newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _checked(context: ssl.SSLContext) -> ssl.SSLContext:
    if not (
        context.check_hostname
        and context.verify_mode is ssl.CERT_REQUIRED
        and context.minimum_version >= ssl.TLSVersion.TLSv1_2
    ):
        raise ConfigurationError(setting="ssl_context")
    return context


class _NotPublic(OSError):
    """An OSError, because while it races addresses the connector loses any other kind."""


def _public_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    family, kind, proto, _, address = info
    if not is_public(str(address[0])):
        raise _NotPublic
    return socket.socket(family, kind, proto)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    # Translated inside aiohttp's own loop, which would otherwise send a GET a second time.
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
        raise _translated(err) from None


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    """Lower-case names; a repeated field becomes one, joined by a comma (RFC 9110 section 5.2)."""
    plain: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        plain[key] = f"{plain[key]}, {value}" if key in plain else value
    return plain


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
    if isinstance(err, aiohttp.ClientResponseError):
        return UpstreamProtocol(what="header")
    if isinstance(err, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return UpstreamTruncated()
    return ConnectorFault(what="request")


def _chunked(response: aiohttp.ClientResponse) -> bool:
    return "chunked" in response.headers.get("transfer-encoding", "").lower()


def _connection_end(response: aiohttp.ClientResponse) -> "asyncio.Future[None] | None":
    """Done when the connection has ended, with an exception unless orderly. To be asked before the body is read."""
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    end = protocol.closed if protocol is not None else None
    if end is not None:
        # asyncio complains of an exception that nobody looked at.
        end.add_done_callback(asyncio.Future.exception)
    return end


class _Inflater:
    """Content decoding with a cap that holds before the bytes are made, not after."""

    def __init__(self, gzip: bool, limit: int) -> None:
        self._gzip = gzip
        self._limit = limit
        self._made = 0
        self._members = 0
        self._zlib: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bytes:
        made: list[bytes] = []
        while data:
            if self._zlib is None or self._zlib.eof:
                self._zlib = self._next_member(data[0])
            try:
                # One byte over the cap tells a body that is too long from one that just fits.
                out = self._zlib.decompress(data, self._limit + 1 - self._made)
            except zlib.error:
                raise UpstreamProtocol(what="content_encoding") from None
            self._made += len(out)
            if self._made > self._limit:
                raise UpstreamOversize(limit=self._limit)
            made.append(out)
            data = self._zlib.unused_data
        return b"".join(made)

    def _next_member(self, first: int) -> "zlib._Decompress":
        self._members += 1
        if self._members > (MAX_MEMBERS if self._gzip else 1):
            raise UpstreamProtocol(what="content_encoding")
        if self._gzip:
            return zlib.decompressobj(31)
        # RFC 9110 section 8.4.1.2 means the zlib format by «deflate»; some servers send the bare stream.
        return zlib.decompressobj(15 if first & 0x8F == 0x08 else -15)

    def finish(self) -> None:
        if self._zlib is None or not self._zlib.eof:
            raise UpstreamTruncated


def _inflater(coding: str | None, limit: int) -> _Inflater | None:
    if coding is None:
        return None
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Inflater(coding != "deflate", limit)
    # br and zstd are never asked for; a list («gzip, gzip») is a nested bomb's form.
    raise UpstreamProtocol(what="content_encoding")
