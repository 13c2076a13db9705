"""One HTTP connection: where a reply ends, what is too much around its body, when the next request may go over it."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from connectors.http_connection import MAX_FIELD, MAX_FIELDS
from connectors.kit.hostile import Peer, flood, hostile, message, raw
from connectors.transport import AioTransport
from connectors.wire import WireReply, WireRequest
from schemas.errors import UpstreamError, UpstreamProtocol, UpstreamTruncated
from tests.certificates import Authority

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


async def answers(*parts: bytes, method: str = "GET", times: int = 1) -> tuple[list[WireReply], int]:
    """What each of several requests got from a server that sends the ``parts`` one by one, and how many connections
    they took."""

    async def serve(peer: Peer) -> None:
        while True:
            await peer.request()
            for part in parts:
                await peer.send(part)
                await asyncio.sleep(0.001)

    async with hostile(serve) as server:
        transport = AioTransport(allowed_private=[server.origin])
        try:
            request = WireRequest(method, server.url + "/q", {}, b"")
            return [await transport.send(request, timeout=5) for _ in range(times)], server.connections
        finally:
            await transport.close()


async def test_a_reply_may_come_in_any_pieces() -> None:
    whole = CHUNKED + b"3\r\nabc\r\n1;ext=1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n"
    got, connections = await answers(*[bytes([byte]) for byte in whole], times=2)
    assert [(reply.status, reply.body) for reply in got] == [(200, b"abcd")] * 2
    assert "x-trailer" not in got[0].headers
    assert connections == 1


async def test_a_field_without_a_value_is_empty() -> None:
    (reply,), _ = await answers(START + b"A:\r\nB: \t \r\nC: c \r\nContent-Length: 0\r\n\r\n")
    assert reply.headers == {"a": "", "b": "", "c": "c", "content-length": "0"}


async def test_a_reply_to_head_ends_with_its_headers_and_its_connection_is_not_used_again() -> None:
    got, connections = await answers(START + b"Content-Length: 9\r\n\r\n", method="HEAD", times=2)
    assert [reply.body for reply in got] == [b"", b""]
    assert connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        START + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_where_the_server_means_to_close_the_connection_is_not_used_again(reply: bytes) -> None:
    got, connections = await answers(reply, times=2)
    assert [reply.body for reply in got] == [b"{}", b"{}"]
    assert connections == 2


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(message(200, b'{"a":1}'))
        await asyncio.sleep(0.01)
        await peer.send(message(200, b'{"smuggled":1}'))
        await peer.until_gone()

    async with hostile(serve) as server:
        transport = AioTransport(allowed_private=[server.origin])
        request = WireRequest("GET", server.url + "/q", {}, b"")
        first = await transport.send(request, timeout=5)
        await server.ended.wait()
        second = await transport.send(request, timeout=5)
        await transport.close()
    assert (first.body, second.body, server.connections) == (b'{"a":1}', b'{"a":1}', 2)


async def test_a_connection_that_ends_while_leave_is_asked_carries_nothing() -> None:
    async with hostile(raw(message(200, b"{}"))) as server:
        transport = AioTransport(allowed_private=[server.origin])

        async def leave() -> None:
            (connection,) = transport._open
            connection.abort()

        with pytest.raises(UpstreamTruncated):
            await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5, leave=leave)
        await transport.close()
    assert server.requests == []


async def test_a_reply_that_comes_in_the_moment_of_a_cancellation_is_dropped() -> None:
    async with hostile(raw(b"", then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        task = asyncio.create_task(transport.send(WireRequest("GET", server.url, {}, b""), timeout=5))
        await server.heard.wait()
        (connection,) = transport._open
        task.cancel()
        came = message(200, b"{}")
        connection.get_buffer(-1)[: len(came)] = came
        connection.buffer_updated(len(came))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.usable
        await transport.close()


@pytest.mark.parametrize("status", [b"000", b"099"])
async def test_what_stands_before_the_reply_under_no_status_is_no_part_of_it(status: bytes) -> None:
    before = b"HTTP/1.1 " + status + b" X\r\nContent-Length: 9\r\n\r\nsmuggled:"
    with pytest.raises(UpstreamProtocol):
        await answers(before + message(200, b"{}"))


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked"])
async def test_a_transfer_coding_that_would_stay_on_the_body_is_refused(coding: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        await answers(START + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n")


async def test_a_protocol_that_nobody_asked_for_is_refused_and_nothing_else_happens() -> None:
    said: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    with pytest.raises(UpstreamProtocol):
        await answers(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI *")
    assert said == []


async def test_a_body_without_a_length_that_we_cut_ourselves_is_not_whole() -> None:
    async with hostile(raw(b"", then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        task = asyncio.create_task(transport.send(WireRequest("GET", server.url, {}, b""), timeout=5))
        await server.heard.wait()
        (connection,) = transport._open
        came = START + b'\r\n{"a":1}'
        connection.get_buffer(-1)[: len(came)] = came
        connection.buffer_updated(len(came))
        await transport.close()
        with pytest.raises(UpstreamTruncated):
            await task


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("announced", [True, False])
async def test_the_end_of_a_body_without_a_length_is_announced_over_tls(
    tmp_path: Path, version: ssl.TLSVersion, announced: bool
) -> None:
    """RFC 9112 section 9.8: only the closure alert tells a whole one from one that somebody on the way cut off."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(START + b'\r\n{"a":1}')
        if not announced:
            peer.writer.transport.abort()  # the stream ends, and nothing says so

    authority = Authority(tmp_path)
    trusting = authority.trusting()
    trusting.maximum_version = version
    async with hostile(serve, tls=authority.server()) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=trusting)
        ask = transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)
        if announced:
            assert (await ask).body == b'{"a":1}'
        else:
            with pytest.raises(UpstreamTruncated):
                await ask
        await transport.close()


async def failure(head: bytes, block: bytes) -> UpstreamError:
    async with hostile(flood(head, block)) as server:
        transport = AioTransport(allowed_private=[server.origin])
        with pytest.raises(UpstreamError) as raised:
            await transport.send(WireRequest("GET", server.url + "/q", {}, b""), timeout=5)
        await transport.close()
        await server.ended.wait()
    assert server.sent < 16 * 1024 * 1024  # what the kernel's buffers took
    return raised.value


@pytest.mark.parametrize(
    ("head", "block"),
    [
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2000, id="interim replies"),
        pytest.param(CHUNKED, b"2\r\nxx\r\n" * 9000, id="chunks of two bytes"),
        pytest.param(CHUNKED, b"1;" + b"x" * 60_000 + b"\r\nx\r\n", id="chunk extensions"),
        pytest.param(CHUNKED + b"0\r\n", b"X-Trailer: " + b"x" * 60_000 + b"\r\n", id="trailers"),
        pytest.param(CHUNKED + b"0\r\nX: ", b"x" * 65_536, id="one trailer"),
    ],
)
async def test_what_floods_around_the_body_is_given_up(head: bytes, block: bytes) -> None:
    assert type(await failure(head, block)) is UpstreamProtocol


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        (b"X: 1\r\n" * (MAX_FIELDS - 1), True),
        (b"X: 1\r\n" * MAX_FIELDS, False),
        (b"X: " + b"x" * (MAX_FIELD - 1) + b"\r\n", True),
        (b"X: " + b"x" * MAX_FIELD + b"\r\n", False),
    ],
    ids=["64 fields", "65 fields", "8190 bytes", "8191 bytes"],
)
async def test_fields_are_counted_and_measured_to_the_one(fields: bytes, fits: bool) -> None:
    reply = START + b"Content-Length: 0\r\n" + fields + b"\r\n"
    if fits:
        (got,), _ = await answers(reply)
        assert got.status == 200
    else:
        with pytest.raises(UpstreamProtocol):
            await answers(reply)
