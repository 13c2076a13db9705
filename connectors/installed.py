"""Connectors that came with an installed distribution: entry points of the group ``xinqiao.connectors``.

The entry point's name is the connector's id, its value the package whose folder of that name holds the manifest::

    [project.entry-points."xinqiao.connectors"]
    xx-bureau = "xx_bureau"          # xx_bureau/xx-bureau/manifest.toml

Nothing of the package is imported, so a package must be a top-level one.
"""

from collections.abc import Collection
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from connectors.manifest import FILE
from schemas.errors import ConfigurationError

GROUP = "xinqiao.connectors"


def installed(names: Collection[str]) -> list[Path]:
    """Folders of the installed connectors among ``names``; one that nobody names is not even looked at.

    Raises ConfigurationError where an entry point leads to no manifest.
    """
    return [_folder(point.name, point.value) for point in entry_points(group=GROUP) if point.name in names]


def _folder(name: str, package: str) -> Path:
    # A dotted name would make Python import what stands before the dot.
    spec = None if "." in package or ":" in package else find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / name / FILE).is_file():
            return Path(place) / name
    raise ConfigurationError(connector=name, mend=f"its entry point must name a package with {name}/{FILE}")
