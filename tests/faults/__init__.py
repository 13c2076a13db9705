"""Faults on purpose, against real gateway processes: `make chaos`; the suite runs short forms (docs/faults.md)."""
