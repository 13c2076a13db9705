"""A platform's own terms for TLS: our certificate, its authority, its pinned keys (fault U20), on real sockets."""

import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.engine.connector import DeclarativeConnector
from connectors.kit.hostile import Server, hostile, reply
from connectors.registry import load_connectors
from connectors.tls import Tls, tls_of
from connectors.transport import AioTransport
from connectors.wire import WireReply, WireRequest
from schemas.errors import ConfigurationError, ManifestError, UpstreamTls
from schemas.manifest import TlsNames
from tests.certificates import DAY, Authority
from tests.engine_world import BASE, FUND, SECRETS, Scripted, folder
from tests.test_transport_http import blocking_tls

OTHER_PIN = b64encode(bytes(32)).decode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def ask(server: Server, tls: Tls | None, *, secret: str = "") -> WireReply:
    transport = AioTransport(allowed_private=[server.origin])
    try:
        own = transport if tls is None else transport.secured(tls)
        return await own.send(WireRequest("POST", server.url + "/q", {"X-Sign": secret}, b"{}"), timeout=5)
    finally:
        await transport.close()


def terms(authority: Authority, **secrets: str) -> Tls:
    held = {"authority": authority.text(), **secrets}
    return tls_of("xx", TlsNames(**{name: name for name in held}), held)


async def test_a_server_that_wants_our_certificate_gets_it(authority: Authority) -> None:
    async with hostile(reply(200, b"{}"), tls=authority.demanding()) as server:
        assert (await ask(server, terms(authority, client=authority.identity()))).status == 200


@pytest.mark.parametrize("ends", [None, -DAY / 2])
async def test_without_a_good_certificate_of_ours_the_server_refuses(
    authority: Authority, ends: timedelta | None
) -> None:
    """A server that refuses by an alert, as asyncio's does not."""
    tls = terms(authority) if ends is None else terms(authority, client=authority.identity(end=ends))
    with blocking_tls(authority.demanding()) as origin:
        transport = AioTransport(allowed_private=[origin])
        with pytest.raises(UpstreamTls):
            await transport.secured(tls).send(WireRequest("GET", f"https://{origin}/", {}, b""), timeout=5)
        await transport.close()


async def test_a_pinned_key_is_accepted_beside_others(authority: Authority) -> None:
    context, pin = authority.pinned_server()
    async with hostile(reply(200, b"{}"), tls=context) as server:
        assert (await ask(server, terms(authority, pins=f"{OTHER_PIN}, {pin}"))).status == 200


async def test_a_key_that_is_pinned_no_longer_hears_nothing(authority: Authority) -> None:
    context, _ = authority.pinned_server()
    async with hostile(reply(200, b"{}"), tls=context) as server:
        with pytest.raises(UpstreamTls) as caught:
            await ask(server, terms(authority, pins=OTHER_PIN), secret="not-for-a-stranger")
        assert caught.value.details == {"what": "pin"}
        assert server.requests == []


async def test_pins_are_of_no_use_without_tls_so_nothing_is_sent(authority: Authority) -> None:
    async with hostile(reply(200, b"{}")) as server:
        with pytest.raises(UpstreamTls):
            await ask(server, terms(authority, pins=OTHER_PIN))
        assert server.requests == []


async def test_a_certificate_of_the_systems_authorities_is_not_enough_where_the_platform_has_its_own(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    async with hostile(reply(200, b"{}"), tls=authority.server()) as server:
        with pytest.raises(UpstreamTls):
            await ask(server, terms(other))
        assert (await ask(server, terms(authority))).status == 200


async def test_the_end_of_every_certificate_is_known(authority: Authority) -> None:
    context, pin = authority.pinned_server()
    async with hostile(reply(200, b"{}"), tls=context) as server:
        transport = AioTransport(allowed_private=[server.origin])
        tls = terms(authority, client=authority.identity(end=20 * DAY), pins=pin)
        own = transport.secured(tls)
        for _ in range(2):
            await own.send(WireRequest("GET", server.url + "/", {}, b""), timeout=5)
        ends = transport.certificate_ends()
        await transport.close()
    days = {name: round((end - time.time()) / 86400) for name, end in ends.items()}
    assert days == {server.url: 5, "client:xx": 20}


@pytest.mark.parametrize(
    ("names", "secrets"),
    [
        ({"client": "c"}, {"c": "nonsense"}),
        ({"client": "c"}, {"c": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
        ({"authority": "a"}, {"a": "nonsense"}),
        ({"pins": "p"}, {"p": "nonsense"}),
        ({"pins": "p"}, {"p": "AAAA"}),
    ],
)
def test_a_malformed_secret_is_named_and_not_shown(names: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tls_of("xx", TlsNames(**names), secrets)
    (name,) = secrets
    assert caught.value.details["at"] == f"secrets.{name}"
    assert "nonsense" not in str(caught.value)


def test_a_certificate_with_another_ones_key_is_refused(authority: Authority) -> None:
    certificate = authority.identity().split("-----BEGIN PRIVATE KEY-----")[0]
    key = authority.identity().split("-----END CERTIFICATE-----\n")[1]
    with pytest.raises(ConfigurationError):
        terms(authority, client=certificate + key)


HEAD = BASE.replace('secrets = ["paasid", "token"]', 'secrets = ["paasid", "token", "pins"]')


def loaded(at: Path, url: str | None, secrets: Mapping[str, str], transport: object) -> dict[str, object]:
    folder(at / "xx-bureau", HEAD + '\n[tls]\npins = "pins"\n' + FUND)
    return dict(
        load_connectors(
            transport=transport,  # type: ignore[arg-type]
            folders=[at / "xx-bureau"],
            allow=["xx-bureau"],
            platforms={"xx-bureau": (True, url, secrets)},
        )
    )


async def test_a_connector_with_terms_of_its_own_gets_a_transport_of_its_own(tmp_path: Path) -> None:
    transport = AioTransport()
    made = loaded(tmp_path, None, {**SECRETS, "pins": OTHER_PIN}, transport)
    assert isinstance(made["xx-bureau"], DeclarativeConnector)
    await transport.close()


@pytest.mark.parametrize(
    ("url", "secrets", "at"),
    [
        (None, SECRETS, "platforms.xx-bureau.credentials.pins"),
        ("http://127.0.0.1:1", {**SECRETS, "pins": OTHER_PIN}, "base_url"),
    ],
)
async def test_terms_that_cannot_be_kept_stop_the_start(
    tmp_path: Path, url: str | None, secrets: Mapping[str, str], at: str
) -> None:
    transport = AioTransport()
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, url, secrets, transport)
    assert caught.value.details["at"] == at
    await transport.close()


async def test_a_transport_that_cannot_keep_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        loaded(tmp_path, None, {**SECRETS, "pins": OTHER_PIN}, Scripted())


def test_a_secret_that_tls_names_must_be_declared(tmp_path: Path) -> None:
    folder(tmp_path / "xx-bureau", BASE + '\n[tls]\npins = "pins"\n' + FUND)
    with pytest.raises(ManifestError) as caught:
        load_connectors(transport=Scripted(), folders=[tmp_path / "xx-bureau"], allow=["xx-bureau"], platforms={})
    assert "pins" in str(caught.value.details["mend"])
