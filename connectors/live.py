"""Connectors while they serve: a changed manifest is taken up when it holds, and a platform can be switched off.

    live = Live(find(folders), build, switches)
    for change in await live.look():   # again and again
        ...

A manifest that does not hold, by itself or by its own fixtures, changes nothing: the last good version serves on.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from connectors.base import Connector, Progress, Query, Reply
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.conformance import check_loaded
from connectors.manifest import Loaded, load
from connectors.ports import Guard
from schemas.errors import ManifestError, PlatformOff, XinqiaoError

Build = Callable[[Loaded], "SwitchedConnector"]
_Stamps = tuple[tuple[str, int, int], ...]


class Switches:
    """Which platforms are off: each file in ``folder`` that is called like a connector's id. Without a folder none is.

    ``off`` is what the last look saw; asking it costs nothing, so every single send can ask.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.off = self.read()

    def read(self) -> frozenset[str]:
        try:
            return frozenset(child.name for child in self.folder.iterdir()) if self.folder else frozenset()
        except FileNotFoundError:
            return frozenset()


class _Guard:
    __slots__ = ("_guard", "_name", "_switches")

    def __init__(self, guard: Guard, name: str, switches: Switches) -> None:
        self._guard = guard
        self._name = name
        self._switches = switches

    async def may_send(self) -> None:
        await self._guard.may_send()
        if self._name in self._switches.off:
            raise PlatformOff(connector=self._name)

    async def may_keep(self) -> None:
        await self._guard.may_keep()


class SwitchedConnector(DeclarativeConnector):
    """Stops where its platform is switched off: before a fetch, and before every single send of one."""

    switches = Switches(None)

    async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
        if self.id in self.switches.off:
            raise PlatformOff(connector=self.id)
        return await super().fetch(query, _Guard(guard, self.id, self.switches), deadline, progress)


@dataclass(frozen=True, slots=True)
class Change:
    """What a look found. ``version`` is the one that serves now; ``error`` says why a changed manifest does not.

    A manifest that was refused and is put back to what serves is reloaded too.
    """

    connector: str
    kind: Literal["reloaded", "refused", "off", "on"]
    version: str
    error: XinqiaoError | None = None


class Live(Mapping[str, Connector]):
    """Connectors by id; what is taken out of it is one version, for as long as it is held.

    ``look`` must not run twice at the same time.
    """

    def __init__(self, found: Mapping[str, Loaded], build: Build, switches: Switches) -> None:
        self.switches = switches
        self._build = build
        self._refused: set[str] = set()
        self._loaded = dict(found)
        self._seen = {name: _stamps(loaded) for name, loaded in found.items()}
        self._serving = {name: build(loaded) for name, loaded in found.items()}
        for made in self._serving.values():
            made.switches = switches

    def __getitem__(self, name: str) -> Connector:
        return self._serving[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._serving)

    def __len__(self) -> int:
        return len(self._serving)

    async def look(self) -> list[Change]:
        """Once at all files, in a thread. Raises nothing that a file could cause."""
        before = self.switches.off
        self.switches.off = after = await asyncio.to_thread(self.switches.read)
        changes = [
            Change(name, "off" if name in after else "on", self[name].version)
            for name in sorted(before ^ after)
            if name in self
        ]
        for name, stamps in (await asyncio.to_thread(self._stamps)).items():
            if stamps != self._seen[name]:
                self._seen[name] = stamps
                changes += await self._take_up(name)
        return changes

    def _stamps(self) -> dict[str, _Stamps]:
        return {name: _stamps(loaded) for name, loaded in self._loaded.items()}

    async def _take_up(self, name: str) -> list[Change]:
        serving = self._serving[name]
        try:
            loaded = await asyncio.to_thread(_checked, self._loaded[name])
            same = loaded.version == serving.version
            if same and name not in self._refused:
                return []
            made = serving if same else self._build(loaded)
        except XinqiaoError as err:
            self._refused.add(name)
            return [Change(name, "refused", serving.version, err)]
        self._refused.discard(name)
        made.switches = self.switches
        self._loaded[name], self._serving[name] = loaded, made
        return [Change(name, "reloaded", made.version)]


def _stamps(loaded: Loaded) -> _Stamps:
    """Of everything that a reload reads: path, time of change in ns, size."""
    found = []
    for file in [*loaded.files, *sorted(loaded.fixtures.glob("*"))]:
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append((str(file), stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _checked(before: Loaded) -> Loaded:
    """What stands in the folder now. Raises ManifestError where it does not hold, or gives less than before."""
    loaded = load(before.folder)
    file = str(loaded.files[0])
    if loaded.manifest.id != before.manifest.id:
        raise ManifestError(file=file, line=1, at="id", mend="restart the gateway for another id")
    for name, plan in before.plans.items():
        now = loaded.plans.get(name)
        if now is None or plan.specs.keys() - now.specs.keys():
            # Consents and settings may count on it: that it goes is for a restart, which checks them.
            raise ManifestError(file=file, line=1, at="dataset", mend=f"restart the gateway to take away from {name}")
    for result in check_loaded(loaded):
        if not result.ok:
            raise ManifestError(file=file, line=1, at=result.name, mend=result.why)
    return loaded
