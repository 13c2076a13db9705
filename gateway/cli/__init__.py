"""``xinqiao``: one command per act; every one that prints data takes ``--json``; progress goes to standard error."""

from gateway.cli.main import main

__all__ = ["main"]
