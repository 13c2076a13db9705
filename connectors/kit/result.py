"""What one check of a connector came to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """``why`` of a check that holds is a figure or a note."""

    name: str
    ok: bool
    why: str = ""
