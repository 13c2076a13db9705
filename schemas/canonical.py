"""Canonical JSON: the one byte form that is hashed and signed (RFC 8785, restricted).

The restriction makes it cheap: no floats, integers below 2^53 and ASCII keys, so that sorting by bytes is sorting by
UTF-16 and no number needs ECMAScript's formatting. Within it the bytes are those of RFC 8785.
"""

from typing import Any

import orjson

from schemas.errors import InvalidValue

_SCALARS = frozenset({str, int, bool, type(None)})


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
        # Whole rows of plain values are by far the most common node: both tests run without a Python loop.
        if not all(map(str.isascii, node)):
            raise InvalidValue(what="canonical_json")
        values = node.values()
    elif kind is list or kind is tuple:
        values = node
    elif kind in _SCALARS or isinstance(node, str):
        return
    else:
        raise InvalidValue(what="canonical_json")
    if not _SCALARS.issuperset(map(type, values)):
        for value in values:
            if type(value) not in _SCALARS:
                _walk(value)
