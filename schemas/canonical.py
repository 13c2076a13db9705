"""Canonical JSON: the one byte form that is hashed and signed (RFC 8785, restricted).

The restriction makes it cheap: no floats, integers below 2^53 and ASCII keys, so that sorting by bytes is sorting by
UTF-16 and no number needs ECMAScript's formatting. Within it the bytes are those of RFC 8785.
"""

from typing import Any

import orjson

from schemas.errors import InvalidValue

_SCALARS = frozenset({str, int, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})


def canonical(obj: Any) -> bytes:
    """The canonical bytes of a tree of dict, list, tuple, str, int, bool and None.

    Raises InvalidValue for anything else, a float above all, for integers from 2^53, keys outside ASCII, text that is
    not Unicode, and nesting beyond 254.
    """
    try:
        # First, since it also refuses cycles, which the walk would follow for ever.
        text = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)
    except TypeError:
        raise InvalidValue(what="canonical_json") from None
    # orjson writes floats, turns NaN into null, and knows many more types than JSON has.
    pending: list[Any] = [(obj,)]
    while pending:
        node = pending.pop()
        if type(node) is dict:
            if not "".join(node).isascii():
                raise InvalidValue(what="canonical_json")
            node = node.values()
        kinds = set(map(type, node)) - _SCALARS
        if kinds:
            if not all(kind in _CONTAINERS or issubclass(kind, str) for kind in kinds):
                raise InvalidValue(what="canonical_json")
            pending.extend(value for value in node if type(value) in _CONTAINERS)
    return text
