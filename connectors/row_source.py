"""The usual row of a data set, read by one function that is written out for its fields when they are wanted again.

A loop over the fields that calls a converter for each value takes over half as long again (docs/performance.md). The
function knows only plain values; it gives a row up whole at the first value that is not plain, and the loop of
connectors.mapping, which alone knows what is wrong with a row and where, reads it instead.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]


class Plain(NamedTuple):
    """The usual case of a field: where ``test`` holds of ``v``, the record takes ``value``.

    Both are Python expressions of our own; ``{name}`` in them stands for what ``names`` gives. They may raise
    InvalidValue, which gives the row up. ``t`` is theirs to assign.
    """

    test: str
    value: str
    names: Mapping[str, object]


class Field(NamedTuple):
    """One field: from the key or, where given, by ``get`` (which answers ``missing`` where nothing stands)."""

    name: str
    key: str
    get: Callable[[Any], Any] | None
    read: Callable[[Any, Any], Any]
    plain: Plain
    needed: bool


def compile_usual(fields: Sequence[Field], missing: object, skip: object) -> Callable[[Row, Row, Any], Row | None]:
    """``(row, record, notes) -> record`` with the fields added, or None where the row is not a usual one.

    ``skip``: what ``read`` gives for a value that leaves the row or field out. Names and keys become literals of the
    source by ``repr``, so nothing that a manifest says is run.
    """
    space: dict[str, Any] = {"MISSING": missing, "SKIP": skip}
    lines = ["def usual(row, record, notes):", "    get = row.get"]
    for number, field in enumerate(fields):
        names = {name: f"{name}_{number}" for name in field.plain.names}
        space.update({names[name]: held for name, held in field.plain.names.items()})
        space[f"read_{number}"] = field.read
        if field.get is None:
            lines.append(f"    v = get({field.key!r})")
        else:
            space[f"get_{number}"] = field.get
            lines += [f"    v = get_{number}(row)", "    if v is MISSING: v = None"]
        lines += [
            f"    if {field.plain.test.format(**names)}:",
            f"        record[{field.name!r}] = {field.plain.value.format(**names)}",
            "    elif v is not None and v != '':",
            f"        t = read_{number}(v, notes)",
            "        if t is None or t is SKIP or (type(v) is str and v.isspace()): return None",
            f"        record[{field.name!r}] = t",
            *(["    else: return None"] if field.needed else []),
        ]
    exec("\n".join([*lines, "    return record"]), space)  # noqa: S102 - the text above, with literals in it
    usual: Callable[[Row, Row, Any], Row | None] = space["usual"]
    return usual
