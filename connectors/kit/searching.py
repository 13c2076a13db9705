"""Whether a value stands in a file, in whatever writing."""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

_LONG = 8


def leak(files: Mapping[str, bytes], hidden: Mapping[str, str]) -> str | None:
    """The path of a value that one of the files holds in whatever writing, or None.

    A short word or number counts only where it is a whole one: 2026 stands in many others by accident.
    """
    views = [view for content in files.values() for view in _views(content)]
    for text, path in hidden.items():
        folded = _folded(text)
        # Shorter ones are found in any text by accident; of Chinese, two characters are a name.
        if len(folded) < (4 if folded.isascii() else 2):
            continue
        if len(folded) < _LONG and folded.isascii():
            form = re.compile(rf"(?<![0-9a-z_.]){re.escape(folded)}(?![0-9a-z_])")
            if any(form.search(view) for view in views):
                return path
        elif any(folded in view for view in views):
            return path
    return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _views(content: bytes) -> Iterator[str]:
    """A file as every reader might read it: in each charset, with each kind of escape undone, also twice."""
    for charset in ("utf-8", "gb18030", "utf-16"):
        text = content.decode(charset, "ignore")
        seen = {text}
        for _ in range(2):
            seen |= {undone for one in seen for undone in _undone(one)}
        yield from {_folded(one) for one in seen}


def _undone(text: str) -> Iterator[str]:
    yield re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text).replace("\\/", "/").replace('\\"', '"')
    yield html.unescape(text)
    for charset in ("utf-8", "gb18030"):
        yield unquote_plus(text, charset, "ignore")
