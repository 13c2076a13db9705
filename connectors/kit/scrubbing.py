"""A reply without anything that says whom it is about: what the manifest knows stays what it is, all else is replaced.

Nothing is kept because it looks harmless: a value stays only where the manifest says what it is (a code of a table or a
rule, a day or month, the number of a page), or where the caller names its path. The rest becomes an invented value of
the same kind (connectors.kit.inventing), in every layer that the manifest's decode steps open.
"""

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, cast
from xml.sax.saxutils import escape, quoteattr

from connectors.decoding import MISSING, at, decode_text, path_keys
from connectors.json_tree import Tree, parse_json
from connectors.kit.inventing import Inventor
from connectors.kit.roles import Role, Terms, joined
from connectors.wire import WireReply
from connectors.xml_tree import parse_xml
from schemas.errors import UpstreamError

Done = Literal["kept", "replaced", "dropped"]
_PAGE = re.compile(r"[0-9]{1,7}")
_AMOUNT = re.compile(r"(?=.{0,30}$)[-+−－￥¥ ]*[0-9０-９.,，．]+[%％ ]*(?:[万亿]?元?|[分人])整?", re.DOTALL)
_GRANT = {"token_type": re.compile("bearer", re.IGNORECASE), "expires_in": re.compile("[0-9]{1,7}")}
"""What stays of a reply that gives a token (RFC 6749 section 5.1), by its path."""
_TOKEN_KEYS = frozenset({"access_token", *_GRANT})
_KIND = re.compile(r"(?:application|text)/(?:json|xml|html|plain)(?=;|\s|$)")
_RESULT = re.compile(r"[A-Z0-9_-]{1,10}")
_DECLARATION = re.compile(
    r"""\s*(<\?xml version=["']1\.[01]["'](?: encoding=["'](?:utf-8|utf-16|gb18030|gbk|gb2312)["'])?\s*\?>)""",
    re.IGNORECASE,
)
_KEY = re.compile(r"(?!(?:[^0-9]*[0-9]){6})[A-Za-z_@#][A-Za-z0-9_.:-]{0,63}")
_SHORT = 4
"""Fewer ASCII characters than this in a mapped text are a mark of a kind and name nobody."""
_CHARSET_OF = {"utf-8": "utf-8", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030", "utf-16": "utf-16"}


class Unreadable(Exception):
    """What cannot be read cannot be scrubbed."""


@dataclass(slots=True)
class Notes:
    """``done``: by path, what was done and why. ``hidden``: every value that must not be found again, with its path;
    ``words``: values that stayed because the manifest knows them."""

    done: dict[str, set[tuple[Done, str]]] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def note(self, path: str, done: Done, why: str) -> None:
        self.done.setdefault(path, set()).add((done, why))


def scrubbed(reply: WireReply, terms: Terms, inventor: Inventor, notes: Notes) -> WireReply:
    """The reply without its headers but the kind of its content. Raises Unreadable."""
    content_type = reply.headers.get("content-type", "")
    for name in sorted(reply.headers.keys() - {"content-type"}):
        notes.note(f"header {name}", "dropped", "no fixture needs it")
    kind = _KIND.match(content_type.lower())
    charset = re.search(r"charset\s*=\s*\"?([A-Za-z0-9-]{1,20})", content_type)
    told = kind[0] if kind else f"application/{terms.steps[0]}"
    if charset and charset[1].lower() in _CHARSET_OF:
        told += f"; charset={charset[1]}"
    headers = {"content-type": told}
    if reply.status not in terms.statuses:
        if reply.body:
            notes.note("body", "dropped", f"of status {reply.status}, which is judged without it")
        return WireReply(reply.status, headers, b"")
    try:
        text = decode_text(reply.body, content_type, terms.charsets)
        made = _layer(text, list(terms.steps), _Walk(terms, inventor, notes))
    except (UpstreamError, RecursionError):
        raise Unreadable from None
    codec, mark = _codec(reply.body, text, terms.charsets)
    try:
        return WireReply(reply.status, headers, mark + made.encode(codec))
    except UnicodeEncodeError:
        raise Unreadable from None


def _codec(body: bytes, text: str, charsets: Sequence[str]) -> tuple[str, bytes]:
    """The one that gives these bytes for this text, and the byte order mark before them."""
    mark = codecs.BOM_UTF8 if body.startswith(codecs.BOM_UTF8) else b""
    for name in dict.fromkeys(_CHARSET_OF[charset.lower()] for charset in charsets):
        if mark + text.encode(name, "replace") == body:
            return name, mark
    return _CHARSET_OF[charsets[0].lower()], mark


def _layer(text: str, steps: list[str], walk: "_Walk") -> str:
    """A text that the first step parses, scrubbed and written again."""
    tree: Tree = parse_json(text) if steps[0] == "json" else cast(Tree, parse_xml(text))
    made = _inside(tree, steps[1:], walk)
    if steps[0] == "json":
        return write_json(made)
    declared = _DECLARATION.match(text)
    return (declared[1] if declared else "") + write_xml(made)


def _inside(tree: Tree, steps: list[str], walk: "_Walk") -> Tree:
    if not steps:
        return walk.tree(tree, "", known=True)
    step, _, path = steps[0].partition(":")
    if step in ("json", "xml"):
        return _layer(tree, steps, walk) if isinstance(tree, str) else walk.tree(tree, "", known=False)
    keys = path_keys(path)
    held = at(tree, keys)
    if step == "at":
        if held is MISSING:
            return walk.tree(tree, "", known=False)
        inner = _inside(cast(Tree, held), steps[1:], walk)
        return walk.tree(tree, "", known=False, instead={path: inner})
    if not isinstance(held, str) or not held:
        return _inside(tree, steps[2:], walk)
    parsed: Tree = parse_json(held) if steps[1] == "json" else cast(Tree, parse_xml(held))
    made = _inside(_put(tree, keys, parsed), steps[2:], walk)
    inner = cast(Tree, at(made, keys))
    return _put(made, keys, write_json(inner) if steps[1] == "json" else write_xml(inner))


def _put(tree: Tree, keys: Sequence[str], value: Tree) -> Tree:
    if not keys:
        return value
    held = cast(dict[str, Tree], tree)
    return {**held, keys[0]: _put(held[keys[0]], keys[1:], value)}


@dataclass(slots=True)
class _Walk:
    terms: Terms
    inventor: Inventor
    notes: Notes

    def tree(self, tree: Tree, path: str, *, known: bool, instead: Mapping[str, Tree] | None = None) -> Tree:
        """``known``: whether paths are those that the manifest speaks of; ``instead``: what is already scrubbed."""
        if instead and path in instead and path:
            return instead[path]
        if isinstance(tree, dict):
            return dict(self._member(key, value, path, known, instead) for key, value in tree.items())
        if isinstance(tree, list):
            return [self.tree(one, path, known=known, instead=instead) for one in tree]
        if tree is None or isinstance(tree, bool) or tree == "":
            return tree
        role = self.terms.roles.get(path) if known else None
        return self._leaf(tree, path, role)

    def _member(
        self, key: str, value: Tree, path: str, known: bool, instead: Mapping[str, Tree] | None
    ) -> tuple[str, Tree]:
        mine = key in self.terms.keys or key == "#text" or (self.terms.token and key in _TOKEN_KEYS)
        inner = joined(path, key if mine or _KEY.fullmatch(key) else "?")
        made = self.tree(value, inner, known=known, instead=instead)
        if mine:
            return key, made
        # A name that the manifest does not know may itself be somebody's, or somebody's number.
        self.notes.note(inner, "replaced", "its name: the manifest does not know it")
        if not _KEY.fullmatch(key):
            self._hide(key, path)
        return self.inventor.member(key), made

    def _leaf(self, value: str | int | Decimal, path: str, role: Role | None) -> Tree:
        text = value if isinstance(value, str) else _written(value)
        if role and (role.is_word(text) or self._is_its_kind(value, text.strip(), role)):
            self.notes.note(path, "kept", "a value of the manifest's own" if role.is_word(text) else role.kind)
            self.notes.words.add(text.strip())
            return value
        if self.terms.token and path in _GRANT and _GRANT[path].fullmatch(text):
            self.notes.note(path, "kept", "of a token: its kind and its end")
            return value
        if (found := self.inventor.identifier(text)) is None and path in self.terms.keep:
            self.notes.note(path, "kept", "because you said so")
            return value
        made: Tree = found if isinstance(value, str) else None
        if made is None and isinstance(value, str):
            made = self._invented(value, role)
        elif made is None:
            number = self.inventor.number(text)
            made = int(number) if isinstance(value, int) else Decimal(number)
        if made == value:
            self.notes.note(path, "kept", "zero, or no letter and no digit")
            return value
        self._hide(text, path)
        self.notes.note(path, "replaced", "an identifier" if found else role.kind if role else "not in the manifest")
        return made

    def _invented(self, value: str, role: Role | None) -> str:
        if role and role.kind == "amount" and _AMOUNT.fullmatch(value.strip()):
            return self.inventor.number(value)
        if role and role.separators:
            pieces = re.split(f"([{re.escape(role.separators)}])", value)
            for piece in pieces[::2]:
                self._hide(piece, "names")
            return "".join(one if n % 2 else self.inventor.text(one) for n, one in enumerate(pieces))
        return self.inventor.text(value)

    def _is_its_kind(self, value: object, core: str, role: Role) -> bool:
        if role.kind == "date":
            # A form such as the milliseconds of an epoch reads a telephone number too.
            return role.is_date(value) and self.inventor.identifier(core) is None
        if role.kind == "page":
            return _PAGE.fullmatch(core) is not None
        if role.kind == "amount":
            known = self.terms.keep_amounts and _AMOUNT.fullmatch(core) and self.inventor.identifier(core) is None
            return bool(known) or not core.strip("0.,")
        if role.kind == "result":
            return _RESULT.fullmatch(core) is not None and self.inventor.identifier(core) is None
        return role.kind == "text" and core.isascii() and len(core) < _SHORT

    def _hide(self, text: str, path: str) -> None:
        self.notes.hidden.setdefault(text.strip(), path)


def _written(number: int | Decimal) -> str:
    return format(number, "f") if isinstance(number, Decimal) else str(number)


def write_json(tree: Tree) -> str:
    if isinstance(tree, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{write_json(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(write_json, tree)) + "]"
    return _written(tree) if isinstance(tree, Decimal) else json.dumps(tree, ensure_ascii=False)


def write_xml(tree: Tree) -> str:
    """As connectors.xml_tree reads it: attributes, one element per key, lists as several of one name."""
    return "".join(_element(name, value) for name, value in cast(dict[str, Any], tree).items())


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    if not isinstance(value, dict):
        return f"<{name}>{escape('' if value is None else str(value))}</{name}>"
    attributes = "".join(f" {k[1:]}={quoteattr(v)}" for k, v in value.items() if k.startswith("@"))
    inner = "".join(_element(k, v) for k, v in value.items() if k[0] not in "@#")
    return f"<{name}{attributes}>{escape(value.get('#text', ''))}{inner}</{name}>"
