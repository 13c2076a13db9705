"""The gateway's own keys, one file each in one folder, readable by the owner only.

``kek.N`` wraps the data keys of the vault (consent.safe keeps them, and what else lies outside the database),
``pseudonym`` makes subject pseudonyms, ``log.pem`` signs checkpoints,
``profile.pem`` profiles and ``token.pem`` access tokens (all three Ed25519). In development missing keys are made;
in production a missing key is an error, so that a forgotten mount cannot start a second log.

``profile.old`` and ``token.old`` hold the public keys that were replaced, one a line: 32 bytes as hex, and when, in
POSIX seconds.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from consent.safe import Safe
from schemas.errors import ConfigurationError, KeysUnavailable

NEXT_LOG_KEY = "log.next.pem"
"""The key that the log changes to, from the moment it was made until it lies in the place of ``log.pem``."""

_PSEUDONYM = "pseudonym"
_OLD_KEK = "kek"
"""The one key-encryption key of a folder from before there were epochs; it becomes that of the first."""
_SIGNING = ("log", "profile", "token")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A public key (32 bytes) that signs nothing more since ``at`` (POSIX seconds)."""

    key: bytes
    at: int


@dataclass(frozen=True, slots=True, repr=False)
class Signing:
    """The key that signs now, and those before it, oldest first."""

    key: Ed25519PrivateKey
    replaced: tuple[Replaced, ...] = ()


class SigningFile:
    """What is called gives the key of a file, read again where another took its place: no restart, in no process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._held = read_signing(path)

    def __call__(self) -> Signing:
        # Where it cannot be read just now, the key that is held goes on.
        with suppress(ConfigurationError):
            if (seen := self._stamp()) != self._seen:
                self._held, self._seen = read_signing(self._path), seen
        return self._held

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            raise _missing(self._path) from None
        return found.st_ino, found.st_mtime_ns


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    pseudonym: bytes
    log: Ed25519PrivateKey
    profile: SigningFile
    token: SigningFile


def write_private(path: Path, content: bytes) -> None:
    """Create ``path`` with mode 0600; an existing file is never overwritten."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def new_signing_key_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def create_keys(folder: Path) -> list[str]:
    """Make the keys that are missing; answers with their file names. Raises ConfigurationError."""
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(folder):
            _adopt(folder)
            if not Safe(folder).epochs():
                Safe(folder).add_epoch(1)
                made.append("kek.1")
            if not (folder / _PSEUDONYM).exists():
                write_private(folder / _PSEUDONYM, secrets.token_hex(32).encode() + b"\n")
                made.append(_PSEUDONYM)
            for name in _SIGNING:
                if not (folder / f"{name}.pem").exists():
                    write_private(folder / f"{name}.pem", new_signing_key_pem())
                    made.append(f"{name}.pem")
    except (OSError, KeysUnavailable):
        raise ConfigurationError(at="keys", mend="the folder cannot be written") from None
    return made


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: what is made is made once, and read by nobody before it is whole."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_signing(folder: Path, name: Literal["profile", "token"], at: int) -> Signing:
    """Put a new key in the place of ``name``.pem; the old one is gone, and its public key is kept. ``at``: now, in
    POSIX seconds. Raises ConfigurationError."""
    path = folder / f"{name}.pem"
    try:
        with _locked(folder):
            held = read_signing(path)
            replaced = (*held.replaced, Replaced(held.key.public_key().public_bytes_raw(), at))
            _put(path.with_suffix(".old"), "".join(f"{one.key.hex()} {one.at}\n" for one in replaced).encode())
            # Last: whoever sees the new key finds the old one among those that were replaced.
            _put(path, new_signing_key_pem())
    except OSError:
        raise ConfigurationError(at="keys", mend="the folder cannot be written") from None
    return read_signing(path)


def _put(path: Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_private(new, content)
    new.replace(path)


def _adopt(folder: Path) -> None:
    if (folder / _OLD_KEK).exists() and not Safe(folder).epochs():
        (folder / _OLD_KEK).rename(folder / "kek.1")


def load_keys(folder: Path, *, create: bool) -> Keys:
    """Read the keys; ``create`` makes missing ones first. ConfigurationError names the file, never its content."""
    if create:
        create_keys(folder)
    with suppress(OSError):
        _adopt(folder)
    for epoch in Safe(folder).epochs() or [1]:
        _symmetric(folder / f"kek.{epoch}")
    pseudonym = _symmetric(folder / _PSEUDONYM)
    profile, token = (SigningFile(folder / f"{name}.pem") for name in ("profile", "token"))
    return Keys(pseudonym, signing_key(folder / "log.pem"), profile, token)


def log_keys(folder: Path) -> list[Ed25519PrivateKey]:
    """The keys that the log may have changed to, as far as they can be read. The next one first: once it is gone, it
    lies in the place of the other."""
    keys = []
    for name in (NEXT_LOG_KEY, "log.pem"):
        with suppress(ConfigurationError):
            keys.append(signing_key(folder / name))
    return keys


def finish_rotation(folder: Path) -> None:
    """Put the next key in the place of ``log.pem``, which is gone then. Raises ConfigurationError."""
    try:
        (folder / NEXT_LOG_KEY).replace(folder / "log.pem")
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        mend = "the log has changed its key: put log.next.pem in the place of log.pem"
        raise ConfigurationError(at="keys", mend=mend) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise _missing(path) from None


def _missing(path: Path) -> ConfigurationError:
    return ConfigurationError(at=f"keys/{path.name}", mend="run `xinqiao keys new`, or mount the key")


def _symmetric(path: Path) -> bytes:
    try:
        key = bytes.fromhex(_read(path).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(at=f"keys/{path.name}", mend="must be 32 bytes as hex")
    return key


def read_signing(path: Path) -> Signing:
    """The key at ``path`` and those that it replaced. Raises ConfigurationError."""
    key, old = signing_key(path), path.with_suffix(".old")
    public = key.public_key().public_bytes_raw()
    try:
        lines = [line.split() for line in old.read_text("ascii").splitlines()] if old.exists() else []
        replaced = tuple(Replaced(bytes.fromhex(known), int(at)) for known, at in lines)
    except (OSError, ValueError):
        raise ConfigurationError(at=f"keys/{old.name}", mend="put it back from its own backup") from None
    # A rotation that was interrupted: the key that it was to replace still signs.
    return Signing(key, tuple(one for one in replaced if one.key != public))


def signing_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(at=f"keys/{path.name}", mend="must be an Ed25519 private key in PEM")
    return key
