"""What stands before the body of an HTTP/1.1 request: its first line and its headers."""

import re

from connectors.wire import WireRequest
from schemas.errors import ConnectorFault

# What a request line and a header may hold: anything else could end the line and begin another (RFC 9112 section 2.2).
_LINE = re.compile(r"[A-Z]+ /[!\"$-~]*")
_NAMES = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:)*")
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DEFAULTS = (
    ("accept", "Accept: */*"),
    ("accept-encoding", "Accept-Encoding: gzip, deflate"),
    ("user-agent", "User-Agent: xinqiao"),
)
# Framing is this module's own: a second opinion on where the body ends smuggles a request.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})


def request_head(request: WireRequest, target: str, defaults: tuple[tuple[str, str], ...]) -> bytes:
    """The request line and headers (RFC 9112 sections 3 and 5). Raises ConnectorFault for what cannot be one."""
    first, own = f"{request.method} {target}", request.headers
    given = {name.lower() for name in own}
    if (
        not _LINE.fullmatch(first)
        or not _NAMES.fullmatch("".join([f"{name}:" for name in own]))
        or _UNSAFE.search("".join(own.values()))
        or not _FRAMING.isdisjoint(given)
    ):
        raise ConnectorFault(what="request")
    lines = [f"{name}: {value}" for name, value in own.items()]
    lines += [line for name, line in defaults if name not in given]
    if request.body or request.method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join([f"{first} HTTP/1.1", *lines, "", ""]).encode()
