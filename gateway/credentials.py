"""Where the credentials of platforms come from: the settings themselves, a file, or a variable of the environment.

``NAME_file`` and ``NAME_env`` beside the names that a manifest asks for say where a value is, so that it need not stand
in the settings. Another secret store is another ``SecretStore`` under a suffix of its own.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from schemas.errors import ConfigurationError

_LONGEST = 64 * 1024


class SecretStore(Protocol):
    def get(self, reference: str) -> str:
        """The value; ValueError, with a text that says what to do and shows no value, where there is none."""


class Files:
    """``reference`` is a path. Only its owner may read the file; blanks at its end do not count."""

    def get(self, reference: str) -> str:
        try:
            with Path(reference).open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise ValueError("let nobody but its owner read the file: chmod 600")
                raw = file.read(_LONGEST + 1)
        except OSError:
            raise ValueError("name a file that can be read") from None
        if len(raw) > _LONGEST:
            raise ValueError("name a file of at most 64 KiB")
        try:
            return raw.decode().rstrip()
        except UnicodeDecodeError:
            raise ValueError("name a file of text (UTF-8)") from None


class Environment:
    """``reference`` is the name of a variable."""

    def get(self, reference: str) -> str:
        try:
            return os.environ[reference]
        except KeyError:
            raise ValueError("set the variable that it names") from None


STORES: Mapping[str, SecretStore] = {"_file": Files(), "_env": Environment()}


def resolve(platform: str, given: Mapping[str, str]) -> dict[str, str]:
    """The values by the names of the manifest. ConfigurationError (``at``: the key in the settings) for one that
    cannot be had, or that is given twice."""
    found: dict[str, str] = {}
    for key, value in given.items():
        at = f"platforms.{platform}.credentials.{key}"
        suffix = next((suffix for suffix in STORES if key.endswith(suffix)), "")
        name = key.removesuffix(suffix)
        if name in found:
            raise ConfigurationError(at=at, mend=f"give {name} in one way only")
        try:
            found[name] = STORES[suffix].get(value) if suffix else value
        except ValueError as err:
            raise ConfigurationError(at=at, mend=str(err)) from None
    return found
