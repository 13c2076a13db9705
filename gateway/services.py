"""What the routes and the command line work with, opened and closed in one place."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web

from connectors.installed import installed
from connectors.live import Live
from connectors.manifest import Loaded
from connectors.registry import find, load_connectors, reached
from connectors.transport import AioTransport
from consent.evidence import Evidence, open_evidence
from consent.safe import Safe
from gateway import migrations
from gateway.credentials import resolve
from gateway.jobs.health import Health
from gateway.jobs.state import DatabaseState
from gateway.keys import Keys, load_keys, log_keys
from gateway.profile.flights import Flights
from gateway.profile.plan import EVERY, Strategy
from gateway.profile.policy import CheckPolicy
from gateway.profile.sign import ProfileSigner, ProfileSigners
from gateway.profile.strategy import strategy_of
from gateway.settings import Platform, Settings
from gateway.telemetry import Metrics
from schemas.errors import ConfigurationError

Now = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    keys: Keys
    evidence: Evidence
    connectors: Live
    signers: ProfileSigners
    metrics: Metrics
    now: Now
    policy: CheckPolicy
    certificate_ends: Callable[[], Mapping[str, float]]
    """When certificates end, in Unix seconds: AioTransport.certificate_ends."""
    strategy: Strategy = EVERY
    health: Health = field(default_factory=Health)
    flights: Flights = field(default_factory=Flights)

    @property
    def signer(self) -> ProfileSigner:
        """What signs now; whoever needs two things of it takes it once."""
        return self.signers.current()


SERVICES = web.AppKey("services", Services)


def _credentials(name: str, platform: Platform) -> dict[str, str]:
    if not platform.enabled:
        return {}
    return resolve(name, {key: value.get_secret_value() for key, value in platform.credentials.items()})


def database_path(settings: Settings) -> Path:
    return settings.data / "xinqiao.sqlite"


def switches_folder(settings: Settings) -> Path:
    """A file in it that is called like a platform switches the platform off (connectors.live.Switches)."""
    return settings.data / "off"


def database_place(settings: Settings) -> Path | str:
    """What the evidence is opened with: the file in the data folder, or the URL of a PostgreSQL database."""
    return database_path(settings) if settings.database is None else settings.database.get_secret_value()


def _folders(settings: Settings) -> list[Path]:
    return [*settings.connectors, *installed({*(settings.allow_connectors or ()), *settings.platforms})]


def offers(settings: Settings) -> dict[str, Loaded]:
    """The connectors that the settings would load, and their strategy looked through, without a secret being read.

    Raises ConfigurationError where the settings name a platform or a data set that is not there, and ManifestError.
    """
    entries = {name: (p.enabled, p.tuning()) for name, p in settings.platforms.items()}
    found = reached(find(_folders(settings), settings.allow_connectors), entries, settings.allow_connectors)
    strategy_of(settings, found)
    return found


def _connectors(settings: Settings, transport: AioTransport, state: DatabaseState) -> Live:
    return load_connectors(
        folders=_folders(settings),
        allow=settings.allow_connectors,
        platforms={name: (p.enabled, p.base_url, _credentials(name, p)) for name, p in settings.platforms.items()},
        tunings={name: p.tuning() for name, p in settings.platforms.items()},
        transport=transport,
        state=state,
        switches=switches_folder(settings),
        callback_url=settings.callbacks,
    )


async def check_connectors(settings: Settings) -> None:
    """Load them as a start would, secrets included, and look their strategy through. Raises what a start would raise:
    ConfigurationError, ManifestError.
    """
    transport = AioTransport(allowed_private=settings.allow_private)
    try:
        strategy_of(settings, _connectors(settings, transport, DatabaseState()))
    finally:
        await transport.close()


@asynccontextmanager
async def open_services(
    settings: Settings, *, now: Now = utc_now, metrics: Metrics | None = None, resume: bool = False
) -> AsyncIterator[Services]:
    """Keys, evidence and connectors of one gateway; ``resume`` is for `xinqiao log resume`.

    Raises ConfigurationError, ManifestError, KeysUnavailable, LogBehind or LogBroken.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        raise ConfigurationError(at="data", mend="the folder cannot be made") from None
    keys = load_keys(settings.key_folder, create=not settings.production)
    transport = AioTransport(allowed_private=settings.allow_private)
    try:
        state = DatabaseState()
        connectors = _connectors(settings, transport, state)
        async with open_evidence(
            database_place(settings),
            safe=Safe(settings.key_folder),
            pseudonym_key=keys.pseudonym,
            log_key=keys.log,
            other_log_keys=partial(log_keys, settings.key_folder),
            origin=settings.origin,
            permit_seconds=settings.limits.permit_seconds,
            # The default is left to the database: one clock for all processes.
            clock=None if now is utc_now else now,
            # A file is brought up to date by whoever opens it; a database that others may be using is not.
            tables=migrations.upgrade if settings.database is None else migrations.check,
            rules=settings.retention.rules(),
            resume=resume,
        ) as evidence:
            state.open(evidence)
            yield Services(
                settings,
                keys,
                evidence,
                connectors,
                ProfileSigners(keys.profile),
                metrics or Metrics(),
                now,
                CheckPolicy(),
                transport.certificate_ends,
                strategy_of(settings, connectors),
            )
    finally:
        await transport.close()
