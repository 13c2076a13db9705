"""What stands before the body of an HTTP/1.1 request: its first line and its headers."""

import re
from functools import lru_cache

from connectors.wire import WireRequest
from schemas.errors import ConnectorFault

# What a request line and a header may hold: anything else could end the line and begin another (RFC 9112 section 2.2).
_LINE = re.compile(r"[A-Z]+ /[!\"$-~]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DEFAULTS = (
    ("accept", "Accept: */*"),
    ("accept-encoding", "Accept-Encoding: gzip, deflate"),
    ("user-agent", "User-Agent: xinqiao"),
)
_BODILESS = frozenset({"GET", "HEAD"})
# Framing is this module's own: a second opinion on where the body ends smuggles a request.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})


def request_head(request: WireRequest, target: str, defaults: tuple[tuple[str, str], ...]) -> bytes:
    """The request line and headers (RFC 9112 sections 3 and 5). Raises ConnectorFault for what cannot be one."""
    first, own = f"{request.method} {target}", request.headers
    added = _added(tuple(own), defaults)
    if added is None or not _LINE.fullmatch(first) or _UNSAFE.search("".join(own.values())):
        raise ConnectorFault(what="request")
    lines = "".join([f"{name}: {value}\r\n" for name, value in own.items()])
    length = f"Content-Length: {len(request.body)}\r\n" if request.body or request.method not in _BODILESS else ""
    try:
        return f"{first} HTTP/1.1\r\n{lines}{added}{length}\r\n".encode()
    except UnicodeEncodeError:
        raise ConnectorFault(what="request") from None


@lru_cache(256)
def _added(own: tuple[str, ...], defaults: tuple[tuple[str, str], ...]) -> str | None:
    """The lines to be added to a request's own headers of these names; None where a name cannot be one. Kept, because
    all requests for a data set have the same names."""
    given = {name.lower() for name in own}
    if not all(map(_NAME.fullmatch, own)) or not _FRAMING.isdisjoint(given):
        return None
    return "".join([f"{line}\r\n" for name, line in defaults if name not in given])
