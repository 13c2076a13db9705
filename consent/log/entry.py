"""The form of a log entry: one JSON object in one canonical way, so that an entry has one hash and one reading.

UTF-8 as RFC 8785 (JCS) writes it, narrowed: keys are ASCII and sorted, numbers are integers within 2^53 either way,
objects and lists nest at most 32 deep, at most 4,096 bytes. Decimal values travel as text.
"""

import json
from collections.abc import Sequence
from typing import NoReturn

MAX_ENTRY = 4096
MAX_DEPTH = 32
_LARGEST = 2**53 - 1


class EntryError(Exception):
    """The bytes are not a canonical entry."""


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > _LARGEST:
        raise EntryError("an integer beyond 2^53")
    return value


def _no_float(_: str) -> NoReturn:
    raise EntryError("a number that is not an integer")


# Strict readers and writers of such JSON of any size; the decoder raises ValueError or EntryError.
DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_no_float, parse_constant=_no_float)
ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))


def _parsed(data: bytes) -> tuple[str, dict[str, object]]:
    if len(data) > MAX_ENTRY:
        raise EntryError("larger than 4096 bytes")
    try:
        text = data.decode()
        value, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise EntryError("not JSON in UTF-8") from None
    if type(value) is not dict or end != len(text):
        raise EntryError("not one JSON object")
    # How deep Python follows differs between its versions; the verdict must not.
    suspect = not data.isascii() or data.count(b"[") + data.count(b"{") > MAX_DEPTH
    if suspect and not _plain(value, MAX_DEPTH):
        raise EntryError("a key that is not ASCII, or nested too deep")
    return text, value


def _plain(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(key.isascii() and _plain(below, levels - 1) for key, below in value.items())
    return not isinstance(value, list) or (levels > 0 and all(_plain(below, levels - 1) for below in value))


def check_entry(data: bytes) -> None:
    """Raises ``EntryError`` unless these bytes are a canonical entry; says nothing about what the entry means."""
    text, value = _parsed(data)
    # Order, spacing, escapes, duplicate keys and lone surrogates all show here.
    if ENCODER.encode(value) != text:
        raise EntryError("not in canonical form")


def all_canonical(entries: Sequence[bytes]) -> bool:
    """Whether ``check_entry`` passes every one of them, for less: the encoder starts up once.

    The comparison is as exact: each text is one whole object, and where an object ends is plain from its own text, so
    two equal joined texts cannot be cut in different places.
    """
    try:
        parsed = [_parsed(entry) for entry in entries]
    except EntryError:
        return False
    return ENCODER.encode([value for _, value in parsed]) == f"[{','.join(text for text, _ in parsed)}]"
