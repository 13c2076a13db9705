"""From settings to a strategy: in which order the platforms of a data set are asked, which may stay silent, and which
is believed."""

from collections.abc import Mapping

from connectors.base import Connector
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.plan import seconds
from connectors.manifest import Loaded
from gateway.profile.plan import Strategy, Way
from gateway.settings import Settings
from schemas.errors import ConfigurationError
from schemas.records import CATALOGUE

_DAY = 86400

Offers = Mapping[str, Connector | Loaded]
"""What can be asked here, by id."""


def strategy_of(settings: Settings, connectors: Offers) -> Strategy:
    """ConfigurationError where ``sources`` names a data set, a platform or an outlet that is not there: what is
    misspelt would otherwise never be asked, and nobody would notice."""
    outlets = frozenset(
        name for name, held in connectors.items() if isinstance(held, DeclarativeConnector | Loaded) and held.outlet
    )
    ways = {
        dataset: tuple(_way(dataset, text, connectors, outlets) for text in texts)
        for dataset, texts in settings.sources.items()
    }
    optional = frozenset(name for name, platform in settings.platforms.items() if not platform.required)
    weights = {name: platform.weight for name, platform in settings.platforms.items()}
    fresh_days = {
        (name, dataset): int(seconds(duration) // _DAY)
        for name, platform in settings.platforms.items()
        for dataset, duration in platform.freshness.items()
    }
    return Strategy(ways, optional, outlets, weights, fresh_days)


def _way(dataset: str, text: str, connectors: Offers, outlets: frozenset[str]) -> Way:
    platform, _, outlet = text.partition(" via ")
    at = f"sources.{dataset}"
    if dataset not in CATALOGUE:
        raise ConfigurationError(at=at, mend="name a data set of the catalogue")
    if outlet and outlet not in outlets:
        raise ConfigurationError(at=at, mend=f"`{outlet}` is no outlet that can be asked here")
    if not outlet and (platform not in connectors or platform in outlets):
        raise ConfigurationError(at=at, mend=f"`{platform}` is no platform that can be asked here")
    if dataset not in connectors[outlet or platform].datasets:
        raise ConfigurationError(at=at, mend=f"`{outlet or platform}` does not offer this data set")
    return Way(platform, outlet or None)
