"""What platforms do to a connection (faults U1, U2, U3, U6, U8, U9), each by a hostile server on a real socket."""

import gzip
import socket
import tracemalloc
import zlib

import pytest

from connectors.inflate import MAX_MEMBERS
from connectors.kit.hostile import (
    Behaviour,
    Peer,
    Server,
    black_hole,
    close_before_reply,
    dribble,
    flood,
    hostile,
    message,
    mute,
    raw,
    redirect,
    reply,
    reset_before_reply,
)
from connectors.transport import MAX_BODY, AioTransport
from connectors.wire import WireReply, WireRequest
from schemas.errors import (
    UpstreamConnect,
    UpstreamError,
    UpstreamOversize,
    UpstreamProtocol,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTruncated,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SECRETS = {"X-App-Key": "not-a-real-key", "X-Signature": "not-a-real-signature"}


async def ask(server: Server, *, method: str = "POST", within: float = 5.0, connect_timeout: float = 2.0) -> WireReply:
    transport = AioTransport(allowed_private=[server.origin], connect_timeout=connect_timeout)
    try:
        body = b'{"uscc":"x"}' if method == "POST" else b""
        return await transport.send(WireRequest(method, server.url + "/q", SECRETS, body), timeout=within)
    finally:
        await transport.close()


async def failure(behaviour: Behaviour, *, method: str = "POST", within: float = 5.0) -> UpstreamError:
    async with hostile(behaviour) as server:
        with pytest.raises(UpstreamError) as raised:
            await ask(server, method=method, within=within)
        assert len(server.requests) == 1
    return raised.value


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(reset_before_reply, id="reset before headers"),
        pytest.param(close_before_reply, id="closed before headers"),
        pytest.param(raw(HEAD, then="reset"), id="reset mid-headers"),
        pytest.param(raw(HEAD), id="closed mid-headers"),
        pytest.param(raw(HEAD + b'Content-Length: 9\r\n\r\n{"a"', then="reset"), id="reset mid-body"),
        pytest.param(raw(HEAD + b'Content-Length: 9\r\n\r\n{"a":1}'), id="length larger than sent"),
        pytest.param(raw(CHUNKED + b'7\r\n{"a":1}\r\n'), id="chunked without its last chunk"),
        pytest.param(raw(CHUNKED + b'9\r\n{"a"'), id="closed inside a chunk"),
        pytest.param(raw(HEAD + b'\r\n{"a":1}', then="reset"), id="reset of a body without length"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_reply_cut_short_is_truncated_and_asked_for_only_once(behaviour: Behaviour, method: str) -> None:
    err = await failure(behaviour, method=method)
    assert type(err) is UpstreamTruncated
    assert err.retryable


async def test_a_get_on_a_stale_connection_is_not_sent_a_second_time_by_itself() -> None:
    async def once_then_gone(peer: Peer) -> None:
        await peer.request()
        await peer.send(message(200, b"{}"))
        await peer.request()
        peer.reset()

    async with hostile(once_then_gone) as server:
        transport = AioTransport(allowed_private=[server.origin])
        request = WireRequest("GET", server.url + "/q", {}, b"")
        assert (await transport.send(request, timeout=5)).status == 200
        with pytest.raises(UpstreamTruncated):
            await transport.send(request, timeout=5)
        await transport.close()
    assert (len(server.requests), server.connections) == (2, 1)


async def test_a_body_that_ends_with_the_connection_is_whole_when_the_end_is_orderly() -> None:
    async with hostile(raw(HEAD + b'\r\n{"a":1}')) as server:
        assert (await ask(server)).body == b'{"a":1}'


async def test_a_reply_that_has_no_body_by_its_status_is_whole() -> None:
    async with hostile(raw(b"HTTP/1.1 204 No Content\r\n\r\n", then="hang")) as server:
        assert (await ask(server)).body == b""


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(dribble(HEAD, b"X"), id="headers"),
        pytest.param(dribble(HEAD + b"Content-Length: 100000\r\n\r\n", b"1"), id="body"),
        pytest.param(dribble(CHUNKED, b"1\r\n1\r\n"), id="chunks"),
        pytest.param(dribble(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), id="interim replies"),
        pytest.param(raw(b"", then="hang"), id="silence"),
    ],
)
async def test_one_byte_at_a_time_is_abandoned_at_the_deadline_and_hung_up_on(behaviour: Behaviour) -> None:
    async with hostile(behaviour) as server:
        with pytest.raises(UpstreamTimeout):
            await ask(server, within=0.2)
        await server.ended.wait()


async def test_no_time_left_means_nothing_is_sent() -> None:
    async with hostile(reply(200, b"{}")) as server:
        with pytest.raises(UpstreamTimeout):
            await ask(server, within=0)
    assert server.connections == 0


async def test_a_server_that_never_answers_the_tls_handshake_is_a_failed_connection() -> None:
    async with hostile(mute) as server:
        server.scheme = "https"
        with pytest.raises(UpstreamConnect):
            await ask(server, connect_timeout=0.2)
        await server.ended.wait()


async def test_a_dropped_syn_is_a_failed_connection() -> None:
    with black_hole() as origin:
        transport = AioTransport(allowed_private=[origin], connect_timeout=0.2)
        with pytest.raises(UpstreamConnect):
            await transport.send(WireRequest("GET", f"http://{origin}/q", {}, b""), timeout=5)
        await transport.close()


async def test_a_refused_connection_is_a_failed_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        server = Server(port=taken.getsockname()[1])
        with pytest.raises(UpstreamConnect):
            await ask(server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_redirect_is_not_followed_and_nothing_reaches_the_other_origin(status: int, method: str) -> None:
    async with hostile(reply(200, b"{}")) as trap, hostile(redirect(status, trap.url + "/steal")) as server:
        transport = AioTransport(allowed_private=[server.origin, trap.origin])
        with pytest.raises(UpstreamRedirect) as raised:
            await transport.send(WireRequest(method, server.url + "/q", SECRETS, b""), timeout=5)
        await transport.close()
    assert raised.value.details == {"status": status}
    assert (trap.connections, len(server.requests)) == (0, 1)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/latest", "/q", "//x", ""])
async def test_a_redirect_to_anywhere_is_refused(location: str) -> None:
    assert type(await failure(redirect(302, location))) is UpstreamRedirect


async def test_a_3xx_without_a_location_is_a_status_like_any_other() -> None:
    async with hostile(reply(304, b"")) as server:
        assert (await ask(server)).status == 304


# --- Sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "block"),
    [
        pytest.param(HEAD + b"Content-Length: 1073741824\r\n\r\n", b" " * 65536, id="1 GiB with a length"),
        pytest.param(HEAD + b"\r\n", b" " * 65536, id="endless without a length"),
        pytest.param(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n", id="endless chunks"),
    ],
)
async def test_a_huge_body_is_given_up_at_the_cap(head: bytes, block: bytes) -> None:
    async with hostile(flood(head, block)) as server:
        with pytest.raises(UpstreamOversize) as raised:
            await ask(server)
        await server.ended.wait()
    assert raised.value.details == {"limit": MAX_BODY}
    assert server.sent < 32 * 1024 * 1024  # the cap and what the kernel's buffers took


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
@pytest.mark.parametrize("packed", [False, True])
async def test_the_cap_counts_to_the_byte_before_and_after_decoding(size: int, packed: bool) -> None:
    body = b" " * size
    headers = {"Content-Encoding": "gzip"} if packed else {}
    async with hostile(reply(200, gzip.compress(body) if packed else body, headers)) as server:
        if size > MAX_BODY:
            with pytest.raises(UpstreamOversize):
                await ask(server)
        else:
            assert len((await ask(server)).body) == size


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(HEAD + b"X-Big: " + b"a" * 2**20 + b"\r\n\r\n", id="one header of 1 MiB"),
        pytest.param(HEAD + b"X: 1\r\n" * 10_000 + b"\r\n", id="10,000 headers"),
        pytest.param(b"HTTP/1.1 200 " + b"a" * 2**20 + b"\r\n\r\n", id="status line of 1 MiB"),
    ],
)
async def test_huge_headers_are_a_protocol_error(start: bytes) -> None:
    assert type(await failure(raw(start, then="hang"))) is UpstreamProtocol


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"<html>hello</html>\r\n\r\n", id="no HTTP at all"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", id="a header without a colon"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"),
        pytest.param(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", id="a chunk size that is no number"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"),
    ],
)
async def test_what_is_not_http_as_it_should_be_is_a_protocol_error(start: bytes) -> None:
    assert type(await failure(raw(start, then="hang"))) is UpstreamProtocol


# --- Content encoding ------------------------------------------------------------------------------------------

TEXT = '{"name":"某某（虚构）公司"}'.encode() * 40
RAW_DEFLATE = zlib.compress(TEXT, wbits=-15)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", RAW_DEFLATE),
        ("identity", TEXT),
        ("", TEXT),
    ],
    ids=["gzip", "the old name of gzip", "gzip in three members", "zlib", "raw deflate", "identity", "empty"],
)
async def test_the_codings_that_are_asked_for_are_undone(coding: str, body: bytes) -> None:
    async with hostile(reply(200, body, {"Content-Encoding": coding})) as server:
        assert (await ask(server)).body == TEXT
    assert b"Accept-Encoding: gzip, deflate\r\n" in server.requests[0]


async def test_a_coded_body_may_come_byte_by_byte() -> None:
    packed = gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])

    async def trickle(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed))
        for byte in packed:
            await peer.send(bytes([byte]))

    async with hostile(trickle) as server:
        assert (await ask(server)).body == TEXT


async def test_no_body_needs_no_decoding() -> None:
    async with hostile(reply(200, b"", {"Content-Encoding": "gzip"})) as server:
        assert (await ask(server)).body == b""


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        pytest.param("gzip", TEXT, UpstreamProtocol, id="says gzip and is not"),
        pytest.param("gzip", zlib.compress(TEXT), UpstreamProtocol, id="says gzip and is zlib"),
        pytest.param("gzip", gzip.compress(TEXT) + b"more", UpstreamProtocol, id="bytes after the end"),
        pytest.param("deflate", zlib.compress(TEXT) + b"more", UpstreamProtocol, id="bytes after zlib's end"),
        pytest.param("br", b"\x0b\x02\x80{}\x03", UpstreamProtocol, id="br, never asked for"),
        pytest.param("zstd", b"\x28\xb5\x2f\xfd", UpstreamProtocol, id="zstd, never asked for"),
        pytest.param("gzip, gzip", gzip.compress(gzip.compress(TEXT)), UpstreamProtocol, id="nested"),
        pytest.param("gzip", gzip.compress(TEXT)[:-1], UpstreamTruncated, id="gzip without its end"),
        pytest.param("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1), UpstreamProtocol, id="too many members"),
        pytest.param("gzip", gzip.compress(b" " * 2**20) * 10, UpstreamOversize, id="members that add up"),
        pytest.param("gzip", b"\x1f\x8b\x08" + bytes(7) * 1, UpstreamTruncated, id="only a gzip header"),
    ],
)
async def test_wrong_content_encoding_is_refused(coding: str, body: bytes, expected: type[UpstreamError]) -> None:
    assert type(await failure(reply(200, body, {"Content-Encoding": coding}))) is expected


async def test_ten_thousand_members_stop_at_the_cap() -> None:
    body = gzip.compress(b" " * 4096) * 10_000
    assert type(await failure(reply(200, body, {"Content-Encoding": "gzip"}))) is UpstreamOversize


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_stopped_before_it_is_memory(coding: str) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()
    assert len(bomb) < MAX_BODY // 10  # 100 MiB in 100 kB
    async with hostile(reply(200, bomb, {"Content-Encoding": coding})) as server:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamOversize):
                await ask(server)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 * 2**20
