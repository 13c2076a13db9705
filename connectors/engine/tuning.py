"""What the operator of this gateway says in place of what a manifest says of the platform."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from connectors.engine.window import Window, compile_window
from schemas.manifest import Limits, Manifest


class Tuning(NamedTuple):
    """Of ``limits`` only the keys that were given count; each stands in place of the manifest's, stricter or laxer:
    what an agreement with the platform allows is for the operator to know. ``freshness``: by data set, a
    schemas.manifest.Duration."""

    limits: Limits = Limits()
    freshness: Mapping[str, str] = MappingProxyType({})

    def limits_of(self, manifest: Manifest) -> Limits:
        given = {name: getattr(self.limits, name) for name in self.limits.model_fields_set}
        return manifest.limits.model_copy(update=given)

    def freshness_of(self, manifest: Manifest) -> dict[str, str]:
        return {one.name: self.freshness.get(one.name, one.freshness) for one in manifest.dataset}


AS_STATED = Tuning()


def windows_of(limits: Limits) -> tuple[Window, ...]:
    """Raises connectors.manifest_text.Refusal for a time zone that there is not."""
    return tuple(compile_window(text, ("limits", "maintenance", i)) for i, text in enumerate(limits.maintenance))
