"""The connectors of one gateway: the built-in catalogue and outside folders, through the same door."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from connectors.engine.call import Transport
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
    folders: Iterable[Path] = (),
    allow: Collection[str] | None = None,
    clock: Callable[[], float] = time.time,
    nonce: Callable[[], str] = new_nonce,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    state: StateStore | None = None,
    switches: Path | None = None,
) -> Live:
    """Connectors by id, made inside a running event loop. ``switches``: see connectors.live.Switches.

    A platform that is switched off is left out, and so is one that needs secrets and has no entry: nobody here has an
    account with it. Raises what ``find`` raises, and ConfigurationError for an entry of no connector or a secret that
    is missing or malformed.
    """
    found = find(folders, allow)
    if allow is None and (unknown := sorted(platforms.keys() - found.keys())):
        raise ConfigurationError(connector=unknown[0], mend="there is no connector of this id: mend `platforms`")

    def build(loaded: Loaded) -> SwitchedConnector:
        _, base_url, secrets = platforms.get(loaded.manifest.id, _AS_IT_STANDS)
        address = base_url or loaded.manifest.base_url
        below = _below(loaded.manifest, address, secrets, transport)
        return SwitchedConnector(
            loaded, below, secrets, base_url=address, clock=clock, nonce=nonce, sleep=sleep, state=state
        )

    reached = {
        name: loaded
        for name, loaded in found.items()
        if (name in platforms or not loaded.manifest.auth.secrets) and platforms.get(name, _AS_IT_STANDS)[0]
    }
    return Live(reached, build, Switches(switches))


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
