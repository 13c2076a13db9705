"""The text of a ``manifest.toml``: where a key stands, and what to do about it when it is wrong."""

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas import manifest
from schemas.errors import ManifestError

KeyPath = tuple[str | int, ...]
_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_PLACE = re.compile(r"line (\d+)")


class Refusal(Exception):
    """A key of the manifest is wrong; the loader turns this into a ManifestError with file and line."""

    def __init__(self, at: KeyPath, mend: str) -> None:
        super().__init__(mend)
        self.at = at
        self.mend = mend


def read(file: Path) -> tuple[str, dict[str, Any]]:
    """The text and its TOML tables. Raises ManifestError where it cannot be read or is no TOML 1.0."""
    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ManifestError(file=str(file), line=0, at="", mend="make this a readable UTF-8 file") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        place = _PLACE.search(str(err))
        line = int(place[1]) if place else text.count("\n") + 1
        raise ManifestError(file=str(file), line=line, at="", mend="write valid TOML 1.0 here") from None


def parse(file: Path, text: str, data: dict[str, Any]) -> manifest.Manifest:
    """Raises ManifestError for the first unknown key in the order of the file, else for the first that is wrong."""
    try:
        return manifest.Manifest.model_validate(data)
    except ValidationError as err:
        found = err.errors(include_url=False, include_input=False)
        # A key that is misspelt is missing too: the misspelling is what to mend.
        found = [e for e in found if e["type"] == "extra_forbidden"] or found
        raise error(file, text, min((_refusal(e, data) for e in found), key=lambda r: line_of(text, r.at))) from None


def error(file: Path, text: str, refusal: Refusal) -> ManifestError:
    at = ".".join(str(part) for part in refusal.at)
    return ManifestError(file=str(file), line=line_of(text, refusal.at), at=at, mend=refusal.mend)


def line_of(text: str, path: KeyPath) -> int:
    """The line (from 1) where the key at ``path``, or the nearest table around it, is written."""
    lines = text.splitlines()
    best, best_line = 0, 1
    for number, found in _keys(lines):
        if found == path[: len(found)] and len(found) > best:
            best, best_line = len(found), number
    # What is left of the path stands inside an inline value that begins at that line.
    rest = [part for part in path[best:] if isinstance(part, str)]
    for name in rest:
        key = re.compile(rf"(?<![\w-])[\"']?{re.escape(name)}[\"']?\s*=")
        for number in range(best_line, len(lines) + 1):
            if number > best_line and (_HEADER.match(lines[number - 1]) or _ASSIGNMENT.match(lines[number - 1])):
                break
            if key.search(lines[number - 1]):
                best_line = number
                break
    return best_line


def _keys(lines: list[str]) -> Iterator[tuple[int, KeyPath]]:
    prefix: KeyPath = ()
    tables: dict[KeyPath, int] = {}
    for number, line in enumerate(lines, start=1):
        if header := _HEADER.match(line):
            names = _split(header[2])
            if header[1] == "[[":
                tables[names] = tables.get(names, -1) + 1
            prefix = _indexed(names, tables)
            yield number, prefix
        elif assignment := _ASSIGNMENT.match(line):
            yield number, prefix + _split(assignment[1])


def _split(dotted: str) -> KeyPath:
    return tuple(k.strip("\"'") for k in re.findall(_KEY, dotted))


def _indexed(names: KeyPath, tables: dict[KeyPath, int]) -> KeyPath:
    """``[dataset.fields]`` belongs to the last ``[[dataset]]`` above it."""
    path: list[str | int] = []
    for count, name in enumerate(names, start=1):
        path.append(name)
        if names[:count] in tables:
            path.append(tables[names[:count]])
    return tuple(path)


def _refusal(found: Any, data: dict[str, Any]) -> Refusal:
    kind, context = found["type"], found.get("ctx", {})
    at = _in_data(found["loc"], data) + (found["loc"][-1:] if kind == "missing" else ())
    if kind == "extra_forbidden":
        close = get_close_matches(str(at[-1]), _known_keys(), n=1)
        return Refusal(at, f"no such key here: did you mean `{close[0]}`?" if close else "remove this key")
    if kind == "missing":
        return Refusal(at, f"add the key `{at[-1]}`")
    if kind in ("literal_error", "union_tag_invalid"):
        return Refusal(at, f"use one of {context.get('expected') or context['expected_tags']}")
    if kind == "union_tag_not_found":
        return Refusal((*at, "type"), "add the key `type`")
    return Refusal(at, found["msg"].removeprefix("Value error, "))


def _in_data(loc: KeyPath, data: Any) -> KeyPath:
    """pydantic's location without the union tags that it puts between the keys of the file."""
    path: list[str | int] = []
    for part in loc:
        if part in (data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()):
            data = data[part]
            path.append(part)
    return tuple(path)


def _known_keys() -> list[str]:
    models = [m for m in vars(manifest).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    return sorted({info.alias or name for model in models for name, info in model.model_fields.items()})
