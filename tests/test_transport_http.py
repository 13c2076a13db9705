"""What the transport puts on the wire and hands back, and whom it speaks TLS with (fault U20 in part)."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.hostile import Peer, hostile, message, raw, reply
from connectors.tls import default_ssl_context
from connectors.transport import KEPT, AioTransport
from connectors.wire import WireRequest
from schemas.errors import (
    ConfigurationError,
    ConnectorFault,
    ConsentRevoked,
    UpstreamConnect,
    UpstreamTimeout,
    UpstreamTls,
)
from tests.certificates import Authority

DAY = timedelta(days=1)


async def test_the_bytes_sent_are_the_bytes_signed() -> None:
    url = "/a%2Fb/%E6%9F%90?q=%7B%22a%22%3A1%7D&empty=&plus=1+2%2B3"
    body = "<a>某某（虚构）</a>".encode("gb18030")
    headers = {"Content-Type": "text/xml; charset=gb18030", "X-Sign": "AbC+/=", "Date": "Tue, 09 Nov 2021 08:49:20 GMT"}
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        await transport.send(WireRequest("POST", server.url + url, headers, body), timeout=5)
        await transport.close()
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {url} HTTP/1.1"
    assert sent == body
    assert sorted(lines[1:]) == sorted(
        [
            f"Host: {server.origin}",
            "Accept: */*",
            "Accept-Encoding: gzip, deflate",
            "User-Agent: xinqiao",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
    )


async def test_a_post_without_a_body_says_so_and_names_no_type() -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        await transport.send(WireRequest("POST", server.url + "/q", {"accept": "text/xml"}, b""), timeout=5)
        await transport.close()
    head = server.requests[0].lower()
    assert b"content-length: 0\r\n" in head
    assert b"content-type" not in head
    assert b"accept: text/xml\r\n" in head
    assert b"*/*" not in head


async def test_a_reply_has_lower_case_names_and_joins_repeated_fields() -> None:
    data = message(404, b"no", {"X-Many": "1\r\nx-many: 2", "Retry-After": "3"})
    async with hostile(raw(data)) as server:
        transport = AioTransport(allowed_private=[server.origin])
        got = await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)
        await transport.close()
    assert (got.status, got.body) == (404, b"no")
    assert got.headers == {
        "content-type": "application/json",
        "content-length": "2",
        "x-many": "1, 2",
        "retry-after": "3",
    }


async def test_interim_replies_are_passed_over() -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + message(200, b"{}")
    async with hostile(raw(data)) as server:
        transport = AioTransport(allowed_private=[server.origin])
        assert (await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)).body == b"{}"
        await transport.close()


async def test_connections_are_used_again_and_cookies_are_not_kept() -> None:
    async with hostile(reply(200, b"{}", {"Set-Cookie": "session=1; Path=/"})) as server:
        transport = AioTransport(allowed_private=[server.origin])
        for _ in range(3):
            await transport.send(WireRequest("GET", server.url + "/q", {}, b""), timeout=5)
        await transport.close()
    assert server.connections == 1
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_bytes_after_a_reply_never_answer_the_next_request() -> None:
    data = message(200, b'{"a":1}') + message(200, b'{"smuggled":1}')
    async with hostile(raw(data, then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        bodies = [(await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)).body for _ in range(2)]
        await transport.close()
    assert bodies == [b'{"a":1}', b'{"a":1}']
    assert server.connections == 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x",
        "file:///etc/passwd",
        "http://user:secret@example.com/x",
        "http://example.com:99999999/x",
        "http:///x",
        "//example.com/x",
        "http://example.com?x",
        "http://例.example/x",
        "http://a..example/x",
        f"http://{'a' * 64}.example/x",
        "",
    ],
)
async def test_a_url_that_is_not_plain_http_is_our_own_fault(url: str) -> None:
    transport = AioTransport()
    with pytest.raises(ConnectorFault) as raised:
        await transport.send(WireRequest("GET", url, {}, b""), timeout=5)
    await transport.close()
    assert raised.value.details == {"what": "url"}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"X": "a\r\nInjected: 1"}),
        ("GET", {"X": "a\nInjected: 1"}),
        ("GET", {"X": "a\0b"}),
        ("GET", {"X": "\ud800"}),
        ("GET", {"X\r\nY": "1"}),
        ("GET", {"X Y": "1"}),
        ("GET", {"X: 1": "1"}),
        ("GET", {"X:1": "1"}),
        ("POST", {"Content-Length:5": "1"}),
        ("GET", {"": "1"}),
        ("POST", {"content-length": "5"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
        ("G T", {}),
        ("GET\r\n", {}),
        ("get", {}),
    ],
)
async def test_a_request_that_would_inject_is_not_sent(method: str, headers: dict[str, str]) -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        with pytest.raises(ConnectorFault) as raised:
            await transport.send(WireRequest(method, server.url, headers, b""), timeout=5)
        await transport.close()
    assert raised.value.details == {"what": "request"}
    assert server.requests == []


@pytest.mark.parametrize("path", ["/a b", "/a#b", "/a\r\nX: 1", "/虚构", "/a\x7f"])
async def test_a_path_that_is_not_percent_encoded_is_not_sent(path: str) -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        with pytest.raises(ConnectorFault):
            await transport.send(WireRequest("GET", server.url + path, {}, b""), timeout=5)
        await transport.close()
    assert server.requests == []


async def test_what_is_sent_is_the_request_and_a_few_defaults_that_it_may_replace() -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        for method, headers, body in [
            ("POST", {"X-Sign": "é", "ACCEPT": "application/json"}, b"{}"),
            ("POST", {"Host": "elsewhere.example", "user-agent": "own"}, b""),
            ("GET", {}, b""),
        ]:
            await transport.send(WireRequest(method, server.url + "/p?q=%20", headers, body), timeout=5)
        await transport.close()
    host = f"Host: {server.origin}\r\n"
    coding, agent = "Accept-Encoding: gzip, deflate\r\n", "User-Agent: xinqiao\r\n"
    assert [request.decode() for request in server.requests] == [
        f"POST /p?q=%20 HTTP/1.1\r\nX-Sign: é\r\nACCEPT: application/json\r\n{host}{coding}{agent}"
        "Content-Length: 2\r\n\r\n{}",
        "POST /p?q=%20 HTTP/1.1\r\nHost: elsewhere.example\r\nuser-agent: own\r\nAccept: */*\r\n"
        f"{coding}Content-Length: 0\r\n\r\n",
        f"GET /p?q=%20 HTTP/1.1\r\n{host}Accept: */*\r\n{coding}{agent}\r\n",
    ]


async def test_a_cancelled_send_hangs_up_and_gives_its_place_back() -> None:
    async with hostile(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1", then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin], per_host=1)
        task = asyncio.create_task(transport.send(WireRequest("GET", server.url, {}, b""), timeout=5))
        await server.heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.ended.wait()
        with pytest.raises(UpstreamTimeout):  # the one place is free again: the second request was sent
            await transport.send(WireRequest("GET", server.url, {}, b""), timeout=0.1)
        await transport.close()
    assert len(server.requests) == 2


async def test_a_connection_that_stands_only_after_the_close_carries_nothing() -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[server.origin])
        task = asyncio.create_task(transport.send(WireRequest("GET", server.url, {}, b""), timeout=5))
        await asyncio.sleep(0)
        await transport.close()
        with pytest.raises(UpstreamConnect):
            await task
        await transport.close()
    assert server.requests == []


async def test_leave_is_asked_again_when_the_connection_stands_and_nothing_is_sent_without_it() -> None:
    async with hostile(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1", then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin], per_host=1)
        request = WireRequest("GET", server.url, {}, b"")
        revoked = asyncio.Event()

        async def leave() -> None:
            if revoked.is_set():
                raise ConsentRevoked

        first = asyncio.create_task(transport.send(request, timeout=5, leave=leave))
        await server.heard.wait()
        second = asyncio.create_task(transport.send(request, timeout=5, leave=leave))
        await asyncio.sleep(0)  # it waits for the one connection there is
        revoked.set()
        first.cancel()
        with pytest.raises(ConsentRevoked):
            await second
        await transport.close()
        await server.ended.wait()
    assert len(server.requests) == 1


async def test_a_place_that_does_not_come_free_in_time_is_a_timeout_and_nothing_is_sent() -> None:
    async with hostile(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1", then="hang")) as server:
        transport = AioTransport(allowed_private=[server.origin], per_host=1)
        request = WireRequest("GET", server.url, {}, b"")
        first = asyncio.create_task(transport.send(request, timeout=5))
        await server.heard.wait()
        with pytest.raises(UpstreamTimeout):
            await transport.send(request, timeout=0.05)
        first.cancel()
        await asyncio.wait([first])
        await transport.close()
    assert len(server.requests) == 1


async def test_a_connection_that_nobody_used_for_a_while_is_closed() -> None:
    async with hostile(answering) as server:
        transport = AioTransport(allowed_private=[server.origin])
        request = WireRequest("GET", server.url, {}, b"")
        await asyncio.gather(*[transport.send(request, timeout=5) for _ in range(2)])
        assert transport._tidying is not None  # it will be looked after by itself
        older, younger = transport._origins[server.url].idle
        older.idle_since -= KEPT
        transport._tidy()
        assert (older.usable, younger.usable) == (False, True)
        await transport.send(request, timeout=5)
        assert server.connections == 2
        younger.idle_since -= KEPT
        transport._tidy()
        assert not younger.usable
        assert transport._tidying is None
        await transport.send(request, timeout=5)
        assert server.connections == 3
        await transport.close()


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(message(200, b"{}"))


# --- TLS -------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def tls_failure(server_side: ssl.SSLContext, client_side: ssl.SSLContext | None) -> None:
    async with hostile(reply(200, b"{}"), tls=server_side) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=client_side)
        with pytest.raises(UpstreamTls) as raised:
            await transport.send(WireRequest("POST", server.url + "/q", {"X-Sign": "s"}, b"{}"), timeout=5)
        await transport.close()
    assert server.requests == []
    assert raised.value.details == {}


async def test_a_certificate_of_a_trusted_authority_is_accepted(authority: Authority) -> None:
    async with hostile(reply(200, b"{}"), tls=authority.server()) as server:
        transport = AioTransport(allowed_private=[server.origin], ssl_context=authority.trusting())
        assert (await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)).body == b"{}"
        await transport.close()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda a: a.server(start=-2 * DAY, end=-DAY), id="expired"),
        pytest.param(lambda a: a.server(start=DAY, end=2 * DAY), id="not yet valid"),
        pytest.param(lambda a: a.server("127.0.0.2"), id="for another host"),
    ],
)
async def test_a_wrong_certificate_is_refused_and_nothing_is_sent(
    authority: Authority, make: Callable[[Authority], ssl.SSLContext]
) -> None:
    await tls_failure(make(authority), authority.trusting())


async def test_an_unknown_authority_is_refused_by_default(authority: Authority) -> None:
    await tls_failure(authority.server(), None)


async def test_a_certificate_that_cannot_be_read_is_a_tls_failure(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: bytes) -> object:
        raise ValueError("with something of the certificate in it")

    monkeypatch.setattr("connectors.tls.x509.load_der_x509_certificate", unreadable)
    await tls_failure(authority.server(), authority.trusting())


@contextlib.contextmanager
def blocking_tls(context: ssl.SSLContext) -> Iterator[str]:
    """``host:port`` of a TLS server in a thread: unlike asyncio's it says why it refuses, by an alert."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            secure = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            with contextlib.suppress(ssl.SSLError):
                secure.do_handshake()
            with socket.socket(fileno=secure.detach()) as left:
                while left.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


async def alerted(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    with blocking_tls(server_side) as origin:
        transport = AioTransport(allowed_private=[origin], ssl_context=client_side)
        with pytest.raises(UpstreamTls):
            await transport.send(WireRequest("POST", f"https://{origin}/q", {}, b"{}"), timeout=5)
        await transport.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_client_certificate_is_a_tls_failure(authority: Authority, version: ssl.TLSVersion) -> None:
    demanding = authority.demanding()
    demanding.maximum_version = version
    await alerted(demanding, authority.trusting())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_1_1_is_refused(authority: Authority) -> None:
    old = authority.server()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    await alerted(old, authority.trusting())


async def test_plain_http_on_the_tls_port_is_a_tls_failure() -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with hostile(plain) as server:
        transport = AioTransport(allowed_private=[server.origin])
        with pytest.raises(UpstreamTls):
            await transport.send(WireRequest("GET", f"https://{server.origin}/", {}, b""), timeout=5)
        await transport.close()


def unverified(context: ssl.SSLContext) -> None:
    context.check_hostname = False


def untrusting(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def old_versions(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED


@pytest.mark.parametrize("spoil", [unverified, untrusting, old_versions])
async def test_an_unsafe_tls_setting_is_refused_at_start(spoil: Callable[[ssl.SSLContext], None]) -> None:
    context = default_ssl_context()
    spoil(context)
    with pytest.raises(ConfigurationError):
        AioTransport(ssl_context=context)
