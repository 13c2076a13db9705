"""Text templates with a closed list of placeholders, compiled once: ``{ts}``, ``{nonce}``, and secrets by name."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Annotated

from pydantic import AfterValidator

from connectors.signing.base import path_of
from connectors.sm2 import sm3
from connectors.wire import WireRequest

_PLACE = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


def _balanced(text: str) -> str:
    if set(_PLACE.sub("", text)) & set("{}"):
        raise ValueError("braces stand only around the name of a placeholder or a secret")
    return text


_NOT_ENCODED = WireRequest("", "", {}, b"")
Template = Annotated[str, AfterValidator(_balanced)]


@dataclass(slots=True)
class Facts:
    """What a template may say about one attempt."""

    ts: str
    nonce: str
    request: WireRequest = _NOT_ENCODED
    mac: str = ""


Place = Callable[[Facts], bytes]
Compiled = Callable[[Facts], bytes]

ATTEMPT: Mapping[str, Place] = {"ts": lambda f: f.ts.encode(), "nonce": lambda f: f.nonce.encode()}
"""Known before the request is encoded."""
WIRE: Mapping[str, Place] = {
    **ATTEMPT,
    "method": lambda f: f.request.method.encode(),
    "path": lambda f: path_of(f.request).encode(),
    "query": lambda f: f.request.url.partition("?")[2].encode(),
    "body": lambda f: f.request.body,
    "body_sha256": lambda f: sha256(f.request.body).hexdigest().encode(),
    "body_sm3": lambda f: sm3(f.request.body).hex().encode(),
    "body_md5": lambda f: md5(f.request.body, usedforsecurity=False).hexdigest().encode(),
}
"""Of the encoded request: digests are lower-case hexadecimal, ``query`` is percent-encoded as sent."""
SIGNED: Mapping[str, Place] = {**WIRE, "mac": lambda f: f.mac.encode()}


def secret_names(texts: Collection[str], places: Mapping[str, Place]) -> set[str]:
    """The names in the templates that are no placeholders, and so must be secrets."""
    return {name for text in texts for name in _PLACE.findall(text)} - set(places)


def compile_template(text: str, places: Mapping[str, Place], secrets: Mapping[str, str] | None) -> Compiled:
    """Without ``secrets`` each stands as ``<name>``: the masked form for people."""
    parts: list[bytes | Place] = []
    for literal, name in zip(*[iter([*_PLACE.split(text), ""])] * 2, strict=True):
        parts.append(literal.encode())
        if name in places:
            parts.append(places[name])
        elif name:
            parts.append((secrets[name] if secrets is not None else f"<{name}>").encode())

    def render(facts: Facts) -> bytes:
        return b"".join([part if isinstance(part, bytes) else part(facts) for part in parts])

    return render
