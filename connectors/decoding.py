"""From a reply's bytes to plain values, strictly: charset, JSON, XML, in the steps a manifest declares.

What a platform must not send is refused with a typed error whose details name the step and the rule, never the text.
"""

import codecs
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from connectors.json_tree import Tree, broken, parse_json
from connectors.xml_tree import parse_xml
from schemas.errors import InvalidValue, UpstreamCharset, UpstreamMalformed

Decoder = Callable[[bytes, str | None], Tree]
"""``(body, content type header) -> tree``."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What ``at`` gives where nothing stands; null is None."""

# GB18030 contains GBK, and GBK contains GB2312. Platforms that say the smaller one send rare characters of the larger.
_CODECS = {"utf-8": "utf-8", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "utf-16": "utf-16"}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.-]+)", re.IGNORECASE)
# 24 bytes beyond ASCII that all fit UTF-8 are not GB18030 by accident: of the usual characters about one in five does.
_SURELY_UTF8 = 24


def decode_text(body: bytes, content_type: str | None, charsets: Sequence[str]) -> str:
    """Decode by the connector's list, strictly; the byte order mark is cut off.

    UTF-8, where declared, is tried first, because only it can tell that it is wrong. Then the charset of
    ``content_type`` if the list has it, then the list in its order. An XML declaration's charset counts for nothing.
    Raises UpstreamCharset when none fits, when the text holds U+FFFD or «锟斤拷» (it was broken before it came), or
    when UTF-8 came where only others are declared: GB18030 would read it as other characters without an error.
    """
    return _decode(body, content_type, _codecs(charsets))


def _codecs(charsets: Sequence[str]) -> tuple[str, ...]:
    try:
        names = [_CODECS[c.lower()] for c in charsets]
    except KeyError:
        raise InvalidValue(what="charset") from None
    if not names:
        raise InvalidValue(what="charset")
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name != "utf-8"))


def _decode(body: bytes, content_type: str | None, names: tuple[str, ...]) -> str:
    text = None
    if len(names) > 1 and content_type and (found := _CHARSET.search(content_type)):
        hint = _CODECS.get(found[1].lower())
        names = tuple(sorted(names, key=lambda name: (name != "utf-8", name != hint)))
    for name in names:
        if name == "utf-16" and body[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            continue
        try:
            text = body.decode(name)
        except UnicodeDecodeError:
            continue
        break
    if text is None:
        raise UpstreamCharset(rule="undecodable")
    if text.isascii():
        return text
    if "utf-8" not in names and _is_utf8(body):
        raise UpstreamCharset(rule="undeclared_utf8")
    if broken(text):
        raise UpstreamCharset(rule="broken_characters")
    return text.removeprefix("\ufeff")


def _is_utf8(body: bytes) -> bool:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return body.startswith(codecs.BOM_UTF8) or sum(len(c.encode()) for c in text if c > "\x7f") >= _SURELY_UTF8


# --- Paths and steps -------------------------------------------------------------------------------------------


def path_keys(path: str) -> tuple[str, ...]:
    """``"head.rtn"`` -> ``("head", "rtn")``; the empty path is the whole tree."""
    return tuple(path.split(".")) if path else ()


def at(tree: Tree, keys: Sequence[str]) -> "Tree | _Missing":
    """The value under plain object keys, one per level; MISSING where a key is not there or its parent is no object."""
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return MISSING
        tree = tree[key]
    return tree


def compile_decoder(charsets: Sequence[str], steps: Sequence[str]) -> Decoder:
    """A decoder from a manifest's list of charsets and steps. Raises InvalidValue when they make no sense.

    ``json`` and ``xml`` parse the text at hand; ``at:PATH`` goes on with the value that stands there;
    ``within:PATH`` lets the next step parse the text that stands there and put its tree in its place (nothing there,
    null and empty text stay as they are). The decoder raises UpstreamCharset or UpstreamMalformed.
    """
    names = _codecs(charsets)
    actions = _compile_steps(steps)
    if len(actions) == 1:
        (only,) = actions
        return lambda body, content_type: only(_decode(body, content_type, names))

    def decode(body: bytes, content_type: str | None) -> Tree:
        tree: Tree = _decode(body, content_type, names)
        for action in actions:
            tree = action(tree)
        return tree

    return decode


_PARSERS: dict[str, Callable[[str], Any]] = {"json": parse_json, "xml": parse_xml}


def _compile_steps(steps: Sequence[str]) -> list[Callable[[Tree], Tree]]:
    actions: list[Callable[[Tree], Tree]] = []
    within: str | None = None
    for step in steps:
        kind, colon, path = step.partition(":")
        if kind in _PARSERS and not colon:
            actions.append(_parse_step(kind) if within is None else _within_step(within, kind))
            within = None
        elif kind in ("at", "within") and path and actions and within is None:
            if kind == "at":
                actions.append(_at_step(path))
            else:
                within = path
        else:
            raise InvalidValue(what="decode_step")
    if not actions or within is not None:
        raise InvalidValue(what="decode_step")
    return actions


def _parse_step(kind: str) -> Callable[[Tree], Tree]:
    parse = _PARSERS[kind]

    def step(tree: Tree) -> Tree:
        if not isinstance(tree, str):
            raise UpstreamMalformed(step=kind, rule="not_text")
        return cast(Tree, parse(tree))

    return step


def _at_step(path: str) -> Callable[[Tree], Tree]:
    keys = path_keys(path)

    def step(tree: Tree) -> Tree:
        found = at(tree, keys)
        if isinstance(found, _Missing):
            raise UpstreamMalformed(step="at", at=path)
        return found

    return step


def _within_step(path: str, kind: str) -> Callable[[Tree], Tree]:
    *parents, last = path_keys(path)
    parse = _PARSERS[kind]

    def step(tree: Tree) -> Tree:
        parent = at(tree, parents)
        if isinstance(parent, dict) and (text := parent.get(last)) not in (None, ""):
            if not isinstance(text, str):
                raise UpstreamMalformed(step=kind, rule="not_text", at=path)
            parent[last] = parse(text)
        return tree

    return step
