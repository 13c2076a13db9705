"""The structured fields of HTTP Message Signatures and digests (RFC 8941, RFC 9421 section 4, RFC 9530), read strictly.

Only what these fields are made of: a dictionary of byte sequences, and one of inner lists of strings. UpstreamSignature
(malformed) for anything else.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256, sha512

from connectors.signing.keys import as_bytes
from connectors.signing.verifying import Why, refusal

_KEY = r"[a-z*][a-z0-9_.*-]*"
_STRING = r'"[ !#-\[\]-~]*"'  # without escapes: no component, key id or nonce of ours needs one
_ITEM = rf"{_STRING}(?:;{_KEY}(?:={_STRING})?)*"
_PARAMETER = rf";({_KEY})=({_STRING}|[0-9]{{1,15}})"
_INPUT = re.compile(rf"({_KEY})=(\((?:{_ITEM}(?: {_ITEM})*)?\)(?:{_PARAMETER})*)")
_BYTES = re.compile(rf"({_KEY})=:([A-Za-z0-9+/=]*):")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_AUTH_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_AUTH = re.compile(r'\w+="[^"]*"(?:, ?\w+="[^"]*")*')
_HASHES = {"sha-256": sha256, "sha-512": sha512}


def byte_sequences(field: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for label, text in _members(_BYTES, field).items():
        value = as_bytes(text[len(label) + 2 : -1], "base64")
        if value is None:
            raise refusal(Why.MALFORMED)
        found[label] = value
    return found


def signature_inputs(field: str) -> dict[str, str]:
    """By label, the text that ``@signature-params`` stands for."""
    return {label: text[len(label) + 1 :] for label, text in _members(_INPUT, field).items()}


def inner_list(text: str) -> tuple[list[str], dict[str, str]]:
    """The items of a member of ``signature_inputs`` as they are written (``"@method";req``) and its parameters, texts
    without their quotes."""
    items, _, rest = text[1:].rpartition(")")
    if rest.count('"') % 2:
        raise refusal(Why.MALFORMED)
    pairs = re.findall(_PARAMETER, rest)
    parameters = {name: value.strip('"') for name, value in pairs}
    listed = re.findall(_ITEM, items)
    if len(parameters) != len(pairs) or len(set(listed)) != len(listed):
        raise refusal(Why.MALFORMED)
    return listed, parameters


def content_digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def digest_holds(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether every digest of a known algorithm is that of ``body``, and there is one."""
    stated = byte_sequences(headers.get("content-digest", ""))
    known = {name: value for name, value in stated.items() if name in _HASHES}
    return bool(known) and all(
        hmac.compare_digest(value, _HASHES[name](body).digest()) for name, value in known.items()
    )


def auth_parameters(text: str) -> dict[str, str]:
    """``name="value"`` joined by commas, as they stand behind the first word of an ``Authorization`` header."""
    if not _AUTH.fullmatch(text):
        raise refusal(Why.MALFORMED)
    pairs = _AUTH_PARAMETER.findall(text)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise refusal(Why.MALFORMED)
    return found


def _members(pattern: re.Pattern[str], field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(field):
        member = pattern.match(field, at)
        if member is None or member[1] in found:
            raise refusal(Why.MALFORMED)
        found[member[1]] = member[0]
        at = member.end()
        if at < len(field):
            comma = _COMMA.match(field, at)
            if comma is None or comma.end() == len(field):
                raise refusal(Why.MALFORMED)
            at = comma.end()
    return found
