"""Nonces in a file, for a sandbox that is stopped and started again, or that several processes are."""

import sqlite3
from pathlib import Path
from typing import Protocol

from connectors.sandbox.verify import Nonces, Refused, Why


class Used(Protocol):
    def use(self, nonce: str, now: float) -> None:
        """Refused(REPLAYED) where it was used less than its time ago. ``now``: Unix seconds."""


class KeptNonces:
    """Those of one application, each for ``keep`` seconds."""

    def __init__(self, file: sqlite3.Connection, application: str, keep: float) -> None:
        self._file, self._application, self._keep = file, application, keep

    def use(self, nonce: str, now: float) -> None:
        row = (self._application, nonce, now)
        # One statement, so that of two processes one is first.
        taken = self._file.execute(
            "INSERT INTO nonce VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at WHERE at <= excluded.at - ?",
            (*row, self._keep),
        )
        if taken.rowcount != 1:
            raise Refused(Why.REPLAYED)
        self._file.execute("DELETE FROM nonce WHERE application = ? AND at <= ?", (self._application, now - self._keep))


class NonceFile:
    """Gives each application its own; without ``path`` they are in memory."""

    def __init__(self, path: Path | None) -> None:
        self._file: sqlite3.Connection | None = None
        if path is not None:
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS nonce"
                " (application TEXT, nonce TEXT, at REAL, PRIMARY KEY (application, nonce))"
            )

    def of(self, application: str, keep: float) -> Used:
        return Nonces(keep) if self._file is None else KeptNonces(self._file, application, keep)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
