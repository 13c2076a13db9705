"""What lies outside the database and its backups: key-encryption keys, tombstones and the last signed checkpoint.

One folder. ``kek.N`` is the key-encryption key of epoch N, 32 bytes as hex. ``anchor/tombstones`` names every subject
key that was destroyed, one JSON line each; ``anchor/checkpoint`` is a head that this gateway signed. A database that
was put back from a backup is held against both: what was destroyed stays destroyed, an older log is not signed on.
``anchor/keys`` holds the wrapped keys of the subjects that remained when the last epoch ended, so that a backup from
before it can still be opened for them, and for them only.

Every write is on the disk (fsync of file and folder) before the method returns.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from consent.vault import KEY_SIZE
from schemas.errors import ConfigurationError, KeysUnavailable

_KEK = re.compile(r"kek\.([1-9][0-9]{0,8})")
_PRIVATE = 0o600
WrappedKey = tuple[str, str, int, int, bytes]
"""Subject, class, version, epoch and wrapped key, as in subject_keys."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The key of (subject, class) up to ``version`` was destroyed for good."""

    subject: str
    retention: str
    version: int
    reason: str
    basis: str


class Safe:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._anchor = folder / "anchor"

    # --- key-encryption keys ------------------------------------------------------------------------------

    def kek(self, epoch: int) -> bytes:
        """Raises KeysUnavailable where it is missing, unreadable or no key."""
        try:
            key = bytes.fromhex(self._kek(epoch).read_text("ascii").strip())
        except (OSError, ValueError):
            key = b""
        if len(key) != KEY_SIZE:
            raise KeysUnavailable(what=f"kek.{epoch}")
        return key

    def epochs(self) -> list[int]:
        """The epochs whose key is there, oldest first."""
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(match[1]) for file in files if (match := _KEK.fullmatch(file.name)))

    def add_epoch(self, epoch: int) -> None:
        """Make its key where there is none. Raises KeysUnavailable where that cannot be written."""
        try:
            handle = os.open(self._kek(epoch), os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        except FileExistsError:
            self.kek(epoch)  # From an attempt that was interrupted; half a key is none.
            return
        except OSError:
            raise KeysUnavailable(what=f"kek.{epoch}") from None
        _write(handle, os.urandom(KEY_SIZE).hex().encode() + b"\n")
        _sync(self.folder)

    def destroy_epochs(self, below: int) -> list[int]:
        """Overwrite and remove every older key; answers with those that were there. Raises KeysUnavailable."""
        gone = [epoch for epoch in self.epochs() if epoch < below]
        try:
            for epoch in gone:
                file = self._kek(epoch)
                size = file.stat().st_size
                for noise in (os.urandom(size), bytes(size)):
                    _write(os.open(file, os.O_WRONLY), noise)
                file.unlink()
            _sync(self.folder)
        except OSError:
            raise KeysUnavailable(what="keys folder") from None
        return gone

    def _kek(self, epoch: int) -> Path:
        return self.folder / f"kek.{epoch}"

    # --- the anchor ---------------------------------------------------------------------------------------

    def tombstones(self) -> list[Tombstone]:
        """Raises ConfigurationError where the file cannot be read: nothing may be served without it."""
        try:
            lines = (self._anchor / "tombstones").read_text("ascii").split("\n")
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            raise _unreadable("tombstones") from None
        # What stands behind the last line feed is a line that was never finished, and so was never acknowledged.
        try:
            return [Tombstone(**json.loads(line)) for line in lines[:-1]]
        except (ValueError, TypeError):
            raise _unreadable("tombstones") from None

    def bury(self, tombstones: list[Tombstone]) -> None:
        """Raises KeysUnavailable where they cannot be kept: then nothing is destroyed."""
        text = "".join(json.dumps(asdict(one), sort_keys=True) + "\n" for one in tombstones)
        try:
            self._anchor.mkdir(mode=0o700, exist_ok=True)
            path = self._anchor / "tombstones"
            handle = os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE)
            kept = path.read_bytes()
            os.ftruncate(handle, kept.rfind(b"\n") + 1)
            os.lseek(handle, 0, os.SEEK_END)
            _write(handle, text.encode())
            _sync(self._anchor)
        except OSError:
            raise KeysUnavailable(what="anchor") from None

    def keep_keys(self, pages: Iterable[Sequence[WrappedKey]]) -> None:
        """The subject keys as an ended epoch left them, in the place of those kept before. Raises KeysUnavailable."""
        new = self._anchor / f"keys.{os.getpid()}"
        try:
            self._anchor.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as file:
                for page in pages:
                    for subject, kind, version, epoch, wrapped in page:
                        file.write(f"{subject} {kind} {version} {epoch} {wrapped.hex()}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._anchor / "keys")
            _sync(self._anchor)
        except OSError:
            raise KeysUnavailable(what="anchor") from None

    def kept_keys(self) -> Iterator[list[WrappedKey]]:
        """In pages. Raises KeysUnavailable where there are none to be read."""
        try:
            with (self._anchor / "keys").open("r", encoding="ascii") as file:
                while lines := list(islice(file, 1000)):
                    parts = [line.split() for line in lines]
                    yield [(s, kind, int(v), int(e), bytes.fromhex(wrapped)) for s, kind, v, e, wrapped in parts]
        except (OSError, ValueError):
            raise KeysUnavailable(what="anchor") from None

    def checkpoint(self) -> str | None:
        """A head that was signed here, as a signed note. Raises ConfigurationError."""
        try:
            return (self._anchor / "checkpoint").read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise _unreadable("checkpoint") from None

    def remember(self, checkpoint: str, vkey: str) -> None:
        """Put it in the place of the one before, whole or not at all; ``vkey`` verifies it. Raises KeysUnavailable."""
        try:
            self._anchor.mkdir(mode=0o700, exist_ok=True)
            if vkey not in (known := self.vkeys()):
                self._put("vkeys", "".join(f"{line}\n" for line in (*known, vkey)))
            self._put("checkpoint", checkpoint)
        except (OSError, ConfigurationError):
            raise KeysUnavailable(what="anchor") from None

    def vkeys(self) -> list[str]:
        """The verifier key of every log that signed here. Raises ConfigurationError."""
        try:
            return (self._anchor / "vkeys").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            raise _unreadable("vkeys") from None

    def _put(self, name: str, text: str) -> None:
        new = self._anchor / f"{name}.{os.getpid()}"
        _write(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), text.encode())
        new.replace(self._anchor / name)
        _sync(self._anchor)


def newest_stones(tombstones: list[Tombstone]) -> dict[tuple[str, str], Tombstone]:
    """Of each (subject, class) the one of the newest version."""
    newest: dict[tuple[str, str], Tombstone] = {}
    for one in sorted(tombstones, key=lambda stone: stone.version):
        newest[one.subject, one.retention] = one
    return newest


def _write(handle: int, content: bytes) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(name: str) -> ConfigurationError:
    return ConfigurationError(at=f"keys/anchor/{name}", mend="the file cannot be read; put it back from its own backup")
