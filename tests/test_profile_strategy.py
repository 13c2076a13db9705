"""gateway.profile.strategy: from settings to the order in which platforms are asked."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Connector
from connectors.registry import load_connectors
from connectors.transport import AioTransport
from gateway.profile.plan import Way
from gateway.profile.strategy import strategy_of
from gateway.services import offers
from gateway.settings import Settings
from schemas.errors import ConfigurationError

SECRETS = {
    "sh-hrss": {"app_id": "invented", "app_key": "invented"},
    "sh-ywtb": {"client_id": "invented", "client_secret": "invented"},
    "acfic-sh": {"paasid": "invented", "token": "invented"},
}


@pytest.fixture
async def connectors() -> Any:
    transport = AioTransport()
    yield load_connectors(transport=transport, platforms={name: (True, None, held) for name, held in SECRETS.items()})
    await transport.close()


def settings(**more: Any) -> Settings:
    return Settings(data=Path("nowhere"), **more)


async def test_without_settings_everything_is_asked_but_the_outlets(connectors: dict[str, Connector]) -> None:
    found = strategy_of(settings(), connectors)
    assert (found.ways, found.optional, found.outlets) == ({}, frozenset(), frozenset({"sh-ywtb"}))


async def test_sources_become_ways_in_their_order(connectors: dict[str, Connector]) -> None:
    order = ["sh-hrss", "sh-hrss via sh-ywtb"]
    found = strategy_of(settings(sources={"social_insurance": order}), connectors)
    assert found.ways == {"social_insurance": (Way("sh-hrss"), Way("sh-hrss", "sh-ywtb"))}


async def test_the_platform_behind_an_outlet_need_not_be_connected(connectors: dict[str, Connector]) -> None:
    found = strategy_of(settings(sources={"tax_returns": ["sh-tax via sh-ywtb"]}), connectors)
    assert found.ways == {"tax_returns": (Way("sh-tax", "sh-ywtb"),)}


async def test_a_platform_may_be_optional(connectors: dict[str, Connector]) -> None:
    platforms = {"acfic-sh": {"required": False}, "sh-hrss": {}}
    assert strategy_of(settings(platforms=platforms), connectors).optional == frozenset({"acfic-sh"})


async def test_weights_and_freshness_come_from_the_settings(connectors: dict[str, Connector]) -> None:
    platforms = {"sh-hrss": {"weight": 3, "freshness": {"social_insurance": "36h"}}, "acfic-sh": {}}
    found = strategy_of(settings(platforms=platforms), connectors)
    assert found.weights == {"sh-hrss": 3, "acfic-sh": 1}
    assert found.fresh_days == {("sh-hrss", "social_insurance"): 1}


def test_what_is_loaded_can_be_looked_through_without_a_secret() -> None:
    held = settings(platforms={"sh-hrss": {}}, sources={"social_insurance": ["sh-hrss"]})
    assert "sh-hrss" in offers(held)
    for more, at in (
        ({"platforms": {"sh-hrs": {}}}, "platforms.sh-hrs"),
        ({"platforms": {"sh-hrss": {"freshness": {"judicial": "1d"}}}}, "platforms.sh-hrss.freshness.judicial"),
        ({"sources": {"social_insurance": ["sh-hrss"]}}, "sources.social_insurance"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            offers(settings(**more))
        assert caught.value.details["at"] == at


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ("nothing", "sh-hrss"),
        ("social_insurance", "sh-hrs"),
        ("social_insurance", "sh-ywtb"),
        ("social_insurance", "sh-hrss via acfic-sh"),
        ("social_insurance", "sh-hrss via nowhere"),
        ("tax_returns", "sh-hrss"),
        ("receivables", "ccrc-receivables via sh-ywtb"),
    ],
)
async def test_what_is_misspelt_or_cannot_be_stops_the_start(
    connectors: dict[str, Connector], dataset: str, text: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        strategy_of(settings(sources={dataset: [text]}), connectors)
    assert caught.value.details["at"] == f"sources.{dataset}"


@pytest.mark.parametrize("text", ["", "sh-tax via", "via sh-ywtb", "Sh-Tax", "sh-tax via a via b"])
def test_a_source_is_a_platform_or_a_platform_via_an_outlet(text: str) -> None:
    with pytest.raises(ValueError, match="sources"):
        settings(sources={"tax_returns": [text]})
