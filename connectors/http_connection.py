"""One HTTP/1.1 connection of a client: a request's bytes out, one reply's bytes in, then the next.

llhttp, by way of httptools, says where a message begins and ends and what its framing may be (RFC 9112); this module
keeps to the sizes and says what a cut means.
"""

import asyncio
import ssl
from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from connectors.inflate import inflater
from connectors.wire import WireReply
from schemas.errors import (
    UpstreamError,
    UpstreamOversize,
    UpstreamProtocol,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
)

MAX_FIELD = 8190
"""Bytes of one header field, name and value."""
MAX_FIELDS = 64
_FRAMING = (MAX_FIELDS + 1) * MAX_FIELD
# Beside those of a head, a reply has at most as many bytes around its body as in it: chunks of a few bytes each, a
# million of them, cost more than all the rest of a call.
_BUFFER = 64 * 1024


class Connection(asyncio.BufferedProtocol):
    """Made by the loop's ``create_connection``. ``usable``: the next request may go over it; it was not closed, and
    nothing came that answers no request. ``ended`` is called with it at its end."""

    transport: asyncio.Transport

    def __init__(self, max_body: int, ended: "Callable[[Connection], None]") -> None:
        self.usable = True
        self.idle_since = 0.0
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._max_body = max_body
        self._buffer = memoryview(bytearray(_BUFFER))
        self._parser = HttpResponseParser(self)
        self._reply: asyncio.Future[WireReply] | None = None

    def ask(self, data: bytes, when: float, *, bodiless: bool) -> "asyncio.Future[WireReply]":
        """Send a request, and give what becomes its reply: until ``when`` on the loop's clock, then UpstreamTimeout.
        ``bodiless``: it is one that is answered by headers alone (HEAD). Who gives the reply up aborts."""
        self._reply = reply = self._loop.create_future()
        self._headers: dict[str, str] = {}
        self._fields = self._fed = 0
        self._body: bytes | bytearray = b""
        self._headed = False
        self._bodiless = bodiless
        self._timer = self._loop.call_at(when, self._late)
        if self.usable:
            self.transport.write(data)
        else:
            self._fail(UpstreamTruncated())
        return reply

    def abort(self) -> None:
        self.usable = False
        self.transport.abort()

    # --- What the loop calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        self.transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if self._reply is None:
            self.abort()
            return
        self._fed += count
        try:
            self._parser.feed_data(self._buffer[:count])
        except (HttpParserError, HttpParserUpgrade):
            self._fail(UpstreamProtocol(what="header"))
        if self._reply is not None and self._fed > _FRAMING + 2 * len(self._body):
            self._fail(UpstreamProtocol(what="header"))

    def eof_received(self) -> None:
        self.usable = False
        if self._reply is not None and self._headed and self._until_end and self._announced():
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._ended(self)
        if self._reply is not None:
            self._fail(UpstreamTls() if isinstance(exc, ssl.SSLError) else UpstreamTruncated())

    def _announced(self) -> bool:
        """Over TLS, whether the server said that it ends here: else anybody on the way may have cut what came (RFC
        9112 section 9.8)."""
        secured: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        try:
            return secured is None or not secured.read(1)
        except ssl.SSLError:
            return False

    # --- What the parser calls ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # Behind the reply that was asked for: it must never answer the next request.
        self.usable = self._reply is not None
        self._headers, self._fields = {}, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return
        self._fields += 1
        if self._fields > MAX_FIELDS or len(name) + len(value) > MAX_FIELD:
            self._fail(UpstreamProtocol(what="header"))
            return
        # A repeated field becomes one, joined by a comma (RFC 9110 section 5.2).
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape").strip(" \t")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        status, headers = self._parser.get_status_code(), self._headers
        if self._reply is None:
            return
        if status < 200:
            # Below 100 is no status, and what would be its body is no part of the next one's.
            if status < 100 or status == 101:
                self._fail(UpstreamProtocol(what="status"))
            return
        self._headed = True
        self._status = status
        length, coding = headers.get("content-length"), headers.get("transfer-encoding", "identity").lower()
        self._until_end = length is None and coding == "identity"
        if 300 <= status < 400 and "location" in headers:
            self._fail(UpstreamRedirect(status=status))
        elif coding not in ("chunked", "identity"):
            # Another one was never asked for, and would be left on the body.
            self._fail(UpstreamProtocol(what="header"))
        elif self._bodiless:
            self.usable = False
            self._finish()
        elif length is not None and int(length) > self._max_body:
            self._fail(UpstreamOversize(limit=self._max_body))

    def on_body(self, body: bytes) -> None:
        if self._reply is None:
            return
        # Nearly always there is one part, and it is not copied; of a million, none is kept by itself.
        if self._body:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += body
        else:
            self._body = body
        if len(self._body) > self._max_body:
            self._fail(UpstreamOversize(limit=self._max_body))

    def on_message_complete(self) -> None:
        if self._headed and self._reply is not None:
            self.usable = self._parser.should_keep_alive()
            self._finish()

    # --- How a reply ends --------------------------------------------------------------------------------------

    def _finish(self) -> None:
        body, self._body = bytes(self._body), b""
        try:
            if body and (inflate := inflater(self._headers.get("content-encoding"), self._max_body)):
                # In pieces: what a member of it leaves over is copied.
                body = b"".join([inflate.feed(body[at : at + _BUFFER]) for at in range(0, len(body), _BUFFER)])
                inflate.finish()
        except UpstreamError as err:
            self._fail(err)
            return
        reply = self._settle()
        if reply is not None:
            reply.set_result(WireReply(self._status, self._headers, body))

    def _fail(self, err: UpstreamError) -> None:
        self.abort()
        reply = self._settle()
        if reply is not None:
            reply.set_exception(err)

    def _late(self) -> None:
        self._fail(UpstreamTimeout())

    def _settle(self) -> "asyncio.Future[WireReply] | None":
        """What waits for the reply, if anybody still does."""
        reply, self._reply = self._reply, None
        self._timer.cancel()
        return None if reply is None or reply.done() else reply
