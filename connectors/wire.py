"""Requests and replies as bytes: the seam between engine, signing and transport."""

import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

import orjson

from schemas.base import Json

_PLAIN = re.compile(r"[/A-Za-z0-9._~%-]*")
Encode = Literal["none", "json", "form", "xml"]


class WireRequest(NamedTuple):
    """Exactly what is sent. ``url`` is absolute and already percent-encoded."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class WireReply(NamedTuple):
    """Exactly what came. Header names are lower-case; ``body`` is after content decoding, within the cap."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Leave = Callable[[], Awaitable[None]]
"""Returns when the first byte may leave now; raises when it may not."""

Send = Callable[[WireRequest], Awaitable[WireReply]]
"""One guarded send: the engine gives it to signers that must fetch a token first."""


class Draft(NamedTuple):
    """A request before it is signed. A scheme may add query, body or header members, then calls ``wire``."""

    method: str
    base_url: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Json] | None = None
    encode: Encode = "none"
    charset: str = "utf-8"
    headers: Mapping[str, str] = MappingProxyType({})

    def with_headers(self, extra: Mapping[str, str]) -> "Draft":
        return self._replace(headers={**self.headers, **extra})

    def with_query(self, query: tuple[tuple[str, str], ...]) -> "Draft":
        return self._replace(query=query)

    def with_body(self, body: Mapping[str, Json]) -> "Draft":
        return self._replace(body=body)

    def wire(self) -> WireRequest:
        """Encode the draft into the bytes that are signed and sent."""
        url = self.base_url + (self.path if _PLAIN.fullmatch(self.path) else quote(self.path, safe="/-._~%"))
        if self.query:
            url += "?" + urlencode(self.query, quote_via=quote, safe="-._~")
        headers = dict(self.headers)
        if self.encode == "none" or self.body is None:
            return WireRequest(self.method, url, headers, b"")
        if self.encode == "json":
            body = orjson.dumps(self.body)
            if self.charset != "utf-8":
                body = body.decode().encode(self.charset)
            headers.setdefault("Content-Type", f"application/json; charset={self.charset}")
        elif self.encode == "form":
            pairs = [(k, v if isinstance(v, str) else orjson.dumps(v).decode()) for k, v in self.body.items()]
            body = urlencode(pairs, encoding=self.charset).encode("ascii")
            headers.setdefault("Content-Type", f"application/x-www-form-urlencoded; charset={self.charset}")
        else:
            body = xml_document(self.body, self.charset)
            headers.setdefault("Content-Type", f"text/xml; charset={self.charset}")
        return WireRequest(self.method, url, headers, body)


def xml_document(tree: Mapping[str, Json], charset: str) -> bytes:
    """One element per key, a list repeats its element, text is escaped, no attributes. One root key."""
    if len(tree) != 1:
        raise ValueError("an XML body has exactly one root element")
    (root,) = tree
    text = f'<?xml version="1.0" encoding="{charset}"?>{_element(root, tree[root])}'
    return text.encode(charset)


def _element(name: str, value: Json) -> str:
    if isinstance(value, list):
        return "".join(_element(name, item) for item in value)
    if isinstance(value, dict):
        inner = "".join(_element(k, v) for k, v in value.items())
    elif value is None:
        inner = ""
    else:
        inner = escape(value if isinstance(value, str) else orjson.dumps(value).decode())
    return f"<{name}>{inner}</{name}>"
