"""The form of a log entry: one JSON object in one canonical way, so that an entry has one hash and one reading.

UTF-8 as RFC 8785 (JCS) writes it, narrowed: keys are ASCII and sorted, numbers are integers within 2^53 either way,
at most 4,096 bytes. Decimal values travel as text.
"""

import json
from collections.abc import Sequence
from typing import NoReturn

MAX_ENTRY = 4096
_LARGEST = 2**53 - 1


class EntryError(Exception):
    """The bytes are not a canonical entry."""


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > _LARGEST:
        raise EntryError("an integer beyond 2^53")
    return value


def _no_float(_: str) -> NoReturn:
    raise EntryError("a number that is not an integer")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_no_float, parse_constant=_no_float)
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))


def _parsed(data: bytes) -> tuple[str, dict[str, object]]:
    if len(data) > MAX_ENTRY:
        raise EntryError("larger than 4096 bytes")
    try:
        text = data.decode()
        value, end = _DECODER.raw_decode(text)
    except ValueError:
        raise EntryError("not JSON in UTF-8") from None
    if type(value) is not dict or end != len(text):
        raise EntryError("not one JSON object")
    if not data.isascii() and not _ascii_keys(value):
        raise EntryError("a key that is not ASCII")
    return text, value


def _ascii_keys(value: object) -> bool:
    if isinstance(value, dict):
        return all(key.isascii() and _ascii_keys(below) for key, below in value.items())
    return not isinstance(value, list) or all(map(_ascii_keys, value))


def check_entry(data: bytes) -> None:
    """Raises ``EntryError`` unless these bytes are a canonical entry; says nothing about what the entry means."""
    try:
        text, value = _parsed(data)
        # Order, spacing, escapes, duplicate keys and lone surrogates all show here.
        canonical = _ENCODER.encode(value) == text
    except RecursionError:
        raise EntryError("nested too deep") from None
    if not canonical:
        raise EntryError("not in canonical form")


def all_canonical(entries: Sequence[bytes]) -> bool:
    """Whether ``check_entry`` passes every one of them, for less: the encoder starts up once.

    The comparison is as exact: each text is one whole object, and where an object ends is plain from its own text, so
    two equal joined texts cannot be cut in different places.
    """
    try:
        parsed = [_parsed(entry) for entry in entries]
        return _ENCODER.encode([value for _, value in parsed]) == f"[{','.join(text for text, _ in parsed)}]"
    except (EntryError, RecursionError):
        return False
