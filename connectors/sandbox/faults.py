"""Troubles of a whole platform, for trying out: ``xinqiao sandbox --faults FILE``.

A TOML table per platform with one or more of ``down = true`` (HTTP 503), ``status = 502`` (any other status),
``busy = true`` (the platform's own busy code), ``delay = 1.5`` (seconds before it answers).
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    down: bool = False
    busy: bool = False
    delay: float = 0.0
    status: int = 0


class FaultsError(ValueError):
    """The faults file says something that no platform can do. The text names the place."""


def read_faults(path: Path, platforms: Collection[str]) -> dict[str, Fault]:
    """Raises FaultsError, also for a file that is no TOML; OSError when there is none."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise FaultsError(f"{path.name} is not TOML") from None
    return {name: _fault(name, table, platforms) for name, table in tables.items()}


def _fault(name: str, table: object, platforms: Collection[str]) -> Fault:
    if name not in platforms:
        raise FaultsError(f"{name}: no such platform")
    if not isinstance(table, Mapping):
        raise FaultsError(f"{name}: write a table, [{name}]")
    ranges = {"delay": (0, 600), "status": (400, 599)}
    for key, value in table.items():
        low, high = ranges.get(key, (0, 0))
        if key in ("down", "busy"):
            good = isinstance(value, bool)
        else:
            kinds = (int, float) if key == "delay" else (int,)
            good = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high and high > 0
        if not good:
            raise FaultsError(f"{name}.{key}: use down, busy (true/false), delay (0 to 600), status (400 to 599)")
    return Fault(**table)
