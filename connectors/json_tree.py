"""JSON (RFC 8259) to plain values, strictly: nothing is lost on the way, and what could mislead is refused.

A tree is made of dict, list, str, int, bool, None and Decimal: there is no float, so 0.1 stays 0.1.
"""

import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, cast

import msgspec

from schemas.errors import UpstreamCharset, UpstreamMalformed, UpstreamOversize

Tree = str | int | bool | Decimal | None | list["Tree"] | dict[str, "Tree"]

MAX_DEPTH = 64
"""Levels of JSON arrays and objects."""
MAX_BRACKETS = 100_000
"""Arrays and objects of one JSON text, as many as an XML document may have elements. Two megabytes of brackets are ten
times as many, and take seconds."""
MAX_DIGITS = 100
"""Characters of one JSON number."""
MAX_MAGNITUDE = 100
"""Power of ten up to which, and down to which, a JSON number is a number here."""


def broken(text: str) -> bool:
    """Whether a text shows that its characters were lost before it came to us."""
    return "\ufffd" in text or "锟斤拷" in text


def _refuse(rule: str) -> NoReturn:
    raise UpstreamMalformed(step="json", rule=rule)


def _object(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("duplicate_key")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse("number_too_long")
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        _refuse("number_too_long")
    try:
        number = Decimal(text)
    except InvalidOperation:
        _refuse("number_out_of_range")
    if not number:
        return _ZERO
    if not -MAX_MAGNITUDE <= number.adjusted() <= MAX_MAGNITUDE:
        _refuse("number_out_of_range")
    return number


def _constant(_: str) -> NoReturn:
    _refuse("constant")


_JSON = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant, strict=True
)
_OPEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_ZERO = Decimal(0)
# Escapes that can hide what raw text was already searched for: surrogates, U+FFFD, the first letter of 锟斤拷.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|[fF]{3}[dD]|951[fF])")


_QUICK: msgspec.json.Decoder[Tree] = msgspec.json.Decoder(float_hook=_decimal)
_ALL_DIGITS = bytes(ord("0") if b in b"0123456789" else ord(" ") for b in range(256))
_OBJECTS = {dict}
_HOLDERS = frozenset({dict, list})
_TENTH_OF_LONG = b"0" * (MAX_DIGITS // 10)


def parse_json(text: str) -> Tree:
    """Parse one JSON text (RFC 8259, object names unique as RFC 7493 section 2.3 asks).

    Numbers with fraction or exponent become Decimal with every digit kept; minus zero becomes zero. Refused with
    UpstreamMalformed: NaN and infinities, duplicate names, more than 64 levels, numbers longer than 100 characters or
    beyond 10^±100, lone surrogates, and whatever the grammar does not have. Broken characters that escapes hide raise
    UpstreamCharset, more than 100,000 opening brackets UpstreamOversize.
    """
    try:
        tree = _quick(text)
    except _Doubt:
        _check_depth(text)
        try:
            tree = cast(Tree, _JSON.decode(text))
        except ValueError:
            raise UpstreamMalformed(step="json", rule="syntax") from None
    if "\\" in text and _SUSPECT_ESCAPE.search(text):
        _check_strings(tree)
    return tree


class _Doubt(Exception):
    pass


def _quick(text: str) -> Tree:
    """The same tree at a third of the cost; raises _Doubt where the text may not be as it should be.

    msgspec keeps the last of two equal names and tells nobody. But every name is followed by a colon, so a tree with as
    many names as its text has colons has lost none. Where strings hold colons too, those behind a quotation mark are
    counted: with escapes and space taken away, one stands behind each name and no other string's end.
    """
    brackets = text.count("{") + text.count("[")
    if brackets > MAX_BRACKETS:
        raise UpstreamOversize(brackets=MAX_BRACKETS)
    try:
        data = text.encode()
        tree = _QUICK.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError, UpstreamMalformed):
        raise _Doubt from None
    # Every tenth byte: a number of so many digits covers ten of them in a row.
    if _TENTH_OF_LONG in data[::10].translate(_ALL_DIGITS):
        raise _Doubt
    names, depth = _extent(tree, brackets)
    if depth > MAX_DEPTH:
        raise _Doubt
    if names != data.count(b":"):
        if b"\\" in data:
            data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        if names != data.translate(None, b" \n\r\t").count(b'":'):
            raise _Doubt
    return tree


def _extent(tree: Tree, most: int) -> tuple[int, int]:
    """How many members the objects of a tree have together, and its levels; where it has ``most`` arrays and objects
    on the upper ones, the lower ones need no look."""
    names = depth = seen = 0
    level: Sequence[Any] = [tree] if type(tree) in _HOLDERS else []
    while level:
        depth += 1
        seen += len(level)
        names += sum(map(len, level)) if set(map(type, level)) == _OBJECTS else sum(_members(level))
        if seen == most:
            break
        if len(level) == 1 and type(level[0]) is list and set(map(type, level[0])) == _OBJECTS:
            level = level[0]
        else:
            inner = [one.values() if type(one) is dict else one for one in level]
            level = [value for values in inner for value in values if type(value) in _HOLDERS]
    return names, depth


def _members(level: Sequence[Any]) -> list[int]:
    return [len(one) for one in level if type(one) is dict]


def _check_depth(text: str) -> None:
    depth = 0
    for token in _OPEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                _refuse("too_deep")
        elif first != '"':
            depth -= 1


def _check_strings(tree: Tree) -> None:
    if isinstance(tree, str):
        if not tree.isascii():
            try:
                tree.encode()
            except UnicodeEncodeError:
                _refuse("lone_surrogate")
            if broken(tree):
                raise UpstreamCharset(rule="broken_characters")
    elif isinstance(tree, list):
        for item in tree:
            _check_strings(item)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            _check_strings(name)
            _check_strings(value)
