"""The connectors of one gateway: the built-in catalogue and outside folders, through the same door."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from connectors.engine.call import Transport
from connectors.engine.tuning import AS_STATED, Tuning
from connectors.live import Live, SwitchedConnector, Switches
from connectors.local import SCHEME, LocalTransport
from connectors.manifest import FILE, Loaded, load
from connectors.ports import StateStore
from connectors.signing.base import new_nonce
from connectors.tls import Tls, tls_of
from schemas.errors import ConfigurationError
from schemas.manifest import Manifest

BUILT_IN = Path(__file__).parent / "catalogue"
Reach = tuple[bool, str | None, Mapping[str, str]]
"""How a platform is reached here: whether at all, the base URL in place of the manifest's, secrets by name."""
_AS_IT_STANDS: Reach = (True, None, {})
_NONE: Mapping[str, Tuning] = MappingProxyType({})


@runtime_checkable
class Secures(Protocol):
    """A transport that can take on a platform's own terms for TLS."""

    def secured(self, tls: Tls) -> Transport: ...


def find(folders: Iterable[Path], allow: Collection[str] | None = None) -> dict[str, Loaded]:
    """Every manifest of the catalogue and of ``folders`` (a connector's own folder, or one of such folders), by id.

    ``allow``: the only ids to load. Raises ManifestError, and ConfigurationError for a folder without a manifest, an
    id that is there twice, or an allowed id that is nowhere.
    """
    found: dict[str, Loaded] = {}
    for folder in [*_connectors_in(BUILT_IN), *(f for given in folders for f in _outside(given))]:
        # The folder's name is read first, so that a connector that is not allowed is not even parsed.
        if allow is not None and folder.name not in allow:
            continue
        loaded = load(folder)
        if loaded.manifest.id != folder.name:
            raise ConfigurationError(connector=loaded.manifest.id, mend="name the folder like the manifest's id")
        if loaded.manifest.id in found:
            raise ConfigurationError(connector=loaded.manifest.id, mend="keep one connector of this id")
        found[loaded.manifest.id] = loaded
    if missing := sorted(set(allow or ()) - found.keys()):
        raise ConfigurationError(connector=missing[0], mend="there is no connector of this id: mend the allow-list")
    return found


def load_connectors(
    *,
    transport: Transport,
    platforms: Mapping[str, Reach],
    tunings: Mapping[str, Tuning] = _NONE,
    folders: Iterable[Path] = (),
    allow: Collection[str] | None = None,
    clock: Callable[[], float] = time.time,
    nonce: Callable[[], str] = new_nonce,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    state: StateStore | None = None,
    switches: Path | None = None,
    callback_url: str | None = None,
) -> Live:
    """Connectors by id, made inside a running event loop. ``switches``: see connectors.live.Switches;
    ``callback_url``: see DeclarativeConnector.

    A platform that is switched off is left out, and so is one that needs secrets and has no entry: nobody here has an
    account with it. Raises what ``find`` and ``reached`` raise, and ConfigurationError for a secret that is missing or
    malformed, by its place in the settings.
    """
    found = find(folders, allow)
    entries = {name: (entry[0], tunings.get(name, AS_STATED)) for name, entry in platforms.items()}
    chosen = reached(found, entries, allow)

    def build(loaded: Loaded) -> SwitchedConnector:
        _, base_url, secrets = platforms.get(loaded.manifest.id, _AS_IT_STANDS)
        address = base_url or loaded.manifest.base_url
        try:
            below = _below(loaded.manifest, address, secrets, transport)
            return SwitchedConnector(
                loaded,
                below,
                secrets,
                base_url=address,
                clock=clock,
                nonce=nonce,
                sleep=sleep,
                state=state,
                tuning=tunings.get(loaded.manifest.id, AS_STATED),
                callback_url=callback_url,
            )
        except ConfigurationError as error:
            raise _in_settings(loaded.manifest.id, error) from None

    return Live(chosen, build, Switches(switches))


def reached(
    found: Mapping[str, Loaded], entries: Mapping[str, tuple[bool, Tuning]], allow: Collection[str] | None = None
) -> dict[str, Loaded]:
    """What of ``found`` is asked here. ``entries``: by platform, whether at all and how. Raises ConfigurationError for
    an entry of no connector (with ``allow``, it may be one that is not allowed), and for a data set that the connector
    does not offer."""
    for name, (_, tuning) in sorted(entries.items()):
        if name not in found:
            if allow is not None:
                continue
            raise ConfigurationError(
                connector=name, at=f"platforms.{name}", mend="there is no connector of this id" + _meant(name, found)
            )
        offered = found[name].plans
        for dataset in sorted(tuning.freshness.keys() - offered.keys()):
            raise ConfigurationError(
                connector=name,
                at=f"platforms.{name}.freshness.{dataset}",
                mend="it does not offer this data set" + _meant(dataset, offered),
            )
    return {
        name: loaded
        for name, loaded in found.items()
        if (entries[name][0] if name in entries else not loaded.manifest.auth.secrets)
    }


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f": did you mean `{close[0]}`?" if close else ""


def _in_settings(name: str, error: ConfigurationError) -> ConfigurationError:
    place = str(error.details.get("at", ""))
    if place.startswith("secrets."):
        place = f"platforms.{name}.credentials.{place.removeprefix('secrets.')}"
    return ConfigurationError(**{**error.details, "connector": name, "at": place})


def _below(manifest: Manifest, address: str, secrets: Mapping[str, str], transport: Transport) -> Transport:
    if address.startswith(SCHEME):
        return LocalTransport(secrets)
    if manifest.tls is None:
        return transport
    for name in manifest.tls.named():
        if not secrets.get(name):
            raise ConfigurationError(connector=manifest.id, at=f"secrets.{name}", mend="give it a value")
    if not address.startswith("https://") or not isinstance(transport, Secures):
        raise ConfigurationError(connector=manifest.id, at="base_url", mend="https, because the manifest has `tls`")
    return transport.secured(tls_of(manifest.id, manifest.tls, secrets))


def _connectors_in(folder: Path) -> Iterator[Path]:
    return (child for child in sorted(folder.iterdir()) if (child / FILE).is_file())


def _outside(folder: Path) -> list[Path]:
    folder = folder.resolve()
    if (folder / FILE).is_file():
        return [folder]
    inside = list(_connectors_in(folder)) if folder.is_dir() else []
    if not inside:
        raise ConfigurationError(at="connectors", folder=str(folder), mend=f"name a folder that holds {FILE}")
    return inside
