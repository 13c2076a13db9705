"""Where a connector may connect to (fault U7): the guard sits at the socket, so names and literals alike pass it."""

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import transport as module
from connectors.addresses import is_public
from connectors.kit.hostile import hostile, reply
from connectors.transport import AioTransport
from connectors.wire import WireRequest
from schemas.errors import ConnectorFault, UpstreamAddressRefused, UpstreamConnect

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::808:808",
    "64:ff9b:1::1",  # local-use NAT64
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:7f00:1::",
    "2001:2::1",  # benchmarking
    "2001:10::1",  # ORCHID
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::",
    "3fff::1",
    "5f00::1",  # SRv6
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "localhost",
    "",
]
PUBLIC = ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "128.0.0.1", "172.15.0.1", "172.32.0.1"]
PUBLIC += ["192.0.1.1", "192.167.1.1", "198.17.1.1", "198.20.0.1", "223.255.255.255", "2400:3200::1", "2606:4700::1111"]


@pytest.mark.parametrize("address", REFUSED)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_neighbours_of_special_ranges_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
@settings(max_examples=500, deadline=None)
def test_what_is_public_here_is_global_unicast_for_the_standard_library_too(ip: ipaddress.IPv4Address) -> None:
    if is_public(str(ip)):
        assert ip.is_global
        assert not ip.is_multicast


async def refuse(url: str, *allowed: str) -> None:
    transport = AioTransport(allowed_private=allowed)
    try:
        with pytest.raises(UpstreamAddressRefused) as raised:
            await transport.send(WireRequest("POST", url, {"X-Sign": "s"}, b"{}"), timeout=5)
        assert raised.value.details == {}
    finally:
        await transport.close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f000001", "0.0.0.0", "[::ffff:127.0.0.1]"],
)
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    async with hostile(reply(200, b"{}")) as server:
        await refuse(f"http://{host}:{server.port}/q")
        await refuse(f"http://{host}:{server.port}/q", f"127.0.0.1:{server.port + 1}", f"other.example:{server.port}")
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "017700000001"])
async def test_a_host_that_is_only_a_number_is_no_url(host: str) -> None:
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport()
        with pytest.raises(ConnectorFault):
            await transport.send(WireRequest("GET", f"http://{host}:{server.port}/q", {}, b""), timeout=5)
        await transport.close()
    assert server.connections == 0


@pytest.mark.parametrize(
    "literal", ["169.254.169.254", "10.0.0.1", "[::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]"]
)
async def test_an_inner_ip_literal_is_refused_without_a_packet(literal: str) -> None:
    await refuse(f"https://{literal}/q")


class Rebinding:
    """A name server whose answers change: what a name resolved to before says nothing about the next time."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def __call__(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in self._answers.pop(0)
        ]


async def test_a_name_that_turns_to_loopback_is_refused_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", Rebinding(["127.0.0.1"], ["127.0.0.2", "10.0.0.1", "127.0.0.1"]))
    async with hostile(reply(200, b"{}")) as server:
        await refuse(f"http://one-address.example:{server.port}/q")
        await refuse(f"http://many-addresses.example:{server.port}/q")
    assert server.connections == 0


async def test_a_name_that_does_not_resolve_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    transport = AioTransport()
    with pytest.raises(UpstreamConnect):
        await transport.send(WireRequest("GET", "http://nowhere.example/q", {}, b""), timeout=5)
    await transport.close()


async def test_an_allowed_place_is_allowed_by_its_exact_name_and_port_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Rebinding(["127.0.0.1"], ["127.0.0.1"]))
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport(allowed_private=[f"Sandbox.example:{server.port}"])
        sent = await transport.send(WireRequest("GET", f"http://sandbox.example:{server.port}/q", {}, b""), timeout=5)
        assert sent.status == 200
        with pytest.raises(UpstreamAddressRefused):
            await transport.send(WireRequest("GET", f"http://other.example:{server.port}/q", {}, b""), timeout=5)
        with pytest.raises(UpstreamAddressRefused):
            await transport.send(WireRequest("GET", f"http://127.0.0.1:{server.port}/q", {}, b""), timeout=5)
        await transport.close()
    assert server.connections == 1


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
async def test_a_schemes_own_port_is_named_in_the_list_too(scheme: str, port: int) -> None:
    # Nobody listens there in a test: a refused connection shows that the guard let it through.
    await refuse(f"{scheme}://127.0.0.1/q")
    transport = AioTransport(allowed_private=[f"127.0.0.1:{port}"], connect_timeout=0.5)
    with pytest.raises(UpstreamConnect):
        await transport.send(WireRequest("GET", f"{scheme}://127.0.0.1/q", {}, b""), timeout=5)
    await transport.close()


async def test_a_public_address_gets_an_ordinary_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    async with hostile(reply(200, b"{}")) as server:
        transport = AioTransport()
        sent = await transport.send(WireRequest("GET", server.url, {}, b""), timeout=5)
        await transport.close()
    assert sent.status == 200


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile(reply(200, b"{}")) as proxy, hostile(reply(200, b"{}")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        transport = AioTransport(allowed_private=[server.origin, proxy.origin])
        await transport.send(WireRequest("GET", server.url + "/q", {}, b""), timeout=5)
        await transport.close()
    assert (proxy.connections, server.connections) == (0, 1)
