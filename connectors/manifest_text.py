"""The text of a ``manifest.toml``: where a key stands, and what to do about it when it is wrong."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Source:
    """A manifest's file, text and tables; ``data`` also holds what ``template`` says where the manifest is silent."""

    file: Path
    text: str
    data: dict[str, Any]
    own: dict[str, Any]
    template: "Source | None" = None

    @property
    def whole(self) -> str:
        return self.text + (self.template.text if self.template else "")

    def over(self, template: "Source") -> "Source":
        return Source(self.file, self.text, _laid_over(template.data, self.data), self.data, template)

    def line(self, path: KeyPath) -> tuple[Path, int]:
        """File and line of the key at ``path``: the template's where the manifest does not have it."""
        if self.template and _holds(self.template.data, path) and not _holds(self.own, path):
            return self.template.line(path)
        return self.file, line_of(self.text, path)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables key by key; everything else, lists too, takes the place of what was there."""
    both = [k for k, v in above.items() if isinstance(v, dict) and isinstance(below.get(k), dict)]
    return {**below, **above, **{k: _laid_over(below[k], above[k]) for k in both}}


def _holds(data: Any, path: KeyPath) -> bool:
    for part in path:
        if part not in (data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()):
            return False
        data = data[part]
    return True


def read(file: Path) -> Source:
    """The text and its TOML tables. Raises ManifestError where it cannot be read or is no TOML 1.0."""
    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ManifestError(file=str(file), line=0, at="", mend="make this a readable UTF-8 file") from None
    try:
        data = tomllib.loads(text)
        return Source(file, text, data, data)
    except tomllib.TOMLDecodeError as err:
        place = _PLACE.search(str(err))
        line = int(place[1]) if place else text.count("\n") + 1
        raise ManifestError(file=str(file), line=line, at="", mend="write valid TOML 1.0 here") from None


def parse(source: Source) -> manifest.Manifest:
    """Raises ManifestError for the first unknown key in the order of the file, else for the first that is wrong."""
    try:
        return manifest.Manifest.model_validate(source.data)
    except ValidationError as err:
        found = err.errors(include_url=False, include_input=False)
        # A key that is misspelt is missing too: the misspelling is what to mend.
        found = [e for e in found if e["type"] == "extra_forbidden"] or found
        refusals = [_refusal(e, source.data) for e in found]
        raise error(source, min(refusals, key=lambda r: source.line(r.at)[1])) from None


def error(source: Source, refusal: Refusal) -> ManifestError:
    file, line = source.line(refusal.at)
    at = ".".join(str(part) for part in refusal.at)
    return ManifestError(file=str(file), line=line, at=at, mend=refusal.mend)


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
