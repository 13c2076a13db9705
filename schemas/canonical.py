"""Canonical JSON: the one byte form that is hashed and signed (RFC 8785, restricted).

The restriction makes it cheap: no floats, integers below 2^53 and ASCII keys, so that sorting by bytes is sorting by
UTF-16 and no number needs ECMAScript's formatting. Within it the bytes are those of RFC 8785.
"""

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

import orjson

from schemas.errors import InvalidValue

_SCALARS = frozenset({str, int, bool, type(None)})
_DICT = frozenset({dict})


def canonical(obj: Any) -> bytes:
    """The canonical bytes of a tree of dict, list, tuple, str, int, bool and None.

    Raises InvalidValue for anything else, a float above all, for integers from 2^53, keys outside ASCII, text that is
    not Unicode, and nesting beyond 254.
    """
    try:
        # First, since it bounds the depth, which the walk below does not.
        text = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)
    except TypeError:
        raise InvalidValue(what="canonical_json") from None
    _walk(obj)
    return text


def _walk(node: Any) -> None:
    """Refuse what orjson would write: floats, NaN as null, and many types that JSON does not have."""
    kind = type(node)
    if kind is dict:
        _keys(node)
        _values(node.values())
    elif kind is list or kind is tuple:
        if node and _DICT.issuperset(map(type, node)):
            # Records by the hundred are nearly all of a profile: each test runs once over all of them, in C.
            _keys(set().union(*node))
            if not _SCALARS.issuperset(map(type, chain.from_iterable(map(dict.values, node)))):
                for item in node:
                    _values(item.values())
        else:
            _values(node)
    elif kind not in _SCALARS and not isinstance(node, str):
        raise InvalidValue(what="canonical_json")


def _keys(keys: Iterable[str]) -> None:
    # orjson has refused whatever is no text.
    if not all(map(str.isascii, keys)):
        raise InvalidValue(what="canonical_json")


def _values(values: Collection[Any]) -> None:
    if not _SCALARS.issuperset(map(type, values)):
        for value in values:
            if type(value) not in _SCALARS:
                _walk(value)
