"""Entries as an auditor sees them without a reason: enough to follow what happened, not to whom."""

import re
from collections.abc import Mapping
from typing import Any

from schemas.base import Json

RULE = 1
"""Version of what this module does; a file of masked rows names it, so that they can be made again."""
SHOWN = 8
"""Characters that are left of an id, a pseudonym or a commitment: enough to see that two are the same."""
# What says nothing about an enterprise. An event that is new here is masked until somebody decides.
_PLAIN = frozenset(
    {
        "v", "event", "time", "actor", "code", "operation", "purpose", "assurance", "version", "use", "revision",
        "first", "last", "valid_from", "valid_to", "valid_until", "expires", "count", "index", "masked",
        "attempts", "about", "events", "items", "sources", "end", "complete",
    }
)  # fmt: skip
_KEYED = re.compile("[0-9a-f]{32,64}")
"""A pseudonym, of a person for one, or a commitment."""


def masked(entry: Mapping[str, Any]) -> dict[str, Json]:
    """The entry with every id, pseudonym and commitment shortened."""
    return {key: _listed(value) if key in _PLAIN else short(value) for key, value in entry.items()}


def short(value: Any) -> Json:
    """The beginning of an id, a pseudonym or a commitment, or of each in a list."""
    if isinstance(value, list):
        return [short(one) for one in value]
    if isinstance(value, str) and len(value) > SHOWN:
        return value[:SHOWN] + "…"
    return value if value is None or isinstance(value, str | int) else "…"


def _listed(value: Any) -> Json:
    """A list of platforms and data sets may hold persons and commitments; one too large for an entry is one."""
    if isinstance(value, list):
        return [_listed(one) for one in value]
    if isinstance(value, str) and _KEYED.fullmatch(value):
        return short(value)
    plain: Json = value
    return plain
